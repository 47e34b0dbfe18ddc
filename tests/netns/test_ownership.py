#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other people's hands: who else works on the firewall of the host opens nothing, cuts nothing, and is not disturbed by us.

Under a flood that no policy allows, and with allowed streams open. First as on kernels whose tables can have an owner: what
is tried on ours is refused. Then as on older ones (old-kernel.c): the tables are plain, and what was changed is back within
milliseconds, counted and logged. Real firewalld, iptables-nft and iptables-legacy, foreign chains, and tables that are an
orphan's because the daemon is dead.
"""
import functools
import os
import re
import signal
import statistics
import sys
import time

from scenario import POLICY, build, reason_of

from firewalld import Firewalld
from lab import wait_for
from node import BUILD, Node
from probes import control, flows, matrix
from tap import Report
from test_revoke import Datagrams, Pump
from traffic import Floods

CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api-1", "br-one", "prod", "orders-api"),
    ("prod-api-2", "br-two", "prod", "orders-api"),
    ("dev-web", "br-one", "dev", "web"),
)
PER_SECOND = 1000  # of each of four floods: what gets through in a hole is its length in milliseconds
REPEAT = 5
BACK_MS = 50
LATE_MS = 1000  # one of many tries, on a machine that does other things too
OLD_KERNEL = BUILD + "/tests/netns/libold-kernel.so"
PROBES = "tcp/8080 udp/9000 udp/8080 ping"


PARTIES = {}  # of the lab of this run


def everything(parties):
    containers = [party for party in parties.values() if hasattr(party, "port")]
    return [flow for src in containers for dst in containers if src is not dst
            for port in PROBES.split() for flow in flows(src, dst, port, reason_of(src, dst, port))]


@functools.cache
def floods():
    """From another environment, to the same bridge and to the other one, in both families."""
    parties = PARTIES
    return Floods([(parties["dev-web"], parties[name], family) for name in ("prod-api-1", "prod-api-2") for family in (4, 6)],
                  PER_SECOND)


def streams_of(parties, port):
    """Allowed ones, each way of forwarding and each family."""
    ways = [(name, family) for name in ("prod-api-1", "prod-api-2") for family in (4, 6)]
    return [Datagrams("UDP IPv%d to %s" % (family, name), parties["prod-web"], parties[name], family, 9000, port + number)
            for number, (name, family) in enumerate(ways)]


def hold_connections(parties):
    for name in ("prod-api-1", "prod-api-2"):
        for family in (4, 6):
            answer = parties["prod-web"].agent.do("hold", dst=parties[name].addr[family], port=8080, key="%s/%d" % (name, family))
            assert answer["result"] == "ok", answer


def talk(parties):
    """What each of these connections says."""
    return {parties["prod-web"].agent.do("talk", key="%s/%d" % (name, family))["result"]
            for name in ("prod-api-1", "prod-api-2") for family in (4, 6)}


# ---- what others do ------------------------------------------------------------------------------------------------


class Hands:
    """Somebody else, in the host's namespace. Every method is one thing he does; it says whether the kernel let him."""

    def __init__(self, node):
        self.node = node
        self.host = node.lab.host

    def nft(self, *words):
        return self.host.run("nft", *words, check=False).returncode == 0

    def handle(self, table, chain, number=0):
        listed = self.host.run("nft", "-a", "list", "chain", *table.split(), chain).stdout
        return re.findall(r"# handle (\d+)", listed)[number + 1]

    def flush_all(self):
        """nft flush ruleset"""
        return self.nft("flush", "ruleset")

    def delete_inet(self):
        """nft delete table inet microseg"""
        return self.nft("delete", "table", "inet", "microseg")

    def delete_bridge(self):
        """nft delete table bridge microseg"""
        return self.nft("delete", "table", "bridge", "microseg")

    def delete_rule(self):
        """one rule of ours deleted"""
        return self.nft("delete", "rule", "inet", "microseg", "forward", "handle", self.handle("inet microseg", "forward"))

    def insert_accept(self):
        """an accept inserted before our rules"""
        return self.nft("insert", "rule", "inet", "microseg", "judge", "accept")

    def delete_element(self):
        """one element of ours deleted"""
        return self.nft("delete", "element", "inet", "microseg", "any/dev/4", "{ %s }" % self.victim)

    def add_element(self):
        """one element added: dev-web becomes a prod/web"""
        return self.nft("add", "element", "inet", "microseg", "prod/web/4", "{ %s }" % self.victim)

    def iptables(self, restore):
        rules = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:MINE -\n-A FORWARD -j MINE\n-A MINE -j ACCEPT\nCOMMIT\n"
        return self.host.run(restore, stdin=rules, check=False).returncode == 0

    def iptables_nft(self):
        """iptables-nft-restore"""
        return self.iptables("iptables-nft-restore") and self.iptables("ip6tables-nft-restore")

    def iptables_legacy(self):
        """iptables-legacy-restore"""
        return self.iptables("iptables-legacy-restore") and self.iptables("ip6tables-legacy-restore")


