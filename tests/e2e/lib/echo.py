#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""echo.py [-t] [-d DEVICE] PORT...: send back every datagram and every byte of TCP, on both families,
from the address that was asked, until killed. -t: as a transparent proxy, also what others were asked.
-d: of this VRF."""
import argparse
import asyncio
import socket

IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_TRANSPARENT, SO_RCVBUFFORCE = 49, 50, 75, 33
args = argparse.ArgumentParser()
args.add_argument("-t", action="store_true")
args.add_argument("-d", default="")
args.add_argument("port", type=int, nargs="+")
args = args.parse_args()


def bound(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, args.t)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, args.d.encode() + b"\0")
    s.bind(("::", port))
    s.setblocking(False)
    return s


def datagrams(s):
    while True:
        try:
            data, anc, _, peer = s.recvmsg(65536, 256)
        except BlockingIOError:
            return
        except OSError as e:
            print(f"receive: {e}", flush=True)
            continue
        info = [(level, kind, value) for level, kind, value in anc
                if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO)]
        if peer[0].startswith("::ffff:"):  # the address, but no device: routing chooses that
            info = [(level, kind, value[:16] + bytes(4)) for level, kind, value in info]
        try:
            s.sendmsg([data], info, 0, peer)
        except OSError as e:
            print(f"reply to {peer}: {e}", flush=True)


async def connection(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
    except OSError:
        pass


async def main():
    for port in args.port:
        s = bound(socket.SOCK_DGRAM, port)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        asyncio.get_running_loop().add_reader(s, datagrams, s)
        await asyncio.start_server(connection, sock=bound(socket.SOCK_STREAM, port), backlog=256)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
