// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tc program costs a packet, by bpf_prog_test_run, beyond a program that does nothing:
 * by rules and by prefixes, for packets that meet a rule and that meet none, with everything in
 * the cache and, for prefixes, with destinations so many that little is. Contenders are interleaved
 * in rounds in one process; the figure is the median of the rounds.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "datapath_load.h"
#include "floor.skel.h"
#include "spread.h"
#include "spread.skel.h"
#include "tc.skel.h"

#define ROUNDS_MAX     31
#define ROUNDS_QUICK   7
#define REPEAT	       100000
#define CONTENDERS_MAX 96
#define TABLES_MAX     32
#define FRAME	       78

/* A rule set, compiled and loaded. */
struct tables {
	char name[40];
	struct tc_bpf *skel;
};

struct contender {
	char name[64];
	double limit; /* ns beyond empty that the project asks for; 0: none */
	int fd;	      /* what is run: the program, or `spread` in front of it */
	int empty;    /* the contender that does nothing, otherwise alike */
	unsigned char frame[FRAME];
	double ns[ROUNDS_MAX];
};

static struct tables tables[TABLES_MAX];
static struct contender contenders[CONTENDERS_MAX];
static int n_tables, n_contenders, rounds = ROUNDS_MAX;
static const char *only = ""; /* tables whose names contain this */

/* This thread's own time: what other programs do meanwhile is not the packet's cost. */
static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static _Noreturn void die(const char *what, int err)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(err < 0 ? -err : err));
	exit(1);
}

/* --- packets --- */

/* A UDP packet; addresses in host order, those of IPv6 by their upper half. */
struct flow {
	bool v6;
	__u64 src, dst;
	__u16 sport, dport;
};

static void write_frame(unsigned char *f, const struct flow *flow)
{
	static const unsigned char head4[] = { 0, 0, 0,	   0, 0, 0,	     2, 0, 0, 0, 0,  1,
					       8, 0, 0x45, 0, 0, FRAME - 14, 0, 1, 0, 0, 64, 17 },
				   head6[] = {
					   0, 0,    0,	  0,	0, 0, 2, 0, 0,		0,  0,
					   1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, FRAME - 54, 17, 64
				   };
	int l4 = flow->v6 ? 54 : 34;
	__u16 udp[] = { htons(flow->sport), htons(flow->dport), htons((__u16)(FRAME - l4)), 0 };

	memset(f, 0, FRAME);
	if (flow->v6) {
		__u64 addrs[4] = { htobe64(flow->src), htobe64(1), htobe64(flow->dst), htobe64(1) };

		memcpy(f, head6, sizeof(head6));
		memcpy(f + 22, addrs, sizeof(addrs));
	} else {
		__u32 addrs[2] = { htonl((__u32)flow->src), htonl((__u32)flow->dst) };

		memcpy(f, head4, sizeof(head4));
		memcpy(f + 26, addrs, sizeof(addrs));
	}
	memcpy(f + l4, udp, sizeof(udp));
}

/* --- rules --- */

static void rules_ports(struct strbuf *b, int n)
{
	for (int i = 0; i < n; i++)
		strbuf_addf(b, "notrack udp dport %d\n", 8000 + i * 7);
}

/* A quarter each: port; prefix and port; prefix alone; pair of prefixes with a port range. */
static void rules_mixed(struct strbuf *b, int n)
{
	for (int i = 0; i < n; i++) {
		int a = i / 256, o = i % 256;

		switch (i % 4) {
		case 0:
			strbuf_addf(b, "notrack { tcp, udp } dport %d\n", 10000 + i);
			break;
		case 1:
			strbuf_addf(b, "notrack udp dport %d daddr 10.%d.%d.0/24\n", 20000 + i, a,
				    o);
			break;
		case 2:
			strbuf_addf(b, "notrack saddr 172.%d.%d.0/24\n", 16 + a, o);
			break;
		default:
			strbuf_addf(b,
				    "notrack tcp sport %d-%d saddr 192.168.%d.0/24 daddr "
				    "198.%d.%d.0/24\n",
				    30000 + i, 30003 + i, o, 18 + a, o);
		}
	}
}

