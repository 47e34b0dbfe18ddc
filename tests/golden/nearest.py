#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The nearest miss, taken at its word: nearest.py MICROSEG ROOT [--show].

For each refused flow below, what its nearest miss says is written into a copy of the policy as a reader would paste it,
and the flow is asked about again:

    one edit at a time    the flow is allowed, or another obstacle is named; a few edits later it is allowed
    all of a sentence     the flow is allowed at once, unless the sentence was cut
    each alternative      ("or for good", "add to its resolvers instead") does by itself what it promises

After each edit the policy must load, and it opens nothing but that flow (and the same flow in other environments, where
the sentence says so). Flows that no edit can allow must say so, in the words given. --show prints every sentence.
"""
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

MAX_EDITS = 4
LATER = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
SHOP, EXAMPLES = "policies/shop", "policies/examples"

HEAD = """apiVersion: microseg/v1
kind: Environments
identity: {env: [env], service: [service]}
unidentified: {mode: enforce}
"""


def service(name, env, rest=""):
    return f"---\napiVersion: microseg/v1\nkind: Service\nservice: {name}\nenv: {env}\n{rest}"


def exception(name, src, dst, ports, until):
    return (f"---\napiVersion: microseg/v1\nkind: Exception\nid: {name}\nfrom: {src}\nto: {dst}\nports: {ports}\n"
            f"until: {until}\n")


# Small policies of one file each; what is odd about each stands in its name.
POLICIES = {
    "two-keys": HEAD + "environments: {prod: {two_key: true}, dev: {}, lab: {two_key: true}}\n"
    + service("db", "prod", """allow:
  - {from: api, ports: [tcp/5432]}
  - {from: dev/tool, ports: [tcp/5432]}
""")
    + service("api", "prod", """needs:
  - {to: host, ports: [udp/123]}
""")
    + service("web", "prod", "needs: [{to: db, ports: [tcp/5432]}]\n")
    + service("tool", "dev"),
    "no-crossings-yet": HEAD + "environments: {prod: {}, dev: {}}\n"
    + service("db", "prod", """allow:
  - {from: dev/tool, ports: [tcp/5432]}
""")
    + service("api", "[prod, dev]", "allow: [{from: self, ports: [tcp/7000]}]\n"),
    "platform": HEAD + """environments: {prod: {resolvers: [10.9.9.9]}}
nodes: {node-b: [192.0.2.2, "2001:db8::2"]}
nets: {office: [10.20.0.0/16], vpn: [10.8.0.0/24]}
"""
    + service('"*"', "prod", """allow:
  - {from: metrics, ports: [tcp/9100]}
needs:
  - {to: {net: office}, ports: [udp/514]}
""")
    + service("db", "prod")
    + service("api", "prod", """allow:
  - {from: [host, {net: office}], ports: [tcp/8080]}
  - {from: {net: vpn, except: [10.8.0.9/32]}, ports: [tcp/8080], published: true}
  - {from: db, ports: [tcp/80]}
  - {from: db, ports: [tcp/443]}
""")
    + service("metrics", "prod"),
    "ended": HEAD + """environments: {prod: {two_key: true}, dev: {}}
