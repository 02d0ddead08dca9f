// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "addr_tables.h"
#include "compile_priv.h"

int rows_alloc(struct build *b, enum ctb_field f, size_t rows)
{
	struct bits *bits = &b->out->bits[f];

	bits->v = calloc(rows * b->stride, sizeof(*bits->v));
	if (!bits->v)
		return -ENOMEM;
	bits->rows = rows;
	bits->stride = b->stride;
	return 0;
}

static __u64 *row_words(struct build *b, enum ctb_field f, size_t row)
{
	__u64 *r = b->out->bits[f].v + row * b->stride;

	return b->words == 1 ? r : r + 1;
}

void row_set(struct build *b, enum ctb_field f, size_t row, size_t entry)
{
	size_t bit = b->bit_of[entry];

	if (bit == BY_PORT)
		return;
	row_words(b, f, row)[bit / 64] |= 1ULL << (bit % 64);
}

/* Once all rows are filled: which words of each are not all zero. */
static void summarise(struct build *b)
{
	if (b->words == 1)
		return;
	for (int f = 0; f < CTB_F_MAX; f++) {
		for (size_t r = 0; r < b->out->bits[f].rows; r++) {
			const __u64 *w = row_words(b, (enum ctb_field)f, r);
			__u64 summary = 0;

			for (size_t i = 0; i < b->words; i++) {
				if (w[i])
					summary |= 1ULL << (i / b->out->config.words_per_bit);
			}
			b->out->bits[f].v[r * b->stride] = summary;
		}
	}
}

/*
 * Give each entry its bit. Up to 64 entries: in rule order. More: grouped by the fields they
 * constrain, each group starting a word of its own. In a group every entry is specific in the
 * same fields, so that the AND of summaries points at few words that hold no match; were the
 * groups mixed, an address-only and a port-only rule in each word would make every word a
 * candidate. That an end must not be local makes no entry specific: nearly all addresses fit.
 */
#define GROUPS 16

static unsigned int shape(const struct entry *e)
{
	return (e->src ? 1 : 0) | (e->dst ? 2 : 0) | (e->sport ? 4 : 0) | (e->dport ? 8 : 0);
}

/* Groups of less than `least` entries share the last words. Returns how many bits that takes. */
static size_t place_groups(struct build *b, size_t least)
{
	const struct entries *in = b->in;
	size_t count[GROUPS] = {}, next = 0;

	for (size_t i = 0; i < in->n; i++)
		count[shape(&in->e[i])]++;
	/* None is BY_PORT where there are so many. */
	for (unsigned int g = 0; g < GROUPS; g++) {
		if (count[g] < least || !count[g])
			continue;
		for (size_t i = 0; i < in->n; i++) {
			if (shape(&in->e[i]) == g)
				b->bit_of[i] = next++;
		}
		next = (next + 63) / 64 * 64;
	}
	for (size_t i = 0; i < in->n; i++) {
		if (count[shape(&in->e[i])] < least)
			b->bit_of[i] = next++;
	}
	return next;
}

static __u8 entry_flags(const struct entry *e)
{
	__u8 f = 0;

	if (e->dir == CTB_DIR_REPLY)
		f |= CTB_E_REPLY;
	if (e->sport || e->dport)
		f |= CTB_E_PORTS;
	if (e->action == CTB_FORWARD && !e->transit_only)
		f |= CTB_E_LOCAL;
	return f;
}

struct ctb_entry entry_at(const struct entries *in, size_t i)
{
	return (struct ctb_entry){
		.prio = (__u32)i,
		.slot = (__u16)in->e[i].slot,
		.action = in->e[i].action,
		.flags = entry_flags(&in->e[i]),
	};
}

