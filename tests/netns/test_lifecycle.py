#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens over time: containers come, change and go; the daemon stops, dies, comes back, meets broken input.

Nothing that goes wrong on an armed node may open anything, and nothing may cut what is allowed.
"""
import json
import os
import re
import signal
import socket
import sys
import threading

from scenario import POLICY, build, reason_of

from lab import ROOT, run, wait_for
from node import MICROSEGD, Node
from probes import control, flows, matrix
from tap import Report

CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api-1", "br-one", "prod", "orders-api"),
    ("prod-api-2", "br-two", "prod", "orders-api"),
    ("dev-web", "br-one", "dev", "web"),
    ("nobody-1", "br-one", None, None),
)
PROBES = "tcp/8080 udp/9000 udp/8080 ping"
UNIT = os.path.join(ROOT, "src", "daemon", "microsegd.service.in")
PERSISTENT = ("prod-api-1", "prod-api-2")  # ends of the connections that must outlive everything


def pairs(sources, destinations):
    """All flows of PROBES between these, with the verdicts of the scenario."""
    return [flow for src in sources for dst in destinations if src is not dst
            for port in PROBES.split() for flow in flows(src, dst, port, reason_of(src, dst, port))]


def containers_of(parties):
    return [party for party in parties.values() if hasattr(party, "port")]


def everything(parties):
    return pairs(containers_of(parties), containers_of(parties))


def hold_connections(parties):
    """Opens allowed connections that later checks expect to be alive."""
    for name in PERSISTENT:
        for family in (4, 6):
            answer = parties["prod-web"].agent.do("hold", dst=parties[name].addr[family], port=8080, key="%s/%d" % (name, family))
            assert answer["result"] == "ok", answer


def check_held(report, parties, when):
    results = {(name, family): parties["prod-web"].agent.do("talk", key="%s/%d" % (name, family))["result"]
               for name in PERSISTENT for family in (4, 6)}
    report.equal(set(results.values()), {"ok"}, "%s: open connections live on" % when, results)


def container_comes(report, node, parties):
    """A container of a known service comes: elements change, rules do not."""
    before = node.structure()
    second = node.lab.container("prod-web-2", "br-two", "prod", "web")
    second.listen(tcp=[8080], udp=[9000, 8080])
    node.wait_endpoints([second])
    parties["prod-web-2"] = second
    report.equal(node.structure(), before, "no chain and no rule was touched")
    matrix(report, node, pairs([second], containers_of(parties)) + pairs(containers_of(parties), [second]), "new container")


def address_changes(report, node, parties):
    """A container changes its addresses: the new ones work, the old ones are nobody's."""
    web = parties["prod-web-2"]
    old = dict(web.addr)
    web.addr = {4: "10.62.0.99", 6: "fd62::99"}
    web.ip("addr flush dev eth0", *web.address_lines(web.addr))
    node.wait_endpoints([web])
    matrix(report, node, pairs([web], [parties["prod-api-1"], parties["prod-api-2"]]), "new address")
    listed = node.ruleset()
    report.check(not any(address in listed.replace(",", " ").split() for address in old.values()), "old addresses left the kernel")


def identity_changes(report, node, parties):
    """A container becomes another service's: the old rights end at once."""
    web = parties["prod-web-2"]
    web.labels["io.microseg.env"] = "dev"
    node.lab.identify(web)
    node.wait_endpoints([web])
    matrix(report, node, pairs([web], [parties["prod-api-1"], parties["prod-api-2"], parties["dev-web"]]), "moved to dev")


def container_goes(report, node, parties):
    """A container goes, and another one takes over its address: it inherits nothing."""
    gone = parties.pop("prod-web-2")
    before = node.structure()
    node.lab.remove(gone)
    wait_for(lambda: gone.port not in [row["interface"] for row in node.endpoints()], "the endpoint to go")
    report.equal(node.structure(), before, "no chain and no rule was touched")
    heir = node.lab.container("heir", "br-two", "dev", "web", up=False)
    heir.addr = gone.addr
    node.lab.identify(heir)
    node.lab.attach(heir)
    heir.ip(*heir.address_lines(heir.addr))
    node.wait_endpoints([heir])
    matrix(report, node, pairs([heir], [parties["prod-api-1"], parties["prod-api-2"]]), "reused address")
    node.lab.remove(heir)


