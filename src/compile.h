/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entries to the tables of the BPF classifier (layout: ctbypass/abi.h). Pure computation: no
 * syscalls, so that tests and fuzzers run it anywhere.
 */
#ifndef CTBYPASS_COMPILE_H
#define CTBYPASS_COMPILE_H

#include "expand.h"
#include "host.h"

/* One field's bitmaps: rows * stride numbers, ready to be written to its map. */
struct bits {
	__u64 *v;
	size_t rows, stride;
};

struct compiled {
	struct ctb_config config;  /* mark, fields, words ...; the loader adds the rest */
	struct ctb_entry *entries; /* by bit */
	size_t n_entries;
	struct bits bits[CTB_F_MAX];
	size_t classes[CTB_F_MAX];	       /* 0: no rule looks at the field */
	struct ctb_entry *by_dport, *by_sport; /* NULL: not used */
	size_t n_by_port;
	__u8 proto_class[256];
	struct ctb_small small;	    /* a copy of some of this, if config.words is 1 */
	struct ctb_ports *ports;    /* NULL: no rule looks at ports */
	struct ctb_addr4_top *top4; /* 65536 elements; NULL: no rule looks at addresses */
	struct ctb_addr4_index *index4;
	size_t n_index4;
	struct ctb_addr4_page *pages4;
	size_t n_pages4;
	struct ctb_addr6_node *nodes6;
	size_t n_nodes6;
	__u16 *iif_class; /* by ifindex, config.iif_slots long; NULL: not used */
};

/*
 * 0, -ENOMEM, or -E2BIG with the reason in d (too many entries, or too many distinct
 * combinations of sets for 16-bit classes). Nothing is kept of the arguments.
 */
int compile(const struct entries *entries, const struct host *host, __u32 mark,
	    struct compiled *out, struct diag *d);
void compiled_free(struct compiled *c);

/*
 * What the tables say of one packet, computed as the BPF program does: the entry, in c, or NULL.
 * Used to find stale conntrack entries. Addresses of IPv4 in lo of src/dst as a host-order number.
 * quoted: judged as the packet inside an ICMP error. output: as one that this host sends, by device
 * ifindex.
 */
struct tuple {
	bool v6, quoted, output;
	__u8 proto;
	__u16 sport, dport; /* host order; 0 when the protocol has none */
	__u64 src_hi, src_lo, dst_hi, dst_lo;
	__u32 ifindex;
};
const struct ctb_entry *compiled_lookup(const struct compiled *c, const struct tuple *t);

#endif
