// SPDX-License-Identifier: GPL-2.0-only
/* What each device can do for the forwarding path: devices made by hand, rules as text. */
#include <criterion/criterion.h>
#include <net/if_arp.h>
#include <string.h>

#include "datapath_load.h"
#include "forward_plan.h"

#define DEVS_MAX 16
#define UP	 (IFF_UP | IFF_BROADCAST | IFF_MULTICAST)

static struct host_if ifs[DEVS_MAX];
static struct route_if routes[DEVS_MAX];
static struct host host = { .ifs = ifs };
static struct routing routing = { .ifs = routes, .forwards6 = true };
static struct forward_plan plan;
static bool no_xdp;

/* A device as most are: up, Ethernet, forwarding, of a kernel that tells XDP features. */
static int add(const char *name, const char *kind, const char *driver)
{
	size_t n = host.n_ifs++;

	cr_assert_lt(n, DEVS_MAX);
	routing.n_ifs = host.n_ifs;
	ifs[n] = (struct host_if){ .ifindex = 10 + (int)n,
				   .flags = UP,
				   .type = ARPHRD_ETHER,
				   .mtu = 1500,
				   .mac = { 2, 0, 0, 0, 0, (__u8)n } };
	snprintf(ifs[n].name, sizeof(ifs[n].name), "%s", name);
	snprintf(ifs[n].kind, sizeof(ifs[n].kind), "%s", kind);
	routes[n] = (struct route_if){ .ifindex = ifs[n].ifindex,
				       .forwarding4 = true,
				       .forwarding6 = true,
				       .xdp_known = true };
	snprintf(routes[n].driver, sizeof(routes[n].driver), "%s", driver);
	return (int)n;
}

/* Hardware that has and takes all. */
static int nic(const char *name)
{
	int n = add(name, "", "super");

	routes[n].xdp_redirect = routes[n].xdp_out = routes[n].xdp_out_sg = true;
	return n;
}

static int veth(const char *name, bool napi)
{
	int n = add(name, "veth", "veth");

	routes[n].xdp_redirect = true;
	routes[n].xdp_out = routes[n].xdp_out_sg = napi;
	return n;
}

static int vlan(const char *name, int parent, unsigned int vid)
{
	int n = add(name, "vlan", "802.1Q VLAN Support");

	ifs[n].vid = vid;
	ifs[n].vlan_proto = 0x8100;
	ifs[n].parent = ifs[parent].ifindex;
	return n;
}

static void make_plan(const char *rules)
{
	_ruleset_ struct ruleset *rs = NULL;
	struct entries e = {};
	struct diag d = {};

	forward_plan_free(&plan);
	cr_assert_eq(ruleset_parse_text("t", ".", rules, strlen(rules), &rs, &d), 0, "%s",
		     d.text.s);
	cr_assert_eq(expand_ruleset(rs, &e, &d), 0);
	cr_assert_eq(forward_plan_make(&e, &host, &routing, &rs->interfaces, no_xdp, &plan), 0);
	cr_expect_eq(plan.active, entries_forward(&e));
	entries_free(&e);
	diag_free(&d);
}

#define ANY "forward daddr 10.0.0.0/8\n"

static void teardown(void)
{
	forward_plan_free(&plan);
}

TestSuite(forward_plan, .fini = teardown);

static const struct forward_role *role(int n)
{
	const struct forward_role *r = forward_plan_find(&plan, ifs[n].ifindex);

	cr_assert_eq(r, &plan.roles[n]);
	cr_expect_eq(r->ifindex, ifs[n].ifindex);
	/* A reason for each no, and none for a yes. */
	if (r->xdp || r->netdev.flags & CTB_ND_XDP_IN)
		cr_expect_str_eq(r->why_in, "", "%s", ifs[n].name);
	else
		cr_expect_str_neq(r->why_in, "", "%s", ifs[n].name);
	cr_expect_eq(r->xdp_out, !r->why_out[0], "%s: %s", ifs[n].name, r->why_out);
	cr_expect(r->in || !r->xdp);
	cr_expect(r->out || !r->xdp_out);
	/* The map's element says the same. */
	cr_expect_eq(!!(r->netdev.flags & CTB_ND_IN), r->in);
	cr_expect_eq(!!(r->netdev.flags & CTB_ND_OUT), r->out);
	cr_expect_eq(!!r->netdev.out, r->xdp_out);
	cr_expect_arr_eq(r->netdev.mac, ifs[n].mac, 6);
	return r;
}

