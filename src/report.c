// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the daemon says of itself. The command line prints these as JSON (-j) or makes tables of
 * them. COUNT is {"packets":N,"bytes":N}; SIDE is {"original":COUNT,"reply":COUNT,
 * "icmp_error":COUNT}.
 *
 * list    {"text":"the rules, as input","mark":N,
 *          "rules":[{"handle":N,"rule":"...","action":"notrack","runtime":false,
 *                    "comment":"..." or null}],
 *          "sets":[{"name":"...","prefixes4":N,"prefixes6":N,"ports":N,"file":"..." or null,
 *                   "modified":false}]}
 * stats   {"time_ms":N (monotonic),
 *          "rules":[{"handle":N,"rule":"...","action":"...","receive":SIDE,"output":SIDE,
 *                    "xdp":SIDE,"tc":SIDE}],
 *          "failsafe":{"receive":SIDE,"output":SIDE},
 *          "reasons":[{"name":"no-match","text":"...","packets":N,"bytes":N}],
 *          "fallbacks":[{"name":"ttl","text":"...","to_tc":COUNT,"kernel":COUNT}]}
 *         receive: all that arrived and was judged, in XDP or at tc ingress. xdp, tc: how much of
 *         it was forwarded there; the rest went up to the kernel. output: what this host sends,
 *         judged by nft or, in direct mode, by a BPF program. With "output_error":"..." when nft
 * did not answer; its counts are then missing. fallbacks: what forward rules fit and XDP handed to
 * tc, or tc left to the kernel. status
 * {"version":"...","pid":N,"uptime_seconds":N,"config":"...","pindir":"...",
 *          "hand_over":{"ingress":{"method":"direct","why":"..."},
 *                       "output":{"method":"mark","why":"..."},"mark":N},"generation":N,SIZES,
 *          "runtime_changes":N,
 *          "interfaces":[{"ifindex":N,"name":"...","mode":"tcx","why":"...","failed":false,
 *                         "forward":"xdp","forward_why":"...","xdp_out":true,
 *                         "xdp_out_why":"..."}],
 *          "nft":{"table":"inet ctbypass","wanted":true,"present":true,"restored":N,"repaired":N},
 *          "conntrack":{"count":N,"max":N,"percent":N.N} or null,
 *          "privileges":["CAP_BPF", ...],
 *          "lacking":[{"feature":"tcx","without":"clsact filters are used"}],
 *          "warnings":["..."]}
 *         method: "mark" where nft sets the untracked state, at ingress upon a mark that tc leaves,
 * at output by rules of its own; "direct" where the BPF program does. mark: 0 when there is none.
 * SIZES   "rules":N,"entries":N,"sets":N,"prefixes":N,"classes":{"proto":N,"src":N,...}
 *         Only fields that some rule looks at have classes.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "advice.h"
#include "daemon.h"
#include "early_rules.h"
#include "json_text.h"
#include "output_counts.h"
#include "privileges.h"

#define NEARLY_FULL 90 /* percent of nf_conntrack_max */

static json_t *number(__u64 n)
{
	return json_integer((json_int_t)n);
}

static json_t *rule_text(const struct rule *r)
{
	_strbuf_ struct strbuf b = {};

	rule_print(r, &b);
	while (b.len && b.s[b.len - 1] == '\n')
		b.s[--b.len] = '\0';
	return b.err ? NULL : json_any_text(b.s ? b.s : "");
}

static const char *action_name(enum ctb_action a)
{
	static const char *const names[] = {
#define X(id, name) [CTB_##id] = name,
		CTB_ACTIONS(X)
#undef X
	};

	return names[a];
}

/* --- list --- */

static json_t *list_rules(const struct ruleset *rs)
{
	json_t *out = json_array();

	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct rule *r = &rs->rules[i];

		json_array_append_new(out, json_pack("{s:o,s:o,s:s,s:b,s:s?}", "handle",
						     number(r->handle), "rule", rule_text(r),
						     "action", action_name(r->action), "runtime",
						     (int)r->runtime, "comment", r->comment));
	}
	return out;
}

