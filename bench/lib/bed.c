// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "bare.skel.h"
#include "bed.h"
#include "ctbypass/abi.h"
#include "traffic.skel.h"

/* Not in Debian 12's headers: BPF_TCX_INGRESS, BPF_TCX_EGRESS (6.6). */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

#define SETTLE_SECONDS 2 /* how long to wait for packets that are still on their way */

/* Networks beyond client and server, where the packets come from and go to. */
#define SOURCE_NET "10.64.0.0/10"
#define SOURCE	   0x0a400001
#define DEST	   0x0a800001

static const __u8 mac_c0[6] = { 2, 0, 0, 0xc0, 0, 0 }, mac_r0[6] = { 2, 0, 0, 0xa0, 0, 0 },
		  mac_s0[6] = { 2, 0, 0, 0x50, 0, 0 };

/* --- workspace --- */

static char workspace[32];

const char *workspace_name(void)
{
	snprintf(workspace, sizeof(workspace), "/tmp/ctbench.XXXXXX");
	if (!mkdtemp(workspace))
		die("%s: %s", workspace, strerror(errno));
	return workspace;
}

void workspace_open(void)
{
	char path[64];

	if (unshare(CLONE_NEWNS | CLONE_NEWNET))
		die("new namespaces: %s (root?)", strerror(errno));
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("ctbench", workspace, "tmpfs", 0, "mode=700"))
		die("mount on %s: %s", workspace, strerror(errno));
	snprintf(path, sizeof(path), "%s/bpf", workspace);
	if (mkdir(path, 0700) || mount("bpf", path, "bpf", 0, "mode=700"))
		die("mount on %s: %s", path, strerror(errno));
}

/* --- building --- */

static int index_of(const char *name)
{
	unsigned int i = if_nametoindex(name);

	if (!i)
		die("%s: %s", name, strerror(errno));
	return (int)i;
}

static void ip_batch(const char *text)
{
	static const char *const argv[] = { "ip", "-batch", "-", NULL };

	command(text, argv);
}

/*
 * GRO on r0 is what gives the veth NAPI, without which no XDP frame can be sent to it; it is on
 * for every contender, as it is on network cards.
 */
static void cables(struct bed *b)
{
	static const char *const gro[] = { "ethtool", "-K", "r0", "gro", "on", NULL };
	char text[1024];

	netns_enter(b->router);
	snprintf(text, sizeof(text),
		 "link add c0 address 02:00:00:c0:00:00 netns /proc/%d/fd/%d type veth "
		 "peer name r0 address 02:00:00:a0:00:00\n"
		 "link add s0 address 02:00:00:50:00:00 netns /proc/%d/fd/%d type veth "
		 "peer name r1 address 02:00:00:a1:00:00\n"
		 "link set r0 up\n"
		 "link set r1 up\n"
		 "addr add 10.1.0.1/24 dev r0\n"
		 "addr add 10.2.0.1/24 dev r1\n"
		 "neigh add 10.1.0.2 lladdr 02:00:00:c0:00:00 nud permanent dev r0\n"
		 "neigh add 10.2.0.2 lladdr 02:00:00:50:00:00 nud permanent dev r1\n"
		 "route add " SOURCE_NET " via 10.1.0.2\n"
		 "route add " BED_DEST_NET " via 10.2.0.2\n",
		 getpid(), b->client, getpid(), b->server);
	ip_batch(text);
	command(NULL, gro);
	b->r0 = index_of("r0");
	b->r1 = index_of("r1");
	file_write("/proc/sys/net/ipv4/ip_forward", "1");
	file_write("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
	file_write("/proc/sys/net/ipv4/conf/r0/rp_filter", "0");
	netns_enter(b->client);
	ip_batch("link set c0 up\n");
	b->c0 = index_of("c0");
	netns_enter(b->server);
	ip_batch("link set s0 up\n");
	b->s0 = index_of("s0");
}

/* Links live as long as their descriptor, for most that is as long as this process. */
static int attach_xdp(int ifindex, int prog_fd)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	int fd = bpf_link_create(prog_fd, ifindex, BPF_XDP, &opts);

	if (fd < 0)
		die("XDP on ifindex %d: %s", ifindex, strerror(errno));
	return fd;
}

static void attach_tc(int ifindex, const struct bpf_program *prog, bool egress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(prog));
	int type = egress ? TCX_EGRESS : TCX_INGRESS, err;

	if (bpf_link_create(opts.prog_fd, ifindex, (enum bpf_attach_type)type, NULL) >= 0)
		return;
	err = bpf_tc_hook_create(&hook);
	if (!err)
		err = bpf_tc_attach(&hook, &opts);
	if (err)
		die("tc on ifindex %d: %s", ifindex, strerror(-err));
}

/* Unfolded sum of 16-bit words as they stand in memory; the order of bytes does not matter. */
static __u32 sum16(const void *data, size_t len)
{
	const __u8 *p = data;
	__u32 sum = 0;
	__u16 w;

	for (size_t i = 0; i < len; i += 2) {
		memcpy(&w, p + i, 2);
		sum += w;
	}
	return sum;
}

