// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports: two numbers that no entry tells apart have one class. And what a class means for entries
 * that look at nothing else but the protocol: a table has the first that fits (by_dport, by_sport).
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "compile_priv.h"

struct port_event {
	__u32 port; /* 0-65536 */
	__u32 list; /* index of the list that begins (or ends) here */
	bool begins;
};

static int by_port(const void *pa, const void *pb)
{
	const struct port_event *a = pa, *b = pb;

	return (a->port > b->port) - (a->port < b->port);
}

struct port_classes {
	const struct port_list **lists; /* distinct ones */
	size_t n_lists, cap_lists;
	__u64 *sets; /* per class: bit per list */
	size_t n, cap, words;
};

static int intern_list(struct port_classes *pc, const struct port_list *l, size_t *index)
{
	for (size_t i = pc->n_lists; i-- > 0;) {
		if (pc->lists[i] == l) {
			*index = i;
			return 0;
		}
	}
	if (ARRAY_RESERVE(pc->lists, pc->cap_lists, pc->n_lists + 1))
		return -ENOMEM;
	*index = pc->n_lists;
	pc->lists[pc->n_lists++] = l;
	return 0;
}

static int intern_port_class(struct port_classes *pc, const __u64 *set, __u16 *class_id)
{
	size_t bytes = pc->words * sizeof(*set);

	for (size_t c = pc->n; c-- > 0;) {
		if (!memcmp(&pc->sets[c * pc->words], set, bytes)) {
			*class_id = (__u16)c;
			return 0;
		}
	}
	if (ARRAY_RESERVE(pc->sets, pc->cap, (pc->n + 1) * pc->words))
		return -ENOMEM;
	memcpy(&pc->sets[pc->n * pc->words], set, bytes);
	*class_id = (__u16)pc->n++;
	return 0;
}

/* Sweep the port space with the set of lists that hold the current port. */
static int cut_ports(struct port_classes *pc, __u16 *class_of)
{
	_free_ struct port_event *ev = NULL;
	_free_ __u64 *now = NULL;
	size_t n = 0, cap = 0, at = 0;

	for (size_t l = 0; l < pc->n_lists; l++) {
		for (size_t r = 0; r < pc->lists[l]->n; r++) {
			const struct port_range *pr = &pc->lists[l]->ranges[r];

			if (ARRAY_RESERVE(ev, cap, n + 2))
				return -ENOMEM;
			ev[n++] = (struct port_event){ pr->lo, (__u32)l, true };
			ev[n++] = (struct port_event){ pr->hi + 1U, (__u32)l, false };
		}
	}
	if (n)
		qsort(ev, n, sizeof(*ev), by_port);
	pc->words = pc->n_lists / 64 + 1;
	now = calloc(pc->words, sizeof(*now));
	if (!now)
		return -ENOMEM;
	for (__u32 port = 0; port < 65536;) {
		__u32 end = 65536;
		__u16 class_id;
		int err;

		/* A list's ranges are merged: it never ends and begins at the same port. */
		for (; at < n && ev[at].port == port; at++)
			now[ev[at].list / 64] ^= 1ULL << (ev[at].list % 64);
		if (at < n)
			end = ev[at].port;
		err = intern_port_class(pc, now, &class_id);
		if (err)
			return err;
		for (; port < end; port++)
			class_of[port] = class_id;
	}
	return 0;
}

/* Pages that are alike are one. */
static void page_ports(const __u16 *class_of, struct ctb_ports *out)
{
	size_t n = 0, page;

	for (size_t i = 0; i < 256; i++) {
		const __u16 *now = &class_of[i * 256];

		for (page = 0; page < n; page++) {
			if (!memcmp(out->class_of[page], now, sizeof(out->class_of[page])))
				break;
		}
		if (page == n)
			memcpy(out->class_of[n++], now, sizeof(out->class_of[page]));
		out->page[i] = (__u8)page;
	}
}

static int fill_port_rows(struct build *b, enum ctb_field f, const struct port_classes *pc,
			  const size_t *list_of)
{
	int err = rows_alloc(b, f, pc->n + 1);

	if (err)
		return err;
	for (size_t c = 0; c < pc->n; c++) {
		const __u64 *set = &pc->sets[c * pc->words];

		for (size_t i = 0; i < b->in->n; i++) {
			size_t l = list_of[i];

			if (l == SIZE_MAX || (set[l / 64] >> (l % 64) & 1))
				row_set(b, f, c, i);
		}
	}
	/* A port that is not known may be any. */
	for (size_t i = 0; i < b->in->n; i++)
		row_set(b, f, pc->n, i);
	return 0;
}

static bool looks_only_at(const struct entry *e, enum ctb_field port)
{
	return !(fields_of(e) & ~(1U << CTB_F_PROTO | 1U << port));
}

/*
 * The tables by port cost a packet two lookups and spare it the bitmaps, unless an entry in those
 * comes before what the tables say. They are worth it where more than 64 entries are reduced to 64.
 * Forward entries stay in the bitmaps: those of their two that forward look at addresses too.
 */
