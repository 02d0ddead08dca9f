// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet generator, run by BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, and the sinks
 * that count what arrives. The kernel recycles the generator's pages with whatever the stack left
 * in them, so every header byte is written on every run. All that a slot's packets go through runs
 * on one CPU.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "traffic.h"

struct traffic_config config = {};
struct traffic_state state[TRAFFIC_SLOTS] __attribute__((aligned(128))) = {};

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

struct varying {
	__be32 saddr, daddr;
	__be16 sport;
};

static __always_inline __u32 next(struct traffic_state *s, struct varying *v)
{
	__u64 flow = s->next_flow++ * config.stride & config.mask;

	v->saddr = bpf_htonl(config.saddr + (__u32)(flow >> TRAFFIC_PORT_BITS));
	v->sport = bpf_htons(TRAFFIC_FIRST_PORT + (flow & ((1 << TRAFFIC_PORT_BITS) - 1)));
	return (__u32)flow * 0x9e3779b1U >> 18; /* the destination's network */
}

static __always_inline int write_frame(struct xdp_md *ctx, struct traffic_state *s, int slot)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct varying v;
	__u32 net = next(s, &v);
	__u16 check;

	if ((void *)(udp + 1) > data_end)
		return -1;
	v.daddr = bpf_htonl(config.daddr + (net << 8));
	if (slot)
		v.saddr |= bpf_htonl(TRAFFIC_SECOND_BIT);
	for (int i = 0; i < TRAFFIC_HEADERS / 8; i++)
		((__u64 *)data)[i] = config.words[i];
	((__u16 *)data)[TRAFFIC_HEADERS / 2 - 1] = ((__u16 *)config
							    .headers)[TRAFFIC_HEADERS / 2 - 1];
	ip->saddr = v.saddr;
	ip->daddr = v.daddr;
	ip->check = ~fold((__u64)config.ip_sum + v.saddr + v.daddr);
	udp->source = v.sport;
	check = ~fold((__u64)config.udp_sum + v.saddr + v.daddr + v.sport);
	udp->check = check ? check : 0xffff;
	return 0;
}

static __always_inline int write_frame6(struct xdp_md *ctx, struct traffic_state *s)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct varying v;
	__u32 net = next(s, &v);
	__u16 check;

	if ((void *)(udp + 1) > data_end)
		return -1;
	v.daddr = bpf_htonl(config.daddr + (net << 16));
	for (int i = 0; i < TRAFFIC_HEADERS6 / 8; i++)
		((__u64 *)data)[i] = config.words[i];
	((__u32 *)data)[14] = ((__u32 *)config.headers)[14];
	((__u16 *)data)[30] = ((__u16 *)config.headers)[30];
	ip->saddr.in6_u.u6_addr32[3] = v.saddr;
	ip->daddr.in6_u.u6_addr32[1] = v.daddr;
	udp->source = v.sport;
	check = ~fold((__u64)config.udp_sum + v.saddr + v.daddr + v.sport);
	udp->check = check ? check : 0xffff;
	return 0;
}

static __always_inline void start(struct traffic_state *s)
{
	if (!s->started)
		s->started = bpf_ktime_get_ns();
}

SEC("xdp")
int gen(struct xdp_md *ctx)
{
	start(&state[0]);
	return write_frame(ctx, &state[0], 0) ? XDP_ABORTED : (int)config.action;
}

SEC("xdp")
int gen_second(struct xdp_md *ctx)
{
	start(&state[1]);
	return write_frame(ctx, &state[1], 1) ? XDP_ABORTED : (int)config.action;
}

SEC("xdp")
int gen6(struct xdp_md *ctx)
{
	start(&state[0]);
	return write_frame6(ctx, &state[0]) ? XDP_ABORTED : (int)config.action;
}

static __always_inline void arrive(struct traffic_state *s)
{
	if (++s->arrived == s->goal)
		s->finished = bpf_ktime_get_ns();
}

/* UDP's sum by its header alone: what follows are zeros. */
static __always_inline int good_udp(const struct udphdr *udp, __u64 sum)
{
	const __u32 *u = (const void *)udp;

	if (!udp->check || udp->len != bpf_htons((__u16)config.udp_len))
		return 0;
	return fold(sum + u[0] + u[1] + bpf_htons(IPPROTO_UDP) + udp->len) == 0xffff;
}

static __always_inline int good4(const struct iphdr *ip, void *data_end)
{
	const struct udphdr *udp = (const void *)(ip + 1);
	const __u32 *w = (const void *)ip;
	__u64 sum = 0;

	if ((void *)(udp + 1) > data_end)
		return 0;
	for (int i = 0; i < 5; i++)
		sum += w[i];
	return fold(sum) == 0xffff && good_udp(udp, (__u64)ip->saddr + ip->daddr);
}

static __always_inline int good6(const struct ipv6hdr *ip, void *data_end)
{
	const struct udphdr *udp = (const void *)(ip + 1);
	const __u32 *w = (const void *)&ip->saddr;
	__u64 sum = 0;

	if ((void *)(udp + 1) > data_end)
		return 0;
	for (int i = 0; i < 8; i++)
		sum += w[i];
	return good_udp(udp, sum);
}

static __always_inline void count(void *data, void *data_end)
{
	struct traffic_state *s = &state[0];
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	int good;

	if ((void *)(ip + 1) > data_end || *(__u32 *)eth->h_dest != *(__u32 *)config.sink_mac) {
		s->wrong++;
		return;
	}
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if (ip->saddr & bpf_htonl(TRAFFIC_SECOND_BIT))
			s = &state[1];
		good = ip->ttl == config.sink_ttl && (!config.verify || good4(ip, data_end));
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6) && (void *)(ip6 + 1) <= data_end) {
		good = ip6->hop_limit == config.sink_ttl &&
		       (!config.verify || good6(ip6, data_end));
	} else {
		good = 0;
	}
	if (good)
		arrive(s);
	else
		s->wrong++;
}

SEC("xdp.frags")
int sink_xdp(struct xdp_md *ctx)
{
	count((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return XDP_DROP;
}

SEC("tc")
int sink_tc(struct __sk_buff *skb)
{
	count((void *)(long)skb->data, (void *)(long)skb->data_end);
	return TC_ACT_SHOT;
}

/* The filter of a UDP socket: what it is asked about has been delivered; it is not queued. */
SEC("socket")
int sink_socket(struct __sk_buff *skb)
{
	if (skb->len == config.udp_len)
		arrive(&state[0]);
	else
		state[0].wrong++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
