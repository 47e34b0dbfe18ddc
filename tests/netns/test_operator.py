#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator's commands, as somebody types them at night: apply with a way back, history, rollback, off with an end, what
is added at run time, and each of them where something is wrong: daemon dead, disk full, file torn, directory half written.

A policy that nobody confirmed must be gone in time whatever dies, and a node must be left exactly as it was found.
"""
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time

from scenario import POLICY, build

from lab import run, wait_for
from node import MICROSEG, Node
from tap import Report

CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api", "br-one", "prod", "orders-api"),
    ("prod-db", "br-two", "prod", "orders-db"),
    ("dev-web", "br-one", "dev", "web"),
)
# What changes by itself and is nobody's setting.
VOLATILE = ("nf_conntrack_count", "nf_conntrack_buckets", "nf_conntrack_max", "nf_conntrack_expect_max")
GRANT = "  - {from: web, ports: [http, rpc], ping: true}\n"  # the way from web to orders-api


# ---- what the tests look at ----

def host_state(node):
    """All that microseg could have changed on the host: tables, interfaces, bridge settings, sysctls."""
    ports = [{key: link.get(key) for key in ("ifname", "group", "master", "mtu", "ifalias", "address", "flags")}
             for link in json.loads(node.lab.host.run("ip", "-d", "-j", "link", "show", "type", "veth").stdout)]
    links = json.loads(node.lab.host.run("ip", "-d", "-j", "link", "show", "type", "bridge").stdout)
    bridges = [{key: value for key, value in link["linkinfo"]["info_data"].items() if not key.endswith(("_timer", "gc_timer"))}
               | {"name": link["ifname"]} for link in links]
    sysctls = [line for line in node.lab.host.run("sysctl", "-a", "-r", r"^net\.", check=False).stdout.splitlines()
               if not line.split(" ")[0].endswith(VOLATILE)]
    return "\n".join([node.ruleset(), *(json.dumps(links, indent=1, sort_keys=True) for links in (bridges, ports)), *sysctls])


def rules(node):
    """The tables as sorted lines: nft lists sets and chains in the order in which they were made. Who counts against the
    limit of connections is traffic, and no rule."""
    return "\n".join(sorted(line for line in node.ruleset().splitlines() if "ct count over" not in line))


def watchers(node):
    """The processes that wait beside the daemon of this lab."""
    netns = os.stat(node.lab.host.path).st_ino
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid) as comm:
                if comm.read().strip() == "microsegd-undo" and os.stat("/proc/%s/ns/net" % pid).st_ino == netns:
                    found.append(int(pid))
        except OSError:
            continue
    return found


def call(parties, src, dst, port):
    """Opens a TCP connection over IPv4. Returns "ok", "refused", "timeout" or "prohibited"."""
    return parties[src].agent.do("tcp", dst=parties[dst].addr[4], port=port)["result"]


def hold(parties, src, dst, port, key):
    return parties[src].agent.do("hold", dst=parties[dst].addr[4], port=port, key=key)["result"]


def talk(parties, src, key):
    return parties[src].agent.do("talk", key=key)["result"]


def variant(node, name, old="", new=""):
    """A copy of the policy with one text replaced. Returns its path."""
    path = os.path.join(node.lab.dir, name)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(POLICY, path)
    file = os.path.join(path, "services.yaml")
    with open(file) as source:
        text = source.read()
    assert old in text, old
    with open(file, "w") as target:
        target.write(text.replace(old, new, 1) if old else text)
    return path


def refused(report, node, args, *said, code=2):
    """The command says no with this exit code, and says why."""
    result = node.cli(*args)
    report.check(result.returncode == code and all(text in result.stderr + result.stdout for text in said),
                 "%s: exit %d and says %s" % (" ".join(map(str, args)), code, " and ".join(map(repr, said))),
                 "exit %d\n%s%s" % (result.returncode, result.stdout, result.stderr))
    return result


def works(report, node, args, *said):
    return refused(report, node, args, *said, code=0)


def apply(report, node, path, *more):
    return works(report, node, ["apply", "-p", path, "--yes", *more])


def entry(node, generation):
    return next((row for row in node.json("history") or [] if row["generation"] == generation), {})


def in_force(node):
    return [row["generation"] for row in node.json("history") or [] if row["in_force"]]


def on_terminal(node, answer, *args):
    """Runs a command on a terminal and types an answer to its question. Returns exit code and text."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(node.lab.host.command(MICROSEG, args[0], "-c", node.config, *args[1:]), stdin=follower,
                               stdout=follower, stderr=follower, start_new_session=True)
    os.close(follower)
    text, end = "", time.monotonic() + 20
    while time.monotonic() < end:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                text += os.read(leader, 65536).decode()
            except OSError:
                break
        if answer and "[y/N]" in text:
            os.write(leader, answer.encode() + b"\n")
            answer = None
    os.close(leader)
    return process.wait(10), text


