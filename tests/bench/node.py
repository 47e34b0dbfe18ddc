#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bench of a node: how fast microsegd answers a change of an interface, what it weighs, how fast it restarts.

    tests/bench/node.py [--sizes 100,1000,10000] [--samples 200] [--services 100] [-o text|json]

As root, after a build ($MS_BUILD names another build directory than build/). For each size it makes that many resident
endpoints, starts the daemon, and reports

    join, leave     from the system call that gives a veth to a bridge, or takes it away, to the end of the transaction
                    that holds the elements of its address, in milliseconds
    address         the same from an address set inside the container
    ... call        of these, the system call itself: what the kernel does before anybody can answer
    cpu             the daemon's time on a processor for each of those changes, the kernel's work for it included: what a
                    busy machine adds to the others is not in it
    rss             the daemon's resident memory, and what one endpoint adds to it
    restart         from the start of the process after SIGTERM, and after SIGKILL, to READY=1, with the transactions that
                    changed our tables meanwhile (none is needed)

Residents are veth pairs as an engine makes them: the near end a port of a bridge, labelled by its alias, the far end in
another namespace with an IPv4 and an IPv6 address and a link-local one. A thousand of them share one namespace and one
bridge, for the machine's sake; microsegd tells endpoints apart by the pair and never counts namespaces. Nothing is sent.
Those that come and go have a bridge and a namespace of their own, where nothing grows. The clock is read before the system
call, so the time of the bench's own scheduling is in every figure, and of the kernel's own work on the port.
"""
import argparse
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from lab import LEASH, Lab, LabError, wait_for  # noqa: E402
from node import BUILD, Node  # noqa: E402
from traffic import Ready  # noqa: E402

LAG = os.path.join(BUILD, "tests", "bench", "ms-lag")
PER_BRIDGE = 1000  # the kernel takes 1,024 ports
TRAVELLERS = 8  # veths that join and leave a bridge
START_PATIENCE = 300  # seconds
TIMES = [what + call for what in ("join", "leave", "address") for call in ("", " call")]

POLICY_HEAD = """apiVersion: microseg/v1
kind: Environments
identity: {env: [io.microseg.env], service: [io.microseg.service]}
unidentified: {mode: enforce}
environments:
  prod: {mode: enforce, resolvers: [gateway]}
  dev: {mode: enforce, resolvers: [gateway]}
"""
POLICY_SERVICE = """---
apiVersion: microseg/v1
kind: Service
service: s%d
env: [prod, dev]
ports: {http: tcp/8080, metrics: tcp/9100}
allow:
  - {from: [s%d, s%d], ports: [http], ping: true}
  - {from: self, ports: [metrics]}
