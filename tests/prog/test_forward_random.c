// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seeded rule sets, devices and packets through both programs of the forwarding path, against
 * reference and model.
 *
 *   CTB_PAIRS=N    pairs of packet and rule set (default 12,000; with CTB_LONG 500,000)
 *   CTB_SEED=N     another run (default 1)
 *   CTB_REPLAY=N   only the rule set that a failure names, with each packet's fate on stderr
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "forward_check.h"

#define PACKETS_PER_SET 500
#define SHOWN_MAX	5 /* mismatches that are printed in full */

struct tally {
	unsigned long pairs, sets, too_big, wrong, judged;
	unsigned long forwarded[2], fallen[2][CTB_FB_MAX], fragments;
	unsigned long left_by[LAB_DEVS];
};

static struct lab lab;
static struct harness_counts want;
static bool buffers; /* test runs know frames in several */

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

static void flip(struct rng *r, struct ctb_netdev *nd, unsigned int percent, unsigned int flag)
{
	if (rng_percent(r, percent))
		nd->flags ^= flag;
}

/* What the daemon says of the devices, and what they are, differ from set to set. */
static void make_devices(struct rng *r)
{
	enum lab_dev d;
	char path[64];

	lab_netdevs_default(&lab);
	for (d = LAB_IN; d < LAB_DEVS; d++) {
		struct ctb_netdev *nd = &lab.nd[d];

		flip(r, nd, 5, CTB_ND_IN);
		flip(r, nd, 7, CTB_ND_OUT);
		flip(r, nd, 20, CTB_ND_OUT_SG);
		flip(r, nd, 10, CTB_ND_XDP_IN);
		flip(r, nd, 20, CTB_ND_PARTIAL);
		flip(r, nd, 10, CTB_ND_RPF_STRICT);
		flip(r, nd, 10, CTB_ND_RPF_LOOSE);
		flip(r, nd, 2, CTB_ND_XFRM);
		flip(r, nd, 10, CTB_ND_NEXT_HOP);
		flip(r, nd, 10, CTB_ND_HASH6_L4);
		flip(r, nd, 20, CTB_ND_ERRORS4_UP);
		flip(r, nd, 20, CTB_ND_ERRORS6_UP);
		flip(r, nd, 4, CTB_ND_NO_FORWARD6);
		if (rng_percent(r, 20))
			nd->mtu = 1280 + rng_below(r, 40);
		if (rng_percent(r, 10))
			nd->route_mtu4 = 60 + rng_below(r, 1400);
		if (rng_percent(r, 10))
			nd->route_mtu6 = 60 + rng_below(r, 1400);
		if (rng_percent(r, 5))
			lab.egress[d] = false;
		if (lab.forwarding4[d] != !rng_percent(r, 3)) {
			lab.forwarding4[d] = !lab.forwarding4[d];
			snprintf(path, sizeof(path), "ipv4/conf/%s/forwarding", lab_names[d]);
			lab_sysctl(path, lab.forwarding4[d]);
		}
	}
}

/* Addresses that are special wherever they stand; IPv4 in the last four bytes. */
static const __u8 odd4[][4] = {
	{ 0, 0, 0, 0 },	    { 0, 1, 2, 3 },	{ 127, 0, 0, 1 },	{ 169, 254, 3, 4 },
	{ 224, 0, 0, 1 },   { 240, 1, 1, 1 },	{ 255, 255, 255, 255 }, { 255, 255, 255, 0 },
	{ 10, 2, 0, 1 },    { 10, 2, 0, 2 },	{ 10, 2, 0, 77 },	{ 10, 2, 0, 255 },
	{ 198, 18, 53, 1 }, { 198, 18, 55, 1 }, { 198, 18, 6, 1 },
};
static const __u8 odd6[][16] = {
	{ 0 },
	{ [15] = 1 },
	{ [15] = 2 },
	{ 0xfe, 0x80, [15] = 1 },
	{ 0xfe, 0xbf, [15] = 1 },
	{ 0xfe, 0xc0, [15] = 1 },
	{ 0xff, 0x02, [15] = 1 },
	{ [10] = 0xff, 0xff, 1, 2, 3, 4 },
	{ 0x20, 0x01, 0x0d, 0xb8, 0, 2, [15] = 1 },
	{ 0x20, 0x01, 0x0d, 0xb8, 0, 2, [15] = 2 },
	{ 0x20, 0x01, 0x0d, 0xb8, 0, 2, [15] = 9 },
	{ 0x20, 0x01, 0x0d, 0xb8, 0x0f, 0x55, [15] = 9 },
};

