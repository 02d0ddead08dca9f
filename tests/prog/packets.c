// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>
#include "packets.h"

const __u8 pkt_mac[6] = { 0x02, 0, 0, 0, 0x0c, 0x7b };
static const __u8 other_mac[6] = { 0x02, 0, 0, 0, 0xff, 0xff };

static __u8 *add(struct packet *p, size_t n)
{
	__u8 *at = p->data + p->len;

	if (n > PKT_MAX - p->len) {
		/* The caller may still write to what it gets: the start is as good as any. */
		p->overflow = true;
		p->len = 0;
		at = p->data;
	}
	memset(at, 0, n);
	p->len += n;
	return at;
}

static void put16(__u8 *at, unsigned int v)
{
	at[0] = v >> 8;
	at[1] = v;
}

static void set_next(struct packet *p, unsigned int type)
{
	if (p->next_size == 2)
		put16(p->data + p->next_off, type);
	else if (p->next_size == 1)
		p->data[p->next_off] = type;
	p->next_size = 0;
}

static void expect_next(struct packet *p, size_t off, unsigned int size)
{
	p->next_off = off;
	p->next_size = size;
}

void pkt_init(struct packet *p)
{
	memset(p, 0, sizeof(*p));
}

void pkt_eth(struct packet *p, bool other_host)
{
	__u8 *h = add(p, 14);

	memcpy(h, other_host ? other_mac : pkt_mac, 6);
	memcpy(h + 6, "\x02\0\0\0\0\x01", 6);
	p->other_host = other_host;
	expect_next(p, 12, 2);
}

void pkt_bare(struct packet *p)
{
	p->layer3 = true;
}

void pkt_vlan(struct packet *p, __u16 tpid, __u16 tci)
{
	__u8 *h;

	set_next(p, tpid);
	h = add(p, 4);
	put16(h, tci);
	expect_next(p, h + 2 - p->data, 2);
}

void pkt_next(struct packet *p, unsigned int type)
{
	set_next(p, type);
}

static void open_ip(struct packet *p, size_t off, bool v6, bool fixed_len)
{
	if (p->n_ip == PKT_IP_MAX) {
		p->overflow = true;
		return;
	}
	if (p->n_ip == 0) {
		p->l3 = off;
		if (p->layer3)
			p->protocol = v6 ? 0x86dd : 0x0800;
	}
	p->ip[p->n_ip++] = (struct pkt_ip){ .off = off, .v6 = v6, .fixed_len = fixed_len };
}

void pkt_ip4(struct packet *p, const struct pkt_ip4_args *a)
{
	__u8 *h;
	size_t off;

	/* A quoted packet follows an ICMP header, which has no field that names it. */
	set_next(p, 0x0800);
	h = add(p, 20 + a->options);
	off = h - p->data;
	h[0] = (a->version ? a->version : 4) << 4 | (a->ihl ? a->ihl : 5 + a->options / 4);
	put16(h + 4, 0x1234);
	put16(h + 6, a->frag);
	h[8] = a->ttl ? a->ttl : 64;
	memcpy(h + 12, a->src, 4);
	memcpy(h + 16, a->dst, 4);
	memset(h + 20, 1, a->options); /* no-operation */
	if (a->total != PKT_AUTO)
		put16(h + 2, a->total);
	open_ip(p, off, false, a->total != PKT_AUTO);
	expect_next(p, off + 9, 1);
}

void pkt_ip6(struct packet *p, const struct pkt_ip6_args *a)
{
	__u8 *h;
	size_t off;

	set_next(p, 0x86dd);
	h = add(p, 40);
	off = h - p->data;
	h[0] = (a->version ? a->version : 6) << 4;
	h[6] = 59;
	h[7] = a->ttl ? a->ttl : 64;
	memcpy(h + 8, a->src, 16);
	memcpy(h + 24, a->dst, 16);
	if (a->payload != PKT_AUTO)
		put16(h + 4, a->payload);
	open_ip(p, off, true, a->payload != PKT_AUTO);
	expect_next(p, off + 6, 1);
}

void pkt_ext(struct packet *p, unsigned int type, unsigned int hdrlen)
{
	__u8 *h;

	set_next(p, type);
	h = add(p, type == 51 ? (hdrlen + 2) * 4 : (hdrlen + 1) * 8);
	h[0] = 59;
	h[1] = hdrlen;
	expect_next(p, h - p->data, 1);
}

void pkt_frag6(struct packet *p, unsigned int offset, bool more)
{
	__u8 *h;

	set_next(p, 44);
	h = add(p, 8);
	h[0] = 59;
	h[1] = 0xee; /* reserved: no length, must not be taken for one */
	put16(h + 2, offset << 3 | more);
	put16(h + 6, 0x4321);
	expect_next(p, h - p->data, 1);
}

