#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies change under a flood while the daemon is killed at any point: nothing forbidden passes, nothing allowed is lost.

    test_apply.py [CHANGES [SYSCALLS]]

CHANGES: how many applies (the proof is 1,000; without it, what fits into 15 seconds, at most 60). Every second one has the
daemon killed with SIGKILL at a moment between the order and some time after it. SYSCALLS: how many system calls of a start
with a new policy the daemon is killed at, one life each (without it at most 15 in 8 seconds, "all" for every one).
Whatever the moment, the kernel then holds the old rules or the new ones, whole. What nft prints loads again: after each
change of the proof, else after some.
"""
import collections
import os
import re
import signal
import subprocess
import sys
import time

from storm import FAMILIES, SERVICE_PORT, bounded, finish, order, play, start_program

from nftwatch import NftWatch, canonical

CHANGES, CHANGES_SECONDS = (int(sys.argv[1]), None) if len(sys.argv) > 1 else (60, 15)
SYSCALLS, SYSCALLS_SECONDS = (sys.argv[2], None) if len(sys.argv) > 2 else ("15", 8)
PER_SECOND = 10000  # of each of the floods
LIST_EVERY = 10 if CHANGES_SECONDS else 1  # changes, of which two are looked at: does what nft prints load again
KILL_WITHIN = 0.06  # seconds from the order; an apply takes about half of it


def control_two_batches(scene):
    """The same rules, loaded in two steps instead of one, leak."""
    scene.node.stop()
    listing = re.sub(r"^\tflags .*\n", "", scene.lab.host.run("nft", "list", "ruleset").stdout, flags=re.MULTILINE)
    delete = "".join("delete table %s microseg\n" % family for family in FAMILIES)
    scene.floods.start()
    for _ in range(5):
        scene.lab.host.run("nft", "-f", "-", stdin=delete)
        scene.lab.host.run("nft", "-f", "-", stdin=listing)
    sent, arrived = scene.floods.stop()
    scene.report.check(sum(sum(count.values()) for count in arrived.values()) > 100,
                       "of %d packets sent %s arrive" % (sent, arrived))
    scene.start_and_wait()


def reloads(scene):
    """What `nft list ruleset` prints, less the tables' flags, loads elsewhere and prints the same. Returns what is wrong."""
    listing = re.sub(r"^\tflags .*\n| # progname \S+", "", scene.lab.host.run("nft", "-s", "list", "ruleset").stdout,
                     flags=re.MULTILINE)
    loaded = scene.scratch.run("nft", "-f", "-", stdin="flush ruleset\n" + listing, check=False)
    if loaded.returncode:
        return loaded.stderr
    again = scene.scratch.run("nft", "-s", "list", "ruleset").stdout
    return "" if canonical(again) == canonical(listing) else "it prints otherwise"


def one_change(scene, number, seen):
    name, looked_at = "ab"[number % 2], number % LIST_EVERY < 2
    process = order(scene.node, scene.policies[name])
    if number % 2 == number // 2 % 2:  # half of all, and of both policies
        time.sleep(scene.random.uniform(0, KILL_WITHIN))
        scene.node.stop(signal.SIGKILL)
        code, _ = finish(process)
        standing = scene.standing()
        seen["%s after a kill" % ("neither" if standing is None else "new" if standing == name else "old")] += 1
        if code == 0 and standing != name:
            seen["said to be applied and is not"] += 1
        scene.start_and_wait()
        if code == 0 and scene.standing() != name:
            seen["applied, and forgotten by the next start"] += 1
    else:
        code, stderr = finish(process)
        seen["applied" if code == 0 else "failed: " + stderr] += 1
        if looked_at and scene.standing() != name:
            seen["applied, and the kernel has something else"] += 1
    if looked_at:
        wrong = reloads(scene)
        seen["reloads" if not wrong else "does not reload: " + wrong] += 1


