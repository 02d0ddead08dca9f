/* SPDX-License-Identifier: GPL-2.0-only */
/* The nft half of a change of rules; for apply.c. */
#ifndef CTBYPASS_APPLY_NFT_H
#define CTBYPASS_APPLY_NFT_H

#include "daemon.h"

#define SETTLE_MS 1000 /* from a change to apply_settle() */

/*
 * The transaction for these rules, handed over as the prepared generation does. 0 or -errno. An
 * empty plan where there is to be no table and is none.
 */
int nft_half_prepare(struct daemon *d, const struct live *l, struct nft_plan *out, char **error);
/* Run it and remember what it left. */
int nft_half_run(struct daemon *d, struct nft_plan *plan, char **error);
/* The BPF swap failed: back to the old rules in nft too. 0, or -errno, logged: not done. */
int nft_half_put_back(struct daemon *d, bool had_table);
/* The change is in force: the table has no more work with what is sent, if it is not wanted. */
void nft_half_leave(struct daemon *d);
void nft_half_settle(struct daemon *d);
/* The same rules, for a changed host. 0 or -errno. */
int nft_half_refresh(struct daemon *d, char **error);

#endif
