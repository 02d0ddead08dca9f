/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CTB_BENCH_COMPARE_H
#define CTB_BENCH_COMPARE_H

#include <jansson.h>

/* A result that was written before; ends the program when it is none. */
json_t *result_read(const char *path);

/*
 * Say what differs between two results beyond the noise. Rows are compared by their ratio to the
 * row that they have as reference, round by round, because that is what a busy machine leaves
 * alone; references by their time. A difference of medians is one if the interval of 99 % that
 * resampling the rounds gives for it does not contain zero, and if it is over 1 %. Amounts differ
 * when they do by over 10 %.
 */
void compare(const json_t *old, const json_t *new);

#endif
