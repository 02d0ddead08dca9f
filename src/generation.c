// SPDX-License-Identifier: GPL-2.0-only
/* One rule set's programs and maps, loaded: by which way they hand over, and with what beside tc.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "broker.h"
#include "datapath_load.h"
#include "datapath_priv.h"
#include "log.h"
#include "output.skel.h"
#include "static_functions.h"
#include "tc.skel.h"
#include "tc_direct.skel.h"
#include "xdp.skel.h"

void generation_free(struct generation *g)
{
	netdevs_close(g);
	output_bpf__destroy(g->out);
	xdp_bpf__destroy(g->xdp);
	bpf_object__close(g->tc.obj);
	*g = (struct generation){};
}

/* The second program costs as much to verify as the first: it is loaded only where it is needed. */
bool has_layer3(const struct host *host)
{
	for (size_t i = 0; i < host->n_ifs; i++) {
		if (tc_is_layer3(host->ifs[i].type))
			return true;
	}
	return false;
}

bool wants_xdp(const struct forward_plan *plan)
{
	for (size_t i = 0; plan->active && i < plan->n_roles; i++) {
		if (plan->roles[i].xdp)
			return true;
	}
	return false;
}

/* --- tc --- */

/* What every load of one generation is given. dp may be NULL (`check`): counters of its own then.
 */
struct request {
	const struct datapath *dp;
	const struct compiled *c;
	const struct host *host;
	__u32 number;
	bool statics; /* for a kernel without BTF */
};

static int open_tc(bool direct, struct tc_programs *out)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "tc");
	size_t size;
	const void *elf = direct ? tc_direct_bpf__elf_bytes(&size) : tc_bpf__elf_bytes(&size);
	struct bpf_object *obj = bpf_object__open_mem(elf, size, &opts);

	if (!obj)
		return -errno;
	*out = (struct tc_programs){
		.obj = obj,
		.ether = bpf_object__find_program_by_name(obj, "ctb_tc_ether"),
		.ip = bpf_object__find_program_by_name(obj, "ctb_tc_ip"),
	};
	return 0;
}

static int reuse(struct bpf_object *obj, const struct datapath *dp, enum state_map m)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, state_map_names[m]);

	return map ? bpf_map__reuse_fd(map, dp->map_fd[m]) : -ENOENT;
}

static int reuse_counters(struct bpf_object *obj, const struct datapath *dp)
{
	int err = reuse(obj, dp, SM_RULES);

	if (!err)
		err = reuse(obj, dp, SM_REASONS);
	return err ? err : reuse(obj, dp, SM_FALLBACKS);
}

static int load_tc_as(const struct request *r, struct tc_programs *out, char **error)
{
	struct tc_programs tc;
	int err = open_tc(r->c->config.direct, &tc);

	if (err)
		return error_set(error, err, "cannot open the embedded BPF object: %s",
				 strerror(-err));
	if (r->statics)
		make_functions_static(tc.obj);
	err = load_configure(tc.obj, r->c, r->host, r->number);
	if (!err && r->dp)
		err = bpf_program__set_autoload(tc.ip, has_layer3(r->host));
	if (!err && r->dp)
		err = reuse_counters(tc.obj, r->dp);
	if (err) {
		error_set(error, err, "cannot size the BPF maps: %s", strerror(-err));
		goto fail;
	}
	err = bpf_object__load(tc.obj);
	if (err) {
		error_set(error, err, "the kernel refused the BPF programs: %s%s", strerror(-err),
			  err == -EPERM ? " (root or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON needed)"
					: "");
		goto fail;
	}
	err = load_tables(tc.obj, r->c, r->host);
	if (err) {
		error_set(error, err, "cannot fill the BPF maps: %s", strerror(-err));
		goto fail;
	}
	*out = tc;
	return 0;
fail:
	bpf_object__close(tc.obj);
	return err;
}

/* Could the verifier's refusal be one of global functions, since the kernel has no BTF? */
static bool refused_by_verifier(int err)
{
	return err == -EACCES || err == -EINVAL;
}

