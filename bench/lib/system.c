// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "system.h"

void die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

/* --- files --- */

void file_create(const char *path, const char *text)
{
	_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t len = strlen(text);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, text + at, len - at);

		if (n < 0)
			die("%s: %s", path, strerror(errno));
		at += (size_t)n;
	}
}

void file_write(const char *path, const char *text)
{
	_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("%s: %s", path, strerror(errno));
}

void file_read(const char *path, char *out, size_t size)
{
	_fclose_ FILE *f = fopen(path, "re");

	if (!f || !fgets(out, (int)size, f))
		*out = '\0';
	out[strcspn(out, "\n")] = '\0';
}

unsigned long file_number(const char *path)
{
	char text[64];

	file_read(path, text, sizeof(text));
	if (!isdigit((unsigned char)*text))
		die("%s: no number", path);
	return strtoul(text, NULL, 10);
}

/* --- namespaces and commands --- */

int netns_new(void)
{
	static const char *const lo[] = { "ip", "link", "set", "lo", "up", NULL };
	_close_ int back = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd;

	if (back < 0 || unshare(CLONE_NEWNET))
		die("new network namespace: %s", strerror(errno));
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("network namespace: %s", strerror(errno));
	file_write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	file_write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	command(NULL, lo);
	netns_enter(back);
	return fd;
}

void netns_ipv6(void)
{
	static const char *const off[] = { "disable_ipv6", "accept_dad", "dad_transmits",
					   "router_solicitations" };
	static const char *const which[] = { "all", "default" };
	char path[96];

	for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(off); k++) {
			snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", which[i],
				 off[k]);
			file_write(path, "0");
		}
		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/forwarding", which[i]);
		file_write(path, "1");
	}
}

static int home = -1;

void netns_home(void)
{
	if (home >= 0 && setns(home, CLONE_NEWNET))
		die("setns: %s", strerror(errno));
}

void netns_enter(int fd)
{
	if (home < 0)
		home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || setns(fd, CLONE_NEWNET))
		die("setns: %s", strerror(errno));
}

/* Start it with descriptor in as standard input, and out, if not -1, as standard output. */
static pid_t start(const char *const argv[], int in, int out)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid)
		return pid;
	cpu_elsewhere();
	dup2(in, STDIN_FILENO);
	if (out >= 0)
		dup2(out, STDOUT_FILENO);
	execvp(argv[0], (char *const *)argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void finish(pid_t pid, const char *const argv[])
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			die("%s: %s", argv[0], strerror(errno));
	}
	if (status)
		die("%s %s failed", argv[0], argv[1] ? argv[1] : "");
}

void command(const char *input, const char *const argv[])
{
	_close_ int in = memfd_create("input", MFD_CLOEXEC);
	size_t len = input ? strlen(input) : 0;

	if (in < 0 || write(in, input ? input : "", len) != (ssize_t)len || lseek(in, 0, SEEK_SET))
		die("memfd: %s", strerror(errno));
	finish(start(argv, in, -1), argv);
}

char *command_output(const char *const argv[])
{
	_close_ int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_close_ int out = memfd_create("output", MFD_CLOEXEC);
	off_t len;
	char *text;

	if (in < 0 || out < 0)
		die("memfd: %s", strerror(errno));
	finish(start(argv, in, out), argv);
	len = lseek(out, 0, SEEK_END);
	text = calloc(1, (size_t)len + 1);
	if (!text || pread(out, text, (size_t)len, 0) != len)
		die("%s: output lost", argv[0]);
	return text;
}

char *attempt(void (*f)(const void *), const void *arg)
{
	_close_ int out = memfd_create("attempt", MFD_CLOEXEC);
	char text[256] = "";
	pid_t pid;
	int status;

	fflush(NULL);
	pid = out < 0 ? -1 : fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
		netns_enter(netns_new());
		f(arg);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
	}
	if (!status)
		return NULL;
	if (pread(out, text, sizeof(text) - 1, 0) <= 0)
		snprintf(text, sizeof(text), "failed");
	text[strcspn(text, "\n")] = '\0';
	return strdup(text);
}

