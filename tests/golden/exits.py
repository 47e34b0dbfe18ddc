#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How every command ends, and where it says what: exits.py MICROSEG ROOT.

0 is fine, 1 is "no", 2 is "could not be answered". Results go to stdout and diagnostics to stderr: what could not be
answered leaves stdout empty, with `-o json` what was answered is JSON. Colours appear on a terminal and nowhere else,
and there not with --no-color or NO_COLOR. `off` and `on` change the machine and are only asked wrongly here.
"""
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
SHOP, INVENTORY = "policies/shop", "tests/golden/shop.yaml"
DENIED = ["prod/web", "prod/orders-db", "tcp/5432"]
ALLOWED = ["prod/orders-api", "prod/orders-db", "tcp/5432"]

# A policy whose test fails, with a warning (no resolvers).
FINDINGS = """apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments: {prod: {}}
tests: [{from: prod/a, to: prod/b, ports: [tcp/1], expect: allow}]
"""

# A test that holds for a time only.
HELD = """apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments: {prod: {}}
tests: [{from: prod/a, to: prod/b, ports: [tcp/1], expect: allow}]
---
{apiVersion: microseg/v1, kind: Exception, id: a, from: prod/a, to: prod/b, ports: [tcp/1], until: 2026-01-15T18:00:00Z}
"""

# What each command that needs no node asks of a policy at hand.
OFF_NODE = {
    "check": ["-i", INVENTORY],
    "preview": ["-i", INVENTORY],
    "diff": ["-i", INVENTORY, "--from", SHOP],
    "explain": ["-i", INVENTORY, *ALLOWED],
    "matrix": ["-i", INVENTORY],
    "test": [],
}
# What each command asks of a node. A daemon that does not answer leaves all of them without an answer.
ON_NODE = {
    "status": [],
    "endpoints": [],
    "services": [],
    "drops": [],
    "apply": ["-p", SHOP, "--yes"],
    "confirm": [],
    "rollback": ["--yes"],
    "history": [],
    "quarantine": ["list"],
    "grant": [*ALLOWED, "--for", "1h", "--reason", "x"],
    "relax": ["prod", "--for", "1h", "--reason", "x"],
}
SWITCHES = ("off", "on")
LATER = ("suggest", "graph", "flows", "verify", "import")


class Report:
    def __init__(self):
        self.failed = self.n = 0

    def check(self, good, name, why=""):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} - {name}" + ("" if good else f": {why}"))


class Command:
    def __init__(self, microseg, report):
        self.microseg, self.report = microseg, report

    def run(self, *words, user=(), **environment):
        return subprocess.run([*user, self.microseg, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=60, env={**os.environ, **environment})

    def expect(self, code, *words, user=()):
        """The exit, and the rules that hold for every one."""
        done = self.run(*words, user=user)
        name = " ".join(words)
        wrong = []
        if done.returncode != code:
            wrong.append(f"exit {done.returncode}, expected {code}: {done.stdout[:200]}{done.stderr[:300]}")
        if code == 2 and done.stdout:
            wrong.append(f"no answer, and yet on stdout: {done.stdout[:200]}")
        if code == 2 and not done.stderr:
            wrong.append("no answer, and no word why")
        if "\033" in done.stdout + done.stderr:
            wrong.append("colours without a terminal")
        if code != 2 and "json" in words:
            try:
                json.loads(done.stdout)
            except ValueError:
                wrong.append(f"no JSON: {done.stdout[:200]}")
        self.report.check(not wrong, f"{code}: {name}" + (" (nobody)" if user else ""), "; ".join(wrong))
        return done

    def on_terminal(self, *words, **environment):
        """What stands on a terminal that is both outputs."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen([self.microseg, *words], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                                 env={**os.environ, **environment})
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the terminal's end
                break
        os.close(ours)
        child.wait(60)
        return said.decode()


