/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of early_rules.h: chains of others as the kernel has them (early_load.c), and how a packet
 * fares there of which only some is known (early_walk.c).
 */
#ifndef CTBYPASS_EARLY_PRIV_H
#define CTBYPASS_EARLY_PRIV_H

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>

#include "util.h"

struct nlattr;

/* --- what is loaded --- */

#define DEVICES_MAX \
	64 /* of one chain; more are not told apart, and it is taken for all devices \
	    */

enum early_hook {
	EARLY_NONE, /* not a base chain, or none that matters */
	EARLY_INGRESS,
	EARLY_PREROUTING,
	EARLY_OUTPUT
};

struct early_chain {
	__u8 family; /* NFPROTO_ */
	char *table, *name;
	enum early_hook hook;
	int priority;
	char (*devices)[16]; /* of ingress; none: all */
	size_t n_devices;
	size_t first, n; /* its rules */
};

struct early_rule {
	__u64 handle;
	struct nlattr *exprs; /* NFTA_RULE_EXPRESSIONS */
};

struct early_elem {
	__u8 key[64], key_len, data[64], data_len;
	bool end; /* of an interval: the first key behind it */
	int code; /* of a verdict map */
	char *chain;
};

struct early_set {
	__u8 family;
	char *table, *name;
	bool usable; /* its elements are known, and compared byte by byte */
	bool ranges;
	struct early_elem *e; /* ascending keys */
	size_t n, cap;
};

struct early_rules {
	struct early_chain *chains;
	size_t n_chains, cap_chains;
	struct early_rule *rules;
	size_t n_rules, cap_rules;
	struct early_set **sets; /* read when they are asked for */
	size_t n_sets, cap_sets;
};

/*
 * Base chains ahead of conntrack, and all of their tables. 0 or -errno; nothing is read but a list
 * of chains where there is none.
 */
int early_load(struct early_rules *out);
void early_free(struct early_rules *r);
/* NULL: it cannot be had. */
const struct early_set *early_set(struct early_rules *r, const struct early_chain *c,
				  const char *name);

/* --- packets --- */

/*
 * A byte bit by bit: known, or open, because the rule of ours that is looked at leaves it open, so
 * that there are packets of it with either value; or opaque: it depends on what is not looked at.
 */
struct tri {
	__u8 value, known, opaque;
};

struct early_packet {
	struct tri net[40], th[4]; /* headers; open beyond */
	struct tri proto;
	__u8 family; /* AF_INET, AF_INET6 */
	__be16 ether;
	struct tri mark[4]; /* as a number of this machine's */
	__u32 state;	    /* NF_CT_STATE_*_BIT */
	const char *iif;    /* NULL: it is sent, by any device */
	int ifindex;
	bool oif_opaque;
};

/* What a rule does to a packet of ours. */
enum early_harm {
	EARLY_MARK, /* takes the mark bit away */
	EARLY_ZONE  /* puts a conntrack template on it */
};

struct early_walk {
	struct early_rules *rules;
	__u32 mark;  /* the bit; 0: nobody reads one here */
	bool zones;  /* look for EARLY_ZONE */
	long budget; /* of expressions; nothing is found when it is used up */
	void (*found)(struct early_walk *w, const struct early_chain *c, const struct early_rule *r,
		      enum early_harm harm);
	void *arg;
};

void early_walk(struct early_walk *w, const struct early_chain *base, struct early_packet *p);

void tri_set(struct tri *t, const void *value, size_t n);
/* Only the first bits are known. */
void tri_set_prefix(struct tri *t, const void *value, size_t n, unsigned int bits);
/* Only the bits that are set are known. */
void tri_set_bits(struct tri *t, const void *value, size_t n);
void tri_set_opaque(struct tri *t, size_t n);

#endif
