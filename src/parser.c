// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rule language. One statement a line; only lists may span lines.
 *
 *   interface NAME...                NAME: word or "string", with * and ? as wildcards
 *   mark NUMBER                      one bit
 *   failsafe { PROTOCOL PORTS, ... }
 *   set NAME { ELEMENT, ... }        ELEMENT: prefixes, or ports
 *   set NAME file "PATH" [{ ELEMENT, ... }]
 *   (track|notrack|forward) MATCH... [oneway] [comment "TEXT"]
 *
 * MATCH is described in parse_rule.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include "parser.h"
#include "proto.h"
#include "ruleset.h"

#define FILE_MAX   (64U << 20)
#define SOURCE_MAX 512

void parser_advance(struct parser *p)
{
	lexer_next(&p->lex, &p->tok);
}

static char *line_of(const struct parser *p, const struct token *t, size_t max)
{
	const char *eol = token_line_end(t, p->lex.end);
	size_t len = (size_t)(eol - t->line_start);

	return strndup(t->line_start, len < max ? len : max);
}

char *parser_source(const struct parser *p, const struct token *t)
{
	return line_of(p, t, t->column + SOURCE_MAX);
}

void parser_error(struct parser *p, const struct token *t, const char *expected, const char *fmt,
		  ...)
{
	struct pos pos = { p->file, t->line, t->column };
	_free_ char *line = line_of(p, t, t->column + SOURCE_MAX);
	_free_ char *message = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&message, fmt, ap);
	va_end(ap);
	if (n < 0)
		message = NULL;
	diag_error(p->d, pos, line, expected, "%s", message ? message : "out of memory");
	p->failed = true;
}

int parser_unexpected(struct parser *p, const char *expected)
{
	const struct token *t = &p->tok;

	if (t->type == TOK_BAD)
		parser_error(p, t, t->want ? t->want : expected, "%s", t->why);
	else if (t->type == TOK_END)
		parser_error(p, t, expected, "the text ends too early");
	else if (t->type == TOK_NEWLINE)
		parser_error(p, t, expected, "the line ends too early");
	else if (t->type == TOK_STRING)
		parser_error(p, t, expected, "unexpected string \"%.*s\"", TOKEN_ARGS(t));
	else
		parser_error(p, t, expected, "unexpected \"%s%.*s\"", t->type == TOK_SET ? "@" : "",
			     TOKEN_ARGS(t));
	return -EINVAL;
}

bool parser_at_end_of_statement(const struct parser *p)
{
	return p->tok.type == TOK_NEWLINE || p->tok.type == TOK_END;
}

static bool given_up(const struct parser *p)
{
	return p->stop || p->d->errors - p->errors_before >= DIAG_KEPT;
}

static const char *const statements[] = { "interface", "mark",	  "failsafe", "set",
					  "track",     "notrack", "forward" };

static bool starts_statement(const struct token *t)
{
	if (!t->first)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		if (token_is(t, statements[i]))
			return true;
	return false;
}

/* After an error inside a list: to the next comma, line or end of the list. */
static void skip_item(struct parser *p)
{
	unsigned int depth = 0;

	while (!parser_at_end_of_statement(p)) {
		if (p->tok.type == TOK_OPEN)
			depth++;
		else if (!depth && (p->tok.type == TOK_COMMA || p->tok.type == TOK_CLOSE))
			return;
		else if (p->tok.type == TOK_CLOSE)
			depth--;
		parser_advance(p);
	}
}

/* After an error outside of one: to the next line, and over a list that begins on this one. */
static void skip_statement(struct parser *p)
{
	unsigned int depth = 0;

	while (p->tok.type != TOK_END && (depth || p->tok.type != TOK_NEWLINE) &&
	       !starts_statement(&p->tok)) {
		if (p->tok.type == TOK_OPEN)
			depth++;
		else if (p->tok.type == TOK_CLOSE && depth)
			depth--;
		parser_advance(p);
	}
}

static void skip_newlines(struct parser *p)
{
	while (p->tok.type == TOK_NEWLINE)
		parser_advance(p);
}

