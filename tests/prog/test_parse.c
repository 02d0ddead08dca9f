// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser: for each thing it has to know a packet that shows it, and the near-miss twin that
 * must be judged otherwise. Every packet goes through reference, parser and classifier, userspace
 * lookup and the production program (rig.h), and is then cut at every length.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "rig.h"

#define MARK 0x40
#define RULES \
	"notrack udp dport 5300\n"		       /* 1 */ \
	"notrack tcp dport 8000\n"		       /* 2 */ \
	"notrack { udplite, sctp, dccp } dport 7000\n" /* 3 */ \
	"notrack icmp saddr 192.0.2.1\n"	       /* 4 */ \
	"notrack icmpv6 saddr 2001:db8::1\n"	       /* 5 */ \
	"notrack gre\n"				       /* 6 */ \
	"notrack esp\n"				       /* 7 */ \
	"notrack 59\n"				       /* 8 */ \
	"notrack ah\n"				       /* 9 */ \
	"notrack 135\n"				       /* 10 */ \
	"track 253\n"				       /* 11 */

struct row {
	const char *what;
	const char *packet, *verdict; /* "RULE direction" or a reason */
	const char *twin, *twin_verdict;
};

#define V4 "eth ip4:192.0.2.1>198.51.100.1"
#define V6 "eth ip6:2001:db8::1>2001:db8:1::1"
/* An ICMP error to the sender of a packet, and that packet's header. */
#define ERR4 "eth ip4:203.0.113.9>192.0.2.1 icmp:3,4 ip4:192.0.2.1>198.51.100.1"
#define ERR6 "eth ip6:2001:db8:9::9>2001:db8::1 icmp6:2 ip6:2001:db8::1>2001:db8:1::1"

static const struct row link_rows[] = {
	{ "plain Ethernet", V4 " udp:1000>5300", "1 original", V4 " udp:1000>5301", "no-match" },
	{ "ARP", "eth type:0x0806 data:28", "not-ip", "eth data:46", "not-ip" },
	{ "IEEE 802.3 length", "eth type:46 data:46", "not-ip", V4 " udp:1>5300", "1 original" },
	{ "ethertype lies", "eth type:0x86dd ip4:1.2.3.4>5.6.7.8 udp:1>5300 data:20", "bad-ipv6",
	  "eth type:0x0800 ip6:::1>::2 udp:1>5300", "bad-ipv4" },
	{ "one tag", "eth vlan:5 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original",
	  "eth vlan:5 ip4:1.2.3.4>5.6.7.8 udp:1>5301", "no-match" },
	{ "802.1ad outside", "eth qinq:5 vlan:6 ip6:::1>::2 udp:1>5300", "1 original",
	  "eth qinq:5 vlan:6 ip6:::1>::2 udp:1>5301", "no-match" },
	{ "802.1Q twice", "eth vlan:5 vlan:6 ip4:1.2.3.4>5.6.7.8 tcp:1>8000", "2 original",
	  "eth vlan:5 vlan:6 vlan:7 ip4:1.2.3.4>5.6.7.8 tcp:1>8000", "not-ip" },
	{ "tag cut short", "eth vlan:5 type:0x0800", "bad-ipv4", "eth type:0x8100 data:3",
	  "bad-link" },
	{ "second tag cut short", "eth vlan:5 vlan:6 type:0x0806 data:9", "not-ip",
	  "eth vlan:5 type:0x88a8 data:2", "bad-link" },
	{ "tag and other ethertype", "eth vlan:5 type:0x0806 data:28", "not-ip",
	  "eth vlan:5 ip4:1.2.3.4>5.6.7.8 gre", "6 original" },
	{ "for another host", "eth:other ip4:1.2.3.4>5.6.7.8 udp:1>5300", "other-host",
	  "eth ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original" },
	{ "tagged, for another MAC", "eth:other vlan:5 ip4:1.2.3.4>5.6.7.8 udp:1>5300",
	  "other-host", "eth vlan:5 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original" },
	{ "priority tag, for another MAC", "eth:other vlan:0 ip4:1.2.3.4>5.6.7.8 udp:1>5300",
	  "other-host", "eth vlan:0 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original" },
	{ "tag of a VLAN device", "eth vlan:77 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "vlan-device",
	  "eth vlan:78 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original" },
	{ "the outer tag counts", "eth vlan:77 vlan:5 ip4:1.2.3.4>5.6.7.8 udp:1>5300",
	  "vlan-device", "eth vlan:5 vlan:77 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original" },
	{ "priority tag outside", "eth vlan:0 vlan:77 ip4:1.2.3.4>5.6.7.8 udp:1>5300",
	  "vlan-device", "eth vlan:0 vlan:78 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original" },
	{ "VLAN device, whatever is inside", "eth vlan:77 type:0x0806 data:28", "vlan-device",
	  "eth vlan:78 type:0x0806 data:28", "not-ip" },
	{ "priority bits", "eth vlan:0xf04d ip4:1.2.3.4>5.6.7.8 udp:1>5300", "vlan-device",
	  "eth vlan:0xf04e ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original" },
};

