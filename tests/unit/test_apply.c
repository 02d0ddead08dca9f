// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of things when rules change, and that a failure anywhere changes nothing.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "apply_fakes.h"

TestSuite(apply, .init = fake_setup, .fini = fake_teardown);

/* --- order --- */

Test(apply, nft_before_the_programs_and_the_sweep_after_both)
{
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	expect_trace(" prepare zero info nft commit sweep-both journal ");
	cr_expect_neq(d->settle_at, 0);
	forget();
	apply_settle(d);
	expect_trace(" sweep nft "); /* nft: chains that packets may have been in */
	cr_expect_eq(d->settle_at, 0);
	forget();
	apply_settle(d);
	expect_trace(" sweep ");
}

Test(apply, rules_that_go_lose_their_place_after_the_swap)
{
	cr_assert(done("{\"cmd\":\"delete\",\"handle\":1}"));
	expect_trace(" prepare nft commit info sweep-both journal ");
	for (size_t i = 0; i < CTB_MAX_RULES; i++)
		cr_expect_neq(fake.infos[i].handle, 1);
}

Test(apply, the_old_mark_is_let_go_of_later)
{
	configure("mark 0x100\n" FILE_TEXT);
	cr_assert(done("{\"cmd\":\"reload\"}"));
	expect_trace(" prepare nft commit sweep-both reset ");
	cr_expect_eq(nft_state_mark(d->nft), 0x140);
	cr_expect_not_null(strstr(fake.last_script.s, "0x00000140"), "%s", fake.last_script.s);
	/* Another change in between holds on to it. */
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	cr_expect_eq(nft_state_mark(d->nft), 0x140);
	forget();
	apply_settle(d);
	expect_trace(" sweep nft ");
	cr_expect_eq(nft_state_mark(d->nft), 0x100);
	cr_expect_not_null(strstr(fake.last_script.s, "0x00000100"));
}

/* --- failures --- */

static const struct {
	const char *at, *trace;
} failures[] = {
	{ "prepare", " prepare abort " },
	{ "zero", " prepare zero abort " },
	{ "info", " prepare zero info abort " },
	{ "nft", " prepare zero info nft info abort " },
	{ "commit", " prepare zero info nft commit nft info abort " },
};

Test(apply, a_failure_changes_nothing)
{
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack gre\"}"));
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		struct ctb_rule_info before[CTB_MAX_RULES];
		_free_ char *list = listed(), *after = NULL, *error = NULL;
		struct nft_plan plan = {};
		__u32 gen = fake.generation;

		memcpy(before, fake.infos, sizeof(before));
		fake.fail_at = failures[i].at;
		error = refused("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}");
		expect_trace(failures[i].trace);
		after = listed();
		cr_expect_str_eq(after, list, "%s", fake.fail_at);
		cr_expect_eq(fake.generation, gen);
		cr_expect_eq(fake.journal.n, 1);
		cr_expect_eq(d->changes, 1);
		cr_expect_eq(memcmp(before, fake.infos, sizeof(before)), 0, "%s", fake.fail_at);
		cr_expect_not(fake.swapping, "%s", fake.fail_at);
		/* nft holds what it held. */
		cr_assert_eq(nft_render(&d->live.entries, &d->host, d->live.rs->mark,
					nft_state_generation(d->nft) + 1, d->nft, &plan),
			     0);
		cr_expect_eq(plan.script.len, 0, "%s: %s", fake.fail_at, plan.script.s);
		nft_plan_free(&plan);
		fake.fail_at = NULL;
	}
	/* And then it works, with a handle that none of the failures had. */
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	cr_expect_gt(d->live.rs->rules[3].handle, 4);
}

/* nft has the new rules, the programs have the old ones, and what nft had cannot be put back. */
Test(apply, half_a_swap_is_written_down_and_tried_again)
{
	_free_ char *error = NULL;

	fake.fail_at = "commit";
	fake.nft_fails = 1;
	fake.nft_runs = 0;
	error = refused("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}");
	expect_trace(" prepare zero info nft commit nft info abort ");
	cr_expect(fake.swapping);
	cr_expect(d->must_apply);
	cr_expect_neq(d->refresh_at, 0);
	fake.fail_at = NULL;
	fake.nft_fails = 0;
	expect_host(&d->host, " prepare nft commit sweep-both ");
	cr_expect_not(fake.swapping);
}

