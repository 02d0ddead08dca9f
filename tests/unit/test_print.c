// SPDX-License-Identifier: GPL-2.0-only
/*
 * `list` output is input: random rulesets, written with every liberty the language leaves, print
 * as text that parses to the same rules and prints the same again.
 */
#include <errno.h>
#include "language.h"

static unsigned int seed;

static unsigned int below(unsigned int n)
{
	seed = seed * 1103515245U + 12345U;
	return (seed >> 8) % n;
}

static const char *blank(void)
{
	static const char *const blanks[] = { " ", "  ", "\t", " \t " };

	return blanks[below(4)];
}

static void add_prefix(struct strbuf *b, bool v6)
{
	unsigned int len;

	if (v6) {
		struct prefix6 p = { .hi = (__u64)below(1 << 24) << 40 | below(1 << 24) };

		len = below(129);
		p.hi &= len >= 64 ? ~0ULL : len ? ~0ULL << (64 - len) : 0;
		p.lo = len > 64 ? (__u64)below(1 << 24) << 40 & ~0ULL << (128 - len) : 0;
		p.len = (__u8)len;
		prefix6_print(p, b);
	} else {
		struct prefix4 p = { .addr = below(1 << 24) << 8 | below(256) };

		len = below(33);
		p.addr &= len ? ~0U << (32 - len) : 0;
		p.len = (__u8)len;
		prefix4_print(p, b);
		if (len == 32 && below(2))
			strbuf_addf(b, "/32");
	}
}

static void add_port(struct strbuf *b)
{
	unsigned int lo = below(65536);

	if (below(3))
		strbuf_addf(b, "%u", lo);
	else
		strbuf_addf(b, "%u-%u", lo, lo + below(65536 - lo));
}

typedef void item_writer(struct strbuf *b);

/* One item, or a list with odd spacing, over lines, with or without a last comma. */
static void add_items(struct strbuf *b, item_writer *item)
{
	unsigned int n = 1 + below(4);

	if (n == 1 && below(3)) {
		item(b);
		return;
	}
	strbuf_addf(b, "{%s", below(4) ? " " : "\n");
	for (unsigned int i = 0; i < n; i++) {
		item(b);
		if (i + 1 < n || !below(4))
			strbuf_addf(b, below(2) ? "," : " , ");
		if (!below(5))
			strbuf_addf(b, "%s# { comment\r\n", blank());
	}
	strbuf_addf(b, "}");
}

static void port_item(struct strbuf *b)
{
	if (below(4))
		add_port(b);
	else
		strbuf_addf(b, below(2) ? "@p0" : "@p-1.x");
}

static void addr_item(struct strbuf *b)
{
	switch (below(4)) {
	case 0:
		strbuf_addf(b, "@a%u", below(2));
		break;
	case 1:
		strbuf_addf(b, "local");
		break;
	default:
		/* A common family, so that most rules are possible. */
		add_prefix(b, !below(8));
	}
}

static void proto_item_ports(struct strbuf *b)
{
	static const char *const names[] = { "tcp", "udp", "udplite", "sctp", "dccp", "6", "17" };

	strbuf_addf(b, "%s", names[below(ARRAY_SIZE(names))]);
}

static void proto_item(struct strbuf *b)
{
	static const char *const names[] = { "icmp", "icmpv6", "ipv6-icmp", "gre", "esp", "ah" };

	switch (below(3)) {
	case 0:
		strbuf_addf(b, "%u", below(256));
		break;
	case 1:
		strbuf_addf(b, "%s", names[below(ARRAY_SIZE(names))]);
		break;
	default:
		proto_item_ports(b);
	}
}

static void ifname_item(struct strbuf *b)
{
	static const char *const names[] = { "eth0", "\"eth*\"", "\"a+b?\"", "wg-1.7", "x@y" };

	strbuf_addf(b, "%s", names[below(ARRAY_SIZE(names))]);
}

