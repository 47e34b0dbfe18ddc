#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What root in a container gains by giving its interface an address that is somebody's outside: nothing, and nobody loses.

The mirror rule takes a local endpoint's address that arrives from outside for forged. An address in none of the networks of
the container's bridge is no endpoint's: whoever has it outside goes on reaching host and containers as before. An address
of a real endpoint that arrives from outside is still forged. And nobody takes from a container the link-local address that
its MAC makes, not even while it asks whether the address is free.
"""
import itertools
import json
import signal
import sys
import threading
import time

from scenario import POLICY, build

import frames as f
from crafted import host_link, own_link
from frames import Sender, Tap
from lab import run, wait_for
from node import EVENT_PATIENCE, Node, events_mark
from tap import Report

CONTAINERS = (
    ("attacker", "br-one", "dev", "web"),
    ("victim", "br-one", "prod", "orders-db"),
    ("web", "br-two", "prod", "web"),
    ("api", "br-one", "prod", "orders-api"),
    ("watched", "br-one", "stage", "web"),  # in audit, as the next
    ("late", "br-one", "stage", "orders-api"),
)
DAD_SECONDS = 2.0  # a little more than the kernel asks for, with its random delay
marks = itertools.count(0x2000)


def claim(lab, party, addr):
    """Root of the container gives it this address, and traffic that would teach anybody its place."""
    party.ip("addr add %s dev eth0%s" % (addr, " nodad" if ":" in addr else ""))


def unclaim(party, addr):
    party.ip("addr del %s dev eth0" % addr)


def known_addrs(node, party):
    return [addr for row in node.endpoints() if row["interface"] == party.port for addr in row["addresses"]]


def outside_works(report, parties, what):
    """Who is outside reaches what it may: the host, and a container that grants it."""
    for family in (4, 6):
        outside, office, web, host = (parties[name] for name in ("outside", "office", "web", "host"))
        got = {"host": outside.agent.do("tcp", dst=host.addr[family], port=22)["result"],
               "host, UDP": outside.agent.do("udp", dst=host.addr[family], port=9000)["result"],
               "from the host": host.agent.do("tcp", dst=outside.addr[family], port=22)["result"],
               "web": office.agent.do("tcp", dst=web.addr[family], port=8080, src=office.addr[family])["result"]}
        report.equal(got, dict.fromkeys(got, "ok"), "%s: IPv%d between outside and host, and from the office to a container" % (
            what, family))


def strangers(report, parties, node):
    """Addresses of the world outside, claimed by a container."""
    attacker, outside, office = (parties[name] for name in ("attacker", "outside", "office"))
    claimed = ["%s/%d" % (party.addr[family], length) for party in (outside, office) for family, length in ((4, 32), (6, 128))]
    for addr in claimed:
        claim(node.lab, attacker, addr)
    addrs = [addr.split("/")[0] for addr in claimed]
    wait_for(lambda: any(attacker.port in gap["what"] and addr in gap["reason"] for addr in addrs for gap in node.status()["uncovered"]),
             "status to say what is claimed; it says %s" % node.status().get("uncovered"))
    report.check(not set(addrs) & set(known_addrs(node, attacker)), "claimed addresses are not the container's",
                 known_addrs(node, attacker))
    outside_works(report, parties, "claimed by a container")
    since = events_mark()
    for family, addr in ((4, office.addr[4]), (6, office.addr[6])):
        result = attacker.agent.do("tcp", dst=parties["web"].addr[family], port=8080, src=addr)["result"]
        report.equal(result, "timeout", "IPv%d: what is sent from it gets nowhere" % family)
    wanted = {office.addr[4], office.addr[6]}
    wait_for(lambda: wanted <= {event["src"].get("ip") for event in node.events(since) if event["reason"] == "spoof"},
             "events of what was sent", EVENT_PATIENCE)
    report.check(True, "and has its events")
    for addr in claimed:
        unclaim(attacker, addr)


def forge(parties, source, target, family, data):
    """A datagram from outside with somebody else's address."""
    outside, host = parties["outside"], parties["host"]
    links = json.loads(run("ip", "-n", outside.netns, "-j", "link", "show", "dev", "uplink1").stdout)
    mac, to = f.mac(links[0]["address"]), host_link(host, "uplink0")[0]
    udp = f.udp(source, target, 4000, 9000, data)
    packet = f.ip4(source, target, f.UDP, udp) if family == 4 else f.ip6(source, target, f.UDP, udp)
    Sender(outside, "uplink1").send(f.ether(to, mac, 0x0800 if family == 4 else 0x86DD, packet))


