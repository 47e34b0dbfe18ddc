#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""microsegd --fence: between a boot and the daemon nothing on an armed node is open.

A boot is played by what it does: the tables are gone, no daemon runs, and the state directory is of another boot.
"""
import os
import re
import signal
import subprocess
import sys
import time

from scenario import POLICY, build, reason_of

from lab import run, wait_for
from node import MICROSEGD, Node
from probes import control, flows, matrix, send_all
from tap import Report

CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api-1", "br-one", "prod", "orders-api"),
    ("prod-api-2", "br-two", "prod", "orders-api"),
    ("dev-web", "br-one", "dev", "web"),
)
PROBES = "tcp/8080 udp/9000 udp/5432 ping"
UDP = [9000, 5432]
RACES = 8


def pairs(containers):
    return [flow for src in containers for dst in containers if src is not dst
            for port in PROBES.split() for flow in flows(src, dst, port, reason_of(src, dst, port))]


def opened(table):
    """Which of these flows get through."""
    return {flow for flow, result in send_all(table).items() if result == "ok"}


def allowed(table):
    return {flow for flow in table if flow.reason is None}


def texts(flows_):
    return "\n".join(sorted(map(str, flows_)))


def fence(node, *args):
    return run(*node.command("--fence", *args), check=False)


def tables(node):
    return re.findall(r"^table (\w+ microseg)$", node.lab.host.run("nft", "list", "tables").stdout, re.MULTILINE)


def datagrams(party):
    """How many IPv4 datagrams the kernel has delivered to sockets there, or had no room for."""
    lines = [line.split() for line in party.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Udp: ")]
    counters = dict(zip(*lines))
    return sum(int(counters[name]) for name in ("InDatagrams", "InErrors", "NoPorts"))


def lose_tables(node):
    """What a boot takes: the daemon and the tables."""
    node.kill()
    for table in tables(node):
        node.lab.host.run("nft", "delete", "table", *table.split())


def forget_names(node, containers):
    """Takes the aliases away: as with engines, only the daemon knows who these are."""
    for container in containers:
        node.lab.host.run("ip", "link", "set", "dev", container.port, "alias", "")


def daemon_returns(report, node, containers, what):
    for container in containers:
        node.lab.identify(container)
    node.start()
    node.wait_endpoints(containers)
    matrix(report, node, pairs(containers), what)


def state_file(node, name):
    return os.path.join(node.state, name)


def edit(node, name, change):
    """Rewrites a file of the state directory."""
    with open(state_file(node, name), "rb") as file:
        before = file.read()
    with open(state_file(node, name), "wb") as file:
        file.write(change(before))
    return before


def put_back(node, name, content):
    with open(state_file(node, name), "wb") as file:
        file.write(content)


def of_another_boot(text):
    head, _, rest = text.partition(b"\n")
    words = head.split()
    return b" ".join([*words[:-1], b"00000000-0000-0000-0000-000000000000"]) + b"\n" + rest


def check_fence(report, node, what, says, *args):
    """Runs the fence, which must end well and say this."""
    started = time.monotonic()
    result = fence(node, *args)
    report.equal(result.returncode, 0, "%s: exit code" % what, result.stderr)
    report.check(says in result.stderr, "%s: it says '%s'" % (what, says), result.stderr)
    report.check(time.monotonic() - started < 3, "%s: it is done at once" % what, time.monotonic() - started)


def check_shut(report, node, containers, what):
    """Nothing passes between containers, and nothing of what they send to the host arrives."""
    got = opened(pairs(containers) + [flow for src in containers for flow in flows(src, node.lab.host, "udp/123 tcp/8080")])
    report.check(not got, "%s: nothing passes" % what, texts(got))


def idle(report, node, containers):
    """Never armed, armed with tables, off: nothing to do."""
    fresh = Node(node.lab, name="fresh")
    check_fence(report, fresh, "never armed", "never armed")
    report.equal(tables(node), [], "never armed: no table")
    report.check(not os.path.exists(fresh.state), "never armed: no state directory is made")
    node.start(policy=POLICY)
    node.wait_endpoints(containers)
    before = node.structure()
    check_fence(report, node, "beside the daemon", "our tables stand")
    report.equal(node.status().get("state"), "enforcing", "beside the daemon: it goes on")
    node.stop(signal.SIGKILL)
    check_fence(report, node, "after the daemon", "our tables stand")
    report.equal(node.structure(), before, "the tables were not touched")


def off(report, node, containers):
    """off survives the boot: the fence does not close what was opened on purpose."""
    node.start()
    node.cli("off")
    lose_tables(node)
    check_fence(report, node, "off", "off here")
    report.equal(tables(node), [], "off: no table")
    control(report, pairs(containers), "off")
    node.start()
    node.cli("on")
    node.wait_ready(("enforcing",))
    node.wait_endpoints(containers)


def same_boot(report, node, containers):
    """The tables are lost with the containers running: the last good ruleset is back as it was, and knows nobody new."""
    ruleset = sections(node.ruleset())
    lose_tables(node)
    control(report, pairs(containers), "without tables")
    forget_names(node, containers)
    check_fence(report, node, "same boot", "the last good policy is in force; of 4 endpoints 4 are known")
    report.equal(sections(node.ruleset()), ruleset, "what stands is what stood")
    got, want = opened(pairs(containers)), allowed(pairs(containers))
    report.equal(texts(got), texts(want), "same boot: all verdicts")
    for container in containers:
        node.lab.identify(container)


def sections(ruleset):
    """The lines of the listing in an order of their own: a load makes sets and chains in another one than growth does."""
    return "\n".join(sorted(ruleset.splitlines()))


def newcomer(report, node, containers):
    """A container that starts right after the fence passes nothing until the daemon knows it, and the takeover has no gap."""
    late = node.lab.container("late", "br-one", "prod", "web")
    late.listen(tcp=[8080], udp=UDP)
    web, api, stranger = containers[0], containers[1], containers[3]
    check_shut(report, node, [late, api], "newcomer")
    held = web.agent.do("hold", dst=api.addr[4], port=8080, key="held")
    report.equal(held["result"], "ok", "fence: an allowed connection opens")
    api.agent.do("forget")
    before = datagrams(api)
    stranger.agent.do("spray", dst=api.addr[4], udp=9000, tcp=8080, period=0.0002)
    late.agent.do("spray", dst=api.addr[6], udp=5432, tcp=443, period=0.0002)
    web.agent.do("spray", dst=api.addr[4], udp=9000, tcp=8080, period=0.0002)
    time.sleep(0.5)
    node.start()
    node.wait_endpoints([late])
    sprayed = {party.name: party.agent.do("sprayed", stop=True) for party in (stranger, late, web)}
    arrived = {tuple(entry[:4]): entry[5] for entry in api.agent.do("sniffed")["seen"]}
    # What the newcomer may do once it is known waits in its neighbour queue till then.
    leaks = {key: count for key, count in arrived.items()
             if key[0] in stranger.addr.values() or key[0] in late.addr.values() and key[2:] in (("udp", 5432), ("tcp", 443))}
    report.check(min(sprayed["dev-web"]["sent"], sprayed["late"]["sent"]) > 100, "takeover: the flood was one", sprayed)
    report.equal(leaks, {}, "takeover: nothing of it arrived", sprayed)
    time.sleep(0.2)  # the last of them are under way
    good, sent = datagrams(api) - before, sprayed["prod-web"]["sent"]
    report.check(good >= sent > 100, "takeover: all that is allowed kept passing", "%d of %d" % (good, sent))
    report.equal(web.agent.do("talk", key="held")["result"], "ok", "takeover: the open connection lives on")
    # Neighbours that were asked for in vain are asked for again within a second or two.
    both_ways = [flow for flow in pairs([late, api]) if flow.reason is None or flow.src is api]
    wait_for(lambda: not any(result == "timeout" for result in send_all(both_ways).values()), "neighbours to be found")
    matrix(report, node, pairs([late, *containers]), "after the takeover")
    node.lab.remove(late)


def another_boot(report, node, containers):
    """After a boot no endpoint is known, whatever bears an old name and address."""
    lose_tables(node)
    forget_names(node, containers)
    edit(node, "inventory", of_another_boot)
    check_fence(report, node, "boot", "the last good policy is in force; of 4 endpoints 0 are known")
    check_shut(report, node, containers, "boot")
    daemon_returns(report, node, containers, "the daemon after the boot")


def damage(report, node, containers):
    """Files that are torn, cut, empty or gone, and a directory that is none: closed, never open."""
    cases = (
        ("inventory", "a wrong byte", lambda text: text.replace(b"prod", b"prot", 1), "of 4 endpoints 0 are known"),
        ("inventory", "cut", lambda text: text[:len(text) // 2], "of 4 endpoints 0 are known"),
        ("inventory", "empty", lambda text: b"", "of 4 endpoints 0 are known"),
        ("policy", "a wrong byte", lambda text: text.replace(b"allow", b"alloy", 1), "no policy can be used"),
        ("policy", "cut", lambda text: text[:len(text) // 2], "no policy can be used"),
        ("policy", "empty", lambda text: b"", "no policy can be used"),
    )
    forget_names(node, containers)
    for name, what, change, says in cases:
        lose_tables(node)
        before = edit(node, name, change)
        check_fence(report, node, "%s: %s" % (name, what), says)
        check_shut(report, node, containers, "%s: %s" % (name, what))
        put_back(node, name, before)
    lose_tables(node)
    os.rename(state_file(node, "policy"), state_file(node, "policy.away"))
    check_fence(report, node, "no policy", "no policy can be used")
    check_shut(report, node, containers, "no policy")
    os.rename(state_file(node, "policy.away"), state_file(node, "policy"))
    lose_tables(node)
    file = os.path.join(node.lab.dir, "no-directory")
    with open(file, "w"):
        pass
    check_fence(report, node, "state that is no directory", "no policy can be used", "--state", file)
    check_shut(report, node, containers, "state that is no directory")
    lose_tables(node)
    with open(node.config, "a") as config:
        config.write("nonsense: true\n")
    check_fence(report, node, "broken configuration", "the last good policy is in force")
    with open(node.config) as config:
        text = config.read()
    with open(node.config, "w") as config:
        config.write(text.replace("nonsense: true\n", ""))
    daemon_returns(report, node, containers, "after all the damage")


def races(report, node, _containers):
    """The fence and the daemon at the same moment: whoever is first, the daemon's tables stand in the end."""
    for number in range(RACES):
        lose_tables(node)
        with subprocess.Popen(node.command("--fence"), stderr=subprocess.PIPE, text=True) as process:
            time.sleep(0.01 * number)
            node.start()
            said = process.communicate(timeout=20)[1]
        report.equal((process.returncode, node.status().get("state")), (0, "enforcing"), "race %d" % number, said)
    report.equal(wait_for(lambda: len(tables(node)) == 2, "both tables"), True, "both tables stand")


def check_config(report, node, _containers):
    """--check-config: 0 for a good file, 1 with file, line and column for a bad one, and nothing is started."""
    good = run(MICROSEGD, "--check-config", "-c", node.config, check=False)
    report.equal((good.returncode, good.stderr), (0, ""), "a good configuration")
    bad = os.path.join(node.lab.dir, "bad.yaml")
    with open(bad, "w") as file:
        file.write("node: a\nenginse: [none]\n")
    result = run(MICROSEGD, "--check-config", "-c", bad, check=False)
    report.equal(result.returncode, 1, "a bad configuration", result.stderr)
    report.check("bad.yaml:2:1" in result.stderr and "engines" in result.stderr, "it says where and what", result.stderr)


def main():
    report = Report("the fence")
    lab, parties = build(CONTAINERS)
    with lab:
        containers = [parties[row[0]] for row in CONTAINERS]
        for party in containers:
            party.listen(udp=[5432])
        control(report, pairs(containers), "no microseg")
        node = Node(lab)
        for part in (idle, off, same_boot, newcomer, another_boot, damage, races, check_config):
            report.section(part, report, node, containers)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
