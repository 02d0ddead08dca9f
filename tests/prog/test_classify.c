// SPDX-License-Identifier: GPL-2.0-only
/*
 * The classifier: what each kind of match means, which rule wins and which way round a packet is,
 * each with the packet that just misses. Rows say what a person expects; that the reference and
 * everything else says the same is checked by rig.h.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "rig.h"

struct row {
	const char *packet, *verdict; /* "RULE direction", "failsafe direction" or a reason */
};

static struct host_if ifs[8];
static struct host host;
static struct prefix4 local4[] = { { 0x7f000000, 8 },
				   { 0xc0000201, 32 },
				   { 0xc00002ff, 32 },
				   { 0xe0000000, 4 },
				   { 0xffffffff, 32 } };
static struct prefix6 local6[] = { { 0, 1, 128 },
				   { 0x20010db800000000, 1, 128 },
				   { 0xff00000000000000, 0, 8 } };

/* 192.0.2.1, its broadcast address and 2001:db8::1 are this host's. */
static void start(void)
{
	size_t n = harness_init(ifs, ARRAY_SIZE(ifs));

	host = (struct host){ .ifs = ifs, .n_ifs = n };
	host.local.v4 = local4;
	host.local.n4 = ARRAY_SIZE(local4);
	host.local.v6 = local6;
	host.local.n6 = ARRAY_SIZE(local6);
}

static void check(struct rig *rig, const struct row *row, const struct host_if *in)
{
	char recipe[512], wrong[512], text[64];
	struct ref_verdict v;
	struct packet p;
	const char *w;

	snprintf(recipe, sizeof(recipe), "eth %s", row->packet);
	cr_assert_eq(pkt_recipe(recipe, &p), 0);
	w = rig_packet(rig, &p, in, NULL, 0x12345678, &v, wrong, sizeof(wrong));
	cr_expect(!w, "%s by %s: %s", row->packet, in->name, wrong);
	rig_verdict(&v, text, sizeof(text));
	cr_expect_str_eq(text, row->verdict, "%s by %s: %s, not %s", row->packet, in->name, text,
			 row->verdict);
	w = rig_counters(rig, wrong, sizeof(wrong));
	cr_expect(!w, "%s: %s", row->packet, wrong);
}

static void run_rows(const char *rules, const struct row *rows, size_t n)
{
	struct rig rig;
	size_t i;

	start();
	rig_from_text(&rig, rules, &host);
	for (i = 0; i < n; i++)
		check(&rig, &rows[i], &ifs[1]);
	rig_free(&rig);
}

#define RUN(rules, ...) \
	do { \
		static const struct row rows_[] = { __VA_ARGS__ }; \
		run_rows(rules, rows_, ARRAY_SIZE(rows_)); \
	} while (0)

