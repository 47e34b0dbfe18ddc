#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Carried addresses: a VPN in a container, whose clients come with addresses that no container has.

Its service carries them: the VPN may send from them, and nobody else, in audit neither. To services they are net, granted
and refused as if they came from outside; to the host, the outside and strangers they are nobody's. What it answers ARP and
neighbour solicitations for, beside its own addresses, it may carry too. Each flow gets through without microseg first.
"""
import json
import os
import sys

import scenario  # noqa: F401  finds tests/lab

from lab import Lab, OutsideAddress, Party, wait_for
from node import EVENT_PATIENCE, Node, events_mark
from probes import control, flows, matrix
from tap import Report

POLICY = """
apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments: {prod: {mode: enforce}, dev: {mode: audit}}
nets: {dba: [10.8.0.0/24, "fd08::/64"]}
refuse: {east_west: reject, egress: reject, ingress: reject}
never:
  - {from: {net: [10.8.0.66/32, "fd08::66/128"]}, to: prod/db, reason: a stolen laptop}
---
apiVersion: microseg/v1
kind: Service
service: vpn
env: prod
carries: [10.8.0.0/16, "fd08::/48", 10.61.0.200/32, "fd61::200/128"]
allow:
  - {from: web, ports: [tcp/8080]}
needs:
  - {to: host, ports: [tcp/8080]}
---
apiVersion: microseg/v1
kind: Service
service: db
env: [prod, dev]
ports: {pg: tcp/5432}
allow:
  - {from: {net: dba}, ports: [pg], ping: true}
needs:
  - {to: {net: dba}, ports: [udp/9000]}
  - {to: {net: [10.61.0.200/32, "fd61::200/128"]}, ports: [udp/9000]}
---
apiVersion: microseg/v1
kind: Service
service: web
env: prod
allow:
  - {from: web, ports: [tcp/8080]}
"""

# On both bridges; the VPN is on the first.
CONTAINERS = (
    ("db", "br-one", "prod", "db"),
    ("far-db", "br-two", "prod", "db"),
    ("web", "br-one", "prod", "web"),
    ("dev-db", "br-two", "dev", "db"),
    ("dev-near", "br-one", "dev", "tool"),
    ("nobody", "br-two", None, None),
)
CARRIED = {4: "10.8.0.0/16", 6: "fd08::/48"}
LINK = {4: "10.99.0.%d/24", 6: "fd99::%d/64"}


class Client(OutsideAddress):
    """One address of a client behind the VPN."""


class Stranger(Client):
    """The same address as somebody sees it to whom it is nobody's."""

    identity = "unidentified"


class Service(Party):
    """An address of the VPN that is not on its interface: others find it by asking the VPN."""

    identity = "net"
    routes = True

    def __init__(self, vpn, addr):
        self.name = "service-address"
        self.addr = addr
        self._agent = vpn.agent


