/* SPDX-License-Identifier: GPL-2.0-only */
/* Limits on time, on machines of which CTB_SLOW says how much longer they may take. */
#ifndef CTBYPASS_TESTS_SLOW_H
#define CTBYPASS_TESTS_SLOW_H

#include <stdlib.h>

static inline double at_most(double seconds)
{
	const char *slow = getenv("CTB_SLOW");

	return slow ? seconds * strtod(slow, NULL) : seconds;
}

#endif
