// SPDX-License-Identifier: GPL-2.0-only
/* Everything that loading would do, up to the last step, without taking it. */
#include <errno.h>
#include <string.h>

#include "advice.h"
#include "check_forward.h"
#include "client.h"
#include "commands.h"
#include "daemon.h"
#include "early_rules.h"
#include "feature.h"
#include "forward_plan.h"
#include "log.h"
#include "unload.h"

/* What was found, besides the diagnostics. */
struct findings {
	json_t *skipped;  /* names of parts that need root */
	json_t *warnings; /* about this host rather than the file */
	json_t *forward;  /* what `forward` rules mean here; NULL: there are none, or not root */
	char *error;
	bool quiet; /* -j: all of it is in the JSON, and nothing on stderr */
};

static void skip(struct findings *f, const char *what)
{
	if (!f->quiet)
		fprintf(stderr, "ctbypass: skipped, it needs root: %s\n", what);
	json_array_append_new(f->skipped, json_string(what));
}

static int try_bpf(const struct live *l, const struct host *host, struct findings *f)
{
	return datapath_verify(&l->compiled, host, &f->error);
}

static int try_nft(const struct live *l, const struct host *host, struct findings *f)
{
	_strbuf_ struct strbuf script = {};
	struct nft_state *now = NULL;
	struct nft_plan plan = {};
	int err = nft_adoptable() == 1 ? nft_adopt(&now) : 0;

	if (err) /* what a daemon would do then: start afresh; the kernel can only be asked so much
		  */
		now = NULL;
	err = nft_render(&l->entries, host, nft_state_mark(now) | l->rs->mark,
			 nft_state_generation(now) + 1, now, &plan);
	if (!err && plan.older.before.len) {
		/* Several transactions, of which only the first could be tried: make it anew. */
		strbuf_addf(&script, "delete table inet " NFT_TABLE "\n");
		nft_plan_free(&plan);
		err = nft_render(&l->entries, host, l->rs->mark, 1, NULL, &plan);
	}
	if (!err && plan.script.len) {
		strbuf_add(&script, plan.script.s, plan.script.len);
		err = script.err ? script.err : nft_run(script.s, true, &f->error);
	}
	nft_plan_free(&plan);
	nft_state_free(now);
	return err;
}

static void warn_text(void *arg, const char *s)
{
	struct findings *f = arg;

	if (!f->quiet)
		fprintf(stderr, "ctbypass: warning: %s\n", s);
	json_array_append_new(f->warnings, json_string(s));
}

static void survey(const struct live *l, const struct host *host, struct findings *f)
{
	struct conntrack_sweep s;
	_free_ char *text = NULL;
	int err = conntrack_survey(&l->compiled, host, &s);

	if (err || !s.nat)
		return;
	if (asprintf(
		    &text,
		    "%llu of the flows in the conntrack table have NAT and would be bypassed, which "
		    "breaks them; exempt them with a `track` rule",
		    (unsigned long long)s.nat) < 0) {
		text = NULL;
		return;
	}
	warn_text(f, text);
}

/* What a daemon would find here. */
static void advise_left(const struct args *a, struct findings *f)
{
	const char *words = unload_advice(a->pindir);

	if (words)
		warn_text(f, words);
}

static int build(const struct args *a, struct live *l, struct host *host, struct diag *diag)
{
	int err = ruleset_parse_file(a->config, &l->rs, diag);

	if (!err)
		err = host_read(host);
	if (!err)
		err = expand_ruleset(l->rs, &l->entries, diag);
	if (!err)
		err = compile(&l->entries, host, l->rs->mark, &l->compiled, diag);
	return err;
}

/* What is missing comes before the words of those who missed it. */
static void explain(const struct features *have, struct findings *f)
{
	_strbuf_ struct strbuf missing = {};

	if (!features_missing(have, &missing))
		return;
	strbuf_addf(&missing, "%s", f->error ? f->error : "");
	if (!missing.err)
		error_set(&f->error, 0, "missing here, and needed:\n%s", missing.s);
}

static int try_kernel(const struct args *a, const struct live *l, const struct host *host,
		      struct findings *f)
{
	struct features have = {};
	__u32 mark = l->rs->mark;
	int err;

