// SPDX-License-Identifier: GPL-2.0-only
/* What each reason not to forward means, each with the packet that just misses it. */
#include "forward_rows.h"

Test(forward_reasons, ttl)
{
	RUN(RULES, { F4 ",ttl=2 udp:1>2", NULL, "out0", "out0" },
	    { F4 ",ttl=1 udp:1>2", NULL, "ttl", "ttl", "1 original" },
	    { F4 " udp:1>2", "ip8=0", "ttl", "ttl" },
	    { F4 ",ttl=255 udp:1>2", NULL, "out0", "out0" },
	    { F6 ",ttl=2 udp:1>2", NULL, "out0", "out0" },
	    { F6 ",ttl=1 udp:1>2", NULL, "ttl", "ttl", "2 original" },
	    { F6 " udp:1>2", "ip7=0", "ttl", "ttl" });
	BOTH_GAVE(TTL);
}

Test(forward_reasons, mtu)
{
	RUN(RULES, { F4 " udp:1>2 data:1472", NULL, "out0", "out0" },
	    { F4 " udp:1>2 data:1473", NULL, "mtu", "mtu", "1 original" },
	    { F4 ",df udp:1>2 data:1473", NULL, "mtu", "mtu" },
	    { TO4(3) " udp:1>2 data:1272", NULL, "few", "few" },
	    { TO4(3) " udp:1>2 data:1273", NULL, "mtu", "mtu" },
	    { TO4(3) " udp:1>2 data:1272 trail:50", NULL, "few", "few" },
	    { TO4(55) " udp:1>2 data:1172", NULL, "out0", "out0" },
	    { TO4(55) " udp:1>2 data:1173", NULL, "mtu", "mtu" },
	    { F6 " udp:1>2 data:1452", NULL, "out0", "out0" },
	    { F6 " udp:1>2 data:1453", NULL, "mtu", "mtu", "2 original" },
	    { TO6(3) " udp:1>2 data:1252", NULL, "few", "few" },
	    { TO6(3) " udp:1>2 data:1253", NULL, "mtu", "mtu" },
	    { TO6(55) " udp:1>2 data:1232", NULL, "out0", "out0" },
	    { TO6(55) " udp:1>2 data:1233", NULL, "mtu", "mtu" },
	    /* Routes' own, which only the kernel knows: the smallest of all decides. */
	    { F4 " udp:1>2 data:972", "in0.route_mtu4=1000", "out0", "out0" },
	    { F4 " udp:1>2 data:973", "in0.route_mtu4=1000", "mtu", "mtu" },
	    { F4 " udp:1>2 data:973", "in0.route_mtu6=1000", "out0", "out0" },
	    { F4 " udp:1>2 data:973", "out0.route_mtu4=1000", "out0", "out0" },
	    { F6 " udp:1>2 data:1232", "in0.route_mtu6=1280", "out0", "out0" },
	    { F6 " udp:1>2 data:1233", "in0.route_mtu6=1280", "mtu", "mtu" },
	    { F6 " udp:1>2 data:1233", "in0.route_mtu4=1280", "out0", "out0" },
	    { F4 ",mf udp:1>2,len=3000 data:64", "in0.route_mtu4=1499", "mtu", "mtu" },
	    { F4 ",mf udp:1>2,len=3000 data:64", "in0.route_mtu4=1500", "out0", "out0" },
	    /* A tag does not count. */
	    { TO4(7) " udp:1>2 data:1472", NULL, "v7", "v7" });
	BOTH_GAVE(MTU);
}

/* GRO packets are as long as their segments will be; XDP never sees any. */
Test(forward_reasons, mtu_of_gro)
{
	RUN(RULES, { F4 " tcp:1>2 data:2000", "gso=1460", "mtu", "out0" },
	    { F4 " tcp:1>2 data:2000", "gso=1461", "mtu", "mtu" },
	    { F4 " tcp:1>2,doff=8 data:2012", "gso=1448", "mtu", "out0" },
	    { F4 " tcp:1>2,doff=8 data:2012", "gso=1449", "mtu", "mtu" },
	    { F6 " tcp:1>2 data:2000", "gso=1440", "mtu", "out0" },
	    { F6 " tcp:1>2 data:2000", "gso=1441", "mtu", "mtu" },
	    { F4 " udp:1>2 data:2000", "gso=1344", "mtu", "out0" },
	    { F4 " udp:1>2 data:2000", "gso=1345", "mtu", "mtu" },
	    { F4 " sctp:1>2 data:2000", "gso=100", "mtu", "mtu" },
	    { F4 " sctp:1>2 data:1400", "gso=100", "out0", "out0" });
}

