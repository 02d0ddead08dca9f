// SPDX-License-Identifier: GPL-2.0-only
/*
 * From one rule set in force to the next.
 *
 * Two things judge packets: the BPF program on every device (what arrives) and nft's output chain
 * (what this host sends). Each swaps atomically. A third, nft's prerouting chain, knows no rules:
 * it takes the mark bit to UNTRACKED. So a packet of a flow that both rule sets bypass is bypassed
 * by whichever of the two it meets, in any order of the swaps, as long as prerouting handles the
 * bit that the BPF program in force sets. Hence:
 *
 *  1. the nft transaction: output to the new rules, prerouting to the new bit and the old one
 *  2. the BPF programs
 *  3. a second later (apply_settle): prerouting to the new bit alone, and what nft's output chain
 *     left for packets that were in it goes
 *
 * nft first also means that nothing is ever marked that nobody unmarks (first start), and that
 * the step that is likelier to fail is the one that costs nothing to take back.
 *
 * Where rules say `forward`, XDP judges packets too, before tc. Its programs are swapped with step
 * 2, right after those of tc: first what can fail and be put back, then what cannot (XDP that
 * refuses is taken off, and tc forwards). For the packets any order would do. XDP either sends a
 * packet on, and then it alone has judged it, or passes it up untouched and uncounted, and then
 * tc judges it alone, without asking what XDP thought. So one rule set judges each packet, the old
 * one or the new; XDP never depends on what tc does behind it, and tc forwards by itself whatever
 * it is given. The tables of devices belong to each generation, and are filled before the swap.
 *
 * Flows that only one of the two rule sets bypasses are torn between 1 and 2, for milliseconds.
 * That a swap is under way is written down in map state: a daemon that dies in it leaves them torn
 * until the next one starts, which swaps again, or, if it cannot, silences both halves (unload.c).
 *  - a rule is added: what is sent is untracked, what arrives is tracked still. Entries made or
 *    kept alive by that are deleted by the sweep after 2, and by the one in step 3 for packets
 *    that were on their way. With 2 first, replies would make entries in the wrong direction
 *    instead, and a SYN-ACK without an entry is INVALID: worse.
 *  - a rule is deleted: what is sent is tracked first. Of a running flow that makes an entry that
 *    looks as if this host had begun it. The sweep after 2 deletes entries of flows that the old
 *    rules bypassed, once; the next packet makes a right one. Step 3 must not do it again: by then
 *    the entries are good ones.
 *  - the bit changes: nothing is torn. Packets marked with the old bit that wait (in a backlog, as
 *    fragments) are recognised until step 3.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "apply_nft.h"
#include "log.h"

void live_free(struct live *l)
{
	compiled_free(&l->compiled);
	entries_free(&l->entries);
	ruleset_free(l->rs);
	*l = (struct live){};
}

/* Everything about the next rule set, until it is in force or dropped. */
struct next {
	struct live live; /* rs is borrowed until the end */
	struct slot_plan *slots;
	struct nft_plan nft;
	struct forward_plan forward;
};

static void next_free(struct next *n)
{
	n->live.rs = NULL;
	live_free(&n->live);
	nft_plan_free(&n->nft);
	forward_plan_free(&n->forward);
	free(n->slots);
}
#define _next_ _cleanup_(next_free)

/* What each device can do for these rules. Watched before it is read, so that nothing is missed. */
static int plan_forward(struct daemon *d, const struct live *l, struct forward_plan *out,
			char **error)
{
	_cleanup_(routing_free) struct routing routing = {};
	int err = 0;

	if (entries_forward(&l->entries)) {
		err = daemon_watch_routing(d, true);
		if (!err)
			err = routing_watch_read(d->routing, &d->host, &routing);
	}
	if (!err)
		err = forward_plan_make(&l->entries, &d->host, &routing, &l->rs->interfaces,
					d->opt.no_xdp, out);
	if (!err) {
		routing_free(&d->facts);
		d->facts = routing;
		routing = (struct routing){};
	}
	return err ? error_set(error, err, "finding out how this host forwards: %s", strerror(-err))
		   : 0;
}

/* After a change, or one that failed: who is watched for nothing? */
static void settle_watch(struct daemon *d)
{
	if (!d->live.rs || !entries_forward(&d->live.entries))
		daemon_watch_routing(d, false);
}

