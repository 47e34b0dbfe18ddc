#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Revocation: what a new policy or another identity no longer allows is cut within a second, and nothing else is touched.

With 100,000 tracked flows resident: TCP, UDP and ICMP, the client or the server speaking, loose pick-up on and off. Streams
that stay allowed lose not one packet. An address that another container takes over inherits no flow of the one before.
$MS_FLOWS chooses another number of resident flows.
"""
import collections
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

from wire import ENVIRONMENTS, Sink, build, meet

import frames as f
from crafted import own_link
from lab import wait_for
from node import Node
from tap import Report

FLOWS = int(os.environ.get("MS_FLOWS", "100000"))
LIMIT = 1.0  # seconds from the commit to the last packet of a flow that is cut: SPEC section 3
ORDERED = 0.5  # where somebody ordered a policy, the look at the connections waits for nothing
PERIOD = 0.01
POLICY = """---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow:
  - {from: web, ports: [tcp/8080, udp/9000, udp/9500]}
  - {from: other, ports: [%s], ping: %s}
"""
OPEN = "tcp/8080, udp/9000", "true"
CLOSED = "tcp/9999", "false"


# ---- streams -----------------------------------------------------------------------------------------------------


def make(party, family, kind, proto=0):
    with f.inside(party):
        sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.settimeout(0.05)
    return sock


class Stream:
    """Traffic of one flow: numbered packets, and when the last of them arrived."""

    def __init__(self, name):
        self.name = name
        self.sent = self.received = 0
        self.last = 0.0
        self.error = None
        self.socks = []  # the one that sends, and the one that receives if that is another

    def speak(self):
        try:
            self.put(struct.pack("!I", self.sent))
        except OSError as error:  # an ICMP error, a reset, a full buffer
            self.error = error
        self.sent += 1

    def listen(self):
        try:
            self.received += self.take()
            self.last = time.monotonic()
        except BlockingIOError:
            pass
        except OSError as error:
            self.error = error

    def put(self, data):
        self.socks[0].send(data)

    def close(self):
        for sock in self.socks:
            sock.close()


class Pump:
    """Keeps streams going, all in one thread."""

    def __init__(self, streams):
        self.streams = streams
        self.speaking = self.on = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        poll = select.epoll()
        by_fd = {stream.socks[-1].fileno(): stream for stream in self.streams}
        for stream in self.streams:
            stream.socks[-1].setblocking(False)
            stream.socks[0].setblocking(False)
            poll.register(stream.socks[-1], select.EPOLLIN)
        following = time.monotonic()
        while self.on:
            for fd, _ in poll.poll(max(0.0, following - time.monotonic())):
                by_fd[fd].listen()
            if time.monotonic() >= following:
                following = max(following + PERIOD, time.monotonic())
                for stream in self.streams if self.speaking else ():
                    stream.speak()
        poll.close()

    def stop(self):
        """Stops the speakers, and lets what is under way arrive."""
        self.speaking = False
        time.sleep(0.3)
        self.on = False
        self.thread.join()
        for stream in self.streams:
            stream.close()


class Datagrams(Stream):
    """UDP to a sink that counts, and answers so that the flow is an established one."""

    def __init__(self, name, src, dst, family, port, sport):
        super().__init__(name)
        out, into = make(src, family, socket.SOCK_DGRAM), make(dst, family, socket.SOCK_DGRAM)
        out.bind((src.addr[family], sport))
        into.bind((dst.addr[family], port))
        out.connect((dst.addr[family], port))
        into.connect((src.addr[family], sport))
        self.socks = [out, into]

    def take(self):
        count = len(self.socks[1].recv(64)) // 4
        self.socks[1].send(b"yes")
        return count


class Connection(Stream):
    """TCP. The one that speaks may be the one that accepted."""

    def __init__(self, name, src, dst, family, port, server_speaks):
        super().__init__(name)
        door, out = make(dst, family, socket.SOCK_STREAM), make(src, family, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((dst.addr[family], port))
        door.listen(4)
        out.settimeout(2)
        out.connect((dst.addr[family], port))
        into, _ = door.accept()
        door.close()
        self.socks = [into, out] if server_speaks else [out, into]

    def take(self):
        data = self.socks[1].recv(4096)
        if not data:
            raise ConnectionResetError
        return len(data) // 4


class Echoes(Stream):
    """Echo requests of one id, and their answers."""

    def __init__(self, name, src, dst, family):
        super().__init__(name)
        sock = make(src, family, socket.SOCK_DGRAM, socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6)
        sock.connect((dst.addr[family], 0))
        self.kind = 8 if family == 4 else 128
        self.socks = [sock]

    def put(self, data):
        self.socks[0].send(struct.pack("!BBHHH", self.kind, 0, 0, 0, self.sent & 0xFFFF) + data)

    def take(self):
        return 1 if self.socks[0].recv(64) else 0


def streams_of(src, servers, what, sport):
    """One stream of each kind to each server."""
    made = []
    for name, dst in servers.items():
        for family in (4, 6):
            label = "%s IPv%d %s -> %s" % (what, family, src.name, name)
            sport += 1
            made += [Datagrams("UDP, " + label, src, dst, family, 9000, sport),
                     Connection("TCP, client speaking, " + label, src, dst, family, 8080, False),
                     Connection("TCP, server speaking, " + label, src, dst, family, 8080, True)]
            if what == "to be cut":
                made.append(Echoes("ICMP, " + label, src, dst, family))
    return made


# ---- many flows -----------------------------------------------------------------------------------------------------


def resident(host):
    return int(host.run("sysctl", "-n", "net.netfilter.nf_conntrack_count").stdout)


def fill(ends, parties, count):
    """Flows that stay allowed, each one datagram old."""
    client = ends["client"]
    parties["host"].sysctl({"net.netfilter.nf_conntrack_udp_timeout": 900})
    done = 0
    for name in ("server", "far"):
        for family in (4, 6):
            data = bytearray(client.ether(ends[name], family, client.packet(ends[name], family, f.UDP, f.udp(
                client.party.addr[family], ends[name].party.addr[family], 0, 9500, b""))))
            at = 34 if family == 4 else 54
            data[at + 6 : at + 8] = b"\0\0" if family == 4 else data[at + 6 : at + 8]
            total = struct.unpack_from("!H", data, at + 6)[0]
            for sport in range(10000, 10000 + count // 4):
                struct.pack_into("!H", data, at, sport)
                if family == 6:  # the checksum of IPv6 cannot be left out
                    rest = total - sport
                    struct.pack_into("!H", data, at + 6, rest if rest > 0 else rest + 0xFFFF)
                client.sender.send(data)
                done += 1
    return done


# ---- the parts --------------------------------------------------------------------------------------------------------


def apply(node, ports, ping):
    """Applies a policy. Returns when it was asked for, and when that was done: the commit lies between."""
    path = os.path.join(node.lab.dir, "policy.yaml")
    with open(path, "w") as file:
        file.write(ENVIRONMENTS + POLICY % (ports, ping))
    asked = time.monotonic()
    answer = node.cli("apply", "--yes", "-p", path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return asked, time.monotonic()


def judged(report, what, cut, kept, commit, limit):
    """The first ended within the limit, the others lost nothing."""
    asked, done = commit
    for stream in cut:
        report.check(stream.received and stream.last - done < limit and stream.sent > stream.received,
                     "%s: %s: cut" % (what, stream.name), "last packet %.3f s after apply returned; %d of %d arrived %s" % (
                         stream.last - done, stream.received, stream.sent, stream.error or ""))
    last = max(stream.last for stream in cut)
    report.note("%s: last packet of a flow that was cut: %.0f ms after the change was asked for, %.0f ms after it was answered" % (
        what, 1000 * (last - asked), 1000 * (last - done)))
    for stream in kept:
        report.check(stream.received == stream.sent and not stream.error, "%s: %s: not one packet lost" % (what, stream.name),
                     "%d of %d arrived %s" % (stream.received, stream.sent, stream.error or ""))


def revoked_by_policy(report, node, parties, loose):
    """A policy without the grant."""
    what = "loose %d, %d flows tracked" % (loose, resident(parties["host"]))
    parties["host"].sysctl({"net.netfilter.nf_conntrack_tcp_loose": loose})
    servers = {name: parties[name] for name in ("server", "far")}
    apply(node, *OPEN)
    cut = streams_of(parties["attacker"], servers, "to be cut", 20000 + loose * 100)
    kept = streams_of(parties["client"], servers, "kept", 21000 + loose * 100)
    run_and_cut(report, what, cut, kept, lambda: apply(node, *CLOSED), ORDERED)


def run_and_cut(report, what, cut, kept, change, limit):
    pump = Pump(cut + kept)
    time.sleep(0.5)
    idle = [stream.name for stream in cut + kept if not stream.received]
    report.equal(idle, [], "%s: all %d streams flow" % (what, len(cut + kept)))
    commit = change()
    time.sleep(LIMIT + 0.5)
    pump.stop()
    judged(report, what, cut, kept, commit, limit)


def revoked_by_identity(report, node, parties):
    """The same endpoint becomes another service."""
    servers = {name: parties[name] for name in ("server", "far")}
    attacker = parties["attacker"]
    apply(node, *OPEN)
    cut = streams_of(attacker, servers, "to be cut", 22000)
    kept = streams_of(parties["client"], servers, "kept", 22500)

    def change():
        attacker.labels["io.microseg.service"] = "stranger"
        asked = time.monotonic()
        node.lab.identify(attacker)
        node.wait_endpoints([attacker])
        return asked, time.monotonic()

    run_and_cut(report, "identity", cut, kept, change, LIMIT)
    attacker.labels["io.microseg.service"] = "other"
    node.lab.identify(attacker)
    node.wait_endpoints([attacker])


def all_cut(report, node, parties, ends):
    """All of the many flows go at once."""
    host = parties["host"]
    apply(node, *OPEN)
    before = resident(host)
    path = os.path.join(node.lab.dir, "policy.yaml")
    with open(path, "w") as file:
        file.write(ENVIRONMENTS + (POLICY % OPEN).replace(", udp/9500", ""))
    answer = node.cli("apply", "--yes", "-p", path)
    commit = time.monotonic()
    wait_for(lambda: resident(host) < before - 0.9 * FLOWS, "the flows to be cut", 10)
    took = time.monotonic() - commit
    report.check(answer.returncode == 0 and took < LIMIT, "%d flows cut at once" % (before - resident(host)), "%.2f s" % took)
    report.note("%d flows cut at once: %.2f s after apply returned" % (before - resident(host), took))


def flood(sock, data, target):
    """Sends until the returned event is set."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            try:
                sock.sendto(data, target)
            except OSError:
                pass

    threading.Thread(target=run, daemon=True).start()
    return stop


