// SPDX-License-Identifier: GPL-2.0-only
/* Notifications of what routing_read() reads. */
#include <errno.h>
#include <linux/ethtool_netlink.h>
#include <linux/filter.h>
#include <linux/genetlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "netdev_caps.h"
#include "netlink.h"
#include "routing.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

#define POLICY_SECONDS 10

enum {
	W_ROUTE,
	W_XFRM,
	W_GENERIC,
	W_TIMER, /* for the hash policies, which notify nobody */
	W_MAX
};

struct routing_watch {
	int epfd;
	int fd[W_MAX];	     /* -1: this kernel has no such family */
	__u16 ethtool;	     /* number of the generic netlink family; 0: there is none */
	bool looked;	     /* what `seen` says of routes is right, but for what is still unread */
	struct routing seen; /* of routes there are, or were, and the hash policies; no devices */
};

/*
 * A full BGP feed is a message per route. Let through of them only those with several next hops or
 * metrics, before they take room in the socket's buffer. Those by nexthop id say so by their group.
 * BPF loads are big-endian, netlink headers are not: hence htons(). SKF_AD_NLATTR looks for
 * attribute X from offset A on.
 */
static int skip_plain_routes(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 9, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 0, 9),
		BPF_STMT(BPF_LD | BPF_IMM, NLMSG_HDRLEN + sizeof(struct rtmsg)),
		BPF_STMT(BPF_LDX | BPF_IMM, RTA_MULTIPATH),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)SKF_AD_OFF + SKF_AD_NLATTR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 5),
		BPF_STMT(BPF_LD | BPF_IMM, NLMSG_HDRLEN + sizeof(struct rtmsg)),
		BPF_STMT(BPF_LDX | BPF_IMM, RTA_METRICS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)SKF_AD_OFF + SKF_AD_NLATTR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ? -errno : 0;
}

static int join(int fd, __u32 group)
{
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) ? -errno
											  : 0;
}

static int open_socket(int family)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family);
	int size = 1 << 20;

	if (fd < 0)
		return -errno;
	/* A bigger buffer is a courtesy: losing messages is noticed and costs one reading. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	return TAKE_FD(fd);
}

static int open_route(void)
{
	static const __u32 groups[] = { RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF,
					RTNLGRP_IPV4_RULE,    RTNLGRP_IPV6_RULE,
					RTNLGRP_IPV4_ROUTE,   RTNLGRP_IPV6_ROUTE };
	_close_ int fd = open_socket(NETLINK_ROUTE);
	int err = fd < 0 ? fd : skip_plain_routes(fd);

	for (size_t i = 0; !err && i < ARRAY_SIZE(groups); i++)
		err = join(fd, groups[i]);
	if (err)
		return err;
	join(fd, RTNLGRP_NEXTHOP); /* 5.3 */
	return TAKE_FD(fd);
}

static int open_xfrm(void)
{
	_close_ int fd = open_socket(NETLINK_XFRM);
	int err = fd < 0 ? fd : join(fd, XFRMNLGRP_POLICY);

	return err ? err : TAKE_FD(fd);
}

/* Families that are not there have nothing to tell. */
static int open_generic(__u16 *ethtool)
{
	_mnl_ struct mnl_socket *nl = NULL;
	_close_ int fd = open_socket(NETLINK_GENERIC);
	__u32 group;
	__u16 id;
	int err = fd < 0 ? fd : netlink_open(NETLINK_GENERIC, &nl);

	if (err)
		return err;
	err = genl_find(nl, "netdev", "mgmt", &id, &group);
	if (!err)
		err = join(fd, group);
	if (err && err != -ENOENT)
		return err;
	err = genl_find(nl, ETHTOOL_GENL_NAME, ETHTOOL_MCGRP_MONITOR_NAME, &id, &group);
	if (!err)
		err = join(fd, group);
	if (!err)
		*ethtool = id;
	return err && err != -ENOENT ? err : TAKE_FD(fd);
}