int parser_items(struct parser *p, item_fn *item, void *arg, size_t *n)
{
	struct token open = p->tok;
	size_t count = 0;
	int err;

	if (open.type != TOK_OPEN) {
		if (n)
			*n = 1;
		return item(p, arg);
	}
	parser_advance(p);
	for (;;) {
		skip_newlines(p);
		if (p->tok.type == TOK_CLOSE)
			break;
		if (p->tok.type == TOK_END || starts_statement(&p->tok)) {
			parser_error(p, &open, "a closing } behind it", "unterminated list");
			return -EINVAL;
		}
		err = item(p, arg);
		if (err && (err != -EINVAL || given_up(p)))
			return err;
		if (err)
			skip_item(p);
		count++;
		skip_newlines(p);
		if (p->tok.type == TOK_COMMA) {
			parser_advance(p);
		} else if (p->tok.type != TOK_CLOSE && p->tok.type != TOK_END &&
			   !starts_statement(&p->tok)) {
			parser_unexpected(p, "a comma or }");
			if (given_up(p))
				return -EINVAL;
			/* Most likely a forgotten comma; anything else must not loop. */
			if (p->tok.type != TOK_WORD && p->tok.type != TOK_STRING &&
			    p->tok.type != TOK_SET)
				parser_advance(p);
		}
	}
	parser_advance(p);
	if (n)
		*n = count;
	return 0;
}

static const char *bad_ifname(const char *s, size_t len)
{
	if (!len)
		return "an empty interface name";
	if (len >= IFNAMSIZ)
		return "an interface name has at most 15 characters";
	if ((len == 1 && s[0] == '.') || (len == 2 && !memcmp(s, "..", 2)))
		return "not an interface name";
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] > '~' || strchr("/:\\\"", s[i]))
			return "a character that interface names cannot have";
	return NULL;
}

int parser_ifname(struct parser *p, struct name_list *out)
{
	const struct token *t = &p->tok;
	const char *why;

	if (t->type != TOK_WORD && t->type != TOK_STRING)
		return parser_unexpected(p, "the name of an interface, or a \"glob*\"");
	why = bad_ifname(t->text, t->len);
	if (why) {
		parser_error(p, t, "the name of an interface, or a \"glob*\"", "%s", why);
		return -EINVAL;
	}
	if (ARRAY_RESERVE(out->names, out->cap, out->n + 1))
		return -ENOMEM;
	memset(out->names[out->n], 0, IFNAMSIZ);
	memcpy(out->names[out->n++], t->text, t->len);
	parser_advance(p);
	return 0;
}

static int parse_interface(struct parser *p)
{
	int err;

	do {
		err = parser_ifname(p, &p->rs->interfaces);
		if (err)
			return err;
	} while (!parser_at_end_of_statement(p));
	p->rs->interface_given = true;
	return 0;
}

static int parse_mark(struct parser *p)
{
	static const char one_bit[] = "a number with exactly one bit set, like 0x40";
	struct token t = p->tok;
	char text[16];
	unsigned int mark;

	if (p->rs->mark_given) {
		parser_error(p, &t, NULL, "mark is given twice");
		return -EINVAL;
	}
	if (t.type != TOK_WORD)
		return parser_unexpected(p, one_bit);
	if (t.len < sizeof(text)) {
		memcpy(text, t.text, t.len);
		text[t.len] = '\0';
	}
	if (t.len >= sizeof(text) || parse_u32(text, 0, ~0U, &mark)) {
		parser_error(p, &t, one_bit, "\"%.*s\" is not a 32-bit number", TOKEN_ARGS(&t));
		return -EINVAL;
	}
	if (__builtin_popcount(mark) != 1) {
		parser_error(p, &t, one_bit, "mark %.*s has %d bits set", TOKEN_ARGS(&t),
			     __builtin_popcount(mark));
		return -EINVAL;
	}
	p->rs->mark = mark;
	p->rs->mark_given = true;
	parser_advance(p);
	return 0;
}

