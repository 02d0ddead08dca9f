// SPDX-License-Identifier: GPL-2.0-only
/*
 * XDP: packets that a `forward` rule fits are routed and sent on, before an skb exists. All else
 * passes, uncounted: tc ingress judges and counts it. What XDP cannot send is counted as handed
 * over, and tc tries again.
 */
#define CTB_CTX	     struct xdp_md
#define ONLY_FORWARD 1
#define AT_OUTPUT    0
#include "read_direct.h"
#include "classify.h"
#include "forward.h"

/* GRO comes later. */
static __always_inline int is_gso(struct xdp_md *ctx)
{
	(void)ctx;
	return 0;
}

static __always_inline __u32 device_of(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex;
}

/* Multi-buffer frames have more than data_end - data. Global: verified once. */
__noinline int parse_full(struct xdp_md *ctx, struct ctb_pkt *out)
{
	struct ctb_pkt p = {};
	int r;

	if (!out)
		return CTB_R_INTERNAL;
	r = parse(ctx, bpf_xdp_get_buff_len(ctx), 1, 0, 0, 0, &p);
	*out = p;
	return r;
}

/* UDP ports whose payload has a checksum of its own that may be partial: VXLAN, Geneve. */
static __always_inline int is_tunnel_port(__u16 port)
{
	return port == 4789 || port == 8472 || port == 6081 || port == 4790;
}

/*
 * Did the sender leave the checksum to the hardware? On veth and tun such frames come in with the
 * sum of the pseudo header where the checksum goes (CHECKSUM_PARTIAL), which a redirect would send
 * like that. A real checksum has that value once in 65,536 packets; those take the way by tc too.
 * Of protocols whose checksum cannot be looked at nothing is known.
 */
static __always_inline int maybe_partial(struct xdp_md *ctx, const struct ctb_pkt *p)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 l3_len = p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	void *ip = data + (p->l3 & 0x1f), *l4 = ip + l3_len; /* mask: 6.1 loses its range */
	__u64 sum = (__u64)bpf_htonl(p->proto) + bpf_htonl(p->bytes - l3_len);
	__u16 check;

	if (p->quoted)
		return 0;
	switch (p->proto) {
	case IPPROTO_TCP: {
		struct tcphdr *th = l4;

		if ((void *)(th + 1) > data_end)
			return 1;
		check = th->check;
		break;
	}
	case IPPROTO_UDP: {
		struct udphdr *uh = l4;

		if ((void *)(uh + 1) > data_end)
			return 1;
		check = uh->check;
		if (!check)
			return is_tunnel_port(bpf_ntohs(p->dport));
		break;
	}
	case IPPROTO_SCTP: {
		__u32 *crc = l4 + 8;

		return (void *)(crc + 1) > data_end || !*crc;
	}
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_UDPLITE:
		return 0; /* always computed in software */
	default:
		return 1;
	}
	if (p->v6) {
		struct ipv6hdr *ip6 = ip;
		__u32 *a = (void *)&ip6->saddr;

		if ((void *)(ip6 + 1) > data_end)
			return 1;
#pragma clang loop unroll(full)
		for (int i = 0; i < 8; i++)
			sum += a[i];
	} else {
		struct iphdr *ip4 = ip;

		if ((void *)(ip4 + 1) > data_end)
			return 1;
		sum += (__u64)ip4->saddr + ip4->daddr;
	}
	return fold(sum) == check;
}

/*
 * Make the frame what the kernel would send: without padding (ip_rcv_core() trims it), with the
 * tag of the device it leaves by, MAC addresses, TTL. XDP_REDIRECT; XDP_PASS: it is as it came, but
 * for padding; XDP_ABORTED, for bounds that the verifier wants checked and no frame exceeds.
 */
