/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking the data plane away, or what is left of one, in an order in which no failure and no death
 * on the way leaves a flow torn:
 *
 *  1. `forward` rules forward no more: as under `notrack`
 *  2. one nft transaction: in mark mode nothing is made UNTRACKED any more, in any direction
 *  3. programs: OUTPUT, XDP, tc. In direct mode this is where bypassing ends, device by device
 *  4. pins
 *  5. the table, which until here took off the mark that programs left
 *
 * Up to 2 everything is as it was, from there on everything is tracked. All of it may be done again
 * from any point.
 *
 * Whoever calls has the lock of the network namespace (netns_lock.h).
 */
#ifndef CTBYPASS_UNLOAD_H
#define CTBYPASS_UNLOAD_H

#include <stdbool.h>
#include "util.h"

/*
 * Every trace of ours. 0; 1 with *error: everything is tracked now, but not all could be removed;
 * or -errno with *error: everything is as it was.
 */
int unload(const char *pindir, char **error);

/* What there is without a daemon. */
enum unload_found {
	FOUND_NOTHING,
	FOUND_TABLE,   /* table inet ctbypass, of nobody's: it was loaded out of a saved ruleset */
	FOUND_FORCE,   /* a data plane, which some daemon left */
	FOUND_TORN,    /* likewise, but its daemon died in a swap */
	FOUND_UNKNOWN, /* a table, and programs of which we may not know whose they are */
};
enum unload_found unload_look(const char *pindir);
/* If no daemon runs: what is wrong with that and what to do, in words; NULL: nothing is. */
const char *unload_advice(const char *pindir);

/*
 * A start has failed; found: what there was before it. Where a data plane is in force nothing is
 * touched. But half a swap, of this start or of a daemon before, is silenced, and what belongs to
 * nobody (a table out of a saved ruleset, pins that this start made) is removed. Logs what it does.
 */
void unload_after_failed_start(const char *pindir, enum unload_found found);

#endif
