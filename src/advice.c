// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "advice.h"
#include "datapath.h"

static bool bypasses_both_ways(const struct ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct rule *r = &rs->rules[i];

		if (r->action != CTB_TRACK && !r->oneway && !r->iif.n)
			return true;
	}
	return false;
}

/*
 * br_netfilter runs PREROUTING, and with it conntrack, on a bridge's port, before the frame comes
 * to the bridge, where the program is (br_nf_pre_routing, net/bridge/br_netfilter_hooks.c). The
 * name of the sysctl that says so, or NULL. Both belong to the network namespace.
 */
static const char *bridge_netfilter(void)
{
	static const char *const names[] = { "bridge-nf-call-iptables",
					     "bridge-nf-call-ip6tables" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_free_ char *value = NULL;
		char path[64];
		size_t len;

		snprintf(path, sizeof(path), "/proc/sys/net/bridge/%s", names[i]);
		if (!read_file(path, 16, &value, &len) && len && value[0] != '0')
			return names[i];
	}
	return NULL;
}

void advise_bridges(const struct ruleset *rs, const struct host *host,
		    void (*say)(void *arg, const char *text), void *arg)
{
	const char *sysctl = bypasses_both_ways(rs) ? bridge_netfilter() : NULL;
	char why[160], text[256];

	for (size_t i = 0; sysctl && i < host->n_ifs; i++) {
		const struct host_if *h = &host->ifs[i];

		if (!(h->flags & IFF_UP) || strcmp(h->kind, "bridge") ||
		    !datapath_wants(h, host, &rs->interfaces, why, sizeof(why)))
			continue;
		snprintf(
			text, sizeof(text),
			"sysctl net.bridge.%s lets conntrack see packets on the ports of %s before "
			"they are judged: what arrives there is tracked and what goes out is not; "
			"set it to 0",
			sysctl, h->name);
		say(arg, text);
	}
}

void advise_interfaces(const struct ruleset *rs, const struct host *host,
		       void (*say)(void *arg, const char *text), void *arg)
{
	static const struct name_list all = {};
	char why[160], text[256];

	if (!rs->interfaces.n || !bypasses_both_ways(rs))
		return;
	for (size_t i = 0; i < host->n_ifs; i++) {
		const struct host_if *h = &host->ifs[i];
		const struct host_if *master = h->master ? host_find(host, h->master) : NULL;

		if (!(h->flags & IFF_UP) || name_list_has(&rs->interfaces, h->name) ||
		    (master && name_list_has(&rs->interfaces, master->name)) ||
		    !datapath_wants(h, host, &all, why, sizeof(why)))
			continue;
		snprintf(text, sizeof(text),
			 "%s is named by no interface statement: of flows that come in there, what "
			 "arrives is tracked and what goes out is not",
			 h->name);
		say(arg, text);
	}
}

static const struct entry *too_large(const struct entries *e)
{
	for (size_t i = 0; i < e->n; i++) {
		if (e->e[i].too_large_for_nft)
			return &e->e[i];
	}
	return NULL;
}

void advise_proxies(const struct entries *e, const struct host *host,
		    void (*say)(void *arg, const char *text), void *arg)
{
	const struct entry *large = too_large(e);
	unsigned int table;
	char text[320];

	if (!large || host_proxy_table(host, &table) != 1)
		return;
	snprintf(text, sizeof(text),
		 "table %u has routes of type local, as a transparent proxy's: nft, which has not "
		 "the sets of rule %u, tracks what the proxy sends in the name of others, while "
		 "what it receives is untracked; put a `track` rule for that traffic in front",
		 table, large->handle);
	say(arg, text);
}

static bool has_forward(const struct ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++) {
		if (rs->rules[i].action == CTB_FORWARD)
			return true;
	}
	return false;
}

static void advise_multipath(bool multipath, int policy, const char *sysctl,
			     void (*say)(void *arg, const char *text), void *arg)
{
	char text[256];

	/* 2 looks into tunnels and 3 at fields of choice; bpf_fib_lookup() has no packet for that.
	 */
	if (!multipath || policy < 2)
		return;
	snprintf(text, sizeof(text),
		 "sysctl %s is %d: what `forward` rules fit may take another of several equal-cost "
		 "routes than the same flow takes through the kernel",
		 sysctl, policy);
	say(arg, text);
}

void advise_forward(const struct ruleset *rs, const struct routing *routing,
		    void (*say)(void *arg, const char *text), void *arg)
{
	if (!has_forward(rs))
		return;
	if (routing->xfrm)
		say(arg, "there are IPsec policies, which forwarding would pass by: everything "
			 "that `forward` rules fit is left to the kernel (xfrm), untracked");
	if (routing->mark_rules)
		say(arg, "`ip rule` has rules with fwmark: a mark that is set in PREROUTING does "
			 "not steer what `forward` rules fit");
	advise_multipath(routing->multipath4, routing->hash_policy4,
			 "net.ipv4.fib_multipath_hash_policy", say, arg);
	advise_multipath(routing->multipath6, routing->hash_policy6,
			 "net.ipv6.fib_multipath_hash_policy", say, arg);
}