/* i in, x XDP; o out, X XDP frames out; - otherwise. */
static void expect(int n, const char *how, const char *why_in, const char *why_out)
{
	const struct forward_role *r = role(n);
	char got[5] = { r->in ? 'i' : '-', r->xdp ? 'x' : '-', r->out ? 'o' : '-',
			r->xdp_out ? 'X' : '-' };

	cr_expect_str_eq(got, how, "%s: %s, not %s (%s; %s)", ifs[n].name, got, how, r->why_in,
			 r->why_out);
	cr_expect_not_null(strstr(r->why_in, why_in), "%s: \"%s\"", ifs[n].name, r->why_in);
	cr_expect_not_null(strstr(r->why_out, why_out), "%s: \"%s\"", ifs[n].name, r->why_out);
}

static unsigned int flag(int n, unsigned int f)
{
	return role(n)->netdev.flags & f;
}

Test(forward_plan, no_forward_rule_no_plan)
{
	nic("eth0");
	make_plan("notrack udp dport 53\ntrack tcp dport 80\n");
	cr_expect_not(plan.active);
	cr_expect_eq(plan.n_roles, 0);
	cr_expect_null(plan.roles);
	cr_expect_null(forward_plan_find(&plan, 10));
}

Test(forward_plan, two_cables)
{
	int a = nic("eth0"), b = nic("eth1");

	ifs[b].mtu = 70000;
	make_plan(ANY);
	cr_expect(plan.active);
	expect(a, "ixoX", "", "");
	expect(b, "ixoX", "", "");
	cr_expect(role(a)->concerned);
	cr_expect_eq(role(a)->netdev.out, 10);
	cr_expect_eq(role(a)->netdev.out_vid, 0);
	cr_expect_eq(role(a)->netdev.mtu, 1500);
	cr_expect_eq(role(b)->netdev.mtu, 65535);
	cr_expect_eq(role(a)->netdev.flags, CTB_ND_IN | CTB_ND_OUT | CTB_ND_OUT_SG);
	cr_expect_null(forward_plan_find(&plan, 4711));
	cr_expect_null(forward_plan_find(&plan, 0));
	no_xdp = true;
	make_plan(ANY);
	expect(a, "i-o-", "run -X", "run -X");
}

/* What comes in could leave only by the device it came in by. */
Test(forward_plan, a_single_taker)
{
	int a = nic("eth0"), b = nic("eth1");

	routes[b].xdp_out = false;
	make_plan(ANY);
	expect(a, "i-oX", "no other device takes", "");
	expect(b, "ixo-", "", "driver super takes no XDP frames");
}

Test(forward_plan, loopback_and_what_is_no_ethernet)
{
	int a = nic("eth0"), b = nic("eth1"), lo = add("lo", "", ""),
	    wg = add("wg0", "wireguard", "");

	ifs[lo].flags = IFF_UP | IFF_LOOPBACK;
	ifs[lo].type = ARPHRD_LOOPBACK;
	ifs[wg].type = ARPHRD_NONE;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	expect(b, "ixoX", "", "");
	expect(lo, "----", "loopback", "loopback");
	expect(wg, "----", "no Ethernet", "no Ethernet");
	cr_expect_not(role(lo)->concerned);
}

Test(forward_plan, devices_down)
{
	int a = nic("eth0"), b = nic("eth1");

	ifs[b].flags &= ~(unsigned int)IFF_UP;
	make_plan(ANY);
	expect(a, "i-oX", "no other device", "");
	expect(b, "ix--", "", "it is down");
}

Test(forward_plan, interface_statements)
{
	int a = nic("eth0"), b = nic("eth1");

	make_plan("interface eth0\n" ANY);
	expect(a, "ixoX", "", "");
	/* Packets may leave by a device that nothing is attached to. */
	expect(b, "--oX", "not named by any interface statement", "");
	cr_expect_not(role(b)->concerned);
}

