// SPDX-License-Identifier: GPL-2.0-only
#include <criterion/criterion.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include "compile.h"
#include "datapath_load.h"
#include "expand.h"
#include "harness.h"
/* These want abi.h first. */
#include "classify_test.skel.h"
#include "tc.skel.h"
#include "tc_direct.skel.h"

struct harness {
	struct bpf_object *obj;
	struct classify_test_bpf *test; /* one of the three owns obj */
	struct tc_bpf *production;
	struct tc_direct_bpf *direct;
	struct ctb_test_seen *seen; /* mapped; HARNESS_TEST only */
	struct ruleset *rs;	    /* borrowed */
	struct compiled c;
	size_t table_bytes;
	int ether_fd, ip_fd, prepared_fd, look_ether_fd, look_ip_fd;
};

/* The only BPF test that is no test: whether one can be had. */
static const char *why_no_bpf(void)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd;

	if (geteuid() != 0)
		return "not root";
	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "ctb_probe", "GPL", insns, 2, NULL);
	if (fd < 0)
		return "this system does not let root load BPF programs";
	close(fd);
	return NULL;
}

bool harness_has_netfilter(void)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	/* BPF_PROG_TYPE_NETFILTER and BPF_NETFILTER, which old headers have not. */
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = (enum bpf_attach_type)45);
	int fd = bpf_prog_load((enum bpf_prog_type)32, "ctb_probe", "GPL", insns, 2, &opts);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Warnings only; of the verifier's log its last words. */
static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	enum {
		HEAD = 160,
		TAIL = 600
	};
	_free_ char *text = NULL;
	int n = level == LIBBPF_WARN ? vasprintf(&text, fmt, ap) : 0;

	if (n > HEAD + TAIL)
		fprintf(stderr, "%.*s\n...\n%s", HEAD, text, text + n - TAIL);
	else if (n > 0)
		fputs(text, stderr);
	return 0;
}

size_t harness_init(struct host_if *ifs, size_t max)
{
	static const char *const names[] = { "lo", "va0", "va1", "vb0", "vb1" };
	const char *why = why_no_bpf();
	char cmd[256];
	size_t i;

	if (why)
		cr_skip_test("%s", why);
	libbpf_set_print(quiet);
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "unshare: %s", strerror(errno));
	snprintf(
		cmd, sizeof(cmd),
		"M=%02x:%02x:%02x:%02x:%02x:%02x; for v in a b; do "
		"ip link add v${v}0 address $M type veth peer name v${v}1 address $M || exit; done",
		pkt_mac[0], pkt_mac[1], pkt_mac[2], pkt_mac[3], pkt_mac[4], pkt_mac[5]);
	cr_assert_eq(system(cmd), 0, "no veth devices");
	memset(ifs, 0, max * sizeof(*ifs));
	for (i = 0; i < ARRAY_SIZE(names) && i < max; i++) {
		ifs[i].ifindex = if_nametoindex(names[i]);
		snprintf(ifs[i].name, IFNAMSIZ, "%s", names[i]);
		ifs[i].flags = IFF_UP;
		ifs[i].mtu = 1500;
	}
	return i;
}

static void number_slots(struct ruleset *rs)
{
	size_t i;

	/* Backwards, so that a slot is not by chance the rule's place or handle. */
	for (i = 0; i < rs->n_rules; i++)
		rs->rules[i].slot = rs->n_rules - i;
}

/* too_big is told apart from failure only where the caller expects it. */
static int make_tables(const struct ruleset *rs, const struct host *host, struct compiled *out)
{
	struct entries entries = {};
	_diag_ struct diag d = {};
	int err;

	err = expand_ruleset(rs, &entries, &d);
	if (err) {
		fprintf(stderr, "expand: %s: %s\n", strerror(-err), d.text.s ? d.text.s : "");
		return err;
	}
	err = compile(&entries, host, rs->mark, out, &d);
	if (err && err != -E2BIG)
		fprintf(stderr, "compile: %s: %s\n", strerror(-err), d.text.s ? d.text.s : "");
	entries_free(&entries);
	return err;
}

