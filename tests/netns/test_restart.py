#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon is restarted again and again under 400 flows and a flood: no flow loses anything, nothing gets in.

    test_restart.py [RESTARTS]

RESTARTS: the proof is 50; without it, what fits into 10 seconds. Every second one is a SIGKILL. The daemon stays away for
a moment that is chosen at random, up to a third of a second, and one in five is killed once more while it starts.
"""
import signal
import sys
import time

from storm import COMMON, FAMILIES, SERVICE_PORT, bounded, play, start_program

from nftwatch import NftWatch

RESTARTS, SECONDS = (int(sys.argv[1]), None) if len(sys.argv) > 1 else (50, 10)
PER_SECOND = 5000  # of each of the floods
AWAY = 0.3  # seconds
REPLACED = 12  # times. The kernel counts the rules that need connection tracking; were one miscounted, it would end here
STARTING = 0.06  # seconds, about what a start takes
# Source, destination, family: on one bridge and routed. Each holds a quarter of the flows.
HELD = (("web-1", "api-1", 4), ("web-1", "api-1", 6), ("web-2", "api-1", 4), ("web-1", "api-2", 6))
N_EACH = 50  # TCP flows of each, and as many of UDP


def restart(scene, number):
    """One restart. Returns what is wrong."""
    scene.node.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
    away = scene.standing()
    time.sleep(scene.random.uniform(0, AWAY))
    if number % 5 == 4:
        scene.start()
        time.sleep(scene.random.uniform(0, STARTING))
        scene.node.stop(signal.SIGKILL)
    scene.start_and_wait()
    back = scene.standing()
    return [] if (away, back) == ("a", "a") else ["restart %d: the rules were %s, and then %s" % (number, away, back)]


def restarts(scene):
    """Restarts under load."""
    report = scene.report
    held = [start_program(scene.lab, scene.parties[source], "hold", scene.parties[target].addr[family], SERVICE_PORT, N_EACH, N_EACH)
            for source, target, family in HELD]
    short = start_program(scene.lab, scene.parties["web-2"], "connect", scene.parties["api-2"].addr[6], SERVICE_PORT)
    watch = NftWatch(scene.lab.host)
    watch.require(*FAMILIES)
    scene.floods.start()
    wrong, n_restarts = [], 0
    for number in bounded(range(RESTARTS), SECONDS):
        wrong += restart(scene, number)
        n_restarts += 1
    time.sleep(1.5)  # what was lost in the last one counts as lost after a second
    accounts = [program.ask() for program in held]
    sent, arrived = scene.floods.stop()
    report.equal(wrong, [], "the same rules before, during and after each of %d restarts" % n_restarts)
    report.equal(watch.gaps, [], "the tables stood all the time")
    report.check(not arrived and sent > 100 * n_restarts, "nothing of %d packets of the flood arrived" % sent, arrived)
    for (source, target, family), account in zip(HELD, accounts):
        good = account["broken"] == account["stalled"] == account["lost"] == 0 and account["echoed"] >= account["flows"] * n_restarts
        report.check(good, "%s -> %s over IPv%d: %s" % (source, target, family, account))
    account = short.stop()
    report.check(account["failed"] == 0 and account["ok"] > n_restarts, "short connections: %s" % account)
    return held


def control_cut(scene, held):
    """A policy that takes the grant away is noticed by all of these flows: they would have noticed a restart that cut them."""
    path = scene.policies["a"] + ".closed.yaml"
    with open(path, "w") as file:
        file.write(COMMON[: COMMON.rindex("allow:")])
    scene.policies["closed"] = path
    scene.apply("closed")
    time.sleep(2.5)
    for (source, target, family), program in zip(HELD, held):
        account = program.stop()
        scene.report.check(account["broken"] + account["stalled"] == N_EACH and account["lost"] >= N_EACH,
                           "%s -> %s over IPv%d are cut: %s" % (source, target, family, account))


def replaced(scene):
    """Tables that somebody changed while the daemon was away are replaced whole, and what is tracked stays tracked."""
    report = scene.report
    program = start_program(scene.lab, scene.parties["web-1"], "hold", scene.parties["api-1"].addr[4], SERVICE_PORT, 10, 10)
    for _ in range(REPLACED):
        scene.node.stop()
        scene.lab.host.run("nft", "add rule inet microseg refuse counter")
        scene.start_and_wait()
    report.equal(scene.standing(), "a", "the rules are as they were after each of %d" % REPLACED)
    report.check(scene.node.log_text().count("the tables of an earlier process are replaced") >= REPLACED, "they were replaced")
    time.sleep(1.5)
    account = program.stop()
    report.check(account["broken"] == account["stalled"] == account["lost"] == 0 and account["echoed"] > 2 * REPLACED,
                 "flows through %d of them: %s" % (REPLACED, account))
    short = start_program(scene.lab, scene.parties["web-2"], "connect", scene.parties["api-1"].addr[6], SERVICE_PORT)
    time.sleep(0.5)
    account = short.stop()
    report.check(account["failed"] == 0 and account["ok"] > 10, "and new connections after them: %s" % account)


def all_restarts(scene):
    """Restarts under 400 flows, and the control that these flows can tell."""
    control_cut(scene, restarts(scene))


if __name__ == "__main__":
    sys.exit(play("restarts under load", PER_SECOND, (replaced,), (all_restarts,)))
