/* SPDX-License-Identifier: GPL-2.0-only */
/* Rules for the nft tests, built without the parser, and packets to judge by them. */
#ifndef TESTS_NFT_FIXTURE_H
#define TESTS_NFT_FIXTURE_H

#include <arpa/inet.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include "nft.h"

struct fixture {
	struct ruleset rs;
	struct entries entries;
	struct host host;
};

static inline struct rule *fx_rule(struct fixture *f, enum ctb_action action)
{
	struct rule *r;

	if (ARRAY_RESERVE(f->rs.rules, f->rs.cap_rules, f->rs.n_rules + 1))
		abort();
	r = &f->rs.rules[f->rs.n_rules];
	*r = (struct rule){ .action = action, .handle = (__u32)++f->rs.n_rules };
	return r;
}

static inline void fx_proto(struct rule *r, unsigned int proto)
{
	r->proto.present = true;
	r->proto.bits[proto >> 6] |= 1ULL << (proto & 63);
}

/* Call with ascending ranges that do not touch. */
static inline void fx_ports(struct port_match *m, __u16 lo, __u16 hi)
{
	if (ARRAY_RESERVE(m->items, m->cap, m->n + 1) ||
	    ARRAY_RESERVE(m->flat.ranges, m->flat.cap, m->flat.n + 1))
		abort();
	m->items[m->n++].range = (struct port_range){ lo, hi };
	m->flat.ranges[m->flat.n++] = (struct port_range){ lo, hi };
}

static inline struct addr_item *fx_item(struct addr_match *m)
{
	if (ARRAY_RESERVE(m->items, m->cap, m->n + 1))
		abort();
	m->items[m->n] = (struct addr_item){};
	return &m->items[m->n++];
}

static inline struct prefix6 fx_prefix6(const char *text, __u8 len)
{
	struct prefix6 p = { .len = len };
	struct in6_addr a;

	inet_pton(AF_INET6, text, &a);
	for (int i = 0; i < 8; i++) {
		p.hi = p.hi << 8 | a.s6_addr[i];
		p.lo = p.lo << 8 | a.s6_addr[i + 8];
	}
	return p;
}

/* "192.0.2.0/24", "2001:db8::/32", "local" */
static inline void fx_addr(struct addr_match *m, const char *text)
{
	struct addr_item *item = fx_item(m);
	char addr[64];
	unsigned int len;
	struct in_addr a;

	if (!strcmp(text, "local")) {
		item->kind = ADDR_LOCAL;
		return;
	}
	if (sscanf(text, "%63[^/]/%u", addr, &len) != 2)
		abort();
	if (inet_pton(AF_INET, addr, &a) == 1) {
		item->kind = ADDR_PREFIX4;
		item->p4 = (struct prefix4){ ntohl(a.s_addr), (__u8)len };
	} else {
		item->kind = ADDR_PREFIX6;
		item->p6 = fx_prefix6(addr, (__u8)len);
	}
}

static inline void fx_iif(struct rule *r, const char *name)
{
	if (ARRAY_RESERVE(r->iif.names, r->iif.cap, r->iif.n + 1))
		abort();
	snprintf(r->iif.names[r->iif.n++], IFNAMSIZ, "%s", name);
}

static inline void fx_local(struct fixture *f, const char *text)
{
	struct prefix_list *l = &f->host.local;
	struct addr_match m = {};

	fx_addr(&m, text);
	if (ARRAY_RESERVE(l->v4, l->cap4, l->n4 + 1) || ARRAY_RESERVE(l->v6, l->cap6, l->n6 + 1))
		abort();
	if (m.items[0].kind == ADDR_PREFIX4)
		l->v4[l->n4++] = m.items[0].p4;
	else
		l->v6[l->n6++] = m.items[0].p6;
	free(m.items);
}

static inline void fx_interface(struct fixture *f, const char *name)
{
	struct host *h = &f->host;

	if (ARRAY_RESERVE(h->ifs, h->cap_ifs, h->n_ifs + 1))
		abort();
	h->ifs[h->n_ifs] = (struct host_if){ .ifindex = (int)h->n_ifs + 1 };
	snprintf(h->ifs[h->n_ifs++].name, IFNAMSIZ, "%s", name);
}

/* The language's default. */
static inline void fx_failsafe(struct fixture *f)
{
	static struct failsafe_item ssh = { .proto = 6, .ports = { 22, 22 } };

	f->rs.failsafe = &ssh;
	f->rs.n_failsafe = 1;
}

