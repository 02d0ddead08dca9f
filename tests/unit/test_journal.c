// SPDX-License-Identifier: GPL-2.0-only
/* Run-time changes as lines: what is written is what is read back, on the same file. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "daemon.h"

static struct ruleset *parse(const char *text)
{
	struct ruleset *rs = NULL;
	_diag_ struct diag d = {};

	cr_assert_eq(ruleset_parse_text("test", ".", text, strlen(text), &rs, &d), 0, "%s",
		     d.text.s ? d.text.s : "");
	return rs;
}

static const char file[] = "set web { 80 }\n"
			   "set nets { 192.0.2.0/24 }\n"
			   "notrack udp dport 1\n"
			   "notrack tcp dport @web daddr @nets\n"
			   "notrack udp dport 1\n"
			   "track udp dport 5\n";

static char *print(const struct ruleset *rs)
{
	struct strbuf b = {};

	ruleset_print(rs, false, &b);
	return b.s;
}

Test(journal, replayed_on_the_same_file_it_gives_the_same_rules)
{
	_cleanup_(journal_lines_free) struct journal_lines lines = {};
	_ruleset_ struct ruleset *live = parse(file), *next = parse(file);
	_free_ char *want = NULL, *got = NULL;
	_diag_ struct diag d = {};
	int i;

	/* As handles are in a daemon that has seen several files. */
	for (size_t k = 0; k < live->n_rules; k++)
		live->rules[k].handle = (__u32)(100 - 7 * k);
	cr_assert_eq(ruleset_add_rule(live, "notrack icmp comment \"two words\"", &d), 0);
	cr_assert_eq(journal_add(&lines, &live->rules[live->n_rules - 1]), 0);
	i = ruleset_find(live, 86); /* the second of the equal rules */
	cr_assert_eq(i, 2);
	cr_assert_eq(journal_delete(&lines, 86, (size_t)i), 0);
	cr_assert_eq(ruleset_delete(live, 86), 0);
	cr_assert_eq(ruleset_set_change(live, "web", true, (char *[]){ "443", "8000-8010" }, 2, &d),
		     0);
	cr_assert_eq(journal_set(&lines, true, "web", (char *[]){ "443", "8000-8010" }, 2), 0);
	cr_assert_eq(ruleset_set_change(live, "nets", false, (char *[]){ "192.0.2.0/24" }, 1, &d),
		     0);
	cr_assert_eq(journal_set(&lines, false, "nets", (char *[]){ "192.0.2.0/24" }, 1), 0);

	cr_expect_str_eq(lines.v[0], "add notrack icmp comment \"two words\"");
	cr_expect_str_eq(lines.v[1], "delete 86 # 2");
	cr_expect_str_eq(lines.v[2], "set add web 443 8000-8010");
	cr_expect_str_eq(lines.v[3], "set delete nets 192.0.2.0/24");
	for (size_t k = 0; k < lines.n; k++)
		cr_assert_eq(journal_replay(next, lines.v[k], &d), 0, "%s", lines.v[k]);
	want = print(live);
	got = print(next);
	cr_expect_str_eq(got, want);
	cr_expect(next->rules[next->n_rules - 1].runtime);
}

Test(journal, long_changes_of_sets_take_several_lines)
{
	_cleanup_(journal_lines_free) struct journal_lines lines = {};
	_ruleset_ struct ruleset *rs = parse("set nets { 192.0.2.0/24 }\nnotrack saddr @nets\n");
	_diag_ struct diag d = {};
	char *elements[500];
	size_t there = 0;

	for (size_t i = 0; i < ARRAY_SIZE(elements); i++)
		cr_assert_geq(asprintf(&elements[i], "2001:db8:%zx::/48", i + 1), 0);
	cr_assert_eq(journal_set(&lines, true, "nets", elements, ARRAY_SIZE(elements)), 0);
	cr_expect_gt(lines.n, 5);
	for (size_t i = 0; i < lines.n; i++) {
		cr_expect_lt(strlen(lines.v[i]), JOURNAL_LINE_MAX);
		cr_assert_eq(journal_replay(rs, lines.v[i], &d), 0, "%s", lines.v[i]);
	}
	there = rs->sets[0]->addrs.n6;
	cr_expect_eq(there, ARRAY_SIZE(elements));
	for (size_t i = 0; i < ARRAY_SIZE(elements); i++)
		free(elements[i]);
}

Test(journal, the_longest_line_and_one_more)
{
	_cleanup_(journal_lines_free) struct journal_lines lines = {};
	char element[JOURNAL_LINE_MAX + 1];
	size_t head = strlen("set add s ");

	memset(element, '1', sizeof(element));
	element[JOURNAL_LINE_MAX - 1 - head] = '\0';
	cr_expect_eq(journal_set(&lines, true, "s", (char *[]){ element }, 1), 0);
	cr_assert_eq(lines.n, 1);
	cr_expect_eq(strlen(lines.v[0]), JOURNAL_LINE_MAX - 1);
	element[JOURNAL_LINE_MAX - 1 - head] = '1';
	element[JOURNAL_LINE_MAX - head] = '\0';
	cr_expect_eq(journal_set(&lines, true, "s", (char *[]){ element }, 1), -EFBIG);
}

