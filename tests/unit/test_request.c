// SPDX-License-Identifier: GPL-2.0-only
/* Request lines: what is taken, and that everything else is refused with a reason. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "request.h"

static int parse(const char *line, struct request *r, char **error)
{
	/* On the heap and without a NUL, so that reading past the end is seen. */
	size_t len = strlen(line);
	char *copy = malloc(len + !len);
	int err;

	memcpy(copy, line, len);
	err = request_parse(copy, len, r, error);
	free(copy);
	return err;
}

Test(request, takes_every_command)
{
	struct request r;
	char *error;

	cr_assert_eq(parse("{\"cmd\":\"add\",\"text\":\"notrack gre\"}", &r, &error), 0);
	cr_expect_eq(r.cmd, REQ_ADD);
	cr_expect_str_eq(r.text, "notrack gre");
	request_free(&r);
	cr_assert_eq(parse("{\"handle\":4294967295,\"cmd\":\"delete\"}", &r, &error), 0);
	cr_expect_eq(r.cmd, REQ_DELETE);
	cr_expect_eq(r.handle, 4294967295u);
	request_free(&r);
	cr_assert_eq(parse(" {\"cmd\":\"set-add\",\"name\":\"a\",\"elements\":[\"1\",\"2-3\"]}", &r,
			   &error),
		     0);
	cr_expect_eq(r.cmd, REQ_SET_ADD);
	cr_expect_str_eq(r.name, "a");
	cr_assert_eq(r.n_elements, 2);
	cr_expect_str_eq(r.elements[1], "2-3");
	request_free(&r);
	cr_assert_eq(
		parse("{\"cmd\":\"set-delete\",\"name\":\"a\",\"elements\":[\"1\"]}", &r, &error),
		0);
	cr_expect_eq(r.cmd, REQ_SET_DELETE);
	request_free(&r);
	for (int i = 0; i < REQ_MAX; i++) {
		char line[64];

		if (i != REQ_LIST && i != REQ_RELOAD && i != REQ_STATS && i != REQ_STATUS)
			continue;
		snprintf(line, sizeof(line), "{\"cmd\":\"%s\"}", request_name((enum request_cmd)i));
		cr_assert_eq(parse(line, &r, &error), 0, "%s", line);
		cr_expect_eq((int)r.cmd, i);
		request_free(&r);
	}
}

static const struct {
	const char *line, *reason; /* a part of it */
} refused[] = {
	{ "", "JSON" },
	{ "hello", "JSON" },
	{ "{\"cmd\":\"list\"", "JSON" },
	{ "{\"cmd\":\"list\"} x", "JSON" },
	{ "{\"cmd\":\"list\",\"cmd\":\"list\"}", "duplicate" },
	{ "{\"cmd\":\"add\",\"text\":\"\xff\"}", "JSON" },
	{ "{\"cmd\":\"add\",\"text\":\"a\\u0000b\"}", "JSON" },
	{ "[]", "object" },
	{ "\"list\"", "JSON" },
	{ "{}", "\"cmd\"" },
	{ "{\"cmd\":7}", "\"cmd\"" },
	{ "{\"cmd\":null}", "\"cmd\"" },
	{ "{\"cmd\":\"\"}", "unknown" },
	{ "{\"cmd\":\"lis\"}", "unknown command \"lis\"" },
	{ "{\"cmd\":\"List\"}", "unknown" },
	{ "{\"cmd\":\"list\",\"text\":\"x\"}", "no member \"text\"" },
	{ "{\"cmd\":\"status\",\"verbose\":true}", "no member \"verbose\"" },
	{ "{\"cmd\":\"add\"}", "needs" },
	{ "{\"cmd\":\"add\",\"text\":7}", "string" },
	{ "{\"cmd\":\"add\",\"text\":[\"x\"]}", "string" },
	{ "{\"cmd\":\"add\",\"text\":\"x\",\"handle\":1}", "no member \"handle\"" },
	{ "{\"cmd\":\"delete\"}", "needs" },
	{ "{\"cmd\":\"delete\",\"handle\":\"1\"}", "number" },
	{ "{\"cmd\":\"delete\",\"handle\":0}", "number" },
	{ "{\"cmd\":\"delete\",\"handle\":-1}", "number" },
	{ "{\"cmd\":\"delete\",\"handle\":1.5}", "number" },
	{ "{\"cmd\":\"delete\",\"handle\":4294967296}", "number" },
	{ "{\"cmd\":\"delete\",\"handle\":99999999999999999999}", "JSON" },
	{ "{\"cmd\":\"set-add\",\"name\":\"a\"}", "needs" },
	{ "{\"cmd\":\"set-add\",\"elements\":[\"1\"]}", "needs" },
	{ "{\"cmd\":\"set-add\",\"name\":\"a\",\"elements\":[]}", "array" },
	{ "{\"cmd\":\"set-add\",\"name\":\"a\",\"elements\":\"1\"}", "array" },
	{ "{\"cmd\":\"set-add\",\"name\":\"a\",\"elements\":[\"1\",2]}", "string" },
	{ "{\"cmd\":\"set-delete\",\"name\":1,\"elements\":[\"1\"]}", "string" },
};

Test(request, refuses_the_rest_and_says_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct request r = { .cmd = REQ_MAX };
		_free_ char *error = NULL;

		cr_expect_eq(parse(refused[i].line, &r, &error), -EINVAL, "%s", refused[i].line);
		cr_expect_eq(r.cmd, REQ_MAX, "out parameter touched: %s", refused[i].line);
		cr_assert_not_null(error, "%s", refused[i].line);
		cr_expect_not_null(strstr(error, refused[i].reason), "%s: %s", refused[i].line,
				   error);
	}
}

/* Every beginning of a good line is refused, without reading beyond it. */
Test(request, truncated_anywhere)
{
	static const char line[] =
		"{\"cmd\":\"set-add\",\"name\":\"web\",\"elements\":[\"80\",\"443\"]}";

	for (size_t n = 0; n < sizeof(line) - 1; n++) {
		char *copy = malloc(n + !n), *error = NULL;
		struct request r;

		memcpy(copy, line, n);
		cr_expect_eq(request_parse(copy, n, &r, &error), -EINVAL, "%zu bytes", n);
		free(copy);
		free(error);
	}
}
