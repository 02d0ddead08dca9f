// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rules. Matches stand in any order, each at most once:
 *
 *   PROTOCOL | proto PROTOCOL        a name, a number or a list of them
 *   (saddr|daddr) [!] ADDRESSES      prefix, @set, local or a list of them
 *   [th] (sport|dport|port) PORTS    number, lo-hi, @set or a list of them
 *   iif NAME                         interface, "glob*" or a list of them
 */
#include <errno.h>
#include <string.h>
#include "parser.h"
#include "proto.h"
#include "ruleset.h"

/* Where each part of the rule stands, for messages; type TOK_END: it is not there. */
enum part {
	PROTO,
	SADDR,
	DADDR,
	SPORT,
	DPORT,
	PORT,
	IIF,
	ONEWAY,
	COMMENT,
	PARTS
};

static const char *const part_names[PARTS] = { "proto", "saddr", "daddr",  "sport",  "dport",
					       "port",	"iif",	 "oneway", "comment" };

static const char a_match[] =
	"a protocol, saddr, daddr, sport, dport, port, iif, oneway or comment";

/* Words of nft that people will try. */
static const struct {
	const char *word, *hint;
} foreign[] = {
	{ "ip", "saddr or daddr alone: the address tells the family" },
	{ "ip6", "saddr or daddr alone: the address tells the family" },
	{ "meta", "the protocol alone, or iif" },
	{ "l4proto", "proto" },
	{ "protocol", "proto" },
	{ "iifname", "iif, which takes names and globs" },
	{ "oif", "iif: rules describe the original direction; the reply follows by itself" },
	{ "oifname", "iif: rules describe the original direction; the reply follows by itself" },
	{ "ct", "no state: rules decide before there is one" },
	{ "ipv6", "saddr or daddr alone: the address tells the family" },
	{ "all", "saddr { 0.0.0.0/0, ::/0 } if every packet is meant" },
	{ "any", "saddr { 0.0.0.0/0, ::/0 } if every packet is meant" },
};

struct parts {
	struct token at[PARTS];
};

static int proto_item(struct parser *p, void *arg)
{
	static const char expected[] =
		"tcp, udp, udplite, sctp, dccp, icmp, icmpv6, gre, esp, ah or a number to 255";
	struct proto_match *m = arg;
	const struct token *t = &p->tok;
	unsigned int number = 0;
	int proto;

	if (t->type != TOK_WORD)
		return parser_unexpected(p, expected);
	proto = proto_by_name(t->text, t->len);
	if (proto >= 0) {
		number = (unsigned int)proto;
	} else {
		for (size_t i = 0; i < t->len; i++) {
			if (t->text[i] < '0' || t->text[i] > '9') {
				parser_error(p, t, expected, "unknown protocol \"%.*s\"",
					     TOKEN_ARGS(t));
				return -EINVAL;
			}
			if (number <= 255)
				number = number * 10 + (unsigned int)(t->text[i] - '0');
		}
		if (number > 255) {
			parser_error(p, t, expected, "%.*s is not a protocol number",
				     TOKEN_ARGS(t));
			return -EINVAL;
		}
	}
	proto_add(m, number);
	parser_advance(p);
	return 0;
}

static int find_set(struct parser *p, enum set_kind kind, const char *expected,
		    struct named_set **out)
{
	struct named_set *set = parser_find_set(p, p->tok.text, p->tok.len);

	if (!set) {
		parser_error(p, &p->tok, expected, "unknown set \"%.*s\"", TOKEN_ARGS(&p->tok));
		return -EINVAL;
	}
	if (set->kind != SET_UNKNOWN && set->kind != kind) {
		parser_error(p, &p->tok, expected, "set \"%s\" holds %s", set->name,
			     set->kind == SET_PORTS ? "ports" : "addresses");
		return -EINVAL;
	}
	*out = set;
	return 0;
}

