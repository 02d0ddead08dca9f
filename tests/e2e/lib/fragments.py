#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""fragments.py IF NEXTHOP_MAC SRC DST PORT ORDER COUNT

Send COUNT datagrams of 3,200 bytes to DST's echo service on PORT, each as fragments put on the wire
here, in this ORDER: forward, reverse, first-last (1 2 .. n 0), shuffled. Prints "fragments N
echoed N"; exit status 1 unless all came back intact."""
import os
import random
import socket
import sys

from scapy.all import (Ether, IP, IPv6, IPv6ExtHdrFragment, Raw, UDP, fragment, fragment6, raw)

dev, mac, src, dst, port, order, count = sys.argv[1:]
v6 = ":" in dst
random.seed(7)
rx = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
rx.bind((src, 0))
rx.settimeout(2)
sport = rx.getsockname()[1]
tx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
tx.bind((dev, 0))
fragments = echoed = 0
for i in range(int(count)):
    data = os.urandom(3200)
    udp = UDP(sport=sport, dport=int(port)) / Raw(data)
    if v6:
        packet = IPv6(src=src, dst=dst) / IPv6ExtHdrFragment(id=1000 + i) / udp
        parts = fragment6(packet, 1280)
    else:
        parts = fragment(IP(src=src, dst=dst, id=1000 + i) / udp, 1200)
    if order == "reverse":
        parts = parts[::-1]
    elif order == "first-last":
        parts = parts[1:] + parts[:1]
    elif order == "shuffled":
        random.shuffle(parts)
    for part in parts:
        tx.send(raw(Ether(dst=mac, type=0x86DD if v6 else 0x0800) / part))
    fragments += len(parts)
    try:
        echoed += rx.recv(65536) == data
    except TimeoutError:
        pass
print(f"fragments {fragments} echoed {echoed}")
sys.exit(echoed != int(count))
