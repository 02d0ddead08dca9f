/* SPDX-License-Identifier: GPL-2.0-only */
/* What bench/forward measures: test beds, contenders on them, limits, and single programs. */
#ifndef CTB_BENCH_SCENARIOS_H
#define CTB_BENCH_SCENARIOS_H

#include "bed.h"

#define ROUNDS_MAX 128
#define FLOWS_64K  65536
#define FLOWS_1M   1048576

enum bed_id {
	BARE_XDP,
	FORWARD,
	FORWARD_PORT,
	FORWARD_MANY,
	KERNEL,
	NOTRACK,
	TRACKED_1,
	TRACKED_64K,
	TRACKED_1M,
	TRACKED_NEW,
	MISS_TC,
	MISS_XDP,
	UP_BARE_TC,
	UP_FORWARD,
	UP_KERNEL,
	UP_TRACKED,
	BED_MAX,
};

/*
 * Contenders that are measured together. The kernel has one conntrack table for all namespaces:
 * with a million entries of one bed in it, the others' are found late, so those come last. What
 * XDP costs a packet that it passes is a small difference of large figures: one bed, more rounds.
 */
enum phase {
	PHASE_MAIN,
	PHASE_PASSED,
	PHASE_LARGE
};

/* A way of forwarding under one kind of traffic: a line of the table. */
struct contender {
	const char *name;
	enum bed_id bed;
	__u64 flows;
	enum phase phase;
	enum {
		XDP_AS_IT_IS,
		XDP_EMPTY,
		XDP_OURS
	} xdp; /* put on r0 for the measurement */
	double ns[ROUNDS_MAX];
};

enum contender_id {
	C_BARE_1,
	C_BARE_64K,
	C_BARE_1M,
	C_FORWARD_1,
	C_FORWARD_64K,
	C_FORWARD_1M,
	C_FORWARD_NEW,
	C_PORT_64K,
	C_MANY_64K,
	C_KERNEL_1,
	C_KERNEL_64K,
	C_NOTRACK_64K,
	C_TRACKED_1,
	C_TRACKED_64K,
	C_TRACKED_1M,
	C_TRACKED_NEW,
	C_MISS,
	C_MISS_EMPTY,
	C_MISS_XDP,
	C_UP_BARE,
	C_UP_FORWARD,
	C_UP_KERNEL,
	C_UP_TRACKED,
	C_MAX,
};

/* What the project asks for: a against b. */
struct limit {
	const char *text;
	int a, b;
	enum {
		AT_MOST,
		AT_LEAST,
		NS_AT_MOST
	} kind; /* a / b, a / b, a - b */
	double value;
};

#define LIMITS 7

/* Single programs, one packet after the other. */
enum program_id {
	P_EMPTY,
	P_BARE,
	P_FORWARD,
	P_PORT,
	P_MANY,
	P_MISS,
	P_MAX,
};

struct program {
	const char *name;
	enum bed_id bed;
	unsigned int result;
	int fd;
	double ns[2][ROUNDS_MAX]; /* 1 flow, 64 k flows */
};

extern const struct bed_spec specs[BED_MAX];
extern struct contender contenders[C_MAX];
extern const struct limit limits[LIMITS];
extern struct program programs[P_MAX];

/* Writes the large rule set into specs; to be called first. */
void scenarios_init(void);
/* "1", "64 k" ... */
const char *flows_name(__u64 flows);
/* A bed's name is that of its first contender. */
const char *bed_name(enum bed_id id);

#endif
