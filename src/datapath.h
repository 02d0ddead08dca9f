/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The BPF side of one data plane: programs, maps, pins and attachments under one pin directory.
 *
 * Layout under the pin directory (every name fits bpffs and 15 characters):
 *   maps/     rules rules_out reasons fallbacks rule_info journal state clsact (live as long as
 *             the data plane)
 *             config entries ports addr4_* addr6_nodes bits_* iif vlan_devices netdevs egress
 *             (of the generation in force; replaced by rename on a swap)
 *   links/    tc_IFINDEX    a tcx link; pinned: it outlives the daemon. clsact filters need no pin
 *             xdp_IFINDEX   an XDP link, likewise
 *             out_4, out_6  netfilter links at OUTPUT, in direct mode
 */
#ifndef CTBYPASS_DATAPATH_H
#define CTBYPASS_DATAPATH_H

#include "compile.h"
#include "forward_plan.h"
#include "hand_over.h"
#include "host.h"

struct datapath; /* one per daemon */

enum attach_mode {
	ATTACH_NONE,
	ATTACH_TCX,
	ATTACH_CLSACT
};
enum attach_wish {
	ATTACH_AUTO,
	ATTACH_ONLY_TCX,
	ATTACH_ONLY_CLSACT
};

const char *attach_mode_name(enum attach_mode m); /* "none", "tcx", "clsact" */

/* Where packets that come in by a device and that a `forward` rule fits are sent on. */
enum forward_path {
	FORWARD_NONE,	/* no forward rule can fit what comes in here */
	FORWARD_KERNEL, /* nowhere: they are left to the kernel, untracked */
	FORWARD_TC,
	FORWARD_XDP, /* natively; what XDP cannot send goes on to tc */
};

const char *forward_path_name(enum forward_path p); /* "-", "kernel", "tc", "xdp" */

struct broker;

struct attachment {
	int ifindex;
	char name[IFNAMSIZ];
	enum attach_mode mode;
	char why[160]; /* why this mode, or why not attached; never empty */
	bool failed;   /* should have been attached and could not be */
	enum forward_path forward;
	char forward_why[192]; /* why not better; never empty */
	bool xdp_out;	       /* XDP frames of other devices may leave by this one */
	char xdp_out_why[160]; /* why not; empty when xdp_out */
};

/*
 * Open the pin directory (created when missing; its file system must be bpffs and is mounted
 * there only by the caller), take its lock, adopt the pinned long-lived maps. -EBUSY: another
 * daemon holds it. -ENOTSUP: not a bpffs. Reasons are logged by the caller from *error (freed by
 * caller).
 */
int datapath_open(const char *pindir, enum attach_wish wish, struct datapath **out, char **error);
/* Let go of the lock and descriptors; the data plane goes on. NULL is fine. */
void datapath_close(struct datapath *dp);

/*
 * How the generations to come hand over. broker: who is asked for the module (borrowed; NULL:
 * nobody). Before it, HAND_OVER_ONLY_MARK.
 */
void datapath_set_hand_over(struct datapath *dp, enum hand_over_wish wish, struct broker *broker);
enum hand_over_wish datapath_hand_over_wish(const struct datapath *dp);

/*
 * Load the programs of a new generation with these tables, beside the running one. Nothing that
 * packets see changes. The verifier's words end up in *error. XDP is loaded only if plan wants it
 * on some device; a kernel that refuses that program alone is no error: tc forwards.
 */
int datapath_prepare(struct datapath *dp, const struct compiled *c, const struct host *host,
		     const struct forward_plan *plan, char **error);
/* Of the prepared generation, which there must be, and of that in force. */
const struct hand_over *datapath_prepared_how(const struct datapath *dp);
const struct hand_over *datapath_how(const struct datapath *dp);
/* Fragments that are untracked wait for a hook of the module: is it there? Direct mode only. */
bool datapath_defers(void);
/*
 * Put the prepared generation in force: swap it into every attachment (link update), attach what
 * `interfaces` and plan say is to be attached, detach what is not, then replace the pinned maps.
 * Per hook a packet meets the old generation or the new. 0, or -errno when the swap failed on some
 * tc hook (then every hook was put back to the old generation and *error says which failed). XDP
 * that cannot be swapped or attached is no failure: it goes, and tc forwards.
 */
