// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdarg.h>
#include <string.h>

#include "request.h"

static const char *const names[] = {
#define X(id, name) [REQ_##id] = name,
	REQUESTS(X)
#undef X
};

const char *request_name(enum request_cmd cmd)
{
	return cmd < REQ_MAX ? names[cmd] : "?";
}

static int take_string(const json_t *v, const char *key, char **out, char **error)
{
	if (!json_is_string(v))
		return error_set(error, -EINVAL, "member \"%s\" must be a string", key);
	/* jansson refuses \u0000 in strings, so strlen() is the whole of it. */
	*out = strdup(json_string_value(v));
	return *out ? 0 : -ENOMEM;
}

static int take_handle(const json_t *v, __u32 *out, char **error)
{
	json_int_t n = json_is_integer(v) ? json_integer_value(v) : 0;

	if (n < 1 || n > 0xffffffffLL)
		return error_set(error, -EINVAL,
				 "member \"handle\" must be a number from 1 to 4294967295");
	*out = (__u32)n;
	return 0;
}

static int take_elements(const json_t *v, struct request *r, char **error)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v) || !n)
		return error_set(error, -EINVAL,
				 "member \"elements\" must be an array of strings, not empty");
	r->elements = calloc(n, sizeof(*r->elements));
	if (!r->elements)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int err = take_string(json_array_get(v, i), "elements", &r->elements[i], error);

		if (err)
			return err;
		r->n_elements = i + 1;
	}
	return 0;
}

static int take_member(const char *key, const json_t *v, struct request *r, char **error)
{
	bool set = r->cmd == REQ_SET_ADD || r->cmd == REQ_SET_DELETE;

	if (!strcmp(key, "cmd"))
		return 0;
	if (!strcmp(key, "text") && r->cmd == REQ_ADD)
		return take_string(v, key, &r->text, error);
	if (!strcmp(key, "method") && r->cmd == REQ_HAND_OVER)
		return take_string(v, key, &r->method, error);
	if (!strcmp(key, "handle") && r->cmd == REQ_DELETE)
		return take_handle(v, &r->handle, error);
	if (!strcmp(key, "name") && set)
		return take_string(v, key, &r->name, error);
	if (!strcmp(key, "elements") && set)
		return take_elements(v, r, error);
	return error_set(error, -EINVAL, "command \"%s\" has no member \"%s\"", names[r->cmd], key);
}

static int find_cmd(const json_t *root, enum request_cmd *out, char **error)
{
	const json_t *v = json_object_get(root, "cmd");

	if (!json_is_string(v))
		return error_set(error, -EINVAL, "member \"cmd\" must be there and a string");
	for (size_t i = 0; i < REQ_MAX; i++) {
		if (!strcmp(json_string_value(v), names[i])) {
			*out = (enum request_cmd)i;
			return 0;
		}
	}
	return error_set(error, -EINVAL, "unknown command \"%s\"", json_string_value(v));
}

static int check_complete(const struct request *r, char **error)
{
	switch (r->cmd) {
	case REQ_ADD:
		return r->text ? 0
			       : error_set(error, -EINVAL, "command \"add\" needs member \"text\"");
	case REQ_DELETE:
		return r->handle ? 0
				 : error_set(error, -EINVAL,
					     "command \"delete\" needs member \"handle\"");
	case REQ_HAND_OVER:
		return r->method ? 0
				 : error_set(error, -EINVAL,
					     "command \"hand-over\" needs member \"method\"");
	case REQ_SET_ADD:
	case REQ_SET_DELETE:
		return r->name && r->n_elements
			       ? 0
			       : error_set(error, -EINVAL,
					   "command \"%s\" needs members \"name\" and \"elements\"",
					   names[r->cmd]);
	default:
		return 0;
	}
}

static int parse_object(json_t *root, struct request *r, char **error)
{
	const char *key;
	json_t *v;
	int err;

	if (!json_is_object(root))
		return error_set(error, -EINVAL, "a request is a JSON object");
	err = find_cmd(root, &r->cmd, error);
	if (err)
		return err;
	json_object_foreach (root, key, v) {
		err = take_member(key, v, r, error);
		if (err)
			return err;
	}
	return check_complete(r, error);
}

int request_parse(const char *line, size_t len, struct request *out, char **error)
{
	struct request r = {};
	json_error_t where;
	json_t *root;
	int err;

	*error = NULL;
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
	if (!root)
		return error_set(error, -EINVAL, "not valid JSON: %s", where.text);
	err = parse_object(root, &r, error);
	json_decref(root);
	if (err) {
		request_free(&r);
		return err;
	}
	*out = r;
	return 0;
}

void request_free(struct request *r)
{
	free(r->text);
	free(r->name);
	free(r->method);
	for (size_t i = 0; i < r->n_elements; i++)
		free(r->elements[i]);
	free(r->elements);
	*r = (struct request){};
}
