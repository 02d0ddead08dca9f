/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by compile.c and compile_ports.c. */
#ifndef CTBYPASS_COMPILE_PRIV_H
#define CTBYPASS_COMPILE_PRIV_H

#include "compile.h"

/* What the classifier is told of one entry's address: a match, maybe also "and not local". */
struct addr_use {
	const struct addr_match *match; /* NULL: any address */
	bool not_local;
	size_t first_atom, n_atoms; /* into build.use_atoms */
};

#define BY_PORT SIZE_MAX

struct build {
	const struct entries *in;
	const struct host *host;
	struct compiled *out;
	size_t *bit_of; /* entry to bit; BY_PORT: it has none */
	size_t n_bits;	/* entries that have one */
	__u32 fields;	/* bit per enum ctb_field: some entry looks at it */
	size_t words, stride;

	struct addr_use *uses; /* distinct ones */
	size_t n_uses, cap_uses;
	__u16 *use_atoms;
	size_t n_use_atoms, cap_use_atoms;
	size_t *src_use, *dst_use;	    /* entry to index in uses */
	const struct named_set **set_atoms; /* atom 1 + i is set i; atom 0 is `local` */
	size_t n_set_atoms, cap_set_atoms;
	size_t n_atoms;
};

/* --- compile.c --- */

/* The fields that an entry looks at, a bit for each. */
__u32 fields_of(const struct entry *e);
/* The i-th entry as programs get it. */
struct ctb_entry entry_at(const struct entries *in, size_t i);
/* A field's bitmaps, all zero. 0 or -ENOMEM. */
int rows_alloc(struct build *b, enum ctb_field f, size_t rows);
/* Class `row` of the field is one that this entry accepts; for no entry of BY_PORT. */
void row_set(struct build *b, enum ctb_field f, size_t row, size_t entry);

/* --- compile_ports.c --- */

/*
 * Which entries the tables by port answer for, if those are worth it: makes bit_of, BY_PORT for
 * them and 0 for all others, and counts those in n_bits. 0 or -ENOMEM.
 */
int choose_by_port(struct build *b);
/* Table `ports`, the tables by port and the rows of both ports, as far as they are used. 0 or
 * -ENOMEM. */
int compile_ports(struct build *b);

#endif
