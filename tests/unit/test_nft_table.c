// SPDX-License-Identifier: GPL-2.0-only
/* The table as a whole: swapping, counting, adopting, watching. Needs root. */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "nft_netns.h"

TestSuite(nft_table, .init = setup, .fini = teardown);

/* --- counters --- */

Test(nft_table, counters_live_as_long_as_their_rule)
{
	struct fx_packet other = to_8080;

	other.dport = 9090;
	port_rule(CTB_NOTRACK, 8080)->handle = 7;
	port_rule(CTB_NOTRACK, 9090)->handle = 8;
	load(1);
	cr_assert(is_untracked(&to_8080) && is_untracked(&other));
	expect(7, CTB_DIR_ORIG, 1, 40);
	expect(8, CTB_DIR_ORIG, 1, 40);
	fx_free_rules(&fx);
	port_rule(CTB_TRACK, 1)->handle = 9;
	port_rule(CTB_NOTRACK, 8080)->handle = 7;
	load(2);
	if (nft_state_leftovers(loaded)) {
		cr_assert_eq(nft_run(nft_state_leftovers(loaded), false, NULL), 0);
		nft_state_settled(loaded);
	}
	cr_assert(is_untracked(&to_8080));
	cr_assert_not(is_untracked(&other));
	expect(7, CTB_DIR_ORIG, 2, 80);
	expect_none(8, CTB_DIR_ORIG);
	expect(9, CTB_DIR_REPLY, 0, 0);
}

/* A swap that is taken back at once: nothing is lost that was only about to go. */
Test(nft_table, counters_come_back_with_their_rule)
{
	port_rule(CTB_NOTRACK, 8080)->handle = 7;
	load(1);
	cr_assert(is_untracked(&to_8080));
	fx_free_rules(&fx);
	port_rule(CTB_NOTRACK, 9090)->handle = 8;
	load(2);
	cr_assert_not(is_untracked(&to_8080));
	fx_free_rules(&fx);
	port_rule(CTB_NOTRACK, 8080)->handle = 7;
	load(3);
	cr_assert(is_untracked(&to_8080));
	expect(7, CTB_DIR_ORIG, 2, 80);
	load(4);
	cr_assert_eq(nft_run(nft_state_leftovers(loaded), false, NULL), 0);
	expect_none(8, CTB_DIR_ORIG);
	expect(7, CTB_DIR_ORIG, 2, 80);
}
/* --- swapping --- */

/* Packets that another process sends until it is told to stop; table probe notes what is tracked.
 */
struct flood {
	int to, from;
	pid_t pid;
};

static struct flood flood_start(void)
{
	__u32 stop = 0, sent = 0;
	int down[2], up[2];
	struct flood f;

	must("nft add counter inet probe tracked && "
	     "nft add rule inet probe output meta mark 0x1000 ct state != untracked "
	     "counter name tracked");
	cr_assert(!pipe2(down, O_NONBLOCK) && !pipe(up));
	f = (struct flood){ .to = down[1], .from = up[0], .pid = fork() };
	cr_assert(f.pid >= 0);
	if (!f.pid) {
		while (read(down[0], &stop, sizeof(stop)) < 0) {
			send_packet(&to_8080, 0x1000);
			if (!sent++ && write(up[1], &sent, sizeof(sent)) != sizeof(sent))
				_exit(1);
		}
		_exit(write(up[1], &sent, sizeof(sent)) != sizeof(sent));
	}
	/* It has begun. */
	cr_assert_eq(read(up[0], &sent, sizeof(sent)), sizeof(sent));
	close(down[0]);
	close(up[1]);
	return f;
}

/* Each packet was untracked, and counted once, as one of rule 1. */
static void flood_stop(struct flood *f)
{
	__u32 stop = 0, sent = 0;
	struct ctb_count c;
	bool exists;

	cr_assert_eq(write(f->to, &stop, sizeof(stop)), sizeof(stop));
	cr_assert_eq(read(f->from, &sent, sizeof(sent)), sizeof(sent));
	cr_assert_eq(waitpid(f->pid, NULL, 0), f->pid);
	close(f->to);
	close(f->from);
	cr_assert(strstr(output_of("nft list counter inet probe tracked"), "packets 0 "), "%s",
		  output_of("nft list counter inet probe tracked"));
	c = counter(1, CTB_DIR_ORIG, &exists);
	cr_assert(exists && sent);
	cr_assert_eq(c.packets, sent, "%llu counted, %u sent", (unsigned long long)c.packets, sent);
}

