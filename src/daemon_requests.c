// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands of the control socket. A change is made on a copy of the rules in force; only when
 * that copy is in force itself is anything else told. So an error, wherever, changes nothing.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "daemon.h"
#include "log.h"
#include "request.h"

static int put(json_t *reply, const char *key, json_t *value)
{
	return json_object_set_new(reply, key, value) ? -ENOMEM : 0;
}

static int put_change(json_t *reply, const struct daemon *d, const struct change *c)
{
	if (put(reply, "generation", json_integer(datapath_generation(d->dp))) ||
	    put(reply, "rules", json_integer((json_int_t)d->live.rs->n_rules)) ||
	    put(reply, "kept", json_integer((json_int_t)c->kept)) ||
	    put(reply, "added", json_integer((json_int_t)c->added)) ||
	    put(reply, "removed", json_integer((json_int_t)c->removed)) ||
	    put(reply, "conntrack_removed", json_integer((json_int_t)c->swept.removed)))
		return -ENOMEM;
	return 0;
}

static void say_change(const struct daemon *d, const char *what, const struct change *c)
{
	log_info("%s: generation %u, %zu rules (%zu new, %zu gone), %llu conntrack entries removed",
		 what, datapath_generation(d->dp), d->live.rs->n_rules, c->added, c->removed,
		 (unsigned long long)c->swept.removed);
	if (c->swept.nat)
		log_warn("%llu flows with NAT are bypassed now and will break; exempt them with a "
			 "`track` rule",
			 (unsigned long long)c->swept.nat);
	if (c->swept.offloaded)
		log_warn(CONNTRACK_OFFLOADED, (unsigned long long)c->swept.offloaded);
}

/* The change is in force; let it survive us. Failing that is told, not undone. */
static void keep_lines(struct daemon *d, const struct journal_lines *lines, struct diag *diag)
{
	for (size_t i = 0; i < lines->n; i++) {
		int err = datapath_journal_append(d->dp, lines->v[i]);

		if (err) {
			diag_warn(diag, (struct pos){}, NULL, NULL,
				  "done, but a restart of the daemon will forget it: the journal "
				  "takes no more (%s)",
				  strerror(-err));
			return;
		}
		d->changes++;
	}
}

/* A changed copy (taken over) into force, the lines into the journal. */
static int change(struct daemon *d, struct ruleset *rs, const char *what,
		  const struct journal_lines *lines, json_t *reply, struct diag *diag, char **error)
{
	struct change done;
	int err = apply_ruleset(d, rs, &done, diag, error);

	if (err) {
		ruleset_free(rs);
		return err;
	}
	keep_lines(d, lines, diag);
	say_change(d, what, &done);
	return put_change(reply, d, &done);
}

static int do_add(struct daemon *d, const struct request *req, json_t *reply, struct diag *diag,
		  char **error)
{
	_cleanup_(journal_lines_free) struct journal_lines lines = {};
	_ruleset_ struct ruleset *rs = ruleset_clone(d->live.rs);
	int err;

	if (!rs)
		return -ENOMEM;
	err = ruleset_add_rule(rs, req->text, diag);
	if (err)
		return err;
	err = journal_add(&lines, &rs->rules[rs->n_rules - 1]);
	if (err == -EFBIG)
		return error_set(error, err, "a rule added at run time has at most %d bytes",
				 JOURNAL_LINE_MAX - 5);
	if (err)
		return err;
	err = change(d, TAKE_PTR(rs), lines.v[0], &lines, reply, diag, error);
	if (err)
		return err;
	return put(reply, "handle",
		   json_integer(d->live.rs->rules[d->live.rs->n_rules - 1].handle));
}

static int do_delete(struct daemon *d, const struct request *req, json_t *reply, struct diag *diag,
		     char **error)
{
	_cleanup_(journal_lines_free) struct journal_lines lines = {};
	_ruleset_ struct ruleset *rs = ruleset_clone(d->live.rs);
	int index, err;

	if (!rs)
		return -ENOMEM;
	index = ruleset_find(rs, req->handle);
	if (index < 0)
		return error_set(error, index, "no rule has handle %u", req->handle);
	err = journal_delete(&lines, req->handle, (size_t)index);
	if (!err)
		err = ruleset_delete(rs, req->handle);
	if (err)
		return err;
	return change(d, TAKE_PTR(rs), lines.v[0], &lines, reply, diag, error);
}

static int do_set(struct daemon *d, const struct request *req, json_t *reply, struct diag *diag,
		  char **error)
{
	_cleanup_(journal_lines_free) struct journal_lines lines = {};
	_ruleset_ struct ruleset *rs = ruleset_clone(d->live.rs);
	bool add = req->cmd == REQ_SET_ADD;
	_free_ char *what = NULL;
	int err;

	if (!rs)
		return -ENOMEM;
	err = ruleset_set_change(rs, req->name, add, req->elements, req->n_elements, diag);
	if (!err)
		err = journal_set(&lines, add, req->name, req->elements, req->n_elements);
	if (!err && asprintf(&what, "set %s %s: %zu elements", add ? "add" : "delete", req->name,
			     req->n_elements) < 0) {
		what = NULL;
		err = -ENOMEM;
	}
	if (err)
		return err;
	return change(d, TAKE_PTR(rs), what, &lines, reply, diag, error);
}