/* --- sysctls of the whole machine --- */

#define CT_MAX "/proc/sys/net/netfilter/nf_conntrack_max"

/* Opened in the namespace that we were started in, the only kind that may write it. */
static int max_fd = -1;
static char *max_written; /* by the child, for its parent to see; "" if it did not */

static void ignore(int sig)
{
	(void)sig;
}

void only_one(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "\0ctbypass-bench" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* closed when we end */

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)))
		die("%s", errno == EADDRINUSE ? "another benchmark is running" : strerror(errno));
}

static void load_conntrack(const void *unused)
{
	static const char *const argv[] = { "modprobe", "-q", "nf_conntrack", NULL };

	(void)unused;
	command(NULL, argv);
}

void sysctls_guard(const char *dir)
{
	struct sigaction pass_on = { .sa_handler = ignore }; /* no SA_RESTART: waitpid() returns */
	char was[32] = "", now[32] = "";
	int status = 0;
	pid_t child;

	max_written = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (max_written == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	max_fd = open(CT_MAX, O_RDWR | O_CLOEXEC);
	if (max_fd < 0 && errno == ENOENT) {
		/* Conntrack is a module that nothing has used yet. */
		free(attempt(load_conntrack, NULL));
		max_fd = open(CT_MAX, O_RDWR | O_CLOEXEC);
	}
	if (max_fd < 0)
		max_fd = open(CT_MAX, O_RDONLY | O_CLOEXEC);
	if (max_fd >= 0 && pread(max_fd, was, sizeof(was) - 1, 0) < 0)
		die("%s: %s", CT_MAX, strerror(errno));
	child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return;
	}
	/* Keyboard signals reach the child as well; what is sent to us alone is passed on. */
	signal(SIGINT, SIG_IGN);
	sigaction(SIGTERM, &pass_on, NULL);
	while (waitpid(child, &status, 0) < 0) {
		if (errno == EINTR)
			kill(child, SIGTERM);
	}
	/* What somebody else has set meanwhile stays. */
	if (*max_written && pread(max_fd, now, sizeof(now) - 1, 0) > 0 &&
	    !strcmp(now, max_written) && pwrite(max_fd, was, strlen(was), 0) < 0)
		fprintf(stderr, "%s: could not be set back to %s", CT_MAX, was);
	rmdir(dir);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

unsigned long conntrack_room(void)
{
	char text[32] = "";

	if (max_fd < 0 || pread(max_fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return strtoul(text, NULL, 10);
}

bool conntrack_make_room(unsigned long entries, bool leave, const char **why)
{
	unsigned long room = conntrack_room();
	char text[32];

	if (!room) {
		*why = "nf_conntrack_max cannot be read from here";
		return false;
	}
	if (room >= entries)
		return true;
	if (leave) {
		*why = "nf_conntrack_max is too small, and to be left alone";
		return false;
	}
	snprintf(text, sizeof(text), "%lu\n", entries);
	strcpy(max_written, text);
	if (pwrite(max_fd, text, strlen(text), 0) < 0) {
		*why = "nf_conntrack_max cannot be raised";
		return false;
	}
	return true;
}

/* --- CPU and time --- */

static bool plain_time;
static clockid_t softirqd_clock;
static bool softirqd_known;

static double read_clock(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t))
		die("clock_gettime: %s", strerror(errno));
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double clock_thread(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

double clock_wall(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

double clock_cpu(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID) +
	       (softirqd_known ? read_clock(softirqd_clock) : 0);
}

/* Not visible from every PID namespace. */
static void find_softirqd(int cpu)
{
	DIR *proc = opendir("/proc");
	char want[32], path[64], comm[32];
	struct dirent *d;

	snprintf(want, sizeof(want), "ksoftirqd/%d", cpu);
	while (proc && !softirqd_known && (d = readdir(proc))) {
		long pid = strtol(d->d_name, NULL, 10);

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
		file_read(path, comm, sizeof(comm));
		if (!strcmp(comm, want))
			softirqd_known = !clock_getcpuclockid((pid_t)pid, &softirqd_clock);
	}
	if (proc)
		closedir(proc);
}

static int pinned = -1, another = -1;
static cpu_set_t allowed;

static void pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("sched_setaffinity: %s", strerror(errno));
}

int cpu_pin(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		die("sched_getaffinity: %s", strerror(errno));
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &allowed))
			continue;
		another = pinned;
		pinned = i;
	}
	pin(pinned);
	find_softirqd(pinned);
	return pinned;
}

