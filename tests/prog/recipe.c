// SPDX-License-Identifier: GPL-2.0-only
/* Packets in words (packets.h), so that a table of tests shows what it tests. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "packets.h"

/* The next comma-separated argument of a word, or NULL. */
static char *next_arg(char **args)
{
	return *args ? strsep(args, ",") : NULL;
}

static bool number(const char *s, long *out)
{
	char *end;

	if (!s || !*s)
		return false;
	*out = strtol(s, &end, 0);
	return *end == '\0';
}

/* "name=NUMBER" */
static bool option(const char *arg, const char *name, long *out)
{
	size_t n = strlen(name);

	return strncmp(arg, name, n) == 0 && arg[n] == '=' && number(arg + n + 1, out);
}

static bool pair(char *s, char **a, char **b)
{
	*a = s;
	*b = s ? strchr(s, '>') : NULL;
	if (!*b)
		return false;
	*(*b)++ = '\0';
	return true;
}

static bool word_ip4(struct packet *p, char *args)
{
	struct pkt_ip4_args a = { .total = PKT_AUTO };
	char *src, *dst, *arg;
	long v;

	if (!pair(next_arg(&args), &src, &dst) || inet_pton(AF_INET, src, a.src) != 1 ||
	    inet_pton(AF_INET, dst, a.dst) != 1)
		return false;
	while ((arg = next_arg(&args))) {
		if (option(arg, "ver", &v))
			a.version = v;
		else if (option(arg, "ihl", &v))
			a.ihl = v;
		else if (option(arg, "len", &v))
			a.total = v;
		else if (option(arg, "off", &v))
			a.frag |= v;
		else if (option(arg, "opt", &v))
			a.options = v;
		else if (option(arg, "ttl", &v))
			a.ttl = v;
		else if (strcmp(arg, "mf") == 0)
			a.frag |= 0x2000;
		else if (strcmp(arg, "df") == 0)
			a.frag |= 0x4000;
		else
			return false;
	}
	pkt_ip4(p, &a);
	return true;
}

static bool word_ip6(struct packet *p, char *args)
{
	struct pkt_ip6_args a = { .payload = PKT_AUTO };
	char *src, *dst, *arg;
	long v;

	if (!pair(next_arg(&args), &src, &dst) || inet_pton(AF_INET6, src, a.src) != 1 ||
	    inet_pton(AF_INET6, dst, a.dst) != 1)
		return false;
	while ((arg = next_arg(&args))) {
		if (option(arg, "ver", &v))
			a.version = v;
		else if (option(arg, "len", &v))
			a.payload = v;
		else if (option(arg, "ttl", &v))
			a.ttl = v;
		else
			return false;
	}
	pkt_ip6(p, &a);
	return true;
}

static bool word_ports(struct packet *p, const char *name, char *args)
{
	long sport, dport, doff = 5, len = PKT_AUTO;
	char *s, *d, *arg;

	if (!pair(next_arg(&args), &s, &d) || !number(s, &sport) || !number(d, &dport))
		return false;
	while ((arg = next_arg(&args))) {
		if (!option(arg, "doff", &doff) && !option(arg, "len", &len))
			return false;
	}
	if (strcmp(name, "tcp") == 0)
		pkt_tcp(p, sport, dport, doff);
	else if (strcmp(name, "udp") == 0)
		pkt_udp(p, sport, dport, len);
	else if (strcmp(name, "udplite") == 0)
		pkt_udplite(p, sport, dport);
	else if (strcmp(name, "sctp") == 0)
		pkt_sctp(p, sport, dport);
	else if (strcmp(name, "dccp") == 0)
		pkt_dccp(p, sport, dport);
	else
		return false;
	return true;
}

/* Words with one or two numbers, of which a missing one is 0. */
static bool word_number(struct packet *p, const char *name, char *args)
{
	char *first = next_arg(&args), *second = next_arg(&args);
	bool mf = second && strcmp(second, "mf") == 0;
	long a = 0, b = 0;

	if (first && !number(first, &a))
		return false;
	if (second && !mf && !number(second, &b))
		return false;
	if (strcmp(name, "vlan") == 0)
		pkt_vlan(p, 0x8100, a);
	else if (strcmp(name, "qinq") == 0)
		pkt_vlan(p, 0x88a8, a);
	else if (strcmp(name, "type") == 0 || strcmp(name, "next") == 0 ||
		 strcmp(name, "proto") == 0)
		pkt_next(p, a);
	else if (strcmp(name, "hop") == 0)
		pkt_ext(p, 0, a);
	else if (strcmp(name, "dst") == 0)
		pkt_ext(p, 60, a);
	else if (strcmp(name, "rt") == 0)
		pkt_ext(p, 43, a);
	else if (strcmp(name, "ah") == 0)
		pkt_ext(p, 51, a);
	else if (strcmp(name, "frag") == 0)
		pkt_frag6(p, a, mf);
	else if (strcmp(name, "icmp") == 0)
		pkt_icmp(p, false, a, b);
	else if (strcmp(name, "icmp6") == 0)
		pkt_icmp(p, true, a, b);
	else if (strcmp(name, "gre") == 0)
		pkt_next(p, 47);
	else if (strcmp(name, "esp") == 0)
		pkt_next(p, 50);
	else if (strcmp(name, "data") == 0)
		pkt_bytes(p, a);
	else if (strcmp(name, "keep") == 0)
		pkt_quote_cut(p, a);
	else if (strcmp(name, "trail") == 0) {
		pkt_end(p);
		pkt_bytes(p, a);
	} else
		return false;
	return true;
}

static bool word(struct packet *p, const char *name, char *args)
{
	if (strcmp(name, "eth") == 0) {
		pkt_eth(p, args && strcmp(args, "other") == 0);
		if (args && strcmp(args, "broadcast") == 0)
			memset(p->data, 0xff, 6);
		else if (args && strcmp(args, "multicast") == 0)
			p->data[0] |= 1;
	} else if (strcmp(name, "bare") == 0)
		pkt_bare(p);
	else if (strcmp(name, "end") == 0)
		pkt_end(p);
	else if (strcmp(name, "ip4") == 0)
		return word_ip4(p, args);
	else if (strcmp(name, "ip6") == 0)
		return word_ip6(p, args);
	else if (args && strchr(args, '>'))
		return word_ports(p, name, args);
	else
		return word_number(p, name, args);
	return true;
}

int pkt_recipe(const char *recipe, struct packet *p)
{
	char *copy = strdup(recipe), *rest = copy, *name, *args;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	pkt_init(p);
	while (!err && (name = strsep(&rest, " "))) {
		if (!*name)
			continue;
		args = strchr(name, ':');
		if (args)
			*args++ = '\0';
		if (!word(p, name, args)) {
			fprintf(stderr, "packet recipe \"%s\": cannot read \"%s\"\n", recipe, name);
			err = -EINVAL;
		}
	}
	free(copy);
	pkt_end(p);
	if (!err && p->overflow) {
		fprintf(stderr, "packet recipe \"%s\": too long\n", recipe);
		err = -EINVAL;
	}
	return err;
}
