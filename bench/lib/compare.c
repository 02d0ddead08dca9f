// SPDX-License-Identifier: GPL-2.0-only
#include <math.h>
#include <string.h>

#include "compare.h"
#include "groups.h"

#define RESAMPLES    2000
#define LEVEL	     0.99
#define ROWS_LEAST   0.01 /* differences that are none, whatever the noise */
#define AMOUNT_LEAST 0.10

struct series {
	double v[ROUNDS_MAX];
	size_t n;
};

json_t *result_read(const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);

	if (!root)
		die("%s: line %d: %s", path, error.line, error.text);
	if (!json_is_integer(json_object_get(root, "format")) ||
	    !json_is_array(json_object_get(root, "groups")))
		die("%s: no result of this benchmark", path);
	return root;
}

static const char *string(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "?";
}

/* --- finding the same thing in the other result --- */

static const json_t *group_of(const json_t *root, const char *name)
{
	const json_t *g;
	size_t i;

	json_array_foreach (json_object_get(root, "groups"), i, g) {
		if (!strcmp(string(g, "name"), name))
			return g;
	}
	return NULL;
}

/* Is every field that says what the row is the same? */
static bool same_row(const json_t *a, const json_t *b)
{
	static const char *const fields[] = { "contender", "path",     "feed",	"match",
					      "rules",	   "prefixes", "hit",	"size",
					      "cores",	   "family",   "flows", "xdp" };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const json_t *x = json_object_get(a, fields[i]), *y = json_object_get(b, fields[i]);

		if (x != y && (!x || !y || !json_equal(x, y)))
			return false;
	}
	return true;
}

static const json_t *row_like(const json_t *group, const json_t *row)
{
	const json_t *r;
	size_t i;

	json_array_foreach (json_object_get(group, "rows"), i, r) {
		if (same_row(r, row))
			return r;
	}
	return NULL;
}

/* --- the noise --- */

/* The row's ratios to its reference by round; its times if it has none, which *relative tells. */
static bool series_of(const json_t *group, const json_t *row, struct series *s, bool *relative)
{
	const json_t *rows = json_object_get(group, "rows"), *v;
	const json_t *ref = json_array_get(
		rows, (size_t)json_integer_value(json_object_get(row, "reference")));
	const json_t *own = json_object_get(json_object_get(row, "ns"), "rounds");
	const json_t *its = json_object_get(json_object_get(ref, "ns"), "rounds");
	size_t i;

	*relative = ref != row && json_array_size(its) == json_array_size(own);
	s->n = json_array_size(own);
	if (!s->n || s->n > ROUNDS_MAX)
		return false;
	json_array_foreach (own, i, v) {
		double by = *relative ? json_number_value(json_array_get(its, i)) : 1;

		s->v[i] = json_number_value(v) / by;
	}
	return true;
}

static double median_of(const struct series *s)
{
	struct series copy = *s;

	return quantile(copy.v, copy.n, 0.5);
}

static double median_of_resample(const struct series *s, __u64 *state)
{
	struct series other = { .n = s->n };

	for (size_t i = 0; i < s->n; i++) {
		*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
		other.v[i] = s->v[(*state >> 33) % s->n];
	}
	return quantile(other.v, other.n, 0.5);
}

/* The interval of new / old - 1. */
static void interval(const struct series *old, const struct series *new, double *low, double *high)
{
	static double d[RESAMPLES];
	__u64 state = 1;

	for (int i = 0; i < RESAMPLES; i++)
		d[i] = median_of_resample(new, &state) / median_of_resample(old, &state) - 1;
	*low = quantile(d, RESAMPLES, (1 - LEVEL) / 2);
	*high = quantile(d, RESAMPLES, (1 + LEVEL) / 2);
}

/* --- saying it --- */

