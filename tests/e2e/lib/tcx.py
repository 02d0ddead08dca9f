#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""tcx.py PINNED_PROGRAM IF head|tail: attach a program at tcx ingress (neither Debian's bpftool nor
its tc can) and hold the link until killed."""
import ctypes
import os
import signal
import socket
import struct
import sys

BPF_OBJ_GET, BPF_LINK_CREATE = 7, 28
BPF_TCX_INGRESS, BPF_F_BEFORE = 46, 1 << 3
libc = ctypes.CDLL(None, use_errno=True)


def bpf(cmd, attr):
    buf = ctypes.create_string_buffer(attr, 128)
    fd = libc.syscall(321 if os.uname().machine == "x86_64" else 280, cmd, buf, 128)
    if fd < 0:
        sys.exit(f"bpf({cmd}): {os.strerror(ctypes.get_errno())}")
    return fd


path = ctypes.create_string_buffer(sys.argv[1].encode())
prog = bpf(BPF_OBJ_GET, struct.pack("=Q", ctypes.addressof(path)))
link = bpf(BPF_LINK_CREATE, struct.pack("=IIII", prog, socket.if_nametoindex(sys.argv[2]),
                                        BPF_TCX_INGRESS,
                                        BPF_F_BEFORE if sys.argv[3] == "head" else 0))
print("ready", flush=True)
signal.pause()
