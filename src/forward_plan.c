// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may forward, in XDP or in tc, and who takes what is forwarded.
 *
 * Two things make this more than a property of each device. XDP is worth its price on a device only
 * if what comes in there can leave by another one as an XDP frame. And many drivers take such
 * frames only while an XDP program is attached to themselves, so that two of them would wait for
 * each other: they are attached when either would be of use to the other.
 */
#include <errno.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <string.h>

#include "datapath.h"
#include "datapath_load.h"
#include "forward_plan.h"

/*
 * Drivers with native XDP and ndo_xdp_xmit(), in Linux 6.1 at the latest. own: the latter works
 * only with a program attached; from 6.3 on most say so themselves (xdp-features), mlx5_core
 * does not.
 */
static const struct driver {
	const char *name;
	bool own;
} drivers[] = {
	{ "virtio_net", true }, { "mlx5_core", true }, { "i40e", true },
	{ "ice", true },	{ "ixgbe", true },     { "igb", true },
	{ "bnxt_en", true },	{ "ena", true },       { "igc", false },
};

enum takes {
	TAKES_NONE,
	TAKES_LATER, /* XDP frames, once XDP is attached there */
	TAKES_XDP,
};

/* A device while the plan is made. */
struct dev {
	const struct host_if *h;
	const struct route_if *r;
	struct forward_role *role;
	struct dev *below; /* VLAN device: the one that its frames come in and leave by */
	/* Devices on top, NULL: none. Takes frames with our MAC address; has tags XDP cannot see.
	 */
	const struct host_if *taker, *unseen;
	bool attached; /* to tc */
	bool able;     /* XDP could be attached here */
	bool serves;   /* in XDP (a VLAN device: below) something could be forwarded */
	bool own;      /* takes XDP frames only with a program of its own */
	bool wanted;   /* a VLAN device on top needs XDP here */
	enum takes takes;
};

struct plan {
	const struct host *host;
	const struct routing *routing;
	struct dev *devs;
	size_t n;
	bool no_xdp;
};

static _printf_(3, 4) bool no(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return false;
}

#define NO_IN(d, ...)  no((d)->role->why_in, sizeof((d)->role->why_in), __VA_ARGS__)
#define NO_OUT(d, ...) no((d)->role->why_out, sizeof((d)->role->why_out), __VA_ARGS__)

static bool is_kind(const struct dev *d, const char *kind)
{
	return !strcmp(d->h->kind, kind);
}

static bool is_bond(const struct dev *d)
{
	return is_kind(d, "bond") || is_kind(d, "team");
}

static const struct driver *known_driver(const struct dev *d)
{
	for (size_t i = 0; !d->h->kind[0] && i < ARRAY_SIZE(drivers); i++) {
		if (!strcmp(d->r->driver, drivers[i].name))
			return &drivers[i];
	}
	return NULL;
}

/* "driver e1000e", or "macvlan" for what has no hardware; for messages. */
static const char *make(const struct dev *d, char *buf, size_t size)
{
	if (d->h->kind[0])
		snprintf(buf, size, "%s", d->h->kind);
	else
		snprintf(buf, size, "driver %s", d->r->driver[0] ? d->r->driver : "(unknown)");
	return buf;
}

/* --- what comes in --- */

static struct dev *find_dev(struct plan *p, int ifindex)
{
	const struct host_if *h = ifindex ? host_find(p->host, ifindex) : NULL;

	return h ? &p->devs[h - p->host->ifs] : NULL;
}

/* Takes the device above frames that have the MAC address of the one below? */
static bool is_taker(const struct host_if *top, const struct host_if *below)
{
	if (!strcmp(top->kind, "ipvlan") || !strcmp(top->kind, "ipvtap") ||
	    !strcmp(top->kind, "dsa"))
		return true;
	/* Mode passthru: both have the same. */
	return (!strcmp(top->kind, "macvlan") || !strcmp(top->kind, "macvtap")) &&
	       !memcmp(top->mac, below->mac, sizeof(top->mac));
}

