/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tc ingress: judge the packet, and count it or forward it. The program never drops, changes no
 * packet but those that it forwards, and lets the next program run on all others. How a verdict is
 * handed over is up to the including program, which defines hand_over(), leave(), foreign_mark(),
 * and DEFER_FRAGMENTS: 1 if it has to be told of fragments.
 */
#ifndef CTB_TC_H
#define CTB_TC_H

#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#define CTB_CTX	     struct __sk_buff
#define ONLY_FORWARD 0
#define AT_OUTPUT    0
#include "read_direct.h"
#include "classify.h"
#include "forward.h"

/* Has the packet a mark of somebody else's, which may steer its routing? */
static __always_inline __u32 foreign_mark(struct __sk_buff *skb);
/* The packet is to be UNTRACKED; fragment: when the datagram is whole. */
static __always_inline void hand_over(struct __sk_buff *skb, int fragment);
/* It is not, or it has left the host. */
static __always_inline void leave(struct __sk_buff *skb);

static __always_inline int is_gso(struct __sk_buff *skb)
{
	return skb->gso_size != 0;
}

static __always_inline __u32 device_of(struct __sk_buff *skb)
{
	return skb->ifindex;
}

/*
 * Everything that the fast parse left. A global function, so that the verifier goes through it
 * once. Headers in pages are made linear first; that is rare, since drivers copy headers.
 */
__noinline int parse_full(struct __sk_buff *skb, int l2, struct ctb_pkt *out)
{
	struct ctb_pkt p = {};
	__u32 len = skb->len;
	int r;

	if (!out)
		return CTB_R_INTERNAL;
	if (skb->data_end - skb->data < len) {
		if (len > HEADERS_MAX)
			len = HEADERS_MAX;
		if (bpf_skb_pull_data(skb, len))
			return CTB_R_BAD_LINK;
	}
	r = parse(skb, skb->len, l2, skb->protocol, skb->vlan_present, skb->vlan_tci, &p);
	*out = p;
	return r;
}

/* Where no good IP header says how long the packet is, all of the frame is counted. */
static __always_inline void count_reason(struct __sk_buff *skb, const struct ctb_pkt *p,
					 __u32 reason)
{
	struct ctb_count *c = bpf_map_lookup_elem(&reasons, &reason);

	if (c) {
		c->packets++;
		c->bytes += p->bytes ? p->bytes : skb->len;
	}
}

/*
 * The IP length that the egress MTU has to hold: of a GRO packet, that of its longest segment
 * (skb_gso_network_seglen() in net/core/gso.c). What a UDP packet's segments are cannot be seen
 * (a tunnel's have inner headers that repeat), nor that of other protocols: room for those headers
 * is taken into account, or the kernel gets the packet.
 */
#define INNER_HEADERS_MAX 128

static __always_inline __u32 segment_len(struct __sk_buff *skb, const struct ctb_pkt *p)
{
	__u32 l3_len = p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct tcphdr *th = data + ETH_HLEN_ + l3_len;

	if (p->proto == IPPROTO_UDP)
		return l3_len + sizeof(struct udphdr) + INNER_HEADERS_MAX + skb->gso_size;
	if (p->proto == IPPROTO_TCP && (void *)(th + 1) <= data_end)
		return l3_len + th->doff * 4 + skb->gso_size;
	return p->bytes;
}

/*
 * Trim as ip_rcv_core() does, count down the TTL, and write the MAC addresses. Writing directly is
 * 20 ns cheaper than through bpf_skb_store_bytes(); the price is that the verifier puts code in
 * front of the program that makes the header of cloned packets writable, forwarded or not. 0, or
 * not 0: then it is as it came, but for padding.
 */
static __always_inline int rewrite(struct __sk_buff *skb, const struct ctb_pkt *p,
				   const struct bpf_fib_lookup *fib)
{
	struct ethhdr *eth;
	struct iphdr *ip;
	__u8 hops;

	if (!skb->gso_size && skb->len > ETH_HLEN_ + p->bytes &&
	    bpf_skb_change_tail(skb, ETH_HLEN_ + p->bytes, 0))
		return -1;
	eth = (void *)(long)skb->data;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return -1;
	copy_mac(eth->h_dest, fib->dmac);
	copy_mac(eth->h_source, fib->smac);
	if (!p->v6) {
		ip->check = decreased_check(ip->check);
		ip->ttl--;
		return 0;
	}
	/*
	 * A sum that the receiving card made of the packet (CHECKSUM_COMPLETE) has to follow. With
	 * IPv4 it stays right: TTL and checksum change against each other.
	 */
	hops = ((struct ipv6hdr *)ip)->hop_limit - 1;
	return bpf_skb_store_bytes(skb, ETH_HLEN_ + 7, &hops, 1, BPF_F_RECOMPUTE_CSUM);
}

