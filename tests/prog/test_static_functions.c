// SPDX-License-Identifier: GPL-2.0-only
/* Programs for kernels without BTF: the verifier takes them, and they judge like the others. */
#include <criterion/criterion.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include "datapath_load.h"
#include "rig.h"
#include "static_functions.h"
#include "tc.skel.h"
#include "xdp.skel.h"

#define MARK 0x40

static struct host_if ifs[8];
static struct host host;
static struct prefix4 local4[] = { { 0xc0000201, 32 } };

static const char rules[] = "failsafe { tcp 22 }\n"
			    "notrack udp dport 53 daddr local\n"
			    "notrack tcp port 80 saddr { 198.51.100.0/24, 2001:db8::/48 }\n"
			    "forward esp daddr 198.51.100.0/24\n";

/* Each goes through other functions; half of them just miss. */
static const struct {
	const char *packet;
	__u32 mark;
} rows[] = {
	{ "ip4:203.0.113.1>192.0.2.1 udp:9>53", MARK },
	{ "ip4:203.0.113.1>192.0.2.2 udp:9>53", 0 },
	{ "vlan:5 ip4:203.0.113.1>192.0.2.1 udp:9>53", MARK },
	{ "ip4:203.0.113.1>192.0.2.1,opt=8 udp:9>53", MARK },
	{ "ip4:203.0.113.1>192.0.2.1,opt=8 udp:9>54", 0 },
	{ "ip6:2001:db8::5>2001:db8:1::1 hop dst:1 tcp:9>80", MARK },
	{ "ip6:2001:db8:1::5>2001:db8:1::1 hop dst:1 tcp:9>80", 0 },
	{ "ip4:203.0.113.9>192.0.2.1 icmp:3,4 ip4:192.0.2.1>203.0.113.1 udp:53>9", MARK },
	{ "ip4:203.0.113.9>192.0.2.2 icmp:3,4 ip4:192.0.2.2>203.0.113.1 udp:53>9", 0 },
	{ "ip4:203.0.113.9>192.0.2.2 icmp:3,4 ip4:192.0.2.1>203.0.113.1 udp:53>9", 0 },
	{ "ip4:203.0.113.1>198.51.100.1,mf esp", MARK },
	{ "ip4:203.0.113.1>198.51.101.1,mf esp", 0 },
};

static void start(void)
{
	host = (struct host){ .ifs = ifs, .n_ifs = harness_init(ifs, ARRAY_SIZE(ifs)) };
	host.local.v4 = local4;
	host.local.n4 = ARRAY_SIZE(local4);
}

TestSuite(static_functions, .init = start);

static __u32 mark_after(int fd, const struct packet *p)
{
	struct __sk_buff skb = { .ifindex = (__u32)ifs[1].ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->data, .data_size_in = (__u32)p->len,
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .ctx_out = &skb,
		    .ctx_size_out = sizeof(skb));

	cr_assert_eq(bpf_prog_test_run_opts(fd, &opts), 0, "%s", strerror(errno));
	cr_assert_eq((int)opts.retval, TC_ACT_UNSPEC);
	return skb.mark;
}

Test(static_functions, judge_the_same)
{
	struct tc_bpf *skel = tc_bpf__open();
	struct harness *h = tables_from_text(rules, &host);

	cr_assert_not_null(skel);
	cr_assert_gt(make_functions_static(skel->obj), 2);
	cr_assert_eq(make_functions_static(skel->obj), 0, "they are static by now");
	cr_assert_eq(load_configure(skel->obj, harness_tables(h), &host, 1), 0);
	cr_assert_eq(tc_bpf__load(skel), 0, "%s", strerror(errno));
	cr_assert_eq(load_tables(skel->obj, harness_tables(h), &host), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char recipe[256];
		struct packet p;

		snprintf(recipe, sizeof(recipe), "eth %s end trail:20", rows[i].packet);
		cr_assert_eq(pkt_recipe(recipe, &p), 0);
		cr_expect_eq(mark_after(harness_ether_fd(h), &p), rows[i].mark, "%s: global",
			     rows[i].packet);
		cr_expect_eq(mark_after(bpf_program__fd(skel->progs.ctb_tc_ether), &p),
			     rows[i].mark, "%s: static", rows[i].packet);
	}
	tc_bpf__destroy(skel);
	harness_free(h);
}

Test(static_functions, xdp_is_taken_too)
{
	struct xdp_bpf *skel = xdp_bpf__open();
	struct harness *h = tables_from_text(rules, &host);

	cr_assert_not_null(skel);
	cr_assert_gt(make_functions_static(skel->obj), 2);
	cr_assert_eq(load_configure(skel->obj, harness_tables(h), &host, 1), 0);
	cr_assert_eq(xdp_bpf__load(skel), 0, "%s", strerror(errno));
	xdp_bpf__destroy(skel);
	harness_free(h);
}
