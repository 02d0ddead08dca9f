// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "pins.h"

static const char *const subdirs[] = { "maps", "links" };

static int path_of(char *out, size_t size, const char *dir, const char *sub, const char *name)
{
	int n = snprintf(out, size, "%s/%s%s%s", dir, sub, name ? "/" : "", name ? name : "");

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int make_dir(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

int pins_open(const char *pindir, bool make)
{
	_close_ int fd = -1;
	struct statfs fs;
	int err = make ? make_dir(pindir) : 0;

	if (err)
		return err;
	fd = open(pindir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs))
		return -errno;
	if (fs.f_type != BPF_FS_MAGIC) {
		if (make)
			rmdir(pindir); /* only goes if it is empty: then most likely just made */
		return -ENOTSUP;
	}
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	for (size_t i = 0; make && i < ARRAY_SIZE(subdirs); i++) {
		char path[PATH_MAX];

		err = path_of(path, sizeof(path), pindir, subdirs[i], NULL);
		if (!err)
			err = make_dir(path);
		if (err)
			return err;
	}
	return TAKE_FD(fd);
}

int pins_put(const char *pindir, const char *sub, const char *name, int fd)
{
	char path[PATH_MAX], fresh[PATH_MAX], tmp[64];
	int err;

	if (snprintf(tmp, sizeof(tmp), PINS_FRESH "%s", name) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	err = path_of(path, sizeof(path), pindir, sub, name);
	if (!err)
		err = path_of(fresh, sizeof(fresh), pindir, sub, tmp);
	if (err)
		return err;
	unlink(fresh); /* left by a daemon that died right here */
	if (bpf_obj_pin(fd, fresh))
		return -errno;
	if (rename(fresh, path)) {
		err = -errno;
		unlink(fresh);
		return err;
	}
	return 0;
}

int pins_get(const char *pindir, const char *sub, const char *name)
{
	char path[PATH_MAX];
	int err = path_of(path, sizeof(path), pindir, sub, name);
	int fd;

	if (err)
		return err;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int pins_remove(const char *pindir, const char *sub, const char *name)
{
	char path[PATH_MAX];
	int err = path_of(path, sizeof(path), pindir, sub, name);

	if (err)
		return err;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int pins_each(const char *pindir, const char *sub, int (*fn)(const char *name, void *arg),
	      void *arg)
{
	char path[PATH_MAX];
	int err = path_of(path, sizeof(path), pindir, sub, NULL);
	struct dirent *e;
	DIR *d;

	if (err)
		return err;
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			err = fn(e->d_name, arg);
	}
	closedir(d);
	return err;
}

struct removal {
	const char *pindir, *sub;
};

static int remove_one(const char *name, void *arg)
{
	const struct removal *r = arg;

	return pins_remove(r->pindir, r->sub, name);
}

int pins_clear(const char *pindir)
{
	for (size_t i = 0; i < ARRAY_SIZE(subdirs); i++) {
		struct removal r = { pindir, subdirs[i] };
		char path[PATH_MAX];
		int err = pins_each(pindir, subdirs[i], remove_one, &r);

		if (!err)
			err = path_of(path, sizeof(path), pindir, subdirs[i], NULL);
		if (err)
			return err;
		if (rmdir(path) && errno != ENOENT)
			return -errno;
	}
	return rmdir(pindir) && errno != ENOENT ? -errno : 0;
}
