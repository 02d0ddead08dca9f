// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel says of how it forwards, read from a namespace of our own. Needs root, ip(8). */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "netdev_caps.h"
#include "routing.h"
#include "slow.h"

static struct host host;
static struct routing routing;

static void sh(const char *cmd)
{
	cr_assert_eq(system(cmd), 0, "%s", cmd);
}

/* d0 and d1 are the ends of one cable. */
static void setup(void)
{
	if (geteuid())
		cr_skip_test("a network namespace of our own needs root");
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "%s", strerror(errno));
	sh("ip link set lo up; ip link add d0 type veth peer d1; ip link set d0 up;"
	   "ip link set d1 up; ip addr add 10.0.0.1/24 dev d0;"
	   "ip -6 addr add fd00::1/64 dev d0 nodad; ethtool -K d0 gro off; ethtool -K d1 gro off");
}

static void teardown(void)
{
	routing_free(&routing);
	host_free(&host);
}

TestSuite(routing, .init = setup, .fini = teardown);

static void again(void)
{
	routing_free(&routing);
	host_free(&host);
	cr_assert_eq(host_read(&host), 0);
	cr_assert_eq(routing_read(&host, &routing), 0);
}

static const struct route_if *dev(const char *name)
{
	for (size_t i = 0; i < host.n_ifs; i++) {
		if (!strcmp(host.ifs[i].name, name)) {
			cr_assert_eq(routing_find(&routing, host.ifs[i].ifindex), &routing.ifs[i]);
			return &routing.ifs[i];
		}
	}
	cr_assert_fail("no %s", name);
	return NULL;
}

Test(routing, nothing_special)
{
	again();
	cr_assert_eq(routing.n_ifs, host.n_ifs);
	cr_expect_not(routing.xfrm);
	cr_expect_not(routing.mark_rules);
	cr_expect_not(routing.input_rules4);
	cr_expect_not(routing.input_rules6);
	cr_expect_not(routing.multipath4);
	cr_expect_not(routing.multipath6);
	cr_expect_not(routing.forwards6);
	cr_expect_eq(routing.hash_policy4, 0);
	cr_expect_eq(routing.hash_policy6, 0);
	cr_expect_eq(dev("d0")->rp_filter, 0);
	cr_expect_not(dev("d0")->forwarding4);
	cr_expect_not(dev("d0")->forwarding6);
	cr_expect_str_eq(dev("d0")->driver, "veth");
	cr_expect_str_eq(dev("lo")->driver, "");
	cr_expect_not(dev("d0")->lro);
	cr_expect_not(dev("d0")->few_queues);
	cr_expect_null(routing_find(&routing, 4711));
}

Test(routing, reverse_path_filter)
{
	sh("sysctl -qw net.ipv4.conf.d0.rp_filter=1 net.ipv4.conf.d1.rp_filter=0");
	again();
	cr_expect_eq(dev("d0")->rp_filter, 1);
	cr_expect_eq(dev("d1")->rp_filter, 0);
	/* The larger one counts. */
	sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.d0.rp_filter=2");
	again();
	cr_expect_eq(dev("d0")->rp_filter, 2);
	cr_expect_eq(dev("d1")->rp_filter, 1);
}

Test(routing, forwarding)
{
	sh("sysctl -qw net.ipv4.conf.d0.forwarding=1 net.ipv6.conf.d1.forwarding=1");
	again();
	cr_expect(dev("d0")->forwarding4);
	cr_expect_not(dev("d1")->forwarding4);
	cr_expect_not(dev("d0")->forwarding6);
	cr_expect(dev("d1")->forwarding6);
	cr_expect_not(routing.forwards6, "one device does not make a router");
	sh("sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.d1.forwarding=0");
	again();
	cr_expect(routing.forwards6);
	cr_expect(dev("d0")->forwarding6);
	cr_expect_not(dev("d1")->forwarding6);
}

Test(routing, rules)
{
	sh("ip rule add from 10.0.0.0/8 table 7; ip -6 rule add to fd00::/8 table 7");
	again();
	cr_expect_not(routing.mark_rules);
	cr_expect_not(routing.input_rules4);
	sh("ip -6 rule add fwmark 0x10/0x10 table 7");
	again();
	cr_expect(routing.mark_rules, "of IPv6");
	sh("ip -6 rule del fwmark 0x10/0x10 table 7; ip rule add fwmark 1 table 7");
	again();
	cr_expect(routing.mark_rules, "of IPv4");
	sh("ip rule add iif d0 table 7");
	again();
	cr_expect(routing.input_rules4);
	cr_expect_not(routing.input_rules6);
	sh("ip rule del iif d0 table 7; ip -6 rule add ipproto udp dport 53 table 7");
	again();
	cr_expect_not(routing.input_rules4);
	cr_expect(routing.input_rules6);
}

