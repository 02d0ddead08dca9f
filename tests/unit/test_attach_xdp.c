// SPDX-License-Identifier: GPL-2.0-only
/* What is said of an XDP program that is refused, by devices of a namespace of our own. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>

#include "attach_xdp.h"
#include "util.h"

static int frags = -1, plain = -1; /* programs: XDP_PASS */

static int load_pass(__u32 flags)
{
	struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = flags);

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass, ARRAY_SIZE(pass), &opts);
}

static void sh(const char *cmd)
{
	cr_assert_eq(system(cmd), 0, "%s", cmd);
}

static void setup(void)
{
	if (geteuid())
		cr_skip_test("a network namespace of our own needs root");
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "%s", strerror(errno));
	frags = load_pass(BPF_F_XDP_HAS_FRAGS);
	plain = load_pass(0);
	cr_assert(frags >= 0 && plain >= 0, "%s", strerror(errno));
	sh("ip link add v0 type veth peer name v1");
	sh("ip link set v0 up && ip link set v1 up");
}

static void teardown(void)
{
	cleanup_close(&frags);
	cleanup_close(&plain);
}

TestSuite(attach_xdp, .init = setup, .fini = teardown);

static int index_of(const char *dev)
{
	int i = (int)if_nametoindex(dev);

	cr_assert_neq(i, 0, "%s", dev);
	return i;
}

static bool attached(const char *dev)
{
	__u32 id = 0;

	cr_assert_eq(bpf_xdp_query_id(index_of(dev), 0, &id), 0);
	return id;
}

static void refused(const char *dev, int prog_fd, int err, const char *words)
{
	char why[160];
	int fd = attach_xdp(index_of(dev), prog_fd);

	cr_expect_eq(fd, err, "%d", fd);
	attach_xdp_why(index_of(dev), prog_fd, fd, why, sizeof(why));
	cr_expect_not_null(strstr(why, words), "%s", why);
}

Test(attach_xdp, a_link_goes_with_its_descriptor)
{
	int fd = attach_xdp(index_of("v0"), frags);

	cr_assert_geq(fd, 0, "%s", strerror(-fd));
	cr_expect(attached("v0"));
	close(fd);
	cr_expect_not(attached("v0"));
}

Test(attach_xdp, the_drivers_words)
{
	sh("ip link set v1 mtu 9000");
	refused("v0", plain, -ERANGE, "Peer MTU is too large");
	sh("ip link add q0 numrxqueues 1 numtxqueues 1 type veth "
	   "peer name q1 numtxqueues 2 numrxqueues 2");
	refused("q0", frags, -ENOSPC, "number of rx queues not less than peer tx queues");
	refused("lo", frags, -EOPNOTSUPP, "driver does not support XDP in native mode");
	cr_expect_not(attached("v0"));
}

Test(attach_xdp, two_of_them)
{
	int fd = attach_xdp(index_of("v0"), frags);

	cr_assert_geq(fd, 0, "%s", strerror(-fd));
	refused("v0", frags, -EBUSY, "another XDP program is attached");
	cr_expect(attached("v0"));
	close(fd);
}

/* The question may be answered with yes, when the cause is gone meanwhile: nothing must be left. */
Test(attach_xdp, a_second_try_that_succeeds_is_taken_back)
{
	char why[160];

	attach_xdp_why(index_of("v0"), frags, -ENOMEM, why, sizeof(why));
	cr_expect_str_eq(why, "XDP refused: Cannot allocate memory");
	cr_expect_not(attached("v0"));
}

Test(attach_xdp, no_device)
{
	char why[160];

	cr_expect_eq(attach_xdp(4711, frags), -EINVAL);
	attach_xdp_why(4711, frags, -EINVAL, why, sizeof(why));
	cr_expect_str_eq(why, "XDP refused: Invalid argument");
}
