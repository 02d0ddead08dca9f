// SPDX-License-Identifier: GPL-2.0-only
/*
 * The promised size: 1,024 rules, and sets of 1,000,000 prefixes of each family. Verdicts are
 * asserted at random and boundary addresses; time and memory are printed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "rig.h"

#define PREFIXES 1000000
#define PROBES	 500 /* the reference walks the whole set for each */

static struct host_if ifs[8];
static struct host host;
static struct prefix4 local4[] = { { 0x7f000000, 8 }, { 0xe0000000, 4 } };
static struct prefix6 local6[] = { { 0, 1, 128 }, { 0xff00000000000000, 0, 8 } };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static long peak_mb(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss >> 10;
}

static void start(void)
{
	size_t n = harness_init(ifs, ARRAY_SIZE(ifs));

	host = (struct host){ .ifs = ifs, .n_ifs = n };
	host.local.v4 = local4;
	host.local.n4 = ARRAY_SIZE(local4);
	host.local.v6 = local6;
	host.local.n6 = ARRAY_SIZE(local6);
}

/*
 * Mostly /24 and /48, many longer, few shorter: short ones would swallow the others. From a part of
 * the address space, so that many are neighbours or nested.
 */
static void print4(struct rng *r, FILE *f)
{
	unsigned int len = rng_below(r, 1000) == 0 ? 14 + rng_below(r, 9)
			   : rng_percent(r, 60)	   ? 24
						   : 25 + rng_below(r, 8);
	__u32 a = (__u32)(rng_next(r) * 3) & ~0U << (32 - len);

	fprintf(f, "%u.%u.%u.%u/%u\n", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, len);
}

static void print6(struct rng *r, FILE *f)
{
	unsigned int len = rng_below(r, 1000) == 0 ? 34 + rng_below(r, 14)
			   : rng_percent(r, 60)	   ? 48
						   : 49 + rng_below(r, 80);
	__u64 hi = 0x2000000000000000 | (rng_next(r) & 0x00003fffffffffff), lo = rng_next(r);

	if (len <= 64) {
		hi &= ~0ULL << (64 - len);
		lo = 0;
	} else if (len < 128) {
		lo &= ~0ULL << (128 - len);
	}
	fprintf(f, "%llx:%llx:%llx:%llx:%llx:%llx:%llx:%llx/%u\n", hi >> 48, hi >> 32 & 0xffff,
		hi >> 16 & 0xffff, hi & 0xffff, lo >> 48, lo >> 32 & 0xffff, lo >> 16 & 0xffff,
		lo & 0xffff, len);
}

static void write_set(const char *path, bool v4, bool v6)
{
	struct rng r = { 4711 };
	FILE *f = fopen(path, "w");
	size_t i;

	cr_assert(f, "%s: %s", path, strerror(errno));
	for (i = 0; i < PREFIXES && v4; i++)
		print4(&r, f);
	for (i = 0; i < PREFIXES && v6; i++)
		print6(&r, f);
	cr_assert_eq(fclose(f), 0);
}

static void put_number(__u64 v, unsigned int bytes, __u8 *out)
{
	unsigned int i;

	for (i = 0; i < bytes; i++)
		out[i] = v >> (8 * (bytes - 1 - i));
}

/* First and last address of a prefix, their outer neighbours, or anything. */
static void probe4(struct rng *r, const struct prefix_list *l, __u8 *out)
{
	struct prefix4 p = l->v4[rng_below(r, l->n4)];
	__u32 last = p.addr | (p.len == 32 ? 0 : ~0U >> p.len);
	__u32 at[] = { p.addr, last, p.addr - 1, last + 1, rng_next(r) };

	put_number(at[rng_below(r, ARRAY_SIZE(at))], 4, out);
}

