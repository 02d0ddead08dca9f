// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "rulesets.h"
#include "system.h"

#define PARTS	    64	   /* of the destinations' network: /16, IPv6 /40 */
#define EACH_FROM   100000 /* so many prefixes, and each destination has its own */
#define OTHER_PORTS 34000

static const unsigned int destinations = 1 << 14; /* TRAFFIC_NETS */

static char *finish(struct strbuf *b)
{
	if (b->err)
		die("rules: %s", strerror(ENOMEM));
	return b->s;
}

/* Sources go up to 1024 + 2^15. */
static unsigned int rule_port(const struct scene *s, unsigned int i)
{
	return s->hit && i == s->rules - 1 ? BENCH_PORT : OTHER_PORTS + s->edition % 16 * 1000 + i;
}

/* --- prefixes --- */

struct prefix {
	__u32 addr; /* IPv6: the address's second and third 16 bits */
	__u8 len;
	__u16 first; /* IPv6: its first 16 bits */
};

static bool elsewhere4(__u32 net)
{
	unsigned int first = net >> 16;

	return first > 10 && first < 223 && first != 127 && first != 192 && first != 198;
}

/* Every number of 24 (32) bits once, in an order that looks like none. */
static struct prefix other_prefix(bool v6, __u32 *state)
{
	for (;;) {
		*state = *state * 1664525U + 1013904223U;
		if (v6)
			return (struct prefix){ .addr = *state, .len = 48, .first = 0x2001 };
		if (elsewhere4(*state & 0xffffff))
			return (struct prefix){ .addr = *state << 8, .len = 24 };
	}
}

static unsigned int fitting(const struct scene *s)
{
	if (!s->hit)
		return 0;
	return s->prefixes >= EACH_FROM ? destinations : s->prefixes >= PARTS ? PARTS : 1;
}

static struct prefix fitting_prefix(bool v6, unsigned int of, unsigned int i)
{
	unsigned int bits = of == 1 ? 0 : of == PARTS ? 6 : 14;

	if (v6)
		return (struct prefix){ .addr = bits ? i << (14 - bits) : 0,
					.len = bits ? 34 + bits : 16,
					.first = 0xfd80 };
	return (struct prefix){ .addr = 0x0a800000 + (bits ? i << (22 - bits) : 0),
				.len = 10 + bits };
}

static struct prefix *prefixes_make(const struct scene *s)
{
	struct prefix *p = calloc(s->prefixes + 1, sizeof(*p));
	unsigned int fit = fitting(s);
	__u32 state = (s->edition + 1) * 2654435761U;

	if (!p)
		die("prefixes: %s", strerror(ENOMEM));
	for (unsigned int i = 0; i < s->prefixes; i++)
		p[i] = i < fit ? fitting_prefix(s->v6, fit, i) : other_prefix(s->v6, &state);
	return p;
}

static void prefix_text(const struct prefix *p, bool v6, char *out, size_t size)
{
	__u32 a = p->addr;

	if (v6)
		snprintf(out, size, "%x:%x:%x::/%u", p->first, a >> 16, a & 0xffff, p->len);
	else
		snprintf(out, size, "%u.%u.%u.%u/%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255,
			 p->len);
}

static void add_prefixes(struct strbuf *b, const struct scene *s, const char *before,
			 const char *between)
{
	_free_ struct prefix *p = prefixes_make(s);
	char text[64];

	for (unsigned int i = 0; i < s->prefixes; i++) {
		prefix_text(&p[i], s->v6, text, sizeof(text));
		strbuf_addf(b, "%s%s%s", before, text, i + 1 < s->prefixes ? between : "");
	}
}

/* --- ctbypass --- */

/* Rules of four shapes that no packet of ours fits, and the one that it does at the end. */
static void add_mixed(struct strbuf *b, const struct scene *s, const char *word)
{
	for (unsigned int i = 0; i + 1 < s->rules; i++) {
		unsigned int a = i / 256, o = i % 256, port = OTHER_PORTS + i;

		switch (i % 4) {
		case 0:
			strbuf_addf(b, "notrack { tcp, udp } dport %u\n", port);
			break;
		case 1:
			strbuf_addf(b, "%s udp dport %u daddr 172.%u.%u.0/24\n", word, port, 20 + a,
				    o);
			break;
		case 2:
			strbuf_addf(b, "%s saddr 172.%u.%u.0/24\n", word, 16 + a, o);
			break;
		default:
			strbuf_addf(b, "notrack tcp sport %u saddr 198.%u.%u.0/24\n", port, 18 + a,
				    o);
		}
	}
	strbuf_addf(b, "%s daddr %s\n", word, s->hit ? BENCH_NET4 : "192.0.2.0/24");
}

char *ctbypass_rules(const struct scene *s, const char *set_path)
{
	const char *word = s->contender->word;
	struct strbuf b = {}, set = {};
	_free_ char *text = NULL;

	switch (s->match) {
	case MATCH_PORT:
		for (unsigned int i = 0; i < s->rules; i++)
			strbuf_addf(&b, "%s udp dport %u\n", word, rule_port(s, i));
		break;
	case MATCH_MIXED:
		add_mixed(&b, s, word);
		break;
	case MATCH_PREFIX:
		add_prefixes(&set, s, "", "\n");
		strbuf_addf(&set, "\n");
		text = finish(&set);
		if (s->prefixes == 1) {
			strbuf_addf(&b, "%s daddr %s", word, text);
			break;
		}
		file_create(set_path, text);
		strbuf_addf(&b, "set bench file \"%s\"\n%s daddr @bench\n", set_path, word);
		break;
	}
	return finish(&b);
}

