#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""forward_changes.py MODE [SOCKET] TEST...: change the network under a steady stream of numbered
packets, IPv4 and IPv6 by turns, and account for every one of them. MODE: xdp, tc, or kernel (nothing
but the kernel, to see that what is asked for is what it does). The lab is that of
42_forward_changes.sh: client c0 - r0 router, and r1, r2, r3 to the hosts one, two, three. The stream
goes to 10.20/16 and fd20::/32. A packet that arrives anywhere must be, byte for byte, the one that
was sent, forwarded once."""
import collections
import json
import os
import random
import struct
import subprocess
import sys
import threading
import time

from control import ask
from frames import DF, ICMP, ICMPV6, UDP, eth, forwarded, ip4, ip6, l4, mac
from slow import SLOW
from wire import Port

HOSTS = {"one": ("s0", "r1", 2), "two": ("s0", "r2", 3), "three": ("s0", "r3", 4)}
RATE, BEAT = 2000, 0.005


def on(ns, *cmd, **kw):
    return subprocess.run(["nsenter", f"--net=/run/netns/{ns}", *cmd], check=True, text=True,
                          stdout=subprocess.PIPE, **kw).stdout


def mac_of(ns, dev):
    return mac(json.loads(on(ns, "ip", "-j", "link", "show", "dev", dev))[0]["address"])


def route(v6, via, *more):
    """The stream's route, by that host; None: takes it away."""
    net = "fd20::/32" if v6 else "10.20.0.0/16"
    n = HOSTS[via][2]
    on("router", "ip", "-6" if v6 else "-4", "route", "replace", net, "via",
       f"fd0{n}::2" if v6 else f"10.{n}.0.2", *more)


def sysctl(ns, *settings):
    on(ns, "sysctl", "-qw", *settings)


class Failed(Exception):
    pass


def need(ok, what):
    if not ok:
        raise Failed(what)


