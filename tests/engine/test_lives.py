#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lives: thousands of containers, one after the other, that inherit everything of each other but who they are.

Port names, interface indexes, MACs, addresses, container names, processes and namespace ids come from small pools and are
given on as soon as somebody is dead, to somebody of another environment or without any; some are born into all that one dead
one had. Engines tell of a death late, early or never. Each life sends its number from its first moment on, and is sent to:
what arrives from a life, or at one, that the policy does not allow was judged by a dead one's identity. Lives that are
allowed to must be heard, or the zero says nothing. With the daemon stopped in its tracks an heir to all of a dead one passes
nothing either, for its port lacks the mark of the dead one's; with the mark it is taken for it, so the rig would notice.

A thousand of them, or as many as there is time for. MS_LIVES=20000 for as many however long it takes, MS_SECONDS for an
end of it all the same, MS_SEED for others.
"""
import contextlib
import hashlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from lab import LEASH, Lab, LabError, wait_for  # noqa: E402
from node import Node  # noqa: E402
from flat import Series, descriptors, memory_kb  # noqa: E402
from rtnl import Rtnl, in_namespace  # noqa: E402
from scripted import ScriptedEngine, say  # noqa: E402
from tap import Report  # noqa: E402

LIVES = int(os.environ.get("MS_LIVES", "1000"))
SECONDS = float(os.environ.get("MS_SECONDS", "1e9" if "MS_LIVES" in os.environ else "25"))  # not more, however slow it is
SEED = int(os.environ.get("MS_SEED", "1"))
SLOTS = 6  # lives at a time
POOL = 8  # of each thing that is inherited
FIRST_INDEX = 5000
TO, AT = 8080, 9000  # where lives send to, and where they are sent to
ADMITTED = 0x4d53  # MS_ADMITTED_GROUP
PATIENCE = 5  # seconds in which one that is allowed to must be heard
IDENTITIES = (("prod", "web"), ("prod", "api"), ("dev", "web"), ("dev", "api"), (None, None))
POLICY = """apiVersion: microseg/v1
kind: Environments
identity: {env: [io.microseg.env], service: [io.microseg.service]}
unidentified: {mode: enforce}
environments: {prod: {mode: enforce}, dev: {mode: enforce}}
---
{apiVersion: microseg/v1, kind: Service, service: web, env: [prod, dev]}
---
apiVersion: microseg/v1
kind: Service
service: api
env: [prod, dev]
allow:
  - {from: web, ports: [udp/8080, udp/9000]}
"""


class ManyEngine(ScriptedEngine):
    """An engine's socket with any number of containers."""

    def __init__(self, path):
        super().__init__(path, "none", 0)
        self.containers = {}  # id: (name, pid, labels, started)

    def start(self, identifier, name, pid, labels):
        self.containers[identifier] = (name, pid, labels, "t%s" % identifier[:8])
        self.event("start", identifier)

    def answer(self, connection, what, path):
        if what == "list":
            say(connection, [{"Id": identifier} for identifier in list(self.containers)])
        elif what == "inspect":
            identifier = path.split("/")[-2]
            known = self.containers.get(identifier)
            say(connection, known and self.describe(identifier, *known), 200 if known else 404)
        else:
            super().answer(connection, what, path)

    def describe(self, identifier, name, pid, labels, started):
        return self.document(Id=identifier, Name="/" + name, State={"Running": True, "Pid": pid, "StartedAt": started},
                             Config={"Image": "life:1", "Labels": labels})