/* nft is as it was, some program is not. */
Test(apply, programs_that_stay_half_swapped_are_written_down_too)
{
	_free_ char *error = NULL;

	fake.fail_at = "commit";
	fake.torn = true;
	error = refused("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}");
	cr_expect(fake.swapping);
	cr_expect(d->must_apply);
	fake.fail_at = NULL;
}

/* A start over rules that nobody knows any more: there is nothing to put back. */
Test(apply, half_a_swap_over_an_adopted_table_stays_written_down)
{
	_free_ char *error = NULL;

	live_free(&d->live);
	fake.fail_at = "commit";
	error = refused("{\"cmd\":\"reload\"}");
	expect_trace(" prepare commit abort ");
	cr_expect(fake.swapping);
	fake.fail_at = NULL;
}

Test(apply, a_first_start_that_fails_takes_its_table_away)
{
	_free_ char *error = NULL;

	live_free(&d->live);
	nft_state_free(d->nft);
	d->nft = NULL;
	fake.fail_at = "commit";
	error = refused("{\"cmd\":\"reload\"}");
	expect_trace(" prepare nft commit remove abort ");
	cr_expect_null(d->nft);
	fake.fail_at = NULL;
}

/* --- forward --- */

Test(apply, forward_rules_are_planned_and_watched_while_there_are_any)
{
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	cr_expect_not(fake.told->active);
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"forward udp dport 5\"}"));
	expect_trace(" watch routing prepare zero info nft commit sweep-both journal ");
	cr_expect(fake.told->active);
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack gre\"}"));
	expect_trace(" routing prepare zero info nft commit sweep-both journal ");
	cr_assert(done("{\"cmd\":\"reload\"}"));
	expect_trace(" prepare nft commit info info info sweep-both unwatch reset ");
	cr_expect_not(fake.told->active);
}

Test(apply, forward_that_fails_is_not_watched)
{
	static const struct {
		const char *at, *trace;
	} rows[] = {
		{ "watch", " watch abort " },
		{ "routing", " watch routing abort unwatch " },
		{ "prepare", " watch routing prepare abort unwatch " },
		{ "commit", " watch routing prepare zero info nft commit nft info abort unwatch " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_free_ char *error = NULL;

		fake.fail_at = rows[i].at;
		error = refused("{\"cmd\":\"add\",\"text\":\"forward udp dport 5\"}");
		expect_trace(rows[i].trace);
		fake.fail_at = NULL;
	}
	cr_expect_eq(d->live.rs->n_rules, 2);
}

/* What decides how this host forwards is the kernel's alone: it is read at every event. */
Test(apply, forward_follows_routing)
{
	struct host same = {};

	cr_assert(done("{\"cmd\":\"add\",\"text\":\"forward udp dport 5\"}"));
	apply_settle(d);
	expect_host(&same, " routing sync ");
	cr_expect(fake.told->active);
	fake.sync_says = 1;
	expect_host(&same, " routing sync routing prepare commit sweep-both ");
	fake.sync_says = 0;
	cr_assert(done("{\"cmd\":\"delete\",\"handle\":3}"));
	expect_host(&same, " ");
}

Test(apply, forward_can_do_without_xdp)
{
	struct host_if dev[] = { { .ifindex = 5,
				   .name = "d0",
				   .flags = IFF_UP,
				   .type = 1,
				   .mac = { 2, 1 },
				   .mtu = 1500 },
				 { .ifindex = 6,
				   .name = "d1",
				   .flags = IFF_UP,
				   .type = 1,
				   .mac = { 2, 2 },
				   .mtu = 1500 } };
	struct route_if facts[] = { { .ifindex = 5,
				      .forwarding4 = true,
				      .xdp_known = true,
				      .xdp_redirect = true,
				      .xdp_out = true },
				    { .ifindex = 6,
				      .forwarding4 = true,
				      .xdp_known = true,
				      .xdp_redirect = true,
				      .xdp_out = true } };

	d->host.ifs = dev;
	d->host.n_ifs = 2;
	fake.routes = facts;
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"forward udp dport 5\"}"));
	cr_assert_eq(fake.told->n_roles, 2);
	cr_expect(fake.told->roles[0].xdp, "%s", fake.told->roles[0].why_in);
	d->opt.no_xdp = true;
	cr_assert(done("{\"cmd\":\"add\",\"text\":\"forward udp dport 6\"}"));
	cr_assert_eq(fake.told->n_roles, 2);
	cr_expect_not(fake.told->roles[0].xdp);
	cr_expect(fake.told->roles[0].in);
	d->host.ifs = NULL;
	d->host.n_ifs = 0;
}

