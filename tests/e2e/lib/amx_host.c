// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded into User Mode Linux by 52_features_uml.sh, behind uml_xstate.c: every host is one
 * whose processes have 8 KB more of extended state than the processor gives them, as with AMX, and
 * takes back all of it or nothing.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

#define MORE 8192

static long (*next)(enum __ptrace_request request, ...);
static unsigned char state[1 << 16];

static __attribute__((constructor)) void find(void)
{
	next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
	if (!next)
		_exit(1);
}

static long get(pid_t pid, void *kind, struct iovec *v)
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

static long set(pid_t pid, void *kind, struct iovec *v)
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

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	pid_t pid;
	void *addr, *data;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	addr = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);
	if (request == PTRACE_GETREGSET && addr == (void *)NT_X86_XSTATE)
		return get(pid, addr, data);
	if (request == PTRACE_SETREGSET && addr == (void *)NT_X86_XSTATE)
		return set(pid, addr, data);
	return next(request, pid, addr, data);
}
