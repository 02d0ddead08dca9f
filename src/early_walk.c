// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's evaluation of nft expressions (nf_tables_core.c, nft_*.c), for a packet of which not
 * every bit is known. Of each rule it is asked for itself: are there packets of ours that it fits?
 * Earlier rules that some of them fit are passed by, since there are others; what the answer
 * depends on and is not modelled here (limits, sockets, time, iptables' matches) makes it none.
 */
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <sys/socket.h>

#include "early_priv.h"
#include "nft_attr.h"

#define REGISTERS 80 /* bytes: NFT_REG_VERDICT and four of sixteen */
#define DEPTH_MAX 16 /* NFT_JUMP_STACK_SIZE */

/* How sure it is that a packet fits; ascending, so that of several the largest counts. */
enum fit {
	FIT_ALL,
	FIT_SOME,
	FIT_UNKNOWN,
	FIT_NONE
};

struct frame {
	struct early_walk *w;
	const struct early_chain *chain;
	const struct early_rule *rule;
	struct early_packet *p;
	enum fit way; /* here */
	enum fit fit; /* of the rule, of those that come here; so far */
	struct tri reg[REGISTERS];
	int depth;
	/* What the rule ends with. */
	int code;
	const char *target;
};

void tri_set(struct tri *t, const void *value, size_t n)
{
	const __u8 *v = value;

	for (size_t i = 0; i < n; i++)
		t[i] = (struct tri){ .value = v[i], .known = 0xff };
}

void tri_set_prefix(struct tri *t, const void *value, size_t n, unsigned int bits)
{
	const __u8 *v = value;

	for (size_t i = 0; i < n; i++) {
		unsigned int here = bits > i * 8 ? bits - (unsigned int)i * 8 : 0;
		__u8 known = here >= 8 ? 0xff : (__u8)(0xff00 >> here);

		t[i] = (struct tri){ .value = v[i] & known, .known = known };
	}
}

void tri_set_bits(struct tri *t, const void *value, size_t n)
{
	const __u8 *v = value;

	for (size_t i = 0; i < n; i++)
		t[i] = (struct tri){ .value = v[i], .known = v[i] };
}

void tri_set_opaque(struct tri *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		t[i] = (struct tri){ .opaque = 0xff };
}

/* --- registers --- */

/* NULL: no such register, or not so long. */
static struct tri *reg(struct frame *f, const struct attrs *e, int attr, size_t n)
{
	__u32 number = attr_be32(e, attr);
	size_t at = number >= NFT_REG32_00 ? 16 + (size_t)(number - NFT_REG32_00) * 4
					   : (size_t)number * 16;

	return at >= 16 && at <= REGISTERS && n <= REGISTERS - at ? &f->reg[at] : NULL;
}

static void set_reg(struct frame *f, const struct attrs *e, int attr, const struct tri *from,
		    size_t n)
{
	struct tri *to = reg(f, e, attr, n);

	if (to)
		memmove(to, from, n * sizeof(*to));
}

static void set_const(struct frame *f, const struct attrs *e, int attr, const void *value, size_t n)
{
	struct tri *to = reg(f, e, attr, n);

	if (to)
		tri_set(to, value, n);
}

static void set_opaque(struct frame *f, const struct attrs *e, int attr)
{
	struct tri *to = reg(f, e, attr, 16);

	to = to ? to : reg(f, e, attr, 4);
	if (to)
		tri_set_opaque(to, reg(f, e, attr, 16) ? 16 : 4);
}

static const __u8 *data_of(const struct attrs *e, int attr, size_t *n)
{
	struct attrs d = attr_nested(e, attr);
	const struct nlattr *v = d.a[NFTA_DATA_VALUE];

	*n = v ? mnl_attr_get_payload_len(v) : 0;
	return v ? mnl_attr_get_payload(v) : NULL;
}

/* --- comparing --- */

static bool has_opaque(const struct tri *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (t[i].opaque)
			return true;
	}
	return false;
}

static enum fit equals(const struct tri *t, const __u8 *value, size_t n)
{
	bool all = true;

	for (size_t i = 0; i < n; i++) {
		if ((t[i].value ^ value[i]) & t[i].known)
			return FIT_NONE;
		all = all && t[i].known == 0xff;
	}
	return all ? FIT_ALL : has_opaque(t, n) ? FIT_UNKNOWN : FIT_SOME;
}

/* The least and the largest that it can be. */
static void bounds(const struct tri *t, size_t n, __u8 *lo, __u8 *hi)
{
	for (size_t i = 0; i < n; i++) {
		lo[i] = t[i].value & t[i].known;
		hi[i] = lo[i] | (__u8)~t[i].known;
	}
}

