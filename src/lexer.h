/* SPDX-License-Identifier: GPL-2.0-only */
/* Rule text to tokens. */
#ifndef CTBYPASS_LEXER_H
#define CTBYPASS_LEXER_H

#include <stdbool.h>
#include <stddef.h>

enum token_type {
	TOK_END,     /* of the text */
	TOK_NEWLINE, /* also ends a comment */
	TOK_WORD,    /* keyword, name, number, address, path */
	TOK_STRING,  /* "...": text without the quotes */
	TOK_SET,     /* @name: text without the @ */
	TOK_OPEN,    /* { */
	TOK_CLOSE,   /* } */
	TOK_COMMA,
	TOK_NOT, /* ! */
	TOK_BAD, /* why says what is wrong; the lexer goes on behind it */
};

/* Points into the text, which must outlive it. */
struct token {
	enum token_type type;
	const char *text;
	size_t len;
	unsigned int line, column;
	const char *line_start;
	bool first;	  /* of its line */
	const char *why;  /* TOK_BAD only */
	const char *want; /* TOK_BAD only: what was expected, or NULL */
};

struct lexer {
	const char *p, *end;
	const char *line_start;
	unsigned int line;
	bool first;
};

/* A byte order mark at the start is skipped. */
void lexer_init(struct lexer *lex, const char *text, size_t len);
void lexer_next(struct lexer *lex, struct token *out);

bool token_is(const struct token *t, const char *word);
/* The end of the line that the token stands on. */
const char *token_line_end(const struct token *t, const char *text_end);

#endif
