// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded into User Mode Linux by 52_features_uml.sh, so that it runs on every processor. It
 * keeps the extended state of its processes in a buffer of a size fixed when it was built, and the
 * host takes back all of a process's state or nothing (EFAULT: xstateregs_set() in
 * arch/x86/kernel/fpu/regset.c). Where a processor has more, as with AMX, it therefore panics in
 * put_fp_registers() before it reaches init; Linux 6.13's knows better. Here what it has no room
 * for is added: that part of the state stays as it is in the process. Everywhere in the same way,
 * so that no processor goes a way that others do not test.
 */
#include <string.h>

#include "xstate.h"

static long get_xstate(pid_t pid, void *kind, struct iovec *v)
{
	return next(PTRACE_GETREGSET, pid, kind, v);
}

static long set_xstate(pid_t pid, void *kind, const struct iovec *part)
{
	struct iovec whole = { .iov_base = state, .iov_len = sizeof(state) };

	if (next(PTRACE_GETREGSET, pid, kind, &whole) < 0)
		return -1;
	memcpy(state, part->iov_base,
	       part->iov_len < whole.iov_len ? part->iov_len : whole.iov_len);
	return next(PTRACE_SETREGSET, pid, kind, &whole);
}