static int failsafe_item(struct parser *p, void *arg)
{
	static const char shape[] = "a protocol and a port, like tcp 22";
	struct ruleset *rs = arg;
	struct failsafe_item item;
	const char *why;
	int proto;

	if (p->tok.type != TOK_WORD)
		return parser_unexpected(p, shape);
	proto = proto_by_name(p->tok.text, p->tok.len);
	if (proto < 0)
		return parser_unexpected(p, shape);
	if (!proto_has_ports((unsigned int)proto)) {
		parser_error(p, &p->tok, "tcp, udp, udplite, sctp or dccp", "%.*s has no ports",
			     TOKEN_ARGS(&p->tok));
		return -EINVAL;
	}
	parser_advance(p);
	if (p->tok.type != TOK_WORD)
		return parser_unexpected(p, "a port or a range of ports");
	if (port_range_parse(p->tok.text, p->tok.len, &item.ports, &why)) {
		parser_error(p, &p->tok, "a port or a range of ports", "%s", why);
		return -EINVAL;
	}
	item.proto = (__u8)proto;
	if (ARRAY_RESERVE(rs->failsafe, rs->cap_failsafe, rs->n_failsafe + 1))
		return -ENOMEM;
	rs->failsafe[rs->n_failsafe++] = item;
	parser_advance(p);
	return 0;
}

static int parse_failsafe(struct parser *p)
{
	struct ruleset *rs = p->rs;

	if (rs->failsafe_given) {
		parser_error(p, &p->tok, "one statement with all of them",
			     "failsafe is given twice");
		return -EINVAL;
	}
	if (p->tok.type != TOK_OPEN)
		return parser_unexpected(p, "a list, like { tcp 22 }");
	rs->failsafe_given = true;
	rs->n_failsafe = 0;
	return parser_items(p, failsafe_item, rs, NULL);
}

static unsigned int name_hash(const char *name, size_t len)
{
	unsigned int h = 2166136261U;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619U;
	return h ^ h >> 15;
}

/* The slot that holds the set of this name, or the free one where it would go. */
static const __u16 *set_slot(const struct parser *p, const char *name, size_t len)
{
	unsigned int i = name_hash(name, len);
	const struct named_set *s;

	for (;; i++) {
		const __u16 *slot = &p->set_slots[i % SET_SLOTS];

		if (!*slot)
			return slot;
		s = p->rs->sets[*slot - 1];
		if (strlen(s->name) == len && !memcmp(s->name, name, len))
			return slot;
	}
}

struct named_set *parser_find_set(const struct parser *p, const char *name, size_t len)
{
	__u16 slot = *set_slot(p, name, len);

	return slot ? p->rs->sets[slot - 1] : NULL;
}

size_t parser_set_index(const struct parser *p, const struct named_set *set)
{
	return *set_slot(p, set->name, strlen(set->name)) - 1U;
}

/* Enter the set with this index. */
static void index_set(struct parser *p, size_t index)
{
	const char *name = p->rs->sets[index]->name;

	p->set_slots[set_slot(p, name, strlen(name)) - p->set_slots] = (__u16)(index + 1);
}