Test(routing, several_next_hops)
{
	sh("ip route add 10.9.0.0/16 via 10.0.0.9; ip -6 route add fd09::/64 via fd00::9");
	again();
	cr_expect_not(routing.multipath4);
	cr_expect_not(routing.multipath6);
	sh("ip route add 10.8.0.0/16 table 77 nexthop via 10.0.0.8 nexthop via 10.0.0.9");
	again();
	cr_expect(routing.multipath4, "in any table");
	cr_expect_not(routing.multipath6);
	sh("ip route flush table 77; ip -6 route append fd09::/64 via fd00::8");
	again();
	cr_expect_not(routing.multipath4);
	cr_expect(routing.multipath6, "two routes to one prefix, with one metric");
	sh("ip -6 route del fd09::/64 via fd00::8");
	again();
	cr_expect_not(routing.multipath6);
}

Test(routing, next_hop_groups)
{
	sh("ip nexthop add id 1 via 10.0.0.8 dev d0; ip nexthop add id 2 via 10.0.0.9 dev d0;"
	   "ip route add 10.9.0.0/16 nhid 1");
	again();
	cr_expect_not(routing.multipath4, "a next hop by number is one next hop");
	sh("ip nexthop add id 3 group 1/2");
	again();
	cr_expect(routing.multipath4);
	cr_expect(routing.multipath6, "careful: nobody says who uses it");
}

Test(routing, hash_policies)
{
	sh("sysctl -qw net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=2");
	again();
	cr_expect_eq(routing.hash_policy4, 1);
	cr_expect_eq(routing.hash_policy6, 2);
}

Test(routing, ipsec)
{
	if (system("ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir fwd 2>/dev/null"))
		cr_skip_test("this kernel has no IPsec");
	again();
	cr_expect(routing.xfrm);
	sh("ip xfrm policy flush");
	again();
	cr_expect_not(routing.xfrm);
	sh("ip xfrm policy add src fd01::/64 dst fd02::/64 dir out");
	again();
	cr_expect(routing.xfrm);
	sh("ip xfrm policy flush");
	if (system("ip xfrm policy setdefault fwd block 2>/dev/null"))
		return;
	again();
	cr_expect(routing.xfrm, "nothing passes without a policy");
}

Test(routing, vlan_offloads)
{
	again();
	cr_expect(dev("d0")->strips_vlan, "on by default on veth");
	cr_expect(dev("d0")->strips_stag);
	sh("ethtool -K d0 rxvlan off");
	again();
	cr_expect_not(dev("d0")->strips_vlan);
	cr_expect(dev("d0")->strips_stag);
	cr_expect(dev("d1")->strips_vlan);
	sh("ethtool -K d0 rxvlan on rx-vlan-stag-hw-parse off");
	again();
	cr_expect(dev("d0")->strips_vlan);
	cr_expect_not(dev("d0")->strips_stag);
}

/* A veth has none. */
Test(routing, lro)
{
	if (system("ip link add b0 type bond 2>/dev/null"))
		cr_skip_test("this kernel has no bonds");
	again();
	cr_expect(dev("b0")->lro);
	cr_expect_str_eq(dev("b0")->driver, "bonding");
	sh("ethtool -K b0 lro off");
	again();
	cr_expect_not(dev("b0")->lro);
}

static void need_features(void)
{
	again();
	if (system("grep -qw netdev_nl_dev_get_doit /proc/kallsyms"))
		cr_skip_test("this kernel does not tell XDP features (6.3)");
	cr_assert(dev("d0")->xdp_known);
	cr_assert(dev("lo")->xdp_known);
}

Test(routing, a_veth_takes_xdp_frames_if_its_peer_has_napi)
{
	need_features();
	cr_expect(dev("d0")->xdp_redirect);
	cr_expect_not(dev("lo")->xdp_redirect);
	cr_expect_not(dev("d0")->xdp_out);
	cr_expect_not(dev("d0")->xdp_out_sg);
	sh("ethtool -K d1 gro on");
	again();
	cr_expect(dev("d0")->xdp_out);
	cr_expect(dev("d0")->xdp_out_sg);
	cr_expect_not(dev("d1")->xdp_out);
}

Test(routing, a_device_that_is_gone)
{
	again();
	sh("ip link del d0");
	routing_free(&routing);
	cr_expect_eq(routing_read(&host, &routing), 0);
	cr_expect_eq(routing.n_ifs, host.n_ifs);
	cr_expect_str_eq(dev("d0")->driver, "");
	cr_expect_not(dev("d0")->forwarding4);
}

