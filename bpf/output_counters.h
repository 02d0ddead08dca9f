/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The counters of packets that this host sends, beside those of counters.h, and like them: shared
 * by all generations, made once by state.bpf.c, pinned. Only programs that count there have them.
 */
#ifndef CTB_OUTPUT_COUNTERS_H
#define CTB_OUTPUT_COUNTERS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "ctbypass/abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * CTB_MAX_RULES);
	__type(key, __u32);
	__type(value, struct ctb_output_counters);
} rules_out SEC(".maps");

static __always_inline void count_output(__u32 slot, __u32 dir, __u32 bytes)
{
	struct ctb_output_counters *r = bpf_map_lookup_elem(&rules_out, &slot);

	if (r && dir < CTB_DIR_MAX) {
		r->count[dir].packets++;
		r->count[dir].bytes += bytes;
	}
}

#endif
