// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decision trees as nft text. A map key that decides at once is an element of an object map:
 *
 *	meta l4proto tcp counter name th dport map { 80 : "r1_orig", 443 : "r2_orig" } notrack
 *accept
 *
 * one lookup that finds the rule, counts, and ends. (A chain for each rule, reached by a verdict
 * map, does the same, but takes nft 1.0.6 and the kernel twice the time to load.) Keys that lead
 * on are elements of a verdict map to chains `g<generation>_<n>`.
 *
 * Everything here is loadable by nft and is printed back by it in a form that is: quoted packets
 * are matched by raw payload, whose type nft knows from the expression, so maps on them are
 * anonymous, and sets on them are declared by `typeof`.
 */
#include <inttypes.h>
#include <errno.h>
#include <string.h>

#include "nft_tree.h"

/* --- fields and values --- */

/*
 * Quoted IPv4 header (no options: checked before) behind 8 bytes of ICMP header; quoted IPv6
 * header (no extension headers: its next header is the protocol we look for) behind 8 of ICMPv6.
 */
static const char *field_expr(enum plane plane, enum field f, enum fam fam)
{
	static const char *const expr[][F_OIF + 1] = {
		{ "meta l4proto", "th sport", "th dport", "ip saddr", "ip daddr" },
		{ "meta l4proto", "th sport", "th dport", "ip6 saddr", "ip6 daddr" },
		{ "@th,136,8", "@th,224,16", "@th,240,16", "@th,160,32", "@th,192,32" },
		{ "@th,112,8", "@th,384,16", "@th,400,16", "@th,128,128", "@th,256,128" },
	};

	if (plane == PLANE_OUT)
		return expr[fam == FAM_6][f];
	return expr[plane == PLANE_ERR4 ? 2 : 3][f];
}

static void value_text(struct strbuf *b, enum plane plane, enum field f, enum fam fam, u128 v)
{
	__u64 hi = (__u64)(v >> 64), lo = (__u64)v;

	if (f != F_SRC && f != F_DST)
		strbuf_addf(b, "%" PRIu64, (uint64_t)lo);
	else if (fam == FAM_4 && plane == PLANE_OUT)
		strbuf_addf(b, "%u.%u.%u.%u", (unsigned int)(lo >> 24),
			    (unsigned int)(lo >> 16 & 255), (unsigned int)(lo >> 8 & 255),
			    (unsigned int)(lo & 255));
	else if (fam == FAM_4)
		strbuf_addf(b, "0x%08" PRIx64, (uint64_t)lo);
	else if (plane == PLANE_OUT)
		strbuf_addf(b, "%x:%x:%x:%x:%x:%x:%x:%x", (unsigned int)(hi >> 48),
			    (unsigned int)(hi >> 32 & 0xffff), (unsigned int)(hi >> 16 & 0xffff),
			    (unsigned int)(hi & 0xffff), (unsigned int)(lo >> 48),
			    (unsigned int)(lo >> 32 & 0xffff), (unsigned int)(lo >> 16 & 0xffff),
			    (unsigned int)(lo & 0xffff));
	else
		strbuf_addf(b, "0x%016" PRIx64 "%016" PRIx64, (uint64_t)hi, (uint64_t)lo);
}

static void iv_text(struct strbuf *b, enum plane plane, enum field f, enum fam fam, struct iv iv)
{
	bool addr = f == F_SRC || f == F_DST;
	u128 span = iv.hi - iv.lo;

	value_text(b, plane, f, fam, iv.lo);
	if (!span)
		return;
	if (addr && plane == PLANE_OUT && !(span & (span + 1)) && !(iv.lo & span) && span + 1) {
		unsigned int len = fam == FAM_4 ? 32 : 128;

		for (; span; span >>= 1)
			len--;
		strbuf_addf(b, "/%u", len);
		return;
	}
	strbuf_addf(b, "-");
	value_text(b, plane, f, fam, iv.hi);
}

/* --- named sets --- */

static const char *const set_prefixes[2][3] = { { "a4", "a6", "p" }, { "q4", "q6", "qp" } };
/* All pairs of equal bytes: there is one such set. */
static const char equal_bytes[] = "eq_0000000000000008";

