/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the parts of the parser: parser.c has files and statements, parse_rule.c rules. */
#ifndef CTBYPASS_PARSER_H
#define CTBYPASS_PARSER_H

#include "lexer.h"
#include "set.h"

#define SET_SLOTS (2 * SETS_MAX) /* of a hash table; a power of two */

struct parser {
	struct lexer lex;
	struct token tok; /* the one to look at next */
	struct ruleset *rs;
	struct diag *d;
	const char *file; /* name in rs->files */
	const char *dir;  /* where set files are */
	unsigned int errors_before;
	bool stop;	  /* there is no point in going on */
	bool failed;	  /* the statement had an error, after which parsing went on in step */
	struct rule rule; /* being parsed */
	__u16 set_slots[SET_SLOTS]; /* index in rs->sets + 1 by hash of the name; 0: free */
};

/*
 * Parsing functions return 0 or a negative error. -EINVAL: explained, and out of step, so that the
 * caller skips to the next statement. -ENOMEM ends everything.
 */

void parser_advance(struct parser *p);
/* Error at a token. */
void parser_error(struct parser *p, const struct token *t, const char *expected, const char *fmt,
		  ...) _printf_(4, 5);
/* The next token is not what was expected; always -EINVAL. */
int parser_unexpected(struct parser *p, const char *expected);
/* The token for a message: at most 64 bytes, as arguments of "%.*s". */
#define TOKEN_ARGS(t) (int)((t)->len > 64 ? 64 : (t)->len), (t)->text

bool parser_at_end_of_statement(const struct parser *p);

/*
 * One item or a `{ item, item }` list that may span lines. item() consumes the tokens of one and
 * returns 0, or -EINVAL after which the list is taken up behind the next comma. *n (may be NULL):
 * how many there were.
 */
typedef int item_fn(struct parser *p, void *arg);
int parser_items(struct parser *p, item_fn *item, void *arg, size_t *n);

/* An interface name or glob, a word or a string. */
int parser_ifname(struct parser *p, struct name_list *out);

struct named_set *parser_find_set(const struct parser *p, const char *name, size_t len);
/* Its place in rs->sets. */
size_t parser_set_index(const struct parser *p, const struct named_set *set);
/* The line of a token (cut if long) for messages that come later; NULL: out of memory. */
char *parser_source(const struct parser *p, const struct token *t);

/* `track ...` into p->rule, up to what is no part of it. */
int parse_rule(struct parser *p);
/* Append p->rule to the ruleset. */
int parser_take_rule(struct parser *p);

#endif
