// SPDX-License-Identifier: GPL-2.0-only
/* What is in the table: names, so that the next transaction adds and removes just the difference.
 */
#include <errno.h>
#include <string.h>

#include "nft.h"
#include "nft_tree.h"

void objects_free(struct nft_objects *o)
{
	free(o->chains);
	free(o->sets);
	free(o->counters);
	*o = (struct nft_objects){};
}

void nft_state_free(struct nft_state *s)
{
	if (!s)
		return;
	objects_free(&s->now);
	objects_free(&s->left);
	free(s->leftovers);
	free(s);
}

__u32 nft_state_generation(const struct nft_state *s)
{
	return s ? s->generation : 0;
}

__u32 nft_state_mark(const struct nft_state *s)
{
	return s ? s->mark : 0;
}

const char *nft_state_leftovers(const struct nft_state *s)
{
	return s ? s->leftovers : NULL;
}

void nft_state_settled(struct nft_state *s)
{
	objects_free(&s->left);
	free(s->leftovers);
	s->leftovers = NULL;
}

int objects_add_chain(struct nft_objects *o, const char *name)
{
	if (ARRAY_RESERVE(o->chains, o->cap_chains, o->n_chains + 1))
		return -ENOMEM;
	snprintf(o->chains[o->n_chains++], NSET_NAME, "%s", name);
	return 0;
}

int objects_add_set(struct nft_objects *o, const char *name)
{
	if (ARRAY_RESERVE(o->sets, o->cap_sets, o->n_sets + 1))
		return -ENOMEM;
	memset(o->sets[o->n_sets], 0, NSET_NAME); /* whole names are compared */
	snprintf(o->sets[o->n_sets++], NSET_NAME, "%s", name);
	return 0;
}

int objects_add_counter(struct nft_objects *o, __u64 key)
{
	if (ARRAY_RESERVE(o->counters, o->cap_counters, o->n_counters + 1))
		return -ENOMEM;
	o->counters[o->n_counters++] = key;
	return 0;
}

static int key_cmp(const void *pa, const void *pb)
{
	const __u64 *a = pa, *b = pb;

	return *a < *b ? -1 : *a > *b;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

void objects_sort(struct nft_objects *o)
{
	size_t n = 0;

	if (o->n_sets)
		qsort(o->sets, o->n_sets, sizeof(*o->sets), name_cmp);
	if (o->n_counters)
		qsort(o->counters, o->n_counters, sizeof(*o->counters), key_cmp);
	for (size_t i = 0; i < o->n_counters; i++) {
		if (!n || o->counters[n - 1] != o->counters[i])
			o->counters[n++] = o->counters[i];
	}
	o->n_counters = n;
}

bool objects_have_set(const struct nft_objects *o, const char *name)
{
	return o && o->n_sets && bsearch(name, o->sets, o->n_sets, sizeof(*o->sets), name_cmp);
}

bool objects_have_counter(const struct nft_objects *o, __u64 key)
{
	return o && o->n_counters &&
	       bsearch(&key, o->counters, o->n_counters, sizeof(key), key_cmp);
}

bool objects_same(const struct nft_objects *a, const struct nft_objects *b)
{
	return a->n_sets == b->n_sets && a->n_counters == b->n_counters &&
	       (!a->n_sets || !memcmp(a->sets, b->sets, a->n_sets * sizeof(*a->sets))) &&
	       (!a->n_counters ||
		!memcmp(a->counters, b->counters, a->n_counters * sizeof(*a->counters)));
}

int objects_add_missing(struct nft_objects *to, const struct nft_objects *from, bool chains,
			const struct nft_objects *unless)
{
	int err = 0;

	for (size_t i = 0; !err && chains && i < from->n_chains; i++)
		err = objects_add_chain(to, from->chains[i]);
	for (size_t i = 0; !err && i < from->n_sets; i++) {
		if (!objects_have_set(unless, from->sets[i]))
			err = objects_add_set(to, from->sets[i]);
	}
	for (size_t i = 0; !err && i < from->n_counters; i++) {
		if (!objects_have_counter(unless, from->counters[i]))
			err = objects_add_counter(to, from->counters[i]);
	}
	return err;
}

void objects_remove(const struct nft_objects *o, const struct nft_objects *unless, struct strbuf *s)
{
	char name[24];

	/* Chains are emptied first, so that none is in use when it goes. */
	for (size_t i = 0; i < o->n_chains; i++)
		strbuf_addf(s, "flush chain inet " NFT_TABLE " %s\n", o->chains[i]);
	for (size_t i = 0; i < o->n_chains; i++)
		strbuf_addf(s, "delete chain inet " NFT_TABLE " %s\n", o->chains[i]);
	for (size_t i = 0; i < o->n_sets; i++) {
		if (!objects_have_set(unless, o->sets[i]))
			strbuf_addf(s, "delete set inet " NFT_TABLE " %s\n", o->sets[i]);
	}
	for (size_t i = 0; i < o->n_counters; i++) {
		__u64 key = o->counters[i];

		if (objects_have_counter(unless, key))
			continue;
		counter_name((__u32)(key >> 2), (enum ctb_dir)(key & 3), name);
		strbuf_addf(s, "delete counter inet " NFT_TABLE " %s\n", name);
	}
}
