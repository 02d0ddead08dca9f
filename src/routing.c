// SPDX-License-Identifier: GPL-2.0-only
/* What decides how this host forwards: sysctls, policies, rules, next hops, devices. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <string.h>

#include "netdev_caps.h"
#include "routing.h"

/* A dump that was changed under our hands is taken again this often. */
#define DUMP_TRIES 8

/*
 * Drivers whose ndo_xdp_xmit() uses the queue with the CPU's own number and gives up where there
 * is none (mlx5e_xdp_xmit(), i40e_xdp_xmit()): the frame is lost, and nothing counts it.
 */
static const char *const queue_per_cpu[] = { "mlx5_core", "i40e" };

static void close_reader(struct netdev_caps_reader *r)
{
	netdev_caps_close(r);
}

static int by_ifindex(const void *a, const void *b)
{
	return ((const struct route_if *)a)->ifindex - ((const struct route_if *)b)->ifindex;
}

static struct route_if *find(struct route_if *ifs, size_t n, int ifindex)
{
	struct route_if key = { .ifindex = ifindex };

	return n ? bsearch(&key, ifs, n, sizeof(*ifs), by_ifindex) : NULL;
}

const struct route_if *routing_find(const struct routing *r, int ifindex)
{
	return find(r->ifs, r->n_ifs, ifindex);
}

/* A family or message that the kernel was built without: what it would tell is not there. */
static bool absent(int err)
{
	return err == -EOPNOTSUPP || err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT;
}

/* --- netconf: forwarding, rp_filter --- */

struct netconf_arg {
	struct routing *out;
	int rp_filter_all;
};

static int netconf_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct netconfmsg *msg = mnl_nlmsg_get_payload(nlh);
	int ifindex = 0, forwarding = 0, rp_filter = 0;
	struct netconf_arg *arg = data;
	struct route_if *r;
	const struct nlattr *a;

	if (nlh->nlmsg_type != RTM_NEWNETCONF)
		return MNL_CB_OK;
	mnl_attr_for_each(a, nlh, sizeof(*msg))
	{
		if (mnl_attr_get_payload_len(a) < sizeof(__u32))
			continue;
		switch (mnl_attr_get_type(a)) {
		case NETCONFA_IFINDEX:
			ifindex = (int)mnl_attr_get_u32(a);
			break;
		case NETCONFA_FORWARDING:
			forwarding = (int)mnl_attr_get_u32(a);
			break;
		case NETCONFA_RP_FILTER:
			rp_filter = (int)mnl_attr_get_u32(a);
			break;
		}
	}
	if (ifindex == NETCONFA_IFINDEX_ALL) {
		if (msg->ncm_family == AF_INET)
			arg->rp_filter_all = rp_filter;
		else
			arg->out->forwards6 = forwarding;
	}
	r = find(arg->out->ifs, arg->out->n_ifs, ifindex);
	if (!r)
		return MNL_CB_OK;
	if (msg->ncm_family == AF_INET) {
		r->forwarding4 = forwarding;
		r->rp_filter = (__u8)rp_filter;
	} else {
		r->forwarding6 = forwarding;
	}
	return MNL_CB_OK;
}

static int read_netconf(struct mnl_socket *nl, unsigned char family, struct routing *out)
{
	struct netconf_arg arg = { .out = out };
	char buf[64];
	struct nlmsghdr *nlh = netlink_dump_request(buf, RTM_GETNETCONF);
	struct netconfmsg *msg = mnl_nlmsg_put_extra_header(nlh, sizeof(*msg));
	int err;

	msg->ncm_family = family;
	err = netlink_dump(nl, nlh, netconf_cb, &arg);
	if (absent(err))
		return 0; /* without the protocol nothing of it is forwarded */
	for (size_t i = 0; !err && family == AF_INET && i < out->n_ifs; i++) {
		if (out->ifs[i].rp_filter < arg.rp_filter_all)
			out->ifs[i].rp_filter = (__u8)arg.rp_filter_all;
	}
	return err;
}

/* --- ip rule --- */

static int rule_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(nlh);
	struct routing *out = data;
	const struct nlattr *a;

	if (nlh->nlmsg_type != RTM_NEWRULE)
		return MNL_CB_OK;
	mnl_attr_for_each(a, nlh, sizeof(*rule))
	{
		switch (mnl_attr_get_type(a)) {
		case FRA_FWMARK:
		case FRA_FWMASK:
			out->mark_rules = true;
			break;
		case FRA_IIFNAME:
		case FRA_SPORT_RANGE:
		case FRA_DPORT_RANGE:
			if (rule->family == AF_INET)
				out->input_rules4 = true;
			else
				out->input_rules6 = true;
			break;
		}
	}
	return MNL_CB_OK;
}

