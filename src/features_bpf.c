// SPDX-License-Identifier: GPL-2.0-only
/*
 * BPF: programs of two or three instructions, loaded and thrown away, and attached to nothing but
 * the loopback device of our own network namespace.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <elf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <string.h>

#include "attach.h"
#include "compile.h"
#include "datapath.h"
#include "features_priv.h"
#include "tc.skel.h"
#include "xdp.skel.h"

/* Not in Debian 12's headers: include/uapi/linux/bpf.h of 5.18 and 6.4. */
#define F_XDP_HAS_FRAGS (1U << 5)

#define NO_DEVICE 0x7fffffff /* an ifindex that nobody has */

#define INSN(c, d, s, o, i) \
	(struct bpf_insn) \
	{ \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define MOV_IMM(d, i)	 INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_REG(d, s)	 INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, i)	 INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD32(d, s, o)	 INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define STORE32(d, s, o) INSN(BPF_STX | BPF_MEM | BPF_W, d, s, o, 0)
#define ZERO64(d, o)	 INSN(BPF_ST | BPF_MEM | BPF_DW, d, 0, o, 0)
#define SKIP_IF_0(d, o)	 INSN(BPF_JMP | BPF_JEQ | BPF_K, d, 0, o, 0)
#define CALL(i)		 INSN(BPF_JMP | BPF_CALL, 0, 0, 0, i)
#define CALL_LOCAL(o)	 INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, o)
#define EXIT		 INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static const char license[] = "GPL"; /* as our programs: some helpers ask for it */

/* "return result". A descriptor or -errno. */
static int load_trivial(enum bpf_prog_type type, int result, __u32 flags, __u32 attach_type)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = flags,
		    .expected_attach_type = (enum bpf_attach_type)attach_type);
	struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, result), EXIT };
	int fd = bpf_prog_load(type, "ctb_probe", license, insns, ARRAY_SIZE(insns), &opts);

	return fd < 0 ? -errno : fd;
}

static int try_program(enum bpf_prog_type type, int result, __u32 flags, __u32 attach_type)
{
	_close_ int fd = load_trivial(type, result, flags, attach_type);

	return fd < 0 ? fd : 0;
}

/* --- system call, JIT, maps --- */

static int try_map(enum bpf_map_type type, __u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	_close_ int fd = bpf_map_create(type, "ctb_probe", 4, 4, 1, &opts);

	return fd < 0 ? -errno : 0;
}

static void probe_maps(struct probe *p)
{
	static const struct {
		enum feature_id id;
		enum bpf_map_type type;
		__u32 flags;
	} maps[] = {
		{ FEATURE_MAP_MMAP, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE },
		{ FEATURE_MAP_PERCPU, BPF_MAP_TYPE_PERCPU_ARRAY, 0 },
		{ FEATURE_MAP_HASH, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC },
		{ FEATURE_MAP_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		feature_set_err(p->out, maps[i].id, try_map(maps[i].type, maps[i].flags));
}

/* How much a look at a per-CPU map writes; libbpf reads it from this file. */
static void probe_cpus(struct probe *p)
{
	static const char file[] = "/sys/devices/system/cpu/possible";

	if (libbpf_num_possible_cpus() > 0)
		feature_set(p->out, FEATURE_CPUS, FEATURE_YES, "%s", "");
	else
		feature_set(p->out, FEATURE_CPUS, FEATURE_NO, "%s: %s", file,
			    access(file, R_OK) ? strerror(errno) : "not understood");
}

static void probe_jit(struct probe *p)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	_close_ int fd = load_trivial(BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		feature_set(p->out, FEATURE_JIT, FEATURE_UNKNOWN, "%s",
			    strerror(fd < 0 ? -fd : errno));
	else if (info.jited_prog_len)
		feature_set(p->out, FEATURE_JIT, FEATURE_YES, "%s", "");
	else
		feature_set(p->out, FEATURE_JIT, FEATURE_NO, "%s",
			    access("/proc/sys/net/core/bpf_jit_enable", F_OK)
				    ? "built without CONFIG_BPF_JIT"
				    : "sysctl net.core.bpf_jit_enable=1 switches it on");
}

/* --- helpers --- */

static const char *const helper_names[] = {
#define NAME(x) [BPF_FUNC_##x] = "bpf_" #x
	__BPF_FUNC_MAPPER(NAME)
#undef NAME
};

/*
 * A call without arguments never passes the verifier, but what it says tells whether there is such
 * a helper for programs of this type: check_helper_call() in kernel/bpf/verifier.c. 1, 0, -errno.
 */
static int has_helper(enum bpf_prog_type type, __s32 id)
{
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log),
		    .log_level = 1);
	struct bpf_insn insns[] = { CALL(id), MOV_IMM(BPF_REG_0, 0), EXIT };
	_close_ int fd = bpf_prog_load(type, "ctb_probe", license, insns, ARRAY_SIZE(insns), &opts);
	int err = errno;

	if (fd >= 0)
		return 1;
	if (strstr(log, "invalid func ") || strstr(log, "unknown func ") ||
	    strstr(log, "cannot use helper"))
		return 0;
	/* Without a word of the verifier's it is not about the helper. */
	return log[0] ? 1 : -err;
}

