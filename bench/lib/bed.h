/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test bed: client, router and server as network namespaces, with one contender configured on
 * the router. Every contender has a bed of its own, so that nothing needs to be changed between
 * two measurements.
 *
 *     client c0 === r0 router r1 === s0 server
 *
 * Generator, router and sinks (scene.h says which) run on the CPU that calls bed_run(), inside the
 * system call and the softirqs at its end, or in ksoftirqd when those take too long. On two cores
 * two generators feed one router, each on a CPU of its own.
 */
#ifndef CTB_BENCH_BED_H
#define CTB_BENCH_BED_H

#include "scene.h"
#include "system.h"

struct traffic_bpf;
struct bare_bpf;
struct untrack_bpf;

struct bed {
	struct scene scene;	    /* the first that it was made for */
	int client, router, server; /* namespaces */
	int c0, r0, r1, s0;	    /* ifindexes */
	struct traffic_bpf *traffic;
	struct bare_bpf *bare;	     /* NULL if none of its programs is used */
	struct untrack_bpf *untrack; /* likewise */
	int links[4];		     /* descriptors that keep programs attached */
	unsigned int n_links;
	int extra; /* bed_xdp_put()'s; -1: none */
	int udp;   /* PATH_LOCAL's and PATH_OUTPUT's socket; -1: none */
	unsigned int size;
	pid_t daemon; /* 0: none */
	char pins[64], sock[64];
	__u64 sent;	 /* since the daemon started */
	double plain_ns; /* per packet, of the last run, by the wall's clock */
	double overlap;	 /* of the last run on two cores: how much of it both were at work */
};

/*
 * Directory of this process's own, for sockets, logs and pins; made by workspace_name() (before
 * sysctls_guard()), filled by workspace_open(), which also leaves the host's namespaces.
 */
const char *workspace_name(void);
void workspace_open(void);

/* The program to measure; to be set before the first bed of one that has a daemon. */
extern const char *ctbypass_program;

void bed_make(struct bed *b, const struct scene *s);
/* A router alone, between two devices, for its rules to be loaded; no packets. */
void bed_make_router(struct bed *b, const struct scene *s);
void bed_free(struct bed *b);

/* The ruleset that needs conntrack, and conntrack's own settings, in the current namespace. */
void stateful_ruleset(void);

#define LOST_MAX 1000 /* at most one packet in so many may be lost */

/* What the following runs send: flows in all, of both cores, is a power of two, or FLOWS_NEW. */
void bed_traffic(struct bed *b, __u64 flows, __u64 stride, unsigned int size);
/* Make the next packet the first flow's again. */
void bed_rewind(struct bed *b);
/* Check the checksums of what arrives, or do not. */
void bed_verify(struct bed *b, bool on);

/*
 * Send so many packets on each core and wait until they arrived. Returns ns per packet and core;
 * *lost is the number of those that did not arrive, or arrived as they should not.
 */
double bed_run(struct bed *b, __u64 packets, __u64 *lost);

/* Conntrack entries on the router; forget them all. */
unsigned long bed_conntrack(const struct bed *b);
void bed_conntrack_flush(struct bed *b);

/* Packets that the router's own IP forwarding sent on. */
__u64 bed_forwarded(const struct bed *b);

/* Descriptor of the XDP program that is attached to r0 now. */
int bed_xdp_program(const struct bed *b);
/* Put this XDP program on r0, where none may be, and take it off. */
void bed_xdp_put(struct bed *b, int prog_fd);
void bed_xdp_take(struct bed *b);
/* An XDP program that does nothing. */
int bed_xdp_empty(void);

/* --- bed_daemon.c --- */

/* Start the daemon in the router with these rules (a text); ends the program when it does not. */
void daemon_start(struct bed *b, const char *rules);
/* End it and take away what it left in the kernel. */
void daemon_stop(struct bed *b);
/* New rules, by reload. */
void daemon_reload(struct bed *b, const char *rules);

/* Packets of its rules that went that way, enum ctb_outcome; and those that nft judged in OUTPUT.
 */
__u64 daemon_outcome(const struct bed *b, unsigned int outcome);
__u64 daemon_output(const struct bed *b);
/* Bytes: of its maps, by the kernel's count; of the daemon itself, now and at its peak. */
__u64 daemon_maps(const struct bed *b);
__u64 daemon_resident(const struct bed *b, bool peak);
/* A file for a set of that bed's. */
const char *daemon_set_path(const struct bed *b);
/* Have the daemon say on stderr what it does and counted. */
void daemon_explain(const struct bed *b);

/* --- drive.c --- */

/* UDP sockets for the bed's path. */
void drive_open(struct bed *b);

#endif
