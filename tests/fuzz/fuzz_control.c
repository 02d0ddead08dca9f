// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control protocol under libFuzzer: the input is what a client sends, lines of requests. They
 * are parsed by the daemon's own code and carried out by a stub of it that has rules and a journal
 * but no kernel. Whatever is accepted must, written to the journal and replayed on the rules as
 * they were, give the very same rules; whatever is refused must change nothing.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "control.h"
#include "daemon.h"
#include "protocol.h"
#include "request.h"

static const char start[] = "set web { 80, 8000-8010 }\n"
			    "set nets { 192.0.2.0/24, 2001:db8::/32 }\n"
			    "track udp dport 5060\n"
			    "notrack tcp dport @web daddr local\n"
			    "notrack saddr @nets daddr !local comment \"x\"\n";

#define MUST(x) \
	do { \
		if (!(x)) \
			__builtin_trap(); \
	} while (0)

static char *print(const struct ruleset *rs)
{
	struct strbuf b = {};

	ruleset_print(rs, true, &b);
	MUST(b.s);
	return b.s;
}

static void same_rules(const struct ruleset *a, const struct ruleset *b)
{
	_strbuf_ struct strbuf x = {}, y = {};

	ruleset_print(a, false, &x);
	ruleset_print(b, false, &y);
	MUST(x.s && y.s && !strcmp(x.s, y.s));
}

/* As daemon_requests.c does it. The journal's lines for it in lines. */
static int carry_out(struct ruleset *rs, const struct request *r, struct journal_lines *lines,
		     struct diag *d)
{
	int i, err;

	switch (r->cmd) {
	case REQ_ADD:
		err = ruleset_add_rule(rs, r->text, d);
		return err ? err : journal_add(lines, &rs->rules[rs->n_rules - 1]);
	case REQ_DELETE:
		i = ruleset_find(rs, r->handle);
		if (i < 0)
			return i;
		err = journal_delete(lines, r->handle, (size_t)i);
		return err ? err : ruleset_delete(rs, r->handle);
	case REQ_SET_ADD:
	case REQ_SET_DELETE:
		err = ruleset_set_change(rs, r->name, r->cmd == REQ_SET_ADD, r->elements,
					 r->n_elements, d);
		return err ? err
			   : journal_set(lines, r->cmd == REQ_SET_ADD, r->name, r->elements,
					 r->n_elements);
	default:
		return 0;
	}
}

static void check_refusal(const struct diag *d, const char *error)
{
	_free_ char *reply = control_error_reply(error ? error : d->text.s ? d->text.s : "refused");
	json_t *v = reply ? json_loads(reply, 0, NULL) : NULL;

	MUST(v && json_is_false(json_object_get(v, "ok")) && !strchr(reply, '\n'));
	json_decref(v);
}

static void serve(struct ruleset **rs, const char *line, size_t len)
{
	_cleanup_(journal_lines_free) struct journal_lines lines = {};
	_ruleset_ struct ruleset *next = ruleset_clone(*rs), *replayed = ruleset_clone(*rs);
	_free_ char *before = print(*rs), *after = NULL, *error = NULL;
	_diag_ struct diag d = {};
	struct request r = {};
	int err = request_parse(line, len, &r, &error);

	MUST(next && replayed);
	MUST(!err == !error);
	if (!err)
		err = carry_out(next, &r, &lines, &d);
	after = print(*rs);
	MUST(!strcmp(before, after)); /* sets are shared with the copy */
	if (err) {
		check_refusal(&d, error);
	} else {
		for (size_t i = 0; i < lines.n; i++) {
			_diag_ struct diag again = {};

			MUST(!strchr(lines.v[i], '\n'));
			MUST(strlen(lines.v[i]) < JOURNAL_LINE_MAX);
			MUST(!journal_replay(replayed, lines.v[i], &again));
		}
		same_rules(next, replayed);
		ruleset_free(*rs);
		*rs = TAKE_PTR(next);
	}
	request_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_ruleset_ struct ruleset *rs = NULL;
	const char *p = (const char *)data, *end = p + size;
	_diag_ struct diag d = {};

	if (size > REQUEST_MAX)
		return 0;
	MUST(!ruleset_parse_text("start", ".", start, sizeof(start) - 1, &rs, &d));
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);
		char *line = malloc(len + !len); /* its own, so that a byte beyond is seen */

		MUST(line);
		memcpy(line, p, len);
		serve(&rs, line, len);
		free(line);
		p += len + 1;
	}
	return 0;
}
