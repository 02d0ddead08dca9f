// SPDX-License-Identifier: GPL-2.0-only
/* tc ingress of one device: which of the two ways to attach, and what becomes of it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <string.h>

#include "attach.h"
#include "datapath_priv.h"
#include "log.h"
#include "pins.h"

const char *attach_mode_name(enum attach_mode m)
{
	switch (m) {
	case ATTACH_TCX:
		return "tcx";
	case ATTACH_CLSACT:
		return "clsact";
	case ATTACH_NONE:
		break;
	}
	return "none";
}

static _printf_(2, 3) void set_why(struct hook *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h->pub.why, sizeof(h->pub.why), fmt, ap);
	va_end(ap);
}

static const char *link_name(char *buf, size_t size, int ifindex)
{
	snprintf(buf, size, TC_LINK "%d", ifindex);
	return buf;
}

/* Not in glibc's header; include/uapi/linux/if_arp.h. */
#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif

bool tc_is_layer3(unsigned short type)
{
	switch (type) {
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
	case ARPHRD_PPP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		return true;
	}
	return false;
}

static int program_fd(const struct generation *g, const struct hook *h)
{
	return bpf_program__fd(h->ether ? g->tc.ether : g->tc.ip);
}

/* A daemon that died while it changed the mode left both: then there are two of this device. */
static struct hook *vacant_hook(struct datapath *dp, int ifindex)
{
	struct hook *h = find_hook(dp, ifindex);

	return h && h->pub.mode == ATTACH_NONE ? h : new_hook(dp, ifindex);
}

int tc_adopt_link(struct datapath *dp, const char *name)
{
	unsigned int ifindex;
	struct hook *h;
	int fd;

	if (strncmp(name, TC_LINK, strlen(TC_LINK)) ||
	    parse_u32(name + strlen(TC_LINK), 1, 0x7fffffff, &ifindex))
		return 0;
	fd = pins_get(dp->pindir, PIN_LINKS, name);
	if (fd < 0)
		return fd;
	h = vacant_hook(dp, (int)ifindex);
	if (!h) {
		close(fd);
		return -ENOMEM;
	}
	h->link_fd = fd;
	h->pub.mode = ATTACH_TCX;
	set_why(h, "adopted from the previous daemon");
	return 0;
}

int tc_adopt_clsact(struct datapath *dp)
{
	int fd = dp->map_fd[SM_CLSACT];
	__u32 key, *prev = NULL;

	while (!bpf_map_get_next_key(fd, prev, &key)) {
		struct ctb_clsact c;
		struct hook *h = vacant_hook(dp, (int)key);

		if (!h)
			return -ENOMEM;
		if (!bpf_map_lookup_elem(fd, &key, &c))
			h->created = c.created;
		h->pub.mode = ATTACH_CLSACT;
		set_why(h, "adopted from the previous daemon");
		prev = &key;
	}
	return 0;
}

bool datapath_wants(const struct host_if *h, const struct host *host, const struct name_list *names,
		    char *why, size_t size)
{
	const struct host_if *master = h->master ? host_find(host, h->master) : NULL;
	bool in_vrf = master && master->vrf_table;
	bool master_named = master && name_list_has(names, master->name);

	if (h->flags & IFF_LOOPBACK) {
		snprintf(why, size, "loopback: judged at OUTPUT");
		return false;
	}
	/*
	 * drivers/net/vrf.c has no rx handler: what a VRF's devices receive passes tc on those
	 * alone. The VRF itself receives what this host sends to its own addresses there.
	 */
	if (h->vrf_table) {
		snprintf(why, size, "VRF: judged on the devices in it, and at OUTPUT");
		return false;
	}
	if (names->n && !name_list_has(names, h->name) && !(in_vrf && master_named)) {
		snprintf(why, size, "not named by any interface statement");
		return false;
	}
	if (master && !in_vrf && (!names->n || master_named)) {
		snprintf(why, size, "enslaved to %s, which judges its packets", master->name);
		return false;
	}
	if (h->type != ARPHRD_ETHER && !tc_is_layer3(h->type)) {
		snprintf(why, size, "link layer %u is neither Ethernet nor bare IP", h->type);
		return false;
	}
	return true;
}

static int remember_clsact(struct datapath *dp, const struct hook *h)
{
	struct ctb_clsact c = { .created = h->created };
	__u32 key = (__u32)h->pub.ifindex;

	return bpf_map_update_elem(dp->map_fd[SM_CLSACT], &key, &c, BPF_ANY) ? -errno : 0;
}

static int attach_clsact_hook(struct datapath *dp, struct hook *h, int prog_fd)
{
	int err = attach_clsact(h->pub.ifindex, prog_fd, &h->created);

	if (err)
		return err;
	h->pub.mode = ATTACH_CLSACT;
	return remember_clsact(dp, h);
}

