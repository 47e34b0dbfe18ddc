#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A container whose root crafts its own frames gets nothing past microseg, and leaves no trace in anybody's tables.

Each class of frame goes to a container on the same bridge, to one behind the host, and to the host. First with
microseg off, where it must be seen to arrive if it can arrive at all; then enforcing; then with the bridges' netfilter flags
switched off while the daemon is stopped. What is refused has its event.
"""
import collections
import json
import signal
import sys
import time

from scenario import POLICY, build

import frames as f
from crafted import BROADCAST, HELD, NEVER_ROUTED, Aim, Table, craft, host_link, icmp6_of, marks, own_link, udp6, udp_of
from frames import Sender, Tap
from lab import run, wait_for
from node import EVENT_PATIENCE, Node, events_mark
from tap import Report

CONTAINERS = (
    ("attacker", "br-one", "dev", "web"),
    ("victim", "br-one", "prod", "orders-db"),
    ("other", "br-one", "prod", "web"),  # whom the attacker claims to be
    ("behind", "br-two", "prod", "cache"),
    ("watched", "br-one", "stage", "web"),  # in audit
)
FOLD_WINDOW = 1.2  # seconds, a little more than the daemon's


# ---- sending and counting ----------------------------------------------------------------------------------------


class Range:
    """The attacker's sockets, and taps everywhere else."""

    def __init__(self, parties):
        self.parties = parties
        self.attacker = parties["attacker"]
        self.sender = Sender(self.attacker)
        self.taps = {name: Tap(parties[name]) for name in ("victim", "other", "behind")}
        self.taps["host"] = Tap(parties["host"], self.attacker.bridge.name, deliver=True)
        self.aims = [Aim(parties, name) for name in ("victim", "behind", "host")]

    def learn(self):
        """Everybody resolves everybody anew, so that there are entries to forge."""
        for party in [*self.containers(), self.parties["host"]]:
            for family in ("-4", "-6"):
                party.run("ip", family, "neigh", "flush", "all")
        for src in self.containers():
            for family in (4, 6):
                for dst in self.containers() + [self.parties["host"]]:
                    if src is not dst:
                        src.agent.send("udp", dst=dst.address_for(src, family), port=9, timeout=0.3)
        time.sleep(0.5)

    def containers(self):
        return [party for party in self.parties.values() if hasattr(party, "port")]

    def arrivals(self):
        """{where: all bytes that came}"""
        return {name: b"\n".join(tap.read()) for name, tap in self.taps.items()}

    def shoot(self, frames, sender=None):
        """Sends all of them. Returns {frame: [where it arrived, …]}."""
        for frame in frames:
            for part in frame.parts:
                (sender or self.sender).send(part)
        seen = self.arrivals()
        return {frame: [name for name, data in seen.items() if frame.mark in data] for frame in frames}

    def forged(self):
        """Neighbour entries and bridge entries that say something other than the truth."""
        owner = {}
        for party in self.containers():
            link, ll = own_link(party)
            for address in (*party.addr.values(), ll):
                owner[address] = link
        for bridge in self.attacker.bridge, self.parties["behind"].bridge:
            link, ll = host_link(self.parties["host"], bridge.name)
            for address in (*bridge.gateway.values(), ll):
                owner[address] = link
        wrong = []
        for party in [*self.containers(), self.parties["host"]]:
            for entry in json.loads(run("ip", "-n", party.netns, "-j", "neigh").stdout):
                if "lladdr" in entry and f.mac(entry["lladdr"]) != owner.get(entry["dst"]) and not entry["dst"].startswith("ff"):
                    if entry["dst"] not in (party.addr if party.identity == "host" else {}) and entry["dev"] != "uplink0":
                        wrong.append("%s believes %s is at %s" % (party.name, entry["dst"], entry["lladdr"]))
        ports = {own_link(party)[0]: party for party in self.containers()}
        for line in run("bridge", "-n", self.parties["host"].netns, "-j", "fdb").stdout and json.loads(
                run("bridge", "-n", self.parties["host"].netns, "-j", "fdb").stdout):
            party = ports.get(f.mac(line["mac"]))
            if party and line["ifname"] != party.port:
                wrong.append("the bridge believes that %s is at %s" % (party.name, line["ifname"]))
        return wrong


