// SPDX-License-Identifier: GPL-2.0-only
/*
 * The child process is for three reasons: it can go into namespaces and be gone with them,
 * libnftables ends its process where it should return, and what a kernel does to somebody who
 * tries its darker corners shall not be done to the daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "features_priv.h"

#define SECONDS_MAX 30 /* for all of it; it takes a fraction of one */

#define REFUSED "the daemon refuses to start"
#define IN_TC	"`forward` rules forward in tc"
#define MARKED	"mark mode: tc marks, and nft makes packets UNTRACKED"

static const struct {
	const char *name, *what_for, *without;
	enum feature_need need;
} table[] = {
#define X(id, name, need, what_for, without) \
	[FEATURE_##id] = { name, what_for, without, FEATURE_##need },
	CTB_FEATURES(X)
#undef X
};

const char *feature_name(enum feature_id id)
{
	return table[id].name;
}

const char *feature_what_for(enum feature_id id)
{
	return table[id].what_for;
}

const char *feature_without(enum feature_id id)
{
	return table[id].without;
}

enum feature_need feature_need(enum feature_id id)
{
	return table[id].need;
}

const char *feature_state_name(enum feature_state s)
{
	static const char *const names[] = {
		[FEATURE_UNKNOWN] = "unknown",
		[FEATURE_YES] = "yes",
		[FEATURE_NO] = "no",
	};

	return names[s];
}

void feature_set(struct features *f, enum feature_id id, enum feature_state s, const char *fmt, ...)
{
	va_list ap;

	f->f[id].state = s;
	va_start(ap, fmt);
	vsnprintf(f->f[id].detail, sizeof(f->f[id].detail), fmt, ap);
	va_end(ap);
}

void feature_set_err(struct features *f, enum feature_id id, int err)
{
	switch (-err) {
	case 0:
		feature_set(f, id, FEATURE_YES, "%s", "");
		break;
	case EPERM:
	case EACCES:
	case ENOMEM:
	case ENOBUFS:
	case EMFILE:
	case ENFILE:
	case EINTR:
	case EAGAIN:
		feature_set(f, id, FEATURE_UNKNOWN, "%s", strerror(-err));
		break;
	default:
		feature_set(f, id, FEATURE_NO, "%s", strerror(-err));
	}
}

/* --- the child --- */

/*
 * A network namespace, and attaching something in it, costs a tenth of a second that a starting
 * daemon has better use for. What is tried without changes nothing either: see the attempts.
 */
void probe_own_net(struct probe *p)
{
	p->own_net = p->own_net || !unshare(CLONE_NEWNET);
}

static void enter_namespaces(struct probe *p, bool all)
{
	if (all)
		probe_own_net(p);
	/* Mounts of the new namespace must not appear in the old one. */
	p->own_mnt = !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static void probe_everything(struct probe *p, bool all)
{
	probe_capabilities(p);
	probe_bpf(p);
	probe_attach(p, all);
	if (all)
		probe_programs(p);
	probe_nft(p);
	probe_netlink(p);
	probe_bpffs(p);
	if (!all)
		return;
	probe_btf(p);
	probe_untrack_kfunc(p);
}

/* Libraries say what they miss, libnftables without being asked; we say it in our own words. */
static void be_silent(void)
{
	_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0 && (dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0))
		_exit(1);
}

static _Noreturn void child(struct features *shared, const char *pindir, bool all)
{
	struct probe p = { .out = shared, .pindir = pindir };

	signal(SIGALRM, SIG_DFL);
	alarm(SECONDS_MAX);
	be_silent();
	enter_namespaces(&p, all);
	probe_everything(&p, all);
	_exit(0);
}

static int run_child(struct features *shared, const char *pindir, bool all)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		child(shared, pindir, all);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	/* What it did not come to is unknown, and the rest is worth no less. */
	for (int i = 0; status && i < FEATURE_MAX; i++) {
		struct feature *f = &shared->f[i];

		if (f->state != FEATURE_UNKNOWN || f->detail[0])
			continue;
		if (WIFSIGNALED(status))
			feature_set(shared, (enum feature_id)i, FEATURE_UNKNOWN,
				    "trying ended with signal %d", WTERMSIG(status));
		else
			feature_set(shared, (enum feature_id)i, FEATURE_UNKNOWN,
				    "trying ended with status %d", WEXITSTATUS(status));
	}
	return 0;
}

int features_probe(const char *pindir, bool all, struct features *out)
{
	struct features *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct probe here = { .out = shared };
	int err;

	if (shared == MAP_FAILED)
		return -errno;
	err = run_child(shared, pindir, all);
	if (!err) {
		probe_kernel(&here);
		*out = *shared;
	}
	munmap(shared, sizeof(*shared));
	return err;
}

/* --- what it comes to --- */

size_t features_missing(const struct features *f, struct strbuf *text)
{
	size_t n = 0;

	for (int i = 0; i < FEATURE_MAX; i++) {
		enum feature_id id = (enum feature_id)i;
		bool needed = feature_need(id) == FEATURE_REQUIRED;

		/* Either of these will do. */
		if (id == FEATURE_CLSACT)
			needed = f->f[FEATURE_TCX].state == FEATURE_NO;
		if (!needed || f->f[i].state != FEATURE_NO)
			continue;
		n++;
		strbuf_addf(text, "%s: %s%s%s%s\n", feature_name(id), feature_what_for(id),
			    f->f[i].detail[0] ? " (" : "", f->f[i].detail,
			    f->f[i].detail[0] ? ")" : "");
	}
	return n;
}

void features_lacking(const struct features *f, void (*call)(void *arg, enum feature_id id),
		      void *arg)
{
	for (int i = 0; i < FEATURE_MAX; i++) {
		enum feature_id id = (enum feature_id)i;

		if (feature_need(id) != FEATURE_OPTIONAL || f->f[i].state != FEATURE_NO)
			continue;
		if (id == FEATURE_CLSACT && f->f[FEATURE_TCX].state == FEATURE_YES)
			continue;
		if (id == FEATURE_CAP_SYS_ADMIN && f->f[FEATURE_BPFFS].state == FEATURE_YES)
			continue;
		call(arg, id);
	}
}
