#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""tcp_flows.py [-n FLOWS] [-k ROUNDS] [-t SECONDS] [-b SPORT] [-H] HOST PORT

Open FLOWS connections to an echo server, send ROUNDS messages on each and read them back.
Prints "opened N echoed N"; exit status 1 unless all were. With -H the connections stay open
until standard input ends."""
import argparse
import asyncio
import os
import sys

p = argparse.ArgumentParser()
p.add_argument("-n", type=int, default=1)
p.add_argument("-k", type=int, default=1)
p.add_argument("-t", type=float, default=5.0)
p.add_argument("-b", type=int, default=0, help="first source port")
p.add_argument("-H", action="store_true")
p.add_argument("host")
p.add_argument("port", type=int)
a = p.parse_args()
opened = echoed = 0
held = []


async def flow(i, gate):
    global opened, echoed
    async with gate:
        local = ("::" if ":" in a.host else "0.0.0.0", a.b + i) if a.b else None
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(a.host, a.port, local_addr=local), a.t)
        opened += 1
        for _ in range(a.k):
            data = os.urandom(100)
            writer.write(data)
            if await asyncio.wait_for(reader.readexactly(100), a.t) == data:
                echoed += 1
        if a.H:
            held.append(writer)
        else:
            writer.close()
            await writer.wait_closed()


async def main():
    gate = asyncio.Semaphore(64)
    await asyncio.gather(*[flow(i, gate) for i in range(a.n)], return_exceptions=True)
    print(f"opened {opened} echoed {echoed}", flush=True)
    if a.H:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
sys.exit(echoed != a.n * a.k)
