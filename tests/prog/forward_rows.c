// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "forward_rows.h"

struct lab lab;
struct harness_counts forward_want;
bool forward_reached[CTB_FB_MAX][2];

static const struct {
	const char *name;
	unsigned int bit;
} flags[] = {
	{ "IN", CTB_ND_IN },
	{ "OUT", CTB_ND_OUT },
	{ "OUT_SG", CTB_ND_OUT_SG },
	{ "XDP_IN", CTB_ND_XDP_IN },
	{ "PARTIAL", CTB_ND_PARTIAL },
	{ "RPF_STRICT", CTB_ND_RPF_STRICT },
	{ "RPF_LOOSE", CTB_ND_RPF_LOOSE },
	{ "XFRM", CTB_ND_XFRM },
	{ "ERRORS4_UP", CTB_ND_ERRORS4_UP },
	{ "ERRORS6_UP", CTB_ND_ERRORS6_UP },
	{ "NEXT_HOP", CTB_ND_NEXT_HOP },
	{ "HASH6_L4", CTB_ND_HASH6_L4 },
	{ "NO_FORWARD6", CTB_ND_NO_FORWARD6 },
};

static enum lab_dev device(const char *name, size_t len)
{
	enum lab_dev d;

	for (d = LAB_LO; d < LAB_DEVS; d++) {
		if (strlen(lab_names[d]) == len && !memcmp(lab_names[d], name, len))
			return d;
	}
	cr_assert(false, "no device \"%s\"", name);
	return LAB_LO;
}

/* "in0+XFRM" "out0-OUT" */
static bool tweak_flag(const char *word)
{
	size_t len = strcspn(word, "+-"), i;
	struct ctb_netdev *nd;

	if (!word[len])
		return false;
	nd = &lab.nd[device(word, len)];
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		if (strcmp(flags[i].name, word + len + 1) != 0)
			continue;
		if (word[len] == '+')
			nd->flags |= flags[i].bit;
		else
			nd->flags &= ~flags[i].bit;
		return true;
	}
	return false;
}

static unsigned long value(const char *word)
{
	const char *s = strchr(word, '=') + 1;
	unsigned long v;
	char *end;

	v = strtoul(s, &end, 0);
	cr_assert(*s && !*end, "%s", word);
	return v;
}

/*
 * in=DEV (comes in there), DEV+FLAG, DEV-FLAG, DEV.mtu=N, DEV.route_mtu4=N, DEV.route_mtu6=N,
 * lost=DEV (not in the devmap),
 * FAMILY/DEV=off (forwarding), mark=N, gso=N, meta=N, linear=N, push=TCI, badsum, partial,
 * fullsum, ipN=BYTE (byte N of the IP packet; before the checksum is made)
 */
static void tweak(struct forward_scene *s, const char *word)
{
	struct lab_run *r = &s->run;
	unsigned int at;
	char family[8], dev[16];

	if (strncmp(word, "in=", 3) == 0)
		r->in = device(word + 3, strlen(word + 3));
	else if (strncmp(word, "lost=", 5) == 0)
		lab.egress[device(word + 5, strlen(word + 5))] = false;
	else if (sscanf(word, "%7[^/]/%15[^=]=off", family, dev) == 2) {
		snprintf(s->sysctl, sizeof(s->sysctl), "%s/conf/%s/forwarding", family, dev);
		lab_sysctl(s->sysctl, 0);
		*(strcmp(family, "ipv4") == 0 ? &lab.forwarding4[device(dev, strlen(dev))]
					      : &lab.forwarding6[device(dev, strlen(dev))]) = false;
	} else if (strncmp(word, "mark=", 5) == 0)
		r->mark = value(word);
	else if (strncmp(word, "gso=", 4) == 0)
		r->gso_size = value(word);
	else if (strncmp(word, "meta=", 5) == 0)
		r->meta = value(word);
	else if (strncmp(word, "linear=", 7) == 0)
		r->linear = value(word);
	else if (strncmp(word, "push=", 5) == 0)
		r->push = value(word);
	else if (strcmp(word, "badsum") == 0)
		s->p.data[s->p.l3 + 10] ^= 0x40;
	else if (strcmp(word, "partial") == 0)
		pkt_l4_sum(&s->p, true);
	else if (strcmp(word, "fullsum") == 0)
		pkt_l4_sum(&s->p, false);
	else if (sscanf(word, "ip%u=", &at) == 1) {
		s->p.data[s->p.l3 + at] = value(word);
		pkt_ip_sum(&s->p);
	} else if (strstr(word, ".mtu="))
		lab.nd[device(word, strcspn(word, "."))].mtu = value(word);
	else if (strstr(word, ".route_mtu4="))
		lab.nd[device(word, strcspn(word, "."))].route_mtu4 = value(word);
	else if (strstr(word, ".route_mtu6="))
		lab.nd[device(word, strcspn(word, "."))].route_mtu6 = value(word);
	else
		cr_assert(tweak_flag(word), "tweak \"%s\"", word);
}

void forward_set(struct forward_scene *s, const forward_row *row)
{
	char recipe[512], words[256], *rest = words, *word;

	memset(s, 0, sizeof(*s));
	snprintf(recipe, sizeof(recipe), "%s%s",
		 strncmp((*row)[ROW_PACKET], "eth", 3) ? "eth " : "", (*row)[ROW_PACKET]);
	cr_assert_eq(pkt_recipe(recipe, &s->p), 0);
	pkt_ip_sum(&s->p);
	lab_netdevs_default(&lab);
	s->run.in = LAB_IN;
	snprintf(words, sizeof(words), "%s", (*row)[ROW_WITH] ? (*row)[ROW_WITH] : "");
	while ((word = strsep(&rest, " "))) {
		if (*word)
			tweak(s, word);
	}
	if (memcmp(s->p.data, pkt_mac, 6) == 0)
		memcpy(s->p.data, lab.ifs[s->run.in].mac, 6);
	s->run.data = s->p.data;
	s->run.len = s->p.len;
	lab_put_netdevs(&lab);
}

