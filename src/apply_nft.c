// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nft half of a change of rules, and of a change between mark mode and direct mode (apply.c has
 * the order of things).
 *
 * Into direct mode, where BPF programs judge at both hooks and there is no table: the table gets
 * the new rules like any other change, then the programs take over. Until the output chain is
 * emptied, right after that, both judge what is sent, by the same rules and to the same end; nft
 * comes first, and the program does not count what it finds untracked. The prerouting chain stays
 * for packets that are on their way with a mark, for as long as a change takes to settle. Then its
 * counters are carried over to map rules_out, and the table goes.
 *
 * Back: the table is made, then the programs go. Again both judge for a moment.
 */
#include <errno.h>
#include <string.h>

#include "apply_nft.h"
#include "log.h"
#include "output_counts.h"

/* Is there work for the output chain? */
static bool wants_table(const struct hand_over *how)
{
	return how->output == HAND_OVER_MARK;
}

/* The bit for prerouting. */
static __u32 wanted_mark(const struct ruleset *rs, const struct hand_over *how)
{
	return how->ingress == HAND_OVER_MARK ? rs->mark : 0;
}

bool nft_half_wanted(const struct daemon *d)
{
	return wants_table(datapath_how(d->dp));
}

/* A number for fresh nft names: the generation to come, but never one that is taken. */
static __u32 nft_generation(const struct daemon *d)
{
	__u32 names = nft_state_generation(d->nft), dp = datapath_generation(d->dp);

	return (names > dp ? names : dp) + 1;
}

static int render(struct daemon *d, const struct live *l, __u32 mark, struct nft_plan *out,
		  char **error)
{
	int err = nft_render(&l->entries, &d->host, mark, nft_generation(d), d->nft, out);

	if (err == -EINVAL)
		return error_set(error, err, "an interface has a name that nft cannot be given");
	return err ? error_set(error, err, "rendering for nft: %s", strerror(-err)) : 0;
}

/* A transaction of ours, or, without a script, our table's removal; see nft_watch_pause(). */
static int change_nft(struct daemon *d, const char *script, char **words)
{
	int err, deaf;

	nft_watch_pause(d->nft_fd);
	err = script ? nft_run(script, false, words) : nft_remove(words);
	deaf = nft_watch_resume(d->nft_fd);
	if (deaf)
		log_warn("cannot watch nftables any more: %s", strerror(-deaf));
	d->own_nft = true;
	return err;
}

/* The transactions of a plan. Where it fails a table of an older build is as it was. */
static int run_plan(struct daemon *d, const struct nft_plan *plan, char **words)
{
	_free_ char *more = NULL;
	int err = 0;

	if (plan->older.before.len)
		err = change_nft(d, plan->older.before.s, words);
	if (err)
		return err;
	if (plan->script.len)
		err = change_nft(d, plan->script.s, words);
	if (err && plan->older.undo.len && change_nft(d, plan->older.undo.s, &more))
		log_warn("the older build's nft chains keep their new names: %s",
			 more ? more : "?");
	if (!err && plan->older.after && change_nft(d, plan->older.after, &more))
		log_warn("until its nft chains go, the older build's rules judge what is sent, "
			 "too: %s",
			 more ? more : "?");
	return err;
}

int nft_half_run(struct daemon *d, struct nft_plan *plan, char **error)
{
	_free_ char *words = NULL;
	int err;

	if (!plan->after)
		return 0;
	err = run_plan(d, plan, &words);
	if (err)
		return error_set(error, err, "nft refused the new table: %s",
				 words ? words : strerror(-err));
	nft_state_free(d->nft);
	d->nft = TAKE_PTR(plan->after);
	if (nft_state_leftovers(d->nft) && !d->settle_at)
		d->settle_at = now_ms() + SETTLE_MS;
	return 0;
}

/* Packets have long left what the last swap replaced. */
static void remove_leftovers(struct daemon *d)
{
	const char *script = nft_state_leftovers(d->nft);
	_free_ char *words = NULL;
	int err;

	if (!script)
		return;
	err = change_nft(d, script, &words);
	if (err)
		log_warn("cannot remove what the last change of rules replaced in nft: %s",
			 words ? words : strerror(-err));
	nft_state_settled(d->nft);
}