static json_t *list_sets(const struct ruleset *rs)
{
	json_t *out = json_array();

	for (size_t i = 0; i < rs->n_sets; i++) {
		const struct named_set *s = rs->sets[i];

		json_array_append_new(out,
				      json_pack("{s:s,s:o,s:o,s:o,s:s?,s:b}", "name", s->name,
						"prefixes4", number(s->addrs.n4), "prefixes6",
						number(s->addrs.n6), "ports", number(s->ports.n),
						"file", s->file, "modified", (int)s->modified));
	}
	return out;
}

json_t *report_list(const struct daemon *d)
{
	const struct ruleset *rs = d->live.rs;
	_strbuf_ struct strbuf b = {};

	ruleset_print(rs, true, &b);
	if (b.err)
		return NULL;
	return json_pack("{s:o,s:o,s:o,s:o}", "text", json_any_text(b.s ? b.s : ""), "mark",
			 number(rs->mark), "rules", list_rules(rs), "sets", list_sets(rs));
}

/* --- stats --- */

static json_t *count(struct ctb_count c)
{
	return json_pack("{s:o,s:o}", "packets", number(c.packets), "bytes", number(c.bytes));
}

static json_t *side(const struct ctb_count *c)
{
	return json_pack("{s:o,s:o,s:o}", "original", count(c[CTB_DIR_ORIG]), "reply",
			 count(c[CTB_DIR_REPLY]), "icmp_error", count(c[CTB_DIR_ERROR]));
}

/* Wherever they went. */
static json_t *all_outcomes(const struct ctb_rule_counters *c)
{
	struct ctb_count sum[CTB_DIR_MAX] = {};

	for (int o = 0; o < CTB_OUTCOME_MAX; o++) {
		for (int dir = 0; dir < CTB_DIR_MAX; dir++) {
			sum[dir].packets += c->count[o][dir].packets;
			sum[dir].bytes += c->count[o][dir].bytes;
		}
	}
	return side(sum);
}

static json_t *list_reasons(const struct ctb_count *c)
{
	static const struct {
		const char *name, *text;
	} reasons[] = {
#define X(id, name, text) [CTB_R_##id] = { name, text },
		CTB_REASONS(X)
#undef X
	};
	json_t *out = json_array();

	for (size_t i = 0; i < CTB_R_MAX; i++)
		json_array_append_new(out,
				      json_pack("{s:s,s:s,s:o,s:o}", "name", reasons[i].name,
						"text", reasons[i].text, "packets",
						number(c[i].packets), "bytes", number(c[i].bytes)));
	return out;
}

static json_t *list_fallbacks(const struct ctb_fallback_counters *c)
{
	static const struct {
		const char *name, *text;
	} fallbacks[] = {
#define X(id, name, text) [CTB_FB_##id] = { name, text },
		CTB_FALLBACKS(X)
#undef X
	};
	json_t *out = json_array();

	for (size_t i = 0; i < CTB_FB_MAX; i++)
		json_array_append_new(out,
				      json_pack("{s:s,s:s,s:o,s:o}", "name", fallbacks[i].name,
						"text", fallbacks[i].text, "to_tc",
						count(c[i].to_tc), "kernel", count(c[i].kernel)));
	return out;
}

/* What a rule or failsafe received and sent. */
struct counters {
	struct ctb_rule_counters receive[CTB_MAX_RULES];
	struct ctb_output_counters output[CTB_MAX_RULES];
};

static json_t *list_counters(const struct ruleset *rs, const struct counters *c)
{
	json_t *out = json_array();

	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct rule *r = &rs->rules[i];
		const struct ctb_rule_counters *in = &c->receive[r->slot];

		json_array_append_new(
			out,
			json_pack("{s:o,s:o,s:s,s:o,s:o,s:o,s:o}", "handle", number(r->handle),
				  "rule", rule_text(r), "action", action_name(r->action), "receive",
				  all_outcomes(in), "output", side(c->output[r->slot].count), "xdp",
				  side(in->count[CTB_OUT_XDP]), "tc", side(in->count[CTB_OUT_TC])));
	}
	return out;
}

