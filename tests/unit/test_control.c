// SPDX-License-Identifier: GPL-2.0-only
/* The control socket against clients of every kind, with an echo for a daemon. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "control.h"
#include "protocol.h"

static char dir[] = "/tmp/ctb-control-XXXXXX", path[64];
static struct control *control;
static size_t calls;
static size_t reply_size;  /* not 0: answer with that many bytes */
static unsigned int takes; /* seconds */
static __u64 now;

static void handler(void *arg, const char *line, size_t len, char **reply)
{
	cr_assert_eq(arg, &calls);
	calls++;
	sleep(takes);
	if (reply_size) {
		*reply = malloc(reply_size + 1);
		memset(*reply, 'x', reply_size);
		(*reply)[reply_size] = '\0';
	} else if (asprintf(reply, "<%.*s>", (int)len, line) < 0) {
		*reply = NULL;
	}
}

static void setup(void)
{
	char *error = NULL;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	cr_assert_eq(control_open(path, handler, &calls, &control, &error), 0, "%s", error);
	now = 1000;
}

static void teardown(void)
{
	control_close(control);
	unlink(path);
	rmdir(dir);
}

TestSuite(control, .init = setup, .fini = teardown);

/* Let the server do what it can do now. */
static void serve(void)
{
	struct pollfd p = { .fd = control_fd(control), .events = POLLIN };

	for (int i = 0; i < 1000 && poll(&p, 1, 0) > 0; i++)
		control_dispatch(control, now);
}

static int dial(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", strerror(errno));
	serve();
	return fd;
}

static void say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	serve();
}

/* What has come by now; "" when hung up, NULL when there is nothing and the line is open. */
static const char *hear(int fd)
{
	static char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

	if (n < 0)
		return errno == ECONNRESET ? "" : NULL;
	buf[n] = '\0';
	return buf;
}

Test(control, one_line_one_reply)
{
	int fd = dial();

	say(fd, "hello\n");
	cr_expect_str_eq(hear(fd), "<hello>\n");
	say(fd, "again\n");
	cr_expect_str_eq(hear(fd), "<again>\n");
	close(fd);
}

Test(control, lines_come_in_any_pieces)
{
	int fd = dial();

	for (const char *p = "split"; *p; p++) {
		say(fd, (const char[]){ *p, '\0' });
		cr_expect_null(hear(fd));
	}
	cr_expect_eq(calls, 0);
	say(fd, "\ntwo\nthr");
	cr_expect_str_eq(hear(fd), "<split>\n<two>\n");
	say(fd, "ee\n\n");
	cr_expect_str_eq(hear(fd), "<three>\n<>\n");
	close(fd);
}

Test(control, the_last_line_counts_although_the_client_will_say_no_more)
{
	int fd = dial();

	say(fd, "bye\nhalf");
	shutdown(fd, SHUT_WR);
	serve();
	cr_expect_str_eq(hear(fd), "<bye>\n");
	cr_expect_str_eq(hear(fd), "");
	cr_expect_eq(calls, 1);
	close(fd);
}

Test(control, exactly_the_limit_is_taken_and_one_more_is_not)
{
	char *line = malloc(REQUEST_MAX + 1);
	struct control *mine = control;
	int fd;

	memset(line, 'y', REQUEST_MAX);
	for (size_t extra = 0; extra < 2; extra++) {
		size_t len = REQUEST_MAX - 1 + extra, sent = 0;

		calls = 0;
		fd = dial();
		line[len] = '\n';
		reply_size = 3;
		while (sent < len + 1) {
			ssize_t n = send(fd, line + sent, len + 1 - sent, MSG_NOSIGNAL);

			if (n < 0 && errno != EAGAIN)
				break;
			sent += n > 0 ? (size_t)n : 0;
			serve();
		}
		line[len] = 'y';
		cr_expect_eq(calls, !extra);
		if (!extra) {
			cr_expect_str_eq(hear(fd), "xxx\n");
		} else {
			const char *heard = hear(fd);

			cr_assert_not_null(heard);
			cr_expect_not_null(strstr(heard, "too long"), "%s", heard);
			cr_expect_str_eq(hear(fd), "");
		}
		close(fd);
		serve();
	}
	cr_expect_eq(mine, control);
	free(line);
}