Test(forward_plan, rules_with_an_interface)
{
	int a = nic("eth0"), b = nic("eth1"), c = nic("wan1");

	make_plan("forward iif eth1 oneway\n");
	expect(a, "i-oX", "no forward rule fits", "");
	expect(b, "ixoX", "", "");
	cr_expect_not(role(a)->concerned);
	cr_expect(role(b)->concerned);
	make_plan("forward iif \"eth*\" oneway\n");
	expect(a, "ixoX", "", "");
	expect(b, "ixoX", "", "");
	expect(c, "i-oX", "no forward rule fits", "");
	/* Rules of other actions concern nobody. */
	make_plan("notrack iif eth0 oneway\nforward iif eth1 oneway\n");
	expect(a, "i-oX", "no forward rule fits", "");
}

Test(forward_plan, enslaved)
{
	int a = nic("eth0"), b = nic("eth1"), bond = add("bond0", "bond", "bonding"),
	    br = add("br0", "bridge", ""), c = nic("eth2");

	ifs[a].master = ifs[bond].ifindex;
	ifs[b].master = ifs[br].ifindex;
	routes[bond].xdp_redirect = routes[bond].xdp_out = true;
	make_plan(ANY);
	expect(a, "----", "enslaved to bond0", "enslaved to bond0");
	expect(b, "----", "enslaved to br0", "enslaved to br0");
	expect(bond, "i-o-", "ports", "ports");
	expect(br, "i-o-", "bridge has no native XDP", "bridge takes no XDP frames");
	expect(c, "i-oX", "no other device", "");
	/* Asked for by name, it is attached and yet no place to forward. */
	make_plan("interface eth0\n" ANY);
	cr_expect(role(a)->concerned);
	expect(a, "----", "enslaved to bond0", "enslaved to bond0");
}

Test(forward_plan, vrf)
{
	int a = nic("eth0"), b = nic("eth1"), vrf = add("red", "vrf", "vrf");

	ifs[vrf].vrf_table = 110;
	ifs[a].master = ifs[vrf].ifindex;
	make_plan(ANY);
	expect(a, "----", "enslaved to red", "enslaved to red");
	expect(vrf, "----", "VRF", "VRF");
	expect(b, "i-oX", "no other device", "");
}

Test(forward_plan, kinds_without_xdp)
{
	int a = nic("eth0"), mv = add("mv0", "macvlan", "macvlan"), d = add("d0", "dummy", "dummy"),
	    w = add("wlan0", "", "iwlwifi");

	ifs[mv].parent = ifs[a].ifindex;
	make_plan(ANY);
	expect(a, "i-oX", "no other device", "");
	expect(mv, "i-o-", "macvlan has no native XDP", "macvlan takes no XDP frames");
	expect(d, "i-o-", "dummy has no native XDP", "dummy takes no XDP frames");
	expect(w, "i-o-", "driver iwlwifi has no native XDP", "driver iwlwifi takes no");
}

/* Devices on top that take frames with the MAC address of the one below. */
Test(forward_plan, frames_that_belong_to_a_device_on_top)
{
	int a = nic("eth0"), b = nic("eth1"), c = nic("eth2"),
	    top = add("top0", "ipvlan", "ipvlan");
	static const char *const kinds[] = { "ipvlan", "ipvtap", "dsa", "macvlan", "macvtap" };

	ifs[top].parent = ifs[a].ifindex;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(ifs[top].kind, sizeof(ifs[top].kind), "%s", kinds[i]);
		memcpy(ifs[top].mac, ifs[a].mac, 6);
		make_plan(ANY);
		expect(a, "--oX", "top0", "");
		expect(b, "ixoX", "", "");
		expect(c, "ixoX", "", "");
	}
	/* Not in mode passthru. */
	ifs[top].mac[5] = 0x99;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
}

Test(forward_plan, large_ifindex)
{
	int a = nic("eth0"), b = nic("eth1");

	ifs[b].ifindex = routes[b].ifindex = NETDEV_SLOTS_MAX - 1;
	make_plan(ANY);
	expect(b, "ixoX", "", "");
	ifs[b].ifindex = routes[b].ifindex = NETDEV_SLOTS_MAX;
	make_plan(ANY);
	expect(a, "i-oX", "no other device", "");
	expect(b, "----", "ifindex", "ifindex");
}

