// SPDX-License-Identifier: GPL-2.0-only
/* Sets: inline, from files, changed at run time, shared between rulesets. */
#include <errno.h>
#include <time.h>
#include "language.h"
#include "slow.h"

static char dir[] = "/tmp/ctb_sets_XXXXXX";

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	_strbuf_ struct strbuf command = { 0 };

	strbuf_addf(&command, "rm -rf %s", dir);
	cr_assert_eq(system(command.s), 0);
}

TestSuite(sets, .init = make_dir, .fini = remove_dir);

static const char extra[] = "set s file s { 10.0.0.0/8, 192.0.2.0/24 }\nnotrack daddr @s\n";

static void write_file(const char *name, const char *text, size_t len)
{
	_strbuf_ struct strbuf path = { 0 };
	FILE *f;

	strbuf_addf(&path, "%s/%s", dir, name);
	f = fopen(path.s, "w");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(text, 1, len, f), len);
	cr_assert_eq(fclose(f), 0);
}

static struct parsed parse_in_dir(const char *text)
{
	struct parsed p = { 0 };

	p.err = ruleset_parse_text("test.conf", dir, text, strlen(text), &p.rs, &p.d);
	return p;
}

/* A file with this text; what the parser says of a ruleset that uses it. */
static struct parsed load(const char *file, size_t len)
{
	write_file("s", file, len);
	return parse_in_dir("set s file \"s\"\n");
}

static char *set_text(const struct ruleset *rs, const char *name)
{
	struct strbuf out = { 0 };

	set_print(ruleset_set(rs, name), &out);
	return out.s;
}

static void expect_set(const struct ruleset *rs, const char *name, const char *want)
{
	_free_ char *text = set_text(rs, name);

	cr_expect_str_eq(text, want, "%s instead of %s", text, want);
}

Test(sets, normalised)
{
	struct ruleset *rs = must_parse(
		"set a { 10.0.0.0/8, ::1, 10.0.0.0/9, 9.0.0.0/8, ::1, 10.0.0.0/8, ::/0, 10.1.2.3/32 }\n"
		"set p { 90, 80-85, 86, 1-2, 84-88, 80, 65535, 0 }\n");

	expect_set(rs, "a", "set a { 9.0.0.0/8, 10.0.0.0/8, 10.0.0.0/9, 10.1.2.3, ::/0, ::1 }");
	expect_set(rs, "p", "set p { 0-2, 80-88, 90, 65535 }");
	ruleset_free(rs);
}

/* Large unsorted lists, against what must hold of a sorted one. */
Test(sets, sorted)
{
	struct strbuf text = { 0 };
	struct ruleset *rs;
	const struct prefix_list *l;

	srand(1);
	strbuf_addf(&text, "set a {");
	for (int i = 0; i < 20000; i++) {
		__u32 a = (__u32)rand() % 3 ? (__u32)rand() : (__u32)rand() % 50;

		strbuf_addf(&text, " %u.%u.%u.%u, %x:%x::%x,", a >> 24, a >> 16 & 255, a >> 8 & 255,
			    a & 255, a >> 16, a & 0xff, a & 0xfff);
		strbuf_addf(&text, "%u.0.0.0/%u,", a & 254, 7 + a % 20);
	}
	strbuf_addf(&text, "}\n");
	rs = must_parse(text.s);
	l = &rs->sets[0]->addrs;
	for (size_t i = 1; i < l->n4; i++)
		cr_assert(l->v4[i - 1].addr < l->v4[i].addr ||
			  (l->v4[i - 1].addr == l->v4[i].addr && l->v4[i - 1].len < l->v4[i].len));
	for (size_t i = 1; i < l->n6; i++)
		cr_assert(l->v6[i - 1].hi < l->v6[i].hi ||
			  (l->v6[i - 1].hi == l->v6[i].hi && l->v6[i - 1].lo < l->v6[i].lo));
	cr_assert_gt(l->n4, 10000);
	cr_assert_gt(l->n6, 10000);
	ruleset_free(rs);
	strbuf_free(&text);
}

