// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath_load.h"

const char *const generation_maps[] = {
	"entries",	"ports",      "addr4_top",  "addr4_index", "addr4_pages",
	"addr6_nodes",	"by_dport",   "by_sport",   "bits_proto",  "bits_src",
	"bits_dst",	"bits_sport", "bits_dport", "bits_iif",	   "iif",
	"vlan_devices", "netdevs",    "egress",	    NULL,
};

/* One array map's contents: n elements of size bytes each. */
struct table {
	const char *map;
	const void *data;
	size_t n, size;
};

#define TABLES (8 + CTB_F_MAX)

static void list_tables(const struct compiled *c, struct table *t)
{
	static const char *const bits_maps[] = {
#define X(id, name) [CTB_F_##id] = "bits_" #name,
		CTB_FIELDS(X)
#undef X
	};
	size_t i = 0;

	t[i++] = (struct table){ "entries", c->entries, c->n_entries, sizeof(*c->entries) };
	t[i++] = (struct table){ "ports", c->ports, c->ports ? 1 : 0, sizeof(*c->ports) };
	t[i++] = (struct table){ "addr4_top", c->top4, c->top4 ? 65536 : 0, sizeof(*c->top4) };
	t[i++] = (struct table){ "addr4_index", c->index4, c->n_index4, sizeof(*c->index4) };
	t[i++] = (struct table){ "addr4_pages", c->pages4, c->n_pages4, sizeof(*c->pages4) };
	t[i++] = (struct table){ "addr6_nodes", c->nodes6, c->n_nodes6, sizeof(*c->nodes6) };
	t[i++] = (struct table){ "by_dport", c->by_dport, c->n_by_port, sizeof(*c->by_dport) };
	t[i++] = (struct table){ "by_sport", c->by_sport, c->n_by_port, sizeof(*c->by_sport) };
	for (int f = 0; f < CTB_F_MAX; f++)
		t[i++] = (struct table){ bits_maps[f], c->bits[f].v,
					 c->bits[f].rows * c->bits[f].stride, sizeof(__u64) };
}

struct bpf_map *load_map(const struct bpf_object *obj, const char *name)
{
	return bpf_object__find_map_by_name(obj, strcmp(name, "ports") ? name : ".bss");
}

struct bpf_map *load_same_map(const struct bpf_object *other, const struct bpf_map *map)
{
	const char *name = bpf_map__name(map); /* of .bss and .rodata behind the object's */

	if (!bpf_map__is_internal(map))
		return bpf_object__find_map_by_name(other, name);
	return strstr(name, ".bss") ? load_map(other, "ports") : NULL;
}

struct bpf_map *load_rodata_map(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, obj) {
		if (strstr(bpf_map__name(map), ".rodata"))
			return map;
	}
	return NULL;
}

/* Where a variable of this name and size is in .rodata; -1: there is none. */
static ssize_t rodata_offset(const struct bpf_object *obj, const char *name, size_t size)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_var_secinfo *v;
	const struct btf_type *sec;

	if (id < 0)
		return -1;
	sec = btf__type_by_id(btf, (__u32)id);
	v = btf_var_secinfos(sec);
	for (unsigned int i = 0; i < btf_vlen(sec); i++, v++) {
		const struct btf_type *t = btf__type_by_id(btf, v->type);

		if (!strcmp(btf__name_by_offset(btf, t->name_off), name) && v->size == size)
			return (ssize_t)v->offset;
	}
	return -1;
}

static int set_rodata(struct bpf_object *obj, const struct ctb_config *cfg,
		      const struct compiled *c)
{
	const struct {
		const char *name;
		const void *value;
		size_t size;
	} vars[] = {
		{ "cfg", cfg, sizeof(*cfg) },
		{ "proto_class", c->proto_class, sizeof(c->proto_class) },
		{ "small", &c->small, sizeof(c->small) },
	};
	struct bpf_map *map = load_rodata_map(obj);
	_free_ char *copy = NULL;
	const void *now;
	size_t size;

	now = map ? bpf_map__initial_value(map, &size) : NULL;
	if (!now)
		return -ENOENT;
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, now, size);
	for (size_t i = 0; i < ARRAY_SIZE(vars); i++) {
		ssize_t at = rodata_offset(obj, vars[i].name, vars[i].size);

		if (at < 0)
			return -ENOENT;
		memcpy(copy + at, vars[i].value, vars[i].size);
	}
	return bpf_map__set_initial_value(map, copy, size);
}

bool load_takes_vlan(const struct host *host, const struct host_if *h)
{
	if (!h->vid || !h->parent)
		return false;
	for (size_t i = 0; h->vlan_proto == ETH_P_8021AD && i < host->n_ifs; i++) {
		const struct host_if *other = &host->ifs[i];

		if (other->vid == h->vid && other->parent == h->parent && other != h)
			return false;
	}
	return true;
}

