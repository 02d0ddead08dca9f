#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""bulk_tcp.py serve PORT | send HOST PORT BYTES [CONNECTIONS]

send: that many bytes over so many connections at once, of a stream that both ends make by
themselves; the server compares every byte as it comes, and says how many were right. Prints "sent N
in S s, N Mbit/s"; exit status 1 unless all arrived, and nothing else."""
import os
import random
import socket
import struct
import sys
import threading
import time

from slow import SLOW

# No power of two, so that a piece that is missing, doubled or moved by whole pages or segments
# does not fit the stream behind it.
PERIOD = (1 << 20) + 7919


def stream(seed):
    block = random.Random(seed).randbytes(PERIOD)
    return memoryview(block + block)  # any place has PERIOD bytes behind it


def serve(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    s.listen(16)
    print("ready", flush=True)
    while True:
        c, _ = s.accept()
        threading.Thread(target=receive, args=(c,), daemon=True).start()


def receive(c):
    with c:
        head = b""
        while len(head) < 16:
            more = c.recv(16 - len(head))
            if not more:
                return
            head += more
        seed, total = struct.unpack("!QQ", head)
        want = stream(seed)
        buf = memoryview(bytearray(1 << 20))
        got = 0
        while True:
            n = c.recv_into(buf)
            if not n:
                break
            at = got % PERIOD
            if buf[:n] != want[at:at + n]:
                wrong = next(i for i in range(n) if buf[i] != want[at + i])
                c.sendall(b"byte %d is wrong\n" % (got + wrong))
                return
            got += n
        c.sendall(b"%d %s\n" % (got, b"all" if got == total else b"not all"))


def send(host, port, total, results):
    try:
        with socket.create_connection((host, port), 10 * SLOW) as c:
            c.settimeout(60 * SLOW)
            seed = struct.unpack("!Q", os.urandom(8))[0] >> 1
            data = stream(seed)
            c.sendall(struct.pack("!QQ", seed, total))
            sent = 0
            while sent < total:
                at = sent % PERIOD
                n = min(1 << 19, total - sent)
                c.sendall(data[at:at + n])
                sent += n
            c.shutdown(socket.SHUT_WR)
            answer = b""
            while more := c.recv(100):
                answer += more
            results.append(answer == b"%d all\n" % total or answer.decode())
    except OSError as e:
        results.append(f"{host}: {e}")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    host, port, total = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    n = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    results = []
    began = time.monotonic()
    threads = [threading.Thread(target=send, args=(host, port, total // n, results)) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = time.monotonic() - began
    if results != [True] * n:
        sys.exit(f"{results}")
    print(f"sent {total // n * n} in {took:.1f} s, {total * 8 / took / 1e6:.0f} Mbit/s")
