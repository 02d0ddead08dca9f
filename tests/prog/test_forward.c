// SPDX-License-Identifier: GPL-2.0-only
/* What is forwarded, and the bytes that leave: checksums, tags, padding, buffers. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "forward_rows.h"

Test(forward, what_is_forwarded)
{
	RUN(RULES, { F4 " udp:1>2 data:40", NULL, "out0", "out0", "1 original" },
	    { F6 " udp:1>2 data:40", NULL, "out0", "out0", "2 original" },
	    { F4 " tcp:1>2 data:40", NULL, "out0", "out0", "1 original" },
	    { F6 " tcp:1>2", NULL, "out0", "out0", "2 original" },
	    { F4 ",df sctp:1>2 data:9", NULL, "out0", "out0" },
	    { F4 " dccp:1>2", NULL, "out0", "out0" }, { F6 " udplite:1>2", NULL, "out0", "out0" },
	    { F4 " icmp:8", NULL, "out0", "out0" }, { F6 " icmp6:128", NULL, "out0", "out0" },
	    { F4 " gre data:40", NULL, "out0", "out0" },
	    { F6 " esp data:40", NULL, "out0", "out0" },
	    { F4 " proto:253 data:1", NULL, "out0", "out0" },
	    { F4 " ah:1 data:30", NULL, "out0", "out0" }, { F6 " next:59", NULL, "out0", "out0" },
	    /* Every TOS, and flow labels. */
	    { F4 " udp:1>2", "ip1=0xff", "out0", "out0" },
	    { F6 " udp:1>2", "ip0=0x6f ip1=0xff ip3=0xaa", "out0", "out0" },
	    { TO4(3) " udp:1>2", NULL, "few", "few" }, { TO6(3) " udp:1>2", NULL, "few", "few" },
	    /* Not only by a gateway. */
	    { "ip4:198.18.1.9>10.2.0.2 udp:1>2", NULL, "out0", "out0" },
	    { "ip6:2001:db8:f1::9>2001:db8:2::2 udp:1>2", NULL, "out0", "out0" },
	    { TO4(56) " udp:1>2", NULL, "out0", "out0" }, { TO4(57) " udp:1>2", NULL, "v7", "v7" },
	    /* Padding stays behind, as in ip_rcv_core(). */
	    { F4 " udp:1>2 data:1 trail:17", NULL, "out0", "out0" },
	    { F6 " udp:1>2 trail:1", NULL, "out0", "out0" },
	    { F6 " next:59 trail:400", NULL, "out0", "out0" });
}

/* The checksum's corners: ip_decrease_ttl() skips 0xffff. */
Test(forward, checksum_carry)
{
	static struct forward_scene s;
	static const forward_row row = { F4 " udp:1>2 data:8", NULL, "out0", "out0", "1 original" };
	unsigned int id;

	forward_begin(RULES);
	forward_set(&s, &row);
	for (id = 0; id < 65536; id += id % 256 ? 1 : 3) {
		s.p.data[14 + 4] = id >> 8;
		s.p.data[14 + 5] = id;
		pkt_ip_sum(&s.p);
		/* All carries, and around the values where a sum has two names. */
		if (id % 509 && s.p.data[14 + 10] < 0xfe && s.p.data[14 + 10] > 1)
			continue;
		forward_check_row(&row, &s, true);
		forward_check_row(&row, &s, false);
	}
	forward_end();
}