Test(forward_reasons, routes)
{
	RUN(RULES, { "ip4:198.18.1.9>192.0.2.1 udp:1>2", NULL, "no-route", "no-route" },
	    { "ip6:2001:db8:f1::9>2001:db9::1 udp:1>2", NULL, "no-route", "no-route" },
	    { TO4(50) " udp:1>2", NULL, "unreachable", "unreachable" },
	    { TO4(51) " udp:1>2", NULL, "prohibit", "prohibit" },
	    { TO4(52) " udp:1>2", NULL, "blackhole", "blackhole" },
	    { TO4(53) " udp:1>2", NULL, "lwt", "lwt" },
	    { TO6(50) " udp:1>2", NULL, "unreachable|no-route", "unreachable|no-route" },
	    { TO6(51) " udp:1>2", NULL, "prohibit|no-route", "prohibit|no-route" },
	    { TO6(52) " udp:1>2", NULL, "blackhole", "blackhole" },
	    { TO6(53) " udp:1>2", NULL, "lwt", "lwt" },
	    { TO4(54) " udp:1>2", NULL, "no-neighbour", "out0" },
	    { TO6(54) " udp:1>2", NULL, "no-neighbour", "out0" },
	    { TO4(54) " udp:1>2", "in0+NEXT_HOP", "no-neighbour", "out0" },
	    { TO6(54) " udp:1>2", "in0+NEXT_HOP", "no-neighbour", "out0" },
	    { "ip4:198.18.1.9>10.2.0.3 udp:1>2", NULL, "no-neighbour", "out0" },
	    { "ip4:198.18.1.9>10.2.0.2 udp:1>2", NULL, "out0", "out0" },
	    { TO4(1) " udp:1>2", NULL, "same-device", "same-device" },
	    { TO6(1) " udp:1>2", NULL, "same-device", "same-device" },
	    { TO4(1) " udp:1>2", "in=few", "in0", "in0" });
	BOTH_GAVE(NO_ROUTE);
	BOTH_GAVE(UNREACHABLE);
	BOTH_GAVE(PROHIBIT);
	BOTH_GAVE(BLACKHOLE);
	BOTH_GAVE(LWT);
	BOTH_GAVE(SAME_DEVICE);
	XDP_GAVE(NO_NEIGHBOUR);
}

Test(forward_reasons, devices)
{
	RUN(RULES, { F4 " udp:1>2", "in0-IN", "device", "device", "1 original" },
	    { F4 " udp:1>2", "few-IN", "out0", "out0" },
	    { TO4(6) " udp:1>2", NULL, "egress", "egress" },
	    { F4 " udp:1>2", "out0-OUT", "egress", "egress" },
	    { F4 " udp:1>2", "in0-OUT", "out0", "out0" },
	    { TO4(4) " udp:1>2", NULL, "no-xdp-out", "tco" },
	    { TO6(4) " udp:1>2", NULL, "no-xdp-out", "tco" },
	    /* What the devmap lacks though netdevs promises it. */
	    { F4 " udp:1>2", "lost=out0", "no-xdp-out", "out0" },
	    { F4 " udp:1>2", "lost=in0 lost=few", "out0", "out0" },
	    { TO4(7) " udp:1>2", "lost=out0", "no-xdp-out", "v7" },
	    { TO4(7) " udp:1>2", "lost=in0 lost=few", "v7", "v7" },
	    { F4 " udp:1>2", "ipv4/in0=off", "not-forwarding", "not-forwarding" },
	    { F4 " udp:1>2", "ipv4/out0=off", "out0", "out0" },
	    { F6 " udp:1>2", "ipv4/in0=off", "out0", "out0" },
	    { F6 " udp:1>2", "ipv6/in0=off", "not-forwarding", "not-forwarding" },
	    { F4 " udp:1>2", "ipv6/in0=off", "out0", "out0" },
	    { F6 " udp:1>2", "in0+NO_FORWARD6", "not-forwarding", "not-forwarding" },
	    { F4 " udp:1>2", "in0+NO_FORWARD6", "out0", "out0" },
	    { F6 " udp:1>2", "out0+NO_FORWARD6", "out0", "out0" },
	    { F4 " udp:1>2", "in0+XFRM", "xfrm", "xfrm" },
	    { F6 " udp:1>2", "in0+XFRM", "xfrm", "xfrm" },
	    { F4 " udp:1>2", "out0+XFRM", "out0", "out0" });
	BOTH_GAVE(DEVICE);
	BOTH_GAVE(EGRESS);
	XDP_GAVE(NO_XDP_OUT);
	BOTH_GAVE(NOT_FORWARDING);
	BOTH_GAVE(XFRM);
}

