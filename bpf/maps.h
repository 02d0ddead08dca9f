/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every map of the data plane and its configuration. Layouts and meaning: ctbypass/abi.h. The
 * maps of one generation are written by the loader before the program is attached and then only
 * read; a new rule set is a new set of maps. Sizes given here are placeholders that the loader
 * replaces (src/datapath_load.c).
 */
#ifndef CTB_MAPS_H
#define CTB_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "counters.h"

const volatile struct ctb_config cfg = {};
/* IP protocol number to class: the row of bits_proto. */
const volatile __u8 proto_class[256] = {};
const volatile struct ctb_small small = {};

#define CTB_ARRAY(name_, value_) \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, 1); \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__type(key, __u32); \
		__type(value, value_); \
	} name_ SEC(".maps")

/* Of one generation. */
CTB_ARRAY(entries, struct ctb_entry);
CTB_ARRAY(addr4_top, struct ctb_addr4_top);
CTB_ARRAY(addr4_index, struct ctb_addr4_index);
CTB_ARRAY(addr4_pages, struct ctb_addr4_page);
CTB_ARRAY(addr6_nodes, struct ctb_addr6_node);
CTB_ARRAY(by_dport, struct ctb_entry);
CTB_ARRAY(by_sport, struct ctb_entry);
CTB_ARRAY(bits_proto, __u64);
CTB_ARRAY(bits_src, __u64);
CTB_ARRAY(bits_dst, __u64);
CTB_ARRAY(bits_sport, __u64);
CTB_ARRAY(bits_dport, __u64);
CTB_ARRAY(bits_iif, __u64);
CTB_ARRAY(iif, __u32); /* ifindex to class */

/*
 * Also one, map .bss: as a variable, since its address is known at load. To look it up would be
 * eleven instructions. There must be no other variable that is not read-only.
 */
struct ctb_ports ports = {};

/* Devices as the forwarding path sees them. Written by the daemon at any time. */
CTB_ARRAY(netdevs, struct ctb_netdev);

/*
 * Where XDP frames can leave by, key: ifindex. Written by the daemon, before netdevs says so.
 * Full: the daemon leaves further devices to tc.
 */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, CTB_EGRESS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} egress SEC(".maps");

/* Tagged frames of these devices are judged there. Full: the loader sizes it to the host. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct ctb_vlan_key);
	__type(value, __u32);
} vlan_devices SEC(".maps");

#endif
