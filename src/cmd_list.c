// SPDX-License-Identifier: GPL-2.0-only
#include "client.h"
#include "commands.h"

int cmd_list(const struct args *a)
{
	const char *text;
	json_t *reply;
	int status = client_command(a->socket, json_pack("{s:s}", "cmd", "list"), &reply);

	if (status)
		return status;
	text = json_string_value(json_object_get(reply, "text"));
	if (a->json) {
		json_object_del(reply, "text");
		status = client_print_json(reply);
	} else if (text) {
		fputs(text, stdout);
	}
	json_decref(reply);
	return status;
}