int choose_by_port(struct build *b)
{
	const struct entries *in = b->in;
	bool ports = b->fields & (1U << CTB_F_SPORT | 1U << CTB_F_DPORT);

	b->bit_of = calloc(in->n ? in->n : 1, sizeof(*b->bit_of));
	if (!b->bit_of)
		return -ENOMEM;
	for (size_t i = 0; i < in->n; i++) {
		const struct entry *e = &in->e[i];
		bool only = looks_only_at(e, CTB_F_DPORT) || looks_only_at(e, CTB_F_SPORT);

		b->bit_of[i] = only && e->action != CTB_FORWARD ? BY_PORT : 0;
		b->n_bits += b->bit_of[i] != BY_PORT;
	}
	if (ports && in->n > 64 && b->n_bits <= 64)
		return 0;
	memset(b->bit_of, 0, in->n * sizeof(*b->bit_of));
	b->n_bits = in->n;
	return 0;
}

/* One table: each class of the port, and of the protocol, its first entry. */
static void fill_by_port(const struct build *b, enum ctb_field f, const struct port_classes *pc,
			 const size_t *list_of, struct ctb_entry *table)
{
	size_t protos = b->out->classes[CTB_F_PROTO];
	__u8 a_proto[256];

	for (int p = 0; p < 256; p++)
		a_proto[b->out->proto_class[p]] = (__u8)p;
	for (size_t i = 0; i < (pc->n + 1) * protos; i++)
		table[i] = (struct ctb_entry){ .prio = CTB_NO_ENTRY, .verdict = CTB_NO_VERDICT };
	for (size_t i = 0; i < b->in->n; i++) {
		const struct entry *e = &b->in->e[i];
		size_t l = list_of[i];

		/* What looks at no port is in by_dport. */
		if (b->bit_of[i] != BY_PORT || (f == CTB_F_SPORT) != !!e->sport)
			continue;
		for (size_t c = 0; c <= pc->n; c++) {
			const __u64 *set = &pc->sets[c * pc->words];

			if (c < pc->n && l != SIZE_MAX && !(set[l / 64] >> (l % 64) & 1))
				continue;
			for (size_t p = 0; p < protos; p++) {
				struct ctb_entry *cell = &table[c * protos + p];

				if (cell->prio == CTB_NO_ENTRY && proto_has(&e->proto, a_proto[p]))
					*cell = entry_at(b->in, i);
			}
		}
	}
}

static int make_by_port(struct build *b, const struct port_classes *pc, const size_t *sport,
			const size_t *dport)
{
	struct compiled *out = b->out;
	size_t protos = out->classes[CTB_F_PROTO];

	out->n_by_port = (pc->n + 1) * protos;
	out->by_dport = calloc(out->n_by_port, sizeof(*out->by_dport));
	out->by_sport = calloc(out->n_by_port, sizeof(*out->by_sport));
	if (!out->by_dport || !out->by_sport)
		return -ENOMEM;
	out->config.proto_classes = (__u32)protos;
	fill_by_port(b, CTB_F_DPORT, pc, dport, out->by_dport);
	fill_by_port(b, CTB_F_SPORT, pc, sport, out->by_sport);
	return 0;
}

int compile_ports(struct build *b)
{
	const struct entries *in = b->in;
	struct port_classes pc = {};
	_free_ size_t *sport = calloc(in->n, sizeof(*sport));
	_free_ size_t *dport = calloc(in->n, sizeof(*dport));
	_free_ __u16 *class_of = calloc(65536, sizeof(*class_of));
	int err = 0;

	b->out->ports = calloc(1, sizeof(*b->out->ports));
	if (!b->out->ports || !sport || !dport || !class_of)
		return -ENOMEM;
	for (size_t i = 0; !err && i < in->n; i++) {
		sport[i] = SIZE_MAX;
		dport[i] = SIZE_MAX;
		if (in->e[i].sport)
			err = intern_list(&pc, in->e[i].sport, &sport[i]);
		if (!err && in->e[i].dport)
			err = intern_list(&pc, in->e[i].dport, &dport[i]);
	}
	if (!err)
		err = cut_ports(&pc, class_of);
	if (!err)
		page_ports(class_of, b->out->ports);
	b->out->config.any_port = (__u32)pc.n;
	b->out->classes[CTB_F_SPORT] = b->fields & 1U << CTB_F_SPORT ? pc.n + 1 : 0;
	b->out->classes[CTB_F_DPORT] = b->fields & 1U << CTB_F_DPORT ? pc.n + 1 : 0;
	if (!err && b->n_bits < in->n)
		err = make_by_port(b, &pc, sport, dport);
	if (!err && b->out->config.fields & 1U << CTB_F_SPORT)
		err = fill_port_rows(b, CTB_F_SPORT, &pc, sport);
	if (!err && b->out->config.fields & 1U << CTB_F_DPORT)
		err = fill_port_rows(b, CTB_F_DPORT, &pc, dport);
	free(pc.lists);
	free(pc.sets);
	return err;
}
