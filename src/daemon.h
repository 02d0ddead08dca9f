/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The daemon: what is in force, and how it changes.
 *
 *   daemon.c           start, adoption of what a previous daemon left, the event loop
 *   apply.c            from a rule set to one in force; nobody else swaps anything
 *   apply_nft.c        the nft half of that
 *   journal.c          run-time changes as lines that survive the daemon
 *   daemon_requests.c  the commands of the control socket
 *   report.c           what stats, status and list say, as JSON
 */
#ifndef CTBYPASS_DAEMON_H
#define CTBYPASS_DAEMON_H

#include <jansson.h>
#include <time.h>
#include "broker.h"
#include "conntrack.h"
#include "control.h"
#include "datapath.h"
#include "feature.h"
#include "nft.h"
#include "routing.h"
#include "slots.h"
#include "unload.h"

#define RETRY_MS 5000 /* after something that has to be done could not be done */

struct daemon_options {
	const char *config, *pindir, *socket;
	enum attach_wish attach;
	enum hand_over_wish hand_over;
	bool no_xdp; /* forward in tc only */
};

/* A rule set and what was made of it. entries borrow from rs. */
struct live {
	struct ruleset *rs; /* NULL: nothing is in force yet */
	struct entries entries;
	struct compiled compiled;
};

struct daemon {
	struct daemon_options opt;
	enum unload_found found;  /* before this daemon */
	struct features features; /* of the kernel, as tried at the start */
	struct datapath *dp;
	struct control *control;
	struct host host;
	struct slots slots;
	struct live live;
	struct nft_state *nft; /* what is in table inet ctbypass; NULL: no table */
	bool nft_leaving;      /* direct mode: the table stays for packets on their way only */
	struct broker *broker; /* NULL: there is none */
	int lock_fd, epfd, signal_fd, timer_fd, host_fd, nft_fd, module_fd;
	struct routing_watch *routing; /* NULL: no forward rule is in force */
	struct routing facts; /* as of the last plan of the forwarding path; empty without one */
	__u64 started;	      /* all times: milliseconds of CLOCK_MONOTONIC */
	__u64 settle_at;      /* finish the last change (apply_settle); 0: nothing to do */
	__u64 refresh_at;     /* look at the host again; 0: no need */
	bool must_apply;      /* the last attempt to follow the host failed */
	bool own_nft;	      /* we changed our table, deaf to others' changes meanwhile */
	bool quit;
	/* What status warns of. */
	char *rule_warnings;	      /* of the last change, as diagnostics; or NULL */
	char *host_trouble;	      /* why the host's changes could not be followed; or NULL */
	unsigned int restored;	      /* the nft table was gone and was put back */
	unsigned int repaired;	      /* somebody else changed it and it was set right */
	struct conntrack_sweep swept; /* last look at the conntrack table */
	size_t changes;		      /* run-time changes in force, lines of the journal */
};

/* `ctbypass run`. The exit status. */
int daemon_run(const struct daemon_options *o);

/* --- daemon.c --- */

/*
 * Be told (or no longer) of what routing_read() reads, by the event loop. 0 or -errno, logged by
 * the caller. On when it is on, or off when off, is fine.
 */
int daemon_watch_routing(struct daemon *d, bool on);

/* --- apply.c --- */

/* What one change did, for the reply and the log. */
struct change {
	size_t kept, added, removed; /* rules */
	struct conntrack_sweep swept;
	bool empty; /* nothing was in force before */
};

/*
 * Put rs in force. 0: taken over. Else -errno, rs stays the caller's, everything is as it was,
 * and the reason is in diag (when it is about the rules' text) or *error (caller frees).
 */
int apply_ruleset(struct daemon *d, struct ruleset *rs, struct change *out, struct diag *diag,
		  char **error);
/* The rules in force again, for a changed host. */
int apply_again(struct daemon *d, char **error);
/* A second after a change: what the swap itself left behind. */
void apply_settle(struct daemon *d);
/*
 * The host changed (d->host is the new one, old what it was), or what decides how it forwards: do
 * what that calls for.
 */
int apply_host(struct daemon *d, const struct host *old, char **error);
/* The nft table is gone: make it again. */
int apply_restore_nft(struct daemon *d, char **error);
/* Somebody changed it: write its chains again. Counters stay. */
int apply_repair_nft(struct daemon *d, char **error);
/* Is there to be a table, as things are handed over? */
bool nft_half_wanted(const struct daemon *d);
void live_free(struct live *l);

/* --- journal.c --- */

struct journal_lines {
	char **v;
	size_t n, cap;
};

void journal_lines_free(struct journal_lines *l);
/* Lines for one change. 0, -ENOMEM or -EFBIG: a line would not fit the journal. */
int journal_add(struct journal_lines *l, const struct rule *r);
/* index: the rule's place in the list, which says after a restart which one was meant. */
int journal_delete(struct journal_lines *l, __u32 handle, size_t index);
int journal_set(struct journal_lines *l, bool add, const char *name, char *const *elements,
		size_t n);
/* Make the change a line describes. 0 or -errno, explained in diag as far as it is about text. */
int journal_replay(struct ruleset *rs, const char *line, struct diag *diag);
/* 64-bit FNV-1a over the configuration file and every set file of rs. 0 or -errno. */
int journal_hash(const char *config, const struct ruleset *rs, __u64 *out);

/* --- daemon_requests.c --- */

/* A control_handler; arg is the daemon. */
void daemon_request(void *arg, const char *line, size_t len, char **reply);
/* Read the file again and make the running rules exactly its. *reply: members for the answer. */
int daemon_reload(struct daemon *d, json_t *reply, struct diag *diag, char **error);

/* --- report.c: NULL is out of memory --- */

json_t *report_list(const struct daemon *d);
json_t *report_stats(const struct daemon *d);
json_t *report_status(const struct daemon *d);
json_t *report_hand_over(const struct daemon *d); /* member "hand_over" of status */
/* Rules and entries and the size of the tables made of them; also for `check`. */
json_t *report_sizes(const struct live *l);

#endif
