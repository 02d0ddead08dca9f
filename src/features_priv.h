/* SPDX-License-Identifier: GPL-2.0-only */
/* The attempts, which features.c makes one after the other in a child process. */
#ifndef CTBYPASS_FEATURES_PRIV_H
#define CTBYPASS_FEATURES_PRIV_H

#include "feature.h"

struct probe {
	struct features *out;
	const char *pindir;
	bool own_net; /* in a network namespace of its own, with nothing but lo (ifindex 1) */
	bool own_mnt; /* in a mount namespace of its own */
};

#define PROBE_LO 1 /* ifindex */

void feature_set(struct features *f, enum feature_id id, enum feature_state s, const char *fmt, ...)
	_printf_(4, 5);
/*
 * err: 0, or what an attempt ended with. -EPERM and -EACCES say nothing of the kernel, -ENOMEM and
 * the like neither: unknown.
 */
void feature_set_err(struct features *f, enum feature_id id, int err);

/* From here on in a network namespace of our own, if it is allowed. */
void probe_own_net(struct probe *p);

/* features_host.c */
void probe_capabilities(struct probe *p);
void probe_bpffs(struct probe *p);
void probe_kernel(struct probe *p); /* what is no feature: release, lockdown ... */
void probe_btf(struct probe *p);

/* features_bpf.c */
void probe_bpf(struct probe *p);	      /* system call, JIT, maps, helpers, functions */
void probe_attach(struct probe *p, bool all); /* tcx, clsact, XDP, netfilter */
void probe_programs(struct probe *p);	      /* ours */

/* features_kmod.c */
void probe_untrack_kfunc(struct probe *p);

/* features_net.c */
void probe_nft(struct probe *p);
void probe_netlink(struct probe *p);

#endif
