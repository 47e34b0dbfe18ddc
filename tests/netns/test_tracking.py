#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that connection tracking never saw: a connection whose data passed while nothing of ours stood goes on when our
tables come back, though its sequence numbers are far from where connection tracking last saw them.
"""
import os
import socket
import sys

from wire import ENVIRONMENTS, build, meet

import frames as f
from lab import wait_for
from node import Node
from tap import Report

STREAM = 8080
POLICY = ENVIRONMENTS + """---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow:
  - {from: [web, host], ports: [tcp/8080]}
---
apiVersion: microseg/v1
kind: Service
service: web
env: prod
needs:
  - {to: host, ports: [tcp/8080]}
"""
# Somebody else has the kernel track what is routed: else it knows by itself that it has missed something.
TRACKING = "add table inet other; add chain inet other c {type filter hook forward priority 0;}; add rule inet other c ct state new"
# Connections: client, server.
PAIRS = (("client", "server"), ("client", "far"), ("client", "host"), ("host", "server"))
BULK = 24 << 20  # bytes; no window of TCP is that large here


def write_policy(lab):
    path = os.path.join(lab.dir, "tracking.yaml")
    with open(path, "w") as file:
        file.write(POLICY)
    return path


def make(party, family):
    with f.inside(party):
        sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(2)
    return sock


def dial(src, dst, family, port):
    """Opens one connection. Returns its two sockets, the client's first."""
    with make(dst, family) as door:
        out = make(src, family)
        door.bind((dst.address_for(src, family), port))
        door.listen(4)
        out.bind((src.address_for(dst, family), 0))
        out.connect((dst.address_for(src, family), port))
        return out, door.accept()[0]


def pump(out, into, size):
    """Sends so many bytes and takes them at the other end."""
    block, left = bytes(1 << 16), size
    out.settimeout(5)
    into.settimeout(5)
    while left > 0:
        out.sendall(block)
        missing = len(block)
        while missing > 0:
            missing -= len(into.recv(missing))
        left -= len(block)


def exchange(first, second):
    """Does what one end says arrive, and the answer?"""
    try:
        for out, into in ((first, second), (second, first)):
            into.settimeout(3)
            out.sendall(b"on")
            if into.recv(2) != b"on":
                return False
    except OSError:
        return False
    return True


def sequence(report, node, parties):
    """Both directions, both ends speaking first, with a strict window check and without loose pick-up too."""
    host = parties["host"]
    for loose in (1, 0):
        host.sysctl({"net.netfilter.nf_conntrack_tcp_be_liberal": 0, "net.netfilter.nf_conntrack_tcp_loose": loose})
        talks = {(client, server, family, first): dial(parties[client], parties[server], family, STREAM)
                 for client, server in PAIRS for family in (4, 6) for first in ("client", "server")}
        wrong = [key for key, (out, into) in talks.items() if not exchange(out, into)]
        report.equal(wrong, [], "loose %d: all are open and tracked (the control)" % loose)
        node.cli("off")
        wait_for(lambda: node.status().get("state") == "off", "off")
        for out, into in talks.values():
            pump(out, into, BULK)
            pump(into, out, BULK)
        node.cli("on")
        node.wait_ready(("enforcing",))
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        for (client, server, family, first), (out, into) in talks.items():
            report.check(exchange(*((out, into) if first == "client" else (into, out))),
                         "loose %d: IPv%d %s -> %s goes on after %d bytes that nobody tracked, the %s speaking first" % (
                             loose, family, client, server, 2 * BULK, first))
            out.close()
            into.close()


def main():
    report = Report(__doc__)
    lab, parties, _ = build()
    with lab:
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        node = Node(lab)
        node.start(write_policy(lab))
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        meet(parties)
        lab.host.run("nft", TRACKING)
        report.section(sequence, report, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
