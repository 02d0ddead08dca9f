// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kfunc of kmod/: a program that calls it, verified and thrown away. Where that fails, why the
 * module is not there, in words that say what to do.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "features_priv.h"
#include "kfuncs.h"
#include "privileges.h"

#define MODULE	     KFUNCS_MODULE
#define PSEUDO_KFUNC 2 /* BPF_PSEUDO_KFUNC_CALL */

/* --- the attempt --- */

static int load_caller(int btf_fd, int func)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2 }, /* flags */
		{ .code = BPF_JMP | BPF_CALL, .src_reg = PSEUDO_KFUNC, .off = 1, .imm = func },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fds[] = { 0, btf_fd }; /* 0 stands for the kernel's own BTF */
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .fd_array = fds);
	_close_ int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "ctb_probe", "GPL", insns,
				       ARRAY_SIZE(insns), &opts);

	return fd < 0 ? -errno : 0;
}

/* 0 or -errno, as kfuncs_find(). */
static int try_kfunc(void)
{
	_cleanup_(kfuncs_close) struct kfuncs k = { .btf_fd = -1 };
	int err = kfuncs_find(&k);

	return err ? err : load_caller(k.btf_fd, (int)k.skb_id);
}

/* --- why it is not there --- */

/*
 * Does the kernel refuse modules that nobody has signed? What is given it here is no module: one
 * that is signed with nothing is refused for that, -EKEYREJECTED or (lockdown) -EPERM, before the
 * kernel has a look at what it is. 0: it does not; or another -errno.
 */
static int refuses_unsigned(void)
{
	static const char nothing[256];
	__u64 caps;
	int err = privileges_effective(&caps);

	if (err)
		return err;
	if (!(caps & 1ULL << CAP_SYS_MODULE))
		return -EACCES;
	if (!syscall(SYS_init_module, nothing, sizeof(nothing), ""))
		return -EINVAL;
	return errno == ENOEXEC ? 0 : -errno;
}

/* A signature stands behind the module. Not to be seen in one that is compressed. */
static bool may_be_signed(const char *path)
{
	static const char magic[] = "~Module signature appended~\n";
	char end[sizeof(magic)] = "";
	_fclose_ FILE *f = fopen(path, "re");
	size_t len = strlen(path);

	if (len < 3 || strcmp(path + len - 3, ".ko") || !f)
		return true;
	return !fseek(f, -(long)strlen(magic), SEEK_END) &&
	       fread(end, 1, strlen(magic), f) == strlen(magic) && !strcmp(end, magic);
}

static void say_why(struct probe *p)
{
	char path[256];
	int err;

	if (kfuncs_loaded()) {
		feature_set(p->out, FEATURE_UNTRACK_KFUNC, FEATURE_NO,
			    "module " MODULE " is loaded, but was built without BTF");
		return;
	}
	if (kfuncs_installed(path, sizeof(path))) {
		feature_set(p->out, FEATURE_UNTRACK_KFUNC, FEATURE_NO,
			    "module " MODULE " is not built for this kernel");
		return;
	}
	/* Tried only where it matters: the kernel's log tells of it. */
	err = may_be_signed(path) ? 0 : refuses_unsigned();
	if (err == -EPERM || err == -EKEYREJECTED) {
		feature_set(p->out, FEATURE_UNTRACK_KFUNC, FEATURE_NO,
			    "module " MODULE
			    " is not signed, and this kernel loads signed modules only (%s)",
			    err == -EPERM ? "lockdown" : "module.sig_enforce");
	} else {
		feature_set(p->out, FEATURE_UNTRACK_KFUNC, FEATURE_NO,
			    "module " MODULE " is not loaded: modprobe " MODULE);
	}
}

void probe_untrack_kfunc(struct probe *p)
{
	int err;

	if (p->out->f[FEATURE_BPF].state != FEATURE_YES)
		return;
	err = try_kfunc();
	if (err == -ENOENT)
		say_why(p);
	else if (err == -ENOSYS)
		feature_set(p->out, FEATURE_UNTRACK_KFUNC, FEATURE_NO,
			    "module " MODULE " has no bpf_skb_ct_set_untracked()");
	else if (err == -ENODATA)
		feature_set(p->out, FEATURE_UNTRACK_KFUNC, FEATURE_UNKNOWN,
			    "the kernel's types cannot be read from /sys/kernel/btf/vmlinux");
	else
		feature_set_err(p->out, FEATURE_UNTRACK_KFUNC, err);
}
