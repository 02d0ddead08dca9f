/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who a rule is from one rule set to the next: its handle (what people call it) and its counter
 * slot (an index of the pinned map `rules`). A rule that stays keeps both. Pure bookkeeping; the
 * daemon writes map rule_info from it.
 */
#ifndef CTBYPASS_SLOTS_H
#define CTBYPASS_SLOTS_H

#include "rules.h"

struct slots {
	struct ctb_rule_info info[CTB_MAX_RULES]; /* handle 0: the slot is free */
	__u64 freed_at[CTB_MAX_RULES];		  /* counts slots freed; 0: free from the start */
	__u64 clock;
	__u32 next_handle; /* never given out before */
};

/* What one change of rules means for the slots. */
struct slot_plan {
	struct ctb_rule_info info[CTB_MAX_RULES]; /* as it is to be after the change */
	bool fresh[CTB_MAX_RULES];		  /* goes to a new rule: zero its counters first */
	bool differs[CTB_MAX_RULES];		  /* info is not what slots has: write it */
	size_t kept, added, removed;
	__u32 next_handle;
};

/* As a previous daemon left it: info from the pinned map, next_handle 0 when there is none. */
void slots_load(struct slots *s, const struct ctb_rule_info *info, __u32 next_handle);

/*
 * Give every rule of rs its handle and slot. A rule that comes with a handle is first looked for
 * under that handle; one without (handle 0: from the file) takes the oldest rule of the same text
 * that nobody has claimed; the rest are new. New rules take the slots free for longest, and only
 * when there are no others those of rules that go in this very change. 0, or -E2BIG.
 */
int slots_assign(const struct slots *s, struct ruleset *rs, struct slot_plan *plan);

/* The change is in force. */
void slots_commit(struct slots *s, const struct slot_plan *plan);

#endif
