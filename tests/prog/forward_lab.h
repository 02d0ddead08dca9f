/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A router in a network namespace: real devices, addresses, routes and neighbours, and both
 * programs loaded over the same maps, for BPF_PROG_TEST_RUN. What the lab is made of is a table
 * that the model (forward_model.h) reads too, so that it can do its own routing.
 */
#ifndef CTBYPASS_TESTS_FORWARD_LAB_H
#define CTBYPASS_TESTS_FORWARD_LAB_H

#include "harness.h"

/*
 * Device N has the addresses 10.N.0.1/24 and 2001:db8:N::1/64, and a neighbour .2 (::2) whose
 * link-layer address is known for good. Behind it are 198.18.N.0/24 and 2001:db8:fN::/48.
 */
enum lab_dev {
	LAB_LO,	 /* only so that no device is 0 */
	LAB_IN,	 /* in0: what comes in */
	LAB_OUT, /* out0 */
	LAB_FEW, /* few: MTU 1300 */
	LAB_TCO, /* tco: takes no XDP frames */
	LAB_V5,	 /* v5: stands for the VLAN device 5 on in0 */
	LAB_OFF, /* off: nothing may be sent out there */
	LAB_V7,	 /* v7: stands for the VLAN device 7 on out0 */
	LAB_V5O, /* v5o: for the VLAN device 5 on out0 */
	LAB_DEVS,
};

extern const char *const lab_names[LAB_DEVS];

/* What is done with a destination. */
enum lab_route_kind {
	LAB_VIA,       /* by a gateway: neighbour .2 of the device */
	LAB_VIA6,      /* IPv4 by the gateway's IPv6 address */
	LAB_CONNECTED, /* by the device itself; its address .2 is known */
	LAB_SILENT,    /* by a gateway that nobody knows the link-layer address of */
	LAB_ENCAP,     /* lightweight tunnel */
	LAB_LOCAL,
	LAB_UNREACHABLE,
	LAB_PROHIBIT,
	LAB_BLACKHOLE,
};

struct lab_route {
	const char *prefix;
	enum lab_route_kind kind;
	enum lab_dev dev;
	unsigned int mtu; /* locked; 0: the device's */
	int family;	  /* of the prefix, and its bytes; filled in by lab_init() */
	__u8 addr[16];
	unsigned int len;
};

#define LAB_ROUTES_MAX 80

struct lab {
	struct host_if ifs[LAB_DEVS]; /* by enum lab_dev, lo first */
	struct host host;	      /* ifs and what is local; v5, v7, v5o are VLAN devices */
	struct ctb_netdev nd[LAB_DEVS];
	bool egress[LAB_DEVS]; /* in the devmap */
	struct lab_route routes[LAB_ROUTES_MAX];
	size_t n_routes;
	bool forwarding4[LAB_DEVS], forwarding6[LAB_DEVS];
	/* One rule set's programs. */
	struct ruleset *rs;
	struct ref_host ref; /* at tc: with VLAN devices */
	struct harness *h;
	struct xdp_bpf *xdp;
	int xdp_fd;
};

/*
 * Skips the running test where it cannot be. wide: routes for nearly every address there is, for
 * packets of chance.
 */
void lab_init(struct lab *l, bool wide);
/* Load both programs; rs is taken. -E2BIG: more than the classifier holds. -EINVAL, with words. */
int lab_load(struct lab *l, struct ruleset *rs, const struct prefix_list *local);
void lab_load_text(struct lab *l, const char *rules); /* `local` is the lab's own */
void lab_unload(struct lab *l);
/* Write nd and egress to the maps. */
void lab_put_netdevs(struct lab *l);
void lab_netdevs_default(struct lab *l);
/* A sysctl below /proc/sys/net. */
void lab_sysctl(const char *path, int value);

/* A frame through one of the programs, and what became of it. */
struct lab_run {
	const __u8 *data;
	size_t len;
	enum lab_dev in;
	size_t meta;	/* XDP: bytes of metadata in front, which is headroom less */
	size_t linear;	/* XDP: bytes of the frame in its first buffer; 0: what fits */
	__u32 mark;	/* tc */
	__u16 push;	/* tc: a VLAN TCI in the skb's metadata; 0: none */
	__u32 gso_size; /* tc */
	/* out: */
	__u32 action, mark_after;
	__u8 back[9216];
	size_t back_len;
};

int lab_run_xdp(struct lab *l, struct lab_run *r);
/*
 * Can this kernel's test runs put a frame in several buffers, and so much metadata in front of it
 * (6.1: up to 32 bytes)?
 */
bool lab_takes(struct lab *l, size_t linear, size_t meta);
int lab_run_tc(struct lab *l, struct lab_run *r);

#endif
