// SPDX-License-Identifier: GPL-2.0-only
/* Takes the command line apart and hands it to a command of the table. */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "protocol.h"

static int parse_attach(const char *text, enum attach_wish *out)
{
	static const struct {
		const char *name;
		enum attach_wish wish;
	} wishes[] = {
		{ "auto", ATTACH_AUTO },
		{ "tcx", ATTACH_ONLY_TCX },
		{ "clsact", ATTACH_ONLY_CLSACT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (!strcmp(text, wishes[i].name)) {
			*out = wishes[i].wish;
			return 0;
		}
	}
	command_fail("option -A: \"%s\" is not auto, tcx or clsact", text);
	return -EINVAL;
}

static int parse_hand_over(const char *text, enum hand_over_wish *out)
{
	int err = hand_over_parse(text, out);

	if (err)
		command_fail("option -M: \"%s\" is not " HAND_OVER_WISHES, text);
	return err;
}

static int set_option(struct args *a, char letter, const char *value)
{
	switch (letter) {
	case 'c':
		a->config = value;
		return 0;
	case 'P':
		a->pindir = value;
		return 0;
	case 'S':
		a->socket = value;
		return 0;
	case 'A':
		return parse_attach(value, &a->attach);
	case 'M':
		return parse_hand_over(value, &a->hand_over);
	case 'X':
		a->no_xdp = true;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	case 'w':
		a->watch = true;
		return 0;
	case 'v':
		a->verbose = true;
		return 0;
	}
	return 0;
}

/* What was said, before the command is known that may or may not take it. */
struct line {
	struct args args;
	char given[16]; /* letters of the options */
	bool help, version;
};

/* One word of options (-j, -jS path, -S path). rest: the words behind it. Words taken, or -EINVAL.
 */
static int parse_cluster(struct line *l, const char *word, char *const *rest)
{
	for (const char *p = word + 1; *p; p++) {
		const struct option_help *o = option_find(*p);
		const char *value = NULL;

		if (!o) {
			command_fail("unknown option \"-%c\"", *p);
			return -EINVAL;
		}
		if (o->letter == 'h') {
			l->help = true;
			continue;
		}
		if (o->arg)
			value = p[1] ? p + 1 : *rest;
		if (o->arg && !value) {
			command_fail("option -%c needs %s", o->letter, o->arg);
			return -EINVAL;
		}
		if (!strchr(l->given, o->letter))
			l->given[strlen(l->given)] = o->letter;
		if (set_option(&l->args, o->letter, value))
			return -EINVAL;
		if (o->arg)
			return p[1] ? 1 : 2;
	}
	return 1;
}

static bool has_own_options(const char *name)
{
	const struct command *c = command_find(name);

	return c && !strcmp(c->options, OWN_OPTIONS);
}

/* Options out, words in order to l->args.argv (command first). */
static int parse_line(struct line *l, int argc, char **argv)
{
	int i = 1;

	while (i < argc) {
		char *word = argv[i];
		int n;

		if (l->args.argc == 1 && has_own_options(l->args.argv[0])) {
			while (i < argc)
				l->args.argv[l->args.argc++] = argv[i++];
			return 0;
		}

		if (!strcmp(word, "--")) {
			while (++i < argc)
				l->args.argv[l->args.argc++] = argv[i];
			return 0;
		}
		if (!strcmp(word, "--help")) {
			l->help = true;
			i++;
		} else if (!strcmp(word, "--version")) {
			l->version = true;
			i++;
		} else if (word[0] == '-' && word[1] == '-') {
			command_fail("unknown option \"%s\"", word);
			return -EINVAL;
		} else if (word[0] == '-' && word[1]) {
			n = parse_cluster(l, word, &argv[i + 1]);
			if (n < 0)
				return n;
			i += n;
		} else {
			l->args.argv[l->args.argc++] = word;
			i++;
		}
	}
	return 0;
}

static int run(struct line *l)
{
	const char *name = l->args.argc ? l->args.argv[0] : NULL;
	const struct command *c;

	if (l->version)
		name = "version";
	if (!name && l->help)
		name = "help";
	if (!name) {
		commands_help(stderr);
		return EXIT_USAGE;
	}
	c = command_find(name);
	if (!c) {
		command_fail("unknown command \"%s\"; `ctbypass help` lists them", name);
		return EXIT_USAGE;
	}
	if (l->args.argc) {
		l->args.argc--;
		l->args.argv++;
	}
	if (l->help) {
		if (strcmp(c->name, "help"))
			command_help(c, stdout);
		else
			commands_help(stdout);
		return 0;
	}
	for (const char *p = l->given; *p; p++) {
		if (!strchr(c->options, *p)) {
			command_fail("%s: unknown option \"-%c\"", c->name, *p);
			return EXIT_USAGE;
		}
	}
	if (l->args.argc < c->min_args || (c->max_args >= 0 && l->args.argc > c->max_args)) {
		if (l->args.argc < c->min_args)
			command_fail("%s needs %s", c->name, c->operands);
		else
			command_fail("%s: unexpected \"%s\"", c->name, l->args.argv[c->max_args]);
		command_help(c, stderr);
		return EXIT_USAGE;
	}
	return c->run(&l->args);
}

int main(int argc, char **argv)
{
	_free_ char **words = calloc((size_t)argc + 1, sizeof(*words));
	struct line l = {
		.args = {
			.config = DEFAULT_CONFIG,
			.pindir = DEFAULT_PINDIR,
			.socket = DEFAULT_SOCKET,
			.attach = ATTACH_AUTO,
			.hand_over = HAND_OVER_AUTO,
			.argv = words,
		},
	};
	int status;

	if (!words)
		return command_fail("out of memory");
	if (parse_line(&l, argc, argv))
		return EXIT_USAGE;
	status = run(&l);
	if (fflush(stdout) && !status)
		return command_fail("cannot write: %s", strerror(errno));
	return status;
}
