// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "conntrack.h"
#include "netlink.h"

#define PROC_COUNT  "/proc/sys/net/netfilter/nf_conntrack_count"
#define PROC_MAX    "/proc/sys/net/netfilter/nf_conntrack_max"
#define BATCH_BYTES 8192 /* its refusals, should all be refused, fit the socket's buffer */
#define MESSAGE_MAX 512	 /* one deletion */

/* What one run needs. */
struct sweep {
	const struct compiled *now, *before;
	const struct host *host;
	struct conntrack_sweep sums;
	bool keep; /* survey: delete nothing */
	struct nf_conntrack **doomed;
	size_t n_doomed, cap_doomed;
};

static int read_number(const char *path, __u64 *out)
{
	_free_ char *text = NULL;
	unsigned int value;
	size_t len;
	int err = read_file(path, 64, &text, &len);

	if (err)
		return err;
	text[strcspn(text, "\n")] = '\0';
	err = parse_u32(text, 0, 0xffffffff, &value);
	if (!err)
		*out = value;
	return err;
}

int conntrack_usage(__u64 *count, __u64 *max)
{
	__u64 n, m;
	int err = read_number(PROC_COUNT, &n);

	if (!err)
		err = read_number(PROC_MAX, &m);
	if (err)
		return err;
	*count = n;
	*max = m;
	return 0;
}

/* --- judging one entry --- */

static __u64 be64_at(const void *p)
{
	const unsigned char *b = p;
	__u64 v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

/* Packets of one direction as they arrive. */
static bool tuple_of(const struct nf_conntrack *ct, bool reply, struct tuple *t)
{
	enum nf_conntrack_attr src4 = reply ? ATTR_REPL_IPV4_SRC : ATTR_ORIG_IPV4_SRC;
	enum nf_conntrack_attr dst4 = reply ? ATTR_REPL_IPV4_DST : ATTR_ORIG_IPV4_DST;
	enum nf_conntrack_attr src6 = reply ? ATTR_REPL_IPV6_SRC : ATTR_ORIG_IPV6_SRC;
	enum nf_conntrack_attr dst6 = reply ? ATTR_REPL_IPV6_DST : ATTR_ORIG_IPV6_DST;
	enum nf_conntrack_attr sport = reply ? ATTR_REPL_PORT_SRC : ATTR_ORIG_PORT_SRC;
	enum nf_conntrack_attr dport = reply ? ATTR_REPL_PORT_DST : ATTR_ORIG_PORT_DST;
	const void *src, *dst;

	*t = (struct tuple){ .proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO) };
	switch (nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO)) {
	case AF_INET:
		if (!nfct_attr_is_set(ct, src4) || !nfct_attr_is_set(ct, dst4))
			return false;
		t->src_lo = ntohl(nfct_get_attr_u32(ct, src4));
		t->dst_lo = ntohl(nfct_get_attr_u32(ct, dst4));
		break;
	case AF_INET6:
		src = nfct_get_attr(ct, src6);
		dst = nfct_get_attr(ct, dst6);
		if (!src || !dst)
			return false;
		t->v6 = true;
		t->src_hi = be64_at(src);
		t->src_lo = be64_at((const char *)src + 8);
		t->dst_hi = be64_at(dst);
		t->dst_lo = be64_at((const char *)dst + 8);
		break;
	default:
		return false;
	}
	if (proto_has_ports(t->proto)) {
		t->sport = ntohs(nfct_get_attr_u16(ct, sport));
		t->dport = ntohs(nfct_get_attr_u16(ct, dport));
	}
	return true;
}

static bool verdict(const struct compiled *c, const struct tuple *t)
{
	const struct ctb_entry *e = compiled_lookup(c, t);

	return e && e->action != CTB_TRACK;
}

/*
 * Is a packet of this tuple bypassed when it arrives? Entries do not say by which interface their
 * packets come. Where that matters, it is taken to be the one that leads back to the source.
 */
