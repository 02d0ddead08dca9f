// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ctbypass/abi.h"
#include "kfuncs.h"
#include "util.h"

#define SKB_KFUNC    "bpf_skb_ct_set_untracked"
#define NF_KFUNC     "bpf_nf_ct_set_untracked"
#define PSEUDO_KFUNC 2 /* BPF_PSEUDO_KFUNC_CALL */

static void cleanup_btf(void *p)
{
	btf__free(*(struct btf **)p); /* minds neither NULL nor an error */
}
#define _btf_ _cleanup_(cleanup_btf)

/* --- where they are --- */

/* The module's BTF: a descriptor, with its number, or -errno; -ENOENT: the kernel has none. */
static int open_btf(__u32 *id)
{
	for (*id = 0; !bpf_btf_get_next_id(*id, id);) {
		char name[64] = "";
		struct bpf_btf_info info = { .name = (__u64)(uintptr_t)name,
					     .name_len = sizeof(name) };
		__u32 len = sizeof(info);
		_close_ int fd = bpf_btf_get_fd_by_id(*id);

		if (fd < 0 && errno != ENOENT) /* it may have gone meanwhile */
			return -errno;
		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) && info.kernel_btf &&
		    !strcmp(name, KFUNCS_MODULE))
			return TAKE_FD(fd);
	}
	return -errno;
}

int kfuncs_find(struct kfuncs *out)
{
	_btf_ struct btf *base = NULL, *btf = NULL;
	_close_ int fd = -1;
	int skb, nf;
	__u32 id;

	fd = open_btf(&id);
	if (fd < 0)
		return fd;
	base = btf__load_vmlinux_btf();
	if (!base)
		return -ENODATA;
	btf = btf__load_from_kernel_by_id_split(id, base);
	if (!btf)
		return -errno;
	skb = btf__find_by_name_kind(btf, SKB_KFUNC, BTF_KIND_FUNC);
	if (skb <= 0)
		return -ENOSYS;
	nf = btf__find_by_name_kind(btf, NF_KFUNC, BTF_KIND_FUNC);
	*out = (struct kfuncs){
		.btf_fd = TAKE_FD(fd),
		.skb_id = (__u32)skb,
		.nf_id = nf > 0 ? (__u32)nf : 0,
	};
	return 0;
}

void kfuncs_close(struct kfuncs *k)
{
	cleanup_close(&k->btf_fd);
	*k = (struct kfuncs){ .btf_fd = -1 };
}

bool kfuncs_loaded(void)
{
	return !access("/sys/module/" KFUNCS_MODULE, F_OK);
}

int kfuncs_installed(char *path, size_t size)
{
	_fclose_ FILE *f = NULL;
	_free_ char *line = NULL;
	struct utsname u;
	char dep[128];
	size_t cap = 0;

	if (uname(&u))
		return -errno;
	snprintf(dep, sizeof(dep), "/lib/modules/%s/modules.dep", u.release);
	f = fopen(dep, "re");
	if (!f)
		return -errno;
	while (getline(&line, &cap, f) > 0) {
		char *name;

		line[strcspn(line, ":")] = '\0';
		name = strrchr(line, '/');
		if (!name || strncmp(name + 1, KFUNCS_MODULE ".ko", strlen(KFUNCS_MODULE ".ko")))
			continue;
		snprintf(path, size, "/lib/modules/%s/%s", u.release, line);
		return 0;
	}
	return -ENOENT;
}

/* --- how programs call them --- */

static const struct kfuncs *used;

static bool is_call(const struct bpf_insn *i, __s32 number)
{
	return i->code == (BPF_JMP | BPF_CALL) && !i->src_reg && i->imm == number;
}

static void replace(struct bpf_insn *insns, size_t n, __s32 number, __u32 id)
{
	for (size_t i = 0; id && i < n; i++) {
		if (!is_call(&insns[i], number))
			continue;
		insns[i].src_reg = PSEUDO_KFUNC;
		insns[i].off = 1; /* place in fd_array */
		insns[i].imm = (__s32)id;
	}
}

/* libbpf calls this with the program as it will be loaded. */
static int prepare(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	static int fds[2]; /* 0 stands for the kernel's own BTF */
	size_t n = bpf_program__insn_cnt(prog);
	_free_ struct bpf_insn *insns = NULL;

	(void)cookie;
	if (!used || used->btf_fd < 0)
		return 0;
	insns = malloc(n * sizeof(*insns));
	if (!insns)
		return -ENOMEM;
	memcpy(insns, bpf_program__insns(prog), n * sizeof(*insns));
	replace(insns, n, CTB_CALL_UNTRACK_SKB, used->skb_id);
	replace(insns, n, CTB_CALL_UNTRACK_NF, used->nf_id);
	fds[1] = used->btf_fd;
	opts->fd_array = fds;
	return bpf_program__set_insns(prog, insns, n);
}

int kfuncs_register(void)
{
	static const struct {
		const char *section;
		enum bpf_prog_type type;
		enum bpf_attach_type attach;
	} sections[] = {
		{ CTB_SEC_TC, BPF_PROG_TYPE_SCHED_CLS, (enum bpf_attach_type)0 },
		{ CTB_SEC_NETFILTER, (enum bpf_prog_type)CTB_PROG_TYPE_NETFILTER,
		  (enum bpf_attach_type)CTB_ATTACH_NETFILTER },
	};
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = prepare);
	static bool done;

	for (size_t i = 0; !done && i < ARRAY_SIZE(sections); i++) {
		int r = libbpf_register_prog_handler(sections[i].section, sections[i].type,
						     sections[i].attach, &opts);

		if (r < 0)
			return r;
	}
	done = true;
	return 0;
}

void kfuncs_use(const struct kfuncs *k)
{
	used = k;
}
