/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets for tests, put together header by header. Each header names itself in the "next" field
 * of the one before; lengths are filled in by pkt_end. What an override says is left as it is,
 * so that any field can lie. Checksums are zero until pkt_ip_sum and pkt_l4_sum are called: most
 * of what is tested does not look at them.
 */
#ifndef CTBYPASS_TESTS_PACKETS_H
#define CTBYPASS_TESTS_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#define PKT_MAX	   3072 /* what bpf_prog_test_run takes in one page, with room to spare */
#define PKT_IP_MAX 4	/* IP headers inside each other */
#define PKT_AUTO   (-1)

struct pkt_ip {
	size_t off;
	bool v6, fixed_len;
	bool closed; /* its length is final: pkt_end leaves it */
};

struct packet {
	__u8 data[PKT_MAX];
	size_t len;
	bool overflow;	 /* something did not fit: the packet is of no use */
	bool other_host; /* its destination MAC is not the receiver's */
	bool layer3;	 /* starts with the IP header */
	__u16 protocol;	 /* layer3: skb->protocol, host order */
	size_t l3;	 /* where the first IP header starts */
	/* For the builder. */
	size_t next_off;	/* "next" field of the last header; 0 with next_size 0: none */
	unsigned int next_size; /* 1, 2, 0: nothing to patch */
	struct pkt_ip ip[PKT_IP_MAX];
	unsigned int n_ip;
	size_t udp_off;	     /* UDP header whose length is to be filled in; 0: none */
	unsigned int udp_ip; /* the IP header it belongs to */
};

/* The MAC address that the devices of the tests have, and that pkt_eth sends to. */
extern const __u8 pkt_mac[6];

void pkt_init(struct packet *p);
void pkt_eth(struct packet *p, bool other_host);
void pkt_bare(struct packet *p); /* layer 3 device: no link-layer header */
void pkt_vlan(struct packet *p, __u16 tpid, __u16 tci);
/* Say what comes next without adding it (ARP, GRE, a lie). */
void pkt_next(struct packet *p, unsigned int type);

/* Fields that can lie or are optional; PKT_AUTO (ip.len) and zero (rest) mean the honest value. */
struct pkt_ip4_args {
	__u8 src[4], dst[4];
	__u8 version, ihl; /* 0: honest */
	int total;	   /* PKT_AUTO: honest */
	__u16 frag;	   /* flags and offset, as in the header */
	__u8 options;	   /* bytes, a multiple of 4 */
	__u8 ttl;	   /* 0: 64 */
};
struct pkt_ip6_args {
	__u8 src[16], dst[16];
	__u8 version;
	int payload;
	__u8 ttl; /* 0: 64 */
};
void pkt_ip4(struct packet *p, const struct pkt_ip4_args *a);
void pkt_ip6(struct packet *p, const struct pkt_ip6_args *a);
/* hop-by-hop, routing, destination options, AH: hdrlen is the header's own length field. */
void pkt_ext(struct packet *p, unsigned int type, unsigned int hdrlen);
void pkt_frag6(struct packet *p, unsigned int offset, bool more); /* offset in 8-byte units */

void pkt_tcp(struct packet *p, __u16 sport, __u16 dport, unsigned int doff);
void pkt_udp(struct packet *p, __u16 sport, __u16 dport, int length); /* PKT_AUTO: honest */
void pkt_udplite(struct packet *p, __u16 sport, __u16 dport);
void pkt_sctp(struct packet *p, __u16 sport, __u16 dport);
void pkt_dccp(struct packet *p, __u16 sport, __u16 dport);
void pkt_icmp(struct packet *p, bool v6, __u8 type, __u8 code); /* 8 bytes */
void pkt_bytes(struct packet *p, size_t n);			/* n bytes of no meaning */

/* A router keeps this many bytes of the packet that is being quoted (after its lengths). */
void pkt_quote_cut(struct packet *p, size_t keep);
/* Fill in the lengths that are still open. Bytes added later are trailing padding. */
void pkt_end(struct packet *p);
void pkt_truncate(struct packet *p, size_t len);
/* Of the outermost IPv4 header, by what it says of itself. */
void pkt_ip_sum(struct packet *p);
/*
 * Of a TCP or UDP header right behind the outermost IP header. partial: only the pseudo header's,
 * as it is left for the hardware (CHECKSUM_PARTIAL).
 */
void pkt_l4_sum(struct packet *p, bool partial);
/* The one's complement sum, not yet complemented, of n bytes and what was summed before. */
__u16 pkt_sum(const __u8 *data, size_t n, __u32 before);

/*
 * The same in words, for tables. 0, or -EINVAL with a message on stderr. Words, separated by
 * blanks (arguments after the first colon):
 *
 *   eth | eth:other | eth:broadcast | eth:multicast | bare | vlan:VID | qinq:VID | type:0x0806 |
 * next:NUMBER ip4:SRC>DST[,ver=,ihl=,len=,off=,mf,df,opt=,ttl=]   ip6:SRC>DST[,ver=,len=,ttl=]
 *   hop:N | dst:N | rt:N | ah:N     N is the header's length field; "hop" is hop:0
 *   frag:OFFSET[,mf]
 *   tcp:S>D[,doff=] udp:S>D[,len=] udplite:S>D sctp:S>D dccp:S>D
 *   icmp:TYPE[,CODE] icmp6:TYPE[,CODE] gre esp proto:NUMBER data:N
 *   keep:N    of the quoted packet      end    lengths are final      trail:N    after them
 */
int pkt_recipe(const char *recipe, struct packet *p);

void pkt_hexdump(const struct packet *p, char *buf, size_t size);

#endif
