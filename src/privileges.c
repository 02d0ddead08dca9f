// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "privileges.h"
#include "util.h"

#define BIT(cap) (1ULL << (cap))

/* The system calls as they are: a library for it would be one more to depend on. */
struct sets {
	__u64 effective, permitted, inheritable;
};

static struct __user_cap_header_struct header(void)
{
	return (struct __user_cap_header_struct){ .version = _LINUX_CAPABILITY_VERSION_3 };
}

static __u64 join(__u32 low, __u32 high)
{
	return (__u64)high << 32 | low;
}

static int get(struct sets *out)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	struct __user_cap_header_struct h = header();

	if (syscall(SYS_capget, &h, data))
		return -errno;
	out->effective = join(data[0].effective, data[1].effective);
	out->permitted = join(data[0].permitted, data[1].permitted);
	out->inheritable = join(data[0].inheritable, data[1].inheritable);
	return 0;
}

static int set(const struct sets *s)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct __user_cap_header_struct h = header();

	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i] = (struct __user_cap_data_struct){
			.effective = (__u32)(s->effective >> 32 * i),
			.permitted = (__u32)(s->permitted >> 32 * i),
			.inheritable = (__u32)(s->inheritable >> 32 * i),
		};
	return syscall(SYS_capset, &h, data) ? -errno : 0;
}

int privileges_effective(__u64 *out)
{
	struct sets s;
	int err = get(&s);

	if (!err)
		*out = s.effective;
	return err;
}

static __u64 needed(__u64 permitted, bool starting)
{
#define X(name) BIT(CAP_##name) |
	__u64 keep = CTB_CAPABILITIES(X) 0;
#undef X

	if (starting || !(permitted & BIT(CAP_BPF)) || !(permitted & BIT(CAP_PERFMON)))
		keep |= BIT(CAP_SYS_ADMIN);
	return keep & permitted;
}

/*
 * What a program that this process runs could get back. There is none, and no_new_privs sees to it
 * as well, so who may not shrink this set (CAP_SETPCAP) leaves it.
 */
static int shrink_bounding_set(__u64 keep)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (keep & BIT(cap) || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return errno == EPERM ? 0 : -errno;
	}
	return 0;
}

static int keep_only(const struct sets *now, __u64 bounding, __u64 permitted)
{
	struct sets then = { .permitted = permitted, .effective = permitted };
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	err = shrink_bounding_set(bounding);
	if (err)
		return err;
	/* Not where there is nothing to give up: a filter of system calls may be in the way. */
	if (then.permitted == now->permitted && then.effective == now->effective &&
	    !now->inheritable)
		return 0;
	return set(&then); /* the ambient set is never more than the inheritable one */
}

int privileges_drop(bool starting)
{
	struct sets now;
	int err = get(&now);

	return err ? err
		   : keep_only(&now, needed(now.permitted, false), needed(now.permitted, starting));
}

int privileges_keep(__u64 capabilities)
{
	struct sets now;
	int err = get(&now);

	return err ? err : keep_only(&now, capabilities, now.permitted & capabilities);
}

int privileges_each(void (*call)(void *arg, const char *name), void *arg)
{
	static const char *const names[] = {
#define X(name) [CAP_##name] = "CAP_" #name,
		CTB_CAPABILITIES(X) X(SYS_ADMIN)
#undef X
	};
	char number[32];
	__u64 have = 0;
	int err = privileges_effective(&have);

	for (int cap = 0; !err && cap < 64; cap++) {
		if (!(have & BIT(cap)))
			continue;
		snprintf(number, sizeof(number), "capability %d", cap);
		call(arg, cap < (int)ARRAY_SIZE(names) && names[cap] ? names[cap] : number);
	}
	return err;
}
