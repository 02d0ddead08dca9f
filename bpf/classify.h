/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The classifier: each field of a packet maps to a class, each class to a bitmap of entries; the
 * AND of the bitmaps holds every entry that fits. Neither rules nor prefixes are walked, so that
 * a packet pays the same with one rule as with a thousand.
 */
#ifndef CTB_CLASSIFY_H
#define CTB_CLASSIFY_H

#include "maps.h"
#include "parse.h"

#define FIELD_USED(f) (cfg.fields & (1U << CTB_F_##f))

/* Number of the lowest set bit of x, x != 0. BPF has no instruction for it: De Bruijn. */
static const volatile __u8 lowest_bit_table[64] = {
	0,  1,	2,  53, 3,  7,	54, 27, 4,  38, 41, 8,	34, 55, 48, 28, 62, 5,	39, 46, 44, 42,
	22, 9,	24, 35, 59, 56, 49, 18, 29, 11, 63, 52, 6,  26, 37, 40, 33, 47, 61, 45, 43, 21,
	23, 58, 17, 10, 51, 25, 36, 32, 60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12,
};

static __always_inline __u32 lowest_bit(__u64 x)
{
	return lowest_bit_table[((x & -x) * 0x022fdd63cc95386dULL) >> 58];
}

/* 1 when start <= x, else 0, without a branch (both below 2^31). */
#define STARTS_BEFORE(start, x) ((__u32)((__s32)((start) - (x)-1) >> 31))

static __always_inline int class4(__u32 addr, __u32 *class_id)
{
	__u32 key = addr >> 16, low = addr & 0xffff, n, at;
	struct ctb_addr4_top *top = bpf_map_lookup_elem(&addr4_top, &key);
	struct ctb_addr4_page *p;

	if (!top)
		return -1;
	at = top->first;
	n = top->more;
	if (!n) {
		*class_id = at;
		return 0;
	}
	key = top->at;
	if (n == CTB_INDEXED4) {
		struct ctb_addr4_index *ix = bpf_map_lookup_elem(&addr4_index, &key);

		if (!ix)
			return -1;
		at = ix->at[low >> 8];
		n = ix->more[low >> 8];
		key = ix->page + at / CTB_PAGE4;
	}
	p = bpf_map_lookup_elem(&addr4_pages, &key);
	if (!p)
		return -1;
		/* n more ranges; no branch but the loop's: what a large set costs a packet. */
#pragma clang loop unroll(disable)
	for (int i = 0; i < CTB_PAGE4_STEPS && n; i++) {
		__u32 half = (n + 1) / 2;

		at += half & STARTS_BEFORE(p->start[(at + half) & (CTB_PAGE4 - 1)], low);
		n -= half;
	}
	*class_id = p->class_id[at & (CTB_PAGE4 - 1)];
	return 0;
}

static __always_inline int starts_before6(const struct ctb_addr6_node *n, __u32 i, __u64 hi,
					  __u64 lo)
{
	return n->hi[i] < hi || (n->hi[i] == hi && n->lo[i] <= lo);
}

/* Returns the class, or -1. Global, so that the verifier goes through it once. */
__noinline int class6(__u64 hi, __u64 lo)
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

/* The class of every field that some rule looks at. 0, or -1 when a table did not answer. */
struct ctb_classes {
	__u32 of[CTB_F_MAX];
};

/* any_port, a compile-time constant: the ports are not known. */
static __always_inline int find_classes(const struct ctb_pkt *p, __u32 ifindex, int any_port,
					struct ctb_classes *c)
{
	if (FIELD_USED(PROTO))
		c->of[CTB_F_PROTO] = proto_class[p->proto];
	if (any_port) {
		c->of[CTB_F_SPORT] = cfg.any_port;
		c->of[CTB_F_DPORT] = cfg.any_port;
	} else if (FIELD_USED(SPORT) || FIELD_USED(DPORT)) {
		__u32 zero = 0;
		struct ctb_ports *ports_ = bpf_map_lookup_elem(&ports, &zero);

		if (!ports_)
			return -1;
		c->of[CTB_F_SPORT] = ports_->class_of[p->sport];
		c->of[CTB_F_DPORT] = ports_->class_of[p->dport];
	}
	if (p->v6) {
		int id;

		if (FIELD_USED(SRC)) {
			id = class6(p->src_hi, p->src_lo);
			if (id < 0)
				return -1;
			c->of[CTB_F_SRC] = id;
		}
		if (FIELD_USED(DST)) {
			id = class6(p->dst_hi, p->dst_lo);
			if (id < 0)
				return -1;
			c->of[CTB_F_DST] = id;
		}
	} else {
		if (FIELD_USED(SRC) && class4(p->src_lo, &c->of[CTB_F_SRC]))
			return -1;
		if (FIELD_USED(DST) && class4(p->dst_lo, &c->of[CTB_F_DST]))
			return -1;
	}
	if (FIELD_USED(IIF)) {
		__u32 *id = bpf_map_lookup_elem(&iif, &ifindex);

		c->of[CTB_F_IIF] = (id ? *id : 0) + (p->quoted ? cfg.iif_classes : 0);
	}
	return 0;
}

