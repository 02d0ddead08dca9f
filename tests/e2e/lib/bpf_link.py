# SPDX-License-Identifier: GPL-2.0-only
"""Links by the system call, where Debian's bpftool, tc and libbpf know no such link."""
import ctypes
import os
import signal
import struct
import sys

BPF_OBJ_GET, BPF_LINK_CREATE = 7, 28
libc = ctypes.CDLL(None, use_errno=True)


def bpf(cmd, attr):
    buf = ctypes.create_string_buffer(attr, 128)
    fd = libc.syscall(321 if os.uname().machine == "x86_64" else 280, cmd, buf, 128)
    if fd < 0:
        sys.exit(f"bpf({cmd}): {os.strerror(ctypes.get_errno())}")
    return fd


def hold(pinned, layout, *rest):
    """Link the pinned program, the rest of the attributes packed by layout, until killed."""
    path = ctypes.create_string_buffer(pinned.encode())
    prog = bpf(BPF_OBJ_GET, struct.pack("=Q", ctypes.addressof(path)))
    bpf(BPF_LINK_CREATE, struct.pack("=I" + layout, prog, *rest))
    print("ready", flush=True)
    signal.pause()