static int assign_bits(struct build *b, struct diag *d)
{
	const struct entries *in = b->in;
	struct compiled *out = b->out;
	size_t next = 0;

	out->config.first_in_bits = CTB_NO_ENTRY;
	for (size_t i = 0; i < in->n; i++) {
		if (b->bit_of[i] == BY_PORT)
			continue;
		if (!next)
			out->config.first_in_bits = (__u32)i;
		b->bit_of[i] = next++;
	}
	/* Words are not worth saving before they run out. */
	for (size_t least = 1; b->n_bits > 64 && least <= 32; least *= 32) {
		next = place_groups(b, least);
		if (next <= CTB_MAX_ENTRIES)
			break;
	}
	if (next > CTB_MAX_ENTRIES) {
		diag_error(
			d, (struct pos){}, NULL, NULL,
			"too many rules: they need %zu bits in the classifier, which has %d (a "
			"rule takes one bit for each direction, twice that with `port`, and twice that "
			"with `forward`)",
			next, CTB_MAX_ENTRIES);
		return -E2BIG;
	}
	b->words = next ? (next + 63) / 64 : 1;
	b->stride = b->words > 1 ? b->words + 1 : 1;
	out->config.words = (__u32)b->words;
	out->config.words_per_bit = b->words > CTB_SUMMARY_BITS ? 2 : 1;
	out->n_entries = next;
	out->entries = calloc(next ? next : 1, sizeof(*out->entries));
	if (!out->entries)
		return -ENOMEM;
	for (size_t i = 0; i < next; i++)
		out->entries[i].prio = CTB_NO_ENTRY; /* padding, no bitmap has its bit */
	for (size_t i = 0; i < in->n; i++) {
		if (b->bit_of[i] != BY_PORT)
			out->entries[b->bit_of[i]] = entry_at(in, i);
	}
	return 0;
}

/* --- protocols --- */

static int compile_proto(struct build *b)
{
	struct compiled *out = b->out;
	const struct entry *e = b->in->e;
	__u8 first[256]; /* class to the first protocol in it */
	size_t classes = 0;
	int err;

	for (unsigned int p = 0; p < 256; p++) {
		size_t c;

		for (c = 0; c < classes; c++) {
			size_t i = 0;

			while (i < b->in->n &&
			       proto_has(&e[i].proto, p) == proto_has(&e[i].proto, first[c]))
				i++;
			if (i == b->in->n)
				break;
		}
		if (c == classes)
			first[classes++] = (__u8)p;
		out->proto_class[p] = (__u8)c;
	}
	out->classes[CTB_F_PROTO] = classes;
	if (!(out->config.fields & 1U << CTB_F_PROTO))
		return 0;
	err = rows_alloc(b, CTB_F_PROTO, classes);
	if (err)
		return err;
	for (size_t c = 0; c < classes; c++) {
		for (size_t i = 0; i < b->in->n; i++) {
			if (proto_has(&e[i].proto, first[c]))
				row_set(b, CTB_F_PROTO, c, i);
		}
	}
	return 0;
}

/* --- addresses --- */

static int atom_of_set(struct build *b, const struct named_set *set, size_t *atom)
{
	size_t i = 0;

	while (i < b->n_set_atoms && b->set_atoms[i] != set)
		i++;
	if (i == b->n_set_atoms) {
		if (ARRAY_RESERVE(b->set_atoms, b->cap_set_atoms, i + 1))
			return -ENOMEM;
		b->set_atoms[b->n_set_atoms++] = set;
	}
	*atom = 1 + i;
	return 0;
}

static int use_add_atom(struct build *b, struct addr_use *u, size_t atom)
{
	if (ARRAY_RESERVE(b->use_atoms, b->cap_use_atoms, b->n_use_atoms + 1))
		return -ENOMEM;
	b->use_atoms[b->n_use_atoms++] = (__u16)atom;
	u->n_atoms++;
	return 0;
}

/* Index of this way to look at an address, made if new. */
static int intern_use(struct build *b, const struct addr_match *m, bool not_local, size_t *index)
{
	struct addr_use u = { .match = m, .not_local = not_local, .first_atom = b->n_use_atoms };
	bool local = false;
	int err = 0;

	for (size_t i = b->n_uses; i-- > 0;) {
		if (b->uses[i].match == m && b->uses[i].not_local == not_local) {
			*index = i;
			return 0;
		}
	}
	for (size_t i = 0; !err && m && i < m->n; i++) {
		size_t atom;

		if (m->items[i].kind == ADDR_SET) {
			err = atom_of_set(b, m->items[i].set, &atom);
			if (!err)
				err = use_add_atom(b, &u, atom);
		} else if (m->items[i].kind == ADDR_LOCAL && !local) {
			local = true;
			err = use_add_atom(b, &u, 0);
		}
	}
	if (err)
		return err;
	if (ARRAY_RESERVE(b->uses, b->cap_uses, b->n_uses + 1))
		return -ENOMEM;
	*index = b->n_uses;
	b->uses[b->n_uses++] = u;
	return 0;
}

static bool has_inline_prefix(const struct addr_match *m)
{
	for (size_t i = 0; m && i < m->n; i++) {
		if (m->items[i].kind == ADDR_PREFIX4 || m->items[i].kind == ADDR_PREFIX6)
			return true;
	}
	return false;
}

