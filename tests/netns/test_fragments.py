#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fragments are judged by the ports of the datagram that they make, whatever order and size they come in.

An allowed datagram arrives in every shape in which a receiver takes it; of a forbidden one no piece arrives; and pieces that
never become a datagram arrive nowhere. On one bridge and routed, IPv4 and IPv6.
"""
import itertools
import sys
from dataclasses import dataclass

from wire import Sink, build, start

import frames as f
from lab import LabError, wait_for
from node import EVENT_PATIENCE, events_mark
from tap import Report

ALLOWED, FORBIDDEN = 9000, 9001
SYN = 0x02
idents = itertools.count(0x5000)


@dataclass(frozen=True)
class Shape:
    name: str
    cuts: tuple  # (first, last) of each piece, in the order of sending; last None: the end
    whole: bool  # a receiver can make a datagram of it
    headers: tuple = ()  # IPv6 extension headers before UDP, all behind the fragment header


OPTIONS = (f.DESTINATION, f.option6(1))
BOTH = (
    Shape("in order", ((0, 16), (16, None)), True),
    Shape("out of order", ((16, None), (0, 16)), True),
    Shape("tiny", ((0, 8), (8, 16), (16, 24), (24, None)), True),
    Shape("tiny, last first", ((24, None), (16, 24), (8, 16), (0, 8)), True),
    Shape("first alone", ((0, 16),), False),
    Shape("later alone", ((16, None),), False),
    Shape("last missing", ((0, 16), (16, 32)), False),
)
SHAPES = {
    4: BOTH,
    6: BOTH + (
        Shape("atomic", ((0, None),), True),
        Shape("port behind the first piece", ((0, 8), (8, None)), True, (OPTIONS,) * 2),
        Shape("port behind the first piece, last first", ((8, None), (0, 8)), True, (OPTIONS,) * 2),
    ),
}


def pieces(src, dst, family, proto, payload, cuts, headers=()):
    """The packets of one datagram in these pieces."""
    cuts = [(first, len(payload) if last is None else last) for first, last in cuts]
    ident, addrs = next(idents), (src.party.addr[family], dst.party.addr[family])
    if family == 4:
        return f.fragments4(*addrs, proto, payload, cuts, ident)
    return f.fragments6(*addrs, headers[0][0] if headers else proto, payload, cuts, ident)


def datagram(src, dst, family, port, mark, shape):
    """A UDP datagram in a shape, as packets."""
    udp = f.udp(src.party.addr[family], dst.party.addr[family], 4000, port, mark + b"x" * 40)
    payload = f.chain6(*shape.headers, (f.UDP, udp))[1] if shape.headers else udp
    return pieces(src, dst, family, f.UDP, payload, shape.cuts, shape.headers)


def shoot(src, dst, family, packets):
    for packet in packets:
        src.sender.send(src.ether(dst, family, packet))


def received(src, dst, sinks, port):
    """{(family, shape): arrived at the socket, pieces at the interface}"""
    marks, found = {}, {}
    for family in (4, 6):
        for shape in SHAPES[family]:
            mark = b"MS%06x" % next(idents)
            marks[mark] = family, shape
            shoot(src, dst, family, datagram(src, dst, family, port, mark, shape))
    payloads = b"".join(sinks[dst.party.name, port].read())
    wire = b"".join(dst.tap.read())
    for mark, (family, shape) in marks.items():
        found[family, shape] = mark in payloads, mark in wire
    return found


def judge(report, what, found, allowed):
    """allowed: what makes a datagram arrives at the socket; else not a byte of it at the interface."""
    for (family, shape), (arrived, seen) in found.items():
        good = arrived == shape.whole and (seen or not arrived) if allowed else not (arrived or seen)
        report.check(good, "%s: IPv%d fragments %s %s" % (what, family, shape.name, (
            "arrive as a datagram" if shape.whole else "are no datagram") if allowed else "arrive nowhere"),
            "socket %s, interface %s" % (arrived, seen))


def overlapping(report, what, ends, sinks, open_):
    """A first piece with the allowed port, rewritten by a later one that overlaps it: neither port gets it."""
    for src, dst in paths(ends):
        for family in (4, 6):
            addrs = src.party.addr[family], dst.party.addr[family]
            mark = b"MS%06x" % next(idents)
            good, bad = (f.udp(*addrs, 4000, port, mark + b"x" * 40) for port in (ALLOWED, FORBIDDEN))
            first = pieces(src, dst, family, f.UDP, good, ((0, 16), (24, None)))
            over = pieces(src, dst, family, f.UDP, bad, ((0, 24),))
            same = [set_ident(packet, family, first[0]) for packet in over]
            shoot(src, dst, family, [first[0], *same, first[1]])
            payloads = {port: b"".join(sinks[dst.party.name, port].read()) for port in (ALLOWED, FORBIDDEN)}
            arrived = [port for port, data in payloads.items() if mark in data]
            report.equal(arrived, [], "%s: IPv%d overlapping pieces with two ports make no datagram at %s" % (
                what, family, dst.party.name))
            seen = mark in b"".join(dst.tap.read())
            report.equal(seen, open_, "%s: and %s" % (what, "are seen on the wire" if open_ else "not a byte of them arrives"))


def set_ident(packet, family, like):
    """The packet with the identification of another one, and marked as not the last."""
    if family == 6:
        return packet[:44] + like[44:48] + packet[48:]
    head = bytearray(packet[:20])
    head[4:6] = like[4:6]
    head[6] |= 0x20
    head[10:12] = b"\0\0"
    head[10:12] = f.checksum(bytes(head)).to_bytes(2, "big")
    return bytes(head) + packet[20:]


def paths(ends):
    return (ends["client"], ends["server"]), (ends["client"], ends["far"])


def split_syn(report, what, ends, open_):
    """A SYN to a forbidden port whose flags lie in the second piece (RFC 1858)."""
    for src, dst in paths(ends):
        for family in (4, 6):
            mark = b"MS%06x" % next(idents)
            syn = f.tcp(src.party.addr[family], dst.party.addr[family], 4000, 8081, SYN, mark)
            shoot(src, dst, family, pieces(src, dst, family, f.TCP, syn, ((0, 8), (8, None))))
            seen = mark in b"".join(dst.tap.read())
            report.equal(seen, open_, "%s: IPv%d SYN in two pieces %s %s" % (
                what, family, "arrives at" if open_ else "does not arrive at", dst.party.name))


def large(report, what, ends):
    """What a real stack sends in pieces, there and back."""
    for src, dst in paths(ends):
        for family in (4, 6):
            results = {size: src.party.agent.do("udp", dst=dst.party.addr[family], port=9002, size=size)["result"]
                       for size in (1472, 1473, 4000, 30000, 65000)}
            report.equal(set(results.values()), {"ok"}, "%s: IPv%d datagrams up to 65000 bytes, there and back from %s" % (
                what, family, dst.party.name), results)


def control(report, ends, sinks):
    """Without microseg whatever makes a datagram arrives, at either port."""
    for src, dst in paths(ends):
        for port in (ALLOWED, FORBIDDEN):
            judge(report, "no microseg, to %s %d" % (dst.party.name, port), received(src, dst, sinks, port), True)
    overlapping(report, "no microseg", ends, sinks, True)
    split_syn(report, "no microseg", ends, True)
    large(report, "no microseg", ends)


def enforced(report, node, ends, sinks):
    """Enforcing: by the ports of the datagram."""
    for src, dst in paths(ends):
        since = events_mark()
        judge(report, "to %s %d" % (dst.party.name, ALLOWED), received(src, dst, sinks, ALLOWED), True)
        judge(report, "to %s %d" % (dst.party.name, FORBIDDEN), received(src, dst, sinks, FORBIDDEN), False)
        want = {family: sum(shape.whole for shape in SHAPES[family]) for family in (4, 6)}
        report.check(counted(node, since, dst, want), "each refused datagram to %s has its event, with its port" % dst.party.name,
                     node.events(since))
        report.equal({event["dport"] for event in node.events(since)}, {FORBIDDEN}, "and no other")
    overlapping(report, "enforcing", ends, sinks, False)
    split_syn(report, "enforcing", ends, False)
    large(report, "enforcing", ends)


def counted(node, since, dst, want):
    def got():
        found = {4: 0, 6: 0}
        for event in node.events(since):
            for family in (4, 6):
                if event["dst"].get("ip") == dst.party.addr[family] and event["dport"] == FORBIDDEN:
                    found[family] += event["count"]
        return found == want

    try:
        return wait_for(got, "events", EVENT_PATIENCE)
    except LabError:
        return False


def main():
    report = Report("fragments")
    lab, parties, ends = build()
    with lab:
        for party in (parties["server"], parties["far"]):
            party.listen(udp=[9002])
        sinks = {(end.party.name, port): Sink(end.party, port) for _, end in paths(ends) for port in (ALLOWED, FORBIDDEN)}
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        report.section(control, report, ends, sinks)
        node = start(lab, parties, "udp/9000, udp/9002")
        report.section(enforced, report, node, ends, sinks)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
