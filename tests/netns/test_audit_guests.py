#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are more than a service: a pair that shares an address by VRRP, a DHCP server, a router for a network of its own.

In audit all three work as without microseg, and what enforcing would refuse of them has its `audited` event. In enforce it
is refused, with its event: a virtual MAC and a foreign source are spoof, a DHCP server's answers are no endpoint's, and what
goes to a group is nobody's grant.
"""
import os
import socket
import struct
import sys
import time

import scenario  # noqa: F401  finds tests/lab

import frames as f
from crafted import own_link
from frames import Sender, Tap
from lab import Lab, wait_for
from node import EVENT_PATIENCE, Node, events_mark
from tap import Report

CONTAINERS = (
    ("first", "lab", "vrrp"),
    ("second", "lab", "vrrp"),
    ("dhcp", "lab", "dhcp"),
    ("router", "lab", "vpn"),
    ("client", "lab", "web"),
)
POLICY = """apiVersion: microseg/v1
kind: Environments
unidentified: {mode: %s}
environments: {lab: {mode: %s}}
---
{apiVersion: microseg/v1, kind: Service, service: vrrp, env: lab, allow: [{from: web, ports: [tcp/8080]}]}
---
{apiVersion: microseg/v1, kind: Service, service: dhcp, env: lab}
---
{apiVersion: microseg/v1, kind: Service, service: vpn, env: lab}
---
{apiVersion: microseg/v1, kind: Service, service: web, env: lab}
"""
VRRP_GROUP, VRRP = "224.0.0.18", 112
VIRTUAL_MAC, VIRTUAL_ADDR = "00:00:5e:00:01:33", "10.61.0.200"
BEHIND_ROUTER = "10.99.0.7"
BROADCAST = b"\xff" * 6


# ---- VRRP --------------------------------------------------------------------------------------------------------


def take(party, other):
    """What keepalived does when it becomes master, with use_vmac: the virtual interface comes up and is announced."""
    other.ip("link del vrrp0", force=True)
    party.ip("link add vrrp0 link eth0 type macvlan mode bridge", "link set vrrp0 address %s" % VIRTUAL_MAC,
             "addr add %s/32 dev vrrp0" % VIRTUAL_ADDR, "link set vrrp0 up")
    mac = f.mac(VIRTUAL_MAC)
    Sender(party, "vrrp0").send(f.ether(BROADCAST, mac, 0x0806, f.arp(1, mac, VIRTUAL_ADDR, b"\0" * 6, VIRTUAL_ADDR)))


def advertise(party, priority):
    """One advertisement (RFC 5798), from the virtual MAC."""
    body = struct.pack("!BBBBH", 0x31, 0x33, priority, 1, 100) + b"\0\0" + f.packed(VIRTUAL_ADDR)
    total = f.checksum(f.pseudo(party.addr[4], VRRP_GROUP, VRRP, len(body)) + body)
    body = body[:6] + struct.pack("!H", total) + body[8:]
    Sender(party, "vrrp0").send(f.ether(f.mac_of(VRRP_GROUP), f.mac(VIRTUAL_MAC), 0x0800,
                                        f.ip4(party.addr[4], VRRP_GROUP, VRRP, body, ttl=255)))


class Listener:
    """Who waits for the master's advertisements, as a socket gets them."""

    def __init__(self, party):
        with f.inside(party):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, VRRP)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                             struct.pack("4s4s", f.packed(VRRP_GROUP), f.packed(party.addr[4])))
        self.sock.settimeout(0.5)

    def hears(self):
        try:
            return self.sock.recv(256)[20 + 2]  # the priority
        except TimeoutError:
            return None


def vrrp(report, what, parties, open_):
    """The address moves from one to the other, and the backup hears the master."""
    client, first, second = parties["client"], parties["first"], parties["second"]
    for master, backup, priority in ((first, second, 200), (second, first, 100)):
        take(master, backup)
        ears = Listener(backup)
        advertise(master, priority)
        report.equal(ears.hears(), priority if open_ else None, "%s: the backup %s %s" % (
            what, "hears" if open_ else "does not hear", master.name))
        ears.sock.close()
        client.run("ip", "neigh", "flush", "all")
        result = client.agent.do("tcp", dst=VIRTUAL_ADDR, port=8080)["result"]
        report.equal(result == "ok", open_, "%s: the shared address %s at %s" % (what, "answers" if open_ else "does not answer", master.name),
                     result)
    second.ip("link del vrrp0")


# ---- DHCP --------------------------------------------------------------------------------------------------------


