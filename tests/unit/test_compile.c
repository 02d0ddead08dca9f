// SPDX-License-Identifier: GPL-2.0-only
/* The compiled tables against the obvious: every prefix looked at, every entry tried in turn. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "addr_tables.h"
#include "compile.h"

static __u64 seed = 1;

static __u32 rnd(__u32 below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (__u32)(seed >> 33) % below;
}

static bool in4(struct prefix4 p, __u32 a)
{
	return !p.len || (a ^ p.addr) >> (32 - p.len) == 0;
}

static bool in6(struct prefix6 p, __u64 hi, __u64 lo)
{
	if (p.len <= 64)
		return !p.len || (hi ^ p.hi) >> (64 - p.len) == 0;
	return hi == p.hi && (p.len == 64 || (lo ^ p.lo) >> (128 - p.len) == 0);
}

static struct prefix4 random4(void)
{
	/* Few distinct bits, so that prefixes nest and touch. */
	__u32 a = rnd(4) << 30 | rnd(4) << 16 | rnd(8) << 13 | rnd(16);
	__u8 len = (__u8)(rnd(4) ? 12 + rnd(21) : rnd(33));

	return (struct prefix4){ len ? a & ~0U << (32 - len) : 0, len };
}

static struct prefix6 random6(void)
{
	__u8 len = (__u8)(rnd(4) ? 28 + rnd(101) : rnd(129));
	__u64 hi = 0x2001ULL << 48 | (__u64)rnd(4) << 32 | rnd(4),
	      lo = (__u64)rnd(2) << 63 | rnd(8);

	if (len <= 64) {
		lo = 0;
		hi = len ? hi & ~0ULL << (64 - len) : 0;
	} else if (len < 128) {
		lo &= ~0ULL << (128 - len);
	}
	return (struct prefix6){ hi, lo, len };
}

#define ATOMS	 9
#define PER_ATOM 200

/* The tables as compiled_lookup() sees them, with one bit per class in `bits_src`. */
static __u32 class_of(struct compiled *c, bool v6, __u64 hi, __u64 lo)
{
	struct tuple t = { .v6 = v6, .src_hi = hi, .src_lo = lo, .dst_hi = hi, .dst_lo = lo };
	__u32 found = CTB_NO_ENTRY;

	for (size_t k = 0; k < c->n_entries; k += 64) {
		struct bits row = { calloc(c->n_entries, sizeof(__u64)), c->n_entries, 1 };
		struct ctb_entry e[64] = {};
		const struct ctb_entry *fits;

		for (size_t i = 0; i < 64; i++) {
			e[i].prio = (__u32)i;
			if (k + i < c->n_entries)
				row.v[k + i] = 1ULL << i;
		}
		struct compiled view = *c;
		view.config.fields = 1U << CTB_F_SRC;
		view.config.words = 1;
		view.bits[CTB_F_SRC] = row;
		view.entries = e;
		fits = compiled_lookup(&view, &t);
		free(row.v);
		if (fits)
			found = (__u32)(k + (size_t)(fits - e));
	}
	return found;
}

