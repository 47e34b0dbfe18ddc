#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What ends by itself: exceptions, crossings, grants and relaxes, and their open connections with them. And quarantine.

Connections tick in both directions. At the end of what alone allows them the ticks stop within a second, with the daemon
alive, stopped in its tracks, and dead; those that something else allows go on. No answer of the program is believed: only
what arrives counts.
"""
import datetime
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from lab import Lab, LabError, wait_for  # noqa: E402
from node import Node  # noqa: E402
from tap import Report  # noqa: E402

LEAD = 14  # seconds until the end: all connections are open before
GRACE = 1.0  # seconds that a connection may outlive its end
ROOM = 65536  # connections that the records of one end hold
AFTER = 2.5  # seconds after the end that are watched

CONTAINERS = (
    ("shell", "br-one", "prod", "shell"),
    ("api", "br-two", "prod", "api"),
    ("db-1", "br-one", "prod", "db"),
    ("db-2", "br-two", "prod", "db"),
    ("cache-1", "br-one", "prod", "cache"),
    ("cache-2", "br-two", "prod", "cache"),
    ("loadtest", "br-one", "dev", "loadtest"),
)
TCP, UDP = range(7001, 7011), (7001, 7002, 7003, 7004)

POLICY = """\
apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments:
  prod: {mode: enforce, resolvers: [gateway]}
  dev: {mode: enforce, resolvers: [gateway]}
crossings:
  - {from: dev/loadtest, to: prod/db, ports: [tcp/7002, udp/7002, icmp/8, icmp6/128], until: {END}}
---
apiVersion: microseg/v1
kind: Service
service: db
env: prod
allow:
  - {from: api, ports: [tcp/7001]}
  - {from: dev/loadtest, ports: [tcp/7002, udp/7002], ping: true}
  - {from: shell, ports: [{LASTING}]}
---
{apiVersion: microseg/v1, kind: Service, service: cache, env: prod}
---
{apiVersion: microseg/v1, kind: Exception, id: e0, from: prod/shell, to: prod/db, ports: [{LENT}], until: "{END}"}
---
{apiVersion: microseg/v1, kind: Exception, id: e1, from: prod/shell, to: prod/db,
 ports: [tcp/7001, udp/7001, icmp/8, icmp6/128], until: "{END}"}
---
{apiVersion: microseg/v1, kind: Exception, id: e2, from: prod/api, to: prod/db, ports: [tcp/7001], until: "{END}"}
---
{apiVersion: microseg/v1, kind: Exception, id: e3, from: prod/shell, to: prod/db, ports: [tcp/7005], until: "{FAR}"}
---
{apiVersion: microseg/v1, kind: Exception, id: e4, from: host, to: prod/db, ports: [tcp/7006], until: "{END}"}
---
{apiVersion: microseg/v1, kind: Exception, id: e5, from: prod/shell, to: host, ports: [tcp/7007], until: "{END}"}
---
{apiVersion: microseg/v1, kind: Exception, id: e6, from: prod/shell, to: {net: [0.0.0.0/0, "::/0"]}, ports: [tcp/7008],
 until: "{END}"}