static void look_below(struct plan *p, struct dev *d)
{
	struct dev *below = find_dev(p, d->h->parent);

	if (!below)
		return;
	if (is_taker(d->h, below->h))
		below->taker = d->h;
	if (!d->h->vid)
		return;
	d->below = below;
	if (d->h->vlan_proto == 0x88a8 ? below->r->strips_stag : below->r->strips_vlan)
		below->unseen = d->h;
}

static bool forwards_in(const struct plan *p, const struct dev *d)
{
	const struct host_if *master = d->h->master ? host_find(p->host, d->h->master) : NULL;

	if (!d->attached)
		return false;
	if (d->h->type != ARPHRD_ETHER)
		return NO_IN(d, "no Ethernet device: the kernel forwards");
	if (d->h->master)
		return NO_IN(d, "enslaved to %s, whose packets are the kernel's here",
			     master ? master->name : "a device that is gone");
	if (d->taker)
		return NO_IN(d, "%s (%s) on top takes frames with this MAC address", d->taker->name,
			     d->taker->kind);
	if (d->h->ifindex >= (int)NETDEV_SLOTS_MAX)
		return NO_IN(d, "its ifindex is %u or larger", NETDEV_SLOTS_MAX);
	return true;
}

static bool has_native_xdp(const struct dev *d)
{
	char buf[64];

	if (is_bond(d))
		return NO_IN(d, "a %s with XDP would take only ports that have XDP: tc forwards",
			     d->h->kind);
	if (!d->r->xdp_known) {
		/* A driver of hardware is asked by attaching. */
		if (!d->h->kind[0] || is_kind(d, "veth") || is_kind(d, "tun"))
			return true;
	} else if (d->r->xdp_redirect) {
		return true;
	} else if (is_kind(d, "veth")) {
		return NO_IN(d, "its peer has more send queues than it has receive queues");
	}
	return NO_IN(d, "%s has no native XDP that redirects", make(d, buf, sizeof(buf)));
}

static bool can_attach(const struct plan *p, const struct dev *d)
{
	const struct host_if *vlan = d->unseen;
	const char *name = d->h->name;

	if (p->no_xdp)
		return NO_IN(d, "switched off (run -X)");
	if (!has_native_xdp(d))
		return false;
	if (d->r->lro)
		return NO_IN(d, "large receive offload is on: `ethtool -K %s lro off`", name);
	if (vlan && vlan->vlan_proto == 0x88a8)
		return NO_IN(d,
			     "802.1ad tags are taken out before XDP sees them: `ethtool -K %s "
			     "rx-vlan-stag-hw-parse off`",
			     name);
	if (vlan && is_kind(d, "veth"))
		return NO_IN(d,
			     "its peer keeps VLAN tags beside the frame, where XDP does not see "
			     "them: there `txvlan off`, then `ethtool -K %s rxvlan off`",
			     name);
	if (vlan)
		return NO_IN(d,
			     "driver takes VLAN tags out before XDP sees them: `ethtool -K %s "
			     "rxvlan off`",
			     name);
	/*
	 * The kernel drops frames of a VLAN without a device; here they would be plain frames. A
	 * filter in the card (rx-vlan-filter) does not help: VLAN devices that were moved to
	 * other namespaces are let through, and are not seen from here.
	 */
	if (!d->h->kind[0] && d->r->strips_vlan)
		return NO_IN(d,
			     "driver takes VLAN tags out, also those of foreign VLANs: `ethtool "
			     "-K %s rxvlan off`",
			     name);
	return true;
}

/* Frames of a VLAN device: in XDP below? */
static bool vlan_in(const struct dev *d)
{
	if (d->h->vlan_proto != 0x8100)
		return NO_IN(d, "802.1ad tags: tc forwards");
	if (!d->below)
		return NO_IN(d, "the device below is not in this network namespace");
	if (d->below->h->vid)
		return NO_IN(d, "%s below is a VLAN device, too: tc forwards", d->below->h->name);
	if (!d->below->able)
		return NO_IN(d, "%s: %.120s", d->below->h->name, d->below->role->why_in);
	return true;
}

static bool is_idle(const struct plan *p, const struct dev *d)
{
	return !d->r->forwarding4 && !(d->r->forwarding6 && p->routing->forwards6);
}