def connect_client(lab, vpn):
    """A namespace behind the VPN that only the VPN sees, as at the other end of a tunnel."""
    client = lab._namespace("client", type(lab.outside))
    client.ip("link add eth0 type veth peer name wg0 netns %s" % vpn.netns, "link set eth0 up")
    vpn.ip("link set wg0 up")
    for family in (4, 6):
        nodad = " nodad" if family == 6 else ""
        client.ip("addr add %s dev eth0%s" % (LINK[family] % 2, nodad))
        vpn.ip("addr add %s dev wg0%s" % (LINK[family] % 1, nodad),
               "route add %s via %s" % (CARRIED[family], (LINK[family] % 2).split("/")[0]))
        client.ip("route add default via %s" % (LINK[family] % 1).split("/")[0])
    vpn.sysctl({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
    return client


def route_to(lab, vpn, parties):
    """The host finds the clients through the VPN, and so does who shares its bridge; the others ask the host."""
    lab.host.sysctl({"net.ipv4.conf.all.send_redirects": 0})
    lab.host.ip("route add %s via %s" % (CARRIED[4], vpn.addr[4]), "route add %s via %s" % (CARRIED[6], vpn.addr[6]))
    for name in ("db", "dev-near"):
        parties[name].ip("route add %s via %s" % (CARRIED[4], vpn.addr[4]), "route add %s via %s" % (CARRIED[6], vpn.addr[6]))


def build():
    lab = Lab()
    lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
    lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
    vpn = lab.container("vpn", "br-one", "prod", "vpn")
    parties = {name: lab.container(name, bridge, env, service) for name, bridge, env, service in CONTAINERS}
    vpn.routes = True
    client = connect_client(lab, vpn)
    route_to(lab, vpn, parties)
    vpn.ip("addr add 10.61.0.200/32 dev lo", "addr add fd61::200/128 dev lo nodad", "neigh add proxy fd61::200 dev eth0")
    vpn.sysctl({"net.ipv6.conf.all.proxy_ndp": 1, "net.ipv6.conf.eth0.proxy_ndp": 1})
    parties.update(vpn=vpn, host=lab.host, outside=lab.outside)
    for party in (*parties.values(), client):
        party.listen(tcp=[8080, 5432], udp=[9000])
    parties["dba"] = Client(client, "dba", {4: "10.8.0.2", 6: "fd08::2"})
    parties["other"] = Client(client, "other", {4: "10.8.1.2", 6: "fd08:0:0:1::2"})
    parties["stolen"] = Client(client, "stolen", {4: "10.8.0.66", 6: "fd08::66"})
    parties["as-nobody"] = Stranger(client, "as-nobody", {4: "10.8.0.3", 6: "fd08::3"})
    parties["service-address"] = Service(vpn, {4: "10.61.0.200", 6: "fd61::200"})
    lab.outside.ip("route add fd08::/16 via 2001:db8:2::1")
    lab.settle()
    return lab, parties


def table_of(p):
    """Each flow and why it is refused."""
    table = []
    for db in (p["db"], p["far-db"]):
        table += [*flows(p["dba"], db, "tcp/5432 ping"), *flows(p["dba"], db, "tcp/8080 udp/9000", "no-grant"),
                  *flows(p["other"], db, "tcp/5432 ping", "no-grant"), *flows(p["stolen"], db, "tcp/5432", "never"),
                  *flows(db, p["dba"], "udp/9000"), *flows(db, p["dba"], "tcp/8080 ping", "no-grant"),
                  *flows(db, p["other"], "udp/9000", "no-grant")]
    return [
        *table,
        *flows(p["dba"], p["web"], "tcp/8080 ping", "no-grant"), *flows(p["web"], p["dba"], "tcp/8080", "no-grant"),
        *flows(p["as-nobody"], p["host"], "tcp/8080 udp/9000 ping", "unidentified"),
        *flows(p["as-nobody"], p["nobody"], "tcp/8080 ping", "unidentified"),
        *flows(p["nobody"], p["as-nobody"], "tcp/8080 udp/9000", "unidentified"),
        *flows(p["as-nobody"], p["outside"], "tcp/8080", "unidentified"),
        # What the VPN says for itself is its own.
        *flows(p["vpn"], p["host"], "tcp/8080"), *flows(p["vpn"], p["db"], "tcp/5432", "no-grant"),
        *flows(p["web"], p["vpn"], "tcp/8080"),
        # Found by ARP and neighbour discovery.
        *flows(p["db"], p["service-address"], "udp/9000"), *flows(p["db"], p["service-address"], "tcp/8080", "no-grant"),
        *flows(p["far-db"], p["service-address"], "udp/9000"),
    ]


def audited(report, node, p):
    """A service in audit lets everything in, and says what it would have refused."""
    for port, reason in (("tcp/5432", None), ("tcp/8080", "no-grant")):
        since = events_mark()
        for flow in flows(p["dba"], p["dev-db"], port):
            report.equal(flow.answer(flow.start()), "ok", "%s, in audit" % flow)
        if reason:
            wait_for(lambda: any(e["verdict"] == "audited" and e["reason"] == reason and e["src"]["identity"] == "net"
                                 and e["dst"]["identity"] == "dev/db" for e in node.events(since)),
                     "an audited event", EVENT_PATIENCE)


def borrowed(p):
    """Containers that send from the VPN's addresses without carrying them: {name: party}."""
    lo = {4: "10.8.0.7", 6: "fd08::7"}
    return {name: OutsideAddress(p[name], name + "-borrows", lo) for name in ("web", "dev-near")}


def counted(node, party):
    """(what was refused to and from this container, whether its last time is known), as `endpoints` tells it."""
    rows = [row for row in node.endpoints() if row["interface"] == party.port]
    return sum(row["denied"] for row in rows), all(row["last_drop"] for row in rows)


def borrowing(report, node, p, parties):
    """What the VPN is granted is not for its neighbours: neither in enforce nor in audit."""
    for name, party in parties.items():
        p["db"].agent.do("forget")
        since, (before, _) = events_mark(), counted(node, p[name])
        results = [flow.answer(flow.start()) for flow in flows(party, p["db"], "tcp/5432")]
        report.equal(results, ["timeout"] * 2, "%s does not get in with an address that it does not carry" % name)
        for family in (4, 6):
            wait_for(lambda: any(e["reason"] == "spoof" and e["verdict"] == "denied" and e["src"]["ip"] == party.addr[family]
                                 and e["src"]["interface"] == p[name].port for e in node.events(since)),
                     "the event of %s" % name, EVENT_PATIENCE)
        wait_for(lambda: counted(node, p[name]) == (before + sum(
            e["count"] for e in node.events(since) if p[name].port in (e["src"]["interface"], e["dst"]["interface"])), True),
                 "endpoints to count what %s was refused" % name, EVENT_PATIENCE)
        report.check(counted(node, p[name])[0] > before, "endpoints counts what %s was refused" % name)
        arrived = [entry for entry in p["db"].agent.do("sniffed")["seen"] if entry[0] in party.addr.values()]
        report.equal(arrived, [], "nothing of %s arrived" % name)


def explained(report, node, p):
    """`explain` says of a carried address what the kernel does."""
    flows_of = (("10.8.0.2", "db", "tcp", 5432, "allow"), ("10.8.1.2", "db", "tcp", 5432, "deny"),
                ("10.8.0.2", "host", "tcp", 8080, "deny"), ("db", "10.8.0.2", "udp", 9000, "allow"))
    names = {name: party.port for name, party in p.items() if hasattr(party, "port")}
    lines = [json.dumps({"src": names.get(src, src), "dst": names.get(dst, dst), "proto": proto, "dport": port})
             for src, dst, proto, port, _ in flows_of]
    said = node.cli("explain", "--batch", "-", stdin="\n".join(lines) + "\n")
    verdicts = [json.loads(line)["verdict"] for line in said.stdout.splitlines()]
    report.equal(verdicts, [flow[-1] for flow in flows_of], "explain agrees")


def withdrawn(report, node, lab, p, policy):
    """Without `carries` the VPN's clients are forged addresses."""
    with open(os.path.join(policy, "policy.yaml"), "w") as file:
        file.write("\n".join(line for line in POLICY.splitlines() if not line.startswith("carries:")))
    said = node.cli("apply", "--yes", "-p", policy)
    report.equal(said.returncode, 0, "a policy in which nothing is carried is applied")
    matrix(report, node, [*flows(p["web"], p["vpn"], "tcp/8080")], "nothing is carried")
    results = [flow.answer(flow.start()) for flow in flows(p["dba"], p["db"], "tcp/5432")]
    report.equal(results, ["timeout"] * 2, "then the VPN's clients reach nobody")
    report.check("carried" not in lab.host.run("nft", "list", "ruleset").stdout, "and nothing of it is left in the kernel")


def main():
    report = Report("carried addresses")
    lab, p = build()
    with lab:
        table = table_of(p)
        borrowers = borrowed(p)
        control(report, table, "no microseg")
        for name, party in borrowers.items():
            for way in (lab.host, p["db"]):  # the way back to who has the address now
                way.ip("route replace %s via %s" % (party.addr[4], p[name].addr[4]))
            control(report, list(flows(party, p["db"], "tcp/5432", families=(4,))), "no microseg")
        node = Node(lab)
        policy = os.path.join(lab.dir, "policy")
        os.mkdir(policy)
        with open(os.path.join(policy, "policy.yaml"), "w") as file:
            file.write(POLICY)
        node.start(policy)
        node.wait_endpoints([party for party in p.values() if hasattr(party, "port")])
        report.section(matrix, report, node, table, "enforcing")
        report.section(audited, report, node, p)
        report.section(borrowing, report, node, p, borrowers)
        report.section(explained, report, node, p)
        listing = lab.host.run("nft", "list", "ruleset").stdout
        report.check("carriers/prod/vpn" in listing, "nft lists the ruleset")
        report.section(withdrawn, report, node, lab, p, policy)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
