// SPDX-License-Identifier: GPL-2.0-only
/*
 * Direct mode: the program at OUTPUT against the reference, which judges as OUTPUT would, and tc's
 * program without a mark against the one with it. The kernel's test runner takes packets for OUTPUT
 * from the IP header on, of at least 20 bytes, and lets them leave by the loopback device.
 *
 *   CTB_OUT_PAIRS=N  pairs of packet and rule set of the random runs (default 20,000)
 *   CTB_SEED=N       other ones (default 1)
 */
#include <criterion/criterion.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/mman.h>
#include "datapath_load.h"
#include "output.skel.h"
#include "output_test.skel.h"
#include "rig.h"
#include "tc_direct_test.skel.h"
#include "untrack_fake.h"

#define ACCEPT	   1
#define LOCAL_OUT  3
#define PF_4	   2
#define PF_6	   10
#define OUT_MIN	   20 /* what the test runner wants of a packet */
#define MARK	   0x40
#define SHOWN_MAX  5
#define ELF(name_) name_##_bpf__elf_bytes(&(size_t){ 0 }), elf_size(name_##_bpf__elf_bytes)

static struct host_if ifs[8];
static struct host host;
static struct prefix4 local4[] = { { 0xc0000201, 32 } };
static struct prefix6 local6[] = { { 0x20010db8ULL << 32, 1, 128 } };

static void start(void)
{
	host = (struct host){ .ifs = ifs, .n_ifs = harness_init(ifs, ARRAY_SIZE(ifs)) };
	host.local.v4 = local4;
	host.local.n4 = ARRAY_SIZE(local4);
	host.local.v6 = local6;
	host.local.n6 = ARRAY_SIZE(local6);
}

static void start_netfilter(void)
{
	start();
	if (!harness_has_netfilter())
		cr_skip_test("this kernel has no netfilter programs (6.4)");
}

TestSuite(output, .init = start_netfilter);
TestSuite(direct, .init = start);

/* --- a program at OUTPUT, and what it must have counted --- */

struct out {
	struct bpf_object *obj;
	const struct harness *h; /* whose tables it has; borrowed */
	int fd;
	struct ctb_output_counters *want; /* CTB_MAX_RULES */
};

static size_t elf_size(const void *(*bytes)(size_t *))
{
	size_t n;

	bytes(&n);
	return n;
}

/* An object with the tables that are loaded in h. */
static struct bpf_object *load_beside(const struct harness *h, const void *elf, size_t size,
				      __u32 direct)
{
	struct compiled c = *harness_tables(h);
	struct bpf_object *obj = bpf_object__open_mem(elf, size, NULL);

	c.config.direct = direct;
	cr_assert_not_null(obj, "%s", strerror(errno));
	cr_assert_eq(load_configure(obj, &c, &host, 1), 0);
	cr_assert_eq(bpf_object__load(obj), 0, "%s", strerror(errno));
	cr_assert_eq(load_tables(obj, &c, &host), 0);
	return obj;
}

static int program_fd(const struct bpf_object *obj, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(obj, name));
}

static void out_load(struct out *o, const struct harness *h, const void *elf, size_t size,
		     __u32 direct)
{
	*o = (struct out){ .h = h, .want = calloc(CTB_MAX_RULES, sizeof(*o->want)) };
	cr_assert_not_null(o->want);
	o->obj = load_beside(h, elf, size, direct);
	o->fd = program_fd(o->obj, "ctb_output");
}

static void out_free(struct out *o)
{
	bpf_object__close(o->obj);
	free(o->want);
}

/* The kernel's struct nf_hook_state; the runner wants its pointers to be NULL. */
struct hook_state {
	__u8 hook, pf;
	void *rest[5];
};

static void run_out(int fd, const __u8 *data, size_t len, __u8 pf)
{
	struct hook_state state = { .hook = LOCAL_OUT, .pf = pf };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = (__u32)len,
		    .ctx_in = &state, .ctx_size_in = sizeof(state), .repeat = 1);

	cr_assert_eq(bpf_prog_test_run_opts(fd, &opts), 0, "%s", strerror(errno));
	cr_assert_eq(opts.retval, ACCEPT, "a packet was not accepted");
}

