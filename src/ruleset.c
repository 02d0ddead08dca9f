// SPDX-License-Identifier: GPL-2.0-only
/* Rulesets: who owns what. Sets are shared by reference, everything else belongs to one ruleset. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "ruleset.h"
#include "set.h"

static void port_match_free(struct port_match *m)
{
	free(m->items);
	if (m->flat.cap)
		free(m->flat.ranges);
}

void rule_free(struct rule *r)
{
	free(r->saddr.items);
	free(r->daddr.items);
	port_match_free(&r->sport);
	port_match_free(&r->dport);
	port_match_free(&r->port);
	free(r->iif.names);
	free(r->comment);
	free(r->source);
	*r = (struct rule){ 0 };
}

struct ruleset *ruleset_new(void)
{
	struct ruleset *rs = calloc(1, sizeof(*rs));

	if (!rs)
		return NULL;
	rs->mark = DEFAULT_MARK;
	rs->next_handle = 1;
	if (ARRAY_RESERVE(rs->failsafe, rs->cap_failsafe, 1)) {
		ruleset_free(rs);
		return NULL;
	}
	rs->failsafe[rs->n_failsafe++] = (struct failsafe_item){ .proto = IPPROTO_TCP,
								 .ports = { .lo = 22, .hi = 22 } };
	return rs;
}

void ruleset_free(struct ruleset *rs)
{
	if (!rs)
		return;
	for (size_t i = 0; i < rs->n_rules; i++)
		rule_free(&rs->rules[i]);
	free(rs->rules);
	for (size_t i = 0; i < rs->n_sets; i++)
		set_unref(rs->sets[i]);
	free(rs->sets);
	free(rs->failsafe);
	free(rs->interfaces.names);
	for (size_t i = 0; i < rs->n_files; i++)
		free(rs->files[i]);
	free(rs->files);
	free(rs);
}

/* Replace a pointer to somebody else's array by a copy of its n elements. */
#define OWN(arr, n, cap) own_array(&(arr), (n), &(cap), sizeof(*(arr)))

static int own_array(void *array_ptr, size_t n, size_t *cap, size_t size)
{
	void *from, *copy = NULL;

	memcpy(&from, array_ptr, sizeof(from));
	if (n) {
		copy = malloc(n * size);
		if (copy)
			memcpy(copy, from, n * size);
	}
	memcpy(array_ptr, &copy, sizeof(copy));
	*cap = copy ? n : 0;
	return n && !copy ? -ENOMEM : 0;
}

static int own_string(char **s)
{
	if (!*s)
		return 0;
	*s = strdup(*s);
	return *s ? 0 : -ENOMEM;
}

/* Every pointer must become the copy's own or NULL, also behind a failure: rule_free follows. */
static int rule_copy(struct rule *to, const struct rule *from)
{
	struct port_match *ports[] = { &to->sport, &to->dport, &to->port };
	int err = 0;

	*to = *from;
	err |= OWN(to->saddr.items, to->saddr.n, to->saddr.cap);
	err |= OWN(to->daddr.items, to->daddr.n, to->daddr.cap);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		err |= OWN(ports[i]->items, ports[i]->n, ports[i]->cap);
		if (ports[i]->flat.cap)
			err |= OWN(ports[i]->flat.ranges, ports[i]->flat.n, ports[i]->flat.cap);
	}
	err |= OWN(to->iif.names, to->iif.n, to->iif.cap);
	err |= own_string(&to->comment);
	err |= own_string(&to->source);
	return err ? -ENOMEM : 0;
}

/* The name in to->files that stands where from's pointer points. */
static const char *same_file(const struct ruleset *to, const struct ruleset *from, const char *file)
{
	for (size_t i = 0; file && i < from->n_files; i++)
		if (from->files[i] == file)
			return to->files[i];
	return NULL;
}

