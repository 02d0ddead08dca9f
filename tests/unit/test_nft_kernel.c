// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rendered table in the kernel: each test in a network namespace of its own, real packets
 * from raw sockets, the verdict read from a table behind conntrack. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

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
		if (err) {
			FILE *f = fopen("/tmp/nft-failed", "w");

			fputs(p.script.s, f);
			fclose(f);
		}
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

	for (__u32 n = 1 + rnd(3) / 2; n; n--) {
		__u16 lo = (__u16)port, hi = (__u16)(lo + (rnd(4) ? 0 : rnd(5)));

		if (!rnd(20))
			hi = 40000;
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

static void random_rule(void)
{
	struct rule *r = fx_rule(&fx, rnd(4) ? CTB_NOTRACK : CTB_TRACK);
	bool ports = rnd(4);

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
	for (__u32 round = 1; round <= 40; round++) {
		__u32 rules = round % 8 ? 1 + rnd(12) : 60;

		seed = round * 2654435761U;
		fx_free_rules(&fx);
		while (rules--)
			random_rule();
		load(round);
		compare_round(round);
	}
}
