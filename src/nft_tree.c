// SPDX-License-Identifier: GPL-2.0-only
/*
 * From an ordered list of candidates to a decision tree. A branch looks one field up in a map;
 * what a map key leads to is decided at once, or is a smaller list with one field less. Where
 * branching does not pay, the list stays a list.
 *
 * Shared ways are built once (memo), and a budget of rules and map elements keeps overlapping
 * candidates from multiplying: beyond it lists stay lists, which is slower, never wrong.
 */
#include <errno.h>
#include <string.h>

#include "nft_tree.h"

bool cand_open(const struct cand *c, unsigned int mask, enum fam fam)
{
	if (c->protos && !(mask & F_BIT(F_PROTO)))
		return true;
	if (c->oif)
		return true;
	for (unsigned int i = 0; i < 2; i++) {
		if (c->local[i] && !(mask & F_BIT(F_SRC_LOCAL + i)))
			return true;
		if (c->port[i] && !(mask & F_BIT(F_SPORT + i)))
			return true;
		if (c->addr[i] && (c->addr[i]->hard || !(mask & F_BIT(F_SRC + i))) &&
		    (fam == FAM_ANY || !c->addr[i]->f[fam].full))
			return true;
	}
	return false;
}

const struct ivals *cand_intervals(const struct cand *c, enum field f, enum fam fam)
{
	switch (f) {
	case F_PROTO:
		return c->protos;
	case F_SPORT:
	case F_DPORT:
		return c->port[f - F_SPORT];
	case F_SRC:
	case F_DST:
		if (!c->addr[f - F_SRC] || c->addr[f - F_SRC]->hard)
			return NULL;
		return &c->addr[f - F_SRC]->f[fam];
	default:
		return NULL;
	}
}

/* --- cutting a field into intervals in which the same candidates fit --- */

struct event {
	u128 pos;
	__u32 cand;
	bool end;
};

static int event_cmp(const void *pa, const void *pb)
{
	const struct event *a = pa, *b = pb;

	return a->pos < b->pos ? -1 : a->pos > b->pos;
}

struct cut {
	struct tree *t;
	enum field field;
	unsigned int mask; /* with field */
	enum fam fam;
	struct event *ev;
	size_t n_ev, cap_ev;
	__u32 *wild, *active, *merged;
	size_t n_wild, n_active;
	struct part *parts;
	size_t n_parts, cap_parts;
	size_t longest;
	size_t rules; /* lengths of the different lists that are still to be divided */
	size_t max_rules, max_parts;
	unsigned int number;
	struct list rest; /* what fits where no interval does */
};

static void cut_clean(struct cut *c)
{
	free(c->ev);
	free(c->wild);
	free(c->active);
	free(c->merged);
	free(c->parts);
}

/* Nothing behind a candidate without further conditions is ever reached. */
static size_t reachable(const struct tree *t, const __u32 *v, size_t n, unsigned int mask,
			enum fam fam)
{
	for (size_t i = 0; i < n; i++) {
		if (!cand_open(&t->c[v[i]], mask, fam))
			return i + 1;
	}
	return n;
}

static bool same_list(const struct list *l, const __u32 *v, size_t n)
{
	return l->n == n && !memcmp(l->v, v, n * sizeof(*v));
}

static __u64 list_hash(const __u32 *v, size_t n)
{
	__u64 h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < n; i++)
		h = (h ^ v[i]) * 0x100000001b3ULL;
	return h ^ h >> 32;
}

struct known_list {
	struct known_list *next;
	struct list list;
	unsigned int cut; /* the last one it appeared in */
};

/* Notes a list of the cut; equal lists are one. 0, -E2BIG (beyond the budget) or -ENOMEM. */
static int cut_list(struct cut *c, const __u32 *v, size_t n, enum fam fam, struct list *out)
{
	struct known_list **slot, *k;

	slot = &c->t->lists[list_hash(v, n) % ARRAY_SIZE(c->t->lists)];
	for (k = *slot; k && !same_list(&k->list, v, n); k = k->next)
		;
	if (!k) {
		k = arena_alloc(&c->t->r->mem, sizeof(*k) + n * sizeof(*v));
		if (!k)
			return -ENOMEM;
		k->list.v = (__u32 *)(k + 1);
		k->list.n = n;
		if (n)
			memcpy(k->list.v, v, n * sizeof(*v));
		k->next = *slot;
		*slot = k;
	}
	*out = k->list;
	if (n > c->longest)
		c->longest = n;
	if (k->cut == c->number || !n || !cand_open(&c->t->c[v[0]], c->mask, fam))
		return 0;
	k->cut = c->number;
	c->rules += n;
	return c->rules > c->max_rules ? -E2BIG : 0;
}

