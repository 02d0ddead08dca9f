// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the forwarding path is measured against: the least that routes an IPv4 packet correctly,
 * in XDP and in tc, and programs that do nothing. No rules, no counters, no checks beyond those
 * without which packets would be sent wrongly.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define AF_INET_ 2

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

static __always_inline struct iphdr *routable(void *data, void *data_end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP))
		return NULL;
	return ip->ihl == 5 && ip->ttl > 1 ? ip : NULL;
}

static __always_inline void fill(struct bpf_fib_lookup *fib, const struct iphdr *ip, __u32 ifindex)
{
	fib->family = AF_INET_;
	fib->tos = ip->tos;
	fib->l4_protocol = ip->protocol;
	fib->ipv4_src = ip->saddr;
	fib->ipv4_dst = ip->daddr;
	fib->ifindex = ifindex;
}

static __always_inline void rewrite(struct ethhdr *eth, const struct bpf_fib_lookup *fib)
{
	struct iphdr *ip = (void *)(eth + 1);
	__u32 sum = ip->check + (__u32)bpf_htons(0x0100);

	ip->check = sum + (sum >= 0xffff);
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, fib->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib->smac, ETH_ALEN);
}

SEC("xdp.frags")
int bare_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = routable(data, (void *)(long)ctx->data_end);
	struct bpf_fib_lookup fib = {};

	if (!ip)
		return XDP_PASS;
	fill(&fib, ip, ctx->ingress_ifindex);
	fib.tot_len = bpf_ntohs(ip->tot_len);
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	rewrite(data, &fib);
	return bpf_redirect_map(&out, fib.ifindex, XDP_PASS);
}

SEC("xdp.frags")
int pass_xdp(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("tc")
int bare_tc(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	struct iphdr *ip = routable(data, (void *)(long)skb->data_end);
	struct bpf_fib_lookup fib = {};

	if (!ip)
		return TC_ACT_UNSPEC;
	fill(&fib, ip, skb->ifindex);
	if (bpf_fib_lookup(skb, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return TC_ACT_UNSPEC;
	rewrite(data, &fib);
	return bpf_redirect(fib.ifindex, 0);
}

char LICENSE[] SEC("license") = "GPL";
