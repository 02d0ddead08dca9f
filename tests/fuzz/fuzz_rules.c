// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any text as a configuration: parsed or refused. What parses is printed, parses again, and
 * prints the same again; so do a copy and a copy changed at run time. Set files are looked for in a
 * directory that does not exist.
 */
#include <stdint.h>
#include <string.h>
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: " #condition "\n", __FILE__, __LINE__); \
			abort(); \
		} \
	} while (0)

static struct ruleset *parse(const char *text, size_t len)
{
	struct ruleset *rs = NULL;
	struct diag d = { 0 };
	int err = ruleset_parse_text("fuzz", "/nonexistent", text, len, &rs, &d);

	EXPECT(!err == !d.errors);
	EXPECT(!err == (rs != NULL));
	EXPECT(d.text.err == 0);
	diag_free(&d);
	return rs;
}

static void print_twice(const struct ruleset *rs, bool handles)
{
	struct strbuf once = { 0 }, twice = { 0 };
	struct ruleset *again;

	ruleset_print(rs, handles, &once);
	again = parse(once.s ? once.s : "", once.len);
	EXPECT(again);
	ruleset_print(again, handles, &twice);
	EXPECT(once.len == twice.len && (!once.len || !memcmp(once.s, twice.s, once.len)));
	EXPECT(again->n_rules == rs->n_rules && again->n_sets == rs->n_sets);
	for (size_t i = 0; i < rs->n_rules; i++)
		EXPECT(rule_hash(&rs->rules[i]) == rule_hash(&again->rules[i]));
	ruleset_free(again);
	strbuf_free(&once);
	strbuf_free(&twice);
}

/* The text once more as a rule and as an element, to a copy. */
static void change(const struct ruleset *rs, const uint8_t *data, size_t size)
{
	struct ruleset *copy = ruleset_clone(rs);
	char *text = strndup((const char *)data, size);
	size_t n = copy->n_rules;
	struct diag d = { 0 };

	EXPECT((ruleset_add_rule(copy, text, &d) == 0) == (copy->n_rules == n + 1));
	for (size_t i = 0; i < copy->n_sets; i++)
		ruleset_set_change(copy, copy->sets[i]->name, size & 1, &text, 1, &d);
	if (copy->n_rules > 1)
		EXPECT(ruleset_delete(copy, copy->rules[0].handle) == 0);
	/* Handles have gaps now, and are given anew when the text is parsed. */
	print_twice(copy, false);
	free(text);
	diag_free(&d);
	ruleset_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ruleset *rs = parse((const char *)data, size);

	if (rs) {
		change(rs, data, size);
		print_twice(rs, true);
	}
	ruleset_free(rs);
	return 0;
}
