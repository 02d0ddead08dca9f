// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "advice.h"
#include "check_forward.h"
#include "forward_plan.h"
#include "json_text.h"
#include "missed_rules.h"

/* Unless all are wanted. */
#define CHAINS_SHOWN 40
#define RULES_SHOWN  20 /* of each chain */

/* --- JSON --- */

static json_t *list_skips(void)
{
	static const char *const words[] = {
		"prerouting",
		"forward",
		"postrouting",
		"nat",
		"mangle",
		"netdev ingress",
		"netdev egress",
		"ingress qdisc",
		"later tc programs",
		"ip rule fwmark",
		"accounting",
		"packet capture (XDP)",
		"egress qdisc (XDP)",
	};
	json_t *out = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		json_array_append_new(out, json_string(words[i]));
	return out;
}

static json_t *list_missed(const struct missed_rules *m)
{
	json_t *out = json_array(), *rules = NULL;

	for (size_t i = 0; i < m->n; i++) {
		const struct missed_rule *r = &m->v[i];

		if (!i || r->chain != r[-1].chain) {
			rules = json_array();
			json_array_append_new(out,
					      json_pack("{s:o,s:o}", "chain",
							json_any_text(r->chain), "rules", rules));
		}
		json_array_append_new(rules,
				      json_pack("{s:i,s:o,s:b}", "handle", r->handle, "text",
						json_any_text(r->text), "acts", (int)r->acts));
	}
	return out;
}

static const char *place(bool able, bool xdp)
{
	return xdp ? "xdp" : able ? "tc" : "kernel";
}

static const char *place_in(const struct forward_role *r)
{
	/* Frames of a VLAN device are taken on the device below. */
	bool xdp = r->xdp || r->netdev.flags & CTB_ND_XDP_IN;

	return r->concerned ? place(r->in, xdp) : "-";
}

static json_t *list_roles(const struct host *host, const struct forward_plan *plan)
{
	json_t *out = json_array();

	for (size_t i = 0; i < plan->n_roles; i++) {
		const struct forward_role *r = &plan->roles[i];
		const struct host_if *h = host_find(host, r->ifindex);

		if (!h || !(r->concerned || r->out))
			continue;
		json_array_append_new(out, json_pack("{s:o,s:s,s:o,s:s,s:o}", "name",
						     json_any_text(h->name), "in", place_in(r),
						     "why_in", json_any_text(r->why_in), "out",
						     place(r->out, r->xdp_out), "why_out",
						     json_any_text(r->why_out)));
	}
	return out;
}

/* --- which of netfilter's rules can concern us --- */

static bool addr_has_family(const struct addr_match *m, bool v6)
{
	if (!m || !m->n || m->negate)
		return true;
	for (size_t i = 0; i < m->n; i++) {
		const struct addr_item *a = &m->items[i];

		if (a->kind == ADDR_LOCAL || a->kind == (v6 ? ADDR_PREFIX6 : ADDR_PREFIX4) ||
		    (a->kind == ADDR_SET && (v6 ? a->set->addrs.n6 : a->set->addrs.n4)))
			return true;
	}
	return false;
}

static bool forwards_family(const struct entries *e, bool v6)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct entry *x = &e->e[i];

		if (x->action == CTB_FORWARD && addr_has_family(x->src, v6) &&
		    addr_has_family(x->dst, v6))
			return true;
	}
	return false;
}

/* Rules of a family that no forward rule speaks of are not missed. */
static void drop_family(struct missed_rules *m, const char *family)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++) {
		if (strncmp(m->v[i].chain, family, strlen(family)))
			m->v[n++] = m->v[i];
		else
			free(m->v[i].text);
	}
	m->n = n;
}

/* --- warnings --- */

static _printf_(3, 4) void warnf(void (*warn)(void *arg, const char *text), void *arg,
				 const char *fmt, ...)
{
	_free_ char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	if (s)
		warn(arg, s);
}

/* Of "ip filter FORWARD (forward, priority 0)" what is in front of the bracket. */
static int name_len(const char *chain)
{
	const char *end = strstr(chain, " (");

	return end ? (int)(end - chain) : (int)strlen(chain);
}