static const struct row ipv4_rows[] = {
	{ "version", V4 " udp:1>5300", "1 original", V4 ",ver=5 udp:1>5300", "bad-ipv4" },
	{ "header length", V4 ",opt=4 udp:1>5300", "1 original", V4 ",ihl=4 udp:1>5300",
	  "bad-ipv4" },
	{ "options are skipped", V4 ",opt=40 udp:1>5300", "1 original", V4 ",opt=40 udp:1>5301",
	  "no-match" },
	{ "header longer than packet", V4 ",ihl=7 proto:253 data:8", "11 original",
	  V4 ",ihl=8 proto:253 data:8", "bad-ipv4" },
	{ "total length covers the header", V4 ",len=20 proto:253 data:8", "11 original",
	  V4 ",len=19 proto:253 data:8", "bad-ipv4" },
	{ "total length within the packet", V4 ",len=36 udp:1>5300,len=8 data:8", "1 original",
	  V4 ",len=37 udp:1>5300,len=8 data:8", "bad-ipv4" },
	{ "total length 0", V4 ",len=0 udp:1>5300", "bad-ipv4", V4 ",len=28 udp:1>5300",
	  "1 original" },
	{ "padding behind", V4 " udp:1>5300 trail:18", "1 original",
	  V4 ",len=27 udp:1>5300,len=8 data:18", "bad-l4" },
	{ "don't fragment", V4 ",df udp:1>5300", "1 original", V4 ",df udp:1>5301", "no-match" },
	{ "first fragment", V4 ",mf udp:1>5300,len=3000 data:64", "1 original",
	  V4 ",mf udp:1>5301,len=3000 data:64", "no-match" },
	{ "later fragment", V4 ",off=1 udp:1>5300 data:64", "later-fragment",
	  V4 ",off=0 udp:1>5300 data:64", "1 original" },
	{ "middle fragment", V4 ",off=185,mf udp:1>5300 data:64", "later-fragment",
	  V4 ",mf udp:1>5300 data:64", "1 original" },
	{ "largest offset", V4 ",off=0x1fff data:64", "later-fragment", V4 ",off=0x8000 gre data:9",
	  "6 original" },
	{ "highest offset bit", V4 ",off=0x1000 data:64", "later-fragment",
	  V4 ",off=0xc000 proto:253 data:9", "11 original" },
	{ "tiny first fragment", V4 ",mf,len=24 tcp:1>8000", "2 original",
	  V4 ",mf,len=23 tcp:1>8000", "bad-l4" },
	{ "first fragment, unknown protocol", V4 ",mf gre", "6 original", V4 ",mf proto:46",
	  "no-match" },
	{ "AH is a protocol", V4 " proto:51 data:24", "9 original", V4 " proto:52 data:24",
	  "no-match" },
	{ "hop-by-hop is nothing here", V4 " proto:0 data:24", "no-match", V4 " proto:59",
	  "8 original" },
	{ "ICMPv6 number", V4 " proto:58", "no-match", "eth ip4:192.0.2.1>1.1.1.1 proto:1",
	  "bad-l4" },
};

static const struct row ipv6_rows[] = {
	{ "plain", V6 " udp:1>5300", "1 original", V6 " udp:1>5301", "no-match" },
	{ "version", V6 ",ver=6 udp:1>5300", "1 original", V6 ",ver=4 udp:1>5300", "bad-ipv6" },
	{ "payload length", V6 ",len=8 udp:1>5300,len=8", "1 original",
	  V6 ",len=9 udp:1>5300,len=8", "bad-ipv6" },
	{ "padding behind", V6 " udp:1>5300 trail:5", "1 original",
	  V6 ",len=7 udp:1>5300,len=8 data:4", "bad-l4" },
	{ "jumbogram", V6 ",len=0 hop:0 udp:1>5300", "bad-ipv6", V6 " hop:0 udp:1>5300",
	  "1 original" },
	{ "payload length 0", V6 ",len=0 gre data:8", "bad-ipv6", V6 " gre data:1", "6 original" },
	{ "nothing follows", V6 " proto:59", "8 original", V6 " proto:58", "bad-ipv6" },
	{ "nothing follows, with bytes", V6 " proto:59 data:8", "8 original", V6 " proto:61 data:8",
	  "no-match" },
	{ "hop-by-hop", V6 " hop:0 tcp:1>8000", "2 original", V6 " hop:0 tcp:1>8001", "no-match" },
	{ "routing", V6 " rt:2 tcp:1>8000", "2 original", V6 " rt:2 tcp:1>8001", "no-match" },
	{ "destination options", V6 " dst:3 tcp:1>8000", "2 original", V6 " dst:3 tcp:1>80",
	  "no-match" },
	{ "AH is skipped", V6 " ah:4 tcp:1>8000", "2 original", V6 " ah:4 tcp:1>8001", "no-match" },
	{ "short AH", V6 " ah:0 tcp:1>8000", "2 original", V6 " ah:1 tcp:1>8001", "no-match" },
	{ "the usual order", V6 " hop:0 dst:0 rt:0 frag:0 ah:4 dst:1 udp:1>5300", "1 original",
	  V6 " hop:0 dst:0 rt:0 frag:0 ah:4 dst:1 udp:1>5301", "no-match" },
	{ "eight headers", V6 " hop:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 udp:1>5300",
	  "1 original", V6 " hop:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 udp:1>5300",
	  "ext-headers" },
	{ "eight headers with a fragment",
	  V6 " dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 frag:0,mf gre", "6 original",
	  V6 " dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 frag:1,mf gre", "ext-headers" },
	{ "longest header", V6 " dst:126 udp:1>5300", "1 original", V6 " dst:127 udp:1>5300",
	  "ext-headers" },
	{ "1,023 bytes in all", V6 " dst:60 ah:125 frag:0 dst:1 udp:1>5300", "1 original",
	  V6 " dst:60 ah:125 frag:0 dst:2 udp:1>5300", "ext-headers" },
	{ "header ends with the packet", V6 " dst:1 gre", "6 original", V6 ",len=15 dst:1 gre",
	  "bad-ipv6" },
	{ "less than a header", V6 " next:60 data:7", "bad-ipv6", V6 " dst:0 proto:59",
	  "8 original" },
	{ "ESP ends the walk", V6 " dst:0 esp data:20", "7 original", V6 " dst:0 proto:49 data:20",
	  "no-match" },
	{ "mobility is a protocol", V6 " proto:135 data:8", "10 original", V6 " proto:139 data:8",
	  "no-match" },
	{ "shim6 is a protocol", V6 " proto:140 data:8", "no-match", V6 " proto:135", "bad-ipv6" },
	{ "first fragment", V6 " frag:0,mf udp:1>5300,len=3000 data:64", "1 original",
	  V6 " frag:0,mf udp:1>5301,len=3000 data:64", "no-match" },
	{ "later fragment", V6 " frag:1,mf udp:1>5300 data:64", "later-fragment",
	  V6 " frag:0,mf udp:1>5300 data:64", "1 original" },
	{ "last fragment", V6 " frag:0x1fff data:64", "later-fragment", V6 " frag:0 gre",
	  "6 original" },
	{ "atomic fragment", V6 " frag:0 udp:1>5300", "1 original",
	  V6 " frag:0 udp:1>5300,len=3000 data:64", "bad-l4" },
	{ "tiny first fragment", V6 ",len=12 frag:0,mf tcp:1>8000", "2 original",
	  V6 ",len=11 frag:0,mf tcp:1>8000", "bad-l4" },
	{ "fragment behind options", V6 " dst:0 frag:0,mf udp:1>5300,len=3000", "1 original",
	  V6 " dst:0 frag:9,mf udp:1>5300,len=3000", "later-fragment" },
	{ "options behind the fragment", V6 " frag:0,mf dst:0 udp:1>5300,len=3000", "1 original",
	  V6 " frag:9,mf dst:0 udp:1>5300,len=3000", "later-fragment" },
	{ "ICMP number", "eth ip6:::1>::2 proto:1 data:1", "no-match",
	  "eth ip6:2001:db8::1>::2 proto:58 data:1", "bad-l4" },
};