# ---- the parts ----

def nothing_to_go_back_to(report, node, _parties, found):
    """A node that never had a policy: every command says so, and nothing is changed."""
    works(report, node, ["history"], "No policy was applied on this node yet")
    works(report, node, ["services"], "No policy is in force")
    refused(report, node, ["rollback"], "no earlier policy")
    refused(report, node, ["rollback", "7"], "no generation 7")
    refused(report, node, ["confirm"], "nothing waits to be confirmed")
    refused(report, node, ["grant", "prod/web", "prod/orders-db", "pg", "--for", "1h", "--reason", "x"], "microseg apply")
    refused(report, node, ["quarantine", "add", "prod/orders-db"], "microseg apply")
    refused(report, node, ["apply", "-p", POLICY], "say --yes", "No policy is in force on this node yet")
    report.equal(host_state(node), found, "the host is as it was found")


def first_trial(report, node, parties, found):
    """A first policy that nobody confirms leaves the node as it was found, daemon alive or dead."""
    result = apply(report, node, POLICY, "--confirm", "3s")
    report.check("microseg confirm" in result.stdout, "it says how to keep it", result.stdout)
    report.equal(call(parties, "prod-web", "prod-db", 5432), "refused", "meanwhile it is in force")
    report.equal(len(watchers(node)), 1, "one process waits beside the daemon")
    node.wait_ready(("observing",), 15)
    report.equal(host_state(node), found, "in time: the host is as it was found")
    report.equal((entry(node, 1).get("state"), in_force(node)), ("undone", []), "the history knows what became of it")
    wait_for(lambda: not watchers(node), "the process beside the daemon to go")

    apply(report, node, POLICY, "--confirm", "3s")
    node.stop(signal.SIGKILL)
    report.equal(call(parties, "prod-web", "prod-db", 5432), "refused", "daemon killed: the kernel keeps it for now")
    wait_for(lambda: not watchers(node), "the end of the trial", 20)
    report.equal(host_state(node), found, "daemon dead: the host is as it was found")
    node.start()
    report.equal(node.status().get("state"), "observing", "the next start only observes")

    apply(report, node, POLICY, "--confirm", "20s")
    node.stop(signal.SIGKILL)
    node.start()
    report.equal((node.status().get("state"), host_state(node)), ("observing", found),
                 "a daemon that starts within the time takes it away at once")
    report.equal(entry(node, 3).get("state"), "undone", "and says so in the history")

    apply(report, node, POLICY, "--confirm", "20s")
    report.equal(node.stop(), 0, "stopping ends the trial")
    report.equal(host_state(node), found, "stopped: the host is as it was found")
    wait_for(lambda: len(watchers(node)) <= 1, "the process of this trial to go")  # that of the killed daemon sleeps on
    node.start()


