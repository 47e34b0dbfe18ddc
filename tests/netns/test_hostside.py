#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What containers reach of the host, by whatever address; what stays among themselves; and the address of cloud metadata.

The host has an address on each bridge, one on its uplink, one on no link at all, and link-local ones; its services listen on
all of them. What no `needs` names is refused at each, names aside, which the gateway answers. A container to itself and the
host to itself are nobody's business, and what a container sends to 127.0.0.1 by the host does not arrive, though engines
have the kernel route it. 169.254.169.254 is no net, so that nothing grants it; fd00:ec2::254 is, until a `never` says no.
Each is tried without microseg first, and gets through.
"""
import copy
import os
import socket
import struct
import sys

import scenario  # noqa: F401  finds tests/lab

import frames as f
from crafted import host_link, own_link
from lab import Lab, OutsideAddress, Party, wait_for
from node import EVENT_PATIENCE, Node, events_mark
from probes import control, flows, matrix
from tap import Report

TCP, UDP = [22, 53, 80, 8022, 8080], [53, 123, 5353, 8080]
DUAL = 8090  # one socket for both families
ENVIRONMENTS = """apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments: {prod: {mode: %s, resolvers: [gateway]}}
"""
WEB = """---
apiVersion: microseg/v1
kind: Service
service: web
env: prod
needs:
  - {to: host, ports: [udp/123, tcp/8022]}
"""
NET_GRANT = """  - {to: {net: [0.0.0.0/0, "::/0"]}, ports: [tcp/80, udp/8080], ping: true}
"""
NEVER = 'never: [{to: {net: [169.254.169.254/32, "fd00:ec2::254/128"]}, reason: cloud metadata}]\n'
CONTAINERS = (("web", "br-one", "prod", "web"), ("api", "br-one", "prod", "api"), ("nobody", "br-two", None, None))
METADATA = {4: "169.254.169.254", 6: "fd00:ec2::254"}
GROUPS = {4: ("224.0.0.251", "224.0.0.1", "255.255.255.255", "10.61.0.255"), 6: ("ff02::fb", "ff02::1", "ff05::2")}


class HostAddress(Party):
    """The host, called by one of its addresses."""

    identity = "host"
    routes = True

    def __init__(self, host, name, addr):
        self.name, self.addr, self._agent = "host by " + name, addr, host.agent


def build():
    lab = Lab()
    lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
    lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
    parties = {name: lab.container(name, bridge, env, service) for name, bridge, env, service in CONTAINERS}
    host, outside = parties["host"], parties["outside"] = lab.host, lab.outside
    host.ip("addr add 10.99.0.1/32 dev lo", "addr add fd99::1/128 dev lo nodad")
    for party in parties.values():
        party.listen(tcp=TCP, udp=UDP)
    with f.inside(host):
        lab.dual = socket.create_server(("", DUAL), family=socket.AF_INET6, dualstack_ipv6=True)
    # No CIDR covers a link-local address, so that IPv4's is nobody in events.
    parties["metadata"] = OutsideAddress(outside, "metadata", METADATA)
    parties["metadata4"] = copy.copy(parties["metadata"])
    parties["metadata4"].identity = None
    lab.settle()
    return lab, parties


def addresses(lab):
    """Every address of the host's, in pairs of both families; the first of them is the one that answers names."""
    host, one, two = lab.host, lab.bridges["br-one"], lab.bridges["br-two"]
    return [HostAddress(host, "its own bridge", one.gateway), HostAddress(host, "another bridge", two.gateway),
            HostAddress(host, "its uplink", host.addr), HostAddress(host, "an address of lo", {4: "10.99.0.1", 6: "fd99::1"})]


# ---- services of the host ------------------------------------------------------------------------------------------


def services(lab, p):
    """Each service at each address, as each container may have it."""
    table = []
    for number, host in enumerate(addresses(lab)):
        names = None if number == 0 else "no-grant"
        table += [*flows(p["web"], host, "udp/123 tcp/8022"), *flows(p["web"], host, "udp/53 tcp/53", names),
                  *flows(p["web"], host, "tcp/22 tcp/80 tcp/8080 udp/5353 udp/8080 ping", "no-grant"),
                  *flows(p["api"], host, "tcp/22 tcp/8022 udp/123", "no-grant"),
                  *flows(p["nobody"], host, "tcp/22 udp/123 udp/53 ping", "unidentified")]
    return table


def link_local(lab, party, port, proto):
    """The bridge's own link-local address, of which every link has one."""
    address = "%s%%eth0" % host_link(lab.host, party.bridge.name)[1]
    return party.agent.do(proto, dst=address, port=port)["result"]


def dual(lab, party):
    """{family: does the socket for both families accept a connection of this family}"""
    return {family: party.agent.send("tcp", dst=party.bridge.gateway[family], port=DUAL, timeout=0.5) for family in (4, 6)}


