// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <linux/netfilter.h>

#include "nft.h"
#include "nft_tree.h"

/* So that who lists the table sees why nothing happens in it. */
#define WHY " comment \"silenced by ctbypass: everything is tracked\"\n"

static void free_bases(struct nft_bases *b)
{
	free(b->c);
}

/* Names that nft made can be said to nft; by netlink anything can be a name. */
static bool plain(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static int write_script(const struct nft_bases *b, struct strbuf *s)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct nft_base *c = &b->c[i];

		if (!plain(c->name))
			return -EINVAL;
		strbuf_addf(s, "flush chain inet " NFT_TABLE " %s\n", c->name);
		if (c->hook == NF_INET_PRE_ROUTING && b->mark)
			strbuf_addf(s,
				    "add rule inet " NFT_TABLE " %s meta mark & 0x%08x != 0 "
				    "meta mark set meta mark & 0x%08x" WHY,
				    c->name, b->mark, ~b->mark);
		else
			strbuf_addf(s, "add rule inet " NFT_TABLE " %s accept" WHY, c->name);
	}
	return s->err;
}

int nft_silence(char **error)
{
	_cleanup_(free_bases) struct nft_bases b = {};
	_strbuf_ struct strbuf s = {};
	int err = nft_there();

	if (!err)
		return 0;
	err = nft_read_bases(&b);
	if (err)
		return error_set(error, err, "reading table inet " NFT_TABLE ": %s",
				 strerror(-err));
	if (!b.n)
		return 0;
	err = write_script(&b, &s);
	if (err == -EINVAL) /* not by us */
		return nft_remove(error);
	return err ? err : nft_run(s.s, false, error);
}
