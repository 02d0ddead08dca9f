// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kfuncs that let BPF exempt packets from connection tracking, as nft's `notrack` statement and
 * the CT target's --notrack do from inside netfilter.
 *
 * What is written is the skb's _nfct: no conntrack entry, IP_CT_UNTRACKED. That word belongs to
 * the struct sk_buff and not to the data it shares with its clones, UNTRACKED has no object that
 * would have to be counted, and it is written only over zero, so there is no reference to drop
 * either. Whoever owns the skb may write it as freely as skb->mark, and tc ingress, PREROUTING and
 * OUTPUT own theirs: taps have taken their clone by then, or share the skb with nobody that runs.
 */
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/sch_generic.h>

#include "compat.h"

#if !IS_ENABLED(CONFIG_NF_CONNTRACK) || !IS_ENABLED(CONFIG_NET_CLS_ACT)
#error "this kernel is built without connection tracking or without tc ingress"
#endif

/*
 * As nft_notrack_eval() and xt_ct_target() look at it: whatever is there stays. On loopback, for
 * one, a packet brings its entry along from OUTPUT.
 */
static int nf_untrack_skb(struct sk_buff *skb)
{
	enum ip_conntrack_info ctinfo;

	if (nf_ct_get(skb, &ctinfo))
		return -EBUSY;
	if (ctinfo == IP_CT_UNTRACKED)
		return -EALREADY;

	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
	return 0;
}

__bpf_kfunc_start_defs();

/**
 * bpf_skb_ct_set_untracked - exempt a packet that has arrived from connection tracking
 * @skb_ctx: context of a tc program at ingress (tcx or clsact)
 *
 * The packet will be ``ct state untracked`` in every netfilter chain that it comes to, until its
 * conntrack state is reset, which decapsulation and moving to another network namespace do.
 *
 * Fragments: an untracked packet is not reassembled ahead of PREROUTING. To make some fragments
 * of a datagram untracked and others not loses the datagram wherever conntrack is in use, so a
 * caller that judges by ports has to leave fragments alone and judge the datagram at PREROUTING.
 * Not checked here: a caller that judges by addresses makes all of them untracked, which is fine.
 *
 * Return:
 * * 0           - The packet is untracked now.
 * * -EALREADY   - It was untracked before.
 * * -EBUSY      - It has a conntrack entry, or a template, and keeps it.
 * * -EOPNOTSUPP - Not at tc ingress. At tc egress conntrack has been there already.
 */
__bpf_kfunc int bpf_skb_ct_set_untracked(struct __sk_buff *skb_ctx)
{
	struct sk_buff *skb = (struct sk_buff *)skb_ctx;

	if (!skb_at_tc_ingress(skb))
		return -EOPNOTSUPP;
	return nf_untrack_skb(skb);
}

#if IS_ENABLED(CONFIG_NETFILTER_BPF_LINK)
/**
 * bpf_nf_ct_set_untracked - exempt a packet from connection tracking, from inside netfilter
 * @nf_ctx: context of a netfilter program at PREROUTING or OUTPUT
 *
 * For a program with a priority between NF_IP_PRI_CONNTRACK_DEFRAG (-400), behind which datagrams
 * are whole, and NF_IP_PRI_CONNTRACK (-200). With a higher priority it comes too late, as
 * ``notrack`` in an nft chain does: packets that conntrack knows are -EBUSY, and those that it
 * found invalid become untracked.
 *
 * Return:
 * * 0           - The packet is untracked now.
 * * -EALREADY   - It was untracked before.
 * * -EBUSY      - It has a conntrack entry, or a template, and keeps it.
 * * -EOPNOTSUPP - Neither PREROUTING nor OUTPUT. Elsewhere conntrack has been there already.
 */
__bpf_kfunc int bpf_nf_ct_set_untracked(struct bpf_nf_ctx *nf_ctx)
{
	switch (nf_ctx->state->hook) {
	case NF_INET_PRE_ROUTING:
	case NF_INET_LOCAL_OUT:
		return nf_untrack_skb(nf_ctx->skb);
	default:
		return -EOPNOTSUPP;
	}
}
#endif

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(nf_untrack_tc_ids)
BTF_ID_FLAGS(func, bpf_skb_ct_set_untracked)
BTF_KFUNCS_END(nf_untrack_tc_ids)

static const struct btf_kfunc_id_set nf_untrack_tc_set = {
	.owner = THIS_MODULE,
	.set = &nf_untrack_tc_ids,
};

#if IS_ENABLED(CONFIG_NETFILTER_BPF_LINK)
BTF_KFUNCS_START(nf_untrack_nf_ids)
BTF_ID_FLAGS(func, bpf_nf_ct_set_untracked)
BTF_KFUNCS_END(nf_untrack_nf_ids)

static const struct btf_kfunc_id_set nf_untrack_nf_set = {
	.owner = THIS_MODULE,
	.set = &nf_untrack_nf_ids,
};
#endif

/* There is nothing to unregister: the sets go with the module's BTF. */
static int __init nf_untrack_init(void)
{
	int err;

	err = register_btf_kfunc_id_set(BPF_PROG_TYPE_SCHED_CLS, &nf_untrack_tc_set);
#if IS_ENABLED(CONFIG_NETFILTER_BPF_LINK)
	if (!err)
		err = register_btf_kfunc_id_set(BPF_PROG_TYPE_NETFILTER, &nf_untrack_nf_set);
#endif
	return err;
}
module_init(nf_untrack_init);

/* Lets it be unloaded. Programs that call it hold a reference to the module. */
static void __exit nf_untrack_exit(void)
{
}
module_exit(nf_untrack_exit);

MODULE_DESCRIPTION("BPF kfuncs that exempt packets from connection tracking");
MODULE_LICENSE("GPL");
