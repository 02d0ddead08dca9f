/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets for parse.h in netfilter programs, which may not read them directly: by dynptr, which
 * gives a pointer into the linear part or copies from pages. Of the kernel's own types only what is
 * read here.
 */
#ifndef CTB_READ_DYNPTR_H
#define CTB_READ_DYNPTR_H

#include <linux/bpf.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>

struct net_device {
	int ifindex;
} __attribute__((preserve_access_index));

struct nf_hook_state {
	__u8 pf;
	struct net_device *out;
} __attribute__((preserve_access_index));

struct sk_buff {
	unsigned int len;
	unsigned long _nfct;
} __attribute__((preserve_access_index));

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
} __attribute__((preserve_access_index));

#define CTB_CTX struct bpf_nf_ctx

/*
 * Offsets and sizes are 64 bits wide in newer kernels and 32 in older ones, which take the lower
 * half. Weak, so that libbpf names what is missing by refusing a call, not the object.
 */
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags,
			       struct bpf_dynptr *ptr) __ksym __weak;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u64 offset, void *buffer,
			      __u64 buffer__szk) __ksym __weak;

/* The most that parse() asks for at once is an IPv6 header: the stack of all functions is small. */
struct ctb_bytes {
	struct bpf_dynptr ptr;
	__u64 copy[sizeof(struct ipv6hdr) / 8];
};

typedef __u32 ctb_place;

static __always_inline void bytes_open(struct bpf_nf_ctx *ctx, struct ctb_bytes *b)
{
	/* Fails never; if it did, there would be no bytes. */
	bpf_dynptr_from_skb((struct __sk_buff *)ctx->skb, 0, &b->ptr);
}

static __always_inline ctb_place bytes_place(const struct ctb_bytes *b, __u32 off)
{
	(void)b;
	return off;
}

static __always_inline void *bytes_read(struct ctb_bytes *b, ctb_place place, __u32 n)
{
	return bpf_dynptr_slice(&b->ptr, place, b->copy, n);
}

static __always_inline int bytes_missing(const struct ctb_bytes *b, const void *at, __u32 n)
{
	(void)b;
	(void)n;
	return !at;
}

#include "parse.h"

/* GSO packets that are too large for the length fields of IP (BIG TCP) say so by being so. */
static __always_inline int is_gso(struct bpf_nf_ctx *ctx)
{
	return ctx->skb->len > 0xffff;
}

#endif
