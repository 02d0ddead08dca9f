/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One parse, from packet bytes to a decoded struct, for every program type. It returns
 * CTB_PARSED or the reason (enum ctb_reason) why this packet cannot be judged; there is no third
 * meaning. The including program defines CTB_CTX, the type of its context (struct __sk_buff,
 * struct xdp_md, struct bpf_nf_ctx), is_gso(), and how packets are read: read_direct.h is for
 * programs that may read them directly, read_dynptr.h for the others.
 */
#ifndef CTB_PARSE_H
#define CTB_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "ctbypass/abi.h"

/* Is it a GRO or GSO packet? Asked where that matters only: the answer is in a line of its own. */
static __always_inline int is_gso(CTB_CTX *ctx);

/* What reading packets takes, from the context. */
struct ctb_bytes;
static __always_inline void bytes_open(CTB_CTX *ctx, struct ctb_bytes *b);
/*
 * Where offset off is: a type of the program's own, to which numbers can be added. Given apart from
 * n, so that a place that is looked at in several ways is computed once.
 */
static __always_inline ctb_place bytes_place(const struct ctb_bytes *b, __u32 off);
/*
 * The packet's n bytes there, unless bytes_missing() says that there are not so many: in two steps,
 * since one that returned NULL would have clang compare twice. n is a compile-time constant. They
 * may be a copy that the next call overwrites.
 */
static __always_inline void *bytes_read(struct ctb_bytes *b, ctb_place place, __u32 n);
static __always_inline int bytes_missing(const struct ctb_bytes *b, const void *at, __u32 n);

static __always_inline void *bytes_at(struct ctb_bytes *b, __u32 off, __u32 n)
{
	return bytes_read(b, bytes_place(b, off), n);
}

#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define CTB_PARSED (-1)

#define ETH_HLEN_	14
#define VLAN_HLEN_	4
#define MAX_VLAN_TAGS	2
#define MAX_EXT_HEADERS 8
/* What they may take up together, a mask for the verifier. */
#define EXT_BYTES_MAX 0x3ff
/*
 * All that is ever looked at: link layer with two tags, IPv6, extension headers, ICMPv6, the same
 * again quoted, ports. It has to be in the linear part, or a verdict would depend on how the
 * driver laid the packet out.
 */
#define HEADERS_MAX (14 + 8 + 40 + EXT_BYTES_MAX + 8 + 40 + EXT_BYTES_MAX + 4)

#ifndef IPPROTO_MH
#define IPPROTO_MH 135
#endif
#define ICMP_REDIRECT	5
#define ICMPV6_REDIRECT 137

/* A packet as the classifier sees it. Numbers are in host byte order, ports as they come. */
struct ctb_pkt {
	__u64 src_hi, src_lo; /* IPv4: in the low 32 bits of src_lo, src_hi is 0 */
	__u64 dst_hi, dst_lo;
	__u32 bytes;	     /* length by the IP header, what is counted */
	__u32 l3;	     /* offset of the IP header */
	__be16 sport, dport; /* 0 for protocols without ports */
	__u16 vid;   /* outermost VLAN id that is not 0; 0: untagged or only priority-tagged */
	__u8 proto;  /* behind the extension headers */
	__u8 v6;     /* 1: IPv6 */
	__u8 quoted; /* 1: the fields above describe the packet that an ICMP error quotes */
	__u8 first_fragment; /* 1: more fragments follow */
};

static __always_inline int has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_DCCP;
}

/*
 * Make the verifier forget what it knows of v. It explores every combination of the ranges that
 * branches leave behind: without this, the walk over extension headers alone exceeds its million
 * instructions (6.18). A slot written in halves and read whole is an unknown number to it.
 */
static __always_inline __u32 forget(__u32 v)
{
	volatile union {
		__u32 whole;
		__u16 half[2];
	} u;

	u.half[0] = v & 0xffff;
	u.half[1] = v >> 16;
	return u.whole;
}

