// SPDX-License-Identifier: GPL-2.0-only
/* What the language says, and what it says about mistakes: each next to text that is right. */
#include <errno.h>
#include <netinet/in.h>
#include "language.h"

/* Declared before every rule of the tables below. */
#define SETS \
	"set web { 80, 443 }\n" \
	"set v4 { 192.0.2.0/24 }\n" \
	"set v6 { 2001:db8::/32 }\n" \
	"set both { 192.0.2.0/24, 2001:db8::/32 }\n" \
	"set empty { }\n"
#define SETS_LINES 5

/* Rules that parse, and how they are printed (NULL: the same). */
static const struct {
	const char *text, *print;
} good[] = {
	{ "track udp dport 5060", NULL },
	{ "notrack udp dport 8080", NULL },
	{ "notrack tcp dport @web daddr local", NULL },
	{ "notrack { tcp, udp } port 33333", NULL },
	{ "notrack udp dport 53 saddr local comment \"resolver\"", NULL },
	{ "forward daddr @v4", NULL },
	{ "notrack daddr !local saddr !local", "notrack saddr !local daddr !local" },
	{ "notrack saddr ! @both", "notrack saddr !@both" },
	{ "notrack saddr !{ 192.0.2.1, @v6, local }", NULL },
	{ "notrack daddr { 192.0.2.1/32 }", "notrack daddr 192.0.2.1" },
	{ "notrack daddr {\n\n192.0.2.1, # one\n 2001:DB8:0::1,\n}",
	  "notrack daddr { 192.0.2.1, 2001:db8::1 }" },
	{ "notrack daddr ::ffff:192.0.2.1", NULL },
	{ "notrack saddr 0.0.0.0/0", NULL },
	{ "notrack saddr { 0.0.0.0/0, ::/0 }", NULL },
	{ "notrack gre", NULL },
	{ "notrack proto gre", "notrack gre" },
	{ "notrack 47", "notrack gre" },
	{ "notrack 89", "notrack proto 89" },
	{ "notrack proto 89", NULL },
	{ "notrack proto { 89, gre, 6 }", "notrack { tcp, gre, 89 }" },
	{ "notrack ipv6-icmp", "notrack icmpv6" },
	{ "notrack { esp, ah, 0, 255 }", "notrack { 0, esp, ah, 255 }" },
	{ "notrack dport 80", NULL },
	{ "notrack th dport 80", "notrack dport 80" },
	{ "notrack tcp th sport 80", "notrack tcp sport 80" },
	{ "notrack { sctp, tcp, udplite, udp, dccp } dport 80", "notrack dport 80" },
	{ "notrack { tcp, udp, udplite, sctp } dport 80",
	  "notrack { tcp, udp, sctp, udplite } dport 80" },
	{ "notrack dport 80 tcp", "notrack tcp dport 80" },
	{ "notrack tcp sport 0 dport 65535", NULL },
	{ "notrack tcp dport { 1-5, @web, 7 }", NULL },
	{ "notrack tcp dport 1-65535", NULL },
	{ "notrack tcp dport 7-7", "notrack tcp dport 7" },
	{ "notrack iif eth0 oneway", NULL },
	{ "notrack iif \"eth0\" daddr local", "notrack daddr local iif eth0" },
	{ "notrack iif { eth0, \"wg*\", br-lan.7, \"a+b\" } oneway", NULL },
	{ "notrack iif eth0 daddr { local, local }", "notrack daddr { local, local } iif eth0" },
	{ "notrack iif eth* oneway", "notrack iif \"eth*\" oneway" },
	{ "notrack tcp comment word", "notrack tcp comment \"word\"" },
	{ "notrack tcp comment \"\"", NULL },
	{ "notrack tcp comment \"\xc3\xa9 # { not a list\"", NULL },
	{ "notrack tcp # comment \xff\xfe\x1b anything", "notrack tcp" },
	{ "\t notrack\ttcp \r", "notrack tcp" },
	{ "notrack icmp daddr 192.0.2.1", NULL },
	{ "notrack icmp daddr @both", NULL },
	{ "notrack icmpv6 saddr ::1", NULL },
	{ "notrack { icmp, icmpv6 } daddr ::1", NULL },
	{ "notrack icmp saddr local", NULL },
	{ "notrack saddr @v4 daddr @both", NULL },
	{ "notrack saddr @v4 daddr !@v6", NULL },
	{ "notrack saddr @v4 daddr !192.0.2.0/24", NULL },
	{ "notrack saddr ::1 daddr !0.0.0.0/0", NULL },
	{ "notrack saddr { 192.0.2.1, ::1 } daddr ::2", NULL },
	{ "notrack saddr @empty daddr ::1", NULL },
	{ "notrack tcp dport @empty", NULL },
};