static int load_tc(struct request r, struct tc_programs *out, char **error)
{
	_free_ char *again = NULL;
	int err = load_tc_as(&r, out, error);

	r.statics = true;
	if (refused_by_verifier(err) && !load_tc_as(&r, out, &again)) {
		free(TAKE_PTR(*error));
		err = 0;
	}
	return err;
}

/* --- beside it, with its maps --- */

/* Every map that both objects declare is one map. */
static int share_maps(struct bpf_object *to, const struct bpf_object *from)
{
	struct bpf_map *map, *shared;
	int err = 0;

	bpf_object__for_each_map (map, to) {
		shared = load_same_map(from, map);
		if (!err && shared)
			err = bpf_map__reuse_fd(map, bpf_map__fd(shared));
	}
	return err;
}

static int load_xdp_as(const struct request *r, const struct tc_programs *tc, struct xdp_bpf **out)
{
	struct xdp_bpf *skel = xdp_bpf__open();
	int err;

	if (!skel)
		return -errno;
	if (r->statics)
		make_functions_static(skel->obj);
	err = load_configure(skel->obj, r->c, r->host, r->number);
	if (!err)
		err = share_maps(skel->obj, tc->obj);
	if (!err)
		err = xdp_bpf__load(skel);
	if (err) {
		xdp_bpf__destroy(skel);
		return err;
	}
	*out = skel;
	return 0;
}

static int load_xdp(struct request r, const struct tc_programs *tc, struct xdp_bpf **out)
{
	int err = load_xdp_as(&r, tc, out);

	r.statics = true;
	if (refused_by_verifier(err) && !load_xdp_as(&r, tc, out))
		err = 0;
	return err;
}

static int load_output(const struct request *r, const struct tc_programs *tc,
		       struct output_bpf **out)
{
	struct output_bpf *skel = output_bpf__open();
	int err;

	if (!skel)
		return -errno;
	err = load_configure(skel->obj, r->c, r->host, r->number);
	if (!err)
		err = share_maps(skel->obj, tc->obj);
	if (!err && r->dp)
		err = reuse(skel->obj, r->dp, SM_RULES_OUT);
	if (!err)
		err = output_bpf__load(skel);
	if (err) {
		output_bpf__destroy(skel);
		return err;
	}
	*out = skel;
	return 0;
}

/* --- both ways to hand over --- */

#define SAY(buf, ...) snprintf(buf, sizeof(buf), __VA_ARGS__)

/*
 * tc and the program at OUTPUT, direct. What is sent may stay nft's, with the reason; -errno: what
 * arrives has to as well. k: borrowed for the time being.
 */
static int load_direct(struct request r, const struct kfuncs *k, struct generation *g, char **error)
{
	struct compiled direct = *r.c; /* with its tables */
	int err;

	direct.config.direct = 1;
	direct.config.mark = 0;
	r.c = &direct;
	err = kfuncs_register();
	if (err)
		return err;
	kfuncs_use(k);
	err = load_tc_as(&r, &g->tc, error);
	if (!err) {
		g->how.ingress = HAND_OVER_DIRECT;
		SAY(g->how.ingress_why, "kfunc of module " KFUNCS_MODULE);
		err = k->nf_id ? load_output(&r, &g->tc, &g->out) : -EOPNOTSUPP;
		if (!err) {
			g->how.output = HAND_OVER_DIRECT;
			SAY(g->how.output_why, "netfilter program, kfunc of module " KFUNCS_MODULE);
		} else if (err == -EOPNOTSUPP) {
			SAY(g->how.output_why,
			    "rules in nft: this kernel has no netfilter programs (6.4)");
		} else {
			SAY(g->how.output_why,
			    "rules in nft: the kernel refused the netfilter program: %s",
			    strerror(-err));
		}
		err = 0;
	}
	kfuncs_use(NULL);
	return err;
}

