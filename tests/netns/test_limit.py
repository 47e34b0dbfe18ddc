#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One container that opens flows, or sends what is refused, as fast as it can: the others notice nothing.

MS_LIMIT_LONG=1 adds the attack at its full size: 300,000 answered flows against the table of the kernel, with the limit
and without it.
"""
import os
import signal
import statistics
import sys
import time

from scenario import build

from lab import HERE as LAB_DIR, run, wait_for
from node import Node, events_mark
from probes import flows, matrix
from tap import Report

LIMIT = 60
FLOWS = 2000
ATTACK = 300000
FIRST_PORT = 20000  # nobody listens there
REFUSED_PORT = 7
COST_TURNS = 3
COST = 1.6  # times what the same packets cost where nobody refuses them; medians of a busy machine
LONG = bool(os.environ.get("MS_LIMIT_LONG"))
CONTAINERS = (
    ("flood", "br-one", "prod", "flood"),
    ("web", "br-one", "prod", "web"),
    ("api", "br-one", "prod", "api"),
    ("far", "br-two", "prod", "api"),
    ("watched", "br-two", "lab", "watched"),
)
POLICY = """
apiVersion: microseg/v1
kind: Environments
identity: {env: [io.microseg.env], service: [io.microseg.service]}
unidentified: {mode: enforce}
environments: {prod: {mode: enforce}, lab: {mode: audit}}
---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow:
  - {from: [flood, web], ports: [tcp/8080, udp/8080, udp/20000-65000]}
---
apiVersion: microseg/v1
kind: Service
service: flood
env: prod
needs:
  - {to: host, ports: [tcp/22, udp/20000-65000]}
  - {to: {net: [192.0.2.0/24, 198.51.100.0/24, "2001:db8::/32"]}, ports: [udp/20000-65000, tcp/1-65535]}
"""


def tracked(lab, address):
    """How many connections the host tracks that this address opened."""
    listed = lab.host.run("conntrack", "-L", "-s", address, "-f", "ipv6" if ":" in address else "ipv4", check=False)
    return len(listed.stdout.splitlines())


def forget_connections(lab):
    lab.host.run("conntrack", "-F")


def start(lab, name, limits):
    """A daemon with this limit, and everybody known to it."""
    node = Node(lab, name=name)
    with open(node.config, "a") as config:
        config.write("limits: {connections: %d}\n" % limits)
    policy = os.path.join(lab.dir, "policy.yaml")
    with open(policy, "w") as file:
        file.write(POLICY)
    node.start(policy=policy)
    node.wait_endpoints([party for party in lab.namespaces if hasattr(party, "port")])
    return node


def datagrams(party, dst, flows_wanted=FLOWS):
    return party.agent.do("datagrams", dst=dst, port=FIRST_PORT, ports=flows_wanted, sources=1)["sent"]


def limit_events(node, since, address):
    return [event for event in node.events(since) if event["reason"] == "limit" and event["src"]["ip"] == address]


def one_floods(report, node, parties, target, family):
    """Its first flows stay, more are dropped and logged, and nobody else is concerned."""
    lab, flood = node.lab, parties["flood"]
    address = flood.addr[family]
    dst = parties[target].address_for(flood, family)
    what = "IPv%d, %s" % (family, target)
    forget_connections(lab)
    held = flood.agent.do("hold", dst=parties["api"].addr[family], port=8080, key="first")["result"]
    since = events_mark()
    sent = datagrams(flood, dst)
    count = tracked(lab, address)
    report.check(held == "ok" and sent == FLOWS and LIMIT - 2 <= count <= LIMIT,
                 "%s: of %d flows %d are tracked" % (what, sent, count), "limit is %d; held: %s" % (LIMIT, held))
    events = wait_for(lambda: limit_events(node, since, address), "events of the limit")
    report.equal({(event["verdict"], event["src"]["identity"]) for event in events}, {("denied", "prod/flood")},
                 "%s: they are logged" % what)
    wait_for(lambda: sum(event["count"] for event in limit_events(node, since, address)) + lost(node) >= FLOWS - LIMIT,
             "an event for each of them")
    report.equal(flood.agent.do("talk", key="first")["result"], "ok", "%s: an earlier connection lives on" % what)
    matrix(report, node, [*flows(flood, parties["api"], "tcp/8080", "limit", drop=True, families=(family,)),
                          *flows(parties["web"], parties["api"], "tcp/8080 udp/8080"),
                          *flows(parties["web"], parties["far"], "tcp/8080")], what)
    flood.agent.do("close", prefix="first")


def lost(node):
    """Refused packets that no event tells of, so far."""
    return node.status()["counters"]["events_lost"]


def is_open(flood, dst):
    return flood.agent.do("tcp", dst=dst, port=8080, timeout=0.3)["result"] == "ok"


def counts_go_down(report, node, parties):
    """Connections that ended make room for others."""
    flood, api = parties["flood"], parties["far"].addr[4]
    forget_connections(node.lab)
    wait_for(lambda: is_open(flood, api), "room for a first connection")
    opened = 0
    while flood.agent.do("hold", dst=api, port=8080, key="many %d" % opened, timeout=0.3)["result"] == "ok" and opened <= LIMIT:
        opened += 1
    report.check(LIMIT - 5 <= opened <= LIMIT, "%d connections can be open" % opened)
    flood.agent.do("close", prefix="many")
    started = time.monotonic()
    wait_for(lambda: is_open(flood, api), "room after connections were closed")
    report.check(True, "they were closed, and %.1f s later there is room" % (time.monotonic() - started))


def in_audit(report, node, parties):
    """Audit lets pass what is not granted, but not more of it than the limit."""
    watched = parties["watched"]
    forget_connections(node.lab)
    since = events_mark()
    sent = datagrams(watched, parties["host"].address_for(watched, 4))
    count = tracked(node.lab, watched.addr[4])
    report.check(sent == FLOWS and LIMIT - 2 <= count <= LIMIT, "of %d flows to the host %d are tracked" % (sent, count))
    wait_for(lambda: limit_events(node, since, watched.addr[4]), "an event of the limit")
    reasons = {(event["verdict"], event["reason"]) for event in node.events(since) if event["src"].get("ip") == watched.addr[4]}
    report.equal(reasons, {("audited", "no-grant"), ("denied", "limit")}, "the first are audited, the others denied")


def counts_survive(report, node, parties):
    """The counts are the kernel's: a daemon that comes back finds its tables as they should be."""
    forget_connections(node.lab)
    datagrams(parties["flood"], parties["api"].addr[4])
    node.stop(signal.SIGKILL)
    node.start()
    listed = node.lab.host.run("nft", "list", "set", "inet", "microseg", "limit/4").stdout
    report.check("elements" in listed and "are replaced" not in node.log_text(), "adopted, with what they count", node.log_text())


