// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <nftables/libnftables.h>

#include "nft.h"

static void cleanup_nft(struct nft_ctx **ctx)
{
	if (*ctx)
		nft_ctx_free(*ctx);
}

/* libnftables has only words for what went wrong; the kernel's are strerror()'s. */
static int error_from_words(const char *words)
{
	static const int known[] = { EPERM, ENOENT, ENOMEM, ENOBUFS,	EEXIST, EBUSY,
				     EINTR, ENOSPC, EMLINK, EOPNOTSUPP, E2BIG,	EMFILE };

	for (size_t i = 0; words && i < ARRAY_SIZE(known); i++) {
		if (strstr(words, strerror(known[i])))
			return -known[i];
	}
	return -EINVAL;
}

int nft_run(const char *script, bool dry_run, char **error)
{
	_cleanup_(cleanup_nft) struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	const char *words;
	int err = 0;

	if (error)
		*error = NULL;
	if (!ctx || nft_ctx_buffer_error(ctx))
		return -ENOMEM;
	nft_ctx_set_dry_run(ctx, dry_run);
	if (nft_run_cmd_from_buffer(ctx, script)) {
		words = nft_ctx_get_error_buffer(ctx);
		err = error_from_words(words);
		if (error)
			*error = strdup(words && *words ? words : strerror(-err));
	}
	/* Large sets leave libnftables' many small pieces behind in the allocator. */
	malloc_trim(0);
	return err;
}

int nft_remove(char **error)
{
	/* Adding first makes deleting right whether or not it was there; one transaction. */
	return nft_run("add table inet " NFT_TABLE "\ndelete table inet " NFT_TABLE "\n", false,
		       error);
}
