// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "slots.h"

void slots_load(struct slots *s, const struct ctb_rule_info *info, __u32 next_handle)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->info, info, sizeof(s->info));
	s->next_handle = next_handle ? next_handle : 1;
	for (size_t i = CTB_SLOT_FAILSAFE + 1; i < CTB_MAX_RULES; i++) {
		if (s->info[i].handle >= s->next_handle)
			s->next_handle = s->info[i].handle + 1;
	}
}

/* An occupied slot, for looking up by text and then by age. */
struct owner {
	__u64 hash;
	__u32 handle, slot;
	bool taken;
};

static int by_hash_and_age(const void *pa, const void *pb)
{
	const struct owner *a = pa, *b = pb;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->handle < b->handle ? -1 : a->handle > b->handle;
}

static size_t list_owners(const struct slots *s, struct owner *out)
{
	size_t n = 0;

	for (__u32 i = CTB_SLOT_FAILSAFE + 1; i < CTB_MAX_RULES; i++) {
		if (s->info[i].handle)
			out[n++] = (struct owner){ .hash = s->info[i].hash,
						   .handle = s->info[i].handle,
						   .slot = i };
	}
	qsort(out, n, sizeof(*out), by_hash_and_age);
	return n;
}

/* The first owner of this text that is free to take; handle 0: whichever. */
static struct owner *claim(struct owner *o, size_t n, __u64 hash, __u32 handle)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (o[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && o[lo].hash == hash; lo++) {
		if (!o[lo].taken && (!handle || o[lo].handle == handle)) {
			o[lo].taken = true;
			return &o[lo];
		}
	}
	return NULL;
}

static void keep(struct rule *r, const struct owner *o)
{
	r->handle = o->handle;
	r->slot = o->slot;
}

/* A slot that no staying rule has. */
struct place {
	__u32 slot;
	bool in_use; /* by a rule that goes in this change */
	__u64 freed_at;
};

static int by_age(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;

	if (a->in_use != b->in_use)
		return a->in_use - b->in_use;
	if (a->freed_at != b->freed_at)
		return a->freed_at < b->freed_at ? -1 : 1;
	return a->slot < b->slot ? -1 : 1;
}

/* Slots for new rules in the order in which they are to be given out. */
static void list_places(const struct slots *s, const struct slot_plan *plan, struct place *out)
{
	size_t n = 0;

	for (__u32 i = CTB_SLOT_FAILSAFE + 1; i < CTB_MAX_RULES; i++) {
		if (!plan->info[i].handle)
			out[n++] = (struct place){ i, s->info[i].handle != 0, s->freed_at[i] };
	}
	qsort(out, n, sizeof(*out), by_age);
}

static int describe(const struct rule *r, __u64 hash, struct ctb_rule_info *out)
{
	_strbuf_ struct strbuf text = {};

	rule_print(r, &text);
	if (text.err)
		return text.err;
	*out = (struct ctb_rule_info){ .handle = r->handle, .action = r->action, .hash = hash };
	/* Text longer than the map has room for is cut, and only ever shown. */
	snprintf(out->text, sizeof(out->text), "%.*s", (int)sizeof(out->text) - 1,
		 text.s ? text.s : "");
	return 0;
}

static int assign(const struct slots *s, struct ruleset *rs, struct slot_plan *plan,
		  struct owner *owners, struct place *places, __u64 *hashes)
{
	size_t n = list_owners(s, owners);
	int err;

	for (size_t i = 0; i < rs->n_rules; i++) {
		struct rule *r = &rs->rules[i];
		struct owner *o;

		hashes[i] = rule_hash(r);
		r->slot = 0;
		o = r->handle ? claim(owners, n, hashes[i], r->handle) : NULL;
		if (o)
			keep(r, o);
	}
	for (size_t i = 0; i < rs->n_rules; i++) {
		struct rule *r = &rs->rules[i];
		struct owner *o;

		if (r->slot)
			continue;
		o = claim(owners, n, hashes[i], 0);
		if (o)
			keep(r, o);
	}
	for (size_t i = 0; i < rs->n_rules; i++) {
		struct rule *r = &rs->rules[i];

		if (!r->slot)
			continue;
		plan->kept++;
		err = describe(r, hashes[i], &plan->info[r->slot]);
		if (err)
			return err;
	}
	/* As many as there are slots without a rule that stays: enough, see slots_assign(). */
	list_places(s, plan, places);
	for (size_t i = 0; i < rs->n_rules; i++) {
		struct rule *r = &rs->rules[i];

		if (r->slot)
			continue;
		r->slot = places++->slot;
		r->handle = plan->next_handle++;
		plan->fresh[r->slot] = true;
		plan->added++;
		err = describe(r, hashes[i], &plan->info[r->slot]);
		if (err)
			return err;
	}
	plan->removed = n - plan->kept;
	rs->next_handle = plan->next_handle;
	return 0;
}

int slots_assign(const struct slots *s, struct ruleset *rs, struct slot_plan *plan)
{
	_free_ struct owner *owners = NULL;
	_free_ struct place *places = NULL;
	_free_ __u64 *hashes = NULL;
	int err;

	if (rs->n_rules >= CTB_MAX_RULES)
		return -E2BIG;
	owners = calloc(CTB_MAX_RULES, sizeof(*owners));
	places = calloc(CTB_MAX_RULES, sizeof(*places));
	hashes = calloc(CTB_MAX_RULES, sizeof(*hashes));
	if (!owners || !places || !hashes)
		return -ENOMEM;
	memset(plan, 0, sizeof(*plan));
	plan->next_handle = s->next_handle;
	plan->info[CTB_SLOT_FAILSAFE] = (struct ctb_rule_info){ .action = CTB_TRACK };
	strcpy(plan->info[CTB_SLOT_FAILSAFE].text, "failsafe");
	err = assign(s, rs, plan, owners, places, hashes);
	if (err)
		return err;
	for (size_t i = 0; i < CTB_MAX_RULES; i++)
		plan->differs[i] = memcmp(&plan->info[i], &s->info[i], sizeof(s->info[i])) != 0;
	return 0;
}

void slots_commit(struct slots *s, const struct slot_plan *plan)
{
	for (size_t i = 0; i < CTB_MAX_RULES; i++) {
		if (s->info[i].handle && !plan->info[i].handle)
			s->freed_at[i] = ++s->clock;
	}
	memcpy(s->info, plan->info, sizeof(s->info));
	s->next_handle = plan->next_handle;
}