static int addr_item(struct parser *p, void *arg)
{
	static const char expected[] = "a prefix, @set or local";
	struct addr_match *m = arg;
	const struct token *t = &p->tok;
	struct addr_item item;
	struct element e;
	char why[ELEMENT_WHY];
	int err;

	if (t->type == TOK_SET) {
		item.kind = ADDR_SET;
		err = find_set(p, SET_ADDRS, "the name of a set of addresses declared above",
			       &item.set);
		if (err)
			return err;
	} else if (token_is(t, "local")) {
		item.kind = ADDR_LOCAL;
	} else if (t->type == TOK_WORD) {
		if (element_parse(t->text, t->len, SET_ADDRS, &e, why)) {
			parser_error(p, t, expected, "\"%.*s\": %s", TOKEN_ARGS(t), why);
			return -EINVAL;
		}
		if (e.family == AF_INET) {
			item.kind = ADDR_PREFIX4;
			item.p4 = e.p4;
		} else {
			item.kind = ADDR_PREFIX6;
			item.p6 = e.p6;
		}
	} else {
		return parser_unexpected(
			p, t->type == TOK_NOT ? "! before the whole list, not inside" : expected);
	}
	if (ARRAY_RESERVE(m->items, m->cap, m->n + 1))
		return -ENOMEM;
	m->items[m->n++] = item;
	parser_advance(p);
	return 0;
}

static int port_item(struct parser *p, void *arg)
{
	static const char expected[] = "a port, a range of ports or @set";
	struct port_match *m = arg;
	const struct token *t = &p->tok;
	struct port_item item = { 0 };
	const char *why;
	int err;

	if (t->type == TOK_SET) {
		err = find_set(p, SET_PORTS, "the name of a set of ports declared above",
			       &item.set);
		if (err)
			return err;
	} else if (t->type != TOK_WORD) {
		return parser_unexpected(p, t->type == TOK_NOT
						    ? "ports to match: they cannot be negated"
						    : expected);
	} else if (port_range_parse(t->text, t->len, &item.range, &why)) {
		parser_error(p, t, expected, "\"%.*s\": %s", TOKEN_ARGS(t), why);
		return -EINVAL;
	}
	if (ARRAY_RESERVE(m->items, m->cap, m->n + 1))
		return -ENOMEM;
	m->items[m->n++] = item;
	parser_advance(p);
	return 0;
}

static int iif_item(struct parser *p, void *arg)
{
	return parser_ifname(p, arg);
}

/* A list that must not be empty. */
static int parse_list(struct parser *p, item_fn *item, void *arg)
{
	struct token t = p->tok;
	size_t n;
	int err = parser_items(p, item, arg, &n);

	if (!err && !n) {
		parser_error(p, &t, "at least one element", "empty list");
		return -EINVAL;
	}
	return err;
}

static int parse_comment(struct parser *p)
{
	const struct token *t = &p->tok;

	if (t->type != TOK_STRING && t->type != TOK_WORD)
		return parser_unexpected(p, "\"text\"");
	if (t->len >= COMMENT_MAX) {
		parser_error(p, t, "at most 127 bytes", "the comment is too long");
		return -EINVAL;
	}
	p->rule.comment = strndup(t->text, t->len);
	if (!p->rule.comment)
		return -ENOMEM;
	parser_advance(p);
	return 0;
}

static int parse_addrs(struct parser *p, struct addr_match *m)
{
	if (p->tok.type == TOK_NOT) {
		m->negate = true;
		parser_advance(p);
	}
	return parse_list(p, addr_item, m);
}

static bool is_number(const struct token *t)
{
	if (t->type != TOK_WORD)
		return false;
	for (size_t i = 0; i < t->len; i++)
		if (t->text[i] < '0' || t->text[i] > '9')
			return false;
	return true;
}

/* Which part the next token begins; PARTS after an error. */
static enum part which_part(struct parser *p)
{
	const struct token *t = &p->tok;

	if (t->type == TOK_OPEN)
		return PROTO;
	if (t->type == TOK_SET) {
		parser_error(p, t, "saddr, daddr, sport, dport or port before it",
			     "a set without a match");
		return PARTS;
	}
	if (t->type == TOK_WORD) {
		for (size_t i = 0; i < PARTS; i++)
			if (token_is(t, part_names[i]))
				return i;
		if (proto_by_name(t->text, t->len) >= 0 || is_number(t))
			return PROTO;
		if (memchr(t->text, '.', t->len) || memchr(t->text, ':', t->len)) {
			parser_error(p, t, "saddr or daddr before it",
				     "an address without a match");
			return PARTS;
		}
		for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
			if (!token_is(t, foreign[i].word))
				continue;
			parser_error(p, t, foreign[i].hint, "\"%.*s\" is not used here",
				     TOKEN_ARGS(t));
			return PARTS;
		}
	}
	parser_unexpected(p, a_match);
	return PARTS;
}

