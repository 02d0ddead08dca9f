// SPDX-License-Identifier: GPL-2.0-only
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "expand.h" /* NFT_PREFIXES_MAX */
#include "reference.h"

#define X(id, name, ...) [CTB_R_##id] = name,
const char *const ref_reason_names[CTB_R_MAX] = { CTB_REASONS(X) };
#undef X
#define X(id, name) [CTB_DIR_##id] = name,
const char *const ref_dir_names[CTB_DIR_MAX] = { CTB_DIRS(X) };
#undef X
#define X(id, name) [CTB_##id] = name,
const char *const ref_action_names[CTB_ACTION_MAX] = { CTB_ACTIONS(X) };
#undef X
#define X(id, name) [CTB_OUT_##id] = name,
const char *const ref_outcome_names[CTB_OUTCOME_MAX] = { CTB_OUTCOMES(X) };
#undef X
#define X(id, name, ...) [CTB_FB_##id] = name,
const char *const ref_fallback_names[CTB_FB_MAX] = { CTB_FALLBACKS(X) };
#undef X

enum {
	EXT_HEADERS_MAX = 8,
	EXT_BYTES_MAX = 1023,
	PROTO_HOP = 0,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_DCCP = 33,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AH = 51,
	PROTO_ICMPV6 = 58,
	PROTO_NONE = 59,
	PROTO_DSTOPTS = 60,
	PROTO_SCTP = 132,
	PROTO_UDPLITE = 136,
};

/* Some bytes of the packet: everything is read through these, so nothing is read behind them. */
struct view {
	const __u8 *p;
	size_t len;
};

static bool has(struct view v, size_t off, size_t n)
{
	return off <= v.len && n <= v.len - off;
}

static unsigned int u8_at(struct view v, size_t off)
{
	return v.p[off];
}

static unsigned int u16_at(struct view v, size_t off)
{
	return v.p[off] << 8 | v.p[off + 1];
}

static struct view sub(struct view v, size_t off, size_t len)
{
	return (struct view){ v.p + off, len };
}

/* An IP packet taken apart: its transport part, as long as the IP header says it is. */
struct ip {
	int family;
	bool first_fragment; /* more follow */
	bool later_fragment; /* nothing below is set */
	__u8 proto;
	struct view l4;
	__u64 bytes;
};

static bool is_port_proto(unsigned int proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_UDPLITE ||
	       proto == PROTO_SCTP || proto == PROTO_DCCP;
}

static void set_addr(struct ref_addr *a, int family, const __u8 *bytes)
{
	memset(a, 0, sizeof(*a));
	a->family = family;
	memcpy(a->bytes, bytes, family == AF_INET ? 4 : 16);
}

/* What the length field of an IP header is worth. */
enum lengths {
	LENGTH_HONEST,
	LENGTH_GRO,    /* 0 means all there is: more than 16 bits can say (BIG TCP) */
	LENGTH_QUOTED, /* the packet was cut, so it says nothing about the bytes that are here */
};

static bool parse_ip4(struct view v, enum lengths lengths, struct ip *ip, struct ref_packet *out)
{
	size_t header, total, frag;

	if (!has(v, 0, 20) || u8_at(v, 0) >> 4 != 4)
		return false;
	header = (u8_at(v, 0) & 15) * 4;
	if (header < 20 || !has(v, 0, header))
		return false;
	total = u16_at(v, 2);
	if (lengths == LENGTH_QUOTED || (lengths == LENGTH_GRO && total == 0))
		total = v.len;
	if (total < header || total > v.len)
		return false;
	frag = u16_at(v, 6);
	ip->family = AF_INET;
	ip->bytes = total;
	ip->later_fragment = (frag & 0x1fff) != 0;
	ip->first_fragment = !ip->later_fragment && (frag & 0x2000);
	ip->proto = u8_at(v, 9);
	ip->l4 = sub(v, header, total - header);
	set_addr(&out->src, AF_INET, v.p + 12);
	set_addr(&out->dst, AF_INET, v.p + 16);
	return true;
}

/* How long the extension header of this type at the start of v says it is; 0: not one. */
static size_t ext_length(unsigned int type, struct view v)
{
	switch (type) {
	case PROTO_HOP:
	case PROTO_ROUTING:
	case PROTO_DSTOPTS:
		return has(v, 0, 2) ? (u8_at(v, 1) + 1) * 8 : 8;
	case PROTO_AH:
		return has(v, 0, 2) ? (u8_at(v, 1) + 2) * 4 : 8;
	case PROTO_FRAGMENT:
		return 8;
	}
	return 0;
}