static struct ref_frame out_frame(const __u8 *data, size_t len, __u8 pf)
{
	return (struct ref_frame){ .data = data,
				   .len = len,
				   .layer3 = true,
				   .protocol = pf == PF_6 ? 0x86dd : 0x0800,
				   .output = true,
				   .ifindex = 1,
				   .ifname = "lo" };
}

static void counted(const struct out *o, __u32 slot, struct ctb_output_counters *sum)
{
	int cpus = libbpf_num_possible_cpus();
	_free_ struct ctb_output_counters *c = calloc((size_t)cpus, sizeof(*c));
	int fd = bpf_object__find_map_fd_by_name(o->obj, "rules_out");

	cr_assert_eq(bpf_map_lookup_elem(fd, &slot, c), 0);
	memset(sum, 0, sizeof(*sum));
	for (int cpu = 0; cpu < cpus; cpu++) {
		for (int d = 0; d < CTB_DIR_MAX; d++) {
			sum->count[d].packets += c[cpu].count[d].packets;
			sum->count[d].bytes += c[cpu].count[d].bytes;
		}
	}
}

static bool slot_is_right(const struct out *o, __u32 slot)
{
	struct ctb_output_counters got;

	counted(o, slot, &got);
	return !memcmp(&got, &o->want[slot], sizeof(got));
}

/* The packet through program and reference. False: they disagree, as far as its slot shows. */
static bool judge(struct out *o, const struct rig *rig, const __u8 *data, size_t len, __u8 pf,
		  bool counts, struct ref_verdict *v)
{
	struct ref_frame f = out_frame(data, len, pf);
	__u32 slot;

	*v = ref_judge(rig->rs, &rig->ref, &f);
	run_out(o->fd, data, len, pf);
	slot = v->judged ? harness_slot(o->h, v->handle) : CTB_SLOT_FAILSAFE;
	if (v->judged && counts) {
		o->want[slot].count[v->dir].packets++;
		o->want[slot].count[v->dir].bytes += v->bytes;
	}
	return slot_is_right(o, slot);
}

/* Nothing counted anywhere that should not be? -1: no; else the slot. */
static int wrong_slot(const struct out *o, const struct rig *rig)
{
	for (__u32 s = 0; s <= rig->rs->n_rules; s++) {
		if (!slot_is_right(o, s))
			return (int)s;
	}
	return -1;
}

static __u8 family_of(const struct packet *p)
{
	return p->data[p->l3] >> 4 == 6 ? PF_6 : PF_4;
}

/* --- packets that show it, and their near misses --- */

#define RULES \
	"failsafe { tcp 22 }\n" \
	"notrack udp dport 5300\n"		       /* 1 */ \
	"forward tcp dport 8000\n"		       /* 2 */ \
	"notrack { udplite, sctp, dccp } dport 7000\n" /* 3 */ \
	"track udp dport 5400\n"		       /* 4 */ \
	"notrack gre\n"				       /* 5 */ \
	"notrack udp dport 53 daddr local iif lo\n"    /* 6 */ \
	"notrack udp dport 54 daddr local iif va0\n"   /* 7 */ \
	"notrack tcp dport 55 iif lo oneway\n"	       /* 8 */ \
	"notrack icmpv6 saddr 2001:db8::1\n"	       /* 9 */ \
	"notrack esp saddr !local oneway\n"	       /* 10 */ \
	"notrack 253\n"				       /* 11 */ \
	"notrack tcp dport 56 iif va0 oneway\n"	       /* 12 */

#define V4   "bare ip4:192.0.2.1>198.51.100.1"
#define V6   "bare ip6:2001:db8::1>2001:db8:1::1"
#define ERR4 "bare ip4:192.0.2.1>203.0.113.9 icmp:3,4 ip4:203.0.113.9>198.51.100.1"
#define ERR6 "bare ip6:2001:db8::1>2001:db8:9::9 icmp6:2 ip6:2001:db8:9::9>2001:db8:1::1"

