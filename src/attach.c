// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach.h"
#include "ctbypass/abi.h"
#include "netlink.h"
#include "nft.h"

#define F_BEFORE (1U << 3) /* likewise: BPF_F_BEFORE */

int attach_tcx(int ifindex, int prog_fd)
{
	/* BPF_F_BEFORE without a relative program: the head (kernel/bpf/mprog.c). */
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = F_BEFORE);
	int fd = bpf_link_create(prog_fd, ifindex, TCX_INGRESS, &opts);

	return fd < 0 ? -errno : fd;
}

int attach_clsact(int ifindex, int prog_fd, bool *created)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY,
		    .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
	int err = bpf_tc_hook_create(&hook);
	bool made = !err;

	if (err && err != -EEXIST)
		return err;
	err = bpf_tc_attach(&hook, &opts);
	if (err && made) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&hook);
	}
	if (!err && made)
		*created = true;
	return err;
}

bool has_clsact(int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);

	return !bpf_tc_query(&hook, &opts);
}

static int count_filter(const struct nlmsghdr *nlh, void *data)
{
	size_t *n = data;

	if (nlh->nlmsg_type == RTM_NEWTFILTER)
		(*n)++;
	return MNL_CB_OK;
}

/* Filters on one side of a device's clsact qdisc, whoever made them. -errno on failure. */
static int count_filters(int ifindex, __u32 parent, size_t *n)
{
	char buf[MNL_NLMSG_HDRLEN + 64] __attribute__((aligned(8)));
	_mnl_ struct mnl_socket *nl = NULL;
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct tcmsg *tc;
	int err;

	nlh->nlmsg_type = RTM_GETTFILTER;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 1;
	tc = mnl_nlmsg_put_extra_header(nlh, sizeof(*tc));
	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = ifindex;
	tc->tcm_parent = parent;
	err = netlink_open(NETLINK_ROUTE, &nl);
	return err ? err : netlink_dump(nl, nlh, count_filter, n);
}

int detach_clsact(int ifindex, bool remove_qdisc)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
	size_t others = 0;
	int err = bpf_tc_detach(&hook, &opts);

	if (err == -ENODEV || err == -EINVAL || err == -ENOENT)
		err = 0; /* the device, the qdisc or the filter is gone already */
	if (err || !remove_qdisc)
		return err;
	if (count_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), &others) ||
	    count_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), &others) || others)
		return 0;
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	err = bpf_tc_hook_destroy(&hook);
	return err == -ENODEV || err == -ENOENT || err == -EINVAL ? 0 : err;
}

/*
 * Debian 12's header and library know no netfilter links: union bpf_attr, link_create.netfilter
 * (include/uapi/linux/bpf.h, 6.4).
 */
struct netfilter_link {
	__u32 prog_fd, target_fd, attach_type, flags;
	__u32 pf, hooknum;
	__s32 priority;
	__u32 netfilter_flags;
};

#define PRI_CONNTRACK (-200) /* NF_IP_PRI_CONNTRACK and NF_IP6_PRI_CONNTRACK */

static int try_output(int family, int prog_fd, int priority)
{
	struct netfilter_link l = {
		.prog_fd = (__u32)prog_fd,
		.attach_type = CTB_ATTACH_NETFILTER,
		.pf = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = priority,
	};
	long fd;

	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &l, sizeof(l));
	return fd < 0 ? -errno : (int)fd;
}

/* nf_hook_entries_grow() wants a priority that no other hook has there. */
int attach_output(int family, int prog_fd)
{
	int fd = -EBUSY;

	for (int p = HOOK_PRIORITY; fd == -EBUSY && p < PRI_CONNTRACK; p++)
		fd = try_output(family, prog_fd, p);
	return fd;
}
