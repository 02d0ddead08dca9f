// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this kernel can do of what is used here. JSON (-j):
 *
 *  {"kernel":{"release":"...","lockdown":"none" or null,"unprivileged_bpf_disabled":2 or null},
 *   "root":true,"missing":["tcx", ...],
 *   "features":[{"name":"tcx","state":"yes","needed":"required"|"optional"|"direct",
 *                "for":"...","without":"...","detail":"..."}],
 *   "devices":[{"name":"eth0","driver":"...","xdp":"yes","xdp_out":"yes"}]}
 *
 * missing: what is required and not there; then the exit status is 1.
 */
#include <string.h>

#include "client.h"
#include "commands.h"
#include "feature.h"
#include "routing.h"

static const char *need_name(enum feature_id id)
{
	static const char *const names[] = {
		[FEATURE_REQUIRED] = "required",
		[FEATURE_OPTIONAL] = "optional",
		[FEATURE_DIRECT] = "direct",
	};

	return names[feature_need(id)];
}

/* What somebody else's process may not do says nothing of the daemon's. */
static void forget_capabilities(struct features *f)
{
	static const enum feature_id caps[] = { FEATURE_CAP_BPF, FEATURE_CAP_PERFMON,
						FEATURE_CAP_NET_ADMIN, FEATURE_CAP_SYS_ADMIN };

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		struct feature *c = &f->f[caps[i]];

		if (c->state != FEATURE_NO)
			continue;
		c->state = FEATURE_UNKNOWN;
		snprintf(c->detail, sizeof(c->detail), "not root; this process has it not");
	}
}

/* --- devices --- */

static const char *known(bool asked, bool value)
{
	return !asked ? "unknown" : value ? "yes" : "no";
}

static json_t *list_devices(void)
{
	struct routing routing = {};
	json_t *out = json_array();
	struct host host = {};

	if (host_read(&host) || routing_read(&host, &routing)) {
		host_free(&host);
		return out;
	}
	for (size_t i = 0; i < routing.n_ifs; i++) {
		const struct route_if *r = &routing.ifs[i];
		const struct host_if *h = host_find(&host, r->ifindex);
		json_t *name = json_string(h ? h->name : "");

		json_array_append_new(out,
				      json_pack("{s:o,s:s,s:s,s:s}", "name",
						name ? name : json_string("?"), "driver", r->driver,
						"xdp", known(r->xdp_known, r->xdp_redirect),
						"xdp_out", known(r->xdp_known, r->xdp_out)));
	}
	routing_free(&routing);
	host_free(&host);
	return out;
}

/* --- JSON --- */

static json_t *list_features(const struct features *f)
{
	json_t *out = json_array();

	for (int i = 0; i < FEATURE_MAX; i++) {
		enum feature_id id = (enum feature_id)i;

		json_array_append_new(
			out, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "name", feature_name(id),
				       "state", feature_state_name(f->f[i].state), "needed",
				       need_name(id), "for", feature_what_for(id), "without",
				       feature_without(id), "detail", f->f[i].detail));
	}
	return out;
}

/* missing: a name before the first colon of each line. */
static json_t *list_missing(const char *missing)
{
	json_t *out = json_array();

	while (missing && *missing) {
		json_array_append_new(out, json_stringn(missing, strcspn(missing, ":")));
		missing += strcspn(missing, "\n");
		missing += *missing == '\n';
	}
	return out;
}

static int print_json(const struct features *f, const char *missing)
{
	json_t *kernel = json_pack("{s:s,s:s?,s:o}", "release", f->release, "lockdown",
				   f->lockdown[0] ? f->lockdown : NULL, "unprivileged_bpf_disabled",
				   f->unprivileged < 0 ? json_null()
						       : json_integer(f->unprivileged));
	json_t *v = json_pack("{s:o,s:b,s:o,s:o,s:o}", "kernel", kernel, "root", !geteuid(),
			      "missing", list_missing(missing), "features", list_features(f),
			      "devices", list_devices());
	int status = v ? client_print_json(v) : command_fail("out of memory");

	json_decref(v);
	return status;
}

/* --- text --- */

static void print_feature(const struct features *f, enum feature_id id)
{
	const struct feature *x = &f->f[id];

	printf("%-18s%-9s%-10s%s", feature_name(id), feature_state_name(x->state), need_name(id),
	       feature_what_for(id));
	if (feature_need(id) == FEATURE_OPTIONAL)
		printf("; without it: %s", feature_without(id));
	if (x->detail[0])
		printf(" (%s)", x->detail);
	putchar('\n');
}

static void print_devices(void)
{
	json_t *list = list_devices(), *d;
	size_t n;

	printf("\n%-18s%-12s%-9s%s\n", "device", "driver", "XDP", "takes XDP frames");
	json_array_foreach (list, n, d) {
		const char *driver = json_string_value(json_object_get(d, "driver"));

		printf("%-18s%-12s%-9s%s\n", json_string_value(json_object_get(d, "name")),
		       *driver ? driver : "-", json_string_value(json_object_get(d, "xdp")),
		       json_string_value(json_object_get(d, "xdp_out")));
	}
	json_decref(list);
}

static void print_text(const struct features *f, const char *missing)
{
	printf("Linux %s", f->release);
	if (f->lockdown[0])
		printf(", lockdown %s", f->lockdown);
	if (f->unprivileged >= 0)
		printf(", kernel.unprivileged_bpf_disabled %d", f->unprivileged);
	printf("\n\n%-18s%-9s%-10s%s\n", "feature", "there", "needed", "for");
	for (int i = 0; i < FEATURE_MAX; i++)
		print_feature(f, (enum feature_id)i);
	printf("\nWithout what is required the daemon refuses to start.\n");
	print_devices();
	if (missing)
		printf("\nRequired and missing:\n%s", missing);
	else if (geteuid())
		printf("\nNothing required is known to be missing; not root, so not all could be "
		       "tried.\n");
	else
		printf("\nEverything required is there.\n");
}

int cmd_features(const struct args *a)
{
	_strbuf_ struct strbuf missing = {};
	struct features f;
	int err = features_probe(a->pindir, true, &f), status = 0;
	size_t n;

	if (err)
		return command_fail("cannot try the kernel's features: %s", strerror(-err));
	if (geteuid())
		forget_capabilities(&f);
	n = features_missing(&f, &missing);
	if (a->json)
		status = print_json(&f, missing.s);
	else
		print_text(&f, missing.s);
	return status ? status : n > 0;
}
