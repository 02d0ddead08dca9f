// SPDX-License-Identifier: GPL-2.0-only
/* The maps that outlive daemons and generations: counters, handles, journal. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "datapath_priv.h"
#include "pins.h"
#include "state.skel.h"

const char *const state_map_names[SM_MAX] = {
	[SM_RULES] = "rules",	      [SM_RULES_OUT] = "rules_out", [SM_REASONS] = "reasons",
	[SM_FALLBACKS] = "fallbacks", [SM_RULE_INFO] = "rule_info", [SM_JOURNAL] = "journal",
	[SM_STATE] = "state",	      [SM_CLSACT] = "clsact",
};

/* Is this pinned map of the shape that this build would make? */
static bool same_shape(int fd, struct bpf_map *want)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == bpf_map__type(want) &&
	       info.key_size == bpf_map__key_size(want) &&
	       info.value_size == bpf_map__value_size(want) &&
	       info.max_entries == bpf_map__max_entries(want);
}

static bool same_version(int state_fd)
{
	struct ctb_state s;
	__u32 zero = 0;

	return !bpf_map_lookup_elem(state_fd, &zero, &s) && s.abi_version == CTB_ABI_VERSION;
}

/* All of them pinned and of this build's layout? Then take them. */
static bool adopt(struct datapath *dp, struct state_bpf *skel)
{
	int fd[SM_MAX];
	bool fine = true;

	for (int i = 0; i < SM_MAX; i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(skel->obj, state_map_names[i]);

		fd[i] = pins_get(dp->pindir, "maps", state_map_names[i]);
		fine = fine && fd[i] >= 0 && m && same_shape(fd[i], m);
	}
	fine = fine && same_version(fd[SM_STATE]);
	for (int i = 0; i < SM_MAX; i++) {
		if (fine)
			dp->map_fd[i] = fd[i];
		else if (fd[i] >= 0)
			close(fd[i]);
	}
	return fine;
}

int state_open(struct datapath *dp, char **error)
{
	struct state_bpf *skel = state_bpf__open();
	__u32 zero = 0;
	int err = 0;

	if (!skel)
		return error_set(error, -errno, "cannot open the embedded BPF object: %s",
				 strerror(errno));
	if (adopt(dp, skel)) {
		if (bpf_map_lookup_elem(dp->map_fd[SM_STATE], &zero, &dp->state))
			err = -errno;
		state_bpf__destroy(skel);
		return err;
	}
	/* First start here, or left by a build with another layout: counters start afresh. */
	err = state_bpf__load(skel);
	if (err)
		error_set(error, err, "cannot create BPF maps: %s", strerror(-err));
	for (int i = 0; !err && i < SM_MAX; i++) {
		int fd = bpf_object__find_map_fd_by_name(skel->obj, state_map_names[i]);

		dp->map_fd[i] = dup(fd);
		if (dp->map_fd[i] < 0)
			err = -errno;
	}
	dp->state = (struct ctb_state){ .abi_version = CTB_ABI_VERSION };
	if (!err)
		err = state_save(dp);
	for (int i = 0; !err && i < SM_MAX; i++) {
		err = pins_put(dp->pindir, "maps", state_map_names[i], dp->map_fd[i]);
		if (err)
			error_set(error, err, "cannot pin map %s below %s: %s", state_map_names[i],
				  dp->pindir, strerror(-err));
	}
	state_bpf__destroy(skel);
	return err;
}

int state_save(struct datapath *dp)
{
	__u32 zero = 0;

	return bpf_map_update_elem(dp->map_fd[SM_STATE], &zero, &dp->state, BPF_ANY) ? -errno : 0;
}

__u32 datapath_next_handle(const struct datapath *dp)
{
	return dp->state.next_handle;
}

int datapath_set_next_handle(struct datapath *dp, __u32 handle)
{
	dp->state.next_handle = handle;
	return state_save(dp);
}

int datapath_set_swapping(struct datapath *dp, bool swapping)
{
	dp->state.swapping = swapping;
	return state_save(dp);
}

/* Read element `key` of a per-CPU map of __u64 pairs and add the CPUs up; n numbers each. */
static int sum_cpus(int fd, __u32 key, __u64 *buf, int cpus, size_t n, __u64 *out)
{
	if (bpf_map_lookup_elem(fd, &key, buf))
		return -errno;
	memset(out, 0, n * sizeof(*out));
	for (int c = 0; c < cpus; c++) {
		for (size_t i = 0; i < n; i++)
			out[i] += buf[(size_t)c * n + i];
	}
	return 0;
}

static int read_counters(int fd, __u32 keys, size_t n, __u64 *out)
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	_free_ __u64 *buf = NULL;

	if (cpus < 0)
		return cpus;
	buf = calloc((size_t)cpus * n, sizeof(*buf));
	if (!buf)
		return -ENOMEM;
	for (__u32 k = 0; !err && k < keys; k++)
		err = sum_cpus(fd, k, buf, cpus, n, out + k * n);
	return err;
}

static void add_output(struct ctb_output_counters *to, const struct ctb_output_counters *more)
{
	for (int d = 0; d < CTB_DIR_MAX; d++) {
		to->count[d].packets += more->count[d].packets;
		to->count[d].bytes += more->count[d].bytes;
	}
}

