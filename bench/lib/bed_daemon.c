// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "bed.h"
#include "ctbypass/abi.h"

#define UP_SECONDS 300 /* a million prefixes on a slow machine */

const char *ctbypass_program;

/* NAME.conf and the like, in the workspace, for this bed. */
static const char *file_of(const struct bed *b, const char *suffix)
{
	static char path[96];

	snprintf(path, sizeof(path), "%.*s%s", (int)(strlen(b->sock) - strlen(".sock")), b->sock,
		 suffix);
	return path;
}

const char *daemon_set_path(const struct bed *b)
{
	return file_of(b, ".prefixes");
}

static bool daemon_answers(const struct bed *b)
{
	pid_t pid = fork();
	int status, null;

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		null = open("/dev/null", O_RDWR);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		cpu_elsewhere();
		execl(ctbypass_program, ctbypass_program, "status", "-S", b->sock, NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* Did it understand how it is to hand over? That of what is sent depends on the kernel as well. */
static void check_hand_over(const struct bed *b)
{
	const char *const argv[] = { ctbypass_program, "status", "-j", "-S", b->sock, NULL };
	const char *side = b->scene.path == PATH_OUTPUT ? "output" : "ingress";
	const char *want = b->scene.contender->direct ? "direct" : "mark", *is;
	_free_ char *text = command_output(argv);
	json_t *root = json_loads(text, 0, NULL), *how = json_object_get(root, "hand_over");

	is = json_string_value(json_object_get(json_object_get(how, side), "method"));
	if (!is || strcmp(is, want))
		die("%s: status says %s at %s, not %s", b->scene.contender->name,
		    is ? is : "nothing", side, want);
	json_decref(root);
}

static _Noreturn void run_daemon(const struct bed *b, const char *conf)
{
	int fd = open(file_of(b, ".log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	cpu_elsewhere();
	execl(ctbypass_program, ctbypass_program, "run", "-c", conf, "-P", b->pins, "-S", b->sock,
	      "-M", b->scene.contender->direct ? "direct" : "mark",
	      b->scene.contender->no_xdp ? "-X" : NULL, NULL);
	fprintf(stderr, "%s: %s\n", ctbypass_program, strerror(errno));
	_exit(127);
}

void daemon_start(struct bed *b, const char *rules)
{
	char conf[96], text[256];

	snprintf(conf, sizeof(conf), "%s", file_of(b, ".conf"));
	file_create(conf, rules);
	netns_enter(b->router);
	b->daemon = fork();
	if (b->daemon < 0)
		die("fork: %s", strerror(errno));
	if (!b->daemon)
		run_daemon(b, conf);
	for (double end = clock_wall() + UP_SECONDS * 1e9; clock_wall() < end; usleep(5000)) {
		if (waitpid(b->daemon, NULL, WNOHANG) == b->daemon)
			break;
		if (!access(b->sock, F_OK) && daemon_answers(b)) {
			check_hand_over(b);
			return;
		}
	}
	file_read(file_of(b, ".log"), text, sizeof(text));
	die("%s does not come up: %s", ctbypass_program, text);
}

void daemon_reload(struct bed *b, const char *rules)
{
	const char *const argv[] = { ctbypass_program, "reload", "-S", b->sock, NULL };

	file_create(file_of(b, ".conf"), rules);
	free(command_output(argv));
}

void daemon_stop(struct bed *b)
{
	const char *const unload[] = { ctbypass_program, "unload", "-P", b->pins, NULL };

	if (!b->daemon)
		return;
	kill(b->daemon, SIGTERM);
	while (waitpid(b->daemon, NULL, 0) < 0 && errno == EINTR)
		;
	b->daemon = 0;
	netns_enter(b->router);
	free(command_output(unload));
	unlink(daemon_set_path(b));
}

__u64 daemon_outcome(const struct bed *b, unsigned int outcome)
{
	int cpus = libbpf_num_possible_cpus(), n = cpus > 0 ? cpus : 1;
	_free_ struct ctb_rule_counters *values = calloc((size_t)n, sizeof(*values));
	char path[96];
	_close_ int fd = -1;
	__u64 sum = 0;

	snprintf(path, sizeof(path), "%s/maps/rules", b->pins);
	fd = bpf_obj_get(path);
	if (fd < 0 || !values)
		die("%s: %s", path, strerror(errno));
	for (__u32 slot = 0; slot < CTB_MAX_RULES; slot++) {
		if (bpf_map_lookup_elem(fd, &slot, values))
			die("%s: %s", path, strerror(errno));
		for (int i = 0; i < n; i++) {
			for (int d = 0; d < CTB_DIR_MAX; d++)
				sum += values[i].count[outcome][d].packets;
		}
	}
	return sum;
}

__u64 daemon_output(const struct bed *b)
{
	const char *const argv[] = { ctbypass_program, "stats", "-j", "-S", b->sock, NULL };
	_free_ char *text = command_output(argv);
	json_t *root = json_loads(text, 0, NULL), *rule;
	__u64 sum = 0;
	size_t i;

	if (!root)
		die("%s stats -j: no JSON", ctbypass_program);
	json_array_foreach (json_object_get(root, "rules"), i, rule) {
		json_t *out = json_object_get(json_object_get(rule, "output"), "original");

		sum += (__u64)json_integer_value(json_object_get(out, "packets"));
	}
	json_decref(root);
	return sum;
}

static unsigned long long number_in(const char *path, const char *format)
{
	_fclose_ FILE *f = fopen(path, "re");
	unsigned long long n;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, format, &n) == 1)
			return n;
	}
	die("%s: no line like %s", path, format);
}

__u64 daemon_maps(const struct bed *b)
{
	struct dirent *d;
	char path[512];
	__u64 sum = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/maps", b->pins);
	dir = opendir(path);
	if (!dir)
		die("%s: %s", path, strerror(errno));
	while ((d = readdir(dir))) {
		_close_ int fd = -1;

		if (*d->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/maps/%s", b->pins, d->d_name);
		fd = bpf_obj_get(path);
		if (fd < 0)
			die("%s: %s", path, strerror(errno));
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		sum += number_in(path, "memlock: %llu");
	}
	closedir(dir);
	return sum;
}

__u64 daemon_resident(const struct bed *b, bool peak)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", b->daemon);
	return number_in(path, peak ? "VmHWM: %llu kB" : "VmRSS: %llu kB") << 10;
}

void daemon_explain(const struct bed *b)
{
	const char *const status[] = { ctbypass_program, "status", "-S", b->sock, NULL };
	const char *const stats[] = { ctbypass_program, "stats", "-S", b->sock, NULL };
	_free_ char *one = command_output(status), *two = command_output(stats);

	fprintf(stderr, "%s\n%s\n", one, two);
}
