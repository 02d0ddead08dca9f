/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A rule set, the reference and the loaded programs side by side: every packet goes through all
 * of them, and they have to agree on everything.
 */
#ifndef CTBYPASS_TESTS_RIG_H
#define CTBYPASS_TESTS_RIG_H

#include "harness.h"

struct rig {
	struct ruleset *rs; /* owned */
	const struct host *host;
	struct ref_host ref;
	struct ctb_vlan_key vlans[8];
	struct harness *h;
	struct harness_counts want; /* what production must have counted so far */
	unsigned long whole;	    /* fragments judged without ports (ref_judge_at_tc) */
};

/* The production tables of rule set text alone; fails the running Criterion test when it cannot. */
struct harness *tables_from_text(const char *text, const struct host *host);
/* From rule set text; host is borrowed. Fails the running Criterion test when it cannot. */
void rig_from_text(struct rig *rig, const char *text, const struct host *host);
/*
 * From a rule set, which the rig takes. 0; -E2BIG: more than the classifier holds; -EINVAL with
 * words on stderr.
 */
int rig_make(struct rig *rig, struct ruleset *rs, const struct host *host, enum harness_object o);
void rig_free(struct rig *rig);

/*
 * One packet through parser and classifier, userspace lookup and (Ethernet) the production
 * program. NULL when all agree with the reference, whose verdict is in *verdict; else what is
 * wrong, in buf.
 */
const char *rig_packet(struct rig *rig, const struct packet *p, const struct host_if *in,
		       const struct harness_extra *x, __u32 mark, struct ref_verdict *verdict,
		       char *buf, size_t size);

/* NULL when the production program's counters are exactly what its packets should have made. */
const char *rig_counters(struct rig *rig, char *buf, size_t size);

/* As tables say it: "RULE direction", "failsafe direction" or a reason. */
const char *rig_verdict(const struct ref_verdict *v, char *buf, size_t size);

#endif