Test(forward_reasons, link_addresses)
{
	RUN(RULES, { "eth:other " F4 " udp:1>2 data:20", NULL, "mac", "other-host" },
	    { "eth:broadcast " F4 " udp:1>2 data:20", NULL, "multicast", "multicast" },
	    { "eth:multicast " F4 " udp:1>2 data:20", NULL, "multicast", "multicast" },
	    { "eth " F4 " udp:1>2 data:20", NULL, "out0", "out0" },
	    { "eth:multicast " F6 " udp:1>2", NULL, "multicast", "multicast" },
	    { "eth " F4 " udp:1>2 data:20", "in=out0", "same-device", "same-device" });
	XDP_GAVE(MAC);
	BOTH_GAVE(MULTICAST);
}

#define ERR4(src)      "ip4:" src ">198.18.1.9 icmp:3 " F4 " udp:1>2"
#define ERR6(src, dst) "ip6:" src ">" dst " icmp6:1 " F6 " udp:1>2"

/* Most of these are local: seen only in errors, whose own addresses no rule was asked about. */
Test(forward_reasons, addresses)
{
	RUN(RULES, { ERR4("224.0.0.5"), "in=out0", "multicast", "multicast" },
	    { ERR4("239.255.255.255"), "in=out0", "multicast", "multicast" },
	    { ERR4("240.0.0.5"), "in=out0", "rp-filter", "rp-filter" },
	    { ERR4("223.255.255.255"), "in=out0", "rp-filter", "rp-filter" },
	    { ERR4("255.255.255.255"), "in=out0", "multicast", "multicast" },
	    { ERR4("255.255.255.254"), "in=out0", "rp-filter", "rp-filter" },
	    { ERR4("127.0.0.1"), "in=out0", "martian", "martian" },
	    { ERR4("0.0.0.0"), "in=out0", "martian", "martian" },
	    { ERR4("0.255.255.255"), "in=out0", "martian", "martian" },
	    { ERR4("1.0.0.0"), "in=out0", "rp-filter", "rp-filter" },
	    { ERR4("169.254.0.1"), "in=out0", "link-local", "link-local" },
	    { ERR4("169.255.0.1"), "in=out0", "rp-filter", "rp-filter" },
	    { ERR4("198.18.3.1"), "in=out0", "in0", "in0" },
	    { "ip4:198.18.1.9>0.1.2.3 udp:1>2", NULL, "martian", "martian" },
	    { "ip4:198.18.1.9>1.1.2.3 udp:1>2", NULL, "no-route", "no-route" },
	    { "ip4:198.18.1.9>169.254.9.9 udp:1>2", NULL, "link-local", "link-local" },
	    { "ip4:198.18.1.9>169.253.9.9 udp:1>2", NULL, "no-route", "no-route" },
	    { ERR6("ff02::1", "2001:db8:f1::9"), "in=out0", "multicast", "multicast" },
	    { ERR6("fe80::1", "2001:db8:f1::9"), "in=out0", "link-local", "link-local" },
	    { ERR6("febf::1", "2001:db8:f1::9"), "in=out0", "link-local", "link-local" },
	    { ERR6("fec0::1", "2001:db8:f1::9"), "in=out0", "in0", "in0" },
	    { ERR6("fe7f::1", "2001:db8:f1::9"), "in=out0", "in0", "in0" },
	    { ERR6("::1", "2001:db8:f1::9"), "in=out0", "martian", "martian" },
	    { ERR6("::", "2001:db8:f1::9"), "in=out0", "martian", "martian" },
	    { ERR6("::2", "2001:db8:f1::9"), "in=out0", "in0", "in0" },
	    { ERR6("0:0:0:1::", "2001:db8:f1::9"), "in=out0", "in0", "in0" },
	    { ERR6("::ffff:1.2.3.4", "2001:db8:f1::9"), "in=out0", "martian", "martian" },
	    { ERR6("::fffe:1.2.3.4", "2001:db8:f1::9"), "in=out0", "in0", "in0" },
	    { ERR6("::1:ffff:1.2.3.4", "2001:db8:f1::9"), "in=out0", "in0", "in0" },
	    { "ip6:2001:db8:f1::9>::ffff:0:1 udp:1>2", NULL, "martian", "martian" },
	    { "ip6:2001:db8:f1::9>fe80::9 udp:1>2", NULL, "link-local", "link-local" },
	    { "ip6:2001:db8:f1::9>fec0::9 udp:1>2", NULL, "no-route", "no-route" },
	    { "ip6:2001:db8:f1::9>:: udp:1>2", NULL, "martian", "martian" },
	    { "ip6:2001:db8:f1::9>::2 udp:1>2", NULL, "no-route", "no-route" });
	BOTH_GAVE(MULTICAST);
	BOTH_GAVE(MARTIAN);
	BOTH_GAVE(LINK_LOCAL);
}

