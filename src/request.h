/* SPDX-License-Identifier: GPL-2.0-only */
/* One line of the control protocol (protocol.h), checked completely before anything acts on it. */
#ifndef CTBYPASS_REQUEST_H
#define CTBYPASS_REQUEST_H

#include <linux/types.h>
#include "util.h"

#define REQUESTS(X) \
	X(ADD, "add") \
	X(DELETE, "delete") \
	X(LIST, "list") \
	X(RELOAD, "reload") \
	X(SET_ADD, "set-add") \
	X(SET_DELETE, "set-delete") X(STATS, "stats") X(STATUS, "status") X(HAND_OVER, "hand-over")

enum request_cmd {
#define X(id, name) REQ_##id,
	REQUESTS(X)
#undef X
	REQ_MAX,
};

struct request {
	enum request_cmd cmd;
	char *text;	 /* add: the rule */
	__u32 handle;	 /* delete */
	char *name;	 /* set-add, set-delete */
	char *method;	 /* hand-over */
	char **elements; /* same; n_elements > 0 */
	size_t n_elements;
};

const char *request_name(enum request_cmd cmd);

/* 0, or -EINVAL with the reason in *error (caller frees), or -ENOMEM. line needs no NUL. */
int request_parse(const char *line, size_t len, struct request *out, char **error);
void request_free(struct request *r);

#endif
