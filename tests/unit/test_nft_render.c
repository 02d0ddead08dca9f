// SPDX-License-Identifier: GPL-2.0-only
/* The text that rules become, and the steps from one text to the next. No kernel involved. */
#include <errno.h>
#include <criterion/criterion.h>

#include "nft_fixture.h"
#include "nft_tree.h"

static struct fixture fx;
static struct nft_plan plan;

static void setup(void)
{
	fx_interface(&fx, "lo");
	fx_interface(&fx, "eth0");
	fx_interface(&fx, "eth0.5");
	fx_local(&fx, "192.0.2.1/32");
	fx_local(&fx, "2001:db8::1/128");
}

static void teardown(void)
{
	nft_plan_free(&plan);
	fx_free(&fx);
}

TestSuite(nft_render, .init = setup, .fini = teardown);

/* The script from the last state, which is replaced by the new one. */
static const char *render(__u32 generation)
{
	struct nft_plan next = {};

	fx_expand(&fx);
	cr_assert_eq(nft_render(&fx.entries, &fx.host, 0x40, generation, plan.after, &next), 0);
	nft_plan_free(&plan);
	plan = next;
	return plan.script.s ? plan.script.s : "";
}

static size_t count(const char *text, const char *needle)
{
	size_t n = 0;

	for (; (text = strstr(text, needle)); text += strlen(needle))
		n++;
	return n;
}

static void has(const char *text, const char *needle)
{
	cr_assert(strstr(text, needle), "no \"%s\" in:\n%.3000s", needle, text);
}

static void has_not(const char *text, const char *needle)
{
	cr_assert_null(strstr(text, needle), "\"%s\" in:\n%.3000s", needle, text);
}

/* One chain of the script, without its braces. */
static char *chain(const char *text, const char *name)
{
	static char body[1 << 20];
	char start[64];
	const char *from, *to;

	snprintf(start, sizeof(start), "chain %s {\n", name);
	from = strstr(text, start);
	cr_assert(from, "no chain %s in:\n%.3000s", name, text);
	from += strlen(start);
	to = strstr(from, "}\n");
	while (to[-1] != '\n')
		to = strstr(to + 1, "}\n");
	cr_assert((size_t)(to - from) < sizeof(body));
	memcpy(body, from, (size_t)(to - from));
	body[to - from] = '\0';
	return body;
}

static size_t lines(const char *text)
{
	return count(text, "\n");
}

static struct rule *rule(enum ctb_action action, unsigned int proto, __u16 lo, __u16 hi)
{
	struct rule *r = fx_rule(&fx, action);

	if (proto)
		fx_proto(r, proto);
	if (hi)
		fx_ports(&r->dport, lo, hi);
	return r;
}

/* --- shapes --- */

Test(nft_render, no_rules)
{
	const char *s = render(1);

	cr_assert_str_eq(s, "table inet ctbypass {\n"
			    "chain prerouting {\n"
			    "type filter hook prerouting priority -399; policy accept;\n"
			    "meta mark & 0x00000040 != 0 notrack meta mark set meta mark & "
			    "0xffffffbf\n"
			    "}\n"
			    "chain g1_out {\n"
			    "}\n"
			    "chain output {\n"
			    "type filter hook output priority -399; policy accept;\n"
			    "jump g1_out\n"
			    "}\n"
			    "}\n");
}

Test(nft_render, few_rules)
{
	fx_failsafe(&fx);
	rule(CTB_TRACK, 17, 5060, 5060);
	rule(CTB_NOTRACK, 17, 8080, 8090);
	rule(CTB_NOTRACK, 47, 0, 0)->oneway = true;
	cr_assert_str_eq(
		chain(render(1), "g1_out"),
		"meta l4proto 6 th dport 22 counter name \"failsafe_orig\" accept\n"
		"meta l4proto 17 th dport 5060 counter name \"r1_orig\" accept\n"
		"meta l4proto 6 th sport 22 counter name \"failsafe_reply\" accept\n"
		"meta l4proto 17 th sport 5060 counter name \"r1_reply\" accept\n"
		"meta l4proto 17 th sport 8080-8090 counter name \"r2_reply\" notrack accept\n"
		"meta l4proto 17 th dport 8080-8090 counter name \"r2_orig\" notrack accept\n"
		"meta l4proto 47 counter name \"r3_orig\" notrack accept\n"
		"icmp type { 3, 4, 11, 12, 5 } jump g1_err4\n"
		"icmpv6 type { 1, 2, 3, 4, 137 } jump g1_err6\n");
	has(plan.script.s, "counter r3_orig { }");
	has_not(plan.script.s, "counter r3_reply");
}

