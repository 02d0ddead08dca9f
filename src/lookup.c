// SPDX-License-Identifier: GPL-2.0-only
/* The BPF program's lookup (bpf/classify.h), over the same tables, for userspace's own questions.
 */
#include "compile.h"

static __u32 class4(const struct compiled *c, __u32 addr)
{
	const struct ctb_addr4_top *top = &c->top4[addr >> 16];
	__u32 low = addr & 0xff, at, last;
	const __u32 *range;

	if (top->at & CTB_WHOLE4)
		return top->at & 0xffff;
	at = c->index4[top->at].of[addr >> 8 & 0xff];
	if (!(at & CTB_CUT4))
		return at;
	at = (at & ~CTB_CUT4) * CTB_UNIT4;
	range = c->pages4[top->page + at / CTB_PAGE4].range;
	at %= CTB_PAGE4;
	last = at + (range[at] >> 16);
	while (at < last && range[at + 1] >> 16 <= low)
		at++;
	return range[at] & 0xffff;
}

static __u32 class6(const struct compiled *c, __u64 hi, __u64 lo)
{
	__u32 key = 0, i;

	for (__u32 l = 0; l < c->config.levels6; l++) {
		const struct ctb_addr6_node *n = &c->nodes6[key];

		i = CTB_NODE6 - 1;
		while (i > 0 && (n->hi[i] > hi || (n->hi[i] == hi && n->lo[i] > lo)))
			i--;
		if (l + 1 == c->config.levels6)
			return n->class_id[i];
		key = n->child.first + i;
		if (key > n->child.last)
			key = n->child.last;
	}
	return 0;
}

static void better(const struct ctb_entry *e, const struct ctb_entry **best)
{
	if (e->prio != CTB_NO_ENTRY && (!*best || e->prio < (*best)->prio))
		*best = e;
}

const struct ctb_entry *compiled_lookup(const struct compiled *c, const struct tuple *t)
{
	const struct ctb_entry *best = NULL;
	__u32 class_of[CTB_F_MAX] = {};
	size_t words = c->config.words, stride = words > 1 ? words + 1 : 1;

	class_of[CTB_F_PROTO] = c->proto_class[t->proto];
	if (c->ports) {
		class_of[CTB_F_SPORT] = CTB_PORT_CLASS(c->ports, t->sport);
		class_of[CTB_F_DPORT] = CTB_PORT_CLASS(c->ports, t->dport);
	}
	if (c->top4) {
		class_of[CTB_F_SRC] = t->v6 ? class6(c, t->src_hi, t->src_lo)
					    : class4(c, (__u32)t->src_lo);
		class_of[CTB_F_DST] = t->v6 ? class6(c, t->dst_hi, t->dst_lo)
					    : class4(c, (__u32)t->dst_lo);
	}
	if (c->iif_class) {
		if (t->ifindex < c->config.iif_slots)
			class_of[CTB_F_IIF] = c->iif_class[t->ifindex];
		if (t->output)
			class_of[CTB_F_IIF] += 2 * c->config.iif_classes;
		else if (t->quoted)
			class_of[CTB_F_IIF] += c->config.iif_classes;
		if (t->output && t->quoted)
			class_of[CTB_F_IIF] = 3 * c->config.iif_classes;
	}
	if (c->config.proto_classes) {
		size_t n = c->config.proto_classes, proto = class_of[CTB_F_PROTO];

		better(&c->by_dport[class_of[CTB_F_DPORT] * n + proto], &best);
		better(&c->by_sport[class_of[CTB_F_SPORT] * n + proto], &best);
		if (c->config.first_in_bits == CTB_NO_ENTRY)
			return best;
	}
	for (size_t w = 0; w < words; w++) {
		__u64 m = ~0ULL;

		for (int f = 0; f < CTB_F_MAX; f++) {
			if (c->config.fields & 1U << f)
				m &= c->bits[f].v[class_of[f] * stride + (words > 1) + w];
		}
		for (; m; m &= m - 1) {
			size_t bit = w * 64 + (size_t)__builtin_ctzll(m);

			better(&c->entries[bit], &best);
		}
	}
	return best;
}
