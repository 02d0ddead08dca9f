#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""load.py RATE UDP_PORT TCP_PORT HOST...: steady load until SIGTERM.

UDP: one exchange after the other with an echo service, each from a new socket, so that every one
is a new flow to the network; at most RATE a second. TCP: one connection per host that keeps echoing,
at most RATE times a second; its retransmissions are what the network lost. "ready" when all stand.
At the end prints "udp sent N got N tcp bytes N retransmitted N"; exit status 1 when anything was
lost, damaged or reset."""
import os
import selectors
import signal
import socket
import sys
import threading
import time

from slow import SLOW

rate, udp_port, tcp_port, hosts = *map(int, sys.argv[1:4]), sys.argv[4:]
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
tcp_bytes = retransmitted = 0
broken = []


def resent(s):
    info = s.getsockopt(socket.IPPROTO_TCP, 11, 104)
    return int.from_bytes(info[100:104], sys.byteorder)  # tcpi_total_retrans


def tcp(host, s, before):
    global tcp_bytes, retransmitted
    try:
        while not stop.is_set():
            data = os.urandom(4000)
            s.sendall(data)
            back = b""
            while len(back) < len(data):
                part = s.recv(65536)
                if not part:
                    raise OSError("closed")
                back += part
            if back != data:
                raise OSError("damaged")
            tcp_bytes += len(data)
            time.sleep(max(0.002, 1 / rate))
    except OSError as e:
        broken.append(f"tcp {host}: {e}")
    retransmitted += resent(s) - before
    s.close()


threads = []
for h in hosts:
    conn = socket.create_connection((h, tcp_port), 5 * SLOW)
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A slow machine resends a SYN after a second, which no route changes; elsewhere it was lost.
    before = resent(conn) if SLOW > 1 else 0
    threads.append(threading.Thread(target=tcp, args=(h, conn, before)))
for t in threads:
    t.start()

sel = selectors.DefaultSelector()
sent = got = 0
flying = {}
print("ready", flush=True)
began = time.monotonic()
while not stop.is_set() or flying:
    while not stop.is_set() and len(flying) < 16 and sent < (time.monotonic() - began) * rate:
        host = hosts[sent % len(hosts)]
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        s.connect((host, udp_port))
        data = b"%d" % sent
        s.send(data)
        sent += 1
        flying[s] = (data, time.monotonic())
        sel.register(s, selectors.EVENT_READ)
    for key, _ in sel.select(0.001):
        s = key.fileobj
        try:
            if s.recv(1000) == flying[s][0]:
                got += 1
        except OSError as e:
            broken.append(f"udp: {e}")
        sel.unregister(s)
        del flying[s]
        s.close()
    now = time.monotonic()
    for s in [s for s, (_, when) in flying.items() if now - when > 2 * SLOW]:
        sel.unregister(s)
        del flying[s]
        s.close()
for t in threads:
    t.join()
print(f"udp sent {sent} got {got} tcp bytes {tcp_bytes} retransmitted {retransmitted}", *broken[:5])
sys.exit(sent != got or retransmitted != 0 or bool(broken))
