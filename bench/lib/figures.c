// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "groups.h"

double row_quantile(const struct row *r, double q)
{
	double v[ROUNDS_MAX];

	memcpy(v, r->ns, sizeof(*v) * (size_t)r->rounds);
	return quantile(v, (size_t)r->rounds, q);
}

double ratio_quantile(const struct row *a, const struct row *b, double q)
{
	double v[ROUNDS_MAX];

	/* Rows that do not have the same number of rounds were not measured in turn. */
	if (a->rounds != b->rounds)
		return row_quantile(a, 0.5) / row_quantile(b, 0.5);
	for (int i = 0; i < a->rounds; i++)
		v[i] = a->ns[i] / b->ns[i];
	return quantile(v, (size_t)a->rounds, q);
}

double limit_quantile(const struct group *g, const struct limit *l, double q)
{
	const struct row *a = &g->rows[l->a], *b = &g->rows[l->b];
	double v[ROUNDS_MAX];

	if (l->kind != NS_AT_MOST)
		return ratio_quantile(a, b, q);
	for (int i = 0; i < a->rounds; i++)
		v[i] = a->ns[i] - b->ns[i];
	return quantile(v, (size_t)a->rounds, q);
}

bool limit_skipped(const struct group *g, const struct limit *l)
{
	return g->rows[l->a].skipped || g->rows[l->b].skipped;
}

bool limit_met(const struct group *g, const struct limit *l)
{
	double v = limit_quantile(g, l, 0.5);

	return l->kind == AT_LEAST ? v >= l->value : v <= l->value;
}

/* --- names --- */

static const char *match_text(const struct scene *s)
{
	static char text[48];

	switch (s->match) {
	case MATCH_PORT:
		snprintf(text, sizeof(text), "%u port%s", s->rules, s->rules == 1 ? "" : "s");
		break;
	case MATCH_PREFIX:
		snprintf(text, sizeof(text), "%u prefix%s", s->prefixes,
			 s->prefixes == 1 ? "" : "es");
		break;
	case MATCH_MIXED:
		snprintf(text, sizeof(text), "%u mixed rules", s->rules);
	}
	return text;
}

const char *row_text(const struct group *g, const struct row *r)
{
	static const char *const paths[] = { "", ", local", ", output" };
	const struct scene *s = &r->scene;
	static char text[192];
	const char *match = contender_has_rules(s->contender) ? match_text(s) : "-";

	(void)g;
	snprintf(text, sizeof(text), "%-15s %-15s%s%s%s%s%s%s%s", s->contender->name, match,
		 paths[s->path], s->feed == FEED_WIRE ? ", wire" : "", s->v6 ? ", IPv6" : "",
		 s->hit ? "" : ", miss", s->size > 64 ? ", 1400 bytes" : "",
		 s->cores > 1 ? ", two cores" : "", s->extra ? ", + XDP " : "");
	if (s->extra)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", s->extra);
	return text;
}
