/* SPDX-License-Identifier: GPL-2.0-only */
/* What `check` has to say of `forward` rules: what they skip, and how each device takes part. */
#ifndef CTBYPASS_CHECK_FORWARD_H
#define CTBYPASS_CHECK_FORWARD_H

#include <jansson.h>
#include "daemon.h"

/*
 * {"skips":["prerouting",...],
 *  "missed":[{"chain":"ip filter FORWARD (forward, priority 0)",
 *             "rules":[{"handle":N,"text":"...","acts":true}]}] (a policy has handle 0),
 *  "legacy":"nat, mangle" or null,
 *  "interfaces":[{"name":"...","in":"xdp"|"tc"|"kernel"|"-","why_in":"...",
 *                 "out":"xdp"|"tc"|"kernel","why_out":"..."}]}
 *         in: what forwards packets that come in there, "-": no rule concerns them. out: what can
 *         send packets out there. Devices that are neither are not listed.
 *
 * Needs root. What deserves a warning goes to warn(arg). *out is NULL without forward rules. 0 or
 * -errno, explained in *error (caller frees).
 */
int check_forward(const struct live *l, const struct host *host,
		  void (*warn)(void *arg, const char *text), void *arg, json_t **out, char **error);
/* The same for people. all: every rule, not just the first of each chain. NULL is fine. */
void check_forward_print(const json_t *forward, bool all);

#endif
