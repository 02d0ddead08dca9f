// SPDX-License-Identifier: GPL-2.0-only
/*
 * From nft's own listing, as text: rules are to be shown as nft words them, and one listing is one
 * moment. It is taken without the elements of sets, so it costs what the rules cost; only verdict
 * maps that a rule of interest names are read too, for the chains they lead to.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "missed_rules.h"
#include "nft.h"

/* Where on its way a routed packet meets a base chain, in that order. */
static const char *const stages[] = { "ingress", "prerouting", "forward", "postrouting", "egress" };

#define NO_STAGE (-1)

struct rule_line {
	char *text;
	int handle;
};

struct chain {
	const char *family, *table, *name;
	const char *header; /* "type filter hook ... priority 0"; NULL: not a base chain */
	const char *policy; /* if it has one */
	int stage, priority;
	size_t first, n; /* its rules */
	bool found;	 /* on the way of forwarded packets */
};

struct listing {
	struct chain *chains;
	size_t n_chains, cap_chains;
	struct rule_line *lines;
	size_t n_lines, cap_lines;
};

static void cleanup_listing(struct listing *l)
{
	free(l->chains);
	free(l->lines);
}

/* --- the listing --- */

/* Cuts " # handle 7" off the end of a line. The handle, or 0: there was none. */
static int take_handle(char *line)
{
	static const char mark[] = " # handle ";
	char *at = NULL, *next = line;
	unsigned int handle;

	while ((next = strstr(next, mark)))
		at = next++;
	if (!at || parse_u32(at + sizeof(mark) - 1, 1, INT_MAX, &handle))
		return 0;
	*at = '\0';
	return (int)handle;
}

/* The next word of *s, or NULL. */
static char *next_word(char **s)
{
	char *word;

	do
		word = strsep(s, " ");
	while (word && !*word);
	return word;
}

/*
 * The rule or other item that begins at *s, in one line: what nft prints on several (chains without
 * a name, comments with line breaks) is joined in place. NULL: the chain ends here.
 */
static char *next_item(char **s, int *handle)
{
	char *start = *s, *line, *to;

	*handle = 0;
	line = strsep(s, "\n");
	if (!line || !strcmp(line, "\t}"))
		return NULL;
	start = to = line + strspn(line, "\t");
	to += strlen(to);
	*handle = take_handle(start);
	/* Only rules have handles, and the items in front of them are known. */
	if (*handle || !strncmp(start, "type ", 5) || !strncmp(start, "flags ", 6) ||
	    (!strncmp(start, "comment \"", 9) && to[-1] == '"'))
		return start;
	while (!*handle && *s && strncmp(*s, "\t}", 2)) {
		char *more = strsep(s, "\n"), *text = more + strspn(more, "\t");
		size_t len;

		*handle = take_handle(text);
		len = strlen(text);
		if (text - more >= 2 && to[-1] != '{' && *text != '}')
			*to++ = ';';
		*to++ = ' ';
		memmove(to, text, len + 1);
		to += len;
	}
	return start;
}

static int add_rule(struct listing *l, struct chain *c, char *text, int handle)
{
	if (ARRAY_RESERVE(l->lines, l->cap_lines, l->n_lines + 1))
		return -ENOMEM;
	l->lines[l->n_lines++] = (struct rule_line){ text, handle };
	c->n++;
	return 0;
}

/* type filter hook ingress device "eth0" priority -150; policy drop; */
static void parse_header(struct chain *c, char *s)
{
	char *policy = strstr(s, "; policy "), *hook = strstr(s, " hook "), *priority;

	c->header = s;
	if (policy) {
		*policy = '\0';
		c->policy = policy + sizeof("; policy ") - 1;
		policy[strcspn(policy + 1, ";") + 1] = '\0';
	}
	s[strcspn(s, ";")] = '\0';
	priority = strstr(s, " priority ");
	if (priority)
		c->priority = (int)strtol(priority + sizeof(" priority ") - 1, NULL, 10);
	for (size_t i = 0; hook && i < ARRAY_SIZE(stages); i++) {
		size_t len = strlen(stages[i]);

		if (!strncmp(hook + 6, stages[i], len) && hook[6 + len] == ' ')
			c->stage = (int)i;
	}
}

static int parse_chain(struct listing *l, struct chain c, char **s)
{
	int err = 0, handle;
	char *item;

	c.first = l->n_lines;
	while (!err && (item = next_item(s, &handle))) {
		if (handle)
			err = add_rule(l, &c, item, handle);
		else if (!strncmp(item, "type ", 5) && strstr(item, " hook "))
			parse_header(&c, item);
	}
	if (err || ARRAY_RESERVE(l->chains, l->cap_chains, l->n_chains + 1))
		return -ENOMEM;
	l->chains[l->n_chains++] = c;
	return 0;
}

