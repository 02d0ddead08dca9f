/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The classifier: each field of a packet maps to a class, each class to a bitmap of entries; the
 * AND of the bitmaps holds every entry that fits. Where entries are many, those that look at one
 * port only have their answers in a table by the port's class instead. Neither rules nor prefixes
 * are walked, so that a packet pays the same with one rule as with a thousand.
 */
#ifndef CTB_CLASSIFY_H
#define CTB_CLASSIFY_H

#include "maps.h"
#include "parse.h"

/*
 * The including program defines ONLY_FORWARD: 1 if it asks for nothing but forward entries. Then no
 * entry may also mean one of the others. And AT_OUTPUT: 1 if it judges what this host sends, and
 * devices are those that packets leave by.
 */

/* The device to judge by: of ctx, asked only where some rule looks at it; or, ctx NULL, ifindex. */
struct ctb_device {
	CTB_CTX *ctx;
	__u32 ifindex;
};

#define THE_DEVICE(ifindex_) ((struct ctb_device){ .ifindex = (ifindex_) })
#define THE_DEVICE_OF(ctx_)  ((struct ctb_device){ .ctx = (ctx_) })

/* Its ifindex; defined by the including program. */
static __always_inline __u32 device_of(CTB_CTX *ctx);

#define FIELD_USED(f) (cfg.fields & (1U << CTB_F_##f))

/* Number of the lowest set bit of x, x != 0, by its place. */
static const volatile __u8 lowest_bit_table[64] = {
	0,  1,	2,  53, 3,  7,	54, 27, 4,  38, 41, 8,	34, 55, 48, 28, 62, 5,	39, 46, 44, 42,
	22, 9,	24, 35, 59, 56, 49, 18, 29, 11, 63, 52, 6,  26, 37, 40, 33, 47, 61, 45, 43, 21,
	23, 58, 17, 10, 51, 25, 36, 32, 60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12,
};

static __always_inline __u32 lowest_bit(__u64 x)
{
	return lowest_bit_table[CTB_BIT_PLACE(x & -x)];
}

/* 1 when start <= x, else 0, without a branch (both below 2^31). */
#define STARTS_BEFORE(start, x) ((__u32)((__s32)((start) - (x)-1) >> 31))

/* Returns the class, or -1. */
static __always_inline int class4(__u32 addr)
{
	__u32 chunk = addr >> 16, low = addr & 0xff, key = chunk, n, at;
	struct ctb_addr4_index *ix;
	struct ctb_addr4_page *p;
	struct ctb_addr4_top *top;

	if (!cfg.flat4) {
		top = bpf_map_lookup_elem(&addr4_top, &chunk);
		if (!top)
			return -1;
		key = top->at;
		if (key & CTB_WHOLE4)
			return key & 0xffff;
	}
	ix = bpf_map_lookup_elem(&addr4_index, &key);
	if (!ix)
		return -1;
	at = ix->of[addr >> 8 & 0xff];
	if (!(at & CTB_CUT4))
		return at;
	at = (at & ~CTB_CUT4) * CTB_UNIT4;
	top = bpf_map_lookup_elem(&addr4_top, &chunk);
	if (!top)
		return -1;
	key = top->page + at / CTB_PAGE4;
	p = bpf_map_lookup_elem(&addr4_pages, &key);
	if (!p)
		return -1;
	n = p->range[at & (CTB_PAGE4 - 1)] >> 16;
	/* n more ranges; no branch but the loop's. */
#pragma clang loop unroll(disable)
	for (int i = 0; i <= CTB_PAGE4_STEPS && n; i++) {
		__u32 half = (n + 1) / 2;

		at += half & STARTS_BEFORE(p->range[(at + half) & (CTB_PAGE4 - 1)] >> 16, low);
		n -= half;
	}
	return p->range[at & (CTB_PAGE4 - 1)] & 0xffff;
}

static __always_inline int starts_before6(const struct ctb_addr6_node *n, __u32 i, __u64 hi,
					  __u64 lo)
{
	return n->hi[i] < hi || (n->hi[i] == hi && n->lo[i] <= lo);
}

