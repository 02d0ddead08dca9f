// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>

#include "netlink.h"
#include "netns_lock.h"

#define NAME	 "\0ctbypass-daemon"
#define NAME_LEN (sizeof(NAME) - 1)

/* The name, or one that begins with it. */
struct name {
	struct sockaddr_un addr;
	socklen_t len;
};

static void set_name(struct name *n, const char *suffix)
{
	size_t room = sizeof(n->addr.sun_path) - NAME_LEN;

	*n = (struct name){ .addr.sun_family = AF_UNIX };
	memcpy(n->addr.sun_path, NAME, NAME_LEN);
	snprintf(n->addr.sun_path + NAME_LEN, room, "%s", suffix);
	n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + NAME_LEN + strlen(suffix));
}

/* --- who holds it? --- */

static bool counts(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

struct search {
	ino_t own; /* our socket; 0: we have none */
	bool found, untold;
};

struct found {
	bool named, told;
	uid_t uid;
};

static int diag_attr(const struct nlattr *attr, void *data)
{
	struct found *f = data;
	const void *v = mnl_attr_get_payload(attr);

	if (mnl_attr_get_type(attr) == UNIX_DIAG_NAME)
		f->named = mnl_attr_get_payload_len(attr) >= NAME_LEN && !memcmp(v, NAME, NAME_LEN);
	if (mnl_attr_get_type(attr) == UNIX_DIAG_UID) {
		f->told = true;
		f->uid = mnl_attr_get_u32(attr);
	}
	return MNL_CB_OK;
}

static int diag_message(const struct nlmsghdr *nlh, void *data)
{
	const struct unix_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct search *s = data;
	struct found f = {};

	mnl_attr_parse(nlh, sizeof(*m), diag_attr, &f);
	if (!f.named || m->udiag_ino == (__u32)s->own)
		return MNL_CB_OK;
	if (f.told)
		s->found |= counts(f.uid);
	else
		s->untold = true;
	return MNL_CB_OK;
}

/*
 * Sockets that listen only: of the ones that a listener has not accepted yet the kernel says the
 * listener's name and that they are root's (sock_i_uid() of a socket without an inode).
 */
static int search(struct search *s)
{
	char buf[MNL_NLMSG_HDRLEN + 64] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = netlink_dump_request(buf, SOCK_DIAG_BY_FAMILY);
	struct unix_diag_req *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	_mnl_ struct mnl_socket *nl = NULL;
	int err = netlink_open(NETLINK_SOCK_DIAG, &nl);

	req->sdiag_family = AF_UNIX;
	req->udiag_states = 1U << TCP_LISTEN;
	req->udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_UID;
	return err ? err : netlink_dump(nl, nlh, diag_message, s);
}

/*
 * For kernels without unix_diag: who answers. A queue that is full says nothing of its owner, and
 * counts as a daemon's.
 */
static bool holder_counts(void)
{
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct name n;

	set_name(&n, "");
	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)&n.addr, n.len))
		return errno == EAGAIN;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return true;
	return counts(peer.uid);
}

/* Has somebody else than the owner of this socket (-1: than nobody) the lock? */
static bool held(int fd)
{
	struct search s = {};
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st))
		s.own = st.st_ino;
	if (!search(&s) && !s.untold)
		return s.found;
	return fd < 0 && holder_counts();
}

bool netns_locked(void)
{
	return held(-1);
}

/* --- taking it --- */

static int listen_on(const char *suffix)
{
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct name n;

	set_name(&n, suffix);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&n.addr, n.len) || listen(fd, 16))
		return -errno;
	return TAKE_FD(fd);
}

/* A name that nobody can have taken beforehand. */
static int listen_elsewhere(void)
{
	unsigned char r[8];
	char suffix[24];

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return -EAGAIN;
	snprintf(suffix, sizeof(suffix), "-%02x%02x%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2],
		 r[3], r[4], r[5], r[6], r[7]);
	return listen_on(suffix);
}

int netns_lock(void)
{
	_close_ int fd = listen_on("");

	if (fd == -EADDRINUSE) {
		/* The name alone decides nothing; who listens on it may. */
		if (held(-1))
			return -EBUSY;
		fd = listen_elsewhere();
	}
	if (fd < 0)
		return fd;
	/* Both listen before they look: of two, one at least sees the other. */
	return held(fd) ? -EBUSY : TAKE_FD(fd);
}
