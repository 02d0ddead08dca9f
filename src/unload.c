// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "datapath_left.h"
#include "log.h"
#include "netns_lock.h"
#include "nft.h"
#include "unload.h"

/*
 * nft_silence() or nft_remove() in a process of its own: libnftables ends the one that it is in
 * when it gets no socket or no memory, and we would never know how far it was. 0, or as those.
 */
static int apart(int (*what)(char **error), char **error)
{
	char words[512] = "";
	int fds[2], status, err;
	ssize_t n;
	pid_t pid;

	if (pipe(fds))
		return error_set(error, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		_free_ char *said = NULL;

		err = what(&said);
		if (err && write(fds[1], said ? said : "", said ? strlen(said) : 0) < 0)
			_exit(2);
		_exit(err ? 1 : 0);
	}
	err = pid < 0 ? -errno : 0;
	close(fds[1]);
	n = err ? 0 : read(fds[0], words, sizeof(words) - 1);
	close(fds[0]);
	while (!err && waitpid(pid, &status, 0) < 0)
		err = errno == EINTR ? 0 : -errno;
	if (!err && (!WIFEXITED(status) || WEXITSTATUS(status)))
		err = -EIO;
	if (!err)
		return 0;
	return error_set(error, err, "nft: %s", n > 0 ? words : strerror(-err));
}

/* Steps 1 and 2. 0, or -errno with *error: everything is as it was. */
static int silence(struct datapath_left *l, char **error)
{
	int err = left_stop_forwarding(l);

	if (err)
		return error_set(error, err, "cannot stop forwarding: %s", strerror(-err));
	err = apart(nft_silence, error);
	if (err) /* it may have been done, and only the answer was lost */
		err = apart(nft_silence, error);
	if (err)
		left_forward_again(l);
	return err;
}

/* Step 3. 0; or 1 with *error: some are left. */
static int detach(struct datapath_left *l, const struct host *host, char **error)
{
	char device[IFNAMSIZ];
	int err = left_detach(l, host, error);

	if (!err && left_attached(host, device) == 1)
		err = error_set(error, -EBUSY,
				"%s has a program of ours that is not pinned below %s (-P)", device,
				l->pindir);
	return err ? 1 : 0;
}

static int remove_all(struct datapath_left *l, char **error)
{
	_cleanup_(host_free) struct host host = {};
	int err = host_read(&host);

	if (err)
		return error_set(error, err, "cannot read interfaces: %s", strerror(-err));
	err = silence(l, error);
	if (!err)
		err = detach(l, &host, error);
	if (err)
		return err;
	err = left_clear(l);
	if (err)
		error_set(error, err, "cannot clear %s: %s", l->pindir, strerror(-err));
	else if (nft_there())
		err = apart(nft_remove, error);
	return err ? 1 : 0;
}

int unload(const char *pindir, char **error)
{
	_cleanup_(left_close) struct datapath_left l = { .lock_fd = -1 };
	int err = left_open(pindir, &l, error);

	return err ? err : remove_all(&l, error);
}

/* --- without a daemon --- */

static enum unload_found look(const struct datapath_left *l)
{
	_cleanup_(host_free) struct host host = {};
	char device[IFNAMSIZ];
	int attached;

	if (l->state.swapping)
		return FOUND_TORN;
	if (l->state.generation || l->links)
		return FOUND_FORCE;
	if (nft_there() != 1)
		return FOUND_NOTHING;
	attached = host_read(&host) ? -EAGAIN : left_attached(&host, device);
	if (attached < 0)
		return FOUND_UNKNOWN;
	return attached ? FOUND_FORCE : FOUND_TABLE;
}

enum unload_found unload_look(const char *pindir)
{
	_cleanup_(left_close) struct datapath_left l = { .lock_fd = -1 };

	return left_look(pindir, &l) ? FOUND_UNKNOWN : look(&l);
}

static const char *words(enum unload_found found)
{
	switch (found) {
	case FOUND_TABLE:
		return "table inet " NFT_TABLE " is there, out of a saved ruleset it seems, and no "
		       "program that belongs to it: what this host sends is untracked, what "
		       "arrives is not; start the daemon, or run `ctbypass unload`";
	case FOUND_UNKNOWN:
		return "table inet " NFT_TABLE " is there, and it cannot be told whether a program "
		       "that belongs to it is attached; `ctbypass unload`, as root, removes it";
	case FOUND_TORN:
		return "a daemon died in the middle of a change of rules: what this host sends and "
		       "what arrives may be judged by different ones; start the daemon, or run "
		       "`ctbypass unload`";
	case FOUND_NOTHING:
	case FOUND_FORCE:
		break;
	}
	return NULL;
}

const char *unload_advice(const char *pindir)
{
	return geteuid() || netns_locked() ? NULL : words(unload_look(pindir));
}

/* Counters, handles and journal are kept for the next daemon. */
static void silence_torn(struct datapath_left *l)
{
	_cleanup_(host_free) struct host host = {};
	_free_ char *error = NULL;
	int err = host_read(&host);

	if (!err)
		err = silence(l, &error);
	if (!err)
		err = left_detach(l, &host, &error);
	if (!err)
		err = left_mend(l);
	if (err)
		log_err("a change of rules was broken off, and cannot be silenced (%s): what this "
			"host sends and what arrives may be judged by different rules; run "
			"`ctbypass unload`",
			error ? error : strerror(-err));
	else
		log_err("a change of rules was broken off in the middle: nothing is bypassed until "
			"a daemon starts");
}

void unload_after_failed_start(const char *pindir, enum unload_found found)
{
	_cleanup_(left_close) struct datapath_left l = { .lock_fd = -1 };
	_free_ char *error = NULL;
	int err;

	if (left_open(pindir, &l, &error))
		return;
	if (l.state.swapping && l.state.generation) {
		silence_torn(&l);
		return;
	}
	if (!l.state.swapping && (l.state.generation || l.links || found == FOUND_FORCE))
		return;
	if (found == FOUND_UNKNOWN) {
		log_warn("%s", words(found));
		return;
	}
	/* Otherwise nothing is there that was ever in force. */
	err = remove_all(&l, &error);
	if (err)
		log_err("cannot remove what this start leaves behind: %s; run `ctbypass unload`",
			error ? error : strerror(-err));
	else if (found == FOUND_TABLE)
		log_warn(
			"removed table inet " NFT_TABLE ", which belonged to no program here (out "
			"of a saved ruleset?): alone it would make untracked what this host sends, "
			"and only that");
}
