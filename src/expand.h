/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rules to orientations. A rule describes a flow by its original direction; an expanded entry is
 * one plain conjunction of field matches for packets of one direction. BPF bitmaps and the nft
 * output chain are both made from this list, so that they cannot disagree.
 */
#ifndef CTBYPASS_EXPAND_H
#define CTBYPASS_EXPAND_H

#include "rules.h"

/*
 * More prefixes, in all, than nft can be given for local output in reasonable time and memory
 * (measured, docs/design.md): a rule that would exceed them there is narrowed to transit traffic,
 * or refused when it speaks of local traffic or is an exception (`track`) without
 * `!local` on one end.
 */
#define NFT_PREFIXES_MAX 100000

struct entry {
	const struct rule *rule; /* NULL: failsafe */
	enum ctb_action action;
	enum ctb_dir dir;   /* ORIG or REPLY */
	__u32 handle, slot; /* of the rule; both 0: failsafe */
	struct proto_match proto;
	const struct addr_match *src, *dst;    /* NULL: any. Shared with the mirrored entry */
	const struct port_list *sport, *dport; /* NULL: any. Set only for protocols with ports */
	const struct name_list *iif; /* NULL: any. dir ORIG: input interface. dir REPLY: the
				      * interface that this host's own reply leaves by (OUTPUT
				      * only), and that errors about that reply come in by */
	bool too_large_for_nft; /* see NFT_PREFIXES_MAX: nft is given nothing of this entry, also
				 * not for ICMP errors that this host sends, nor for what it sends
				 * in the name of others (advise_proxies) */
	bool transit_only;	/* and, since local output cannot be judged: neither end is local */
};

struct entries {
	struct entry *e; /* in first-match order */
	size_t n, cap;
	struct port_list *failsafe_ports; /* owned storage behind failsafe entries */
	size_t n_failsafe_ports;
};

/* 0, -ENOMEM, or -E2BIG / -EINVAL explained in d. Borrows from rs, which must outlive it. */
int expand_ruleset(const struct ruleset *rs, struct entries *out, struct diag *d);
void entries_free(struct entries *e);

/*
 * Is the entry one that nft judges what this host sends by? Its source need not be local: a
 * transparent proxy answers in the name of others, and is judged as they would be.
 */
bool entry_can_be_output(const struct entry *e);

#endif