Test(control, a_line_without_end_is_not_collected_for_ever)
{
	char part[8192];
	int fd = dial();

	memset(part, 'z', sizeof(part));
	for (int i = 0; i < 64; i++) {
		if (send(fd, part, sizeof(part), MSG_NOSIGNAL) < 0)
			break;
		serve();
	}
	cr_expect_eq(calls, 0);
	cr_expect_not_null(strstr(hear(fd), "too long"));
	close(fd);
}

Test(control, a_crowd_is_turned_away_in_words)
{
	int fds[CLIENTS_MAX], extra;

	for (size_t i = 0; i < CLIENTS_MAX; i++)
		fds[i] = dial();
	extra = dial();
	cr_expect_not_null(strstr(hear(extra), "too many clients"));
	cr_expect_str_eq(hear(extra), "");
	close(extra);
	say(fds[CLIENTS_MAX - 1], "still here\n");
	cr_expect_str_eq(hear(fds[CLIENTS_MAX - 1]), "<still here>\n");
	/* A place that is left is given again. */
	close(fds[0]);
	serve();
	extra = dial();
	say(extra, "at last\n");
	cr_expect_str_eq(hear(extra), "<at last>\n");
	close(extra);
	for (size_t i = 1; i < CLIENTS_MAX; i++)
		close(fds[i]);
}

/* Neither who asked nor who waited meanwhile is told off for it. */
Test(control, what_a_request_takes_is_nobodys_silence)
{
	int asking = dial(), waiting = dial();

	takes = 1;
	say(asking, "w\n");
	cr_expect_geq(control_deadline(control), 2000 + CLIENT_IDLE_SECONDS * 1000);
	now += CLIENT_IDLE_SECONDS * 1000 + 500;
	control_expire(control, now);
	cr_expect_str_eq(hear(asking), "<w>\n");
	cr_expect_null(hear(asking));
	cr_expect_null(hear(waiting));
	close(asking);
	close(waiting);
}

Test(control, silence_and_slowness_end)
{
	int silent = dial(), slow = dial(), busy = dial();

	cr_expect_eq(control_deadline(control), 1000 + CLIENT_IDLE_SECONDS * 1000);
	now++;
	say(busy, "w\n");
	cr_expect_str_eq(hear(busy), "<w>\n");
	cr_expect_eq(control_deadline(control), 1000 + CLIENT_IDLE_SECONDS * 1000);
	now--;
	say(slow, "one byte at a");
	now += CLIENT_IDLE_SECONDS * 1000 - 1;
	control_expire(control, now);
	say(slow, " time"); /* is no complete request, and wins no time */
	say(busy, "x\n");
	cr_expect_str_eq(hear(busy), "<x>\n");
	cr_expect_null(hear(silent));
	now += 1;
	control_expire(control, now);
	cr_expect_not_null(strstr(hear(silent), "in time"));
	cr_expect_str_eq(hear(silent), "");
	cr_expect_not_null(strstr(hear(slow), "in time"));
	cr_expect_null(hear(busy));
	cr_expect_eq(control_deadline(control), now - 1 + CLIENT_IDLE_SECONDS * 1000);
	close(silent);
	close(slow);
	close(busy);
}

