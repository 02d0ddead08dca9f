/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * May this packet be forwarded past the kernel, and where to? The same for XDP and tc. Whatever
 * the kernel's own forwarding would do more than to look up a route and count down the TTL is a
 * reason (enum ctb_fallback) to leave it the packet, as it came.
 *
 * The kernel's checks that this stands for are those of ip_rcv_core(), ip_route_input_slow(),
 * fib_validate_source() and ip_forward() (net/ipv4), ip6_rcv_core() and ip6_forward() (net/ipv6).
 */
#ifndef CTB_FORWARD_H
#define CTB_FORWARD_H

#include "maps.h"
#include "parse.h"

#define CTB_ROUTED (-1)

/*
 * When each neighbour was last used the kernel's way; see wants_refresh(). XDP and tc share the
 * map, as all of one name, but not the number: what XDP hands to tc for that is to be seen as new
 * there. Written and read by the programs alone.
 */
#define NEIGH_SLOTS 4096
struct ctb_neigh_seen {
	__u32 by_xdp; /* epoch */
	__u32 by_tc;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NEIGH_SLOTS);
	__type(key, __u32);
	__type(value, struct ctb_neigh_seen);
} neigh_seen SEC(".maps");

#define AF_INET_  2
#define AF_INET6_ 10

/* bpf_fib_lookup()'s answers, include/uapi/linux/bpf.h. */
#define FIB_OK(rc)	  ((rc) == BPF_FIB_LKUP_RET_SUCCESS || (rc) == BPF_FIB_LKUP_RET_NO_NEIGH)
#define FIB_HAS_ROUTE(rc) (FIB_OK(rc) || (rc) == BPF_FIB_LKUP_RET_FRAG_NEEDED)

/* The packet, as far as routing asks for more than classifying did. */
struct ctb_transit {
	__u32 ifindex; /* came in by; for VLAN frames the VLAN device */
	__u32 mtu_len; /* IP length that the egress MTU has to hold */
	__u8 fragment; /* first or later */
	__u8 no_neigh; /* out: there is a route, but no link-layer address yet */
};

static __always_inline struct ctb_netdev *find_netdev(__u32 ifindex)
{
	return bpf_map_lookup_elem(&netdevs, &ifindex);
}

static __always_inline int fallback_of(long rc)
{
	switch (rc) {
	case BPF_FIB_LKUP_RET_BLACKHOLE:
		return CTB_FB_BLACKHOLE;
	case BPF_FIB_LKUP_RET_UNREACHABLE:
		return CTB_FB_UNREACHABLE;
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return CTB_FB_PROHIBIT;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return CTB_FB_NOT_FORWARDING;
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return CTB_FB_LWT;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return CTB_FB_MTU;
	}
	return CTB_FB_NO_ROUTE;
}

/* A sum of 32-bit words to the 16-bit one's complement sum. */
static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* -1, or why an IPv4 source or destination (host order) is not for the fast path. */
static __always_inline int check_addr4(__u32 a)
{
	if (a >> 28 == 0xe || a == 0xffffffff)
		return CTB_FB_MULTICAST;
	if (a >> 24 == 0 || a >> 24 == 127)
		return CTB_FB_MARTIAN;
	if (a >> 16 == 0xa9fe)
		return CTB_FB_LINK_LOCAL;
	return -1;
}

/* hi: address bytes 0-7 as a number. */
static __always_inline int check_addr6(__u64 hi, __u64 lo)
{
	if (hi >> 56 == 0xff)
		return CTB_FB_MULTICAST;
	if (hi >> 54 == 0xfe80 >> 6)
		return CTB_FB_LINK_LOCAL;
	/* Unspecified, loopback; IPv4-mapped, which no output of the kernel's takes for a source.
	 */
	if (!hi && (lo <= 1 || lo >> 32 == 0xffff))
		return CTB_FB_MARTIAN;
	return -1;
}

/*
 * What the kernel's flow dissector calls ports (proto_ports_offset() in net/core/flow_dissector.c,
 * include/uapi/linux/in.h), since among equal-cost paths they choose the next hop: for ESP and AH
 * it is the SPI. Fragments and ICMP have none.
 */
static __always_inline void set_ports(const struct ctb_pkt *p, const struct ctb_transit *t,
				      void *l4, void *data_end, struct bpf_fib_lookup *fib)
{
	if (t->fragment || p->quoted)
		return;
	if (p->proto == IPPROTO_ESP || p->proto == IPPROTO_AH) {
		__be16 *spi = l4 + (p->proto == IPPROTO_AH ? 4 : 0);

		if ((void *)(spi + 2) <= data_end) {
			fib->sport = spi[0];
			fib->dport = spi[1];
		}
		return;
	}
	fib->sport = p->sport;
	fib->dport = p->dport;
}

