// SPDX-License-Identifier: GPL-2.0-only
/* Generations: put one in force, follow the host with it. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "datapath_load.h"
#include "datapath_priv.h"
#include "log.h"
#include "pins.h"

static int by_ifindex(const void *pa, const void *pb)
{
	int a = ((const struct hook *)pa)->pub.ifindex, b = ((const struct hook *)pb)->pub.ifindex;

	return a < b ? -1 : a > b;
}

static void sort_hooks(struct datapath *dp)
{
	if (dp->n_hooks)
		qsort(dp->hooks, dp->n_hooks, sizeof(*dp->hooks), by_ifindex);
	dp->n_sorted = dp->n_hooks;
}

struct hook *find_hook(struct datapath *dp, int ifindex)
{
	struct hook key = { .pub.ifindex = ifindex }, *found = NULL;

	if (dp->n_sorted)
		found = bsearch(&key, dp->hooks, dp->n_sorted, sizeof(key), by_ifindex);
	for (size_t i = dp->n_sorted; !found && i < dp->n_hooks; i++) {
		if (dp->hooks[i].pub.ifindex == ifindex)
			found = &dp->hooks[i];
	}
	return found;
}

struct hook *new_hook(struct datapath *dp, int ifindex)
{
	struct hook *h;

	if (ARRAY_RESERVE(dp->hooks, dp->cap_hooks, dp->n_hooks + 1))
		return NULL;
	h = &dp->hooks[dp->n_hooks++];
	*h = (struct hook){ .pub.ifindex = ifindex, .link_fd = -1, .xdp_fd = -1 };
	return h;
}

/* --- open, close --- */

static int adopt_link(const char *name, void *arg)
{
	struct datapath *dp = arg;
	int err;

	/* A daemon died while it pinned this: nobody's, but it would hold the device's XDP hook. */
	if (!strncmp(name, PINS_FRESH, strlen(PINS_FRESH)))
		return pins_remove(dp->pindir, PIN_LINKS, name);
	err = tc_adopt_link(dp, name);
	return err ? err : xdp_adopt_link(dp, name);
}

int datapath_open(const char *pindir, enum attach_wish wish, struct datapath **out, char **error)
{
	struct datapath *dp = calloc(1, sizeof(*dp));
	int err = -ENOMEM;

	*error = NULL;
	if (!dp)
		return -ENOMEM;
	dp->lock_fd = -1;
	dp->kfuncs.btf_fd = -1;
	dp->hand_over = HAND_OVER_ONLY_MARK;
	output_init(&dp->output);
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
	err = pins_each(pindir, PIN_LINKS, adopt_link, dp);
	if (!err)
		err = tc_adopt_clsact(dp);
	if (err) {
		error_set(error, err, "cannot adopt what is attached: %s", strerror(-err));
		goto fail;
	}
	output_adopt(dp);
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
	generation_free(&dp->prepared);
	generation_free(&dp->running);
	for (size_t i = 0; i < dp->n_hooks; i++) {
		cleanup_close(&dp->hooks[i].link_fd);
		cleanup_close(&dp->hooks[i].xdp_fd);
	}
	for (int i = 0; i < SM_MAX; i++)
		cleanup_close(&dp->map_fd[i]);
	output_close(&dp->output);
	kfuncs_close(&dp->kfuncs);
	cleanup_close(&dp->lock_fd);
	free(dp->hooks);
	free(dp->shown);
	free(dp->pindir);
	free(dp);
}

/* --- generations --- */

int datapath_prepare(struct datapath *dp, const struct compiled *c, const struct host *host,
		     const struct forward_plan *plan, char **error)
{
	int err;

	*error = NULL;
	datapath_abort(dp);
	err = generation_load(dp, c, host, wants_xdp(plan), &dp->prepared, error);
	if (err)
		return err;
	if (dp->prepared.xdp_why[0])
		log_warn("%s; tc forwards", dp->prepared.xdp_why);
	return 0;
}

void datapath_abort(struct datapath *dp)
{
	generation_free(&dp->prepared);
}