def what_apply_shows(report, node, parties):
    """apply shows flows and connections first, and asks on a terminal."""
    apply(report, node, POLICY)
    node.wait_ready(("enforcing",))
    node.wait_endpoints([parties[name] for name, *_ in CONTAINERS])
    tight = variant(node, "tight", GRANT, "  - {from: web, ports: [rpc]}\n")
    report.equal(hold(parties, "prod-web", "prod-api", 8080, "cut"), "ok", "a connection is open")
    source = parties["prod-web"].addr[4]
    lines = ("- prod/web -> prod/orders-api tcp/8080", "x prod/web -> prod/orders-api tcp/8080 (%s -> " % source,
             "Cuts 1 open connection")
    refused(report, node, ["apply", "-p", tight], *lines, "say --yes")
    code, text = on_terminal(node, "n", "apply", "-p", tight)
    report.check(code == 1 and "Nothing was changed." in text and lines[1] in text, "on a terminal: no means no", text)
    report.equal(talk(parties, "prod-web", "cut"), "ok", "the connection lives: nothing was changed")
    shown = node.json("apply", "-p", tight, "--yes", "--confirm", "30s")
    report.equal((shown.get("cuts", {}).get("connections"), len(shown.get("diff", {}).get("lost", [])), shown.get("state")),
                 (1, 9, "enforcing"), "-o json has it all", json.dumps(shown, indent=1)[:1500])
    wait_for(lambda: talk(parties, "prod-web", "cut") != "ok", "the connection to be cut", 5)
    works(report, node, ["rollback"], "gave way")
    code, text = on_terminal(node, "y", "apply", "-p", tight)
    report.check(code == 0 and "enforcing: generation" in text, "on a terminal: yes means yes", text)
    report.equal(call(parties, "prod-web", "prod-api", 8080), "refused", "and it is in force")
    apply(report, node, POLICY)


def trials(report, node, parties):
    """apply --confirm on an armed node: back to the policy before, whatever dies."""
    good, ruleset = in_force(node), rules(node)
    wide = variant(node, "wide", GRANT, GRANT + "  - {from: orders-db, ports: [http]}\n")
    report.equal(call(parties, "prod-db", "prod-api", 8080), "refused", "before")

    apply(report, node, wide, "--confirm", "4s")
    report.equal(hold(parties, "prod-db", "prod-api", 8080, "tried"), "ok", "on trial: it is in force")
    trial = node.status().get("trial") or {}
    report.check(trial.get("seconds_left", 9) <= 4, "status shows the time left", trial)
    refused(report, node, ["apply", "-p", POLICY, "--yes"], "waits to be confirmed", "microseg rollback")
    works(report, node, ["status"], "gives way at", "microseg confirm")
    wait_for(lambda: not node.status().get("trial"), "the end of the trial", 15)
    report.equal(rules(node), ruleset, "the policy before is in force")
    wait_for(lambda: talk(parties, "prod-db", "tried") != "ok", "what only it allowed to be cut", 5)
    report.equal((in_force(node), node.status().get("trial")), (good, None), "the history knows")
    refused(report, node, ["confirm"], "nothing waits")

    apply(report, node, wide, "--confirm", "3s")
    report.equal(hold(parties, "prod-db", "prod-api", 8080, "dead"), "ok", "on trial again")
    node.stop(signal.SIGKILL)
    refused(report, node, ["confirm"], "microsegd is not running")
    report.equal(call(parties, "prod-db", "prod-api", 8080), "ok", "daemon killed: the kernel keeps it for now")
    wait_for(lambda: rules(node) == ruleset, "the policy before to be back without a daemon", 20)
    wait_for(lambda: talk(parties, "prod-db", "dead") != "ok", "what only it allowed to be cut", 5)
    report.check("microsegd is gone and nobody confirmed" in node.log_text(), "the log says who did it", node.log_text()[-500:])
    node.start()
    report.equal((rules(node) == ruleset, in_force(node)), (True, good), "the next start has nothing to change")

    apply(report, node, wide, "--confirm", "20s")
    node.stop(signal.SIGKILL)
    node.start()
    report.equal((rules(node) == ruleset, in_force(node)), (True, good), "a start within the time: the policy before")
    apply(report, node, wide, "--confirm", "20s")
    report.equal((node.stop(), rules(node) == ruleset), (0, True), "stopped within the time: the policy before")
    node.start()

    apply(report, node, wide, "--confirm", "2s")
    works(report, node, ["confirm"], "stays")
    time.sleep(2.5)
    report.equal(call(parties, "prod-db", "prod-api", 8080), "ok", "confirmed: it stays")
    node.stop(signal.SIGKILL)
    node.start()
    report.equal(call(parties, "prod-db", "prod-api", 8080), "ok", "across a crash, too")
    refused(report, node, ["apply", "-p", POLICY, "--yes", "--confirm", "2d"], "at most a day")


