// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rendered table in the kernel: each test in a network namespace of its own, real packets
 * from raw sockets, the verdict read from a table behind conntrack. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "nft_fixture.h"

#define MARK 0x40

static struct fixture fx;
static struct nft_state *loaded;
static int raw4, raw6;

static int sh(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void must(const char *command)
{
	cr_assert_eq(sh(command), 0, "%s", command);
}

/* What a command prints, without its newline. */
static char *output_of(const char *command)
{
	static char buf[1 << 20];
	FILE *f = popen(command, "r");
	size_t n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;

	buf[n] = '\0';
	cr_assert(f && pclose(f) == 0, "%s", command);
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = '\0';
	return buf;
}

/*
 * Everything this host does not own leaves by v0, which needs no neighbours. Table `probe` notes
 * the socket mark of each packet that passed OUTPUT, and of each that conntrack left alone.
 */
static void setup(void)
{
	if (geteuid()) {
		cr_skip_test("needs root");
		return;
	}
	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	must("ip link set lo up && ip link add v0 type veth peer name v1 && "
	     "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.v0.accept_dad=0 && "
	     "ip link set v0 arp off up && ip link set v1 up && "
	     "ip addr add 10.1.0.1/16 dev v0 && ip addr add fd00:1::1/64 dev v0 nodad && "
	     "ip route add default dev v0 && ip -6 route add default dev v0");
	must("nft -f - <<'E'\n"
	     "table inet probe {\n"
	     "	set seen { typeof meta mark; size 65535; flags dynamic; }\n"
	     "	set untracked { typeof meta mark; size 65535; flags dynamic; }\n"
	     "	chain output {\n"
	     "		type filter hook output priority -150;\n"
	     "		meta mark != 0 add @seen { meta mark }\n"
	     "		meta mark != 0 ct state untracked add @untracked { meta mark }\n"
	     "	}\n"
	     "}\nE");
	raw4 = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	raw6 = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
	cr_assert(raw4 >= 0 && raw6 >= 0);
	fx_interface(&fx, "lo");
	fx_interface(&fx, "v0");
	fx_interface(&fx, "v1");
	/* What rtnetlink would say of this namespace. */
	fx_local(&fx, "10.1.0.1/32");
	fx_local(&fx, "10.1.255.255/32");
	fx_local(&fx, "127.0.0.0/8");
	fx_local(&fx, "224.0.0.0/4");
	fx_local(&fx, "255.255.255.255/32");
	fx_local(&fx, "::1/128");
	fx_local(&fx, "fd00:1::1/128");
	fx_local(&fx, "ff00::/8");
}

static void teardown(void)
{
	nft_state_free(loaded);
	fx_free(&fx);
}

TestSuite(nft_kernel, .init = setup, .fini = teardown, .timeout = 120);

static void load(__u32 generation)
{
	struct nft_plan p = {};
	char *error = NULL;
	int err;

	fx_expand(&fx);
	cr_assert_eq(nft_render(&fx.entries, &fx.host, MARK, generation, loaded, &p), 0);
	if (p.script.len) {
		err = nft_run(p.script.s, false, &error);
		cr_assert_eq(err, 0, "%d %.2000s", err, error ? error : "");
	}
	nft_state_free(loaded);
	loaded = TAKE_PTR(p.after);
	nft_plan_free(&p);
}

/* --- packets --- */

static void put64(unsigned char *p, __u64 v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (unsigned char)v;
}

static void put16(unsigned char *p, unsigned int v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
}

static void put32(unsigned char *p, __u64 v)
{
	put16(p, (unsigned int)(v >> 16));
	put16(p + 2, (unsigned int)v);
}

/* IP header and 20 bytes that begin with the ports. */
static size_t put_packet(unsigned char *b, const struct fx_packet *p, size_t payload)
{
	size_t header = p->v6 ? 40 : 20;

	memset(b, 0, header);
	if (p->v6) {
		b[0] = 0x60;
		put16(b + 4, (unsigned int)payload);
		b[6] = p->proto;
		b[7] = 64;
		put64(b + 8, p->src_hi);
		put64(b + 16, p->src_lo);
		put64(b + 24, p->dst_hi);
		put64(b + 32, p->dst_lo);
	} else {
		b[0] = 0x45;
		put16(b + 2, (unsigned int)(header + payload));
		b[8] = 64;
		b[9] = p->proto;
		put32(b + 12, p->src_lo);
		put32(b + 16, p->dst_lo);
	}
	memset(b + header, 0, payload);
	put16(b + header, p->sport);
	put16(b + header + 2, p->dport);
	return header + payload;
}

static void send_bytes(const unsigned char *b, size_t n, bool v6, __u32 mark)
{
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	int fd = v6 ? raw6 : raw4;
	ssize_t sent;

	memcpy(&to4.sin_addr, b + 16, 4);
	memcpy(&to6.sin6_addr, b + 24, 16);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
	sent = v6 ? sendto(fd, b, n, 0, (struct sockaddr *)&to6, sizeof(to6))
		  : sendto(fd, b, n, 0, (struct sockaddr *)&to4, sizeof(to4));
	cr_assert_eq(sent, (ssize_t)n, "packet %u: %s", mark, strerror(errno));
}

static void send_packet(const struct fx_packet *p, __u32 mark)
{
	unsigned char b[128];
	size_t n = put_packet(b, p, 20);

	/* A TCP or SCTP header that nothing rejects before the hook; echo requests. */
	if (p->proto == 6)
		b[(p->v6 ? 40 : 20) + 12] = 0x50;
	if (p->proto == 1 || p->proto == 58)
		b[p->v6 ? 40 : 20] = p->v6 ? 128 : 8;
	send_bytes(b, n, p->v6, mark);
}

/* This host tells the packet's sender of an error. */
static void send_error(const struct fx_packet *quoted, __u8 type, __u32 mark)
{
	struct fx_packet outer = { .v6 = quoted->v6,
				   .proto = quoted->v6 ? 58 : 1,
				   .dst_lo = 0x0a090909 };
	unsigned char b[256];
	size_t header = quoted->v6 ? 40 : 20, n;

	outer.src_lo = 0x0a010001;
	if (quoted->v6) {
		outer.src_hi = 0xfd00000100000000ULL;
		outer.src_lo = 1;
		outer.dst_hi = 0xfd00000900000000ULL;
		outer.dst_lo = 9;
	}
	n = put_packet(b, &outer, 8 + header + 20);
	b[header] = type;
	put_packet(b + header + 8, quoted, 20);
	send_bytes(b, n, quoted->v6, mark);
}

/* Marks in a set of table probe, as a bool by mark. */
static void read_marks(const char *set, bool *has, size_t n)
{
	char command[128], *s;

	memset(has, 0, n * sizeof(*has));
	snprintf(command, sizeof(command), "nft list set inet probe %s | tr -c '0-9a-fx' ' '", set);
	for (s = output_of(command); (s = strstr(s, "0x")); s += 2) {
		unsigned long mark = strtoul(s, NULL, 16);

		if (mark < n)
			has[mark] = true;
	}
	snprintf(command, sizeof(command), "nft flush set inet probe %s", set);
	must(command);
}

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
	p.oif = fx_in_list(&fx.host.local, p.v6, p.dst_hi, p.dst_lo) ? "lo" : "v0";
	return p;
}

