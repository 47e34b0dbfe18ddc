#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every system call of an apply fails once: the old rules or the new ones, whole, and the daemon is itself again in 5 seconds.

    test_syscalls.py [CASES]

CASES: how many triples of a call, which of its kind, and an error; or "all"; without it what fits into 12 seconds. strace(1)
attaches to the running daemon, lets one call fail in the course of one apply, and goes. The order of the cases follows from
$MS_SEED, which is the day by default and is printed: what one day does not get to comes on another.

Each apply has to be answered, and the answer has to be the truth: after a 0 the new policy is in force and is what a restart
takes up; after anything else with the new policy in force the text says so. A connection that only policy A allows ends with
it, failure or not.

Then the disk: the state directory is a file system so full that a write ends in its middle.
"""
import collections
import datetime
import os
import random
import re
import signal
import subprocess
import sys
import time

from storm import FAMILIES, MIN_STEPS, bounded, finish, order, play

from lab import LEASH, LabError, wait_for
from nftwatch import NftWatch

SEED = int(os.environ.get("MS_SEED", datetime.date.today().toordinal()))
CASES, SECONDS = (sys.argv[1], None) if len(sys.argv) > 1 else ("all", 12)
PER_SECOND = 2000  # of each of the floods
PATIENCE = 5  # seconds until it is itself again
AFTERMATH = 0.1  # seconds after an apply in which its timers run: connections are cut then
MIN_SENT = 1000
COMMON_ERRORS = ("ENOMEM",)
ERRORS = {
    "sendto": ("ENOBUFS", "ENOMEM", "EINTR", "EPERM"), "sendmsg": ("ENOBUFS", "ENOMEM", "EINTR", "EPERM"),
    "recvmsg": ("ENOBUFS", "ENOMEM", "EINTR"), "recvfrom": ("ENOBUFS", "ENOMEM", "EINTR"),
    "socket": ("ENOBUFS", "EMFILE"), "accept4": ("EMFILE", "ECONNABORTED"), "epoll_wait": ("EINTR",), "epoll_pwait": ("EINTR",),
    "openat": ("ENOSPC", "EMFILE", "EIO"), "write": ("ENOSPC", "EINTR", "EIO"), "fsync": ("EIO", "ENOSPC"),
    "renameat": ("ENOSPC", "EIO"), "read": ("EIO", "EINTR"), "close": ("EINTR",), "brk": ("ENOMEM",), "mmap": ("ENOMEM",),
}


class Connection:
    """A connection that policy A allows and policy B does not."""

    PORT = 9000

    def __init__(self, scene):
        self.scene = scene
        self.number = 0
        scene.parties["api-1"].listen(tcp=[self.PORT])

    def open(self):
        self.number += 1
        answer = self.scene.parties["db-1"].agent.do("hold", dst=self.scene.parties["api-1"].addr[4], port=self.PORT,
                                                     key=str(self.number))
        if answer["result"] != "ok" or not self.is_tracked():
            raise LabError("a connection that policy A allows: %s; the rules of %s stand" % (answer, self.scene.standing()))

    def is_tracked(self):
        return " dport=%d " % self.PORT in self.scene.lab.host.run("cat", "/proc/net/nf_conntrack").stdout


class Tracer:
    """strace on the running daemon."""

    def __init__(self, scene, *expressions):
        self.path = os.path.join(scene.lab.dir, "strace")
        words = [word for expression in expressions for word in ("-e", expression)]
        self.process = subprocess.Popen([*LEASH, "strace", "-f", "-o", self.path, *words, "-p", str(scene.node.process.pid)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "attached" not in line:
            raise LabError("strace cannot attach: %s" % line)

    def stop(self):
        """What it saw."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=10)
        with open(self.path) as lines:
            return lines.read()


def other(name):
    return "b" if name == "a" else "a"


def calls_of_an_apply(scene, standing):
    """[(name, which of its calls)] in the order in which they come."""
    tracer = Tracer(scene)
    scene.apply(other(standing))
    time.sleep(AFTERMATH)
    counts, calls = collections.Counter(), []
    for line in tracer.stop().splitlines():
        call = re.match(r"\d+ +(\w+)\(", line)
        if call:
            counts[call[1]] += 1
            calls.append((call[1], counts[call[1]]))
    return calls


def converged(scene):
    """Whose rules stand, once it enforces again."""
    wait_for(lambda: scene.node.status().get("state") == "enforcing", "enforcing", PATIENCE, 0.02)
    return scene.standing()


def remembered(scene):
    """Whose policy a restart would take up."""
    with open(os.path.join(scene.node.state, "policy"), encoding="utf-8", errors="replace") as file:
        stored = file.read()
    return "b" if "tcp/5432-5440" in stored else "a"


def judge(scene, connection, code, stderr, wanted):
    """What is wrong after an apply in which a call failed, or None."""
    if scene.node.process.poll() is not None:
        return "microsegd ended with %s" % scene.node.process.returncode
    if code is None:
        return "the apply had no answer in %d s" % PATIENCE
    at_once, kept = scene.standing(), remembered(scene)
    if at_once is None:
        return "neither the old nor the new rules"
    if code == 0 and (at_once, kept) != (wanted, wanted):
        return "it said that all was well; %s is in force and %s remembered, not %s" % (at_once, kept, wanted)
    if code != 0 and at_once == wanted and "is in force" not in stderr and "not known" not in stderr:
        return "it is in force, and the command says: %s" % stderr
    try:
        after = converged(scene)
    except LabError as late:
        return "%s: %s; %s" % (late, scene.node.status(), stderr)
    if after is None or after != remembered(scene):
        return "%s is in force and %s remembered; %s" % (after, remembered(scene), stderr)
    try:
        if after == "b":
            wait_for(lambda: not connection.is_tracked(), "the end of a connection", PATIENCE)
    except LabError as late:
        return str(late)
    return None


