#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab: a container host made of network namespaces, for tests and for the demo.

One namespace plays the host (bridges, forwarding, microsegd), one the world outside, and each container is one more with a
veth pair to a bridge of the host. All names begin with a prefix of this process, nothing else on the machine is touched,
and everything is removed when the process ends, however it ends short of SIGKILL (and even then the helpers end by
themselves, for they read from a pipe).

Agent and Namespace are the two ends of agent.py; Lab makes the network; node.py runs microseg in it.
"""
import atexit
import ipaddress
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NETNS_DIR = "/run/netns"
AGENT_PATIENCE = 15  # seconds for an answer of a helper, well above any probe's own timeout


class LabError(Exception):
    """The rig itself failed: never a verdict on what it tests."""


def run(*args, stdin=None, check=True, timeout=60, **options):
    """Runs a command; its output is text. A failure of the rig is an exception with the command's own words."""
    result = subprocess.run(args, input=stdin, capture_output=True, text=True, timeout=timeout, **options)
    if check and result.returncode:
        raise LabError("%s: exit %d: %s" % (" ".join(args), result.returncode, result.stderr.strip()))
    return result


# In front of a command: the kernel ends it when this process goes, so that nothing is left behind.
LEASH = ["setpriv", "--pdeathsig", "KILL"]


