/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the nft renderer: entries as plain conditions (nft_cand.c), ordered stages and
 * decision trees over them (nft_stage.c, nft_tree.c), and their text (nft_text.c).
 *
 * The same code renders three planes. A plane says where in a packet the fields are: in the
 * packet that leaves, or in the IPv4 or IPv6 packet that an ICMP error quotes.
 */
#ifndef CTBYPASS_NFT_TREE_H
#define CTBYPASS_NFT_TREE_H

#include "expand.h"
#include "host.h"

typedef unsigned __int128 u128;

enum plane {
	PLANE_OUT,
	PLANE_ERR4,
	PLANE_ERR6
};
enum fam {
	FAM_4,
	FAM_6,
	FAM_ANY
};

/* What a tree can branch on; then what only ever stands in a rule as a condition. */
enum field {
	F_PROTO,
	F_SPORT,
	F_DPORT,
	F_SRC,
	F_DST,
	F_SRC_LOCAL,
	F_DST_LOCAL,
	F_OIF
};
#define F_BIT(f) (1U << (f))

#define LEAF_RULES	     8	   /* so many are as well tried one after the other */
#define LEAF_PROTO_RULES     3	   /* the same, instead of a map of protocols */
#define BRANCH_INTERVALS_MAX 256   /* an address match with more stays a condition: a named set */
#define JOIN_INTERVALS_MAX   16	   /* of an address in a map with concatenated keys */
#define JOIN_PARTS_MIN	     4	   /* fewer do not need such a map */
#define INLINE_ELEMENTS_MAX  16	   /* more elements in a condition: a named set */
#define EXPAND_PORTS_MAX     1024  /* ports of ranges in one map, to make it a hash */
#define EXPAND_TOTAL_MAX     16384 /* and in all maps */

/* Inclusive intervals, ascending, not touching each other. */
struct iv {
	u128 lo, hi;
};

struct ivals {
	struct iv *v;
	size_t n;
	bool full; /* the whole domain */
};

/* An address match by family; negations are complements. */
struct addr {
	struct ivals f[2]; /* FAM_4, FAM_6 */
	bool hard;	   /* too many intervals to branch on */
};

/* Of the packet that leaves; that of a quoted packet is an address match like any other. */
enum local {
	LOCAL_ANY,
	LOCAL_YES,
	LOCAL_NO
};

/* One entry on one plane: a conjunction. Which packets, which verdict, which counter. */
struct cand {
	__u32 handle;
	enum ctb_dir dir; /* of the counter */
	bool track;
	const struct ivals *protos;  /* NULL: any */
	const struct ivals *port[2]; /* source, destination; NULL: any */
	const struct addr *addr[2];  /* source, destination; NULL: any */
	enum local local[2];	     /* source, destination: one of this host's? */
	const char *oif;	     /* text of the condition; NULL: any */
};

struct cands {
	struct cand *c;
	size_t n, cap;
};

/* Memory that goes away all at once. */
struct arena {
	struct arena_chunk *head;
	size_t used, size; /* of head */
};

void *arena_alloc(struct arena *a, size_t n); /* zeroed; NULL: out of memory */
void arena_free(struct arena *a);

/* A named set, known by its content. */
#define NSET_NAME 24
struct nset {
	char name[NSET_NAME];
	enum plane plane;
	enum field field;
	enum fam fam;
	const struct ivals *iv; /* NULL: of nset_equal_bytes() */
};

/* One rendering. In text, byte GEN_MARK stands for the generation. */
#define GEN_MARK "\001"
struct render {
	struct arena mem;
	const struct host *host;
	struct addr local; /* what the host calls its own */
	struct addr_cache *addr_cache;
	struct port_cache *port_cache;
	struct proto_entry *proto_cache;
	struct strbuf chains; /* whole chains, those referred to first */
	struct strbuf output; /* rules of the base chain */
	__u32 n_chains;
	size_t expanded;	   /* ports written one by one so far */
	unsigned int error_chains; /* ERRORS4, ERRORS6: which exist */
	struct nset *sets;
	size_t n_sets, cap_sets;
};

#define ERRORS4 1U
#define ERRORS6 2U

/* Names of what is in the table. */
struct nft_objects {
	char (*chains)[NSET_NAME]; /* below the base chains */
	size_t n_chains, cap_chains;
	char (*sets)[NSET_NAME]; /* sorted */
	size_t n_sets, cap_sets;
	__u64 *counters; /* counter_key() of each, ascending */
	size_t n_counters, cap_counters;
};

/* What base chains of HOOK_PRIORITY_OLD are called, to make room for ours. */
#define OLDER		 "old_"
#define OLDER_PREROUTING (1U << 0)
#define OLDER_OUTPUT	 (1U << 1)

struct nft_state {
	bool foreign;		 /* something of that name, but not by us: replace it whole */
	__u32 mark;		 /* 0: the rule in prerouting is not what it should be */
	bool quiet;		 /* prerouting is there, silenced: see nft_silence() */
	unsigned int older;	 /* OLDER_*: base chains of HOOK_PRIORITY_OLD, not yet renamed */
	bool older_output;	 /* there is one, renamed or not, that still judges */
	bool output;		 /* there is one of HOOK_PRIORITY */
	bool exact;		 /* hash is known (not so after nft_adopt) */
	__u64 hash;		 /* of chains and rules, generation left out */
	__u32 generation;	 /* the highest that a name has */
	struct nft_objects now;	 /* in use; after nft_adopt() maybe more */
	struct nft_objects left; /* replaced by the last transaction; see nft_render.c */
	char *leftovers;	 /* script that removes them; NULL: none */
};