Test(parser, good_rules)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const char *want = good[i].print ? good[i].print : good[i].text;
		struct strbuf text = { 0 }, out = { 0 };
		struct ruleset *rs;

		strbuf_addf(&text, SETS "%s\n", good[i].text);
		rs = must_parse(text.s);
		cr_assert_eq(rs->n_rules, 1, "%s", good[i].text);
		rule_print(&rs->rules[0], &out);
		cr_expect_str_eq(out.s, want, "%s\nprints %s", good[i].text, out.s);
		cr_expect_eq(rs->rules[0].handle, 1);
		cr_expect_eq(rs->rules[0].pos.line, SETS_LINES + 1);
		cr_expect_not(rs->rules[0].runtime);
		ruleset_free(rs);
		strbuf_free(&text);
		strbuf_free(&out);
	}
}

/* One mistake each: column, part of the message, part of what was expected. */
static const struct {
	const char *text;
	unsigned int column;
	const char *message, *expected;
} bad[] = {
	/* words */
	{ "blah", 1, "unknown statement \"blah\"", "notrack" },
	{ "NOTRACK tcp", 1, "unknown statement \"NOTRACK\"", "notrack" },
	{ "\"notrack\" tcp", 1, "unexpected string \"notrack\"", "a statement" },
	{ "}", 1, "unexpected \"}\"", "a statement" },
	{ "notrack tcp foo", 13, "unexpected \"foo\"", "saddr" },
	{ "notrack tcp \"foo\"", 13, "unexpected string \"foo\"", "saddr" },
	{ "notrack tcp @web", 13, "a set without a match", "dport" },
	{ "notrack 192.0.2.1", 9, "an address without a match", "saddr" },
	{ "notrack ::1", 9, "an address without a match", "saddr" },
	{ "notrack ip saddr 192.0.2.1", 9, "\"ip\" is not used here", "saddr or daddr alone" },
	{ "notrack iifname eth0", 9, "\"iifname\" is not used", "iif, which" },
	{ "notrack tcp; track udp", 12, "unexpected \";\"", "on a line of its own" },
	{ "notrack tcp \xe2\x80\x93", 13, "unexpected character", "" },
	{ "notrack tcp \xff", 13, "a byte that is not UTF-8", "" },
	{ "notrack tcp \rudp", 13, "carriage return", "end of the line" },
	{ "notrack tcp comment \"x", 21, "unterminated string", "closing \"" },
	{ "notrack tcp comment \"a\xff\"", 23, "not UTF-8", "printable" },
	{ "notrack tcp comment \"a\x1b\"", 23, "control character", "printable" },
	{ "notrack tcp comment", 20, "the line ends too early", "\"text\"" },
	{ "notrack tcp comment { a }", 21, "unexpected \"{\"", "\"text\"" },
	/* nothing to match */
	{ "notrack", 1, "a rule without a match", "0.0.0.0/0" },
	{ "notrack oneway comment \"x\"", 1, "a rule without a match", "a match" },
	/* twice */
	{ "notrack tcp udp", 13, "a second protocol", "{ tcp, udp }" },
	{ "notrack tcp dport 80 443", 22, "443 would be a second protocol", "list" },
	{ "notrack tcp proto udp", 13, "a second protocol", "{ tcp, udp }" },
	{ "notrack saddr ::1 saddr ::2", 19, "saddr is given twice", "list" },
	{ "notrack daddr ::1 daddr ::2", 19, "daddr is given twice", "list" },
	{ "notrack sport 1 sport 2", 17, "sport is given twice", "list" },
	{ "notrack dport 1 dport 2", 17, "dport is given twice", "list" },
	{ "notrack port 1 port 2", 16, "port is given twice", "list" },
	{ "notrack tcp oneway oneway", 20, "oneway is given twice", "" },
	{ "notrack tcp comment a comment b", 23, "comment is given twice", "" },
	{ "notrack iif a iif b oneway", 15, "iif is given twice", "list" },
	/* protocols */
	{ "notrack proto foo", 15, "unknown protocol \"foo\"", "tcp, udp" },
	{ "notrack { tcp, foo }", 16, "unknown protocol \"foo\"", "tcp, udp" },
	{ "notrack 256", 9, "256 is not a protocol number", "255" },
	{ "notrack proto 99999999999", 15, "is not a protocol number", "255" },
	{ "notrack proto -1", 15, "unknown protocol \"-1\"", "255" },
	{ "notrack proto", 14, "the line ends too early", "tcp" },
	{ "notrack { }", 9, "empty list", "at least one" },
	{ "notrack { tcp", 9, "unterminated list", "}" },
	{ "notrack { tcp udp }", 15, "unexpected \"udp\"", "a comma or }" },
	{ "notrack { , tcp }", 11, "unexpected \",\"", "tcp" },
	{ "notrack tcp saddr \"", 19, "unterminated string", "closing" },
	{ "notrack { { tcp } }", 11, "unexpected \"{\"", "tcp" },
	/* ports */
	{ "notrack tcp dport", 18, "the line ends too early", "a port" },
	{ "notrack tcp dport 65536", 19, "at most 65535", "a port" },
	{ "notrack tcp dport 655360", 19, "at most 65535", "a port" },
	{ "notrack tcp dport 90-80", 19, "runs backwards", "a port" },
	{ "notrack tcp dport 80-", 19, "not a port", "a port" },
	{ "notrack tcp dport -80", 19, "not a port", "a port" },
	{ "notrack tcp dport 1-2-3", 19, "not a port", "a port" },
	{ "notrack tcp dport http", 19, "not a port", "a port" },
	{ "notrack tcp dport 0x50", 19, "not a port", "a port" },
	{ "notrack tcp dport \"80\"", 19, "unexpected string \"80\"", "a port" },
	{ "notrack tcp dport !80", 19, "unexpected \"!\"", "cannot be negated" },
	{ "notrack tcp dport { 80, 70000, 81 }", 25, "at most 65535", "a port" },
	{ "notrack tcp dport { }", 19, "empty list", "at least one" },
	{ "notrack tcp dport @webb", 19, "unknown set \"webb\"", "set of ports declared above" },
	{ "notrack tcp dport @v4", 19, "set \"v4\" holds addresses", "set of ports" },
	{ "notrack tcp dport @", 19, "@ without a name", "right behind @" },
	{ "notrack tcp dport @ web", 19, "@ without a name", "right behind @" },
	{ "notrack th saddr ::1", 12, "unexpected \"saddr\"", "sport, dport or port" },
	{ "notrack gre dport 80", 13, "protocol gre has no ports", "tcp" },
	{ "notrack { tcp, gre } dport 80", 22, "protocol gre has no ports", "tcp" },
	{ "notrack proto 89 sport 80", 18, "protocol 89 has no ports", "tcp" },
	{ "notrack icmp port 80", 14, "protocol icmp has no ports", "tcp" },
	{ "notrack port 1 dport 2", 16, "port already means either end", "sport and dport" },
	{ "notrack sport 2 port 1", 9, "port already means either end", "sport and dport" },
	/* addresses */
	{ "notrack saddr", 14, "the line ends too early", "a prefix, @set or local" },
	{ "notrack saddr foo", 15, "\"foo\": not an address", "a prefix" },
	{ "notrack saddr 80", 15, "\"80\": a port where addresses are listed", "a prefix" },
	{ "notrack saddr 1.2.3", 15, "not an IPv4 address", "a prefix" },
	{ "notrack saddr 1.2.3.4.5", 15, "not an IPv4 address", "a prefix" },
	{ "notrack saddr 256.2.3.4", 15, "not an IPv4 address", "a prefix" },
	{ "notrack saddr 1.2.3.04", 15, "not an IPv4 address", "a prefix" },
	{ "notrack saddr 1.2.3.4/33", 15, "from 0 to 32", "a prefix" },
	{ "notrack saddr 1.2.3.4/", 15, "from 0 to 32", "a prefix" },
	{ "notrack saddr 1.2.3.0/255.255.255.0", 15, "from 0 to 32", "a prefix" },
	{ "notrack saddr 10.1.2.3/8", 15, "host bits are set; the network is 10.0.0.0/8", "" },
	{ "notrack saddr 2001:db8::1/32", 15, "the network is 2001:db8::/32", "" },
	{ "notrack saddr ::1/129", 15, "from 0 to 128", "a prefix" },
	{ "notrack saddr 1:2:3", 15, "not an IPv6 address", "a prefix" },
	{ "notrack saddr fe80::1%eth0", 15, "a zone", "a prefix" },
	{ "notrack saddr 192.0.2.1-192.0.2.9", 15, "ranges are not supported", "a prefix" },
	{ "notrack saddr ::1-::9", 15, "ranges are not supported", "a prefix" },
	{ "notrack saddr \"::1\"", 15, "unexpected string", "a prefix" },
	{ "notrack saddr { }", 15, "empty list", "at least one" },
	{ "notrack saddr !", 16, "the line ends too early", "a prefix" },
	{ "notrack saddr !!::1", 16, "unexpected \"!\"", "before the whole list" },
	{ "notrack saddr { !::1 }", 17, "unexpected \"!\"", "before the whole list" },
	{ "notrack saddr !=::1", 15, "unexpected \"!=\"", "! alone" },
	{ "notrack saddr @web", 15, "set \"web\" holds ports", "set of addresses" },
	{ "notrack saddr @nope", 15, "unknown set \"nope\"", "set of addresses" },
	{ "notrack tcp dport @empty saddr @empty", 13, "used for addresses and for ports", "" },
	/* interfaces */
	{ "notrack iif", 12, "the line ends too early", "interface" },
	{ "notrack iif @web oneway", 13, "unexpected \"@web\"", "interface" },
	{ "notrack iif abcdefghijklmnop oneway", 13, "at most 15", "interface" },
	{ "notrack iif a/b oneway", 13, "cannot have", "interface" },
	{ "notrack iif \"\" oneway", 13, "empty interface name", "interface" },
	{ "notrack iif .. oneway", 13, "not an interface name", "interface" },
	{ "notrack iif eth0 tcp dport 80", 9, "iif covers one direction only", "oneway" },
	{ "notrack iif eth0 daddr !local", 9, "iif covers one direction only", "daddr local" },
	{ "notrack iif eth0 daddr { local, ::1 }", 9, "iif covers one direction", "daddr local" },
	{ "notrack iif eth0 saddr local", 9, "iif covers one direction only", "daddr local" },
	/* contradictions */
	{ "notrack saddr 192.0.2.1 daddr ::1", 25, "saddr is IPv4 only and daddr is IPv6", "" },
	{ "notrack saddr ::1 daddr 192.0.2.1", 19, "saddr is IPv6 only and daddr is IPv4", "" },
	{ "notrack saddr @v4 daddr @v6", 19, "saddr is IPv4 only and daddr is IPv6", "" },
	{ "notrack saddr @v4 daddr !{ 0.0.0.0/0 }", 19, "saddr is IPv4 only", "" },
	{ "notrack saddr !{ ::/0, 0.0.0.0/0 }", 9, "every address is excluded", "" },
	{ "notrack icmp daddr ::1", 14, "icmp is of IPv4", "" },
	{ "notrack icmp saddr @v6", 14, "icmp is of IPv4", "" },
	{ "notrack icmpv6 daddr 192.0.2.1", 16, "icmpv6 is of IPv6", "" },
	/* settings */
	{ "interface", 10, "the line ends too early", "interface" },
	{ "interface eth0, eth1", 15, "unexpected \",\"", "interface" },
	{ "interface \"a:b\"", 11, "cannot have", "interface" },
	{ "mark", 5, "the line ends too early", "one bit set" },
	{ "mark 0", 6, "mark 0 has 0 bits set", "one bit set" },
	{ "mark 0x3", 6, "mark 0x3 has 2 bits set", "one bit set" },
	{ "mark foo", 6, "not a 32-bit number", "one bit set" },
	{ "mark 0x100000000", 6, "not a 32-bit number", "one bit set" },
	{ "mark 1 2", 8, "unexpected \"2\"", "the end of the line" },
	{ "failsafe tcp 22", 10, "unexpected \"tcp\"", "a list, like { tcp 22 }" },
	{ "failsafe { 22 }", 12, "unexpected \"22\"", "like tcp 22" },
	{ "failsafe { gre 22 }", 12, "gre has no ports", "tcp" },
	{ "failsafe { tcp }", 16, "unexpected \"}\"", "a port" },
	{ "failsafe { tcp ssh }", 16, "not a port", "a port" },
	{ "failsafe { tcp 22 } x", 21, "unexpected \"x\"", "the end of the line" },
	/* sets */
	{ "set", 4, "the line ends too early", "the name of the set" },
	{ "set x", 6, "the line ends too early", "{ elements } or file" },
	{ "set x = { 1 }", 7, "unexpected character", "" },
	{ "set 1x { 1 }", 5, "cannot be the name", "a letter" },
	{ "set local { 1 }", 5, "cannot be the name", "this host's addresses" },
	{ "set \"\" { 1 }", 5, "cannot be the name", "a name" },
	{ "set \"a b\" { 1 }", 5, "cannot be the name", "a letter" },
	{ "set abcdefghijklmnopqrstuvwxyz123456 { 1 }", 5, "cannot be the name", "31 characters" },
	{ "set web { 1 }", 5, "set \"web\" is already declared on line 1", "another name" },
	{ "set x { 1, 192.0.2.1 }", 12, "an address where ports are listed", "a port" },
	{ "set x { ::1, 80 }", 14, "a port where addresses are listed", "an address" },
	{ "set x { foo }", 9, "neither an address nor a port", "a prefix, or a port" },
	{ "set x { @web }", 9, "cannot contain another set", "" },
	{ "set x { local }", 9, "local cannot be in a set", "" },
	{ "set x { 1 } 2", 13, "unexpected \"2\"", "the end of the line" },
	{ "set x { 1", 7, "unterminated list", "}" },
	{ "set x file", 11, "the line ends too early", "path" },
	{ "set x file \"\"", 12, "unexpected string", "path" },
};