Test(forward, both_directions)
{
	RUN("forward udp saddr 198.18.1.0/24 daddr 198.18.2.0/24 dport 53\n"
	    "forward tcp daddr 2001:db8:f2::/48\n",
	    { F4 " udp:1>53", NULL, "out0", "out0", "1 original" },
	    { F4 " udp:53>1", NULL, "pass", "no-match" },
	    { "ip4:198.18.2.9>198.18.1.9 udp:53>1", "in=out0", "in0", "in0", "1 reply" },
	    { "ip4:198.18.2.9>198.18.1.9 udp:1>53", "in=out0", "pass", "no-match" },
	    { F6 " tcp:1>2", NULL, "out0", "out0", "2 original" },
	    { "ip6:2001:db8:f2::9>2001:db8:f1::9 tcp:1>2", "in=out0", "in0", "in0", "2 reply" },
	    { "ip6:2001:db8:f2::9>2001:db8:f1::9 tcp:1>2", NULL, "same-device", "same-device",
	      "2 reply" },
	    /* Errors follow, from routers anywhere, either way. */
	    { "ip4:203.0.113.1>198.18.1.9 icmp:3,4 " F4 " udp:1>53", "in=out0", "rp-filter",
	      "rp-filter", "1 icmp-error" },
	    { "ip4:198.18.3.1>198.18.1.9 icmp:3,4 " F4 " udp:1>53", "in=out0", "in0", "in0",
	      "1 icmp-error" },
	    { "ip4:198.18.3.1>198.18.1.9 icmp:3,4 " F4 " udp:1>54", "in=out0", "pass", "no-match" },
	    { "ip4:198.18.1.1>198.18.2.9 icmp:11 ip4:198.18.2.9>198.18.1.9 udp:53>1", NULL, "out0",
	      "out0", "1 icmp-error" },
	    { "ip6:2001:db8:2::2>2001:db8:f1::9 icmp6:2 " F6 " tcp:1>2 data:900", "in=out0", "in0",
	      "in0", "2 icmp-error" },
	    /* But to nobody else than the sender of what they quote. */
	    { "ip4:198.18.3.1>198.18.1.8 icmp:3,4 " F4 " udp:1>53", "in=out0", "pass",
	      "bad-quote" },
	    { "ip4:198.18.3.1>198.18.1.9 icmp:5,1 " F4 " udp:1>53", "in=out0", "pass", "redirect" },
	    { "ip6:2001:db8:2::2>2001:db8:f1::8 icmp6:2 " F6 " tcp:1>2 data:900", "in=out0", "pass",
	      "bad-quote" },
	    { "ip6:2001:db8:2::2>2001:db8:f1::9 icmp6:137 " F6 " tcp:1>2 data:900", "in=out0",
	      "pass", "redirect" });
}

Test(forward, first_match)
{
	RUN("track udp dport 5060\n"
	    "notrack udp dport 5061\n"
	    "forward udp daddr 198.18.2.0/24\n"
	    "forward tcp dport 8080 daddr 198.18.0.0/16\n"
	    "notrack tcp\n"
	    "forward udp iif out0 oneway\n",
	    { F4 " udp:1>5060", NULL, "pass", "1 original" },
	    { F4 " udp:1>5061", NULL, "pass", "2 original" },
	    { F4 " udp:1>5062", NULL, "out0", "out0", "3 original" },
	    { "ip4:198.18.2.9>198.18.1.9 udp:5060>1", "in=out0", "pass", "1 reply" },
	    { "ip4:198.18.2.9>198.18.1.9 udp:5061>1", "in=out0", "pass", "2 reply" },
	    { "ip4:198.18.2.9>198.18.1.9 udp:5062>1", "in=out0", "in0", "in0", "3 reply" },
	    { F4 " tcp:1>8080", NULL, "out0", "out0", "4 original" },
	    { F4 " tcp:1>8081", NULL, "pass", "5 original" },
	    { F4 " tcp:1>22", NULL, "pass", "failsafe original" },
	    { "ip4:198.18.3.9>198.18.1.9 udp:1>7", "in=out0", "in0", "in0", "6 original" },
	    { "ip4:198.18.2.9>198.18.3.9 udp:1>7", "in=few", "same-device", "same-device",
	      "3 reply" },
	    { "ip4:198.18.4.9>198.18.3.9 udp:1>7", NULL, "pass", "no-match" });
}

Test(forward, local)
{
	RUN(RULES, { "ip4:198.18.1.9>10.2.0.1 udp:1>2", NULL, "pass", "local", "1 original" },
	    { "ip4:198.18.1.9>10.2.0.2 udp:1>2", NULL, "out0", "out0", "1 original" },
	    { "ip4:198.18.1.9>10.2.0.255 udp:1>2", NULL, "pass", "local" },
	    { "ip4:198.18.1.9>224.0.0.1 udp:1>2", NULL, "pass", "local" },
	    { "ip6:2001:db8:f1::9>2001:db8:2::1 udp:1>2", NULL, "pass", "local", "2 original" },
	    { "ip6:2001:db8:2::1>2001:db8:f2::1 udp:1>2", NULL, "pass", "local" },
	    { "ip6:2001:db8:2::2>2001:db8:f2::1 udp:1>2", NULL, "out0", "out0" },
	    { "ip6:2001:db8:f1::9>ff0e::1 udp:1>2", NULL, "pass", "local" },
	    /* By whom the quoted packet was sent, not the error. */
	    { "ip4:198.18.3.1>198.18.1.9 icmp:3 ip4:198.18.1.9>10.2.0.1 udp:1>2", "in=out0", "pass",
	      "local", "1 icmp-error" },
	    { "ip4:198.18.3.1>198.18.1.9 icmp:3 ip4:198.18.1.9>10.2.0.2 udp:1>2", "in=out0", "in0",
	      "in0", "1 icmp-error" },
	    { "ip4:10.2.0.1>198.18.1.9 icmp:3 " F4 " udp:1>2", "in=out0", "rp-filter",
	      "rp-filter" },
	    { "ip4:198.18.2.1>10.2.0.1 icmp:3 " F4 " udp:1>2", "in=out0", "pass", "bad-quote" },
	    { "ip4:198.18.2.1>10.2.0.1 icmp:3 ip4:10.2.0.1>198.18.2.9 udp:1>2", "in=out0", "pass",
	      "local", "1 icmp-error" });
	TC_GAVE(LOCAL);
}