static __always_inline int rewrite(struct xdp_md *ctx, const struct ctb_pkt *p,
				   const struct bpf_fib_lookup *fib, __u16 out_vid)
{
	__u32 want = p->l3 + p->bytes, l3 = p->l3;
	__u32 len = bpf_xdp_get_buff_len(ctx); /* all padding may be in buffers behind the first */
	void *data, *data_end;
	struct ethhdr *eth;
	__be16 *rest;

	if (len > want && bpf_xdp_adjust_tail(ctx, (int)(want - len)))
		return XDP_PASS;
	if (l3 == ETH_HLEN_ && out_vid) {
		if (bpf_xdp_adjust_head(ctx, -VLAN_HLEN_))
			return XDP_PASS;
		l3 += VLAN_HLEN_;
	} else if (l3 != ETH_HLEN_ && !out_vid) {
		if (bpf_xdp_adjust_head(ctx, VLAN_HLEN_))
			return XDP_PASS;
		l3 -= VLAN_HLEN_;
	}
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	eth = data;
	rest = (void *)(eth + 1);
	if (data + ETH_HLEN_ + VLAN_HLEN_ > data_end)
		return XDP_ABORTED;
	copy_mac(eth->h_dest, fib->dmac);
	copy_mac(eth->h_source, fib->smac);
	if (out_vid) {
		eth->h_proto = bpf_htons(ETH_P_8021Q);
		rest[0] = bpf_htons(out_vid);
		rest[1] = p->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	} else if (p->l3 != ETH_HLEN_) {
		eth->h_proto = p->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	}
	l3 &= 0x1f;
	if (p->v6) {
		struct ipv6hdr *ip6 = data + l3;

		if ((void *)(ip6 + 1) > data_end)
			return XDP_ABORTED;
		ip6->hop_limit--;
	} else {
		struct iphdr *ip = data + l3;

		if ((void *)(ip + 1) > data_end)
			return XDP_ABORTED;
		ip->check = decreased_check(ip->check);
		ip->ttl--;
	}
	return XDP_REDIRECT;
}

/* CTB_ROUTED: *action says how rewrite() ended. Or why the frame goes to tc, as it came. */
static __always_inline int forward(struct xdp_md *ctx, const struct ctb_pkt *p, __u32 ifindex,
				   int fragment, int *action)
{
	struct ctb_transit t = {
		.ifindex = ifindex,
		.mtu_len = p->bytes,
		.fragment = !!fragment,
	};
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ctb_netdev *in = find_netdev(ifindex), *out;
	struct bpf_fib_lookup fib = {};
	struct ethhdr *eth = data;
	int r;

	if (!in || !(in->flags & CTB_ND_IN))
		return CTB_FB_DEVICE;
	if ((void *)(eth + 1) > data_end)
		return CTB_FB_FAILED;
	if (*(__u32 *)data != *(__u32 *)in->mac || *(__u16 *)(data + 4) != *(__u16 *)(in->mac + 4))
		return eth->h_dest[0] & 1 ? CTB_FB_MULTICAST : CTB_FB_MAC;
	if (p->l3 == ETH_HLEN_) /* a constant offset makes cheaper code */
		r = find_route(ctx, ETH_HLEN_, p, in, &t, &fib, &out);
	else
		r = find_route(ctx, ETH_HLEN_ + VLAN_HLEN_, p, in, &t, &fib, &out);
	if (r != CTB_ROUTED)
		return r;
	if (t.no_neigh)
		return CTB_FB_NO_NEIGHBOUR;
	if (!out->out || (!(out->flags & CTB_ND_OUT_SG) && data_end - data < p->l3 + p->bytes))
		return CTB_FB_NO_XDP_OUT;
	if (in->flags & CTB_ND_PARTIAL && !fragment && maybe_partial(ctx, p))
		return CTB_FB_PARTIAL;
	if (wants_refresh(&fib))
		return CTB_FB_REFRESH;
	/* Asked before the frame is touched: the device may have gone a moment ago. */
	if (bpf_redirect_map(&egress, out->out, XDP_PASS) != XDP_REDIRECT)
		return CTB_FB_NO_XDP_OUT;
	*action = rewrite(ctx, p, &fib, out->out_vid);
	return *action == XDP_PASS ? CTB_FB_FAILED : CTB_ROUTED;
}

