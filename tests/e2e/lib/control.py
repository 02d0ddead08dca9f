# SPDX-License-Identifier: GPL-2.0-only
"""The control socket as src/protocol.h describes it."""
import json
import socket

from slow import SLOW


def ask(path, request, timeout=10):
    """One request, one reply."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(timeout * SLOW)
        s.connect(path)
        s.sendall((request if isinstance(request, bytes) else json.dumps(request).encode()) + b"\n")
        reply = b""
        while not reply.endswith(b"\n"):
            part = s.recv(1 << 16)
            if not part:
                raise OSError("closed without a reply")
            reply += part
        return json.loads(reply)