static const struct row l4_rows[] = {
	{ "TCP", V4 " tcp:1>8000", "2 original", V4 " tcp:8000>1", "2 reply" },
	{ "TCP with options", V4 " tcp:1>8000,doff=15 data:40", "2 original",
	  V4 " tcp:1>8000,doff=15 data:39", "bad-l4" },
	{ "TCP header too short", V4 ",len=40 tcp:1>8000", "2 original", V4 ",len=39 tcp:1>8000",
	  "bad-l4" },
	{ "TCP data offset", V4 " tcp:1>8000,doff=5", "2 original", V4 " tcp:1>8000,doff=4",
	  "bad-l4" },
	{ "TCP data offset 0", V6 " tcp:1>8000,doff=0", "bad-l4", V6 " tcp:1>8000,doff=6 data:4",
	  "2 original" },
	{ "options cut off by the IP length", V4 ",len=40 tcp:1>8000,doff=6 data:40", "bad-l4",
	  V4 ",len=44 tcp:1>8000,doff=6 data:40", "2 original" },
	{ "UDP", V4 " udp:5300>1 data:9", "1 reply", V4 " udp:5299>1 data:9", "no-match" },
	{ "UDP header too short", V4 ",len=28 udp:1>5300,len=8", "1 original",
	  V4 ",len=27 udp:1>5300,len=8", "bad-l4" },
	{ "UDP length", V4 " udp:1>5300,len=8 data:4", "1 original", V4 " udp:1>5300,len=7 data:4",
	  "bad-l4" },
	{ "UDP longer than the packet", V4 " udp:1>5300,len=12 data:4", "1 original",
	  V4 " udp:1>5300,len=13 data:4", "bad-l4" },
	{ "UDP length 0", V6 " udp:1>5300,len=0 data:4", "bad-l4", V6 " udp:1>5300,len=9 data:4",
	  "1 original" },
	{ "UDP in the padding", V4 ",len=20 udp:1>5300,len=8", "bad-l4",
	  V4 ",len=28 udp:1>5300,len=8", "1 original" },
	{ "UDP-Lite coverage is nobody's business", V4 " udplite:1>7000", "3 original",
	  V4 ",len=27 udplite:1>7000", "bad-l4" },
	{ "SCTP", V4 " sctp:7000>1", "3 reply", V4 ",len=31 sctp:7000>1", "bad-l4" },
	{ "DCCP", V6 " dccp:1>7000", "3 original", V6 ",len=11 dccp:1>7000", "bad-l4" },
	{ "ICMP", V4 " icmp:8", "4 original", V4 ",len=27 icmp:8", "bad-l4" },
	{ "ICMP first fragment", V4 ",mf icmp:8", "4 original", V4 ",mf,len=27 icmp:8", "bad-l4" },
	{ "ICMPv6", V6 " icmp6:128", "5 original", V6 ",len=7 icmp6:128", "bad-l4" },
	{ "ICMPv6 reply", "eth ip6:::2>2001:db8::1 icmp6:129", "5 reply",
	  "eth ip6:::2>2001:db8::2 icmp6:129", "no-match" },
	{ "GRE", V4 " gre", "6 original", V4 " proto:46", "no-match" },
	{ "ESP", V6 " esp data:1", "7 original", V6 " proto:49 data:1", "no-match" },
};

