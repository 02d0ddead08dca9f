// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this host sends, judged at OUTPUT by the same parser and tables as what comes in, in place
 * of the nft chain (direct mode). It never drops and changes nothing but the packet's conntrack
 * state, by module nf_untrack_bpf (docs/kmod.md). Packets here begin with the IP header and are
 * whole.
 */
#include <linux/errno.h>
#include <linux/netfilter.h>
#include "kfuncs.h"
#include "read_dynptr.h"
#include "output_counters.h"

/* include/linux/netfilter/nf_conntrack_common.h: not the kernel's interface for programs. */
#define NFCT_INFOMASK	7UL
#define IP_CT_UNTRACKED 7

#define ONLY_FORWARD 0
#define AT_OUTPUT    1
#include "classify.h"

static __always_inline __u32 device_of(struct bpf_nf_ctx *ctx)
{
	return ctx->state->out->ifindex;
}

/*
 * What nearly every packet is, as read_direct.h's parse_fast(). A slice costs a call whatever its
 * size, so both headers are in one; only UDP with hardly a payload takes a second.
 */
static __always_inline int parse_fast(struct bpf_nf_ctx *ctx, struct ctb_pkt *p)
{
	const __u32 need = sizeof(struct udphdr);
	__u32 off, l4_len, len = ctx->skb->len;
	/* Room for the larger of them. */
	__u64 copy[8];
	struct bpf_dynptr ptr;
	int tcp = 1;
	void *l4;

	bpf_dynptr_from_skb((struct __sk_buff *)ctx->skb, 0, &ptr);
	if (ctx->state->pf == NFPROTO_IPV4) {
		struct iphdr *ip = bpf_dynptr_slice(&ptr, 0, copy,
						    sizeof(*ip) + sizeof(struct tcphdr));

		off = sizeof(*ip);
		if (!ip) {
			ip = bpf_dynptr_slice(&ptr, 0, copy, sizeof(*ip) + need);
			tcp = 0;
		}
		if (!ip || *(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
			return 0;
		l4_len = bpf_ntohs(ip->tot_len) - (__u32)sizeof(*ip);
		p->proto = ip->protocol;
		p->src_lo = bpf_ntohl(ip->saddr);
		p->dst_lo = bpf_ntohl(ip->daddr);
		l4 = ip + 1;
	} else {
		struct ipv6hdr *ip6 = bpf_dynptr_slice(&ptr, 0, copy,
						       sizeof(*ip6) + sizeof(struct tcphdr));

		off = sizeof(*ip6);
		if (!ip6) {
			ip6 = bpf_dynptr_slice(&ptr, 0, copy, sizeof(*ip6) + need);
			tcp = 0;
		}
		if (!ip6 || (*(__u8 *)ip6 & 0xf0) != 0x60)
			return 0;
		l4_len = bpf_ntohs(ip6->payload_len);
		p->v6 = 1;
		p->proto = ip6->nexthdr;
		p->src_hi = be64_at(&ip6->saddr);
		p->src_lo = be64_at((void *)&ip6->saddr + 8);
		p->dst_hi = be64_at(&ip6->daddr);
		p->dst_lo = be64_at((void *)&ip6->daddr + 8);
		l4 = ip6 + 1;
	}
	p->bytes = l4_len + off;
	if (l4_len - need > len - off - need)
		return 0;
	if (p->proto == IPPROTO_UDP) {
		struct udphdr *uh = l4;

		if (bpf_ntohs(uh->len) - need > l4_len - need)
			return 0;
	} else if (p->proto == IPPROTO_TCP && tcp) {
		struct tcphdr *th = l4;

		if (th->doff < 5 || th->doff * 4U > l4_len)
			return 0;
	} else {
		return 0;
	}
	p->sport = ((__be16 *)l4)[0];
	p->dport = ((__be16 *)l4)[1];
	return 1;
}

/*
 * What leaves by a device in a VRF passes OUTPUT twice, by the VRF and by the device, and is
 * UNTRACKED the first time, for that time only (vrf_nf_set_untracked() in drivers/net/vrf.c).
 */
static __always_inline int passes_again(struct bpf_nf_ctx *ctx)
{
	return cfg.vrf && (ctx->skb->_nfct & NFCT_INFOMASK) == IP_CT_UNTRACKED;
}

/*
 * Untracked already: not by us, or by our nft chain while the daemon goes over from that one to
 * this program, and then it has counted the packet.
 */
static __always_inline void apply(struct bpf_nf_ctx *ctx, const struct ctb_pkt *p, int v)
{
	if (passes_again(ctx))
		return;
	if (VERDICT_ACTION(v) != CTB_TRACK && cfg.direct &&
	    bpf_nf_ct_set_untracked(ctx) == -EALREADY)
		return;
	count_output(VERDICT_SLOT(v), p->quoted ? CTB_DIR_ERROR : VERDICT_DIR(v), p->bytes);
}

/* Everything that the fast parse left. A global function: verified once. */
__noinline int judge_full(struct bpf_nf_ctx *ctx)
{
	int v6 = ctx->state->pf == NFPROTO_IPV6, v;
	struct ctb_pkt p = {};

	if (parse(ctx, ctx->skb->len, 0, v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP), 0, 0,
		  &p) != CTB_PARSED)
		return 0;
	v = classify_full(&p, device_of(ctx), 0);
	if (v >= 0)
		apply(ctx, &p, v);
	return 0;
}

SEC(CTB_SEC_NETFILTER)
int ctb_output(struct bpf_nf_ctx *ctx)
{
	struct ctb_pkt p = {};
	int v;

	if (UNLIKELY(!parse_fast(ctx, &p))) {
		judge_full(ctx);
		return NF_ACCEPT;
	}
	v = classify(&p, THE_DEVICE_OF(ctx), 0);
	if (v >= 0)
		apply(ctx, &p, v);
	return NF_ACCEPT;
}

char LICENSE[] SEC("license") = "GPL";
