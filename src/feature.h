/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the running kernel can do of what ctbypass uses. Each feature is tried, never concluded
 * from a version number. All of it happens in a child process, and nothing that is tried there
 * outlives it; modules that the kernel loads for it stay loaded.
 *
 * Not features.h: that is a header of the C library.
 */
#ifndef CTBYPASS_FEATURE_H
#define CTBYPASS_FEATURE_H

#include <stdbool.h>
#include "util.h"

enum feature_need {
	FEATURE_REQUIRED, /* the daemon refuses to start without */
	FEATURE_OPTIONAL, /* something else is done instead, or something less is done */
	FEATURE_DIRECT,	  /* direct mode takes it; without, there is mark mode */
};

/* X(id, printed name, need, what it is for, what happens without) */
#define CTB_FEATURES(X) \
	X(CAP_BPF, "cap-bpf", REQUIRED, "load BPF programs and make maps", REFUSED) \
	X(CAP_PERFMON, "cap-perfmon", REQUIRED, \
	  "have programs verified that compute with pointers", REFUSED) \
	X(CAP_NET_ADMIN, "cap-net-admin", REQUIRED, \
	  "attach programs, change nftables and conntrack", REFUSED) \
	X(CAP_SYS_ADMIN, "cap-sys-admin", OPTIONAL, "mount a BPF file system", \
	  "one has to be mounted before the daemon starts") \
	X(BPF, "bpf", REQUIRED, "the system call", REFUSED) \
	X(JIT, "bpf-jit", OPTIONAL, "BPF programs as machine code", \
	  "the kernel interprets them, which costs each packet several times as much") \
	X(MAP_MMAP, "map-mmap", REQUIRED, "tables of rules, written in one go", REFUSED) \
	X(MAP_PERCPU, "map-percpu", REQUIRED, "counters", REFUSED) \
	X(CPUS, "possible-cpus", REQUIRED, "how many numbers a counter has", REFUSED) \
	X(MAP_HASH, "map-hash", REQUIRED, "VLAN devices, run-time changes", REFUSED) \
	X(MAP_DEVMAP, "map-devmap-hash", REQUIRED, "devices that XDP sends by", REFUSED) \
	X(HELPERS_TC, "helpers-tc", REQUIRED, "what the program at tc ingress calls", REFUSED) \
	X(FUNCTIONS, "global-functions", OPTIONAL, \
	  "functions verified once (a kernel built with BTF)", \
	  "they are verified at each call: loading takes several times as long, and large sets of " \
	  "rules may be too much for the verifier") \
	X(TC_PROGRAM, "tc-program", REQUIRED, "the program at tc ingress, verified", REFUSED) \
	X(TCX, "tcx", OPTIONAL, "attach as a link, first on the hook", "clsact filters are used") \
	X(CLSACT, "clsact", OPTIONAL, "attach where there is no tcx", "tcx is needed") \
	X(BPFFS, "bpffs", REQUIRED, "what is loaded outlives the daemon", REFUSED) \
	X(HELPERS_XDP, "helpers-xdp", OPTIONAL, "what the XDP program calls", IN_TC) \
	X(XDP_FRAGS, "xdp-frags", OPTIONAL, "XDP where a frame may have several buffers", IN_TC) \
	X(XDP_PROGRAM, "xdp-program", OPTIONAL, "the XDP program, verified", IN_TC) \
	X(XDP_LINK, "xdp-link", OPTIONAL, "attach XDP as a link", IN_TC) \
	X(NETDEV_GENL, "netdev-genl", OPTIONAL, "ask which devices have XDP and take its frames", \
	  "known drivers only are sent XDP frames; the rest forwards in tc") \
	X(ETHTOOL, "ethtool", OPTIONAL, "drivers, VLAN and LRO offloads of devices", \
	  "they are taken to have none, which XDP needs to know: use `run -X`") \
	X(RTNL_STRICT, "rtnetlink-strict", OPTIONAL, "ask for the routes of one table", \
	  "all routes are gone through") \
	X(NF_TABLES, "nf-tables", REQUIRED, "nftables, which makes packets UNTRACKED", REFUSED) \
	X(NFT_INET, "nft-inet", REQUIRED, "a table for IPv4 and IPv6, hooked at raw", REFUSED) \
	X(NFT_NOTRACK, "nft-notrack", REQUIRED, "expression `notrack`", REFUSED) \
	X(NFT_MARK, "nft-mark", REQUIRED, "one bit of the mark tested and cleared", REFUSED) \
	X(NFT_SETS, "nft-sets", REQUIRED, "sets of prefixes and of port ranges", REFUSED) \
	X(NFT_COUNTERS, "nft-counters", REQUIRED, "named counters", REFUSED) \
	X(NFT_MAPS, "nft-maps", REQUIRED, "maps to verdicts and counters, ranges of pairs", \
	  REFUSED) \
	X(NFT_PAYLOAD, "nft-payload", REQUIRED, "the packet that an ICMP error quotes", REFUSED) \
	X(CTNETLINK, "ctnetlink", OPTIONAL, "delete entries of flows that are bypassed now", \
	  "they stay until they time out, and flows with NAT are not found") \
	X(NETFILTER_LINK, "netfilter-link", DIRECT, "a BPF program that judges what this host sends", \
	  "nft rules judge that, in direct mode too") \
	X(BTF, "btf", DIRECT, "kernel types, to find kfuncs by (bpftool uses them, too)", MARKED) \
	X(UNTRACK_KFUNC, "untrack-kfunc", DIRECT, \
	  "the untracked state set by BPF: kfuncs of the optional module nf_untrack_bpf", MARKED)

enum feature_id {
#define X(id, name, need, what_for, without) FEATURE_##id,
	CTB_FEATURES(X)
#undef X
	FEATURE_MAX,
};

enum feature_state {
	FEATURE_UNKNOWN, /* could not be tried, or the attempt said nothing */
	FEATURE_YES,
	FEATURE_NO,
};

struct feature {
	enum feature_state state;
	char detail[160]; /* what was seen; "" when there is nothing to add */
};

struct features {
	struct feature f[FEATURE_MAX];
	char release[65];  /* uname; for people */
	char lockdown[32]; /* "none", "integrity" ...; "" when the kernel has no such thing */
	int unprivileged;  /* sysctl kernel.unprivileged_bpf_disabled; -1: not to be had */
};

const char *feature_name(enum feature_id id);
const char *feature_what_for(enum feature_id id);
const char *feature_without(enum feature_id id);
const char *feature_state_name(enum feature_state s); /* "unknown", "yes", "no" */
enum feature_need feature_need(enum feature_id id);

/*
 * Try them. pindir: where pins are to be. all: also what costs a tenth of a second (a network
 * namespace to attach things in, our own programs, what nothing uses yet), which the daemon can do
 * without: it finds out when it attaches, and carries on with what there is. 0 or -errno; what
 * could not be tried is FEATURE_UNKNOWN.
 */
int features_probe(const char *pindir, bool all, struct features *out);

/*
 * Append to *text what is required and known to be missing, one a line, and return how many that
 * are.
 */
size_t features_missing(const struct features *f, struct strbuf *text);

/*
 * One call for each optional feature that is known to be missing and makes a difference: not tcx's
 * stand-in where there is tcx, not what mounts where something is mounted.
 */
void features_lacking(const struct features *f, void (*call)(void *arg, enum feature_id id),
		      void *arg);

#endif
