/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What module nf_untrack_bpf has for programs (kmod/nf_untrack_bpf.c explains it). The loader puts
 * the kfuncs in the place of these numbers (src/kfuncs.h). Where cfg.direct is 0 the verifier
 * removes the calls, and programs load without the module.
 */
#ifndef CTB_KFUNCS_H
#define CTB_KFUNCS_H

#include <linux/bpf.h>
#include "ctbypass/abi.h"

#define NF_UNTRACK_DEFER 1

struct bpf_nf_ctx;

static int (*bpf_skb_ct_set_untracked)(struct __sk_buff *skb,
				       __u32 flags) = (void *)CTB_CALL_UNTRACK_SKB;
static int (*bpf_nf_ct_set_untracked)(struct bpf_nf_ctx *ctx) = (void *)CTB_CALL_UNTRACK_NF;

#endif
