/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One daemon in a network namespace: table inet ctbypass is its alone, whatever its pin directory.
 * The lock is an abstract unix socket, a name that belongs to the network namespace and vanishes
 * with the process.
 */
#ifndef CTBYPASS_NETNS_LOCK_H
#define CTBYPASS_NETNS_LOCK_H

/* A descriptor that holds the lock, or -EBUSY: another daemon has it; or -errno. */
int netns_lock(void);

#endif