Test(journal, a_rule_too_long_is_told)
{
	_cleanup_(journal_lines_free) struct journal_lines lines = {};
	_ruleset_ struct ruleset *rs = parse("");
	_strbuf_ struct strbuf text = {};
	_diag_ struct diag d = {};

	strbuf_addf(&text, "notrack udp dport { 1");
	for (int i = 3; i < 1000; i += 2)
		strbuf_addf(&text, ", %d", i);
	strbuf_addf(&text, " }");
	cr_assert_eq(ruleset_add_rule(rs, text.s, &d), 0);
	cr_expect_eq(journal_add(&lines, &rs->rules[0]), -EFBIG);
	cr_expect_eq(lines.n, 0);
}

/* Comments of every length, so that the line passes the limit byte by byte. */
Test(journal, rules_to_the_last_byte)
{
	char comment[COMMENT_MAX];
	size_t fits = 0, over = 0;

	for (size_t n = 1; n < sizeof(comment); n++) {
		_cleanup_(journal_lines_free) struct journal_lines lines = {};
		_ruleset_ struct ruleset *rs = parse("");
		_strbuf_ struct strbuf text = {};
		_diag_ struct diag d = {};
		int err;

		memset(comment, 'c', n);
		comment[n] = '\0';
		strbuf_addf(&text, "notrack udp dport { 10000");
		for (int i = 10002; i < 10262; i += 2)
			strbuf_addf(&text, ", %d", i);
		strbuf_addf(&text, " } comment \"%s\"", comment);
		cr_assert_eq(ruleset_add_rule(rs, text.s, &d), 0, "%s", d.text.s);
		err = journal_add(&lines, &rs->rules[0]);
		if (err) {
			cr_expect_eq(err, -EFBIG);
			over++;
		} else {
			cr_expect_lt(strlen(lines.v[0]), JOURNAL_LINE_MAX);
			fits = strlen(lines.v[0]);
		}
	}
	cr_expect_gt(over, 0);
	cr_expect_eq(fits, JOURNAL_LINE_MAX - 1);
}

Test(journal, nonsense_is_refused_and_changes_nothing)
{
	static const char *const lines[] = {
		"",
		"add",
		"add ",
		"add nonsense",
		"delete",
		"delete 7",
		"delete 7 # 4",
		"delete 7 # x",
		"delete 7 # 1 x",
		"set add",
		"set add web",
		"set add nope 1",
		"set frob web 1",
		"set delete web 443",
		"forget 1",
	};
	_ruleset_ struct ruleset *rs = parse(file);
	_free_ char *before = print(rs);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_diag_ struct diag d = {};
		_free_ char *after = NULL;

		cr_expect_lt(journal_replay(rs, lines[i], &d), 0, "%s", lines[i]);
		after = print(rs);
		cr_expect_str_eq(after, before, "%s", lines[i]);
	}
}

/* --- the hash --- */

static char dir[] = "/tmp/ctb-journal-XXXXXX", config[64], set_file[64];

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

static __u64 hash_now(void)
{
	_ruleset_ struct ruleset *rs = NULL;
	_diag_ struct diag d = {};
	__u64 h = 0;

	cr_assert_eq(ruleset_parse_file(config, &rs, &d), 0, "%s", d.text.s);
	cr_assert_eq(journal_hash(config, rs, &h), 0);
	return h;
}

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(config, sizeof(config), "%s/c.conf", dir);
	snprintf(set_file, sizeof(set_file), "%s/s.prefixes", dir);
}

static void remove_dir(void)
{
	unlink(config);
	unlink(set_file);
	rmdir(dir);
}

Test(journal, the_hash_sees_every_byte_of_every_file, .init = make_dir, .fini = remove_dir)
{
	__u64 first, second;

	write_file(config, "set s file \"s.prefixes\"\nnotrack saddr @s\n");
	write_file(set_file, "192.0.2.0/24\n");
	first = hash_now();
	cr_expect_eq(hash_now(), first);
	write_file(set_file, "192.0.3.0/24\n");
	second = hash_now();
	cr_expect_neq(second, first);
	write_file(set_file, "192.0.2.0/24\n");
	cr_expect_eq(hash_now(), first);
	write_file(config, "set s file \"s.prefixes\"\nnotrack saddr @s\n\n");
	cr_expect_neq(hash_now(), first);
	cr_expect_neq(hash_now(), second);
}

Test(journal, a_set_file_that_is_gone_is_an_error, .init = make_dir, .fini = remove_dir)
{
	_ruleset_ struct ruleset *rs = NULL;
	_diag_ struct diag d = {};
	__u64 h = 7;

	write_file(config, "set s file \"s.prefixes\"\nnotrack saddr @s\n");
	write_file(set_file, "192.0.2.0/24\n");
	cr_assert_eq(ruleset_parse_file(config, &rs, &d), 0);
	unlink(set_file);
	cr_expect_eq(journal_hash(config, rs, &h), -ENOENT);
	cr_expect_eq(h, 7);
}
