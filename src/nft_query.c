// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading our table back, straight from nfnetlink. libnftables would do, but fetches the elements
 * of every set for any listing: 1.3 s and 200 MB for `list counters` beside a set of 100,000.
 */
#include <errno.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <libmnl/libmnl.h>

#include "nft.h"
#include "nft_attr.h"
#include "nft_tree.h"

#define DUMP_RETRIES 10 /* of dumps that a change interrupted */

struct query {
	struct mnl_socket *s;
	unsigned int seq;
	struct nlmsghdr *nlh;
	char buf[512] __attribute__((aligned(8)));
};

static void cleanup_query(struct query *q)
{
	if (q->s)
		mnl_socket_close(q->s);
}

static int query_open(struct query *q)
{
	q->s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	return !q->s || mnl_socket_bind(q->s, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
}

static void query_start(struct query *q, int type, unsigned int flags)
{
	struct nfgenmsg *nfg;

	q->nlh = mnl_nlmsg_put_header(q->buf);
	q->nlh->nlmsg_type = (__u16)(NFNL_SUBSYS_NFTABLES << 8 | type);
	q->nlh->nlmsg_flags = (__u16)(NLM_F_REQUEST | flags);
	nfg = mnl_nlmsg_put_extra_header(q->nlh, sizeof(*nfg));
	nfg->nfgen_family = NFPROTO_INET;
	nfg->version = NFNETLINK_V0;
	/* Attribute 1 is the table's name in every kind of message (NFTA_*_TABLE). */
	mnl_attr_put_strz(q->nlh, NFTA_TABLE_NAME, NFT_TABLE);
}

/* 0, -ENOENT, -EINTR (a dump that is not of one moment) or another -errno. */
static int query_run(struct query *q, mnl_cb_t cb, void *data)
{
	char buf[65536] __attribute__((aligned(8)));
	int rest = MNL_CB_OK;

	q->nlh->nlmsg_seq = ++q->seq;
	if (mnl_socket_sendto(q->s, q->nlh, q->nlh->nlmsg_len) < 0)
		return -errno;
	while (rest == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(q->s, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		rest = mnl_cb_run(buf, (size_t)n, q->seq, mnl_socket_get_portid(q->s), cb, data);
		if (rest < 0)
			return -errno;
	}
	return 0;
}

/* The message's attributes if it is about our table (not every dump can be told to filter). */
static bool ours(const struct nlmsghdr *nlh, struct attrs *t)
{
	*t = (struct attrs){};
	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), attr_store, t);
	return !strcmp(attr_string(t, NFTA_TABLE_NAME), NFT_TABLE);
}

/* --- is it there? --- */

/* A base chain that a build of ours made. */
struct base {
	bool output; /* or prerouting */
	bool older;  /* of HOOK_PRIORITY_OLD */
	bool moved;  /* has its name for that already */
};

static bool is_base(const struct attrs *t, struct base *out)
{
	const char *name = attr_string(t, NFTA_CHAIN_NAME);
	struct base b = { .moved = !strncmp(name, OLDER, strlen(OLDER)) };
	struct attrs h = {};
	int priority;

	if (b.moved)
		name += strlen(OLDER);
	b.output = !strcmp(name, "output");
	if (!t->a[NFTA_CHAIN_HOOK] || (!b.output && strcmp(name, "prerouting")))
		return false;
	mnl_attr_parse_nested(t->a[NFTA_CHAIN_HOOK], attr_store, &h);
	priority = (int)attr_be32(&h, NFTA_HOOK_PRIORITY);
	b.older = priority == HOOK_PRIORITY_OLD;
	*out = b;
	return attr_be32(&h, NFTA_HOOK_HOOKNUM) ==
		       (b.output ? NF_INET_LOCAL_OUT : NF_INET_PRE_ROUTING) &&
	       (b.older || (priority == HOOK_PRIORITY && !b.moved)) &&
	       !strcmp(attr_string(t, NFTA_CHAIN_TYPE), "filter") &&
	       attr_be32(t, NFTA_CHAIN_POLICY) == NF_ACCEPT;
}

