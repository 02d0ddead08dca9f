#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""squat.py WAY: be in the way of a ctbypass that wants to lock its network namespace, and sleep.
full: hold the name, with a queue that is full; names: hold many that begin like it; accepted: hold
it, with connections of one's own; fill: connect to whoever holds it until its queue is full."""
import os
import socket
import sys
import time

NAME = "\0ctbypass-daemon"
keep = []


def hold(name, backlog):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(name)
    s.listen(backlog)
    keep.append(s)
    return s


def connect():
    c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    c.setblocking(False)
    try:
        c.connect(NAME)
    except BlockingIOError:
        return False
    keep.append(c)
    return True


way = sys.argv[1]
if way == "full":
    hold(NAME, 0)
    while connect():
        pass
elif way == "names":
    for i in range(200):
        hold(NAME + ("-%d" % i if i else ""), 1)
elif way == "accepted":
    s = hold(NAME, 8)
    for i in range(8):
        connect()
    for i in range(4):  # and four that are not accepted yet
        keep.append(s.accept()[0])
elif way == "fill":
    while connect():
        pass
print("ready, as", os.getuid(), "with", len(keep), flush=True)
time.sleep(3600)
