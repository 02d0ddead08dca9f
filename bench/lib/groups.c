// SPDX-License-Identifier: GPL-2.0-only
/* The axes: each group varies one of them from the same base point. */
#include <errno.h>
#include <string.h>

#include "groups.h"
#include "traffic.h"

#define NFT_MILLION (1536UL << 20) /* bytes: nft itself 763 MB, and the kernel's part */

struct options opt;

static const struct scene base = {
	.feed = FEED_STACK,
	.path = PATH_FORWARD,
	.match = MATCH_PORT,
	.rules = 1,
	.prefixes = 1,
	.hit = true,
	.size = TRAFFIC_FRAME,
	.cores = 1,
	.flows = FLOWS_64K,
};

static bool asked_for(const struct scene *s)
{
	return listed(opt.only, s->contender->name);
}

/* Returns the row's number. Contenders that were not asked for have none: -1. */
static int add(struct group *g, const char *contender, struct scene s, int reference)
{
	struct row *r;

	s.contender = contender_find(contender);
	if (!s.contender)
		die("no contender %s", contender);
	if (!asked_for(&s) || (s.v6 && s.contender->no_v6))
		return -1;
	if (!g->rows)
		g->rows = calloc(ROWS_MAX, sizeof(*g->rows));
	if (!g->rows || g->n_rows == ROWS_MAX)
		die("group %s: too many rows", g->name);
	r = &g->rows[g->n_rows];
	*r = (struct row){ .scene = s, .reference = reference >= 0 ? reference : g->n_rows };
	r->skipped = contender_why_not(s.contender);
	if (!r->skipped)
		r->skipped = contender_why_no_path(s.contender, s.path);
	if (!r->skipped && s.extra && contender_find(s.extra))
		r->skipped = contender_why_not(contender_find(s.extra));
	if (!r->skipped && s.match == MATCH_PREFIX && s.prefixes > 100000 &&
	    !strcmp(contender, "nft-set") && memory_available() < NFT_MILLION)
		r->skipped = "less than 1.5 GB of memory, which nft takes to load it";
	if (s.cores > 1 && !cpu_has_second())
		r->skipped = "one CPU only";
	return g->n_rows++;
}

/*
 * Where figures are instructions generator and sink alone belong to each group: what a packet takes
 * there depends by a percent on the state that the kernel's slabs are in by then.
 */
static void add_source(struct group *g, enum feed feed)
{
	struct scene s = base;

	s.feed = feed;
	if (opt.once)
		add(g, "source", s, -1);
}

static void limit(struct group *g, const char *text, int a, int b, int kind, double value)
{
	if (a < 0 || b < 0)
		return;
	if (g->n_limits == LIMITS_MAX)
		die("group %s: too many limits", g->name);
	g->limits[g->n_limits++] = (struct limit){
		.text = text, .a = a, .b = b, .kind = kind, .value = value
	};
}

/* The row of that contender with so many flows, rules, prefixes; -1: none. */
static int find(const struct group *g, const char *contender, const struct scene *like)
{
	for (int i = 0; i < g->n_rows; i++) {
		const struct scene *s = &g->rows[i].scene;

		if (!strcmp(s->contender->name, contender) && s->flows == like->flows &&
		    s->rules == like->rules && s->prefixes == like->prefixes)
			return i;
	}
	return -1;
}

static void fill_base(struct group *g)
{
	static const char *const names[] = {
		"tracked", "iptables",	"iptables-nft",	   "ipset",	  "nft",
		"nft-set", "ctbypass",	"ctbypass-direct", "bare-direct", "forward-tc",
		"bare-tc", "flowtable", "source"
	};
	int none = add(g, "none", base, -1);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		add(g, names[i], base, none);
	limit(g, "ctbypass against nft, one rule", find(g, "ctbypass", &base),
	      find(g, "nft", &base), AT_MOST, 1.03);
	limit(g, "direct mode against nft, one rule", find(g, "ctbypass-direct", &base),
	      find(g, "nft", &base), AT_MOST, 0.96);
}

