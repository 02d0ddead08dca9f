// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>

#include "datapath.h"
#include "early_priv.h"
#include "early_rules.h"
#include "nft.h"

#define OPTIONS_MAX  16	    /* values that a field is tried with */
#define SAMPLES_MAX  4096   /* packets in all */
#define BUDGET	     200000 /* expressions in all: some 20 ms */
#define FINDINGS_MAX 16

/* A value that the rule has for a field, or the first bits of values. */
struct option {
	__u8 value[16];
	unsigned int bits;
	bool opaque; /* it says what it must not be: whoever looks at the field is not understood */
};

struct options {
	struct option o[OPTIONS_MAX];
	size_t n;
};

struct finding {
	const struct early_chain *chain;
	__u64 handle;
	enum early_harm harm;
	bool output;
	const struct rule *rule;
};

struct search {
	struct early_rules rules;
	struct early_walk walk;
	const struct host *host;
	const struct ruleset *rs;
	__u32 mark;
	long samples;
	const struct entry *entry;
	bool output;
	struct finding f[FINDINGS_MAX];
	size_t n;
	bool more;
};

/* --- values to try --- */

static void option_add(struct options *out, const void *value, size_t n, unsigned int bits)
{
	struct option o = { .bits = bits };

	if (out->n == OPTIONS_MAX)
		return;
	memcpy(o.value, value, n);
	out->o[out->n++] = o;
}

static void add_prefix4(struct options *out, struct prefix4 p)
{
	__be32 addr = htonl(p.addr);

	option_add(out, &addr, sizeof(addr), p.len);
}

static void add_prefix6(struct options *out, struct prefix6 p)
{
	__u8 addr[16];

	for (int i = 0; i < 8; i++) {
		addr[i] = (__u8)(p.hi >> (56 - 8 * i));
		addr[8 + i] = (__u8)(p.lo >> (56 - 8 * i));
	}
	option_add(out, addr, sizeof(addr), p.len);
}

static void add_list(struct options *out, const struct prefix_list *l, int family)
{
	for (size_t i = 0; family == AF_INET && i < l->n4; i++)
		add_prefix4(out, l->v4[i]);
	for (size_t i = 0; family == AF_INET6 && i < l->n6; i++)
		add_prefix6(out, l->v6[i]);
}

/* None: no packet of the family can fit. */
static void addresses(const struct addr_match *m, const struct host *host, int family,
		      struct options *out)
{
	*out = (struct options){};
	if (!m || m->negate) {
		out->n = 1;
		out->o[0].opaque = m;
		return;
	}
	for (size_t i = 0; i < m->n; i++) {
		const struct addr_item *item = &m->items[i];

		if (item->kind == ADDR_LOCAL)
			add_list(out, &host->local, family);
		else if (item->kind == ADDR_SET)
			add_list(out, &item->set->addrs, family);
		else if (item->kind == ADDR_PREFIX4 && family == AF_INET)
			add_prefix4(out, item->p4);
		else if (item->kind == ADDR_PREFIX6 && family == AF_INET6)
			add_prefix6(out, item->p6);
	}
}

static bool bits_agree(const struct option *a, const struct option *b)
{
	unsigned int bits = a->bits < b->bits ? a->bits : b->bits;

	for (unsigned int i = 0; i < bits; i++) {
		if ((a->value[i / 8] ^ b->value[i / 8]) & 0x80 >> i % 8)
			return false;
	}
	return true;
}

/* Of the sources that a rule names, those that this host can send from. */
static void sources(const struct addr_match *m, const struct host *host, int family,
		    struct options *out)
{
	struct options local = {};
	size_t n = 0;

	addresses(m, host, family, out);
	if (m && m->negate)
		return;
	add_list(&local, &host->local, family);
	if (!m) {
		*out = local;
		return;
	}
	for (size_t i = 0; i < out->n; i++) {
		for (size_t k = 0; k < local.n; k++) {
			if (bits_agree(&out->o[i], &local.o[k])) {
				out->o[n++] = out->o[i];
				break;
			}
		}
	}
	out->n = n;
}