/* ip->bytes is set as soon as the fixed header is good, whatever comes of the rest. */
static bool parse_ip6(struct view v, enum lengths lengths, struct ip *ip, struct ref_packet *out,
		      enum ctb_reason *reason)
{
	unsigned int next, frag, i;
	size_t payload, len, total = 0;

	*reason = CTB_R_BAD_IPV6;
	if (!has(v, 0, 40) || u8_at(v, 0) >> 4 != 6)
		return false;
	next = u8_at(v, 6);
	payload = u16_at(v, 4);
	if (lengths == LENGTH_QUOTED || (lengths == LENGTH_GRO && payload == 0))
		payload = v.len - 40;
	if (!has(v, 40, payload))
		return false;
	if (lengths != LENGTH_QUOTED && payload == 0 && next != PROTO_NONE)
		return false;
	ip->family = AF_INET6;
	ip->bytes = 40 + payload;
	set_addr(&out->src, AF_INET6, v.p + 8);
	set_addr(&out->dst, AF_INET6, v.p + 24);
	v = sub(v, 40, payload);
	for (i = 0;; i++) {
		len = ext_length(next, v);
		if (len == 0)
			break;
		if (i == EXT_HEADERS_MAX) {
			*reason = CTB_R_EXT_HEADERS;
			return false;
		}
		if (!has(v, 0, len))
			return false;
		total += len;
		if (next == PROTO_FRAGMENT) {
			frag = u16_at(v, 2);
			if (frag & 0xfff8) {
				ip->later_fragment = true;
				return true;
			}
			if (frag & 1)
				ip->first_fragment = true;
		}
		if (total > EXT_BYTES_MAX) {
			*reason = CTB_R_EXT_HEADERS;
			return false;
		}
		next = u8_at(v, 0);
		v = sub(v, len, v.len - len);
	}
	ip->proto = next;
	ip->l4 = v;
	return true;
}

/* Is the transport header complete and sane, in a packet that is all here? */
static bool good_l4(unsigned int proto, int family, struct view l4)
{
	switch (proto) {
	case PROTO_TCP:
		return has(l4, 0, 20) && u8_at(l4, 12) >> 4 >= 5 &&
		       has(l4, 0, (u8_at(l4, 12) >> 4) * 4);
	case PROTO_UDP:
		return has(l4, 0, 8) && u16_at(l4, 4) >= 8 && u16_at(l4, 4) <= l4.len;
	case PROTO_UDPLITE:
		return has(l4, 0, 8);
	case PROTO_SCTP:
	case PROTO_DCCP:
		return has(l4, 0, 12);
	case PROTO_ICMP:
		return family != AF_INET || has(l4, 0, 8);
	case PROTO_ICMPV6:
		return family != AF_INET6 || has(l4, 0, 8);
	}
	return true;
}

/* In a first fragment, the rest of the transport header may come later. */
static bool good_first_fragment(unsigned int proto, int family, struct view l4)
{
	if (is_port_proto(proto))
		return has(l4, 0, 4);
	if ((proto == PROTO_ICMP && family == AF_INET) ||
	    (proto == PROTO_ICMPV6 && family == AF_INET6))
		return has(l4, 0, 8);
	return true;
}

static bool is_icmp_error(unsigned int proto, int family, struct view l4)
{
	unsigned int type;

	if (family == AF_INET && proto == PROTO_ICMP) {
		type = u8_at(l4, 0);
		return type == 3 || type == 4 || type == 11 || type == 12;
	}
	if (family == AF_INET6 && proto == PROTO_ICMPV6) {
		type = u8_at(l4, 0);
		return type >= 1 && type <= 4;
	}
	return false;
}

static bool is_redirect(unsigned int proto, int family, struct view l4)
{
	if (family == AF_INET)
		return proto == PROTO_ICMP && u8_at(l4, 0) == 5;
	return proto == PROTO_ICMPV6 && u8_at(l4, 0) == 137;
}

static void take_ports(struct view l4, struct ref_packet *out)
{
	out->has_ports = is_port_proto(out->proto);
	if (!out->has_ports)
		return;
	out->sport = u16_at(l4, 0);
	out->dport = u16_at(l4, 2);
}

