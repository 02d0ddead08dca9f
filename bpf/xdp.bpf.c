// SPDX-License-Identifier: GPL-2.0-only
/*
 * XDP: packets that a `forward` rule fits are routed and sent on, before an skb exists. All else
 * passes, uncounted: tc ingress judges and counts it. What XDP cannot send is counted as handed
 * over, and tc tries again.
 */
#define CTB_CTX struct xdp_md
#include "classify.h"
#include "forward.h"

/* A frame on its way through. */
struct ctb_frame {
	__u32 l3;    /* offset of the IP header: 14, or 18 behind a VLAN tag */
	__u32 bytes; /* of the IP packet, by its header */
	__u32 ifindex;
};

/* Multi-buffer frames have more than data_end - data. Global: verified once. */
__noinline int parse_full(struct xdp_md *ctx, struct ctb_pkt *out)
{
	struct ctb_pkt p = {};
	int r;

	if (!out)
		return CTB_R_INTERNAL;
	r = parse(ctx, bpf_xdp_get_buff_len(ctx), 1, 0, 0, 0, 0, CTB_FULL, &p);
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
static __always_inline int maybe_partial(struct xdp_md *ctx, const struct ctb_pkt *p,
					 const struct ctb_frame *f)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 l3_len = p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	void *ip = data + (f->l3 & 0x1f), *l4 = ip + l3_len; /* mask: 6.1 loses its range */
	__u64 sum = (__u64)bpf_htonl(p->proto) + bpf_htonl(f->bytes - l3_len);
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
			return is_tunnel_port(p->dport);
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
				   const struct ctb_frame *f, const struct bpf_fib_lookup *fib,
				   __u16 out_vid)
{
	__u32 want = f->l3 + f->bytes, l3 = f->l3;
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
	} else if (f->l3 != ETH_HLEN_) {
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
static __always_inline int forward(struct xdp_md *ctx, struct ctb_pkt *p, const struct ctb_frame *f,
				   int fragment, int *action)
{
	struct ctb_transit t = {
		.ifindex = f->ifindex,
		.mtu_len = f->bytes,
		.fragment = !!fragment,
	};
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ctb_netdev *in = find_netdev(f->ifindex), *out;
	struct bpf_fib_lookup fib = {};
	struct ethhdr *eth = data;
	int r;

	if (!in || !(in->flags & CTB_ND_IN))
		return CTB_FB_DEVICE;
	if ((void *)(eth + 1) > data_end)
		return CTB_FB_FAILED;
	if (*(__u32 *)data != *(__u32 *)in->mac || *(__u16 *)(data + 4) != *(__u16 *)(in->mac + 4))
		return eth->h_dest[0] & 1 ? CTB_FB_MULTICAST : CTB_FB_MAC;
	if (f->l3 == ETH_HLEN_) /* a constant offset makes cheaper code */
		r = find_route(ctx, ETH_HLEN_, p, in, &t, &fib, &out);
	else
		r = find_route(ctx, ETH_HLEN_ + VLAN_HLEN_, p, in, &t, &fib, &out);
	if (r != CTB_ROUTED)
		return r;
	if (t.no_neigh)
		return CTB_FB_NO_NEIGHBOUR;
	if (!out->out || (!(out->flags & CTB_ND_OUT_SG) && data_end - data < f->l3 + f->bytes))
		return CTB_FB_NO_XDP_OUT;
	if (in->flags & CTB_ND_PARTIAL && !fragment && maybe_partial(ctx, p, f))
		return CTB_FB_PARTIAL;
	if (wants_refresh(&fib))
		return CTB_FB_REFRESH;
	/* Asked before the frame is touched: the device may have gone a moment ago. */
	if (bpf_redirect_map(&egress, out->out, XDP_PASS) != XDP_REDIRECT)
		return CTB_FB_NO_XDP_OUT;
	*action = rewrite(ctx, p, f, &fib, out->out_vid);
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

SEC("xdp.frags")
int ctb_xdp(struct xdp_md *ctx)
{
	struct ctb_frame f = {};
	struct ctb_pkt p = {};
	__u32 slot, dir, fragment;
	int r, action = XDP_PASS;

	r = parse(ctx, ctx->data_end - ctx->data, 1, 0, 0, 0, 0, CTB_FAST, &p);
	if (r == CTB_R_NOT_IP)
		return XDP_PASS;
	if (r != CTB_PARSED)
		r = parse_full(ctx, &p);
	fragment = is_fragment(&p, r);
	if (r != CTB_PARSED && !fragment)
		return XDP_PASS;
	f.l3 = p.l3;
	f.bytes = p.bytes;
	f.ifindex = owner(ctx, &p);
	if (!f.ifindex)
		return XDP_PASS;
	if (fragment) {
		int v = classify_fragment(ctx, p.l3, p.v6, f.ifindex);

		if (v == NO_VERDICT)
			return XDP_PASS;
		slot = VERDICT_SLOT(v);
		dir = VERDICT_DIR(v);
		p.quoted = 0;
	} else {
		struct ctb_entry *e = classify(&p, f.ifindex, 0, 1, &r);

		if (!e || e->action != CTB_FORWARD || e->flags & CTB_E_LOCAL)
			return XDP_PASS;
		slot = e->slot;
		dir = p.quoted ? CTB_DIR_ERROR : e->flags & CTB_E_REPLY;
	}
	r = forward(ctx, &p, &f, fragment, &action);
	if (r != CTB_ROUTED) {
		count_fallback(r, 1, f.bytes);
		return XDP_PASS;
	}
	count_rule(slot, CTB_OUT_XDP, dir, f.bytes);
	return action;
}

char LICENSE[] SEC("license") = "GPL";
