#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""modes_corpus.py received|sent SEED COUNT: the same packets each time, for 74_modes.sh.

received: frames for the router, put on the cables of hosts client and server, which have no
addresses. sent: packets that the router itself sends, by raw sockets; run it there. Prints how many.
Nothing in it is of an accidental order: one CPU does it all, a datagram's fragments are all there,
and what is known to be judged or counted differently is left out: ICMP errors of this host that quote
IPv4 options or extension headers, and what it sends that two rules of one action fit, be it made
here or by the kernel about a packet."""
import os
import random
import socket
import struct
import sys
import time

from frames import (DCCP, DSTOPTS, ESP, FRAGMENT, GRE, HOPOPTS, ICMP, ICMPV6, MF, PORTS, SCTP, TCP, UDP,
                    UDPLITE, eth, icmp_error, ip4, ip6, l4, mac)

what, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rnd = random.Random(f"{what} {seed}")
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

NEAR = (("10.1.0.2", "10.10.3.9", "10.10.200.1", "10.10.9.9"),
        ("fd01::2", "fd10:3::9", "fd10:200::1", "fd10:9::9"))
FAR = (("10.2.0.2", "10.20.5.1", "10.20.6.7", "10.20.6.8", "10.20.200.1"),
       ("fd02::2", "fd20:5::1", "fd20:6::7", "fd20:6::8", "fd20:200::1"))
OWN = (("10.1.0.1", "10.2.0.1", "192.0.2.1"), ("fd01::1", "fd02::1", "2001:db8::1"))
TEXT = (22, 53, 80, 443, 500, 510, 511, 514, 999, 1000, 1500, 1999, 2000, 2050, 2100, 3000, 3099, 3100,
        5000, 5999, 6000, 6100, 6999, 7000, 8005, 8011, 33333)


def port():
    return rnd.choice(TEXT) if rnd.random() < 0.6 else rnd.randrange(40000, 50000)


def payload(proto, src, dst, plain, size=None):
    data = rnd.randbytes(rnd.randrange(64) if size is None else size)
    sport, dport = port(), port()
    if plain:
        sport, dport = rnd.choice(((sport, rnd.randrange(40000, 50000)), (rnd.randrange(40000, 50000), dport)))
    if proto in (ICMP, ICMPV6):
        return l4(src, dst, proto, rnd.randrange(1, 50), rnd.randrange(5), data)
    return l4(src, dst, proto, sport, dport, data, seq=rnd.randrange(1 << 20),
              flags=rnd.choice((0x02, 0x12, 0x10, 0x18, 0x11, 0x04)))


def packets(src, dst, local):
    """One packet, or the fragments of one."""
    expires = not local and rnd.random() < 0.05
    plain = local or expires or what == "sent"
    v6 = ":" in src
    icmp = ICMPV6 if v6 else ICMP
    kind = rnd.random()
    if kind < 0.12:  # an error about a packet the other way
        proto = rnd.choice((TCP, UDP, UDP, UDPLITE, SCTP, icmp, GRE))
        inner = payload(proto, dst, src, plain)
        quoted = (ip6 if v6 else ip4)(dst, src, proto, inner)
        how = rnd.choice(((1, 4), (1, 0), (3, 0)) if v6 else ((3, 3), (3, 1), (11, 0)))
        proto, body = icmp, icmp_error(src, dst, v6, *how, 0, quoted[:1200])
    elif kind < 0.24:  # in fragments
        proto = rnd.choice((UDP, UDP, TCP, icmp, UDPLITE))
        body = payload(proto, src, dst, plain, rnd.randrange(1300, 3000))
        cuts = [*range(0, len(body), rnd.choice((600, 1024, 1208))), len(body)]
        ident = rnd.randrange(1, 1 << 16)
        parts = []
        for at, end in zip(cuts, cuts[1:]):
            more = end < len(body)
            if v6:
                parts.append(ip6(src, dst, FRAGMENT,
                                 struct.pack("!BBHI", proto, 0, at | more, ident) + body[at:end]))
            else:
                parts.append(ip4(src, dst, proto, body[at:end], ident=ident,
                                 frag=at // 8 | (MF if more else 0)))
        if rnd.random() < 0.3:
            rnd.shuffle(parts)
        return parts
    else:
        proto = rnd.choice((TCP, TCP, TCP, UDP, UDP, UDP, UDPLITE, SCTP, DCCP, icmp, GRE, ESP, 99))
        body = payload(proto, src, dst, plain)
    ttl = 1 if expires else 64
    options, first = b"", proto
    if not local and not expires and rnd.random() < 0.15:
        if v6:
            first = rnd.choice((HOPOPTS, DSTOPTS))
            body = struct.pack("!BB", proto, 0) + b"\1\4\0\0\0\0" + body
        else:
            options = b"\1" * rnd.randrange(1, 9)
    if v6:
        return [ip6(src, dst, first, body, hlim=ttl)]
    return [ip4(src, dst, proto, body, ttl=ttl, ident=rnd.randrange(1, 1 << 16), options=options)]


sent = 0
if what == "received":
    from wire import Namespace
    out = {}
    for ns, dev in ("client", "c0"), ("server", "s0"):
        with Namespace(ns):
            out[ns] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        out[ns].bind((dev, 0))
    for _ in range(count):
        family = rnd.randrange(2)
        ns, here, there = rnd.choice((("client", NEAR, FAR), ("server", FAR, NEAR)))
        src = rnd.choice(here[family] if rnd.random() < 0.97 else OWN[family])
        local = rnd.random() < 0.4
        dst = rnd.choice(OWN[family] if local else there[family])
        for p in packets(src, dst, local):
            out[ns].send(eth(mac("02:00:00:00:00:01" if ns == "client" else "02:00:00:00:00:02"),
                             mac("02:00:00:00:01:01" if ns == "client" else "02:00:00:00:01:02"),
                             0x86dd if family else 0x0800, p))
            sent += 1
            if sent % 64 == 0:  # no queue holds less
                time.sleep(0.02)
else:
    raw4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for _ in range(count):
        family = rnd.randrange(2)
        here, there = rnd.choice(((NEAR, FAR), (FAR, NEAR)))
        proxied = rnd.random() < 0.2  # in the name of another
        src = rnd.choice((here if proxied else OWN)[family])
        local = not proxied and rnd.random() < 0.2
        dst = rnd.choice((OWN if local else there)[family])
        for p in packets(src, dst, local):
            (raw6 if family else raw4).sendto(p, (dst, 0))
            sent += 1
print(sent)