def mirror(report, parties, node, open_):
    """A container's address that arrives from outside: at a container, and at the host."""
    what = "no microseg" if open_ else "enforcing"
    since = events_mark()
    for family in (4, 6):
        for source in ("attacker", "victim"):
            for name, tap in (("web", Tap(parties["web"])), ("host", Tap(parties["host"], "uplink0", deliver=True))):
                mark = b"MSmir%04x" % next(marks)
                target = parties[name].addr[family]
                forge(parties, parties[source].addr[family], target, family, mark)
                report.equal(tap.saw(mark), open_, "%s: IPv%d from outside with the address of %s %s %s" % (
                    what, family, source, "arrives at" if open_ else "does not arrive at", name))
                tap.close()
    if open_:
        return
    wanted = {(parties[source].addr[family], parties[name].addr[family]) for source in ("attacker", "victim")
              for name in ("web", "host") for family in (4, 6)}
    wait_for(lambda: wanted <= {(event["src"].get("ip"), event["dst"].get("ip")) for event in node.events(since)
                                if event["reason"] == "spoof"}, "events of the forged datagrams", EVENT_PATIENCE)
    report.check(True, "each has its event")


def bare_bridge(report, parties, node):
    """A bridge without addresses says nothing of where its containers belong: then the host's routes do."""
    lab, host, outside = node.lab, parties["host"], parties["outside"]
    bare = lab.container("bare", lab.bridge("br-bare", "10.63.0.0/24", "fd63::/64").name, "dev", "web")
    host.ip("addr flush dev br-bare scope global")
    claimed = ["%s/32" % outside.addr[4], "%s/128" % outside.addr[6]]
    for addr in claimed:
        claim(lab, bare, addr)
    wait_for(lambda: {addr.split("/")[0] for addr in claimed} <= set(known_addrs(node, bare)), "the claims to be known")
    for family in (4, 6):
        got = {"in": outside.agent.do("tcp", dst=host.addr[family], port=22)["result"],
               "out": host.agent.do("tcp", dst=outside.addr[family], port=22)["result"]}
        report.equal(got, {"in": "ok", "out": "ok"}, "bridge without addresses: IPv%d between the host and whose address is claimed" % family)
        # The control: were the address really behind the bridge, it would be forged.
        route = "%s/%d dev br-bare" % (outside.addr[family], 32 if family == 4 else 128)
        host.ip("route add %s" % route)
        result = outside.agent.do("udp", dst=host.addr[family], port=9000)["result"]
        report.equal(result, "timeout", "bridge without addresses: IPv%d, with a route to the container it is forged" % family)
        host.ip("route del %s" % route)
    lab.remove(bare)


# ---- duplicate address detection ---------------------------------------------------------------------------------


def early_address(party):
    """The link-local address that the MAC of this container makes."""
    m = own_link(party)[0]
    return "fe80::%02x%02x:%02xff:fe%02x:%02x%02x" % (m[0] ^ 2, m[1], m[2], m[3], m[4], m[5])


def fight(sender, party, target, kind):
    """One frame by which party disputes that this address is free."""
    mac, ll = own_link(party)
    if kind == "solicitation":
        dst, packet = f.solicited(target), ("::", 135, b"\0" * 4 + f.packed(target))
    else:
        dst, packet = "ff02::1", (ll, 136, b"\x20\0\0\0" + f.packed(target) + f.lladdr(2, mac))
    src, number, body = packet
    data = f.ip6(src, dst, f.ICMP6, f.icmp6(src, dst, number, 0, body), 255)
    sender.send(f.ether(f.mac_of(dst), mac, 0x86DD, data))


def detection(report, parties, what, fails):
    """A container asks whether its link-local address is free, while another says it is not."""
    late = parties["late"]
    target = early_address(late)
    for name, kind in (("attacker", "solicitation"), ("watched", "solicitation"), ("watched", "advertisement")):
        party = parties[name]
        sender = Sender(party)
        late.ip("addr del %s/64 dev eth0" % target)
        late.ip("addr add %s/64 dev eth0" % target)
        deadline = time.monotonic() + DAD_SECONDS
        while time.monotonic() < deadline:
            fight(sender, party, target, kind)
            time.sleep(0.02)
        wait_for(lambda: "tentative" not in late.run("ip", "-6", "addr", "show", "dev", "eth0").stdout.replace("dadfailed tentative", ""),
                 "the end of duplicate address detection")
        shown = late.run("ip", "-6", "addr", "show", "dev", "eth0").stdout
        report.equal("dadfailed" in shown, fails, "%s: with a forged %s of %s the address is %s" % (
            what, kind, name, "lost" if fails else "its container's"), shown)