Test(sets, good_files)
{
	static const struct {
		const char *text;
		const char *elements;
	} cases[] = {
		{ "192.0.2.0/24\n2001:db8::/32\n", "192.0.2.0/24, 2001:db8::/32" },
		{ "192.0.2.0/24", "192.0.2.0/24" },
		{ "192.0.2.0/24\r\n\r\n::1\r\n", "192.0.2.0/24, ::1" },
		{ "# a comment, with \xff\n\n  192.0.2.1\t# another\n", "192.0.2.1" },
		{ "\xef\xbb\xbf"
		  "80\n",
		  "80" },
		{ "80\n443\n81-90\n80 # again\n", "80-90, 443" },
		{ "::1#x\n", "::1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed p = load(cases[i].text, strlen(cases[i].text));
		_strbuf_ struct strbuf want = { 0 };
		struct named_set *set;

		cr_assert_eq(p.err, 0, "%zu: %s", i, messages(&p));
		set = ruleset_set(p.rs, "s");
		expect_set(p.rs, "s", "set s file \"s\"");
		set->modified = true;
		strbuf_addf(&want, "set s { %s }", cases[i].elements);
		expect_set(p.rs, "s", want.s);
		parsed_free(&p);
	}
}

Test(sets, bad_files)
{
	static const struct {
		const char *text;
		size_t len; /* 0: strlen */
		const char *where, *message;
	} cases[] = {
		{ "192.0.2.0/24\n  192.0.2.300\n", 0, ":2:3: error: ", "not an IPv4 address" },
		{ "192.0.2.1/24\n", 0, ":1:1: error: ", "the network is 192.0.2.0/24" },
		{ "192.0.2.1 192.0.2.2\n", 0, ":1:11: error: ", "one element a line" },
		{ "192.0.2.1,\n", 0, ":1:1: error: ", "not an IPv4 address" },
		{ "192.0.2.1\n80\n", 0, ":2:1: error: ", "a port where addresses are listed" },
		{ "80\n::1\n", 0, ":2:1: error: ", "an address where ports are listed" },
		{ "\n\n\nfoo", 0, ":4:1: error: ", "neither an address nor a port" },
		{ "80\n70000\n", 0, ":2:1: error: ", "at most 65535" },
		{ "@web\n", 0, ":1:1: error: ", "" },
		{ "local\n", 0, ":1:1: error: ", "neither an address nor a port" },
		{ "80\0\n", 4, ":1:1: error: ", "not a port" },
		{ "\0\0\0\0", 4, ":1:1: error: ", "" },
		{ "\xff\xfe"
		  "1\0",
		  4, ":1:1: error: ", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed p = load(cases[i].text,
				       cases[i].len ? cases[i].len : strlen(cases[i].text));
		_strbuf_ struct strbuf where = { 0 };

		strbuf_addf(&where, "%s/s%s", dir, cases[i].where);
		cr_expect_eq(p.err, -EINVAL, "%zu", i);
		cr_expect_eq(p.d.errors, 1, "%zu: %s", i, messages(&p));
		cr_expect(!strncmp(messages(&p), where.s, where.len), "%zu: want %s\n%s", i,
			  where.s, messages(&p));
		cr_expect(strstr(messages(&p), cases[i].message), "%zu: want %s\n%s", i,
			  cases[i].message, messages(&p));
		cr_expect(strstr(messages(&p), "^ expected "), "%zu: %s", i, messages(&p));
		parsed_free(&p);
	}
}

Test(sets, bad_file_ends_early)
{
	struct strbuf text = { 0 };
	struct parsed p;

	for (int i = 0; i < 100000; i++)
		strbuf_addf(&text, "bad %d\n", i);
	p = load(text.s, text.len);
	cr_assert_eq(p.d.errors, 20);
	parsed_free(&p);
	/* A line longer than the buffer, which is no reason to read on. */
	text.len = 0;
	for (int i = 0; i < 100000; i++)
		strbuf_addf(&text, "          ");
	p = load(text.s, text.len);
	cr_assert_eq(p.d.errors, 1);
	cr_assert_not_null(strstr(messages(&p), "/s:1:1: error: the line is too long"));
	parsed_free(&p);
	strbuf_free(&text);
}

/* Lines that straddle the reader's buffer. */
Test(sets, every_alignment)
{
	struct strbuf text = { 0 };

	for (unsigned int pad = 0; pad < 40; pad++) {
		struct parsed p;

		text.len = 0;
		strbuf_addf(&text, "#%*s\n", (int)pad, "");
		for (unsigned int i = 0; i < 20000; i++)
			strbuf_addf(&text, "10.%u.%u.%u\n", i >> 16, i >> 8 & 255, i & 255);
		p = load(text.s, text.len);
		cr_assert_eq(p.err, 0, "%s", messages(&p));
		cr_assert_eq(p.rs->sets[0]->addrs.n4, 20000);
		for (unsigned int i = 0; i < 20000; i++)
			cr_assert_eq(p.rs->sets[0]->addrs.v4[i].addr, 10U << 24 | i);
		parsed_free(&p);
	}
	strbuf_free(&text);
}

Test(sets, missing_file)
{
	_parsed_ struct parsed p = parse_in_dir("set s file \"nope\"\nnotrack daddr @s\n");
	_strbuf_ struct strbuf want = { 0 };

	cr_assert_eq(p.err, -EINVAL);
	strbuf_addf(&want, "%s/nope: error: cannot read set \"s\": No such file or directory\n",
		    dir);
	cr_assert_not_null(strstr(messages(&p), want.s), "%s", messages(&p));
	cr_assert_not_null(strstr(messages(&p), "test.conf:1:12: error: "));
	cr_assert_eq(p.d.errors, 2, "%s", messages(&p));
}

Test(sets, directory_and_absolute_path)
{
	_strbuf_ struct strbuf text = { 0 };
	struct parsed p;

	strbuf_addf(&text, "set s file \"%s\"\n", dir);
	p = parse_in_dir(text.s);
	cr_assert_not_null(strstr(messages(&p), "Is a directory"), "%s", messages(&p));
	parsed_free(&p);
	write_file("s", "80\n", 3);
	text.len = 0;
	strbuf_addf(&text, "set s file \"%s/s\"\n", dir);
	p = parse(text.s);
	cr_assert_eq(p.err, 0, "%s", messages(&p));
	parsed_free(&p);
}

/* Relative names are beside the file that names them, wherever the program runs. */
Test(sets, beside_the_configuration)
{
	_strbuf_ struct strbuf path = { 0 };
	struct parsed p = { 0 };

	write_file("s", "192.0.2.0/24\n", 13);
	write_file("c", extra, strlen(extra));
	strbuf_addf(&path, "%s/c", dir);
	p.err = ruleset_parse_file(path.s, &p.rs, &p.d);
	cr_assert_eq(p.err, 0, "%s", messages(&p));
	/* The extra elements are part of the set, and the statement is listed as it was. */
	cr_assert_eq(p.rs->sets[0]->addrs.n4, 2);
	expect_set(p.rs, "s", "set s file \"s\" { 10.0.0.0/8, 192.0.2.0/24 }");
	cr_assert_str_eq(p.rs->rules[0].pos.file, path.s);
	parsed_free(&p);
	write_file("c", "set s file s { 80 }\n", 20);
	p.err = ruleset_parse_file(path.s, &p.rs, &p.d);
	cr_assert_eq(p.err, -EINVAL);
	cr_assert_not_null(strstr(messages(&p), "/c:1:16: error: \"80\": a port where addresses"));
	parsed_free(&p);
}

static char *elements_of(char *text, char **out, size_t *n)
{
	*n = 0;
	for (char *e = strtok(text, " "); e; e = strtok(NULL, " "))
		out[(*n)++] = e;
	return text;
}

/* What set add and delete make of a set; NULL: refused, with this message. */
static const struct {
	const char *set;
	bool add;
	const char *elements, *want, *message;
} changes[] = {
	{ "{ }", true, "80", "{ 80 }", NULL },
	{ "{ }", true, "::1", "{ ::1 }", NULL },
	{ "{ }", true, "::1 80", NULL, "\"80\": a port where addresses are listed" },
	{ "{ 80 }", true, "443 81-90", "{ 80-90, 443 }", NULL },
	{ "{ 80 }", true, "80", NULL, "\"80\" is in it already" },
	{ "{ 80-90 }", true, "85-87", NULL, "\"85-87\" is in it already" },
	{ "{ 80-90 }", true, "85-91", "{ 80-91 }", NULL },
	{ "{ 80-90 }", true, "95 95", NULL, "\"95\" is in it already" },
	{ "{ 80-90 }", false, "85", "{ 80-84, 86-90 }", NULL },
	{ "{ 80-90 }", false, "80-90", "{ }", NULL },
	{ "{ 80-90 }", false, "90-91", NULL, "\"90-91\" is not in it" },
	{ "{ 80-90 }", false, "85 85", NULL, "\"85\" is not in it" },
	{ "{ 0, 65535 }", false, "65535", "{ 0 }", NULL },
	{ "{ 0, 65535 }", true, "0-65534", "{ 0-65535 }", NULL },
	{ "{ 80 }", true, "::1", NULL, "an address where ports are listed" },
	{ "{ 80 }", true, "foo", NULL, "\"foo\": not a port" },
	{ "{ 10.0.0.0/8 }", true, "10.0.0.0/9 9.0.0.0/8 ::1 11.0.0.0/8",
	  "{ 9.0.0.0/8, 10.0.0.0/8, 10.0.0.0/9, 11.0.0.0/8, ::1 }", NULL },
	{ "{ 10.0.0.0/8 }", true, "10.0.0.0/8", NULL, "\"10.0.0.0/8\" is in it already" },
	{ "{ 10.0.0.0/8 }", true, "::1 ::1", NULL, "given twice" },
	{ "{ 10.0.0.0/8 }", true, "10.0.0.1/8", NULL, "the network is 10.0.0.0/8" },
	{ "{ 10.0.0.0/8 }", false, "10.0.0.0/9", NULL, "\"10.0.0.0/9\" is not in it" },
	{ "{ 10.0.0.0/8, ::1, ::2 }", false, "::1", "{ 10.0.0.0/8, ::2 }", NULL },
	{ "{ 10.0.0.0/8, ::1 }", false, "::1 10.0.0.0/8", "{ }", NULL },
	{ "{ 10.0.0.0/8 }", false, "10.0.0.0/8 10.0.0.0/8", NULL, "given twice" },
	{ "{ 10.0.0.0/8 }", true, "", NULL, "nothing to add" },
};

Test(sets, changes)
{
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		_strbuf_ struct strbuf text = { 0 }, before = { 0 }, after = { 0 };
		_free_ char *words = strdup(changes[i].elements);
		struct ruleset *rs, *shared;
		struct diag d = { 0 };
		char *elements[8];
		size_t n;
		int err;

		strbuf_addf(&text, "set s %s\n", changes[i].set);
		rs = must_parse(text.s);
		shared = ruleset_clone(rs);
		set_print(rs->sets[0], &before);
		elements_of(words, elements, &n);
		err = ruleset_set_change(rs, "s", changes[i].add, elements, n, &d);
		set_print(rs->sets[0], &after);
		if (changes[i].want) {
			cr_expect_eq(err, 0, "%zu: %s", i, d.text.s);
			cr_expect_str_eq(after.s + 6, changes[i].want, "%zu: %s", i, after.s);
			cr_expect(rs->sets[0]->modified);
		} else {
			cr_expect_eq(err, -EINVAL, "%zu", i);
			cr_expect(strstr(d.text.s, changes[i].message), "%zu: %s", i, d.text.s);
			cr_expect_str_eq(after.s, before.s, "%zu", i);
			cr_expect_not(rs->sets[0]->modified);
		}
		/* The other ruleset's set is not touched. */
		after.len = 0;
		set_print(shared->sets[0], &after);
		cr_expect_str_eq(after.s, before.s, "%zu", i);
		ruleset_free(shared);
		ruleset_free(rs);
		diag_free(&d);
	}
}

Test(sets, rules_follow)
{
	struct ruleset *rs = must_parse("set p { 80 }\nset a { 192.0.2.1, ::1 }\n"
					"notrack tcp dport @p saddr @a\n"
					"notrack udp port { @p, 90 } daddr 192.0.2.0/24\n"
					"notrack saddr @a daddr ::2\n");
	struct ruleset *old = ruleset_clone(rs);
	char *port[] = { "81" }, *addr[] = { "192.0.2.2" }, *v6[] = { "::1" };
	struct diag d = { 0 };
	char *before, *after;

	cr_assert_eq(ruleset_set_change(rs, "p", true, port, 1, &d), 0);
	cr_assert_eq(ruleset_set_change(rs, "a", true, addr, 1, &d), 0);
	cr_assert_eq(rs->rules[0].dport.items[0].set, rs->sets[0]);
	cr_assert_eq(rs->rules[0].dport.flat.ranges[0].hi, 81);
	cr_assert_eq(rs->rules[1].port.flat.ranges[0].hi, 81);
	cr_assert_eq(rs->rules[0].saddr.items[0].set, rs->sets[1]);
	cr_assert_eq(rs->sets[1]->addrs.n4, 2);
	cr_assert_eq(old->rules[0].dport.flat.ranges[0].hi, 80);
	cr_assert_eq(old->sets[1]->addrs.n4, 1);
	ruleset_free(old);
	/* Rule 3 could fit nothing without the IPv6 address: what the file may not say either. */
	before = printed(rs);
	cr_assert_eq(ruleset_set_change(rs, "a", false, v6, 1, &d), -EINVAL);
	cr_assert_not_null(strstr(d.text.s, "then no packet could fit rule 3"), "%s", d.text.s);
	after = printed(rs);
	cr_assert_str_eq(before, after);
	cr_assert_eq(rs->rules[2].saddr.items[0].set, rs->sets[1]);
	diag_free(&d);
	/* But a set may be emptied. */
	cr_assert_eq(ruleset_set_change(rs, "a", false,
					(char *[]){ "::1", "192.0.2.1", "192.0.2.2" }, 3, &d),
		     0);
	cr_assert_eq(ruleset_set_change(rs, "nope", true, port, 1, &d), -EINVAL);
	cr_assert_not_null(strstr(d.text.s, "unknown set \"nope\""));
	diag_free(&d);
	free(before);
	free(after);
	ruleset_free(rs);
}

/* A set outlives the ruleset and the file name that declared it. */
Test(sets, shared_set_outlives)
{
	struct ruleset *rs = must_parse("set p { 80 }\nnotrack tcp dport @p\n"), *copy;

	copy = ruleset_clone(rs);
	cr_assert_eq(copy->sets[0], rs->sets[0]);
	cr_assert_eq(copy->sets[0]->refs, 2);
	ruleset_free(rs);
	cr_assert_eq(copy->sets[0]->refs, 1);
	cr_assert_str_eq(copy->sets[0]->pos.file, "test.conf");
	cr_assert_str_eq(copy->rules[0].pos.file, "test.conf");
	cr_assert_eq(copy->rules[0].dport.flat.ranges[0].lo, 80);
	ruleset_free(copy);
}

/* A set declared empty gets its kind from its use, in the ruleset where it is used. */
Test(sets, kind_by_use)
{
	struct ruleset *rs = must_parse("set e { }\n"), *copy = ruleset_clone(rs);
	struct diag d = { 0 };
	char *port[] = { "80" }, *addr[] = { "::1" };

	cr_assert_eq(ruleset_add_rule(rs, "notrack tcp dport @e", &d), 0);
	cr_assert_eq(rs->sets[0]->kind, SET_PORTS);
	cr_assert_eq(rs->rules[0].dport.items[0].set, rs->sets[0]);
	cr_assert_eq(copy->sets[0]->kind, SET_UNKNOWN);
	cr_assert_eq(ruleset_set_change(copy, "e", true, addr, 1, &d), 0);
	cr_assert_eq(ruleset_set_change(rs, "e", true, addr, 1, &d), -EINVAL);
	cr_assert_eq(ruleset_set_change(rs, "e", true, port, 1, &d), 0);
	cr_assert_eq(rs->rules[0].dport.flat.n, 1);
	ruleset_free(copy);
	ruleset_free(rs);
	diag_free(&d);
}

Test(sets, add_and_delete_rules)
{
	struct ruleset *rs = must_parse("set e { }\nnotrack tcp\n");
	struct diag d = { 0 };
	static const struct {
		const char *text, *message;
	} bad[] = {
		{ "", "command line:1:1: error: the text ends too early" },
		{ "set x { 1 }", "command line:1:1: error: unexpected \"set\"" },
		{ "mark 1", "command line:1:1: error: unexpected \"mark\"" },
		{ "notrack udp\nnotrack gre", "command line:2:1: error: unexpected \"notrack\"" },
		{ "notrack udp }", "command line:1:13: error: unexpected \"}\"" },
		{ "notrack udp dport @x", "command line:1:19: error: unknown set \"x\"" },
		{ "notrack saddr @e dport 70000", "command line:1:24: error: \"70000\"" },
		{ "notrack saddr @e dport @e", "for addresses and for ports" },
	};
	char *before = printed(rs), *after;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(ruleset_add_rule(rs, bad[i].text, &d), -EINVAL, "%s", bad[i].text);
		cr_expect(strstr(d.text.s, bad[i].message), "want %s\n%s", bad[i].message,
			  d.text.s);
		diag_free(&d);
		after = printed(rs);
		cr_expect_str_eq(before, after);
		cr_expect_eq(rs->next_handle, 2);
		cr_expect_eq(rs->sets[0]->kind, SET_UNKNOWN, "%s", bad[i].text);
		free(after);
	}
	free(before);
	cr_assert_eq(ruleset_add_rule(rs, "notrack udp dport { 1,\n2 } comment \"x\"\n", &d), 0);
	cr_assert_eq(rs->n_rules, 2);
	cr_assert_eq(rs->rules[1].handle, 2);
	cr_assert(rs->rules[1].runtime);
	cr_assert_not(rs->rules[0].runtime);
	cr_assert_str_eq(rs->rules[1].pos.file, "command line");
	cr_assert_eq(d.warnings, 0, "%s", d.text.s);
	cr_assert_eq(ruleset_add_rule(rs, "track udp dport 2", &d), 0);
	cr_assert_eq(d.warnings, 1);
	cr_assert_not_null(strstr(d.text.s, "rule 2 fits all of them first"), "%s", d.text.s);
	cr_assert_eq(ruleset_find(rs, 3), 2);
	cr_assert_eq(ruleset_delete(rs, 2), 0);
	cr_assert_eq(ruleset_delete(rs, 2), -ENOENT);
	cr_assert_eq(ruleset_find(rs, 3), 1);
	cr_assert_eq(ruleset_find(rs, 2), -ENOENT);
	/* Handles are not used again. */
	cr_assert_eq(ruleset_add_rule(rs, "track gre", &d), 0);
	cr_assert_eq(rs->rules[2].handle, 4);
	diag_free(&d);
	ruleset_free(rs);
}