bool nset_name_ours(const char *name)
{
	const char *rest = strchr(name, '_');

	if (!rest || strlen(rest + 1) != 16 || strspn(rest + 1, "0123456789abcdef") != 16)
		return false;
	if (!strcmp(name, equal_bytes))
		return true;
	for (size_t i = 0; i < 6; i++) {
		const char *prefix = set_prefixes[i / 3][i % 3];

		if (strlen(prefix) == (size_t)(rest - name) &&
		    !strncmp(name, prefix, strlen(prefix)))
			return true;
	}
	return false;
}

static __u64 ivals_hash(const struct ivals *iv)
{
	const unsigned char *p = (const unsigned char *)iv->v;
	__u64 h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < iv->n * sizeof(*iv->v); i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h;
}

/* Its name into name. Sets of one content and type are one set. */
static int named_set(struct render *r, enum plane plane, enum field f, enum fam fam,
		     const struct ivals *iv, char name[NSET_NAME])
{
	struct nset s = { .plane = plane, .field = f, .fam = fam, .iv = iv };
	bool addr = f == F_SRC || f == F_DST;
	const char *kind = set_prefixes[plane != PLANE_OUT][addr ? (int)fam : 2];

	for (size_t i = 0; i < r->n_sets; i++) {
		const char *known = r->sets[i].name;

		if (r->sets[i].iv == iv && !strncmp(known, kind, strlen(kind)) &&
		    known[strlen(kind)] == '_') {
			strcpy(name, known);
			return 0;
		}
	}
	snprintf(s.name, sizeof(s.name), "%s_%016" PRIx64, kind, (uint64_t)ivals_hash(iv));
	strcpy(name, s.name);
	for (size_t i = 0; i < r->n_sets; i++) {
		if (!strcmp(r->sets[i].name, s.name))
			return 0;
	}
	if (ARRAY_RESERVE(r->sets, r->cap_sets, r->n_sets + 1))
		return -ENOMEM;
	r->sets[r->n_sets++] = s;
	return 0;
}

int nset_equal_bytes(struct render *r, char name[NSET_NAME])
{
	struct nset s = {};

	strcpy(name, equal_bytes);
	for (size_t i = 0; i < r->n_sets; i++) {
		if (!strcmp(r->sets[i].name, name))
			return 0;
	}
	strcpy(s.name, name);
	if (ARRAY_RESERVE(r->sets, r->cap_sets, r->n_sets + 1))
		return -ENOMEM;
	r->sets[r->n_sets++] = s;
	return 0;
}

static void equal_bytes_render(struct strbuf *b)
{
	strbuf_addf(b, "set %s { typeof @nh,128,8 . @th,160,8; elements = { 0 . 0", equal_bytes);
	for (unsigned int i = 1; i < 256; i++)
		strbuf_addf(b, ", %u . %u", i, i);
	strbuf_addf(b, " } }\n");
}

void nset_render(const struct nset *s, struct strbuf *b)
{
	bool addr = s->field == F_SRC || s->field == F_DST;

	if (!s->iv) {
		equal_bytes_render(b);
		return;
	}
	/* One declaration for source and destination: nft compares the type, not the place. */
	if (s->plane != PLANE_OUT)
		strbuf_addf(b, "set %s { typeof %s; ", s->name,
			    field_expr(s->plane, addr ? F_DST : F_DPORT, s->fam));
	else
		strbuf_addf(b, "set %s { type %s; ", s->name,
			    !addr	      ? "inet_service"
			    : s->fam == FAM_4 ? "ipv4_addr"
					      : "ipv6_addr");
	strbuf_addf(b, "flags interval; elements = { ");
	for (size_t i = 0; i < s->iv->n; i++) {
		if (i)
			strbuf_add(b, ", ", 2);
		iv_text(b, s->plane, s->field, s->fam, s->iv->v[i]);
	}
	strbuf_addf(b, " } }\n");
}

/* --- conditions --- */

static int condition(struct tree *t, enum field f, enum fam fam, const struct ivals *iv,
		     struct strbuf *b)
{
	char name[NSET_NAME];
	int err;

	strbuf_addf(b, "%s ", field_expr(t->plane, f, fam));
	if (iv->n > INLINE_ELEMENTS_MAX && f != F_PROTO) {
		err = named_set(t->r, t->plane, f, fam, iv, name);
		if (err)
			return err;
		strbuf_addf(b, "@%s ", name);
		return 0;
	}
	if (iv->n > 1)
		strbuf_addf(b, "{ ");
	for (size_t i = 0; i < iv->n; i++) {
		if (i)
			strbuf_addf(b, ", ");
		iv_text(b, t->plane, f, fam, iv->v[i]);
	}
	strbuf_addf(b, iv->n > 1 ? " } " : " ");
	return 0;
}