static __u8 *add_ports(struct packet *p, unsigned int proto, size_t n, __u16 sport, __u16 dport)
{
	__u8 *h;

	set_next(p, proto);
	h = add(p, n);
	put16(h, sport);
	put16(h + 2, dport);
	return h;
}

void pkt_tcp(struct packet *p, __u16 sport, __u16 dport, unsigned int doff)
{
	__u8 *h = add_ports(p, 6, 20, sport, dport);

	h[12] = doff << 4;
	h[13] = 0x10; /* ACK */
}

void pkt_udp(struct packet *p, __u16 sport, __u16 dport, int length)
{
	__u8 *h = add_ports(p, 17, 8, sport, dport);

	if (length != PKT_AUTO) {
		put16(h + 4, length);
		return;
	}
	p->udp_off = h - p->data;
	p->udp_ip = p->n_ip;
}

void pkt_udplite(struct packet *p, __u16 sport, __u16 dport)
{
	__u8 *h = add_ports(p, 136, 8, sport, dport);

	put16(h + 4, 3); /* checksum coverage: illegal, and nobody's business here */
}

void pkt_sctp(struct packet *p, __u16 sport, __u16 dport)
{
	add_ports(p, 132, 12, sport, dport);
}

void pkt_dccp(struct packet *p, __u16 sport, __u16 dport)
{
	add_ports(p, 33, 12, sport, dport);
}

void pkt_icmp(struct packet *p, bool v6, __u8 type, __u8 code)
{
	__u8 *h;

	set_next(p, v6 ? 58 : 1);
	h = add(p, 8);
	h[0] = type;
	h[1] = code;
}

void pkt_bytes(struct packet *p, size_t n)
{
	n = n > PKT_MAX ? PKT_MAX + 1 : n;
	if (n > PKT_MAX - p->len)
		p->overflow = true;
	else
		memset(add(p, n), 0xda, n);
}

static void close_ip(struct packet *p, unsigned int i)
{
	struct pkt_ip *ip = &p->ip[i];

	if (p->udp_off && p->udp_ip == i + 1) {
		put16(p->data + p->udp_off + 4, p->len - p->udp_off);
		p->udp_off = 0;
	}
	if (!ip->closed && !ip->fixed_len)
		put16(p->data + ip->off + (ip->v6 ? 4 : 2), p->len - ip->off - (ip->v6 ? 40 : 0));
	ip->closed = true;
}

void pkt_quote_cut(struct packet *p, size_t keep)
{
	unsigned int i;

	if (p->overflow || p->n_ip < 2)
		return;
	for (i = 1; i < p->n_ip; i++)
		close_ip(p, i);
	if (p->ip[1].off + keep < p->len)
		p->len = p->ip[1].off + keep;
	p->next_size = 0;
}

void pkt_end(struct packet *p)
{
	unsigned int i;

	for (i = p->n_ip; i > 0 && !p->overflow; i--)
		close_ip(p, i - 1);
}

void pkt_truncate(struct packet *p, size_t len)
{
	if (len < p->len)
		p->len = len;
}

__u16 pkt_sum(const __u8 *data, size_t n, __u32 before)
{
	__u32 sum = before;
	size_t i;

	for (i = 0; i < n; i++)
		sum += i % 2 ? data[i] : data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

void pkt_ip_sum(struct packet *p)
{
	__u8 *h = p->data + p->l3;
	size_t len;

	if (!p->n_ip || p->ip[0].v6 || p->len < p->l3 + 20)
		return;
	len = (h[0] & 15) * 4;
	if (p->l3 + len > p->len)
		return;
	put16(h + 10, 0);
	put16(h + 10, ~pkt_sum(h, len, 0));
}

void pkt_l4_sum(struct packet *p, bool partial)
{
	__u8 *h = p->data + p->l3, *l4, *check;
	unsigned int proto, len;
	__u16 sum;

	if (!p->n_ip)
		return;
	proto = p->ip[0].v6 ? h[6] : h[9];
	l4 = h + (p->ip[0].v6 ? 40 : (h[0] & 15) * 4);
	len = p->ip[0].v6 ? h[4] << 8 | h[5] : (h[2] << 8 | h[3]) - (l4 - h);
	check = l4 + (proto == 6 ? 16 : 6);
	put16(check, 0);
	sum = p->ip[0].v6 ? pkt_sum(h + 8, 32, proto + len) : pkt_sum(h + 12, 8, proto + len);
	if (!partial) {
		sum = ~pkt_sum(l4, len, sum);
		if (!sum && proto == 17)
			sum = 0xffff;
	}
	put16(check, sum);
}

void pkt_hexdump(const struct packet *p, char *buf, size_t size)
{
	size_t i, used = 0;

	buf[0] = '\0';
	for (i = 0; i < p->len && used + 4 < size; i++)
		used += snprintf(buf + used, size - used, "%02x%s", p->data[i],
				 i % 32 == 31 ? "\n"
				 : i % 2      ? " "
					      : "");
}
