// SPDX-License-Identifier: GPL-2.0-only
/* nftables, ctnetlink and the other netlinks, asked in our own network namespace if there is one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>

#include "features_priv.h"
#include "netdev_caps.h"
#include "netlink.h"
#include "nft.h"

/* --- nft --- */

/*
 * One small transaction each, of what nft_render.c writes; the kernel checks it and drops it. In
 * order: what cannot work without an earlier one is not tried when that is missing.
 */
static const struct {
	enum feature_id id;
	enum feature_id needs; /* its own: nothing */
	const char *script;
	const char *module; /* of the kernel, where it is one */
} nft[] = {
#define TABLE(body) "table inet ctbypass_probe {\n" body "}\n"
	{ FEATURE_NF_TABLES, FEATURE_NF_TABLES, "list tables\n", "nf_tables" },
	{ FEATURE_NFT_INET, FEATURE_NF_TABLES,
	  TABLE("chain prerouting { type filter hook prerouting priority -399; }\n"
		"chain output { type filter hook output priority -399; }\n"),
	  "nf_tables, CONFIG_NF_TABLES_INET" },
	{ FEATURE_NFT_NOTRACK, FEATURE_NFT_INET, TABLE("chain c {\nnotrack\n}\n"), "nft_ct" },
	{ FEATURE_NFT_MARK, FEATURE_NFT_INET,
	  TABLE("chain c {\nmeta mark & 0x00000040 != 0 meta mark set meta mark & 0xffffffbf\n}\n"),
	  NULL },
	{ FEATURE_NFT_SETS, FEATURE_NFT_INET,
	  TABLE("set a4 { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 } }\n"
		"set a6 { type ipv6_addr; flags interval; elements = { 2001:db8::/48 } }\n"
		"chain c {\nmeta l4proto { 6, 17 } th dport { 53, 80-90 } ip daddr @a4 accept\n"
		"ip6 saddr @a6 accept\n}\n"),
	  "nf_tables_set" },
	{ FEATURE_NFT_COUNTERS, FEATURE_NFT_INET,
	  TABLE("counter n { }\nchain c {\nmeta l4proto 17 counter name n accept\n}\n"),
	  "nft_counter, nft_objref" },
	{ FEATURE_NFT_MAPS, FEATURE_NFT_COUNTERS,
	  TABLE("counter n { }\nchain d {\naccept\n}\n"
		"chain c {\nth sport vmap { 53 : goto d, 60-70 : goto d }\n"
		"meta l4proto 6 th dport { 80, 443 } counter name th dport . ip daddr map {\n"
		"80 . 192.0.2.0/24 : \"n\", 443-444 . 192.0.2.1 : \"n\" } accept\n}\n"),
	  "nft_objref, nf_tables_set" },
	{ FEATURE_NFT_PAYLOAD, FEATURE_NFT_COUNTERS,
	  TABLE("counter n { }\nset q { typeof @th,256,32; flags interval;\n"
		"elements = { 0xc0000200-0xc00002ff } }\n"
		"set e { typeof @nh,128,8 . @th,160,8; elements = { 0 . 0, 255 . 255 } }\n"
		"chain c {\n@th,64,8 0x45 @th,112,16 & 0x1fff == 0 @th,216,8 >= 0 "
		"@nh,128,8 . @th,160,8 @e\n@th,240,16 { 53, 80-90 } accept\n}\n"),
	  NULL },
#undef TABLE
};

/*
 * "internal:0:0-0: Error: Could not process rule: No such file or directory". That is the kernel's
 * word, as is "cache initialization failed"; any other error is one of the text, and so of a
 * library that does not know it.
 */
static void say_refused(struct probe *p, enum feature_id id, const char *words, const char *module)
{
	static const char *const kernel[] = { "Could not process rule: ",
					      "cache initialization failed: " };
	const char *e = NULL;

	for (size_t i = 0; !e && i < ARRAY_SIZE(kernel); i++) {
		e = strstr(words, kernel[i]);
		e = e ? e + strlen(kernel[i]) : NULL;
	}
	if (!e) {
		e = strstr(words, "Error: ");
		feature_set(p->out, id, FEATURE_NO, "%s%.*s", e ? "libnftables: " : "",
			    (int)strcspn(e ? e + strlen("Error: ") : words, "\n"),
			    e ? e + strlen("Error: ") : words);
		return;
	}
	feature_set(p->out, id, FEATURE_NO, "%.*s%s%s", (int)strcspn(e, "\n"), e,
		    module ? "; kernel module: " : "", module ? module : "");
}

/* All of it in one transaction, which is where the time goes. */
static bool try_nft_at_once(void)
{
	_strbuf_ struct strbuf all = {};

	for (size_t i = 0; i < ARRAY_SIZE(nft); i++)
		strbuf_addf(&all, "%s", nft[i].script);
	return !all.err && !nft_run(all.s, true, NULL);
}

