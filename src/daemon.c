// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "bpffs.h"
#include "daemon.h"
#include "log.h"
#include "module_watch.h"
#include "netns_lock.h"
#include "notify.h"
#include "privileges.h"
#include "unload.h"

#define DEBOUNCE_MS 20 /* events of the host come in bursts */

/* --- start --- */

static int open_pins(struct daemon *d)
{
	_free_ char *error = NULL;
	int err = bpffs_ensure(d->opt.pindir);

	if (err == 1)
		log_info("mounted a BPF file system on /sys/fs/bpf");
	if (err == -ENOTSUP)
		log_err("%s is not on a BPF file system; mount one: mount -t bpf bpf DIRECTORY",
			d->opt.pindir);
	else if (err < 0)
		log_err("%s: no BPF file system: %s", d->opt.pindir, strerror(-err));
	if (err < 0)
		return err;
	err = datapath_open(d->opt.pindir, d->opt.attach, &d->dp, &error);
	if (err)
		log_err("%s", error ? error : strerror(-err));
	return err;
}

static int lock_namespace(struct daemon *d)
{
	d->lock_fd = netns_lock();
	if (d->lock_fd == -EBUSY)
		log_err("another ctbypass daemon works in this network namespace");
	else if (d->lock_fd < 0)
		log_err("cannot lock this network namespace: %s", strerror(-d->lock_fd));
	return d->lock_fd < 0 ? d->lock_fd : 0;
}

static int open_watches(struct daemon *d)
{
	d->host_fd = host_watch_open();
	if (d->host_fd < 0) {
		log_err("cannot watch interfaces and addresses: %s", strerror(-d->host_fd));
		return d->host_fd;
	}
	d->nft_fd = nft_watch_open();
	if (d->nft_fd < 0) {
		log_err("cannot watch nftables: %s", strerror(-d->nft_fd));
		return d->nft_fd;
	}
	return 0;
}