static void say_no_kfuncs(int err, char *why, size_t size)
{
	if (err == -ESRCH)
		snprintf(why, size, "a mark for nft: module " KFUNCS_MODULE " is not loaded");
	else if (err == -EPERM)
		snprintf(why, size,
			 "a mark for nft: finding module " KFUNCS_MODULE
			 " takes CAP_SYS_ADMIN at the start, and it being installed by then");
	else if (err == -ENOENT)
		snprintf(why, size, "a mark for nft: module " KFUNCS_MODULE " has no BTF");
	else
		snprintf(why, size, "a mark for nft: module " KFUNCS_MODULE " cannot be used: %s",
			 strerror(-err));
}

/* 0: dp->kfuncs is there. While one of our programs calls them they cannot go. */
static int find_kfuncs(struct datapath *dp)
{
	if (dp->kfuncs.btf_fd >= 0 && dp->running.how.ingress == HAND_OVER_DIRECT)
		return 0;
	kfuncs_close(&dp->kfuncs);
	return broker_ask(dp->broker, &dp->kfuncs);
}

/* 0: loaded; 1: it is to be mark mode, and how says why; or -errno, where nothing else was allowed.
 */
static int try_direct(struct datapath *dp, const struct request *r, struct generation *g,
		      char **error)
{
	struct hand_over *how = &g->how;
	_free_ char *words = NULL;
	int err;

	SAY(how->output_why, "rules in nft, as for what arrives");
	if (dp->hand_over == HAND_OVER_ONLY_MARK) {
		SAY(how->ingress_why, "a mark for nft (asked for)");
		return 1;
	}
	err = kfuncs_loaded() ? find_kfuncs(dp) : -ESRCH;
	if (err) {
		say_no_kfuncs(err, how->ingress_why, sizeof(how->ingress_why));
	} else {
		err = defer_start(dp);
		if (err)
			error_set(&words, err, "net.netfilter.nf_untrack_defer cannot be set: %s",
				  strerror(-err));
		else
			err = load_direct(*r, &dp->kfuncs, g, &words);
		if (!err)
			return 0;
		SAY(how->ingress_why, "a mark for nft: %s", words ? words : strerror(-err));
	}
	if (dp->hand_over == HAND_OVER_ONLY_DIRECT)
		return error_set(error, err, "direct mode was asked for, and there would be %s",
				 how->ingress_why);
	if (err != -ESRCH)
		log_warn("%s", how->ingress_why);
	return 1;
}

static int finish(const struct request *r, bool xdp, struct generation *g, char **error)
{
	int err = xdp ? load_xdp(*r, &g->tc, &g->xdp) : 0;

	if (err)
		SAY(g->xdp_why, "the kernel refused the XDP program: %s", strerror(-err));
	err = netdevs_open(g);
	return err ? error_set(error, err, "cannot map the BPF maps: %s", strerror(-err)) : 0;
}

int generation_load(struct datapath *dp, const struct compiled *c, const struct host *host,
		    bool xdp, struct generation *out, char **error)
{
	struct request r = { .dp = dp, .c = c, .host = host, .number = dp->state.generation + 1 };
	struct generation g = {};
	int err = try_direct(dp, &r, &g, error);

	if (err == 1)
		err = load_tc(r, &g.tc, error);
	if (!err)
		err = finish(&r, xdp, &g, error);
	if (err) {
		generation_free(&g);
		return err;
	}
	*out = g;
	return 0;
}

/* Of what is loaded nothing but the verifier's word is kept. */
static int verify_direct(const struct request *r, char **error)
{
	_cleanup_(kfuncs_close) struct kfuncs k = { .btf_fd = -1 };
	struct generation g = {};
	int err;

	if (!kfuncs_loaded() || kfuncs_find(&k))
		return 0;
	err = load_direct(*r, &k, &g, error);
	generation_free(&g);
	return err;
}

int datapath_verify(const struct compiled *c, const struct host *host, char **error)
{
	struct request r = { .c = c, .host = host };
	struct generation g = {};
	int err;

	*error = NULL;
	err = load_tc(r, &g.tc, error);
	if (!err)
		err = finish(&r, c->config.forward, &g, error);
	if (!err)
		err = verify_direct(&r, error);
	if (!err && g.xdp_why[0])
		error_set(error, 0, "%s; tc would forward", g.xdp_why);
	generation_free(&g);
	return err;
}