Test(forward_reasons, headers)
{
	RUN(RULES, { F4 ",opt=4 udp:1>2", NULL, "ipv4-options", "ipv4-options", "1 original" },
	    { F4 ",opt=40 tcp:1>2", NULL, "ipv4-options", "ipv4-options" },
	    { F4 " udp:1>2", NULL, "out0", "out0" },
	    { F6 " hop:0 udp:1>2", NULL, "ipv6-ext-header", "ipv6-ext-header", "2 original" },
	    { F6 " dst:1 tcp:1>2", NULL, "ipv6-ext-header", "ipv6-ext-header" },
	    { F6 " rt:0 udp:1>2", NULL, "ipv6-ext-header", "ipv6-ext-header" },
	    { F6 " ah:1 udp:1>2", NULL, "ipv6-ext-header", "ipv6-ext-header" },
	    { F6 " frag:0 udp:1>2", NULL, "ipv6-ext-header", "ipv6-ext-header" },
	    { F6 " frag:0,mf udp:1>2", NULL, "out0", "out0" },
	    { F4 " udp:1>2", "badsum", "checksum", "checksum", "1 original" },
	    { F4 " udp:1>2 data:30", "badsum in=few", "checksum", "checksum" },
	    /* What the classifier cannot read is not forwarded. */
	    { F4 ",len=27 udp:1>2,len=8", NULL, "pass", "bad-l4" },
	    { F4 ",len=0 udp:1>2", NULL, "pass", "bad-ipv4" },
	    { F4 ",ver=5 udp:1>2", NULL, "pass", "bad-ipv4" },
	    { F6 ",len=0 hop:0 udp:1>2", NULL, "pass", "bad-ipv6" },
	    { "eth type:0x0806 data:46", NULL, "pass", "not-ip" });
	BOTH_GAVE(OPTIONS);
	BOTH_GAVE(EXT_HEADER);
	BOTH_GAVE(CHECKSUM);
}