static void check_tables(size_t per_atom)
{
	static struct prefix4 p4[ATOMS][PER_ATOM];
	static struct prefix6 p6[ATOMS][PER_ATOM];
	struct addr_tables *t = addr_tables_new(ATOMS);
	struct compiled c = {};

	cr_assert_not_null(t);
	for (size_t a = 0; a < ATOMS; a++) {
		for (size_t i = 0; i < per_atom; i++) {
			p4[a][i] = random4();
			p6[a][i] = random6();
		}
		cr_assert_eq(addr_tables_add4(t, a, p4[a], per_atom), 0);
		cr_assert_eq(addr_tables_add6(t, a, p6[a], per_atom), 0);
	}
	cr_assert_eq(addr_tables_build(t, &c), 0);
	c.n_entries = addr_tables_classes(t);

	for (int i = 0; i < 4000; i++) {
		size_t a = rnd(ATOMS), k = per_atom ? rnd((__u32)per_atom) : 0;
		struct prefix4 q4 = per_atom ? p4[a][k] : random4();
		struct prefix6 q6 = per_atom ? p6[a][k] : random6();
		/* First and last address of a prefix, their neighbours, or anything. */
		__u32 span = q4.len ? ~0U >> (q4.len - 1) >> 1 : ~0U;
		__u32 x = i % 5 == 0   ? q4.addr
			  : i % 5 == 1 ? q4.addr + span
			  : i % 5 == 2 ? q4.addr - 1
			  : i % 5 == 3 ? q4.addr + span + 1
				       : rnd(~0U) * 2 + rnd(2);
		__u64 hi = q6.hi, lo = q6.lo;
		__u32 class4, class6;

		if (i % 5 == 1) {
			lo |= q6.len < 64 ? ~0ULL : q6.len < 128 ? ~0ULL >> (q6.len - 64) : 0;
			hi |= q6.len < 64 ? ~0ULL >> q6.len : 0;
		} else if (i % 5 == 2) {
			hi -= !lo--;
		} else if (i % 5 == 3) {
			lo++;
		} else if (i % 5 == 4 && i % 2) {
			hi = lo = ~0ULL;
		}
		class4 = class_of(&c, false, 0, x);
		class6 = class_of(&c, true, hi, lo);
		for (size_t m = 0; m < ATOMS; m++) {
			bool is4 = false, is6 = false;

			for (size_t j = 0; j < per_atom; j++) {
				is4 |= in4(p4[m][j], x);
				is6 |= in6(p6[m][j], hi, lo);
			}
			cr_assert_eq(addr_tables_has(t, class4, m), is4, "IPv4 %#x, atom %zu", x,
				     m);
			cr_assert_eq(addr_tables_has(t, class6, m), is6,
				     "IPv6 %#llx %#llx, atom %zu", hi, lo, m);
		}
	}
	addr_tables_free(t);
	compiled_free(&c);
}

Test(addr_tables, empty)
{
	check_tables(0);
}

Test(addr_tables, one_prefix_each)
{
	check_tables(1);
}

Test(addr_tables, nested_prefixes_of_many_sets)
{
	for (seed = 1; seed < 4; seed++)
		check_tables(PER_ATOM);
}

/* A /16 with as many ranges as it can have: every second address is a class of its own. */
Test(addr_tables, full_chunk)
{
	struct addr_tables *t = addr_tables_new(1);
	struct compiled c = {};

	for (__u32 i = 0; i < 65536; i += 2) {
		struct prefix4 p = { 0x0a000000 | i, 32 };

		cr_assert_eq(addr_tables_add4(t, 0, &p, 1), 0);
	}
	cr_assert_eq(addr_tables_build(t, &c), 0);
	cr_assert_eq(c.n_index4, 1);
	cr_assert_eq(c.n_pages4, 64);
	c.n_entries = addr_tables_classes(t);
	for (__u32 i = 0; i < 65536; i += 97)
		cr_assert_eq(addr_tables_has(t, class_of(&c, false, 0, 0x0a000000 | i), 0),
			     !(i & 1));
	cr_assert_eq(addr_tables_has(t, class_of(&c, false, 0, 0x0a010000), 0), false);
	addr_tables_free(t);
	compiled_free(&c);
}

/* One /16 in two is cut up, and one in eight once more: the index then has them all. */
Test(addr_tables, flat_index)
{
	struct addr_tables *t = addr_tables_new(1);
	struct compiled c = {};
	size_t in = 0;

	for (__u32 chunk = 0; chunk < 65536; chunk += 2) {
		struct prefix4 p[] = { { chunk << 16 | 0x100, 24 }, { chunk << 16 | 0x205, 32 } };

		cr_assert_eq(addr_tables_add4(t, 0, p, chunk % 8 ? 1 : 2), 0);
	}
	cr_assert_eq(addr_tables_add4(t, 0, &(struct prefix4){ 7 << 16, 16 }, 1), 0);
	cr_assert_eq(addr_tables_build(t, &c), 0);
	cr_expect_eq(c.config.flat4, 1);
	cr_assert_eq(c.n_index4, 65536);
	c.n_entries = addr_tables_classes(t);
	for (__u32 i = 0; i < 400000; i++) {
		__u32 chunk = rnd(16) ? rnd(65536) : 7, low = rnd(0x400), a = chunk << 16 | low;
		bool want = chunk == 7 || (chunk % 2 == 0 && low >> 8 == 1) ||
			    (chunk % 8 == 0 && low == 0x205);

		in += want;
		cr_assert_eq(addr_tables_has(t, class_of(&c, false, 0, a), 0), want, "%#x", a);
	}
	cr_expect_gt(in, 40000);
	addr_tables_free(t);
	compiled_free(&c);
}

