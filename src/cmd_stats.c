// SPDX-License-Identifier: GPL-2.0-only
/* Tables of at most 120 columns; -w shows the packets a second instead of the bytes. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "client.h"
#include "commands.h"

#define RULE_WIDTH 40
#define WATCH_MS   1000

/* Two looks at the counters; before is NULL for the first. */
struct looks {
	const json_t *now, *before;
	double seconds; /* between them */
};

static long long get(const json_t *count, const char *key)
{
	return json_integer_value(json_object_get(count, key));
}

static const json_t *look(const json_t *where, const char *side, const char *dir)
{
	return json_object_get(json_object_get(where, side), dir);
}

/* Packets, and bytes or the rate. */
static void print_count(const struct looks *l, const json_t *now, const json_t *before)
{
	long long packets = get(now, "packets");

	printf(" %14lld", packets);
	if (!l->before)
		printf(" %16lld", get(now, "bytes"));
	else if (!before || packets < get(before, "packets"))
		printf(" %12s/s", "-"); /* new, or the table was made again */
	else
		printf(" %14.0f/s", (double)(packets - get(before, "packets")) / l->seconds);
}

/* Packets, or their rate. */
static void print_brief(const struct looks *l, const json_t *now, const json_t *before)
{
	long long packets = get(now, "packets");

	if (!l->before)
		printf(" %14lld", packets);
	else
		printf(" %12.0f/s", (double)(packets - get(before, "packets")) / l->seconds);
}

/* Cut so that a line stays a line; UTF-8 is cut between characters. */
static void print_cut(const char *text)
{
	int width = 0;
	const char *p = text;

	while (*p && width < RULE_WIDTH - 1) {
		p++;
		while ((*p & 0xc0) == 0x80)
			p++;
		width++;
	}
	if (*p && p[1])
		printf("%.*s~", (int)(p - text), text), width++;
	else
		fputs(text, stdout), width += *p != 0;
	printf("%*s", RULE_WIDTH - width, "");
}

static const struct {
	const char *key, *label;
} dirs[] = {
	{ "original", "original" },
	{ "reply", "reply" },
	{ "icmp_error", "icmp err" },
};

static void print_rule(const struct looks *l, const json_t *now, const json_t *before,
		       const char *handle, const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		const json_t *in = look(now, "receive", dirs[i].key);
		const json_t *out = look(now, "output", dirs[i].key);

		if (i == 2 && !get(in, "packets") && !get(out, "packets"))
			continue;
		printf("%6s ", i ? "" : handle);
		print_cut(i ? "" : text);
		printf(" %-8s", dirs[i].label);
		print_count(l, in, look(before, "receive", dirs[i].key));
		print_count(l, out, look(before, "output", dirs[i].key));
		putchar('\n');
	}
}

static const json_t *find_rule(const json_t *stats, json_int_t handle)
{
	json_t *rule;
	size_t i;

	json_array_foreach (json_object_get(stats, "rules"), i, rule) {
		if (get(rule, "handle") == handle)
			return rule;
	}
	return NULL;
}

static void print_rules(const struct looks *l)
{
	const char *second = l->before ? "rate" : "bytes";
	json_t *rule;
	size_t i;

	printf("%6s %-*s %-8s %14s %16s %14s %16s\n", "handle", RULE_WIDTH, "rule", "", "received",
	       second, "sent", second);
	json_array_foreach (json_object_get(l->now, "rules"), i, rule) {
		char handle[24];

		snprintf(handle, sizeof(handle), "%lld", get(rule, "handle"));
		print_rule(l, rule, find_rule(l->before, get(rule, "handle")), handle,
			   json_string_value(json_object_get(rule, "rule")));
	}
	print_rule(l, json_object_get(l->now, "failsafe"), json_object_get(l->before, "failsafe"),
		   "-", "failsafe");
}

static bool is_forward(const json_t *rule)
{
	const char *action = json_string_value(json_object_get(rule, "action"));

	return action && !strcmp(action, "forward");
}

static bool any_forward(const json_t *stats)
{
	json_t *rule;
	size_t i;

	json_array_foreach (json_object_get(stats, "rules"), i, rule) {
		if (is_forward(rule))
			return true;
	}
	return false;
}

/* What came in and did not leave by XDP or tc: COUNT. Owned by the caller; NULL without rule. */
static json_t *left_to_kernel(const json_t *rule, const char *dir)
{
	const json_t *all = look(rule, "receive", dir);
	const json_t *xdp = look(rule, "xdp", dir), *tc = look(rule, "tc", dir);

	if (!all)
		return NULL;
	return json_pack(
		"{s:I,s:I}", "packets",
		(json_int_t)(get(all, "packets") - get(xdp, "packets") - get(tc, "packets")),
		"bytes", (json_int_t)(get(all, "bytes") - get(xdp, "bytes") - get(tc, "bytes")));
}