Test(forward_plan, veth)
{
	int a = veth("v0", true), b = veth("v1", true), c = veth("v2", false);

	make_plan(ANY);
	expect(a, "ixoX", "", "");
	expect(b, "ixoX", "", "");
	expect(c, "ixo-", "", "its peer has neither GRO nor XDP: `ethtool -K PEER gro on`");
	cr_expect(flag(a, CTB_ND_PARTIAL));
	routes[a].xdp_redirect = routes[a].xdp_out = false;
	make_plan(ANY);
	expect(a, "i-o-", "queues", "its peer");
}

Test(forward_plan, lro)
{
	int a = nic("eth0"), b = nic("eth1");

	routes[a].lro = true;
	make_plan(ANY);
	expect(a, "i-oX", "`ethtool -K eth0 lro off`", "");
	expect(b, "ixoX", "", "");
}

Test(forward_plan, forwarding_switched_off)
{
	int a = nic("eth0"), b = nic("eth1");

	routes[a].forwarding4 = false;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	routes[a].forwarding6 = false;
	make_plan(ANY);
	expect(a, "i-oX", "forwarding is off", "");
	expect(b, "ixoX", "", "");
	/* Of the device, but not of all. */
	routes[a].forwarding6 = true;
	routing.forwards6 = false;
	make_plan(ANY);
	expect(a, "i-oX", "forwarding is off", "");
	expect(b, "ixoX", "", "");
	cr_expect(flag(b, CTB_ND_NO_FORWARD6));
	routing.forwards6 = true;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	cr_expect_not(flag(a, CTB_ND_NO_FORWARD6));
}

/* --- drivers that take XDP frames only with a program of their own --- */

Test(forward_plan, a_pair_that_waits_for_each_other)
{
	int a = add("eth0", "", "virtio_net"), b = add("eth1", "", "virtio_net");

	routes[a].xdp_redirect = routes[b].xdp_redirect = true;
	make_plan(ANY);
	expect(a, "ixo-", "", "only while XDP is attached");
	expect(b, "ixo-", "", "only while XDP is attached");
	/* It has been attached, and the kernel says so. */
	routes[a].xdp_out = routes[b].xdp_out = true;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	expect(b, "ixoX", "", "");
}

Test(forward_plan, attached_for_the_sake_of_what_leaves)
{
	int a = add("eth0", "", "i40e"), b = nic("eth1");

	routes[a].xdp_redirect = true;
	routes[b].xdp_out = false;
	make_plan(ANY);
	expect(a, "ixo-", "", "only while XDP is attached");
	expect(b, "ixo-", "", "takes no XDP frames");
	routes[a].xdp_out = true;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	/* Also if no rule concerns what comes in there. */
	make_plan("forward iif eth1 oneway\n");
	expect(a, "ixoX", "", "");
	expect(b, "ixo-", "", "takes no XDP frames");
	/* And not if it concerns no other. */
	make_plan("forward iif eth0 oneway\n");
	expect(a, "i-o-", "no other device", "only while XDP is attached");
}

Test(forward_plan, no_program_no_frames)
{
	int a = add("eth0", "", "mlx5_core"), b = nic("eth1");

	routes[a].xdp_redirect = routes[a].xdp_out = true;
	routes[a].lro = true;
	make_plan(ANY);
	expect(a, "i-o-", "lro off", "it needs XDP here, too: large receive offload");
	expect(b, "i-oX", "no other device", "");
}

Test(forward_plan, cpus_without_a_queue)
{
	int a = add("eth0", "", "mlx5_core"), b = nic("eth1");

	routes[a].xdp_redirect = routes[a].xdp_out = true;
	routes[a].few_queues = true;
	make_plan(ANY);
	expect(a, "ixo-", "", "`ethtool -L eth0 combined N`");
	expect(b, "i-oX", "no other device", "");
}

/* Before 6.3 the kernel does not tell. */
Test(forward_plan, old_kernels)
{
	int a = add("eth0", "", "ixgbe"), b = add("eth1", "", "e1000e"), c = veth("v0", false),
	    d = add("eth2", "", "igc"), br = add("br0", "bridge", "");

	for (size_t i = 0; i < host.n_ifs; i++)
		routes[i].xdp_known = routes[i].xdp_redirect = false;
	make_plan(ANY);
	expect(a, "ixo-", "", "only while XDP is attached");
	expect(b, "ixo-", "", "driver e1000e: this kernel (before 6.3) cannot tell");
	expect(c, "ixo-", "", "cannot tell");
	expect(d, "ixoX", "", "");
	expect(br, "i-o-", "bridge has no native XDP", "cannot tell");
	routes[a].xdp_attached = true;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	cr_expect_not(flag(a, CTB_ND_OUT_SG));
}

