// SPDX-License-Identifier: GPL-2.0-only
/*
 * What any classifier has to do, alone, to know how little a packet can cost: read the headers,
 * count, and get one line of memory that no cache has.
 */
#include <linux/pkt_cls.h>

#define CTB_CTX struct __sk_buff
#include "counters.h"
#include "read_direct.h"

#define COLD_LINES (1 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COLD_LINES);
	__type(key, __u32);
	__type(value, char[64]);
} cold SEC(".maps");

static __always_inline int is_gso(struct __sk_buff *skb)
{
	return skb->gso_size != 0;
}

/* The mark depends on everything that was read, or the compiler would not read it. */
static __always_inline __u32 digest(const struct ctb_pkt *p)
{
	return p->src_hi ^ p->src_lo ^ p->dst_hi ^ p->dst_lo ^ p->sport ^ p->dport ^ p->proto ^
	       p->vid;
}

SEC("tc")
int floor_parse(struct __sk_buff *skb)
{
	struct ctb_pkt p = {};

	if (!parse_fast(skb, skb->len, 1, 0, &p))
		return TC_ACT_SHOT;
	skb->mark = digest(&p) | 1;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int floor_count(struct __sk_buff *skb)
{
	struct ctb_pkt p = {};

	if (!parse_fast(skb, skb->len, 1, 0, &p))
		return TC_ACT_SHOT;
	count_rule(1, CTB_OUT_KERNEL, 0, p.bytes);
	skb->mark = digest(&p) | 1;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int floor_cold(struct __sk_buff *skb)
{
	struct ctb_pkt p = {};
	__u32 key;
	char *line;

	if (!parse_fast(skb, skb->len, 1, 0, &p))
		return TC_ACT_SHOT;
	/* Of spread's prefixes; the multiplication takes the low bits to all. */
	key = (__u32)(p.dst_lo >> 8) * 0x9e3779b1U >> 12;
	line = bpf_map_lookup_elem(&cold, &key);
	skb->mark = (line ? *line : 0) | 1;
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
