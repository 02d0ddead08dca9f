/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets for parse.h in programs that may read them directly (tc, XDP): what is between data and
 * data_end is there, and the check costs a comparison.
 */
#ifndef CTB_READ_DIRECT_H
#define CTB_READ_DIRECT_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct ctb_bytes {
	void *data, *data_end;
};

typedef void *ctb_place;

static __always_inline void bytes_open(CTB_CTX *ctx, struct ctb_bytes *b)
{
	b->data = (void *)(long)ctx->data;
	b->data_end = (void *)(long)ctx->data_end;
}

static __always_inline ctb_place bytes_place(const struct ctb_bytes *b, __u32 off)
{
	return b->data + off;
}

static __always_inline void *bytes_read(struct ctb_bytes *b, ctb_place place, __u32 n)
{
	(void)b;
	(void)n;
	return place;
}

static __always_inline int bytes_missing(const struct ctb_bytes *b, const void *at, __u32 n)
{
	return at + n > b->data_end;
}

#include "parse.h"

/*
 * What nearly every packet is: no tag in the frame, no IPv4 options, no extension headers, no
 * fragment; TCP or UDP, and nothing wrong with it. Takes it (1) or leaves it for parse() to take
 * or to say what it is (0). Small enough to sit in the program's hot path: each comparison stands
 * for several of parse()'s, which is the reference. l2, len and ethertype as there; l2 is a
 * compile-time constant.
 */
static __always_inline int parse_fast(CTB_CTX *ctx, __u32 len, int l2, __be16 ethertype,
				      struct ctb_pkt *p)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	const __u32 l3 = l2 ? ETH_HLEN_ : 0, need = sizeof(struct udphdr);
	__u32 off, l4_len;
	void *l4;

	if (data + l3 + sizeof(struct iphdr) + need > data_end)
		return 0;
	if (l2)
		ethertype = *(__be16 *)(data + 12);
	if (ethertype == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + l3;

		off = l3 + sizeof(*ip);
		l4_len = bpf_ntohs(ip->tot_len) - (__u32)sizeof(*ip);
		if (*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
			return 0;
		p->proto = ip->protocol;
		p->src_lo = bpf_ntohl(ip->saddr);
		p->dst_lo = bpf_ntohl(ip->daddr);
		p->bytes = l4_len + (__u32)sizeof(*ip);
	} else if (ethertype == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = data + l3;

		off = l3 + sizeof(*ip6);
		if (data + off + need > data_end || (*(__u8 *)ip6 & 0xf0) != 0x60)
			return 0;
		l4_len = bpf_ntohs(ip6->payload_len);
		p->v6 = 1;
		p->proto = ip6->nexthdr;
		p->src_hi = be64_at(&ip6->saddr);
		p->src_lo = be64_at((void *)&ip6->saddr + 8);
		p->dst_hi = be64_at(&ip6->daddr);
		p->dst_lo = be64_at((void *)&ip6->daddr + 8);
		p->bytes = l4_len + (__u32)sizeof(*ip6);
	} else {
		return 0;
	}
	p->l3 = l3;
	/* From `need` to what there is; len is no less than what was read of it. */
	if (l4_len - need > len - off - need)
		return 0;
	l4 = data + off;
	if (p->proto == IPPROTO_UDP) {
		struct udphdr *uh = l4;

		if (bpf_ntohs(uh->len) - need > l4_len - need)
			return 0;
	} else if (p->proto == IPPROTO_TCP) {
		struct tcphdr *th = l4;

		if ((void *)(th + 1) > data_end)
			return 0;
		if (th->doff < 5 || th->doff * 4U > l4_len)
			return 0;
	} else {
		return 0;
	}
	p->sport = ((__be16 *)l4)[0];
	p->dport = ((__be16 *)l4)[1];
	return 1;
}

#endif
