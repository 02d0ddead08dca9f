/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's conntrack table, through libnetfilter_conntrack and /proc. */
#ifndef CTBYPASS_CONNTRACK_H
#define CTBYPASS_CONNTRACK_H

#include "compile.h"
#include "host.h"

/* Entries in this netns and the global maximum. 0 or -errno (-ENOENT: no conntrack). */
int conntrack_usage(__u64 *count, __u64 *max);

struct conntrack_sweep {
	__u64 seen;	 /* entries looked at */
	__u64 removed;	 /* entries of flows that are bypassed now: deleted */
	__u64 nat;	 /* bypassed flows that have NAT: left alone; they break, so warn */
	__u64 offloaded; /* bypassed flows that a flowtable has: nobody can take them out */
};

/* What to say of `offloaded`, which is its argument (unsigned long long). */
#define CONNTRACK_OFFLOADED \
	"%llu bypassed flows are in an nft flowtable, which forwards them until they end or " \
	"are idle (sysctl net.netfilter.nf_flowtable_{tcp,udp}_timeout)"

/*
 * Delete the entries of flows that `now` bypasses (kernel fact: they would stay for days and
 * make packets INVALID later), and of flows that `before` (may be NULL) bypassed and `now` tracks.
 * Entries with NAT and those of a flowtable are counted, never deleted. host tells which direction
 * of a flow comes in (the other one is judged in OUTPUT, by the same rule). 0 or -errno (-ENOENT:
 * no conntrack here, and nothing to do); safe to repeat.
 */
int conntrack_sweep(const struct compiled *now, const struct compiled *before,
		    const struct host *host, struct conntrack_sweep *out);
/* The same judgement without deleting, for `check` and `status`. */
int conntrack_survey(const struct compiled *now, const struct host *host,
		     struct conntrack_sweep *out);

#endif