def special_sockets(report, lab, p, what, open_):
    """Link-local addresses of the host, and one socket for both families."""
    for name in ("web", "api", "nobody"):
        for proto, port in (("tcp", 22), ("tcp", 8080), ("udp", 8080)):
            result = link_local(lab, p[name], port, proto)
            report.equal(result == "ok", open_, "%s: %s/%d of the host's link-local address, from %s, %s" % (
                what, proto, port, name, "answers" if open_ else "does not"), result)
    results = {family: p["web"].agent.wait(number)["result"] for family, number in dual(lab, p["web"]).items()}
    silent = {family: result for family, result in results.items() if result not in ("refused", "prohibited")}
    # Nobody echoes there: a connection that opens ends in silence.
    report.equal(bool(silent), open_, "%s: a socket for both families %s" % (what, "takes both" if open_ else "takes neither"), results)


def listen_to_groups(host):
    """Sockets of the host that hear what is sent to GROUPS on its bridge."""
    with f.inside(host):
        four, six = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("br-one")
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for sock, level, option in ((four, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP), (six, socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP)):
            sock.bind(("", 6060))
            sock.setblocking(False)
            for group in GROUPS[4 if sock is four else 6]:
                if sock is six and group != "ff02::1":
                    sock.setsockopt(level, option, f.packed(group) + struct.pack("@I", index))
                elif sock is four and group == "224.0.0.251":
                    sock.setsockopt(level, option, struct.pack("=4s4si", f.packed(group), b"\0" * 4, index))
    return {4: four, 6: six}


def groups(report, p, ears, what, open_):
    """Datagrams to everybody."""
    for family, sock in ears.items():
        with f.inside(p["web"]):
            out = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
            index = socket.if_nametoindex("eth0")
        out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for group in GROUPS[family]:
            mark = b"MSgroup " + group.encode()
            out.sendto(mark, (group, 6060) if family == 4 else (group, 6060, 0, index))
            heard = []
            with_patience = 0.3
            try:
                wait_for(lambda: heard.extend(read(sock)) or mark in heard, "a datagram", with_patience)
            except Exception:  # noqa: BLE001  it never came
                pass
            report.equal(mark in heard, open_, "%s: a datagram to %s %s the host" % (what, group, "reaches" if open_ else "does not reach"))
        out.close()


def read(sock):
    try:
        return [sock.recv(64)]
    except BlockingIOError:
        return []


# ---- loopback --------------------------------------------------------------------------------------------------------


def to_itself(lab, p):
    """A container by its own addresses, the host by all of its own."""
    found = {}
    for name in ("web", "nobody"):
        for address in ("127.0.0.1", "127.3.2.1", "::1", *p[name].addr.values()):
            for proto in ("tcp", "udp", "ping"):
                found[name, address, proto] = p[name].agent.send(proto, dst=address, port=8080)
    host = p["host"]
    for address in ("127.0.0.1", "127.0.0.2", "::1", *(addr for party in addresses(lab) for addr in party.addr.values())):
        for proto in ("tcp", "udp", "ping"):
            found["host", address, proto] = host.agent.send(proto, dst=address, port=8080)
    return sorted(key for key, number in found.items() if p[key[0]].agent.wait(number)["result"] != "ok")


def itself(report, node, lab, p, what):
    """Nobody's business."""
    since = events_mark()
    report.equal(to_itself(lab, p), [], "%s: containers and the host reach themselves by every address" % what)
    if node:
        report.equal(node.events(since), [], "%s: and no event tells of it" % what)


def routed_loopback(lab, p):
    """Which frames with an address of the loopback net reach the host's sockets, sent by a container to its gateway."""
    web, host = p["web"], p["host"]
    mac, to = own_link(web)[0], host_link(host, "br-one")[0]
    tap, sender, arrived = f.Tap(host, "br-one", deliver=True), f.Sender(web), set()
    cases = {"to 127.0.0.1": (web.addr[4], "127.0.0.1"), "to 127.0.0.53": (web.addr[4], "127.0.0.53"),
             "from 127.0.0.1": ("127.0.0.1", web.bridge.gateway[4]), "both": ("127.0.0.1", "127.0.0.1")}
    for name, (src, dst) in cases.items():
        for proto, port in ((f.TCP, 8022), (f.TCP, 80), (f.UDP, 123)):
            mark = b"MSlo %s %d" % (name.encode(), port)
            payload = f.tcp(src, dst, 4000, port, 0x02, mark) if proto == f.TCP else f.udp(src, dst, 4000, port, mark)
            sender.send(f.ether(to, mac, 0x0800, f.ip4(src, dst, proto, payload)))
            if tap.saw(mark, 0.1):
                arrived.add((name, port))
    tap.close()
    return arrived


def by_the_host(report, lab, p, what, wanted, node=None):
    """127/8 on the wire, on a host that routes it. Even what the container may have of the host it has not by that address."""
    since = events_mark()
    arrived = routed_loopback(lab, p)
    report.check(wanted <= arrived if wanted else not arrived, "%s: %s of it arrives" % (what, "some" if wanted else "nothing"), arrived)
    if node:
        wait_for(lambda: {event["reason"] for event in node.events(since)}, "its events", EVENT_PATIENCE)
        report.check(True, "%s: and it has events" % what)


# ---- metadata ----------------------------------------------------------------------------------------------------------


