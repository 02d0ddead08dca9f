// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>
#include <string.h>

#include "scenarios.h"

#define RULE_HIT   "forward daddr " BED_DEST_NET "\n"
#define RULE_MISS  "forward daddr 192.0.2.0/24\n"
#define RULES_MANY 1000

_Static_assert(BED_DEST_PORT == 9000, "as the rules say");

static char many_rules[RULES_MANY * 64];

const struct bed_spec specs[BED_MAX] = {
	[BARE_XDP] = { FEED_WIRE, PATH_BARE_XDP, false, NULL },
	[FORWARD] = { FEED_WIRE, PATH_CTBYPASS, true, RULE_HIT },
	[FORWARD_PORT] = { FEED_WIRE, PATH_CTBYPASS, true, "forward udp dport 9000\n" },
	[FORWARD_MANY] = { FEED_WIRE, PATH_CTBYPASS, true, many_rules },
	[KERNEL] = { FEED_WIRE, PATH_KERNEL, false, NULL },
	[NOTRACK] = { FEED_WIRE, PATH_CTBYPASS, true, "notrack udp dport 9000\n" },
	[TRACKED_1] = { FEED_WIRE, PATH_KERNEL, true, NULL },
	[TRACKED_64K] = { FEED_WIRE, PATH_KERNEL, true, NULL },
	[TRACKED_1M] = { FEED_WIRE, PATH_KERNEL, true, NULL },
	[TRACKED_NEW] = { FEED_WIRE, PATH_KERNEL, true, NULL },
	[MISS_TC] = { FEED_WIRE, PATH_CTBYPASS_TC, false, RULE_MISS },
	[MISS_XDP] = { FEED_WIRE, PATH_CTBYPASS, false, RULE_MISS },
	[UP_BARE_TC] = { FEED_STACK, PATH_BARE_TC, false, NULL },
	[UP_FORWARD] = { FEED_STACK, PATH_CTBYPASS_TC, true, RULE_HIT },
	[UP_KERNEL] = { FEED_STACK, PATH_KERNEL, false, NULL },
	[UP_TRACKED] = { FEED_STACK, PATH_KERNEL, true, NULL },
};

struct contender contenders[C_MAX] = {
	[C_BARE_1] = { .name = "bare XDP redirect", .bed = BARE_XDP, .flows = 1 },
	[C_BARE_64K] = { .name = "bare XDP redirect", .bed = BARE_XDP, .flows = FLOWS_64K },
	[C_BARE_1M] = { .name = "bare XDP redirect",
			.bed = BARE_XDP,
			.flows = FLOWS_1M,
			.phase = PHASE_LARGE },
	[C_FORWARD_1] = { .name = "ctbypass forward, XDP", .bed = FORWARD, .flows = 1 },
	[C_FORWARD_64K] = { .name = "ctbypass forward, XDP", .bed = FORWARD, .flows = FLOWS_64K },
	[C_FORWARD_1M] = { .name = "ctbypass forward, XDP",
			   .bed = FORWARD,
			   .flows = FLOWS_1M,
			   .phase = PHASE_LARGE },
	[C_FORWARD_NEW] = { .name = "ctbypass forward, XDP", .bed = FORWARD, .flows = FLOWS_NEW },
	[C_PORT_64K] = { .name = "  by port", .bed = FORWARD_PORT, .flows = FLOWS_64K },
	[C_MANY_64K] = { .name = "  behind 999 other rules",
			 .bed = FORWARD_MANY,
			 .flows = FLOWS_64K },
	[C_KERNEL_1] = { .name = "kernel, no conntrack", .bed = KERNEL, .flows = 1 },
	[C_KERNEL_64K] = { .name = "kernel, no conntrack", .bed = KERNEL, .flows = FLOWS_64K },
	[C_NOTRACK_64K] = { .name = "ctbypass notrack", .bed = NOTRACK, .flows = FLOWS_64K },
	[C_TRACKED_1] = { .name = "kernel, tracked", .bed = TRACKED_1, .flows = 1 },
	[C_TRACKED_64K] = { .name = "kernel, tracked", .bed = TRACKED_64K, .flows = FLOWS_64K },
	[C_TRACKED_1M] = { .name = "kernel, tracked",
			   .bed = TRACKED_1M,
			   .flows = FLOWS_1M,
			   .phase = PHASE_LARGE },
	[C_TRACKED_NEW] = { .name = "kernel, tracked", .bed = TRACKED_NEW, .flows = FLOWS_NEW },
	[C_MISS] = { .name = "ctbypass, no rule fits, no XDP",
		     .bed = MISS_TC,
		     .flows = FLOWS_64K,
		     .phase = PHASE_PASSED },
	[C_MISS_EMPTY] = { .name = "  behind an empty XDP program",
			   .bed = MISS_TC,
			   .flows = FLOWS_64K,
			   .phase = PHASE_PASSED,
			   .xdp = XDP_EMPTY },
	[C_MISS_XDP] = { .name = "  behind ctbypass's XDP program",
			 .bed = MISS_TC,
			 .flows = FLOWS_64K,
			 .phase = PHASE_PASSED,
			 .xdp = XDP_OURS },
	[C_UP_BARE] = { .name = "bare tc redirect", .bed = UP_BARE_TC, .flows = FLOWS_64K },
	[C_UP_FORWARD] = { .name = "ctbypass forward, tc", .bed = UP_FORWARD, .flows = FLOWS_64K },
	[C_UP_KERNEL] = { .name = "kernel, no conntrack", .bed = UP_KERNEL, .flows = FLOWS_64K },
	[C_UP_TRACKED] = { .name = "kernel, tracked", .bed = UP_TRACKED, .flows = FLOWS_64K },
};

