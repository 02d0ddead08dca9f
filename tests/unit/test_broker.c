// SPDX-License-Identifier: GPL-2.0-only
/* The process that asks for the module's BTF: what it may, what it answers, that it goes. Needs root. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "broker.h"
#include "privileges.h"
#include "util.h"

static void setup(void)
{
	__u64 caps = 0;

	privileges_effective(&caps);
	if (!(caps & 1ULL << CAP_SYS_ADMIN))
		cr_skip_test("needs CAP_SYS_ADMIN");
}

TestSuite(broker, .init = setup);

/* The only child of this process. */
static pid_t child(void)
{
	_fclose_ FILE *f = NULL;
	char path[64];
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	f = fopen(path, "re");
	cr_assert_not_null(f, "%s", strerror(errno));
	cr_assert_eq(fscanf(f, "%d", &pid), 1);
	return pid;
}

static unsigned long long capabilities(pid_t pid, const char *set)
{
	_fclose_ FILE *f = NULL;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	cr_assert_not_null(f, "%s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, set, strlen(set)) && line[strlen(set)] == ':')
			return strtoull(line + strlen(set) + 1, NULL, 16);
	}
	cr_assert_fail("no %s in %s", set, path);
	return 0;
}

/* What it is asked for may be there or not, and is the same as without it. */
Test(broker, answers_as_the_kernel_does)
{
	struct kfuncs here = { .btf_fd = -1 }, there = { .btf_fd = -1 };
	struct broker *b = NULL;
	int err = kfuncs_find(&here);

	cr_assert_eq(broker_start(&b), 0);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(broker_ask(b, &there), err, "%d", err);
		cr_expect_eq(there.skb_id, here.skb_id);
		cr_expect_eq(there.nf_id, here.nf_id);
		cr_expect_eq(there.btf_fd >= 0, here.btf_fd >= 0);
		kfuncs_close(&there);
	}
	broker_stop(b);
	cr_expect_eq(waitpid(-1, NULL, 0), -1);
	cr_expect_eq(errno, ECHILD);
	kfuncs_close(&here);
}

Test(broker, has_one_capability)
{
	struct kfuncs k = { .btf_fd = -1 };
	struct broker *b = NULL;

	cr_assert_eq(broker_start(&b), 0);
	broker_ask(b, &k); /* it has dropped the others before it answers */
	kfuncs_close(&k);
	cr_expect_eq(capabilities(child(), "CapEff"), 1ULL << CAP_SYS_ADMIN);
	cr_expect_eq(capabilities(child(), "CapPrm"), 1ULL << CAP_SYS_ADMIN);
	cr_expect_eq(capabilities(child(), "CapInh"), 0);
	/* Which does not concern this process. */
	cr_expect_neq(capabilities(getpid(), "CapEff"), 1ULL << CAP_SYS_ADMIN);
	broker_stop(b);
}

Test(broker, that_has_gone)
{
	struct kfuncs k = { .btf_fd = -1 };
	struct broker *b = NULL;

	cr_expect_eq(broker_ask(NULL, &k), -EPERM);
	cr_assert_eq(broker_start(&b), 0);
	kill(child(), SIGKILL);
	cr_expect_eq(broker_ask(b, &k), -EPIPE);
	cr_expect_eq(broker_ask(b, &k), -EPIPE);
	cr_expect_eq(k.btf_fd, -1);
	broker_stop(b);
}

Test(broker, not_without_the_capability)
{
	struct broker *b = NULL;

	cr_assert_eq(privileges_drop(false), 0);
	cr_expect_eq(broker_start(&b), -EPERM);
	cr_expect_null(b);
}