/* Atoms behind the sets': one for all the prefixes written out in a match. */
static int add_inline_prefixes(struct build *b, struct addr_tables *t, size_t atom)
{
	int err = 0;

	for (size_t i = 0; i < b->n_uses; i++) {
		const struct addr_match *m = b->uses[i].match;

		if (!has_inline_prefix(m))
			continue;
		for (size_t k = 0; !err && k < m->n; k++) {
			if (m->items[k].kind == ADDR_PREFIX4)
				err = addr_tables_add4(t, atom, &m->items[k].p4, 1);
			else if (m->items[k].kind == ADDR_PREFIX6)
				err = addr_tables_add6(t, atom, &m->items[k].p6, 1);
		}
		atom++;
	}
	return err;
}

static bool use_fits(const struct build *b, const struct addr_use *u, size_t inline_atom,
		     const struct addr_tables *t, size_t class_id)
{
	bool in = false;

	if (u->not_local && addr_tables_has(t, class_id, 0))
		return false;
	if (!u->match)
		return true;
	for (size_t i = 0; !in && i < u->n_atoms; i++)
		in = addr_tables_has(t, class_id, b->use_atoms[u->first_atom + i]);
	if (!in && inline_atom)
		in = addr_tables_has(t, class_id, inline_atom);
	return in != u->match->negate;
}

/* Entries by the use they make of an address: entry indices, grouped by use. */
static int fill_addr_rows(struct build *b, enum ctb_field f, const size_t *use_of,
			  const struct addr_tables *t, size_t first_inline)
{
	size_t classes = addr_tables_classes(t), inline_atom = first_inline;
	_free_ size_t *next = calloc(b->in->n, sizeof(*next));
	_free_ size_t *head = malloc(b->n_uses * sizeof(*head));
	int err = rows_alloc(b, f, classes);

	b->out->classes[f] = classes;
	if (err)
		return err;
	if (!next || !head)
		return -ENOMEM;
	for (size_t u = 0; u < b->n_uses; u++)
		head[u] = SIZE_MAX;
	for (size_t i = 0; i < b->in->n; i++) {
		next[i] = head[use_of[i]];
		head[use_of[i]] = i;
	}
	for (size_t u = 0; u < b->n_uses; u++) {
		size_t mine = 0;

		if (has_inline_prefix(b->uses[u].match))
			mine = inline_atom++;
		if (head[u] == SIZE_MAX)
			continue;
		for (size_t c = 0; c < classes; c++) {
			if (!use_fits(b, &b->uses[u], mine, t, c))
				continue;
			for (size_t i = head[u]; i != SIZE_MAX; i = next[i])
				row_set(b, f, c, i);
		}
	}
	return 0;
}

static int compile_addrs(struct build *b, struct diag *d)
{
	const struct entries *in = b->in;
	struct addr_tables *t;
	size_t first_inline, n_inline = 0;
	int err = 0;

	b->src_use = calloc(in->n, sizeof(*b->src_use));
	b->dst_use = calloc(in->n, sizeof(*b->dst_use));
	if (!b->src_use || !b->dst_use)
		return -ENOMEM;
	for (size_t i = 0; !err && i < in->n; i++) {
		const struct entry *e = &in->e[i];

		err = intern_use(b, e->src, e->transit_only, &b->src_use[i]);
		if (!err)
			err = intern_use(b, e->dst, e->transit_only, &b->dst_use[i]);
	}
	if (err)
		return err;
	for (size_t i = 0; i < b->n_uses; i++)
		n_inline += has_inline_prefix(b->uses[i].match);
	first_inline = 1 + b->n_set_atoms;
	b->n_atoms = first_inline + n_inline;
	if (b->n_atoms > 65535)
		return -E2BIG;

	t = addr_tables_new(b->n_atoms);
	if (!t)
		return -ENOMEM;
	err = addr_tables_add4(t, 0, b->host->local.v4, b->host->local.n4);
	if (!err)
		err = addr_tables_add6(t, 0, b->host->local.v6, b->host->local.n6);
	for (size_t i = 0; !err && i < b->n_set_atoms; i++) {
		const struct prefix_list *p = &b->set_atoms[i]->addrs;

		err = addr_tables_add4(t, 1 + i, p->v4, p->n4);
		if (!err)
			err = addr_tables_add6(t, 1 + i, p->v6, p->n6);
	}
	if (!err)
		err = add_inline_prefixes(b, t, first_inline);
	if (!err)
		err = addr_tables_build(t, b->out);
	if (err == -E2BIG)
		diag_error(d, (struct pos){}, NULL, NULL,
			   "the address sets overlap in more than 65536 different ways");
	if (!err && b->out->config.fields & 1U << CTB_F_SRC)
		err = fill_addr_rows(b, CTB_F_SRC, b->src_use, t, first_inline);
	if (!err && b->out->config.fields & 1U << CTB_F_DST)
		err = fill_addr_rows(b, CTB_F_DST, b->dst_use, t, first_inline);
	addr_tables_free(t);
	return err;
}