static const struct row quote_rows[] = {
	{ "unreachable", ERR4 " udp:1>5300", "1 icmp-error", ERR4 " udp:1>5301", "no-match" },
	{ "quotes the reply", ERR4 " udp:5300>1", "1 icmp-error", ERR4 " udp:5299>1", "no-match" },
	{ "source quench", "eth ip4:9.9.9.9>1.1.1.1 icmp:4 ip4:1.1.1.1>2.2.2.2 udp:1>5300",
	  "1 icmp-error", "eth ip4:192.0.2.1>1.1.1.1 icmp:6 ip4:1.1.1.1>2.2.2.2 udp:1>5300",
	  "4 original" },
	{ "redirect", "eth ip4:192.0.2.1>1.1.1.1 icmp:5 ip4:1.1.1.1>2.2.2.2 tcp:1>8000", "redirect",
	  "eth ip4:192.0.2.1>1.1.1.1 icmp:8 ip4:1.1.1.1>2.2.2.2 tcp:1>8000", "4 original" },
	{ "redirect in a first fragment", "eth ip4:192.0.2.1>1.1.1.1,mf icmp:5", "redirect",
	  "eth ip4:192.0.2.1>1.1.1.1,mf icmp:6", "4 original" },
	{ "redirect that is cut", "eth ip4:192.0.2.1>1.1.1.1,len=27 icmp:5", "bad-l4",
	  "eth ip4:192.0.2.1>1.1.1.1,len=28 icmp:5", "redirect" },
	{ "redirect, IPv6", "eth ip6:2001:db8::1>::2 icmp6:137 ip6:::2>::3 tcp:1>8000", "redirect",
	  "eth ip6:2001:db8::1>::2 icmp6:136 ip6:::2>::3 tcp:1>8000", "5 original" },
	{ "redirect numbers of the other family", "eth ip4:192.0.2.1>1.1.1.1 icmp:137",
	  "4 original", "eth ip6:2001:db8::1>::2 icmp6:5", "5 original" },
	{ "to the sender of what it quotes",
	  "eth ip4:9.9.9.9>192.0.2.65 icmp:3 ip4:192.0.2.65>2.2.2.2 udp:1>5300", "1 icmp-error",
	  "eth ip4:9.9.9.9>192.0.2.64 icmp:3 ip4:192.0.2.65>2.2.2.2 udp:1>5300", "bad-quote" },
	{ "upper bit of the sender",
	  "eth ip4:9.9.9.9>64.0.2.65 icmp:3 ip4:64.0.2.65>2.2.2.2 udp:1>5300", "1 icmp-error",
	  "eth ip4:9.9.9.9>192.0.2.65 icmp:3 ip4:64.0.2.65>2.2.2.2 udp:1>5300", "bad-quote" },
	{ "to the receiver of what it quotes",
	  "eth ip4:9.9.9.9>2.2.2.2 icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300", "bad-quote",
	  "eth ip4:9.9.9.9>2.2.2.2 icmp:3 ip4:2.2.2.2>1.1.1.1 udp:5300>1", "1 icmp-error" },
	{ "to another, of what no rule fits", "eth ip4:9.9.9.9>8.8.8.8 icmp:3 ip4:1.1.1.1>2.2.2.2",
	  "bad-quote", "eth ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2", "no-match" },
	{ "to the sender, IPv6",
	  "eth ip6:::9>2001:db8:0:1::7 icmp6:1 ip6:2001:db8:0:1::7>::2 udp:1>5300", "1 icmp-error",
	  "eth ip6:::9>2001:db8:0:1::6 icmp6:1 ip6:2001:db8:0:1::7>::2 udp:1>5300", "bad-quote" },
	{ "upper half of the sender, IPv6",
	  "eth ip6:::9>2001:db8:0:2::7 icmp6:1 ip6:2001:db8:0:2::7>::2 udp:1>5300", "1 icmp-error",
	  "eth ip6:::9>2001:db8:0:3::7 icmp6:1 ip6:2001:db8:0:2::7>::2 udp:1>5300", "bad-quote" },
	{ "upper bit of the sender, IPv6",
	  "eth ip6:::9>a001:db8::7 icmp6:1 ip6:a001:db8::7>::2 udp:1>5300", "1 icmp-error",
	  "eth ip6:::9>2001:db8::7 icmp6:1 ip6:a001:db8::7>::2 udp:1>5300", "bad-quote" },
	{ "to another, in a first fragment",
	  "eth ip4:9.9.9.9>8.8.8.8,mf icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300", "bad-quote",
	  "eth ip4:9.9.9.9>8.8.8.8,mf icmp:3 ip4:8.8.8.8>2.2.2.2 udp:1>5300", "1 icmp-error" },
	{ "time exceeded", "eth ip4:9.9.9.9>1.1.1.1 icmp:11 ip4:1.1.1.1>2.2.2.2 tcp:1>8000",
	  "2 icmp-error", "eth ip4:9.9.9.9>1.1.1.1 icmp:10 ip4:1.1.1.1>2.2.2.2 tcp:1>8000",
	  "no-match" },
	{ "parameter problem", "eth ip4:9.9.9.9>1.1.1.1 icmp:12 ip4:1.1.1.1>2.2.2.2 tcp:1>8000",
	  "2 icmp-error", "eth ip4:9.9.9.9>1.1.1.1 icmp:13 ip4:1.1.1.1>2.2.2.2 tcp:1>8000",
	  "no-match" },
	{ "not judged by its own header",
	  "eth ip4:192.0.2.1>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>2", "no-match",
	  "eth ip4:192.0.2.1>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300", "1 icmp-error" },
	{ "eight bytes are enough", ERR4 " tcp:1>8000 keep:28", "2 icmp-error",
	  ERR4 " tcp:1>8001 keep:28", "no-match" },
	{ "ports are enough", ERR4 " tcp:1>8000 keep:24", "2 icmp-error",
	  ERR4 " tcp:1>8000 keep:23", "bad-quote" },
	{ "no ports needed", ERR4 " gre keep:20", "6 icmp-error", ERR4 " gre keep:19",
	  "bad-quote" },
	{ "nothing quoted", "eth ip4:9.9.9.9>192.0.2.1 icmp:3", "bad-quote", ERR4 " icmp:8",
	  "4 icmp-error" },
	{ "quote in the padding", ERR4 " gre keep:20 trail:6", "6 icmp-error",
	  ERR4 " gre keep:0 trail:20", "bad-quote" },
	{ "ports in the padding", ERR4 " udp:1>5300 keep:24 trail:4", "1 icmp-error",
	  ERR4 " udp:1>5300 keep:20 trail:8", "bad-quote" },
	{ "quoted version", ERR4 ",ver=4 udp:1>5300", "1 icmp-error", ERR4 ",ver=6 udp:1>5300",
	  "bad-quote" },
	{ "quoted header length", ERR4 ",ihl=5 udp:1>5300", "1 icmp-error",
	  ERR4 ",ihl=4 udp:1>5300", "bad-quote" },
	{ "quoted options", ERR4 ",opt=12 udp:1>5300", "1 icmp-error", ERR4 ",opt=12 udp:1>5301",
	  "no-match" },
	{ "quoted options cut", ERR4 ",opt=12 gre keep:32", "6 icmp-error",
	  ERR4 ",opt=12 gre keep:31", "bad-quote" },
	{ "quoted total length is no matter", ERR4 ",len=9000 udp:1>5300", "1 icmp-error",
	  ERR4 ",len=9000 udp:1>5301", "no-match" },
	{ "quoted first fragment", ERR4 ",mf udp:1>5300", "1 icmp-error", ERR4 ",off=1 udp:1>5300",
	  "bad-quote" },
	{ "quoted transport header may be bad", ERR4 " tcp:1>8000,doff=0", "2 icmp-error",
	  ERR4 " tcp:1>8001,doff=0", "no-match" },
	{ "error about an error", ERR4 " icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300", "4 icmp-error",
	  "eth ip4:9.9.9.9>7.7.7.7 icmp:3 ip4:7.7.7.7>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300",
	  "no-match" },
	{ "quoted ICMP without its header", ERR4 " icmp:8 keep:20", "4 icmp-error",
	  ERR4 " icmp:8 keep:19", "bad-quote" },
	{ "error in a first fragment",
	  "eth ip4:9.9.9.9>1.1.1.1,mf icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300", "1 icmp-error",
	  "eth ip4:9.9.9.9>1.1.1.1,off=1 icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300", "later-fragment" },
	{ "error behind options",
	  "eth ip4:9.9.9.9>1.1.1.1,opt=20 icmp:3 ip4:1.1.1.1>2.2.2.2,opt=8 sctp:7000>1 keep:32",
	  "3 icmp-error",
	  "eth ip4:9.9.9.9>1.1.1.1,opt=20 icmp:3 ip4:1.1.1.1>2.2.2.2,opt=8 sctp:7000>1 keep:31",
	  "bad-quote" },
	{ "quote of the other family", "eth ip4:9.9.9.9>1.1.1.1 icmp:3 ip6:::1>::2 udp:1>5300",
	  "bad-quote", "eth ip6:::9>::1 icmp6:1 ip6:::1>::2 udp:1>5300", "1 icmp-error" },
	{ "IPv4 in ICMPv6", "eth ip6:::9>::1 icmp6:1 ip4:1.1.1.1>2.2.2.2 udp:1>5300 data:40",
	  "bad-quote", "eth ip6:::9>::1 icmp6:1 ip6:::1>::2 udp:5300>1", "1 icmp-error" },
	{ "packet too big", ERR6 " tcp:1>8000", "2 icmp-error", ERR6 " tcp:1>8001", "no-match" },
	{ "ICMPv6 type 4", "eth ip6:::9>::1 icmp6:4 ip6:::1>::2 tcp:1>8000", "2 icmp-error",
	  "eth ip6:::9>::1 icmp6:5 ip6:::1>::2 tcp:1>8000", "no-match" },
	{ "ICMPv6 type 1", "eth ip6:::9>::1 icmp6:1 ip6:::1>::2 tcp:1>8000", "2 icmp-error",
	  "eth ip6:2001:db8::1>::1 icmp6:0 ip6:::1>::2 tcp:1>8000", "5 original" },
	{ "unknown ICMPv6 error type", "eth ip6:2001:db8::1>::1 icmp6:127 ip6:::1>::2 tcp:1>8000",
	  "5 original", "eth ip6:2001:db8::1>::1 icmp6:3 ip6:::1>::2 tcp:1>8000", "2 icmp-error" },
	{ "quoted extension headers", ERR6 " hop:0 dst:0 udp:1>5300", "1 icmp-error",
	  ERR6 " hop:0 dst:0 udp:1>5301", "no-match" },
	{ "quoted extension header cut", ERR6 " dst:1 gre keep:56", "6 icmp-error",
	  ERR6 " dst:1 gre keep:55", "bad-quote" },
	{ "quoted ports in IPv6", ERR6 " udp:1>5300 keep:44", "1 icmp-error",
	  ERR6 " udp:1>5300 keep:43", "bad-quote" },
	{ "quoted ports in the padding, IPv6", ERR6 " udp:1>5300 keep:44 trail:4", "1 icmp-error",
	  ERR6 " udp:1>5300 keep:40 trail:8", "bad-quote" },
	{ "quoted extension header in the padding", ERR6 " dst:0 gre keep:48 trail:8",
	  "6 icmp-error", ERR6 " dst:0 gre keep:40 trail:8", "bad-quote" },
	{ "quoted payload length is no matter", ERR6 ",len=0 udp:1>5300", "1 icmp-error",
	  ERR6 ",len=0 udp:1>5301", "no-match" },
	{ "quoted first fragment, IPv6", ERR6 " frag:0,mf udp:1>5300", "1 icmp-error",
	  ERR6 " frag:1,mf udp:1>5300", "bad-quote" },
	{ "quoted nine extension headers",
	  ERR6 " dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 udp:1>5300", "1 icmp-error",
	  ERR6 " dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 udp:1>5300", "bad-quote" },
	{ "ICMPv6 behind extension headers",
	  "eth ip6:::9>::1 hop:0 icmp6:3 ip6:::1>::2 dst:0 udp:1>5300", "1 icmp-error",
	  "eth ip6:::9>::1 hop:0 icmp6:3 ip6:::1>::2 dst:0 udp:1>5301", "no-match" },
	{ "ICMP number in IPv6 quotes nothing", "eth ip6:::9>::8 proto:1 data:60", "no-match",
	  "eth ip4:9.9.9.9>8.8.8.8 proto:58 data:60", "no-match" },
	{ "failsafe in a quote", ERR4 " tcp:22>1", "failsafe icmp-error", ERR4 " tcp:23>1",
	  "no-match" },
};