static int open_object(struct harness *h, enum harness_object o)
{
	if (o == HARNESS_TEST) {
		h->test = classify_test_bpf__open();
		h->obj = h->test ? h->test->obj : NULL;
	} else if (o == HARNESS_DIRECT) {
		h->direct = tc_direct_bpf__open();
		h->obj = h->direct ? h->direct->obj : NULL;
	} else {
		h->production = tc_bpf__open();
		h->obj = h->production ? h->production->obj : NULL;
	}
	return h->obj ? 0 : -errno;
}

static int take_fds(struct harness *h)
{
	if (h->production) {
		h->ether_fd = bpf_program__fd(h->production->progs.ctb_tc_ether);
		h->ip_fd = bpf_program__fd(h->production->progs.ctb_tc_ip);
		return 0;
	}
	if (h->direct) {
		h->ether_fd = bpf_program__fd(h->direct->progs.ctb_tc_ether);
		h->ip_fd = bpf_program__fd(h->direct->progs.ctb_tc_ip);
		return 0;
	}
	h->ether_fd = bpf_program__fd(h->test->progs.ctb_tc_ether);
	h->ip_fd = bpf_program__fd(h->test->progs.ctb_tc_ip);
	h->prepared_fd = bpf_program__fd(h->test->progs.test_prepared);
	h->look_ether_fd = bpf_program__fd(h->test->progs.test_ether);
	h->look_ip_fd = bpf_program__fd(h->test->progs.test_ip);
	h->seen = mmap(NULL, sizeof(*h->seen), PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(h->test->maps.seen), 0);
	if (h->seen == MAP_FAILED) {
		h->seen = NULL;
		return -errno;
	}
	return 0;
}

static void add_table_sizes(struct harness *h)
{
	struct bpf_map *map;
	const char *const *name;

	for (name = generation_maps; *name; name++) {
		map = load_map(h->obj, *name);
		if (map)
			h->table_bytes += (size_t)bpf_map__max_entries(map) *
					  bpf_map__value_size(map);
	}
}

struct harness *harness_load(struct ruleset *rs, const struct host *host, enum harness_object o,
			     bool *too_big)
{
	struct harness *h = calloc(1, sizeof(*h));
	const char *step = "compile";
	struct bpf_program *prog;
	int err;

	if (!h)
		return NULL;
	h->rs = rs;
	number_slots(rs);
	err = make_tables(rs, host, &h->c);
	if (too_big)
		*too_big = err == -E2BIG;
	if (err)
		goto out;
	step = "open";
	err = open_object(h, o);
	if (err)
		goto out;
	step = "configure";
	err = load_configure(h->obj, &h->c, host, 1);
	if (err)
		goto out;
	step = "load";
	bpf_object__for_each_program (prog, h->obj)
		bpf_program__set_autoload(prog, true);
	err = bpf_object__load(h->obj);
	if (err)
		goto out;
	step = "tables";
	err = load_tables(h->obj, &h->c, host);
	if (err)
		goto out;
	step = "map";
	err = take_fds(h);
	add_table_sizes(h);
out:
	if (!err)
		return h;
	if (!too_big || !*too_big)
		fprintf(stderr, "harness: %s: %s\n", step, strerror(-err));
	harness_free(h);
	return NULL;
}

void harness_free(struct harness *h)
{
	if (!h)
		return;
	if (h->seen)
		munmap(h->seen, sizeof(*h->seen));
	classify_test_bpf__destroy(h->test);
	tc_bpf__destroy(h->production);
	tc_direct_bpf__destroy(h->direct);
	compiled_free(&h->c);
	free(h);
}

#define RUNNER_MIN 54 /* the runner wants the IP header to be there: Ethernet and IPv6 */