static void print_name(const char *group, const json_t *r)
{
	const json_t *flows = json_object_get(r, "flows");
	bool prefixes = !strcmp(string(r, "match"), "prefix");
	char text[160], n[32];

	if (json_is_integer(flows))
		snprintf(n, sizeof(n), "%lld flows", (long long)json_integer_value(flows));
	else
		snprintf(n, sizeof(n), "new flows");
	snprintf(text, sizeof(text), "%s: %s, %lld %s%s, %s%s%s, %s%s%s", group,
		 string(r, "contender"),
		 (long long)json_integer_value(json_object_get(r, prefixes ? "prefixes" : "rules")),
		 prefixes ? "prefixes" : string(r, "match"), prefixes ? "" : "s", n,
		 json_is_true(json_object_get(r, "hit")) ? "" : ", miss",
		 !strcmp(string(r, "feed"), "wire") ? ", wire" : "", string(r, "path"),
		 json_integer_value(json_object_get(r, "family")) == 6 ? ", IPv6" : "",
		 json_integer_value(json_object_get(r, "cores")) > 1 ? ", two cores" : "");
	printf("%-76s", text);
}

struct tally {
	int same, changed, gone;
};

static void compare_row(const json_t *g_old, const json_t *g_new, const json_t *row,
			struct tally *t)
{
	const json_t *was = g_old ? row_like(g_old, row) : NULL;
	bool relative_old, relative;
	double low, high, change;
	struct series a, b;

	if (!was || !series_of(g_old, was, &a, &relative_old) ||
	    !series_of(g_new, row, &b, &relative) || relative != relative_old) {
		t->gone++;
		return;
	}
	interval(&a, &b, &low, &high);
	change = median_of(&b) / median_of(&a) - 1;
	if ((low <= 0 && high >= 0) || fabs(change) < ROWS_LEAST) {
		t->same++;
		return;
	}
	if (!t->changed++)
		printf("%-76s%10s %10s %8s %18s\n", "changed", "old", "new", "by", "99 % interval");
	print_name(string(g_new, "name"), row);
	printf("%*.*f%s %*.*f%s %+7.1f%% %+8.1f ... %+.1f%%\n", relative ? 10 : 7, relative ? 3 : 0,
	       median_of(&a), relative ? "" : " ns", relative ? 10 : 7, relative ? 3 : 0,
	       median_of(&b), relative ? "" : " ns", 100 * change, 100 * low, 100 * high);
}

static void compare_amount(const json_t *g_old, const json_t *g_new, const json_t *new)
{
	double value = json_number_value(json_object_get(new, "value")), was;
	const json_t *a;
	char text[160];
	size_t i;

	json_array_foreach (json_object_get(g_old, "amounts"), i, a) {
		if (strcmp(string(a, "contender"), string(new, "contender")) ||
		    strcmp(string(a, "what"), string(new, "what")))
			continue;
		was = json_number_value(json_object_get(a, "value"));
		if (was <= 0 || value <= 0 || fabs(value / was - 1) < AMOUNT_LEAST)
			return;
		snprintf(text, sizeof(text), "%s: %s, %s, %s", string(g_new, "name"),
			 string(new, "contender"), string(new, "what"), string(new, "unit"));
		printf("%-76s%10.0f %10.0f %+7.1f%%\n", text, was, value, 100 * (value / was - 1));
	}
}

static void compare_machines(const json_t *old, const json_t *new)
{
	static const char *const fields[] = { "cpu", "kernel", "clock" };
	const json_t *a = json_object_get(old, "machine"), *b = json_object_get(new, "machine");

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (strcmp(string(a, fields[i]), string(b, fields[i])))
			printf("# the old one has another %s: %s\n", fields[i],
			       string(a, fields[i]));
	}
}

void compare(const json_t *old, const json_t *new)
{
	struct tally t = {};
	const json_t *g, *r;
	size_t i, k;

	printf("\ncompared with the old result, by ratio to the same reference where there is one\n");
	compare_machines(old, new);
	json_array_foreach (json_object_get(new, "groups"), i, g) {
		const json_t *g_old = group_of(old, string(g, "name"));

		json_array_foreach (json_object_get(g, "rows"), k, r)
			compare_row(g_old, g, r, &t);
	}
	json_array_foreach (json_object_get(new, "groups"), i, g) {
		const json_t *g_old = group_of(old, string(g, "name"));

		json_array_foreach (json_object_get(g, "amounts"), k, r)
			compare_amount(g_old, g, r);
	}
	printf("%d changed, %d within the noise, %d not measured in both\n", t.changed, t.same,
	       t.gone);
}