/* Returns the class, or -1. */
static __always_inline int class6(__u64 hi, __u64 lo)
{
	struct ctb_addr6_node *n;
	__u32 key = 0, i, level;

#pragma clang loop unroll(disable)
	for (level = 0; level < CTB_LEVELS6; level++) {
		if (level >= cfg.levels6)
			break;
		n = bpf_map_lookup_elem(&addr6_nodes, &key);
		if (!n)
			return -1;
		i = starts_before6(n, 4, hi, lo) ? 4 : 0;
		i |= starts_before6(n, i | 2, hi, lo) ? 2 : 0;
		i |= starts_before6(n, i | 1, hi, lo) ? 1 : 0;
		if (level + 1 == cfg.levels6)
			return n->class_id[i];
		/*
		 * Read from the node, not computed from i: otherwise the verifier knows every
		 * key and follows all 8^7 ways down.
		 */
		key = n->child.first + i;
		if (key > n->child.last)
			key = n->child.last;
	}
	return -1;
}

/* The class of an address, or -1; src: which of the two, a compile-time constant. */
static __always_inline int addr_class(const struct ctb_pkt *p, int src)
{
	if (p->v6)
		return src ? class6(p->src_hi, p->src_lo) : class6(p->dst_hi, p->dst_lo);
	return class4(src ? p->src_lo : p->dst_lo);
}

/*
 * A number that clang knows nothing of any more: 6.1's verifier loses the range of what was
 * spilled, and clang would leave out a mask that brings it back.
 */
static __always_inline __u32 unranged(__u32 v)
{
	asm volatile("" : "+r"(v));
	return v;
}

/* The halves of a port: swapping them first would be more than to take them as they come. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define UPPER_HALF(port) ((port)&0xff)
#define LOWER_HALF(port) ((port) >> 8 & 0xff)
#else
#define UPPER_HALF(port) ((port) >> 8 & 0xff)
#define LOWER_HALF(port) ((port)&0xff)
#endif

/* The class of a port. */
static __always_inline __u32 port_class(__be16 port, int any_port)
{
	__u32 v;

	if (any_port)
		return cfg.any_port;
	v = unranged(port);
	return CTB_PORT_CLASS_OF(&ports, UPPER_HALF(v), LOWER_HALF(v));
}

static __always_inline __u32 iif_class(const struct ctb_pkt *p, struct ctb_device dev)
{
	__u32 *id, ifindex = dev.ifindex;

	if (AT_OUTPUT && p->quoted)
		return 3 * cfg.iif_classes;
	if (dev.ctx) {
		/* Clang would have one pointer to the number for all places, the verifier none. */
		asm volatile("" : "+r"(dev.ctx));
		ifindex = device_of(dev.ctx);
	}
	id = bpf_map_lookup_elem(&iif, &ifindex);
	if (AT_OUTPUT)
		return (id ? *id : 0) + 2 * cfg.iif_classes;
	return (id ? *id : 0) + (p->quoted ? cfg.iif_classes : 0);
}

/*
 * AND one number of a field's row into *m. 0, or 1: nothing of `wanted` is left. To be done then
 * is what keeps packets that no entry fits cheap: they seldom pay for more than one or two fields.
 */
static __always_inline int and_row(void *map, __u32 key, __u64 wanted, __u64 *m)
{
	__u64 *v = bpf_map_lookup_elem(map, &key);

	*m &= v ? *v : 0;
	return !(*m & wanted);
}

/* The same for a whole row of one word; field is a compile-time constant, map its rows' map. */
static __always_inline int and_one(__u32 field, void *map, __u32 class_id, __u64 wanted, __u64 *m)
{
	if (!(cfg.small & 1U << field))
		return and_row(map, class_id, wanted, m);
	*m &= small.rows[field][class_id & (CTB_SMALL_ROWS - 1)];
	return !(*m & wanted);
}

/* The class of every field that some rule looks at. */
struct ctb_classes {
	__u32 of[CTB_F_MAX];
};

/*
 * Does any entry that still fits (m) look at this field? A field's table that is not asked is not
 * in the cache either.
 */
static __always_inline int asks(__u32 field, __u64 m)
{
	return !!(m & cfg.uses[field]);
}

/*
 * Up to 64 entries: those that fit, the first of them at least, or 0, with *failed set if that is
 * because a table did not answer.
 */
