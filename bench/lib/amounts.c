// SPDX-License-Identifier: GPL-2.0-only
/* What rules and flows take of memory, and how long rules take to load. */
#include <string.h>

#include "groups.h"
#include "rulesets.h"
#include "traffic.h"

#define SETTLE_US     1500000 /* the daemon tidies up a second after a change */
#define NFT_MILLION   (1536UL << 20)
#define START_MS      3000 /* the project's limits: a million prefixes, */
#define MEMORY_MIB    200  /* also this, */
#define REPLACE_MS    300  /* and a thousand rules */
#define LOAD_ROUNDS   3
#define MANY_RULES    1000
#define MANY_PREFIXES 100000
#define MOST_PREFIXES 1000000

double amount_median(const struct amount *a)
{
	double v[AMOUNT_ROUNDS];

	memcpy(v, a->v, sizeof(v));
	return quantile(v, (size_t)a->n, 0.5);
}

/* The amount of that name, made when it is not there yet. */
static struct amount *amount(struct group *g, const char *contender, const char *unit,
			     const char *what)
{
	struct amount *a;

	if (!g->amounts)
		g->amounts = calloc(AMOUNTS_MAX, sizeof(*g->amounts));
	if (!g->amounts)
		die("out of memory");
	for (int i = 0; i < g->n_amounts; i++) {
		a = &g->amounts[i];
		if (!strcmp(a->contender, contender) && !strcmp(a->what, what))
			return a;
	}
	if (g->n_amounts == AMOUNTS_MAX)
		die("group %s: too many amounts", g->name);
	a = &g->amounts[g->n_amounts++];
	*a = (struct amount){ .contender = contender, .unit = unit };
	snprintf(a->what, sizeof(a->what), "%s", what);
	return a;
}

static void put(struct amount *a, double value)
{
	if (a->n < AMOUNT_ROUNDS)
		a->v[a->n++] = value;
}

static struct scene scene_of(const char *contender, enum match match, unsigned int n, bool v6)
{
	return (struct scene){
		.contender = contender_find(contender),
		.match = match,
		.rules = match == MATCH_PORT ? n : 1,
		.prefixes = match == MATCH_PREFIX ? n : 1,
		.hit = true,
		.v6 = v6,
		.cores = 1,
	};
}

static const char *count_text(const struct scene *s)
{
	static char text[48];

	if (s->match == MATCH_PORT)
		snprintf(text, sizeof(text), "%u ports", s->rules);
	else
		snprintf(text, sizeof(text), "%u IPv%d prefixes", s->prefixes, s->v6 ? 6 : 4);
	return text;
}

static const char *why_not(const struct scene *s)
{
	const char *why = contender_why_not(s->contender);

	if (!why && s->prefixes > MANY_PREFIXES && !strcmp(s->contender->name, "nft-set") &&
	    memory_available() < NFT_MILLION)
		why = "less than 1.5 GB of memory, which nft takes to load it";
	return why;
}

/* --- loading --- */

/* Load the scene's rules into the bed, or replace what is loaded; milliseconds. */
static double load(struct bed *b, const struct scene *s, bool replace)
{
	const struct contender *c = s->contender;
	char *text[STEPS_MAX] = {};
	double start;

	netns_enter(b->router);
	if (c->word)
		text[0] = ctbypass_rules(s, daemon_set_path(b));
	for (int i = 0; i < STEPS_MAX && c->steps[i].argv[0]; i++) {
		if (!replace)
			text[i] = c->steps[i].text(s);
		else if (c->steps[i].replacement)
			text[i] = c->steps[i].replacement(s);
	}
	start = clock_wall();
	if (c->word && replace)
		daemon_reload(b, text[0]);
	else if (c->word)
		daemon_start(b, text[0]);
	for (int i = 0; i < STEPS_MAX && c->steps[i].argv[0]; i++) {
		if (text[i])
			command(text[i], step_argv(&c->steps[i], s));
	}
	start = clock_wall() - start;
	for (int i = 0; i < STEPS_MAX; i++)
		free(text[i]);
	return start / 1e6;
}

static void time_load(struct group *g, struct scene s, double most_load, double most_replace)
{
	const char *name = s.contender->name;
	char what[64];
	struct amount *first, *again;
	struct bed b;

	snprintf(what, sizeof(what), "%s, load", count_text(&s));
	first = amount(g, name, "ms", what);
	snprintf(what, sizeof(what), "%s, replace all", count_text(&s));
	again = amount(g, name, "ms", what);
	first->most = most_load;
	again->most = most_replace;
	first->skipped = again->skipped = why_not(&s);
	if (first->skipped)
		return;
	bed_make_router(&b, &s);
	put(first, load(&b, &s, false));
	if (s.contender->word)
		usleep(SETTLE_US);
	s.edition = 1;
	put(again, load(&b, &s, true));
	bed_free(&b);
}