def message(op, kind, mac, yours="0.0.0.0", server="0.0.0.0"):
    """A BOOTP message with the option that says which kind of DHCP message it is."""
    head = struct.pack("!BBBBIHH4s4s4s4s16s", op, 1, 6, 0, 0x4D530001, 0, 0x8000, f.packed("0.0.0.0"), f.packed(yours),
                       f.packed(server), b"\0" * 4, mac + b"\0" * 10)
    return head + b"\0" * 192 + b"\x63\x82\x53\x63" + bytes([53, 1, kind, 255])


def dhcp(report, what, parties, open_):
    """A client without an address asks everybody, and the server in a container offers it one."""
    server, client = parties["dhcp"], parties["client"]
    mac = own_link(client)[0]
    with f.inside(server):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sock.bind(("", 67))
    sock.settimeout(0.5)
    tap = Tap(client)
    discover = f.udp("0.0.0.0", "255.255.255.255", 68, 67, message(1, 1, mac))
    Sender(client).send(f.ether(BROADCAST, mac, 0x0800, f.ip4("0.0.0.0", "255.255.255.255", f.UDP, discover)))
    try:
        heard = sock.recv(1024)[242] == 1
    except TimeoutError:
        heard = False
    report.equal(heard, open_, "%s: the DHCP server in a container %s the client" % (what, "hears" if open_ else "does not hear"))
    offer = message(2, 2, mac, "10.61.0.77", server.addr[4])
    sock.sendto(offer, ("255.255.255.255", 68))
    report.equal(tap.saw(offer[:44]), open_, "%s: its offer %s" % (what, "arrives" if open_ else "does not arrive"))
    sock.close()
    tap.close()


# ---- a router ----------------------------------------------------------------------------------------------------


def routed(report, what, parties, open_):
    """A datagram from the network behind the router reaches a container, and the answer finds its way back."""
    router, client = parties["router"], parties["client"]
    client.ip("route replace %s via %s" % (BEHIND_ROUTER, router.addr[4]))
    tap = Tap(router)
    mac, to = own_link(router)[0], own_link(client)[0]
    data = b"MS from behind"
    Sender(router).send(f.ether(to, mac, 0x0800, f.ip4(BEHIND_ROUTER, client.addr[4], f.UDP,
                                                       f.udp(BEHIND_ROUTER, client.addr[4], 4000, 9000, data))))
    report.equal(tap.saw(data, 0.5), open_, "%s: what the router forwards is %s" % (what, "answered" if open_ else "refused"))
    tap.close()


# ---- one after the other -----------------------------------------------------------------------------------------

# Of each guest: what would be refused of it, as (port's name, reasons).
EVENTS = {"first": {"spoof", "no-grant"}, "dhcp": {"ethertype"}, "router": {"spoof"}}


def everything(report, what, parties, open_, node=None):
    since = events_mark()
    for guest in (vrrp, dhcp, routed):
        report.section(guest, report, what, parties, open_)
    if not node:
        return
    verdict = "audited" if open_ else "denied"
    for name, reasons in EVENTS.items():
        wanted = reasons if open_ else reasons - {"no-grant"}  # spoof stands before it

        def found(port=parties[name].port):
            return {event["reason"] for event in node.events(since)
                    if event["src"].get("interface") == port and event["verdict"] == verdict}

        wait_for(lambda: wanted <= found(), "%s events of %s; there are %s" % (verdict, name, found()), EVENT_PATIENCE)
        report.check(True, "%s: %s has its %s events: %s" % (what, name, verdict, ", ".join(sorted(wanted))))
    denied = [event for event in node.events(since) if event["verdict"] == "denied"]
    report.check(not (open_ and denied), "%s: %s" % (what, "nothing is denied" if open_ else "it is denied"), denied[:3])


def apply(node, mode):
    path = os.path.join(node.lab.dir, "policy.yaml")
    with open(path, "w") as file:
        file.write(POLICY % (mode, mode))
    answer = node.cli("apply", "--yes", "-p", path)
    if answer.returncode:
        raise RuntimeError(answer.stdout + answer.stderr)


def main():
    report = Report("guests in audit")
    with Lab() as lab:
        lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
        parties = {name: lab.container(name, "br-one", env, service) for name, env, service in CONTAINERS}
        for name in ("first", "second"):
            parties[name].listen(tcp=[8080])
            parties[name].sysctl({"net.ipv4.conf.all.arp_ignore": 1})
        parties["client"].listen(udp=[9000])
        lab.settle()
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        everything(report, "no microseg", parties, True)
        node = Node(lab)
        node.start()
        apply(node, "audit")
        node.wait_endpoints(parties.values())
        everything(report, "audit", parties, True, node)
        apply(node, "enforce")
        time.sleep(1.2)  # else events fold into those of before
        everything(report, "enforce", parties, False, node)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