Test(parser, bad_statements)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct strbuf text = { 0 }, where = { 0 };
		const char *first, *caret;
		struct parsed p;

		strbuf_addf(&text, SETS "%s\n", bad[i].text);
		p = parse(text.s);
		strbuf_addf(&where, "test.conf:%d:%u: error: ", SETS_LINES + 1, bad[i].column);
		first = messages(&p);
		cr_expect_eq(p.err, -EINVAL, "%s", bad[i].text);
		cr_expect_eq(p.d.errors, 1, "%s\n%s", bad[i].text, first);
		cr_expect(!strncmp(first, where.s, where.len), "want %s\n%s", where.s, first);
		cr_expect(strstr(first, bad[i].message), "want %s\n%s", bad[i].message, first);
		caret = strstr(first, "^");
		cr_assert_not_null(caret, "%s", first);
		if (bad[i].expected[0])
			cr_expect(strstr(caret, bad[i].expected), "want expected %s\n%s",
				  bad[i].expected, first);
		parsed_free(&p);
		strbuf_free(&text);
		strbuf_free(&where);
	}
}

Test(parser, defaults)
{
	struct ruleset *rs = must_parse("");

	cr_assert_eq(rs->mark, DEFAULT_MARK);
	cr_assert_eq(rs->interfaces.n, 0);
	cr_assert_eq(rs->n_failsafe, 1);
	cr_assert_eq(rs->failsafe[0].proto, IPPROTO_TCP);
	cr_assert_eq(rs->failsafe[0].ports.lo, 22);
	cr_assert_eq(rs->failsafe[0].ports.hi, 22);
	cr_assert_not(rs->mark_given || rs->interface_given || rs->failsafe_given);
	cr_assert_eq(rs->n_rules, 0);
	ruleset_free(rs);
}

