#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""echo.py PORT...: send back every datagram and every byte of TCP, on both families, from the
address that was asked, until killed."""
import asyncio
import socket
import sys

IPV6_RECVPKTINFO, IPV6_PKTINFO, SO_RCVBUFFORCE = 49, 50, 33


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
    for port in map(int, sys.argv[1:]):
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        s.bind(("::", port))
        s.setblocking(False)
        asyncio.get_running_loop().add_reader(s, datagrams, s)
        await asyncio.start_server(connection, None, port, backlog=256)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
