/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The netfilter rules that forwarded traffic would miss: what `check` lists for `forward` rules.
 */
#ifndef CTBYPASS_MISSED_RULES_H
#define CTBYPASS_MISSED_RULES_H

#include <stddef.h>

struct missed_rule {
	char *chain; /* "ip filter FORWARD (forward, priority 0)": family table chain (hook ...) */
	char *text;  /* the rule as nft prints it, without counters' values; for a policy other
		      * than accept: "policy drop" */
	int handle;  /* nft handle; 0 for a policy */
};

struct missed_rules {
	struct missed_rule *v;
	size_t n, cap;
	/* iptables-legacy tables in use in this netns, whose rules nft cannot list: "nat, mangle";
	 * NULL: none. From /proc/net/ip_tables_names and ip6_tables_names. */
	char *legacy;
};

/*
 * Every rule of every base chain that a routed packet would pass and a forwarded one does not:
 * prerouting, forward and postrouting hooks of families ip, ip6, inet (types filter, nat, route),
 * netdev ingress behind our program, and the chains they jump or go to; not table inet ctbypass.
 * Rules that cannot matter (an empty chain with policy accept) are not there. 0, or -errno (then
 * *error, to be freed by the caller, says what nft said).
 */
int missed_rules_read(struct missed_rules *out, char **error);
void missed_rules_free(struct missed_rules *m);

#endif
