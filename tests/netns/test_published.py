#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Published ports: what an engine's NAT brings is judged by its original client and its translated destination.

The lab's host has the rules of a Docker engine (tests/lab/nat.py), once as with the userland proxy and once as without. A
client outside reaches a published port only through a grant that says so; containers and the host are judged as if they
had called the container itself; what the proxy carries arrives as the host. Each flow gets through without microseg first,
and each verdict is also what `explain` says.
"""
import json
import os
import sys
from dataclasses import dataclass

import scenario  # noqa: F401  finds tests/lab

import frames as f
from lab import Lab, OutsideAddress, wait_for
from nat import Nat
from node import EVENT_PATIENCE, Node, events_mark
from probes import Flow, control, flows, matrix
from tap import Report

POLICY = """
apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments: {prod: {mode: enforce}, dev: {mode: enforce}}
nets: {dba: [10.20.0.0/24, "2001:db8:20::/64"], office: [10.30.0.0/24, "2001:db8:30::/64"]}
refuse: {east_west: reject, egress: reject, ingress: reject}
---
apiVersion: microseg/v1
kind: Service
service: web
env: [prod, dev]
ports: {http: tcp/8080, rpc: udp/9000}
allow:
  - {from: {net: dba}, ports: [http, rpc], published: true}
  - {from: {net: office}, ports: [http, rpc]}
  - {from: api, ports: [http, rpc]}
needs:
  - {to: {net: office}, ports: [tcp/443]}
  - {to: host, ports: [tcp/18080, tcp/28080]}
---
apiVersion: microseg/v1
kind: Service
service: api
env: [prod, dev]
ports: {http: tcp/8080}
allow:
  - {from: self, ports: [http]}
  - {from: host, ports: [http]}
  - {from: {net: office}, ports: [http], published: true}
"""

CONTAINERS = (
    ("web", "br-one", "prod", "web"),
    ("api", "br-one", "prod", "api"),
    ("far-api", "br-two", "prod", "api"),
    ("dev", "br-one", "dev", "api"),
    ("far-dev", "br-two", "dev", "api"),
)
# The host's port of each published one: container, protocol, container's port.
PUBLISHED = {("web", "tcp", 8080): 18080, ("web", "udp", 9000): 19000, ("api", "tcp", 8080): 28080}
PROXY_PORTS = [18080, 28080]


@dataclass(frozen=True)
class Published(Flow):
    """A flow to dst through a port of the host. `to` is the address called, if not the host's own."""

    to: str = None

    @property
    def host_port(self):
        return PUBLISHED[self.dst.name, self.proto, self.port]

    @property
    def refusals(self):
        # A reset for a translated connection would come from an address that the client never called.
        return super().refusals if self.drop else ("prohibited",)

    @property
    def key(self):
        return self.src.addr[self.family], self.dst.addr[self.family], self.proto, self.port

    def start(self):
        source = {"src": self.src.source[self.family]} if self.src.source else {}
        return self.src.agent.send(self.proto, dst=self.to or self.host_address(), port=self.host_port, **source)

    def host_address(self):
        return LAB.host.addr[self.family]

    def __str__(self):
        return "%s, published as %d%s" % (super().__str__(), self.host_port, " and called at " + self.to if self.to else "")


LAB = None  # the lab of this run


def published(src, dst, ports, reason=None, families=(4, 6), **more):
    for word in ports.split():
        proto, _, port = word.partition("/")
        for family in families:
            yield Published(src, dst, proto, int(port), family, reason, **more)


def build():
    global LAB
    LAB = lab = Lab()
    lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
    lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
    parties = {name: lab.container(name, bridge, env, service) for name, bridge, env, service in CONTAINERS}
    parties.update(host=lab.host, outside=lab.outside)
    for party in parties.values():
        party.listen(tcp=[8080, 443], udp=[9000])
    parties["dba"] = OutsideAddress(lab.outside, "dba", {4: "10.20.0.2", 6: "2001:db8:20::2"})
    parties["office"] = OutsideAddress(lab.outside, "office", {4: "10.30.0.2", 6: "2001:db8:30::2"})
    lab.settle()
    return lab, parties


def clients_outside(p):
    """What comes from outside through published ports."""
    return [
        *published(p["dba"], p["web"], "tcp/8080 udp/9000"),
        *published(p["office"], p["web"], "tcp/8080 udp/9000", "no-grant"),
        *published(p["outside"], p["web"], "tcp/8080 udp/9000", "no-grant"),
        *published(p["dba"], p["api"], "tcp/8080", "no-grant"), *published(p["office"], p["api"], "tcp/8080"),
    ]