def off_node(command, folder):
    findings, broken, locked = (os.path.join(folder, name) for name in ("findings.yaml", "broken.yaml", "locked"))
    for name, asked in OFF_NODE.items():
        for form in ([], ["-o", "json"]):
            command.expect(0, name, "-p", SHOP, *asked, *form)
            command.expect(1 if name == "check" else 2, name, "-p", broken, *asked, *form)
            command.expect(2, name, "-p", "/nowhere", *asked, *form)
        command.expect(2, name, "-p", locked, *asked, user=NOBODY)
        command.expect(2, name, "-p", SHOP, *asked, "one", "word", "too", "many")
        if "-i" in asked:
            rest = [word for word in asked if word not in ("-i", INVENTORY)]
            command.expect(2, name, "-p", SHOP, *rest, "-i", "/nowhere")
            command.expect(2, name, "-p", SHOP, *rest, "-i", broken)
        with open("/dev/full", "w") as full:
            done = subprocess.run([command.microseg, name, "-p", SHOP, *asked], stdout=full, stderr=subprocess.PIPE)
        command.report.check(done.returncode == 2 and b"cannot write" in done.stderr, f"{name}: a full disk", done)
    for form in ([], ["-o", "json"]):
        command.expect(1, "check", "--strict", "-p", findings, *form)
        command.expect(0, "check", "-p", findings, *form)
        command.expect(1, "test", "-p", findings, *form)
        command.expect(1, "explain", "-p", SHOP, "-i", INVENTORY, *DENIED, *form)
        command.expect(1, "diff", "--from", SHOP, "-p", "policies/examples/two-keys.yaml", "-i", INVENTORY, *form)
    for flag in ("--fail-on-gain", "--fail-on-crossing"):
        command.expect(0, "diff", "--from", SHOP, "-p", SHOP, "-i", INVENTORY, flag)
    command.expect(1, "diff", "--from", findings, "-p", SHOP, "-i", INVENTORY, "--fail-on-gain")
    command.expect(0, "diff", "--from", SHOP, "-p", findings, "-i", INVENTORY, "--fail-on-gain")
    command.expect(2, "preview", "-p", SHOP, "-i", INVENTORY, "--service", "prod/nobody")
    command.expect(2, "explain", "-p", SHOP, "-i", INVENTORY, "prod/web", "prd/web", "tcp/1")
    command.expect(2, "explain", "-p", SHOP, "-i", INVENTORY, "prod/web", "prod/web", "tcp/1-2")
    command.expect(2, "explain", "-p", SHOP, "-i", INVENTORY, "--batch", "/nowhere")


def names(command, folder):
    """A file's name is anybody's bytes: it ends no line, moves no cursor, hides no failure, and leaves JSON whole."""
    for number, name in enumerate((b"a\033[31m # TODO\nok 1 - x.yaml", b"\xff.yaml")):
        path = os.path.join(os.fsencode(folder), b"names%d" % number)
        os.mkdir(path)
        shutil.copy(os.path.join(folder, "findings.yaml"), os.path.join(path, name))
        for words in (["test"], ["test", "-o", "json"], ["test", "-o", "tap"], ["matrix", "-o", "csv"],
                      ["explain", "prod/a", "prod/b", "tcp/1"]):
            said = command.expect(0 if words[0] == "matrix" else 1, *words, "-p", path.decode()).stdout
            command.report.check("ok 1 - x" not in said.replace("\\x0aok", ""), f"{words}: a name ends no line", said)
        said = command.run("test", "-o", "tap", "-p", path.decode()).stdout
        command.report.check(said.count("\n") == 3 and " # TODO" not in said.splitlines()[1], "one line of TAP", said)
        said = command.run("test", "-o", "json", "-p", path.decode()).stdout
        command.report.check([case["ok"] for case in json.loads(said)] == [False], "JSON has the failed test", said)
        said = command.run("check", "--strict", "-o", "json", "-p", path.decode()).stdout
        command.report.check(all(case["file"] for case in json.loads(said)), "JSON has the place", said)
    for again in (SHOP, "./" + SHOP, SHOP + "/web.yaml"):
        command.expect(0, "check", "--strict", "-p", SHOP, "-p", again, "--at", "2026-01-15T12:00:00Z")


def on_node(command, folder):
    absent = ["--control", os.path.join(folder, "absent")]
    for name, asked in ON_NODE.items():
        for form in ([], ["-o", "json"]):
            command.expect(2, *absent, name, *asked, *form)
            command.expect(2, *absent, name, *asked, *form, user=NOBODY)
    for name in (*ON_NODE, *SWITCHES):
        command.expect(2, *absent, name, "--nosuch")
        command.expect(2, *absent, name, "-o", "xml")
    for wrong in (["grant", *ALLOWED], ["relax", "prod"], ["relax"], ["quarantine", "add"], ["rollback", "x"],
                  ["off", "--for", "soon"], ["off", "now"], ["on", "now"], ["drops", "--since", "soon"],
                  ["status", "now"], ["history", "3"], ["confirm", "now"], ["endpoints", "x"], ["services", "x"]):
        command.expect(2, *absent, *wrong)


