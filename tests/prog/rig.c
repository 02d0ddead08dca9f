// SPDX-License-Identifier: GPL-2.0-only
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "rig.h"

int rig_make(struct rig *rig, struct ruleset *rs, const struct host *host, enum harness_object o)
{
	size_t i, n = 0;
	bool too_big;

	memset(rig, 0, sizeof(*rig));
	rig->rs = rs;
	rig->host = host;
	for (i = 0; i < host->n_ifs && n < ARRAY_SIZE(rig->vlans); i++) {
		if (host->ifs[i].vid && host->ifs[i].parent)
			rig->vlans[n++] = (struct ctb_vlan_key){ host->ifs[i].parent,
								 host->ifs[i].vid };
	}
	rig->ref = (struct ref_host){ .local = &host->local, .vlans = rig->vlans, .n_vlans = n };
	rig->h = harness_load(rs, host, o, &too_big);
	if (rig->h)
		return 0;
	rig_free(rig);
	return too_big ? -E2BIG : -EINVAL;
}

static struct ruleset *parsed(const char *text)
{
	_diag_ struct diag d = {};
	struct ruleset *rs = NULL;
	int err = ruleset_parse_text("test", ".", text, strlen(text), &rs, &d);

	cr_assert_eq(err, 0, "%s", d.text.s);
	return rs;
}

struct harness *tables_from_text(const char *text, const struct host *host)
{
	struct ruleset *rs = parsed(text);
	struct harness *h = harness_load(rs, host, HARNESS_PRODUCTION, NULL);

	cr_assert_not_null(h, "cannot load:\n%s", text);
	ruleset_free(rs);
	return h;
}

void rig_from_text(struct rig *rig, const char *text, const struct host *host)
{
	struct ruleset *rs = parsed(text);

	cr_assert_eq(rig_make(rig, rs, host, HARNESS_TEST), 0, "cannot load:\n%s", text);
}

void rig_free(struct rig *rig)
{
	harness_free(rig->h);
	ruleset_free(rig->rs);
	memset(rig, 0, sizeof(*rig));
}

const char *rig_verdict(const struct ref_verdict *v, char *buf, size_t size)
{
	if (!v->judged)
		snprintf(buf, size, "%s", ref_reason_names[v->reason]);
	else if (!v->handle)
		snprintf(buf, size, "failsafe %s", ref_dir_names[v->dir]);
	else
		snprintf(buf, size, "%u %s", v->handle, ref_dir_names[v->dir]);
	return buf;
}

