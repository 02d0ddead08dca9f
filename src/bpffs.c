// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "bpffs.h"
#include "util.h"

#define STANDARD "/sys/fs/bpf"

/* The file system of path, or of the nearest directory above it that is there. */
static int fs_type(const char *path, long *type)
{
	_free_ char *p = strdup(path);
	struct statfs fs;

	if (!p)
		return -ENOMEM;
	while (statfs(p, &fs)) {
		char *slash = strrchr(p, '/');

		if (errno != ENOENT || !slash)
			return -errno;
		slash[slash == p] = '\0'; /* "/" is as far as it goes */
	}
	*type = fs.f_type;
	return 0;
}

bool bpffs_there(const char *pindir)
{
	long type;

	return !fs_type(pindir, &type) && type == BPF_FS_MAGIC;
}

int bpffs_ensure(const char *pindir)
{
	size_t len = strlen(STANDARD);
	long type;
	int err = fs_type(pindir, &type);

	if (err)
		return err;
	if (type == BPF_FS_MAGIC)
		return 0;
	if (strncmp(pindir, STANDARD, len) || (pindir[len] != '/' && pindir[len]))
		return -ENOTSUP;
	err = fs_type(STANDARD, &type);
	if (err)
		return err;
	if (type == BPF_FS_MAGIC) /* then something else is mounted below it */
		return -ENOTSUP;
	if (mount("bpf", STANDARD, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return -errno;
	return 1;
}
