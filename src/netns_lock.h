/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One daemon in a network namespace: table inet ctbypass is its alone, whatever its pin directory
 * and whatever files it sees.
 *
 * The lock is an abstract unix socket that listens, a name that belongs to the network namespace
 * and vanishes with the process. Any user can bind such names. So what counts is not who holds the
 * name first, but whether root (or our own user) listens on any name that begins with it: the
 * kernel tells by sock_diag whose a socket is. Who finds the name taken by somebody without
 * business there takes another one that begins like it.
 */
#ifndef CTBYPASS_NETNS_LOCK_H
#define CTBYPASS_NETNS_LOCK_H

#include <stdbool.h>

/* A descriptor that holds the lock, or -EBUSY: another daemon has it; or -errno. */
int netns_lock(void);
/* Has somebody? Without taking it. */
bool netns_locked(void);

#endif
