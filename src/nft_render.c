// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table as one transaction: what it is to hold, and the steps from what it holds.
 *
 *	prerouting   the mark bit of the tc program becomes UNTRACKED; not in direct mode
 *	output       local output, stage by stage (nft_stage.c)
 *	g<G>_out     where output jumps to in generation G
 *	g<G>_<n>     chains that it leads to
 *	g<G>_err4/6  ICMP errors, by the packet they quote
 *	r<H>_<dir>   counters of the rule with handle H; failsafe_<dir>
 *	a4_ a6_ p_ q4_ q6_ qp_<hash>	sets of addresses and ports, and of quoted ones
 *	eq_<hash>	pairs of equal bytes
 *	old_prerouting, old_output	base chains of an older build, for as long as a swap takes
 *
 * Both base chains stay hooked. All chains below output are replaced whenever anything changes;
 * counters live as long as their rule, and sets as long as their content.
 *
 * What is replaced goes one transaction later. The kernel picks the rules of one generation when a
 * packet enters the base chain, but looks at map elements as of the moment it comes to them: a
 * packet in the old chains would find the maps empty, match nothing and be tracked, if the
 * transaction that leads output to the new chains took the old ones away (seen, 6.18: a few packets
 * in a thousand swaps under load). For the same reason output itself has no rule with a map.
 */
#include <errno.h>
#include <string.h>

#include "nft.h"
#include "nft_tree.h"

#define LOCAL_ERRORS4 "3, 4, 11, 12"
#define LOCAL_ERRORS6 "1, 2, 3, 4"
#define REDIRECT4     "5"
#define REDIRECT6     "137"

void nft_plan_free(struct nft_plan *p)
{
	strbuf_free(&p->script);
	strbuf_free(&p->older.before);
	strbuf_free(&p->older.undo);
	nft_state_free(p->after);
	*p = (struct nft_plan){};
}

/* --- what the table is to hold --- */

/*
 * Is there a whole IP header in the quote, and is the error on its way to whom that names as the
 * sender? nft compares no two fields of a packet, but it looks them up as one key: byte by byte, in
 * a set of all pairs of equal bytes.
 */
static void quotes_sender(bool v4, const char *pairs, struct strbuf *b)
{
	unsigned int outer = v4 ? 128 : 192, quoted = v4 ? 160 : 128;

	strbuf_addf(b, "@th,%u,8 >= 0 ", v4 ? 216U : 376U);
	for (unsigned int bit = 0; bit < (v4 ? 32 : 128); bit += 8)
		strbuf_addf(b, "@nh,%u,8 . @th,%u,8 @%s ", outer + bit, quoted + bit, pairs);
}

/*
 * The chain for errors that quote a packet of one family, and the rule that leads there. It lets on
 * to the rules only what they can judge; all in one condition, which a header that is cut off
 * somewhere does not fit.
 */
static int render_errors(struct render *r, const struct cands *c, enum plane plane,
			 struct strbuf *jump)
{
	_strbuf_ struct strbuf body = {};
	bool v4 = plane == PLANE_ERR4;
	char pairs[NSET_NAME];
	int err;

	if (!c->n)
		return 0;
	err = stages_render(r, plane, c, &body, NULL);
	if (err || body.err)
		return err ? err : body.err;
	err = nset_equal_bytes(r, pairs);
	if (err)
		return err;
	strbuf_addf(&r->chains, "chain g" GEN_MARK "_%u {\n%saccept\n}\n", ++r->n_chains,
		    body.s ? body.s : "");
	/*
	 * Quoted headers of any other shape (IPv4 options, a later fragment) are left to
	 * conntrack: their ports are not where we would look. So are redirects (bpf/parse.h).
	 * accept: an error is judged by its quote alone, not by rules that speak of ICMP.
	 */
	r->error_chains |= v4 ? ERRORS4 : ERRORS6;
	strbuf_addf(&r->chains, "chain g" GEN_MARK "_err%d {\n", v4 ? 4 : 6);
	if (v4)
		strbuf_addf(&r->chains, "icmp type != " REDIRECT4 " @th,64,8 0x45 "
					"@th,112,16 & 0x1fff == 0 ");
	else
		strbuf_addf(&r->chains, "icmpv6 type != " REDIRECT6 " ");
	quotes_sender(v4, pairs, &r->chains);
	strbuf_addf(&r->chains, "goto g" GEN_MARK "_%u\naccept\n}\n", r->n_chains);
	if (v4)
		strbuf_addf(jump, "icmp type { " LOCAL_ERRORS4 ", " REDIRECT4 " } jump g" GEN_MARK
				  "_err4\n");
	else
		strbuf_addf(jump, "icmpv6 type { " LOCAL_ERRORS6 ", " REDIRECT6 " } jump g" GEN_MARK
				  "_err6\n");
	return r->chains.err;
}