/*
 * Is the address on one side this host's, or not? One set for all who ask. The kernel could be
 * asked (fib), but knows of one VRF or none, goes by `ip rule` in IPv6, and sees an address before
 * what judges at ingress has been told.
 */
static int local_condition(struct tree *t, unsigned int side, enum fam fam, enum local local,
			   struct strbuf *b)
{
	const struct ivals *iv = &t->r->local.f[fam];
	const char *not = local == LOCAL_NO ? "!= " : "";
	char name[NSET_NAME];
	int err;

	if (!iv->n || iv->full) { /* and the answer is yes: see local_never() */
		strbuf_addf(b, "meta nfproto %s ", fam == FAM_4 ? "ipv4" : "ipv6");
		return 0;
	}
	strbuf_addf(b, "%s %s", field_expr(t->plane, F_SRC + side, fam), not );
	if (iv->n == 1) {
		iv_text(b, t->plane, F_SRC + side, fam, iv->v[0]);
	} else {
		err = named_set(t->r, t->plane, F_SRC + side, fam, iv, name);
		if (err)
			return err;
		strbuf_addf(b, "@%s", name);
	}
	strbuf_addf(b, " ");
	return 0;
}

/* Is that so of no packet of the family? */
static bool local_never(const struct tree *t, enum fam fam, enum local local)
{
	const struct ivals *iv = &t->r->local.f[fam];

	return local == LOCAL_YES ? !iv->n : local == LOCAL_NO && iv->full;
}

static const char *verdict_text(bool track)
{
	return track ? "accept" : "notrack accept";
}

/* The rule of one candidate for one family; cheap conditions first. */
static int leaf_rule(struct tree *t, const struct node *n, const struct cand *c, enum fam fam,
		     const char *pre, struct strbuf *b)
{
	bool family_said = t->plane != PLANE_OUT || fam == n->fam;
	char name[24];
	int err = 0;

	for (unsigned int i = 0; fam != FAM_ANY && i < 2; i++) {
		if (!(n->mask & F_BIT(F_SRC_LOCAL + i)) && local_never(t, fam, c->local[i]))
			return 0;
	}
	strbuf_addf(b, "%s", pre);
	if (c->protos && !(n->mask & F_BIT(F_PROTO)))
		err = condition(t, F_PROTO, fam, c->protos, b);
	for (enum field f = F_DPORT; !err && f >= F_SPORT; f--) {
		if (c->port[f - F_SPORT] && !(n->mask & F_BIT(f)))
			err = condition(t, f, fam, c->port[f - F_SPORT], b);
	}
	if (c->oif)
		strbuf_addf(b, "%s", c->oif);
	for (enum field f = F_DST; !err && f >= F_SRC; f--) {
		const struct addr *a = c->addr[f - F_SRC];

		if (!a || fam == FAM_ANY || a->f[fam].full || (!a->hard && n->mask & F_BIT(f)))
			continue;
		err = condition(t, f, fam, &a->f[fam], b);
		family_said = true;
	}
	for (unsigned int i = 0; !err && i < 2; i++) {
		if (!c->local[i] || n->mask & F_BIT(F_SRC_LOCAL + i))
			continue;
		err = local_condition(t, i, fam, c->local[i], b);
		family_said = true;
	}
	if (err)
		return err;
	if (!family_said)
		strbuf_addf(b, "meta nfproto %s ", fam == FAM_4 ? "ipv4" : "ipv6");
	counter_name(c->handle, c->dir, name);
	strbuf_addf(b, "counter name \"%s\" %s\n", name, verdict_text(c->track));
	return b->err;
}

/* Does it look at something that each family has its own of? */
static bool by_family(const struct node *n, const struct cand *c)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (c->addr[i] || (c->local[i] && !(n->mask & F_BIT(F_SRC_LOCAL + i))))
			return true;
	}
	return false;
}

