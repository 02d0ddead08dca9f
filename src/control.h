/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server's side of the control socket: accepts, cuts lines out of streams, writes replies,
 * and lets no client hold anybody up. It knows nothing of what the lines mean.
 */
#ifndef CTBYPASS_CONTROL_H
#define CTBYPASS_CONTROL_H

#include <linux/types.h>
#include "util.h"

struct control;

/*
 * Answer one request line (no newline, not NUL-terminated). *reply is the JSON text of the answer
 * without newline, malloc'd; NULL: out of memory, the client is let go.
 */
typedef void (*control_handler)(void *arg, const char *line, size_t len, char **reply);

/*
 * Bind and listen, mode 0600. A socket that nobody answers any more is replaced. -EADDRINUSE:
 * somebody does answer, or what stands there is no socket. *error says it all (caller frees).
 */
int control_open(const char *path, control_handler handler, void *arg, struct control **out,
		 char **error);
/* Hang up on everybody and remove the socket, if it is still ours. NULL is fine. */
void control_close(struct control *c);

/* An epoll descriptor, readable when there is something to do. */
int control_fd(const struct control *c);
/* Do it. now: milliseconds of CLOCK_MONOTONIC. */
void control_dispatch(struct control *c, __u64 now);
/* When the next client runs out of time; 0: nobody waits. */
__u64 control_deadline(const struct control *c);
/* Hang up on those whose time has come. */
void control_expire(struct control *c, __u64 now);

/* {"ok":false,"error":TEXT}, malloc'd; NULL: out of memory. */
char *control_error_reply(const char *text);

#endif
