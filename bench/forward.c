// SPDX-License-Identifier: GPL-2.0-only
/*
 * What forwarding a packet costs: `forward` rules in XDP and in tc, against the bare minimum, the
 * kernel's own forwarding, and tracked forwarding; and what the XDP program costs packets that it
 * lets pass. 64-byte UDP packets from the in-kernel generator, all on one CPU, through test beds of
 * their own (lib/bed.h); figures include generator and sink. Contenders take turns in every round;
 * ratios are medians of each round's own ratio, so that a machine that is busy now and then shifts
 * both sides. Limits are printed, the exit status only says whether everything could be measured.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bare.skel.h"
#include "ctbypass/abi.h"
#include "scenarios.h"

#define PRIME 2048 /* packets in front of every measurement */

static struct options {
	bool quick, json, leave_sysctls;
	const char *ctbypass, *only;
	int rounds, program_rounds;
	unsigned int packets, repeat;
} opt = { .rounds = 31, .program_rounds = 31, .packets = 100000, .repeat = 100000 };

static struct bed beds[BED_MAX];
static const char *skipped[BED_MAX]; /* why; NULL: it is not */

static void log_step(const char *what)
{
	if (!opt.json)
		fprintf(stderr, "%s ...\n", what);
}

/* Odd, and different each time: the order of the flows. */
static __u64 next_stride(void)
{
	static __u64 state = 1;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33 | 1;
}

/* --- beds: building, warming, checking --- */

static void check_lost(const struct contender *c, __u64 lost, __u64 sent)
{
	if (lost <= sent / LOST_MAX)
		return;
	if (specs[c->bed].rules)
		bed_explain(&beds[c->bed], opt.ctbypass);
	die("%s: %llu of %llu packets did not arrive as they should", bed_name(c->bed), lost, sent);
}

static void expect_entries(enum bed_id id, unsigned long want)
{
	unsigned long got = bed_conntrack(&beds[id]);

	if (got != want)
		die("%s: %lu conntrack entries, expected %lu", bed_name(id), got, want);
}

/* The first packet alone, so that it is no burst of one new tuple; then, for tables, every flow. */
static void warm_up(struct contender *c)
{
	struct bed *b = &beds[c->bed];
	__u64 n = specs[c->bed].tracked && c->flows != FLOWS_NEW ? c->flows : 1, lost;

	bed_flows(b, c->flows, 1);
	bed_rewind(b);
	bed_verify(b, true);
	bed_run(b, 1, &lost);
	check_lost(c, lost, 1);
	bed_run(b, n + 1000, &lost);
	check_lost(c, lost, n + 1000);
	bed_verify(b, false);
}

/* -o TEXT: only beds of contenders with that name, and those whose programs are used elsewhere. */
static bool wanted(enum bed_id id)
{
	if (id == BARE_XDP || id == MISS_XDP)
		return true;
	for (int i = 0; i < C_MAX; i++) {
		if (contenders[i].bed == id && strstr(contenders[i].name, opt.only))
			return true;
	}
	return false;
}

static void make_beds(void)
{
	static const unsigned long room = FLOWS_1M + 65536;

	for (int i = 0; i < BED_MAX; i++) {
		if (opt.only && !wanted((enum bed_id)i))
			skipped[i] = "not asked for";
	}
	if (opt.leave_sysctls)
		skipped[TRACKED_1M] = "nf_conntrack_max is to be left alone";
	else if (!skipped[TRACKED_1M])
		conntrack_make_room(room, &skipped[TRACKED_1M]);
	for (int i = 0; i < BED_MAX; i++) {
		if (!skipped[i])
			bed_make(&beds[i], &specs[i], opt.ctbypass);
	}
}

static int rounds_of(enum phase phase)
{
	return phase == PHASE_PASSED ? 3 * opt.rounds : opt.rounds;
}

static double measure(struct contender *c)
{
	struct bed *b = &beds[c->bed];
	__u64 lost;
	double ns;

	if (c->xdp != XDP_AS_IT_IS)
		bed_xdp_put(b, programs[c->xdp == XDP_EMPTY ? P_EMPTY : P_MISS].fd);
	bed_flows(b, c->flows, next_stride());
	if (c->bed == TRACKED_NEW)
		bed_conntrack_flush(b);
	bed_run(b, PRIME, &lost);
	check_lost(c, lost, PRIME);
	ns = bed_run(b, opt.packets, &lost);
	check_lost(c, lost, opt.packets);
	if (c->bed == TRACKED_NEW)
		expect_entries(TRACKED_NEW, opt.packets + PRIME);
	bed_xdp_take(b);
	return ns;
}