/* --- interfaces --- */

/* Do these two interfaces look the same to every rule? 0 stands for an unknown one. */
static bool same_iif(const struct entries *in, const struct host_if *a, const struct host_if *b)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct name_list *l = in->e[i].iif;

		if (l && (a && name_list_has(l, a->name)) != (b && name_list_has(l, b->name)))
			return false;
	}
	return true;
}

static int compile_iif(struct build *b)
{
	const struct entries *in = b->in;
	const struct host *h = b->host;
	struct compiled *out = b->out;
	_free_ const struct host_if **first = calloc(h->n_ifs + 1, sizeof(*first));
	size_t classes = 1; /* class 0: an interface that no rule names */
	int max = 0, err;

	for (size_t i = 0; i < h->n_ifs; i++)
		max = h->ifs[i].ifindex > max ? h->ifs[i].ifindex : max;
	out->config.iif_slots = (__u32)max + 1;
	out->iif_class = calloc(out->config.iif_slots, sizeof(*out->iif_class));
	if (!first || !out->iif_class)
		return -ENOMEM;
	for (size_t i = 0; i < h->n_ifs; i++) {
		size_t c = 0;

		while (c < classes && !same_iif(in, first[c], &h->ifs[i]))
			c++;
		if (c == classes)
			first[classes++] = &h->ifs[i];
		out->iif_class[h->ifs[i].ifindex] = (__u16)c;
	}
	out->config.iif_classes = (__u32)classes;
	out->classes[CTB_F_IIF] = 3 * classes + 1;
	err = rows_alloc(b, CTB_F_IIF, 3 * classes + 1);
	if (err)
		return err;
	for (size_t c = 0; c < classes; c++) {
		for (size_t i = 0; i < in->n; i++) {
			const struct entry *e = &in->e[i];
			bool fits = e->iif && first[c] && name_list_has(e->iif, first[c]->name);

			if (!e->iif || (e->dir == CTB_DIR_ORIG && fits))
				row_set(b, CTB_F_IIF, c, i);
			/*
			 * Quoted: an error about the original direction may come in anywhere;
			 * one about this host's own reply comes in where the reply went out.
			 */
			if (!e->iif || e->dir == CTB_DIR_ORIG || fits)
				row_set(b, CTB_F_IIF, classes + c, i);
			/* What this host sends by it is the reply to what came in by it. */
			if (!e->iif || (e->dir == CTB_DIR_REPLY && fits))
				row_set(b, CTB_F_IIF, 2 * classes + c, i);
		}
	}
	/* Sent and quoting: it may have come in, or gone out, anywhere. */
	for (size_t i = 0; i < in->n; i++)
		row_set(b, CTB_F_IIF, 3 * classes, i);
	return 0;
}

__u32 fields_of(const struct entry *e)
{
	__u32 f = 0;

	f |= (__u32)e->proto.present << CTB_F_PROTO;
	f |= (__u32)(e->src || e->transit_only) << CTB_F_SRC;
	f |= (__u32)(e->dst || e->transit_only) << CTB_F_DST;
	f |= (__u32) !!e->sport << CTB_F_SPORT;
	f |= (__u32) !!e->dport << CTB_F_DPORT;
	f |= (__u32) !!e->iif << CTB_F_IIF;
	return f;
}

/* Those that any looks at, or only, by_port false, those in the bitmaps. */
static __u32 fields_used(const struct build *b, bool by_port)
{
	__u32 f = 0;

	for (size_t i = 0; i < b->in->n; i++) {
		if (by_port || b->bit_of[i] != BY_PORT)
			f |= fields_of(&b->in->e[i]);
	}
	return f;
}