/* Too short for the runner: comes longer and is cut by the test program. */
static bool needs_cut(const struct packet *p)
{
	return !p->layer3 && p->len < RUNNER_MIN;
}

struct ref_frame harness_frame(const struct packet *p, const struct host_if *in,
			       const struct harness_extra *x)
{
	static const __u8 lo_mac[6];
	const __u8 *mac = in->ifindex == 1 ? lo_mac : pkt_mac;

	return (struct ref_frame){
		.data = p->data,
		.len = p->len,
		.layer3 = p->layer3,
		.protocol = p->protocol,
		/* As eth_type_trans() decides; group addresses are for everyone. */
		.other_host = !p->layer3 && !(p->data[0] & 1) && memcmp(p->data, mac, 6) != 0,
		.tagged = x && x->push,
		.tag_vid = x ? x->push & 0xfff : 0,
		.gso = x && x->gso_size && !needs_cut(p), /* cutting takes it away */
		.ifindex = in->ifindex,
		.ifname = in->name,
	};
}

bool harness_can(const struct packet *p)
{
	return p->len >= (p->layer3 ? RUNNER_MIN - 14 : 14);
}

static bool prepare(struct harness *h, const struct packet *p, const struct harness_extra *x)
{
	if (!h->seen)
		return false;
	memset(h->seen, 0, sizeof(*h->seen));
	h->seen->push = x ? x->push : 0;
	h->seen->cut = needs_cut(p) ? p->len : 0;
	return h->seen->push || h->seen->cut;
}

/* A layer 3 packet travels behind an Ethernet header that the runner takes off again. */
static int test_run(int fd, const struct packet *p, const struct host_if *in,
		    const struct harness_extra *x, __u32 *mark, bool unchanged)
{
	__u8 buf[14 + PKT_MAX] = {}, back[14 + PKT_MAX + 64];
	struct __sk_buff ctx = { .mark = *mark, .ifindex = in->ifindex };
	size_t len = p->len, off = 0;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = buf, .data_out = back,
		    .data_size_out = sizeof(back), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		    .ctx_out = &ctx, .ctx_size_out = sizeof(ctx), .repeat = 1);
	int err;

	if (p->layer3) {
		off = 14;
		memcpy(buf, pkt_mac, 6);
		memcpy(buf + 6, pkt_mac, 6);
		buf[12] = p->protocol >> 8;
		buf[13] = p->protocol;
	}
	memcpy(buf + off, p->data, len);
	opts.data_size_in = needs_cut(p) ? RUNNER_MIN : off + len;
	if (x && x->gso_size) {
		ctx.gso_size = x->gso_size;
		ctx.gso_segs = 2;
	}
	err = bpf_prog_test_run_opts(fd, &opts);
	if (err)
		return -errno;
	*mark = ctx.mark;
	if (opts.retval != (__u32)-1)
		return -EBADMSG;
	if (unchanged &&
	    (opts.data_size_out != opts.data_size_in || memcmp(buf, back, opts.data_size_in) != 0))
		return -EBADMSG;
	return 0;
}

int harness_look(struct harness *h, const struct packet *p, const struct host_if *in,
		 const struct harness_extra *x, struct ctb_test_seen *out)
{
	__u32 mark = 0;
	int err;

	prepare(h, p, x);
	err = test_run(p->layer3 ? h->look_ip_fd : h->look_ether_fd, p, in, x, &mark, false);
	if (!err)
		*out = *h->seen;
	return err;
}

int harness_run(struct harness *h, const struct packet *p, const struct host_if *in,
		const struct harness_extra *x, __u32 *mark)
{
	if (prepare(h, p, x))
		return test_run(h->prepared_fd, p, in, x, mark, false);
	return test_run(h->ether_fd, p, in, x, mark, true);
}