static size_t count_vlans(const struct host *host)
{
	size_t n = 0;

	for (size_t i = 0; host && i < host->n_ifs; i++)
		n += load_takes_vlan(host, &host->ifs[i]);
	return n;
}

static int size_map(struct bpf_object *obj, const char *name, size_t n)
{
	struct bpf_map *map = load_map(obj, name);

	return map ? bpf_map__set_max_entries(map, n ? (__u32)n : 1) : -ENOENT;
}

static __u32 netdev_slots(const struct host *host)
{
	__u32 slots = NETDEV_SLOTS_MIN, last = 0;

	for (size_t i = 0; host && i < host->n_ifs; i++) {
		if ((__u32)host->ifs[i].ifindex > last)
			last = (__u32)host->ifs[i].ifindex;
	}
	while (slots < NETDEV_SLOTS_MAX && slots / 2 < last)
		slots *= 2;
	return slots;
}

/* libbpf knows these sections from kfuncs_register() only, which takes no part in mark mode. */
static int set_types(struct bpf_object *obj)
{
	struct bpf_program *prog;
	int err = 0;

	bpf_object__for_each_program (prog, obj) {
		const char *section = bpf_program__section_name(prog);

		if (!err && !strcmp(section, CTB_SEC_TC))
			err = bpf_program__set_type(prog, BPF_PROG_TYPE_SCHED_CLS);
		if (err || strcmp(section, CTB_SEC_NETFILTER))
			continue;
		err = bpf_program__set_type(prog, (enum bpf_prog_type)CTB_PROG_TYPE_NETFILTER);
		if (!err)
			err = bpf_program__set_expected_attach_type(
				prog, (enum bpf_attach_type)CTB_ATTACH_NETFILTER);
	}
	return err;
}

int load_configure(struct bpf_object *obj, const struct compiled *c, const struct host *host,
		   __u32 generation)
{
	struct table tables[TABLES];
	struct ctb_config cfg = c->config;
	int err;

	cfg.vlan_devices = count_vlans(host) > 0;
	cfg.generation = generation;
	cfg.netdev_slots = cfg.forward ? netdev_slots(host) : 1;
	err = set_types(obj);
	if (!err)
		err = set_rodata(obj, &cfg, c);
	if (err)
		return err;
	list_tables(c, tables);
	for (size_t i = 0; i < TABLES; i++) {
		err = size_map(obj, tables[i].map, tables[i].n);
		if (err)
			return err;
	}
	err = size_map(obj, "iif", c->config.iif_slots);
	if (!err)
		err = size_map(obj, "vlan_devices", count_vlans(host));
	if (!err)
		err = size_map(obj, "netdevs", cfg.netdev_slots);
	return err ? err : size_map(obj, "egress", cfg.forward ? CTB_EGRESS_MAX : 1);
}

/* The whole array at once, through the map's own memory. */
static int fill(struct bpf_object *obj, const struct table *t)
{
	struct bpf_map *map = load_map(obj, t->map);
	void *mem;

	if (!t->n)
		return 0;
	if (!map)
		return -ENOENT;
	mem = mmap(NULL, t->n * t->size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (mem == MAP_FAILED)
		return -errno;
	memcpy(mem, t->data, t->n * t->size);
	munmap(mem, t->n * t->size);
	return 0;
}

int load_tables(struct bpf_object *obj, const struct compiled *c, const struct host *host)
{
	struct bpf_map *iif = bpf_object__find_map_by_name(obj, "iif");
	struct bpf_map *vlans = bpf_object__find_map_by_name(obj, "vlan_devices");
	struct table tables[TABLES];
	int err;

	if (!iif || !vlans)
		return -ENOENT;
	list_tables(c, tables);
	for (size_t i = 0; i < TABLES; i++) {
		err = fill(obj, &tables[i]);
		if (err)
			return err;
	}
	for (__u32 i = 0; c->iif_class && i < c->config.iif_slots; i++) {
		__u32 class_id = c->iif_class[i];

		if (class_id && bpf_map_update_elem(bpf_map__fd(iif), &i, &class_id, BPF_ANY))
			return -errno;
	}
	for (size_t i = 0; host && i < host->n_ifs; i++) {
		const struct host_if *h = &host->ifs[i];
		struct ctb_vlan_key k = { (__u32)h->parent, h->vid };
		__u32 ifindex = (__u32)h->ifindex;

		if (load_takes_vlan(host, h) &&
		    bpf_map_update_elem(bpf_map__fd(vlans), &k, &ifindex, BPF_ANY))
			return -errno;
	}
	return 0;
}
