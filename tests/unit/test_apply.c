// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of things when rules change, and that a failure anywhere changes nothing: requests to
 * a daemon whose data plane, nft and conntrack are fakes that write down what is asked of them.
 * nft's text is rendered for real.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "daemon.h"

/* --- the fakes --- */

static struct strbuf trace; /* what was asked, in order, words separated by blanks */
static const char *fail_at; /* the word that is to fail */
static struct ctb_rule_info infos[CTB_MAX_RULES];
static __u32 generation, next_handle;
static struct journal_lines journal;
static __u64 journal_for;
static struct strbuf last_script;
static int sync_says;
static struct forward_plan *told; /* the plan that the data plane was given last */
static bool watching;
static struct route_if *routes;
/* How the next generation and the running one hand over, and what may be wished for. */
static struct hand_over next_how, how;
static enum hand_over_wish wish;
static struct ctb_output_counters carried[CTB_MAX_RULES];

static _printf_(1, 2) int note(const char *fmt, ...)
{
	char word[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(word, sizeof(word), fmt, ap);
	va_end(ap);
	strbuf_addf(&trace, "%s ", word);
	return fail_at && !strcmp(word, fail_at) ? -EIO : 0;
}

static int note_error(const char *word, char **error)
{
	int err = note("%s", word);

	*error = err ? strdup("fake failure") : NULL;
	return err;
}

static void hear(const struct forward_plan *plan)
{
	if (told)
		forward_plan_free(told);
	free(told);
	told = calloc(1, sizeof(*told));
	*told = (struct forward_plan){ .active = plan->active, .n_roles = plan->n_roles };
	told->roles = calloc(plan->n_roles + 1, sizeof(*told->roles));
	if (plan->n_roles)
		memcpy(told->roles, plan->roles, plan->n_roles * sizeof(*told->roles));
}

int datapath_prepare(struct datapath *dp, const struct compiled *c, const struct host *host,
		     const struct forward_plan *plan, char **error)
{
	(void)dp, (void)c, (void)host;
	hear(plan);
	return note_error("prepare", error);
}

int datapath_commit(struct datapath *dp, const struct host *host, const struct name_list *ifs,
		    const struct forward_plan *plan, char **error)
{
	int err = note_error("commit", error);

	(void)dp, (void)host, (void)ifs;
	hear(plan);
	generation += !err;
	if (!err)
		how = next_how;
	return err;
}

const struct hand_over *datapath_prepared_how(const struct datapath *dp)
{
	(void)dp;
	return &next_how;
}

const struct hand_over *datapath_how(const struct datapath *dp)
{
	(void)dp;
	return &how;
}

void datapath_set_hand_over(struct datapath *dp, enum hand_over_wish w, struct broker *broker)
{
	(void)dp, (void)broker;
	wish = w;
}

enum hand_over_wish datapath_hand_over_wish(const struct datapath *dp)
{
	(void)dp;
	return wish;
}

void datapath_settle(struct datapath *dp)
{
	(void)dp;
}

bool datapath_defers(void)
{
	return true;
}

int datapath_read_output(const struct datapath *dp, struct ctb_output_counters *out)
{
	(void)dp;
	memcpy(out, carried, sizeof(carried));
	return 0;
}

int datapath_carry_output(struct datapath *dp, __u32 slot, const struct ctb_output_counters *more)
{
	(void)dp;
	for (int i = 0; i < CTB_DIR_MAX; i++) {
		carried[slot].count[i].packets += more->count[i].packets;
		carried[slot].count[i].bytes += more->count[i].bytes;
	}
	return 0;
}

/* Nobody asks here; the real one would bring the data plane with it. */
int datapath_verify(const struct compiled *c, const struct host *host, char **error)
{
	(void)c, (void)host;
	return note_error("verify", error);
}

void datapath_abort(struct datapath *dp)
{
	(void)dp;
	note("abort");
}

int datapath_sync_interfaces(struct datapath *dp, const struct host *host,
			     const struct name_list *ifs, const struct forward_plan *plan,
			     char **error)
{
	int err = note_error("sync", error);

	(void)dp, (void)host, (void)ifs;
	hear(plan);
	return err ? err : sync_says;
}

const struct attachment *datapath_attachments(const struct datapath *dp, size_t *n)
{
	static const struct attachment a = { .ifindex = 7,
					     .name = "d0",
					     .why = "because",
					     .forward = FORWARD_TC,
					     .forward_why = "no driver",
					     .xdp_out = true };

	(void)dp;
	*n = 1;
	return &a;
}

bool datapath_wants(const struct host_if *h, const struct host *host, const struct name_list *names,
		    char *why, size_t size)
{
	(void)h, (void)host, (void)names, (void)why, (void)size;
	return true;
}

const char *attach_mode_name(enum attach_mode m)
{
	(void)m;
	return "none";
}

const char *forward_path_name(enum forward_path p)
{
	return p == FORWARD_TC ? "tc" : "?";
}

int daemon_watch_routing(struct daemon *daemon, bool on)
{
	int err = on == watching ? 0 : note(on ? "watch" : "unwatch");

	(void)daemon;
	if (!err)
		watching = on;
	return err;
}

int routing_watch_read(struct routing_watch *w, const struct host *host, struct routing *out)
{
	(void)w;
	cr_expect(watching, "read what nobody watches");
	*out = (struct routing){ .n_ifs = host->n_ifs };
	if (host->n_ifs) {
		out->ifs = calloc(host->n_ifs, sizeof(*out->ifs));
		memcpy(out->ifs, routes, host->n_ifs * sizeof(*out->ifs));
	}
	return note("routing");
}

void routing_free(struct routing *r)
{
	free(r->ifs);
}

const struct route_if *routing_find(const struct routing *r, int ifindex)
{
	for (size_t i = 0; i < r->n_ifs; i++) {
		if (r->ifs[i].ifindex == ifindex)
			return &r->ifs[i];
	}
	return NULL;
}

__u32 datapath_generation(const struct datapath *dp)
{
	(void)dp;
	return generation;
}

int datapath_read_rules(const struct datapath *dp, struct ctb_rule_counters *out)
{
	(void)dp;
	for (__u32 i = 0; i < CTB_MAX_RULES; i++)
		out[i].count[CTB_OUT_KERNEL][CTB_DIR_ORIG].packets = 1000 + i;
	for (int o = 0; o < CTB_OUTCOME_MAX; o++)
		out[2].count[o][CTB_DIR_REPLY].bytes = 1U << (4 * o);
	return 0;
}

int datapath_read_fallbacks(const struct datapath *dp, struct ctb_fallback_counters *out)
{
	(void)dp;
	out[CTB_FB_TTL] = (struct ctb_fallback_counters){ .to_tc = { 3, 300 }, .kernel = { 4, 5 } };
	return 0;
}

int datapath_read_reasons(const struct datapath *dp, struct ctb_count *out)
{
	(void)dp;
	out[CTB_R_NOT_IP].packets = 5;
	return 0;
}

__u32 datapath_next_handle(const struct datapath *dp)
{
	(void)dp;
	return next_handle;
}

int datapath_set_next_handle(struct datapath *dp, __u32 handle)
{
	(void)dp;
	next_handle = handle;
	return 0;
}

int datapath_zero_slot(struct datapath *dp, __u32 slot)
{
	(void)dp, (void)slot;
	return note("zero");
}

int datapath_read_info(const struct datapath *dp, struct ctb_rule_info *out)
{
	(void)dp;
	memcpy(out, infos, sizeof(infos));
	return 0;
}

int datapath_write_info(struct datapath *dp, __u32 slot, const struct ctb_rule_info *info)
{
	int err = note("info");

	(void)dp;
	if (!err)
		infos[slot] = *info;
	return err;
}

int datapath_journal_read(const struct datapath *dp, char ***lines, size_t *n, __u64 *config_hash)
{
	(void)dp;
	*lines = calloc(journal.n + 1, sizeof(**lines));
	for (size_t i = 0; i < journal.n; i++)
		(*lines)[i] = strdup(journal.v[i]);
	*n = journal.n;
	*config_hash = journal_for;
	return 0;
}

int datapath_journal_append(struct datapath *dp, const char *line)
{
	int err = note("journal");

	(void)dp;
	if (!err && !ARRAY_RESERVE(journal.v, journal.cap, journal.n + 1))
		journal.v[journal.n++] = strdup(line);
	return err;
}

int datapath_journal_reset(struct datapath *dp, __u64 config_hash)
{
	(void)dp;
	journal_lines_free(&journal);
	journal_for = config_hash;
	return note("reset");
}

int nft_run(const char *script, bool dry_run, char **error)
{
	cr_assert_not(dry_run);
	strbuf_free(&last_script);
	strbuf_addf(&last_script, "%s", script);
	return note_error("nft", error);
}

int nft_remove(char **error)
{
	return note_error("remove", error);
}

int nft_present(bool prerouting)
{
	(void)prerouting;
	return 1;
}

int nft_adopt(struct nft_state **out)
{
	*out = NULL;
	return note("adopt");
}

int nft_counters(struct nft_counter **out, size_t *n)
{
	*out = calloc(2, sizeof(**out));
	(*out)[0] = (struct nft_counter){ 2, CTB_DIR_REPLY, { 44, 4400 } };
	(*out)[1] = (struct nft_counter){ 0, CTB_DIR_ORIG, { 22, 2200 } };
	*n = 2;
	return 0;
}

int conntrack_usage(__u64 *count, __u64 *max)
{
	*count = 95;
	*max = 100;
	return 0;
}

int conntrack_sweep(const struct compiled *now, const struct compiled *before, const struct host *h,
		    struct conntrack_sweep *out)
{
	cr_assert_not_null(now);
	cr_assert_not_null(h);
	*out = (struct conntrack_sweep){ .seen = 9, .removed = 3, .nat = 0 };
	return note(before ? "sweep-both" : "sweep");
}

/* --- a daemon --- */

static struct daemon *d;
static char dir[] = "/tmp/ctb-apply-XXXXXX", config[64];

static void configure(const char *text)
{
	FILE *f = fopen(config, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

static void forget(void)
{
	strbuf_free(&trace);
	strbuf_addf(&trace, " ");
}

/* The reply to a request; caller decrefs. */
static json_t *ask(const char *line)
{
	char *reply = NULL;
	json_t *v;

	forget();
	daemon_request(d, line, strlen(line), &reply);
	cr_assert_not_null(reply);
	v = json_loads(reply, 0, NULL);
	cr_assert_not_null(v, "%s", reply);
	free(reply);
	return v;
}

static bool done(const char *line)
{
	json_t *v = ask(line);
	bool ok = json_is_true(json_object_get(v, "ok"));

	json_decref(v);
	return ok;
}

/* The reason of a refusal. */
static char *refused(const char *line)
{
	json_t *v = ask(line);
	const char *error = json_string_value(json_object_get(v, "error"));
	char *copy;

	cr_assert(json_is_false(json_object_get(v, "ok")), "not refused: %s", line);
	cr_assert_not_null(error);
	copy = strdup(error);
	json_decref(v);
	return copy;
}

static char *listed(void)
{
	struct strbuf b = {};

	ruleset_print(d->live.rs, true, &b);
	return b.s ? b.s : strdup("");
}

static void expect_trace(const char *want)
{
	cr_expect_str_eq(trace.s, want, "did:%s\nnot:%s", trace.s, want);
}

static void expect_host(const struct host *old, const char *want)
{
	_free_ char *error = NULL;

	forget();
	cr_expect_eq(apply_host(d, old, &error), 0, "%s", error);
	expect_trace(want);
}

#define FILE_TEXT "set web { 80 }\nnotrack udp dport 1\nnotrack tcp dport @web daddr local\n"

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(config, sizeof(config), "%s/c.conf", dir);
	configure(FILE_TEXT);
	d = calloc(1, sizeof(*d));
	d->opt.config = config;
	d->opt.pindir = "/none";
	slots_load(&d->slots, infos, 0);
	cr_assert(done("{\"cmd\":\"reload\"}"));
}

static void teardown(void)
{
	live_free(&d->live);
	nft_state_free(d->nft);
	host_free(&d->host);
	free(d->rule_warnings);
	free(d);
	if (told)
		forward_plan_free(told);
	free(told);
	strbuf_free(&trace);
	strbuf_free(&last_script);
	journal_lines_free(&journal);
	unlink(config);
	rmdir(dir);
}

TestSuite(apply, .init = setup, .fini = teardown);

/* --- order --- */

Test(apply, nft_before_the_programs_and_the_sweep_after_both)
{
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	expect_trace(" prepare zero info nft commit sweep-both journal ");
	cr_expect_neq(d->settle_at, 0);
	forget();
	apply_settle(d);
	expect_trace(" sweep nft "); /* nft: chains that packets may have been in */
	cr_expect_eq(d->settle_at, 0);
	forget();
	apply_settle(d);
	expect_trace(" sweep ");
}

Test(apply, rules_that_go_lose_their_place_after_the_swap)
{
	cr_assert(done("{\"cmd\":\"delete\",\"handle\":1}"));
	expect_trace(" prepare nft commit info sweep-both journal ");
	for (size_t i = 0; i < CTB_MAX_RULES; i++)
		cr_expect_neq(infos[i].handle, 1);
}

Test(apply, the_old_mark_is_let_go_of_later)
{
	configure("mark 0x100\n" FILE_TEXT);
	cr_assert(done("{\"cmd\":\"reload\"}"));
	expect_trace(" prepare nft commit sweep-both reset ");
	cr_expect_eq(nft_state_mark(d->nft), 0x140);
	cr_expect_not_null(strstr(last_script.s, "0x00000140"), "%s", last_script.s);
	/* Another change in between holds on to it. */
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	cr_expect_eq(nft_state_mark(d->nft), 0x140);
	forget();
	apply_settle(d);
	expect_trace(" sweep nft ");
	cr_expect_eq(nft_state_mark(d->nft), 0x100);
	cr_expect_not_null(strstr(last_script.s, "0x00000100"));
}

/* --- direct mode --- */

static void hand_over_by(enum hand_over_method ingress, enum hand_over_method output)
{
	next_how = (struct hand_over){
		.ingress = ingress, .output = output, .ingress_why = "so", .output_why = "so"
	};
}

static __u64 sent_by_rule_2(void)
{
	json_t *v = ask("{\"cmd\":\"stats\"}"),
	       *o = json_object_get(json_array_get(json_object_get(v, "rules"), 1), "output");
	__u64 n = (__u64)json_integer_value(
		json_object_get(json_object_get(o, "reply"), "packets"));

	json_decref(v);
	return n;
}

Test(apply, the_table_goes_when_programs_judge_everywhere)
{
	hand_over_by(HAND_OVER_DIRECT, HAND_OVER_DIRECT);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"direct\"}"));
	cr_expect_eq(wish, HAND_OVER_ONLY_DIRECT);
	/* The rules are the same, so nft has nothing to change; then its output chain is emptied.
	 */
	expect_trace(" prepare commit nft sweep-both ");
	cr_expect_str_eq(last_script.s, NFT_SILENCE);
	cr_expect_neq(nft_state_mark(d->nft), 0, "packets are on their way with a mark");
	/* No change of rules makes it speak again. */
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	expect_trace(" prepare zero info commit sweep-both journal ");
	forget();
	apply_settle(d);
	expect_trace(" sweep remove ");
	cr_expect_null(d->nft);
	cr_expect_eq(carried[d->live.rs->rules[1].slot].count[CTB_DIR_REPLY].packets, 44);
	cr_expect_eq(carried[CTB_SLOT_FAILSAFE].count[CTB_DIR_ORIG].bytes, 2200);
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack gre\"}"));
	expect_trace(" prepare zero info commit sweep-both journal ");
	cr_expect_not(nft_half_wanted(d));

	/* And back: the table is made before the programs go. */
	hand_over_by(HAND_OVER_MARK, HAND_OVER_MARK);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"mark\"}"));
	expect_trace(" prepare nft commit sweep-both ");
	cr_expect_not_null(strstr(last_script.s, "chain prerouting"));
	cr_expect_eq(nft_state_mark(d->nft), d->live.rs->mark);
	cr_expect_eq(sent_by_rule_2(), 44 + 44); /* what was carried over, and what nft has */
}

