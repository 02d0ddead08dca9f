// SPDX-License-Identifier: GPL-2.0-only
/* Warnings: found where they are due, and never where they are not. */
#include <errno.h>
#include <netinet/in.h>
#include <time.h>
#include "cover.h"
#include "language.h"
#include "slow.h"

#define SETS \
	"set web { 80, 443, 8000-8080 }\n" \
	"set web2 { 443, 80, 8000-8080 }\n" \
	"set some { 443, 8001 }\n" \
	"set cdn { 192.0.2.0/24, 198.51.100.0/24, 2001:db8::/32 }\n" \
	"set cdn2 { 2001:db8::/32, 198.51.100.0/24, 192.0.2.0/24 }\n" \
	"set part { 192.0.2.128/25, 2001:db8:1::/48 }\n" \
	"set v4 { 192.0.2.0/26, 192.0.2.128/25 }\n"

/* Two rules; does the first cover the second? */
static const struct {
	const char *wide, *narrow;
	bool covers;
} pairs[] = {
	{ "notrack udp dport 53", "track udp dport 53", true },
	{ "notrack udp dport 53", "track udp dport 54", false },
	{ "notrack udp dport 53", "track tcp dport 53", false },
	{ "notrack { tcp, udp } dport 53", "track tcp dport 53", true },
	{ "notrack tcp dport 53", "track { tcp, udp } dport 53", false },
	{ "notrack dport 53", "track tcp dport 53", true },
	{ "notrack tcp dport 53", "track dport 53", false },
	{ "notrack tcp", "track tcp dport 53", true },
	{ "notrack tcp dport 53", "track tcp", false },
	{ "notrack daddr local", "track tcp daddr local", true },
	{ "notrack tcp daddr local", "track daddr local", false },
	/* ports */
	{ "notrack tcp dport 1-100", "track tcp dport { 5, 7-9, 100 }", true },
	{ "notrack tcp dport 1-100", "track tcp dport { 5, 7-9, 101 }", false },
	{ "notrack tcp dport { 1-50, 52-100 }", "track tcp dport 50-52", false },
	{ "notrack tcp dport { 1-50, 51-100 }", "track tcp dport 50-52", true },
	{ "notrack tcp dport @web", "track tcp dport @web", true },
	{ "notrack tcp dport @web", "track tcp dport @web2", true },
	{ "notrack tcp dport @web", "track tcp dport @some", true },
	{ "notrack tcp dport @some", "track tcp dport @web", false },
	{ "notrack tcp dport { @some, 80, 443, 8000-8080 }", "track tcp dport @web", true },
	{ "notrack tcp dport 80", "track tcp dport 80 sport 5", true },
	{ "notrack tcp dport 80 sport 5", "track tcp dport 80", false },
	/* mirrored: both directions of a flow meet the same rule */
	{ "notrack tcp dport 80", "track tcp sport 80", true },
	{ "notrack tcp dport 80 oneway", "track tcp sport 80", false },
	{ "notrack tcp dport 80 oneway", "track tcp dport 80 oneway", true },
	{ "notrack tcp dport 80 oneway", "track tcp dport 80", false },
	{ "notrack tcp dport 80", "track tcp sport 80 oneway", true },
	{ "notrack tcp dport 80 oneway", "track tcp sport 80 oneway", false },
	{ "notrack saddr 192.0.2.1 tcp dport 80", "track daddr 192.0.2.1 tcp sport 80", true },
	{ "notrack saddr 192.0.2.1 tcp dport 80", "track saddr 192.0.2.1 tcp sport 80", false },
	{ "notrack saddr 192.0.2.1 tcp dport 80", "track daddr 192.0.2.1 tcp dport 80", false },
	/* either end */
	{ "notrack tcp port 80", "track tcp dport 80", true },
	{ "notrack tcp port 80", "track tcp sport 80", true },
	{ "notrack tcp port 80", "track tcp port 80", true },
	{ "notrack tcp dport 80", "track tcp port 80", true },
	{ "notrack tcp dport 80 oneway", "track tcp port 80 oneway", false },
	{ "notrack tcp dport 80 daddr local", "track tcp port 80", false },
	{ "notrack tcp dport 80 daddr local", "track tcp port 80 daddr local", false },
	{ "notrack tcp port 80 daddr local", "track tcp dport 80 daddr local", true },
	{ "notrack tcp port 80 oneway", "track tcp sport 80 oneway", true },
	{ "notrack tcp port 80", "track tcp sport 80 dport 5", true },
	{ "notrack tcp port 80", "track tcp sport 81 dport 5", false },
	/* addresses */
	{ "notrack saddr 10.0.0.0/8", "track saddr 10.1.0.0/16", true },
	{ "notrack saddr 10.1.0.0/16", "track saddr 10.0.0.0/8", false },
	{ "notrack saddr 10.0.0.0/8", "track saddr 11.0.0.0/16", false },
	{ "notrack saddr 10.0.0.0/8", "track daddr 10.1.0.0/16", true },
	{ "notrack saddr 10.0.0.0/8 oneway", "track daddr 10.1.0.0/16 oneway", false },
	{ "notrack saddr 10.0.0.0/8", "track saddr { 10.1.0.0/16, 10.2.0.0/16 }", true },
	{ "notrack saddr 10.0.0.0/8", "track saddr { 10.1.0.0/16, ::1 }", false },
	{ "notrack saddr { 10.0.0.0/8, ::/64 }", "track saddr { 10.1.0.0/16, ::1 }", true },
	{ "notrack saddr 0.0.0.0/0", "track saddr 192.0.2.1", true },
	{ "notrack saddr 0.0.0.0/0", "track saddr ::1", false },
	{ "notrack saddr 2001:db8::/32", "track saddr 2001:db8:1::/48", true },
	{ "notrack saddr 2001:db8::/65", "track saddr 2001:db8::8000:0:0:0/65", false },
	{ "notrack saddr local", "track saddr local", true },
	{ "notrack saddr local", "track saddr 192.0.2.1", false },
	{ "notrack saddr 192.0.2.1", "track saddr local", false },
	{ "notrack saddr !local", "track saddr !local", true },
	{ "notrack saddr !local", "track saddr local", false },
	{ "notrack saddr !10.0.0.0/8", "track saddr 11.0.0.0/8", true },
	{ "notrack saddr !10.0.0.0/8", "track saddr ::1", true },
	{ "notrack saddr !10.0.0.0/8", "track saddr 0.0.0.0/0", false },
	{ "notrack saddr !10.1.0.0/16", "track saddr !10.0.0.0/8", true },
	{ "notrack saddr !10.0.0.0/8", "track saddr !10.1.0.0/16", false },
	{ "notrack saddr 10.0.0.0/8", "track saddr !10.0.0.0/8", false },
	{ "notrack saddr 10.0.0.0/8", "track gre", false },
	/* sets of addresses */
	{ "notrack saddr @cdn", "track saddr @cdn", true },
	{ "notrack saddr @cdn", "track saddr @cdn2", true },
	{ "notrack saddr @cdn", "track saddr @part", true },
	{ "notrack saddr @part", "track saddr @cdn", false },
	{ "notrack saddr @cdn", "track saddr @v4", true },
	{ "notrack saddr @v4", "track saddr 192.0.2.0/25", false },
	{ "notrack saddr @v4", "track saddr 192.0.2.130", true },
	{ "notrack saddr @v4", "track saddr 192.0.2.100", false },
	{ "notrack saddr @cdn", "track saddr 2001:db8:ffff::1", true },
	{ "notrack saddr 192.0.2.0/24", "track saddr @v4", true },
	{ "notrack saddr 192.0.2.0/25", "track saddr @v4", false },
	{ "notrack saddr 192.0.2.0/24", "track saddr @part", false },
	{ "notrack saddr !@v4", "track saddr !@cdn", true },
	{ "notrack saddr !@cdn", "track saddr !@v4", false },
	{ "notrack saddr { @v4, ::/0 }", "track saddr { 192.0.2.1, ::1 }", true },
	/* interfaces */
	{ "notrack iif eth0 oneway", "track iif eth0 tcp oneway", true },
	{ "notrack iif eth0 oneway", "track iif eth1 tcp oneway", false },
	{ "notrack iif eth0 oneway", "track tcp oneway", false },
	{ "notrack tcp", "track iif eth0 tcp oneway", true },
	{ "notrack iif \"eth*\" oneway", "track iif { eth0, eth1 } tcp oneway", true },
	{ "notrack iif \"eth*\" oneway", "track iif { eth0, wg1 } tcp oneway", false },
	{ "notrack iif eth0 oneway", "track iif \"eth*\" oneway", false },
	{ "notrack iif \"eth*\" oneway", "track iif \"eth*\" oneway", true },
	{ "notrack iif \"eth?\" oneway", "track iif \"eth*\" oneway", false },
	{ "notrack iif eth0 daddr local", "track tcp iif eth0 daddr local", true },
	{ "notrack iif eth0 daddr local", "track tcp iif eth0 saddr local oneway", false },
	{ "notrack iif eth0 daddr local oneway", "track tcp iif eth0 daddr local", false },
};

