#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real Docker containers, from their first packet to their last, under a policy.

dockerd runs in the host namespace of a lab. microsegd reaches its socket through a gate that the test can close, so that
the time between a container's first instruction and the moment its name is known can be made as long as wanted.
"""
import os
import select
import signal
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from engine import Engine  # noqa: E402
from lab import Lab, wait_for  # noqa: E402
from node import Node, collect_keys  # noqa: E402
from probes import control, flows, matrix, send_all  # noqa: E402
from tap import Report  # noqa: E402

POLICY = os.path.join(HERE, "policy")
CLOSED_SECONDS = 1.5  # how long a container sends without a name
PORTS = "tcp/5432 tcp/8080 udp/5432 ping"
# Sends an echo request and starts a connection, over and over, from the first instruction.
SENDER = "while :; do ping -c 1 -W 1 %s >/dev/null & echo x | nc -w 1 %s 5432 >/dev/null & sleep 0.05; done"


class Gate:
    """A socket in front of the engine's. While it is closed, what the engine says does not come through."""

    def __init__(self, path, engine_socket):
        self.url = "unix://" + path
        self.engine_socket = engine_socket
        self.open = threading.Event()
        self.open.set()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.server.accept()
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client):
        with client, socket.socket(socket.AF_UNIX) as engine:
            try:
                engine.connect(self.engine_socket)
                while True:
                    for source in select.select([client, engine], [], [])[0]:
                        data = source.recv(65536)
                        if not data:
                            return
                        if source is engine:
                            self.open.wait()
                        (client if source is engine else engine).sendall(data)
            except OSError:
                pass


def reason_of(src, dst, port):
    if "unidentified" in (src.identity, dst.identity):
        return "unidentified"
    if src.identity.split("/")[0] != dst.identity.split("/")[0]:
        return "fence"
    granted = dst.identity.endswith("/orders-db") and src.identity.split("/")[1] in ("web", "orders-api")
    return None if granted and port == "tcp/5432" else "no-grant"


def table_of(containers):
    """All flows between containers that share a network."""
    return [flow for src in containers for dst in containers
            if src is not dst and set(src.networks) & set(dst.networks)
            for port in PORTS.split() for flow in flows(src, dst, port, reason_of(src, dst, port))]


def start_containers(engine):
    engine.network("shop", "10.71.0.0/24", "fd71::/64")
    engine.network("data", "10.72.0.0/24", "fd72::/64")
    containers = {
        "prod-web": engine.run("prod-web", "shop", "prod", "web"),
        "prod-db": engine.run("prod-db", "shop,data", "prod", "orders-db", options=("-p", "15432:5432")),
        "prod-api": engine.run("prod-api", "data", "prod", "orders-api"),
        "dev-web": engine.run("dev-web", "shop", "dev", "web"),
        "dev-db": engine.run("dev-db", "data,shop", "dev", "orders-db"),
        "plain": engine.run("plain", "shop"),
    }
    for container in containers.values():
        container.listen(tcp=[5432, 8080], udp=[5432])
    return containers


def arrived(target, source):
    """Which protocols of this source reached the target."""
    return sorted({entry[2] for entry in target.agent.do("sniffed")["seen"] if entry[0] == source})


def sending(engine, name, env, service, target):
    """A container on network shop that sends to the target from its first instruction."""
    target.agent.do("forget")
    addr = target.networks["shop"][4]
    return engine.run(name, "shop", env, service, ("sh", "-c", SENDER % (addr, addr)))


def sender_control(report, engine, containers):
    """Without microseg the sender is heard at once."""
    sender = sending(engine, "sender-0", "prod", "web", containers["prod-db"])
    time.sleep(CLOSED_SECONDS)
    report.equal(arrived(containers["prod-db"], sender.addr[4]), ["icmp", "tcp"], "both protocols arrive")
    engine.remove(sender)


def enforcement(report, node, containers):
    """Containers reach what the policy grants, and nothing else."""
    table = table_of(containers.values())
    report.check(any(flow.reason is None for flow in table), "some flows are granted")
    matrix(report, node, table)


def first_packet(report, node, gate, engine, containers):
    """A container started later sends from its first instruction: nothing passes before its name is known."""
    db = containers["prod-db"]
    gate.open.clear()
    sender = sending(engine, "sender-1", "prod", "web", db)
    time.sleep(CLOSED_SECONDS)
    report.equal(arrived(db, sender.addr[4]), [], "nothing passes in %.1f s while the engine is silent" % CLOSED_SECONDS)
    gate.open.set()
    node.wait_endpoints([sender])
    wait_for(lambda: "tcp" in arrived(db, sender.addr[4]), "its allowed connection")
    report.equal(arrived(db, sender.addr[4]), ["tcp"], "then its allowed traffic flows, and only that")
    engine.remove(sender)
    for name, env, service in (("sender-2", "dev", "web"), ("sender-3", None, None)):
        sender = sending(engine, name, env, service, db)
        time.sleep(CLOSED_SECONDS)
        report.equal(arrived(db, sender.addr[4]), [], "nothing ever passes from %s" % sender.identity)
        engine.remove(sender)