/* One cut /16 less, and it is not. */
Test(addr_tables, not_flat)
{
	struct addr_tables *t = addr_tables_new(1);
	struct compiled c = {};

	for (__u32 chunk = 2; chunk < 65536; chunk += 2)
		cr_assert_eq(
			addr_tables_add4(t, 0, &(struct prefix4){ chunk << 16 | 0x100, 24 }, 1), 0);
	cr_assert_eq(addr_tables_build(t, &c), 0);
	cr_expect_eq(c.config.flat4, 0);
	cr_expect_eq(c.n_index4, 32767);
	c.n_entries = addr_tables_classes(t);
	for (__u32 chunk = 0; chunk < 65536; chunk++)
		cr_assert_eq(addr_tables_has(t, class_of(&c, false, 0, chunk << 16 | 0x1ff), 0),
			     chunk && chunk % 2 == 0);
	addr_tables_free(t);
	compiled_free(&c);
}

Test(addr_tables, too_many_combinations_is_an_error)
{
	struct addr_tables *t = addr_tables_new(17);
	struct compiled c = {};

	/* 17 sets in all 2^17 combinations: address i lies in set b when bit b of i is set. */
	for (__u32 i = 0; i < 1U << 17; i++) {
		for (size_t b = 0; b < 17; b++) {
			struct prefix4 p = { 0x0a000000 + i, 32 };

			if (i >> b & 1)
				cr_assert_eq(addr_tables_add4(t, b, &p, 1), 0);
		}
	}
	cr_assert_eq(addr_tables_build(t, &c), -E2BIG);
	addr_tables_free(t);
	compiled_free(&c);
}

/* --- whole rulesets: first match, tried one by one --- */

struct rulebook {
	struct ruleset *rs;
	struct host host;
};

static bool item_has(const struct rulebook *b, const struct addr_item *it, const struct tuple *t,
		     __u64 hi, __u64 lo)
{
	switch (it->kind) {
	case ADDR_PREFIX4:
		return !t->v6 && in4(it->p4, (__u32)lo);
	case ADDR_PREFIX6:
		return t->v6 && in6(it->p6, hi, lo);
	case ADDR_LOCAL:
		for (size_t i = 0; i < b->host.local.n4; i++) {
			if (!t->v6 && in4(b->host.local.v4[i], (__u32)lo))
				return true;
		}
		for (size_t i = 0; i < b->host.local.n6; i++) {
			if (t->v6 && in6(b->host.local.v6[i], hi, lo))
				return true;
		}
		return false;
	case ADDR_SET:
		for (size_t i = 0; i < it->set->addrs.n4; i++) {
			if (!t->v6 && in4(it->set->addrs.v4[i], (__u32)lo))
				return true;
		}
		for (size_t i = 0; i < it->set->addrs.n6; i++) {
			if (t->v6 && in6(it->set->addrs.v6[i], hi, lo))
				return true;
		}
	}
	return false;
}

static bool addr_fits(const struct rulebook *b, const struct addr_match *m, const struct tuple *t,
		      __u64 hi, __u64 lo)
{
	bool in = false;

	if (!m)
		return true;
	for (size_t i = 0; i < m->n; i++)
		in |= item_has(b, &m->items[i], t, hi, lo);
	return in != m->negate;
}

static bool port_fits(const struct port_list *l, __u16 port)
{
	if (!l)
		return true;
	for (size_t i = 0; i < l->n; i++) {
		if (port >= l->ranges[i].lo && port <= l->ranges[i].hi)
			return true;
	}
	return false;
}

static bool iif_fits(const struct rulebook *b, const struct entry *e, const struct tuple *t)
{
	const struct host_if *h = host_find(&b->host, (int)t->ifindex);
	bool named = e->iif && h && name_list_has(e->iif, h->name);

	if (!e->iif)
		return true;
	/* Of what an error quotes that this host sends nobody knows where it came in. */
	if (t->output)
		return t->quoted || (e->dir == CTB_DIR_REPLY && named);
	if (t->quoted)
		return e->dir == CTB_DIR_ORIG || named;
	return e->dir == CTB_DIR_ORIG && named;
}

static bool is_local(const struct rulebook *b, const struct tuple *t)
{
	static const struct addr_item local = { .kind = ADDR_LOCAL };

	return item_has(b, &local, t, t->src_hi, t->src_lo) ||
	       item_has(b, &local, t, t->dst_hi, t->dst_lo);
}

/*
 * The entry that must judge the tuple, with its rank: a forward entry is two, of which the second
 * is for local packets. any_port: the ports are not known, and any may be meant. False: none.
 */
