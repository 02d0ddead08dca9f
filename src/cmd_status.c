// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "client.h"
#include "commands.h"
#include "unload.h"

static long long num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "?";
}

static void print_uptime(long long s)
{
	if (s >= 86400)
		printf("%lldd ", s / 86400);
	printf("%02lld:%02lld:%02lld\n", s / 3600 % 24, s / 60 % 60, s % 60);
}

/* How packets that come in here, and XDP frames that are to leave here, are sent on. */
static void print_forward(const json_t *i)
{
	bool out = json_is_true(json_object_get(i, "xdp_out"));

	printf("    %-14s%-8s%s\n", "forward in", str(i, "forward"), str(i, "forward_why"));
	printf("    %-14s%-8s%s\n", "forward out", out ? "xdp" : "no xdp",
	       out ? "takes XDP frames" : str(i, "xdp_out_why"));
}

static void print_interfaces(const json_t *list)
{
	json_t *i;
	size_t n;

	printf("interfaces\n");
	json_array_foreach (list, n, i) {
		printf("  %-16s%-8s%s\n", str(i, "name"),
		       json_is_true(json_object_get(i, "failed")) ? "FAILED" : str(i, "mode"),
		       str(i, "why"));
		if (strcmp(str(i, "forward"), "-"))
			print_forward(i);
	}
}

static void print_conntrack(const json_t *ct)
{
	if (json_is_object(ct))
		printf("conntrack       %lld of %lld (%.1f %%)\n", num(ct, "count"), num(ct, "max"),
		       json_number_value(json_object_get(ct, "percent")));
	else
		printf("conntrack       not in use\n");
}

static void print_privileges(const json_t *list)
{
	json_t *name;
	size_t n;

	printf("privileges     ");
	json_array_foreach (list, n, name)
		printf(" %s", json_string_value(name));
	putchar('\n');
}

/* What this kernel cannot do, and what is done instead. */
static void print_lacking(const json_t *list)
{
	json_t *l;
	size_t n;

	json_array_foreach (list, n, l)
		printf("%-16sno %s: %s\n", n ? "" : "kernel", str(l, "feature"), str(l, "without"));
}

static void print_nft(const json_t *nft)
{
	bool there = json_is_true(json_object_get(nft, "present"));

	if (there || json_is_true(json_object_get(nft, "wanted")))
		printf("nft             table %s %s\n", str(nft, "table"),
		       there ? "in place" : "MISSING");
	else
		printf("nft             no table: none is needed\n");
}

static void print_status(const json_t *s)
{
	json_t *w;
	size_t n;

	printf("version         %s\n", str(s, "version"));
	printf("daemon          pid %lld, up ", num(s, "pid"));
	print_uptime(num(s, "uptime_seconds"));
	printf("configuration   %s", str(s, "config"));
	if (num(s, "runtime_changes"))
		printf(", with %lld run-time changes", num(s, "runtime_changes"));
	printf("\npins            %s\n", str(s, "pindir"));
	client_print_hand_over(json_object_get(s, "hand_over"));
	printf("generation      %lld\n", num(s, "generation"));
	printf("rules           %lld, in %lld entries; %lld sets, %lld prefixes\n", num(s, "rules"),
	       num(s, "entries"), num(s, "sets"), num(s, "prefixes"));
	print_nft(json_object_get(s, "nft"));
	print_conntrack(json_object_get(s, "conntrack"));
	print_privileges(json_object_get(s, "privileges"));
	print_lacking(json_object_get(s, "lacking"));
	print_interfaces(json_object_get(s, "interfaces"));
	if (!json_array_size(json_object_get(s, "warnings")))
		printf("warnings        none\n");
	else
		printf("warnings\n");
	json_array_foreach (json_object_get(s, "warnings"), n, w)
		printf("  %s\n", json_string_value(w));
}

int cmd_status(const struct args *a)
{
	json_t *reply;
	int status = client_command(a->socket, json_pack("{s:s}", "cmd", "status"), &reply);

	if (status) {
		const char *words = unload_advice(a->pindir);

		if (words)
			command_fail("%s", words);
		return status;
	}
	if (a->json)
		status = client_print_json(reply);
	else
		print_status(reply);
	json_decref(reply);
	return status;
}