static const struct {
	const char *what, *packet, *verdict, *twin, *twin_verdict;
} rows[] = {
	{ "UDP", V4 " udp:1>5300 data:12", "1 original", V4 " udp:1>5301 data:12", "no-match" },
	{ "UDP without payload", V4 " udp:1>5300", "1 original", V4 " udp:1>5301", "no-match" },
	{ "UDP reply", V6 " udp:5300>1 data:12", "1 reply", V6 " udp:5301>1 data:12", "no-match" },
	{ "UDP6 without payload", V6 " udp:1>5300", "1 original", V6 " udp:1>5301", "no-match" },
	{ "UDP length", V4 " udp:1>5300,len=8 data:12", "1 original",
	  V4 " udp:1>5300,len=21 data:12", "bad-l4" },
	{ "TCP", V4 " tcp:1>8000", "2 original", V4 " tcp:1>8001", "no-match" },
	{ "TCP6", V6 " tcp:8000>1", "2 reply", V6 " tcp:8001>1", "no-match" },
	{ "TCP options", V4 " tcp:1>8000,doff=15 data:40", "2 original",
	  V4 " tcp:1>8000,doff=15 data:39", "bad-l4" },
	{ "TCP data offset", V6 " tcp:1>8000,doff=5", "2 original", V6 " tcp:1>8000,doff=4",
	  "bad-l4" },
	{ "failsafe comes first", V4 " tcp:22>8000", "failsafe reply", V4 " tcp:23>8000",
	  "2 original" },
	{ "track", V4 " udp:1>5400 data:12", "4 original", V4 " udp:1>5300 data:12", "1 original" },
	{ "IPv4 version", V4 " udp:1>5300 data:12", "1 original", V4 ",ver=5 udp:1>5300 data:12",
	  "bad-ipv4" },
	{ "IPv4 options", V4 ",opt=8 udp:1>5300 data:12", "1 original",
	  V4 ",opt=8 udp:1>5301 data:12", "no-match" },
	{ "IPv4 header longer than packet", V4 ",ihl=7 proto:253 data:8", "11 original",
	  V4 ",ihl=8 proto:253 data:8", "bad-ipv4" },
	{ "IPv4 length", V4 ",len=40 udp:1>5300,len=20 data:12", "1 original",
	  V4 ",len=41 udp:1>5300,len=20 data:12", "bad-ipv4" },
	{ "IPv4 length 0", V4 ",len=0 udp:1>5300 data:12", "bad-ipv4",
	  V4 ",len=40 udp:1>5300 data:12", "1 original" },
	{ "first fragment", V4 ",mf udp:1>5300,len=3000 data:64", "1 original",
	  V4 ",off=1,mf udp:1>5300,len=3000 data:64", "later-fragment" },
	{ "IPv6 version", V6 " udp:1>5300 data:12", "1 original", V6 ",ver=4 udp:1>5300 data:12",
	  "bad-ipv6" },
	{ "IPv6 length", V6 ",len=20 udp:1>5300,len=20 data:12", "1 original",
	  V6 ",len=21 udp:1>5300,len=20 data:12", "bad-ipv6" },
	{ "extension headers", V6 " hop:0 dst:1 tcp:1>8000", "2 original",
	  V6 " hop:0 dst:1 tcp:1>8001", "no-match" },
	{ "eight extension headers",
	  V6 " hop:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 udp:1>5300", "1 original",
	  V6 " hop:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 dst:0 udp:1>5300", "ext-headers" },
	{ "IPv6 first fragment", V6 " frag:0,mf udp:1>5300,len=3000 data:64", "1 original",
	  V6 " frag:1,mf udp:1>5300,len=3000 data:64", "later-fragment" },
	{ "SCTP", V4 " sctp:7000>1", "3 reply", V4 ",len=31 sctp:7000>1", "bad-l4" },
	{ "DCCP", V6 " dccp:1>7000", "3 original", V6 ",len=11 dccp:1>7000", "bad-l4" },
	{ "UDP-Lite", V4 " udplite:1>7000", "3 original", V4 ",len=27 udplite:1>7000", "bad-l4" },
	{ "no ports", V4 " gre data:4", "5 original", V4 " proto:46 data:4", "no-match" },
	{ "neither ports nor payload", V4 " gre", "5 original", V4 " proto:46", "no-match" },
	{ "a source that is not local", "bare ip4:192.0.2.2>198.51.100.1 esp data:20",
	  "10 original", V4 " esp data:20", "no-match" },
	{ "ICMPv6", V6 " icmp6:128", "9 original", V6 ",len=7 icmp6:128", "bad-l4" },

	{ "reply by the device of iif", V4 " udp:53>9 data:12", "6 reply", V4 " udp:54>9 data:12",
	  "no-match" },
	{ "original direction of iif", "bare ip4:198.51.100.1>192.0.2.1 udp:9>53 data:12",
	  "no-match", "bare ip4:198.51.100.1>192.0.2.1 udp:9>5300 data:12", "1 original" },
	{ "oneway, by the device of iif", V4 " tcp:9>55", "no-match", V4 " tcp:55>9", "no-match" },

	{ "error", ERR4 " udp:1>5300", "1 icmp-error", ERR4 " udp:1>5301", "no-match" },
	{ "error quotes options", ERR4 ",opt=12 udp:1>5300", "1 icmp-error",
	  ERR4 ",opt=12 udp:1>5301", "no-match" },
	{ "error quotes what fits track", ERR4 " udp:1>5400", "4 icmp-error", ERR4 " udp:1>5300",
	  "1 icmp-error" },
	{ "error, IPv6", ERR6 " tcp:1>8000", "2 icmp-error", ERR6 " tcp:1>8001", "no-match" },
	{ "error quotes extension headers", ERR6 " hop:0 dst:1 tcp:1>8000", "2 icmp-error",
	  ERR6 " hop:0 dst:1 tcp:1>8001", "no-match" },
	{ "error, ports cut off", ERR4 " tcp:1>8000 keep:24", "2 icmp-error",
	  ERR4 " tcp:1>8000 keep:23", "bad-quote" },
	{ "error behind options", "bare ip4:192.0.2.1>1.1.1.1,opt=8 icmp:3 ip4:1.1.1.1>2.2.2.2 gre",
	  "5 icmp-error", "bare ip4:192.0.2.1>1.1.1.1,opt=8 icmp:8 ip4:1.1.1.1>2.2.2.2 gre",
	  "no-match" },
	{ "error about what came in by iif",
	  "bare ip4:192.0.2.1>1.1.1.1 icmp:3 ip4:1.1.1.1>192.0.2.1 udp:9>53", "6 icmp-error",
	  "bare ip4:192.0.2.1>1.1.1.1 icmp:3 ip4:1.1.1.1>192.0.2.2 udp:9>53", "no-match" },
	{ "error about what came in by another iif",
	  "bare ip4:192.0.2.1>1.1.1.1 icmp:3 ip4:1.1.1.1>192.0.2.1 udp:9>54", "7 icmp-error",
	  "bare ip4:192.0.2.1>1.1.1.1 icmp:3 ip4:1.1.1.1>192.0.2.2 udp:9>54", "no-match" },
	{ "error about transit by another iif",
	  "bare ip4:192.0.2.1>1.1.1.1 icmp:11 ip4:1.1.1.1>2.2.2.2 tcp:9>56", "12 icmp-error",
	  "bare ip4:192.0.2.1>2.2.2.2 icmp:11 ip4:2.2.2.2>1.1.1.1 tcp:56>9", "no-match" },
	{ "error to the sender of what it quotes",
	  "bare ip4:192.0.2.1>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 gre", "5 icmp-error",
	  "bare ip4:192.0.2.1>1.1.1.0 icmp:3 ip4:1.1.1.1>2.2.2.2 gre", "bad-quote" },
	{ "error to the sender, IPv6",
	  "bare ip6:2001:db8::1>2001:db8:0:1::7 icmp6:1 ip6:2001:db8:0:1::7>::2 gre",
	  "5 icmp-error",
	  "bare ip6:2001:db8::1>2001:db8:0:1::6 icmp6:1 ip6:2001:db8:0:1::7>::2 gre", "bad-quote" },
	{ "redirect", "bare ip4:192.0.2.1>1.1.1.1 icmp:5 ip4:1.1.1.1>2.2.2.2 gre", "redirect",
	  "bare ip4:192.0.2.1>1.1.1.1 icmp:4 ip4:1.1.1.1>2.2.2.2 gre", "5 icmp-error" },
	{ "redirect, IPv6", V6 " icmp6:137", "redirect", V6 " icmp6:138", "9 original" },
};

