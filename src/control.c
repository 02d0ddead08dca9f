// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "control.h"
#include "protocol.h"
#include "util.h"

#define CLIENT_READ 16384

struct client {
	int fd; /* -1: the place is free */
	struct strbuf in;
	char *out; /* reply being written; no request is read meanwhile */
	size_t out_len, out_done;
	bool last;   /* close when the reply is out */
	bool closed; /* the client will say no more */
	__u64 deadline;
};

struct control {
	int epfd, listen_fd;
	char *path;
	dev_t dev;
	ino_t ino;
	control_handler handler;
	void *arg;
	struct client clients[CLIENTS_MAX];
};

char *control_error_reply(const char *text)
{
	json_t *root = json_pack("{s:b,s:s}", "ok", 0, "error", text);
	char *out;

	if (!root) /* not UTF-8: words of another library about bytes of the user's */
		root = json_pack("{s:b,s:s}", "ok", 0, "error",
				 "the message about this error is not valid UTF-8");
	out = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return out;
}

/* --- the socket --- */

static int make_address(const char *path, struct sockaddr_un *addr, char **error)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(addr->sun_path))
		return error_set(error, -ENAMETOOLONG,
				 "socket path \"%s\" must have 1 to %zu bytes", path,
				 sizeof(addr->sun_path) - 1);
	strcpy(addr->sun_path, path);
	return 0;
}

/* Make way for our socket, unless what is there is alive or no socket at all. */
static int remove_stale(const struct sockaddr_un *addr, char **error)
{
	const char *path = addr->sun_path;
	_close_ int fd = -1;
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? 0
				       : error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(error, -EADDRINUSE, "%s is there and is not a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno == EAGAIN)
		return error_set(error, -EADDRINUSE, "another daemon answers on %s", path);
	if (errno != ECONNREFUSED)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (unlink(path) && errno != ENOENT)
		return error_set(error, -errno, "cannot remove the stale socket %s: %s", path,
				 strerror(errno));
	return 0;
}

static int bind_private(int fd, const struct sockaddr_un *addr)
{
	mode_t old = umask(0177); /* never open to others, not for an instant */
	int err = bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;

	umask(old);
	return err;
}

static int listen_on(struct control *c, const char *path, char **error)
{
	struct sockaddr_un addr;
	struct stat st;
	int err = make_address(path, &addr, error);

	if (err)
		return err;
	err = remove_stale(&addr, error);
	if (err)
		return err;
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listen_fd < 0)
		return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
	err = bind_private(c->listen_fd, &addr);
	if (err)
		return error_set(error, err, "cannot bind %s: %s", path, strerror(-err));
	c->path = strdup(path);
	if (!c->path || stat(path, &st) || listen(c->listen_fd, SOMAXCONN))
		return error_set(error, -errno, "cannot listen on %s: %s", path, strerror(errno));
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return 0;
}

static int watch(struct control *c, int fd, uint32_t events, struct client *cl, int op)
{
	struct epoll_event ev = { .events = events, .data.ptr = cl };

	return epoll_ctl(c->epfd, op, fd, &ev) ? -errno : 0;
}

int control_open(const char *path, control_handler handler, void *arg, struct control **out,
		 char **error)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	*error = NULL;
	if (!c)
		return -ENOMEM;
	c->epfd = c->listen_fd = -1;
	c->handler = handler;
	c->arg = arg;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		c->clients[i].fd = -1;
	err = listen_on(c, path, error);
	if (!err) {
		c->epfd = epoll_create1(EPOLL_CLOEXEC);
		err = c->epfd < 0 ? -errno : watch(c, c->listen_fd, EPOLLIN, NULL, EPOLL_CTL_ADD);
		if (err)
			error_set(error, err, "epoll: %s", strerror(-err));
	}
	if (err) {
		control_close(c);
		return err;
	}
	*out = c;
	return 0;
}

/* --- clients --- */

static void hang_up(struct client *cl)
{
	close(cl->fd);
	strbuf_free(&cl->in);
	free(cl->out);
	*cl = (struct client){ .fd = -1 };
}

void control_close(struct control *c)
{
	struct stat st;

	if (!c)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (c->clients[i].fd >= 0)
			hang_up(&c->clients[i]);
	}
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->epfd >= 0)
		close(c->epfd);
	if (c->path && !stat(c->path, &st) && st.st_dev == c->dev && st.st_ino == c->ino)
		unlink(c->path);
	free(c->path);
	free(c);
}

int control_fd(const struct control *c)
{
	return c->epfd;
}