static int watch(struct daemon *d, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(d->epfd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int daemon_watch_routing(struct daemon *d, bool on)
{
	int err;

	if (on == (d->routing != NULL))
		return 0;
	if (!on) {
		epoll_ctl(d->epfd, EPOLL_CTL_DEL, routing_watch_fd(d->routing), NULL);
		routing_watch_close(TAKE_PTR(d->routing));
		return 0;
	}
	err = routing_watch_open(&d->routing);
	if (err)
		return err;
	err = watch(d, routing_watch_fd(d->routing));
	if (err)
		routing_watch_close(TAKE_PTR(d->routing));
	return err;
}

static int open_loop(struct daemon *d, const sigset_t *signals)
{
	int fds[6], err = 0;

	d->signal_fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	d->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (d->signal_fd < 0 || d->timer_fd < 0 || d->epfd < 0)
		err = -errno;
	fds[0] = d->signal_fd;
	fds[1] = d->timer_fd;
	fds[2] = d->host_fd;
	fds[3] = d->nft_fd;
	fds[4] = control_fd(d->control);
	fds[5] = d->module_fd;
	for (size_t i = 0; !err && i < ARRAY_SIZE(fds); i++)
		err = fds[i] < 0 ? 0 : watch(d, fds[i]);
	if (err)
		log_err("event loop: %s", strerror(-err));
	return err;
}

/* What is in nft from before us. Something that cannot be continued is replaced. */
static void adopt_nft(struct daemon *d)
{
	_free_ char *error = NULL;
	int err, deaf;

	err = nft_adoptable() == 1 ? nft_adopt(&d->nft) : 0;
	if (err)
		log_warn("cannot continue with the nft table found (%s); its counters start "
			 "afresh",
			 strerror(-err));
	if (d->nft)
		return;
	nft_watch_pause(d->nft_fd); /* or we would take it for somebody else's doing */
	if (nft_remove(&error))
		log_warn("cannot remove what is left of table inet ctbypass: %s",
			 error ? error : "?");
	deaf = nft_watch_resume(d->nft_fd);
	if (deaf)
		log_warn("cannot watch nftables any more: %s", strerror(-deaf));
}

static int load_slots(struct daemon *d)
{
	_free_ struct ctb_rule_info *info = calloc(CTB_MAX_RULES, sizeof(*info));
	int err = info ? datapath_read_info(d->dp, info) : -ENOMEM;

	if (err)
		log_err("reading map rule_info: %s", strerror(-err));
	else
		slots_load(&d->slots, info, datapath_next_handle(d->dp));
	return err;
}

/* Replay on a copy: a line that does not fit any more must not leave half of the others. */
static int replay(struct daemon *d, struct ruleset **rs, char *const *lines, size_t n)
{
	_ruleset_ struct ruleset *copy = ruleset_clone(*rs);
	_diag_ struct diag diag = {};

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int err = journal_replay(copy, lines[i], &diag);

		if (err) {
			log_warn("run-time change `%s` cannot be made again: %s", lines[i],
				 diag.text.s ? diag.text.s : strerror(-err));
			return err;
		}
	}
	ruleset_free(*rs);
	*rs = TAKE_PTR(copy);
	d->changes = n;
	if (n)
		log_info("%zu run-time changes made again", n);
	return 0;
}

/*
 * Run-time changes that a previous daemon wrote down hold as long as the file they were made to
 * is the same. *stale: the journal is not for this file, or has been given up.
 */
static int adopt_journal(struct daemon *d, struct ruleset **rs, __u64 *hash, bool *stale)
{
	char **lines = NULL;
	__u64 written_for = 0;
	size_t n = 0;
	int err = journal_hash(d->opt.config, *rs, hash);

	if (!err)
		err = datapath_journal_read(d->dp, &lines, &n, &written_for);
	if (err) {
		log_err("reading the journal of run-time changes: %s", strerror(-err));
		return err;
	}
	*stale = written_for != *hash;
	if (*stale && n)
		log_warn("%s or a set file changed while no daemon ran; %zu run-time changes are "
			 "dropped",
			 d->opt.config, n);
	else if (!*stale)
		*stale = replay(d, rs, lines, n) != 0;
	for (size_t i = 0; i < n; i++) {
		if (*stale)
			log_warn("dropped: %s", lines[i]);
		free(lines[i]);
	}
	free(lines);
	return 0;
}

/* rs: what the file says; diag: what was said about it. Takes rs over. */
static int first_rules(struct daemon *d, struct ruleset *parsed, struct diag *diag)
{
	_ruleset_ struct ruleset *rs = parsed;
	_free_ char *error = NULL;
	struct change done;
	bool stale = true;
	__u64 hash = 0;
	int err = adopt_journal(d, &rs, &hash, &stale);

	if (err)
		return err;
	/* Handles come from what is adopted; the parser counts from 1 in every file. */
	for (size_t i = 0; i < rs->n_rules; i++)
		rs->rules[i].handle = 0;
	err = apply_ruleset(d, rs, &done, diag, &error);
	if (diag->text.s)
		log_msg(err ? LOG_LVL_ERR : LOG_LVL_WARN, "%s", diag->text.s);
	if (error)
		log_err("%s", error);
	if (err)
		return err;
	rs = NULL;
	if (stale && datapath_journal_reset(d->dp, hash))
		log_warn("cannot empty the journal of run-time changes");
	log_info("generation %u, %zu rules (%zu adopted), %llu conntrack entries removed",
		 datapath_generation(d->dp), d->live.rs->n_rules, done.kept,
		 (unsigned long long)done.swept.removed);
	if (done.swept.nat)
		log_warn("%llu flows with NAT are bypassed and will break; exempt them with a "
			 "`track` rule",
			 (unsigned long long)done.swept.nat);
	if (done.swept.offloaded)
		log_warn(CONNTRACK_OFFLOADED, (unsigned long long)done.swept.offloaded);
	return 0;
}

static void log_lacking(void *arg, enum feature_id id)
{
	const struct daemon *d = arg;
	const char *detail = d->features.f[id].detail;

	log_info("this kernel has no %s%s%s%s: %s", feature_name(id), detail[0] ? " (" : "", detail,
		 detail[0] ? ")" : "", feature_without(id));
}

/* Named before anything is touched, rather than found out in the middle of it. */
static int check_features(struct daemon *d)
{
	_strbuf_ struct strbuf missing = {};
	int err = features_probe(d->opt.pindir, false, &d->features);

	if (err) {
		log_err("cannot try what this kernel can do: %s", strerror(-err));
		return err;
	}
	if (features_missing(&d->features, &missing)) {
		log_err("missing here, and needed (`ctbypass features` has it all):\n%s",
			missing.s ? missing.s : "");
		return -ENOTSUP;
	}
	features_lacking(&d->features, log_lacking, d);
	return 0;
}

/*
 * Before files are read for the first time, so that a reload finds them under the same conditions,
 * and for good when nothing is left to be mounted.
 */
static int drop_privileges(bool starting)
{
	int err = privileges_drop(starting);

	if (err)
		log_err("cannot give up privileges: %s", strerror(-err));
	return err;
}

/* First of all: a daemon whose file has an error touches nothing. */
static int read_config(const struct daemon *d, struct ruleset **rs, struct diag *diag)
{
	int err = ruleset_parse_file(d->opt.config, rs, diag);

	if (err)
		log_err("%s", diag->text.s ? diag->text.s : strerror(-err));
	return err;
}

/*
 * Who can find the module, if it may be there one day. Where it is not even installed nobody keeps
 * the capability for it.
 */
static int start_broker(struct daemon *d)
{
	char path[256];
	int err;

	if (d->opt.hand_over == HAND_OVER_ONLY_MARK)
		return 0;
	if (!kfuncs_loaded() && kfuncs_installed(path, sizeof(path)))
		return 0;
	err = broker_start(&d->broker);
	if (err == -EPERM)
		return 0; /* the data plane says so if it matters */
	if (err) {
		log_err("cannot start the process that asks for modules: %s", strerror(-err));
		return err;
	}
	d->module_fd = module_watch_open();
	if (d->module_fd < 0)
		log_warn("a module that is loaded later will not be noticed: %s",
			 strerror(-d->module_fd));
	return 0;
}

static int open_all(struct daemon *d, const sigset_t *signals)
{
	_ruleset_ struct ruleset *rs = NULL;
	_diag_ struct diag diag = {};
	_free_ char *error = NULL;
	int err = drop_privileges(true);

	/* While we may still know whose programs there are. */
	d->found = unload_look(d->opt.pindir);
	if (!err)
		err = read_config(d, &rs, &diag);
	if (!err)
		err = check_features(d);
	if (!err)
		err = lock_namespace(d);
	if (!err)
		err = start_broker(d);
	if (!err)
		err = open_pins(d);
	if (!err)
		err = drop_privileges(false);
	if (err)
		return err;
	datapath_set_hand_over(d->dp, d->opt.hand_over, d->broker);
	err = control_open(d->opt.socket, daemon_request, d, &d->control, &error);
	if (err) {
		log_err("%s", error ? error : strerror(-err));
		return err;
	}
	/* Watches before the first look, so that nothing falls between. */
	err = open_watches(d);
	if (!err)
		err = open_loop(d, signals);
	if (err)
		return err;
	err = host_read(&d->host);
	if (err) {
		log_err("reading interfaces and addresses: %s", strerror(-err));
		return err;
	}
	err = load_slots(d);
	if (err)
		return err;
	adopt_nft(d);
	return first_rules(d, TAKE_PTR(rs), &diag);
}

/* Nobody else's business while we have the lock; who may have it now looks after everything. */
static void clean_up_failed_start(struct daemon *d)
{
	if (d->lock_fd < 0)
		d->lock_fd = netns_lock();
	if (d->lock_fd >= 0)
		unload_after_failed_start(d->opt.pindir, d->found);
}

static void close_all(struct daemon *d, bool started)
{
	control_close(d->control);
	routing_watch_close(d->routing);
	routing_free(&d->facts);
	live_free(&d->live);
	nft_state_free(d->nft);
	host_free(&d->host);
	datapath_close(d->dp);
	broker_stop(d->broker);
	if (!started)
		clean_up_failed_start(d);
	free(d->rule_warnings);
	free(d->host_trouble);
	cleanup_close(&d->signal_fd);
	cleanup_close(&d->timer_fd);
	cleanup_close(&d->host_fd);
	cleanup_close(&d->nft_fd);
	cleanup_close(&d->module_fd);
	cleanup_close(&d->epfd);
	cleanup_close(&d->lock_fd);
}

/* --- events --- */

/* first: READY=1 or nothing. */
static void say_status(const struct daemon *d, const char *first)
{
	notify_send("%sSTATUS=generation %u, %zu rules, %s", first, datapath_generation(d->dp),
		    d->live.rs->n_rules, hand_over_name(datapath_how(d->dp)->ingress));
}

static void on_hangup(struct daemon *d)
{
	_diag_ struct diag diag = {};
	_free_ char *error = NULL;
	json_t *reply = json_object();
	int err = reply ? 0 : -ENOMEM;

	notify_reloading();
	if (!err)
		err = daemon_reload(d, reply, &diag, &error);
	if (diag.text.s)
		log_msg(err ? LOG_LVL_ERR : LOG_LVL_WARN, "%s", diag.text.s);
	if (err)
		log_err("reload failed, nothing changed%s%s", error ? ": " : "",
			error ? error : "");
	json_decref(reply);
	say_status(d, "READY=1\n");
}

static void on_signal(struct daemon *d)
{
	struct signalfd_siginfo si;

	while (read(d->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			on_hangup(d);
		else
			d->quit = true;
	}
}

static void on_host_event(struct daemon *d)
{
	int r = host_watch_drain(d->host_fd);

	if (r < 0)
		log_warn("watching interfaces and addresses: %s", strerror(-r));
	if (r && !d->refresh_at)
		d->refresh_at = now_ms() + DEBOUNCE_MS;
}

static void on_routing_event(struct daemon *d)
{
	int r = routing_watch_drain(d->routing);

	if (r < 0)
		log_warn("watching how this host forwards: %s", strerror(-r));
	if (r && !d->refresh_at)
		d->refresh_at = now_ms() + DEBOUNCE_MS;
}

/* The module came: the same rules, by its way. It cannot go while our programs call it. */
static void on_module_event(struct daemon *d)
{
	if (!module_watch_drain(d->module_fd, KFUNCS_MODULE) ||
	    datapath_how(d->dp)->ingress == HAND_OVER_DIRECT ||
	    datapath_hand_over_wish(d->dp) == HAND_OVER_ONLY_MARK)
		return;
	log_info("module " KFUNCS_MODULE " was loaded");
	d->must_apply = true;
	if (!d->refresh_at)
		d->refresh_at = now_ms();
}

static void refresh_host(struct daemon *d)
{
	_free_ char *error = NULL;
	struct host old = d->host, fresh;
	int err = host_read(&fresh);

	d->refresh_at = 0;
	if (!err) {
		d->host = fresh;
		err = apply_host(d, &old, &error);
		host_free(&old);
	}
	free(d->host_trouble);
	d->host_trouble = NULL;
	if (!err)
		return;
	d->host_trouble = error ? TAKE_PTR(error) : strdup(strerror(-err));
	log_err("following interfaces and addresses: %s; trying again",
		d->host_trouble ? d->host_trouble : "out of memory");
	d->must_apply = true;
	d->refresh_at = now_ms() + RETRY_MS;
}

/* In direct mode it has no work, and may be on its way out. */
static bool mends_nft(const struct daemon *d)
{
	return nft_half_wanted(d) && !d->nft_leaving;
}

static bool table_present(const struct daemon *d)
{
	return nft_present(nft_state_mark(d->nft) != 0) != 0; /* an error says nothing */
}

/* Our table was removed, or changed, by somebody else: put it right. */
static void mend_nft(struct daemon *d, bool gone)
{
	_free_ char *error = NULL;

	if (gone ? apply_restore_nft(d, &error) : apply_repair_nft(d, &error)) {
		log_err("table inet ctbypass was %s and cannot be put back: %s",
			gone ? "removed" : "changed", error ? error : "out of memory");
		d->must_apply = true;
		d->refresh_at = now_ms() + RETRY_MS;
		return;
	}
	if (gone) {
		d->restored++;
		log_warn("table inet ctbypass was gone (did somebody run `nft flush ruleset`?); "
			 "put it back");
	} else {
		d->repaired++;
		log_info("somebody else changed table inet ctbypass, or may have; made it right");
	}
}

static void on_nft_event(struct daemon *d)
{
	int r = nft_watch_drain(d->nft_fd);

	if (r < 0)
		log_warn("watching nftables: %s", strerror(-r));
	if (r && mends_nft(d))
		mend_nft(d, !table_present(d));
}

/*
 * During a transaction of our own we did not listen. What somebody did to the table between its
 * end and our listening again, most likely `nft flush ruleset`, would never be noticed.
 */
static void look_after_own_nft(struct daemon *d)
{
	d->own_nft = false;
	if (mends_nft(d) && !table_present(d))
		mend_nft(d, true);
}

static __u64 earlier(__u64 a, __u64 b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

/* One timer for everything that waits. */
static void arm_timer(const struct daemon *d)
{
	__u64 at = earlier(earlier(d->settle_at, d->refresh_at), control_deadline(d->control));
	struct itimerspec t = {
		.it_value = { .tv_sec = (time_t)(at / 1000),
			      .tv_nsec = (long)(at % 1000) * 1000000 },
	};

	timerfd_settime(d->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void on_timer(struct daemon *d)
{
	__u64 now = now_ms();
	uint64_t fired;

	if (read(d->timer_fd, &fired, sizeof(fired)) < 0 && errno != EAGAIN)
		log_warn("timer: %s", strerror(errno));
	if (d->refresh_at && d->refresh_at <= now)
		refresh_host(d);
	if (d->settle_at && d->settle_at <= now)
		apply_settle(d);
	control_expire(d->control, now);
}

static void on_event(struct daemon *d, int fd)
{
	if (fd == d->signal_fd)
		on_signal(d);
	else if (fd == d->timer_fd)
		on_timer(d);
	else if (fd == d->host_fd)
		on_host_event(d);
	else if (fd == d->nft_fd)
		on_nft_event(d);
	else if (fd == d->module_fd)
		on_module_event(d);
	else if (d->routing && fd == routing_watch_fd(d->routing))
		on_routing_event(d);
	else
		control_dispatch(d->control, now_ms());
}

static int loop(struct daemon *d)
{
	struct epoll_event ev[8];

	while (!d->quit) {
		__u32 generation = datapath_generation(d->dp);
		int n;

		if (d->own_nft)
			look_after_own_nft(d);
		arm_timer(d);
		n = epoll_wait(d->epfd, ev, (int)ARRAY_SIZE(ev), -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n && !d->quit; i++)
			on_event(d, ev[i].data.fd);
		if (generation != datapath_generation(d->dp))
			say_status(d, "");
	}
	return 0;
}

int daemon_run(const struct daemon_options *o)
{
	struct daemon *d = calloc(1, sizeof(*d));
	sigset_t signals;
	bool started;
	int err;

	if (!d) {
		log_err("out of memory");
		return 1;
	}
	d->opt = *o;
	d->lock_fd = d->epfd = d->signal_fd = d->timer_fd = d->host_fd = d->nft_fd = -1;
	d->module_fd = -1;
	d->started = now_ms();
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);

	err = open_all(d, &signals);
	started = !err;
	if (started) {
		say_status(d, "READY=1\n");
		err = loop(d);
		if (err)
			log_err("event loop: %s", strerror(-err));
		notify_send("STOPPING=1");
		log_info("stopping; what is loaded goes on (`ctbypass unload` removes it)");
	}
	close_all(d, started);
	free(d);
	return err ? 1 : 0;
}