/* 64 bytes, UDP; the payload is zeros. */
static void traffic_init(struct bed *b)
{
	struct traffic_config *c = &b->traffic->bss->config;
	static const __u8 head[] = { 8, 0, 0x45, 0, 0, TRAFFIC_FRAME - 14, 0, 0, 0, 0, 64, 17 };
	__u16 udp_len = TRAFFIC_FRAME - 34;
	__be16 udp[] = { htons(BED_DEST_PORT), htons(udp_len) }, proto = htons(17);

	memcpy(c->headers, mac_r0, 6);
	memcpy(c->headers + 6, mac_c0, 6);
	memcpy(c->headers + 12, head, sizeof(head));
	memcpy(c->headers + 36, udp, sizeof(udp));
	c->ip_sum = sum16(c->headers + 14, 20);
	c->udp_sum = proto + sum16(udp, 4) + udp[1];
	c->saddr = SOURCE;
	c->daddr = DEST;
	c->action = b->spec.feed == FEED_WIRE ? XDP_TX : XDP_PASS;
	memcpy(c->sink_mac, mac_s0, 4);
	c->sink_ttl = 63;
	bed_flows(b, 1, 1);
}

static void bare_init(struct bed *b)
{
	__u32 r1 = (__u32)b->r1;

	b->bare = bare_bpf__open_and_load();
	if (!b->bare)
		die("BPF: %s", strerror(errno));
	netns_enter(b->router);
	switch (b->spec.path) {
	case PATH_BARE_XDP:
		/* A devmap takes devices of the netns it is filled in. */
		if (bpf_map_update_elem(bpf_map__fd(b->bare->maps.out), &r1, &r1, BPF_ANY))
			die("devmap: %s", strerror(errno));
		attach_xdp(b->r0, bpf_program__fd(b->bare->progs.bare_xdp));
		break;
	case PATH_BARE_TC:
		attach_tc(b->r0, b->bare->progs.bare_tc, false);
		break;
	default:
		break;
	}
}

static void track(struct bed *b)
{
	static const char *const nft[] = { "nft", "-f", "-", NULL };

	netns_enter(b->router);
	command("table ip fw {\n"
		"	chain forward {\n"
		"		type filter hook forward priority 0; policy accept;\n"
		"		ct state established,related,untracked accept\n"
		"		ct state invalid drop\n"
		"	}\n"
		"}\n",
		nft);
	/* Conntrack would sum every payload in software, which flatters whoever avoids it. */
	file_write("/proc/sys/net/netfilter/nf_conntrack_checksum", "0");
	file_write("/proc/sys/net/netfilter/nf_conntrack_udp_timeout", "3600");
}

/* --- the daemon --- */

