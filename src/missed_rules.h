/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The netfilter rules that forwarded traffic would miss: what `check` lists for `forward` rules.
 */
#ifndef CTBYPASS_MISSED_RULES_H
#define CTBYPASS_MISSED_RULES_H

#include <stdbool.h>
#include <stddef.h>

struct missed_rule {
	/* "ip filter FORWARD (forward, priority 0)": family table chain (hook ...), or of a chain
	 * that others jump to "ip filter sub (from FORWARD)". Rules of one chain stand together
	 * and share the string. */
	const char *chain;
	char *text; /* the rule as nft prints it, without counters' values; for a policy other
		     * than accept: "policy drop" */
	int handle; /* nft handle; 0 for a policy */
	bool nat;   /* in a chain of type nat */
	bool acts;  /* does more than accept and count: to miss it makes a difference */
};

struct missed_rules {
	struct missed_rule *v;
	size_t n, cap;
	char **chains; /* owned storage behind missed_rule.chain */
	size_t n_chains, cap_chains;
	/* iptables-legacy tables in use in this netns, whose rules nft cannot list: "nat, mangle";
	 * NULL: none. From /proc/net/ip_tables_names and ip6_tables_names. */
	char *legacy;
};

/*
 * Every rule of every base chain that a routed packet would pass and a forwarded one does not:
 * prerouting, forward and postrouting hooks of families ip, ip6 and inet, ingress and egress of
 * devices (tc and XDP redirect before and past them), and the chains they jump or go to; in the
 * order a packet meets them. Not table inet ctbypass, and no table that is dormant. Rules that
 * cannot matter (an empty chain with policy accept) are not there. 0, or -errno (then *error, to be
 * freed by the caller, says what nft said).
 */
int missed_rules_read(struct missed_rules *out, char **error);
/*
 * The part that asks nobody: the same from the text of `list ruleset` (changed in place), and from
 * lookup() for the text of a verdict map that a rule names ("inet f m"; caller frees; NULL: not to
 * be had). 0 or -ENOMEM.
 */
int missed_rules_parse(char *ruleset, char *(*lookup)(const char *map), struct missed_rules *out);
void missed_rules_free(struct missed_rules *m);

#endif