static bool forwarding_family(const char *family)
{
	return !strcmp(family, "ip") || !strcmp(family, "ip6") || !strcmp(family, "inet") ||
	       !strcmp(family, "netdev");
}

/* table FAMILY NAME { ... }: *s is behind the first line, whose words are in head. */
static int parse_table(struct listing *l, char *head, char **s)
{
	struct chain c = { .stage = NO_STAGE };
	size_t first = l->n_chains;
	char *line;
	bool skip;
	int err = 0;

	c.family = next_word(&head);
	c.table = next_word(&head);
	skip = !c.table || !forwarding_family(c.family) ||
	       (!strcmp(c.family, "inet") && !strcmp(c.table, NFT_TABLE));
	while (!err && (line = strsep(s, "\n")) && strcmp(line, "}")) {
		if (!strncmp(line, "\tflags ", 7) && strstr(line, "dormant"))
			skip = true;
		if (strncmp(line, "\tchain ", 7))
			continue;
		line += 7;
		c.name = next_word(&line);
		if (!c.name)
			continue;
		err = parse_chain(l, c, s);
	}
	if (skip)
		l->n_chains = first;
	return err;
}

static int parse_ruleset(struct listing *l, char *s)
{
	char *line;
	int err = 0;

	while (!err && (line = strsep(&s, "\n"))) {
		if (!strncmp(line, "table ", 6))
			err = parse_table(l, line + 6, &s);
	}
	return err;
}

/* --- the words of a rule --- */

/* What is being gone through: a base chain and all that it leads to. */
struct walk {
	struct chain **index; /* of the listing's chains, by name */
	size_t n_index;
	struct chain **queue; /* chains found, each once; those of the base chain in hand last */
	const char **from;    /* and the chain that led there */
	size_t n_queue;
	char *(*lookup)(const char *map);
	bool nat; /* the base chain is of type nat */
};

static int chain_cmp(const struct chain *a, const struct chain *b)
{
	int cmp = strcmp(a->name, b->name);

	if (!cmp)
		cmp = strcmp(a->table, b->table);
	return cmp ? cmp : strcmp(a->family, b->family);
}

static int index_cmp(const void *a, const void *b)
{
	return chain_cmp(*(struct chain *const *)a, *(struct chain *const *)b);
}

/* Chain c leads to the one of this name in its table. */
static int follow(struct walk *w, const struct chain *c, const char *name, size_t len)
{
	struct chain key = { .family = c->family, .table = c->table }, *k = &key, **at;
	_free_ char *copy = strndup(name, len);

	key.name = copy;
	if (!copy)
		return -ENOMEM;
	at = bsearch(&k, w->index, w->n_index, sizeof(struct chain *), index_cmp);
	if (!at || (*at)->found)
		return 0;
	(*at)->found = true;
	w->queue[w->n_queue] = *at;
	w->from[w->n_queue++] = c->name;
	return 0;
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-./@\\", c));
}

/* The next word outside quotes, from *s on, and its length; NULL: no more. */
static const char *rule_word(const char **s, size_t *len, bool quotes)
{
	const char *p = *s, *start;

	for (; *p && !word_char(*p); p++) {
		if (*p == '"' && quotes) {
			p = strchr(p + 1, '"');
			if (!p)
				return NULL;
		}
	}
	for (start = p; word_char(*p);)
		p++;
	*s = p;
	*len = (size_t)(p - start);
	return *len ? start : NULL;
}

static bool is_word(const char *word, size_t len, const char *wanted)
{
	return len == strlen(wanted) && !memcmp(word, wanted, len);
}

static bool in_list(const char *const *list, size_t n, const char *word, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		if (is_word(word, len, list[i]))
			return true;
	}
	return false;
}

/* Statements that make a difference to the packet, or that keep a record of it. */
static bool acting_word(const char *word, size_t len, bool nat)
{
	static const char *const anywhere[] = {
		"drop", "reject", "queue", "set",    "log",	 "add",	   "update", "delete",
		"dup",	"fwd",	  "reset", "tproxy", "synproxy", "target", /* an xt one */
	};
	/* Elsewhere these are values of a match: `ct status dnat`, `icmp type redirect`. */
	static const char *const translating[] = { "dnat", "snat", "masquerade", "redirect" };

	return in_list(anywhere, ARRAY_SIZE(anywhere), word, len) ||
	       (nat && in_list(translating, ARRAY_SIZE(translating), word, len));
}

