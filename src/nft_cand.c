// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nft_tree.h"

/* --- memory --- */

struct arena_chunk {
	struct arena_chunk *next;
	max_align_t data[];
};

void *arena_alloc(struct arena *a, size_t n)
{
	size_t size = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	unsigned char *p;

	if (!a->head || a->size - a->used < size) {
		size_t room = size > 65536 ? size : 65536;
		struct arena_chunk *c = malloc(sizeof(*c) + room);

		if (!c)
			return NULL;
		c->next = a->head;
		a->head = c;
		a->size = room;
		a->used = 0;
	}
	p = (unsigned char *)a->head->data + a->used;
	a->used += size;
	return memset(p, 0, n);
}

void arena_free(struct arena *a)
{
	while (a->head) {
		struct arena_chunk *c = a->head;

		a->head = c->next;
		free(c);
	}
	*a = (struct arena){};
}

/* --- intervals --- */

struct ivlist {
	struct iv *v;
	size_t n, cap;
	bool sorted;
};

static const u128 family_max[] = {
	[FAM_4] = 0xffffffffU,
	[FAM_6] = ~(u128)0,
};

/* Grows the last one where it can: a sorted list of prefixes stays as small as it gets. */
static int ivlist_add(struct ivlist *l, u128 lo, u128 hi)
{
	struct iv *last = l->n ? &l->v[l->n - 1] : NULL;

	if (last && lo >= last->lo && (lo <= last->hi || lo == last->hi + 1)) {
		if (hi > last->hi)
			last->hi = hi;
		return 0;
	}
	if (last && lo < last->lo)
		l->sorted = false;
	if (ARRAY_RESERVE(l->v, l->cap, l->n + 1))
		return -ENOMEM;
	l->v[l->n++] = (struct iv){ lo, hi };
	return 0;
}

static int iv_cmp(const void *pa, const void *pb)
{
	const struct iv *a = pa, *b = pb;

	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return a->hi < b->hi ? -1 : a->hi > b->hi;
}

static void ivlist_normalise(struct ivlist *l)
{
	size_t n = l->n;

	if (l->sorted)
		return;
	qsort(l->v, n, sizeof(*l->v), iv_cmp);
	l->n = 0;
	l->sorted = true;
	for (size_t i = 0; i < n; i++) {
		struct iv *last = l->n ? &l->v[l->n - 1] : NULL;

		if (last && (l->v[i].lo <= last->hi || l->v[i].lo == last->hi + 1)) {
			if (l->v[i].hi > last->hi)
				last->hi = l->v[i].hi;
		} else {
			l->v[l->n++] = l->v[i];
		}
	}
}

static int add4(struct ivlist *l, struct prefix4 p)
{
	u128 span = ((u128)1 << (32 - p.len)) - 1;

	return ivlist_add(l, p.addr, p.addr + span);
}

static int add6(struct ivlist *l, struct prefix6 p)
{
	u128 addr = (u128)p.hi << 64 | p.lo;
	u128 span = p.len ? ((u128)1 << (128 - p.len)) - 1 : ~(u128)0;

	return ivlist_add(l, addr, addr + span);
}

static int add_prefixes(struct ivlist l[2], const struct prefix_list *p)
{
	int err = 0;

	for (size_t i = 0; !err && i < p->n4; i++)
		err = add4(&l[FAM_4], p->v4[i]);
	for (size_t i = 0; !err && i < p->n6; i++)
		err = add6(&l[FAM_6], p->v6[i]);
	return err;
}

/* Into the arena, complemented if asked for. */
static int ivals_from(struct render *r, struct ivlist *l, u128 max, bool negate, struct ivals *out)
{
	u128 next = 0;

	ivlist_normalise(l);
	out->v = arena_alloc(&r->mem, (l->n + 1) * sizeof(*out->v));
	if (!out->v)
		return -ENOMEM;
	if (!negate) {
		for (size_t i = 0; i < l->n; i++)
			out->v[out->n++] = l->v[i];
	} else {
		bool open = true; /* something is left behind the last interval */

		for (size_t i = 0; i < l->n; i++) {
			if (l->v[i].lo > next)
				out->v[out->n++] = (struct iv){ next, l->v[i].lo - 1 };
			next = l->v[i].hi + 1;
			open = l->v[i].hi != max;
		}
		if (open)
			out->v[out->n++] = (struct iv){ next, max };
	}
	out->full = out->n == 1 && !out->v[0].lo && out->v[0].hi == max;
	return 0;
}

