// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include "diag.h"
#include "utf8.h"

#define TAB_WIDTH 8
/* Of a long line, at most these many bytes are looked at before and behind the caret. */
#define SHOWN_BEFORE 64
#define SHOWN_BEHIND 48

/*
 * One line of text for a terminal, from text to end: tabs expanded, control characters and broken
 * UTF-8 replaced. Returns the width, in columns, of what stands before `mark`.
 */
static size_t add_line(struct strbuf *b, const char *text, const char *end, const char *mark)
{
	size_t width = 0, mark_width = 0;
	unsigned int code;
	int n;

	while (text < end) {
		if (text <= mark)
			mark_width = width;
		if (*text == '\t') {
			do
				strbuf_add(b, " ", 1);
			while (++width % TAB_WIDTH);
			text++;
			continue;
		}
		n = utf8_decode(text, (size_t)(end - text), &code);
		if (n > 0 && utf8_printable(code))
			strbuf_add(b, text, (size_t)n);
		else
			strbuf_add(b, "?", 1);
		text += n > 0 ? n : 1;
		width++;
	}
	return text <= mark ? width : mark_width;
}

static void add_source(struct diag *d, struct pos pos, const char *line, const char *expected)
{
	size_t len = strlen(line), caret = pos.column ? pos.column - 1 : 0, indent = 2;
	const char *from = line, *end = line + len;

	if (caret > len)
		caret = len;
	if (caret > SHOWN_BEFORE) {
		from = line + caret - SHOWN_BEFORE;
		while (from < line + caret && utf8_continues(*from))
			from++;
	}
	if (len - caret > SHOWN_BEHIND) {
		end = line + caret + SHOWN_BEHIND;
		while (end > line + caret && utf8_continues(*end))
			end--;
	}
	strbuf_addf(&d->text, "  ");
	if (from > line) {
		strbuf_addf(&d->text, "...");
		indent += 3;
	}
	indent += add_line(&d->text, from, end, line + caret);
	strbuf_addf(&d->text, "%s\n", end < line + len ? "..." : "");
	if (pos.column)
		strbuf_addf(&d->text, "%*s^%s%s\n", (int)indent, "", expected ? " expected " : "",
			    expected ? expected : "");
}

static void add_left_out(struct diag *d)
{
	unsigned int errors = d->errors > DIAG_KEPT ? d->errors - DIAG_KEPT : 0;
	unsigned int warnings = d->warnings > DIAG_KEPT ? d->warnings - DIAG_KEPT : 0;

	if (!errors && !warnings)
		return;
	d->tail = d->text.len;
	strbuf_addf(&d->text, "and ");
	if (errors)
		strbuf_addf(&d->text, "%u more error%s", errors, errors == 1 ? "" : "s");
	if (warnings)
		strbuf_addf(&d->text, "%s%u more warning%s", errors ? " and " : "", warnings,
			    warnings == 1 ? "" : "s");
	strbuf_addf(&d->text, "\n");
}

static _printf_(6, 0) void add_message(struct diag *d, bool error, struct pos pos, const char *line,
				       const char *expected, const char *fmt, va_list ap)
{
	unsigned int *count = error ? &d->errors : &d->warnings;
	_free_ char *message = NULL;

	++*count;
	if (d->tail) {
		d->text.len = d->tail;
		d->text.s[d->text.len] = '\0';
		d->tail = 0;
	}
	if (*count > DIAG_KEPT) {
		add_left_out(d);
		return;
	}
	if (vasprintf(&message, fmt, ap) < 0) {
		message = NULL;
		d->text.err = -ENOMEM;
		return;
	}
	if (pos.file) {
		add_line(&d->text, pos.file, pos.file + strlen(pos.file), pos.file);
		if (pos.line)
			strbuf_addf(&d->text, ":%u", pos.line);
		if (pos.line && pos.column)
			strbuf_addf(&d->text, ":%u", pos.column);
		strbuf_addf(&d->text, ": ");
	}
	strbuf_addf(&d->text, "%s: ", error ? "error" : "warning");
	/* Messages quote what the user wrote. */
	add_line(&d->text, message, message + strlen(message), message);
	strbuf_addf(&d->text, "\n");
	if (line)
		add_source(d, pos, line, expected);
	else if (expected)
		strbuf_addf(&d->text, "  expected %s\n", expected);
	add_left_out(d);
}

void diag_error(struct diag *d, struct pos pos, const char *source_line, const char *expected,
		const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_message(d, true, pos, source_line, expected, fmt, ap);
	va_end(ap);
}

void diag_warn(struct diag *d, struct pos pos, const char *source_line, const char *expected,
	       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_message(d, false, pos, source_line, expected, fmt, ap);
	va_end(ap);
}

void diag_free(struct diag *d)
{
	strbuf_free(&d->text);
	*d = (struct diag){ 0 };
}
