/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's conntrack table, through libnetfilter_conntrack and /proc. */
#ifndef CTBYPASS_CONNTRACK_H
#define CTBYPASS_CONNTRACK_H

#include "compile.h"

/* Entries in this netns and the global maximum. 0 or -errno (-ENOENT: no conntrack). */
int conntrack_usage(__u64 *count, __u64 *max);

struct conntrack_sweep {
	__u64 seen;    /* entries looked at */
	__u64 removed; /* entries of flows that are bypassed now: deleted */
	__u64 nat;     /* bypassed flows that have NAT: left alone; they break, so warn */
};

/*
 * Delete the entries of flows that `now` bypasses (kernel fact: they would stay for days and
 * make packets INVALID later), and of flows that `before` (may be NULL) bypassed and `now` tracks.
 * Entries with NAT are counted, never deleted. 0 or -errno; safe to repeat.
 */
int conntrack_sweep(const struct compiled *now, const struct compiled *before,
		    struct conntrack_sweep *out);
/* The same judgement without deleting, for `check` and `status`. */
int conntrack_survey(const struct compiled *now, struct conntrack_sweep *out);

#endif
