/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rules of others between the hooks where we judge and conntrack, that undo a verdict of ours: what
 * writes over the mark before PREROUTING's -399 has read it, and `ct zone set`, which attaches a
 * conntrack template to what is UNTRACKED as well (nft_ct_set_zone_eval()).
 */
#ifndef CTBYPASS_EARLY_RULES_H
#define CTBYPASS_EARLY_RULES_H

#include "expand.h"
#include "host.h"

/*
 * The rules are asked, not read: packets of each rule of ours are taken through the chains as the
 * kernel would, and only what surely fits some of them is told, since a false alarm is as bad as a
 * miss. What cannot be known that way (limits, sockets) is found when it happens: `ctbypass
 * verify`.
 *
 * mark: the bit that tc sets for PREROUTING; 0 in direct mode. Text for each rule that harms goes
 * to say(arg). Reads nothing but a list of chains where nobody has such a chain. Needs
 * CAP_NET_ADMIN.
 */
void advise_early_rules(const struct entries *entries, const struct ruleset *rs,
			const struct host *host, __u32 mark,
			void (*say)(void *arg, const char *text), void *arg);

/* Likewise, the first tc filter behind our program at ingress, if it takes every packet. */
void advise_early_filters(const struct ruleset *rs, const struct host *host, __u32 mark,
			  void (*say)(void *arg, const char *text), void *arg);

#endif
