/* SPDX-License-Identifier: GPL-2.0-only */
/* Attributes of nfnetlink's messages about nftables. */
#ifndef CTBYPASS_NFT_ATTR_H
#define CTBYPASS_NFT_ATTR_H

#include <endian.h>
#include <libmnl/libmnl.h>

#define ATTRS 32 /* more than any message here has */

struct attrs {
	const struct nlattr *a[ATTRS];
};

static inline int attr_store(const struct nlattr *attr, void *data)
{
	struct attrs *t = data;

	if (mnl_attr_get_type(attr) < ATTRS)
		t->a[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

/* What is nested in one of them; none where there is no such attribute. */
static inline struct attrs attr_nested(const struct attrs *t, int type)
{
	struct attrs nested = {};

	if (t->a[type])
		mnl_attr_parse_nested(t->a[type], attr_store, &nested);
	return nested;
}

/* "" where there is none. */
static inline const char *attr_string(const struct attrs *t, int type)
{
	const struct nlattr *a = t->a[type];

	return a && !mnl_attr_validate(a, MNL_TYPE_NUL_STRING) ? mnl_attr_get_str(a) : "";
}

static inline __u32 attr_be32(const struct attrs *t, int type)
{
	return t->a[type] ? be32toh(mnl_attr_get_u32(t->a[type])) : 0;
}

static inline __u64 attr_be64(const struct attrs *t, int type)
{
	return t->a[type] ? be64toh(mnl_attr_get_u64(t->a[type])) : 0;
}

#endif
