// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stages: the base chain asks one decision tree after the other. A tree works well on candidates
 * that look at the same field first, while rules of all kinds stand mixed in the list. So each
 * candidate goes to the stage of its kind, also past rules of other kinds, where that changes no
 * packet's verdict: whatever it overtakes must fit none of its packets or have the same action.
 * In the latter case only the counter that a packet fitting both goes to changes: OUTPUT's
 * counters say "by a rule that fits it", not always "by the first that fits".
 */
#include <errno.h>
#include <string.h>

#include "nft_tree.h"

#define NARROW_PORTS 1024

struct stage {
	unsigned int kind;
	__u32 *v;
	size_t n, cap;
};

struct stages {
	struct stage *s;
	size_t n, cap;
};

static void stages_free(struct stages *st)
{
	for (size_t i = 0; i < st->n; i++)
		free(st->s[i].v);
	free(st->s);
}

static size_t ports_in(const struct ivals *iv)
{
	size_t n = 0;

	for (size_t i = 0; iv && i < iv->n; i++)
		n += (size_t)(iv->v[i].hi - iv->v[i].lo + 1);
	return iv ? n : 65536;
}

/* What its tree will look at first, so that a stage's candidates divide well. */
static unsigned int kind_of(const struct cand *c)
{
	size_t s = ports_in(c->port[0]), d = ports_in(c->port[1]);
	enum field f;

	if (d <= NARROW_PORTS && d <= s)
		f = F_DPORT;
	else if (s <= NARROW_PORTS)
		f = F_SPORT;
	else if (c->addr[1] && !c->addr[1]->hard)
		f = F_DST;
	else if (c->addr[0] && !c->addr[0]->hard)
		f = F_SRC;
	else if (c->port[1])
		f = F_DPORT;
	else if (c->port[0])
		f = F_SPORT;
	else
		f = F_PROTO;
	return (unsigned int)f << 4 | (unsigned int)c->local[0] << 2 | c->local[1];
}

static bool may_overtake(const struct cand *all, const struct cand *c, const struct stage *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct cand *other = &all[s->v[i]];

		if (other->track != c->track && !cands_disjoint(c, other))
			return false;
	}
	return true;
}

static int stages_add(struct stages *st, const struct cands *all, __u32 index)
{
	const struct cand *c = &all->c[index];
	unsigned int kind = kind_of(c);
	struct stage *s = NULL;

	for (size_t i = st->n; i-- > 0;) {
		if (st->s[i].kind == kind) {
			s = &st->s[i];
			break;
		}
		if (!may_overtake(all->c, c, &st->s[i]))
			break;
	}
	if (!s) {
		if (ARRAY_RESERVE(st->s, st->cap, st->n + 1))
			return -ENOMEM;
		s = &st->s[st->n++];
		*s = (struct stage){ .kind = kind };
	}
	if (ARRAY_RESERVE(s->v, s->cap, s->n + 1))
		return -ENOMEM;
	s->v[s->n++] = index;
	return 0;
}

static bool fits_icmp(const struct cands *all, const struct stage *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct ivals *p = all->c[s->v[i]].protos;

		if (!p)
			return true;
		for (size_t k = 0; k < p->n; k++) {
			if ((p->v[k].lo <= 1 && p->v[k].hi >= 1) ||
			    (p->v[k].lo <= 58 && p->v[k].hi >= 58))
				return true;
		}
	}
	return false;
}

int stages_render(struct render *r, enum plane plane, const struct cands *c, struct strbuf *text,
		  const char *icmp_text)
{
	_free_ struct tree *t = calloc(1, sizeof(*t));
	struct stages st = {};
	int err = t ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < c->n; i++)
		err = stages_add(&st, c, (__u32)i);
	for (size_t i = 0; !err && i < st.n; i++) {
		struct list l = { .v = st.s[i].v, .n = st.s[i].n };
		struct node *root;

		/* Most packets are no ICMP: ask late, but before a rule could take an error. */
		if (icmp_text && fits_icmp(c, &st.s[i])) {
			strbuf_add(text, icmp_text, strlen(icmp_text));
			icmp_text = NULL;
		}
		*t = (struct tree){ .r = r, .plane = plane, .c = c->c };
		root = tree_build(t, l);
		err = root ? tree_render(t, root, text) : -ENOMEM;
	}
	if (icmp_text)
		strbuf_add(text, icmp_text, strlen(icmp_text));
	stages_free(&st);
	return err ? err : text->err;
}