def rollbacks(report, node, parties):
    """history and rollback: step by step, to a number, with a torn entry."""
    wide = in_force(node)[0]
    result = works(report, node, ["rollback", "--yes"], "- prod/orders-db -> prod/orders-api tcp/8080", "again")
    report.check("generation" in result.stdout, "a rollback is a new generation", result.stdout)
    report.equal(call(parties, "prod-db", "prod-api", 8080), "refused", "back: it is in force")
    works(report, node, ["history"], "rollback to", "in force", "root")
    refused(report, node, ["rollback", str(wide)], "+ prod/orders-db -> prod/orders-api tcp/8080", "say --yes")
    works(report, node, ["rollback", str(wide), "--yes"])
    report.equal(call(parties, "prod-db", "prod-api", 8080), "ok", "to a number, forward as well")
    works(report, node, ["rollback", str(wide), "--yes", "--confirm", "20s"], "no flow changes", "gives way")
    works(report, node, ["rollback"], "gave way")
    with open(os.path.join(node.state, "history", str(wide)), "r+b") as file:
        file.seek(200)
        file.write(b"\0\0\0")
    works(report, node, ["history"], "torn")
    refused(report, node, ["rollback", str(wide), "--yes"], "torn", "checksum")
    report.equal(node.status().get("state"), "enforcing", "nothing else is harmed")
    apply(report, node, POLICY)


def counters(report, node, parties):
    """services: hits per grant, kept when a line moves and the chain is filled anew."""
    def hits(path):
        del path
        rows = [grant for service in node.json("services", "--service", "prod/orders-api").get("services", [])
                for grant in service["grants"] if grant["text"].startswith("from prod/web")]
        return rows[0] if len(rows) == 1 else {}

    apply(report, node, POLICY)
    before = hits(POLICY).get("hits") or 0
    for _ in range(5):
        call(parties, "prod-web", "prod-api", 8080)
    after = hits(POLICY)
    report.equal((after.get("hits"), after.get("policy", {}).get("line")), (before + 5, 18), "five calls are five hits", after)
    report.check(abs((after.get("last_hit") or 0) - time.time()) < 3, "the last one was now", after)
    moved = variant(node, "moved", GRANT, "  # moved\n" + GRANT)
    apply(report, node, moved)
    report.equal((hits(moved).get("hits"), hits(moved).get("policy", {}).get("line")), (before + 5, 19), "a line that moves keeps its hits")
    call(parties, "prod-web", "prod-api", 8080)
    report.equal(hits(moved).get("hits"), before + 6, "and counts on")
    text = works(report, node, ["services", "--service", "orders-api"], "HITS", "from prod/web").stdout
    report.check("dev/orders-api" in text and "orders-db (" not in text, "--service narrows it", text)
    apply(report, node, POLICY)


