// SPDX-License-Identifier: GPL-2.0-only
/*
 * XDP on one device. Nothing here fails a change: without XDP the device forwards in tc, and
 * `status` says why.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "attach_xdp.h"
#include "datapath_priv.h"
#include "log.h"
#include "pins.h"
#include "xdp.skel.h"

static const char *link_name(char *buf, size_t size, int ifindex)
{
	snprintf(buf, size, XDP_LINK "%d", ifindex);
	return buf;
}

int xdp_adopt_link(struct datapath *dp, const char *name)
{
	unsigned int ifindex;
	struct hook *h;
	int fd;

	if (strncmp(name, XDP_LINK, strlen(XDP_LINK)) ||
	    parse_u32(name + strlen(XDP_LINK), 1, 0x7fffffff, &ifindex))
		return 0;
	fd = pins_get(dp->pindir, PIN_LINKS, name);
	if (fd < 0)
		return fd;
	h = find_hook(dp, (int)ifindex);
	if (!h)
		h = new_hook(dp, (int)ifindex);
	if (!h) {
		close(fd);
		return -ENOMEM;
	}
	h->xdp_fd = fd;
	return 0;
}

void xdp_detach(struct datapath *dp, struct hook *h)
{
	char name[32];

	if (h->xdp_fd < 0)
		return;
	pins_remove(dp->pindir, PIN_LINKS, link_name(name, sizeof(name), h->pub.ifindex));
	bpf_link_detach(h->xdp_fd); /* at once, whoever else holds it */
	close(h->xdp_fd);
	h->xdp_fd = -1;
}

void xdp_swap_all(struct datapath *dp)
{
	int prog_fd = dp->running.xdp ? bpf_program__fd(dp->running.xdp->progs.ctb_xdp) : -1;

	for (size_t i = 0; i < dp->n_hooks; i++) {
		struct hook *h = &dp->hooks[i];

		if (h->xdp_fd < 0 || (prog_fd >= 0 && !bpf_link_update(h->xdp_fd, prog_fd, NULL)))
			continue;
		/* bpf_xdp_link_update() in net/core/dev.c: no device behind the link any more. */
		if (prog_fd >= 0 && errno != ENOLINK)
			log_warn("%s: cannot swap the XDP program: %s", h->pub.name,
				 strerror(errno));
		xdp_detach(dp, h); /* the old rules must not go on; attached afresh if it can be */
	}
}

static void attach(struct datapath *dp, struct hook *h)
{
	int prog_fd = bpf_program__fd(dp->running.xdp->progs.ctb_xdp);
	int fd = attach_xdp(h->pub.ifindex, prog_fd), err;
	char name[32];

	if (fd < 0) {
		attach_xdp_why(h->pub.ifindex, prog_fd, fd, h->xdp_why, sizeof(h->xdp_why));
		h->xdp_refused = true;
		log_info("%s: tc forwards: %s", h->pub.name, h->xdp_why);
		return;
	}
	err = pins_put(dp->pindir, PIN_LINKS, link_name(name, sizeof(name), h->pub.ifindex), fd);
	if (err) {
		snprintf(h->xdp_why, sizeof(h->xdp_why), "the XDP link cannot be pinned: %s",
			 strerror(-err));
		h->xdp_refused = true;
		close(fd);
		return;
	}
	h->xdp_fd = fd;
	h->xdp_refused = false;
}

void xdp_reach_wish(struct datapath *dp, bool again)
{
	for (size_t i = 0; i < dp->n_hooks; i++) {
		struct hook *h = &dp->hooks[i];

		/* tc judges what XDP passes up: never one without the other. */
		if (!dp->running.xdp || !h->role.xdp || h->pub.mode == ATTACH_NONE) {
			xdp_detach(dp, h);
			h->xdp_refused = false;
		} else if (h->xdp_fd < 0 && (again || !h->xdp_refused)) {
			attach(dp, h);
		}
	}
}

bool xdp_alive(const struct hook *h)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	/* 0 once the link is detached (bpf_xdp_link_fill_link_info). */
	return h->xdp_fd >= 0 &&
	       (bpf_obj_get_info_by_fd(h->xdp_fd, &info, &len) || info.xdp.ifindex);
}
