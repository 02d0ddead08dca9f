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
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "bare.skel.h"
#include "bed.h"
#include "kfuncs.h"
#include "rulesets.h"
#include "traffic.h"
#include "traffic.skel.h"
#include "untrack.skel.h"

/* Not in Debian 12's headers: BPF_TCX_INGRESS, BPF_TCX_EGRESS (6.6). */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

#define FLUSH_SECONDS 60

/* Networks beyond the client, where the packets come from. */
#define SOURCE_NET4 "10.64.0.0/10"
#define SOURCE_NET6 "fd64::/16"
#define SOURCE4	    0x0a400001

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

/* Where the packets go to: a server behind r1, or this host itself. */
static void addresses4(const struct bed *b, struct strbuf *t)
{
	strbuf_addf(t, "addr add 10.1.0.1/24 dev r0\n"
		       "addr add 10.2.0.1/24 dev r1\n"
		       "neigh add 10.1.0.2 lladdr 02:00:00:c0:00:00 nud permanent dev r0\n"
		       "neigh add 10.2.0.2 lladdr 02:00:00:50:00:00 nud permanent dev r1\n"
		       "route add " SOURCE_NET4 " via 10.1.0.2\n");
	if (b->scene.path == PATH_LOCAL)
		strbuf_addf(t, "route add local " BENCH_NET4 " dev lo\n");
	else
		strbuf_addf(t, "route add " BENCH_NET4 " via 10.2.0.2\n");
}

static void addresses6(const struct bed *b, struct strbuf *t)
{
	strbuf_addf(t, "addr add fd01::1/64 dev r0 nodad\n"
		       "addr add fd02::1/64 dev r1 nodad\n"
		       "neigh add fd01::2 lladdr 02:00:00:c0:00:00 nud permanent dev r0\n"
		       "neigh add fd02::2 lladdr 02:00:00:50:00:00 nud permanent dev r1\n"
		       "route add " SOURCE_NET6 " via fd01::2\n");
	if (b->scene.path == PATH_LOCAL)
		strbuf_addf(t, "route add local " BENCH_NET6 " dev lo\n");
	else
		strbuf_addf(t, "route add " BENCH_NET6 " via fd02::2\n");
}

/*
 * GRO on r0 is what gives the veth NAPI, without which no XDP frame can be sent to it; it is on
 * for every contender, as it is on network cards.
 */
static void cables(struct bed *b)
{
	static const char *const gro[] = { "ethtool", "-K", "r0", "gro", "on", NULL };
	_strbuf_ struct strbuf t = {};

	netns_enter(b->router);
	if (b->scene.v6)
		netns_ipv6();
	strbuf_addf(&t,
		    "link add c0 address 02:00:00:c0:00:00 netns /proc/%d/fd/%d type veth "
		    "peer name r0 address 02:00:00:a0:00:00\n"
		    "link add s0 address 02:00:00:50:00:00 netns /proc/%d/fd/%d type veth "
		    "peer name r1 address 02:00:00:a1:00:00\n"
		    "link set r0 up\n"
		    "link set r1 up\n",
		    getpid(), b->client, getpid(), b->server);
	if (b->scene.v6)
		addresses6(b, &t);
	else
		addresses4(b, &t);
	if (t.err)
		die("%s", strerror(ENOMEM));
	ip_batch(t.s);
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

static int attach_xdp(int ifindex, int prog_fd)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	int fd = bpf_link_create(prog_fd, ifindex, BPF_XDP, &opts);

	if (fd < 0)
		die("XDP on ifindex %d: %s", ifindex, strerror(errno));
	return fd;
}

/* A link to be kept, or -1 where the filter lives with the device. */
static int attach_tc(int ifindex, const struct bpf_program *prog, bool egress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(prog));
	int type = egress ? TCX_EGRESS : TCX_INGRESS, err;
	int fd = bpf_link_create(opts.prog_fd, ifindex, (enum bpf_attach_type)type, NULL);

	if (fd >= 0)
		return fd;
	err = bpf_tc_hook_create(&hook);
	if (!err)
		err = bpf_tc_attach(&hook, &opts);
	if (err)
		die("tc on ifindex %d: %s", ifindex, strerror(-err));
	return -1;
}

