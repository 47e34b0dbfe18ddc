#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge's netfilter flags go off under floods: nothing forbidden arrives, from the first packet on, and they come on again.

    test_flags.py [TIMES]

Without the flags a bridge forwards IP past the policy. The seam behind it then lets nothing through between its ports, also
what is allowed, until the daemon has noticed by the kernel's event and set the flags again.
"""
import json
import signal
import sys
import time

from storm import SERVICE_PORT, Scene, control_open

from lab import wait_for
from tap import Report
from traffic import Floods

TIMES = int(sys.argv[1]) if len(sys.argv) > 1 else 12
PER_SECOND = 5000  # of each of the floods
LIMIT = 1.0  # seconds until the flags are on again
APART = 0.3  # seconds between two times: flags that go off right after they were set are no new event
FLAGS = ("nf_call_iptables 0 nf_call_ip6tables 0", "nf_call_iptables 0", "nf_call_ip6tables 0")
FORBIDDEN = (("dev-1", "api-1", 4), ("web-1", "db-1", 6), ("dev-1", "db-1", 4), ("web-1", "db-1", 4))
ALLOWED = (("web-1", 4), ("web-1", 6))  # to one more api, on the same bridge


def switch(scene, flags):
    scene.lab.host.ip("link set br-one type bridge " + flags)


def count(allowed):
    """What arrived of floods to one place."""
    return next(iter(allowed.arrivals.values())).count()


def flags_are_on(scene):
    return scene.node.bridge_flags("br-one") == (1, 1)


def seam(scene, allowed):
    """With the daemon stopped: no IP at all between the ports of the bridge."""
    report, node = scene.report, scene.node
    scene.floods.start()
    allowed.start()
    time.sleep(0.5)
    report.check(min(count(allowed).values()) > 0, "flags on: what is allowed arrives", count(allowed))
    node.process.send_signal(signal.SIGSTOP)
    try:
        for flags in FLAGS[:1]:
            switch(scene, flags)
            before = count(allowed)
            time.sleep(1)
            report.equal(count(allowed), before, "flags off, daemon stopped: of what is allowed nothing arrives either")
        report.equal(node.bridge_flags("br-one"), (0, 0), "and they are off")
    finally:
        node.process.send_signal(signal.SIGCONT)
    wait_for(lambda: flags_are_on(scene), "the flags to be set again")
    wait_for(lambda: count(allowed)["datagrams"] > before["datagrams"], "what is allowed to arrive again", 3)
    sent, arrived = scene.floods.stop()
    allowed.stop()
    report.check(not arrived and sent > 1000, "nothing of %d forbidden packets arrived" % sent, arrived)


def live(scene, allowed):
    """With the daemon there, again and again: undone at once, counted and logged."""
    report, node = scene.report, scene.node
    repaired, took = node.status()["counters"]["flags_repaired"], []
    logged = node.log_text().count("switched off by somebody")
    scene.floods.start()
    allowed.start()
    for number in range(TIMES):
        time.sleep(APART)
        since = time.monotonic()
        switch(scene, FLAGS[number % len(FLAGS)])
        wait_for(lambda: flags_are_on(scene), "the flags to be set again")
        took.append(time.monotonic() - since)
    before = count(allowed)
    wait_for(lambda: count(allowed)["datagrams"] > before["datagrams"], "what is allowed to arrive again", 3)
    sent, arrived = scene.floods.stop()
    allowed.stop()
    report.check(not arrived and sent > 100 * TIMES, "%d times: nothing of %d forbidden packets arrived" % (TIMES, sent), arrived)
    report.check(max(took) < LIMIT, "on again within %.0f ms, half of them within %.0f ms" % (
        1000 * max(took), 1000 * sorted(took)[len(took) // 2]), took)
    report.check(node.status()["counters"]["flags_repaired"] - repaired >= TIMES, "each is counted", node.status()["counters"])
    report.check(node.log_text().count("switched off by somebody") - logged >= TIMES, "and logged")


def groups(scene, allowed):
    """The group by which a port is known goes, again and again: nothing forbidden arrives, and it is given back at once."""
    report, node = scene.report, scene.node
    before, took = node.status()["counters"]["flags_repaired"], []
    port = scene.parties["web-1"].port

    def group():
        return json.loads(scene.lab.host.run("ip", "-d", "-j", "link", "show", "dev", port).stdout)[0]["group"]

    known = group()
    scene.floods.start()
    allowed.start()
    node.process.send_signal(signal.SIGSTOP)
    try:
        scene.lab.host.ip("link set dev %s group default" % port)
        arrived = count(allowed)
        time.sleep(0.5)
        report.equal(count(allowed), arrived, "daemon stopped: of what it is allowed nothing arrives either")
    finally:
        node.process.send_signal(signal.SIGCONT)
    for _ in range(TIMES):
        wait_for(lambda: group() == known, "the group to be set again", 3, 0.002)
        time.sleep(APART)
        since = time.monotonic()
        scene.lab.host.ip("link set dev %s group 7" % port)
        wait_for(lambda: group() == known, "the group to be set again", 3, 0.002)
        took.append(time.monotonic() - since)
    arrived = count(allowed)
    wait_for(lambda: count(allowed)["datagrams"] > arrived["datagrams"], "what is allowed to arrive again", 3)
    sent, arrived = scene.floods.stop()
    allowed.stop()
    report.check(not arrived and sent > 100 * TIMES, "%d times: nothing of %d forbidden packets arrived" % (TIMES, sent), arrived)
    report.check(max(took) < LIMIT, "again within %.0f ms, half of them within %.0f ms" % (
        1000 * max(took), 1000 * sorted(took)[len(took) // 2]), took)
    report.check(node.status()["counters"]["flags_repaired"] - before >= TIMES, "each is counted", node.status()["counters"])
    report.check(node.log_text().count("was changed by somebody: it is again") >= TIMES, "and logged")


def main():
    report = Report("bridge flags")
    scene = Scene(report, PER_SECOND)
    with scene.lab:
        # Off for all bridges, as where br_netfilter is a module that nobody else uses.
        scene.lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        scene.floods = Floods([(scene.parties[source], scene.parties[target], family) for source, target, family in FORBIDDEN],
                              PER_SECOND)
        scene.lab.closers.append(scene.floods.close)
        target = scene.lab.container("api-3", "br-one", "prod", "api")
        scene.lab.settle()
        report.section(control_open, scene)
        allowed = Floods([(scene.parties[name], target, family) for name, family in ALLOWED], PER_SECOND, SERVICE_PORT)
        scene.lab.closers.append(allowed.close)
        scene.start_and_wait(scene.policies["a"])
        scene.node.wait_endpoints([*scene.parties.values(), target])
        for part in (seam, live, groups):
            report.section(part, scene, allowed)
        if report.failed:
            report.note("microsegd said:\n" + scene.node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