/* A thousand rules by port: one map for each direction, whatever their number. */
Test(nft_render, ports_are_one_map)
{
	const char *s;

	for (__u16 i = 0; i < 1000; i++)
		rule(CTB_NOTRACK, 6, 1000 + i, 1000 + i);
	s = render(1);
	cr_assert_eq(count(s, "chain "), 7); /* two base chains, output's own, errors */
	s = chain(s, "g1_out");
	cr_assert_eq(lines(s), 4, "%s", s);
	has(s, "meta l4proto 6 counter name th dport map { 1000 : \"r1_orig\", 1001 : ");
	has(s, "1999 : \"r1000_reply\" } notrack accept\n");
}

Test(nft_render, prefixes_are_one_map)
{
	for (__u32 i = 0; i < 1000; i++) {
		struct addr_item *item = fx_item(&rule(CTB_NOTRACK, 0, 0, 0)->daddr);

		item->kind = ADDR_PREFIX4;
		item->p4 = (struct prefix4){ 0x0a000000 + (i << 8), 24 };
	}
	render(1);
	cr_assert_eq(lines(chain(plan.script.s, "g1_out")), 3); /* and errors that quote IPv4 */
	has(plan.script.s, "counter name ip daddr map { 10.0.0.0/24 : \"r1_orig\", 10.0.1.0/24");
	has_not(plan.script.s, "_err6");
}

Test(nft_render, ports_with_prefixes_are_one_map)
{
	const char *s;

	for (__u32 i = 0; i < 1000; i++) {
		struct addr_item *item = fx_item(
			&rule(CTB_NOTRACK, 17, (__u16)(1000 + i), (__u16)(1000 + i))->daddr);

		item->kind = ADDR_PREFIX4;
		item->p4 = (struct prefix4){ 0x0a000000 + (i << 8), 24 };
	}
	s = render(1);
	cr_assert_leq(count(s, "chain "), 6);
	has(s, "counter name th dport . ip daddr map { 1000 . 10.0.0.0/24 : \"r1_orig\", ");
	has(s, "@th,240,16 . @th,192,32 { 1000 . 0x0a000000-0x0a0000ff, ");
}

/* `daddr local` on all of them: that is asked once, after the ports; of replies likewise. */
Test(nft_render, local_services_ask_once)
{
	const char *s;

	for (__u16 i = 0; i < 100; i++)
		fx_addr(&rule(CTB_NOTRACK, 6, 1000 + 2 * i, 1000 + 2 * i)->daddr, "local");
	s = render(1);
	cr_assert_eq(count(s, " ip daddr "), 1);
	cr_assert_eq(count(s, " ip6 saddr "), 1);
	s = chain(s, "g1_out");
	has(s, " ip daddr 192.0.2.1 jump g1_3\n");
	has(s, " ip6 daddr 2001:db8:0:0:0:0:0:1 jump g1_3\n");
	has(s, " ip saddr 192.0.2.1 jump g1_4\n");
	has(s, " ip6 saddr 2001:db8:0:0:0:0:0:1 jump g1_4\n");
}

Test(nft_render, local_or_a_prefix)
{
	struct rule *r = rule(CTB_NOTRACK, 6, 80, 80);
	const char *s;

	r->oneway = true;
	fx_addr(&r->daddr, "local");
	fx_addr(&r->daddr, "198.51.100.0/24");
	s = chain(render(1), "g1_out");
	has(s, "meta l4proto 6 th dport 80 ip daddr 192.0.2.1 counter name \"r1_orig\"");
	has(s,
	    "meta l4proto 6 th dport 80 ip6 daddr 2001:db8:0:0:0:0:0:1 counter name \"r1_orig\"");
	has(s, "meta l4proto 6 th dport 80 ip daddr 198.51.100.0/24 counter name \"r1_orig\"");
	cr_assert_eq(count(s, "ip6 daddr"), 1);
}

