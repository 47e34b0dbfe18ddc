#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel as the third voice: seeded random policies, real packets, and what `microseg explain` says of each.

Each policy is applied to a running microsegd. `explain --batch` judges every flow there can be between the containers, the
host and the world outside; a sample of each kind of answer is then sent. An allowed flow must get through without an event,
an audited one get through with its event, a denied one get nowhere, be told as `refuse` says, and have its event; events
carry explain's reason. $MS_SEED and $MS_ROUNDS choose other policies, and more of them.
"""
import json
import os
import random
import sys
import time

from scenario import TCP, UDP, build

from node import Node, events_mark
from probes import Flow, collect_events, judge_allowed, judge_denied, send_all, sniffed
from tap import Report

SEED = int(os.environ.get("MS_SEED", "1"))
ROUNDS = int(os.environ.get("MS_ROUNDS", "12"))
SAMPLE = {"allow": 45, "audit": 25, "deny": 60}  # flows of each verdict that are sent
SERVICES = ("web", "orders-api", "orders-db", "cache", "metrics")
ENVS = ("prod", "dev")
PORTS = ["tcp/%d" % port for port in TCP] + ["udp/%d" % port for port in UDP] + [
    "tcp/5000-9000", "tcp/6380-8079", "udp/100-9000", "tcp/1-65535", "icmp/8", "icmp6/128"]
NETS = ("192.0.2.0/24", '["2001:db8:2::/64", 10.20.0.0/16]', '[0.0.0.0/0, "::/0"]', '"2001:db8:20::/64"', "office",
        "10.0.0.0/8")
BATCH_PROTO = {("ping", 4): "icmp", ("ping", 6): "icmp6"}


class Writer:
    """One policy out of a random number generator."""

    def __init__(self, rng, parties):
        self.rng = rng
        self.parties = parties
        self.refuse = {"east_west": rng.choice(("reject", "drop")), "egress": rng.choice(("reject", "reject", "drop")),
                       "ingress": "drop"}

    def chance(self, percent):
        return self.rng.random() * 100 < percent

    def mode(self):
        return "audit" if self.chance(25) else "enforce"

    def ports(self):
        if self.chance(10):
            return "ports: any"
        return "ports: [%s]" % ", ".join(self.rng.sample(PORTS, self.rng.randint(1, 4)))

    def identity(self, whole=True):
        service = "*" if whole and self.chance(30) else self.rng.choice(SERVICES)
        return "%s/%s" % (self.rng.choice(ENVS), service)

    def net(self):
        nets = self.rng.choice(NETS)
        hole = ', except: [192.0.2.2/32, "2001:db8:20::/65"]' if self.chance(25) else ""
        return "{net: %s%s}" % (nets, hole)

    def peer(self, need):
        kind = self.rng.randrange(10)
        if kind < 2:
            return self.net()
        if kind < 4:
            return ("host", '{node: "*"}', "self", '"*"')[self.rng.randrange(4)]
        return self.identity(need) if kind < 6 else self.rng.choice(SERVICES)

    def grants(self, key, end):
        lines = []
        for _ in range(self.rng.randint(0, 4)):
            ping = ", ping: true" if self.chance(30) else ""
            lines.append("  - {%s: %s, %s%s}\n" % (end, self.peer(end == "to"), self.ports(), ping))
        return "%s:\n%s" % (key, "".join(lines)) if lines else ""

    def environment(self, name):
        resolvers = [word for word, percent in (("gateway", 50), (self.parties["prod-cache"].addr[4], 30),
                                                ('"%s"' % self.parties["outside"].addr[6], 30)) if self.chance(percent)]
        return "  %s: {mode: %s, two_key: %s%s}\n" % (name, self.mode(), "true" if self.chance(35) else "false",
                                                      ", resolvers: [%s]" % ", ".join(resolvers) if resolvers else "")

    def crossings(self):
        lines = ["  - {from: %s, to: %s, %s, reason: x}\n" % (self.identity(), self.identity(), self.ports())
                 for _ in range(self.rng.randint(0, 4))]
        return "crossings:\n" + "".join(lines) if lines else ""

    def nevers(self):
        lines = []
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            source = "from: %s, " % self.identity() if self.chance(50) else ""
            ports = ", " + self.ports() if self.chance(80) else ""
            target = self.rng.choice((self.identity(), self.net(), "host"))
            lines.append("  - {%sto: %s%s, reason: x}\n" % (source, target, ports))
        return "never:\n" + "".join(lines) if lines else ""

    def service(self, name, envs):
        mode = "mode: %s\n" % self.mode() if name != '"*"' and self.chance(15) else ""
        return "---\napiVersion: microseg/v1\nkind: Service\nservice: %s\nenv: [%s]\n%s%s%s" % (
            name, ", ".join(envs), mode, self.grants("allow", "from"), self.grants("needs", "to"))

    def policy(self):
        office = self.parties["office"]
        known = self.chance(40)
        office.identity = "node/node-b" if known else "net"
        node = office.addr if known else {4: "192.0.2.77", 6: "2001:db8:2::77"}
        text = ["apiVersion: microseg/v1\nkind: Environments\nunidentified: {mode: %s}\nenvironments:\n" % self.mode(),
                *map(self.environment, ENVS),
                'nodes: {node-b: [%s, "%s"]}\n' % (node[4], node[6]),
                'nets: {office: [10.20.0.0/24, "2001:db8:20::/64"]}\n',
                "refuse: {%s}\n" % ", ".join("%s: %s" % item for item in self.refuse.items()),
                self.crossings(), self.nevers()]
        for name in SERVICES:
            envs = [env for env in ENVS if self.chance(80)]
            if envs and self.chance(50):
                text.append(self.service(name, envs))
            else:
                text += [self.service(name, [env]) for env in envs]
        if self.chance(40):
            text.append(self.service('"*"', [self.rng.choice(ENVS)]))
        return "".join(text)


def all_flows(parties):
    """Every flow of which a container is one end."""
    words = ["tcp/%d" % port for port in TCP] + ["udp/%d" % port for port in UDP] + ["ping/0"]
    for src in parties.values():
        for dst in parties.values():
            if src is dst or not (hasattr(src, "port") or hasattr(dst, "port")):
                continue
            for word in words:
                proto, port = word.split("/")
                for family in (4, 6):
                    yield Flow(src, dst, proto, int(port), family)


def explain(node, policy, table):
    """The oracle's answers for all of these."""
    lines = []
    for flow in table:
        src, dst, _, port = flow.key
        proto = BATCH_PROTO.get((flow.proto, flow.family), flow.proto)
        lines.append(json.dumps({"src": src, "dst": dst, "proto": proto, "type" if flow.proto == "ping" else "dport": port}))
    answer = node.cli("explain", "-p", policy, "-i", "live", "--batch", "-", stdin="\n".join(lines) + "\n")
    answers = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(answers) == len(table), answer.stderr
    return answers


