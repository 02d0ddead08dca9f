// SPDX-License-Identifier: GPL-2.0-only
/* Sending what a bed is measured by, and the time that it takes. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "bed.h"
#include "traffic.h"
#include "traffic.skel.h"

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

#define SETTLE_SECONDS 2  /* how long to wait for packets that are still on their way */
#define BATCH	       64 /* packets of one sendmmsg() */

void drive_open(struct bed *b)
{
	int family = b->scene.v6 ? AF_INET6 : AF_INET;
	int prog = bpf_program__fd(b->traffic->progs.sink_socket);
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(BENCH_PORT) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(BENCH_PORT) };
	int err;

	netns_enter(b->router);
	b->udp = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (b->udp < 0)
		die("UDP socket: %s", strerror(errno));
	if (b->scene.path == PATH_OUTPUT)
		return;
	err = b->scene.v6 ? bind(b->udp, (struct sockaddr *)&v6, sizeof(v6))
			  : bind(b->udp, (struct sockaddr *)&v4, sizeof(v4));
	if (err || setsockopt(b->udp, SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog)))
		die("UDP socket: %s", strerror(errno));
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

/* --- the in-kernel generator --- */

struct work {
	struct bed *b;
	int slot;
	__u64 packets;
	double cpu; /* ns */
	int err;
};

static int generate(struct work *w)
{
	struct bed *b = w->b;
	bool wire = b->scene.feed == FEED_WIRE;
	_free_ __u8 *frame = calloc(1, b->size);
	struct xdp_md ctx = {
		.data_end = b->size,
		.ingress_ifindex = (__u32)(wire ? b->c0 : b->r0),
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = b->size,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)w->packets,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	struct bpf_program *prog = w->slot	 ? b->traffic->progs.gen_second
				   : b->scene.v6 ? b->traffic->progs.gen6
						 : b->traffic->progs.gen;

	if (!frame)
		return -ENOMEM;
	return bpf_prog_test_run_opts(bpf_program__fd(prog), &opts) ? -errno : 0;
}

/* --- a sender on the router itself --- */

/* The destinations' networks are those of the generator; flows differ by the host in it. */
static void address(struct bed *b, __u64 flow, struct sockaddr_storage *to)
{
	__u32 net = (__u32)flow * 0x9e3779b1U % TRAFFIC_NETS;
	__u32 host = (__u32)(flow / TRAFFIC_NETS);

	memset(to, 0, sizeof(*to));
	if (b->scene.v6) {
		struct sockaddr_in6 *v6 = (void *)to;

		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(BENCH_PORT);
		v6->sin6_addr.s6_addr16[0] = htons(0xfd80);
		v6->sin6_addr.s6_addr16[2] = htons((__u16)net);
		v6->sin6_addr.s6_addr32[3] = htonl(host + 1);
	} else {
		struct sockaddr_in *v4 = (void *)to;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(BENCH_PORT);
		v4->sin_addr.s_addr = htonl(BENCH_DEST4 + (net << 8) + host);
	}
}

static int send_udp(struct work *w)
{
	struct bed *b = w->b;
	struct traffic_config *c = &b->traffic->bss->config;
	struct traffic_state *s = &b->traffic->bss->state[w->slot];
	_free_ __u8 *payload = calloc(1, b->size);
	struct iovec iov = { payload, c->udp_len - 8 };
	struct sockaddr_storage to[BATCH];
	struct mmsghdr m[BATCH] = {};
	struct timespec t;

	if (!payload)
		return -ENOMEM;
	for (int i = 0; i < BATCH; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_name = &to[i],
						.msg_namelen = sizeof(to[i]),
						.msg_iov = &iov,
						.msg_iovlen = 1 };
	clock_gettime(CLOCK_MONOTONIC, &t);
	s->started = (__u64)t.tv_sec * 1000000000 + (__u64)t.tv_nsec;
	for (__u64 sent = 0; sent < w->packets;) {
		unsigned int n = w->packets - sent < BATCH ? (unsigned int)(w->packets - sent)
							   : BATCH;

		for (unsigned int i = 0; i < n; i++)
			address(b, (s->next_flow + i) * c->stride & c->mask, &to[i]);
		s->next_flow += n;
		for (unsigned int done = 0; done < n;) {
			int k = sendmmsg(b->udp, m + done, n - done, 0);

			if (k < 0 && errno == EINTR)
				continue;
			/* Some that met a DROP, for example, count as lost. */
			if (k < 0)
				return -errno;
			done += (unsigned int)k;
		}
		sent += n;
	}
	return 0;
}

/* --- running --- */

/*
 * Times must not contain what the system call does before and behind: the kernel waits for RCU
 * there, some 20 ms. It does so asleep, so CPU time does not have it. Plain time is taken by the
 * programs, up to the last but a few, which may be lost.
 */
static void work(struct work *w)
{
	struct traffic_state *s = &w->b->traffic->bss->state[w->slot];
	__u64 before = now_is(&s->arrived);
	double cpu;

	s->goal = before + w->packets - w->packets / LOST_MAX;
	s->started = 0;
	s->finished = 0;
	cpu = w->slot ? clock_thread() : clock_cpu();
	w->err = w->b->scene.path == PATH_OUTPUT ? send_udp(w) : generate(w);
	if (!w->err)
		settle(&s->arrived, before + w->packets);
	w->cpu = (w->slot ? clock_thread() : clock_cpu()) - cpu;
}

static void *second(void *arg)
{
	cpu_pin_second();
	work(arg);
	return NULL;
}

/* The part of the shorter run in which the other one was at work too. */
static double overlap(const struct traffic_state *a, const struct traffic_state *b)
{
	double from = (double)(a->started > b->started ? a->started : b->started);
	double to = (double)(a->finished < b->finished ? a->finished : b->finished);
	double one = (double)(a->finished - a->started), two = (double)(b->finished - b->started);

	return to > from ? (to - from) / (one < two ? one : two) : 0;
}

double bed_run(struct bed *b, __u64 packets, __u64 *lost)
{
	struct traffic_state *s = b->traffic->bss->state;
	struct work w[TRAFFIC_SLOTS] = { { .b = b, .slot = 0, .packets = packets },
					 { .b = b, .slot = 1, .packets = packets } };
	__u64 most = packets - packets / LOST_MAX, before = 0, got = 0, all;
	unsigned int n = b->scene.cores;
	double cpu = 0, plain = 0;
	pthread_t thread;

	for (unsigned int i = 0; i < n; i++)
		before += now_is(&s[i].arrived);
	/* The thread is made in the namespace that it works in. */
	netns_enter(b->scene.feed == FEED_WIRE ? b->client : b->router);
	if (n > 1 && (errno = pthread_create(&thread, NULL, second, &w[1])))
		die("thread: %s", strerror(errno));
	work(&w[0]);
	if (n > 1)
		pthread_join(thread, NULL);
	for (unsigned int i = 0; i < n; i++) {
		if (w[i].err)
			die("packet generator: %s", strerror(-w[i].err));
		got += now_is(&s[i].arrived);
		cpu += w[i].cpu;
		plain += (double)(now_is(&s[i].finished) - s[i].started);
	}
	all = n * packets;
	got -= before;
	b->sent += all;
	*lost = got < all ? all - got : 0;
	b->overlap = n > 1 ? overlap(&s[0], &s[1]) : 1;
	b->plain_ns = plain / (double)(n * most);
	return clock_plain() ? b->plain_ns : cpu / (double)all;
}
