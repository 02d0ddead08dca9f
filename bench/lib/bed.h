/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test bed: client, router and server as network namespaces, with one way of forwarding
 * configured on the router. Every contender has a bed of its own, so that nothing needs to be
 * changed between two measurements.
 *
 *     client c0 === r0 router r1 === s0 server
 *
 * FEED_WIRE: the generator sends frames out of c0; they reach r0's NAPI, where native XDP runs,
 * and end in an XDP program on s0. FEED_STACK: the generator hands frames to the router's stack as
 * if r0 had received them, behind XDP; they end in a tc program at r1's egress. Both sinks count.
 * The generator, both NAPIs and the router's stack run on the CPU that calls bed_run(), inside the
 * system call and the softirqs at its end, or in ksoftirqd when those take too long.
 */
#ifndef CTB_BENCH_BED_H
#define CTB_BENCH_BED_H

#include "system.h"
#include "traffic.h"

/* What every packet is addressed to, for rules that are to fit. */
#define BED_DEST_NET  "10.128.0.0/10"
#define BED_DEST_PORT 9000

struct traffic_bpf;
struct bare_bpf;

enum feed {
	FEED_WIRE,
	FEED_STACK
};

/* What the router forwards with, beside the kernel. */
enum path {
	PATH_KERNEL,	  /* nothing */
	PATH_BARE_XDP,	  /* native XDP: FIB lookup and redirect, no more */
	PATH_BARE_TC,	  /* the same at tc ingress */
	PATH_CTBYPASS,	  /* the daemon */
	PATH_CTBYPASS_TC, /* the daemon, without XDP (run -X) */
};

struct bed_spec {
	enum feed feed;
	enum path path;
	bool tracked;	   /* a stateful ruleset on the router */
	const char *rules; /* of ctbypass; NULL for the other paths */
};

struct bed {
	struct bed_spec spec;
	int client, router, server; /* namespaces */
	int c0, r0, r1, s0;	    /* ifindexes */
	struct traffic_bpf *traffic;
	struct bare_bpf *bare; /* NULL if none of its programs is used */
	pid_t daemon;	       /* 0: none */
	int link;	       /* bed_xdp_put()'s; -1: none */
	char pins[64], sock[64];
	__u64 sent;	 /* since the daemon started */
	double plain_ns; /* per packet, of the last run, by the wall's clock */
};

/*
 * Directory of this process's own, for sockets, logs and pins; made by workspace_name() (before
 * sysctls_guard()), filled by workspace_open(), which also leaves the host's namespaces.
 */
const char *workspace_name(void);
void workspace_open(void);

/* ctbypass: path of the program. */
void bed_make(struct bed *b, const struct bed_spec *spec, const char *ctbypass);

#define LOST_MAX 1000 /* at most one packet in so many may be lost */

/* How packets of the following runs differ: a power of two, or FLOWS_NEW. */
#define FLOWS_NEW (1ULL << 36)
void bed_flows(struct bed *b, __u64 flows, __u64 stride);
/* Make the next packet the first flow's again. */
void bed_rewind(struct bed *b);
/* Check the checksums of what arrives, or do not. */
void bed_verify(struct bed *b, bool on);

/*
 * Send packets and wait until they arrived. Returns ns per packet; *lost is the number of those
 * that did not arrive, or arrived as they should not.
 */
double bed_run(struct bed *b, __u64 packets, __u64 *lost);

/* Conntrack entries on the router; forget them all. */
unsigned long bed_conntrack(const struct bed *b);
void bed_conntrack_flush(const struct bed *b);

/* Packets that the daemon's rules counted as gone that way, enum ctb_outcome. */
__u64 bed_outcome(const struct bed *b, unsigned int outcome);

/* Have the daemon say on stderr what it does and counted. */
void bed_explain(const struct bed *b, const char *ctbypass);

/*
 * ns that a run of the XDP program prog_fd takes for one packet after the other (plain
 * BPF_PROG_TEST_RUN, in the router, as if from r0), with what makes the packets.
 */
double bed_program_run(struct bed *b, int prog_fd, unsigned int repeat, unsigned int *result);
/* Descriptor of the XDP program that is attached to r0 now. */
int bed_xdp_program(const struct bed *b);
/* Put this XDP program on r0, where none may be, and take it off. */
void bed_xdp_put(struct bed *b, int prog_fd);
void bed_xdp_take(struct bed *b);

#endif
