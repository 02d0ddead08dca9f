// SPDX-License-Identifier: GPL-2.0-only
/* The result for machines; bench/README.md documents its fields. */
#include <string.h>

#include "groups.h"

#define FORMAT 1 /* raised when a field changes its meaning */

static json_t *rounds_json(const struct row *r)
{
	json_t *a = json_array();

	for (int i = 0; i < r->rounds; i++)
		json_array_append_new(a, json_real(r->ns[i]));
	return json_pack("{s:f,s:f,s:f,s:o}", "median", row_quantile(r, 0.5), "quartile1",
			 row_quantile(r, 0.25), "quartile3", row_quantile(r, 0.75), "rounds", a);
}

static json_t *row_json(const struct group *g, const struct row *r)
{
	static const char *const paths[] = { "forward", "local", "output" };
	static const char *const matches[] = { "port", "prefix", "mixed" };
	const struct row *ref = &g->rows[r->reference];
	const struct scene *s = &r->scene;
	json_t *o = json_pack(
		"{s:s,s:s,s:s,s:s,s:i,s:i,s:b,s:i,s:i,s:i,s:s,s:i}", "contender",
		s->contender->name, "path", paths[s->path], "feed",
		s->feed == FEED_WIRE ? "wire" : "stack", "match", matches[s->match], "rules",
		(int)s->rules, "prefixes", (int)s->prefixes, "hit", (int)s->hit, "family",
		s->v6 ? 6 : 4, "size", (int)s->size, "cores", (int)s->cores, "flows",
		s->flows == FLOWS_NEW ? "new" : flows_name(s->flows), "packets", (int)r->packets);

	if (s->flows != FLOWS_NEW)
		json_object_set_new(o, "flows", json_integer((json_int_t)s->flows));
	if (s->extra)
		json_object_set_new(o, "xdp", json_string(s->extra));
	json_object_set_new(o, "ns", r->skipped ? json_null() : rounds_json(r));
	json_object_set_new(o, "ratio",
			    r->skipped || ref->skipped || ref == r
				    ? json_null()
				    : json_real(ratio_quantile(r, ref, 0.5)));
	json_object_set_new(o, "reference", json_integer(r->reference));
	if (s->cores > 1 && !r->skipped)
		json_object_set_new(o, "overlap", json_real(r->overlap));
	if (r->skipped)
		json_object_set_new(o, "skipped", json_string(r->skipped));
	return o;
}

static json_t *limit_json(const struct group *g, const struct limit *l)
{
	static const char *const kinds[] = { "at most", "at least", "ns at most" };
	bool no = limit_skipped(g, l);

	return json_pack("{s:s,s:s,s:f,s:o,s:o}", "text", l->text, "kind", kinds[l->kind], "limit",
			 l->value, "is", no ? json_null() : json_real(limit_quantile(g, l, 0.5)),
			 "met", no ? json_null() : json_boolean(limit_met(g, l)));
}

static json_t *amount_json(const struct amount *a)
{
	json_t *o = json_pack("{s:s,s:s,s:s}", "contender", a->contender, "what", a->what, "unit",
			      a->unit);
	json_t *rounds = json_array();

	for (int i = 0; i < a->n; i++)
		json_array_append_new(rounds, json_real(a->v[i]));
	json_object_set_new(o, "value", a->skipped ? json_null() : json_real(amount_median(a)));
	json_object_set_new(o, "rounds", rounds);
	if (a->skipped)
		json_object_set_new(o, "skipped", json_string(a->skipped));
	if (a->most > 0) {
		json_object_set_new(o, "limit", json_real(a->most));
		json_object_set_new(o, "met",
				    a->skipped ? json_null()
					       : json_boolean(amount_median(a) <= a->most));
	}
	return o;
}

static json_t *group_json(const struct group *g)
{
	json_t *rows = json_array(), *limits = json_array(), *amounts = json_array();

	for (int i = 0; i < g->n_rows; i++)
		json_array_append_new(rows, row_json(g, &g->rows[i]));
	for (int i = 0; i < g->n_limits; i++)
		json_array_append_new(limits, limit_json(g, &g->limits[i]));
	for (int i = 0; i < g->n_amounts; i++)
		json_array_append_new(amounts, amount_json(&g->amounts[i]));
	return json_pack("{s:s,s:o,s:o,s:o}", "name", g->name, "rows", rows, "limits", limits,
			 "amounts", amounts);
}

json_t *result_json(json_t *facts)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n_groups; i++) {
		if (listed(opt.groups, groups[i].name))
			json_array_append_new(all, group_json(&groups[i]));
	}
	return json_pack("{s:i,s:O,s:b,s:b,s:i,s:i,s:o}", "format", FORMAT, "machine", facts,
			 "quick", (int)opt.quick, "once", (int)opt.once, "rounds", opt.rounds,
			 "packets", (int)opt.packets, "groups", all);
}
