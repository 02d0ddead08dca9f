#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""segments.py record|compare [OPTION...] TABLE FILE: packets from every segment around a router to
every other one, made and taken on the cables, tags and all.

record: what the kernel's own forwarding makes of them, into FILE; it has to be what the model here
says. compare: the same packets again, with ctbypass on the router: the same frames have to come out
of the same cables, and its counters have to say of each packet that it went the way that the model
predicts.

TABLE has a line for each segment (the router is 10.N.0.1 and fdN::1 there, the only host .2):

    NAME N DEVICE CABLE TAGS MTU ROUTER_MAC HOST_MAC IN OUT

DEVICE is the router's; CABLE is HOST:IF of the far end; TAGS are - or the frame's tags from the
outermost on (q10 802.1Q, a100 802.1ad). IN: what becomes of the packets that arrive: xdp, tc, or the
reason why the kernel gets them, or "unseen" (the kernel forwards and no rule counts), or "lost"
(nobody forwards or counts). OUT: how packets are sent there: xdp, tc or none. A line "via NAME
HOST:IF" adds that what is sent from that segment is put on this device of the host, which tags it,
instead of on the cable with its tag.

Exit status 1 after any difference."""
import argparse
import collections
import json
import select
import struct
import sys
import time

from control import ask
from frames import (DF, FRAGMENT, ICMP, ICMPV6, MF, TCP, UDP, eth, forwarded, icmp_error, ip4, ip6, l4,
                    mac)
from slow import SLOW
from wire import Namespace, Port, socket

MARK = b"segments"  # in all that is sent, quoted or not: the rest is noise
TPID = {"q": 0x8100, "a": 0x88a8}
CHUNK = 32  # frames under way at once: fewer than any queue holds

p = argparse.ArgumentParser()
p.add_argument("what", choices=("record", "compare"))
p.add_argument("--socket")
p.add_argument("--strict", action="store_true", help="rp_filter is 1 everywhere")
p.add_argument("--only", default="", help="segments that send, comma-separated; default: all")
p.add_argument("--kinds", default="")
p.add_argument("table")
p.add_argument("file")
a = p.parse_args()


class Segment:
    def __init__(self, words):
        self.name, self.n, self.dev, self.cable, tags, mtu, rmac, hmac, self.path_in, self.path_out = words
        self.tags = [] if tags == "-" else [(TPID[t[0]], int(t[1:])) for t in tags.split(",")]
        self.mtu, self.rmac, self.hmac = int(mtu), mac(rmac), mac(hmac)
        self.via = None

    def address(self, v6, last):
        return f"fd{self.n}::{last}" if v6 else f"10.{self.n}.0.{last}"


class Out:
    """A device that frames are put on; nothing is read there."""

    def __init__(self, where):
        ns, dev = where.split(":")
        with Namespace(ns):
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.s.bind((dev, 0))

    def send(self, frame):
        self.s.send(frame)


def tagged(frame, tags, pcp=0):
    for tpid, vid in reversed(tags):
        frame = frame[:12] + struct.pack("!HH", tpid, pcp << 13 | vid) + frame[12:]
    return frame


def pad(frame):
    return frame + b"\xa5" * (60 - len(frame))


Case = collections.namedtuple("Case", "group port frame path out")


def packet(v6, src, dst, kind, ident, full=1500):
    """IP packets of one kind from one host to another; lists, for fragments. full: the size of the
    largest."""
    data = MARK + struct.pack("!I", ident)
    icmp = ICMPV6 if v6 else ICMP

    def ip(proto, payload, ttl=64, tos=0, frag=DF):
        if v6:
            return ip6(src, dst, proto, payload, hlim=ttl, tclass=tos)
        return ip4(src, dst, proto, payload, ttl=ttl, tos=tos, ident=ident, frag=frag)

    def udp(size=0, **how):
        fill = data + bytes(max(0, size - len(data) - 8 - (40 if v6 else 20)))
        return ip(UDP, l4(src, dst, UDP, 40000, 7000, fill), **how)

    if kind in ("udp", "spoofed"):
        return [udp()]
    if kind == "tcp":
        return [ip(TCP, l4(src, dst, TCP, 40001, 7001, data, seq=ident))]
    if kind == "echo":
        return [ip(icmp, l4(src, dst, icmp, 7, ident & 0xffff, data))]
    if kind == "full":
        return [udp(full)]
    if kind == "cut":  # may be fragmented on the way
        return [] if v6 else [udp(full, frag=0)]
    if kind == "ttl":
        return [udp(ttl=1), udp(ttl=2)]
    if kind == "priority":
        return [udp(tos=0xb8)]
    if kind == "error":
        quoted = (ip6 if v6 else ip4)(dst, src, UDP, l4(dst, src, UDP, 7000, 40000, data))
        return [ip(icmp, icmp_error(src, dst, v6, *((1, 4) if v6 else (3, 3)), 0, quoted))]
    if kind == "fragments":
        whole = l4(src, dst, UDP, 40000, 7000, data + bytes(1600) + data)
        parts = (0, whole[:1024]), (1024, whole[1024:])
        if v6:
            return [ip(FRAGMENT, struct.pack("!BBHI", UDP, 0, at | (at == 0), ident) + part)
                    for at, part in parts]
        return [ip(UDP, part, frag=at // 8 | (MF if at == 0 else 0)) for at, part in parts]
    raise ValueError(kind)


KINDS = "udp", "tcp", "echo", "full", "cut", "ttl", "priority", "error", "fragments", "spoofed"


def path(src, dst, kind, pkt, v6):
    """xdp, tc, unseen, lost, or the reason why the kernel gets it."""
    if src.path_in not in ("xdp", "tc"):
        return src.path_in
    if pkt[7 if v6 else 8] == 1:
        return "ttl"
    if a.strict and kind == "spoofed" and not v6:
        return "rp-filter"
    longest = src.mtu if kind == "fragments" else len(pkt)
    if longest > dst.mtu:
        return "mtu"
    if src.dev == dst.dev:
        return "same-device"
    if dst.path_out == "none":
        return "egress"
    return "xdp" if src.path_in == dst.path_out == "xdp" else "tc"


def near_misses(segments, ident):
    """What looks like a segment's packet and is none: (group, segment, frame, path)."""
    for src in segments:
        dst = next(s for s in segments if s.cable != src.cable)
        for v6 in False, True:
            ident += 1
            pkt, = packet(v6, src.address(v6, 2), dst.address(v6, 2), "udp", ident)
            kind = 0x86dd if v6 else 0x0800
            plain = eth(src.rmac, src.hmac, kind, pkt)
            # Somebody else's MAC address: no rule has a say.
            yield "other-host", src, tagged(src.hmac + plain[6:], src.tags), "unseen"
            if src.tags or src.path_in not in ("xdp", "tc"):
                continue
            # A tag that no device stands for: forward rules fit it, and the kernel drops it.
            if not any(s.cable == src.cable and s.tags == [(0x8100, 99)] for s in segments):
                yield "no-vlan-device", src, tagged(plain, [(0x8100, 99)]), "vlan"
            yield "no-vlan-device", src, tagged(plain, [(0x88a8, 98)]), "vlan"
            # Priority tag: the kernel takes it off and forwards.
            yield "priority-tag", src, tagged(plain, [(0x8100, 0)], 6), "vlan"
            for s in segments:
                if s.cable != src.cable or len(s.tags) != 1:
                    continue
                # Its number under another kind of tag than its own, and a second tag below its own.
                tpid, vid = s.tags[0]
                wrong = tpid ^ 0x8100 ^ 0x88a8, vid
                if not any(x.cable == s.cable and x.tags[:1] == [wrong] for x in segments):
                    yield "wrong-tag", src, tagged(plain, [wrong]), "unseen"
                yield "second-tag", src, tagged(eth(s.rmac, s.hmac, kind, pkt),
                                                [*s.tags, (0x8100, 97)]), "vlan"