class Agent:
    """The helper process in one namespace, given as a path under /run/netns or /proc."""

    def __init__(self, path):
        self.ids = itertools.count()
        self.answers = {}
        self.ready = threading.Condition()
        self.process = subprocess.Popen(
            ["nsenter", "--net=%s" % path, "/usr/bin/python3", os.path.join(HERE, "agent.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self.ready:
                self.answers[answer["id"]] = answer
                self.ready.notify_all()

    def send(self, op, **arguments):
        """Starts an operation; wait() has its answer."""
        number = next(self.ids)
        self.process.stdin.write(json.dumps(dict(arguments, id=number, op=op)) + "\n")
        self.process.stdin.flush()
        return number

    def wait(self, number):
        with self.ready:
            if not self.ready.wait_for(lambda: number in self.answers, AGENT_PATIENCE):
                raise LabError("helper %d does not answer" % self.process.pid)
            return self.answers.pop(number)

    def do(self, op, **arguments):
        return self.wait(self.send(op, **arguments))

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Party:
    """Something with a network namespace, addresses and a name in microseg's words."""

    name = path = None
    identity = "unidentified"
    routes = False  # what arrives there may be for somebody else
    source = None  # {4: address, 6: address} to send from, where it is not the kernel's choice
    _agent = None

    @property
    def addrs(self):
        """The addresses of each of its interfaces: [{4: …, 6: …}, …]"""
        return [self.addr]

    def address_for(self, _other, family):
        """The address under which `other` calls this one."""
        return self.addr[family]

    @property
    def agent(self):
        """The helper in this namespace, started when first needed."""
        if self._agent is None:
            self._agent = Agent(self.path)
        return self._agent

    def listen(self, tcp=(), udp=()):
        """Echo servers on these ports in both families."""
        waiting = [self.agent.send("listen", proto=proto, family=family, port=port)
                   for proto, ports in (("tcp", tcp), ("udp", udp)) for port in ports for family in (4, 6)]
        for number in waiting:
            answer = self.agent.wait(number)
            if not answer.get("ok"):
                raise LabError("%s cannot listen: %s" % (self.name, answer))

    def close(self):
        if self._agent:
            self._agent.close()
            self._agent = None


class Namespace(Party):
    """A network namespace of the lab's own."""

    def __init__(self, name, netns):
        self.name = name
        self.netns = netns
        self.path = "%s/%s" % (NETNS_DIR, netns)
        run("ip", "netns", "add", netns)
        self.sysctl({"net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0,
                     "net.ipv6.conf.default.dad_transmits": 0, "net.ipv6.conf.default.accept_ra": 0,
                     "net.ipv4.ping_group_range": "0 2147483647",
                     # Every refusal is to be seen: the kernel else answers some and is silent on the others.
                     "net.ipv4.icmp_ratelimit": 0, "net.ipv6.icmp.ratelimit": 0,
                     "net.ipv4.icmp_msgs_per_sec": 100000, "net.ipv4.icmp_msgs_burst": 10000})
        self.ip("link set lo up")

    def command(self, *args):
        """The words of a command that runs in this namespace and keeps all mounts."""
        return ["nsenter", "--net=%s" % self.path, *args]

    def run(self, *args, **options):
        return run(*self.command(*args), **options)

    def ip(self, *lines, force=False):
        """Runs lines of ip(8) in this namespace, all in one process."""
        words = ["ip"] + (["-force"] if force else []) + ["-batch", "-"]
        return self.run(*words, stdin="\n".join(lines) + "\n", check=not force)

    def end_tentative(self):
        """Gives addresses that are tentative anew, so that they are not. Returns whether there were any."""
        lines = []
        for link in json.loads(self.run("ip", "-6", "-j", "addr").stdout):
            for addr in link.get("addr_info", ()):
                if addr.get("tentative"):
                    what = "%s/%d dev %s" % (addr["local"], addr["prefixlen"], link["ifname"])
                    lines += ["addr del " + what, "addr add %s nodad" % what]
        if lines:
            self.ip(*lines, force=True)
        return bool(lines)

    def sysctl(self, values):
        self.run("sysctl", "-q", "-w", *("%s=%s" % item for item in values.items()))

    def close(self):
        super().close()
        run("ip", "netns", "del", self.netns, check=False)


class Outside(Namespace):
    """The world beyond the host's uplink."""

    identity = "net"
    addr = {4: "192.0.2.2", 6: "2001:db8:2::2"}


class OutsideAddress(Party):
    """One more address of the world outside, as a party of its own. Its probes are sent from this address."""

    identity = "net"

    def __init__(self, outside, name, addr):
        self.name = name
        self.addr = self.source = addr
        self._agent = outside.agent
        outside.ip("addr add %s/32 dev lo" % addr[4], "addr add %s/128 dev lo nodad" % addr[6])


class Host(Namespace):
    """The container host. A container calls it by the gateway address of its own bridge."""

    identity = "host"
    routes = True
    addr = {4: "192.0.2.1", 6: "2001:db8:2::1"}

    def address_for(self, other, family):
        bridge = getattr(other, "bridge", None)
        return (bridge.gateway if bridge else self.addr)[family]


class Bridge:
    """A bridge of the host with its two networks. It hands out addresses from .10 on."""

    def __init__(self, name, net4, net6):
        self.name = name
        self.net4 = ipaddress.ip_network(net4)
        self.net6 = ipaddress.ip_network(net6)
        self.gateway = {4: str(self.net4[1]), 6: str(self.net6[1])}
        self._hosts = itertools.count(10)

    def next_addr(self):
        number = next(self._hosts)
        return {4: str(self.net4[number]), 6: str(self.net6[number])}


class Container(Namespace):
    """A namespace with eth0 on a bridge of the host. addr[4] and addr[6] are its addresses."""

    def __init__(self, name, netns, bridge, port, addr):
        super().__init__(name, netns)
        self.bridge = bridge
        self.port = port  # the interface on the host's side
        self.addr = addr
        self.labels = {}

    @property
    def identity(self):
        values = list(self.labels.values())
        return "/".join(values) if len(values) == 2 and all(values) else "unidentified"

    def address_lines(self, addr):
        """ip(8) lines that give eth0 these addresses and the default routes."""
        gateway = self.bridge.gateway
        return ["addr add %s/24 dev eth0" % addr[4], "addr add %s/64 dev eth0 nodad" % addr[6],
                "route replace default via %s" % gateway[4], "route replace default via %s" % gateway[6]]


class Lab:
    """The whole rig. Use it in a with statement, or call close()."""

    _numbers = itertools.count()

    def __init__(self, prefix=None):
        """prefix: what the names of its namespaces begin with, where they are shown to people."""
        self.prefix = prefix or "msl%d%s" % (os.getpid(), chr(ord("a") + next(Lab._numbers) % 26))
        self.namespaces = []
        self.bridges = {}
        self.closers = []  # what else has to end first: daemons
        self.ports = itertools.count(1)
        self.closed = False
        self.dir = tempfile.mkdtemp(prefix="microseg-lab-")
        atexit.register(self.close)
        self.host = self._namespace("host", Host)
        self.host.sysctl({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
        self.outside = self._namespace("outside", Outside)
        self._uplink()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _namespace(self, name, kind, *args):
        namespace = kind(name, "%s-%s" % (self.prefix, name), *args)
        self.namespaces.append(namespace)
        return namespace

    def _uplink(self):
        """The world outside, behind an interface that no managed pattern matches."""
        self.host.ip("link add uplink0 type veth peer name uplink1 netns %s" % self.outside.netns,
                     "addr add 192.0.2.1/24 dev uplink0", "addr add 2001:db8:2::1/64 dev uplink0 nodad",
                     "link set uplink0 up",
                     "route add default via 192.0.2.2", "route add default via 2001:db8:2::2")
        self.outside.ip("addr add 192.0.2.2/24 dev uplink1", "addr add 2001:db8:2::2/64 dev uplink1 nodad",
                        "link set uplink1 up",
                        "route add 10.0.0.0/8 via 192.0.2.1", "route add fd00::/8 via 2001:db8:2::1")

    def bridge(self, name, net4, net6):
        bridge = Bridge(name, net4, net6)
        # An address of its own, as engines give one: else it takes that of a port, and changes as ports come and go.
        self.host.ip("link add %s address 02:42:%02x:00:00:01 type bridge" % (name, len(self.bridges)),
                     "addr add %s/%d dev %s" % (bridge.gateway[4], bridge.net4.prefixlen, name),
                     "addr add %s/%d dev %s nodad" % (bridge.gateway[6], bridge.net6.prefixlen, name),
                     "link set %s up" % name)
        self.bridges[name] = bridge
        return bridge

    def container(self, name, bridge, env=None, service=None, up=True):
        """A container on a bridge. With neither env nor service it has no identity.

        up=False leaves the port off its bridge, without its alias: attach() and identify() are then the test's.
        """
        bridge = self.bridges[bridge]
        addr = bridge.next_addr()
        port = "veth%04x%04x" % (os.getpid() & 0xFFFF, next(self.ports))
        container = self._namespace(name, Container, bridge, port, addr)
        self.host.ip("link add %s type veth peer name eth0 netns %s" % (port, container.netns))
        container.ip("link set eth0 up")
        if env or service:
            container.labels = {"io.microseg.env": env, "io.microseg.service": service}
        if up:
            self.identify(container)
            self.attach(container)
            container.ip(*container.address_lines(addr))
        return container

    def identify(self, container):
        alias = " ".join("%s=%s" % item for item in container.labels.items() if item[1])
        if alias:
            self.host.run("ip", "link", "set", "dev", container.port, "alias", alias)

    def attach(self, container):
        self.host.ip("link set %s master %s up" % (container.port, container.bridge.name))

    def remove(self, container):
        """The container goes, and its port with it."""
        self.host.ip("link del %s" % container.port, force=True)
        container.close()
        self.namespaces.remove(container)

    def settle(self):
        """No address is tentative when it returns. One queue of the kernel sees to those of the whole machine, and is
        long while somebody else makes thousands: what still waits there is given anew, without a wait."""
        for namespace in self.namespaces:
            wait_for(lambda: not namespace.end_tentative(), "addresses of %s" % namespace.name)

    def close(self):
        if self.closed:
            return
        self.closed = True
        for closer in reversed(self.closers):
            closer()
        for namespace in reversed(self.namespaces):
            namespace.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        atexit.unregister(self.close)


def wait_for(condition, what, timeout=10.0, period=0.02):
    """Waits until condition() is true and returns its value; LabError names what never came."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError("waited %.0f s for %s" % (timeout, what))
        time.sleep(period)


def _stop(number, _frame):
    sys.exit(128 + number)  # runs atexit, and so Lab.close


for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _stop)
