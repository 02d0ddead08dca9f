// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is attached at OUTPUT, once, and stays: it only calls the program of the rules in force. The
 * kernel cannot put another program behind a netfilter link, and two links, old and new, would
 * judge a packet by both rule sets for the moment that they are there together. To replace the one
 * element of an array is to swap all of the rules at once.
 */
#include <linux/bpf.h>
#include <linux/netfilter.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out_progs SEC(".maps");

/* Empty: packets are tracked. */
SEC("netfilter")
int ctb_out_entry(void *ctx)
{
	bpf_tail_call(ctx, &out_progs, 0);
	return NF_ACCEPT;
}

char LICENSE[] SEC("license") = "GPL";
