// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "client.h"
#include "protocol.h"
#include "util.h"

#define REPLY_MAX     (1024UL * 1024 * 1024) /* a list of sets with millions of prefixes is long */
#define REPLY_SECONDS 120		     /* a reload of the same takes a while */

static int connect_to(const char *path, int *out, char **error)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = REPLY_SECONDS };
	_close_ int fd = -1;

	if (!*path || strlen(path) >= sizeof(addr.sun_path))
		return error_set(error, -ENAMETOOLONG,
				 "socket path \"%s\" must have 1 to %zu bytes", path,
				 sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return error_set(
			error, -errno, "no daemon answers on %s: %s%s", path, strerror(errno),
			errno == EACCES ? " (are you root?)" : " (is `ctbypass run` running?)");
	*out = TAKE_FD(fd);
	return 0;
}

/* A daemon may answer and hang up before it has read all (too long a request): send what goes. */
static void send_line(int fd, const char *line)
{
	size_t left = strlen(line) + 1;
	_free_ char *text = malloc(left);

	if (!text)
		return;
	memcpy(text, line, left - 1);
	text[left - 1] = '\n';
	for (const char *p = text; left;) {
		ssize_t n = send(fd, p, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		left -= (size_t)n;
	}
}

static int read_line(int fd, struct strbuf *in, char **error)
{
	char buf[65536];

	while (!in->len || in->s[in->len - 1] != '\n') {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return error_set(error, -ETIMEDOUT, "the daemon does not answer");
		if (n < 0)
			return error_set(error, -errno, "reading the daemon's answer: %s",
					 strerror(errno));
		if (n == 0)
			return error_set(error, -ECONNRESET, "the daemon hung up");
		strbuf_add(in, buf, (size_t)n);
		if (in->err || in->len > REPLY_MAX)
			return error_set(error, -ENOMEM, "the daemon's answer is too long");
	}
	return 0;
}

int client_call(const char *path, json_t *request, json_t **reply, char **error)
{
	_free_ char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	_strbuf_ struct strbuf in = {};
	_close_ int fd = -1;
	json_t *root;
	int err;

	*error = NULL;
	json_decref(request);
	if (!line)
		return error_set(error, -EINVAL, "the request is not valid UTF-8");
	if (strlen(line) + 1 > REQUEST_MAX)
		return error_set(error, -E2BIG, "the request is longer than %d bytes", REQUEST_MAX);
	err = connect_to(path, &fd, error);
	if (err)
		return err;
	send_line(fd, line);
	err = read_line(fd, &in, error);
	if (err)
		return err;
	root = json_loadb(in.s, in.len, 0, NULL);
	if (!root || !json_is_boolean(json_object_get(root, "ok"))) {
		json_decref(root);
		return error_set(error, -EPROTO, "the daemon's answer is not understood");
	}
	*reply = root;
	return 0;
}

/* Text of possibly several lines, as one message of ours. */
static void complain(const char *kind, const char *text)
{
	size_t len = strlen(text);

	/* Diagnostics with a position bring their own "error:". */
	fprintf(stderr, "%s%s%s",
		strstr(text, ": error: ") || strstr(text, ": warning: ") ? "" : kind, text,
		len && text[len - 1] == '\n' ? "" : "\n");
}

int client_command(const char *path, json_t *request, json_t **reply)
{
	_free_ char *error = NULL;
	const char *text;
	json_t *root;

	if (client_call(path, request, &root, &error)) {
		complain("ctbypass: ", error ? error : "out of memory");
		return 1;
	}
	text = json_string_value(json_object_get(root, "warnings"));
	if (text)
		complain("ctbypass: warning: ", text);
	if (!json_is_true(json_object_get(root, "ok"))) {
		const char *why = json_string_value(json_object_get(root, "error"));

		complain("ctbypass: ", why ? why : "the daemon refused and did not say why");
		json_decref(root);
		return 1;
	}
	json_object_del(root, "ok");
	if (text) /* status has a list of that name */
		json_object_del(root, "warnings");
	*reply = root;
	return 0;
}

int client_print_json(const json_t *value)
{
	if (json_dumpf(value, stdout, JSON_INDENT(2)) || putchar('\n') == EOF || fflush(stdout)) {
		fprintf(stderr, "ctbypass: cannot write: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}

int client_command_quiet(const char *path, json_t *request, bool json)
{
	json_t *reply;
	int status = client_command(path, request, &reply);

	if (status)
		return status;
	if (json)
		status = client_print_json(reply);
	json_decref(reply);
	return status;
}

void client_print_hand_over(const json_t *h)
{
	static const char *const hooks[] = { "ingress", "output" };
	json_int_t mark = json_integer_value(json_object_get(h, "mark"));

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		const json_t *o = json_object_get(h, hooks[i]);
		const char *method = json_string_value(json_object_get(o, "method"));
		const char *why = json_string_value(json_object_get(o, "why"));

		printf("%-16s%-8s%s", i ? "" : "hand-over", hooks[i], method ? method : "?");
		if (!i && mark)
			printf(" 0x%llx", (unsigned long long)mark);
		printf(": %s\n", why ? why : "?");
	}
}