/* With one word: which bits forward, and which look at each field. */
static void mask_fields(struct build *b)
{
	struct ctb_config *cfg = &b->out->config;

	/* Without entries the first answer has to be that none fits. */
	if (!b->in->n)
		cfg->uses[CTB_F_PROTO] = ~0ULL;
	for (size_t i = 0; i < b->in->n; i++) {
		const struct entry *e = &b->in->e[i];
		__u32 fields = fields_of(e);
		__u64 bit;

		if (b->bit_of[i] == BY_PORT)
			continue;
		bit = 1ULL << b->bit_of[i];
		if (e->action == CTB_FORWARD && e->transit_only)
			cfg->forward_bits |= bit;
		for (int f = 0; f < CTB_F_MAX; f++)
			cfg->uses[f] |= fields & 1U << f ? bit : 0;
	}
}

/* With one word: the copy in the program's own data of the rows that have room there. */
static void copy_small(struct build *b)
{
	struct compiled *out = b->out;
	struct ctb_small *small = &out->small;

	for (int f = 0; f < CTB_F_MAX; f++) {
		const struct bits *bits = &out->bits[f];

		if (f == CTB_F_PROTO || !bits->rows || bits->rows > CTB_SMALL_ROWS)
			continue;
		memcpy(small->rows[f], bits->v, bits->rows * sizeof(*bits->v));
		out->config.small |= 1U << f;
	}
	if (out->bits[CTB_F_PROTO].rows) {
		for (int p = 0; p < 256; p++)
			small->rows[CTB_F_PROTO][p] = out->bits[CTB_F_PROTO].v[out->proto_class[p]];
		out->config.small |= 1U << CTB_F_PROTO;
	}
	for (size_t i = 0; i < out->n_entries; i++)
		small->entries[CTB_BIT_PLACE(1ULL << i)] = out->entries[i];
}

/*
 * What this host itself sends or receives is not forwarded. So a forward entry becomes two: one
 * for packets between other hosts (transit_only), and behind it the same without that condition,
 * which is left with the rest.
 */
static int split_forward(const struct entries *in, struct entries *out)
{
	for (size_t i = 0; i < in->n; i++) {
		struct entry e = in->e[i];

		if (ARRAY_RESERVE(out->e, out->cap, out->n + 2)) {
			free(out->e);
			return -ENOMEM;
		}
		if (e.action == CTB_FORWARD && !e.transit_only) {
			e.transit_only = true;
			out->e[out->n++] = e;
			e.transit_only = false;
		}
		out->e[out->n++] = e;
	}
	return 0;
}

int compile(const struct entries *in, const struct host *host, __u32 mark, struct compiled *out,
	    struct diag *d)
{
	struct compiled c = { .config = { .mark = mark, .vrf = host_has_vrf(host) } };
	struct entries split = {};
	struct build b = { .in = &split, .host = host, .out = &c };
	int err = split_forward(in, &split);
	__u32 f;

	if (err)
		return err;
	for (size_t i = 0; i < in->n; i++)
		c.config.forward |= in->e[i].action == CTB_FORWARD;
	b.fields = fields_used(&b, true);
	err = choose_by_port(&b);
	if (!err) {
		c.config.fields = split.n ? fields_used(&b, false) : 1U << CTB_F_PROTO;
		err = assign_bits(&b, d);
	}
	f = b.fields | c.config.fields;
	if (!err && (f & 1U << CTB_F_PROTO || b.n_bits < split.n))
		err = compile_proto(&b);
	if (!err && f & (1U << CTB_F_SRC | 1U << CTB_F_DST))
		err = compile_addrs(&b, d);
	if (!err && f & (1U << CTB_F_SPORT | 1U << CTB_F_DPORT))
		err = compile_ports(&b);
	if (!err && f & 1U << CTB_F_IIF)
		err = compile_iif(&b);
	if (!err && b.words == 1) {
		mask_fields(&b);
		copy_small(&b);
	}
	if (!err)
		summarise(&b);
	free(b.bit_of);
	free(b.uses);
	free(b.use_atoms);
	free(b.src_use);
	free(b.dst_use);
	free(b.set_atoms);
	free(split.e);
	if (err) {
		compiled_free(&c);
		return err;
	}
	*out = c;
	return 0;
}

void compiled_free(struct compiled *c)
{
	free(c->entries);
	for (int f = 0; f < CTB_F_MAX; f++)
		free(c->bits[f].v);
	free(c->by_dport);
	free(c->by_sport);
	free(c->ports);
	free(c->top4);
	free(c->index4);
	free(c->pages4);
	free(c->nodes6);
	free(c->iif_class);
	*c = (struct compiled){};
}
