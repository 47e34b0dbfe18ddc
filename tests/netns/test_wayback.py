#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The way back is granted too: a TCP connection that is cut stays cut, whichever of its ends speaks.

Its server's next segment looks like one of a connection that the server has opened to the port that the client came from,
and where a policy lets the server open such connections, nothing but a memory of what was cut tells the two apart.
With the argument `full`, also what happens when that memory is full.
"""
import datetime
import os
import signal
import socket
import sys
import time

from wire import ENVIRONMENTS, build, meet

import frames as f
from lab import wait_for
from node import Node
from tap import Report

PORT = 8080
SECOND = 1.0  # SPEC section 3: in which connections are cut
HEARD = 0.9  # seconds: TCP repeats itself twice in it
WAYS = (("attacker", "server"), ("attacker", "far"), ("attacker", "outside"), ("outside", "server"), ("attacker", "host"),
        ("host", "server"))
NET = '{net: [192.0.2.0/24, "2001:db8:2::/64"]}'
POLICY = """---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow:
  - {from: [other, host, %(net)s], ports: [tcp/%(there)s]}
needs:
  - {to: [host, %(net)s], ports: [tcp/%(back)s]}
---
apiVersion: microseg/v1
kind: Service
service: other
env: prod
allow:
  - {from: [api, host, %(net)s], ports: [tcp/%(back)s]}
needs:
  - {to: [host, %(net)s], ports: [tcp/%(there)s]}
"""
EXCEPTION = """---
{apiVersion: microseg/v1, kind: Exception, id: e%(id)d, from: %(from)s, to: %(to)s, ports: [tcp/%(port)d], until: "%(until)s"}
"""
EXCEPTED = (("prod/other", "prod/api"), ("prod/other", NET), (NET, "prod/api"), ("prod/other", "host"), ("host", "prod/api"))
# A table that has the kernel track what passes, as any engine's does.
TRACKING = "add table inet other; add chain inet other c {type filter hook forward priority 0;}; add rule inet other c ct state new"
BACK = "1024-65535"
SHUT = "9"


def write(lab, there=PORT, back=BACK, more=""):
    path = os.path.join(lab.dir, "wayback.yaml")
    with open(path, "w") as file:
        file.write(ENVIRONMENTS + POLICY % {"net": NET, "there": there, "back": back} + more)
    return path


def apply(node, there=PORT, back=BACK, more=""):
    answer = node.cli("apply", "--yes", "-p", write(node.lab, there, back, more))
    assert answer.returncode == 0, answer.stdout + answer.stderr


def make(party, family):
    with f.inside(party):
        sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(3)
    return sock


def dial(src, dst, family, port, sport=0):
    """Opens one connection. Returns its two sockets, the client's first."""
    door, out = make(dst, family), make(src, family)
    with door:
        door.bind((dst.address_for(src, family), port))
        door.listen(4)
        out.bind((src.address_for(dst, family), sport))
        out.connect((dst.address_for(src, family), port))
        into, _ = door.accept()
    for sock in (out, into):
        sock.setblocking(False)
    return out, into


class Talk:
    """An open connection in which nobody has spoken for a while, and who will be the first to."""

    def __init__(self, client, server, family, server_first):
        self.name = "%s -> %s IPv%d, the %s speaking first" % (
            client.name, server.name, family, "server" if server_first else "client")
        self.parties, self.family = (client, server), family
        self.socks = dial(client, server, family, PORT)
        self.order = self.socks[::-1] if server_first else self.socks

    def say(self, turn):
        self.order[turn].send(b"x")

    def heard(self, turn):
        """Did the other end hear what was said in this turn?"""
        try:
            return bool(self.order[1 - turn].recv(4096))
        except OSError:
            return False

    def close(self):
        """Without a word."""
        for sock in self.socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()


def open_all(parties):
    return [Talk(parties[client], parties[server], family, server_first)
            for client, server in WAYS for family in (4, 6) for server_first in (True, False)]


def speak(talks):
    """One end speaks, then the other. Returns the names of those of which anything was heard."""
    heard = set()
    for turn in (0, 1):
        for talk in talks:
            talk.say(turn)
        time.sleep(HEARD)
        heard |= {talk.name for talk in talks if talk.heard(turn)}
    return heard


def check_silent(report, talks, what):
    report.equal(sorted(speak(talks)), [], "%s: of %d connections none goes on" % (what, len(talks)))