def untranslated(p):
    """The direct way. A published grant covers it as well. What leaves is masqueraded, and judged by its own address."""
    return [
        *flows(p["dba"], p["web"], "tcp/8080 udp/9000"), *flows(p["office"], p["web"], "tcp/8080 udp/9000"),
        *flows(p["outside"], p["web"], "tcp/8080 udp/9000", "no-grant"), *flows(p["dba"], p["api"], "tcp/8080", "no-grant"),
        *flows(p["far-api"], p["web"], "tcp/8080 udp/9000"), *flows(p["far-dev"], p["web"], "tcp/8080", "fence"),
        *flows(p["web"], p["office"], "tcp/443"), *flows(p["web"], p["outside"], "tcp/443", "no-grant"),
        *flows(p["api"], p["office"], "tcp/443", "no-grant"),
    ]


def containers_calling(p):
    """Containers that call a port of the host, where there is no proxy: as if they had called the container itself.

    From another network; over one bridge, there and back; and to itself, which is another replica's right, or nobody's.
    """
    return [
        *published(p["far-api"], p["web"], "tcp/8080 udp/9000"), *published(p["far-api"], p["api"], "tcp/8080"),
        *published(p["far-dev"], p["web"], "tcp/8080 udp/9000", "fence"), *published(p["far-dev"], p["api"], "tcp/8080", "fence"),
        *published(p["api"], p["web"], "tcp/8080 udp/9000"), *published(p["dev"], p["web"], "tcp/8080 udp/9000", "fence"),
        *published(p["api"], p["api"], "tcp/8080"), *published(p["web"], p["web"], "tcp/8080 udp/9000", "no-grant"),
    ]


def host_calling(p, proxy):
    """The host reaches its own published ports as the host."""
    table = [*published(p["host"], p["api"], "tcp/8080"), *published(p["host"], p["web"], "tcp/8080 udp/9000", "no-grant")]
    if not proxy:
        table += [*published(p["host"], p["api"], "tcp/8080", families=(4,), to="127.0.0.1"),
                  *published(p["host"], p["web"], "tcp/8080", "no-grant", families=(4,), to="127.0.0.2")]
    return table


def tables_of(p, proxy):
    """Tables of flows whose packets look different once they are translated: each is probed by itself."""
    calls = [] if proxy else [containers_calling(p)]
    return [clients_outside(p), untranslated(p), host_calling(p, proxy), *calls]


def explained(report, node, table, policy):
    """`explain` gives each of these flows the verdict that the kernel gave it."""
    lines = [json.dumps({"src": "host" if flow.src.identity == "host" else flow.key[0],
                         "dst": flow.key[1], "proto": flow.proto, "dport": flow.port,
                         "published": isinstance(flow, Published)}) for flow in table]
    answer = node.cli("explain", "-p", policy, "-i", "live", "--batch", "-", stdin="\n".join(lines) + "\n")
    answers = [json.loads(line) for line in answer.stdout.splitlines()]
    wrong = ["%s: explain says %s" % (flow, said) for flow, said in zip(table, answers)
             if (said["verdict"], said["reason"]) != ("deny" if flow.reason else "allow", flow.reason)]
    report.check(len(answers) == len(table) and not wrong, "explain says the same of all %d flows" % len(table),
                 "\n".join(wrong) or answer.stderr)


def masqueraded(report, parties, when):
    """The world outside sees the host's address."""
    outside = parties["outside"].agent
    outside.do("forget")
    results = [parties["web"].agent.do("tcp", dst=parties["office"].addr[family], port=443)["result"] for family in (4, 6)]
    seen = {entry[0] for entry in outside.do("sniffed")["seen"] if entry[3] == 443}
    report.equal((results, seen), (["ok", "ok"], set(LAB.host.addr.values())), "%s: what leaves bears the host's address" % when)


# ---- published on 127.0.0.1 ----------------------------------------------------------------------------------------


def publish_on_loopback(lab, web):
    """A port on the host's 127.0.0.1, on a host that routes such addresses, as engines without a proxy do."""
    nat = Nat(lab, proxy=False)
    nat.publish(web, "tcp", 38080, 8080, "127.0.0.1")
    nat.load()
    lab.host.sysctl({"net.ipv4.conf.all.route_localnet": 1, "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.uplink0.rp_filter": 0})