/* Several addresses are one set for all rules; of none, or all, no address is asked about. */
Test(nft_render, local_as_a_list)
{
	struct rule *r = rule(CTB_NOTRACK, 6, 80, 80), *other = rule(CTB_TRACK, 6, 90, 90);
	const char *s;

	r->oneway = other->oneway = true;
	fx_addr(&r->daddr, "local");
	fx_addr(&other->daddr, "local");
	other->daddr.negate = true;
	fx_local(&fx, "198.51.100.0/24");
	s = render(1);
	cr_assert_eq(count(s, "{ type ipv4_addr; flags interval; elements = { 192.0.2.1, "
			      "198.51.100.0/24 } }\n"),
		     1);
	cr_assert_eq(count(s, "th dport 80 ip daddr @a4_"), 1);
	cr_assert_eq(count(s, "th dport 90 ip daddr != @a4_"), 1);
	fx.host.local.n4 = 0;
	s = render(2);
	has_not(s, "80 ip daddr");
	has_not(s, "80 meta nfproto ipv4");
	has(s, "th dport 90 meta nfproto ipv4 counter name \"r2_orig\" accept\n");
	fx_local(&fx, "0.0.0.0/0");
	s = render(3);
	has(s, "th dport 80 meta nfproto ipv4 counter name \"r1_orig\" notrack accept\n");
	has_not(s, "90 ip daddr");
	has_not(s, "90 meta nfproto ipv4");
}

/* This host may send in the name of others, who have no part in what is said of its own. */
Test(nft_render, local_source_is_asked)
{
	struct rule *r = rule(CTB_NOTRACK, 6, 80, 80), *other = rule(CTB_NOTRACK, 6, 90, 90);
	const char *s;

	r->oneway = other->oneway = true;
	fx_addr(&r->saddr, "local");
	fx_addr(&other->saddr, "local");
	other->saddr.negate = true;
	s = chain(render(1), "g1_out");
	has(s, "th dport 80 ip saddr 192.0.2.1 counter name \"r1_orig\" notrack accept\n");
	has(s, "th dport 90 ip saddr != 192.0.2.1 counter name \"r2_orig\" notrack accept\n");
}

/* The first of two times that a packet passes by way of a VRF is not counted. */
Test(nft_render, only_hosts_with_vrfs_look_for_them)
{
	static const char *const vrf = "meta oifkind \"vrf\" ct state untracked accept\n";

	rule(CTB_NOTRACK, 6, 80, 80);
	has_not(render(1), vrf);
	fx.host.ifs[1].vrf_table = 110;
	cr_assert_eq(strncmp(chain(render(2), "g2_out"), vrf, strlen(vrf)), 0);
}

Test(nft_render, negation_is_both_families)
{
	struct rule *r = rule(CTB_NOTRACK, 0, 0, 0);
	const char *s;

	r->oneway = true;
	r->daddr.negate = true;
	fx_addr(&r->daddr, "10.0.0.0/8");
	s = chain(render(1), "g1_out");
	has(s, "counter name ip daddr map { 0.0.0.0-9.255.255.255 : \"r1_orig\", "
	       "11.0.0.0-255.255.255.255 : \"r1_orig\" } notrack accept\n");
	has(s, "meta nfproto ipv6 counter name \"r1_orig\" notrack accept\n");
}

