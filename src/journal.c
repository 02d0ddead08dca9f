// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run-time changes as text, one line each, in the words of the command line. `delete 7 # 3` has
 * the rule's place in the list behind it: handles are given afresh when the file is read again,
 * but the same lines on the same file always find the same list.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "daemon.h"

#define CONFIG_MAX (1UL << 30) /* of one file, in bytes */
#define FNV_START  0xcbf29ce484222325ULL
#define FNV_PRIME  0x100000001b3ULL

void journal_lines_free(struct journal_lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct journal_lines){};
}

static int put(struct journal_lines *l, struct strbuf *text)
{
	if (text->err)
		return text->err;
	if (text->len >= JOURNAL_LINE_MAX)
		return -EFBIG;
	if (ARRAY_RESERVE(l->v, l->cap, l->n + 1))
		return -ENOMEM;
	l->v[l->n++] = TAKE_PTR(text->s);
	*text = (struct strbuf){};
	return 0;
}

int journal_add(struct journal_lines *l, const struct rule *r)
{
	_strbuf_ struct strbuf text = {};

	strbuf_addf(&text, "add ");
	rule_print(r, &text);
	while (text.len && text.s[text.len - 1] == '\n')
		text.s[--text.len] = '\0';
	return put(l, &text);
}

int journal_delete(struct journal_lines *l, __u32 handle, size_t index)
{
	_strbuf_ struct strbuf text = {};

	strbuf_addf(&text, "delete %u # %zu", handle, index);
	return put(l, &text);
}

int journal_set(struct journal_lines *l, bool add, const char *name, char *const *elements,
		size_t n)
{
	size_t i = 0;

	while (i < n) {
		_strbuf_ struct strbuf text = {};
		size_t on_line = 0;
		int err;

		strbuf_addf(&text, "set %s %s", add ? "add" : "delete", name);
		for (; i < n && text.len + 1 + strlen(elements[i]) < JOURNAL_LINE_MAX; i++) {
			strbuf_addf(&text, " %s", elements[i]);
			on_line++;
		}
		if (!on_line)
			return -EFBIG;
		err = put(l, &text);
		if (err)
			return err;
	}
	return 0;
}

/* --- replay --- */

static int replay_delete(struct ruleset *rs, const char *text)
{
	unsigned int handle, index;
	char junk;

	if (sscanf(text, "%u # %u%c", &handle, &index, &junk) != 2 || index >= rs->n_rules)
		return -EINVAL;
	return ruleset_delete(rs, rs->rules[index].handle);
}

static int replay_set(struct ruleset *rs, bool add, char *text, struct diag *diag)
{
	char *elements[JOURNAL_LINE_MAX / 2];
	size_t n = 0;
	char *rest, *name = strtok_r(text, " ", &rest);

	for (char *e; name && n < ARRAY_SIZE(elements) && (e = strtok_r(NULL, " ", &rest));)
		elements[n++] = e;
	if (!n)
		return -EINVAL;
	return ruleset_set_change(rs, name, add, elements, n, diag);
}

/* What follows prefix in text, or NULL. */
static char *after(char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) ? NULL : text + len;
}

int journal_replay(struct ruleset *rs, const char *line, struct diag *diag)
{
	_free_ char *copy = strdup(line);
	char *rest;

	if (!copy)
		return -ENOMEM;
	rest = after(copy, "add ");
	if (rest)
		return ruleset_add_rule(rs, rest, diag);
	rest = after(copy, "delete ");
	if (rest)
		return replay_delete(rs, rest);
	rest = after(copy, "set add ");
	if (rest)
		return replay_set(rs, true, rest, diag);
	rest = after(copy, "set delete ");
	if (rest)
		return replay_set(rs, false, rest, diag);
	return -EINVAL;
}

/* --- which file --- */

static int hash_file(const char *path, __u64 *h)
{
	_free_ char *text = NULL;
	size_t len;
	int err = read_file(path, CONFIG_MAX, &text, &len);

	if (err)
		return err;
	for (size_t i = 0; i < len; i++)
		*h = (*h ^ (unsigned char)text[i]) * FNV_PRIME;
	/* The length too, so that what moves from one file to the next is noticed. */
	for (int i = 0; i < 64; i += 8)
		*h = (*h ^ (len >> i & 0xff)) * FNV_PRIME;
	return 0;
}

/* Relative names are beside the file that names them. */
static int set_path(const struct named_set *s, const char *config, char **out)
{
	const char *from = s->pos.file ? s->pos.file : config;
	const char *slash = strrchr(from, '/');
	int n;

	if (s->file[0] == '/' || !slash)
		n = asprintf(out, "%s", s->file);
	else
		n = asprintf(out, "%.*s/%s", (int)(slash - from), from, s->file);
	if (n < 0)
		*out = NULL;
	return n < 0 ? -ENOMEM : 0;
}

int journal_hash(const char *config, const struct ruleset *rs, __u64 *out)
{
	__u64 h = FNV_START;
	int err = hash_file(config, &h);

	for (size_t i = 0; !err && i < rs->n_sets; i++) {
		_free_ char *path = NULL;

		if (!rs->sets[i]->file)
			continue;
		err = set_path(rs->sets[i], config, &path);
		if (!err)
			err = hash_file(path, &h);
	}
	if (!err)
		*out = h;
	return err;
}