static int leaf_render(struct tree *t, const struct node *n, const char *pre, struct strbuf *b)
{
	int err = 0;

	for (size_t i = 0; !err && i < n->list.n; i++) {
		const struct cand *c = &t->c[n->list.v[i]];

		if (n->fam != FAM_ANY || !by_family(n, c)) {
			err = leaf_rule(t, n, c, n->fam, pre, b);
			continue;
		}
		for (enum fam f = FAM_4; !err && f <= FAM_6; f++) {
			if (cand_fits_family(c, f))
				err = leaf_rule(t, n, c, f, pre, b);
		}
	}
	return err;
}

/* --- branches --- */

/* What parts there are of: decided by counting and untracking, by counting alone, undecided. */
enum outcome {
	OUT_NOTRACK,
	OUT_TRACK,
	OUT_SUB,
	OUT_JOINED
};

static enum outcome outcome(const struct part *p)
{
	if (p->joined)
		return OUT_JOINED;
	return !p->final ? OUT_SUB : p->final->track ? OUT_TRACK : OUT_NOTRACK;
}

static bool same_target(const struct part *a, const struct part *b)
{
	return a->fam == b->fam && a->sub == b->sub && outcome(a) == outcome(b) &&
	       (a->sub || (a->final->handle == b->final->handle && a->final->dir == b->final->dir));
}

/*
 * Port ranges one by one where they are few, so that the kernel makes the map a hash. Errors are
 * too rare for that to matter.
 */
static bool expand_ports(struct tree *t, const struct node *n)
{
	size_t ports = 0;

	if (n->field == F_PROTO)
		return true;
	if (t->plane != PLANE_OUT || (n->field != F_SPORT && n->field != F_DPORT))
		return false;
	for (size_t i = 0; i < n->n_parts; i++) {
		const struct iv *iv = &n->parts[i].iv;

		if (iv->lo != iv->hi)
			ports += (size_t)(iv->hi - iv->lo + 1);
	}
	if (ports > EXPAND_PORTS_MAX || ports > EXPAND_TOTAL_MAX - t->r->expanded)
		return false;
	t->r->expanded += ports;
	return true;
}

static int chain_of(struct tree *t, struct node *n, __u32 *chain);
static int node_render(struct tree *t, struct node *n, const char *pre, const char *verb,
		       struct strbuf *b);

/* The next interval of one outcome, with neighbours that lead to the same. */
static bool next_run(const struct node *n, enum fam fam, enum outcome what, size_t *i,
		     const struct part **part, struct iv *iv)
{
	for (; *i < n->n_parts; (*i)++) {
		const struct part *p = &n->parts[*i];

		if (p->fam != fam || outcome(p) != what)
			continue;
		*part = p;
		*iv = p->iv;
		for ((*i)++; *i < n->n_parts; (*i)++) {
			const struct part *next = &n->parts[*i];

			if (!same_target(p, next) || next->iv.lo != iv->hi + 1)
				break;
			iv->hi = next->iv.hi;
		}
		return true;
	}
	return false;
}

static int target_text(struct tree *t, const struct part *p, const char *verb, struct strbuf *b)
{
	char name[24];
	__u32 chain;
	int err;

	if (p->final) {
		counter_name(p->final->handle, p->final->dir, name);
		strbuf_addf(b, "\"%s\"", name);
		return 0;
	}
	err = chain_of(t, p->sub, &chain);
	if (!err)
		strbuf_addf(b, "%s g" GEN_MARK "_%u", verb, chain);
	return err;
}

static bool whole_family(enum field f, enum fam fam, struct iv iv)
{
	return (f == F_SRC || f == F_DST) && !iv.lo &&
	       iv.hi == (fam == FAM_4 ? (u128)0xffffffffU : ~(u128)0);
}

/* One interval: no map. */
static int run_render(struct tree *t, const struct node *n, const struct part *p, struct iv iv,
		      const char *pre, const char *verb, struct strbuf *b)
{
	int err;

	strbuf_addf(b, "%s", pre);
	if (t->plane == PLANE_OUT && whole_family(n->field, p->fam, iv)) {
		strbuf_addf(b, "meta nfproto %s", p->fam == FAM_4 ? "ipv4" : "ipv6");
	} else {
		strbuf_addf(b, "%s ", field_expr(t->plane, n->field, p->fam));
		iv_text(b, t->plane, n->field, p->fam, iv);
	}
	strbuf_addf(b, p->final ? " counter name " : " ");
	err = target_text(t, p, verb, b);
	if (p->final)
		strbuf_addf(b, " %s", verdict_text(p->final->track));
	strbuf_addf(b, "\n");
	return err;
}

