// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which entries of a conntrack table a change of rules removes. The table is that of a network
 * namespace of our own, filled with conntrack(8). Needs root.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "conntrack.h"

static struct host host;
static struct ruleset *rs[2];
static struct entries entries[2];
static struct compiled tables[2];

static void sh(const char *cmd)
{
	cr_assert_eq(system(cmd), 0, "%s", cmd);
}

static void setup(void)
{
	if (geteuid())
		cr_skip_test("a network namespace of our own needs root");
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "%s", strerror(errno));
	if (system("conntrack -L >/dev/null 2>&1"))
		cr_skip_test("no conntrack(8), or no conntrack in this kernel");
	sh("ip link set lo up; ip link add d0 type veth peer d1; ip link set d0 up;"
	   "ip link set d1 up; ip addr add 192.0.2.1/24 dev d0; ip addr add 198.51.100.1/24 dev d1;"
	   "ip -6 addr add 2001:db8::1/64 dev d0 nodad");
	cr_assert_eq(host_read(&host), 0);
}

static void teardown(void)
{
	host_free(&host);
	for (int i = 0; i < 2; i++) {
		compiled_free(&tables[i]);
		entries_free(&entries[i]);
		ruleset_free(rs[i]);
	}
}

TestSuite(conntrack, .init = setup, .fini = teardown);

static const struct compiled *rules(int i, const char *text)
{
	_diag_ struct diag d = {};

	cr_assert_eq(ruleset_parse_text("test", ".", text, strlen(text), &rs[i], &d), 0, "%s",
		     d.text.s ? d.text.s : "");
	cr_assert_eq(expand_ruleset(rs[i], &entries[i], &d), 0);
	cr_assert_eq(compile(&entries[i], &host, rs[i]->mark, &tables[i], &d), 0);
	return &tables[i];
}

/* An entry as if a packet from src to dst had made it. */
static void entry(const char *proto, const char *src, unsigned int sport, const char *dst,
		  unsigned int dport, const char *more)
{
	char cmd[512];

	snprintf(
		cmd, sizeof(cmd),
		"conntrack -I -p %s -s %s -d %s --sport %u --dport %u -t 300 %s %s >/dev/null 2>&1",
		proto, src, dst, sport, dport, strcmp(proto, "tcp") ? "" : "--state ESTABLISHED",
		more);
	sh(cmd);
}

static unsigned int left(const char *filter)
{
	char cmd[256];
	unsigned int n = 0;
	FILE *f;

	snprintf(cmd, sizeof(cmd),
		 "{ conntrack -L %s; conntrack -L -f ipv6 %s; } 2>/dev/null | wc -l", filter,
		 filter);
	f = popen(cmd, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

static struct conntrack_sweep sweep(const struct compiled *now, const struct compiled *before)
{
	struct conntrack_sweep s = {};

	cr_assert_eq(conntrack_sweep(now, before, &host, &s), 0);
	return s;
}

Test(conntrack, usage)
{
	__u64 count = 77, max = 0;

	cr_assert_eq(conntrack_usage(&count, &max), 0);
	cr_expect_eq(count, 0);
	cr_expect_gt(max, 0);
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8080, "");
	cr_assert_eq(conntrack_usage(&count, &max), 0);
	cr_expect_eq(count, 1);
}

Test(conntrack, entries_of_bypassed_flows_go_in_either_direction_and_no_others)
{
	const struct compiled *now = rules(0, "notrack udp dport 8080\n");
	struct conntrack_sweep s;

	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8080, ""); /* to us */
	entry("udp", "192.0.2.1", 8080, "10.0.0.2", 1000, ""); /* the wrong way round */
	entry("udp", "10.0.0.1", 1000, "10.9.9.9", 8080, "");  /* transit */
	entry("udp", "2001:db8::9", 1000, "2001:db8::1", 8080, "");
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8081, "");
	entry("tcp", "10.0.0.1", 1000, "192.0.2.1", 8080, "");
	entry("udp", "127.0.0.1", 1000, "127.0.0.1", 8080, ""); /* over loopback */
	entry("udp", "127.0.0.1", 1000, "127.0.0.1", 8081, "");
	s = sweep(now, NULL);
	cr_expect_eq(s.seen, 8);
	cr_expect_eq(s.removed, 5);
	cr_expect_eq(s.nat, 0);
	cr_expect_eq(left(""), 3);
	cr_expect_eq(left("-p tcp --dport 8080"), 1);
	cr_expect_eq(left("-p udp --dport 8081"), 2);
	cr_expect_eq(sweep(now, NULL).removed, 0);
}

Test(conntrack, track_exceptions_and_failsafe_hold)
{
	const struct compiled *now = rules(0, "track udp dport 53\nnotrack saddr !local\n");

	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 53, "");
	entry("tcp", "10.0.0.1", 1000, "192.0.2.1", 22, "");
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 54, "");
	cr_expect_eq(sweep(now, NULL).removed, 1);
	cr_expect_eq(left("-p udp --dport 53"), 1);
	cr_expect_eq(left("-p tcp --dport 22"), 1);
}