static inline __u64 counter_key(__u32 handle, enum ctb_dir dir)
{
	return (__u64)handle << 2 | (unsigned int)dir;
}

/* Base chains of our table, whoever made them, and the marks that some rule of ours takes off. */
struct nft_base {
	char name[NSET_NAME];
	__u32 hook; /* NF_INET_* */
};
struct nft_bases {
	struct nft_base *c;
	size_t n, cap;
	__u32 mark;
};

/* nft_query.c: 0, also when there is no table, or -errno. The caller frees out->c. */
int nft_read_bases(struct nft_bases *out);

/* nft_cand.c */
/* Everything that candidates are made with. */
int cands_open(struct render *r);
int cands_build(struct render *r, const struct entries *entries, enum plane plane,
		struct cands *out);
/* Can no packet fit both? false when in doubt. */
bool cands_disjoint(const struct cand *a, const struct cand *b);
static inline bool cand_fits_family(const struct cand *c, enum fam fam)
{
	return fam == FAM_ANY ||
	       ((!c->addr[0] || c->addr[0]->f[fam].n) && (!c->addr[1] || c->addr[1]->f[fam].n));
}

/* nft_stage.c: rules for all of these, in base-chain form, into text. */
int stages_render(struct render *r, enum plane plane, const struct cands *c, struct strbuf *text,
		  const char *icmp_text);

/* nft_tree.c */
struct list {
	__u32 *v; /* indices of candidates, in rule order */
	size_t n;
};

struct part {
	enum fam fam; /* of an address */
	struct iv iv;
	struct list list;	  /* never empty; only the last one can be final */
	const struct cand *final; /* decided: this one */
	struct node *sub;	  /* else: go on here */
	bool joined;		  /* sub only looks up an address: one map for both fields */
};

struct node {
	enum {
		NODE_LEAF,
		NODE_BRANCH,
		NODE_COND,
		NODE_LOCAL
	} kind;
	unsigned int mask; /* fields that the way here has settled */
	enum fam fam;
	struct list list;   /* LEAF: tried one after the other. Others: memo */
	enum field field;   /* BRANCH, COND: on what. LOCAL: of the filter before it */
	struct part *parts; /* BRANCH */
	size_t n_parts;
	bool expand;		/* write port ranges as single ports */
	const struct ivals *iv; /* COND: must be in these. LOCAL: filter, or NULL */
	unsigned int side;	/* LOCAL: 0 asks of the source, 1 of the destination, whether */
	enum local local;	/* this is so */
	struct node *child;	/* COND, LOCAL: the rest. BRANCH: where no part fits, or NULL */
	__u32 chain;		/* its number once it has been written as a chain */
	struct node *next;	/* memo */
};

struct tree {
	struct render *r;
	enum plane plane;
	const struct cand *c;
	size_t rules, elements; /* budget: see nft_tree.c */
	unsigned int cuts;
	struct known_list *lists[1024];
	struct node *memo[1024];
};

/* NULL: out of memory. */
struct node *tree_build(struct tree *t, struct list list);
/* Has the candidate conditions that are not settled yet? */
bool cand_open(const struct cand *c, unsigned int mask, enum fam fam);
/* The candidate's intervals of a field; NULL: it cannot be branched on (any value, or hard). */
const struct ivals *cand_intervals(const struct cand *c, enum field f, enum fam fam);

/* nft_text.c */
int tree_render(struct tree *t, struct node *root, struct strbuf *text);
void counter_name(__u32 handle, enum ctb_dir dir, char name[24]);
/* The reverse; false: no counter of ours. */
bool counter_parse(const char *name, __u32 *handle, enum ctb_dir *dir);
/* The set of all pairs of equal bytes, its name into name. */
int nset_equal_bytes(struct render *r, char name[NSET_NAME]);
/* Its definition inside the table's braces. */
void nset_render(const struct nset *s, struct strbuf *text);
bool nset_name_ours(const char *name);

/* nft_state.c */
void objects_free(struct nft_objects *o);
int objects_add_chain(struct nft_objects *o, const char *name);
int objects_add_set(struct nft_objects *o, const char *name);
int objects_add_counter(struct nft_objects *o, __u64 key);
/* After the last of them: sort, drop duplicates. */
void objects_sort(struct nft_objects *o);
bool objects_have_set(const struct nft_objects *o, const char *name); /* NULL: has nothing */
bool objects_have_counter(const struct nft_objects *o, __u64 key);
/* Sets and counters alike? */
bool objects_same(const struct nft_objects *a, const struct nft_objects *b);
/* What from has and unless has not; its chains if asked for. */
int objects_add_missing(struct nft_objects *to, const struct nft_objects *from, bool chains,
			const struct nft_objects *unless);
/* Text that deletes all chains, and the sets and counters that unless has not. */
void objects_remove(const struct nft_objects *o, const struct nft_objects *unless,
		    struct strbuf *s);

#endif
