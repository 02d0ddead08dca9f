// SPDX-License-Identifier: GPL-2.0-only
/* Prefix and port text, against inet_pton and a table of what it does not know. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "rules.h"

#define UNTOUCHED 4711

/* The obvious way to do it. */
static bool reference6(const char *text, __u64 *hi, __u64 *lo)
{
	struct in6_addr a;

	if (inet_pton(AF_INET6, text, &a) != 1)
		return false;
	*hi = *lo = 0;
	for (int i = 0; i < 8; i++) {
		*hi = *hi << 8 | a.s6_addr[i];
		*lo = *lo << 8 | a.s6_addr[8 + i];
	}
	return true;
}

static void compare(const char *text)
{
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1); /* not terminated: ASan sees a byte too far */
	const char *why = NULL;
	struct prefix4 p4;
	struct prefix6 p6;
	int family = UNTOUCHED, err;
	struct in_addr a4;
	__u64 hi, lo;

	memcpy(copy, text, len);
	err = prefix_parse(copy, len, &family, &p4, &p6, &why);
	if (reference6(text, &hi, &lo)) {
		cr_assert_eq(err, 0, "%s: %s", text, why);
		cr_assert_eq(family, AF_INET6, "%s", text);
		cr_assert(p6.hi == hi && p6.lo == lo && p6.len == 128, "%s", text);
	} else if (inet_pton(AF_INET, text, &a4) == 1) {
		cr_assert_eq(err, 0, "%s: %s", text, why);
		cr_assert_eq(family, AF_INET, "%s", text);
		cr_assert(p4.addr == ntohl(a4.s_addr) && p4.len == 32, "%s", text);
	} else {
		cr_assert_eq(err, -EINVAL, "%s", text);
		cr_assert_eq(family, UNTOUCHED, "%s", text);
		cr_assert_not_null(why, "%s", text);
	}
	free(copy);
}

Test(prefix, same_as_inet_pton)
{
	static const char *const texts[] = {
		"::",
		":",
		":::",
		"::1",
		"1::",
		"1::2",
		"1:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7::",
		"::2:3:4:5:6:7:8",
		"1:2:3:4::5:6:7:8",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7",
		"1::2::3",
		":1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:",
		"::ffff:1.2.3.4",
		"::1.2.3.4",
		"1:2:3:4:5:6:1.2.3.4",
		"1:2:3:4:5:6:7:1.2.3.4",
		"::1.2.3",
		"::1.2.3.4:5",
		"::1.2.3.04",
		"::12345",
		"::g",
		"ABCD:ef01::",
		"1.2.3.4",
		"0.0.0.0",
		"255.255.255.255",
		"1.2.3.256",
		"1.2.3",
		"1.2.3.4.",
		".1.2.3",
		"1..2.3",
		"01.2.3.4",
		"1.2.3.00",
		"0.0.0.0x",
		"",
		"1",
		"a",
		"1.2.3.4 ",
		"::1 ",
		"::0000",
		"::00000",
	};
	static const char letters[] = "0123456789abcdefF:::::...";
	char text[48];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		compare(texts[i]);
	srand(1);
	for (int i = 0; i < 300000; i++) {
		size_t len = (size_t)rand() % 40;

		for (size_t k = 0; k < len; k++)
			text[k] = letters[(size_t)rand() % (sizeof(letters) - 1)];
		text[len] = '\0';
		compare(text);
	}
}

/* Right addresses with one character changed: closer to the border than noise. */
Test(prefix, near_right_addresses)
{
	static const char letters[] = "0123456789abcf:./%-";
	char text[INET6_ADDRSTRLEN + 2];

	srand(2);
	for (int i = 0; i < 300000; i++) {
		struct in6_addr a;

		for (int k = 0; k < 16; k++)
			a.s6_addr[k] = rand() % 3 ? 0 : (__u8)rand();
		inet_ntop(i % 4 ? AF_INET6 : AF_INET, &a, text, INET6_ADDRSTRLEN);
		if (i % 2)
			text[(size_t)rand() % strlen(text)] =
				letters[(size_t)rand() % (sizeof(letters) - 1)];
		/* inet_pton knows no lengths, and a single character may have made one. */
		if (!strchr(text, '/'))
			compare(text);
	}
}