static bool ivals_disjoint(const struct ivals *a, const struct ivals *b)
{
	size_t lo, hi;

	if (a->n > b->n) {
		const struct ivals *swap = a;

		a = b;
		b = swap;
	}
	/* Each of the shorter list is looked up in the longer. */
	for (size_t i = 0; i < a->n; i++) {
		lo = 0;
		hi = b->n;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (b->v[mid].hi < a->v[i].lo)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < b->n && b->v[lo].lo <= a->v[i].hi)
			return false;
	}
	return true;
}

/* --- matches, each converted once --- */

#define CACHE_BUCKETS 1024

struct addr_entry {
	struct addr_entry *next;
	const struct addr_match *match;
	enum plane plane;
	struct addr addr;
	bool listed; /* names anything that is in addr */
	bool local;  /* names `local`, which the plane asks about apart */
};

struct addr_cache {
	struct addr_entry *bucket[CACHE_BUCKETS];
};

struct port_entry {
	struct port_entry *next;
	const struct port_list *list;
	struct ivals iv;
};

struct port_cache {
	struct port_entry *bucket[CACHE_BUCKETS];
};

struct proto_entry {
	struct proto_entry *next;
	__u64 bits[4];
	struct ivals iv;
};

static int convert_local(struct render *r)
{
	struct ivlist l[2] = { { .sorted = true }, { .sorted = true } };
	int err = add_prefixes(l, &r->host->local);

	for (enum fam f = FAM_4; !err && f <= FAM_6; f++)
		err = ivals_from(r, &l[f], family_max[f], false, &r->local.f[f]);
	free(l[FAM_4].v);
	free(l[FAM_6].v);
	return err;
}

int cands_open(struct render *r)
{
	r->addr_cache = arena_alloc(&r->mem, sizeof(*r->addr_cache));
	r->port_cache = arena_alloc(&r->mem, sizeof(*r->port_cache));
	return r->addr_cache && r->port_cache ? convert_local(r) : -ENOMEM;
}

static size_t bucket_of(const void *p)
{
	return (size_t)(((__u64)(uintptr_t)p * 0x9e3779b97f4a7c15ULL) >> 54);
}

static int convert_addr(struct render *r, struct addr_entry *e)
{
	struct ivlist l[2] = { { .sorted = true }, { .sorted = true } };
	const struct addr_match *m = e->match;
	int err = 0;

	for (size_t i = 0; !err && i < m->n; i++) {
		const struct addr_item *item = &m->items[i];

		if (item->kind == ADDR_LOCAL && e->plane == PLANE_OUT) {
			e->local = true;
			continue;
		}
		e->listed = true;
		if (item->kind == ADDR_LOCAL)
			err = add_prefixes(l, &r->host->local);
		else if (item->kind == ADDR_SET)
			err = add_prefixes(l, &item->set->addrs);
		else if (item->kind == ADDR_PREFIX4)
			err = add4(&l[FAM_4], item->p4);
		else
			err = add6(&l[FAM_6], item->p6);
	}
	for (enum fam f = FAM_4; !err && f <= FAM_6; f++) {
		err = ivals_from(r, &l[f], family_max[f], m->negate, &e->addr.f[f]);
		if (e->addr.f[f].n > BRANCH_INTERVALS_MAX)
			e->addr.hard = true;
	}
	free(l[FAM_4].v);
	free(l[FAM_6].v);
	return err;
}

