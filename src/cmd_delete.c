// SPDX-License-Identifier: GPL-2.0-only
#include "client.h"
#include "commands.h"

int cmd_delete(const struct args *a)
{
	unsigned int handle;

	if (parse_u32(a->argv[0], 1, 0xffffffff, &handle)) {
		command_fail("delete: \"%s\" is not a handle (`ctbypass list` shows them)",
			     a->argv[0]);
		return EXIT_USAGE;
	}
	return client_command_quiet(
		a->socket, json_pack("{s:s,s:I}", "cmd", "delete", "handle", (json_int_t)handle),
		a->json);
}