static int count_any_base(const struct nlmsghdr *nlh, void *data)
{
	struct attrs t;
	struct base b;

	*(unsigned int *)data += ours(nlh, &t) && is_base(&t, &b);
	return MNL_CB_OK;
}

static int count_base(const struct nlmsghdr *nlh, void *data)
{
	struct attrs t;
	struct base b;

	*(unsigned int *)data += ours(nlh, &t) && is_base(&t, &b) && !b.older;
	return MNL_CB_OK;
}

static int count_rule(const struct nlmsghdr *nlh, void *data)
{
	struct attrs t;

	*(unsigned int *)data += ours(nlh, &t);
	return MNL_CB_OK;
}

/* The base chains with these names, and a rule in the first. */
static int present(const char *const *chains, size_t n_chains, mnl_cb_t count)
{
	_cleanup_(cleanup_query) struct query q = {};
	unsigned int n = 0;
	int err = query_open(&q);

	for (size_t i = 0; !err && i < n_chains; i++) {
		query_start(&q, NFT_MSG_GETCHAIN, NLM_F_ACK);
		mnl_attr_put_strz(q.nlh, NFTA_CHAIN_NAME, chains[i]);
		err = query_run(&q, count, &n);
	}
	if (err || n != n_chains)
		return err == -ENOENT ? 0 : err;
	/* Chains survive `nft flush table`; the one rule that must be in the first does not. */
	n = 0;
	query_start(&q, NFT_MSG_GETRULE, NLM_F_DUMP);
	mnl_attr_put_strz(q.nlh, NFTA_RULE_CHAIN, chains[0]);
	err = query_run(&q, count_rule, &n);
	return err ? err : n > 0;
}

int nft_present(bool prerouting)
{
	static const char *const chains[] = { "prerouting", "output" };
	const char *const *first = prerouting ? chains : chains + 1;
	size_t n = prerouting ? 2 : 1;
	int ret = present(first, n, count_base);

	for (int i = 0; ret == -EINTR && i < DUMP_RETRIES; i++)
		ret = present(first, n, count_base);
	return ret;
}

int nft_adoptable(void)
{
	static const char *const names[] = { "output", OLDER "output" };
	int ret = 0;

	for (size_t i = 0; !ret && i < ARRAY_SIZE(names); i++) {
		ret = -EINTR;
		for (int k = 0; ret == -EINTR && k < DUMP_RETRIES; k++)
			ret = present(&names[i], 1, count_any_base);
	}
	return ret;
}

int nft_there(void)
{
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < DUMP_RETRIES; i++) {
		_cleanup_(cleanup_query) struct query q = {};

		err = query_open(&q);
		if (err)
			return err;
		query_start(&q, NFT_MSG_GETTABLE, NLM_F_ACK);
		err = query_run(&q, NULL, NULL);
	}
	/* Kernels without nfnetlink, and without nf_tables (nfnetlink_rcv_msg()). */
	if (err == -EPROTONOSUPPORT || err == -EINVAL)
		return 0;
	return err == -ENOENT ? 0 : err ? err : 1;
}

/* --- counters --- */

struct counter_list {
	struct nft_counter *c;
	size_t n, cap;
};

static int counter_message(const struct nlmsghdr *nlh, void *data)
{
	struct counter_list *l = data;
	struct nft_counter c = {};
	struct attrs t, d = {};

	if (!ours(nlh, &t) || attr_be32(&t, NFTA_OBJ_TYPE) != NFT_OBJECT_COUNTER ||
	    !t.a[NFTA_OBJ_DATA] ||
	    !counter_parse(attr_string(&t, NFTA_OBJ_NAME), &c.handle, &c.dir))
		return MNL_CB_OK;
	mnl_attr_parse_nested(t.a[NFTA_OBJ_DATA], attr_store, &d);
	c.count.packets = attr_be64(&d, NFTA_COUNTER_PACKETS);
	c.count.bytes = attr_be64(&d, NFTA_COUNTER_BYTES);
	if (ARRAY_RESERVE(l->c, l->cap, l->n + 1)) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	l->c[l->n++] = c;
	return MNL_CB_OK;
}