/* What a router merely routes leaves OUTPUT in errors about it, and from a transparent proxy. */
Test(nft_render, transit_is_rendered)
{
	struct rule *r = rule(CTB_NOTRACK, 0, 0, 0);
	const char *s;

	fx_addr(&r->saddr, "local");
	fx_addr(&r->daddr, "local");
	r->saddr.negate = r->daddr.negate = true;
	s = render(1);
	cr_assert_eq(lines(chain(s, "g1_out")), 4);
	has(chain(s, "g1_out"), "ip saddr != 192.0.2.1 ip daddr != 192.0.2.1 "
				"counter name \"r1_orig\" notrack accept\n");
	has(chain(s, "g1_1"), "@th,192,32 { 0x00000000-0xc0000200, 0xc0000202-0xffffffff } "
			      "@th,160,32 { 0x00000000-0xc0000200, 0xc0000202-0xffffffff } "
			      "counter name \"r1_error\" notrack accept\n");
	has(s, "counter r1_error { }");
}

Test(nft_render, transit_only_is_not_rendered)
{
	const char *s;

	rule(CTB_NOTRACK, 17, 53, 53);
	fx_expand(&fx);
	for (size_t i = 0; i < fx.entries.n; i++)
		fx.entries.e[i].transit_only = fx.entries.e[i].too_large_for_nft = true;
	cr_assert_eq(nft_render(&fx.entries, &fx.host, 0x40, 1, NULL, &plan), 0);
	s = plan.script.s;
	has_not(s, "r1_");
	has_not(s, "icmp");
}

Test(nft_render, overlaps_are_cut)
{
	fx_addr(&rule(CTB_TRACK, 0, 0, 0)->daddr, "10.1.0.0/16");
	fx_addr(&rule(CTB_NOTRACK, 0, 0, 0)->daddr, "10.0.0.0/8");
	for (int i = 0; i < 2; i++)
		fx.rs.rules[i].oneway = true;
	render(1);
	has(chain(plan.script.s, "g1_out"),
	    "counter name ip daddr map { 10.0.0.0/16 : \"r2_orig\", "
	    "10.2.0.0-10.255.255.255 : \"r2_orig\" } notrack accept\n"
	    "ip daddr 10.1.0.0/16 counter name \"r1_orig\" accept\n");
}

/* Rules for everything and for ICMP come after errors were judged by their quotes. */
Test(nft_render, errors_come_before_rules_that_fit_icmp)
{
	char *s;

	fx_addr(&rule(CTB_NOTRACK, 0, 0, 0)->daddr, "10.0.0.0/8");
	rule(CTB_NOTRACK, 6, 80, 80);
	s = chain(render(1), "g1_out");
	cr_assert(strstr(s, "icmp type") < strstr(s, "ip daddr"), "%s", s);
	cr_assert(strstr(s, "icmp type") < strstr(s, "ip saddr"), "%s", s);
	/* To the sender of what they quote only, and never redirects. */
	has(plan.script.s, "set eq_0000000000000008 { typeof @nh,128,8 . @th,160,8; elements = { "
			   "0 . 0, 1 . 1, 2 . 2, ");
	has(plan.script.s, ", 254 . 254, 255 . 255 } }\n");
	cr_assert_str_eq(chain(plan.script.s, "g1_err4"),
			 "icmp type != 5 @th,64,8 0x45 @th,112,16 & 0x1fff == 0 @th,216,8 >= 0 "
			 "@nh,128,8 . @th,160,8 @eq_0000000000000008 "
			 "@nh,136,8 . @th,168,8 @eq_0000000000000008 "
			 "@nh,144,8 . @th,176,8 @eq_0000000000000008 "
			 "@nh,152,8 . @th,184,8 @eq_0000000000000008 goto g1_1\n"
			 "accept\n");
	s = chain(plan.script.s, "g1_err6");
	has(s, "icmpv6 type != 137 @th,376,8 >= 0 @nh,192,8 . @th,128,8 @eq_0000000000000008 ");
	has(s, "@nh,312,8 . @th,248,8 @eq_0000000000000008 goto g1_2\naccept\n");
	cr_assert_eq(count(s, "@eq_"), 16);
	cr_assert_str_eq(strrchr(chain(plan.script.s, "g1_1"), 'k') + 1, " accept\naccept\n");
}

/* --- order --- */

