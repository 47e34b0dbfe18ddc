# SPDX-License-Identifier: GPL-2.0-or-later
"""Node: microsegd and the microseg command, run in the host namespace of a lab.

Binaries come from $MS_BUILD (a build directory), else from build/ of this source tree.
"""
import datetime
import json
import os
import re
import signal
import subprocess

from lab import LEASH, ROOT, LabError, run, wait_for

BUILD = os.environ.get("MS_BUILD", os.path.join(ROOT, "build"))
MICROSEGD = os.path.join(BUILD, "src", "daemon", "microsegd")
MICROSEG = os.path.join(BUILD, "tools", "microseg")
POLICIES = os.path.join(ROOT, "policies", "shop")
EVENT_PATIENCE = 3.0  # seconds until a refused packet must have its event

PROTOCOL_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "icmp6": "icmpv6", "ipv6-icmp": "icmpv6"}


class Node:
    """One microsegd, and what it says."""

    def __init__(self, lab, engines=(), name="node"):
        self.lab = lab
        self.process = None
        self.state, self.control, self.config, self.log = (
            os.path.join(lab.dir, name + end) for end in (".state", ".sock", ".yaml", ".log"))
        with open(self.config, "w") as config:
            config.write("node: lab\nstate: %s\ncontrol: {socket: %s}\n" % (self.state, self.control))
        self.engines = [word for engine in (engines or ["none"]) for word in ("--engine", engine)]
        lab.closers.append(self.kill)

    # ---- the daemon ----

    def command(self, *args, wrapper=()):
        return self.lab.host.command(*wrapper, MICROSEGD, "-c", self.config, *self.engines, *args)

    def start(self, policy=None, wait=True, wrapper=()):
        """Starts the daemon, and waits until it is ready as SPEC section 5 defines it.

        wrapper: a command, with its options, that runs the daemon.
        """
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([*LEASH, *self.command(*(["-p", policy] if policy else []), wrapper=wrapper)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_ready()

    def wait_ready(self, states=("enforcing", "observing", "off"), timeout=15):
        def ready():
            if self.process.poll() is not None:
                raise LabError("microsegd ended with %s:\n%s" % (self.process.returncode, self.log_text()))
            return self.status().get("state") in states

        wait_for(ready, "state %s of microsegd; status says %s" % ("/".join(states), self.status()), timeout, 0.05)

    def stop(self, number=signal.SIGTERM):
        """Ends the daemon by a signal. Returns its exit code, as Popen gives it."""
        if self.process is None:
            return None
        self.process.send_signal(number)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            self.process.wait()
            raise LabError("microsegd ignored signal %d for 10 s" % number) from error
        finally:
            self.process = None
        return code

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log_text(self):
        try:
            with open(self.log) as log:
                return log.read()
        except FileNotFoundError:
            return ""

    # ---- the command ----

    def cli(self, command, *args, **options):
        """Runs microseg on the node. The result is a CompletedProcess; no exit code is an error here."""
        return run(*self.lab.host.command(MICROSEG, command, "-c", self.config, *args), check=False, **options)

    def json(self, *args):
        """One JSON value from the command, or {} when there is none."""
        result = self.cli(*args, "-o", "json")
        try:
            return json.loads(result.stdout)
        except ValueError:
            return {}

    def status(self):
        return self.json("status")

    def ruleset(self):
        """What the kernel has in the host namespace: no counters, none of the elements that rules add to sets while
        packets pass, and no word on which process owns it."""
        listing = self.without_owner(self.lab.host.run("nft", "--stateless", "list", "ruleset").stdout)
        return re.sub(r"(\t\tflags dynamic(?:,timeout)?\n)\t\telements = \{[^}]*\}\n", r"\1", listing)

    def structure(self):
        """Chains and rules with their handles, sets and elements left out: what must stay when a container comes."""
        lines, in_set = [], False
        for line in self.without_owner(self.lab.host.run("nft", "-a", "-s", "list", "ruleset").stdout).splitlines():
            in_set = in_set or line.strip().startswith(("set ", "map "))
            if not in_set:
                lines.append(line)
            in_set = in_set and line != "\t}"
        return "\n".join(lines)

    @staticmethod
    def without_owner(listing):
        return re.sub(r" # progname \S+| progname \S+|^\tflags .*\n", "", listing, flags=re.MULTILINE)

    def bridge_flags(self, bridge):
        """(nf_call_iptables, nf_call_ip6tables) of a bridge."""
        info = json.loads(self.lab.host.run("ip", "-d", "-j", "link", "show", "dev", bridge).stdout)
        data = info[0]["linkinfo"]["info_data"]
        return data["nf_call_iptables"], data["nf_call_ip6tables"]

    def endpoints(self):
        """What the daemon knows of each endpoint."""
        return self.json("endpoints") or []

    def wait_endpoints(self, parties, timeout=10):
        """Waits until each of these has its identity, or is known to have none, and its addresses."""
        def known():
            rows = self.endpoints()
            return all(is_known(rows, addr, party.identity) for party in parties for addr in party.addrs)

        try:
            wait_for(known, "endpoints", timeout)
        except LabError as error:
            raise LabError("%s %s; known are:\n%s" % (error, [(party.name, party.identity, party.addrs) for party in parties],
                                                     "\n".join(map(str, self.endpoints())))) from error

    def events(self, since=None):
        """All drop events, oldest first; since: a datetime of events_mark(). Lines that only say what was lost are none."""
        lines = self.cli("drops", "-o", "json").stdout.splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if "verdict" in event and (since is None or event_time(event) >= since)]


def is_known(rows, addr, identity):
    """Is there an endpoint with these addresses and this identity, open for traffic?"""
    return any(set(addr.values()) <= set(row["addresses"]) and row["identity"] == identity and row["ready"] for row in rows)


def events_mark():
    """A moment: events of what happens from now on are not older. They carry milliseconds."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def event_time(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00"))


def event_key(event):
    """(src, dst, protocol, port or ICMP type), as agent.py writes it."""
    proto = str(event.get("proto"))
    port = event.get("dport")
    return (event["src"].get("ip"), event["dst"].get("ip"), PROTOCOL_NAMES.get(proto, proto),
            event.get("icmp_type") if port is None else port)


def collect_keys(node, since=None):
    return {event_key(event) for event in node.events(since)}
