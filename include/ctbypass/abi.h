/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the BPF programs and userspace share, and nothing else.
 *
 * Every number is in host byte order unless the type says __beN. Nothing here is defined a
 * second time elsewhere: an X-list gives both the enumerators and their printed names.
 */
#ifndef CTBYPASS_ABI_H
#define CTBYPASS_ABI_H

#include <linux/types.h>

/* Bumped whenever a pinned map changes its meaning; a daemon adopts only its own version. */
#define CTB_ABI_VERSION 3

/*
 * A rule becomes at most four entries: one per orientation, two for each `port` match. An entry
 * is one bit in every bitmap of the classifier, or in tables by port; entry order is rule order.
 */
#define CTB_MAX_RULES	  2048 /* counter slots; slot 0 belongs to failsafe */
#define CTB_MAX_ENTRIES	  8192 /* bits in a bitmap */
#define CTB_SUMMARY_BITS  64   /* one summary word stands for the whole bitmap */
#define CTB_SLOT_FAILSAFE 0
#define CTB_NO_ENTRY	  0xffffffffU

/* What a rule does with a packet. */
#define CTB_ACTIONS(X) \
	X(TRACK, "track") \
	X(NOTRACK, "notrack") \
	X(FORWARD, "forward")

enum ctb_action {
#define X(id, name) CTB_##id,
	CTB_ACTIONS(X)
#undef X
	CTB_ACTION_MAX,
};

/* How a packet relates to the flow its rule describes; the index of a rule's counters. */
#define CTB_DIRS(X) \
	X(ORIG, "original")    /* travels as the rule is written */ \
	X(REPLY, "reply")      /* the mirrored packet */ \
	X(ERROR, "icmp-error") /* an ICMP error that quotes a packet of the flow, either way */

enum ctb_dir {
#define X(id, name) CTB_DIR_##id,
	CTB_DIRS(X)
#undef X
	CTB_DIR_MAX,
};

/* Where a judged packet went: the other index of a rule's counters. */
#define CTB_OUTCOMES(X) \
	X(KERNEL, \
	  "kernel")   /* up the stack, as track and notrack do; what `forward` falls back to */ \
	X(XDP, "xdp") /* forwarded in XDP */ \
	X(TC, "tc")   /* forwarded at tc ingress */

enum ctb_outcome {
#define X(id, name) CTB_OUT_##id,
	CTB_OUTCOMES(X)
#undef X
	CTB_OUTCOME_MAX,
};

/*
 * Why a packet at tc ingress was left to the kernel as it came (no rule judged it). Each has a
 * per-CPU counter. The text is what `stats` prints and what the manual explains.
 */
#define CTB_REASONS(X) \
	X(NO_MATCH, "no-match", "no rule fits") \
	X(NOT_IP, "not-ip", "neither IPv4 nor IPv6 (ARP, LLDP, ...), or more than two VLAN tags") \
	X(OTHER_HOST, "other-host", "frame addressed to another host; the kernel drops it") \
	X(VLAN_DEVICE, "vlan-device", "tagged frame that the VLAN device on top judges") \
	X(LATER_FRAGMENT, "later-fragment", \
	  "not the first fragment; the first one judges the whole datagram") \
	X(BAD_LINK, "bad-link", "truncated link-layer or VLAN header") \
	X(BAD_IPV4, "bad-ipv4", "malformed IPv4 header or length") \
	X(BAD_IPV6, "bad-ipv6", "malformed IPv6 header, extension header or length") \
	X(BAD_L4, "bad-l4", "malformed or truncated transport header") \
	X(EXT_HEADERS, "ext-headers", "more IPv6 extension headers than are followed") \
	X(BAD_QUOTE, "bad-quote", \
	  "ICMP error whose quote cannot be judged, or is not its receiver's") \
	X(INTERNAL, "internal", "the classifier's tables did not answer; please report") \
	X(REDIRECT, "redirect", "ICMP redirect, which no rule speaks of; conntrack judges it")

enum ctb_reason {
#define X(id, name, text) CTB_R_##id,
	CTB_REASONS(X)
#undef X
	CTB_R_MAX,
};

/*
 * Why a packet that a `forward` rule fits was not forwarded. Counted twice over: what XDP hands
 * to tc, and what tc leaves to the kernel (untracked). The text is what `stats` prints.
 */
