#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows microseg at work, in a lab made of network namespaces: run by tools/bootstrap demo, as root.

Every output shown is a real program's; every call is a real connection between two namespaces. Ends with 0 when each call
had the result that the text promises.
"""
import os
import re
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lab"))

from lab import Lab, LabError, wait_for  # noqa: E402
from node import MICROSEG, POLICIES, Node  # noqa: E402

BOLD, DIM, RED, GREEN, OFF = ("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m") if (
    sys.stdout.isatty() and "NO_COLOR" not in os.environ) else ("",) * 5
POLICY_NAME = os.path.relpath(POLICIES, ROOT)
AT = "2026-01-15T12:00:00Z"  # when its exceptions and its crossing with a clock were in force

# name, bridge, env, service
CONTAINERS = (
    ("web-prod", "br-front", "prod", "web"),
    ("api-prod", "br-front", "prod", "orders-api"),
    ("db-prod", "br-back", "prod", "orders-db"),
    ("web-dev", "br-front", "dev", "web"),
    ("api-dev", "br-back", "dev", "orders-api"),
    ("stranger", "br-front", None, None),
)
WORDS = {"ok": "works", "refused": "refused", "prohibited": "refused", "timeout": "no answer"}


class Demo:
    def __init__(self, lab):
        self.lab = lab
        self.containers = {}
        self.wrong = 0

    def title(self, text):
        print("\n%s%s%s" % (BOLD, text, OFF), flush=True)

    def say(self, text):
        print(text, flush=True)

    def call(self, src, dst, port, expected, family=4):
        """Opens a TCP connection, sends a few bytes, wants them back, and prints what became of it."""
        source, target = self.containers[src], self.containers[dst]
        result = source.agent.do("tcp", dst=target.addr[family], port=port)["result"]
        good = (result == "ok") == expected
        self.wrong += not good
        colour = GREEN if result == "ok" else RED
        print("  %-9s -> %-9s tcp/%-5d IPv%d  %s%s%s%s" % (
            src, dst, port, family, colour, WORDS.get(result, result), OFF, "" if good else "   <- NOT what was promised"),
            flush=True)

    def show(self, result, limit=None):
        """Prints a command's output, indented."""
        lines = (result.stdout + result.stderr).rstrip().splitlines()
        for line in lines[:limit]:
            print("  %s%s%s" % (DIM, line, OFF))
        sys.stdout.flush()


def build(demo):
    lab = demo.lab
    lab.bridge("br-front", "10.81.0.0/24", "fd81::/64")
    lab.bridge("br-back", "10.82.0.0/24", "fd82::/64")
    for name, bridge, env, service in CONTAINERS:
        container = lab.container(name, bridge, env, service)
        container.listen(tcp=[8080, 5432])
        demo.containers[name] = container
        demo.say("  %-9s %-9s %-10s %-10s %s" % (name, bridge, container.addr[4], container.addr[6],
                                                 container.identity if env else "(no labels)"))
    lab.settle()


def before(demo):
    demo.title("2. Without microseg, everything reaches everything")
    demo.call("web-prod", "api-prod", 8080, True)
    demo.call("web-dev", "db-prod", 5432, True)
    demo.call("stranger", "db-prod", 5432, True)


def start(demo):
    demo.title("3. microsegd is started with the policy in %s/" % POLICY_NAME)
    node = Node(demo.lab)
    demo.say("  $ microseg check -p %s --at %s   # its exceptions are over since" % (POLICY_NAME, AT))
    demo.show(node.cli("check", "-p", POLICY_NAME, "--at", AT, cwd=ROOT))
    demo.say("  $ microsegd -p %s &" % POLICY_NAME)
    node.start(policy=POLICY_NAME)
    if node.status().get("state") != "enforcing":
        raise LabError("microsegd does not enforce the policy:\n" + node.log_text())
    node.wait_endpoints(demo.containers.values())
    demo.say("  $ microseg endpoints")
    demo.show(node.cli("endpoints"))
    return node


def granted(demo):
    demo.title("4. What the policy grants works, on one bridge and across two, in IPv4 and IPv6")
    for family in (4, 6):
        demo.call("web-prod", "api-prod", 8080, True, family)
        demo.call("api-prod", "db-prod", 5432, True, family)


def refused(demo):
    demo.title("5. Everything else is refused")
    demo.say("  dev may not call prod, whatever its service is:")
    demo.call("web-dev", "api-prod", 8080, False)
    demo.call("api-dev", "db-prod", 5432, False, 6)
    demo.say("  in prod, the web server has no business with the database:")
    demo.call("web-prod", "db-prod", 5432, False)
    demo.say("  and a container that nobody labelled reaches nothing:")
    demo.call("stranger", "api-prod", 8080, False)


def drops(demo, node):
    demo.title("6. Each refusal says who, why, and what would have to be written where")
    wait_for(lambda: len(node.events()) >= 4, "the events of four refused calls", 5)
    demo.say("  $ microseg drops")
    demo.show(node.cli("drops"))
    named = [re.search(r"\((\S+):(\d+)\)", event["nearest"]) for event in node.events() if event["reason"] == "no-grant"]
    if not named or not named[0]:
        raise LabError("no event names a line of the policy")
    file, number = named[0][1], int(named[0][2])
    with open(os.path.join(ROOT, file)) as policy:
        line = policy.read().splitlines()[number - 1]
    demo.say("  The line it names for prod/orders-db, where the owner of that service could let web in:")
    demo.say("  %s%s:%d:%s%s" % (DIM, file, number, line, OFF))


def unattended(demo, node):
    demo.title("7. The verdicts are the kernel's: the daemon is killed, and nothing changes")
    node.kill()
    demo.call("web-prod", "api-prod", 8080, True)
    demo.call("web-dev", "api-prod", 8080, False)


def main():
    started = time.monotonic()
    print("%smicroseg: who may talk to whom between the containers of a host%s" % (BOLD, OFF))
    print("This demo makes a small container host out of network namespaces, and removes it at the end.\n"
          "Your own network is not touched.")
    with Lab("demo") as lab:
        demo = Demo(lab)
        demo.title("1. Six containers of two environments on two bridges")
        build(demo)
        before(demo)
        node = start(demo)
        granted(demo)
        refused(demo)
        drops(demo, node)
        unattended(demo, node)
    demo.title("Done in %.0f seconds; the lab is gone." % (time.monotonic() - started))
    if demo.wrong:
        print("%d of the calls had another result than this text promises." % demo.wrong)
    return 1 if demo.wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit("demo: %s" % error)