Test(forward_reasons, reverse_path)
{
	RUN(RULES, { F4 " udp:1>2", "in0+RPF_STRICT", "out0", "out0" },
	    { "ip4:198.18.3.9>198.18.2.9 udp:1>2", NULL, "out0", "out0" },
	    { "ip4:198.18.3.9>198.18.2.9 udp:1>2", "in0+RPF_STRICT", "rp-filter", "rp-filter",
	      "1 original" },
	    { "ip4:198.18.3.9>198.18.2.9 udp:1>2", "in=few few+RPF_STRICT", "out0", "out0" },
	    { "ip4:198.18.3.9>198.18.2.9 udp:1>2", "in0+RPF_LOOSE", "out0", "out0" },
	    { "ip4:198.18.3.9>198.18.2.9 udp:1>2", "out0+RPF_STRICT", "out0", "out0" },
	    { "ip4:203.0.113.9>198.18.2.9 udp:1>2", NULL, "out0", "out0", "1 reply" },
	    { "ip4:203.0.113.9>198.18.2.9 udp:1>2", "in0+RPF_LOOSE", "rp-filter", "rp-filter",
	      "1 reply" },
	    { "ip4:203.0.113.9>198.18.2.9 udp:1>2", "in0+RPF_STRICT", "rp-filter", "rp-filter" },
	    { "ip4:198.18.50.9>198.18.2.9 udp:1>2", "in0+RPF_LOOSE", "rp-filter", "rp-filter" },
	    { "ip4:198.18.54.9>198.18.2.9 udp:1>2", "in0+RPF_LOOSE", "out0", "out0" },
	    { TO4(2) " udp:1>2 data:1400", "in0+RPF_STRICT", "out0", "out0" },
	    { "ip6:2001:db8:f3::9>2001:db8:f2::9 udp:1>2", "in0+RPF_STRICT", "out0", "out0" },
	    { "ip4:198.18.3.9>198.18.2.9,mf udp:1>2,len=3000 data:64", "in0+RPF_STRICT",
	      "rp-filter", "rp-filter" },
	    { "ip4:198.18.3.9>198.18.2.9,off=9 proto:17 data:64", "in0+RPF_STRICT", "rp-filter",
	      "rp-filter" });
	BOTH_GAVE(RP_FILTER);
}

/* Failsafe speaks of TCP ports: no fragment of TCP can be told from port 22's. */
Test(forward_reasons, fragments)
{
	RUN(RULES, { F4 ",mf udp:1>2,len=3000 data:64", NULL, "out0", "out0", "1 original" },
	    { F4 ",mf,off=9 proto:17 data:64", NULL, "out0", "out0", "1 original" },
	    { F4 ",off=185 proto:17 data:3", NULL, "out0", "out0", "1 original" },
	    { F4 ",off=185,df proto:17 data:3 trail:30", NULL, "out0", "out0" },
	    { F4 ",mf tcp:1>2 data:64", NULL, "pass", "fragment", "1 original" },
	    { F4 ",mf tcp:1>22 data:64", NULL, "pass", "failsafe original" },
	    { F4 ",off=185 proto:6 data:64", NULL, "pass", "later-fragment" },
	    { F4 ",mf gre data:64", NULL, "out0", "out0" },
	    { F4 ",off=1 proto:51 data:64", NULL, "out0", "out0" },
	    /* What cannot be judged goes where its other fragments go. */
	    { F4 ",mf proto:17 data:3", NULL, "out0", "out0" },
	    { F4 ",mf proto:6 data:3", NULL, "pass", "bad-l4" },
	    /* An error is judged by its outer addresses when the quote may be elsewhere. */
	    { "ip4:198.18.1.9>198.18.2.9,mf icmp:3 ip4:9.9.9.9>8.8.8.8 udp:1>2", NULL, "out0",
	      "out0", "1 original" },
	    { "ip4:9.9.9.9>8.8.8.8,mf icmp:3 ip4:8.8.8.8>198.18.2.9 udp:1>2", NULL, "pass",
	      "fragment", "1 icmp-error" },
	    { "ip4:9.9.9.9>8.8.8.8,mf icmp:3 " F4 " udp:1>2", NULL, "pass", "bad-quote" },
	    { "ip4:9.9.9.9>8.8.8.8,mf icmp:5", NULL, "pass", "redirect" },
	    { "ip4:9.9.9.9>8.8.8.8,off=9 proto:1 data:80", NULL, "pass", "later-fragment" },
	    { F4 ",mf icmp:3 proto:17 data:1", NULL, "out0", "out0" },
	    /* No longer than what the other fragments may be long. */
	    { TO4(3) " udp:1>2", NULL, "few", "few" },
	    { TO4(3) ",mf udp:1>2,len=3000 data:64", NULL, "mtu", "mtu" },
	    { TO4(3) ",off=9 proto:17 data:64", NULL, "mtu", "mtu" },
	    { TO4(3) ",off=9 proto:17 data:64", "in0.mtu=1300", "few", "few" },
	    { TO4(3) ",off=9 proto:17 data:64", "in0.mtu=1301", "mtu", "mtu" },
	    { TO4(3) ",off=9 proto:17 data:64", "in0.mtu=65535", "mtu", "mtu" },
	    { F6 " frag:0,mf udp:1>2,len=3000 data:64", NULL, "out0", "out0", "2 original" },
	    { F6 " frag:185 proto:17 data:3", NULL, "out0", "out0", "2 original" },
	    { F6 " frag:185,mf proto:17 data:8 trail:9", NULL, "out0", "out0" },
	    { F6 " frag:185,mf proto:17 data:8", "in0+HASH6_L4", "out0", "out0" },
	    { F6 " frag:185 proto:6 data:8", NULL, "pass", "later-fragment" },
	    { F6 " frag:185 proto:60 data:8", NULL, "pass", "later-fragment" },
	    { F6 " frag:0,mf dst:0 udp:1>2,len=3000", NULL, "pass", "fragment", "2 original" },
	    { F6 " hop:0 frag:0,mf udp:1>2,len=3000", NULL, "pass", "fragment" },
	    { F6 " hop:0 frag:9 proto:17 data:8", NULL, "pass", "later-fragment" },
	    { TO6(3) " frag:9 proto:17 data:8", NULL, "mtu", "mtu" },
	    { F6 ",ttl=1 frag:9 proto:17 data:8", NULL, "ttl", "ttl" },
	    { F4 ",mf,opt=8 udp:1>2,len=3000", NULL, "ipv4-options", "ipv4-options" },
	    { "ip6:2001:db8:f1::9>2001:db8:2::1 frag:9 proto:17 data:8", NULL, "pass",
	      "later-fragment" },
	    { "ip6:2001:db8:f1::9>2001:db8:2::1 frag:0,mf udp:1>2,len=3000", NULL, "pass",
	      "local" });
	TC_GAVE(FRAGMENT);
}

