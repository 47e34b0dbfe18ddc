#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket: who may do what, and that no client can hurt the daemon or another client.

Each attack of pest.py runs once as somebody who may read and once as root. Meanwhile verdicts hold, a change is in the
kernel as soon as ever, memory and descriptors stay flat, and root is answered.
"""
import json
import os
import statistics
import subprocess
import sys
import time

from scenario import POLICY, build, reason_of

from lab import LEASH, wait_for
from node import Node
from probes import flows, send_all
from tap import Report

HERE = os.path.dirname(os.path.abspath(__file__))
PEST = os.path.join(os.path.dirname(HERE), "lab", "pest.py")
CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api", "br-one", "prod", "orders-api"),
    ("dev-web", "br-two", "dev", "web"),
)
READER = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
STRANGER = ["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups"]
MORE_MEMORY = 96 * 1024  # KiB: what is waiting of requests (32 MiB, held twice while they are parsed) and of replies
LEFT_MEMORY = 16 * 1024  # KiB: of that, what may stay
MORE_DESCRIPTORS = 160
SECONDS = float(os.environ.get("MS_ATTACK_SECONDS", "0.4"))  # at least, of each attack
WAYS = "hold garbage headers line body chunks drip deaf flood followers".split()


def request(node, text, prefix=()):
    """Sends one request, as bytes, by a process of its own. Returns all that is answered within 10 s."""
    script = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(10)\ns.connect(sys.argv[1])\n"
              "s.sendall(sys.stdin.buffer.read())\nb=b''\n"
              "while True:\n d=s.recv(65536)\n if not d: break\n b+=d\nsys.stdout.buffer.write(b)")
    result = subprocess.run([*prefix, "/usr/bin/python3", "-c", script, node.control], input=text, capture_output=True,
                            timeout=30, check=False)
    return result.stdout


def get(node, path, prefix=(), method="GET", body=b""):
    """Returns (code, body) of one request."""
    head = "%s %s HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (method, path, len(body))
    answer = request(node, head.encode() + body, prefix)
    top, _, rest = answer.partition(b"\r\n\r\n")
    words = top.split()
    return (int(words[1]) if len(words) > 1 else 0), rest


def access(report, node, _containers):
    """Reading is for root and the group, changing for root, and a stranger does not even connect."""
    report.equal(oct(os.stat(node.control).st_mode & 0o7777), "0o660", "mode of the socket")
    report.equal(os.stat(node.control).st_gid, 65534, "group of the socket")
    for path in ("/v1/status", "/v1/endpoints", "/v1/policy", "/v1/inventory", "/v1/drops", "/metrics"):
        report.equal(get(node, path)[0], 200, "root reads %s" % path)
        report.equal(get(node, path, READER)[0], 200, "the group reads %s" % path)
        report.equal(get(node, path, STRANGER)[0], 0, "a stranger does not read %s" % path)
    for path in ("/v1/off", "/v1/on", "/v1/apply"):
        report.equal(get(node, path, READER, "POST", b"{}")[0], 403, "the group does not change by %s" % path)
        report.equal(get(node, path, STRANGER, "POST", b"{}")[0], 0, "nor does a stranger")
    report.equal(get(node, "/v1/apply", (), "POST", b"{}")[0], 400, "root may, if it makes sense")
    report.equal(node.status().get("state"), "enforcing", "and nothing of it changed anything")
    report.equal(get(node, "/v1/status", (), "POST")[0], 405, "a wrong method")
    report.equal(get(node, "/v1/nothing")[0], 404, "a wrong path")
    report.equal(json.loads(get(node, "/v1/status", READER)[1])["node"], "lab", "what the group reads is the status")


class Vitals:
    """Memory and descriptors of the daemon."""

    def __init__(self, node):
        self.pid = self.find(node.process.pid)

    @staticmethod
    def find(pid):
        """The leash and the namespace's door exec what they are told to: it is the same process."""
        with open("/proc/%d/comm" % pid) as comm:
            assert comm.read() == "microsegd\n"
        return pid

    def memory(self):
        with open("/proc/%d/status" % self.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))


