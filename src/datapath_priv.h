/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the parts of the data plane only:
 *
 *   datapath.c       open and close, what changes when
 *   generation.c     loading programs and maps of one rule set
 *   datapath_show.c  what `status` is told
 *   hook_tc.c        tcx links and clsact filters, one on each device
 *   hook_xdp.c       XDP links, where forward rules want them
 *   hook_output.c    netfilter links at OUTPUT, in direct mode
 *   defer.c          fragments in direct mode
 *   datapath_left.c  all that a daemon left, for who takes it away
 *   netdevs.c        maps netdevs and egress: devices as the forwarding path sees them
 *   state.c          long-lived maps
 */
#ifndef CTBYPASS_DATAPATH_PRIV_H
#define CTBYPASS_DATAPATH_PRIV_H

#include "datapath.h"
#include "kfuncs.h"

#define PIN_LINKS "links"
#define PIN_MAPS  "maps"

/* What names of pinned links begin with; the ifindex or the family follows. */
#define TC_LINK	 "tc_"
#define XDP_LINK "xdp_"
#define OUT_LINK "out_"

#define PROG_TC "ctb_tc_" /* what the names of our programs at tc begin with */

/* The long-lived maps, in the order of state.c's table. */
enum state_map {
	SM_RULES,
	SM_RULES_OUT,
	SM_REASONS,
	SM_FALLBACKS,
	SM_RULE_INFO,
	SM_JOURNAL,
	SM_STATE,
	SM_CLSACT,
	SM_MAX,
};

/* A device, and what of ours is on it. */
struct hook {
	struct attachment pub; /* mode, why and failed; the rest is made for each reader */
	int link_fd;	       /* tcx: also pinned as links/tc_IFINDEX; else -1 */
	bool ether;	       /* which of the two programs */
	bool created;	       /* clsact: the qdisc is ours */
	int xdp_fd;	       /* XDP link, also pinned as links/xdp_IFINDEX; else -1 */
	bool xdp_refused;      /* do not try again before something about the device changes */
	char xdp_why[160];     /* why it was refused */
	int egress_err;	       /* why it is not in map egress; 0: it is, or need not be */
	/* As they were at the last commit or sync. */
	struct host_if dev;
	struct forward_role role; /* all zero: there is no forward rule */
};

struct xdp_bpf;
struct output_bpf;

/* tc.bpf.c or tc_direct.bpf.c: the same programs and maps. */
struct tc_programs {
	struct bpf_object *obj; /* NULL: none */
	struct bpf_program *ether, *ip;
};

/* The programs and maps of one rule set. */
struct generation {
	struct tc_programs tc;
	struct xdp_bpf *xdp;	/* shares tc's maps; NULL: no device wants XDP, or see below */
	struct output_bpf *out; /* shares tc's maps; NULL: nft judges what is sent */
	struct hand_over how;
	char xdp_why[160];	    /* why the kernel refused the XDP program; "": it did not */
	struct ctb_netdev *netdevs; /* memory of map netdevs; NULL: there is no forward rule */
	__u32 slots;		    /* its elements */
};

#define OUT_LINKS 2 /* IPv4, IPv6 */

/* Links at OUTPUT of the generation in force, and of one that is to be; -1: none. */
struct output_hook {
	int now[OUT_LINKS], next[OUT_LINKS];
};

struct datapath {
	char *pindir;
	int lock_fd;
	enum attach_wish wish;
	int map_fd[SM_MAX];
	struct ctb_state state;
	struct generation running, prepared; /* tc.obj is NULL: there is none */
	enum hand_over_wish hand_over;
	struct broker *broker; /* borrowed; NULL: there is none */
	struct kfuncs kfuncs;  /* of the module, as last asked for; btf_fd -1: not found */
	bool torn;	       /* the last swap failed, and so did putting hooks back */
	struct output_hook output;
	struct hook *hooks;
	size_t n_hooks, cap_hooks;
	size_t n_sorted;	  /* of them, from the first on: by ifindex */
	struct attachment *shown; /* copy handed out by datapath_attachments() */
	size_t n_shown, cap_shown;
};