/* Of an error that goes to the address `to`. */
static bool parse_quote(int family, struct view v, struct ref_addr to, struct ref_packet *out)
{
	enum ctb_reason ignored;
	struct ip ip = { 0 };
	bool good;

	memset(out, 0, sizeof(*out));
	good = family == AF_INET ? parse_ip4(v, LENGTH_QUOTED, &ip, out)
				 : parse_ip6(v, LENGTH_QUOTED, &ip, out, &ignored);
	if (!good || ip.later_fragment)
		return false;
	if (memcmp(out->src.bytes, to.bytes, family == AF_INET ? 4 : 16) != 0)
		return false;
	if (is_port_proto(ip.proto) && !has(ip.l4, 0, 4))
		return false;
	out->quoted = true;
	out->proto = ip.proto;
	take_ports(ip.l4, out);
	return true;
}

static bool is_tag(unsigned int ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8;
}

static bool has_vlan_device(const struct ref_host *host, __u32 parent, __u32 vid)
{
	size_t i;

	for (i = 0; i < host->n_vlans; i++) {
		if (host->vlans[i].parent == parent && host->vlans[i].vid == vid)
			return true;
	}
	return false;
}

/* From the link layer to the IP header: its ethertype, where it starts, the VLAN it is in. */
static bool parse_link(const struct ref_frame *f, __u16 *ethertype, size_t *ip_off,
		       unsigned int *vid, enum ctb_reason *reason)
{
	struct view v = { f->data, f->len };
	unsigned int tags = f->tagged;
	size_t type_off = 12; /* of the ethertype field that counts */

	*vid = f->tagged ? f->tag_vid : 0;
	if (f->layer3) {
		*ethertype = f->protocol;
		*ip_off = 0;
		return true;
	}
	*reason = CTB_R_BAD_LINK;
	if (!has(v, 0, 14))
		return false;
	while (is_tag(u16_at(v, type_off))) {
		if (tags == 2) {
			*reason = CTB_R_NOT_IP;
			return false;
		}
		if (!has(v, type_off + 2, 4))
			return false;
		/* The kernel skips priority tags (VLAN 0): the first other one names the device. */
		if (*vid == 0)
			*vid = u16_at(v, type_off + 2) & 0xfff;
		type_off += 4;
		tags++;
	}
	*ethertype = u16_at(v, type_off);
	*ip_off = type_off + 2;
	return true;
}

/* From the frame to what rules look at, wherever the frame is addressed to. */
static int parse_frame(const struct ref_frame *f, struct ref_packet *out, unsigned int *vid,
		       enum ctb_reason *reason, struct ref_verdict *bytes)
{
	enum lengths lengths = f->gso ? LENGTH_GRO : LENGTH_HONEST;
	struct ref_packet p = { 0 };
	struct ip ip = { 0 };
	__u16 ethertype;
	size_t ip_off;
	struct view v;
	bool good;

	bytes->has_bytes = false;
	bytes->fragment = false;
	if (!parse_link(f, &ethertype, &ip_off, vid, reason))
		return -EINVAL;
	v = (struct view){ f->data + ip_off, f->len - ip_off };
	if (ethertype == 0x0800) {
		*reason = CTB_R_BAD_IPV4;
		good = parse_ip4(v, lengths, &ip, &p);
	} else if (ethertype == 0x86dd) {
		good = parse_ip6(v, lengths, &ip, &p, reason);
	} else {
		*reason = CTB_R_NOT_IP;
		return -EINVAL;
	}
	if (ip.bytes) {
		bytes->has_bytes = true;
		bytes->bytes = ip.bytes;
	}
	if (!good)
		return -EINVAL;
	if (ip.later_fragment) {
		*reason = CTB_R_LATER_FRAGMENT;
		return -EINVAL;
	}
	bytes->fragment = ip.first_fragment;
	good = ip.first_fragment ? good_first_fragment(ip.proto, ip.family, ip.l4)
				 : good_l4(ip.proto, ip.family, ip.l4);
	if (!good) {
		*reason = CTB_R_BAD_L4;
		return -EINVAL;
	}
	p.proto = ip.proto;
	take_ports(ip.l4, &p);
	if (is_redirect(ip.proto, ip.family, ip.l4)) {
		*reason = CTB_R_REDIRECT;
		return -EINVAL;
	}
	if (is_icmp_error(ip.proto, ip.family, ip.l4) &&
	    !parse_quote(ip.family, sub(ip.l4, 8, ip.l4.len - 8), p.dst, &p)) {
		*reason = CTB_R_BAD_QUOTE;
		return -EINVAL;
	}
	*out = p;
	return 0;
}

