// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices as the forwarding path sees them. Packets are forwarded while this is written, so the
 * order is fixed: a device is in map egress before map netdevs sends frames there, and netdevs has
 * taken that back before it leaves egress. The program asks egress before it touches a frame, so
 * between the two a packet at worst takes the way by tc.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath_load.h"
#include "datapath_priv.h"

int netdevs_open(struct generation *g)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(g->tc.obj, "netdevs");
	__u32 slots = bpf_map__max_entries(map);
	void *mem;

	if (slots < NETDEV_SLOTS_MIN)
		return 0;
	mem = mmap(NULL, slots * sizeof(*g->netdevs), PROT_READ | PROT_WRITE, MAP_SHARED,
		   bpf_map__fd(map), 0);
	if (mem == MAP_FAILED)
		return -errno;
	g->netdevs = mem;
	g->slots = slots;
	return 0;
}

void netdevs_close(struct generation *g)
{
	if (g->netdevs)
		munmap(g->netdevs, g->slots * sizeof(*g->netdevs));
	g->netdevs = NULL;
	g->slots = 0;
}

bool netdevs_fit(const struct generation *g, const struct host *host)
{
	if (!g->netdevs || g->slots == NETDEV_SLOTS_MAX)
		return true;
	for (size_t i = 0; i < host->n_ifs; i++) {
		if ((__u32)host->ifs[i].ifindex >= g->slots)
			return false;
	}
	return true;
}

/* 0 also when it is there already. -E2BIG: full. */
static int add_egress(int fd, __u32 ifindex)
{
	__u32 now;

	if (!bpf_map_lookup_elem(fd, &ifindex, &now))
		return 0;
	return bpf_map_update_elem(fd, &ifindex, &ifindex, BPF_ANY) ? -errno : 0;
}

static bool is_egress(const struct forward_plan *plan, __u32 ifindex)
{
	for (size_t i = 0; i < plan->n_roles; i++) {
		if (plan->roles[i].netdev.out == ifindex)
			return true;
	}
	return false;
}

static void prune_egress(int fd, const struct forward_plan *plan)
{
	__u32 key, next;
	int more = bpf_map_get_next_key(fd, NULL, &next);

	while (!more) {
		key = next;
		more = bpf_map_get_next_key(fd, &key, &next);
		if (!is_egress(plan, key))
			bpf_map_delete_elem(fd, &key);
	}
}

/*
 * In three parts, each whole to its readers: MAC address and flags, where frames leave, MTUs of
 * routes. Every mixture of old and new keeps a frame here or sends it where it may go.
 */
static void store(struct ctb_netdev *at, const struct ctb_netdev *v)
{
	typedef __u64 __attribute__((may_alias)) part;
	const part *from = (const part *)(const void *)v;
	part *to = (part *)(void *)at;

	_Static_assert(sizeof(*at) == 3 * sizeof(part), "three stores");
	for (int i = 0; i < 3; i++) {
		if (to[i] != from[i])
			__atomic_store_n(&to[i], from[i], __ATOMIC_RELEASE);
	}
}

int netdevs_write(struct datapath *dp, struct generation *g, const struct forward_plan *plan)
{
	int fd = bpf_object__find_map_fd_by_name(g->tc.obj, "egress");
	_free_ struct ctb_netdev *want = NULL;

	if (!g->netdevs)
		return 0;
	want = calloc(g->slots, sizeof(*want));
	if (!want)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n_roles; i++) {
		const struct forward_role *role = &plan->roles[i];
		struct hook *h = find_hook(dp, role->ifindex);
		int err = role->netdev.out ? add_egress(fd, role->netdev.out) : 0;

		if (h)
			h->egress_err = err;
		if ((__u32)role->ifindex >= g->slots)
			continue;
		want[role->ifindex] = role->netdev;
		if (err)
			want[role->ifindex].out = 0;
	}
	for (__u32 i = 0; i < g->slots; i++)
		store(&g->netdevs[i], &want[i]);
	prune_egress(fd, plan);
	return 0;
}