def others_keep_tracking(report, node, parties):
    """Our rules come and go, and what others have the kernel track stays tracked."""
    flood, far = parties["flood"], parties["far"].addr[4]
    node.lab.host.run("nft", "add table inet other; add chain inet other c {type filter hook forward priority 0;};"
                      "add rule inet other c ct state new")
    for _ in range(6):
        node.cli("off")
        wait_for(lambda: "microseg" not in node.lab.host.run("nft", "list", "tables").stdout, "our tables to go")
        node.cli("on")
        wait_for(lambda: node.status().get("state") == "enforcing", "our tables to come back")
    node.cli("off")
    wait_for(lambda: "microseg" not in node.lab.host.run("nft", "list", "tables").stdout, "our tables to go")
    forget_connections(node.lab)
    datagrams(flood, far, 10)
    report.equal(tracked(node.lab, flood.addr[4]), 10, "all of 10 flows are tracked")
    node.lab.host.run("nft", "delete table inet other")
    node.cli("on")


def refused_flood(report, node, parties):
    """A flood of what is refused costs the others no packet."""
    web, api, flood = parties["web"], parties["api"].addr[4], parties["flood"]
    pace = {"dst": api, "port": 8080, "period": 0.002, "seconds": 2.0}
    stream = {"dst": api, "port": 8080, "bytes": 64 << 20}
    quiet, quick = web.agent.do("pace", **pace), web.agent.do("stream", **stream)
    forget_connections(node.lab)
    since = events_mark()
    flooding = flood.agent.send("refused_flood", dst=api, port=REFUSED_PORT, seconds=6)
    time.sleep(0.2)
    loud, slow = web.agent.do("pace", **pace), web.agent.do("stream", **stream)
    sent = flood.agent.wait(flooding)["sent"]
    report.check(sent > 20000, "the flood floods: %d datagrams" % sent)
    report.equal((quiet["back"], loud["back"]), (quiet["sent"], loud["sent"]), "no datagram of another is lost")
    report.equal((quick["result"], slow["result"]), ("ok", "ok"), "no stream of another breaks")
    report.note("round trips p50 %.0f us, p99 %.0f us; under the flood %.0f and %.0f us"
                % tuple(1e6 * each[share] for each in (quiet, loud) for share in ("p50", "p99")))
    report.note("64 MB there and back in %.2f s; under the flood in %.2f s" % (quick["took"], slow["took"]))
    events = [event for event in node.events(since) if event["src"]["ip"] == flood.addr[4]]
    report.equal({event["reason"] for event in events}, {"no-grant"}, "what was refused keeps its own reason")
    report.equal(tracked(node.lab, flood.addr[4]), 0, "and is not tracked")
    report.check(is_open(flood, api), "nor does it use up what its sender may open")