#define AND_FIELD(F, map) \
	if (FIELD_USED(F)) { \
		__u32 key_ = c->of[CTB_F_##F] * stride + at; \
		__u64 *v_ = bpf_map_lookup_elem(&map, &key_); \
\
		if (!v_) \
			return 0; \
		m &= *v_; \
	}

/* The AND of all used fields' numbers at place `at` of their rows. */
static __always_inline __u64 and_rows(const struct ctb_classes *c, __u32 stride, __u32 at)
{
	__u64 m = ~0ULL;

	AND_FIELD(DPORT, bits_dport)
	AND_FIELD(SPORT, bits_sport)
	AND_FIELD(DST, bits_dst)
	AND_FIELD(SRC, bits_src)
	AND_FIELD(PROTO, bits_proto)
	AND_FIELD(IIF, bits_iif)
	return m;
}

/*
 * The entry that judges the packet, or NULL with *reason set. With one word, entries are in
 * first-match order and the lowest bit wins; with more they are grouped by the fields they use
 * (compile.c), which keeps the summary from pointing at words that then turn out empty, and the
 * lowest rank among the groups' first bits wins.
 */
static __always_inline struct ctb_entry *classify(const struct ctb_pkt *p, __u32 ifindex,
						  int any_port, int *reason)
{
	/* Set, since clang 14 may spill a field that no rule uses: the verifier says "!read_ok". */
	struct ctb_classes c = {};
	struct ctb_entry *best = NULL;
	__u32 best_prio = CTB_NO_ENTRY, key;

	*reason = CTB_R_NO_MATCH;
	if (!cfg.words)
		return NULL;
	if (find_classes(p, ifindex, any_port, &c)) {
		*reason = CTB_R_INTERNAL;
		return NULL;
	}
	if (cfg.words == 1) {
		__u64 m = and_rows(&c, 1, 0);

		if (!m)
			return NULL;
		key = lowest_bit(m);
		best = bpf_map_lookup_elem(&entries, &key);
	} else {
		__u32 stride = cfg.words + 1, best_key = 0;
		__u64 summary = and_rows(&c, stride, 0);

		if (!summary)
			return NULL;
#pragma clang loop unroll(disable)
		for (__u32 i = 0; i < CTB_SUMMARY_BITS && i < cfg.words && summary; i++) {
			__u32 w = lowest_bit(summary) * cfg.words_per_bit;

			summary &= summary - 1;
#pragma clang loop unroll(disable)
			for (__u32 k = 0; k < 2 && k < cfg.words_per_bit; k++) {
				__u64 m = and_rows(&c, stride, 1 + w + k);
				struct ctb_entry *e;

				if (!m)
					continue;
				key = (w + k) * 64 + lowest_bit(m);
				e = bpf_map_lookup_elem(&entries, &key);
				if (e && e->prio < best_prio) {
					best_prio = e->prio;
					best_key = key;
				}
			}
		}
		if (best_prio == CTB_NO_ENTRY)
			return NULL;
		best = bpf_map_lookup_elem(&entries, &best_key);
	}
	if (!best)
		*reason = CTB_R_INTERNAL;
	return best;
}

/* An entry in one number, for a global function to return. */
#define VERDICT(e)	((e)->slot | (e)->action << 16 | (e)->flags << 24)
#define VERDICT_SLOT(v) ((v)&0xffff)
#define VERDICT_DIR(v)	((v) >> 24 & CTB_E_REPLY)
#define NO_VERDICT	(-1)

/*
 * Is this fragment, first or later, to be forwarded? All fragments of a datagram have to go one
 * way, or reassembly in this host or the next waits in vain. Only addresses and protocol are the
 * same in all of them, so the ports count as unknown: an entry that looks at ports may fit, and
 * if it comes first, nobody can tell. Likewise what an ICMP error quotes is in its first fragment
 * only; here the outer header counts. Returns the VERDICT of a forward entry that looks at no
 * port and comes before all that might fit, or NO_VERDICT.
 */
__noinline int classify_fragment(CTB_CTX *ctx, __u32 l3, __u32 v6, __u32 ifindex)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ctb_pkt p = {};
	struct ctb_entry *e;
	int reason;

	if (!cfg.forward)
		return NO_VERDICT;
	l3 &= 0x1f;
	if (v6) {
		struct ipv6hdr *ip6 = data + l3;
		__u8 *frag = (void *)(ip6 + 1);

		if ((void *)(frag + 8) > data_end || ip6->nexthdr != IPPROTO_FRAGMENT)
			return NO_VERDICT;
		p.v6 = 1;
		p.proto = frag[0];
		p.src_hi = be64_at(&ip6->saddr);
		p.src_lo = be64_at((void *)&ip6->saddr + 8);
		p.dst_hi = be64_at(&ip6->daddr);
		p.dst_lo = be64_at((void *)&ip6->daddr + 8);
	} else {
		struct iphdr *ip = data + l3;

		if ((void *)(ip + 1) > data_end)
			return NO_VERDICT;
		p.proto = ip->protocol;
		p.src_lo = bpf_ntohl(ip->saddr);
		p.dst_lo = bpf_ntohl(ip->daddr);
	}
	/* The headers behind are not followed in later fragments, so in none. */
	if (v6 && is_ext_header(p.proto))
		return NO_VERDICT;
	e = classify(&p, ifindex, 1, &reason);
	if (!e || e->action != CTB_FORWARD || e->flags & (CTB_E_PORTS | CTB_E_LOCAL))
		return NO_VERDICT;
	return VERDICT(e);
}

#endif