def added_at_run_time(report, node, parties):
    """grant, relax, quarantine: at once, across restarts, and away again."""
    flow = ("prod-web", "prod-db", 5432)
    report.equal(call(parties, *flow), "refused", "before")
    result = works(report, node, ["grant", "prod/web", "prod/orders-db", "pg", "--for", "1h", "--reason", "INC-1 \"it's\" #1"])
    grant = result.stdout.split()[0]
    report.equal(hold(parties, *flow, "granted"), "ok", "granted: it passes")
    works(report, node, ["explain", "prod/web", "prod/orders-db", "tcp/5432", "-p", POLICY, "-i", "live"], "allow", "runtime:")
    works(report, node, ["diff", "-p", POLICY], "no flow changes")
    works(report, node, ["status"], grant, "INC-1 \"it's\" #1")
    apply(report, node, POLICY)
    node.stop(signal.SIGKILL)
    node.start()
    report.equal(talk(parties, "prod-web", "granted"), "ok", "across an apply and a crash")
    works(report, node, ["grant", "list"], grant)
    works(report, node, ["grant", "remove", grant], "removed")
    wait_for(lambda: talk(parties, "prod-web", "granted") != "ok", "its connection to be cut", 5)
    report.equal(call(parties, *flow), "refused", "removed: it is refused")
    refused(report, node, ["grant", "remove", grant], "no such grant")

    for args, said in (
            (["prod/web", "prod/orders-dbx", "pg", "--for", "1h", "--reason", "x"], "did you mean 'orders-db'"),
            (["prod/web", "prod/orders-db", "nope", "--for", "1h", "--reason", "x"], "prod/orders-db has pg, metrics"),
            (["prod/web", "prod/orders-db", "pg", "--for", "60d", "--reason", "x"], "lasts too long"),
            (["prod/web", "prod/orders-db", "pg", "--for", "1y", "--reason", "x"], "'1y' is no duration"),
            (["prod/web", "prod/orders-db", "pg", "--for", "1h", "--reason", "a\nb"], "control characters"),
            (["prod/web", "300.0.0.0/8", "tcp/1", "--for", "1h", "--reason", "x"], "300.0.0.0/8")):
        refused(report, node, ["grant", *args], said)
    refused(report, node, ["relax", "nope", "--for", "1h", "--reason", "x"], "the environments are")
    refused(report, node, ["quarantine", "add", "nobody"], "no endpoint has the name")
    refused(report, node, ["quarantine", "add", "prod/nobody"], "no document has the service")
    report.equal(node.status().get("runtime"), [], "nothing was added by any of these")


def ends_and_quarantines(report, node, parties):
    """A grant and a relax end by themselves; a quarantine cuts at once and does not end."""
    flow = ("prod-web", "prod-db", 5432)
    works(report, node, ["grant", "prod/web", "prod/orders-db", "pg", "--for", "4s", "--reason", "short"])
    report.equal(hold(parties, *flow, "short"), "ok", "granted for four seconds")
    wait_for(lambda: talk(parties, "prod-web", "short") != "ok", "its connection to end with it", 12)
    report.equal(call(parties, *flow), "refused", "ended: it is refused")
    report.equal(node.json("grant", "list"), [], "and no longer listed")

    works(report, node, ["relax", "prod/orders-db", "--for", "1h", "--reason", "INC-3"], "in audit")
    report.equal(call(parties, *flow), "ok", "relaxed: it passes")
    works(report, node, ["relax", "remove", "prod/orders-db"])
    report.equal(call(parties, *flow), "refused", "removed: it is refused")

    report.equal(hold(parties, "prod-web", "prod-api", 8080, "infected"), "ok", "a connection is open")
    works(report, node, ["quarantine", "add", "prod/orders-api", "--reason", "INC-4"], "cut off")
    wait_for(lambda: talk(parties, "prod-web", "infected") != "ok", "it to be cut", 5)
    report.equal(call(parties, "prod-web", "prod-api", 8080), "timeout", "quarantined: silence")
    refused(report, node, ["explain", "prod/web", "prod/orders-api", "tcp/8080", "-p", POLICY, "-i", "live"], "quarantine", code=1)
    node.stop(signal.SIGKILL)
    node.start()
    report.equal(call(parties, "prod-web", "prod-api", 8080), "timeout", "across a crash")
    apply(report, node, POLICY)
    report.equal(call(parties, "prod-web", "prod-api", 8080), "timeout", "and an apply")
    works(report, node, ["quarantine", "remove", "prod/orders-api"])
    report.equal(call(parties, "prod-web", "prod-api", 8080), "ok", "removed: it passes")

    wide = variant(node, "wide", GRANT, GRANT + "  - {from: orders-db, ports: [http]}\n")
    apply(report, node, wide, "--confirm", "4s")
    works(report, node, ["quarantine", "add", "prod/orders-api"])
    wait_for(lambda: not node.status().get("trial"), "the end of the trial", 15)
    report.equal(call(parties, "prod-web", "prod-api", 8080), "timeout", "added during a trial, it outlives the trial")
    works(report, node, ["quarantine", "remove", "prod/orders-api"])

    name = next(row["name"] for row in node.endpoints() if row["identity"] == "prod/orders-api")
    works(report, node, ["quarantine", "add", name])
    report.equal(call(parties, "prod-web", "prod-api", 8080), "timeout", "one container by its name")
    works(report, node, ["quarantine", "remove", name])


