#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A container that sends from its first instruction gets nothing through before it is identified, and soon after it does.

The sender runs before its port is on any bridge. Every millisecond it sends a datagram and starts a TCP connection, first
to a service that its identity will be allowed to call. The time that counts runs from the moment the alias is set to the
arrival of the first packet at the service.
"""
import os
import sys
import time

from scenario import POLICY, build

from node import Node
from tap import Report

ROUNDS = int(os.environ.get("MS_ROUNDS", "30"))
CLOSED_SECONDS = 0.25  # how long the sender is on the bridge without an identity
LIMIT_MS = 100  # SPEC section 4. It is asked of 95 in 100 here: a busy machine with few cores delays the odd one by itself
MIN_SENT = 20  # datagrams of a round, else the sender was not even trying
TARGETS = (("prod-api-1", "br-one"), ("prod-api-2", "br-two"))


def arrivals(target, source):
    """{protocol: time of the first packet} from this address."""
    return {entry[2]: entry[4] for entry in target.agent.do("sniffed")["seen"]
            if entry[0] == source and entry[2] in ("tcp", "udp")}


def prepare(lab, number, target, bridge, family, env):
    """A container off its bridge that already sends. Its neighbours are set: ARP's own retry is no part of the time."""
    sender = lab.container("r%d" % number, "br-one", env, "web", up=False)
    sender.ip(*sender.address_lines(sender.addr))
    via = target if bridge == "br-one" else lab.host
    device = "eth0" if bridge == "br-one" else "br-one"
    link = (target.ip if via is target else lab.host.ip)("link show %s" % device).stdout
    mac = link.split("link/ether ")[1].split()[0]
    next_hop = target.addr[family] if via is target else sender.bridge.gateway[family]
    sender.ip("neigh replace %s lladdr %s dev eth0 nud permanent" % (next_hop, mac))
    sender.agent.do("spray", dst=target.addr[family], udp=9000, tcp=8080)
    return sender


def allowed_round(lab, number, target, bridge, family, failures):
    """Returns {protocol: milliseconds from the alias to the first packet}."""
    sender = prepare(lab, number, target, bridge, family, "prod")
    target.agent.do("forget")
    lab.attach(sender)
    time.sleep(CLOSED_SECONDS)
    early = arrivals(target, sender.addr[family])
    if early:
        failures.append("round %d: %s arrived without an identity" % (number, sorted(early)))
    set_at = time.monotonic()
    lab.identify(sender)
    first = {}
    while len(first) < 2 and time.monotonic() < set_at + 5:
        time.sleep(0.02)
        first = arrivals(target, sender.addr[family])
    back = sender.agent.do("sprayed", stop=True)
    if not back["udp_reply"] or not back["tcp_open"]:
        failures.append("round %d: no answer came back: %s" % (number, back))
    if back["sent"] < MIN_SENT:
        failures.append("round %d: the sender sent only %d datagrams" % (number, back["sent"]))
    lab.remove(sender)
    return {proto: (at - set_at) * 1000 for proto, at in first.items()}


def at_once_round(lab, number, target, bridge, family, failures):
    """The same with the alias there before the port is: milliseconds from the port's attachment."""
    sender = prepare(lab, number, target, bridge, family, "prod")
    target.agent.do("forget")
    lab.identify(sender)
    set_at = time.monotonic()
    lab.attach(sender)
    first = {}
    while len(first) < 2 and time.monotonic() < set_at + 5:
        time.sleep(0.02)
        first = arrivals(target, sender.addr[family])
    if len(first) < 2:
        failures.append("round %d: only %s arrived" % (number, sorted(first)))
    lab.remove(sender)
    return {proto: (at - set_at) * 1000 for proto, at in first.items()}


def refused_round(lab, number, target, bridge, family, failures):
    """Its identity may not call the service: nothing ever arrives."""
    sender = prepare(lab, number, target, bridge, family, "dev")
    target.agent.do("forget")
    lab.identify(sender)
    lab.attach(sender)
    time.sleep(CLOSED_SECONDS * 2)
    arrived = arrivals(target, sender.addr[family])
    sent = sender.agent.do("sprayed", stop=True)["sent"]
    if arrived or sent < MIN_SENT:
        failures.append("round %d: sent %d, arrived %s" % (number, sent, sorted(arrived)))
    lab.remove(sender)


def positive_control(report, lab, parties):
    """Without microseg the same sender is heard at once: a zero later on is no accident of the rig."""
    target = parties["prod-api-1"]
    sender = prepare(lab, 900, target, "br-one", 4, "prod")
    lab.attach(sender)
    time.sleep(CLOSED_SECONDS)
    report.equal(sorted(arrivals(target, sender.addr[4])), ["tcp", "udp"], "both protocols arrive within the same time")
    lab.remove(sender)


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def rounds(report, lab, parties, play, first_number, what):
    """Rounds over both bridges and both families; reports the times."""
    failures, times, slow = [], [], []
    for number in range(ROUNDS):
        name, bridge = TARGETS[number % 2]
        family = (4, 6)[number // 2 % 2]
        result = play(lab, first_number + number, parties[name], bridge, family, failures) or {}
        times += result.values()
        slow += ["round %d, to %s by %s over IPv%d: %.1f ms" % (number, name, proto, family, time)
                 for proto, time in result.items() if time > LIMIT_MS]
    report.check(not failures, "%s: %d rounds" % (what, ROUNDS), "\n".join(failures))
    if times:
        shares = [percentile(times, share) for share in (0.5, 0.95, 0.99)]
        text = "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms of %d" % (*shares, max(times), len(times))
        report.check(shares[1] <= LIMIT_MS and len(times) >= 2 * ROUNDS,
                     "%s: first packet, %s" % (what, text), "\n".join(slow))


def main():
    report = Report("first packets")
    lab, parties = build((("prod-api-1", "br-one", "prod", "orders-api"), ("prod-api-2", "br-two", "prod", "orders-api")))
    with lab:
        report.section(positive_control, report, lab, parties)
        node = Node(lab)
        node.start(policy=POLICY)
        node.wait_endpoints([parties["prod-api-1"], parties["prod-api-2"]])
        report.section(rounds, report, lab, parties, allowed_round, 0, "nothing before its name, then its traffic")
        report.section(rounds, report, lab, parties, at_once_round, 300, "name known before the port")
        report.section(rounds, report, lab, parties, refused_round, 600, "never allowed")
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
