/* SPDX-License-Identifier: GPL-2.0-only */
/* What this host sent, by rule: where nft judges that, it also counts it. */
#ifndef CTBYPASS_OUTPUT_COUNTS_H
#define CTBYPASS_OUTPUT_COUNTS_H

#include "ctbypass/abi.h"
#include "rules.h"

/*
 * Add nft's counters to out, by slot of the rules, like the data plane's own (CTB_MAX_RULES
 * elements). 0; -ENOENT: there is no table; or another -errno.
 */
int output_counts_nft(const struct ruleset *rs, struct ctb_output_counters *out);

#endif
