/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's own events (uevents): was a module loaded? Needs no privilege. */
#ifndef CTBYPASS_MODULE_WATCH_H
#define CTBYPASS_MODULE_WATCH_H

#include <stdbool.h>

/* A non-blocking socket, or -errno. */
int module_watch_open(void);
/* Read what is pending. Was it loaded (it works by then), or may an event have been lost? */
bool module_watch_drain(int fd, const char *module);

#endif