/* Packets flow while the table is replaced again and again. */
Test(nft_table, swaps_miss_no_packet)
{
	struct flood f;

	port_rule(CTB_NOTRACK, 8080)->handle = 1;
	load(1);
	f = flood_start();
	for (__u32 i = 2; i < 100; i++) {
		fx_free_rules(&fx);
		if (i % 3)
			port_rule(CTB_TRACK, (__u16)i)->handle = 1000 + i;
		fx_addr(&port_rule(CTB_NOTRACK, 9000)->daddr, "10.2.0.0/16");
		port_rule(CTB_NOTRACK, 8080)->handle = 1;
		for (__u16 k = 0; k < i % 5 * 10; k++)
			port_rule(CTB_NOTRACK, 10000 + k)->handle = 2000 + k;
		load(i);
	}
	flood_stop(&f);
}

/* --- prerouting --- */

/* A frame that comes in by v0. */
static void receive_frame(void)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex("v1"),
				  .sll_protocol = htons(ETH_P_IP) };
	struct fx_packet p = mirrored(to_8080);
	int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	struct ifreq v0 = { .ifr_name = "v0" };
	unsigned char b[128], sum[2] = {};
	__u32 total = 0;
	size_t n;

	n = put_packet(b, &p, 20);
	for (int i = 0; i < 20; i += 2)
		total += (__u32)(b[i] << 8 | b[i + 1]);
	total = (total & 0xffff) + (total >> 16);
	total = (total & 0xffff) + (total >> 16);
	put16(sum, ~total & 0xffff);
	memcpy(b + 10, sum, 2);
	cr_assert_eq(ioctl(fd, SIOCGIFHWADDR, &v0), 0);
	memcpy(to.sll_addr, v0.ifr_hwaddr.sa_data, 6);
	to.sll_halen = 6;
	cr_assert_eq(sendto(fd, b, n, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)n);
	close(fd);
}

Test(nft_table, prerouting_takes_the_mark)
{
	static const struct {
		__u32 mask, mark, after;
		bool untracked;
	} cases[] = {
		{ 0x40, 0x40, 0, true },
		{ 0x40, 0x80000041, 0x80000001, true },
		{ 0x40, 0xffffffbf, 0xffffffbf, false },
		{ 0x40, 0, 0, false },
		{ 0x80000000, 0x80000001, 1, true },
		{ 0x50, 0x11, 1, true }, /* two bits, while one is exchanged for the other */
		{ 0x50, 0x71, 0x21, true },
		{ 0x50, 0x21, 0x21, false },
	};
	char command[512];

	must("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.v0.rp_filter=0");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *what = output_of("true");
		struct nft_plan p = {};

		fx_expand(&fx);
		cr_assert_eq(
			nft_render(&fx.entries, &fx.host, cases[i].mask, (__u32)i + 1, loaded, &p),
			0);
		if (p.script.len)
			cr_assert_eq(nft_run(p.script.s, false, NULL), 0);
		nft_state_free(loaded);
		loaded = TAKE_PTR(p.after);
		nft_plan_free(&p);
		cr_assert_eq(nft_state_mark(loaded), cases[i].mask);
		snprintf(command, sizeof(command),
			 "nft -f - <<'E'\n"
			 "table inet probe2\ndelete table inet probe2\n"
			 "table inet probe2 {\n"
			 "counter u { }\ncounter t { }\n"
			 "chain a { type filter hook prerouting priority -450;\n"
			 "ip saddr 8.8.8.8 meta mark set 0x%x\n}\n"
			 "chain b { type filter hook prerouting priority -150;\n"
			 "ip saddr 8.8.8.8 meta mark 0x%x ct state untracked counter name u\n"
			 "ip saddr 8.8.8.8 meta mark 0x%x ct state != untracked counter name t\n}\n"
			 "}\nE",
			 cases[i].mark, cases[i].after, cases[i].after);
		must(command);
		receive_frame();
		snprintf(command, sizeof(command), "nft list counter inet probe2 %s",
			 cases[i].untracked ? "u" : "t");
		what = output_of(command);
		cr_assert(strstr(what, "packets 1 "), "mask 0x%x mark 0x%x: %s", cases[i].mask,
			  cases[i].mark, what);
	}
}

/* --- reading back, adopting, watching --- */

static struct nft_state *adopted(void)
{
	struct nft_state *s;

	cr_assert_eq(nft_adopt(&s), 0);
	return s;
}

