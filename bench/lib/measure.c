// SPDX-License-Identifier: GPL-2.0-only
/* Measuring a group: beds, rounds, and the checks without which a figure would be none. */
#include <linux/bpf.h>
#include <string.h>

#include "ctbypass/abi.h"
#include "groups.h"
#include "traffic.h"

#define BEDS_MAX      64
#define CLOCK_RUNS    100
#define CLOCK_PACKETS 3000 /* so few that a run may escape being interrupted */
#define CLOCK_ALL     0.95
#define NEW_STRIDE    0x9e3779b1
#define GROW_US	      1000000 /* a flowtable's hash grows in the background */

/* Packets in front of every measurement; in quick runs they would take longer than it does. */
static __u64 prime(void)
{
	return opt.quick && !opt.once ? 0 : 2048;
}

static struct bed *beds[BEDS_MAX];
static int n_beds;

static __u64 next_random(void)
{
	static __u64 state = 1;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33;
}

/* --- what must hold --- */

static void check_lost(const struct group *g, const struct row *r, __u64 lost, __u64 sent)
{
	if (lost <= sent / LOST_MAX)
		return;
	if (r->bed->daemon)
		daemon_explain(r->bed);
	die("%s: %s: %llu of %llu packets did not arrive as they should", g->name, row_text(g, r),
	    lost, sent);
}

static void expect_entries(const struct group *g, const struct row *r, unsigned long want)
{
	unsigned long got = bed_conntrack(r->bed);

	if (got != want)
		die("%s: %s, %s flows: %lu conntrack entries, expected %lu", g->name,
		    row_text(g, r), flows_name(r->scene.flows), got, want);
}

static void expect(const struct group *g, const struct row *r, const char *what, __u64 got,
		   __u64 want)
{
	if (got <= want + 8 && got + want / LOST_MAX + 8 >= want)
		return;
	if (r->bed->daemon)
		daemon_explain(r->bed);
	die("%s: %s: %llu packets %s, expected %llu", g->name, row_text(g, r), got, what, want);
}

/* Did ctbypass's rules see all that was sent, where they should? */
static void check_outcome(const struct group *g, const struct row *r)
{
	const struct bed *b = r->bed;
	const struct contender *c = r->scene.contender;
	__u64 want = r->scene.hit ? b->sent : 0;

	if (!c->word)
		return;
	if (r->scene.path == PATH_OUTPUT)
		expect(g, r, "judged by rules in OUTPUT", daemon_output(b), want);
	else
		expect(g, r, "counted by rules", daemon_outcome(b, c->outcome), want);
}

/* --- rows --- */

/* Entries that a round of new flows makes. */
static __u64 new_entries(const struct row *r)
{
	return (r->packets + prime()) * r->scene.cores;
}

static bool makes_new_entries(const struct row *r)
{
	return r->scene.flows == FLOWS_NEW && scene_entries(&r->scene) == ENTRIES_ALL;
}

static void traffic(struct row *r, __u64 stride)
{
	bed_traffic(r->bed, r->scene.flows, stride, r->scene.size);
}

static void send_checked(const struct group *g, struct row *r, __u64 packets)
{
	__u64 lost;

	bed_run(r->bed, packets, &lost);
	check_lost(g, r, lost, packets * r->scene.cores);
}

static bool has_table(const struct row *r)
{
	return scene_entries(&r->scene) == ENTRIES_ALL && r->scene.flows != FLOWS_NEW;
}

/* Every flow once, and again where only the second packet of a flow opens the way. */
static void fill_table(const struct group *g, struct row *r)
{
	__u64 each = r->scene.flows / r->scene.cores + 1000;

	send_checked(g, r, each);
	if (r->scene.contender->way == WAY_REDIRECT) {
		send_checked(g, r, each);
		usleep(GROW_US);
	}
	r->entries = r->scene.flows;
}

static void empty_table(struct row *r)
{
	bed_conntrack_flush(r->bed);
	r->entries = 0;
}

