// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include "util.h"

int array_reserve(void *array_ptr, size_t *cap, size_t need, size_t elem_size)
{
	size_t want = *cap ? *cap : 8;
	void *old, *grown;

	if (need <= *cap)
		return 0;
	while (want < need) {
		if (want > SIZE_MAX / 2)
			return -ENOMEM;
		want *= 2;
	}
	if (want > PTRDIFF_MAX / elem_size)
		return -ENOMEM;
	/* The array's own pointer type is unknown here: copying it keeps clear of aliasing rules.
	 */
	memcpy(&old, array_ptr, sizeof(old));
	grown = realloc(old, want * elem_size);
	if (!grown)
		return -ENOMEM;
	memcpy(array_ptr, &grown, sizeof(grown));
	*cap = want;
	return 0;
}

static int strbuf_room(struct strbuf *b, size_t extra)
{
	if (b->err)
		return b->err;
	if (extra >= SIZE_MAX - b->len)
		b->err = -ENOMEM;
	else
		b->err = ARRAY_RESERVE(b->s, b->cap, b->len + extra + 1);
	return b->err;
}

void strbuf_add(struct strbuf *b, const char *s, size_t len)
{
	if (strbuf_room(b, len))
		return;
	if (len)
		memcpy(b->s + b->len, s, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	size_t room;
	va_list ap;
	int n;

	if (strbuf_room(b, 0))
		return;
	room = b->cap - b->len;
	va_start(ap, fmt);
	n = vsnprintf(b->s + b->len, room, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n >= room) {
		if (strbuf_room(b, (size_t)n)) {
			b->s[b->len] = '\0';
			return;
		}
		va_start(ap, fmt);
		n = vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	if (n < 0) {
		b->s[b->len] = '\0';
		b->err = -ENOMEM;
		return;
	}
	b->len += (size_t)n;
}

void strbuf_free(struct strbuf *b)
{
	free(b->s);
	*b = (struct strbuf){ 0 };
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

int parse_u32(const char *text, unsigned int min, unsigned int max, unsigned int *out)
{
	unsigned long long value = 0;
	int base = 10, digit;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		digit = digit_value(*text);
		if (digit >= base)
			return -EINVAL;
		/* Saturates above every legal value, so that later garbage is still -EINVAL. */
		if (value <= UINT32_MAX)
			value = value * (unsigned int)base + (unsigned int)digit;
	}
	if (value < min || value > max)
		return -ERANGE;
	*out = (unsigned int)value;
	return 0;
}

int read_file(const char *path, size_t max, char **out, size_t *len)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_free_ char *buf = NULL;
	size_t n = 0, cap = 0;
	ssize_t got;
	int err;

	if (fd < 0)
		return -errno;
	/* By reading, not by st_size: files of /proc and pipes have none. */
	for (;;) {
		err = ARRAY_RESERVE(buf, cap, n + 4096);
		if (err)
			return err;
		got = read(fd, buf + n, cap - n - 1);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > max)
			return -EFBIG;
	}
	buf[n] = '\0';
	*len = n;
	*out = TAKE_PTR(buf);
	return 0;
}

int error_set(char **error, int err, const char *fmt, ...)
{
	va_list ap;

	free(*error);
	va_start(ap, fmt);
	if (vasprintf(error, fmt, ap) < 0)
		*error = NULL;
	va_end(ap);
	return err;
}

const char *read_strerror(int err)
{
	if (err == -EACCES && !geteuid())
		return "Permission denied; the daemon overrides no permissions, so root or all "
		       "must be given the right to read it";
	return strerror(-err);
}
