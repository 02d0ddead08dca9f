/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What kernels from 6.1 on call differently. Where a macro tells, no version is asked for.
 * Netfilter programs (6.4) are there when CONFIG_NETFILTER_BPF_LINK is.
 */
#ifndef NF_UNTRACK_BPF_COMPAT_H
#define NF_UNTRACK_BPF_COMPAT_H

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/filter.h>
#include <linux/sysctl.h>
#include <linux/version.h>
#include <net/net_namespace.h>
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

/* 6.6: tables come with their length. */
#ifdef register_net_sysctl
#define nf_untrack_register_sysctl(net, path, table) register_net_sysctl_sz(net, path, table, 1)
#else
#define nf_untrack_register_sysctl(net, path, table) register_net_sysctl(net, path, table)
#endif

/* 6.11: handlers get a table that they may not change. There is no macro to tell. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
typedef const struct ctl_table nf_untrack_ctl_table;
#else
typedef struct ctl_table nf_untrack_ctl_table;
#endif

/* 6.9: sets of kfuncs have a flag to tell them from others, without which they are refused. */
#ifndef BTF_KFUNCS_START
#define BTF_KFUNCS_START(name) BTF_SET8_START(name)
#define BTF_KFUNCS_END(name)   BTF_SET8_END(name)
#endif

#endif