int nft_counters(struct nft_counter **out, size_t *n)
{
	struct counter_list l = {};
	int err = 0;

	for (int i = 0; i < DUMP_RETRIES; i++) {
		_cleanup_(cleanup_query) struct query q = {};

		l.n = 0;
		err = query_open(&q);
		if (!err) { /* a dump of nothing is no error */
			query_start(&q, NFT_MSG_GETTABLE, NLM_F_ACK);
			err = query_run(&q, NULL, NULL);
		}
		if (!err) {
			query_start(&q, NFT_MSG_GETOBJ, NLM_F_DUMP);
			err = query_run(&q, counter_message, &l);
		}
		if (err != -EINTR)
			break;
	}
	if (err) {
		free(l.c);
		return err;
	}
	*out = l.c;
	*n = l.n;
	return 0;
}

/* --- adopting --- */

/*
 * meta mark & MASK != 0 notrack meta mark set meta mark & ~MASK, as the kernel has it; or without
 * notrack, in a table that was silenced.
 */
static const char *const mark_rule[] = { "meta", "bitwise", "cmp", "notrack",
					 "meta", "bitwise", "meta" };
#define NOTRACK_AT 3

struct mark_rule {
	size_t n_rules, n_exprs;
	__u32 masks[ARRAY_SIZE(mark_rule)];
	bool quiet; /* it is the one without notrack */
	bool other;
};

/* The mask if it is that rule; else 0. */
static __u32 mask_of(const struct mark_rule *m)
{
	bool whole = !m->other && m->n_exprs == ARRAY_SIZE(mark_rule);

	return whole && m->masks[1] == ~m->masks[5] ? m->masks[1] : 0;
}

static int expr_attr(const struct nlattr *attr, void *data)
{
	struct attrs e = {}, d = {}, v = {};
	struct mark_rule *m = data;
	const char *name;
	size_t i;

	if (mnl_attr_get_type(attr) != NFTA_LIST_ELEM)
		return MNL_CB_OK;
	mnl_attr_parse_nested(attr, attr_store, &e);
	name = attr_string(&e, NFTA_EXPR_NAME);
	if (m->n_exprs == NOTRACK_AT && strcmp(name, mark_rule[NOTRACK_AT])) {
		m->quiet = true;
		m->n_exprs++;
	}
	i = m->n_exprs++;
	if (i >= ARRAY_SIZE(mark_rule) || strcmp(name, mark_rule[i])) {
		m->other = true;
		return MNL_CB_OK;
	}
	if (strcmp(mark_rule[i], "bitwise") || !e.a[NFTA_EXPR_DATA])
		return MNL_CB_OK;
	mnl_attr_parse_nested(e.a[NFTA_EXPR_DATA], attr_store, &d);
	if (!d.a[NFTA_BITWISE_MASK])
		return MNL_CB_OK;
	mnl_attr_parse_nested(d.a[NFTA_BITWISE_MASK], attr_store, &v);
	if (v.a[NFTA_DATA_VALUE] && mnl_attr_get_payload_len(v.a[NFTA_DATA_VALUE]) == sizeof(__u32))
		m->masks[i] = mnl_attr_get_u32(v.a[NFTA_DATA_VALUE]);
	return MNL_CB_OK;
}

static int mark_message(const struct nlmsghdr *nlh, void *data)
{
	struct mark_rule *m = data;
	struct attrs t;

	if (!ours(nlh, &t))
		return MNL_CB_OK;
	m->n_rules++;
	if (t.a[NFTA_RULE_EXPRESSIONS])
		mnl_attr_parse_nested(t.a[NFTA_RULE_EXPRESSIONS], expr_attr, m);
	return MNL_CB_OK;
}

