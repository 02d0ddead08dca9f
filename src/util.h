/* SPDX-License-Identifier: GPL-2.0-only */
/* Ownership by scope, and the few helpers every file needs. */
#ifndef CTBYPASS_UTIL_H
#define CTBYPASS_UTIL_H

#include <linux/types.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _cleanup_(f)   __attribute__((cleanup(f)))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _free_	 _cleanup_(cleanup_free)
#define _close_	 _cleanup_(cleanup_close) /* initialise with -1 */
#define _fclose_ _cleanup_(cleanup_fclose)

/* Move ownership out of a variable that cleans up after itself. */
#define TAKE_PTR(p) \
	({ \
		__typeof__(p) _taken = (p); \
		(p) = NULL; \
		_taken; \
	})
#define TAKE_FD(fd) \
	({ \
		int _taken = (fd); \
		(fd) = -1; \
		_taken; \
	})

/*
 * Make room for `need` elements in all (n + 1 to append one) in a growing array, whose capacity
 * doubles. 0 or -ENOMEM; on failure the array is as it was.
 */
int array_reserve(void *array_ptr, size_t *cap, size_t need, size_t elem_size);
#define ARRAY_RESERVE(arr, cap, need) array_reserve(&(arr), &(cap), (need), sizeof(*(arr)))

/* A growing string. Zero-initialise; after -ENOMEM `err` is set and appends do nothing. */
struct strbuf {
	char *s; /* NUL-terminated once anything was appended; else NULL */
	size_t len, cap;
	int err; /* 0 or -ENOMEM, sticky */
};

void strbuf_addf(struct strbuf *b, const char *fmt, ...) _printf_(2, 3);
void strbuf_add(struct strbuf *b, const char *s, size_t len);
void strbuf_free(struct strbuf *b);
#define _strbuf_ _cleanup_(strbuf_free)

/*
 * Replace the text in *error (NULL or allocated; NULL when out of memory) and return err, for
 * `return error_set(error, -EINVAL, ...)`.
 */
int error_set(char **error, int err, const char *fmt, ...) _printf_(3, 4);

/*
 * The whole text as an unsigned number (base 10, or 16 after 0x) in [min, max]. 0, -EINVAL for
 * what is no number, -ERANGE. *out untouched on failure.
 */
int parse_u32(const char *text, unsigned int min, unsigned int max, unsigned int *out);

/* Whole file into a NUL-terminated buffer of at most max bytes. 0 or -errno (-EFBIG). */
int read_file(const char *path, size_t max, char **out, size_t *len);

/* strerror() for a file that cannot be read; root is told why not even root may. */
const char *read_strerror(int err);

/* Milliseconds of CLOCK_MONOTONIC. */
static inline __u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (__u64)t.tv_sec * 1000 + (__u64)t.tv_nsec / 1000000;
}

#endif