/* Past rules that judge alike, a rule joins its kind; past others it does not. */
Test(nft_render, stages_keep_the_verdict)
{
	struct rule *r;
	char *s;

	rule(CTB_NOTRACK, 6, 80, 80)->oneway = true;
	r = rule(CTB_NOTRACK, 0, 0, 0);
	fx_addr(&r->daddr, "10.0.0.0/8");
	r->oneway = true;
	rule(CTB_NOTRACK, 6, 443, 443)->oneway = true;
	s = chain(render(1), "g1_out");
	has(s, "meta l4proto 6 counter name th dport map { 80 : \"r1_orig\", 443 : \"r3_orig\" }");
	fx.rs.rules[1].action = CTB_TRACK;
	s = chain(render(2), "g2_out");
	has_not(s, "map");
	cr_assert(strstr(s, "r1_orig") < strstr(s, "r2_orig"));
	cr_assert(strstr(s, "r2_orig") < strstr(s, "r3_orig"));
	/* UDP on its way: no packet fits both. */
	fx_proto(&fx.rs.rules[1], 17);
	s = chain(render(3), "g3_out");
	has(s, "443 : \"r3_orig\"");
}

/* --- interfaces --- */

Test(nft_render, interfaces)
{
	static const struct {
		const char *names[3];
		const char *text;
	} cases[] = {
		{ { "eth7" }, "oifname \"eth7\" " },
		{ { "wg*" }, "oifname \"wg*\" " },
		{ { "eth0", "lo" }, "oifname { \"eth0\", \"lo\" } " },
		{ { "eth0", "eth0" }, "oifname \"eth0\" " },
		{ { "eth0", "eth*", "et*" }, "oifname \"et*\" " },
		{ { "e?h*" }, "oifname { \"eth0\", \"eth0.5\" } " },
		{ { "?o" }, "oifname \"lo\" " },
	};

	for (__u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rule *r;

		fx_free_rules(&fx);
		r = rule(CTB_NOTRACK, 17, 53, 53);
		for (size_t k = 0; k < 3 && cases[i].names[k]; k++)
			fx_iif(r, cases[i].names[k]);
		render(i + 1);
		has(plan.script.s, cases[i].text);
		/* Input interfaces are no matter of OUTPUT. */
		has_not(plan.script.s, "r1_orig");
	}
}

Test(nft_render, interfaces_that_are_all_or_none)
{
	struct rule *r = rule(CTB_NOTRACK, 17, 53, 53);

	fx_iif(r, "*");
	has(render(1), "th sport 53 counter name \"r1_reply\"");
	has_not(plan.script.s, "oifname");
	r->iif.n = 0;
	fx_iif(r, "w?g");
	has_not(render(2), "r1_reply\" notrack");
}

Test(nft_render, interface_names_cannot_leave_their_quotes)
{
	static const char *const bad[] = { "a\"b", "a\\", "a\nb" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fx_free_rules(&fx);
		fx_iif(rule(CTB_NOTRACK, 17, 53, 53), bad[i]);
		fx_expand(&fx);
		cr_assert_eq(nft_render(&fx.entries, &fx.host, 0x40, 1, NULL, &plan), -EINVAL);
	}
}

/* --- steps --- */

Test(nft_render, no_change_is_no_script)
{
	rule(CTB_NOTRACK, 6, 80, 80);
	fx_addr(&rule(CTB_NOTRACK, 17, 53, 53)->daddr, "10.0.0.0/8");
	render(1);
	cr_assert_str_eq(render(2), "");
	cr_assert_eq(nft_state_generation(plan.after), 1);
	cr_assert_eq(nft_state_mark(plan.after), 0x40);
	/* Nothing rendered depends on this host's addresses. */
	fx_local(&fx, "203.0.113.1/32");
	cr_assert_str_eq(render(3), "");
	fx_addr(&rule(CTB_NOTRACK, 17, 54, 54)->daddr, "local");
	render(4);
	fx_local(&fx, "203.0.113.2/32");
	has(render(5), "0xcb007102");
}

