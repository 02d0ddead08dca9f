/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line's side of the control socket. */
#ifndef CTBYPASS_CLIENT_H
#define CTBYPASS_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Send one request (taken over) and wait for the reply, an object with "ok". 0 also for a refusal
 * by the daemon; -errno with *error (caller frees) when there is no reply.
 */
int client_call(const char *path, json_t *request, json_t **reply, char **error);

/*
 * The same for a command: warnings and refusals go to stderr. The exit status, and on success the
 * reply without its "ok" and "warnings".
 */
int client_command(const char *path, json_t *request, json_t **reply);
/* The same for commands whose reply is only of interest as JSON. */
int client_command_quiet(const char *path, json_t *request, bool json);

/* Print JSON, indented, with a newline. The exit status. */
int client_print_json(const json_t *value);
/* Member "hand_over" of status: who sets the untracked state of what arrives, and of what is sent.
 */
void client_print_hand_over(const json_t *h);

#endif