Test(apply, mark_mode_again_before_the_table_is_gone)
{
	hand_over_by(HAND_OVER_DIRECT, HAND_OVER_DIRECT);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"auto\"}"));
	hand_over_by(HAND_OVER_MARK, HAND_OVER_MARK);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"mark\"}"));
	expect_trace(" prepare remove nft commit sweep-both ");
	cr_expect_not(d->nft_leaving);
	cr_expect_not_null(strstr(last_script.s, "chain output"));
}

Test(apply, only_what_arrives_is_direct)
{
	hand_over_by(HAND_OVER_DIRECT, HAND_OVER_MARK);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"auto\"}"));
	expect_trace(" prepare commit sweep-both ");
	forget();
	apply_settle(d);
	expect_trace(" sweep nft ");
	cr_expect_not_null(strstr(last_script.s, "delete chain inet ctbypass prerouting"), "%s",
			   last_script.s);
	cr_expect_eq(nft_state_mark(d->nft), 0);
	cr_expect(nft_half_wanted(d));
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	expect_trace(" prepare zero info nft commit sweep-both journal ");
	cr_expect_null(strstr(last_script.s, "prerouting"), "%s", last_script.s);
}

Test(apply, a_method_that_is_not_to_be_had_changes_nothing)
{
	_free_ char *error = NULL;

	wish = HAND_OVER_AUTO;
	fail_at = "prepare";
	error = refused("{\"cmd\":\"hand-over\",\"method\":\"direct\"}");
	cr_expect_eq(wish, HAND_OVER_AUTO);
	expect_trace(" prepare abort ");
	fail_at = NULL;
	free(error);
	error = refused("{\"cmd\":\"hand-over\",\"method\":\"fast\"}");
	cr_expect_not_null(strstr(error, "auto, mark or direct"), "%s", error);
	expect_trace(" ");
}