static const char *bad_set_name(const struct token *t)
{
	if (t->len >= SET_NAME_MAX)
		return "a name of at most 31 characters";
	if (t->len == 5 && !memcmp(t->text, "local", 5))
		return "another name: local means this host's addresses";
	for (size_t i = 0; i < t->len; i++) {
		char c = t->text[i], lower = c | 0x20;

		if (!(lower >= 'a' && lower <= 'z') &&
		    (!i || !((c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.')))
			return "a letter, then letters, digits, _ - and .";
	}
	return t->len ? NULL : "a name";
}

/* Declares the set, so that rules which use it are checked even if its elements are wrong. */
static int declare_set(struct parser *p, const struct token *statement, struct named_set **out)
{
	const struct token *t = &p->tok;
	struct ruleset *rs = p->rs;
	const struct named_set *old;
	struct named_set *set;
	const char *expected;

	if (t->type != TOK_WORD && t->type != TOK_STRING)
		return parser_unexpected(p, "the name of the set");
	expected = bad_set_name(t);
	if (expected) {
		parser_error(p, t, expected, "\"%.*s\" cannot be the name of a set", TOKEN_ARGS(t));
		return -EINVAL;
	}
	old = parser_find_set(p, t->text, t->len);
	if (old) {
		parser_error(p, t, "another name", "set \"%s\" is already declared on line %u",
			     old->name, old->pos.line);
		return -EINVAL;
	}
	if (rs->n_sets >= SETS_MAX) {
		parser_error(p, t, NULL, "more than %d sets", SETS_MAX);
		p->stop = true;
		return -EINVAL;
	}
	if (ARRAY_RESERVE(rs->sets, rs->cap_sets, rs->n_sets + 1))
		return -ENOMEM;
	set = set_new(t->text, t->len);
	if (!set)
		return -ENOMEM;
	rs->sets[rs->n_sets++] = set;
	index_set(p, rs->n_sets - 1);
	set->pos_file = strdup(p->file);
	set->source = parser_source(p, t);
	if (!set->pos_file || !set->source)
		return -ENOMEM;
	set->pos = (struct pos){ set->pos_file, statement->line, statement->column };
	parser_advance(p);
	*out = set;
	return 0;
}

static int set_item(struct parser *p, void *arg)
{
	struct named_set *set = arg;
	const struct token *t = &p->tok;
	const char *expected = set->kind == SET_ADDRS	? "an address or a prefix"
			       : set->kind == SET_PORTS ? "a port or a range of ports"
							: "a prefix, or a port";
	char why[ELEMENT_WHY];
	struct element e;
	int err;

	if (t->type == TOK_SET) {
		parser_error(p, t, expected, "a set cannot contain another set");
		return -EINVAL;
	}
	if (t->type != TOK_WORD)
		return parser_unexpected(p, expected);
	if (token_is(t, "local")) {
		parser_error(p, t, expected, "local cannot be in a set; write it in the rule");
		return -EINVAL;
	}
	if (element_parse(t->text, t->len, set->kind, &e, why)) {
		parser_error(p, t, expected, "\"%.*s\": %s", TOKEN_ARGS(t), why);
		return -EINVAL;
	}
	set->kind = e.kind;
	err = element_append(&e, &set->addrs, &set->ports);
	if (!err && set->file)
		err = element_append(&e, &set->extra_addrs, &set->extra_ports);
	if (err)
		return err;
	parser_advance(p);
	return 0;
}

static int parse_set_file(struct parser *p, struct named_set *set)
{
	_strbuf_ struct strbuf path = { 0 };
	struct token t = p->tok;
	int err;

	if ((t.type != TOK_STRING && t.type != TOK_WORD) || !t.len)
		return parser_unexpected(p, "the \"path\" of the file");
	set->file = strndup(t.text, t.len);
	if (!set->file)
		return -ENOMEM;
	if (set->file[0] != '/' && strcmp(p->dir, "."))
		strbuf_addf(&path, "%s/", p->dir);
	strbuf_addf(&path, "%s", set->file);
	if (path.err)
		return path.err;
	parser_advance(p);
	err = set_load_file(set, path.s, p->d);
	if (err == -EINVAL) {
		p->failed = true;
		return 0;
	}
	if (err && err != -ENOMEM) {
		parser_error(p, &t, "a file that can be read", "set file \"%.*s\" was not read",
			     TOKEN_ARGS(&t));
		return 0;
	}
	return err;
}

static int parse_set(struct parser *p, const struct token *statement)
{
	struct named_set *set = NULL;
	int err;

	err = declare_set(p, statement, &set);
	if (err)
		return err;
	if (token_is(&p->tok, "file")) {
		parser_advance(p);
		err = parse_set_file(p, set);
		if (!err && p->tok.type == TOK_OPEN)
			err = parser_items(p, set_item, set, NULL);
	} else if (p->tok.type == TOK_OPEN) {
		err = parser_items(p, set_item, set, NULL);
	} else {
		return parser_unexpected(p, "{ elements } or file \"path\"");
	}
	set_normalise(set);
	prefix_list_normalise(&set->extra_addrs);
	port_list_normalise(&set->extra_ports);
	return err;
}

static bool is_rule(const struct token *t)
{
	return token_is(t, "track") || token_is(t, "notrack") || token_is(t, "forward");
}

static int parse_setting(struct parser *p)
{
	struct token t = p->tok;

	if (t.type != TOK_WORD)
		return parser_unexpected(p, "a statement");
	parser_advance(p);
	if (token_is(&t, "interface"))
		return parse_interface(p);
	if (token_is(&t, "mark"))
		return parse_mark(p);
	if (token_is(&t, "failsafe"))
		return parse_failsafe(p);
	if (token_is(&t, "set"))
		return parse_set(p, &t);
	parser_error(p, &t, "interface, mark, failsafe, set, track, notrack or forward",
		     "unknown statement \"%.*s\"", TOKEN_ARGS(&t));
	return -EINVAL;
}

static int parse_statement(struct parser *p)
{
	bool rule = is_rule(&p->tok);
	int err = rule ? parse_rule(p) : parse_setting(p);

	if (!err && !parser_at_end_of_statement(p))
		err = parser_unexpected(p, "the end of the line");
	if (!err && rule && !p->failed)
		err = parser_take_rule(p);
	return err;
}

static int parse_statements(struct parser *p)
{
	int err;

	for (;;) {
		skip_newlines(p);
		if (p->tok.type == TOK_END)
			break;
		p->failed = false;
		err = parse_statement(p);
		if (err && err != -EINVAL)
			return err;
		if (given_up(p))
			break;
		if (err)
			skip_statement(p);
	}
	return p->d->errors == p->errors_before ? 0 : -EINVAL;
}

/* The name, as positions are to point to it. NULL: out of memory. */
static const char *own_file_name(struct ruleset *rs, const char *name)
{
	char *copy;

	for (size_t i = 0; i < rs->n_files; i++)
		if (!strcmp(rs->files[i], name))
			return rs->files[i];
	if (ARRAY_RESERVE(rs->files, rs->cap_files, rs->n_files + 1))
		return NULL;
	copy = strdup(name);
	if (copy)
		rs->files[rs->n_files++] = copy;
	return copy;
}

static int parser_init(struct parser *p, struct ruleset *rs, const char *name, const char *dir,
		       const char *text, size_t len, struct diag *d)
{
	p->rs = rs;
	p->d = d;
	p->dir = dir;
	p->errors_before = d->errors;
	p->file = own_file_name(rs, name);
	if (!p->file)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_sets; i++)
		index_set(p, i);
	lexer_init(&p->lex, text, len);
	parser_advance(p);
	return 0;
}

static void explain_oom(struct diag *d, const char *name, int err)
{
	if (err && err != -EINVAL)
		diag_error(d, (struct pos){ .file = name }, NULL, NULL, "%s", strerror(-err));
}

int ruleset_parse_text(const char *name, const char *dir, const char *text, size_t len,
		       struct ruleset **out, struct diag *d)
{
	_ruleset_ struct ruleset *rs = ruleset_new();
	_free_ struct parser *p = calloc(1, sizeof(*p));
	int err = -ENOMEM;

	if (rs && p)
		err = parser_init(p, rs, name, dir, text, len, d);
	if (!err)
		err = parse_statements(p);
	if (!err)
		err = ruleset_lint(rs, d);
	explain_oom(d, name, err);
	if (p)
		rule_free(&p->rule);
	if (err)
		return err;
	*out = TAKE_PTR(rs);
	return 0;
}

int ruleset_parse_file(const char *path, struct ruleset **out, struct diag *d)
{
	struct pos pos = { .file = path };
	_free_ char *text = NULL, *dir = NULL;
	char *slash;
	size_t len;
	int err;

	err = read_file(path, FILE_MAX, &text, &len);
	if (err) {
		diag_error(d, pos, NULL, NULL, "cannot read: %s", read_strerror(err));
		return err;
	}
	dir = strdup(path);
	if (!dir) {
		explain_oom(d, path, -ENOMEM);
		return -ENOMEM;
	}
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	return ruleset_parse_text(path, slash ? dir : ".", text, len, out, d);
}

static int parse_one_rule(struct parser *p)
{
	int err;

	if (!is_rule(&p->tok))
		return parser_unexpected(p, "a rule: track, notrack or forward");
	err = parse_rule(p);
	if (err)
		return err;
	skip_newlines(p);
	if (p->tok.type != TOK_END)
		return parser_unexpected(p, "one rule and no more");
	return p->failed ? -EINVAL : parser_take_rule(p);
}

int ruleset_add_rule(struct ruleset *rs, const char *text, struct diag *d)
{
	_free_ struct parser *p = calloc(1, sizeof(*p));
	int err = -ENOMEM;

	if (p)
		err = parser_init(p, rs, "command line", ".", text, strlen(text), d);
	if (!err) {
		skip_newlines(p);
		err = parse_one_rule(p);
	}
	if (!err) {
		rs->rules[rs->n_rules - 1].runtime = true;
		err = lint_rule(rs, rs->n_rules - 1, d);
		if (err)
			ruleset_delete(rs, --rs->next_handle);
	}
	explain_oom(d, "command line", err);
	if (p)
		rule_free(&p->rule);
	return err;
}
