/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CTBYPASS_JSON_TEXT_H
#define CTBYPASS_JSON_TEXT_H

#include <jansson.h>

/*
 * A JSON string of text that may be any bytes: names of devices, words of libraries and of other
 * people's rules. What is not UTF-8 has its bytes beyond ASCII replaced by "?". NULL: no memory.
 */
json_t *json_any_text(const char *s);

#endif