/* The first packet alone, so that it is no burst of one new tuple. */
static void warm_up(const struct group *g, struct row *r)
{
	r->entries = 0;
	traffic(r, 1);
	bed_rewind(r->bed);
	bed_verify(r->bed, true);
	send_checked(g, r, 1);
	if (has_table(r))
		fill_table(g, r);
	else
		send_checked(g, r, 1000);
	bed_verify(r->bed, false);
	if (r->alone)
		empty_table(r);
}

static int extra_program(const struct row *r)
{
	if (!strcmp(r->scene.extra, "empty"))
		return bed_xdp_empty();
	for (int i = 0; i < n_beds; i++) {
		if (!strcmp(beds[i]->scene.contender->name, r->scene.extra))
			return bed_xdp_program(beds[i]);
	}
	die("no bed whose XDP program could be taken");
}

/*
 * Where every packet is a new flow, a table is full of those that have not timed out. So it grows
 * to a million entries, if there may be so many, before it is emptied.
 */
static void make_room_for_new(struct row *r)
{
	__u64 room = conntrack_room(), most = room > FLOWS_1M ? FLOWS_1M : room;

	if (!r->rounds || r->entries + new_entries(r) > most)
		empty_table(r);
}

static double measure(const struct group *g, struct row *r)
{
	__u64 lost, forwarded;
	double ns;

	if (r->scene.extra)
		bed_xdp_put(r->bed, extra_program(r));
	/* New flows must stay so: the order of before, from where it had come to. */
	traffic(r, r->scene.flows == FLOWS_NEW ? NEW_STRIDE : next_random() | 1);
	if (makes_new_entries(r))
		make_room_for_new(r);
	if (r->alone)
		fill_table(g, r);
	if (prime())
		send_checked(g, r, prime());
	forwarded = bed_forwarded(r->bed);
	ns = bed_run(r->bed, r->packets, &lost);
	check_lost(g, r, lost, r->packets * r->scene.cores);
	r->forwarded += bed_forwarded(r->bed) - forwarded;
	if (makes_new_entries(r)) {
		r->entries += new_entries(r);
		expect_entries(g, r, (unsigned long)r->entries);
	}
	if (r->alone) {
		expect_entries(g, r, (unsigned long)r->entries);
		empty_table(r);
	}
	if (r->bed->overlap < r->overlap)
		r->overlap = r->bed->overlap;
	bed_xdp_take(r->bed);
	return ns;
}

/* --- phases --- */

/*
 * What has the same number of flows is measured together: the kernel has one conntrack table for
 * all namespaces, and with a million entries of one bed in it, the others' are found late.
 */
static bool in_phase(const struct row *r, __u64 flows)
{
	return !r->skipped && r->scene.flows == flows;
}

/* The first packets of a flow go by the stack, where a flowtable is what is around it. */
static bool way_known(const struct row *r)
{
	return r->scene.path == PATH_FORWARD &&
	       !(makes_new_entries(r) && r->scene.contender->way != WAY_STACK);
}

static void close_row(const struct group *g, struct row *r)
{
	enum way way = r->scene.hit ? r->scene.contender->way : WAY_STACK;

	expect_entries(g, r, (unsigned long)r->entries);
	if (way_known(r))
		expect(g, r, "forwarded by the kernel", r->forwarded,
		       way == WAY_STACK ? (__u64)r->rounds * r->packets * r->scene.cores : 0);
	check_outcome(g, r);
}

static void shuffle(int *order, int n)
{
	for (int i = n - 1; i > 0; i--) {
		int k = (int)(next_random() % (unsigned int)(i + 1)), was = order[i];

		order[i] = order[k];
		order[k] = was;
	}
}

static void run_rounds(struct group *g, int *order, int n)
{
	int rounds = opt.rounds * (opt.once || opt.quick ? 1 : 1 + g->more_rounds);

	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	for (int k = 0; k < rounds; k++) {
		/* Who runs in front leaves the caches as they are. */
		if (!opt.once)
			shuffle(order, n);
		for (int i = 0; i < n; i++) {
			struct row *r = &g->rows[order[i]];

			r->ns[r->rounds] = measure(g, r);
			r->rounds++;
		}
	}
}