def all_cases(segments):
    """(segment, Case), always the same ones in the same order."""
    ident = 0
    for kind in KINDS:
        for src in segments:
            for dst in segments:
                for v6 in False, True:
                    ident += 1
                    # A veth takes one tag more than its MTU has room for.
                    source = src
                    if kind == "spoofed":  # its neighbour's address
                        source = next((s for s in segments if s.cable == src.cable and s is not src), src)
                        if source is src:
                            continue
                    for pkt in packet(v6, source.address(v6, 2), dst.address(v6, 2), kind, ident,
                                      1500 - 4 * max(0, len(src.tags) - 1)):
                        frame = eth(src.rmac, src.hmac, 0x86dd if v6 else 0x0800, pkt)
                        where = path(src, dst, kind, pkt, v6)
                        out = None
                        if where not in ("ttl", "mtu", "rp-filter", "lost"):
                            out = dst.cable, tagged(forwarded(frame, dst.rmac, dst.hmac), dst.tags)
                        if src.via:
                            port, frame = src.via, pad(frame)
                        else:
                            pcp = 5 if kind == "priority" else 0
                            port, frame = src.cable, pad(tagged(frame, src.tags, pcp))
                        yield src, Case(kind, port, frame, where, out)
    for group, src, frame, where in near_misses(segments, ident):
        yield src, Case(group, src.cable, pad(frame), where, None)