/* saddr local: only packets that this host sends fit the rule as it is written. */
Test(conntrack, flows_that_begin_here)
{
	const struct compiled *now = rules(0, "notrack udp dport 53 saddr local\n");

	entry("udp", "192.0.2.1", 1000, "10.0.0.1", 53, "");
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 53, "");
	cr_expect_eq(sweep(now, NULL).removed, 1);
	cr_expect_eq(left("-s 192.0.2.1"), 0);
	cr_expect_eq(left("-s 10.0.0.1"), 1);
}

Test(conntrack, half_a_transit_flow_is_not_bypassed)
{
	const struct compiled *now = rules(0, "notrack udp dport 8080 oneway\n");

	entry("udp", "10.0.0.1", 1000, "10.9.9.9", 8080, "");
	cr_expect_eq(sweep(now, NULL).removed, 0);
}

Test(conntrack, when_a_rule_ends_its_entries_go_once)
{
	const struct compiled *before = rules(0, "notrack udp dport 8080\n");
	const struct compiled *now = rules(1, "notrack udp dport 9090\n");

	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8080, "");
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 9090, "");
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 7070, "");
	cr_expect_eq(sweep(now, before).removed, 2);
	cr_expect_eq(left("-p udp --dport 7070"), 1);
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8080, "");
	cr_expect_eq(sweep(now, NULL).removed, 0);
}

Test(conntrack, nat_is_counted_and_kept)
{
	const struct compiled *now = rules(0, "notrack udp dport 8080\n");
	struct conntrack_sweep s;

	if (system("conntrack -I -p udp -s 10.0.0.1 -d 192.0.2.1 --sport 5 --dport 8080 -t 300 "
		   "--dst-nat 10.9.9.9:80 >/dev/null 2>&1"))
		cr_skip_test("this kernel makes no NAT entries through ctnetlink");
	entry("udp", "10.0.0.1", 6, "192.0.2.1", 8080, "");
	s = sweep(now, NULL);
	cr_expect_eq(s.nat, 1);
	cr_expect_eq(s.removed, 1);
	cr_expect_eq(left(""), 1);
}

Test(conntrack, a_survey_removes_nothing)
{
	const struct compiled *now = rules(0, "notrack udp dport 8080\n");
	struct conntrack_sweep s = {};

	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8080, "");
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8081, "");
	cr_assert_eq(conntrack_survey(now, &host, &s), 0);
	cr_expect_eq(s.seen, 2);
	cr_expect_eq(s.removed, 1);
	cr_expect_eq(left(""), 2);
}

/* Entries know no interface: the route back to the source says which it is. */
Test(conntrack, rules_with_an_interface)
{
	const struct compiled *now = rules(
		0, "track udp dport 53 daddr local iif d1\nnotrack udp dport 53\n");

	entry("udp", "192.0.2.9", 1000, "192.0.2.1", 53, "");	 /* comes by d0 */
	entry("udp", "198.51.100.9", 1000, "192.0.2.1", 53, ""); /* comes by d1 */
	cr_expect_eq(sweep(now, NULL).removed, 1);
	cr_expect_eq(left("-s 192.0.2.9"), 0);
	cr_expect_eq(left("-s 198.51.100.9"), 1);
}

/* What this host answers is judged in OUTPUT, where the rule's interface is the one it leaves by.
 */
Test(conntrack, a_service_on_one_interface)
{
	const struct compiled *now = rules(0, "notrack udp dport 53 daddr local iif d1\n");

	entry("udp", "192.0.2.9", 1000, "192.0.2.1", 53, "");
	entry("udp", "198.51.100.9", 1000, "198.51.100.1", 53, "");
	cr_expect_eq(sweep(now, NULL).removed, 1);
	cr_expect_eq(left("-s 192.0.2.9"), 1);
}

Test(conntrack, zones_are_minded)
{
	const struct compiled *now = rules(0, "notrack udp dport 8080\n");

	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8080, "--zone 7");
	entry("udp", "10.0.0.1", 1000, "192.0.2.1", 8081, "--zone 7");
	cr_expect_eq(sweep(now, NULL).removed, 1);
	cr_expect_eq(left(""), 1);
}

Test(conntrack, many_entries)
{
	const struct compiled *now = rules(0, "notrack udp dport 8080\n");

	sh("for i in $(seq 3000); do echo -I -p udp -s 10.0.$((i / 250)).$((i % 250 + 1)) "
	   "-d 192.0.2.1 --sport 9 --dport $((8080 + i % 3)) -t 300; done >/tmp/ctb-ct-$$;"
	   "conntrack -R /tmp/ctb-ct-$$ >/dev/null 2>&1; rm /tmp/ctb-ct-$$");
	cr_assert_eq(left(""), 3000);
	cr_expect_eq(sweep(now, NULL).removed, 1000);
	cr_expect_eq(left(""), 2000);
	cr_expect_eq(left("-p udp --dport 8080"), 0);
}
