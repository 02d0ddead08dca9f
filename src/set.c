// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "set.h"

static void explain_host_bits(const struct element *e, char *why)
{
	_strbuf_ struct strbuf meant = { 0 };

	if (e->family == AF_INET)
		prefix4_print(e->p4, &meant);
	else
		prefix6_print(e->p6, &meant);
	snprintf(why, ELEMENT_WHY, "host bits are set; the network is %s", meant.s ? meant.s : "");
}

static bool looks_like_address(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == '.' || text[i] == ':' || text[i] == '/')
			return true;
	return false;
}

int element_parse(const char *text, size_t len, enum set_kind want, struct element *out, char *why)
{
	struct element e = { .kind = SET_PORTS };
	struct prefix4 p4 = { 0 };
	struct prefix6 p6 = { 0 };
	const char *reason = "";
	int err;

	if (looks_like_address(text, len)) {
		e.kind = SET_ADDRS;
		err = prefix_parse(text, len, &e.family, &p4, &p6, &reason);
		if (e.family == AF_INET)
			e.p4 = p4;
		else
			e.p6 = p6;
	} else if (want == SET_ADDRS && (!len || text[0] < '0' || text[0] > '9')) {
		err = -EINVAL;
		reason = "not an address";
	} else {
		err = port_range_parse(text, len, &e.ports, &reason);
		if (err && want == SET_UNKNOWN && len && text[0] >= 'A')
			reason = "neither an address nor a port";
	}
	if (err == -EDOM) {
		explain_host_bits(&e, why);
		return -EINVAL;
	}
	if (err) {
		snprintf(why, ELEMENT_WHY, "%s", reason);
		return -EINVAL;
	}
	if (want != SET_UNKNOWN && want != e.kind) {
		snprintf(why, ELEMENT_WHY, "%s",
			 want == SET_PORTS ? "an address where ports are listed"
					   : "a port where addresses are listed");
		return -EINVAL;
	}
	*out = e;
	return 0;
}

int element_append(const struct element *e, struct prefix_list *addrs, struct port_list *ports)
{
	int err;

	if (e->kind == SET_PORTS) {
		err = ARRAY_RESERVE(ports->ranges, ports->cap, ports->n + 1);
		if (!err)
			ports->ranges[ports->n++] = e->ports;
	} else if (e->family == AF_INET) {
		err = ARRAY_RESERVE(addrs->v4, addrs->cap4, addrs->n4 + 1);
		if (!err)
			addrs->v4[addrs->n4++] = e->p4;
	} else {
		err = ARRAY_RESERVE(addrs->v6, addrs->cap6, addrs->n6 + 1);
		if (!err)
			addrs->v6[addrs->n6++] = e->p6;
	}
	return err;
}

void prefix_list_free(struct prefix_list *l)
{
	free(l->v4);
	free(l->v6);
	*l = (struct prefix_list){ 0 };
}

void port_list_free(struct port_list *l)
{
	free(l->ranges);
	*l = (struct port_list){ 0 };
}

struct named_set *set_new(const char *name, size_t len)
{
	struct named_set *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->refs = 1;
	if (len >= sizeof(s->name))
		len = sizeof(s->name) - 1;
	memcpy(s->name, name, len);
	return s;
}

struct named_set *set_ref(struct named_set *s)
{
	s->refs++;
	return s;
}

void set_unref(struct named_set *s)
{
	if (!s || --s->refs)
		return;
	prefix_list_free(&s->addrs);
	port_list_free(&s->ports);
	prefix_list_free(&s->extra_addrs);
	port_list_free(&s->extra_ports);
	free(s->file);
	free(s->pos_file);
	free(s->source);
	free(s);
}

/* A copy of n elements; no elements, no array. */
static int copy_array(void *array_ptr, size_t *cap, const void *from, size_t n, size_t size)
{
	void *copy;

	if (!n)
		return 0;
	copy = malloc(n * size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, from, n * size);
	memcpy(array_ptr, &copy, sizeof(copy));
	*cap = n;
	return 0;
}

struct named_set *set_copy(const struct named_set *s)
{
	struct named_set *c = set_new(s->name, strlen(s->name));

