// SPDX-License-Identifier: GPL-2.0-only
/* What rtnetlink says of a network namespace, read from one of our own. Needs root and ip(8). */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "host.h"

static struct host host;

static void setup(void)
{
	if (geteuid())
		cr_skip_test("a network namespace of our own needs root");
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "%s", strerror(errno));
	/* The end of duplicate address detection would be told a second or three later. */
	cr_assert_eq(system("sysctl -qw net.ipv6.conf.default.accept_dad=0 "
			    "net.ipv6.conf.default.dad_transmits=0"),
		     0);
}

static void teardown(void)
{
	host_free(&host);
}

TestSuite(host, .init = setup, .fini = teardown);

static void sh(const char *cmd)
{
	cr_assert_eq(system(cmd), 0, "%s", cmd);
}

static void again(void)
{
	host_free(&host);
	cr_assert_eq(host_read(&host), 0);
}

static const struct host_if *dev(const char *name)
{
	for (size_t i = 0; i < host.n_ifs; i++) {
		if (!strcmp(host.ifs[i].name, name))
			return &host.ifs[i];
	}
	return NULL;
}

static bool has4(__u32 addr, __u8 len)
{
	for (size_t i = 0; i < host.local.n4; i++) {
		if (host.local.v4[i].addr == addr && host.local.v4[i].len == len)
			return true;
	}
	return false;
}

static bool has6(__u64 hi, __u64 lo, __u8 len)
{
	for (size_t i = 0; i < host.local.n6; i++) {
		const struct prefix6 *p = &host.local.v6[i];

		if (p->hi == hi && p->lo == lo && p->len == len)
			return true;
	}
	return false;
}

Test(host, an_empty_namespace)
{
	again();
	cr_assert_eq(host.n_ifs, 1);
	cr_expect_str_eq(host.ifs[0].name, "lo");
	cr_expect(host.ifs[0].flags & IFF_LOOPBACK);
	cr_expect_eq(host.ifs[0].type, ARPHRD_LOOPBACK);
	cr_expect_eq(host.ifs[0].mtu, 65536);
	/* Always there, addresses or not. */
	cr_expect_eq(host.local.n4, 3);
	cr_expect(has4(0x7f000000, 8));
	cr_expect(has4(0xe0000000, 4));
	cr_expect(has4(0xffffffff, 32));
	cr_expect_eq(host.local.n6, 2);
	cr_expect(has6(0, 1, 128));
	cr_expect(has6(0xff00ULL << 48, 0, 8));
}

Test(host, addresses_and_what_comes_with_them)
{
	sh("ip link add d0 type veth peer d1; ip link set lo up; ip link set d0 up;"
	   "ip addr add 192.0.2.9/24 dev d0; ip addr add 198.51.100.1/32 dev d0;"
	   "ip -6 addr add 2001:db8::5/64 dev d0 nodad;"
	   "ip route add local 203.0.113.0/24 dev lo; ip route add 10.0.0.0/8 dev d0;"
	   "ip route add broadcast 10.255.255.255 dev d0 table local;"
	   "ip route add local 172.16.0.0/12 dev lo table 100");
	again();
	cr_expect(has4(0xc0000209, 32)); /* 192.0.2.9 */
	cr_expect(has4(0xc00002ff, 32)); /* its broadcast */
	cr_expect(has4(0xc6336401, 32));
	cr_expect(has4(0xcb007100, 24)); /* a whole prefix made local */
	cr_expect(has4(0x0affffff, 32));
	cr_expect(has6(0x20010db800000000, 5, 128));
	cr_expect_not(has4(0xc0000200, 24)); /* the connected network is not */
	cr_expect_not(has4(0x0a000000, 8));
	cr_expect_not(has4(0xac100000, 12)); /* another table */
	cr_expect(host_is_local(&host, false, 0, 0xc0000209));
	cr_expect_not(host_is_local(&host, false, 0, 0xc000020a));
	cr_expect(host_is_local(&host, false, 0, 0xcb0071fe));
	cr_expect_not(host_is_local(&host, false, 0, 0xcb007200));
	cr_expect(host_is_local(&host, true, 0x20010db800000000, 5));
	cr_expect_not(host_is_local(&host, true, 0x20010db800000000, 6));
	cr_expect_not(host_is_local(&host, true, 0x20010db800000001, 5));
	cr_expect(host_is_local(&host, true, 0xff02ULL << 48, 1));
	sh("ip addr del 192.0.2.9/24 dev d0");
	again();
	cr_expect_not(has4(0xc0000209, 32));
}