static int parse_part(struct parser *p, struct parts *parts)
{
	struct rule *r = &p->rule;
	enum part part;

	if (token_is(&p->tok, "th")) { /* nft's word for any protocol with ports */
		parser_advance(p);
		if (!token_is(&p->tok, "sport") && !token_is(&p->tok, "dport") &&
		    !token_is(&p->tok, "port"))
			return parser_unexpected(p, "sport, dport or port");
	}
	part = which_part(p);
	if (part == PARTS)
		return -EINVAL;
	if (parts->at[part].type != TOK_END) {
		if (part == PROTO && is_number(&p->tok))
			parser_error(p, &p->tok, "several ports or protocols in one { } list",
				     "%.*s would be a second protocol", TOKEN_ARGS(&p->tok));
		else if (part == PROTO)
			parser_error(p, &p->tok, "one list, like { tcp, udp }",
				     "a second protocol");
		else
			parser_error(p, &p->tok, "one match with a { } list", "%s is given twice",
				     part_names[part]);
		return -EINVAL;
	}
	parts->at[part] = p->tok;
	if (part != PROTO || token_is(&p->tok, "proto"))
		parser_advance(p);
	switch (part) {
	case PROTO:
		return parse_list(p, proto_item, &r->proto);
	case SADDR:
		return parse_addrs(p, &r->saddr);
	case DADDR:
		return parse_addrs(p, &r->daddr);
	case SPORT:
		return parse_list(p, port_item, &r->sport);
	case DPORT:
		return parse_list(p, port_item, &r->dport);
	case PORT:
		return parse_list(p, port_item, &r->port);
	case IIF:
		return parse_list(p, iif_item, &r->iif);
	case COMMENT:
		return parse_comment(p);
	case ONEWAY:
		r->oneway = true;
		return 0;
	case PARTS:
		break;
	}
	return -EINVAL;
}

/* The first of two parts that is there. */
static const struct token *either(const struct parts *parts, enum part a, enum part b)
{
	return &parts->at[parts->at[a].type != TOK_END ? a : b];
}

/* Ports imply the protocols that have them, and exclude the others. */
static void check_ports(struct parser *p, const struct parts *parts)
{
	struct rule *r = &p->rule;
	const struct token *t = either(parts, PORT, DPORT);

	if (t->type == TOK_END)
		t = &parts->at[SPORT];
	if (t->type == TOK_END)
		return;
	if (parts->at[PORT].type != TOK_END && either(parts, SPORT, DPORT)->type != TOK_END)
		parser_error(p, either(parts, SPORT, DPORT), "either port, or sport and dport",
			     "port already means either end");
	if (!r->proto.present) {
		proto_add_with_ports(&r->proto);
		return;
	}
	for (unsigned int proto = 0; proto < 256; proto++) {
		const char *name = proto_name(proto);

		if (!proto_has(&r->proto, proto) || proto_has_ports(proto))
			continue;
		if (name)
			parser_error(p, t, "tcp, udp, udplite, sctp or dccp with ports",
				     "protocol %s has no ports", name);
		else
			parser_error(p, t, "tcp, udp, udplite, sctp or dccp with ports",
				     "protocol %u has no ports", proto);
		return;
	}
}

static void check_iif(struct parser *p, const struct parts *parts)
{
	const struct rule *r = &p->rule;
	bool to_local = r->daddr.n && !r->daddr.negate;

	if (!r->iif.n || r->oneway)
		return;
	for (size_t i = 0; i < r->daddr.n; i++)
		to_local = to_local && r->daddr.items[i].kind == ADDR_LOCAL;
	if (to_local)
		return;
	parser_error(p, &parts->at[IIF],
		     "daddr local (then the reply is this host's own output), or oneway",
		     "iif covers one direction only: the reply comes in by another interface");
}

