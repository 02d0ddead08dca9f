/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In place of bpf/kfuncs.h: the module's functions, which only note that they were called. So the
 * programs are tested on kernels without the module, with all that they do if cfg.direct is 1.
 */
#ifndef CTBYPASS_TESTS_UNTRACK_FAKE_H
#define CTBYPASS_TESTS_UNTRACK_FAKE_H

#include <linux/types.h>

/* One element of map `untrack`. */
struct ctb_test_untrack {
	__u32 calls;
	__u32 flags;  /* of the last */
	__s32 result; /* what to return; userspace's */
};

#ifdef __bpf__
#define CTB_KFUNCS_H
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define NF_UNTRACK_DEFER 1

struct bpf_nf_ctx;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ctb_test_untrack);
} untrack SEC(".maps");

static __always_inline int note_untrack(__u32 flags)
{
	__u32 zero = 0;
	struct ctb_test_untrack *u = bpf_map_lookup_elem(&untrack, &zero);

	if (!u)
		return 0;
	u->calls++;
	u->flags = flags;
	return u->result;
}

static __always_inline int bpf_skb_ct_set_untracked(struct __sk_buff *skb, __u32 flags)
{
	(void)skb;
	return note_untrack(flags);
}

static __always_inline int bpf_nf_ct_set_untracked(struct bpf_nf_ctx *ctx)
{
	(void)ctx;
	return note_untrack(0);
}
#endif

#endif
