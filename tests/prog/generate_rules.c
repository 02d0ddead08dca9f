// SPDX-License-Identifier: GPL-2.0-only
/* The world and its rule sets (generate.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "generate.h"

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) */
__u64 rng_next(struct rng *r)
{
	__u64 z = r->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

unsigned int rng_below(struct rng *r, unsigned int n)
{
	return (rng_next(r) >> 32) * n >> 32;
}

bool rng_percent(struct rng *r, unsigned int percent)
{
	return rng_below(r, 100) < percent;
}

static struct prefix4 cut4(__u32 addr, unsigned int len)
{
	__u32 mask = len ? ~0U << (32 - len) : 0;

	return (struct prefix4){ .addr = addr & mask, .len = len };
}

static struct prefix6 cut6(__u64 hi, __u64 lo, unsigned int len)
{
	__u64 mh = len >= 64 ? ~0ULL : len ? ~0ULL << (64 - len) : 0;
	__u64 ml = len == 128 ? ~0ULL : len > 64 ? ~0ULL << (128 - len) : 0;

	return (struct prefix6){ .hi = hi & mh, .lo = lo & ml, .len = len };
}

/* Half of them lie inside an earlier one. Lengths around 16 and 64 are where tables are joined. */
static void make_prefixes(struct rng *r, struct world *w)
{
	static const unsigned int len4[] = { 8, 15, 16, 17, 20, 24, 28, 31, 32, 32 };
	static const unsigned int len6[] = { 16, 32, 48, 63, 64, 65, 80, 127, 128, 128 };
	unsigned int i, len;

	for (i = 0; i < WORLD_PREFIXES; i++) {
		__u32 a4 = rng_next(r);
		__u64 hi = rng_next(r), lo = rng_next(r);

		len = rng_percent(r, 80) ? len4[rng_below(r, ARRAY_SIZE(len4))] : rng_below(r, 33);
		if (i && rng_percent(r, 50)) {
			struct prefix4 up = w->p4[rng_below(r, i)];

			a4 = up.addr | (up.len == 32 ? 0 : (a4 & (~0U >> up.len)));
			if (len < up.len)
				len = up.len + rng_below(r, 33 - up.len);
		}
		w->p4[i] = cut4(a4, len);

		len = rng_percent(r, 80) ? len6[rng_below(r, ARRAY_SIZE(len6))] : rng_below(r, 129);
		if (i && rng_percent(r, 50)) {
			struct prefix6 up = w->p6[rng_below(r, i)];
			struct prefix6 rest = cut6(hi, lo, up.len);

			hi = up.hi | (hi ^ rest.hi);
			lo = up.lo | (lo ^ rest.lo);
			if (len < up.len)
				len = up.len + rng_below(r, 129 - up.len);
		}
		w->p6[i] = cut6(hi, lo, len);
	}
}

static void make_ports(struct rng *r, struct world *w)
{
	static const __u16 known[] = { 0, 1, 22, 53, 80, 443, 8080, 33333, 65534, 65535 };
	unsigned int i, lo, hi;

	for (i = 0; i < WORLD_PORTS; i++) {
		lo = rng_percent(r, 50) ? known[rng_below(r, ARRAY_SIZE(known))]
					: rng_below(r, 65536);
		hi = lo;
		if (rng_percent(r, 50)) /* wide ones overlap the others */
			hi += rng_below(r, rng_percent(r, 30) ? 40000 : 50);
		w->ports[i] = (struct port_range){ .lo = lo, .hi = hi > 65535 ? 65535 : hi };
	}
}

static int add_local4(struct prefix_list *l, struct prefix4 p)
{
	if (ARRAY_RESERVE(l->v4, l->cap4, l->n4 + 1) < 0)
		return -ENOMEM;
	l->v4[l->n4++] = p;
	return 0;
}

static int add_local6(struct prefix_list *l, struct prefix6 p)
{
	if (ARRAY_RESERVE(l->v6, l->cap6, l->n6 + 1) < 0)
		return -ENOMEM;
	l->v6[l->n6++] = p;
	return 0;
}

/* What every host has, and some addresses of its own, most of them inside prefixes of rules. */
static int make_local(struct rng *r, struct world *w)
{
	struct prefix_list *l = &w->host.local;
	unsigned int i, n = rng_below(r, 4);
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		struct prefix4 p4 = w->p4[rng_below(r, WORLD_PREFIXES)];
		struct prefix6 p6 = w->p6[rng_below(r, WORLD_PREFIXES)];

		err = add_local4(l, cut4(p4.addr + rng_below(r, 3), 32));
		if (!err)
			err = add_local6(l, cut6(p6.hi, p6.lo + rng_below(r, 3), 128));
	}
	if (!err)
		err = add_local4(l, cut4(0x7f000000, 8));
	if (!err)
		err = add_local4(l, cut4(0xe0000000, 4));
	if (!err)
		err = add_local4(l, cut4(0xffffffff, 32));
	if (!err)
		err = add_local6(l, cut6(0, 1, 128));
	if (!err)
		err = add_local6(l, cut6(0xff00000000000000ULL, 0, 8));
	return err;
}