/* Between two values, both included. */
static enum fit within(const struct tri *t, const __u8 *from, const __u8 *to, size_t n)
{
	__u8 lo[64], hi[64];

	if (has_opaque(t, n))
		return FIT_UNKNOWN;
	bounds(t, n, lo, hi);
	if (memcmp(hi, from, n) < 0 || memcmp(lo, to, n) > 0)
		return FIT_NONE;
	return memcmp(lo, from, n) >= 0 && memcmp(hi, to, n) <= 0 ? FIT_ALL : FIT_SOME;
}

static enum fit not(enum fit fit) {
	return fit == FIT_ALL ? FIT_NONE : fit == FIT_NONE ? FIT_ALL : fit;
}

static enum fit compare(const struct tri *t, int op, const __u8 *value, size_t n)
{
	static const __u8 least[64];
	__u8 most[64];
	enum fit fit;

	memset(most, 0xff, sizeof(most));
	switch (op) {
	case NFT_CMP_EQ:
		return equals(t, value, n);
	case NFT_CMP_NEQ:
		return not(equals(t, value, n));
	case NFT_CMP_LTE:
		return within(t, least, value, n);
	case NFT_CMP_GTE:
		return within(t, value, most, n);
	case NFT_CMP_LT:
		fit = within(t, value, most, n);
		return not(fit);
	case NFT_CMP_GT:
		fit = within(t, least, value, n);
		return not(fit);
	}
	return FIT_UNKNOWN;
}

static enum fit worse(enum fit a, enum fit b)
{
	return a > b ? a : b;
}

static void and (struct frame * f, enum fit fit)
{
	f->fit = worse(f->fit, fit);
}

/* --- expressions that look --- */

static void cmp(struct frame *f, const struct attrs *e)
{
	size_t n;
	const __u8 *value = data_of(e, NFTA_CMP_DATA, &n);
	struct tri *t = reg(f, e, NFTA_CMP_SREG, n);

	and(f, t && value && n <= 64 ? compare(t, (int)attr_be32(e, NFTA_CMP_OP), value, n)
				     : FIT_UNKNOWN);
}

static void range(struct frame *f, const struct attrs *e)
{
	size_t n, n_to;
	const __u8 *from = data_of(e, NFTA_RANGE_FROM_DATA, &n);
	const __u8 *to = data_of(e, NFTA_RANGE_TO_DATA, &n_to);
	struct tri *t = reg(f, e, NFTA_RANGE_SREG, n);
	enum fit fit = FIT_UNKNOWN;

	if (t && from && to && n == n_to && n <= 64)
		fit = within(t, from, to, n);
	and(f, attr_be32(e, NFTA_RANGE_OP) == NFT_RANGE_NEQ ? not(fit) : fit);
}

static void bitwise(struct frame *f, const struct attrs *e)
{
	__u32 n = attr_be32(e, NFTA_BITWISE_LEN);
	size_t n_mask, n_xor;
	const __u8 *mask = data_of(e, NFTA_BITWISE_MASK, &n_mask);
	const __u8 * xor = data_of(e, NFTA_BITWISE_XOR, &n_xor);
	struct tri *t = reg(f, e, NFTA_BITWISE_SREG, n), out[64];

	if (!t || attr_be32(e, NFTA_BITWISE_OP) || !mask || !xor || n_mask != n || n_xor != n ||
	    n > 64) {
		set_opaque(f, e, NFTA_BITWISE_DREG);
		return;
	}
	for (__u32 i = 0; i < n; i++) {
		out[i].known = t[i].known | (__u8)~mask[i];
		out[i].value = ((t[i].value & mask[i]) ^ xor[i]) & out[i].known;
		out[i].opaque = t[i].opaque & mask[i];
	}
	set_reg(f, e, NFTA_BITWISE_DREG, out, n);
}

