/* SPDX-License-Identifier: GPL-2.0-only */
/* The rules that contenders are given, in each one's language, to one pattern. */
#ifndef CTB_BENCH_RULESETS_H
#define CTB_BENCH_RULESETS_H

#include "scene.h"

/*
 * Ports: rule i is for port 40000 + i, where none of our packets goes to or comes from, but the
 * last, which is BENCH_PORT if the rules are to fit.
 */
unsigned int rule_port(const struct scene *s, unsigned int i);

/*
 * Prefixes: those that are to fit are BENCH_NET (of 1), 64 of its parts (of fewer than a hundred
 * thousand), or each destination's own /24 (IPv6: /48); all others are /24s (/48s) elsewhere.
 * Distinct, in no order. Returns an array to be freed; text of element i by prefix_text().
 */
struct prefix {
	__u32 addr; /* IPv6: the address's second and third 16 bits, behind a first word */
	__u8 len;
	__u16 first; /* IPv6: its first 16 bits */
};
struct prefix *prefixes_make(const struct scene *s, unsigned int seed);
void prefix_text(const struct prefix *p, bool v6, char *out, size_t size);

/* Rules for the daemon; a large set goes to the file "NAME" that is returned in *set, if any. */
char *ctbypass_rules(const struct scene *s, const char *word, const char *set_path,
		     unsigned int seed);
/* Standard input of nft, iptables-restore and ipset restore. */
char *nft_rules(const struct scene *s);
char *nft_set_rules(const struct scene *s, unsigned int seed);
char *iptables_rules(const struct scene *s);
char *iptables_set_rules(const struct scene *s);
char *ipset_sets(const struct scene *s, unsigned int seed);

#endif
