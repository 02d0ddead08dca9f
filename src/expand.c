// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "expand.h"

static bool same_item(const struct addr_item *a, const struct addr_item *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case ADDR_PREFIX4:
		return a->p4.addr == b->p4.addr && a->p4.len == b->p4.len;
	case ADDR_PREFIX6:
		return a->p6.hi == b->p6.hi && a->p6.lo == b->p6.lo && a->p6.len == b->p6.len;
	case ADDR_SET:
		return a->set == b->set;
	case ADDR_LOCAL:
		return true;
	}
	return false;
}

/* Written alike; different spellings of one meaning only cost an entry. */
static bool same_addr(const struct addr_match *a, const struct addr_match *b)
{
	if (!a->n || !b->n)
		return a->n == b->n;
	if (a->negate != b->negate || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (!same_item(&a->items[i], &b->items[i]))
			return false;
	}
	return true;
}

/* What nft has been given so far: sets are sent once, however many rules name them. */
struct nft_load {
	const struct named_set **sets;
	size_t n_sets, cap_sets;
	size_t prefixes;
};

static bool load_has(const struct nft_load *l, const struct named_set *set)
{
	for (size_t i = 0; i < l->n_sets; i++) {
		if (l->sets[i] == set)
			return true;
	}
	return false;
}

static int load_add(struct nft_load *l, const struct addr_match *m)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct named_set *set = m->items[i].kind == ADDR_SET ? m->items[i].set : NULL;

		if (set && load_has(l, set))
			continue;
		l->prefixes += set ? set->addrs.n4 + set->addrs.n6 : 1;
		if (!set)
			continue;
		if (ARRAY_RESERVE(l->sets, l->cap_sets, l->n_sets + 1))
			return -ENOMEM;
		l->sets[l->n_sets++] = set;
	}
	return 0;
}

/* Does the match name `local` as something to be met (not as an exclusion)? */
static bool wants_local(const struct addr_match *m)
{
	for (size_t i = 0; !m->negate && i < m->n; i++) {
		if (m->items[i].kind == ADDR_LOCAL)
			return true;
	}
	return false;
}

/* Does the match exclude every local address? */
static bool excludes_local(const struct addr_match *m)
{
	for (size_t i = 0; m && m->negate && i < m->n; i++) {
		if (m->items[i].kind == ADDR_LOCAL)
			return true;
	}
	return false;
}

bool entry_can_be_output(const struct entry *e)
{
	return !e->too_large_for_nft && (!e->iif || e->dir == CTB_DIR_REPLY);
}

static int add(struct entries *out, const struct entry *e)
{
	if (ARRAY_RESERVE(out->e, out->cap, out->n + 1))
		return -ENOMEM;
	out->e[out->n++] = *e;
	return 0;
}

/* One orientation and, unless the rule is oneway or reads the same both ways, its mirror. */
static int add_pair(struct entries *out, const struct rule *r, struct entry e,
		    const struct port_list *sport, const struct port_list *dport)
{
	bool symmetric = same_addr(&r->saddr, &r->daddr) && !sport && !dport && !r->iif.n;
	int err;

	e.sport = sport;
	e.dport = dport;
	err = add(out, &e);
	if (err || r->oneway || symmetric)
		return err;
	e.dir = CTB_DIR_REPLY;
	e.src = r->daddr.n ? &r->daddr : NULL;
	e.dst = r->saddr.n ? &r->saddr : NULL;
	e.sport = dport;
	e.dport = sport;
	return add(out, &e);
}

static int expand_rule(const struct rule *r, struct entries *out)
{
	const struct port_list *sport = r->sport.n ? &r->sport.flat : NULL;
	const struct port_list *dport = r->dport.n ? &r->dport.flat : NULL;
	const struct port_list *port = r->port.n ? &r->port.flat : NULL;
	struct entry e = {
		.rule = r,
		.action = r->action,
		.dir = CTB_DIR_ORIG,
		.handle = r->handle,
		.slot = r->slot,
		.proto = r->proto,
		.src = r->saddr.n ? &r->saddr : NULL,
		.dst = r->daddr.n ? &r->daddr : NULL,
		.iif = r->iif.n ? &r->iif : NULL,
	};
	int err;

	if (!port)
		return add_pair(out, r, e, sport, dport);
	/*
	 * `port P`: the end that is named is most often the service, so dport comes first. When
	 * the addresses read the same both ways, that pair already covers sport.
	 */
	err = add_pair(out, r, e, NULL, port);
	if (err || (!r->oneway && !r->iif.n && same_addr(&r->saddr, &r->daddr)))
		return err;
	return add_pair(out, r, e, port, NULL);
}