/* One interval with the active and the wild candidates. */
static int cut_emit(struct cut *c, enum fam fam, u128 lo, u128 hi)
{
	struct part *last = c->n_parts ? &c->parts[c->n_parts - 1] : NULL;
	size_t n = 0, a = 0, w = 0;
	struct part *p;

	while (a < c->n_active || w < c->n_wild) {
		__u32 i;

		if (w == c->n_wild || (a < c->n_active && c->active[a] < c->wild[w]))
			i = c->active[a++];
		else
			i = c->wild[w++];
		c->merged[n++] = i;
		if (!cand_open(&c->t->c[i], c->mask, fam))
			break;
	}
	if (last && last->fam == fam && last->iv.hi + 1 == lo &&
	    same_list(&last->list, c->merged, n)) {
		last->iv.hi = hi;
		return 0;
	}
	if (c->n_parts == c->max_parts)
		return -E2BIG;
	if (ARRAY_RESERVE(c->parts, c->cap_parts, c->n_parts + 1))
		return -ENOMEM;
	p = &c->parts[c->n_parts++];
	*p = (struct part){ .fam = fam, .iv = { lo, hi } };
	return cut_list(c, c->merged, n, fam, &p->list);
}

static void toggle(struct cut *c, __u32 cand, bool end)
{
	size_t lo = 0, hi = c->n_active;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->active[mid] < cand)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (end) {
		memmove(c->active + lo, c->active + lo + 1,
			(c->n_active - lo - 1) * sizeof(*c->active));
		c->n_active--;
	} else {
		memmove(c->active + lo + 1, c->active + lo,
			(c->n_active - lo) * sizeof(*c->active));
		c->active[lo] = cand;
		c->n_active++;
	}
}

static u128 field_max(enum field f, enum fam fam)
{
	switch (f) {
	case F_PROTO:
		return 255;
	case F_SPORT:
	case F_DPORT:
		return 65535;
	default:
		return fam == FAM_4 ? (u128)0xffffffffU : ~(u128)0;
	}
}

static int cut_domain(struct cut *c, const struct list *l, enum fam fam)
{
	u128 max = field_max(c->field, fam);
	int err = 0;

	c->n_ev = c->n_wild = c->n_active = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct cand *cand = &c->t->c[l->v[i]];
		const struct ivals *iv = cand_intervals(cand, c->field, fam);

		if (!cand_fits_family(cand, fam))
			continue;
		if (!iv) {
			c->wild[c->n_wild++] = l->v[i];
			continue;
		}
		for (size_t k = 0; k < iv->n; k++) {
			if (ARRAY_RESERVE(c->ev, c->cap_ev, c->n_ev + 2))
				return -ENOMEM;
			c->ev[c->n_ev++] = (struct event){ iv->v[k].lo, l->v[i], false };
			if (iv->v[k].hi != max)
				c->ev[c->n_ev++] = (struct event){ iv->v[k].hi + 1, l->v[i], true };
		}
	}
	if (c->n_ev)
		qsort(c->ev, c->n_ev, sizeof(*c->ev), event_cmp);
	for (size_t i = 0; !err && i < c->n_ev;) {
		u128 pos = c->ev[i].pos;

		/* Intervals of one candidate do not touch: it never ends and starts at one place.
		 */
		for (; i < c->n_ev && c->ev[i].pos == pos; i++)
			toggle(c, c->ev[i].cand, c->ev[i].end);
		if (c->n_active)
			err = cut_emit(c, fam, pos, i < c->n_ev ? c->ev[i].pos - 1 : max);
	}
	return err;
}

