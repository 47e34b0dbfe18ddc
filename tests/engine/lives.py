# SPDX-License-Identifier: GPL-2.0-or-later
"""Lives: what an engine does to its containers, one after the other, and what becomes of their identity each time.

The same steps for every engine. A step leaves the engine as it found it. `web` may call `db` in its own environment and
nothing else is granted; policy/ says so.
"""
import contextlib
import os
import signal
import subprocess
import threading
import time

from lab import LEASH, LabError, Namespace, run, wait_for
from probes import flows, matrix

POLICY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "policy")
PORTS = "tcp/5432 tcp/8080"


class Stage:
    """An engine with two networks, a database on both, and the node that watches it."""

    def __init__(self, report, node, engine, number):
        self.report, self.node, self.engine = report, node, engine
        self.shop, self.data = "%s-shop" % engine.kind, "%s-data" % engine.kind
        engine.network(self.shop, "10.%d.0.0/24" % number, "fd%d::/64" % number)
        engine.network(self.data, "10.%d.0.0/24" % (number + 1), "fd%d::/64" % (number + 1))
        self.db = self.start("db", "orders-db", network="%s,%s" % (self.shop, self.data))
        self.db.listen(tcp=[5432, 8080])

    def name(self, what):
        return "%s-%s" % (self.engine.kind, what)

    def start(self, what, service="web", env="prod", network=None, **more):
        container = self.engine.run(self.name(what), network or self.shop, env, service, **more)
        wait_for(lambda: "tentative" not in container.command("ip", "-6", "addr"), "addresses of " + container.name)
        return container

    @contextlib.contextmanager
    def container(self, what, *args, **more):
        container = self.start(what, *args, **more)
        try:
            yield container
        finally:
            self.engine.remove(container)

    def row(self, container):
        """What the daemon says of the endpoint with this address."""
        for row in self.node.endpoints():
            if container.addr[4] in row["addresses"]:
                return row
        return {}

    def wait_row(self, container, what, **wanted):
        """Waits until its endpoint has these values. Returns it."""
        return wait_for(lambda: (lambda row: row if row and all(row[key] == value for key, value in wanted.items()) else None)
                        (self.row(container)), what)

    def gone(self, container, what):
        wait_for(lambda: not self.row(container), what)

    def prove(self, container, what):
        """web and db of one environment talk on the one port, and on no other."""
        self.node.wait_endpoints([container])
        env, service = container.identity.split("/") if "/" in container.identity else (None, None)
        granted = None if (env, service) == ("prod", "web") else "fence" if env == "dev" else "unidentified"
        reasons = {"tcp/5432": granted, "tcp/8080": granted or "no-grant"}
        table = [flow for port in PORTS.split() for flow in flows(container, self.db, port, reasons[port])]
        matrix(self.report, self.node, table, "%s: %s" % (self.engine.kind, what))

    def hold(self, container):
        answer = container.agent.do("hold", dst=self.db.address_for(container, 4), port=5432, key="held")
        if answer["result"] != "ok":
            raise LabError("no connection to hold: %s" % answer)

    def still_talks(self, container, what):
        self.report.equal(container.agent.do("talk", key="held")["result"], "ok",
                          "%s: the open connection lives on: %s" % (self.engine.kind, what))


def stop_and_restart(stage):
    """A container stops, starts again and restarts: its identity goes with its namespace and comes with the next."""
    with stage.container("web") as web:
        stage.prove(web, "started")
        stage.engine.cli("stop", "-t", "0", web.name)
        stage.gone(web, "the endpoint of a stopped container to go")
        stage.engine.cli("start", web.name)
        web.renew()
        stage.prove(web, "started again")
        stage.engine.cli("restart", "-t", "0", web.name)
        web.renew()
        stage.prove(web, "restarted")


def rename(stage):
    """A rename changes the name and nothing else."""
    with stage.container("web") as web:
        stage.node.wait_endpoints([web])
        stage.hold(web)
        stage.engine.cli("rename", web.name, web.name + "-renamed")
        web.name += "-renamed"
        stage.wait_row(web, "the new name", name=web.name, identity="prod/web")
        stage.still_talks(web, "renamed")


def connect_and_disconnect(stage):
    """A second network: one more endpoint with the same identity. Taken away again: the first one does not notice."""
    with stage.container("web") as web:
        stage.node.wait_endpoints([web])
        stage.hold(web)
        stage.engine.cli("network", "connect", stage.data, web.name)
        web.refresh()
        stage.report.equal(len(web.addrs), 2, "%s: two networks" % stage.engine.kind)
        stage.prove(web, "on two networks")
        gone = web.networks[stage.data]
        stage.engine.cli("network", "disconnect", stage.data, web.name)
        web.refresh()
        wait_for(lambda: not any(gone[4] in row["addresses"] for row in stage.node.endpoints()), "the second endpoint to go")
        stage.still_talks(web, "its second network came and went")
        stage.prove(web, "on one network again")


