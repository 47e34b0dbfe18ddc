#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of interfaces: those that nft cannot write, and those that change while they are managed.

What cannot be named in a rule is closed and listed, and the rest of the rules can be read and loaded all the same. A managed
bridge that is renamed stays managed, also over a restart, and `off` finds it again.
"""
import os
import re
import sys
import time

from scenario import POLICY, build, reason_of

from lab import run, wait_for
from node import Node
from probes import control, flows, matrix
from rtnl import Rtnl
from tap import Report

CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api", "br-one", "prod", "orders-api"),
    ("dev-web", "br-one", "dev", "web"),
    ("prod-api-2", "br-two", "prod", "orders-api"),
)
# An interface's name has at most 15 bytes, none of them a blank, a slash or a colon; the rest is up to who gives it.
WRITABLE = ("veth\\", "veth#$;", "veth*{}'", "veth\x01\x7f\xe9", "--help")
UNWRITABLE = ('veth"x', "vethx*", "veth\\*", '"', "veth\";drop")
PROBES = (("tcp", 8080, 4), ("tcp", 8080, 6), ("udp", 9000, 4), ("udp", 9000, 6))


def containers_of(parties):
    return [party for party in parties.values() if hasattr(party, "port")]


def everything(parties):
    return [flow for src in containers_of(parties) for dst in containers_of(parties) if src is not dst
            for port in ("tcp/8080", "ping") for flow in flows(src, dst, port, reason_of(src, dst, port))]


def rename(node, old, new):
    rtnl = Rtnl(node.lab.host.path)
    rtnl.set_link(rtnl.index(os.fsencode(old) + b"\0"), name=os.fsencode(new) + b"\0", up=True)
    rtnl.close()


def loads_again(node):
    """What nft says of its own listing, less what nft 1.0.6 cannot write: a table's flags."""
    listed = re.sub(r"\n\tflags[^\n]*", "", node.lab.host.run("nft", "list", "ruleset", errors="surrogateescape").stdout)
    result = run("unshare", "-rn", "nft", "-c", "-f", "-", stdin=listed, check=False, errors="surrogateescape")
    return result.returncode, result.stderr[:300]


def passes(*pairs):
    """What of PROBES, from the first to the second of each pair, gets an answer. All are sent at once: silence takes its time."""
    sent = [(src, dst.name, probe, src.agent.send(probe[0], dst=dst.addr[probe[2]], port=probe[1]))
            for src, dst in pairs for probe in PROBES]
    return [(src.name, dst, *probe) for src, dst, probe, number in sent if src.agent.wait(number)["result"] == "ok"]


def uncovered(node, what):
    return [row for row in node.status()["uncovered"] if what in row["what"] or what in row["reason"]]


def odd_ports(report, node, parties):
    """A port whose name nft can write is an endpoint like any other; one that it cannot write passes nothing and is listed."""
    web, api = parties["prod-web"], parties["prod-api"]
    plain = web.port
    for name in WRITABLE:
        rename(node, web.port, name)
        web.port = name
        wait_for(lambda: plain not in [row["interface"] for row in node.endpoints()], "%r to be noticed" % name)
        node.wait_endpoints([web])
        wait_for(lambda: len(passes((web, api))) == len(PROBES), "%r to pass what is granted" % name)
        report.equal(loads_again(node), (0, ""), "%r: the listing loads again" % name)
    for name in UNWRITABLE:
        rename(node, web.port, name)
        web.port = name
        wait_for(lambda: [row for row in uncovered(node, "nft cannot write") if row["what"] == "interface " + name], "%r in status" % name)
        report.equal(loads_again(node), (0, ""), "%r: the listing loads again" % name)
        report.equal(node.status()["problems"], [], "%r is no trouble of the daemon's" % name)
        if name.startswith("veth"):
            report.equal(passes((web, api), (api, web)), [], "%r: nothing passes to it or from it" % name)
            report.check("unknown port" in uncovered(node, "nft cannot write")[0]["reason"], "%r: status says how it is held" % name)
        else:
            report.check("no rule holds it" in uncovered(node, "nft cannot write")[0]["reason"],
                         "%r: no pattern matches it, and status says so" % name)
    rename(node, web.port, plain)
    web.port = plain
    node.wait_endpoints([web])
    matrix(report, node, everything(parties), "with its old name")
    report.equal(uncovered(node, "nft cannot write"), [], "nothing is left of it")