static struct ctb_test_untrack *map_untrack(const struct bpf_object *obj)
{
	void *m = mmap(NULL, sizeof(struct ctb_test_untrack), PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_object__find_map_fd_by_name(obj, "untrack"), 0);

	cr_assert_neq(m, MAP_FAILED, "%s", strerror(errno));
	return m;
}

/* A row's packet, then all that is left of it when it is cut anywhere. */
static void check_row(struct out *o, const struct rig *rig, struct ctb_test_untrack *u,
		      const char *what, const char *recipe, const char *verdict)
{
	struct ref_verdict v;
	struct packet p;
	char text[96];
	__u8 pf;

	cr_assert_eq(pkt_recipe(recipe, &p), 0);
	pf = p.protocol == 0x86dd ? PF_6 : PF_4;
	for (size_t len = p.len; len >= OUT_MIN; len--) {
		u->calls = 0;
		cr_expect(judge(o, rig, p.data, len, pf, true, &v), "%s: %s (%zu bytes)", what,
			  recipe, len);
		cr_expect_eq(u->calls, (__u32)(v.judged && v.action != CTB_TRACK), "%s: %s (%zu)",
			     what, recipe, len);
		if (len == p.len)
			cr_expect_str_eq(rig_verdict(&v, text, sizeof(text)), verdict, "%s: %s: %s",
					 what, recipe, text);
	}
	cr_expect_lt(wrong_slot(o, rig), 0, "%s: %s", what, recipe);
}

