// SPDX-License-Identifier: GPL-2.0-only
/*
 * In front of the program that is measured: sends each run's packet to another address, so that
 * its tables are not in the cache.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "spread.h"

struct spread_config config = {};
__u64 state = 1, fences = 0;

/* The program that is measured, at 0. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

SEC("tc")
int spread(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip6 = data + ETH_HLEN;
	struct iphdr *ip = data + ETH_HLEN;
	__u32 prefix, host;

	if ((void *)(ip6 + 1) > data_end)
		return TC_ACT_SHOT;
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	prefix = spread_prefix(config.first + ((state >> 33) & (config.n - 1)));
	host = state >> 25 & 255;
	if (config.v6)
		*(__be64 *)&ip6->daddr = bpf_cpu_to_be64(SPREAD_NET6 | (__u64)prefix << 16 | host);
	else
		ip->daddr = bpf_htonl(prefix << 8 | host);
	/* A locked instruction: what the last packet still waits for is not hidden behind this one.
	 */
	__sync_fetch_and_add(&fences, 1);
	bpf_tail_call(skb, &next, 0);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