/* --- failures --- */

static const struct {
	const char *at, *trace;
} failures[] = {
	{ "prepare", " prepare abort " },
	{ "zero", " prepare zero abort " },
	{ "info", " prepare zero info abort " },
	{ "nft", " prepare zero info nft info abort " },
	{ "commit", " prepare zero info nft commit nft info abort " },
};

Test(apply, a_failure_changes_nothing)
{
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack gre\"}"));
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		struct ctb_rule_info before[CTB_MAX_RULES];
		_free_ char *list = listed(), *after = NULL, *error = NULL;
		struct nft_plan plan = {};
		__u32 gen = generation;

		memcpy(before, infos, sizeof(before));
		fail_at = failures[i].at;
		error = refused("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}");
		expect_trace(failures[i].trace);
		after = listed();
		cr_expect_str_eq(after, list, "%s", fail_at);
		cr_expect_eq(generation, gen);
		cr_expect_eq(journal.n, 1);
		cr_expect_eq(d->changes, 1);
		cr_expect_eq(memcmp(before, infos, sizeof(before)), 0, "%s", fail_at);
		/* nft holds what it held. */
		cr_assert_eq(nft_render(&d->live.entries, &d->host, d->live.rs->mark,
					nft_state_generation(d->nft) + 1, d->nft, &plan),
			     0);
		cr_expect_eq(plan.script.len, 0, "%s: %s", fail_at, plan.script.s);
		nft_plan_free(&plan);
		fail_at = NULL;
	}
	/* And then it works, with a handle that none of the failures had. */
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	cr_expect_gt(d->live.rs->rules[3].handle, 4);
}

