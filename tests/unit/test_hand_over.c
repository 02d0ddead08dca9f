// SPDX-License-Identifier: GPL-2.0-only
/* The order of things when the data plane goes over from mark to direct mode, and back. */
#include <criterion/criterion.h>
#include <string.h>

#include "apply_fakes.h"

TestSuite(hand_over, .init = fake_setup, .fini = fake_teardown);

static void hand_over_by(enum hand_over_method ingress, enum hand_over_method output)
{
	fake.next_how = (struct hand_over){
		.ingress = ingress, .output = output, .ingress_why = "so", .output_why = "so"
	};
}

static __u64 sent_by_rule_2(void)
{
	json_t *v = ask("{\"cmd\":\"stats\"}"),
	       *o = json_object_get(json_array_get(json_object_get(v, "rules"), 1), "output");
	__u64 n = (__u64)json_integer_value(
		json_object_get(json_object_get(o, "reply"), "packets"));

	json_decref(v);
	return n;
}

Test(hand_over, the_table_goes_when_programs_judge_everywhere)
{
	hand_over_by(HAND_OVER_DIRECT, HAND_OVER_DIRECT);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"direct\"}"));
	cr_expect_eq(fake.wish, HAND_OVER_ONLY_DIRECT);
	/* The rules are the same, so nft has nothing to change; then its output chain is emptied.
	 */
	expect_trace(" prepare commit nft sweep-both ");
	cr_expect_str_eq(fake.last_script.s, NFT_SILENCE);
	cr_expect_neq(nft_state_mark(d->nft), 0, "packets are on their way with a mark");
	/* No change of rules makes it speak again. */
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	expect_trace(" prepare zero info commit sweep-both journal ");
	forget();
	apply_settle(d);
	expect_trace(" sweep remove ");
	cr_expect_null(d->nft);
	cr_expect_eq(fake.carried[d->live.rs->rules[1].slot].count[CTB_DIR_REPLY].packets, 44);
	cr_expect_eq(fake.carried[CTB_SLOT_FAILSAFE].count[CTB_DIR_ORIG].bytes, 2200);
	cr_expect_eq(sent_by_rule_2(), 44); /* nft is not asked any more */
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack gre\"}"));
	expect_trace(" prepare zero info commit sweep-both journal ");
	cr_expect_not(nft_half_wanted(d));

	/* And back: the table is made before the programs go. */
	hand_over_by(HAND_OVER_MARK, HAND_OVER_MARK);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"mark\"}"));
	expect_trace(" prepare nft commit sweep-both ");
	cr_expect_not_null(strstr(fake.last_script.s, "chain prerouting"));
	cr_expect_eq(nft_state_mark(d->nft), d->live.rs->mark);
	cr_expect_eq(sent_by_rule_2(), 44 + 44); /* what was carried over, and what nft has */
}

Test(hand_over, mark_mode_again_before_the_table_is_gone)
{
	hand_over_by(HAND_OVER_DIRECT, HAND_OVER_DIRECT);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"auto\"}"));
	hand_over_by(HAND_OVER_MARK, HAND_OVER_MARK);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"mark\"}"));
	expect_trace(" prepare remove nft commit sweep-both ");
	cr_expect_not(d->nft_leaving);
	cr_expect_not_null(strstr(fake.last_script.s, "chain output"));
}

Test(hand_over, only_what_arrives_is_direct)
{
	hand_over_by(HAND_OVER_DIRECT, HAND_OVER_MARK);
	cr_assert(done("{\"cmd\":\"hand-over\",\"method\":\"auto\"}"));
	expect_trace(" prepare commit sweep-both ");
	forget();
	apply_settle(d);
	expect_trace(" sweep nft ");
	cr_expect_not_null(strstr(fake.last_script.s, "delete chain inet ctbypass prerouting"),
			   "%s", fake.last_script.s);
	cr_expect_eq(nft_state_mark(d->nft), 0);
	cr_expect(nft_half_wanted(d));
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	expect_trace(" prepare zero info nft commit sweep-both journal ");
	cr_expect_null(strstr(fake.last_script.s, "prerouting"), "%s", fake.last_script.s);
}

Test(hand_over, a_method_that_is_not_to_be_had_changes_nothing)
{
	_free_ char *error = NULL;

	fake.wish = HAND_OVER_AUTO;
	fake.fail_at = "prepare";
	error = refused("{\"cmd\":\"hand-over\",\"method\":\"direct\"}");
	cr_expect_eq(fake.wish, HAND_OVER_AUTO);
	expect_trace(" prepare abort ");
	fake.fail_at = NULL;
	free(error);
	error = refused("{\"cmd\":\"hand-over\",\"method\":\"fast\"}");
	cr_expect_not_null(strstr(error, "auto, mark or direct"), "%s", error);
	expect_trace(" ");
}