static void describe(const struct fx_packet *p, char *out, size_t n)
{
	snprintf(out, n, "%s%s proto %u %llx:%llx.%u > %llx:%llx.%u", p->quoted ? "quoted " : "",
		 p->v6 ? "v6" : "v4", p->proto, (unsigned long long)p->src_hi,
		 (unsigned long long)p->src_lo, p->sport, (unsigned long long)p->dst_hi,
		 (unsigned long long)p->dst_lo, p->dport);
}

#define PACKETS 100

static void compare_round(__u32 round)
{
	static const __u8 types4[] = { 3, 4, 5, 11, 12 }, types6[] = { 1, 2, 3, 4 };
	bool seen[PACKETS + 1], untracked[PACKETS + 1];
	struct fx_packet p[PACKETS + 1];
	char text[256];

	for (__u32 i = 1; i <= PACKETS; i++) {
		p[i] = random_packet();
		if (p[i].quoted)
			send_error(&p[i], p[i].v6 ? types6[rnd(4)] : types4[rnd(5)], i);
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
		must("nft list ruleset >/tmp/$$.a && nft flush ruleset && nft -f /tmp/$$.a && "
		     "nft list ruleset >/tmp/$$.b && cmp /tmp/$$.a /tmp/$$.b; r=$?; "
		     "rm -f /tmp/$$.a /tmp/$$.b; exit $r");
		compare_round(round);
	}
}