static void probe6(struct rng *r, const struct prefix_list *l, __u8 *out)
{
	struct prefix6 p = l->v6[rng_below(r, l->n6)];
	__u64 last_hi = p.hi | (p.len < 64 ? ~0ULL >> p.len : 0);
	__u64 last_lo = p.lo | (p.len <= 64 ? ~0ULL : p.len == 128 ? 0 : ~0ULL >> (p.len - 64));
	struct {
		__u64 hi, lo;
	} at[] = {
		{ p.hi, p.lo },
		{ last_hi, last_lo },
		{ p.hi - (p.lo == 0), p.lo - 1 },
		{ last_hi + (last_lo == ~0ULL), last_lo + 1 },
		{ 0x2000000000000000 | (rng_next(r) & 0x00007fffffffffff), rng_next(r) },
	};
	unsigned int i = rng_below(r, ARRAY_SIZE(at));

	put_number(at[i].hi, 8, out);
	put_number(at[i].lo, 8, out + 8);
}

static void probe_packet(struct rng *r, const struct prefix_list *l, bool v6, struct packet *p)
{
	bool turned = rng_percent(r, 50);

	pkt_init(p);
	pkt_eth(p, false);
	if (v6) {
		struct pkt_ip6_args a = { .payload = PKT_AUTO,
					  .src = { 0x3f, 1 },
					  .dst = { 0x3f, 2 } };

		probe6(r, l, turned ? a.src : a.dst);
		pkt_ip6(p, &a);
	} else {
		struct pkt_ip4_args a = { .total = PKT_AUTO, .src = { 200, 1 }, .dst = { 200, 2 } };

		probe4(r, l, turned ? a.src : a.dst);
		pkt_ip4(p, &a);
	}
	pkt_udp(p, 999, 1000 + rng_below(r, 4), PKT_AUTO);
	pkt_end(p);
}

static void probe(struct rig *rig, const struct prefix_list *l, bool v6)
{
	unsigned int i, judged = 0;
	struct rng r = { 99 };
	struct ref_verdict v;
	struct packet p;
	char wrong[512];

	for (i = 0; i < PROBES; i++) {
		probe_packet(&r, l, v6, &p);
		cr_expect(!rig_packet(rig, &p, &ifs[1], NULL, 0, &v, wrong, sizeof(wrong)),
			  "probe %u: %s", i, wrong);
		judged += v.judged;
	}
	cr_expect(!rig_counters(rig, wrong, sizeof(wrong)), "%s", wrong);
	cr_expect_gt(judged, PROBES / 20, "%u judged", judged);
	cr_expect_lt(judged, PROBES - PROBES / 20, "%u judged", judged);
}

/* One set of PREFIXES prefixes a family in a file, and rules about it. */
static void run_set(const char *what, const char *rules, bool v4, bool v6)
{
	char dir[] = "/tmp/ctb-scale-XXXXXX", path[64];
	_strbuf_ struct strbuf text = {};
	_diag_ struct diag d = {};
	struct ruleset *rs = NULL;
	const struct prefix_list *l;
	double t0, t1, t2;
	struct rig rig;
	int err;

	start();
	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/set", dir);
	write_set(path, v4, v6);
	strbuf_addf(&text, "set big file \"set\"\n%s", rules);
	t0 = now();
	err = ruleset_parse_text("scale", dir, text.s, text.len, &rs, &d);
	t1 = now();
	unlink(path);
	rmdir(dir);
	cr_assert_eq(err, 0, "%s", d.text.s);
	cr_assert_eq(rig_make(&rig, rs, &host, HARNESS_TEST), 0);
	t2 = now();
	l = &rs->sets[0]->addrs;
	cr_expect_eq(harness_tables(rig.h)->config.flat4, v4, "the way that large sets take");
	fprintf(stderr,
		"scale: %s: %zu + %zu prefixes: parse %.2f s, compile and load %.2f s, process "
		"peak %ld MB, tables %.1f MB\n",
		what, l->n4, l->n6, t1 - t0, t2 - t1, peak_mb(),
		harness_table_bytes(rig.h) / 1048576.0);
	if (v4)
		probe(&rig, l, false);
	if (v6)
		probe(&rig, l, true);
	rig_free(&rig);
}

/* More than nft is given: such rules are about transit traffic, which all of this is. */
Test(scale, million_ipv4)
{
	run_set("IPv4",
		"notrack udp dport 1000 daddr @big\ntrack udp dport 1001 saddr @big daddr !local\n"
		"notrack daddr @big\n",
		true, false);
}

