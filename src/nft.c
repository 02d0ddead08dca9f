// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
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

/* libnftables ends the process when there is no nfnetlink to talk to: find out before it does. */
static int have_nfnetlink(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int context_open(struct nft_ctx **out, char **error)
{
	_cleanup_(cleanup_nft) struct nft_ctx *ctx = NULL;
	int err = have_nfnetlink();

	if (error)
		*error = err ? strdup("this kernel has no nfnetlink, and so no nftables") : NULL;
	if (err)
		return err;
	ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!ctx || nft_ctx_buffer_error(ctx))
		return -ENOMEM;
	*out = TAKE_PTR(ctx);
	return 0;
}

static int context_run(struct nft_ctx *ctx, const char *script, char **error)
{
	const char *words;
	int err = 0;

	if (nft_run_cmd_from_buffer(ctx, script)) {
		words = nft_ctx_get_error_buffer(ctx);
		err = error_from_words(words);
		if (error)
			*error = strdup(words && *words ? words : strerror(-err));
	}
	return err;
}

int nft_run(const char *script, bool dry_run, char **error)
{
	_cleanup_(cleanup_nft) struct nft_ctx *ctx = NULL;
	int err = context_open(&ctx, error);

	if (err)
		return err;
	nft_ctx_set_dry_run(ctx, dry_run);
	err = context_run(ctx, script, error);
	/* Large sets leave libnftables' many small pieces behind in the allocator. */
	malloc_trim(0);
	return err;
}

int nft_list(const char *command, bool elements, char **out, char **error)
{
	_cleanup_(cleanup_nft) struct nft_ctx *ctx = NULL;
	unsigned int flags = NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_HANDLE |
			     NFT_CTX_OUTPUT_NUMERIC_PRIO;
	const char *text;
	int err = context_open(&ctx, error);

	if (err)
		return err;
	if (nft_ctx_buffer_output(ctx))
		return -ENOMEM;
	nft_ctx_output_set_flags(ctx, elements ? flags : flags | NFT_CTX_OUTPUT_TERSE);
	err = context_run(ctx, command, error);
	if (!err) {
		text = nft_ctx_get_output_buffer(ctx);
		*out = strdup(text ? text : "");
		err = *out ? 0 : -ENOMEM;
	}
	malloc_trim(0);
	return err;
}

int nft_remove(char **error)
{
	/* Adding first makes deleting right whether or not it was there; one transaction. */
	return nft_run("add table inet " NFT_TABLE "\ndelete table inet " NFT_TABLE "\n", false,
		       error);
}
