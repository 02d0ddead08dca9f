// SPDX-License-Identifier: GPL-2.0-only
/* What this process may do, the BPF file system, and what else people want to know of a kernel. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "bpffs.h"
#include "features_priv.h"
#include "privileges.h"

/* --- capabilities --- */

/* Capabilities of a user namespace are none where the kernel asks for those of the host. */
static bool in_user_namespace(void)
{
	_free_ char *map = NULL;
	unsigned int inside, outside, n;
	size_t len;

	return !read_file("/proc/self/uid_map", 4096, &map, &len) &&
	       (sscanf(map, "%u %u %u", &inside, &outside, &n) != 3 || inside || outside ||
		n != 0xffffffff);
}

void probe_capabilities(struct probe *p)
{
	/* The kernel takes CAP_SYS_ADMIN for the two that were split off it in 5.8. */
	static const struct {
		enum feature_id id;
		unsigned int cap, or ;
		bool of_host;
	} caps[] = {
		{ FEATURE_CAP_BPF, CAP_BPF, CAP_SYS_ADMIN, true },
		{ FEATURE_CAP_PERFMON, CAP_PERFMON, CAP_SYS_ADMIN, true },
		{ FEATURE_CAP_NET_ADMIN, CAP_NET_ADMIN, CAP_NET_ADMIN, false },
		{ FEATURE_CAP_SYS_ADMIN, CAP_SYS_ADMIN, CAP_SYS_ADMIN, true },
	};
	bool nested = in_user_namespace();
	__u64 have = 0;
	int err = privileges_effective(&have);

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if (err)
			feature_set(p->out, caps[i].id, FEATURE_UNKNOWN, "%s", strerror(-err));
		else if (!(have & (1ULL << caps[i].cap | 1ULL << caps[i].or)))
			feature_set(p->out, caps[i].id, FEATURE_NO, "this process has it not");
		else if (nested && caps[i].of_host)
			feature_set(p->out, caps[i].id, FEATURE_NO,
				    "only in a user namespace, where it does not count");
		else
			feature_set(p->out, caps[i].id, FEATURE_YES, "%s", "");
	}
}

/* --- the BPF file system --- */

/* Mounting is tried in a namespace of our own, or where it is known to fail. */
void probe_bpffs(struct probe *p)
{
	bool may_mount = p->out->f[FEATURE_CAP_SYS_ADMIN].state == FEATURE_YES;
	int err;

	if (may_mount && !p->own_mnt && !bpffs_there(p->pindir)) {
		feature_set(p->out, FEATURE_BPFFS, FEATURE_UNKNOWN,
			    "no mount namespace to try it in");
		return;
	}
	err = bpffs_ensure(p->pindir);
	if (err == 1)
		feature_set(p->out, FEATURE_BPFFS, FEATURE_YES,
			    "not mounted yet; `run` mounts it on /sys/fs/bpf");
	else if (!err)
		feature_set(p->out, FEATURE_BPFFS, FEATURE_YES, "%s", p->pindir);
	else if (err == -ENOTSUP)
		feature_set(p->out, FEATURE_BPFFS, FEATURE_NO,
			    "%s is on another file system; mount one: mount -t bpf bpf DIRECTORY",
			    p->pindir);
	else if (err == -EPERM && !may_mount)
		feature_set(p->out, FEATURE_BPFFS, FEATURE_NO,
			    "not mounted, and mounting it needs CAP_SYS_ADMIN: mount -t bpf bpf "
			    "/sys/fs/bpf");
	else if (err == -EACCES)
		feature_set(p->out, FEATURE_BPFFS, FEATURE_UNKNOWN, "%s: %s", p->pindir,
			    strerror(-err));
	else
		feature_set(p->out, FEATURE_BPFFS, FEATURE_NO, "%s: %s", p->pindir,
			    err == -ENODEV ? "this kernel has no BPF file system" : strerror(-err));
}

/* --- later --- */

void probe_btf(struct probe *p)
{
	if (!access("/sys/kernel/btf/vmlinux", F_OK))
		feature_set(p->out, FEATURE_BTF, FEATURE_YES, "%s", "");
	else
		feature_set(p->out, FEATURE_BTF, FEATURE_NO, "/sys/kernel/btf/vmlinux: %s",
			    strerror(errno));
}

/* --- the kernel --- */

/* "none [integrity] confidentiality": the word in brackets. */
static void read_lockdown(char *out, size_t size)
{
	_free_ char *text = NULL;
	const char *open;
	size_t len;

	if (read_file("/sys/kernel/security/lockdown", 256, &text, &len))
		return;
	open = strchr(text, '[');
	if (open)
		snprintf(out, size, "%.*s", (int)strcspn(open + 1, "]"), open + 1);
}

void probe_kernel(struct probe *p)
{
	struct utsname u;
	_free_ char *text = NULL;
	size_t len;

	if (!uname(&u))
		snprintf(p->out->release, sizeof(p->out->release), "%s", u.release);
	read_lockdown(p->out->lockdown, sizeof(p->out->lockdown));
	p->out->unprivileged = -1;
	if (!read_file("/proc/sys/kernel/unprivileged_bpf_disabled", 16, &text, &len))
		p->out->unprivileged = text[0] - '0';
}
