#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Life: containers without an engine, made by the hundred. One process makes them, each is a child in a network namespace of
its own.

Reads a JSON object a line: {"op": "born"} makes a child, and the answer is its pid. {"op": "live", "pid": …, "who":
{"number": …, "addresses": […], "gateways": […], "neighbours": {address: MAC}, "targets": [[address, port], …]}} tells it who it
is: it waits for its eth0, gives it its addresses, and from then on sends its number to every target each few milliseconds.
What comes to its own port is told: "heard PID NUMBER WHAT". {"op": "live"} with an empty "who" has it rest, {"op": "die"} ends
it.
"""
import contextlib
import json
import os
import select
import signal
import socket
import sys

from rtnl import CLONE_NEWNET, Rtnl, libc

PERIOD = 0.005
LISTEN = 9000
PR_SET_PDEATHSIG = 1


def write_sysctl(name, value):
    with open("/proc/sys/net/" + name, "w") as file:
        file.write(value)


class Life:
    def __init__(self, orders):
        if libc.unshare(CLONE_NEWNET):
            raise OSError("no namespace")
        self.orders = orders
        self.rtnl = Rtnl()
        for name in ("accept_dad", "accept_ra", "dad_transmits", "router_solicitations"):
            write_sysctl("ipv6/conf/default/" + name, "0")
        self.sockets = [self.bound(family) for family in (socket.AF_INET, socket.AF_INET6)]
        self.who = None

    @staticmethod
    def bound(family):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("", LISTEN))
        sock.setblocking(False)
        return sock

    def settle(self):
        """Takes the interface as soon as it is there."""
        index = self.rtnl.index("eth0")
        if not index:
            return False
        try:
            self.rtnl.set_link(index, up=True)
            for address in self.who["addresses"]:
                self.rtnl.add_address(index, address, 64 if ":" in address else 24)
            for address, mac in self.who["neighbours"].items():
                self.rtnl.set_neighbour(index, address, mac)
            for gateway in self.who["gateways"]:
                self.rtnl.add_default_route(index, gateway)
        except OSError:
            return False  # it is gone already
        return True

    def speak(self):
        payload = b"%d" % self.who["number"]
        for address, port in self.who["targets"]:
            try:
                self.sockets[":" in address].sendto(payload, (address, port))
            except OSError:
                pass  # refused, or an ICMP error for an earlier one

    def hear(self, sock):
        try:
            data = sock.recv(64)
        except OSError:
            return
        os.write(1, b"heard %d %d %s\n" % (os.getpid(), self.who["number"] if self.who else 0, data))

    def run(self):
        settled = False
        while True:
            readable, _, _ = select.select([self.orders, *self.sockets], [], [], PERIOD if self.who else None)
            if self.orders in readable:
                lines = os.read(self.orders, 65536)
                if not lines:
                    os._exit(0)
                self.who, settled = json.loads(lines.splitlines()[-1]), False
            for sock in self.sockets:
                if sock in readable:
                    self.hear(sock)
            if self.who and not settled:
                settled = self.settle()
            elif self.who:
                self.speak()


def born():
    there, here = os.pipe()
    ready, made = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd not in (1, 2, there, made):
                with contextlib.suppress(OSError):
                    os.close(fd)
        try:
            life = Life(there)
            os.write(made, b".")
            os.close(made)
            life.run()
        finally:
            os._exit(1)
    os.close(there)
    os.close(made)
    os.read(ready, 1)
    os.close(ready)
    return pid, here


def main():
    children = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "born":
            pid, pipe = born()
            children[pid] = pipe
            os.write(1, b"born %d\n" % pid)
        elif request["op"] == "live":
            os.write(children[request["pid"]], (json.dumps(request["who"]) + "\n").encode())
        else:
            os.close(children.pop(request["pid"]))
            os.kill(request["pid"], signal.SIGKILL)
            os.waitpid(request["pid"], 0)
            os.write(1, b"dead %d\n" % request["pid"])


if __name__ == "__main__":
    main()