/* --- VLAN devices --- */

Test(forward_plan, vlan_devices)
{
	int a = nic("eth0"), v = vlan("eth0.5", a, 5), b = nic("eth1");

	make_plan(ANY);
	expect(a, "ixoX", "", "");
	expect(b, "ixoX", "", "");
	expect(v, "i-oX", "", "");
	cr_expect(flag(v, CTB_ND_XDP_IN));
	cr_expect_not(flag(a, CTB_ND_XDP_IN));
	cr_expect_eq(role(v)->netdev.out, ifs[a].ifindex);
	cr_expect_eq(role(v)->netdev.out_vid, 5);
	cr_expect(flag(v, CTB_ND_OUT_SG));
	cr_expect_not(flag(v, CTB_ND_PARTIAL), "hardware below");
	no_xdp = true;
	make_plan(ANY);
	cr_expect_not(flag(v, CTB_ND_XDP_IN));
	expect(v, "i-o-", "run -X", "run -X");
}

/* A router on a stick: one cable, two VLANs. */
Test(forward_plan, one_cable_two_vlans)
{
	int a = veth("v0", true), v = vlan("v0.5", a, 5), w = vlan("v0.6", a, 6);

	make_plan("forward iif \"v0.*\" oneway\n");
	expect(a, "ixoX", "", "");
	expect(v, "i-oX", "", "");
	expect(w, "i-oX", "", "");
	cr_expect(flag(v, CTB_ND_XDP_IN));
	cr_expect(flag(v, CTB_ND_PARTIAL));
	/* Only the cable itself is of no use to itself. */
	ifs[v].flags = ifs[w].flags = 0;
	make_plan("forward iif v0 oneway\n");
	expect(a, "i-oX", "no other device", "");
}

Test(forward_plan, tags_that_xdp_would_not_see)
{
	int a = nic("eth0"), v = vlan("eth0.5", a, 5), b = nic("eth1"), c = veth("v0", true),
	    w = vlan("v0.5", c, 5);

	routes[a].strips_vlan = true;
	routes[c].strips_vlan = true;
	make_plan(ANY);
	expect(a, "i-oX", "`ethtool -K eth0 rxvlan off`", "");
	expect(v, "i-oX", "eth0: driver takes VLAN tags out", "");
	cr_expect_not(flag(v, CTB_ND_XDP_IN));
	expect(b, "ixoX", "", "");
	expect(c, "i-oX", "txvlan off", "");
	expect(w, "i-oX", "v0: ", "");
	/* The other kind of tag is no obstacle. */
	routes[a].strips_vlan = routes[c].strips_vlan = false;
	routes[a].strips_stag = true;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	expect(v, "i-oX", "", "");
	cr_expect(flag(v, CTB_ND_XDP_IN));
	ifs[v].vlan_proto = 0x88a8;
	make_plan(ANY);
	expect(a, "i-oX", "rx-vlan-stag-hw-parse off", "");
	/* No VLAN device here; but there may be one in another namespace. */
	ifs[v].vid = 0;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	routes[a].strips_vlan = true;
	make_plan(ANY);
	expect(a, "i-oX", "foreign VLANs: `ethtool -K eth0 rxvlan off`", "");
}

