// SPDX-License-Identifier: GPL-2.0-only
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "forward_model.h"

#define BIT(reason) (1ULL << CTB_FB_##reason)

enum {
	HEADER4 = 20,
	HEADER6 = 40,
};

/* A frame under a forward rule, taken apart as far as forwarding is concerned. */
struct transit {
	const struct lab *l;
	const struct lab_run *r;
	enum lab_dev in;  /* whose frame it is */
	size_t l3, total; /* of the IP packet */
	bool v6, xdp;
	bool fragment; /* first or later */
	bool quoted;   /* judged by what it quotes */
	const __u8 *ip;
};

static unsigned int u16_at(const __u8 *b)
{
	return b[0] << 8 | b[1];
}

static bool prefix_has(const __u8 *prefix, unsigned int len, const __u8 *addr)
{
	unsigned int i;

	for (i = 0; i < len; i++) {
		if ((prefix[i / 8] ^ addr[i / 8]) >> (7 - i % 8) & 1)
			return false;
	}
	return true;
}

/* The lab's own addresses, and (IPv4) its networks' broadcast addresses. */
static bool is_lab_local(bool v6, const __u8 *a)
{
	static const __u8 net6[] = { 0x20, 0x01, 0x0d, 0xb8, 0 }, zeros[15];

	if (!v6)
		return a[0] == 10 && a[1] >= LAB_IN && a[1] < LAB_DEVS && a[2] == 0 &&
		       (a[3] == 1 || a[3] == 255);
	return memcmp(a, net6, 5) == 0 && a[5] >= LAB_IN && a[5] < LAB_DEVS &&
	       memcmp(a + 6, zeros, 9) == 0 && a[15] <= 1; /* ::1, and :: for all routers */
}

static const struct lab_route *find_route(const struct lab *l, bool v6, const __u8 *addr)
{
	static const struct lab_route local = { .kind = LAB_LOCAL };
	const struct lab_route *best = NULL;
	size_t i;

	if (is_lab_local(v6, addr))
		return &local;
	for (i = 0; i < l->n_routes; i++) {
		const struct lab_route *r = &l->routes[i];

		if (r->family == (v6 ? AF_INET6 : AF_INET) && prefix_has(r->addr, r->len, addr) &&
		    (!best || r->len > best->len))
			best = r;
	}
	return best;
}

static bool leads_out(const struct lab_route *r)
{
	return r && (r->kind == LAB_VIA || r->kind == LAB_VIA6 || r->kind == LAB_CONNECTED ||
		     r->kind == LAB_SILENT);
}

/* What the kernel takes from no wire, or treats otherwise than by routing it. */
static __u64 address_reasons(bool v6, const __u8 *a)
{
	static const __u8 zeros[16];

	if (v6) {
		if (a[0] == 0xff)
			return BIT(MULTICAST);
		if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80)
			return BIT(LINK_LOCAL);
		/* IPv4-mapped: no output of the kernel's takes one for a source. */
		if (memcmp(a, zeros, 10) == 0 && a[10] == 0xff && a[11] == 0xff)
			return BIT(MARTIAN);
		return memcmp(a, zeros, 15) == 0 && a[15] <= 1 ? BIT(MARTIAN) : 0;
	}
	if ((a[0] & 0xf0) == 0xe0 || memcmp(a, "\xff\xff\xff\xff", 4) == 0)
		return BIT(MULTICAST);
	if (a[0] == 169 && a[1] == 254)
		return BIT(LINK_LOCAL);
	return a[0] == 0 || a[0] == 127 ? BIT(MARTIAN) : 0;
}

static bool is_ext_header(unsigned int proto)
{
	return proto == 0 || proto == 43 || proto == 44 || proto == 51 || proto == 60;
}

static __u64 header_reasons(const struct transit *t)
{
	const __u8 *ip = t->ip;
	__u64 why = 0;

	if (t->v6) {
		if (is_ext_header(ip[6]) && !(ip[6] == 44 && t->fragment))
			why |= BIT(EXT_HEADER);
		if (ip[7] <= 1)
			why |= BIT(TTL);
		return why | address_reasons(true, ip + 8) | address_reasons(true, ip + 24);
	}
	if ((ip[0] & 15) > 5)
		why |= BIT(OPTIONS);
	if (pkt_sum(ip, (ip[0] & 15) * 4, 0) != 0xffff)
		why |= BIT(CHECKSUM);
	if (ip[8] <= 1)
		why |= BIT(TTL);
	return why | address_reasons(false, ip + 12) | address_reasons(false, ip + 16);
}