def clocks(command, folder):
    """--at is the clock of every command that needs no node; an end has passed in its very second."""
    granted = ["prod/payments", "prod/orders-db", "tcp/5432"]
    without, held = os.path.join(folder, "without"), os.path.join(folder, "held.yaml")
    shutil.copytree(SHOP, without, ignore=shutil.ignore_patterns("exceptions.yaml"))
    with open(held, "w") as file:
        file.write(HELD)
    last, end = "2026-01-15T17:59:59Z", "2026-01-15T19:00:00+01:00"
    for time, holds in ((last, True), (end, False)):
        yes, no = (0, 1) if holds else (1, 0)
        command.expect(yes, "check", "--strict", "-p", SHOP, "--at", time)
        said = command.expect(0, "check", "-p", SHOP, "-i", INVENTORY, "--at", time).stderr
        command.report.check(("[expired]" in said) != holds, f"check beside an inventory at {time}", said)
        command.expect(yes, "explain", "-p", SHOP, "-i", INVENTORY, *granted, "--at", time)
        command.expect(yes, "test", "-p", held, "--at", time)
        command.expect(no, "diff", "--from", without, "-p", SHOP, "-i", INVENTORY, "--at", time)
        for name, line in (("matrix", "prod/payments"), ("preview", "exceptions.yaml:4")):
            said = command.expect(0, name, "-p", SHOP, "-i", INVENTORY, "--service", "prod/orders-db", "--at", time).stdout
            command.report.check((line in said) == holds, f"{name} at {time}", said)
        line = json.dumps({"src": granted[0], "dst": granted[1], "proto": "tcp", "dport": 5432})
        said = subprocess.run([command.microseg, "explain", "-p", SHOP, "--batch", "-", "--at", time], input=line,
                              capture_output=True, text=True).stdout
        command.report.check(('"allow"' in said) == holds, f"explain --batch at {time}", said)
    command.expect(1, "check", "-p", SHOP, "--at", "1970-01-01T00:00:00Z")  # the exceptions last too long
    for name, asked in OFF_NODE.items():
        for time in ("", "now", "2026-01-15", "2026-01-15 12:00:00", "2026-02-30T00:00:00Z", "2026-01-15T12:00:00"):
            done = command.expect(2, name, "-p", SHOP, *asked, "--at", time)
            command.report.check("is no time: expected RFC 3339" in done.stderr, f"{name} at '{time}'", done.stderr)
    for name in (*ON_NODE, *SWITCHES):
        done = command.expect(2, name, "--at", last)
        command.report.check("no flag --at here" in done.stderr, f"{name} has the clock of the node", done.stderr)


def libraries(command, folder):
    """What needs no node does not wait for libcurl and the thirty libraries behind it; who asks a daemon has it."""
    control = os.path.join(folder, "deaf")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(control)
    for name, asked in (*OFF_NODE.items(), ("--version", [])):
        words = [name] if name == "--version" else [name, "-p", SHOP, *asked]
        said = command.run(*words, LD_DEBUG="libs").stderr
        command.report.check("libyaml" in said and "libcurl" not in said, f"{name} does without libcurl")
    done = command.run("--control", control, "status", LD_DEBUG="libs")
    command.report.check("libcurl" in done.stderr and "microsegd is not running" in done.stderr, "status asks by libcurl",
                         done.stderr[-300:])


def usage(command):
    for words in ([], ["chekc"], ["--nosuch"], ["help", "chekc"]):
        command.expect(2, *words)
    for name in LATER:
        done = command.expect(2, name)
        command.report.check("not in this version" in done.stderr, f"{name} says that it is for later", done.stderr)
    for words in (["--help"], ["help"], ["--version"], ["version"], ["check", "--help"]):
        command.expect(0, *words)
        with open("/dev/full", "w") as full:
            done = subprocess.run([command.microseg, *words], stdout=full, stderr=subprocess.PIPE)
        command.report.check(done.returncode == 2 and b"cannot write" in done.stderr, f"{words}: a full disk", done)
    for name in (*OFF_NODE, *ON_NODE, *SWITCHES):
        done = command.expect(0, name, "--help")
        command.report.check(f"usage: microseg {name}" in done.stdout and not done.stderr, f"{name} helps on stdout")
        command.expect(2, name, "--nosuch")


def colours(command, folder):
    broken = os.path.join(folder, "broken.yaml")
    for words in (["explain", "-p", SHOP, "-i", INVENTORY, *DENIED], ["check", "-p", broken], ["matrix", "-p", SHOP],
                  ["diff", "--from", SHOP, "-p", "policies/examples/two-keys.yaml", "-i", INVENTORY]):
        shown, plain = command.on_terminal(*words, NO_COLOR=""), command.run(*words)
        name = " ".join(words)
        command.report.check("\033[" in shown, f"coloured on a terminal: {name}", shown[:200])
        for how, said in (("--no-color", command.on_terminal(*words, "--no-color")),
                          ("NO_COLOR", command.on_terminal(*words, NO_COLOR="1"))):
            command.report.check("\033" not in said, f"not with {how}: {name}", said[:200])
        both = sorted(re.sub(r"\033\[[0-9;]*m", "", shown).replace("\r", "").split("\n"))
        command.report.check(both == sorted((plain.stdout + plain.stderr).split("\n")), f"colours change no word: {name}")


def main():
    microseg, report = os.path.realpath(sys.argv[1]), Report()
    os.chdir(sys.argv[2])
    command = Command(microseg, report)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name, text in (("findings.yaml", FINDINGS), ("broken.yaml", "apiVersion: [\n")):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        os.mkdir(os.path.join(folder, "locked"))
        shutil.copy(os.path.join(SHOP, "web.yaml"), os.path.join(folder, "locked"))
        os.chmod(os.path.join(folder, "locked", "web.yaml"), 0)
        off_node(command, folder)
        names(command, folder)
        on_node(command, folder)
        clocks(command, folder)
        libraries(command, folder)
        usage(command)
        colours(command, folder)
    print(f"# {report.n} checks")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
