// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a packet costs by each way of keeping it out of conntrack, side by side. UDP packets from
 * the in-kernel generator go through test beds of their own (lib/bed.h); figures include generator
 * and sink. Contenders take turns in every round; ratios are medians of each round's own ratio, so
 * that a machine that is busy now and then shifts both sides. Limits are printed; the exit status
 * only says whether everything could be measured. README.md is the manual.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "compare.h"
#include "groups.h"

static void usage(FILE *to)
{
	fprintf(to,
		"usage: ctbypass bench [options]\n"
		"\n"
		"what packets cost with each way around connection tracking, measured in network\n"
		"namespaces of its own\n"
		"\n"
		"options:\n"
		"  -g GROUP,...    only these groups\n"
		"  -o NAME,...     only these contenders\n"
		"  -l              list groups and contenders\n"
		"  -q, --quick     within two minutes: fewer rounds and packets, nothing with a\n"
		"                  million of anything\n"
		"  -i              one round by the wall's clock, for machines whose clock counts\n"
		"                  instructions\n"
		"  -n              leave nf_conntrack_max alone; what needs more is skipped\n"
		"  -r ROUNDS       rounds of each group\n"
		"  -p PACKETS      packets of each round\n"
		"  -j              print JSON\n"
		"  --json FILE     write JSON to a file, besides the table\n"
		"  -b PROGRAM      the ctbypass to measure\n"
		"  -h              this help\n");
}

/* --- options --- */

static _Noreturn void wrong_usage(const char *what, const char *value)
{
	fprintf(stderr, "ctbypass-bench: %s: %s\n", what, value);
	exit(2);
}

static unsigned int number(const char *what, const char *text, unsigned int max)
{
	unsigned int n;

	if (parse_u32(text, 1, max, &n))
		wrong_usage(what, text);
	return n;
}

/* Are all names of the list known? */
static void check_names(const char *list, bool (*known)(const char *), const char *what)
{
	_free_ char *copy = list ? strdup(list) : NULL;
	char *rest = NULL;

	for (char *p = copy ? strtok_r(copy, ",", &rest) : NULL; p;
	     p = strtok_r(NULL, ",", &rest)) {
		if (!known(p))
			wrong_usage(what, p);
	}
}

static bool group_known(const char *name)
{
	for (size_t i = 0; i < n_groups; i++) {
		if (!strcmp(groups[i].name, name))
			return true;
	}
	return false;
}

static bool contender_known(const char *name)
{
	return contender_find(name);
}

static void list(void)
{
	printf("groups:\n");
	for (size_t i = 0; i < n_groups; i++)
		printf("  %-14s %s\n", groups[i].name, groups[i].what);
	printf("contenders:\n");
	for (size_t i = 0; i < n_contenders; i++)
		printf("  %-16s %s\n", contenders[i].name, contenders[i].what);
}

