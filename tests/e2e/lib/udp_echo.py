#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""udp_echo.py PORT...: send every datagram back, on both families, until killed."""
import selectors
import socket
import sys

IPV6_RECVPKTINFO, IPV6_PKTINFO = 49, 50

sel = selectors.DefaultSelector()
for port in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    # Answer from the address that was asked: a host under test has several.
    s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    s.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
    s.bind(("::", int(port)))
    s.setblocking(False)
    sel.register(s, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in sel.select():
        s = key.fileobj
        while True:
            try:
                data, anc, _, addr = s.recvmsg(65536, 256)
            except BlockingIOError:
                break
            info = [(level, kind, value) for level, kind, value in anc
                    if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO)]
            try:
                s.sendmsg([data], info, 0, addr)
            except OSError as e:
                print(f"reply to {addr}: {e}", flush=True)