/* --- requests --- */

Test(apply, add_tells_the_handle_and_writes_the_rule_down)
{
	json_t *v = ask(
		"{\"cmd\":\"add\",\"text\":\"notrack  udp   dport 53 comment \\\"a b\\\"\"}");

	cr_expect_eq(json_integer_value(json_object_get(v, "handle")), 3);
	json_decref(v);
	cr_assert_eq(fake.journal.n, 1);
	cr_expect_str_eq(fake.journal.v[0], "add notrack udp dport 53 comment \"a b\"");
	cr_expect(d->live.rs->rules[2].runtime);
}

Test(apply, a_journal_that_takes_no_more_is_a_warning)
{
	json_t *v;

	fake.fail_at = "journal";
	v = ask("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}");
	fake.fail_at = NULL;
	cr_expect(json_is_true(json_object_get(v, "ok")));
	cr_expect_not_null(strstr(json_string_value(json_object_get(v, "warnings")), "forget"));
	cr_expect_eq(d->live.rs->n_rules, 3);
	json_decref(v);
}

Test(apply, delete_and_its_errors)
{
	_free_ char *error = refused("{\"cmd\":\"delete\",\"handle\":77}");

	expect_trace(" ");
	cr_expect_not_null(strstr(error, "77"));
	cr_assert(done("{\"cmd\":\"delete\",\"handle\":2}"));
	cr_assert_eq(fake.journal.n, 1);
	cr_expect_str_eq(fake.journal.v[0], "delete 2 # 1");
	free(error);
	error = refused("{\"cmd\":\"delete\",\"handle\":2}");
}

Test(apply, sets_change_and_errors_do_not)
{
	_free_ char *error = NULL;

	cr_assert(done("{\"cmd\":\"set-add\",\"name\":\"web\",\"elements\":[\"443\",\"8080\"]}"));
	cr_expect_str_eq(fake.journal.v[0], "set add web 443 8080");
	cr_expect_eq(d->live.rs->sets[0]->ports.n, 3);
	error = refused("{\"cmd\":\"set-add\",\"name\":\"web\",\"elements\":[\"444\",\"443\"]}");
	cr_expect_eq(d->live.rs->sets[0]->ports.n, 3);
	expect_trace(" ");
	cr_assert(done("{\"cmd\":\"set-delete\",\"name\":\"web\",\"elements\":[\"80\"]}"));
	cr_expect_eq(d->live.rs->sets[0]->ports.n, 2);
	cr_expect_eq(fake.journal.n, 2);
}

Test(apply, reload_goes_back_to_the_file_and_lists_what_it_drops)
{
	json_t *v, *dropped;

	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	cr_assert(done("{\"cmd\":\"delete\",\"handle\":1}"));
	v = ask("{\"cmd\":\"reload\"}");
	dropped = json_object_get(v, "dropped");
	cr_assert_eq(json_array_size(dropped), 2);
	cr_expect_str_eq(json_string_value(json_array_get(dropped, 0)), "add notrack icmp");
	cr_expect_eq(json_integer_value(json_object_get(v, "kept")), 1);
	cr_expect_eq(json_integer_value(json_object_get(v, "added")), 1);
	cr_expect_eq(json_integer_value(json_object_get(v, "removed")), 1);
	cr_expect_eq(fake.journal.n, 0);
	cr_expect_eq(d->changes, 0);
	cr_expect_eq(d->live.rs->rules[1].handle, 2);
	cr_expect_eq(d->live.rs->rules[0].handle, 4);
	json_decref(v);
}