/* A port rule in front, of the same protocol: the fragment may be its. */
Test(forward_reasons, fragments_among_port_rules)
{
	RUN("failsafe { tcp 22 }\n"
	    "forward udp dport 53\n"
	    "forward udp saddr 198.18.0.0/16\n"
	    "forward sctp saddr 198.18.0.0/16\n"
	    "notrack sctp dport 9\n"
	    "notrack dccp dport 9 saddr 10.0.0.0/8\n"
	    "forward dccp saddr 198.18.0.0/16\n",
	    { F4 " udp:1>53", NULL, "out0", "out0", "1 original" },
	    { F4 " udp:1>54", NULL, "out0", "out0", "2 original" },
	    { F4 ",mf udp:1>53,len=3000", NULL, "pass", "fragment", "1 original" },
	    { F4 ",mf udp:1>54,len=3000", NULL, "pass", "fragment", "2 original" },
	    { F4 ",off=9 proto:17 data:50", NULL, "pass", "later-fragment" },
	    { F4 ",mf sctp:1>9", NULL, "out0", "out0", "3 original" },
	    { F4 ",off=9 proto:132 data:50", NULL, "out0", "out0", "3 original" },
	    { "ip4:198.18.2.9>10.9.9.9,off=9 proto:33 data:50", NULL, "pass", "later-fragment" },
	    { "ip4:198.18.2.9>11.9.9.9,off=9 proto:33 data:50", "in=out0", "no-route", "no-route",
	      "6 original" },
	    { "ip4:11.9.9.9>198.18.1.9,off=9 proto:33 data:50", "in=out0", "in0", "in0",
	      "6 reply" });
}

