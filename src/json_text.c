// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "json_text.h"
#include "util.h"

json_t *json_any_text(const char *s)
{
	json_t *v = json_string(s);
	_free_ char *ascii = NULL;

	if (v)
		return v;
	ascii = strdup(s);
	for (char *p = ascii; p && *p; p++) {
		if (*p & 0x80)
			*p = '?';
	}
	return ascii ? json_string(ascii) : NULL;
}
