// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "attach.h"
#include "datapath_left.h"
#include "datapath_priv.h"
#include "pins.h"

/* --- open, close --- */

static int note_link(const char *name, void *arg)
{
	struct datapath_left *l = arg;

	(void)name;
	l->links = true;
	return 0;
}

/* A map of the directory with values of this size, or -errno. */
static int open_map(const struct datapath_left *l, const char *name, __u32 value_size)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	_close_ int fd = pins_get(l->pindir, PIN_MAPS, name);

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	return info.value_size == value_size ? TAKE_FD(fd) : -EINVAL;
}

static void read_state(struct datapath_left *l)
{
	_close_ int fd = open_map(l, state_map_names[SM_STATE], sizeof(l->state));
	__u32 zero = 0;

	if (fd < 0 || bpf_map_lookup_elem(fd, &zero, &l->state) ||
	    l->state.abi_version != CTB_ABI_VERSION)
		l->state = (struct ctb_state){};
}

int left_look(const char *pindir, struct datapath_left *out)
{
	int err;

	*out = (struct datapath_left){ .lock_fd = -1, .pindir = strdup(pindir) };
	if (!out->pindir)
		return -ENOMEM;
	read_state(out);
	err = pins_each(pindir, PIN_LINKS, note_link, out);
	return err == -ENOTDIR ? 0 : err;
}

int left_open(const char *pindir, struct datapath_left *out, char **error)
{
	_close_ int fd = pins_open(pindir, false);
	int err;

	if (fd == -EBUSY)
		return error_set(error, fd, "a ctbypass daemon uses %s; stop it first", pindir);
	if (fd < 0 && fd != -ENOENT && fd != -ENOTSUP && fd != -ENOTDIR)
		return error_set(error, fd, "cannot use %s: %s", pindir, strerror(-fd));
	err = left_look(pindir, out);
	if (err)
		return error_set(error, err, "cannot read %s: %s", pindir, strerror(-err));
	/* Where there is no BPF file system there are no pins. */
	out->lock_fd = fd < 0 ? -1 : TAKE_FD(fd);
	return 0;
}

void left_close(struct datapath_left *l)
{
	cleanup_close(&l->lock_fd);
	free(l->pindir);
	free(l->netdevs);
	*l = (struct datapath_left){ .lock_fd = -1 };
}

/* --- forwarding --- */

/* Map `netdevs` in memory; *size 0: there is none, or none that says anything. Or -errno. */
static int map_netdevs(const struct datapath_left *l, void **mem, size_t *size)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	_close_ int fd = l->lock_fd < 0 ? -ENOENT : pins_get(l->pindir, PIN_MAPS, "netdevs");

	*size = 0;
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	/* One element: there is no forward rule. */
	if (info.max_entries <= 1 || !(info.map_flags & BPF_F_MMAPABLE))
		return 0;
	*mem = mmap(NULL, (size_t)info.max_entries * info.value_size, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	if (*mem == MAP_FAILED)
		return -errno;
	*size = (size_t)info.max_entries * info.value_size;
	return 0;
}

int left_stop_forwarding(struct datapath_left *l)
{
	void *mem;
	size_t size;
	int err = map_netdevs(l, &mem, &size);

	if (err || !size)
		return err;
	l->netdevs = malloc(size);
	if (l->netdevs) {
		memcpy(l->netdevs, mem, size);
		l->netdevs_size = size;
		/* A device of which nothing is known does not forward (struct ctb_netdev). */
		memset(mem, 0, size);
	}
	munmap(mem, size);
	return l->netdevs ? 0 : -ENOMEM;
}

void left_forward_again(struct datapath_left *l)
{
	void *mem;
	size_t size;

	if (!l->netdevs || map_netdevs(l, &mem, &size) || !size)
		return;
	if (size == l->netdevs_size)
		memcpy(mem, l->netdevs, size);
	munmap(mem, size);
	free(l->netdevs);
	l->netdevs = NULL;
}

/* --- detaching --- */

struct detaching {
	struct datapath_left *l;
	const char *prefix; /* of names of links; NULL: all */
	int err;	    /* the first, with its words in error */
	char **error;
};

static void note_failure(struct detaching *d, int err, const char *what)
{
	if (!d->err)
		d->err = error_set(d->error, err, "%s: cannot be taken off: %s", what,
				   strerror(-err));
}

/*
 * By detaching, at once, whoever else holds it; and by taking away the pin, which is all that holds
 * it without a daemon. Either will do.
 */