def pause(stage):
    """A paused container is as it was, and what it says after that is heard."""
    with stage.container("web") as web:
        stage.node.wait_endpoints([web])
        stage.hold(web)
        stage.engine.cli("pause", web.name)
        time.sleep(0.5)
        stage.report.equal(stage.row(web).get("identity"), "prod/web", "%s: paused, it keeps its identity" % stage.engine.kind)
        stage.engine.cli("unpause", web.name)
        stage.still_talks(web, "paused and unpaused")


def kill_and_inherit(stage):
    """A killed container leaves nothing to the next one with its name and its addresses."""
    web = stage.start("web")
    try:
        stage.prove(web, "before it is killed")
        stage.engine.cli("kill", "-s", "KILL", web.name)
        stage.gone(web, "the endpoint of a killed container to go")
    finally:
        stage.engine.remove(web)
    with stage.container("web", env="dev", options=("--ip", web.addr[4])) as heir:
        stage.report.equal(heir.addr[4], web.addr[4], "%s: the heir has the address of the dead" % stage.engine.kind)
        stage.prove(heir, "an heir of another environment")


def compose(stage):
    """Containers that compose labelled: project and service make the name of the service."""
    labels = ("--label", "com.docker.compose.project=orders", "--label", "com.docker.compose.service=web")
    with stage.container("composed", service=None, options=labels) as composed:
        stage.wait_row(composed, "the identity of a composed container", identity="prod/orders-web")
    labels = ("--label", "com.docker.compose.project=we", "--label", "com.docker.compose.service=b")
    with stage.container("composed", service=None, options=labels) as composed:
        composed.identity = "prod/we-b"
        stage.node.wait_endpoints([composed])
        matrix(stage.report, stage.node, list(flows(composed, stage.db, "tcp/5432", "no-grant")),
               "%s: a composed name is its own" % stage.engine.kind)


def shared_namespace(stage):
    """Containers in one namespace are one endpoint: a silent helper changes nothing, one that says otherwise closes it."""
    with stage.container("web") as web:
        join = "container:" + web.name
        with stage.container("helper", service=None, env=None, network=join):
            wait_for(lambda: len(stage.row(web).get("workloads", ())) >= 2, "the helper")
            stage.prove(web, "with a helper in its namespace")
        with stage.container("liar", env="dev", network=join):
            row = stage.wait_row(web, "the contradiction", identity="unidentified")
            stage.report.check(all(word in row["why"] for word in ("prod/web", "dev/web", web.name, stage.name("liar"))),
                               "%s: endpoints names both sides of the contradiction" % stage.engine.kind, row)
            told = [conflict["why"] for conflict in stage.node.status()["conflicts"]]
            stage.report.check(row["why"] in told, "%s: and so does status" % stage.engine.kind, told)
            matrix(stage.report, stage.node,
                   [flow for flow in flows(_unidentified(web), stage.db, "tcp/5432", "unidentified")],
                   "%s: contradiction" % stage.engine.kind)
        stage.prove(web, "the liar is gone")


def _unidentified(container):
    """The same party, as it is judged while its names contradict each other."""
    party = type(container).__new__(type(container))
    party.__dict__.update(container.__dict__, identity="unidentified")
    return party


def told_uncovered(node, name):
    return [entry for entry in node.status()["uncovered"] if entry["what"] == "container " + name]


def grants_everything(engine):
    """Docker hands a privileged container all capabilities there are; a test machine may have fewer."""
    status = open("/proc/self/status").read()
    bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    last = int(open("/proc/sys/kernel/cap_last_cap").read())
    return engine.kind != "docker" or bounding == (1 << (last + 1)) - 1


def uncovered(stage):
    """What is not enforced is listed with its reason, counts against its environment, and has no grant."""
    engine, node, report = stage.engine, stage.node, stage.report
    lan = stage.name("lan")
    engine.cli("network", "create", "-d", "macvlan", "--subnet", "10.199.0.0/24", "-o", "parent=uplink0", lan)
    cases = (
        ("host", "host", (), "host's network"),
        ("lan", lan, (), "macvlan"),
        ("boss", stage.shop, ("--privileged",), "privileged"),
        ("admin", stage.shop, ("--cap-add", "NET_ADMIN"), "CAP_NET_ADMIN"),
        ("socket", stage.shop, ("-v", engine.socket + ":/engine.sock"), engine.socket),
        ("none", "none", (), None),
    )
    report.equal(node.cli("status").returncode, 0, "%s: status is content" % engine.kind, node.cli("status").stdout)
    for what, network, options, reason in cases:
        if what == "boss" and not grants_everything(engine):
            report.note("skipped: this machine grants no container all capabilities")
            continue
        with stage.container(what, network=network, options=options) as container:
            if not reason:
                wait_for(lambda: "%s" % node.status()["state"] == "enforcing", "the daemon")
                report.equal(told_uncovered(node, container.name), [], "%s: %s is covered" % (engine.kind, what))
                continue
            told = wait_for(lambda: told_uncovered(node, container.name), "%s to be told of" % container.name)
            report.check(reason in told[0]["reason"], "%s: %s is told with its reason" % (engine.kind, what), told)
            report.equal((told[0]["env"], told[0]["service"], told[0]["enforced"]), ("prod", "web", True),
                         "%s: %s: and with who it would be" % (engine.kind, what))
            text = node.cli("status")
            report.equal(text.returncode, 1, "%s: %s: status exits 1" % (engine.kind, what), text.stdout)
            report.check("prod should be enforced" in text.stdout, "%s: %s: and says why" % (engine.kind, what), text.stdout)
            if what == "host":
                matrix(report, node, list(flows(node.lab.host, stage.db, "tcp/5432", "no-grant", drop=True)),
                       "%s: host network, labelled prod/web" % engine.kind)
        wait_for(lambda name=container.name: not told_uncovered(node, name), "%s to be forgotten" % container.name)
    engine.cli("network", "rm", lan)
    report.equal(node.cli("status").returncode, 0, "%s: status is content again" % engine.kind, node.cli("status").stdout)