json_t *report_stats(const struct daemon *d)
{
	_free_ struct counters *c = calloc(1, sizeof(*c));
	struct ctb_fallback_counters fallbacks[CTB_FB_MAX] = {};
	struct ctb_count reasons[CTB_R_MAX] = {};
	json_t *root, *failsafe;
	int err = 0;

	if (!c || datapath_read_rules(d->dp, c->receive) || datapath_read_reasons(d->dp, reasons) ||
	    datapath_read_fallbacks(d->dp, fallbacks) || datapath_read_output(d->dp, c->output))
		return NULL;
	/* A table that is not wanted any more has counts until it is taken away. */
	if (nft_half_wanted(d) || d->nft)
		err = output_counts_nft(d->live.rs, c->output);
	if (err == -ENOENT && !nft_half_wanted(d))
		err = 0;
	failsafe = json_pack("{s:o,s:o}", "receive", all_outcomes(&c->receive[CTB_SLOT_FAILSAFE]),
			     "output", side(c->output[CTB_SLOT_FAILSAFE].count));
	root = json_pack("{s:o,s:o,s:o,s:o,s:o}", "time_ms", number(now_ms()), "rules",
			 list_counters(d->live.rs, c), "failsafe", failsafe, "reasons",
			 list_reasons(reasons), "fallbacks", list_fallbacks(fallbacks));
	if (root && err)
		json_object_set_new(root, "output_error", json_string(strerror(-err)));
	return root;
}

/* --- status --- */

static size_t inline_prefixes(const struct addr_match *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		n += m->items[i].kind == ADDR_PREFIX4 || m->items[i].kind == ADDR_PREFIX6;
	return n;
}

json_t *report_sizes(const struct live *l)
{
	static const char *const fields[] = {
#define X(id, name) [CTB_F_##id] = #name,
		CTB_FIELDS(X)
#undef X
	};
	const struct ruleset *rs = l->rs;
	json_t *classes = json_object();
	size_t prefixes = 0;

	for (size_t i = 0; i < rs->n_sets; i++)
		prefixes += rs->sets[i]->addrs.n4 + rs->sets[i]->addrs.n6;
	for (size_t i = 0; i < rs->n_rules; i++)
		prefixes += inline_prefixes(&rs->rules[i].saddr) +
			    inline_prefixes(&rs->rules[i].daddr);
	for (size_t f = 0; f < CTB_F_MAX; f++) {
		if (l->compiled.classes[f])
			json_object_set_new(classes, fields[f], number(l->compiled.classes[f]));
	}
	return json_pack("{s:o,s:o,s:o,s:o,s:o}", "rules", number(rs->n_rules), "entries",
			 number(l->entries.n), "sets", number(rs->n_sets), "prefixes",
			 number(prefixes), "classes", classes);
}

static json_t *list_interfaces(const struct attachment *list, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct attachment *a = &list[i];

		json_array_append_new(
			out,
			json_pack("{s:i,s:o,s:s,s:o,s:b,s:s,s:o,s:b,s:o}", "ifindex", a->ifindex,
				  "name", json_any_text(a->name), "mode", attach_mode_name(a->mode),
				  "why", json_any_text(a->why), "failed", (int)a->failed, "forward",
				  forward_path_name(a->forward), "forward_why",
				  json_any_text(a->forward_why), "xdp_out", (int)a->xdp_out,
				  "xdp_out_why", json_any_text(a->xdp_out_why)));
	}
	return out;
}

static void add_lacking(void *out, enum feature_id id)
{
	json_array_append_new(out, json_pack("{s:s,s:s}", "feature", feature_name(id), "without",
					     feature_without(id)));
}

static json_t *list_lacking(const struct daemon *d)
{
	json_t *out = json_array();

	features_lacking(&d->features, add_lacking, out);
	return out;
}

static void add_name(void *out, const char *name)
{
	json_array_append_new(out, json_string(name));
}

static json_t *list_privileges(void)
{
	json_t *out = json_array();

	privileges_each(add_name, out);
	return out;
}

static _printf_(2, 3) void warn(json_t *list, const char *fmt, ...)
{
	_free_ char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	if (s)
		json_array_append_new(list, json_any_text(s));
}

static void warn_text(void *list, const char *s)
{
	warn(list, "%s", s);
}