static __always_inline __u64 be64_at(const void *p)
{
	return bpf_be64_to_cpu(*(const __u64 *)p);
}

/* As the kernel's ipv6_ext_hdr() (net/ipv6/exthdrs_core.c), without 59 (no next header). */
static __always_inline int is_ext_header(__u8 nexthdr)
{
	return nexthdr == IPPROTO_HOPOPTS || nexthdr == IPPROTO_ROUTING ||
	       nexthdr == IPPROTO_FRAGMENT || nexthdr == IPPROTO_AH || nexthdr == IPPROTO_DSTOPTS;
}

/* What skip_ext_headers() returns, in one number: a pointer argument would cost more to verify. */
#define EXT_RESULT(off, proto, fragment) ((off) | (proto) << 16 | (fragment) << 24)
#define EXT_OFF(r)			 ((r)&0xffff)
#define EXT_PROTO(r)			 ((r) >> 16 & 0xff)
#define EXT_FRAGMENT(r)			 ((r) >> 24 & 1)
#define EXT_FAILED(reason)		 (-(int)(reason)-1)
#define EXT_REASON(r)			 (-(r)-1)

/*
 * Follow IPv6 extension headers from offset start of the packet; nexthdr is the first one. AH is
 * skipped as the kernel does (ipv6_find_hdr), so that this and nft's `meta l4proto` at OUTPUT name
 * the same protocol. limit: how many bytes the IP packet has from start on by its own length.
 * Returns EXT_RESULT of the bytes skipped, or EXT_FAILED. This and parse_quote() are global
 * functions: the verifier goes through them once, instead of once for every way to get here
 * (45,000 instructions and 80 ms a load; 6.18).
 */
__noinline int skip_ext_headers(CTB_CTX *ctx, __u32 start, __u32 limit, __u32 nexthdr)
{
	__u32 off = 0, fragment = 0;
	struct ctb_bytes b;
	ctb_place first;

	bytes_open(ctx, &b);
	first = bytes_place(&b, start & 0x7fff);
	nexthdr &= 0xff;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_EXT_HEADERS; i++) {
		__u8 *h = bytes_read(&b, first + off, 8);
		__u32 len;

		if (bytes_missing(&b, h, 8) || off + 8 > limit)
			return EXT_FAILED(CTB_R_BAD_IPV6);
		if (nexthdr == IPPROTO_FRAGMENT) {
			__u16 frag = h[2] << 8 | h[3];

			if (frag & 0xfff8)
				return EXT_FAILED(CTB_R_LATER_FRAGMENT);
			fragment |= frag & 1;
			len = 8;
		} else if (nexthdr == IPPROTO_AH) {
			len = (h[1] + 2) * 4; /* RFC 4302: in 4-byte units, minus 2 */
		} else {
			len = (h[1] + 1) * 8;
		}
		nexthdr = h[0];
		off += len;
		if (off > limit)
			return EXT_FAILED(CTB_R_BAD_IPV6);
		if (off > EXT_BYTES_MAX)
			return EXT_FAILED(CTB_R_EXT_HEADERS);
		if (!is_ext_header(nexthdr))
			return EXT_RESULT(off, nexthdr, fragment);
		off = forget(off) & EXT_BYTES_MAX;
	}
	return EXT_FAILED(CTB_R_EXT_HEADERS);
}

/*
 * The packet inside an ICMP error, at off, of the same family as the error. Such quotes are cut
 * anywhere behind the IP header, so lengths are not checked against it; ports need four bytes.
 * What lies behind the end of the error itself is padding and no part of the quote.
 * The error has to be on its way to the one who sent what it quotes, as conntrack wants it
 * (nf_conntrack_inet_error()): otherwise whoever invents a quote that a rule fits could send an
 * error to any host past the firewall.
 * Returns CTB_PARSED with addresses, protocol and ports of *p replaced, or CTB_R_BAD_QUOTE.
 */
