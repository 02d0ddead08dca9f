// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <string.h>

#include "attach.h"
#include "datapath_load.h"
#include "datapath_priv.h"
#include "log.h"
#include "pins.h"
#include "tc.skel.h"

#define LINKS	    "links"
#define MAPS	    "maps"
#define LINK_PREFIX "tc_"

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
	snprintf(buf, size, LINK_PREFIX "%d", ifindex);
	return buf;
}

static struct hook *find_hook(struct datapath *dp, int ifindex)
{
	for (size_t i = 0; i < dp->n_hooks; i++) {
		if (dp->hooks[i].pub.ifindex == ifindex)
			return &dp->hooks[i];
	}
	return NULL;
}

static struct hook *new_hook(struct datapath *dp, int ifindex)
{
	struct hook *h;

	if (ARRAY_RESERVE(dp->hooks, dp->cap_hooks, dp->n_hooks + 1))
		return NULL;
	h = &dp->hooks[dp->n_hooks++];
	*h = (struct hook){ .pub.ifindex = ifindex, .link_fd = -1 };
	return h;
}

/* --- open, close --- */

static int adopt_link(const char *name, void *arg)
{
	struct datapath *dp = arg;
	unsigned int ifindex;
	struct hook *h;
	int fd;

	if (strncmp(name, LINK_PREFIX, strlen(LINK_PREFIX)) ||
	    parse_u32(name + strlen(LINK_PREFIX), 1, 0x7fffffff, &ifindex))
		return 0;
	fd = pins_get(dp->pindir, LINKS, name);
	if (fd < 0)
		return fd;
	h = new_hook(dp, (int)ifindex);
	if (!h) {
		close(fd);
		return -ENOMEM;
	}
	h->link_fd = fd;
	h->pub.mode = ATTACH_TCX;
	set_why(h, "adopted from the previous daemon");
	return 0;
}

