// SPDX-License-Identifier: GPL-2.0-only
/* Growing arrays and strings, numbers, files, and the shape of messages. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include "diag.h"
#include "utf8.h"

Test(util, array_grows_and_keeps)
{
	unsigned int *v = NULL;
	size_t cap = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		cr_assert_eq(ARRAY_RESERVE(v, cap, i + 1), 0);
		v[i] = i;
	}
	for (unsigned int i = 0; i < 1000; i++)
		cr_assert_eq(v[i], i);
	cr_assert_eq(cap, 1024);
	cr_assert_eq(ARRAY_RESERVE(v, cap, (size_t)-1), -ENOMEM);
	cr_assert_eq(cap, 1024);
	cr_assert_eq(v[999], 999);
	free(v);
}

Test(util, strbuf)
{
	struct strbuf b = { 0 };
	char *big = malloc(5001);

	memset(big, 'x', 5000);
	big[5000] = '\0';
	strbuf_addf(&b, "%s-%d", "a", 7);
	strbuf_add(&b, "zz", 1);
	cr_assert_str_eq(b.s, "a-7z");
	strbuf_addf(&b, "%s", big);
	cr_assert_eq(b.len, 5004);
	cr_assert_eq(strlen(b.s), 5004);
	strbuf_add(&b, "", 0);
	cr_assert_eq(b.len, 5004);
	strbuf_free(&b);
	cr_assert_null(b.s);
	free(big);
}

Test(util, numbers)
{
	static const struct {
		const char *text;
		unsigned int min, max, value;
		int err;
	} cases[] = {
		{ "0", 0, 10, 0, 0 },
		{ "10", 0, 10, 10, 0 },
		{ "11", 0, 10, 0, -ERANGE },
		{ "4", 5, 10, 0, -ERANGE },
		{ "5", 5, 10, 5, 0 },
		{ "0x40", 0, 255, 64, 0 },
		{ "0Xff", 0, 255, 255, 0 },
		{ "0x", 0, 255, 0, -EINVAL },
		{ "", 0, 255, 0, -EINVAL },
		{ "1x", 0, 255, 0, -EINVAL },
		{ "-1", 0, 255, 0, -EINVAL },
		{ "+1", 0, 255, 0, -EINVAL },
		{ " 1", 0, 255, 0, -EINVAL },
		{ "1 ", 0, 255, 0, -EINVAL },
		{ "ff", 0, 255, 0, -EINVAL },
		{ "4294967295", 0, ~0U, ~0U, 0 },
		{ "4294967296", 0, ~0U, 0, -ERANGE },
		{ "18446744073709551617", 0, ~0U, 0, -ERANGE },
		{ "99999999999999999999999999x", 0, ~0U, 0, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int value = 4711;

		cr_expect_eq(parse_u32(cases[i].text, cases[i].min, cases[i].max, &value),
			     cases[i].err, "%s", cases[i].text);
		cr_expect_eq(value, cases[i].err ? 4711 : cases[i].value, "%s", cases[i].text);
	}
}

Test(util, files)
{
	char path[] = "/tmp/ctb_test_XXXXXX", *text = NULL;
	int fd = mkstemp(path);
	size_t len = 4711;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, "ab\0cd", 5), 5);
	close(fd);
	cr_assert_eq(read_file(path, 4, &text, &len), -EFBIG);
	cr_assert_null(text);
	cr_assert_eq(len, 4711);
	cr_assert_eq(read_file(path, 5, &text, &len), 0);
	cr_assert_eq(len, 5);
	cr_assert_arr_eq(text, "ab\0cd", 6);
	free(text);
	unlink(path);
	cr_assert_eq(read_file(path, 5, &text, &len), -ENOENT);
	cr_assert_eq(read_file("/", 5, &text, &len), -EISDIR);
	/* A file without a size. */
	cr_assert_eq(read_file("/proc/self/stat", 1 << 20, &text, &len), 0);
	cr_assert_gt(len, 0);
	free(text);
}