static int look_at(struct walk *w, const struct chain *c, const char *text, bool *acts);

/* A verdict map: its elements decide. */
static int look_up(struct walk *w, const struct chain *c, const char *name, size_t len, bool *acts)
{
	_free_ char *full = NULL, *map = NULL;

	if (asprintf(&full, "%s %s %.*s", c->family, c->table, (int)len, name) < 0) {
		full = NULL;
		return -ENOMEM;
	}
	map = w->lookup(full);
	if (map)
		return look_at(w, c, map, acts);
	*acts = true;
	return 0;
}

/* Does the text act, and to which chains does it lead? */
static int look_at(struct walk *w, const struct chain *c, const char *text, bool *acts)
{
	const char *word, *before = "", *s = text;
	size_t len, before_len = 0, n_quotes = 0;
	int err = 0;

	/* A prefix that iptables logs may have quotes in it, and nft prints them bare. */
	for (const char *q = text; (q = strchr(q, '"')); q++)
		n_quotes++;
	while (!err && (word = rule_word(&s, &len, n_quotes % 2 == 0))) {
		if (is_word(before, before_len, "jump") || is_word(before, before_len, "goto"))
			err = follow(w, c, word, len);
		else if (is_word(before, before_len, "vmap") && *word == '@')
			err = look_up(w, c, word + 1, len - 1, acts);
		else if (!is_word(before, before_len, "flow") && acting_word(word, len, w->nat))
			*acts = true;
		before = word;
		before_len = len;
	}
	return err;
}

/* --- what is missed --- */

/* Part of a rule of iptables' that nft shows as nothing at all, but for the blank in front of it.
 */
static bool ends_blank(const char *text)
{
	size_t len = strlen(text);

	return len && text[len - 1] == ' ';
}

/* Where it showed a match of iptables' as nothing, two blanks meet. */
static void squeeze(char *text)
{
	bool quoted = false;
	char *to = text;

	for (const char *s = text; *s; s++) {
		quoted ^= *s == '"';
		if (*s == ' ' && !quoted && (to == text || s[1] == ' ' || !s[1]))
			continue;
		*to++ = *s;
	}
	*to = '\0';
}

static int add_missed(struct missed_rules *out, const char *chain, const char *text, int handle,
		      bool nat, bool acts)
{
	bool more = ends_blank(text);
	_free_ char *copy = NULL;

	if (asprintf(&copy, "%s%s", text, more ? "(more, which nft cannot show)" : "") < 0) {
		copy = NULL;
		return -ENOMEM;
	}
	squeeze(copy);
	if (ARRAY_RESERVE(out->v, out->cap, out->n + 1))
		return -ENOMEM;
	out->v[out->n++] = (struct missed_rule){ .chain = chain,
						 .text = TAKE_PTR(copy),
						 .handle = handle,
						 .nat = nat,
						 .acts = acts || more };
	return 0;
}

/* "ip nat POSTROUTING (nat, postrouting, priority 100)" */
static char *chain_title(const struct chain *c, const char *from, bool nat)
{
	const char *device = c->header ? strstr(c->header, " device") : NULL;
	const char *end = device ? strstr(device, " priority ") : NULL;
	char *title;
	int n;

	if (c->header)
		n = asprintf(&title, "%s %s %s (%s%s%.*s, priority %d)", c->family, c->table,
			     c->name, nat ? "nat, " : "", stages[c->stage],
			     end ? (int)(end - device) : 0, end ? device : "", c->priority);
	else
		n = asprintf(&title, "%s %s %s (from %s)", c->family, c->table, c->name, from);
	return n < 0 ? NULL : title;
}

static int list_chain(struct walk *w, const struct listing *l, const struct chain *c,
		      const char *from, struct missed_rules *out)
{
	bool policy = c->policy && strcmp(c->policy, "accept");
	char *title, policy_text[64];
	int err = 0;

	if (!policy && !c->n)
		return 0;
	if (ARRAY_RESERVE(out->chains, out->cap_chains, out->n_chains + 1))
		return -ENOMEM;
	title = chain_title(c, from, w->nat);
	if (!title)
		return -ENOMEM;
	out->chains[out->n_chains++] = title;
	for (size_t i = 0; !err && i < c->n; i++) {
		const struct rule_line *r = &l->lines[c->first + i];
		bool acts = false;

		err = look_at(w, c, r->text, &acts);
		if (!err)
			err = add_missed(out, title, r->text, r->handle, w->nat, acts);
	}
	if (!err && policy) {
		snprintf(policy_text, sizeof(policy_text), "policy %s", c->policy);
		err = add_missed(out, title, policy_text, 0, w->nat, true);
	}
	return err;
}

