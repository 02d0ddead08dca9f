// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kfuncs that let BPF exempt packets from connection tracking, as nft's `notrack` statement and
 * the CT target's --notrack do from inside netfilter.
 *
 * What is written is the skb's _nfct: no conntrack entry, IP_CT_UNTRACKED. That word belongs to
 * the struct sk_buff and not to the data it shares with its clones, UNTRACKED has no object that
 * would have to be counted, and it is written only where there is no entry, so there is no
 * reference to drop either. Whoever owns the skb may write it as freely as skb->mark, and tc
 * ingress, PREROUTING and OUTPUT own theirs: taps have taken their clone by then, or share the skb
 * with nobody that runs.
 */
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <linux/sysctl.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netns/generic.h>
#include <net/sch_generic.h>

#include "compat.h"

#if !IS_ENABLED(CONFIG_NF_CONNTRACK) || !IS_ENABLED(CONFIG_NET_CLS_ACT)
#error "this kernel is built without connection tracking or without tc ingress"
#endif

/* Flags of bpf_skb_ct_set_untracked(). */
enum nf_untrack_flags {
	NF_UNTRACK_DEFER = 1 << 0,
};

/*
 * What a packet carries to PREROUTING that is to be untracked there: no entry, and a ctinfo that
 * means nothing without one. Defragmentation lets go past it what has an entry or is untracked, so
 * this is put together as if nothing were there, and the datagram gets the word of the fragment at
 * offset 0. Whoever else looks sees a packet without entry.
 */
#define NF_UNTRACK_DEFERRED IP_CT_NEW

struct nf_untrack_net {
	struct net *net;
	struct ctl_table_header *header;
	struct ctl_table table[2]; /* kernels before 6.11 want an empty one behind the last */
	struct mutex lock;	   /* of writers of defer */
	int defer;		   /* hooks are registered */
};

static unsigned int nf_untrack_net_id;

/*
 * As nft_notrack_eval() and xt_ct_target() look at it: whatever is there stays. On loopback, for
 * one, a packet brings its entry along from OUTPUT.
 */
static int nf_untrack_skb(struct sk_buff *skb, enum ip_conntrack_info as)
{
	enum ip_conntrack_info ctinfo;

	if (nf_ct_get(skb, &ctinfo))
		return -EBUSY;
	if (ctinfo == IP_CT_UNTRACKED || ctinfo == as)
		return -EALREADY;

	nf_ct_set(skb, NULL, as);
	return 0;
}

__bpf_kfunc_start_defs();

/**
 * bpf_skb_ct_set_untracked - exempt a packet that has arrived from connection tracking
 * @skb_ctx: context of a tc program at ingress (tcx or clsact)
 * @flags: 0, or NF_UNTRACK_DEFER (1)
 *
 * The packet will be ``ct state untracked`` in every netfilter chain that it comes to, until its
 * conntrack state is reset, which decapsulation and moving to another network namespace do.
 *
 * Fragments: an untracked packet is not reassembled ahead of PREROUTING. To make some fragments
 * of a datagram untracked and others not loses the datagram wherever conntrack is in use. A caller
 * that judges by ports, which only the first fragment has, therefore gives NF_UNTRACK_DEFER for it
 * and leaves the others alone: the datagram becomes untracked at PREROUTING, when it is whole. That
 * needs a hook there, which net.netfilter.nf_untrack_defer = 1 puts into a network namespace. A
 * caller that judges by addresses makes all fragments untracked and needs none of this. It is not
 * checked here which of the two the caller is.
 *
 * Return:
 * * 0           - The packet is untracked now.
 * * -EALREADY   - It was untracked before.
 * * -EBUSY      - It has a conntrack entry, or a template, and keeps it.
 * * -EOPNOTSUPP - Not at tc ingress. At tc egress conntrack has been there already.
 * * -ENOENT     - NF_UNTRACK_DEFER, but net.netfilter.nf_untrack_defer is 0.
 * * -EINVAL     - Other flags.
 */
