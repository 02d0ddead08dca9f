// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "cover.h"
#include "expand.h"
#include "set.h"

#define SEARCH_COST 8 /* of a binary search, in elementary comparisons */

bool ports_within(const struct port_list *narrow, const struct port_list *wide, long *budget)
{
	size_t w = 0;

	if (!narrow->n)
		return true;
	if (!wide->n || narrow->ranges[0].lo < wide->ranges[0].lo ||
	    narrow->ranges[narrow->n - 1].hi > wide->ranges[wide->n - 1].hi)
		return false;
	/* Both ascend: a merge. */
	for (size_t i = 0; i < narrow->n; i++) {
		while (w < wide->n && wide->ranges[w].hi < narrow->ranges[i].hi) {
			w++;
			if (--*budget < 0)
				return false;
		}
		if (w == wide->n || wide->ranges[w].lo > narrow->ranges[i].lo)
			return false;
		if (--*budget < 0)
			return false;
	}
	return true;
}

static bool within4(struct prefix4 narrow, struct prefix4 wide)
{
	return narrow.len >= wide.len &&
	       (!wide.len || (narrow.addr ^ wide.addr) >> (32 - wide.len) == 0);
}

static struct prefix6 cut6(struct prefix6 p, unsigned int len)
{
	p.hi &= len == 0 ? 0 : len >= 64 ? ~0ULL : ~0ULL << (64 - len);
	p.lo &= len <= 64 ? 0 : ~0ULL << (128 - len);
	p.len = (__u8)len;
	return p;
}

static bool within6(struct prefix6 narrow, struct prefix6 wide)
{
	struct prefix6 cut;

	if (narrow.len < wide.len)
		return false;
	cut = cut6(narrow, wide.len);
	return cut.hi == wide.hi && cut.lo == wide.lo;
}

static bool prefix4_in_list(struct prefix4 p, const struct prefix_list *l, long *budget)
{
	struct prefix4 q;

	*budget -= SEARCH_COST * (p.len + 1L);
	if (*budget < 0)
		return false;
	for (unsigned int len = 0; len <= p.len && l->n4; len++) {
		q = (struct prefix4){ .addr = len ? p.addr & ~0U << (32 - len) : 0,
				      .len = (__u8)len };
		if (prefix_list_has4(l, q))
			return true;
	}
	return false;
}

static bool prefix6_in_list(struct prefix6 p, const struct prefix_list *l, long *budget)
{
	*budget -= SEARCH_COST * (p.len + 1L);
	if (*budget < 0)
		return false;
	for (unsigned int len = 0; len <= p.len && l->n6; len++)
		if (prefix_list_has6(l, cut6(p, len)))
			return true;
	return false;
}

static bool same_list(const struct prefix_list *a, const struct prefix_list *b, long *budget)
{
	if (a->n4 != b->n4 || a->n6 != b->n6)
		return false;
	for (size_t i = 0; i < a->n4; i++)
		if (--*budget < 0 || prefix4_cmp(&a->v4[i], &b->v4[i]))
			return false;
	for (size_t i = 0; i < a->n6; i++)
		if (--*budget < 0 || prefix6_cmp(&a->v6[i], &b->v6[i]))
			return false;
	return true;
}

static bool list_in_list(const struct prefix_list *narrow, const struct prefix_list *wide,
			 long *budget)
{
	if (narrow == wide || same_list(narrow, wide, budget))
		return true;
	for (size_t i = 0; i < narrow->n4; i++)
		if (!prefix4_in_list(narrow->v4[i], wide, budget))
			return false;
	for (size_t i = 0; i < narrow->n6; i++)
		if (!prefix6_in_list(narrow->v6[i], wide, budget))
			return false;
	return true;
}

/* The list ascends by address: its ends tell. */
static bool list_in_prefix4(const struct prefix_list *l, struct prefix4 p)
{
	return !l->n6 && (!l->n4 || (within4(l->v4[0], p) && within4(l->v4[l->n4 - 1], p)));
}

static bool list_in_prefix6(const struct prefix_list *l, struct prefix6 p)
{
	return !l->n4 && (!l->n6 || (within6(l->v6[0], p) && within6(l->v6[l->n6 - 1], p)));
}

static bool item_within(const struct addr_item *narrow, const struct addr_item *wide, long *budget)
{
	const struct prefix_list *set = narrow->kind == ADDR_SET ? &narrow->set->addrs : NULL;

	if (--*budget < 0)
		return false;
	switch (wide->kind) {
	case ADDR_LOCAL:
		return narrow->kind == ADDR_LOCAL;
	case ADDR_PREFIX4:
		if (set)
			return list_in_prefix4(set, wide->p4);
		return narrow->kind == ADDR_PREFIX4 && within4(narrow->p4, wide->p4);
	case ADDR_PREFIX6:
		if (set)
			return list_in_prefix6(set, wide->p6);
		return narrow->kind == ADDR_PREFIX6 && within6(narrow->p6, wide->p6);
	case ADDR_SET:
		if (set)
			return list_in_list(set, &wide->set->addrs, budget);
		if (narrow->kind == ADDR_PREFIX4)
			return prefix4_in_list(narrow->p4, &wide->set->addrs, budget);
		return narrow->kind == ADDR_PREFIX6 &&
		       prefix6_in_list(narrow->p6, &wide->set->addrs, budget);
	}
	return false;
}

static bool disjoint(const struct addr_item *a, const struct addr_item *b)
{
	if (a->kind == ADDR_PREFIX4 && b->kind == ADDR_PREFIX4)
		return !within4(a->p4, b->p4) && !within4(b->p4, a->p4);
	if (a->kind == ADDR_PREFIX6 && b->kind == ADDR_PREFIX6)
		return !within6(a->p6, b->p6) && !within6(b->p6, a->p6);
	return (a->kind == ADDR_PREFIX4 && b->kind == ADDR_PREFIX6) ||
	       (a->kind == ADDR_PREFIX6 && b->kind == ADDR_PREFIX4);
}