Test(lint, covers)
{
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		_strbuf_ struct strbuf text = { 0 };
		struct parsed p;
		bool warned;

		strbuf_addf(&text, SETS "%s\n%s\n", pairs[i].wide, pairs[i].narrow);
		p = parse(text.s);
		cr_assert_eq(p.err, 0, "%s", messages(&p));
		warned = strstr(messages(&p),
				"test.conf:9:1: warning: this rule never gets a packet: rule 1 on "
				"line 8 fits all of them first");
		cr_expect_eq(warned, pairs[i].covers, "%s\n%s\n%s", pairs[i].wide, pairs[i].narrow,
			     messages(&p));
		/* What comes first is never covered. */
		cr_expect_null(strstr(messages(&p), "test.conf:8:1: warning"));
		parsed_free(&p);
	}
}

static const struct {
	const char *text, *warning; /* NULL: none */
} others[] = {
	{ "notrack tcp dport 22",
	  "1:1: warning: this rule never gets a packet: its ports are failsafe" },
	{ "notrack tcp sport 22 saddr ::1", "failsafe" },
	{ "notrack tcp port 22 oneway", "failsafe" },
	{ "notrack tcp dport 23", NULL },
	{ "notrack tcp dport 22-23", NULL },
	{ "notrack udp dport 22", NULL },
	{ "notrack { tcp, udp } dport 22", NULL },
	{ "notrack tcp", NULL },
	{ "failsafe { }\nnotrack tcp dport 22", NULL },
	{ "failsafe { tcp 1-10, tcp 11-20, udp 5 }\nnotrack tcp dport { 3, 9-12 }", "failsafe" },
	{ "failsafe { tcp 1-10, tcp 11-20, udp 5 }\nnotrack { tcp, udp } dport 5", "failsafe" },
	{ "failsafe { tcp 1-10, tcp 11-20, udp 5 }\nnotrack { tcp, udp } dport 6", NULL },
	{ "set s { 80 }", "1:1: warning: set \"s\" is not used" },
	{ "set s { 80 }\nnotrack tcp dport @s", NULL },
	{ "set s { ::1 }\nnotrack saddr !{ ::2, @s }", NULL },
	{ "set s { }\nnotrack tcp dport @s", "2:1: warning: set \"s\" is empty" },
	{ "set s { }\nnotrack saddr @s", "2:1: warning: set \"s\" is empty" },
	{ "set s { }\nnotrack daddr !{ @s, ::1 }", "2:1: warning: set \"s\" is empty" },
	{ "notrack tcp dport 80\nnotrack tcp dport 80 # again", "2:1: warning: this rule never" },
	{ "notrack tcp dport 80\nnotrack tcp dport { 80, 81 }\nnotrack tcp dport 81",
	  "3:1: warning: this rule never gets a packet: rule 2 on line 2" },
	/* Together they cover the third; one rule alone does not, and that is not looked for. */
	{ "notrack tcp dport 80\nnotrack tcp dport 81\nnotrack tcp dport 80-81", NULL },
};

