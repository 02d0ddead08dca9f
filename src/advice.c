// SPDX-License-Identifier: GPL-2.0-only
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
