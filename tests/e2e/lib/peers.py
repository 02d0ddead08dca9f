#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""peers.py in|out COUNT PORT [TARGET]: torrent-like traffic with COUNT peers 10.0.1.0, 10.0.1.1 ...

in: on the peers' host, from each peer's address to TARGET's PORT, UDP and TCP.
out: on the client's host, to each peer's PORT, UDP and TCP.
Every flow says something and wants it back. Connections stay open until the end, so that all are
there at once. Prints "udp N tcp N"; exit status 1 unless every one worked."""
import socket
import sys

from slow import SLOW

way, count, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
addrs = [f"10.0.{1 + i // 250}.{i % 250}" for i in range(count)]
done = {"udp": 0, "tcp": 0}
keep = []
for addr in addrs:
    for name, kind in ("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM):
        s = socket.socket(socket.AF_INET, kind)
        s.settimeout(2 * SLOW)
        keep.append(s)
        try:
            if way == "in":
                s.bind((addr, 0))
                s.connect((sys.argv[4], port))
            else:
                s.connect((addr, port))
            data = f"hello {addr}".encode()
            s.send(data)
            done[name] += s.recv(100) == data
        except OSError as e:
            print(addr, name, e)
            if len(keep) > 20 and not any(done.values()):
                sys.exit(1)
print(f"udp {done['udp']} tcp {done['tcp']}")
sys.exit(done != {"udp": count, "tcp": count})
