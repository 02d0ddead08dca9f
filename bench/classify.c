// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tc program costs a packet, by bpf_prog_test_run, beyond a program that does nothing.
 * Contenders are interleaved in rounds in one process; the figure is the median of the rounds.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "datapath_load.h"
#include "tc.skel.h"

#define ROUNDS 31
#define REPEAT 200000
#define FRAME  64

struct contender {
	const char *name;
	double limit;	     /* ns beyond empty that the project asks for; 0: none */
	struct tc_bpf *skel; /* NULL: the empty program */
	int fd;
	unsigned char frame[128];
	size_t len;
	double ns[ROUNDS];
};

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

/* Ethernet, IPv4 or IPv6, UDP. Addresses and ports in host order; v6 only varies the low word. */
static void frame4(struct contender *c, __u32 src, __u32 dst, __u16 sport, __u16 dport)
{
	static const unsigned char head[] = { 0, 0,    0, 0, 0,		 0, 2, 0, 0, 0,	 0,  1, 8,
					      0, 0x45, 0, 0, FRAME - 14, 0, 1, 0, 0, 64, 17, 0, 0 };
	__u32 addr[2] = { htonl(src), htonl(dst) };
	__u16 udp[4] = { htons(sport), htons(dport), htons(FRAME - 34), 0 };

	memcpy(c->frame, head, sizeof(head));
	memcpy(c->frame + 26, addr, sizeof(addr));
	memcpy(c->frame + 34, udp, sizeof(udp));
	c->len = FRAME;
}

static void frame6(struct contender *c, __u64 src_hi, __u64 dst_hi, __u16 sport, __u16 dport)
{
	static const unsigned char head[] = { 0, 0,    0,    0,	   0, 0, 2, 0, 0,	   0,  0,
					      1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, FRAME - 54, 17, 64 };
	__u64 addr[4] = { htobe64(src_hi), htobe64(1), htobe64(dst_hi), htobe64(1) };
	__u16 udp[4] = { htons(sport), htons(dport), htons(FRAME - 54), 0 };

	memcpy(c->frame, head, sizeof(head));
	memcpy(c->frame + 22, addr, sizeof(addr));
	memcpy(c->frame + 54, udp, sizeof(udp));
	c->len = FRAME;
}

static struct tc_bpf *load_rules(const char *text, size_t len)
{
	_diag_ struct diag d = {};
	_ruleset_ struct ruleset *rs = NULL;
	struct entries entries = {};
	struct compiled compiled = {};
	struct host host = {};
	struct tc_bpf *skel;
	int err = ruleset_parse_text("bench", ".", text, len, &rs, &d);

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
	skel = tc_bpf__open();
	if (!skel)
		die("open", errno);
	err = load_configure(skel->obj, &compiled, NULL, 1);
	if (!err)
		err = tc_bpf__load(skel);
	if (!err)
		err = load_tables(skel->obj, &compiled, NULL);
	if (err)
		die("load (root?)", err);
	compiled_free(&compiled);
	entries_free(&entries);
	return skel;
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

static double run_once(const struct contender *c)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = c->frame, .data_size_in = (__u32)c->len,
		    .repeat = REPEAT);
	double start = now_ns();

	if (bpf_prog_test_run_opts(c->fd, &opts))
		die(c->name, errno);
	return (now_ns() - start) / REPEAT;
}

/* Did the packet meet a rule (mark set), as the scenario says? A figure for the wrong path is none.
 */
static void expect(const struct contender *c, bool hit)
{
	struct __sk_buff ctx = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = c->frame, .data_size_in = (__u32)c->len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .ctx_out = &ctx,
		    .ctx_size_out = sizeof(ctx));

	if (bpf_prog_test_run_opts(c->fd, &opts))
		die(c->name, errno);
	if ((ctx.mark != 0) != hit) {
		fprintf(stderr, "bench: %s: packet %s\n", c->name,
			hit ? "met no rule" : "met a rule");
		exit(1);
	}
}

