// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>
#include "forward_check.h"

static void add_one(struct ctb_count *c, __u64 bytes)
{
	c->packets++;
	c->bytes += bytes;
}

static bool grew(const struct ctb_count *now, const struct ctb_count *before, __u64 packets,
		 __u64 bytes)
{
	return now->packets == before->packets + packets &&
	       now->bytes == before->bytes + packets * bytes;
}

/*
 * Which one reason was counted; -1: none; -2: anything else than one packet of this length, on
 * the right side. Adds it to *want.
 */
static int counted_reason(const struct lab *l, bool xdp, __u64 bytes, struct harness_counts *want)
{
	struct ctb_fallback_counters now[CTB_FB_MAX];
	int i, found = -1;

	if (harness_fallbacks(l->h, now) < 0)
		return -2;
	for (i = 0; i < CTB_FB_MAX; i++) {
		struct ctb_fallback_counters *w = &want->fallbacks[i];
		bool to_tc = now[i].to_tc.packets != w->to_tc.packets;
		bool kernel = now[i].kernel.packets != w->kernel.packets;

		if (!to_tc && !kernel)
			continue;
		if (found != -1 || !grew(&now[i].to_tc, &w->to_tc, xdp, bytes) ||
		    !grew(&now[i].kernel, &w->kernel, !xdp, bytes))
			return -2;
		*w = now[i];
		found = i;
	}
	return found;
}

static const char *reason_name(int reason)
{
	return reason >= 0 ? ref_fallback_names[reason] : reason == -1 ? "none" : "several or odd";
}

static const char *compare_bytes(const __u8 *want, size_t want_len, const __u8 *got, size_t len,
				 size_t from, char *buf, size_t size)
{
	size_t i;

	if (want_len != len) {
		snprintf(buf, size, "%zu bytes come out, not %zu", len, want_len);
		return buf;
	}
	for (i = from; i < len; i++) {
		if (want[i] != got[i]) {
			snprintf(buf, size, "byte %zu of %zu is %02x, not %02x", i, len, got[i],
				 want[i]);
			return buf;
		}
	}
	return NULL;
}

static const char *unexpected(const struct model_result *m, const char *did, int reason, char *buf,
			      size_t size)
{
	char reasons[256], text[96];

	model_reasons(m->reasons, reasons, sizeof(reasons));
	snprintf(buf, size, "model: %s (%s) of %s; program: %s (%s)",
		 m->fate == MODEL_FORWARDED ? "forwarded"
		 : m->fate == MODEL_FALLEN  ? "not forwarded"
					    : "passed",
		 reasons, ref_verdict_text(&m->verdict, text, sizeof(text)), did,
		 reason_name(reason));
	return buf;
}

static struct ctb_count *rule_count(struct lab *l, struct harness_counts *want,
				    const struct ref_verdict *v, enum ctb_outcome o)
{
	return &want->rules[harness_slot(l->h, v->handle)].count[o][v->dir];
}

const char *forward_check_xdp(struct lab *l, struct lab_run *r, struct model_result *m,
			      struct harness_counts *want, struct forward_seen *seen, char *buf,
			      size_t size)
{
	__u64 allowed;
	int err;

	memset(seen, 0, sizeof(*seen));
	model_xdp(l, r, m);
	allowed = m->reasons;
	/* The devmap is asked last. */
	if (m->fate == MODEL_FORWARDED || m->reasons == 1ULL << CTB_FB_NO_XDP_OUT)
		allowed |= 1ULL << CTB_FB_REFRESH;
again:
	err = lab_run_xdp(l, r);
	if (err) {
		snprintf(buf, size, "test run: %s", strerror(-err));
		return buf;
	}
	seen->reason = counted_reason(l, true, m->verdict.bytes, want);
	seen->forwarded = r->action == XDP_REDIRECT;
	if (r->action != XDP_REDIRECT && r->action != XDP_PASS)
		return unexpected(m, "some other action", seen->reason, buf, size);
	if (seen->reason < -1 || (seen->reason >= 0 && !(allowed >> seen->reason & 1)) ||
	    (seen->reason >= 0 && seen->forwarded) ||
	    (seen->reason < 0 && !seen->forwarded && m->fate != MODEL_PASSED) ||
	    (seen->forwarded && m->fate != MODEL_FORWARDED))
		return unexpected(m, seen->forwarded ? "forwarded" : "passed", seen->reason, buf,
				  size);
	if (seen->forwarded) {
		add_one(rule_count(l, want, &m->verdict, CTB_OUT_XDP), m->verdict.bytes);
		return compare_bytes(m->out, m->out_len, r->back, r->back_len, 0, buf, size);
	}
	if (compare_bytes(r->data, r->len, r->back, r->back_len, 0, buf, size))
		return buf;
	/* The same neighbour is not refreshed twice in a row. */
	if (seen->reason == CTB_FB_REFRESH && !seen->refresh) {
		seen->refresh = true;
		goto again;
	}
	if (seen->reason == CTB_FB_REFRESH)
		return unexpected(m, "again and again", seen->reason, buf, size);
	return NULL;
}