Test(host, sorted_and_without_duplicates)
{
	sh("ip link set lo up; ip addr add 198.51.100.1/32 dev lo; ip addr add 192.0.2.1/32 dev lo;"
	   "ip route add local 192.0.2.0/24 dev lo;"
	   "ip route add local 198.51.100.1 dev lo metric 9 table local;"
	   "ip -6 addr add 2001:db8::5/128 dev lo; ip -6 addr add 2001:db8::1/128 dev lo");
	again();
	for (size_t i = 1; i < host.local.n4; i++) {
		struct prefix4 a = host.local.v4[i - 1], b = host.local.v4[i];

		cr_expect(a.addr < b.addr || (a.addr == b.addr && a.len < b.len));
	}
	for (size_t i = 1; i < host.local.n6; i++) {
		struct prefix6 a = host.local.v6[i - 1], b = host.local.v6[i];

		cr_expect(a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo) ||
			  (a.hi == b.hi && a.lo == b.lo && a.len < b.len));
	}
}

Test(host, devices)
{
	sh("ip link add d0 type veth peer d1; ip link add br0 type bridge;"
	   "ip link set d0 master br0; ip link set d0 mtu 1400; ip link set br0 up");
	again();
	cr_assert_not_null(dev("d0"));
	cr_expect_eq(dev("d0")->master, dev("br0")->ifindex);
	cr_expect_eq(dev("d1")->master, 0);
	cr_expect_eq(dev("d0")->mtu, 1400);
	cr_expect_str_eq(dev("d0")->kind, "veth");
	cr_expect_str_eq(dev("br0")->kind, "bridge");
	cr_expect_eq(dev("d0")->type, ARPHRD_ETHER);
	cr_expect_eq(dev("d0")->parent, 0, "the other end of a veth is no parent");
	cr_expect(dev("br0")->flags & IFF_UP);
	cr_expect_not(dev("d1")->flags & IFF_UP);
	cr_expect_eq(host_find(&host, dev("br0")->ifindex), dev("br0"));
	cr_expect_null(host_find(&host, 4711));
}

Test(host, vlan_devices)
{
	if (system("ip link add d0 type veth peer d1;"
		   "ip link add link d0 name d0.7 type vlan id 7 2>/dev/null"))
		cr_skip_test("this kernel has no VLAN devices");
	again();
	cr_assert_not_null(dev("d0.7"));
	cr_expect_eq(dev("d0.7")->vid, 7);
	cr_expect_eq(dev("d0.7")->parent, dev("d0")->ifindex);
	cr_expect_eq(dev("d0")->vid, 0);
	cr_expect_eq(dev("d0.7")->vlan_proto, 0x8100);
	cr_expect_eq(dev("d0")->vlan_proto, 0);
	cr_expect_not(dev("d0.7")->vlan_qos_out);
	sh("ip link set d0.7 type vlan egress 3:5;"
	   "ip link add link d0 name d0.8 type vlan id 8 protocol 802.1ad");
	again();
	cr_expect(dev("d0.7")->vlan_qos_out);
	cr_expect_eq(dev("d0.8")->vlan_proto, 0x88a8);
	cr_expect_not(dev("d0.8")->vlan_qos_out);
}

