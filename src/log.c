// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

static enum log_level max_level = LOG_LVL_INFO;
static bool to_journal;

static const struct {
	const char *journal; /* sd-daemon(3) */
	const char *plain;
} prefixes[] = {
	[LOG_LVL_ERR] = { "<3>", "ctbypass: error: " },
	[LOG_LVL_WARN] = { "<4>", "ctbypass: warning: " },
	[LOG_LVL_INFO] = { "<6>", "ctbypass: " },
	[LOG_LVL_DEBUG] = { "<7>", "ctbypass: debug: " },
};

/* systemd.exec(5): JOURNAL_STREAM is device:inode of the stream that goes to the journal. */
static bool stderr_is_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	char here[48];
	struct stat st;

	if (!env || fstat(STDERR_FILENO, &st))
		return false;
	snprintf(here, sizeof(here), "%lu:%lu", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
	return !strcmp(env, here);
}

void log_init(enum log_level max)
{
	max_level = max;
	to_journal = stderr_is_journal();
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	_free_ char *text = NULL;
	int saved = errno;
	char *line, *rest;
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	/* Diagnostics span lines; the journal and grep want each of them marked. */
	for (line = text; line && *line; line = rest) {
		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		fprintf(stderr, "%s%s\n",
			to_journal ? prefixes[level].journal : prefixes[level].plain, line);
	}
	errno = saved;
}

static _printf_(2, 0) int from_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	_free_ char *text = NULL;

	if (level == LIBBPF_DEBUG || max_level < LOG_LVL_DEBUG)
		return 0;
	if (vasprintf(&text, fmt, ap) < 0)
		return 0;
	log_debug("%s", text);
	return 0;
}

void log_libbpf_init(void)
{
	libbpf_set_print(from_libbpf);
}