/* The mask that prerouting handles, if it does just that; or that it is silenced; or -errno. */
static int adopt_mark(struct query *q, struct nft_state *s)
{
	struct mark_rule m = {};
	int err;

	query_start(q, NFT_MSG_GETRULE, NLM_F_DUMP);
	mnl_attr_put_strz(q->nlh, NFTA_RULE_CHAIN, "prerouting");
	err = query_run(q, mark_message, &m);
	if (err || m.n_rules != 1)
		return err;
	s->quiet = m.quiet && mask_of(&m);
	s->mark = m.quiet ? 0 : mask_of(&m);
	return 0;
}

struct adoption {
	struct nft_state *s;
	bool there, prerouting;
	int err;
};

static int table_message(const struct nlmsghdr *nlh, void *data)
{
	struct adoption *a = data;
	struct attrs t;

	if (!ours(nlh, &t))
		return MNL_CB_OK;
	a->there = true;
	/* A table that sleeps (NFT_TABLE_F_DORMANT) is woken by a new one. */
	if (attr_be32(&t, NFTA_TABLE_FLAGS))
		a->s->foreign = true;
	return MNL_CB_OK;
}

/*
 * g<generation>_out, g<generation>_<n>, g<generation>_err4, g<generation>_err6; of two generations
 * when the previous daemon ended soon after a swap.
 */
static bool adopt_generated(struct adoption *a, const char *name)
{
	static const char *const words[] = { "out", "err4", "err6" };
	unsigned int generation, number;
	struct nft_state *s = a->s;
	char again[NSET_NAME] = "";

	if (sscanf(name, "g%u_%u", &generation, &number) == 2)
		snprintf(again, sizeof(again), "g%u_%u", generation, number);
	for (size_t i = 0; !*again && i < ARRAY_SIZE(words); i++) {
		const char *word = strchr(name, '_');

		if (sscanf(name, "g%u_", &generation) == 1 && word && !strcmp(word + 1, words[i]))
			snprintf(again, sizeof(again), "g%u_%s", generation, words[i]);
	}
	if (strcmp(name, again))
		return false;
	if (generation > s->generation)
		s->generation = generation;
	if (!a->err)
		a->err = objects_add_chain(&s->now, name);
	return true;
}

/* One that is to be replaced counts as any other chain that is. */
static void adopt_base(struct adoption *a, const struct base *b, const char *name)
{
	struct nft_state *s = a->s;
	char moved[NSET_NAME];

	if (!b->older) {
		a->prerouting |= !b->output;
		s->output |= b->output;
		return;
	}
	if (!b->moved)
		s->older |= b->output ? OLDER_OUTPUT : OLDER_PREROUTING;
	s->older_output |= b->output;
	snprintf(moved, sizeof(moved), "%s%s", b->moved ? "" : OLDER, name);
	if (!a->err)
		a->err = objects_add_chain(&s->now, moved);
}

static int chain_message(const struct nlmsghdr *nlh, void *data)
{
	struct adoption *a = data;
	struct attrs t;
	struct base b;

	if (!ours(nlh, &t))
		return MNL_CB_OK;
	if (is_base(&t, &b))
		adopt_base(a, &b, attr_string(&t, NFTA_CHAIN_NAME));
	else if (t.a[NFTA_CHAIN_HOOK] || !adopt_generated(a, attr_string(&t, NFTA_CHAIN_NAME)))
		a->s->foreign = true;
	return MNL_CB_OK;
}

static int set_message(const struct nlmsghdr *nlh, void *data)
{
	struct adoption *a = data;
	struct attrs t;

	if (!ours(nlh, &t) || attr_be32(&t, NFTA_SET_FLAGS) & NFT_SET_ANONYMOUS)
		return MNL_CB_OK;
	if (!nset_name_ours(attr_string(&t, NFTA_SET_NAME)))
		a->s->foreign = true;
	else if (!a->err)
		a->err = objects_add_set(&a->s->now, attr_string(&t, NFTA_SET_NAME));
	return MNL_CB_OK;
}

