// SPDX-License-Identifier: GPL-2.0-only
/*
 * `set add` and `set delete`: a named set replaced by a changed copy. One pass over the set,
 * whatever the number of elements, so that a million prefixes can be changed quickly.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "ruleset.h"
#include "set.h"

struct change {
	struct named_set *set; /* the copy */
	bool add;
	struct prefix_list addrs; /* elements to add or delete */
	__u64 ports[65536 / 64];  /* the set's ports, one bit each */
	struct diag *d;
};

static const struct pos command_line = { .file = "command line" };

static int refuse(struct change *c, const char *element, const char *why)
{
	diag_error(c->d, command_line, NULL, NULL, "set \"%s\": \"%.64s\" %s", c->set->name,
		   element, why);
	return -EINVAL;
}

static bool port_bit(const struct change *c, unsigned int port)
{
	return c->ports[port >> 6] >> (port & 63) & 1;
}

static int change_ports(struct change *c, const char *text, struct port_range r)
{
	bool all = true;

	for (unsigned int port = r.lo; port <= r.hi; port++)
		all = all && port_bit(c, port);
	if (c->add && all)
		return refuse(c, text, "is in it already");
	if (!c->add && !all)
		return refuse(c, text, "is not in it");
	for (unsigned int port = r.lo; port <= r.hi; port++)
		if (c->add)
			c->ports[port >> 6] |= 1ULL << (port & 63);
		else
			c->ports[port >> 6] &= ~(1ULL << (port & 63));
	return 0;
}

static int change_addr(struct change *c, const char *text, const struct element *e)
{
	bool there = e->family == AF_INET ? prefix_list_has4(&c->set->addrs, e->p4)
					  : prefix_list_has6(&c->set->addrs, e->p6);

	if (c->add && there)
		return refuse(c, text, "is in it already");
	if (!c->add && !there)
		return refuse(c, text, "is not in it");
	return element_append(e, &c->addrs, NULL);
}

/* One element; the set itself is not changed yet. */
static int take_element(struct change *c, const char *text)
{
	char why[ELEMENT_WHY];
	struct element e;

	if (element_parse(text, strlen(text), c->set->kind, &e, why)) {
		diag_error(c->d, command_line, NULL,
			   c->set->kind == SET_ADDRS   ? "an address or a prefix"
			   : c->set->kind == SET_PORTS ? "a port or a range of ports"
						       : "a prefix, or a port",
			   "set \"%s\": \"%.64s\": %s", c->set->name, text, why);
		return -EINVAL;
	}
	c->set->kind = e.kind;
	return e.kind == SET_PORTS ? change_ports(c, text, e.ports) : change_addr(c, text, &e);
}

static int store_ports(struct change *c)
{
	struct port_list *l = &c->set->ports;

	l->n = 0;
	for (unsigned int port = 0; port < 65536; port++) {
		if (!port_bit(c, port))
			continue;
		if (l->n && l->ranges[l->n - 1].hi + 1U == port) {
			l->ranges[l->n - 1].hi = (__u16)port;
			continue;
		}
		if (ARRAY_RESERVE(l->ranges, l->cap, l->n + 1))
			return -ENOMEM;
		l->ranges[l->n++] = (struct port_range){ .lo = (__u16)port, .hi = (__u16)port };
	}
	return 0;
}

