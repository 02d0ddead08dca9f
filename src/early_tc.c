// SPDX-License-Identifier: GPL-2.0-only
/* tc filters behind our program that write the mark: `matchall action skbedit mark`. */
#include <errno.h>
#include <string.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_skbedit.h>

#include "attach.h"
#include "datapath.h"
#include "early_rules.h"
#include "netlink.h"
#include "nft_attr.h"

struct tc_search {
	const struct host *host;
	const struct ruleset *rs;
	int *devices; /* that have a qdisc at ingress */
	size_t n, cap;
	int err;
	/* Of one device: the filter that comes first. */
	__u32 mark, first; /* the bit; the priority */
	bool harms;
};

/* The actions of a matchall filter: do they take the bit away? */
static bool loses(const struct nlattr *actions, __u32 bit)
{
	const struct nlattr *a;
	bool lost = false;

	mnl_attr_for_each_nested(a, actions)
	{
		struct attrs act = {}, o;
		__u32 mark, mask = ~0U;

		mnl_attr_parse_nested(a, attr_store, &act);
		o = attr_nested(&act, TCA_ACT_OPTIONS);
		if (strcmp(attr_string(&act, TCA_ACT_KIND), "skbedit") || !o.a[TCA_SKBEDIT_MARK])
			continue;
		mark = mnl_attr_get_u32(o.a[TCA_SKBEDIT_MARK]);
		if (o.a[TCA_SKBEDIT_MASK])
			mask = mnl_attr_get_u32(o.a[TCA_SKBEDIT_MASK]);
		lost = (lost || mask & bit) && !(mask & mark & bit);
	}
	return lost;
}

static int filter_message(const struct nlmsghdr *nlh, void *data)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(nlh);
	__u32 priority = tc->tcm_info >> 16;
	__be16 protocol = (__be16)tc->tcm_info;
	struct tc_search *s = data;
	struct attrs t = {}, o;

	mnl_attr_parse(nlh, sizeof(*tc), attr_store, &t);
	/* Of each filter there is one message for its kind as a whole, without a handle. */
	if (!tc->tcm_handle || !t.a[TCA_OPTIONS] ||
	    (t.a[TCA_CHAIN] && mnl_attr_get_u32(t.a[TCA_CHAIN])) ||
	    (tc->tcm_handle == FILTER_HANDLE && priority == FILTER_PRIORITY) ||
	    (protocol != htobe16(ETH_P_ALL) && protocol != htobe16(ETH_P_IP) &&
	     protocol != htobe16(ETH_P_IPV6)) ||
	    (s->first && priority > s->first))
		return MNL_CB_OK;
	o = attr_nested(&t, TCA_OPTIONS);
	s->harms = (!s->first || priority < s->first || s->harms) &&
		   !strcmp(attr_string(&t, TCA_KIND), "matchall") && o.a[TCA_MATCHALL_ACT] &&
		   loses(o.a[TCA_MATCHALL_ACT], s->mark);
	s->first = priority;
	return MNL_CB_OK;
}

static int qdisc_message(const struct nlmsghdr *nlh, void *data)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(nlh);
	struct tc_search *s = data;
	struct attrs t = {};
	const char *kind;

	mnl_attr_parse(nlh, sizeof(*tc), attr_store, &t);
	kind = attr_string(&t, TCA_KIND);
	if (strcmp(kind, "clsact") && strcmp(kind, "ingress"))
		return MNL_CB_OK;
	if (ARRAY_RESERVE(s->devices, s->cap, s->n + 1))
		s->err = -ENOMEM;
	else
		s->devices[s->n++] = tc->tcm_ifindex;
	return MNL_CB_OK;
}

static int ask(struct mnl_socket *nl, __u16 type, int ifindex, mnl_cb_t cb, struct tc_search *s)
{
	char buf[MNL_NLMSG_HDRLEN + 64] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = netlink_dump_request(buf, type);
	struct tcmsg *tc = mnl_nlmsg_put_extra_header(nlh, sizeof(*tc));
	int err;

	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = ifindex;
	if (ifindex)
		tc->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
	err = netlink_dump(nl, nlh, cb, s);
	return err ? err : s->err;
}

static void look(struct mnl_socket *nl, struct tc_search *s, int ifindex,
		 void (*say)(void *arg, const char *text), void *arg)
{
	const struct host_if *h = host_find(s->host, ifindex);
	char why[160], text[256];

	s->first = 0;
	s->harms = false;
	if (!h || !datapath_wants(h, s->host, &s->rs->interfaces, why, sizeof(why)) ||
	    ask(nl, RTM_GETTFILTER, ifindex, filter_message, s) || !s->harms)
		return;
	snprintf(
		text, sizeof(text),
		"a tc filter at ingress of %s (pref %u, skbedit) writes over mark bit 0x%x before it "
		"has been read: what arrives is tracked, and what answers it is not; give its mark "
		"a mask without the bit",
		h->name, s->first, s->mark);
	say(arg, text);
}

void advise_early_filters(const struct ruleset *rs, const struct host *host, __u32 mark,
			  void (*say)(void *arg, const char *text), void *arg)
{
	struct tc_search s = { .host = host, .rs = rs, .mark = mark };
	_mnl_ struct mnl_socket *nl = NULL;

	if (mark && !netlink_open(NETLINK_ROUTE, &nl) &&
	    !ask(nl, RTM_GETQDISC, 0, qdisc_message, &s)) {
		for (size_t i = 0; i < s.n; i++)
			look(nl, &s, s.devices[i], say, arg);
	}
	free(s.devices);
}