static void fill_flows(struct group *g)
{
	static const char *const names[] = {
		"tracked",	   "iptables",	 "nft",	    "ctbypass",
		"ctbypass-direct", "forward-tc", "bare-tc", "flowtable"
	};
	static const __u64 flows[] = { 1, FLOWS_64K, FLOWS_NEW, FLOWS_1M };
	struct scene s = base;

	for (size_t k = 0; k < ARRAY_SIZE(flows); k++) {
		int none;

		s.flows = flows[k];
		if (s.flows == FLOWS_1M && opt.quick)
			continue;
		none = add(g, "none", s, -1);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			add(g, names[i], s, none);
	}
	add_source(g, FEED_STACK);
	s.flows = FLOWS_NEW;
	limit(g, "ctbypass cheaper than tracked, every packet new", find(g, "tracked", &s),
	      find(g, "ctbypass", &s), AT_LEAST, 3);
}

static void fill_rules(struct group *g)
{
	static const char *const names[] = { "iptables",	"iptables-nft",
					     "ipset",		"nft",
					     "nft-set",		"ctbypass",
					     "ctbypass-direct", "forward-tc" };
	static const unsigned int rules[] = { 1, 10, 100, 1000 };
	struct scene one = base, many = base;
	int none = add(g, "none", base, -1);

	add(g, "tracked", base, none);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(rules); k++) {
			struct scene s = base;

			s.rules = rules[k];
			if (!opt.quick || s.rules == 1 || s.rules == 1000)
				add(g, names[i], s, none);
		}
	}
	add_source(g, FEED_STACK);
	many.rules = 1000;
	limit(g, "ctbypass against nft, one rule", find(g, "ctbypass", &one), find(g, "nft", &one),
	      AT_MOST, 1.03);
	limit(g, "ctbypass cheaper than iptables, 1,000 rules", find(g, "iptables", &many),
	      find(g, "ctbypass", &many), AT_LEAST, 20);
	limit(g, "ctbypass, 1,000 rules against one", find(g, "ctbypass", &many),
	      find(g, "ctbypass", &one), AT_MOST, 1.03);
	limit(g, "direct mode against nft, one rule", find(g, "ctbypass-direct", &one),
	      find(g, "nft", &one), AT_MOST, 0.96);
	limit(g, "direct mode, 1,000 rules against one", find(g, "ctbypass-direct", &many),
	      find(g, "ctbypass-direct", &one), AT_MOST, 1.02);
}

static void fill_forward(struct group *g)
{
	struct scene s = base;
	int bare, none, one, xdp, xdp_1, xdp_1m, none_up, tc_up;

	s.feed = FEED_WIRE;
	s.match = MATCH_PREFIX;
	s.flows = 1;
	one = add(g, "bare-xdp", s, -1);
	xdp_1 = add(g, "forward-xdp", s, one);
	add(g, "none", s, one);
	add(g, "tracked", s, one);
	s.flows = FLOWS_64K;
	bare = add(g, "bare-xdp", s, -1);
	xdp = add(g, "forward-xdp", s, bare);
	s.match = MATCH_PORT;
	add(g, "forward-xdp", s, bare);
	s.match = MATCH_MIXED;
	s.rules = 1000;
	add(g, "forward-xdp", s, bare);
	s.match = MATCH_PORT;
	s.rules = 1;
	none = add(g, "none", s, bare);
	add(g, "source", s, bare);
	add(g, "ctbypass", s, bare);
	add(g, "ctbypass-direct", s, bare);
	limit(g, "XDP forward against bare XDP, 1 flow", xdp_1, one, AT_MOST, 1.15);
	limit(g, "XDP forward against bare XDP, 64 k flows", xdp, bare, AT_MOST, 1.15);
	limit(g, "XDP forward cheaper than kernel", none, xdp, AT_LEAST, 2.8);
	limit(g, "XDP forward cheaper than tracked, 64 k flows", add(g, "tracked", s, bare), xdp,
	      AT_LEAST, 3.5);
	add(g, "flowtable", s, bare);
	s.flows = FLOWS_NEW;
	s.match = MATCH_PREFIX;
	add(g, "forward-xdp", s, bare);
	add(g, "tracked", s, bare);
	if (!opt.quick) {
		s.flows = FLOWS_1M;
		bare = add(g, "bare-xdp", s, -1);
		xdp_1m = add(g, "forward-xdp", s, bare);
		limit(g, "XDP forward cheaper than tracked, 1 M flows", add(g, "tracked", s, bare),
		      xdp_1m, AT_LEAST, 6);
	}
	s = base;
	none_up = add(g, "none", s, -1);
	s.match = MATCH_PREFIX;
	tc_up = add(g, "forward-tc", s, none_up);
	limit(g, "tc forward cheaper than kernel (stack)", none_up, tc_up, AT_LEAST, 1.35);
	add(g, "bare-tc", s, none_up);
	add(g, "tracked", s, none_up);
	add_source(g, FEED_STACK);
}