/* The parser counts handles from 1 in every file; they are not those of the rules in force. */
Test(apply, handles_of_the_file_mean_nothing)
{
	configure("notrack udp dport 1\nnotrack udp dport 2\nnotrack udp dport 1\n");
	cr_assert(done("{\"cmd\":\"reload\"}"));
	cr_assert_eq(d->live.rs->rules[1].handle, 3);
	cr_assert_eq(d->live.rs->rules[2].handle, 4);
	configure("notrack udp dport 9\nnotrack udp dport 2\nnotrack udp dport 8\n"
		  "notrack udp dport 1\n");
	cr_assert(done("{\"cmd\":\"reload\"}"));
	cr_expect_eq(d->live.rs->rules[3].handle, 1);
}

Test(apply, a_broken_file_is_not_loaded)
{
	_free_ char *list = listed(), *after = NULL, *error = NULL;

	cr_assert(done("{\"cmd\":\"add\",\"text\":\"notrack icmp\"}"));
	free(list);
	list = listed();
	configure("notrack udp dprt 1\n");
	error = refused("{\"cmd\":\"reload\"}");
	expect_trace(" ");
	cr_expect_not_null(strstr(error, "c.conf:1:13:"), "%s", error);
	after = listed();
	cr_expect_str_eq(after, list);
	cr_expect_eq(fake.journal.n, 1);
}

Test(apply, counters_find_their_rules)
{
	json_t *v = ask("{\"cmd\":\"stats\"}"), *rules = json_object_get(v, "rules"), *second;
	json_t *fallbacks;
	const char *name;
	json_int_t in, out, failsafe, all, xdp, tc;

	cr_assert_eq(json_array_size(rules), 2);
	second = json_array_get(rules, 1);
	cr_assert_eq(json_unpack(second, "{s:{s:{s:I}},s:{s:{s:I}}}", "receive", "original",
				 "packets", &in, "output", "reply", "packets", &out),
		     0);
	cr_expect_eq(in, 1000 + d->live.rs->rules[1].slot);
	cr_assert_eq(d->live.rs->rules[1].slot, 2);
	cr_assert_eq(json_unpack(second, "{s:{s:{s:I}},s:{s:{s:I}},s:{s:{s:I}}}", "receive",
				 "reply", "bytes", &all, "xdp", "reply", "bytes", &xdp, "tc",
				 "reply", "bytes", &tc),
		     0);
	cr_expect_eq(all, 0x111);
	cr_expect_eq(xdp, 0x10);
	cr_expect_eq(tc, 0x100);
	cr_expect_eq(out, 44);
	cr_assert_eq(json_unpack(v, "{s:{s:{s:{s:I}}}}", "failsafe", "output", "original",
				 "packets", &failsafe),
		     0);
	cr_expect_eq(failsafe, 22);
	cr_expect_eq(json_array_size(json_object_get(v, "reasons")), CTB_R_MAX);
	fallbacks = json_object_get(v, "fallbacks");
	cr_assert_eq(json_array_size(fallbacks), CTB_FB_MAX);
	cr_assert_eq(json_unpack(json_array_get(fallbacks, CTB_FB_TTL),
				 "{s:s,s:{s:I,s:I},s:{s:I,s:I}}", "name", &name, "to_tc", "packets",
				 &in, "bytes", &out, "kernel", "packets", &xdp, "bytes", &tc),
		     0);
	cr_expect_str_eq(name, "ttl");
	cr_expect(in == 3 && out == 300 && xdp == 4 && tc == 5);
	json_decref(v);
}