DIRECT = ("delete_inet", "delete_bridge", "delete_rule", "insert_accept", "delete_element", "add_element")
AROUND = ("iptables_nft", "iptables_legacy")


def metric(node, name):
    """A counter of the control socket's metrics."""
    text = node.lab.host.run("curl", "-s", "--unix-socket", node.control, "http://localhost/metrics").stdout
    found = re.search(r"^%s (\d+)$" % name, text, re.MULTILINE)
    return int(found[1]) if found else None


# ---- with an owner ---------------------------------------------------------------------------------------------------


def undisturbed(report, node, parties, what, action, port):
    """Does something under a flood and with allowed streams: nothing opens, nothing is lost, our tables stay."""
    before = node.structure()
    flood = floods()
    pump = Pump(streams_of(parties, port))
    flood.start()
    time.sleep(0.2)
    done = action()
    time.sleep(0.2)
    sent, arrived = flood.stop()
    pump.stop()
    report.check(sent > 0 and not arrived, "%s: 0 of %d packets that nothing allows arrive" % (what, sent), arrived)
    lost = ["%s: %d of %d %s" % (stream.name, stream.received, stream.sent, stream.error or "") for stream in pump.streams
            if stream.received != stream.sent]
    report.equal((lost, talk(parties)), ([], {"ok"}), "%s: allowed streams lose nothing, and connections live on" % what)
    report.equal(ours(node.structure()), ours(before), "%s: our tables are as they were" % what)
    return done


def ours(structure):
    """Our tables out of a listing of all."""
    return re.findall(r"^table \w+ microseg \{.*?^\}", structure, re.MULTILINE | re.DOTALL)


def owned(report, node, parties):
    """Tables with an owner: nobody else changes them."""
    hands = Hands(node)
    hands.victim = parties["dev-web"].addr[4]
    for number, name in enumerate(DIRECT + ("flush_all",) + AROUND):
        action = getattr(hands, name)
        done = undisturbed(report, node, parties, action.__doc__, action, 30000 + 10 * number)
        if name in DIRECT:
            report.check(not done, "%s: the kernel refuses it" % action.__doc__)
    report.equal(metric(node, "microseg_drift_repaired_total"), 0, "nothing had to be repaired")


def foreign_chains(report, node, parties):
    """Somebody's chains that accept all, before ours and behind: what we refuse stays refused."""
    host = node.lab.host
    host.run("nft", "-f", "-", stdin="".join("""table %s foreign%d {
        chain forward { type filter hook forward priority %d; policy accept; accept; }
        chain prerouting { type filter hook prerouting priority %d; policy accept; accept; }
        chain input { type filter hook input priority %d; policy accept; accept; }
        }\n""" % (family, number, priority, priority, priority)
        for family in ("inet", "bridge") for number, priority in enumerate((-350, 350))))
    matrix(report, node, everything(parties), "foreign chains accept")
    for family in ("inet", "bridge"):
        for number in (0, 1):
            host.run("nft", "delete", "table", family, "foreign%d" % number)


HOSTLESS = """
apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments: {prod: {mode: enforce}, dev: {mode: enforce}}
"""
DROPPING = """
table ip filter { chain DOCKER-USER { return; }
    chain FORWARD { type filter hook forward priority filter; policy drop; accept; }
    chain more { type filter hook forward priority 7; policy accept; tcp dport 9 drop; }
}
table inet wall {
    chain strict { type filter hook forward priority 10; policy drop; accept; }
    chain rejects { type filter hook forward priority 20; policy accept; tcp dport 9 drop; accept; counter log reject; }
    chain lenient { type filter hook forward priority 30; policy accept; tcp dport 9 counter drop; }
    chain refusing { type filter hook prerouting priority 30; policy accept; ct state new tcp dport 9 log reject; }
    chain careful { type filter hook forward priority 40; policy accept; ct state invalid counter drop; tcp dport 9 accept; }
    chain established { type filter hook forward priority 50; policy accept; ct state established,related accept; ct state new drop; }
    chain regular { drop; }
    chain input { type filter hook input priority 10; policy drop; accept; }
    chain output { type filter hook output priority 10; policy drop; accept; }
}
table bridge wall { chain strict { type filter hook forward priority 10; policy drop; accept; }
}
"""