Test(forward_reasons, icmp_errors)
{
	RUN(RULES, { ERR4("198.18.2.1"), "in=out0", "in0", "in0", "1 icmp-error" },
	    { ERR4("198.18.2.1"), "in=out0 out0+ERRORS4_UP", "ecmp-error", "ecmp-error",
	      "1 icmp-error" },
	    { ERR4("198.18.2.1"), "in=out0 out0+ERRORS6_UP", "in0", "in0" },
	    { ERR4("198.18.2.1"), "in=out0 in0+ERRORS4_UP", "in0", "in0" },
	    { F4 " icmp:8", "in0+ERRORS4_UP", "out0", "out0" },
	    { ERR6("2001:db8:2::2", "2001:db8:f1::9"), "in=out0", "in0", "in0", "2 icmp-error" },
	    { ERR6("2001:db8:2::2", "2001:db8:f1::9"), "in=out0 out0+ERRORS6_UP", "ecmp-error",
	      "ecmp-error", "2 icmp-error" },
	    { ERR6("2001:db8:2::2", "2001:db8:f1::9"), "in=out0 out0+ERRORS4_UP", "in0", "in0" },
	    { F6 " icmp6:128", "in0+ERRORS6_UP", "out0", "out0" },
	    { "ip4:198.18.2.1>198.18.1.9,ttl=1 icmp:3 " F4 " udp:1>2", "in=out0", "ttl", "ttl" },
	    { "ip4:198.18.2.1>198.18.1.9 icmp:3 " F4 ",ttl=1,opt=8 udp:1>2 keep:36", "in=out0",
	      "in0", "in0" },
	    { "ip4:198.18.2.1>198.18.1.9 icmp:3 " F4 " udp:1>2 keep:23", "in=out0", "pass",
	      "bad-quote" });
	BOTH_GAVE(ECMP_ERROR);
}

Test(forward_reasons, marks)
{
	RUN(RULES, { F4 " udp:1>2", "mark=0x10", "out0", "mark", "1 original" },
	    { F4 " udp:1>2", "mark=0x40", "out0", "out0" },
	    { F4 " udp:1>2", "mark=0x41", "out0", "mark" },
	    { F6 " udp:1>2", "mark=0x80000000", "out0", "mark" },
	    { F4 ",ttl=1 udp:1>2", "mark=0x40", "ttl", "ttl" });
	TC_GAVE(MARK);
}

Test(forward_reasons, partial_checksums)
{
	RUN(RULES, { F4 " tcp:1>2 data:33", "in0+PARTIAL partial", "partial-checksum", "out0" },
	    { F4 " tcp:1>2 data:33", "in0+PARTIAL fullsum", "out0", "out0" },
	    { F4 " tcp:1>2 data:33", "partial", "out0", "out0" },
	    { F4 " tcp:1>2 data:33", "in0+PARTIAL partial ip37=0", "out0", "out0" },
	    { F4 " udp:1>2 data:33", "in0+PARTIAL partial", "partial-checksum", "out0" },
	    { F4 " udp:1>2 data:33", "in0+PARTIAL fullsum", "out0", "out0" },
	    { F4 " udp:1>2 data:33", "in0+PARTIAL", "out0", "out0" },
	    { F4 " udp:1>4789 data:33", "in0+PARTIAL", "partial-checksum", "out0" },
	    { F4 " udp:1>6081 data:33", "in0+PARTIAL", "partial-checksum", "out0" },
	    { F4 " udp:4789>2 data:33", "in0+PARTIAL", "out0", "out0" },
	    { F4 " udp:1>4789 data:33", "in0+PARTIAL fullsum", "out0", "out0" },
	    { F4 " udp:1>4789 data:33", NULL, "out0", "out0" },
	    { F6 " tcp:1>2 data:33", "in0+PARTIAL partial", "partial-checksum", "out0" },
	    { F6 " tcp:1>2 data:33", "in0+PARTIAL fullsum", "out0", "out0" },
	    { F6 " udp:1>2 data:1400", "in0+PARTIAL partial", "partial-checksum", "out0" },
	    { F6 " udp:1>2 data:1400", "in0+PARTIAL fullsum", "out0", "out0" },
	    { F6 " udp:1>2 trail:9", "in0+PARTIAL partial", "partial-checksum", "out0" },
	    { F4 " sctp:1>2", "in0+PARTIAL", "partial-checksum", "out0" },
	    { F4 " sctp:1>2", "in0+PARTIAL ip28=1", "out0", "out0" },
	    { F4 " icmp:8", "in0+PARTIAL", "out0", "out0" },
	    { F4 " gre data:30", "in0+PARTIAL", "partial-checksum", "out0" },
	    { F4 " gre data:30", NULL, "out0", "out0" },
	    { F4 ",mf udp:1>2,len=999 data:33", "in0+PARTIAL", "out0", "out0" },
	    { ERR4("198.18.2.1"), "in=out0 out0+PARTIAL", "in0", "in0" });
	XDP_GAVE(PARTIAL);
}
