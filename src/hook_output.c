// SPDX-License-Identifier: GPL-2.0-only
/*
 * OUTPUT in direct mode: a program at netfilter's hook, one link for each family, pinned as
 * links/out_4 and out_6.
 *
 * Netfilter links have no update, so the new generation's are attached beside the old one's, which
 * go when tc is swapped. A packet meets the hooks that there are when it comes to the first of
 * them: the old program, the new one, or both. Both make it untracked if either would, so its fate
 * is what one of the two rule sets says; and it is counted by the one that made it so. Only what
 * both leave tracked by a rule (`track`, failsafe) is counted twice, in that millisecond.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "attach.h"
#include "datapath_load.h"
#include "datapath_priv.h"
#include "output.skel.h"
#include "pins.h"

static const struct {
	const char *pin;
	int family;
} links[OUT_LINKS] = {
	{ OUT_LINK "4", AF_INET },
	{ OUT_LINK "6", AF_INET6 },
};

static void let_go(int fds[OUT_LINKS])
{
	for (size_t i = 0; i < OUT_LINKS; i++) {
		if (fds[i] >= 0) {
			bpf_link_detach(fds[i]); /* at once, whoever else holds it */
			close(fds[i]);
		}
		fds[i] = -1;
	}
}

void output_init(struct output_hook *h)
{
	for (size_t i = 0; i < OUT_LINKS; i++)
		h->now[i] = h->next[i] = -1;
}

void output_adopt(struct datapath *dp)
{
	for (size_t i = 0; i < OUT_LINKS; i++)
		dp->output.now[i] = pins_get(dp->pindir, PIN_LINKS, links[i].pin);
}

void output_close(struct output_hook *h)
{
	for (size_t i = 0; i < OUT_LINKS; i++) {
		cleanup_close(&h->now[i]);
		cleanup_close(&h->next[i]);
	}
	output_init(h);
}

void output_detach(struct datapath *dp)
{
	for (size_t i = 0; i < OUT_LINKS; i++)
		pins_remove(dp->pindir, PIN_LINKS, links[i].pin);
	let_go(dp->output.now);
}

int output_attach_next(struct datapath *dp, const struct generation *g)
{
	int *next = dp->output.next, err = 0;

	for (size_t i = 0; !err && g->out && i < OUT_LINKS; i++) {
		next[i] = attach_output(links[i].family, bpf_program__fd(g->out->progs.ctb_output));
		err = next[i] < 0 ? next[i] : 0;
	}
	if (err)
		let_go(next);
	return err;
}

void output_drop_next(struct datapath *dp)
{
	let_go(dp->output.next);
}

int output_take_next(struct datapath *dp)
{
	struct output_hook *h = &dp->output;
	int err = 0;

	if (h->next[0] < 0) {
		output_detach(dp);
		return 0;
	}
	for (size_t i = 0; !err && i < OUT_LINKS; i++)
		err = pins_put(dp->pindir, PIN_LINKS, links[i].pin, h->next[i]);
	let_go(h->now);
	memcpy(h->now, h->next, sizeof(h->now));
	for (size_t i = 0; i < OUT_LINKS; i++)
		h->next[i] = -1;
	return err;
}
