/* SPDX-License-Identifier: GPL-2.0-only */
/* Protocol names and sets of protocols, for the parser and the printer. */
#ifndef CTBYPASS_PROTO_H
#define CTBYPASS_PROTO_H

#include "rules.h"

/* The number behind a name of the language ("tcp"), or -1. */
int proto_by_name(const char *name, size_t len);

void proto_add(struct proto_match *m, unsigned int proto);
/* Every protocol whose header has ports. */
void proto_add_with_ports(struct proto_match *m);

#endif
