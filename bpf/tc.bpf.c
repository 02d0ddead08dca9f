// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verdict as one bit of skb->mark, which the nft table turns into UNTRACKED after
 * defragmentation (docs/design.md says why there). Works on any kernel.
 */
#define DEFER_FRAGMENTS 0 /* reassembled packets have the mark of their first fragment */
#define TC_SECTION	"tc"
#include "tc.h"

static __always_inline __u32 foreign_mark(struct __sk_buff *skb)
{
	return skb->mark & ~cfg.mark;
}

static __always_inline void hand_over(struct __sk_buff *skb, int fragment)
{
	(void)fragment;
	skb->mark |= cfg.mark;
}

/* A bit that came along (decapsulation, an earlier hook) is not our verdict. */
static __always_inline void leave(struct __sk_buff *skb)
{
	if (skb->mark & cfg.mark)
		skb->mark &= ~cfg.mark;
}
