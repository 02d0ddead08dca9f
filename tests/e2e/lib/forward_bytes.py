#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""forward_bytes.py [OPTION...] A B: send the corpus through the labs A and B at once and compare what
leaves their routers, byte for byte; with --socket also the counters of the daemon in lab B, class
by class, with what the model (forward_corpus.py) predicts.

Masked where the kernel chooses at random: the IP ID, and so the header checksum, of IPv4 packets
that the router itself makes. Left out: neighbour discovery, and what it makes of multicast groups;
of ARP and neighbour solicitations it only counts who is asked for.

Exit status 1 after any difference."""
import argparse
import collections
import os
import select
import struct
import sys
import time

import forward_corpus as fc
from control import ask
from frames import ICMPV6, UDP, eth, ip6, l4
from slow import SLOW
from wire import Port

CHUNK = 48  # frames under way at once: fewer than any queue of a lab holds
EXTRA = ("fuzz",)  # as many as a quarter of all others together
FRAGMENTS = ("fragments", "fragments_big", "fragment_fields", "fragments_lost", "fuzz")
# Only when asked for.
ALONE = ("no_neighbour", "ecmp", "ecmp_fragments", "ecmp_errors", "policy", "route_mtu")

p = argparse.ArgumentParser()
p.add_argument("--rules", default="addr", choices=fc.RULES)
p.add_argument("--print-rules", action="store_true")
p.add_argument("--socket", help="of the daemon in lab B")
p.add_argument("--no-xdp", action="store_true", help="tc alone forwards")
p.add_argument("--no-xmit", default="", help="sides to which XDP cannot send")
p.add_argument("--rp-filter", type=int, default=0)
p.add_argument("--route-mtu", type=int, default=0, help="the smallest one")
p.add_argument("--all-fall", help="why nothing at all is forwarded")
p.add_argument("--errors-up", default="", help="families (4, 6) whose ICMP errors are the kernel's")
p.add_argument("--conntrack", action="store_true",
               help="both routers put fragments together and cut them anew: none are sent")
p.add_argument("--classes", default="")
p.add_argument("--skip", default="")
p.add_argument("--settle", type=float, default=0.01)
p.add_argument("--seed", default=os.environ.get("CTB_SEED") or str(int(time.time()) & 0xffffff))
p.add_argument("--count", type=int, default=int(os.environ.get("CTB_PACKETS") or 0)
               or (50000 if os.environ.get("CTB_LONG") else 4000))
p.add_argument("--percent", type=int, default=100, help="of that count")
p.add_argument("--each", action="store_true", help="every packet by itself, to see which it is")
p.add_argument("-v", action="store_true")
p.add_argument("labs", nargs="*")
a = p.parse_args()
a.count = a.count * a.percent // 100
if a.print_rules:
    print(fc.text(a.rules), end="")
    sys.exit()

ROUTER4 = {bytes((10, n, 0, 1)) for n in (1, 2, 3, 4)} | {bytes((10, 60, 0, n)) for n in range(256)}
ROUTER_MACS = set(fc.ROUTER_MAC.values())


def canonical(frame):
    """(kind, bytes): kind "" is compared one by one, "nd" as a set; None is not looked at."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[6:12] in ROUTER_MACS and frame[26:30] in ROUTER4:
        return "", frame[:18] + b"\0\0" + frame[20:24] + b"\0\0" + frame[26:]
    if kind == b"\x08\x06" and frame[6:12] in ROUTER_MACS:
        return "nd", frame
    if kind == b"\x86\xdd" and frame[6:12] in ROUTER_MACS and len(frame) > 62:
        if frame[20] == 0 and frame[54] == ICMPV6 and frame[21] == 1:  # MLD
            return None, None
        if frame[20] == ICMPV6 and frame[54] in (133, 134, 136) and frame[21] == 255 and frame[22] == 0xfe:
            return None, None
        if frame[20] == ICMPV6 and frame[54] == 135 and frame[38:40] == b"\xff\x02":
            return "nd", frame[:22] + bytes(16) + frame[38:56] + bytes(2) + frame[58:]
    return "", frame


