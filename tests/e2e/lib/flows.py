#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""flows.py [-u FLOWS] [-f FLOWS] [-t FLOWS] [-k MESSAGES] [-s SIZE] [-w SECONDS] [-l] [-d DEVICE] PORT HOST...

To an echo server on PORT of each HOST: so many flows of UDP (-u, 20), of UDP in datagrams of SIZE
(3000) bytes, which are fragmented (-f, 5), and of TCP (-t, 5), with so many (-k, 2) messages on
each. UDP has no retransmission, and no more than 32 datagrams are under way. Prints "udp GOT of
SENT, big GOT of SENT, tcp GOT of SENT, twice N, late N", the last two being datagrams that came
back more than once, and behind one of the same flow that was sent later. Exit status 1 unless all
came back as they were (with -l: unless all of TCP did). SIGTERM: no more UDP is sent, the rest as
usual. -d: from within this VRF."""
import argparse
import os
import selectors
import signal
import socket
import sys
import time

from slow import SLOW

p = argparse.ArgumentParser()
p.add_argument("-u", type=int, default=20)
p.add_argument("-f", type=int, default=5)
p.add_argument("-t", type=int, default=5)
p.add_argument("-k", type=int, default=2)
p.add_argument("-s", type=int, default=3000)
p.add_argument("-w", type=float, default=2.0)
p.add_argument("-l", action="store_true", help="datagrams may be lost")
p.add_argument("-d", default="")
p.add_argument("port", type=int)
p.add_argument("host", nargs="+")
a = p.parse_args()
a.w *= SLOW
twice = late = sent = 0
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))


def connected(host, kind):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    s.settimeout(a.w * 5)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, a.d.encode() + b"\0")
    s.connect((host, a.port))
    return s


def udp(host, flows, size):
    """How many datagrams came back."""
    global twice, late, sent
    sel = selectors.DefaultSelector()
    socks = [connected(host, socket.SOCK_DGRAM) for _ in range(flows)]
    for s in socks:
        s.setblocking(False)
        # Cut it, whatever was learned of the path.
        if s.family == socket.AF_INET:
            s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
        sel.register(s, selectors.EVENT_READ)
    todo = [(s, n) for n in range(a.k) for s in socks][::-1]
    waiting, done, newest = {}, set(), {}
    while todo or waiting:
        if stop:
            todo.clear()
        while todo and len(waiting) < 32:
            s, n = todo.pop()
            data = (b"%d.%d " % (s.fileno(), n) + os.urandom(size))[:size]
            waiting[data] = time.monotonic()
            sent += 1
            try:
                s.send(data)
            except OSError:  # an ICMP error of an earlier one
                pass
        for key, _ in sel.select(0.05):
            while True:
                try:
                    data = key.fileobj.recv(65536)
                except OSError:
                    break
                if data in done:
                    twice += 1
                elif waiting.pop(data, None) is not None:
                    done.add(data)
                    n = int(data[:16].split(b" ")[0].split(b".")[1])
                    late += n < newest.get(key.fd, 0)
                    newest[key.fd] = max(n, newest.get(key.fd, 0))
        expired = time.monotonic() - a.w
        for data in [d for d, when in waiting.items() if when < expired]:
            del waiting[data]
    return len(done)


def tcp(host):
    got = 0
    for _ in range(a.t):
        try:
            with connected(host, socket.SOCK_STREAM) as s:
                for _ in range(a.k):
                    data = os.urandom(100)
                    s.sendall(data)
                    back = b""
                    while len(back) < len(data) and (more := s.recv(100)):
                        back += more
                    got += back == data
                s.shutdown(socket.SHUT_WR)
                if s.recv(1):
                    got = -1000
        except OSError as e:
            print(f"{host}: {e}")
    return got


small = big = streams = 0
sent_small = sent_big = 0
for host in a.host:
    small += udp(host, a.u, 64)
    sent_small, sent = sent_small + sent, 0
    big += udp(host, a.f, a.s)
    sent_big, sent = sent_big + sent, 0
    streams += tcp(host)
n = len(a.host) * a.k
print(f"udp {small} of {sent_small}, big {big} of {sent_big}, tcp {streams} of {a.t * n}, "
      f"twice {twice}, late {late}")
sys.exit(streams != a.t * n or not a.l and (small, big, twice) != (sent_small, sent_big, 0))