#define CTB_FALLBACKS(X) \
	X(LOCAL, "local", "this host is its source or destination") \
	X(TTL, "ttl", "TTL or hop limit used up; the kernel answers") \
	X(MTU, "mtu", "larger than the egress MTU; the kernel cuts it or answers") \
	X(NO_ROUTE, "no-route", "no route (IPv6: or an unreachable or prohibit route)") \
	X(UNREACHABLE, "unreachable", "IPv4 unreachable route; the kernel answers") \
	X(PROHIBIT, "prohibit", "IPv4 prohibit route; the kernel answers") \
	X(BLACKHOLE, "blackhole", "blackhole route; the kernel drops it") \
	X(NO_NEIGHBOUR, "no-neighbour", "link-layer address of the next hop not known yet") \
	X(MULTICAST, "multicast", "multicast or broadcast, by address or by frame") \
	X(LINK_LOCAL, "link-local", "link-local source or destination") \
	X(MARTIAN, "martian", "source or destination that no packet on a wire may have") \
	X(OPTIONS, "ipv4-options", "IPv4 options") \
	X(EXT_HEADER, "ipv6-ext-header", "IPv6 extension header other than a fragment's") \
	X(SAME_DEVICE, "same-device", "would leave by the device it came in by") \
	X(NOT_FORWARDING, "not-forwarding", "forwarding is disabled on the device it came in by") \
	X(MAC, "mac", "frame not addressed to this device's own MAC address") \
	X(LWT, "lwt", "route with a lightweight tunnel") \
	X(XFRM, "xfrm", "IPsec policies are present") \
	X(FRAGMENT, "fragment", "fragment under rules that look at ports") \
	X(RP_FILTER, "rp-filter", "source fails the reverse-path lookup; the kernel decides") \
	X(CHECKSUM, "checksum", "wrong IPv4 header checksum; the kernel drops it") \
	X(VLAN, "vlan", "VLAN tag that no device here stands for, priority tag, or two tags") \
	X(MARK, "mark", "carries a mark of somebody else's, which may steer its routing") \
	X(ECMP_ERROR, "ecmp-error", "ICMP error where equal-cost paths hash the quoted packet") \
	X(DEVICE, "device", "`status` says why this device does not forward") \
	X(EGRESS, "egress", "`status` says why nothing is sent by that device") \
	X(NO_XDP_OUT, "no-xdp-out", "egress device takes no XDP frames; tc forwards") \
	X(PARTIAL, "partial-checksum", "sender left the checksum to the hardware; tc forwards") \
	X(REFRESH, "refresh", "one packet every few seconds lets tc keep the neighbour alive") \
	X(FAILED, "failed", "the frame could not be changed")

enum ctb_fallback {
#define X(id, name, text) CTB_FB_##id,
	CTB_FALLBACKS(X)
#undef X
	CTB_FB_MAX,
};

/*
 * packets: skbs as seen at the hook (a GRO packet is one). bytes: by the IP header's own length;
 * of the whole frame for reasons where there is no good IP header to ask.
 */
struct ctb_count {
	__u64 packets;
	__u64 bytes;
};

/* Map `rules`, per CPU: key is the rule's counter slot. Only grows; outlives generations. */
struct ctb_rule_counters {
	struct ctb_count count[CTB_OUTCOME_MAX][CTB_DIR_MAX]; /* enum ctb_outcome, enum ctb_dir */
};

/*
 * Map `rules_out`, per CPU: the same of packets that this host sends, where a BPF program judges
 * those (direct mode); else the nft table counts them. Behind the CTB_MAX_RULES elements that
 * programs count in are as many that the daemon alone writes: what nft had counted when direct mode
 * began.
 */
struct ctb_output_counters {
	struct ctb_count count[CTB_DIR_MAX];
};

/* Map `fallbacks`, per CPU: key is enum ctb_fallback. */
struct ctb_fallback_counters {
	struct ctb_count to_tc;	 /* XDP handed the packet to tc, which may forward it yet */
	struct ctb_count kernel; /* left to the kernel for good */
};

/*
 * Map `rule_info`: key is the counter slot. Written by the daemon, read by it at start and by
 * people with bpftool; the data plane does not use it.
 */
struct ctb_rule_info {
	__u32 handle;	/* 0: slot is free (slot 0, failsafe, always has handle 0) */
	__u32 action;	/* enum ctb_action */
	__u64 hash;	/* of the rule's canonical text: the identity that keeps its counters */
	char text[240]; /* canonical text, cut if longer, NUL-terminated */
};
_Static_assert(sizeof(struct ctb_rule_info) == 256, "pinned layout");