Test(lint, other_warnings)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct parsed p = parse(others[i].text);

		cr_assert_eq(p.err, 0, "%s", messages(&p));
		cr_expect_eq(p.d.warnings, others[i].warning ? 1 : 0, "%s\n%s", others[i].text,
			     messages(&p));
		if (others[i].warning)
			cr_expect(strstr(messages(&p), others[i].warning), "%s\n%s", others[i].text,
				  messages(&p));
		parsed_free(&p);
	}
}

/* A small world, in which a claim that one rule covers another can be tried out. */
struct packet {
	unsigned int proto, src, dst, sport, dport;
	const char *in, *out; /* interface; one of them is NULL */
};

static const char *const addresses[] = { "10.0.0.0", "10.0.0.1",   "10.0.0.2",
					 "10.0.1.0", "2001:db8::", "2001:db8::1" };
#define V4_ADDRESSES 4
static const unsigned int protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_GRE };

static bool is_local(unsigned int a)
{
	return a == 1 || a == 5;
}

static bool in_prefixes(const struct prefix_list *l, unsigned int a)
{
	struct prefix4 a4 = { 0 };
	struct prefix6 a6 = { 0 };
	const char *why;
	int family;

	cr_assert_eq(prefix_parse(addresses[a], strlen(addresses[a]), &family, &a4, &a6, &why), 0);
	for (size_t i = 0; i < l->n4 && a < V4_ADDRESSES; i++)
		if (!l->v4[i].len || (a4.addr ^ l->v4[i].addr) >> (32 - l->v4[i].len) == 0)
			return true;
	for (size_t i = 0; i < l->n6 && a >= V4_ADDRESSES; i++) {
		unsigned int len = l->v6[i].len; /* in this world 0, or from 65 up */

		if (!len || (a6.hi == l->v6[i].hi && (a6.lo ^ l->v6[i].lo) >> (128 - len) == 0))
			return true;
	}
	return false;
}

