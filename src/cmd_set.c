// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "client.h"
#include "commands.h"

int cmd_set(const struct args *a)
{
	bool add = !strcmp(a->argv[0], "add");
	json_t *elements;

	if (!add && strcmp(a->argv[0], "delete")) {
		command_fail("set: \"%s\" is neither add nor delete", a->argv[0]);
		return EXIT_USAGE;
	}
	elements = json_array();
	for (int i = 2; i < a->argc; i++)
		json_array_append_new(elements, json_string(a->argv[i]));
	if (json_array_size(elements) != (size_t)a->argc - 2) {
		json_decref(elements);
		return command_fail("set: an element is not valid UTF-8");
	}
	return client_command_quiet(a->socket,
				    json_pack("{s:s,s:s,s:o}", "cmd",
					      add ? "set-add" : "set-delete", "name", a->argv[1],
					      "elements", elements),
				    a->json);
}
