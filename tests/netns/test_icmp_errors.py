#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ICMP errors that belong to an allowed flow reach its sender, and no others do.

Path MTU discovery works through microseg in both directions; a closed port behind a grant says so; a refusal by somebody
else is heard. An error forged around a flow that nobody has, or that is not quite the flow, arrives nowhere.
"""
import itertools
import struct
import sys

from wire import build, start

import frames as f
from node import events_mark
from tap import Report

SMALL_MTU = 1400
NETS = 'nets: {far: [198.51.100.0/23, "2001:db8:51::/48", "2001:db8:52::/48"]}\n'
NEEDS = """---
apiVersion: microseg/v1
kind: Service
service: web
env: prod
allow:
  - {from: {net: far}, ports: [tcp/8080]}
needs:
  - {to: {net: far}, ports: [tcp/443, udp/443]}
"""
BEYOND = {4: "198.51.100.2", 6: "2001:db8:51::2"}
PROHIBITED = {4: "198.51.101.9", 6: "2001:db8:52::9"}
SIZE = 60000
marks = itertools.count(0x100)


# ---- a smaller link behind the host ------------------------------------------------------------------------------


def beyond(lab):
    """One more namespace, behind the world outside and a link of a smaller MTU."""
    far = lab._namespace("beyond", type(lab.outside))
    far.name, far.addr = "beyond", BEYOND
    lab.outside.sysctl({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
    lab.outside.ip("link add small0 type veth peer name small1 netns %s" % far.netns,
                   "addr add 198.51.100.1/24 dev small0", "addr add 2001:db8:51::1/64 dev small0 nodad", "link set small0 up",
                   # By a route: an end that sees the smaller link itself says so when it connects, and nothing is learnt.
                   "route add 198.51.100.2/32 dev small0 mtu lock %d" % SMALL_MTU,
                   "route add 2001:db8:51::2/128 dev small0 mtu %d" % SMALL_MTU,
                   "route add prohibit 198.51.101.9/32", "route add prohibit 2001:db8:52::9/128")
    far.ip("addr add 198.51.100.2/24 dev small1", "addr add 2001:db8:51::2/64 dev small1 nodad", "link set small1 up",
           "route add default via 198.51.100.1", "route add default via 2001:db8:51::1")
    lab.settle()
    far.listen(tcp=[443])
    return far


def cached_mtu(party, addr):
    text = party.run("ip", "route", "get", addr).stdout
    return int(text.split(" mtu ")[1].split()[0]) if " mtu " in text else None


def forget_mtu(party):
    for family in ("-4", "-6"):
        party.run("ip", family, "route", "flush", "cache")


def transfer(report, what, client, family, works):
    """A connection that has to learn the path's MTU."""
    forget_mtu(client)
    result = client.agent.do("tcp", dst=BEYOND[family], port=443, size=SIZE, timeout=3)["result"]
    report.check((result == "ok") == works, "%s: IPv%d: %d bytes through a smaller link %s" % (
        what, family, SIZE, "get through" if works else "get stuck"), result)
    report.equal(cached_mtu(client, BEYOND[family]), SMALL_MTU if works else None, "%s: and the MTU is %s" % (
        what, "learnt" if works else "not learnt"))


def deafen(party, on):
    """Drops the errors that path MTU discovery lives from, in a container: what this must look like when they are lost."""
    if not on:
        party.run("nft", "delete", "table", "inet", "deaf")
        return
    party.run("nft", "-f", "-", stdin="""table inet deaf { chain in {
        type filter hook prerouting priority -300
        icmp type destination-unreachable drop
        icmpv6 type packet-too-big drop
        }; }""")


def path_mtu(report, what, parties):
    for family in (4, 6):
        transfer(report, what, parties["client"], family, True)


def inbound_mtu(report, what, parties):
    """From outside towards a container whose bridge has the smaller MTU: the host answers for it."""
    host, client, far = parties["host"], parties["client"], parties["beyond"]
    host.ip("link set br-one mtu 1300")
    client.ip("link set eth0 mtu 1300")
    host.ip("link set %s mtu 1300" % client.port)
    for family in (4, 6):
        result = far.agent.do("tcp", dst=client.addr[family], port=8080, size=SIZE, timeout=3)["result"]
        report.equal(result, "ok", "%s: IPv%d: %d bytes from outside into a network of MTU 1300" % (what, family, SIZE))
    host.ip("link set br-one mtu 1500", "link set %s mtu 1500" % client.port)
    client.ip("link set eth0 mtu 1500")


# ---- errors of the far end ---------------------------------------------------------------------------------------