/* What the classifier does not look at, and routing does. */
static void make_transit(struct rng *r, struct packet *p, enum lab_dev in)
{
	__u8 *ip = p->data + p->l3;
	bool v6 = p->n_ip && p->ip[0].v6;

	if (memcmp(p->data, pkt_mac, 6) == 0)
		memcpy(p->data, lab.ifs[in].mac, 6);
	if (rng_percent(r, 2))
		p->data[0] |= 1;
	if (!p->n_ip || p->len < p->l3 + (v6 ? 40 : 20))
		return;
	if (rng_percent(r, 8))
		ip[v6 ? 7 : 8] = rng_below(r, 4);
	if (rng_percent(r, 4)) {
		unsigned int end = rng_below(r, 2);

		if (v6)
			memcpy(ip + 8 + 16 * end, odd6[rng_below(r, ARRAY_SIZE(odd6))], 16);
		else
			memcpy(ip + 12 + 4 * end, odd4[rng_below(r, ARRAY_SIZE(odd4))], 4);
	}
	ip[v6 ? 3 : 1] = rng_next(r);
	if (!v6)
		ip[5] = rng_next(r);
	if (rng_percent(r, 97))
		pkt_ip_sum(p);
	if (p->n_ip == 1 && rng_percent(r, 40) && (ip[v6 ? 6 : 9] == 6 || ip[v6 ? 6 : 9] == 17) &&
	    p->len >= p->l3 + 80 && (v6 ? ip[4] : ip[2]) == 0 && (v6 ? ip[5] : ip[3]) <= 80 &&
	    (v6 || ((ip[0] & 15) == 5 && ip[3] >= 40)))
		pkt_l4_sum(p, rng_percent(r, 50));
}

static bool may_be_gro(const struct packet *p)
{
	const __u8 *ip = p->data + p->l3;
	bool v6 = p->n_ip && p->ip[0].v6;

	if (!p->n_ip || p->len < p->l3 + 20)
		return false;
	if (ip[v6 ? 6 : 9] != 6 && ip[v6 ? 6 : 9] != 17)
		return false;
	return v6 || !((ip[6] << 8 | ip[7]) & 0x3fff);
}

static void count(struct tally *t, const struct model_result *m, const struct forward_seen *s,
		  bool xdp)
{
	if (s->forwarded) {
		t->forwarded[!xdp]++;
		t->left_by[m->dev]++;
		t->fragments += m->verdict.fragment;
	}
	if (s->reason >= 0)
		t->fallen[!xdp][s->reason]++;
	if (s->refresh)
		t->fallen[!xdp][CTB_FB_REFRESH]++;
}

static void report(struct tally *t, __u64 seed, unsigned int n, const char *text,
		   const struct lab_run *run, bool xdp, const char *wrong)
{
	struct packet p = { .len = run->len };
	char hex[3 * PKT_MAX];

	if (t->wrong++ >= SHOWN_MAX)
		return;
	memcpy(p.data, run->data, run->len);
	pkt_hexdump(&p, hex, sizeof(hex));
	cr_log_error("CTB_REPLAY=%" PRIu64 " packet %u by %s in %s (%zu bytes, linear %zu, gso %u, "
		     "push %#x, mark %#x): %s\n%s\n%s\nflags %#x mtu %u\n",
		     (uint64_t)seed, n, lab_names[run->in], xdp ? "XDP" : "tc", run->len,
		     run->linear, run->gso_size, run->push, run->mark, wrong, hex, text,
		     lab.nd[run->in].flags, lab.nd[run->in].mtu);
}