void datapath_set_hand_over(struct datapath *dp, enum hand_over_wish wish, struct broker *broker)
{
	dp->hand_over = wish;
	dp->broker = broker;
}

enum hand_over_wish datapath_hand_over_wish(const struct datapath *dp)
{
	return dp->hand_over;
}

const struct hand_over *datapath_prepared_how(const struct datapath *dp)
{
	return &dp->prepared.how;
}

const struct hand_over *datapath_how(const struct datapath *dp)
{
	return &dp->running.how;
}

void datapath_settle(struct datapath *dp)
{
	if (dp->running.how.ingress != HAND_OVER_DIRECT)
		defer_stop(dp);
}

/* --- hooks --- */

static void drop_hook(struct datapath *dp, size_t i)
{
	xdp_detach(dp, &dp->hooks[i]);
	tc_detach(dp, &dp->hooks[i]);
	dp->hooks[i] = dp->hooks[--dp->n_hooks];
	dp->n_sorted = 0;
}

/* Nothing that could make a driver think again about XDP? */
static bool same_device(const struct host_if *a, const struct host_if *b)
{
	return a->flags == b->flags && a->type == b->type && a->master == b->master &&
	       a->parent == b->parent && a->mtu == b->mtu &&
	       !memcmp(a->mac, b->mac, sizeof(a->mac));
}

static bool same_role(const struct forward_role *a, const struct forward_role *b)
{
	return a->xdp == b->xdp && !memcmp(&a->netdev, &b->netdev, sizeof(a->netdev)) &&
	       !strcmp(a->why_in, b->why_in);
}

static void refresh_hook(struct hook *h, const struct host_if *dev)
{
	if (!same_device(&h->dev, dev))
		h->xdp_refused = false;
	h->dev = *dev;
	snprintf(h->pub.name, sizeof(h->pub.name), "%s", dev->name);
	h->ether = !tc_is_layer3(dev->type);
}

/* Devices as they are now; hooks of those that are gone are forgotten. */
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
	sort_hooks(dp);
	for (size_t i = 0; i < host->n_ifs; i++) {
		int ifindex = host->ifs[i].ifindex;

		if (!find_hook(dp, ifindex) && !new_hook(dp, ifindex))
			return -ENOMEM;
	}
	sort_hooks(dp);
	for (size_t i = 0; i < dp->n_hooks; i++)
		refresh_hook(&dp->hooks[i], host_find(host, dp->hooks[i].pub.ifindex));
	return 0;
}

/* The plan is that of the rules in force. */
static void set_roles(struct datapath *dp, const struct forward_plan *plan)
{
	static const struct forward_role none = {};

	for (size_t i = 0; i < dp->n_hooks; i++) {
		struct hook *h = &dp->hooks[i];
		const struct forward_role *role = NULL;

		if (plan->active)
			role = forward_plan_find(plan, h->pub.ifindex);
		if (!role)
			role = &none;
		if (!same_role(&h->role, role))
			h->xdp_refused = false;
		h->role = *role;
	}
}

/* A generation's maps under the names people look for. */
static int pin_generation(const struct datapath *dp)
{
	const struct bpf_object *obj = dp->running.tc.obj;
	int err = 0;

	for (size_t i = 0; !err && generation_maps[i]; i++)
		err = pins_put(dp->pindir, PIN_MAPS, generation_maps[i],
			       bpf_map__fd(load_map(obj, generation_maps[i])));
	return err ? err
		   : pins_put(dp->pindir, PIN_MAPS, "config",
			      bpf_map__fd(load_rodata_map(dp->running.tc.obj)));
}