Test(output, table)
{
	struct ctb_test_untrack *u;
	struct rig rig;
	struct out o;

	rig_from_text(&rig, RULES, &host);
	out_load(&o, rig.h, ELF(output_test), 1);
	u = map_untrack(o.obj);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check_row(&o, &rig, u, rows[i].what, rows[i].packet, rows[i].verdict);
		check_row(&o, &rig, u, rows[i].what, rows[i].twin, rows[i].twin_verdict);
	}
	out_free(&o);
	rig_free(&rig);
}

/* The hook's family counts, whatever the packet says of itself. */
Test(output, family_of_the_hook)
{
	struct ref_verdict v;
	struct packet p;
	struct rig rig;
	struct out o;

	rig_from_text(&rig, RULES, &host);
	out_load(&o, rig.h, ELF(output), 0);
	cr_assert_eq(pkt_recipe(V4 " udp:1>5300 data:32", &p), 0);
	cr_expect(judge(&o, &rig, p.data, p.len, PF_6, true, &v));
	cr_expect(!v.judged);
	cr_expect(judge(&o, &rig, p.data, p.len, PF_4, true, &v));
	cr_expect(v.judged);
	cr_assert_eq(pkt_recipe(V6 " udp:1>5300 data:32", &p), 0);
	cr_expect(judge(&o, &rig, p.data, p.len, PF_4, true, &v));
	cr_expect(!v.judged);
	cr_expect(judge(&o, &rig, p.data, p.len, PF_6, true, &v));
	cr_expect(v.judged);
	out_free(&o);
	rig_free(&rig);
}