static int adopt_clsact(struct datapath *dp)
{
	int fd = dp->map_fd[SM_CLSACT];
	__u32 key, *prev = NULL;

	while (!bpf_map_get_next_key(fd, prev, &key)) {
		struct ctb_clsact c;
		struct hook *h = new_hook(dp, (int)key);

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

int datapath_open(const char *pindir, enum attach_wish wish, struct datapath **out, char **error)
{
	struct datapath *dp = calloc(1, sizeof(*dp));
	int err = -ENOMEM;

	*error = NULL;
	if (!dp)
		return -ENOMEM;
	dp->lock_fd = -1;
	for (int i = 0; i < SM_MAX; i++)
		dp->map_fd[i] = -1;
	dp->wish = wish;
	dp->pindir = strdup(pindir);
	if (!dp->pindir)
		goto fail;
	dp->lock_fd = pins_open(pindir, true);
	err = dp->lock_fd;
	if (err == -EBUSY)
		error_set(error, err, "another ctbypass daemon uses %s", pindir);
	else if (err == -ENOTSUP)
		error_set(error, err,
			  "%s is not on a BPF file system (mount -t bpf bpf /sys/fs/bpf)", pindir);
	else if (err < 0)
		error_set(error, err, "cannot use %s: %s", pindir, strerror(-err));
	if (err < 0)
		goto fail;
	err = state_open(dp, error);
	if (err)
		goto fail;
	err = pins_each(pindir, LINKS, adopt_link, dp);
	if (!err)
		err = adopt_clsact(dp);
	if (err) {
		error_set(error, err, "cannot adopt what is attached: %s", strerror(-err));
		goto fail;
	}
	*out = dp;
	return 0;
fail:
	datapath_close(dp);
	return err;
}

void datapath_close(struct datapath *dp)
{
	if (!dp)
		return;
	tc_bpf__destroy(dp->prepared);
	tc_bpf__destroy(dp->running);
	for (size_t i = 0; i < dp->n_hooks; i++) {
		if (dp->hooks[i].link_fd >= 0)
			close(dp->hooks[i].link_fd);
	}
	for (int i = 0; i < SM_MAX; i++) {
		if (dp->map_fd[i] >= 0)
			close(dp->map_fd[i]);
	}
	if (dp->lock_fd >= 0)
		close(dp->lock_fd);
	free(dp->hooks);
	free(dp->shown);
	free(dp->pindir);
	free(dp);
}

/* --- generations --- */

/* Not in glibc's header; include/uapi/linux/if_arp.h. */
#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif

/* Devices whose packets start with an IP header at tc ingress. */
static bool is_layer3(unsigned short type)
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

/* The second program costs as much to verify as the first: it is loaded only where it is needed. */
static bool has_layer3(const struct host *host)
{
	for (size_t i = 0; i < host->n_ifs; i++) {
		if (is_layer3(host->ifs[i].type))
			return true;
	}
	return false;
}

static int reuse_counters(struct tc_bpf *skel, const struct datapath *dp)
{
	int err = bpf_map__reuse_fd(skel->maps.rules, dp->map_fd[SM_RULES]);

	return err ? err : bpf_map__reuse_fd(skel->maps.reasons, dp->map_fd[SM_REASONS]);
}

/* dp may be NULL (`check`): then the object gets counters of its own. */
static int load(const struct datapath *dp, const struct compiled *c, const struct host *host,
		__u32 generation, struct tc_bpf **out, char **error)
{
	struct tc_bpf *skel = tc_bpf__open();
	int err;

	if (!skel) {
		err = -errno;
		return error_set(error, err, "cannot open the embedded BPF object: %s",
				 strerror(-err));
	}
	err = load_configure(skel->obj, c, host, generation);
	if (!err && dp)
		err = bpf_program__set_autoload(skel->progs.ctb_tc_ip, has_layer3(host));
	if (!err && dp)
		err = reuse_counters(skel, dp);
	if (err) {
		error_set(error, err, "cannot size the BPF maps: %s", strerror(-err));
		goto fail;
	}
	err = tc_bpf__load(skel);
	if (err) {
		error_set(error, err, "the kernel refused the BPF programs: %s%s", strerror(-err),
			  err == -EPERM ? " (root or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON needed)"
					: "");
		goto fail;
	}
	err = load_tables(skel->obj, c, host);
	if (err) {
		error_set(error, err, "cannot fill the BPF maps: %s", strerror(-err));
		goto fail;
	}
	*out = skel;
	return 0;
fail:
	tc_bpf__destroy(skel);
	return err;
}

int datapath_verify(const struct compiled *c, const struct host *host, char **error)
{
	struct tc_bpf *skel;
	int err;

	*error = NULL;
	err = load(NULL, c, host, 0, &skel, error);
	if (!err)
		tc_bpf__destroy(skel);
	return err;
}

int datapath_prepare(struct datapath *dp, const struct compiled *c, const struct host *host,
		     char **error)
{
	*error = NULL;
	datapath_abort(dp);
	return load(dp, c, host, dp->state.generation + 1, &dp->prepared, error);
}

void datapath_abort(struct datapath *dp)
{
	tc_bpf__destroy(dp->prepared);
	dp->prepared = NULL;
}

static int program_fd(const struct tc_bpf *skel, const struct hook *h)
{
	return bpf_program__fd(h->ether ? skel->progs.ctb_tc_ether : skel->progs.ctb_tc_ip);
}

/* --- hooks --- */

bool datapath_wants(const struct host_if *h, const struct host *host, const struct name_list *names,
		    char *why, size_t size)
{
	const struct host_if *master = h->master ? host_find(host, h->master) : NULL;

	if (h->flags & IFF_LOOPBACK) {
		snprintf(why, size, "loopback: judged at OUTPUT");
		return false;
	}
	if (names->n && !name_list_has(names, h->name)) {
		snprintf(why, size, "not named by any interface statement");
		return false;
	}
	/* A VRF's packets pass tc on their own device only (drivers/net/vrf.c has no rx handler).
	 */
	if (master && strcmp(master->kind, "vrf") &&
	    (!names->n || name_list_has(names, master->name))) {
		snprintf(why, size, "enslaved to %s, which judges its packets", master->name);
		return false;
	}
	if (h->type != ARPHRD_ETHER && !is_layer3(h->type)) {
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
			err = pins_put(dp->pindir, LINKS,
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

/* Take our program off the device and forget the pins. */
static void detach_hook(struct datapath *dp, struct hook *h)
{
	__u32 key = (__u32)h->pub.ifindex;
	char name[32];

	if (h->pub.mode == ATTACH_TCX) {
		pins_remove(dp->pindir, LINKS, link_name(name, sizeof(name), h->pub.ifindex));
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

/*
 * Put another program in place of ours. -ENODEV: the attachment is dead, since its device is gone
 * or since somebody detached it.
 */
static int swap_hook(struct datapath *dp, struct hook *h, int prog_fd)
{
	int err;

	if (h->pub.mode == ATTACH_CLSACT)
		return attach_clsact_hook(dp, h, prog_fd); /* made again if it was removed */
	err = bpf_link_update(h->link_fd, prog_fd, NULL) ? -errno : 0;
	/* tcx_link_update() in kernel/bpf/tcx.c: no device behind the link any more. */
	return err == -ENOLINK ? -ENODEV : err;
}

/* Is our program still where we put it? Others may detach a link or delete a filter. */
static bool hook_alive(const struct hook *h)
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

static void drop_hook(struct datapath *dp, size_t i)
{
	detach_hook(dp, &dp->hooks[i]);
	dp->hooks[i] = dp->hooks[--dp->n_hooks];
}

/* Names and link layers as they are now; hooks of devices that are gone are forgotten. */
static int refresh_hooks(struct datapath *dp, const struct host *host)
{
	for (size_t i = 0; i < dp->n_hooks;) {
		const struct host_if *h = host_find(host, dp->hooks[i].pub.ifindex);

		if (!h) {
			drop_hook(dp, i);
			continue;
		}
		i++;
	}
	for (size_t i = 0; i < host->n_ifs; i++) {
		const struct host_if *h = &host->ifs[i];
		struct hook *hook = find_hook(dp, h->ifindex);

		if (!hook)
			hook = new_hook(dp, h->ifindex);
		if (!hook)
			return -ENOMEM;
		snprintf(hook->pub.name, sizeof(hook->pub.name), "%s", h->name);
		hook->ether = !is_layer3(h->type);
	}
	return 0;
}

/* An adopted attachment that is not of the kind asked for: the new one is there before the old
 * goes. */
static void change_mode(struct datapath *dp, struct hook *h)
{
	struct hook old = *h;

	h->pub.mode = ATTACH_NONE;
	h->link_fd = -1;
	h->created = false;
	attach_hook(dp, h, program_fd(dp->running, h));
	if (h->pub.mode == ATTACH_NONE) {
		memcpy(old.pub.why, h->pub.why, sizeof(old.pub.why));
		*h = old;
	} else {
		detach_hook(dp, &old);
	}
}

static bool other_mode_asked(const struct datapath *dp, const struct hook *h)
{
	return (dp->wish == ATTACH_ONLY_TCX && h->pub.mode == ATTACH_CLSACT) ||
	       (dp->wish == ATTACH_ONLY_CLSACT && h->pub.mode == ATTACH_TCX);
}

/* Attach where it is wanted and not yet done, detach where it is not wanted. */
static void reach_wish(struct datapath *dp, const struct host *host, const struct name_list *names)
{
	for (size_t i = 0; i < dp->n_hooks; i++) {
		struct hook *h = &dp->hooks[i];
		const struct host_if *dev = host_find(host, h->pub.ifindex);
		char why[sizeof(h->pub.why)];

		if (!datapath_wants(dev, host, names, why, sizeof(why))) {
			detach_hook(dp, h);
			h->pub.failed = false;
			memcpy(h->pub.why, why, sizeof(why));
		} else if (h->pub.mode == ATTACH_NONE) {
			attach_hook(dp, h, program_fd(dp->running, h));
		} else if (other_mode_asked(dp, h)) {
			change_mode(dp, h);
		}
	}
}

/* A generation's maps under the names people look for. */
static int pin_generation(const struct datapath *dp, const struct tc_bpf *skel)
{
	struct bpf_map *config = load_rodata_map(skel->obj);
	int err = 0;

	for (size_t i = 0; !err && generation_maps[i]; i++)
		err = pins_put(dp->pindir, MAPS, generation_maps[i],
			       bpf_object__find_map_fd_by_name(skel->obj, generation_maps[i]));
	return err ? err : pins_put(dp->pindir, MAPS, "config", bpf_map__fd(config));
}

int datapath_commit(struct datapath *dp, const struct host *host,
		    const struct name_list *interfaces, char **error)
{
	struct tc_bpf *fresh = dp->prepared;
	size_t done;
	int err;

	*error = NULL;
	err = refresh_hooks(dp, host);
	if (err)
		return err;
	for (done = 0; done < dp->n_hooks; done++) {
		struct hook *h = &dp->hooks[done];

		if (h->pub.mode == ATTACH_NONE)
			continue;
		err = swap_hook(dp, h, program_fd(fresh, h));
		if (err == -ENODEV) {
			detach_hook(dp, h); /* attached afresh below, if the device is there */
			err = 0;
		}
		if (err)
			break;
	}
	if (err) {
		error_set(error, err, "%s: cannot swap the program: %s", dp->hooks[done].pub.name,
			  strerror(-err));
		/* Adopted links without a program of ours to go back to stay as they are. */
		while (done-- > 0 && dp->running) {
			struct hook *h = &dp->hooks[done];

			if (h->pub.mode != ATTACH_NONE)
				swap_hook(dp, h, program_fd(dp->running, h));
		}
		return err;
	}
	tc_bpf__destroy(dp->running);
	dp->running = fresh;
	dp->prepared = NULL;
	reach_wish(dp, host, interfaces);
	dp->state.generation++;
	err = state_save(dp);
	if (!err)
		err = pin_generation(dp, dp->running);
	if (err) {
		/* Packets are judged by the new generation all the same. */
		log_warn("cannot pin the maps of generation %u: %s", dp->state.generation,
			 strerror(-err));
	}
	return 0;
}

static bool vlans_as_loaded(const struct datapath *dp, const struct host *host)
{
	int fd = bpf_map__fd(dp->running->maps.vlan_devices);
	size_t now = 0, loaded = 0;
	struct ctb_vlan_key key, *prev = NULL;

	for (size_t i = 0; i < host->n_ifs; i++) {
		const struct host_if *h = &host->ifs[i];
		struct ctb_vlan_key k = { (__u32)h->parent, h->vid };
		__u32 ifindex;

		if (!h->vid || !h->parent)
			continue;
		now++;
		if (bpf_map_lookup_elem(fd, &k, &ifindex) || ifindex != (__u32)h->ifindex)
			return false;
	}
	while (!bpf_map_get_next_key(fd, prev, &key)) {
		loaded++;
		prev = &key;
	}
	return now == loaded;
}

int datapath_sync_interfaces(struct datapath *dp, const struct host *host,
			     const struct name_list *interfaces, char **error)
{
	int err;

	*error = NULL;
	if (!dp->running || !vlans_as_loaded(dp, host) ||
	    (has_layer3(host) && !bpf_program__autoload(dp->running->progs.ctb_tc_ip)))
		return 1;
	err = refresh_hooks(dp, host);
	if (!err)
		reach_wish(dp, host, interfaces);
	return err;
}

const struct attachment *datapath_attachments(const struct datapath *cdp, size_t *n)
{
	struct datapath *dp = (struct datapath *)cdp;

	*n = 0;
	if (ARRAY_RESERVE(dp->shown, dp->cap_shown, dp->n_hooks + 1))
		return NULL;
	for (size_t i = 0; i < dp->n_hooks; i++) {
		struct hook *h = &dp->hooks[i];

		dp->shown[i] = h->pub;
		if (h->pub.mode == ATTACH_NONE || hook_alive(h))
			continue;
		dp->shown[i].mode = ATTACH_NONE;
		dp->shown[i].failed = true;
		snprintf(dp->shown[i].why, sizeof(dp->shown[i].why),
			 "our %s was removed by somebody; `ctbypass reload` puts it back",
			 h->pub.mode == ATTACH_TCX ? "tcx link" : "clsact filter");
	}
	*n = dp->n_hooks;
	return dp->shown;
}

__u32 datapath_generation(const struct datapath *dp)
{
	return dp->state.generation;
}

int datapath_unload(const char *pindir, char **error)
{
	struct datapath *dp = NULL;
	int probe = pins_open(pindir, false);
	int err;

	*error = NULL;
	if (probe == -ENOENT)
		return 0;
	if (probe == -EBUSY)
		return error_set(error, probe, "a ctbypass daemon uses %s; stop it first", pindir);
	if (probe < 0)
		return error_set(error, probe, "cannot use %s: %s", pindir, strerror(-probe));
	close(probe);
	err = datapath_open(pindir, ATTACH_AUTO, &dp, error);
	if (err)
		return err;
	while (dp->n_hooks)
		drop_hook(dp, dp->n_hooks - 1);
	err = pins_clear(pindir);
	if (err)
		error_set(error, err, "cannot clear %s: %s", pindir, strerror(-err));
	datapath_close(dp);
	return err;
}