"""


class Ticking:
    """One connection, and its ticks at both ends."""

    def __init__(self, client, server, proto, port, family, ends):
        self.client, self.server, self.proto, self.port, self.ends = client, server, proto, port, ends
        self.dst = server.address_for(client, family)
        self.src = client.address_for(server, family)
        self.key = "%s %s %s/%d" % (client.name, self.dst, proto, port)

    def open(self):
        return self.client.agent.send("follow", proto=self.proto, dst=self.dst, port=self.port, key=self.key)

    def arrivals(self):
        """When a tick arrived last, at the client and at the server; a ping is seen by the client alone."""
        seen = {"client": self.client.agent.do("ticked", key=self.key)}
        if self.proto != "ping":
            seen["server"] = self.server.agent.do("ticked", key="%s/%d %s" % (self.proto, self.port, self.src))
        return seen


def iso(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_policy(lab, end, lasting=7009, lent=7010):
    words = {"{END}": iso(end), "{FAR}": iso(end + 3600), "{LASTING}": "tcp/%d" % lasting, "{LENT}": "tcp/%d" % lent}
    text = POLICY
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    path = os.path.join(lab.dir, "clocks.yaml")
    with open(path, "w") as file:
        file.write(text)
    return path


def connections(lab, parties):
    """All that tick: what ends, and what goes on."""
    shell, api, loadtest, host = parties["shell"], parties["api"], parties["loadtest"], lab.host
    table = []

    def add(client, servers, proto, port, ends):
        table.extend(Ticking(client, server, proto, port, family, ends) for server in servers for family in (4, 6))

    databases = [parties["db-1"], parties["db-2"]]
    caches = [parties["cache-1"], parties["cache-2"]]
    for proto, port in (("tcp", 7001), ("udp", 7001), ("ping", 0)):
        add(shell, databases, proto, port, "the exception")
        add(loadtest, databases, proto, port and 7002, "the crossing")
        add(shell, caches, proto, port and 7004, "the relax")
    for proto in ("tcp", "udp"):
        add(shell, databases, proto, 7003, "the grant")
    add(host, databases, "tcp", 7006, "the exception of the host")
    add(shell, [host], "tcp", 7007, "the exception to the host")
    add(shell, [lab.outside], "tcp", 7008, "the exception to the net")
    add(api, databases, "tcp", 7001, None)
    add(shell, databases, "tcp", 7005, None)
    return table


def listen(party):
    for family in (4, 6):
        for proto, ports in (("tcp", TCP), ("udp", UDP)):
            for port in ports:
                party.agent.do("ticks", proto=proto, family=family, port=port)


def wall_to_monotonic(moment):
    return moment - time.time() + time.monotonic()


def order(report, node, end):
    """What commands add, so that it ends when the policy's own clocks do, or a little later. Returns the latest end."""
    for words in (("grant", "prod/shell", "prod/db", "tcp/7003"), ("grant", "prod/shell", "prod/db", "udp/7003"),
                  ("relax", "prod/cache")):
        left = max(2, round(end - time.time()))
        result = node.cli(*words, "--for", "%ds" % left, "--reason", "test")
        report.equal(result.returncode, 0, " ".join(words), result.stdout + result.stderr)
    listed = node.lab.host.run("nft", "list", "ruleset").stdout
    ends = [line.split()[1][len("until/"):] for line in listed.splitlines() if line.strip().startswith("set until/")]
    moments = [datetime.datetime.strptime(text, "%Y-%m-%dT%H.%M.%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
               for text in ends]
    return max(moment for moment in moments if moment < end + 1800)


def judge(report, table, end, latest, state):
    """Held against the clock when all is over."""
    by_what = {}
    for ticking in table:
        limit = latest if ticking.ends in ("the grant", "the relax") else end
        for where, seen in ticking.arrivals().items():
            by_what.setdefault(ticking.ends, []).append((ticking.key, where, seen["count"],
                                                         round(seen["last"] - wall_to_monotonic(limit), 2)))
    for what, seen in by_what.items():
        detail = "\n".join(map(str, seen))
        lasts = [last for _, _, _, last in seen]
        report.check(all(count > 5 for _, _, count, _ in seen), "%s: %s let them in" % (state, what or "something else"),
                     detail)
        if what is None:
            report.check(min(lasts) > GRACE, "%s: what something else allows goes on" % state, detail)
            continue
        lived = [last for _, _, _, last in seen if last > (-3.5 if limit == latest else -1.0)]
        report.check(len(lived) == len(seen), "%s: none ends before %s does" % (state, what), detail)
        report.check(max(lasts) < GRACE, "%s: all end with %s" % (state, what), detail)
        report.note("%s: %d ends of connections, the last tick %.2f s after the end" % (what, len(seen), max(lasts)))


def try_again(report, table, state):
    """New connections: refused where the end was, and others not."""
    started = [(ticking, ticking.client.agent.send("tcp", dst=ticking.dst, port=ticking.port))
               for ticking in table if ticking.proto == "tcp"]
    wrong = []
    for ticking, number in started:
        connected = ticking.client.agent.wait(number)["result"] not in ("refused", "prohibited", "timeout")
        if connected != (ticking.ends is None):
            wrong.append(ticking.key)
    report.equal(wrong, [], "%s: new connections meet the policy without what ended" % state)


def until_the_end(report, node, parties, state):
    """All connections are opened, the daemon is brought into its state, and the end comes."""
    end = int(time.time()) + LEAD
    policy = write_policy(node.lab, end)
    result = node.cli("apply", "--yes", "-p", policy)
    report.equal(result.returncode, 0, "%s: the policy applies" % state, result.stdout + result.stderr)
    latest = order(report, node, end)
    table = connections(node.lab, parties)
    numbers = [(ticking, ticking.open()) for ticking in table]
    opened = [(ticking.key, answer) for ticking, number in numbers
              if (answer := ticking.client.agent.wait(number)["result"]) != "ok"]
    report.equal(opened, [], "%s: all connections open" % state)
    report.check(time.time() < end - 1, "%s: in time" % state, "%.1f s late" % (time.time() - end + 1))
    if state == "killed":
        node.stop(signal.SIGKILL)
    elif state == "stopped":
        node.process.send_signal(signal.SIGSTOP)
    time.sleep(max(0, latest + AFTER - time.time()))
    judge(report, table, end, latest, state)
    try_again(report, table, state)
    if state == "killed":
        node.start()
    elif state == "stopped":
        node.process.send_signal(signal.SIGCONT)
    granted = "meta nfproto @until/" + iso(end).replace(":", ".")
    wait_for(lambda: granted not in node.ruleset(), "the ended grants to go", 10)
    report.equal(node.status().get("state"), "enforcing", "%s: and enforces on" % state)


def changed_meanwhile(report, node, parties):
    """What allows an open connection changes: from a grant to an exception, and the other way. Our tables are replaced.

    The kernel has written down which connections end when it let them in, so the daemon has to put that right.
    """
    end = int(time.time()) + LEAD
    shell, databases = parties["shell"], [parties["db-1"], parties["db-2"]]
    report.equal(node.cli("apply", "--yes", "-p", write_policy(node.lab, end)).returncode, 0, "the policy applies")
    ends = [Ticking(shell, server, "tcp", 7009, family, "the exception") for server in databases for family in (4, 6)]
    stays = [Ticking(shell, server, "tcp", 7010, family, None) for server in databases for family in (4, 6)]
    numbers = [(ticking, ticking.open()) for ticking in ends + stays]
    report.equal([ticking.key for ticking, number in numbers if ticking.client.agent.wait(number)["result"] != "ok"], [],
                 "all connections open")
    node.stop(signal.SIGKILL)
    node.lab.host.run("nft", "flush", "ruleset")
    node.start()
    policy = write_policy(node.lab, end, lasting=7010, lent=7009)
    report.equal(node.cli("apply", "--yes", "-p", policy).returncode, 0, "the two change places")
    time.sleep(1)  # within which SPEC section 3 has connections cut, and their ends known
    report.check(time.time() < end - 1, "in time", "%.1f s late" % (time.time() - end + 1))
    node.stop(signal.SIGKILL)
    time.sleep(max(0, end + AFTER - time.time()))
    moment = wall_to_monotonic(end)
    lasts = {what: [round(seen["last"] - moment, 2) for ticking in table for seen in ticking.arrivals().values()]
             for what, table in (("ends", ends), ("stays", stays))}
    report.check(-1 < min(lasts["ends"]) and max(lasts["ends"]) < GRACE, "what came to rest on an exception ends with it", lasts)
    report.check(min(lasts["stays"]) > GRACE, "what came to have a lasting grant goes on", lasts)
    node.start()


def fill(lab, name):
    """Fills a set until the kernel takes no element more. What connections have there counts, and may count for more.
    Returns how many it took, and how it refused the next one."""
    path = os.path.join(lab.dir, "full.nft")
    number, step, refusal = 1, 1000, ""
    while step and number < 2 * ROOM:
        with open(path, "w") as file:
            file.write("add element inet microseg %s { %s }\n" % (name, ", ".join(map(str, range(number, number + step)))))
        loaded = lab.host.run("nft", "-f", path, check=False)
        if loaded.returncode:
            step, refusal = step // 2, loaded.stderr.splitlines()[0]
        else:
            number += step
    if step:
        raise LabError("%s does not get full" % name)
    return number - 1, refusal


def full(report, node, parties):
    """The records of an end are full: who is in stays in, nobody else comes in, and the daemon clears what is dead."""
    end = int(time.time()) + 3000
    report.equal(node.cli("apply", "--yes", "-p", write_policy(node.lab, end)).returncode, 0, "the policy applies")
    shell, api, server = parties["shell"], parties["api"], parties["db-1"]
    held = Ticking(shell, server, "tcp", 7001, 4, None)
    report.equal(held.client.agent.wait(held.open())["result"], "ok", "one connection is open")
    node.stop(signal.SIGKILL)
    name = "lent/" + iso(end).replace(":", ".")
    n_taken, refusal = fill(node.lab, name)
    report.note("%d elements fill it: %s" % (n_taken, refusal))
    report.check("Too many open files" in refusal, "it is full, and no other error", refusal)  # ENFILE

    def enters():
        return shell.agent.do("tcp", dst=server.addr[4], port=7001)["result"] not in ("refused", "prohibited", "timeout")

    before = held.arrivals()["client"]["count"]
    report.check(not enters(), "nobody else comes in")
    connected = api.agent.do("tcp", dst=server.addr[4], port=7001)["result"]
    report.check(connected not in ("refused", "prohibited", "timeout"), "but by a grant without an end", connected)
    report.check(held.arrivals()["client"]["count"] > before, "who is in stays in")
    started = time.monotonic()
    node.start()
    wait_for(enters, "the records to be cleared", 20, 0.2)
    report.note("cleared %.1f s after the daemon's start" % (time.monotonic() - started))


def quarantine(report, node, parties):
    """A service cut off: nothing passes either way, of what is open and what is new; others notice nothing."""
    policy = write_policy(node.lab, int(time.time()) + 3000)
    report.equal(node.cli("apply", "--yes", "-p", policy).returncode, 0, "the policy applies")
    shell, api, loadtest = parties["shell"], parties["api"], parties["loadtest"]
    cut = [Ticking(client, parties[name], proto, port, family, "quarantine")
           for client, port in ((shell, 7001), (loadtest, 7002)) for name in ("db-1", "db-2")
           for proto in ("tcp", "udp", "ping") for family in (4, 6)]
    kept = [Ticking(shell, node.lab.outside, "tcp", 7008, family, None) for family in (4, 6)]
    numbers = [(ticking, ticking.open()) for ticking in cut + kept]
    report.equal([ticking.key for ticking, number in numbers if ticking.client.agent.wait(number)["result"] != "ok"], [],
                 "all connections open")
    time.sleep(0.5)
    result = node.cli("quarantine", "add", "prod/db", "--reason", "test")
    moment = time.monotonic()
    report.equal(result.returncode, 0, "quarantine add", result.stdout + result.stderr)
    time.sleep(1.5)
    lasts = [(ticking.key, where, seen["count"], round(seen["last"] - moment, 2))
             for ticking in cut for where, seen in ticking.arrivals().items()]
    detail = "\n".join(map(str, lasts))
    report.check(all(count > 3 for _, _, count, _ in lasts), "they ticked before", detail)
    report.check(max(last for _, _, _, last in lasts) < 0.3, "all are cut at once", detail)
    lasts = [seen["last"] - moment for ticking in kept for seen in ticking.arrivals().values()]
    report.check(min(lasts) > 1, "others go on", lasts)
    probes = [(client, server, port) for client, server, port in (
        (api, "db-1", 7001), (api, "db-2", 7001), (node.lab.host, "db-1", 7006), (parties["db-1"], "db-2", 7001))]
    results = [client.agent.do("tcp", dst=parties[server].addr[family], port=port)["result"]
               for client, server, port in probes for family in (4, 6)]
    report.equal(set(results), {"timeout"}, "what is new meets silence", results)
    reasons = {event["reason"] for event in node.events() if event["dst"].get("identity") == "prod/db"}
    report.check("quarantine" in reasons, "and its event says why", reasons)
    answer = json.loads(node.cli("explain", "prod/api", "prod/db", "tcp/7001", "-o", "json").stdout)
    report.check("quarantine remove prod/db" in (answer.get("nearest") or ""), "explain says how to end it", answer)
    newcomer = node.lab.container("db-3", "br-two", "prod", "db")
    listen(newcomer)
    node.wait_endpoints([newcomer])
    report.equal(api.agent.do("tcp", dst=newcomer.addr[4], port=7001)["result"], "timeout", "a new replica is cut off too")
    report.equal(node.cli("quarantine", "remove", "prod/db").returncode, 0, "quarantine remove")
    results = [api.agent.do("tcp", dst=parties[name].addr[family], port=7001)["result"]
               for name in ("db-1", "db-2") for family in (4, 6)]
    report.check("timeout" not in results, "and everything is as before", results)
    report.check("quarantine" not in node.ruleset(), "with no rule left of it")


def main():
    report = Report(__doc__)
    with Lab() as lab:
        lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
        lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
        parties = {name: lab.container(name, bridge, env, service) for name, bridge, env, service in CONTAINERS}
        lab.settle()
        for party in [*parties.values(), lab.host, lab.outside]:
            listen(party)
        node = Node(lab)
        node.start(policy=write_policy(lab, int(time.time()) + 3000))
        node.wait_endpoints(parties.values())
        report.section(full, report, node, parties)
        states = sys.argv[1:] or ["alive", "stopped", "killed"]
        for state in states:
            report.section(until_the_end, report, node, parties, state)
        report.section(changed_meanwhile, report, node, parties)
        report.section(quarantine, report, node, parties)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
