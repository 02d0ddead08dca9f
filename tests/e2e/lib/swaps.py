#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""swaps.py SOCKET COUNT: COUNT changes of the rules, one after the other: a rule added, a set grown,
shrunk again, the rule deleted. Needs a set "ports". Prints "swaps N in S s, slowest S"."""
import sys
import time

from control import ask
from slow import SLOW

path, count = sys.argv[1], int(sys.argv[2])
slowest = 0.0
began = time.monotonic()
handle = None
for i in range(count):
    request = [
        {"cmd": "add", "text": f"notrack udp dport {20000 + i}"},
        {"cmd": "set-add", "name": "ports", "elements": [str(10000 + i)]},
        {"cmd": "set-delete", "name": "ports", "elements": [str(10000 + i - 1)]},
        {"cmd": "delete", "handle": handle},
    ][i % 4]
    start = time.monotonic()
    reply = ask(path, request, 30 * SLOW)
    slowest = max(slowest, time.monotonic() - start)
    if not reply.get("ok"):
        sys.exit(f"swap {i}: {request}: {reply}")
    if i % 4 == 0:
        handle = reply["handle"]
print(f"swaps {count} in {time.monotonic() - began:.2f} s, slowest {slowest:.3f}")