static void payload(struct frame *f, const struct attrs *e)
{
	static const struct tri open[64];
	__u32 base = attr_be32(e, NFTA_PAYLOAD_BASE), at = attr_be32(e, NFTA_PAYLOAD_OFFSET),
	      n = attr_be32(e, NFTA_PAYLOAD_LEN);
	struct tri out[64] = {};

	if (e->a[NFTA_PAYLOAD_SREG])
		return; /* it writes */
	if (n > sizeof(open) / sizeof(*open)) {
		set_opaque(f, e, NFTA_PAYLOAD_DREG);
		return;
	}
	for (__u32 i = 0; i < n; i++) {
		if (base == NFT_PAYLOAD_NETWORK_HEADER && at + i < ARRAY_SIZE(f->p->net))
			out[i] = f->p->net[at + i];
		else if (base == NFT_PAYLOAD_TRANSPORT_HEADER && at + i < ARRAY_SIZE(f->p->th))
			out[i] = f->p->th[at + i];
		else if (base > NFT_PAYLOAD_TRANSPORT_HEADER)
			tri_set_opaque(&out[i], 1);
	}
	set_reg(f, e, NFTA_PAYLOAD_DREG, out, n);
}

static void device(struct frame *f, const struct attrs *e, bool in, bool name)
{
	static const struct tri open[16];
	char padded[16] = "";

	if (in != !!f->p->iif ||
	    (!in && f->p->oif_opaque)) /* there is none, or it is not chosen yet */
		set_opaque(f, e, NFTA_META_DREG);
	else if (!in)
		set_reg(f, e, NFTA_META_DREG, open, name ? 16 : 4);
	else if (!name)
		set_const(f, e, NFTA_META_DREG, &f->p->ifindex, 4);
	else
		set_const(f, e, NFTA_META_DREG,
			  memcpy(padded, f->p->iif, strnlen(f->p->iif, sizeof(padded))), 16);
}

static void found(struct frame *f, enum early_harm harm)
{
	if (f->fit <= FIT_SOME && f->way <= FIT_SOME)
		f->w->found(f->w, f->chain, f->rule, harm);
}

/* Is the bit of ours, which the packet has, still there? */
static void write_mark(struct frame *f, const struct attrs *e)
{
	const struct tri *t = reg(f, e, NFTA_META_SREG, 4);
	__u8 bit[4];
	bool kept = true;

	if (!t)
		return;
	memcpy(bit, &f->w->mark, 4);
	for (size_t i = 0; i < 4; i++)
		kept = kept && (t[i].value & t[i].known & bit[i]) == bit[i];
	if (!kept && f->w->mark)
		found(f, EARLY_MARK);
	memcpy(f->p->mark, t, sizeof(f->p->mark));
	for (size_t i = 0; i < 4; i++) { /* who comes behind is looked at as if it had been kept */
		f->p->mark[i].value |= bit[i];
		f->p->mark[i].known |= bit[i];
		f->p->mark[i].opaque &= (__u8)~bit[i];
	}
}

static void meta(struct frame *f, const struct attrs *e)
{
	__u8 nfproto = f->p->family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;
	__u32 key = attr_be32(e, NFTA_META_KEY);

	if (e->a[NFTA_META_SREG]) {
		if (key == NFT_META_MARK)
			write_mark(f, e);
		return;
	}
	switch (key) {
	case NFT_META_MARK:
		set_reg(f, e, NFTA_META_DREG, f->p->mark, 4);
		break;
	case NFT_META_NFPROTO:
		set_const(f, e, NFTA_META_DREG, &nfproto, 1);
		break;
	case NFT_META_L4PROTO:
		set_reg(f, e, NFTA_META_DREG, &f->p->proto, 1);
		break;
	case NFT_META_PROTOCOL:
		set_const(f, e, NFTA_META_DREG, &f->p->ether, 2);
		break;
	case NFT_META_IIFNAME:
	case NFT_META_IIF:
		device(f, e, true, key == NFT_META_IIFNAME);
		break;
	case NFT_META_OIFNAME:
	case NFT_META_OIF:
		device(f, e, false, key == NFT_META_OIFNAME);
		break;
	default:
		set_opaque(f, e, NFTA_META_DREG);
	}
}

/* No entry is attached, so that everything but the state ends the rule (nft_ct_get_eval()). */
static void ct(struct frame *f, const struct attrs *e)
{
	__u32 key = attr_be32(e, NFTA_CT_KEY);

	if (e->a[NFTA_CT_SREG]) {
		if (key == NFT_CT_ZONE && f->w->zones)
			found(f, EARLY_ZONE);
	} else if (key == NFT_CT_STATE) {
		set_const(f, e, NFTA_CT_DREG, &f->p->state, 4);
	} else {
		and(f, FIT_NONE);
	}
}

static void verdict(struct frame *f, int code, const char *chain)
{
	f->code = code;
	f->target = chain;
}

