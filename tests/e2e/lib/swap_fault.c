// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded into the daemon by 22_half_swaps.sh: its swaps of programs at tc go wrong where file
 * $CTB_FAULT says so. "die N": the process is killed when it comes to the Nth from now; "once N":
 * the Nth is refused; "fail N": and all that follow. Without the file nothing goes wrong.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 0, or -EIO: this one is to fail. */
static int fault(void)
{
	const char *path = getenv("CTB_FAULT");
	FILE *f = path ? fopen(path, "r+") : NULL;
	char word[8] = "";
	int n = 0, err = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%7s %d", word, &n) == 2 && n > 0) {
		if (n == 1 && !strcmp(word, "die"))
			kill(getpid(), SIGKILL);
		if (n == 1)
			err = -EIO;
		rewind(f);
		fprintf(f, "%s %d\n", word, n > 1 ? n - 1 : strcmp(word, "once") ? 1 : 0);
	}
	fclose(f);
	return err;
}

int bpf_link_update(int link_fd, int prog_fd, const struct bpf_link_update_opts *opts)
{
	int (*real)(int, int, const struct bpf_link_update_opts *) = NULL;
	int err = fault();

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	if (err) {
		errno = -err;
		return err;
	}
	return real(link_fd, prog_fd, opts);
}

int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)
{
	int (*real)(const struct bpf_tc_hook *, struct bpf_tc_opts *) = NULL;
	int err = fault();

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	return err ? err : real(hook, opts);
}
