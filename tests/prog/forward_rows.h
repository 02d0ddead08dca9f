/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables for the forwarding path. A row says what a person expects of a frame, in XDP and at tc;
 * that the model says the same, of all counters and bytes too, is checked by forward_check.h.
 * Every frame is then cut at every length.
 */
#ifndef CTBYPASS_TESTS_FORWARD_ROWS_H
#define CTBYPASS_TESTS_FORWARD_ROWS_H

#include <criterion/criterion.h>
#include "forward_check.h"
#include "rig.h"

/* An array, since rows may stop early. */
typedef const char *forward_row[5];

enum {
	ROW_PACKET, /* recipe (packets.h); "eth" in front where there is none */
	ROW_WITH,   /* words of tweak(), forward_rows.c */
	/* A device: forwarded by it. A reason of CTB_FALLBACKS. XDP: "pass", uncounted. tc: what
	 * the rules say where it is not `forward`. "A|B": kernels differ. */
	ROW_XDP,
	ROW_TC,
	ROW_VERDICT, /* of the forward rule; NULL: not looked at */
};

/* in0 is device 1, out0 2, few 3, tco 4, v5 5, off 6, v7 7, v5o 8: see forward_lab.h. */
#define RULES \
	"forward saddr 198.18.0.0/16\n" /* 1 */ \
	"forward saddr 2001:db8::/32\n" /* 2 */

#define F4     "ip4:198.18.1.9>198.18.2.9"
#define F6     "ip6:2001:db8:f1::9>2001:db8:f2::9"
#define TO4(n) "ip4:198.18.1.9>198.18." #n ".9"
#define TO6(n) "ip6:2001:db8:f1::9>2001:db8:f" #n "::9"

/* A frame, ready to run, and the lab as it wants it. */
struct forward_scene {
	struct packet p;
	struct lab_run run;
	char sysctl[96]; /* to be set back to 1 */
};

extern struct lab lab;
extern struct harness_counts forward_want;  /* what must have been counted so far */
extern bool forward_reached[CTB_FB_MAX][2]; /* by XDP, by tc */

/* A new lab with these rules. */
void forward_begin(const char *rules);
/* Skip the test where the kernel has no test runs like that (lab_takes()). */
void forward_need(size_t linear, size_t meta);
void forward_end(void);
void forward_set(struct forward_scene *s, const forward_row *row);
void forward_strike(struct forward_scene *s);
/* Run it in XDP or at tc, and expect what the row says. */
void forward_check_row(const forward_row *row, struct forward_scene *s, bool xdp);
void forward_run_rows(const char *rules, const forward_row *rows, size_t n);

#define RUN(rules, ...) \
	do { \
		static const forward_row rows_[] = { __VA_ARGS__ }; \
		forward_run_rows(rules, rows_, ARRAY_SIZE(rows_)); \
	} while (0)
/* A reason that some row must have come by. */
#define XDP_GAVE(reason) cr_expect(forward_reached[CTB_FB_##reason][0], "XDP never said " #reason)
#define TC_GAVE(reason)	 cr_expect(forward_reached[CTB_FB_##reason][1], "tc never said " #reason)
#define BOTH_GAVE(reason) \
	do { \
		XDP_GAVE(reason); \
		TC_GAVE(reason); \
	} while (0)

#endif