static int build(struct daemon *d, struct next *n, struct diag *diag, char **error)
{
	struct ruleset *rs = n->live.rs;
	int err;

	n->slots = malloc(sizeof(*n->slots));
	if (!n->slots)
		return -ENOMEM;
	err = slots_assign(&d->slots, rs, n->slots);
	if (err == -E2BIG)
		return error_set(error, err, "%zu rules; there is room for %d", rs->n_rules,
				 CTB_MAX_RULES - 1);
	if (!err)
		err = expand_ruleset(rs, &n->live.entries, diag);
	if (!err)
		err = compile(&n->live.entries, &d->host, rs->mark, &n->live.compiled, diag);
	if (!err)
		err = plan_forward(d, &n->live, &n->forward, error);
	if (!err)
		err = datapath_prepare(d->dp, &n->live.compiled, &d->host, &n->forward, error);
	if (!err)
		err = nft_half_prepare(d, &n->live, &n->nft, error);
	return err;
}

static int write_info(struct daemon *d, const struct ctb_rule_info *info, const bool *which)
{
	int err = 0;

	for (__u32 i = 0; !err && i < CTB_MAX_RULES; i++) {
		if (which[i])
			err = datapath_write_info(d->dp, i, &info[i]);
	}
	return err;
}

/*
 * New rules get their slots, zeroed, before the swap and rules that go lose theirs after it: a
 * daemon that dies between finds every rule that may be counting.
 */
static int claim_slots(struct daemon *d, const struct slot_plan *p, char **error)
{
	int err = datapath_set_next_handle(d->dp, p->next_handle);

	for (__u32 i = 0; !err && i < CTB_MAX_RULES; i++) {
		if (p->fresh[i])
			err = datapath_zero_slot(d->dp, i);
	}
	if (!err)
		err = write_info(d, p->info, p->fresh);
	return err ? error_set(error, err, "writing the pinned maps: %s", strerror(-err)) : 0;
}

static void unclaim_slots(struct daemon *d, const struct slot_plan *p)
{
	/* Handles given out stay given out. */
	d->slots.next_handle = p->next_handle;
	if (write_info(d, d->slots.info, p->fresh))
		log_warn("cannot take back what was written to map rule_info");
}

static int swap(struct daemon *d, struct next *n, char **error)
{
	bool had_table = d->nft;
	int err = claim_slots(d, n->slots, error);

	if (err)
		goto abort;
	err = datapath_set_swapping(d->dp, true);
	if (err) {
		error_set(error, err, "writing the pinned maps: %s", strerror(-err));
		goto unclaim;
	}
	err = nft_half_run(d, &n->nft, error);
	if (err)
		goto whole;
	err = datapath_commit(d->dp, &d->host, &n->live.rs->interfaces, &n->forward, error);
	if (!err)
		return 0;
	if (!*error)
		error_set(error, err, "swapping the BPF programs: %s", strerror(-err));
	if (nft_half_put_back(d, had_table) || datapath_torn(d->dp)) {
		log_err("half of a change of rules can neither be made nor taken back: flows that "
			"it concerns may be bypassed in one direction only");
		/* Tried again soon, or silenced if this was a start. */
		d->must_apply = true;
		d->refresh_at = now_ms() + RETRY_MS;
		goto unclaim;
	}
whole:
	if (datapath_set_swapping(d->dp, false))
		log_warn("cannot take back what was written to map state");
unclaim:
	unclaim_slots(d, n->slots);
abort:
	datapath_abort(d->dp);
	return err;
}

/* One look at the conntrack table. before: rules that ended with this change; or NULL. */
static void sweep(struct daemon *d, const struct compiled *before, struct conntrack_sweep *out)
{
	struct conntrack_sweep s = {};
	int err = conntrack_sweep(&d->live.compiled, before, &d->host, &s);

	if (err && err != -ENOENT)
		log_warn("cannot go through the conntrack table: %s", strerror(-err));
	d->swept = s;
	if (out)
		*out = s;
}

static void remember_warnings(struct daemon *d, const struct diag *diag)
{
	free(d->rule_warnings);
	d->rule_warnings = diag->warnings && diag->text.s ? strdup(diag->text.s) : NULL;
}