static void add_rule(struct strbuf *b)
{
	static const char *const actions[] = { "track", "notrack", "forward" };
	bool ports = below(2), oneway = below(2);

	strbuf_addf(b, "%s", actions[below(3)]);
	if (below(2) || !ports) {
		strbuf_addf(b, "%s%s", blank(), below(2) ? "" : "proto ");
		add_items(b, ports ? proto_item_ports : proto_item);
	}
	if (oneway)
		strbuf_addf(b, "%soneway", blank());
	if (ports && below(3)) {
		strbuf_addf(b, "%s%s", blank(), below(2) ? "dport " : "th sport ");
		add_items(b, port_item);
	} else if (ports) {
		strbuf_addf(b, "%sport ", blank());
		add_items(b, port_item);
	}
	if (below(2)) {
		strbuf_addf(b, "%ssaddr%s%s", blank(), blank(), below(3) ? "" : "! ");
		add_items(b, addr_item);
	}
	if (oneway && !below(3)) {
		strbuf_addf(b, " iif ");
		add_items(b, ifname_item);
	} else if (!below(5)) {
		strbuf_addf(b, " daddr local iif ");
		add_items(b, ifname_item);
	}
	if (!below(3))
		strbuf_addf(b, " comment \"%s\"", below(2) ? "a # b { \xc3\xa9" : "");
	strbuf_addf(b, "%s\n", below(4) ? "" : " # handle 7");
}

static void add_ruleset(struct strbuf *b)
{
	strbuf_addf(b, "set a0 {");
	for (unsigned int i = below(40); i; i--) {
		strbuf_addf(b, " ");
		add_prefix(b, i % 3 == 0);
		strbuf_addf(b, ",");
	}
	strbuf_addf(b, "}\nset a1 { }\nset \"p0\" { ");
	for (unsigned int i = below(40); i; i--) {
		add_port(b);
		strbuf_addf(b, i > 1 ? "," : "");
	}
	strbuf_addf(b, "}\nset p-1.x {}\n");
	if (below(2))
		strbuf_addf(b, "interface eth0 \"br*\"\n");
	if (below(2))
		strbuf_addf(b, "mark %u\n", 1U << below(32));
	if (below(2))
		strbuf_addf(b,
			    below(2) ? "failsafe { }\n" : "failsafe {\ntcp 22, udp 500-510, }\n");
	for (unsigned int i = below(12); i; i--)
		add_rule(b);
}

static void same_rules(const struct ruleset *a, const struct ruleset *b, const char *text)
{
	cr_assert_eq(a->n_rules, b->n_rules, "%s", text);
	cr_assert_eq(a->n_sets, b->n_sets, "%s", text);
	cr_assert_eq(a->mark, b->mark);
	for (size_t i = 0; i < a->n_rules; i++) {
		const struct rule *x = &a->rules[i], *y = &b->rules[i];

		cr_assert(!memcmp(&x->proto, &y->proto, sizeof(x->proto)), "%s", text);
		cr_assert_eq(x->action, y->action);
		cr_assert_eq(x->oneway, y->oneway);
		cr_assert_eq(x->saddr.n, y->saddr.n);
		cr_assert_eq(x->saddr.negate, y->saddr.negate);
		cr_assert_eq(x->daddr.n, y->daddr.n);
		cr_assert_eq(x->port.flat.n, y->port.flat.n);
		cr_assert_eq(x->dport.flat.n, y->dport.flat.n);
		cr_assert_eq(x->iif.n, y->iif.n);
		cr_assert_eq(rule_hash(x), rule_hash(y), "%s", text);
	}
	for (size_t i = 0; i < a->n_sets; i++) {
		cr_assert_eq(a->sets[i]->kind, b->sets[i]->kind, "%s", text);
		cr_assert_eq(a->sets[i]->addrs.n4, b->sets[i]->addrs.n4, "%s", text);
		cr_assert_eq(a->sets[i]->addrs.n6, b->sets[i]->addrs.n6, "%s", text);
		cr_assert_eq(a->sets[i]->ports.n, b->sets[i]->ports.n, "%s", text);
	}
}

Test(print, random_rulesets)
{
	unsigned int good = 0, rules = 0;

	for (unsigned int round = 0; round < 4000; round++) {
		_strbuf_ struct strbuf text = { 0 };
		_free_ char *once = NULL, *twice = NULL;
		struct ruleset *again, *copy;
		struct parsed p;

		seed = round;
		add_ruleset(&text);
		p = parse(text.s);
		if (p.rs) {
			once = printed(p.rs);
			again = must_parse(once);
			twice = printed(again);
			cr_assert_str_eq(once, twice, "seed %u", round);
			same_rules(p.rs, again, once);
			ruleset_free(again);
			copy = ruleset_clone(p.rs);
			same_rules(p.rs, copy, once);
			ruleset_free(copy);
			good++;
			rules += (unsigned int)p.rs->n_rules;
		}
		parsed_free(&p);
	}
	/* The generator must not drift into text that is refused. */
	cr_assert_gt(good, 1000);
	cr_assert_gt(rules, 2000);
}

