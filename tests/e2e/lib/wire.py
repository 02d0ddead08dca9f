# SPDX-License-Identifier: GPL-2.0-only
"""Frames put on a device and taken from it as they are, in any network namespace: one process sees
all ends of a lab at once."""
import ctypes
import errno
import os
import select
import socket
import struct

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
PACKET_STATISTICS = 6
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID, TP_STATUS_CSUMNOTREADY = 1 << 4, 1 << 6, 1 << 3
libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """with Namespace(NAME): sockets opened inside belong to it, and stay there."""

    def __init__(self, name):
        self.path = f"/run/netns/{name}"

    def enter(self, path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {path}")
        finally:
            os.close(fd)

    def __enter__(self):
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.enter(self.path)

    def __exit__(self, *_):
        libc.setns(self.home, CLONE_NEWNET)
        os.close(self.home)


class Port:
    """One end of a cable. Frames that this end sends are not among those it gets."""

    def __init__(self, ns, dev):
        self.name = f"{ns}:{dev}"
        with Namespace(ns):
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self.s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
        self.s.setblocking(False)
        self.s.bind((dev, ETH_P_ALL))

    def fileno(self):
        return self.s.fileno()

    def send(self, frame):
        while True:
            try:
                self.s.send(frame)
                return
            except BlockingIOError:
                select.select([], [self.s], [], 1)

    def drain(self):
        """What came in, in order. A tag that the kernel took out of the frame is put back."""
        out = []
        while True:
            try:
                frame, anc, _, _ = self.s.recvmsg(70000, 64)
            except BlockingIOError:
                return out
            except OSError as e:
                if e.errno != errno.ENETDOWN:  # said once when the device goes down
                    raise
                continue
            for level, kind, data in anc:
                if (level, kind) != (SOL_PACKET, PACKET_AUXDATA):
                    continue
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data)
                if status & TP_STATUS_VLAN_VALID:
                    if not status & TP_STATUS_VLAN_TPID_VALID:
                        tpid = 0x8100
                    frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
                if status & TP_STATUS_CSUMNOTREADY:
                    raise AssertionError(f"{self.name}: a frame without its checksum")
            out.append(frame)

    def lost(self):
        """Frames that this socket itself could not hold, since the last call."""
        return struct.unpack("=II", self.s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
