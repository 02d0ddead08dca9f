// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "netns_lock.h"
#include "util.h"

#define NAME "\0ctbypass-daemon"

static const struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = NAME };
static const socklen_t addr_len = offsetof(struct sockaddr_un, sun_path) + sizeof(NAME) - 1;

/* Anybody can take an abstract name; only root's (or our own user's) counts. */
static bool holder_counts(void)
{
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)&addr, addr_len))
		return errno == EAGAIN; /* its queue is full of us */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return true;
	return peer.uid == 0 || peer.uid == geteuid();
}

int netns_lock(void)
{
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&addr, addr_len)) {
		if (errno != EADDRINUSE)
			return -errno;
		/* Held by somebody who has no business there: go on, without a lock of our own. */
		return holder_counts() ? -EBUSY : TAKE_FD(fd);
	}
	if (listen(fd, 16))
		return -errno;
	return TAKE_FD(fd);
}