static bool first_fit(const struct rulebook *b, const struct entries *es, const struct tuple *t,
		      bool any_port, struct ctb_entry *out)
{
	__u32 rank = 0;

	for (size_t i = 0; i < es->n; i++) {
		const struct entry *e = &es->e[i];
		bool split = e->action == CTB_FORWARD;

		if (proto_has(&e->proto, t->proto) &&
		    addr_fits(b, e->src, t, t->src_hi, t->src_lo) &&
		    addr_fits(b, e->dst, t, t->dst_hi, t->dst_lo) &&
		    (any_port ||
		     (port_fits(e->sport, t->sport) && port_fits(e->dport, t->dport))) &&
		    iif_fits(b, e, t)) {
			bool local = split && is_local(b, t);

			*out = (struct ctb_entry){ .prio = rank + local,
						   .slot = (__u16)e->slot,
						   .action = e->action };
			out->flags |= e->dir == CTB_DIR_REPLY ? CTB_E_REPLY : 0;
			out->flags |= e->sport || e->dport ? CTB_E_PORTS : 0;
			out->flags |= local ? CTB_E_LOCAL : 0;
			return true;
		}
		rank += split ? 2 : 1;
	}
	return false;
}

static bool same_entry(const struct ctb_entry *e, bool found, const struct ctb_entry *want)
{
	if (!e || !found)
		return !e && !found;
	return e->prio == want->prio && e->slot == want->slot && e->action == want->action &&
	       e->flags == want->flags;
}

static const char *random_addr(char *buf, size_t size)
{
	static const char *const fixed[] = { "local", "!local", "@nets", "!@nets", "@more" };

	if (rnd(3))
		return fixed[rnd(5)];
	if (rnd(2))
		snprintf(buf, size, "10.%u.%u.0/24", rnd(4), rnd(4));
	else
		snprintf(buf, size, "2001:db8:%x::/48", rnd(4));
	return buf;
}

static void random_rule(struct strbuf *b)
{
	char buf[64];
	static const char *const actions[] = { "track", "notrack", "forward" };
	__u32 ports = rnd(5);
	bool iif = !rnd(8);

	strbuf_addf(b, "%s ", actions[rnd(3)]);
	if (rnd(4))
		strbuf_addf(b, "%s ", rnd(2) ? "udp" : "{ tcp, udp }");
	else if (!ports)
		strbuf_addf(b, "icmp ");
	if (ports == 1)
		strbuf_addf(b, "dport %u ", rnd(12));
	else if (ports == 2)
		strbuf_addf(b, "sport %u-%u ", rnd(6), 6 + rnd(6));
	else if (ports == 3)
		strbuf_addf(b, "port @few ");
	else
		strbuf_addf(b, "saddr %s ", random_addr(buf, sizeof(buf)));
	if (iif)
		strbuf_addf(b, "iif \"eth%u\" %s", rnd(3), rnd(2) ? "oneway" : "daddr local");
	else if (rnd(2))
		strbuf_addf(b, "daddr %s %s", random_addr(buf, sizeof(buf)),
			    rnd(4) ? "" : "oneway");
	strbuf_addf(b, "\n");
}

static void random_tuple(struct tuple *t)
{
	static const __u8 protos[] = { 6, 17, 17, 1, 47 };

	*t = (struct tuple){ .v6 = rnd(2),
			     .quoted = !rnd(4),
			     .output = !rnd(3),
			     .proto = protos[rnd(5)],
			     .ifindex = rnd(6) };
	if (t->proto == 6 || t->proto == 17) {
		t->sport = (__u16)rnd(14);
		t->dport = (__u16)rnd(14);
	}
	if (t->v6) {
		t->src_hi = 0x20010db8ULL << 32 | (__u64)rnd(5) << 16;
		t->dst_hi = 0x20010db8ULL << 32 | (__u64)rnd(5) << 16;
		t->src_lo = rnd(3);
		t->dst_lo = rnd(3);
	} else {
		t->src_lo = 0x0a000000 | rnd(5) << 16 | rnd(5) << 8 | rnd(3);
		t->dst_lo = 0x0a000000 | rnd(5) << 16 | rnd(5) << 8 | rnd(3);
	}
}

static const char sets[] = "set nets { 10.1.0.0/16, 10.2.3.0/24, 2001:db8:1::/48 }\n"
			   "set more { 10.0.0.0/14, 10.1.1.1, 2001:db8::/45, 2001:db8:2::1 }\n"
			   "set few { 1, 3, 7-9 }\n";