int datapath_commit(struct datapath *dp, const struct host *host,
		    const struct name_list *interfaces, const struct forward_plan *plan,
		    char **error);
/* The last one failed, and some hook could not be put back. */
bool datapath_torn(const struct datapath *dp);
/* Once packets have left what the last change replaced. */
void datapath_settle(struct datapath *dp);
/* Forget a prepared generation (an nft transaction failed). */
void datapath_abort(struct datapath *dp);
/*
 * Attach and detach for changed interfaces, and tell the forwarding path about them, with the
 * generation in force. 0 or -errno; 1: this generation cannot serve them (VLAN devices came or
 * went, the first device without link-layer header came, XDP is wanted and was not loaded, or an
 * ifindex is too large for map netdevs): prepare and commit a new one. XDP that was refused is
 * tried again only on a device about which something changed.
 */
int datapath_sync_interfaces(struct datapath *dp, const struct host *host,
			     const struct name_list *interfaces, const struct forward_plan *plan,
			     char **error);

/*
 * Is this device to have the program, where names (n == 0: every device) are asked for? If not,
 * why (of size bytes) says so. An enslaved device's frames are judged on its master, once, unless
 * only the slave was asked for by name. A VRF's name stands for the devices in it.
 */
bool datapath_wants(const struct host_if *h, const struct host *host, const struct name_list *names,
		    char *why, size_t size);

/* Where the programs are now, checked with the kernel; borrowed until the next call that changes
 * something. */
const struct attachment *datapath_attachments(const struct datapath *dp, size_t *n);
__u32 datapath_generation(const struct datapath *dp);

/* Counters, summed over the CPUs. out has CTB_MAX_RULES, CTB_R_MAX or CTB_FB_MAX elements. */
int datapath_read_rules(const struct datapath *dp, struct ctb_rule_counters *out);
/*
 * What this host sent, as programs at OUTPUT counted it (direct mode), and what was carried over
 * from nft, which counts in mark mode: datapath_carry_output() adds to that. CTB_MAX_RULES
 * elements.
 */
int datapath_read_output(const struct datapath *dp, struct ctb_output_counters *out);
int datapath_carry_output(struct datapath *dp, __u32 slot, const struct ctb_output_counters *more);
int datapath_read_reasons(const struct datapath *dp, struct ctb_count *out);
int datapath_read_fallbacks(const struct datapath *dp, struct ctb_fallback_counters *out);
/* Handles are never given out twice in the life of a data plane: the next free one (0: none yet).
 */
__u32 datapath_next_handle(const struct datapath *dp);
int datapath_set_next_handle(struct datapath *dp, __u32 handle);

/*
 * Write down that a swap is under way, for whoever finds it if this daemon dies in it. A commit
 * that succeeds ends it by itself. 0 or -errno.
 */
int datapath_set_swapping(struct datapath *dp, bool swapping);

/* Zero one slot before it goes to a new rule. */
int datapath_zero_slot(struct datapath *dp, __u32 slot);

/* rule_info: read all CTB_MAX_RULES, write one. */
int datapath_read_info(const struct datapath *dp, struct ctb_rule_info *out);
int datapath_write_info(struct datapath *dp, __u32 slot, const struct ctb_rule_info *info);

/*
 * The journal: run-time changes since the configuration file was loaded, one line each, as the
 * command line would say them ("add RULE", "delete 7", "set add NAME ELEMENT ..."), replayed by
 * the next daemon when the file is still the same (config_hash).
 */
#define JOURNAL_LINE_MAX CTB_JOURNAL_TEXT
int datapath_journal_read(const struct datapath *dp, char ***lines, size_t *n, __u64 *config_hash);
int datapath_journal_append(struct datapath *dp, const char *line); /* -EFBIG: too long */
int datapath_journal_reset(struct datapath *dp, __u64 config_hash);

/*
 * Load and verify the programs for these tables and throw them away (`check`), those of direct mode
 * too where the module is loaded. 0 with *error set: the XDP program alone was refused, and tc
 * would forward.
 */
int datapath_verify(const struct compiled *c, const struct host *host, char **error);

#endif