/* --- nft --- */

static void nft_chains(struct strbuf *b, void (*rules)(struct strbuf *, const struct scene *),
		       const struct scene *s)
{
	static const char *const hooks[] = { "prerouting", "output" };

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		strbuf_addf(b, "\tchain %s {\n\t\ttype filter hook %s priority raw;\n", hooks[i],
			    hooks[i]);
		rules(b, s);
		strbuf_addf(b, "\t}\n");
	}
	strbuf_addf(b, "}\n");
}

static void one_by_one(struct strbuf *b, const struct scene *s)
{
	for (unsigned int i = 0; i < s->rules; i++)
		strbuf_addf(b, "\t\tudp dport %u notrack\n", rule_port(s, i));
}

char *nft_rules(const struct scene *s)
{
	struct strbuf b = {};

	strbuf_addf(&b, "table inet bench {\n");
	nft_chains(&b, one_by_one, s);
	return finish(&b);
}

static void by_set(struct strbuf *b, const struct scene *s)
{
	strbuf_addf(b, "\t\t%s @bench notrack\n",
		    s->match == MATCH_PORT ? "udp dport"
		    : s->v6		   ? "ip6 daddr"
					   : "ip daddr");
}

char *nft_set_rules(const struct scene *s)
{
	struct strbuf b = {};

	strbuf_addf(&b, "table inet bench {\n\tset bench {\n");
	if (s->match == MATCH_PORT) {
		strbuf_addf(&b, "\t\ttype inet_service\n\t\telements = {");
		for (unsigned int i = 0; i < s->rules; i++)
			strbuf_addf(&b, " %u%s", rule_port(s, i), i + 1 < s->rules ? "," : "");
	} else {
		strbuf_addf(&b, "\t\ttype %s\n\t\tflags interval\n\t\telements = { ",
			    s->v6 ? "ipv6_addr" : "ipv4_addr");
		add_prefixes(&b, s, "", ",\n");
	}
	strbuf_addf(&b, " }\n\t}\n");
	nft_chains(&b, by_set, s);
	return finish(&b);
}

static char *in_place_of(char *(*text)(const struct scene *), const struct scene *s)
{
	_free_ char *all = text(s);
	struct strbuf b = {};

	strbuf_addf(&b, "delete table inet bench\n");
	strbuf_add(&b, all, strlen(all));
	return finish(&b);
}

char *nft_rules_replacement(const struct scene *s)
{
	return in_place_of(nft_rules, s);
}

char *nft_set_replacement(const struct scene *s)
{
	return in_place_of(nft_set_rules, s);
}

/* Flows are tracked; from their second packet on they go from one device's ingress to the other. */
char *nft_flowtable(const struct scene *s)
{
	struct strbuf b = {};

	(void)s;
	strbuf_addf(&b,
		    "table inet bench {\n"
		    "	flowtable f { hook ingress priority 0; devices = { r0, r1 }; }\n"
		    "	chain forward {\n"
		    "		type filter hook forward priority -1;\n"
		    "		udp dport %d flow add @f\n"
		    "	}\n"
		    "}\n",
		    BENCH_PORT);
	return finish(&b);
}

/* --- iptables and ipset --- */

static void iptables_table(struct strbuf *b,
			   void (*rules)(struct strbuf *, const struct scene *, const char *),
			   const struct scene *s)
{
	strbuf_addf(b, "*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n");
	rules(b, s, "PREROUTING");
	rules(b, s, "OUTPUT");
	strbuf_addf(b, "COMMIT\n");
}

static void iptables_ports(struct strbuf *b, const struct scene *s, const char *chain)
{
	for (unsigned int i = 0; i < s->rules; i++)
		strbuf_addf(b, "-A %s -p udp -m udp --dport %u -j CT --notrack\n", chain,
			    rule_port(s, i));
}

char *iptables_rules(const struct scene *s)
{
	struct strbuf b = {};

	iptables_table(&b, iptables_ports, s);
	return finish(&b);
}

static void iptables_set(struct strbuf *b, const struct scene *s, const char *chain)
{
	strbuf_addf(b, "-A %s %s-m set --match-set bench dst -j CT --notrack\n", chain,
		    s->match == MATCH_PORT ? "-p udp " : "");
}

char *iptables_set_rules(const struct scene *s)
{
	struct strbuf b = {};

	iptables_table(&b, iptables_set, s);
	return finish(&b);
}

static void ipset_set(struct strbuf *b, const struct scene *s, const char *name)
{
	char add[32];

	snprintf(add, sizeof(add), "add %s ", name);
	if (s->match == MATCH_PORT) {
		strbuf_addf(b, "create %s bitmap:port range 0-65535\n", name);
		for (unsigned int i = 0; i < s->rules; i++)
			strbuf_addf(b, "%s%u\n", add, rule_port(s, i));
	} else {
		strbuf_addf(b, "create %s hash:net family inet%s maxelem 4000000\n", name,
			    s->v6 ? "6" : "");
		add_prefixes(b, s, add, "\n");
		strbuf_addf(b, "\n");
	}
}

char *ipset_sets(const struct scene *s)
{
	struct strbuf b = {};

	ipset_set(&b, s, "bench");
	return finish(&b);
}

char *ipset_replacement(const struct scene *s)
{
	struct strbuf b = {};

	ipset_set(&b, s, "next");
	strbuf_addf(&b, "swap next bench\ndestroy next\n");
	return finish(&b);
}
