// SPDX-License-Identifier: GPL-2.0-only
/*
 * Set files: a million lines, read through one small buffer, so that memory is the elements' own.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "set.h"

#define BUFFER_SIZE  (256 * 1024) /* also the longest line */
#define ELEMENTS_MAX (1U << 24)

struct reader {
	struct named_set *set;
	struct diag *d;
	const char *path;
	unsigned int line, errors;
};

static void line_error(struct reader *r, const char *line, const char *end, const char *at,
		       const char *expected, const char *what)
{
	_free_ char *copy = strndup(line, (size_t)(end - line));
	struct pos pos = { r->path, r->line, (unsigned int)(at - line) + 1 };

	diag_error(r->d, pos, copy, expected, "%s", what);
	r->errors++;
}

static int read_line(struct reader *r, const char *line, const char *end)
{
	struct named_set *set = r->set;
	const char *s = line, *word, *word_end;
	char why[ELEMENT_WHY];
	struct element e;
	int err;

	while (s < end && (*s == ' ' || *s == '\t' || *s == '\r'))
		s++;
	if (s == end || *s == '#')
		return 0;
	word = s;
	while (s < end && *s != ' ' && *s != '\t' && *s != '\r' && *s != '#')
		s++;
	word_end = s;
	while (s < end && (*s == ' ' || *s == '\t' || *s == '\r'))
		s++;
	if (s < end && *s != '#') {
		line_error(r, line, end, s, "the end of the line", "one element a line");
		return 0;
	}
	if (element_parse(word, (size_t)(word_end - word), set->kind, &e, why)) {
		line_error(r, line, end, word,
			   set->kind == SET_ADDRS   ? "an address or a prefix"
			   : set->kind == SET_PORTS ? "a port or a range of ports"
						    : "a prefix, or a port",
			   why);
		return 0;
	}
	set->kind = e.kind;
	err = element_append(&e, &set->addrs, &set->ports);
	if (!err && set->addrs.n4 + set->addrs.n6 + set->ports.n > ELEMENTS_MAX)
		err = -E2BIG;
	return err;
}

/* Every whole line of buf; returns the bytes used, or -errno. At the end of file the rest too. */
static ssize_t read_lines(struct reader *r, const char *buf, size_t len, bool last)
{
	const char *s = buf, *end = buf + len, *eol;
	int err;

	while (s < end && r->errors < DIAG_KEPT) {
		eol = memchr(s, '\n', (size_t)(end - s));
		if (!eol && !last)
			break;
		if (!eol)
			eol = end;
		r->line++;
		err = read_line(r, s, eol);
		if (err)
			return err;
		s = eol < end ? eol + 1 : end;
	}
	return s - buf;
}

static int read_all(struct reader *r, int fd, char *buf)
{
	size_t have = 0;
	bool start = true;
	ssize_t got, used;

	while (r->errors < DIAG_KEPT) {
		got = read(fd, buf + have, BUFFER_SIZE - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		have += (size_t)got;
		if (start && have < 3 && got > 0)
			continue;
		if (start && have >= 3 && !memcmp(buf, "\xef\xbb\xbf", 3)) {
			have -= 3;
			memmove(buf, buf + 3, have);
		}
		start = false;
		used = read_lines(r, buf, have, got == 0);
		if (used < 0)
			return (int)used;
		if (got == 0)
			return 0;
		have -= (size_t)used;
		memmove(buf, buf + used, have);
		if (have == BUFFER_SIZE) {
			r->line++;
			line_error(r, buf, buf + 64, buf, "one element a line",
				   "the line is too long");
			return 0;
		}
	}
	return 0;
}

int set_load_file(struct named_set *s, const char *path, struct diag *d)
{
	struct reader r = { .set = s, .d = d, .path = path };
	struct pos pos = { .file = path };
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_free_ char *buf = malloc(BUFFER_SIZE);
	int err;

	if (!buf)
		err = -ENOMEM;
	else if (fd < 0)
		err = -errno;
	else
		err = read_all(&r, fd, buf);
	if (err == -E2BIG)
		diag_error(d, pos, NULL, NULL, "more than %u elements", ELEMENTS_MAX);
	else if (err)
		diag_error(d, pos, NULL, NULL, "cannot read set \"%s\": %s", s->name,
			   read_strerror(err));
	return err ? err : r.errors ? -EINVAL : 0;
}
