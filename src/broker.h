/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process beside the daemon that may ask for the BTF of a module, which takes CAP_SYS_ADMIN
 * (bpf_btf_get_fd_by_id() in kernel/bpf/syscall.c) and which the daemon itself gives up. It knows
 * one question, has that capability and no other, and ends with the daemon.
 */
#ifndef CTBYPASS_BROKER_H
#define CTBYPASS_BROKER_H

#include "kfuncs.h"

struct broker; /* NULL: there is none */

/* Fork it off. 0; -EPERM: this process has not the capability itself; or another -errno. */
int broker_start(struct broker **out);
/* As kfuncs_find(); -EPERM without a broker, -EPIPE when it is gone. */
int broker_ask(struct broker *b, struct kfuncs *out);
void broker_stop(struct broker *b);

#endif