static bool addr_fits(const struct addr_match *m, unsigned int a)
{
	bool in = false;

	if (!m->n)
		return true;
	for (size_t i = 0; i < m->n && !in; i++) {
		struct addr_item *item = &m->items[i];

		if (item->kind == ADDR_LOCAL)
			in = is_local(a);
		else if (item->kind == ADDR_SET)
			in = in_prefixes(&item->set->addrs, a);
		else if (item->kind == ADDR_PREFIX4)
			in = in_prefixes(&(struct prefix_list){ .v4 = &item->p4, .n4 = 1 }, a);
		else
			in = in_prefixes(&(struct prefix_list){ .v6 = &item->p6, .n6 = 1 }, a);
	}
	return in != m->negate;
}

static bool port_fits(const struct port_match *m, unsigned int port)
{
	for (size_t i = 0; i < m->n; i++) {
		if (!m->items[i].set && port >= m->items[i].range.lo &&
		    port <= m->items[i].range.hi)
			return true;
		for (size_t k = 0; m->items[i].set && k < m->items[i].set->ports.n; k++)
			if (port >= m->items[i].set->ports.ranges[k].lo &&
			    port <= m->items[i].set->ports.ranges[k].hi)
				return true;
	}
	return !m->n;
}

static bool fits_one_way(const struct rule *r, const struct packet *p, bool reply)
{
	struct packet m = *p;

	if (reply) {
		m.src = p->dst;
		m.dst = p->src;
		m.sport = p->dport;
		m.dport = p->sport;
	}
	if (r->iif.n) {
		const char *name = reply ? p->out : p->in;

		if (!name || !name_list_has(&r->iif, name))
			return false;
	}
	if (r->port.n && (!proto_has_ports(m.proto) ||
			  (!port_fits(&r->port, m.sport) && !port_fits(&r->port, m.dport))))
		return false;
	return proto_has(&r->proto, m.proto) && port_fits(&r->sport, m.sport) &&
	       port_fits(&r->dport, m.dport) && addr_fits(&r->saddr, m.src) &&
	       addr_fits(&r->daddr, m.dst);
}

