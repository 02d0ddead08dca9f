// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>

#include "nft.h"
#include "output_counts.h"

/* A rule's handle to its slot, to find where nft's counters belong. */
struct by_handle {
	__u32 handle, slot;
};

static int cmp_handle(const void *a, const void *b)
{
	__u32 x = ((const struct by_handle *)a)->handle, y = ((const struct by_handle *)b)->handle;

	return x < y ? -1 : x > y;
}

int output_counts_nft(const struct ruleset *rs, struct ctb_output_counters *out)
{
	_free_ struct by_handle *index = calloc(rs->n_rules + 1, sizeof(*index));
	_free_ struct nft_counter *counters = NULL;
	size_t n;
	int err;

	if (!index)
		return -ENOMEM;
	err = nft_counters(&counters, &n);
	if (err)
		return err;
	for (size_t i = 0; i < rs->n_rules; i++)
		index[i] = (struct by_handle){ rs->rules[i].handle, rs->rules[i].slot };
	index[rs->n_rules] = (struct by_handle){ 0, CTB_SLOT_FAILSAFE };
	qsort(index, rs->n_rules + 1, sizeof(*index), cmp_handle);
	for (size_t i = 0; i < n; i++) {
		struct by_handle key = { .handle = counters[i].handle };
		const struct by_handle *at = bsearch(&key, index, rs->n_rules + 1, sizeof(*index),
						     cmp_handle);

		if (!at || counters[i].dir >= CTB_DIR_MAX)
			continue;
		out[at->slot].count[counters[i].dir].packets += counters[i].count.packets;
		out[at->slot].count[counters[i].dir].bytes += counters[i].count.bytes;
	}
	return 0;
}