static int note_counters(struct nft_state *s, const struct cands *c)
{
	int err = 0;

	for (size_t i = 0; !err && i < c->n; i++)
		err = objects_add_counter(&s->now, counter_key(c->c[i].handle, c->c[i].dir));
	return err;
}

static __u64 hash_text(__u64 h, const struct strbuf *b)
{
	for (size_t i = 0; i < b->len; i++)
		h = (h ^ (unsigned char)b->s[i]) * 0x100000001b3ULL;
	return h;
}

static int render_all(struct render *r, const struct entries *entries, struct nft_state *after)
{
	_strbuf_ struct strbuf jump = {};
	struct cands c = {};
	int err = cands_open(r);

	for (enum plane p = PLANE_ERR4; !err && p <= PLANE_ERR6; p++) {
		c.n = 0;
		err = cands_build(r, entries, p, &c);
		if (!err)
			err = render_errors(r, &c, p, &jump);
		if (!err)
			err = note_counters(after, &c);
	}
	c.n = 0;
	/*
	 * What leaves by a device in a VRF passes OUTPUT twice, by the VRF and by the device, and
	 * is UNTRACKED the first time, for that time only (vrf_nf_set_untracked() in
	 * drivers/net/vrf.c): it counts the second time.
	 */
	if (host_has_vrf(r->host))
		strbuf_addf(&r->output, "meta oifkind \"vrf\" ct state untracked accept\n");
	if (!err)
		err = cands_build(r, entries, PLANE_OUT, &c);
	if (!err)
		err = stages_render(r, PLANE_OUT, &c, &r->output, jump.s);
	if (!err)
		err = note_counters(after, &c);
	for (size_t i = 0; !err && i < r->n_sets; i++)
		err = objects_add_set(&after->now, r->sets[i].name);
	free(c.c);
	if (err || r->chains.err || r->output.err || jump.err)
		return err ? err : -ENOMEM;
	objects_sort(&after->now);
	after->hash = hash_text(hash_text(0xcbf29ce484222325ULL, &r->chains), &r->output);
	after->exact = true;
	return 0;
}

/* --- the steps there --- */

/* Text with the generation where its mark stands. */
static void add_text(struct strbuf *out, const struct strbuf *text, __u32 generation)
{
	char number[16];
	int n = snprintf(number, sizeof(number), "%u", generation);
	const char *s = text->s, *mark;

	while (s && (mark = strchr(s, GEN_MARK[0]))) {
		strbuf_add(out, s, (size_t)(mark - s));
		strbuf_add(out, number, (size_t)n);
		s = mark + 1;
	}
	if (s)
		strbuf_add(out, s, strlen(s));
}

/* Names of the chains that a rendering makes, or of those that stay. */
static int note_chains(const struct render *r, const struct nft_state *old, struct nft_state *after,
		       bool rules)
{
	struct nft_objects *now = &after->now;
	char name[NSET_NAME];
	int err = 0;

	for (size_t i = 0; !rules && !err && i < old->now.n_chains; i++)
		err = objects_add_chain(now, old->now.chains[i]);
	if (!rules || err)
		return err;
	snprintf(name, sizeof(name), "g%u_out", after->generation);
	err = objects_add_chain(now, name);
	for (int v = 4; !err && v <= 6; v += 2) {
		snprintf(name, sizeof(name), "g%u_err%d", after->generation, v);
		if (r->error_chains & (v == 4 ? ERRORS4 : ERRORS6))
			err = objects_add_chain(now, name);
	}
	for (__u32 i = 1; !err && i <= r->n_chains; i++) {
		snprintf(name, sizeof(name), "g%u_%u", after->generation, i);
		err = objects_add_chain(now, name);
	}
	return err;
}

/* Neither in use now nor left by the last transaction. */
static bool is_new_set(const struct nft_state *old, const char *name)
{
	return !old || (!objects_have_set(&old->now, name) && !objects_have_set(&old->left, name));
}

static bool is_new_counter(const struct nft_state *old, __u64 key)
{
	return !old ||
	       (!objects_have_counter(&old->now, key) && !objects_have_counter(&old->left, key));
}

