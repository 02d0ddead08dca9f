/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A daemon whose data plane, nft and conntrack are fakes that write down what is asked of them, for
 * tests of the order of things. nft's text is rendered for real.
 */
#ifndef CTB_TEST_APPLY_FAKES_H
#define CTB_TEST_APPLY_FAKES_H

#include "daemon.h"

struct apply_fakes {
	struct strbuf trace;	 /* what was asked, in order, words with a blank behind each */
	const char *fail_at;	 /* the word that is to fail, with -EIO */
	int nft_fails, nft_runs; /* from which transaction on they fail; 0: none does */
	struct ctb_rule_info infos[CTB_MAX_RULES];
	__u32 generation, next_handle;
	bool swapping; /* as the next daemon would find it */
	bool torn;     /* what a commit that fails leaves */
	struct journal_lines journal;
	__u64 journal_for;
	struct strbuf last_script; /* of nft */
	int sync_says;		   /* what datapath_sync_interfaces() returns unless it fails */
	struct forward_plan *told; /* the plan that the data plane was given last */
	bool watching;
	struct route_if *routes; /* one for each device of the host; borrowed */
	/* How the next generation and the running one hand over, and what may be wished for. */
	struct hand_over next_how, how;
	enum hand_over_wish wish;
	struct ctb_output_counters carried[CTB_MAX_RULES];
};

extern struct apply_fakes fake;

/* Between fake_setup(), which loads FILE_TEXT, and fake_teardown(), the init and fini of a suite.
 */
extern struct daemon *d;
#define FILE_TEXT "set web { 80 }\nnotrack udp dport 1\nnotrack tcp dport @web daddr local\n"
void fake_setup(void);
void fake_teardown(void);

/* The configuration file's text from now on. */
void configure(const char *text);
/* The trace begins anew. */
void forget(void);
/* The reply to a request, whose trace begins anew; caller decrefs. */
json_t *ask(const char *line);
/* Was it carried out? */
bool done(const char *line);
/* The reason why it was not; fails if it was. Caller frees. */
char *refused(const char *line);
/* The rules in force. Caller frees. */
char *listed(void);
void expect_trace(const char *want);
/* What the daemon does when it had `old` for the host until now. */
void expect_host(const struct host *old, const char *want);

#endif
