# SPDX-License-Identifier: GPL-2.0-only
"""Packets for a router, and what `forward` rules must make of each: a model that knows nothing of
the program. Every packet is made good first and then given faults on purpose, so the model never
parses anything: it knows what it broke.

The network of 40_forward_bytes.sh, from the router (r*) to hosts that only listen and inject:

    c0 client 10.1.0.2, behind it 10.10/16        r0  MTU 1500
    s0 wide   10.2.0.2, behind it 10.20/16        r1  MTU 1500
    m0 mid    10.3.0.2, behind it 10.30/16        r2  MTU 1400
    t0 tiny   10.4.0.2, behind it 10.40/16        r3  MTU 1280

IPv6 likewise: fd01::2, behind it fd10::/32, and so on. Special prefixes: see SPECIAL."""
import random
import socket
import struct

from frames import (AH, DCCP, DF, DSTOPTS, ESP, FRAGMENT, GRE, HOPOPTS, ICMP, ICMPV6, MF, NONE,
                    PORTS, ROUTING, SCTP, TCP, UDP, UDPLITE, addr, checksum, eth, forwarded,
                    icmp_error, ip4, ip6, l4, looks_partial, mac, pseudo)

SIDES = ("client", "wide", "mid", "tiny")
DEV = {"client": "c0", "wide": "s0", "mid": "m0", "tiny": "t0"}
NUMBER = {"client": 1, "wide": 2, "mid": 3, "tiny": 4}
MTU = {"client": 1500, "wide": 1500, "mid": 1400, "tiny": 1280}
HOST_MAC = {s: mac(f"02:00:00:00:01:0{n}") for s, n in NUMBER.items()}
ROUTER_MAC = {s: mac(f"02:00:00:00:00:0{n}") for s, n in NUMBER.items()}
NAMES = {TCP: "tcp", UDP: "udp", UDPLITE: "udplite", SCTP: "sctp", DCCP: "dccp", ICMP: "icmp",
         ICMPV6: "icmpv6", GRE: "gre", ESP: "esp"}
# Destination prefixes with routes of their own; what comes of them, by family.
SPECIAL = {
    "unreachable": ("10.50.0.", "fd50:0::"),
    "prohibit": ("10.50.1.", "fd50:1::"),
    "blackhole": ("10.50.2.", "fd50:2::"),
    "throw": ("10.50.3.", "fd50:3::"),
    "no-route": ("172.16.0.", "fdff::"),
    "anyip": ("10.60.0.", "fd60::"),  # a local route
    "mtu-route": ("10.21.0.", "fd21::"),  # by wide, mtu 1350
    "lwt": (None, "fd80::"),
    "tos-route": ("10.22.0.", None),  # by wide; with TOS 0x10 by mid
}
ROUTE_MTU = 1350


class Packet:
    """faults: names of what is wrong with it, of FALLBACKS or REASONS; flow: (protocol, source,
    destination, source port, destination port) that the rules judge it by; out: side by which the
    kernel would send it, were nothing wrong."""
    __slots__ = ("seq", "cls", "side", "frame", "faults", "flow", "out", "error", "fragment",
                 "length", "partial", "v6", "unknown", "proto", "outer")

    def __init__(self, **kw):
        self.faults = frozenset()
        self.error = self.partial = self.unknown = False
        self.fragment = None  # "first", "later"
        self.out = None
        for k, v in kw.items():
            setattr(self, k, v)

    def expected(self):
        """The frame that leaves, if it is forwarded as it should."""
        return forwarded(self.frame, ROUTER_MAC[self.out], HOST_MAC[self.out])


def is_local(a):
    """What the router would deliver to itself (`local` of the rules)."""
    if ":" in a:
        p = addr(a)
        if p[0] == 0xff or a == "::1" or a.startswith(SPECIAL["anyip"][1][:5]):
            return True
        return p[0:1] == b"\xfd" and p[1] in (1, 2, 3, 4) and p[2:15] == bytes(13) and p[15] in (0, 1)
    b = tuple(addr(a))
    if b[0] == 127 or b[0] >> 4 == 14 or a == "255.255.255.255":
        return True
    if b[:3] == (10, 60, 0):
        return True
    return b[0] == 10 and b[1] in (1, 2, 3, 4) and b[2] == 0 and b[3] in (1, 255)


class Rule:
    """One statement. src, dst: None, "local", "!local" or a tuple of prefix texts that an address
    in the corpus can start with."""

    def __init__(self, text, action, protos=None, sport=None, dport=None, port=None, src=None,
                 dst=None, failsafe=False):
        self.text, self.action, self.protos, self.failsafe = text, action, protos, failsafe
        self.sport, self.dport, self.port, self.src, self.dst = sport, dport, port, src, dst
        self.ports = bool(sport or dport or port)
        self.symmetric = src == dst and not sport and not dport and not port

    @staticmethod
    def addr_fits(want, a):
        if want is None:
            return True
        if want == "!local":
            return not is_local(a)
        return a.startswith(want)

    def fits_as(self, flow, reply):
        """ports None in flow: not known, any may fit."""
        proto, src, dst, sport, dport = flow
        if self.protos is not None and proto not in self.protos:
            return False
        if reply:
            src, dst, sport, dport = dst, src, dport, sport
        if not (self.addr_fits(self.src, src) and self.addr_fits(self.dst, dst)):
            return False
        if self.ports and proto not in PORTS:
            return False
        if self.ports and sport is None:
            return True
        if self.port and dport not in self.port:  # its other end: travels as a reply
            return False
        return (not self.sport or sport in self.sport) and (not self.dport or dport in self.dport)

    def fits(self, flow):
        """None, "original" or "reply"."""
        if self.fits_as(flow, False):
            return "original"
        if not self.symmetric and self.fits_as(flow, True):
            return "reply"
        return None


