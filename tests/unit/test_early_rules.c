// SPDX-License-Identifier: GPL-2.0-only
/* nft rules of others that undo a verdict: told where they do, and never where they do not. Needs
 * root. */
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <criterion/criterion.h>

#include "early_rules.h"
#include "slow.h"

#define SERVICE "notrack { tcp, udp } dport 8080 daddr local\n"
#define TRANSIT "notrack udp dport { 53, 1024-2047 } saddr !local daddr !local\n"
#define PREFIX	"notrack udp saddr 192.0.2.0/24 daddr { 198.51.100.0/25, 2001:db8::/32 }\n"

#define INGRESS "table netdev q {\nchain i {\ntype filter hook ingress device s0 priority 0\n"
#define PRE(priority) \
	"table inet q {\nchain i {\ntype filter hook prerouting priority " priority "\n"
#define OUT "table inet q {\nchain i {\ntype filter hook output priority raw\n"
#define END "\n}\n}\n"

/* A rule of theirs and its near miss. */
static const struct {
	const char *rules, *harms, *does_not;
	const char *words; /* of what is told */
} pairs[] = {
	/* where */
	{ SERVICE, INGRESS "meta mark set 7" END, PRE("-398") "meta mark set 7" END,
	  "mark bit 0x40" },
	{ SERVICE, PRE("-399") "meta mark set 7" END, PRE("-310") "meta mark set 7" END,
	  "`inet q i handle 2`" },
	{ SERVICE, PRE("-450") "meta mark set 7" END,
	  "table bridge q {\nchain i {\ntype filter hook prerouting priority -450\n"
	  "meta mark set 7" END,
	  "mark bit" },
	{ SERVICE,
	  "table inet q {\nchain i {\ntype filter hook ingress device s0 priority 0\n"
	  "meta mark set 7" END,
	  "table inet q {\nchain i {\ntype filter hook ingress device s1 priority 0\n"
	  "meta mark set 7" END,
	  "mark bit" },
	{ SERVICE, PRE("-201") "ct zone set 5" END, PRE("-200") "ct zone set 5" END, "arrives" },
	{ SERVICE, PRE("-450") "ct zone set 5" END,
	  "table inet q {\nchain i {\ntype filter hook input priority -450\nct zone set 5" END,
	  "arrives" },
	{ SERVICE, OUT "ct zone set 5" END,
	  "table inet q {\nchain i {\ntype filter hook output priority -199\nct zone set 5" END,
	  "is sent" },
	{ SERVICE,
	  "table ip6 q {\nchain i {\ntype filter hook output priority raw\n"
	  "ct reply zone set 5" END,
	  "table inet q {\nchain i {\nct zone set 5" END, "`ip6 q i handle 2`" },
	/* what is written */
	{ SERVICE, INGRESS "meta mark set meta mark & 0xf" END,
	  INGRESS "meta mark set meta mark & 0xffffff40" END, "mark bit" },
	{ SERVICE, INGRESS "meta mark set meta mark ^ 0xff" END,
	  INGRESS "meta mark set meta mark | 0x87" END, "mark bit" },
	{ SERVICE, INGRESS "meta mark set meta mark & 0xffffff00" END,
	  INGRESS "meta mark set 0x47" END, "mark bit" },
	{ SERVICE, INGRESS "meta mark set iifname map { s0 : 7, s1 : 0x40 }" END,
	  INGRESS "meta mark set iifname map { s0 : 0x40, s1 : 7 }" END, "mark bit" },
	{ SERVICE, INGRESS "meta mark set ip saddr map { 1.2.3.4 : 0x41, 1.2.3.5 : 7 }" END,
	  INGRESS "meta mark set ip saddr map { 1.2.3.4 : 0x41, 1.2.3.5 : 0x42 }" END, "mark bit" },
	{ SERVICE, PRE("-450") "meta mark set ct mark\nmeta mark set 1" END,
	  PRE("-450") "meta mark set ct mark" END, "handle 3" },
	{ SERVICE, INGRESS "meta priority set 1:2 meta mark set 0" END,
	  INGRESS "meta priority set 1:2" END, "handle 2" },
	/* whom it fits */
	{ SERVICE, INGRESS "udp dport 8080 meta mark set 7" END,
	  INGRESS "udp dport 8081 meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "tcp dport != 8081 meta mark set 7" END,
	  INGRESS "sctp dport 8080 meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "tcp dport 8000-8080 meta mark set 7" END,
	  INGRESS "tcp dport 8081-9000 meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "tcp dport { 1-79, 8000-9000 } meta mark set 7" END,
	  INGRESS "tcp dport { 1-8079, 8081-9000 } meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "th dport . meta l4proto { 8080 . tcp } meta mark set 7" END,
	  INGRESS "th dport . meta l4proto { 8080 . sctp, 80 . tcp } meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "tcp dport > 8079 meta mark set 7" END,
	  INGRESS "tcp dport > 8080 meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "tcp dport <= 8080 meta mark set 7" END,
	  INGRESS "tcp dport < 8080 meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "ip daddr 10.0.0.0/24 meta mark set 7" END,
	  INGRESS "ip daddr 10.0.1.0/24 meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "ip6 daddr fd00::1 meta mark set 7" END,
	  INGRESS "ip6 daddr fd00::2 meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "ip saddr 10.9.0.0/16 tcp dport 8080 meta mark set 7" END,
	  INGRESS "arp operation request meta mark set 7" END, "8080" },
	{ SERVICE, PRE("-450") "meta nfproto ipv6 iifname \"s*\" meta mark set 7" END,
	  PRE("-450") "iifname { s1, s2 } meta mark set 7" END, "8080" },
	{ SERVICE, PRE("-450") "meta mark & 0x40 != 0 meta mark set 7" END,
	  PRE("-450") "meta mark & 0x40 == 0 meta mark set 7" END, "8080" },
	{ SERVICE, OUT "oifname s0 tcp sport 8080 ct zone set 5" END,
	  OUT "iifname s0 tcp sport 8080 ct zone set 5" END, "is sent" },
	{ SERVICE, OUT "ip saddr 10.0.0.1 ct zone set 5" END,
	  OUT "ip saddr 10.0.0.2 ct zone set 5" END, "is sent" },
	{ SERVICE, PRE("raw") "ct original zone set iifname map { s0 : 110, s1 : 111 }" END,
	  PRE("raw") "ct original zone set iifname map { s1 : 110, s2 : 111 }" END, "arrives" },
	{ SERVICE, PRE("raw") "ct state untracked ct zone set 5" END,
	  PRE("raw") "ct state != untracked ct zone set 5" END, "arrives" },
	{ SERVICE, PRE("-450") "ct state invalid ct zone set 5" END,
	  PRE("-450") "ct state new ct zone set 5" END, "arrives" },
	/* A client's port is any, and nobody means it by its number. */
	{ TRANSIT, INGRESS "udp dport 53 meta mark set 7" END,
	  INGRESS "tcp dport 53 meta mark set 7" END, "1024-2047" },
	{ TRANSIT, INGRESS "udp sport 2000-2100 meta mark set 7" END,
	  INGRESS "udp sport 2048-2100 meta mark set 7" END, "1024-2047" },
	{ TRANSIT, INGRESS "udp dport 1024 meta mark set 7" END,
	  INGRESS "udp dport 1023 meta mark set 7" END, "1024-2047" },
	{ TRANSIT, INGRESS "udp dport 1025 meta mark set 7" END,
	  INGRESS "ip daddr 10.0.0.1 udp dport 1025 meta mark set 7" END, "1024-2047" },
	{ PREFIX, INGRESS "ip saddr 192.0.0.0/16 ip daddr 198.51.100.1 meta mark set 7" END,
	  INGRESS "ip saddr 192.0.3.0/24 meta mark set 7" END, "192.0.2.0/24" },
	{ PREFIX, INGRESS "ip daddr 198.51.100.0-198.51.100.200 udp dport 5 meta mark set 7" END,
	  INGRESS "ip daddr 198.51.100.128/25 meta mark set 7" END, "192.0.2.0/24" },
	{ PREFIX, PRE("raw") "ip saddr { 192.0.0.0/16, 10.0.0.0/8 } ct zone set 5" END,
	  OUT "ct zone set 5" END, "arrives" },
	/* the way there */
	{ SERVICE,
	  INGRESS "jump x"
		  "\n}\nchain x {\nmeta mark set 7" END,
	  INGRESS "accept\njump x"
		  "\n}\nchain x {\nmeta mark set 7" END,
	  "`netdev q x handle" },
	{ SERVICE,
	  INGRESS "ip protocol vmap { tcp : jump x, udp : accept }"
		  "\n}\nchain x {\nmeta mark set 7" END,
	  INGRESS "ip protocol vmap { sctp : jump x, udp : accept }"
		  "\n}\nchain x {\nmeta mark set 7" END,
	  "`netdev q x handle" },
	{ SERVICE,
	  INGRESS "tcp dport 8080 goto x\ntcp dport 8080 accept"
		  "\n}\nchain x {\nudp dport 1 accept\nmeta mark set 7" END,
	  INGRESS "tcp dport 8080 goto x\ntcp dport 8080 meta mark set 7"
		  "\n}\nchain x {\nudp dport 1 accept" END,
	  "`netdev q x handle" },
	{ SERVICE, INGRESS "ip saddr 10.1.0.0/16 accept\nmeta mark set 7" END,
	  INGRESS "meta l4proto { tcp, udp } accept\nmeta mark set 7" END, "8080" },
	{ SERVICE,
	  INGRESS "jump x\nmeta mark set 7"
		  "\n}\nchain x {\nip saddr 10.1.0.0/16 return" END,
	  INGRESS "jump x\nmeta mark set 7"
		  "\n}\nchain x {\ncounter drop" END,
	  "8080" },
	{ SERVICE,
	  INGRESS "ip saddr vmap { 10.1.0.1 : goto x, 10.1.0.2 : drop }"
		  "\n}\nchain x {\ntcp dport 8080 meta mark set 7" END,
	  INGRESS "ip saddr vmap { 10.1.0.1 : goto x, 10.1.0.2 : drop }"
		  "\n}\nchain x {\ntcp dport 8081 meta mark set 7" END,
	  "8080" },
	/* what nobody can tell */
	{ SERVICE, INGRESS "counter log meta mark set 7" END,
	  INGRESS "limit rate 5/second meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "tcp flags syn meta mark set 7" END,
	  PRE("-450") "fib daddr type local meta mark set 7" END, "8080" },
	{ SERVICE, INGRESS "tcp dport 8080 meta mark set 7" END,
	  INGRESS "meta pkttype host meta mark set 7" END, "8080" },
	{ SERVICE,
	  INGRESS
	  "ip saddr @s meta mark set 7\n}\nset s { type ipv4_addr\nelements = { 1.2.3.4 }" END,
	  INGRESS
	  "ip saddr @s meta mark set 7\n}\nset s { type ipv4_addr\nflags timeout\nelements = { 1.2.3.4 timeout 1h }" END,
	  "8080" },
	{ SERVICE,
	  INGRESS
	  "ip saddr @s meta mark set 7\n}\nset s { type ipv4_addr\nelements = { 1.2.3.4 }" END,
	  INGRESS "ip saddr @s meta mark set 7\n}\nset s { type ipv4_addr" END, "8080" },
	/* rules of ours */
	{ "notrack udp dport 53 saddr local\n", OUT "udp dport 53 ct zone set 5" END,
	  PRE("raw") "udp dport 53 ct zone set 5" END, "is sent" },
	{ "notrack udp dport 53 iif s1 oneway\nnotrack udp dport 54 iif s0 daddr local\n",
	  INGRESS "udp dport 54 meta mark set 7" END, INGRESS "udp dport 53 meta mark set 7" END,
	  "dport 54" },
	{ "track udp dport 53\nnotrack udp dport 54\n", INGRESS "udp dport 54 meta mark set 7" END,
	  INGRESS "udp dport 53 meta mark set 7" END, "dport 54" },
	{ "notrack esp\n", INGRESS "meta l4proto esp meta mark set 7" END,
	  INGRESS "meta l4proto ah meta mark set 7" END, "notrack esp" },
	{ "notrack daddr 192.0.2.1\n", INGRESS "meta l4proto ah meta mark set 7" END,
	  INGRESS "meta l4proto ah ip6 saddr ::1 meta mark set 7" END, "192.0.2.1" },
};