def heir(report, node, parties, ends):
    """An address goes over to another container, which uses the flow's own ports: it inherits nothing, not for a moment."""
    lab, server = node.lab, ends["server"]
    first, second = (lab.container(name, "br-one", "prod", service) for name, service in (("first", "web"), ("heir", "stranger")))
    meet({"first": first, "heir": second, "server": parties["server"]})
    node.wait_endpoints([first, second])
    for family, size in ((4, 32), (6, 128)):
        flow = Datagrams("flow", first, parties["server"], family, 9000, 23000)
        pump = Pump([flow])
        wait_for(lambda: flow.received > 3, "the flow of the first owner")
        pump.stop()
        node.process.send_signal(signal.SIGSTOP)  # so that the daemon learns of both at once
        first.ip("addr flush dev eth0 to %s" % first.addr[family])
        second.ip("addr add %s/%d dev eth0 %s" % (first.addr[family], size, "nodad" if family == 6 else ""),
                  # It knows whom to send to, and waits for no answer.
                  "neigh replace %s lladdr %s dev eth0 nud permanent" % (parties["server"].addr[family], server.mac.hex(":")))
        out = make(second, family, socket.SOCK_DGRAM)
        out.bind((first.addr[family], 23000))
        mark = b"MSheir%d" % family
        server.tap.now()
        stop = flood(out, mark, (parties["server"].addr[family], 9000))
        time.sleep(0.2)
        node.process.send_signal(signal.SIGCONT)
        wait_for(lambda: any(first.addr[family] in row["addresses"] for row in node.endpoints() if row["interface"] == second.port),
                 "the address to be the heir's")
        time.sleep(0.5)
        stop.set()
        # Sent by itself: the host's refusals quote it, and are flooded while the bridge does not know its MAC.
        arrived = sum(mark in data and data[6:12] == own_link(second)[0] for data in server.tap.read())
        report.equal(arrived, 0, "IPv%d: no packet of the heir arrives by the flow of the one before" % family)
        out.close()
    lab.remove(first)
    lab.remove(second)