/* As the BPF program asks of a fragment: both ports of the class that stands for any. */
static const struct ctb_entry *lookup_any_port(const struct compiled *c, const struct tuple *t)
{
	static struct ctb_ports unknown;
	struct compiled view = *c;

	for (size_t i = 0; i < 16; i++) /* random_tuple()'s ports */
		unknown.class_of[0][i] = (__u16)c->config.any_port;
	if (c->ports)
		view.ports = &unknown;
	return compiled_lookup(&view, t);
}

static void random_port_rule(struct strbuf *b)
{
	static const char *const ports[] = { "dport", "sport", "port" };

	strbuf_addf(b, "%s %s ", rnd(3) ? "notrack" : "track", rnd(2) ? "udp" : "{ tcp, udp }");
	if (rnd(9))
		strbuf_addf(b, "%s %u\n", ports[rnd(3)], rnd(12));
	else
		strbuf_addf(b, "%s @few oneway\n", ports[rnd(3)]);
}

/* Some rules are of any kind, others look at ports only. Returns how many of 20,000 tuples met one.
 */
static size_t check_ruleset(unsigned int any, unsigned int by_port)
{
	static struct prefix4 own4[] = { { 0x0a010101, 32 }, { 0x0a020000, 24 } };
	static struct prefix6 own6[] = { { 0x20010db800010000, 1, 128 } };
	static struct host_if ifs[] = { { .ifindex = 1, .name = "lo" },
					{ .ifindex = 2, .name = "eth0" },
					{ .ifindex = 3, .name = "eth1" },
					{ .ifindex = 5, .name = "eth2" } };
	struct rulebook b = { .host = { .ifs = ifs,
					.n_ifs = 4,
					.local = { .v4 = own4, .n4 = 2, .v6 = own6, .n6 = 1 } } };
	_strbuf_ struct strbuf text = {};
	struct entries es = {};
	struct compiled c = {};
	_diag_ struct diag d = {};
	size_t hits = 0;

	strbuf_addf(&text, "%s", sets);
	for (unsigned int i = 0; i < any + by_port; i++) {
		size_t before = text.len;
		struct ruleset *probe = NULL;
		_diag_ struct diag ignored = {};

		/* Contradictory draws are the language's business: draw again. */
		do {
			text.len = before;
			if (rnd(any + by_port) < any)
				random_rule(&text);
			else
				random_port_rule(&text);
			ruleset_free(probe);
			probe = NULL;
		} while (any < 100 &&
			 ruleset_parse_text("t", ".", text.s, text.len, &probe, &ignored));
		ruleset_free(probe);
	}
	if (ruleset_parse_text("t", ".", text.s, text.len, &b.rs, &d))
		cr_assert(false, "%s", d.text.s);
	for (size_t i = 0; i < b.rs->n_rules; i++)
		b.rs->rules[i].slot = (__u32)(b.rs->n_rules - i);
	cr_assert_eq(expand_ruleset(b.rs, &es, &d), 0);
	cr_assert_eq(compile(&es, &b.host, 0x40, &c, &d), 0);
	for (int i = 0; i < 20000; i++) {
		struct ctb_entry want;
		struct tuple t;
		bool found;

		random_tuple(&t);
		found = first_fit(&b, &es, &t, false, &want);
		hits += found;
		cr_assert(same_entry(compiled_lookup(&c, &t), found, &want),
			  "proto %u %u>%u quoted %d ifindex %u\n%s", t.proto, t.sport, t.dport,
			  t.quoted, t.ifindex, text.s);
		found = first_fit(&b, &es, &t, true, &want);
		cr_assert(same_entry(lookup_any_port(&c, &t), found, &want),
			  "proto %u any port quoted %d ifindex %u\n%s", t.proto, t.quoted,
			  t.ifindex, text.s);
	}
	cr_assert_gt(hits, 1000);
	compiled_free(&c);
	entries_free(&es);
	ruleset_free(b.rs);
	return hits;
}

Test(compile, one_word)
{
	size_t hits = 0;

	for (__u64 s = 1; s <= 20; s++) {
		seed = s;
		hits += check_ruleset(12, 0);
	}
	cr_assert_lt(hits, 20 * 19000); /* misses were compared too */
}