def turn(node, party, env):
    """Gives a container another identity. Returns in how many seconds the kernel follows, as a refused datagram shows."""
    other = node.lab.api
    wanted = "ok" if env == "prod" else "prohibited"
    party.labels["io.microseg.env"] = env
    node.lab.identify(party)
    started = time.monotonic()
    wait_for(lambda: party.agent.do("udp", dst=other.addr[4], port=9000)["result"] == wanted, "%s to be %s" % (party.name, env), 20)
    return time.monotonic() - started


def measure(node, party, seconds):
    """Turns it to and fro. Returns the times."""
    until = time.monotonic() + seconds
    times = []
    while time.monotonic() < until or len(times) < 4:
        times += [turn(node, party, "dev"), turn(node, party, "prod")]
    return times


def verdicts(containers):
    table = [flow for src in containers for dst in containers if src is not dst
             for port in ("tcp/8080", "udp/9000") for flow in flows(src, dst, port, reason_of(src, dst, port))]
    return ["%s: %s" % (flow, result) for flow, result in send_all(table).items() if (result == "ok") != (flow.reason is None)]


def attack(report, node, containers, way, prefix):
    """One attack. Returns the times of the changes under it."""
    who = "%s as %s" % (way, "reader" if prefix else "root")
    vitals = Vitals(node)
    with subprocess.Popen([*LEASH, *prefix, "/usr/bin/python3", PEST, node.control, way], stdout=subprocess.PIPE, text=True) as pest:
        try:
            did = int(pest.stdout.readline() or 0)
            times = measure(node, containers[0], SECONDS)
            wrong = verdicts(containers)
            memory, descriptors = vitals.memory(), vitals.descriptors()
            started = time.monotonic()
            answer = node.cli("status", timeout=30)
            seconds = time.monotonic() - started
        finally:
            pest.kill()
    report.check(did > 0, "%s: it did something" % who, did)
    report.equal(wrong, [], "%s: verdicts hold" % who)
    report.check(answer.returncode == 0 and seconds < 5, "%s: root is answered" % who, "%.1f s\n%s" % (seconds, answer.stderr))
    report.check(memory < node.memory + MORE_MEMORY, "%s: memory" % who, "%d KiB, before %d" % (memory, node.memory))
    report.check(descriptors < node.descriptors + MORE_DESCRIPTORS, "%s: descriptors" % who, descriptors)
    report.note("%s: a change takes %.0f ms (median; at most %.0f), %d KiB, %d descriptors, root waits %.0f ms"
                % (who, statistics.median(times) * 1000, max(times) * 1000, memory, descriptors, seconds * 1000))
    return times


def attacks(report, node, containers):
    """Under every attack the daemon goes on as before, and afterwards nothing of it is left."""
    node.lab.api = containers[1]
    calm = statistics.median(measure(node, containers[0], 1))
    vitals = Vitals(node)
    node.memory, node.descriptors = vitals.memory(), vitals.descriptors()
    report.note("at rest: a change takes %.0f ms, %d KiB, %d descriptors" % (calm * 1000, node.memory, node.descriptors))
    for way in WAYS:
        for prefix in (READER, []):
            times = attack(report, node, containers, way, prefix)
            # The machine is loaded by the attack itself: what counts is that nothing waits for the attacker.
            report.check(statistics.median(times) < calm * 5 + 0.2, "%s: a change is soon in the kernel" % way, times)
    wait_for(lambda: vitals.descriptors() <= node.descriptors + 2, "descriptors to be given back", 40)
    time.sleep(1.5)  # memory is given back once a second
    report.check(vitals.memory() < node.memory + LEFT_MEMORY, "memory in the end", vitals.memory())
    report.equal(node.process.poll(), None, "the daemon that started is the one that runs")


def main():
    report = Report("the control socket")
    lab, parties = build(CONTAINERS)
    with lab:
        os.chmod(lab.dir, 0o755)
        containers = [parties[row[0]] for row in CONTAINERS]
        node = Node(lab)
        with open(node.config, "w") as config:
            config.write("node: lab\nstate: %s\ncontrol: {socket: %s, group: nogroup}\n" % (node.state, node.control))
        node.start(policy=POLICY)
        node.wait_endpoints(containers)
        for part in (access, attacks):
            report.section(part, report, node, containers)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
