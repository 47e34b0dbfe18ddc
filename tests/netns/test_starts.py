#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Containers that send from their first instruction, one after the other, with everything about them used again.

    test_starts.py [STARTS]

STARTS: the proof is 1,000; without it, what fits into 20 seconds. Each is a namespace whose name, whose interface's name
and whose addresses another one has just had, perhaps one with other rights. Its sender runs before there is an interface.
Nothing of it may arrive before it has its identity; from then on the service hears it, or never does, as its identity says.
The time counts from the order that gives it the last of address and name.
"""
import socket
import sys
import time

from storm import SERVICE_PORT, Scene, bounded

import frames as f
from crafted import host_link, own_link
from lab import Container
from tap import Report
from traffic import Program

STARTS, SECONDS = (int(sys.argv[1]), None) if len(sys.argv) > 1 else (1000, 20)
PLACES = 3  # sets of a name, a port and addresses that go round
PER_SECOND = 2000  # attempts of each sender
CLOSED = 0.03  # seconds on its bridge without a name
LIMIT_MS = 100  # SPEC section 4
TARGETS = (("api-1", "br-one"), ("api-2", "br-two"))


class Ear:
    """A socket of a service, and when it heard from an address."""

    def __init__(self, party, family):
        with f.inside(party):
            self.sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        if family == 6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, f.SO_RCVBUFFORCE, 8 << 20)
        self.sock.bind(("", SERVICE_PORT))

    def drain(self, source):
        """How many datagrams from this address are here."""
        count = 0
        self.sock.setblocking(False)
        try:
            while True:
                count += self.sock.recvfrom(64)[1][0] == source
        except BlockingIOError:
            return count

    def hear(self, source, patience):
        """The moment a datagram from this address comes, or None."""
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                if self.sock.recvfrom(64)[1][0] == source:
                    return time.monotonic()
            except TimeoutError:
                pass
        return None


class Starts:
    """One start after the other."""

    def __init__(self, scene):
        self.scene, self.lab = scene, scene.lab
        self.ears = {(name, family): Ear(scene.parties[name], family) for name, _ in TARGETS for family in (4, 6)}
        self.addrs = [self.lab.bridges["br-one"].next_addr() for _ in range(PLACES)]
        self.macs = {name: own_link(scene.parties[name])[0] for name, _ in TARGETS}
        self.failures, self.times, self.n_closed, self.sent = [], [], 0, 0

    def make(self, number, name, family):
        """A container whose sender runs, off its bridge. Its neighbour is set: ARP's own retry is no part of the time."""
        place, lab, target = number % PLACES, self.lab, self.scene.parties[name]
        container = lab._namespace("again%d" % place, Container, lab.bridges["br-one"], "veth-again%d" % place, self.addrs[place])
        program = Program(container, "ms-flood", target.addr[family], SERVICE_PORT, PER_SECOND, ready=False)
        near = target.bridge is container.bridge
        hop = target.addr[family] if near else container.bridge.gateway[family]
        mac = self.macs[name] if near else host_link(lab.host, "br-one")[0]
        lab.host.ip("link add %s type veth peer name eth0 netns %s" % (container.port, container.netns))
        container.ip("link set eth0 up", *container.address_lines(container.addr),
                     "neigh replace %s lladdr %s dev eth0 nud permanent" % (hop, mac.hex(":")))
        return container, program

    def end(self, container, program):
        self.sent += program.stop()["udp"]
        self.lab.remove(container)

    def closed(self, number, ear, source, when):
        """Nothing has come so far."""
        count = ear.drain(source)
        self.n_closed += 1
        if count:
            self.failures.append("start %d: %d datagrams arrived %s" % (number, count, when))

    def one(self, number):
        name, _ = TARGETS[number % 2]
        family = (4, 6)[number // 2 % 2]
        allowed, name_first = number % 4 != 3, number % 3 == 2
        ear = self.ears[name, family]
        container, program = self.make(number, name, family)
        source = container.addr[family]
        ear.drain(source)
        container.labels = {"io.microseg.env": "prod" if allowed else "dev", "io.microseg.service": "web"}
        steps = [self.lab.attach, self.lab.identify]
        first, last = steps[::-1] if name_first else steps
        first(container)
        time.sleep(CLOSED)
        self.closed(number, ear, source, "before it was on its bridge" if name_first else "before it had a name")
        ordered = time.monotonic()
        last(container)
        if allowed:
            heard = ear.hear(source, 5)
            self.times.append((heard - ordered) * 1000 if heard else 5000.0)
        else:
            time.sleep(3 * CLOSED)
            self.closed(number, ear, source, "of one that may not call")
        self.end(container, program)


def control(starts):
    """Without microseg such a start is heard before it has a name."""
    ear = starts.ears["api-1", 4]
    container, program = starts.make(0, "api-1", 4)
    starts.lab.attach(container)
    heard = ear.hear(container.addr[4], 5)
    starts.scene.report.check(heard, "no microseg: what it sends arrives")
    starts.end(container, program)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def many(starts):
    """Starts without end."""
    report, starts.sent = starts.scene.report, 0
    n_starts = 0
    for number in bounded(range(STARTS), SECONDS):
        starts.one(number)
        n_starts += 1
    report.check(not starts.failures and starts.sent > 20 * n_starts,
                 "%d starts, %d datagrams sent: none arrives before its sender is known, or by one that may not" % (
                     n_starts, starts.sent), "\n".join(starts.failures))
    p50, p95, p99 = (percentile(starts.times, share) for share in (0.5, 0.95, 0.99))
    text = "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms of %d" % (p50, p95, p99, max(starts.times), len(starts.times))
    # Of a short run the slowest is all there is beyond the 99th: that says more of the machine.
    report.check((p99 if n_starts >= 300 else p95) <= LIMIT_MS, "first packet after address and name are there: " + text)


def main():
    report = Report("starts")
    scene = Scene(report, PER_SECOND)
    with scene.lab:
        starts = Starts(scene)
        report.section(control, starts)
        scene.start_and_wait(scene.policies["a"])
        scene.node.wait_endpoints(scene.parties.values())
        report.section(many, starts)
        if report.failed:
            report.note("microsegd said:\n" + scene.node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
