#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Beside Docker, Podman and firewalld: what their rules do still works, and what the policy refuses stays refused.

Real engines and a real firewalld, with rules of their own: published ports, masqueraded ways out, the engine's resolver,
containers that call a published port of their own host. The same table of flows after each of firewalld's reloads and each
restart of an engine, with and without live-restore. Without microseg all of it gets through.
"""
import os
import signal
import sys
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from engine import Engine, Podman  # noqa: E402
from firewalld import Firewalld  # noqa: E402
from lab import Lab, OutsideAddress, wait_for  # noqa: E402
from node import Node  # noqa: E402
from probes import Flow, control, flows, matrix  # noqa: E402
from tap import Report  # noqa: E402

POLICY = """
apiVersion: microseg/v1
kind: Environments
identity: {env: [io.microseg.env], service: [io.microseg.service]}
unidentified: {mode: enforce}
environments:
  prod: {mode: enforce, resolvers: [gateway]}
  dev: {mode: enforce, resolvers: [gateway]}
nets: {dba: [10.20.0.0/24, "2001:db8:20::/64"]}
---
apiVersion: microseg/v1
kind: Service
service: orders-db
env: [prod, dev]
ports: {pg: tcp/5432}
allow:
  - {from: web, ports: [pg]}
  - {from: {net: dba}, ports: [pg], published: true}
---
apiVersion: microseg/v1
kind: Service
service: web
env: [prod, dev]
needs:
  - {to: {net: dba}, ports: [tcp/443]}
"""

PORTS = {"docker-db": 15432, "podman-db": 25432}  # of the host, each for its container's tcp/5432


@dataclass(frozen=True)
class Published(Flow):
    """A connection to a port of the host that an engine translates to dst. IPv4: these engines translate no other."""

    host: object = None

    @property
    def refusals(self):
        # A reset for a translated connection would come from an address that the client never called.
        return super().refusals if self.drop else ("prohibited",)

    @property
    def key(self):
        return self.src.addr[self.family], self.target, self.proto, self.port

    def start(self):
        source = {"src": self.src.source[self.family]} if self.src.source else {}
        return self.src.agent.send(self.proto, dst=self.host.addr[self.family], port=PORTS[self.dst.name], **source)

    def __str__(self):
        return "%s, published as %d" % (super().__str__(), PORTS[self.dst.name])


class Docker(Engine):
    """A dockerd that hears firewalld, and that can be told to work without live-restore and userland proxy."""

    live_restore = True

    def __init__(self, lab, bus):
        super().__init__(lab)
        self.bus = bus

    def environment(self):
        return dict(super().environment(), DBUS_SYSTEM_BUS_ADDRESS="unix:path=" + self.bus)

    def daemon(self):
        words = super().daemon()
        return words if self.live_restore else [word for word in words if word != "--live-restore"] + ["--userland-proxy=false"]


class Scene:
    """Two engines' containers and who is outside."""

    def __init__(self, report, lab, engines):
        self.report, self.lab, self.engines = report, lab, dict(zip(("docker", "podman"), engines))
        self.dba = OutsideAddress(lab.outside, "dba", {4: "10.20.0.2", 6: "2001:db8:20::2"})
        self.parties = {}
        for number, (kind, engine) in enumerate(self.engines.items()):
            network = kind + "-shop"
            engine.network(network, "10.%d.0.0/24" % (75 + number), "fd%d::/64" % (75 + number))
            for env, what, service in (("prod", "db", "orders-db"), ("prod", "web", "web"), ("dev", "dev", "web")):
                name = "%s-%s" % (kind, what)
                options = ("-p", "%d:5432" % PORTS[name]) if name in PORTS else ()
                options += ("--restart", "always") if kind == "docker" else ()
                self.parties[name] = engine.run(name, network, env, service, options=options)
        self.listen(self.parties.values())
        lab.outside.listen(tcp=[443, 8443])

    def of(self, kind):
        return [party for name, party in self.parties.items() if name.startswith(kind)]

    def listen(self, parties):
        for party in parties:
            party.listen(tcp=[5432, 8080])
            wait_for(lambda party=party: "tentative" not in party.command("ip", "-6", "addr"), "addresses of " + party.name)

    def renew(self, kind):
        """The engine has started its containers anew."""
        for party in self.of(kind):
            party.renew()
        self.listen(self.of(kind))

    def by_proxy(self, kind):
        """Does a process of the host carry what a container sends to a published port of its own network?"""
        return kind == "docker" and self.engines[kind].live_restore

    def table(self):
        dba, outside, host = self.dba, self.lab.outside, self.lab.host
        for kind in self.engines:
            db, web, dev = (self.parties["%s-%s" % (kind, what)] for what in ("db", "web", "dev"))
            yield from flows(web, db, "tcp/5432")
            yield from flows(web, db, "tcp/8080", "no-grant")
            yield from flows(dev, db, "tcp/5432", "fence")
            yield Published(dba, db, "tcp", 5432, 4, host=host)
            yield Published(outside, db, "tcp", 5432, 4, "no-grant", drop=True, host=host)
            if not self.by_proxy(kind):
                yield Published(web, db, "tcp", 5432, 4, host=host)
                yield Published(dev, db, "tcp", 5432, 4, "fence", host=host)
            yield from flows(web, dba, "tcp/443", families=[4])
            yield from flows(web, dba, "tcp/8443", "no-grant", families=[4])
            yield from flows(web, outside, "tcp/443", "no-grant", families=[4])

    def has_rules(self):
        """Has Docker its rules for the published port?"""
        return "--dport %d" % PORTS["docker-db"] in self.lab.host.run("iptables", "-t", "nat", "-S", check=False).stdout

    def resolves(self, name):
        answer = self.parties["docker-web"].exec("nslookup", name)
        return self.parties[name].addr[4] in answer.stdout

    def prove(self, node, what):
        node.wait_endpoints(self.parties.values())
        matrix(self.report, node, list(self.table()), what)
        self.report.check(self.resolves("docker-db"), "%s: Docker's resolver answers" % what)
        self.report.equal(node.status()["state"], "enforcing", "%s: status says so" % what)


