# SPDX-License-Identifier: GPL-2.0-or-later
"""Traffic: the load of the tests that put microseg under load, and the counting of what of it arrives.

Program is ms-flood or ms-flows in a namespace of the lab. Arrivals counts in the kernel of the receiving namespace, in a
table of its own there, so that no packet is missed however many there are. Ready is where a daemon says READY=1.
"""
import json
import os
import socket
import subprocess
import time

from lab import LEASH, LabError
from node import BUILD

FLOOD_PORT = 7000  # no policy grants it
TABLE = """table inet arrivals {
	counter datagrams { }
	counter connections { }
	chain arriving {
		type filter hook prerouting priority -400;
		udp dport %(port)d counter name datagrams
		tcp dport %(port)d tcp flags & (syn | ack) == syn counter name connections
	}
}
"""


class Program:
    """A program that runs until its standard input ends, and answers a line with a line of JSON."""

    def __init__(self, namespace, name, *args, ready=True):
        self.what = "%s in %s" % (" ".join((name,) + tuple(map(str, args))), namespace.name)
        self.process = subprocess.Popen(
            [*LEASH, *namespace.command(os.path.join(BUILD, "tests", "netns", name), *map(str, args))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ready:
            self._line()

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            raise LabError("%s ended: %s" % (self.what, self.process.stderr.read()))
        return json.loads(line)

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def stop(self):
        """Its last account."""
        self.process.stdin.close()
        account = self._line()
        self.process.wait(15)
        return account

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Arrivals:
    """Counts what reaches a namespace at the port of the floods."""

    def __init__(self, namespace, port=FLOOD_PORT):
        self.namespace = namespace
        namespace.run("nft", "-f", "-", stdin=TABLE % {"port": port})

    def count(self):
        """{"datagrams": packets, "connections": first packets of them} since the last forget()."""
        listed = json.loads(self.namespace.run("nft", "-j", "list", "counters", "table", "inet", "arrivals").stdout)
        return {item["counter"]["name"]: item["counter"]["packets"] for item in listed["nftables"] if "counter" in item}

    def forget(self):
        self.namespace.run("nft", "reset", "counters", "table", "inet", "arrivals")


class Floods:
    """Senders that never stop, each to a place it may not reach: pairs of (source, destination, family)."""

    def __init__(self, pairs, per_second, port=FLOOD_PORT):
        self.pairs = pairs
        self.per_second = per_second
        self.port = port
        self.arrivals = {target: Arrivals(target, port) for target in {target for _, target, _ in pairs}}
        self.programs = []

    def start(self):
        for arrivals in self.arrivals.values():
            arrivals.forget()
        self.programs = [Program(source, "ms-flood", target.addr[family], self.port, self.per_second, ready=False)
                         for source, target, family in self.pairs]

    def arrived(self):
        """{name of the destination: what came}, of those that got anything."""
        counts = {target.name: arrivals.count() for target, arrivals in self.arrivals.items()}
        return {name: count for name, count in counts.items() if any(count.values())}

    def stop(self):
        """(packets sent, what arrived)"""
        sent = sum(sum(program.stop().values()) for program in self.programs)
        self.programs = []
        return sent, self.arrived()

    def close(self):
        for program in self.programs:
            program.close()


class Ready:
    """The socket that a daemon started from now on tells of its readiness."""

    def __init__(self, lab):
        path = os.path.join(lab.dir, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.environ["NOTIFY_SOCKET"] = path

    def forget(self):
        """What an earlier daemon said is not the next one's word."""
        self.socket.settimeout(0)
        try:
            while self.socket.recv(4096):
                pass
        except BlockingIOError:
            pass

    def wait(self, node, patience=15):
        """Milliseconds until READY=1."""
        started = time.monotonic()
        while time.monotonic() < started + patience:
            self.socket.settimeout(1)
            try:
                if self.socket.recv(4096).startswith(b"READY=1"):
                    return (time.monotonic() - started) * 1000
            except TimeoutError:
                if node.process.poll() is not None:
                    break
        raise LabError("microsegd is not ready after %d s:\n%s" % (patience, node.log_text()[-2000:]))