static void immediate(struct frame *f, const struct attrs *e)
{
	struct attrs d = attr_nested(e, NFTA_IMMEDIATE_DATA);
	struct attrs v = attr_nested(&d, NFTA_DATA_VERDICT);
	const __u8 *value;
	size_t n;

	if (d.a[NFTA_DATA_VERDICT]) {
		verdict(f, (int)attr_be32(&v, NFTA_VERDICT_CODE),
			attr_string(&v, NFTA_VERDICT_CHAIN));
		return;
	}
	value = data_of(e, NFTA_IMMEDIATE_DATA, &n);
	if (value && n <= 64)
		set_const(f, e, NFTA_IMMEDIATE_DREG, value, n);
}

/* --- sets and maps --- */

/* To a chain that a rule names: true if none comes back from there. */
static bool follow(struct early_walk *w, const struct early_chain *from, const char *name,
		   struct early_packet *p, enum fit way, int depth);

/* Elements, from the i-th on, that a value can be; how surely. *i is the element. */
static enum fit next_element(const struct early_set *s, const struct tri *t, size_t n, size_t *i)
{
	enum fit fit = FIT_NONE;

	for (; fit == FIT_NONE && *i < s->n; (*i)++) {
		const struct early_elem *e = &s->e[*i];
		__u8 last[64];

		if (e->end || e->key_len != n)
			continue;
		if (!s->ranges) {
			fit = equals(t, e->key, n);
			continue;
		}
		memset(last, 0xff, sizeof(last));
		if (*i + 1 < s->n) { /* the key before the next one */
			memcpy(last, s->e[*i + 1].key, n);
			for (size_t k = n; k-- > 0 && !last[k]--;)
				;
		}
		fit = within(t, e->key, last, n);
	}
	if (fit != FIT_NONE)
		(*i)--;
	return fit;
}

/* What a verdict map leads to: everywhere that some go, or the one place where all do. */
static void map_verdict(struct frame *f, const struct early_elem *e, enum fit fit)
{
	struct early_packet copy = *f->p;

	if (fit == FIT_ALL)
		verdict(f, e->code, e->chain);
	else if (e->chain && (e->code == NFT_JUMP || e->code == NFT_GOTO))
		follow(f->w, f->chain, e->chain, &copy, worse(f->way, worse(f->fit, fit)),
		       f->depth + 1);
}

/* Bits in which all elements so far agree are known. */
static void map_value(struct tri *out, const struct early_elem *e, bool first)
{
	for (size_t i = 0; i < e->data_len; i++) {
		if (first)
			out[i] = (struct tri){ .value = e->data[i], .known = 0xff };
		else
			out[i].known &= (__u8) ~(out[i].value ^ e->data[i]);
		out[i].value &= out[i].known;
	}
}

