/* SPDX-License-Identifier: GPL-2.0-only */
/* BPF objects for kernels that were built without BTF of their own. */
#ifndef CTBYPASS_STATIC_FUNCTIONS_H
#define CTBYPASS_STATIC_FUNCTIONS_H

#include <bpf/libbpf.h>

/*
 * Between open and load: make static what is a global function with the context as argument. The
 * verifier can check such a function by itself only if it knows the context's type, which it takes
 * from the kernel's own BTF (btf_get_prog_ctx_type() in kernel/bpf/btf.c). Static ones it follows
 * from each call anew: the same program, but several times as many instructions to go through, and
 * as much time. Returns how many there were.
 */
size_t make_functions_static(struct bpf_object *obj);

#endif
