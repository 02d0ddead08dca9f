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

#endif