static int by_addr4(const void *a, const void *b)
{
	const struct prefix4 *x = a, *y = b;

	return x->addr != y->addr ? (x->addr > y->addr ? 1 : -1) : x->len - y->len;
}

static int by_addr6(const void *a, const void *b)
{
	const struct prefix6 *x = a, *y = b;

	if (x->hi != y->hi)
		return x->hi > y->hi ? 1 : -1;
	if (x->lo != y->lo)
		return x->lo > y->lo ? 1 : -1;
	return x->len - y->len;
}

/* host.h promises a sorted list without duplicates. */
static void sort_local(struct prefix_list *l)
{
	size_t i, n;

	qsort(l->v4, l->n4, sizeof(*l->v4), by_addr4);
	for (i = 0, n = 0; i < l->n4; i++) {
		if (!n || by_addr4(&l->v4[n - 1], &l->v4[i]))
			l->v4[n++] = l->v4[i];
	}
	l->n4 = n;
	qsort(l->v6, l->n6, sizeof(*l->v6), by_addr6);
	for (i = 0, n = 0; i < l->n6; i++) {
		if (!n || by_addr6(&l->v6[n - 1], &l->v6[i]))
			l->v6[n++] = l->v6[i];
	}
	l->n6 = n;
}

int world_make(struct rng *r, const struct host_if *ifs, size_t n_ifs, struct world *out)
{
	memset(out, 0, sizeof(*out));
	out->forward = 25;
	make_prefixes(r, out);
	make_ports(r, out);
	if (ARRAY_RESERVE(out->host.ifs, out->host.cap_ifs, n_ifs) < 0)
		return -ENOMEM;
	memcpy(out->host.ifs, ifs, n_ifs * sizeof(*ifs));
	out->host.n_ifs = n_ifs;
	if (make_local(r, out) < 0) {
		world_free(out);
		return -ENOMEM;
	}
	sort_local(&out->host.local);
	return 0;
}

void world_free(struct world *w)
{
	free(w->host.ifs);
	free(w->host.local.v4);
	free(w->host.local.v6);
	memset(w, 0, sizeof(*w));
}

static void say_prefix4(struct prefix4 p, struct strbuf *b)
{
	strbuf_addf(b, "%u.%u.%u.%u/%u", p.addr >> 24, p.addr >> 16 & 255, p.addr >> 8 & 255,
		    p.addr & 255, p.len);
}

static void say_prefix6(struct prefix6 p, struct strbuf *b)
{
	char text[INET6_ADDRSTRLEN];
	__u8 bytes[16];
	unsigned int i;

	for (i = 0; i < 8; i++) {
		bytes[i] = p.hi >> (56 - 8 * i);
		bytes[8 + i] = p.lo >> (56 - 8 * i);
	}
	inet_ntop(AF_INET6, bytes, text, sizeof(text));
	strbuf_addf(b, "%s/%u", text, p.len);
}

static void say_prefix(struct rng *r, const struct world *w, int family, struct strbuf *b)
{
	if (family == AF_INET)
		say_prefix4(w->p4[rng_below(r, WORLD_PREFIXES)], b);
	else
		say_prefix6(w->p6[rng_below(r, WORLD_PREFIXES)], b);
}

static void say_ports(struct rng *r, const struct world *w, struct strbuf *b)
{
	struct port_range p = w->ports[rng_below(r, WORLD_PORTS)];

	if (p.lo == p.hi)
		strbuf_addf(b, "%u", p.lo);
	else
		strbuf_addf(b, "%u-%u", p.lo, p.hi);
}

/* family: of all addresses in the rule, so that most of them are not contradictions; 0: both. */
static void say_addr(struct rng *r, const struct world *w, int family, struct strbuf *b)
{
	unsigned int i, n;

	if (rng_percent(r, 25))
		strbuf_addf(b, "!");
	switch (rng_below(r, 4)) {
	case 0:
		strbuf_addf(b, "local");
		return;
	case 1:
		strbuf_addf(b, "@addrs%u", rng_below(r, WORLD_SETS));
		return;
	case 2:
		say_prefix(r, w, family ? family : AF_INET, b);
		return;
	}
	n = 1 + rng_below(r, 4);
	strbuf_addf(b, "{ ");
	for (i = 0; i < n; i++) {
		strbuf_addf(b, i ? ", " : "");
		if (rng_percent(r, 15))
			strbuf_addf(b, "@addrs%u", rng_below(r, WORLD_SETS));
		else if (rng_percent(r, 15))
			strbuf_addf(b, "local");
		else
			say_prefix(r, w,
				   family		? family
				   : rng_percent(r, 50) ? AF_INET
							: AF_INET6,
				   b);
	}
	strbuf_addf(b, " }");
}