/*
 * Map `journal`: key counts from 0. Run-time changes since the configuration file was loaded, as
 * the command line would say them; replayed by the next daemon if the file is still the same.
 */
#define CTB_JOURNAL_TEXT 1024
#define CTB_JOURNAL_MAX	 16384
struct ctb_journal_line {
	char text[CTB_JOURNAL_TEXT]; /* NUL-terminated */
};

/* Map `state`: one element. What a daemon leaves for the next one. */
struct ctb_state {
	__u32 abi_version;   /* CTB_ABI_VERSION */
	__u32 generation;    /* of the programs in force */
	__u32 next_handle;   /* never given out before; 0: none was */
	__u32 journal_lines; /* lines 0 ... n-1 of `journal` count */
	__u64 config_hash;   /* of the configuration file and its set files */
	__u32 untrack_defer; /* 1: net.netfilter.nf_untrack_defer was 0 before us */
	/*
	 * 1: a swap is under way, or its daemon died in it: what judges what arrives and what
	 * judges what this host sends may be of different rules.
	 */
	__u32 swapping;
};

/*
 * Direct mode: programs call these numbers, which no helper has, and the loader puts the kfuncs of
 * module nf_untrack_bpf in their place (src/kfuncs.h says why not by __ksym). The sections are
 * known to libbpf by the loader only. Netfilter programs are in no header of Debian 12: enum
 * bpf_prog_type and enum bpf_attach_type, include/uapi/linux/bpf.h, 6.4.
 */
#define CTB_CALL_UNTRACK_SKB	0x7ff00001
#define CTB_CALL_UNTRACK_NF	0x7ff00002
#define CTB_SEC_TC		"tc_direct"
#define CTB_SEC_NETFILTER	"netfilter_direct"
#define CTB_PROG_TYPE_NETFILTER 32
#define CTB_ATTACH_NETFILTER	45

/* Map `clsact`: key is the ifindex of a device with our clsact filter. */
struct ctb_clsact {
	__u32 created; /* 1: the qdisc is ours too, and goes when the filter goes */
};

/* An entry; map `entries` has those in the bitmaps, key: its number (its bit). */
struct ctb_entry {
	__u32 prio; /* rank in first-match order: the lowest of all matching entries wins */
	union {
		struct {
			__u16 slot;  /* counter slot of the rule */
			__u8 action; /* enum ctb_action */
			__u8 flags;  /* CTB_E_* */
		};
		__u32 verdict; /* all of it */
	};
};
_Static_assert(sizeof(struct ctb_entry) == 8, "map layout");

#define CTB_E_REPLY 0x01 /* direction: CTB_DIR_REPLY, else CTB_DIR_ORIG */
#define CTB_E_PORTS 0x02 /* looks at ports, so fragments cannot be judged by it */
/*
 * A `forward` rule is two entries for each orientation: one for packets between other hosts, and
 * right behind it this one, for what this host sends or receives: never forwarded.
 */
#define CTB_E_LOCAL 0x04

/*
 * Map `ports`: one element. Port number (host order) to class; a class is a row of the bitmaps. The
 * upper half of the number selects a page: most are alike (nobody's ports), and so few pages are in
 * use that they stay in the cache.
 */
struct ctb_ports {
	__u8 page[256];
	__u16 class_of[256][256];
};

#define CTB_PORT_CLASS_OF(p, upper, lower) ((p)->class_of[(p)->page[upper]][lower])
#define CTB_PORT_CLASS(p, port)		   CTB_PORT_CLASS_OF(p, (port) >> 8, (port)&0xff)

/*
 * IPv4 addresses: the address space is cut into ranges of one class each (prefixes of all sets
 * and `local` merged). Map `addr4_top` is indexed by the upper 16 bits: a /16 that is cut up has an
 * element of `addr4_index`, which is indexed by the next 8. A /24 that is cut up too has its ranges
 * in a page of `addr4_pages`, one behind the other, to be searched by halves. So an address takes
 * two loads, whatever the number of prefixes, and one or two more where prefixes are longer than 24
 * bits. Where nearly every /16 is cut up the index has them all and takes one load (flat4).
 */
struct ctb_addr4_top {
	__u32 at;   /* element of addr4_index, or CTB_WHOLE4 and the class of the /16 */
	__u32 page; /* that places in its pages count from */
};
_Static_assert(sizeof(struct ctb_addr4_top) == 8, "map layout");