Test(parser, settings)
{
	struct ruleset *rs = must_parse("interface eth0 \"eth1*\"\ninterface wg0\nmark 2147483648\n"
					"failsafe {\n tcp 22,\n udp 500-510 }\n");

	cr_assert_eq(rs->interfaces.n, 3);
	cr_assert_str_eq(rs->interfaces.names[1], "eth1*");
	cr_assert_str_eq(rs->interfaces.names[2], "wg0");
	cr_assert_eq(rs->mark, 0x80000000U);
	cr_assert_eq(rs->n_failsafe, 2);
	cr_assert_eq(rs->failsafe[1].proto, IPPROTO_UDP);
	cr_assert_eq(rs->failsafe[1].ports.hi, 510);
	ruleset_free(rs);
	rs = must_parse("failsafe { }");
	cr_assert_eq(rs->n_failsafe, 0);
	cr_assert(rs->failsafe_given);
	ruleset_free(rs);
}

Test(parser, once_only)
{
	_parsed_ struct parsed p = parse("mark 1\nmark 2\nfailsafe { }\nfailsafe { tcp 22 }\n");

	cr_assert_eq(p.d.errors, 2);
	cr_assert_not_null(strstr(messages(&p), "test.conf:2:6: error: mark is given twice"));
	cr_assert_not_null(strstr(messages(&p), "test.conf:4:10: error: failsafe is given twice"));
}

