#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What connection tracking is made to believe: by a helper that somebody assigned, and by packets that it never saw.

Somebody else's rule gives FTP's helper the control connections that we allow. What either end then announces, the kernel
expects, and calls related: no grant names it, so it is refused, whoever announced it and whoever calls. And a connection
whose data passed while nothing of ours stood goes on when our tables come back, though its sequence numbers are far from
where connection tracking last saw them.
"""
import ipaddress
import os
import socket
import sys
import time

from wire import ENVIRONMENTS, build, meet

import frames as f
from lab import wait_for
from node import EVENT_PATIENCE, Node, events_mark
from tap import Report

FTP, STREAM = 21, 8080
POLICY = ENVIRONMENTS + """---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow:
  - {from: [web, host], ports: [tcp/21, tcp/8080]}
---
apiVersion: microseg/v1
kind: Service
service: web
env: prod
needs:
  - {to: host, ports: [tcp/21, tcp/8080]}
"""
# Any firewall may have such rules; the kernel assigns no helper by itself.
HELPER = """table inet other {
    ct helper ftp { type "ftp" protocol tcp; }
    chain forward { type filter hook forward priority -150; tcp dport 21 ct helper set "ftp"; }
    chain input { type filter hook input priority -150; tcp dport 21 ct helper set "ftp"; }
    chain output { type filter hook output priority -150; tcp dport 21 ct helper set "ftp"; }
}
"""
# Somebody else has the kernel track what is routed: else it knows by itself that it has missed something.
TRACKING = "add table inet other; add chain inet other c {type filter hook forward priority 0;}; add rule inet other c ct state new"
# Control connections: client, server.
CONTROL = (("client", "server"), ("client", "far"), ("client", "host"), ("host", "server"))
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


def hand_over(lab, flag):
    """Do the bridges show the kernel's connection tracking what passes within them?"""
    for bridge in lab.bridges:
        lab.host.ip("link set %s type bridge nf_call_iptables %d nf_call_ip6tables %d" % (bridge, flag, flag))


# ---- helpers -------------------------------------------------------------------------------------------------------


def announce(addr, port, passive):
    """The line by which FTP says where its data goes."""
    if ":" in addr:
        return b"229 Entering Extended Passive Mode (|||%d|)\r\n" % port if passive else (
            "EPRT |2|%s|%d|\r\n" % (addr, port)).encode()
    numbers = addr.replace(".", ",") + ",%d,%d" % (port >> 8, port & 255)
    return (("227 Entering Passive Mode (%s).\r\n" if passive else "PORT %s\r\n") % numbers).encode()


def expected(host):
    return "".join(host.run("conntrack", "-L", "expect", "-f", family, check=False).stdout for family in ("ipv4", "ipv6"))


def called(caller, target, family, port):
    """Does a connection to the announced port open?"""
    with make(target, family) as door, make(caller, family) as out:
        door.bind((target.address_for(caller, family), port))
        door.listen(1)
        out.settimeout(1.3)
        try:
            out.connect((target.address_for(caller, family), port))
        except OSError:
            return False
        return True


def one_dialogue(host, client, server, family, port, passive):
    """(did the kernel expect what was announced, did the connection open)"""
    out, into = dial(client, server, family, FTP)
    with out, into:
        speaker, hearer = (into, out) if passive else (out, into)
        # A server greets first; helpers look at nothing before they saw both directions.
        into.sendall(b"220 ready\r\n")
        out.recv(64)
        out.sendall(b"EPSV\r\n" if passive else b"NOOP\r\n")
        into.recv(64)
        speaker.sendall(announce(speaker.getsockname()[0], port, passive))
        hearer.recv(128)
        believed = "dport=%d" % port in expected(host)
        ends = (client, server) if passive else (server, client)
        return believed, called(*ends, family, port)


def helpers(report, what, parties, open_, node=None):
    """Every way in which FTP announces a port, between containers and with the host at either end."""
    host, port = parties["host"], 20000
    since = events_mark()
    for client, server in CONTROL:
        for family in (4, 6):
            for passive in (True, False):
                port += 257
                found = one_dialogue(host, parties[client], parties[server], family, port, passive)
                report.equal(found, (True, open_), "%s: IPv%d %s -> %s, %s: the kernel expects it, and it %s" % (
                    what, family, client, server, "passive" if passive else "active", "opens" if open_ else "does not open"))
    if node:
        wanted = {(event["src"]["identity"], event["dst"]["identity"]) for event in wait_for(
            lambda: [event for event in node.events(since) if event["reason"] == "no-grant"], "events", EVENT_PATIENCE)}
        report.check(wanted >= {("prod/web", "prod/api"), ("prod/api", "prod/web"), ("host", "prod/web")},
                     "%s: the events say that nothing grants it" % what, wanted)


# ---- packets that nobody tracked ---------------------------------------------------------------------------------------


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
                 for client, server in CONTROL for family in (4, 6) for first in ("client", "server")}
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
        lab.host.run("nft", "-f", "-", stdin=HELPER)
        hand_over(lab, 1)
        report.section(helpers, report, "no microseg", parties, True)
        hand_over(lab, 0)
        node = Node(lab)
        node.start(write_policy(lab))
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        meet(parties)
        report.section(helpers, report, "enforcing", parties, False, node)
        lab.host.run("nft", "delete table inet other; " + TRACKING)
        report.section(sequence, report, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
