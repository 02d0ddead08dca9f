// SPDX-License-Identifier: GPL-2.0-only
/*
 * The production program attached to a tap and a tun device, fed with generated packets through
 * the kernel's own receive path. That has what the test runner cannot make: headers in pages, VLAN
 * tags that the kernel took out of the frame, devices without link-layer header, and frames and
 * packets shorter than their headers. Counters are compared with the reference after each packet.
 */
#include <criterion/criterion.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include "rig.h"

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS, which libbpf 1.1's headers lack */
#define SETS	    12
#define PACKETS	    250
#define PAGED	    4200 /* longer than a page: tun keeps shorter packets in one piece */

static struct host_if ifs[8];
static size_t n_ifs;

static int open_device(const char *name, short type)
{
	struct ifreq ifr = { .ifr_flags = type | IFF_NO_PI | IFF_VNET_HDR };
	char cmd[256];
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		cr_skip_test("/dev/net/tun: %s", strerror(errno));
	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);
	cr_assert_eq(ioctl(fd, TUNSETIFF, &ifr), 0, "%s: %s", name, strerror(errno));
	snprintf(cmd, sizeof(cmd), "ip link set %s mtu 9000 %s%.17s up", name,
		 type == IFF_TAP ? "address " : "", type == IFF_TAP ? "02:00:00:00:0c:7b" : "");
	cr_assert_eq(system(cmd), 0, "%s", cmd);
	return fd;
}

static int attach(int prog, int ifindex)
{
	int fd = bpf_link_create(prog, ifindex, TCX_INGRESS, NULL);

	if (fd < 0 && (errno == EINVAL || errno == EOPNOTSUPP))
		cr_skip_test("no tcx here (6.6+)");
	cr_assert_geq(fd, 0, "tcx: %s", strerror(errno));
	return fd;
}

/*
 * Into the device; linear: how many bytes are not in pages, 0: all. 0, or -errno when the device
 * does not take it.
 */
static int feed(int fd, const __u8 *data, size_t len, unsigned int linear)
{
	struct virtio_net_hdr h = { .hdr_len = linear };
	struct iovec iov[] = { { &h, sizeof(h) }, { (void *)data, len } };

	return writev(fd, iov, 2) < 0 ? -errno : 0;
}

/* Which counter moved by one packet: the reference's, and no other. */
static const char *check_counts(struct rig *rig, const struct ref_verdict *v,
				struct harness_counts *before, char *buf, size_t size)
{
	static struct harness_counts now;
	const struct ctb_count *c, *b;
	__u64 packets = 0, bytes;
	char text[96];
	size_t i, o, d;

	if (harness_counts(rig->h, &now) < 0)
		return "cannot read counters";
	for (i = 0; i < CTB_R_MAX; i++)
		packets += now.reasons[i].packets - before->reasons[i].packets;
	for (i = 0; i < CTB_MAX_RULES; i++) {
		for (o = 0; o < CTB_OUTCOME_MAX; o++) {
			for (d = 0; d < CTB_DIR_MAX; d++)
				packets += now.rules[i].count[o][d].packets -
					   before->rules[i].count[o][d].packets;
		}
	}
	if (v->judged) {
		i = harness_slot(rig->h, v->handle);
		c = &now.rules[i].count[CTB_OUT_KERNEL][v->dir];
		b = &before->rules[i].count[CTB_OUT_KERNEL][v->dir];
	} else {
		c = &now.reasons[v->reason];
		b = &before->reasons[v->reason];
	}
	bytes = c->bytes - b->bytes;
	snprintf(buf, size,
		 "reference: %s; %" PRIu64 " packets counted, %" PRIu64 " of them there, %" PRIu64
		 " bytes",
		 rig_verdict(v, text, sizeof(text)), (uint64_t)packets,
		 (uint64_t)(c->packets - b->packets), (uint64_t)bytes);
	if (packets == 1 && c->packets == b->packets + 1 && (!v->has_bytes || bytes == v->bytes)) {
		*before = now;
		return NULL;
	}
	*before = now;
	return buf;
}

struct run {
	struct rng r;
	struct world w;
	struct rig rig;
	struct harness_counts counts;
	struct host_if in;
	int fd;
	bool tap;
	unsigned long fed, paged, refused, judged, wrong;
};

/* The kernel looks at some things before tc does, and drops what it does not like. */
static bool reaches_tc(const struct run *run, const struct ref_frame *f)
{
	unsigned int type;

	if (!run->tap)
		return f->len && (f->data[0] >> 4 == 4 || f->data[0] >> 4 == 6);
	if (f->len < 14)
		return false;
	type = f->data[12] << 8 | f->data[13];
	/* Taking a tag out wants the tag and two bytes more; it then leaves an Ethernet header. */
	return (type != 0x8100 && type != 0x88a8) || f->len >= 14 + 4;
}

static void feed_one(struct run *run, struct packet *p, bool paged)
{
	static __u8 data[PAGED];
	struct ref_verdict v;
	struct ref_frame f;
	char wrong[256], hex[3 * PKT_MAX];
	unsigned int linear = 0;
	const char *w;
	bool whole;

	/* Padding behind the IP packet makes it long enough. */
	memset(p->data + p->len, 0xee, PKT_MAX - p->len);
	memset(data, 0xee, sizeof(data));
	memcpy(data, p->data, PKT_MAX);
	f = harness_frame(p, &run->in, NULL);
	f.data = data;
	if (paged) {
		f.len = PAGED;
		linear = 1 + rng_below(&run->r, 120);
	}
	if (!run->tap)
		f.protocol = f.len && data[0] >> 4 == 6 ? 0x86dd : 0x0800;
	if (!reaches_tc(run, &f))
		return;
	if (feed(run->fd, data, f.len, linear) < 0) {
		run->refused++;
		return;
	}
	v = ref_judge_at_tc(run->rig.rs, &run->rig.ref, &f, &whole);
	run->fed++;
	run->paged += paged;
	run->judged += v.judged;
	w = check_counts(&run->rig, &v, &run->counts, wrong, sizeof(wrong));
	if (!w || run->wrong++ > 3)
		return;
	pkt_hexdump(p, hex, sizeof(hex));
	cr_log_error("%s, %zu bytes, %u linear: %s\n%s", run->in.name, f.len, linear, w, hex);
}

