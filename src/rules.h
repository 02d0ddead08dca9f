/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ruleset: what a configuration file or command line says, checked and resolved, before it
 * is compiled for any hook. The grammar is in ctbypass.conf(5) and at the top of parser.c.
 */
#ifndef CTBYPASS_RULES_H
#define CTBYPASS_RULES_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include "ctbypass/abi.h"
#include "diag.h"

#define SET_NAME_MAX 32	  /* with the NUL */
#define DEFAULT_MARK 0x40 /* see docs/design.md for who uses which bits */
#define SETS_MAX     1024
#define COMMENT_MAX  128 /* bytes with the NUL */

/* Addresses as numbers in host byte order; host bits are zero (the parser refuses others). */
struct prefix4 {
	__u32 addr;
	__u8 len; /* 0-32 */
};

struct prefix6 {
	__u64 hi, lo;
	__u8 len; /* 0-128 */
};

/* Inclusive, host order, lo <= hi. */
struct port_range {
	__u16 lo, hi;
};

struct prefix_list {
	struct prefix4 *v4;
	size_t n4, cap4;
	struct prefix6 *v6;
	size_t n6, cap6;
};

struct port_list {
	struct port_range *ranges;
	size_t n, cap;
};

enum set_kind {
	SET_UNKNOWN, /* declared empty; the first element or use decides */
	SET_ADDRS,
	SET_PORTS,
};

/* A named set. Immutable once it is in a ruleset and shared between rulesets by reference. */
struct named_set {
	unsigned int refs;
	char name[SET_NAME_MAX];
	enum set_kind kind;
	struct prefix_list addrs; /* sorted by (addr, len), no duplicates; nested ones are kept */
	struct port_list ports;	  /* sorted, merged */
	char *file;		  /* as written in the statement, or NULL for an inline set */
	/* What the statement lists beside the file; part of the elements above, kept for print. */
	struct prefix_list extra_addrs;
	struct port_list extra_ports;
	bool modified; /* changed at run time since the file was read: list prints it inline */
	struct pos pos;
	char *pos_file; /* owned, behind pos.file: a set may outlive the ruleset that declared it */
	char *source;	/* the line it was declared on, for later messages; or NULL */
};

/* One element of an address match, in the order written. */
struct addr_item {
	enum {
		ADDR_PREFIX4,
		ADDR_PREFIX6,
		ADDR_SET,
		ADDR_LOCAL
	} kind;
	union {
		struct prefix4 p4;
		struct prefix6 p6;
		struct named_set *set; /* borrowed from the ruleset's sets */
	};
};

/* `saddr X`, `daddr !{ X, Y }`: an address fits when it is (negate: is not) in any item. */
struct addr_match {
	bool negate;
	struct addr_item *items;
	size_t n, cap; /* n == 0: the rule does not look at this address */
};

/* One element of a port match, in the order written. */
struct port_item {
	struct named_set *set; /* borrowed; NULL: range */
	struct port_range range;
};

struct port_match {
	struct port_item *items;
	size_t n, cap;	       /* n == 0: not looked at */
	struct port_list flat; /* all items resolved, sorted, merged. cap == 0: a set's own array */
};

/* A set of IP protocol numbers. */
struct proto_match {
	bool present; /* false: any protocol; bits are then all zero */
	__u64 bits[4];
};

static inline bool proto_has(const struct proto_match *m, unsigned int proto)
{
	return !m->present || (m->bits[proto >> 6] >> (proto & 63) & 1);
}

/* Interface names or globs (* and ?), in the order written. */
struct name_list {
	char (*names)[IFNAMSIZ];
	size_t n, cap;
};

struct rule {
	__u32 handle; /* > 0, unique; assigned by the parser in order, kept over reloads by daemon
		       */
	__u32 slot;   /* counter slot; assigned by the daemon (slots.c), 0 before that */
	enum ctb_action action;
	struct proto_match
		proto; /* with a port match always present and only protocols with ports */
	struct addr_match saddr, daddr;
	struct port_match sport, dport, port; /* port excludes the other two */
	struct name_list iif;		      /* n == 0: any */
	bool oneway;
	char *comment; /* or NULL */
	bool runtime;  /* came through the socket, not from the file */
	struct pos pos;
	char *source; /* the line it was written on (cut if long), for later messages; or NULL */
};

/* `failsafe { tcp 22, udp 500-510 }` */
struct failsafe_item {
	__u8 proto;
	struct port_range ports;
};

