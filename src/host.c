// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

#include "host.h"
#include "netlink.h"

/* A dump that was changed under our hands is taken again this often. */
#define DUMP_TRIES 8

/* --- parsing --- */

static int get_attr(const struct nlattr *attr, void *data)
{
	const struct nlattr **tb = data;

	/* The kernel's own attributes; what a newer kernel adds beyond the table is not needed. */
	if (mnl_attr_get_type(attr) <= IFLA_MAX)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static void copy_name(char *out, size_t size, const struct nlattr *attr)
{
	snprintf(out, size, "%.*s", (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
}

static void parse_vlan(const struct nlattr *data, struct host_if *h)
{
	const struct nlattr *vlan[IFLA_MAX + 1] = {};

	mnl_attr_parse_nested(data, get_attr, vlan);
	if (vlan[IFLA_VLAN_ID])
		h->vid = mnl_attr_get_u16(vlan[IFLA_VLAN_ID]);
	if (vlan[IFLA_VLAN_PROTOCOL])
		h->vlan_proto = ntohs(mnl_attr_get_u16(vlan[IFLA_VLAN_PROTOCOL]));
	/* Priorities that map to 0, which is what unmapped ones get too, are entries all the same.
	 */
	if (vlan[IFLA_VLAN_EGRESS_QOS])
		h->vlan_qos_out = mnl_attr_get_payload_len(vlan[IFLA_VLAN_EGRESS_QOS]) > 0;
}

static void parse_linkinfo(const struct nlattr *info, struct host_if *h)
{
	const struct nlattr *tb[IFLA_MAX + 1] = {}, *vrf[IFLA_MAX + 1] = {};

	mnl_attr_parse_nested(info, get_attr, tb);
	if (tb[IFLA_INFO_KIND])
		copy_name(h->kind, sizeof(h->kind), tb[IFLA_INFO_KIND]);
	if (!tb[IFLA_INFO_DATA])
		return;
	if (!strcmp(h->kind, "vlan")) {
		parse_vlan(tb[IFLA_INFO_DATA], h);
	} else if (!strcmp(h->kind, "vrf")) {
		mnl_attr_parse_nested(tb[IFLA_INFO_DATA], get_attr, vrf);
		if (vrf[IFLA_VRF_TABLE])
			h->vrf_table = mnl_attr_get_u32(vrf[IFLA_VRF_TABLE]);
	}
}

static int link_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_MAX + 1] = {};
	struct host *out = data;
	struct host_if h = { .ifindex = ifi->ifi_index,
			     .flags = ifi->ifi_flags,
			     .type = ifi->ifi_type };

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(*ifi), get_attr, tb);
	if (!tb[IFLA_IFNAME])
		return MNL_CB_OK;
	copy_name(h.name, sizeof(h.name), tb[IFLA_IFNAME]);
	if (tb[IFLA_ADDRESS] && mnl_attr_get_payload_len(tb[IFLA_ADDRESS]) == sizeof(h.mac))
		memcpy(h.mac, mnl_attr_get_payload(tb[IFLA_ADDRESS]), sizeof(h.mac));
	if (tb[IFLA_MTU])
		h.mtu = mnl_attr_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_MASTER])
		h.master = (int)mnl_attr_get_u32(tb[IFLA_MASTER]);
	if (tb[IFLA_LINKINFO])
		parse_linkinfo(tb[IFLA_LINKINFO], &h);
	/*
	 * IFLA_LINK is the lower device, unless it lies in another namespace, is the device
	 * itself (tunnels) or, of a veth, the other end.
	 */
	if (tb[IFLA_LINK] && !tb[IFLA_LINK_NETNSID] && strcmp(h.kind, "veth"))
		h.parent = (int)mnl_attr_get_u32(tb[IFLA_LINK]);
	if (h.parent == h.ifindex)
		h.parent = 0;
	if (ARRAY_RESERVE(out->ifs, out->cap_ifs, out->n_ifs + 1)) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	out->ifs[out->n_ifs++] = h;
	return MNL_CB_OK;
}