static inline void fx_expand(struct fixture *f)
{
	struct diag d = {};

	entries_free(&f->entries);
	if (expand_ruleset(&f->rs, &f->entries, &d))
		abort();
	diag_free(&d);
}

static inline void fx_free_rules(struct fixture *f)
{
	for (size_t i = 0; i < f->rs.n_rules; i++) {
		struct rule *r = &f->rs.rules[i];
		struct port_match *ports[] = { &r->sport, &r->dport, &r->port };

		for (int k = 0; k < 3; k++) {
			free(ports[k]->items);
			free(ports[k]->flat.ranges);
		}
		free(r->saddr.items);
		free(r->daddr.items);
		free(r->iif.names);
	}
	f->rs.n_rules = 0;
	entries_free(&f->entries);
}

static inline void fx_free(struct fixture *f)
{
	fx_free_rules(f);
	free(f->rs.rules);
	free(f->host.ifs);
	free(f->host.local.v4);
	free(f->host.local.v6);
}

/* --- the obvious judgement --- */

struct fx_packet {
	bool v6, quoted;
	__u8 astray; /* quoted: which bit of the error's destination is not the sender's, plus 1 */
	__u8 proto;
	__u16 sport, dport;
	__u64 src_hi, src_lo, dst_hi, dst_lo; /* IPv4 in lo */
	const char *oif;
};

static inline bool fx_in4(struct prefix4 p, __u64 a)
{
	return !p.len || ((__u32)a ^ p.addr) >> (32 - p.len) == 0;
}

static inline bool fx_in6(struct prefix6 p, __u64 hi, __u64 lo)
{
	if (p.len <= 64)
		return !p.len || (hi ^ p.hi) >> (64 - p.len) == 0;
	return hi == p.hi && (p.len == 64 || (lo ^ p.lo) >> (128 - p.len) == 0);
}

static inline bool fx_in_list(const struct prefix_list *l, bool v6, __u64 hi, __u64 lo)
{
	for (size_t i = 0; !v6 && i < l->n4; i++) {
		if (fx_in4(l->v4[i], lo))
			return true;
	}
	for (size_t i = 0; v6 && i < l->n6; i++) {
		if (fx_in6(l->v6[i], hi, lo))
			return true;
	}
	return false;
}

static inline bool fx_addr_fits(const struct fixture *f, const struct addr_match *m, bool v6,
				__u64 hi, __u64 lo)
{
	bool in = false;

	if (!m)
		return true;
	for (size_t i = 0; !in && i < m->n; i++) {
		const struct addr_item *item = &m->items[i];

		if (item->kind == ADDR_LOCAL)
			in = fx_in_list(&f->host.local, v6, hi, lo);
		else if (item->kind == ADDR_SET)
			in = fx_in_list(&item->set->addrs, v6, hi, lo);
		else if (item->kind == ADDR_PREFIX4)
			in = !v6 && fx_in4(item->p4, lo);
		else
			in = v6 && fx_in6(item->p6, hi, lo);
	}
	return in != m->negate;
}

static inline bool fx_port_fits(const struct port_list *l, __u16 port)
{
	for (size_t i = 0; l && i < l->n; i++) {
		if (port >= l->ranges[i].lo && port <= l->ranges[i].hi)
			return true;
	}
	return !l;
}

static inline bool fx_oif_fits(const struct name_list *l, const char *oif)
{
	for (size_t i = 0; l && i < l->n; i++) {
		if (!fnmatch(l->names[i], oif, 0))
			return true;
	}
	return !l;
}

/* First entry that fits a packet of OUTPUT, or one quoted in an ICMP error; NULL: none. */
static inline const struct entry *fx_judge(const struct fixture *f, const struct fx_packet *p)
{
	if (p->astray)
		return NULL;
	for (size_t i = 0; i < f->entries.n; i++) {
		const struct entry *e = &f->entries.e[i];

		if (p->quoted ? e->too_large_for_nft : !entry_can_be_output(e))
			continue;
		if (proto_has(&e->proto, p->proto) && fx_port_fits(e->sport, p->sport) &&
		    fx_port_fits(e->dport, p->dport) &&
		    (p->quoted || fx_oif_fits(e->iif, p->oif)) &&
		    fx_addr_fits(f, e->src, p->v6, p->src_hi, p->src_lo) &&
		    fx_addr_fits(f, e->dst, p->v6, p->dst_hi, p->dst_lo))
			return e;
	}
	return NULL;
}

#endif
