/* SPDX-License-Identifier: GPL-2.0-only */
/* What is measured together, one axis a group: rows, what they are compared with, and limits. */
#ifndef CTB_BENCH_GROUPS_H
#define CTB_BENCH_GROUPS_H

#include "bed.h"

#define ROUNDS_MAX 128
#define ROWS_MAX   96
#define LIMITS_MAX 16

#define AMOUNTS_MAX   64
#define AMOUNT_ROUNDS 5

/* One line of a table. */
struct row {
	struct scene scene;
	int reference;	     /* row that its ratio is to; itself: none */
	const char *skipped; /* why; NULL: it is not */
	struct bed *bed;
	__u64 packets;	 /* of a round, on each core */
	__u64 entries;	 /* that conntrack must have of it now */
	bool alone;	 /* its table is filled for each round and emptied behind it */
	__u64 forwarded; /* by the kernel's own forwarding, of what was measured */
	int rounds;
	double ns[ROUNDS_MAX];
	double overlap; /* on two cores: the worst of its rounds */
};

/* What the project asks for: row a against row b. */
struct limit {
	const char *text;
	int a, b;
	enum {
		AT_MOST,   /* a / b */
		AT_LEAST,  /* a / b */
		NS_AT_MOST /* a - b */
	} kind;
	double value;
};

/* A figure that is no packet's time: bytes, milliseconds. */
struct amount {
	char what[64];
	const char *contender, *unit;
	int n;
	double v[AMOUNT_ROUNDS];
	const char *skipped; /* why; NULL: it is not */
	double most;	     /* limit; 0: none */
};

struct group {
	const char *name, *what;
	void (*fill)(struct group *g);	  /* rows and limits; NULL: */
	void (*collect)(struct group *g); /* measures amounts */
	int more_rounds;		  /* times as many: a small difference of large figures */
	int n_rows, n_limits, n_amounts;
	struct row *rows;
	struct limit limits[LIMITS_MAX];
	struct amount *amounts;
};

struct options {
	bool quick, once, leave_sysctls, json;
	const char *json_file, *compare, *compare_with;
	const char *groups, *only; /* comma-separated; NULL: all */
	int rounds;
	__u64 packets;
};

extern struct options opt;
extern struct group groups[];
extern const size_t n_groups;

/* Is name in a list with commas, or the list NULL? */
bool listed(const char *list, const char *name);

/* --- amounts.c: what a group's collect is --- */

void collect_memory(struct group *g);
void collect_load(struct group *g);
double amount_median(const struct amount *a);

/* --- measure.c --- */

/* Build the group's beds, measure, check, take the beds down. */
void group_measure(struct group *g);
/* Find out by which clock to measure. */
void judge_clock(void);

/* --- figures.c: the median and other quantiles over rounds --- */
double row_quantile(const struct row *r, double q);
/* Of each round's own ratio of a to b: what makes the machine slow now and then does it to both. */
double ratio_quantile(const struct row *a, const struct row *b, double q);
double limit_quantile(const struct group *g, const struct limit *l, double q);
bool limit_met(const struct group *g, const struct limit *l);
/* Was one of its rows not measured? */
bool limit_skipped(const struct group *g, const struct limit *l);
/* What tells this row from others of the group, static. */
const char *row_text(const struct group *g, const struct row *r);

/* --- output.c, json.c --- */
void print_group(const struct group *g);
json_t *result_json(json_t *facts);

#endif