/*
 * The device whose frame this is, 0 if XDP is not to touch it: plain frames belong to the device
 * itself, those with one 802.1Q tag to the VLAN device of that number, if it says so.
 */
static __always_inline __u32 owner(struct xdp_md *ctx, const struct ctb_pkt *p)
{
	struct ctb_vlan_key k = { .parent = ctx->ingress_ifindex, .vid = p->vid };
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct ctb_netdev *nd;
	__u32 *dev;

	if (p->l3 == ETH_HLEN_)
		return ctx->ingress_ifindex;
	if (!cfg.vlan_devices || !p->vid || p->l3 != ETH_HLEN_ + VLAN_HLEN_)
		return 0;
	if ((void *)(eth + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_8021Q))
		return 0;
	dev = bpf_map_lookup_elem(&vlan_devices, &k);
	nd = dev ? find_netdev(*dev) : NULL;
	return nd && nd->flags & CTB_ND_XDP_IN ? *dev : 0;
}

/*
 * A frame that a forward entry fits: out with it, or on to tc. A global function: verified once,
 * and the frames that pass do without its registers and its stack.
 */
__noinline int try_forward(struct xdp_md *ctx, struct ctb_pkt *p, __u32 ifindex, __u32 match)
{
	int r, action = XDP_PASS;

	if (!cfg.forward || !p)
		return XDP_PASS;
	r = forward(ctx, p, ifindex, MATCH_FLAGS(match) & M_FRAGMENT, &action);
	if (r != CTB_ROUTED) {
		count_fallback(r, 1, p->bytes);
		return XDP_PASS;
	}
	count_rule(VERDICT_SLOT(match), CTB_OUT_XDP, MATCH_DIR(match), p->bytes);
	return action;
}

/* Any frame that the fast parse did not take. */
static __always_inline int judge_full(struct xdp_md *ctx)
{
	__u32 ifindex, flags = 0;
	struct ctb_pkt p = {};
	int r, v;

	r = parse_full(ctx, &p);
	if (r != CTB_PARSED && !is_fragment(&p, r))
		return XDP_PASS;
	ifindex = owner(ctx, &p);
	if (!ifindex)
		return XDP_PASS;
	if (is_fragment(&p, r)) {
		v = classify_fragment(ctx, p.l3, p.v6, ifindex);
		flags = M_FRAGMENT;
		p.quoted = 0;
	} else {
		v = classify_full(&p, ifindex, 0);
	}
	if (v < 0 || VERDICT_ACTION(v) != CTB_FORWARD || VERDICT_FLAGS(v) & CTB_E_LOCAL)
		return XDP_PASS;
	return try_forward(
		ctx, &p, ifindex,
		MATCH(VERDICT_SLOT(v), p.quoted ? CTB_DIR_ERROR : VERDICT_DIR(v), flags));
}

SEC("xdp.frags")
int ctb_xdp(struct xdp_md *ctx)
{
	struct ctb_pkt p = {}, copy;
	int v;

	if (UNLIKELY(!parse_fast(ctx, ctx->data_end - ctx->data, 1, 0, &p)))
		return judge_full(ctx);
	v = classify(&p, THE_DEVICE_OF(ctx), 0);
	if (v < 0 || VERDICT_ACTION(v) != CTB_FORWARD || VERDICT_FLAGS(v) & CTB_E_LOCAL)
		return XDP_PASS;
	/* Its own, or p would have to be in memory for all other packets too. */
	copy = p;
	return try_forward(ctx, &copy, ctx->ingress_ifindex,
			   MATCH(VERDICT_SLOT(v), VERDICT_DIR(v), 0));
}

char LICENSE[] SEC("license") = "GPL";
