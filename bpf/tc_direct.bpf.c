// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verdict without a mark: module nf_untrack_bpf (docs/kmod.md) makes the packet UNTRACKED right
 * here. With cfg.direct 0 the program loads without the module, and judges and counts only.
 */
#include "kfuncs.h"
#include "ctbypass/abi.h"

#define DEFER_FRAGMENTS 1
#define TC_SECTION	CTB_SEC_TC
#include "tc.h"

static __always_inline __u32 foreign_mark(struct __sk_buff *skb)
{
	return skb->mark;
}

/*
 * A fragment that is UNTRACKED is not reassembled, and those without ports to judge by would wait
 * for it in vain: the module waits until the datagram is whole.
 *
 * What it returns changes nothing: whoever has a conntrack entry by now keeps it.
 */
static __always_inline void hand_over(struct __sk_buff *skb, int fragment)
{
	if (cfg.direct)
		bpf_skb_ct_set_untracked(skb, fragment ? NF_UNTRACK_DEFER : 0);
}

static __always_inline void leave(struct __sk_buff *skb)
{
	(void)skb;
}
