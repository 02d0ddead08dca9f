// SPDX-License-Identifier: GPL-2.0-only
/* Names of counters: which rule's, and packets of which direction. */
#include <string.h>

#include "nft_tree.h"

static const char *const dir_suffix[] = { "orig", "reply", "error" };
_Static_assert(ARRAY_SIZE(dir_suffix) == CTB_DIR_MAX, "one suffix for each");

void counter_name(__u32 handle, enum ctb_dir dir, char name[24])
{
	if (handle)
		snprintf(name, 24, "r%u_%s", handle, dir_suffix[dir]);
	else
		snprintf(name, 24, "failsafe_%s", dir_suffix[dir]);
}

bool counter_parse(const char *name, __u32 *handle, enum ctb_dir *dir)
{
	const char *rest = strchr(name, '_');
	char number[16], again[24];
	unsigned int h = 0;

	if (!rest || rest - name >= (ptrdiff_t)sizeof(number))
		return false;
	memcpy(number, name, (size_t)(rest - name));
	number[rest - name] = '\0';
	if (strcmp(number, "failsafe") && (number[0] != 'r' || parse_u32(number + 1, 1, ~0U, &h)))
		return false;
	for (unsigned int d = 0; d < CTB_DIR_MAX; d++) {
		counter_name(h, (enum ctb_dir)d, again);
		if (!strcmp(name, again)) {
			*handle = h;
			*dir = (enum ctb_dir)d;
			return true;
		}
	}
	return false;
}