Test(routing, comparisons)
{
	static const char *const changes[] = {
		"sysctl -qw net.ipv4.conf.d0.rp_filter=1",
		"sysctl -qw net.ipv4.conf.d1.forwarding=1",
		"sysctl -qw net.ipv6.conf.d1.forwarding=1",
		"sysctl -qw net.ipv6.conf.all.forwarding=1",
		"sysctl -qw net.ipv4.fib_multipath_hash_policy=1",
		"sysctl -qw net.ipv6.fib_multipath_hash_policy=1",
		"ip rule add fwmark 1 table 7",
		"ip rule add iif d0 table 7",
		"ip -6 rule add iif d0 table 7",
		"ip route add 10.8.0.0/16 nexthop via 10.0.0.8 nexthop via 10.0.0.9",
		"ip -6 route add fd08::/64 nexthop via fd00::8 nexthop via fd00::9",
		"ethtool -K d0 rxvlan off",
		"ethtool -K d0 rx-vlan-stag-hw-parse off",
		"ip link add d2 type veth peer d3",
	};

	again();
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct routing before;

		cr_assert_eq(routing_read(&host, &before), 0);
		cr_expect(routing_same(&before, &routing), "before: %s", changes[i]);
		sh(changes[i]);
		again();
		cr_expect_not(routing_same(&before, &routing), "%s", changes[i]);
		routing_free(&before);
	}
}

/* A full table must not take long, though nothing is found before its end. */
Test(routing, a_large_table)
{
	struct timespec a, b;
	double s;

	sh("awk 'BEGIN { for (i = 0; i < 20000; i++) printf \"route add 1%d.%d.%d.%d/32 via "
	   "10.0.0.9\\n\", int(i / 16777216), i / 65536 % 256, i / 256 % 256, i % 256 }' "
	   "| ip -b -");
	clock_gettime(CLOCK_MONOTONIC, &a);
	again();
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	cr_log_info("20,000 routes: %.3f s", s);
	cr_expect_not(routing.multipath4);
	cr_expect_lt(s, at_most(5), "%.3f s", s);
}

/* --- the watch --- */

static int told(struct routing_watch *w, const char *cmd)
{
	struct pollfd p = { .fd = routing_watch_fd(w), .events = POLLIN };
	int r = 0;

	routing_watch_drain(w);
	sh(cmd);
	while (!r && poll(&p, 1, 100) > 0)
		r = routing_watch_drain(w);
	return r;
}

Test(routing, what_is_told)
{
	struct routing_watch *w;

	cr_assert_eq(routing_watch_open(&w), 0);
	cr_expect_eq(routing_watch_drain(w), 0);
	cr_expect_eq(told(w, "true"), 0);
	cr_expect_eq(told(w, "sysctl -qw net.ipv4.conf.d0.rp_filter=1"), 1);
	cr_expect_eq(told(w, "sysctl -qw net.ipv4.conf.all.rp_filter=1"), 1);
	cr_expect_eq(told(w, "sysctl -qw net.ipv4.conf.d0.forwarding=1"), 1);
	cr_expect_eq(told(w, "sysctl -qw net.ipv6.conf.all.forwarding=1"), 1);
	cr_expect_eq(told(w, "ip rule add fwmark 1 table 7"), 1);
	cr_expect_eq(told(w, "ip -6 rule add fwmark 1 table 7"), 1);
	cr_expect_eq(told(w, "ip rule del fwmark 1 table 7"), 1);
	cr_expect_eq(told(w, "ip route add 10.9.0.0/16 via 10.0.0.9"), 0);
	cr_expect_eq(told(w, "ip route del 10.9.0.0/16"), 0);
	cr_expect_eq(told(w, "ip addr add 10.0.1.1/24 dev d0"), 0);
	cr_expect_eq(told(w, "ip route add 10.8.0.0/16 nexthop via 10.0.0.8 nexthop via 10.0.0.9"),
		     1);
	cr_expect_eq(told(w, "ip route del 10.8.0.0/16"), 0);
	cr_expect_eq(told(w, "ip -6 route add fd09::/64 via fd00::9"), 0);
	cr_expect_eq(told(w, "ip -6 route append fd09::/64 via fd00::8"), 1);
	cr_expect_eq(told(w, "ethtool -K d0 rxvlan off"), 1);
	if (!system("ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir fwd 2>/dev/null"))
		cr_expect_eq(told(w, "ip xfrm policy flush"), 1);
	routing_watch_close(w);
	routing_watch_close(NULL);
}

Test(routing, next_hop_groups_are_told)
{
	struct routing_watch *w;

	cr_assert_eq(routing_watch_open(&w), 0);
	cr_expect_eq(told(w, "ip nexthop add id 1 via 10.0.0.8 dev d0"), 0);
	cr_expect_eq(told(w, "ip route add 10.7.0.0/16 nhid 1"), 0);
	cr_expect_eq(told(w, "ip nexthop add id 2 via 10.0.0.9 dev d0"), 0);
	cr_expect_eq(told(w, "ip nexthop add id 3 group 1/2"), 1);
	routing_watch_close(w);
}

