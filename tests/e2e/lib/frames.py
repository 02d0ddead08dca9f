# SPDX-License-Identifier: GPL-2.0-only
"""Frames built by hand, so that every field can be wrong; a few microseconds each."""
import ipaddress
import struct

ICMP, TCP, UDP, IP6, ROUTING, FRAGMENT, GRE, ESP, AH, ICMPV6, NONE, DSTOPTS, DCCP, SCTP, UDPLITE = (
    1, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 33, 132, 136)
HOPOPTS = 0
PORTS = (TCP, UDP, UDPLITE, SCTP, DCCP)
DF, MF = 0x4000, 0x2000


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


_addresses = {}


def addr(text):
    packed = _addresses.get(text)
    if packed is None:
        packed = _addresses[text] = ipaddress.ip_address(text).packed
    return packed


def fold(data, start=0):
    """Ones' complement sum of 16-bit words."""
    if len(data) & 1:
        data += b"\0"
    total = start + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def checksum(data, start=0):
    return ~fold(data, start) & 0xffff


def pseudo(src, dst, proto, length):
    """Folded sum of the pseudo header; src and dst are packed."""
    return fold(src + dst + struct.pack("!II", length, proto))


def eth(dst, src, ethertype, payload):
    return dst + src + struct.pack("!H", ethertype) + payload


def ip4(src, dst, proto, payload, *, ttl=64, tos=0, ident=0, frag=0, options=b"", version=4,
        ihl=None, length=None, csum=None):
    options += b"\0" * (-len(options) % 4)
    if ihl is None:
        ihl = 5 + len(options) // 4
    if length is None:
        length = 20 + len(options) + len(payload)
    h = struct.pack("!BBHHHBBH", version << 4 | ihl, tos, length & 0xffff, ident & 0xffff, frag,
                    ttl, proto, 0) + addr(src) + addr(dst) + options
    if csum is None:
        csum = checksum(h)
    return h[:10] + struct.pack("!H", csum) + h[12:] + payload


def ip6(src, dst, proto, payload, *, hlim=64, tclass=0, flow=0, version=6, length=None):
    if length is None:
        length = len(payload)
    return struct.pack("!IHBB", version << 28 | tclass << 20 | flow, length & 0xffff, proto,
                       hlim) + addr(src) + addr(dst) + payload


def l4(src, dst, proto, sport, dport, data, seq=0, flags=0x10, bad=False):
    """A transport packet with the checksum it should have (or, bad, should not have). src and dst
    say only what the pseudo header is."""
    if proto == TCP:
        h = struct.pack("!HHIIBBHHH", sport, dport, seq, seq ^ 0x5a5a5a5a, 5 << 4, flags, 4096, 0, 0)
        at = 16
    elif proto == UDP:
        h = struct.pack("!HHHH", sport, dport, (8 + len(data)) & 0xffff, 0)
        at = 6
    elif proto == UDPLITE:  # covers its header only
        h = struct.pack("!HHHH", sport, dport, 8, 0)
        at = 6
    elif proto == SCTP:
        return struct.pack("!HHII", sport, dport, seq, 0x12345678) + data
    elif proto == DCCP:
        h = struct.pack("!HHBBHBBH", sport, dport, 4, 0, 0, 4, 0, seq & 0xffff) + b"\0\0\0\0"
        at = 6
    elif proto in (ICMP, ICMPV6):  # echo
        h = struct.pack("!BBHHH", 8 if proto == ICMP else 128, 0, 0, sport, dport)
        at = 2
    elif proto == GRE:
        return struct.pack("!HH", 0, 0x0800) + data
    elif proto == ESP:
        return struct.pack("!II", seq, 1) + data
    else:
        return data
    whole = h + data
    start = 0
    if proto != ICMP:
        start = pseudo(addr(src), addr(dst), proto, len(whole))
    covered = h if proto == UDPLITE else whole
    c = checksum(covered, start)
    if proto in (UDP, UDPLITE) and c == 0:
        c = 0xffff
    if bad:
        c ^= 0x1111
    return whole[:at] + struct.pack("!H", c) + whole[at + 2:]


def looks_partial(src, dst, proto, payload):
    """Does the checksum field hold what a sender leaves there for the hardware to finish?"""
    at = {TCP: 16, UDP: 6}.get(proto)
    if at is None or len(payload) < at + 2:
        return False
    field = struct.unpack_from("!H", payload, at)[0]
    return field == pseudo(addr(src), addr(dst), proto, len(payload))


def icmp_error(src, dst, v6, kind, code, rest, quoted):
    """ICMP (src, dst unused) or ICMPv6 error with the quoted packet, cut by the caller."""
    body = struct.pack("!BBHI", kind, code, 0, rest) + quoted
    start = pseudo(addr(src), addr(dst), ICMPV6, len(body)) if v6 else 0
    return body[:2] + struct.pack("!H", checksum(body, start)) + body[4:]


def forwarded(frame, src_mac, dst_mac):
    """What a router makes of a plain IP frame: padding gone, one hop less, new MAC addresses."""
    ethertype = frame[12:14]
    if ethertype == b"\x08\x00":
        length = struct.unpack_from("!H", frame, 16)[0]
        h = bytearray(frame[14:14 + length])
        old = struct.unpack_from("!H", h, 10)[0]
        h[8] -= 1
        # RFC 1141, the kernel's form of it (ip_decrease_ttl)
        new = old + 0x100
        new = (new + (new >= 0xffff)) & 0xffff
        struct.pack_into("!H", h, 10, new)
    else:
        length = 40 + struct.unpack_from("!H", frame, 18)[0]
        h = bytearray(frame[14:14 + length])
        h[7] -= 1
    return dst_mac + src_mac + ethertype + bytes(h)
