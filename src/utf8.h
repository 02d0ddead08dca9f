/* SPDX-License-Identifier: GPL-2.0-only */
/* Just enough UTF-8 to refuse or show what is not plain text. */
#ifndef CTBYPASS_UTF8_H
#define CTBYPASS_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the character that s starts with (1-4), its number in *code; 0: not UTF-8. */
int utf8_decode(const char *s, size_t len, unsigned int *code);
/* Not a control character, nor one that turns the direction of the text around. */
bool utf8_printable(unsigned int code);

/* Is c inside a character, not at its start? */
static inline bool utf8_continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

#endif
