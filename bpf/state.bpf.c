// SPDX-License-Identifier: GPL-2.0-only
/*
 * No program: the maps that live as long as the data plane, whoever the daemon is. An object of
 * their own, so that libbpf creates them typed (BTF) before any rule is loaded.
 */
#include "counters.h"
#include "output_counters.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CTB_MAX_RULES);
	__type(key, __u32);
	__type(value, struct ctb_rule_info);
} rule_info SEC(".maps");

/* Full: the daemon refuses further run-time changes and says so. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CTB_JOURNAL_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct ctb_journal_line);
} journal SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ctb_state);
} state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct ctb_clsact);
} clsact SEC(".maps");

char LICENSE[] SEC("license") = "GPL";