static const char *check_tc_kernel(struct lab *l, const struct lab_run *r,
				   const struct model_result *m, struct harness_counts *want,
				   char *buf, size_t size)
{
	const struct ref_verdict *v = &m->verdict;
	__u32 mark = r->mark & ~l->rs->mark;

	if (v->judged && v->action != CTB_TRACK)
		mark |= l->rs->mark;
	if (v->judged)
		add_one(rule_count(l, want, v, CTB_OUT_KERNEL), v->bytes);
	else
		add_one(&want->reasons[v->reason], v->has_bytes ? v->bytes : r->len);
	if (r->mark_after != mark) {
		snprintf(buf, size, "mark %#x became %#x, not %#x", r->mark, r->mark_after, mark);
		return buf;
	}
	return compare_bytes(r->data, r->len, r->back, r->back_len, 0, buf, size);
}

const char *forward_check_tc(struct lab *l, struct lab_run *r, struct model_result *m,
			     struct harness_counts *want, struct forward_seen *seen, char *buf,
			     size_t size)
{
	bool kernel;
	int err;

	memset(seen, 0, sizeof(*seen));
	model_tc(l, r, m);
	err = lab_run_tc(l, r);
	if (err) {
		snprintf(buf, size, "test run: %s", strerror(-err));
		return buf;
	}
	kernel = r->action == (__u32)TC_ACT_UNSPEC;
	seen->forwarded = r->action == TC_ACT_REDIRECT;
	seen->reason = counted_reason(l, false, m->verdict.bytes, want);
	if (!kernel && !seen->forwarded)
		return unexpected(m, "some other action", seen->reason, buf, size);
	if (seen->forwarded != (m->fate == MODEL_FORWARDED) || seen->reason < -1 ||
	    (seen->reason >= 0) != (m->fate == MODEL_FALLEN) ||
	    (seen->reason >= 0 && !(m->reasons >> seen->reason & 1)))
		return unexpected(m, kernel ? "left" : "forwarded", seen->reason, buf, size);
	if (kernel)
		return check_tc_kernel(l, r, m, want, buf, size);
	add_one(rule_count(l, want, &m->verdict, CTB_OUT_TC), m->verdict.bytes);
	if (r->mark_after != (r->mark & ~l->rs->mark)) {
		snprintf(buf, size, "forwarded with mark %#x", r->mark_after);
		return buf;
	}
	return compare_bytes(m->out, m->out_len, r->back, r->back_len, m->no_neigh ? 12 : 0, buf,
			     size);
}

static const char *differ(const char *what, size_t i, const struct ctb_count *w,
			  const struct ctb_count *g, char *buf, size_t size)
{
	if (w->packets == g->packets && w->bytes == g->bytes)
		return NULL;
	snprintf(buf, size, "%s %zu: %llu packets %llu bytes expected, %llu and %llu counted", what,
		 i, w->packets, w->bytes, g->packets, g->bytes);
	return buf;
}

const char *forward_check_counters(const struct lab *l, const struct harness_counts *want,
				   char *buf, size_t size)
{
	_free_ struct harness_counts *got = malloc(sizeof(*got));
	const char *wrong = NULL;
	size_t i, o, d;

	if (!got || harness_counts(l->h, got) < 0)
		return "cannot read counters";
	for (i = 0; i < CTB_R_MAX && !wrong; i++)
		wrong = differ("reason", i, &want->reasons[i], &got->reasons[i], buf, size);
	for (i = 0; i < CTB_FB_MAX && !wrong; i++) {
		wrong = differ("to tc, reason", i, &want->fallbacks[i].to_tc,
			       &got->fallbacks[i].to_tc, buf, size);
		if (!wrong)
			wrong = differ("to the kernel, reason", i, &want->fallbacks[i].kernel,
				       &got->fallbacks[i].kernel, buf, size);
	}
	for (i = 0; i < CTB_MAX_RULES && !wrong; i++) {
		for (o = 0; o < CTB_OUTCOME_MAX; o++) {
			for (d = 0; d < CTB_DIR_MAX && !wrong; d++)
				wrong = differ(ref_outcome_names[o], i, &want->rules[i].count[o][d],
					       &got->rules[i].count[o][d], buf, size);
		}
	}
	return wrong;
}