void probe_nft(struct probe *p)
{
	bool all = try_nft_at_once();

	for (size_t i = 0; i < ARRAY_SIZE(nft); i++) {
		enum feature_id id = nft[i].id;
		_free_ char *words = NULL;
		int err;

		if (all) {
			feature_set_err(p->out, id, 0);
			continue;
		}
		if (nft[i].needs != id && p->out->f[nft[i].needs].state != FEATURE_YES) {
			feature_set(p->out, id, FEATURE_UNKNOWN, "cannot be tried without %s",
				    feature_name(nft[i].needs));
			continue;
		}
		err = nft_run(nft[i].script, true, &words);
		feature_set_err(p->out, id, err);
		if (p->out->f[id].state == FEATURE_NO)
			say_refused(p, id, words ? words : strerror(-err), nft[i].module);
	}
}

/* --- ctnetlink --- */

static struct nlmsghdr *ct_header(char *buf, unsigned int type, __u16 flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (__u16)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = 1;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_INET;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

static int take(const struct nlmsghdr *nlh, void *arg)
{
	(void)nlh;
	(void)arg;
	return MNL_CB_OK;
}

/*
 * Ask for, or delete, the entry of a flow between addresses for documentation. There is none, and
 * the kernel says so. 0 or -errno.
 */
static int ask_for_nothing(struct mnl_socket *nl, unsigned int type)
{
	char buf[MNL_SOCKET_BUFFER_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = ct_header(buf, type, NLM_F_ACK);
	struct nf_conntrack *ct = nfct_new();
	int err = ct ? 0 : -ENOMEM;

	if (err)
		return err;
	nfct_set_attr_u8(ct, ATTR_L3PROTO, AF_INET);
	nfct_set_attr_u32(ct, ATTR_IPV4_SRC, htonl(0xc0000201));
	nfct_set_attr_u32(ct, ATTR_IPV4_DST, htonl(0xc6336401));
	nfct_set_attr_u8(ct, ATTR_L4PROTO, IPPROTO_UDP);
	nfct_set_attr_u16(ct, ATTR_PORT_SRC, htons(9));
	nfct_set_attr_u16(ct, ATTR_PORT_DST, htons(9));
	if (nfct_nlmsg_build(nlh, ct) < 0)
		err = -errno;
	nfct_destroy(ct);
	if (!err)
		err = netlink_dump(nl, nlh, take, NULL);
	return err == -ENOENT ? 0 : err;
}

/* The table of a host may be large, and is nothing to play with: there only one entry is asked for.
 */
static int try_ctnetlink(bool own_net)
{
	char buf[MNL_NLMSG_HDRLEN + 64] __attribute__((aligned(8)));
	_mnl_ struct mnl_socket *nl = NULL;
	int err = netlink_open(NETLINK_NETFILTER, &nl);

	if (err || !own_net)
		return err ? err : ask_for_nothing(nl, IPCTNL_MSG_CT_GET);
	err = netlink_dump(nl, ct_header(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP), take, NULL);
	return err ? err : ask_for_nothing(nl, IPCTNL_MSG_CT_DELETE);
}

static void probe_ctnetlink(struct probe *p)
{
	int err = try_ctnetlink(p->own_net);

	feature_set_err(p->out, FEATURE_CTNETLINK, err);
	if (p->out->f[FEATURE_CTNETLINK].state == FEATURE_NO)
		feature_set(p->out, FEATURE_CTNETLINK, FEATURE_NO,
			    "%s; kernel module: nf_conntrack_netlink", strerror(-err));
}

/* --- the others --- */

static int try_strict(void)
{
	_mnl_ struct mnl_socket *nl = NULL;
	int one = 1, err = netlink_open(NETLINK_ROUTE, &nl);

	if (err)
		return err;
	return mnl_socket_setsockopt(nl, NETLINK_GET_STRICT_CHK, &one, sizeof(one)) ? -errno : 0;
}

static int try_netdev(void)
{
	_mnl_ struct mnl_socket *nl = NULL;
	int err = netlink_open(NETLINK_GENERIC, &nl);
	__u16 id;

	return err ? err : genl_find(nl, "netdev", NULL, &id, NULL);
}

static int try_ethtool(void)
{
	struct netdev_caps_reader r;
	struct netdev_caps caps;
	int err = netdev_caps_open(&r);

	if (err)
		return err;
	err = netdev_caps_read(&r, "lo", &caps);
	if (!err && !r.n_features)
		err = -EOPNOTSUPP;
	netdev_caps_close(&r);
	return err;
}

void probe_netlink(struct probe *p)
{
	probe_ctnetlink(p);
	feature_set_err(p->out, FEATURE_RTNL_STRICT, try_strict());
	feature_set_err(p->out, FEATURE_NETDEV_GENL, try_netdev());
	feature_set_err(p->out, FEATURE_ETHTOOL, try_ethtool());
}