Test(compile, many_words)
{
	size_t hits = 0;

	for (__u64 s = 1; s <= 5; s++) {
		seed = s;
		hits += check_ruleset(90, 0);
	}
	cr_assert_lt(hits, 5 * 20000); /* misses were compared too */
}

static void compile_text(const char *text, struct compiled *c)
{
	static struct prefix4 own4[] = { { 0x0a000001, 32 } };
	static struct host_if eth0 = { .ifindex = 1, .name = "eth0" };
	struct host host = { .ifs = &eth0, .n_ifs = 1, .local = { .v4 = own4, .n4 = 1 } };
	_ruleset_ struct ruleset *rs = NULL;
	_diag_ struct diag d = {};
	struct entries es = {};

	if (ruleset_parse_text("t", ".", text, strlen(text), &rs, &d))
		cr_assert(false, "%s", d.text.s);
	cr_assert_eq(expand_ruleset(rs, &es, &d), 0);
	cr_assert_eq(compile(&es, &host, 0x40, c, &d), 0);
	entries_free(&es);
}

Test(compile, tables_by_port)
{
	size_t hits = 0;

	for (__u64 s = 1; s <= 10; s++) {
		seed = s;
		hits += check_ruleset(s % 3 * 4, 60);
	}
	cr_assert_lt(hits, 10 * 20000); /* misses were compared too */
}

/* Rules that look at ports only, behind n others. */
static void port_rules_and(unsigned int rules, unsigned int n, const char *other,
			   struct compiled *c)
{
	_strbuf_ struct strbuf text = {};

	strbuf_addf(&text, "failsafe { }\n");
	for (unsigned int i = 0; i < n; i++)
		strbuf_addf(&text, other, i);
	for (unsigned int i = 0; i < rules; i++)
		strbuf_addf(&text, "notrack udp dport %u\n", 100 + i);
	cr_assert_eq(text.err, 0);
	compile_text(text.s, c);
}