/* Reverse-path filtering; errors' own source was not looked at before, and may be this host. */
static __u64 source_reasons(const struct transit *t)
{
	unsigned int flags = t->l->nd[t->in].flags;
	const struct lab_route *back;

	if (t->v6 || !(t->quoted || flags & (CTB_ND_RPF_STRICT | CTB_ND_RPF_LOOSE)))
		return 0;
	if ((flags & CTB_ND_RPF_STRICT) && (flags & CTB_ND_RPF_LOOSE))
		return BIT(RP_FILTER);
	back = find_route(t->l, false, t->ip + 12);
	if (!leads_out(back))
		return BIT(RP_FILTER);
	return flags & CTB_ND_RPF_STRICT && back->dev != t->in ? BIT(RP_FILTER) : 0;
}

static __u64 kind_reasons(bool v6, enum lab_route_kind kind)
{
	switch (kind) {
	case LAB_UNREACHABLE:
		return v6 ? BIT(UNREACHABLE) | BIT(NO_ROUTE) : BIT(UNREACHABLE);
	case LAB_PROHIBIT:
		return v6 ? BIT(PROHIBIT) | BIT(NO_ROUTE) : BIT(PROHIBIT);
	case LAB_BLACKHOLE:
		return BIT(BLACKHOLE);
	case LAB_ENCAP:
		return BIT(LWT);
	case LAB_LOCAL:
		return BIT(LOCAL) | BIT(NO_ROUTE);
	default:
		return 0;
	}
}

static bool knows_neighbour(const struct lab_route *r, bool v6, const __u8 *dst)
{
	static const __u8 zeros[9];

	if (r->kind != LAB_CONNECTED)
		return r->kind == LAB_VIA || r->kind == LAB_VIA6;
	return v6 ? memcmp(dst + 6, zeros, 9) == 0 && dst[15] == 2 : dst[2] == 0 && dst[3] == 2;
}

/* The longest IP packet that the MTU has to hold for this one. */
static size_t longest(const struct transit *t)
{
	size_t header = t->v6 ? HEADER6 : HEADER4, len = t->total;

	if (t->r->gso_size && !t->xdp) {
		unsigned int proto = t->ip[t->v6 ? 6 : 9];

		/* Of other GRO packets too little is known. */
		if (proto == IPPROTO_UDP) /* with room for what a tunnel may repeat */
			len = header + 8 + 128 + t->r->gso_size;
		if (proto == IPPROTO_TCP)
			len = header + (t->ip[header + 12] >> 4) * 4 + t->r->gso_size;
	}
	if (t->fragment && t->l->nd[t->in].mtu > len)
		len = t->l->nd[t->in].mtu;
	return len;
}

static __u64 route_reasons(const struct transit *t, struct model_result *out)
{
	const __u8 *dst = t->ip + (t->v6 ? 24 : 16);
	const struct lab_route *r = find_route(t->l, t->v6, dst);
	const struct ctb_netdev *nd = &t->l->nd[t->in];
	size_t mtu = t->v6 ? nd->route_mtu6 : nd->route_mtu4;
	__u64 why = 0;

	/* Where some route has an MTU of its own, only the kernel knows which. */
	if (mtu && longest(t) > mtu)
		out->reasons |= BIT(MTU);
	if (!(t->v6 ? t->l->forwarding6 : t->l->forwarding4)[t->in] ||
	    (t->v6 && t->l->nd[t->in].flags & CTB_ND_NO_FORWARD6))
		return BIT(NOT_FORWARDING);
	if (!r)
		return BIT(NO_ROUTE);
	mtu = r->mtu ? r->mtu : t->l->ifs[r->dev].mtu;
	why = kind_reasons(t->v6, r->kind);
	/* The kernel takes what a tunnel needs off the MTU, which it looks at first. */
	if (r->kind == LAB_ENCAP && longest(t) + 100 > mtu)
		why |= BIT(MTU);
	if (why)
		return why;
	out->dev = r->dev;
	nd = &t->l->nd[r->dev];
	if (longest(t) > mtu)
		why |= BIT(MTU);
	if (r->dev == t->in)
		why |= BIT(SAME_DEVICE);
	if (!(nd->flags & CTB_ND_OUT))
		why |= BIT(EGRESS);
	out->no_neigh = !knows_neighbour(r, t->v6, dst);
	if (!t->xdp)
		return why;
	if (out->no_neigh)
		why |= BIT(NO_NEIGHBOUR);
	if (!nd->out)
		return why | BIT(NO_XDP_OUT);
	for (enum lab_dev d = LAB_IN; d < LAB_DEVS; d++) {
		if ((__u32)t->l->ifs[d].ifindex == nd->out && !t->l->egress[d])
			why |= BIT(NO_XDP_OUT);
	}
	if (!(nd->flags & CTB_ND_OUT_SG) && t->r->linear && t->r->linear < t->l3 + t->total)
		why |= BIT(NO_XDP_OUT);
	return why;
}