static int map_render(struct tree *t, const struct node *n, enum fam fam, enum outcome what,
		      const char *pre, const char *verb, struct strbuf *b)
{
	bool expand = n->expand;
	size_t i = 0, count = 0;
	const struct part *p;
	struct iv iv, one = {};
	int err = 0;

	while (next_run(n, fam, what, &i, &p, &iv)) {
		one = iv;
		count++;
	}
	if (!count)
		return 0;
	if (count == 1) {
		i = 0;
		next_run(n, fam, what, &i, &p, &iv);
		return run_render(t, n, p, one, pre, verb, b);
	}
	strbuf_addf(b, what == OUT_SUB ? "%s%s vmap { " : "%scounter name %s map { ", pre,
		    field_expr(t->plane, n->field, fam));
	for (i = count = 0; !err && next_run(n, fam, what, &i, &p, &iv);) {
		u128 last = expand ? iv.hi : iv.lo;

		for (u128 v = iv.lo; !err && v <= last; v++) {
			strbuf_add(b, ", ", count++ ? 2 : 0);
			iv_text(b, t->plane, n->field, fam, expand ? (struct iv){ v, v } : iv);
			strbuf_add(b, " : ", 3);
			err = target_text(t, p, verb, b);
		}
	}
	strbuf_addf(b, " } %s\n", what == OUT_SUB ? "" : verdict_text(what == OUT_TRACK));
	return err;
}

/* --- a port and an address in one key --- */

struct joined {
	struct strbuf ports;	/* elements of a set of ports */
	struct strbuf port_map; /* ports and counters */
	struct strbuf pairs;	/* ports and addresses */
	struct strbuf pair_map; /* and counters */
	size_t n_ports, n_pairs;
};

static void joined_free(struct joined *j)
{
	strbuf_free(&j->ports);
	strbuf_free(&j->port_map);
	strbuf_free(&j->pairs);
	strbuf_free(&j->pair_map);
}

static void joined_port(const struct tree *t, const struct node *n, struct iv iv, const char *name,
			struct joined *j)
{
	const char *sep = j->n_ports++ ? ", " : "";

	strbuf_addf(&j->ports, "%s", sep);
	iv_text(&j->ports, t->plane, n->field, FAM_4, iv);
	strbuf_addf(&j->port_map, "%s", sep);
	iv_text(&j->port_map, t->plane, n->field, FAM_4, iv);
	strbuf_addf(&j->port_map, " : \"%s\"", name);
}

static void joined_collect(const struct tree *t, const struct node *n, enum field addr,
			   enum fam fam, bool track, struct joined *j)
{
	char name[24];

	for (size_t i = 0; i < n->n_parts; i++) {
		const struct part *p = &n->parts[i];
		size_t before = j->n_pairs;

		if (!p->joined || p->sub->field != addr)
			continue;
		for (size_t k = 0; k < p->sub->n_parts; k++) {
			const struct part *a = &p->sub->parts[k];
			const char *sep = j->n_pairs ? ", " : "";
			size_t at = j->pairs.len + strlen(sep);

			if (a->fam != fam || a->final->track != track)
				continue;
			j->n_pairs++;
			strbuf_addf(&j->pairs, "%s", sep);
			iv_text(&j->pairs, t->plane, n->field, fam, p->iv);
			strbuf_add(&j->pairs, " . ", 3);
			iv_text(&j->pairs, t->plane, addr, fam, a->iv);
			counter_name(a->final->handle, a->final->dir, name);
			if (!j->pairs.err)
				strbuf_addf(&j->pair_map, "%s%s : \"%s\"", sep, j->pairs.s + at,
					    name);
		}
		if (j->n_pairs == before)
			continue;
		for (u128 v = p->iv.lo; n->expand && v <= p->iv.hi; v++)
			joined_port(t, n, (struct iv){ v, v }, name, j);
		if (!n->expand)
			joined_port(t, n, p->iv, name, j);
	}
}

/*
 * Ports whose subtrees only look up an address. In a plain packet one map has both in its key;
 * the ports alone come before that, as a set that is much cheaper to ask and ends the matter for
 * most packets. nft 1.0.6 cannot concatenate raw payload in an object map, only in a set: for a
 * quoted packet that set is the condition, and the port tells the counter.
 */