static void add_new(const struct render *r, const struct nft_state *old,
		    const struct nft_state *new, bool rules, bool mark, struct strbuf *s)
{
	char name[24];

	strbuf_addf(s, "table inet " NFT_TABLE " {\n");
	for (size_t i = 0; i < new->now.n_counters; i++) {
		__u64 key = new->now.counters[i];

		if (!is_new_counter(old, key))
			continue;
		counter_name((__u32)(key >> 2), (enum ctb_dir)(key & 3), name);
		strbuf_addf(s, "counter %s { }\n", name);
	}
	for (size_t i = 0; i < r->n_sets; i++) {
		if (is_new_set(old, r->sets[i].name))
			nset_render(&r->sets[i], s);
	}
	/* Any bit of a mask: there are two while the daemon changes from one to the other. */
	if (mark && new->mark)
		strbuf_addf(s,
			    "chain prerouting {\n"
			    "type filter hook prerouting priority %d; policy accept;\n"
			    "meta mark & 0x%08x != 0 notrack meta mark set meta mark & 0x%08x\n"
			    "}\n",
			    HOOK_PRIORITY, new->mark, ~new->mark);
	if (rules) {
		add_text(s, &r->chains, new->generation);
		strbuf_addf(s, "chain g%u_out {\n", new->generation);
		add_text(s, &r->output, new->generation);
		strbuf_addf(s,
			    "}\n"
			    "chain output {\n"
			    "type filter hook output priority %d; policy accept;\n"
			    "jump g%u_out\n"
			    "}\n",
			    HOOK_PRIORITY, new->generation);
	}
	strbuf_addf(s, "}\n");
}

static int note_leftovers(struct nft_state *s)
{
	_strbuf_ struct strbuf text = {};

	objects_sort(&s->left);
	objects_remove(&s->left, NULL, &text);
	if (text.err)
		return text.err;
	s->leftovers = TAKE_PTR(text.s);
	return 0;
}

static int write_script(const struct render *r, const struct nft_state *before,
			struct nft_state *after, struct strbuf *s)
{
	const struct nft_state *old = before && !before->foreign ? before : NULL;
	bool mark = !old || old->quiet || old->mark != after->mark;
	bool rules = !old || !old->exact || old->hash != after->hash;
	int err;

	if (old && !rules)
		after->generation = old->generation;
	else if (old && after->generation == old->generation)
		after->generation++; /* names must be fresh */
	err = note_chains(r, old, after, rules);
	if (err)
		return err;
	if (!mark && !rules && objects_same(&old->now, &after->now)) {
		err = objects_add_missing(&after->left, &old->left, true, NULL);
		return err ? err : note_leftovers(after);
	}
	if (before && before->foreign)
		strbuf_addf(s, "delete table inet " NFT_TABLE "\n");
	if (old) {
		/* What comes back, counters above all, has not gone yet. */
		objects_remove(&old->left, &after->now, s);
		if (mark && (old->mark || old->quiet))
			strbuf_addf(s, "flush chain inet " NFT_TABLE " prerouting\n");
		if (mark && !after->mark)
			strbuf_addf(s, "delete chain inet " NFT_TABLE " prerouting\n");
		if (old->older_output) /* a packet that the new one has judged is done */
			strbuf_addf(s, "insert rule inet " NFT_TABLE " " OLDER
				       "output ct state untracked accept\n");
		if (rules && old->output)
			strbuf_addf(s, "flush chain inet " NFT_TABLE " output\n");
	}
	add_new(r, old, after, rules, mark, s);
	if (old)
		err = objects_add_missing(&after->left, &old->now, rules, &after->now);
	return err ? err : note_leftovers(after);
}

static int write_older(const struct nft_state *before, struct nft_plan *p)
{
	static const char *const chains[] = { "prerouting", "output" };

	if (!before || before->foreign)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		if (!(before->older & 1U << i))
			continue;
		strbuf_addf(&p->older.before, "rename chain inet " NFT_TABLE " %s " OLDER "%s\n",
			    chains[i], chains[i]);
		strbuf_addf(&p->older.undo, "rename chain inet " NFT_TABLE " " OLDER "%s %s\n",
			    chains[i], chains[i]);
	}
	if (before->older_output)
		p->older.after = "flush chain inet " NFT_TABLE " " OLDER "output\n";
	return p->older.before.err ? p->older.before.err : p->older.undo.err;
}

int nft_render(const struct entries *entries, const struct host *host, __u32 mark, __u32 generation,
	       const struct nft_state *before, struct nft_plan *out)
{
	struct render r = { .host = host };
	struct nft_plan plan = {};
	struct nft_state *after = calloc(1, sizeof(*after));
	int err = after ? 0 : -ENOMEM;

	if (!err) {
		after->mark = mark;
		after->output = true;
		after->generation = generation;
		err = render_all(&r, entries, after);
	}
	if (!err) {
		err = write_script(&r, before, after, &plan.script);
		if (!err)
			err = plan.script.err ? plan.script.err : write_older(before, &plan);
	}
	strbuf_free(&r.chains);
	strbuf_free(&r.output);
	free(r.sets);
	arena_free(&r.mem);
	plan.after = after;
	if (err) {
		nft_plan_free(&plan);
		return err;
	}
	*out = plan;
	return 0;
}