Test(control, a_reply_longer_than_the_socket_is_written_as_it_is_read)
{
	int fd = dial();
	size_t got = 0;
	char buf[65536];

	reply_size = 8 << 20;
	say(fd, "much\nmore\n");
	shutdown(fd, SHUT_WR);	/* that is no reason to stop answering */
	cr_expect_eq(calls, 1); /* the second line waits for the first reply to be out */
	for (int i = 0; i < 100000 && got < 2 * (reply_size + 1); i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		cr_assert(n > 0 || errno == EAGAIN);
		got += n > 0 ? (size_t)n : 0;
		serve();
	}
	cr_expect_eq(got, 2 * (reply_size + 1));
	cr_expect_eq(buf[0] == 'x', true);
	cr_expect_eq(calls, 2);
	close(fd);
}

Test(control, a_reader_who_stops_reading_is_left)
{
	int fd = dial();

	reply_size = 8 << 20;
	say(fd, "much\n");
	now += CLIENT_IDLE_SECONDS * 1000;
	control_expire(control, now);
	cr_expect_eq(control_deadline(control), 0);
	close(fd);
}

Test(control, clients_who_vanish_are_forgotten)
{
	reply_size = 8 << 20;
	for (int i = 0; i < 3 * CLIENTS_MAX; i++) {
		int fd = dial();

		if (i % 3)
			say(fd, i % 3 == 1 ? "half a li" : "a reply that nobody reads\n");
		close(fd);
		serve();
	}
	cr_expect_eq(control_deadline(control), 0);
}

Test(control, nobody_else_may_enter)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
}

Test(control, a_living_socket_is_respected)
{
	struct control *second = NULL;
	_free_ char *error = NULL;

	cr_expect_eq(control_open(path, handler, &calls, &second, &error), -EADDRINUSE);
	cr_expect_null(second);
	cr_expect_not_null(strstr(error, path));
	say(dial(), "x\n");
	cr_expect_eq(calls, 1);
}

Test(control, a_stale_socket_is_replaced)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char *error = NULL;
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);

	control_close(control);
	control = NULL;
	strcpy(addr.sun_path, path);
	cr_assert_eq(bind(dead, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(dead);
	cr_assert_eq(control_open(path, handler, &calls, &control, &error), 0, "%s", error);
	say(dial(), "x\n");
	cr_expect_eq(calls, 1);
}

Test(control, a_file_is_not_removed)
{
	struct control *second = NULL;
	_free_ char *error = NULL;
	char file[80];
	int fd;

	snprintf(file, sizeof(file), "%s/file", dir);
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	cr_assert(fd >= 0);
	close(fd);
	cr_expect_eq(control_open(file, handler, &calls, &second, &error), -EADDRINUSE);
	cr_expect_not_null(strstr(error, "not a socket"));
	cr_expect_eq(access(file, F_OK), 0);
	unlink(file);
}

Test(control, paths_that_do_not_fit)
{
	struct control *second = NULL;
	char longer[200], *error = NULL;

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	cr_expect_eq(control_open(longer, handler, &calls, &second, &error), -ENAMETOOLONG);
	free(error);
	cr_expect_eq(control_open("", handler, &calls, &second, &error), -ENAMETOOLONG);
	free(error);
	cr_expect_eq(control_open("/nowhere/sock", handler, &calls, &second, &error), -ENOENT);
	free(error);
}

Test(control, closing_removes_the_socket_only_if_it_is_ours)
{
	struct control *second = NULL;
	char *error = NULL;

	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(control_open(path, handler, &calls, &second, &error), 0);
	control_close(control);
	cr_expect_eq(access(path, F_OK), 0);
	control = second;
	control_close(control);
	control = NULL;
	cr_expect_eq(access(path, F_OK), -1);
}

Test(control, error_replies_are_json_whatever_is_in_them)
{
	static const char *const texts[] = { "plain", "two\nlines \"quoted\"", "\xff\xfe" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_free_ char *reply = control_error_reply(texts[i]);
		json_t *v = json_loads(reply, 0, NULL);

		cr_assert_not_null(v, "%s", reply);
		cr_expect(json_is_false(json_object_get(v, "ok")));
		cr_expect(json_is_string(json_object_get(v, "error")));
		cr_expect_null(strchr(reply, '\n'));
		json_decref(v);
	}
}