/*
 * nft cannot be given this rule's prefixes as well (NFT_PREFIXES_MAX), so local output cannot be
 * judged by it. Bypassing only what arrives would be the one-sided accident; so a rule that
 * bypasses keeps its hands off local traffic altogether. An exception must not, unless it speaks
 * of transit anyway: what it exempts would fall to the rules behind it.
 */
static int narrow(const struct rule *r, struct entries *out, size_t first, struct nft_load *load,
		  struct diag *d)
{
	size_t had = load->prefixes, had_sets = load->n_sets, wanted;
	bool output = false, transit;
	int err = load_add(load, &r->saddr);

	if (!err)
		err = load_add(load, &r->daddr);
	wanted = load->prefixes;
	if (err || wanted <= NFT_PREFIXES_MAX)
		return err;
	load->prefixes = had;
	load->n_sets = had_sets;
	for (size_t i = first; i < out->n; i++) {
		output = output ||
			 (entry_can_be_output(&out->e[i]) && !excludes_local(out->e[i].src));
		out->e[i].too_large_for_nft = true;
	}
	if (!output)
		return 0;
	transit = excludes_local(&r->saddr) || excludes_local(&r->daddr);
	if ((r->action == CTB_TRACK && !transit) || wants_local(&r->saddr) ||
	    wants_local(&r->daddr)) {
		diag_error(d, r->pos, r->source, NULL,
			   "this rule concerns local traffic, and with its sets nft, which judges "
			   "local output, would be given %zu prefixes; the limit is %d",
			   wanted, NFT_PREFIXES_MAX);
		return -E2BIG;
	}
	diag_warn(d, r->pos, r->source, NULL,
		  "this rule covers transit traffic only: for local output nft would be given %zu "
		  "prefixes, and the limit is %d; local traffic stays tracked, in both directions",
		  wanted, NFT_PREFIXES_MAX);
	for (size_t i = first; i < out->n; i++)
		out->e[i].transit_only = true;
	return 0;
}

static int expand_failsafe(const struct ruleset *rs, struct entries *out)
{
	if (!rs->n_failsafe)
		return 0;
	out->failsafe_ports = calloc(rs->n_failsafe, sizeof(*out->failsafe_ports));
	if (!out->failsafe_ports)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_failsafe; i++) {
		const struct failsafe_item *f = &rs->failsafe[i];
		struct port_list *ports = &out->failsafe_ports[i];
		struct entry e = { .action = CTB_TRACK, .dir = CTB_DIR_ORIG, .dport = ports };
		int err;

		if (ARRAY_RESERVE(ports->ranges, ports->cap, 1))
			return -ENOMEM;
		out->n_failsafe_ports = i + 1;
		ports->ranges[ports->n++] = f->ports;
		e.proto.present = true;
		e.proto.bits[f->proto >> 6] |= 1ULL << (f->proto & 63);
		err = add(out, &e);
		if (err)
			return err;
		e.dir = CTB_DIR_REPLY;
		e.dport = NULL;
		e.sport = ports;
		err = add(out, &e);
		if (err)
			return err;
	}
	return 0;
}

int expand_ruleset(const struct ruleset *rs, struct entries *out, struct diag *d)
{
	struct entries e = {};
	struct nft_load load = {};
	int err = expand_failsafe(rs, &e);

	for (size_t i = 0; !err && i < rs->n_rules; i++) {
		size_t first = e.n;

		err = expand_rule(&rs->rules[i], &e);
		if (!err)
			err = narrow(&rs->rules[i], &e, first, &load, d);
	}
	free(load.sets);
	if (err) {
		entries_free(&e);
		return err;
	}
	*out = e;
	return 0;
}

void entries_free(struct entries *e)
{
	for (size_t i = 0; i < e->n_failsafe_ports; i++)
		free(e->failsafe_ports[i].ranges);
	free(e->failsafe_ports);
	free(e->e);
	*e = (struct entries){};
}