Test(apply, a_first_start_that_fails_takes_its_table_away)
{
	_free_ char *error = NULL;

	live_free(&d->live);
	nft_state_free(d->nft);
	d->nft = NULL;
	fail_at = "commit";
	error = refused("{\"cmd\":\"reload\"}");
	expect_trace(" prepare nft commit remove abort ");
	cr_expect_null(d->nft);
	fail_at = NULL;
}

/* --- forward --- */

Test(apply, forward_rules_are_planned_and_watched_while_there_are_any)
{
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	cr_expect_not(told->active);
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"forward udp dport 5\"}"));
	expect_trace(" watch routing prepare zero info nft commit sweep-both journal ");
	cr_expect(told->active);
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack gre\"}"));
	expect_trace(" routing prepare zero info nft commit sweep-both journal ");
	cr_assert(done("{\"cmd\":\"reload\"}"));
	expect_trace(" prepare nft commit info info info sweep-both unwatch reset ");
	cr_expect_not(told->active);
}

Test(apply, forward_that_fails_is_not_watched)
{
	static const struct {
		const char *at, *trace;
	} rows[] = {
		{ "watch", " watch abort " },
		{ "routing", " watch routing abort unwatch " },
		{ "prepare", " watch routing prepare abort unwatch " },
		{ "commit", " watch routing prepare zero info nft commit nft info abort unwatch " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_free_ char *error = NULL;

		fail_at = rows[i].at;
		error = refused("{\"cmd\":\"add\",\"text\":\"forward udp dport 5\"}");
		expect_trace(rows[i].trace);
		fail_at = NULL;
	}
	cr_expect_eq(d->live.rs->n_rules, 2);
}

/* What decides how this host forwards is nobody's but the kernel's: it is read at every event. */
Test(apply, forward_follows_routing)
{
	struct host same = {};

	cr_assert(done("{\"cmd\":\"add\",\"text\":\"forward udp dport 5\"}"));
	apply_settle(d);
	expect_host(&same, " routing sync ");
	cr_expect(told->active);
	sync_says = 1;
	expect_host(&same, " routing sync routing prepare commit sweep-both ");
	sync_says = 0;
	cr_assert(done("{\"cmd\":\"delete\",\"handle\":3}"));
	expect_host(&same, " ");
}

Test(apply, forward_can_do_without_xdp)
{
	struct host_if dev[] = { { .ifindex = 5,
				   .name = "d0",
				   .flags = IFF_UP,
				   .type = 1,
				   .mac = { 2, 1 },
				   .mtu = 1500 },
				 { .ifindex = 6,
				   .name = "d1",
				   .flags = IFF_UP,
				   .type = 1,
				   .mac = { 2, 2 },
				   .mtu = 1500 } };
	struct route_if facts[] = { { .ifindex = 5,
				      .forwarding4 = true,
				      .xdp_known = true,
				      .xdp_redirect = true,
				      .xdp_out = true },
				    { .ifindex = 6,
				      .forwarding4 = true,
				      .xdp_known = true,
				      .xdp_redirect = true,
				      .xdp_out = true } };

	d->host.ifs = dev;
	d->host.n_ifs = 2;
	routes = facts;
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"forward udp dport 5\"}"));
	cr_assert_eq(told->n_roles, 2);
	cr_expect(told->roles[0].xdp, "%s", told->roles[0].why_in);
	d->opt.no_xdp = true;
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"forward udp dport 6\"}"));
	cr_assert_eq(told->n_roles, 2);
	cr_expect_not(told->roles[0].xdp);
	cr_expect(told->roles[0].in);
	d->host.ifs = NULL;
	d->host.n_ifs = 0;
}

