/* SPDX-License-Identifier: GPL-2.0-only */
/* Does one rule fit every packet that another fits? */
#ifndef CTBYPASS_COVER_H
#define CTBYPASS_COVER_H

#include "rules.h"

/*
 * true only when it is certain. Work is bounded by *budget, which counts elementary comparisons
 * down over many calls: below zero, everything that costs more than a few of them is uncertain.
 */
bool rule_covers(const struct rule *wide, const struct rule *narrow, long *budget);

/* Is every port of narrow in wide? Both normalised. */
bool ports_within(const struct port_list *narrow, const struct port_list *wide, long *budget);

#endif