/* What somebody untracked before is not counted again; what has an entry or is tracked is. */
Test(output, untracked_before)
{
	static const struct {
		const char *packet;
		int result;
		bool counts;
		__u32 calls;
	} cases[] = {
		{ V4 " udp:1>5300 data:12", 0, true, 1 },
		{ V4 " udp:1>5300 data:12", -EALREADY, false, 1 },
		{ V4 " udp:1>5300 data:12", -EBUSY, true, 1 },
		{ V4 ",opt=4 udp:1>5300 data:12", -EALREADY, false, 1 },
		{ ERR6 " tcp:1>8000", -EALREADY, false, 1 },
		{ V4 " udp:1>5400 data:12", -EALREADY, true, 0 },
	};
	struct ctb_test_untrack *u;
	struct ref_verdict v;
	struct packet p;
	struct rig rig;
	struct out o;

	rig_from_text(&rig, RULES, &host);
	out_load(&o, rig.h, ELF(output_test), 1);
	u = map_untrack(o.obj);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(pkt_recipe(cases[i].packet, &p), 0);
		*u = (struct ctb_test_untrack){ .result = cases[i].result };
		cr_expect(judge(&o, &rig, p.data, p.len, family_of(&p), cases[i].counts, &v),
			  "%s: %d", cases[i].packet, cases[i].result);
		cr_expect_eq(u->calls, cases[i].calls, "%s", cases[i].packet);
		cr_expect(v.judged);
	}
	out_free(&o);
	rig_free(&rig);
}

/* --- tc without a mark: what the module is told --- */

#define NOTHING (-1)

Test(direct, tc_flags)
{
	static const char rules[] = "notrack udp dport 5300\n"
				    "track udp dport 5400\n"
				    "forward esp daddr 198.51.100.0/24\n"
				    "forward tcp dport 8000\n"
				    "notrack gre\n";
	static const struct {
		const char *packet;
		int flags;
	} cases[] = {
		{ "ip4:1.1.1.1>2.2.2.2 udp:1>5300", 0 },
		{ "ip4:1.1.1.1>2.2.2.2 udp:1>5301", NOTHING },
		{ "ip4:1.1.1.1>2.2.2.2 udp:1>5400", NOTHING },
		{ "ip4:1.1.1.1>2.2.2.2,opt=4 udp:1>5300", 0 },
		{ "ip4:1.1.1.1>2.2.2.2,mf udp:1>5300,len=3000 data:64", 1 },
		{ "ip4:1.1.1.1>2.2.2.2,mf udp:1>5400,len=3000 data:64", NOTHING },
		{ "ip4:1.1.1.1>2.2.2.2,off=8 data:64", NOTHING },
		{ "ip6:::5>::6 udp:1>5300", 0 },
		{ "ip6:::5>::6 hop:0 udp:1>5300", 0 },
		{ "ip6:::5>::6 frag:0 udp:1>5300", 0 }, /* whole, whatever its header */
		{ "ip6:::5>::6 frag:0,mf udp:1>5300,len=3000 data:64", 1 },
		{ "ip6:::5>::6 frag:8 data:64", NOTHING },
		{ "ip4:1.1.1.1>2.2.2.2,mf gre data:8", 1 },
		/* Forward entries fall back to the kernel, since no device is known. */
		{ "ip4:1.1.1.1>198.51.100.1 esp data:20", 0 },
		{ "ip4:1.1.1.1>198.51.100.1,mf esp data:20", 1 },
		{ "ip4:1.1.1.1>198.51.100.1,off=8 esp data:20", 1 },
		{ "ip4:1.1.1.1>192.0.2.1 tcp:1>8000", 0 }, /* local */
		{ "ip4:1.1.1.1>2.2.2.2 tcp:1>8000", 0 },
		{ "ip4:1.1.1.1>2.2.2.2,mf tcp:1>8000", 1 },
		{ "ip4:9.9.9.9>1.1.1.1 icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300", 0 },
		{ "ip4:9.9.9.9>1.1.1.1,mf icmp:3 ip4:1.1.1.1>2.2.2.2 udp:1>5300", 1 },
	};
	struct harness *h = tables_from_text(rules, &host);
	struct bpf_object *obj = load_beside(h, ELF(tc_direct_test), 1);
	struct ctb_test_untrack *u = map_untrack(obj);
	int fd = program_fd(obj, "ctb_tc_ether");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct __sk_buff skb = { .ifindex = (__u32)ifs[1].ifindex,
					 .mark = 0xdead0000 | MARK };
		char recipe[256];
		struct packet p;
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p.data, .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .ctx_out = &skb,
			    .ctx_size_out = sizeof(skb));

		snprintf(recipe, sizeof(recipe), "eth %s end trail:20", cases[i].packet);
		cr_assert_eq(pkt_recipe(recipe, &p), 0);
		opts.data_size_in = (__u32)p.len;
		*u = (struct ctb_test_untrack){};
		cr_assert_eq(bpf_prog_test_run_opts(fd, &opts), 0, "%s", strerror(errno));
		cr_expect_eq((int)opts.retval, TC_ACT_UNSPEC);
		cr_expect_eq(skb.mark, 0xdead0000 | MARK, "%s: mark %#x", recipe, skb.mark);
		cr_expect_eq(u->calls, (__u32)(cases[i].flags != NOTHING), "%s", recipe);
		if (u->calls)
			cr_expect_eq((int)u->flags, cases[i].flags, "%s: flags %u", recipe,
				     u->flags);
	}
	bpf_object__close(obj);
	harness_free(h);
}

