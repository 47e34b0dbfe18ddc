# SPDX-License-Identifier: GPL-2.0-or-later
"""Probes: one table of flows, what must become of each, and how that is proved.

A flow counts as allowed only when its payload came back and no drop event names it. It counts as denied only when nothing
of it reached the other end's interface, the sender got the kind of refusal the policy asks for, and a drop event with the
right reason and the right names came. The same table without microseg has to succeed in full: control().
"""
import time
from dataclasses import dataclass

from node import EVENT_PATIENCE, event_key, events_mark

CHUNK = 240  # flows of a matrix probed at once: the daemon keeps a limited number of events
PING = {4: ("icmp", 8), 6: ("icmpv6", 128)}
REJECTED = {"tcp": "refused", "udp": "prohibited", "ping": "prohibited"}


@dataclass(frozen=True)
class Flow:
    src: object  # a namespace of the lab
    dst: object
    proto: str  # tcp, udp, ping
    port: int  # of no meaning for ping
    family: int
    reason: str = None  # None: allowed; else the reason it is refused for
    drop: bool = False  # refused in silence

    @property
    def target(self):
        return self.dst.address_for(self.src, self.family)

    @property
    def key(self):
        proto, port = PING[self.family] if self.proto == "ping" else (self.proto, self.port)
        return self.src.address_for(self.dst, self.family), self.target, proto, port

    @property
    def refusals(self):
        """What the sender of a refused flow may notice."""
        if not self.drop:
            return (REJECTED[self.proto],)
        # A local process of the host learns from its own system call that its datagram was dropped.
        return ("timeout", "prohibited") if self.src.identity == "host" else ("timeout",)

    def __str__(self):
        what = "ping" if self.proto == "ping" else "%s/%d" % (self.proto, self.port)
        verdict = "passes" if self.reason is None else "is refused: %s" % self.reason
        return "%s -> %s %s over IPv%d %s" % (self.src.name, self.dst.name, what, self.family, verdict)

    def start(self):
        source = {"src": self.src.source[self.family]} if self.src.source else {}
        return self.src.agent.send(self.proto, dst=self.target, port=self.port, **source)

    def answer(self, number):
        return self.src.agent.wait(number)["result"]


def flows(src, dst, ports, reason=None, drop=False, families=(4, 6)):
    """Flows for "tcp/80 udp/53 ping"."""
    for word in ports.split():
        proto, _, port = word.partition("/")
        for family in families:
            yield Flow(src, dst, proto, int(port or 0), family, reason, drop)


def send_all(table):
    """Probes all flows at once. Returns {flow: result}."""
    started = [(flow, flow.start()) for flow in table]
    return {flow: flow.answer(number) for flow, number in started}


def control(report, table, what):
    """The positive control: every flow of the table must get through."""
    bad = ["%s: %s" % (flow, result) for flow, result in send_all(table).items() if result != "ok"]
    report.check(not bad, "%s: all %d flows get through" % (what, len(table)), "\n".join(bad))


def sniffed(namespaces):
    """What reached these. Not who routes: the sniffer sees what passes through as well, and the host's before the rules."""
    namespaces = [namespace for namespace in namespaces if not namespace.routes]
    return {tuple(entry[:4]) for namespace in namespaces for entry in namespace.agent.do("sniffed")["seen"]}


def collect_events(node, since, wanted):
    """{key: [event, …]}, as soon as all wanted keys are there or patience ends."""
    deadline = time.monotonic() + EVENT_PATIENCE
    while True:
        found = {}
        for event in node.events(since):
            found.setdefault(event_key(event), []).append(event)
        if wanted <= found.keys() or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def judge_denied(flow, result, arrived, events):
    """What is wrong with the refusal of this flow: a list of sentences, empty when all is well."""
    wrong = []
    if result not in flow.refusals:
        wrong.append("the sender saw '%s', not %s" % (result, " or ".join(flow.refusals)))
    if flow.key in arrived:
        wrong.append("the packet reached %s" % flow.dst.name)
    mine = [event for event in events.get(flow.key, ()) if event["verdict"] == "denied"]
    if not mine:
        wrong.append("no drop event; events of these ends: %s"
                     % [key for key in events if key[:2] == flow.key[:2]])
        return wrong
    event = mine[-1]
    if event["reason"] != flow.reason:
        wrong.append("the event says %s" % event["reason"])
    names = event["src"].get("identity"), event["dst"].get("identity")
    if names != (flow.src.identity, flow.dst.identity):
        wrong.append("the event names %s -> %s" % names)
    return wrong


def judge_allowed(flow, result, events):
    wrong = [] if result == "ok" else ["the sender saw '%s'" % result]
    return wrong + ["there is an event: %s" % event for event in events.get(flow.key, ())]


def matrix(report, node, table, what=""):
    """Probes every flow and reports each one."""
    for start in range(0, len(table), CHUNK):
        matrix_chunk(report, node, table[start : start + CHUNK], what)


def matrix_chunk(report, node, table, what):
    for namespace in {flow.dst for flow in table}:
        namespace.agent.do("forget")
    since = events_mark()
    results = send_all(table)
    events = collect_events(node, since, {flow.key for flow in table if flow.reason})
    arrived = sniffed({flow.dst for flow in table})
    for flow, result in results.items():
        wrong = (judge_denied(flow, result, arrived, events) if flow.reason
                 else judge_allowed(flow, result, events))
        report.check(not wrong, "%s%s" % (what and what + ": ", flow), "\n".join(wrong))