void forward_strike(struct forward_scene *s)
{
	enum lab_dev d;

	if (*s->sysctl)
		lab_sysctl(s->sysctl, 1);
	for (d = LAB_LO; d < LAB_DEVS; d++)
		lab.forwarding4[d] = lab.forwarding6[d] = true;
}

/* tc test runs want the IP header to be there. */
static size_t runner_min(const struct lab_run *r)
{
	return r->data[12] == 0x86 && r->data[13] == 0xdd ? 54 : 34;
}

static bool is_one_of(const char *word, const char *list)
{
	size_t len;

	for (; *list; list += len + (list[len] == '|')) {
		len = strcspn(list, "|");
		if (strlen(word) == len && memcmp(word, list, len) == 0)
			return true;
	}
	return false;
}

/* In the words of a row. */
static const char *fate(const struct model_result *m, const struct forward_seen *seen, bool xdp,
			char *buf, size_t size)
{
	if (seen->forwarded)
		return lab_names[m->dev];
	if (seen->reason >= 0 && seen->reason != CTB_FB_REFRESH)
		return ref_fallback_names[seen->reason];
	return xdp ? "pass" : rig_verdict(&m->verdict, buf, size);
}

void forward_check_row(const forward_row *row, struct forward_scene *s, bool xdp)
{
	const char *expected = xdp ? (*row)[ROW_XDP] : (*row)[ROW_TC], *did, *wrong;
	char buf[512], text[64], verdict[64];
	static struct model_result m;
	struct forward_seen seen;

	wrong = xdp ? forward_check_xdp(&lab, &s->run, &m, &forward_want, &seen, buf, sizeof(buf))
		    : forward_check_tc(&lab, &s->run, &m, &forward_want, &seen, buf, sizeof(buf));
	cr_expect(!wrong, "%s [%s] in %s: %s", (*row)[ROW_PACKET], (*row)[ROW_WITH],
		  xdp ? "XDP" : "tc", wrong);
	did = fate(&m, &seen, xdp, text, sizeof(text));
	cr_expect(is_one_of(did, expected), "%s [%s] in %s: %s, not %s", (*row)[ROW_PACKET],
		  (*row)[ROW_WITH], xdp ? "XDP" : "tc", did, expected);
	if (seen.reason >= 0)
		forward_reached[seen.reason][!xdp] = true;
	if (seen.refresh)
		forward_reached[CTB_FB_REFRESH][!xdp] = true;
	if ((*row)[ROW_VERDICT] && m.fate != MODEL_PASSED)
		cr_expect_str_eq(rig_verdict(&m.verdict, verdict, sizeof(verdict)),
				 (*row)[ROW_VERDICT], "%s [%s]: %s, not %s", (*row)[ROW_PACKET],
				 (*row)[ROW_WITH], verdict, (*row)[ROW_VERDICT]);
	wrong = forward_check_counters(&lab, &forward_want, buf, sizeof(buf));
	if (wrong) /* say it once */
		harness_counts(lab.h, &forward_want);
	cr_expect(!wrong, "%s [%s] in %s: %s", (*row)[ROW_PACKET], (*row)[ROW_WITH],
		  xdp ? "XDP" : "tc", wrong);
}

/* Cut short it is never forwarded, unless what is missing was padding. The model knows. */
static void check_cut(const forward_row *row, struct forward_scene *s)
{
	static struct model_result m;
	struct lab_run r = s->run;
	struct forward_seen seen;
	const char *wrong;
	char buf[512];

	for (r.len = 14; r.len < s->run.len; r.len += r.len < 160 ? 1 : 61) {
		if (r.linear && r.linear > r.len)
			continue;
		wrong = forward_check_xdp(&lab, &r, &m, &forward_want, &seen, buf, sizeof(buf));
		cr_expect(!wrong, "%s [%s] cut to %zu in XDP: %s", (*row)[ROW_PACKET],
			  (*row)[ROW_WITH], r.len, wrong);
		cr_expect(!seen.forwarded || r.len >= r.back_len - 4);
		if (r.len < runner_min(&r) || r.gso_size)
			continue;
		wrong = forward_check_tc(&lab, &r, &m, &forward_want, &seen, buf, sizeof(buf));
		cr_expect(!wrong, "%s [%s] cut to %zu at tc: %s", (*row)[ROW_PACKET],
			  (*row)[ROW_WITH], r.len, wrong);
	}
}

void forward_begin(const char *rules)
{
	lab_init(&lab, false);
	lab_load_text(&lab, rules);
	memset(&forward_want, 0, sizeof(forward_want));
}

void forward_end(void)
{
	lab_unload(&lab);
}

void forward_need(size_t linear, size_t meta)
{
	bool takes;

	forward_begin(RULES);
	takes = lab_takes(&lab, linear, meta);
	forward_end();
	if (!takes)
		cr_skip_test("this kernel's XDP test runs have no %s",
			     linear ? "frames in several buffers" : "metadata of that size");
}

void forward_run_rows(const char *rules, const forward_row *rows, size_t n)
{
	static struct forward_scene s;
	size_t i;

	forward_begin(rules);
	for (i = 0; i < n; i++) {
		forward_set(&s, &rows[i]);
		forward_check_row(&rows[i], &s, true);
		if (s.run.len >= runner_min(&s.run))
			forward_check_row(&rows[i], &s, false);
		check_cut(&rows[i], &s);
		forward_strike(&s);
	}
	forward_end();
}
