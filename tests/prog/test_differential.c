// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seeded rule sets and packets, of which a good part is hostile, through the reference and
 * everything that has to agree with it (rig.h).
 *
 *   CTB_PAIRS=N    pairs of packet and rule set (default 60,000; with CTB_LONG 1,000,000)
 *   CTB_SEED=N     another run (default 1)
 *   CTB_REPLAY=N   only the rule set that a failure names, with each packet's verdict on stderr
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "rig.h"

#define PACKETS_PER_SET 500
#define SHOWN_MAX	5 /* mismatches that are printed in full */

struct tally {
	unsigned long pairs, sets, rules, refused, too_big, wrong;
	unsigned long verdicts[CTB_DIR_MAX], failsafe, reasons[CTB_R_MAX], skipped;
	unsigned long fallbacks[CTB_FB_MAX], whole, by_port;
};

static struct host_if ifs[8];
static size_t n_ifs;

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);
	unsigned long v;
	char *end;

	if (!s)
		return otherwise;
	v = strtoul(s, &end, 0);
	cr_assert(*s && !*end, "%s=%s is not a number", name, s);
	return v;
}

/* A VLAN device on some interfaces, so that frames of it are left to it. */
static int add_vlans(struct rng *r, struct world *w)
{
	struct host *h = &w->host;
	struct host_if *i;
	unsigned int k, n = rng_below(r, 5);

	for (k = 0; k < n; k++) {
		if (ARRAY_RESERVE(h->ifs, h->cap_ifs, h->n_ifs + 1) < 0)
			return -ENOMEM;
		i = &h->ifs[h->n_ifs++];
		*i = (struct host_if){ .ifindex = 1000 + k,
				       .vid = 1 + rng_below(r, 7),
				       .kind = "vlan" };
		i->parent = h->ifs[rng_below(r, n_ifs)].ifindex;
		snprintf(i->name, sizeof(i->name), "vlan%u", k);
	}
	return 0;
}

static unsigned int how_many_rules(struct rng *r)
{
	if (rng_percent(r, 5))
		return 0;
	if (rng_percent(r, 60))
		return 1 + rng_below(r, 12);
	if (rng_percent(r, 80))
		return 10 + rng_below(r, 60);
	return 100 + rng_below(r, 500);
}

static void count(struct tally *t, const struct ref_verdict *v)
{
	t->pairs++;
	if (!v->judged)
		t->reasons[v->reason]++;
	else
		t->verdicts[v->dir]++;
	if (v->judged && !v->handle)
		t->failsafe++;
}

static void report(struct tally *t, __u64 seed, unsigned int n, const struct rig *rig,
		   const char *text, const struct packet *p, const struct host_if *in,
		   const char *wrong)
{
	char hex[3 * PKT_MAX];

	if (t->wrong++ >= SHOWN_MAX)
		return;
	pkt_hexdump(p, hex, sizeof(hex));
	cr_log_error("CTB_REPLAY=%" PRIu64
		     " packet %u by %s (%s, %zu bytes, IP at %zu): %s\n%s\n%s\n"
		     "local: %zu IPv4, %zu IPv6 prefixes\n",
		     (uint64_t)seed, n, in->name, p->layer3 ? "layer 3" : "Ethernet", p->len, p->l3,
		     wrong, hex, text, rig->host->local.n4, rig->host->local.n6);
}

static void run_packets(struct rig *rig, struct rng *r, const struct world *w, __u64 seed,
			const char *text, unsigned int n, struct tally *t)
{
	bool loud = getenv("CTB_REPLAY");
	const struct host_if *in;
	struct ref_verdict v;
	struct packet p;
	char wrong[512];
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct harness_extra x = {};

		make_packet(r, w, rig->rs, 25, &p, &in);
		if (rng_percent(r, 5))
			x.push = rng_next(r) & 0xf007;
		if (p.layer3 || !x.push)
			x.push = 0;
		if (rng_percent(r, 3))
			x.gso_size = 500;
		if (!harness_can(&p)) {
			t->skipped++;
			continue;
		}
		if (rig_packet(rig, &p, in, &x, rng_next(r), &v, wrong, sizeof(wrong)))
			report(t, seed, i, rig, text, &p, in, wrong);
		else if (loud)
			fprintf(stderr, "%u: %s\n", i, rig_verdict(&v, wrong, sizeof(wrong)));
		count(t, &v);
	}
	if (rig_counters(rig, wrong, sizeof(wrong)))
		report(t, seed, i, rig, text, &p, in, wrong);
	for (i = 0; i < CTB_FB_MAX; i++)
		t->fallbacks[i] += rig->want.fallbacks[i].kernel.packets;
	t->whole += rig->whole;
}