	if (geteuid()) {
		skip(f, "BPF verification");
		skip(f, "nft dry run");
		skip(f, "conntrack survey");
		if (entries_forward(&l->entries))
			skip(f, "what forward rules skip, and how each interface forwards");
		return 0;
	}
	err = features_probe(a->pindir, false, &have);
	if (err)
		return err;
	if (have.f[FEATURE_UNTRACK_KFUNC].state == FEATURE_YES)
		mark = 0; /* direct mode */
	err = try_bpf(l, host, f);
	if (!err)
		err = try_nft(l, host, f);
	if (err)
		explain(&have, f);
	if (!err) {
		survey(l, host, f);
		advise_early_rules(&l->entries, l->rs, host, mark, warn_text, f);
		advise_early_filters(l->rs, host, mark, warn_text, f);
	}
	if (!err)
		err = check_forward(l, host, warn_text, f, &f->forward, &f->error);
	return err;
}

static int summary(const struct args *a, const struct live *l, const struct diag *diag,
		   const struct findings *f)
{
	json_t *sizes = report_sizes(l), *v;
	const char *key;
	int status = 0;

	if (!sizes)
		return command_fail("out of memory");
	json_object_set_new(sizes, "config", json_string(a->config));
	json_object_set_new(
		sizes, "warnings",
		json_integer((json_int_t)(diag->warnings + json_array_size(f->warnings))));
	json_object_set(sizes, "host_warnings", f->warnings);
	json_object_set(sizes, "skipped", f->skipped);
	json_object_set_new(sizes, "forward", f->forward ? json_incref(f->forward) : json_null());
	if (a->json) {
		json_object_set_new(sizes, "ok", json_true());
		if (diag->text.s)
			json_object_set_new(sizes, "diagnostics", json_string(diag->text.s));
		status = client_print_json(sizes);
	} else {
		printf("%s: fine\n", a->config);
		printf("rules %lld, entries %lld, sets %lld, prefixes %lld, warnings %lld\n",
		       json_integer_value(json_object_get(sizes, "rules")),
		       json_integer_value(json_object_get(sizes, "entries")),
		       json_integer_value(json_object_get(sizes, "sets")),
		       json_integer_value(json_object_get(sizes, "prefixes")),
		       json_integer_value(json_object_get(sizes, "warnings")));
		fputs("classes:", stdout);
		json_object_foreach (json_object_get(sizes, "classes"), key, v)
			printf(" %s %lld", key, json_integer_value(v));
		putchar('\n');
		check_forward_print(f->forward, a->verbose);
	}
	json_decref(sizes);
	return status;
}

static int fail_json(const struct diag *diag, const char *error)
{
	json_t *v = json_pack("{s:b,s:s?,s:s?}", "ok", 0, "diagnostics", diag->text.s, "error",
			      error);

	if (v)
		client_print_json(v);
	json_decref(v);
	return 1;
}

int cmd_check(const struct args *a)
{
	struct findings f = { .skipped = json_array(), .warnings = json_array(), .quiet = a->json };
	_diag_ struct diag diag = {};
	struct host host = {};
	struct live l = {};
	int err, status;

	log_init(a->verbose ? LOG_LVL_DEBUG : LOG_LVL_WARN);
	log_libbpf_init();
	err = build(a, &l, &host, &diag);
	if (diag.text.s && !a->json)
		fputs(diag.text.s, stderr);
	if (!err) {
		advise_interfaces(l.rs, &host, warn_text, &f);
		advise_bridges(l.rs, &host, warn_text, &f);
		advise_left(a, &f);
		advise_proxies(&l.entries, &host, warn_text, &f);
		err = try_kernel(a, &l, &host, &f);
	}
	if (err && !a->json && (f.error || !diag.errors))
		command_fail("%s", f.error ? f.error : strerror(-err));
	if (!err)
		status = summary(a, &l, &diag, &f);
	else
		status = a->json ? fail_json(&diag,
					     f.error || diag.errors ? f.error : strerror(-err))
				 : 1;
	live_free(&l);
	host_free(&host);
	json_decref(f.skipped);
	json_decref(f.warnings);
	json_decref(f.forward);
	free(f.error);
	return status;
}