/* What this kernel may not be able to make: comparisons of devices made by hand. */
Test(host, comparisons_of_all_fields)
{
	struct host_if a = { .ifindex = 3, .name = "eth0", .mac = { 2, 0, 0, 0, 0, 1 } }, b = a;
	struct host x = { .ifs = &a, .n_ifs = 1 }, y = { .ifs = &b, .n_ifs = 1 };

	cr_expect(host_same_interfaces(&x, &y));
	b.mac[5] = 2;
	cr_expect_not(host_same_interfaces(&x, &y));
	b = a;
	b.vlan_proto = 0x8100;
	cr_expect_not(host_same_interfaces(&x, &y));
	b = a;
	b.vlan_qos_out = true;
	cr_expect_not(host_same_interfaces(&x, &y));
	b = a;
	cr_expect(host_same_interfaces(&x, &y));
}

Test(host, mac_addresses)
{
	static const __u8 mac[6] = { 2, 0, 0, 0x11, 0x22, 0x33 }, none[6];

	sh("ip link add d0 address 02:00:00:11:22:33 type veth peer d1");
	again();
	cr_expect_arr_eq(dev("d0")->mac, mac, sizeof(mac));
	cr_expect_arr_neq(dev("d1")->mac, mac, sizeof(mac));
	cr_expect_arr_eq(dev("lo")->mac, none, sizeof(none));
	sh("ip link set d1 address 02:00:00:11:22:33");
	again();
	cr_expect_arr_eq(dev("d1")->mac, mac, sizeof(mac));
}

Test(host, comparisons)
{
	struct host before;

	sh("ip link set lo up; ip link add d0 type veth peer d1");
	again();
	before = host;
	host = (struct host){};
	again();
	cr_expect(host_same_interfaces(&before, &host));
	cr_expect(host_same_local(&before, &host));
	sh("ip addr add 192.0.2.1/32 dev lo");
	again();
	cr_expect(host_same_interfaces(&before, &host));
	cr_expect_not(host_same_local(&before, &host));
	sh("ip addr del 192.0.2.1/32 dev lo; ip link set d0 name d9");
	again();
	cr_expect_not(host_same_interfaces(&before, &host));
	cr_expect(host_same_local(&before, &host));
	host_free(&before);
}

Test(host, where_packets_come_from)
{
	sh("ip link set lo up; ip link add d0 type veth peer d1; ip link set d0 up;"
	   "ip link set d1 up; ip addr add 192.0.2.1/24 dev d0;"
	   "ip route add 198.51.100.0/24 via 192.0.2.2; ip addr add 10.0.0.1/8 dev d1;"
	   "ip -6 addr add 2001:db8::1/64 dev d1 nodad");
	again();
	cr_expect_eq(host_route_dev(false, 0, 0xc6336405), dev("d0")->ifindex);
	cr_expect_eq(host_route_dev(false, 0, 0x0a000005), dev("d1")->ifindex);
	cr_expect_eq(host_route_dev(true, 0x20010db800000000, 9), dev("d1")->ifindex);
	cr_expect_lt(host_route_dev(false, 0, 0x08080808), 0);
}

/* 1 or 0 as host_watch_drain() says within a moment of cmd. */
static int told(int fd, const char *cmd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r = 0;

	host_watch_drain(fd);
	sh(cmd);
	while (!r && poll(&p, 1, 100) > 0)
		r = host_watch_drain(fd);
	return r;
}

/* What follows a device's coming up is told for a while (carrier, link-local addresses). */
static void settle(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, 1500) > 0)
		host_watch_drain(fd);
}

Test(host, what_is_told)
{
	int fd = host_watch_open();
	cr_assert_geq(fd, 0);
	cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
	cr_expect_eq(host_watch_drain(fd), 0);
	cr_expect_eq(told(fd, "ip link set lo up"), 1);
	cr_expect_eq(told(fd, "ip link add d0 type veth peer d1"), 1);
	cr_expect_eq(told(fd, "ip addr add 192.0.2.1/24 dev d0"), 1);
	cr_expect_eq(told(fd, "ip link set d0 name d7"), 1);
	cr_expect_eq(told(fd, "ip link set d7 up; ip link set d1 up"), 1);
	settle(fd);
	cr_expect_eq(told(fd, "ip route add 10.0.0.0/8 via 192.0.2.2"), 0, "a unicast route");
	cr_expect_eq(told(fd, "ip route del 10.0.0.0/8"), 0);
	cr_expect_eq(told(fd, "ip route add blackhole 10.0.0.0/8"), 0);
	cr_expect_eq(told(fd, "ip route add local 10.1.0.0/16 dev lo"), 1);
	cr_expect_eq(told(fd, "ip route del local 10.1.0.0/16 dev lo"), 1);
	cr_expect_eq(told(fd, "ip -6 addr add 2001:db8::1/128 dev lo"), 1);
	cr_expect_eq(told(fd, "ip link del d7"), 1);
	close(fd);
}