static int read_rules(struct mnl_socket *nl, unsigned char family, struct routing *out)
{
	char buf[64];
	struct nlmsghdr *nlh = netlink_dump_request(buf, RTM_GETRULE);
	struct fib_rule_hdr *rule = mnl_nlmsg_put_extra_header(nlh, sizeof(*rule));
	int err;

	rule->family = family;
	err = netlink_dump(nl, nlh, rule_cb, out);
	return absent(err) ? 0 : err;
}

/* --- routes --- */

/*
 * All messages of a dump. A million routes go by here, so no more is looked at than must be; and
 * that the table changed meanwhile (NLM_F_DUMP_INTR) is no reason to begin again: changes are
 * notified.
 */
static int walk(struct mnl_socket *nl, const struct nlmsghdr *request, struct routing *out)
{
	size_t size = 32768; /* what the kernel fills at most in one go */
	_free_ char *buf = malloc(size);

	if (!buf)
		return -ENOMEM;
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl, buf, size);
		const struct nlmsghdr *nlh;
		int left = (int)n;

		if (n < 0)
			return -errno;
		for (nlh = (void *)buf; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_type == NLMSG_DONE)
				return 0;
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

				return e->error;
			}
			routing_add_route(out, nlh);
		}
	}
}

static unsigned int mtu_of(const struct nlattr *metrics)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, metrics)
	{
		if (mnl_attr_get_type(a) == RTAX_MTU && mnl_attr_get_payload_len(a) >= 4)
			return mnl_attr_get_u32(a);
	}
	return 0;
}

static unsigned int smaller(unsigned int a, unsigned int b)
{
	return !a || (b && b < a) ? b : a;
}

void routing_add_route(struct routing *r, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a;
	bool v4, several = false;
	unsigned int mtu = 0;

	if (nlh->nlmsg_type == RTM_NEWNEXTHOP) {
		mnl_attr_for_each(a, nlh, sizeof(struct nhmsg))
		{
			/* Routes of either family may use it: it is taken for both. */
			if (mnl_attr_get_type(a) == NHA_GROUP)
				r->multipath4 = r->multipath6 = true;
		}
		return;
	}
	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) ||
	    rtm->rtm_type != RTN_UNICAST || rtm->rtm_flags & RTM_F_CLONED)
		return;
	v4 = rtm->rtm_family == AF_INET;
	if (!v4 && rtm->rtm_family != AF_INET6)
		return;
	mnl_attr_for_each(a, nlh, sizeof(*rtm))
	{
		if (mnl_attr_get_type(a) == RTA_MULTIPATH)
			several = true;
		else if (mnl_attr_get_type(a) == RTA_METRICS)
			mtu = mtu_of(a);
	}
	if (v4) {
		r->multipath4 |= several;
		r->route_mtu4 = smaller(r->route_mtu4, mtu);
	} else {
		r->multipath6 |= several;
		r->route_mtu6 = smaller(r->route_mtu6, mtu);
	}
}

bool routing_add_routes(struct routing *a, const struct routing *b)
{
	unsigned int mtu4 = smaller(a->route_mtu4, b->route_mtu4);
	unsigned int mtu6 = smaller(a->route_mtu6, b->route_mtu6);
	bool news = (b->multipath4 && !a->multipath4) || (b->multipath6 && !a->multipath6) ||
		    mtu4 != a->route_mtu4 || mtu6 != a->route_mtu6;

	a->multipath4 |= b->multipath4;
	a->multipath6 |= b->multipath6;
	a->route_mtu4 = mtu4;
	a->route_mtu6 = mtu6;
	return news;
}

static int open_strict(struct mnl_socket **nl)
{
	int one = 1, err = netlink_open(NETLINK_ROUTE, nl);

	/* Since 4.20. Without it requests for a part are answered with all, which is as good. */
	if (!err)
		mnl_socket_setsockopt(*nl, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	return err;
}

static int walk_groups(struct routing *out)
{
	_mnl_ struct mnl_socket *nl = NULL;
	char buf[64];
	struct nlmsghdr *nlh = netlink_dump_request(buf, RTM_GETNEXTHOP);
	int err;

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct nhmsg));
	mnl_attr_put(nlh, NHA_GROUPS, 0, NULL);
	err = open_strict(&nl);
	if (!err)
		err = walk(nl, nlh, out);
	return absent(err) ? 0 : err; /* before 5.3 */
}

static int walk_routes(unsigned char family, struct routing *out)
{
	_mnl_ struct mnl_socket *nl = NULL;
	char buf[64];
	struct nlmsghdr *nlh = netlink_dump_request(buf, RTM_GETROUTE);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int err;

	rtm->rtm_family = family;
	rtm->rtm_type = RTN_UNICAST;
	err = open_strict(&nl);
	if (!err)
		err = walk(nl, nlh, out);
	return absent(err) || err == -ENOENT ? 0 : err;
}

