/* SPDX-License-Identifier: GPL-2.0-only */
/* The two ways from a verdict to UNTRACKED. */
#ifndef CTBYPASS_HAND_OVER_H
#define CTBYPASS_HAND_OVER_H

/* Who makes a packet UNTRACKED that a rule wants so. */
enum hand_over_method {
	/* nft: what arrives by a mark that tc leaves on it, what is sent by rules of its own. */
	HAND_OVER_MARK,
	/* The BPF program that judges it, by a kfunc of the optional module (kmod/). */
	HAND_OVER_DIRECT,
};
enum hand_over_wish {
	HAND_OVER_AUTO,
	HAND_OVER_ONLY_MARK,
	HAND_OVER_ONLY_DIRECT /* of what arrives; of what is sent where the kernel can */
};

const char *hand_over_name(enum hand_over_method m); /* "mark", "direct" */
/* "auto", "mark", "direct". 0 or -EINVAL. */
#define HAND_OVER_WISHES "auto, mark or direct"
int hand_over_parse(const char *text, enum hand_over_wish *out);

/* Of one generation. output is direct only if ingress is. */
struct hand_over {
	enum hand_over_method ingress, output;
	char ingress_why[192], output_why[192]; /* never empty */
};

#endif
