/* SPDX-License-Identifier: GPL-2.0-only */
/* What every user of libmnl here does the same way. */
#ifndef CTBYPASS_NETLINK_H
#define CTBYPASS_NETLINK_H

#include <libmnl/libmnl.h>
#include "util.h"

static inline void cleanup_mnl(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}
#define _mnl_ _cleanup_(cleanup_mnl) /* initialise with NULL */

/* A bound socket of a NETLINK_ family, close-on-exec. 0 or -errno. */
int netlink_open(int family, struct mnl_socket **out);
/*
 * Send a dump request (its sequence number is the caller's) and feed the answer to cb. 0 or
 * -errno; -EINTR: what was dumped changed meanwhile.
 */
int netlink_dump(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg);

#endif
