// SPDX-License-Identifier: GPL-2.0-only
/* What is given up, by the kernel's own word. Each test is a process of its own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "privileges.h"
#include "util.h"

#define BIT(cap)  (1ULL << (cap))
#define KEPT	  (BIT(CAP_BPF) | BIT(CAP_NET_ADMIN) | BIT(CAP_PERFMON))
#define SYS_ADMIN BIT(CAP_SYS_ADMIN)

/* A line of /proc/self/status: "CapPrm", "CapEff", "NoNewPrivs" ... */
static unsigned long long line(const char *name)
{
	_fclose_ FILE *f = fopen("/proc/self/status", "re");
	_free_ char *text = NULL;
	size_t cap = 0;

	cr_assert_not_null(f);
	while (getline(&text, &cap, f) > 0) {
		if (!strncmp(text, name, strlen(name)) && text[strlen(name)] == ':')
			return strtoull(text + strlen(name) + 1, NULL, 16);
	}
	cr_assert_fail("no line %s", name);
	return 0;
}

static void capset_to(__u64 permitted, __u64 inheritable)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	for (int i = 0; i < 2; i++)
		d[i] = (struct __user_cap_data_struct){
			.effective = (__u32)(permitted >> 32 * i),
			.permitted = (__u32)(permitted >> 32 * i),
			.inheritable = (__u32)(inheritable >> 32 * i),
		};
	cr_assert_eq(syscall(SYS_capset, &h, d), 0, "capset: %s", strerror(errno));
}

static void need(__u64 caps)
{
	if ((line("CapPrm") & caps) != caps)
		cr_skip_test("needs root with all its capabilities");
}

static void expect_sets(__u64 effective, __u64 bounding)
{
	cr_expect_eq(line("CapEff"), effective, "effective %llx", line("CapEff"));
	cr_expect_eq(line("CapPrm"), effective, "permitted %llx", line("CapPrm"));
	cr_expect_eq(line("CapBnd"), bounding, "bounding %llx", line("CapBnd"));
	cr_expect_eq(line("CapInh"), 0);
	cr_expect_eq(line("CapAmb"), 0);
	cr_expect_eq(line("NoNewPrivs"), 1);
}

Test(privileges, only_what_is_needed_stays)
{
	need(KEPT | SYS_ADMIN | BIT(CAP_SETPCAP));
	cr_assert_eq(privileges_drop(false), 0);
	expect_sets(KEPT, KEPT);
	cr_expect_eq(mount("none", "/proc", "tmpfs", 0, NULL), -1);
	cr_expect_eq(errno, EPERM);
}

Test(privileges, a_file_system_can_be_mounted_while_starting)
{
	need(KEPT | SYS_ADMIN | BIT(CAP_SETPCAP));
	cr_assert_eq(privileges_drop(true), 0);
	expect_sets(KEPT | SYS_ADMIN, KEPT);
	cr_expect_eq(unshare(CLONE_NEWNS), 0);
	cr_assert_eq(privileges_drop(false), 0);
	expect_sets(KEPT, KEPT);
	cr_expect_eq(unshare(CLONE_NEWNS), -1);
}

Test(privileges, ambient_and_inheritable_ones_go)
{
	need(KEPT | BIT(CAP_CHOWN) | BIT(CAP_SETPCAP));
	capset_to(line("CapPrm"), BIT(CAP_CHOWN) | BIT(CAP_BPF));
	cr_assert_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), 0);
	cr_assert_eq(privileges_drop(false), 0);
	expect_sets(KEPT, KEPT);
}

/* CAP_SYS_ADMIN stands in for those that were split off it, and only then. */
Test(privileges, sys_admin_stays_in_the_place_of_others)
{
	need(KEPT | SYS_ADMIN | BIT(CAP_SETPCAP));
	capset_to(BIT(CAP_NET_ADMIN) | BIT(CAP_BPF) | SYS_ADMIN | BIT(CAP_SETPCAP), 0);
	cr_assert_eq(privileges_drop(false), 0);
	expect_sets(BIT(CAP_NET_ADMIN) | BIT(CAP_BPF) | SYS_ADMIN,
		    BIT(CAP_NET_ADMIN) | BIT(CAP_BPF) | SYS_ADMIN);
}

Test(privileges, the_bounding_set_stays_with_who_may_not_shrink_it)
{
	__u64 before = line("CapBnd");

	need(KEPT | BIT(CAP_CHOWN));
	capset_to(KEPT | BIT(CAP_CHOWN), 0);
	cr_assert_eq(privileges_drop(false), 0);
	expect_sets(KEPT, before);
}

/* A daemon that was given nothing ends with a word on what is missing, and not here. */
Test(privileges, who_has_none_has_none_to_give_up)
{
	__u64 before = line("CapBnd");

	if (!geteuid())
		capset_to(0, 0);
	cr_assert_eq(privileges_drop(true), 0);
	cr_assert_eq(privileges_drop(false), 0);
	expect_sets(0, before);
}

static void append(void *out, const char *name)
{
	strbuf_addf(out, "%s ", name);
}

Test(privileges, names)
{
	_strbuf_ struct strbuf names = {};
	__u64 have = 0;

	need(KEPT | SYS_ADMIN | BIT(CAP_CHOWN));
	capset_to(KEPT | SYS_ADMIN | BIT(CAP_CHOWN), 0);
	cr_assert_eq(privileges_effective(&have), 0);
	cr_assert_eq(have, KEPT | SYS_ADMIN | BIT(CAP_CHOWN));
	cr_assert_eq(privileges_each(append, &names), 0);
	cr_assert_str_eq(names.s, "capability 0 CAP_NET_ADMIN CAP_SYS_ADMIN CAP_PERFMON CAP_BPF ");
}