/* Where tc needs no mark: what is sent is judged as ever. */
Test(nft_table, without_a_mark_there_is_no_prerouting_chain)
{
	struct nft_plan p = {};
	struct nft_state *was;

	port_rule(CTB_NOTRACK, 8080);
	load(1);
	cr_expect_eq(nft_present(true), 1);
	load_marked(2, 0);
	cr_expect_eq(nft_present(true), 0);
	cr_expect_eq(nft_present(false), 1);
	cr_expect(!strstr(output_of("nft list ruleset"), "prerouting"));
	cr_expect(strstr(output_of("nft list ruleset"), "hook output"));
	/* A next daemon goes on with it, without a word to say. */
	was = loaded;
	loaded = adopted();
	nft_state_free(was);
	cr_assert_not_null(loaded);
	cr_expect_eq(nft_state_mark(loaded), 0);
	cr_assert_eq(nft_render(&fx.entries, &fx.host, 0, 3, loaded, &p), 0);
	cr_expect(!p.script.s || !strstr(p.script.s, "delete table"), "taken for a foreign one");
	nft_plan_free(&p);
	load_marked(3, 0);
	cr_expect(!strstr(output_of("nft list ruleset"), "prerouting"));
	/* And back. */
	load(4);
	cr_expect_eq(nft_present(true), 1);
	/* What is silent has its counters still; what is gone has none. */
	cr_assert_eq(nft_run(NFT_SILENCE, false, NULL), 0);
	cr_expect_eq(nft_present(false), 0);
	{
		_free_ struct nft_counter *c = NULL;
		size_t n = 0;

		cr_expect_eq(nft_counters(&c, &n), 0);
		cr_expect_gt(n, 0);
	}
	nft_state_free(loaded);
	loaded = NULL;
	/* From nothing. */
	cr_assert_eq(nft_remove(NULL), 0);
	load_marked(5, 0);
	cr_expect_eq(nft_present(true), 0);
	cr_expect_eq(nft_present(false), 1);
}

Test(nft_table, adopted_table_goes_on)
{
	struct nft_state *s = adopted();

	cr_assert_null(s, "there is no table yet");
	fx_failsafe(&fx);
	port_rule(CTB_NOTRACK, 8080);
	for (__u16 i = 0; i < 40; i++)
		fx_addr(&port_rule(CTB_NOTRACK, 9000 + i)->daddr, i % 2 ? "10.2.0.0/16" : "local");
	load(5);
	cr_assert(is_untracked(&to_8080));
	fx_free_rules(&fx);
	port_rule(CTB_NOTRACK, 8080);
	load(6); /* leaves something behind, which the next daemon has to find */
	cr_assert_not_null(nft_state_leftovers(loaded));
	s = adopted();
	cr_assert_not_null(s);
	cr_assert_eq(nft_state_mark(s), MARK);
	cr_assert_eq(nft_state_generation(s), 6);
	nft_state_free(loaded);
	loaded = s;
	port_rule(CTB_NOTRACK, 9090);
	load(7);
	load(8); /* nothing to change: */
	cr_assert_eq(nft_state_generation(loaded), 7);
	cr_assert_eq(nft_run(nft_state_leftovers(loaded), false, NULL), 0);
	nft_state_settled(loaded);
	cr_assert(is_untracked(&to_8080));
	expect(1, CTB_DIR_ORIG, 2, 80);
	/* Only generation 7 is left. */
	cr_assert_str_eq(output_of("nft list table inet ctbypass | grep -c 'chain g[^7]' || true"),
			 "0");
}

/* What a build that hooked at raw would have left: the same table, there. */
static void load_older(__u32 generation, __u32 mark)
{
	struct nft_plan p = {};
	char *at;

	fx_expand(&fx);
	cr_assert_eq(nft_render(&fx.entries, &fx.host, mark, generation, NULL, &p), 0);
	while ((at = strstr(p.script.s, "priority -399")))
		memcpy(at, "priority -300", strlen("priority -300"));
	cr_assert_eq(nft_run(p.script.s, false, NULL), 0);
	nft_plan_free(&p);
}

/*
 * The table of a build that hooked at raw is gone on with: not a packet is tracked or counted twice
 * while the new chains take over, and nothing of the old ones is left.
 */