Test(routing, new_xdp_features_are_told)
{
	struct routing_watch *w;
	__u64 before, after;

	need_features();
	cr_assert_eq(routing_watch_open(&w), 0);
	before = dev("d0")->xdp_out;
	cr_expect_eq(told(w, "ethtool -K d1 gro on"), 1);
	again();
	after = dev("d0")->xdp_out;
	cr_expect_neq(before, after);
	routing_watch_close(w);
}

#define TWO_HOPS  " nexthop via 10.0.0.8 nexthop via 10.0.0.9"
#define TWO_HOPS6 " nexthop via fd00::8 nexthop via fd00::9"

static void again_watched(struct routing_watch *w)
{
	routing_free(&routing);
	cr_assert_eq(routing_watch_read(w, &host, &routing), 0);
}

Test(routing, many_multipath_routes_are_told_once)
{
	struct routing_watch *w;

	again();
	sh("ip -6 route add fd08::/64" TWO_HOPS6);
	cr_assert_eq(routing_watch_open(&w), 0);
	again_watched(w);
	cr_expect_not(routing.multipath4);
	cr_expect(routing.multipath6, "was there before");
	cr_expect_eq(told(w, "ip -6 route add fd07::/64" TWO_HOPS6), 0, "nothing new");
	cr_expect_eq(told(w, "ip route add 10.8.0.0/16" TWO_HOPS), 1);
	cr_expect_eq(told(w, "ip route add 10.7.0.0/16" TWO_HOPS), 0);
	again_watched(w);
	cr_expect(routing.multipath4);
	cr_expect(routing.multipath6);
	routing_watch_close(w);
}

/* A read between the change and its notification must not lose it. */
Test(routing, what_was_not_drained_yet)
{
	struct routing_watch *w;

	again();
	cr_assert_eq(routing_watch_open(&w), 0);
	again_watched(w);
	sh("ip route add 10.8.0.0/16" TWO_HOPS);
	again_watched(w);
	cr_expect_not(routing.multipath4, "not looked for again");
	cr_expect_eq(routing_watch_drain(w), 1);
	again_watched(w);
	cr_expect(routing.multipath4);
	routing_watch_close(w);
}

Test(routing, lost_messages)
{
	struct routing_watch *w;

	again();
	cr_assert_eq(routing_watch_open(&w), 0);
	again_watched(w);
	/* More than the socket's buffer holds. */
	sh("for i in $(seq 6000); do echo rule add fwmark $i table 7; done | ip -b -;"
	   "ip route add 10.8.0.0/16" TWO_HOPS);
	cr_expect_eq(routing_watch_drain(w), 1);
	cr_expect_eq(routing_watch_drain(w), 0);
	again_watched(w);
	cr_expect(routing.mark_rules);
	cr_expect(routing.multipath4, "looked for again");
	routing_watch_close(w);
}

/* --- generic netlink, ethtool --- */

Test(routing, generic_netlink_families)
{
	_mnl_ struct mnl_socket *nl = NULL;
	__u32 group = 7;
	__u16 id = 7;

	cr_assert_eq(netlink_open(NETLINK_GENERIC, &nl), 0);
	cr_expect_eq(genl_find(nl, "no-such-family", NULL, &id, NULL), -ENOENT);
	cr_expect_eq(genl_find(nl, "nlctrl", "no-such-group", &id, &group), -ENOENT);
	cr_expect_eq(id, 7, "untouched on failure");
	cr_expect_eq(group, 7);
	cr_expect_eq(genl_find(nl, "nlctrl", "notify", &id, &group), 0);
	cr_expect_eq(id, 16);
	cr_expect_neq(group, 7);
}

Test(routing, ethtool_of_no_device)
{
	struct netdev_caps_reader r;
	struct netdev_caps c = { .lro = true };

	cr_assert_eq(netdev_caps_open(&r), 0);
	cr_expect_eq(netdev_caps_read(&r, "nosuch0", &c), -ENODEV);
	cr_expect(c.lro, "untouched on failure");
	cr_expect_eq(netdev_caps_tx_queues(&r, "nosuch0"), 0);
	cr_expect_gt(netdev_caps_tx_queues(&r, "d0"), 0);
	netdev_caps_close(&r);
}

Test(routing, ipv6_disabled)
{
	again();
	cr_expect_not(dev("d0")->disabled6);
	sh("sysctl -qw net.ipv6.conf.d0.disable_ipv6=1");
	again();
	cr_expect(dev("d0")->disabled6);
	cr_expect_not(dev("d1")->disabled6);
}