/* 0, -E2BIG (beyond the budget) or -ENOMEM. */
static int cut_field(struct cut *c, const struct list *l)
{
	bool addr = c->field == F_SRC || c->field == F_DST;
	size_t n = 0;
	int err = 0;

	c->number = ++c->t->cuts;
	c->wild = calloc(l->n, sizeof(*c->wild));
	c->active = calloc(l->n + 1, sizeof(*c->active));
	c->merged = calloc(l->n, sizeof(*c->merged));
	if (!c->wild || !c->active || !c->merged)
		return -ENOMEM;
	if (!addr || c->fam != FAM_ANY) {
		err = cut_domain(c, l, c->fam);
	} else {
		for (enum fam f = FAM_4; !err && f <= FAM_6; f++)
			err = cut_domain(c, l, f);
	}
	if (err)
		return err;
	for (size_t i = 0; i < l->n; i++) {
		const struct cand *cand = &c->t->c[l->v[i]];

		if (!cand_intervals(cand, c->field, c->fam == FAM_ANY ? FAM_4 : c->fam))
			c->wild[n++] = l->v[i];
	}
	n = reachable(c->t, c->wild, n, c->mask, c->fam);
	return cut_list(c, c->wild, n, c->fam, &c->rest);
}

/* --- building --- */

static struct node *build(struct tree *t, struct list l, unsigned int mask, enum fam fam);

static struct node *new_node(struct tree *t, const struct node *like)
{
	struct node *n = arena_alloc(&t->r->mem, sizeof(*n));

	if (n)
		*n = *like;
	return n;
}

/*
 * Does the subtree look up one address and nothing else? In a quoted packet also always for the
 * same rule: see joined_render().
 */
static bool only_address(const struct tree *t, const struct node *n)
{
	const struct cand *first;

	if (n->kind != NODE_BRANCH || n->child || !n->n_parts || n->n_parts > JOIN_INTERVALS_MAX ||
	    (n->field != F_SRC && n->field != F_DST))
		return false;
	first = n->parts[0].final;
	for (size_t i = 0; i < n->n_parts; i++) {
		const struct cand *c = n->parts[i].final;

		if (!c || (t->plane != PLANE_OUT && c->handle != first->handle))
			return false;
	}
	return true;
}

/*
 * Many rules with a port and an address each would become as many chains of one rule, which is
 * what takes longest to load.
 */
static void join_parts(struct tree *t, struct node *n)
{
	if (n->field != F_SPORT && n->field != F_DPORT)
		return;
	for (enum field f = F_SRC; f <= F_DST; f++) {
		size_t count = 0;

		for (int mark = 0; mark < 2; mark++) {
			for (size_t i = 0; i < n->n_parts; i++) {
				struct part *p = &n->parts[i];

				if (!p->sub || !only_address(t, p->sub) || p->sub->field != f)
					continue;
				if (mark)
					p->joined = count >= JOIN_PARTS_MIN;
				else
					count++;
			}
		}
	}
}

static void pay(struct tree *t, const struct node *n, const struct cut *c)
{
	if (c->rules > n->list.n)
		t->rules -= c->rules - n->list.n;
	t->elements -= c->n_parts;
}

static int branch(struct tree *t, struct node *n, const struct cut *c)
{
	n->kind = NODE_BRANCH;
	n->field = c->field;
	n->n_parts = c->n_parts;
	n->parts = arena_alloc(&t->r->mem, (c->n_parts ? c->n_parts : 1) * sizeof(*n->parts));
	if (!n->parts)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_parts; i++) {
		struct part *p = &n->parts[i];
		const struct cand *first;

		*p = c->parts[i];
		first = &t->c[p->list.v[0]];
		if (!cand_open(first, c->mask, p->fam)) {
			p->final = first;
			continue;
		}
		p->sub = build(t, p->list, c->mask, p->fam);
		if (!p->sub)
			return -ENOMEM;
	}
	if (c->rest.n) {
		n->child = build(t, c->rest, c->mask, n->fam);
		if (!n->child)
			return -ENOMEM;
	}
	join_parts(t, n);
	return 0;
}

/* A single candidate of which only an address is open: in a form that can be joined. */
static int build_single(struct tree *t, struct node *n)
{
	const struct cand *cand = &t->c[n->list.v[0]];
	int err = 0;

	for (enum field f = F_SRC; f <= F_DST; f++) {
		struct cut c = { .t = t,
				 .field = f,
				 .mask = n->mask | F_BIT(f),
				 .fam = n->fam,
				 .max_rules = t->rules,
				 .max_parts = JOIN_INTERVALS_MAX };

		if (n->mask & F_BIT(f) || !cand->addr[f - F_SRC] || cand->addr[f - F_SRC]->hard ||
		    cand_open(cand, c.mask, n->fam))
			continue;
		err = cut_field(&c, &n->list);
		if (!err)
			err = branch(t, n, &c);
		cut_clean(&c);
		break;
	}
	return err == -E2BIG ? 0 : err;
}

