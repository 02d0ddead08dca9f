/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A network namespace for each test of the nft table in the kernel: real packets from raw
 * sockets, the verdict read from a table behind conntrack. Needs root.
 */
#ifndef TESTS_NFT_NETNS_H
#define TESTS_NFT_NETNS_H

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <criterion/criterion.h>
#include <netinet/in.h>

#include "nft_fixture.h"

#define MARK 0x40

static struct fixture fx;
static struct nft_state *loaded;
static int raw4, raw6;

static inline int sh(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void must(const char *command)
{
	cr_assert_eq(sh(command), 0, "%s", command);
}

/* What a command prints, without its newline. */
static inline char *output_of(const char *command)
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
static inline void setup(void)
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

static inline void teardown(void)
{
	nft_state_free(loaded);
	fx_free(&fx);
}

static inline void load_marked(__u32 generation, __u32 mark)
{
	struct nft_plan p = {};
	char *error = NULL;
	int err;

	fx_expand(&fx);
	cr_assert_eq(nft_render(&fx.entries, &fx.host, mark, generation, loaded, &p), 0);
	if (p.older.before.len)
		cr_assert_eq(nft_run(p.older.before.s, false, NULL), 0);
	if (p.script.len) {
		err = nft_run(p.script.s, false, &error);
		cr_assert_eq(err, 0, "%d %.2000s", err, error ? error : "");
	}
	if (p.older.after)
		cr_assert_eq(nft_run(p.older.after, false, NULL), 0);
	nft_state_free(loaded);
	loaded = TAKE_PTR(p.after);
	nft_plan_free(&p);
}

static inline void load(__u32 generation)
{
	load_marked(generation, MARK);
}

/* --- packets --- */

static inline void put64(unsigned char *p, __u64 v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (unsigned char)v;
}

static inline void put16(unsigned char *p, unsigned int v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
}

static inline void put32(unsigned char *p, __u64 v)
{
	put16(p, (unsigned int)(v >> 16));
	put16(p + 2, (unsigned int)v);
}

/* IP header and 20 bytes that begin with the ports. */
static inline size_t put_packet(unsigned char *b, const struct fx_packet *p, size_t payload)
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

static inline void send_bytes(const unsigned char *b, size_t n, bool v6, __u32 mark)
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

static inline void send_packet(const struct fx_packet *p, __u32 mark)
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

/* This host tells the packet's sender of an error, or somebody else. */
static inline void send_error(const struct fx_packet *quoted, __u8 type, __u32 mark)
{
	unsigned int bit = quoted->astray - 1U;
	struct fx_packet outer = { .v6 = quoted->v6,
				   .proto = quoted->v6 ? 58 : 1,
				   .dst_hi = quoted->src_hi,
				   .dst_lo = quoted->src_lo };
	unsigned char b[256];
	size_t header = quoted->v6 ? 40 : 20, n;

	outer.src_lo = 0x0a010001;
	if (quoted->v6) {
		outer.src_hi = 0xfd00000100000000ULL;
		outer.src_lo = 1;
	}
	if (quoted->astray)
		*(bit < 64 ? &outer.dst_lo : &outer.dst_hi) ^= 1ULL << bit % 64;
	n = put_packet(b, &outer, 8 + header + 20);
	b[header] = type;
	put_packet(b + header + 8, quoted, 20);
	send_bytes(b, n, quoted->v6, mark);
}

/* Marks in a set of table probe, as a bool by mark. */
static inline void read_marks(const char *set, bool *has, size_t n)
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

/* --- counters --- */

static inline struct ctb_count counter(__u32 handle, enum ctb_dir dir, bool *exists)
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

static inline void expect(__u32 handle, enum ctb_dir dir, __u64 packets, __u64 bytes)
{
	bool exists;
	struct ctb_count c = counter(handle, dir, &exists);

	cr_assert(exists, "rule %u direction %d has no counter", handle, dir);
	cr_assert_eq(c.packets, packets, "rule %u direction %d: %llu packets, not %llu", handle,
		     dir, (unsigned long long)c.packets, (unsigned long long)packets);
	cr_assert_eq(c.bytes, bytes, "rule %u direction %d: %llu bytes, not %llu", handle, dir,
		     (unsigned long long)c.bytes, (unsigned long long)bytes);
}

static inline void expect_none(__u32 handle, enum ctb_dir dir)
{
	bool exists;

	counter(handle, dir, &exists);
	cr_assert_not(exists, "rule %u direction %d has a counter", handle, dir);
}

static inline struct rule *port_rule(enum ctb_action action, __u16 port)
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

static inline struct fx_packet mirrored(struct fx_packet p)
{
	struct fx_packet m = p;

	m.sport = p.dport;
	m.dport = p.sport;
	m.src_lo = p.dst_lo;
	m.dst_lo = p.src_lo;
	return m;
}

/* Was a packet like this left alone by conntrack? */
static inline bool is_untracked(const struct fx_packet *p)
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

#endif