static int addr_of(struct render *r, const struct addr_match *m, enum plane plane,
		   const struct addr_entry **out)
{
	struct addr_entry **head = &r->addr_cache->bucket[bucket_of(m)], *e;
	int err;

	for (e = *head; e; e = e->next) {
		if (e->match == m && e->plane == plane) {
			*out = e;
			return 0;
		}
	}
	e = arena_alloc(&r->mem, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->match = m;
	e->plane = plane;
	err = convert_addr(r, e);
	if (err)
		return err;
	e->next = *head;
	*out = *head = e;
	return 0;
}

/* *out NULL: every port. */
static int ports_of(struct render *r, const struct port_list *list, const struct ivals **out)
{
	struct ivlist l = { .sorted = true };
	struct port_entry **head, *e;
	int err = 0;

	*out = NULL;
	if (!list)
		return 0;
	head = &r->port_cache->bucket[bucket_of(list)];
	for (e = *head; e && e->list != list; e = e->next)
		;
	if (!e) {
		e = arena_alloc(&r->mem, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->list = list;
		for (size_t i = 0; !err && i < list->n; i++)
			err = ivlist_add(&l, list->ranges[i].lo, list->ranges[i].hi);
		if (!err)
			err = ivals_from(r, &l, 65535, false, &e->iv);
		free(l.v);
		if (err)
			return err;
		e->next = *head;
		*head = e;
	}
	if (!e->iv.full)
		*out = &e->iv;
	return 0;
}

static int protos_of(struct render *r, const struct proto_match *m, const struct ivals **out)
{
	struct ivlist l = { .sorted = true };
	struct proto_entry *e;
	int err = 0;

	*out = NULL;
	if (!m->present)
		return 0;
	for (e = r->proto_cache; e; e = e->next) {
		if (!memcmp(e->bits, m->bits, sizeof(e->bits))) {
			*out = e->iv.full ? NULL : &e->iv;
			return 0;
		}
	}
	e = arena_alloc(&r->mem, sizeof(*e));
	if (!e)
		return -ENOMEM;
	memcpy(e->bits, m->bits, sizeof(e->bits));
	for (unsigned int p = 0; !err && p < 256; p++) {
		if (proto_has(m, p))
			err = ivlist_add(&l, p, p);
	}
	if (!err)
		err = ivals_from(r, &l, 255, false, &e->iv);
	free(l.v);
	if (err)
		return err;
	e->next = r->proto_cache;
	r->proto_cache = e;
	if (!e->iv.full)
		*out = &e->iv;
	return 0;
}

/* --- interface names --- */

static bool glob_covers(const char *glob, const char *name)
{
	char pattern[1][IFNAMSIZ];
	struct name_list l = { .names = pattern, .n = 1 };

	snprintf(pattern[0], sizeof(pattern[0]), "%s", glob);
	return name_list_has(&l, name);
}

/* A name, or the only kind of glob that nft has: text and a star. */
static bool nft_knows(const char *name)
{
	size_t n = strcspn(name, "*?");

	return n && (!name[n] || (name[n] == '*' && !name[n + 1]));
}

static int names_add(struct name_list *l, const char *name)
{
	if (ARRAY_RESERVE(l->names, l->cap, l->n + 1))
		return -ENOMEM;
	snprintf(l->names[l->n++], IFNAMSIZ, "%s", name);
	return 0;
}

/*
 * Condition on the output interface. Other globs become the names they stand for now. *text NULL:
 * any interface; "": none.
 */
static int oif_text(struct render *r, const struct name_list *names, const char **text)
{
	struct name_list l = {};
	_strbuf_ struct strbuf b = {};
	size_t shown = 0;
	int err = 0;
	char *copy;

	*text = NULL;
	for (size_t i = 0; !err && i < names->n; i++) {
		const char *name = names->names[i];

		if (strpbrk(name, "\"\\\n")) {
			err = -EINVAL;
		} else if (!strcmp(name, "*")) {
			free(l.names);
			return 0;
		} else if (nft_knows(name)) {
			err = names_add(&l, name);
		} else {
			for (size_t k = 0; !err && k < r->host->n_ifs; k++) {
				if (glob_covers(name, r->host->ifs[k].name))
					err = names_add(&l, r->host->ifs[k].name);
			}
		}
	}
	for (size_t i = 0; !err && i < l.n; i++) {
		size_t k;

		/* nft refuses a set whose elements overlap. */
		for (k = 0; k < l.n; k++) {
			bool same = !strcmp(l.names[k], l.names[i]);

			if (same ? k < i : glob_covers(l.names[k], l.names[i]))
				break;
		}
		if (k == l.n)
			strbuf_addf(&b, "%s\"%s\"", shown++ ? ", " : "", l.names[i]);
	}
	free(l.names);
	if (err)
		return err;
	if (b.err)
		return b.err;
	copy = arena_alloc(&r->mem, b.len + sizeof("oifname {  } "));
	if (!copy)
		return -ENOMEM;
	if (shown)
		sprintf(copy, shown > 1 ? "oifname { %s } " : "oifname %s ", b.s);
	*text = copy;
	return 0;
}

/* --- candidates --- */

static bool addr_is_any(const struct addr *a, enum plane plane)
{
	return (plane == PLANE_ERR6 || a->f[FAM_4].full) &&
	       (plane == PLANE_ERR4 || a->f[FAM_6].full);
}

static int add(struct cands *out, const struct cand *c, enum plane plane)
{
	bool fits = plane == PLANE_OUT ? cand_fits_family(c, FAM_4) || cand_fits_family(c, FAM_6)
				       : cand_fits_family(c, plane == PLANE_ERR4 ? FAM_4 : FAM_6);

	/* An empty set, or a glob that no interface fits. */
	for (int i = 0; i < 2; i++)
		fits = fits && (!c->port[i] || c->port[i]->n);
	fits = fits && (!c->protos || c->protos->n);
	if (!fits || (c->oif && !*c->oif))
		return 0;
	if (ARRAY_RESERVE(out->c, out->cap, out->n + 1))
		return -ENOMEM;
	out->c[out->n++] = *c;
	return 0;
}

/*
 * The ways in which an address of the packet can fit: `{ local, 192.0.2.0/24 }` is two, each a
 * conjunction of its own.
 */
struct way {
	const struct addr *addr; /* NULL: any */
	enum local local;
};

/* Puts one or two into w, and says how many. */
static int ways_of(struct render *r, const struct addr_match *m, enum plane plane, struct way w[2],
		   unsigned int *n)
{
	const struct addr_entry *a;
	int err;

	w[0] = (struct way){};
	*n = 1;
	if (!m)
		return 0;
	err = addr_of(r, m, plane, &a);
	if (err)
		return err;
	if (a->listed && !addr_is_any(&a->addr, plane))
		w[0].addr = &a->addr;
	if (!a->local)
		return 0;
	if (m->negate || !a->listed)
		w[0].local = m->negate ? LOCAL_NO : LOCAL_YES;
	else if (w[0].addr) /* else `{ local, anything }` */
		w[(*n)++] = (struct way){ .local = LOCAL_YES };
	return 0;
}

static int add_entry(struct render *r, const struct entry *e, enum plane plane, struct cands *out)
{
	struct cand c = {
		.handle = e->handle,
		.dir = plane == PLANE_OUT ? e->dir : CTB_DIR_ERROR,
		.track = e->action == CTB_TRACK,
	};
	struct way src[2], dst[2];
	unsigned int n_src = 0, n_dst = 0;
	int err;

	err = protos_of(r, &e->proto, &c.protos);
	if (!err)
		err = ports_of(r, e->sport, &c.port[0]);
	if (!err)
		err = ports_of(r, e->dport, &c.port[1]);
	if (!err)
		err = ways_of(r, e->src, plane, src, &n_src);
	if (!err)
		err = ways_of(r, e->dst, plane, dst, &n_dst);
	if (!err && e->iif && plane == PLANE_OUT)
		err = oif_text(r, e->iif, &c.oif);
	for (unsigned int i = 0; !err && i < n_src * n_dst; i++) {
		const struct way *s = &src[i / n_dst], *d = &dst[i % n_dst];

		c.addr[0] = s->addr;
		c.addr[1] = d->addr;
		c.local[0] = s->local;
		c.local[1] = d->local;
		err = add(out, &c, plane);
	}
	return err;
}

int cands_build(struct render *r, const struct entries *entries, enum plane plane,
		struct cands *out)
{
	int err = 0;

	for (size_t i = 0; !err && i < entries->n; i++) {
		const struct entry *e = &entries->e[i];

		/*
		 * An error quotes what this host sent, received or routed: all entries count, and
		 * where the quoted packet came in is not known any more.
		 */
		if (plane == PLANE_OUT ? entry_can_be_output(e) : !e->too_large_for_nft)
			err = add_entry(r, e, plane, out);
	}
	return err;
}

bool cands_disjoint(const struct cand *a, const struct cand *b)
{
	if (a->protos && b->protos && a->protos != b->protos &&
	    ivals_disjoint(a->protos, b->protos))
		return true;
	for (int i = 0; i < 2; i++) {
		if (a->port[i] && b->port[i] && ivals_disjoint(a->port[i], b->port[i]))
			return true;
	}
	for (int i = 0; i < 2; i++) {
		if (a->local[i] && b->local[i] && a->local[i] != b->local[i])
			return true;
	}
	for (enum fam f = FAM_4; f <= FAM_6; f++) {
		bool apart = !cand_fits_family(a, f) || !cand_fits_family(b, f);

		for (int i = 0; !apart && i < 2; i++)
			apart = a->addr[i] && b->addr[i] &&
				ivals_disjoint(&a->addr[i]->f[f], &b->addr[i]->f[f]);
		if (!apart)
			return false;
	}
	return true;
}
