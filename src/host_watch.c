// SPDX-License-Identifier: GPL-2.0-only
/* rtnetlink notifications: did something change that the data plane depends on? */
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "host.h"
#include "netlink.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static const int groups[] = {
	RTNLGRP_LINK,	    RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
	RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
};

/*
 * A full BGP feed is a message per route. This drops unicast routes before they take room in the
 * socket's buffer. Every multicast message is a packet of its own, so looking at its first header
 * is enough. BPF loads are big-endian, netlink headers are not: hence htons().
 */
static int skip_unicast_routes(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RTN_UNICAST, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ? -errno : 0;
}

int host_watch_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	_close_ int fd = -1;
	int size = 1 << 20, err;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	/* A bigger buffer is a courtesy: losing messages is noticed and costs one host_read(). */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	err = skip_unicast_routes(fd);
	if (err)
		return err;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])))
			return -errno;
	}
	return TAKE_FD(fd);
}

static bool concerns_us(const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm;
	const struct ifinfomsg *ifi;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*ifi)))
			return false;
		ifi = NLMSG_DATA(nlh);
		/* Bridge port settings come by the same group; a new master is said again apart. */
		return ifi->ifi_family != AF_BRIDGE;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return true;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*rtm)))
			return false;
		rtm = NLMSG_DATA(nlh);
		return rtm->rtm_type == RTN_LOCAL || rtm->rtm_type == RTN_BROADCAST ||
		       rtm->rtm_type == RTN_ANYCAST || rtm->rtm_type == RTN_MULTICAST;
	}
	return false;
}

int host_watch_drain(int fd)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	int found = 0;

	for (;;) {
		ssize_t n = netlink_event(fd, buf, sizeof(buf));
		const struct nlmsghdr *nlh;
		int left = (int)n;

		if (n == 0)
			return found;
		if (n == -ENOBUFS) {
			found = 1;
			continue;
		}
		if (n < 0)
			return (int)n;
		for (nlh = (void *)buf; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (concerns_us(nlh))
				found = 1;
		}
	}
}