/*
 * Send the packet as any output of the kernel's is sent: that resolves the next hop, keeps it
 * alive, and tells the sender when there is none. The route is looked up once more for that, since
 * with the dst entry that comes from it come those ICMP errors. Only where the choice among several
 * gateways could be another than ours is ours given, and the errors are not.
 */
static __always_inline void output(const struct bpf_fib_lookup *fib, const struct ctb_netdev *in)
{
	struct bpf_redir_neigh hop = {};

	if (!(in->flags & CTB_ND_NEXT_HOP)) {
		bpf_redirect_neigh(fib->ifindex, NULL, 0, 0);
		return;
	}
	hop.nh_family = fib->family;
	__builtin_memcpy(hop.ipv6_nh, fib->ipv6_dst, sizeof(hop.ipv6_nh));
	bpf_redirect_neigh(fib->ifindex, &hop, sizeof(hop), 0);
}

/* CTB_ROUTED: the packet is on its way. Or why it is the kernel's, as it came. */
static __always_inline int forward(struct __sk_buff *skb, const struct ctb_pkt *p, int fragment)
{
	struct ctb_transit t = {
		.ifindex = skb->ifindex,
		.mtu_len = p->bytes,
		.fragment = !!fragment,
	};
	struct ctb_netdev *in = find_netdev(skb->ifindex), *out;
	struct bpf_fib_lookup fib = {};
	int r;

	if (!in || !(in->flags & CTB_ND_IN))
		return CTB_FB_DEVICE;
	if (p->l3 != ETH_HLEN_ || skb->vlan_present)
		return CTB_FB_VLAN;
	if (skb->pkt_type != PACKET_HOST)
		return CTB_FB_MULTICAST;
	if (foreign_mark(skb))
		return CTB_FB_MARK;
	if (skb->gso_size)
		t.mtu_len = segment_len(skb, p);
	r = find_route(skb, ETH_HLEN_, p, in, &t, &fib, &out);
	if (r != CTB_ROUTED)
		return r;
	if (rewrite(skb, p, &fib))
		return CTB_FB_FAILED;
	if (t.no_neigh || wants_refresh(&fib))
		output(&fib, in);
	else
		bpf_redirect(fib.ifindex, 0);
	return CTB_ROUTED;
}

/* What is found of a packet that leaves the hot path. */
enum verdict {
	TRACKED,
	UNTRACKED,
	DEFERRED, /* UNTRACKED, and a fragment: when the datagram is whole */
	FORWARDED
};

/* A constant where fragments are as good as any packet: no branch is made for them. */
static __always_inline enum verdict untracked(int fragment)
{
	return DEFER_FRAGMENTS && fragment ? DEFERRED : UNTRACKED;
}

/*
 * A packet that a forward entry fits: away with it, or to the kernel, untracked. A global function:
 * verified once, and what it keeps on the stack is not on that of others.
 */
__noinline int try_forward(struct __sk_buff *skb, __u32 match, struct ctb_pkt *p)
{
	__u32 slot = VERDICT_SLOT(match), dir = MATCH_DIR(match), flags = MATCH_FLAGS(match);
	int r = CTB_FB_DEVICE;

	if (!cfg.forward || !p)
		return TRACKED;
	if (flags & M_LOCAL)
		r = CTB_FB_LOCAL;
	else if (flags & M_DIVIDED)
		r = CTB_FB_FRAGMENT;
	else if (flags & M_ETHER)
		r = forward(skb, p, flags & M_FRAGMENT);
	count_rule(slot, r == CTB_ROUTED ? CTB_OUT_TC : CTB_OUT_KERNEL, dir, p->bytes);
	if (r == CTB_ROUTED)
		return FORWARDED;
	count_fallback(r, 0, p->bytes);
	return untracked(flags & M_FRAGMENT);
}

static __always_inline int vlan_device_judges(__u32 ifindex, __u16 vid)
{
	struct ctb_vlan_key k = { .parent = ifindex, .vid = vid };

	return cfg.vlan_devices && vid && bpf_map_lookup_elem(&vlan_devices, &k);
}

/* The fast parse's: no more of it is known. */
static __always_inline struct ctb_pkt copy_of(const struct ctb_pkt *p)
{
	return (struct ctb_pkt){
		.src_hi = p->src_hi,
		.src_lo = p->src_lo,
		.dst_hi = p->dst_hi,
		.dst_lo = p->dst_lo,
		.bytes = p->bytes,
		.l3 = p->l3,
		.sport = p->sport,
		.dport = p->dport,
		.proto = p->proto,
		.v6 = p->v6,
	};
}