Test(forward_plan, vlan_devices_left_to_tc)
{
	int a = nic("eth0"), v = vlan("eth0.5", a, 5), q = vlan("eth0.5.6", v, 6), b = nic("eth1");

	ifs[v].vlan_qos_out = true;
	make_plan(ANY);
	expect(v, "i-o-", "", "egress-qos-map");
	cr_expect(flag(v, CTB_ND_XDP_IN));
	expect(q, "i-o-", "eth0.5 below is a VLAN device", "eth0.5 below is a VLAN device");
	ifs[v].vlan_qos_out = false;
	ifs[v].vlan_proto = 0x88a8;
	make_plan(ANY);
	expect(v, "i-o-", "802.1ad", "802.1ad");
	cr_expect_not(flag(v, CTB_ND_XDP_IN));
	ifs[v].vlan_proto = 0x8100;
	ifs[v].mtu = 1501;
	make_plan(ANY);
	expect(v, "i-o-", "", "MTU");
	ifs[v].mtu = 1500;
	make_plan(ANY);
	expect(v, "i-oX", "", "");
	ifs[v].parent = 4711;
	make_plan(ANY);
	expect(v, "i-o-", "not in this network namespace", "not in this network namespace");
	ifs[v].parent = ifs[a].ifindex;
	ifs[a].master = ifs[b].ifindex;
	make_plan(ANY);
	expect(v, "i-o-", "eth0: enslaved to eth1", "eth0: enslaved to eth1");
}

Test(forward_plan, a_vlan_device_whose_parent_is_left_out)
{
	int a = nic("eth0"), v = vlan("eth0.5", a, 5), b = nic("eth1");

	make_plan("interface eth0.5 eth1\n" ANY);
	expect(a, "--oX", "not named", "");
	expect(v, "i-oX", "eth0: not named", "");
	cr_expect_not(flag(v, CTB_ND_XDP_IN));
	expect(b, "ixoX", "", "");
}

Test(forward_plan, vlan_device_on_a_driver_that_needs_its_program)
{
	int a = add("eth0", "", "virtio_net"), v = vlan("eth0.5", a, 5), b = nic("eth1");

	routes[a].xdp_redirect = true;
	routes[b].xdp_out = false;
	make_plan("forward iif eth1 oneway\n");
	expect(a, "ixo-", "", "only while XDP");
	expect(v, "i-o-", "no forward rule", "eth0: takes XDP frames only while");
	expect(b, "ixo-", "", "takes no XDP frames");
	routes[a].xdp_out = true;
	make_plan("forward iif eth1 oneway\n");
	expect(v, "i-oX", "no forward rule", "");
	/* It takes them because of somebody else's program, who may remove it. */
	make_plan("forward iif eth9 oneway\n");
	expect(a, "i-o-", "no forward rule", "only while XDP");
	expect(v, "i-o-", "no forward rule", "eth0: takes XDP frames only while");
}

Test(forward_plan, a_vlan_device_and_nobody_who_takes)
{
	int a = nic("eth0"), v = vlan("eth0.5", a, 5);

	routes[a].xdp_out = false;
	make_plan(ANY);
	expect(a, "i-o-", "no other device", "takes no XDP frames");
	expect(v, "i-o-", "no other device", "eth0: driver super takes no");
	cr_expect_not(flag(v, CTB_ND_XDP_IN));
}

/* --- facts about routing --- */

