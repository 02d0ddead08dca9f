// SPDX-License-Identifier: GPL-2.0-only
/* Packets that fit rules, nearly fit, or fit nothing at all (generate.h). */
#include <netinet/in.h>
#include <string.h>
#include "generate.h"

/* What a packet is to say, before it is known how. */
struct flow {
	bool v6;
	__u8 proto;
	__u8 src[16], dst[16];
	__u16 sport, dport;
};

static void put4(__u8 *at, __u32 a)
{
	at[0] = a >> 24;
	at[1] = a >> 16;
	at[2] = a >> 8;
	at[3] = a;
}

static void put6(__u8 *at, __u64 hi, __u64 lo)
{
	put4(at, hi >> 32);
	put4(at + 4, hi);
	put4(at + 8, lo >> 32);
	put4(at + 12, lo);
}

/* In a prefix: somewhere, its ends, or right beside it. */
static void addr_of4(struct rng *r, struct prefix4 p, bool miss, __u8 *out)
{
	__u32 host = p.len == 0 ? ~0U : p.len == 32 ? 0 : ~0U >> p.len;
	__u32 a = p.addr;

	if (miss)
		a = rng_percent(r, 50) ? p.addr - 1 : (p.addr | host) + 1;
	else if (rng_percent(r, 30))
		a |= host;
	else if (rng_percent(r, 60))
		a |= rng_next(r) & host;
	put4(out, a);
}

static void addr_of6(struct rng *r, struct prefix6 p, bool miss, __u8 *out)
{
	__u64 host_hi = p.len >= 64 ? 0 : p.len ? ~0ULL >> p.len : ~0ULL;
	__u64 host_lo = p.len <= 64 ? ~0ULL : p.len == 128 ? 0 : ~0ULL >> (p.len - 64);
	__u64 hi = p.hi, lo = p.lo;

	if (miss && rng_percent(r, 50)) {
		hi -= lo == 0;
		lo--;
	} else if (miss) {
		hi |= host_hi;
		lo |= host_lo;
		lo++;
		hi += lo == 0;
	} else if (rng_percent(r, 30)) {
		hi |= host_hi;
		lo |= host_lo;
	} else if (rng_percent(r, 60)) {
		hi |= rng_next(r) & host_hi;
		lo |= rng_next(r) & host_lo;
	}
	put6(out, hi, lo);
}

static void from_list(struct rng *r, const struct prefix_list *l, bool v6, __u8 *out)
{
	bool miss = rng_percent(r, 15);

	if (v6 && l->n6)
		addr_of6(r, l->v6[rng_below(r, l->n6)], miss, out);
	else if (!v6 && l->n4)
		addr_of4(r, l->v4[rng_below(r, l->n4)], miss, out);
}

static void any_addr(struct rng *r, const struct world *w, bool v6, __u8 *out)
{
	bool miss = rng_percent(r, 25);

	if (rng_percent(r, 10))
		put6(out, rng_next(r), rng_next(r));
	else if (rng_percent(r, 20))
		from_list(r, &w->host.local, v6, out);
	else if (v6)
		addr_of6(r, w->p6[rng_below(r, WORLD_PREFIXES)], miss, out);
	else
		addr_of4(r, w->p4[rng_below(r, WORLD_PREFIXES)], miss, out);
}

static __u16 any_port(struct rng *r, const struct world *w)
{
	struct port_range p = w->ports[rng_below(r, WORLD_PORTS)];

	switch (rng_below(r, 6)) {
	case 0:
		return p.lo;
	case 1:
		return p.hi;
	case 2:
		return p.lo - 1;
	case 3:
		return p.hi + 1;
	case 4:
		return p.lo + rng_below(r, p.hi - p.lo + 1);
	}
	return rng_next(r);
}

static __u8 any_proto(struct rng *r)
{
	static const __u8 usual[] = { 6, 6, 6, 17, 17, 17, 136, 132, 33, 1, 58, 47, 50, 51 };

	return rng_percent(r, 93) ? usual[rng_below(r, sizeof(usual))] : rng_next(r);
}