def daemon_ends(report, node, parties, number):
    """The daemon ends, newcomers find the door closed, and it comes back."""
    name = signal.Signals(number).name
    before = node.ruleset(), node.structure()
    node.stop(number)
    report.equal(node.ruleset(), before[0], "%s: the kernel's rules stand" % name)
    results = blind(everything(parties))
    report.equal(results, [], "%s: all verdicts unchanged" % name, "\n".join(results))
    check_held(report, parties, name)
    node.start()
    report.equal(node.status().get("state"), "enforcing", "%s: a restart enforces without being told a policy" % name)
    report.equal(node.structure(), before[1], "%s: a restart adopts what stands" % name)
    check_held(report, parties, "restart after " + name)
    matrix(report, node, everything(parties), "restart after " + name)


def late_container(report, node, parties):
    """A container that comes while the daemon is dead reaches nothing, until the daemon is back and knows it."""
    node.stop(signal.SIGKILL)
    late = node.lab.container("late", "br-one", "prod", "web")
    late.listen(tcp=[8080], udp=[9000, 8080])
    opened = [str(flow) for flow, result in probe(pairs([late], containers_of(parties))) if result == "ok"]
    report.equal(opened, [], "a newcomer reaches nothing")
    node.start()
    node.wait_endpoints([late])
    check_held(report, parties, "restart with a newcomer")
    matrix(report, node, everything(parties) + pairs([late], containers_of(parties)), "with a newcomer")
    node.lab.remove(late)


def probe(table):
    started = [(flow, flow.start()) for flow in table]
    return [(flow, flow.answer(number)) for flow, number in started]


def blind(table):
    """Verdicts without events, for there is no daemon to tell them. Returns what is wrong."""
    return ["%s: %s" % (flow, result) for flow, result in probe(table)
            if (result == "ok") != (flow.reason is None)]


def foreign_hands(report, node, parties):
    """Somebody flushes the ruleset and switches a bridge's flag off: nothing opens, and it is repaired."""
    node.lab.host.run("nft", "flush", "ruleset", check=False)
    results = blind(everything(parties))
    report.equal(results, [], "verdicts after nft flush ruleset", "\n".join(results))
    node.lab.host.ip("link set br-one type bridge nf_call_iptables 0 nf_call_ip6tables 0")
    opened = ["%s: %s" % (flow, result) for flow, result in probe(everything(parties)) if flow.reason and result == "ok"]
    report.equal(opened, [], "nothing opens while a bridge's flags are off", "\n".join(opened))
    wait_for(lambda: node.bridge_flags("br-one") == (1, 1), "the flags to be repaired", 2)
    matrix(report, node, everything(parties), "after the repair")


def broken_policy(report, node, parties):
    """A broken policy at start: the last good one is enforced, and the log says what is wrong and where."""
    broken = os.path.join(node.lab.dir, "broken.yaml")
    with open(broken, "w") as file:
        file.write("apiVersion: microseg/v1\nkind: Service\nservice: web\nenv: prod\nalow: []\n")
    node.stop()
    node.start(policy=broken)
    report.equal(node.status().get("state") in ("enforcing", "degraded"), True, "still enforcing", node.status())
    report.check("broken.yaml:5" in node.log_text(), "the log names file and line", node.log_text()[-1500:])
    matrix(report, node, everything(parties), "broken policy")
    node.stop()
    node.start()


def broken_first_policy(report, node, _parties):
    """A broken policy where there never was a good one: the node keeps observing, and says so."""
    broken = os.path.join(node.lab.dir, "broken.yaml")
    fresh = Node(node.lab, name="fresh")
    node.cli("off")
    node.stop()
    fresh.start(policy=broken)
    report.equal(fresh.status().get("state"), "observing", "never armed: observing", fresh.status())
    report.check("microseg" not in fresh.ruleset(), "and no table in the kernel")
    fresh.stop()
    node.start()
    node.cli("on")
    node.wait_ready(("enforcing",))