void cpu_pin_second(void)
{
	pin(another);
}

bool cpu_has_second(void)
{
	return another >= 0;
}

void cpu_elsewhere(void)
{
	cpu_set_t others = allowed;

	if (pinned < 0)
		return;
	CPU_CLR(pinned, &others);
	if (CPU_COUNT(&others))
		sched_setaffinity(0, sizeof(others), &others);
}

void clock_judge(double share)
{
	plain_time = share < 0.9;
}

bool clock_plain(void)
{
	return plain_time;
}

const char *clock_name(void)
{
	if (plain_time)
		return "wall clock (this kernel does not charge softirqs to threads)";
	return softirqd_known ? "CPU time of the generator's thread and of ksoftirqd"
			      : "CPU time of the generator's thread";
}

static bool under_hypervisor(void)
{
	_fclose_ FILE *f = fopen("/proc/cpuinfo", "re");
	_free_ char *line = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		if (!strncmp(line, "flags", 5))
			return strstr(line, " hypervisor");
	}
	return false;
}

static void cpu_model(char *out, size_t size)
{
	_fclose_ FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(out, size, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !colon)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(out, size, "%s", colon + 2);
		return;
	}
}

static unsigned long meminfo(const char *name)
{
	_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	size_t len = strlen(name);
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && line[len] == ':')
			return strtoul(line + len + 1, NULL, 10) << 10;
	}
	die("/proc/meminfo: no %s", name);
}

unsigned long memory_available(void)
{
	return meminfo("MemAvailable");
}

/* Slabs, also of large kmalloc()s; vmalloc(), where BPF maps are; per-CPU memory. */
unsigned long memory_kernel(void)
{
	return meminfo("SUnreclaim") + meminfo("VmallocUsed") + meminfo("Percpu");
}

static void add_file(json_t *o, const char *name, const char *path)
{
	char text[256];

	file_read(path, text, sizeof(text));
	json_object_set_new(o, name, *text ? json_string(text) : json_null());
}

json_t *machine_facts(int cpu)
{
	char model[128], governor[96];
	json_t *o = json_object();
	struct utsname u;

	uname(&u);
	cpu_model(model, sizeof(model));
	snprintf(governor, sizeof(governor),
		 "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
	json_object_set_new(o, "cpu", json_string(model));
	json_object_set_new(o, "virtual_machine", json_string(under_hypervisor() ? "yes" : "no"));
	add_file(o, "product", "/sys/class/dmi/id/product_name");
	json_object_set_new(o, "memory_mib", json_integer((json_int_t)(meminfo("MemTotal") >> 20)));
	json_object_set_new(o, "cpus_allowed", json_integer(CPU_COUNT(&allowed)));
	json_object_set_new(o, "pinned_to", json_integer(cpu));
	json_object_set_new(o, "kernel", json_string(u.release));
	json_object_set_new(o, "clock", json_string(clock_name()));
	add_file(o, "governor", governor);
	add_file(o, "clocksource",
		 "/sys/devices/system/clocksource/clocksource0/current_clocksource");
	add_file(o, "load", "/proc/loadavg");
	add_file(o, "nf_conntrack_buckets", "/proc/sys/net/netfilter/nf_conntrack_buckets");
	add_file(o, "spectre_v2", "/sys/devices/system/cpu/vulnerabilities/spectre_v2");
	return o;
}

/* --- figures --- */

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double quantile(double *v, size_t n, double q)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[(size_t)(q * (double)(n - 1) + 0.5)];
}