static const struct row layer3_rows[] = {
	{ "IPv4", "bare ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original",
	  "bare ip4:1.2.3.4>5.6.7.8 udp:1>5301", "no-match" },
	{ "IPv6", "bare ip6:::1>::2 dst:0 udp:5300>1", "1 reply",
	  "bare ip6:::1>::2 dst:0 udp:530>1", "no-match" },
	{ "error", "bare ip4:1.2.3.4>5.6.7.8 icmp:11 ip4:5.6.7.8>1.1.1.1 udp:1>5300",
	  "1 icmp-error", "bare ip4:1.2.3.4>5.6.7.8 icmp:11 ip4:5.6.7.8>1.1.1.1 udp:1>53",
	  "no-match" },
	{ "short", "bare ip4:1.2.3.4>5.6.7.8 gre", "6 original",
	  "bare ip4:1.2.3.4>5.6.7.8,len=21 gre", "bad-ipv4" },
};

static struct host_if ifs[8];
static struct host host;

/* VLAN 77 of va0 has a device of its own; packets come in by va0. */
static void start(struct rig *rig)
{
	static struct host_if with_vlan[8];
	size_t n = harness_init(ifs, ARRAY_SIZE(ifs) - 1);

	memcpy(with_vlan, ifs, sizeof(ifs));
	with_vlan[n] = (struct host_if){ .ifindex = 1000,
					 .name = "va0.77",
					 .vid = 77,
					 .parent = ifs[1].ifindex,
					 .kind = "vlan" };
	host = (struct host){ .ifs = with_vlan, .n_ifs = n + 1 };
	rig_from_text(rig, RULES, &host);
}