int ref_parse(const struct ref_host *host, const struct ref_frame *f, struct ref_packet *out,
	      enum ctb_reason *reason, struct ref_verdict *bytes)
{
	unsigned int vid;
	int err = parse_frame(f, out, &vid, reason, bytes);

	/* Whose frame it is comes before what is wrong with it. */
	if (vid && has_vlan_device(host, f->ifindex, vid)) {
		*reason = CTB_R_VLAN_DEVICE;
		return -EINVAL;
	}
	if (f->other_host) {
		*reason = CTB_R_OTHER_HOST;
		return -EINVAL;
	}
	return err;
}

static bool in_prefix4(const struct ref_addr *a, struct prefix4 p)
{
	__u32 addr = (__u32)a->bytes[0] << 24 | a->bytes[1] << 16 | a->bytes[2] << 8 | a->bytes[3];

	if (a->family != AF_INET)
		return false;
	return p.len == 0 || (addr ^ p.addr) >> (32 - p.len) == 0;
}

/* Do the first n of 64 bits agree? */
static bool same_bits(__u64 a, __u64 b, unsigned int n)
{
	return n == 0 || (a ^ b) >> (64 - n) == 0;
}

static bool in_prefix6(const struct ref_addr *a, struct prefix6 p)
{
	__u64 hi, lo;

	if (a->family != AF_INET6)
		return false;
	memcpy(&hi, a->bytes, 8);
	memcpy(&lo, a->bytes + 8, 8);
	return same_bits(be64toh(hi), p.hi, p.len < 64 ? p.len : 64) &&
	       same_bits(be64toh(lo), p.lo, p.len > 64 ? p.len - 64 : 0);
}

static bool in_list(const struct ref_addr *a, const struct prefix_list *l)
{
	size_t i;

	if (a->family == AF_INET) {
		for (i = 0; i < l->n4; i++) {
			if (in_prefix4(a, l->v4[i]))
				return true;
		}
		return false;
	}
	for (i = 0; i < l->n6; i++) {
		if (in_prefix6(a, l->v6[i]))
			return true;
	}
	return false;
}

static bool addr_fits(const struct addr_match *m, const struct ref_addr *a,
		      const struct ref_host *host)
{
	bool in_any = false;
	size_t i;

	if (m->n == 0)
		return true;
	for (i = 0; i < m->n; i++) {
		const struct addr_item *it = &m->items[i];

		switch (it->kind) {
		case ADDR_PREFIX4:
			in_any |= in_prefix4(a, it->p4);
			break;
		case ADDR_PREFIX6:
			in_any |= in_prefix6(a, it->p6);
			break;
		case ADDR_SET:
			in_any |= in_list(a, &it->set->addrs);
			break;
		case ADDR_LOCAL:
			in_any |= in_list(a, host->local);
			break;
		}
	}
	return in_any != m->negate;
}

static bool in_range(struct port_range r, __u16 port)
{
	return r.lo <= port && port <= r.hi;
}

/* A rule that names ports fits only packets that have them. */
static bool port_fits(const struct port_match *m, const struct ref_packet *p, __u16 port)
{
	size_t i, j;

	if (m->n == 0)
		return true;
	if (!p->has_ports)
		return false;
	for (i = 0; i < m->n; i++) {
		const struct port_item *it = &m->items[i];

		if (!it->set && in_range(it->range, port))
			return true;
		for (j = 0; it->set && j < it->set->ports.n; j++) {
			if (in_range(it->set->ports.ranges[j], port))
				return true;
		}
	}
	return false;
}

/* The packet as its mirror image, so that "mirrored" needs no second set of comparisons. */
static struct ref_packet mirror(const struct ref_packet *p)
{
	struct ref_packet m = *p;

	m.src = p->dst;
	m.dst = p->src;
	m.sport = p->dport;
	m.dport = p->sport;
	return m;
}

static bool iif_fits(const struct rule *r, enum ctb_dir dir, bool quoted,
		     const struct ref_frame *frame)
{
	bool named = name_list_has(&r->iif, frame->ifname);

	if (r->iif.n == 0)
		return true;
	/*
	 * What this host sends by iif is its reply to what came in there. Of what an error of its
	 * own quotes nobody knows any more where it came in.
	 */
	if (frame->output)
		return quoted || (dir == CTB_DIR_REPLY && named);
	/*
	 * A reply to a packet that came in by iif is this host's own output, which does not pass
	 * tc ingress. An error about that output does, by the same interface.
	 */
	if (quoted)
		return dir == CTB_DIR_ORIG || named;
	return dir == CTB_DIR_ORIG && named;
}

