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
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

static long (*next)(enum __ptrace_request request, ...);
/* Not on the stack: User Mode Linux's are small, and it calls this for one process at a time. */
static unsigned char state[1 << 16] __attribute__((aligned(64)));

static __attribute__((constructor)) void find(void)
{
	next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
	if (!next)
		_exit(1);
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
	if (request == PTRACE_SETREGSET && addr == (void *)NT_X86_XSTATE)
		return set_xstate(pid, addr, data);
	return next(request, pid, addr, data);
}