def off_for_a_time(report, node, parties, found):
    """off --for: as found, back by itself, across restarts and without a daemon."""
    ruleset = rules(node)
    works(report, node, ["off", "--for", "5s"], "comes back by itself")
    report.equal(host_state(node), found, "off: the host is as it was found")
    works_or_no = node.cli("status")
    report.check(works_or_no.returncode == 1 and "comes back by itself at" in works_or_no.stdout, "status is loud", works_or_no.stdout)
    refused(report, node, ["apply", "-p", POLICY, "--yes", "--confirm", "5s"], "this node is off")
    wait_for(lambda: rules(node) == ruleset, "the rules to come back by themselves", 15)

    works(report, node, ["off", "--for", "6s"])
    node.stop(signal.SIGKILL)
    report.equal(host_state(node), found, "off, and the daemon killed: as found")
    node.start()
    report.equal(node.status().get("state"), "off", "a restart within the time stays off")
    node.wait_ready(("enforcing",), 15)
    wait_for(lambda: rules(node) == ruleset, "the rules to come back", 5)

    node.stop(signal.SIGKILL)
    works(report, node, ["off", "--for", "1s"], "somebody has to start it")
    report.equal(host_state(node), found, "off without a daemon, after a crash: as found")
    time.sleep(1.2)
    report.equal(host_state(node), found, "without a daemon nobody brings it back")
    node.start()
    node.wait_ready(("enforcing",))
    report.equal(rules(node), ruleset, "the next start does")
    works(report, node, ["off"], "NOTHING IS ENFORCED")
    node.cli("off", "--for", "1s")  # a second word counts
    node.wait_ready(("enforcing",), 8)
    node.cli("off")
    works(report, node, ["on"], "on: microsegd is")
    node.wait_ready(("enforcing",))
    report.equal(call(parties, "prod-web", "prod-api", 8080), "ok", "on again")