/* A set declared without elements becomes what its first use makes of it: not both. */
static void check_kinds(struct parser *p, const struct parts *parts)
{
	const struct rule *r = &p->rule;
	const struct addr_match *addrs[] = { &r->saddr, &r->daddr };
	const struct port_match *ports[] = { &r->sport, &r->dport, &r->port };
	bool used[SETS_MAX] = { false };

	for (size_t m = 0; m < ARRAY_SIZE(addrs); m++)
		for (size_t i = 0; i < addrs[m]->n; i++)
			if (addrs[m]->items[i].kind == ADDR_SET)
				used[parser_set_index(p, addrs[m]->items[i].set)] = true;
	for (size_t m = 0; m < ARRAY_SIZE(ports); m++)
		for (size_t i = 0; i < ports[m]->n; i++) {
			const struct named_set *set = ports[m]->items[i].set;

			if (!set || !used[parser_set_index(p, set)])
				continue;
			parser_error(p, &parts->at[SPORT + m], NULL,
				     "set \"%s\" is used for addresses and for ports", set->name);
			return;
		}
}

static void check_rule(struct parser *p, const struct token *action, const struct parts *parts)
{
	const struct rule *r = &p->rule;
	const struct token *t = either(parts, DADDR, SADDR);
	const char *why;

	if (!r->proto.present && !r->saddr.n && !r->daddr.n && !r->sport.n && !r->dport.n &&
	    !r->port.n && !r->iif.n) {
		parser_error(
			p, action,
			"a match behind it; saddr { 0.0.0.0/0, ::/0 } if every packet is meant",
			"a rule without a match");
		return;
	}
	check_ports(p, parts);
	check_iif(p, parts);
	if (p->failed)
		return;
	check_kinds(p, parts);
	why = rule_contradiction(r);
	if (why)
		parser_error(p, t, NULL, "no packet can fit: %s", why);
}

static enum ctb_action action_of(const struct token *t)
{
	return token_is(t, "track")	? CTB_TRACK
	       : token_is(t, "notrack") ? CTB_NOTRACK
					: CTB_FORWARD;
}

int parse_rule(struct parser *p)
{
	struct token action = p->tok;
	struct rule *r = &p->rule;
	struct parts parts = { 0 };
	int err;

	rule_free(r);
	r->action = action_of(&action);
	r->pos = (struct pos){ p->file, action.line, action.column };
	r->source = parser_source(p, &action);
	if (!r->source)
		return -ENOMEM;
	parser_advance(p);
	while (!parser_at_end_of_statement(p)) {
		err = parse_part(p, &parts);
		if (err)
			return err;
	}
	if (!p->failed)
		check_rule(p, &action, &parts);
	if (!p->failed && p->rs->n_rules >= CTB_MAX_RULES - 1) {
		parser_error(p, &action, NULL, "more than %d rules", CTB_MAX_RULES - 1);
		p->stop = true;
	}
	return p->failed ? 0 : rule_flatten_ports(r);
}

/* The set may be shared with another ruleset, where nothing has used it yet. */
static int decide_kind(struct parser *p, struct named_set *set, enum set_kind kind)
{
	struct named_set *own;

	if (!set || set->kind != SET_UNKNOWN)
		return 0;
	if (set->refs == 1) {
		set->kind = kind;
		return 0;
	}
	own = set_copy(set);
	if (!own)
		return -ENOMEM;
	own->kind = kind;
	rule_replace_set(&p->rule, set, own);
	ruleset_replace_set(p->rs, set, own);
	return 0;
}

static int decide_kinds(struct parser *p)
{
	struct rule *r = &p->rule;
	struct addr_match *addrs[] = { &r->saddr, &r->daddr };
	struct port_match *ports[] = { &r->sport, &r->dport, &r->port };
	int err = 0;

	for (size_t m = 0; m < ARRAY_SIZE(addrs); m++)
		for (size_t i = 0; i < addrs[m]->n && !err; i++)
			if (addrs[m]->items[i].kind == ADDR_SET)
				err = decide_kind(p, addrs[m]->items[i].set, SET_ADDRS);
	for (size_t m = 0; m < ARRAY_SIZE(ports); m++)
		for (size_t i = 0; i < ports[m]->n && !err; i++)
			err = decide_kind(p, ports[m]->items[i].set, SET_PORTS);
	return err;
}

int parser_take_rule(struct parser *p)
{
	struct ruleset *rs = p->rs;
	int err;

	if (ARRAY_RESERVE(rs->rules, rs->cap_rules, rs->n_rules + 1))
		return -ENOMEM;
	err = decide_kinds(p);
	if (err)
		return err;
	p->rule.handle = rs->next_handle++;
	rs->rules[rs->n_rules++] = p->rule;
	p->rule = (struct rule){ 0 };
	return 0;
}