static int detach_link(const char *name, void *arg)
{
	struct detaching *d = arg;
	const char *what = name;
	int fd, err, unpinned;

	if (!strncmp(what, PINS_FRESH, strlen(PINS_FRESH)))
		what += strlen(PINS_FRESH); /* a daemon died while it pinned it */
	if (d->prefix && strncmp(what, d->prefix, strlen(d->prefix)))
		return 0;
	fd = pins_get(d->l->pindir, PIN_LINKS, name);
	err = fd < 0 ? fd : 0;
	if (!err && bpf_link_detach(fd))
		err = -errno;
	unpinned = pins_remove(d->l->pindir, PIN_LINKS, name);
	if (fd >= 0)
		close(fd);
	if (err && unpinned)
		note_failure(d, err, what);
	return 0;
}

static void detach_links(struct detaching *d, const char *prefix)
{
	int err;

	d->prefix = prefix;
	err = pins_each(d->l->pindir, PIN_LINKS, detach_link, d);
	if (err)
		note_failure(d, err, d->l->pindir);
}

/* Did we make the qdisc? Of a map of another layout nobody knows, and it stays. */
static bool made_qdisc(int clsact_fd, __u32 ifindex)
{
	struct ctb_clsact c;

	return clsact_fd >= 0 && !bpf_map_lookup_elem(clsact_fd, &ifindex, &c) && c.created;
}

static void detach_filters(struct detaching *d, const struct host *host)
{
	_close_ int fd = d->l->lock_fd < 0 ? -1
					   : open_map(d->l, state_map_names[SM_CLSACT],
						      sizeof(struct ctb_clsact));

	for (size_t i = 0; i < host->n_ifs; i++) {
		int ifindex = host->ifs[i].ifindex, err;
		bool made = made_qdisc(fd, (__u32)ifindex);

		if (!made && !has_clsact(ifindex))
			continue;
		err = detach_clsact(ifindex, made);
		if (err)
			err = detach_clsact(ifindex, made); /* an answer may have been lost */
		if (err)
			note_failure(d, err, host->ifs[i].name);
	}
}

int left_detach(struct datapath_left *l, const struct host *host, char **error)
{
	struct detaching d = { .l = l, .error = error };

	if (l->lock_fd >= 0) {
		detach_links(&d, OUT_LINK);
		detach_links(&d, XDP_LINK);
		detach_links(&d, NULL);
	}
	detach_filters(&d, host);
	if (l->state.untrack_defer)
		defer_reset();
	return d.err;
}

int left_mend(struct datapath_left *l)
{
	_close_ int fd = -1;
	__u32 zero = 0;

	l->state.swapping = 0;
	l->state.untrack_defer = 0;
	fd = open_map(l, state_map_names[SM_STATE], sizeof(l->state));
	if (fd < 0)
		return fd;
	return bpf_map_update_elem(fd, &zero, &l->state, BPF_ANY) ? -errno : 0;
}

int left_clear(struct datapath_left *l)
{
	return l->lock_fd < 0 ? 0 : pins_clear(l->pindir);
}

/* --- whose programs? --- */

#define HOOK_MAX 64 /* BPF_MPROG_MAX, include/linux/bpf_mprog.h */

/* As left_attached(), of one program. */
static int is_ours(__u32 id)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	_close_ int fd = bpf_prog_get_fd_by_id(id);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	return !strncmp(info.name, PROG_TC, strlen(PROG_TC));
}

static int on_tcx(int ifindex)
{
	__u32 ids[HOOK_MAX], n = HOOK_MAX;
	int ret = 0;

	/* Before 6.6: EINVAL. */
	if (bpf_prog_query(ifindex, TCX_INGRESS, 0, NULL, ids, &n))
		return errno == EINVAL || errno == ENODEV || errno == ENOENT ? 0 : -errno;
	for (__u32 i = 0; i < n && ret != 1; i++) {
		int one = is_ours(ids[i]);

		ret = one ? one : ret;
	}
	return ret;
}

int left_attached(const struct host *host, char out[IFNAMSIZ])
{
	int ret = 0;

	for (size_t i = 0; i < host->n_ifs && ret != 1; i++) {
		int one = has_clsact(host->ifs[i].ifindex) ? 1 : on_tcx(host->ifs[i].ifindex);

		if (!one)
			continue;
		ret = one;
		snprintf(out, IFNAMSIZ, "%s", host->ifs[i].name);
	}
	return ret;
}