/* A base chain and, behind it, the chains that it alone or it first leads to. */
static int list_base(struct walk *w, const struct listing *l, struct chain *base,
		     struct missed_rules *out)
{
	size_t next = w->n_queue;
	int err;

	base->found = true;
	w->nat = !strncmp(base->header, "type nat ", 9);
	err = list_chain(w, l, base, NULL, out);
	for (; !err && next < w->n_queue; next++)
		err = list_chain(w, l, w->queue[next], w->from[next], out);
	return err;
}

static int base_cmp(const void *pa, const void *pb)
{
	const struct chain *a = *(struct chain *const *)pa, *b = *(struct chain *const *)pb;

	if (a->stage != b->stage)
		return a->stage < b->stage ? -1 : 1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return a < b ? -1 : a > b; /* as listed */
}

int missed_rules_parse(char *ruleset, char *(*lookup)(const char *map), struct missed_rules *out)
{
	_cleanup_(cleanup_listing) struct listing l = {};
	_free_ struct chain **index = NULL, **bases = NULL, **queue = NULL;
	_free_ const char **from = NULL;
	struct missed_rules m = {};
	struct walk w = { .lookup = lookup };
	size_t n_bases = 0;
	int err = parse_ruleset(&l, ruleset);

	if (err || !l.n_chains)
		return err;
	index = calloc(l.n_chains, sizeof(*index));
	bases = calloc(l.n_chains, sizeof(*bases));
	queue = calloc(l.n_chains, sizeof(*queue));
	from = calloc(l.n_chains, sizeof(*from));
	if (!index || !bases || !queue || !from)
		return -ENOMEM;
	for (size_t i = 0; i < l.n_chains; i++) {
		index[i] = &l.chains[i];
		if (l.chains[i].header && l.chains[i].stage != NO_STAGE)
			bases[n_bases++] = &l.chains[i];
	}
	qsort(index, l.n_chains, sizeof(*index), index_cmp);
	qsort(bases, n_bases, sizeof(*bases), base_cmp);
	w.index = index;
	w.n_index = l.n_chains;
	w.queue = queue;
	w.from = from;
	for (size_t i = 0; !err && i < n_bases; i++)
		err = list_base(&w, &l, bases[i], &m);
	if (err)
		missed_rules_free(&m);
	else
		*out = m;
	return err;
}

void missed_rules_free(struct missed_rules *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i].text);
	for (size_t i = 0; i < m->n_chains; i++)
		free(m->chains[i]);
	free(m->v);
	free(m->chains);
	free(m->legacy);
	*m = (struct missed_rules){};
}

/* --- asking --- */

static char *list_map(const char *map)
{
	_free_ char *command = NULL, *error = NULL;
	char *text = NULL;

	if (asprintf(&command, "list map %s", map) < 0) {
		command = NULL;
		return NULL;
	}
	return nft_list(command, true, &text, &error) ? NULL : text;
}

/* Names, one a line; a file that is not there has none. */
static void add_legacy(const char *path, struct strbuf *b)
{
	_free_ char *names = NULL;
	char *s, *name;
	size_t len;

	if (read_file(path, 4096, &names, &len))
		return;
	for (s = names; (name = strsep(&s, "\n"));) {
		char *had = b->s ? strstr(b->s, name) : NULL;
		size_t end = had ? strlen(name) : 0;

		/* Of both families, or known already. No name is the start of another's. */
		if (*name && (!had || (had[end] && had[end] != ',')))
			strbuf_addf(b, "%s%s", b->len ? ", " : "", name);
	}
}

int missed_rules_read(struct missed_rules *out, char **error)
{
	_strbuf_ struct strbuf legacy = {};
	_free_ char *text = NULL;
	struct missed_rules m = {};
	int err = nft_list("list ruleset", false, &text, error);

	if (!err)
		err = missed_rules_parse(text, list_map, &m);
	add_legacy("/proc/net/ip_tables_names", &legacy);
	add_legacy("/proc/net/ip6_tables_names", &legacy);
	if (!err && legacy.err)
		err = legacy.err;
	if (err) {
		missed_rules_free(&m);
		return err;
	}
	m.legacy = TAKE_PTR(legacy.s);
	*out = m;
	return 0;
}
