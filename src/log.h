/* SPDX-License-Identifier: GPL-2.0-only */
/* One line on stderr per message; with systemd's <N> prefix when stderr is the journal. */
#ifndef CTBYPASS_LOG_H
#define CTBYPASS_LOG_H

#include <stdbool.h>
#include "util.h"

enum log_level {
	LOG_LVL_ERR,
	LOG_LVL_WARN,
	LOG_LVL_INFO,
	LOG_LVL_DEBUG
};

void log_init(enum log_level max);
void log_msg(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_err(...)   log_msg(LOG_LVL_ERR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LVL_DEBUG, __VA_ARGS__)

/*
 * libbpf's warnings and information at level debug, so that ours stay the ones a user sees: it
 * warns of things that are tried and may fail, like attaching where something is attached.
 */
void log_libbpf_init(void);

#endif