SSH = Rule("", "track", (TCP,), dport=(22,), failsafe=True)
# Name of a rule set: (statements before the rules, rules). See text().
RULES = {
    "addr": ("failsafe { }", [
        Rule("forward saddr !local daddr !local", "forward", src="!local", dst="!local")]),
    # Names destinations, among them some of the router's own; exceptions in front.
    "prefix": ("failsafe { }", [
        Rule("track udp dport 1500 daddr 10.20.0.0/16", "track", (UDP,), dport=(1500,),
             dst=("10.20.",)),
        Rule("notrack daddr 10.30.200.0/24", "notrack", dst=("10.30.200.",)),
        Rule("forward daddr { 10.20.0.0/16, 10.30.0.0/16, 10.40.0.0/16, 10.50.0.0/16, 10.60.0.0/16, "
             "10.21.0.0/16, 10.22.0.0/16, 10.2.0.0/16, 172.16.0.0/16, fd20::/16, fd30::/16, "
             "fd40::/16, fd50::/16, fd60::/16, fd21::/16, fd02::/16, fdff::/16 }", "forward",
             dst=("10.20.", "10.30.", "10.40.", "10.50.", "10.60.", "10.21.", "10.22.", "10.2.",
                  "172.16.", "fd20:", "fd30:", "fd40:", "fd50:", "fd60:", "fd21:", "fd02:", "fdff:"))]),
    "ports": ("failsafe { tcp 22 }", [
        SSH,
        Rule("track udp dport 1500", "track", (UDP,), dport=(1500,)),
        Rule("forward udp dport 1000-1999", "forward", (UDP,), dport=range(1000, 2000)),
        Rule("forward tcp port { 80, 443 }", "forward", (TCP,), port=(80, 443)),
        Rule("forward { udplite, sctp } sport 1024-65535 dport 53", "forward", (UDPLITE, SCTP),
             sport=range(1024, 65536), dport=(53,)),
        Rule("forward { icmp, icmpv6 } saddr !local", "forward", (ICMP, ICMPV6), src="!local"),
        Rule("notrack { esp, gre }", "notrack", (ESP, GRE))]),
}


def text(rules):
    head, body = RULES[rules]
    return "\n".join([head] + [r.text for r in body if r.text]) + "\n"


class Verdict:
    """What the counters must say of one packet. where: "reason" (left alone, name in may), "rule"
    (track, notrack), "forward" (may: empty) or "fallback" (may: the names it can be counted by)."""
    __slots__ = ("where", "rule", "dir", "may", "silent", "by_tc")

    def __init__(self, where, may=(), rule=None, dir=None, silent=False, by_tc=False):
        self.where, self.may, self.rule, self.dir = where, frozenset(may), rule, dir
        self.silent = silent  # XDP does not count it
        self.by_tc = by_tc  # XDP leaves it to tc, which forwards it


# Of REASONS, those a fault of that name leads to.
PARSE_FAULTS = ("not-ip", "other-host", "later-fragment", "bad-link", "bad-ipv4", "bad-ipv6", "bad-l4",
                "ext-headers", "bad-quote", "redirect")
# IPv6 has one answer for what has no route and what must not have one.
V6_NO_ROUTE = {"unreachable", "prohibit", "blackhole", "no-route"}


class Model:
    """rp_filter: 0, 1, 2 on all devices; xdp: XDP is attached everywhere; no_xmit: sides whose
    device takes no XDP frames."""

    def __init__(self, rules, xdp=True, rp_filter=0, no_xmit=(), partial=True, all_fall=None,
                 errors_up=(), route_mtu=0):
        self.rules, self.xdp, self.rp_filter = RULES[rules][1], xdp, rp_filter
        self.route_mtu = route_mtu  # the smallest that any route names: the limit for all packets
        self.errors_up = errors_up  # families (4, 6) whose ICMP errors are the kernel's
        self.no_xmit, self.partial, self.all_fall = no_xmit, partial, all_fall

    def find(self, flow):
        for r in self.rules:
            d = r.fits(flow)
            if d:
                return r, d
        return None, None

    def predict(self, p):
        if p.unknown:
            return None
        parse = [f for f in p.faults if f in PARSE_FAULTS]
        if parse:
            # A frame for another host: XDP sees it first, and says so, if the rest is fine.
            return Verdict("reason", parse)
        if p.fragment:
            return self.predict_fragment(p)
        r, d = self.find(p.flow)
        if not r:
            return Verdict("reason", ["no-match"])
        if p.error:
            d = "icmp_error"
        if r.action != "forward":
            return Verdict("rule", rule=r, dir=d)
        if is_local(p.flow[1]) or is_local(p.flow[2]):
            return Verdict("fallback", ["local"], r, d, silent=True)
        return self.route(p, r, d)

    def predict_fragment(self, p):
        """All of a datagram go one way: by what is known of each."""
        proto, src, dst, _, _ = p.outer
        r, d = self.find((proto, src, dst, None, None))
        if r and r.action == "forward" and not r.ports and not is_local(src) and not is_local(dst):
            return self.route(p, r, d)
        if p.fragment == "later":
            return Verdict("reason", ["later-fragment"])
        r, d = self.find(p.flow)
        if not r:
            return Verdict("reason", ["no-match"])
        if p.error:
            d = "icmp_error"
        if r.action != "forward":
            return Verdict("rule", rule=r, dir=d)
        may = ["local" if is_local(p.flow[1]) or is_local(p.flow[2]) else "fragment"]
        return Verdict("fallback", may, r, d, silent=True)

    def route(self, p, r, d):
        may = set()
        for f in p.faults:
            if f == "rp-side":  # would be answered by another device
                if self.rp_filter == 1 and not p.v6:
                    may.add("rp-filter")
            elif f == "rp-none":  # could not be answered at all
                if self.rp_filter and not p.v6:
                    may.add("rp-filter")
            else:
                may.add(f)
        if p.error and not p.v6 and "rp-none" in p.faults:
            may.add("rp-filter")
        if self.route_mtu and self.route_mtu < (MTU[p.side] if p.fragment else p.length):
            may.add("mtu")
        if p.error and (6 if p.v6 else 4) in self.errors_up and not p.fragment:
            may.add("ecmp-error")
        if self.all_fall:
            may.add(self.all_fall)
        if p.v6 and may & V6_NO_ROUTE:
            may |= V6_NO_ROUTE
        if may == {"no-neighbour"}:  # tc starts the resolution
            return Verdict("forward", may, r, d, by_tc=True)
        if may:
            return Verdict("fallback", may, r, d, silent="vlan" in may)
        if self.xdp and p.out in self.no_xmit:
            return Verdict("forward", ["no-xdp-out"], r, d, by_tc=True)
        if self.xdp and self.partial and p.partial:
            return Verdict("forward", ["partial-checksum"], r, d, by_tc=True)
        return Verdict("forward", (), r, d)


