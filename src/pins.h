/* SPDX-License-Identifier: GPL-2.0-only */
/* The pin directory: bpffs files that keep maps and links alive without a process. */
#ifndef CTBYPASS_PINS_H
#define CTBYPASS_PINS_H

#include <stdbool.h>
#include "util.h"

/*
 * Open and lock the pin directory; with make, create it and its maps/ and links/. Returns a
 * descriptor that holds the lock, or -EBUSY (somebody else holds it), -ENOTSUP (not a bpffs),
 * -ENOENT, or another -errno.
 */
int pins_open(const char *pindir, bool make);
/*
 * Pin fd as pindir/sub/name, replacing what is there in one step (bpffs renames atomically). Who
 * dies in the middle of it leaves PINS_FRESH + name behind.
 */
#define PINS_FRESH "new_"
int pins_put(const char *pindir, const char *sub, const char *name, int fd);
/* Open pindir/sub/name. A descriptor, or -errno. */
int pins_get(const char *pindir, const char *sub, const char *name);
/* 0 also when it is not there. */
int pins_remove(const char *pindir, const char *sub, const char *name);
/* Call fn for each name in pindir/sub until it returns non-zero, which is then returned. */
int pins_each(const char *pindir, const char *sub, int (*fn)(const char *name, void *arg),
	      void *arg);
/* Unpin everything and remove the directories. 0 or the first -errno. */
int pins_clear(const char *pindir);

#endif