class Lab:
    def __init__(self, name):
        self.name = name
        self.ports = {s: Port(f"{s}-{name}", fc.DEV[s]) for s in fc.SIDES}
        self.nd = set()  # of the whole run: it is asked for again seconds later
        self.reset()

    def reset(self):
        self.got = collections.Counter()
        self.raw = collections.Counter()  # for what the model expects: nothing masked
        self.sentinels = set()

    def collect(self):
        n = 0
        for side, port in self.ports.items():
            for frame in port.drain():
                n += 1
                if frame[62:66] == b"SENT":
                    self.sentinels.add(frame[66:70])
                    continue
                kind, same = canonical(frame)
                if kind == "nd":
                    self.nd.add((side, same))
                elif kind == "":
                    self.got[side, same] += 1
                    self.raw[side, frame] += 1
        return n


def describe(frame):
    from scapy.all import Ether
    try:
        return Ether(frame).summary() + "\n        " + frame[:96].hex()
    except Exception:  # scapy gives up on some
        return frame[:96].hex()


class Stats:
    """Counters of the daemon as flat dictionaries."""

    def __init__(self, path):
        r = ask(path, {"cmd": "stats"})
        r = r.get("stats", r)
        self.rule = {}
        sides = [(i, x) for i, x in enumerate(r["rules"])] + [("failsafe", r["failsafe"])]
        for i, x in sides:
            for side in ("receive", "xdp", "tc"):
                for d in ("original", "reply", "icmp_error"):
                    self.rule[i, side, d] = x[side][d]["packets"] if side in x else 0
        self.reason = {x["name"]: x["packets"] for x in r["reasons"]}
        self.to_tc = {x["name"]: x["to_tc"]["packets"] for x in r["fallbacks"]}
        self.kernel = {x["name"]: x["kernel"]["packets"] for x in r["fallbacks"]}

    def since(self, old):
        for name in ("rule", "reason", "to_tc", "kernel"):
            mine, theirs = getattr(self, name), getattr(old, name)
            yield name, collections.Counter({k: v - theirs[k] for k, v in mine.items() if v != theirs[k]})


def assign(wanted, seen):
    """Can every set of names in wanted (a Counter) be one of seen, with none left over?"""
    wanted = collections.Counter(wanted)
    seen = collections.Counter(seen)
    for may, n in list(wanted.items()):
        if len(may) == 1:
            name, = may
            seen[name] -= n
            del wanted[may]
    if any(n < 0 for n in seen.values()) or sum(wanted.values()) != sum(seen.values()):
        return False
    # Sets of names are few: push counts along augmenting paths.
    give = collections.defaultdict(collections.Counter)  # name -> Counter of sets

    def place(may, banned):
        for name in may - banned:
            if sum(give[name].values()) < seen[name]:
                give[name][may] += 1
                return True
        for name in may - banned:
            for other in list(give[name]):
                if give[name][other] and other != may and place(other, banned | {name}):
                    give[name][other] -= 1
                    give[name][may] += 1
                    return True
        return False

    return all(place(may, frozenset()) for may, n in wanted.items() for _ in range(n))