/* Through everything; the counters are compared too, so that a test asserts each single count. */
static struct ref_verdict agree(struct rig *rig, const struct packet *p,
				const struct harness_extra *x, const char *what, size_t len)
{
	char wrong[512], hex[3 * PKT_MAX];
	struct ref_verdict v;
	const char *w;

	w = rig_packet(rig, p, &ifs[1], x, 0xffffffff, &v, wrong, sizeof(wrong));
	if (w)
		pkt_hexdump(p, hex, sizeof(hex));
	cr_expect(!w, "%s, %zu bytes: %s\n%s", what, len, wrong, w ? hex : "");
	return v;
}

static void check(struct rig *rig, const char *what, const char *recipe, const char *verdict)
{
	struct ref_verdict v;
	struct packet p;
	char text[64];
	const char *w;

	cr_assert_eq(pkt_recipe(recipe, &p), 0);
	v = agree(rig, &p, NULL, what, p.len);
	cr_expect_str_eq(rig_verdict(&v, text, sizeof(text)), verdict, "%s: %s: %s, not %s", what,
			 recipe, text, verdict);
	w = rig_counters(rig, text, sizeof(text));
	cr_expect(!w, "%s: %s", what, text);
}

/* Cut without telling anyone: the IP length is more than there is, so there is no verdict. */
static void truncate_frame(struct rig *rig, const char *what, const struct packet *whole)
{
	struct ref_verdict v, full;
	struct ref_frame f = harness_frame(whole, &ifs[1], NULL);
	struct packet p;
	size_t len;

	full = ref_judge(rig->rs, &rig->ref, &f);
	for (len = 1; len < whole->len; len++) {
		p = *whole;
		pkt_truncate(&p, len);
		if (!harness_can(&p))
			continue;
		v = agree(rig, &p, NULL, what, len);
		if (full.has_bytes && len < whole->l3 + full.bytes)
			cr_expect(!v.judged, "%s: judged with %zu bytes of %zu", what, len,
				  whole->len);
	}
}

