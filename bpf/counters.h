/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The counters: shared by all generations, so that swaps lose no count. Created once by
 * state.bpf.c, pinned, and reused by every later load. Per CPU, indexed, never full.
 */
#ifndef CTB_COUNTERS_H
#define CTB_COUNTERS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "ctbypass/abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CTB_MAX_RULES);
	__type(key, __u32);
	__type(value, struct ctb_rule_counters);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CTB_R_MAX);
	__type(key, __u32);
	__type(value, struct ctb_count);
} reasons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CTB_FB_MAX);
	__type(key, __u32);
	__type(value, struct ctb_fallback_counters);
} fallbacks SEC(".maps");

static __always_inline void count_rule(__u32 slot, __u32 outcome, __u32 dir, __u32 bytes)
{
	struct ctb_rule_counters *r = bpf_map_lookup_elem(&rules, &slot);

	if (r && outcome < CTB_OUTCOME_MAX && dir < CTB_DIR_MAX) {
		r->count[outcome][dir].packets++;
		r->count[outcome][dir].bytes += bytes;
	}
}

/* to_tc: XDP gave the packet on; else it is the kernel's now. */
static __always_inline void count_fallback(__u32 why, int to_tc, __u32 bytes)
{
	struct ctb_fallback_counters *f = bpf_map_lookup_elem(&fallbacks, &why);
	struct ctb_count *c;

	if (!f)
		return;
	c = to_tc ? &f->to_tc : &f->kernel;
	c->packets++;
	c->bytes += bytes;
}

#endif