class Nursery:
    """life.py: the processes that live."""

    def __init__(self, lab, heard):
        self.heard = heard
        self.answers = queue.Queue()
        self.lock = threading.Lock()
        self.process = subprocess.Popen([*LEASH, "/usr/bin/python3", os.path.join(os.path.dirname(HERE), "lab", "life.py")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        lab.closers.append(self.process.kill)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            kind, *words = line.split()
            if kind == "heard":
                self.heard(int(words[1]))
            else:
                self.answers.put(int(words[0]))

    def _tell(self, request, answered):
        with self.lock:
            self.process.stdin.write(json.dumps(request) + "\n")
            return self.answers.get(timeout=60) if answered else None

    def born(self):
        return self._tell({"op": "born"}, True)

    def live(self, pid, who):
        self._tell({"op": "live", "pid": pid, "who": who}, False)

    def die(self, pid):
        self._tell({"op": "die", "pid": pid}, True)


class Servers:
    """One prod/api on each bridge, that is sent to, and one prod/web, that sends to every address there is."""

    def __init__(self, lab, heard):
        self.lab, self.heard = lab, heard
        self.api = {bridge: lab.container("api-" + bridge, bridge, "prod", "api") for bridge in lab.bridges}
        self.caller = {bridge: lab.container("caller-" + bridge, bridge, "prod", "web") for bridge in lab.bridges}
        self.mac = {bridge: mac_of(party) for bridge, party in self.api.items()}
        self.rtnl = {bridge: Rtnl(party.path) for bridge, party in self.caller.items()}
        self.index = {bridge: rtnl.index("eth0") for bridge, rtnl in self.rtnl.items()}
        for party in self.api.values():
            for family in (socket.AF_INET, socket.AF_INET6):
                threading.Thread(target=self._serve, args=(party, family), daemon=True).start()

    def parties(self):
        return [*self.api.values(), *self.caller.values()]

    def _serve(self, party, family):
        sock = in_namespace(party.path, lambda: bound(family, TO))
        while True:
            data = sock.recv(64)
            self.heard(int(data))

    def call(self, bridge, addresses):
        """Sends to these from now on, every few milliseconds."""
        for address in addresses:
            party = self.caller[bridge]
            threading.Thread(target=self._call, args=(party, address), daemon=True).start()

    @staticmethod
    def _call(party, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = in_namespace(party.path, lambda: socket.socket(family, socket.SOCK_DGRAM))
        while True:
            with contextlib.suppress(OSError):
                sock.sendto(b"call", (address, AT))
            time.sleep(0.01)


def mac_of(party):
    return party.ip("link show eth0").stdout.split("link/ether ")[1].split()[0]


def bound(family, port):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("", port))
    return sock


class Pools:
    """What the dead leave behind, for the next who comes."""

    KINDS = ("port", "index", "mac", "number", "name")

    def __init__(self):
        self.free = {"port": ["vethl%d" % n for n in range(POOL)], "index": [FIRST_INDEX + n for n in range(POOL)],
                     "mac": ["02:42:0a:00:00:%02x" % n for n in range(POOL)], "number": [100 + n for n in range(POOL)],
                     "name": ["life-%d" % n for n in range(POOL)]}
        self.lock = threading.Lock()

    def take(self, rng, kind):
        with self.lock:
            items = self.free[kind]
            return items.pop(rng.randrange(len(items)))

    def give(self, kind, item):
        with self.lock:
            self.free[kind].append(item)


class Life:
    """One container: who it is, what it has, and what came of it."""

    def __init__(self, number, identity, by_engine, bridge, things):
        self.number, (self.env, self.service) = number, identity
        self.by_engine, self.bridge, self.things = by_engine, bridge, things
        self.id = hashlib.sha256(b"life %d" % number).hexdigest()
        self.sent_to = self.was_sent = 0  # datagrams of it that arrived, and that arrived at it
        self.settled = threading.Event()

    @property
    def labels(self):
        return {"io.microseg.env": self.env, "io.microseg.service": self.service} if self.env else {}

    @property
    def may_send(self):
        return (self.env, self.service) == ("prod", "web")

    @property
    def may_be_sent(self):
        return (self.env, self.service) == ("prod", "api")

    @property
    def is_heard(self):
        return self.sent_to > 0 if self.may_send else self.was_sent > 0

    def wrong(self):
        found = []
        if self.sent_to and not self.may_send:
            found.append("%d datagrams of it arrived" % self.sent_to)
        if self.was_sent and not self.may_be_sent:
            found.append("%d datagrams arrived at it" % self.was_sent)
        return found

    def __str__(self):
        return "life %d, %s by %s on %s, %s" % (self.number, "/".join(self.labels.values()) or "nobody",
                                               "its engine" if self.by_engine else "its alias", self.bridge, self.things)


class World:
    """The lab, the servers, and everybody who ever lived."""

    def __init__(self, report, lab):
        self.report, self.lab = report, lab
        self.lives = {}
        self.pools = Pools()
        self.numbers = iter(range(1, 10**9))
        self.number_lock = threading.Lock()
        self.nursery = Nursery(lab, self.heard_at)
        self.servers = Servers(lab, self.heard_from)
        self.engine = ManyEngine(os.path.join(lab.dir, "engine.sock"))
        self.host = Rtnl(lab.host.path)
        self.masters = {name: self.host.index(name) for name in lab.bridges}
        for bridge in lab.bridges:
            self.servers.call(bridge, [self.addresses(bridge, number)[0] for number in self.pools.free["number"]] +
                              [self.addresses(bridge, number)[1] for number in self.pools.free["number"]])

    def addresses(self, bridge, number):
        bridge = self.lab.bridges[bridge]
        return str(bridge.net4[number]), str(bridge.net6[number])

    def heard_from(self, number):
        if number in self.lives:
            self.lives[number].sent_to += 1

    def heard_at(self, number):
        if number in self.lives:
            self.lives[number].was_sent += 1

    def new(self, rng, identity, by_engine, bridge=None, things=None):
        with self.number_lock:
            number = next(self.numbers)
        bridge = bridge or rng.choice(list(self.lab.bridges))
        things = things or {kind: self.pools.take(rng, kind) for kind in Pools.KINDS}
        life = self.lives[number] = Life(number, identity, by_engine, bridge, things)
        return life

    def begin(self, life, pid):
        """Its process knows who it is, its port comes, and it is named."""
        things, bridge = life.things, self.lab.bridges[life.bridge]
        addresses = self.addresses(life.bridge, things["number"])
        api = self.servers.api[life.bridge]
        rtnl, index = self.servers.rtnl[life.bridge], self.servers.index[life.bridge]
        for address in addresses:
            rtnl.set_neighbour(index, address, things["mac"])
        life.pid = pid
        self.nursery.live(pid, {
            "number": life.number, "addresses": addresses, "gateways": list(bridge.gateway.values()),
            "neighbours": {address: self.servers.mac[life.bridge] for address in api.addr.values()},
            "targets": [(address, TO) for address in api.addr.values()]})
        self.host.add_veth(things["port"], things["index"], pid, "eth0", things["mac"], self.masters[life.bridge])
        if life.by_engine:
            self.engine.start(life.id, things["name"], pid, life.labels)
        elif life.labels:
            self.host.set_link(things["index"], alias=" ".join("%s=%s" % item for item in life.labels.items()))

    def end(self, rng, life, keep_process):
        """It dies in one way or another. What it had is free again; the process too, if it is kept."""
        told = rng.choice(("before", "after", "never")) if life.by_engine else "never"
        self.engine.containers.pop(life.id, None)
        if told == "before":
            self.engine.event("die", life.id)
        if keep_process or rng.random() < 0.5:
            self.host.delete_link(life.things["port"])
            self.nursery.live(life.pid, {}) if keep_process else self.nursery.die(life.pid)
        else:
            self.nursery.die(life.pid)
            wait_for(lambda: not self.host.index(life.things["port"]), "a port to go with its namespace", 20, 0.002)
        if told == "after":
            self.engine.event("die", life.id)

    def give_back(self, life):
        for kind, item in life.things.items():
            self.pools.give(kind, item)


class Slot(threading.Thread):
    """Lives one life after the other, until there were enough of them."""

    def __init__(self, world, number, n_lives):
        super().__init__(daemon=True)
        self.world, self.n_lives = world, n_lives
        self.rng = random.Random(SEED * 1000 + number)
        self.twins = self.silent = 0
        self.pid = None
        self.error = None

    def run(self):
        try:
            before, end = None, time.monotonic() + SECONDS
            for _ in range(self.n_lives):
                if time.monotonic() < end:
                    before = self.one(before)
        except Exception as error:  # told by the main thread
            self.error = error

    def one(self, before):
        rng, world = self.rng, self.world
        twin = before is not None
        identity = rng.choice([one for one in IDENTITIES if not twin or one != (before.env, before.service)])
        by_engine = rng.random() < 0.5
        self.twins += twin
        life = world.new(rng, identity, by_engine, *((before.bridge, before.things) if twin else ()))
        if by_engine and self.pid:  # an engine's containers have processes of their own
            world.nursery.die(self.pid)
            self.pid = None
        self.pid = self.pid or world.nursery.born()
        world.begin(life, self.pid)
        self.watch(life)
        keep = not by_engine and rng.random() < 0.5
        world.end(rng, life, keep)
        self.pid = self.pid if keep else None
        if rng.random() < 0.3:
            return life  # somebody else is born into all that it had
        world.give_back(life)
        return None

    def watch(self, life):
        """Most are given the time to be heard; some die before anybody knows them."""
        if self.rng.random() < 0.2:
            time.sleep(self.rng.random() * 0.02)
            return
        end = time.monotonic() + (PATIENCE if life.may_send or life.may_be_sent else 0.02 + self.rng.random() * 0.1)
        while time.monotonic() < end and not ((life.may_send or life.may_be_sent) and life.is_heard):
            time.sleep(0.005)
        if (life.may_send or life.may_be_sent) and not life.is_heard:
            self.silent += 1
            self.world.report.note("not heard: %s" % life)


def nobody_inherits_a_mark(report, world, node):
    """With the daemon stopped in its tracks, an heir to all of a dead one passes nothing; with its mark it is taken for it."""
    rng = random.Random(SEED)
    pid = world.nursery.born()
    dead = world.new(rng, ("prod", "web"), False)
    world.begin(dead, pid)
    wait_for(lambda: dead.sent_to > 5, "the first to be heard")
    node.process.send_signal(signal.SIGSTOP)
    try:
        world.end(rng, dead, True)
        heir = world.new(rng, ("dev", "web"), False, dead.bridge, dead.things)
        world.begin(heir, pid)
        time.sleep(1)
        report.equal(heir.wrong(), [], "an heir passes nothing while nobody looks")
        world.lab.host.ip("link set dev %s group %d" % (heir.things["port"], ADMITTED))
        wait_for(lambda: heir.sent_to > 5, "an heir with the mark to be taken for the dead one")
        report.check(heir.wrong(), "with the mark it is taken for the dead one: %s" % heir.wrong())
    finally:
        node.process.send_signal(signal.SIGCONT)
    known = time.monotonic() + 1
    wait_for(lambda: node.endpoints() and time.monotonic() > known, "the daemon to be back")
    heard = heir.sent_to
    time.sleep(0.3)
    report.equal(heir.sent_to, heard, "and no more once the daemon looks")
    world.end(rng, heir, False)
    world.give_back(heir)
    for life in (dead, heir):
        del world.lives[life.number]


def nothing_is_enforced(report, world):
    """Without microseg everybody is heard, and hears."""
    rng = random.Random(SEED)
    for identity in IDENTITIES:
        life = world.new(rng, identity, False)
        world.begin(life, world.nursery.born())
        with contextlib.suppress(LabError):
            wait_for(lambda: life.sent_to and life.was_sent, "it to be heard", 3)
        report.check(life.sent_to and life.was_sent, "%s: heard %d times, hears %d times" % (
            "/".join(life.labels.values()) or "nobody", life.sent_to, life.was_sent))
        world.end(rng, life, False)
        world.give_back(life)
        del world.lives[life.number]


def many_lives(report, world, node):
    """Lives without end, and every verdict of them."""
    started = time.monotonic()
    pid = node.process.pid
    slots = [Slot(world, number, LIVES // SLOTS + 1) for number in range(SLOTS)]
    series = Series()
    for slot in slots:
        slot.start()
    while any(slot.is_alive() for slot in slots):
        time.sleep(max(1, LIVES / 1000))
        series.add(len(world.lives), {"memory, KB": memory_kb(pid), "descriptors": descriptors(pid)})
    seconds = time.monotonic() - started
    report.equal([str(slot.error) for slot in slots if slot.error], [], "all of them lived")
    lives = list(world.lives.values())
    wrong = ["%s: %s" % (life, ", ".join(life.wrong())) for life in lives if life.wrong()]
    allowed = [life for life in lives if life.may_send or life.may_be_sent]
    n_heard = sum(life.is_heard for life in allowed)
    report.note("%d lives in %.0f s, %d of them born into all that a dead one had; %d were allowed something, %d of them heard" %
                (len(lives), seconds, sum(slot.twins for slot in slots), len(allowed), n_heard))
    report.check(not wrong, "no datagram of %d lives was judged by a dead identity" % len(lives), "\n".join(wrong[:20]))
    report.equal(sum(slot.silent for slot in slots), 0, "all who had the time to were heard")
    report.check(n_heard > len(allowed) / 2, "most were heard")
    report.note("memory at each look, KB: %s" % series.values("memory, KB")[::max(1, len(series.samples) // 20)])
    wait_for(lambda: len(node.endpoints()) == len(world.servers.parties()), "the last endpoint to go")
    status = node.status()
    report.equal((status["state"], status["counters"]["flags_repaired"]), ("enforcing", 0),
                 "the daemon enforces, and took no event of before a mark for the loss of it")


def main():
    report = Report("lives that inherit everything but who they are")
    with Lab() as lab:
        lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
        lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
        policy = os.path.join(lab.dir, "lives.yaml")
        with open(policy, "w") as file:
            file.write(POLICY)
        world = World(report, lab)
        report.section(nothing_is_enforced, report, world)
        node = Node(lab, engines=[world.engine.url])
        node.start(policy=policy)
        node.wait_endpoints(world.servers.parties())
        report.section(nobody_inherits_a_mark, report, world, node)
        report.section(many_lives, report, world, node)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-3000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
