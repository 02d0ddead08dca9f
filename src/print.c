// SPDX-License-Identifier: GPL-2.0-only
/* Rulesets as text that the parser takes back. */
#include <string.h>
#include "proto.h"
#include "rules.h"

#define LINE_WIDTH 100

static void print_name(const char *name, struct strbuf *out)
{
	bool plain = true;

	for (const char *c = name; *c; c++)
		plain = plain && ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
				  (*c >= '0' && *c <= '9') || *c == '_' || *c == '-' || *c == '.');
	strbuf_addf(out, plain ? "%s" : "\"%s\"", name);
}

/* What goes before item i of n: a list has braces, a single item has none. */
static void open_item(size_t i, size_t n, struct strbuf *out)
{
	if (i)
		strbuf_addf(out, ", ");
	else if (n > 1)
		strbuf_addf(out, "{ ");
}

static void close_list(size_t n, struct strbuf *out)
{
	if (n > 1)
		strbuf_addf(out, " }");
}

static void print_protos(const struct rule *r, struct strbuf *out)
{
	struct proto_match implied = { 0 };
	size_t n = 0, i = 0;

	if (!r->proto.present)
		return;
	proto_add_with_ports(&implied);
	if ((r->sport.n || r->dport.n || r->port.n) &&
	    !memcmp(implied.bits, r->proto.bits, sizeof(implied.bits)))
		return;
	for (int w = 0; w < 4; w++)
		n += (size_t)__builtin_popcountll(r->proto.bits[w]);
	strbuf_addf(out, " ");
	for (unsigned int proto = 0; proto < 256; proto++) {
		const char *name = proto_name(proto);

		if (!proto_has(&r->proto, proto))
			continue;
		if (n == 1 && !name)
			strbuf_addf(out, "proto ");
		open_item(i++, n, out);
		if (name)
			strbuf_addf(out, "%s", name);
		else
			strbuf_addf(out, "%u", proto);
	}
	close_list(n, out);
}

static void print_ports(const char *word, const struct port_match *m, struct strbuf *out)
{
	if (!m->n)
		return;
	strbuf_addf(out, " %s ", word);
	for (size_t i = 0; i < m->n; i++) {
		open_item(i, m->n, out);
		if (m->items[i].set)
			strbuf_addf(out, "@%s", m->items[i].set->name);
		else
			port_range_print(m->items[i].range, out);
	}
	close_list(m->n, out);
}

static void print_addrs(const char *word, const struct addr_match *m, struct strbuf *out)
{
	if (!m->n)
		return;
	strbuf_addf(out, " %s %s", word, m->negate ? "!" : "");
	for (size_t i = 0; i < m->n; i++) {
		open_item(i, m->n, out);
		switch (m->items[i].kind) {
		case ADDR_PREFIX4:
			prefix4_print(m->items[i].p4, out);
			break;
		case ADDR_PREFIX6:
			prefix6_print(m->items[i].p6, out);
			break;
		case ADDR_SET:
			strbuf_addf(out, "@%s", m->items[i].set->name);
			break;
		case ADDR_LOCAL:
			strbuf_addf(out, "local");
			break;
		}
	}
	close_list(m->n, out);
}

static const char *action_word(enum ctb_action action)
{
	static const char *const words[] = {
#define X(id, name) [CTB_##id] = name,
		CTB_ACTIONS(X)
#undef X
	};

	return words[action];
}

/* Everything that decides which packets the rule fits and what becomes of them. */
static void print_meaning(const struct rule *r, struct strbuf *out)
{
	strbuf_addf(out, "%s", action_word(r->action));
	print_protos(r, out);
	print_ports("sport", &r->sport, out);
	print_ports("dport", &r->dport, out);
	print_ports("port", &r->port, out);
	print_addrs("saddr", &r->saddr, out);
	print_addrs("daddr", &r->daddr, out);
	if (r->iif.n) {
		strbuf_addf(out, " iif ");
		for (size_t i = 0; i < r->iif.n; i++) {
			open_item(i, r->iif.n, out);
			print_name(r->iif.names[i], out);
		}
		close_list(r->iif.n, out);
	}
	if (r->oneway)
		strbuf_addf(out, " oneway");
}

