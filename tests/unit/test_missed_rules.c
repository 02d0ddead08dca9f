// SPDX-License-Identifier: GPL-2.0-only
/* nft's listing to the rules that forwarded packets miss. No kernel involved. */
#include <errno.h>
#include <string.h>
#include <criterion/criterion.h>

#include "missed_rules.h"
#include "util.h"

/* What `list map` gives; NULL: it cannot be listed. */
static const char *map_text;
static char map_asked[64];

static char *lookup(const char *map)
{
	snprintf(map_asked, sizeof(map_asked), "%s", map);
	return map_text ? strdup(map_text) : NULL;
}

/* "title: rule; rule" for each chain, a `!` in front of rules that act and an `N` of NAT's. */
static char *missed(const char *ruleset)
{
	static char shown[8192];
	_free_ char *copy = strdup(ruleset);
	_strbuf_ struct strbuf b = {};
	struct missed_rules m = {};

	cr_assert_eq(missed_rules_parse(copy, lookup, &m), 0);
	for (size_t i = 0; i < m.n; i++) {
		const struct missed_rule *r = &m.v[i];

		if (!i || r->chain != r[-1].chain)
			strbuf_addf(&b, "%s%s:", i ? "\n" : "", r->chain);
		strbuf_addf(&b, " %d%s%s[%s]", r->handle, r->nat ? "N" : "", r->acts ? "!" : "",
			    r->text);
	}
	cr_assert_null(m.legacy);
	missed_rules_free(&m);
	snprintf(shown, sizeof(shown), "%s", b.s ? b.s : "");
	return shown;
}

static void expect(const char *ruleset, const char *wanted)
{
	const char *got = missed(ruleset);

	cr_assert_str_eq(got, wanted, "got:\n%s\nwanted:\n%s", got, wanted);
}

/* A chain of table inet t, which has a chain `sub` too that drops. */
static void rule_is(const char *rule, const char *wanted)
{
	_free_ char *ruleset = NULL;

	cr_assert_gt(asprintf(&ruleset,
			      "table inet t { # handle 1\n"
			      "\tchain f { # handle 1\n"
			      "\t\ttype filter hook forward priority 0; policy accept;\n"
			      "\t\t%s # handle 7\n"
			      "\t}\n"
			      "\n"
			      "\tchain sub { # handle 2\n"
			      "\t\tcounter drop # handle 8\n"
			      "\t}\n"
			      "}\n",
			      rule),
		     0);
	expect(ruleset, wanted);
}

Test(missed_rules, nothing)
{
	expect("", "");
	expect("table inet t { # handle 1\n}\n", "");
	/* Not as nft would say it. */
	expect("table \n\tchain \n\t}\n}\n", "");
	expect("table inet t {\n\tchain \n\t\tdrop # handle 2\n\t}\n}\n", "");
}