static int open_timer(void)
{
	const struct itimerspec every = { { POLICY_SECONDS, 0 }, { POLICY_SECONDS, 0 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	timerfd_settime(fd, 0, &every, NULL);
	return fd;
}

int routing_watch_open(struct routing_watch **out)
{
	struct routing_watch *w = calloc(1, sizeof(*w));
	int err = 0;

	if (!w)
		return -ENOMEM;
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epfd < 0)
		err = -errno;
	w->fd[W_ROUTE] = open_route();
	w->fd[W_XFRM] = open_xfrm();
	w->fd[W_GENERIC] = open_generic(&w->ethtool);
	w->fd[W_TIMER] = open_timer();
	for (int i = 0; i < W_MAX; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.u32 = (__u32)i };

		if (w->fd[i] == -EPROTONOSUPPORT && i != W_ROUTE)
			continue;
		if (!err && w->fd[i] < 0)
			err = w->fd[i];
		if (!err && epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd[i], &ev))
			err = -errno;
	}
	if (err) {
		routing_watch_close(w);
		return err;
	}
	*out = w;
	return 0;
}

int routing_watch_fd(const struct routing_watch *w)
{
	return w->epfd;
}

void routing_watch_close(struct routing_watch *w)
{
	if (!w)
		return;
	for (int i = 0; i < W_MAX; i++) {
		if (w->fd[i] >= 0)
			close(w->fd[i]);
	}
	if (w->epfd >= 0)
		close(w->epfd);
	free(w);
}

int routing_watch_read(struct routing_watch *w, const struct host *host, struct routing *out)
{
	struct routing r;
	int err = routing_read_most(host, &r);

	if (err)
		return err;
	if (!w->looked) {
		struct routing now = {};

		err = routing_read_routes(&now);
		if (err) {
			routing_free(&r);
			return err;
		}
		routing_add_routes(&w->seen, &now);
		w->looked = true;
	}
	routing_add_routes(&r, &w->seen);
	w->seen.hash_policy4 = r.hash_policy4;
	w->seen.hash_policy6 = r.hash_policy6;
	*out = r;
	return 0;
}

static bool route_concerns_us(struct routing_watch *w, const struct nlmsghdr *nlh)
{
	struct routing more = {};

	switch (nlh->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_NEWNEXTHOP:
		routing_add_route(&more, nlh);
		return routing_add_routes(&w->seen, &more);
	case RTM_DELROUTE:
	case RTM_DELNEXTHOP:
		return false;
	}
	return true; /* netconf, rules */
}

static bool generic_concerns_us(const struct routing_watch *w, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);

	/* ethtool tells everything by one group; of netdev there is only what we want. */
	return nlh->nlmsg_type != w->ethtool || mnl_nlmsg_get_payload_len(nlh) < sizeof(*genl) ||
	       genl->cmd == ETHTOOL_MSG_FEATURES_NTF || genl->cmd == ETHTOOL_MSG_CHANNELS_NTF;
}

static int drain(struct routing_watch *w, int which)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	int found = 0;

	for (;;) {
		ssize_t n = netlink_event(w->fd[which], buf, sizeof(buf));
		const struct nlmsghdr *nlh;
		int left = (int)n;

		if (n == 0)
			return found;
		if (n == -ENOBUFS) {
			w->looked = false;
			found = 1;
			continue;
		}
		if (n < 0)
			return (int)n;
		for (nlh = (void *)buf; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (which == W_XFRM || (which == W_ROUTE && route_concerns_us(w, nlh)) ||
			    (which == W_GENERIC && generic_concerns_us(w, nlh)))
				found = 1;
		}
	}
}

int routing_watch_drain(struct routing_watch *w)
{
	__u64 ticks;
	int found = 0;

	if (read(w->fd[W_TIMER], &ticks, sizeof(ticks)) > 0)
		found = routing_hash_policy_changed(&w->seen);
	for (int i = 0; i < W_TIMER; i++) {
		int r = w->fd[i] < 0 ? 0 : drain(w, i);

		if (r < 0)
			return r;
		found |= r;
	}
	return found;
}