Test(prefix, lengths)
{
	static const struct {
		const char *text;
		int err;
		const char *print; /* or of the network that was meant */
	} cases[] = {
		{ "10.0.0.0/8", 0, "10.0.0.0/8" },
		{ "10.0.0.0/7", 0, "10.0.0.0/7" },
		{ "11.0.0.0/7", -EDOM, "10.0.0.0/7" },
		{ "10.0.0.1/31", -EDOM, "10.0.0.0/31" },
		{ "10.0.0.1/32", 0, "10.0.0.1" },
		{ "0.0.0.0/0", 0, "0.0.0.0/0" },
		{ "128.0.0.0/0", -EDOM, "0.0.0.0/0" },
		{ "10.0.0.0/33", -EINVAL, NULL },
		{ "10.0.0.0/08", -EINVAL, NULL },
		{ "10.0.0.0/", -EINVAL, NULL },
		{ "10.0.0.0/8/8", -EINVAL, NULL },
		{ "10.0.0.0/-8", -EINVAL, NULL },
		{ "10.0.0.0/8 ", -EINVAL, NULL },
		{ "/8", -EINVAL, NULL },
		{ "::/0", 0, "::/0" },
		{ "8000::/0", -EDOM, "::/0" },
		{ "8000::/1", 0, "8000::/1" },
		{ "2001:db8::/32", 0, "2001:db8::/32" },
		{ "2001:db8:0:0:1::/64", -EDOM, "2001:db8::/64" },
		{ "2001:db8:0:1::/64", 0, "2001:db8:0:1::/64" },
		{ "2001:db8::8000:0:0:0/65", 0, "2001:db8:0:0:8000::/65" },
		{ "::1/127", -EDOM, "::/127" },
		{ "::1/128", 0, "::1" },
		{ "::/129", -EINVAL, NULL },
		{ "::/1280", -EINVAL, NULL },
		{ "::/ 1", -EINVAL, NULL },
		{ "::1%lo", -EINVAL, NULL },
		{ "1.2.3.4-1.2.3.5", -EINVAL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_strbuf_ struct strbuf out = { 0 };
		const char *why = NULL;
		struct prefix4 p4;
		struct prefix6 p6;
		int family = 0;

		cr_expect_eq(
			prefix_parse(cases[i].text, strlen(cases[i].text), &family, &p4, &p6, &why),
			cases[i].err, "%s", cases[i].text);
		if (family == AF_INET)
			prefix4_print(p4, &out);
		else if (family == AF_INET6)
			prefix6_print(p6, &out);
		if (cases[i].print)
			cr_expect_str_eq(out.s, cases[i].print, "%s", cases[i].text);
		else
			cr_expect_eq(family, 0);
		cr_expect_eq(why != NULL, cases[i].err != 0);
	}
}

/* Every length of both families prints as what is read back. */
Test(prefix, print_and_parse)
{
	srand(3);
	for (int i = 0; i < 20000; i++) {
		struct prefix4 p4 = { .len = (__u8)(i % 33) }, q4;
		struct prefix6 p6 = { .len = (__u8)(i % 129) }, q6;
		_strbuf_ struct strbuf t4 = { 0 }, t6 = { 0 };
		__u64 random = (__u64)rand() << 40 ^ (__u64)rand() << 20 ^ (__u64)rand();
		const char *why;
		int family;

		p4.addr = p4.len ? (__u32)random & ~0U << (32 - p4.len) : 0;
		p6.hi = p6.len >= 64 ? random : p6.len ? random & ~0ULL << (64 - p6.len) : 0;
		p6.lo = p6.len > 64 ? (random * 31) & ~0ULL << (128 - p6.len) : 0;
		prefix4_print(p4, &t4);
		prefix6_print(p6, &t6);
		cr_assert_eq(prefix_parse(t4.s, t4.len, &family, &q4, &q6, &why), 0, "%s", t4.s);
		cr_assert(family == AF_INET && p4.addr == q4.addr && p4.len == q4.len, "%s", t4.s);
		cr_assert_eq(prefix_parse(t6.s, t6.len, &family, &q4, &q6, &why), 0, "%s", t6.s);
		cr_assert(family == AF_INET6 && p6.hi == q6.hi && p6.lo == q6.lo &&
				  p6.len == q6.len,
			  "%s", t6.s);
	}
}

Test(prefix, ports)
{
	static const struct {
		const char *text;
		int err;
		unsigned int lo, hi;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "80", 0, 80, 80 },
		{ "00080", 0, 80, 80 },
		{ "000080", -EINVAL, 0, 0 },
		{ "65535", 0, 65535, 65535 },
		{ "65536", -EINVAL, 0, 0 },
		{ "99999", -EINVAL, 0, 0 },
		{ "1-65535", 0, 1, 65535 },
		{ "1-65536", -EINVAL, 0, 0 },
		{ "80-80", 0, 80, 80 },
		{ "80-79", -EINVAL, 0, 0 },
		{ "80-", -EINVAL, 0, 0 },
		{ "-", -EINVAL, 0, 0 },
		{ "-1", -EINVAL, 0, 0 },
		{ "1-2-3", -EINVAL, 0, 0 },
		{ "1 ", -EINVAL, 0, 0 },
		{ "1--2", -EINVAL, 0, 0 },
		{ "", -EINVAL, 0, 0 },
		{ "x", -EINVAL, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].text);
		struct port_range r = { 47, 11 };
		char *copy = malloc(len ? len : 1);
		const char *why = NULL;

		memcpy(copy, cases[i].text, len);
		cr_expect_eq(port_range_parse(copy, len, &r, &why), cases[i].err, "%s",
			     cases[i].text);
		cr_expect_eq(r.lo, cases[i].err ? 47 : cases[i].lo, "%s", cases[i].text);
		cr_expect_eq(r.hi, cases[i].err ? 11 : cases[i].hi, "%s", cases[i].text);
		free(copy);
	}
}