/* An address that is in the match, if that is easily had. */
static void addr_for(struct rng *r, const struct world *w, const struct addr_match *m, bool v6,
		     __u8 *out)
{
	const struct addr_item *it;

	any_addr(r, w, v6, out);
	if (m->n == 0 || (m->negate && rng_percent(r, 70)))
		return;
	it = &m->items[rng_below(r, m->n)];
	if (it->kind == ADDR_PREFIX4 && !v6)
		addr_of4(r, it->p4, false, out);
	else if (it->kind == ADDR_PREFIX6 && v6)
		addr_of6(r, it->p6, false, out);
	else if (it->kind == ADDR_SET)
		from_list(r, &it->set->addrs, v6, out);
	else if (it->kind == ADDR_LOCAL)
		from_list(r, &w->host.local, v6, out);
}

static __u16 port_for(struct rng *r, const struct world *w, const struct port_match *m)
{
	struct port_range p;

	if (m->flat.n == 0)
		return any_port(r, w);
	p = m->flat.ranges[rng_below(r, m->flat.n)];
	if (rng_percent(r, 40))
		return rng_percent(r, 50) ? p.lo : p.hi;
	return p.lo + rng_below(r, p.hi - p.lo + 1);
}

static bool wants_v6(struct rng *r, const struct rule *rule)
{
	const struct addr_match *m = rule->saddr.n ? &rule->saddr : &rule->daddr;

	if (m->n && m->items[0].kind == ADDR_PREFIX4)
		return false;
	if (m->n && m->items[0].kind == ADDR_PREFIX6)
		return true;
	if (m->n && m->items[0].kind == ADDR_SET && !m->items[0].set->addrs.n4)
		return true;
	return rng_percent(r, 45);
}

static void flow_for(struct rng *r, const struct world *w, const struct rule *rule, struct flow *f)
{
	unsigned int i;

	f->v6 = wants_v6(r, rule);
	f->proto = any_proto(r);
	for (i = 0; i < 64 && !proto_has(&rule->proto, f->proto); i++)
		f->proto = i < 32 ? any_proto(r) : rng_next(r);
	addr_for(r, w, &rule->saddr, f->v6, f->src);
	addr_for(r, w, &rule->daddr, f->v6, f->dst);
	f->sport = port_for(r, w, &rule->sport);
	f->dport = port_for(r, w, rule->port.n ? &rule->port : &rule->dport);
	if (rule->port.n && rng_percent(r, 50)) {
		f->sport = f->dport;
		f->dport = any_port(r, w);
	}
}

static void turn_round(struct flow *f)
{
	struct flow o = *f;

	memcpy(f->src, o.dst, 16);
	memcpy(f->dst, o.src, 16);
	f->sport = o.dport;
	f->dport = o.sport;
}

/* One field off. */
static void spoil(struct rng *r, const struct world *w, struct flow *f)
{
	switch (rng_below(r, 5)) {
	case 0:
		any_addr(r, w, f->v6, f->src);
		break;
	case 1:
		any_addr(r, w, f->v6, f->dst);
		break;
	case 2:
		f->sport = any_port(r, w);
		break;
	case 3:
		f->dport = any_port(r, w);
		break;
	case 4:
		f->proto = any_proto(r);
		break;
	}
}

static void make_flow(struct rng *r, const struct world *w, const struct ruleset *rs,
		      struct flow *f)
{
	memset(f, 0, sizeof(*f));
	if (rs->n_rules && rng_percent(r, 70)) {
		flow_for(r, w, &rs->rules[rng_below(r, rs->n_rules)], f);
		if (rng_percent(r, 35))
			spoil(r, w, f);
	} else {
		f->v6 = rng_percent(r, 45);
		f->proto = any_proto(r);
		any_addr(r, w, f->v6, f->src);
		any_addr(r, w, f->v6, f->dst);
		f->sport = any_port(r, w);
		f->dport = any_port(r, w);
	}
	if (rng_percent(r, 50))
		turn_round(f);
	if (rs->n_failsafe && rng_percent(r, 4)) {
		const struct failsafe_item *i = &rs->failsafe[rng_below(r, rs->n_failsafe)];

		f->proto = i->proto;
		*(rng_percent(r, 50) ? &f->sport : &f->dport) = i->ports.lo;
	}
}

/* In units of 8 bytes: any bit alone, too. */
static unsigned int some_offset(struct rng *r)
{
	return rng_percent(r, 50) ? 1U << rng_below(r, 13) : 1 + rng_below(r, 0x1fff);
}