Test(forward_plan, routing_flags)
{
	static const struct {
		const char *what;
		struct routing r;
		__u8 rp_filter;
		unsigned int flags;
	} rows[] = {
		{ "nothing", { .forwards6 = true }, 0, 0 },
		{ "strict", { .forwards6 = true }, 1, CTB_ND_RPF_STRICT },
		{ "loose", { .forwards6 = true }, 2, CTB_ND_RPF_LOOSE },
		{ "IPsec", { .forwards6 = true, .xfrm = true }, 0, CTB_ND_XFRM },
		{ "no IPv6", {}, 0, CTB_ND_NO_FORWARD6 },
		{ "strict, iif4",
		  { .forwards6 = true, .input_rules4 = true },
		  1,
		  CTB_ND_NEXT_HOP | CTB_ND_RPF_STRICT | CTB_ND_RPF_LOOSE },
		{ "marks", { .forwards6 = true, .mark_rules = true }, 0, 0 },
		{ "iif4", { .forwards6 = true, .input_rules4 = true }, 0, CTB_ND_NEXT_HOP },
		{ "iif6", { .forwards6 = true, .input_rules6 = true }, 0, CTB_ND_NEXT_HOP },
		{ "hash4 1", { .forwards6 = true, .hash_policy4 = 1 }, 0, CTB_ND_NEXT_HOP },
		{ "hash6 3",
		  { .forwards6 = true, .hash_policy6 = 3 },
		  0,
		  CTB_ND_HASH6_L4 | CTB_ND_NEXT_HOP },
		{ "ECMP4", { .forwards6 = true, .multipath4 = true }, 0, CTB_ND_ERRORS4_UP },
		{ "ECMP6", { .forwards6 = true, .multipath6 = true }, 0, CTB_ND_ERRORS6_UP },
		{ "ECMP4, ports",
		  { .forwards6 = true, .multipath4 = true, .hash_policy4 = 1 },
		  0,
		  CTB_ND_NEXT_HOP },
		{ "ECMP4, inner",
		  { .forwards6 = true, .multipath4 = true, .hash_policy4 = 2 },
		  0,
		  CTB_ND_NEXT_HOP | CTB_ND_ERRORS4_UP },
		{ "ECMP6, inner",
		  { .forwards6 = true, .multipath6 = true, .hash_policy6 = 2 },
		  0,
		  CTB_ND_HASH6_L4 | CTB_ND_NEXT_HOP | CTB_ND_ERRORS6_UP },
	};
	const unsigned int rest = CTB_ND_IN | CTB_ND_OUT | CTB_ND_OUT_SG;
	int a = nic("eth0");

	nic("eth1");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		routes[a].rp_filter = rows[i].rp_filter;
		routing = rows[i].r;
		routing.ifs = routes;
		routing.n_ifs = host.n_ifs;
		make_plan(ANY);
		cr_expect_eq(flag(a, ~rest), rows[i].flags, "%s: %#x", rows[i].what,
			     flag(a, ~rest));
	}
}

Test(forward_plan, ipv6_disabled)
{
	int a = nic("eth0"), b = nic("eth1");

	routing.forwards6 = true;
	routes[a].disabled6 = true;
	make_plan(ANY);
	cr_expect(flag(a, CTB_ND_NO_FORWARD6));
	cr_expect_not(flag(b, CTB_ND_NO_FORWARD6));
}

Test(forward_plan, partial_checksums)
{
	static const struct {
		const char *kind, *driver;
		bool partial;
	} rows[] = {
		{ "", "super", false },	  { "", "virtio_net", false }, { "", "vif", true },
		{ "veth", "veth", true }, { "tun", "tun", true },      { "bridge", "", true },
		{ "macvlan", "", true },
	};
	int n[ARRAY_SIZE(rows)];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[8];

		snprintf(name, sizeof(name), "d%zu", i);
		n[i] = add(name, rows[i].kind, rows[i].driver);
	}
	make_plan(ANY);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		cr_expect_eq(!!flag(n[i], CTB_ND_PARTIAL), rows[i].partial, "%s %s", rows[i].kind,
			     rows[i].driver);
}

/* The map of devices that XDP frames leave by has an end. */
Test(forward_plan, more_devices_than_egress_holds)
{
	size_t n = CTB_EGRESS_MAX + 3;
	struct host_if *many = calloc(n, sizeof(*many));
	struct route_if *far = calloc(n, sizeof(*far));
	size_t out = 0;

	cr_assert(many && far);
	nic("eth0");
	for (size_t i = 0; i < n; i++) {
		many[i] = ifs[0];
		many[i].ifindex = (int)i + 1;
		snprintf(many[i].name, sizeof(many[i].name), "eth%zu", i);
		far[i] = routes[0];
		far[i].ifindex = (int)i + 1;
	}
	host = (struct host){ .ifs = many, .n_ifs = n };
	routing.ifs = far;
	routing.n_ifs = n;
	make_plan(ANY);
	for (size_t i = 0; i < n; i++) {
		out += plan.roles[i].xdp_out;
		cr_expect(plan.roles[i].xdp);
	}
	cr_expect_eq(out, CTB_EGRESS_MAX);
	cr_expect_not_null(strstr(plan.roles[n - 1].why_out, "4096"));
	free(many);
	free(far);
}

/* Facts that came too late, for a device that routing_read() did not see. */
Test(forward_plan, a_device_without_facts)
{
	int a = nic("eth0"), b = nic("eth1"), c = nic("eth2");

	routing.n_ifs--;
	make_plan(ANY);
	expect(a, "ixoX", "", "");
	expect(b, "ixoX", "", "");
	expect(c, "i-o-", "forwarding is off", "cannot tell");
}
