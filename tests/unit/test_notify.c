// SPDX-License-Identifier: GPL-2.0-only
/* systemd's notify protocol, heard by a socket of ours. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "notify.h"

static int listen_at(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

	memcpy(addr.sun_path, name, strlen(name));
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, len), 0, "%s", strerror(errno));
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static const char *heard(int fd)
{
	static char buf[512];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

	cr_assert_gt(n, 0);
	buf[n] = '\0';
	return buf;
}

Test(notify, silent_outside_systemd)
{
	unsetenv("NOTIFY_SOCKET");
	cr_expect_eq(notify_send("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	cr_expect_eq(notify_send("READY=1"), 0);
}

Test(notify, a_path_and_an_abstract_name)
{
	char name[64];

	for (int abstract = 0; abstract < 2; abstract++) {
		int fd;

		snprintf(name, sizeof(name), "%s/tmp/ctb-notify-%d", abstract ? "@" : "",
			 (int)getpid());
		fd = listen_at(name);
		cr_expect_eq(notify_send("READY=1\nSTATUS=%d rules", 7), 0);
		cr_expect_str_eq(heard(fd), "READY=1\nSTATUS=7 rules");
		close(fd);
		if (!abstract)
			unlink(name);
	}
}

Test(notify, reloading_says_when)
{
	struct timespec before, after;
	unsigned long long usec;
	int fd = listen_at("@ctb-notify-reload");
	const char *text;

	clock_gettime(CLOCK_MONOTONIC, &before);
	cr_expect_eq(notify_reloading(), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	text = heard(fd);
	cr_assert_eq(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1, "%s", text);
	cr_expect_geq(usec, (unsigned long long)before.tv_sec * 1000000 +
				    (unsigned long long)before.tv_nsec / 1000);
	cr_expect_leq(usec, (unsigned long long)after.tv_sec * 1000000 +
				    (unsigned long long)after.tv_nsec / 1000);
	close(fd);
}

Test(notify, addresses_that_are_none)
{
	char longer[200];

	setenv("NOTIFY_SOCKET", "relative", 1);
	cr_expect_eq(notify_send("READY=1"), -EINVAL);
	memset(longer, 'a', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	cr_expect_eq(notify_send("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	cr_expect_eq(notify_send("READY=1"), -ENOENT);
}