#define CTB_WHOLE4 0x80000000

/*
 * By /24: its class, or CTB_CUT4 and its place in units of CTB_UNIT4 ranges: place p is range
 * p % 1024 of page + p / 1024. Those of one /24 never lie on two pages.
 */
struct ctb_addr4_index {
	__u16 of[256];
};
_Static_assert(sizeof(struct ctb_addr4_index) == 512, "map layout");

#define CTB_CUT4  0x8000 /* larger classes are ranges too */
#define CTB_UNIT4 4

#define CTB_PAGE4	1024 /* ranges in a page */
#define CTB_PAGE4_STEPS 8    /* to find one among 256: log2 */

/*
 * A range: its class in the lower 16 bits, above it the last 8 bits of its first address. The first
 * range of a /24 has no need for that and says how many more there are.
 */
struct ctb_addr4_page {
	__u32 range[CTB_PAGE4];
};
_Static_assert(sizeof(struct ctb_addr4_page) == 4096, "map layout");

/*
 * IPv6 addresses: a static search tree over the starts of ranges, CTB_NODE6 to a node, in map
 * `addr6_nodes`; element 0 is the root. Leaves hold the ranges, inner nodes the first start below
 * each child. Unused places (only a level's last node has any) repeat the last one used, so that
 * the search may step behind the last child: `last` takes it back there.
 */
#define CTB_NODE6   8
#define CTB_LEVELS6 8 /* 8^8 ranges */

struct ctb_addr6_node {
	__u64 hi[CTB_NODE6]; /* address bytes 0-7 as a number */
	__u64 lo[CTB_NODE6]; /* address bytes 8-15 as a number */
	union {
		__u16 class_id[CTB_NODE6]; /* leaves */
		struct {
			__u32 first, last; /* elements that are the children: first ... last */
		} child;		   /* inner nodes */
	};
};
_Static_assert(sizeof(struct ctb_addr6_node) == 144, "map layout");

/*
 * Maps `by_dport` and `by_sport`, in use if config.proto_classes is not 0: the first of the entries
 * that look at nothing but the protocol and that port (by_dport: or at the protocol alone), by
 * class of the port * proto_classes + class of the protocol. All bits set: there is none. Those
 * entries are in no bitmap.
 */
#define CTB_NO_VERDICT 0xffffffffU

/*
 * Bitmaps. Each field has a map `bits_*` of __u64. With words == 1 the row of class c is
 * element c. Otherwise a row has 1 + words elements from c * (1 + words): first the summary,
 * whose bit i says that words i * words_per_bit ... are not all zero, then the words.
 *
 * Field IIF has a class for every kind of device, and 3 * iif_classes + 1 rows: of plain packets by
 * the device that they come in by, of ICMP errors likewise (what is judged is the packet that they
 * quote), of packets that this host sends by the device that they leave by, and one of the errors
 * that it sends: where the quoted packet came in is not known any more.
 */
#define CTB_FIELDS(X) \
	X(PROTO, proto) X(SRC, src) X(DST, dst) X(SPORT, sport) X(DPORT, dport) X(IIF, iif)

enum ctb_field {
#define X(id, name) CTB_F_##id,
	CTB_FIELDS(X)
#undef X
	CTB_F_MAX,
};

/* VLAN devices that judge their own frames, key of map `vlan_devices` (value: their ifindex). */
struct ctb_vlan_key {
	__u32 parent; /* ifindex */
	__u32 vid;    /* 1-4094, outermost tag */
};

/*
 * Map `netdevs`: key is the ifindex; a device as the forwarding path sees it. Written by the
 * daemon whenever something about a device changes. All zero: not known, nothing is forwarded.
 */
struct ctb_netdev {
	__u8 mac[6]; /* its own */
	__u16 flags; /* CTB_ND_* */
	__u32 out;   /* ifindex by which XDP frames leave, key of map `egress`: its own, or that of
		      * the VLAN device's parent; 0: XDP sends nothing out here */
	__u16 out_vid; /* 802.1Q tag to put on such frames, 1-4094; 0: none */
	__u16 mtu;     /* of frames that come in; 65535 stands for anything larger */
	/*
	 * The smallest MTU that any route names, of either family; 0: none. Longer packets are the
	 * kernel's: it knows which route (bpf_fib_lookup() looks at locked ones only).
	 */
	__u16 route_mtu4, route_mtu6;
	__u32 pad;
};
_Static_assert(sizeof(struct ctb_netdev) == 24, "map layout");