/* --- random packets and rules --- */

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : otherwise;
}

static unsigned long pairs_wanted(void)
{
	return env_number("CTB_OUT_PAIRS", getenv("CTB_LONG") ? 300000 : 20000);
}

struct tally {
	unsigned long pairs, wrong;
	unsigned long dirs[CTB_DIR_MAX], iif, track;
};

static bool has_iif(const struct ruleset *rs, __u32 handle)
{
	int i = handle ? ruleset_find(rs, handle) : -1;

	return i >= 0 && rs->rules[i].iif.n;
}

static void random_output(struct out *o, const struct rig *rig, struct rng *r,
			  const struct world *w, const char *text, __u64 seed, struct tally *t)
{
	for (unsigned int i = 0; i < 500 && t->wrong < SHOWN_MAX; i++) {
		const struct host_if *in;
		struct ref_verdict v;
		struct packet p;
		char hex[3 * PKT_MAX];
		__u8 pf;

		make_packet(r, w, rig->rs, 25, &p, &in);
		if (p.len < p.l3 + OUT_MIN)
			continue;
		pf = rng_percent(r, 98) ? family_of(&p) : PF_4 + PF_6 - family_of(&p);
		t->pairs++;
		if (!judge(o, rig, p.data + p.l3, p.len - p.l3, pf, true, &v)) {
			t->wrong++;
			pkt_hexdump(&p, hex, sizeof(hex));
			cr_log_error("set %llu packet %u (IP at %zu): %s expected\n%s\n%s", seed, i,
				     p.l3, rig_verdict(&v, (char[96]){ 0 }, 96), hex, text);
		}
		if (!v.judged)
			continue;
		t->dirs[v.dir]++;
		t->track += v.action == CTB_TRACK;
		t->iif += has_iif(rig->rs, v.handle);
	}
	if (wrong_slot(o, rig) >= 0) {
		t->wrong++;
		cr_log_error("set %llu: slot %d\n%s", seed, wrong_slot(o, rig), text);
	}
}

static unsigned int how_many_rules(struct rng *r)
{
	return rng_percent(r, 70) ? 1 + rng_below(r, 30) : 60 + rng_below(r, 200);
}