class Spam:
    """Solicitations from nobody for these addresses, one after the other without a pause, until it ends."""

    def __init__(self, party, targets):
        self.on, self.sender, mac = True, Sender(party), own_link(party)[0]
        self.frames = [f.ether(f.mac_of(f.solicited(target)), mac, 0x86DD, f.ip6("::", f.solicited(target), f.ICMP6, f.icmp6(
            "::", f.solicited(target), 135, 0, b"\0" * 4 + f.packed(target)), 255)) for target in targets]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.on:
            for frame in self.frames:
                self.sender.send(frame)
            time.sleep(0.0005)

    def stop(self):
        self.on = False
        self.thread.join()


def settled(party):
    """The words of ip(8) on this party's IPv6 addresses, when duplicate address detection is over."""
    def shown():
        text = party.run("ip", "-6", "addr", "show", "dev", "eth0").stdout
        return "" if "tentative" in text.replace("dadfailed tentative", "") else text
    return wait_for(shown, "the end of duplicate address detection", DAD_SECONDS + 5)


def by_hand(report, parties, what, fails, node=None):
    """Addresses that no MAC makes: given by hand, and a random link-local one. Somebody asks for all of them all the time."""
    victim, attacker, web = parties["victim"], parties["attacker"], parties["web"]
    victim.sysctl({"net.ipv6.conf.eth0.accept_dad": 1, "net.ipv6.conf.eth0.dad_transmits": 1})
    given = ["fd61::%x" % number for number in range(0x77, 0x7F)] + ["fe80::77"]
    spam = Spam(attacker, given)
    if node:
        node.process.send_signal(signal.SIGSTOP)  # so that it cannot be quicker than who asks
    time.sleep(0.05)
    victim.ip(*("addr add %s/64 dev eth0" % address for address in given))
    shown = settled(victim)
    spam.stop()
    if node:
        node.process.send_signal(signal.SIGCONT)
    report.equal(shown.count("dadfailed"), len(given) if fails else 0, "%s: %d addresses given by hand, asked for by another: %s" % (
        what, len(given), "all lost" if fails else "none lost"), shown)
    if node:
        wait_for(lambda: set(given) <= set(known_addrs(node, victim)), "the addresses to be known")
        results = {address: parties["api"].agent.do("tcp", dst=address, port=5432)["result"] for address in given[:2]}
        report.equal(set(results.values()), {"ok"}, "%s: and they are the container's" % what, results)
        result = web.agent.do("tcp", dst=given[0], port=5432)["result"]
        report.equal(result, "refused", "%s: with its rights and no others" % what)
    victim.ip(*("addr del %s/64 dev eth0" % address for address in given))


def heard_asking(asker, listener):
    """Whose question for an address of its own reaches a neighbour? The kernel asks within a second of getting it."""
    tap, address = Tap(listener), "fd61::%x" % next(marks)
    asker.sysctl({"net.ipv6.conf.eth0.accept_dad": 1, "net.ipv6.conf.eth0.dad_transmits": 3})
    asker.ip("addr add %s/64 dev eth0" % address)
    settled(asker)
    heard = any(data[12:14] == b"\x86\xdd" and data[20] == f.ICMP6 and data[54] == 135 and data[62:78] == f.packed(address)
                for data in tap.now())
    asker.ip("addr del %s/64 dev eth0" % address)
    tap.close()
    return heard


def asking(report, parties, what):
    """A container's own detection works: its neighbours hear it, and whoever has the address would say so."""
    report.check(heard_asking(parties["victim"], parties["attacker"]), "%s: a container's question for its own address is heard" % what)


def main():
    report = Report("claimed addresses")
    lab, parties = build(CONTAINERS)
    with lab:
        lab.host.sysctl({"net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.uplink0.rp_filter": 0})
        node = Node(lab)
        parties["late"].sysctl({"net.ipv6.conf.eth0.accept_dad": 1, "net.ipv6.conf.eth0.dad_transmits": 1})
        report.section(mirror, report, parties, node, True)
        report.section(detection, report, parties, "no microseg", True)
        report.section(by_hand, report, parties, "no microseg", True)
        report.section(asking, report, parties, "no microseg")
        node.start(POLICY)
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        report.section(outside_works, report, parties, "nothing claimed")
        report.section(mirror, report, parties, node, False)
        report.section(strangers, report, parties, node)
        report.section(outside_works, report, parties, "given back")
        report.section(bare_bridge, report, parties, node)
        report.section(detection, report, parties, "enforcing", False)
        report.section(by_hand, report, parties, "enforcing", False, node)
        report.section(asking, report, parties, "enforcing")
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