__noinline int parse_quote(CTB_CTX *ctx, __u32 off, struct ctb_pkt *p)
{
	struct ctb_bytes b;
	__u32 end;
	__u8 proto;

	if (!p)
		return CTB_R_INTERNAL;
	bytes_open(ctx, &b);
	end = p->l3 + p->bytes;
	off &= 0x7fff;
	if (!p->v6) {
		struct iphdr *ip = bytes_at(&b, off, sizeof(*ip));

		if (bytes_missing(&b, ip, sizeof(*ip)) || off + sizeof(*ip) > end)
			return CTB_R_BAD_QUOTE;
		if (ip->version != 4 || ip->ihl < 5 || off + ip->ihl * 4 > end)
			return CTB_R_BAD_QUOTE;
		if (ip->frag_off & bpf_htons(0x1fff))
			return CTB_R_BAD_QUOTE;
		p->src_lo = bpf_ntohl(ip->saddr);
		if (p->src_lo != p->dst_lo)
			return CTB_R_BAD_QUOTE;
		p->dst_lo = bpf_ntohl(ip->daddr);
		proto = ip->protocol;
		off += ip->ihl * 4;
	} else {
		struct ipv6hdr *ip6 = bytes_at(&b, off, sizeof(*ip6));

		if (bytes_missing(&b, ip6, sizeof(*ip6)) || off + sizeof(*ip6) > end ||
		    ip6->version != 6)
			return CTB_R_BAD_QUOTE;
		p->src_hi = be64_at(&ip6->saddr);
		p->src_lo = be64_at((void *)&ip6->saddr + 8);
		if (p->src_hi != p->dst_hi || p->src_lo != p->dst_lo)
			return CTB_R_BAD_QUOTE;
		p->dst_hi = be64_at(&ip6->daddr);
		p->dst_lo = be64_at((void *)&ip6->daddr + 8);
		proto = ip6->nexthdr;
		off += sizeof(*ip6);
		if (is_ext_header(proto)) {
			int r = skip_ext_headers(ctx, off, end - off, proto);

			if (r < 0)
				return CTB_R_BAD_QUOTE;
			proto = EXT_PROTO(r);
			off += EXT_OFF(r) & EXT_BYTES_MAX;
		}
	}
	p->proto = proto;
	p->sport = 0;
	p->dport = 0;
	p->quoted = 1;
	if (has_ports(proto)) {
		__be16 *l4 = bytes_at(&b, off, 4);

		if (bytes_missing(&b, l4, 4) || off + 4 > end)
			return CTB_R_BAD_QUOTE;
		p->sport = l4[0];
		p->dport = l4[1];
	}
	return CTB_PARSED;
}

/*
 * Transport header at off, l4_len bytes long by the IP header. The checks are the kernel's own
 * (tcp_packet, udp_packet ... in net/netfilter): what conntrack would call invalid is left to it.
 */
static __always_inline int parse_l4(CTB_CTX *ctx, struct ctb_bytes *b, __u32 off, __u32 l4_len,
				    struct ctb_pkt *p)
{
	ctb_place place = bytes_place(b, off);
	__u8 proto = p->proto;