def beside(report, scene, node, _firewalld):
    """All rules of the others are loaded."""
    scene.prove(node, "beside all")


def reloads(report, scene, node, firewalld):
    """firewalld throws its own rules away, and those of the engines with them; they put theirs back."""
    for word in ("--reload", "--complete-reload"):
        firewalld.command(word)
        wait_for(scene.has_rules, "Docker's rules after " + word, 20, 0.1)
        scene.engines["podman"].cli("network", "reload", "--all")  # as its documentation asks for
        scene.prove(node, "after firewall-cmd " + word)


def restarts(report, scene, node, _firewalld):
    """dockerd ends and starts, its containers live on."""
    docker = scene.engines["docker"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        docker.halt(number)
        docker.launch()
        scene.prove(node, "dockerd restarted after %s" % signal.Signals(number).name)


def restarts_with_containers(report, scene, node, _firewalld):
    """dockerd without live-restore and userland proxy: its containers end with it and are started with it."""
    docker = scene.engines["docker"]
    docker.live_restore = False
    for _ in range(2):  # the first one still restores what lived
        docker.halt()
        docker.launch()
    scene.renew("docker")
    scene.prove(node, "dockerd restarted with its containers")


def firewalld_goes(report, scene, node, firewalld):
    """firewalld stops, and takes the engines' rules along: they put theirs back."""
    firewalld.stop()
    scene.engines["docker"].halt()
    scene.engines["docker"].launch()
    scene.renew("docker")
    scene.engines["podman"].cli("network", "reload", "--all")
    scene.prove(node, "firewalld stopped")


def main():
    report = Report("beside Docker, Podman and firewalld")
    with Lab() as lab:
        firewalld = Firewalld(lab)
        firewalld.start()
        engines = [Docker(lab, firewalld.socket), Podman(lab)]
        for engine in engines:
            engine.start()
        scene = Scene(report, lab, engines)
        report.section(control, report, list(scene.table()), "no microseg")
        policy = os.path.join(lab.dir, "policy.yaml")
        with open(policy, "w") as file:
            file.write(POLICY)
        node = Node(lab, engines=[engine.url for engine in engines])
        node.start(policy=policy)
        for part in (beside, reloads, restarts, restarts_with_containers, firewalld_goes):
            report.section(part, report, scene, node, firewalld)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