/* What a set of helpers comes to. */
struct helpers {
	size_t n;
	int err;
	char missing[120];
	bool seen[256];
};

static void look_at_helper(struct helpers *h, enum bpf_prog_type type, __s32 id)
{
	size_t len = strlen(h->missing);
	int r;

	if (id <= 0 || (size_t)id >= ARRAY_SIZE(h->seen) || h->seen[id])
		return;
	h->seen[id] = true;
	h->n++;
	r = has_helper(type, id);
	if (r < 0 && !h->err)
		h->err = r;
	if (r)
		return;
	if ((size_t)id < ARRAY_SIZE(helper_names))
		snprintf(h->missing + len, sizeof(h->missing) - len, "%s%s", len ? ", " : "",
			 helper_names[id]);
	else
		snprintf(h->missing + len, sizeof(h->missing) - len, "%shelper %d", len ? ", " : "",
			 id);
}

/* Every helper that the code of an object file calls: nothing to keep in step with the programs. */
static void probe_helpers(struct probe *p, enum feature_id id, enum bpf_prog_type type,
			  const void *elf)
{
	const Elf64_Ehdr *eh = elf;
	const Elf64_Shdr *sh = (const void *)((const char *)elf + eh->e_shoff);
	struct helpers h = {};

	for (int i = 0; i < eh->e_shnum; i++) {
		const struct bpf_insn *insn = (const void *)((const char *)elf + sh[i].sh_offset);

		if (sh[i].sh_type != SHT_PROGBITS || !(sh[i].sh_flags & SHF_EXECINSTR))
			continue;
		for (size_t k = 0; k < sh[i].sh_size / sizeof(*insn); k++) {
			if (insn[k].code == (BPF_JMP | BPF_CALL) && !insn[k].src_reg)
				look_at_helper(&h, type, insn[k].imm);
		}
	}
	if (h.missing[0])
		feature_set(p->out, id, FEATURE_NO, "there is no %s", h.missing);
	else if (h.err)
		feature_set(p->out, id, FEATURE_UNKNOWN, "%s", strerror(-h.err));
	else
		feature_set(p->out, id, FEATURE_YES, "all %zu", h.n);
}

/* --- global functions --- */

/* Types of `int f(struct __sk_buff *, int *)` and of what calls it. 0 or -errno. */
static int make_types(struct btf *btf, int *callee, int *caller)
{
	int num = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), num_ptr, skb, skb_ptr, proto;

	num_ptr = btf__add_ptr(btf, num);
	skb = btf__add_struct(btf, "__sk_buff", 4);
	btf__add_field(btf, "len", num, 0, 0);
	skb_ptr = btf__add_ptr(btf, skb);
	proto = btf__add_func_proto(btf, num);
	btf__add_func_param(btf, "skb", skb_ptr);
	btf__add_func_param(btf, "out", num_ptr);
	*callee = btf__add_func(btf, "ctb_callee", BTF_FUNC_GLOBAL, proto);
	proto = btf__add_func_proto(btf, num);
	btf__add_func_param(btf, "skb", skb_ptr);
	*caller = btf__add_func(btf, "ctb_caller", BTF_FUNC_GLOBAL, proto);
	return *callee < 0 ? *callee : *caller < 0 ? *caller : 0;
}

/*
 * A function of its own that takes the context and a pointer, as ours do. The verifier knows the
 * context's type from the kernel's own BTF (btf_get_prog_ctx_type() in kernel/bpf/btf.c): without
 * CONFIG_DEBUG_INFO_BTF it refuses.
 */
static int try_functions(char *log, size_t size)
{
	struct bpf_insn insns[] = {
		ZERO64(BPF_REG_10, -8),
		MOV_REG(BPF_REG_2, BPF_REG_10),
		ADD_IMM(BPF_REG_2, -8),
		CALL_LOCAL(1),
		EXIT,
		LOAD32(BPF_REG_0, BPF_REG_1, 0),
		SKIP_IF_0(BPF_REG_2, 1),
		STORE32(BPF_REG_2, BPF_REG_0, 0),
		EXIT,
	};
	struct bpf_func_info functions[] = { { .insn_off = 0 }, { .insn_off = 5 } };
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .func_info = functions,
		    .func_info_cnt = ARRAY_SIZE(functions),
		    .func_info_rec_size = sizeof(functions[0]), .log_buf = log,
		    .log_size = (__u32)size, .log_level = 1);
	struct btf *btf = btf__new_empty();
	int callee = 0, caller = 0, fd, err = btf ? 0 : -errno;

	if (!err)
		err = make_types(btf, &callee, &caller);
	if (!err)
		err = btf__load_into_kernel(btf);
	if (err) {
		btf__free(btf);
		return err;
	}
	functions[0].type_id = (__u32)caller;
	functions[1].type_id = (__u32)callee;
	opts.prog_btf_fd = (__u32)btf__fd(btf);
	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "ctb_probe", license, insns, ARRAY_SIZE(insns),
			   &opts);
	err = fd < 0 ? -errno : 0;
	btf__free(btf);
	if (fd >= 0)
		close(fd);
	return err;
}