#define V(tag, to) "eth " tag " ip4:198.18.1.9>198.18." #to ".9 udp:1>2 data:20"

Test(forward, vlan_tags)
{
	RUN(RULES, { V("vlan:5", 2), NULL, "out0", "vlan-device" }, /* taken off */
	    { V("vlan:5", 7), NULL, "v7", "vlan-device" },	    /* changed */
	    { V("vlan:5", 8), NULL, "v5o", "vlan-device" },	    /* stays */
	    { V("vlan:0xe005", 8), NULL, "v5o", "vlan-device" },    /* priority does not */
	    { V("", 7), NULL, "v7", "v7" },			    /* put on */
	    { V("", 8), NULL, "v5o", "v5o" },
	    { "eth vlan:5 " F6 " udp:1>2", NULL, "out0", "vlan-device", "2 original" },
	    { "eth vlan:5 " TO6(7) " udp:1>2 trail:5", NULL, "v7", "vlan-device" },
	    { TO6(7) " udp:1>2", NULL, "v7", "v7" },
	    { "eth vlan:5 " F4 " udp:1>2 trail:30", NULL, "out0", "vlan-device" },
	    { V("vlan:5", 5), NULL, "same-device", "vlan-device" },
	    { V("vlan:5", 1), NULL, "in0", "vlan-device" }, { V("", 5), NULL, "v5", "v5" },
	    { V("vlan:6", 2), NULL, "pass", "vlan" }, { V("vlan:0", 2), NULL, "pass", "vlan" },
	    { V("vlan:0xe000", 2), NULL, "pass", "vlan" },
	    { V("vlan:0 vlan:5", 2), NULL, "pass", "vlan-device" },
	    { V("qinq:5", 2), NULL, "pass", "vlan-device" },
	    { V("qinq:5 vlan:5", 2), NULL, "pass", "vlan-device" },
	    { V("vlan:5 vlan:6", 2), NULL, "pass", "vlan-device" },
	    { V("vlan:6 vlan:5", 2), NULL, "pass", "vlan" },
	    { V("vlan:5", 2), "in=few", "pass", "vlan" },
	    { V("vlan:5", 2), "v5-XDP_IN", "pass", "vlan-device" },
	    { V("vlan:5", 2), "in0-XDP_IN", "out0", "vlan-device" },
	    { V("vlan:5", 2), "v5-IN", "device", "vlan-device" },
	    { V("vlan:5", 2), "in0-IN", "out0", "vlan-device" },
	    { "eth:other vlan:5 " F4 " udp:1>2", NULL, "mac", "vlan-device" },
	    { "eth:broadcast vlan:5 " F4 " udp:1>2", NULL, "multicast", "vlan-device" },
	    { "eth vlan:5 " F4 ",ttl=1 udp:1>2", NULL, "ttl", "vlan-device" },
	    { "eth vlan:5 " F4 ",opt=4 udp:1>2", NULL, "ipv4-options", "vlan-device" },
	    { "eth vlan:5 " F4 ",mf udp:1>2,len=999", NULL, "out0", "vlan-device" },
	    { "eth vlan:5 " F4 ",off=9 proto:17 data:20", NULL, "out0", "vlan-device" },
	    { "eth vlan:5 " F4 " udp:1>2 data:1472", NULL, "out0", "vlan-device" },
	    { "eth vlan:5 " F4 " udp:1>2 data:1473", NULL, "mtu", "vlan-device" },
	    { "eth vlan:5 " F4 " tcp:1>2", "v5+PARTIAL partial", "partial-checksum",
	      "vlan-device" },
	    { "eth vlan:5 type:0x0806 data:28", NULL, "pass", "vlan-device" },
	    { "eth:other vlan:6 " F4 " udp:1>2", NULL, "pass", "other-host" },
	    /* As the kernel has it: the tag beside the frame. */
	    { F4 " udp:1>2 data:20", "push=6", "out0", "vlan" },
	    { F4 " udp:1>2 data:20", "push=0xe000", "out0", "vlan" },
	    { F4 " udp:1>2 data:20", "push=5", "out0", "vlan-device" });
	TC_GAVE(VLAN);
}

