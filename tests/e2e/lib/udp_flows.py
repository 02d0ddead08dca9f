#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""udp_flows.py [-n FLOWS] [-k PACKETS] [-s SIZE] [-t SECONDS] [-w WINDOW]
[-b SPORT] HOST PORT

Open FLOWS sockets, send PACKETS datagrams on each and count the echoes, without any
retransmission. Prints "sent N got N"; exit status 1 unless every one came back intact.
One that is not back after SECONDS (2, times CTB_SLOW) is lost. At most WINDOW (64) datagrams are
under way, so that no queue of a lab overflows."""
import argparse
import os
import selectors
import socket
import sys
import time

from slow import SLOW

p = argparse.ArgumentParser()
p.add_argument("-n", type=int, default=1)
p.add_argument("-k", type=int, default=1)
p.add_argument("-s", type=int, default=64)
p.add_argument("-t", type=float, default=2.0)
p.add_argument("-w", type=int, default=64)
p.add_argument("-b", type=int, default=0, help="first source port")
p.add_argument("host")
p.add_argument("port", type=int)
a = p.parse_args()
a.t *= SLOW

family = socket.AF_INET6 if ":" in a.host else socket.AF_INET
sel = selectors.DefaultSelector()
socks = []
for i in range(a.n):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if a.b:
        s.bind(("", a.b + i))
    s.connect((a.host, a.port))
    s.setblocking(False)
    sel.register(s, selectors.EVENT_READ)
    socks.append(s)

waiting = {}  # payload -> time sent
sent = got = refused = 0
todo = iter([(s, n) for n in range(a.k) for s in socks])
last = time.monotonic()
more = True
while more or waiting:
    while more and len(waiting) < a.w:
        item = next(todo, None)
        if item is None:
            more = False
            break
        s, n = item
        data = (b"%d.%d " % (s.fileno(), n)) + os.urandom(a.s)
        data = data[: max(a.s, 16)]
        waiting[data] = time.monotonic()
        try:
            s.send(data)
        except OSError:  # an ICMP error of an earlier one, or EPERM from a full table
            refused += 1
        sent += 1
    for key, _ in sel.select(0.05):
        while True:
            try:
                data = key.fileobj.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                refused += 1
                break
            if waiting.pop(data, None) is not None:
                got += 1
                last = time.monotonic()
    now = time.monotonic()
    for data in [d for d, when in waiting.items() if now - when > a.t]:
        del waiting[data]
print(f"sent {sent} got {got}" + (f" refused {refused}" if refused else ""))
sys.exit(got != sent)
