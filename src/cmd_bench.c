// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the benchmark, a program of its own (bench/), so that the daemon's binary does not carry
 * packet generators: beside this binary in the build directory, in ../lib/ctbypass when installed.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "util.h"

/* Path of the benchmark, for the program at self. False: there is none. */
static bool find_benchmark(const char *self, char *out, size_t size)
{
	static const char *const places[] = { "bench/ctbypass-bench", "../lib/ctbypass/bench" };
	const char *slash = strrchr(self, '/');

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int n = snprintf(out, size, "%.*s/%s", (int)(slash - self), self, places[i]);

		if (n > 0 && (size_t)n < size && !access(out, X_OK))
			return true;
	}
	return false;
}

int cmd_bench(const struct args *a)
{
	_free_ char **argv = calloc((size_t)a->argc + 4, sizeof(*argv));
	char self[PATH_MAX], path[PATH_MAX];
	ssize_t n;

	if (!argv)
		return command_fail("out of memory");
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0 || self[0] != '/')
		return command_fail("/proc/self/exe: %s", strerror(n < 0 ? errno : ENOENT));
	self[n] = '\0';
	if (!find_benchmark(self, path, sizeof(path)))
		return command_fail(
			"the benchmark is not installed: neither bench/ctbypass-bench nor "
			"../lib/ctbypass/bench beside %s",
			self);
	argv[0] = path;
	/* Measure this very binary, unless another is named behind it. */
	argv[1] = (char *)"-b";
	argv[2] = self;
	memcpy(argv + 3, a->argv, sizeof(*argv) * (size_t)a->argc);
	execv(path, argv);
	return command_fail("%s: %s", path, strerror(errno));
}
