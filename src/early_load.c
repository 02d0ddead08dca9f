// SPDX-License-Identifier: GPL-2.0-only
/* Chains, rules and sets of others, straight from nfnetlink: what nft prints has to be parsed
 * again. */
#include <errno.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "early_priv.h"
#include "netlink.h"
#include "nft.h"
#include "nft_attr.h"

#define CONNTRACK	    (-200) /* NF_IP_PRI_CONNTRACK */
#define ELEMENTS_MAX	    4096   /* of a set; a larger one is not looked at */
#define RETRIES		    5	   /* of dumps that a change interrupted */
#define HOOK_NETDEV_INGRESS 0	   /* NF_NETDEV_INGRESS */
#define HOOK_INET_INGRESS   5	   /* NF_INET_INGRESS, 5.10 */

void early_free(struct early_rules *r)
{
	for (size_t i = 0; i < r->n_chains; i++) {
		free(r->chains[i].table);
		free(r->chains[i].name);
		free(r->chains[i].devices);
	}
	for (size_t i = 0; i < r->n_rules; i++)
		free(r->rules[i].exprs);
	for (size_t i = 0; i < r->n_sets; i++) {
		struct early_set *s = r->sets[i];

		for (size_t k = 0; k < s->n; k++)
			free(s->e[k].chain);
		free(s->e);
		free(s->table);
		free(s->name);
		free(s);
	}
	free(r->chains);
	free(r->rules);
	free(r->sets);
	*r = (struct early_rules){};
}

struct dump {
	struct early_rules *rules;
	struct early_set *set;
	size_t chain; /* whose rules come */
	int err;
};

/* Of one table of one family, or of all. */
static int dump(struct mnl_socket *nl, int type, __u8 family, const char *table, int name_attr,
		const char *name, mnl_cb_t cb, struct dump *d)
{
	char buf[1024] __attribute__((aligned(8)));
	struct nlmsghdr *nlh;
	struct nfgenmsg *nfg;
	int err;

	nlh = netlink_dump_request(buf, (__u16)(NFNL_SUBSYS_NFTABLES << 8 | type));
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	if (table) /* attribute 1 is the table's name in every kind of message */
		mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	if (name)
		mnl_attr_put_strz(nlh, (__u16)name_attr, name);
	err = netlink_dump(nl, nlh, cb, d);
	return err ? err : d->err;
}

static __u8 family_of(const struct nlmsghdr *nlh)
{
	return ((const struct nfgenmsg *)mnl_nlmsg_get_payload(nlh))->nfgen_family;
}

/* --- chains --- */

static enum early_hook hook_of(__u8 family, __u32 hook, int priority)
{
	if (family == NFPROTO_NETDEV)
		return hook == HOOK_NETDEV_INGRESS ? EARLY_INGRESS : EARLY_NONE;
	if (family != NFPROTO_INET && family != NFPROTO_IPV4 && family != NFPROTO_IPV6)
		return EARLY_NONE;
	if (family == NFPROTO_INET && hook == HOOK_INET_INGRESS)
		return EARLY_INGRESS;
	if (priority >= CONNTRACK)
		return EARLY_NONE;
	return hook == NF_INET_PRE_ROUTING ? EARLY_PREROUTING
	       : hook == NF_INET_LOCAL_OUT ? EARLY_OUTPUT
					   : EARLY_NONE;
}

