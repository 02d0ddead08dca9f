// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet generator, run by BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, and the sinks
 * that count what arrives. The kernel recycles the generator's pages with whatever the stack left
 * in them, so every header byte is written on every run. All of this runs on one CPU.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "traffic.h"

struct traffic_config config = {};
__u64 next_flow = 0;
/* Of one run: set to 0 before it, then the time of the first packet and that of arrival `goal`. */
__u64 started = 0, finished = 0, goal = 0;
__u64 arrived = 0; /* as they should be */
__u64 wrong = 0;   /* by address, TTL or checksum */
__u64 fences = 0;

/*
 * gen_tail continues with the program at 0, which so meets a fresh packet on each run of a plain
 * (not live) BPF_PROG_TEST_RUN.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} tail SEC(".maps");

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline int write_frame(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 flow = next_flow++ * config.stride & config.mask;
	__be32 saddr = bpf_htonl(config.saddr + (__u32)(flow >> TRAFFIC_PORT_BITS));
	__u32 spread = (__u32)flow * 0x9e3779b1U >> 16;
	__be32 daddr = bpf_htonl(config.daddr + ((spread & 63) << 16) + (spread >> 6 & 255));
	__be16 sport = bpf_htons(TRAFFIC_FIRST_PORT + (flow & ((1 << TRAFFIC_PORT_BITS) - 1)));
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u16 check;

	if ((void *)(udp + 1) > data_end)
		return -1;
	for (int i = 0; i < TRAFFIC_HEADERS / 8; i++)
		((__u64 *)data)[i] = config.words[i];
	((__u16 *)data)[TRAFFIC_HEADERS / 2 - 1] = config.tail;
	ip->saddr = saddr;
	ip->daddr = daddr;
	ip->check = ~fold((__u64)config.ip_sum + saddr + daddr);
	udp->source = sport;
	check = ~fold((__u64)config.udp_sum + saddr + daddr + sport);
	udp->check = check ? check : 0xffff;
	return 0;
}

SEC("xdp")
int gen(struct xdp_md *ctx)
{
	if (!started)
		started = bpf_ktime_get_ns();
	return write_frame(ctx) ? XDP_ABORTED : (int)config.action;
}

SEC("xdp.frags")
int gen_tail(struct xdp_md *ctx)
{
	if (write_frame(ctx))
		return XDP_ABORTED;
	/* A locked instruction: what was written has left the store buffer, as from a device. */
	__sync_fetch_and_add(&fences, 1);
	bpf_tail_call(ctx, &tail, 0);
	return XDP_ABORTED;
}

static __always_inline int good_checksums(const struct iphdr *ip, void *data_end)
{
	const __u32 *w = (const void *)ip, *u = (const void *)(ip + 1);
	const __u16 *last = (const void *)(u + 7); /* 30 bytes of UDP */
	__u64 sum = 0;

	if ((void *)(last + 1) > data_end || !((const struct udphdr *)u)->check)
		return 0;
	for (int i = 0; i < 5; i++)
		sum += w[i];
	if (fold(sum) != 0xffff)
		return 0;
	sum = (__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_UDP) + bpf_htons(30) + *last;
	for (int i = 0; i < 7; i++)
		sum += u[i];
	return fold(sum) == 0xffff;
}

static __always_inline void count(void *data, void *data_end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    *(__u32 *)eth->h_dest != *(__u32 *)config.sink_mac || ip->ttl != config.sink_ttl ||
	    (config.verify && !good_checksums(ip, data_end)))
		wrong++;
	else if (++arrived == goal)
		finished = bpf_ktime_get_ns();
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

char LICENSE[] SEC("license") = "GPL";