static void attach_hook(struct datapath *dp, struct hook *h, int prog_fd)
{
	char name[32];
	int fd = -EOPNOTSUPP, err;

	h->pub.failed = false;
	if (dp->wish != ATTACH_ONLY_CLSACT) {
		fd = attach_tcx(h->pub.ifindex, prog_fd);
		if (fd >= 0) {
			err = pins_put(dp->pindir, PIN_LINKS,
				       link_name(name, sizeof(name), h->pub.ifindex), fd);
			if (!err) {
				h->link_fd = fd;
				h->pub.mode = ATTACH_TCX;
				set_why(h, "tcx link, first on the hook%s",
					dp->wish == ATTACH_ONLY_TCX ? " (asked for)" : "");
				return;
			}
			close(fd);
			fd = err;
		}
	}
	if (dp->wish == ATTACH_ONLY_TCX || fd == -ENODEV) {
		h->pub.failed = fd != -ENODEV;
		set_why(h, "tcx refused: %s", strerror(-fd));
		return;
	}
	err = attach_clsact_hook(dp, h, prog_fd);
	if (err) {
		h->pub.failed = err != -ENODEV;
		set_why(h, "tcx: %s; clsact: %s", strerror(-fd), strerror(-err));
	} else if (dp->wish == ATTACH_ONLY_CLSACT) {
		set_why(h, "clsact filter (asked for)");
	} else {
		set_why(h, "clsact filter: this kernel has no tcx (%s)", strerror(-fd));
	}
}

void tc_detach(struct datapath *dp, struct hook *h)
{
	__u32 key = (__u32)h->pub.ifindex;
	char name[32];

	if (h->pub.mode == ATTACH_TCX) {
		pins_remove(dp->pindir, PIN_LINKS, link_name(name, sizeof(name), h->pub.ifindex));
		if (h->link_fd >= 0) {
			bpf_link_detach(h->link_fd); /* at once, whoever else holds it */
			close(h->link_fd);
			h->link_fd = -1;
		}
	} else if (h->pub.mode == ATTACH_CLSACT) {
		int err = detach_clsact(h->pub.ifindex, h->created);

		if (err)
			log_warn("%s: cannot remove the clsact filter: %s", h->pub.name,
				 strerror(-err));
		bpf_map_delete_elem(dp->map_fd[SM_CLSACT], &key);
		h->created = false;
	}
	h->pub.mode = ATTACH_NONE;
}

int tc_swap(struct datapath *dp, struct hook *h, const struct generation *g)
{
	int prog_fd = program_fd(g, h), err;

	if (h->pub.mode == ATTACH_CLSACT)
		return attach_clsact_hook(dp, h, prog_fd); /* made again if it was removed */
	err = bpf_link_update(h->link_fd, prog_fd, NULL) ? -errno : 0;
	/* tcx_link_update() in kernel/bpf/tcx.c: no device behind the link any more. */
	return err == -ENOLINK ? -ENODEV : err;
}

bool tc_alive(const struct hook *h)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (h->pub.mode == ATTACH_CLSACT)
		return has_clsact(h->pub.ifindex);
	/*
	 * Debian 12's header has no tcx member; its ifindex is where xdp's is, the first of the
	 * union (include/uapi/linux/bpf.h), and 0 once the link is detached (tcx_link_fill_info).
	 */
	return bpf_obj_get_info_by_fd(h->link_fd, &info, &len) || info.xdp.ifindex;
}

/* An adopted attachment that is not of the kind asked for: the new one is there before the old
 * goes. */
static void change_mode(struct datapath *dp, struct hook *h)
{
	struct hook old = *h;

	h->pub.mode = ATTACH_NONE;
	h->link_fd = -1;
	h->created = false;
	attach_hook(dp, h, program_fd(&dp->running, h));
	if (h->pub.mode == ATTACH_NONE) {
		memcpy(old.pub.why, h->pub.why, sizeof(old.pub.why));
		*h = old;
	} else {
		tc_detach(dp, &old);
	}
}

static bool other_mode_asked(const struct datapath *dp, const struct hook *h)
{
	return (dp->wish == ATTACH_ONLY_TCX && h->pub.mode == ATTACH_CLSACT) ||
	       (dp->wish == ATTACH_ONLY_CLSACT && h->pub.mode == ATTACH_TCX);
}

void tc_reach_wish(struct datapath *dp, const struct host *host, const struct name_list *names)
{
	for (size_t i = 0; i < dp->n_hooks; i++) {
		struct hook *h = &dp->hooks[i];
		const struct host_if *dev = host_find(host, h->pub.ifindex);
		char why[sizeof(h->pub.why)];

		if (!datapath_wants(dev, host, names, why, sizeof(why))) {
			tc_detach(dp, h);
			h->pub.failed = false;
			memcpy(h->pub.why, why, sizeof(why));
		} else if (h->pub.mode == ATTACH_NONE) {
			attach_hook(dp, h, program_fd(&dp->running, h));
		} else if (other_mode_asked(dp, h)) {
			change_mode(dp, h);
		}
	}
}
