// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded into User Mode Linux by 52_features_uml.sh, behind uml_xstate.c: every host is one
 * whose processes have 8 KB more of extended state than the processor gives them, as with AMX, and
 * takes back all of it or nothing.
 */
#include <errno.h>
#include <string.h>

#include "xstate.h"

#define MORE 8192

static long get_xstate(pid_t pid, void *kind, struct iovec *v)
{
	size_t room = v->iov_len, real;
	long ret = next(PTRACE_GETREGSET, pid, kind, v);

	if (ret < 0 || v->iov_len >= room)
		return ret;
	real = v->iov_len;
	v->iov_len = room < real + MORE ? room : real + MORE;
	memset((char *)v->iov_base + real, 0, v->iov_len - real);
	return ret;
}

static long set_xstate(pid_t pid, void *kind, const struct iovec *v)
{
	struct iovec real = { .iov_base = state, .iov_len = sizeof(state) };

	if (next(PTRACE_GETREGSET, pid, kind, &real) < 0)
		return -1;
	if (v->iov_len < real.iov_len + MORE) {
		errno = EFAULT;
		return -1;
	}
	real.iov_base = v->iov_base;
	return next(PTRACE_SETREGSET, pid, kind, &real);
}