static __always_inline __u64 fitting(const struct ctb_pkt *p, struct ctb_device dev, int any_port,
				     __u64 wanted, int *failed)
{
	__u64 m = ~0ULL;
	int id;

	*failed = 0;
	if (asks(CTB_F_DST, m)) {
		id = addr_class(p, 0);
		if (id < 0)
			goto fail;
		if (and_one(CTB_F_DST, &bits_dst, id, wanted, &m))
			return 0;
	}
	if (asks(CTB_F_SRC, m)) {
		id = addr_class(p, 1);
		if (id < 0)
			goto fail;
		if (and_one(CTB_F_SRC, &bits_src, id, wanted, &m))
			return 0;
	}
	if (asks(CTB_F_PROTO, m)) {
		m &= small.rows[CTB_F_PROTO][unranged(p->proto) & 0xff];
		if (!(m & wanted))
			return 0;
	}
	if (asks(CTB_F_DPORT, m)) {
		id = port_class(p->dport, any_port);
		if (and_one(CTB_F_DPORT, &bits_dport, id, wanted, &m))
			return 0;
	}
	/*
	 * Nothing left could rule out the first entry that still fits: it is the one, whatever
	 * else fits. So a packet need not look for the entries of its replies.
	 */
	if (!(m & -m & (cfg.uses[CTB_F_SPORT] | cfg.uses[CTB_F_IIF])))
		return m;
	if (asks(CTB_F_SPORT, m)) {
		id = port_class(p->sport, any_port);
		if (and_one(CTB_F_SPORT, &bits_sport, id, wanted, &m))
			return 0;
	}
	if (asks(CTB_F_IIF, m)) {
		if (and_one(CTB_F_IIF, &bits_iif, iif_class(p, dev), wanted, &m))
			return 0;
	}
	return m;
fail:
	*failed = 1;
	return 0;
}

/*
 * More: the AND of the summaries; the classes are left in c. Unlike above nobody knows yet which
 * entries fit, and so all fields that any rule uses have to be asked.
 */
static __always_inline __u64 summary(const struct ctb_pkt *p, struct ctb_device dev, int any_port,
				     struct ctb_classes *c, int *failed)
{
	__u32 stride = cfg.words + 1;
	__u64 m = ~0ULL;
	int id;

	*failed = 0;
	if (FIELD_USED(DST)) {
		id = addr_class(p, 0);
		if (id < 0)
			goto fail;
		c->of[CTB_F_DST] = id;
		if (and_row(&bits_dst, c->of[CTB_F_DST] * stride, ~0ULL, &m))
			return 0;
	}
	if (FIELD_USED(SRC)) {
		id = addr_class(p, 1);
		if (id < 0)
			goto fail;
		c->of[CTB_F_SRC] = id;
		if (and_row(&bits_src, c->of[CTB_F_SRC] * stride, ~0ULL, &m))
			return 0;
	}
	if (FIELD_USED(PROTO)) {
		c->of[CTB_F_PROTO] = proto_class[p->proto];
		if (and_row(&bits_proto, c->of[CTB_F_PROTO] * stride, ~0ULL, &m))
			return 0;
	}
	if (FIELD_USED(DPORT)) {
		c->of[CTB_F_DPORT] = port_class(p->dport, any_port);
		if (and_row(&bits_dport, c->of[CTB_F_DPORT] * stride, ~0ULL, &m))
			return 0;
	}
	if (FIELD_USED(SPORT)) {
		c->of[CTB_F_SPORT] = port_class(p->sport, any_port);
		if (and_row(&bits_sport, c->of[CTB_F_SPORT] * stride, ~0ULL, &m))
			return 0;
	}
	if (FIELD_USED(IIF)) {
		c->of[CTB_F_IIF] = iif_class(p, dev);
		if (and_row(&bits_iif, c->of[CTB_F_IIF] * stride, ~0ULL, &m))
			return 0;
	}
	return m;
fail:
	*failed = 1;
	return 0;
}

/* The AND of all used fields' numbers at place `at` of their rows. */
static __always_inline __u64 and_rows(const struct ctb_classes *c, __u32 stride, __u32 at)
{
	__u64 m = ~0ULL;

	if (FIELD_USED(DPORT) && and_row(&bits_dport, c->of[CTB_F_DPORT] * stride + at, ~0ULL, &m))
		return 0;
	if (FIELD_USED(SPORT) && and_row(&bits_sport, c->of[CTB_F_SPORT] * stride + at, ~0ULL, &m))
		return 0;
	if (FIELD_USED(DST) && and_row(&bits_dst, c->of[CTB_F_DST] * stride + at, ~0ULL, &m))
		return 0;
	if (FIELD_USED(SRC) && and_row(&bits_src, c->of[CTB_F_SRC] * stride + at, ~0ULL, &m))
		return 0;
	if (FIELD_USED(PROTO) && and_row(&bits_proto, c->of[CTB_F_PROTO] * stride + at, ~0ULL, &m))
		return 0;
	if (FIELD_USED(IIF) && and_row(&bits_iif, c->of[CTB_F_IIF] * stride + at, ~0ULL, &m))
		return 0;
	return m;
}