/*
 * Where several have 64 k flows in the table they take turns there: who came first would stand
 * last in the chains of the hash. Of a million flows that would take too long.
 */
static void take_turns(struct group *g, __u64 flows)
{
	int tables = 0;

	for (int i = 0; i < g->n_rows; i++)
		tables += in_phase(&g->rows[i], flows) && has_table(&g->rows[i]);
	for (int i = 0; i < g->n_rows; i++)
		g->rows[i].alone = flows == FLOWS_64K && tables > 1 && has_table(&g->rows[i]);
}

static void run_phase(struct group *g, __u64 flows)
{
	int order[ROWS_MAX], n = 0;

	take_turns(g, flows);

	for (int i = 0; i < g->n_rows; i++) {
		if (!in_phase(&g->rows[i], flows))
			continue;
		warm_up(g, &g->rows[i]);
		order[n++] = i;
	}
	/* Found out before everything is measured for nothing, and again behind it. */
	for (int i = 0; i < n; i++)
		check_outcome(g, &g->rows[order[i]]);
	run_rounds(g, order, n);
	for (int i = 0; i < n; i++)
		close_row(g, &g->rows[order[i]]);
	for (int i = 0; i < n; i++) {
		if (scene_entries(&g->rows[order[i]].scene) == ENTRIES_ALL)
			bed_conntrack_flush(g->rows[order[i]].bed);
	}
}

/* --- beds --- */

static struct bed *bed_for(const struct scene *s)
{
	struct bed *b;

	for (int i = 0; i < n_beds; i++) {
		if (scene_same_bed(&beds[i]->scene, s))
			return beds[i];
	}
	b = calloc(1, sizeof(*b));
	if (!b || n_beds == BEDS_MAX)
		die("too many test beds");
	bed_make(b, s);
	beds[n_beds++] = b;
	return b;
}

static const char *no_room(const struct row *r)
{
	unsigned long need = (unsigned long)(makes_new_entries(r) ? new_entries(r)
								  : r->scene.flows);
	const char *why = NULL, *less;

	if (scene_entries(&r->scene) == ENTRIES_NONE)
		return NULL;
	/* As much as is there will do, too. */
	if (makes_new_entries(r) && !opt.quick && !opt.once)
		conntrack_make_room(FLOWS_1M, opt.leave_sysctls, &less);
	conntrack_make_room(need + 1000, opt.leave_sysctls, &why);
	return why;
}

static void prepare(struct row *r)
{
	r->packets = opt.packets;
	if (r->scene.contender->linear)
		r->packets /= 1 + r->scene.rules / 50;
	r->overlap = 1;
	if (!r->skipped)
		r->skipped = no_room(r);
	if (!r->skipped)
		r->bed = bed_for(&r->scene);
}

void group_measure(struct group *g)
{
	static const __u64 phases[] = { 1, FLOWS_64K, FLOWS_NEW, FLOWS_1M };

	for (int i = 0; i < g->n_rows; i++)
		prepare(&g->rows[i]);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		run_phase(g, phases[i]);
	while (n_beds > 0) {
		bed_free(beds[--n_beds]);
		free(beds[n_beds]);
	}
	for (int i = 0; i < g->n_rows; i++)
		g->rows[i].bed = NULL;
}

/*
 * Among some short runs there is one that nothing else interrupts: of that, CPU time has to see
 * all, or this kernel does not tell it.
 */
void judge_clock(void)
{
	struct scene s = {
		.contender = contender_find("none"),
		.feed = FEED_WIRE,
		.cores = 1,
		.hit = true,
	};
	double best = 0;
	struct bed b;
	__u64 lost;

	bed_make(&b, &s);
	for (int i = 0; i < CLOCK_RUNS && best < CLOCK_ALL; i++) {
		double cpu = bed_run(&b, CLOCK_PACKETS, &lost), share = cpu / b.plain_ns;

		if (!lost && share > best)
			best = share;
	}
	bed_free(&b);
	clock_judge(best);
}
