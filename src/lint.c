// SPDX-License-Identifier: GPL-2.0-only
/* Mistakes that are not mistakes of the language: rules that fit nothing, or never get a packet. */
#include <errno.h>
#include <netinet/in.h>
#include "cover.h"
#include "proto.h"
#include "ruleset.h"
#include "set.h"

/* Comparisons for one pass over a ruleset: at most some 30 milliseconds. */
#define LINT_BUDGET 3000000

#define V4 1U
#define V6 2U

static bool item_is_everything(const struct addr_item *item, unsigned int family)
{
	switch (item->kind) {
	case ADDR_PREFIX4:
		return family == V4 && !item->p4.len;
	case ADDR_PREFIX6:
		return family == V6 && !item->p6.len;
	case ADDR_SET: /* sorted: the widest stands first */
		return family == V4 ? item->set->addrs.n4 && !item->set->addrs.v4[0].len
				    : item->set->addrs.n6 && !item->set->addrs.v6[0].len;
	case ADDR_LOCAL:
		break;
	}
	return false;
}

static unsigned int item_families(const struct addr_item *item)
{
	switch (item->kind) {
	case ADDR_PREFIX4:
		return V4;
	case ADDR_PREFIX6:
		return V6;
	case ADDR_SET:
		return (item->set->addrs.n4 ? V4 : 0) | (item->set->addrs.n6 ? V6 : 0);
	case ADDR_LOCAL:
		break;
	}
	return V4 | V6;
}

/* The families that can fit; a match of empty sets has none. */
static unsigned int families(const struct addr_match *m)
{
	unsigned int fam = m->n && !m->negate ? 0 : V4 | V6;

	for (size_t i = 0; i < m->n; i++) {
		if (!m->negate)
			fam |= item_families(&m->items[i]);
		else if (item_is_everything(&m->items[i], V4))
			fam &= ~V4;
		else if (item_is_everything(&m->items[i], V6))
			fam &= ~V6;
	}
	return fam;
}

static bool only_proto(const struct proto_match *m, unsigned int proto)
{
	struct proto_match one = { 0 };

	proto_add(&one, proto);
	for (int i = 0; i < 4; i++)
		if (m->bits[i] != one.bits[i])
			return false;
	return true;
}

const char *rule_contradiction(const struct rule *r)
{
	unsigned int src = families(&r->saddr), dst = families(&r->daddr);

	if ((!src && r->saddr.negate) || (!dst && r->daddr.negate))
		return "every address is excluded";
	if (!src || !dst)
		return NULL; /* empty sets: they may be filled later */
	if (!(src & dst))
		return src == V4 ? "saddr is IPv4 only and daddr is IPv6 only"
				 : "saddr is IPv6 only and daddr is IPv4 only";
	if (only_proto(&r->proto, IPPROTO_ICMP) && !(src & dst & V4))
		return "icmp is of IPv4 and the addresses are of IPv6 only";
	if (only_proto(&r->proto, IPPROTO_ICMPV6) && !(src & dst & V6))
		return "icmpv6 is of IPv6 and the addresses are of IPv4 only";
	return NULL;
}

struct lint {
	const struct ruleset *rs;
	struct diag *d;
	struct port_list failsafe[256]; /* by protocol */
	long budget;
};

static int lint_init(struct lint *l, const struct ruleset *rs, struct diag *d)
{
	int err = 0;

	*l = (struct lint){ .rs = rs, .d = d, .budget = LINT_BUDGET };
	for (size_t i = 0; i < rs->n_failsafe && !err; i++) {
		struct port_list *list = &l->failsafe[rs->failsafe[i].proto];

		err = ARRAY_RESERVE(list->ranges, list->cap, list->n + 1);
		if (!err)
			list->ranges[list->n++] = rs->failsafe[i].ports;
	}
	for (size_t i = 0; i < ARRAY_SIZE(l->failsafe) && !err; i++)
		port_list_normalise(&l->failsafe[i]);
	return err;
}

static void lint_free(struct lint *l)
{
	for (size_t i = 0; i < ARRAY_SIZE(l->failsafe); i++)
		port_list_free(&l->failsafe[i]);
}

static const struct named_set *empty_set(const struct rule *r)
{
	const struct addr_match *addrs[] = { &r->saddr, &r->daddr };
	const struct port_match *ports[] = { &r->sport, &r->dport, &r->port };

	for (size_t m = 0; m < ARRAY_SIZE(addrs); m++)
		for (size_t i = 0; i < addrs[m]->n; i++)
			if (addrs[m]->items[i].kind == ADDR_SET &&
			    !item_families(&addrs[m]->items[i]))
				return addrs[m]->items[i].set;
	for (size_t m = 0; m < ARRAY_SIZE(ports); m++)
		for (size_t i = 0; i < ports[m]->n; i++)
			if (ports[m]->items[i].set && !ports[m]->items[i].set->ports.n)
				return ports[m]->items[i].set;
	return NULL;
}