/* --- what leaves --- */

static bool forwards_out(const struct plan *p, const struct dev *d)
{
	const struct host_if *master = d->h->master ? host_find(p->host, d->h->master) : NULL;

	if (d->h->flags & IFF_LOOPBACK)
		return NO_OUT(d, "loopback");
	if (d->h->type != ARPHRD_ETHER)
		return NO_OUT(d, "no Ethernet device: the kernel forwards");
	if (d->h->master)
		return NO_OUT(d, "enslaved to %s", master ? master->name : "a device that is gone");
	if (is_kind(d, "vrf"))
		return NO_OUT(d, "a VRF routes once more: the kernel forwards");
	if (d->h->ifindex >= (int)NETDEV_SLOTS_MAX)
		return NO_OUT(d, "its ifindex is %u or larger", NETDEV_SLOTS_MAX);
	if (!(d->h->flags & IFF_UP))
		return NO_OUT(d, "it is down");
	return true;
}

static enum takes refuse(const struct dev *d, const char *text)
{
	char buf[64];

	NO_OUT(d, "%s%s", make(d, buf, sizeof(buf)), text);
	return TAKES_NONE;
}

static enum takes takes_frames(const struct plan *p, struct dev *d)
{
	const struct driver *drv = known_driver(d);
	bool now = d->r->xdp_known ? d->r->xdp_out : drv && (drv->own ? d->r->xdp_attached : true);

	d->own = drv && drv->own;
	if (p->no_xdp)
		return NO_OUT(d, "switched off (run -X)"), TAKES_NONE;
	if (is_bond(d))
		return refuse(d, " hands frames to ports that may not take XDP frames: tc sends");
	if (d->r->few_queues)
		return NO_OUT(d,
			      "fewer queues than CPUs, and its driver drops XDP frames of the "
			      "others: `ethtool -L %s combined N`",
			      d->h->name),
		       TAKES_NONE;
	if (d->own && !d->able)
		return NO_OUT(d, "it needs XDP here, too: %.120s", d->role->why_in), TAKES_NONE;
	if (now)
		return TAKES_XDP;
	if (d->own) {
		NO_OUT(d, "takes XDP frames only while XDP is attached here, too");
		return TAKES_LATER;
	}
	if (!d->r->xdp_known)
		return refuse(d, ": this kernel (before 6.3) cannot tell if it takes XDP frames");
	if (is_kind(d, "veth"))
		return NO_OUT(d, "its peer has neither GRO nor XDP: `ethtool -K PEER gro on`"),
		       TAKES_NONE;
	return refuse(d, " takes no XDP frames");
}

static enum takes vlan_takes(const struct dev *d)
{
	const struct dev *below = d->below;

	if (d->h->vlan_proto != 0x8100)
		return NO_OUT(d, "802.1ad tags: tc sends"), TAKES_NONE;
	if (d->h->vlan_qos_out)
		return NO_OUT(d, "maps priorities to the tag (egress-qos-map): tc sends"),
		       TAKES_NONE;
	if (!below)
		return NO_OUT(d, "the device below is not in this network namespace"), TAKES_NONE;
	if (below->h->vid)
		return NO_OUT(d, "%s below is a VLAN device, too: tc sends", below->h->name),
		       TAKES_NONE;
	if (d->h->mtu > below->h->mtu)
		return NO_OUT(d, "its MTU is larger than that of %s", below->h->name), TAKES_NONE;
	if (below->role->why_out[0])
		NO_OUT(d, "%s: %.120s", below->h->name, below->role->why_out);
	return below->takes;
}

/* --- both --- */