def cases(segments):
    only, kinds = a.only and a.only.split(","), a.kinds and a.kinds.split(",")
    for src, c in all_cases(segments):
        if (not only or src.name in only) and (not kinds or c.group in kinds):
            yield c


def number(frame):
    at = frame.rindex(MARK) + len(MARK)
    return frame[at:at + 4]


def masked(frame):
    """Without what the kernel chooses at random in packets of its own; None: noise."""
    if MARK not in frame:
        return None
    l3 = 14
    while frame[l3 - 2:l3] in (b"\x81\x00", b"\x88\xa8"):
        l3 += 4
    if frame[l3 - 2:l3] == b"\x08\x00" and frame[l3 + 9] == ICMP and frame[l3 + 15] == 1:
        return frame[:l3 + 4] + b"\0\0" + frame[l3 + 6:l3 + 10] + b"\0\0" + frame[l3 + 12:]
    # Redirects are sent or not for reasons of their own.
    if frame[l3 - 2:l3] == b"\x86\xdd" and frame[l3 + 6] == ICMPV6 and frame[l3 + 40] == 137:
        return None
    return frame


class Counters:
    def __init__(self):
        r = ask(a.socket, {"cmd": "stats"})
        total = {side: sum(rule[side][d]["packets"] for d in ("original", "reply", "icmp_error")
                           for rule in r["rules"] if rule["action"] == "forward")
                 for side in ("receive", "xdp", "tc")}
        self.now = collections.Counter(
            {"xdp": total["xdp"], "tc": total["tc"],
             "kernel": total["receive"] - total["xdp"] - total["tc"]})
        for f in r["fallbacks"]:
            self.now["kernel " + f["name"]] = f["kernel"]["packets"]
            self.now["to_tc " + f["name"]] = f["to_tc"]["packets"]

    def since(self, before):
        return collections.Counter({k: v - before.now[k] for k, v in self.now.items() if v != before.now[k]})


def table():
    segments, via = [], {}
    with open(a.table) as f:
        for line in f:
            words = line.split()
            if words[:1] == ["via"]:
                via[words[1]] = words[2]
            elif words:
                segments.append(Segment(words))
    for s in segments:
        s.via = via.get(s.name)
    return segments


def show(frame):
    return f"{len(frame)} bytes {frame[:80].hex()}"


