// SPDX-License-Identifier: GPL-2.0-only
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "apply_fakes.h"

struct apply_fakes fake;

static _printf_(1, 2) int note(const char *fmt, ...)
{
	char word[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(word, sizeof(word), fmt, ap);
	va_end(ap);
	strbuf_addf(&fake.trace, "%s ", word);
	return fake.fail_at && !strcmp(word, fake.fail_at) ? -EIO : 0;
}

static int note_error(const char *word, char **error)
{
	int err = note("%s", word);

	*error = err ? strdup("fake failure") : NULL;
	return err;
}

static void hear(const struct forward_plan *plan)
{
	if (fake.told)
		forward_plan_free(fake.told);
	free(fake.told);
	fake.told = calloc(1, sizeof(*fake.told));
	*fake.told = (struct forward_plan){ .active = plan->active, .n_roles = plan->n_roles };
	fake.told->roles = calloc(plan->n_roles + 1, sizeof(*fake.told->roles));
	if (plan->n_roles)
		memcpy(fake.told->roles, plan->roles, plan->n_roles * sizeof(*fake.told->roles));
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
	fake.generation += !err;
	cr_expect(fake.swapping, "a swap that nobody was told of");
	if (!err)
		fake.swapping = false;
	if (!err)
		fake.how = fake.next_how;
	return err;
}

bool datapath_torn(const struct datapath *dp)
{
	(void)dp;
	return fake.torn;
}

const struct hand_over *datapath_prepared_how(const struct datapath *dp)
{
	(void)dp;
	return &fake.next_how;
}

const struct hand_over *datapath_how(const struct datapath *dp)
{
	(void)dp;
	return &fake.how;
}

void datapath_set_hand_over(struct datapath *dp, enum hand_over_wish w, struct broker *broker)
{
	(void)dp, (void)broker;
	fake.wish = w;
}

enum hand_over_wish datapath_hand_over_wish(const struct datapath *dp)
{
	(void)dp;
	return fake.wish;
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
	memcpy(out, fake.carried, sizeof(fake.carried));
	return 0;
}

int datapath_carry_output(struct datapath *dp, __u32 slot, const struct ctb_output_counters *more)
{
	(void)dp;
	for (int i = 0; i < CTB_DIR_MAX; i++) {
		fake.carried[slot].count[i].packets += more->count[i].packets;
		fake.carried[slot].count[i].bytes += more->count[i].bytes;
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
	return err ? err : fake.sync_says;
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
	int err = on == fake.watching ? 0 : note(on ? "watch" : "unwatch");

	(void)daemon;
	if (!err)
		fake.watching = on;
	return err;
}

int routing_watch_read(struct routing_watch *w, const struct host *host, struct routing *out)
{
	(void)w;
	cr_expect(fake.watching, "read what nobody watches");
	*out = (struct routing){ .n_ifs = host->n_ifs };
	if (host->n_ifs) {
		out->ifs = calloc(host->n_ifs, sizeof(*out->ifs));
		memcpy(out->ifs, fake.routes, host->n_ifs * sizeof(*out->ifs));
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
	return fake.generation;
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
	return fake.next_handle;
}

int datapath_set_next_handle(struct datapath *dp, __u32 handle)
{
	(void)dp;
	fake.next_handle = handle;
	return 0;
}

/* Noted when it fails only: it is around every swap. */
int datapath_set_swapping(struct datapath *dp, bool swapping)
{
	int err = fake.fail_at && !strcmp(fake.fail_at, "swapping") ? note("swapping") : 0;

	(void)dp;
	if (!err)
		fake.swapping = swapping;
	return err;
}

int datapath_zero_slot(struct datapath *dp, __u32 slot)
{
	(void)dp, (void)slot;
	return note("zero");
}

int datapath_read_info(const struct datapath *dp, struct ctb_rule_info *out)
{
	(void)dp;
	memcpy(out, fake.infos, sizeof(fake.infos));
	return 0;
}

int datapath_write_info(struct datapath *dp, __u32 slot, const struct ctb_rule_info *info)
{
	int err = note("info");

	(void)dp;
	if (!err)
		fake.infos[slot] = *info;
	return err;
}

int datapath_journal_read(const struct datapath *dp, char ***lines, size_t *n, __u64 *config_hash)
{
	(void)dp;
	*lines = calloc(fake.journal.n + 1, sizeof(**lines));
	for (size_t i = 0; i < fake.journal.n; i++)
		(*lines)[i] = strdup(fake.journal.v[i]);
	*n = fake.journal.n;
	*config_hash = fake.journal_for;
	return 0;
}

int datapath_journal_append(struct datapath *dp, const char *line)
{
	int err = note("journal");

	(void)dp;
	if (!err && !ARRAY_RESERVE(fake.journal.v, fake.journal.cap, fake.journal.n + 1))
		fake.journal.v[fake.journal.n++] = strdup(line);
	return err;
}

int datapath_journal_reset(struct datapath *dp, __u64 config_hash)
{
	(void)dp;
	journal_lines_free(&fake.journal);
	fake.journal_for = config_hash;
	return note("reset");
}

int nft_run(const char *script, bool dry_run, char **error)
{
	cr_assert_not(dry_run);
	strbuf_free(&fake.last_script);
	strbuf_addf(&fake.last_script, "%s", script);
	if (fake.nft_fails && fake.nft_runs++ >= fake.nft_fails) {
		note_error("nft", error);
		*error = strdup("fake failure");
		return -EIO;
	}
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

struct daemon *d;
static char dir[] = "/tmp/ctb-apply-XXXXXX", config[64];

void configure(const char *text)
{
	FILE *f = fopen(config, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

void forget(void)
{
	strbuf_free(&fake.trace);
	strbuf_addf(&fake.trace, " ");
}

json_t *ask(const char *line)
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

bool done(const char *line)
{
	json_t *v = ask(line);
	bool ok = json_is_true(json_object_get(v, "ok"));

	json_decref(v);
	return ok;
}

char *refused(const char *line)
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

char *listed(void)
{
	struct strbuf b = {};

	ruleset_print(d->live.rs, true, &b);
	return b.s ? b.s : strdup("");
}

void expect_trace(const char *want)
{
	cr_expect_str_eq(fake.trace.s, want, "did:%s\nnot:%s", fake.trace.s, want);
}

void expect_host(const struct host *old, const char *want)
{
	_free_ char *error = NULL;

	forget();
	cr_expect_eq(apply_host(d, old, &error), 0, "%s", error);
	expect_trace(want);
}

void fake_setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(config, sizeof(config), "%s/c.conf", dir);
	configure(FILE_TEXT);
	d = calloc(1, sizeof(*d));
	d->opt.config = config;
	d->opt.pindir = "/none";
	slots_load(&d->slots, fake.infos, 0);
	cr_assert(done("{\"cmd\":\"reload\"}"));
}

void fake_teardown(void)
{
	live_free(&d->live);
	nft_state_free(d->nft);
	host_free(&d->host);
	free(d->rule_warnings);
	free(d);
	if (fake.told)
		forward_plan_free(fake.told);
	free(fake.told);
	strbuf_free(&fake.trace);
	strbuf_free(&fake.last_script);
	journal_lines_free(&fake.journal);
	unlink(config);
	rmdir(dir);
}