static __u64 be64_at(const unsigned char *p)
{
	__u64 v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static int add4(struct prefix_list *l, __u32 addr, __u8 len)
{
	if (ARRAY_RESERVE(l->v4, l->cap4, l->n4 + 1))
		return -ENOMEM;
	l->v4[l->n4++] = (struct prefix4){ .addr = addr, .len = len };
	return 0;
}

static int add6(struct prefix_list *l, __u64 hi, __u64 lo, __u8 len)
{
	if (ARRAY_RESERVE(l->v6, l->cap6, l->n6 + 1))
		return -ENOMEM;
	l->v6[l->n6++] = (struct prefix6){ .hi = hi, .lo = lo, .len = len };
	return 0;
}

static const unsigned char delivered[] = { RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST };

static bool delivered_here(unsigned char type)
{
	for (size_t i = 0; i < ARRAY_SIZE(delivered); i++) {
		if (delivered[i] == type)
			return true;
	}
	return false;
}

static bool follows_table(const struct host *h, unsigned int table)
{
	for (size_t i = 0; i < h->n_ifs; i++) {
		if (h->ifs[i].vrf_table == table)
			return table;
	}
	return table == RT_TABLE_LOCAL;
}

static unsigned int table_of(const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_MAX + 1] = {};

	mnl_attr_parse(nlh, sizeof(*rtm), get_attr, tb);
	return tb[RTA_TABLE] ? mnl_attr_get_u32(tb[RTA_TABLE]) : rtm->rtm_table;
}

static int route_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_MAX + 1] = {};
	unsigned char addr[16] = {};
	struct host *out = data;
	size_t len;
	int err;

	if (nlh->nlmsg_type != RTM_NEWROUTE || !delivered_here(rtm->rtm_type))
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(*rtm), get_attr, tb);
	if (!follows_table(out, table_of(nlh)) || (rtm->rtm_flags & RTM_F_CLONED))
		return MNL_CB_OK;
	len = rtm->rtm_family == AF_INET ? 4 : 16;
	/* No RTA_DST: the prefix of length 0. */
	if (tb[RTA_DST]) {
		if (mnl_attr_get_payload_len(tb[RTA_DST]) != len)
			return MNL_CB_OK;
		memcpy(addr, mnl_attr_get_payload(tb[RTA_DST]), len);
	}
	if (rtm->rtm_family == AF_INET)
		err = add4(&out->local, (__u32)(be64_at(addr) >> 32), rtm->rtm_dst_len);
	else
		err = add6(&out->local, be64_at(addr), be64_at(addr + 8), rtm->rtm_dst_len);
	if (err) {
		errno = -err;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

/* --- dumps --- */

static int dump_links(struct mnl_socket *nl, struct host *out)
{
	char buf[256];
	struct nlmsghdr *nlh = netlink_dump_request(buf, RTM_GETLINK);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return netlink_dump(nl, nlh, link_cb, out);
}

/*
 * Routes of one table and, unless 0, one type. With strict checking the kernel filters: a router's
 * main table, or a VRF's, may hold a million routes.
 */
static int dump_table(struct mnl_socket *nl, unsigned char family, unsigned int table,
		      unsigned char type, mnl_cb_t cb, void *arg)
{
	char buf[256];
	struct nlmsghdr *nlh = netlink_dump_request(buf, RTM_GETROUTE);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int err;

	rtm->rtm_family = family;
	rtm->rtm_type = type;
	if (table < 256)
		rtm->rtm_table = (unsigned char)table;
	else
		mnl_attr_put_u32(nlh, RTA_TABLE, table);
	err = netlink_dump(nl, nlh, cb, arg);
	/* No such table: no address of the family yet, or the family is switched off. */
	return err == -ENOENT || err == -EOPNOTSUPP || err == -EAFNOSUPPORT ? 0 : err;
}

static int dump_vrf(struct mnl_socket *nl, unsigned char family, unsigned int table,
		    struct host *out)
{
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(delivered); i++)
		err = dump_table(nl, family, table, delivered[i], route_cb, out);
	return err;
}

/* Is it a VRF whose table no VRF before it has? (The local one, too, may be a VRF's.) */
static bool brings_table(const struct host *h, size_t i)
{
	unsigned int table = h->ifs[i].vrf_table;

	for (size_t k = 0; k < i; k++) {
		if (h->ifs[k].vrf_table == table)
			return false;
	}
	return table && table != RT_TABLE_LOCAL;
}

