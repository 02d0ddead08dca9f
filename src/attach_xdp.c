// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "attach_xdp.h"
#include "log.h"
#include "netlink.h"

int attach_xdp(int ifindex, int prog_fd)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	int fd = bpf_link_create(prog_fd, ifindex, BPF_XDP, &opts);

	return fd < 0 ? -errno : fd;
}

/* "Device foo: MTU too large" behind the errno of a refusal; "" when there are no words. */
static void words_of(const struct nlmsghdr *nlh, char *out, size_t size)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	size_t skip = sizeof(*e);
	const struct nlattr *a;

	*out = '\0';
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += e->msg.nlmsg_len - sizeof(e->msg);
	mnl_attr_for_each(a, nlh, MNL_ALIGN(skip))
	{
		if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG)
			snprintf(out, size, "%.*s", (int)mnl_attr_get_payload_len(a),
				 (const char *)mnl_attr_get_payload(a));
	}
}

/* RTM_SETLINK with our program. 0: it is attached now; or -errno, with the kernel's words. */
static int ask_rtnetlink(int ifindex, int prog_fd, char *words, size_t size)
{
	char buf[4096] __attribute__((aligned(8)));
	_mnl_ struct mnl_socket *nl = NULL;
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifm;
	struct nlattr *xdp;
	const struct nlmsgerr *e;
	int one = 1, err;
	ssize_t n;

	nlh->nlmsg_type = RTM_SETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	ifm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifm));
	ifm->ifi_family = AF_UNSPEC;
	ifm->ifi_index = ifindex;
	xdp = mnl_attr_nest_start(nlh, IFLA_XDP);
	mnl_attr_put_u32(nlh, IFLA_XDP_FD, (uint32_t)prog_fd);
	mnl_attr_put_u32(nlh, IFLA_XDP_FLAGS, XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST);
	mnl_attr_nest_end(nlh, xdp);

	err = netlink_open(NETLINK_ROUTE, &nl);
	if (err)
		return err;
	if (mnl_socket_setsockopt(nl, NETLINK_EXT_ACK, &one, sizeof(one)) ||
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	nlh = (struct nlmsghdr *)buf;
	if (!mnl_nlmsg_ok(nlh, (int)n) || nlh->nlmsg_type != NLMSG_ERROR ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
		return -EPROTO;
	words_of(nlh, words, size);
	e = mnl_nlmsg_get_payload(nlh);
	return e->error;
}

void attach_xdp_why(int ifindex, int prog_fd, int err, char *why, size_t size)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, ours, .old_prog_fd = prog_fd);
	char words[128] = "";

	if (err == -EBUSY) {
		snprintf(why, size, "another XDP program is attached");
		return;
	}
	if (err != -ENODEV && !ask_rtnetlink(ifindex, prog_fd, words, sizeof(words))) {
		int left = bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE, &ours);

		if (left)
			log_warn("device %d: cannot take back an XDP program: %s", ifindex,
				 strerror(-left));
		words[0] = '\0';
	}
	snprintf(why, size, "XDP refused: %s", words[0] ? words : strerror(-err));
}
