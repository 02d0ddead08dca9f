/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules that contenders are given, in each one's language, to one pattern.
 *
 * Ports: rule i is for a port where none of our packets goes to or comes from, but the last, which
 * is BENCH_PORT if the rules are to fit.
 *
 * Prefixes: those that are to fit are BENCH_NET (of 1), 64 parts of it (of fewer than a hundred
 * thousand), or each destination's own /24 (IPv6: /48); all others are distinct /24s (/48s)
 * elsewhere.
 *
 * Texts are to be freed.
 */
#ifndef CTB_BENCH_RULESETS_H
#define CTB_BENCH_RULESETS_H

#include "scene.h"

/* Rules for the daemon; a set of more than one prefix goes to the file at set_path. */
char *ctbypass_rules(const struct scene *s, const char *set_path);

/* Standard input of nft, iptables-restore and ipset restore. */
char *nft_rules(const struct scene *s);
char *nft_set_rules(const struct scene *s);
char *nft_flowtable(const struct scene *s);
char *iptables_rules(const struct scene *s);
char *iptables_set_rules(const struct scene *s);
char *ipset_sets(const struct scene *s);

/* The same in the place of what is loaded, in one transaction. */
char *nft_rules_replacement(const struct scene *s);
char *nft_set_replacement(const struct scene *s);
char *ipset_replacement(const struct scene *s);

#endif