static bool is_root_or_us(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

/* For clients that get no place: one line, as far as the socket's buffer takes it. */
static void turn_away(int fd, const char *why)
{
	_free_ char *reply = control_error_reply(why);

	if (!reply)
		return;
	if (send(fd, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		send(fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* False: nobody waits any more (or no descriptor is to be had: the socket stays readable). */
static bool accept_one(struct control *c, __u64 now)
{
	_close_ int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *cl = NULL;

	if (fd < 0)
		return false;
	if (!is_root_or_us(fd)) {
		turn_away(fd, "only root may use this socket");
		return true;
	}
	for (size_t i = 0; i < CLIENTS_MAX && !cl; i++) {
		if (c->clients[i].fd < 0)
			cl = &c->clients[i];
	}
	if (!cl) {
		turn_away(fd, "too many clients; try again");
		return true;
	}
	if (watch(c, fd, EPOLLIN, cl, EPOLL_CTL_ADD))
		return true;
	*cl = (struct client){ .fd = TAKE_FD(fd), .deadline = now + CLIENT_IDLE_SECONDS * 1000 };
	return true;
}

/* Write what is left of the reply. False: the client is gone. */
static bool write_out(struct client *cl, __u64 now)
{
	while (cl->out_done < cl->out_len) {
		ssize_t n = send(cl->fd, cl->out + cl->out_done, cl->out_len - cl->out_done,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		cl->out_done += (size_t)n;
		cl->deadline = now + CLIENT_IDLE_SECONDS * 1000;
	}
	free(cl->out);
	cl->out = NULL;
	return !cl->last;
}

/* Queue a reply; takes it over. False: out of memory. */
static bool queue(struct client *cl, char *reply)
{
	size_t len;
	char *line;

	if (!reply)
		return false;
	len = strlen(reply);
	line = realloc(reply, len + 2);
	if (!line) {
		free(reply);
		return false;
	}
	line[len] = '\n';
	cl->out = line;
	cl->out_len = len + 1;
	cl->out_done = 0;
	return true;
}

/*
 * A request may take long, and what others wait meanwhile is not their silence. Whole seconds are
 * what counts.
 */
static void handle(struct control *c, const char *line, size_t len, char **reply, __u64 *now)
{
	__u64 began = now_ms(), spent;

	c->handler(c->arg, line, len, reply);
	spent = (now_ms() - began) / 1000 * 1000;
	*now += spent;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		c->clients[i].deadline += spent;
}

/* Answer complete lines, one reply at a time. False: hang up. */
static bool answer(struct control *c, struct client *cl, __u64 *now)
{
	while (!cl->out && cl->in.len) {
		char *end = memchr(cl->in.s, '\n', cl->in.len), *reply = NULL;
		size_t len = end ? (size_t)(end - cl->in.s) : cl->in.len;

		if (len + 1 > REQUEST_MAX) {
			cl->last = true;
			reply = control_error_reply("the request is too long");
		} else if (!end) {
			break;
		} else {
			handle(c, cl->in.s, len, &reply, now);
			cl->in.len -= len + 1;
			memmove(cl->in.s, end + 1, cl->in.len);
		}
		cl->deadline = *now + CLIENT_IDLE_SECONDS * 1000;
		if (!queue(cl, reply) || !write_out(cl, *now))
			return false;
	}
	return !cl->closed;
}

/* Read what has come. False: the connection is broken. */
static bool read_in(struct client *cl)
{
	char buf[CLIENT_READ];
	ssize_t n = recv(cl->fd, buf, sizeof(buf), 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		cl->closed = true;
		return true;
	}
	strbuf_add(&cl->in, buf, (size_t)n);
	return !cl->in.err;
}

static void serve(struct control *c, struct client *cl, uint32_t events, __u64 *now)
{
	bool alive = true;

	if (cl->out)
		alive = !(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) || write_out(cl, *now);
	else
		alive = read_in(cl);
	alive = alive && answer(c, cl, now);
	if (alive)
		alive = !watch(c, cl->fd, cl->out ? EPOLLOUT : EPOLLIN, cl, EPOLL_CTL_MOD);
	if (!alive)
		hang_up(cl);
}

void control_dispatch(struct control *c, __u64 now)
{
	struct epoll_event ev[CLIENTS_MAX + 1];
	int n = epoll_wait(c->epfd, ev, CLIENTS_MAX + 1, 0);

	for (int i = 0; i < n; i++) {
		struct client *cl = ev[i].data.ptr;

		if (cl && cl->fd >= 0)
			serve(c, cl, ev[i].events, &now);
	}
	/* Last: places freed just now are taken, and no event above can mean a new client. */
	for (int i = 0; i < n; i++) {
		for (int k = 0; !ev[i].data.ptr && k < 4 * CLIENTS_MAX; k++) {
			if (!accept_one(c, now))
				break;
		}
	}
}

__u64 control_deadline(const struct control *c)
{
	__u64 first = 0;

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		const struct client *cl = &c->clients[i];

		if (cl->fd >= 0 && (!first || cl->deadline < first))
			first = cl->deadline;
	}
	return first;
}

void control_expire(struct control *c, __u64 now)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *cl = &c->clients[i];

		if (cl->fd < 0 || now < cl->deadline)
			continue;
		if (!cl->out)
			turn_away(cl->fd, "no complete request in time");
		hang_up(cl);
	}
}