static void put_exts(struct rng *r, struct packet *p, bool hostile)
{
	static const __u8 types[] = { 0, 43, 60, 51 };
	unsigned int i, n = 0;

	if (rng_percent(r, 20))
		n = 1 + rng_below(r, 3);
	else if (rng_percent(r, 3))
		n = 6 + rng_below(r, 5); /* around the eighth */
	for (i = 0; i < n; i++)
		pkt_ext(p, types[rng_below(r, 4)],
			hostile && rng_percent(r, 3) ? rng_below(r, 256) : rng_below(r, 3));
	if (rng_percent(r, 6))
		pkt_frag6(p, rng_percent(r, 35) ? some_offset(r) : 0, rng_percent(r, 60));
	if (n && rng_percent(r, 10))
		pkt_ext(p, 60, 0);
}

static void put_ip(struct rng *r, struct packet *p, const struct flow *f, bool hostile)
{
	if (f->v6) {
		struct pkt_ip6_args a = { .payload = PKT_AUTO };

		memcpy(a.src, f->src, 16);
		memcpy(a.dst, f->dst, 16);
		if (hostile && rng_percent(r, 5))
			a.version = 1 + rng_below(r, 15);
		if (hostile && rng_percent(r, 8))
			a.payload = rng_percent(r, 40) ? 0 : rng_below(r, 120);
		pkt_ip6(p, &a);
		put_exts(r, p, hostile);
	} else {
		struct pkt_ip4_args a = { .total = PKT_AUTO };

		memcpy(a.src, f->src, 4);
		memcpy(a.dst, f->dst, 4);
		if (rng_percent(r, 10))
			a.options = 4 * rng_below(r, 11);
		if (rng_percent(r, 30))
			a.frag |= 0x4000;
		if (rng_percent(r, 4))
			a.frag |= some_offset(r);
		if (rng_percent(r, 5))
			a.frag |= 0x2000;
		if (hostile && rng_percent(r, 5))
			a.version = 1 + rng_below(r, 15);
		if (hostile && rng_percent(r, 8))
			a.ihl = 1 + rng_below(r, 15);
		if (hostile && rng_percent(r, 8))
			a.total = rng_percent(r, 20) ? 0 : rng_below(r, 120);
		pkt_ip4(p, &a);
	}
}

static void put_l4(struct rng *r, struct packet *p, const struct flow *f, bool hostile)
{
	unsigned int doff;

	switch (f->proto) {
	case IPPROTO_TCP:
		doff = rng_percent(r, 50) ? 5 : 5 + rng_below(r, 11);
		pkt_tcp(p, f->sport, f->dport,
			hostile && rng_percent(r, 25) ? rng_below(r, 16) : doff);
		pkt_bytes(p, (doff - 5) * 4);
		break;
	case IPPROTO_UDP:
		pkt_udp(p, f->sport, f->dport,
			hostile && rng_percent(r, 35) ? (int)rng_below(r, 80) : PKT_AUTO);
		break;
	case IPPROTO_UDPLITE:
		pkt_udplite(p, f->sport, f->dport);
		break;
	case IPPROTO_SCTP:
		pkt_sctp(p, f->sport, f->dport);
		break;
	case IPPROTO_DCCP:
		pkt_dccp(p, f->sport, f->dport);
		break;
	case IPPROTO_ICMP:
		pkt_icmp(p, false, rng_percent(r, 50) ? 8 * rng_below(r, 2) : rng_below(r, 20), 0);
		break;
	case IPPROTO_ICMPV6:
		pkt_icmp(p, true, rng_percent(r, 50) ? 128 + rng_below(r, 10) : rng_below(r, 256),
			 0);
		break;
	default:
		pkt_next(p, f->proto);
		break;
	}
}

/* Whom errors about f go to: mostly whom they should; now and then one bit beside. */
static void error_to(struct rng *r, const struct world *w, const struct flow *f, struct flow *outer)
{
	unsigned int what = rng_below(r, 100);

	memcpy(outer->dst, f->src, 16);
	if (what < 12)
		outer->dst[rng_below(r, f->v6 ? 16 : 4)] ^= 1 << rng_below(r, 8);
	else if (what < 20)
		any_addr(r, w, outer->v6, outer->dst);
}

