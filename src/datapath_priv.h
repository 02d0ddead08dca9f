/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by datapath.c (generations, hooks) and state.c (long-lived maps) only. */
#ifndef CTBYPASS_DATAPATH_PRIV_H
#define CTBYPASS_DATAPATH_PRIV_H

#include "datapath.h"

/* The long-lived maps, in the order of state.c's table. */
enum state_map {
	SM_RULES,
	SM_REASONS,
	SM_RULE_INFO,
	SM_JOURNAL,
	SM_STATE,
	SM_CLSACT,
	SM_MAX,
};

/* A device, and what of ours is on it. */
struct hook {
	struct attachment pub;
	int link_fd;  /* tcx: also pinned as links/tc_IFINDEX; else -1 */
	bool ether;   /* which of the two programs */
	bool created; /* clsact: the qdisc is ours */
};

struct tc_bpf;

struct datapath {
	char *pindir;
	int lock_fd;
	enum attach_wish wish;
	int map_fd[SM_MAX];
	struct ctb_state state;
	struct tc_bpf *running, *prepared; /* running is NULL until the first commit */
	struct hook *hooks;
	size_t n_hooks, cap_hooks;
	struct attachment *shown; /* copy handed out by datapath_attachments() */
	size_t n_shown, cap_shown;
};

/* state.c: open or create and pin the long-lived maps. 0 or -errno with *error. */
int state_open(struct datapath *dp, char **error);
/* Write dp->state to its map. */
int state_save(struct datapath *dp);
extern const char *const state_map_names[SM_MAX];

#endif