static int object_message(const struct nlmsghdr *nlh, void *data)
{
	struct adoption *a = data;
	enum ctb_dir dir;
	struct attrs t;
	__u32 handle;

	if (!ours(nlh, &t))
		return MNL_CB_OK;
	if (attr_be32(&t, NFTA_OBJ_TYPE) != NFT_OBJECT_COUNTER ||
	    !counter_parse(attr_string(&t, NFTA_OBJ_NAME), &handle, &dir))
		a->s->foreign = true;
	else if (!a->err)
		a->err = objects_add_counter(&a->s->now, counter_key(handle, dir));
	return MNL_CB_OK;
}

static int adopt(struct nft_state **out)
{
	static const struct {
		int type;
		mnl_cb_t cb;
	} dumps[] = {
		{ NFT_MSG_GETCHAIN, chain_message },
		{ NFT_MSG_GETSET, set_message },
		{ NFT_MSG_GETOBJ, object_message },
	};
	_cleanup_(cleanup_query) struct query q = {};
	struct adoption a = { .s = calloc(1, sizeof(*a.s)) };
	int err = a.s ? query_open(&q) : -ENOMEM;

	if (!err) {
		query_start(&q, NFT_MSG_GETTABLE, NLM_F_ACK);
		err = query_run(&q, table_message, &a);
		if (err == -ENOENT)
			err = 0;
	}
	for (size_t i = 0; !err && a.there && i < ARRAY_SIZE(dumps); i++) {
		query_start(&q, dumps[i].type, NLM_F_DUMP);
		err = query_run(&q, dumps[i].cb, &a);
		if (!err)
			err = a.err;
	}
	if (!err && a.prerouting)
		err = adopt_mark(&q, a.s);
	if (err || !a.there) {
		nft_state_free(a.s);
		return err;
	}
	/* Without prerouting it is the table of direct mode: see nft_render(). */
	if ((!a.s->output && !a.s->older_output) || (a.prerouting && !a.s->mark && !a.s->quiet))
		a.s->foreign = true;
	objects_sort(&a.s->now);
	*out = a.s;
	return 0;
}

int nft_adopt(struct nft_state **out)
{
	int err = -EINTR;

	*out = NULL;
	for (int i = 0; err == -EINTR && i < DUMP_RETRIES; i++)
		err = adopt(out);
	return err;
}

/* --- silencing --- */

static int base_message(const struct nlmsghdr *nlh, void *data)
{
	struct nft_bases *b = data;
	struct attrs t, h = {};
	struct nft_base *c;

	if (!ours(nlh, &t) || !t.a[NFTA_CHAIN_HOOK])
		return MNL_CB_OK;
	if (ARRAY_RESERVE(b->c, b->cap, b->n + 1)) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	c = &b->c[b->n++];
	mnl_attr_parse_nested(t.a[NFTA_CHAIN_HOOK], attr_store, &h);
	*c = (struct nft_base){ .hook = attr_be32(&h, NFTA_HOOK_HOOKNUM) };
	snprintf(c->name, sizeof(c->name), "%s", attr_string(&t, NFTA_CHAIN_NAME));
	return MNL_CB_OK;
}

/* Wherever the rule stands: an older build's prerouting may have another name. */
static int any_mark_message(const struct nlmsghdr *nlh, void *data)
{
	struct mark_rule m = {};
	struct nft_bases *b = data;

	if (mark_message(nlh, &m) != MNL_CB_OK)
		return MNL_CB_ERROR;
	b->mark |= mask_of(&m);
	return MNL_CB_OK;
}

static int read_bases(struct nft_bases *out)
{
	_cleanup_(cleanup_query) struct query q = {};
	int err = query_open(&q);

	out->n = 0;
	out->mark = 0;
	if (!err) {
		query_start(&q, NFT_MSG_GETCHAIN, NLM_F_DUMP);
		err = query_run(&q, base_message, out);
	}
	if (!err) {
		query_start(&q, NFT_MSG_GETRULE, NLM_F_DUMP);
		err = query_run(&q, any_mark_message, out);
	}
	return err;
}

int nft_read_bases(struct nft_bases *out)
{
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < DUMP_RETRIES; i++)
		err = read_bases(out);
	return err;
}
