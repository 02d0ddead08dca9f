/* SPDX-License-Identifier: GPL-2.0-only */
/* What a network device's driver does: ethtool, and netdev generic netlink. */
#ifndef CTBYPASS_NETDEV_CAPS_H
#define CTBYPASS_NETDEV_CAPS_H

#include <net/if.h>
#include <stdbool.h>
#include <linux/types.h>
#include "netlink.h"

/* enum netdev_xdp_act of include/uapi/linux/netdev.h, 6.3; not in Debian 12's headers. */
#define XDP_ACT_BASIC	    0x01
#define XDP_ACT_REDIRECT    0x02
#define XDP_ACT_NDO_XMIT    0x04
#define XDP_ACT_NDO_XMIT_SG 0x40

struct netdev_caps {
	char driver[32];  /* "" when the driver does not say */
	bool strips_vlan; /* rx-vlan-hw-parse: takes 802.1Q tags out of frames */
	bool strips_stag; /* rx-vlan-stag-hw-parse: 802.1ad tags */
	bool lro;	  /* large-receive-offload */
};

/* Asks ethtool about one device after the other. */
struct netdev_caps_reader {
	int fd;
	/* Numbers of the features above in the kernel's bit set; -1: it does not have it. */
	int strips_vlan, strips_stag, lro;
	unsigned int n_features; /* 0: not asked yet */
};

int netdev_caps_open(struct netdev_caps_reader *r);
void netdev_caps_close(struct netdev_caps_reader *r);
/* What ethtool does not answer stays false or "". -ENODEV: no such device. */
int netdev_caps_read(struct netdev_caps_reader *r, const char *ifname, struct netdev_caps *out);
/* Queues that send (combined and transmit-only); 0: the driver does not say. */
unsigned int netdev_caps_tx_queues(struct netdev_caps_reader *r, const char *ifname);

/*
 * Generic netlink family by name: its number, and that of one of its multicast groups (group NULL:
 * none is wanted). -ENOENT: this kernel has not got it.
 */
int genl_find(struct mnl_socket *nl, const char *family, const char *group, __u16 *id,
	      __u32 *group_id);

/*
 * XDP_ACT_* of each device of this namespace, one call each. 0, -ENOENT: the kernel cannot tell
 * (before 6.3), or another -errno; -EINTR: devices came or went meanwhile.
 */
int xdp_features_read(void (*each)(int ifindex, __u64 features, void *arg), void *arg);

#endif