int harness_run_ip(struct harness *h, const struct packet *p, __u32 *mark)
{
	struct host_if lo = { .ifindex = 1 };
	struct packet frame = *p;

	frame.layer3 = false;
	return test_run(h->ip_fd, &frame, &lo, NULL, mark, true);
}

int harness_ether_fd(const struct harness *h)
{
	return h->ether_fd;
}

int harness_ip_fd(const struct harness *h)
{
	return h->ip_fd;
}

int harness_pushed_fd(const struct harness *h, __u16 tci)
{
	memset(h->seen, 0, sizeof(*h->seen));
	h->seen->push = tci;
	return h->prepared_fd;
}

struct bpf_object *harness_bpf(const struct harness *h)
{
	return h->obj;
}

const struct compiled *harness_tables(const struct harness *h)
{
	return &h->c;
}

__u32 harness_slot(const struct harness *h, __u32 handle)
{
	int i = handle ? ruleset_find(h->rs, handle) : -1;

	return i < 0 ? CTB_SLOT_FAILSAFE : h->rs->rules[i].slot;
}

static void add_count(struct ctb_count *to, const struct ctb_count *c)
{
	to->packets += c->packets;
	to->bytes += c->bytes;
}

int harness_fallbacks(const struct harness *h, struct ctb_fallback_counters *out)
{
	int cpus = libbpf_num_possible_cpus(), cpu, i;
	int fd = bpf_object__find_map_fd_by_name(h->obj, "fallbacks");
	_free_ struct ctb_fallback_counters *f = calloc((size_t)cpus * CTB_FB_MAX, sizeof(*f));
	__u32 keys[CTB_FB_MAX], next, n = CTB_FB_MAX;

	if (!f)
		return -ENOMEM;
	if (bpf_map_lookup_batch(fd, NULL, &next, keys, f, &n, NULL) && errno != ENOENT)
		return -errno;
	memset(out, 0, CTB_FB_MAX * sizeof(*out));
	for (i = 0; i < CTB_FB_MAX; i++) {
		for (cpu = 0; cpu < cpus; cpu++) {
			add_count(&out[i].to_tc, &f[i * cpus + cpu].to_tc);
			add_count(&out[i].kernel, &f[i * cpus + cpu].kernel);
		}
	}
	return 0;
}

int harness_counts(const struct harness *h, struct harness_counts *out)
{
	int cpus = libbpf_num_possible_cpus(), cpu;
	int rules = bpf_object__find_map_fd_by_name(h->obj, "rules");
	int reasons = bpf_object__find_map_fd_by_name(h->obj, "reasons");
	_free_ struct ctb_rule_counters *r = calloc(cpus, sizeof(*r));
	_free_ struct ctb_count *c = calloc(cpus, sizeof(*c));
	__u32 i, o, d;

	if (!r || !c)
		return -ENOMEM;
	memset(out, 0, sizeof(*out));
	for (i = 0; i <= h->rs->n_rules && i < CTB_MAX_RULES; i++) {
		if (bpf_map_lookup_elem(rules, &i, r))
			return -errno;
		for (cpu = 0; cpu < cpus; cpu++) {
			for (o = 0; o < CTB_OUTCOME_MAX; o++) {
				for (d = 0; d < CTB_DIR_MAX; d++)
					add_count(&out->rules[i].count[o][d], &r[cpu].count[o][d]);
			}
		}
	}
	for (i = 0; i < CTB_R_MAX; i++) {
		if (bpf_map_lookup_elem(reasons, &i, c))
			return -errno;
		for (cpu = 0; cpu < cpus; cpu++)
			add_count(&out->reasons[i], &c[cpu]);
	}
	return harness_fallbacks(h, out->fallbacks);
}

void harness_expect(const struct harness *h, const struct ref_verdict *v, bool whole, size_t len,
		    struct harness_counts *sum)
{
	/* Without a length in a header that can be trusted, the frame's is what there is. */
	struct ctb_count one = { 1, v->has_bytes ? v->bytes : len };