def twin(report, node, parties, ends):
    """A port dies, and one comes with its name, number, MAC and addresses, all before anybody looks: it inherits nothing."""
    lab, server = node.lab, ends["server"]
    dead, heir = lab.container("dead", "br-one", "prod", "web"), lab.container("twin", "br-one", "prod", "stranger", up=False)
    meet({"dead": dead, "server": parties["server"]})
    node.wait_endpoints([dead])
    flows = [Datagrams("flow", dead, parties["server"], family, 9000, 23100) for family in (4, 6)]
    pump = Pump(flows)
    wait_for(lambda: all(flow.received > 3 for flow in flows), "the flows of the dead one")
    pump.stop()
    number = json.loads(lab.host.run("ip", "-j", "link", "show", "dev", dead.port).stdout)[0]["ifindex"]
    mac = own_link(dead)[0].hex(":")
    node.process.send_signal(signal.SIGSTOP)
    lab.host.ip("link del %s" % dead.port, "link del %s" % heir.port,
                "link add %s index %d type veth peer name eth0 address %s netns %s" % (dead.port, number, mac, heir.netns))
    heir.port = dead.port
    lab.identify(heir)
    lab.attach(heir)
    heir.ip("link set eth0 up", *heir.address_lines(dead.addr),
            *("neigh replace %s lladdr %s dev eth0 nud permanent" % (addr, server.mac.hex(":"))
              for addr in parties["server"].addr.values()))
    server.tap.now()
    socks, stops = [], []
    for family in (4, 6):
        socks.append(make(heir, family, socket.SOCK_DGRAM))
        socks[-1].bind((dead.addr[family], 23100))
        stops.append(flood(socks[-1], b"MStwin%d" % family, (parties["server"].addr[family], 9000)))
    time.sleep(0.2)
    node.process.send_signal(signal.SIGCONT)
    wait_for(lambda: any(row["interface"] == heir.port and row["identity"] == "prod/stranger" and len(row["addresses"]) > 1
                         for row in node.endpoints()), "the twin to be known")
    time.sleep(0.5)
    for sock, stop in zip(socks, stops):
        stop.set()
        sock.close()
    arrived = collections.Counter(data[data.index(b"MStwin"):][:7] for data in server.tap.read()
                                  if b"MStwin" in data and data[6:12].hex(":") == mac)
    report.equal(arrived, {}, "no packet of a twin arrives by the flows of the one before")
    lab.remove(heir)
    dead.close()
    lab.namespaces.remove(dead)


def main():
    report = Report("revocation")
    lab, parties, ends = build()
    with lab:
        sinks = [Sink(parties[name], 9500) for name in ("server", "far")]
        node = Node(lab)
        with open(node.config, "a") as config:
            config.write("limits: {connections: 0}\n")  # all the many flows are of one address
        node.start()
        apply(node, *OPEN)
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        meet(parties)
        started = time.monotonic()
        fill(ends, parties, FLOWS)
        report.check(resident(lab.host) >= FLOWS, "%d flows are tracked" % FLOWS, resident(lab.host))
        report.note("%d flows made in %.1f s" % (resident(lab.host), time.monotonic() - started))
        for loose in (1, 0):
            report.section(revoked_by_policy, report, node, parties, loose)
        report.section(revoked_by_identity, report, node, parties)
        report.section(heir, report, node, parties, ends)
        report.section(twin, report, node, parties, ends)
        report.section(all_cut, report, node, parties, ends)
        del sinks
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
