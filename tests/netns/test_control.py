#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket: who may do what, that it answers what its page says, and that no client can hurt it or another one.

Each attack of pest.py runs once as somebody who may read and once as root. Meanwhile verdicts hold, a change is in the
kernel as soon as ever, memory and descriptors stay flat, and root is answered.
"""
import http.client
import json
import os
import re
import socket
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


def ask(node, method, path, body=None):
    """(code, text) of a request on the control socket."""
    connection = http.client.HTTPConnection("microsegd", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(node.control)
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def leaves(value, path=""):
    """The fields of JSON as the interface's page names them: (name, value). What is a list or an object has its own too."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, "%s.%s" % (path, key) if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path + "[]")


def is_of(kind, value):
    """Is it a value of what the page says?"""
    wanted = {"text": str, "number": int, "time": int, "boolean": bool, "object": dict, "list": list}
    types = kind.split(", absent")[0].split(" or ")
    return any(value is None if word == "null" else isinstance(value, wanted[word]) and isinstance(value, bool) == (word == "boolean")
               for word in types)


def unlike_page(route, value):
    """What of an answer the page does not say, or says otherwise."""
    fields = {field["name"]: field["type"] for field in route["fields"]}
    found, wrong = set(), []
    for name, inner in leaves(value):
        found.add(name)
        if name not in fields:
            if not any(other.startswith((name + ".", name + "[")) for other in fields) and not any(
                    fields.get(name[:i]) == "object" for i in range(len(name))):
                wrong.append("%s is not on the page" % name)
        elif not is_of(fields[name], inner):
            wrong.append("%s is no %s: %r" % (name, fields[name], inner))
    for name, kind in fields.items():
        parent = re.sub(r"(\.[a-z_]+|\[\])$", "", name)
        if name not in found and "absent" not in kind and (parent == name or parent in found and parent not in fields and not name.endswith("[]")):
            wrong.append("%s is not in the answer" % name)
    return wrong


def every_answer(report, node, routes):
    """What is answered has the fields that the page says, of its types, and no others."""
    by_path = {route["path"]: route for route in routes}
    files = json.loads(ask(node, "GET", "/v1/policy")[1])["files"]
    grant = {"kind": "grant", "from": "prod/web", "to": "prod/orders-db", "ports": "tcp/5432", "for": 60, "reason": "x"}
    changed = [{"name": "more.yaml", "text": "apiVersion: microseg/v1\nkind: Service\nservice: more\nenv: prod\n"}]
    steps = (("/v1/plan", {"files": files}), ("/v1/apply", {"files": files}), ("/v1/apply", {"files": files + changed, "confirm": 60}),
             ("/v1/status", None), ("/v1/confirm", {}), ("/v1/rollback", {"confirm": 60}), ("/v1/rollback", {}),
             ("/v1/runtime/add", grant), ("/v1/runtime/add", {"kind": "relax", "of": "dev", "for": 60, "reason": "x"}),
             ("/v1/runtime/add", {"kind": "quarantine", "of": "prod/web"}), ("/v1/runtime", None), ("/v1/status", None),
             ("/v1/runtime/remove", {"kind": "quarantine", "what": "prod/web"}), ("/v1/runtime/remove", {"kind": "relax", "what": "dev"}),
             ("/v1/off", {"for": 60}), ("/v1/status", None), ("/v1/on", {}))
    steps += tuple((route["path"], None) for route in routes if route["method"] == "GET" and route["fields"])
    for path, body in steps:
        code, text = ask(node, by_path[path]["method"], path, None if body is None else json.dumps(body))
        report.check(code == 200 and unlike_page(by_path[path], json.loads(text)) == [], "%s %s is as the page says" % (path, body or ""),
                     "%d %s\n%s" % (code, unlike_page(by_path[path], json.loads(text)), text[:600]))
    report.check({path for path, _ in steps} >= {route["path"] for route in routes if route["fields"]}, "that is every answer in JSON")
    status = json.loads(ask(node, "GET", "/v1/status")[1])
    status["armed"] = None
    del status["pid"]
    status["counters"]["other"] = 1
    report.equal(unlike_page(by_path["/v1/status"], status),
                 ["armed is no boolean: None", "counters.other is not on the page", "pid is not in the answer"], "and it would be seen otherwise")
    node.wait_ready(("enforcing",))


def every_route(report, node, _containers):
    """GET /v1 lists what the socket answers, and it answers that."""
    code, text = ask(node, "GET", "/v1")
    routes = json.loads(text)
    report.check(code == 200 and len(routes) > 15 and all(route["gives"] for route in routes), "GET /v1", text[:300])
    for route in routes:
        if route["method"] == "GET":
            report.equal(ask(node, "GET", route["path"])[0], 200, "GET %s" % route["path"])
        else:
            code, text = ask(node, "POST", route["path"], "[]")
            report.check(code in (400, 409) and "error" in json.loads(text) or route["path"] == "/v1/confirm",
                         "POST %s refuses what is no object" % route["path"], "%s %s" % (code, text))
    for body in ("{", '{"files": 7}', '{"files": [{"name": "a"}]}', '{"confirm": 5}'):
        report.equal(ask(node, "POST", "/v1/apply", body)[0], 400, "POST /v1/apply %s" % body)
    report.equal(ask(node, "POST", "/v1/status")[0], 405, "another method")
    report.equal(ask(node, "GET", "/v2/status")[0], 404, "another version")
    every_answer(report, node, routes)


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
        for part in (access, every_route, attacks):
            report.section(part, report, node, containers)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