const struct limit limits[LIMITS] = {
	{ "XDP forward against bare XDP, 1 flow", C_FORWARD_1, C_BARE_1, AT_MOST, 1.15 },
	{ "XDP forward against bare XDP, 64 k flows", C_FORWARD_64K, C_BARE_64K, AT_MOST, 1.15 },
	{ "XDP forward cheaper than kernel", C_KERNEL_64K, C_FORWARD_64K, AT_LEAST, 2.8 },
	{ "XDP forward cheaper than tracked, 64 k flows", C_TRACKED_64K, C_FORWARD_64K, AT_LEAST,
	  3.5 },
	{ "XDP forward cheaper than tracked, 1 M flows", C_TRACKED_1M, C_FORWARD_1M, AT_LEAST, 6 },
	{ "tc forward cheaper than kernel (stack)", C_UP_KERNEL, C_UP_FORWARD, AT_LEAST, 1.35 },
	{ "XDP's cost to a packet that it passes, ns", C_MISS_XDP, C_MISS, NS_AT_MOST, 20 },
};

struct program programs[P_MAX] = {
	[P_EMPTY] = { .name = "empty program", .bed = BARE_XDP, .result = XDP_PASS },
	[P_BARE] = { .name = "bare XDP redirect", .bed = BARE_XDP, .result = XDP_REDIRECT },
	[P_FORWARD] = { .name = "ctbypass forward", .bed = FORWARD, .result = XDP_REDIRECT },
	[P_PORT] = { .name = "  by port", .bed = FORWARD_PORT, .result = XDP_REDIRECT },
	[P_MANY] = { .name = "  behind 999 other rules",
		     .bed = FORWARD_MANY,
		     .result = XDP_REDIRECT },
	[P_MISS] = { .name = "ctbypass, no rule fits", .bed = MISS_XDP, .result = XDP_PASS },
};

/*
 * Rules of four shapes that no packet of ours fits, and the one that it does at the end. Ports
 * from 40000 on are nobody's here, in either direction.
 */
void scenarios_init(void)
{
	size_t at = 0;

	for (int i = 0; i < RULES_MANY - 1; i++) {
		size_t room = sizeof(many_rules) - at;
		char *to = many_rules + at;
		int a = i / 256, o = i % 256, n = 0;

		switch (i % 4) {
		case 0:
			n = snprintf(to, room, "notrack { tcp, udp } dport %d\n", 40000 + i);
			break;
		case 1:
			n = snprintf(to, room, "forward udp dport %d daddr 172.%d.%d.0/24\n",
				     42000 + i, 20 + a, o);
			break;
		case 2:
			n = snprintf(to, room, "forward saddr 172.%d.%d.0/24\n", 16 + a, o);
			break;
		default:
			n = snprintf(to, room, "notrack tcp sport %d saddr 198.%d.%d.0/24\n",
				     44000 + i, 18 + a, o);
		}
		at += (size_t)n;
	}
	snprintf(many_rules + at, sizeof(many_rules) - at, RULE_HIT);
}

const char *flows_name(__u64 flows)
{
	switch (flows) {
	case 1:
		return "1";
	case FLOWS_64K:
		return "64 k";
	case FLOWS_1M:
		return "1 M";
	}
	return "new";
}

const char *bed_name(enum bed_id id)
{
	static char name[96];

	for (int i = 0; i < C_MAX; i++) {
		const struct contender *c = &contenders[i];

		if (c->bed != id)
			continue;
		snprintf(name, sizeof(name), "%s (%s)", c->name + strspn(c->name, " "),
			 specs[id].feed == FEED_WIRE ? "wire" : "stack");
		return name;
	}
	return "?";
}
