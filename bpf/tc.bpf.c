// SPDX-License-Identifier: GPL-2.0-only
/*
 * tc ingress: judge the packet and leave the verdict in one bit of skb->mark, which the nft table
 * turns into UNTRACKED after defragmentation (docs/design.md says why there). The program never
 * drops, never changes the packet and always lets the next program run.
 */
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#define CTB_CTX struct __sk_buff
#include "classify.h"

static __always_inline int parse_skb(struct __sk_buff *skb, int l2, enum ctb_depth depth,
				     struct ctb_pkt *p)
{
	return parse(skb, skb->len, l2, skb->protocol, skb->vlan_present, skb->vlan_tci,
		     skb->gso_size != 0, depth, p);
}

/*
 * Everything that the fast parse left. A global function, so that the verifier goes through it
 * once. Headers in pages are made linear first; that is rare, since drivers copy headers.
 */
__noinline int parse_full(struct __sk_buff *skb, int l2, struct ctb_pkt *out)
{
	struct ctb_pkt p = {};
	__u32 len = skb->len;
	int r;

	if (!out)
		return CTB_R_INTERNAL;
	if (skb->data_end - skb->data < len) {
		if (len > HEADERS_MAX)
			len = HEADERS_MAX;
		if (bpf_skb_pull_data(skb, len))
			return CTB_R_BAD_LINK;
	}
	r = parse_skb(skb, l2, CTB_FULL, &p);
	*out = p;
	return r;
}

/* Where no good IP header says how long the packet is, all of the frame is counted. */
static __always_inline void count_reason(struct __sk_buff *skb, const struct ctb_pkt *p,
					 __u32 reason)
{
	struct ctb_count *c = bpf_map_lookup_elem(&reasons, &reason);

	if (c) {
		c->packets++;
		c->bytes += p->bytes ? p->bytes : skb->len;
	}
}

/* Judge the packet and count it, under its rule or under a reason. 1: it is to be untracked. */
static __always_inline int judge(struct __sk_buff *skb, int l2)
{
	struct ctb_rule_counters *counters;
	struct ctb_pkt p = {};
	struct ctb_entry *e;
	__u32 slot, dir;
	int r;

	r = parse_skb(skb, l2, CTB_FAST, &p);
	if (r != CTB_PARSED && r != CTB_R_NOT_IP)
		r = parse_full(skb, l2, &p);
	if (p.vid) {
		struct ctb_vlan_key k = { .parent = skb->ifindex, .vid = p.vid };

		if (cfg.vlan_devices && bpf_map_lookup_elem(&vlan_devices, &k))
			r = CTB_R_VLAN_DEVICE;
	} else if (skb->pkt_type == PACKET_OTHERHOST) {
		r = CTB_R_OTHER_HOST;
	}
	e = r == CTB_PARSED ? classify(&p, skb->ifindex, &r) : NULL;
	if (!e) {
		count_reason(skb, &p, r);
		return 0;
	}
	slot = e->slot;
	dir = p.quoted ? CTB_DIR_ERROR : e->dir;
	counters = bpf_map_lookup_elem(&rules, &slot);
	if (counters && dir < CTB_DIR_MAX) {
		counters->dir[dir].packets++;
		counters->dir[dir].bytes += p.bytes;
	}
	return e->action != CTB_TRACK;
}

static __always_inline int ingress(struct __sk_buff *skb, int l2)
{
	/* A bit that came along (decapsulation, an earlier hook) is not our verdict. */
	__u32 mark = skb->mark & ~cfg.mark;

	if (judge(skb, l2))
		mark |= cfg.mark;
	if (skb->mark != mark)
		skb->mark = mark;
	return TC_ACT_UNSPEC;
}

/* Devices with an Ethernet header. */
SEC("tc")
int ctb_tc_ether(struct __sk_buff *skb)
{
	return ingress(skb, 1);
}

/* Devices whose packets start with the IP header (tun, WireGuard, GRE, IPIP, PPP ...). */
SEC("tc")
int ctb_tc_ip(struct __sk_buff *skb)
{
	return ingress(skb, 0);
}

char LICENSE[] SEC("license") = "GPL";