def held_open(report, node, parties):
    """A port that gets another name keeps its open connections: who is behind it is the same."""
    web, api, far = parties["prod-web"], parties["prod-api"], parties["prod-api-2"]
    keys = ["%s %d" % (dst.name, family) for dst in (api, far) for family in (4, 6)]
    for dst in (api, far):
        for family in (4, 6):
            answer = web.agent.do("hold", key="%s %d" % (dst.name, family), dst=dst.addr[family], port=8080)
            report.equal(answer["result"], "ok", "%s: a connection over IPv%d" % (dst.name, family))
    before = node.status()["counters"]["connections_cut"]
    for party, name in ((web, "vethnew"), (api, web.port), (web, "vethnewer"), (api, "vethnew"), (far, "vethfar")):
        waiting = [(key, web.agent.send("talk", key=key, later=True)) for key in keys]
        time.sleep(0.1)  # what they say is with the servers, whose answers come when all is over
        rename(node, party.port, name)
        party.port = name
        wait_for(lambda: name in [row["interface"] for row in node.endpoints()], "%s to be noticed" % name)
        for key, number in waiting:
            report.equal(web.agent.wait(number)["result"], "ok", "%s, after %s became %s" % (key, party.name, name))
    report.equal(node.status()["counters"]["connections_cut"], before, "no connection was cut")
    web.agent.do("close", prefix="")


def odd_bridge(report, node, parties):
    """So does a bridge: what it joins is closed."""
    web, api = parties["prod-web"], parties["prod-api"]
    rename(node, "br-one", 'br-"one')
    wait_for(lambda: uncovered(node, 'br-"one'), "the bridge in status")
    wait_for(lambda: not passes((web, api)), "its ports to be closed")
    report.equal(passes((api, web), (web, parties["prod-api-2"]), (parties["prod-api-2"], api)), [], "nothing passes there")
    report.equal(loads_again(node), (0, ""), "the listing loads again")
    report.check([row for row in uncovered(node, "nft cannot write") if row["what"].startswith("bridge")], "status has the bridge")
    rename(node, 'br-"one', "br-one")
    node.wait_endpoints(containers_of(parties))
    matrix(report, node, everything(parties), "with its old name")


def renamed(node):
    return [text for text in node.status()["warnings"] if "stays managed" in text]


def bridge_renamed(report, node, parties):
    """A managed bridge with a name that no pattern matches: enforced as before, with a warning, also after a restart."""
    flags = node.bridge_flags("br-one")
    rename(node, "br-one", "lan0")
    wait_for(lambda: renamed(node), "the warning")
    report.check("bridge lan0 was br-one" in renamed(node)[0], "it names both", renamed(node))
    node.wait_endpoints(containers_of(parties))
    matrix(report, node, everything(parties), "renamed")
    report.equal({row["bridge"] for row in node.endpoints()}, {"lan0", "br-two"}, "endpoints have the new name")
    rename(node, "lan0", "lan1")
    wait_for(lambda: "lan1" in str(renamed(node)), "the warning of the next name")
    node.stop()
    node.start()
    node.wait_endpoints(containers_of(parties))
    report.check("bridge lan1 was br-one" in str(renamed(node)), "the warning after a restart", node.status()["warnings"])
    matrix(report, node, everything(parties), "renamed, and restarted")
    node.cli("off")
    report.equal(node.bridge_flags("lan1"), (0, 0), "off puts its flags back under the new name")
    node.cli("on")
    node.wait_ready(("enforcing",))
    node.wait_endpoints(containers_of(parties))
    rename(node, "lan1", "br-one")
    wait_for(lambda: not renamed(node), "the warning to go")
    node.wait_endpoints(containers_of(parties))
    report.equal(node.bridge_flags("br-one"), flags, "its flags are on")
    matrix(report, node, everything(parties), "with its old name")


def ignored_name(report, node, parties):
    """But a name that the configuration ignores is an order to leave it alone."""
    with open(node.config, "a") as config:
        config.write("interfaces: {ignore: [lan9]}\n")
    node.stop()
    node.start()
    node.wait_endpoints(containers_of(parties))
    rename(node, "br-one", "lan9")
    wait_for(lambda: uncovered(node, "lan9"), "the bridge among what is not covered")
    wait_for(lambda: passes((parties["dev-web"], parties["prod-api"])), "it to be open")
    report.check(not renamed(node), "without a warning", renamed(node))


def main():
    report = Report("names of interfaces")
    lab, parties = build(CONTAINERS)
    with lab:
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        control(report, everything(parties), "no microseg")
        node = Node(lab)
        node.start(policy=POLICY)
        node.wait_endpoints(containers_of(parties))
        for part in (odd_ports, held_open, odd_bridge, bridge_renamed, ignored_name):
            report.section(part, report, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