def finish(report, talks, what):
    """The controls: the server may open connections, even with the very ports of one that was cut."""
    wrong = []
    for talk in talks:
        client, server = talk.parties
        ports = talk.socks[1].getsockname()[1], talk.socks[0].getsockname()[1]
        talk.close()
        for port in (5000, ports[1]):
            try:
                for sock in dial(server, client, talk.family, port, ports[0] if port != 5000 else 0):
                    sock.close()
            except OSError as error:
                wrong.append((talk.name, port, error))
    report.equal(wrong, [], "%s: what the way back grants opens, with the same ports too" % what)


def cut(report, node, parties, loose):
    """The grant goes, the way back stays. Returns the connections."""
    what = "loose %d" % loose
    parties["host"].sysctl({"net.netfilter.nf_conntrack_tcp_loose": loose})
    apply(node)
    talks = open_all(parties)
    report.equal(len(speak(talks)), len(talks), "%s: all are heard before (the control)" % what)
    apply(node, SHUT)
    time.sleep(SECOND)
    check_silent(report, talks, what)
    return talks


def by_policy(report, node, parties):
    """Loose pick-up on and off, the daemon alive, dead, and one that finds other tables than it wants."""
    finish(report, cut(report, node, parties, 1), "loose 1")
    talks = cut(report, node, parties, 0)
    parties["host"].sysctl({"net.netfilter.nf_conntrack_tcp_loose": 1})
    node.stop(signal.SIGKILL)
    check_silent(report, talks, "no daemon")
    with open(node.config, "a") as config:
        config.write("limits: {connections: 5000}\n")
    node.start()
    report.check("are replaced" in node.log_text(), "the tables are replaced", node.log_text()[-500:])
    check_silent(report, talks, "tables replaced")
    finish(report, talks, "loose 0")


def granted_later(report, node, parties):
    """The way back opens when the connections are cut already: by a policy, and by the end of a quarantine."""
    apply(node, back=SHUT)
    talks = open_all(parties)
    apply(node, SHUT, SHUT)
    time.sleep(SECOND)
    apply(node)
    talks += open_all(parties)
    report.equal(node.cli("quarantine", "add", "prod/api", "--reason", "test").returncode, 0, "quarantine add")
    report.equal(node.cli("quarantine", "add", "prod/other", "--reason", "test").returncode, 0, "quarantine add")
    time.sleep(SECOND)
    apply(node, SHUT)
    for service in ("prod/api", "prod/other"):
        report.equal(node.cli("quarantine", "remove", service).returncode, 0, "quarantine remove")
    check_silent(report, talks, "granted later")
    finish(report, talks, "granted later")