void collect_load(struct group *g)
{
	static const char *const ports[] = { "iptables", "iptables-nft", "ipset",
					     "nft",	 "nft-set",	 "ctbypass" };
	static const char *const sets[] = { "ipset", "nft-set", "ctbypass" };
	int rounds = opt.quick || opt.once ? 1 : LOAD_ROUNDS;

	for (int r = 0; r < rounds; r++) {
		for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
			if (listed(opt.only, ports[i]))
				time_load(g, scene_of(ports[i], MATCH_PORT, MANY_RULES, false), 0,
					  strcmp(ports[i], "ctbypass") ? 0 : REPLACE_MS);
		}
		for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
			if (listed(opt.only, sets[i]))
				time_load(g, scene_of(sets[i], MATCH_PREFIX, MANY_PREFIXES, false),
					  0, 0);
		}
	}
	if (opt.quick)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		if (listed(opt.only, sets[i]))
			time_load(g, scene_of(sets[i], MATCH_PREFIX, MOST_PREFIXES, false),
				  strcmp(sets[i], "ctbypass") ? 0 : START_MS, 0);
	}
	if (listed(opt.only, "ctbypass"))
		time_load(g, scene_of("ctbypass", MATCH_PREFIX, MOST_PREFIXES, true), START_MS, 0);
}

/* --- memory --- */

/* Flows of one bed; the table that they hang in is there with or without them. */
static void flow_memory(struct group *g, unsigned int flows)
{
	struct scene s = scene_of("tracked", MATCH_PORT, 1, false);
	struct amount *a = amount(g, "tracked", "bytes", "a flow");
	unsigned long before;
	struct bed b;
	__u64 lost;

	if (!conntrack_make_room(flows + 1000, opt.leave_sysctls, &a->skipped))
		return;
	s.feed = FEED_STACK;
	bed_make(&b, &s);
	bed_traffic(&b, FLOWS_1M, 1, TRAFFIC_FRAME);
	before = memory_kernel();
	bed_run(&b, flows, &lost);
	if (lost || bed_conntrack(&b) != flows)
		die("memory: %lu conntrack entries, expected %u", bed_conntrack(&b), flows);
	put(a, (double)(memory_kernel() - before) / flows);
	bed_conntrack_flush(&b);
	bed_free(&b);
	put(amount(g, "tracked", "bytes", "the hash table of all namespaces"),
	    8 * (double)file_number("/proc/sys/net/netfilter/nf_conntrack_buckets"));
}

/* What the kernel has more of when the rules are loaded. */
static double rules_memory(const struct scene *s, __u64 *resident, __u64 *maps)
{
	unsigned long before;
	struct bed b;
	double bytes;

	bed_make_router(&b, s);
	before = memory_kernel();
	load(&b, s, false);
	bytes = (double)memory_kernel() - (double)before;
	if (b.daemon) {
		*resident = daemon_resident(&b, true);
		*maps = daemon_maps(&b);
	}
	bed_free(&b);
	return bytes;
}

/* Of n rules or prefixes beyond one, so that what does not grow with them does not count. */
static void each_memory(struct group *g, const char *contender, enum match match, unsigned int n)
{
	struct scene many = scene_of(contender, match, n, false);
	struct scene one = scene_of(contender, match, 1, false);
	__u64 resident = 0, maps = 0, unused;
	struct amount *a;
	double bytes;
	char what[64];

	if (!listed(opt.only, contender))
		return;
	snprintf(what, sizeof(what), "a %s, of %u", match == MATCH_PORT ? "port" : "prefix", n);
	a = amount(g, contender, "bytes", what);
	a->skipped = why_not(&many);
	if (a->skipped)
		return;
	/* Little enough for the rest of the machine to matter: the median of some. */
	for (int i = 0; i < (match == MATCH_PORT ? AMOUNT_ROUNDS : 1); i++) {
		bytes = rules_memory(&many, &resident, &maps);
		put(a, (bytes - rules_memory(&one, &unused, &unused)) / (n - 1));
	}
	if (!many.contender->word || match == MATCH_PORT)
		return;
	snprintf(what, sizeof(what), "%u prefixes: the daemon's peak and its maps", n);
	a = amount(g, contender, "MiB", what);
	a->most = n == MOST_PREFIXES ? MEMORY_MIB : 0;
	put(a, (double)(resident + maps) / (1 << 20));
}

void collect_memory(struct group *g)
{
	static const char *const ports[] = { "iptables", "iptables-nft", "ipset",
					     "nft",	 "nft-set",	 "ctbypass" };
	static const char *const sets[] = { "ipset", "nft-set", "ctbypass" };

	if (listed(opt.only, "tracked"))
		flow_memory(g, opt.quick ? FLOWS_64K : FLOWS_1M);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		each_memory(g, ports[i], MATCH_PORT, MANY_RULES);
	if (opt.quick)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		each_memory(g, sets[i], MATCH_PREFIX, MANY_PREFIXES);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		each_memory(g, sets[i], MATCH_PREFIX, MOST_PREFIXES);
}
