#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is no plain datagram: tunnels and other protocols, SCTP, extension headers, TCP in odd orders, and the answers.

A protocol passes by a grant that names it and by no other; a grant for a TCP port is none for the SCTP port of the same
number. TCP segments that belong to no connection get no reset; a refused sender hears what `refuse` says, at the frame.
"""
import itertools
import socket
import struct
import sys
import time

from wire import apply, build, start

import frames as f
from crafted import sctp_init
from lab import wait_for
from node import EVENT_PATIENCE, events_mark
from tap import Report

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
TUNNELS = {4: "IPv4 in IP", 41: "IPv6 in IP", 47: "GRE", 50: "ESP", 253: "experimental"}
marks = itertools.count(0x1000)


def new_mark():
    return b"MS%06x" % next(marks)


def paths(ends):
    return (ends["client"], ends["server"]), (ends["client"], ends["far"])


def arrives(dst, mark):
    return dst.tap.saw(mark)


# ---- tunnels and other protocols -----------------------------------------------------------------------------------


def inner(family, src, dst, mark):
    """A whole packet to carry: what must not be judged in place of the one around it."""
    addrs = src.party.addr[family], dst.party.addr[family]
    udp = f.udp(*addrs, 4000, 9000, mark)
    return f.ip4(*addrs, f.UDP, udp) if family == 4 else f.ip6(*addrs, f.UDP, udp)


def tunnel(number, src, dst, mark):
    if number in (4, 41):
        return inner(4 if number == 4 else 6, src, dst, mark)
    return b"\0\0\x08\0" + inner(4, src, dst, mark) if number == 47 else mark.ljust(64, b"\0")


def tunnels(report, what, ends, open_):
    """open_: the numbers that pass."""
    for src, dst in paths(ends):
        for family in (4, 6):
            for number, name in TUNNELS.items():
                mark = new_mark()
                src.send(dst, family, number, tunnel(number, src, dst, mark))
                report.equal(arrives(dst, mark), number in open_, "%s: %s over IPv%d %s at %s" % (
                    what, name, family, "arrives" if number in open_ else "does not arrive", dst.party.name))


def tunnel_grants(report, node, ends):
    """A grant of one protocol opens that one; `any` and ports of TCP and UDP open none."""
    for number in TUNNELS:
        apply(node, "proto/%d" % number)
        tunnels(report, "proto/%d granted" % number, ends, {number})
    apply(node, "tcp/1-65535, udp/1-65535, sctp/1-65535")
    tunnels(report, "all ports granted", ends, ())


# ---- SCTP ------------------------------------------------------------------------------------------------------------


def by_number(src, dst, family):
    """{protocol: does its first packet to port 8080 arrive}"""
    found = {}
    for proto in ("tcp", "sctp", "udp"):
        mark = new_mark()
        if proto == "sctp":
            src.send(dst, family, f.SCTP, sctp_init(mark))
        elif proto == "tcp":
            src.segment(dst, family, 4000, 8080, SYN, mark)
        else:
            src.datagram(dst, family, 4000, 8080, mark)
        found[proto] = arrives(dst, mark)
    return found


def transports(report, what, ends, opened):
    for src, dst in paths(ends):
        for family in (4, 6):
            found = by_number(src, dst, family)
            report.equal({proto for proto, seen in found.items() if seen}, opened, "%s: IPv%d port 8080 of %s" % (
                what, family, dst.party.name))


def transport_grants(report, node, ends):
    """A port is one protocol's."""
    for proto in ("tcp", "sctp", "udp"):
        apply(node, proto + "/8080")
        transports(report, proto + "/8080 granted", ends, {proto})


# ---- extension headers -------------------------------------------------------------------------------------------------

OPTIONS = (f.DESTINATION, f.option6(1))
CHAINS = {
    "hop-by-hop": [(f.HOP, f.option6(1))],
    "one destination header": [OPTIONS],
    "three destination headers": [OPTIONS] * 3,
    "eight destination headers": [OPTIONS] * 8,
    "hop-by-hop and destination": [(f.HOP, f.option6(1)), OPTIONS],
    "an atomic fragment header": [(f.FRAGMENT, b"\0\0\0\0\0\x01\x02")],
}


def chained(src, dst, headers, port, mark):
    udp = f.udp(src.party.addr[6], dst.party.addr[6], 4000, port, mark)
    number, payload = f.chain6(*headers, (f.UDP, udp))
    src.send(dst, 6, number, payload)


def headers(report, what, ends, allowed_only):
    """Extension headers neither hide the port nor close it."""
    for src, dst in paths(ends):
        for name, chain in CHAINS.items():
            for port in (9000, 9001):
                mark = new_mark()
                chained(src, dst, chain, port, mark)
                passes = port == 9000 or not allowed_only
                report.equal(arrives(dst, mark), passes, "%s: %s before udp/%d to %s %s" % (
                    what, name, port, dst.party.name, "arrives" if passes else "does not arrive"))