/* What it counted goes where the programs count. */
static int carry_counters(struct daemon *d)
{
	_free_ struct ctb_output_counters *c = calloc(CTB_MAX_RULES, sizeof(*c));
	int err = c ? output_counts_nft(d->live.rs, c) : -ENOMEM;

	for (__u32 i = 0; !err && i < CTB_MAX_RULES; i++)
		err = datapath_carry_output(d->dp, i, &c[i]);
	return err == -ENOENT ? 0 : err;
}

/* The table has nothing to do any more. */
static int remove_table(struct daemon *d, char **error)
{
	_free_ char *words = NULL;
	int err = carry_counters(d);

	if (err)
		log_warn("what nft counted is lost: %s", strerror(-err));
	err = change_nft(d, NULL, &words);
	if (err)
		return error_set(error, err, "table inet ctbypass cannot be removed: %s",
				 words ? words : strerror(-err));
	nft_state_free(d->nft);
	d->nft = NULL;
	d->nft_leaving = false;
	return 0;
}

int nft_half_prepare(struct daemon *d, const struct live *l, struct nft_plan *out, char **error)
{
	const struct hand_over *how = datapath_prepared_how(d->dp);
	int err = 0;

	if (!wants_table(how) && (!d->nft || d->nft_leaving))
		return 0;
	if (d->nft_leaving)
		err = remove_table(d, error);
	return err ? err
		   : render(d, l, nft_state_mark(d->nft) | wanted_mark(l->rs, how), out, error);
}

int nft_half_put_back(struct daemon *d, bool had_table)
{
	struct nft_plan plan = {};
	_free_ char *error = NULL;
	int err;

	if (d->live.rs && nft_half_wanted(d)) {
		err = render(d, &d->live, wanted_mark(d->live.rs, datapath_how(d->dp)), &plan,
			     &error);
		if (!err)
			err = nft_half_run(d, &plan, &error);
		nft_plan_free(&plan);
	} else if (!had_table) {
		err = nft_remove(&error);
		nft_state_free(d->nft);
		d->nft = NULL;
	} else {
		err = error_set(&error, -ENOENT, "nobody knows the previous daemon's rules");
	}
	if (err)
		log_err("cannot put the nft table back: %s", error ? error : strerror(-err));
	return err;
}

void nft_half_leave(struct daemon *d)
{
	_free_ char *words = NULL;
	int err;

	if (nft_half_wanted(d) || !d->nft || d->nft_leaving)
		return;
	err = change_nft(d, NFT_SILENCE, &words);
	if (err)
		log_warn("nft's output chain cannot be emptied: %s",
			 words ? words : strerror(-err));
	d->nft_leaving = true;
}

void nft_half_settle(struct daemon *d)
{
	__u32 mark = wanted_mark(d->live.rs, datapath_how(d->dp));
	struct nft_plan plan = {};
	_free_ char *error = NULL;

	if (d->nft_leaving) {
		if (remove_table(d, &error))
			log_err("%s", error ? error : "out of memory");
		return;
	}
	if (d->nft && nft_state_mark(d->nft) != mark &&
	    (render(d, &d->live, mark, &plan, &error) || nft_half_run(d, &plan, &error)))
		log_err("cannot let go of the old mark bit: %s", error ? error : "out of memory");
	nft_plan_free(&plan);
	remove_leftovers(d);
}

int nft_half_refresh(struct daemon *d, char **error)
{
	struct nft_plan plan = {};
	__u32 mark = nft_state_mark(d->nft) | wanted_mark(d->live.rs, datapath_how(d->dp));
	int err;

	if (!nft_half_wanted(d))
		return 0;
	err = render(d, &d->live, mark, &plan, error);
	if (!err)
		err = nft_half_run(d, &plan, error);
	nft_plan_free(&plan);
	return err;
}

int apply_restore_nft(struct daemon *d, char **error)
{
	_free_ char *words = NULL;
	int err;

	nft_state_free(d->nft);
	d->nft = NULL;
	/* Half of it may be left, without a chain that we need. */
	err = change_nft(d, NULL, &words);
	if (err)
		return error_set(error, err, "%s", words ? words : strerror(-err));
	return nft_half_refresh(d, error);
}

int apply_repair_nft(struct daemon *d, char **error)
{
	struct nft_state *found = NULL;

	if (nft_adopt(&found))
		return apply_restore_nft(d, error);
	nft_state_free(d->nft);
	d->nft = found;
	return nft_half_refresh(d, error);
}
