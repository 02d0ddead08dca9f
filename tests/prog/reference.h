/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ctbypass must say of a packet, worked out the obvious way: a parser that walks the bytes
 * and a loop over the rules. Written from the design alone, sharing no code with expand.c,
 * compile.c or bpf/, so that a mistake there shows as a difference.
 */
#ifndef CTBYPASS_TESTS_REFERENCE_H
#define CTBYPASS_TESTS_REFERENCE_H

#include "rules.h"

/* What the receiving host is: its `local` prefixes and its VLAN devices that judge for themselves.
 */
struct ref_host {
	const struct prefix_list *local;
	const struct ctb_vlan_key *vlans;
	size_t n_vlans;
};

/* A packet as tc ingress gets it, or OUTPUT. */
struct ref_frame {
	const __u8 *data; /* from the Ethernet header on; layer3: from the IP header on */
	size_t len;
	bool layer3;	 /* device without link-layer header */
	__u16 protocol;	 /* layer3: skb->protocol, host order; else not looked at */
	bool other_host; /* skb->pkt_type is PACKET_OTHERHOST */
	bool tagged;	 /* a VLAN tag in the skb's metadata, outermost */
	__u16 tag_vid;
	bool gso;    /* several packets that GRO made one */
	bool output; /* layer3: this host sends it, by the device named */
	__u32 ifindex;
	const char *ifname;
};

struct ref_addr {
	int family; /* AF_INET, AF_INET6 */
	__u8 bytes[16];
};

/* The packet, or the one an ICMP error quotes, as far as rules look at it. */
struct ref_packet {
	bool quoted;
	__u8 proto;
	struct ref_addr src, dst;
	bool has_ports;
	__u16 sport, dport;
};

struct ref_verdict {
	bool judged;
	enum ctb_reason reason; /* when not judged */
	/* when judged: */
	__u32 handle; /* 0: failsafe */
	enum ctb_dir dir;
	enum ctb_action action;
	bool local; /* this host is its source or destination (the quoted packet's, of errors) */
	/* whether judged or not: */
	bool fragment; /* the first one, though what it holds may not make sense */
	/* The IP header was good, so that its length is what is to be counted. */
	bool has_bytes;
	__u64 bytes;
};

/* 0, or why there is nothing to judge (never CTB_R_NO_MATCH) in *reason: -EINVAL. */
int ref_parse(const struct ref_host *host, const struct ref_frame *frame, struct ref_packet *out,
	      enum ctb_reason *reason, struct ref_verdict *bytes);

/* The verdict of a whole rule set. */
struct ref_verdict ref_judge(const struct ruleset *rs, const struct ref_host *host,
			     const struct ref_frame *frame);

/* "rule 3 original notrack", "failsafe reply track", "no-match" ... into buf. */
const char *ref_verdict_text(const struct ref_verdict *v, char *buf, size_t size);

/*
 * The same of the program at tc ingress, which judges fragments apart where a `forward` rule is
 * about: all of a datagram have to go one way, so rules are asked without ports, and what an ICMP
 * error quotes does not count. A `forward` rule that looks at no port and comes before all that
 * may fit has them all, and *whole is set; else it is as above.
 */
struct ref_verdict ref_judge_at_tc(const struct ruleset *rs, const struct ref_host *host,
				   const struct ref_frame *frame, bool *whole);

/* Why a packet under a `forward` rule is left to the kernel where no device is known. */
enum ctb_fallback ref_fallback(const struct ref_verdict *v, bool whole);

extern const char *const ref_reason_names[CTB_R_MAX];
extern const char *const ref_dir_names[CTB_DIR_MAX];
extern const char *const ref_action_names[CTB_ACTION_MAX];
extern const char *const ref_outcome_names[CTB_OUTCOME_MAX];
extern const char *const ref_fallback_names[CTB_FB_MAX];

#endif