Test(nft_render, what_stays_is_not_touched)
{
	const char *s;

	rule(CTB_NOTRACK, 6, 80, 80)->handle = 1;
	rule(CTB_NOTRACK, 6, 81, 81)->handle = 2;
	render(1);
	fx.rs.rules[1].handle = 3;
	s = render(2);
	has(s, "flush chain inet ctbypass output\n");
	has(s, "counter r3_orig { }");
	has_not(s, "counter r1_orig { }");
	has_not(s, "delete");
	has_not(s, "prerouting");
	has_not(s, "flush table");
	s = nft_state_leftovers(plan.after);
	has(s, "delete counter inet ctbypass r2_orig\n");
	has(s, "delete chain inet ctbypass g1_out\n");
	has_not(s, "r1_");
	/* The next transaction takes with it what nobody removed in between. */
	fx.rs.rules[1].handle = 4;
	s = render(3);
	has(s, "delete counter inet ctbypass r2_orig\n");
	has(s, "delete chain inet ctbypass g1_out\n");
	nft_state_settled(plan.after);
	fx.rs.rules[1].handle = 5;
	has_not(render(4), "delete");
	/* Names are fresh even if the caller's number is not. */
	fx.rs.rules[1].handle = 6;
	has(render(4), "chain g5_out");
}

Test(nft_render, large_sets_are_sent_once)
{
	struct rule *r = rule(CTB_NOTRACK, 0, 0, 0);
	struct addr_item *item;
	const char *s;

	for (__u32 i = 0; i < 1000; i++) {
		item = fx_item(&r->daddr);
		item->kind = ADDR_PREFIX4;
		item->p4 = (struct prefix4){ 0x0a000000 + (i << 9), 24 };
	}
	s = render(1);
	cr_assert_eq(count(s, "10.0.2.0/24"), 1, "source and destination share it");
	cr_assert_eq(count(s, "set a4_"), 1);
	cr_assert_eq(count(s, "set q4_"), 1);
	rule(CTB_NOTRACK, 6, 80, 80);
	s = render(2);
	has_not(s, "set a4_");
	has(s, "ip daddr @a4_");
	item->p4.addr += 256;
	s = render(3);
	cr_assert_eq(count(s, "set a4_"), 1);
	cr_assert_eq(count(nft_state_leftovers(plan.after), "delete set"), 2);
	/* Back before it has gone: nothing is sent, nothing is lost. */
	item->p4.addr -= 256;
	s = render(4);
	has_not(s, "set a4_");
	cr_assert_eq(count(nft_state_leftovers(plan.after), "delete set"), 2);
}

/* --- bounds --- */

/* Rules that overlap in every field multiply in a tree; not without limit. */
Test(nft_render, overlapping_rules_stay_bounded)
{
	__u32 z = 1;

	for (__u32 i = 0; i < 300; i++) {
		struct rule *r = rule(i % 7 ? CTB_NOTRACK : CTB_TRACK, 6, 0, 0);

		z = z * 1664525 + 1013904223;
		fx_ports(&r->dport, (__u16)((z >> 8) % 50000), (__u16)((z >> 8) % 50000 + 10000));
		z = z * 1664525 + 1013904223;
		fx_ports(&r->sport, (__u16)((z >> 8) % 50000), (__u16)((z >> 8) % 50000 + 10000));
	}
	render(1);
	cr_assert_lt(count(plan.script.s, "counter name"), 10000, "%zu rules",
		     count(plan.script.s, "counter name"));
}

/* --- names --- */

Test(nft_render, counter_names)
{
	static const char *const others[] = {
		"",	   "r_orig",   "r0_orig",   "r1_origin",	"r01_orig", "r1_forward",
		"x1_orig", "failsafe", "failsafe_", "r4294967296_orig", "r1_orig_", "r-1_orig"
	};
	static const __u32 handles[] = { 0, 1, 4294967295U };
	enum ctb_dir dir;
	char name[24];
	__u32 handle;

	for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
		for (unsigned int d = 0; d < CTB_DIR_MAX; d++) {
			counter_name(handles[i], (enum ctb_dir)d, name);
			cr_assert(counter_parse(name, &handle, &dir), "%s", name);
			cr_assert(handle == handles[i] && dir == d, "%s", name);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		cr_assert_not(counter_parse(others[i], &handle, &dir), "%s", others[i]);
}