static void rules_prefixes(struct strbuf *b, int n, bool v6)
{
	strbuf_addf(b, "set big {\n");
	for (int i = 0; i < n; i++) {
		__u32 p = spread_prefix((__u32)i);

		if (v6)
			strbuf_addf(b, "%llx:%x:%x::/48,\n", SPREAD_NET6 >> 48, p >> 16,
				    p & 0xffff);
		else
			strbuf_addf(b, "%u.%u.%u.0/24,\n", p >> 16, p >> 8 & 255, p & 255);
	}
	strbuf_addf(b, "}\nnotrack daddr @big\n");
}

static int table_of(struct strbuf *b, const char *name)
{
	_diag_ struct diag d = {};
	_ruleset_ struct ruleset *rs = NULL;
	struct tables *t = &tables[n_tables];
	struct entries entries = {};
	struct compiled compiled = {};
	struct host host = {};
	int err = b->err;

	if (!err)
		err = ruleset_parse_text("bench", ".", b->s, b->len, &rs, &d);
	strbuf_free(b);
	*b = (struct strbuf){};
	if (!err) {
		for (size_t i = 0; i < rs->n_rules; i++)
			rs->rules[i].slot = (__u32)i + 1;
		err = expand_ruleset(rs, &entries, &d);
	}
	if (!err)
		err = compile(&entries, &host, rs->mark, &compiled, &d);
	if (err) {
		fprintf(stderr, "%s", d.text.s ? d.text.s : "");
		die("rules", err);
	}
	t->skel = tc_bpf__open();
	if (!t->skel)
		die("open", errno);
	err = load_configure(t->skel->obj, &compiled, NULL, 1);
	if (!err)
		err = tc_bpf__load(t->skel);
	if (!err)
		err = load_tables(t->skel->obj, &compiled, NULL);
	if (err)
		die("load (root?)", err);
	compiled_free(&compiled);
	entries_free(&entries);
	snprintf(t->name, sizeof(t->name), "%s", name);
	return n_tables++;
}

/* --- contenders --- */

static int ether_fd(int table)
{
	return bpf_program__fd(tables[table].skel->progs.ctb_tc_ether);
}

static int empty_program(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "empty", "GPL", insns, ARRAY_SIZE(insns),
			       NULL);

	if (fd < 0)
		die("empty program (root?)", errno);
	return fd;
}

/* A program of its own for each: where it goes on is in its map. */
static int spread_before(int fd, const struct spread_config *config)
{
	struct spread_bpf *skel = spread_bpf__open_and_load();
	__u32 zero = 0;

	if (!skel || bpf_map_update_elem(bpf_map__fd(skel->maps.next), &zero, &fd, BPF_ANY))
		die("spread", errno);
	skel->bss->config = *config;
	return bpf_program__fd(skel->progs.spread);
}

static int add(const char *name, double limit, int fd, int empty, const struct flow *flow)
{
	struct contender *c = &contenders[n_contenders];

	if (n_contenders == CONTENDERS_MAX)
		die("contenders", E2BIG);
	*c = (struct contender){ .limit = limit, .fd = fd, .empty = empty };
	snprintf(c->name, sizeof(c->name), "%s", name);
	write_frame(c->frame, flow);
	return n_contenders++;
}

static double run_once(const struct contender *c, int repeat, __u32 *mark)
{
	struct __sk_buff ctx = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = c->frame, .data_size_in = FRAME,
		    .repeat = repeat, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .ctx_out = &ctx,
		    .ctx_size_out = sizeof(ctx));
	double start = now_ns();

	if (bpf_prog_test_run_opts(c->fd, &opts))
		die(c->name, errno);
	if (opts.retval != (__u32)-1)
		die(c->name, EBADMSG);
	*mark = ctx.mark;
	return (now_ns() - start) / repeat;
}

/* Did packets meet a rule (mark set), as the name says? A figure for the wrong path is none. */
static void expect(int contender, bool hit)
{
	const struct contender *c = &contenders[contender];
	__u32 mark;

	for (int i = 0; i < 100; i++) {
		run_once(c, 1, &mark);
		if ((mark != 0) == hit)
			continue;
		fprintf(stderr, "bench: %s: packet %s\n", c->name,
			hit ? "met no rule" : "met a rule");
		exit(1);
	}
}

static const struct flow nobody4 = { false, 0xc0000201, 0xcb007101, 40000, 9 },
			 nobody6 = { true, 0x20010db800000000, 0x20010db800010000, 40000, 9 };

static struct flow to_port(const struct flow *f, __u16 dport)
{
	struct flow g = *f;

	g.dport = dport;
	return g;
}

static bool wanted(const char *table)
{
	return strstr(table, only) != NULL;
}