static bool daemon_answers(const struct bed *b, const char *ctbypass)
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
		execl(ctbypass, ctbypass, "status", "-S", b->sock, NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void daemon_start(struct bed *b, const char *ctbypass)
{
	static unsigned int number;
	char conf[64], log[64], text[256];
	bool xdp = b->spec.path == PATH_CTBYPASS;

	number++;
	snprintf(b->pins, sizeof(b->pins), "%s/bpf/%u", workspace, number);
	snprintf(b->sock, sizeof(b->sock), "%s/%u.sock", workspace, number);
	snprintf(conf, sizeof(conf), "%s/%u.conf", workspace, number);
	snprintf(log, sizeof(log), "%s/%u.log", workspace, number);
	close(open(conf, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	file_write(conf, b->spec.rules);
	netns_enter(b->router);
	b->daemon = fork();
	if (b->daemon < 0)
		die("fork: %s", strerror(errno));
	if (!b->daemon) {
		int fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		cpu_elsewhere();
		execl(ctbypass, ctbypass, "run", "-c", conf, "-P", b->pins, "-S", b->sock,
		      xdp ? NULL : "-X", NULL);
		fprintf(stderr, "%s: %s\n", ctbypass, strerror(errno));
		_exit(127);
	}
	for (int i = 0; i < 1000; i++) {
		if (waitpid(b->daemon, NULL, WNOHANG) == b->daemon)
			break;
		if (daemon_answers(b, ctbypass))
			return;
		usleep(10000);
	}
	file_read(log, text, sizeof(text));
	die("%s does not come up: %s", ctbypass, text);
}

void bed_make(struct bed *b, const struct bed_spec *spec, const char *ctbypass)
{
	*b = (struct bed){ .spec = *spec, .link = -1 };
	b->client = netns_new();
	b->router = netns_new();
	b->server = netns_new();
	cables(b);
	b->traffic = traffic_bpf__open_and_load();
	if (!b->traffic)
		die("BPF: %s", strerror(errno));
	traffic_init(b);
	if (spec->feed == FEED_WIRE) {
		netns_enter(b->server);
		attach_xdp(b->s0, bpf_program__fd(b->traffic->progs.sink_xdp));
	} else {
		netns_enter(b->router);
		attach_tc(b->r1, b->traffic->progs.sink_tc, true);
	}
	if (spec->tracked)
		track(b);
	if (spec->path == PATH_BARE_XDP || spec->path == PATH_BARE_TC)
		bare_init(b);
	if (spec->rules)
		daemon_start(b, ctbypass);
}

/* --- running --- */

void bed_flows(struct bed *b, __u64 flows, __u64 stride)
{
	b->traffic->bss->config.mask = flows - 1;
	b->traffic->bss->config.stride = stride | 1;
}

void bed_rewind(struct bed *b)
{
	b->traffic->bss->next_flow = 0;
}

void bed_verify(struct bed *b, bool on)
{
	b->traffic->bss->config.verify = on;
}

/* Written by BPF programs meanwhile. */
static __u64 now_is(const __u64 *value)
{
	return *(const volatile __u64 *)value;
}

/* Not by sleeping, which would end with a timer tick: ksoftirqd only needs the CPU. */
static void settle(const __u64 *arrived, __u64 want)
{
	time_t end = time(NULL) + SETTLE_SECONDS;

	while (now_is(arrived) < want && time(NULL) < end)
		sched_yield();
}

/*
 * Times must not contain what the system call does before and behind: the kernel waits for RCU
 * there, some 20 ms. It does so asleep, so CPU time does not have it. Plain time is taken by the
 * programs, up to the last but a few, which may be lost.
 */
double bed_run(struct bed *b, __u64 packets, __u64 *lost)
{
	struct traffic_bpf__bss *t = b->traffic->bss;
	__u8 frame[TRAFFIC_FRAME] = {};
	bool wire = b->spec.feed == FEED_WIRE;
	struct xdp_md ctx = {
		.data_end = sizeof(frame),
		.ingress_ifindex = (__u32)(wire ? b->c0 : b->r0),
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)packets,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	__u64 before = now_is(&t->arrived), most = packets - packets / LOST_MAX, got;
	double cpu;

	netns_enter(wire ? b->client : b->router);
	t->goal = before + most;
	t->started = 0;
	t->finished = 0;
	cpu = clock_cpu();
	if (bpf_prog_test_run_opts(bpf_program__fd(b->traffic->progs.gen), &opts))
		die("packet generator: %s", strerror(errno));
	settle(&t->arrived, before + packets);
	cpu = clock_cpu() - cpu;
	got = now_is(&t->arrived) - before;
	b->sent += packets;
	*lost = got < packets ? packets - got : 0;
	b->plain_ns = (double)(now_is(&t->finished) - t->started) / (double)most;
	return clock_plain() ? b->plain_ns : cpu / (double)packets;
}

unsigned long bed_conntrack(const struct bed *b)
{
	netns_enter(b->router);
	return file_number("/proc/sys/net/netfilter/nf_conntrack_count");
}

void bed_conntrack_flush(const struct bed *b)
{
	__u32 family = AF_INET;
	struct nfct_handle *h;

	netns_enter(b->router);
	h = nfct_open(CONNTRACK, 0);
	if (!h || nfct_query(h, NFCT_Q_FLUSH, &family))
		die("conntrack flush: %s", strerror(errno));
	nfct_close(h);
}

__u64 bed_outcome(const struct bed *b, unsigned int outcome)
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

void bed_explain(const struct bed *b, const char *ctbypass)
{
	const char *const status[] = { ctbypass, "status", "-S", b->sock, NULL };
	const char *const stats[] = { ctbypass, "stats", "-S", b->sock, NULL };
	_free_ char *one = command_output(status), *two = command_output(stats);

	fprintf(stderr, "%s\n%s\n", one, two);
}

/* --- single programs --- */

int bed_xdp_program(const struct bed *b)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	int fd;

	netns_enter(b->router);
	if (bpf_xdp_query(b->r0, XDP_FLAGS_DRV_MODE, &q) || !q.drv_prog_id)
		die("no native XDP program on r0");
	fd = bpf_prog_get_fd_by_id(q.drv_prog_id);
	if (fd < 0)
		die("XDP program of r0: %s", strerror(errno));
	return fd;
}

void bed_xdp_put(struct bed *b, int prog_fd)
{
	netns_enter(b->router);
	b->link = attach_xdp(b->r0, prog_fd);
}

void bed_xdp_take(struct bed *b)
{
	if (b->link >= 0)
		close(b->link);
	b->link = -1;
}

double bed_program_run(struct bed *b, int prog_fd, unsigned int repeat, unsigned int *result)
{
	__u8 frame[TRAFFIC_FRAME] = {};
	struct xdp_md ctx = {
		.data_end = sizeof(frame),
		.ingress_ifindex = (__u32)b->r0,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)repeat);
	__u32 zero = 0;
	double start;

	if (bpf_map_update_elem(bpf_map__fd(b->traffic->maps.tail), &zero, &prog_fd, BPF_ANY))
		die("prog array: %s", strerror(errno));
	netns_enter(b->router);
	start = clock_cpu();
	if (bpf_prog_test_run_opts(bpf_program__fd(b->traffic->progs.gen_tail), &opts))
		die("program run: %s", strerror(errno));
	start = clock_cpu() - start;
	*result = opts.retval;
	return start / repeat;
}