static __u64 next_random(__u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

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
	__u64 state = 1;

	strbuf_addf(b, "set big {\n");
	for (int i = 0; i < n; i++) {
		__u32 r = (__u32)next_random(&state);

		if (v6)
			strbuf_addf(b, "2001:%x:%x::/48,\n", r >> 15 & 0xffff, r & 0x7fff);
		else
			strbuf_addf(b, "%u.%u.%u.0/24,\n", 1 + (r >> 16) % 223, r >> 8 & 255,
				    r & 255);
	}
	strbuf_addf(b, "%s }\nnotrack daddr @big\n", v6 ? "2001:db8:77::/48" : "203.0.113.0/24");
}

static struct tc_bpf *load_text(struct strbuf *b)
{
	struct tc_bpf *skel;

	if (b->err)
		die("rules", b->err);
	skel = load_rules(b->s, b->len);
	strbuf_free(b);
	*b = (struct strbuf){};
	return skel;
}

static void add(struct contender *c, const char *name, double limit, struct tc_bpf *skel)
{
	*c = (struct contender){ .name = name, .limit = limit, .skel = skel };
	c->fd = skel ? bpf_program__fd(skel->progs.ctb_tc_ether) : empty_program();
}

int main(void)
{
	static struct contender c[16];
	struct strbuf b = {};
	struct tc_bpf *ten, *mixed, *big4, *big6;
	size_t n = 0;
	bool missed = false;

	rules_ports(&b, 10);
	ten = load_text(&b);
	rules_mixed(&b, 1024);
	mixed = load_text(&b);
	rules_prefixes(&b, 1000000, false);
	big4 = load_text(&b);
	rules_prefixes(&b, 1000000, true);
	big6 = load_text(&b);

	add(&c[n], "empty program", 0, NULL);
	frame4(&c[n++], 1, 2, 3, 4);
	add(&c[n], "10 port rules, hit", 15, ten);
	frame4(&c[n], 0xc0000201, 0xc6336401, 40000, 8021);
	expect(&c[n++], true);
	add(&c[n], "10 port rules, no rule fits", 20, ten);
	frame4(&c[n], 0xc0000201, 0xc6336401, 40000, 9);
	expect(&c[n++], false);
	add(&c[n], "10 port rules, hit, IPv6", 0, ten);
	frame6(&c[n], 0x20010db800000000, 0x20010db800010000, 40000, 8021);
	expect(&c[n++], true);
	add(&c[n], "1,024 mixed rules, port", 40, mixed);
	frame4(&c[n], 0xc0000201, 0xc6336401, 40000, 10500);
	expect(&c[n++], true);
	add(&c[n], "1,024 mixed rules, prefix+port", 40, mixed);
	frame4(&c[n], 0xc0000201, 0x0a01f505, 40000, 20501);
	expect(&c[n++], true);
	add(&c[n], "1,024 mixed rules, no rule fits", 0, mixed);
	frame4(&c[n], 0xc0000201, 0xc6336401, 40000, 9);
	expect(&c[n++], false);
	add(&c[n], "1,000,000 IPv4 prefixes, hit", 60, big4);
	frame4(&c[n], 0xc0000201, 0xcb007107, 40000, 9);
	expect(&c[n++], true);
	add(&c[n], "1,000,000 IPv6 prefixes, hit", 0, big6);
	frame6(&c[n], 0x20010db800000000, 0x20010db800770000, 40000, 9);
	expect(&c[n++], true);

	for (int r = 0; r < ROUNDS; r++) {
		for (size_t i = 0; i < n; i++)
			c[i].ns[r] = run_once(&c[i]);
	}
	for (size_t i = 0; i < n; i++)
		qsort(c[i].ns, ROUNDS, sizeof(c[i].ns[0]), by_value);
	printf("%-34s %9s %9s %9s %9s %7s\n", "ns per packet (median of 31)", "median",
	       "quartile 1", "quartile 3", "beyond", "limit");
	for (size_t i = 0; i < n; i++) {
		double beyond = c[i].ns[ROUNDS / 2] - c[0].ns[ROUNDS / 2];

		printf("%-34s %9.1f %10.1f %10.1f %9.1f ", c[i].name, c[i].ns[ROUNDS / 2],
		       c[i].ns[ROUNDS / 4], c[i].ns[3 * ROUNDS / 4], beyond);
		if (c[i].limit > 0)
			printf("%6.0f%s", c[i].limit, beyond > c[i].limit ? " missed" : "");
		printf("\n");
		missed |= c[i].limit > 0 && beyond > c[i].limit;
	}
	return missed;
}
