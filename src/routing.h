/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What decides how the kernel forwards packets, beyond the FIB itself: the facts that the
 * forwarding path has to respect or must keep its hands off. Read only when a `forward` rule is
 * in force. rtnetlink, XFRM and generic netlink through libmnl; sysctls of this netns.
 */
#ifndef CTBYPASS_ROUTING_H
#define CTBYPASS_ROUTING_H

#include <linux/netlink.h>

#include "host.h"

/* One device, in the order of host->ifs (by ifindex). */
struct route_if {
	int ifindex;
	/* net.ipv4.conf: the larger of `all` and the device's own, as IN_DEV_RPFILTER() has it. */
	__u8 rp_filter; /* 0 off, 1 strict, 2 loose */
	/* net.ipvN.conf.DEVICE.forwarding; what counts for IPv6 is `all`, struct routing below. */
	bool forwarding4, forwarding6;
	bool disabled6; /* net.ipv6.conf.DEVICE.disable_ipv6: all IPv6 is dropped */
	/* Does the driver take VLAN tags out of frames before XDP sees them (rx-vlan-hw-parse)? */
	bool strips_vlan;
	bool strips_stag; /* 802.1ad tags likewise (rx-vlan-stag-hw-parse) */
	bool lro;	  /* large-receive-offload is on: no native XDP */
	bool few_queues;  /* its driver drops XDP frames sent by CPUs that have no queue there */
	char driver[32];  /* ethtool's name for it; "" when there is none */
	/* netdev generic netlink (6.3+). known == false: the kernel cannot tell. */
	bool xdp_known;
	bool xdp_redirect; /* NETDEV_XDP_ACT_REDIRECT: native XDP that can redirect */
	bool xdp_out;	   /* NETDEV_XDP_ACT_NDO_XMIT: takes XDP frames right now */
	bool xdp_out_sg;   /* NETDEV_XDP_ACT_NDO_XMIT_SG: of several buffers too */
	/* Where the kernel cannot tell: some native XDP program is attached right now. */
	bool xdp_attached;
};

struct routing {
	struct route_if *ifs;
	size_t n_ifs;
	bool xfrm;	 /* IPsec policies are present in this netns */
	bool mark_rules; /* `ip rule` with fwmark, of either family */
	/* Some `ip rule` looks at the input interface or at ports. */
	bool input_rules4, input_rules6;
	bool forwards6; /* net.ipv6.conf.all.forwarding, which ip6_forward() goes by */
	/* Routes with several next hops exist. */
	bool multipath4, multipath6;
	/*
	 * The smallest MTU that any route names (`ip route ... mtu N`), 0: none does. The kernel
	 * forwards by it (ip_dst_mtu_maybe_forward()), bpf_fib_lookup() does not ask for it.
	 */
	unsigned int route_mtu4, route_mtu6;
	int hash_policy4, hash_policy6; /* net.ipvN.*fib_multipath_hash_policy */
};

/*
 * A fresh picture. 0 or -errno. Facts that an old kernel cannot tell get their careful value.
 * Before 6.3 nothing notifies of xdp_attached: read again after XDP was attached or detached.
 */
int routing_read(const struct host *host, struct routing *out);
/* The same without what all routes have to be looked through for; and that alone. */
int routing_read_most(const struct host *host, struct routing *out);
int routing_read_routes(struct routing *out);
void routing_free(struct routing *r);
/* Take over what b has seen of routes; true when that is news. */
bool routing_add_routes(struct routing *a, const struct routing *b);
/* What one route or next hop group (RTM_NEWROUTE, RTM_NEWNEXTHOP) adds to that. */
void routing_add_route(struct routing *r, const struct nlmsghdr *nlh);
bool routing_same(const struct routing *a, const struct routing *b);
const struct route_if *routing_find(const struct routing *r, int ifindex);

/*
 * Watch for changes: one descriptor to poll (an epoll of all the sockets that are needed), or
 * -errno. Covered: netconf of both families (forwarding, rp_filter), XFRM policies, rules,
 * routes with several next hops or an MTU, XDP and other features of devices. The hash policies
 * notify nobody and are looked at every ten seconds.
 */
/* routing_read()'s hash policies alone: true when they are not what *r says. */
bool routing_hash_policy_changed(const struct routing *r);

struct routing_watch;
int routing_watch_open(struct routing_watch **out);
int routing_watch_fd(const struct routing_watch *w);
/* 1: something may have changed; 0: nothing that concerns us; or -errno. */
int routing_watch_drain(struct routing_watch *w);
/*
 * routing_read() for who has a watch: it is told of every new route with several next hops or an
 * MTU, so that all routes are looked through for them only once. What was seen is taken for
 * granted then.
 */
int routing_watch_read(struct routing_watch *w, const struct host *host, struct routing *out);
void routing_watch_close(struct routing_watch *w); /* NULL is fine */

#endif