/* Ranges become blocks, of which the first bits are all there is to know. */
static void ports(const struct port_list *l, struct options *out)
{
	*out = (struct options){ .n = !l };
	for (size_t i = 0; l && i < l->n; i++) {
		__u32 lo = l->ranges[i].lo, hi = l->ranges[i].hi;

		while (lo <= hi) {
			unsigned int bits = 16;
			__be16 port = htons((__u16)lo);

			while (bits && !(lo & 1U << (16 - bits)) &&
			       lo + (2U << (16 - bits)) - 1 <= hi)
				bits--;
			option_add(out, &port, sizeof(port), bits);
			lo += 1U << (16 - bits);
		}
	}
}

static void protocols(const struct proto_match *m, struct options *out)
{
	*out = (struct options){ .n = !m->present };
	for (unsigned int p = 0; m->present && p < 256; p++) {
		__u8 value = (__u8)p;

		if (proto_has(m, p))
			option_add(out, &value, 1, 8);
	}
}

static void put(struct tri *t, const struct option *o, size_t n)
{
	if (o->opaque)
		tri_set_opaque(t, n);
	else
		tri_set_prefix(t, o->value, n, o->bits);
}

/* --- packets --- */

static bool chain_takes(const struct early_chain *c, const struct early_packet *p)
{
	if ((c->family == NFPROTO_IPV4 && p->family != AF_INET) ||
	    (c->family == NFPROTO_IPV6 && p->family != AF_INET6) ||
	    (c->hook == EARLY_OUTPUT) != !p->iif)
		return false;
	for (size_t i = 0; p->iif && i < c->n_devices; i++) {
		if (!strncmp(c->devices[i], p->iif, sizeof(c->devices[i])))
			return true;
	}
	return !c->n_devices;
}

/* In front of where we make packets UNTRACKED? */
static bool in_front(const struct search *s, const struct early_chain *c)
{
	if (c->hook == EARLY_INGRESS || c->hook == EARLY_PREROUTING)
		return s->mark && (c->hook == EARLY_INGRESS || c->priority <= HOOK_PRIORITY);
	return c->priority <= HOOK_PRIORITY;
}

static void walk_chains(struct search *s, const struct early_packet *p)
{
	for (size_t i = 0; i < s->rules.n_chains; i++) {
		const struct early_chain *c = &s->rules.chains[i];
		struct early_packet copy = *p;

		if (!c->hook || !chain_takes(c, p))
			continue;
		copy.state = in_front(s, c) ? NF_CT_STATE_INVALID_BIT : NF_CT_STATE_UNTRACKED_BIT;
		s->walk.mark = c->hook != EARLY_OUTPUT && in_front(s, c) ? s->mark : 0;
		s->walk.zones = c->hook != EARLY_INGRESS;
		early_walk(&s->walk, c, &copy);
	}
}

/* By each device that it may come in by. */
static void try_devices(struct search *s, struct early_packet *p)
{
	const struct entry *e = s->entry;
	char why[160];

	if (s->output) {
		p->oif_opaque = e->iif;
		if (s->samples-- > 0)
			walk_chains(s, p);
		return;
	}
	for (size_t i = 0; i < s->host->n_ifs; i++) {
		const struct host_if *h = &s->host->ifs[i];

		if (!(h->flags & IFF_UP) || h->flags & IFF_LOOPBACK ||
		    !datapath_wants(h, s->host, &s->rs->interfaces, why, sizeof(why)) ||
		    (e->iif && !name_list_has(e->iif, h->name)) || s->samples-- <= 0)
			continue;
		p->iif = h->name;
		p->ifindex = h->ifindex;
		walk_chains(s, p);
	}
	p->iif = NULL;
}

static void try_addresses(struct search *s, struct early_packet *p)
{
	bool v4 = p->family == AF_INET;
	size_t len = v4 ? 4 : 16, at = v4 ? 12 : 8;
	struct options src, dst;

	(s->output ? sources : addresses)(s->entry->src, s->host, p->family, &src);
	addresses(s->entry->dst, s->host, p->family, &dst);
	for (size_t i = 0; i < src.n; i++) {
		for (size_t k = 0; k < dst.n; k++) {
			put(&p->net[at], &src.o[i], len);
			put(&p->net[at + len], &dst.o[k], len);
			try_devices(s, p);
		}
	}
}