/* --- requests --- */

Test(apply, add_tells_the_handle_and_writes_the_rule_down)
{
	json_t *v = ask(
		"{\"cmd\":\"add\",\"text\":\"notrack  udp   dport 53 comment \\\"a b\\\"\"}");

	cr_expect_eq(json_integer_value(json_object_get(v, "handle")), 3);
	json_decref(v);
	cr_assert_eq(journal.n, 1);
	cr_expect_str_eq(journal.v[0], "add notrack udp dport 53 comment \"a b\"");
	cr_expect(d->live.rs->rules[2].runtime);
}

Test(apply, a_journal_that_takes_no_more_is_a_warning)
{
	json_t *v;

	fail_at = "journal";
	v = ask("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}");
	fail_at = NULL;
	cr_expect(json_is_true(json_object_get(v, "ok")));
	cr_expect_not_null(strstr(json_string_value(json_object_get(v, "warnings")), "forget"));
	cr_expect_eq(d->live.rs->n_rules, 3);
	json_decref(v);
}

Test(apply, delete_and_its_errors)
{
	_free_ char *error = refused("{\"cmd\":\"delete\",\"handle\":77}");

	expect_trace(" ");
	cr_expect_not_null(strstr(error, "77"));
	cr_assert(done("{\"cmd\":\"delete\",\"handle\":2}"));
	cr_assert_eq(journal.n, 1);
	cr_expect_str_eq(journal.v[0], "delete 2 # 1");
	free(error);
	error = refused("{\"cmd\":\"delete\",\"handle\":2}");
}