Test(sets, full_ruleset_takes_no_more)
{
	struct strbuf text = { 0 };
	struct diag d = { 0 };
	struct ruleset *rs;

	for (int i = 0; i < CTB_MAX_RULES - 1; i++)
		strbuf_addf(&text, "notrack tcp dport %d\n", i + 1000);
	rs = must_parse(text.s);
	cr_assert_eq(ruleset_add_rule(rs, "notrack gre", &d), -EINVAL);
	cr_assert_eq(rs->n_rules, CTB_MAX_RULES - 1);
	cr_assert_eq(ruleset_delete(rs, 7), 0);
	diag_free(&d);
	cr_assert_eq(ruleset_add_rule(rs, "notrack gre", &d), 0);
	ruleset_free(rs);
	diag_free(&d);
	strbuf_free(&text);
}

/* A million lines: seconds would be a mistake of order, not of the machine. */
Test(sets, million_lines)
{
	_strbuf_ struct strbuf text = { 0 };
	struct timespec start, end;
	unsigned int a = 1;
	struct parsed p;
	double seconds;

	for (unsigned int i = 0; i < 1000000; i++) {
		a = a * 1664525U + 1013904223U;
		strbuf_addf(&text, "%u.%u.%u.0/24\n", a >> 24, a >> 16 & 255, i & 255);
	}
	write_file("s", text.s, text.len);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	p = parse_in_dir("set s file \"s\"\nnotrack daddr @s\n");
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	cr_assert_eq(p.err, 0, "%s", messages(&p));
	cr_assert_gt(p.rs->sets[0]->addrs.n4, 900000);
	/* The array is no larger than its elements. */
	cr_assert_eq(p.rs->sets[0]->addrs.cap4, p.rs->sets[0]->addrs.n4);
	cr_assert_lt(seconds, at_most(4), "%.2f s", seconds);
	parsed_free(&p);
}
