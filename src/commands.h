/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of subcommands: the dispatcher, --help and the completion are all made from it. */
#ifndef CTBYPASS_COMMANDS_H
#define CTBYPASS_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include "datapath.h"

/* Exit statuses. */
#define EXIT_USAGE 2
#define EXIT_LEFT  3 /* unload: everything is tracked, but something is left */

/* The command line, taken apart. Options a command does not list are refused before it runs. */
struct args {
	const char *config, *pindir, *socket;
	enum attach_wish attach;
	enum hand_over_wish hand_over;
	bool json, watch, verbose, no_xdp;
	int argc; /* words that are no options, without the command's name */
	char **argv;
};

/* Whatever stands behind the command's name is the command's to understand, -h too. */
#define OWN_OPTIONS "*"

struct command {
	const char *name;
	const char *operands; /* for the usage line; "" for none */
	const char *summary;
	const char *options;		  /* letters of those it takes, beside -h; or OWN_OPTIONS */
	int min_args, max_args;		  /* max -1: any number */
	int (*run)(const struct args *a); /* exit status */
};

extern const struct command commands[]; /* ends with a NULL name */

struct option_help {
	char letter;
	const char *arg; /* NULL: takes none */
	const char *text;
};

extern const struct option_help options[]; /* ends with letter 0 */

const struct command *command_find(const char *name);
const struct option_help *option_find(char letter);
void command_help(const struct command *c, FILE *out);
void commands_help(FILE *out);

/* "ctbypass: ..." on stderr; returns 1, for `return command_fail(...)`. */
int command_fail(const char *fmt, ...) _printf_(1, 2);

int cmd_run(const struct args *a);
int cmd_check(const struct args *a);
int cmd_add(const struct args *a);
int cmd_delete(const struct args *a);
int cmd_list(const struct args *a);
int cmd_reload(const struct args *a);
int cmd_set(const struct args *a);
int cmd_stats(const struct args *a);
int cmd_status(const struct args *a);
int cmd_unload(const struct args *a);
int cmd_features(const struct args *a);
int cmd_hand_over(const struct args *a);
int cmd_bench(const struct args *a);

#endif
