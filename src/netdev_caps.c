// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "netdev_caps.h"

/* include/uapi/linux/netdev.h, 6.3; not in Debian 12's headers. */
#define NETDEV_FAMILY	      "netdev"
#define NETDEV_CMD_DEV_GET    1
#define NETDEV_A_IFINDEX      1
#define NETDEV_A_XDP_FEATURES 3

/* More features than any kernel has; sizes what is read of them. */
#define FEATURES_MAX 512

/* --- ethtool --- */

static int ask(const struct netdev_caps_reader *r, const char *ifname, void *request)
{
	struct ifreq req = { .ifr_data = request };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", ifname);
	return ioctl(r->fd, SIOCETHTOOL, &req) ? -errno : 0;
}

int netdev_caps_open(struct netdev_caps_reader *r)
{
	*r = (struct netdev_caps_reader){ .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
					  .strips_vlan = -1,
					  .strips_stag = -1,
					  .lro = -1 };
	/* A kernel without IPv4 has ethtool all the same. */
	if (r->fd < 0)
		r->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	return r->fd < 0 ? -errno : 0;
}

void netdev_caps_close(struct netdev_caps_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

/* The names of the features, which are the same for every device. */
static int find_features(struct netdev_caps_reader *r, const char *ifname)
{
	struct {
		struct ethtool_sset_info info;
		__u32 n;
	} count = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES } };
	_free_ struct ethtool_gstrings *names = NULL;
	int err = ask(r, ifname, &count);

	if (err)
		return err;
	if (!count.info.sset_mask || !count.n || count.n > FEATURES_MAX)
		return -EOPNOTSUPP;
	names = calloc(1, sizeof(*names) + (size_t)count.n * ETH_GSTRING_LEN);
	if (!names)
		return -ENOMEM;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = count.n;
	err = ask(r, ifname, names);
	if (err)
		return err;
	for (int i = 0; i < (int)count.n; i++) {
		const char *name = (const char *)names->data + i * ETH_GSTRING_LEN;

		if (!strncmp(name, "rx-vlan-hw-parse", ETH_GSTRING_LEN))
			r->strips_vlan = i;
		else if (!strncmp(name, "rx-vlan-stag-hw-parse", ETH_GSTRING_LEN))
			r->strips_stag = i;
		else if (!strncmp(name, "rx-lro", ETH_GSTRING_LEN))
			r->lro = i;
	}
	r->n_features = count.n;
	return 0;
}

static bool is_on(const struct ethtool_gfeatures *f, int feature)
{
	return feature >= 0 && (__u32)feature / 32 < f->size &&
	       f->features[feature / 32].active >> (feature % 32) & 1;
}

int netdev_caps_read(struct netdev_caps_reader *r, const char *ifname, struct netdev_caps *out)
{
	struct ethtool_drvinfo drv = { .cmd = ETHTOOL_GDRVINFO };
	struct netdev_caps c = {};
	union {
		struct ethtool_gfeatures f;
		char room[sizeof(struct ethtool_gfeatures) +
			  FEATURES_MAX / 32 * sizeof(struct ethtool_get_features_block)];
	} set = { .f = { .cmd = ETHTOOL_GFEATURES } };
	int err = ask(r, ifname, &drv);

	if (!err)
		memcpy(c.driver, drv.driver, sizeof(c.driver) - 1);
	if (!r->n_features && err != -ENODEV)
		err = find_features(r, ifname);
	if (err == -ENODEV || err == -ENOMEM)
		return err;
	set.f.size = (r->n_features + 31) / 32;
	if (r->n_features && !ask(r, ifname, &set.f)) {
		c.strips_vlan = is_on(&set.f, r->strips_vlan);
		c.strips_stag = is_on(&set.f, r->strips_stag);
		c.lro = is_on(&set.f, r->lro);
	}
	*out = c;
	return 0;
}

unsigned int netdev_caps_tx_queues(struct netdev_caps_reader *r, const char *ifname)
{
	struct ethtool_channels ch = { .cmd = ETHTOOL_GCHANNELS };

	return ask(r, ifname, &ch) ? 0 : ch.combined_count + ch.tx_count;
}

/* --- generic netlink --- */

struct family {
	const char *group;
	__u16 id;
	__u32 group_id;
};

static void find_group(const struct nlattr *groups, struct family *f)
{
	const struct nlattr *group, *a;

	mnl_attr_for_each_nested(group, groups)
	{
		const char *name = "";
		__u32 id = 0;

		mnl_attr_for_each_nested(a, group)
		{
			if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_NAME &&
			    !mnl_attr_validate(a, MNL_TYPE_NUL_STRING))
				name = mnl_attr_get_str(a);
			else if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_ID)
				id = mnl_attr_get_u32(a);
		}
		if (!strcmp(name, f->group))
			f->group_id = id;
	}
}

static int family_cb(const struct nlmsghdr *nlh, void *data)
{
	struct family *f = data;
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
			f->id = mnl_attr_get_u16(a);
		else if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GROUPS && f->group)
			find_group(a, f);
	}
	return MNL_CB_OK;
}

int genl_find(struct mnl_socket *nl, const char *family, const char *group, __u16 *id,
	      __u32 *group_id)
{
	char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	struct family f = { .group = group };
	int err;

	nlh->nlmsg_type = GENL_ID_CTRL;
	/* An acknowledgement ends the answer, as the end of a dump does. */
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	genl->cmd = CTRL_CMD_GETFAMILY;
	genl->version = 1;
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, family);
	err = netlink_dump(nl, nlh, family_cb, &f);
	if (err)
		return err;
	if (!f.id || (group && !f.group_id))
		return -ENOENT;
	*id = f.id;
	if (group)
		*group_id = f.group_id;
	return 0;
}

struct each_device {
	void (*call)(int ifindex, __u64 features, void *arg);
	void *arg;
};

static int device_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct each_device *each = data;
	const struct nlattr *a;
	__u64 features = 0;
	int ifindex = 0;

	mnl_attr_for_each(a, nlh, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(a) == NETDEV_A_IFINDEX)
			ifindex = (int)mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == NETDEV_A_XDP_FEATURES)
			features = mnl_attr_get_u64(a);
	}
	each->call(ifindex, features, each->arg);
	return MNL_CB_OK;
}

int xdp_features_read(void (*call)(int ifindex, __u64 features, void *arg), void *arg)
{
	struct each_device each = { call, arg };
	_mnl_ struct mnl_socket *nl = NULL;
	char buf[64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	__u16 id = 0;
	int err = netlink_open(NETLINK_GENERIC, &nl);

	if (!err)
		err = genl_find(nl, NETDEV_FAMILY, NULL, &id, NULL);
	if (err)
		return err;
	nlh->nlmsg_type = id;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 2;
	genl->cmd = NETDEV_CMD_DEV_GET;
	genl->version = 1;
	return netlink_dump(nl, nlh, device_cb, &each);
}