def one_case(scene, connection, standing, call, number, error):
    """An apply in which this call fails. Returns (what is wrong, was it injected)."""
    wanted = other(standing)
    if standing == "a":
        connection.open()
    tracer = Tracer(scene, "trace=%s" % call, "inject=%s:error=%s:when=%d" % (call, error, number))
    code, stderr = finish(order(scene.node, scene.policies[wanted]), PATIENCE)
    time.sleep(AFTERMATH)
    injected = "INJECTED" in tracer.stop()
    return judge(scene, connection, code, stderr, wanted), injected


def cases(calls):
    """All, in an order that the seed gives."""
    found = [(call, number, error) for call, number in calls for error in ERRORS.get(call, COMMON_ERRORS)]
    random.Random(SEED).shuffle(found)
    return found if CASES == "all" else found[: int(CASES)]


def recover(scene, standing):
    """After a case that went wrong: the next one is to be judged by itself."""
    if scene.node.process.poll() is not None:
        scene.start_and_wait()
    scene.apply(standing)


def failing_calls(scene):
    """One call of one apply fails, then the next one."""
    report = scene.report
    connection = Connection(scene)
    connection.open()
    calls = calls_of_an_apply(scene, "a")
    table = cases(calls)
    watch = NftWatch(scene.lab.host)
    watch.require(*FAMILIES)
    scene.floods.start()
    standing, seen, wrong = "b", collections.Counter(), []
    for call, number, error in bounded(table, SECONDS):
        what, injected = one_case(scene, connection, standing, call, number, error)
        seen["injected" if injected else "missed"] += 1
        if what:
            wrong.append("%s %d, %s: %s" % (call, number, error, what))
            recover(scene, standing)
        after = scene.standing()
        seen["new" if standing != after else "old"] += 1
        standing = after
    sent, arrived = scene.floods.stop()
    n_cases = seen["injected"] + seen["missed"]
    report.note("%d calls, %d of %d cases, MS_SEED=%d: %s" % (len(calls), n_cases, len(table), SEED, dict(seen)))
    report.equal(wrong, [], "old or new, told truly, within %d s, in %d cases" % (PATIENCE, n_cases), "\n".join(wrong))
    report.check(seen["injected"] >= MIN_STEPS / 2, "the errors were injected", dict(seen))
    report.equal(watch.gaps, [], "the tables stood all the time")
    report.check(not arrived and sent > MIN_SENT, "nothing of %d packets arrived" % sent, arrived)
    scene.apply(other(standing))
    report.equal(scene.standing(), other(standing), "an apply after all that works")


def unremembered(scene):
    """The name of the stored policy is taken: an apply that cannot be remembered says so, until it is."""
    report, stored = scene.report, os.path.join(scene.node.state, "policy")
    scene.apply("a")
    os.rename(stored, stored + ".kept")
    os.mkdir(stored)
    code, stderr = finish(order(scene.node, scene.policies["b"]))
    report.check(code == 2 and "is in force, but" in stderr and "cannot be remembered" in stderr, "the apply says so",
                 (code, stderr))
    report.equal(scene.standing(), "b", "it is in force")
    status = scene.node.status()
    report.check(status.get("state") == "degraded" and any("cannot be remembered" in text for text in status["problems"]),
                 "status says so", status)
    os.rmdir(stored)
    os.rename(stored + ".kept", stored)
    report.equal((converged(scene), remembered(scene)), ("b", "b"), "it is remembered later")


FULL = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs "$1" && shift && exec "$@"', "sh"]


def fill(directory, left):
    """Fills it up to so many bytes, and returns the path of what fills it."""
    path = os.path.join(directory, "filler")
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - left))
    return path


def full_disk(scene):
    """The state directory is full: an apply is refused or holds, the rules stand, and all is well when there is room again."""
    report = scene.report
    scene.node.stop()
    scene.node.cli("off")
    os.makedirs(scene.node.state, exist_ok=True)
    scene.start(scene.policies["a"], wrapper=[*FULL, scene.node.state])
    scene.ready.wait(scene.node)
    scene.node.wait_ready()
    scene.node.cli("on")
    scene.node.wait_ready(("enforcing",))
    report.equal(scene.standing(), "a", "it starts on a small file system")
    big = scene.policies["b"] + ".big.yaml"
    with open(scene.policies["b"]) as policy, open(big, "w") as file:
        file.write(policy.read() + "# %s\n" % ("x" * 9000))
    for left in (0, 4096, 8192):
        filler = fill("/proc/%d/root%s" % (scene.node.process.pid, scene.node.state), left)
        code, stderr = finish(order(scene.node, big))
        report.check(code != 0 and "No space left" in stderr, "%d bytes left: the apply is refused and says why" % left, stderr)
        report.equal(scene.standing(), "a", "%d bytes left: the old rules stand" % left)
        os.unlink(filler)
    code, stderr = finish(order(scene.node, big))
    report.equal(code, 0, "with room again the same apply works", stderr)
    report.equal(scene.node.status().get("state"), "enforcing", "it enforces")


if __name__ == "__main__":
    sys.exit(play("system calls that fail in an apply", PER_SECOND, (failing_calls,), (unremembered,), (full_disk,)))