static int add_device(struct early_chain *c, const struct nlattr *name)
{
	char(*more)[16];

	if (c->n_devices == DEVICES_MAX || mnl_attr_validate(name, MNL_TYPE_NUL_STRING))
		return 0;
	more = reallocarray(c->devices, c->n_devices + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->devices = more;
	snprintf(more[c->n_devices++], sizeof(*more), "%s", mnl_attr_get_str(name));
	return 0;
}

static int add_devices(struct early_chain *c, const struct attrs *hook)
{
	const struct nlattr *a;
	int err = 0;

	if (hook->a[NFTA_HOOK_DEV])
		return add_device(c, hook->a[NFTA_HOOK_DEV]);
	if (hook->a[NFTA_HOOK_DEVS]) {
		mnl_attr_for_each_nested(a, hook->a[NFTA_HOOK_DEVS]) err = err ? err
									       : add_device(c, a);
	}
	return err;
}

static int chain_message(const struct nlmsghdr *nlh, void *data)
{
	struct early_chain c = { .family = family_of(nlh) };
	struct attrs t = {}, hook;
	struct dump *d = data;

	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), attr_store, &t);
	if (d->err ||
	    (c.family == NFPROTO_INET && !strcmp(attr_string(&t, NFTA_CHAIN_TABLE), NFT_TABLE)))
		return MNL_CB_OK;
	if (ARRAY_RESERVE(d->rules->chains, d->rules->cap_chains, d->rules->n_chains + 1)) {
		d->err = -ENOMEM;
		return MNL_CB_OK;
	}
	c.table = strdup(attr_string(&t, NFTA_CHAIN_TABLE));
	c.name = strdup(attr_string(&t, NFTA_CHAIN_NAME));
	if (!c.table || !c.name)
		d->err = -ENOMEM;
	if (t.a[NFTA_CHAIN_HOOK]) {
		hook = attr_nested(&t, NFTA_CHAIN_HOOK);
		c.priority = (int)attr_be32(&hook, NFTA_HOOK_PRIORITY);
		c.hook = hook_of(c.family, attr_be32(&hook, NFTA_HOOK_HOOKNUM), c.priority);
		if (c.hook == EARLY_INGRESS && add_devices(&c, &hook))
			d->err = -ENOMEM;
	}
	d->rules->chains[d->rules->n_chains++] = c;
	return MNL_CB_OK;
}

/* --- rules --- */

static int rule_message(const struct nlmsghdr *nlh, void *data)
{
	struct dump *d = data;
	struct early_rules *r = d->rules;
	struct early_rule rule = {};
	struct attrs t = {};
	size_t len;

	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), attr_store, &t);
	if (d->err || !t.a[NFTA_RULE_EXPRESSIONS] ||
	    strcmp(attr_string(&t, NFTA_RULE_CHAIN), r->chains[d->chain].name))
		return MNL_CB_OK;
	if (ARRAY_RESERVE(r->rules, r->cap_rules, r->n_rules + 1)) {
		d->err = -ENOMEM;
		return MNL_CB_OK;
	}
	rule.handle = attr_be64(&t, NFTA_RULE_HANDLE);
	len = mnl_attr_get_len(t.a[NFTA_RULE_EXPRESSIONS]);
	rule.exprs = malloc(len);
	if (!rule.exprs) {
		d->err = -ENOMEM;
		return MNL_CB_OK;
	}
	memcpy(rule.exprs, t.a[NFTA_RULE_EXPRESSIONS], len);
	r->rules[r->n_rules++] = rule;
	r->chains[d->chain].n++;
	return MNL_CB_OK;
}

static bool same_table(const struct early_chain *a, const struct early_chain *b)
{
	return a->family == b->family && !strcmp(a->table, b->table);
}

/* Has its table a base chain that matters? */
static bool wanted(const struct early_rules *r, const struct early_chain *c)
{
	for (size_t i = 0; i < r->n_chains; i++) {
		if (r->chains[i].hook && same_table(&r->chains[i], c))
			return true;
	}
	return false;
}

static int load(struct mnl_socket *nl, struct early_rules *out)
{
	struct dump d = { .rules = out };
	int err = dump(nl, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NULL, 0, NULL, chain_message, &d);

	for (size_t i = 0; !err && i < out->n_chains; i++) {
		struct early_chain *c = &out->chains[i];

		d.chain = i;
		c->first = out->n_rules;
		if (wanted(out, c))
			err = dump(nl, NFT_MSG_GETRULE, c->family, c->table, NFTA_RULE_CHAIN,
				   c->name, rule_message, &d);
	}
	return err;
}

int early_load(struct early_rules *out)
{
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < RETRIES; i++) {
		_mnl_ struct mnl_socket *nl = NULL;

		early_free(out);
		err = netlink_open(NETLINK_NETFILTER, &nl);
		if (!err)
			err = load(nl, out);
	}
	if (err)
		early_free(out);
	return err;
}

/* --- sets --- */

static int set_message(const struct nlmsghdr *nlh, void *data)
{
	struct dump *d = data;
	struct early_set *s = d->set;
	struct attrs t = {};
	__u32 flags;

	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), attr_store, &t);
	if (family_of(nlh) != s->family || strcmp(attr_string(&t, NFTA_SET_TABLE), s->table) ||
	    strcmp(attr_string(&t, NFTA_SET_NAME), s->name))
		return MNL_CB_OK;
	flags = attr_be32(&t, NFTA_SET_FLAGS);
	s->ranges = flags & NFT_SET_INTERVAL;
	/* What comes and goes says nothing of a while later; ranges of several fields at once have
	 * keys of another kind. */
	s->usable = !(flags & (NFT_SET_TIMEOUT | NFT_SET_EVAL | NFT_SET_OBJECT)) &&
		    !(s->ranges && flags & NFT_SET_CONCAT);
	return MNL_CB_OK;
}