Test(apply, sets_change_and_errors_do_not)
{
	_free_ char *error = NULL;

	cr_assert(done("{\"cmd\":\"set-add\",\"name\":\"web\",\"elements\":[\"443\",\"8080\"]}"));
	cr_expect_str_eq(journal.v[0], "set add web 443 8080");
	cr_expect_eq(d->live.rs->sets[0]->ports.n, 3);
	error = refused("{\"cmd\":\"set-add\",\"name\":\"web\",\"elements\":[\"444\",\"443\"]}");
	cr_expect_eq(d->live.rs->sets[0]->ports.n, 3);
	expect_trace(" ");
	cr_assert(done("{\"cmd\":\"set-delete\",\"name\":\"web\",\"elements\":[\"80\"]}"));
	cr_expect_eq(d->live.rs->sets[0]->ports.n, 2);
	cr_expect_eq(journal.n, 2);
}

Test(apply, reload_goes_back_to_the_file_and_lists_what_it_drops)
{
	json_t *v, *dropped;

	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	cr_assert(done("{\"cmd\":\"delete\",\"handle\":1}"));
	v = ask("{\"cmd\":\"reload\"}");
	dropped = json_object_get(v, "dropped");
	cr_assert_eq(json_array_size(dropped), 2);
	cr_expect_str_eq(json_string_value(json_array_get(dropped, 0)), "add notrack icmp");
	cr_expect_eq(json_integer_value(json_object_get(v, "kept")), 1);
	cr_expect_eq(json_integer_value(json_object_get(v, "added")), 1);
	cr_expect_eq(json_integer_value(json_object_get(v, "removed")), 1);
	cr_expect_eq(journal.n, 0);
	cr_expect_eq(d->changes, 0);
	cr_expect_eq(d->live.rs->rules[1].handle, 2);
	cr_expect_eq(d->live.rs->rules[0].handle, 4);
	json_decref(v);
}