static int copy_into(struct ruleset *to, const struct ruleset *from)
{
	int err;

	if (ARRAY_RESERVE(to->files, to->cap_files, from->n_files) ||
	    ARRAY_RESERVE(to->sets, to->cap_sets, from->n_sets) ||
	    ARRAY_RESERVE(to->rules, to->cap_rules, from->n_rules) ||
	    ARRAY_RESERVE(to->failsafe, to->cap_failsafe, from->n_failsafe) ||
	    ARRAY_RESERVE(to->interfaces.names, to->interfaces.cap, from->interfaces.n))
		return -ENOMEM;
	for (size_t i = 0; i < from->n_files; i++) {
		to->files[i] = strdup(from->files[i]);
		if (!to->files[i])
			return -ENOMEM;
		to->n_files++;
	}
	for (size_t i = 0; i < from->n_sets; i++)
		to->sets[to->n_sets++] = set_ref(from->sets[i]);
	for (size_t i = 0; i < from->n_rules; i++) {
		err = rule_copy(&to->rules[i], &from->rules[i]);
		to->n_rules++;
		if (err)
			return err;
		to->rules[i].pos.file = same_file(to, from, from->rules[i].pos.file);
	}
	for (size_t i = 0; i < from->n_failsafe; i++)
		to->failsafe[i] = from->failsafe[i];
	to->n_failsafe = from->n_failsafe;
	for (size_t i = 0; i < from->interfaces.n; i++)
		memcpy(to->interfaces.names[i], from->interfaces.names[i], IFNAMSIZ);
	to->interfaces.n = from->interfaces.n;
	to->mark = from->mark;
	to->interface_given = from->interface_given;
	to->mark_given = from->mark_given;
	to->failsafe_given = from->failsafe_given;
	to->next_handle = from->next_handle;
	return 0;
}

struct ruleset *ruleset_clone(const struct ruleset *rs)
{
	_ruleset_ struct ruleset *copy = ruleset_new();

	if (!copy || copy_into(copy, rs))
		return NULL;
	return TAKE_PTR(copy);
}

int ruleset_find(const struct ruleset *rs, __u32 handle)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].handle == handle)
			return (int)i;
	return -ENOENT;
}

int ruleset_delete(struct ruleset *rs, __u32 handle)
{
	int i = ruleset_find(rs, handle);

	if (i < 0)
		return i;
	rule_free(&rs->rules[i]);
	rs->n_rules--;
	memmove(&rs->rules[i], &rs->rules[i + 1], (rs->n_rules - (size_t)i) * sizeof(*rs->rules));
	return 0;
}

struct named_set *ruleset_set(const struct ruleset *rs, const char *name)
{
	for (size_t i = 0; i < rs->n_sets; i++)
		if (!strcmp(rs->sets[i]->name, name))
			return rs->sets[i];
	return NULL;
}

static int flatten(struct port_match *m)
{
	struct port_list flat = { 0 };
	int err = 0;

	if (m->n == 1 && m->items[0].set) {
		flat = m->items[0].set->ports;
		flat.cap = 0;
	} else {
		for (size_t i = 0; i < m->n && !err; i++) {
			const struct port_range *r = &m->items[i].range;
			size_t n = 1;

			if (m->items[i].set) {
				r = m->items[i].set->ports.ranges;
				n = m->items[i].set->ports.n;
			}
			err = ARRAY_RESERVE(flat.ranges, flat.cap, flat.n + n);
			if (!err && n)
				memcpy(flat.ranges + flat.n, r, n * sizeof(*r));
			if (!err)
				flat.n += n;
			/* Many large sets in one list: keep it no larger than ports can be. */
			if (!err && flat.n > 65536)
				port_list_normalise(&flat);
		}
		if (err) {
			port_list_free(&flat);
			return err;
		}
		port_list_normalise(&flat);
	}
	if (m->flat.cap)
		free(m->flat.ranges);
	m->flat = flat;
	return 0;
}

int rule_flatten_ports(struct rule *r)
{
	int err = flatten(&r->sport);

	if (!err)
		err = flatten(&r->dport);
	return err ? err : flatten(&r->port);
}

static void replace_addrs(struct addr_match *m, const struct named_set *old, struct named_set *set)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->items[i].kind == ADDR_SET && m->items[i].set == old)
			m->items[i].set = set;
}

static void replace_ports(struct port_match *m, const struct named_set *old, struct named_set *set)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->items[i].set == old)
			m->items[i].set = set;
}

void rule_replace_set(struct rule *r, const struct named_set *old, struct named_set *set)
{
	replace_addrs(&r->saddr, old, set);
	replace_addrs(&r->daddr, old, set);
	replace_ports(&r->sport, old, set);
	replace_ports(&r->dport, old, set);
	replace_ports(&r->port, old, set);
}

void ruleset_replace_set(struct ruleset *rs, struct named_set *old, struct named_set *set)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		rule_replace_set(&rs->rules[i], old, set);
	for (size_t i = 0; i < rs->n_sets; i++)
		if (rs->sets[i] == old)
			rs->sets[i] = set;
	set_unref(old);
}