/* Failsafe takes a port at either end. */
static bool failsafe_takes(struct lint *l, const struct rule *r)
{
	const struct port_match *ports[] = { &r->sport, &r->dport, &r->port };

	if (!r->proto.present)
		return false;
	for (size_t m = 0; m < ARRAY_SIZE(ports); m++) {
		bool all = ports[m]->n > 0;

		for (unsigned int proto = 0; proto < 256 && all; proto++)
			if (proto_has(&r->proto, proto))
				all = ports_within(&ports[m]->flat, &l->failsafe[proto],
						   &l->budget);
		if (all)
			return true;
	}
	return false;
}

static void warn_covered(struct lint *l, const struct rule *r, const struct rule *by)
{
	if (by->pos.file && r->pos.file == by->pos.file && by->pos.line != r->pos.line)
		diag_warn(
			l->d, r->pos, r->source, NULL,
			"this rule never gets a packet: rule %u on line %u fits all of them first",
			by->handle, by->pos.line);
	else
		diag_warn(l->d, r->pos, r->source, NULL,
			  "this rule never gets a packet: rule %u fits all of them first",
			  by->handle);
}

static void lint_one(struct lint *l, size_t index)
{
	const struct rule *r = &l->rs->rules[index];
	const struct named_set *empty = empty_set(r);

	if (empty) {
		diag_warn(l->d, r->pos, r->source, NULL, "set \"%s\" is empty", empty->name);
		return;
	}
	if (failsafe_takes(l, r)) {
		diag_warn(l->d, r->pos, r->source, NULL,
			  "this rule never gets a packet: its ports are failsafe");
		return;
	}
	for (size_t i = 0; i < index; i++) {
		if (!rule_covers(&l->rs->rules[i], r, &l->budget))
			continue;
		warn_covered(l, r, &l->rs->rules[i]);
		return;
	}
}

static int lint_begin(struct lint **out, const struct ruleset *rs, struct diag *d)
{
	struct lint *l = malloc(sizeof(*l));

	if (!l)
		return -ENOMEM;
	if (lint_init(l, rs, d)) {
		lint_free(l);
		free(l);
		return -ENOMEM;
	}
	*out = l;
	return 0;
}

static void lint_end(struct lint *l)
{
	lint_free(l);
	free(l);
}

int lint_rule(const struct ruleset *rs, size_t index, struct diag *d)
{
	struct lint *l;
	int err = lint_begin(&l, rs, d);

	if (err)
		return err;
	lint_one(l, index);
	lint_end(l);
	return 0;
}

static int cmp_pointers(const void *a, const void *b)
{
	const struct named_set *const *x = a, *const *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void mark_used(struct named_set *const *sorted, bool *used, size_t n,
		      const struct named_set *set)
{
	struct named_set *const *found = bsearch(&set, sorted, n, sizeof(*sorted), cmp_pointers);

	if (found)
		used[found - sorted] = true;
}

static void mark_used_by(struct named_set *const *sorted, bool *used, size_t n,
			 const struct rule *r)
{
	const struct addr_match *addrs[] = { &r->saddr, &r->daddr };
	const struct port_match *ports[] = { &r->sport, &r->dport, &r->port };

	for (size_t m = 0; m < ARRAY_SIZE(addrs); m++)
		for (size_t i = 0; i < addrs[m]->n; i++)
			if (addrs[m]->items[i].kind == ADDR_SET)
				mark_used(sorted, used, n, addrs[m]->items[i].set);
	for (size_t m = 0; m < ARRAY_SIZE(ports); m++)
		for (size_t i = 0; i < ports[m]->n; i++)
			if (ports[m]->items[i].set)
				mark_used(sorted, used, n, ports[m]->items[i].set);
}

static int warn_unused_sets(const struct ruleset *rs, struct diag *d)
{
	_free_ struct named_set **sorted = calloc(rs->n_sets, sizeof(*sorted));
	_free_ bool *used = calloc(rs->n_sets, sizeof(*used));

	if (!rs->n_sets)
		return 0;
	if (!sorted || !used)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_sets; i++)
		sorted[i] = rs->sets[i];
	qsort(sorted, rs->n_sets, sizeof(*sorted), cmp_pointers);
	for (size_t i = 0; i < rs->n_rules; i++)
		mark_used_by(sorted, used, rs->n_sets, &rs->rules[i]);
	/* In the order of the file. */
	for (size_t i = 0; i < rs->n_sets; i++) {
		struct named_set *const *found = bsearch(&rs->sets[i], sorted, rs->n_sets,
							 sizeof(*sorted), cmp_pointers);

		if (!used[found - sorted])
			diag_warn(d, rs->sets[i]->pos, rs->sets[i]->source, NULL,
				  "set \"%s\" is not used", rs->sets[i]->name);
	}
	return 0;
}

int ruleset_lint(const struct ruleset *rs, struct diag *d)
{
	struct lint *l;
	int err;

	err = warn_unused_sets(rs, d);
	if (!err)
		err = lint_begin(&l, rs, d);
	if (err)
		return err;
	for (size_t i = 0; i < rs->n_rules; i++)
		lint_one(l, i);
	lint_end(l);
	return 0;
}