/* An entry in one number, for a global function to return: 0 or more. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VERDICT(e) ((e)->verdict)
#else
#define VERDICT(e) ((e)->slot | (e)->action << 16 | (e)->flags << 24)
#endif
#define VERDICT_SLOT(v)	  ((v)&0xffff)
#define VERDICT_ACTION(v) ((v) >> 16 & 0xff)
#define VERDICT_FLAGS(v)  ((v) >> 24)
#define VERDICT_DIR(v)	  (VERDICT_FLAGS(v) & CTB_E_REPLY)
/* Or the reason (enum ctb_reason) why there is none: less than 0. */
#define NOT_JUDGED(reason) (-1 - (int)(reason))
#define REASON_OF(verdict) (-1 - (verdict))

/* The best entry up to now, as rank << 32 | verdict, the lowest rank being the best. */
#define NO_BEST (~0ULL)

/* The better of that and of the best entry in one word of the bitmap. */
static __always_inline __u64 best_of_word(const struct ctb_classes *c, __u32 w, __u64 best)
{
	__u64 m = and_rows(c, cfg.words + 1, 1 + w), found;
	struct ctb_entry *e;
	__u32 key;

	if (!m)
		return best;
	key = w * 64 + lowest_bit(m);
	e = bpf_map_lookup_elem(&entries, &key);
	if (!e)
		return best;
	found = (__u64)e->prio << 32 | VERDICT(e);
	return found < best ? found : best;
}

/* Of the words behind one bit of the summary. No loop: clang would count w, which can be any. */
static __always_inline __u64 best_in(const struct ctb_classes *c, __u32 w, __u64 best)
{
	best = best_of_word(c, w, best);
	return cfg.words_per_bit > 1 ? best_of_word(c, w + 1, best) : best;
}

/* The same, global: verified once, not in each of the iterations below for each of their callers.
 */
__noinline __u64 best_in_next(const struct ctb_classes *c, __u32 w, __u64 best)
{
	return c ? best_in(c, w, best) : NO_BEST;
}

/* The same of a packet that is to be forwarded, and what it is. */
#define MATCH(slot, dir, flags) ((slot) | (dir) << 16 | (flags) << 24)
#define MATCH_DIR(m)		((m) >> 16 & 0xff)
#define MATCH_FLAGS(m)		((m) >> 24)
#define M_LOCAL			0x1 /* CTB_E_LOCAL */
#define M_FRAGMENT		0x2 /* first or later */
#define M_DIVIDED		0x4 /* and the other fragments may be judged by other entries */
#define M_ETHER			0x8 /* has an Ethernet header */

/*
 * The entry that judges the packet among more than 64. They are grouped by the fields they use
 * (compile.c), which keeps the summary from pointing at words that then turn out empty, and the
 * lowest rank among the groups' first bits wins.
 */
static __always_inline int classify_many(const struct ctb_pkt *p, struct ctb_device dev,
					 int any_port)
{
	/* Set, since clang 14 may spill a field that no rule uses: the verifier says "!read_ok". */
	struct ctb_classes c = {};
	__u64 m, best;
	int failed;

	m = summary(p, dev, any_port, &c, &failed);
	if (!m)
		return NOT_JUDGED(failed ? CTB_R_INTERNAL : CTB_R_NO_MATCH);
	best = best_in(&c, lowest_bit(m) * cfg.words_per_bit, NO_BEST);
	/* The rest is seldom needed. */
#pragma clang loop unroll(disable)
	for (__u32 i = 1; i < CTB_SUMMARY_BITS && i < cfg.words; i++) {
		m &= m - 1;
		if (!m)
			break;
		best = best_in_next(&c, lowest_bit(m) * cfg.words_per_bit, best);
	}
	if (best == NO_BEST)
		return NOT_JUDGED(CTB_R_NO_MATCH);
	return (int)best;
}

/* And among up to 64: they are in first-match order, and the lowest bit wins. */
static __always_inline int classify_one(const struct ctb_pkt *p, struct ctb_device dev,
					int any_port, const struct ctb_entry *by_port)
{
	const volatile struct ctb_entry *e;
	int failed;
	__u64 m;

	m = fitting(p, dev, any_port, ONLY_FORWARD ? cfg.forward_bits : ~0ULL, &failed);
	if (!m) {
		if (failed)
			return NOT_JUDGED(CTB_R_INTERNAL);
		return by_port ? (int)VERDICT(by_port) : NOT_JUDGED(CTB_R_NO_MATCH);
	}
	e = &small.entries[CTB_BIT_PLACE(m & -m)];
	return (int)(by_port && by_port->prio < e->prio ? VERDICT(by_port) : VERDICT(e));
}