/*
 * Cut honestly, as a fragment or a quote is: the outer IP header knows. Then once more with the
 * lost bytes behind the packet as padding, which must make no difference.
 */
static void shorten_packet(struct rig *rig, const char *what, const struct packet *whole)
{
	struct ref_verdict cut, padded;
	struct packet p;
	size_t len;
	__u8 *ip;

	for (len = whole->l3 + 20; whole->l3 && len < whole->len; len++) {
		p = *whole;
		ip = p.data + p.l3;
		if (ip[0] >> 4 == 4) {
			ip[2] = (len - p.l3) >> 8;
			ip[3] = len - p.l3;
		} else if (len >= p.l3 + 40) {
			ip[4] = (len - p.l3 - 40) >> 8;
			ip[5] = len - p.l3 - 40;
		} else {
			continue;
		}
		padded = agree(rig, &p, NULL, what, len);
		pkt_truncate(&p, len);
		cut = agree(rig, &p, NULL, what, len);
		cr_expect(cut.judged == padded.judged && cut.handle == padded.handle &&
				  cut.reason == padded.reason,
			  "%s: padding behind %zu bytes changes the verdict", what, len);
	}
}

static void cut_everywhere(struct rig *rig, const char *what, const char *recipe)
{
	struct packet p;

	cr_assert_eq(pkt_recipe(recipe, &p), 0);
	truncate_frame(rig, what, &p);
	shorten_packet(rig, what, &p);
}

static void run_rows(const struct row *rows, size_t n)
{
	struct rig rig;
	char wrong[256];
	size_t i;

	start(&rig);
	for (i = 0; i < n; i++) {
		check(&rig, rows[i].what, rows[i].packet, rows[i].verdict);
		check(&rig, rows[i].what, rows[i].twin, rows[i].twin_verdict);
	}
	for (i = 0; i < n; i++) {
		cut_everywhere(&rig, rows[i].what, rows[i].packet);
		cut_everywhere(&rig, rows[i].what, rows[i].twin);
	}
	cr_expect(!rig_counters(&rig, wrong, sizeof(wrong)), "%s", wrong);
	rig_free(&rig);
}

Test(parse, link_layer)
{
	run_rows(link_rows, ARRAY_SIZE(link_rows));
}

Test(parse, ipv4)
{
	run_rows(ipv4_rows, ARRAY_SIZE(ipv4_rows));
}

Test(parse, ipv6)
{
	run_rows(ipv6_rows, ARRAY_SIZE(ipv6_rows));
}

Test(parse, transport)
{
	run_rows(l4_rows, ARRAY_SIZE(l4_rows));
}

Test(parse, icmp_quotes)
{
	run_rows(quote_rows, ARRAY_SIZE(quote_rows));
}

Test(parse, layer3_devices)
{
	run_rows(layer3_rows, ARRAY_SIZE(layer3_rows));
}

