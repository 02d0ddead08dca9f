// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls the kfuncs of kmod/ for UDP to port 8080, each twice for a packet, and counts what they
 * return. IPv4 without options only.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 8080

/* As the kernel has them, by BTF. */
struct sk_buff {
	unsigned char *head;
	__u16 network_header;
} __attribute__((preserve_access_index));
struct nf_hook_state;
struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

extern int bpf_skb_ct_set_untracked(struct __sk_buff *skb_ctx, __u32 flags) __ksym;
/* Weak: kernels without netfilter programs have it not, and libbpf minds externs of unused
 * programs. */
extern int bpf_nf_ct_set_untracked(struct bpf_nf_ctx *nf_ctx) __ksym __weak;

/* Key: -errno of the first call; 128 more for each further one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 384);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static void count(int err, __u32 call)
{
	__u32 key = (-err & 127) + 128 * call;
	__u64 *n = bpf_map_lookup_elem(&results, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static int wanted(const struct iphdr *ip, const struct udphdr *udp)
{
	return ip->version == 4 && ip->protocol == IPPROTO_UDP && udp->dest == bpf_htons(PORT);
}

SEC("tc")
int untrack_tc(struct __sk_buff *skb)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
	} h;

	if (!bpf_skb_load_bytes(skb, ETH_HLEN, &h, sizeof(h)) && wanted(&h.ip, &h.udp)) {
		count(bpf_skb_ct_set_untracked(skb, 0), 0);
		count(bpf_skb_ct_set_untracked(skb, 0), 1);
		count(bpf_skb_ct_set_untracked(skb, 2), 2);
	}
	return TC_ACT_UNSPEC;
}

/* The first fragments of such datagrams, IPv4 and IPv6. */
static int is_first(struct __sk_buff *skb)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
	} h4;
	struct {
		struct ipv6hdr ip;
		__u8 next, reserved;
		__be16 off;
		__be32 id;
		struct udphdr udp;
	} h6;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return !bpf_skb_load_bytes(skb, ETH_HLEN, &h4, sizeof(h4)) &&
		       wanted(&h4.ip, &h4.udp) && h4.ip.frag_off == bpf_htons(0x2000);
	return skb->protocol == bpf_htons(ETH_P_IPV6) &&
	       !bpf_skb_load_bytes(skb, ETH_HLEN, &h6, sizeof(h6)) &&
	       h6.ip.nexthdr == IPPROTO_FRAGMENT && h6.off == bpf_htons(1) &&
	       h6.next == IPPROTO_UDP && h6.udp.dest == bpf_htons(PORT);
}

SEC("tc")
int defer_tc(struct __sk_buff *skb)
{
	if (is_first(skb)) {
		count(bpf_skb_ct_set_untracked(skb, 1), 0);
		count(bpf_skb_ct_set_untracked(skb, 1), 1);
	}
	return TC_ACT_UNSPEC;
}

/* What not to do. */
SEC("tc")
int hasty_tc(struct __sk_buff *skb)
{
	if (is_first(skb))
		count(bpf_skb_ct_set_untracked(skb, 0), 0);
	return TC_ACT_UNSPEC;
}

/* libbpf 1.1 knows no such section: untrack.py says what type it is. */
SEC("netfilter")
int untrack_nf(struct bpf_nf_ctx *ctx)
{
	struct sk_buff *skb = ctx->skb;
	struct {
		struct iphdr ip;
		struct udphdr udp;
	} h;

	if (!bpf_probe_read_kernel(&h, sizeof(h), skb->head + skb->network_header) &&
	    wanted(&h.ip, &h.udp)) {
		count(bpf_nf_ct_set_untracked(ctx), 0);
		count(bpf_nf_ct_set_untracked(ctx), 1);
	}
	return 1; /* NF_ACCEPT */
}

char _license[] SEC("license") = "GPL";
