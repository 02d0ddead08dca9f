// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "broker.h"
#include "privileges.h"
#include "util.h"

#define ANSWER_MS 10000 /* on a machine that is not busy it takes 30 */

struct broker {
	pid_t pid;
	int fd;
};

/* What goes back, with the descriptor beside it. */
struct answer {
	int err;
	__u32 skb_id, nf_id;
};

union fd_message {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* --- the broker --- */

static int send_answer(int to, const struct answer *a, int fd)
{
	struct iovec iov = { .iov_base = (void *)a, .iov_len = sizeof(*a) };
	union fd_message control = {};
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control.buf;
		m.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(to, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static _Noreturn void serve(int fd, pid_t parent)
{
	sigset_t none;
	char question;

	/* The daemon handles its signals by signalfd; here they do what they do. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGHUP, SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || getppid() != parent || dup2(fd, 3) < 0 ||
	    close_range(4, ~0U, 0) || privileges_keep(1ULL << CAP_SYS_ADMIN))
		_exit(1);
	while (recv(3, &question, 1, 0) == 1) {
		struct kfuncs k = { .btf_fd = -1 };
		struct answer a = { .err = kfuncs_find(&k) };

		a.skb_id = k.skb_id;
		a.nf_id = k.nf_id;
		if (send_answer(3, &a, k.btf_fd))
			_exit(1);
		kfuncs_close(&k);
	}
	_exit(0);
}

/* --- the daemon's side --- */

int broker_start(struct broker **out)
{
	pid_t parent = getpid();
	struct broker *b;
	int fds[2], err;
	__u64 caps;

	err = privileges_effective(&caps);
	if (err)
		return err;
	if (!(caps & 1ULL << CAP_SYS_ADMIN))
		return -EPERM;
	b = malloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) {
		err = -errno;
		free(b);
		return err;
	}
	fflush(NULL);
	*b = (struct broker){ .pid = fork(), .fd = fds[0] };
	if (b->pid < 0) {
		err = -errno;
		close(fds[1]);
		close(fds[0]);
		free(b);
		return err;
	}
	if (!b->pid)
		serve(fds[1], parent);
	close(fds[1]);
	*out = b;
	return 0;
}

static int receive(int from, struct answer *a, int *fd)
{
	struct iovec iov = { .iov_base = a, .iov_len = sizeof(*a) };
	union fd_message control = {};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct pollfd p = { .fd = from, .events = POLLIN };
	struct cmsghdr *c;
	ssize_t n;

	if (poll(&p, 1, ANSWER_MS) != 1)
		return -ETIMEDOUT;
	n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
	if (n != sizeof(*a))
		return n < 0 && errno != ECONNRESET ? -errno : -EPIPE;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return 0;
}

int broker_ask(struct broker *b, struct kfuncs *out)
{
	struct answer a;
	int fd = -1, err;

	if (!b)
		return -EPERM;
	if (send(b->fd, "?", 1, MSG_NOSIGNAL) != 1)
		return -errno;
	err = receive(b->fd, &a, &fd);
	if (!err)
		err = a.err;
	if (!err && fd < 0)
		err = -EPROTO;
	if (err) {
		cleanup_close(&fd);
		return err;
	}
	*out = (struct kfuncs){ .btf_fd = fd, .skb_id = a.skb_id, .nf_id = a.nf_id };
	return 0;
}

void broker_stop(struct broker *b)
{
	if (!b)
		return;
	close(b->fd); /* which it takes for its end */
	while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(b);
}