Test(nft_table, older_table_is_taken_over)
{
	struct flood f;

	for (__u32 i = 0; i < 6; i++) {
		__u32 mark = i % 2 ? MARK : 0;

		fx_free_rules(&fx);
		port_rule(CTB_NOTRACK, 8080)->handle = 1;
		port_rule(CTB_NOTRACK, 9090)->handle = 2;
		load_older(3, mark);
		cr_expect_eq(nft_present(false), 0, "it is not what is wanted");
		cr_expect_eq(nft_adoptable(), 1);
		f = flood_start();
		loaded = adopted();
		cr_assert_not_null(loaded);
		cr_expect_eq(nft_state_generation(loaded), 3);
		fx_free_rules(&fx);
		port_rule(CTB_NOTRACK, 8080)->handle = 1;
		load_marked(4, mark);
		cr_expect_eq(nft_present(mark), 1);
		/* The old rules are not asked any more. */
		cr_expect_str_eq(output_of("nft list chain inet ctbypass old_output | "
					   "grep -c g3 || true"),
				 "0");
		cr_assert_not_null(nft_state_leftovers(loaded));
		cr_assert_eq(nft_run(nft_state_leftovers(loaded), false, NULL), 0);
		flood_stop(&f);
		expect_none(2, CTB_DIR_ORIG);
		cr_expect_str_eq(output_of("nft list table inet ctbypass | "
					   "grep -e old_ -e raw -e -300 -e g3 || true"),
				 "");
		nft_state_free(loaded);
		loaded = NULL;
		cr_assert_eq(nft_remove(NULL), 0);
		must("nft flush chain inet probe output && nft delete counter inet probe tracked");
	}
}

/* A daemon that ended in the middle of it: the next one finds its way from any step. */
Test(nft_table, older_table_is_taken_over_in_two_attempts)
{
	port_rule(CTB_NOTRACK, 8080)->handle = 1;
	for (int steps = 1; steps <= 2; steps++) {
		struct nft_state *s;
		struct nft_plan p = {};

		load_older(3, MARK);
		cr_assert(is_untracked(&to_8080));
		s = adopted();
		fx_expand(&fx);
		cr_assert_eq(nft_render(&fx.entries, &fx.host, MARK, 4, s, &p), 0);
		cr_assert_eq(nft_run(p.older.before.s, false, NULL), 0);
		cr_assert(is_untracked(&to_8080));
		if (steps == 2)
			cr_assert_eq(nft_run(p.script.s, false, NULL), 0);
		nft_plan_free(&p);
		nft_state_free(s);
		cr_expect_eq(nft_adoptable(), 1);
		loaded = adopted();
		load(5);
		cr_assert(is_untracked(&to_8080));
		cr_assert_eq(nft_run(nft_state_leftovers(loaded), false, NULL), 0);
		cr_assert(is_untracked(&to_8080));
		expect(1, CTB_DIR_ORIG, 4, 160);
		cr_expect_eq(nft_present(true), 1);
		cr_expect_str_eq(output_of("nft list table inet ctbypass | "
					   "grep -e old_ -e raw -e -300 -e 'g[34]' || true"),
				 "");
		nft_state_free(loaded);
		loaded = NULL;
		cr_assert_eq(nft_remove(NULL), 0);
	}
}

/* What it takes back where nft refuses the rest, the older build would go on with. */
Test(nft_table, older_table_is_left_as_it_was)
{
	_free_ char *was = NULL;
	struct nft_plan p = {};
	struct nft_state *s;

	port_rule(CTB_NOTRACK, 8080);
	load_older(3, MARK);
	was = strdup(output_of("nft -s list table inet ctbypass"));
	s = adopted();
	fx_expand(&fx);
	cr_assert_eq(nft_render(&fx.entries, &fx.host, MARK, 4, s, &p), 0);
	cr_assert_eq(nft_run(p.older.before.s, false, NULL), 0);
	cr_assert_str_neq(output_of("nft -s list table inet ctbypass"), was);
	cr_assert_eq(nft_run(p.older.undo.s, false, NULL), 0);
	cr_assert_str_eq(output_of("nft -s list table inet ctbypass"), was);
	nft_plan_free(&p);
	nft_state_free(s);
}