/* The checksum that hardware was to fill in: its field holds the pseudo header's sum. */
static bool is_partial(const struct transit *t)
{
	unsigned int proto = t->ip[t->v6 ? 6 : 9], len;
	const __u8 *l4 = t->ip + (t->v6 ? HEADER6 : HEADER4);
	unsigned int check;
	__u32 pseudo;

	if (!(t->l->nd[t->in].flags & CTB_ND_PARTIAL) || t->fragment || t->quoted)
		return false;
	len = t->total - (t->v6 ? HEADER6 : HEADER4);
	pseudo = t->v6 ? pkt_sum(t->ip + 8, 32, proto + len) : pkt_sum(t->ip + 12, 8, proto + len);
	switch (proto) {
	case IPPROTO_TCP:
		return u16_at(l4 + 16) == pseudo;
	case IPPROTO_UDP:
		check = u16_at(l4 + 6);
		/* Not told: tunnels, whose inner checksum may be the partial one. */
		if (!check)
			return u16_at(l4 + 2) == 4789 || u16_at(l4 + 2) == 8472 ||
			       u16_at(l4 + 2) == 6081 || u16_at(l4 + 2) == 4790;
		return check == pseudo;
	case IPPROTO_SCTP:
		return memcmp(l4 + 8, "\0\0\0\0", 4) == 0;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_UDPLITE:
		return false;
	}
	return true; /* nobody can tell */
}

static __u64 all_reasons(const struct transit *t, struct model_result *out)
{
	const struct ctb_netdev *nd = &t->l->nd[t->in];
	const __u8 *mac = t->r->data;
	__u64 why;

	if (!(nd->flags & CTB_ND_IN))
		return BIT(DEVICE);
	why = header_reasons(t) | source_reasons(t) | route_reasons(t, out);
	if (mac[0] & 1)
		why |= BIT(MULTICAST);
	else if (memcmp(mac, nd->mac, 6) != 0)
		why |= t->xdp ? BIT(MAC) : BIT(MAC) | BIT(MULTICAST);
	if (nd->flags & CTB_ND_XFRM)
		why |= BIT(XFRM);
	if (t->quoted && nd->flags & (t->v6 ? CTB_ND_ERRORS6_UP : CTB_ND_ERRORS4_UP))
		why |= BIT(ECMP_ERROR);
	if (t->xdp && !(why & (BIT(OPTIONS) | BIT(EXT_HEADER))) && is_partial(t))
		why |= BIT(PARTIAL);
	return why;
}

static void put_macs(const struct lab *l, enum lab_dev dev, __u8 *frame)
{
	memcpy(frame, (__u8[]){ 0x02, 0, 0, 0, dev, 0x02 }, 6);
	memcpy(frame + 6, l->ifs[dev].mac, 6);
}

/* XDP has 256 bytes in front of a frame; the kernel's struct xdp_frame and metadata go in there. */
#define ROOM_FOR_META 216

static bool has_headroom(const struct transit *t, const struct model_result *out)
{
	bool push = t->l->nd[out->dev].out_vid && t->l3 == 14;

	return !t->xdp || !push || t->r->meta + 4 <= ROOM_FOR_META;
}

/* As the kernel would send it. */
static void rewrite(const struct transit *t, struct model_result *out)
{
	unsigned int vid = t->xdp ? t->l->nd[out->dev].out_vid : 0;
	__u8 *ip, *o = out->out;

	put_macs(t->l, out->dev, o);
	o += 12;
	if (vid) {
		*o++ = 0x81;
		*o++ = 0x00;
		*o++ = vid >> 8;
		*o++ = vid;
	}
	*o++ = t->v6 ? 0x86 : 0x08;
	*o++ = t->v6 ? 0xdd : 0x00;
	ip = o;
	memcpy(ip, t->ip, t->total);
	out->out_len = ip + t->total - out->out;
	/* GRO takes no padded packets in, and leaves a length of its own. */
	if (!t->xdp && t->r->gso_size) {
		memcpy(ip, t->ip, t->r->len - t->l3);
		out->out_len = t->r->len;
	}
	if (t->v6) {
		ip[7]--;
	} else {
		/* RFC 1624 with the carry, as the kernel has it: never 0xffff. */
		__u32 sum = u16_at(ip + 10) + 0x0100;

		sum += sum >= 0xffff;
		ip[10] = sum >> 8;
		ip[11] = sum;
		ip[8]--;
	}
}

static void route(struct transit *t, struct model_result *out)
{
	out->reasons |= all_reasons(t, out);
	if (!out->reasons && !has_headroom(t, out))
		out->reasons |= BIT(FAILED);
	out->fate = out->reasons ? MODEL_FALLEN : MODEL_FORWARDED;
	if (out->fate == MODEL_FORWARDED)
		rewrite(t, out);
}