class Load:
    """Connections that stay open and new ones all the time, between containers that may talk."""

    def __init__(self, stage, containers):
        self.stage, self.containers = stage, containers
        self.on, self.rounds, self.wrong = True, 0, []
        for container in containers:
            stage.hold(container)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.on:
            for container in self.containers:
                target = self.stage.db.address_for(container, 4)
                for answer in (container.agent.do("talk", key="held"), container.agent.do("tcp", dst=target, port=5432)):
                    if answer["result"] != "ok":
                        self.wrong.append((container.name, answer))
            self.rounds += 1
            time.sleep(0.03)

    def end(self, what):
        self.on = False
        self.thread.join()
        self.stage.report.check(not self.wrong and self.rounds > 10,
                                "%s: %s: %d rounds of open and new connections, none lost" % (self.stage.engine.kind, what, self.rounds),
                                self.wrong[:5])


def engine_restarts(stage):
    """The engine stops and dies under load: identities stay, connections live, and what it does next is seen."""
    engine, node = stage.engine, stage.node
    with stage.container("web-1") as one, stage.container("web-2") as two:
        node.wait_endpoints([one, two])
        for number in engine.endings:
            what = "engine ended by " + signal.Signals(number).name
            load = Load(stage, [one, two])
            engine.halt(number)
            wait_for(lambda: not _health(node, engine.socket) == "ok", "the daemon to notice that the engine is gone")
            time.sleep(1)
            stage.report.equal([stage.row(party).get("identity") for party in (one, two)], ["prod/web"] * 2,
                               "%s: %s: identities stay" % (engine.kind, what))
            engine.launch()
            wait_for(lambda: _health(node, engine.socket) == "ok", "the daemon to find the engine again", 15)
            load.end(what)
            with stage.container("late") as late:
                stage.prove(late, "started after the " + what)


def _health(node, socket):
    for source in node.status().get("sources", ()):
        if socket in source["name"]:
            return source["state"]
    return None


def nameless_namespace(report, node, stage):
    """A namespace that nobody names is an endpoint all the same: closed, and called by its interface."""
    lab = node.lab
    process = subprocess.Popen([*LEASH, "unshare", "-n", "sleep", "1000000"], stdin=subprocess.DEVNULL)
    nameless = Namespace.__new__(Namespace)
    nameless.name, nameless.path = "nameless", "/proc/%d/ns/net" % process.pid
    try:
        host_ns = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(nameless.path) != host_ns and
                 "unshare" not in open("/proc/%d/cmdline" % process.pid).read(), "the namespace")
        bridge = stage.db.bridge
        nameless.addr = {4: str(bridge.net4[200]), 6: str(bridge.net6[200])}
        nameless.bridge = bridge
        run("nsenter", "--net=" + lab.host.path, "ip", "link", "add", "veth-none", "type", "veth", "peer", "name", "eth0", "netns",
            str(process.pid))
        lab.host.ip("link set veth-none master %s up" % bridge.name)
        nameless.ip("addr add %s/24 dev eth0" % nameless.addr[4], "addr add %s/64 dev eth0 nodad" % nameless.addr[6],
                    "link set eth0 up")
        row = stage.wait_row(nameless, "the endpoint without a name", name="veth-none", state="unidentified")
        report.equal((row["identity"], row["workloads"]), ("unidentified", []), "a namespace without a name is unidentified")
        matrix(report, node, list(flows(nameless, stage.db, PORTS, "unidentified")), "without a name")
    finally:
        if nameless._agent:
            nameless._agent.close()
        process.kill()
        process.wait()


STEPS = (stop_and_restart, rename, connect_and_disconnect, pause, kill_and_inherit, compose, shared_namespace, uncovered,
         engine_restarts)
