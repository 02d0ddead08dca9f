/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the rule language know of each other's rules. */
#ifndef CTBYPASS_RULESET_H
#define CTBYPASS_RULESET_H

#include "rules.h"

/* Free what the rule owns and zero it. */
void rule_free(struct rule *r);
/* Fill the `flat` of every port match from its items. 0 or -ENOMEM. */
int rule_flatten_ports(struct rule *r);

/* Put `set` (one reference, taken over) where `old` is, in the list of sets and in every rule. */
void ruleset_replace_set(struct ruleset *rs, struct named_set *old, struct named_set *set);
void rule_replace_set(struct rule *r, const struct named_set *old, struct named_set *set);

/*
 * Can any packet fit the addresses and the protocol together? NULL, or a constant text that says
 * why not.
 */
const char *rule_contradiction(const struct rule *r);
/* Warnings about one rule in its place in the list. 0 or -ENOMEM. */
int lint_rule(const struct ruleset *rs, size_t index, struct diag *d);

#endif
