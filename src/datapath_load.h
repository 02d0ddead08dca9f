/* SPDX-License-Identifier: GPL-2.0-only */
/* A compiled ruleset into the maps of one BPF object. Used by the daemon and by the tests. */
#ifndef CTBYPASS_DATAPATH_LOAD_H
#define CTBYPASS_DATAPATH_LOAD_H

#include <bpf/libbpf.h>
#include "compile.h"

/*
 * Elements of map netdevs where there are forward rules: a power of two, with room for as many
 * devices again as there are. A larger ifindex than the last is not forwarded.
 */
#define NETDEV_SLOTS_MIN 1024
#define NETDEV_SLOTS_MAX (1U << 20)

/*
 * Between open and load: sizes of the generation's maps, and the read-only data (cfg,
 * proto_class, small). host is asked for VLAN devices and the largest ifindex; NULL: none. Works on
 * any object that includes bpf/maps.h. 0 or -errno.
 */
int load_configure(struct bpf_object *obj, const struct compiled *c, const struct host *host,
		   __u32 generation);
/* After load: write the tables, all but netdevs and egress. 0 or -errno. */
int load_tables(struct bpf_object *obj, const struct compiled *c, const struct host *host);

/*
 * Is this device in map vlan_devices? Not if it shares parent and number with another one, with
 * the other kind of tag: then the 802.1Q device is, whose frames XDP may take.
 */
bool load_takes_vlan(const struct host *host, const struct host_if *h);

/* The map behind the read-only configuration (libbpf names it after the object). NULL: none. */
struct bpf_map *load_rodata_map(struct bpf_object *obj);

/* The object's map of that name, be it one that C knows as a variable. NULL: none. */
struct bpf_map *load_map(const struct bpf_object *obj, const char *name);
/* That of another object of the generation which is to be the same map as this one. NULL: none. */
struct bpf_map *load_same_map(const struct bpf_object *other, const struct bpf_map *map);

/* Names of the maps that belong to one generation, NULL-terminated. */
extern const char *const generation_maps[];

#endif