Test(apply, status_warns)
{
	const char *path, *why, *out_why;
	json_t *v, *warnings;
	_free_ char *all = NULL;
	int out;

	d->restored = 2;
	d->swept.nat = 4;
	d->swept.offloaded = 5;
	v = ask("{\"cmd\":\"status\"}");
	warnings = json_object_get(v, "warnings");
	all = json_dumps(warnings, 0);
	cr_expect_eq(json_array_size(warnings), 4, "%s", all);
	cr_expect_not_null(strstr(all, "flush ruleset"));
	cr_expect_not_null(strstr(all, "95 % full"));
	cr_expect_not_null(strstr(all, "4 flows with NAT"));
	cr_expect_not_null(strstr(all, "5 bypassed flows are in an nft flowtable"));
	cr_assert_eq(json_unpack(json_array_get(json_object_get(v, "interfaces"), 0),
				 "{s:s,s:s,s:b,s:s}", "forward", &path, "forward_why", &why,
				 "xdp_out", &out, "xdp_out_why", &out_why),
		     0);
	cr_expect_str_eq(path, "tc");
	cr_expect_str_eq(why, "no driver");
	cr_expect(out);
	cr_expect_str_eq(out_why, "");
	json_decref(v);
}

/* --- the host --- */

Test(apply, local_addresses)
{
	struct prefix4 one = { 0xc0000201, 32 };
	struct host old = {};

	d->host.local = (struct prefix_list){ .v4 = &one, .n4 = 1 };
	expect_host(&old, " prepare nft commit sweep-both ");
	expect_host(&d->host, " ");
	/* Without a rule that names them, they are nothing to the programs. */
	configure("notrack udp dport 1\n");
	cr_assert(done("{\"cmd\":\"reload\"}"));
	expect_host(&old, " sync ");
	d->host.local = (struct prefix_list){};
}

Test(apply, devices)
{
	struct host_if was = { .ifindex = 5, .name = "d0" }, is = { .ifindex = 5, .name = "e0" };
	struct host old = { .ifs = &was, .n_ifs = 1 };

	d->host.ifs = &is;
	d->host.n_ifs = 1;
	expect_host(&old, " sync ");
	fake.sync_says = 1; /* these programs cannot serve it */
	expect_host(&old, " sync prepare commit sweep-both ");
	fake.sync_says = 0;
	cr_assert(done(
		"{\"cmd\":\"add\",\"text\":\"notrack udp dport 9 daddr local iif \\\"e*\\\"\"}"));
	forget();
	apply_settle(d);
	{
		_free_ char *error = NULL;

		forget();
		cr_expect_eq(apply_host(d, &old, &error), 0);
		cr_expect_not_null(strstr(fake.trace.s, " prepare "), "%s", fake.trace.s);
	}
	/* It goes. */
	{
		struct host now = d->host;
		_free_ char *error = NULL;

		d->host = (struct host){};
		forget();
		cr_expect_eq(apply_host(d, &now, &error), 0);
		cr_expect_not_null(strstr(fake.trace.s, " prepare "), "%s", fake.trace.s);
		d->host = now;
	}
	/* A device that no rule names is only attached. */
	strcpy(is.name, "x0");
	strcpy(was.name, "y0");
	forget();
	{
		_free_ char *error = NULL;

		cr_expect_eq(apply_host(d, &old, &error), 0);
		cr_expect_null(strstr(fake.trace.s, " prepare "), "%s", fake.trace.s);
		cr_expect_not_null(strstr(fake.trace.s, " sync "), "%s", fake.trace.s);
	}
	d->host.ifs = NULL;
	d->host.n_ifs = 0;
}

Test(apply, a_failed_attempt_is_made_again_whole)
{
	d->must_apply = true;
	expect_host(&d->host, " prepare commit sweep-both ");
	cr_expect_not(d->must_apply);
}

Test(apply, a_lost_table_is_made_again)
{
	_free_ char *error = NULL;

	forget();
	cr_expect_eq(apply_restore_nft(d, &error), 0, "%s", error);
	expect_trace(" remove nft ");
	cr_expect_not_null(strstr(fake.last_script.s, "chain prerouting"));
	cr_expect_not_null(strstr(fake.last_script.s, "chain output"));
	cr_expect(d->own_nft);
}