static void say_port_match(struct rng *r, const struct world *w, struct strbuf *b)
{
	unsigned int i, n;

	if (rng_percent(r, 25)) {
		strbuf_addf(b, "@ports%u", rng_below(r, WORLD_SETS));
		return;
	}
	if (rng_percent(r, 60)) {
		say_ports(r, w, b);
		return;
	}
	n = 1 + rng_below(r, 4);
	strbuf_addf(b, "{ ");
	for (i = 0; i < n; i++) {
		strbuf_addf(b, i ? ", " : "");
		if (rng_percent(r, 15))
			strbuf_addf(b, "@ports%u", rng_below(r, WORLD_SETS));
		else
			say_ports(r, w, b);
	}
	strbuf_addf(b, " }");
}

/* Returns whether ports may follow. */
static bool say_proto(struct rng *r, struct strbuf *b)
{
	static const char *const with_ports[] = { "tcp", "udp", "udplite", "sctp", "dccp" };
	static const char *const lists[] = { "{ tcp, udp }", "{ udp, udplite, sctp }",
					     "{ tcp, dccp }" };
	static const char *const others[] = { "icmp", "icmpv6", "gre",		"esp",
					      "ah",   "253",	"{ gre, esp }", "{ icmp, icmpv6 }",
					      "0",    "59",	"255",		"{ tcp, gre }" };

	switch (rng_below(r, 10)) {
	case 0:
	case 1:
		return true;
	case 2:
	case 3:
	case 4:
		strbuf_addf(b, " %s", rng_percent(r, 50) ? "udp" : "tcp");
		return true;
	case 5:
		strbuf_addf(b, " %s", with_ports[rng_below(r, ARRAY_SIZE(with_ports))]);
		return true;
	case 6:
	case 7:
		strbuf_addf(b, " %s", lists[rng_below(r, ARRAY_SIZE(lists))]);
		return true;
	}
	strbuf_addf(b, " %s", others[rng_below(r, ARRAY_SIZE(others))]);
	return false;
}

/* What hosts have many of, and what tables by port answer for. */
static void say_port_rule(struct rng *r, const struct world *w, struct strbuf *b)
{
	static const char *const ports[] = { "dport", "sport", "port" };

	strbuf_addf(b, "%s", rng_percent(r, 30) ? "track" : "notrack");
	if (say_proto(r, b) && rng_percent(r, 95)) {
		strbuf_addf(b, " %s ", ports[rng_below(r, ARRAY_SIZE(ports))]);
		say_port_match(r, w, b);
	}
	if (rng_percent(r, 10))
		strbuf_addf(b, " oneway");
}

static void say_rule(struct rng *r, const struct world *w, struct strbuf *b)
{
	int family = rng_percent(r, 45) ? AF_INET : rng_percent(r, 80) ? AF_INET6 : 0;
	bool iif = rng_percent(r, 12), oneway = rng_percent(r, iif ? 60 : 10);

	strbuf_addf(b, "%s",
		    rng_percent(r, w->forward) ? "forward"
		    : rng_percent(r, 30)       ? "track"
					       : "notrack");
	if (say_proto(r, b) && rng_percent(r, 70)) {
		if (rng_percent(r, 30)) {
			strbuf_addf(b, " port ");
			say_port_match(r, w, b);
		} else {
			if (rng_percent(r, 30)) {
				strbuf_addf(b, " sport ");
				say_port_match(r, w, b);
			}
			if (rng_percent(r, 80)) {
				strbuf_addf(b, " dport ");
				say_port_match(r, w, b);
			}
		}
	}
	if (rng_percent(r, 35)) {
		strbuf_addf(b, " saddr ");
		say_addr(r, w, family, b);
	}
	if (rng_percent(r, 45)) {
		strbuf_addf(b, " daddr ");
		if (iif && !oneway)
			strbuf_addf(b, "local");
		else
			say_addr(r, w, family, b);
	} else if (iif && !oneway) {
		strbuf_addf(b, " daddr local");
	}
	if (iif) {
		static const char *const globs[] = { "\"va*\"", "\"v?0\"", "\"*\"", "\"none\"" };
		const struct host_if *i = &w->host.ifs[rng_below(r, w->host.n_ifs)];

		if (rng_percent(r, 60))
			strbuf_addf(b, " iif %s", i->name);
		else
			strbuf_addf(b, " iif %s", globs[rng_below(r, ARRAY_SIZE(globs))]);
	}
	if (oneway)
		strbuf_addf(b, " oneway");
	if (rng_percent(r, 5))
		strbuf_addf(b, " comment \"rule of chance\"");
}

