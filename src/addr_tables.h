/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Prefixes of many sets to the classifier's address tables. An address's class says exactly which
 * atoms (sets) hold it; both families share class numbers.
 */
#ifndef CTBYPASS_ADDR_TABLES_H
#define CTBYPASS_ADDR_TABLES_H

#include "compile.h"

struct addr_tables; /* being built */

/* n_atoms sets will be told apart. NULL: out of memory. */
struct addr_tables *addr_tables_new(size_t n_atoms);
void addr_tables_free(struct addr_tables *t);

/* These prefixes belong to atom. 0 or -ENOMEM. */
int addr_tables_add4(struct addr_tables *t, size_t atom, const struct prefix4 *p, size_t n);
int addr_tables_add6(struct addr_tables *t, size_t atom, const struct prefix6 *p, size_t n);

/*
 * Cut both address spaces into ranges of one class and fill the tables of out. 0, -ENOMEM, or
 * -E2BIG: more than 65,536 combinations of sets.
 */
int addr_tables_build(struct addr_tables *t, struct compiled *out);

/* After the build: how many classes there are, and whether a class lies in an atom. */
size_t addr_tables_classes(const struct addr_tables *t);
bool addr_tables_has(const struct addr_tables *t, size_t class_id, size_t atom);

#endif