static void run_one(struct rng *r, const struct world *w, __u64 seed, unsigned int n,
		    const char *text, struct tally *t)
{
	static struct model_result m;
	const struct host_if *in;
	struct forward_seen seen;
	struct packet p;
	struct lab_run run = {};
	const char *wrong;
	char buf[512];

	do {
		make_packet(r, w, lab.rs, 10, &p, &in);
	} while (p.layer3 || p.len < 14);
	for (run.in = LAB_IN; lab.ifs[run.in].ifindex != in->ifindex; run.in++)
		;
	make_transit(r, &p, run.in);
	run.data = p.data;
	run.len = p.len;
	if (buffers && rng_percent(r, 8) && p.n_ip && !p.ip[0].v6 && p.len > 170)
		run.linear = 160 + rng_below(r, p.len - 160);
	t->pairs++;
	wrong = forward_check_xdp(&lab, &run, &m, &want, &seen, buf, sizeof(buf));
	if (wrong)
		report(t, seed, n, text, &run, true, wrong);
	count(t, &m, &seen, true);
	run.linear = 0;
	if (run.len < 54)
		return;
	run.mark = rng_percent(r, 80) ? 0 : rng_next(r);
	if (rng_percent(r, 10))
		run.mark = lab.rs->mark;
	if (rng_percent(r, 3))
		run.push = rng_next(r) & 0xf007;
	if (rng_percent(r, 5) && may_be_gro(&p))
		run.gso_size = rng_percent(r, 50) ? 500 : 1200 + rng_below(r, 300);
	wrong = forward_check_tc(&lab, &run, &m, &want, &seen, buf, sizeof(buf));
	if (wrong)
		report(t, seed, n, text, &run, false, wrong);
	count(t, &m, &seen, false);
	t->judged += m.verdict.judged;
	if (getenv("CTB_REPLAY"))
		fprintf(stderr, "%u: %s, %s\n", n, ref_verdict_text(&m.verdict, buf, sizeof(buf)),
			seen.forwarded	   ? lab_names[m.dev]
			: seen.reason >= 0 ? ref_fallback_names[seen.reason]
					   : "kernel");
}

static unsigned int how_many_rules(struct rng *r)
{
	if (rng_percent(r, 60))
		return 1 + rng_below(r, 12);
	return rng_percent(r, 80) ? 10 + rng_below(r, 60) : 100 + rng_below(r, 300);
}

static void run_set(__u64 seed, struct tally *t)
{
	_strbuf_ struct strbuf text = {};
	struct ruleset *rs = NULL;
	struct rng r = { seed };
	unsigned int refused, i;
	char wrong[256];
	struct world w;
	int err;

	cr_assert_eq(world_make(&r, lab.ifs + LAB_IN, LAB_DEVS - LAB_IN, &w), 0);
	w.forward = 85;
	cr_assert_eq(make_ruleset(&r, &w, how_many_rules(&r), &rs, &text, &refused), 0);
	if (getenv("CTB_REPLAY"))
		fprintf(stderr, "%s\n", text.s);
	make_devices(&r);
	t->sets++;
	memset(&want, 0, sizeof(want));
	err = lab_load(&lab, rs, &w.host.local);
	if (err == -E2BIG) {
		t->too_big++;
		world_free(&w);
		return;
	}
	cr_assert_eq(err, 0, "CTB_REPLAY=%" PRIu64 " does not load:\n%s", (uint64_t)seed, text.s);
	buffers = lab_takes(&lab, 100, 0);
	for (i = 0; i < PACKETS_PER_SET; i++)
		run_one(&r, &w, seed, i, text.s, t);
	if (forward_check_counters(&lab, &want, wrong, sizeof(wrong))) {
		t->wrong++;
		cr_log_error("CTB_REPLAY=%" PRIu64 ": %s\n%s", (uint64_t)seed, wrong, text.s);
	}
	lab_unload(&lab);
	world_free(&w);
}