def signals(report, node, parties):
    """SIGHUP applies the files without questions; half of a directory is never read as whole."""
    path = variant(node, "files")
    node.stop()
    node.start(policy=path)
    tight = variant(node, "tight", GRANT, "  - {from: web, ports: [rpc]}\n")
    shutil.copy(os.path.join(tight, "services.yaml"), path)
    report.equal(call(parties, "prod-web", "prod-api", 8080), "ok", "files are not read by themselves")
    works(report, node, ["status", "-p", path], "differs from what is in force")
    node.process.send_signal(signal.SIGHUP)
    wait_for(lambda: call(parties, "prod-web", "prod-api", 8080) == "refused", "SIGHUP to apply them", 15)
    works(report, node, ["history"], "SIGHUP")

    file = os.path.join(path, "services.yaml")
    with open(file, "a") as target:
        target.write("alow: []\n")
    generation = node.status().get("generation")
    node.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "services.yaml:" in str(node.status().get("policy", {}).get("refused")), "SIGHUP to refuse a broken file", 15)
    report.equal(node.status().get("generation"), generation, "nothing was changed")

    shutil.copy(os.path.join(POLICY, "services.yaml"), file)
    stop = threading.Event()

    def write():
        # The file is never seen whole: the end comes 20 ms after the beginning, again and again.
        with open(os.path.join(POLICY, "services.yaml")) as source:
            text = source.read()
        while not stop.is_set():
            with open(file, "w") as target:
                target.write(text[:400])
                target.flush()
                time.sleep(0.02)
                target.write(text[400:])
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        refused(report, node, ["apply", "-p", path, "--yes"], "somebody is writing")
        node.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "somebody is writing" in str(node.status().get("policy", {}).get("refused")), "SIGHUP to give up", 30)
        report.equal(node.status().get("generation"), generation, "nothing was changed")
    finally:
        stop.set()
        writer.join()
    node.process.send_signal(signal.SIGHUP)
    wait_for(lambda: call(parties, "prod-web", "prod-api", 8080) == "ok", "SIGHUP to apply what is whole", 15)
    report.equal(node.status().get("policy", {}).get("refused"), None, "and to forget what was refused")


def log_rotation(report, node, parties):
    """SIGUSR1 opens the event log anew."""
    log = os.path.join(node.lab.dir, "events.jsonl")
    with open(node.config, "a") as config:
        config.write("log: %s\n" % log)
    node.stop()
    node.start()
    call(parties, "dev-web", "prod-api", 8080)
    wait_for(lambda: os.path.getsize(log) > 0, "an event in the log", 5)
    os.rename(log, log + ".1")
    node.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: os.path.exists(log), "the log to be opened anew", 5)
    call(parties, "dev-web", "prod-api", 8080)
    wait_for(lambda: os.path.getsize(log) > 0, "an event in the new log", 5)
    report.check(True, "events go into the new file")


