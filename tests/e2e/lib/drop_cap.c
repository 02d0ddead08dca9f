// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded into the daemon by 56_capabilities.sh: `kill -q N -s USR2 PID` takes capability N away
 * from it while it runs, which nobody can do from outside.
 */
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void drop(int signal, siginfo_t *info, void *context)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	int cap = info->si_value.sival_int;

	(void)signal;
	(void)context;
	if (syscall(SYS_capget, &h, d))
		_exit(1);
	d[cap / 32].effective &= ~(1U << cap % 32);
	d[cap / 32].permitted &= ~(1U << cap % 32);
	if (syscall(SYS_capset, &h, d))
		_exit(1);
}

static __attribute__((constructor)) void install(void)
{
	struct sigaction a = { .sa_sigaction = drop, .sa_flags = SA_SIGINFO | SA_RESTART };

	if (sigaction(SIGUSR2, &a, NULL))
		_exit(1);
}