static void fill_prefixes(struct group *g)
{
	static const char *const names[] = { "ipset", "nft-set", "ctbypass", "ctbypass-direct",
					     "forward-tc" };
	static const unsigned int prefixes[] = { 1, 1000, 100000, 1000000 };
	struct scene s = base, one;
	int none;

	s.match = MATCH_PREFIX;
	one = s;
	none = add(g, "none", s, -1);
	add(g, "tracked", s, none);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(prefixes); k++) {
			s.prefixes = prefixes[k];
			if (!opt.quick || s.prefixes == 1 || s.prefixes == 100000)
				add(g, names[i], s, none);
		}
	}
	add_source(g, FEED_STACK);
	s.prefixes = 100000;
	limit(g, "ctbypass cheaper than nft, 100,000 prefixes", find(g, "nft-set", &s),
	      find(g, "ctbypass", &s), AT_LEAST, 1.5);
	s.prefixes = 1000000;
	limit(g, "ctbypass, 1,000,000 prefixes against one", find(g, "ctbypass", &s),
	      find(g, "ctbypass", &one), AT_MOST, 1.05);
}

/* Packets that fit no rule are tracked. */
static void fill_miss(struct group *g)
{
	static const char *const ports[] = { "iptables",	"iptables-nft",
					     "ipset",		"nft",
					     "nft-set",		"ctbypass",
					     "ctbypass-direct", "forward-tc" };
	static const char *const many[] = { "iptables", "nft", "nft-set", "ctbypass",
					    "ctbypass-direct" };
	static const char *const sets[] = { "ipset", "nft-set", "ctbypass", "ctbypass-direct" };
	struct scene s = base;
	int tracked;

	s.hit = false;
	s.flows = 1;
	tracked = add(g, "tracked", s, -1);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		add(g, ports[i], s, tracked);
	limit(g, "miss tax, 1 flow, ns", find(g, "ctbypass", &s), tracked, NS_AT_MOST, 25);
	s.rules = 1000;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		add(g, many[i], s, tracked);
	s.rules = 1;
	s.match = MATCH_PREFIX;
	s.prefixes = 100000;
	for (size_t i = 0; i < ARRAY_SIZE(sets) && !opt.quick; i++)
		add(g, sets[i], s, tracked);
	/* Few beds, or the table that they share would be what is measured. */
	add_source(g, FEED_STACK);
	s = base;
	s.hit = false;
	tracked = add(g, "tracked", s, -1);
	add(g, "nft", s, tracked);
	limit(g, "miss tax, 64 k flows, ns", add(g, "ctbypass", s, tracked), tracked, NS_AT_MOST,
	      25);
	add(g, "ctbypass-direct", s, tracked);
}

/* The same contenders with every value of something. */
static void fill_twice(struct group *g, struct scene one, struct scene two,
		       const char *const *names, size_t n)
{
	for (int k = 0; k < 2; k++) {
		struct scene s = k ? two : one;
		int none = add(g, "none", s, -1);

		for (size_t i = 0; i < n; i++)
			add(g, names[i], s, none);
	}
}