Test(compile, when_tables_by_port_are_made)
{
	static const struct {
		unsigned int rules, n;
		const char *other;
		bool made;
		size_t bits;
	} rows[] = {
		{ 32, 0, "", false, 64 }, /* one word holds them */
		{ 33, 0, "", true, 0 },
		{ 100, 32, "notrack udp saddr 10.%u.0.0/16\n", true, 64 },
		{ 100, 33, "notrack udp saddr 10.%u.0.0/16\n", false, 0 },
		{ 100, 64, "notrack udp saddr 10.%u.0.0/16 oneway\n", true, 64 },
		{ 100, 65, "notrack udp saddr 10.%u.0.0/16 oneway\n", false, 0 },
		/* Both ports, or a device, or what forwards: not for them. */
		{ 100, 1, "notrack udp sport 1%u dport 2\n", true, 2 },
		{ 100, 1, "notrack udp dport 1%u iif eth0 oneway\n", true, 1 },
		{ 100, 1, "forward udp dport 1%u\n", true, 4 },
		{ 0, 70, "forward udp dport 1%u\n", false, 0 },
		/* Nothing of a port: only where another rule asks for one. */
		{ 40, 1, "notrack gre comment \"%u\"\n", true, 0 },
		{ 0, 70, "notrack %u oneway\n", false, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct compiled c = {};

		port_rules_and(rows[i].rules, rows[i].n, rows[i].other, &c);
		cr_expect_eq(c.config.proto_classes != 0, rows[i].made, "row %zu", i);
		cr_expect_eq(!!c.by_dport, rows[i].made, "row %zu", i);
		if (rows[i].bits || rows[i].made) {
			cr_expect_eq(c.config.words, 1, "row %zu", i);
			cr_expect_eq(c.n_entries, rows[i].bits, "row %zu: %zu", i, c.n_entries);
			cr_expect_eq(c.config.first_in_bits, rows[i].bits ? 0 : CTB_NO_ENTRY);
		} else {
			cr_expect_gt(c.config.words, 1, "row %zu", i);
		}
		compiled_free(&c);
	}
}

Test(compile, too_many_entries_is_an_error)
{
	_strbuf_ struct strbuf text = {};
	_diag_ struct diag d = {};
	struct entries es = {};
	struct compiled c = {};
	_ruleset_ struct ruleset *rs = NULL;
	struct host host = {};

	for (int i = 0; i < CTB_MAX_RULES - 1; i++)
		strbuf_addf(&text, "notrack udp port %d saddr 10.%d.%d.1\n", i + 100, i / 256,
			    i % 256);
	cr_assert_eq(ruleset_parse_text("t", ".", text.s, text.len, &rs, &d), 0);
	cr_assert_eq(expand_ruleset(rs, &es, &d), 0);
	/* 2047 rules of four entries, and failsafe's two, in 8192 bits: just too many. */
	cr_assert_eq(compile(&es, &host, 0x40, &c, &d), -E2BIG);
	cr_assert(strstr(d.text.s, "too many rules"));
	entries_free(&es);
}

Test(compile, a_thousand_rules_of_any_shape_fit)
{
	_strbuf_ struct strbuf text = {};
	_diag_ struct diag d = {};
	struct entries es = {};
	struct compiled c = {};
	_ruleset_ struct ruleset *rs = NULL;
	struct host host = {};

	for (int i = 0; i < 1024; i++)
		strbuf_addf(&text, "notrack udp port %d saddr 10.%d.%d.1\n", i + 100, i / 256,
			    i % 256);
	cr_assert_eq(ruleset_parse_text("t", ".", text.s, text.len, &rs, &d), 0);
	cr_assert_eq(expand_ruleset(rs, &es, &d), 0);
	cr_assert_eq(es.n, 4 * 1024 + 2);
	cr_assert_eq(compile(&es, &host, 0x40, &c, &d), 0);
	compiled_free(&c);
	entries_free(&es);
}

Test(compile, forward_entries_are_two)
{
	/* Failsafe first: two entries. */
	static const struct {
		enum ctb_action action;
		__u8 flags;
	} want[] = {
		{ CTB_TRACK, CTB_E_PORTS },
		{ CTB_TRACK, CTB_E_PORTS | CTB_E_REPLY },
		{ CTB_NOTRACK, CTB_E_PORTS },
		{ CTB_NOTRACK, CTB_E_PORTS | CTB_E_REPLY },
		{ CTB_FORWARD, CTB_E_PORTS },
		{ CTB_FORWARD, CTB_E_PORTS | CTB_E_LOCAL },
		{ CTB_FORWARD, CTB_E_PORTS | CTB_E_REPLY },
		{ CTB_FORWARD, CTB_E_PORTS | CTB_E_REPLY | CTB_E_LOCAL },
		{ CTB_FORWARD, 0 },
		{ CTB_FORWARD, CTB_E_LOCAL },
		{ CTB_FORWARD, CTB_E_REPLY },
		{ CTB_FORWARD, CTB_E_REPLY | CTB_E_LOCAL },
		{ CTB_FORWARD, 0 },
		{ CTB_FORWARD, CTB_E_LOCAL },
		{ CTB_NOTRACK, 0 },
	};
	struct compiled c = {};

	compile_text("notrack udp dport 53\n"
		     "forward udp dport 54\n"
		     "forward saddr 10.0.0.0/8\n"
		     "forward gre\n" /* its own mirror image */
		     "notrack esp\n",
		     &c);
	cr_assert_eq(c.n_entries, sizeof(want) / sizeof(*want));
	cr_assert_eq(c.config.forward, 1);
	/* What XDP asks for. */
	cr_expect_eq(c.config.forward_bits,
		     1ULL << 4 | 1ULL << 6 | 1ULL << 8 | 1ULL << 10 | 1ULL << 12);
	for (size_t i = 0; i < c.n_entries; i++) {
		cr_expect_eq(c.entries[i].action, want[i].action, "entry %zu", i);
		cr_expect_eq(c.entries[i].flags, want[i].flags, "entry %zu: %#x, not %#x", i,
			     (unsigned int)c.entries[i].flags, (unsigned int)want[i].flags);
		cr_expect_eq(c.entries[i].prio, i);
	}
	compiled_free(&c);
}

Test(compile, without_forward_rules_nothing_is_split)
{
	struct compiled c = {};

	compile_text("failsafe { tcp 22 }\nnotrack udp dport 53\ntrack gre\n", &c);
	cr_assert_eq(c.n_entries, 5);
	cr_assert_eq(c.config.forward, 0);
	cr_assert_eq(c.config.forward_bits, 0);
	/* So that a rule without addresses costs none. */
	cr_assert_eq(c.config.fields & (1U << CTB_F_SRC | 1U << CTB_F_DST), 0);
	compiled_free(&c);
}

/* The first of the two has to ask for addresses, even where the rule names none. */
Test(compile, forward_rules_ask_who_is_local)
{
	struct tuple t = { .proto = 47, .src_lo = 0x0a000002, .dst_lo = 0x0a000003 };
	struct compiled c = {};

	compile_text("forward gre\n", &c);
	cr_assert_eq(compiled_lookup(&c, &t)->flags, 0);
	t.dst_lo = 0x0a000001;
	cr_assert_eq(compiled_lookup(&c, &t)->flags, CTB_E_LOCAL);
	t.dst_lo = 0x0a000003;
	t.src_lo = 0x0a000001;
	cr_assert_eq(compiled_lookup(&c, &t)->flags, CTB_E_LOCAL);
	compiled_free(&c);
}

/* The rows of devices are those that abi.h names, and an entry that names none is in all of them.
 */
Test(compile, rows_by_the_device_that_packets_leave_by)
{
	static const __u64 any = 1, orig = 2, reply = 4, oneway = 8;
	struct compiled c = {};
	const __u64 *rows;

	/* The only device is eth0, ifindex 1; class 0 stands for those that no rule names. */
	compile_text("failsafe { }\n"
		     "notrack esp\n"
		     "notrack udp dport 53 daddr local iif eth0\n"
		     "notrack gre iif eth0 oneway\n",
		     &c);
	cr_assert_eq(c.n_entries, 4);
	cr_assert_eq(c.config.iif_classes, 2);
	cr_assert_eq(c.iif_class[1], 1);
	cr_assert_eq(c.bits[CTB_F_IIF].rows, 3 * 2 + 1);
	rows = c.bits[CTB_F_IIF].v;
	cr_expect_eq(rows[0], any, "plain, another device: %#llx", rows[0]);
	cr_expect_eq(rows[1], any | orig | oneway, "plain, eth0: %#llx", rows[1]);
	cr_expect_eq(rows[2], any | orig | oneway, "quoted, another device: %#llx", rows[2]);
	cr_expect_eq(rows[3], any | orig | reply | oneway, "quoted, eth0: %#llx", rows[3]);
	cr_expect_eq(rows[4], any, "sent by another device: %#llx", rows[4]);
	cr_expect_eq(rows[5], any | reply, "sent by eth0: %#llx", rows[5]);
	cr_expect_eq(rows[6], any | orig | reply | oneway, "sent and quoted: %#llx", rows[6]);
	compiled_free(&c);
}

Test(compile, the_row_of_any_port_has_all)
{
	static const int fields[] = { CTB_F_SPORT, CTB_F_DPORT };
	_strbuf_ struct strbuf text = {};
	struct compiled c = {};

	for (int rules = 3; rules < 300; rules += 99) {
		for (int i = 0; i < rules; i++)
			strbuf_addf(&text, "forward udp sport %d saddr 10.%d.%d.0/24\n", i + 100,
				    i / 256, i % 256);
		compile_text(text.s, &c);
		for (int k = 0; k < 2; k++) {
			const struct bits *b = &c.bits[fields[k]];
			const __u64 *row = b->v + c.config.any_port * b->stride;
			size_t entries = 0;

			cr_assert_eq(b->rows, c.config.any_port + 1);
			for (size_t i = b->stride > 1; i < b->stride; i++)
				entries += (size_t)__builtin_popcountll(row[i]);
			cr_expect_eq(entries, (size_t)rules * 4 + 2);
		}
		for (int port = 0; port < 65536; port++)
			cr_assert_neq(CTB_PORT_CLASS(c.ports, port), c.config.any_port);
		compiled_free(&c);
		text.len = 0;
	}
}

Test(compile, forward_rules_take_twice_the_bits)
{
	for (int rules = 960; rules <= 1024; rules += 64) {
		_strbuf_ struct strbuf text = {};
		_ruleset_ struct ruleset *rs = NULL;
		_diag_ struct diag d = {};
		struct entries es = {};
		struct compiled c = {};
		struct host host = {};
		int err;

		for (int i = 0; i < rules; i++)
			strbuf_addf(&text, "forward udp port %d saddr 10.%d.%d.1\n", i + 100,
				    i / 256, i % 256);
		cr_assert_eq(ruleset_parse_text("t", ".", text.s, text.len, &rs, &d), 0);
		cr_assert_eq(expand_ruleset(rs, &es, &d), 0);
		err = compile(&es, &host, 0x40, &c, &d);
		cr_expect_eq(err, rules < 1024 ? 0 : -E2BIG, "%d rules: %d", rules, err);
		compiled_free(&c);
		entries_free(&es);
	}
}