static void add_ports(int n)
{
	struct strbuf b = {};
	struct flow hit4 = to_port(&nobody4, (__u16)(8000 + (n - 1) / 2 * 7)),
		    hit6 = to_port(&nobody6, hit4.dport);
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "%d port rules", n);
	if (!wanted(name))
		return;
	rules_ports(&b, n);
	fd = ether_fd(table_of(&b, name));
	snprintf(name, sizeof(name), "%d port rules, IPv4, hit", n);
	expect(add(name, n == 10 ? 10 : 0, fd, 0, &hit4), true);
	snprintf(name, sizeof(name), "%d port rules, IPv4, miss", n);
	expect(add(name, n == 10 ? 10 : 0, fd, 0, &nobody4), false);
	snprintf(name, sizeof(name), "%d port rules, IPv6, hit", n);
	expect(add(name, 0, fd, 0, &hit6), true);
	snprintf(name, sizeof(name), "%d port rules, IPv6, miss", n);
	expect(add(name, 0, fd, 0, &nobody6), false);
}

static void add_mixed(int n)
{
	struct strbuf b = {};
	int port_rule = (n / 2) & ~3, both_rule = port_rule + 1;
	struct flow port = to_port(&nobody4, (__u16)(10000 + port_rule)),
		    both = to_port(&nobody4, (__u16)(20000 + both_rule));
	char name[64];
	int fd;

	both.dst = 0x0a000005U | (__u32)both_rule << 8;
	snprintf(name, sizeof(name), "%d mixed rules", n);
	if (!wanted(name))
		return;
	rules_mixed(&b, n);
	fd = ether_fd(table_of(&b, name));
	snprintf(name, sizeof(name), "%d mixed rules, IPv4, hit by port", n);
	expect(add(name, 0, fd, 0, &port), true);
	snprintf(name, sizeof(name), "%d mixed rules, IPv4, hit by prefix and port", n);
	expect(add(name, 0, fd, 0, &both), true);
	snprintf(name, sizeof(name), "%d mixed rules, IPv4, miss", n);
	expect(add(name, 0, fd, 0, &nobody4), false);
}

static const char *number(int n)
{
	return n == 1000000 ? "1 M" : n == 100000 ? "100 k" : n == 1000 ? "1 k" : "1";
}

static __u64 in_prefix(bool v6, __u32 n)
{
	__u64 p = spread_prefix(n);

	return v6 ? SPREAD_NET6 | p << 16 : p << 8 | 9;
}

/* spread: the contender with `spread` before an empty program. */
static void add_prefixes(int n, bool v6, int spread)
{
	struct strbuf b = {};
	struct flow hit = v6 ? nobody6 : nobody4, miss = hit;
	const char *v = v6 ? "IPv6" : "IPv4";
	struct spread_config near = { 0, 1, v6 }, far = { 1U << 23, 1U << 20, v6 };
	char name[64];
	int fd;

	while ((int)near.n * 2 <= n)
		near.n *= 2;
	snprintf(name, sizeof(name), "%s %s prefixes", number(n), v);
	if (!wanted(name))
		return;
	hit.dst = in_prefix(v6, (__u32)n / 2);
	miss.dst = in_prefix(v6, (__u32)n);
	rules_prefixes(&b, n, v6);
	fd = ether_fd(table_of(&b, name));
	snprintf(name, sizeof(name), "%s %s prefixes, hit", number(n), v);
	expect(add(name, n == 1000000 && !v6 ? 25 : 0, fd, 0, &hit), true);
	snprintf(name, sizeof(name), "%s %s prefixes, miss", number(n), v);
	expect(add(name, 0, fd, 0, &miss), false);
	if (n < 1000)
		return;
	snprintf(name, sizeof(name), "%s %s prefixes, random hits", number(n), v);
	expect(add(name, 0, spread_before(fd, &near), spread, &hit), true);
	snprintf(name, sizeof(name), "%s %s prefixes, random misses", number(n), v);
	expect(add(name, 0, spread_before(fd, &far), spread, &hit), false);
}