/* Most of what was sent must have gone this way. */
static void expect_outcome(enum bed_id id, unsigned int outcome)
{
	__u64 got, sent = beds[id].sent;

	if (skipped[id])
		return;
	got = bed_outcome(&beds[id], outcome);
	if (got <= sent && got >= sent - sent / LOST_MAX - 8)
		return;
	bed_explain(&beds[id], opt.ctbypass);
	die("%s: %llu of %llu packets counted as %s", bed_name(id), got, sent,
	    outcome == CTB_OUT_XDP  ? "forwarded in XDP"
	    : outcome == CTB_OUT_TC ? "forwarded in tc"
				    : "judged by a rule");
}

/* Found out before everything is measured for nothing, and again behind it. */
static void check_outcomes(void)
{
	expect_outcome(FORWARD, CTB_OUT_XDP);
	expect_outcome(FORWARD_PORT, CTB_OUT_XDP);
	expect_outcome(FORWARD_MANY, CTB_OUT_XDP);
	expect_outcome(UP_FORWARD, CTB_OUT_TC);
	expect_outcome(NOTRACK, CTB_OUT_KERNEL);
}

static void check_beds(void)
{
	for (int i = 0; i < BED_MAX; i++) {
		if (!skipped[i] && specs[i].path != PATH_KERNEL)
			expect_entries((enum bed_id)i, 0);
	}
	check_outcomes();
}

/* --- measuring --- */

/*
 * Among some short runs there is one that nothing else interrupts: of that, CPU time has to see
 * all, or this kernel does not tell it.
 */
static void judge_clock(void)
{
	struct bed *b = beds;
	double best = 0;
	__u64 lost;

	while (b < beds + BED_MAX - 1 && skipped[b - beds])
		b++;
	bed_flows(b, 1, 1);
	for (int i = 0; i < 20; i++) {
		double cpu = bed_run(b, 10000, &lost), share = cpu / b->plain_ns;

		if (!lost && share > best)
			best = share;
	}
	clock_judge(best);
}

static void warm_up_phase(enum phase phase)
{
	for (int i = 0; i < C_MAX; i++) {
		if (!skipped[contenders[i].bed] && contenders[i].phase == phase)
			warm_up(&contenders[i]);
	}
}

static void run_phase(enum phase phase)
{
	for (int r = 0; r < rounds_of(phase); r++) {
		for (int k = 0; k < C_MAX; k++) {
			/* Another order each round: who runs in front leaves the caches as they
			 * are. */
			struct contender *c = &contenders[(k + r * 5) % C_MAX];

			if (!skipped[c->bed] && c->phase == phase)
				c->ns[r] = measure(c);
		}
	}
}

/* Is every flow in the table, and only those? Then forget them. */
static void close_table(enum bed_id id, unsigned long entries)
{
	if (skipped[id])
		return;
	expect_entries(id, entries);
	bed_conntrack_flush(&beds[id]);
}

static void run_contenders(void)
{
	log_step("warming up");
	warm_up_phase(PHASE_MAIN);
	warm_up_phase(PHASE_PASSED);
	check_outcomes();
	log_step("measuring");
	run_phase(PHASE_MAIN);
	run_phase(PHASE_PASSED);
	close_table(TRACKED_1, 1);
	close_table(TRACKED_64K, FLOWS_64K);
	close_table(UP_TRACKED, FLOWS_64K);
	close_table(TRACKED_NEW, opt.packets + PRIME);
	log_step("measuring with a million flows");
	warm_up_phase(PHASE_LARGE);
	run_phase(PHASE_LARGE);
	close_table(TRACKED_1M, FLOWS_1M);
	check_beds();
}

static void find_programs(void)
{
	for (int i = 0; i < P_MAX; i++) {
		enum bed_id id = programs[i].bed;

		programs[i].fd = skipped[id]	? -1
				 : i == P_EMPTY ? bpf_program__fd(beds[id].bare->progs.pass_xdp)
						: bed_xdp_program(&beds[id]);
	}
}

static void run_programs(void)
{
	static const __u64 flows[2] = { 1, FLOWS_64K };

	for (int r = 0; r < opt.program_rounds; r++) {
		for (int k = 0; k < 2 * P_MAX; k++) {
			struct program *p = &programs[(k / 2 + r) % P_MAX];
			struct bed *b = &beds[p->bed];
			unsigned int result;

			if (p->fd < 0)
				continue;
			bed_flows(b, flows[k % 2], next_stride());
			p->ns[k % 2][r] = bed_program_run(b, p->fd, opt.repeat, &result);
			if (result != p->result)
				die("program run: %s returned %u, expected %u", p->name, result,
				    p->result);
		}
	}
}

