// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of commands against everything that repeats it: help and bash completion. Run from the
 * top of the source tree.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define COMPLETION "packaging/ctbypass.bash-completion"

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sort the words of a text, so that two lists can be compared. */
static char *sorted(const char *text)
{
	_free_ char *copy = strdup(text);
	char *words[64], *rest;
	struct strbuf out = {};
	size_t n = 0;

	for (char *w = strtok_r(copy, " \n", &rest); w; w = strtok_r(NULL, " \n", &rest)) {
		cr_assert_lt(n, ARRAY_SIZE(words));
		words[n++] = w;
	}
	qsort(words, n, sizeof(*words), compare);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&out, "%s ", words[i]);
	return out.s ? out.s : strdup("");
}

/* What bash offers for the last of these words. */
static char *offered(const char *words)
{
	_strbuf_ struct strbuf cmd = {};
	struct strbuf out = {};
	char buf[512];
	size_t n;
	FILE *f;

	cr_assert_eq(access(COMPLETION, R_OK), 0, "run this from the top of the source tree");
	strbuf_addf(&cmd,
		    "bash -c 'source " COMPLETION "; COMP_WORDS=(%s); "
		    "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _ctbypass; "
		    "printf \"%%s\\n\" \"${COMPREPLY[@]}\"'",
		    words);
	f = popen(cmd.s, "r");
	cr_assert_not_null(f);
	while ((n = fread(buf, 1, sizeof(buf), f)))
		strbuf_add(&out, buf, n);
	cr_assert_eq(pclose(f), 0, "%s", cmd.s);
	return out.s ? out.s : strdup("");
}

static void expect_same(const char *a, const char *b, const char *what)
{
	_free_ char *x = sorted(a), *y = sorted(b);

	cr_expect_str_eq(x, y, "%s: %s, not %s", what, x, y);
}

Test(commands, completion_offers_every_command)
{
	_strbuf_ struct strbuf want = {};
	_free_ char *got = offered("ctbypass \"\"");

	for (const struct command *c = commands; c->name; c++)
		strbuf_addf(&want, "%s ", c->name);
	strbuf_addf(&want, "--help --version");
	expect_same(got, want.s, "commands");
}

Test(commands, completion_offers_exactly_a_commands_options)
{
	for (const struct command *c = commands; c->name; c++) {
		_strbuf_ struct strbuf want = {}, words = {};
		_free_ char *got = NULL;

		for (const char *o = c->options; *o && strcmp(c->options, OWN_OPTIONS); o++)
			strbuf_addf(&want, "-%c ", *o);
		strbuf_addf(&want, "-h");
		strbuf_addf(&words, "ctbypass %s -", c->name);
		got = offered(words.s);
		expect_same(got, want.s, c->name);
	}
}

Test(commands, completion_knows_which_options_take_a_word)
{
	/* After `-S x` of a command, its options again; not files, nor commands. */
	for (const struct option_help *o = options; o->letter; o++) {
		_strbuf_ struct strbuf words = {};
		_free_ char *got = NULL;

		strbuf_addf(&words, "ctbypass -%c %s s", o->letter, o->arg ? "x" : "");
		got = offered(words.s);
		expect_same(got, "set stats status", words.s);
	}
}

Test(commands, completion_of_words)
{
	_free_ char *modes = offered("ctbypass run -A \"\"");
	_free_ char *what = offered("ctbypass set \"\"");

	expect_same(modes, "auto tcx clsact", "-A");
	expect_same(what, "add delete", "set");
}

static char *help_of(const struct command *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (c)
		command_help(c, f);
	else
		commands_help(f);
	fclose(f);
	return text;
}

Test(commands, help_names_them_all)
{
	_free_ char *all = help_of(NULL);

	for (const struct command *c = commands; c->name; c++) {
		_free_ char *one = help_of(c);
		char line[64];

		snprintf(line, sizeof(line), "\n  %s ", c->name);
		cr_expect_not_null(strstr(all, line), "%s", c->name);
		cr_expect_not_null(strstr(all, c->summary), "%s", c->name);
		cr_expect_not_null(strstr(one, "usage: ctbypass "));
		for (const struct option_help *o = options; o->letter; o++) {
			bool takes = o->letter == 'h' || strchr(c->options, o->letter);

			snprintf(line, sizeof(line), "\n  -%c ", o->letter);
			cr_expect_eq(strstr(one, line) != NULL, takes, "%s %s", c->name, line);
		}
	}
}

Test(commands, every_option_is_explained_and_names_are_exact)
{
	for (const struct command *c = commands; c->name; c++) {
		cr_expect_not_null(c->run);
		cr_expect_eq(command_find(c->name), c);
		for (const char *o = c->options; *o && strcmp(o, OWN_OPTIONS); o++)
			cr_expect_not_null(option_find(*o), "%s -%c", c->name, *o);
	}
	cr_expect_null(command_find("stat"));
	cr_expect_null(command_find("statuses"));
	cr_expect_null(command_find(""));
	cr_expect_null(option_find('z'));
}
