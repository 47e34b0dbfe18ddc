#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A flood of refusals: whatever happens to the log, the sum of `count` and `lost` is what the kernel counted.

Datagrams go from several containers to as many ports as there are. Meanwhile the daemon stands still, the disk is full, the
log is rotated, a reader of `microseg drops -f` is stalled. MS_LOG_LONG=1 sends half a million of them each time.
"""
import json
import os
import signal
import subprocess
import sys
import time

from storm import Scene

from lab import LEASH, run, wait_for
from node import MICROSEG
from tap import Report

N = 500000 if os.environ.get("MS_LOG_LONG") else 40000
OVERFLOWS = max(N, 160000)  # more than fit into the socket of the daemon
PATIENCE = 300 if os.environ.get("MS_LOG_LONG") else 60
MAX_GROWTH_KB = 40 * 1024
PAIRS = (("dev-1", "api-1", 4), ("dev-2", "api-1", 6), ("web-1", "db-1", 6), ("dev-1", "api-2", 4))
SENDER = """
import socket, sys
address, n, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
for i in range(n):
    try:
        s.sendto(b"x", (address, 10000 + (first + i) % 50000))
    except OSError:
        pass
"""
SMALL = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$1" && shift && exec "$@"', "sh"]


def counted(scene):
    """What the chains that refuse have counted."""
    listed = json.loads(scene.lab.host.run("nft", "-j", "list", "ruleset").stdout)["nftables"]
    rules = [item["rule"] for item in listed if "rule" in item and item["rule"]["table"] == "microseg"]
    return sum(expr["counter"]["packets"] for rule in rules if rule["chain"].startswith(("deny/", "audit/"))
               for expr in rule["expr"] if "counter" in expr)


def told(paths):
    """(sum of count, sum of lost, lines that are none)"""
    count = lost = torn = 0
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    torn += bool(line.strip())
                    continue
                count += 0 if event.get("tracked") else event.get("count", 0)
                lost += event.get("lost", 0)
    return count, lost, torn


def memory_kb(scene):
    with open("/proc/%d/status" % scene.node.process.pid) as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def flood(scene, n):
    senders = [subprocess.Popen([*LEASH, *scene.parties[source].command("/usr/bin/python3", "-c", SENDER,
                                                                        scene.parties[target].addr[family],
                                                                        str(n // len(PAIRS)), str(number * 12345))])
               for number, (source, target, family) in enumerate(PAIRS)]
    for sender in senders:
        sender.wait(PATIENCE)


def balanced(scene, what, paths, n, loses=False):
    """Waits until all is told, and compares."""
    report = scene.report

    def all_told():
        count, lost, _ = told(paths)
        return count + lost >= counted(scene)

    try:
        wait_for(all_told, "the events", PATIENCE, 0.5)
        time.sleep(1.5)  # nothing may come after
    finally:
        count, lost, torn = told(paths)
        report.note("%s: %d counted, %d told, %d lost" % (what, counted(scene), count, lost))
    report.equal((count + lost, torn), (counted(scene), 0), "%s: count and lost are what the kernel counted" % what)
    report.check(counted(scene) >= n * 0.9, "%s: the flood was refused" % what, (counted(scene), n))
    if loses:
        report.check(lost > 0, "%s: something was lost" % what)


def standing_still(scene, log):
    """The daemon stands still until its socket has overflowed. The end of the flood has no record after it."""
    scene.node.process.send_signal(signal.SIGSTOP)
    flood(scene, OVERFLOWS)
    scene.node.process.send_signal(signal.SIGCONT)
    balanced(scene, "a daemon that stood still", [log], OVERFLOWS, loses=True)


def rotated(scene, log):
    """The log is moved away under the flood, and opened anew; somebody follows the drops and does not read."""
    before, memory = OVERFLOWS, memory_kb(scene)
    follower = subprocess.Popen([*LEASH, *scene.lab.host.command(MICROSEG, "drops", "-f", "-o", "json", "-c", scene.node.config)],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    sender = subprocess.Popen([*LEASH, *scene.parties["web-2"].command("/usr/bin/python3", "-c", SENDER,
                                                                       scene.parties["db-1"].addr[4], str(N // 4), "0")])
    time.sleep(0.3)
    os.rename(log, log + ".1")
    flood(scene, N // 2)
    scene.node.process.send_signal(signal.SIGUSR1)
    flood(scene, N // 4)
    sender.wait(PATIENCE)
    balanced(scene, "a log that was rotated", [log + ".1", log], before + N * 0.9)
    grown = memory_kb(scene) - memory
    scene.report.check(grown < MAX_GROWTH_KB, "a reader that is stalled costs no memory", "%d KiB" % grown)
    follower.kill()
    follower.wait()


def full(scene, log):
    """The disk is full, and grows."""
    pid = scene.node.process.pid
    inside = "/proc/%d/root%s" % (pid, log)
    before = counted(scene)
    flood(scene, N // 4)
    wait_for(lambda: any("cannot write events" in text for text in scene.node.status()["problems"]), "the problem", PATIENCE)
    scene.report.check(True, "status says that the log is full")
    # Enough for all that comes: a disk that is full again tells nothing.
    run("nsenter", "--target", str(pid), "--mount", "mount", "-o", "remount,size=1g", os.path.dirname(log))

    def sums():
        count, lost, torn = told([inside])
        return count + lost, torn

    wait_for(lambda: sums()[0] >= counted(scene) - before, "the line of what is missing", PATIENCE, 0.5)
    time.sleep(1.5)
    scene.report.equal(sums(), (counted(scene) - before, 0), "a full disk: count and lost are what the kernel counted")
    scene.report.check(told([inside])[1] > 0, "the file itself tells what is missing in it")
    wait_for(lambda: not scene.node.status()["problems"], "no problem any more", PATIENCE)


def main():
    report = Report("the log under a flood of refusals")
    scene = Scene(report, 0)
    directory = os.path.join(scene.lab.dir, "log")
    log = os.path.join(directory, "events.jsonl")
    os.mkdir(directory)
    with open(scene.node.config, "a") as config:
        config.write("log: %s\n" % log)
    with scene.lab:
        scene.start_and_wait(scene.policies["a"])
        scene.node.wait_endpoints(scene.parties.values())
        scene.node.wait_ready(("enforcing",))
        report.section(standing_still, scene, log)
        report.section(rotated, scene, log)
        scene.node.stop()
        scene.start(wrapper=[*SMALL, directory])
        scene.ready.wait(scene.node)
        scene.node.wait_ready(("enforcing",))
        report.section(full, scene, log)
        if report.failed:
            report.note("microsegd said:\n" + scene.node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
