// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "log.h"
#include "netns_lock.h"
#include "unload.h"

int cmd_unload(const struct args *a)
{
	_free_ char *error = NULL;
	_close_ int lock = -1;
	int err;

	log_init(a->verbose ? LOG_LVL_DEBUG : LOG_LVL_WARN);
	log_libbpf_init();
	if (geteuid())
		return command_fail("unload: only root can do that");
	/* Held to the end: no daemon starts on what is being taken away. */
	lock = netns_lock();
	if (lock == -EBUSY)
		return command_fail("a ctbypass daemon runs in this network namespace; stop it "
				    "first");
	if (lock < 0)
		return command_fail("cannot lock this network namespace: %s", strerror(-lock));
	err = unload(a->pindir, &error);
	if (err < 0)
		return command_fail("%s; everything is as it was", error ? error : strerror(-err));
	if (err) {
		command_fail("%s; everything is tracked, but not all is gone: run it again",
			     error ? error : "out of memory");
		return EXIT_LEFT;
	}
	return 0;
}
