# SPDX-License-Identifier: GPL-2.0-or-later
"""Wire: a lab for tests that put packets on the wire themselves, and sockets that take what arrives.

A client, a server on its bridge and one behind the host, an attacker without grants, and the world outside. An End is a
party with raw sockets: it sends packets to another end in either family and sees what comes back.
"""
import os
import socket
import time

import scenario  # noqa: F401  finds tests/lab

import frames as f
from crafted import host_link, own_link
from lab import Lab
from node import Node

CONTAINERS = (
    ("client", "br-one", "prod", "web"),
    ("server", "br-one", "prod", "api"),
    ("far", "br-two", "prod", "api"),
    ("attacker", "br-one", "prod", "other"),
)
ENVIRONMENTS = """apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments: {prod: {mode: enforce}}
"""
API = """---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow:
  - {from: web, %s}
"""


class End:
    """A container's interface, for packets made by hand."""

    def __init__(self, party, host):
        self.party = party
        self.mac = own_link(party)[0]
        self.gateway_mac = host_link(host, party.bridge.name)[0]
        self.sender = f.Sender(party)
        self.tap = f.Tap(party)

    def ether(self, other, family, packet):
        """The frame that carries a packet to another end, or to the gateway where that is not a neighbour."""
        near = isinstance(other, End) and other.party.bridge is self.party.bridge
        return f.ether(other.mac if near else self.gateway_mac, self.mac, 0x0800 if family == 4 else 0x86DD, packet)

    def packet(self, other, family, proto, payload, **header):
        src, dst = self.party.addr[family], other.party.addr[family]
        return f.ip4(src, dst, proto, payload, **header) if family == 4 else f.ip6(src, dst, proto, payload, **header)

    def send(self, other, family, proto, payload, **header):
        self.sender.send(self.ether(other, family, self.packet(other, family, proto, payload, **header)))

    def segment(self, other, family, sport, dport, flags, data=b"", **numbers):
        """Sends one TCP segment."""
        src, dst = self.party.addr[family], other.party.addr[family]
        self.send(other, family, f.TCP, f.tcp(src, dst, sport, dport, flags, data, **numbers))

    def datagram(self, other, family, sport, dport, data):
        src, dst = self.party.addr[family], other.party.addr[family]
        self.send(other, family, f.UDP, f.udp(src, dst, sport, dport, data))


class Sink:
    """A UDP socket on a port of a party, in both families."""

    def __init__(self, party, port):
        self.socks = []
        with f.inside(party):
            for family, addr in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                sock = socket.socket(family, socket.SOCK_DGRAM)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((addr, port))
                sock.setblocking(False)
                self.socks.append(sock)

    def read(self, wait=0.25):
        """[payload, …] of all that comes in this time."""
        found, deadline = [], time.monotonic() + wait
        while time.monotonic() < deadline:
            for sock in self.socks:
                try:
                    found.append(sock.recv(65535))
                except BlockingIOError:
                    pass
            time.sleep(0.01)
        return found


def build():
    """The lab, its parties by name and the ends of its containers."""
    lab = Lab()
    lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
    lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
    parties = {name: lab.container(name, bridge, env, service) for name, bridge, env, service in CONTAINERS}
    parties.update(host=lab.host, outside=lab.outside)
    lab.settle()
    ends = {name: End(party, lab.host) for name, party in parties.items() if hasattr(party, "port")}
    meet(parties)
    return lab, parties, ends


def meet(parties):
    """Everybody resolves everybody, so that no packet made by hand waits for an address."""
    for src in parties.values():
        for family in (4, 6):
            for dst in parties.values():
                if src is not dst:
                    src.agent.send("udp", dst=dst.address_for(src, family), port=9, timeout=0.2)
    time.sleep(0.4)


def start(lab, parties, ports, more="", nets=""):
    """microsegd with a policy by which web may call api on these ports. Returns the node."""
    node = Node(lab)
    node.start()
    apply(node, ports, more, nets)
    node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
    meet(parties)
    return node


def apply(node, ports, more="", nets=""):
    """nets: more lines of the environments' document; more: further documents."""
    path = os.path.join(node.lab.dir, "policy.yaml")
    with open(path, "w") as file:
        file.write(ENVIRONMENTS + nets + API % ("ports: [%s]" % ports) + more)
    answer = node.cli("apply", "--yes", "-p", path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