/* The rules see the VLAN device, as they do at tc, where it has taken its tag off. */
Test(forward, vlan_rules)
{
	RUN("forward iif v5 oneway\n"
	    "forward tcp iif in0 oneway\n",
	    { V("vlan:5", 2), NULL, "out0", "vlan-device", "1 original" },
	    { V("", 2), NULL, "pass", "no-match" },
	    { V("", 2), "in=v5", "out0", "out0", "1 original" },
	    { F4 " tcp:1>2", NULL, "out0", "out0", "2 original" },
	    { "eth vlan:5 " F4 " tcp:1>2", NULL, "out0", "vlan-device", "1 original" });
}

/* A tag needs room in front; where metadata fill it, tc gets the frame as it came. */
Test(forward, no_headroom)
{
	forward_need(0, 216);
	RUN(RULES, { TO4(7) " udp:1>2 data:9", "meta=212", "v7", "v7" },
	    { TO4(7) " udp:1>2 data:9", "meta=216", "failed", "v7" },
	    { F4 " udp:1>2 data:9", "meta=216", "out0", "out0" });
	XDP_GAVE(FAILED);
}

Test(forward, several_buffers)
{
	forward_need(100, 0);
	RUN(RULES, { F4 " udp:1>2 data:1000", "linear=100", "out0", "out0" },
	    { F4 " udp:1>2 data:1000", "linear=100 out0-OUT_SG", "no-xdp-out", "out0" },
	    { F4 " udp:1>2 data:1000", "linear=100 few-OUT_SG", "out0", "out0" },
	    { F4 " udp:1>2 data:1000", "out0-OUT_SG", "out0", "out0" },
	    { F6 " tcp:1>2 data:1000", "linear=500", "out0", "out0" },
	    { TO6(7) " tcp:1>2 data:1000", "linear=500", "v7", "v7" },
	    { "eth vlan:5 " F6 " tcp:1>2 data:900 trail:100", "linear=500", "out0", "vlan-device" },
	    /* Only padding in the second. */
	    { F4 " udp:1>2 data:78 trail:100", "linear=120", "out0", "out0" },
	    { F4 " udp:1>2 data:78 trail:100", "linear=120 out0-OUT_SG", "out0", "out0" },
	    { F4 " udp:1>2 data:79 trail:100", "linear=120 out0-OUT_SG", "no-xdp-out", "out0" });
}

/*
 * One packet for each neighbour goes by way of tc, and the next ones do not, wherever behind it
 * they go. The same host's IPv4 and IPv6 addresses are two neighbours to the kernel.
 */
static bool refresh_is_as_expected(void)
{
	static const struct {
		forward_row row;
		bool refresh;
	} rows[] = {
		{ { F4 " udp:1>2", NULL, "out0" }, true },
		{ { F4 " udp:1>2", NULL, "out0" }, false },
		{ { "ip4:198.18.3.9>198.18.2.77 tcp:1>2", NULL, "out0" }, false },
		{ { "ip4:198.18.1.9>10.2.0.2 udp:1>2", NULL, "out0" }, false },
		{ { F6 " udp:1>2", NULL, "out0" }, true },
		{ { F6 " tcp:1>2", NULL, "out0" }, false },
		{ { TO4(3) " udp:1>2", NULL, "few" }, true },
		{ { TO4(7) " udp:1>2", NULL, "v7" }, true },
		{ { "eth vlan:5 " TO4(7) " udp:1>2", NULL, "v7" }, false },
		{ { F4 " udp:1>2", NULL, "out0" }, false },
	};
	static struct model_result m;
	static struct forward_scene s;
	struct forward_seen seen;
	bool good = true;
	char buf[512];
	size_t i;

	forward_begin(RULES);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		forward_set(&s, &rows[i].row);
		cr_expect(!forward_check_xdp(&lab, &s.run, &m, &forward_want, &seen, buf,
					     sizeof(buf)),
			  "%zu: %s", i, buf);
		cr_expect(seen.forwarded);
		good = good && seen.refresh == rows[i].refresh;
		if (seen.refresh != rows[i].refresh)
			fprintf(stderr, "packet %zu: refresh %d\n", i, seen.refresh);
	}
	forward_end();
	return good;
}

Test(forward, refresh)
{
	int tries = 3;

	/* An epoch may end meanwhile, and two neighbours may share a slot for one. */
	while (tries-- && !refresh_is_as_expected())
		sleep(11);
	cr_expect_geq(tries, 0);
}