def many_changes(scene):
    """Applies without end, half of them with a kill."""
    report, parties = scene.report, scene.parties
    flows = start_program(scene.lab, parties["web-1"], "hold", parties["api-1"].addr[4], SERVICE_PORT, 20, 20)
    routed = start_program(scene.lab, parties["web-2"], "hold", parties["api-1"].addr[6], SERVICE_PORT, 20, 20)
    short = start_program(scene.lab, parties["web-1"], "connect", parties["api-2"].addr[4], SERVICE_PORT)
    watch = NftWatch(scene.lab.host)
    watch.require(*FAMILIES)
    scene.floods.start()
    seen = collections.Counter()
    n_changes = 0
    for number in bounded(range(CHANGES), CHANGES_SECONDS):
        one_change(scene, number, seen)
        n_changes += 1
    sent, arrived = scene.floods.stop()
    report.note("%d packets sent; %s; %d transactions" % (sent, dict(seen), watch.n_transactions))
    report.check(not arrived and sent > n_changes * 100, "nothing of %d packets arrived" % sent, arrived)
    report.equal(watch.gaps, [], "the tables stood after each of %d transactions" % watch.n_transactions)
    report.check(watch.n_transactions >= n_changes / 2, "the changes were seen")
    bad = {what: count for what, count in seen.items()
           if what not in ("applied", "old after a kill", "new after a kill", "reloads")}
    report.check(not bad and seen["applied"] and seen["reloads"], "%d changes, old or new after each" % n_changes, bad)
    report.check(n_changes < 32 or seen["old after a kill"] and seen["new after a kill"], "kills came before and after the commit", dict(seen))
    for name, program in (("one bridge", flows), ("routed", routed)):
        account = program.stop()
        report.check(account["broken"] == account["lost"] == 0 and account["echoed"] > account["flows"],
                     "40 flows, %s: %s" % (name, account))
    account = short.stop()
    report.check(account["failed"] == 0 and account["ok"] > n_changes, "short connections: %s" % account)


def syscalls_of_a_start(scene, policy):
    """[(name, how many times it was called before and with this one)] of a life that starts and applies a policy."""
    trace = os.path.join(scene.lab.dir, "trace")
    scene.start(policy, wrapper=["strace", "-D", "-f", "-qq", "-o", trace])
    scene.ready.wait(scene.node, 60)
    scene.node.wait_ready()
    scene.node.stop()
    counts, calls = collections.Counter(), []
    with open(trace) as lines:
        for line in lines:
            call = re.match(r"\d+ +(\w+)\(", line)
            if call:
                counts[call[1]] += 1
                calls.append((call[1], counts[call[1]]))
    locked = calls.index(("flock", 1))  # what comes before concerns nobody
    return [call for call in calls[locked:] if call[0] not in ("exit_group", "exit")]


def killed_at(scene, name, call, number):
    """A life that starts with this policy and dies entering that call. Returns what the kernel has then."""
    scene.start(scene.policies[name], wrapper=["strace", "-D", "-f", "-qq", "-o", "/dev/null",
                                               "-e", "inject=%s:signal=SIGKILL:when=%d" % (call, number)])
    try:
        code = scene.node.process.wait(10)
    except subprocess.TimeoutExpired:
        code = None  # this life had no such call
    scene.node.kill()
    return scene.standing(), code


def kills_at_syscalls(scene):
    """A start with a new policy, killed at one system call after the other."""
    report = scene.report
    scene.apply("a")
    scene.node.stop()
    calls = syscalls_of_a_start(scene, scene.policies["b"])
    chosen = calls if SYSCALLS == "all" else scene.random.sample(calls, min(int(SYSCALLS), len(calls)))
    watch = NftWatch(scene.lab.host)
    watch.require(*FAMILIES)
    scene.floods.start()
    seen, wrong, standing = collections.Counter(), [], "b"
    n_lives = 0
    for call, number in bounded(chosen, SYSCALLS_SECONDS):
        n_lives += 1
        name = "a" if standing == "b" else "b"
        after, code = killed_at(scene, name, call, number)
        seen["old" if after == standing else "new" if after == name else "neither"] += 1
        if after is None:
            wrong.append("%s %d: neither the old nor the new rules" % (call, number))
        if code != -signal.SIGKILL:
            seen["not killed"] += 1
        standing = after or standing
    sent, arrived = scene.floods.stop()
    report.note("%d of %d system calls: %s" % (n_lives, len(calls), dict(seen)))
    report.equal(wrong, [], "old or new rules after a kill at each of %d system calls" % n_lives)
    report.check(seen["not killed"] <= n_lives / 4, "the kills hit", dict(seen))
    report.equal(watch.gaps, [], "the tables stood all the time")
    report.check(not arrived and sent > 100 * n_lives, "nothing of %d packets arrived" % sent, arrived)
    scene.start_and_wait()
    report.equal(scene.node.status().get("state"), "enforcing", "a start after all that enforces")


if __name__ == "__main__":
    sys.exit(play("changes under a flood, and kills", PER_SECOND, (control_two_batches,), (many_changes,), (kills_at_syscalls,)))