def full_disk(report, node, parties):
    """A state directory of 64 KiB that is full: nothing is half done, off works, a trial can be confirmed."""
    node.cli("off")
    node.stop()
    state = os.path.join(node.lab.dir, "small")
    os.mkdir(state)
    small = Node(node.lab, name="small-node")
    with open(small.config, "w") as config:
        config.write("node: lab\nstate: %s\ncontrol: {socket: %s}\n" % (state, small.control))
    # The file system is in a mount namespace of the daemon's own, and goes with it.
    small.start(wrapper=["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k none "$0" && exec "$@"', state])
    inside = "/proc/%d/root%s" % (daemon_pid(small), state)

    def fill():
        try:
            with open(os.path.join(inside, "filler"), "ab", buffering=0) as filler:
                while True:
                    filler.write(b"x" * 4096)
        except OSError:
            pass

    apply(report, small, POLICY)
    small.wait_endpoints([parties[name] for name, *_ in CONTAINERS])
    wide = variant(node, "wide", GRANT, GRANT + "  - {from: orders-db, ports: [http]}\n")
    apply(report, small, wide, "--confirm", "60s")
    fill()
    works(report, small, ["confirm"], "stays")
    report.equal(call(parties, "prod-db", "prod-api", 8080), "ok", "a trial is confirmed on a full disk")
    kept = in_force(small)
    for args in (["apply", "-p", POLICY, "--yes"], ["apply", "-p", POLICY, "--yes", "--confirm", "9s"], ["rollback", "--yes"],
                 ["grant", "prod/web", "prod/orders-db", "pg", "--for", "1h", "--reason", "x"],
                 ["quarantine", "add", "prod/orders-db"], ["off", "--for", "9s"]):
        refused(report, small, args, "No space left", "nothing was changed")
    report.equal((call(parties, "prod-db", "prod-api", 8080), in_force(small), small.status().get("state")),
                 ("ok", kept, "enforcing"), "the policy in force is the same")
    report.equal(watchers(small), watchers(node), "and no process waits for what was refused")
    works(report, small, ["off"], "NOTHING IS ENFORCED")
    report.equal(small.ruleset(), "", "off works on a full disk")
    small.stop()
    node.start()
    node.cli("on")
    node.wait_ready(("enforcing",))


def daemon_pid(node):
    """The daemon itself: what was started may be a wrapper of it."""
    return node.status()["pid"]


def torn_overlay(report, node, parties):
    """What commands added is torn: nothing opens, and the next apply goes on without it."""
    works(report, node, ["quarantine", "add", "prod/orders-db", "--reason", "INC-2"])
    node.stop()
    with open(os.path.join(node.state, "overlay"), "r+b") as file:
        file.seek(60)
        file.write(b"\0")
    ruleset = rules(node)
    node.start(wait=False)
    node.wait_ready(("degraded",))
    report.equal(rules(node), ruleset, "what stands in the kernel stays")
    report.check("checksum is wrong" in node.log_text(), "the log says why", node.log_text()[-600:])
    works(report, node, ["quarantine", "list"], "There is no quarantine")
    apply(report, node, POLICY)
    node.wait_ready(("enforcing",))
    report.equal(call(parties, "prod-web", "prod-api", 8080), "ok", "an apply is the way out")


def machine_readable(report, node, _parties):
    """-o json of every command is JSON."""
    for args in (["history"], ["services"], ["status"], ["endpoints"], ["grant", "list"], ["relax", "list"], ["quarantine", "list"],
                 ["apply", "-p", POLICY, "--yes"], ["apply", "-p", POLICY, "--yes", "--confirm", "20s"], ["confirm"],
                 ["relax", "dev", "--for", "1h", "--reason", "x"], ["relax", "remove", "dev"], ["off", "--for", "1h"], ["on"]):
        result = node.cli(*args, "-o", "json")
        try:
            json.loads(result.stdout)
            good = result.returncode == 0
        except ValueError:
            good = False
        report.check(good, "%s -o json" % " ".join(map(str, args)), "exit %d\n%s%s" % (result.returncode, result.stdout, result.stderr))
    node.wait_ready(("enforcing",))


def without_a_daemon(report, node, _parties):
    """Every command that needs the daemon says in one line that it is not there."""
    node.stop(signal.SIGKILL)
    for args in (["history"], ["services"], ["rollback"], ["confirm"], ["grant", "list"], ["quarantine", "add", "prod/web"],
                 ["relax", "prod", "--for", "1h", "--reason", "x"], ["apply", "-p", POLICY, "--yes"], ["status"]):
        result = node.cli(*args)
        report.check(result.returncode == 2 and "microsegd is not running" in result.stderr and len(result.stderr.splitlines()) == 1,
                     "%s: exit 2 and one line" % " ".join(args), "%d\n%s" % (result.returncode, result.stderr))
    node.start()


def main():
    report = Report("the operator's commands")
    lab, parties = build(CONTAINERS)
    with lab:
        lab.host.sysctl({"net.bridge.bridge-nf-call-%s" % table: 0 for table in ("iptables", "ip6tables", "arptables")})
        node = Node(lab)
        run(*lab.host.command("true"))
        found = host_state(node)
        node.start()
        for part in (nothing_to_go_back_to, first_trial):
            report.section(part, report, node, parties, found)
        for part in (what_apply_shows, trials, rollbacks, counters, added_at_run_time, ends_and_quarantines):
            report.section(part, report, node, parties)
        report.section(off_for_a_time, report, node, parties, found)
        for part in (signals, log_rotation, torn_overlay, machine_readable, without_a_daemon, full_disk):
            report.section(part, report, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