def closed_ports(report, what, parties):
    """A datagram to a closed port behind a grant: its sender hears that it is closed."""
    client = parties["client"]
    for name, target in (("same bridge", parties["server"]), ("routed", parties["far"]), ("outside", parties["beyond"])):
        for family in (4, 6):
            result = client.agent.do("udp", dst=target.addr[family], port=443 if name == "outside" else 9000)["result"]
            report.equal(result, "refused", "%s: IPv%d closed UDP port, %s" % (what, family, name))


def no_route(report, what, parties):
    """An error from a router on the way."""
    for family, addr in PROHIBITED.items():
        # A kernel sends a few of these a second to one address, and no switch of a namespace changes that.
        results = [parties["client"].agent.do("udp", dst=addr, port=443)["result"] for _ in range(3)]
        report.check("prohibited" in results, "%s: IPv%d error of a router outside" % (what, family), results)


# ---- forged errors -----------------------------------------------------------------------------------------------


def error(family, sender, victim, inner, mark, big=False):
    """An ICMP error to the victim, quoting this packet of it. The mark lies behind the quoted headers."""
    if family == 4:
        return f.ICMP, f.icmp(3, 4 if big else 3, struct.pack("!HH", 0, 1000 if big else 0) + inner + mark)
    return f.ICMP6, f.icmp6(sender.party.addr[6], victim.party.addr[6], 2 if big else 1, 0 if big else 4,
                            struct.pack("!I", 1280 if big else 0) + inner + mark)


def quoted(family, src, dst, sport, dport):
    """The packet that an error is about, as far as it is quoted."""
    udp = f.udp(src, dst, sport, dport, b"y" * 24)
    return f.ip4(src, dst, f.UDP, udp) if family == 4 else f.ip6(src, dst, f.UDP, udp)


def forged(ends, family, flow):
    """{what is wrong with it: inner packet}. flow: (sport, dport) of one that exists from client to server."""
    client, server, attacker, far = (ends[name].party.addr[family] for name in ("client", "server", "attacker", "far"))
    sport, dport = flow
    return {
        "another source port": quoted(family, client, server, sport + 1, dport),
        "another destination port": quoted(family, client, server, sport, dport + 1),
        "another destination": quoted(family, client, far, sport, dport),
        "the attacker as destination": quoted(family, client, attacker, sport, dport),
        "the flow the wrong way round": quoted(family, server, client, dport, sport),
        "another's flow": quoted(family, far, server, sport, dport),
    }


def shoot_errors(ends, family, flow, sender, packets):
    """{(what, big): does it arrive at the client}"""
    client = ends["client"]
    found = {}
    for what, inner in packets.items():
        for big in (False, True):
            mark = b"MSerr%04x" % next(marks)
            sender.send(client, family, *error(family, sender, client, inner, mark, big))
            found[what, big] = mark in b"".join(client.tap.read())
    return found


def forged_errors(report, what, ends, open_, node=None):
    """From a container that has no part in the flow; and from the one that has."""
    client, server = ends["client"], ends["server"]
    for family in (4, 6):
        flow = 4700, 9000
        client.datagram(server, family, *flow, b"a flow")
        itself = quoted(family, client.party.addr[family], server.party.addr[family], *flow)
        packets = dict(forged(ends, family, flow), **{"the flow itself": itself})
        since = events_mark()
        for (wrong, big), arrived in shoot_errors(ends, family, flow, ends["attacker"], packets).items():
            report.equal(arrived, open_, "%s: IPv%d %s around %s %s" % (
                what, family, "too big" if big else "unreachable", wrong, "arrives" if open_ else "arrives nowhere"))
        if node:
            reasons = {event["reason"] for event in node.events(since)}
            report.equal(reasons, {"invalid", "no-grant"}, "%s: the events of IPv%d say invalid, or that nothing grants it" % (what, family))
        for (_, big), arrived in shoot_errors(ends, family, flow, server, {"": itself}).items():
            report.check(arrived, "%s: IPv%d %s from the other end of the flow arrives" % (what, family, "too big" if big else "unreachable"))


# ----------------------------------------------------------------------------------------------------------------------


def works(report, what, parties):
    path_mtu(report, what, parties)
    inbound_mtu(report, what, parties)
    closed_ports(report, what, parties)
    no_route(report, what, parties)


def main():
    report = Report("ICMP errors")
    lab, parties, ends = build()
    with lab:
        parties["beyond"] = beyond(lab)
        parties["client"].listen(tcp=[8080])
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        report.section(works, report, "no microseg", parties)
        report.section(forged_errors, report, "no microseg", ends, True)
        node = start(lab, {name: party for name, party in parties.items() if name != "beyond"}, "udp/9000", NEEDS, NETS)
        report.section(works, report, "enforcing", parties)
        deafen(parties["client"], True)
        for family in (4, 6):
            report.section(transfer, report, "without these errors", parties["client"], family, False)
        deafen(parties["client"], False)
        report.section(forged_errors, report, "enforcing", ends, False, node)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
