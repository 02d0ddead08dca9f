/* SPDX-License-Identifier: GPL-2.0-only */
/* One program on one device's native XDP hook: a link. */
#ifndef CTBYPASS_ATTACH_XDP_H
#define CTBYPASS_ATTACH_XDP_H

#include <stddef.h>

/* A new link, native mode only. Its descriptor, or -errno. It dies with its last descriptor or pin.
 */
int attach_xdp(int ifindex, int prog_fd);

/*
 * What the kernel says of an attach_xdp() that failed with err, in words (of size bytes). A link
 * that is refused is told only an errno, so the driver is asked a second time, through rtnetlink,
 * which hands its words on; should that succeed, it is taken back.
 */
void attach_xdp_why(int ifindex, int prog_fd, int err, char *why, size_t size);

#endif
