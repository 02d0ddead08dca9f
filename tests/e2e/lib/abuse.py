#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""abuse.py SOCKET: everything a control socket should survive. Exit status 1 when the daemon took
nonsense for a request, or stopped answering sensible ones."""
import json
import os
import random
import socket
import sys
import time

from control import ask
from slow import SLOW

path = sys.argv[1]
random.seed(11)
problems = []


def connect(timeout=3):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(timeout * SLOW)
    s.connect(path)
    return s


def alive(after):
    """Sensible requests are answered, if not at once since others are in front, then soon."""
    end = time.monotonic() + 3 * SLOW
    while True:
        try:
            reply = ask(path, {"cmd": "status"}, 3)
            if reply.get("ok"):
                return
            trouble = reply.get("error")
        except (OSError, ValueError) as e:
            trouble = e
        if time.monotonic() > end:
            problems.append(f"after {after}: {trouble}")
            return
        time.sleep(0.05)


def refused(what, data, end=b"\n"):
    """The daemon must answer ok:false or hang up."""
    try:
        with connect() as s:
            s.sendall(data + end)
            reply = b""
            while not reply.endswith(b"\n"):
                part = s.recv(65536)
                if not part:
                    break
                reply += part
            if reply:
                r = json.loads(reply)
                if r.get("ok") is not False or not r.get("error"):
                    problems.append(f"{what}: {reply[:200]}")
    except (BrokenPipeError, ConnectionResetError):
        pass
    except (OSError, ValueError) as e:
        problems.append(f"{what}: {e}")


for what, data in [
    ("an empty line", b""),
    ("no JSON", b"hello"),
    ("binary", bytes(range(256)).replace(b"\n", b"")),
    ("an array", b"[]"),
    ("a number", b"7"),
    ("an empty object", b"{}"),
    ("an unknown command", b'{"cmd":"format"}'),
    ("a command that is no text", b'{"cmd":7}'),
    ("an unknown member", b'{"cmd":"status","colour":"red"}'),
    ("a member twice", b'{"cmd":"delete","handle":1,"handle":2}'),
    ("add without a rule", b'{"cmd":"add"}'),
    ("add of nothing", b'{"cmd":"add","text":""}'),
    ("add of two lines", b'{"cmd":"add","text":"notrack udp dport 1\\nnotrack udp dport 2"}'),
    ("add of a statement", b'{"cmd":"add","text":"interface eth0"}'),
    ("add with a NUL", b'{"cmd":"add","text":"notrack udp dport 1\\u0000x"}'),
    ("delete of text", b'{"cmd":"delete","handle":"1"}'),
    ("delete of a negative", b'{"cmd":"delete","handle":-1}'),
    ("delete of a huge", b'{"cmd":"delete","handle":99999999999999999999}'),
    ("delete of a fraction", b'{"cmd":"delete","handle":1.5}'),
    ("delete of what is not", b'{"cmd":"delete","handle":4000000}'),
    ("set add to nothing", b'{"cmd":"set-add","name":"nope","elements":["1"]}'),
    ("set add of no list", b'{"cmd":"set-add","name":"ports","elements":"1"}'),
    ("set add of an object", b'{"cmd":"set-add","name":"ports","elements":[{}]}'),
    ("set add of an empty list", b'{"cmd":"set-add","name":"ports","elements":[]}'),
    ("bad UTF-8", b'{"cmd":"add","text":"notrack udp dport 1 comment \\"\xff\xfe\\""}'),
    ("deep nesting", b'{"cmd":' + b"[" * 100000 + b"]" * 100000 + b"}"),
    ("half an object", b'{"cmd":"status"'),
    ("two objects", b'{"cmd":"status"}{"cmd":"status"}'),
    ("a line of a megabyte", b'{"cmd":"add","text":"' + b"x" * (1 << 20) + b'"}'),
    ("a line too long without an end", b"y" * (300 * 1024)),
]:
    refused(what, data)
    alive(what)

for i in range(300):
    refused(f"noise {i}", os.urandom(random.randrange(1, 2000)).replace(b"\n", b""))
base = b'{"cmd":"add","text":"notrack udp dport 8080 saddr { 10.0.0.0/8, fd00::/8 }"}'
for i in range(300):
    data = bytearray(base)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(data))
        data[at] = random.choice(b'{}[]":,\\/0123456789abcxyz \x00\x80\xff')
    try:
        with connect() as s:
            s.sendall(bytes(data).replace(b"\n", b"") + b"\n")
            s.recv(65536)
    except OSError:
        pass
alive("noise")

# Request by the byte; two requests after one another on a connection or hung up after the first.
with connect(15) as s:
    for byte in b'{"cmd":"status"}\n':
        s.sendall(bytes([byte]))
        time.sleep(0.01)
    if not s.recv(65536):
        problems.append("no reply to a request in single bytes")

# Clients who ask and go away, half way or without reading.
for _ in range(100):
    s = connect()
    s.sendall(b'{"cmd":"stats"}\n')
    s.close()
    s = connect()
    s.sendall(b'{"cmd":"sta')
    s.close()
alive("clients that went away")

# Many at once: the surplus may be refused or wait, the daemon goes on and answers once they go.
crowd = []
for _ in range(64):
    try:
        crowd.append(connect(1))
    except OSError:
        break
time.sleep(0.2)
for s in crowd:
    s.close()
alive("a crowd")

# Silent clients are hung up on, so that they cannot keep everybody else out.
crowd = []
for _ in range(16):
    try:
        crowd.append(connect(1))
    except OSError:
        break
start = time.monotonic()
while time.monotonic() - start < 15 * SLOW:
    try:
        if ask(path, {"cmd": "status"}, 12).get("ok"):
            break
    except (OSError, ValueError):
        time.sleep(0.2)
else:
    problems.append("16 silent clients keep everybody else out")

for s in crowd:
    s.close()
for p in problems:
    print(p)
print(f"problems {len(problems)}")
sys.exit(bool(problems))
