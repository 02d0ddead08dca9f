// SPDX-License-Identifier: GPL-2.0-only
/*
 * Text of prefixes and ports. Set files have a million lines, so the parsers go over the text once
 * and allocate nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include "rules.h"

/* A number of at most `digits` decimal digits at *s; -1 when there is none or it is longer. */
static int number(const char **s, const char *end, unsigned int digits)
{
	const char *start = *s;
	int value = 0;

	while (*s < end && **s >= '0' && **s <= '9') {
		if ((size_t)(*s - start) == digits)
			return -1;
		value = value * 10 + (**s - '0');
		++*s;
	}
	return *s == start ? -1 : value;
}

/* Dotted quad at *s. A leading zero is refused: to some programs it means octal. */
static int address4(const char **s, const char *end, __u32 *addr)
{
	__u32 value = 0;
	int byte;

	for (int i = 0; i < 4; i++) {
		if (i && (*s == end || *(*s)++ != '.'))
			return -EINVAL;
		if (end - *s > 1 && **s == '0' && (*s)[1] >= '0' && (*s)[1] <= '9')
			return -EINVAL;
		byte = number(s, end, 3);
		if (byte < 0 || byte > 255)
			return -EINVAL;
		value = value << 8 | (__u32)byte;
	}
	*addr = value;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* IPv6 address that fills s to end (RFC 4291, section 2.2). */
static int address6(const char *s, const char *end, __u64 *hi, __u64 *lo)
{
	__u16 groups[8], out[8] = { 0 };
	int n = 0, gap = -1, digit;
	const char *start;
	unsigned int value;
	__u32 v4;

	if (end - s >= 2 && s[0] == ':' && s[1] == ':') {
		gap = 0;
		s += 2;
	}
	while (s < end) {
		if (n == 8)
			return -EINVAL;
		start = s;
		value = 0;
		while (s < end && (digit = hex_digit(*s)) >= 0) {
			if (s - start == 4)
				return -EINVAL;
			value = value << 4 | (unsigned int)digit;
			s++;
		}
		if (s < end && *s == '.') { /* the last 32 bits as a dotted quad */
			s = start;
			if (n > 6 || address4(&s, end, &v4) || s != end)
				return -EINVAL;
			groups[n++] = (__u16)(v4 >> 16);
			groups[n++] = (__u16)v4;
			break;
		}
		if (s == start)
			return -EINVAL;
		groups[n++] = (__u16)value;
		if (s == end)
			break;
		if (*s++ != ':' || s == end)
			return -EINVAL;
		if (*s == ':') {
			if (gap >= 0)
				return -EINVAL;
			gap = n;
			s++;
		}
	}
	if (gap < 0 ? n != 8 : n == 8)
		return -EINVAL;
	if (gap < 0)
		gap = n;
	for (int i = 0; i < gap; i++)
		out[i] = groups[i];
	for (int i = gap; i < n; i++)
		out[8 - n + i] = groups[i];
	*hi = (__u64)out[0] << 48 | (__u64)out[1] << 32 | (__u64)out[2] << 16 | out[3];
	*lo = (__u64)out[4] << 48 | (__u64)out[5] << 32 | (__u64)out[6] << 16 | out[7];
	return 0;
}

static int prefix_length(const char *s, const char *end, int max)
{
	int len;

	if (end - s > 1 && *s == '0')
		return -1;
	len = number(&s, end, 3);
	return s == end && len <= max ? len : -1;
}

static int parse4(const char *text, const char *end, struct prefix4 *out, const char **why)
{
	const char *s = text;
	__u32 addr, mask;
	int len = 32;

	if (address4(&s, end, &addr)) {
		*why = "not an IPv4 address";
		return -EINVAL;
	}
	if (s < end) {
		if (*s == '-') {
			*why = "address ranges are not supported; write prefixes (192.0.2.0/29)";
			return -EINVAL;
		}
		if (*s != '/') {
			*why = "not an IPv4 address";
			return -EINVAL;
		}
		len = prefix_length(s + 1, end, 32);
		if (len < 0) {
			*why = "the length after / must be a number from 0 to 32";
			return -EINVAL;
		}
	}
	mask = len ? ~0U << (32 - len) : 0;
	*out = (struct prefix4){ .addr = addr & mask, .len = (__u8)len };
	if (addr & ~mask) {
		*why = "host bits are set";
		return -EDOM;
	}
	return 0;
}

static int parse6(const char *text, const char *end, struct prefix6 *out, const char **why)
{
	const char *slash = memchr(text, '/', (size_t)(end - text));
	__u64 hi, lo, mask_hi, mask_lo;
	int len = 128;

	if (address6(text, slash ? slash : end, &hi, &lo)) {
		*why = "not an IPv6 address";
		if (memchr(text, '%', (size_t)(end - text)))
			*why = "an address with a zone; use iif for the interface";
		else if (memchr(text, '-', (size_t)(end - text)))
			*why = "address ranges are not supported; write prefixes (2001:db8::/64)";
		return -EINVAL;
	}
	if (slash) {
		len = prefix_length(slash + 1, end, 128);
		if (len < 0) {
			*why = "the length after / must be a number from 0 to 128";
			return -EINVAL;
		}
	}
	mask_hi = len == 0 ? 0 : len >= 64 ? ~0ULL : ~0ULL << (64 - len);
	mask_lo = len <= 64 ? 0 : ~0ULL << (128 - len);
	*out = (struct prefix6){ .hi = hi & mask_hi, .lo = lo & mask_lo, .len = (__u8)len };
	if ((hi & ~mask_hi) || (lo & ~mask_lo)) {
		*why = "host bits are set";
		return -EDOM;
	}
	return 0;
}

int prefix_parse(const char *text, size_t len, int *family, struct prefix4 *p4, struct prefix6 *p6,
		 const char **why)
{
	const char *end = text + len;
	struct prefix4 v4;
	struct prefix6 v6;
	int err;

	if (memchr(text, ':', len)) {
		err = parse6(text, end, &v6, why);
		if (!err || err == -EDOM) {
			*family = AF_INET6;
			*p6 = v6;
		}
		return err;
	}
	if (!len || text[0] < '0' || text[0] > '9') {
		*why = "not an address";
		return -EINVAL;
	}
	err = parse4(text, end, &v4, why);
	if (!err || err == -EDOM) {
		*family = AF_INET;
		*p4 = v4;
	}
	return err;
}

int port_range_parse(const char *text, size_t len, struct port_range *out, const char **why)
{
	const char *s = text, *end = text + len;
	int lo, hi;

	lo = hi = number(&s, end, 5);
	if (lo >= 0 && s < end && *s == '-') {
		s++;
		hi = number(&s, end, 5);
	}
	if (lo < 0 || hi < 0 || s != end) {
		while (s < end && *s >= '0' && *s <= '9')
			s++;
		*why = s > text && s == end && s[-1] != '-' ? "a port is at most 65535"
							    : "not a port";
		return -EINVAL;
	}
	if (lo > 65535 || hi > 65535) {
		*why = "a port is at most 65535";
		return -EINVAL;
	}
	if (lo > hi) {
		*why = "the range runs backwards";
		return -EINVAL;
	}
	*out = (struct port_range){ .lo = (__u16)lo, .hi = (__u16)hi };
	return 0;
}

void prefix4_print(struct prefix4 p, struct strbuf *out)
{
	strbuf_addf(out, "%u.%u.%u.%u", p.addr >> 24, p.addr >> 16 & 255, p.addr >> 8 & 255,
		    p.addr & 255);
	if (p.len < 32)
		strbuf_addf(out, "/%u", p.len);
}

void prefix6_print(struct prefix6 p, struct strbuf *out)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	for (int i = 0; i < 8; i++) {
		addr.s6_addr[i] = (__u8)(p.hi >> (56 - 8 * i));
		addr.s6_addr[8 + i] = (__u8)(p.lo >> (56 - 8 * i));
	}
	inet_ntop(AF_INET6, &addr, text, sizeof(text));
	strbuf_addf(out, "%s", text);
	if (p.len < 128)
		strbuf_addf(out, "/%u", p.len);
}

void port_range_print(struct port_range r, struct strbuf *out)
{
	strbuf_addf(out, r.lo == r.hi ? "%u" : "%u-%u", r.lo, r.hi);
}
