#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Legitimate traffic through everything: streams of iperf3, datagrams, and connections by the thousand.

    test_traffic.py [SECONDS]

SECONDS: of each disturbance (the proof is 30; without it, 3). They are floods of what is refused, policies that change,
restarts of which half are kills, and containers that come and go. No stream may break or stand still, no datagram be lost,
no connection be reset or refused. The same streams before and after tell what our rules cost: with them and without,
in turns.
"""
import json
import signal
import statistics
import subprocess
import sys
import time

from storm import COMMON, SERVICE_PORT, play, start_program

from lab import LEASH, LabError

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
PER_SECOND = 5000  # of each of the floods
IPERF_PORT = 5201
BYTES = "400M"  # of a stream that is to show what it can
PACED = "20M"  # bits a second of the paced streams: what is lost there is not the machine's lack of time
TURNS = 3 if SECONDS < 10 else 20
LEAST_SHARE = 0.4  # of the throughput without our rules. It is the way through netfilter that costs, whoever's rules are there
STREAMS = (("web-1", "api-1", 4), ("web-1", "api-1", 6), ("web-2", "api-1", 4), ("web-1", "api-2", 6))


class Iperf:
    """One client of iperf3, to a server of its own."""

    def __init__(self, scene, port, source, target, family, *options):
        self.what = "%s -> %s over IPv%d" % (source, target, family)
        source, target = scene.parties[source], scene.parties[target]
        self.server = subprocess.Popen([*LEASH, *target.command("iperf3", "-s", "-1", "-p", str(port))],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        scene.lab.closers.append(self.server.kill)
        self.wait_for_server(target, port)
        words = ["iperf3", "-J", "-c", target.addr[family], "-p", str(port), "-i", "1", *options]
        self.client = subprocess.Popen([*LEASH, *source.command(*words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        scene.lab.closers.append(self.client.kill)

    @staticmethod
    def wait_for_server(target, port):
        deadline = time.monotonic() + 10
        while ":%d " % port not in target.run("ss", "-Hltn").stdout:
            if time.monotonic() > deadline:
                raise LabError("iperf3 does not listen")
            time.sleep(0.02)

    def result(self, patience):
        """What iperf3 found out."""
        try:
            out, _ = self.client.communicate(timeout=patience)
        except subprocess.TimeoutExpired as error:
            self.client.kill()
            self.client.communicate()
            raise LabError("iperf3 %s does not end" % self.what) from error
        finally:
            self.server.kill()
            self.server.wait()
        return json.loads(out)


def bits(result):
    return result["end"]["sum_received"]["bits_per_second"]


def one_stream(scene, pair):
    result = Iperf(scene, IPERF_PORT, *pair, "-n", BYTES).result(20)
    if "error" in result:
        raise LabError("iperf3: %s" % result["error"])
    return bits(result)


def cost(scene):
    """What a stream carries with our rules, and the same stream without them, in turns."""
    for name, pair in (("on one bridge", STREAMS[0]), ("routed", STREAMS[3])):
        one_stream(scene, pair)  # the first touch of memory
        rates = {"on": [], "off": []}
        for turn in range(TURNS):
            for state in ("on", "off") if turn % 2 else ("off", "on"):
                scene.node.cli(state)
                scene.node.wait_ready(("off",) if state == "off" else ("enforcing",))
                if state == "on":
                    scene.node.wait_endpoints(scene.parties.values())
                rates[state].append(one_stream(scene, pair))
        share = statistics.median(rates["on"]) / statistics.median(rates["off"])
        scene.node.cli("on")
        scene.node.wait_ready(("enforcing",))
        scene.report.check(share >= LEAST_SHARE, "%s: %.1f Gbit/s, without our rules %.1f: %.0f %%, medians of %d" % (
            name, statistics.median(rates["on"]) / 1e9, statistics.median(rates["off"]) / 1e9, 100 * share, TURNS), rates)


# ---- disturbances ------------------------------------------------------------------------------------------------


def floods(scene, deadline):
    """Floods of what is refused, and nothing else."""
    time.sleep(max(0.0, deadline - time.monotonic()))
    return 1


def changes(scene, deadline):
    """Policies that change."""
    number = 0
    while time.monotonic() < deadline:
        scene.apply("ba"[number % 2])
        number += 1
    return number


def restarts(scene, deadline):
    """Restarts, half of them by SIGKILL."""
    number = 0
    while time.monotonic() < deadline:
        scene.node.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
        time.sleep(scene.random.uniform(0, 0.2))
        scene.start_and_wait()
        number += 1
    return number


def churn(scene, deadline):
    """Containers that come and go."""
    number = 0
    while time.monotonic() < deadline:
        guest = scene.lab.container("guest%d" % number, "br-one", "prod", ("web", "api", "db")[number % 3])
        scene.node.wait_endpoints([guest])
        scene.lab.remove(guest)
        number += 1
    return number


def is_whole(kind, result):
    """Did the stream run to its end, with nothing lost and no second without a byte?"""
    if "error" in result:
        return False
    if kind == "udp":
        return result["end"]["sum"]["lost_packets"] == 0 and result["end"]["sum"]["packets"] > 0
    return all(interval["sum"]["bytes"] > 0 for interval in result["intervals"])


def summary(kind, result):
    if "error" in result:
        return result["error"]
    end = result["end"]
    if kind == "udp":
        return "%d of %d datagrams lost" % (end["sum"]["lost_packets"], end["sum"]["packets"])
    return "%.0f Mbit/s, %d segments sent again" % (bits(result) / 1e6, end["sum_sent"].get("retransmits", 0))


def disturbed(scene, disturb):
    """Streams and connections through one disturbance, under floods."""
    report, what = scene.report, disturb.__doc__.split(",")[0].rstrip(".")
    report.note(disturb.__doc__)
    short = [start_program(scene.lab, scene.parties[source], "connect", scene.parties[target].addr[family], SERVICE_PORT)
             for source, target, family in STREAMS]
    streams = []
    for number, pair in enumerate(STREAMS):
        # The paced ones stay below what the machine can do, so that they may not lose anything.
        for kind, options in (("tcp", ["-b", PACED]), ("udp", ["-u", "-b", PACED, "-l", "1200", "-w", "2M"])):
            streams.append((kind, Iperf(scene, IPERF_PORT + len(streams), *pair, "-t", str(SECONDS + 1), *options)))
    scene.floods.start()
    count = disturb(scene, time.monotonic() + SECONDS)
    results = [(kind, stream, stream.result(30)) for kind, stream in streams]
    sent, arrived = scene.floods.stop()
    report.check(not arrived and sent > 1000, "%s (%d): nothing of %d packets of the floods arrived" % (what, count, sent), arrived)
    for kind, stream, result in results:
        report.check(is_whole(kind, result), "%s: %s %s: %s" % (what, kind, stream.what, summary(kind, result)),
                     result.get("error", result.get("end")))
    accounts = [program.stop() for program in short]
    n_ok = sum(account["ok"] for account in accounts)
    report.check(not any(account["failed"] for account in accounts) and n_ok > 50 * SECONDS,
                 "%s: %d connections, none reset or refused" % (what, n_ok), accounts)


def control_cut(scene):
    """A policy without the grant breaks a stream and connections: these checks would see it."""
    stream = Iperf(scene, IPERF_PORT, *STREAMS[0], "-t", "6", "-b", PACED)
    short = start_program(scene.lab, scene.parties["web-1"], "connect", scene.parties["api-1"].addr[4], SERVICE_PORT)
    time.sleep(0.5)
    scene.policies["closed"] = scene.policies["a"] + ".closed.yaml"
    with open(scene.policies["closed"], "w") as file:
        file.write(COMMON[: COMMON.rindex("allow:")])
    scene.apply("closed")
    try:
        whole = is_whole("tcp", stream.result(8))
    except LabError:
        whole = False
    account = short.stop()
    scene.report.check(not whole and account["failed"], "a stream and connections are cut", account)


if __name__ == "__main__":
    disturbances = ((disturbed, disturb) for disturb in (floods, changes, restarts, churn))
    sys.exit(play("legitimate traffic", PER_SECOND, (cost,), *disturbances, (control_cut,)))
