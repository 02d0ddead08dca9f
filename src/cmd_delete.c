// SPDX-License-Identifier: GPL-2.0-only
#include "client.h"
#include "commands.h"

int cmd_delete(const struct args *a)
{
	unsigned int handle;
	json_t *reply;
	int status;

	if (parse_u32(a->argv[0], 1, 0xffffffff, &handle)) {
		command_fail("delete: \"%s\" is not a handle (`ctbypass list` shows them)",
			     a->argv[0]);
		return EXIT_USAGE;
	}
	status = client_command(
		a->socket, json_pack("{s:s,s:I}", "cmd", "delete", "handle", (json_int_t)handle),
		&reply);
	if (status)
		return status;
	if (a->json)
		status = client_print_json(reply);
	json_decref(reply);
	return status;
}