int datapath_read_rules(const struct datapath *dp, struct ctb_rule_counters *out)
{
	return read_counters(dp->map_fd[SM_RULES], CTB_MAX_RULES, sizeof(*out) / sizeof(__u64),
			     (__u64 *)out);
}

/* By slot: what programs counted, and what was carried over. */
int datapath_read_output(const struct datapath *dp, struct ctb_output_counters *out)
{
	_free_ struct ctb_output_counters *all = calloc(2 * CTB_MAX_RULES, sizeof(*all));
	int err = all ? read_counters(dp->map_fd[SM_RULES_OUT], 2 * CTB_MAX_RULES,
				      sizeof(*all) / sizeof(__u64), (__u64 *)all)
		      : -ENOMEM;

	for (size_t i = 0; !err && i < CTB_MAX_RULES; i++) {
		out[i] = all[i];
		add_output(&out[i], &all[CTB_MAX_RULES + i]);
	}
	return err;
}

int datapath_carry_output(struct datapath *dp, __u32 slot, const struct ctb_output_counters *more)
{
	int cpus = libbpf_num_possible_cpus(), fd = dp->map_fd[SM_RULES_OUT];
	__u32 key = CTB_MAX_RULES + slot;
	_free_ struct ctb_output_counters *v = NULL;

	if (cpus < 0)
		return cpus;
	v = calloc((size_t)cpus, sizeof(*v));
	if (!v)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &key, v))
		return -errno;
	add_output(&v[0], more);
	return bpf_map_update_elem(fd, &key, v, BPF_ANY) ? -errno : 0;
}

int datapath_read_reasons(const struct datapath *dp, struct ctb_count *out)
{
	return read_counters(dp->map_fd[SM_REASONS], CTB_R_MAX, sizeof(*out) / sizeof(__u64),
			     (__u64 *)out);
}

int datapath_read_fallbacks(const struct datapath *dp, struct ctb_fallback_counters *out)
{
	return read_counters(dp->map_fd[SM_FALLBACKS], CTB_FB_MAX, sizeof(*out) / sizeof(__u64),
			     (__u64 *)out);
}

int datapath_zero_slot(struct datapath *dp, __u32 slot)
{
	int cpus = libbpf_num_possible_cpus();
	_free_ struct ctb_rule_counters *zero = NULL; /* the larger of the two */
	__u32 carried = CTB_MAX_RULES + slot;

	if (cpus < 0)
		return cpus;
	zero = calloc((size_t)cpus, sizeof(*zero));
	if (!zero)
		return -ENOMEM;
	if (bpf_map_update_elem(dp->map_fd[SM_RULES], &slot, zero, BPF_ANY) ||
	    bpf_map_update_elem(dp->map_fd[SM_RULES_OUT], &slot, zero, BPF_ANY) ||
	    bpf_map_update_elem(dp->map_fd[SM_RULES_OUT], &carried, zero, BPF_ANY))
		return -errno;
	return 0;
}

int datapath_read_info(const struct datapath *dp, struct ctb_rule_info *out)
{
	for (__u32 i = 0; i < CTB_MAX_RULES; i++) {
		if (bpf_map_lookup_elem(dp->map_fd[SM_RULE_INFO], &i, &out[i]))
			return -errno;
	}
	return 0;
}

int datapath_write_info(struct datapath *dp, __u32 slot, const struct ctb_rule_info *info)
{
	return bpf_map_update_elem(dp->map_fd[SM_RULE_INFO], &slot, info, BPF_ANY) ? -errno : 0;
}

int datapath_journal_read(const struct datapath *dp, char ***lines, size_t *n, __u64 *config_hash)
{
	size_t count = dp->state.journal_lines;
	char **out = calloc(count + 1, sizeof(*out));
	int err = out ? 0 : -ENOMEM;

	for (__u32 i = 0; !err && i < count; i++) {
		struct ctb_journal_line line;

		if (bpf_map_lookup_elem(dp->map_fd[SM_JOURNAL], &i, &line)) {
			err = -errno;
			break;
		}
		line.text[sizeof(line.text) - 1] = '\0';
		out[i] = strdup(line.text);
		if (!out[i])
			err = -ENOMEM;
	}
	if (err) {
		for (size_t i = 0; out && i < count; i++)
			free(out[i]);
		free(out);
		return err;
	}
	*lines = out;
	*n = count;
	*config_hash = dp->state.config_hash;
	return 0;
}

int datapath_journal_append(struct datapath *dp, const char *line)
{
	struct ctb_journal_line l = {};
	__u32 key = dp->state.journal_lines;
	size_t len = strlen(line);

	if (len >= sizeof(l.text))
		return -EFBIG;
	memcpy(l.text, line, len);
	if (bpf_map_update_elem(dp->map_fd[SM_JOURNAL], &key, &l, BPF_ANY))
		return -errno;
	dp->state.journal_lines++;
	return state_save(dp);
}

int datapath_journal_reset(struct datapath *dp, __u64 config_hash)
{
	__u32 lines = dp->state.journal_lines;
	int err;

	dp->state.journal_lines = 0;
	dp->state.config_hash = config_hash;
	err = state_save(dp); /* first: a reader never sees half of the old lines */
	for (__u32 i = 0; !err && i < lines; i++)
		bpf_map_delete_elem(dp->map_fd[SM_JOURNAL], &i);
	return err;
}
