// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "module_watch.h"
#include "util.h"

#define GROUP_KERNEL 1 /* not what udev sends on */

int module_watch_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = GROUP_KERNEL };
	_close_ int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	return TAKE_FD(fd);
}

bool module_watch_drain(int fd, const char *module)
{
	char buf[4096], want[80];
	bool found = false;
	ssize_t n;

	/* Told by do_init_module() when the module's own start has succeeded. */
	snprintf(want, sizeof(want), "add@/module/%s", module);
	for (;;) {
		n = recv(fd, buf, sizeof(buf) - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return found || errno == ENOBUFS;
		buf[n] = '\0';
		found = found || !strcmp(buf, want);
	}
}
