// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/socket.h>

#include "netlink.h"

int netlink_open(int family, struct mnl_socket **out)
{
	_mnl_ struct mnl_socket *nl = mnl_socket_open2(family, SOCK_CLOEXEC);

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	*out = TAKE_PTR(nl);
	return 0;
}

struct nlmsghdr *netlink_dump_request(char *buf, __u16 type)
{
	static unsigned int seq;
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++seq;
	return nlh;
}

int netlink_dump(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	size_t size = 32768; /* what the kernel fills at most in one go */
	_free_ char *buf = malloc(size);
	unsigned int seq = request->nlmsg_seq;
	ssize_t n;
	int ret;

	if (!buf)
		return -ENOMEM;
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(nl, buf, size);
		if (n < 0)
			return -errno;
		ret = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(nl), cb, arg);
		if (ret < 0)
			return -errno;
	} while (ret > MNL_CB_STOP);
	return 0;
}

ssize_t netlink_event(int fd, void *buf, size_t size)
{
	for (;;) {
		struct sockaddr_nl from = {};
		struct iovec iov = { .iov_base = buf, .iov_len = size };
		struct msghdr msg = { .msg_name = &from,
				      .msg_namelen = sizeof(from),
				      .msg_iov = &iov,
				      .msg_iovlen = 1 };
		ssize_t n = recvmsg(fd, &msg, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n > 0 && from.nl_pid) /* only the kernel's word counts */
			continue;
		return msg.msg_flags & MSG_TRUNC ? -ENOBUFS : n;
	}
}
