// SPDX-License-Identifier: GPL-2.0-only
/*
 * How near the programs come to the verifier's limit of a million instructions, from one rule to
 * as much as fits. What it has to look at depends on the read-only configuration, so on the rules.
 * Each measurement is printed as
 *
 *   verifier CONFIGURATION PROGRAM INSTRUCTIONS MILLISECONDS
 *
 * into the file `verifier` in the directory $CTB_LOG, of which scripts/kernels/report.sh makes a
 * table (without: to stdout, which Criterion hides with --tap). The time is the verifier's own.
 */
#include <criterion/criterion.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "datapath_load.h"
#include "output.skel.h"
#include "rig.h"
#include "tc.skel.h"
#include "tc_direct.skel.h"
#include "xdp.skel.h"

/* A compiler or a kernel that comes upon this many is to be looked at before it comes upon more. */
#define INSNS_MAX 200000

static struct host_if ifs[6];
static struct host host;
static bool has_netfilter;

static void start(void)
{
	size_t n = harness_init(ifs, ARRAY_SIZE(ifs) - 1);

	has_netfilter = harness_has_netfilter();
	cr_assert_eq(n, ARRAY_SIZE(ifs) - 1);
	/* Of a VLAN device only its number is used. */
	ifs[n] = (struct host_if){ .ifindex = ifs[n - 1].ifindex + 1,
				   .name = "vlan",
				   .vid = 5,
				   .parent = ifs[1].ifindex };
	host = (struct host){ .ifs = ifs, .n_ifs = n }; /* without it */
}

TestSuite(verifier, .init = start);

/* BPF_LOG_STATS: what `veristat` and bpftool ask for; there is no header that has it. */
#define LOG_STATS 4

static double milliseconds(const char *log)
{
	const char *at = strstr(log, "verification time ");

	return at ? strtod(at + strlen("verification time "), NULL) / 1000 : -1;
}

enum program {
	TC_ETHER,
	TC_IP,
	XDP,
	DIRECT_ETHER,
	DIRECT_IP,
	OUTPUT,
	PROGRAMS
};
static const struct {
	const char *shown, *name;
} names[PROGRAMS] = {
	[TC_ETHER] = { "ctb_tc_ether", "ctb_tc_ether" },
	[TC_IP] = { "ctb_tc_ip", "ctb_tc_ip" },
	[XDP] = { "ctb_xdp", "ctb_xdp" },
	[DIRECT_ETHER] = { "direct/ctb_tc_ether", "ctb_tc_ether" },
	[DIRECT_IP] = { "direct/ctb_tc_ip", "ctb_tc_ip" },
	[OUTPUT] = { "ctb_output", "ctb_output" },
};

struct cost {
	__u32 insns;
	double ms;
};

/* One write, since tests run side by side. */
static void report(const char *what, enum program p, struct cost cost)
{
	const char *dir = getenv("CTB_LOG");
	char path[512], line[160];
	int fd = STDOUT_FILENO, n;

	if (dir) {
		snprintf(path, sizeof(path), "%s/verifier", dir);
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	}
	n = snprintf(line, sizeof(line), "verifier %s %s %u %.0f\n", what, names[p].shown,
		     cost.insns, cost.ms);
	cr_assert_eq(write(fd, line, n), n);
	if (dir)
		close(fd);
}

/* Load one program of an object that was only opened, and none of the others. */
static struct cost load_one(const char *what, struct bpf_object *obj, const char *name,
			    const struct compiled *c)
{
	static char log[64 << 10];
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	struct bpf_program *prog;
	struct cost cost;

	bpf_object__for_each_program (prog, obj) {
		bool it = !strcmp(bpf_program__name(prog), name);

		bpf_program__set_autoload(prog, it);
		bpf_program__set_log_level(prog, it ? LOG_STATS : 0);
		if (it)
			bpf_program__set_log_buf(prog, log, sizeof(log));
	}
	log[0] = '\0';
	if (c)
		cr_assert_eq(load_configure(obj, c, &host, 1), 0);
	cr_assert_eq(bpf_object__load(obj), 0, "%s, %s: %s", what, name, log);
	prog = bpf_object__find_program_by_name(obj, name);
	cr_assert_not_null(prog, "%s", name);
	cr_assert_eq(bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len), 0, "%s",
		     strerror(errno));
	cost = (struct cost){ info.verified_insns, milliseconds(log) };
	cr_assert_gt(cost.insns, 0);
	cr_assert_geq(cost.ms, 0, "no time in: %s", log);
	cr_expect_leq(cost.insns, INSNS_MAX, "%s, %s: %u", what, name, cost.insns);
	return cost;
}

static struct cost measure(const char *what, enum program p, const struct compiled *c)
{
	struct bpf_object *obj;
	struct cost cost;
	size_t size;
	const void *elf;

	if (p == XDP)
		elf = xdp_bpf__elf_bytes(&size);
	else if (p == DIRECT_ETHER || p == DIRECT_IP)
		elf = tc_direct_bpf__elf_bytes(&size);
	else if (p == OUTPUT)
		elf = output_bpf__elf_bytes(&size);
	else
		elf = tc_bpf__elf_bytes(&size);
	obj = bpf_object__open_mem(elf, size, NULL);
	cr_assert_not_null(obj, "%s", strerror(errno));
	cost = load_one(what, obj, names[p].name, c);
	bpf_object__close(obj);
	return cost;
}

/* Without forward rules XDP is not even loaded. */
static bool used(enum program p, const struct compiled *c)
{
	if (p == OUTPUT)
		return has_netfilter;
	return p != XDP || c->config.forward;
}

