// SPDX-License-Identifier: GPL-2.0-only
/* Does the kernel judge packets by the rendered table as the list of rules says? Needs root. */
#include "nft_netns.h"

TestSuite(nft_kernel, .init = setup, .fini = teardown);

/* --- random rules, random packets, one linear judge --- */

static __u32 seed;

static __u32 rnd(__u32 n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static const char *const prefixes[] = {
	"10.2.0.0/16",	 "10.2.3.0/24",	    "10.2.3.4/32", "10.1.0.0/16",
	"192.0.2.0/24",	 "0.0.0.0/0",	    "local",	   "fd00:2::/32",
	"fd00:2:3::/48", "fd00:2:3::4/128", "fd00:1::/64", "::/0",
};
static const __u64 addrs4[] = { 0x0a020304, 0x0a020305, 0x0a020909, 0x0a010001,
				0x0a010002, 0xc0000201, 0x08080808, 0x7f000001 };
static const __u64 addrs6[][2] = {
	{ 0xfd00000200030000ULL, 4 }, { 0xfd00000200030000ULL, 5 }, { 0xfd00000200040000ULL, 1 },
	{ 0xfd00000100000000ULL, 1 }, { 0xfd00000100000000ULL, 7 }, { 0x20010db800000000ULL, 1 },
};
static const __u8 protos[] = { 6, 17, 132, 136, 33, 47, 1, 58 };

static void random_ports(struct port_match *m)
{
	unsigned int port = 1000 + rnd(12);

	for (__u32 n = 1 + rnd(3) / 2; n && port < 5000; n--) {
		__u16 lo = (__u16)port, hi = (__u16)(lo + (rnd(4) ? 0 : rnd(5)));

		if (!rnd(20))
			hi = (__u16)(lo + 30000);
		fx_ports(m, lo, hi);
		port = hi + 2 + rnd(4);
	}
}

static void random_addr(struct addr_match *m)
{
	if (!rnd(8)) { /* more than nft is given inline, and now and then more than a branch */
		__u32 n = rnd(2) ? 40 : 400;

		for (__u32 i = 0; i < n; i++) {
			struct addr_item *item = fx_item(m);

			item->kind = ADDR_PREFIX4;
			item->p4 = (struct prefix4){ 0x0a000000 + (i << 14), 20 };
		}
	} else {
		for (__u32 n = 1 + rnd(2); n; n--)
			fx_addr(m, prefixes[rnd(ARRAY_SIZE(prefixes))]);
	}
	m->negate = !rnd(4);
}

/* services: each rule has ports and one address, the form that is joined in one map. */
static void random_rule(bool services)
{
	struct rule *r = fx_rule(&fx, rnd(services ? 12 : 4) ? CTB_NOTRACK : CTB_TRACK);
	bool ports = rnd(4);

	if (services) {
		fx_proto(r, rnd(2) ? 17 : 6);
		random_ports(&r->dport);
		random_addr(rnd(2) ? &r->daddr : &r->saddr);
		return;
	}

	if (ports || rnd(2)) {
		for (__u32 n = 1 + rnd(2); n; n--)
			fx_proto(r, protos[rnd(ports ? 5 : ARRAY_SIZE(protos))]);
	}
	if (ports) {
		switch (rnd(4)) {
		case 0:
			random_ports(&r->port);
			break;
		case 1:
			random_ports(&r->sport);
			if (rnd(2))
				break;
			/* fall through */
		default:
			random_ports(&r->dport);
		}
	}
	if (!rnd(3))
		random_addr(&r->saddr);
	if (!rnd(3))
		random_addr(&r->daddr);
	r->oneway = !rnd(5);
	if (!rnd(6) && !r->oneway)
		fx_iif(r, rnd(2) ? "v0" : rnd(2) ? "l*" : "v?");
}

static struct fx_packet random_packet(void)
{
	struct fx_packet p = { .v6 = rnd(3) == 0, .quoted = rnd(4) == 0 };

	do {
		p.proto = protos[rnd(ARRAY_SIZE(protos))];
	} while (p.proto == (p.v6 ? 1 : 58));
	if (proto_has(&(struct proto_match){ true,
					     { 1ULL << 6 | 1ULL << 17 | 1ULL << 33, 0,
					       1ULL << (132 - 128) | 1ULL << (136 - 128), 0 } },
		      p.proto)) {
		p.sport = (__u16)(rnd(3) ? 1000 + rnd(16) : rnd(2) ? 22 : rnd(65536));
		p.dport = (__u16)(rnd(3) ? 1000 + rnd(16) : rnd(2) ? 22 : rnd(65536));
	}
	if (p.v6) {
		__u32 s = rnd(ARRAY_SIZE(addrs6)), d = rnd(ARRAY_SIZE(addrs6));

		p.src_hi = addrs6[s][0];
		p.src_lo = addrs6[s][1];
		p.dst_hi = addrs6[d][0];
		p.dst_lo = addrs6[d][1];
	} else {
		p.src_lo = addrs4[rnd(ARRAY_SIZE(addrs4))];
		p.dst_lo = addrs4[rnd(ARRAY_SIZE(addrs4))];
	}
	if (p.quoted && !rnd(4))
		p.astray = (__u8)(1 + rnd(p.v6 ? 112 : 24)); /* no bit that makes it a group */
	p.oif = fx_in_list(&fx.host.local, p.v6, p.dst_hi, p.dst_lo) ? "lo" : "v0";
	return p;
}

static void describe(const struct fx_packet *p, char *out, size_t n)
{
	snprintf(out, n, "%s%s%s proto %u %llx:%llx.%u > %llx:%llx.%u", p->astray ? "astray " : "",
		 p->quoted ? "quoted " : "", p->v6 ? "v6" : "v4", p->proto,
		 (unsigned long long)p->src_hi, (unsigned long long)p->src_lo, p->sport,
		 (unsigned long long)p->dst_hi, (unsigned long long)p->dst_lo, p->dport);
}

#define PACKETS 100

static void compare_round(__u32 round)
{
	static const __u8 types4[] = { 3, 4, 11, 12 }, types6[] = { 1, 2, 3, 4 };
	bool seen[PACKETS + 1], untracked[PACKETS + 1];
	struct fx_packet p[PACKETS + 1];
	char text[256];

	for (__u32 i = 1; i <= PACKETS; i++) {
		p[i] = random_packet();
		if (p[i].quoted)
			send_error(&p[i], p[i].v6 ? types6[rnd(4)] : types4[rnd(4)], i);
		else
			send_packet(&p[i], i);
	}
	read_marks("seen", seen, PACKETS + 1);
	read_marks("untracked", untracked, PACKETS + 1);
	for (__u32 i = 1; i <= PACKETS; i++) {
		const struct entry *e = fx_judge(&fx, &p[i]);

		describe(&p[i], text, sizeof(text));
		cr_assert(seen[i], "round %u packet %u never passed OUTPUT: %s", round, i, text);
		if (untracked[i] != (e && e->action != CTB_TRACK))
			sh("nft list table inet ctbypass >&2");
		cr_assert_eq(untracked[i], e && e->action != CTB_TRACK,
			     "round %u packet %u: %s: nft %s, rule %u says %s", round, i, text,
			     untracked[i] ? "untracked" : "tracked", e ? e->handle : 0,
			     e && e->action != CTB_TRACK ? "untracked" : "tracked");
	}
}

/* Each round replaces the table of the one before in one transaction. */
Test(nft_kernel, random_rules_judge_like_the_list)
{
	fx_failsafe(&fx);
	for (__u32 round = 1; round <= 60; round++) {
		__u32 rules = round % 3 ? 60 : 1 + rnd(12);

		seed = round * 2654435761U;
		fx_free_rules(&fx);
		while (rules--)
			random_rule(round % 4 == 0);
		load(round);
		compare_round(round);
	}
}

/* What an operator saves with `nft list ruleset` is a ruleset, and the same one. */
Test(nft_kernel, listing_loads_again)
{
	fx_failsafe(&fx);
	for (__u32 round = 1; round <= 8; round++) {
		seed = round * 40503;
		fx_free_rules(&fx);
		for (int i = 0; i < 60; i++)
			random_rule(round % 4 == 0);
		load(round);
		compare_round(round); /* counters are not all zero */
		/* The kernel's own multicast reports may count at any moment: without numbers. */
		must("list() { nft list table inet ctbypass | sed 's/packets [0-9]* bytes [0-9]*//'; }; "
		     "nft list ruleset >/tmp/$$.rules && list >/tmp/$$.a && nft flush ruleset && "
		     "nft -f /tmp/$$.rules && list >/tmp/$$.b && diff /tmp/$$.a /tmp/$$.b >&2; r=$?; "
		     "rm -f /tmp/$$.rules /tmp/$$.a /tmp/$$.b; exit $r");
		compare_round(round);
	}
}

/* --- one thing at a time --- */

Test(nft_kernel, every_direction_is_counted)
{
	struct fx_packet reply = mirrored(to_8080), quoted = to_8080, near = to_8080,
			 other = quoted;

	fx_failsafe(&fx);
	port_rule(CTB_NOTRACK, 8080);
	load(1);
	quoted.quoted = other.quoted = true;
	near.dport = 8081;
	other.dport = 8081;
	cr_assert(is_untracked(&to_8080) && is_untracked(&to_8080));
	cr_assert(is_untracked(&reply));
	cr_assert(is_untracked(&quoted));
	cr_assert_not(is_untracked(&near));
	cr_assert_not(is_untracked(&other));
	expect(1, CTB_DIR_ORIG, 2, 80);
	expect(1, CTB_DIR_REPLY, 1, 40);
	expect(1, CTB_DIR_ERROR, 1, 20 + 8 + 40);
	expect(0, CTB_DIR_ORIG, 0, 0);
}

Test(nft_kernel, failsafe_comes_first)
{
	struct fx_packet ssh = to_8080, reply, quoted;
	struct rule *r;

	fx_failsafe(&fx);
	r = fx_rule(&fx, CTB_NOTRACK);
	fx_proto(r, 6);
	load(1);
	ssh.proto = 6;
	ssh.dport = 23;
	cr_assert(is_untracked(&ssh));
	ssh.dport = 22;
	reply = mirrored(ssh);
	quoted = ssh;
	quoted.quoted = true;
	cr_assert_not(is_untracked(&ssh));
	cr_assert_not(is_untracked(&reply));
	cr_assert_not(is_untracked(&quoted));
	expect(0, CTB_DIR_ORIG, 1, 40);
	expect(0, CTB_DIR_REPLY, 1, 40);
	expect(0, CTB_DIR_ERROR, 1, 68);
	expect(1, CTB_DIR_ORIG, 1, 40);
}

/* Errors are judged by what they quote, also when the rule fits the error itself. */
Test(nft_kernel, error_is_judged_by_its_quote_alone)
{
	struct fx_packet quoted = to_8080, ping = {
		.proto = 1, .src_lo = 0x0a010001, .dst_lo = 0x08080808, .oif = "v0"
	};
	struct rule *r = fx_rule(&fx, CTB_NOTRACK);

	fx_proto(r, 1);
	load(1);
	quoted.quoted = true;
	cr_assert(is_untracked(&ping));
	cr_assert_not(is_untracked(&quoted));
	quoted.proto = 1;
	cr_assert(is_untracked(&quoted));
}

/* Not one bit of the error's destination may differ from the sender of what it quotes. */
Test(nft_kernel, errors_go_to_the_sender_of_what_they_quote)
{
	struct fx_packet p[2] = {
		{ .quoted = true, .proto = 47, .src_lo = 0x0a020304, .dst_lo = 0x0a010001 },
		{ .v6 = true,
		  .quoted = true,
		  .proto = 47,
		  .src_hi = 0x20010db800000000ULL,
		  .src_lo = 5,
		  .dst_hi = 0xfd00000100000000ULL,
		  .dst_lo = 1 }
	};
	bool seen[129], untracked[129];

	fx_proto(fx_rule(&fx, CTB_NOTRACK), 47);
	load(1);
	for (int v6 = 0; v6 < 2; v6++) {
		__u32 bits = v6 ? 128 : 32;

		cr_assert(is_untracked(&p[v6]));
		for (__u32 i = 1; i <= bits; i++) {
			p[v6].astray = (__u8)i;
			send_error(&p[v6], v6 ? 1 : 3, i);
		}
		read_marks("seen", seen, bits + 1);
		read_marks("untracked", untracked, bits + 1);
		for (__u32 i = 1; i <= bits; i++) {
			cr_expect(seen[i], "IPv%d bit %u: never passed OUTPUT", v6 ? 6 : 4, i - 1);
			cr_expect_not(untracked[i], "IPv%d bit %u", v6 ? 6 : 4, i - 1);
		}
	}
	expect(1, CTB_DIR_ERROR, 2, 20 + 8 + 40 + 40 + 8 + 60);
}

/* A rule for all there is: without a whole header nothing is quoted. */
Test(nft_kernel, errors_that_are_cut)
{
	struct fx_packet outer = { .proto = 1, .src_lo = 0x0a010001, .dst_lo = 0x0a010001 };
	bool untracked[48 + 1];
	unsigned char b[128];
	size_t n;

	fx_rule(&fx, CTB_NOTRACK);
	load(1);
	for (__u32 keep = 8; keep <= 48; keep++) {
		n = put_packet(b, &outer, keep);
		b[20] = 3;
		put_packet(b + 28, &to_8080, 20);
		send_bytes(b, n, false, keep);
	}
	read_marks("untracked", untracked, ARRAY_SIZE(untracked));
	for (__u32 keep = 8; keep <= 48; keep++)
		cr_expect_eq(untracked[keep], keep >= 8 + 20, "%u bytes of ICMP", keep);
}

/* Neither by what they quote nor as the ICMP packets that they are. */
Test(nft_kernel, redirects_are_left_alone)
{
	struct fx_packet p = to_8080, p6 = { .v6 = true,
					     .quoted = true,
					     .proto = 17,
					     .dport = 8080,
					     .src_hi = 0x20010db800000000ULL,
					     .src_lo = 5,
					     .dst_lo = 1 };
	bool untracked[5];

	fx_rule(&fx, CTB_NOTRACK);
	load(1);
	p.quoted = true;
	send_error(&p, 4, 1);
	send_error(&p, 5, 2);
	send_error(&p6, 1, 3);
	send_error(&p6, 137, 4);
	read_marks("untracked", untracked, ARRAY_SIZE(untracked));
	cr_expect(untracked[1] && untracked[3]);
	cr_expect_not(untracked[2]);
	cr_expect_not(untracked[4]);
}

/* Where the ports would be is not where they are: left to conntrack. */
Test(nft_kernel, quotes_of_other_shapes_are_left_alone)
{
	static const struct {
		const char *what;
		size_t offset;
		unsigned char byte;
		bool untracked;
	} cases[] = {
		{ "plain", 6, 0x00, true },	     { "don't fragment", 6, 0x40, true },
		{ "first fragment", 6, 0x20, true }, { "later fragment", 7, 0x01, false },
		{ "options", 0, 0x46, false },
	};
	/* To the sender of what is quoted, which is this host. */
	struct fx_packet outer = { .proto = 1, .src_lo = 0x0a010001, .dst_lo = 0x0a010001 };
	unsigned char b[128];
	bool marks[ARRAY_SIZE(cases) + 1];
	size_t n;

	port_rule(CTB_NOTRACK, 8080);
	load(1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		n = put_packet(b, &outer, 8 + 20 + 20);
		b[20] = 3;
		put_packet(b + 28, &to_8080, 20);
		b[28 + cases[i].offset] = cases[i].byte;
		send_bytes(b, n, false, (__u32)i + 1);
	}
	/* Cut short before the ports. */
	n = put_packet(b, &outer, 8 + 20);
	b[20] = 3;
	put_packet(b + 28, &to_8080, 0);
	send_bytes(b, n, false, 100);
	read_marks("untracked", marks, ARRAY_SIZE(marks));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert_eq(marks[i + 1], cases[i].untracked, "%s", cases[i].what);
	expect(1, CTB_DIR_ERROR, 3, 3 * 68);
}

/* By the list that the programs at ingress have, whatever the kernel has come to know meanwhile. */
Test(nft_kernel, local_is_one_list_for_all)
{
	struct fx_packet p = to_8080, reply;

	p.dst_lo = 0x0a010009;
	fx_addr(&port_rule(CTB_NOTRACK, 8080)->daddr, "local");
	load(1);
	must("ip addr add 10.1.0.9/32 dev v0");
	reply = mirrored(p);
	reply.dst_lo = 0x0a010002;
	cr_assert_not(is_untracked(&p));
	cr_assert_not(is_untracked(&reply));
	fx_local(&fx, "10.1.0.9/32");
	load(2);
	cr_assert(is_untracked(&p));
	cr_assert(is_untracked(&reply));
	must("ip addr del 10.1.0.9/32 dev v0");
	cr_assert(is_untracked(&p));
	cr_assert(is_untracked(&reply));
}

/* What a transparent proxy sends is judged by the addresses that it borrows, both ways. */
Test(nft_kernel, source_of_somebody_else)
{
	struct fx_packet proxied = to_8080, own;
	struct rule *r = port_rule(CTB_NOTRACK, 8080);

	proxied.src_lo = 0x0a020304;
	own = proxied;
	own.src_lo = 0x0a010001;
	fx_addr(&r->saddr, "local");
	fx_addr(&r->daddr, "local");
	r->saddr.negate = r->daddr.negate = true;
	load(1);
	cr_assert(is_untracked(&proxied));
	cr_assert_not(is_untracked(&own));
	expect(1, CTB_DIR_ORIG, 1, 40);
	fx_free_rules(&fx);
	fx_addr(&port_rule(CTB_NOTRACK, 8080)->saddr, "local");
	load(2);
	cr_assert_not(is_untracked(&proxied));
	cr_assert(is_untracked(&own));
}

Test(nft_kernel, interface_of_replies)
{
	struct fx_packet reply = mirrored(to_8080);
	struct rule *r = port_rule(CTB_NOTRACK, 8080);

	reply.dst_lo = 0x08080808;
	fx_iif(r, "v?"); /* becomes the names of today */
	load(1);
	cr_assert(is_untracked(&reply));
	r = &fx.rs.rules[0];
	r->iif.n = 0;
	fx_iif(r, "w*");
	load(2);
	cr_assert_not(is_untracked(&reply));
}
