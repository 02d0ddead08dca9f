/* SPDX-License-Identifier: GPL-2.0-only */
/* systemd's notify protocol, sd_notify(3), without its library. Nothing happens outside systemd. */
#ifndef CTBYPASS_NOTIFY_H
#define CTBYPASS_NOTIFY_H

#include "util.h"

/*
 * Send variable assignments, one a line ("READY=1\nSTATUS=..."). 0, also when nobody listens, or
 * -errno.
 */
int notify_send(const char *fmt, ...) _printf_(1, 2);
/* RELOADING=1 with the time stamp that Type=notify-reload wants; READY=1 ends it. */
int notify_reloading(void);

#endif