/* The ICMP header of an error about f, by a router somewhere. */
static void put_error(struct rng *r, const struct world *w, struct packet *p, const struct flow *f,
		      bool hostile)
{
	static const __u8 types4[] = { 3, 3, 3, 4, 5, 11, 12 }, types6[] = { 1, 2, 3, 4, 137 };
	struct flow outer = { .v6 = f->v6 };

	if (hostile && rng_percent(r, 8))
		outer.v6 = !f->v6;
	any_addr(r, w, outer.v6, outer.src);
	error_to(r, w, f, &outer);
	put_ip(r, p, &outer, hostile && rng_percent(r, 20));
	if (rng_percent(r, 4))
		pkt_icmp(p, outer.v6, rng_next(r), rng_below(r, 3)); /* mostly not an error */
	else
		pkt_icmp(p, outer.v6, outer.v6 ? types6[rng_below(r, 5)] : types4[rng_below(r, 7)],
			 rng_below(r, 3));
	if (rng_percent(r, 2))
		pkt_next(p, rng_next(r)); /* no-op: ICMP names nothing */
}

static void put_quote(struct rng *r, struct packet *p, size_t quote)
{
	if (rng_percent(r, 40))
		return;
	/* Between nothing at all and what the RFCs ask for. */
	pkt_quote_cut(p, rng_percent(r, 40) ? p->len - quote - rng_below(r, p->len - quote + 1)
					    : 20 + 8 + rng_below(r, 60));
}

static void put_link(struct rng *r, struct packet *p, const struct host_if *in)
{
	unsigned int i, tags = 0;

	if (rng_percent(r, 6)) {
		pkt_bare(p);
		return;
	}
	pkt_eth(p, rng_percent(r, 6));
	if (in->ifindex == 1 && !p->other_host)
		memset(p->data, 0, 6); /* the loopback device's address */
	if (rng_percent(r, 14))
		tags = 1 + rng_below(r, rng_percent(r, 30) ? 3 : 2);
	for (i = 0; i < tags; i++)
		pkt_vlan(p, rng_percent(r, 60) ? 0x8100 : 0x88a8,
			 rng_percent(r, 20) ? 0xe000 : rng_below(r, 65536) & 0xf007);
	if (rng_percent(r, 2))
		pkt_next(p, rng_percent(r, 50) ? 0x0806 : rng_next(r));
}

static void mutate(struct rng *r, struct packet *p)
{
	unsigned int i, n;

	switch (rng_below(r, 5)) {
	case 0: /* cut, lengths and all */
		pkt_truncate(p, rng_below(r, p->len + 1));
		break;
	case 1: /* flip bits where the headers are */
		n = 1 + rng_below(r, 4);
		for (i = 0; i < n && p->len; i++)
			p->data[rng_below(r, p->len < 120 ? p->len : 120)] ^= 1 << rng_below(r, 8);
		break;
	case 2: /* any byte behind the link layer */
		if (p->l3 && p->l3 < p->len)
			p->data[p->l3 + rng_below(r, p->len - p->l3)] = rng_next(r);
		break;
	case 3: /* the IP header's first bytes: version, lengths, fragment, protocol */
		if (p->len >= p->l3 + 10)
			p->data[p->l3 + rng_below(r, 10)] = rng_next(r);
		break;
	case 4: /* what fields said was left alone by then */
		break;
	}
}

void make_packet(struct rng *r, const struct world *w, const struct ruleset *rs,
		 unsigned int hostile_percent, struct packet *p, const struct host_if **in)
{
	bool hostile = rng_percent(r, hostile_percent);
	struct flow f;
	size_t quote;

	do {
		*in = &w->host.ifs[rng_below(r, w->host.n_ifs)];
	} while ((*in)->vid); /* VLAN devices are only in the tables */
	do {
		pkt_init(p);
		make_flow(r, w, rs, &f);
		put_link(r, p, *in);
		if (rng_percent(r, 15)) {
			put_error(r, w, p, &f, hostile);
			quote = p->len;
			if (rng_percent(r, 5)) /* an error about an error: only its header counts */
				put_error(r, w, p, &f, hostile);
			put_ip(r, p, &f, hostile);
			put_l4(r, p, &f, hostile);
			pkt_bytes(p, rng_below(r, 20));
			put_quote(r, p, quote);
		} else {
			put_ip(r, p, &f, hostile);
			put_l4(r, p, &f, hostile);
			pkt_bytes(p, rng_percent(r, 5) ? rng_below(r, 1400) : rng_below(r, 40));
		}
		/* Tiny fragments, and lengths that say less than there is. */
		if (rng_percent(r, 5))
			pkt_truncate(p, p->len - rng_below(r, p->len < 24 ? p->len : 24));
		pkt_end(p);
		if (rng_percent(r, 10))
			pkt_bytes(p, rng_below(r, 20));
		if (hostile)
			mutate(r, p);
	} while (p->overflow || p->len == 0);
}