/* In the order that a packet meets them, and only what it meets. */
Test(missed_rules, hooks)
{
	expect("table inet t { # handle 1\n"
	       "\tset s { # handle 9\n"
	       "\t\ttype ipv4_addr\n"
	       "\t\tflags interval\n"
	       "\t}\n"
	       "\n"
	       "\tcounter c { # handle 10\n"
	       "\t\tpackets 0 bytes 0\n"
	       "\t}\n"
	       "\n"
	       "\tchain post { # handle 1\n"
	       "\t\ttype filter hook postrouting priority -150; policy accept;\n"
	       "\t\tcounter accept # handle 11\n"
	       "\t}\n"
	       "\n"
	       "\tchain late { # handle 2\n"
	       "\t\tcomment \"behind the other\"\n"
	       "\t\ttype filter hook forward priority 10; policy drop;\n"
	       "\t\tcounter name \"c\" accept # handle 12\n"
	       "\t}\n"
	       "\n"
	       "\tchain early { # handle 3\n"
	       "\t\ttype filter hook forward priority -10; policy accept;\n"
	       "\t\tcounter # handle 13\n"
	       "\t}\n"
	       "\n"
	       "\tchain in { # handle 4\n"
	       "\t\ttype filter hook input priority 0; policy drop;\n"
	       "\t\tcounter drop # handle 14\n"
	       "\t}\n"
	       "\n"
	       "\tchain out { # handle 5\n"
	       "\t\ttype route hook output priority -150; policy drop;\n"
	       "\t\tmeta mark set 0x00000001 # handle 15\n"
	       "\t}\n"
	       "\n"
	       "\tchain pre { # handle 6\n"
	       "\t\ttype filter hook prerouting priority -300; policy accept;\n"
	       "\t\tnotrack # handle 16\n"
	       "\t}\n"
	       "}\n"
	       "table netdev d { # handle 2\n"
	       "\tchain e { # handle 1\n"
	       "\t\ttype filter hook egress device \"v0\" priority 0; policy accept;\n"
	       "\t\tcounter accept # handle 2\n"
	       "\t}\n"
	       "\n"
	       "\tchain i { # handle 3\n"
	       "\t\ttype filter hook ingress devices = { p0, v1 } priority -500; policy accept;\n"
	       "\t\tflags offload\n"
	       "\t\tcounter accept # handle 4\n"
	       "\t}\n"
	       "}\n"
	       "table bridge b { # handle 3\n"
	       "\tchain f { # handle 1\n"
	       "\t\ttype filter hook forward priority 0; policy drop;\n"
	       "\t}\n"
	       "}\n"
	       "table arp a { # handle 4\n"
	       "\tchain f { # handle 1\n"
	       "\t\ttype filter hook forward priority 0; policy drop;\n"
	       "\t}\n"
	       "}\n",
	       "netdev d i (ingress devices = { p0, v1 }, priority -500): 4[counter accept]\n"
	       "inet t pre (prerouting, priority -300): 16[notrack]\n"
	       "inet t early (forward, priority -10): 13[counter]\n"
	       "inet t late (forward, priority 10): 12[counter name \"c\" accept] "
	       "0![policy drop]\n"
	       "inet t post (postrouting, priority -150): 11[counter accept]\n"
	       "netdev d e (egress device \"v0\", priority 0): 2[counter accept]");
}

/* Our own table, and one that sleeps: not there. Tables of the same names in other families are. */
Test(missed_rules, tables_left_out)
{
	expect("table inet ctbypass { # handle 1\n"
	       "\tchain prerouting { # handle 1\n"
	       "\t\ttype filter hook prerouting priority -300; policy accept;\n"
	       "\t\tmeta mark & 0x00000040 != 0x00000000 notrack # handle 2\n"
	       "\t}\n"
	       "}\n"
	       "table ip sleeping { # handle 2\n"
	       "\tflags dormant\n"
	       "\n"
	       "\tchain f { # handle 1\n"
	       "\t\ttype filter hook forward priority 0; policy drop;\n"
	       "\t}\n"
	       "}\n"
	       "# Warning: table ip ctbypass is managed by iptables-nft, do not touch!\n"
	       "table ip ctbypass { # handle 3\n"
	       "\tflags owner\n"
	       "\n"
	       "\tchain f { # handle 1\n"
	       "\t\ttype filter hook forward priority 0; policy drop;\n"
	       "\t}\n"
	       "}\n",
	       "ip ctbypass f (forward, priority 0): 0![policy drop]");
}

