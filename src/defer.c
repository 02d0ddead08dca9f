// SPDX-License-Identifier: GPL-2.0-only
/*
 * net.netfilter.nf_untrack_defer of this network namespace: a hook for every packet that arrives
 * (docs/kmod.md), so it is there only as long as direct mode wants it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "datapath_priv.h"
#include "log.h"

#define SYSCTL "/proc/sys/net/netfilter/nf_untrack_defer"

/* '0' or '1', or -errno. */
static int get(void)
{
	_close_ int fd = open(SYSCTL, O_RDONLY | O_CLOEXEC);
	char c;

	if (fd < 0)
		return -errno;
	return read(fd, &c, 1) == 1 ? c : -EIO;
}

static int set(char c)
{
	_close_ int fd = open(SYSCTL, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, &c, 1) == 1 ? 0 : -errno;
}

bool datapath_defers(void)
{
	return get() == '1';
}

int defer_start(struct datapath *dp)
{
	int now = get(), err;

	if (now < 0 || now == '1')
		return now < 0 ? now : 0;
	/* First the note: who dies in between has the next daemon switch off what is off. */
	dp->state.untrack_defer = 1;
	err = state_save(dp);
	return err ? err : set('1');
}

void defer_reset(void)
{
	int err = set('0');

	if (err && err != -ENOENT) /* the module has gone, and with it the hook */
		log_warn(SYSCTL ": cannot be set back to 0: %s", strerror(-err));
}

void defer_stop(struct datapath *dp)
{
	if (!dp->state.untrack_defer)
		return;
	defer_reset();
	dp->state.untrack_defer = 0;
	state_save(dp);
}
