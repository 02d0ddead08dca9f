/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A ptrace() to preload, which hands the extended state of processes (NT_X86_XSTATE) to the
 * including file, get_xstate() and set_xstate(), and everything else to the ptrace() behind it.
 */
#ifndef CTB_XSTATE_H
#define CTB_XSTATE_H

#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

static long (*next)(enum __ptrace_request request, ...);
/* Not on the stack: User Mode Linux's are small, and it calls this for one process at a time. */
static unsigned char state[1 << 16] __attribute__((aligned(64)));

/* PTRACE_GETREGSET and PTRACE_SETREGSET of kind NT_X86_XSTATE; as ptrace(). */
static long get_xstate(pid_t pid, void *kind, struct iovec *v);
static long set_xstate(pid_t pid, void *kind, const struct iovec *v);

static __attribute__((constructor)) void find(void)
{
	next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
	if (!next)
		_exit(1);
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
		return get_xstate(pid, addr, data);
	if (request == PTRACE_SETREGSET && addr == (void *)NT_X86_XSTATE)
		return set_xstate(pid, addr, data);
	return next(request, pid, addr, data);
}

#endif