class Stream:
    """Sends and receives in a thread of its own. n is the number of the next packet; even ones are
    IPv4."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.client = Port("client", "c0")
        self.hosts = {h: Port(h, dev) for h, (dev, _, _) in HOSTS.items()}
        self.host_macs = {h: {mac_of(h, dev)} for h, (dev, _, _) in HOSTS.items()}
        self.mac = {h: next(iter(m)) for h, m in self.host_macs.items()}
        self.router_mac = {h: mac_of("router", r) for h, (_, r, _) in HOSTS.items()}
        self.ends = mac_of("client", "c0"), mac_of("router", "r0")
        self.n = 0
        self.sent = {}
        self.places = collections.defaultdict(list)  # number -> hosts
        self.times = {}
        self.icmp = {}  # number -> (type, code, mtu)
        self.wrong = []
        self.astray = set()  # sent to a MAC address that its host no longer has
        self.large = False
        self.stop = False
        self.lock = threading.Lock()  # the pump's
        self.thread = threading.Thread(target=self.pump, daemon=True)
        self.thread.start()

    def make(self, n):
        r = self.rng
        large = self.large and n % 8 < 2
        size = 1360 if large else r.randrange(1000)
        data = b"STRM" + struct.pack("!I", n) + r.randbytes(size)
        sport = r.randrange(1024, 65536)
        if n & 1:
            src, dst = f"fd10::{r.randrange(1, 65536):x}", f"fd20::{r.randrange(1, 65536):x}"
            ip = ip6(src, dst, UDP, l4(src, dst, UDP, sport, 1001, data), flow=r.randrange(1 << 20))
        else:
            src, dst = f"10.10.0.{r.randrange(1, 255)}", f"10.20.{r.randrange(256)}.{r.randrange(1, 255)}"
            ip = ip4(src, dst, UDP, l4(src, dst, UDP, sport, 1001, data), ident=n & 0xffff, frag=DF)
        return eth(self.ends[1], self.ends[0], 0x86dd if n & 1 else 0x0800, ip)

    def pump(self):
        due = time.monotonic()
        while not self.stop:
            with self.lock:
                for _ in range(int(RATE * BEAT)):
                    frame = self.make(self.n)
                    self.sent[self.n] = frame
                    self.n += 1
                    self.client.send(frame)
                self.collect()
            due = max(due + BEAT, time.monotonic() - 0.05)
            time.sleep(max(0, due - time.monotonic()))

    def collect(self):
        now = time.monotonic()
        for host, port in self.hosts.items():
            for frame in port.drain():
                self.arrived(host, frame, now)
        for frame in self.client.drain():
            self.answered(frame)

    def number(self, ip, v6):
        mark = ip[48:56] if v6 else ip[28:36]
        if mark[:4] == b"STRM" and len(mark) == 8:
            return struct.unpack("!I", mark[4:])[0]
        return None

    def arrived(self, host, frame, now):
        v6 = frame[12:14] == b"\x86\xdd"
        n = self.number(frame[14:], v6)
        if n is None:
            if b"STRM" in frame[:80]:
                self.wrong.append(f"at {host}: {frame[:80].hex()}")
            return  # ARP and the like
        if n not in self.sent:
            self.wrong.append(f"at {host}: number {n} was never sent")
            return
        if frame[:6] not in self.host_macs[host] or \
           frame != forwarded(self.sent[n], self.router_mac[host], frame[:6]):
            self.wrong.append(f"at {host}: number {n} arrived as {frame[:80].hex()}")
            return
        if frame[:6] != self.mac[host]:
            self.astray.add(n)
            return
        self.places[n].append(host)
        self.times[n] = now

    def answered(self, frame):
        if frame[12:14] == b"\x08\x00" and frame[23] == ICMP:
            n, (mtu,) = self.number(frame[42:], False), struct.unpack_from("!H", frame, 40)
            kind, code = frame[34:36]
            whole = frame[42:50] == self.sent[n][14:22] if n is not None and n in self.sent else False
        elif frame[12:14] == b"\x86\xdd" and frame[20] == ICMPV6 and frame[54] < 128:
            n, (mtu,) = self.number(frame[62:], True), struct.unpack_from("!I", frame, 58)
            kind, code = frame[54:56]
            # Without the hop limit: who is told of an unreachable neighbour gets it counted down.
            whole = frame[62:69] == self.sent[n][14:21] if n is not None and n in self.sent else False
        else:
            if b"STRM" in frame[:100]:
                self.wrong.append(f"back at the client: {frame[:80].hex()}")
            return
        if n is None:
            return
        if not whole:
            self.wrong.append(f"an answer quotes what was not sent: {frame[:80].hex()}")
        self.icmp[n] = (kind, code, mtu)

    def run(self, seconds):
        """At least so long, and until enough was sent, on a machine that has other things to do.
        Returns the number of the first packet and the one behind the last."""
        first, began = self.n, time.monotonic()
        while time.monotonic() - began < seconds or \
                (self.n < first + 60 and time.monotonic() - began < 20 * SLOW):
            time.sleep(0.01)
        return first, self.n

    def settle(self):
        time.sleep(0.05 * SLOW)

    def lost(self, first, last, family=None):
        return [n for n in range(first, last) if not self.places.get(n)
                and family in (None, n & 1)]

    def check(self):
        """What must hold at any time."""
        with self.lock:
            places = dict(self.places)
        need(not self.wrong, f"{len(self.wrong)} wrong, first: {self.wrong[:3]}")
        twice = {n: p for n, p in places.items() if len(p) != 1}
        need(not twice, f"arrived more than once: {dict(list(twice.items())[:5])}")
        for p in list(self.hosts.values()) + [self.client]:
            need(not p.lost(), f"the capture at {p.name} lost frames")

    def all_at(self, host, first, last, family=None, but=0):
        """Packets first ... last-1 are at that host (None: nowhere), but for so many."""
        self.settle()
        bad = [n for n in range(first, last) if family in (None, n & 1)
               and self.places.get(n, []) != ([host] if host else [])]
        need(last - first > 20, "there was no traffic")
        need(len(bad) <= but, f"{len(bad)} of {first}...{last} not at {host} but: "
             f"{[(n, self.places.get(n)) for n in bad[:6]]}")


class Tests:
    def __init__(self, mode, sock, seed):
        self.mode, self.sock, self.s = mode, sock, Stream(seed)

    def stats(self):
        if self.mode == "kernel":
            return None
        r = ask(self.sock, {"cmd": "stats"})
        rules = [x for x in r["rules"] if x["action"] == "forward"]
        count = collections.Counter()
        for side in ("receive", "xdp", "tc"):
            count[side] = sum(x[side][d]["packets"] for x in rules
                              for d in ("original", "reply", "icmp_error"))
        for f in r["fallbacks"]:
            count["to_tc " + f["name"]] = f["to_tc"]["packets"]
            count["kernel " + f["name"]] = f["kernel"]["packets"]
        return count

    def fast(self, before, what, share=0.9):
        """That share of what arrived took the fast path meant here."""
        if self.mode == "kernel":
            return
        d = self.stats() - before
        need(d["receive"] > 20 and d[self.mode] >= share * d["receive"],
             f"{what}: {d[self.mode]} of {d['receive']} packets forwarded by {self.mode}: {dict(d)}")

    def start(self):
        for v6 in (False, True):
            route(v6, "one")
        time.sleep(0.3 * SLOW)
        first, last = self.s.run(0.3)
        self.s.all_at("one", first, last, but=5)

    # ---- tests

    def t_neighbour(self):
        """The neighbour's entry goes away, over and over: it is found again, nothing much is lost."""
        s, before = self.s, self.stats()
        begin = s.n
        for _ in range(20):
            on("router", "ip", "neigh", "flush", "dev", "r1")
            time.sleep(0.05)
        s.run(0.3)
        s.all_at("one", begin, s.n - 20, but=40)
        self.fast(before, "neighbour", 0.8)
        if self.mode == "xdp":
            d = self.stats() - before
            need(d["to_tc no-neighbour"] >= 10, f"no-neighbour: {dict(d)}")

    def t_mac(self):
        """The next hop gets another MAC address and tells nobody. It has to be found again, as the
        kernel's own forwarding would: the entry goes stale, is probed, and resolved anew."""
        s = self.s
        for family in "ipv4", "ipv6":
            sysctl("router", *(f"net.{family}.neigh.r1.{k}={v}" for k, v in (
                ("base_reachable_time_ms", 1000), ("delay_first_probe_time", 1), ("ucast_solicit", 1),
                ("retrans_time_ms", 100))))
        sysctl("one", "net.ipv4.conf.s0.arp_notify=0", "net.ipv6.conf.s0.ndisc_notify=0")
        on("router", "ip", "neigh", "flush", "dev", "r1")  # times run from when the entry is made
        time.sleep(0.5)
        new = b"\x02\x77" + os.urandom(4)
        s.host_macs["one"].add(new)
        on("one", "ip", "link", "set", "s0", "address", new.hex(":"))
        s.mac["one"] = new
        began, first = time.monotonic(), s.n
        took = {}
        while len(took) < 2 and time.monotonic() - began < 15 * SLOW:
            time.sleep(0.1)
            for family in (0, 1):
                if family not in took and any(s.places.get(n) for n in range(max(first, s.n - 150), s.n - 20)
                                              if n & 1 == family):
                    took[family] = time.monotonic() - began
        need(len(took) == 2, f"not recovered after {15 * SLOW} s: {took}; astray {len(s.astray)}")
        need(s.astray, "the old address was never used")
        print(f"    found again after {took[0]:.1f} s (IPv4), {took[1]:.1f} s (IPv6)")
        before = self.stats()
        a, b = s.run(0.5)
        s.all_at("one", a, b)
        self.fast(before, "mac", 0.8)

    def t_route(self):
        """The route changes: from then on nothing arrives at the old place. An unreachable route, and
        none at all: nothing arrives anywhere."""
        s = self.s
        before = self.stats()
        where = "one"
        for via in ("two", "three", "one", "two", "one"):
            for v6 in (False, True):
                old = s.n
                s.settle()
                s.all_at(where, old - 50, old, family=int(v6))
                route(v6, via)
                new = s.n + 1
                s.run(0.1)
                s.all_at(via, new, s.n - 20, family=int(v6))
            where = via
        self.fast(before, "route")
        for v6, kind in ((False, "unreachable"), (False, "blackhole"), (True, "unreachable"), (True, "blackhole")):
            net = "fd20::/32" if v6 else "10.20.0.0/16"
            fam = "-6" if v6 else "-4"
            if v6:
                on("router", "ip", fam, "route", "del", net)
                on("router", "ip", fam, "route", "add", kind, net)
            else:
                on("router", "ip", fam, "route", "replace", kind, net)
            new = s.n + 1
            s.run(0.1)
            s.all_at(None, new, s.n - 20, family=int(v6))
            if kind == "unreachable":
                silent = [n for n in range(new, s.n - 20) if n & 1 == int(v6) and n not in s.icmp]
                need(not silent, f"not answered: {silent[:5]}")
            on("router", "ip", fam, "route", "del", *([kind] if not v6 else []), net)
            new = s.n + 1
            s.run(0.1)
            s.all_at(None, new, s.n - 20, family=int(v6))
            route(v6, "one")
        new = s.n + 1
        s.run(0.2)
        s.all_at("one", new, s.n - 20)

    def t_link(self):
        """The egress goes down, by either end, and comes back."""
        s = self.s
        on("router", "ip", "link", "set", "r1", "down")
        new = s.n + 1
        s.run(0.3)
        s.all_at(None, new, s.n - 20)
        on("router", "ip", "link", "set", "r1", "up")
        on("router", "ip", "addr", "replace", "fd02::1/64", "dev", "r1", "nodad")
        for v6 in (False, True):
            route(v6, "one")
        s.run(0.5)
        before = self.stats()
        new = s.n
        s.run(0.5)
        s.all_at("one", new, s.n - 20)
        self.fast(before, "link up again")

        on("one", "ip", "link", "set", "s0", "down")
        new = s.n + 1
        s.run(0.3)
        s.all_at(None, new, s.n - 20)
        on("one", "ip", "link", "set", "s0", "up")
        on("one", "ip", "addr", "replace", "fd02::2/64", "dev", "s0", "nodad")
        end = time.monotonic() + 10 * SLOW
        while s.lost(s.n - 200, s.n - 20) and time.monotonic() < end:
            time.sleep(0.1)
        before = self.stats()
        new = s.n
        s.run(0.5)
        s.all_at("one", new, s.n - 20)
        self.fast(before, "carrier again")

    def t_mtu(self):
        """The egress gets a smaller MTU: large packets are answered, with that MTU."""
        s = self.s
        s.large = True
        s.run(0.1)
        begin = s.n
        s.run(0.2)
        s.all_at("one", begin, s.n - 20)
        for mtu in (1300, 1280):
            on("router", "ip", "link", "set", "r1", "mtu", str(mtu))
            s.settle()
            before, new = self.stats(), s.n
            s.run(0.3)
            last = s.n - 20
            s.settle()
            large = [n for n in range(new, last) if len(s.sent[n]) > 1400]
            need(len(large) > 3, "nothing was too large")
            for n in range(new, last):
                if len(s.sent[n]) > 1400:
                    need(not s.places.get(n), f"{n} arrived, too large")
                    want = (2, 0, mtu) if n & 1 else (3, 4, mtu)
                    need(s.icmp.get(n) == want, f"{n} answered with {s.icmp.get(n)}, not {want}")
                else:
                    need(s.places.get(n) == ["one"], f"{n}, small, is at {s.places.get(n)}")
            self.fast(before, "smaller MTU", 0.6)
            if self.mode != "kernel":
                d = self.stats() - before
                need(d["kernel mtu"] >= len(large), f"{len(large)} too large, {dict(d)}")
        on("router", "ip", "link", "set", "r1", "mtu", "1500")
        for v6 in (False, True):
            route(v6, "one")
        s.settle()
        new = s.n
        s.run(0.2)
        s.all_at("one", new, s.n - 20)
        s.large = False

    def t_flap(self):
        """The route goes to and fro hundreds of times. Every packet is at one of the two."""
        s = self.s
        before = self.stats()
        toggles = 1000 if os.environ.get("CTB_LONG") else 300
        batch = {v6: subprocess.Popen(["nsenter", "--net=/run/netns/router", "ip", "-6" if v6 else "-4",
                                       "-batch", "-"], stdin=subprocess.PIPE, text=True)
                 for v6 in (False, True)}
        begin = s.n
        for i in range(toggles):
            n = 3 - i % 2
            for v6, p in batch.items():
                net, via = ("fd20::/32", f"fd0{n}::2") if v6 else ("10.20.0.0/16", f"10.{n}.0.2")
                p.stdin.write(f"route replace {net} via {via}\n")
                p.stdin.flush()
            time.sleep(0.01)
        for p in batch.values():
            p.stdin.close()
            need(p.wait() == 0, "ip -batch failed")
        last = s.n
        s.settle()
        got = [s.places.get(n, []) for n in range(begin, last)]
        lost = sum(not g for g in got)
        need(not any(g == ["three"] for g in got), "some arrived at the third host")
        for family in (0, 1):
            seq = [g[0] for g in got[(begin + family) & 1::2] if g]
            turns = sum(a != b for a, b in zip(seq, seq[1:]))
            need(turns > toggles // 4, f"only {turns} turns: nothing was flapping")
        need(lost <= len(got) // 100, f"{lost} of {len(got)} lost")
        print(f"    {len(got)} packets, {toggles} toggles, {lost} lost")
        self.fast(before, "flap")
        for v6 in (False, True):
            route(v6, "one")
        s.settle()

    def run(self, names):
        for name in names:
            began = time.monotonic()
            try:
                getattr(self, "t_" + name)()
                self.s.check()
            except Failed as e:
                print(f"{self.mode}, {name}: {e}")
                if self.s.wrong:
                    print("also:", self.s.wrong[:5])
                return 1
            print(f"    {self.mode}, {name}: ok, {time.monotonic() - began:.1f} s", flush=True)
        self.s.stop = True
        self.s.thread.join()
        print(f"    {self.mode}: {self.s.n} packets, {len(self.s.places)} arrived")
        return 0


mode = sys.argv[1]
sock, names = (None, sys.argv[2:]) if mode == "kernel" else (sys.argv[2], sys.argv[3:])
seed = int(os.environ.get("CTB_SEED") or time.time())
print(f"    CTB_SEED={seed}")
t = Tests(mode, sock, seed)
t.start()
sys.exit(t.run(names))