/* How the packets that a forward rule received were sent on. */
static void print_forwarded(const struct looks *l, const json_t *now, const json_t *before)
{
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		json_t *rest = left_to_kernel(now, dirs[i].key);
		json_t *rest_before = left_to_kernel(before, dirs[i].key);

		if (i < 2 || get(look(now, "receive", dirs[i].key), "packets")) {
			if (i)
				printf("%6s", "");
			else
				printf("%6lld", get(now, "handle"));
			printf(" %-8s", dirs[i].label);
			print_count(l, look(now, "xdp", dirs[i].key),
				    look(before, "xdp", dirs[i].key));
			print_count(l, look(now, "tc", dirs[i].key),
				    look(before, "tc", dirs[i].key));
			print_count(l, rest, rest_before);
			putchar('\n');
		}
		json_decref(rest);
		json_decref(rest_before);
	}
}

static void print_fallbacks(const struct looks *l)
{
	const json_t *before = json_object_get(l->before, "fallbacks");
	json_t *f;
	size_t i;

	printf("\n%-16s %14s %14s  %s\n", "not forwarded", "xdp to tc", "to the kernel", "why");
	json_array_foreach (json_object_get(l->now, "fallbacks"), i, f) {
		const json_t *was = json_array_get(before, i);

		/* Thirty reasons, of which a host sees three or four. */
		if (!get(json_object_get(f, "to_tc"), "packets") &&
		    !get(json_object_get(f, "kernel"), "packets"))
			continue;
		printf("%-16s", json_string_value(json_object_get(f, "name")));
		print_brief(l, json_object_get(f, "to_tc"), json_object_get(was, "to_tc"));
		print_brief(l, json_object_get(f, "kernel"), json_object_get(was, "kernel"));
		printf("  %s\n", json_string_value(json_object_get(f, "text")));
	}
}

static void print_forwarding(const struct looks *l)
{
	const char *second = l->before ? "rate" : "bytes";
	json_t *rule;
	size_t i;

	if (!any_forward(l->now))
		return;
	printf("\n%6s %-8s %14s %16s %14s %16s %14s %16s\n", "handle", "", "by xdp", second,
	       "by tc", second, "by the kernel", second);
	json_array_foreach (json_object_get(l->now, "rules"), i, rule) {
		if (is_forward(rule))
			print_forwarded(l, rule, find_rule(l->before, get(rule, "handle")));
	}
	print_fallbacks(l);
}

static void print_reasons(const struct looks *l)
{
	json_t *r;
	size_t i;

	printf("\n%-16s %14s %16s  %s\n", "not judged", "packets", l->before ? "rate" : "bytes",
	       "why");
	json_array_foreach (json_object_get(l->now, "reasons"), i, r) {
		const char *text = json_string_value(json_object_get(r, "text"));

		printf("%-16s", json_string_value(json_object_get(r, "name")));
		print_count(l, r, json_array_get(json_object_get(l->before, "reasons"), i));
		printf("  %s\n", text);
	}
}

static void print_tables(const struct looks *l)
{
	const char *trouble = json_string_value(json_object_get(l->now, "output_error"));

	print_rules(l);
	print_forwarding(l);
	print_reasons(l);
	if (trouble)
		fprintf(stderr,
			"ctbypass: warning: the counters of what is sent cannot be read: "
			"%s\n",
			trouble);
}

static int call(const struct args *a, json_t **reply)
{
	return client_command(a->socket, json_pack("{s:s}", "cmd", "stats"), reply);
}

/* Wait for the next second. 1: interrupted, which is how this ends. */
static int wait_tick(int signal_fd)
{
	struct pollfd p = { .fd = signal_fd, .events = POLLIN };

	return poll(&p, 1, WATCH_MS) != 0;
}

static int watch(const struct args *a)
{
	_close_ int signal_fd = -1;
	json_t *before = NULL, *now = NULL;
	bool tty = isatty(STDOUT_FILENO);
	sigset_t set;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (signal_fd < 0)
		return command_fail("signalfd: %s", strerror(errno));
	for (;;) {
		struct looks l;

		status = call(a, &now);
		if (status)
			break;
		l = (struct looks){ .now = now, .before = before };
		if (before)
			l.seconds = (double)(get(now, "time_ms") - get(before, "time_ms")) / 1000;
		if (l.seconds <= 0)
			l.seconds = 1;
		if (a->json) {
			status = json_dumpf(now, stdout, JSON_COMPACT) ? 1 : 0;
			putchar('\n');
		} else {
			if (tty)
				fputs("\033[H\033[2J", stdout);
			print_tables(&l);
			if (!tty)
				putchar('\n');
		}
		if (status || fflush(stdout))
			break;
		json_decref(before);
		before = TAKE_PTR(now);
		if (wait_tick(signal_fd))
			break;
	}
	json_decref(before);
	json_decref(now);
	return status;
}

int cmd_stats(const struct args *a)
{
	json_t *reply;
	int status;

	if (a->watch)
		return watch(a);
	status = call(a, &reply);
	if (status)
		return status;
	if (a->json)
		status = client_print_json(reply);
	else
		print_tables(&(struct looks){ .now = reply });
	json_decref(reply);
	return status;
}