static size_t prefixes_in(const struct addr_match *m)
{
	size_t n = 0, i;

	for (i = 0; i < m->n; i++)
		n += m->items[i].kind == ADDR_SET
			     ? m->items[i].set->addrs.n4 + m->items[i].set->addrs.n6
			     : 1;
	return n;
}

static bool excludes_local(const struct addr_match *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->negate && m->items[i].kind == ADDR_LOCAL)
			return true;
	}
	return false;
}

/* Rules too large for nft keep off local traffic (NFT_PREFIXES_MAX in expand.h). */
static bool transit_fits(const struct rule *r, const struct ref_host *host,
			 const struct ref_packet *p)
{
	/* Can it be what this host sends: as written, or, its reply? */
	bool sends = !excludes_local(&r->saddr) && !r->iif.n;
	bool answers = !excludes_local(&r->daddr) && !r->oneway;

	if (prefixes_in(&r->saddr) + prefixes_in(&r->daddr) <= NFT_PREFIXES_MAX)
		return true;
	if (!sends && !answers)
		return true;
	return !in_list(&p->src, host->local) && !in_list(&p->dst, host->local);
}

/* Everything but ports, with the packet already turned to the rule's original direction. */
static bool frame_fits(const struct rule *r, const struct ref_host *host,
		       const struct ref_packet *p, enum ctb_dir dir, const struct ref_frame *frame)
{
	return transit_fits(r, host, p) && proto_has(&r->proto, p->proto) &&
	       addr_fits(&r->saddr, &p->src, host) && addr_fits(&r->daddr, &p->dst, host) &&
	       iif_fits(r, dir, p->quoted, frame) && (dir == CTB_DIR_ORIG || !r->oneway);
}

static bool rule_fits(const struct rule *r, const struct ref_host *host, const struct ref_packet *p,
		      const struct ref_frame *frame, enum ctb_dir *dir)
{
	struct ref_packet m = mirror(p);
	bool orig = frame_fits(r, host, p, CTB_DIR_ORIG, frame);
	bool reply = frame_fits(r, host, &m, CTB_DIR_REPLY, frame);

	if (r->port.n == 0) {
		orig = orig && port_fits(&r->sport, p, p->sport) &&
		       port_fits(&r->dport, p, p->dport);
		reply = reply && port_fits(&r->sport, &m, m.sport) &&
			port_fits(&r->dport, &m, m.dport);
		*dir = orig ? CTB_DIR_ORIG : CTB_DIR_REPLY;
		return orig || reply;
	}
	*dir = CTB_DIR_ORIG;
	if (orig && port_fits(&r->port, p, p->dport))
		return true;
	if (reply && port_fits(&r->port, p, p->sport)) {
		*dir = CTB_DIR_REPLY;
		return true;
	}
	if (orig && port_fits(&r->port, p, p->sport))
		return true;
	*dir = CTB_DIR_REPLY;
	return reply && port_fits(&r->port, p, p->dport);
}

static bool failsafe_fits(const struct ruleset *rs, const struct ref_packet *p, enum ctb_dir *dir)
{
	size_t i;

	for (i = 0; i < rs->n_failsafe; i++) {
		const struct failsafe_item *f = &rs->failsafe[i];

		if (f->proto != p->proto || !p->has_ports)
			continue;
		*dir = CTB_DIR_ORIG;
		if (in_range(f->ports, p->dport))
			return true;
		*dir = CTB_DIR_REPLY;
		if (in_range(f->ports, p->sport))
			return true;
	}
	return false;
}

struct ref_verdict ref_judge(const struct ruleset *rs, const struct ref_host *host,
			     const struct ref_frame *frame)
{
	struct ref_verdict v = { .reason = CTB_R_NO_MATCH };
	struct ref_packet p;
	size_t i;

	if (ref_parse(host, frame, &p, &v.reason, &v) < 0)
		return v;
	if (failsafe_fits(rs, &p, &v.dir)) {
		v.judged = true;
		v.action = CTB_TRACK;
	}
	for (i = 0; i < rs->n_rules && !v.judged; i++) {
		if (!rule_fits(&rs->rules[i], host, &p, frame, &v.dir))
			continue;
		v.judged = true;
		v.handle = rs->rules[i].handle;
		v.action = rs->rules[i].action;
	}
	v.local = in_list(&p.src, host->local) || in_list(&p.dst, host->local);
	if (v.judged && p.quoted)
		v.dir = CTB_DIR_ERROR;
	if (!v.judged)
		v.reason = CTB_R_NO_MATCH;
	return v;
}