static void keep(struct bed *b, int fd)
{
	if (fd >= 0)
		b->links[b->n_links++] = fd;
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

/* UDP in the shortest frame or a longer one; the payload is zeros. */
static void frame4(struct bed *b, unsigned int size)
{
	struct traffic_config *c = &b->traffic->bss->config;
	__be16 total = htons((__u16)(size - 14));
	__u8 head[] = { 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, IPPROTO_UDP };

	memcpy(head + 4, &total, sizeof(total));
	memcpy(c->headers + 12, head, sizeof(head));
	c->ip_sum = sum16(c->headers + 14, 20);
	c->udp_len = size - 34;
	c->saddr = SOURCE4;
	c->daddr = BENCH_DEST4;
}

static void frame6(struct bed *b, unsigned int size)
{
	static const __u8 saddr[4] = { 0xfd, 0x64 }, daddr[4] = { 0xfd, 0x80 };
	struct traffic_config *c = &b->traffic->bss->config;
	__be16 payload = htons((__u16)(size - 54));
	__u8 head[] = { 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, IPPROTO_UDP, 64 };

	memcpy(head + 6, &payload, sizeof(payload));
	memcpy(c->headers + 12, head, sizeof(head));
	memcpy(c->headers + 22, saddr, sizeof(saddr));
	memcpy(c->headers + 38, daddr, sizeof(daddr));
	c->headers[53] = 1;
	c->udp_len = size - 54;
	c->saddr = 1;
	c->daddr = 0;
}

static void frame(struct bed *b, unsigned int size)
{
	struct traffic_config *c = &b->traffic->bss->config;
	size_t at = b->scene.v6 ? 54 : 34;
	__be16 udp[4] = { 0, htons(BENCH_PORT), 0, 0 };

	memset(c->headers, 0, sizeof(c->headers));
	memcpy(c->headers, mac_r0, 6);
	memcpy(c->headers + 6, mac_c0, 6);
	if (b->scene.v6)
		frame6(b, size);
	else
		frame4(b, size);
	udp[2] = htons((__u16)c->udp_len);
	memcpy(c->headers + at, udp, sizeof(udp));
	/* The length is in the pseudo header too. */
	c->udp_sum = sum16(c->headers + at, 8) + udp[2] + htons(IPPROTO_UDP);
	if (b->scene.v6)
		c->udp_sum += sum16(c->headers + 22, 32);
	c->action = b->scene.feed == FEED_WIRE ? XDP_TX : XDP_PASS;
	memcpy(c->sink_mac, b->scene.contender->no_path ? mac_r0 : mac_s0, 4);
	c->sink_ttl = b->scene.path == PATH_OUTPUT || b->scene.contender->no_path ? 64 : 63;
	b->size = size;
}

static struct bpf_program *bare_program(struct bed *b, const char *name)
{
	struct bpf_program *p;

	b->bare = bare_bpf__open_and_load();
	if (!b->bare)
		die("BPF: %s", strerror(errno));
	p = bpf_object__find_program_by_name(b->bare->obj, name);
	if (!p)
		die("no program %s", name);
	return p;
}

static struct bpf_program *untrack_program(struct bed *b)
{
	struct kfuncs k;

	if (kfuncs_register() || kfuncs_find(&k))
		die("no kfunc of module " KFUNCS_MODULE);
	kfuncs_use(&k);
	b->untrack = untrack_bpf__open_and_load();
	kfuncs_use(NULL);
	kfuncs_close(&k);
	if (!b->untrack)
		die("BPF: %s", strerror(errno));
	return b->untrack->progs.untrack_tc;
}

static void attach_bare(struct bed *b)
{
	const struct contender *c = b->scene.contender;
	__u32 r1 = (__u32)b->r1;

	netns_enter(b->router);
	if (c->xdp) {
		struct bpf_program *p = bare_program(b, c->xdp);

		/* A devmap takes devices of the netns it is filled in. */
		if (bpf_map_update_elem(bpf_map__fd(b->bare->maps.out), &r1, &r1, BPF_ANY))
			die("devmap: %s", strerror(errno));
		keep(b, attach_xdp(b->r0, bpf_program__fd(p)));
	} else if (c->tc) {
		keep(b, attach_tc(b->r0, c->direct ? untrack_program(b) : bare_program(b, c->tc),
				  false));
	}
}

/* Conntrack would sum every payload in software, which flatters whoever avoids it: not so here. */
void stateful_ruleset(void)
{
	static const char *const nft[] = { "nft", "-f", "-", NULL };

	command("table inet fw {\n"
		"	chain input {\n"
		"		type filter hook input priority 0; policy accept;\n"
		"		ct state established,related,untracked accept\n"
		"		ct state invalid drop\n"
		"	}\n"
		"	chain forward {\n"
		"		type filter hook forward priority 0; policy accept;\n"
		"		ct state established,related,untracked accept\n"
		"		ct state invalid drop\n"
		"	}\n"
		"	chain output {\n"
		"		type filter hook output priority 0; policy accept;\n"
		"		ct state established,related,untracked accept\n"
		"		ct state invalid drop\n"
		"	}\n"
		"}\n",
		nft);
	file_write("/proc/sys/net/netfilter/nf_conntrack_checksum", "0");
	file_write("/proc/sys/net/netfilter/nf_conntrack_udp_timeout", "3600");
}

static void sink(struct bed *b)
{
	bool no_path = b->scene.contender->no_path;

	if (b->scene.feed == FEED_WIRE) {
		netns_enter(no_path ? b->router : b->server);
		keep(b, attach_xdp(no_path ? b->r0 : b->s0,
				   bpf_program__fd(b->traffic->progs.sink_xdp)));
		return;
	}
	netns_enter(b->router);
	if (no_path)
		keep(b, attach_tc(b->r0, b->traffic->progs.sink_tc, false));
	else if (b->scene.path != PATH_LOCAL)
		keep(b, attach_tc(b->r1, b->traffic->progs.sink_tc, true));
	if (b->scene.path != PATH_FORWARD)
		drive_open(b);
}

static void bed_init(struct bed *b, const struct scene *s)
{
	static unsigned int number;

	*b = (struct bed){ .scene = *s, .extra = -1, .udp = -1, .client = -1, .server = -1 };
	number++;
	snprintf(b->pins, sizeof(b->pins), "%s/bpf/%u", workspace, number);
	snprintf(b->sock, sizeof(b->sock), "%s/%u.sock", workspace, number);
}

void bed_make_router(struct bed *b, const struct scene *s)
{
	bed_init(b, s);
	b->router = netns_new();
	netns_enter(b->router);
	if (s->v6)
		netns_ipv6();
	ip_batch("link add r0 type veth peer name r1\n"
		 "link set r0 up\n"
		 "link set r1 up\n");
	stateful_ruleset();
}

void bed_make(struct bed *b, const struct scene *s)
{
	const struct contender *c = s->contender;

	bed_init(b, s);
	b->client = netns_new();
	b->router = netns_new();
	b->server = netns_new();
	cables(b);
	b->traffic = traffic_bpf__open_and_load();
	if (!b->traffic)
		die("BPF: %s", strerror(errno));
	bed_traffic(b, 1, 1, TRAFFIC_FRAME);
	sink(b);
	netns_enter(b->router);
	if (c->stateful)
		stateful_ruleset();
	contender_setup(s);
	attach_bare(b);
	if (c->word) {
		_free_ char *rules = ctbypass_rules(s, daemon_set_path(b));

		daemon_start(b, rules);
	}
}

void bed_free(struct bed *b)
{
	bed_xdp_take(b);
	daemon_stop(b);
	for (unsigned int i = 0; i < b->n_links; i++)
		close(b->links[i]);
	if (b->udp >= 0)
		close(b->udp);
	traffic_bpf__destroy(b->traffic);
	bare_bpf__destroy(b->bare);
	untrack_bpf__destroy(b->untrack);
	/* The namespace that we are in must not be one of those. */
	netns_home();
	close(b->router);
	if (b->client >= 0)
		close(b->client);
	if (b->server >= 0)
		close(b->server);
}

/* --- what is sent --- */

void bed_traffic(struct bed *b, __u64 flows, __u64 stride, unsigned int size)
{
	struct traffic_config *c = &b->traffic->bss->config;

	if (b->size != size)
		frame(b, size);
	c->mask = flows / b->scene.cores - 1;
	c->stride = stride | 1;
}

void bed_rewind(struct bed *b)
{
	for (int i = 0; i < TRAFFIC_SLOTS; i++)
		b->traffic->bss->state[i].next_flow = 0;
}

void bed_verify(struct bed *b, bool on)
{
	/* What this host sends has its checksum left to the device. */
	b->traffic->bss->config.verify = on && b->scene.path == PATH_FORWARD;
}

/* --- looking --- */

unsigned long bed_conntrack(const struct bed *b)
{
	char text[32];

	/* Absent where conntrack is a module that nothing has used. */
	netns_enter(b->router);
	file_read("/proc/sys/net/netfilter/nf_conntrack_count", text, sizeof(text));
	return strtoul(text, NULL, 10);
}

static void flush(void)
{
	__u32 family = AF_UNSPEC;
	struct nfct_handle *h = nfct_open(CONNTRACK, 0);

	if (!h || nfct_query(h, NFCT_Q_FLUSH, &family))
		die("conntrack flush: %s", strerror(errno));
	nfct_close(h);
}

void bed_conntrack_flush(struct bed *b)
{
	const struct contender *c = b->scene.contender;
	double end = clock_wall() + FLUSH_SECONDS * 1e9;

	netns_enter(b->router);
	if (c->unset)
		c->unset();
	flush();
	/* The kernel's own way to the end of it may be longer than the command's. */
	while (bed_conntrack(b)) {
		if (clock_wall() > end)
			die("conntrack flush: %lu entries stay", bed_conntrack(b));
		usleep(10000);
		flush();
	}
	if (c->unset)
		contender_setup(&b->scene);
}

__u64 bed_forwarded(const struct bed *b)
{
	const char *path = b->scene.v6 ? "/proc/net/snmp6" : "/proc/net/snmp";
	_fclose_ FILE *f = NULL;
	unsigned long long n;
	char line[512];

	netns_enter(b->router);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Ip6OutForwDatagrams %llu", &n) == 1 ||
		    sscanf(line, "Ip: %*u %*u %*u %*u %*u %llu", &n) == 1)
			return n;
	}
	die("%s: no count of forwarded packets", path);
}

/* --- XDP programs put there for a run --- */

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
	b->extra = attach_xdp(b->r0, prog_fd);
}

void bed_xdp_take(struct bed *b)
{
	if (b->extra >= 0)
		close(b->extra);
	b->extra = -1;
}

int bed_xdp_empty(void)
{
	static struct bare_bpf *bare;

	if (!bare)
		bare = bare_bpf__open_and_load();
	if (!bare)
		die("BPF: %s", strerror(errno));
	return bpf_program__fd(bare->progs.pass_xdp);
}