struct ruleset {
	char **files; /* names that struct pos points to; owned */
	size_t n_files, cap_files;
	struct name_list interfaces; /* n == 0: default, every non-loopback device */
	__u32 mark;		     /* exactly one bit */
	struct failsafe_item *failsafe;
	size_t n_failsafe, cap_failsafe;
	bool interface_given, mark_given, failsafe_given; /* statement present: list prints it */
	struct named_set **sets; /* in order of declaration; one reference each */
	size_t n_sets, cap_sets;
	struct rule *rules; /* first match wins */
	size_t n_rules, cap_rules;
	__u32 next_handle;
};

/* An empty ruleset with the defaults (mark, failsafe tcp 22). NULL: out of memory. */
struct ruleset *ruleset_new(void);
void ruleset_free(struct ruleset *rs); /* NULL is fine */
/* Sets are shared, everything else is copied. NULL: out of memory. */
struct ruleset *ruleset_clone(const struct ruleset *rs);
static inline void cleanup_ruleset(struct ruleset **rs)
{
	ruleset_free(*rs);
}
#define _ruleset_ _cleanup_(cleanup_ruleset)

/* Index of the rule with this handle, or -ENOENT. */
int ruleset_find(const struct ruleset *rs, __u32 handle);
/* Remove the rule with this handle. 0 or -ENOENT. */
int ruleset_delete(struct ruleset *rs, __u32 handle);
struct named_set *ruleset_set(const struct ruleset *rs, const char *name);

/*
 * Parse a configuration file and every set file it names (relative names: beside the file that
 * names them). 0, or -EINVAL with the reasons in d, or another -errno (also explained in d).
 * Warnings (a rule covered by an earlier one) go to d too.
 */
int ruleset_parse_file(const char *path, struct ruleset **out, struct diag *d);
/* The same for text in memory; name is what messages call it; dir is where set files are. */
int ruleset_parse_text(const char *name, const char *dir, const char *text, size_t len,
		       struct ruleset **out, struct diag *d);
/*
 * Append one rule given as text to rs (`ctbypass add`). Only rule statements are taken. On
 * failure rs is unchanged. The new rule is rs->rules[rs->n_rules - 1] with runtime = true.
 */
int ruleset_add_rule(struct ruleset *rs, const char *text, struct diag *d);
/*
 * Add or delete elements (`192.0.2.0/24`, `2001:db8::1`, `80`, `8000-8080`) of a named set.
 * The set is replaced by a changed copy; rules that use it follow. Adding what is there and
 * deleting what is not are errors that name the element. On failure rs is unchanged.
 */
int ruleset_set_change(struct ruleset *rs, const char *name, bool add, char *const *elements,
		       size_t n, struct diag *d);

/* lint.c: contradictions that only show with the whole list in view. Called by the parser. */
int ruleset_lint(const struct ruleset *rs, struct diag *d);

/*
 * print.c: valid input again; rule_print and set_print without the last newline. handles: append
 * `# handle N` to each rule.
 */
void rule_print(const struct rule *r, struct strbuf *out);
void ruleset_print(const struct ruleset *rs, bool handles, struct strbuf *out);
void set_print(const struct named_set *s, struct strbuf *out);
void prefix4_print(struct prefix4 p, struct strbuf *out); /* 192.0.2.1 for /32 */
void prefix6_print(struct prefix6 p, struct strbuf *out);

/* 64-bit FNV-1a of rule_print's text without comment: the identity that keeps counters. */
__u64 rule_hash(const struct rule *r);

/* Protocol names of the language: "tcp" for 6 ...; NULL when it has none and is printed as number.
 */
const char *proto_name(unsigned int proto);
/* Protocols whose header starts with two 16-bit ports: tcp udp udplite sctp dccp. */
bool proto_has_ports(unsigned int proto);

/* Match of an interface name against names and globs (* and ?). An empty list has none. */
bool name_list_has(const struct name_list *l, const char *ifname);

void port_range_print(struct port_range r, struct strbuf *out);

/*
 * Prefix and port text, shared by the rule language, set files and `set add`. 0, or -EINVAL with
 * *why set to a constant text. family: AF_INET or AF_INET6. -EDOM: host bits are set; then family
 * and p4 or p6 say which network was meant.
 */
int prefix_parse(const char *text, size_t len, int *family, struct prefix4 *p4, struct prefix6 *p6,
		 const char **why);
int port_range_parse(const char *text, size_t len, struct port_range *out, const char **why);

/*
 * setfile.c: append the elements of a file, one a line, # comments. Kind is decided by the first
 * element. 0, -EINVAL or another -errno, explained in d. The caller normalises.
 */
int set_load_file(struct named_set *s, const char *path, struct diag *d);
/* Sort, drop duplicates (ports: merge), give unused room back. */
void set_normalise(struct named_set *s);

#endif
