// SPDX-License-Identifier: GPL-2.0-only
/* Rules to orientations, and what happens to rules that nft cannot be given for local output. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "expand.h"

struct fixture {
	struct ruleset *rs;
	struct entries e;
	struct diag d;
	int err;
};

static void expand_text(struct fixture *f, const char *sets, const char *rules)
{
	_strbuf_ struct strbuf text = {};

	*f = (struct fixture){};
	strbuf_addf(&text, "failsafe { }\n%s%s\n", sets ? sets : "", rules);
	cr_assert_eq(ruleset_parse_text("t", ".", text.s, text.len, &f->rs, &f->d), 0, "%s",
		     f->d.text.s);
	diag_free(&f->d);
	f->d = (struct diag){};
	f->err = expand_ruleset(f->rs, &f->e, &f->d);
}

static void release(struct fixture *f)
{
	entries_free(&f->e);
	ruleset_free(f->rs);
	diag_free(&f->d);
}

/* Directions in order, as letters, and whether the entry can be this host's output. */
static void expect(const char *rules, const char *dirs, const char *output)
{
	struct fixture f;
	char got[16] = "", out[16] = "";

	expand_text(&f, NULL, rules);
	cr_assert_eq(f.err, 0);
	cr_assert_lt(f.e.n, sizeof(got));
	for (size_t i = 0; i < f.e.n; i++) {
		got[i] = f.e.e[i].dir == CTB_DIR_ORIG ? 'o' : 'r';
		out[i] = entry_can_be_output(&f.e.e[i]) ? 'y' : 'n';
	}
	cr_expect_str_eq(got, dirs, "%s: %s", rules, got);
	cr_expect_str_eq(out, output, "%s: %s", rules, out);
	release(&f);
}

Test(expand, orientations)
{
	expect("notrack udp dport 53", "or", "yy");
	expect("notrack udp dport 53 oneway", "o", "y");
	expect("notrack icmp", "o", "y"); /* reads the same both ways */
	expect("notrack daddr !local saddr !local", "o", "y");
	expect("notrack daddr 192.0.2.0/24 saddr 192.0.2.0/24", "o", "y");
	expect("notrack daddr 192.0.2.0/24 saddr 198.51.100.0/24", "or", "yy");
	expect("notrack udp port 53", "or", "yy");
	expect("notrack udp port 53 oneway", "oo", "yy");
	expect("notrack udp port 53 daddr local", "oror", "yyyy");
	expect("notrack udp dport 53 daddr 192.0.2.1 saddr !local", "or", "yy");
	expect("notrack udp dport 53 daddr local iif eth0", "or", "ny");
	expect("notrack udp dport 53 iif eth0 oneway", "o", "n");
}

static void set_of(struct strbuf *b, const char *name, unsigned int n)
{
	strbuf_addf(b, "set %s {\n", name);
	for (unsigned int i = 0; i < n; i++)
		strbuf_addf(b, "%u.%u.%u.0/24,\n", 1 + i / 65536, i / 256 % 256, i % 256);
	strbuf_addf(b, "}\n");
}

/* Too many prefixes for nft: `rules` gives this error, and this many entries for transit only. */
static void expect_large(const char *rules, int err, size_t transit_only, const char *message)
{
	_strbuf_ struct strbuf sets = {};
	struct fixture f;
	size_t n = 0;

	set_of(&sets, "big", NFT_PREFIXES_MAX + 1);
	set_of(&sets, "half", NFT_PREFIXES_MAX / 2);
	set_of(&sets, "other", NFT_PREFIXES_MAX / 2);
	expand_text(&f, sets.s, rules);
	cr_expect_eq(f.err, err, "%s", rules);
	for (size_t i = 0; i < f.e.n; i++)
		n += f.e.e[i].transit_only;
	cr_expect_eq(n, transit_only, "%s: %zu", rules, n);
	if (message)
		cr_expect(f.d.text.s && strstr(f.d.text.s, message), "%s: %s", rules, f.d.text.s);
	else
		cr_expect_null(f.d.text.s, "%s: %s", rules, f.d.text.s);
	release(&f);
}

Test(expand, prefixes_that_nft_cannot_be_given)
{
	expect_large("notrack daddr @half", 0, 0, NULL);
	expect_large("notrack daddr @big", 0, 2, "covers transit traffic only");
	expect_large("notrack daddr @big saddr !local", 0, 2, "covers transit traffic only");
	/* What is never this host's output is not narrowed: nft had nothing to judge. */
	expect_large("notrack daddr @big oneway saddr !local", 0, 0, NULL);
	expect_large("notrack udp dport 53 saddr @big daddr local", -E2BIG, 0, "concerns local");
	/* Narrowed, an exception would let what it exempts fall to the rules behind it. */
	expect_large("track daddr @big", -E2BIG, 0, "concerns local");
	expect_large("track daddr @big saddr !local", 0, 2, "covers transit traffic only");
	expect_large("track daddr @big saddr !local oneway", 0, 0, NULL);
}

Test(expand, the_limit_is_of_all_rules_and_counts_a_set_once)
{
	expect_large("notrack daddr @half\nnotrack saddr @half dport 53", 0, 0, NULL);
	expect_large("notrack daddr @half\nnotrack daddr @other", 0, 0, NULL);
	expect_large("notrack daddr @half\nnotrack daddr @other\nnotrack daddr 240.0.0.1", 0, 2,
		     "covers transit traffic only");
	/* A narrowed rule takes nothing of what the next one may have. */
	expect_large("notrack daddr @big\nnotrack daddr @half\nnotrack daddr @other", 0, 2,
		     "covers transit traffic only");
}