/* --- counters --- */

static struct ctb_count counter(__u32 handle, enum ctb_dir dir, bool *exists)
{
	struct ctb_count count = {};
	struct nft_counter *c;
	size_t n;

	cr_assert_eq(nft_counters(&c, &n), 0);
	*exists = false;
	for (size_t i = 0; i < n; i++) {
		if (c[i].handle == handle && c[i].dir == dir) {
			*exists = true;
			count = c[i].count;
		}
	}
	free(c);
	return count;
}

static void expect(__u32 handle, enum ctb_dir dir, __u64 packets, __u64 bytes)
{
	bool exists;
	struct ctb_count c = counter(handle, dir, &exists);

	cr_assert(exists, "rule %u direction %d has no counter", handle, dir);
	cr_assert_eq(c.packets, packets, "rule %u direction %d: %llu packets, not %llu", handle,
		     dir, (unsigned long long)c.packets, (unsigned long long)packets);
	cr_assert_eq(c.bytes, bytes, "rule %u direction %d: %llu bytes, not %llu", handle, dir,
		     (unsigned long long)c.bytes, (unsigned long long)bytes);
}

static void expect_none(__u32 handle, enum ctb_dir dir)
{
	bool exists;

	counter(handle, dir, &exists);
	cr_assert_not(exists, "rule %u direction %d has a counter", handle, dir);
}

static struct rule *port_rule(enum ctb_action action, __u16 port)
{
	struct rule *r = fx_rule(&fx, action);

	fx_proto(r, 17);
	fx_ports(&r->dport, port, port);
	return r;
}

static const struct fx_packet to_8080 = { .proto = 17,
					  .sport = 5555,
					  .dport = 8080,
					  .src_lo = 0x0a010001,
					  .dst_lo = 0x08080808,
					  .oif = "v0" };

static struct fx_packet mirrored(struct fx_packet p)
{
	struct fx_packet m = p;

	m.sport = p.dport;
	m.dport = p.sport;
	m.src_lo = p.dst_lo;
	m.dst_lo = p.src_lo;
	return m;
}

/* Was a packet like this left alone by conntrack? */
static bool is_untracked(const struct fx_packet *p)
{
	bool seen[2], untracked[2];

	if (p->quoted)
		send_error(p, p->v6 ? 1 : 3, 1);
	else
		send_packet(p, 1);
	read_marks("seen", seen, 2);
	read_marks("untracked", untracked, 2);
	cr_assert(seen[1], "packet never passed OUTPUT");
	return untracked[1];
}

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
	struct fx_packet outer = { .proto = 1, .src_lo = 0x0a010001, .dst_lo = 0x08080808 };
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

Test(nft_kernel, counters_live_as_long_as_their_rule)
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
Test(nft_kernel, counters_come_back_with_their_rule)
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

