// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <string.h>

#include "commands.h"
#include "protocol.h"

static int cmd_version(const struct args *a)
{
	(void)a;
	puts("ctbypass " CTB_VERSION);
	return 0;
}

static int cmd_help(const struct args *a)
{
	const struct command *c;

	if (!a->argc) {
		commands_help(stdout);
		return 0;
	}
	c = command_find(a->argv[0]);
	if (!c) {
		command_fail("unknown command \"%s\"", a->argv[0]);
		return EXIT_USAGE;
	}
	command_help(c, stdout);
	return 0;
}

const struct command commands[] = {
	{ "run", "", "run the daemon in the foreground", "cPSAMXv", 0, 0, cmd_run },
	{ "check", "", "check a configuration; change nothing", "cPjv", 0, 0, cmd_check },
	{ "add", "RULE...", "append a rule to the running ones; prints its handle", "Sj", 1, -1,
	  cmd_add },
	{ "delete", "HANDLE", "delete a running rule", "Sj", 1, 1, cmd_delete },
	{ "list", "", "print the running rules, as input", "Sj", 0, 0, cmd_list },
	{ "reload", "", "make the running rules those of the file", "Sj", 0, 0, cmd_reload },
	{ "set", "add|delete NAME ELEMENT...", "change a running set", "Sj", 3, -1, cmd_set },
	{ "stats", "", "packets and bytes by rule and by reason", "Sjw", 0, 0, cmd_stats },
	{ "status", "", "interfaces, rules, conntrack, warnings", "PSj", 0, 0, cmd_status },
	{ "hand-over", "auto|mark|direct", "how packets become UNTRACKED, from now on", "Sj", 1, 1,
	  cmd_hand_over },
	{ "unload", "", "remove every trace from the kernel", "Pv", 0, 0, cmd_unload },
	{ "features", "", "what this kernel can do of what is used here", "Pj", 0, 0,
	  cmd_features },
	{ "bench", "", "measure here what bypassing saves", OWN_OPTIONS, 0, -1, cmd_bench },
	{ "help", "[COMMAND]", "this, or one command's options", "", 0, 1, cmd_help },
	{ "version", "", "print the version", "", 0, 0, cmd_version },
	{},
};

const struct option_help options[] = {
	{ 'c', "FILE", "configuration file (" DEFAULT_CONFIG ")" },
	{ 'P', "PINDIR", "directory on a BPF file system for pins (" DEFAULT_PINDIR ")" },
	{ 'S', "SOCKET", "control socket (" DEFAULT_SOCKET ")" },
	{ 'A', "MODE",
	  "attach by auto, tcx or clsact; auto keeps what is there, else prefers tcx" },
	{ 'M', "METHOD",
	  "hand over by auto, mark or direct; auto is direct where module nf_untrack_bpf is" },
	{ 'X', NULL, "no XDP: `forward` rules forward in tc only" },
	{ 'j', NULL, "print JSON" },
	{ 'w', NULL, "refresh every second, with rates" },
	{ 'v', NULL, "say more on stderr" },
	{ 'h', NULL, "this help" },
	{},
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++) {
		if (!strcmp(c->name, name))
			return c;
	}
	return NULL;
}

const struct option_help *option_find(char letter)
{
	for (const struct option_help *o = options; o->letter; o++) {
		if (o->letter == letter)
			return o;
	}
	return NULL;
}

void command_help(const struct command *c, FILE *out)
{
	fprintf(out, "usage: ctbypass %s%s%s%s\n\n%s\n\noptions:\n", c->name,
		*c->options ? " [options]" : "", *c->operands ? " " : "", c->operands, c->summary);
	if (!strcmp(c->options, OWN_OPTIONS))
		fprintf(out, "  those of the benchmark: `ctbypass %s -h`\n", c->name);
	for (const struct option_help *o = options; o->letter; o++) {
		if (o->letter == 'h' || strchr(c->options, o->letter))
			fprintf(out, "  -%c %-8s %s\n", o->letter, o->arg ? o->arg : "", o->text);
	}
}

void commands_help(FILE *out)
{
	fputs("usage: ctbypass COMMAND [options]\n\ncommands:\n", out);
	for (const struct command *c = commands; c->name; c++) {
		char left[48];

		snprintf(left, sizeof(left), "%s%s%s", c->name, *c->operands ? " " : "",
			 c->operands);
		fprintf(out, "  %-32s %s\n", left, c->summary);
	}
	fputs("\n`ctbypass COMMAND -h` lists a command's options. Manual: ctbypass(8), "
	      "ctbypass.conf(5).\n",
	      out);
}

int command_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("ctbypass: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}
