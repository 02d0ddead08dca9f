// SPDX-License-Identifier: GPL-2.0-only
/* Was our table touched? nfnetlink tells. */
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <libmnl/libmnl.h>

#include "nft.h"

static int membership(int fd, int what)
{
	int group = NFNLGRP_NFTABLES;

	return setsockopt(fd, SOL_NETLINK, what, &group, sizeof(group)) ? -errno : 0;
}

void nft_watch_pause(int fd)
{
	membership(fd, NETLINK_DROP_MEMBERSHIP);
}

int nft_watch_resume(int fd)
{
	return membership(fd, NETLINK_ADD_MEMBERSHIP);
}

int nft_watch_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
				NETLINK_NETFILTER);
	int err;

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	err = nft_watch_resume(fd);
	return err ? err : TAKE_FD(fd);
}

static int table_attr(const struct nlattr *attr, void *data)
{
	bool *ours = data;

	/* Attribute 1 is the table's name in every kind of message (NFTA_*_TABLE). */
	if (mnl_attr_get_type(attr) != NFTA_TABLE_NAME)
		return MNL_CB_OK;
	if (!mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) &&
	    !strcmp(mnl_attr_get_str(attr), NFT_TABLE))
		*ours = true;
	return MNL_CB_STOP;
}

static bool concerns_us(const struct nlmsghdr *nlh)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	bool ours = false;

	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*nfg)) ||
	    (nlh->nlmsg_type & 0xff) == NFT_MSG_NEWGEN || nfg->nfgen_family != NFPROTO_INET)
		return false;
	mnl_attr_parse(nlh, sizeof(*nfg), table_attr, &ours);
	return ours;
}

int nft_watch_drain(int fd)
{
	char buf[32768] __attribute__((aligned(8)));
	int touched = 0;

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN)
				return touched;
			if (errno != ENOBUFS)
				return -errno;
			touched = 1; /* messages were lost: anything may have happened */
			continue;
		}
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (concerns_us(nlh))
				touched = 1;
		}
	}
}