static void fill_local(struct group *g)
{
	static const char *const names[] = { "tracked", "iptables", "iptables-nft",   "nft",
					     "nft-set", "ctbypass", "ctbypass-direct" };
	struct scene local = base, output = base;

	local.path = PATH_LOCAL;
	output.path = PATH_OUTPUT;
	fill_twice(g, local, output, names, ARRAY_SIZE(names));
	add_source(g, FEED_STACK);
}

static const char *const some[] = { "source",	"tracked",	   "iptables",	"nft",
				    "ctbypass", "ctbypass-direct", "forward-tc" };

static void fill_family(struct group *g)
{
	static const char *const xdp[] = { "source", "forward-xdp" };
	struct scene v4 = base, v6 = base;

	v6.v6 = true;
	fill_twice(g, v4, v6, some, ARRAY_SIZE(some));
	v4.feed = FEED_WIRE;
	v6.feed = FEED_WIRE;
	fill_twice(g, v4, v6, xdp, ARRAY_SIZE(xdp));
}

static void fill_size(struct group *g)
{
	static const char *const xdp[] = { "source", "forward-xdp" };
	struct scene small = base, large = base;

	large.size = 1400;
	fill_twice(g, small, large, some, ARRAY_SIZE(some));
	small.feed = FEED_WIRE;
	large.feed = FEED_WIRE;
	fill_twice(g, small, large, xdp, ARRAY_SIZE(xdp));
}

static void fill_cores(struct group *g)
{
	struct scene two = base;

	two.cores = 2;
	fill_twice(g, base, two, some, ARRAY_SIZE(some));
}

/* What XDP costs a packet that it passes: on one bed, by programs put there for the run. */
static void fill_passed(struct group *g)
{
	struct scene s = base;
	int without, with;

	s.feed = FEED_WIRE;
	s.match = MATCH_PREFIX;
	s.hit = false;
	s.flows = 1;
	without = add(g, "forward-tc", s, -1);
	s.extra = "empty";
	add(g, "forward-tc", s, without);
	s.extra = "forward-xdp"; /* the program of the next row's bed */
	with = add(g, "forward-tc", s, without);
	s.extra = NULL;
	add(g, "forward-xdp", s, without);
	add_source(g, FEED_WIRE);
	limit(g, "XDP's cost to a packet that it passes, ns", with, without, NS_AT_MOST, 20);
}

struct group groups[] = {
	{ .name = "base", .what = "every contender at the base point", .fill = fill_base },
	{ .name = "flows", .what = "1, 64 k, 1 M flows, every packet new", .fill = fill_flows },
	{ .name = "rules", .what = "1 to 1,000 rules, the last one fits", .fill = fill_rules },
	{ .name = "prefixes", .what = "1 to 1,000,000 prefixes", .fill = fill_prefixes },
	{ .name = "miss",
	  .what = "packets that fit no rule, and are tracked",
	  .fill = fill_miss,
	  .more_rounds = 1 },
	{ .name = "local", .what = "to a UDP socket here, and from one", .fill = fill_local },
	{ .name = "family", .what = "IPv4 and IPv6", .fill = fill_family },
	{ .name = "size", .what = "64 and 1400 bytes", .fill = fill_size },
	{ .name = "cores", .what = "one and two cores, per packet and core", .fill = fill_cores },
	{ .name = "forward",
	  .what = "forwarding in XDP and tc, device to device",
	  .fill = fill_forward },
	{ .name = "passed",
	  .what = "what XDP costs a packet that it passes to the stack",
	  .fill = fill_passed,
	  .more_rounds = 2 },
	{ .name = "memory",
	  .what = "bytes of a flow, a prefix, a rule",
	  .collect = collect_memory },
	{ .name = "load", .what = "loading and replacing rules", .collect = collect_load },
};
const size_t n_groups = ARRAY_SIZE(groups);

bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		if (!strncmp(p, name, len) && (!p[len] || p[len] == ','))
			return true;
	}
	return !list;
}
