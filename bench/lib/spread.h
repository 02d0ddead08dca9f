/* SPDX-License-Identifier: GPL-2.0-only */
/* Random destinations: what spread.bpf.c and the rules that it is to meet have in common. */
#ifndef CTB_BENCH_SPREAD_H
#define CTB_BENCH_SPREAD_H

#include <linux/types.h>

/* Prefixes are numbered, 0 ... 2^24 - 1; sets hold the first of them. */
#define SPREAD_BITS 24
#define SPREAD_MASK ((1U << SPREAD_BITS) - 1)

struct spread_config {
	__u32 first, n; /* of the prefixes that packets go to; n is a power of two */
	__u32 v6;
};

/*
 * The upper 24 bits of the n-th IPv4 /24; of IPv6, bits 16 to 39 of the /48. Every number comes
 * once, in an order that looks random.
 */
static inline __attribute__((always_inline)) __u32 spread_prefix(__u32 n)
{
	n &= SPREAD_MASK;
	n ^= n >> 11;
	n = n * 0x9e3779b1U & SPREAD_MASK;
	n ^= n >> 13;
	n = n * 0x85ebca6bU & SPREAD_MASK;
	return n ^ n >> 11;
}

#define SPREAD_NET6 0x2001000000000000ULL /* bits 0-15 of every IPv6 prefix; 16-23 are zero */

#endif