static void print_tally(const struct tally *t, unsigned long seed)
{
	int hook, i;

	fprintf(stderr,
		"forward: seed %lu, %lu pairs, %lu rule sets (%lu too big), %lu mismatches, %lu "
		"judged\n",
		seed, t->pairs, t->sets, t->too_big, t->wrong, t->judged);
	for (hook = 0; hook < 2; hook++) {
		fprintf(stderr, "  %s: forwarded %lu;", hook ? "tc" : "XDP", t->forwarded[hook]);
		for (i = 0; i < CTB_FB_MAX; i++)
			fprintf(stderr, " %s %lu", ref_fallback_names[i], t->fallen[hook][i]);
		fprintf(stderr, "\n");
	}
	for (i = LAB_IN; i < LAB_DEVS; i++)
		fprintf(stderr, "  %s %lu", lab_names[i], t->left_by[i]);
	fprintf(stderr, ", first fragments %lu\n", t->fragments);
}

/* The run proves little where it did not go. */
static void check_tally(const struct tally *t)
{
	static const enum ctb_fallback rare[] = { CTB_FB_FAILED },
				       not_xdp[] = { CTB_FB_LOCAL, CTB_FB_FRAGMENT, CTB_FB_VLAN,
						     CTB_FB_MARK },
				       not_tc[] = { CTB_FB_MAC, CTB_FB_NO_XDP_OUT, CTB_FB_PARTIAL,
						    CTB_FB_REFRESH, CTB_FB_NO_NEIGHBOUR };
	bool skip[2][CTB_FB_MAX] = {};
	int hook, i;
	size_t k;

	for (k = 0; k < ARRAY_SIZE(rare); k++)
		skip[0][rare[k]] = skip[1][rare[k]] = true;
	for (k = 0; k < ARRAY_SIZE(not_xdp); k++)
		skip[0][not_xdp[k]] = true;
	for (k = 0; k < ARRAY_SIZE(not_tc); k++)
		skip[1][not_tc[k]] = true;
	for (hook = 0; hook < 2; hook++) {
		cr_expect_gt(t->forwarded[hook], t->pairs / 50, "hardly anything is forwarded");
		for (i = 0; i < CTB_FB_MAX; i++) {
			if (!skip[hook][i])
				cr_expect_gt(t->fallen[hook][i], t->pairs / 20000, "hardly any %s",
					     ref_fallback_names[i]);
		}
	}
	cr_expect_gt(t->fragments, 0, "no fragment is forwarded");
	for (i = LAB_IN; i < LAB_DEVS; i++) {
		if (i != LAB_OFF && i != LAB_V5)
			cr_expect_gt(t->left_by[i], 0, "nothing left by %s", lab_names[i]);
	}
}

Test(forward_random, programs_and_model)
{
	unsigned long pairs = env_number("CTB_PAIRS", getenv("CTB_LONG") ? 500000 : 12000),
		      seed = env_number("CTB_SEED", 1);
	struct rng r = { seed };
	struct tally t = {};

	lab_init(&lab, true);
	if (getenv("CTB_REPLAY")) {
		run_set(env_number("CTB_REPLAY", 0), &t);
	} else {
		while (t.pairs < pairs && t.wrong < SHOWN_MAX)
			run_set(rng_next(&r), &t);
	}
	print_tally(&t, seed);
	cr_expect_eq(t.wrong, 0, "%lu mismatches", t.wrong);
	if (!getenv("CTB_REPLAY") && !t.wrong)
		check_tally(&t);
}