int apply_ruleset(struct daemon *d, struct ruleset *rs, struct change *out, struct diag *diag,
		  char **error)
{
	_next_ struct next n = { .live.rs = rs };
	struct live old;
	int err = build(d, &n, diag, error);

	if (err) {
		datapath_abort(d->dp);
		settle_watch(d);
		if (!*error && !diag->errors)
			error_set(error, err, "%s", strerror(-err));
		return err;
	}
	err = swap(d, &n, error);
	if (err) {
		settle_watch(d);
		return err;
	}

	old = d->live;
	d->live = n.live;
	n.live = (struct live){};
	for (size_t i = 0; i < CTB_MAX_RULES; i++)
		n.slots->differs[i] = n.slots->differs[i] && !n.slots->fresh[i];
	if (write_info(d, n.slots->info, n.slots->differs))
		log_warn("cannot write map rule_info");
	slots_commit(&d->slots, n.slots);
	*out = (struct change){ .kept = n.slots->kept,
				.added = n.slots->added,
				.removed = n.slots->removed,
				.empty = !old.rs };
	nft_half_leave(d);
	sweep(d, old.rs ? &old.compiled : NULL, &out->swept);
	remember_warnings(d, diag);
	d->settle_at = now_ms() + SETTLE_MS;
	d->must_apply = false;
	/*
	 * Some drivers take XDP frames once a program is attached, and before 6.3 nothing says so:
	 * look again at what the devices can do.
	 */
	if (entries_forward(&d->live.entries) && !d->refresh_at)
		d->refresh_at = now_ms();
	settle_watch(d);
	live_free(&old);
	return 0;
}

int apply_again(struct daemon *d, char **error)
{
	struct ruleset *rs = ruleset_clone(d->live.rs);
	_diag_ struct diag diag = {};
	struct change done;
	int err;

	if (!rs)
		return -ENOMEM;
	err = apply_ruleset(d, rs, &done, &diag, error);
	if (err) {
		ruleset_free(rs);
		if (!*error)
			error_set(error, err, "%s", diag.text.s ? diag.text.s : strerror(-err));
	}
	return err;
}

void apply_settle(struct daemon *d)
{
	d->settle_at = 0;
	sweep(d, NULL, NULL);
	nft_half_settle(d);
	datapath_settle(d->dp);
}

/* --- the host --- */

static bool names_local(const struct addr_match *m)
{
	for (size_t i = 0; m && i < m->n; i++) {
		if (m->items[i].kind == ADDR_LOCAL)
			return true;
	}
	return false;
}

static bool uses_local(const struct entries *e)
{
	for (size_t i = 0; i < e->n; i++) {
		if (e->e[i].transit_only || names_local(e->e[i].src) || names_local(e->e[i].dst))
			return true;
	}
	return false;
}

/* Does some rule tell this device from others? */
static bool named_by_rule(const struct entries *e, const struct host_if *h)
{
	for (size_t i = 0; i < e->n; i++) {
		if (e->e[i].iif && name_list_has(e->e[i].iif, h->name))
			return true;
	}
	return false;
}

/* Is there a device in a that rules name and that b has not, or has by another name? */
static bool has_new_named(const struct entries *e, const struct host *a, const struct host *b)
{
	for (size_t i = 0; i < a->n_ifs; i++) {
		const struct host_if *other = host_find(b, a->ifs[i].ifindex);

		if ((!other || strcmp(other->name, a->ifs[i].name)) && named_by_rule(e, &a->ifs[i]))
			return true;
	}
	return false;
}

/* The programs in force, for a changed host. As datapath_sync_interfaces(). */
static int follow(struct daemon *d, char **error)
{
	struct forward_plan plan = {};
	int err = plan_forward(d, &d->live, &plan, error);

	if (!err)
		err = datapath_sync_interfaces(d->dp, &d->host, &d->live.rs->interfaces, &plan,
					       error);
	forward_plan_free(&plan);
	return err;
}

int apply_host(struct daemon *d, const struct host *old, char **error)
{
	const struct entries *e = &d->live.entries;
	bool local = !host_same_local(&d->host, old);
	bool devices = !host_same_interfaces(&d->host, old);
	int err = 0;

	if (d->must_apply || (local && uses_local(e)) || has_new_named(e, &d->host, old) ||
	    has_new_named(e, old, &d->host) || host_has_vrf(&d->host) != host_has_vrf(old))
		return apply_again(d, error);
	if (local || devices)
		err = nft_half_refresh(d, error);
	else if (!entries_forward(e))
		return 0;
	if (!err)
		err = follow(d, error);
	return err == 1 ? apply_again(d, error) : err;
}
