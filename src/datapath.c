// SPDX-License-Identifier: GPL-2.0-only
/* Generations: load one, put it in force, follow the host with it. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "datapath_load.h"
#include "datapath_priv.h"
#include "log.h"
#include "pins.h"
#include "static_functions.h"
#include "tc.skel.h"
#include "xdp.skel.h"

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
	*out = dp;
	return 0;
fail:
	datapath_close(dp);
	return err;
}

static void generation_free(struct generation *g)
{
	netdevs_close(g);
	xdp_bpf__destroy(g->xdp);
	tc_bpf__destroy(g->tc);
	*g = (struct generation){};
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
	cleanup_close(&dp->lock_fd);
	free(dp->hooks);
	free(dp->shown);
	free(dp->pindir);
	free(dp);
}

/* --- generations --- */

/* The second program costs as much to verify as the first: it is loaded only where it is needed. */
static bool has_layer3(const struct host *host)
{
	for (size_t i = 0; i < host->n_ifs; i++) {
		if (tc_is_layer3(host->ifs[i].type))
			return true;
	}
	return false;
}

static bool wants_xdp(const struct forward_plan *plan)
{
	for (size_t i = 0; plan->active && i < plan->n_roles; i++) {
		if (plan->roles[i].xdp)
			return true;
	}
	return false;
}

static int reuse_counters(struct tc_bpf *skel, const struct datapath *dp)
{
	int err = bpf_map__reuse_fd(skel->maps.rules, dp->map_fd[SM_RULES]);

	if (!err)
		err = bpf_map__reuse_fd(skel->maps.reasons, dp->map_fd[SM_REASONS]);
	return err ? err : bpf_map__reuse_fd(skel->maps.fallbacks, dp->map_fd[SM_FALLBACKS]);
}

/* Could the verifier's refusal be one of global functions, since the kernel has no BTF? */
static bool refused_by_verifier(int err)
{
	return err == -EACCES || err == -EINVAL;
}

/*
 * dp may be NULL (`check`): then the object gets counters of its own. statics: for a kernel without
 * BTF.
 */