/*
 * fib_validate_source(): would an answer leave by the device that this came in by (strict), or at
 * all (loose)? A multipath route back may choose another leg than ours; then the kernel decides.
 * ICMP errors are looked at in any case: the classifier judged what they quote, so nobody knows
 * yet that their own source is not one of this host's addresses (a martian).
 */
static __always_inline int check_source4(CTB_CTX *ctx, const struct iphdr *ip,
					 const struct ctb_netdev *in, const struct ctb_transit *t,
					 struct bpf_fib_lookup *fib)
{
	__u32 ifindex;
	long rc;

	/* In the memory for the other way, since the stack is small. */
	fib->family = AF_INET_;
	fib->tos = ip->tos;
	fib->ipv4_src = ip->daddr;
	fib->ipv4_dst = ip->saddr;
	fib->ifindex = t->ifindex;
	rc = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	ifindex = fib->ifindex;
	__builtin_memset(fib, 0, sizeof(*fib));
	if (rc == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return CTB_FB_NOT_FORWARDING;
	if (!FIB_HAS_ROUTE(rc))
		return CTB_FB_RP_FILTER;
	if (in->flags & CTB_ND_RPF_STRICT && ifindex != t->ifindex)
		return CTB_FB_RP_FILTER;
	return -1;
}

static __always_inline int query4(CTB_CTX *ctx, void *data, void *data_end, __u32 l3,
				  const struct ctb_pkt *p, const struct ctb_netdev *in,
				  const struct ctb_transit *t, struct bpf_fib_lookup *fib)
{
	struct iphdr *ip = data + l3;
	__u32 *w = (void *)ip;
	int r;

	if ((void *)(ip + 1) > data_end)
		return CTB_FB_FAILED;
	if (ip->ihl != 5)
		return CTB_FB_OPTIONS;
	if (fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]) != 0xffff)
		return CTB_FB_CHECKSUM;
	r = check_addr4(bpf_ntohl(ip->daddr));
	if (r < 0)
		r = check_addr4(bpf_ntohl(ip->saddr));
	if (r >= 0)
		return r;
	if (ip->ttl <= 1)
		return CTB_FB_TTL;
	if (p->quoted && in->flags & CTB_ND_ERRORS4_UP)
		return CTB_FB_ECMP_ERROR;
	if ((in->flags & CTB_ND_RPF_STRICT) && (in->flags & CTB_ND_RPF_LOOSE))
		return CTB_FB_RP_FILTER;
	if (in->flags & (CTB_ND_RPF_STRICT | CTB_ND_RPF_LOOSE) || p->quoted) {
		r = check_source4(ctx, ip, in, t, fib);
		if (r >= 0)
			return r;
	}
	fib->family = AF_INET_;
	fib->tos = ip->tos;
	fib->l4_protocol = ip->protocol;
	fib->ipv4_src = ip->saddr;
	fib->ipv4_dst = ip->daddr;
	set_ports(p, t, ip + 1, data_end, fib);
	return -1;
}

static __always_inline int query6(void *data, void *data_end, __u32 l3, const struct ctb_pkt *p,
				  const struct ctb_netdev *in, const struct ctb_transit *t,
				  struct bpf_fib_lookup *fib)
{
	struct ipv6hdr *ip6 = data + l3;
	int r;

	if ((void *)(ip6 + 1) > data_end)
		return CTB_FB_FAILED;
	if (is_ext_header(ip6->nexthdr) && !(t->fragment && ip6->nexthdr == IPPROTO_FRAGMENT))
		return CTB_FB_EXT_HEADER;
	r = check_addr6(be64_at(&ip6->daddr), be64_at((void *)&ip6->daddr + 8));
	if (r < 0)
		r = check_addr6(be64_at(&ip6->saddr), be64_at((void *)&ip6->saddr + 8));
	if (r >= 0)
		return r;
	if (in->flags & CTB_ND_NO_FORWARD6)
		return CTB_FB_NOT_FORWARDING;
	if (ip6->hop_limit <= 1)
		return CTB_FB_TTL;
	if (p->quoted && in->flags & CTB_ND_ERRORS6_UP)
		return CTB_FB_ECMP_ERROR;
	fib->family = AF_INET6_;
	fib->flowinfo = *(__be32 *)ip6 & bpf_htonl(0x0fffffff);
	/* ip6_multipath_l3_keys() hashes the header's own next header, the dissector the last. */
	fib->l4_protocol = ip6->nexthdr;
	if (t->fragment && in->flags & CTB_ND_HASH6_L4) {
		__u8 *frag = (void *)(ip6 + 1);

		if ((void *)(frag + 8) > data_end)
			return CTB_FB_FAILED;
		fib->l4_protocol = frag[0];
	}
	__builtin_memcpy(fib->ipv6_src, &ip6->saddr, 16);
	__builtin_memcpy(fib->ipv6_dst, &ip6->daddr, 16);
	set_ports(p, t, ip6 + 1, data_end, fib);
	return -1;
}