static void probe_functions(struct probe *p)
{
	char log[4096] = "";
	int err = try_functions(log, sizeof(log));

	if (err && log[0]) /* a verdict of the verifier's, whatever the number */
		feature_set(p->out, FEATURE_FUNCTIONS, FEATURE_NO, "%s",
			    strstr(log, "btf_vmlinux is malformed")
				    ? "built without CONFIG_DEBUG_INFO_BTF"
				    : "the verifier refuses the context as an argument");
	else
		feature_set_err(p->out, FEATURE_FUNCTIONS, err);
}

static const enum feature_id depend_on_bpf[] = {
	FEATURE_JIT,	    FEATURE_MAP_MMAP,	FEATURE_MAP_PERCPU,	FEATURE_MAP_HASH,
	FEATURE_MAP_DEVMAP, FEATURE_HELPERS_TC, FEATURE_HELPERS_XDP,	FEATURE_FUNCTIONS,
	FEATURE_XDP_FRAGS,  FEATURE_TC_PROGRAM, FEATURE_XDP_PROGRAM,	FEATURE_TCX,
	FEATURE_CLSACT,	    FEATURE_XDP_LINK,	FEATURE_NETFILTER_LINK,
};

void probe_bpf(struct probe *p)
{
	int err;

	libbpf_set_print(NULL);
	probe_cpus(p);
	err = try_map(BPF_MAP_TYPE_ARRAY, 0);
	feature_set_err(p->out, FEATURE_BPF, err);
	if (err == -ENOSYS)
		feature_set(p->out, FEATURE_BPF, FEATURE_NO, "built without CONFIG_BPF_SYSCALL");
	if (err) { /* nothing of this has a chance, and all for one reason */
		for (size_t i = 0; i < ARRAY_SIZE(depend_on_bpf); i++)
			feature_set(p->out, depend_on_bpf[i], FEATURE_UNKNOWN, "%s",
				    strerror(-err));
		return;
	}
	probe_jit(p);
	probe_maps(p);
	probe_helpers(p, FEATURE_HELPERS_TC, BPF_PROG_TYPE_SCHED_CLS,
		      tc_bpf__elf_bytes(&(size_t){ 0 }));
	probe_helpers(p, FEATURE_HELPERS_XDP, BPF_PROG_TYPE_XDP,
		      xdp_bpf__elf_bytes(&(size_t){ 0 }));
	probe_functions(p);
	feature_set_err(p->out, FEATURE_XDP_FRAGS,
			try_program(BPF_PROG_TYPE_XDP, XDP_PASS, F_XDP_HAS_FRAGS, BPF_XDP));
}

/* --- attaching --- */

/* A kernel that has tcx looks for the device first, and does not find this one. */
static void probe_tcx(struct probe *p, int prog_fd)
{
	_close_ int fd = attach_tcx(p->own_net ? PROBE_LO : NO_DEVICE, prog_fd);

	if (fd == -ENODEV && !p->own_net)
		feature_set(p->out, FEATURE_TCX, FEATURE_YES, "%s", "");
	else if (fd == -EINVAL)
		feature_set(p->out, FEATURE_TCX, FEATURE_NO, "%s", "");
	else
		feature_set_err(p->out, FEATURE_TCX, fd < 0 ? fd : 0);
}

static void probe_clsact(struct probe *p, int prog_fd)
{
	bool created = false;
	int err;

	if (!p->own_net) {
		feature_set(p->out, FEATURE_CLSACT, FEATURE_UNKNOWN,
			    "no network namespace to try it in");
		return;
	}
	err = attach_clsact(PROBE_LO, prog_fd, &created);
	if (err == -ENOENT)
		feature_set(p->out, FEATURE_CLSACT, FEATURE_NO, "no %s (module %s)",
			    created ? "BPF filter" : "clsact qdisc",
			    created ? "cls_bpf" : "sch_ingress, or cls_bpf");
	else
		feature_set_err(p->out, FEATURE_CLSACT, err);
}