class Run:
    def __init__(self):
        self.labs = [Lab(x) for x in a.labs]
        self.model = fc.Model(a.rules, not a.no_xdp, a.rp_filter, a.no_xmit.split(","),
                              all_fall=a.all_fall, route_mtu=a.route_mtu,
                              errors_up=tuple(int(x) for x in a.errors_up))
        self.n = 0
        self.bad = 0
        self.totals = collections.Counter()
        self.started = time.monotonic()

    def complain(self, cls, what):
        self.bad += 1
        if self.bad <= 12:
            print(f"{cls}: {what}", flush=True)

    def sentinel(self):
        """A frame behind all others: when it is through, so are they, or nearly."""
        self.n += 1
        mark = struct.pack("!I", self.n)
        src, dst, sport, dport = "fd10::9", "fd20::9", 1001, 1001
        payload = l4(src, dst, UDP, sport, dport, b"SENT" + mark)
        frame = eth(fc.ROUTER_MAC["client"], fc.HOST_MAC["client"], 0x86dd, ip6(src, dst, UDP, payload))
        for lab in self.labs:
            lab.ports["client"].send(frame)
        end = time.monotonic() + 5 * SLOW
        while not all(mark in lab.sentinels for lab in self.labs):
            if time.monotonic() > end:
                late = [lab.name for lab in self.labs if mark not in lab.sentinels]
                sys.exit(f"nothing gets through in lab {late}")
            select.select([p for lab in self.labs for p in lab.ports.values()], [], [], 0.1)
            for lab in self.labs:
                lab.collect()
        flow = (UDP, src, dst, sport, dport)
        return fc.Packet(seq=-1, cls="sentinel", side="client", frame=frame, flow=flow, outer=flow,
                         out="wide", v6=True, length=len(frame) - 14, proto=UDP)

    def settle(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.002)
            if sum(lab.collect() for lab in self.labs):
                end = max(end, time.monotonic() + seconds / 2)

    def batch(self, cls, packets):
        """Through both labs; what arrived is in the labs. Returns all packets sent."""
        for lab in self.labs:
            lab.reset()
        sent = []
        for i in range(0, len(packets), CHUNK):
            for q in packets[i:i + CHUNK]:
                for lab in self.labs:
                    lab.ports[q.side].send(q.frame)
                sent.append(q)
            sent.append(self.sentinel())
        self.settle(4.5 if cls == "no_neighbour" else a.settle)
        if self.labs[0].got != self.labs[1].got:
            self.settle(0.5)  # somebody is late
        for lab in self.labs:
            for side, port in lab.ports.items():
                if port.lost():
                    sys.exit(f"lab {lab.name}: the capture at {side} lost frames")
        return sent

    def culprit(self, packets, frame):
        """The packet that this frame is, or quotes."""
        body = frame[14:]
        for q in packets:
            mark = q.frame[14 + (40 if q.v6 else 20):][:16]
            if len(mark) >= 8 and mark in body:
                return q
        return None

    def compare(self, cls, packets):
        one, two = self.labs
        for here, there, lab in (one, two, two), (two, one, one):
            for (side, frame), n in (here.got - there.got).items():
                q = self.culprit(packets, frame)
                self.complain(cls, f"lab {lab.name} lacks {n} at {side}: {describe(frame)}" +
                              (f"\n    packet {q.seq} from {q.side}, faults {sorted(q.faults)}: "
                               f"{describe(q.frame)}" if q else ""))

    def counters(self, cls, sent, before, after):
        delta = dict(after.since(before))
        rules = self.model.rules
        index = {}
        for r in rules:
            index[r] = "failsafe" if r.failsafe else len([x for x in index.values() if x != "failsafe"])
        want_rule, reasons, to_tc, kernel = (collections.Counter() for _ in range(4))
        forwards = by_tc = 0
        for q in sent:
            v = self.model.predict(q)
            if v.where == "reason":
                reasons[v.may] += 1
                if "other-host" in v.may and self.model.xdp:
                    # XDP is asked first, and sees another address than its own.
                    faults, q.faults = q.faults, q.faults - {"other-host"}
                    w = self.model.predict(q)
                    q.faults = faults
                    if w.where == "forward" or (w.where == "fallback" and not w.silent):
                        to_tc[frozenset(("mac",))] += 1
                continue
            want_rule[index[v.rule], v.dir] += 1
            if v.where == "forward":
                forwards += 1
                if v.by_tc and self.model.xdp:
                    by_tc += 1
                    to_tc[v.may] += 1
            elif v.where == "fallback":
                kernel[v.may] += 1
                if self.model.xdp and not v.silent:
                    to_tc[v.may] += 1
        got_rule = collections.Counter()
        xdp = tc = 0
        for (i, side, d), n in delta["rule"].items():
            if side == "receive":
                got_rule[i, d] += n
            elif side == "xdp":
                xdp += n
            else:
                tc += n
        refresh = delta["to_tc"].pop("refresh", 0)
        wanted_tc = by_tc + refresh if self.model.xdp else forwards
        for what, got, wanted in (("rules", got_rule, want_rule), ("forwarded by tc", tc, wanted_tc),
                                  ("forwarded by XDP", xdp, forwards - wanted_tc)):
            if got != wanted:
                self.complain(cls, f"{what}: counted {got}, wanted {wanted}")
        for what, got, wanted in (("reasons", delta["reason"], reasons), ("to tc", delta["to_tc"], to_tc),
                                  ("to the kernel", delta["kernel"], kernel)):
            if not assign(wanted, got):
                show = {"|".join(sorted(k)): n for k, n in wanted.items()}
                self.complain(cls, f"{what}: counted {dict(got)}, wanted {show}")
        self.totals["xdp"] += xdp
        self.totals["tc"] += tc
        self.totals["refresh"] += refresh
        self.totals["kernel"] += sum(delta["kernel"].values())
        self.totals["unjudged"] += sum(delta["reason"].values())
        return f"xdp {xdp} tc {tc} kernel {dict(delta['kernel'])} reasons {dict(delta['reason'])}"

    def expectations(self, cls, sent):
        """Who is said to be forwarded is so by both, in exactly those bytes."""
        want = collections.Counter()
        for q in sent:
            v = self.model.predict(q)
            if v.where == "forward" and not v.may - {"no-xdp-out", "partial-checksum"} and \
                    q.seq >= 0 and q.out in fc.SIDES:
                want[q.out, q.expected()] += 1
        for lab in self.labs:
            for (side, frame), n in (want - lab.raw).items():
                self.complain(cls, f"lab {lab.name} does not forward {n} to {side}: {describe(frame)}")
        self.totals["forwarded"] += sum(want.values())
        if cls.startswith("ecmp"):
            legs = collections.Counter(side for side, _ in self.labs[0].got.elements())
            if legs["wide"] < 10 or legs["mid"] < 10:
                self.complain(cls, f"not spread: {dict(legs)}")

    def run_class(self, cls, packets):
        known = [q for q in packets if not q.unknown]
        unknown = [q for q in packets if q.unknown]
        for group, predicted in (known, True), (unknown, False):
            if not group:
                continue
            before = Stats(a.socket) if a.socket else None
            sent = self.batch(cls, group)
            self.compare(cls, group)
            self.totals["packets"] += len(group)
            self.totals["arrived"] += sum(self.labs[1].got.values())
            note = ""
            if predicted:
                self.expectations(cls, sent)
                if a.socket:
                    note = self.counters(cls, sent, before, Stats(a.socket))
            if a.v:
                print(f"{cls}: {len(group)} sent, {sum(self.labs[1].got.values())} came out; {note}", flush=True)

    def run(self):
        corpus = fc.Corpus(a.seed)
        skip = (*ALONE, *a.skip.split(","), *(FRAGMENTS if a.conntrack else ()))
        names = a.classes.split(",") if a.classes else \
            [c for c in corpus.classes() if c not in skip]
        print(f"seed {a.seed}", flush=True)
        for lab in self.labs:
            lab.collect()
        plain = [n for n in names if n not in EXTRA]
        for cls in names:
            n = a.count // 4 if cls in EXTRA else a.count // len(plain)
            packets = corpus.packets(cls, max(1, n))
            for group in [[q] for q in packets] if a.each else [packets]:
                bad = self.bad
                self.run_class(cls, group)
                if a.each and self.bad > bad:
                    print(f"    {sorted(group[0].faults)} from {group[0].side}: {describe(group[0].frame)}")
        if a.socket and self.model.xdp:
            elapsed = time.monotonic() - self.started
            if self.totals["refresh"] > 8 * (elapsed / 4 + 2):
                self.complain("all", f"{self.totals['refresh']} refreshs in {elapsed:.1f} s")
        for side, frame in self.labs[0].nd ^ self.labs[1].nd:
            self.complain("all", f"asked for in one lab only, at {side}: {describe(frame)}")
        print(", ".join(f"{k} {v}" for k, v in self.totals.items()))
        if self.bad:
            print(f"{self.bad} differences; again with CTB_SEED={a.seed}")
        return 1 if self.bad else 0


sys.exit(Run().run())