/* XDP where it is of use: see the top of this file. */
static void place_xdp(struct plan *p)
{
	size_t takers = 0, servers = 0;

	for (size_t i = 0; i < p->n; i++) {
		takers += p->devs[i].takes != TAKES_NONE;
		servers += p->devs[i].serves;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct dev *d = &p->devs[i], *at = d->h->vid ? d->below : d;

		if (d->serves && takers > (d->takes != TAKES_NONE))
			at->wanted = true;
		if (d->own && d->able && d->takes != TAKES_NONE && servers > d->serves)
			at->wanted = true;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct dev *d = &p->devs[i];

		d->role->xdp = d->able && d->wanted;
		if (d->role->xdp)
			d->role->why_in[0] = '\0';
		else if (d->able && d->role->concerned && !is_idle(p, d))
			NO_IN(d, "no other device takes XDP frames");
	}
	for (size_t i = 0; i < p->n; i++) {
		struct dev *d = &p->devs[i];

		if (!d->h->vid || !d->serves)
			continue;
		if (d->below->role->xdp && takers > (d->takes != TAKES_NONE))
			d->role->netdev.flags |= CTB_ND_XDP_IN;
		else
			NO_IN(d, "no other device takes XDP frames");
	}
}

static void place_xdp_out(struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct dev *d = &p->devs[i];

		if (d->h->vid || !d->role->out || d->takes != TAKES_XDP)
			continue;
		if (d->own && !d->role->xdp)
			NO_OUT(d, "takes XDP frames only while XDP is attached here, too");
		else if (n++ >= CTB_EGRESS_MAX)
			NO_OUT(d, "more than %d devices take XDP frames", CTB_EGRESS_MAX);
		else
			d->role->xdp_out = true;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct dev *d = &p->devs[i];

		if (!d->h->vid || !d->role->out || d->takes != TAKES_XDP)
			continue;
		d->role->xdp_out = d->below->role->xdp_out;
		if (!d->role->xdp_out)
			NO_OUT(d, "%s: %.120s", d->below->h->name, d->below->role->why_out);
	}
}

static __u16 routing_flags(const struct plan *p, const struct dev *d)
{
	const struct routing *r = p->routing;
	__u16 flags = 0;

	if (d->r->rp_filter == 1)
		flags |= CTB_ND_RPF_STRICT;
	if (d->r->rp_filter == 2)
		flags |= CTB_ND_RPF_LOOSE;
	/* The kernel looks a source up as if its answer came from this host (iif lo). */
	if (d->r->rp_filter && r->input_rules4)
		flags |= CTB_ND_RPF_STRICT | CTB_ND_RPF_LOOSE;
	if (r->xfrm)
		flags |= CTB_ND_XFRM;
	/* With disable_ipv6 ip6_rcv_core() drops all that comes in. */
	if (!r->forwards6 || d->r->disabled6)
		flags |= CTB_ND_NO_FORWARD6;
	if (r->hash_policy4 || r->hash_policy6 || r->input_rules4 || r->input_rules6)
		flags |= CTB_ND_NEXT_HOP;
	if (r->hash_policy6)
		flags |= CTB_ND_HASH6_L4;
	/* Policy 2 hashes as 0 does what is no tunnel. */
	if (r->multipath4 && (r->hash_policy4 == 0 || r->hash_policy4 == 2))
		flags |= CTB_ND_ERRORS4_UP;
	if (r->multipath6 && (r->hash_policy6 == 0 || r->hash_policy6 == 2))
		flags |= CTB_ND_ERRORS6_UP;
	return flags;
}

/* Do senders on this machine (or under the same hypervisor) leave checksums to the hardware? */
static bool has_partial(const struct dev *d)
{
	if (d->h->vid && d->below)
		d = d->below;
	return d->h->kind[0] || !strcmp(d->r->driver, "vif"); /* Xen */
}

static __u16 mtu16(unsigned int mtu)
{
	return (__u16)(mtu < 65535 ? mtu : 65535);
}

static void fill_netdev(const struct plan *p, const struct dev *d)
{
	const struct dev *at = d->h->vid ? d->below : d;
	struct ctb_netdev *nd = &d->role->netdev;

	memcpy(nd->mac, d->h->mac, sizeof(nd->mac));
	nd->mtu = mtu16(d->h->mtu);
	nd->route_mtu4 = mtu16(p->routing->route_mtu4);
	nd->route_mtu6 = mtu16(p->routing->route_mtu6);
	nd->flags |= routing_flags(p, d);
	if (d->role->in)
		nd->flags |= CTB_ND_IN;
	if (d->role->out)
		nd->flags |= CTB_ND_OUT;
	if (has_partial(d))
		nd->flags |= CTB_ND_PARTIAL;
	if (!d->role->xdp_out)
		return;
	nd->out = (__u32)at->h->ifindex;
	nd->out_vid = (__u16)d->h->vid;
	if (at->r->xdp_out_sg)
		nd->flags |= CTB_ND_OUT_SG;
}