def in_the_way(report, node, _parties):
    """Chains of others that drop what they do not accept: status names them, and no others."""
    host = node.lab.host

    def named(key="foreign_chains"):
        return sorted((chain["family"], chain["table"], chain["chain"], chain["hook"], chain["priority"], chain["engine"])
                      for chain in node.status()[key])

    report.equal((named(), named("foreign_rules")), ([], []), "nobody is in the way")
    host.run("nft", "-f", "-", stdin=DROPPING)
    forward = [("bridge", "wall", "strict", "forward", 10, False), ("inet", "wall", "rejects", "forward", 20, False),
               ("inet", "wall", "strict", "forward", 10, False), ("ip", "filter", "FORWARD", "forward", 0, True)]
    ends = [("inet", "wall", hook, hook, 10, False) for hook in ("input", "output")]
    report.equal(named(), sorted(forward + ends), "those that drop are named")
    some = [("inet", "wall", "established", "forward", 50, False), ("inet", "wall", "lenient", "forward", 30, False),
            ("inet", "wall", "refusing", "prerouting", 30, False)]
    report.equal(named("foreign_rules"), some, "and apart from them those of which a rule drops, but what is invalid anyway")
    said = node.cli("status").stdout
    report.check("warning: chain inet wall strict (hook forward, priority 10) drops" in said, "in a sentence", said)
    report.check("note: chain ip filter FORWARD (hook forward, priority 0) drops" in said, "an engine's own is only noted", said)
    report.check("note: chain inet wall lenient (hook forward, priority 30) has rules that drop" in said, "as is a rule", said)
    path = os.path.join(node.lab.dir, "hostless.yaml")
    with open(path, "w") as file:
        file.write(HOSTLESS)
    report.equal(node.cli("apply", "--yes", "-p", path).returncode, 0, "a policy without the host applies")
    report.equal(named(), forward, "where nothing is granted to the host or to it, input and output are in nobody's way")
    report.equal(node.cli("apply", "--yes", "-p", POLICY).returncode, 0, "the policy of before applies")
    for table in ("ip filter", "inet wall", "bridge wall"):
        host.run("nft", "delete", "table", *table.split())
    report.equal((named(), named("foreign_rules")), ([], []), "and forgotten")


def many_rules(report, node, _parties):
    """Tens of thousands of somebody's rules: status takes no longer, and says what it has not looked at."""
    host = node.lab.host
    path = os.path.join(node.lab.dir, "many.nft")
    for count, unread in ((9000, False), (30000, True)):
        with open(path, "w") as file:
            file.write("table inet many { chain c { type filter hook forward priority 10; policy accept;\n")
            file.writelines("ip saddr 198.51.%d.%d tcp dport %d accept\n" % (n >> 8 & 255, n & 255, n + 1) for n in range(count))
            file.write("tcp dport 9 drop\n}\n}\n")
        host.run("nft", "-f", path)
        rows = node.status()["foreign_rules"]
        report.equal([(row["table"], row["unread"]) for row in rows], [("many", unread)], "%d rules: %s" % (
            count, "not looked at" if unread else "one of them drops"))
        took = []
        for _ in range(5):
            started = time.monotonic()
            node.status()
            took.append(time.monotonic() - started)
        report.check(min(took) < 0.5, "%d rules: status answers" % count, took)
        host.run("nft", "delete", "table", "inet", "many")


def legacy(report, node, _parties):
    """The older iptables, which nf_tables does not show."""
    host = node.lab.host
    host.run("iptables-legacy", "-A", "FORWARD", "-p", "tcp", "--dport", "9", "-j", "DROP")
    host.run("ip6tables-legacy", "-t", "mangle", "-L")
    host.run("iptables-legacy", "-t", "nat", "-L")
    named = node.status()["legacy_tables"]
    report.check({"ip filter", "ip6 mangle"} <= set(named) and "ip nat" not in named, "its tables that can drop are named", named)
    said = node.cli("status").stdout
    report.check("note: iptables-legacy has tables, which are not looked into: " + ", ".join(named) in said, "in a sentence", said)
    host.run("iptables-legacy", "-F", "FORWARD")


def firewalld(report, node, parties):
    """firewalld starts, reloads and stops."""
    daemon = Firewalld(node.lab)
    undisturbed(report, node, parties, "firewalld starts", daemon.start, 31000)
    report.check("table inet firewalld" in node.lab.host.run("nft", "list", "tables").stdout, "firewalld's own table is there")
    matrix(report, node, everything(parties), "beside firewalld")

    def reload():
        for _ in range(3):
            daemon.command("--reload")
        daemon.command("--complete-reload")

    undisturbed(report, node, parties, "firewall-cmd --reload", reload, 31100)
    report.check("table inet firewalld" in node.lab.host.run("nft", "list", "tables").stdout, "and firewalld's table is there again")
    undisturbed(report, node, parties, "firewalld stops", daemon.stop, 31200)