/* Protocols come first: ports mean nothing without one. */
static int build_proto(struct tree *t, struct node *n)
{
	struct cut c = { .t = t,
			 .field = F_PROTO,
			 .mask = n->mask | F_BIT(F_PROTO),
			 .fam = n->fam,
			 .max_rules = n->list.n + t->rules,
			 .max_parts = t->elements };
	size_t i;
	int err = cut_field(&c, &n->list);

	if (err == -E2BIG) {
		err = 0; /* stays a list */
		goto out;
	}
	if (err)
		goto out;
	pay(t, n, &c);
	for (i = 1; i < c.n_parts; i++) {
		if (!same_list(&c.parts[0].list, c.parts[i].list.v, c.parts[i].list.n))
			break;
	}
	if (c.rest.n || !c.n_parts || i < c.n_parts ||
	    !cand_open(&t->c[c.parts[0].list.v[0]], c.mask, n->fam)) {
		if (n->list.n > LEAF_PROTO_RULES || !c.rules)
			err = branch(t, n, &c);
		goto out;
	}
	/* One list whatever the protocol is: a condition, not a map. */
	n->kind = NODE_COND;
	n->field = F_PROTO;
	n->iv = t->c[c.parts[0].list.v[0]].protos;
	n->child = build(t, c.parts[0].list, c.mask, n->fam);
	err = n->child ? 0 : -ENOMEM;
out:
	cut_clean(&c);
	return err;
}

static bool same_ivals(const struct ivals *a, const struct ivals *b)
{
	return a == b || (a && b && a->n == b->n && !memcmp(a->v, b->v, a->n * sizeof(*a->v)));
}

/* A port condition that all candidates share is asked once. 1: done; 0: there is none. */
static int build_shared(struct tree *t, struct node *n)
{
	for (enum field f = F_DPORT; f >= F_SPORT; f--) {
		const struct ivals *iv = t->c[n->list.v[0]].port[f - F_SPORT];
		size_t i = 1;

		if (!iv || n->mask & F_BIT(f))
			continue;
		while (i < n->list.n && same_ivals(iv, t->c[n->list.v[i]].port[f - F_SPORT]))
			i++;
		if (i < n->list.n)
			continue;
		n->kind = NODE_COND;
		n->field = f;
		n->iv = iv;
		n->child = build(t, n->list, n->mask | F_BIT(f), n->fam);
		return n->child ? 1 : -ENOMEM;
	}
	return 0;
}

/* All intervals of a field that every candidate constrains; *out NULL: some does not. */
static int field_union(struct tree *t, const struct list *l, enum field f, enum fam fam,
		       const struct ivals **out)
{
	struct cut c = { .t = t,
			 .field = f,
			 .mask = ~0U,
			 .fam = fam,
			 .max_rules = (size_t)-1,
			 .max_parts = (size_t)-1 };
	struct ivals *iv = arena_alloc(&t->r->mem, sizeof(*iv));
	int err = 0;

	*out = NULL;
	for (size_t i = 0; i < l->n; i++) {
		if (!t->c[l->v[i]].port[f - F_SPORT])
			return 0;
	}
	if (!iv)
		return -ENOMEM;
	err = cut_field(&c, l);
	if (!err)
		iv->v = arena_alloc(&t->r->mem, (c.n_parts + 1) * sizeof(*iv->v));
	if (iv->v) {
		for (size_t i = 0; i < c.n_parts; i++) {
			if (iv->n && iv->v[iv->n - 1].hi + 1 == c.parts[i].iv.lo)
				iv->v[iv->n - 1].hi = c.parts[i].iv.hi;
			else
				iv->v[iv->n++] = c.parts[i].iv;
		}
		*out = iv;
	} else if (!err) {
		err = -ENOMEM;
	}
	cut_clean(&c);
	return err;
}

/* Do all candidates ask the same of that side, which is not settled yet? */
static bool same_local(const struct tree *t, const struct node *n, unsigned int side)
{
	enum local local = t->c[n->list.v[0]].local[side];

	if (!local || n->mask & F_BIT(F_SRC_LOCAL + side))
		return false;
	for (size_t i = 1; i < n->list.n; i++) {
		if (t->c[n->list.v[i]].local[side] != local)
			return false;
	}
	return true;
}

/*
 * The same question about a local address in all: ask it once, after a cheap look at the ports,
 * instead of once in a chain for each rule.
 */