crossings:
  - {from: dev/tool, to: prod/db, ports: [tcp/5432], until: 2026-01-01T00:00:00Z}
  - {from: dev/tool, to: prod/*, ports: [tcp/9100]}
"""
    + service("db", "prod", """allow:
  - {from: dev/tool, ports: [tcp/5432]}
""")
    + service("tool", "dev", """needs:
  - {to: prod/db, ports: [tcp/5432]}
""")
    + service("shell", "prod")
    + exception("inc-1", "prod/shell", "[prod/db, {net: 198.51.100.0/24}]", "[tcp/5432]", "2026-01-01T00:00:00Z")
    + exception("inc-2", "dev/tool", "prod/db", "[tcp/22]", LATER),
}

INVENTORY = """apiVersion: microseg/v1
kind: Inventory
node: node-a
hosts: [192.0.2.1]
bridges: [{name: br0, addresses: [10.1.0.254/24]}]
endpoints:
  - {name: db-1, bridge: br0, addresses: [10.1.0.2, "fd01::2"], labels: {env: prod, service: db}}
  - {name: api-1, bridge: br0, addresses: [10.1.0.3, "fd01::3"], labels: {env: prod, service: api}}
  - {name: stray, bridge: br0, addresses: [10.1.0.4], labels: {env: prod}}
  - {name: lost, bridge: br0, addresses: [10.1.0.5], labels: {env: qa, service: x}}
  - {name: twin-1, bridge: br0, addresses: [10.1.0.6], labels: {env: prod, service: db}}
  - {name: twin-2, bridge: br0, addresses: [10.1.0.6], labels: {env: prod, service: db}}
"""

# Policy, source, destination, port ("!" before it: published), reason, and a part of the sentence.
FLOWS = [
    # no-grant: the provider's word
    (SHOP, "prod/web", "prod/orders-db", "tcp/5432", "no-grant", "allows tcp/5432 from orders-api only"),
    (SHOP, "dev/web", "dev/orders-db", "tcp/5432", "no-grant", "(line 10, for prod too): - {from: web"),
    (SHOP, "prod/orders-api", "prod/orders-db", "tcp/22", "no-grant", "allows prod/orders-api only tcp/5432"),
    (SHOP, "prod/orders-db", "prod/orders-db", "tcp/5432", "no-grant", "allows its own replicas only tcp/7000"),
    (SHOP, "prod/web", "prod/orders-api", "icmp/13", "no-grant", "only icmp/8, tcp/8080, icmp6/128"),
    (SHOP, "prod/cache", "prod/orders-api", "icmp6/128", "no-grant", "- {from: cache, ports: [icmp6/128]}"),
    (SHOP, "prod/web", "prod/queue", "sctp/3868", "no-grant", "allows sctp/3868 from nobody"),
    (SHOP, "prod/web", "prod/queue", "proto/47", "no-grant", "ports: [proto/47]"),
    (SHOP, "prod/web", "prod/queue", "udp/5672", "no-grant", "from nobody"),
    (SHOP, "host", "prod/orders-db", "tcp/5432", "no-grant", "- {from: host, ports: [tcp/5432]}"),
    (SHOP, "198.51.100.7", "prod/web", "tcp/8080", "no-grant", '{net: "198.51.100.7/32"}'),
    (SHOP, "2001:db8:7::1", "prod/web", "tcp/8080", "no-grant", '{net: "2001:db8:7::1/128"}'),
    (SHOP, "198.51.100.7", "prod/web", "!tcp/8080", "no-grant", "through a published port from nobody"),
    (SHOP, "198.51.100.7", "dev/edge", "!tcp/8443", "no-grant", "through a published port from net office only"),
    (f"{EXAMPLES}/published-port.yaml", "203.0.113.9", "prod/edge", "!tcp/8443", "no-grant", "nothing private, reserved"),
    (SHOP, "10.20.0.9", "prod/web", "!tcp/8080", "no-grant", "add to that grant: published: true"),
    (SHOP, "10.20.0.9", "prod/metrics", "tcp/9091", "no-grant", "allows 10.20.0.9 only tcp/9090"),
    (SHOP, "prod/web", "prod/nosuch", "tcp/80", "no-grant", "has no Service document, so it allows nothing"),
    (SHOP, "prod/ghost", "prod/orders-db", "tcp/5432", "no-grant", "- {from: ghost"),
    ("platform", "prod/api", "prod/db", "tcp/5432", "no-grant", "add to it (line"),
    ("platform", "prod/api", "prod/db", "tcp/9100", "no-grant", "from metrics only"),
    ("platform", "prod/db", "prod/api", "tcp/22", "no-grant", "only tcp/80, tcp/443"),
    ("platform", "10.20.0.9", "prod/api", "!tcp/8080", "no-grant", "- {from: {net: \"10.20.0.9/32\"}"),
    ("platform", "10.8.0.9", "prod/api", "!tcp/8080", "no-grant", "net vpn except"),
    ("platform", "node/node-b", "prod/api", "tcp/8080", "no-grant", "{from: {node: node-b}"),
    ("platform", "192.0.2.2", "prod/api", "!tcp/8080", "no-grant", "{node: node-b}, ports: [tcp/8080], published"),
    ("no-crossings-yet", "prod/api", "prod/api", "tcp/80", "no-grant", "only tcp/7000"),
    (f"{EXAMPLES}/published-port.yaml", "10.20.1.1", "prod/edge", "!tcp/9000", "no-grant", "add to that grant"),
    (f"{EXAMPLES}/unlabelled.yaml", "prod/db", "prod/app", "tcp/80", "no-grant", "add to it ("),
    (f"{EXAMPLES}/audit-first.yaml", "prod/db", "prod/web", "tcp/80", "no-grant", "from nobody"),
    # no-grant: the consumer's word
    (SHOP, "prod/orders-api", "192.0.2.99", "tcp/443", "no-grant", "may not call 192.0.2.99 "),
    (SHOP, "prod/payments", "9.9.9.9", "tcp/8443", "no-grant", "may call 9.9.9.9 only on tcp/443"),
    (SHOP, "prod/payments", "2001:db8:25::25", "tcp/587", "no-grant", '{to: {net: "2001:db8:25::25/128"}'),
    (SHOP, "prod/orders-db", "host", "tcp/22", "no-grant", "only on udp/123"),
    (SHOP, "prod/web", "host", "icmp/8", "no-grant", "needs: [{to: host"),
    (SHOP, "prod/web", "198.51.100.53", "udp/53", "no-grant", 'resolvers instead'),
    (SHOP, "prod/ghost", "198.51.100.53", "tcp/443", "no-grant", "so it may call nothing"),
    ("platform", "prod/api", "host", "udp/53", "no-grant", ": gateway"),
    ("platform", "prod/api", "fd53::53", "tcp/53", "no-grant", '"fd53::53"'),
    ("platform", "prod/api", "node/node-b", "tcp/22", "no-grant", "{to: {node: node-b}"),
    ("platform", "prod/metrics", "10.20.0.1", "tcp/514", "no-grant", "only on udp/514"),
    (f"{EXAMPLES}/node-peer.yaml", "prod/registry", "192.0.2.2", "tcp/22", "no-grant", "may call node node-b only on tcp/6514"),
    # two keys: none, either, and without documents
    ("two-keys", "prod/api", "prod/db", "tcp/5432", "no-grant", "asks for two keys"),
    ("two-keys", "prod/web", "prod/db", "tcp/5432", "no-grant", "allows tcp/5432 from api"),
    ("two-keys", "prod/api", "prod/db", "tcp/22", "no-grant", "and add to the needs of prod/api"),
    ("two-keys", "prod/x", "prod/y", "tcp/22", "no-grant", "and write a document of prod/x"),
    (f"{EXAMPLES}/two-keys.yaml", "prod/reports", "prod/ledger", "tcp/9000", "no-grant", "only the provider's"),
    # fence
    (SHOP, "dev/web", "prod/orders-api", "tcp/8080", "fence", "no crossing lifts the fence dev|prod"),
    (SHOP, "prod/metrics", "dev/orders-db", "tcp/5432", "fence", "covers other ports"),
    (SHOP, "dev/ghost", "prod/nosuch", "udp/9", "fence", "and write a document of prod/nosuch"),
    ("no-crossings-yet", "dev/tool", "prod/db", "tcp/5432", "fence", "crossings: [{from: dev/tool, to: prod/db"),
    ("no-crossings-yet", "dev/api", "prod/api", "tcp/80", "fence", "the allow of prod/api"),
    ("two-keys", "dev/tool", "prod/db", "tcp/5432", "fence", "and add to dev/tool"),
    ("two-keys", "lab/x", "dev/y", "tcp/80", "fence", "lab|dev"),
    (f"{EXAMPLES}/crossing.yaml", "prod/metrics", "dev/db", "tcp/9101", "fence", "covers other ports"),
    # what has ended
    ("ended", "dev/tool", "prod/db", "tcp/5432", "fence", "has ended"),
    ("ended", "prod/shell", "prod/db", "tcp/5432", "no-grant", "the exception inc-1, which allowed this, has ended"),
    ("ended", "prod/shell", "198.51.100.9", "tcp/5432", "no-grant", "inc-1"),
    ("ended", "dev/tool", "prod/db", "tcp/22", "fence", "covers other ports"),
    (f"{EXAMPLES}/exception.yaml", "prod/shell", "prod/db", "tcp/5432", "no-grant", "give it a later until"),
    (SHOP, "prod/payments", "prod/orders-db", "tcp/5432", "no-grant", "the exception inc-4471, which allowed this, has ended"),
    (SHOP, "prod/orders-api", "dev/orders-api", "tcp/8080", "fence", "lifted the fence prod|dev for tcp/8080 has ended"),
]

# What no edit allows, and what is said of it.
WALLS = [
    (SHOP, "prod/web", "169.254.169.254", "tcp/80", "never", "(cloud metadata); it beats every grant"),
    (SHOP, "prod/web", "9.9.9.9", "tcp/25", "never", "policies/shop/environments.yaml:34) refuses tcp/25"),
    (f"{EXAMPLES}/never.yaml", "prod/crawler", "9.9.9.9", "tcp/25", "never", "only that rule itself"),
    (SHOP, "stray", "prod/web", "tcp/80", "unidentified", "label io.microseg.env is missing"),
    ("platform", "prod/db", "stray", "tcp/80", "unidentified", "container stray has no identity: label service is missing"),
    ("platform", "stray", "lost", "tcp/80", "unidentified", "; and container lost has no identity: label env says 'qa'"),
    ("platform", "10.1.0.6", "prod/api", "tcp/80", "unidentified", "10.1.0.6 is held by twin-1 and twin-2"),
    ("platform", "unidentified", "prod/api", "tcp/80", "unidentified", "microseg endpoints says what each lacks"),
    ("platform", "unidentified", "unidentified", "tcp/80", "unidentified", "reaches nothing and is reached by nothing"),
    ("platform", "prod/api", "224.0.0.251", "udp/5353", "no-grant", "no grant covers those"),
    ("platform", "prod/api", "ff02::fb", "udp/5353", "no-grant", "no grant covers those"),
    ("platform", "prod/api", "169.254.1.1", "tcp/80", "no-grant", "no grant covers those"),
    ("platform", "prod/api", "255.255.255.255", "udp/9", "no-grant", "no grant covers those"),
    ("platform", "127.0.0.1", "prod/api", "tcp/80", "no-grant", "no grant covers those"),
]

PLACE = r"(?:(?P<file>[^\s():]+):|line )(?P<line>\d+)(?:, for [^)]*)?"
ITEM = r"(?P<item>\{.*?\})(?=, and |; |$)"
EDITS = [
    ("append", re.compile(rf"add to (?:(?:its|the) (?:allow|needs)(?: of \S+)?|crossings) \({PLACE}\): - {ITEM}")),
    ("key", re.compile(rf"add to (?:it|the Environments document|[\w/.-]+) \({PLACE}\): (?P<item>\w+: \[.*?\}}\])(?=, and |; |$)")),
    ("document", re.compile(rf"write (?:one|a document of \S+) \(a new file, or below a line ---\): {ITEM}")),
    ("publish", re.compile(r"(?P<item>add to that grant: published: true)")),
    ("prolong", re.compile(r"(?P<item>give it a later until)")),
    ("resolver", re.compile(rf"add to its resolvers instead \({PLACE}\): (?P<item>\S+)$")),
]
EXACT = re.compile(r": - \{|: \w+: \[\{|: \{apiVersion")  # a line of its own, and not a change of one that is there
ALTERNATIVES = re.compile(r"; or for good: |; (?=if it answers names)")


class Policy:
    """A copy of a policy that can be edited."""

    def __init__(self, microseg, source, folder):
        self.microseg, self.folder = microseg, folder
        os.makedirs(folder)
        if source in POLICIES:
            self.path = "policy.yaml"
            self.write(self.path, POLICIES[source])
            self.inventory = "inventory.yaml"
            self.write(self.inventory, INVENTORY)
        else:
            self.path, self.inventory = source, "tests/golden/shop.yaml"
            for path in (self.path, self.inventory):
                os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
                (shutil.copytree if os.path.isdir(path) else shutil.copy)(path, self.at(path))

    def at(self, path):
        return os.path.join(self.folder, path)

    def copy(self, folder):
        other = object.__new__(Policy)
        other.__dict__ = dict(self.__dict__, folder=folder)
        shutil.copytree(self.folder, folder)
        return other

    def lines(self, path):
        with open(self.at(path)) as file:
            return file.read().split("\n")

    def write(self, path, text):
        with open(self.at(path), "w") as file:
            file.write(text)

    def run(self, *words, lines=""):
        result = subprocess.run([self.microseg, *words, "-p", self.path, "-i", self.inventory], cwd=self.folder,
                                input=lines, capture_output=True, text=True)
        if result.returncode == 2:
            raise RuntimeError(result.stderr)
        return result.stdout

    def explain(self, flows):
        """What is said of each flow."""
        lines = "".join(json.dumps(batch_line(*flow)) + "\n" for flow in flows)
        return [json.loads(line) for line in self.run("explain", "--batch", "-", lines=lines).splitlines()]

    def gained(self, before):
        """What flows now and did not before, as {"src", "dst", …}."""
        return json.loads(self.run("diff", "-o", "json", "--from", before.at(self.path)))["gained"]


def batch_line(src, dst, port):
    proto, number = port.lstrip("!").split("/")
    if proto == "proto":
        return {"src": src, "dst": dst, "proto": port, "published": False}
    key = "type" if proto.startswith("icmp") else "dport"
    return {"src": src, "dst": dst, "proto": proto, key: int(number), "published": port.startswith("!")}


def indent_of(line):
    return line[:len(line) - len(line.lstrip())]


def append(lines, number, item):
    """A new entry of the list whose key stands in this line."""
    first = number  # the line behind the key's, as lines count from 1
    while lines[first].lstrip().startswith("#"):
        first += 1
    if lines[first].lstrip().startswith("- "):
        lines.insert(first, f"{indent_of(lines[first])}- {item}")
    else:
        lines[number - 1] = lines[number - 1].replace("[{", "[%s, {" % item, 1)


def line_with(lines, number, word):
    """The index of the first line from @number on that has the word."""
    return next(i for i in range(number - 1, len(lines)) if word in lines[i])


def edit(policy, kind, found, place):
    """Does what one edit of a sentence says."""
    item = found["item"]
    if kind == "document":
        folder = policy.path if os.path.isdir(policy.at(policy.path)) else None
        if folder:
            policy.write(os.path.join(folder, "new.yaml"), item + "\n")
        else:
            policy.write(policy.path, "\n".join(policy.lines(policy.path) + ["---", item, ""]))
        return
    file, number = place
    lines = policy.lines(file)
    if kind == "append":
        append(lines, number, item)
    elif kind == "key":
        lines.insert(number, item)
    elif kind == "publish":
        lines[number - 1] = lines[number - 1].replace("}", ", published: true}", 1) if "}}" not in lines[number - 1] \
            and lines[number - 1].count("}") == 1 else re.sub(r"(ports: \[[^]]*\])", r"\1, published: true", lines[number - 1])
    elif kind == "prolong":
        at = line_with(lines, number, "until:")
        lines[at] = re.sub(r"until: [^,}]*", f"until: {LATER}", lines[at])
    elif kind == "resolver":
        at = line_with(lines, number, "resolvers: [")
        lines[at] = lines[at].replace("resolvers: [", f"resolvers: [{item}, ")
    policy.write(file, "\n".join(lines))


def edits_of(sentence):
    """The edits that a sentence names, each with its place."""
    edits = []
    for kind, pattern in EDITS:
        for found in pattern.finditer(sentence):
            place = None
            groups = found.groupdict()
            before = re.findall(r"\(([^\s():]+):(\d+)[^)]*\)", sentence[:found.start()])
            if groups.get("line"):
                place = (groups["file"] or before[-1][0], int(groups["line"]))
            elif kind in ("publish", "prolong"):
                place = (before[-1][0], int(before[-1][1]))
            edits.append((found.start(), kind, found, place))
    return [(kind, found, place) for _, kind, found, place in sorted(edits, key=lambda found: found[0])]


def apply(policy, edits):
    """From the last line of a file to its first, so that an edit moves no other's place."""
    for kind, found, place in sorted(edits, key=lambda found: found[2] or ("", 0), reverse=True):
        edit(policy, kind, found, place)


def is_end(said, end, others):
    """Does `diff` mean this end of the flow, or the same service in one of the other environments?"""
    if said in (end, f"net:{end}/32", f"net:{end}/128") or (said, end) == ("node/node-b", "192.0.2.2"):
        return True
    return said.split("/")[0] in others and said.split("/")[1:] == end.split("/")[1:]


def is_flow(gain, flow, others=()):
    """Is this gained flow the one that was asked about, or the same in one of the other environments?"""
    src, dst, port = flow
    proto, number = port.lstrip("!").split("/")
    ports = {"proto": port, "ports": [[0, 0]]} if proto == "proto" else {"proto": proto, "ports": [[int(number)] * 2]}
    return ports.items() <= gain.items() and is_end(gain["src"], src, others) and is_end(gain["dst"], dst, others)


def other_envs(sentence):
    """Where else, as the sentence says, the line will stand."""
    return [env for found in re.findall(r", for ([^)]+) too", sentence) for env in found.split(" and ")]


class Trial:
    def __init__(self, microseg, folder):
        self.microseg, self.folder, self.n = microseg, folder, 0
        self.failed, self.n_edits, self.kinds = [], 0, set()

    def place(self):
        self.n += 1
        return os.path.join(self.folder, str(self.n))

    def fail(self, flow, why):
        self.failed.append(f"{' '.join(flow)}: {why}")

    def edited(self, policy, edits):
        """A copy of the policy with these edits."""
        copy = policy.copy(self.place())
        apply(copy, edits)
        self.n_edits += len(edits)
        self.kinds |= {kind for kind, _, _ in edits}
        return copy

    def step_by_step(self, policy, flow, answer):
        for _ in range(MAX_EDITS):
            sentence = answer["nearest"]
            edits = edits_of(sentence)
            if not edits:
                self.fail(flow, f"names no edit: {sentence}")
                return
            policy = self.edited(policy, edits[:1])
            answer, = policy.explain([flow])
            if answer["verdict"] == "allow":
                return
            if answer["nearest"] == sentence:
                self.fail(flow, f"says the same again: {sentence}")
                return
        self.fail(flow, f"still refused: {answer['nearest']}")

    def all_at_once(self, policy, flow, sentence):
        """Each alternative of the sentence is enough, and what it writes anew opens nothing else."""
        for part in ALTERNATIVES.split(sentence):
            start = sentence.index(part)
            edits = [found for found in edits_of(sentence) if start <= found[1].start() < start + len(part)]
            edited = self.edited(policy, edits)
            if not EXACT.search(part):
                answer, = edited.explain([flow])
                if answer["verdict"] != "allow":
                    self.fail(flow, f"not allowed by: {part}\n  then: {answer['nearest']}")
                continue
            gained = edited.gained(policy)
            if not any(is_flow(gain, flow) for gain in gained) and not sentence.endswith("…"):
                self.fail(flow, f"not allowed by all of: {part}")
            for gain in gained:
                if not is_flow(gain, flow, other_envs(part)):
                    self.fail(flow, f"opens more: {gain}\n  {part}")

    def row(self, policy, row, answer, wall):
        _, *flow, reason, words = row
        sentence = answer["nearest"] or ""
        if answer["verdict"] == "allow" or answer["reason"] != reason or words not in sentence:
            self.fail(flow, f"expected {reason}, '{words}': {answer}")
        elif len(sentence) > 500:
            self.fail(flow, f"{len(sentence)} characters")
        elif wall:
            if edits_of(sentence):
                self.fail(flow, f"proposes what cannot help: {sentence}")
        else:
            try:
                if len(edits_of(sentence)) != 1:
                    self.step_by_step(policy, flow, answer)
                self.all_at_once(policy, flow, sentence)
            except RuntimeError as error:
                self.fail(flow, f"does not load after the edit: {error}\n  {sentence}")


def main():
    microseg, show = os.path.realpath(sys.argv[1]), "--show" in sys.argv
    os.chdir(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(microseg, folder)
        for source in dict.fromkeys(row[0] for row in FLOWS + WALLS):
            policy = Policy(microseg, source, trial.place())
            rows = [row for row in FLOWS + WALLS if row[0] == source]
            for row, answer in zip(rows, policy.explain([row[1:4] for row in rows])):
                failed = len(trial.failed)
                trial.row(policy, row, answer, row in WALLS)
                print(f"{'not ok' if trial.failed[failed:] else 'ok'} - {source}: {' '.join(row[1:4])}")
                print(f"  {answer['nearest']}\n" if show else "", end="")
                print("".join(f"  {why}\n" for why in trial.failed[failed:]), end="")
    missing = {kind for kind, _ in EDITS} - trial.kinds
    print(f"# {len(FLOWS)} flows that an edit allows, {len(WALLS)} that none does; {trial.n_edits} edits made")
    if missing:
        print(f"not ok - every kind of edit was made; never: {sorted(missing)}")
    return 1 if trial.failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
