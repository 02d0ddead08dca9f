// SPDX-License-Identifier: GPL-2.0-only
/*
 * The production program with two more entry points that say what they saw: the decoded packet
 * and the entry that judged it, in map `seen`. They parse with parse() only, so that where the
 * production program takes the fast parse, comparing the two compares both parsers.
 */
#include "../../bpf/tc.bpf.c"
#include "classify_test.h"

/* One element; userspace maps it, says what to do before a run and reads the rest after. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ctb_test_seen);
} seen SEC(".maps");

static __always_inline int look(struct __sk_buff *skb, int l2, struct ctb_test_seen *s)
{
	struct ctb_pkt p = {};
	int v;

	s->judged = 0;
	s->reason = parse_full(skb, l2, &p);
	s->vid = p.vid;
	s->bytes = p.bytes;
	if (s->reason != CTB_PARSED)
		return TC_ACT_UNSPEC;
	s->src_hi = p.src_hi;
	s->src_lo = p.src_lo;
	s->dst_hi = p.dst_hi;
	s->dst_lo = p.dst_lo;
	s->sport = bpf_ntohs(p.sport);
	s->dport = bpf_ntohs(p.dport);
	s->proto = p.proto;
	s->v6 = p.v6;
	s->quoted = p.quoted;
	v = classify_full(&p, skb->ifindex, 0);
	s->reason = v < 0 ? REASON_OF(v) : CTB_R_NO_MATCH;
	if (v >= 0) {
		s->judged = 1;
		s->entry.slot = VERDICT_SLOT(v);
		s->entry.action = VERDICT_ACTION(v);
		s->entry.flags = VERDICT_FLAGS(v);
	}
	return TC_ACT_UNSPEC;
}

/* What the test runner cannot do: metadata, and packets shorter than their IP header. */
static __always_inline int prepare(struct __sk_buff *skb, struct ctb_test_seen *s)
{
	if (s->cut && bpf_skb_change_tail(skb, s->cut, 0))
		return -1;
	if (s->push && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), s->push))
		return -1;
	return 0;
}

SEC("tc")
int test_ether(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct ctb_test_seen *s = bpf_map_lookup_elem(&seen, &zero);

	if (!s || prepare(skb, s))
		return TC_ACT_SHOT;
	return look(skb, 1, s);
}

/* The production program after the same preparation. */
SEC("tc")
int test_prepared(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct ctb_test_seen *s = bpf_map_lookup_elem(&seen, &zero);

	if (!s || prepare(skb, s))
		return TC_ACT_SHOT;
	return ingress(skb, 1);
}

/* The test runner gives this program type the packet without its Ethernet header. */
SEC("lwt_in")
int test_ip(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct ctb_test_seen *s = bpf_map_lookup_elem(&seen, &zero);

	return s ? look(skb, 0, s) : TC_ACT_SHOT;
}