Test(nft_kernel, local_follows_addresses)
{
	struct fx_packet p = to_8080;

	fx_addr(&port_rule(CTB_NOTRACK, 8080)->daddr, "local");
	load(1);
	p.dst_lo = 0x0a010009;
	cr_assert_not(is_untracked(&p));
	must("ip addr add 10.1.0.9/32 dev v0");
	cr_assert(is_untracked(&p));
	must("ip addr del 10.1.0.9/32 dev v0");
	cr_assert_not(is_untracked(&p));
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

/* --- swapping --- */

/* Packets flow while the table is replaced again and again: each one is untracked and counted. */
Test(nft_kernel, swaps_miss_no_packet)
{
	__u32 mark = 0x1000, stop = 0, sent = 0;
	struct ctb_count c;
	int pipefd[2];
	bool exists;
	pid_t pid;

	must("nft add counter inet probe tracked && "
	     "nft add rule inet probe output meta mark 0x1000 ct state != untracked "
	     "counter name tracked");
	port_rule(CTB_NOTRACK, 8080)->handle = 1;
	load(1);
	cr_assert_eq(pipe2(pipefd, O_NONBLOCK), 0);
	pid = fork();
	cr_assert(pid >= 0);
	if (!pid) {
		while (read(pipefd[0], &stop, sizeof(stop)) < 0) {
			send_packet(&to_8080, mark);
			sent++;
		}
		_exit(write(pipefd[1], &sent, sizeof(sent)) != sizeof(sent));
	}
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
	cr_assert_eq(write(pipefd[1], &stop, sizeof(stop)), sizeof(stop));
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(read(pipefd[0], &sent, sizeof(sent)), sizeof(sent));
	cr_assert(strstr(output_of("nft list counter inet probe tracked"), "packets 0 "), "%s",
		  output_of("nft list counter inet probe tracked"));
	c = counter(1, CTB_DIR_ORIG, &exists);
	cr_assert(exists && sent);
	cr_assert_eq(c.packets, sent, "%llu counted, %u sent", (unsigned long long)c.packets, sent);
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

Test(nft_kernel, prerouting_takes_the_mark)
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
			 "chain a { type filter hook prerouting priority -310;\n"
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

Test(nft_kernel, adopted_table_goes_on)
{
	struct nft_state *s = adopted();

	cr_assert_null(s, "there is no table yet");
	fx_failsafe(&fx);
	port_rule(CTB_NOTRACK, 8080);
	for (int i = 0; i < 40; i++)
		random_rule(false);
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

Test(nft_kernel, foreign_table_is_rebuilt)
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
		cr_assert_eq(nft_present(), 1, "%s", changes[i]);
		cr_assert_neq(sh("nft list table inet ctbypass | grep -q 'mine\\|dormant\\|quota'"),
			      0, "%s", changes[i]);
		cr_assert(is_untracked(&to_8080), "%s", changes[i]);
	}
}

Test(nft_kernel, changed_prerouting_is_noticed)
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

Test(nft_kernel, presence)
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

	cr_assert_eq(nft_present(), 0);
	cr_assert_eq(nft_counters(&c, &n), -ENOENT);
	port_rule(CTB_NOTRACK, 8080);
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		load(1);
		cr_assert_eq(nft_present(), 1);
		must(losses[i]);
		cr_assert_eq(nft_present(), 0, "%s", losses[i]);
		nft_state_free(loaded);
		loaded = NULL;
		cr_assert_eq(nft_remove(NULL), 0);
	}
}

Test(nft_kernel, watch)
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
	/* More than the socket holds: what was lost may have been about us. */
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
	must("seq 200 | sed 's/.*/add table inet x&/' | nft -f -");
	cr_assert_eq(nft_watch_drain(fd), 1);
	cr_assert_eq(nft_watch_drain(fd), 0);
	close(fd);
}

Test(nft_kernel, run_reports_and_remove_repeats)
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
	cr_assert_eq(nft_present(), 1);
	cr_assert_eq(nft_remove(&error), 0);
	cr_assert_eq(nft_present(), 0);
	cr_assert_eq(nft_remove(&error), 0);
}