/*
 * A set as dense as a large one is in places: many prefixes in one /16 and one /48, which takes
 * the tables' search as deep as it goes.
 */
static void say_dense(struct rng *r, const struct world *w, struct strbuf *b)
{
	__u32 a = w->p4[rng_below(r, WORLD_PREFIXES)].addr & 0xffff0000;
	__u64 hi = w->p6[rng_below(r, WORLD_PREFIXES)].hi & ~0xffffULL;
	unsigned int i, n = 200 + rng_below(r, 1500);

	for (i = 0; i < n; i++) {
		struct prefix4 p4 = cut4(a | (rng_next(r) & 0xffff), 20 + rng_below(r, 13));
		struct prefix6 p6 = cut6(hi | (rng_next(r) & 0xffff), rng_next(r),
					 rng_percent(r, 50) ? 64 : 56 + rng_below(r, 73));

		strbuf_addf(b, ", ");
		if (rng_percent(r, 50))
			say_prefix4(p4, b);
		else
			say_prefix6(p6, b);
	}
}

static void say_head(struct rng *r, const struct world *w, struct strbuf *b)
{
	unsigned int i, j, n;

	if (rng_percent(r, 50))
		strbuf_addf(b, "mark 0x%x\n", 1U << rng_below(r, 32));
	if (rng_percent(r, 40)) {
		static const char *const protos[] = { "tcp", "udp", "sctp", "udplite", "dccp" };

		n = 1 + rng_below(r, 3);
		strbuf_addf(b, "failsafe { ");
		for (i = 0; i < n; i++) {
			strbuf_addf(b, "%s%s ", i ? ", " : "",
				    protos[rng_below(r, ARRAY_SIZE(protos))]);
			say_ports(r, w, b);
		}
		strbuf_addf(b, " }\n");
	}
	for (i = 0; i < WORLD_SETS; i++) {
		n = 1 + rng_below(r, 6);
		strbuf_addf(b, "set addrs%u { ", i);
		for (j = 0; j < n; j++) {
			strbuf_addf(b, j ? ", " : "");
			/* Set 0 has IPv4 only, set 1 IPv6 only, the others both. */
			say_prefix(r, w,
				   i == 0		? AF_INET
				   : i == 1		? AF_INET6
				   : rng_percent(r, 50) ? AF_INET
							: AF_INET6,
				   b);
		}
		if (i == 2 && rng_percent(r, 10))
			say_dense(r, w, b);
		strbuf_addf(b, " }\nset ports%u { ", i);
		n = 1 + rng_below(r, 5);
		for (j = 0; j < n; j++) {
			strbuf_addf(b, j ? ", " : "");
			say_ports(r, w, b);
		}
		strbuf_addf(b, " }\n");
	}
}

int make_ruleset(struct rng *r, const struct world *w, unsigned int n_rules, struct ruleset **out,
		 struct strbuf *text, unsigned int *refused)
{
	/* In percent, where there are enough rules for that to matter. */
	unsigned int i,
		port_rules = n_rules >= 40 && rng_percent(r, 40) ? 90 + rng_below(r, 11) : 0;
	struct ruleset *scratch = NULL;
	int err;

	*refused = 0;
	say_head(r, w, text);
	{
		_diag_ struct diag d = {};

		err = text->err;
		if (!err)
			err = ruleset_parse_text("generated", ".", text->s, text->len, &scratch,
						 &d);
		if (err) {
			fprintf(stderr, "generated rule set refused:\n%s\n%s\n", text->s,
				d.text.s ? d.text.s : "");
			return err;
		}
	}
	/* One by one, to find the ones that the parser will not have. */
	for (i = 0; i < n_rules; i++) {
		_strbuf_ struct strbuf rule = {};
		_diag_ struct diag d = {};

		if (rng_percent(r, port_rules))
			say_port_rule(r, w, &rule);
		else
			say_rule(r, w, &rule);
		if (rule.err || ruleset_add_rule(scratch, rule.s, &d) < 0) {
			if (getenv("CTB_SHOW_REFUSED"))
				fprintf(stderr, "%s\n%s", rule.s, d.text.s ? d.text.s : "");
			(*refused)++;
			continue;
		}
		strbuf_addf(text, "%s\n", rule.s);
	}
	ruleset_free(scratch);
	{
		_diag_ struct diag d = {};

		err = text->err;
		if (!err)
			err = ruleset_parse_text("generated", ".", text->s, text->len, out, &d);
		if (err)
			fprintf(stderr, "taken rule by rule, refused as a whole:\n%s\n%s\n",
				text->s, d.text.s ? d.text.s : "");
	}
	return err;
}
