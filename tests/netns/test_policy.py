#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every flow between containers, host and the world outside gets the verdict that SPEC section 3 gives it.

Real TCP, UDP and ICMP in both families, on one bridge and between two. First the positive control: the same flows, with
microseg observing but not armed, all get through.
"""
import sys

from scenario import POLICY, build, east_west

from node import Node
from probes import control, flows, matrix
from tap import Report


def north_south(p):
    """The flows that have the host or the world outside at one end."""
    web, api, db, dev_web, nobody = (p[name] for name in ("prod-web", "prod-api-2", "prod-db", "dev-web", "nobody-1"))
    host, outside, office = p["host"], p["outside"], p["office"]
    return [
        # container -> host: names by the gateway, and what `needs` says
        *flows(web, host, "udp/53 tcp/53 udp/123"), *flows(api, host, "udp/53 tcp/53"), *flows(dev_web, host, "udp/53"),
        *flows(web, host, "tcp/22 tcp/8080 udp/9000 ping", "no-grant"), *flows(api, host, "udp/123", "no-grant"),
        *flows(nobody, host, "udp/53 tcp/22 ping", "unidentified"),
        # host -> container
        *flows(host, db, "tcp/9187"),
        *flows(host, db, "tcp/5432 udp/9000 ping", "no-grant", drop=True), *flows(host, web, "tcp/8080", "no-grant", drop=True),
        *flows(host, nobody, "tcp/8080 ping", "unidentified", drop=True),
        # container -> net
        *flows(web, outside, "tcp/443"), *flows(dev_web, outside, "tcp/443"),
        *flows(web, outside, "tcp/8080 udp/53 ping", "no-grant"), *flows(web, office, "tcp/443", "no-grant"),
        *flows(api, outside, "tcp/443", "no-grant"), *flows(nobody, outside, "tcp/443 udp/53", "unidentified"),
        # net -> container
        *flows(office, web, "tcp/8080"), *flows(office, dev_web, "tcp/8080"),
        *flows(outside, web, "tcp/8080 ping", "no-grant", drop=True), *flows(office, web, "tcp/443 udp/8080 ping", "no-grant", drop=True),
        *flows(office, db, "tcp/5432", "no-grant", drop=True), *flows(outside, nobody, "tcp/8080", "unidentified", drop=True),
        # the host and the world outside are none of our business
        *flows(host, outside, "tcp/22 udp/9000 ping"), *flows(outside, host, "tcp/22 udp/9000 ping"),
    ]


def observing(report, node, table):
    """The positive control: microsegd observes, nothing is refused, nothing in the kernel changes."""
    report.equal(node.status().get("state"), "observing", "a node that never had a policy observes")
    report.equal(node.ruleset(), "", "observing: no rule in the kernel")
    control(report, table, "observing")
    report.equal(node.events(), [], "observing: no event")


def enforcing(report, node, parties):
    """The node is armed with policy/: each flow has its verdict."""
    answer = node.cli("apply", "-p", POLICY, "--yes")
    report.equal(answer.returncode, 0, "apply", answer.stdout + answer.stderr)
    report.equal(node.status().get("state"), "enforcing", "armed by its first load", node.log_text())
    node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
    for bridge in ("br-one", "br-two"):
        report.equal(node.bridge_flags(bridge), (1, 1), "%s hands its traffic to netfilter" % bridge)
    matrix(report, node, east_west(parties))
    matrix(report, node, north_south(parties))


def half_identity(report, node, parties):
    """A container that loses its service's name is nobody; with the name its rights come back."""
    web, api = parties["prod-web"], parties["prod-api-1"]
    whole = dict(web.labels)
    web.labels["io.microseg.service"] = None
    node.lab.identify(web)
    node.wait_endpoints([web])
    matrix(report, node, list(flows(web, api, "tcp/8080 udp/9000 ping", "unidentified")), "half an identity")
    web.labels = whole
    node.lab.identify(web)
    node.wait_endpoints([web])
    matrix(report, node, list(flows(web, api, "tcp/8080 udp/9000 ping")), "whole again")


def spoofed(report, node, parties):
    """A source address that is not the container's own passes nothing, and says so."""
    web, api = parties["prod-web"], parties["prod-api-1"]
    # An address on lo is the namespace's own to send from, and none that the host has for eth0.
    web.ip("addr add %s/32 dev lo" % parties["prod-metrics"].addr[4])
    answer = web.agent.do("udp", dst=api.addr[4], port=9000, src=parties["prod-metrics"].addr[4])
    report.equal(answer["result"], "timeout", "another container's address as source")
    reasons = [event["reason"] for event in node.events() if event["src"].get("ip") == parties["prod-metrics"].addr[4]
               and event["dst"].get("ip") == api.addr[4]]
    report.check("spoof" in reasons, "its event says spoof", reasons)
    web.ip("addr del %s/32 dev lo" % parties["prod-metrics"].addr[4])


def main():
    report = Report("policy in a namespace lab")
    lab, parties = build()
    with lab:
        # The lab's host is as a host with br_netfilter and none of its switches on: what passes is by microseg's doing.
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        control(report, east_west(parties) + north_south(parties), "no microseg")
        node = Node(lab)
        node.start()
        report.section(observing, report, node, east_west(parties) + north_south(parties))
        report.section(enforcing, report, node, parties)
        report.section(half_identity, report, node, parties)
        report.section(spoofed, report, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