/* One rule set and its packets, all from one number. */
static void run_set(__u64 seed, unsigned int n_packets, struct tally *t)
{
	_strbuf_ struct strbuf text = {};
	struct ruleset *rs = NULL;
	struct rng r = { seed };
	unsigned int refused;
	struct world w;
	struct rig rig;
	int err;

	cr_assert_eq(world_make(&r, ifs, n_ifs, &w), 0);
	cr_assert_eq(add_vlans(&r, &w), 0);
	err = make_ruleset(&r, &w, how_many_rules(&r), &rs, &text, &refused);
	cr_assert_eq(err, 0, "CTB_REPLAY=%" PRIu64, (uint64_t)seed);
	if (getenv("CTB_REPLAY"))
		fprintf(stderr, "%s\n", text.s);
	t->sets++;
	t->rules += rs->n_rules;
	t->refused += refused;
	err = rig_make(&rig, rs, &w.host, HARNESS_TEST);
	if (err == -E2BIG) {
		t->too_big++;
	} else {
		cr_assert_eq(err, 0, "CTB_REPLAY=%" PRIu64 " does not load:\n%s", (uint64_t)seed,
			     text.s);
		t->by_port += harness_tables(rig.h)->config.proto_classes != 0;
		run_packets(&rig, &r, &w, seed, text.s, n_packets, t);
		rig_free(&rig);
	}
	world_free(&w);
}

static void print_tally(const struct tally *t, unsigned long seed)
{
	unsigned long judged = 0;
	unsigned int i;

	for (i = 0; i < CTB_DIR_MAX; i++)
		judged += t->verdicts[i];
	fprintf(stderr,
		"differential: seed %lu, %lu pairs, %lu rule sets, %lu rules (%lu refused by the "
		"parser, %lu sets too big), %lu mismatches\n  judged %lu:",
		seed, t->pairs, t->sets, t->rules, t->refused, t->too_big, t->wrong, judged);
	for (i = 0; i < CTB_DIR_MAX; i++)
		fprintf(stderr, " %s %lu", ref_dir_names[i], t->verdicts[i]);
	fprintf(stderr, " (failsafe %lu)\n ", t->failsafe);
	for (i = 0; i < CTB_R_MAX; i++)
		fprintf(stderr, " %s %lu", ref_reason_names[i], t->reasons[i]);
	fprintf(stderr, "\n  forward:");
	for (i = 0; i < CTB_FB_MAX; i++) {
		if (t->fallbacks[i])
			fprintf(stderr, " %s %lu", ref_fallback_names[i], t->fallbacks[i]);
	}
	fprintf(stderr, " (all fragments %lu)\n  rule sets with tables by port: %lu\n", t->whole,
		t->by_port);
}

Test(differential, bpf_and_reference)
{
	unsigned long pairs = env_number("CTB_PAIRS", getenv("CTB_LONG") ? 1000000 : 60000),
		      seed = env_number("CTB_SEED", 1);
	struct rng r = { seed };
	struct tally t = {};
	unsigned int i;

	n_ifs = harness_init(ifs, ARRAY_SIZE(ifs));
	if (getenv("CTB_REPLAY")) {
		run_set(env_number("CTB_REPLAY", 0), PACKETS_PER_SET, &t);
	} else {
		while (t.pairs < pairs && t.wrong < SHOWN_MAX)
			run_set(rng_next(&r), PACKETS_PER_SET, &t);
	}
	print_tally(&t, seed);
	cr_expect_eq(t.wrong, 0, "%lu mismatches", t.wrong);
	if (getenv("CTB_REPLAY") || t.wrong)
		return;
	/* The run proves little where it did not go. */
	for (i = 0; i < CTB_DIR_MAX; i++)
		cr_expect_gt(t.verdicts[i], t.pairs / 200, "hardly any %s", ref_dir_names[i]);
	for (i = 0; i < CTB_R_MAX; i++) {
		if (i != CTB_R_INTERNAL)
			cr_expect_gt(t.reasons[i], t.pairs / 5000, "hardly any %s",
				     ref_reason_names[i]);
	}
	cr_expect_gt(t.fallbacks[CTB_FB_LOCAL], t.pairs / 200, "hardly any local packet");
	cr_expect_gt(t.fallbacks[CTB_FB_DEVICE], t.pairs / 200, "hardly any forward rule");
	cr_expect_gt(t.fallbacks[CTB_FB_FRAGMENT], t.pairs / 2000, "hardly any fragment");
	cr_expect_gt(t.whole, t.pairs / 2000, "hardly any fragment by address only");
	cr_expect_gt(t.failsafe, t.pairs / 500, "hardly any failsafe");
	cr_expect_gt(t.by_port, t.sets / 50, "hardly any tables by port");
	cr_expect_lt(t.too_big, t.sets / 10, "most rule sets do not fit");
	cr_expect_lt(t.refused, t.rules / 2, "the parser takes hardly any rule");
}
