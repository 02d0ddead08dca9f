/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Diagnostics about text the user wrote: file, line, column, the line itself, a caret, and what
 * was expected. Collected here, printed by whoever talks to the user.
 */
#ifndef CTBYPASS_DIAG_H
#define CTBYPASS_DIAG_H

#include <stdbool.h>
#include "util.h"

/* Where something stands in its source. line and column count from 1; 0: no position. */
struct pos {
	const char *file; /* not owned; lives as long as the ruleset; NULL: unknown */
	unsigned int line, column;
};

struct diag {
	struct strbuf text; /* rendered, one or more lines per message, ends in a newline */
	unsigned int errors, warnings;
	size_t tail; /* where in text the line about messages left out begins; 0: there is none */
};

/* Messages of each kind that are kept. */
#define DIAG_KEPT 20

/*
 * Add an error or a warning. source_line is the text of the offending line without its newline
 * (NULL: not shown). Output shape:
 *
 *   FILE:LINE:COLUMN: error: unknown set "webb"
 *     notrack tcp dport @webb
 *                       ^ expected the name of a port set declared above
 *
 * expected may be NULL (the caret stands alone). Columns count bytes; the line is shown with tabs
 * expanded, what a terminal could take for a command replaced by `?`, and cut around the caret
 * when it is long. DIAG_KEPT errors and as many warnings are kept, then one line says how many more
 * there were.
 */
void diag_error(struct diag *d, struct pos pos, const char *source_line, const char *expected,
		const char *fmt, ...) _printf_(5, 6);
void diag_warn(struct diag *d, struct pos pos, const char *source_line, const char *expected,
	       const char *fmt, ...) _printf_(5, 6);
void diag_free(struct diag *d);
#define _diag_ _cleanup_(diag_free)

#endif
