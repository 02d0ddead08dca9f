/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the daemon may do: the capabilities that its work was measured to need (docs/kernel.md has
 * the table), and nothing else once it has started.
 */
#ifndef CTBYPASS_PRIVILEGES_H
#define CTBYPASS_PRIVILEGES_H

#include <linux/capability.h>
#include <linux/types.h>
#include <stdbool.h>

/* X(name): kept as long as the daemon runs. */
#define CTB_CAPABILITIES(X) \
	X(BPF) \
	X(NET_ADMIN) \
	X(PERFMON)

/* Effective capabilities, one bit each: 1ULL << CAP_BPF and so on. 0 or -errno. */
int privileges_effective(__u64 *out);

/*
 * Give up all but those above, in every set and for good (no_new_privs). CAP_SYS_ADMIN stays
 * where the process has it instead of CAP_BPF or CAP_PERFMON, which were split off it; and if
 * starting, because a BPF file system may have to be mounted and features are tried in namespaces.
 * Call it again without. 0 or -errno; what the process never had is no error.
 */
int privileges_drop(bool starting);

/* Likewise, all but these: 1ULL << CAP_SYS_ADMIN. For a process that is no daemon (broker.c). */
int privileges_keep(__u64 capabilities);

/* One call for each effective capability with its name. 0 or -errno. */
int privileges_each(void (*call)(void *arg, const char *name), void *arg);

#endif