/* The tag that the kernel took out of the frame before tc sees it. */
Test(parse, tag_in_metadata)
{
	static const struct {
		const char *packet, *verdict;
		__u16 push;
	} rows[] = {
		{ V4 " udp:1>5300", "1 original", 5 },
		{ V4 " udp:1>5300", "vlan-device", 77 },
		{ V4 " udp:1>5300", "vlan-device", 0xe000 | 77 },
		{ V4 " udp:1>5300", "1 original", 0xe000 | 78 },
		{ V4 " udp:1>5301", "no-match", 5 },
		{ "eth:other ip4:1.2.3.4>5.6.7.8 udp:1>5300", "other-host", 5 },
		{ "eth:other ip4:1.2.3.4>5.6.7.8 udp:1>5300", "vlan-device", 77 },
		{ "eth:other ip4:1.2.3.4>5.6.7.8 udp:1>5300", "other-host", 0xe000 },
		{ "eth vlan:6 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original", 5 },
		{ "eth vlan:77 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "1 original", 5 },
		{ "eth vlan:77 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "vlan-device", 0xe000 },
		{ "eth vlan:6 vlan:7 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "not-ip", 5 },
		{ "eth vlan:6 vlan:7 ip4:1.2.3.4>5.6.7.8 udp:1>5300", "vlan-device", 77 },
	};
	struct rig rig;
	size_t i;

	start(&rig);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct harness_extra x = { .push = rows[i].push };
		struct ref_verdict v;
		struct packet p;
		char text[256];

		cr_assert_eq(pkt_recipe(rows[i].packet, &p), 0);
		v = agree(&rig, &p, &x, rows[i].packet, p.len);
		cr_expect_str_eq(rig_verdict(&v, text, sizeof(text)), rows[i].verdict,
				 "tag %#x and %s: %s, not %s", rows[i].push, rows[i].packet, text,
				 rows[i].verdict);
		cr_expect(!rig_counters(&rig, text, sizeof(text)), "%s: %s", rows[i].packet, text);
	}
	rig_free(&rig);
}

/* GRO packets of more than 64 KiB have no length in the header; only they may. */
Test(parse, gro_without_length)
{
	static const struct {
		const char *packet, *verdict, *without_gro;
	} rows[] = {
		{ V4 ",len=0 tcp:1>8000 data:100", "2 original", "bad-ipv4" },
		{ V6 ",len=0 tcp:1>8000 data:100", "2 original", "bad-ipv6" },
		{ V6 ",len=0 hop:0 tcp:1>8000 data:100", "2 original", "bad-ipv6" },
		{ V4 ",len=30 tcp:1>8000 data:100", "bad-l4", "bad-l4" },
	};
	struct rig rig;
	size_t i;

	start(&rig);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct harness_extra x = { .gso_size = 1000 };
		struct ref_verdict v;
		struct packet p;
		char text[256];

		cr_assert_eq(pkt_recipe(rows[i].packet, &p), 0);
		v = agree(&rig, &p, &x, rows[i].packet, p.len);
		cr_expect_str_eq(rig_verdict(&v, text, sizeof(text)), rows[i].verdict);
		v = agree(&rig, &p, NULL, rows[i].packet, p.len);
		cr_expect_str_eq(rig_verdict(&v, text, sizeof(text)), rows[i].without_gro);
		cr_expect(!rig_counters(&rig, text, sizeof(text)), "%s: %s", rows[i].packet, text);
	}
	rig_free(&rig);
}

/*
 * The shipped object itself, both programs. The test runner gives ctb_tc_ip an Ethernet frame and
 * takes the ethertype from bytes 12 and 13: here the start of the IPv4 source address, or bytes 4
 * and 5 of the IPv6 one. The first byte is odd, which makes it a group address and not another
 * host's.
 */
Test(parse, shipped_object)
{
	static const struct {
		const char *packet;
		bool layer3, marked;
		__u32 rule, reason;
	} rows[] = {
		{ V4 " udp:1>5300", false, true, 1, 0 },
		{ V6 " hop:0 tcp:1>8000", false, true, 2, 0 },
		{ V4 " proto:253", false, false, 11, 0 },
		{ V4 " udp:1>5301", false, false, 0, CTB_R_NO_MATCH },
		{ V4 ",off=1 udp:1>5300", false, false, 0, CTB_R_LATER_FRAGMENT },
		{ "bare ip4:8.0.3.4>5.6.7.8 udp:1>5300", true, true, 1, 0 },
		{ "bare ip4:8.0.3.4>5.6.7.8 udp:1>5301", true, false, 0, CTB_R_NO_MATCH },
		{ "bare ip4:8.0.3.4>5.6.7.8,opt=8 sctp:1>7000", true, true, 3, 0 },
		{ "bare ip6:1:2:86dd::1>::2 tcp:1>8000", true, true, 2, 0 },
		{ "bare ip6:1:2:86dd::1>::2 dst:0 tcp:1>8001", true, false, 0, CTB_R_NO_MATCH },
		{ "bare ip4:9.0.3.4>5.6.7.8 udp:1>5300", true, false, 0, CTB_R_NOT_IP },
	};
	static struct harness_counts want, got;
	struct ruleset *rs = NULL;
	struct rig rig;
	struct packet p;
	__u32 mark, old;
	size_t i;

	start(&rig);
	rs = ruleset_clone(rig.rs);
	rig_free(&rig);
	cr_assert(rs);
	cr_assert_eq(rig_make(&rig, rs, &host, HARNESS_PRODUCTION), 0);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		cr_assert_eq(pkt_recipe(rows[i].packet, &p), 0);
		if (p.layer3 && p.data[0] >> 4 == 6)
			p.data[0] |= 1; /* traffic class: makes the first byte odd */
		for (old = 0; old <= MARK; old += MARK) {
			mark = old | 0xdeadbe0f;
			cr_expect_eq(rows[i].layer3 ? harness_run_ip(rig.h, &p, &mark)
						    : harness_run(rig.h, &p, &ifs[1], NULL, &mark),
				     0, "%s", rows[i].packet);
			cr_expect_eq(mark, (0xdeadbe0f & ~MARK) | (rows[i].marked ? MARK : 0),
				     "%s: mark %#x", rows[i].packet, mark);
			cr_assert_eq(harness_counts(rig.h, &got), 0);
			if (rows[i].rule)
				want.rules[harness_slot(rig.h, rows[i].rule)]
					.count[CTB_OUT_KERNEL][0]
					.packets++;
			else
				want.reasons[rows[i].reason].packets++;
			for (size_t k = 0; k < CTB_R_MAX; k++)
				cr_expect_eq(got.reasons[k].packets, want.reasons[k].packets,
					     "%s: %s", rows[i].packet, ref_reason_names[k]);
			for (size_t k = 0; k < 20; k++)
				cr_expect_eq(got.rules[k].count[0][0].packets,
					     want.rules[k].count[0][0].packets, "%s: slot %zu",
					     rows[i].packet, k);
		}
	}
	rig_free(&rig);
}