/* The loopback device has no native XDP; a link of the generic kind is made in the same way. */
static void probe_xdp_link(struct probe *p)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_SKB_MODE);
	_close_ int prog_fd = load_trivial(BPF_PROG_TYPE_XDP, XDP_PASS, 0, BPF_XDP);
	_close_ int fd = -1;

	if (prog_fd < 0) {
		feature_set_err(p->out, FEATURE_XDP_LINK, prog_fd);
		return;
	}
	if (!p->own_net) {
		feature_set(p->out, FEATURE_XDP_LINK, FEATURE_UNKNOWN,
			    "no network namespace to try it in");
		return;
	}
	fd = bpf_link_create(prog_fd, PROBE_LO, BPF_XDP, &opts);
	feature_set_err(p->out, FEATURE_XDP_LINK, fd < 0 ? -errno : 0);
}

void probe_attach(struct probe *p, bool all)
{
	_close_ int prog_fd = -1;

	if (p->out->f[FEATURE_BPF].state != FEATURE_YES)
		return;
	prog_fd = load_trivial(BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0);
	if (prog_fd < 0) {
		feature_set_err(p->out, FEATURE_TCX, prog_fd);
		feature_set_err(p->out, FEATURE_CLSACT, prog_fd);
	} else {
		probe_tcx(p, prog_fd);
		/* Now it is worth a namespace to know. */
		if (p->out->f[FEATURE_TCX].state == FEATURE_NO)
			probe_own_net(p);
		probe_clsact(p, prog_fd);
	}
	probe_xdp_link(p);
	if (all)
		feature_set_err(p->out, FEATURE_NETFILTER_LINK,
				try_program((enum bpf_prog_type)CTB_PROG_TYPE_NETFILTER, 1, 0,
					    CTB_ATTACH_NETFILTER));
}

/* --- our own programs --- */

/* Every field of the classifier, both families, and every action. */
static const char sample[] = "set nets { 192.0.2.0/24, 198.51.100.0/25, 2001:db8::/48 }\n"
			     "track udp dport 5060 iif lo oneway\n"
			     "notrack udp dport { 53, 4000-5000 } daddr local\n"
			     "notrack { tcp, sctp } port 80 saddr @nets\n"
			     "forward daddr @nets\n"
			     "forward saddr !local daddr !local sport 1-1023\n";

/* The verifier's last words, among what libbpf has to say of a refusal. */
static char refusal[128];

static _printf_(2, 0) int keep_refusal(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	_free_ char *text = NULL;
	char *end, *line;

	if (level != LIBBPF_WARN || vasprintf(&text, fmt, ap) < 0)
		return 0;
	end = strstr(text, "\nprocessed ");
	if (!end)
		return 0;
	*end = '\0';
	line = strrchr(text, '\n');
	snprintf(refusal, sizeof(refusal), "%s", line ? line + 1 : text);
	return 0;
}

static int verify_sample(char **error)
{
	struct entries entries = {};
	struct compiled compiled = {};
	_diag_ struct diag diag = {};
	struct ruleset *rs = NULL;
	struct host host = {};
	int err = ruleset_parse_text("sample", ".", sample, sizeof(sample) - 1, &rs, &diag);

	if (!err)
		err = host_read(&host);
	if (!err)
		err = expand_ruleset(rs, &entries, &diag);
	if (!err)
		err = compile(&entries, &host, 0x40, &compiled, &diag);
	if (!err)
		err = datapath_verify(&compiled, &host, error);
	compiled_free(&compiled);
	entries_free(&entries);
	host_free(&host);
	ruleset_free(rs);
	return err;
}

void probe_programs(struct probe *p)
{
	_free_ char *words = NULL;
	int err;

	if (p->out->f[FEATURE_BPF].state != FEATURE_YES)
		return;
	libbpf_set_print(keep_refusal);
	err = verify_sample(&words);
	libbpf_set_print(NULL);
	if (err == -EPERM) {
		feature_set_err(p->out, FEATURE_TC_PROGRAM, err);
		feature_set_err(p->out, FEATURE_XDP_PROGRAM, err);
		return;
	}
	feature_set(p->out, FEATURE_TC_PROGRAM, err ? FEATURE_NO : FEATURE_YES, "%s%s",
		    err && refusal[0] ? "verifier: " : "",
		    err && refusal[0] ? refusal
		    : err && words    ? words
				      : "");
	if (err)
		feature_set(p->out, FEATURE_XDP_PROGRAM, FEATURE_UNKNOWN,
			    "not tried without the other");
	else /* with words, but no error: XDP alone was refused */
		feature_set(p->out, FEATURE_XDP_PROGRAM, words ? FEATURE_NO : FEATURE_YES, "%s%s",
			    words && refusal[0] ? "verifier: " : "",
			    words && refusal[0] ? refusal
			    : words		? words
						: "");
}