static void run_set(struct run *run, __u64 seed, const char *device)
{
	_strbuf_ struct strbuf text = {};
	struct ruleset *rs = NULL;
	const struct host_if *in;
	struct packet p;
	unsigned int i, refused;
	int link;

	run->r = (struct rng){ seed };
	memset(&run->counts, 0, sizeof(run->counts));
	cr_assert_eq(world_make(&run->r, ifs, n_ifs, &run->w), 0);
	cr_assert_eq(
		make_ruleset(&run->r, &run->w, 1 + rng_below(&run->r, 40), &rs, &text, &refused),
		0);
	cr_assert_eq(rig_make(&run->rig, rs, &run->w.host, HARNESS_PRODUCTION), 0);
	link = attach(run->tap ? harness_ether_fd(run->rig.h) : harness_ip_fd(run->rig.h),
		      run->in.ifindex);
	/* What the device's own coming up made its neighbours send is over by now. */
	cr_assert_eq(harness_counts(run->rig.h, &run->counts), 0);
	for (i = 0; i < PACKETS; i++) {
		do {
			make_packet(&run->r, &run->w, rs, 30, &p, &in);
		} while (p.layer3 == run->tap || in->ifindex == 1);
		feed_one(run, &p, rng_percent(&run->r, 50));
	}
	close(link);
	cr_expect_eq(run->wrong, 0, "%s: seed %" PRIu64 "\n%s", device, (uint64_t)seed, text.s);
	rig_free(&run->rig);
	world_free(&run->w);
}

static void run_device(const char *name, short type)
{
	struct run run = { .tap = type == IFF_TAP };
	struct rng r = { type };
	unsigned int i;

	n_ifs = harness_init(ifs, ARRAY_SIZE(ifs) - 1);
	run.fd = open_device(name, type);
	run.in.ifindex = if_nametoindex(name);
	snprintf(run.in.name, IFNAMSIZ, "%s", name);
	ifs[n_ifs++] = run.in;
	for (i = 0; i < SETS && !run.wrong; i++)
		run_set(&run, rng_next(&r), name);
	close(run.fd);
	fprintf(stderr,
		"live: %s: %lu packets, %lu in pages, %lu judged, %lu refused by the device\n",
		name, run.fed, run.paged, run.judged, run.refused);
	cr_expect_gt(run.fed, SETS * PACKETS / 2);
	cr_expect_gt(run.paged, run.fed / 4);
	cr_expect_gt(run.judged, run.fed / 10);
}

/* As many header bytes as are followed, all of them in pages; and a quote behind as many. */
static const char *const long_headers[] = {
	"ip6:::1>::2 dst:60 dst:60 udp:1>5300",
	"ip6:::1>::2 dst:60 dst:60 udp:1>5301",
	"ip6:::9>::1 dst:60 rt:60 icmp6:3 ip6:::1>::2 dst:60 dst:60 udp:1>5300",
	"ip6:::9>::1 dst:60 rt:60 icmp6:3 ip6:::1>::2 dst:60 dst:60 udp:1>5301",
	"ip6:::1>::2 dst:120 dst:6 udp:1>5300",
};

static void run_long_headers(const char *name, short type, const char *link)
{
	static const char text[] = "notrack udp dport 5300\n";
	struct run run = { .tap = type == IFF_TAP, .r = { 1 } };
	_diag_ struct diag d = {};
	struct ruleset *rs = NULL;
	struct host host = {};
	struct packet p;
	unsigned int i;
	int fd;

	harness_init(ifs, ARRAY_SIZE(ifs) - 1);
	run.fd = open_device(name, type);
	run.in.ifindex = if_nametoindex(name);
	snprintf(run.in.name, IFNAMSIZ, "%s", name);
	cr_assert_eq(ruleset_parse_text("test", ".", text, strlen(text), &rs, &d), 0);
	cr_assert_eq(rig_make(&run.rig, rs, &host, HARNESS_PRODUCTION), 0);
	fd = attach(run.tap ? harness_ether_fd(run.rig.h) : harness_ip_fd(run.rig.h),
		    run.in.ifindex);
	for (i = 0; i < 4 * ARRAY_SIZE(long_headers); i++) {
		char recipe[256];

		snprintf(recipe, sizeof(recipe), "%s %s", link,
			 long_headers[i % ARRAY_SIZE(long_headers)]);
		cr_assert_eq(pkt_recipe(recipe, &p), 0);
		feed_one(&run, &p, i % 2);
	}
	cr_expect_eq(run.wrong, 0);
	cr_expect_eq(run.fed, i);
	cr_expect_eq(run.judged, 4 * 2, "%lu judged", run.judged);
	close(fd);
	close(run.fd);
	rig_free(&run.rig);
}

Test(live, tap)
{
	run_device("tap0", IFF_TAP);
}

Test(live, tun)
{
	run_device("tun0", IFF_TUN);
}

Test(live, long_headers_tap)
{
	run_long_headers("tap0", IFF_TAP, "eth");
}

Test(live, long_headers_tagged)
{
	run_long_headers("tap0", IFF_TAP, "eth qinq:5 vlan:6");
}

Test(live, long_headers_tun)
{
	run_long_headers("tun0", IFF_TUN, "bare");
}