def own_tools(report, containers):
    """What a container does by itself: names by the engine's resolver, a connection by busybox."""
    web, dev = containers["prod-web"], containers["dev-web"]
    answer = web.exec("nslookup", "prod-db")
    report.check(containers["prod-db"].networks["shop"][4] in answer.stdout, "the engine's resolver answers", answer.stdout)
    send = "echo hello | nc -w 2 prod-db 5432"
    report.equal(web.exec("sh", "-c", send).stdout.strip(), "hello", "prod web talks to prod-db by name")
    report.equal(dev.exec("sh", "-c", send).stdout.strip(), "", "dev web does not")


def published(report, node, containers):
    """A published port is refused without a grant for published traffic, and its event names the container."""
    lab, db = node.lab, containers["prod-db"]
    answer = lab.outside.agent.do("tcp", dst=lab.host.addr[4], port=15432)
    report.check(answer["result"] in ("timeout", "refused", "prohibited"), "net -> published port", answer)
    wanted = {(lab.outside.addr[4], addr[4], "tcp", 5432) for addr in db.addrs}
    found = wait_for(lambda: wanted & collect_keys(node), "its event", 3)
    report.check(found, "its event names the translated destination")


def engine_gone(report, node, gate, containers):
    """The engine falls silent: who has a name keeps it."""
    gate.open.clear()
    time.sleep(0.5)
    matrix(report, node, table_of(containers.values()), "engine silent")
    gate.open.set()


def restart_while_silent(report, node, gate, engine, containers):
    """The daemon dies and starts again while the engine is silent: who had a name has it, a newcomer has none."""
    web, db = containers["prod-web"], containers["prod-db"]
    db_addr = db.networks["shop"][4]
    report.equal(web.agent.do("hold", dst=db_addr, port=5432, key="restart")["result"], "ok", "a connection is open")
    time.sleep(1.5)  # what the engine said is written down a little later
    gate.open.clear()
    node.stop(signal.SIGKILL)
    node.start()
    node.wait_endpoints(containers.values())
    report.equal(web.agent.do("talk", key="restart")["result"], "ok", "engine silent, daemon restarted: the open connection lives on")
    matrix(report, node, table_of(containers.values()), "engine silent, daemon restarted")
    sender = sending(engine, "sender-silent", "prod", "web", db)
    time.sleep(CLOSED_SECONDS)
    report.equal(arrived(db, sender.addr[4]), [], "a container started meanwhile reaches nothing")
    gate.open.set()
    node.wait_endpoints([sender])
    engine.remove(sender)


def network_connected(report, node, engine, containers):
    """A running container gets a second network: the same identity there."""
    web = containers["prod-web"]
    engine.cli("network", "connect", "data", "prod-web")
    web.refresh()
    node.wait_endpoints([web])
    matrix(report, node, [flow for flow in table_of(containers.values()) if flow.src is web], "second network")


def daemon_ends(report, node, engine, containers, number):
    """The daemon ends: verdicts stay, newcomers find the door closed."""
    name = signal.Signals(number).name
    node.stop(number)
    wrong = ["%s: %s" % (flow, result) for flow, result in send_all(table_of(containers.values())).items()
             if (result == "ok") != (flow.reason is None)]
    report.equal(wrong, [], "%s: verdicts unchanged" % name, "\n".join(wrong))
    sender = sending(engine, "late-%d" % number, "prod", "web", containers["prod-db"])
    time.sleep(CLOSED_SECONDS)
    report.equal(arrived(containers["prod-db"], sender.addr[4]), [], "%s: a container started meanwhile reaches nothing" % name)
    node.start()
    node.wait_endpoints([sender, *containers.values()])
    wait_for(lambda: "tcp" in arrived(containers["prod-db"], sender.addr[4]), "its allowed connection after the restart")
    report.check(True, "%s: after the restart it reaches what it may" % name)
    engine.remove(sender)
    matrix(report, node, table_of(containers.values()), "restart after " + name)


def run_parts(report, lab, engine, containers):
    gate = Gate(os.path.join(lab.dir, "gate.sock"), engine.socket)
    node = Node(lab, engines=[gate.url])
    node.start(policy=POLICY)
    node.wait_endpoints(containers.values())
    report.section(enforcement, report, node, containers)
    report.section(own_tools, report, containers)
    report.section(first_packet, report, node, gate, engine, containers)
    gate.open.set()
    report.section(published, report, node, containers)
    report.section(engine_gone, report, node, gate, containers)
    gate.open.set()
    report.section(restart_while_silent, report, node, gate, engine, containers)
    gate.open.set()
    report.section(network_connected, report, node, engine, containers)
    for number in (signal.SIGTERM, signal.SIGKILL):
        report.section(daemon_ends, report, node, engine, containers, number)
    if report.failed:
        report.note("microsegd said:\n" + node.log_text()[-4000:])


def main():
    report = Report("a real Docker engine")
    with Lab() as lab:
        engine = Engine(lab)
        engine.start()
        containers = start_containers(engine)
        wait_for(lambda: all("tentative" not in container.command("ip", "-6", "addr") for container in containers.values()),
                 "addresses")
        report.section(control, report, table_of(containers.values()), "no microseg")
        answer = lab.outside.agent.do("tcp", dst=lab.host.addr[4], port=15432)
        report.equal(answer["result"], "ok", "no microseg: the published port answers")
        report.section(sender_control, report, engine, containers)
        run_parts(report, lab, engine, containers)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