# ---- TCP out of order ----------------------------------------------------------------------------------------------------

ODD = {"FIN": FIN, "no flags": 0, "FIN+PSH+URG": 0x29, "SYN+FIN": SYN | FIN, "SYN+RST": SYN | RST, "SYN+ACK": SYN | ACK, "RST": RST,
       "FIN+ACK": FIN | ACK, "ACK": ACK}
PICKED_UP = ("ACK",)  # what connection tracking takes for the middle of a connection older than itself


ODD_PORTS = itertools.count(5000)  # each but once: what was refused may since have been adopted, if the policy allows it


def odd_segments(report, what, ends, port, passes):
    """Segments without a connection. passes: the names of those that may arrive."""
    for src, dst in paths(ends):
        for family in (4, 6):
            found, resets = set(), set()
            for name, flags in ODD.items():
                sport = next(ODD_PORTS)
                mark = new_mark()
                src.tap.now()
                src.segment(dst, family, sport, port, flags, mark)
                if arrives(dst, mark):
                    found.add(name)
                elif any(answers(family, data, sport) for data in src.tap.now()):
                    resets.add(name)
            report.equal(found, set(passes), "%s: IPv%d segments without a connection to tcp/%d of %s" % (
                what, family, port, dst.party.name))
            report.equal(resets, set(), "%s: IPv%d: none that is refused is answered" % (what, family))


def answers(family, data, sport):
    """Is this frame an answer of any kind to a segment sent from this port?"""
    if data[12:14] != (b"\x08\x00" if family == 4 else b"\x86\xdd"):
        return False
    at = 34 if family == 4 else 54
    proto = data[23 if family == 4 else 20]
    if proto == f.TCP:
        return struct.unpack_from("!H", data, at + 2)[0] == sport
    return proto in (f.ICMP, f.ICMP6) and struct.pack("!H", sport) in data[at:]


def loose(lab, value):
    lab.host.sysctl({"net.netfilter.nf_conntrack_tcp_loose": value})


def mute(party):
    """The party's own stack takes no segment of the crossing SYNs, and so answers none."""
    party.run("nft", "-f", "-", stdin="""table inet mute { chain in {
        type filter hook prerouting priority -300
        tcp dport { 6000-6199, 8082 } drop
        }; }""")


def simultaneous(report, what, ends, granted):
    """Both ends send a SYN with the same two ports at once: one connection, that of who may open it."""
    client, server = ends["client"], ends["server"]
    port = next(marks) % 100 + 6000
    for family in (4, 6):
        for first in ("client", "server"):
            port += 10
            forth, back = new_mark(), new_mark()
            send = {"client": lambda: client.segment(server, family, port, 8082, SYN, forth),
                    "server": lambda: server.segment(client, family, 8082, port, SYN, back)}
            for name in (first, "server" if first == "client" else "client"):
                send[name]()
            # The server's own SYN passes only where it meets one that was allowed.
            want = granted, granted and first == "client"
            report.equal((arrives(server, forth), arrives(client, back)), want, "%s: IPv%d SYNs that cross, the %s's first: "
                         "there and back" % (what, family, first))


def out_of_window(report, ends, parties):
    """Segments that cannot belong to an open connection, and resets that hit it blindly: it lives on."""
    client, server = parties["client"], parties["server"]
    for family in (4, 6):
        key = "window/%d" % family
        assert client.agent.do("hold", dst=server.addr[family], port=8080, key=key)["result"] == "ok"
        # The connection's own ports, seen on the wire of its next exchange.
        ends["client"].tap.now()
        client.agent.do("talk", key=key)
        data = next(data for data in ends["client"].tap.now() if answers_from(data, family, 8080))
        at = 34 if family == 4 else 54
        sport = struct.unpack_from("!H", data, at + 2)[0]
        seq, ack = struct.unpack_from("!II", data, at + 4)
        mark = new_mark()
        ends["client"].segment(ends["server"], family, sport, 8080, ACK, mark, seq=(ack + 0x40000000) & 0xFFFFFFFF)
        report.check(not arrives(ends["server"], mark), "IPv%d: a segment far out of the window does not arrive" % family)
        ends["attacker"].segment(ends["client"], family, 8080, sport, RST | ACK, seq=seq)
        report.equal(client.agent.do("talk", key=key)["result"], "ok", "IPv%d: the connection lives on" % family)


def answers_from(data, family, port):
    proto, at = (data[23], 34) if family == 4 else (data[20], 54)
    return (data[12:14] == (b"\x08\x00" if family == 4 else b"\x86\xdd") and proto == f.TCP
            and struct.unpack_from("!H", data, at)[0] == port)


def port_reuse(report, what, parties, count=400):
    """The same two ports again and again, closed by a reset: each is a new connection with its own verdict."""
    with f.inside(parties["client"]):
        for family in (4, 6):
            for port, verdict in ((8080, "ok"), (8081, "refused")):
                results = {reuse(parties["server"].addr[family], port) for _ in range(count if verdict == "ok" else 20)}
                report.equal(results, {verdict}, "%s: IPv%d one pair of ports used over and over to tcp/%d" % (what, family, port))