#define CTB_ND_IN	  0x0001 /* what comes in here may be forwarded */
#define CTB_ND_OUT	  0x0002 /* it may be sent out here */
#define CTB_ND_OUT_SG	  0x0004 /* XDP frames of several buffers too */
#define CTB_ND_XDP_IN	  0x0008 /* VLAN device: XDP on the parent may take its frames */
#define CTB_ND_PARTIAL	  0x0010 /* frames of local senders come in with partial checksums */
#define CTB_ND_RPF_STRICT 0x0020 /* net.ipv4.conf.*.rp_filter is 1 */
#define CTB_ND_RPF_LOOSE  0x0040 /* ... 2; with RPF_STRICT: set, and the kernel has to decide */
#define CTB_ND_XFRM	  0x0080 /* the network namespace has IPsec policies */
#define CTB_ND_HASH6_L4	  0x0100 /* net.ipv6.fib_multipath_hash_policy is not 0 */
#define CTB_ND_ERRORS4_UP \
	0x0200			 /* IPv4 ICMP errors are the kernel's: it hashes what they quote \
				  */
#define CTB_ND_ERRORS6_UP 0x0400 /* likewise IPv6 */
/*
 * A second route lookup might find another next hop than ours (it knows of no ports and no input
 * device): tc tells bpf_redirect_neigh() the one we found.
 */
#define CTB_ND_NEXT_HOP 0x0800
/*
 * IPv6 packets that come in here are not forwarded: net.ipv6.conf.all.forwarding is 0, which
 * ip6_forward() goes by, while bpf_fib_lookup() looks at the device's own.
 */
#define CTB_ND_NO_FORWARD6 0x1000

/* Devices that XDP frames can leave by, at most; more are served by tc. */
#define CTB_EGRESS_MAX 4096

/*
 * Configuration of one generation, read-only data of the program: set before load, so that the
 * verifier removes the code of every field no rule uses.
 */
struct ctb_config {
	__u32 mark;	       /* the one skb->mark bit between tc and nft */
	__u32 fields;	       /* bit per enum ctb_field: some entry in the bitmaps looks at it */
	__u32 words;	       /* 64-bit words in a bitmap, at least one, which may be all zero */
	__u32 words_per_bit;   /* words behind one summary bit */
	__u32 levels6;	       /* levels of the IPv6 tree */
	__u32 iif_classes;     /* rows of bits_iif, see CTB_FIELDS */
	__u32 iif_slots;       /* elements of map `iif`; a larger ifindex is class 0 */
	__u32 vlan_devices;    /* 1: consult map `vlan_devices` */
	__u32 generation;      /* counts rule swaps; shown by status */
	__u32 forward;	       /* 1: there are forward entries */
	__u64 forward_bits;    /* words == 1: the bits of entries that forward */
	__u64 uses[CTB_F_MAX]; /* words == 1: the bits of entries that look at the field */
	__u32 small;	       /* bit per enum ctb_field: its rows are in struct ctb_small */
	__u32 any_port;	       /* class of a port that is not known: its row has every entry */
	__u32 netdev_slots;    /* elements of map `netdevs` */
	__u32 flat4;	       /* 1: addr4_index has an element for each /16, in order */
	__u32 direct;	       /* 1: call the kfuncs of nf_untrack_bpf; 0: judge and count only */
	__u32 proto_classes;   /* not 0: by_dport and by_sport are in use, with words == 1 */
	__u32 first_in_bits; /* the lowest rank of the entries in the bitmaps; CTB_NO_ENTRY: none */
	__u32 vrf; /* 1: there are VRFs, by way of which packets pass OUTPUT twice */
};

/*
 * With words == 1, what a packet needs next to the tables of classes, as read-only data of the
 * program: its address is known at load, which saves each lookup a third of its time. Entries
 * stand where CTB_BIT_PLACE says of their bit.
 */
#define CTB_SMALL_ROWS 256
struct ctb_small {
	__u64 rows[CTB_F_MAX][CTB_SMALL_ROWS]; /* by class; of CTB_F_PROTO by protocol number */
	struct ctb_entry entries[64];
};

/*
 * A place of its own below 64 for each number with one bit set; BPF has no instruction for the
 * bit's number (De Bruijn).
 */
#define CTB_BIT_PLACE(bit) ((bit)*0x022fdd63cc95386dULL >> 58)

#endif