_Static_assert((int)CTB_NO_VERDICT == NOT_JUDGED(CTB_R_NO_MATCH), "as the tables by port have it");

/* The first entry that looks at a port only, or that no such entry fits; NULL: no answer. */
static __always_inline const struct ctb_entry *first_by_port(const struct ctb_pkt *p, int any_port)
{
	__u32 proto = proto_class[p->proto];
	__u32 dkey = port_class(p->dport, any_port) * cfg.proto_classes + proto;
	__u32 skey = port_class(p->sport, any_port) * cfg.proto_classes + proto;
	const struct ctb_entry *d = bpf_map_lookup_elem(&by_dport, &dkey);
	const struct ctb_entry *s = bpf_map_lookup_elem(&by_sport, &skey);

	if (!d || !s)
		return NULL;
	return d->prio < s->prio ? d : s;
}

/*
 * Which entry judges the packet: its VERDICT, or NOT_JUDGED. any_port: the ports are not known.
 */
static __always_inline int classify(const struct ctb_pkt *p, struct ctb_device dev, int any_port)
{
	const struct ctb_entry *e = NULL;

	if (cfg.words > 1)
		return classify_many(p, dev, any_port);
	if (cfg.proto_classes) {
		e = first_by_port(p, any_port);
		if (!e)
			return NOT_JUDGED(CTB_R_INTERNAL);
		/* Ranks differ; equal is what is none. */
		if (e->prio <= cfg.first_in_bits)
			return (int)VERDICT(e);
	}
	return classify_one(p, dev, any_port, e);
}

/* The same as a global function, for what is not in the hot path: verified once. */
__noinline int classify_full(const struct ctb_pkt *p, __u32 ifindex, int any_port)
{
	return p ? classify(p, THE_DEVICE(ifindex), any_port) : NOT_JUDGED(CTB_R_INTERNAL);
}

/*
 * Is this fragment, first or later, to be forwarded? All fragments of a datagram have to go one
 * way, or reassembly in this host or the next waits in vain. Only addresses and protocol are the
 * same in all of them, so the ports count as unknown: an entry that looks at ports may fit, and
 * if it comes first, nobody can tell. Likewise what an ICMP error quotes is in its first fragment
 * only; here the outer header counts. Returns the VERDICT of a forward entry that looks at no
 * port and comes before all that might fit, or NOT_JUDGED.
 */
static __always_inline int classify_fragment(CTB_CTX *ctx, __u32 l3, __u32 v6, __u32 ifindex)
{
	struct ctb_pkt p = {};
	struct ctb_bytes b;
	int v;

	bytes_open(ctx, &b);
	l3 &= 0x1f;
	if (v6) {
		struct ipv6hdr *ip6 = bytes_at(&b, l3, sizeof(*ip6) + 8);
		__u8 *frag = (void *)(ip6 + 1);

		if (bytes_missing(&b, ip6, sizeof(*ip6) + 8) || ip6->nexthdr != IPPROTO_FRAGMENT)
			return NOT_JUDGED(CTB_R_NO_MATCH);
		p.v6 = 1;
		p.proto = frag[0];
		p.src_hi = be64_at(&ip6->saddr);
		p.src_lo = be64_at((void *)&ip6->saddr + 8);
		p.dst_hi = be64_at(&ip6->daddr);
		p.dst_lo = be64_at((void *)&ip6->daddr + 8);
	} else {
		struct iphdr *ip = bytes_at(&b, l3, sizeof(*ip));

		if (bytes_missing(&b, ip, sizeof(*ip)))
			return NOT_JUDGED(CTB_R_NO_MATCH);
		p.proto = ip->protocol;
		p.src_lo = bpf_ntohl(ip->saddr);
		p.dst_lo = bpf_ntohl(ip->daddr);
	}
	/* The headers behind are not followed in later fragments, so in none. */
	if (v6 && is_ext_header(p.proto))
		return NOT_JUDGED(CTB_R_NO_MATCH);
	v = classify_full(&p, ifindex, 1);
	if (v < 0 || VERDICT_ACTION(v) != CTB_FORWARD ||
	    VERDICT_FLAGS(v) & (CTB_E_PORTS | CTB_E_LOCAL))
		return NOT_JUDGED(CTB_R_NO_MATCH);
	return v;
}

#endif