	if (proto == IPPROTO_TCP && !p->first_fragment) {
		struct tcphdr *th = bytes_read(b, place, sizeof(*th));

		if (bytes_missing(b, th, sizeof(*th)) || l4_len < sizeof(*th) || th->doff < 5 ||
		    th->doff * 4U > l4_len)
			return CTB_R_BAD_L4;
		p->sport = th->source;
		p->dport = th->dest;
		return CTB_PARSED;
	}
	if (proto == IPPROTO_UDP && !p->first_fragment) {
		struct udphdr *uh = bytes_read(b, place, sizeof(*uh));

		if (bytes_missing(b, uh, sizeof(*uh)) || l4_len < sizeof(*uh) ||
		    bpf_ntohs(uh->len) < sizeof(*uh) || bpf_ntohs(uh->len) > l4_len)
			return CTB_R_BAD_L4;
		p->sport = uh->source;
		p->dport = uh->dest;
		return CTB_PARSED;
	}
	if (has_ports(proto)) {
		__u32 need = 4;
		__be16 *l4;

		if (!p->first_fragment)
			need = proto == IPPROTO_UDPLITE ? 8 : 12;
		if (l4_len < need)
			return CTB_R_BAD_L4;
		if (need == 12 && bytes_missing(b, bytes_read(b, place, 12), 12))
			return CTB_R_BAD_L4;
		if (need == 8 && bytes_missing(b, bytes_read(b, place, 8), 8))
			return CTB_R_BAD_L4;
		l4 = bytes_read(b, place, 4);
		if (bytes_missing(b, l4, 4))
			return CTB_R_BAD_L4;
		p->sport = l4[0];
		p->dport = l4[1];
		return CTB_PARSED;
	}
	if ((proto == IPPROTO_ICMP && !p->v6) || (proto == IPPROTO_ICMPV6 && p->v6)) {
		__u8 type, *l4 = bytes_read(b, place, 8);

		if (bytes_missing(b, l4, 8) || l4_len < 8)
			return CTB_R_BAD_L4;
		type = l4[0];
		/* The types that nf_conntrack_icmp_error()/icmpv6_error() look into. */
		if (p->v6 ? type >= 1 && type <= 4
			  : type == 3 || type == 4 || type == 11 || type == 12)
			return parse_quote(ctx, off + 8, p);
		/* It changes its receiver's routes: no flow is worse off without. */
		if (type == (p->v6 ? ICMPV6_REDIRECT : ICMP_REDIRECT))
			return CTB_R_REDIRECT;
	}
	return CTB_PARSED;
}

static __always_inline int parse_ipv4(CTB_CTX *ctx, struct ctb_bytes *b, __u32 l3, __u32 avail,
				      struct ctb_pkt *p)
{
	struct iphdr *ip = bytes_at(b, l3, sizeof(*ip));
	__u32 hlen, last, len;
	__u16 frag;

	if (bytes_missing(b, ip, sizeof(*ip)))
		return CTB_R_BAD_IPV4;
	if (ip->version != 4 || ip->ihl < 5)
		return CTB_R_BAD_IPV4;
	hlen = ip->ihl * 4;
	len = bpf_ntohs(ip->tot_len);
	if (!len && is_gso(ctx))
		len = avail; /* BIG TCP: iph_totlen() in include/linux/ip.h */
	if (len < hlen || len > avail)
		return CTB_R_BAD_IPV4;
	frag = bpf_ntohs(ip->frag_off);
	p->proto = ip->protocol;
	p->src_lo = bpf_ntohl(ip->saddr);
	p->dst_lo = bpf_ntohl(ip->daddr);
	/*
	 * All of the options: the last word of the header. From l3 + hlen - 4, with l3 = 0, clang
	 * 19 makes a sum that the verifier takes for -4 ("math between pkt pointer and
	 * 4294967292").
	 */
	last = forget(hlen - 4) & 0x3f;
	if (bytes_missing(b, bytes_at(b, l3 + last, 4), 4))
		return CTB_R_BAD_IPV4;
	p->bytes = len;
	if (frag & 0x1fff)
		return CTB_R_LATER_FRAGMENT;
	p->first_fragment = !!(frag & 0x2000);
	return parse_l4(ctx, b, l3 + last + 4, len - hlen, p);
}

static __always_inline int parse_ipv6(CTB_CTX *ctx, struct ctb_bytes *b, __u32 l3, __u32 avail,
				      struct ctb_pkt *p)
{
	struct ipv6hdr *ip6 = bytes_at(b, l3, sizeof(*ip6));
	__u32 len, off;
	int r;