static bool fits(const struct rule *r, const struct packet *p)
{
	return fits_one_way(r, p, false) || (!r->oneway && fits_one_way(r, p, true));
}

/* The first packet of the world that narrow fits and wide does not. */
static bool counterexample(const struct rule *wide, const struct rule *narrow)
{
	static const char *const interfaces[] = { "a", "ab" };

	for (unsigned int i = 0; i < 3 * 6 * 6 * 3 * 3 * 4; i++) {
		struct packet p = {
			.proto = protos[i % 3],
			.src = i / 3 % 6,
			.dst = i / 18 % 6,
			.sport = 1 + i / 108 % 3,
			.dport = 1 + i / 324 % 3,
		};
		unsigned int via = i / 972;

		if ((p.src < V4_ADDRESSES) != (p.dst < V4_ADDRESSES))
			continue;
		if (via & 2)
			p.out = interfaces[via & 1];
		else
			p.in = interfaces[via & 1];
		/* What leaves by this host's own hand has its address. */
		if (p.out && !is_local(p.src))
			continue;
		if (fits(narrow, &p) && !fits(wide, &p))
			return true;
	}
	return false;
}

static unsigned int seed;

static unsigned int below(unsigned int n)
{
	seed = seed * 1103515245U + 12345U;
	return (seed >> 8) % n;
}

static void add_world_addr(struct strbuf *b, const char *word)
{
	static const char *const items[] = {
		"10.0.0.0",	  "10.0.0.1",  "10.0.0.0/31", "10.0.0.0/24",
		"10.0.0.0/30",	  "0.0.0.0/0", "2001:db8::",  "::/0",
		"2001:db8::/127", "local",     "@a",	      "@b",
	};
	unsigned int n = 1 + (below(3) == 0);

	strbuf_addf(b, " %s %s{ ", word, below(3) ? "" : "!");
	for (unsigned int i = 0; i < n; i++)
		strbuf_addf(b, "%s%s", i ? ", " : "", items[below(ARRAY_SIZE(items))]);
	strbuf_addf(b, " }");
}

static void add_world_rule(struct strbuf *b)
{
	static const char *const ports[] = { "1", "2", "1-2", "2-3", "1-3", "@p", "{ 1, 3 }" };
	static const char *const with_ports[] = { "", " tcp", " udp", " { tcp, udp }" };
	static const char *const names[] = { "a", "ab", "\"a*\"", "{ a, ab }" };
	bool oneway = !below(3), got = false;

	strbuf_addf(b, "notrack");
	if (below(2)) {
		strbuf_addf(b, "%s", with_ports[below(4)]);
		if (!below(3)) {
			strbuf_addf(b, " port %s", ports[below(7)]);
		} else {
			bool both = !below(3);

			if (both || below(2))
				strbuf_addf(b, " sport %s", ports[below(7)]);
			if (both || b->s[b->len - 1] == 'p' || !strstr(b->s, "sport"))
				strbuf_addf(b, " dport %s", ports[below(7)]);
		}
		got = true;
	} else if (below(2)) {
		strbuf_addf(b, "%s", below(2) ? " gre" : " { tcp, gre }");
		got = true;
	}
	if (below(2)) {
		add_world_addr(b, "saddr");
		got = true;
	}
	if (!below(4)) {
		strbuf_addf(b, " daddr local iif %s", names[below(4)]);
		got = true;
	} else if (below(2) || !got) {
		add_world_addr(b, "daddr");
	}
	strbuf_addf(b, "%s\n", oneway ? " oneway" : "");
}