/* The parser counts handles from 1 in every file; they are not those of the rules in force. */
Test(apply, handles_of_the_file_mean_nothing)
{
	configure("notrack udp dport 1\nnotrack udp dport 2\nnotrack udp dport 1\n");
	cr_assert(done("{\"cmd\":\"reload\"}"));
	cr_assert_eq(d->live.rs->rules[1].handle, 3);
	cr_assert_eq(d->live.rs->rules[2].handle, 4);
	configure("notrack udp dport 9\nnotrack udp dport 2\nnotrack udp dport 8\n"
		  "notrack udp dport 1\n");
	cr_assert(done("{\"cmd\":\"reload\"}"));
	cr_expect_eq(d->live.rs->rules[3].handle, 1);
}

Test(apply, a_broken_file_is_not_loaded)
{
	_free_ char *list = listed(), *after = NULL, *error = NULL;

	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	free(list);
	list = listed();
	configure("notrack udp dprt 1\n");
	error = refused("{\"cmd\":\"reload\"}");
	expect_trace(" ");
	cr_expect_not_null(strstr(error, "c.conf:1:13:"), "%s", error);
	after = listed();
	cr_expect_str_eq(after, list);
	cr_expect_eq(journal.n, 1);
}

Test(apply, counters_find_their_rules)
{
	json_t *v = ask("{\"cmd\":\"stats\"}"), *rules = json_object_get(v, "rules"), *second;
	json_t *fallbacks;
	const char *name;
	json_int_t in, out, failsafe, all, xdp, tc;

	cr_assert_eq(json_array_size(rules), 2);
	second = json_array_get(rules, 1);
	cr_assert_eq(json_unpack(second, "{s:{s:{s:I}},s:{s:{s:I}}}", "receive", "original",
				 "packets", &in, "output", "reply", "packets", &out),
		     0);
	cr_expect_eq(in, 1000 + d->live.rs->rules[1].slot);
	cr_assert_eq(d->live.rs->rules[1].slot, 2);
	cr_assert_eq(json_unpack(second, "{s:{s:{s:I}},s:{s:{s:I}},s:{s:{s:I}}}", "receive",
				 "reply", "bytes", &all, "xdp", "reply", "bytes", &xdp, "tc",
				 "reply", "bytes", &tc),
		     0);
	cr_expect_eq(all, 0x111);
	cr_expect_eq(xdp, 0x10);
	cr_expect_eq(tc, 0x100);
	cr_expect_eq(out, 44);
	cr_assert_eq(json_unpack(v, "{s:{s:{s:{s:I}}}}", "failsafe", "output", "original",
				 "packets", &failsafe),
		     0);
	cr_expect_eq(failsafe, 22);
	cr_expect_eq(json_array_size(json_object_get(v, "reasons")), CTB_R_MAX);
	fallbacks = json_object_get(v, "fallbacks");
	cr_assert_eq(json_array_size(fallbacks), CTB_FB_MAX);
	cr_assert_eq(json_unpack(json_array_get(fallbacks, CTB_FB_TTL),
				 "{s:s,s:{s:I,s:I},s:{s:I,s:I}}", "name", &name, "to_tc", "packets",
				 &in, "bytes", &out, "kernel", "packets", &xdp, "bytes", &tc),
		     0);
	cr_expect_str_eq(name, "ttl");
	cr_expect(in == 3 && out == 300 && xdp == 4 && tc == 5);
	json_decref(v);
}

