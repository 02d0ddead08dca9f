/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kfuncs of the optional module nf_untrack_bpf (kmod/): where they are, and how our programs
 * come to call them.
 *
 * libbpf could do it, by __ksym externs. It then reads the BTF of the kernel and of every module
 * for each object that is loaded, on kernels without the module too, and must be CAP_SYS_ADMIN for
 * it, each time. Here a program calls a helper that no kernel has (CTB_CALL_*, abi.h), behind
 * read-only configuration that leads there in direct mode only, and the calls are replaced right
 * before such a program is loaded.
 */
#ifndef CTBYPASS_KFUNCS_H
#define CTBYPASS_KFUNCS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define KFUNCS_MODULE "nf_untrack_bpf"

struct kfuncs {
	int btf_fd;   /* the module's BTF; -1: there is none. Does not keep the module */
	__u32 skb_id; /* type IDs: bpf_skb_ct_set_untracked(), never 0 when btf_fd is not -1 */
	__u32 nf_id;  /* bpf_nf_ct_set_untracked(); 0: the kernel has no netfilter programs */
};

/*
 * Look for them; needs CAP_SYS_ADMIN. 0: *out is the caller's to close; -ENOENT: no module has such
 * BTF; -ENOSYS: its BTF has no such function; -ENODATA: the kernel's own, on which it is built, is
 * not to be had; or another -errno.
 */
int kfuncs_find(struct kfuncs *out);
void kfuncs_close(struct kfuncs *k); /* minds no second time */

/* Is the module loaded? Says nothing of its BTF. */
bool kfuncs_loaded(void);
/* Path of the module, where depmod found it for the running kernel. 0 or -errno. */
int kfuncs_installed(char *path, size_t size);

/*
 * Make libbpf know the sections of our programs; once, before any object is opened. Without it they
 * have no type, see load_configure().
 */
int kfuncs_register(void);
/* Programs loaded from now on call these (borrowed); NULL: they must not lead to such a call. */
void kfuncs_use(const struct kfuncs *k);

#endif
