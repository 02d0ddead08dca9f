#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""monotone.py SOCKET RATE RULE...: read the statistics over and over until SIGTERM, up to a hundred
times a second and no more often than a tenth of RATE; complain when a counter of one of these rules
(their text) or a reason ever goes back or a rule is missing. A daemon that is away is waited for.
Prints "reads N"; exit status 1 after a complaint."""
import signal
import sys
import time

from control import ask

stop = False


def end(*_):
    global stop
    stop = True


signal.signal(signal.SIGTERM, end)
path, rate, rules = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
seen = {}
reads = bad = 0


def numbers(prefix, thing):
    if isinstance(thing, dict):
        for k, v in thing.items():
            yield from numbers(f"{prefix}/{k}", v)
    elif isinstance(thing, int) and not isinstance(thing, bool):
        yield prefix, thing


while not stop:
    try:
        stats = ask(path, {"cmd": "stats"})
    except (OSError, ValueError):
        time.sleep(0.005)
        continue
    reads += 1
    now = {}
    by_text = {r["rule"]: r for r in stats["rules"]}
    for text in rules:
        if text not in by_text:
            print(f"read {reads}: no rule {text}")
            bad += 1
            continue
        for hook in "receive", "output":
            now.update(numbers(f"{text}/{hook}", by_text[text][hook]))
    for r in stats["reasons"]:
        now.update(numbers(r["name"], r))
    for k, v in now.items():
        if v < seen.get(k, 0):
            print(f"read {reads}: {k} went from {seen[k]} to {v}")
            bad += 1
    seen.update(now)
    time.sleep(max(0.01, 10 / rate))
print(f"reads {reads}")
sys.exit(bad != 0)