	if (!v->judged) {
		add_count(&sum->reasons[v->reason], &one);
		return;
	}
	add_count(&sum->rules[harness_slot(h, v->handle)].count[CTB_OUT_KERNEL][v->dir], &one);
	if (v->action == CTB_FORWARD)
		add_count(&sum->fallbacks[ref_fallback(v, whole)].kernel, &one);
}

size_t harness_table_bytes(const struct harness *h)
{
	return h->table_bytes;
}

enum ctb_dir harness_entry_dir(const struct ctb_entry *e)
{
	return e->flags & CTB_E_REPLY ? CTB_DIR_REPLY : CTB_DIR_ORIG;
}

/* Only `forward` tells packets of this host from others. */
static bool entry_action_is(const struct ctb_entry *e, const struct ref_verdict *want)
{
	bool local = want->action == CTB_FORWARD && want->local;

	return e->action == want->action && !(e->flags & CTB_E_LOCAL) == !local;
}

static const char *seen_text(const struct harness *h, const struct ctb_test_seen *s, char *buf,
			     size_t size)
{
	const char *dir = s->quoted ? "icmp-error" : ref_dir_names[harness_entry_dir(&s->entry)];
	__u32 i;

	if (!s->judged) {
		snprintf(buf, size, "%s",
			 s->reason >= 0 && s->reason < CTB_R_MAX ? ref_reason_names[s->reason]
								 : "nonsense");
		return buf;
	}
	for (i = 0; i < h->rs->n_rules; i++) {
		if (h->rs->rules[i].slot == s->entry.slot)
			break;
	}
	snprintf(buf, size, "slot %u (handle %u) %s action %u%s", s->entry.slot,
		 i < h->rs->n_rules ? h->rs->rules[i].handle : 0, dir, s->entry.action,
		 s->entry.flags & CTB_E_LOCAL ? " local" : "");
	return buf;
}

const char *harness_compare(const struct harness *h, const struct ref_verdict *want,
			    const struct ctb_test_seen *got, char *buf, size_t size)
{
	enum ctb_dir dir = got->quoted ? CTB_DIR_ERROR : harness_entry_dir(&got->entry);
	char a[96], b[96];
	bool same;

	if (!want->judged &&
	    (want->reason == CTB_R_OTHER_HOST || want->reason == CTB_R_VLAN_DEVICE))
		return NULL; /* decided before parser and classifier have a say */
	if (want->judged)
		same = got->judged && got->entry.slot == harness_slot(h, want->handle) &&
		       dir == want->dir && entry_action_is(&got->entry, want);
	else
		same = !got->judged && got->reason == (int)want->reason;
	if (same && (!want->has_bytes || got->bytes == want->bytes))
		return NULL;
	snprintf(buf, size, "reference: %s, %llu bytes; BPF: %s, %u bytes",
		 ref_verdict_text(want, a, sizeof(a)), want->has_bytes ? want->bytes : 0,
		 seen_text(h, got, b, sizeof(b)), got->bytes);
	return buf;
}

const char *harness_compare_lookup(const struct harness *h, const struct ref_verdict *want,
				   const struct tuple *t, char *buf, size_t size)
{
	const struct ctb_entry *e = compiled_lookup(&h->c, t);
	char text[96];
	bool same;

	if (!e)
		same = !want->judged;
	else
		same = want->judged && e->slot == harness_slot(h, want->handle) &&
		       entry_action_is(e, want) && (t->quoted || harness_entry_dir(e) == want->dir);
	if (same)
		return NULL;
	snprintf(buf, size, "reference: %s; compiled_lookup: rank %u, slot %d flags %d action %d",
		 ref_verdict_text(want, text, sizeof(text)), e ? e->prio : CTB_NO_ENTRY,
		 e ? e->slot : 0, e ? e->flags : 0, e ? e->action : 0);
	return buf;
}
