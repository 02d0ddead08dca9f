/* SPDX-License-Identifier: GPL-2.0-only */
/* What the packet generator's BPF side and userspace share. */
#ifndef CTB_BENCH_TRAFFIC_H
#define CTB_BENCH_TRAFFIC_H

#include <linux/types.h>

#define TRAFFIC_FRAME	64 /* bytes, without the wire's own checksum */
#define TRAFFIC_HEADERS 42 /* Ethernet, IPv4, UDP */

/*
 * Flow n has source port 1024 + n % 2^15 and source address saddr + n / 2^15. Destinations are
 * 256 in each of 64 networks of 2^16: the kernel skips the route lookup for packets in a row to
 * one address, which is not what a router sees. Flow 0's is daddr.
 */
#define TRAFFIC_PORT_BITS  15
#define TRAFFIC_FIRST_PORT 1024

struct traffic_config {
	/* The frame, without addresses, source port and checksums, which are the flow's. */
	union {
		__u8 headers[TRAFFIC_HEADERS];
		struct {
			__u64 words[TRAFFIC_HEADERS / 8];
			__u16 tail;
		};
	};
	__u32 ip_sum;	  /* unfolded sum of what the IPv4 checksum covers in the frame as above */
	__u32 udp_sum;	  /* likewise UDP's, with the pseudo header */
	__u32 saddr;	  /* first source address, host order */
	__u32 daddr;	  /* first destination address, host order */
	__u32 action;	  /* XDP_TX or XDP_PASS */
	__u32 sink_ttl;	  /* of what arrives at the sink */
	__u64 mask;	  /* flows - 1, a power of two less one */
	__u64 stride;	  /* odd: the order of the flows */
	__u8 sink_mac[4]; /* of its destination MAC address, the first four bytes */
	__u32 verify;	  /* 1: and its checksums must be good, which takes time to find out */
};

#endif
