# SPDX-License-Identifier: GPL-2.0-or-later
"""Storm: the lab and the policies of the tests that put microseg under load.

Two policies, A and B, differ in services, grants and lines, and agree on all that flows here: web may call api on tcp and
udp 8080, and nobody may send to the port of the floods.
"""
import os
import random
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from lab import LEASH, Lab, LabError  # noqa: E402
from nftwatch import canonical  # noqa: E402
from node import MICROSEG, Node  # noqa: E402
from tap import Report  # noqa: E402
from traffic import Floods, Program, Ready  # noqa: E402

SERVICE_PORT = 8080
MIN_STEPS = 8  # of what is bounded in time, however slow the machine is
MIN_CONTROL = 1000  # packets that must arrive where nothing holds them
FAMILIES = ("inet", "bridge")  # of the tables of a node without routed veths
CONTAINERS = (
    ("web-1", "br-one", "prod", "web"),
    ("web-2", "br-two", "prod", "web"),
    ("api-1", "br-one", "prod", "api"),
    ("api-2", "br-two", "prod", "api"),
    ("db-1", "br-one", "prod", "db"),
    ("dev-1", "br-one", "dev", "web"),
    ("dev-2", "br-two", "dev", "web"),
)
COMMON = """apiVersion: microseg/v1
kind: Environments
identity: {env: [io.microseg.env], service: [io.microseg.service]}
unidentified: {mode: enforce}
environments:
  prod: {mode: enforce, resolvers: [gateway]}
  dev: {mode: enforce, resolvers: [gateway]}
---
apiVersion: microseg/v1
kind: Service
service: web
env: [prod, dev]
---
apiVersion: microseg/v1
kind: Service
service: api
env: [prod, dev]
ports: {tcp: tcp/8080, udp: udp/8080}
allow:
  - {from: web, ports: [tcp, udp, tcp/5201-5216, udp/5201-5216], ping: true}
"""
ONLY = {
    "a": """  - {from: db, ports: [tcp/9000]}
---
apiVersion: microseg/v1
kind: Service
service: db
env: [prod, dev]
allow:
  - {from: api, ports: [tcp/5432]}
""",
    "b": """  - {from: self, ports: [tcp/9001, udp/9001]}
  - {from: {net: [10.20.0.0/16, "2001:db8:20::/64"]}, ports: [tcp]}
---
apiVersion: microseg/v1
kind: Service
service: cache
env: [prod, dev]
allow:
  - {from: [web, api], ports: [tcp/6379]}
---
apiVersion: microseg/v1
kind: Service
service: db
env: [prod, dev]
allow:
  - {from: [api, cache], ports: [tcp/5432-5440]}
needs:
  - {to: {net: [192.0.2.0/24]}, ports: [udp/123]}
""",
}
# Who floods whom, over which family: across the fence on one bridge and routed, and without a grant on one bridge.
FLOODS = (("dev-1", "api-1", 4), ("dev-2", "api-1", 6), ("web-1", "db-1", 6), ("dev-1", "api-2", 4))


def build(containers=CONTAINERS):
    """A lab with these containers: (lab, {name: party})."""
    lab = Lab()
    lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
    lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
    parties = {name: lab.container(name, bridge, env, service) for name, bridge, env, service in containers}
    for party in parties.values():
        # Connections by the thousand a second: their ports are free again a second after they ended.
        party.sysctl({"net.ipv4.tcp_tw_reuse": 1, "net.ipv4.ip_local_port_range": "1024 65535"})
    lab.settle()
    return lab, parties


def write_policies(lab):
    """{"a": path, "b": path}"""
    paths = {}
    for name, text in ONLY.items():
        paths[name] = os.path.join(lab.dir, name + ".yaml")
        with open(paths[name], "w") as file:
            file.write(COMMON + text)
    return paths


def make_floods(parties, per_second, pairs=FLOODS):
    return Floods([(parties[source], parties[target], family) for source, target, family in pairs], per_second)


def serve(lab, party):
    """An echo server for TCP and UDP."""
    server = Program(party, "ms-flows", "serve", SERVICE_PORT)
    lab.closers.append(server.close)


def start_program(lab, source, *args):
    program = Program(source, "ms-flows", *args)
    lab.closers.append(program.close)
    return program


def bounded(steps, seconds):
    """The steps, as many as begin within these seconds; all when that is None."""
    started = time.monotonic()
    for number, step in enumerate(steps):
        if seconds and number >= MIN_STEPS and time.monotonic() > started + seconds:
            return
        yield step


def order(node, policy):
    """`microseg apply` under way."""
    words = [MICROSEG, "apply", "-c", node.config, "--yes", "-o", "json", "-p", policy]
    return subprocess.Popen([*LEASH, *node.lab.host.command(*words)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def finish(process, patience=30):
    """(exit code, what it said to stderr); (None, "") when it has no answer in time."""
    try:
        _, stderr = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, ""
    return process.returncode, stderr


class Scene:
    """The lab, the daemon, the two policies and what the kernel prints for each."""

    def __init__(self, report, per_second):
        self.report = report
        self.lab, self.parties = build()
        self.policies = write_policies(self.lab)
        self.node = Node(self.lab)
        self.ready = Ready(self.lab)
        self.floods = make_floods(self.parties, per_second)
        self.lab.closers.append(self.floods.close)
        self.scratch = self.lab._namespace("scratch", type(self.lab.outside))
        self.listings = {}
        self.random = random.Random(int(os.environ.get("MS_SEED", "1")))

    def start(self, policy=None, wrapper=()):
        self.ready.forget()
        self.node.start(policy=policy, wait=False, wrapper=wrapper)

    def start_and_wait(self, policy=None):
        self.start(policy)
        return self.ready.wait(self.node)

    def apply(self, name):
        code, stderr = finish(order(self.node, self.policies[name]))
        if code:
            raise LabError("apply of %s: exit %d: %s" % (name, code, stderr))

    def learn_listings(self):
        for name in self.policies:
            self.apply(name)
            self.listings[name] = canonical(self.node.ruleset())

    def standing(self):
        """Whose rules the kernel holds: "a", "b", or None for anything else."""
        listed = canonical(self.node.ruleset())
        return next((name for name, listing in self.listings.items() if listing == listed), None)


def control_open(scene):
    """Without microseg the floods arrive."""
    scene.floods.start()
    time.sleep(0.5)
    sent, arrived = scene.floods.stop()
    for target in scene.floods.arrivals:
        scene.report.check(all(count >= MIN_CONTROL / 50 for count in arrived.get(target.name, {"none": 0}).values()),
                           "%s gets datagrams and connections" % target.name, arrived)
    scene.report.check(sum(sum(count.values()) for count in arrived.values()) > MIN_CONTROL,
                       "of %d sent %s arrive" % (sent, arrived))


def play(title, per_second, *parts):
    """A whole program: the scene, its control, policy "a" in force and served, then each part (a function and what it
    takes beside the scene). Returns the exit code."""
    report = Report(title)
    scene = Scene(report, per_second)
    with scene.lab:
        report.section(control_open, scene)
        for name in ("api-1", "api-2"):
            serve(scene.lab, scene.parties[name])
        scene.start_and_wait(scene.policies["a"])
        scene.node.wait_endpoints(scene.parties.values())
        scene.learn_listings()
        scene.apply("a")
        for part, *more in parts:
            report.section(part, scene, *more)
        if report.failed:
            report.note("microsegd said:\n" + scene.node.log_text()[-4000:])
    return report.finish()
