/* SPDX-License-Identifier: GPL-2.0-only */
/* A compiled ruleset into the maps of one BPF object. Used by the daemon and by the tests. */
#ifndef CTBYPASS_DATAPATH_LOAD_H
#define CTBYPASS_DATAPATH_LOAD_H

#include <bpf/libbpf.h>
#include "compile.h"

/*
 * Between open and load: sizes of the generation's maps, and the read-only configuration (cfg and
 * proto_class). host is asked for VLAN devices; NULL: none. Works on any object that includes
 * bpf/maps.h. 0 or -errno.
 */
int load_configure(struct bpf_object *obj, const struct compiled *c, const struct host *host,
		   __u32 generation);
/* After load: write the tables. 0 or -errno. */
int load_tables(struct bpf_object *obj, const struct compiled *c, const struct host *host);

/* The map behind the read-only configuration (libbpf names it after the object). NULL: none. */
struct bpf_map *load_rodata_map(struct bpf_object *obj);

/* Names of the maps that belong to one generation, NULL-terminated. */
extern const char *const generation_maps[];

#endif