static struct strbuf said;

static void say(void *arg, const char *text)
{
	(void)arg;
	strbuf_addf(&said, "%s\n", text);
}

static int run(const char *command, const char *input)
{
	FILE *f = popen(command, "w");
	int status;

	cr_assert_not_null(f);
	fputs(input, f);
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void setup(void)
{
	if (geteuid()) {
		cr_skip_test("needs root");
		return;
	}
	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	cr_assert_eq(run("sh -e", "ip link add s0 type veth peer name c0\n"
				  "ip link set s0 up\n"
				  "ip link add s1 type veth peer name c1\n"
				  "ip addr add 10.0.0.1/24 dev s0\n"
				  "ip addr add fd00::1/64 dev s0 nodad\n"
				  "ip addr add 10.2.0.1/24 dev s1\n"),
		     0);
}

TestSuite(early_rules, .init = setup);

/* What is told of a table of theirs. */
static const char *told(const char *rules, const char *nft, __u32 mark)
{
	_ruleset_ struct ruleset *rs = NULL;
	_diag_ struct diag diag = {};
	struct entries entries = {};
	struct host host = {};

	strbuf_free(&said);
	said = (struct strbuf){};
	cr_assert_eq(run("nft -f -", nft), 0, "%s", nft);
	cr_assert_eq(ruleset_parse_text("rules", ".", rules, strlen(rules), &rs, &diag), 0, "%s",
		     diag.text.s);
	cr_assert_eq(host_read(&host), 0);
	cr_assert_eq(expand_ruleset(rs, &entries, &diag), 0);
	advise_early_rules(&entries, rs, &host, mark, say, NULL);
	entries_free(&entries);
	host_free(&host);
	cr_assert_eq(run("nft -f -", "flush ruleset\n"), 0);
	return said.s ? said.s : "";
}

Test(early_rules, told_where_they_harm_and_not_else)
{
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		const char *text = told(pairs[i].rules, pairs[i].harms, 0x40);

		cr_expect(strstr(text, pairs[i].words), "%s%s\ntold: %s", pairs[i].rules,
			  pairs[i].harms, text);
		text = told(pairs[i].rules, pairs[i].does_not, 0x40);
		cr_expect_str_empty(text, "%s%s\ntold: %s", pairs[i].rules, pairs[i].does_not,
				    text);
	}
}

