/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must become of a frame where there are `forward` rules, worked out the obvious way from
 * the bytes, the reference's verdict and the lab's own table of routes. It shares no code with
 * bpf/. Reasons are a set: which of several is given is the program's business.
 */
#ifndef CTBYPASS_TESTS_FORWARD_MODEL_H
#define CTBYPASS_TESTS_FORWARD_MODEL_H

#include "forward_lab.h"

enum model_fate {
	MODEL_PASSED,	 /* not under a forward rule, or (XDP) for tc to see to */
	MODEL_FALLEN,	 /* under one, and not forwarded: counted under one of `reasons` */
	MODEL_FORWARDED, /* away, as `out`; XDP may give it to tc as a refresh of the neighbour */
};

struct model_result {
	enum model_fate fate;
	struct ref_verdict verdict; /* fate PASSED: what tc makes of it */
	__u64 reasons;		    /* bit per enum ctb_fallback */
	enum lab_dev dev;	    /* it leaves by */
	bool no_neigh;		    /* its MAC addresses are the kernel's to write */
	__u8 out[9216];
	size_t out_len;
};

void model_xdp(const struct lab *l, const struct lab_run *r, struct model_result *out);
void model_tc(const struct lab *l, const struct lab_run *r, struct model_result *out);

/* "ttl, no-route" */
const char *model_reasons(__u64 reasons, char *buf, size_t size);

#endif
