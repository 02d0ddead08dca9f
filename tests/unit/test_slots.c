// SPDX-License-Identifier: GPL-2.0-only
/* Who keeps handle and slot over a change of rules, and which slots new rules get. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "slots.h"

static struct slots *slots;
static struct slot_plan *plan;

static void setup(void)
{
	struct ctb_rule_info *none = calloc(CTB_MAX_RULES, sizeof(*none));

	slots = calloc(1, sizeof(*slots));
	plan = calloc(1, sizeof(*plan));
	slots_load(slots, none, 0);
	free(none);
}

static void teardown(void)
{
	free(slots);
	free(plan);
}

TestSuite(slots, .init = setup, .fini = teardown);

static struct ruleset *parse(const char *text)
{
	struct ruleset *rs = NULL;
	_diag_ struct diag d = {};

	cr_assert_eq(ruleset_parse_text("test", ".", text, strlen(text), &rs, &d), 0, "%s",
		     d.text.s ? d.text.s : "");
	return rs;
}

/* From the file: the parser's handles mean nothing. */
static struct ruleset *from_file(const char *text)
{
	struct ruleset *rs = parse(text);

	for (size_t i = 0; i < rs->n_rules; i++)
		rs->rules[i].handle = 0;
	return rs;
}

static void take(struct ruleset *rs)
{
	cr_assert_eq(slots_assign(slots, rs, plan), 0);
	slots_commit(slots, plan);
}

static void expect_handles(const struct ruleset *rs, const __u32 *want, size_t n)
{
	cr_assert_eq(rs->n_rules, n);
	for (size_t i = 0; i < n; i++)
		cr_expect_eq(rs->rules[i].handle, want[i], "rule %zu: handle %u, not %u", i,
			     rs->rules[i].handle, want[i]);
}
#define EXPECT_HANDLES(rs, ...) \
	expect_handles(rs, (const __u32[]){ __VA_ARGS__ }, \
		       sizeof((const __u32[]){ __VA_ARGS__ }) / sizeof(__u32))

Test(slots, first_rules_count_from_one)
{
	_ruleset_ struct ruleset *rs = from_file("notrack udp dport 1\nnotrack udp dport 2\n");

	take(rs);
	EXPECT_HANDLES(rs, 1, 2);
	cr_expect_eq(plan->added, 2);
	cr_expect_eq(plan->kept, 0);
	cr_expect_neq(rs->rules[0].slot, CTB_SLOT_FAILSAFE);
	cr_expect_neq(rs->rules[0].slot, rs->rules[1].slot);
	cr_expect_str_eq(slots->info[rs->rules[1].slot].text, "notrack udp dport 2");
	cr_expect_eq(slots->info[rs->rules[1].slot].action, CTB_NOTRACK);
	cr_expect_eq(rs->next_handle, 3);
}

Test(slots, staying_rules_keep_all_wherever_they_move)
{
	_ruleset_ struct ruleset *a = from_file(
		"notrack udp dport 1\nnotrack udp dport 2\nnotrack udp dport 3\n");
	_ruleset_ struct ruleset *b = from_file(
		"notrack udp dport 3\ntrack udp dport 9\nnotrack udp dport 1\n");

	take(a);
	take(b);
	EXPECT_HANDLES(b, 3, 4, 1);
	cr_expect_eq(b->rules[0].slot, a->rules[2].slot);
	cr_expect_eq(b->rules[2].slot, a->rules[0].slot);
	cr_expect_eq(plan->kept, 2);
	cr_expect_eq(plan->added, 1);
	cr_expect_eq(plan->removed, 1);
	cr_expect(plan->fresh[b->rules[1].slot]);
	cr_expect_not(plan->fresh[b->rules[0].slot]);
}

Test(slots, another_action_is_another_rule)
{
	_ruleset_ struct ruleset *a = from_file("notrack udp dport 1\n");
	_ruleset_ struct ruleset *b = from_file("track udp dport 1\n");

	take(a);
	take(b);
	EXPECT_HANDLES(b, 2);
}

Test(slots, a_comment_does_not_make_another_rule)
{
	_ruleset_ struct ruleset *a = from_file("notrack udp dport 1\n");
	_ruleset_ struct ruleset *b = from_file("notrack udp dport 1 comment \"x\"\n");

	take(a);
	take(b);
	EXPECT_HANDLES(b, 1);
	cr_expect(plan->differs[b->rules[0].slot]); /* the text shown is another */
	cr_expect_not(plan->fresh[b->rules[0].slot]);
}

Test(slots, equal_rules_pair_in_order)
{
	_ruleset_ struct ruleset *a = from_file(
		"notrack udp dport 1\nnotrack udp dport 2\nnotrack udp dport 1\n");
	_ruleset_ struct ruleset *b = from_file("notrack udp dport 1\nnotrack udp dport 1\n");

	take(a);
	take(b);
	EXPECT_HANDLES(b, 1, 3);
}

