#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Engine sockets that misbehave in every way at once: nobody else notices, and all is well again when they behave.

Each socket of scripted.py names one container. All of them behave first, then each commits its misdeed for some time, then
all behave again, and that twice: nothing is kept of it. Meanwhile every container keeps its identity, the verdicts between
them stay, and the daemon's memory and descriptors stay within bounds.
"""
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from lab import LEASH, Lab, wait_for  # noqa: E402
from lives import POLICY  # noqa: E402
from node import Node  # noqa: E402
from probes import flows, matrix  # noqa: E402
from scripted import MISDEEDS, ScriptedEngine  # noqa: E402
from tap import Report  # noqa: E402

SECONDS = float(os.environ.get("MS_SECONDS", "6"))  # of misdeeds, each time
TIMES = int(os.environ.get("MS_TIMES", "2"))
MOST_KB = 96 * 1024  # more memory than before, at the worst moment
LEFT_KB = 8 * 1024  # more memory than before the first time, when all is well again
HEALTHY = 6  # seconds after which what an engine did before is forgotten
SOON = 4  # seconds until it is heard then; it is asked after less than one
LATE = 45  # seconds after which all must be well again: an engine is asked every thirty when it failed often

ODD_LABELS = (
    ("prod\u0007", "web"), ("prod ", "web"), ("PROD", "web"), ("pr\u00adod", "web"), ("prod\u202e", "web"), ("\uff50rod", "web"),
    ("prod/web", "web"), ("", "web"), ("prod", ""), ("prod", "host"), ("host", "web"), ("unidentified", "unidentified"), ("*", "*"),
    ("prod", "web\n\t\telements = { 10.61.0.1 }"), ("prod", "web\u001b[2J"), ("prod", "../web"), ("prod", "w" * 300),
)
ODD_NAMES = ("host", "prod/orders-db", "unidentified", "\u001b[31mred", "two\nlines", "x" * 5000, "net", "\u202eback", "-o", "{}\"';")


class Named:
    """A container that one scripted engine names, by a process that sleeps in it."""

    def __init__(self, lab, number, misdeed):
        self.misdeed = misdeed
        self.party = lab.container("c%d" % number, "br-one")
        self.process = subprocess.Popen(self.party.command(*LEASH, "sleep", "1000000"), stdin=subprocess.DEVNULL)
        lab.closers.append(self.close)
        self.engine = ScriptedEngine(os.path.join(lab.dir, "e%d.sock" % number), self.party.name, self.process.pid)

    def close(self):
        self.process.kill()
        self.process.wait()


def resident_kb(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmRSS:")))


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def identities(node):
    return {row["interface"]: row["identity"] for row in node.endpoints()}


def strangers(node, named):
    """Which of the named ones has not its identity."""
    known = identities(node)
    return [(one.misdeed, known.get(one.party.port)) for one in named if known.get(one.party.port) != "prod/web"]


def healths(node):
    return {source["name"].split()[-1]: source for source in node.status()["sources"]}


def not_well(node, named):
    found = healths(node)
    return [(one.misdeed, found[one.engine.path]["detail"]) for one in named if found[one.engine.path]["state"] != "ok"]


def watch(node, named, seconds):
    """Looks for a while. Returns what was wrong with identities, and the most memory and descriptors seen."""
    wrong, most_kb, most_fds = [], 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wrong += strangers(node, named)
        most_kb = max(most_kb, resident_kb(node.process.pid))
        most_fds = max(most_fds, descriptors(node.process.pid))
        time.sleep(0.1)
    return wrong, most_kb, most_fds


def table_of(named, db, stranger):
    table = [flow for one in named[::6] for flow in flows(one.party, db, "tcp/5432", families=[4])]
    table += [flow for one in named[1::6] for flow in flows(one.party, db, "tcp/8080", "no-grant", families=[6])]
    return table + list(flows(stranger, db, "tcp/5432", "unidentified"))


def all_at_once(report, node, named, table, left_kb):
    """All misdeeds at once. left_kb is the memory when all was well: before any, and appended here, after these."""
    pid = node.process.pid
    before_kb, before_fds = resident_kb(pid), descriptors(pid)
    for one in named:
        one.engine.misbehave(MISDEEDS[one.misdeed])
    wrong, most_kb, most_fds = watch(node, named, SECONDS / 2)
    matrix(report, node, table, "misdeeds")
    more = watch(node, named, SECONDS / 2)
    wrong += more[0]
    most_kb, most_fds = max(most_kb, more[1]), max(most_fds, more[2])
    for one in named:
        report.check(one.engine.met > 0, "%s: it was met, %d times" % (one.misdeed, one.engine.met))
    report.equal(wrong, [], "every container keeps its identity")
    report.check(most_kb <= before_kb + MOST_KB, "memory: %d KB before, %d KB at most" % (before_kb, most_kb))
    report.check(most_fds <= before_fds + 4 * len(named), "descriptors: %d before, %d at most" % (before_fds, most_fds))
    for one in named:
        one.engine.behave()
    try:
        wait_for(lambda: not not_well(node, named), "every engine to be well again", LATE, 0.2)
    finally:
        report.equal(not_well(node, named), [], "every engine is well again")
    after = wait_for(lambda: descriptors(pid) <= before_fds + 2, "descriptors to be closed", 10)
    report.check(after, "descriptors are what they were: %d" % descriptors(pid))
    left_kb.append(resident_kb(pid))
    report.check(left_kb[-1] <= left_kb[0] + LEFT_KB, "memory does not grow: %s KB" % left_kb)
    report.equal(strangers(node, named), [], "every container has its identity")
    matrix(report, node, table, "well again")


def heard_again(report, node, named):
    """What the engines say now counts: a container that stops being a web loses its rights, by each of them."""
    for one in named:
        one.engine.labels = {"io.microseg.env": "dev", "io.microseg.service": "web"}
        one.engine.event("update")

    def deaf():
        known = identities(node)
        return [one.misdeed for one in named if known.get(one.party.port) != "dev/web"]

    try:
        wait_for(lambda: not deaf(), "the new labels")
    finally:
        report.equal(deaf(), [], "every engine is heard again")


def asked_soon(report, node, named):
    """An engine that was well for a while is asked at once when it is started anew, however often it failed before."""
    wait_for(lambda: not not_well(node, named), "every engine to be well", LATE, 0.2)
    time.sleep(HEALTHY)
    for one in named:
        one.engine.labels = {"io.microseg.env": "prod", "io.microseg.service": "web"}
        one.engine.cut()
    since = time.monotonic()
    wait_for(lambda: not strangers(node, named), "what they say now", LATE, 0.1)
    seconds = time.monotonic() - since
    report.check(seconds < SOON, "all engines that were cut off are heard within %.1f s" % seconds)


def shown(node):
    """What people are shown of the endpoints, and it has no byte that a terminal would obey."""
    text = node.cli("endpoints").stdout + node.cli("status").stdout
    assert all(byte == "\n" or byte >= " " and byte != "\x7f" and not 0x80 <= ord(byte) < 0xa0 for byte in text), repr(text)
    return text


def odd_facts(report, node, named, stranger):
    """Labels, names and aliases that look like something else: nobody becomes what he is not, and nothing is forged."""
    one = named[0]

    def said(**facts):
        """Has the engine say this of its container. Returns the endpoint then."""
        name = facts.pop("name", one.party.name)
        before = one.engine.looks
        one.engine.name, one.engine.labels = name, facts
        one.engine.event("update")
        wait_for(lambda: one.engine.looks > before, "the engine to be asked")
        return wait_for(lambda: next((row for row in node.endpoints() if row["interface"] == one.party.port), None), "the endpoint")

    for env, service in ODD_LABELS:
        said(**{"io.microseg.env": "prod", "io.microseg.service": "web"})
        wait_for(lambda: identities(node)[one.party.port] == "prod/web", "the right labels")
        said(**{"io.microseg.env": env, "io.microseg.service": service})
        wait_for(lambda: identities(node)[one.party.port] != "prod/web", "labels %r %r" % (env[:40], service[:40]))
        row = said(**{"io.microseg.env": env, "io.microseg.service": service})
        report.equal(row["state"], "unidentified", "%r, %r is nobody" % (env[:40], service[:40]), row)
        shown(node)
    for name in ODD_NAMES:
        said(name=name, **{"io.microseg.env": "prod", "io.microseg.service": "web"})
        wait_for(lambda: identities(node)[one.party.port] == "prod/web", "container %r to be itself" % name[:40])
        report.check("prod/web" in shown(node), "container %r is shown safely" % name[:40])
    said(**{"io.microseg.env": "prod", "io.microseg.service": "web"})
    row = wait_for(lambda: next((row for row in node.endpoints() if row["name"] == one.party.name), None), "its own name")

    alias = "link set dev %s alias \"io.microseg.env=%s io.microseg.service=%s\""
    node.lab.host.ip(alias % (one.party.port, "prod", "orders-db"))
    wait_for(lambda: identities(node)[one.party.port] != "prod/web", "the alias")
    row = next(row for row in node.endpoints() if row["interface"] == one.party.port)
    report.check(row["state"] == "unidentified" and "orders-db" in row["why"] and "web" in row["why"],
                 "an alias that contradicts the container's labels makes it nobody, and both are named", row)
    node.lab.host.ip("link set dev %s alias \"\"" % one.party.port)
    wait_for(lambda: identities(node)[one.party.port] == "prod/web", "the alias to go")
    stranger.ip(alias % ("eth0", "prod", "web"))
    stranger.ip("addr add ::ffff:10.61.0.77/128 dev eth0", "addr add ::10.61.0.77/128 dev eth0", "addr add fec0::77/64 dev eth0")
    wait_for(lambda: "not taken for its own" in node.cli("status").stdout, "its addresses in status")
    row = next(row for row in node.endpoints() if row["interface"] == stranger.port)
    report.check(row["identity"] in (None, "unidentified"), "an alias that a container gives its own end names nobody", row)
    report.equal([addr for addr in row["addresses"] if addr.startswith(("::", "fec0"))], [], "IPv4 in IPv6 and site-local addresses are not its own")


def main():
    report = Report("engine sockets that misbehave: %d ways" % len(MISDEEDS))
    with Lab() as lab:
        lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
        db = lab.container("db", "br-one", "prod", "orders-db")
        stranger = lab.container("stranger", "br-one")
        db.listen(tcp=[5432, 8080])
        named = [Named(lab, number, misdeed) for number, misdeed in enumerate(MISDEEDS)]
        lab.settle()
        node = Node(lab, engines=[one.engine.url for one in named])
        node.start(policy=POLICY)
        wait_for(lambda: not strangers(node, named) and not not_well(node, named), "all names", 20)
        for one in named:  # how the probes judge it
            one.party.labels = one.engine.labels
        table = table_of(named, db, stranger)
        report.section(matrix, report, node, table, "well")
        left_kb = [resident_kb(node.process.pid)]
        for _ in range(TIMES):
            report.section(all_at_once, report, node, named, table, left_kb)
        report.section(heard_again, report, node, named)
        report.section(asked_soon, report, node, named)
        report.section(odd_facts, report, node, named, stranger)
        report.equal(node.process.poll(), None, "the daemon runs")
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