static bool fits_some_entry(const struct entries *entries, const char *ifname)
{
	for (size_t i = 0; i < entries->n; i++) {
		const struct entry *e = &entries->e[i];

		if (e->action == CTB_FORWARD && (!e->iif || name_list_has(e->iif, ifname)))
			return true;
	}
	return false;
}

bool entries_forward(const struct entries *entries)
{
	for (size_t i = 0; i < entries->n; i++) {
		if (entries->e[i].action == CTB_FORWARD)
			return true;
	}
	return false;
}

/* Everything about each device by itself; VLAN devices behind those below them. */
static void judge(struct plan *p, const struct entries *entries, const struct name_list *names)
{
	for (size_t i = 0; i < p->n; i++) {
		struct dev *d = &p->devs[i];

		d->attached = datapath_wants(d->h, p->host, names, d->role->why_in,
					     sizeof(d->role->why_in));
		d->role->concerned = d->attached && fits_some_entry(entries, d->h->name);
		d->role->in = forwards_in(p, d);
		d->role->out = forwards_out(p, d);
		if (d->h->vid)
			continue;
		d->able = d->role->in && can_attach(p, d);
		if (d->role->out)
			d->takes = takes_frames(p, d);
	}
	for (size_t i = 0; i < p->n; i++) {
		struct dev *d = &p->devs[i];
		bool fit = d->h->vid ? d->role->in && vlan_in(d) : d->able;

		if (d->h->vid && d->role->out)
			d->takes = vlan_takes(d);
		if (d->role->in && is_idle(p, d))
			NO_IN(d, "forwarding is off here for IPv4 and IPv6 (sysctl "
				 "net.ipv4.ip_forward, net.ipv6.conf.all.forwarding)");
		else if (fit && !d->role->concerned)
			NO_IN(d, "no forward rule fits what comes in here");
		d->serves = fit && d->role->concerned && !is_idle(p, d);
	}
}

int forward_plan_make(const struct entries *entries, const struct host *host,
		      const struct routing *routing, const struct name_list *names, bool no_xdp,
		      struct forward_plan *out)
{
	static const struct route_if nothing;
	_free_ struct forward_role *roles = NULL;
	_free_ struct dev *devs = NULL;
	struct plan p = { .host = host, .routing = routing, .n = host->n_ifs, .no_xdp = no_xdp };

	if (!entries_forward(entries)) {
		*out = (struct forward_plan){};
		return 0;
	}
	roles = calloc(host->n_ifs + 1, sizeof(*roles));
	devs = calloc(host->n_ifs + 1, sizeof(*devs));
	if (!roles || !devs)
		return -ENOMEM;
	p.devs = devs;
	for (size_t i = 0; i < p.n; i++) {
		const struct route_if *r = routing_find(routing, host->ifs[i].ifindex);

		roles[i].ifindex = host->ifs[i].ifindex;
		devs[i] = (struct dev){ .h = &host->ifs[i],
					.r = r ? r : &nothing,
					.role = &roles[i] };
	}
	for (size_t i = 0; i < p.n; i++)
		look_below(&p, &devs[i]);
	judge(&p, entries, names);
	place_xdp(&p);
	place_xdp_out(&p);
	for (size_t i = 0; i < p.n; i++)
		fill_netdev(&p, &devs[i]);
	*out = (struct forward_plan){ .active = true, .roles = TAKE_PTR(roles), .n_roles = p.n };
	return 0;
}

void forward_plan_free(struct forward_plan *p)
{
	free(p->roles);
	*p = (struct forward_plan){};
}

const struct forward_role *forward_plan_find(const struct forward_plan *p, int ifindex)
{
	size_t lo = 0, hi = p->n_roles;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->roles[mid].ifindex == ifindex)
			return &p->roles[mid];
		if (p->roles[mid].ifindex < ifindex)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