int routing_read_routes(struct routing *out)
{
	struct routing r = {};
	int err = walk_groups(&r);

	if (!err)
		err = walk_routes(AF_INET, &r);
	if (!err)
		err = walk_routes(AF_INET6, &r);
	if (err)
		return err;
	out->multipath4 = r.multipath4;
	out->multipath6 = r.multipath6;
	out->route_mtu4 = r.route_mtu4;
	out->route_mtu6 = r.route_mtu6;
	return 0;
}

#define HASH_POLICY4 "/proc/sys/net/ipv4/fib_multipath_hash_policy"
#define HASH_POLICY6 "/proc/sys/net/ipv6/fib_multipath_hash_policy"

/* One small number from /proc/sys; 0 when the kernel has no such thing. */
static int read_sysctl(const char *path)
{
	_free_ char *text = NULL;
	unsigned int v;
	size_t len;

	if (read_file(path, 64, &text, &len))
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return parse_u32(text, 0, 255, &v) ? 0 : (int)v;
}

/* --- IPsec --- */

static int spd_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *a;
	bool *any = data;

	if (nlh->nlmsg_type == XFRM_MSG_NEWSPDINFO) {
		mnl_attr_for_each(a, nlh, sizeof(__u32))
		{
			const struct xfrmu_spdinfo *n = mnl_attr_get_payload(a);

			/* Those of sockets are counted apart. */
			if (mnl_attr_get_type(a) == XFRMA_SPD_INFO &&
			    mnl_attr_get_payload_len(a) >= sizeof(*n))
				*any |= n->incnt || n->outcnt || n->fwdcnt;
		}
	} else if (nlh->nlmsg_type == XFRM_MSG_GETDEFAULT) {
		const struct xfrm_userpolicy_default *d = mnl_nlmsg_get_payload(nlh);

		if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(*d))
			*any |= d->fwd == XFRM_USERPOLICY_BLOCK || d->out == XFRM_USERPOLICY_BLOCK;
	}
	return MNL_CB_OK;
}

static int ask_xfrm(struct mnl_socket *nl, __u16 type, size_t size, bool *any)
{
	char buf[64];
	struct nlmsghdr *nlh = netlink_dump_request(buf, type);

	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	mnl_nlmsg_put_extra_header(nlh, size);
	return netlink_dump(nl, nlh, spd_cb, any);
}

/* Also where nobody may pass without a policy (`ip xfrm policy setdefault`). */
static bool any_policies(void)
{
	_mnl_ struct mnl_socket *nl = NULL;
	bool any = false;
	int err = netlink_open(NETLINK_XFRM, &nl);

	if (absent(err))
		return false;
	if (!err)
		err = ask_xfrm(nl, XFRM_MSG_GETSPDINFO, sizeof(__u32), &any);
	if (err)
		return true;
	err = ask_xfrm(nl, XFRM_MSG_GETDEFAULT, sizeof(struct xfrm_userpolicy_default), &any);
	/* Before 5.15 there is no such default: -EINVAL. */
	return any || (err && err != -EINVAL);
}

/* --- devices --- */

static void take_features(int ifindex, __u64 features, void *arg)
{
	struct routing *out = arg;
	struct route_if *r = find(out->ifs, out->n_ifs, ifindex);

	if (!r)
		return;
	r->xdp_known = true;
	r->xdp_redirect = features & XDP_ACT_REDIRECT;
	r->xdp_out = features & XDP_ACT_NDO_XMIT;
	r->xdp_out_sg = features & XDP_ACT_NDO_XMIT_SG;
}

static bool lacks_queues(struct netdev_caps_reader *reader, const char *driver, const char *ifname)
{
	unsigned int queues;

	for (size_t i = 0; i < ARRAY_SIZE(queue_per_cpu); i++) {
		if (strcmp(driver, queue_per_cpu[i]))
			continue;
		queues = netdev_caps_tx_queues(reader, ifname);
		return queues < (unsigned long)sysconf(_SC_NPROCESSORS_CONF);
	}
	return false;
}

/* Its changes come with those of addresses: the device loses or gains them all. */
static bool disables6(const char *ifname)
{
	char path[64 + IFNAMSIZ];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
	return read_sysctl(path) != 0;
}

static int read_devices(const struct host *host, struct routing *out)
{
	_cleanup_(close_reader) struct netdev_caps_reader reader = { .fd = -1 };
	int err = netdev_caps_open(&reader);

	for (size_t i = 0; !err && i < host->n_ifs; i++) {
		struct route_if *r = &out->ifs[i];
		struct netdev_caps c = {};

		err = netdev_caps_read(&reader, host->ifs[i].name, &c);
		if (err == -ENODEV) /* gone or renamed: the next reading will know */
			err = 0;
		r->strips_vlan = c.strips_vlan;
		r->strips_stag = c.strips_stag;
		r->disabled6 = disables6(host->ifs[i].name);
		r->lro = c.lro;
		memcpy(r->driver, c.driver, sizeof(r->driver));
		r->few_queues = lacks_queues(&reader, c.driver, host->ifs[i].name);
	}
	return err;
}

