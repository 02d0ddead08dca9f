/* SPDX-License-Identifier: GPL-2.0-only */
/* The file system that pins need. */
#ifndef CTBYPASS_BPFFS_H
#define CTBYPASS_BPFFS_H

#include <stdbool.h>

/* Would pindir be on a BPF file system, as things are? */
bool bpffs_there(const char *pindir);

/*
 * Make sure that pindir will be on a BPF file system. Mounts /sys/fs/bpf, and nothing else, when
 * pindir is below it and nothing is mounted there yet. 1: mounted; 0: it was there; -ENOTSUP:
 * pindir is elsewhere and no BPF file system; or -errno.
 */
int bpffs_ensure(const char *pindir);

#endif