/* --- output --- */

static double of_rounds(const double *ns, int rounds, double q)
{
	double v[ROUNDS_MAX];

	memcpy(v, ns, sizeof(*v) * (size_t)rounds);
	return quantile(v, (size_t)rounds, q);
}

static double of_contender(const struct contender *c, double q)
{
	return of_rounds(c->ns, rounds_of(c->phase), q);
}

/* The quantile of a limit's figure over the rounds. */
static double figure(const struct limit *l, double q)
{
	const double *a = contenders[l->a].ns, *b = contenders[l->b].ns;
	int rounds = rounds_of(contenders[l->a].phase);
	double v[ROUNDS_MAX];

	for (int r = 0; r < rounds; r++)
		v[r] = l->kind == NS_AT_MOST ? a[r] - b[r] : a[r] / b[r];
	return quantile(v, (size_t)rounds, q);
}

static bool met(const struct limit *l)
{
	double v = figure(l, 0.5);

	return l->kind == AT_LEAST ? v >= l->value : v <= l->value;
}

static bool limit_skipped(const struct limit *l)
{
	return skipped[contenders[l->a].bed] || skipped[contenders[l->b].bed];
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
	printf("# nf_conntrack_checksum=0; median of %d rounds of %u packets, 64 bytes, UDP\n",
	       opt.rounds, opt.packets);
}

static void print_contenders(void)
{
	static const char *const feeds[] = { "wire: client's veth -> router -> server's veth",
					     "stack: router's stack -> egress" };
	int feed = -1;

	for (int i = 0; i < C_MAX; i++) {
		const struct contender *c = &contenders[i];

		if ((int)specs[c->bed].feed != feed) {
			feed = (int)specs[c->bed].feed;
			printf("\n%-48s %6s %8s %10s %10s\n", feeds[feed], "flows", "ns",
			       "quartile 1", "quartile 3");
		}
		printf("%-48s %6s ", c->name, flows_name(c->flows));
		if (skipped[c->bed])
			printf("%8s %s\n", "-", skipped[c->bed]);
		else
			printf("%8.0f %10.0f %10.0f\n", of_contender(c, 0.5), of_contender(c, 0.25),
			       of_contender(c, 0.75));
	}
}

static void print_limits(void)
{
	printf("\n%-48s %6s %8s %10s %10s\n", "limits", "limit", "is", "quartile 1", "quartile 3");
	for (size_t i = 0; i < LIMITS; i++) {
		const struct limit *l = &limits[i];

		printf("%-48s %s%5.2f ", l->text, l->kind == AT_LEAST ? ">" : "<", l->value);
		if (limit_skipped(l))
			printf("%8s %s\n", "-", "not measured");
		else
			printf("%8.2f %10.2f %10.2f %s\n", figure(l, 0.5), figure(l, 0.25),
			       figure(l, 0.75), met(l) ? "ok" : "MISSED");
	}
}

static void print_programs(void)
{
	double empty[2], bare[2];

	if (programs[P_EMPTY].fd < 0)
		return;
	for (int f = 0; f < 2; f++) {
		empty[f] = of_rounds(programs[P_EMPTY].ns[f], opt.program_rounds, 0.5);
		bare[f] = of_rounds(programs[P_BARE].ns[f], opt.program_rounds, 0.5);
	}
	printf("\n%-34s %13s %8s %13s %8s\n", "XDP program alone, ns beyond empty", "1 flow",
	       "- bare", "64 k flows", "- bare");
	for (int i = 0; i < P_MAX; i++) {
		if (programs[i].fd < 0)
			continue;
		printf("%-34s", programs[i].name);
		for (int f = 0; f < 2; f++) {
			double ns = of_rounds(programs[i].ns[f], opt.program_rounds, 0.5);

			printf(" %13.1f %8.1f", ns - empty[f], ns - bare[f]);
		}
		printf("\n");
	}
}

static json_t *rounds_json(const double *ns, int rounds)
{
	json_t *a = json_array(), *o;

	for (int r = 0; r < rounds; r++)
		json_array_append_new(a, json_real(ns[r]));
	o = json_pack("{s:f,s:f,s:f,s:o}", "median", of_rounds(ns, rounds, 0.5), "quartile1",
		      of_rounds(ns, rounds, 0.25), "quartile3", of_rounds(ns, rounds, 0.75),
		      "rounds", a);
	return o;
}