static void try_ports(struct search *s, struct early_packet *p)
{
	struct options sport, dport;

	ports(s->entry->sport, &sport);
	ports(s->entry->dport, &dport);
	/* The client's, of a rule about a service: it could be any, which says nothing. */
	sport.o[0].opaque = !s->entry->sport && s->entry->dport;
	dport.o[0].opaque = !s->entry->dport && s->entry->sport;
	for (size_t i = 0; i < sport.n; i++) {
		for (size_t k = 0; k < dport.n; k++) {
			put(p->th, &sport.o[i], 2);
			put(p->th + 2, &dport.o[k], 2);
			try_addresses(s, p);
		}
	}
}

static void try_entry(struct search *s)
{
	struct options protos;

	protocols(&s->entry->proto, &protos);
	for (int v6 = 0; v6 <= 1; v6++) {
		for (size_t i = 0; i < protos.n; i++) {
			struct early_packet p = {
				.family = v6 ? AF_INET6 : AF_INET,
				.ether = htons(v6 ? ETH_P_IPV6 : ETH_P_IP),
			};
			__u8 version = v6 ? 0x60 : 0x45;

			tri_set_prefix(p.net, &version, 1, v6 ? 4 : 8);
			put(&p.proto, &protos.o[i], 1);
			p.net[v6 ? 6 : 9] = p.proto;
			if (!s->output)
				tri_set_bits(p.mark, &s->mark, sizeof(s->mark));
			try_ports(s, &p);
		}
	}
}

static bool only_local(const struct addr_match *m)
{
	for (size_t i = 0; m && i < m->n; i++) {
		if (m->negate || m->items[i].kind != ADDR_LOCAL)
			return false;
	}
	return m;
}

/* --- what is found --- */

static void found(struct early_walk *w, const struct early_chain *c, const struct early_rule *r,
		  enum early_harm harm)
{
	struct search *s = w->arg;

	for (size_t i = 0; i < s->n; i++) {
		if (s->f[i].chain == c && s->f[i].handle == r->handle && s->f[i].harm == harm &&
		    s->f[i].output == s->output)
			return;
	}
	s->more = s->n == FINDINGS_MAX;
	if (!s->more)
		s->f[s->n++] = (struct finding){ .chain = c,
						 .handle = r->handle,
						 .harm = harm,
						 .output = s->output,
						 .rule = s->entry->rule };
}

static const char *family_name(__u8 family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_NETDEV:
		return "netdev";
	default:
		return "inet";
	}
}

static void tell(const struct search *s, const struct finding *f, struct strbuf *out)
{
	const struct early_chain *c = f->chain;

	strbuf_addf(out, "nft rule `%s %s %s handle %llu` ", family_name(c->family), c->table,
		    c->name, (unsigned long long)f->handle);
	if (f->harm == EARLY_MARK)
		strbuf_addf(out,
			    "writes over mark bit 0x%x before it has been read: what arrives is "
			    "tracked, and what answers it is not; let it keep the bit (meta mark "
			    "set meta mark & 0x%x | ...). It fits packets of: ",
			    s->mark, s->mark);
	else
		strbuf_addf(out,
			    "sets a conntrack zone on what is untracked: what %s is tracked again; "
			    "let it say `ct state != untracked` first. It fits packets of: ",
			    f->output ? "is sent" : "arrives");
	rule_print(f->rule, out);
}

void advise_early_rules(const struct entries *entries, const struct ruleset *rs,
			const struct host *host, __u32 mark,
			void (*say)(void *arg, const char *text), void *arg)
{
	struct search s = { .host = host, .rs = rs, .mark = mark, .samples = SAMPLES_MAX };

	s.walk = (struct early_walk){
		.rules = &s.rules, .budget = BUDGET, .found = found, .arg = &s
	};
	if (early_load(&s.rules) || !s.rules.n_rules)
		goto out;
	for (size_t i = 0; i < entries->n; i++) {
		const struct entry *e = &entries->e[i];

		s.entry = e;
		if (!e->rule || e->action == CTB_TRACK)
			continue;
		s.output = false;
		if (!only_local(e->src) && !(e->iif && e->dir == CTB_DIR_REPLY))
			try_entry(&s);
		s.output = true;
		if (!only_local(e->dst) && entry_can_be_output(e))
			try_entry(&s);
	}
	for (size_t i = 0; i < s.n; i++) {
		_strbuf_ struct strbuf text = {};

		tell(&s, &s.f[i], &text);
		if (!text.err)
			say(arg, text.s);
	}
	if (s.more)
		say(arg, "more nft rules do the like");
out:
	early_free(&s.rules);
}
