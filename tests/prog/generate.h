/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Seeded rule sets and packets that have something to say to each other: both draw from the same
 * small pools of prefixes and ports, and most packets are made to fit a rule and then often
 * spoiled in one place.
 */
#ifndef CTBYPASS_TESTS_GENERATE_H
#define CTBYPASS_TESTS_GENERATE_H

#include "host.h"
#include "packets.h"
#include "rules.h"

struct rng {
	__u64 state;
};

__u64 rng_next(struct rng *r);
unsigned int rng_below(struct rng *r, unsigned int n); /* n > 0 */
bool rng_percent(struct rng *r, unsigned int percent);

#define WORLD_PREFIXES 12
#define WORLD_PORTS    8
#define WORLD_SETS     4

struct world {
	struct prefix4 p4[WORLD_PREFIXES];
	struct prefix6 p6[WORLD_PREFIXES];
	struct port_range ports[WORLD_PORTS];
	unsigned int forward; /* percent of the rules */
	struct host host;     /* interfaces (given) and local prefixes (made up) */
};

/* ifs: the interfaces there are; borrowed. 0 or -ENOMEM. */
int world_make(struct rng *r, const struct host_if *ifs, size_t n_ifs, struct world *out);
void world_free(struct world *w);

/*
 * A rule set that the parser takes, and its text. n_rules: how many to try; what the parser
 * refuses (rules that contradict themselves) is left out and counted in *refused.
 * 0 or -errno (with a message on stderr: the generator or the parser is wrong).
 */
int make_ruleset(struct rng *r, const struct world *w, unsigned int n_rules, struct ruleset **out,
		 struct strbuf *text, unsigned int *refused);

/* A packet and the interface it comes in by. hostile: percent of packets that are spoilt. */
void make_packet(struct rng *r, const struct world *w, const struct ruleset *rs,
		 unsigned int hostile, struct packet *out, const struct host_if **in);

#endif