Test(apply, status_warns)
{
	const char *path, *why, *out_why;
	json_t *v, *warnings;
	_free_ char *all = NULL;
	int out;

	d->restored = 2;
	d->swept.nat = 4;
	d->swept.offloaded = 5;
	v = ask("{\"cmd\":\"status\"}");
	warnings = json_object_get(v, "warnings");
	all = json_dumps(warnings, 0);
	cr_expect_eq(json_array_size(warnings), 4, "%s", all);
	cr_expect_not_null(strstr(all, "flush ruleset"));
	cr_expect_not_null(strstr(all, "95 % full"));
	cr_expect_not_null(strstr(all, "4 flows with NAT"));
	cr_expect_not_null(strstr(all, "5 bypassed flows are in an nft flowtable"));
	cr_assert_eq(json_unpack(json_array_get(json_object_get(v, "interfaces"), 0),
				 "{s:s,s:s,s:b,s:s}", "forward", &path, "forward_why", &why,
				 "xdp_out", &out, "xdp_out_why", &out_why),
		     0);
	cr_expect_str_eq(path, "tc");
	cr_expect_str_eq(why, "no driver");
	cr_expect(out);
	cr_expect_str_eq(out_why, "");
	json_decref(v);
}

/* --- the host --- */

Test(apply, local_addresses)
{
	struct prefix4 one = { 0xc0000201, 32 };
	struct host old = {};

	d->host.local = (struct prefix_list){ .v4 = &one, .n4 = 1 };
	expect_host(&old, " prepare nft commit sweep-both ");
	expect_host(&d->host, " ");
	/* Without a rule that names them, they are nothing to the programs. */
	configure("notrack udp dport 1\n");
	cr_assert(done("{\"cmd\":\"reload\"}"));
	expect_host(&old, " sync ");
	d->host.local = (struct prefix_list){};
}

Test(apply, devices)
{
	struct host_if was = { .ifindex = 5, .name = "d0" }, is = { .ifindex = 5, .name = "e0" };
	struct host old = { .ifs = &was, .n_ifs = 1 };

	d->host.ifs = &is;
	d->host.n_ifs = 1;
	expect_host(&old, " sync ");
	sync_says = 1; /* these programs cannot serve it */
	expect_host(&old, " sync prepare commit sweep-both ");
	sync_says = 0;
	cr_assert(done(
		"{\"cmd\":\"add\",\"text\":\"notrack udp dport 9 daddr local iif \\\"e*\\\"\"}"));
	forget();
	apply_settle(d);
	{
		_free_ char *error = NULL;

		forget();
		cr_expect_eq(apply_host(d, &old, &error), 0);
		cr_expect_not_null(strstr(trace.s, " prepare "), "%s", trace.s);
	}
	/* It goes. */
	{
		struct host now = d->host;
		_free_ char *error = NULL;

		d->host = (struct host){};
		forget();
		cr_expect_eq(apply_host(d, &now, &error), 0);
		cr_expect_not_null(strstr(trace.s, " prepare "), "%s", trace.s);
		d->host = now;
	}
	/* A device that no rule names is only attached. */
	strcpy(is.name, "x0");
	strcpy(was.name, "y0");
	forget();
	{
		_free_ char *error = NULL;

		cr_expect_eq(apply_host(d, &old, &error), 0);
		cr_expect_null(strstr(trace.s, " prepare "), "%s", trace.s);
		cr_expect_not_null(strstr(trace.s, " sync "), "%s", trace.s);
	}
	d->host.ifs = NULL;
	d->host.n_ifs = 0;
}

Test(apply, a_failed_attempt_is_made_again_whole)
{
	d->must_apply = true;
	expect_host(&d->host, " prepare commit sweep-both ");
	cr_expect_not(d->must_apply);
}

Test(apply, a_lost_table_is_made_again)
{
	_free_ char *error = NULL;

	forget();
	cr_expect_eq(apply_restore_nft(d, &error), 0, "%s", error);
	expect_trace(" remove nft ");
	cr_expect_not_null(strstr(last_script.s, "chain prerouting"));
	cr_expect_not_null(strstr(last_script.s, "chain output"));
	cr_expect(d->own_nft);
}