Test(print, everything_once)
{
	static const char text[] =
		"interface eth0 \"eth1*\"\n"
		"mark 0x80000000\n"
		"failsafe { tcp 22, udp 500-510 }\n"
		"set cdn { 192.0.2.0/24, 2001:db8::/32 }\n"
		"set none { }\n"
		"set web { 80, 443, 8000-8080 }\n"
		"track udp dport 5060\n"
		"notrack tcp dport @web daddr local comment \"the \xe2\x82\xac shop\"\n"
		"notrack { tcp, udp, 200 } saddr !{ @cdn, local, 10.0.0.0/8, ::1 } oneway\n"
		"notrack port 33333\n"
		"notrack daddr @none\n"
		"forward daddr @cdn iif { eth0, \"wg*\" } oneway\n";
	struct ruleset *rs = must_parse(text);
	struct strbuf out = { 0 };
	char *list = printed(rs);

	cr_assert_str_eq(list, text);
	ruleset_print(rs, true, &out);
	cr_assert_not_null(strstr(out.s, "oneway # handle 6\n"));
	cr_assert_not_null(strstr(out.s, "shop\" # handle 2\n"));
	ruleset_free(rs);
	rs = must_parse(out.s);
	cr_assert_eq(rs->n_rules, 6);
	ruleset_free(rs);
	strbuf_free(&out);
	free(list);
}

/* What was not said is not listed. */
Test(print, defaults_are_silent)
{
	struct ruleset *rs = must_parse("notrack udp\n");
	char *list = printed(rs);

	cr_assert_str_eq(list, "notrack udp\n");
	free(list);
	ruleset_free(rs);
	rs = must_parse("failsafe { }\n");
	list = printed(rs);
	cr_assert_str_eq(list, "failsafe { }\n");
	free(list);
	ruleset_free(rs);
}

/* Large sets are listed over several lines, none of them long. */
Test(print, wrapped_sets)
{
	struct strbuf text = { 0 };
	struct ruleset *rs;
	char *list;

	strbuf_addf(&text, "set s {");
	for (unsigned int i = 0; i < 1000; i++)
		strbuf_addf(&text, " 2001:db8:1111:2222:3333:4444:5555:%x,", i);
	strbuf_addf(&text, " }\n");
	rs = must_parse(text.s);
	list = printed(rs);
	for (const char *line = list; *line; line += strcspn(line, "\n") + 1)
		cr_assert_leq(strcspn(line, "\n"), 100);
	ruleset_free(rs);
	rs = must_parse(list);
	cr_assert_eq(rs->sets[0]->addrs.n6, 1000);
	ruleset_free(rs);
	free(list);
	strbuf_free(&text);
}

/* The identity of a rule: everything but the comment and where it stands. */
Test(print, hash)
{
	struct ruleset *rs = must_parse("notrack udp dport 53 comment \"a\"\n"
					"notrack  dport 53 udp # x\n"
					"notrack udp dport 54\n"
					"notrack udp sport 53\n"
					"track udp dport 53\n"
					"notrack udp dport 53 oneway\n"
					"notrack udp dport 53 saddr local\n"
					"notrack udp dport 53 saddr !local\n");

	cr_assert_eq(rule_hash(&rs->rules[0]), rule_hash(&rs->rules[1]));
	for (size_t i = 1; i < rs->n_rules; i++)
		for (size_t k = i + 1; k < rs->n_rules; k++)
			cr_assert_neq(rule_hash(&rs->rules[i]), rule_hash(&rs->rules[k]), "%zu %zu",
				      i, k);
	ruleset_free(rs);
}

Test(print, globs)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} cases[] = {
		{ "eth0", "eth0", true },     { "eth0", "eth01", false },
		{ "eth01", "eth0", false },   { "eth*", "eth", true },
		{ "eth*", "eth0.7", true },   { "eth*", "xeth0", false },
		{ "*", "x", true },	      { "*0", "eth10", true },
		{ "*0", "eth01", false },     { "e?h0", "eth0", true },
		{ "eth?", "eth", false },     { "*a*b*", "xaxxbx", true },
		{ "*a*b*", "xbxxax", false }, { "a*a*a", "aaa", true },
		{ "a*a*a", "aa", false },     { "[a]", "a", false },
		{ "*.7", "eth0.77.7", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct name_list l = { .names = calloc(1, IFNAMSIZ), .n = 1, .cap = 1 };

		strcpy(l.names[0], cases[i].pattern);
		cr_expect_eq(name_list_has(&l, cases[i].name), cases[i].fits, "%s %s",
			     cases[i].pattern, cases[i].name);
		free(l.names);
	}
	cr_expect_not(name_list_has(&(struct name_list){ 0 }, "eth0"));
}