/* A full routing table going by must not push out what matters. */
Test(host, many_routes_cost_nothing)
{
	int fd = host_watch_open();

	sh("ip link add d0 type veth peer d1; ip link set d0 up; ip addr add 192.0.2.1/24 dev d0");
	settle(fd);
	cr_expect_eq(told(fd, "for i in $(seq 0 9999); do echo route add "
			      "10.$((i / 256)).$((i % 256)).0/24 via 192.0.2.2; done | ip -b -"),
		     0);
	close(fd);
}

/* Its table is for packets that an `ip rule` picks: no address becomes local by it. */
Test(host, a_transparent_proxys_table)
{
	unsigned int table = 7;

	sh("ip link set lo up; ip route add local 192.0.2.0/24 dev lo;"
	   "ip route add unicast 198.51.100.0/24 dev lo table 100");
	again();
	cr_expect_eq(host_proxy_table(&host, &table), 0);
	cr_expect_eq(table, 0);
	sh("ip -6 rule add fwmark 1 lookup 300; ip -6 route add local default dev lo table 300");
	again();
	cr_expect_eq(host.local.n6, 2);
	cr_expect_eq(host_proxy_table(&host, &table), 1);
	cr_expect_eq(table, 300);
	sh("ip rule add fwmark 1 lookup 100; ip route add local default dev lo table 100");
	again();
	cr_expect_not(host_is_local(&host, false, 0, 0x08080808));
	cr_expect_not(host_is_local(&host, true, 0x20010db800000000, 5));
	cr_expect_eq(host_proxy_table(&host, &table), 1);
	cr_expect_eq(table, 100);
}

Test(host, addresses_in_vrfs)
{
	struct host before;

	if (system("ip link add red type vrf table 110 2>/dev/null"))
		cr_skip_test("this kernel has no VRF devices");
	sh("ip link add blue type vrf table 70000; ip link add again type vrf table 110;"
	   "ip link set red up; ip link set blue up;"
	   "ip link add d0 type veth peer d1; ip link add e0 type veth peer e1;"
	   "ip link set d0 master red; ip link set e0 master blue;"
	   "ip link set d0 up; ip link set e0 up;"
	   "ip addr add 192.0.2.9/24 dev d0; ip addr add 198.51.100.1/24 dev e0;"
	   "ip -6 addr add 2001:db8::5/64 dev e0 nodad;"
	   "ip route add local 203.0.113.0/24 dev blue table 70000;"
	   "ip route add 10.0.0.0/8 dev d0 table 110;"
	   "ip route add local 172.16.0.0/12 dev lo table 111");
	again();
	cr_expect_eq(dev("red")->vrf_table, 110);
	cr_expect_eq(dev("blue")->vrf_table, 70000);
	cr_expect_eq(dev("d0")->vrf_table, 0);
	cr_expect(host_has_vrf(&host));
	cr_expect(has4(0xc0000209, 32));
	cr_expect(has4(0xc00002ff, 32)); /* its broadcast */
	cr_expect(has4(0xc6336401, 32));
	cr_expect(has4(0xcb007100, 24));
	cr_expect(has6(0x20010db800000000, 5, 128));
	cr_expect_not(has4(0x0a000000, 8));
	cr_expect_not(has4(0xac100000, 12)); /* no VRF's */
	before = host;
	host = (struct host){};
	sh("ip link del blue");
	again();
	cr_expect_not(has4(0xcb007100, 24));
	cr_expect(has4(0xc6336401, 32)); /* moved to table local */
	cr_expect_not(host_same_interfaces(&host, &before));
	host_free(&before);
}