	if (!c)
		return NULL;
	c->kind = s->kind;
	c->modified = s->modified;
	c->pos = s->pos;
	c->pos.file = NULL;
	if (copy_array(&c->addrs.v4, &c->addrs.cap4, s->addrs.v4, s->addrs.n4,
		       sizeof(*s->addrs.v4)) ||
	    copy_array(&c->addrs.v6, &c->addrs.cap6, s->addrs.v6, s->addrs.n6,
		       sizeof(*s->addrs.v6)) ||
	    copy_array(&c->ports.ranges, &c->ports.cap, s->ports.ranges, s->ports.n,
		       sizeof(*s->ports.ranges)))
		goto fail;
	c->addrs.n4 = s->addrs.n4;
	c->addrs.n6 = s->addrs.n6;
	c->ports.n = s->ports.n;
	if (s->source) {
		c->source = strdup(s->source);
		if (!c->source)
			goto fail;
	}
	if (s->pos_file) {
		c->pos_file = strdup(s->pos_file);
		if (!c->pos_file)
			goto fail;
		c->pos.file = c->pos_file;
	}
	return c;
fail:
	set_unref(c);
	return NULL;
}

static int cmp4(const void *a, const void *b)
{
	return prefix4_cmp(a, b);
}

static int cmp6(const void *a, const void *b)
{
	return prefix6_cmp(a, b);
}

static int cmp_ports(const void *a, const void *b)
{
	const struct port_range *x = a, *y = b;

	return x->lo != y->lo ? (int)x->lo - (int)y->lo : (int)x->hi - (int)y->hi;
}

/* Give back what doubling left over; when that fails the array is as good as before. */
static void shrink(void *array_ptr, size_t *cap, size_t n, size_t size)
{
	void *old, *smaller;

	if (*cap == n || !n)
		return;
	memcpy(&old, array_ptr, sizeof(old));
	smaller = realloc(old, n * size);
	if (!smaller)
		return;
	memcpy(array_ptr, &smaller, sizeof(smaller));
	*cap = n;
}

#define UNIQUE(arr, n, cmp) \
	do { \
		size_t _kept = 0; \
		for (size_t _i = 0; _i < (n); _i++) \
			if (!_kept || cmp(&(arr)[_kept - 1], &(arr)[_i])) \
				(arr)[_kept++] = (arr)[_i]; \
		(n) = _kept; \
	} while (0)

void prefix_list_normalise(struct prefix_list *l)
{
	prefix4_sort(l->v4, l->n4);
	prefix6_sort(l->v6, l->n6);
	UNIQUE(l->v4, l->n4, prefix4_cmp);
	UNIQUE(l->v6, l->n6, prefix6_cmp);
	shrink(&l->v4, &l->cap4, l->n4, sizeof(*l->v4));
	shrink(&l->v6, &l->cap6, l->n6, sizeof(*l->v6));
}

void port_list_normalise(struct port_list *l)
{
	size_t kept = 0;

	if (l->n > 1)
		qsort(l->ranges, l->n, sizeof(*l->ranges), cmp_ports);
	for (size_t i = 0; i < l->n; i++) {
		struct port_range *last = kept ? &l->ranges[kept - 1] : NULL;

		if (last && (unsigned int)last->hi + 1 >= l->ranges[i].lo) {
			if (l->ranges[i].hi > last->hi)
				last->hi = l->ranges[i].hi;
		} else {
			l->ranges[kept++] = l->ranges[i];
		}
	}
	l->n = kept;
	shrink(&l->ranges, &l->cap, l->n, sizeof(*l->ranges));
}

void set_normalise(struct named_set *s)
{
	prefix_list_normalise(&s->addrs);
	port_list_normalise(&s->ports);
}

bool prefix_list_has4(const struct prefix_list *l, struct prefix4 p)
{
	return l->n4 && bsearch(&p, l->v4, l->n4, sizeof(p), cmp4);
}

bool prefix_list_has6(const struct prefix_list *l, struct prefix6 p)
{
	return l->n6 && bsearch(&p, l->v6, l->n6, sizeof(p), cmp6);
}