/* What all fragments of a datagram have in common. False: not to be had from this one. */
static bool fragment_common(const struct ref_frame *f, struct ref_packet *out)
{
	enum ctb_reason ignored;
	unsigned int vid, frag;
	__u16 ethertype;
	size_t ip_off;
	struct view v;

	memset(out, 0, sizeof(*out));
	if (!parse_link(f, &ethertype, &ip_off, &vid, &ignored))
		return false;
	v = (struct view){ f->data + ip_off, f->len - ip_off };
	if (ethertype == 0x0800) {
		frag = u16_at(v, 6);
		out->proto = u8_at(v, 9);
		set_addr(&out->src, AF_INET, v.p + 12);
		set_addr(&out->dst, AF_INET, v.p + 16);
		return (frag & 0x3fff) != 0;
	}
	/* Headers before the fragment header are not followed, headers behind it are elsewhere. */
	if (u8_at(v, 6) != PROTO_FRAGMENT || ext_length(u8_at(v, 40), sub(v, 48, 0)))
		return false;
	out->proto = u8_at(v, 40);
	set_addr(&out->src, AF_INET6, v.p + 8);
	set_addr(&out->dst, AF_INET6, v.p + 24);
	return true;
}

/* May the rule fit, whatever the ports? */
static bool rule_may_fit(const struct rule *r, const struct ref_host *host,
			 const struct ref_packet *p, const struct ref_frame *frame, bool *ports,
			 enum ctb_dir *dir)
{
	struct ref_packet m = mirror(p);

	*ports = r->port.n || r->sport.n || r->dport.n;
	if (*ports && !is_port_proto(p->proto))
		return false;
	*dir = CTB_DIR_ORIG;
	if (frame_fits(r, host, p, CTB_DIR_ORIG, frame))
		return true;
	*dir = CTB_DIR_REPLY;
	return frame_fits(r, host, &m, CTB_DIR_REPLY, frame);
}

struct ref_verdict ref_judge_at_tc(const struct ruleset *rs, const struct ref_host *host,
				   const struct ref_frame *frame, bool *whole)
{
	struct ref_verdict plain = ref_judge(rs, host, frame), v = plain;
	struct ref_packet p;
	bool ports;
	size_t i;

	*whole = false;
	if (!plain.judged &&
	    (plain.reason == CTB_R_OTHER_HOST || plain.reason == CTB_R_VLAN_DEVICE))
		return plain;
	if (!plain.fragment && (plain.judged || plain.reason != CTB_R_LATER_FRAGMENT))
		return plain;
	if (!fragment_common(frame, &p))
		return plain;
	for (i = 0; i < rs->n_failsafe; i++) {
		if (rs->failsafe[i].proto == p.proto)
			return plain;
	}
	for (i = 0; i < rs->n_rules; i++) {
		if (rule_may_fit(&rs->rules[i], host, &p, frame, &ports, &v.dir))
			break;
	}
	if (i == rs->n_rules || ports || rs->rules[i].action != CTB_FORWARD ||
	    in_list(&p.src, host->local) || in_list(&p.dst, host->local))
		return plain;
	*whole = true;
	v.judged = true;
	v.local = false;
	v.handle = rs->rules[i].handle;
	v.action = CTB_FORWARD;
	return v;
}

enum ctb_fallback ref_fallback(const struct ref_verdict *v, bool whole)
{
	if (v->local)
		return CTB_FB_LOCAL;
	return v->fragment && !whole ? CTB_FB_FRAGMENT : CTB_FB_DEVICE;
}

const char *ref_verdict_text(const struct ref_verdict *v, char *buf, size_t size)
{
	if (!v->judged)
		snprintf(buf, size, "%s", ref_reason_names[v->reason]);
	else if (v->handle == 0)
		snprintf(buf, size, "failsafe %s %s", ref_dir_names[v->dir],
			 ref_action_names[v->action]);
	else
		snprintf(buf, size, "rule %u %s %s", v->handle, ref_dir_names[v->dir],
			 ref_action_names[v->action]);
	return buf;
}