/* Is each item of narrow in some item of wide? */
static bool items_within(const struct addr_match *narrow, const struct addr_match *wide,
			 long *budget)
{
	for (size_t i = 0; i < narrow->n; i++) {
		bool found = false;

		for (size_t k = 0; k < wide->n && !found; k++)
			found = item_within(&narrow->items[i], &wide->items[k], budget);
		if (!found)
			return false;
	}
	return true;
}

static bool addrs_cover(const struct addr_match *wide, const struct addr_match *narrow,
			long *budget)
{
	if (!wide->n)
		return true;
	if (!narrow->n)
		return false;
	if (wide->negate == narrow->negate)
		return wide->negate ? items_within(wide, narrow, budget)
				    : items_within(narrow, wide, budget);
	if (narrow->negate)
		return false;
	for (size_t i = 0; i < narrow->n; i++)
		for (size_t k = 0; k < wide->n; k++)
			if (--*budget < 0 || !disjoint(&narrow->items[i], &wide->items[k]))
				return false;
	return true;
}

/* A rule with the words for source and destination exchanged, where mirrored. */
struct view {
	const struct addr_match *saddr, *daddr;
	const struct port_match *sport, *dport;
};

static struct view view_of(const struct rule *r, bool mirrored)
{
	if (mirrored)
		return (struct view){ &r->daddr, &r->saddr, &r->dport, &r->sport };
	return (struct view){ &r->saddr, &r->daddr, &r->sport, &r->dport };
}

static bool port_within(const struct port_match *narrow, const struct port_match *wide,
			long *budget)
{
	return narrow->n && ports_within(&narrow->flat, &wide->flat, budget);
}

static bool ports_cover(const struct rule *r, const struct view *wide, const struct rule *narrow,
			long *budget)
{
	if (r->port.n)
		return port_within(&narrow->port, &r->port, budget) ||
		       port_within(&narrow->sport, &r->port, budget) ||
		       port_within(&narrow->dport, &r->port, budget);
	/* Without anything else that tells the ends apart, a port at one end is a port at either.
	 */
	if (narrow->port.n && !r->oneway && !r->saddr.n && !r->daddr.n && !r->iif.n &&
	    !r->sport.n != !r->dport.n)
		return port_within(&narrow->port, r->sport.n ? &r->sport : &r->dport, budget);
	return (!wide->sport->n || port_within(&narrow->sport, wide->sport, budget)) &&
	       (!wide->dport->n || port_within(&narrow->dport, wide->dport, budget));
}

static bool iif_covers(const struct name_list *wide, const struct name_list *narrow, long *budget)
{
	if (!wide->n)
		return true;
	for (size_t i = 0; i < narrow->n; i++) {
		bool literal = !strpbrk(narrow->names[i], "*?"), found = false;

		for (size_t k = 0; k < wide->n && !found; k++) {
			struct name_list one = { .names = &wide->names[k], .n = 1 };

			if (--*budget < 0)
				return false;
			found = !strcmp(wide->names[k], narrow->names[i]) ||
				(literal && name_list_has(&one, narrow->names[i]));
		}
		if (!found)
			return false;
	}
	return narrow->n > 0;
}

static bool proto_covers(const struct proto_match *wide, const struct proto_match *narrow)
{
	__u64 outside = 0;

	if (!wide->present)
		return true;
	for (int i = 0; i < 4; i++)
		outside |= (narrow->present ? narrow->bits[i] : ~0ULL) & ~wide->bits[i];
	return !outside;
}

static size_t set_prefixes(const struct addr_match *m)
{
	size_t n = m->n;

	for (size_t i = 0; i < m->n; i++)
		if (m->items[i].kind == ADDR_SET)
			n += m->items[i].set->addrs.n4 + m->items[i].set->addrs.n6;
	return n;
}

static bool same_sets(const struct addr_match *a, const struct addr_match *b)
{
	if (a->n != b->n || a->negate != b->negate)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->items[i].kind != ADDR_SET || b->items[i].kind != ADDR_SET ||
		    a->items[i].set != b->items[i].set)
			return false;
	return true;
}

/*
 * A rule with very many prefixes may fit less than it says where the host itself sends
 * (NFT_PREFIXES_MAX). Then only a rule that is narrowed in the same way is surely covered.
 */
static bool narrowed_alike(const struct view *wide, const struct rule *narrow)
{
	if (set_prefixes(wide->saddr) + set_prefixes(wide->daddr) <= NFT_PREFIXES_MAX)
		return true;
	return same_sets(wide->saddr, &narrow->saddr) && same_sets(wide->daddr, &narrow->daddr);
}

bool rule_covers(const struct rule *wide, const struct rule *narrow, long *budget)
{
	if (!proto_covers(&wide->proto, &narrow->proto) || (wide->oneway && !narrow->oneway) ||
	    !iif_covers(&wide->iif, &narrow->iif, budget))
		return false;
	for (int mirrored = 0; mirrored < 2; mirrored++) {
		struct view v = view_of(wide, mirrored);

		/* What iif covers of the other direction is this host's output alone. */
		if (mirrored && (wide->oneway || wide->iif.n))
			break;
		if (((!v.sport->n && !v.dport->n && !wide->port.n) ||
		     ports_cover(wide, &v, narrow, budget)) &&
		    addrs_cover(v.saddr, &narrow->saddr, budget) &&
		    addrs_cover(v.daddr, &narrow->daddr, budget) && narrowed_alike(&v, narrow))
			return true;
	}
	return false;
}