Test(scale, million_ipv6)
{
	run_set("IPv6",
		"notrack udp dport 1000 daddr @big\ntrack udp dport 1001 saddr @big daddr !local\n"
		"notrack daddr @big\n",
		false, true);
}

/* Where every address is a range of its own, the tables' search is as deep as it gets. */
Test(scale, every_other_address)
{
	char dir[] = "/tmp/ctb-scale-XXXXXX", path[64], wrong[512];
	static const char text[] = "set odd file \"set\"\nnotrack udp daddr @odd\n";
	_diag_ struct diag d = {};
	struct ruleset *rs = NULL;
	struct rng r = { 5 };
	struct ref_verdict v;
	struct rig rig;
	unsigned int i;
	FILE *f;

	start();
	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/set", dir);
	f = fopen(path, "w");
	cr_assert(f);
	/* A few before, so that the dense part does not begin with a page of the tables. */
	for (i = 0; i < 300; i++)
		fprintf(f, "10.0.%u.%u\n2001:db8:0:%x::%u\n", i / 100, i % 100 * 2, i, i);
	for (i = 0; i < 32768; i++)
		fprintf(f, "10.1.%u.%u\n2001:db8:1::%x\n", i >> 7, (i & 127) * 2 + 1, i * 2 + 1);
	for (i = 0; i < 9000; i++)
		fprintf(f, "10.2.%u.%u/31\n", i / 40, i % 40 * 6);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(ruleset_parse_text("scale", dir, text, strlen(text), &rs, &d), 0, "%s",
		     d.text.s);
	unlink(path);
	rmdir(dir);
	cr_assert_eq(rig_make(&rig, rs, &host, HARNESS_TEST), 0);
	for (i = 0; i < 3 * 65536; i += 1 + rng_below(&r, 40)) {
		struct pkt_ip4_args a4 = { .total = PKT_AUTO, .src = { 8 }, .dst = { 10 } };
		struct pkt_ip6_args a6 = { .payload = PKT_AUTO, .src = { 8 } };
		struct packet p;

		pkt_init(&p);
		pkt_eth(&p, false);
		put_number(0x0a000000 + i, 4, a4.dst);
		put_number(0x20010db800000000 | (__u64)(i >> 16) << 16, 8, a6.dst);
		put_number(i & 0xffff, 8, a6.dst + 8);
		if (i % 3)
			pkt_ip4(&p, &a4);
		else
			pkt_ip6(&p, &a6);
		pkt_udp(&p, 1, 2, PKT_AUTO);
		pkt_end(&p);
		cr_expect(!rig_packet(&rig, &p, &ifs[1], NULL, 0, &v, wrong, sizeof(wrong)),
			  "%#x: %s", i, wrong);
		if (i >> 16 == 1)
			cr_expect_eq(v.judged, i & 1, "%#x", i);
	}
	cr_expect(!rig_counters(&rig, wrong, sizeof(wrong)), "%s", wrong);
	rig_free(&rig);
}

/* With a thousand other rules on top. */
Test(scale, million_of_each_and_1024_rules)
{
	_strbuf_ struct strbuf rules = {};
	unsigned int i;

	for (i = 0; i < 340; i++) {
		strbuf_addf(&rules, "track tcp dport %u daddr 10.%u.%u.0/24\n", 2000 + i, i / 256,
			    i % 256);
		strbuf_addf(&rules, "notrack udp dport %u saddr 2001:db8:%x::/48\n", 3000 + i, i);
		strbuf_addf(&rules, "notrack { sctp, dccp } port %u-%u\n", 4000 + i, 4100 + i);
	}
	strbuf_addf(&rules, "notrack udp dport 1000 daddr @big\n"
			    "track udp dport 1001 saddr @big daddr !local\n"
			    "notrack udp dport 1002 saddr !@big daddr !@big\n"
			    "notrack udp port 1003 daddr @big\n");
	cr_assert_eq(rules.err, 0);
	run_set("both, 1,024 rules", rules.s, true, true);
}
