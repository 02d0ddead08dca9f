// SPDX-License-Identifier: GPL-2.0-only
/* What direct mode is measured against: the least program that makes packets UNTRACKED at tc. */
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "kfuncs.h"

SEC(CTB_SEC_TC)
int untrack_tc(struct __sk_buff *skb)
{
	bpf_skb_ct_set_untracked(skb, 0);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