static void take_apart(struct transit *t, const struct ref_verdict *v)
{
	const __u8 *f = t->r->data;

	t->ip = f + t->l3;
	t->v6 = u16_at(t->ip - 2) == 0x86dd;
	t->total = v->bytes;
	t->quoted = v->dir == CTB_DIR_ERROR;
	t->fragment = v->fragment;
	if (!t->v6 && u16_at(t->ip + 6) & 0x3fff)
		t->fragment = true;
	if (t->v6 && t->ip[6] == 44 && u16_at(t->ip + 42) & 0xfff9)
		t->fragment = true;
}

static struct ref_frame frame_of(const struct lab *l, const struct lab_run *r, enum lab_dev in)
{
	return (struct ref_frame){
		.data = r->data,
		.len = r->len,
		.gso = r->gso_size,
		.ifindex = l->ifs[in].ifindex,
		.ifname = l->ifs[in].name,
	};
}

/* Whose frame it is: XDP has tagged ones before the VLAN device has them. 0: nobody's here. */
static enum lab_dev owner(const struct lab *l, const struct lab_run *r, size_t *l3)
{
	unsigned int type, vid;
	enum lab_dev d;

	*l3 = 14;
	if (r->len < 18)
		return r->in;
	type = u16_at(r->data + 12);
	if (type != 0x8100 && type != 0x88a8)
		return r->in;
	*l3 = 18;
	vid = u16_at(r->data + 14) & 0xfff;
	type = type == 0x8100 ? u16_at(r->data + 16) : 0;
	if (type != 0x0800 && type != 0x86dd)
		return LAB_LO;
	for (d = LAB_IN; vid && d < LAB_DEVS; d++) {
		if (l->ifs[d].vid == vid && l->ifs[d].parent == l->ifs[r->in].ifindex)
			return l->nd[d].flags & CTB_ND_XDP_IN ? d : LAB_LO;
	}
	return LAB_LO;
}

void model_xdp(const struct lab *l, const struct lab_run *r, struct model_result *out)
{
	struct transit t = { .l = l, .r = r, .xdp = true };
	struct ref_host ref = { .local = l->ref.local }; /* tags are dealt with here */
	struct ref_frame f;
	bool whole;

	memset(out, 0, sizeof(*out));
	t.in = owner(l, r, &t.l3);
	if (!t.in)
		return;
	f = frame_of(l, r, t.in);
	out->verdict = ref_judge_at_tc(l->rs, &ref, &f, &whole);
	if (!out->verdict.judged || out->verdict.action != CTB_FORWARD || out->verdict.local)
		return;
	take_apart(&t, &out->verdict);
	/* tc counts those that fragments of the same datagram may not follow. */
	if (t.fragment && !whole)
		return;
	route(&t, out);
}

void model_tc(const struct lab *l, const struct lab_run *r, struct model_result *out)
{
	struct transit t = { .l = l, .r = r, .in = r->in, .l3 = 14 };
	struct ref_frame f = frame_of(l, r, r->in);
	bool whole;

	memset(out, 0, sizeof(*out));
	f.other_host = r->len >= 6 && !(r->data[0] & 1) &&
		       memcmp(r->data, l->ifs[r->in].mac, 6) != 0;
	f.tagged = r->push;
	f.tag_vid = r->push & 0xfff;
	out->verdict = ref_judge_at_tc(l->rs, &l->ref, &f, &whole);
	if (!out->verdict.judged || out->verdict.action != CTB_FORWARD)
		return;
	if (out->verdict.local)
		out->reasons |= BIT(LOCAL);
	if (r->push || (u16_at(r->data + 12) != 0x0800 && u16_at(r->data + 12) != 0x86dd)) {
		out->reasons |= BIT(VLAN) | (l->nd[r->in].flags & CTB_ND_IN ? 0 : BIT(DEVICE));
		if (out->verdict.fragment && !whole)
			out->reasons |= BIT(FRAGMENT);
		out->fate = MODEL_FALLEN;
		return;
	}
	take_apart(&t, &out->verdict);
	if (t.fragment && !whole)
		out->reasons |= BIT(FRAGMENT);
	if (r->mark & ~l->rs->mark)
		out->reasons |= BIT(MARK);
	route(&t, out);
}

const char *model_reasons(__u64 reasons, char *buf, size_t size)
{
	size_t used = 0;
	int i;

	buf[0] = '\0';
	for (i = 0; i < CTB_FB_MAX && used < size; i++) {
		if (reasons >> i & 1)
			used += snprintf(buf + used, size - used, "%s%s", used ? ", " : "",
					 ref_fallback_names[i]);
	}
	return buf;
}
