// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "client.h"
#include "commands.h"

/*
 * The shell took the quotes off: `comment "two words"` comes as two words of ours. What follows
 * `comment` (a string) and `iif` (a name or glob, unless it is a list) gets them back. A rule
 * given as one word is left as it is.
 */
static bool lost_quotes(const struct args *a, int i)
{
	const char *word = a->argv[i];

	if (i == 0 || *word == '"')
		return false;
	if (!strcmp(a->argv[i - 1], "comment"))
		return true;
	return !strcmp(a->argv[i - 1], "iif") && *word != '{' && *word != '@';
}

int cmd_add(const struct args *a)
{
	_strbuf_ struct strbuf text = {};
	json_t *reply;
	int status;

	for (int i = 0; i < a->argc; i++) {
		const char *quote = lost_quotes(a, i) ? "\"" : "";

		if (*quote && strchr(a->argv[i], '"'))
			return command_fail("\"%s\": a quoted text cannot hold a quote",
					    a->argv[i]);
		strbuf_addf(&text, "%s%s%s%s", i ? " " : "", quote, a->argv[i], quote);
	}
	if (text.err)
		return command_fail("out of memory");
	status = client_command(a->socket, json_pack("{s:s,s:s}", "cmd", "add", "text", text.s),
				&reply);
	if (status)
		return status;
	if (a->json)
		status = client_print_json(reply);
	else
		printf("%lld\n", json_integer_value(json_object_get(reply, "handle")));
	json_decref(reply);
	return status;
}
