/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each device can do for the forwarding path, and why not more. Pure computation from what
 * is known of host and rules; src/datapath.c acts on it, `status` and `check` print it.
 */
#ifndef CTBYPASS_FORWARD_PLAN_H
#define CTBYPASS_FORWARD_PLAN_H

#include "expand.h"
#include "routing.h"

struct forward_role {
	int ifindex;
	bool concerned; /* some forward rule can fit what comes in here */
	bool in;	/* what comes in here may be forwarded (in tc at least) */
	/*
	 * XDP is worth attaching here: to forward, or because the driver takes XDP frames only
	 * then. Frames of a VLAN device are taken on its parent (CTB_ND_XDP_IN in netdev.flags).
	 */
	bool xdp;
	bool out;	   /* packets may be sent out here (by tc at least) */
	bool xdp_out;	   /* XDP frames may leave here; for a VLAN device: by its parent, tagged */
	char why_in[160];  /* why not in XDP, or why not at all; "" when xdp */
	char why_out[160]; /* why XDP frames cannot leave here, or nothing; "" when xdp_out */
	struct ctb_netdev netdev; /* element of map `netdevs`, byte for byte */
};

struct forward_plan {
	bool active;		    /* there are forward rules; false: no roles, no XDP */
	struct forward_role *roles; /* one for each of host->ifs, in that order */
	size_t n_roles;
};

/*
 * names: the `interface` statements. no_xdp: the operator wants none (`run -X`). 0 or -ENOMEM.
 * entries without forward rules give a plan that is not active.
 */
int forward_plan_make(const struct entries *entries, const struct host *host,
		      const struct routing *routing, const struct name_list *names, bool no_xdp,
		      struct forward_plan *out);
void forward_plan_free(struct forward_plan *p);
const struct forward_role *forward_plan_find(const struct forward_plan *p, int ifindex);

/* Is there any forward rule? */
bool entries_forward(const struct entries *entries);

#endif