"""


def write_policy(path, n_services):
    """Services that call one another in a ring."""
    with open(path, "w") as file:
        file.write(POLICY_HEAD)
        for number in range(n_services):
            file.write(POLICY_SERVICE % (number, (number + 1) % n_services, (number + 7) % n_services))


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


class Field:
    """A host with bridges full of endpoints, and a few veths that come and go."""

    def __init__(self, n_services):
        self.lab = Lab()
        self.n_services = n_services
        self.n_residents = 0
        # One address is in many subnets here, and no packet flows: nobody need be asked whether it is taken.
        self.lab.host.sysctl({"net.ipv6.conf.default.accept_dad": 0})
        self.bridges = []
        self.peers = []
        # What the kernel does to add a port grows with the ports of the bridge: travellers have one of their own.
        self.yard = self.lab.bridge("br-yard", "10.99.0.0/16", "fd99::/64")
        self.yard_peers = self.lab._namespace("yard", type(self.lab.outside))
        self.travellers = [self._make_traveller(number) for number in range(TRAVELLERS)]

    def close(self):
        self.lab.close()

    def alias(self, number):
        return "io.microseg.env=%s io.microseg.service=s%d" % (("prod", "dev")[number % 2], number // 2 % self.n_services)

    def _add_bridge(self):
        number = len(self.bridges)
        self.bridges.append(self.lab.bridge("br-b%d" % number, "10.%d.0.0/16" % (100 + number), "fd%02x::/64" % number))
        self.peers.append(self.lab._namespace("peers%d" % number, type(self.lab.outside)))

    def _make_traveller(self, number):
        """Its name matches no pattern: off its bridge it is none of microsegd's business."""
        name, addr = "tr%d" % number, "10.99.200.%d" % (number + 1)
        peers = self.yard_peers
        self.lab.host.ip("link add %s type veth peer name t%d netns %s" % (name, number, peers.netns),
                         "link set %s alias %s" % (name, json.dumps(self.alias(number))), "link set %s up" % name)
        peers.ip("link set t%d up" % number, "addr add %s/32 dev t%d" % (addr, number))
        return name, "t%d" % number, addr

    def grow(self, n_wanted):
        """Adds residents up to this number."""
        while self.n_residents < n_wanted:
            bridge = self.n_residents // PER_BRIDGE
            if bridge == len(self.bridges):
                self._add_bridge()
            count = min(n_wanted, (bridge + 1) * PER_BRIDGE) - self.n_residents
            self._add(bridge, range(self.n_residents, self.n_residents + count))
            self.n_residents += count

    def _add(self, bridge, numbers):
        peers = self.peers[bridge]
        near, far = [], []
        for number in numbers:
            name, low = "vethb%d" % number, number % PER_BRIDGE + 256
            near += ["link add %s type veth peer name e%d netns %s" % (name, number, peers.netns),
                     "link set %s alias %s" % (name, json.dumps(self.alias(number))),
                     "link set %s master %s up" % (name, self.bridges[bridge].name)]
            far += ["link set e%d up" % number,
                    "addr add 10.%d.%d.%d/32 dev e%d" % (100 + bridge, low // 256, low % 256, number),
                    "addr add fd%02x::%x/128 dev e%d nodad" % (bridge, low, number)]
        self.lab.host.run("ip", "-batch", "-", stdin="\n".join(near) + "\n", timeout=600)
        peers.run("ip", "-batch", "-", stdin="\n".join(far) + "\n", timeout=600)


class Lag:
    """ms-lag in the host namespace."""

    def __init__(self, host):
        self.process = subprocess.Popen([*LEASH, *host.command(LAG)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        if not line or line == "timeout":
            raise LabError("ms-lag %s: %s" % (" ".join(words), line or "it ended"))
        return line

    def ms(self, *words):
        """(milliseconds to the end of the transaction, of which the system call took)"""
        total, call = self.ask(*words).split()
        return int(total) / 1000, int(call) / 1000

    def transactions(self):
        """(all, those that changed our tables) since it was last asked anything."""
        return tuple(map(int, self.ask("drain").split()))

    def close(self):
        self.process.stdin.close()
        self.process.wait(5)


def rss_kib(node, key="VmRSS"):
    with open("/proc/%d/status" % node.process.pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":"))


def wait_resident(node, n_residents):
    """Until the kernel holds them all: the last one's address stands in a table of ours."""
    def counted():
        return len([row for row in node.endpoints() if row["ready"] and row["identity"] != "unidentified"]) >= n_residents

    wait_for(counted, "%d endpoints" % n_residents, START_PATIENCE, 0.5)


def cpu_ms(node):
    with open("/proc/%d/schedstat" % node.process.pid) as schedstat:
        return int(schedstat.read().split()[0]) / 1e6


def note(found, what, took):
    """Notes the two times of ms-lag."""
    for name, value in zip((what, what + " call"), took):
        found.setdefault(name, []).append(value)


def measure_lag(field, node, lag, n_samples):
    """{what: [milliseconds, …]}"""
    bridge = field.yard.name
    found = {"cpu": []}
    since_ms = cpu_ms(node)
    for number in range(n_samples):
        port, inner, addr = field.travellers[number % TRAVELLERS]
        note(found, "join", lag.ms("join", bridge, port, addr))
        if number % 2:
            other = "10.99.%d.%d" % (201 + number // 200, number % 200 + 1)
            note(found, "address", lag.ms("address", field.yard_peers.path, inner, other))
            lag.ms("address", field.yard_peers.path, inner, addr)
        note(found, "leave", lag.ms("leave", bridge, port, addr))
        found["cpu"].append((cpu_ms(node) - since_ms) / (4 if number % 2 else 2))
        since_ms = cpu_ms(node)
    return found


def measure_restart(node, ready, lag, number):
    """(milliseconds to READY=1, transactions that changed our tables) of a restart after this signal."""
    node.stop(number)
    lag.transactions()
    node.start(wait=False)
    took = ready.wait(node, START_PATIENCE)
    time.sleep(0.5)  # what comes late counts as well
    return took, lag.transactions()[1]


def measure(field, node, ready, lag, size, n_samples, base_kib):
    node.start(policy=field.policy, wait=False)
    row = {"endpoints": size, "first_start_ms": ready.wait(node, START_PATIENCE)}
    wait_resident(node, size)
    row["rss_kib"] = rss_kib(node)
    row["rss_peak_kib"] = rss_kib(node, "VmHWM")
    row["bytes_per_endpoint"] = (row["rss_kib"] - base_kib) * 1024 // size if base_kib else None
    for what, values in measure_lag(field, node, lag, n_samples).items():
        row[what.replace(" ", "_") + "_ms"] = [round(percentile(values, part), 3) for part in (0.5, 0.99)] + [round(max(values), 3)]
    for name, number in (("SIGTERM", 15), ("SIGKILL", 9)):
        took, transactions = measure_restart(node, ready, lag, number)
        row["restart_%s_ms" % name.lower()] = round(took, 1)
        row["restart_%s_transactions" % name.lower()] = transactions
    node.stop()
    return row


def show(row):
    print("%(endpoints)d endpoints: first start %(first_start_ms).0f ms, rss %(rss_kib)d KiB (peak %(rss_peak_kib)d), "
          "%(bytes_per_endpoint)s bytes an endpoint" % row)
    for what in (*TIMES, "cpu"):
        print("    %-12s p50 %8.3f ms   p99 %8.3f ms   max %8.3f ms" % (what, *row[what.replace(" ", "_") + "_ms"]))
    for name in ("sigterm", "sigkill"):
        print("    restart after %s: %.0f ms to READY, %d transactions that changed our tables"
              % (name.upper(), row["restart_%s_ms" % name], row["restart_%s_transactions" % name]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,1000,10000", help="numbers of resident endpoints, rising")
    parser.add_argument("--samples", type=int, default=200, help="joins and leaves at each size")
    parser.add_argument("--services", type=int, default=100, help="services in each of two environments")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    args = parser.parse_args()

    field = Field(args.services)
    field.policy = os.path.join(field.lab.dir, "bench.yaml")
    write_policy(field.policy, args.services)
    node = Node(field.lab)
    ready = Ready(field.lab)
    lag = Lag(field.lab.host)
    node.start(policy=field.policy, wait=False)
    ready.wait(node, START_PATIENCE)
    base_kib = rss_kib(node)
    node.stop()
    rows = []
    for size in map(int, args.sizes.split(",")):
        field.grow(size)
        rows.append(measure(field, node, ready, lag, size, args.samples, base_kib))
        if args.output == "text":
            show(rows[-1])
    if args.output == "json":
        print(json.dumps({"base_rss_kib": base_kib, "rows": rows}, indent=1))
    lag.close()
    field.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
