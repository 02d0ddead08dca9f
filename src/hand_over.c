// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "hand_over.h"
#include "util.h"

const char *hand_over_name(enum hand_over_method m)
{
	return m == HAND_OVER_DIRECT ? "direct" : "mark";
}

int hand_over_parse(const char *text, enum hand_over_wish *out)
{
	static const char *const names[] = {
		[HAND_OVER_AUTO] = "auto",
		[HAND_OVER_ONLY_MARK] = "mark",
		[HAND_OVER_ONLY_DIRECT] = "direct",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			*out = (enum hand_over_wish)i;
			return 0;
		}
	}
	return -EINVAL;
}
