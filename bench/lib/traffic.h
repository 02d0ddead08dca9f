/* SPDX-License-Identifier: GPL-2.0-only */
/* What the packet generator's BPF side and userspace share. */
#ifndef CTB_BENCH_TRAFFIC_H
#define CTB_BENCH_TRAFFIC_H

#include <linux/types.h>

#define TRAFFIC_FRAME	 64 /* bytes of the shortest frame, without the wire's own checksum */
#define TRAFFIC_HEADERS	 42 /* Ethernet, IPv4, UDP */
#define TRAFFIC_HEADERS6 62 /* Ethernet, IPv6, UDP */

/*
 * Flow n has source port 1024 + n % 2^15 and source address saddr + n / 2^15 (in IPv6 that is the
 * last word of the address). Destinations are one in each of 2^14 networks of 256 addresses (IPv6:
 * /48): the kernel skips the route lookup for packets in a row to one address, which is not what a
 * router sees, and a set of many prefixes is to be met in many of its elements. Flow 0's is daddr.
 */
#define TRAFFIC_PORT_BITS  15
#define TRAFFIC_FIRST_PORT 1024
#define TRAFFIC_NETS	   (1 << 14)

/* Two generators may run at a time, on a CPU each; this bit of the source says whose packet. */
#define TRAFFIC_SLOTS	   2
#define TRAFFIC_SECOND_BIT 0x200000

struct traffic_config {
	/* The frame, without addresses, source port and checksums, which are the flow's. */
	union {
		__u8 headers[64];
		__u64 words[8];
	};
	__u32 ip_sum;	  /* unfolded sum of what the IPv4 checksum covers in the frame as above */
	__u32 udp_sum;	  /* likewise UDP's, with the pseudo header */
	__u32 saddr;	  /* first source address, host order */
	__u32 daddr;	  /* first destination address, host order; IPv6: its second word, ditto */
	__u32 action;	  /* XDP_TX or XDP_PASS */
	__u32 sink_ttl;	  /* of what arrives at the sink */
	__u64 mask;	  /* flows of each slot - 1, a power of two less one */
	__u64 stride;	  /* odd: the order of the flows */
	__u8 sink_mac[4]; /* of its destination MAC address, the first four bytes */
	__u32 verify;	  /* 1: and its checksums must be good, which takes time to find out */
	__u32 udp_len;	  /* of every datagram, with its header */
	__u32 pad;
};

/* A generator's own; on cache lines of its own. */
struct traffic_state {
	__u64 next_flow;
	/* Of one run: 0 before it, then the time of the first packet and of arrival `goal`. */
	__u64 started, finished, goal;
	__u64 arrived; /* as they should be */
	__u64 wrong;   /* by address, TTL, length or checksum */
	__u64 pad[10];
};

_Static_assert(sizeof(struct traffic_state) == 128, "two lines: neighbours are fetched together");

#endif