static bool bypassed_tuple(const struct compiled *c, const struct host *host, struct tuple t)
{
	bool first = verdict(c, &t); /* ifindex 0: an interface no rule names */
	int dev;

	if (!c->iif_class)
		return first;
	for (size_t i = 0; i < host->n_ifs; i++) {
		t.ifindex = (__u32)host->ifs[i].ifindex;
		if (verdict(c, &t) == first)
			continue;
		dev = host_route_dev(t.v6, t.src_hi, t.src_lo);
		if (dev < 0)
			return false;
		t.ifindex = (__u32)dev;
		return verdict(c, &t);
	}
	return first;
}

/*
 * A flow is bypassed when each direction that arrives here is: both of a transit flow, one of a
 * flow that ends here. What this host sends is judged in OUTPUT by the mirrored rule.
 */
static bool bypassed(const struct compiled *c, const struct host *host, const struct tuple *t,
		     bool any)
{
	bool in[2], arrives[2];

	for (int i = 0; i < 2; i++)
		arrives[i] = !host_is_local(host, t[i].v6, t[i].src_hi, t[i].src_lo);
	if (!arrives[0] && !arrives[1])
		arrives[0] = arrives[1] = true; /* over loopback */
	for (int i = 0; i < 2; i++)
		in[i] = arrives[i] ? bypassed_tuple(c, host, t[i]) : !any;
	return any ? in[0] || in[1] : in[0] && in[1];
}

static int judge(const struct nlmsghdr *nlh, void *data)
{
	struct sweep *s = data;
	struct nf_conntrack *ct;
	struct tuple t[2];
	bool now, drop;

	if (NFNL_MSG_TYPE(nlh->nlmsg_type) != IPCTNL_MSG_CT_NEW)
		return MNL_CB_OK;
	ct = nfct_new();
	if (!ct) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	if (nfct_nlmsg_parse(nlh, ct) < 0 || !tuple_of(ct, false, &t[0]) ||
	    !tuple_of(ct, true, &t[1])) {
		nfct_destroy(ct);
		return MNL_CB_OK;
	}
	s->sums.seen++;
	if (nfct_get_attr_u32(ct, ATTR_STATUS) & IPS_NAT_MASK) {
		/* One direction is enough to break the translation. */
		s->sums.nat += bypassed(s->now, s->host, t, true);
		nfct_destroy(ct);
		return MNL_CB_OK;
	}
	now = bypassed(s->now, s->host, t, false);
	if (nfct_get_attr_u32(ct, ATTR_STATUS) & IPS_OFFLOAD) {
		s->sums.offloaded += now; /* the kernel refuses to delete it: EBUSY */
		nfct_destroy(ct);
		return MNL_CB_OK;
	}
	drop = now || (s->before && bypassed(s->before, s->host, t, false));
	if (!drop || s->keep) {
		s->sums.removed += drop;
		nfct_destroy(ct);
		return MNL_CB_OK;
	}
	if (ARRAY_RESERVE(s->doomed, s->cap_doomed, s->n_doomed + 1)) {
		nfct_destroy(ct);
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	s->doomed[s->n_doomed++] = ct;
	return MNL_CB_OK;
}

/* --- the table --- */

static struct nlmsghdr *ct_header(char *buf, unsigned int type, __u16 flags, unsigned int seq,
				  __u8 family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (__u16)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

static int dump(struct mnl_socket *nl, struct sweep *s)
{
	char buf[MNL_NLMSG_HDRLEN + 64] __attribute__((aligned(8)));

	return netlink_dump(nl, ct_header(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, 1, AF_UNSPEC), judge,
			    s);
}

/*
 * Refusals of one batch. -ENOENT: somebody was faster, or the entry had run out; -EBUSY: a
 * flowtable has taken it meanwhile.
 */
static int refusals(struct mnl_socket *nl, __u64 *gone)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	int err = 0;

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(nl), buf, sizeof(buf), MSG_DONTWAIT);
		struct nlmsghdr *nlh = (struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0)
			return errno == EAGAIN || errno == ENOBUFS ? err : -errno;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

			if (nlh->nlmsg_type != NLMSG_ERROR || !e->error)
				continue;
			++*gone;
			if (e->error != -ENOENT && e->error != -EBUSY && !err)
				err = e->error;
		}
	}
}