/* The bytes of a value; 0: there are none. */
static __u8 value_of(const struct attrs *data, __u8 out[64])
{
	const struct nlattr *v = data->a[NFTA_DATA_VALUE];
	size_t n = v ? mnl_attr_get_payload_len(v) : 0;

	if (!n || n > 64)
		return 0;
	memcpy(out, mnl_attr_get_payload(v), n);
	return (__u8)n;
}

static int add_elem(struct early_set *s, const struct nlattr *attr)
{
	struct attrs t = {}, key, data, verdict;
	struct early_elem e = {};
	__u32 flags;

	mnl_attr_parse_nested(attr, attr_store, &t);
	flags = attr_be32(&t, NFTA_SET_ELEM_FLAGS);
	key = attr_nested(&t, NFTA_SET_ELEM_KEY);
	data = attr_nested(&t, NFTA_SET_ELEM_DATA);
	verdict = attr_nested(&data, NFTA_DATA_VERDICT);
	e.key_len = value_of(&key, e.key);
	e.data_len = value_of(&data, e.data);
	e.end = flags & NFT_SET_ELEM_INTERVAL_END;
	e.code = (int)attr_be32(&verdict, NFTA_VERDICT_CODE);
	/* A catch-all element, or an object. */
	if (!e.key_len || s->n == ELEMENTS_MAX) {
		s->usable = false;
		return 0;
	}
	if (ARRAY_RESERVE(s->e, s->cap, s->n + 1))
		return -ENOMEM;
	if (verdict.a[NFTA_VERDICT_CHAIN]) {
		e.chain = strdup(attr_string(&verdict, NFTA_VERDICT_CHAIN));
		if (!e.chain)
			return -ENOMEM;
	}
	s->e[s->n++] = e;
	return 0;
}

static int elem_message(const struct nlmsghdr *nlh, void *data)
{
	struct dump *d = data;
	struct attrs t = {};
	const struct nlattr *a;

	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), attr_store, &t);
	if (!t.a[NFTA_SET_ELEM_LIST_ELEMENTS])
		return MNL_CB_OK;
	mnl_attr_for_each_nested(a, t.a[NFTA_SET_ELEM_LIST_ELEMENTS])
		d->err = d->err ? d->err : add_elem(d->set, a);
	return d->err || !d->set->usable ? MNL_CB_STOP : MNL_CB_OK;
}

static int elem_cmp(const void *pa, const void *pb)
{
	const struct early_elem *a = pa, *b = pb;
	int c = memcmp(a->key, b->key, sizeof(a->key));

	return c ? c : b->end - a->end; /* the end of one is where the next begins */
}

static void read_set(struct early_set *s)
{
	struct dump d = { .set = s };
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < RETRIES; i++) {
		_mnl_ struct mnl_socket *nl = NULL;

		for (size_t k = 0; k < s->n; k++)
			free(s->e[k].chain);
		s->n = 0;
		err = netlink_open(NETLINK_NETFILTER, &nl);
		if (!err)
			err = dump(nl, NFT_MSG_GETSET, s->family, s->table, 0, NULL, set_message,
				   &d);
		if (!err && s->usable)
			err = dump(nl, NFT_MSG_GETSETELEM, s->family, s->table,
				   NFTA_SET_ELEM_LIST_SET, s->name, elem_message, &d);
	}
	s->usable = s->usable && !err;
	if (s->n)
		qsort(s->e, s->n, sizeof(*s->e), elem_cmp);
}

const struct early_set *early_set(struct early_rules *r, const struct early_chain *c,
				  const char *name)
{
	struct early_set *s;

	for (size_t i = 0; i < r->n_sets; i++) {
		s = r->sets[i];
		if (s->family == c->family && !strcmp(s->table, c->table) && !strcmp(s->name, name))
			return s->usable ? s : NULL;
	}
	if (ARRAY_RESERVE(r->sets, r->cap_sets, r->n_sets + 1))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->family = c->family;
	s->table = strdup(c->table);
	s->name = strdup(name);
	r->sets[r->n_sets++] = s;
	if (s->table && s->name)
		read_set(s);
	return s->usable ? s : NULL;
}
