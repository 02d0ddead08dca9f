#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""ttl_probe.py HOST PORT HOPS: what traceroute does: a datagram of each TTL 1..HOPS, and who
answers it. Prints the addresses, one a line, * for silence."""
import socket
import struct
import sys
import time

from slow import SLOW

host, port, hops = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
v6 = ":" in host
for ttl in range(1, hops + 1):
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    if v6:
        s.setsockopt(socket.IPPROTO_IPV6, 16, ttl)  # IPV6_UNICAST_HOPS
        s.setsockopt(socket.IPPROTO_IPV6, 25, 1)  # IPV6_RECVERR
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
    s.connect((host, port + ttl))
    s.send(b"probe" * 8)
    end = time.monotonic() + SLOW
    who = "*"
    while who == "*" and time.monotonic() < end:
        try:
            _, anc, _, _ = s.recvmsg(1000, 1000, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        except OSError:  # the pending error of the socket, reported once
            continue
        for _, _, data in anc:
            # struct sock_extended_err, then the offender's sockaddr
            if len(data) >= 16 + 16 and data[4] in (2, 3):
                if v6:
                    who = socket.inet_ntop(socket.AF_INET6, data[16 + 8:16 + 24])
                else:
                    who = socket.inet_ntoa(data[16 + 4:16 + 8])
                who += f" type {data[5]}"
    print(who, flush=True)