static __u64 number64(const __u8 *b)
{
	__u64 v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

static void numbers(const struct ref_addr *a, __u64 *hi, __u64 *lo)
{
	if (a->family == AF_INET) {
		*hi = 0;
		*lo = number64(a->bytes) >> 32;
		return;
	}
	*hi = number64(a->bytes);
	*lo = number64(a->bytes + 8);
}

static struct tuple tuple_of(const struct ref_packet *p, __u32 ifindex)
{
	struct tuple t = {
		.v6 = p->src.family == AF_INET6,
		.quoted = p->quoted,
		.proto = p->proto,
		.sport = p->sport,
		.dport = p->dport,
		.ifindex = ifindex,
	};

	numbers(&p->src, &t.src_hi, &t.src_lo);
	numbers(&p->dst, &t.dst_hi, &t.dst_lo);
	return t;
}

static const char *compare_packet(const struct tuple *want, const struct ctb_test_seen *got,
				  char *buf, size_t size)
{
	if (want->v6 == got->v6 && want->quoted == got->quoted && want->proto == got->proto &&
	    want->sport == got->sport && want->dport == got->dport && want->src_hi == got->src_hi &&
	    want->src_lo == got->src_lo && want->dst_hi == got->dst_hi &&
	    want->dst_lo == got->dst_lo)
		return NULL;
	snprintf(buf, size,
		 "decoded differently: reference v6 %d quoted %d proto %u %llx:%llx %u > %llx:%llx "
		 "%u; BPF v6 %u quoted %u proto %u %llx:%llx %u > %llx:%llx %u",
		 want->v6, want->quoted, want->proto, want->src_hi, want->src_lo, want->sport,
		 want->dst_hi, want->dst_lo, want->dport, got->v6, got->quoted, got->proto,
		 got->src_hi, got->src_lo, got->sport, got->dst_hi, got->dst_lo, got->dport);
	return buf;
}

static const char *check_look(struct rig *rig, const struct packet *p, const struct host_if *in,
			      const struct harness_extra *x, const struct ref_frame *f,
			      const struct ref_verdict *want, char *buf, size_t size)
{
	enum ctb_reason reason;
	struct ctb_test_seen seen;
	struct ref_verdict bytes;
	struct ref_packet decoded;
	const char *wrong;
	struct tuple t;
	int err;

	err = harness_look(rig->h, p, in, x, &seen);
	if (err) {
		snprintf(buf, size, "test run: %s", strerror(-err));
		return buf;
	}
	wrong = harness_compare(rig->h, want, &seen, buf, size);
	if (wrong || ref_parse(&rig->ref, f, &decoded, &reason, &bytes) < 0)
		return wrong;
	t = tuple_of(&decoded, in->ifindex);
	wrong = compare_packet(&t, &seen, buf, size);
	return wrong ? wrong : harness_compare_lookup(rig->h, want, &t, buf, size);
}

static const char *check_production(struct rig *rig, const struct packet *p,
				    const struct host_if *in, const struct harness_extra *x,
				    const struct ref_frame *f, __u32 mark, char *buf, size_t size)
{
	__u32 after = mark, expected = mark & ~rig->rs->mark;
	struct ref_verdict want;
	bool whole;
	int err;

	want = ref_judge_at_tc(rig->rs, &rig->ref, f, &whole);
	rig->whole += whole;
	if (want.judged && want.action != CTB_TRACK)
		expected |= rig->rs->mark;
	err = harness_run(rig->h, p, in, x, &after);
	if (err) {
		snprintf(buf, size, "production run: %s", strerror(-err));
		return buf;
	}
	harness_expect(rig->h, &want, whole, p->len, &rig->want);
	if (after == expected)
		return NULL;
	snprintf(buf, size, "mark %#x became %#x, not %#x (bit %#x)", mark, after, expected,
		 rig->rs->mark);
	return buf;
}

const char *rig_packet(struct rig *rig, const struct packet *p, const struct host_if *in,
		       const struct harness_extra *x, __u32 mark, struct ref_verdict *verdict,
		       char *buf, size_t size)
{
	struct ref_frame f = harness_frame(p, in, x);
	const char *wrong;

	*verdict = ref_judge(rig->rs, &rig->ref, &f);
	wrong = check_look(rig, p, in, x, &f, verdict, buf, size);
	if (!wrong && !p->layer3)
		wrong = check_production(rig, p, in, x, &f, mark, buf, size);
	return wrong;
}

static bool same_count(const struct ctb_count *a, const struct ctb_count *b)
{
	return a->packets == b->packets && a->bytes == b->bytes;
}

const char *rig_counters(struct rig *rig, char *buf, size_t size)
{
	_free_ struct harness_counts *got = malloc(sizeof(*got));
	const struct ctb_count *w, *g;
	int err = got ? harness_counts(rig->h, got) : -ENOMEM;
	size_t i, o, d;

	if (err) {
		snprintf(buf, size, "cannot read counters: %s", strerror(-err));
		return buf;
	}
	for (i = 0; i < CTB_R_MAX; i++) {
		w = &rig->want.reasons[i];
		g = &got->reasons[i];
		if (same_count(w, g))
			continue;
		snprintf(buf, size, "%s: %llu packets %llu bytes expected, %llu and %llu counted",
			 ref_reason_names[i], w->packets, w->bytes, g->packets, g->bytes);
		return buf;
	}
	for (i = 0; i < CTB_FB_MAX; i++) {
		w = &rig->want.fallbacks[i].kernel;
		g = &got->fallbacks[i].kernel;
		if (same_count(w, g) && !got->fallbacks[i].to_tc.packets)
			continue;
		snprintf(buf, size,
			 "fallback %s: %llu packets %llu bytes expected, %llu and %llu counted, "
			 "%llu packets from XDP",
			 ref_fallback_names[i], w->packets, w->bytes, g->packets, g->bytes,
			 got->fallbacks[i].to_tc.packets);
		return buf;
	}
	for (i = 0; i < CTB_MAX_RULES * CTB_OUTCOME_MAX * CTB_DIR_MAX; i++) {
		d = i % CTB_DIR_MAX;
		o = i / CTB_DIR_MAX % CTB_OUTCOME_MAX;
		w = &rig->want.rules[i / CTB_DIR_MAX / CTB_OUTCOME_MAX].count[o][d];
		g = &got->rules[i / CTB_DIR_MAX / CTB_OUTCOME_MAX].count[o][d];
		if (same_count(w, g))
			continue;
		snprintf(buf, size,
			 "slot %zu %s %s: %llu packets %llu bytes expected, %llu and %llu counted",
			 i / CTB_DIR_MAX / CTB_OUTCOME_MAX, ref_outcome_names[o], ref_dir_names[d],
			 w->packets, w->bytes, g->packets, g->bytes);
		return buf;
	}
	return NULL;
}
