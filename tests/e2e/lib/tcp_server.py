#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""tcp_server.py [-f FILE] PORT...: on both families; with -f sends the file to whoever connects,
else sends back every byte. Until killed."""
import asyncio
import sys

args = sys.argv[1:]
path = None
if args[0] == "-f":
    path, args = args[1], args[2:]
body = open(path, "rb").read() if path else b""


async def serve(reader, writer):
    try:
        if path:
            view = memoryview(body)
            for at in range(0, len(body), 1 << 18):
                writer.write(view[at:at + (1 << 18)])
                await writer.drain()
        else:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
    except OSError:
        pass


async def main():
    for port in args:
        await asyncio.start_server(serve, None, int(port), backlog=2048)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