static int joined_render(const struct tree *t, const struct node *n, enum field addr, enum fam fam,
			 bool track, const char *pre, struct strbuf *b)
{
	_cleanup_(joined_free) struct joined j = {};
	const char *port = field_expr(t->plane, n->field, fam);

	joined_collect(t, n, addr, fam, track, &j);
	if (!j.n_pairs)
		return 0;
	if (j.ports.err || j.port_map.err || j.pairs.err || j.pair_map.err)
		return -ENOMEM;
	if (t->plane == PLANE_OUT)
		strbuf_addf(b, "%s%s { %s } counter name %s . %s map { %s } %s\n", pre, port,
			    j.ports.s, port, field_expr(t->plane, addr, fam), j.pair_map.s,
			    verdict_text(track));
	else
		strbuf_addf(b, "%s%s . %s { %s } counter name %s map { %s } %s\n", pre, port,
			    field_expr(t->plane, addr, fam), j.pairs.s, port, j.port_map.s,
			    verdict_text(track));
	return b->err;
}

static int branch_render(struct tree *t, struct node *n, const char *pre, const char *verb,
			 struct strbuf *b)
{
	int err = 0;

	n->expand = expand_ports(t, n);
	for (enum fam f = FAM_4; !err && f <= FAM_ANY; f++) {
		for (enum outcome o = OUT_NOTRACK; !err && o <= OUT_SUB; o++)
			err = map_render(t, n, f, o, pre, verb, b);
	}
	for (enum fam f = FAM_4; !err && f <= FAM_6; f++) {
		for (enum field a = F_SRC; !err && a <= F_DST; a++) {
			err = joined_render(t, n, a, f, false, pre, b);
			if (!err)
				err = joined_render(t, n, a, f, true, pre, b);
		}
	}
	return err || !n->child ? err : node_render(t, n->child, pre, verb, b);
}

/* A rule for each family that packets can be of. */
static int local_render(struct tree *t, struct node *n, const char *pre, const char *verb,
			struct strbuf *b)
{
	_strbuf_ struct strbuf longer = {};
	__u32 chain;
	int err = chain_of(t, n->child, &chain);

	strbuf_addf(&longer, "%s", pre);
	if (!err && n->iv)
		err = condition(t, n->field, n->fam, n->iv, &longer);
	for (enum fam f = FAM_4; !err && f <= FAM_6; f++) {
		if ((n->fam != FAM_ANY && n->fam != f) || local_never(t, f, n->local))
			continue;
		strbuf_addf(b, "%s", longer.s ? longer.s : "");
		err = local_condition(t, n->side, f, n->local, b);
		strbuf_addf(b, "%s g" GEN_MARK "_%u\n", verb, chain);
	}
	return err ? err : longer.err ? longer.err : b->err;
}

/*
 * The rules of a node. In a base chain subtrees are called by jump, so that a packet that no leaf
 * takes comes back for the next stage; below that goto does.
 */
static int node_render(struct tree *t, struct node *n, const char *pre, const char *verb,
		       struct strbuf *b)
{
	_strbuf_ struct strbuf longer = {};
	int err = 0;

	switch (n->kind) {
	case NODE_LEAF:
		return leaf_render(t, n, pre, b);
	case NODE_BRANCH:
		return branch_render(t, n, pre, verb, b);
	case NODE_COND:
		strbuf_addf(&longer, "%s", pre);
		err = condition(t, n->field, n->fam, n->iv, &longer);
		if (!err && !longer.err)
			err = node_render(t, n->child, longer.s, verb, b);
		return err ? err : longer.err;
	case NODE_LOCAL:
		return local_render(t, n, pre, verb, b);
	}
	return -EINVAL;
}

/* A chain's number is larger than those of the chains it leads to. */
static int chain_of(struct tree *t, struct node *n, __u32 *chain)
{
	_strbuf_ struct strbuf body = {};
	int err;

	if (!n->chain) {
		err = node_render(t, n, "", "goto", &body);
		if (err)
			return err;
		n->chain = ++t->r->n_chains;
		strbuf_addf(&t->r->chains, "chain g" GEN_MARK "_%u {\n%s}\n", n->chain,
			    body.s ? body.s : "");
	}
	*chain = n->chain;
	return body.err;
}

int tree_render(struct tree *t, struct node *root, struct strbuf *text)
{
	int err = node_render(t, root, "", "jump", text);

	return err ? err : text->err;
}