static void warn_missed(const struct missed_rules *m, void (*warn)(void *arg, const char *text),
			void *arg)
{
	const char *first = NULL, *first_nat = NULL, *closed = NULL;
	size_t acts = 0, nat = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct missed_rule *r = &m->v[i];

		if (!r->acts)
			continue;
		if (!r->handle)
			closed = closed ? closed : r->chain;
		else if (r->nat)
			first_nat = nat++ ? first_nat : r->chain;
		else
			first = acts++ ? first : r->chain;
	}
	if (closed)
		warnf(warn, arg,
		      "what `forward` rules fit passes without asking chain %.*s, whose policy is "
		      "not accept",
		      name_len(closed), closed);
	if (acts)
		warnf(warn, arg,
		      "what `forward` rules fit misses %zu netfilter rule%s that would drop, "
		      "change, mark or log packets, the first in chain %.*s",
		      acts, acts == 1 ? "" : "s", name_len(first), first);
	if (nat)
		warnf(warn, arg,
		      "what `forward` rules fit is not translated: it misses %zu NAT rule%s, the "
		      "first in chain %.*s",
		      nat, nat == 1 ? "" : "s", name_len(first_nat), first_nat);
	if (m->legacy)
		warnf(warn, arg,
		      "iptables-legacy is in use (tables %s) and nft cannot list its rules: what "
		      "`forward` rules fit misses them, see `iptables-legacy-save`",
		      m->legacy);
}

/* --- all of it --- */

int check_forward(const struct live *l, const struct host *host,
		  void (*warn)(void *arg, const char *text), void *arg, json_t **out, char **error)
{
	struct forward_plan plan = {};
	struct missed_rules m = {};
	struct routing routing = {};
	int err;

	*out = NULL;
	if (!entries_forward(&l->entries))
		return 0;
	err = missed_rules_read(&m, error);
	if (err)
		return err;
	if (!forwards_family(&l->entries, false))
		drop_family(&m, "ip ");
	if (!forwards_family(&l->entries, true))
		drop_family(&m, "ip6 ");
	warn_missed(&m, warn, arg);
	err = routing_read(host, &routing);
	if (!err)
		err = forward_plan_make(&l->entries, host, &routing, &l->rs->interfaces, false,
					&plan);
	if (!err) {
		advise_forward(l->rs, &routing, warn, arg);
		*out = json_pack("{s:o,s:o,s:s?,s:o}", "skips", list_skips(), "missed",
				 list_missed(&m), "legacy", m.legacy, "interfaces",
				 list_roles(host, &plan));
		err = *out ? 0 : -ENOMEM;
	}
	forward_plan_free(&plan);
	routing_free(&routing);
	missed_rules_free(&m);
	return err;
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void print_missed(const json_t *chains, bool all)
{
	json_t *c, *r;
	size_t i, n;

	printf(json_array_size(chains) ? "  netfilter rules that it misses\n"
				       : "  netfilter rules that it misses: none\n");
	json_array_foreach (chains, i, c) {
		const json_t *rules = json_object_get(c, "rules");
		size_t size = json_array_size(rules);

		if (!all && i == CHAINS_SHOWN && json_array_size(chains) > CHAINS_SHOWN + 1) {
			printf("    ... and %zu more chains; -v lists all\n",
			       json_array_size(chains) - CHAINS_SHOWN);
			break;
		}
		printf("    chain %s\n", str(c, "chain"));
		json_array_foreach (rules, n, r) {
			if (!all && n == RULES_SHOWN && size > RULES_SHOWN + 1) {
				printf("        ... and %zu more; -v lists all\n",
				       size - RULES_SHOWN);
				break;
			}
			printf("        %s\n", str(r, "text"));
		}
	}
}

void check_forward_print(const json_t *forward, bool all)
{
	json_t *d;
	size_t i;

	if (!forward)
		return;
	printf("forward: what these rules fit is routed, and nothing else. It skips\n"
	       "    netfilter from PREROUTING to POSTROUTING: filters, NAT, mangle, marks, logs, "
	       "accounting;\n"
	       "    netdev chains, ingress qdiscs, tc programs behind ctbypass; `ip rule` fwmark;\n"
	       "    and where it goes by XDP, packet captures and the egress device's qdisc\n");
	print_missed(json_object_get(forward, "missed"), all);
	if (json_is_string(json_object_get(forward, "legacy")))
		printf("    and those of iptables-legacy in tables %s\n", str(forward, "legacy"));
	printf("  interface       in      out     why not better\n");
	json_array_foreach (json_object_get(forward, "interfaces"), i, d) {
		const char *in = str(d, "why_in"), *why = str(d, "why_out");
		bool both = *in && *why && strcmp(in, why);

		if (!*in && !*why)
			printf("  %-16s%-8s%s\n", str(d, "name"), str(d, "in"), str(d, "out"));
		else
			printf("  %-16s%-8s%-8s%s%s%s\n", str(d, "name"), str(d, "in"),
			       str(d, "out"), in, both ? "; " : "", both || !*in ? why : "");
	}
}