class Corpus:
    """Classes of packets, each a generator method c_NAME; packets() gives about count of one."""

    def __init__(self, seed):
        self.seed = seed
        self.seq = 0
        self.out = []
        self.rng = random.Random(seed)

    def classes(self):
        return [n[2:] for n in dir(self) if n.startswith("c_")]

    def packets(self, cls, count):
        self.rng = random.Random(f"{self.seed}/{cls}")
        self.out, self.cls = [], cls
        make = getattr(self, "c_" + cls)
        while len(self.out) < count:
            before = len(self.out)
            make()
            if getattr(make, "__doc__", None) and make.__doc__.startswith("Once"):
                break
            assert len(self.out) > before, cls
        return self.out

    # ---- pieces

    def pick(self, *a):
        return self.rng.choice(a)

    def host(self, side, v6):
        n, r = NUMBER[side], self.rng
        if v6:
            if r.random() < .2:
                return f"fd0{n}::2"
            return f"fd{n}0:0:{r.randrange(1, 65536):x}::{r.randrange(1, 1 << 16):x}"
        if r.random() < .2:
            return f"10.{n}.0.2"
        return f"10.{n}0.{r.randrange(256)}.{r.randrange(1, 255)}"

    def port(self):
        return self.pick(80, 443, 53, 22, 1000, 1999, 1500, 999, 2000, self.rng.randrange(1000, 2000),
                         self.rng.randrange(1, 65536))

    def proto(self, v6):
        return self.pick(TCP, UDP, UDP, TCP, UDPLITE, SCTP, DCCP, ICMPV6 if v6 else ICMP, ESP, GRE,
                         200, 253 if v6 else 4)

    def data(self, size):
        head = b"CTB!" + struct.pack("!I", self.seq)
        if size <= 8:
            return head[:size]
        return head + self.rng.randbytes(size - 8)

    def sides(self, src=None):
        if src is None:
            src = self.pick("client", "client", "client", "wide", "mid", "tiny")
        if src == "client":
            return src, self.pick("wide", "wide", "mid", "tiny")
        return src, self.pick(*[s for s in SIDES if s != src])

    # IPv4 header fields that a router must leave alone.
    def fields4(self):
        return {"ttl": self.pick(2, 3, 64, 128, 255, self.rng.randrange(2, 256)),
                "tos": self.pick(0, 0, 1, 2, 3, 0xb8, self.rng.randrange(256)),
                "frag": self.pick(DF, DF, 0)}

    def fields6(self):
        return {"hlim": self.pick(2, 64, 255, self.rng.randrange(2, 256)),
                "tclass": self.pick(0, self.rng.randrange(256)),
                "flow": self.pick(0, self.rng.randrange(1 << 20), 0xfffff)}

    def good(self, v6=None, src_side=None, dst_side=None, proto=None, size=None, src=None, dst=None,
             sport=None, dport=None, faults=(), options=b"", payload=None, dmac=None, pad=b"",
             emit=True, out=None, **fields):
        """A packet that a router forwards, unless arguments say otherwise."""
        rng = self.rng
        if v6 is None:
            v6 = rng.random() < .45
        side, out_side = self.sides(src_side)
        if dst_side:
            out_side = dst_side
        src = src or self.host(side, v6)
        dst = dst or self.host(out_side, v6)
        proto = self.proto(v6) if proto is None else proto
        sport = self.port() if sport is None else sport
        dport = self.port() if dport is None else dport
        if size is None:
            size = self.pick(0, 1, 8, 18, 100, 500, 1200, rng.randrange(1200))
        if payload is None:
            payload = l4(src, dst, proto, sport, dport, self.data(size), rng.getrandbits(32),
                         self.pick(2, 16, 24, 17, 4), bad=rng.random() < .05)
        if v6 and not payload and proto != NONE:
            faults = (*faults, "bad-ipv6")  # a length of 0 stands for a jumbogram
        fields = {**(self.fields6() if v6 else self.fields4()), **fields}
        if v6:
            ip = ip6(src, dst, proto, payload, **fields)
        else:
            fields.setdefault("ident", rng.getrandbits(16))
            ip = ip4(src, dst, proto, payload, options=options, **fields)
        frame = eth(dmac or ROUTER_MAC[side], HOST_MAC[side], 0x86dd if v6 else 0x0800, ip) + pad
        flow = (proto, src, dst) + ((sport, dport) if proto in PORTS else (0, 0))
        p = Packet(seq=self.seq, cls=self.cls, side=side, frame=frame, faults=frozenset(faults),
                   flow=flow, outer=flow, out=out or out_side, v6=v6, length=len(ip), proto=proto,
                   partial=maybe_partial(src, dst, proto, payload))
        if emit:
            self.emit(p)
        return p

    def emit(self, p):
        self.seq += 1
        self.out.append(p)
        return p

    def broken(self, faults, **kw):
        """One more fault, on top of a good packet."""
        p = self.good(emit=False, **kw)
        p.faults = p.faults | frozenset(faults)
        return self.emit(p)

    # ---- classes

    def c_plain(self):
        self.good()

    def c_plain_tcp(self):
        self.good(proto=TCP, size=self.rng.randrange(0, 1200))

    def c_plain_udp(self):
        self.good(proto=UDP, size=self.rng.randrange(0, 1200))

    def c_tos(self):
        """Once: every traffic class, and the routing that looks at it."""
        for tos in range(256):
            self.good(v6=False, tos=tos, size=20)
            self.good(v6=True, tclass=tos, size=20)
            if tos % 4 == 0:  # the kernel looks at three of its bits (IPTOS_RT_MASK)
                for t in (tos, tos | self.rng.randrange(4)):
                    self.good(v6=False, src_side="client", dst=f"10.22.0.{self.rng.randrange(1, 255)}",
                              tos=t, size=20, dst_side="mid" if t & 0x1c == 0x10 else "wide")

    def c_sizes(self):
        """Once: lengths around the MTU of every way out."""
        for v6 in (False, True):
            for side in ("client", "wide"):
                for out in SIDES:
                    if out == side:
                        continue
                    for delta in (-2, -1, 0, 1, 2, 3, 4):
                        self.sized(v6, side, out, MTU[out] + delta, MTU[out])
                for n in (1, 2, 3, 8, 60, 119):
                    self.sized(v6, "client", "tiny", MTU["tiny"] + n, MTU["tiny"])

    def c_route_mtu(self):
        """Once: 10.21/24 and fd21::/32 have an MTU of their own, smaller than the device's."""
        for v6 in (False, True):
            for delta in (-1, 0, 1, 100):
                if v6:
                    dst = f"fd21::{self.rng.randrange(1, 60000):x}"
                else:
                    dst = f"10.21.0.{self.rng.randrange(1, 255)}"
                self.sized(v6, "client", "wide", ROUTE_MTU + delta, ROUTE_MTU, dst=dst)

    def sized(self, v6, side, out, length, mtu, dst=None):
        if length > MTU[side] + 4:
            return  # no cable carries it
        for proto in (UDP, TCP, ICMPV6 if v6 else ICMP, ESP, 200):
            header = {UDP: 8, TCP: 20, ICMP: 8, ICMPV6: 8, ESP: 8}.get(proto, 0)
            size = length - (40 if v6 else 20) - header
            faults = ("mtu",) if length > mtu else ()
            for frag in ((0,) if v6 else (0, DF)):
                kw = {} if v6 else {"frag": frag}
                p = self.good(v6=v6, src_side=side, dst_side=out, proto=proto, size=size, faults=faults,
                              dst=dst, **kw)
                assert p.length == length

    def c_options(self):
        opts = self.pick(b"\x01", b"\x01\x01\x01\x01", b"\x00\x00\x00\x00",
                         b"\x94\x04\x00\x00",  # router alert
                         b"\x07\x0b\x04" + bytes(8) + b"\x00",  # record route, room for two
                         b"\x07\x07\x08\x01\x02\x03\x04\x00",  # record route, full
                         b"\x44\x0c\x0d\x00" + bytes(8),  # timestamp, full (else it has the time)
                         b"\x44\x0c\x05\x03\x0a\x63\x63\x63" + bytes(4),  # of some other router
                         b"\x83\x07\x04\x0a\x14\x00\x07\x00",  # loose source route
                         b"\x89\x07\x04\x0a\x14\x00\x07\x00",  # strict
                         b"\x86\x06\x00\x00\x00\x01", b"\x88\x04\x00\x01",  # security, stream id
                         b"\x07\x28\x04" + bytes(37),  # longest
                         b"\x07\x03\x04\x01",  # bad lengths
                         b"\x44\x03\x05\x00", b"\x20\x01\x00\x00", b"\x07\xff\x04\x00")
        self.good(v6=False, options=opts, faults=("ipv4-options",), size=self.rng.randrange(600),
                  proto=self.pick(TCP, UDP, ICMP, 200))

    def c_ttl(self):
        v6 = self.rng.random() < .5
        n = self.pick(0, 1, 1)
        self.good(v6=v6, faults=("ttl",), **({"hlim": n} if v6 else {"ttl": n}))

    def c_checksum(self):
        """Wrong IPv4 header checksums: any, off by one, all ones, as if never set."""
        p = self.good(v6=False, emit=False)
        right = struct.unpack_from("!H", p.frame, 24)[0]
        wrong = self.pick(right ^ 1, (right + 1) & 0xffff, (right - 1) & 0xffff, 0, 0xffff,
                          right ^ 0x8000, self.rng.getrandbits(16))
        f = p.frame[:24] + struct.pack("!H", wrong) + p.frame[26:]
        if (checksum(f[14:34]) != 0):
            p.faults = frozenset(("checksum",))
        p.frame = f
        self.emit(p)

    def c_header_sums(self):
        """The corners of ones' complement: header checksums 0x0000, 0xfeff and their neighbours."""
        want = self.pick(0x0000, 0x0001, 0xfeff, 0xfefe, 0xff00, 0xfffe, 0x00ff, 0x0100, 0xfdff)
        p = self.good(v6=False, emit=False, frag=0, ident=0)
        c = struct.unpack_from("!H", p.frame, 24)[0]
        # The ident takes up the difference.
        ident = (~want & 0xffff) - (~c & 0xffff)
        ident = ident + 0xffff if ident < 0 else ident
        f = bytearray(p.frame)
        struct.pack_into("!H", f, 18, ident)
        struct.pack_into("!H", f, 24, 0)
        struct.pack_into("!H", f, 24, checksum(bytes(f[14:34])))
        p.frame = bytes(f)
        self.emit(p)

    def c_padding(self):
        """Minimum-size Ethernet frames, and more behind the IP packet than that."""
        v6 = self.rng.random() < .4
        # No tunnels: packet sockets look for headers inside, and find them in the padding.
        p = self.good(v6=v6, size=self.pick(0, 0, 1, 2, 5, 10, 17), emit=False,
                      proto=self.pick(TCP, UDP, UDP, SCTP, ICMPV6 if v6 else ICMP, ESP, 200))
        short = max(0, 60 - len(p.frame))
        n = self.pick(short, short, short, 1, 2, 4, 100, 300)
        p.frame += self.pick(bytes(n), self.rng.randbytes(n))
        self.emit(p)

    def c_partial(self):
        """Checksums that look as if the hardware were to finish them."""
        v6 = self.rng.random() < .5
        proto = self.pick(TCP, UDP)
        p = self.good(v6=v6, proto=proto, size=self.rng.randrange(8, 600), emit=False)
        at = 14 + (40 if v6 else 20)
        n = p.length - at + 14
        f = bytearray(p.frame)
        c = pseudo(addr(p.flow[1]), addr(p.flow[2]), proto, n)
        struct.pack_into("!H", f, at + (16 if proto == TCP else 6), c)
        p.frame, p.partial = bytes(f), True
        self.emit(p)

    # ---- fragments

    def cut(self, p, size, order=None, drop=None):
        """The fragments of a good packet (IPv4 without options, IPv6 without extension headers)."""
        hlen = 40 if p.v6 else 20
        head, body = p.frame[14:14 + hlen], p.frame[14 + hlen:14 + p.length]
        size = max(8, size & ~7)
        parts = []
        ident = self.rng.getrandbits(32)
        for at in range(0, len(body), size):
            piece = body[at:at + size]
            more = at + size < len(body)
            h = bytearray(head)
            if p.v6:
                struct.pack_into("!H", h, 4, 8 + len(piece))
                h[6] = FRAGMENT
                ip = bytes(h) + struct.pack("!BBHI", p.proto, 0, at | more, ident) + piece
            else:
                struct.pack_into("!H", h, 2, 20 + len(piece))
                struct.pack_into("!H", h, 6, at >> 3 | (MF if more else 0))
                struct.pack_into("!H", h, 10, 0)
                struct.pack_into("!H", h, 10, checksum(bytes(h)))
                ip = bytes(h) + piece
            q = Packet(seq=self.seq, cls=p.cls, side=p.side, frame=p.frame[:14] + ip, faults=p.faults,
                       flow=p.flow, outer=p.outer, out=p.out, v6=p.v6, length=len(ip), proto=p.proto,
                       error=p.error, fragment="first" if at == 0 else "later")
            if at == 0 and not more:
                q.fragment = None  # an atomic fragment (IPv6), or whole
                if p.v6:
                    q.faults = q.faults | {"ipv6-ext-header"}
                else:
                    q.partial = p.partial
            parts.append(q)
        # What comes in here may be too long for the egress: then none is forwarded.
        if MTU[p.side] > MTU[p.out] and len(parts) > 1:
            for q in parts:
                q.faults = q.faults | {"mtu"}
        order = order or self.pick("in", "in", "reverse", "shuffle")
        if order == "reverse":
            parts.reverse()
        elif order == "shuffle":
            self.rng.shuffle(parts)
        if drop is not None and len(parts) > 1:
            parts.pop(self.rng.randrange(len(parts)))
        for q in parts:
            self.emit(q)

    def c_fragments(self):
        v6 = self.rng.random() < .5
        proto = self.pick(UDP, UDP, TCP, ICMPV6 if v6 else ICMP, 200, SCTP)
        kw = {} if v6 else {"frag": 0}
        p = self.good(v6=v6, proto=proto, size=self.pick(100, 2000, 3000, 4500), emit=False, **kw)
        biggest = MTU[p.side] - (48 if v6 else 20)
        self.cut(p, self.pick(8, 64, 512, 1000, 1200, biggest) if p.length < 1000 else
                 self.pick(512, 1000, 1200, biggest, biggest))

    def c_fragments_big(self):
        """All but the last are larger than the egress MTU."""
        v6 = self.rng.random() < .4
        out = self.pick("mid", "tiny")
        kw = {} if v6 else {"frag": 0}
        p = self.good(v6=v6, proto=UDP, src_side="client", dst_side=out, size=3000, emit=False, **kw)
        self.cut(p, self.pick(1500, 1450, 1488) - (48 if v6 else 20))

    def c_fragments_lost(self):
        v6 = self.rng.random() < .5
        kw = {} if v6 else {"frag": 0}
        p = self.good(v6=v6, proto=UDP, size=2000, emit=False, **kw)
        self.cut(p, 600, drop=True)

    def c_fragment_fields(self):
        """Fragment fields that do not belong together: DF with MF, the reserved bit, last places."""
        p = self.good(v6=False, proto=UDP, size=64, emit=False, dst_side="wide", src_side="client")
        field = self.pick(DF | MF, 0x8000, 0x8000 | DF, 0x1fff, MF | 0x1ffe, DF | 100, 0x8000 | MF, 1)
        f = bytearray(p.frame)
        struct.pack_into("!H", f, 20, field)
        struct.pack_into("!H", f, 24, 0)
        struct.pack_into("!H", f, 24, checksum(bytes(f[14:34])))
        p.frame = bytes(f)
        p.fragment = "later" if field & 0x1fff else "first" if field & MF else None
        self.emit(p)

    # ---- link layer

    def c_link(self):
        """Frames for others: another host's address, broadcast, multicast."""
        which = self.pick("other", "broadcast", "multicast", "near")
        side, out = self.sides()
        m = {"other": HOST_MAC["client"][:5] + b"\x77", "broadcast": b"\xff" * 6,
             "multicast": mac("01:00:5e:01:02:03"),
             "near": ROUTER_MAC[side][:5] + bytes([ROUTER_MAC[side][5] ^ 0x10])}[which]
        fault = "other-host" if which in ("other", "near") else "multicast"
        self.good(src_side=side, dst_side=out, dmac=m, faults=(fault,))

    def c_vlan(self):
        p = self.good(emit=False)
        tags = self.pick([(0x8100, 5)], [(0x8100, 0)], [(0x8100, 0xe000)], [(0x8100, 4094)],
                         [(0x88a8, 7), (0x8100, 8)], [(0x8100, 0), (0x8100, 0)], [(0x8100, 4095)],
                         [(0x8100, 0), (0x8100, 9)], [(0x88a8, 0)], [(0x8100, 1)] * 3)
        t = b"".join(struct.pack("!HH", *tag) for tag in tags)
        p.frame = p.frame[:12] + t + p.frame[12:]
        p.faults = frozenset(("not-ip",)) if len(tags) > 2 else p.faults | {"vlan"}
        self.emit(p)

    def c_not_ip(self):
        p = self.good(emit=False)
        kind = self.pick(0x0806, 0x88cc, 0x8863, 0x8847, 0x1234, 60, 1500, 0xffff, 0x88a8, 0x8100, 0x0801)
        p.frame = p.frame[:12] + struct.pack("!H", kind) + p.frame[14:]
        p.faults = frozenset(("not-ip",))
        if kind == 0x0806:  # ARP that nobody answers
            p.frame = p.frame[:14] + self.rng.randbytes(28)
        p.unknown = kind in (0x88a8, 0x8100)
        self.emit(p)

    # ---- addresses

    def c_sources(self):
        v6 = self.rng.random() < .5
        side, out = self.sides()
        n = NUMBER[side]
        if v6:
            src, fault = self.pick(
                ("::", "martian"), ("::1", "martian"), ("ff02::1", "multicast"), ("ff05::2", "multicast"),
                ("fe80::1", "link-local"), (f"fd0{n}::1", "own"), (f"fd0{NUMBER[out]}::1", "own"),
                (f"fd{NUMBER[out]}0::7", "rp-side"), ("fdff::9", "rp-none"), ("2002::1", "rp-none"),
                ("::ffff:10.10.0.1", "martian"), ("::ffff:8.8.8.8", "martian"), ("fec0::1", "rp-none"),
                ("64:ff9b::8.8.8.8", "rp-none"), (f"fd0{n}::", "own"), ("::2", "rp-none"))
        else:
            src, fault = self.pick(
                ("0.0.0.0", "martian"), ("0.1.2.3", "martian"), ("127.0.0.1", "martian"),
                ("127.255.0.3", "martian"), ("224.0.0.1", "multicast"), ("239.1.2.3", "multicast"),
                ("255.255.255.255", "multicast"), (f"10.{n}.0.1", "own"), (f"10.{NUMBER[out]}.0.1", "own"),
                (f"10.{n}.0.255", "own"), (f"10.{NUMBER[out]}0.3.4", "rp-side"),
                ("172.16.0.7", "rp-none"), ("240.0.0.1", "rp-none"), ("169.254.1.1", "link-local"),
                ("10.60.0.3", "own"), ("192.0.2.1", "rp-none"), ("198.51.100.1", "rp-none"),
                ("10.50.2.3", "rp-none"), ("10.50.0.3", "rp-none"))
        self.good(v6=v6, src_side=side, dst_side=out, src=src,
                  faults=() if fault == "own" else (fault,))

    def c_destinations(self):
        v6 = self.rng.random() < .5
        side = self.pick("client", "client", "wide", "mid")
        n, k = NUMBER[side], self.rng.randrange(1, 255)
        special = [(prefixes[v6] + (f"{k:x}" if v6 else str(k)), name)
                   for name, prefixes in SPECIAL.items() if prefixes[v6]
                   and name not in ("tos-route", "mtu-route")]
        if v6:
            dst, fault = self.pick(
                ("::", "martian"), ("::1", "martian"), ("ff02::1", "multicast"), ("ff0e::5", "multicast"),
                ("ff01::1", "multicast"), ("fe80::77", "link-local"), (f"fd0{n}::1", "own"),
                ("::ffff:10.20.0.1", "martian"), ("2002::1", "no-route"), (f"fd0{n}::", "own"),
                ("fd02::1", "own"), *special, *special)
        else:
            dst, fault = self.pick(
                ("0.0.0.0", "martian"), ("0.0.0.9", "martian"), ("127.0.0.1", "martian"),
                ("127.1.2.3", "martian"), ("224.0.0.5", "multicast"), ("239.1.2.3", "multicast"),
                ("255.255.255.255", "multicast"), (f"10.{n}.0.1", "own"), ("10.3.0.1", "own"),
                ("10.2.0.255", "own"), ("240.0.0.1", "no-route"), ("169.254.1.1", "link-local"),
                *special, *special)
        if fault in ("throw",):
            fault = "no-route"
        self.good(v6=v6, src_side=side, dst_side="wide" if side != "wide" else "mid", dst=dst,
                  proto=self.pick(UDP, TCP, ICMPV6 if v6 else ICMP, ESP) if fault != "own" else
                  self.pick(UDP, ICMPV6 if v6 else ICMP), size=self.rng.randrange(300),
                  faults=() if fault in ("own", "anyip") else (fault,), sport=1234)

    def c_same_device(self):
        """Once: the kernel tells each source of a better way, so that each is used once."""
        for i in range(40):
            v6 = i & 1
            src = f"fd10:0:5::{i:x}" if v6 else f"10.10.5.{i + 1}"
            dst = f"fd10:0:6::{i:x}" if v6 else f"10.10.6.{i + 1}"
            self.good(v6=bool(v6), src_side="client", dst_side="client", src=src, dst=dst,
                      faults=("same-device",), size=30)

    def c_no_neighbour(self):
        """Once: nobody answers. Few enough for the queue of an unresolved neighbour."""
        for i in range(12):
            v6 = bool(i & 1)
            dst = f"fd02::{0x70 + i:x}" if v6 else f"10.2.0.{0x70 + i}"
            for _ in range(2):
                self.good(v6=v6, src_side="client", dst_side="wide", dst=dst, proto=UDP,
                          faults=("no-neighbour",), size=self.rng.randrange(100))

    # ---- lengths

    def c_truncated(self):
        """A good packet, cut anywhere."""
        p = self.good(emit=False, size=self.pick(0, 8, 40))
        whole = len(p.frame)
        cut = self.rng.randrange(14, whole)
        p.frame = p.frame[:cut]
        p.faults = frozenset(("bad-ipv6" if p.v6 else "bad-ipv4",))
        self.emit(p)

    def c_short_l4(self):
        """The IP header says so: there is less than a transport header."""
        v6 = self.rng.random() < .5
        proto = self.pick(TCP, UDP, UDPLITE, SCTP, ICMPV6 if v6 else ICMP, ESP, GRE, 200, TCP, UDP)
        need = {TCP: 20, UDP: 8, UDPLITE: 8, SCTP: 12, ICMP: 8, ICMPV6: 8}.get(proto, 0)
        side, out = self.sides()
        src, dst = self.host(side, v6), self.host(out, v6)
        sport, dport = self.port(), self.port()
        whole = l4(src, dst, proto, sport, dport, b"")
        n = self.rng.randrange(0, max(need, 9))
        payload = whole[:n] + bytes(max(0, n - len(whole)))
        faults = ("bad-l4",) if n < need else ()
        if v6 and n == 0:
            faults = ("bad-ipv6",)
        p = self.good(v6=v6, src_side=side, dst_side=out, src=src, dst=dst, proto=proto, sport=sport,
                      dport=dport, payload=payload, faults=faults, emit=False)
        if self.rng.random() < .5 and len(p.frame) < 60:
            p.frame += bytes(60 - len(p.frame))
        self.emit(p)

    def c_bad_l4(self):
        """TCP header lengths and UDP lengths that are not true."""
        v6 = self.rng.random() < .5
        proto = self.pick(TCP, UDP)
        p = self.good(v6=v6, proto=proto, size=20, emit=False)
        at = 14 + (40 if v6 else 20)
        f = bytearray(p.frame)
        if proto == TCP:
            doff = self.pick(0, 1, 4, 5, 10, 11, 15)
            f[at + 12] = doff << 4
            bad = doff < 5 or doff * 4 > 40
        else:
            n = self.pick(0, 7, 8, 20, 28, 29, 65535)
            struct.pack_into("!H", f, at + 4, n)
            bad = n < 8 or n > 28
        p.frame = bytes(f)
        p.faults = frozenset(("bad-l4",) if bad else ())
        self.emit(p)

    def c_bad_ip(self):
        """Versions, header lengths and total lengths that cannot be."""
        if self.rng.random() < .6:
            p = self.good(v6=False, proto=UDP, size=40, emit=False)
            f = bytearray(p.frame)
            what = self.rng.randrange(4)
            if what == 0:
                f[14] = self.pick(0, 3, 5, 6, 7, 15) << 4 | 5
            elif what == 1:
                f[14] = 0x40 | self.pick(0, 1, 4)
            elif what == 2:
                struct.pack_into("!H", f, 16, self.pick(0, 1, 19, p.length + 1, 1500, 65535))
            else:
                f[14] = 0x4f  # options that reach into the payload
                p.faults = frozenset(("ipv4-options", "checksum", "bad-l4", "bad-ipv4"))
                p.unknown = True
            if what < 3:
                p.faults = frozenset(("bad-ipv4",))
            struct.pack_into("!H", f, 24, 0)
            struct.pack_into("!H", f, 24, checksum(bytes(f[14:34])))
        else:
            p = self.good(v6=True, proto=UDP, size=40, emit=False)
            f = bytearray(p.frame)
            if self.rng.random() < .5:
                f[14] = self.pick(0, 4, 5, 7, 15) << 4
                p.faults = frozenset(("bad-ipv6",))
            else:
                n = self.pick(0, p.length - 40 + 1, 1500, 65535)
                struct.pack_into("!H", f, 18, n)
                p.faults = frozenset(("bad-ipv6",))
        p.frame = bytes(f)
        self.emit(p)

    # ---- ICMP

    def c_icmp_errors(self):
        v6 = self.rng.random() < .5
        # A packet of a flow that went from one side to the other, quoted on its way back, or by
        # a router on the way.
        side, out = self.sides()
        q = self.good(v6=v6, src_side=out, dst_side=side, size=self.pick(0, 8, 100, 500), emit=False,
                      proto=self.pick(TCP, UDP, ICMPV6 if v6 else ICMP, UDPLITE, SCTP, ESP, 200))
        self.error(q, side, out, q.frame[14:14 + q.length])

    def error(self, q, side, out, quoted, faults=(), src=None, dst=None, flow=None, redirect=False):
        v6 = q.v6
        if redirect:
            kind, code = (137, 0) if v6 else (5, self.pick(0, 1))
        elif v6:
            kind, code = self.pick((1, 0), (1, 4), (2, 0), (3, 0), (4, 1))
        else:
            kind, code = self.pick((3, 1), (3, 3), (3, 4), (11, 0), (12, 0), (4, 0))
        if v6:
            quoted = quoted[:1232]
        else:
            quoted = quoted[:self.pick(len(quoted), 28 if len(quoted) > 28 else len(quoted), 548)]
        src = src or self.pick(self.host(side, v6), q.flow[2])
        dst = dst or q.flow[1]
        body = icmp_error(src, dst, v6, kind, code, self.pick(0, 1400), quoted)
        p = self.good(v6=v6, src_side=side, dst_side=out, src=src, dst=dst, emit=False,
                      proto=ICMPV6 if v6 else ICMP, payload=body, faults=faults)
        p.flow, p.error = flow or q.flow, True
        self.emit(p)
        return p

    def c_icmp_errors_odd(self):
        """Errors whose own addresses differ from those of what they quote: to the router, to
        others, from nowhere; redirects; of a flow that no rule knows; with quotes that cannot be
        judged."""
        v6 = self.rng.random() < .5
        side, out = self.sides("client")
        q = self.good(v6=v6, src_side=out, dst_side=side, size=30, proto=UDP, emit=False)
        raw = q.frame[14:14 + q.length]
        what = self.rng.randrange(9)
        if what == 0:  # to the router itself, which did not send what is quoted
            self.error(q, side, out, raw, faults=("bad-quote",), dst="fd01::1" if v6 else "10.1.0.1")
        elif what == 1:
            p = self.error(q, side, out, raw, faults=("rp-none",),
                           src="fdff::3" if v6 else "172.16.0.3")
        elif what == 2:  # its source is the router's own address
            p = self.error(q, side, out, raw, src="fd02::1" if v6 else "10.2.0.1")
            p.faults = frozenset(("rp-filter", "martian", "local"))
            p.unknown = v6  # the kernel forwards it, so may we
        elif what == 3:  # quotes what the router sent
            own = "fd02::1" if v6 else "10.2.0.1"
            q = self.good(v6=v6, src_side=out, dst_side=side, size=30, proto=UDP, src=own, emit=False)
            self.error(q, side, out, q.frame[14:14 + q.length])
        elif what == 7:  # the host beside, or any other
            near = bytearray(addr(q.flow[1]))
            near[-1] ^= 1 << self.rng.randrange(2)
            near = socket.inet_ntop(socket.AF_INET6 if v6 else socket.AF_INET, bytes(near))
            dst = self.pick(near, self.host(out, v6))
            self.error(q, side, out, raw, dst=dst, faults=("bad-quote",) if dst != q.flow[1] else ())
        elif what == 8:
            self.error(q, side, out, raw, faults=("redirect",), redirect=True)
        elif what == 4:
            n = self.rng.randrange(0, 40 if v6 else 20)
            self.error(q, side, out, raw[:n], faults=("bad-quote",))
        elif what == 5:  # quotes a later fragment
            if v6:
                raw = (raw[:6] + bytes([FRAGMENT]) + raw[7:40] +
                       struct.pack("!BBHI", UDP, 0, 0x0100, 7) + raw[40:])
            else:
                raw = raw[:6] + b"\x00\x20" + raw[8:]
            self.error(q, side, out, raw, faults=("bad-quote",))
        else:  # ports cut off
            self.error(q, side, out, raw[:(40 if v6 else 20) + self.rng.randrange(4)],
                       faults=("bad-quote",))

    def c_icmp_other(self):
        """Types that are no errors."""
        v6 = self.rng.random() < .5
        side, out = self.sides()
        src, dst = self.host(side, v6), self.host(out, v6)
        kind = self.pick(0, 100, 127, 128, 129, 130, 133, 134, 135, 136, 137, 143, 5, 255) if v6 else \
            self.pick(0, 8, 9, 10, 13, 14, 17, 18, 30, 255)
        p = self.good(v6=v6, src_side=side, dst_side=out, src=src, dst=dst, size=32,
                      proto=ICMPV6 if v6 else ICMP, emit=False)
        f = bytearray(p.frame)
        at = 14 + (40 if v6 else 20)
        f[at] = kind
        p.frame = bytes(f)
        if kind == 137 and v6:
            p.faults = frozenset(("redirect",))
        self.emit(p)

    # ---- IPv6 extension headers

    def ext(self, kind, nxt):
        r = self.rng
        if kind in (HOPOPTS, DSTOPTS):
            n = self.pick(0, 0, 1, 3)
            room = 6 + 8 * n
            options = [b"\x01" + bytes([room - 2]) + bytes(room - 2), bytes(room),  # PadN, Pad1
                       bytes([self.pick(0x1e, 0x5e, 0x9e, 0xde), room - 2]) + bytes(room - 2)]
            if kind == HOPOPTS and room > 6:  # router alert
                options.append(b"\x05\x02\0\0\x01" + bytes([room - 6]) + bytes(room - 6))
            body = self.pick(*options)
            assert len(body) == room
            return bytes([nxt, n]) + body
        if kind == ROUTING:
            return bytes([nxt, 2, self.pick(0, 2, 3, 4, 253), self.pick(0, 1)]) + bytes(4) + addr("fd20::7")
        if kind == AH:
            return bytes([nxt, 4]) + bytes(2) + struct.pack("!II", 77, 1) + r.randbytes(12)
        if kind == FRAGMENT:  # a whole datagram in one
            return bytes([nxt, 0, 0, 0]) + struct.pack("!I", r.getrandbits(32))
        return b""

    def c_ext_headers(self):
        side, out = self.sides()
        src, dst = self.host(side, True), self.host(out, True)
        proto = self.pick(TCP, UDP, ICMPV6, 200)
        sport, dport = self.port(), self.port()
        chain = self.pick([HOPOPTS], [DSTOPTS], [ROUTING], [AH], [FRAGMENT], [HOPOPTS, DSTOPTS],
                          [HOPOPTS, DSTOPTS, ROUTING, FRAGMENT], [DSTOPTS, FRAGMENT], [AH, DSTOPTS],
                          [FRAGMENT, DSTOPTS], [DSTOPTS] * 3, [HOPOPTS, AH])
        body = l4(src, dst, proto, sport, dport, self.data(self.rng.randrange(200)))
        nxt = proto
        for kind in reversed(chain):
            body = self.ext(kind, nxt) + body
            nxt = kind
        p = self.good(v6=True, src_side=side, dst_side=out, src=src, dst=dst, proto=proto, sport=sport,
                      dport=dport, emit=False)
        ip = ip6(src, dst, chain[0], body, **self.fields6())
        p.frame, p.length, p.partial = p.frame[:14] + ip, len(ip), False
        p.faults = frozenset(("ipv6-ext-header",))
        self.emit(p)

    def c_ext_odd(self):
        """Too many of them, cut off, or none that follows; lengths that lead outside."""
        side, out = self.sides()
        src, dst = self.host(side, True), self.host(out, True)
        p = self.good(v6=True, src_side=side, dst_side=out, src=src, dst=dst, proto=NONE, emit=False)
        what = self.rng.randrange(5)
        unknown = False
        if what == 0:
            n = self.pick(9, 12)
            first, body = DSTOPTS, bytes([DSTOPTS, 0]) + b"\x01\x04\0\0\0\0"
            body = body * (n - 1) + bytes([NONE, 0]) + b"\x01\x04\0\0\0\0"
            faults = ("ext-headers",)
        elif what == 1:
            first, body = self.pick(HOPOPTS, DSTOPTS, ROUTING), bytes([UDP, 200]) + bytes(30)
            faults = ("bad-ipv6",)
        elif what == 2:
            first, body = self.pick(HOPOPTS, DSTOPTS, FRAGMENT, AH), b"\x11\x00\x00"
            faults = ("bad-ipv6",)
        elif what == 3:
            first, body, faults = NONE, self.data(self.rng.randrange(1, 30)), ()
        else:  # mobility, HIP, shim6: no extension headers to the kernel's fast parts
            first, body, faults = self.pick(135, 139, 140), bytes([UDP, 0]) + bytes(40), ()
        p.flow = p.outer = (first, src, dst, 0, 0)
        p.proto = first
        ip = ip6(src, dst, first, body, **self.fields6())
        p.frame, p.length, p.faults, p.unknown = p.frame[:14] + ip, len(ip), frozenset(faults), unknown
        p.partial = True if what >= 3 else False
        self.emit(p)

    # ---- several equal ways out (10.70/16 and fd70::/32 by wide and mid): which one is the kernel's
    # to say, so out is not known, only that both labs take the same

    def ecmp_host(self, v6):
        r = self.rng
        return f"fd70:0:{r.randrange(4):x}::{r.randrange(1, 1 << 16):x}" if v6 else \
            f"10.70.{r.randrange(4)}.{r.randrange(1, 255)}"

    def c_policy(self):
        """Ways out that policy routing chooses by more than the destination."""
        side = self.pick("client", "client", "tiny")
        v6 = self.rng.random() < .5
        n = self.rng.random()
        if n < .2:
            kw = {} if v6 else {"frag": 0}
            p = self.good(v6=v6, src_side="tiny", dst_side="wide", proto=UDP, size=2000, emit=False,
                          dport=1500, **kw)
            first = len(self.out)
            self.cut(p, 1000)
            for q in self.out[first:]:
                q.out = "policy"
            return
        self.good(v6=v6, src_side=side, dst_side="wide", size=self.rng.randrange(1000), out="policy",
                  dport=self.pick(1500, 1500, self.port()), proto=self.pick(UDP, TCP, self.proto(v6)))

    def c_ecmp(self):
        """Many flows, some of several packets."""
        v6 = self.rng.random() < .5
        side = self.pick("client", "tiny")
        src, dst = self.host(side, v6), self.ecmp_host(v6)
        proto, sport, dport = self.proto(v6), self.port(), self.port()
        flow = {"flow": self.rng.randrange(1 << 20)} if v6 else {}
        for _ in range(self.pick(1, 1, 3)):
            self.good(v6=v6, src_side=side, src=src, dst=dst, proto=proto, sport=sport, dport=dport,
                      size=self.rng.randrange(1000), out="ecmp", **flow)

    def c_ecmp_fragments(self):
        v6 = self.rng.random() < .5
        proto = self.pick(UDP, TCP, ICMPV6 if v6 else ICMP, 200, ESP)
        kw = {} if v6 else {"frag": 0}
        p = self.good(v6=v6, src_side="tiny", dst_side="wide", dst=self.ecmp_host(v6), proto=proto,
                      size=2500, emit=False, **kw)
        first = len(self.out)
        self.cut(p, self.pick(512, 1000, 1216))
        for q in self.out[first:]:
            q.out = "ecmp"

    def c_ecmp_errors(self):
        v6 = self.rng.random() < .5
        q = self.good(v6=v6, src_side="wide", dst_side="tiny", src=self.ecmp_host(v6), size=40,
                      emit=False, proto=self.pick(TCP, UDP, ICMPV6 if v6 else ICMP, ESP))
        self.error(q, "tiny", "wide", q.frame[14:14 + q.length]).out = "ecmp"

    # ---- anything

    def c_fuzz(self):
        """A few bytes of a good packet are others. No prediction: same bytes out, that is all."""
        p = self.good(emit=False, size=self.pick(0, 20, 300))
        f = bytearray(p.frame)
        for _ in range(self.pick(1, 1, 1, 2, 3)):
            f[self.rng.randrange(12, min(len(f), 80))] = self.rng.randrange(256)
        if self.rng.random() < .7 and not p.v6:  # let it get further than the checksum
            struct.pack_into("!H", f, 24, 0)
            struct.pack_into("!H", f, 24, checksum(bytes(f[14:14 + max(20, (f[14] & 15) * 4)])))
        p.frame, p.unknown = bytes(f), True
        self.emit(p)


def maybe_partial(src, dst, proto, payload):
    """XDP cannot know that the checksum is complete: it holds what an unfinished one would, or it
    is of a protocol where nobody can look."""
    if proto in (TCP, UDP):
        if proto == UDP and len(payload) >= 8 and payload[6:8] == b"\0\0":
            return False
        return looks_partial(src, dst, proto, payload)
    if proto == SCTP:
        return payload[8:12] == bytes(4)
    return proto not in (ICMP, ICMPV6, UDPLITE)