Test(classify, no_rules)
{
	RUN("failsafe { tcp 22 }\n", { "ip4:1.1.1.1>2.2.2.2 udp:1>53", "no-match" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:1>22", "failsafe original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:1>23", "no-match" });
}

Test(classify, first_match)
{
	RUN("track udp dport 5060\n"
	    "notrack udp dport 5000-5100\n"
	    "notrack udp\n"
	    "track tcp saddr 10.0.0.0/8\n"
	    "notrack tcp saddr 10.1.0.0/16\n"
	    "notrack tcp\n",
	    { "ip4:1.1.1.1>2.2.2.2 udp:1>5060", "1 original" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:1>5061", "2 original" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:1>5101", "3 original" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:5060>1", "1 reply" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:5100>1", "2 reply" },
	    /* The earlier rule's reply orientation beats the later rule's original one. */
	    { "ip4:1.1.1.1>2.2.2.2 udp:5060>5061", "1 reply" },
	    { "ip4:10.1.1.1>2.2.2.2 tcp:1>2", "4 original" },
	    { "ip4:2.2.2.2>10.1.1.1 tcp:1>2", "4 reply" },
	    { "ip4:11.1.1.1>2.2.2.2 tcp:1>2", "6 original" },
	    { "ip6:::2>::3 tcp:1>2", "6 original" }, { "ip6:::2>::3 udplite:1>5060", "no-match" });
}

Test(classify, both_directions)
{
	RUN("notrack udp saddr 10.0.0.0/24 daddr 10.9.0.0/24 sport 1000 dport 53\n",
	    { "ip4:10.0.0.7>10.9.0.7 udp:1000>53", "1 original" },
	    { "ip4:10.9.0.7>10.0.0.7 udp:53>1000", "1 reply" },
	    { "ip4:10.9.0.7>10.0.0.7 udp:1000>53", "no-match" },
	    { "ip4:10.0.0.7>10.9.0.7 udp:53>1000", "no-match" },
	    { "ip4:10.0.0.7>10.9.0.7 udp:1001>53", "no-match" },
	    { "ip4:10.0.0.7>10.9.0.7 udp:1000>54", "no-match" },
	    { "ip4:10.0.1.7>10.9.0.7 udp:1000>53", "no-match" },
	    { "ip4:10.0.0.7>10.9.1.7 udp:1000>53", "no-match" },
	    { "ip4:10.0.0.7>10.9.0.7 tcp:1000>53", "no-match" });
}

/* When both orientations fit, a packet travels as the rule is written. */
Test(classify, original_before_reply)
{
	RUN("notrack udp sport 7 dport 7\n"
	    "notrack tcp dport { 80, 443 }\n"
	    "notrack gre\n",
	    { "ip4:1.1.1.1>2.2.2.2 udp:7>7", "1 original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:80>443", "2 original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:80>444", "2 reply" },
	    { "ip4:1.1.1.1>2.2.2.2 gre", "3 original" });
}

Test(classify, oneway)
{
	RUN("notrack udp dport 53 oneway\n"
	    "notrack tcp saddr 10.0.0.0/8 oneway\n"
	    "notrack sctp port 9 oneway\n",
	    { "ip4:1.1.1.1>2.2.2.2 udp:1>53", "1 original" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:53>1", "no-match" },
	    { "ip4:10.1.1.1>2.2.2.2 tcp:1>2", "2 original" },
	    { "ip4:2.2.2.2>10.1.1.1 tcp:1>2", "no-match" },
	    { "ip4:2.2.2.2>10.1.1.1 sctp:1>9", "3 original" },
	    { "ip4:2.2.2.2>10.1.1.1 sctp:9>1", "3 original" },
	    { "ip4:2.2.2.2>10.1.1.1 sctp:8>1", "no-match" },
	    /* An error about the one way it goes, not about the other. */
	    { "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>53", "1 icmp-error" },
	    { "ip4:9.9.9.9>2.2.2.2 icmp:3 ip4:2.2.2.2>1.1.1.1 udp:53>1", "no-match" });
}

Test(classify, port)
{
	RUN("notrack { tcp, udp } port 33333\n"
	    "notrack sctp saddr 10.0.0.0/8 port 5000-5010\n"
	    "notrack port 7\n",
	    { "ip4:1.1.1.1>2.2.2.2 udp:1>33333", "1 original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:33333>1", "1 reply" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:33333>33333", "1 original" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:33332>33334", "no-match" },
	    { "ip4:10.1.1.1>2.2.2.2 sctp:1>5000", "2 original" },
	    { "ip4:10.1.1.1>2.2.2.2 sctp:5010>1", "2 original" },
	    { "ip4:2.2.2.2>10.1.1.1 sctp:5010>1", "2 reply" },
	    { "ip4:2.2.2.2>10.1.1.1 sctp:1>5010", "2 reply" },
	    { "ip4:10.1.1.1>10.2.2.2 sctp:5010>1", "2 reply" },
	    { "ip4:10.1.1.1>2.2.2.2 sctp:4999>5011", "no-match" },
	    { "ip4:2.2.2.2>3.3.3.3 sctp:5000>5000", "no-match" },
	    { "ip6:::2>::3 dccp:7>1", "3 reply" }, { "ip6:::2>::3 udplite:6>8", "no-match" },
	    { "ip6:::2>::3 gre data:1", "no-match" });
}

/* A port match speaks only of protocols that have ports; 0 is a port like others. */
Test(classify, ports_need_a_protocol_with_ports)
{
	RUN("notrack dport 0\n"
	    "notrack udp sport 65535\n",
	    { "ip4:1.1.1.1>2.2.2.2 udp:5>0", "1 original" },
	    { "ip4:1.1.1.1>2.2.2.2 dccp:0>5", "1 reply" },
	    { "ip4:1.1.1.1>2.2.2.2 gre data:8", "no-match" },
	    { "ip4:1.1.1.1>2.2.2.2 icmp:0", "no-match" }, { "ip6:::1>::2 icmp6:128", "no-match" },
	    { "ip4:1.1.1.1>2.2.2.2 proto:253 data:8", "no-match" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:65535>5", "2 original" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:65534>5", "no-match" },
	    { "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 gre data:8", "no-match" });
}

Test(classify, protocols)
{
	RUN("notrack icmp\n"
	    "notrack icmpv6\n"
	    "notrack { 47, esp }\n"
	    "notrack 255\n"
	    "notrack 0\n",
	    { "ip4:1.1.1.1>2.2.2.2 icmp:8", "1 original" },
	    { "ip6:::1>::2 proto:1 data:8", "1 original" },
	    { "ip6:::1>::2 icmp6:128", "2 original" },
	    { "ip4:1.1.1.1>2.2.2.2 proto:58 data:8", "2 original" },
	    { "ip4:1.1.1.1>2.2.2.2 gre", "3 original" },
	    { "ip6:::1>::2 dst:0 esp data:8", "3 original" },
	    { "ip6:::1>::2 ah:4 gre", "3 original" },
	    { "ip4:1.1.1.1>2.2.2.2 proto:255", "4 original" },
	    { "ip4:1.1.1.1>2.2.2.2 proto:254", "no-match" },
	    { "ip4:1.1.1.1>2.2.2.2 proto:0", "5 original" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:1>2", "no-match" });
}

Test(classify, addresses_have_a_family)
{
	RUN("notrack udp saddr 0.0.0.0/0\n"
	    "notrack tcp saddr ::/0\n"
	    "notrack sctp saddr 0.0.0.1\n"
	    "notrack dccp saddr ::1.2.3.4\n",
	    { "ip4:0.0.0.0>255.255.255.255 udp:1>2", "1 original" },
	    { "ip6:::1>::2 udp:1>2", "no-match" },
	    { "ip6:::>ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff tcp:1>2", "2 original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:1>2", "no-match" },
	    { "ip4:0.0.0.1>2.2.2.2 sctp:1>2", "3 original" },
	    { "ip6:::1>::2 sctp:1>2", "no-match" }, { "ip6:::1.2.3.4>::2 dccp:1>2", "4 original" },
	    { "ip4:1.2.3.4>2.2.2.2 dccp:1>2", "no-match" });
}

Test(classify, prefix_ends)
{
	RUN("notrack udp daddr 10.1.2.64/26\n"
	    "notrack tcp daddr 10.0.0.0/15\n"
	    "notrack sctp daddr 2001:db8:0:ff00::/56\n"
	    "notrack dccp daddr 2001:db8::8000:0:0:0/65\n"
	    "notrack gre daddr 2001:db8::42\n",
	    { "ip4:1.1.1.1>10.1.2.63 udp:1>2", "no-match" },
	    { "ip4:1.1.1.1>10.1.2.64 udp:1>2", "1 original" },
	    { "ip4:1.1.1.1>10.1.2.127 udp:1>2", "1 original" },
	    { "ip4:1.1.1.1>10.1.2.128 udp:1>2", "no-match" },
	    { "ip4:1.1.1.1>9.255.255.255 tcp:1>2", "no-match" },
	    { "ip4:1.1.1.1>10.0.0.0 tcp:1>2", "2 original" },
	    { "ip4:1.1.1.1>10.1.255.255 tcp:1>2", "2 original" },
	    { "ip4:1.1.1.1>10.2.0.0 tcp:1>2", "no-match" },
	    { "ip6:::1>2001:db8:0:feff:ffff:ffff:ffff:ffff sctp:1>2", "no-match" },
	    { "ip6:::1>2001:db8:0:ff00:: sctp:1>2", "3 original" },
	    { "ip6:::1>2001:db8:0:ffff:ffff:ffff:ffff:ffff sctp:1>2", "3 original" },
	    { "ip6:::1>2001:db8:1:: sctp:1>2", "no-match" },
	    { "ip6:::1>2001:db8::7fff:ffff:ffff:ffff dccp:1>2", "no-match" },
	    { "ip6:::1>2001:db8:0:0:8000:: dccp:1>2", "4 original" },
	    { "ip6:::1>2001:db8::ffff:ffff:ffff:ffff dccp:1>2", "4 original" },
	    { "ip6:::1>2001:db8:0:1:: dccp:1>2", "no-match" },
	    { "ip6:::1>2001:db8::41 gre data:1", "no-match" },
	    { "ip6:::1>2001:db8::42 gre data:1", "5 original" },
	    { "ip6:2001:db8::42>::1 gre data:1", "5 reply" },
	    { "ip6:::1>2001:db8::43 gre data:1", "no-match" });
}

Test(classify, negation)
{
	RUN("notrack udp saddr !10.0.0.0/8\n"
	    "notrack tcp daddr !{ 10.0.0.0/8, 2001:db8::/32 }\n"
	    "notrack sctp saddr !2001:db8::/32 oneway\n",
	    { "ip4:11.0.0.1>10.0.0.1 udp:1>2", "1 original" },
	    { "ip4:10.0.0.1>11.0.0.1 udp:1>2", "1 reply" },
	    { "ip4:10.0.0.1>10.0.0.2 udp:1>2", "no-match" },
	    /* An address of the other family is in no item. */
	    { "ip6:::1>::2 udp:1>2", "1 original" },
	    { "ip4:10.0.0.1>10.0.0.2 tcp:1>2", "no-match" },
	    { "ip4:10.0.0.1>9.255.255.255 tcp:1>2", "2 original" },
	    { "ip6:2001:db8::1>2001:db8::2 tcp:1>2", "no-match" },
	    { "ip6:2001:db8::1>2001:db9::2 tcp:1>2", "2 original" },
	    { "ip6:2001:db9::1>2001:db8::2 tcp:1>2", "2 reply" },
	    { "ip4:1.1.1.1>2.2.2.2 sctp:1>2", "3 original" },
	    { "ip6:2001:db8::1>::2 sctp:1>2", "no-match" });
}

Test(classify, local)
{
	RUN("notrack tcp dport 80 daddr local\n"
	    "notrack udp dport 53 saddr local\n"
	    "notrack sctp saddr !local daddr !local\n",
	    { "ip4:9.9.9.9>192.0.2.1 tcp:5>80", "1 original" },
	    { "ip4:9.9.9.9>192.0.2.2 tcp:5>80", "no-match" },
	    { "ip4:192.0.2.1>9.9.9.9 tcp:80>5", "1 reply" },
	    { "ip6:::9>2001:db8::1 tcp:5>80", "1 original" },
	    { "ip6:::9>2001:db8::2 tcp:5>80", "no-match" },
	    { "ip4:9.9.9.9>127.255.0.1 tcp:5>80", "1 original" },
	    { "ip4:9.9.9.9>128.0.0.0 tcp:5>80", "no-match" },
	    { "ip4:9.9.9.9>239.1.2.3 tcp:5>80", "1 original" },
	    { "ip4:9.9.9.9>255.255.255.255 tcp:5>80", "1 original" },
	    { "ip6:::9>ff02::1 tcp:5>80", "1 original" },
	    { "ip4:8.8.8.8>192.0.2.1 udp:53>999", "2 reply" },
	    { "ip4:8.8.8.8>192.0.2.1 udp:999>53", "no-match" },
	    { "ip4:8.8.8.8>9.9.9.9 sctp:1>2", "3 original" },
	    { "ip4:8.8.8.8>192.0.2.1 sctp:1>2", "no-match" },
	    { "ip4:192.0.2.1>8.8.8.8 sctp:1>2", "no-match" },
	    { "ip6:::8>::9 sctp:1>2", "3 original" }, { "ip6:::8>::1 sctp:1>2", "no-match" });
}

Test(classify, failsafe)
{
	RUN("failsafe { tcp 22, udp 500-510 }\n"
	    "notrack tcp\n"
	    "notrack udp\n",
	    { "ip4:1.1.1.1>2.2.2.2 tcp:5>22", "failsafe original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:22>5", "failsafe reply" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:22>22", "failsafe original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:5>23", "1 original" },
	    { "ip4:1.1.1.1>2.2.2.2 udp:5>22", "2 original" },
	    { "ip6:::1>::2 udp:5>500", "failsafe original" },
	    { "ip6:::1>::2 udp:510>5", "failsafe reply" },
	    { "ip6:::1>::2 udp:511>499", "2 original" },
	    { "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 tcp:22>5", "failsafe icmp-error" },
	    { "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 tcp:21>5", "1 icmp-error" });
}

Test(classify, failsafe_default)
{
	RUN("notrack tcp\n", { "ip4:1.1.1.1>2.2.2.2 tcp:5>22", "failsafe original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:5>21", "1 original" });
}

Test(classify, sets)
{
	RUN("set mixed { 192.0.2.0/24, 2001:db8::/32, 10.0.0.0/8, 10.1.0.0/16 }\n"
	    "set web { 80, 443, 8000-8080 }\n"
	    "notrack tcp dport @web\n"
	    "notrack udp daddr @mixed\n"
	    "notrack sctp daddr { @mixed, 172.16.0.0/12 } dport { @web, 9 }\n"
	    "notrack dccp daddr !@mixed\n",
	    { "ip4:1.1.1.1>2.2.2.2 tcp:5>80", "1 original" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:8080>5", "1 reply" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:5>8081", "no-match" },
	    { "ip4:1.1.1.1>2.2.2.2 tcp:5>7999", "no-match" },
	    { "ip4:1.1.1.1>192.0.2.255 udp:1>2", "2 original" },
	    { "ip4:1.1.1.1>192.0.3.0 udp:1>2", "no-match" },
	    { "ip4:1.1.1.1>10.1.1.1 udp:1>2", "2 original" },
	    { "ip4:1.1.1.1>10.2.1.1 udp:1>2", "2 original" },
	    { "ip6:::1>2001:db8:ffff::1 udp:1>2", "2 original" },
	    { "ip6:2001:db8::>::1 udp:1>2", "2 reply" },
	    { "ip6:::1>2001:db9:: udp:1>2", "no-match" },
	    { "ip4:1.1.1.1>172.31.0.1 sctp:1>9", "3 original" },
	    { "ip4:1.1.1.1>10.31.0.1 sctp:1>443", "3 original" },
	    { "ip4:1.1.1.1>172.32.0.1 sctp:1>9", "no-match" },
	    { "ip4:1.1.1.1>10.0.0.1 dccp:1>2", "4 reply" },
	    { "ip4:10.2.1.1>10.0.0.1 dccp:1>2", "no-match" },
	    { "ip6:2001:db8::1>2001:db8::2 dccp:1>2", "no-match" },
	    { "ip6:2001:db8::1>2001:db9::2 dccp:1>2", "4 original" });
}

Test(classify, icmp_quotes)
{
	RUN("notrack udp dport 53 daddr 10.0.0.0/8\n"
	    "track udp\n"
	    "notrack icmp\n",
	    { "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>10.0.0.1 udp:5>53", "1 icmp-error" },
	    { "ip4:9.9.9.9>10.0.0.1 icmp:3 ip4:10.0.0.1>1.1.1.1 udp:53>5", "1 icmp-error" },
	    { "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>11.0.0.1 udp:5>53", "2 icmp-error" },
	    { "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>10.0.0.1 tcp:5>53", "no-match" },
	    { "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>10.0.0.1 icmp:8", "3 icmp-error" },
	    { "ip4:9.9.9.9>1.1.1.2 icmp:3 ip4:1.1.1.1>10.0.0.1 icmp:8", "bad-quote" },
	    { "ip4:9.9.9.9>1.1.1.1 icmp:5 ip4:1.1.1.1>10.0.0.1 icmp:8", "redirect" },
	    { "ip4:9.9.9.9>1.1.1.1 icmp:8", "3 original" });
}

/* Packets by va0 and vb0 of rules that name interfaces. */
Test(classify, iif)
{
	static const struct {
		const char *packet, *by_va0, *by_vb0, *by_lo;
	} rows[] = {
		{ "ip4:9.9.9.9>192.0.2.1 udp:5>53", "1 original", "no-match", "no-match" },
		/* Its reply is this host's output: it cannot come in. */
		{ "ip4:192.0.2.1>9.9.9.9 udp:53>5", "no-match", "no-match", "no-match" },
		{ "ip4:1.1.1.1>2.2.2.2 tcp:5>6", "2 original", "3 original", "no-match" },
		{ "ip4:1.1.1.1>2.2.2.2 sctp:5>6", "4 original", "4 original", "4 original" },
		/* About the packet that came in, from wherever. */
		{ "ip4:8.8.8.8>9.9.9.9 icmp:3 ip4:9.9.9.9>192.0.2.1 udp:5>53", "1 icmp-error",
		  "1 icmp-error", "1 icmp-error" },
		/* About the reply, which left by va0. */
		{ "ip4:8.8.8.8>192.0.2.1 icmp:3 ip4:192.0.2.1>9.9.9.9 udp:53>5", "1 icmp-error",
		  "no-match", "no-match" },
		{ "ip4:8.8.8.8>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 tcp:5>6", "2 icmp-error",
		  "2 icmp-error", "2 icmp-error" },
	};
	struct rig rig;
	size_t i;

	start();
	rig_from_text(&rig,
		      "notrack udp dport 53 daddr local iif va0\n"
		      "notrack tcp iif \"va*\" oneway\n"
		      "notrack tcp iif { \"va?\", \"vb0\" } oneway\n"
		      "notrack sctp iif \"*\" oneway\n",
		      &host);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		check(&rig, &(struct row){ rows[i].packet, rows[i].by_va0 }, &ifs[1]);
		check(&rig, &(struct row){ rows[i].packet, rows[i].by_vb0 }, &ifs[3]);
	}
	rig_free(&rig);
}

/* Every mark bit is as good as another, and no other bit is touched. */
Test(classify, mark_bits)
{
	struct ref_verdict v;
	struct rig rig;
	char text[128], wrong[256];
	struct packet p;
	unsigned int bit;

	start();
	for (bit = 0; bit < 32; bit++) {
		snprintf(text, sizeof(text),
			 "mark 0x%x\nnotrack udp dport 53\ntrack tcp dport 53\n", 1U << bit);
		rig_from_text(&rig, text, &host);
		for (unsigned int i = 0; i < 12; i++) {
			static const char *const packets[] = {
				"eth ip4:1.1.1.1>2.2.2.2 udp:1>53",
				"eth ip4:1.1.1.1>2.2.2.2 tcp:1>53",
				"eth ip4:1.1.1.1>2.2.2.2 udp:1>54",
				"eth ip4:1.1.1.1>2.2.2.2,off=8 udp:1>53",
			};
			static const __u32 marks[] = { 0, 0xffffffff, 0xa5a5a5a5 };

			cr_assert_eq(pkt_recipe(packets[i % 4], &p), 0);
			cr_expect(!rig_packet(&rig, &p, &ifs[1], NULL, marks[i / 4], &v, wrong,
					      sizeof(wrong)),
				  "bit %u: %s", bit, wrong);
		}
		rig_free(&rig);
	}
}

/* Many rules: the last word of the bitmaps, and ranks across them. */
Test(classify, many_rules)
{
	_strbuf_ struct strbuf text = {};
	char recipe[128], verdict[32];
	struct rig rig;
	unsigned int i;

	start();
	for (i = 0; i < 1024; i++) {
		switch (i % 4) {
		case 0:
			strbuf_addf(&text, "notrack udp dport %u\n", 10000 + i);
			break;
		case 1:
			strbuf_addf(&text, "notrack udp saddr 10.%u.%u.0/24\n", i / 256, i % 256);
			break;
		case 2:
			strbuf_addf(&text, "track tcp port %u daddr 2001:db8:%x::/48\n", 10000 + i,
				    i);
			break;
		case 3:
			strbuf_addf(&text, "notrack { sctp, dccp } sport %u saddr 10.%u.%u.0/24\n",
				    10000 + i, i / 256, i % 256);
			break;
		}
	}
	cr_assert_eq(text.err, 0);
	rig_from_text(&rig, text.s, &host);
	for (i = 0; i < 1024; i++) {
		snprintf(verdict, sizeof(verdict), "%u original", i + 1);
		switch (i % 4) {
		case 0:
			snprintf(recipe, sizeof(recipe), "ip4:1.1.1.1>2.2.2.2 udp:9>%u", 10000 + i);
			break;
		case 1:
			snprintf(recipe, sizeof(recipe), "ip4:10.%u.%u.9>2.2.2.2 udp:9>9", i / 256,
				 i % 256);
			break;
		case 2:
			snprintf(recipe, sizeof(recipe), "ip6:::9>2001:db8:%x::9 tcp:%u>9", i,
				 10000 + i);
			break;
		case 3:
			snprintf(recipe, sizeof(recipe), "ip4:10.%u.%u.9>2.2.2.2 dccp:%u>9",
				 i / 256, i % 256, 10000 + i);
			break;
		}
		check(&rig, &(struct row){ recipe, verdict }, &ifs[1]);
	}
	/* Fits rule 1022's word and others: the earlier one has it. */
	check(&rig, &(struct row){ "ip4:10.3.253.9>10.0.1.9 udp:9>10000", "1 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:10.3.253.9>10.0.1.9 udp:9>11020", "2 reply" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:10.3.253.9>10.9.1.9 udp:9>11020", "1021 original" },
	      &ifs[1]);
	check(&rig, &(struct row){ "ip4:10.3.253.9>10.9.1.9 udp:9>11021", "1022 original" },
	      &ifs[1]);
	rig_free(&rig);
}

/* Many that look at one port only: tables by port, and few others in front of and behind them. */
Test(classify, many_port_rules)
{
	_strbuf_ struct strbuf text = {};
	char recipe[128], verdict[32];
	struct rig rig;
	unsigned int i;

	start();
	for (i = 0; i < 1000; i++) {
		if (i == 300)
			strbuf_addf(&text, "track udp saddr 10.0.0.0/8 oneway\n");
		else if (i == 600)
			strbuf_addf(&text, "notrack gre\n");
		else
			strbuf_addf(&text, "%s { %s } %s %u\n", i % 7 ? "notrack" : "track",
				    i % 3 ? "udp" : "tcp, udp", i % 2 ? "dport" : "sport",
				    10000 + i);
	}
	cr_assert_eq(text.err, 0);
	rig_from_text(&rig, text.s, &host);
	cr_assert_gt(harness_tables(rig.h)->config.proto_classes, 0);
	for (i = 0; i < 1000; i++) {
		bool reply = i / 2 % 2;

		if (i == 300 || i == 600)
			continue;
		snprintf(verdict, sizeof(verdict), "%u %s", i + 1, reply ? "reply" : "original");
		snprintf(recipe, sizeof(recipe),
			 (i % 2 != 0) != reply ? "ip4:1.1.1.1>2.2.2.2 udp:9>%u"
					       : "ip6:::9>::7 udp:%u>9",
			 10000 + i);
		check(&rig, &(struct row){ recipe, verdict }, &ifs[1]);
	}
	/* The other protocol's rules, a port that nobody names, and what has none. */
	check(&rig, &(struct row){ "ip4:1.1.1.1>2.2.2.2 tcp:9>10003", "4 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:1.1.1.1>2.2.2.2 tcp:9>10005", "no-match" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:1.1.1.1>2.2.2.2 udp:9>11000", "no-match" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:1.1.1.1>2.2.2.2 gre", "601 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:1.1.1.1>2.2.2.2 esp:1", "no-match" }, &ifs[1]);
	/* Two fit: the earlier one, whichever table it is in. */
	check(&rig, &(struct row){ "ip4:1.1.1.1>2.2.2.2 udp:10008>10005", "6 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:1.1.1.1>2.2.2.2 udp:10004>10005", "5 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:1.1.1.1>2.2.2.2 udp:10005>10003", "4 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:10.1.1.1>2.2.2.2 udp:9>10299", "300 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:10.1.1.1>2.2.2.2 udp:9>10301", "301 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:11.1.1.1>2.2.2.2 udp:9>10301", "302 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:10.1.1.1>2.2.2.2 udp:9>9", "301 original" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:11.1.1.1>2.2.2.2 udp:9>9", "no-match" }, &ifs[1]);
	rig_free(&rig);
}

/* More entries than 64 words hold: a summary bit stands for two. */
Test(classify, most_entries)
{
	_strbuf_ struct strbuf text = {};
	char recipe[128], verdict[32];
	unsigned int i, rules = 1900;
	struct rig rig;

	start();
	for (i = 0; i < rules; i++)
		strbuf_addf(&text, "%s udp port %u saddr 10.%u.%u.0/24\n",
			    i % 2 ? "track" : "notrack", 10000 + i, i / 256, i % 256);
	cr_assert_eq(text.err, 0);
	rig_from_text(&rig, text.s, &host);
	for (i = 0; i < rules; i++) {
		/* The four entries of a rule, in turn. */
		static const char *const flows[] = {
			"ip4:10.%u.%u.9>2.2.2.2 udp:9>%u",
			"ip4:2.2.2.2>10.%u.%u.9 udp:%u>9",
			"ip4:10.%u.%u.9>2.2.2.2 udp:%u>9",
			"ip4:2.2.2.2>10.%u.%u.9 udp:9>%u",
		};

		snprintf(recipe, sizeof(recipe), flows[i % 4], i / 256, i % 256, 10000 + i);
		snprintf(verdict, sizeof(verdict), "%u %s", i + 1, i % 2 ? "reply" : "original");
		check(&rig, &(struct row){ recipe, verdict }, &ifs[1]);
	}
	/* Two rules fit: the earlier one, whichever word it is in. */
	check(&rig, &(struct row){ "ip4:10.0.3.9>10.7.100.9 udp:10003>11892", "4 original" },
	      &ifs[1]);
	check(&rig, &(struct row){ "ip4:10.7.100.9>10.0.3.9 udp:11892>10003", "4 reply" }, &ifs[1]);
	check(&rig, &(struct row){ "ip4:10.7.100.9>10.0.3.9 udp:11892>10004", "1893 original" },
	      &ifs[1]);
	rig_free(&rig);
}
