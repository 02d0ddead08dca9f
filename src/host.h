/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What rtnetlink knows of this host: its interfaces and what it would deliver locally. libmnl.
 */
#ifndef CTBYPASS_HOST_H
#define CTBYPASS_HOST_H

#include "rules.h"

struct host_if {
	int ifindex;
	char name[IFNAMSIZ];
	unsigned int flags;  /* IFF_* */
	unsigned short type; /* ARPHRD_* */
	int master;	     /* ifindex of the bond, bridge, ... it is enslaved to; 0: none */
	int parent;	     /* ifindex of the lower device in this netns (IFLA_LINK); 0: none */
	unsigned int vid;    /* VLAN device: its tag; else 0 */
	char kind[16];	     /* IFLA_INFO_KIND: "vlan", "veth", "bridge" ...; "" for hardware */
	unsigned int mtu;
	__u8 mac[6];		 /* all zero: none of six bytes */
	unsigned int vlan_proto; /* VLAN device: 0x8100 or 0x88a8; else 0 */
	bool vlan_qos_out;	 /* VLAN device: maps priorities to PCP bits on the way out */
	unsigned int vrf_table;	 /* VRF: the table of its routes; else 0 */
};

struct host {
	struct host_if *ifs;
	size_t n_ifs, cap_ifs;
	/*
	 * `local`: routes of type local, broadcast, anycast and multicast in table local and in
	 * those of VRFs, plus 127/8, ::1, 224/4, ff00::/8 and 255.255.255.255. Sorted, no
	 * duplicates. Other tables are for packets that an `ip rule` picks (TPROXY's has 0/0):
	 * what they deliver here for some is transit for others, and so it is for us.
	 */
	struct prefix_list local;
};

/* A fresh picture of the current network namespace. 0 or -errno. */
int host_read(struct host *out);
void host_free(struct host *h);
const struct host_if *host_find(const struct host *h, int ifindex);

/* Is the address local? IPv4 in lo, as a host-order number. */
bool host_is_local(const struct host *h, bool v6, __u64 hi, __u64 lo);
/* The device by which this host would send there, which is where its packets come from. Or -errno.
 */
int host_route_dev(bool v6, __u64 hi, __u64 lo);

/* Is there a VRF? */
bool host_has_vrf(const struct host *h);
/*
 * A table, beside those that `local` is read from, with routes of type local: what an `ip rule`
 * sends there is delivered here, as a transparent proxy wants it. 1, 0 (there is none) or -errno.
 */
int host_proxy_table(const struct host *h, unsigned int *table);
/* Same interfaces (all fields) and same local prefixes? */
bool host_same_interfaces(const struct host *a, const struct host *b);
bool host_same_local(const struct host *a, const struct host *b);

/*
 * Watch for changes: a non-blocking socket to poll, or -errno. Joined: link, IPv4 and IPv6
 * address and route groups.
 */
int host_watch_open(void);
/*
 * Read what is pending. Returns 1 when interfaces or local addresses may have changed (also when
 * messages were lost, ENOBUFS), 0 when nothing that concerns us did (routes of other types are
 * skipped here, so that a full BGP feed costs little), or -errno.
 */
int host_watch_drain(int fd);

#endif