static int build_local(struct tree *t, struct node *n, unsigned int side)
{
	int err = 0;

	n->kind = NODE_LOCAL;
	n->side = side;
	n->local = t->c[n->list.v[0]].local[side];
	for (enum field f = F_DPORT; !err && !n->iv && f >= F_SPORT; f--) {
		if (n->mask & F_BIT(f))
			continue;
		n->field = f;
		err = field_union(t, &n->list, f, n->fam, &n->iv);
	}
	if (err)
		return err;
	n->child = build(t, n->list, n->mask | F_BIT(F_SRC_LOCAL + side), n->fam);
	return n->child ? 0 : -ENOMEM;
}

static int build_branch(struct tree *t, struct node *n)
{
	static const enum field order[] = { F_DPORT, F_SPORT, F_DST, F_SRC };
	struct cut best = {};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		struct cut c = { .t = t,
				 .field = order[i],
				 .mask = n->mask | F_BIT(order[i]),
				 .fam = n->fam,
				 .max_rules = n->list.n + t->rules,
				 .max_parts = t->elements };
		bool pays;

		if (n->mask & F_BIT(order[i]))
			continue;
		err = cut_field(&c, &n->list);
		if (err && err != -E2BIG) {
			cut_clean(&c);
			break;
		}
		/*
		 * Shorter in the worst case, or at least on average by half; few rules only if
		 * that decides them all.
		 */
		pays = !err && c.n_parts && (n->list.n > LEAF_RULES || !c.rules) &&
		       (c.longest < n->list.n || c.rules / (c.n_parts + 1) < n->list.n / 2);
		err = 0;
		if (pays && (!best.t || c.longest < best.longest ||
			     (c.longest == best.longest && c.n_parts < best.n_parts))) {
			struct cut swap = best;

			best = c;
			c = swap;
		}
		cut_clean(&c);
	}
	if (!err && best.t) {
		pay(t, n, &best);
		err = branch(t, n, &best);
	}
	cut_clean(&best);
	return err;
}

static struct node *build(struct tree *t, struct list l, unsigned int mask, enum fam fam)
{
	bool proto = false, open = false;
	struct node **slot, *n;
	int err = 0;

	l.n = reachable(t, l.v, l.n, mask, fam);
	slot = &t->memo[(list_hash(l.v, l.n) + mask * 31 + (unsigned int)fam) %
			ARRAY_SIZE(t->memo)];
	for (n = *slot; n; n = n->next) {
		if (n->mask == mask && n->fam == fam && same_list(&n->list, l.v, l.n))
			return n;
	}
	n = new_node(
		t, &(struct node){
			   .kind = NODE_LEAF, .mask = mask, .fam = fam, .list = l, .next = *slot });
	if (!n)
		return NULL;
	*slot = n;
	for (size_t i = 0; i < l.n; i++) {
		const struct cand *c = &t->c[l.v[i]];

		proto = proto || c->protos;
		open = open || cand_open(c, mask, fam);
	}
	if (l.n < 2 || !open)
		return open && build_single(t, n) ? NULL : n;
	if (proto && !(mask & F_BIT(F_PROTO))) {
		err = build_proto(t, n);
	} else {
		err = build_shared(t, n);
		for (unsigned int side = 0; !err && side < 2; side++) {
			if (same_local(t, n, side))
				return build_local(t, n, side) ? NULL : n;
		}
		if (!err)
			err = build_branch(t, n);
	}
	return err < 0 ? NULL : n;
}

static size_t intervals_in(const struct cand *c)
{
	size_t n = 1 + (c->protos ? c->protos->n : 0);

	for (int i = 0; i < 2; i++) {
		if (c->port[i])
			n += c->port[i]->n;
		if (c->addr[i] && !c->addr[i]->hard)
			n += c->addr[i]->f[FAM_4].n + c->addr[i]->f[FAM_6].n;
	}
	return n;
}

struct node *tree_build(struct tree *t, struct list list)
{
	enum fam fam = t->plane == PLANE_OUT ? FAM_ANY : t->plane == PLANE_ERR4 ? FAM_4 : FAM_6;

	/* Enough for rules that overlap now and then; see the top of this file. */
	t->rules = 4 * list.n + 1024;
	t->elements = 4096;
	for (size_t i = 0; i < list.n; i++)
		t->elements += 4 * intervals_in(&t->c[list.v[i]]);
	memset(t->memo, 0, sizeof(t->memo));
	memset(t->lists, 0, sizeof(t->lists));
	return build(t, list, 0, fam);
}
