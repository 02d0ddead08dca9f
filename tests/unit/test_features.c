// SPDX-License-Identifier: GPL-2.0-only
/* What features come to: which are missing, which are told. Trying them is for tests/e2e. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "features_priv.h"

static struct features all(enum feature_state state)
{
	struct features f = {};

	for (int i = 0; i < FEATURE_MAX; i++)
		f.f[i].state = state;
	return f;
}

static size_t missing(const struct features *f)
{
	_strbuf_ struct strbuf text = {};
	size_t n = features_missing(f, &text);

	cr_assert_eq(n > 0, text.len > 0);
	return n;
}

struct told {
	enum feature_id ids[FEATURE_MAX];
	size_t n;
};

static void note(void *arg, enum feature_id id)
{
	struct told *t = arg;

	t->ids[t->n++] = id;
}

static bool tells(const struct features *f, enum feature_id id)
{
	struct told t = {};

	features_lacking(f, note, &t);
	for (size_t i = 0; i < t.n; i++) {
		if (t.ids[i] == id)
			return true;
	}
	return false;
}

Test(features, each_has_its_words)
{
	for (int i = 0; i < FEATURE_MAX; i++) {
		enum feature_id id = (enum feature_id)i;

		cr_expect_lt(strlen(feature_name(id)), 18, "%s fills its column", feature_name(id));
		cr_expect_gt(strlen(feature_what_for(id)), 0);
		cr_expect_gt(strlen(feature_without(id)), 0);
		for (int k = 0; k < i; k++)
			cr_expect_str_neq(feature_name(id), feature_name((enum feature_id)k));
	}
}

Test(features, nothing_is_missing_where_all_is_there)
{
	struct features f = all(FEATURE_YES);

	cr_assert_eq(missing(&f), 0);
}

/* What could not be tried is no reason to refuse. */
Test(features, unknown_is_not_missing)
{
	struct features f = all(FEATURE_UNKNOWN);
	struct told t = {};

	cr_assert_eq(missing(&f), 0);
	features_lacking(&f, note, &t);
	cr_assert_eq(t.n, 0);
}

Test(features, each_required_one_is_missed_alone)
{
	for (int i = 0; i < FEATURE_MAX; i++) {
		struct features f = all(FEATURE_YES);
		enum feature_id id = (enum feature_id)i;

		f.f[i].state = FEATURE_NO;
		cr_expect_eq(missing(&f), feature_need(id) == FEATURE_REQUIRED, "%s",
			     feature_name(id));
	}
}

Test(features, missing_ones_are_named_with_what_was_seen)
{
	struct features f = all(FEATURE_YES);
	_strbuf_ struct strbuf text = {};

	feature_set(&f, FEATURE_NFT_NOTRACK, FEATURE_NO, "seen %d", 7);
	feature_set(&f, FEATURE_BPFFS, FEATURE_NO, "%s", "");
	cr_assert_eq(features_missing(&f, &text), 2);
	cr_expect_str_eq(text.s, "bpffs: what is loaded outlives the daemon\n"
				 "nft-notrack: expression `notrack` (seen 7)\n");
}

/* One way to attach is enough. */
Test(features, tcx_or_clsact)
{
	struct features f = all(FEATURE_YES);

	f.f[FEATURE_TCX].state = FEATURE_NO;
	cr_expect_eq(missing(&f), 0);
	cr_expect(tells(&f, FEATURE_TCX));
	f.f[FEATURE_CLSACT].state = FEATURE_UNKNOWN;
	cr_expect_eq(missing(&f), 0);
	f.f[FEATURE_CLSACT].state = FEATURE_NO;
	cr_expect_eq(missing(&f), 1);
	f.f[FEATURE_TCX].state = FEATURE_YES;
	cr_expect_eq(missing(&f), 0);
	cr_expect_not(tells(&f, FEATURE_CLSACT), "which nothing would use");
}

Test(features, who_cannot_mount_need_not_where_it_is_mounted)
{
	struct features f = all(FEATURE_YES);

	f.f[FEATURE_CAP_SYS_ADMIN].state = FEATURE_NO;
	cr_expect_not(tells(&f, FEATURE_CAP_SYS_ADMIN));
	f.f[FEATURE_BPFFS].state = FEATURE_NO;
	cr_expect(tells(&f, FEATURE_CAP_SYS_ADMIN));
	cr_expect_eq(missing(&f), 1);
}

Test(features, only_what_is_optional_is_told)
{
	struct features f = all(FEATURE_NO);

	cr_expect(tells(&f, FEATURE_NETDEV_GENL));
	cr_expect_not(tells(&f, FEATURE_NF_TABLES), "without it there is no daemon to tell");
	cr_expect_not(tells(&f, FEATURE_UNTRACK_KFUNC), "which nothing uses");
}

/* An attempt that was not allowed, or failed for want of memory, says nothing of the kernel. */
Test(features, errors_that_say_nothing)
{
	static const struct {
		int err;
		enum feature_state state;
	} cases[] = {
		{ 0, FEATURE_YES },
		{ -EPERM, FEATURE_UNKNOWN },
		{ -EACCES, FEATURE_UNKNOWN },
		{ -ENOMEM, FEATURE_UNKNOWN },
		{ -EINVAL, FEATURE_NO },
		{ -ENOSYS, FEATURE_NO },
		{ -EOPNOTSUPP, FEATURE_NO },
		{ -ENOENT, FEATURE_NO },
		{ -EPROTONOSUPPORT, FEATURE_NO },
	};
	struct features f;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		feature_set_err(&f, FEATURE_TCX, cases[i].err);
		cr_expect_eq(f.f[FEATURE_TCX].state, cases[i].state, "%s", strerror(-cases[i].err));
		cr_expect_eq(!cases[i].err, !f.f[FEATURE_TCX].detail[0]);
	}
}

/* Whoever runs this: it comes back, and capabilities are known at least. */
Test(features, trying)
{
	struct features f;

	cr_assert_eq(features_probe("/sys/fs/bpf/ctbypass", false, &f), 0);
	cr_expect_gt(strlen(f.release), 0);
	cr_expect_neq(f.f[FEATURE_CAP_BPF].state, FEATURE_UNKNOWN);
	cr_expect_eq(f.f[FEATURE_RTNL_STRICT].state, FEATURE_YES);
}
