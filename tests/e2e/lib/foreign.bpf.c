// SPDX-License-Identifier: GPL-2.0-only
/* Somebody else's program on our hook: counts packets, sets mark bits of its own, goes on. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

/* Key 0: packets; key 1: the bits to set. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

/* TC_ACT_UNSPEC and TCX_NEXT are the same number. */
SEC("tc")
int foreign(struct __sk_buff *skb)
{
	__u32 zero = 0, one = 1;
	__u64 *n = bpf_map_lookup_elem(&seen, &zero);
	__u64 *bits = bpf_map_lookup_elem(&seen, &one);

	if (n)
		__sync_fetch_and_add(n, 1);
	if (bits && *bits)
		skb->mark |= *bits;
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