Test(parser, handles_and_order)
{
	struct ruleset *rs = must_parse(
		"notrack tcp\nset x { 1 }\ntrack udp dport @x\nnotrack gre");

	cr_assert_eq(rs->n_rules, 3);
	for (__u32 i = 0; i < 3; i++)
		cr_assert_eq(rs->rules[i].handle, i + 1);
	cr_assert_eq(rs->rules[1].action, CTB_TRACK);
	cr_assert_eq(rs->next_handle, 4);
	cr_assert_eq(rs->rules[2].pos.line, 4);
	cr_assert_str_eq(rs->rules[2].source, "notrack gre");
	ruleset_free(rs);
}

/* A set cannot be used above its declaration. */
Test(parser, declared_above)
{
	_parsed_ struct parsed p = parse("notrack tcp dport @x\nset x { 1 }\n");

	cr_assert_not_null(strstr(messages(&p), "test.conf:1:19: error: unknown set \"x\""));
}

Test(parser, goes_on_after_an_error)
{
	_parsed_ struct parsed p = parse("set x { 80,\n foo, 192.0.2.1,\n 81 }\n"
					 "notrack tcp dport @x\n"
					 "blah { a,\n b }\n"
					 "notrack udp dport { 1,\n 2\n"
					 "notrack udp dport 3 bad\n"
					 "set y { 1 2\n3\n}\n"
					 "notrack udp dport @y\n"
					 "mark 3\n");
	static const char *const want[] = {
		"test.conf:2:2: error: \"foo\"",
		"test.conf:2:7: error: \"192.0.2.1\"",
		"test.conf:5:1: error: unknown statement",
		"test.conf:7:19: error: unterminated list",
		"test.conf:9:21: error: unexpected \"bad\"",
		"test.conf:10:11: error: unexpected \"2\"",
		"test.conf:11:1: error: unexpected \"3\"",
		"test.conf:14:6: error: mark 3 has 2 bits",
	};

	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		cr_expect(strstr(messages(&p), want[i]), "want %s\n%s", want[i], messages(&p));
	cr_assert_eq(p.d.errors, ARRAY_SIZE(want), "%s", messages(&p));
}