/* --- datapath.c --- */

struct hook *find_hook(struct datapath *dp, int ifindex); /* NULL: none */
struct hook *new_hook(struct datapath *dp, int ifindex);  /* NULL: out of memory */

/* --- generation.c --- */

/* As datapath_prepare(); xdp: with that program. */
int generation_load(struct datapath *dp, const struct compiled *c, const struct host *host,
		    bool xdp, struct generation *out, char **error);
void generation_free(struct generation *g);
bool has_layer3(const struct host *host);
bool wants_xdp(const struct forward_plan *plan);

/* --- hook_tc.c --- */

bool tc_is_layer3(unsigned short type); /* ARPHRD_*: packets start with the IP header */
/* Take over what an earlier daemon left. name: of a pin in links/; others are skipped. */
int tc_adopt_link(struct datapath *dp, const char *name);
int tc_adopt_clsact(struct datapath *dp);
/*
 * Put another generation's program in place of ours. -ENODEV: the attachment is dead, since its
 * device is gone or since somebody detached it.
 */
int tc_swap(struct datapath *dp, struct hook *h, const struct generation *g);
/* Attach the running generation where it is wanted and not yet done, detach where it is not. */
void tc_reach_wish(struct datapath *dp, const struct host *host, const struct name_list *names);
/* Is our program still where we put it? Others may detach a link or delete a filter. */
bool tc_alive(const struct hook *h);
/* Take our program off the device and forget the pins. */
void tc_detach(struct datapath *dp, struct hook *h);

/* --- hook_xdp.c --- */

int xdp_adopt_link(struct datapath *dp, const char *name);
/* The running generation's program in place of the last one's. What cannot be swapped goes. */
void xdp_swap_all(struct datapath *dp);
/*
 * Attach the running generation where the hooks' roles want it, detach where they do not. again:
 * also where it was refused before.
 */
void xdp_reach_wish(struct datapath *dp, bool again);
bool xdp_alive(const struct hook *h);
void xdp_detach(struct datapath *dp, struct hook *h);

/* --- hook_output.c --- */

void output_init(struct output_hook *h);
/* Take over what an earlier daemon left. */
void output_adopt(struct datapath *dp);
/* Attach this generation's program, if it has one, beside what is there. 0 or -errno. */
int output_attach_next(struct datapath *dp, const struct generation *g);
void output_drop_next(struct datapath *dp);
/* What is there goes, and that takes its place, pinned. 0, or -errno: it is not pinned. */
int output_take_next(struct datapath *dp);
/* Take our program off the hook and forget the pins. */
void output_detach(struct datapath *dp);
void output_close(struct output_hook *h);

/* --- defer.c --- */

/*
 * The module's hook at PREROUTING, which makes those datagrams UNTRACKED whose first fragment a
 * program has marked for that: have it, and no more, in this network namespace. 0 or -errno.
 */
int defer_start(struct datapath *dp);
void defer_stop(struct datapath *dp); /* only if it was us who started it */
void defer_reset(void);		      /* whoever that was */

/* --- netdevs.c --- */

/* Map the array into memory, if there is a forward rule. 0 or -errno. */
int netdevs_open(struct generation *g);
void netdevs_close(struct generation *g);
/*
 * Make maps netdevs and egress say what plan says, with programs reading them all the time. 0 or
 * -errno. Devices that egress has no room for are served by tc: hooks' egress_err says so.
 */
int netdevs_write(struct datapath *dp, struct generation *g, const struct forward_plan *plan);
/* Has the map an element for each of these devices, or can none have one? */
bool netdevs_fit(const struct generation *g, const struct host *host);

/* --- state.c --- */

/* Open or create and pin the long-lived maps. 0 or -errno with *error. */
int state_open(struct datapath *dp, char **error);
/* Write dp->state to its map. */
int state_save(struct datapath *dp);
extern const char *const state_map_names[SM_MAX];

#endif
