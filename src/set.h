/* SPDX-License-Identifier: GPL-2.0-only */
/* Named sets: lifetime and elements. */
#ifndef CTBYPASS_SET_H
#define CTBYPASS_SET_H

#include "rules.h"

/* What one element's text says. */
struct element {
	enum set_kind kind;
	int family; /* of addresses: AF_INET or AF_INET6 */
	union {
		struct prefix4 p4;
		struct prefix6 p6;
		struct port_range ports;
	};
};

#define ELEMENT_WHY 160

/* 0, or -EINVAL with the reason in why (ELEMENT_WHY bytes). want: the kind it must have, or
 * SET_UNKNOWN. */
int element_parse(const char *text, size_t len, enum set_kind want, struct element *out, char *why);
/* 0 or -ENOMEM. */
int element_append(const struct element *e, struct prefix_list *addrs, struct port_list *ports);

struct named_set *set_new(const char *name, size_t len); /* one reference; NULL: out of memory */
struct named_set *set_ref(struct named_set *s);
void set_unref(struct named_set *s);
/* A copy with one reference; of a file set the copy is an inline one. NULL: out of memory. */
struct named_set *set_copy(const struct named_set *s);

void prefix_list_free(struct prefix_list *l);
void port_list_free(struct port_list *l);
void prefix_list_normalise(struct prefix_list *l);
void port_list_normalise(struct port_list *l);
void prefix4_sort(struct prefix4 *v, size_t n);
void prefix6_sort(struct prefix6 *v, size_t n);
/* Is this very prefix in a normalised list? */
bool prefix_list_has4(const struct prefix_list *l, struct prefix4 p);
bool prefix_list_has6(const struct prefix_list *l, struct prefix6 p);

static inline int prefix4_cmp(const struct prefix4 *a, const struct prefix4 *b)
{
	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (int)a->len - (int)b->len;
}

static inline int prefix6_cmp(const struct prefix6 *a, const struct prefix6 *b)
{
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return (int)a->len - (int)b->len;
}

#endif