/* Each chain once, behind the base chain that leads there first; those of other tables never. */
Test(missed_rules, jumps)
{
	expect("table ip t { # handle 1\n"
	       "\tchain f { # handle 1\n"
	       "\t\ttype filter hook forward priority 0; policy accept;\n"
	       "\t\tjump a # handle 2\n"
	       "\t\ttcp dport vmap { 80 : jump a, 81 : goto b, 82-90 : drop } # handle 3\n"
	       "\t\tjump gone # handle 12\n"
	       "\t}\n"
	       "\n"
	       "\tchain i { # handle 4\n"
	       "\t\ttype filter hook input priority 0; policy accept;\n"
	       "\t\tjump only-local # handle 5\n"
	       "\t}\n"
	       "\n"
	       "\tchain a { # handle 6\n"
	       "\t\tjump c # handle 7\n"
	       "\t}\n"
	       "\n"
	       "\tchain b { # handle 8\n"
	       "\t}\n"
	       "\n"
	       "\tchain c { # handle 9\n"
	       "\t\tip saddr 10.0.0.0/8 return # handle 10\n"
	       "\t}\n"
	       "\n"
	       "\tchain only-local { # handle 11\n"
	       "\t\tdrop # handle 13\n"
	       "\t}\n"
	       "}\n"
	       "table ip6 t { # handle 2\n"
	       "\tchain a { # handle 1\n"
	       "\t\tdrop # handle 2\n"
	       "\t}\n"
	       "}\n"
	       "table ip u { # handle 3\n"
	       "\tchain a { # handle 1\n"
	       "\t\treject # handle 2\n"
	       "\t}\n"
	       "\tchain c { # handle 3\n"
	       "\t\treject # handle 4\n"
	       "\t}\n"
	       "}\n",
	       "ip t f (forward, priority 0): 2[jump a] "
	       "3![tcp dport vmap { 80 : jump a, 81 : goto b, 82-90 : drop }] 12[jump gone]\n"
	       "ip t a (from f): 7[jump c]\n"
	       "ip t c (from a): 10[ip saddr 10.0.0.0/8 return]");
}

/* Chains that lead around in a circle cannot be loaded, but the text may be anything. */
Test(missed_rules, circle)
{
	expect("table ip t { # handle 1\n"
	       "\tchain f { # handle 1\n"
	       "\t\ttype filter hook forward priority 0; policy accept;\n"
	       "\t\tjump a # handle 2\n"
	       "\t}\n"
	       "\tchain a { # handle 3\n"
	       "\t\tgoto f # handle 4\n"
	       "\t\tgoto a # handle 5\n"
	       "\t}\n"
	       "}\n",
	       "ip t f (forward, priority 0): 2[jump a]\n"
	       "ip t a (from f): 4[goto f] 5[goto a]");
}

Test(missed_rules, verdict_maps)
{
	map_text = "table inet t {\n\tmap m {\n\t\ttype mark : verdict\n"
		   "\t\telements = { 0x00000001 : jump sub,\n\t\t\t     0x00000002 : accept }\n"
		   "\t}\n}\n";
	rule_is("meta mark vmap @m", "inet t f (forward, priority 0): 7[meta mark vmap @m]\n"
				     "inet t sub (from f): 8![counter drop]");
	cr_assert_str_eq(map_asked, "inet t m");
	map_text = "table inet t {\n\tmap m {\n\t\telements = { 0x00000002 : drop }\n\t}\n}\n";
	rule_is("meta mark vmap @m", "inet t f (forward, priority 0): 7![meta mark vmap @m]");
	map_text = NULL; /* nobody knows: rather warn */
	rule_is("meta mark vmap @m", "inet t f (forward, priority 0): 7![meta mark vmap @m]");
	*map_asked = '\0';
	rule_is("ip saddr @m", "inet t f (forward, priority 0): 7[ip saddr @m]");
	cr_assert_str_eq(map_asked, "");
}

Test(missed_rules, nat)
{
	expect("table ip nat { # handle 1\n"
	       "\tchain POSTROUTING { # handle 1\n"
	       "\t\ttype nat hook postrouting priority 100; policy accept;\n"
	       "\t\toifname \"eth0\" counter masquerade # handle 2\n"
	       "\t\tjump sub # handle 3\n"
	       "\t}\n"
	       "\n"
	       "\tchain OUTPUT { # handle 4\n"
	       "\t\ttype nat hook output priority -100; policy accept;\n"
	       "\t\tcounter dnat to 192.0.2.1 # handle 5\n"
	       "\t}\n"
	       "\n"
	       "\tchain sub { # handle 6\n"
	       "\t\tip saddr 10.0.0.0/8 accept # handle 7\n"
	       "\t\tredirect to :80 # handle 8\n"
	       "\t}\n"
	       "}\n",
	       "ip nat POSTROUTING (nat, postrouting, priority 100): "
	       "2N![oifname \"eth0\" counter masquerade] 3N[jump sub]\n"
	       "ip nat sub (from POSTROUTING): 7N[ip saddr 10.0.0.0/8 accept] "
	       "8N![redirect to :80]");
}

