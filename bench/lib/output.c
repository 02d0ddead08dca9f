// SPDX-License-Identifier: GPL-2.0-only
/* The table for people. */
#include <string.h>

#include "groups.h"

static void print_row(const struct group *g, const struct row *r)
{
	const struct row *ref = &g->rows[r->reference];

	printf("%-58s %6s ", row_text(g, r), flows_name(r->scene.flows));
	if (r->skipped) {
		printf("%8s %s\n", "-", r->skipped);
		return;
	}
	printf("%8.0f %8.0f %8.0f", row_quantile(r, 0.5), row_quantile(r, 0.25),
	       row_quantile(r, 0.75));
	if (!ref->skipped && ref != r)
		printf(" %7.2f", ratio_quantile(r, ref, 0.5));
	printf("\n");
}

static void print_limit(const struct group *g, const struct limit *l)
{
	printf("%-58s %s%5.2f ", l->text, l->kind == AT_LEAST ? ">" : "<", l->value);
	if (limit_skipped(g, l)) {
		printf("%8s not measured\n", "-");
		return;
	}
	printf("%8.2f %8.2f %8.2f %7s\n", limit_quantile(g, l, 0.5), limit_quantile(g, l, 0.25),
	       limit_quantile(g, l, 0.75), limit_met(g, l) ? "ok" : "MISSED");
}

static void print_amount(const struct amount *a)
{
	printf("%-12s %-45s ", a->contender, a->what);
	if (a->skipped) {
		printf("%15s %s\n", "-", a->skipped);
		return;
	}
	printf("%15.0f %-5s", amount_median(a), a->unit);
	if (a->most > 0)
		printf(" <%-6.0f %s", a->most, amount_median(a) <= a->most ? "ok" : "MISSED");
	printf("\n");
}

void print_group(const struct group *g)
{
	printf("\n%s: %s\n", g->name, g->what);
	if (g->n_rows)
		printf("%-58s %6s %8s %8s %8s %7s\n", "ns per packet", "flows", "median", "1st q.",
		       "3rd q.", "ratio");
	for (int i = 0; i < g->n_rows; i++)
		print_row(g, &g->rows[i]);
	for (int i = 0; i < g->n_amounts; i++)
		print_amount(&g->amounts[i]);
	if (g->n_limits)
		printf("%-58s %6s %8s %8s %8s\n", "limits", "limit", "is", "1st q.", "3rd q.");
	for (int i = 0; i < g->n_limits; i++)
		print_limit(g, &g->limits[i]);
	fflush(stdout);
}
