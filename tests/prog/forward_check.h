/* SPDX-License-Identifier: GPL-2.0-only */
/* One frame through a program in the lab, compared with the model in every respect. */
#ifndef CTBYPASS_TESTS_FORWARD_CHECK_H
#define CTBYPASS_TESTS_FORWARD_CHECK_H

#include "forward_model.h"

/* What the program did. */
struct forward_seen {
	bool forwarded;
	bool refresh; /* XDP: and gave one to tc before, so that the neighbour is kept alive */
	int reason;   /* enum ctb_fallback that was counted, or -1 */
};

/*
 * Both: run, and compare action, bytes, mark and counters of map `fallbacks`; add to *want what
 * the other counters must have become. NULL, or what is wrong, in buf.
 */
const char *forward_check_xdp(struct lab *l, struct lab_run *r, struct model_result *m,
			      struct harness_counts *want, struct forward_seen *seen, char *buf,
			      size_t size);
const char *forward_check_tc(struct lab *l, struct lab_run *r, struct model_result *m,
			     struct harness_counts *want, struct forward_seen *seen, char *buf,
			     size_t size);
/* All counters against *want. */
const char *forward_check_counters(const struct lab *l, const struct harness_counts *want,
				   char *buf, size_t size);

#endif