static json_t *lines_dropped(char *const *lines, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_string(lines[i]));
	return out;
}

/* Forget the run-time changes; *dropped lists what they were. */
static int drop_changes(struct daemon *d, __u64 hash, json_t **dropped)
{
	size_t n = 0;
	char **lines = NULL;
	__u64 old;
	int err = datapath_journal_read(d->dp, &lines, &n, &old);

	*dropped = lines_dropped(lines, n);
	for (size_t i = 0; i < n; i++)
		free(lines[i]);
	free(lines);
	if (!err)
		err = datapath_journal_reset(d->dp, hash);
	d->changes = 0;
	return *dropped ? err : -ENOMEM;
}

int daemon_reload(struct daemon *d, json_t *reply, struct diag *diag, char **error)
{
	_ruleset_ struct ruleset *rs = NULL;
	json_t *dropped = NULL;
	struct change done;
	__u64 hash;
	int err = ruleset_parse_file(d->opt.config, &rs, diag);

	if (err)
		return err;
	err = journal_hash(d->opt.config, rs, &hash);
	if (err)
		return error_set(error, err, "reading %s again: %s", d->opt.config, strerror(-err));
	for (size_t i = 0; i < rs->n_rules; i++)
		rs->rules[i].handle = 0; /* the parser counts from 1 in every file */
	err = apply_ruleset(d, rs, &done, diag, error);
	if (err)
		return err;
	rs = NULL;
	err = drop_changes(d, hash, &dropped);
	if (err)
		diag_warn(diag, (struct pos){}, NULL, NULL,
			  "done, but the journal of run-time changes cannot be emptied: %s",
			  strerror(-err));
	say_change(d, "reload", &done);
	if (dropped && json_array_size(dropped))
		log_info("reload: %zu run-time changes dropped", json_array_size(dropped));
	if (!dropped || put(reply, "dropped", dropped))
		return -ENOMEM;
	return put_change(reply, d, &done);
}

/* The same rules, handed over another way. */
static int do_hand_over(struct daemon *d, const struct request *req, json_t *reply, char **error)
{
	enum hand_over_wish was = datapath_hand_over_wish(d->dp), wish;
	const struct hand_over *how;
	int err = hand_over_parse(req->method, &wish);

	if (err)
		return error_set(error, err, "\"%s\" is not " HAND_OVER_WISHES, req->method);
	datapath_set_hand_over(d->dp, wish, d->broker);
	err = apply_again(d, error);
	if (err) {
		datapath_set_hand_over(d->dp, was, d->broker);
		return err;
	}
	how = datapath_how(d->dp);
	log_info("hand-over: ingress %s, output %s", hand_over_name(how->ingress),
		 hand_over_name(how->output));
	return put(reply, "hand_over", report_hand_over(d));
}

/* The members of a report become the reply's. */
static int answer_with(json_t *reply, json_t *report)
{
	int err = !report || json_object_update(reply, report) ? -ENOMEM : 0;

	json_decref(report);
	return err;
}

static int dispatch(struct daemon *d, const struct request *req, json_t *reply, struct diag *diag,
		    char **error)
{
	switch (req->cmd) {
	case REQ_ADD:
		return do_add(d, req, reply, diag, error);
	case REQ_DELETE:
		return do_delete(d, req, reply, diag, error);
	case REQ_SET_ADD:
	case REQ_SET_DELETE:
		return do_set(d, req, reply, diag, error);
	case REQ_RELOAD:
		return daemon_reload(d, reply, diag, error);
	case REQ_HAND_OVER:
		return do_hand_over(d, req, reply, error);
	case REQ_LIST:
		return answer_with(reply, report_list(d));
	case REQ_STATS:
		return answer_with(reply, report_stats(d));
	case REQ_STATUS:
		return answer_with(reply, report_status(d));
	case REQ_MAX:
		break;
	}
	return -EINVAL;
}

static char *refusal(int err, const struct diag *diag, const char *error)
{
	_strbuf_ struct strbuf text = {};

	if (diag->text.s && diag->errors)
		strbuf_addf(&text, "%s", diag->text.s);
	if (error)
		strbuf_addf(&text, "%s", error);
	if (!text.len)
		strbuf_addf(&text, "%s", strerror(-err));
	return text.err ? NULL : control_error_reply(text.s);
}

void daemon_request(void *arg, const char *line, size_t len, char **reply)
{
	struct daemon *d = arg;
	_diag_ struct diag diag = {};
	struct request req = {};
	_free_ char *error = NULL;
	json_t *root = json_object();
	int err;

	*reply = NULL;
	err = request_parse(line, len, &req, &error);
	if (!err) {
		log_debug("request: %s", request_name(req.cmd));
		err = root ? put(root, "ok", json_true()) : -ENOMEM;
	}
	if (!err)
		err = dispatch(d, &req, root, &diag, &error);
	if (!err && diag.warnings && diag.text.s)
		err = put(root, "warnings", json_string(diag.text.s));
	if (err)
		*reply = refusal(err, &diag, error);
	else
		*reply = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	request_free(&req);
}