	p->v6 = 1;
	if (bytes_missing(b, ip6, sizeof(*ip6)))
		return CTB_R_BAD_IPV6;
	if (ip6->version != 6)
		return CTB_R_BAD_IPV6;
	len = bpf_ntohs(ip6->payload_len);
	/* BIG TCP has no length either; a jumbogram's is in an option that nothing sends. */
	if (!len && is_gso(ctx))
		len = avail - sizeof(*ip6);
	if (!len && ip6->nexthdr != IPPROTO_NONE)
		return CTB_R_BAD_IPV6;
	if (len + sizeof(*ip6) > avail)
		return CTB_R_BAD_IPV6;
	p->bytes = len + sizeof(*ip6);
	p->src_hi = be64_at(&ip6->saddr);
	p->src_lo = be64_at((void *)&ip6->saddr + 8);
	p->dst_hi = be64_at(&ip6->daddr);
	p->dst_lo = be64_at((void *)&ip6->daddr + 8);
	p->proto = ip6->nexthdr;
	if (!is_ext_header(p->proto))
		return parse_l4(ctx, b, l3 + sizeof(*ip6), len, p);

	r = skip_ext_headers(ctx, l3 + sizeof(*ip6), len, p->proto);
	if (r < 0)
		return EXT_REASON(r);
	p->proto = EXT_PROTO(r);
	p->first_fragment = EXT_FRAGMENT(r);
	off = EXT_OFF(r) & EXT_BYTES_MAX;
	return parse_l4(ctx, b, l3 + sizeof(*ip6) + off, len - off, p);
}

/*
 * Link layer and IP. l2: the packet starts with an Ethernet header, else with the IP header of
 * the given ethertype (devices without link-layer header). len is the whole packet's length from
 * its first byte on, which may be more than data_end - data (paged data). tag: a VLAN tag that the
 * driver already took out of the frame (tci), valid if tag_present.
 */
static __always_inline int parse(CTB_CTX *ctx, __u32 len, int l2, __be16 ethertype, int tag_present,
				 __u16 tci, struct ctb_pkt *p)
{
	struct ctb_bytes b;
	__u32 l3 = 0;

	bytes_open(ctx, &b);
	if (l2) {
		struct ethhdr *eth = bytes_at(&b, 0, sizeof(*eth));

		if (bytes_missing(&b, eth, sizeof(*eth)))
			return CTB_R_BAD_LINK;
		ethertype = eth->h_proto;
		l3 = ETH_HLEN_;
	}
	if (tag_present)
		p->vid = tci & 0xfff;
	if (l2 && (ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD))) {
		int tags = !!tag_present;

#pragma clang loop unroll(full)
		for (int i = 0; i < MAX_VLAN_TAGS; i++) {
			__be16 *tag;

			if (ethertype != bpf_htons(ETH_P_8021Q) &&
			    ethertype != bpf_htons(ETH_P_8021AD))
				break;
			if (tags == MAX_VLAN_TAGS)
				return CTB_R_NOT_IP;
			tag = bytes_at(&b, l3, VLAN_HLEN_);
			if (bytes_missing(&b, tag, VLAN_HLEN_))
				return CTB_R_BAD_LINK;
			/* The kernel takes priority tags (vid 0) off and looks at the next. */
			if (!p->vid)
				p->vid = bpf_ntohs(tag[0]) & 0xfff;
			ethertype = tag[1];
			l3 += VLAN_HLEN_;
			tags++;
		}
	}
	l3 = forget(l3) & 0x1f;
	p->l3 = l3;
	if (ethertype == bpf_htons(ETH_P_IP))
		return parse_ipv4(ctx, &b, l3, len - l3, p);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(ctx, &b, l3, len - l3, p);
	return CTB_R_NOT_IP;
}

/*
 * Is this, whatever parse() said of it, a fragment of a datagram? A first one whose payload does
 * not make sense is still one.
 */
static __always_inline int is_fragment(const struct ctb_pkt *p, int parsed)
{
	return p->first_fragment || parsed == CTB_R_LATER_FRAGMENT;
}

#endif
