// SPDX-License-Identifier: GPL-2.0-only
/* What `status` is told of each device, checked with the kernel at that moment. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "datapath_priv.h"

const char *forward_path_name(enum forward_path p)
{
	static const char *const names[] = {
		[FORWARD_NONE] = "-",
		[FORWARD_KERNEL] = "kernel",
		[FORWARD_TC] = "tc",
		[FORWARD_XDP] = "xdp",
	};

	return names[p];
}

static enum forward_path _printf_(3, 4)
	say_path(struct attachment *a, enum forward_path path, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->forward_why, sizeof(a->forward_why), fmt, ap);
	va_end(ap);
	return path;
}

/* For a device that is fit for XDP: is it there? */
static enum forward_path xdp_path(const struct datapath *dp, const struct hook *h,
				  struct attachment *a, const char *on)
{
	if (xdp_alive(h))
		return say_path(a, FORWARD_XDP, "native XDP link%s", on);
	if (h->xdp_fd >= 0)
		return say_path(a, FORWARD_TC,
				"our XDP link%s was removed by somebody; `ctbypass reload` puts it "
				"back",
				on);
	if (dp->running.xdp_why[0])
		return say_path(a, FORWARD_TC, "%s", dp->running.xdp_why);
	if (h->xdp_refused)
		return say_path(a, FORWARD_TC, "%s%s", h->xdp_why, on);
	return say_path(a, FORWARD_TC, "%s%s", h->role.why_in[0] ? h->role.why_in : "no XDP", on);
}

static enum forward_path find_path(struct datapath *dp, const struct hook *h, struct attachment *a)
{
	const struct forward_role *role = &h->role;
	const struct hook *parent;
	char on[32];

	if (!role->ifindex)
		return say_path(a, FORWARD_NONE, "there is no forward rule");
	if (!role->concerned)
		return say_path(a, FORWARD_NONE, "%s",
				role->why_in[0] ? role->why_in
						: "no forward rule fits what comes in here");
	if (a->mode == ATTACH_NONE && !(role->xdp && xdp_alive(h)))
		return say_path(a, a->failed ? FORWARD_KERNEL : FORWARD_NONE, "%s", a->why);
	if (!role->in)
		return say_path(a, FORWARD_KERNEL, "%s", role->why_in);
	if (role->xdp)
		return xdp_path(dp, h, a, "");
	/* Frames of a VLAN device may be taken by XDP on the device below. */
	parent = h->dev.vid ? find_hook(dp, h->dev.parent) : NULL;
	if (parent && role->netdev.flags & CTB_ND_XDP_IN) {
		snprintf(on, sizeof(on), " on %s", parent->pub.name);
		return xdp_path(dp, parent, a, on);
	}
	return say_path(a, FORWARD_TC, "%s", role->why_in);
}

static void show_forward(struct datapath *dp, const struct hook *h, struct attachment *a)
{
	a->forward = find_path(dp, h, a);
	a->xdp_out = h->role.xdp_out && !h->egress_err;
	if (h->role.xdp_out && h->egress_err)
		snprintf(a->xdp_out_why, sizeof(a->xdp_out_why), "map egress does not take it: %s",
			 h->egress_err == -E2BIG ? "it is full" : strerror(-h->egress_err));
	else
		memcpy(a->xdp_out_why, h->role.why_out, sizeof(a->xdp_out_why));
}

const struct attachment *datapath_attachments(const struct datapath *cdp, size_t *n)
{
	struct datapath *dp = (struct datapath *)cdp;

	*n = 0;
	if (ARRAY_RESERVE(dp->shown, dp->cap_shown, dp->n_hooks + 1))
		return NULL;
	for (size_t i = 0; i < dp->n_hooks; i++) {
		struct hook *h = &dp->hooks[i];
		struct attachment *a = &dp->shown[i];

		*a = h->pub;
		if (h->pub.mode != ATTACH_NONE && !tc_alive(h)) {
			a->mode = ATTACH_NONE;
			a->failed = true;
			snprintf(a->why, sizeof(a->why),
				 "our %s was removed by somebody; `ctbypass reload` puts it back",
				 h->pub.mode == ATTACH_TCX ? "tcx link" : "clsact filter");
		}
		show_forward(dp, h, a);
	}
	*n = dp->n_hooks;
	return dp->shown;
}