static void lookup(struct frame *f, const struct attrs *e)
{
	const struct early_set *s = early_set(f->w->rules, f->chain,
					      attr_string(e, NFTA_LOOKUP_SET));
	bool map = e->a[NFTA_LOOKUP_DREG], first = true;
	size_t n = s && s->n ? s->e[0].key_len : 0, data_len = 0;
	struct tri *t = reg(f, e, NFTA_LOOKUP_SREG, n), out[64] = {};
	enum fit any = FIT_NONE;

	if (!s || (n && !t)) {
		and(f, FIT_UNKNOWN);
		return;
	}
	for (size_t i = 0; n; i++) {
		enum fit fit = next_element(s, t, n, &i);

		if (fit == FIT_NONE)
			break;
		any = fit < any ? fit : any;
		if (map && !attr_be32(e, NFTA_LOOKUP_DREG)) {
			map_verdict(f, &s->e[i], fit);
		} else if (map) {
			map_value(out, &s->e[i], first);
			data_len = s->e[i].data_len;
		}
		first = false;
		if (fit == FIT_ALL)
			break;
	}
	if (data_len)
		set_reg(f, e, NFTA_LOOKUP_DREG, out, data_len);
	and(f, attr_be32(e, NFTA_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV ? not(any) : any);
}

/* --- rules and chains --- */

static void pass(struct frame *f, const struct attrs *e)
{
	(void)f;
	(void)e;
}

static void stop(struct frame *f, const struct attrs *e)
{
	(void)e;
	verdict(f, NF_DROP, NULL);
}

static void untrack(struct frame *f, const struct attrs *e)
{
	(void)e;
	f->p->state = NF_CT_STATE_UNTRACKED_BIT;
}

static void unknown(struct frame *f, const struct attrs *e)
{
	(void)e;
	and(f, FIT_UNKNOWN);
}

/* What writes a register that is not known: the attribute that says which. */
static void opaque_1(struct frame *f, const struct attrs *e)
{
	set_opaque(f, e, 1);
}

static void opaque_2(struct frame *f, const struct attrs *e)
{
	set_opaque(f, e, 2);
}

_Static_assert(NFTA_FIB_DREG == 1 && NFTA_RT_DREG == 1 && NFTA_SOCKET_DREG == 2 &&
		       NFTA_NG_DREG == 1 && NFTA_HASH_DREG == 2 && NFTA_OSF_DREG == 1 &&
		       NFTA_BYTEORDER_DREG == 2,
	       "where each has it");

static void socket_key(struct frame *f, const struct attrs *e)
{
	set_opaque(f, e, NFTA_SOCKET_DREG);
	and(f, FIT_UNKNOWN); /* it ends the rule where there is none */
}

static const struct {
	const char *name;
	void (*eval)(struct frame *f, const struct attrs *e);
} expressions[] = {
	{ "meta", meta },
	{ "payload", payload },
	{ "cmp", cmp },
	{ "bitwise", bitwise },
	{ "lookup", lookup },
	{ "immediate", immediate },
	{ "range", range },
	{ "ct", ct },
	{ "notrack", untrack },
	{ "counter", pass },
	{ "log", pass },
	{ "dynset", pass },
	{ "last", pass },
	{ "dup", pass },
	{ "reject", stop },
	{ "queue", stop },
	{ "fwd", stop },
	{ "fib", opaque_1 },
	{ "rt", opaque_1 },
	{ "numgen", opaque_1 },
	{ "osf", opaque_1 },
	{ "hash", opaque_2 },
	{ "byteorder", opaque_2 },
	{ "socket", socket_key },
};

static void evaluate(struct frame *f, const struct nlattr *expr)
{
	struct attrs t = {}, e;

	mnl_attr_parse_nested(expr, attr_store, &t);
	e = attr_nested(&t, NFTA_EXPR_DATA);
	for (size_t i = 0; i < ARRAY_SIZE(expressions); i++) {
		if (!strcmp(expressions[i].name, attr_string(&t, NFTA_EXPR_NAME))) {
			expressions[i].eval(f, &e);
			return;
		}
	}
	unknown(f, &e); /* iptables' matches, limits, tunnels: it may end the rule */
}

static void rule_eval(struct frame *f)
{
	const struct nlattr *a;

	f->code = NFT_CONTINUE;
	mnl_attr_for_each_nested(a, f->rule->exprs)
	{
		if (f->fit >= FIT_UNKNOWN || f->code != NFT_CONTINUE || f->w->budget-- <= 0)
			break;
		evaluate(f, a);
	}
}

static const struct early_chain *chain_find(const struct early_walk *w,
					    const struct early_chain *from, const char *name)
{
	for (size_t i = 0; i < w->rules->n_chains; i++) {
		const struct early_chain *c = &w->rules->chains[i];

		if (c->family == from->family && !strcmp(c->table, from->table) &&
		    !strcmp(c->name, name))
			return c;
	}
	return NULL;
}

/* true: none comes back from here, but to where the base chain was called. */
static bool walk_rules(struct early_walk *w, const struct early_chain *c, struct early_packet *p,
		       enum fit way, int depth)
{
	for (size_t i = 0; i < c->n && w->budget > 0; i++) {
		struct early_packet copy = *p;
		struct frame f = { .w = w,
				   .chain = c,
				   .rule = &w->rules->rules[c->first + i],
				   .p = &copy,
				   .way = way,
				   .depth = depth };
		bool ended = false;

		rule_eval(&f);
		if (f.fit >= FIT_UNKNOWN)
			continue;
		if (f.code == NFT_JUMP || f.code == NFT_GOTO)
			ended = follow(w, c, f.target, &copy, worse(way, f.fit), depth + 1);
		if (f.fit != FIT_ALL) /* there are others, to which nothing of this happened */
			continue;
		*p = copy;
		if (ended || (f.code != NFT_CONTINUE && f.code != NFT_JUMP))
			return ended || (f.code != NFT_GOTO && f.code != NFT_RETURN);
	}
	return false;
}

static bool follow(struct early_walk *w, const struct early_chain *from, const char *name,
		   struct early_packet *p, enum fit way, int depth)
{
	const struct early_chain *c = chain_find(w, from, name);

	return c && depth < DEPTH_MAX && walk_rules(w, c, p, way, depth);
}

void early_walk(struct early_walk *w, const struct early_chain *base, struct early_packet *p)
{
	walk_rules(w, base, p, FIT_ALL, 0);
}