__bpf_kfunc int bpf_skb_ct_set_untracked(struct __sk_buff *skb_ctx, u32 flags)
{
	struct sk_buff *skb = (struct sk_buff *)skb_ctx;
	const struct nf_untrack_net *un;

	if (!skb_at_tc_ingress(skb))
		return -EOPNOTSUPP;
	if (likely(!flags))
		return nf_untrack_skb(skb, IP_CT_UNTRACKED);
	if (flags != NF_UNTRACK_DEFER)
		return -EINVAL;
	un = net_generic(dev_net(skb->dev), nf_untrack_net_id);
	if (!READ_ONCE(un->defer))
		return -ENOENT;
	return nf_untrack_skb(skb, NF_UNTRACK_DEFERRED);
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
		return nf_untrack_skb(nf_ctx->skb, IP_CT_UNTRACKED);
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

/* --- what was deferred --- */

static unsigned int nf_untrack_deferred(void *priv, struct sk_buff *skb,
					const struct nf_hook_state *state)
{
	if (unlikely(skb->_nfct == NF_UNTRACK_DEFERRED))
		nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
	return NF_ACCEPT;
}

static const struct nf_hook_ops nf_untrack_ops[] = {
	{
		.hook = nf_untrack_deferred,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_CONNTRACK_DEFRAG + 1,
	},
	{
		.hook = nf_untrack_deferred,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP6_PRI_CONNTRACK_DEFRAG + 1,
	},
};

/* The hook is there before the first packet is deferred, and until after the last. */
static int nf_untrack_set_defer(struct nf_untrack_net *un, int on)
{
	int err;

	if (on == un->defer)
		return 0;
	if (on) {
		err = nf_register_net_hooks(un->net, nf_untrack_ops, ARRAY_SIZE(nf_untrack_ops));
		if (err)
			return err;
		WRITE_ONCE(un->defer, 1);
	} else {
		WRITE_ONCE(un->defer, 0);
		/* Programs at tc, and packets on their way from there, are in RCU sections. */
		synchronize_net();
		nf_unregister_net_hooks(un->net, nf_untrack_ops, ARRAY_SIZE(nf_untrack_ops));
	}
	return 0;
}

static int nf_untrack_sysctl(nf_untrack_ctl_table *table, int write, void *buffer, size_t *lenp,
			     loff_t *ppos)
{
	struct nf_untrack_net *un = table->data;
	int on, err;
	struct ctl_table tmp = {
		.data = &on,
		.maxlen = sizeof(on),
		.extra1 = SYSCTL_ZERO,
		.extra2 = SYSCTL_ONE,
	};

	mutex_lock(&un->lock);
	on = un->defer;
	err = proc_dointvec_minmax(&tmp, write, buffer, lenp, ppos);
	if (!err && write)
		err = nf_untrack_set_defer(un, on);
	mutex_unlock(&un->lock);
	return err;
}

static int __net_init nf_untrack_net_init(struct net *net)
{
	struct nf_untrack_net *un = net_generic(net, nf_untrack_net_id);

	un->net = net;
	mutex_init(&un->lock);
	un->table[0] = (struct ctl_table){
		.procname = "nf_untrack_defer",
		.data = un,
		.maxlen = sizeof(un->defer),
		.mode = 0644,
		.proc_handler = nf_untrack_sysctl,
	};
	un->header = nf_untrack_register_sysctl(net, "net/netfilter", un->table);
	return un->header ? 0 : -ENOMEM;
}

static void __net_exit nf_untrack_net_exit(struct net *net)
{
	struct nf_untrack_net *un = net_generic(net, nf_untrack_net_id);

	unregister_net_sysctl_table(un->header);
	if (un->defer)
		nf_unregister_net_hooks(net, nf_untrack_ops, ARRAY_SIZE(nf_untrack_ops));
}

static struct pernet_operations nf_untrack_net_ops = {
	.init = nf_untrack_net_init,
	.exit = nf_untrack_net_exit,
	.id = &nf_untrack_net_id,
	.size = sizeof(struct nf_untrack_net),
};

/* --- the module --- */

/* The sets need not be unregistered: they go with the module's BTF. */
static int __init nf_untrack_init(void)
{
	int err;

	err = register_pernet_subsys(&nf_untrack_net_ops);
	if (err)
		return err;
	err = register_btf_kfunc_id_set(BPF_PROG_TYPE_SCHED_CLS, &nf_untrack_tc_set);
#if IS_ENABLED(CONFIG_NETFILTER_BPF_LINK)
	if (!err)
		err = register_btf_kfunc_id_set(BPF_PROG_TYPE_NETFILTER, &nf_untrack_nf_set);
#endif
	if (err)
		unregister_pernet_subsys(&nf_untrack_net_ops);
	return err;
}
module_init(nf_untrack_init);

/* Programs that call the kfuncs hold a reference to the module: there are none. */
static void __exit nf_untrack_exit(void)
{
	unregister_pernet_subsys(&nf_untrack_net_ops);
}
module_exit(nf_untrack_exit);

MODULE_DESCRIPTION("BPF kfuncs that exempt packets from connection tracking");
MODULE_LICENSE("GPL");