static int load_tc_as(const struct datapath *dp, const struct compiled *c, const struct host *host,
		      __u32 number, bool statics, struct tc_bpf **out, char **error)
{
	struct tc_bpf *skel = tc_bpf__open();
	int err;

	if (!skel) {
		err = -errno;
		return error_set(error, err, "cannot open the embedded BPF object: %s",
				 strerror(-err));
	}
	if (statics)
		make_functions_static(skel->obj);
	err = load_configure(skel->obj, c, host, number);
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

static int load_tc(const struct datapath *dp, const struct compiled *c, const struct host *host,
		   __u32 number, struct tc_bpf **out, char **error)
{
	_free_ char *again = NULL;
	int err = load_tc_as(dp, c, host, number, false, out, error);

	if (refused_by_verifier(err) && !load_tc_as(dp, c, host, number, true, out, &again)) {
		free(TAKE_PTR(*error));
		err = 0;
	}
	return err;
}

/* Every map that both objects declare is one map. */
static int share_maps(struct bpf_object *to, const struct bpf_object *from)
{
	struct bpf_map *map, *shared;
	int err = 0;

	bpf_object__for_each_map (map, to) {
		shared = bpf_map__is_internal(map)
				 ? NULL
				 : bpf_object__find_map_by_name(from, bpf_map__name(map));
		if (!err && shared)
			err = bpf_map__reuse_fd(map, bpf_map__fd(shared));
	}
	return err;
}

/* Of the same rules as tc, with tc's maps. */
static int load_xdp_as(const struct tc_bpf *tc, const struct compiled *c, const struct host *host,
		       __u32 number, bool statics, struct xdp_bpf **out)
{
	struct xdp_bpf *skel = xdp_bpf__open();
	int err;

	if (!skel)
		return -errno;
	if (statics)
		make_functions_static(skel->obj);
	err = load_configure(skel->obj, c, host, number);
	if (!err)
		err = share_maps(skel->obj, tc->obj);
	if (!err)
		err = xdp_bpf__load(skel);
	if (err) {
		xdp_bpf__destroy(skel);
		return err;
	}
	*out = skel;
	return 0;
}

static int load_xdp(const struct tc_bpf *tc, const struct compiled *c, const struct host *host,
		    __u32 number, struct xdp_bpf **out)
{
	int err = load_xdp_as(tc, c, host, number, false, out);

	if (refused_by_verifier(err) && !load_xdp_as(tc, c, host, number, true, out))
		err = 0;
	return err;
}

static int load(const struct datapath *dp, const struct compiled *c, const struct host *host,
		bool xdp, __u32 number, struct generation *out, char **error)
{
	struct generation g = {};
	int err = load_tc(dp, c, host, number, &g.tc, error);

	if (err)
		return err;
	err = xdp ? load_xdp(g.tc, c, host, number, &g.xdp) : 0;
	if (err)
		snprintf(g.xdp_why, sizeof(g.xdp_why), "the kernel refused the XDP program: %s",
			 strerror(-err));
	err = netdevs_open(&g);
	if (err) {
		generation_free(&g);
		return error_set(error, err, "cannot map the BPF maps: %s", strerror(-err));
	}
	*out = g;
	return 0;
}

int datapath_verify(const struct compiled *c, const struct host *host, char **error)
{
	struct generation g;
	int err;

	*error = NULL;
	err = load(NULL, c, host, c->config.forward, 0, &g, error);
	if (err)
		return err;
	if (g.xdp_why[0])
		error_set(error, 0, "%s; tc would forward", g.xdp_why);
	generation_free(&g);
	return 0;
}

int datapath_prepare(struct datapath *dp, const struct compiled *c, const struct host *host,
		     const struct forward_plan *plan, char **error)
{
	int err;

	*error = NULL;
	datapath_abort(dp);
	err = load(dp, c, host, wants_xdp(plan), dp->state.generation + 1, &dp->prepared, error);
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
	const struct bpf_object *obj = dp->running.tc->obj;
	int err = 0;

	for (size_t i = 0; !err && generation_maps[i]; i++)
		err = pins_put(dp->pindir, PIN_MAPS, generation_maps[i],
			       bpf_object__find_map_fd_by_name(obj, generation_maps[i]));
	return err ? err
		   : pins_put(dp->pindir, PIN_MAPS, "config",
			      bpf_map__fd(load_rodata_map(dp->running.tc->obj)));
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
	/* Adopted links without a program of ours to go back to stay as they are. */
	while (done-- > 0 && dp->running.tc) {
		struct hook *h = &dp->hooks[done];

		if (h->pub.mode != ATTACH_NONE)
			tc_swap(dp, h, &dp->running);
	}
	return err;
}

int datapath_commit(struct datapath *dp, const struct host *host,
		    const struct name_list *interfaces, const struct forward_plan *plan,
		    char **error)
{
	int err;

	*error = NULL;
	err = refresh_hooks(dp, host);
	if (!err)
		err = netdevs_write(dp, &dp->prepared, plan);
	if (!err)
		err = swap_tc(dp, error);
	if (err)
		return err;
	/* From here on nothing can fail that would have to be taken back. */
	generation_free(&dp->running);
	dp->running = dp->prepared;
	dp->prepared = (struct generation){};
	set_roles(dp, plan);
	xdp_swap_all(dp);
	tc_reach_wish(dp, host, interfaces);
	xdp_reach_wish(dp, true);
	dp->state.generation++;
	err = state_save(dp);
	if (!err)
		err = pin_generation(dp);
	if (err) {
		/* Packets are judged by the new generation all the same. */
		log_warn("cannot pin the maps of generation %u: %s", dp->state.generation,
			 strerror(-err));
	}
	return 0;
}

static bool vlans_as_loaded(const struct datapath *dp, const struct host *host)
{
	int fd = bpf_map__fd(dp->running.tc->maps.vlan_devices);
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
	if (!dp->running.tc || !vlans_as_loaded(dp, host) || lacks_xdp(dp, plan) ||
	    !netdevs_fit(&dp->running, host) ||
	    (has_layer3(host) && !bpf_program__autoload(dp->running.tc->progs.ctb_tc_ip)))
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