def run(segments, expected):
    """Counter of (group, cable, frame) and the counters by group."""
    cables = {c: Port(*c.split(":")) for c in sorted({s.cable for s in segments})}
    outs = {}
    groups = collections.OrderedDict()
    for c in cases(segments):
        groups.setdefault(c.group, []).append(c)
    got, counts = collections.Counter(), {}

    arrived = collections.Counter()  # of this chunk, by number

    def drain(group):
        n = 0
        for cable, port in cables.items():
            for frame in port.drain():
                frame = masked(frame)
                if frame is not None:
                    got[group, cable, frame] += 1
                    arrived[number(frame)] += 1
                    n += 1
        return n

    def quiet(group, seconds, enough=lambda: False):
        end = time.monotonic() + seconds
        while not enough() and (left := end - time.monotonic()) > 0:
            if select.select(cables.values(), [], [], left)[0] and drain(group):
                end = time.monotonic() + seconds

    for group, members in groups.items():
        before = Counters() if a.socket else None
        wanted = None if expected is None else sum(n for (g, _, _), n in expected.items() if g == group)
        of_number = collections.Counter()
        for (g, _, frame), n in (expected or {}).items():
            if g == group:
                of_number[number(frame)] += n
        for at in range(0, len(members), CHUNK):
            arrived.clear()
            numbers = {number(c.frame) for c in members[at:at + CHUNK]}
            for c in members[at:at + CHUNK]:
                if c.port not in outs:
                    outs[c.port] = Out(c.port)
                outs[c.port].send(c.frame)
            # Where it is not known what each becomes, until nothing more comes.
            if all(of_number[n] for n in numbers):
                quiet(group, 0.02 * SLOW, lambda: all(arrived[n] >= of_number[n] for n in numbers))
            else:
                quiet(group, 0.02 * SLOW)
        end = time.monotonic() + SLOW
        while wanted is not None and time.monotonic() < end and wanted > sum(
                n for (g, _, _), n in got.items() if g == group):
            quiet(group, 0.02 * SLOW)
        quiet(group, 0.05 * SLOW)
        if before:
            counts[group] = Counters().since(before)
    for cable, port in cables.items():
        if port.lost():
            sys.exit(f"the capture at {cable} lost frames")
    return groups, got, counts


def differences(wanted, got, what):
    bad = 0
    for key in sorted(wanted.keys() | got.keys()):
        if wanted[key] != got[key]:
            bad += 1
            if bad <= 6:
                group, cable, frame = key
                print(f"{what}: {group}: {got[key]} instead of {wanted[key]} at {cable}: {show(frame)}")
    return bad


def check_counts(group, members, d):
    """Refreshes of neighbours take a few packets from XDP to tc."""
    paths = collections.Counter(c.path for c in members if c.path not in ("unseen", "lost"))
    refresh = d.pop("to_tc refresh", 0)
    want = collections.Counter({"xdp": paths.pop("xdp", 0) - refresh, "tc": paths.pop("tc", 0) + refresh})
    want["kernel"] = sum(paths.values())
    for reason, n in paths.items():
        want["kernel " + reason] = n
    want = {k: v for k, v in want.items() if v}
    have = {k: v for k, v in d.items() if v and not k.startswith("to_tc ")}
    if want != have:
        print(f"counters: {group}: got {have}, wanted {want}; handed over: "
              f"{ {k: v for k, v in d.items() if k.startswith('to_tc ')} }")
        return 1
    return 0


def main():
    segments = table()
    if a.what == "record":
        groups, got, _ = run(segments, None)
        model, measured = collections.Counter(), collections.Counter()
        for group, members in groups.items():
            for c in members:
                if c.out:
                    model[(group, *c.out)] += 1
        for key, n in got.items():
            if key in model:
                measured[key] = n
        bad = differences(model, measured, "the kernel and the model")
        with open(a.file, "w") as f:
            json.dump([[g, c, frame.hex(), n] for (g, c, frame), n in sorted(got.items())], f)
        print(f"recorded {sum(got.values())} frames for {sum(map(len, groups.values()))} packets")
        sys.exit(bool(bad))
    with open(a.file) as f:
        wanted = collections.Counter({(g, c, bytes.fromhex(x)): n for g, c, x, n in json.load(f)})
    sent = {(c.group, number(c.frame)) for c in cases(segments)}
    # A router with conntrack puts fragments together and cuts them again with other IDs.
    sent -= {(c.group, number(c.frame)) for c in cases(segments)
             if c.group == "fragments" and c.path not in ("xdp", "tc")}

    def compared(frames):
        return collections.Counter({k: n for k, n in frames.items() if (k[0], number(k[2])) in sent})

    wanted = compared(wanted)
    groups, got, counts = run(segments, wanted)
    got = compared(got)
    bad = differences(wanted, got, "the kernel and ctbypass")
    paths = collections.Counter()
    for group, members in groups.items():
        paths.update(c.path for c in members)
        if a.socket:
            bad += check_counts(group, members, counts[group])
    print(f"{sum(map(len, groups.values()))} packets: "
          f"{', '.join(f'{n} {k}' for k, n in sorted(paths.items()))}")
    sys.exit(bool(bad))


main()
