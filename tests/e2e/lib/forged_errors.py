#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""forged_errors.py DEV,MAC|- FROM TO SENDER RECEIVER COUNT: ICMP errors and as many redirects, from
FROM to TO, that quote a UDP packet from SENDER to port 53 of RECEIVER; then an echo request, so that
who waits for that one has seen all. In frames to MAC by DEV, or, -, as this host's own packets."""
import fcntl
import socket
import struct
import sys

from frames import ICMP, ICMPV6, UDP, eth, icmp_error, ip4, ip6, l4, mac

via, src, dst, sender, receiver, count = sys.argv[1:]
v6 = ":" in dst
proto = ICMPV6 if v6 else ICMP
ip = ip6 if v6 else ip4
if via == "-":
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.connect((dst, 0))
    link = b""
else:
    dev, router = via.split(",")
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.bind((dev, 0))
    own = fcntl.ioctl(s, 0x8927, struct.pack("256s", dev.encode()))[18:24]  # SIOCGIFHWADDR
    link = eth(mac(router), own, 0x86dd if v6 else 0x0800, b"")
for i in range(int(count)):
    quoted = ip(sender, receiver, UDP, l4(sender, receiver, UDP, 1024 + i, 53, b"invented"))
    for kind, code in ((1, 4), (137, 0)) if v6 else ((3, 3), (5, 1)):
        s.send(link + ip(src, dst, proto, icmp_error(src, dst, v6, kind, code, 0, quoted)))
s.send(link + ip(src, dst, proto, l4(src, dst, proto, 1, 1, b"last")))