def off_and_on(report, node, parties):
    """off takes everything of ours away, works without the daemon, and is remembered; on brings it back."""
    for bridge in ("br-one", "br-two"):
        report.equal(node.bridge_flags(bridge), (1, 1), "before off: flags of %s" % bridge)
    result = node.cli("off")
    report.equal(result.returncode, 0, "off with the daemon", result.stderr)
    report.equal(node.ruleset(), "", "off: no table of ours")
    report.equal(node.bridge_flags("br-one"), (0, 0), "off: the bridge's flags are as they were")
    report.equal(node.status().get("state"), "off", "status says off")
    control(report, everything(parties), "off")
    node.stop()
    node.start()
    report.equal(node.status().get("state"), "off", "off is remembered by a restart")
    report.equal(node.cli("on").returncode, 0, "on")
    node.wait_ready(("enforcing",))
    node.wait_endpoints(containers_of(parties))
    matrix(report, node, everything(parties), "on again")
    node.stop()
    result = node.cli("off")
    report.equal(result.returncode, 0, "off without the daemon", result.stderr)
    report.equal((node.ruleset(), node.bridge_flags("br-two")), ("", (0, 0)), "off without the daemon: nothing is left")
    node.start()
    report.equal(node.status().get("state"), "off", "the daemon that comes later stays off")
    node.cli("on")
    node.wait_ready(("enforcing",))


def foreign_socket(path, reply):
    """An engine socket that accepts and sends `reply`, or nothing at all."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(8)
    kept = []

    def serve():
        while True:
            conn, _ = server.accept()
            kept.append(conn)
            if reply:
                conn.sendall(reply)
                conn.close()

    threading.Thread(target=serve, daemon=True).start()


def bad_engines(report, node, parties):
    """An engine socket that is absent, hangs or talks nonsense: status says so, and everything else goes on."""
    base = os.path.join(node.lab.dir, "engine-")
    foreign_socket(base + "hangs", b"")
    foreign_socket(base + "nonsense", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[[[{\x00\xff")
    node.stop()
    node.engines = [word for name in ("absent", "hangs", "nonsense") for word in ("--engine", "unix://" + base + name)]
    node.start()
    node.wait_endpoints([parties["prod-web"], parties["prod-api-1"]])
    matrix(report, node, pairs([parties["prod-web"], parties["dev-web"]], [parties["prod-api-1"], parties["prod-api-2"]]), "bad engines")

    def told():
        text = json.dumps(node.status())
        return all("engine-" + name in text for name in ("absent", "hangs", "nonsense")) and text

    report.check(wait_for(told, "status to name all three sockets"), "status names all three sockets")
    node.stop()
    node.engines = ["--engine", "none"]
    node.start()


def no_root(report, node, _parties):
    """Without the capability: one line that names it, exit code 2."""
    node.stop()
    result = run(*node.lab.host.command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set",
                                        "-all", "--inh-caps", "-all", MICROSEGD, "--state", "/tmp/microseg-none", "--control",
                                        "/tmp/microseg-none.sock", "--engine", "none"), check=False, timeout=10)
    report.equal(result.returncode, 2, "exit code", result.stderr)
    report.equal(len(result.stderr.splitlines()), 1, "one line", result.stderr)
    report.check("CAP_NET_ADMIN" in result.stderr, "it names the capability", result.stderr)
    node.start()


def few_capabilities(report, node, parties):
    """The daemon needs no capability that its systemd unit does not leave it."""
    with open(UNIT) as unit:
        names = re.search(r"^CapabilityBoundingSet=(.*)$", unit.read(), re.MULTILINE)[1].lower().replace("cap_", "").split()
    node.stop()
    node.start(wrapper=["setpriv", "--bounding-set", ",".join(["-all"] + ["+" + name for name in names]), "--inh-caps", "-all"])
    matrix(report, node, everything(parties), "few capabilities")
    node.lab.host.ip("link set br-two type bridge nf_call_iptables 0")
    wait_for(lambda: node.bridge_flags("br-two") == (1, 1), "the flag to be repaired", 2)
    node.stop()
    node.start()


def main():
    report = Report("lives of containers and of the daemon")
    lab, parties = build(CONTAINERS)
    with lab:
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        control(report, everything(parties), "no microseg")
        hold_connections(parties)
        node = Node(lab)
        node.start(policy=POLICY)
        node.wait_endpoints(containers_of(parties))
        check_held(report, parties, "arming a running host")
        report.section(matrix, report, node, everything(parties), "armed")
        for part in (container_comes, address_changes, identity_changes, container_goes):
            report.section(part, report, node, parties)
        for number in (signal.SIGTERM, signal.SIGKILL):
            report.section(daemon_ends, report, node, parties, number)
        for part in (late_container, foreign_hands, broken_policy, off_and_on, broken_first_policy, bad_engines, few_capabilities, no_root):
            report.section(part, report, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
