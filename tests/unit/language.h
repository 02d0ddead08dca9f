/* SPDX-License-Identifier: GPL-2.0-only */
/* Helpers of the rule language's tests. */
#ifndef CTBYPASS_TESTS_LANGUAGE_H
#define CTBYPASS_TESTS_LANGUAGE_H

#include <criterion/criterion.h>
#include <string.h>
#include "rules.h"

/* What the parser says of a text; free with parsed_free. */
struct parsed {
	struct ruleset *rs; /* NULL after an error */
	struct diag d;
	int err;
};

static inline struct parsed parse_len(const char *text, size_t len)
{
	struct parsed p = { 0 };
	/* Exactly as long as the text, so that ASan sees a byte too far. */
	char *copy = malloc(len ? len : 1);

	cr_assert_not_null(copy);
	memcpy(copy, text, len);
	p.err = ruleset_parse_text("test.conf", ".", copy, len, &p.rs, &p.d);
	free(copy);
	cr_assert_eq(p.err == 0, p.d.errors == 0, "%d, but %u errors", p.err, p.d.errors);
	cr_assert_eq(p.err == 0, p.rs != NULL);
	return p;
}

static inline struct parsed parse(const char *text)
{
	return parse_len(text, strlen(text));
}

static inline void parsed_free(struct parsed *p)
{
	ruleset_free(p->rs);
	diag_free(&p->d);
	*p = (struct parsed){ 0 };
}
#define _parsed_ _cleanup_(parsed_free)

static inline const char *messages(const struct parsed *p)
{
	return p->d.text.s ? p->d.text.s : "";
}

/* Must parse, warnings are fine. */
static inline struct ruleset *must_parse(const char *text)
{
	struct parsed p = parse(text);

	cr_assert_eq(p.err, 0, "%s\n%s", text, messages(&p));
	diag_free(&p.d);
	return p.rs;
}

/* The text as list prints it. Freed by the caller. */
static inline char *printed(const struct ruleset *rs)
{
	struct strbuf out = { 0 };

	ruleset_print(rs, false, &out);
	cr_assert_eq(out.err, 0);
	return out.s ? out.s : strdup("");
}

#endif