Test(parser, gives_up_after_20)
{
	struct strbuf text = { 0 };
	struct parsed p;

	for (int i = 0; i < 1000; i++)
		strbuf_addf(&text, i % 2 ? "blah %d\n" : "set s%d { a, b, c, }\n", i);
	p = parse(text.s);
	cr_assert_eq(p.d.errors, 20);
	cr_assert_null(strstr(messages(&p), "more"));
	parsed_free(&p);
	text.len = 0;
	strbuf_addf(&text, "set s {");
	for (int i = 0; i < 1000; i++)
		strbuf_addf(&text, " a,");
	p = parse(text.s);
	cr_assert_eq(p.d.errors, 20, "%s", messages(&p));
	parsed_free(&p);
	strbuf_free(&text);
}

Test(parser, odd_files)
{
	static const struct {
		const char *text;
		size_t len;
		int rules; /* -1: an error */
		const char *message;
	} cases[] = {
		{ "", 0, 0, "" },
		{ "\n\n\n", 3, 0, "" },
		{ "# only\n#comments", 16, 0, "" },
		{ "notrack tcp", 11, 1, "" },
		{ "notrack tcp\r\nnotrack udp\r\n", 26, 2, "" },
		{ "notrack tcp\r", 12, 1, "" },
		{ "notrack { tcp,\r\nudp }\r\n", 23, 1, "" },
		{ "\xef\xbb\xbfnotrack tcp\n", 15, 1, "" },
		{ "\xef\xbb\xbf"
		  "blah\n",
		  8, -1, "test.conf:1:1:" },
		{ "notrack tcp\n\xef\xbb\xbf", 15, -1,
		  "test.conf:2:1: error: unexpected character" },
		{ "notrack tcp\0\n", 13, -1, "test.conf:1:12: error: a NUL byte" },
		{ "# comment\0\nnotrack tcp\n", 23, -1, "test.conf:1:10: error: a NUL byte" },
		{ "\xff\xfen\0o\0", 6, -1, "test.conf:1:1: error: a byte that is not UTF-8" },
		{ "# caf\xe9\nnotrack tcp\n", 19, 1, "" },
		{ "notrack tcp dport {\n", 20, -1, "test.conf:1:19: error: unterminated list" },
		{ "notrack tcp dport", 17, -1, "test.conf:1:18: error: the text ends too early" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed p = parse_len(cases[i].text, cases[i].len);

		cr_expect_eq(p.err, cases[i].rules < 0 ? -EINVAL : 0, "%zu: %s", i, messages(&p));
		if (p.rs)
			cr_expect_eq(p.rs->n_rules, (size_t)cases[i].rules, "%zu", i);
		cr_expect(strstr(messages(&p), cases[i].message), "%zu: want %s\n%s", i,
			  cases[i].message, messages(&p));
		parsed_free(&p);
	}
}

Test(parser, very_long_line)
{
	struct strbuf text = { 0 };
	struct parsed p;

	strbuf_addf(&text, "notrack tcp dport {");
	for (int i = 0; i < 200000; i++)
		strbuf_addf(&text, " %d,", i % 60000);
	strbuf_addf(&text, " }");
	p = parse(text.s);
	cr_assert_eq(p.err, 0, "%s", messages(&p));
	cr_assert_eq(p.rs->rules[0].dport.n, 200000);
	cr_assert_eq(p.rs->rules[0].dport.flat.n, 1);
	cr_assert_lt(strlen(p.rs->rules[0].source), 1000);
	parsed_free(&p);
	strbuf_addf(&text, " x");
	p = parse(text.s);
	cr_assert_eq(p.d.errors, 1);
	cr_assert_lt(p.d.text.len, 500);
	cr_assert_not_null(strstr(messages(&p), "unexpected \"x\""));
	parsed_free(&p);
	strbuf_free(&text);
}

Test(parser, limits)
{
	struct strbuf text = { 0 };
	struct parsed p;

	for (int i = 0; i < CTB_MAX_RULES - 1; i++)
		strbuf_addf(&text, "notrack tcp dport %d\n", i + 1000);
	p = parse(text.s);
	cr_assert_eq(p.err, 0, "%s", messages(&p));
	parsed_free(&p);
	strbuf_addf(&text, "notrack udp\nnotrack gre\n");
	p = parse(text.s);
	cr_assert_eq(p.d.errors, 1);
	cr_assert_not_null(strstr(messages(&p), "test.conf:2048:1: error: more than 2047 rules"));
	parsed_free(&p);
	text.len = 0;
	for (int i = 0; i < SETS_MAX; i++)
		strbuf_addf(&text, "set s%d { %d }\n", i, i);
	p = parse(text.s);
	cr_assert_eq(p.err, 0, "%s", messages(&p));
	cr_assert_eq(p.d.warnings, SETS_MAX); /* not used */
	parsed_free(&p);
	strbuf_addf(&text, "set t { 1 }\nset u { 1 }\n");
	p = parse(text.s);
	cr_assert_eq(p.d.errors, 1);
	cr_assert_not_null(strstr(messages(&p), "more than 1024 sets"));
	parsed_free(&p);
	text.len = 0;
	strbuf_addf(&text, "notrack tcp comment \"%.127d\"", 0);
	p = parse(text.s);
	cr_assert_eq(p.err, 0, "%s", messages(&p));
	parsed_free(&p);
	text.len = 0;
	strbuf_addf(&text, "notrack tcp comment \"%.128d\"", 0);
	p = parse(text.s);
	cr_assert_not_null(strstr(messages(&p), "test.conf:1:21: error: the comment is too long"));
	parsed_free(&p);
	strbuf_free(&text);
}

/* What other parts rely on: ports imply protocols, and flat is what the items mean. */
Test(parser, resolved)
{
	struct ruleset *rs = must_parse("set a { 80, 443 }\nnotrack dport { 81, @a, 79, 500-600 }\n"
					"notrack tcp sport @a\nnotrack gre\n");
	const struct rule *r = rs->rules;

	cr_assert(r[0].proto.present);
	for (unsigned int proto = 0; proto < 256; proto++)
		cr_assert_eq(proto_has(&r[0].proto, proto), proto_has_ports(proto), "%u", proto);
	cr_assert_eq(r[0].dport.n, 4);
	cr_assert_eq(r[0].dport.flat.n, 3);
	cr_assert_eq(r[0].dport.flat.ranges[0].lo, 79);
	cr_assert_eq(r[0].dport.flat.ranges[0].hi, 81);
	cr_assert_eq(r[0].dport.flat.ranges[2].hi, 600);
	cr_assert_eq(r[1].sport.flat.n, 2);
	cr_assert_eq(r[1].sport.flat.ranges, rs->sets[0]->ports.ranges);
	cr_assert_eq(r[2].sport.n + r[2].dport.n + r[2].port.n, 0);
	ruleset_free(rs);
}

Test(parser, files)
{
	struct diag d = { 0 };
	struct ruleset *rs = NULL;

	cr_assert_eq(ruleset_parse_file("/nonexistent/x.conf", &rs, &d), -ENOENT);
	cr_assert_str_eq(d.text.s,
			 "/nonexistent/x.conf: error: cannot read: No such file or directory\n");
	diag_free(&d);
	cr_assert_eq(ruleset_parse_file("/", &rs, &d), -EISDIR);
	cr_assert_null(rs);
	diag_free(&d);
}
