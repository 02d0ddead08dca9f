// SPDX-License-Identifier: GPL-2.0-only
/* How each way of keeping packets out of conntrack is set up, in the router's namespace. */
#include <string.h>

#include "bed.h"
#include "ctbypass/abi.h"
#include "rulesets.h"

#define IPTABLES(backend) \
	.argv = { "iptables-" backend "-restore" }, .argv6 = { "ip6tables-" backend "-restore" }
#define NFT .argv = { "nft", "-f", "-" }

/* Or entries would time out during the measurement. */
static void keep_flows(void)
{
	static const char path[] = "/proc/sys/net/netfilter/nf_flowtable_udp_timeout";

	if (!access(path, W_OK))
		file_write(path, "3600");
}

/* Flows in a flowtable hold their entries. */
static void unset_flowtable(void)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };

	command("delete table inet bench\n", argv);
}

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
	  .steps = { { IPTABLES("legacy"), .text = iptables_rules,
		       .replacement = iptables_rules } } },
	{ .name = "iptables-nft",
	  .what = "the same by iptables-nft",
	  .stateful = true,
	  .linear = true,
	  .steps = { { IPTABLES("nft"), .text = iptables_rules, .replacement = iptables_rules } } },
	{ .name = "ipset",
	  .what = "iptables-legacy, one NOTRACK rule with an ipset: bitmap:port or hash:net",
	  .stateful = true,
	  .steps = { { .argv = { "ipset", "restore" },
		       .text = ipset_sets,
		       .replacement = ipset_replacement },
		     { IPTABLES("legacy"), .text = iptables_set_rules } } },
	{ .name = "nft",
	  .what = "nft, `udp dport N notrack` for each port",
	  .stateful = true,
	  .linear = true,
	  .steps = { { NFT, .text = nft_rules, .replacement = nft_rules_replacement } } },
	{ .name = "nft-set",
	  .what = "nft, one notrack rule with a set; an interval set for prefixes",
	  .stateful = true,
	  .steps = { { NFT, .text = nft_set_rules, .replacement = nft_set_replacement } } },
	{ .name = "ctbypass",
	  .what = "ctbypass, notrack rules; a mark that nft turns into untracked",
	  .stateful = true,
	  .no_xdp = true,
	  .word = "notrack",
	  .outcome = CTB_OUT_KERNEL },
	{ .name = "ctbypass-direct",
	  .what = "the same in direct mode: module nf_untrack_bpf, no mark, no nft",
	  .stateful = true,
	  .no_xdp = true,
	  .direct = true,
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
	{ .name = "bare-direct",
	  .what = "the least tc program that makes packets untracked: direct mode's floor",
	  .stateful = true,
	  .direct = true,
	  .tc = "untrack_tc" },
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
	  .steps = { { NFT, .text = nft_flowtable } },
	  .finish = keep_flows,
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

bool contender_has_rules(const struct contender *c)
{
	return c->word || c->steps[0].argv[0];
}

const char *const *step_argv(const struct step *t, const struct scene *s)
{
	return s->v6 && t->argv6[0] ? t->argv6 : t->argv;
}

void contender_setup(const struct scene *s)
{
	const struct contender *c = s->contender;

	for (int i = 0; i < STEPS_MAX && c->steps[i].argv[0]; i++) {
		_free_ char *text = c->steps[i].text(s);

		command(text, step_argv(&c->steps[i], s));
	}
	if (c->finish)
		c->finish();
}

/* --- can it be had? --- */

static void try_setup(const void *arg)
{
	static const char *const cables[] = { "ip",   "link", "add",  "r0", "type",
					      "veth", "peer", "name", "r1", NULL };
	struct scene s = { .contender = arg, .rules = 1, .prefixes = 1, .hit = true };

	command(NULL, cables);
	contender_setup(&s);
}

/* Without the place in its input that nft says in front. */
static char *without_place(char *said, const struct contender *c)
{
	char *error = said ? strstr(said, "Error: ") : NULL;
	struct strbuf b = {};

	if (!said)
		return NULL;
	strbuf_addf(&b, "not here: %s says: %s", c->steps[0].argv[0],
		    error ? error + strlen("Error: ") : said);
	free(said);
	return b.s;
}

/* NULL if `ctbypass features` has it, or what it says of it. */
static char *without_feature(const char *wanted)
{
	const char *const argv[] = { ctbypass_program, "features", "-j", NULL };
	_free_ char *text = command_output(argv);
	json_t *root = json_loads(text, 0, NULL), *feature;
	char *why = NULL;
	size_t i;

	json_array_foreach (json_object_get(root, "features"), i, feature) {
		const char *name = json_string_value(json_object_get(feature, "name"));
		const char *state = json_string_value(json_object_get(feature, "state"));
		const char *detail = json_string_value(json_object_get(feature, "detail"));

		if (name && state && !strcmp(name, wanted) && strcmp(state, "yes"))
			why = strdup(detail && *detail ? detail : state);
	}
	json_decref(root);
	return why;
}

/* Before 6.3 the kernel does not say that a veth takes XDP frames, and the daemon forwards in tc.
 */
static char *without_xdp(void)
{
	_free_ char *why = without_feature("netdev-genl");

	return why ? strdup("this kernel does not tell which devices take XDP frames") : NULL;
}

const char *contender_why_not(const struct contender *c)
{
	static char *why[32];
	static bool asked[32];
	size_t i = (size_t)(c - contenders);

	_Static_assert(ARRAY_SIZE(contenders) <= ARRAY_SIZE(why), "as many as there are");
	if (!asked[i] && c->steps[0].argv[0])
		why[i] = without_place(attempt(try_setup, c), c);
	else if (!asked[i] && c->direct)
		why[i] = without_feature("untrack-kfunc");
	else if (!asked[i] && c->word && !c->no_xdp)
		why[i] = without_xdp();
	asked[i] = true;
	return why[i];
}

/* Where there are no netfilter programs the nft table goes on judging what is sent. */
const char *contender_why_no_path(const struct contender *c, enum path path)
{
	static char *why;
	static bool asked;

	if (!c->direct || path != PATH_OUTPUT)
		return NULL;
	if (!asked)
		why = without_feature("netfilter-link");
	asked = true;
	return why;
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
