// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sorting a million prefixes: in place and byte by byte (McIlroy, Bostic, McIlroy: "Engineering
 * Radix Sort", 1993, American flag sort). qsort() copies the array and takes four times as long.
 */
#include "set.h"

#define SMALL 24 /* below this many elements, insertion sort */

static inline unsigned int byte4(const struct prefix4 *p, unsigned int depth)
{
	return depth < 4 ? p->addr >> (24 - 8 * depth) & 255 : p->len;
}

static inline unsigned int byte6(const struct prefix6 *p, unsigned int depth)
{
	if (depth < 8)
		return p->hi >> (56 - 8 * depth) & 255;
	if (depth < 16)
		return p->lo >> (56 - 8 * (depth - 8)) & 255;
	return p->len;
}

/* flag(): elements agree in the bytes before depth. Recursion ends at the last byte. */
#define DEFINE_SORT(insertion, flag, type, byte_of, cmp, bytes) \
	static void insertion(type *v, size_t n) \
	{ \
		for (size_t i = 1; i < n; i++) { \
			type x = v[i]; \
			size_t k = i; \
\
			for (; k && cmp(&v[k - 1], &x) > 0; k--) \
				v[k] = v[k - 1]; \
			v[k] = x; \
		} \
	} \
\
	static void flag(type *v, size_t n, unsigned int depth) \
	{ \
		size_t next[256], end[256], at = 0; \
\
		if (n < SMALL) { \
			insertion(v, n); \
			return; \
		} \
		for (unsigned int b = 0; b < 256; b++) \
			end[b] = 0; \
		for (size_t i = 0; i < n; i++) \
			end[byte_of(&v[i], depth)]++; \
		for (unsigned int b = 0; b < 256; b++) { \
			next[b] = at; \
			at += end[b]; \
			end[b] = at; \
		} \
		for (unsigned int b = 0; b < 256; b++) { \
			while (next[b] < end[b]) { \
				type x = v[next[b]]; \
				unsigned int home = byte_of(&x, depth); \
\
				if (home == b) { \
					next[b]++; \
					continue; \
				} \
				v[next[b]] = v[next[home]]; \
				v[next[home]++] = x; \
			} \
		} \
		if (depth + 1 == (bytes)) \
			return; \
		for (unsigned int b = 0; b < 256; b++) { \
			at = b ? end[b - 1] : 0; \
			if (end[b] - at > 1) \
				flag(v + at, end[b] - at, depth + 1); \
		} \
	}

DEFINE_SORT(insertion4, flag4, struct prefix4, byte4, prefix4_cmp, 5)
DEFINE_SORT(insertion6, flag6, struct prefix6, byte6, prefix6_cmp, 17)

/* Files are sorted more often than not. */
void prefix4_sort(struct prefix4 *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (prefix4_cmp(&v[i - 1], &v[i]) > 0) {
			flag4(v, n, 0);
			return;
		}
	}
}

void prefix6_sort(struct prefix6 *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (prefix6_cmp(&v[i - 1], &v[i]) > 0) {
			flag6(v, n, 0);
			return;
		}
	}
}