/* Never a false positive, over random pairs; and not by being silent about everything. */
Test(lint, cover_is_sound)
{
	unsigned int pairs_seen = 0, covered = 0, missed = 0;

	for (unsigned int round = 0; round < 60000; round++) {
		_strbuf_ struct strbuf wide = { 0 }, narrow = { 0 }, text = { 0 };
		struct parsed p;
		long budget = 1000000;

		seed = round;
		add_world_rule(&wide);
		add_world_rule(&narrow);
		strbuf_addf(&text,
			    "set a { 10.0.0.0/31, 2001:db8::1 }\nset b { 10.0.1.0 }\n"
			    "set p { 1, 3 }\n%s%s",
			    wide.s, narrow.s);
		p = parse(text.s);
		if (p.rs) {
			const struct rule *w = &p.rs->rules[0], *n = &p.rs->rules[1];
			bool says = rule_covers(w, n, &budget);

			pairs_seen++;
			if (says) {
				covered++;
				cr_assert_not(counterexample(w, n), "seed %u\n%s%s", round, wide.s,
					      narrow.s);
			}
			missed += !says && round % 16 == 0 && !counterexample(w, n);
		}
		parsed_free(&p);
	}
	cr_log_info("%u pairs, %u covered, %u of every 16th missed", pairs_seen, covered, missed);
	cr_assert_gt(pairs_seen, 30000);
	cr_assert_gt(covered, 500);
}

static double seconds_to_parse(const char *text)
{
	struct timespec start, end;
	struct parsed p;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	p = parse(text);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	cr_assert_eq(p.err, 0, "%s", messages(&p));
	parsed_free(&p);
	return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
}

/* Rulesets that would take minutes if sets were compared element by element for every pair. */
Test(lint, bounded_work)
{
	struct strbuf text = { 0 };
	double seconds;

	for (unsigned int i = 0; i < 1000; i++) {
		strbuf_addf(&text, "set s%u {", i);
		for (unsigned int k = 0; k < 200; k++)
			strbuf_addf(&text, " 10.%u.%u.%u,", k & 1 ? i & 7 : 8, k,
				    k == 199 ? i >> 3 : 0);
		strbuf_addf(&text, " }\n");
	}
	for (unsigned int i = 0; i < 1000; i++)
		strbuf_addf(&text, "notrack saddr @s%u\n", i);
	seconds = seconds_to_parse(text.s);
	cr_assert_lt(seconds, at_most(3), "%.2f s", seconds);
	text.len = 0;
	for (unsigned int i = 0; i < CTB_MAX_RULES - 1; i++)
		strbuf_addf(&text, "notrack udp dport %u saddr 10.%u.%u.0/24\n", i + 1000, i >> 8,
			    i & 255);
	seconds = seconds_to_parse(text.s);
	cr_assert_lt(seconds, at_most(2), "%.2f s", seconds);
	strbuf_free(&text);
}

/*
 * Rules with very many prefixes may be narrowed to transit traffic for local output; what they
 * would have covered there may be reached after all.
 */
Test(lint, huge_sets_are_not_trusted)
{
	struct strbuf text = { 0 };
	struct parsed p;

	strbuf_addf(&text, "set huge {");
	for (unsigned int i = 0; i < 100001; i++)
		strbuf_addf(&text, " 10.%u.%u.%u,", i >> 16, i >> 8 & 255, i & 255);
	strbuf_addf(&text, " }\nnotrack daddr @huge\nnotrack daddr 10.0.0.1\n"
			   "notrack udp daddr @huge\n");
	p = parse(text.s);
	cr_assert_eq(p.d.warnings, 1, "%s", messages(&p));
	cr_assert_not_null(strstr(messages(&p), "test.conf:4:1: warning: this rule never"));
	parsed_free(&p);
	strbuf_free(&text);
}