def control(report, ranges):
    """The positive control: without microseg each class arrives, if it can arrive at all."""
    for aim in ranges.aims:
        frames = craft(aim)
        arrived = ranges.shoot(frames)
        missing = [frame.name for frame in frames if not arrived[frame]]
        surprising = [name for name in missing if not (aim.routed or aim.host) or name not in NEVER_ROUTED]
        report.note("to %s: %d of %d classes arrive; never: %s" % (aim.name, len(frames) - len(missing), len(frames),
                                                                  ", ".join(missing) or "none"))
        report.check(not surprising, "no microseg: every class arrives at %s that a kernel takes" % aim.name, surprising)


def refusals(node, port, since, enough):
    """{reason: packets} of the events that came in by this port, as soon as they are enough."""
    deadline = time.monotonic() + EVENT_PATIENCE
    while True:
        found = collections.Counter()
        for event in node.events(since):
            if event["src"].get("interface") == port:
                found[event["reason"]] += event["count"]
        if enough(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def expected(frames):
    return collections.Counter(frame.reason for frame in frames if frame.reason != HELD)


def accounted(frames, got):
    """Has each frame its event? One to a group has one for every port and for the host, where it gets that far."""
    one = expected(frame for frame in frames if not frame.is_group)
    least = expected(frames)
    return all(got[reason] >= least[reason] for reason in least) and all(
        got[reason] == one[reason] for reason in {*one, *got} if reason == "fence" or reason == "invalid")


def enforced(report, ranges, node):
    """Enforcing: nothing arrives, and each refusal has its event."""
    for aim in ranges.aims:
        frames = craft(aim)
        time.sleep(FOLD_WINDOW)  # else frames that are as the last ones fold into their events
        since = events_mark()
        arrived = ranges.shoot(frames)
        through = ["%s arrived at %s" % (frame.name, where) for frame, where in arrived.items() if where]
        report.check(not through, "enforcing: 0 of %d classes to %s arrive" % (len(frames), aim.name), "\n".join(through))
        want = expected(frames)
        got = refusals(node, ranges.attacker.port, since, lambda found: accounted(frames, found))
        report.check(accounted(frames, got), "enforcing: each frame to %s has its event" % aim.name,
                     "sent %s, events %s" % (dict(want), dict(got)))
    report.equal(ranges.forged(), [], "enforcing: no forged entry in any neighbour table or bridge")


def set_flags(ranges, value):
    for bridge in (ranges.attacker.bridge, ranges.parties["behind"].bridge):
        ranges.parties["host"].ip("link set %s type bridge nf_call_iptables %d nf_call_ip6tables %d" % (bridge.name, value, value))


def unhooked(report, ranges, node):
    """The bridges' netfilter flags go off behind the back of a stopped daemon: the guard and the seam hold alone."""
    node.process.send_signal(signal.SIGSTOP)
    try:
        set_flags(ranges, 0)
        report.equal(node.bridge_flags(ranges.attacker.bridge.name), (0, 0), "the flags are off")
        for aim in ranges.aims:
            frames = craft(aim)
            through = ["%s arrived at %s" % (frame.name, where) for frame, where in ranges.shoot(frames).items() if where]
            report.check(not through, "flags off: 0 of %d classes to %s arrive" % (len(frames), aim.name), "\n".join(through))
        report.equal(ranges.forged(), [], "flags off: no forged entry in any neighbour table or bridge")
        swept(report, ranges, "flags off", False)
    finally:
        node.process.send_signal(signal.SIGCONT)
    wait_for(lambda: node.bridge_flags(ranges.attacker.bridge.name) == (1, 1), "the daemon to repair the flags")
    report.check(True, "the daemon set the flags again")


def audited(report, ranges, node):
    """A container in audit reaches none in enforce with frames that its guard would refuse, and forges nobody's entry."""
    sender = Sender(ranges.parties["watched"])
    for name in ("victim", "behind", "host"):
        frames = [frame for frame in craft(Aim(ranges.parties, name, "watched")) if frame.reason != HELD]
        arrived = ranges.shoot(frames, sender)
        through = ["%s arrived at %s" % (frame.name, where) for frame, where in arrived.items() if set(where) - {"host"}]
        report.check(not through, "audit: 0 of %d classes to %s arrive at a container in enforce" % (len(frames), name),
                     "\n".join(through))
    report.section(audited_groups, report, ranges, node)
    report.equal(ranges.forged(), [], "audit: no forged entry in any neighbour table or bridge")


def audited_groups(report, ranges, node):
    """What a container in audit sends to a group is refused at each port in enforce, with its event."""
    watched = ranges.parties["watched"]
    groups = {"255.255.255.255", "224.0.0.251", "239.1.2.3", "ff02::fb", "ff05::2"}
    table = Table(Aim(ranges.parties, "victim", "watched"))
    for dst in groups:
        if ":" in dst:
            table.ip6(dst, "no-grant", udp6, dst=dst, eth_dst=f.mac_of(dst))
        else:
            table.ip4(dst, "no-grant", udp_of(4040, 5354), dst=dst, eth_dst=BROADCAST if dst[0] == "2" and dst.endswith("255") else f.mac_of(dst))
    time.sleep(FOLD_WINDOW)
    since = events_mark()
    ranges.shoot(table.frames, Sender(watched))

    def refused():
        return {event["dst"].get("ip") for event in node.events(since) if event["src"].get("interface") == watched.port
                and (event["verdict"], event["reason"]) == ("denied", "no-grant")}

    wait_for(lambda: groups <= refused(), "events of what went to groups; there are %s" % refused(), EVENT_PATIENCE)
    report.check(True, "audit: what goes to a group has its event at ports in enforce")


# ---- sweeps ------------------------------------------------------------------------------------------------------


def sweep(ranges, make, numbers):
    """Sends make(number, mark) for all. Returns how many arrived at the victim."""
    mark, arrived = b"MS%04x" % next(marks), 0
    for count, number in enumerate(numbers, 1):
        ranges.sender.send(make(number, mark))
        if count % 4096 == 0:
            arrived += ranges.taps["victim"].count(mark)
    return arrived + ranges.taps["victim"].count(mark)


def sweeps(aim):
    """(what, how many, maker)"""
    ip4 = lambda n, m: f.ether(aim.to_mac, aim.mac, 0x0800, f.ip4(aim.me[4], aim.to[0], n, m.ljust(32, b"\0")))  # noqa: E731
    ip6 = lambda n, m: f.ether(aim.to_mac, aim.mac, 0x86DD, f.ip6(aim.me[6], aim.to[1], n, m.ljust(32, b"\0")))  # noqa: E731
    return (("ethertypes", 65536, lambda n, m: f.ether(aim.to_mac, aim.mac, n, m.ljust(46, b"\0"))),
            ("IPv4 protocols", 256, ip4), ("IPv6 next headers", 256, ip6))


def swept(report, ranges, when, open_):
    """All ethertypes, protocols and next headers."""
    for what, count, make in sweeps(ranges.aims[0]):
        arrived = sweep(ranges, make, range(count))
        report.check(arrived > 0.95 * count if open_ else arrived == 0, "%s: %d of %d %s arrive" % (when, arrived, count, what))
    if not open_:
        report.equal(ranges.forged(), [], "%s: no forged entry in any neighbour table or bridge after them" % when)


# ---- what root in a container does to its own interface ----------------------------------------------------------


def learnt(ranges, mac):
    """The ports at which the bridge believes this MAC."""
    fdb = json.loads(run("bridge", "-n", ranges.parties["host"].netns, "-j", "fdb").stdout)
    return {entry["ifname"] for entry in fdb if f.mac(entry["mac"]) == mac}


def bridge_groups(report, ranges, node):
    """Frames to the groups that bridges keep to themselves teach the bridge nobody's place."""
    report.equal(believed(ranges), [], "enforcing: no frame to a group of the bridge's own moves another's MAC")


def believed(ranges):
    """The groups through which the attacker becomes the owner of another's MAC. Each time the other gets it back."""
    aim, other = ranges.aims[0], ranges.parties["other"]
    wrong = []
    for last in range(0x10):
        ranges.sender.send(f.ether(f.mac("01:80:c2:00:00:%02x" % last), aim.other_mac, 0x88B5, b"\0" * 46))
        if ranges.attacker.port in learnt(ranges, aim.other_mac):
            wrong.append("01:80:c2:00:00:%02x" % last)
            other.agent.do("udp", dst=aim.gateway[4], port=9, timeout=0.05)
    return wrong


def claims(report, ranges, node):
    """Addresses and MACs that root gives its interface are not its own when they are the host's or another's."""
    attacker, aim = ranges.attacker, ranges.aims[0]
    victim = Aim(ranges.parties, "victim")
    for name, address, line in (("the gateway's address", aim.gateway[4], "%s/32"), ("the gateway's IPv6 address", aim.gateway[6], "%s/128"),
                                ("the gateway's link-local address", aim.gateway_ll, "%s/128"),
                                ("the host's uplink address", aim.uplink[4], "%s/32"), ("a loopback address", "127.9.9.9", "%s/32")):
        attacker.ip("addr add %s dev eth0 %s" % (line % address, "nodad" if ":" in address else ""))
        time.sleep(0.3)
        table = Table(victim)
        if ":" in address:
            table.ip6("NA", "spoof", icmp6_of(136, 0, b"\x20\0\0\0" + f.packed(address) + f.lladdr(2, aim.mac)), src=address, hops=255)
            table.ip6("UDP", "spoof", udp6, src=address)
        else:
            table.add("ARP", "spoof", lambda mark: f.ether(victim.to_mac, aim.mac, 0x0806, f.arp(2, aim.mac, address, mark, victim.to[0])))
            table.ip4("UDP", "spoof", udp_of(4000, 8080), src=address)
        arrived = [frame.name for frame, where in ranges.shoot(table.frames).items() if where]
        report.equal(arrived, [], "root claims %s: nothing sent from it arrives" % name)
        attacker.ip("addr del %s dev eth0" % (line % address))
    report.equal(ranges.forged(), [], "claims: no forged entry in any neighbour table or bridge")


def stolen_macs(report, ranges, node):
    """The attacker's interface takes another's MAC: the bridge must not send it what is the other's."""
    attacker, aim = ranges.attacker, ranges.aims[0]
    for name, mac in (("another container's MAC", aim.other_mac), ("the bridge's MAC", aim.gateway_mac)):
        attacker.ip("link set eth0 address %s" % mac.hex(":"))
        time.sleep(0.5)
        ranges.sender.send(f.ether(BROADCAST, mac, 0x0806, f.arp(1, mac, aim.me[4], b"\0" * 6, aim.gateway[4])))
        time.sleep(0.1)
        report.check(attacker.port not in learnt(ranges, mac), "root takes %s: the bridge does not believe it" % name)
        attacker.ip("link set eth0 address %s" % aim.mac.hex(":"))
        time.sleep(0.5)
        ranges.parties["other"].agent.do("udp", dst=aim.gateway[4], port=9, timeout=0.1)


def main():
    report = Report("crafted frames")
    lab, parties = build(CONTAINERS)
    with lab:
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        node = Node(lab)
        ranges = Range(parties)
        ranges.learn()
        report.section(control, report, ranges)
        report.section(swept, report, ranges, "no microseg", True)
        groups = believed(ranges)
        report.check(len(groups) >= 14, "no microseg: %d of 16 groups of the bridge's own move a MAC" % len(groups), groups)
        report.check(ranges.forged(), "no microseg: tables are poisoned")
        report.note("\n".join(ranges.forged()))
        node.start(POLICY)
        node.wait_endpoints(ranges.containers())
        ranges.learn()
        ranges.arrivals()
        report.section(enforced, report, ranges, node)
        report.section(audited, report, ranges, node)
        report.section(unhooked, report, ranges, node)
        report.section(swept, report, ranges, "enforcing", False)
        report.section(bridge_groups, report, ranges, node)
        ranges.learn()
        report.section(claims, report, ranges, node)
        report.section(stolen_macs, report, ranges, node)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
