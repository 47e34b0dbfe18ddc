#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Soak: a node in use for as long as somebody has patience, and nothing of it grows.

Containers come, change and go, policies are applied, grants run out, services are put in quarantine, engines speak, refused
packets flood, clients ask and hang up, others meddle with the host. A round of changes ends where it began, and then the
kernel's tables must be those of the first round to the last element; descriptors, processes, tracked connections and files of
the state directory as many; memory on a level line. Verdicts are probed in every round, and a flood that nothing allows runs
from the first to the last.

test_soak.py               half a minute, one change after the other
test_soak.py --minutes 20  fifty changes a minute; a line a minute says how it stands
"""
import argparse
import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time

import storm
from storm import finish, make_floods, order, write_policies

from flat import Series, children, descriptors, files_below, resident_kb
from lab import LEASH, LabError, run, wait_for
from nftwatch import canonical
from node import BUILD, Node
from probes import control, flows, send_all
from tap import Report
from traffic import Floods

sys.path.insert(0, os.path.join(os.path.dirname(storm.HERE), "engine"))

from scripted import ScriptedEngine  # noqa: E402

PER_MINUTE = 50
SHORT_SECONDS = 20
MIN_ROUNDS = 6  # of the short one, however slow the machine is
WARM_EVENTS = 4500  # lines: the daemon keeps 4096
WARM_APPLIES = 34  # the history keeps 32
WARM_ROUNDS = 2
MORE_KB = 4096  # of resident memory: what the allocator may keep
LEAK_KB = 1.0  # of each change: must be noticed
NOISE_KB = 0.5  # of each change: is none
TIMEOUTS = ("udp_timeout", "udp_timeout_stream", "icmp_timeout", "icmpv6_timeout", "generic_timeout", "tcp_timeout_time_wait",
            "tcp_timeout_close", "tcp_timeout_syn_sent", "tcp_timeout_syn_recv", "tcp_timeout_fin_wait",
            "tcp_timeout_close_wait", "tcp_timeout_last_ack")
HEAP_COUNT = os.path.join(BUILD, "tests", "netns", "libheap-count.so")
HELD = [(name, family) for name in ("api-1", "api-2") for family in (4, 6)]


class Rig:
    """The node, its containers, and what the changes work on."""

    def __init__(self):
        self.lab, self.parties = storm.build()
        self.lab.host.sysctl({"net.netfilter.nf_conntrack_" + name: 1 for name in TIMEOUTS})
        self.policies = write_policies(self.lab)
        self.named = self.lab.container("named", "br-one")
        self.sleeper = subprocess.Popen(self.named.command(*LEASH, "sleep", "1000000"), stdin=subprocess.DEVNULL)
        self.lab.closers.append(self.end_sleeper)
        self.engine = ScriptedEngine(os.path.join(self.lab.dir, "engine.sock"), "named", self.sleeper.pid)
        self.named.labels = self.engine.labels
        self.node = Node(self.lab, engines=[self.engine.url])
        for name in ("api-1", "api-2", "db-1"):
            self.parties[name].listen(tcp=[8080], udp=[8080])
        self.constant = make_floods(self.parties, 20)
        self.burst = Floods([(self.parties["web-1"], self.parties["db-1"], 4)], 5000)
        self.lab.closers += [self.constant.close, self.burst.close]
        self.heap = os.path.join(self.lab.dir, "heap")
        self.comer = None
        self.n_changes = 0

    def end_sleeper(self):
        self.sleeper.kill()
        self.sleeper.wait()

    def containers(self):
        return [*self.parties.values(), self.named]

    def cli(self, *words):
        result = self.node.cli(*words)
        if result.returncode:
            raise LabError("%s: exit %d: %s" % (" ".join(words), result.returncode, result.stdout + result.stderr))
        return result.stdout

    def apply(self, name):
        code, stderr = finish(order(self.node, self.policies[name]))
        if code:
            raise LabError("apply of %s: exit %s: %s" % (name, code, stderr))

    def table(self):
        """Flows that never change their verdict, whatever the changes do."""
        web, api, other, db = (self.parties[name] for name in ("web-1", "api-1", "api-2", "db-1"))
        dev = self.parties["dev-1"]
        return [*flows(web, api, "tcp/8080"), *flows(web, other, "udp/8080 tcp/8080"),
                *flows(dev, api, "tcp/8080", "fence"), *flows(dev, other, "udp/8080", "fence"),
                *flows(web, db, "tcp/8080", "no-grant")]

    def wrong_verdicts(self, table):
        return ["%s: %s" % (flow, result) for flow, result in send_all(table).items()
                if (result == "ok") != (flow.reason is None)]

    def hold(self):
        for name, family in HELD:
            answer = self.parties["web-1"].agent.do("hold", dst=self.parties[name].addr[family], port=8080,
                                                    key="%s/%d" % (name, family))
            if answer["result"] != "ok":
                raise LabError("no connection to hold: %s" % answer)

    def lost_connections(self):
        return [(name, family) for name, family in HELD
                if self.parties["web-1"].agent.do("talk", key="%s/%d" % (name, family))["result"] != "ok"]

    # ---- the changes: a round of them ends where it began -------------------------------------------------------------

    def a_container_comes(self):
        # The name, the port and the addresses of the one before.
        self.lab.ports = itertools.count(500)
        self.lab.bridges["br-two"]._hosts = itertools.count(100)
        self.comer = self.lab.container("comer", "br-two", "prod", "web")
        self.node.wait_endpoints([self.comer])
        return self.wrong_verdicts([*flows(self.comer, self.parties["api-1"], "tcp/8080"),
                                    *flows(self.comer, self.parties["db-1"], "tcp/8080", "no-grant")])

    def its_addresses_change(self):
        self.comer.addr = {4: "10.62.0.201", 6: "fd62::201"}
        self.comer.ip("addr flush dev eth0", *self.comer.address_lines(self.comer.addr))
        self.node.wait_endpoints([self.comer])
        return self.wrong_verdicts(list(flows(self.comer, self.parties["api-2"], "tcp/8080")))

    def its_identity_changes(self):
        self.comer.labels["io.microseg.env"] = "dev"
        self.lab.identify(self.comer)
        self.node.wait_endpoints([self.comer])
        return self.wrong_verdicts(list(flows(self.comer, self.parties["api-1"], "tcp/8080", "fence")))

    def it_goes(self):
        self.lab.remove(self.comer)
        wait_for(lambda: self.comer.port not in [row["interface"] for row in self.node.endpoints()], "the endpoint to go")

    def another_policy(self):
        self.apply("b")

    def the_first_policy_again(self):
        # What is over by then is forgotten with it; what were not would be remembered for a minute.
        time.sleep(max(0, self.over - time.time()))
        self.apply("a")

    def a_grant(self):
        web, db = self.parties["web-1"], self.parties["db-1"]
        self.cli("grant", "prod/web", "prod/db", "udp/8080", "--for", "2s", "--reason", "soak")
        return self.wrong_verdicts(list(flows(web, db, "udp/8080")))

    def a_relax(self):
        self.cli("relax", "dev/web", "--for", "1s", "--reason", "soak")
        self.over = time.time() + 2  # the grant before it is over sooner

    def quarantine(self):
        self.cli("quarantine", "add", "prod/api", "--reason", "soak")
        web, api = self.parties["web-1"], self.parties["api-1"]
        wrong = self.wrong_verdicts(list(flows(web, api, "udp/8080", "quarantine", drop=True, families=[4])))
        self.cli("quarantine", "remove", "prod/api")
        return wrong + ["after quarantine, " + what for what in self.wrong_verdicts(list(flows(web, api, "udp/8080")))]

    def the_engine_relabels(self):
        wrong = []
        wait_for(lambda: self.engine.streams, "the engine to be heard again", 10)
        for env, reason in (("dev", "fence"), ("prod", None)):
            self.engine.labels = self.named.labels = {"io.microseg.env": env, "io.microseg.service": "web"}
            self.engine.event("update")
            self.node.wait_endpoints([self.named])
            wrong += self.wrong_verdicts(list(flows(self.named, self.parties["api-1"], "tcp/8080", reason)))
        return wrong

    def the_engine_hangs_up(self):
        # Not in every round: who hangs up again and again within a minute is asked again later and later.
        if self.n_changes // len(self.CHANGES) % 4 == 0:
            self.engine.cut()
        for _ in range(20):
            self.engine.event("exec_start")

    def drops_flood(self):
        self.burst.start()
        time.sleep(0.3)
        _, arrived = self.burst.stop()
        return ["the flood arrives: %s" % arrived] if arrived else []

    def clients_ask(self):
        for words in (("status",), ("endpoints",), ("services",), ("drops",), ("history",), ("diff", "-p", self.policies["b"])):
            self.node.cli(*words)
        for request in (b"", b"GET /v1/sta", b"GET /v1/drops?follow=1 HTTP/1.1\r\n\r\n", b"POST /v1/apply HTTP/1.1\r\n"
                        b"Content-Length: 9\r\n\r\n{", b"\0\xff\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n" * 20):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self.node.control)
                sock.sendall(request)

    def others_meddle(self):
        host = self.lab.host
        host.ip("link set br-one type bridge nf_call_iptables 0 nf_call_ip6tables 0")
        host.run("nft", "add", "table", "inet", "somebody")
        host.run("nft", "flush", "ruleset", check=False)
        wait_for(lambda: self.node.bridge_flags("br-one") == (1, 1), "the bridge's flags to be repaired", 2)
        wait_for(lambda: "somebody" not in host.run("nft", "list", "tables").stdout, "the other table to go")

    def refused_orders(self):
        path = os.path.join(self.lab.dir, "broken.yaml")
        with open(path, "w") as file:
            file.write("apiVersion: microseg/v1\nkind: Service\nservice: web\nenv: prod\nalow: []\n" * 20)
        for words in (("apply", "--yes", "-p", path), ("rollback", "999999"), ("grant", "a/b", "c/d", "e")):
            if not self.node.cli(*words).returncode:
                return ["%s was not refused" % " ".join(words)]
        return []

    CHANGES = (a_container_comes, another_policy, a_grant, its_addresses_change, the_engine_relabels, quarantine, clients_ask,
               its_identity_changes, a_relax, others_meddle, drops_flood, the_engine_hangs_up, it_goes, refused_orders,
               the_first_policy_again)

    # ---- what is looked at when a round is over ------------------------------------------------------------------------

    def rest(self, n_descriptors):
        """Waits until nothing has an end any more, and nobody is connected who was not at first."""
        wait_for(lambda: "until/" not in self.node.ruleset(), "all that has an end to be over", 10)
        with contextlib.suppress(LabError):  # the samples tell
            wait_for(lambda: n_descriptors in (None, descriptors(self.node.process.pid)), "connections to be closed", 3)

    def tracked(self):
        return len(self.lab.host.run("conntrack", "-L", check=False).stdout.splitlines())

    def sample(self):
        pid = self.node.process.pid
        n_files, size = files_below(self.node.state)
        return {"heap, KB": self.heap_kb(), "resident, KB": resident_kb(pid), "descriptors": descriptors(pid),
                "processes": children(pid), "files": n_files, "bytes of files": size, "connections": self.tracked()}

    def heap_kb(self):
        with open(self.heap, "rb") as file:
            return int.from_bytes(file.read(8), sys.byteorder) / 1024

    def flags(self):
        return [self.node.bridge_flags(bridge) for bridge in self.lab.bridges]


def count_objects(listing):
    """How many sets, chains and rules there are, for people."""
    lines = [line.strip() for line in listing.splitlines()]
    n_sets = sum(line.startswith(("set ", "map ")) for line in lines)
    n_chains = sum(line.startswith("chain ") for line in lines)
    return "%d sets and maps, %d chains, %d lines" % (n_sets, n_chains, len(lines))


def warm_up(rig):
    """What is bounded is filled: then the daemon is as large as it gets."""
    dev, web, api, db = (rig.parties[name] for name in ("dev-1", "web-1", "api-2", "db-1"))
    for _ in range(WARM_APPLIES // 2):
        rig.apply("b")
        rig.apply("a")
    # Longer lines and shorter ones, as the rounds have them: what replaces them is as large.
    for number in range(10):
        source, target = (dev, api) if number % 3 == 0 else (web, db)
        source.agent.do("datagrams", dst=target.addr[4], port=10000 + number * 500, ports=WARM_EVENTS // 10, sources=1)
        time.sleep(0.05)
    wait_for(lambda: len(rig.node.events()) >= 4000, "events to fill the ring", 20)


class Soak:
    """Rounds of changes until the time is over."""

    def __init__(self, report, rig, minutes):
        self.report, self.rig = report, rig
        self.minutes = minutes
        self.series = Series()
        self.wrong, self.strange = [], []
        self.listing = self.flags = None
        self.tables = rig.table()

    def pace(self):
        """In a long soak the next change waits for its turn."""
        if self.minutes:
            time.sleep(max(0, self.started + rig_seconds(self.rig.n_changes) - time.monotonic()))

    def is_over(self, n_rounds):
        seconds = time.monotonic() - self.started
        return seconds > (self.minutes * 60 if self.minutes else SHORT_SECONDS) and n_rounds >= MIN_ROUNDS

    def round(self):
        rig = self.rig
        for change in rig.CHANGES:
            self.pace()
            self.wrong += ["%s: %s" % (change.__name__, what) for what in change(rig) or ()]
            rig.n_changes += 1
        self.wrong += ["at the end of a round: %s" % what for what in rig.wrong_verdicts(self.tables)]
        rig.rest(self.series.samples[0]["descriptors"] if self.series.samples else None)
        listing = rig.node.ruleset()
        if self.listing is None:
            self.listing, self.flags = listing, rig.flags()
        elif canonical(listing) != canonical(self.listing) or rig.flags() != self.flags:
            self.strange.append((rig.n_changes, count_objects(listing), rig.flags()))
        self.series.add(rig.n_changes, rig.sample())

    def run(self):
        self.started = told = time.monotonic()
        while not self.is_over(len(self.series.samples)):
            self.round()
            if self.minutes and time.monotonic() > told + 60:
                told = time.monotonic()
                self.report.note("%4.1f minutes, %d changes: %s" % ((told - self.started) / 60, self.rig.n_changes,
                                                                   self.series.samples[-1]))
        self.seconds = time.monotonic() - self.started


def rig_seconds(n_changes):
    return n_changes * 60 / PER_MINUTE


def judge_flat(report, soak):
    series = soak.series
    first, last = series.samples[0], series.samples[-1]
    n = soak.rig.n_changes - series.changes[0]
    report.note("%d rounds, %d changes in %.0f s" % (len(series.samples), soak.rig.n_changes, soak.seconds))
    for what in first:
        report.note("%s: %s at first, %s at last, from %s to %s; %+.4f a change" % (
            what, first[what], last[what], min(series.values(what)), max(series.values(what)), series.rise(what)))
    rise = series.rise("heap, KB")
    report.check(rise < NOISE_KB, "heap in use: %+.3f KB by each of %d changes" % (rise, n), series.values("heap, KB"))
    report.check(series.would_notice("heap, KB", LEAK_KB, NOISE_KB), "a leak of %g KB by each would be seen" % LEAK_KB)
    most, allowed = max(series.values("resident, KB")), first["resident, KB"] + MORE_KB
    report.check(most < allowed, "resident memory: %d KB at most, %d at first" % (most, first["resident, KB"]))
    for what in ("descriptors", "processes", "files"):
        report.equal(set(series.values(what)), {first[what]}, "%s: as many after every round" % what)
    for what, allowed in (("bytes of files", 16384), ("connections", 60)):
        values = series.values(what)
        report.check(max(values) - min(values) <= allowed and abs(series.rise(what)) * n < allowed / 2, "%s: flat" % what, values)


def judge_kernel(report, soak):
    rig = soak.rig
    report.equal(soak.strange, [], "tables and bridge flags after every round are those after the first: %s" %
                 count_objects(soak.listing))
    scratch = rig.lab._namespace("scratch", type(rig.lab.outside))
    path = os.path.join(rig.lab.dir, "listing")
    with open(path, "w") as file:
        file.write(re.sub(r"^\tflags .*\n", "", rig.lab.host.run("nft", "list", "ruleset").stdout, flags=re.MULTILINE))
    result = scratch.run("nft", "-f", path, check=False)
    report.equal((result.returncode, result.stderr), (0, ""), "nft list ruleset loads again")


def control_open(report, rig):
    """Without microseg the flood arrives that must not arrive later."""
    rig.constant.start()
    time.sleep(1)
    sent, arrived = rig.constant.stop()
    report.check(len(arrived) == len(rig.constant.arrivals) and sum(count["datagrams"] for count in arrived.values()) > 20,
                 "of %d sent %s arrive" % (sent, arrived))
    control(report, rig.table(), "no microseg")


def soak_and_judge(report, rig, minutes):
    """Changes without end, and what has grown by them."""
    soak = Soak(report, rig, minutes)
    rig.constant.start()
    for _ in range(WARM_ROUNDS):
        soak.started = time.monotonic() - rig_seconds(rig.n_changes)
        soak.round()
    soak.series = Series()
    rig.n_changes = 0
    soak.run()
    sent, arrived = rig.constant.stop()
    report.check(sent > 100 and not arrived, "0 of %d packets arrive that nothing allows" % sent, arrived)
    report.equal(soak.wrong, [], "every verdict is right in every round")
    report.equal(rig.lost_connections(), [], "connections held from the beginning live on")
    judge_flat(report, soak)
    judge_kernel(report, soak)
    report.equal(rig.node.process.poll(), None, "the daemon runs")
    report.equal(rig.node.status()["state"], "enforcing", "and enforces")
    told = rig.node.stop(signal.SIGTERM)
    report.equal(told, 0, "and ends when it is told to")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, help="how long, at %d changes a minute" % PER_MINUTE)
    minutes = parser.parse_args().minutes
    report = Report("soak: %s" % ("%g minutes" % minutes if minutes else "a short one"))
    rig = Rig()
    with rig.lab:
        report.section(control_open, report, rig)
        rig.node.start(policy=rig.policies["a"], wrapper=["env", "LD_PRELOAD=" + HEAP_COUNT, "MS_HEAP_COUNT=" + rig.heap])
        rig.node.wait_endpoints(rig.containers())
        rig.hold()
        report.section(warm_up, rig)
        report.section(soak_and_judge, report, rig, minutes)
        if report.failed:
            report.note("microsegd said:\n" + rig.node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
