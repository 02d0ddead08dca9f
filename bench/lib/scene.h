/* SPDX-License-Identifier: GPL-2.0-only */
/* What is measured: a contender, its rules, and the packets that it is given. */
#ifndef CTB_BENCH_SCENE_H
#define CTB_BENCH_SCENE_H

#include <linux/types.h>
#include <stdbool.h>

#include "util.h"

/* What every packet is addressed to, for rules that are to fit. */
#define BENCH_PORT  9000
#define BENCH_NET4  "10.128.0.0/10"
#define BENCH_NET6  "fd80::/16"
#define BENCH_DEST4 0x0a800001
#define FLOWS_64K   65536
#define FLOWS_1M    1048576
#define FLOWS_NEW   (1ULL << 36) /* no packet of a run is like another */

struct bed;

/* Where the packets come from and go to. */
enum path {
	PATH_FORWARD, /* through the router */
	PATH_LOCAL,   /* to a UDP socket on it */
	PATH_OUTPUT,  /* from one, by sendmmsg() */
};

/*
 * FEED_STACK: the generator hands frames to the router's stack as if r0 had received them, behind
 * XDP; they end in a tc program at r1's egress. FEED_WIRE: it sends frames out of the client's
 * device; they reach r0's NAPI, where native XDP runs, and end in an XDP program on s0.
 */
enum feed {
	FEED_STACK,
	FEED_WIRE
};

/* What the rules look at. */
enum match {
	MATCH_PORT,
	MATCH_PREFIX,
	MATCH_MIXED, /* four shapes of rules in turn; one prefix fits */
};

struct scene {
	const struct contender *contender;
	enum path path;
	enum feed feed;
	enum match match;
	unsigned int rules, prefixes; /* one of them is the axis, by match */
	bool hit;		      /* the last rule fits every packet, or none does */
	bool v6;
	unsigned int cores;
	unsigned int edition; /* of the rules: what does not fit is different in each */
	/* The following may differ between two runs on one bed. */
	unsigned int size; /* of the frame */
	__u64 flows;
	/* XDP program put on r0 for the run: "empty", or that of the contender's bed; NULL: none.
	 */
	const char *extra;
};

/* How the packets get through the router, which is asserted. */
enum way {
	WAY_STACK,    /* the kernel's own forwarding */
	WAY_REDIRECT, /* around it */
};

/* What conntrack has to know of them. */
enum entries {
	ENTRIES_NONE,
	ENTRIES_ALL,
};

/* A command that is given rules. */
struct step {
	const char *argv[4], *argv6[4];	      /* argv6 NULL: the same for IPv6 */
	char *(*text)(const struct scene *s); /* on its standard input */
	char *(*replacement)(
		const struct scene *s); /* of an earlier edition; NULL: stays as it is */
};

#define STEPS_MAX 2

struct contender {
	const char *name, *what;
	bool stateful; /* the ruleset that every bypass is made for is loaded as well */
	bool linear;   /* a packet walks the rules: fewer packets where there are many */
	bool no_v6;
	bool no_path; /* packets end where they come in */
	enum way way;
	enum entries entries;
	struct step steps[STEPS_MAX]; /* in the router; none without argv[0] */
	void (*finish)(void);	      /* likewise, behind them; may be NULL */
	/* Conntrack lets its entries go only behind this; NULL: at once. */
	void (*unset)(void);
	const char *word;     /* first word of the daemon's rules; NULL: no daemon */
	unsigned int outcome; /* of those rules, enum ctb_outcome */
	bool no_xdp;	      /* the daemon gets -X */
	/* The daemon gets -M direct, else -M mark; without one tc is a program of untrack.bpf.c. */
	bool direct;
	const char *xdp, *tc; /* program of bare.bpf.c on r0 */
};

extern const struct contender contenders[];
extern const size_t n_contenders;

const struct contender *contender_find(const char *name);
/* Does it have rules, be they commands' or the daemon's? */
bool contender_has_rules(const struct contender *c);
/* The command of a step for this scene's family. */
const char *const *step_argv(const struct step *t, const struct scene *s);
/* Take all of its steps in the current namespace. */
void contender_setup(const struct scene *s);

/*
 * NULL, or why this kernel or system cannot have it: what the commands that it takes said in a
 * namespace made for the question, or the daemon of what it needs. Asked once, when it is wanted.
 */
const char *contender_why_not(const struct contender *c);
/* The same of a path. */
const char *contender_why_no_path(const struct contender *c, enum path path);

/* Do both want the same bed? */
bool scene_same_bed(const struct scene *a, const struct scene *b);
/* Which of the two. Hits of what is not tracked leave no entries, misses do. */
enum entries scene_entries(const struct scene *s);
/* "64 k", "new" ... */
const char *flows_name(__u64 flows);

#endif