static json_t *list_warnings(const struct daemon *d, const struct attachment *a, size_t n,
			     bool table, double percent)
{
	__u32 mark = datapath_how(d->dp)->ingress == HAND_OVER_MARK ? d->live.rs->mark : 0;
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++) {
		if (a[i].failed)
			warn(out, "%s: not attached: %s", a[i].name, a[i].why);
	}
	if (!table && nft_half_wanted(d))
		warn(out, "table inet ctbypass is missing: nothing is bypassed");
	if (datapath_how(d->dp)->ingress == HAND_OVER_DIRECT && !datapath_defers())
		warn(out, "net.netfilter.nf_untrack_defer is 0: fragmented datagrams are tracked");
	if (d->restored)
		warn(out,
		     "table inet ctbypass was removed by somebody and put back (so far: %u; does a "
		     "script run `nft flush ruleset`?)",
		     d->restored);
	if (percent >= NEARLY_FULL)
		warn(out, "the conntrack table is %.0f %% full", percent);
	if (d->swept.nat)
		warn(out,
		     "%llu flows with NAT are bypassed and will break; exempt them with a `track` "
		     "rule",
		     (unsigned long long)d->swept.nat);
	if (d->swept.offloaded)
		warn(out, CONNTRACK_OFFLOADED, (unsigned long long)d->swept.offloaded);
	if (d->host_trouble)
		warn(out, "changes of interfaces or addresses could not be followed: %s",
		     d->host_trouble);
	advise_interfaces(d->live.rs, &d->host, warn_text, out);
	advise_bridges(d->live.rs, &d->host, warn_text, out);
	if (datapath_how(d->dp)->output == HAND_OVER_MARK)
		advise_proxies(&d->live.entries, &d->host, warn_text, out);
	advise_forward(d->live.rs, &d->facts, warn_text, out);
	advise_early_rules(&d->live.entries, d->live.rs, &d->host, mark, warn_text, out);
	advise_early_filters(d->live.rs, &d->host, mark, warn_text, out);
	if (d->rule_warnings)
		warn(out, "%s", d->rule_warnings);
	return out;
}

json_t *report_hand_over(const struct daemon *d)
{
	const struct hand_over *how = datapath_how(d->dp);

	return json_pack("{s:{s:s,s:o},s:{s:s,s:o},s:o}", "ingress", "method",
			 hand_over_name(how->ingress), "why", json_any_text(how->ingress_why),
			 "output", "method", hand_over_name(how->output), "why",
			 json_any_text(how->output_why), "mark",
			 number(how->ingress == HAND_OVER_MARK ? d->live.rs->mark : 0));
}

json_t *report_status(const struct daemon *d)
{
	size_t n;
	const struct attachment *a = datapath_attachments(d->dp, &n);
	__u64 used = 0, max = 0;
	bool has_ct = !conntrack_usage(&used, &max);
	double percent = has_ct && max ? 100.0 * (double)used / (double)max : 0;
	bool wanted = nft_half_wanted(d);
	bool table = nft_present(wanted && nft_state_mark(d->nft)) == 1;
	json_t *ct = has_ct ? json_pack("{s:o,s:o,s:f}", "count", number(used), "max", number(max),
					"percent", percent)
			    : json_null();
	json_t *sizes = report_sizes(&d->live);
	json_t *root = json_pack(
		"{s:s,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:s,s:b,s:b,s:i,s:i},s:o,s:o,s:o,s:o}",
		"version", CTB_VERSION, "pid", (int)getpid(), "uptime_seconds",
		number((now_ms() - d->started) / 1000), "config", json_any_text(d->opt.config),
		"pindir", json_any_text(d->opt.pindir), "hand_over", report_hand_over(d),
		"generation", number(datapath_generation(d->dp)), "runtime_changes",
		number(d->changes), "interfaces", list_interfaces(a, n), "nft", "table",
		"inet " NFT_TABLE, "wanted", (int)wanted, "present", (int)table, "restored",
		(int)d->restored, "repaired", (int)d->repaired, "conntrack", ct, "privileges",
		list_privileges(), "lacking", list_lacking(d), "warnings",
		list_warnings(d, a, n, table, percent));

	if (root && (!sizes || json_object_update(root, sizes))) {
		json_decref(root);
		root = NULL;
	}
	json_decref(sizes);
	return root;
}