def set_state(node, parties, state):
    node.cli(state)
    node.wait_ready(("off",) if state == "off" else ("enforcing",))
    if state == "on":
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])


def under_flood(parties):
    """What another's datagrams and stream take while refused ones come in as fast as they go: (p50, p99, stream) in seconds."""
    web, api, flood = parties["web"], parties["api"].addr[4], parties["flood"]
    flooding = flood.agent.send("refused_flood", dst=api, port=REFUSED_PORT, seconds=1.6)
    time.sleep(0.1)
    pace = web.agent.do("pace", dst=api, port=8080, period=0.002, seconds=0.7)
    stream = web.agent.do("stream", dst=api, port=8080, bytes=16 << 20)
    sent = flood.agent.wait(flooding)["sent"]
    return pace["p50"], pace["p99"], stream["took"], sent


def cost_of_refusal(report, node, parties):
    """The same flood with our rules and without, in turns: refusing it costs the others nothing beyond the packets."""
    seen = {"on": [], "off": []}
    for turn in range(COST_TURNS):
        for state in ("on", "off") if turn % 2 else ("off", "on"):
            set_state(node, parties, state)
            seen[state].append(under_flood(parties))
    set_state(node, parties, "on")
    rows = (("round trips, median", COST), ("round trips, 99th of 100", 1.5 * COST), ("16 MB there and back", COST))
    for number, (what, most) in enumerate(rows):
        ours, bare = (statistics.median(row[number] for row in seen[state]) for state in ("on", "off"))
        report.check(ours < bare * most, "%s: %.2f ms under the flood, %.2f ms under the same without our rules: %.0f %%" % (
            what, 1000 * ours, 1000 * bare, 100 * ours / bare), seen)
    report.check(min(taken[3] for state in seen.values() for taken in state) > 2000, "the flood floods", seen)


def without_limit(report, node, parties):
    """The positive control: with the limit off, every flow of the same flood is tracked."""
    flood = parties["flood"]
    forget_connections(node.lab)
    sent = datagrams(flood, parties["api"].addr[4])
    report.equal((sent, tracked(node.lab, flood.addr[4])), (FLOWS, FLOWS), "all flows are tracked")


def attack(report, node, parties, limit):
    """300,000 flows that answer, which the kernel gives no room of to others when its table is full."""
    lab, flood = node.lab, parties["flood"]
    # The kernels of the two ends know nothing of these flows, and would say so.
    flood.run("nft", "add table ip mute; add chain ip mute out {type filter hook output priority 0;};"
              "add rule ip mute out tcp flags rst drop")
    started = time.monotonic()
    for kind, sender in (("syn", flood), ("answer", lab.outside), ("ack", flood)):
        run(*sender.command("/usr/bin/python3", os.path.join(LAB_DIR, "segments.py"), kind, flood.addr[4], str(ATTACK)),
            timeout=300)
    took = time.monotonic() - started
    count = int(lab.host.run("conntrack", "-C").stdout)
    results = [parties["web"].agent.do("tcp", dst=parties[name].addr[family], port=8080, timeout=0.5)["result"]
               for _ in range(10) for name in ("api", "far") for family in (4, 6)]
    n_good = results.count("ok")
    flood.run("nft", "delete table ip mute")
    report.note("%d flows opened in %.0f s, %d connections tracked" % (ATTACK, took, count))
    if limit:
        report.equal(n_good, len(results), "limit %d: all connections of another are served" % limit)
    else:
        report.check(n_good < len(results), "no limit: %d of %d connections of another are served" % (n_good, len(results)))


def small(report, lab, parties):
    node = start(lab, "limited", LIMIT)
    for family in (4, 6):
        for target in ("api", "far", "host", "outside"):
            report.section(one_floods, report, node, parties, target, family)
    report.section(counts_go_down, report, node, parties)
    report.section(in_audit, report, node, parties)
    report.section(counts_survive, report, node, parties)
    report.section(refused_flood, report, node, parties)
    report.section(cost_of_refusal, report, node, parties)
    report.section(others_keep_tracking, report, node, parties)
    node.cli("off")
    node.stop()
    node = start(lab, "unlimited", 0)
    report.section(without_limit, report, node, parties)
    node.cli("off")
    node.stop()


def main():
    report = Report("limits")
    lab, parties = build(CONTAINERS)
    with lab:
        small(report, lab, parties)
        for limit in (16384, 0) if LONG else ():
            node = start(lab, "long-%d" % limit, limit)
            report.section(attack, report, node, parties, limit)
            node.cli("off")
            node.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
