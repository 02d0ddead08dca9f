/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Table `inet ctbypass`: prerouting takes the mark to UNTRACKED, output judges local output by the
 * same rules. nft_render.c makes text, nft.c is the only user of libnftables.
 */
#ifndef CTBYPASS_NFT_H
#define CTBYPASS_NFT_H

#include <stdbool.h>
#include "expand.h"
#include "host.h"

#define NFT_TABLE "ctbypass"

/*
 * Where we hook, in PREROUTING and in OUTPUT: right behind defragmentation
 * (NF_IP_PRI_CONNTRACK_DEFRAG, -400), which skips what is UNTRACKED, and in front of all that could
 * write over our mark or attach a conntrack template: a template keeps `notrack` from doing
 * anything, and xt_CT, the other way around, attaches none to what is UNTRACKED. At raw (-300),
 * where builds before hooked, iptables' table raw came first if it was loaded later.
 */
#define HOOK_PRIORITY	  (-399)
#define HOOK_PRIORITY_OLD (-300)

/*
 * What is loaded now, so that the next transaction replaces exactly it. Opaque text keys; see
 * nft_render.c for the naming of chains, maps, sets and counters.
 */
struct nft_state; /* NULL: table is not there */

struct nft_plan {
	struct strbuf script; /* one transaction; empty: nothing to change */
	/* Where an older build's table is taken over: see nft_adopt(). Otherwise empty. */
	struct {
		struct strbuf before, undo; /* transaction before it; takes that back if it fails */
		const char *after;	    /* transaction after it, or NULL */
	} older;
	struct nft_state *after; /* what will be loaded once it has run */
};

/*
 * Text that takes the table from `before` (NULL: create) to these entries: base chains stay
 * hooked, counters of rules that stay keep their values, large sets that did not change are not
 * sent again. 0 or -errno (-EINVAL: an interface name that nft text cannot carry). generation
 * makes fresh names for what is replaced.
 *
 * host: `local` of addresses quoted in ICMP errors and interface globs that nft does not know are
 * rendered from it, so render again when host_same_local() or host_same_interfaces() say no;
 * that gives an empty script when nothing rendered depends on the difference.
 *
 * mark: the bit that means notrack in prerouting. While the daemon changes the bit it is a mask of
 * two: a packet with any of them is untracked and both are cleared. 0: nobody marks, and there is
 * no prerouting chain.
 *
 * generation must be above nft_state_generation(before), so that fresh names are fresh.
 */
int nft_render(const struct entries *entries, const struct host *host, __u32 mark, __u32 generation,
	       const struct nft_state *before, struct nft_plan *out);
void nft_plan_free(struct nft_plan *p);
/* The highest generation that names in the table carry, also after nft_adopt(); 0 for NULL. */
__u32 nft_state_generation(const struct nft_state *s);
/* The mask that prerouting handles in it; 0 without that chain, and for NULL. */
__u32 nft_state_mark(const struct nft_state *s);
/*
 * Script that removes what the last transaction replaced, for when no packet can be in it any more;
 * NULL: nothing. The next transaction begins with it. nft_state_settled(): it was run.
 */
const char *nft_state_leftovers(const struct nft_state *s);
void nft_state_settled(struct nft_state *s);
void nft_state_free(struct nft_state *s);

/* One orientation of one rule in OUTPUT, read back. */
struct nft_counter {
	__u32 handle; /* 0: failsafe */
	enum ctb_dir dir;
	struct ctb_count count;
};

/*
 * Run text as one transaction. dry_run: let the kernel check it and change nothing. 0, or -errno
 * with libnftables' words in *error (caller frees).
 */
int nft_run(const char *script, bool dry_run, char **error);
/*
 * What a `list ...` command prints: with handles, priorities as numbers, without counters' values;
 * elements of named sets and maps only if asked for. 0 (caller frees *out) or as nft_run().
 */
int nft_list(const char *command, bool elements, char **out, char **error);
/*
 * Is our table there, with its base chains? 1, 0 or -errno. Used to adopt and to notice that
 * somebody flushed the ruleset. prerouting: with that, too (nft_state_mark() is not 0).
 */
int nft_present(bool prerouting);
/*
 * Is there a table that nft_adopt() can go on with, of this build or of one before? 1, 0 or -errno.
 */
int nft_adoptable(void);
/* All rule counters of our table. 0 or -errno; caller frees *out. -ENOENT: no table. */
int nft_counters(struct nft_counter **out, size_t *n);
/* Is there a table of our name, whatever it holds? 1, 0 or -errno. */
int nft_there(void);
/*
 * From the end of one transaction on nothing is made UNTRACKED by our table any more, neither what
 * arrives nor what this host sends: so no flow is torn. The mark that tc programs may go on leaving
 * is still taken off, counters stay. nft_adopt() knows such a table. 0, also when there is none, or
 * as nft_run(): everything is as it was.
 */
int nft_silence(char **error);
/* Script after which what this host sends meets no rule of ours any more; counters stay. */
#define NFT_SILENCE "flush chain inet " NFT_TABLE " output\n"
/* Remove our table. 0 also when there was none. */
int nft_remove(char **error);
/*
 * Rebuild the state from the table a previous daemon left, so that counters go on. *out is NULL
 * when there is no table. 0 or -errno.
 *
 * A base chain cannot be moved to another priority. So one of HOOK_PRIORITY_OLD is renamed
 * (older.before), stays behind the new one until no packet is between the two that the new one,
 * empty when it came by, has not judged (older.after), and is removed like all that is replaced.
 */
int nft_adopt(struct nft_state **out);
/* A non-blocking nfnetlink socket that wakes when any nft object changes; -errno. */
int nft_watch_open(void);
/*
 * Stop listening, and listen again. As long as anybody listens, the kernel keeps a message of 8 KB
 * for each element of a transaction until its end (nf_tables_setelem_notify()): 2 GB for 100,000
 * prefixes. To be done around transactions of our own. resume: 0 or -errno.
 */
void nft_watch_pause(int fd);
int nft_watch_resume(int fd);
/* Read what is pending. 1: our table may have been touched; 0: not; -errno. */
int nft_watch_drain(int fd);

#endif
