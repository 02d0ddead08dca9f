// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/btf.h>
#include <string.h>

#include "static_functions.h"

static bool is_context(const struct btf *btf, __u32 type_id)
{
	const struct btf_type *t = btf__type_by_id(btf, type_id);
	const char *name;

	if (!btf_is_ptr(t))
		return false;
	t = btf__type_by_id(btf, t->type);
	name = btf__name_by_offset(btf, t->name_off);
	return name && (!strcmp(name, "__sk_buff") || !strcmp(name, "xdp_md"));
}

static bool takes_context(const struct btf *btf, const struct btf_type *func)
{
	const struct btf_type *proto = btf__type_by_id(btf, func->type);
	const struct btf_param *p = btf_params(proto);

	for (unsigned int i = 0; i < btf_vlen(proto); i++) {
		if (is_context(btf, p[i].type))
			return true;
	}
	return false;
}

size_t make_functions_static(struct bpf_object *obj)
{
	const struct btf *btf = bpf_object__btf(obj);
	size_t n = 0;

	for (__u32 id = 1; btf && id < btf__type_cnt(btf); id++) {
		/* The object's own copy, which libbpf itself changes in the same way. */
		struct btf_type *t = (struct btf_type *)btf__type_by_id(btf, id);
		const char *name = btf__name_by_offset(btf, t->name_off);

		if (!btf_is_func(t) || btf_vlen(t) != BTF_FUNC_GLOBAL || !takes_context(btf, t) ||
		    bpf_object__find_program_by_name(obj, name))
			continue;
		t->info = (__u32)BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC;
		n++;
	}
	return n;
}