Test(slots, a_handle_tells_equal_rules_apart)
{
	_ruleset_ struct ruleset *a = from_file(
		"notrack udp dport 1\nnotrack udp dport 2\nnotrack udp dport 1\n");
	_ruleset_ struct ruleset *b = NULL;
	__u32 slot;

	take(a);
	slot = a->rules[2].slot;
	b = ruleset_clone(a);
	cr_assert_eq(ruleset_delete(b, 1), 0);
	take(b);
	EXPECT_HANDLES(b, 2, 3);
	cr_expect_eq(b->rules[1].slot, slot);
}

Test(slots, handles_are_never_given_twice)
{
	_ruleset_ struct ruleset *a = from_file("notrack udp dport 1\n");
	_ruleset_ struct ruleset *none = from_file("");
	_ruleset_ struct ruleset *again = from_file("notrack udp dport 1\n");

	take(a);
	take(none);
	take(again);
	EXPECT_HANDLES(again, 2);
}

Test(slots, adopted_info_is_continued)
{
	_ruleset_ struct ruleset *a = from_file("notrack udp dport 1\nnotrack udp dport 2\n");
	_ruleset_ struct ruleset *b = from_file("notrack udp dport 2\nnotrack udp dport 3\n");
	struct slots *next = calloc(1, sizeof(*next));

	take(a);
	slots_load(next, slots->info, 77);
	cr_expect_eq(next->next_handle, 77);
	slots_load(next, slots->info, 0); /* the stored number is lost: never below what is there */
	free(slots);
	slots = next;
	take(b);
	EXPECT_HANDLES(b, 2, 3);
	cr_expect_eq(b->rules[0].slot, a->rules[1].slot);
}

/* N rules with ports from `from` on. */
static struct ruleset *many(unsigned int from, size_t n)
{
	_strbuf_ struct strbuf text = {};

	for (size_t i = 0; i < n; i++)
		strbuf_addf(&text, "notrack udp dport %u\n", from + (unsigned int)i);
	return from_file(text.s ? text.s : "");
}

Test(slots, the_slot_free_for_longest_comes_first)
{
	_ruleset_ struct ruleset *full = many(1, CTB_MAX_RULES - 1);
	_ruleset_ struct ruleset *less = NULL, *least = NULL, *more = NULL;
	_diag_ struct diag d = {};

	take(full);
	less = ruleset_clone(full);
	cr_assert_eq(ruleset_delete(less, 6), 0); /* not the first by number */
	take(less);
	least = ruleset_clone(less);
	cr_assert_eq(ruleset_delete(least, 1), 0);
	take(least);
	more = ruleset_clone(least);
	cr_assert_eq(ruleset_add_rule(more, "notrack tcp dport 1", &d), 0);
	more->rules[more->n_rules - 1].handle = 0;
	take(more);
	cr_expect_eq(more->rules[more->n_rules - 1].slot, full->rules[5].slot);
}

Test(slots, slots_in_use_are_taken_only_when_no_others_are_free)
{
	_ruleset_ struct ruleset *a = many(1, 1500), *b = many(10001, 1500);
	size_t from_a = 0;

	take(a);
	cr_assert_eq(slots_assign(slots, b, plan), 0);
	for (size_t i = 0; i < b->n_rules; i++) {
		__u32 slot = b->rules[i].slot;

		cr_assert_neq(slot, CTB_SLOT_FAILSAFE);
		from_a += slots->info[slot].handle != 0;
		for (size_t k = 0; k < i; k++)
			cr_assert_neq(b->rules[k].slot, slot);
	}
	cr_expect_eq(from_a, 1500 - (CTB_MAX_RULES - 1 - 1500));
}

Test(slots, there_is_a_limit_and_it_is_exact)
{
	_ruleset_ struct ruleset *rs = many(1, CTB_MAX_RULES - 1);

	cr_expect_eq(slots_assign(slots, rs, plan), 0);
	rs->n_rules++; /* the parser knows the limit too; it is not asked here */
	cr_expect_eq(slots_assign(slots, rs, plan), -E2BIG);
	rs->n_rules--;
}

Test(slots, an_assignment_alone_changes_nothing)
{
	_ruleset_ struct ruleset *a = from_file("notrack udp dport 1\n");
	struct slots *before = malloc(sizeof(*before));

	memcpy(before, slots, sizeof(*before));
	cr_assert_eq(slots_assign(slots, a, plan), 0);
	cr_expect_eq(memcmp(before, slots, sizeof(*before)), 0);
	free(before);
}
