// SPDX-License-Identifier: GPL-2.0-only
#include "client.h"
#include "commands.h"

static long long member(const json_t *reply, const char *key)
{
	return json_integer_value(json_object_get(reply, key));
}

int cmd_reload(const struct args *a)
{
	json_t *reply, *line, *dropped;
	size_t i;
	int status = client_command(a->socket, json_pack("{s:s}", "cmd", "reload"), &reply);

	if (status)
		return status;
	if (a->json) {
		status = client_print_json(reply);
		json_decref(reply);
		return status;
	}
	printf("%lld rules: %lld kept, %lld new, %lld gone\n", member(reply, "rules"),
	       member(reply, "kept"), member(reply, "added"), member(reply, "removed"));
	dropped = json_object_get(reply, "dropped");
	if (json_array_size(dropped))
		printf("%zu run-time changes dropped:\n", json_array_size(dropped));
	json_array_foreach (dropped, i, line)
		printf("  %s\n", json_string_value(line));
	json_decref(reply);
	return 0;
}