void rule_print(const struct rule *r, struct strbuf *out)
{
	print_meaning(r, out);
	if (r->comment)
		strbuf_addf(out, " comment \"%s\"", r->comment);
}

__u64 rule_hash(const struct rule *r)
{
	_strbuf_ struct strbuf text = { 0 };
	__u64 hash = 0xcbf29ce484222325ULL;

	print_meaning(r, &text);
	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.s[i]) * 0x100000001b3ULL;
	return hash;
}

/* Elements of a set, over several lines where one would be long. */
struct elements {
	struct strbuf *out, word;
	size_t n, column;
};

/* What word holds is the next element. */
static void add_element(struct elements *e)
{
	if (e->n++) {
		strbuf_addf(e->out, ",");
		e->column++;
	}
	if (e->column + 1 + e->word.len + 2 > LINE_WIDTH) {
		strbuf_addf(e->out, "\n\t");
		e->column = 8;
	} else {
		strbuf_addf(e->out, " ");
		e->column++;
	}
	strbuf_add(e->out, e->word.s, e->word.len);
	e->column += e->word.len;
	e->word.len = 0;
}

static void print_elements(const struct prefix_list *addrs, const struct port_list *ports,
			   struct strbuf *out, size_t column)
{
	struct elements e = { .out = out, .column = column + 2 };

	strbuf_addf(out, " {");
	for (size_t i = 0; i < addrs->n4; i++) {
		prefix4_print(addrs->v4[i], &e.word);
		add_element(&e);
	}
	for (size_t i = 0; i < addrs->n6; i++) {
		prefix6_print(addrs->v6[i], &e.word);
		add_element(&e);
	}
	for (size_t i = 0; i < ports->n; i++) {
		port_range_print(ports->ranges[i], &e.word);
		add_element(&e);
	}
	strbuf_addf(out, " }");
	if (e.word.err)
		out->err = e.word.err;
	strbuf_free(&e.word);
}

void set_print(const struct named_set *s, struct strbuf *out)
{
	size_t start = out->len;

	strbuf_addf(out, "set %s", s->name);
	if (!s->file || s->modified) {
		print_elements(&s->addrs, &s->ports, out, out->len - start);
		return;
	}
	strbuf_addf(out, " file \"%s\"", s->file);
	if (s->extra_addrs.n4 || s->extra_addrs.n6 || s->extra_ports.n)
		print_elements(&s->extra_addrs, &s->extra_ports, out, out->len - start);
}

void ruleset_print(const struct ruleset *rs, bool handles, struct strbuf *out)
{
	if (rs->interface_given) {
		strbuf_addf(out, "interface");
		for (size_t i = 0; i < rs->interfaces.n; i++) {
			strbuf_addf(out, " ");
			print_name(rs->interfaces.names[i], out);
		}
		strbuf_addf(out, "\n");
	}
	if (rs->mark_given)
		strbuf_addf(out, "mark 0x%x\n", rs->mark);
	if (rs->failsafe_given) {
		strbuf_addf(out, "failsafe {");
		for (size_t i = 0; i < rs->n_failsafe; i++) {
			strbuf_addf(out, "%s %s ", i ? "," : "", proto_name(rs->failsafe[i].proto));
			port_range_print(rs->failsafe[i].ports, out);
		}
		strbuf_addf(out, " }\n");
	}
	for (size_t i = 0; i < rs->n_sets; i++) {
		set_print(rs->sets[i], out);
		strbuf_addf(out, "\n");
	}
	for (size_t i = 0; i < rs->n_rules; i++) {
		rule_print(&rs->rules[i], out);
		if (handles)
			strbuf_addf(out, " # handle %u", rs->rules[i].handle);
		strbuf_addf(out, "\n");
	}
}

/* * stands for any text, ? for one character: over the pattern once, with one place to go back to.
 */
static bool glob_match(const char *pattern, const char *name)
{
	const char *star = NULL, *retry = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			retry = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

bool name_list_has(const struct name_list *l, const char *ifname)
{
	for (size_t i = 0; i < l->n; i++)
		if (glob_match(l->names[i], ifname))
			return true;
	return false;
}
