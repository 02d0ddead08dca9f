/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The BPF side of a data plane that some daemon left, as seen by whoever takes it away. Unlike
 * datapath_open() this adopts nothing and makes nothing: it works on pins of any build, complete or
 * not, one descriptor at a time.
 */
#ifndef CTBYPASS_DATAPATH_LEFT_H
#define CTBYPASS_DATAPATH_LEFT_H

#include "ctbypass/abi.h"
#include "host.h"

struct datapath_left {
	char *pindir;
	int lock_fd; /* -1: there are no pins */
	/* Of map `state`, if it is there and of this build's layout; else all zero. */
	struct ctb_state state;
	bool links; /* something is attached by a pinned link */
	/* Map `netdevs` as it was, while forwarding is stopped; else NULL. */
	void *netdevs;
	size_t netdevs_size;
};

/* What there is, without a lock. 0 or -errno. left_close() in any case. */
int left_look(const char *pindir, struct datapath_left *out);
/*
 * Likewise, with the lock of the pins, if there are any; left_close() ends it. -EBUSY: a daemon has
 * them.
 */
int left_open(const char *pindir, struct datapath_left *out, char **error);
void left_close(struct datapath_left *l);

/*
 * From here on what `forward` rules fit goes up to the kernel, UNTRACKED by the mark or by the
 * module as under `notrack`, on all devices; and as before again. 0 or -errno: as before.
 */
int left_stop_forwarding(struct datapath_left *l);
void left_forward_again(struct datapath_left *l);

/*
 * Take our programs off OUTPUT first, then off the devices: by the pins, and clsact filters of ours
 * wherever they are. Goes on when something fails. 0, or the first -errno with *error: the rest is
 * done.
 */
int left_detach(struct datapath_left *l, const struct host *host, char **error);
/* No swap is under way any more (ctb_state.swapping). */
int left_mend(struct datapath_left *l);
/* Remove pins and their directories. 0 or the first -errno. */
int left_clear(struct datapath_left *l);

/*
 * Programs of ours on some device here, whoever pinned them: its name in out. 1: there are, 0:
 * there are none, -EPERM: there are programs of which nobody without CAP_SYS_ADMIN may know
 * whose they are, or another -errno.
 */
int left_attached(const struct host *host, char out[IFNAMSIZ]);

#endif