def on_loopback(parties):
    """How many of the clients outside put a SYN to 127.0.0.1 on the wire that reaches the container."""
    host, outside, web = parties["host"], parties["outside"], parties["web"]
    macs = [f.mac(json.loads(party.run("ip", "-j", "link", "show", "dev", name).stdout)[0]["address"])
            for party, name in ((host, "uplink0"), (outside, "uplink1"))]
    tap, sender = f.Tap(web), f.Sender(outside, "uplink1")
    for number, src in enumerate((outside.addr[4], parties["office"].addr[4])):
        syn = f.tcp(src, "127.0.0.1", 4000 + number, 38080, 0x02, b"MSloopback")
        sender.send(f.ether(*macs, 0x0800, f.ip4(src, "127.0.0.1", f.TCP, syn)))
    count = tap.count(b"MSloopback")
    tap.close()
    return count


# ---- the userland proxy --------------------------------------------------------------------------------------------


def start_proxies(lab, parties):
    """The proxies of an engine that translates nothing in IPv6: clients of that family all come by them."""
    nat = Nat(lab, proxy=True)
    for (name, proto, port), host_port in PUBLISHED.items():
        nat.publish(parties[name], proto, host_port, port)
    nat.start_proxies()


def proxy_probes(parties, host_port):
    """{who: what became of a connection}, for all that reach the host's port without a translation."""
    host = parties["host"]
    calls = {"host": (host, "127.0.0.1"), "outside": (parties["outside"], host.addr[6]), "web": (parties["web"], host.addr[6])}
    return {who: party.agent.do("tcp", dst=dst, port=host_port)["result"] for who, (party, dst) in calls.items()}


def told(node, since, wanted):
    """Does an event since then say so? wanted: a set of (reason, source's identity, destination's identity, source's address)."""
    def found():
        events = node.events(since)
        return wanted <= {(event["reason"], event["src"].get("identity"), event["dst"].get("identity"), event["src"].get("ip"))
                          for event in events}
    return wait_for(found, "the event %s" % wanted, EVENT_PATIENCE)


def by_proxy(report, node, parties, policy):
    """What the engine's userland proxy carries arrives as the host: refused without `from: host`, let in with it."""
    api, web = parties["api"], parties["web"]
    since = events_mark()
    results = proxy_probes(parties, 18080)
    report.check("ok" not in results.values(), "no `from: host`: nobody gets in by the proxy", results)
    report.check(told(node, since, {("no-grant", "host", "prod/web", web.bridge.gateway[4])}), "its event names the host")
    report.equal(set(proxy_probes(parties, 28080).values()), {"ok"}, "with `from: host` everybody who may call the host does")
    since = events_mark()
    result = api.agent.do("tcp", dst=api.bridge.gateway[6], port=28080)["result"]
    report.equal(result, "refused", "a container that may not call the host does not get in by the detour")
    report.check(told(node, since, {("no-grant", "prod/api", "host", api.addr[6])}), "its event says so")
    said = node.cli("check", "-p", policy)
    report.check("userland proxy" in said.stderr, "check warns of `from: host` on a port with a published grant", said.stderr)


# ----------------------------------------------------------------------------------------------------------------------


def write_policy(lab):
    policy = os.path.join(lab.dir, "policy")
    os.mkdir(policy)
    with open(os.path.join(policy, "policy.yaml"), "w") as file:
        file.write(POLICY)
    return policy


def one_engine(report, proxy):
    """The whole of it, with the rules of an engine with or without its proxy."""
    what = "with a userland proxy" if proxy else "without a userland proxy"
    lab, parties = build()
    with lab:
        nat = Nat(lab, proxy)
        for (name, proto, port), host_port in PUBLISHED.items():
            nat.publish(parties[name], proto, host_port, port)
        nat.load()
        tables = tables_of(parties, proxy)
        for table in tables:
            control(report, table, "no microseg, " + what)
        masqueraded(report, parties, "no microseg")
        node = Node(lab)
        policy = write_policy(lab)
        node.start(policy)
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        for table in tables:
            report.section(matrix, report, node, table, what)
            report.section(explained, report, node, table, policy)
        report.section(masqueraded, report, parties, "enforcing")
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])


def no_translation(report):
    """Ports on 127.0.0.1, and connections that no rule translates: the proxy's."""
    lab, parties = build()
    with lab:
        publish_on_loopback(lab, parties["web"])
        start_proxies(lab, parties)
        report.equal(on_loopback(parties), 2, "no microseg: a port published on 127.0.0.1 is reached from the network outside")
        for host_port in PROXY_PORTS:
            report.equal(set(proxy_probes(parties, host_port).values()), {"ok"}, "no microseg: the proxy of %d works" % host_port)
        node = Node(lab)
        policy = write_policy(lab)
        node.start(policy)
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        report.equal(on_loopback(parties), 0, "enforcing: a port published on 127.0.0.1 is not")
        report.section(by_proxy, report, node, parties, policy)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])


def main():
    report = Report("published ports")
    for proxy in (True, False):
        one_engine(report, proxy)
    no_translation(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