/*
 * Where the packet is to go: CTB_ROUTED, with *fib filled by the kernel and *out the device that
 * it leaves by, or the reason why not. Nothing is changed. l3: offset of the IP header, a constant
 * where it can be. in: what is known of the device t->ifindex.
 */
static __always_inline int find_route(CTB_CTX *ctx, __u32 l3, const struct ctb_pkt *p,
				      const struct ctb_netdev *in, struct ctb_transit *t,
				      struct bpf_fib_lookup *fib, struct ctb_netdev **out)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 len = t->mtu_len, route_mtu;
	struct ctb_netdev *nd;
	long rc;
	int r;

	if (in->flags & CTB_ND_XFRM)
		return CTB_FB_XFRM;
	if (p->v6)
		r = query6(data, data_end, l3, p, in, t, fib);
	else
		r = query4(ctx, data, data_end, l3, p, in, t, fib);
	if (r >= 0)
		return r;
	/* The longest fragment decides for all of them, and none is longer than what comes in. */
	if (t->fragment && in->mtu > len)
		len = in->mtu;
	route_mtu = p->v6 ? in->route_mtu6 : in->route_mtu4;
	if (route_mtu && len > route_mtu)
		return CTB_FB_MTU;
	fib->tot_len = len < 0xffff ? len : 0xffff;
	fib->ifindex = t->ifindex;
	rc = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	if (!FIB_OK(rc))
		return fallback_of(rc);
	if (fib->ifindex == t->ifindex)
		return CTB_FB_SAME_DEVICE;
	nd = find_netdev(fib->ifindex);
	if (!nd || !(nd->flags & CTB_ND_OUT))
		return CTB_FB_EGRESS;
	t->no_neigh = rc == BPF_FIB_LKUP_RET_NO_NEIGH;
	*out = nd;
	return CTB_ROUTED;
}

/*
 * Redirected packets do not tell the kernel that a neighbour is in use: its entry would go STALE
 * and stay so, and a host that comes back with another MAC address would never be found. So every
 * 1,024 jiffies (4 seconds at 250 Hz) one packet for each neighbour is sent by bpf_redirect_neigh()
 * (XDP hands it to tc for that), which uses the entry like any other output (neigh_output(),
 * include/net/neighbour.h) and makes a stale one be probed. The epoch is part of the hash, so that
 * two neighbours that share a slot do not share the next one; so is the next hop's address (the
 * lookup leaves it where the destination was; the part behind an IPv4 address is 0), since one host
 * has an entry for each of its addresses.
 */
static __always_inline int wants_refresh(const struct bpf_fib_lookup *fib)
{
	/* The map starts with 0. */
	__u32 epoch = (__u32)(bpf_jiffies64() >> 10) + 1, slot, *last;
	struct ctb_neigh_seen *seen;

	slot = (fib->ipv6_dst[0] ^ fib->ipv6_dst[1] ^ fib->ipv6_dst[2] ^ fib->ipv6_dst[3] ^
		fib->ifindex << 16 ^ epoch * 0x9e3779b1) *
	       0x85ebca6b;
	slot >>= 20; /* NEIGH_SLOTS */
	seen = bpf_map_lookup_elem(&neigh_seen, &slot);
	if (!seen)
		return 0;
	last = sizeof(CTB_CTX) == sizeof(struct xdp_md) ? &seen->by_xdp : &seen->by_tc;
	if (*last == epoch)
		return 0;
	*last = epoch;
	return 1;
}

/* In halves: what the headers say of alignment would make it byte by byte. */
static __always_inline void copy_mac(void *to, const void *from)
{
	__u16 *d = to;
	const __u16 *s = from;

	d[0] = s[0];
	d[1] = s[1];
	d[2] = s[2];
}

/* As ip_decrease_ttl() (include/net/ip.h), so that the bytes are the kernel's. */
static __always_inline __u16 decreased_check(__u16 check)
{
	__u32 sum = check + (__u32)bpf_htons(0x0100);

	return sum + (sum >= 0xffff);
}

#endif
