// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "addr_tables.h"

typedef unsigned __int128 u128;

/* Both families are swept by the same code; an IPv4 address is a number below 2^32. */
struct member {
	u128 start;
	__u8 len; /* of the prefix, within `bits` */
	__u16 atom;
};

struct members {
	struct member *m;
	size_t n, cap;
};

/* A step already taken: what class is `from` with `atom` added? */
struct step {
	__u32 from, atom, to;
	bool used;
};

struct addr_tables {
	size_t n_atoms, words; /* words: 64-bit words in a class's set of atoms */
	struct members v4, v6;
	__u64 *sets; /* n_classes * words */
	size_t n_classes, cap_classes;
	struct step *steps; /* open addressing, power of two */
	size_t n_steps, cap_steps;
	__u32 *by_set; /* hash of a set to class + 1; open addressing */
	size_t cap_by_set;
};

#define CLASSES_MAX 65536

static __u64 mix(__u64 h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

struct addr_tables *addr_tables_new(size_t n_atoms)
{
	struct addr_tables *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->n_atoms = n_atoms;
	t->words = n_atoms / 64 + 1;
	t->cap_steps = 1024;
	t->cap_by_set = 2 * CLASSES_MAX;
	t->steps = calloc(t->cap_steps, sizeof(*t->steps));
	t->by_set = calloc(t->cap_by_set, sizeof(*t->by_set));
	if (!t->steps || !t->by_set) {
		addr_tables_free(t);
		return NULL;
	}
	return t;
}

void addr_tables_free(struct addr_tables *t)
{
	if (!t)
		return;
	free(t->v4.m);
	free(t->v6.m);
	free(t->sets);
	free(t->steps);
	free(t->by_set);
	free(t);
}

int addr_tables_add4(struct addr_tables *t, size_t atom, const struct prefix4 *p, size_t n)
{
	if (ARRAY_RESERVE(t->v4.m, t->v4.cap, t->v4.n + n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		t->v4.m[t->v4.n++] = (struct member){ p[i].addr, p[i].len, (__u16)atom };
	return 0;
}

int addr_tables_add6(struct addr_tables *t, size_t atom, const struct prefix6 *p, size_t n)
{
	if (ARRAY_RESERVE(t->v6.m, t->v6.cap, t->v6.n + n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		t->v6.m[t->v6.n++] = (struct member){ (u128)p[i].hi << 64 | p[i].lo, p[i].len,
						      (__u16)atom };
	return 0;
}

/* Number of the class with exactly these atoms, made if new. */
static int intern(struct addr_tables *t, const __u64 *set, __u32 *out)
{
	size_t mask = t->cap_by_set - 1, at;
	__u64 h = 0;

	for (size_t i = 0; i < t->words; i++)
		h = mix(h ^ set[i]);
	for (at = h & mask; t->by_set[at]; at = (at + 1) & mask) {
		__u32 class_id = t->by_set[at] - 1;

		if (!memcmp(&t->sets[class_id * t->words], set, t->words * sizeof(*set))) {
			*out = class_id;
			return 0;
		}
	}
	if (t->n_classes == CLASSES_MAX)
		return -E2BIG;
	if (ARRAY_RESERVE(t->sets, t->cap_classes, (t->n_classes + 1) * t->words))
		return -ENOMEM;
	memcpy(&t->sets[t->n_classes * t->words], set, t->words * sizeof(*set));
	t->by_set[at] = (__u32)++t->n_classes;
	*out = t->by_set[at] - 1;
	return 0;
}

static struct step *find_step(struct addr_tables *t, __u32 from, __u32 atom)
{
	size_t mask = t->cap_steps - 1;
	size_t at = mix((__u64)from << 32 | atom) & mask;

	while (t->steps[at].used && (t->steps[at].from != from || t->steps[at].atom != atom))
		at = (at + 1) & mask;
	return &t->steps[at];
}

static int grow_steps(struct addr_tables *t)
{
	struct step *old = t->steps;
	size_t n = t->cap_steps;

	t->steps = calloc(2 * n, sizeof(*t->steps));
	if (!t->steps) {
		t->steps = old;
		return -ENOMEM;
	}
	t->cap_steps = 2 * n;
	for (size_t i = 0; i < n; i++) {
		if (old[i].used)
			*find_step(t, old[i].from, old[i].atom) = old[i];
	}
	free(old);
	return 0;
}

/* The class of an address of class `from` that lies in `atom` too. */
static int add_atom(struct addr_tables *t, __u32 from, __u32 atom, __u32 *out)
{
	struct step *s = find_step(t, from, atom);
	_free_ __u64 *set = NULL;
	int err;

	if (s->used) {
		*out = s->to;
		return 0;
	}
	set = malloc(t->words * sizeof(*set));
	if (!set)
		return -ENOMEM;
	memcpy(set, &t->sets[from * t->words], t->words * sizeof(*set));
	set[atom >> 6] |= 1ULL << (atom & 63);
	err = intern(t, set, out);
	if (err)
		return err;
	if (2 * ++t->n_steps > t->cap_steps) {
		err = grow_steps(t);
		if (err)
			return err;
		s = find_step(t, from, atom);
	}
	*s = (struct step){ from, atom, *out, true };
	return 0;
}

static int by_start(const void *pa, const void *pb)
{
	const struct member *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return (a->atom > b->atom) - (a->atom < b->atom);
}

/* Sets come sorted; qsort's N log N calls are only for when several are mixed. */
static void sort_members(struct members *m)
{
	for (size_t i = 1; i < m->n; i++) {
		if (by_start(&m->m[i - 1], &m->m[i]) > 0) {
			qsort(m->m, m->n, sizeof(*m->m), by_start);
			return;
		}
	}
}

/* Ranges arrive in ascending order; the first starts at 0; neighbours differ in class. */
struct sink {
	int (*put)(struct sink *s, u128 start, __u32 class_id);
	bool any;
	u128 start; /* of the range not yet put: a later one may begin at the same place */
	__u32 class_id, put_class;
	bool put_any;
};

static int sink_flush(struct sink *s)
{
	if (!s->any || (s->put_any && s->put_class == s->class_id))
		return 0;
	s->put_class = s->class_id;
	s->put_any = true;
	return s->put(s, s->start, s->class_id);
}

static int sink_range(struct sink *s, u128 start, __u32 class_id)
{
	int err = 0;

	if (s->any && s->start != start)
		err = sink_flush(s);
	s->any = true;
	s->start = start;
	s->class_id = class_id;
	return err;
}

/*
 * Prefixes nest or are disjoint, so that a stack of the open ones gives every address its class.
 * bits: length of an address (32, 128).
 */
static int sweep(struct addr_tables *t, struct members *m, unsigned int bits, struct sink *s)
{
	struct {
		u128 last;
		__u32 class_id;
	} * stack;
	_free_ void *stack_mem = NULL;
	size_t depth = 0, cap = 0;
	u128 top = bits == 128 ? ~(u128)0 : ((u128)1 << bits) - 1;
	int err;

	if (array_reserve(&stack_mem, &cap, 1, sizeof(*stack)))
		return -ENOMEM;
	stack = stack_mem;
	stack[0].last = top;
	stack[0].class_id = 0;
	depth = 1;
	sort_members(m);
	err = sink_range(s, 0, 0);
	for (size_t i = 0; !err && i <= m->n; i++) {
		const struct member *p = i < m->n ? &m->m[i] : NULL;
		__u32 class_id;

		while (!err && depth > 1 && (!p || stack[depth - 1].last < p->start)) {
			u128 last = stack[--depth].last;

			if (last != top)
				err = sink_range(s, last + 1, stack[depth - 1].class_id);
		}
		if (err || !p)
			break;
		err = add_atom(t, stack[depth - 1].class_id, p->atom, &class_id);
		if (err)
			break;
		if (array_reserve(&stack_mem, &cap, depth + 1, sizeof(*stack)))
			return -ENOMEM;
		stack = stack_mem;
		stack[depth].last = p->len < bits ? p->start | top >> p->len : p->start;
		stack[depth++].class_id = class_id;
		err = sink_range(s, p->start, class_id);
	}
	return err ? err : sink_flush(s);
}

/* IPv4: one /16 at a time. */
struct sink4 {
	struct sink s;
	struct compiled *out;
	size_t cap_pages, cap_index;
	size_t used; /* of the last page */
	__u32 chunk; /* the /16 being filled */
	struct {
		__u16 start, class_id;
	} r[65536]; /* its ranges so far; r[0].start == 0 */
	size_t n;
};

/* Another page at the end, zeroed. */
static int add_page(struct sink4 *s)
{
	struct compiled *out = s->out;

	if (ARRAY_RESERVE(out->pages4, s->cap_pages, out->n_pages4 + 1))
		return -ENOMEM;
	memset(&out->pages4[out->n_pages4++], 0, sizeof(*out->pages4));
	s->used = 0;
	return 0;
}

/*
 * The ranges of a /24, n from r[i] on, on the last page or a new one. *unit: where, counted from
 * page `first`. A /16 takes less than half of the places that a unit's 15 bits can name: 65,536 at
 * most, and a quarter of each page may stay free.
 */
static int put_ranges(struct sink4 *s, size_t i, size_t n, size_t first, __u16 *unit)
{
	struct compiled *out = s->out;
	__u32 *range;

	if ((!out->n_pages4 || s->used + n > CTB_PAGE4) && add_page(s))
		return -ENOMEM;
	*unit = (__u16)(((out->n_pages4 - 1 - first) * CTB_PAGE4 + s->used) / CTB_UNIT4);
	range = &out->pages4[out->n_pages4 - 1].range[s->used];
	range[0] = (__u32)(n - 1) << 16 | s->r[i].class_id;
	for (size_t k = 1; k < n; k++)
		range[k] = (__u32)(s->r[i + k].start & 0xff) << 16 | s->r[i + k].class_id;
	s->used += (n + CTB_UNIT4 - 1) / CTB_UNIT4 * CTB_UNIT4;
	return 0;
}

static int close_chunk(struct sink4 *s)
{
	struct compiled *out = s->out;
	struct ctb_addr4_top *top = &out->top4[s->chunk];
	size_t i = 0, first = out->n_pages4 ? out->n_pages4 - 1 : 0;
	struct ctb_addr4_index *ix;

	if (s->n == 1) {
		top->at = CTB_WHOLE4 | s->r[0].class_id;
		return 0;
	}
	if (ARRAY_RESERVE(out->index4, s->cap_index, out->n_index4 + 1))
		return -ENOMEM;
	top->at = (__u32)out->n_index4;
	top->page = (__u32)first;
	ix = &out->index4[out->n_index4++];
	/* r[i] is the range that the /24 begins with. */
	for (size_t b = 0; b < 256; b++) {
		size_t end;
		__u16 unit;

		if (i + 1 < s->n && s->r[i + 1].start == b << 8)
			i++;
		for (end = i + 1; end < s->n && s->r[end].start >> 8 == b;)
			end++;
		ix->of[b] = s->r[i].class_id;
		if (end - i > 1 || s->r[i].class_id & CTB_CUT4) {
			if (put_ranges(s, i, end - i, first, &unit))
				return -ENOMEM;
			ix->of[b] = CTB_CUT4 | unit;
		}
		i = end - 1;
	}
	return 0;
}

/* Close /16s up to, but not including, chunk; each next one starts with the class in force. */
static int advance4(struct sink4 *s, __u32 chunk)
{
	while (s->chunk < chunk) {
		__u16 class_id = s->r[s->n - 1].class_id;
		int err = close_chunk(s);

		if (err)
			return err;
		s->chunk++;
		s->r[0].start = 0;
		s->r[0].class_id = class_id;
		s->n = 1;
	}
	return 0;
}

static int put4(struct sink *sink, u128 start, __u32 class_id)
{
	struct sink4 *s = (struct sink4 *)sink;
	__u32 addr = (__u32)start;
	int err = advance4(s, addr >> 16);

	if (err)
		return err;
	if (!(addr & 0xffff))
		s->n = 0; /* a range that starts with the /16 replaces the inherited class */
	s->r[s->n].start = (__u16)(addr & 0xffff);
	s->r[s->n++].class_id = (__u16)class_id;
	return 0;
}

/*
 * With more than this many elements (16 MB) the index gets one for every /16: twice the memory at
 * most, and an address that is in no cache costs one line of memory less.
 */
#define FLAT4_MIN 32768

static int flatten4(struct compiled *out)
{
	struct ctb_addr4_index *flat;

	if (out->n_index4 < FLAT4_MIN)
		return 0;
	for (size_t i = 0; i < 65536; i++) {
		if (out->top4[i].at & CTB_WHOLE4 && out->top4[i].at & CTB_CUT4)
			return 0; /* a class that the index cannot name */
	}
	flat = calloc(65536, sizeof(*flat));
	if (!flat)
		return -ENOMEM;
	for (size_t i = 0; i < 65536; i++) {
		struct ctb_addr4_top *top = &out->top4[i];

		if (!(top->at & CTB_WHOLE4))
			flat[i] = out->index4[top->at];
		for (size_t b = 0; top->at & CTB_WHOLE4 && b < 256; b++)
			flat[i].of[b] = (__u16)top->at;
		top->at = (__u32)i;
	}
	free(out->index4);
	out->index4 = flat;
	out->n_index4 = 65536;
	out->config.flat4 = 1;
	return 0;
}

static int build4(struct addr_tables *t, struct compiled *out)
{
	_free_ struct sink4 *s = calloc(1, sizeof(*s));
	int err;

	out->top4 = calloc(65536, sizeof(*out->top4));
	if (!s || !out->top4)
		return -ENOMEM;
	s->s.put = put4;
	s->out = out;
	err = sweep(t, &t->v4, 32, &s->s);
	if (!err)
		err = advance4(s, 0xffff);
	if (!err)
		err = close_chunk(s);
	return err ? err : flatten4(out);
}

/* IPv6: leaves first, then each level above from the first starts of the one below. */
struct sink6 {
	struct sink s;
	struct ctb_addr6_node *leaves;
	size_t n, cap; /* n: ranges */
};

/* Put a start at place i and, until others come, behind it. */
static void fill_starts(struct ctb_addr6_node *node, size_t i, __u64 hi, __u64 lo)
{
	for (; i < CTB_NODE6; i++) {
		node->hi[i] = hi;
		node->lo[i] = lo;
	}
}

static int put6(struct sink *sink, u128 start, __u32 class_id)
{
	struct sink6 *s = (struct sink6 *)sink;
	size_t node = s->n / CTB_NODE6, i = s->n % CTB_NODE6;

	if (ARRAY_RESERVE(s->leaves, s->cap, node + 1))
		return -ENOMEM;
	fill_starts(&s->leaves[node], i, (__u64)(start >> 64), (__u64)start);
	for (; i < CTB_NODE6; i++)
		s->leaves[node].class_id[i] = (__u16)class_id;
	s->n++;
	return 0;
}

/* The level above `children`, n nodes from element `first` of the map on. */
static void fill_level(struct ctb_addr6_node *level, const struct ctb_addr6_node *children,
		       size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct ctb_addr6_node *node = &level[i / CTB_NODE6];

		if (i % CTB_NODE6 == 0)
			node->child.first = (__u32)(first + i);
		node->child.last = (__u32)(first + i);
		fill_starts(node, i % CTB_NODE6, children[i].hi[0], children[i].lo[0]);
	}
}

static int build6(struct addr_tables *t, struct compiled *out)
{
	struct sink6 s = { .s.put = put6 };
	size_t nodes[CTB_LEVELS6], place[CTB_LEVELS6] = {}, total = 0, levels = 0, n;
	int err = sweep(t, &t->v6, 128, &s.s);

	if (err)
		goto out;
	n = (s.n + CTB_NODE6 - 1) / CTB_NODE6;
	for (;; n = (n + CTB_NODE6 - 1) / CTB_NODE6) {
		nodes[levels++] = n;
		total += n;
		if (n == 1)
			break;
		if (levels == CTB_LEVELS6) {
			err = -E2BIG;
			goto out;
		}
	}
	out->nodes6 = calloc(total, sizeof(*out->nodes6));
	if (!out->nodes6) {
		err = -ENOMEM;
		goto out;
	}
	out->n_nodes6 = total;
	out->config.levels6 = (__u32)levels;
	/* nodes[] counts from the leaves up; in the map the root comes first. */
	for (size_t l = levels - 1, first = 0; l > 0; l--) {
		size_t below = first + nodes[l];

		place[l] = first;
		first = below;
		place[l - 1] = below;
	}
	memcpy(&out->nodes6[place[0]], s.leaves, nodes[0] * sizeof(*s.leaves));
	for (size_t l = 1; l < levels; l++)
		fill_level(&out->nodes6[place[l]], &out->nodes6[place[l - 1]], place[l - 1],
			   nodes[l - 1]);
out:
	free(s.leaves);
	return err;
}

int addr_tables_build(struct addr_tables *t, struct compiled *out)
{
	_free_ __u64 *empty = calloc(t->words, sizeof(*empty));
	__u32 none;
	int err;

	if (!empty)
		return -ENOMEM;
	err = intern(t, empty, &none); /* class 0: in no atom */
	if (!err)
		err = build4(t, out);
	if (!err)
		err = build6(t, out);
	return err;
}

size_t addr_tables_classes(const struct addr_tables *t)
{
	return t->n_classes;
}

bool addr_tables_has(const struct addr_tables *t, size_t class_id, size_t atom)
{
	return t->sets[class_id * t->words + (atom >> 6)] >> (atom & 63) & 1;
}