def direction(flow):
    if not hasattr(flow.dst, "port"):
        return "egress"
    return "east_west" if hasattr(flow.src, "port") else "ingress"


def sample(rng, refuse, table, answers):
    """Some flows of each verdict and reason, as (flow, verdict)."""
    kinds = {}
    for flow, answer in zip(table, answers):
        judged = Flow(flow.src, flow.dst, flow.proto, flow.port, flow.family, answer["reason"],
                      refuse[direction(flow)] == "drop")
        kinds.setdefault((answer["verdict"], answer["reason"] or ""), []).append(judged)
    chosen = []
    for (verdict, reason), flows in sorted(kinds.items()):
        alike = sum(1 for kind in kinds if kind[0] == verdict)
        chosen += [(flow, verdict) for flow in rng.sample(flows, min(len(flows), SAMPLE[verdict] // alike))]
    return chosen


def judge_audited(flow, result, events):
    wrong = [] if result == "ok" else ["the sender saw '%s'" % result]
    found = {(event["verdict"], event["reason"]) for event in events.get(flow.key, ())}
    return wrong + ([] if found == {("audited", flow.reason)} else ["its events are %s" % found])


def probe(report, node, name, chosen):
    """Sends the chosen flows and holds what became of each against the oracle's word."""
    table = [flow for flow, _ in chosen]
    for party in {flow.dst for flow in table}:
        party.agent.do("forget")
    since = events_mark()
    results = send_all(table)
    events = collect_events(node, since, {flow.key for flow, verdict in chosen if verdict != "allow"})
    arrived = sniffed({flow.dst for flow in table})
    bad = []
    for flow, verdict in chosen:
        if verdict == "deny":
            wrong = judge_denied(flow, results[flow], arrived, events)
        elif verdict == "audit":
            wrong = judge_audited(flow, results[flow], events)
        else:
            wrong = judge_allowed(flow, results[flow], events)
        bad += ["%s, explain says %s: %s" % (flow, verdict, what) for what in wrong]
    counts = {verdict: sum(1 for _, other in chosen if other == verdict) for verdict in SAMPLE}
    return report.check(not bad, "%s: the kernel does to %d flows what explain says (%s)"
                        % (name, len(chosen), ", ".join("%d %s" % (n, verdict) for verdict, n in counts.items())),
                        "\n".join(bad))


def one_policy(report, node, parties, table, number):
    """One random policy, applied and probed."""
    rng = random.Random("%d-%d" % (SEED, number))
    writer = Writer(rng, parties)
    directory = os.path.join(node.lab.dir, "policy-%d" % number)
    os.mkdir(directory)
    text = writer.policy()
    with open(os.path.join(directory, "policy.yaml"), "w") as policy:
        policy.write(text)
    name = "seed %d-%d" % (SEED, number)
    answer = node.cli("apply", "--yes", "-p", directory)
    if answer.returncode:
        report.check(False, "%s applies" % name, text + answer.stdout + answer.stderr)
        return
    node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
    chosen = sample(rng, writer.refuse, table, explain(node, directory, table))
    if not probe(report, node, name, chosen):
        report.note(text)


def main():
    report = Report("random policies, seed %d" % SEED)
    lab, parties = build()
    started = time.monotonic()
    with lab:
        node = Node(lab)
        node.start()
        table = list(all_flows(parties))
        for number in range(ROUNDS):
            report.section(one_policy, report, node, parties, table, number)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    report.note("%.0f s" % (time.monotonic() - started))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