def reuse(addr, port):
    sock = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_STREAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.bind(("", 7070))
        sock.settimeout(3)
        try:
            sock.connect((addr, port))
            sock.sendall(b"again")
            return "ok" if sock.recv(5) == b"again" else "short"
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return repr(error)


# ---- refusals as they arrive -----------------------------------------------------------------------------------------------


def told(end, family, sport, proto):
    """How the sender was told: the set of what came back for this source port."""
    found = set()
    for data in end.tap.now():
        if not answers_any(data, family, sport, proto):
            continue
        number, at = (data[23], 34) if family == 4 else (data[20], 54)
        if number == f.TCP:
            flags, ack = data[at + 13], struct.unpack_from("!I", data, at + 8)[0]
            found.add(("reset", ack - 0x4D530000) if flags & RST else "segment")
        elif number in (f.ICMP, f.ICMP6):
            found.add(("icmp", data[at], data[at + 1]))
    return found


def answers_any(data, family, sport, proto):
    if data[12:14] != (b"\x08\x00" if family == 4 else b"\x86\xdd"):
        return False
    number, at = (data[23], 34) if family == 4 else (data[20], 54)
    if number == f.TCP:
        return proto == f.TCP and struct.unpack_from("!H", data, at + 2)[0] == sport
    quoted = at + 8 + (20 if family == 4 else 40)
    return number in (f.ICMP, f.ICMP6) and data[quoted : quoted + 2] == struct.pack("!H", sport)


def refusals(report, node, ends):
    """A SYN gets a reset that fits it, all else ICMP; `drop` is silence."""
    admin = {4: ("icmp", 3, 13), 6: ("icmp", 1, 1)}
    for refuse in ("reject", "drop"):
        apply(node, "tcp/8080", "", "refuse: {east_west: %s}\n" % refuse)
        for src, dst in paths(ends):
            for family in (4, 6):
                said = {}
                for number, (proto, send) in enumerate((
                        (f.TCP, lambda sport: src.segment(dst, family, sport, 8081, SYN)),
                        (f.UDP, lambda sport: src.datagram(dst, family, sport, 8081, b"x" * 16)),
                        (f.SCTP, lambda _: src.send(dst, family, f.SCTP, sctp_init(b"x" * 8))))):
                    sport = 4000 if proto == f.SCTP else 7100 + number  # sctp_init()'s own, under its checksum
                    src.tap.now()
                    send(sport)
                    time.sleep(0.03)
                    said[proto] = told(src, family, sport, proto)
                want = {f.TCP: {("reset", 1)}, f.UDP: {admin[family]}, f.SCTP: {admin[family]}} if refuse == "reject" else {
                    f.TCP: set(), f.UDP: set(), f.SCTP: set()}
                report.equal(said, want, "%s: IPv%d refusals of SYN, UDP and SCTP to %s, as they arrive" % (
                    refuse, family, dst.party.name))


# ----------------------------------------------------------------------------------------------------------------------------


def control(report, ends, parties):
    """Without microseg all of it arrives."""
    tunnels(report, "no microseg", ends, TUNNELS)
    transports(report, "no microseg", ends, {"tcp", "sctp", "udp"})
    headers(report, "no microseg", ends, False)
    odd_segments(report, "no microseg", ends, 8081, ODD)


def tcp_oddities(report, node, ends, parties):
    """TCP that does not begin with one SYN."""
    lab = node.lab
    apply(node, "tcp/8080, tcp/8082, udp/9000")
    for end in (ends["client"], ends["server"]):
        mute(end.party)
    headers(report, "enforcing", ends, True)
    since = events_mark()
    odd_segments(report, "enforcing", ends, 8081, ())
    odd_segments(report, "enforcing, granted port", ends, 8080, PICKED_UP)
    wait_for(lambda: {event["reason"] for event in node.events(since)} >= {"invalid", "no-grant"}, "events", EVENT_PATIENCE)
    loose(lab, 0)
    odd_segments(report, "enforcing, no loose pick-up", ends, 8080, ())
    loose(lab, 1)
    simultaneous(report, "enforcing", ends, True)
    out_of_window(report, ends, parties)
    port_reuse(report, "enforcing", parties)
    apply(node, "udp/9000")
    simultaneous(report, "enforcing, no grant", ends, False)


def main():
    report = Report("protocols")
    lab, parties, ends = build()
    with lab:
        parties["server"].listen(tcp=[8080])
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        report.section(control, report, ends, parties)
        node = start(lab, parties, "tcp/8080, udp/9000")
        for part in (tunnel_grants, transport_grants, refusals):
            report.section(part, report, node, ends)
        report.section(tcp_oddities, report, node, ends, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
