// SPDX-License-Identifier: GPL-2.0-only
#include "client.h"
#include "commands.h"

int cmd_hand_over(const struct args *a)
{
	json_t *reply;
	int status = client_command(
		a->socket, json_pack("{s:s,s:s}", "cmd", "hand-over", "method", a->argv[0]),
		&reply);

	if (status)
		return status;
	if (a->json)
		status = client_print_json(reply);
	else
		client_print_hand_over(json_object_get(reply, "hand_over"));
	json_decref(reply);
	return status;
}
