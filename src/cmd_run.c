// SPDX-License-Identifier: GPL-2.0-only
#include "commands.h"
#include "daemon.h"
#include "log.h"

int cmd_run(const struct args *a)
{
	struct daemon_options o = {
		.config = a->config,
		.pindir = a->pindir,
		.socket = a->socket,
		.attach = a->attach,
		.hand_over = a->hand_over,
		.no_xdp = a->no_xdp,
	};

	log_init(a->verbose ? LOG_LVL_DEBUG : LOG_LVL_INFO);
	log_libbpf_init();
	return daemon_run(&o);
}
