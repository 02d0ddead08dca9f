/* SPDX-License-Identifier: GPL-2.0-only */
/* A rule set in a loaded BPF program, and packets through it by bpf_prog_test_run_opts. */
#ifndef CTBYPASS_TESTS_HARNESS_H
#define CTBYPASS_TESTS_HARNESS_H

#include "classify_test.h"
#include "compile.h"
#include "generate.h"
#include "packets.h"
#include "reference.h"

/* Which object: a shipped one, or the one that also says what it saw (and contains it). */
enum harness_object {
	HARNESS_PRODUCTION,
	HARNESS_TEST,
	HARNESS_DIRECT /* tc_direct: verdicts are counted, but handed to nobody */
};

struct harness;

/*
 * Skips the running Criterion test, with a message, unless this process may load BPF. Then moves
 * to a network namespace of its own with the interfaces va0 va1 vb0 vb1 (all have pkt_mac) and
 * lists them, and lo, for host.ifs. Returns how many.
 */
size_t harness_init(struct host_if *ifs, size_t max);

/* Has this kernel netfilter programs (6.4)? */
bool harness_has_netfilter(void);

/*
 * Give slots to the rules, compile and load them. host is borrowed. NULL on failure, explained
 * on stderr, except when the rule set has more entries or classes than fit: then *too_big is set
 * (NULL: not expected).
 */
struct harness *harness_load(struct ruleset *rs, const struct host *host, enum harness_object o,
			     bool *too_big);
void harness_free(struct harness *h);

/* What is to be done to a packet besides what is in it. */
struct harness_extra {
	__u16 push;	/* VLAN TCI into the skb's metadata; 0: none */
	__u32 gso_size; /* says that it is a GRO packet */
};

/* The frame as the reference wants it: who it is for is in its MAC address. */
struct ref_frame harness_frame(const struct packet *p, const struct host_if *in,
			       const struct harness_extra *x);

/*
 * Can the test runner take it? It wants all of an Ethernet header, and of layer 3 packets the
 * IP header. Shorter frames than 54 bytes and layer 3 packets need HARNESS_TEST.
 */
bool harness_can(const struct packet *p);

/* The parser and classifier alone (HARNESS_TEST): 0, or -errno of the test run. */
int harness_look(struct harness *h, const struct packet *p, const struct host_if *in,
		 const struct harness_extra *x, struct ctb_test_seen *out);

/*
 * The production program, Ethernet only. *mark: in and out. -EBADMSG when it returned something
 * other than "continue" or changed the packet.
 */
int harness_run(struct harness *h, const struct packet *p, const struct host_if *in,
		const struct harness_extra *x, __u32 *mark);
/* The one for devices without link layer, on bytes that pass for a frame too (test_parse.c). */
int harness_run_ip(struct harness *h, const struct packet *p, __u32 *mark);

/* The production programs, for a device with and without link layer. */
int harness_ether_fd(const struct harness *h);
int harness_ip_fd(const struct harness *h);

/* HARNESS_TEST: the production program, for a packet with this VLAN TCI in the skb's metadata. */
int harness_pushed_fd(const struct harness *h, __u16 tci);

/* What is loaded and what it was made from, to load the XDP program beside it. */
struct bpf_object *harness_bpf(const struct harness *h);
const struct compiled *harness_tables(const struct harness *h);

/* The slot that the rule with this handle got; 0: failsafe. */
__u32 harness_slot(const struct harness *h, __u32 handle);

/* All counters, summed over the CPUs, since the load. */
struct harness_counts {
	struct ctb_rule_counters rules[CTB_MAX_RULES];
	struct ctb_count reasons[CTB_R_MAX];
	struct ctb_fallback_counters fallbacks[CTB_FB_MAX];
};
int harness_counts(const struct harness *h, struct harness_counts *out);
/* Only those of map `fallbacks`, in one call: out has CTB_FB_MAX elements. */
int harness_fallbacks(const struct harness *h, struct ctb_fallback_counters *out);
/*
 * What one more packet with this verdict adds where nothing can be forwarded, since map `netdevs`
 * knows no device; len is the skb's, whole is ref_judge_at_tc()'s.
 */
void harness_expect(const struct harness *h, const struct ref_verdict *v, bool whole, size_t len,
		    struct harness_counts *sum);

enum ctb_dir harness_entry_dir(const struct ctb_entry *e);

/* Memory that the maps of the loaded tables take, for test_scale.c. */
size_t harness_table_bytes(const struct harness *h);

/* NULL if what was seen is what the reference says, else what is wrong, in buf. */
const char *harness_compare(const struct harness *h, const struct ref_verdict *want,
			    const struct ctb_test_seen *got, char *buf, size_t size);
/* The same of what userspace makes of the same tables (compiled_lookup). */
const char *harness_compare_lookup(const struct harness *h, const struct ref_verdict *want,
				   const struct tuple *t, char *buf, size_t size);

#endif
