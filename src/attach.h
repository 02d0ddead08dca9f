/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One program on one device's tc ingress: a tcx link, or a clsact filter where there is no tcx. And
 * one on netfilter's OUTPUT.
 */
#ifndef CTBYPASS_ATTACH_H
#define CTBYPASS_ATTACH_H

#include <stdbool.h>

/* What makes a clsact filter ours. Priority 1 is where tc puts what runs first. */
#define FILTER_HANDLE	0xc7b
#define FILTER_PRIORITY 1

/* Not in Debian 12's header: BPF_TCX_INGRESS, include/uapi/linux/bpf.h, 6.6. */
#define TCX_INGRESS ((enum bpf_attach_type)46)

/*
 * A new tcx link at the head of the hook. Returns its descriptor, or -errno; what kernels before
 * 6.6 say is -EINVAL. The link dies with its last descriptor or pin.
 */
int attach_tcx(int ifindex, int prog_fd);

/*
 * Our clsact filter (fixed handle and priority), made or atomically replaced. *created is set to
 * true when the qdisc had to be made, and left alone otherwise. The filter outlives the process.
 */
int attach_clsact(int ifindex, int prog_fd, bool *created);

/* Is our filter there? */
bool has_clsact(int ifindex);

/*
 * Remove our filter; with the qdisc if remove_qdisc and nothing else is attached to it. 0 also
 * when filter or device are gone.
 */
int detach_clsact(int ifindex, bool remove_qdisc);

/*
 * A new netfilter link at OUTPUT, behind defragmentation (-400) and ahead of conntrack (-200).
 * family: AF_INET or AF_INET6. Returns its descriptor, or -errno; what kernels before 6.4 say is
 * -EINVAL.
 */
int attach_output(int family, int prog_fd);

#endif