static void measure_all(const char *what, const struct compiled *c)
{
	for (enum program p = 0; p < PROGRAMS; p++) {
		if (used(p, c))
			report(what, p, measure(what, p, c));
	}
}

Test(verifier, one_rule)
{
	struct harness *h = tables_from_text("failsafe { }\nnotrack udp dport 53\n", &host);

	cr_expect_eq(harness_tables(h)->config.words, 1);
	measure_all("one", harness_tables(h));
	harness_free(h);
}

Test(verifier, one_forward_rule)
{
	struct harness *h = tables_from_text(
		"failsafe { }\nforward daddr { 10.0.0.0/8, 2001:db8::/32 }\n", &host);

	cr_expect_eq(harness_tables(h)->config.words, 1);
	measure_all("forward", harness_tables(h));
	harness_free(h);
}

/* Rules that look at everything, and so many more of one kind. */
static struct harness *mixed(unsigned int more)
{
	_strbuf_ struct strbuf text = {};

	strbuf_addf(&text, "failsafe { tcp 22 }\n"
			   "notrack tcp dport 80-90 daddr local\n"
			   "notrack udp dport 53 iif va0 saddr 10.0.0.0/8 oneway\n"
			   "forward { icmp, icmpv6, esp } daddr { 10.0.0.0/8, 2001:db8::/32 }\n");
	for (unsigned int i = 0; i < more; i++)
		strbuf_addf(&text, "forward tcp port %u saddr 198.18.%u.0/24\n", 5000 + i, i & 255);
	cr_assert_eq(text.err, 0);
	return tables_from_text(text.s, &host);
}

/* As many as make so many entries, or a few less. The compiler leaves gaps between its groups. */
static struct harness *filled(size_t entries)
{
	size_t n[2];

	for (unsigned int i = 0; i < 2; i++) {
		struct harness *h = mixed(i);

		n[i] = harness_tables(h)->n_entries;
		harness_free(h);
	}
	cr_assert(n[0] < entries && n[1] > n[0], "%zu %zu", n[0], n[1]);
	return mixed((entries - n[0]) / (n[1] - n[0]));
}

Test(verifier, one_word_of_entries)
{
	struct harness *h = filled(64);

	cr_expect_eq(harness_tables(h)->config.words, 1);
	measure_all("word", harness_tables(h));
	harness_free(h);
}

/* The same with tables by port, which entries of the word may come before. */
Test(verifier, one_word_and_tables_by_port)
{
	struct harness *h = filled(64);
	struct compiled c = *harness_tables(h);

	c.config.proto_classes = 3;
	c.config.first_in_bits = 0;
	measure_all("word-and-ports", &c);
	harness_free(h);
}

/* All the entries and levels that tables can have; the levels without the prefixes for them. */
Test(verifier, most)
{
	struct harness *h = filled(CTB_MAX_ENTRIES / 8 * 7);
	struct compiled c = *harness_tables(h);

	host.n_ifs = ARRAY_SIZE(ifs);
	cr_expect_eq(c.config.words_per_bit, CTB_MAX_ENTRIES / 64 / CTB_SUMMARY_BITS);
	cr_expect_eq(c.config.fields, (1U << CTB_F_MAX) - 1);
	c.config.words = CTB_MAX_ENTRIES / 64;
	c.config.levels6 = CTB_LEVELS6;
	measure_all("most", &c);
	c.config.forward = 0;
	measure_all("most-notrack", &c);
	harness_free(h);
}

/*
 * Every combination of fields, sizes and what else the programs are made differently for; without
 * --long some of them. Reported are the largest.
 */
Test(verifier, combinations)
{
	static const __u32 words[] = { 1, 2, 64, 128 };
	unsigned int step = getenv("CTB_LONG") ? 1 : 29; /* prime to all that it goes through */
	struct harness *h = filled(64);
	struct compiled c = *harness_tables(h);
	struct cost worst[PROGRAMS] = {};

	for (unsigned int i = 0; i < 64 * ARRAY_SIZE(words) * 4; i += step) {
		char what[80];

		c.config.fields = i & ((1U << CTB_F_MAX) - 1);
		c.config.words = words[i >> CTB_F_MAX & 3];
		c.config.words_per_bit = c.config.words > CTB_SUMMARY_BITS ? 2 : 1;
		c.config.proto_classes = c.config.words == 1 ? i % 5 % 2 * 3 : 0;
		c.config.first_in_bits = i % 3 ? 0 : CTB_NO_ENTRY;
		c.config.levels6 = i % CTB_LEVELS6 + 1;
		c.config.forward = i >> (CTB_F_MAX + 2) & 1;
		host.n_ifs = ARRAY_SIZE(ifs) - (i >> (CTB_F_MAX + 3) & 1);
		snprintf(what, sizeof(what),
			 "fields %#x, %u words, ports %u, %u levels, forward %u, VLANs %d",
			 c.config.fields, c.config.words, c.config.proto_classes, c.config.levels6,
			 c.config.forward, host.n_ifs == ARRAY_SIZE(ifs));
		for (enum program p = 0; p < PROGRAMS; p++) {
			struct cost cost;

			if (!used(p, &c))
				continue;
			cost = measure(what, p, &c);
			if (cost.insns > worst[p].insns)
				worst[p] = cost;
		}
	}
	for (enum program p = 0; p < PROGRAMS; p++) {
		if (used(p, &c))
			report("combined", p, worst[p]);
	}
	harness_free(h);
}