static json_t *contender_json(const struct contender *c)
{
	return json_pack("{s:s,s:s,s:s,s:o}", "name", c->name + strspn(c->name, " "), "feed",
			 specs[c->bed].feed == FEED_WIRE ? "wire" : "stack", "flows",
			 flows_name(c->flows), "ns",
			 skipped[c->bed] ? json_null() : rounds_json(c->ns, rounds_of(c->phase)));
}

static void print_json(json_t *facts)
{
	json_t *lines = json_array(), *asked = json_array(), *alone = json_array(), *root;

	for (int i = 0; i < C_MAX; i++)
		json_array_append_new(lines, contender_json(&contenders[i]));
	for (size_t i = 0; i < LIMITS; i++) {
		const struct limit *l = &limits[i];
		json_t *is = limit_skipped(l) ? json_null() : json_real(figure(l, 0.5));

		json_array_append_new(
			asked,
			json_pack("{s:s,s:f,s:s,s:o,s:o}", "text", l->text, "limit", l->value,
				  "kind", l->kind == AT_LEAST ? "at least" : "at most", "is", is,
				  "met", limit_skipped(l) ? json_null() : json_boolean(met(l))));
	}
	for (int i = 0; i < P_MAX; i++) {
		const struct program *p = &programs[i];

		if (p->fd < 0)
			continue;
		json_array_append_new(
			alone, json_pack("{s:s,s:o,s:o}", "name", p->name + strspn(p->name, " "),
					 "flows_1", rounds_json(p->ns[0], opt.program_rounds),
					 "flows_64k", rounds_json(p->ns[1], opt.program_rounds)));
	}
	root = json_pack("{s:o,s:i,s:i,s:i,s:o,s:o,s:o}", "machine", facts, "rounds", opt.rounds,
			 "packets", (int)opt.packets, "nf_conntrack_checksum", 0, "forwarding",
			 lines, "limits", asked, "programs", alone);
	if (!root || json_dumpf(root, stdout, JSON_INDENT(1)))
		die("JSON: out of memory");
	printf("\n");
	json_decref(root);
}

static void usage(FILE *to)
{
	fprintf(to, "usage: forward [-q] [-j] [-n] [-o TEXT] [-b CTBYPASS]\n"
		    "  -q  quick: fewer rounds, within a minute\n"
		    "  -j  JSON\n"
		    "  -n  do not raise nf_conntrack_max: no tracked forwarding of 1 M flows\n"
		    "  -o  only contenders with TEXT in their name\n"
		    "  -b  the program to measure (default: ctbypass in the directory above)\n");
}

/* build/bench/forward measures build/ctbypass. */
static const char *default_ctbypass(void)
{
	static char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	char *slash;

	if (n < 0)
		die("/proc/self/exe: %s", strerror(errno));
	path[n] = '\0';
	for (int i = 0; i < 2; i++) {
		slash = strrchr(path, '/');
		if (slash)
			*slash = '\0';
	}
	strcat(path, "/ctbypass");
	return path;
}

static void parse_options(int argc, char **argv)
{
	int c;

	opt.ctbypass = default_ctbypass();
	while ((c = getopt(argc, argv, "qjno:b:h")) != -1) {
		switch (c) {
		case 'q':
			opt.quick = true;
			break;
		case 'j':
			opt.json = true;
			break;
		case 'n':
			opt.leave_sysctls = true;
			break;
		case 'o':
			opt.only = optarg;
			break;
		case 'b':
			opt.ctbypass = realpath(optarg, NULL);
			if (!opt.ctbypass)
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
	if (optind < argc) {
		usage(stderr);
		exit(2);
	}
	if (opt.quick) {
		opt.rounds = 9;
		opt.program_rounds = 15;
		opt.packets = 50000;
		opt.repeat = 50000;
	}
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	json_t *facts;
	int cpu;

	parse_options(argc, argv);
	if (geteuid())
		die("needs root");
	if (access(opt.ctbypass, X_OK))
		die("%s: %s", opt.ctbypass, strerror(errno));
	setrlimit(RLIMIT_NOFILE, &files);
	scenarios_init();
	only_one();
	sysctls_guard(workspace_name());
	workspace_open();
	cpu = cpu_pin();
	log_step("building the test beds");
	make_beds();
	find_programs();
	judge_clock();
	facts = machine_facts(cpu);
	run_contenders();
	run_programs();
	if (opt.json) {
		print_json(facts);
		return 0;
	}
	print_facts(facts);
	json_decref(facts);
	print_contenders();
	print_limits();
	print_programs();
	return 0;
}
