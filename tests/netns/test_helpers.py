#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a helper of connection tracking expects passes by a grant of its own, or not at all.

Somebody else's rules give FTP its helper. It reads in a granted connection where the data shall go, and from then on the
kernel calls a connection to there related, whoever of the two opens it: containers and the host, on one bridge and routed.
"""
import contextlib
import itertools
import json
import os
import socket
import sys

from wire import ENVIRONMENTS, build, meet

import frames as f
from lab import wait_for
from node import Node
from tap import Report

CONTROL_PORT = 21
DATA_PORTS = itertools.count(3000)
HELPERS = """table inet helpers {
	counter related { }
	ct helper ftp-4 { type "ftp" protocol tcp; l3proto ip; }
	ct helper ftp-6 { type "ftp" protocol tcp; l3proto ip6; }
	chain assign {
		meta nfproto ipv4 tcp dport 21 ct helper set "ftp-4"
		meta nfproto ipv6 tcp dport 21 ct helper set "ftp-6"
		ct state related tcp flags syn / syn,ack counter name related
	}
	chain from-wire { type filter hook prerouting priority -150; jump assign; }
	chain from-host { type filter hook output priority -150; jump assign; }
}
"""
NET = '{net: [192.0.2.0/24, "2001:db8:2::/64"]}'
GRANTS = """---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow: [{from: [web, host], ports: [%(to)s]}]
needs: [{to: host, ports: [%(back)s]}]
---
apiVersion: microseg/v1
kind: Service
service: web
env: prod
allow: [{from: [api, host, %(net)s], ports: [%(back)s]}]
needs: [{to: [host, %(net)s], ports: [%(to)s]}]
"""
# Clients and servers of the control connection, which is granted.
PAIRS = (("client", "server"), ("client", "far"), ("client", "host"), ("host", "server"), ("client", "outside"))


def write(lab, data):
    """A policy that grants the control connections, and the data's ports too if so."""
    path = os.path.join(lab.dir, "policy.yaml")
    with open(path, "w") as file:
        file.write(ENVIRONMENTS + GRANTS % {"net": NET, "to": "tcp/21, tcp/3000-3999" if data else "tcp/21",
                                            "back": "tcp/3000-3999" if data else "tcp/9"})
    return path


def make(party, family):
    with f.inside(party):
        sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(3)
    return sock


def door(party, family, port):
    sock = make(party, family)
    sock.bind(("0.0.0.0" if family == 4 else "::", port))
    sock.listen(4)
    return sock


def say(sock, peer, line):
    sock.sendall(line.encode() + b"\r\n")
    peer.recv(4096)


def where(family, active, addr, port):
    """The line that says where the data shall go."""
    if family == 6:
        return "EPRT |2|%s|%d|" % (addr, port) if active else "229 Extended Passive Mode (|||%d|)" % port
    numbers = "%s,%d,%d" % (addr.replace(".", ","), port >> 8, port & 255)
    return "PORT " + numbers if active else "227 Passive Mode (%s)" % numbers


class Session:
    """A control connection in which an end has said where it takes the data: the client, if active, else the server."""

    def __init__(self, client, server, family, active):
        self.name = "%s of %s and %s over IPv%d" % (
            "what the server opens" if active else "what the client opens", client.name, server.name, family)
        opener, target = (server, client) if active else (client, server)
        self.addr, self.port = target.address_for(opener, family), next(DATA_PORTS)
        self.kept = [make(client, family), door(server, family, CONTROL_PORT), door(target, family, self.port)]
        out, into = self.kept[:2]
        out.connect((server.address_for(client, family), CONTROL_PORT))
        peer, _ = into.accept()
        into.close()
        self.kept.append(peer)
        say(peer, out, "220 here")
        say(out, peer, "USER me")
        line = where(family, active, self.addr, self.port)
        say(*((out, peer) if active else (peer, out)), line)
        self.data = make(opener, family)
        self.data.setblocking(False)
        self.data.connect_ex((self.addr, self.port))

    def wait(self):
        self.data.settimeout(1.0)
        with contextlib.suppress(OSError):
            self.data.connect((self.addr, self.port))

    def opened(self):
        try:
            self.data.getpeername()
            return True
        except OSError:
            return False

    def close(self):
        for sock in (self.data, *self.kept):
            sock.close()


def related(host):
    words = host.run("nft", "list", "counter", "inet", "helpers", "related").stdout.split()
    return int(words[words.index("packets") + 1])


def sessions(report, parties, what, opens):
    """All of them: their data connections open, or none does, while the kernel calls each of them related."""
    before = related(parties["host"])
    made = [Session(parties[client], parties[server], family, active)
            for client, server in PAIRS for family in (4, 6) for active in (True, False)]
    for session in made:
        session.wait()
    names = [session.name for session in made]
    report.equal([session.name for session in made if session.opened()], names if opens else [],
                 "%s: of %d data connections %s opens" % (what, len(made), "each" if opens else "none"))
    report.check(related(parties["host"]) - before >= len(made), "%s: the kernel takes each for a related one" % what,
                 related(parties["host"]) - before)
    for session in made:
        session.close()


def limited(report, lab, node, server):
    """It counts against the limit of who opens it: of two sessions, three connections in all, the fourth one is too many."""
    node.stop()
    with open(node.config, "a") as config:
        config.write("limits: {connections: 3}\n")
    node.start()
    for family in (4, 6):
        client = lab.container("client-%d" % family, "br-one", "prod", "web")
        node.wait_endpoints([client])
        meet({"client": client, "server": server})
        made = [Session(client, server, family, False) for _ in range(2)]
        for session in made:
            session.wait()
        report.equal([session.opened() for session in made], [True, False], "IPv%d: the third is let through, the fourth is not" % family)
        wait_for(lambda: any(json.loads(line)["dst"]["port"] == made[1].port for line in node.cli(
            "drops", "-o", "json", "--reason", "limit").stdout.splitlines()), "the limit to be said to be the reason", 3)
        for session in made:
            session.close()


def main():
    report = Report(__doc__)
    lab, parties, _ = build()
    with lab:
        for bridge in lab.bridges:  # or nobody tracks what passes there, and no helper sees it
            lab.host.ip("link set %s type bridge nf_call_iptables 1 nf_call_ip6tables 1" % bridge)
        lab.host.run("nft", "-f", "-", stdin=HELPERS)
        report.section(sessions, report, parties, "no microseg", True)
        node = Node(lab)
        node.start(write(lab, False))
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        meet(parties)
        report.section(sessions, report, parties, "enforcing", False)
        answer = node.cli("apply", "--yes", "-p", write(lab, True))
        report.equal(answer.returncode, 0, "apply", answer.stderr)
        report.section(sessions, report, parties, "granted", True)
        report.section(limited, report, lab, node, parties["server"])
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