/* What makes a difference to miss, and what only looks so. */
Test(missed_rules, acting_or_not)
{
	static const char *const acting[] = {
		"counter drop",
		"reject with tcp reset",
		"ct state invalid drop",
		"meta mark set ct mark",
		"tcp flags syn tcp option maxseg size set rt mtu",
		"reset tcp option sack-perm",
		"log prefix \"x\" accept",
		"counter queue to 3",
		"add @seen { ip saddr }",
		"update @seen { ip saddr limit rate 3/second } accept",
		"ip dscp set cs1",
		"dup to 192.0.2.1",
		"tproxy to :80",
		"counter xt target \"TEE\"",
		"limit rate over 10/second drop",
	};
	static const char *const harmless[] = {
		"counter accept",
		"ct state established,related accept",
		"ct status dnat accept",
		"icmp type redirect accept",
		"ip saddr @drop accept",
		"iifname \"drop\" accept",
		"accept comment \"do not drop or log\"",
		"flow add @f",
		"notrack",
		"limit rate 10/second accept",
		"ip saddr 10.0.0.0/8 return",
		"iifname \"eth0-set\" counter",
		"icmpv6 type nd-redirect accept",
	};
	char wanted[256];

	for (size_t i = 0; i < ARRAY_SIZE(acting); i++) {
		snprintf(wanted, sizeof(wanted), "inet t f (forward, priority 0): 7![%s]",
			 acting[i]);
		rule_is(acting[i], wanted);
	}
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
		snprintf(wanted, sizeof(wanted), "inet t f (forward, priority 0): 7[%s]",
			 harmless[i]);
		rule_is(harmless[i], wanted);
	}
}

/* Words in quotes are no jumps; with quotes that do not match, nobody can tell. */
Test(missed_rules, quotes)
{
	rule_is("log prefix \"jump sub\" accept",
		"inet t f (forward, priority 0): 7![log prefix \"jump sub\" accept]");
	rule_is("log prefix \"x\"y\" jump sub",
		"inet t f (forward, priority 0): 7![log prefix \"x\"y\" jump sub]\n"
		"inet t sub (from f): 8![counter drop]");
}

/* What nft shows on more than one line, or not at all. */
Test(missed_rules, shape)
{
	rule_is("accept comment \"two\nlines # handle 5 or\nthree\"",
		"inet t f (forward, priority 0): 7[accept comment \"two lines # handle 5 or three\"]");
	rule_is("ip saddr 192.0.2.1 jump {\n\t\t\ttcp dport 80 drop\n\t\t\tcounter accept\n\t\t}",
		"inet t f (forward, priority 0): "
		"7![ip saddr 192.0.2.1 jump { tcp dport 80 drop; counter accept }]");
	rule_is(" counter  accept", "inet t f (forward, priority 0): 7[counter accept]");
	rule_is("log prefix \"a  b\" accept",
		"inet t f (forward, priority 0): 7![log prefix \"a  b\" accept]");
	rule_is("tcp dport 80 counter ", "inet t f (forward, priority 0): "
					 "7![tcp dport 80 counter (more, which nft cannot show)]");
}

/* Whatever is missing at its end: never read behind it. */
Test(missed_rules, cut_off_anywhere)
{
	static const char whole[] =
		"table ip t { # handle 1\n"
		"\tchain f { # handle 1\n"
		"\t\tcomment \"c\"\n"
		"\t\ttype nat hook ingress device \"v0\" priority -100; policy drop;\n"
		"\t\tjump { # handle 1\n\t\t\taccept comment \"x\ny\"\n\t\t} # handle 2\n"
		"\t\tmeta mark vmap @m # handle 4\n"
		"\t}\n"
		"}\n";

	map_text = "jump";
	for (size_t i = 0; i < sizeof(whole); i++) {
		struct missed_rules m = {};
		char *part = strndup(whole, i);

		cr_assert_eq(missed_rules_parse(part, lookup, &m), 0);
		missed_rules_free(&m);
		free(part);
	}
}
