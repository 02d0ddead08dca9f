// SPDX-License-Identifier: GPL-2.0-only
#include "utf8.h"

int utf8_decode(const char *s, size_t len, unsigned int *code)
{
	/* By length: the smallest number that needs it, so that overlong forms are refused. */
	static const unsigned int least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int c, n, i;

	if (!len)
		return 0;
	c = (unsigned char)s[0];
	if (c < 0x80) {
		*code = c;
		return 1;
	}
	if (c >= 0xc0 && c < 0xe0) {
		n = 2;
		c &= 0x1f;
	} else if (c >= 0xe0 && c < 0xf0) {
		n = 3;
		c &= 0x0f;
	} else if (c >= 0xf0 && c < 0xf8) {
		n = 4;
		c &= 0x07;
	} else {
		return 0;
	}
	if (len < n)
		return 0;
	for (i = 1; i < n; i++) {
		if (!utf8_continues(s[i]))
			return 0;
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return (int)n;
}

bool utf8_printable(unsigned int code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		return false;
	/* Line and paragraph separators, embeddings, overrides and isolates. */
	return !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069);
}