def apply(node, nets="", more="", mode="enforce"):
    path = os.path.join(node.lab.dir, "hostside.yaml")
    with open(path, "w") as file:
        file.write(ENVIRONMENTS % mode + nets + WEB + more)
    answer = node.cli("apply", "--yes", "-p", path)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def asked(p, reason4, reason6):
    """What web may ask of the metadata address, and that others may not."""
    web, api, nobody = p["web"], p["api"], p["nobody"]
    never = "never" if reason6 == "never" else None
    table = []
    for there, family, reason in ((p["metadata4"], 4, reason4), (p["metadata"], 6, reason6)):
        table += [*flows(web, there, "tcp/80 udp/8080 ping", reason, families=(family,)),
                  *flows(api, there, "tcp/80", never or "no-grant", families=(family,)),
                  *flows(nobody, there, "tcp/80", never or "unidentified", families=(family,))]
    return table


def metadata(report, node, p):
    """Beyond the host: no grant, a grant of everything, a never; with a route of the host's own to it."""
    matrix(report, node, asked(p, "no-grant", "no-grant"), "no grant")
    apply(node, more=NET_GRANT)
    matrix(report, node, asked(p, "no-grant", None), "all nets granted")
    by_the_host(report, node.lab, p, "all nets granted", None, node)
    p["host"].ip("route add 169.254.169.254/32 via 192.0.2.2", "route add fd00:ec2::254/128 via 2001:db8:2::2")
    matrix(report, node, asked(p, "no-grant", None), "all nets granted, a route")
    apply(node, NEVER, more=NET_GRANT)
    matrix(report, node, asked(p, "never", "never"), "never")


def held(report, node, lab, p):
    """Connections to link-local and loopback addresses, open while all was in audit, are cut when it is enforced."""
    web, api = p["web"], p["api"]
    apply(node, mode="audit")
    there = {"metadata, IPv4": METADATA[4], "metadata, IPv6": METADATA[6], "the host, link-local": host_link(lab.host, "br-one")[1] + "%eth0",
             "a container, link-local": own_link(api)[1] + "%eth0"}
    for name, address in there.items():
        report.equal(web.agent.do("hold", key=name, dst=address, port=80)["result"], "ok", "in audit: a connection to %s" % name)
    report.equal(web.agent.do("hold", key="granted", dst=web.bridge.gateway[4], port=8022)["result"], "ok", "and one that is granted")
    apply(node)
    wait_for(lambda: node.status()["counters"]["connections_cut"] >= len(there), "the connections to be cut", 2)
    for name, number in [(name, web.agent.send("talk", key=name)) for name in (*there, "granted")]:
        result = web.agent.wait(number)["result"]
        report.equal(result == "ok", name == "granted", "enforced: the connection to %s %s" % (
            name, "goes on" if name == "granted" else "is over"), result)
    web.agent.do("close", prefix="")


def metadata_on_host(report, node, lab, p):
    """The host itself has the address, as where a proxy of the cloud's runs: then it is the host like any other address."""
    host = lab.host
    host.ip("route del 169.254.169.254/32", "route del fd00:ec2::254/128",
            "addr add 169.254.169.254/32 dev lo", "addr add fd00:ec2::254/128 dev lo nodad")
    there = HostAddress(host, "the metadata address", METADATA)
    wait_for(lambda: METADATA[6] in node.lab.host.run("nft", "list", "ruleset").stdout, "the host's new address")
    for nets, what in (("", "no never"), (NEVER, "never")):
        apply(node, nets, more=NET_GRANT)
        matrix(report, node, [*flows(p["web"], there, "tcp/80 udp/8080 ping", "no-grant"), *flows(p["web"], there, "tcp/8022"),
                              *flows(p["nobody"], there, "tcp/80", "unidentified")], "at the host, " + what)


def main():
    report = Report(__doc__)
    lab, p = build()
    with lab:
        host = lab.host
        host.sysctl({"net.ipv4.conf.all.route_localnet": 1, "net.ipv4.conf.br-one.route_localnet": 1,
                     "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.br-one.rp_filter": 0})
        ears = listen_to_groups(host)
        control(report, services(lab, p) + asked(p, None, None), "no microseg")
        report.section(special_sockets, report, lab, p, "no microseg", True)
        report.section(groups, report, p, ears, "no microseg", True)
        report.section(itself, report, None, lab, p, "no microseg")
        report.section(by_the_host, report, lab, p, "no microseg", {("to 127.0.0.1", 8022), ("to 127.0.0.53", 123)})
        node = Node(lab)
        node.start()
        apply(node)
        node.wait_endpoints([party for party in p.values() if hasattr(party, "port")])
        report.section(matrix, report, node, services(lab, p))
        report.section(special_sockets, report, lab, p, "enforcing", False)
        report.section(groups, report, p, ears, "enforcing", False)
        report.section(itself, report, node, lab, p, "enforcing")
        report.section(by_the_host, report, lab, p, "enforcing", None, node)
        report.section(held, report, node, lab, p)
        report.section(metadata, report, node, p)
        report.section(metadata_on_host, report, node, lab, p)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