Test(output, differential)
{
	struct rng top = { env_number("CTB_SEED", 1) };
	unsigned long pairs = pairs_wanted();
	struct tally t = {};

	while (t.pairs < pairs && t.wrong < SHOWN_MAX) {
		_strbuf_ struct strbuf text = {};
		__u64 seed = rng_next(&top);
		struct ruleset *rs = NULL;
		struct rng r = { seed };
		unsigned int refused;
		struct world w;
		struct rig rig;
		struct out o;

		cr_assert_eq(world_make(&r, ifs, host.n_ifs, &w), 0);
		cr_assert_eq(make_ruleset(&r, &w, how_many_rules(&r), &rs, &text, &refused), 0);
		if (rig_make(&rig, rs, &w.host, HARNESS_PRODUCTION) == 0) {
			out_load(&o, rig.h, ELF(output), 0);
			random_output(&o, &rig, &r, &w, text.s, seed, &t);
			out_free(&o);
			rig_free(&rig);
		}
		world_free(&w);
	}
	fprintf(stderr,
		"output: %lu pairs, original %lu reply %lu icmp-error %lu; track %lu, iif %lu; "
		"%lu mismatches\n",
		t.pairs, t.dirs[CTB_DIR_ORIG], t.dirs[CTB_DIR_REPLY], t.dirs[CTB_DIR_ERROR],
		t.track, t.iif, t.wrong);
	cr_expect_eq(t.wrong, 0, "%lu mismatches", t.wrong);
	for (int d = 0; d < CTB_DIR_MAX; d++)
		cr_expect_gt(t.dirs[d], t.pairs / 100, "hardly any %s", ref_dir_names[d]);
	cr_expect_gt(t.iif, t.pairs / 1000, "hardly any rule with iif");
	cr_expect_gt(t.track, t.pairs / 100, "hardly any exception");
}

/* Both programs at tc count the same of the same packets, and one of them leaves the mark alone. */
static void both_at_tc(struct harness *mark, struct harness *direct, struct rng *r,
		       const struct world *w, const struct ruleset *rs, unsigned long *pairs)
{
	static struct harness_counts a, b;

	for (unsigned int i = 0; i < 500; i++) {
		struct harness_extra x = {};
		const struct host_if *in;
		struct packet p;
		__u32 m = rng_next(r), was = m;

		make_packet(r, w, rs, 25, &p, &in);
		if (p.layer3 || p.len < 54)
			continue;
		if (rng_percent(r, 3))
			x.gso_size = 500;
		(*pairs)++;
		cr_assert_eq(harness_run(mark, &p, in, &x, &m), 0);
		m = was;
		cr_assert_eq(harness_run(direct, &p, in, &x, &m), 0);
		cr_assert_eq(m, was, "mark %#x became %#x", was, m);
	}
	cr_assert_eq(harness_counts(mark, &a), 0);
	cr_assert_eq(harness_counts(direct, &b), 0);
	cr_assert_eq(memcmp(&a, &b, sizeof(a)), 0, "they count differently");
}

Test(direct, tc_counts_the_same)
{
	struct rng top = { env_number("CTB_SEED", 1) };
	unsigned long pairs = pairs_wanted(), done = 0;

	while (done < pairs) {
		_strbuf_ struct strbuf text = {};
		struct harness *mark, *direct;
		struct rng r = { rng_next(&top) };
		struct ruleset *rs = NULL;
		unsigned int refused;
		bool too_big;
		struct world w;

		cr_assert_eq(world_make(&r, ifs, host.n_ifs, &w), 0);
		cr_assert_eq(make_ruleset(&r, &w, how_many_rules(&r), &rs, &text, &refused), 0);
		mark = harness_load(rs, &w.host, HARNESS_PRODUCTION, &too_big);
		if (mark) {
			direct = harness_load(rs, &w.host, HARNESS_DIRECT, NULL);
			cr_assert_not_null(direct);
			both_at_tc(mark, direct, &r, &w, rs, &done);
			harness_free(direct);
			harness_free(mark);
		}
		ruleset_free(rs);
		world_free(&w);
	}
}
