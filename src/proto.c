// SPDX-License-Identifier: GPL-2.0-only
#include <netinet/in.h>
#include <string.h>
#include "proto.h"

/* The first name of a number is the one that is printed. */
static const struct {
	const char *name;
	__u8 number;
} protocols[] = {
	{ "tcp", IPPROTO_TCP },		{ "udp", IPPROTO_UDP },
	{ "udplite", IPPROTO_UDPLITE }, { "sctp", IPPROTO_SCTP },
	{ "dccp", IPPROTO_DCCP },	{ "icmp", IPPROTO_ICMP },
	{ "icmpv6", IPPROTO_ICMPV6 },	{ "ipv6-icmp", IPPROTO_ICMPV6 },
	{ "gre", IPPROTO_GRE },		{ "esp", IPPROTO_ESP },
	{ "ah", IPPROTO_AH },
};

static const __u8 with_ports[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_SCTP,
				   IPPROTO_DCCP };

const char *proto_name(unsigned int proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == proto)
			return protocols[i].name;
	return NULL;
}

int proto_by_name(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (strlen(protocols[i].name) == len && !memcmp(protocols[i].name, name, len))
			return protocols[i].number;
	return -1;
}

bool proto_has_ports(unsigned int proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(with_ports); i++)
		if (with_ports[i] == proto)
			return true;
	return false;
}

void proto_add(struct proto_match *m, unsigned int proto)
{
	m->present = true;
	m->bits[proto >> 6] |= 1ULL << (proto & 63);
}

void proto_add_with_ports(struct proto_match *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(with_ports); i++)
		proto_add(m, with_ports[i]);
}
