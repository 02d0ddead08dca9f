// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "log.h"
#include "netns_lock.h"
#include "nft.h"

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
	err = datapath_unload(a->pindir, &error);
	if (err)
		return command_fail("%s", error ? error : strerror(-err));
	free(TAKE_PTR(error));
	/* Last, so that no packet is left marked. */
	err = nft_remove(&error);
	if (err)
		return command_fail("cannot remove the nft table: %s",
				    error ? error : strerror(-err));
	return 0;
}