Test(util, utf8)
{
	static const struct {
		const char *text;
		int n;
		unsigned int code;
	} cases[] = {
		{ "a", 1, 'a' },
		{ "\xc3\xa9", 2, 0xe9 },
		{ "\xe2\x82\xac", 3, 0x20ac },
		{ "\xf0\x9f\x90\x99", 4, 0x1f419 },
		{ "\xc0\xaf", 0, 0 },	      /* overlong */
		{ "\xe0\x80\xaf", 0, 0 },     /* overlong */
		{ "\xed\xa0\x80", 0, 0 },     /* surrogate */
		{ "\xf4\x90\x80\x80", 0, 0 }, /* above the last */
		{ "\xc3", 0, 0 },	      /* cut */
		{ "\xc3"
		  "a",
		  0, 0 },
		{ "\x80", 0, 0 },
		{ "\xff", 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int code = 0;

		cr_expect_eq(utf8_decode(cases[i].text, strlen(cases[i].text), &code), cases[i].n,
			     "%zu", i);
		cr_expect_eq(code, cases[i].code, "%zu", i);
	}
	cr_expect_eq(utf8_decode("", 0, &(unsigned int){ 0 }), 0);
	cr_expect(utf8_printable(' '));
	cr_expect(utf8_printable(0xa0));
	cr_expect_not(utf8_printable(0x1f));
	cr_expect_not(utf8_printable(0x7f));
	cr_expect_not(utf8_printable(0x9b));
	cr_expect_not(utf8_printable(0x202e));
}

Test(diag, shape)
{
	struct diag d = { 0 };

	diag_error(&d, (struct pos){ "f", 3, 19 }, "notrack tcp dport @webb", "a set",
		   "unknown set \"%s\"", "webb");
	diag_warn(&d, (struct pos){ "f", 4, 1 }, "track", NULL, "w");
	diag_error(&d, (struct pos){ .file = "f" }, NULL, NULL, "no position");
	diag_error(&d, (struct pos){ 0 }, NULL, "this", "no file");
	cr_assert_str_eq(d.text.s, "f:3:19: error: unknown set \"webb\"\n"
				   "  notrack tcp dport @webb\n"
				   "                    ^ expected a set\n"
				   "f:4:1: warning: w\n"
				   "  track\n"
				   "  ^\n"
				   "f: error: no position\n"
				   "error: no file\n"
				   "  expected this\n");
	cr_assert_eq(d.errors, 3);
	cr_assert_eq(d.warnings, 1);
	diag_free(&d);
}

/* Where the caret stands below the character it means. */
Test(diag, caret_under_tabs_and_utf8)
{
	struct diag d = { 0 };

	diag_error(&d, (struct pos){ "f", 1, 5 }, "\ta\tbX", NULL, "m");
	cr_assert_str_eq(d.text.s, "f:1:5: error: m\n"
				   "          a       bX\n"
				   "                   ^\n");
	diag_free(&d);
	diag_error(&d, (struct pos){ "f", 1, 4 }, "\xc3\xa9 X", NULL, "m");
	cr_assert_str_eq(d.text.s, "f:1:4: error: m\n"
				   "  \xc3\xa9 X\n"
				   "    ^\n");
	diag_free(&d);
	/* Behind the end of the line. */
	diag_error(&d, (struct pos){ "f", 1, 3 }, "ab", NULL, "m");
	cr_assert_str_eq(d.text.s, "f:1:3: error: m\n  ab\n    ^\n");
	diag_free(&d);
}

Test(diag, nothing_for_the_terminal)
{
	struct diag d = { 0 };

	diag_error(&d, (struct pos){ "f\x1b[2J", 1, 1 }, "\x1b[31m \xff \xc2\x9b", NULL, "%s",
		   "\x1b]0;x\a");
	cr_assert_str_eq(d.text.s, "f?[2J:1:1: error: ?]0;x?\n"
				   "  ?[31m ? ?\n"
				   "  ^\n");
	diag_free(&d);
}

Test(diag, long_line_is_cut_around_the_caret)
{
	struct diag d = { 0 };
	char *line = malloc(100001);
	const char *shown, *caret;

	memset(line, 'a', 100000);
	line[100000] = '\0';
	line[50000] = 'X';
	diag_error(&d, (struct pos){ "f", 1, 50001 }, line, "x", "m");
	shown = strchr(d.text.s, '\n') + 1;
	caret = strchr(shown, '\n') + 1;
	cr_assert_lt(d.text.len, 400);
	cr_assert(!strncmp(shown, "  ...a", 6));
	cr_assert_eq(shown[strcspn(caret, "^")], 'X');
	cr_assert_eq(caret[-2], '.');
	diag_free(&d);
	free(line);
}

Test(diag, only_so_many)
{
	struct diag d = { 0 };

	for (int i = 0; i < DIAG_KEPT; i++)
		diag_warn(&d, (struct pos){ 0 }, NULL, NULL, "w%d", i);
	cr_assert_null(strstr(d.text.s, "more"));
	for (int i = 0; i < DIAG_KEPT + 1; i++)
		diag_error(&d, (struct pos){ 0 }, NULL, NULL, "e%d", i);
	/* Warnings do not crowd out errors. */
	cr_assert_not_null(strstr(d.text.s, "error: e19\nand 1 more error\n"));
	cr_assert_null(strstr(d.text.s, "e20"));
	diag_warn(&d, (struct pos){ 0 }, NULL, NULL, "w20");
	diag_error(&d, (struct pos){ 0 }, NULL, NULL, "e21");
	cr_assert_not_null(strstr(d.text.s, "e19\nand 2 more errors and 1 more warning\n"));
	cr_assert_null(strstr(d.text.s, "and 1 more error\n"));
	cr_assert_eq(d.errors, 22);
	cr_assert_eq(d.warnings, 21);
	diag_free(&d);
}
