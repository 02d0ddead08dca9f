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

static __always_inline int ingress(struct __sk_buff *skb, int l2)
{
	/* A bit that came along (decapsulation, an earlier hook) is not our verdict. */
	__u32 was = skb->mark, mark = was & ~cfg.mark;
	enum verdict v = judge(skb, l2);

	if (v == UNTRACKED)
		mark |= cfg.mark;
	if (was != mark)
		skb->mark = mark;
	return v == FORWARDED ? TC_ACT_REDIRECT : TC_ACT_UNSPEC;
}
