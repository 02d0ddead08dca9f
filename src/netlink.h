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
/* A request to dump everything of a type, RTM_GET..., at the beginning of buf. */
struct nlmsghdr *netlink_dump_request(char *buf, __u16 type);
/*
 * Send a dump request (its sequence number is the caller's) and feed the answer to cb. 0 or
 * -errno; -EINTR: what was dumped changed meanwhile.
 */
int netlink_dump(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg);
/*
 * What the kernel has told on a non-blocking socket next: bytes in buf (aligned as nlmsghdr), 0
 * when there is nothing more, -ENOBUFS when something was lost, or -errno. What other processes
 * send is passed over.
 */
ssize_t netlink_event(int fd, void *buf, size_t size);

#endif