static void add_all(void)
{
	static const int counts[] = { 1, 10, 100, 1000 }, prefixes[] = { 1, 1000, 100000, 1000000 };
	struct spread_config anywhere4 = { 0, 1U << 20, 0 }, anywhere6 = { 0, 1U << 20, 1 };
	struct floor_bpf *floor = floor_bpf__open_and_load();
	int empty_fd = empty_program(), spread4, spread6;

	if (!floor)
		die("floor", errno);
	add("empty program", 0, empty_fd, 0, &nobody4);
	add("floor: parse, IPv4", 0, bpf_program__fd(floor->progs.floor_parse), 0, &nobody4);
	add("floor: parse, IPv6", 0, bpf_program__fd(floor->progs.floor_parse), 0, &nobody6);
	add("floor: parse and count, IPv4", 0, bpf_program__fd(floor->progs.floor_count), 0,
	    &nobody4);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		add_ports(counts[i]);
	for (size_t i = 1; i < ARRAY_SIZE(counts); i++)
		add_mixed(counts[i]);
	spread4 = add("random addresses, empty program, IPv4", 0,
		      spread_before(empty_fd, &anywhere4), n_contenders, &nobody4);
	spread6 = add("random addresses, empty program, IPv6", 0,
		      spread_before(empty_fd, &anywhere6), n_contenders, &nobody6);
	add("floor: parse, one line not in the cache", 0,
	    spread_before(bpf_program__fd(floor->progs.floor_cold), &anywhere4), spread4, &nobody4);
	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
			add_prefixes(prefixes[i], v6, v6 ? spread6 : spread4);
	}
}

/* --- output --- */

/* What one program is: instructions that the verifier went through, and sizes. */
static void print_programs(void)
{
	printf("\n%-34s %9s %9s %9s\n", "ctb_tc_ether", "verified", "xlated", "jited, B");
	for (int i = 0; i < n_tables; i++) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);

		if (bpf_obj_get_info_by_fd(ether_fd(i), &info, &len))
			die("program info", errno);
		printf("%-34s %9u %9u %9u\n", tables[i].name, info.verified_insns,
		       info.xlated_prog_len / 8, info.jited_prog_len);
	}
}

/* Beyond what does nothing, round by round, so that what slows a whole round is not in it. */
static double beyond(const struct contender *c, double *quartiles)
{
	double d[ROUNDS_MAX];

	for (int r = 0; r < rounds; r++)
		d[r] = c->ns[r] - contenders[c->empty].ns[r];
	qsort(d, (size_t)rounds, sizeof(d[0]), by_value);
	quartiles[0] = d[rounds / 4];
	quartiles[1] = d[3 * rounds / 4];
	return d[rounds / 2];
}

static double median(const struct contender *c)
{
	double d[ROUNDS_MAX];

	memcpy(d, c->ns, sizeof(d));
	qsort(d, (size_t)rounds, sizeof(d[0]), by_value);
	return d[rounds / 2];
}

static bool print_figures(void)
{
	bool missed = false;

	printf("%-48s %7s %7s  %-13s %s\n", "ns a packet", "all", "beyond", "  quartiles", "limit");
	for (int i = 0; i < n_contenders; i++) {
		const struct contender *c = &contenders[i];
		double q[2], ns = beyond(c, q);

		printf("%-48s %7.1f", c->name, median(c));
		if (c->empty != i)
			printf(" %7.1f  %5.1f - %5.1f", ns, q[0], q[1]);
		if (c->limit > 0) {
			printf("  %3.0f %s", c->limit, ns > c->limit ? "MISSED" : "ok");
			missed |= ns > c->limit;
		}
		printf("\n");
	}
	return missed;
}

int main(int argc, char **argv)
{
	bool programs_only = false, missed;
	__u32 mark;
	int opt;

	while ((opt = getopt(argc, argv, "m:qp")) != -1) {
		switch (opt) {
		case 'm':
			only = optarg;
			break;
		case 'q':
			rounds = ROUNDS_QUICK;
			break;
		case 'p':
			programs_only = true;
			break;
		default:
			fprintf(stderr, "usage: classify [-m TEXT] [-q] [-p]\n"
					"  -m  only rules and prefixes whose name contains this\n"
					"  -q  quick: fewer rounds\n"
					"  -p  only what the verifier says of the programs\n");
			return 2;
		}
	}
	add_all();
	if (programs_only) {
		print_programs();
		return 0;
	}
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < n_contenders; i++)
			contenders[i].ns[r] = run_once(&contenders[i], REPEAT, &mark);
	}
	printf("median of %d rounds of %d packets, and quartiles; beyond: beyond a program that does "
	       "nothing\n",
	       rounds, REPEAT);
	missed = print_figures();
	print_programs();
	return missed;
}