# ---- without an owner --------------------------------------------------------------------------------------------------


def plain(report, node, parties):
    """Plain tables: what somebody changed is back within milliseconds, counted and logged."""
    hands = Hands(node)
    hands.victim = parties["dev-web"].addr[4]
    for number, name in enumerate(DIRECT + ("flush_all",)):
        action = getattr(hands, name)
        what = "plain tables, " + action.__doc__
        holes = []
        for _ in range(REPEAT):
            before = metric(node, "microseg_drift_repaired_total"), ours(node.ruleset())
            started = time.monotonic()
            report.check(action(), "%s: the kernel lets it happen" % what) if not holes else action()
            wait_for(lambda: metric(node, "microseg_drift_repaired_total") > before[0], what, 5, 0.005)
            holes.append(1000 * (time.monotonic() - started))
            if ours(node.ruleset()) != before[1]:
                report.check(False, "%s: all is back" % what)
        report.note("%s: repaired and counted after %.0f ms (p50), %.0f ms (max) of %d, the command and the question included" % (
            what, statistics.median(holes), max(holes), len(holes)))
    report.check("our tables were changed by somebody" in node.log_text(), "the log says so", node.log_text()[-1000:])


def holes(report, node, parties):
    """The same under a flood: how long it is open, from what gets through."""
    hands = Hands(node)
    for name in ("flush_all", "delete_inet"):
        action, through = getattr(hands, name), []
        for _ in range(REPEAT):
            flood = floods()
            flood.start()
            time.sleep(0.3)
            before = metric(node, "microseg_drift_repaired_total")
            started = time.monotonic()
            action()
            wait_for(lambda: metric(node, "microseg_drift_repaired_total") > before, "the repair", 5, 0.01)
            _, arrived = flood.stop()
            worst = max((count["datagrams"] for count in arrived.values()), default=0)
            through.append(1000 * worst / (2 * PER_SECOND))  # two floods to each place
        report.check(statistics.median(through) < BACK_MS and max(through) < LATE_MS,
                     "plain tables, %s: open for less than %d ms" % (action.__doc__, BACK_MS), through)
        report.note("plain tables, %s: open for %.1f ms (p50), %.1f ms (max) of %d, by %d packets a second" % (
            action.__doc__, statistics.median(through), max(through), len(through), 2 * PER_SECOND))
    matrix(report, node, everything(parties), "plain tables, after all this")


# ---- without a daemon ----------------------------------------------------------------------------------------------------


def orphan(report, node, parties):
    """The daemon is dead and somebody flushes: the tables that were nobody's are gone, until it is back."""
    hands = Hands(node)
    hands.victim = parties["dev-web"].addr[4]
    node.stop(signal.SIGKILL)
    report.check(hands.delete_element(), "an orphan's element can be deleted")
    node.start()
    matrix(report, node, everything(parties), "restart after an orphan's element was deleted")
    report.check("are replaced" in node.log_text(), "the log says that the tables were not what they should be")
    node.stop(signal.SIGKILL)
    hands.flush_all()
    flood = floods()
    flood.start()
    time.sleep(0.2)
    report.check(flood.arrived(), "positive control: without daemon and tables the flood arrives")
    node.start()
    for arrivals in flood.arrivals.values():
        arrivals.forget()
    time.sleep(0.3)
    _, arrived = flood.stop()
    report.check(not arrived, "the daemon that comes back closes it", arrived)
    matrix(report, node, everything(parties), "restart after an orphan was flushed")


def main():
    report = Report("other people's hands")
    lab, parties = build(CONTAINERS)
    PARTIES.update(parties)
    with lab:
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        control(report, everything(parties), "no microseg")
        node = Node(lab)
        node.start(policy=POLICY)
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        hold_connections(parties)
        report.equal(node.status()["kernel"]["owner_persist"], True, "this kernel's tables can have an owner")
        for part in (owned, foreign_chains, firewalld, orphan, in_the_way, many_rules, legacy):
            report.section(part, report, node, parties)
        node.stop()
        node.cli("off")
        node.start(wrapper=["env", "LD_PRELOAD=" + OLD_KERNEL])
        node.cli("on")
        node.wait_ready(("enforcing",))
        node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
        report.equal(node.status()["kernel"]["owner_persist"], False, "an older kernel's cannot")
        report.check("owner" in node.cli("status").stdout, "status says what that means")
        for part in (plain, holes):
            report.section(part, report, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