static int dump_local(struct mnl_socket *nl, unsigned char family, struct host *out)
{
	int err = dump_table(nl, family, RT_TABLE_LOCAL, 0, route_cb, out);

	for (size_t i = 0; !err && i < out->n_ifs; i++) {
		if (brings_table(out, i))
			err = dump_vrf(nl, family, out->ifs[i].vrf_table, out);
	}
	return err;
}

/* --- order --- */

static int cmp4(const void *pa, const void *pb)
{
	const struct prefix4 *a = pa, *b = pb;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (int)a->len - (int)b->len;
}

static int cmp6(const void *pa, const void *pb)
{
	const struct prefix6 *a = pa, *b = pb;

	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return (int)a->len - (int)b->len;
}

static int cmp_if(const void *a, const void *b)
{
	return ((const struct host_if *)a)->ifindex - ((const struct host_if *)b)->ifindex;
}

static size_t unique(void *v, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	char *base = v;
	size_t kept = 0;

	if (!n)
		return 0;
	qsort(v, n, size, cmp);
	for (size_t i = 1; i < n; i++) {
		if (!cmp(base + kept * size, base + i * size))
			continue;
		kept++;
		memmove(base + kept * size, base + i * size, size);
	}
	return kept + 1;
}

static int add_always_local(struct prefix_list *l)
{
	if (add4(l, 0x7f000000, 8) || add4(l, 0xe0000000, 4) || add4(l, 0xffffffff, 32) ||
	    add6(l, 0, 1, 128) || add6(l, 0xff00ULL << 48, 0, 8))
		return -ENOMEM;
	return 0;
}

static int read_once(struct host *out)
{
	_mnl_ struct mnl_socket *nl = NULL;
	int one = 1, err = netlink_open(NETLINK_ROUTE, &nl);

	if (err)
		return err;
	/* Since 4.20. Without it the kernel ignores table and type, and route_cb does the
	 * filtering.
	 */
	mnl_socket_setsockopt(nl, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	err = dump_links(nl, out);
	if (!err)
		err = dump_local(nl, AF_INET, out);
	if (!err)
		err = dump_local(nl, AF_INET6, out);
	if (!err)
		err = add_always_local(&out->local);
	return err;
}

int host_read(struct host *out)
{
	struct host h = {};
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < DUMP_TRIES; i++) {
		host_free(&h);
		err = read_once(&h);
	}
	if (err) {
		host_free(&h);
		return err;
	}
	h.n_ifs = unique(h.ifs, h.n_ifs, sizeof(*h.ifs), cmp_if);
	h.local.n4 = unique(h.local.v4, h.local.n4, sizeof(*h.local.v4), cmp4);
	h.local.n6 = unique(h.local.v6, h.local.n6, sizeof(*h.local.v6), cmp6);
	*out = h;
	return 0;
}

void host_free(struct host *h)
{
	free(h->ifs);
	free(h->local.v4);
	free(h->local.v6);
	*h = (struct host){};
}

const struct host_if *host_find(const struct host *h, int ifindex)
{
	struct host_if key = { .ifindex = ifindex };

	if (!h->n_ifs)
		return NULL;
	return bsearch(&key, h->ifs, h->n_ifs, sizeof(*h->ifs), cmp_if);
}

static bool same_if(const struct host_if *a, const struct host_if *b)
{
	return a->ifindex == b->ifindex && !strcmp(a->name, b->name) && a->flags == b->flags &&
	       a->type == b->type && a->master == b->master && a->parent == b->parent &&
	       a->vid == b->vid && !strcmp(a->kind, b->kind) && a->mtu == b->mtu &&
	       !memcmp(a->mac, b->mac, sizeof(a->mac)) && a->vlan_proto == b->vlan_proto &&
	       a->vlan_qos_out == b->vlan_qos_out && a->vrf_table == b->vrf_table;
}

bool host_has_vrf(const struct host *h)
{
	for (size_t i = 0; i < h->n_ifs; i++) {
		if (h->ifs[i].vrf_table)
			return true;
	}
	return false;
}

bool host_same_interfaces(const struct host *a, const struct host *b)
{
	if (a->n_ifs != b->n_ifs)
		return false;
	for (size_t i = 0; i < a->n_ifs; i++) {
		if (!same_if(&a->ifs[i], &b->ifs[i]))
			return false;
	}
	return true;
}