static int store_addrs(struct change *c)
{
	struct prefix_list *l = &c->set->addrs;
	size_t given = c->addrs.n4 + c->addrs.n6, kept;

	prefix_list_normalise(&c->addrs);
	if (given != c->addrs.n4 + c->addrs.n6) {
		diag_error(c->d, command_line, NULL, NULL, "set \"%s\": an element is given twice",
			   c->set->name);
		return -EINVAL;
	}
	if (!c->add) {
		kept = 0;
		for (size_t i = 0; i < l->n4; i++)
			if (!prefix_list_has4(&c->addrs, l->v4[i]))
				l->v4[kept++] = l->v4[i];
		l->n4 = kept;
		kept = 0;
		for (size_t i = 0; i < l->n6; i++)
			if (!prefix_list_has6(&c->addrs, l->v6[i]))
				l->v6[kept++] = l->v6[i];
		l->n6 = kept;
		return 0;
	}
	if (ARRAY_RESERVE(l->v4, l->cap4, l->n4 + c->addrs.n4) ||
	    ARRAY_RESERVE(l->v6, l->cap6, l->n6 + c->addrs.n6))
		return -ENOMEM;
	/* From the end, so that nothing is overwritten before it has moved. */
	for (size_t old = l->n4, new = c->addrs.n4, to = old + new; new;)
		l->v4[--to] = old && prefix4_cmp(&l->v4[old - 1], &c->addrs.v4[new - 1]) > 0
				      ? l->v4[--old]
				      : c->addrs.v4[--new];
	for (size_t old = l->n6, new = c->addrs.n6, to = old + new; new;)
		l->v6[--to] = old && prefix6_cmp(&l->v6[old - 1], &c->addrs.v6[new - 1]) > 0
				      ? l->v6[--old]
				      : c->addrs.v6[--new];
	l->n4 += c->addrs.n4;
	l->n6 += c->addrs.n6;
	return 0;
}

static int apply_elements(struct change *c, char *const *elements, size_t n)
{
	const struct port_list *l = &c->set->ports;
	int err = 0;

	for (size_t i = 0; i < l->n; i++)
		for (unsigned int port = l->ranges[i].lo; port <= l->ranges[i].hi; port++)
			c->ports[port >> 6] |= 1ULL << (port & 63);
	for (size_t i = 0; i < n && !err; i++)
		err = take_element(c, elements[i]);
	if (err)
		return err;
	return c->set->kind == SET_PORTS ? store_ports(c) : store_addrs(c);
}

static bool uses_set(const struct port_match *m, const struct named_set *set)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->items[i].set == set)
			return true;
	return false;
}

/* What a rule cannot say in the file it shall not come to say through its sets either. */
static int check_rules(const struct ruleset *rs, struct diag *d)
{
	for (size_t i = 0; i < rs->n_rules; i++) {
		const char *why = rule_contradiction(&rs->rules[i]);

		if (!why)
			continue;
		diag_error(d, rs->rules[i].pos, rs->rules[i].source, NULL,
			   "then no packet could fit rule %u: %s", rs->rules[i].handle, why);
		return -EINVAL;
	}
	return 0;
}

static int flatten_users(struct ruleset *rs, const struct named_set *set)
{
	int err = 0;

	for (size_t i = 0; i < rs->n_rules && !err; i++) {
		struct rule *r = &rs->rules[i];

		if (uses_set(&r->sport, set) || uses_set(&r->dport, set) || uses_set(&r->port, set))
			err = rule_flatten_ports(r);
	}
	return err;
}

static int change_set(struct ruleset *rs, struct named_set *set, struct change *c,
		      char *const *elements, size_t n)
{
	int err;

	c->set = set_copy(set);
	if (!c->set)
		return -ENOMEM;
	err = apply_elements(c, elements, n);
	if (err)
		return err;
	c->set->modified = true;
	/* The old one must live until the change is certain. */
	set_ref(set);
	ruleset_replace_set(rs, set, set_ref(c->set));
	err = check_rules(rs, c->d);
	if (!err)
		err = flatten_users(rs, c->set);
	if (err) {
		ruleset_replace_set(rs, c->set, set_ref(set));
		flatten_users(rs, set);
	}
	set_unref(set);
	return err;
}

int ruleset_set_change(struct ruleset *rs, const char *name, bool add, char *const *elements,
		       size_t n, struct diag *d)
{
	_free_ struct change *c = calloc(1, sizeof(*c));
	struct named_set *set = ruleset_set(rs, name);
	int err = -ENOMEM;

	if (!set) {
		diag_error(d, command_line, NULL, "the name of a set in the configuration",
			   "unknown set \"%.64s\"", name);
		return -EINVAL;
	}
	if (!n) {
		diag_error(d, command_line, NULL, "at least one element",
			   "set \"%s\": nothing to %s", name, add ? "add" : "delete");
		return -EINVAL;
	}
	if (c) {
		c->d = d;
		c->add = add;
		err = change_set(rs, set, c, elements, n);
		prefix_list_free(&c->addrs);
		set_unref(c->set);
	}
	if (err && err != -EINVAL)
		diag_error(d, command_line, NULL, NULL, "%s", strerror(-err));
	return err;
}