/* Kernels before 6.3: all that can be found out is whether XDP is there. */
static void read_attached(const struct host *host, struct routing *out)
{
	for (size_t i = 0; i < out->n_ifs; i++) {
		LIBBPF_OPTS(bpf_xdp_query_opts, opts);
		struct route_if *r = &out->ifs[i];

		/* Asked about hardware only, which is what it matters for: it takes a dump. */
		r->xdp_attached = !r->xdp_known && !host->ifs[i].kind[0] && r->driver[0] &&
				  !bpf_xdp_query(r->ifindex, 0, &opts) &&
				  (opts.attach_mode == XDP_ATTACHED_DRV || opts.drv_prog_id);
	}
}

/* --- all of it --- */

static int read_once(const struct host *host, struct routing *out)
{
	_mnl_ struct mnl_socket *nl = NULL;
	int err = netlink_open(NETLINK_ROUTE, &nl);

	out->ifs = calloc(host->n_ifs + 1, sizeof(*out->ifs));
	if (!out->ifs)
		return -ENOMEM;
	out->n_ifs = host->n_ifs;
	for (size_t i = 0; i < host->n_ifs; i++)
		out->ifs[i].ifindex = host->ifs[i].ifindex;
	if (!err)
		err = read_netconf(nl, AF_INET, out);
	if (!err)
		err = read_netconf(nl, AF_INET6, out);
	if (!err)
		err = read_rules(nl, AF_INET, out);
	if (!err)
		err = read_rules(nl, AF_INET6, out);
	if (!err)
		err = xdp_features_read(take_features, out);
	return err == -ENOENT || absent(err) ? 0 : err;
}

int routing_read_most(const struct host *host, struct routing *out)
{
	struct routing r = {};
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < DUMP_TRIES; i++) {
		routing_free(&r);
		err = read_once(host, &r);
	}
	if (!err)
		err = read_devices(host, &r);
	if (err) {
		routing_free(&r);
		return err;
	}
	read_attached(host, &r);
	r.xfrm = any_policies();
	r.hash_policy4 = read_sysctl(HASH_POLICY4);
	r.hash_policy6 = read_sysctl(HASH_POLICY6);
	*out = r;
	return 0;
}

int routing_read(const struct host *host, struct routing *out)
{
	struct routing r;
	int err = routing_read_most(host, &r);

	if (err)
		return err;
	err = routing_read_routes(&r);
	if (err)
		routing_free(&r);
	else
		*out = r;
	return err;
}

bool routing_hash_policy_changed(const struct routing *r)
{
	return r->hash_policy4 != read_sysctl(HASH_POLICY4) ||
	       r->hash_policy6 != read_sysctl(HASH_POLICY6);
}

void routing_free(struct routing *r)
{
	free(r->ifs);
	*r = (struct routing){};
}

static bool same_if(const struct route_if *a, const struct route_if *b)
{
	return a->ifindex == b->ifindex && a->rp_filter == b->rp_filter &&
	       a->forwarding4 == b->forwarding4 && a->forwarding6 == b->forwarding6 &&
	       a->strips_vlan == b->strips_vlan && a->strips_stag == b->strips_stag &&
	       a->disabled6 == b->disabled6 && a->lro == b->lro && a->few_queues == b->few_queues &&
	       !strcmp(a->driver, b->driver) && a->xdp_known == b->xdp_known &&
	       a->xdp_redirect == b->xdp_redirect && a->xdp_out == b->xdp_out &&
	       a->xdp_out_sg == b->xdp_out_sg && a->xdp_attached == b->xdp_attached;
}

bool routing_same(const struct routing *a, const struct routing *b)
{
	if (a->n_ifs != b->n_ifs || a->xfrm != b->xfrm || a->mark_rules != b->mark_rules ||
	    a->input_rules4 != b->input_rules4 || a->input_rules6 != b->input_rules6 ||
	    a->forwards6 != b->forwards6 || a->multipath4 != b->multipath4 ||
	    a->multipath6 != b->multipath6 || a->route_mtu4 != b->route_mtu4 ||
	    a->route_mtu6 != b->route_mtu6 || a->hash_policy4 != b->hash_policy4 ||
	    a->hash_policy6 != b->hash_policy6)
		return false;
	for (size_t i = 0; i < a->n_ifs; i++) {
		if (!same_if(&a->ifs[i], &b->ifs[i]))
			return false;
	}
	return true;
}