/* Any packet that the fast parse did not take. */
static __always_inline enum verdict judge_full(struct __sk_buff *skb, int l2)
{
	__u32 flags = l2 ? M_ETHER : 0, dir;
	struct ctb_pkt p = {};
	int r = parse_full(skb, l2, &p), v;

	if (vlan_device_judges(skb->ifindex, p.vid)) {
		r = CTB_R_VLAN_DEVICE; /* which may have another MAC address than this one */
	} else if (skb->pkt_type == PACKET_OTHERHOST) {
		r = CTB_R_OTHER_HOST;
	} else if (cfg.forward && is_fragment(&p, r)) {
		flags |= M_FRAGMENT;
		v = classify_fragment(skb, p.l3, p.v6, skb->ifindex);
		if (v >= 0) {
			p.quoted = 0;
			return try_forward(skb, MATCH(VERDICT_SLOT(v), VERDICT_DIR(v), flags), &p);
		}
		flags |= M_DIVIDED;
	}
	v = r == CTB_PARSED ? classify_full(&p, skb->ifindex, 0) : NOT_JUDGED(r);
	if (v < 0) {
		count_reason(skb, &p, REASON_OF(v));
		return TRACKED;
	}
	dir = p.quoted ? CTB_DIR_ERROR : VERDICT_DIR(v);
	if (cfg.forward && VERDICT_ACTION(v) == CTB_FORWARD) {
		if (VERDICT_FLAGS(v) & CTB_E_LOCAL)
			flags |= M_LOCAL;
		return try_forward(skb, MATCH(VERDICT_SLOT(v), dir, flags), &p);
	}
	count_rule(VERDICT_SLOT(v), CTB_OUT_KERNEL, dir, p.bytes);
	return VERDICT_ACTION(v) == CTB_TRACK ? TRACKED : untracked(is_fragment(&p, r));
}

static __always_inline int carry_out(struct __sk_buff *skb, enum verdict v)
{
	if (v == UNTRACKED || v == DEFERRED)
		hand_over(skb, v == DEFERRED);
	else
		leave(skb);
	return v == FORWARDED ? TC_ACT_REDIRECT : TC_ACT_UNSPEC;
}

/*
 * Judge the packet and count it, under its rule or under a reason. Returns a TC_ACT_* value. l2: it
 * has an Ethernet header; a compile-time constant. The hot path acts right here: a verdict that is
 * returned first is looked at twice.
 */
static __always_inline int ingress(struct __sk_buff *skb, int l2)
{
	struct ctb_pkt p = {};
	__u32 dir;
	int v;

	if (UNLIKELY(skb->pkt_type == PACKET_OTHERHOST ||
		     !parse_fast(skb, skb->len, l2, skb->protocol, &p)))
		return carry_out(skb, judge_full(skb, l2));
	if (cfg.vlan_devices && skb->vlan_present &&
	    vlan_device_judges(skb->ifindex, skb->vlan_tci & 0xfff))
		v = NOT_JUDGED(CTB_R_VLAN_DEVICE);
	else
		v = classify(&p, THE_DEVICE_OF(skb), 0);
	if (v < 0) {
		count_reason(skb, &p, REASON_OF(v));
		leave(skb);
		return TC_ACT_UNSPEC;
	}
	dir = VERDICT_DIR(v);
	if (cfg.forward && VERDICT_ACTION(v) == CTB_FORWARD) {
		__u32 flags = (l2 ? M_ETHER : 0) | (VERDICT_FLAGS(v) & CTB_E_LOCAL ? M_LOCAL : 0);
		/* Its own, or p would have to be in memory for all other packets too. */
		struct ctb_pkt copy = copy_of(&p);

		return carry_out(skb, try_forward(skb, MATCH(VERDICT_SLOT(v), dir, flags), &copy));
	}
	count_rule(VERDICT_SLOT(v), CTB_OUT_KERNEL, dir, p.bytes);
	if (VERDICT_ACTION(v) == CTB_TRACK)
		leave(skb);
	else
		hand_over(skb, 0);
	return TC_ACT_UNSPEC;
}

/* Devices with an Ethernet header. */
SEC(TC_SECTION)
int ctb_tc_ether(struct __sk_buff *skb)
{
	return ingress(skb, 1);
}

/* Devices whose packets start with the IP header (tun, WireGuard, GRE, IPIP, PPP ...). */
SEC(TC_SECTION)
int ctb_tc_ip(struct __sk_buff *skb)
{
	return ingress(skb, 0);
}

char LICENSE[] SEC("license") = "GPL";

#endif