/* Nobody reads a mark there. */
Test(early_rules, direct_mode)
{
	cr_expect_str_empty(told(SERVICE, INGRESS "meta mark set 7" END, 0));
	cr_expect(strstr(told(SERVICE, PRE("-450") "ct zone set 5" END, 0), "arrives"));
	cr_expect(strstr(told(SERVICE, PRE("-450") "ct state untracked ct zone set 5" END, 0),
			 "arrives"));
}

/* Once for each rule of theirs, whatever the number of ours; our own table is none of them. */
Test(early_rules, told_once)
{
	const char *text = told(SERVICE "notrack udp dport 53\nnotrack udp dport 54\n",
				PRE("raw") "ct zone set 5" END, 0x40);

	cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "%s", text);
	cr_expect_str_empty(told(SERVICE,
				 "table inet ctbypass {\nchain i {\ntype filter hook prerouting "
				 "priority raw\nct zone set 5" END,
				 0x40));
	cr_expect_str_empty(told(SERVICE, "", 0x40));
}

/* A ruleset that takes too long to go through is given up, not waited for. */
Test(early_rules, has_an_end)
{
	_strbuf_ struct strbuf b = {};
	__u64 start;

	strbuf_addf(&b, INGRESS "goto x0\n}\n");
	for (int i = 0; i < 13; i++) /* two ways from each to the next */
		strbuf_addf(&b, "chain x%d {\nip saddr 1.2.3.4 jump x%d\njump x%d\n}\n", i, i + 1,
			    i + 1);
	strbuf_addf(&b, "chain x13 {\n");
	for (int i = 0; i < 1000; i++)
		strbuf_addf(&b, "ip saddr 10.0.%d.%d accept\n", i / 250, i % 250);
	strbuf_addf(&b, "}\n}\n");
	start = now_ms();
	cr_expect_str_empty(told(SERVICE, b.s, 0x40));
	cr_expect_lt((double)(now_ms() - start), at_most(5000));
}