/* The deletion of exactly this entry: by tuple, zone and the kernel's identity of it. */
static size_t put_deletion(char *buf, const struct nf_conntrack *ct, unsigned int seq)
{
	struct nf_conntrack *key = nfct_new();
	struct nlmsghdr *nlh;
	size_t len = 0;

	if (!key)
		return 0;
	nfct_copy(key, ct, NFCT_CP_ORIG);
	nlh = ct_header(buf, IPCTNL_MSG_CT_DELETE, 0, seq, nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO));
	if (nfct_attr_is_set(ct, ATTR_ZONE))
		nfct_set_attr_u16(key, ATTR_ZONE, nfct_get_attr_u16(ct, ATTR_ZONE));
	if (nfct_attr_is_set(ct, ATTR_ORIG_ZONE))
		nfct_set_attr_u16(key, ATTR_ORIG_ZONE, nfct_get_attr_u16(ct, ATTR_ORIG_ZONE));
	if (nfct_nlmsg_build(nlh, key) >= 0) {
		if (nfct_attr_is_set(ct, ATTR_ID))
			mnl_attr_put_u32(nlh, CTA_ID, htonl(nfct_get_attr_u32(ct, ATTR_ID)));
		len = nlh->nlmsg_len;
	}
	nfct_destroy(key);
	return len;
}

static int delete_doomed(struct mnl_socket *nl, struct sweep *s)
{
	_free_ char *batch = malloc(BATCH_BYTES);
	__u64 gone = 0, sent = 0;
	size_t used = 0;
	int err = 0;

	if (!batch)
		return -ENOMEM;
	for (size_t i = 0; !err && i < s->n_doomed; i++) {
		size_t len = put_deletion(batch + used, s->doomed[i], (unsigned int)i + 2);

		sent += len > 0;
		used += MNL_ALIGN(len);
		if (used + MESSAGE_MAX <= BATCH_BYTES && i + 1 < s->n_doomed)
			continue;
		if (used && mnl_socket_sendto(nl, batch, used) < 0)
			err = -errno;
		else
			err = refusals(nl, &gone);
		used = 0;
	}
	s->sums.removed += sent > gone ? sent - gone : 0;
	return err;
}

static int run(struct sweep *s)
{
	_mnl_ struct mnl_socket *nl = NULL;
	__u64 count, max;
	int err = conntrack_usage(&count, &max);

	/* Asking ctnetlink would load the module: leave a host without conntrack without it. */
	if (err)
		return err;
	/* A dump walks every bucket, also of an empty table: 15 ms with the 262,144 of a small
	 * host. */
	if (!count)
		return 0;
	err = netlink_open(NETLINK_NETFILTER, &nl);
	if (err)
		return err;
	err = dump(nl, s);
	if (!err)
		err = delete_doomed(nl, s);
	for (size_t i = 0; i < s->n_doomed; i++)
		nfct_destroy(s->doomed[i]);
	free(s->doomed);
	return err;
}

int conntrack_sweep(const struct compiled *now, const struct compiled *before,
		    const struct host *host, struct conntrack_sweep *out)
{
	struct sweep s = { .now = now, .before = before, .host = host };
	int err = run(&s);

	if (!err)
		*out = s.sums;
	return err;
}

int conntrack_survey(const struct compiled *now, const struct host *host,
		     struct conntrack_sweep *out)
{
	struct sweep s = { .now = now, .host = host, .keep = true };
	int err = run(&s);

	if (!err)
		*out = s.sums;
	return err;
}