static void parse_options(int argc, char **argv)
{
	enum {
		JSON_FILE = 256,
		COMPARE,
	};
	static const struct option longs[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "json", required_argument, NULL, JSON_FILE },
		{ "compare", required_argument, NULL, COMPARE },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	bool rounds = false, packets = false;
	int c;

	while ((c = getopt_long(argc, argv, "g:o:lqinr:p:jb:h", longs, NULL)) != -1) {
		switch (c) {
		case 'g':
			opt.groups = optarg;
			break;
		case 'o':
			opt.only = optarg;
			break;
		case 'l':
			list();
			exit(0);
		case 'q':
			opt.quick = true;
			break;
		case 'i':
			opt.once = true;
			break;
		case 'n':
			opt.leave_sysctls = true;
			break;
		case 'r':
			opt.rounds = (int)number("rounds", optarg, ROUNDS_MAX);
			rounds = true;
			break;
		case 'p':
			opt.packets = number("packets", optarg, 10000000);
			packets = true;
			break;
		case 'j':
			opt.json = true;
			break;
		case JSON_FILE:
			opt.json_file = optarg;
			break;
		case COMPARE:
			opt.compare = optarg;
			break;
		case 'b':
			ctbypass_program = realpath(optarg, NULL);
			if (!ctbypass_program)
				die("%s: %s", optarg, strerror(errno));
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (opt.compare && optind < argc)
		opt.compare_with = argv[optind++];
	if (optind < argc)
		wrong_usage("no such argument", argv[optind]);
	if (opt.compare && opt.json)
		wrong_usage("not together with -j", "--compare");
	if (!rounds)
		opt.rounds = opt.once ? 1 : opt.quick ? 5 : 21;
	if (!packets)
		opt.packets = opt.once ? 100000 : opt.quick ? 20000 : 60000;
	check_names(opt.groups, group_known, "no such group (-l lists them)");
	check_names(opt.only, contender_known, "no such contender (-l lists them)");
}

/* build/bench/ctbypass-bench belongs to build/ctbypass, PREFIX/lib/ctbypass/bench to
 * PREFIX/sbin/ctbypass. */
static const char *default_ctbypass(void)
{
	static const char *const places[] = { "/../ctbypass", "/../../sbin/ctbypass", NULL };
	char self[512], path[600], *found;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		die("/proc/self/exe: %s", strerror(errno));
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (int i = 0; places[i]; i++) {
		struct stat st;

		snprintf(path, sizeof(path), "%s%s", self, places[i]);
		found = realpath(path, NULL);
		if (found && !stat(found, &st) && S_ISREG(st.st_mode) && !access(found, X_OK))
			return found;
		free(found);
	}
	return "/usr/sbin/ctbypass";
}

/* --- main --- */

static const char *ctbypass_version(void)
{
	const char *const argv[] = { ctbypass_program, "version", NULL };
	static char line[64];
	_free_ char *text = command_output(argv);

	snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
	return line;
}

static void measure_all(void)
{
	for (size_t i = 0; i < n_groups; i++) {
		struct group *g = &groups[i];

		if (!listed(opt.groups, g->name))
			continue;
		if (!opt.json)
			fprintf(stderr, "%s ...\n", g->name);
		if (g->fill) {
			g->fill(g);
			group_measure(g);
		} else {
			g->collect(g);
		}
		if (!opt.json)
			print_group(g);
	}
}

static void print_facts(const json_t *facts)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)facts, key, value) {
		if (json_is_integer(value))
			printf("# %s: %lld\n", key, (long long)json_integer_value(value));
		else if (json_is_string(value))
			printf("# %s: %s\n", key, json_string_value(value));
	}
	printf("# median of %d rounds of %llu packets, UDP; nf_conntrack_checksum=0\n", opt.rounds,
	       opt.packets);
}

static void write_json(const json_t *root, FILE *to)
{
	if (json_dumpf(root, to, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) || fputc('\n', to) == EOF)
		die("JSON: %s", strerror(errno));
}

static void compare_files(void)
{
	json_t *old = result_read(opt.compare), *new = result_read(opt.compare_with);

	compare(old, new);
	json_decref(old);
	json_decref(new);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	_fclose_ FILE *file = NULL;
	json_t *facts, *root, *old = NULL;
	int cpu;

	parse_options(argc, argv);
	if (opt.compare_with) {
		compare_files();
		return 0;
	}
	if (opt.compare)
		old = result_read(opt.compare);
	if (!ctbypass_program)
		ctbypass_program = default_ctbypass();
	if (geteuid())
		die("needs root");
	if (access(ctbypass_program, X_OK))
		die("%s: %s", ctbypass_program, strerror(errno));
	if (opt.json_file) {
		file = fopen(opt.json_file, "we");
		if (!file)
			die("%s: %s", opt.json_file, strerror(errno));
	}
	setrlimit(RLIMIT_NOFILE, &files);
	only_one();
	sysctls_guard(workspace_name());
	workspace_open();
	cpu = cpu_pin();
	if (opt.once)
		clock_judge(0);
	else
		judge_clock();
	facts = machine_facts(cpu);
	json_object_set_new(facts, "ctbypass", json_string(ctbypass_version()));
	if (!opt.json)
		print_facts(facts);
	measure_all();
	root = result_json(facts);
	if (!root)
		die("JSON: %s", strerror(ENOMEM));
	if (opt.json)
		write_json(root, stdout);
	if (file)
		write_json(root, file);
	if (old)
		compare(old, root);
	json_decref(old);
	json_decref(root);
	json_decref(facts);
	return 0;
}
