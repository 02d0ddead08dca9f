// SPDX-License-Identifier: GPL-2.0-only
/* How each way of keeping packets out of conntrack is set up, in the router's namespace. */
#include <string.h>

#include "bed.h"
#include "ctbypass/abi.h"
#include "rulesets.h"

static void run(const char *input, const char *program, const char *arg, const char *arg2)
{
	const char *const argv[] = { program, arg, arg2, NULL };

	command(input, argv);
}

static void setup_iptables(struct bed *b)
{
	_free_ char *rules = iptables_rules(&b->scene);

	run(rules, b->scene.v6 ? "ip6tables-legacy-restore" : "iptables-legacy-restore", NULL,
	    NULL);
}

static void setup_iptables_nft(struct bed *b)
{
	_free_ char *rules = iptables_rules(&b->scene);

	run(rules, b->scene.v6 ? "ip6tables-nft-restore" : "iptables-nft-restore", NULL, NULL);
}

static void setup_ipset(struct bed *b)
{
	_free_ char *sets = ipset_sets(&b->scene, 1), *rules = iptables_set_rules(&b->scene);

	run(sets, "ipset", "restore", NULL);
	run(rules, b->scene.v6 ? "ip6tables-legacy-restore" : "iptables-legacy-restore", NULL,
	    NULL);
}

static void setup_nft(struct bed *b)
{
	_free_ char *rules = nft_rules(&b->scene);

	run(rules, "nft", "-f", "-");
}

static void setup_nft_set(struct bed *b)
{
	_free_ char *rules = nft_set_rules(&b->scene, 1);

	run(rules, "nft", "-f", "-");
}

/* Flows are tracked; from their second packet on they go from the device's ingress to the other's
 * egress. */
static void setup_flowtable(struct bed *b)
{
	(void)b;
	run("table inet bench {\n"
	    "	flowtable f { hook ingress priority 0; devices = { r0, r1 }; }\n"
	    "	chain forward {\n"
	    "		type filter hook forward priority -1;\n"
	    "		udp dport 9000 flow add @f\n"
	    "	}\n"
	    "}\n",
	    "nft", "-f", "-");
	if (!access("/proc/sys/net/netfilter/nf_flowtable_udp_timeout", W_OK))
		file_write("/proc/sys/net/netfilter/nf_flowtable_udp_timeout", "3600");
}

/* Flows in a flowtable hold their entries. */
static void unset_flowtable(void)
{
	run("delete table inet bench\n", "nft", "-f", "-");
}

_Static_assert(BENCH_PORT == 9000, "as the flowtable's rule says");

const struct contender contenders[] = {
	{ .name = "none",
	  .what = "the kernel's forwarding without conntrack or any rule: the floor" },
	{ .name = "source",
	  .what = "generator and sink alone: packets end where they come in",
	  .no_path = true,
	  .way = WAY_REDIRECT },
	{ .name = "tracked",
	  .what = "conntrack and a stateful ruleset, as all below have, and nothing else",
	  .stateful = true,
	  .entries = ENTRIES_ALL },
	{ .name = "iptables",
	  .what = "iptables-legacy, a NOTRACK rule in raw for each port",
	  .stateful = true,
	  .linear = true,
	  .setup = setup_iptables },
	{ .name = "iptables-nft",
	  .what = "the same by iptables-nft",
	  .stateful = true,
	  .linear = true,
	  .setup = setup_iptables_nft },
	{ .name = "ipset",
	  .what = "iptables-legacy, one NOTRACK rule with an ipset: bitmap:port or hash:net",
	  .stateful = true,
	  .setup = setup_ipset },
	{ .name = "nft",
	  .what = "nft, `udp dport N notrack` for each port",
	  .stateful = true,
	  .linear = true,
	  .setup = setup_nft },
	{ .name = "nft-set",
	  .what = "nft, one notrack rule with a set; an interval set for prefixes",
	  .stateful = true,
	  .setup = setup_nft_set },
	{ .name = "ctbypass",
	  .what = "ctbypass, notrack rules",
	  .stateful = true,
	  .no_xdp = true,
	  .word = "notrack",
	  .outcome = CTB_OUT_KERNEL },
	{ .name = "forward-tc",
	  .what = "ctbypass, forward rules, in tc",
	  .stateful = true,
	  .way = WAY_REDIRECT,
	  .word = "forward",
	  .no_xdp = true,
	  .outcome = CTB_OUT_TC },
	{ .name = "forward-xdp",
	  .what = "ctbypass, forward rules, in XDP",
	  .stateful = true,
	  .way = WAY_REDIRECT,
	  .word = "forward",
	  .outcome = CTB_OUT_XDP },
	{ .name = "bare-tc",
	  .what = "no conntrack; the least tc program that routes: the ceiling there",
	  .way = WAY_REDIRECT,
	  .tc = "bare_tc",
	  .no_v6 = true },
	{ .name = "bare-xdp",
	  .what = "no conntrack; the least XDP program that routes: the ceiling there",
	  .way = WAY_REDIRECT,
	  .xdp = "bare_xdp",
	  .no_v6 = true },
	{ .name = "flowtable",
	  .what = "tracked, nft flowtable (software)",
	  .stateful = true,
	  .way = WAY_REDIRECT,
	  .entries = ENTRIES_ALL,
	  .setup = setup_flowtable,
	  .unset = unset_flowtable },
};
const size_t n_contenders = ARRAY_SIZE(contenders);

const struct contender *contender_find(const char *name)
{
	for (size_t i = 0; i < n_contenders; i++) {
		if (!strcmp(contenders[i].name, name))
			return &contenders[i];
	}
	return NULL;
}

/* --- can it be had? --- */

/* What it runs says why not, on stderr; nft with a place in its input in front. */
static void try_setup(const void *arg)
{
	static const char *const cables[] = { "ip",   "link", "add",  "r0", "type",
					      "veth", "peer", "name", "r1", NULL };
	const struct contender *c = arg;
	struct bed b = {
		.scene = { .contender = c, .rules = 1, .prefixes = 1, .hit = true },
	};

	command(NULL, cables);
	c->setup(&b);
}

const char *contender_why_not(const struct contender *c)
{
	static char *why[32];
	static bool asked[32];
	size_t i = (size_t)(c - contenders);

	_Static_assert(ARRAY_SIZE(contenders) <= ARRAY_SIZE(why), "as many as there are");
	if (!asked[i] && c->setup)
		why[i] = attempt(try_setup, c);
	asked[i] = true;
	return why[i];
}

/* --- scenes --- */

bool scene_same_bed(const struct scene *a, const struct scene *b)
{
	return a->contender == b->contender && a->path == b->path && a->feed == b->feed &&
	       a->match == b->match && a->rules == b->rules && a->prefixes == b->prefixes &&
	       a->hit == b->hit && a->v6 == b->v6 && a->cores == b->cores;
}

enum entries scene_entries(const struct scene *s)
{
	if (!s->contender->stateful)
		return ENTRIES_NONE;
	return s->hit ? s->contender->entries : ENTRIES_ALL;
}

const char *flows_name(__u64 flows)
{
	static char text[16];

	switch (flows) {
	case FLOWS_64K:
		return "64 k";
	case FLOWS_1M:
		return "1 M";
	case FLOWS_NEW:
		return "new";
	}
	snprintf(text, sizeof(text), "%llu", flows);
	return text;
}