def by_the_clock(report, node, parties):
    """An exception ends with nobody there, and the daemon finds it later."""
    end = int(time.time()) + 5
    until = datetime.datetime.fromtimestamp(end, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    apply(node, SHUT, more="".join(EXCEPTION % {"id": number, "from": client, "to": server, "port": PORT, "until": until}
                                   for number, (client, server) in enumerate(EXCEPTED)))
    talks = open_all(parties)
    node.stop(signal.SIGKILL)
    report.check(time.time() < end, "all are open in time")
    time.sleep(max(0.0, end + SECOND - time.time()))
    check_silent(report, talks, "ended, no daemon")
    said = len(node.log_text())
    node.start()
    report.check(0 < node.log_text().find("connections cut", said) < node.log_text().find("enforcing, generation", said),
                 "they are cut while the tables stand that know of the end", node.log_text()[said:])
    time.sleep(SECOND)
    check_silent(report, talks, "ended, cut by the daemon")
    finish(report, talks, "ended")


def full(report, node, parties):
    """More is cut than the kernel can remember: then nothing is taken up midway, and what begins with a SYN opens."""
    host = parties["host"]
    apply(node)
    talks = open_all(parties)
    node.stop(signal.SIGKILL)
    for family, prefix in ((4, "203.0.113.1 . %d . 203.0.113.%d . 9"), (6, "2001:db8::1 . %d . 2001:db8::%x . 9")):
        path = os.path.join(node.lab.dir, "full.nft")
        with open(path, "w") as file:
            file.writelines("add element inet microseg revoked/%d { %s }\n" % (family, ", ".join(
                prefix % (port, block) + " timeout 1h" for port in range(1, 65536))) for block in (1, 2, 3, 4))
            file.write("add element inet microseg revoked/%d { %s }\n" % (family, ", ".join(
                prefix % (port, 5) + " timeout 1h" for port in range(1, 5))))
        host.run("nft", "-f", path, timeout=60)
    node.start()
    apply(node, SHUT)
    time.sleep(SECOND)
    report.check("cannot all be remembered" in node.log_text(), "the memory is full, and the log says so", node.log_text()[-500:])
    report.equal(node.status()["cut_memory_full"], True, "and so does status")
    check_silent(report, talks, "full")
    finish(report, talks, "full")


def told_full(report, node, parties):
    """status says that the memory is full, also after a restart: it is the kernel's."""
    def told():
        return node.status()["cut_memory_full"], "more connections were cut than can be remembered" in node.cli("status").stdout
    report.equal(told(), (False, False), "status says nothing of a memory that has room")
    node.stop(signal.SIGKILL)
    parties["host"].run("nft", "add element inet microseg revoked/any { ipv6 timeout 1h }")
    node.start()
    report.equal(told(), (True, True), "and warns of one that is full")


def by_arming(report, node, parties):
    """What others had the kernel track is cut; what nobody tracked is cut later, once the kernel has met its client."""
    host, lab = parties["host"], node.lab
    apply(node, SHUT)
    node.cli("off")
    untracked = [Talk(parties["attacker"], parties["server"], family, False) for family in (4, 6)]
    lab.host.run("nft", TRACKING)
    for bridge in lab.bridges:
        host.ip("link set %s type bridge nf_call_iptables 1 nf_call_ip6tables 1" % bridge)
    talks = open_all(parties)
    node.cli("on")
    wait_for(lambda: node.status().get("state") == "enforcing", "armed again")
    time.sleep(SECOND)
    check_silent(report, talks, "armed")
    finish(report, talks, "armed")
    apply(node)
    report.equal(len(speak(untracked)), len(untracked), "untracked ones that the policy allows go on (the control)")
    apply(node, SHUT)
    time.sleep(SECOND)
    check_silent(report, untracked, "met midway")
    finish(report, untracked, "met midway")


def heard_of(party, family, peer, sock, tap):
    """Did a segment of this server's end reach the party?"""
    sock.send(b"x")
    time.sleep(HEARD)
    want = f.packed(peer) + f.packed(party.addr[family])
    return any(want in data and data[23 if family == 4 else 20] == f.TCP for data in tap.now())


def heir(report, node, parties):
    """Another container of the same service gets the address of one that went: the servers of that one tell it nothing."""
    lab, server = node.lab, parties["server"]
    apply(node)
    first = lab.container("first", "br-one", "prod", "other")
    meet({"first": first, "server": server})
    node.wait_endpoints([first])
    tap = f.Tap(first)
    talks = {family: dial(first, server, family, PORT) for family in (4, 6)}
    for family, (_, into) in talks.items():
        report.check(heard_of(first, family, server.addr[family], into, tap), "IPv%d: its client hears the server (the control)" % family)
    tap.close()
    addr = dict(first.addr)
    lab.remove(first)
    wait_for(lambda: not any(addr[4] in row["addresses"] for row in node.endpoints()), "the client to be gone")
    second = lab.container("second", "br-one", "prod", "other", up=False)
    second.addr = addr
    lab.identify(second)
    lab.attach(second)
    second.ip(*second.address_lines(addr))
    node.wait_endpoints([second])
    tap = f.Tap(second)
    meet({"second": second, "server": server})
    tap.now()
    for family, (_, into) in talks.items():
        report.check(not heard_of(second, family, server.addr[family], into, tap),
                     "IPv%d: the next holder of its address hears nothing" % family)
        again = dial(second, server, family, PORT)
        report.check(heard_of(second, family, server.addr[family], again[1], tap),
                     "IPv%d: but of a connection of its own it does (the control)" % family)
        for sock in again + talks[family]:
            sock.close()
    tap.close()
    lab.remove(second)


def main():
    report = Report(__doc__)
    lab, parties, _ = build()
    with lab:
        node = Node(lab)
        node.start(write(lab))
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        meet(parties)
        for section in (heir, by_policy, granted_later, by_the_clock, by_arming, told_full, *([full] if "full" in sys.argv[1:] else ())):
            report.section(section, report, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