bool host_same_local(const struct host *a, const struct host *b)
{
	const struct prefix_list *x = &a->local, *y = &b->local;

	if (x->n4 != y->n4 || x->n6 != y->n6)
		return false;
	for (size_t i = 0; i < x->n4; i++) {
		if (cmp4(&x->v4[i], &y->v4[i]))
			return false;
	}
	for (size_t i = 0; i < x->n6; i++) {
		if (cmp6(&x->v6[i], &y->v6[i]))
			return false;
	}
	return true;
}

bool host_is_local(const struct host *h, bool v6, __u64 hi, __u64 lo)
{
	const struct prefix_list *l = &h->local;

	for (size_t i = 0; !v6 && i < l->n4; i++) {
		__u32 differ = l->v4[i].addr ^ (__u32)lo;

		if (!l->v4[i].len || !(differ >> (32 - l->v4[i].len)))
			return true;
	}
	for (size_t i = 0; v6 && i < l->n6; i++) {
		const struct prefix6 *p = &l->v6[i];
		__u64 differ_hi = p->hi ^ hi, differ_lo = p->lo ^ lo;

		if (!p->len || (p->len <= 64 && !(differ_hi >> (64 - p->len))))
			return true;
		if (p->len > 64 && !differ_hi && !(differ_lo >> (128 - p->len)))
			return true;
	}
	return false;
}

/* What host_proxy_table() looks for. */
struct proxy_search {
	const struct host *host;
	unsigned int table; /* 0: not found yet */
};

static int proxy_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct proxy_search *s = data;
	unsigned int table;

	if (nlh->nlmsg_type != RTM_NEWROUTE || rtm->rtm_type != RTN_LOCAL ||
	    rtm->rtm_flags & RTM_F_CLONED)
		return MNL_CB_OK;
	table = table_of(nlh);
	if (follows_table(s->host, table))
		return MNL_CB_OK;
	s->table = table;
	return MNL_CB_STOP;
}

int host_proxy_table(const struct host *h, unsigned int *table)
{
	static const unsigned char families[] = { AF_INET, AF_INET6 };
	struct proxy_search search = { .host = h };
	int err = 0;

	for (size_t i = 0; !err && !search.table && i < ARRAY_SIZE(families); i++) {
		_mnl_ struct mnl_socket *nl = NULL; /* one each: the rest of a dump is not read */
		int one = 1;

		err = netlink_open(NETLINK_ROUTE, &nl);
		if (err)
			break;
		mnl_socket_setsockopt(nl, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
		err = dump_table(nl, families[i], RT_TABLE_UNSPEC, RTN_LOCAL, proxy_cb, &search);
	}
	*table = search.table;
	return err ? err : search.table != 0;
}

static int oif_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *tb[IFLA_MAX + 1] = {};

	mnl_attr_parse(nlh, sizeof(struct rtmsg), get_attr, tb);
	if (tb[RTA_OIF])
		*(int *)data = (int)mnl_attr_get_u32(tb[RTA_OIF]);
	return MNL_CB_STOP;
}

int host_route_dev(bool v6, __u64 hi, __u64 lo)
{
	_mnl_ struct mnl_socket *nl = NULL;
	unsigned char addr[16];
	char buf[8192];
	struct nlmsghdr *nlh;
	struct rtmsg *rtm;
	int dev = 0, err = netlink_open(NETLINK_ROUTE, &nl);
	ssize_t n;

	if (err)
		return err;
	for (int i = 0; i < 8; i++) {
		addr[i] = (unsigned char)(hi >> (56 - 8 * i));
		addr[8 + i] = (unsigned char)(lo >> (56 - 8 * i));
	}
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = v6 ? AF_INET6 : AF_INET;
	rtm->rtm_dst_len = v6 ? 128 : 32;
	mnl_attr_put(nlh, RTA_DST, v6 ? 16 : 4, v6 ? addr : addr + 12);
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	if (n < 0 || mnl_cb_run(buf, (size_t)n, 0, 0, oif_cb, &dev) < 0)
		return -errno;
	return dev ? dev : -ENOENT;
}