/* The prepared programs on every tc hook, or the running ones as before. */
static int swap_tc(struct datapath *dp, char **error)
{
	size_t done;
	int err = 0;

	for (done = 0; done < dp->n_hooks; done++) {
		struct hook *h = &dp->hooks[done];

		if (h->pub.mode == ATTACH_NONE)
			continue;
		err = tc_swap(dp, h, &dp->prepared);
		if (err == -ENODEV) {
			tc_detach(dp, h); /* attached afresh later, if the device is there */
			err = 0;
		}
		if (err)
			break;
	}
	if (!err)
		return 0;
	error_set(error, err, "%s: cannot swap the program: %s", dp->hooks[done].pub.name,
		  strerror(-err));
	while (done-- > 0) {
		struct hook *h = &dp->hooks[done];

		/* Of adopted ones nobody has the program that they had. */
		if (h->pub.mode != ATTACH_NONE &&
		    (!dp->running.tc.obj || tc_swap(dp, h, &dp->running)))
			dp->torn = true;
	}
	return err;
}

/* OUTPUT first, for the reason that nft goes first in mark mode (apply.c). */
static int swap_all(struct datapath *dp, char **error)
{
	int err = output_attach_next(dp, &dp->prepared);

	if (err)
		return error_set(error, err, "netfilter's OUTPUT: cannot attach the program: %s",
				 strerror(-err));
	err = swap_tc(dp, error);
	if (err)
		output_drop_next(dp);
	return err;
}

int datapath_commit(struct datapath *dp, const struct host *host,
		    const struct name_list *interfaces, const struct forward_plan *plan,
		    char **error)
{
	int err;

	*error = NULL;
	dp->torn = false;
	err = refresh_hooks(dp, host);
	if (!err)
		err = netdevs_write(dp, &dp->prepared, plan);
	if (!err)
		err = swap_all(dp, error);
	if (err)
		return err;
	/* From here on nothing can fail that would have to be taken back. */
	err = output_take_next(dp);
	if (err)
		log_warn("what judges at OUTPUT cannot be pinned, and ends with this daemon: %s",
			 strerror(-err));
	generation_free(&dp->running);
	dp->running = dp->prepared;
	dp->prepared = (struct generation){};
	set_roles(dp, plan);
	xdp_swap_all(dp);
	tc_reach_wish(dp, host, interfaces);
	xdp_reach_wish(dp, true);
	dp->state.generation++;
	err = datapath_set_swapping(dp, false);
	if (!err)
		err = pin_generation(dp);
	if (err) {
		/* Packets are judged by the new generation all the same. */
		log_warn("cannot pin the maps of generation %u: %s", dp->state.generation,
			 strerror(-err));
	}
	return 0;
}

bool datapath_torn(const struct datapath *dp)
{
	return dp->torn;
}

static bool vlans_as_loaded(const struct datapath *dp, const struct host *host)
{
	int fd = bpf_object__find_map_fd_by_name(dp->running.tc.obj, "vlan_devices");
	size_t now = 0, loaded = 0;
	struct ctb_vlan_key key, *prev = NULL;

	for (size_t i = 0; i < host->n_ifs; i++) {
		const struct host_if *h = &host->ifs[i];
		struct ctb_vlan_key k = { (__u32)h->parent, h->vid };
		__u32 ifindex;

		if (!load_takes_vlan(host, h))
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

/* Was XDP left out of the running generation, which now could use it? */
static bool lacks_xdp(const struct datapath *dp, const struct forward_plan *plan)
{
	return wants_xdp(plan) && !dp->running.xdp && !dp->running.xdp_why[0];
}

int datapath_sync_interfaces(struct datapath *dp, const struct host *host,
			     const struct name_list *interfaces, const struct forward_plan *plan,
			     char **error)
{
	int err;

	*error = NULL;
	if (!dp->running.tc.obj || !vlans_as_loaded(dp, host) || lacks_xdp(dp, plan) ||
	    !netdevs_fit(&dp->running, host) ||
	    (has_layer3(host) && !bpf_program__autoload(dp->running.tc.ip)))
		return 1;
	err = refresh_hooks(dp, host);
	if (!err)
		err = netdevs_write(dp, &dp->running, plan);
	if (err)
		return err;
	set_roles(dp, plan);
	tc_reach_wish(dp, host, interfaces);
	xdp_reach_wish(dp, false);
	return 0;
}

__u32 datapath_generation(const struct datapath *dp)
{
	return dp->state.generation;
}
