// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "lexer.h"
#include "utf8.h"

void lexer_init(struct lexer *lex, const char *text, size_t len)
{
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	*lex = (struct lexer){
		.p = text, .end = text + len, .line_start = text, .line = 1, .first = true
	};
}

static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_.:/-*?+@%~", c));
}

static void bad(struct token *t, const char *end, const char *why, const char *want)
{
	t->type = TOK_BAD;
	t->len = (size_t)(end - t->text);
	t->why = why;
	t->want = want;
}

/* Behind the opening quote. There are no escapes, as in nft. */
static void lex_string(struct lexer *lex, struct token *t)
{
	const char *s = lex->p, *eol = memchr(s, '\n', (size_t)(lex->end - s));
	const char *close;
	unsigned int code;
	int n;

	if (!eol)
		eol = lex->end;
	close = memchr(s, '"', (size_t)(eol - s));
	if (!close) {
		lex->p = eol;
		bad(t, eol, "unterminated string", "a closing \" on the same line");
		return;
	}
	lex->p = close + 1;
	for (const char *c = s; c < close; c += n) {
		n = utf8_decode(c, (size_t)(close - c), &code);
		if (n && utf8_printable(code))
			continue;
		t->column += (unsigned int)(c - t->text);
		t->text = c;
		bad(t, close + 1,
		    n ? "control character in a string" : "a string that is not UTF-8",
		    "printable text");
		return;
	}
	t->type = TOK_STRING;
	t->text = s;
	t->len = (size_t)(close - s);
}

static void lex_other(struct lexer *lex, struct token *t)
{
	unsigned int code;
	int n = utf8_decode(lex->p, (size_t)(lex->end - lex->p), &code);
	const char *why = "unexpected character", *want = NULL;

	if (*lex->p == '\0') {
		why = "a NUL byte";
		want = "a text file in ASCII or UTF-8";
	} else if (*lex->p == '\r') {
		why = "a carriage return inside a line";
		want = "it only at the end of the line";
	} else if (!n) {
		why = "a byte that is not UTF-8";
	} else if (*lex->p == ';') {
		why = "unexpected \";\"";
		want = "the next statement on a line of its own";
	}
	lex->p += n ? n : 1;
	bad(t, lex->p, why, want);
}

/* Over blanks and a comment, to the next thing that is a token. */
static void skip_blanks(struct lexer *lex)
{
	const char *eol, *nul;

	while (lex->p < lex->end && (*lex->p == ' ' || *lex->p == '\t'))
		lex->p++;
	if (lex->p < lex->end && *lex->p == '#') {
		eol = memchr(lex->p, '\n', (size_t)(lex->end - lex->p));
		if (!eol)
			eol = lex->end;
		nul = memchr(lex->p, '\0', (size_t)(eol - lex->p));
		lex->p = nul ? nul : eol;
	}
	if (lex->end - lex->p >= 2 && lex->p[0] == '\r' && lex->p[1] == '\n')
		lex->p++;
	else if (lex->end - lex->p == 1 && lex->p[0] == '\r')
		lex->p++;
}

void lexer_next(struct lexer *lex, struct token *out)
{
	const char *s;

	skip_blanks(lex);
	s = lex->p;
	*out = (struct token){
		.type = TOK_END,
		.text = s,
		.len = 1,
		.line = lex->line,
		.column = (unsigned int)(s - lex->line_start) + 1,
		.line_start = lex->line_start,
		.first = lex->first,
	};
	if (s == lex->end) {
		out->len = 0;
		return;
	}
	lex->first = false;
	switch (*s) {
	case '\n':
		out->type = TOK_NEWLINE;
		lex->p++;
		lex->line++;
		lex->line_start = lex->p;
		lex->first = true;
		return;
	case '{':
		out->type = TOK_OPEN;
		lex->p++;
		return;
	case '}':
		out->type = TOK_CLOSE;
		lex->p++;
		return;
	case ',':
		out->type = TOK_COMMA;
		lex->p++;
		return;
	case '!':
		out->type = TOK_NOT;
		lex->p++;
		if (lex->p < lex->end && *lex->p == '=') {
			lex->p++;
			bad(out, lex->p, "unexpected \"!=\"", "! alone");
		}
		return;
	case '"':
		lex->p++;
		lex_string(lex, out);
		return;
	}
	if (!word_char(*s)) {
		lex_other(lex, out);
		return;
	}
	while (lex->p < lex->end && word_char(*lex->p))
		lex->p++;
	out->type = TOK_WORD;
	out->len = (size_t)(lex->p - s);
	if (*s != '@')
		return;
	if (out->len == 1) {
		bad(out, lex->p, "@ without a name", "the name of a set right behind @");
		return;
	}
	out->type = TOK_SET;
	out->text++;
	out->len--;
}

bool token_is(const struct token *t, const char *word)
{
	return t->type == TOK_WORD && t->len == strlen(word) && !memcmp(t->text, word, t->len);
}

const char *token_line_end(const struct token *t, const char *text_end)
{
	const char *eol = memchr(t->line_start, '\n', (size_t)(text_end - t->line_start));

	if (!eol)
		eol = text_end;
	while (eol > t->line_start && eol[-1] == '\r')
		eol--;
	return eol;
}
