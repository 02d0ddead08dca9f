/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What kernels from 6.1 on call differently. No version is asked for: what is missing is a macro.
 * Netfilter programs (6.4) are there when CONFIG_NETFILTER_BPF_LINK is.
 */
#ifndef NF_UNTRACK_BPF_COMPAT_H
#define NF_UNTRACK_BPF_COMPAT_H

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/filter.h>
#if IS_ENABLED(CONFIG_NETFILTER_BPF_LINK)
#include <net/netfilter/nf_bpf_link.h>
#endif

/* 6.3: before, nothing kept the compiler from changing the signature that BTF tells of. */
#ifndef __bpf_kfunc
#define __bpf_kfunc __used noinline
#endif

/* 6.7. The definitions have no declarations: nobody calls them by their C name. */
#ifndef __bpf_kfunc_start_defs
#define __bpf_kfunc_start_defs() \
	__diag_push(); \
	__diag_ignore_all("-Wmissing-prototypes", "kfuncs are in BTF")
#define __bpf_kfunc_end_defs() __diag_pop()
#endif

/* 6.9: sets of kfuncs have a flag to tell them from others, without which they are refused. */
#ifndef BTF_KFUNCS_START
#define BTF_KFUNCS_START(name) BTF_SET8_START(name)
#define BTF_KFUNCS_END(name)   BTF_SET8_END(name)
#endif

#endif
