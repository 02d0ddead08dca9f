#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""fragments.py IF NEXTHOP_MAC COUNT PORT SRC,DST...

For each SRC,DST and each order (forward, reverse, first-last: 1 2 .. n 0, shuffled), send COUNT
datagrams of 3,200 bytes to DST's echo service on PORT, as fragments made and put on the wire here.
Prints "datagrams N fragments N echoed N"; exit status 1 unless all came back intact."""
import os
import random
import socket
import sys

from scapy.all import (Ether, IP, IPv6, IPv6ExtHdrFragment, Raw, UDP, fragment, fragment6, raw)

from slow import SLOW

dev, mac, count, port = sys.argv[1:5]
random.seed(7)
tx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
tx.bind((dev, 0))
datagrams = fragments = echoed = 0


def send(src, dst, order):
    global datagrams, fragments, echoed
    v6 = ":" in dst
    rx = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    rx.bind((src, 0))
    rx.settimeout(SLOW)
    for _ in range(int(count)):
        data = os.urandom(3200)
        datagrams += 1
        udp = UDP(sport=rx.getsockname()[1], dport=int(port)) / Raw(data)
        if v6:
            parts = fragment6(IPv6(src=src, dst=dst) / IPv6ExtHdrFragment(id=datagrams) / udp, 1280)
        else:
            parts = fragment(IP(src=src, dst=dst, id=datagrams) / udp, 1200)
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
            print(f"nothing back from {dst}, {order}")


for pair in sys.argv[5:]:
    for order in "forward", "reverse", "first-last", "shuffled":
        send(*pair.split(","), order)
print(f"datagrams {datagrams} fragments {fragments} echoed {echoed}")
sys.exit(echoed != datagrams)