Test(nft_table, foreign_table_is_rebuilt)
{
	static const char *const changes[] = {
		"nft add chain inet ctbypass mine",
		"nft add counter inet ctbypass mine",
		"nft add set inet ctbypass mine '{ type inet_service; }'",
		"nft add chain inet ctbypass mine '{ type filter hook input priority 0; }'",
		"nft add quota inet ctbypass r1_orig '{ 5 mbytes }'",
		"nft delete table inet ctbypass && nft add table inet ctbypass",
		"nft add table inet ctbypass '{ flags dormant; }'",
	};

	port_rule(CTB_NOTRACK, 8080);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		nft_state_free(loaded);
		loaded = NULL;
		cr_assert_eq(nft_remove(NULL), 0);
		load(1);
		must(changes[i]);
		nft_state_free(loaded);
		loaded = adopted();
		load(2);
		cr_assert_eq(nft_present(true), 1, "%s", changes[i]);
		cr_assert_neq(sh("nft list table inet ctbypass | grep -q 'mine\\|dormant\\|quota'"),
			      0, "%s", changes[i]);
		cr_assert(is_untracked(&to_8080), "%s", changes[i]);
	}
}

Test(nft_table, changed_prerouting_is_noticed)
{
	port_rule(CTB_NOTRACK, 8080);
	load(1);
	must("nft add rule inet ctbypass prerouting accept");
	nft_state_free(loaded);
	loaded = adopted();
	cr_assert_eq(nft_state_mark(loaded), 0);
	load(2);
	nft_state_free(loaded);
	loaded = adopted();
	cr_assert_eq(nft_state_mark(loaded), MARK);
}

Test(nft_table, presence)
{
	static const char *const losses[] = {
		"nft flush table inet ctbypass",
		"nft flush chain inet ctbypass prerouting",
		"nft flush chain inet ctbypass prerouting && "
		"nft delete chain inet ctbypass prerouting",
		"nft delete table inet ctbypass",
		"nft flush ruleset",
	};
	struct nft_counter *c;
	size_t n;

	cr_assert_eq(nft_present(true), 0);
	cr_assert_eq(nft_counters(&c, &n), -ENOENT);
	port_rule(CTB_NOTRACK, 8080);
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		load(1);
		cr_assert_eq(nft_present(true), 1);
		must(losses[i]);
		cr_assert_eq(nft_present(true), 0, "%s", losses[i]);
		nft_state_free(loaded);
		loaded = NULL;
		cr_assert_eq(nft_remove(NULL), 0);
	}
}

Test(nft_table, watch)
{
	int fd = nft_watch_open();
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int tiny = 1;

	cr_assert(fd >= 0);
	cr_assert_eq(nft_watch_drain(fd), 0);
	port_rule(CTB_NOTRACK, 8080);
	load(1);
	cr_assert_eq(poll(&p, 1, 1000), 1);
	cr_assert_eq(nft_watch_drain(fd), 1);
	cr_assert_eq(nft_watch_drain(fd), 0);
	must("nft add table inet other && nft add table ip ctbypass && nft delete table ip ctbypass");
	cr_assert_eq(nft_watch_drain(fd), 0, "none of our business");
	must("nft flush table inet ctbypass");
	cr_assert_eq(nft_watch_drain(fd), 1);
	nft_watch_pause(fd);
	must("nft add chain inet ctbypass unheard");
	cr_assert_eq(nft_watch_drain(fd), 0, "paused");
	cr_assert_eq(nft_watch_resume(fd), 0);
	cr_assert_eq(nft_watch_drain(fd), 0);
	must("nft delete chain inet ctbypass unheard");
	cr_assert_eq(nft_watch_drain(fd), 1, "listening again");
	/* More than the socket holds: what was lost may have been about us. */
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
	must("seq 200 | sed 's/.*/add table inet x&/' | nft -f -");
	cr_assert_eq(nft_watch_drain(fd), 1);
	cr_assert_eq(nft_watch_drain(fd), 0);
	close(fd);
}

Test(nft_table, run_reports_and_remove_repeats)
{
	char *error = NULL;

	cr_assert_eq(nft_run("add table inet ctbypass\n", true, &error), 0);
	cr_assert_null(error);
	cr_assert_eq(sh("nft list table inet ctbypass >/dev/null 2>&1"), 1, "a dry run");
	cr_assert_eq(nft_run("add rule inet nowhere output accept\n", false, &error), -ENOENT);
	cr_assert(strstr(error, "No such file"), "%s", error);
	free(error);
	cr_assert_eq(nft_run("add rule nonsense\n", true, &error), -EINVAL);
	cr_assert(strstr(error, "syntax error"), "%s", error);
	free(error);
	load(1);
	cr_assert_eq(nft_present(true), 1);
	cr_assert_eq(nft_remove(&error), 0);
	cr_assert_eq(nft_present(true), 0);
	cr_assert_eq(nft_remove(&error), 0);
}
