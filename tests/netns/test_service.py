#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""microsegd as a service: its watchdog, its rights, its units, its metrics on TCP, and tables that another version left.

MS_UPGRADE_FROM=COMMIT builds that commit of this repository as well, and takes over what it left. MS_KILLS is how often who
serves metrics is killed: 20 take five minutes.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

from scenario import POLICY, build, reason_of

from lab import ROOT, run, wait_for
from node import BUILD, MICROSEGD, Node
from probes import flows, matrix
from tap import Report

CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api", "br-one", "prod", "orders-api"),
    ("dev-web", "br-two", "dev", "web"),
)
UNITS = ("microsegd.service", "microseg-fence.service")
MAX_EXPOSURE = 2.5
TWO_CAPABILITIES = 1 << 12 | 1 << 11  # CAP_NET_ADMIN, CAP_NET_BROADCAST
PORT = 9464
KILLS = int(os.environ.get("MS_KILLS", 6))  # of who serves metrics
METRICS = {  # of SPEC section 6, with their labels
    "microseg_flows_denied_total": ("counter", ["reason", "src", "dst"]),
    "microseg_endpoints": ("gauge", ["state"]),
    "microseg_apply_seconds": ("summary", []),
    "microseg_generation": ("gauge", []),
    "microseg_drift_repaired_total": ("counter", []),
    "microseg_events_lost_total": ("counter", []),
    "microseg_last_apply_success": ("gauge", []),
}
SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)*\})? (-?[0-9.e+]+)$')


def pairs(containers):
    return [flow for src in containers for dst in containers if src is not dst
            for port in ("tcp/8080", "udp/9000", "ping") for flow in flows(src, dst, port, reason_of(src, dst, port))]


def process_status(pid):
    with open("/proc/%d/status" % pid) as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


def child_of(pid):
    """Its only child."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as children:
        return int(children.read().split()[0])


def words_at(sock, seconds):
    """What is said to the service manager within this time."""
    words, until = [], time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            words.append(sock.recv(4096).decode())
        except TimeoutError:
            break
    return words


def watchdog(report, node, _containers):
    """The service manager hears of the start, of each turn of the watchdog, of a loop that is stuck, and of the end."""
    path = os.path.join(node.lab.dir, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        node.stop()
        node.start(wrapper=["env", "NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=400000"])
        words = words_at(sock, 1.5)
        report.check("READY=1" in words, "READY=1", words)
        report.check(words.count("WATCHDOG=1") >= 4, "the watchdog is answered at half its interval", words)
        node.process.send_signal(signal.SIGSTOP)
        words_at(sock, 0.2)
        report.equal(words_at(sock, 1), [], "a daemon that does not run says nothing")
        node.process.send_signal(signal.SIGCONT)
        report.check("WATCHDOG=1" in words_at(sock, 1), "and goes on")
        node.stop()
        report.check("STOPPING=1" in words_at(sock, 0.5), "STOPPING=1")
        node.start(wrapper=["env", "NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=400000", "WATCHDOG_PID=1"])
        report.check("WATCHDOG=1" not in words_at(sock, 1), "a watchdog that is meant for another process is not answered")
    node.stop()
    node.start()


def rights(report, node, containers):
    """Whoever starts it: two capabilities, no new privileges, a filter. And two capabilities are enough."""
    status = process_status(node.process.pid)
    for name in ("CapEff", "CapPrm", "CapBnd"):
        report.equal(int(status[name], 16), TWO_CAPABILITIES, "%s as root" % name)
    report.equal((status["CapInh"], status["CapAmb"]), ("0" * 16, "0" * 16), "nothing to inherit")
    report.equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), "no new privileges, and a filter")
    for names in ("net_admin,+net_broadcast", unit_capabilities()):
        node.stop()
        node.start(wrapper=["setpriv", "--bounding-set", "-all,+" + names, "--inh-caps", "-all"])
        report.equal(int(process_status(node.process.pid)["CapEff"], 16), TWO_CAPABILITIES, "CapEff with %s" % names)
        node.wait_endpoints(containers)
        matrix(report, node, pairs(containers), names)
        report.equal(node.cli("apply", "-p", POLICY, "--yes").returncode, 0, "apply with %s" % names)
        report.equal([node.cli(word).returncode for word in ("off", "on")], [0, 0], "off and on with %s" % names)
        node.wait_ready(("enforcing",))
        report.check("not permitted" not in node.log_text(), "nothing it does is refused", node.log_text()[-1000:])
    node.stop()
    node.start()


def unit_capabilities():
    with open(os.path.join(BUILD, "src", "daemon", UNITS[0])) as unit:
        names = re.search(r"^CapabilityBoundingSet=(.*)$", unit.read(), re.MULTILINE)[1]
    return ",+".join(names.lower().replace("cap_", "").split())


def one_instance(report, node, _containers):
    """A second daemon on the same state directory ends, and says who has it."""
    result = run(*node.command("--control", node.control + "2"), check=False, timeout=20)
    report.equal(result.returncode, 2, "exit code", result.stderr)
    report.check("pid %d" % node.process.pid in result.stderr, "it names the first", result.stderr)


def http(node, method="GET", path="/metrics"):
    """(code, body) of a request to the TCP port."""
    script = ("import http.client,sys\nc=http.client.HTTPConnection('127.0.0.1',%d,timeout=10)\n"
              "c.request(%r,%r)\nr=c.getresponse()\nprint(r.status)\nsys.stdout.write(r.read().decode())" % (PORT, method, path))
    result = node.lab.host.run("/usr/bin/python3", "-c", script, check=False)
    code, _, body = result.stdout.partition("\n")
    return int(code or 0), body or result.stderr


def lint(text):
    """promtool's rules for text, names, types and help, as far as they concern what we have. Returns what is wrong."""
    wrong, helps, types, samples = [], {}, {}, {}
    if not text.endswith("\n"):
        wrong.append("no newline at the end")
    for line in text.splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            helps[words[2]] = words[3]
        elif words[:2] == ["#", "TYPE"]:
            if words[2] in types:
                wrong.append("two TYPE lines of %s" % words[2])
            types[words[2]] = words[3]
        elif match := SAMPLE.match(line):
            samples.setdefault(match[1], []).append(match[2] or "")
        else:
            wrong.append("not a sample: " + line)
    for name, series in samples.items():
        base = name if name in types else re.sub(r"_(sum|count|bucket)$", "", name)
        if base not in types or not helps.get(base):
            wrong.append("no TYPE or no HELP: " + name)
        if len(set(series)) != len(series):
            wrong.append("a series twice: " + name)
    for name, kind in types.items():
        if (kind == "counter") != name.endswith("_total"):
            wrong.append("a counter ends in _total, and nothing else does: " + name)
        if re.search(r"_(milliseconds|ms|minutes|kilobytes|kb)(_|$)|(^|_)(counter|gauge|summary)(_|$)|[A-Z]", name):
            wrong.append("its unit is no base unit, or its type is in its name: " + name)
    return wrong + ["%s is no %s" % (name, kind) for name, (kind, _) in METRICS.items() if types.get(name) != kind]


def metrics(report, node, containers):
    """Metrics on a loopback port: by a process of nobody's, of the right form, and nothing else to be had there."""
    node.stop()
    with open(node.config) as config:
        before = config.read()
    with open(node.config, "a") as config:
        config.write("metrics: {listen: 127.0.0.1:%d}\n" % PORT)
    node.start()
    node.wait_endpoints(containers)
    matrix(report, node, pairs(containers), "with metrics")
    code, text = http(node)
    report.equal(code, 200, "GET /metrics")
    keeper = child_of(node.process.pid)
    for who, pid in (("the keeper", keeper), ("who serves", child_of(keeper))):
        status = process_status(pid)
        report.equal(status["Uid"].split() + status["Gid"].split() + status["Groups"].split(), ["65534"] * 8, "%s is nobody" % who)
        report.equal({int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}, {0}, "%s has no capability" % who)
        report.equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), "%s: no new privileges, and a filter" % who)
        report.check(n_open(pid) < 12, "%s holds nothing of the daemon's" % who, n_open(pid))
    report.equal(lint(text), [], "rules of Prometheus", text)
    for name, (_, labels) in METRICS.items():
        found = re.search(r"^%s(?:_sum|_count)?(\{.*\})? " % name, text, re.MULTILINE)
        got = re.findall(r'(\w+)="', found[1] or "") if found else None
        report.equal(got, labels, "labels of %s" % name, text)
    denied = [int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("microseg_flows_denied_total{")]
    report.check(sum(denied) > 0, "refused packets are counted", text)
    broken = text.replace("_total", "_sum2").replace("# HELP microseg_generation", "# HELP other")
    report.check(len(lint(broken)) > 3, "and the rules notice what is wrong", lint(broken))
    promtool = run("sh", "-c", "command -v promtool", check=False).stdout.strip()
    if promtool:
        result = run(promtool, "check", "metrics", stdin=text, check=False)
        report.equal((result.returncode, result.stderr), (0, ""), "promtool check metrics", result.stdout)
    for method, path in (("GET", "/v1/status"), ("POST", "/v1/off"), ("POST", "/metrics"), ("GET", "/"), ("DELETE", "/metrics")):
        report.check(http(node, method, path)[0] in (404, 405, 501), "%s %s is not to be had" % (method, path), http(node, method, path))
    report.equal(node.status().get("state"), "enforcing", "and changed nothing")
    idle = [socket_of(node) for _ in range(40)]
    code, _ = http(node)
    report.equal(code, 200, "silent connections hinder nobody")
    for sock in idle:
        sock.kill()
        sock.wait()
    server_killed(report, node)
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: "port of the metrics has ended" in str(node.status().get("problems")), "the problem in status")
    report.equal(http(node)[0], 0, "without a keeper nobody serves metrics")
    matrix(report, node, pairs(containers), "without the process")
    node.stop()
    report.equal([pid for pid in (keeper,) if os.path.exists("/proc/%d" % pid)], [], "and none of them is left")
    with open(node.config, "w") as config:
        config.write(before)
    node.start()


def n_open(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def server_killed(report, node):
    """Who serves metrics is started anew however it ends, later each time; nothing of the dead ones is kept."""
    keeper = child_of(node.process.pid)
    parts = (node.process.pid, keeper)
    report.equal(http(node)[0], 200, "served before")
    before, waits, pid = [n_open(part) for part in parts], [], child_of(keeper)
    for i in range(KILLS):
        os.kill(pid, signal.SIGKILL)
        since = time.monotonic()
        if i == KILLS - 1:  # the longest pause so far
            wait_for(lambda: "metrics on TCP has ended, %d times since the start" % KILLS in str(node.status()["problems"]), "the problem in status")
        pid = wait_for(lambda: server_of(keeper, pid), "the next one", timeout=60)
        waits.append(time.monotonic() - since)
    report.equal(http(node)[0], 200, "metrics are back after %d kills" % KILLS)
    report.check(waits[0] < 1 and waits[-1] > 3, "at once the first time, later and later when it dies again", waits)
    wait_for(lambda: [n_open(part) for part in parts] == before, "as many descriptors as before", timeout=10)
    report.check(node.status()["problems"] == [], "status knows of no problem any more", node.status()["problems"])
    report.equal(node.log_text().count("metrics are served on TCP again"), KILLS, "and the log has each of them")


def server_of(keeper, last):
    """Who serves now, when it is another one than the @last."""
    with open("/proc/%d/task/%d/children" % (keeper, keeper)) as children:
        pids = [int(word) for word in children.read().split()]
    return pids[0] if pids and pids[0] != last else None


def socket_of(node):
    """A connection to the TCP port that says nothing."""
    return subprocess.Popen(node.lab.host.command("sh", "-c", "exec /usr/bin/python3 -c 'import socket,time\n"
                                                  "s=socket.create_connection((\"127.0.0.1\",%d))\ntime.sleep(60)'" % PORT))


def units(report, _node, _containers):
    """The units: nothing that systemd does not know, and an exposure of 2.5 at most."""
    if run("sh", "-c", "command -v systemd-analyze", check=False).returncode:
        report.check(False, "systemd-analyze is there")
        return
    with tempfile.TemporaryDirectory() as directory:
        for unit in UNITS:
            path = os.path.join(directory, unit)
            with open(os.path.join(BUILD, "src", "daemon", unit)) as file, open(path, "w") as copy:
                copy.write(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", file.read(), flags=re.MULTILINE))
            result = run("systemd-analyze", "verify", "--man=no", path, check=False)
            mine = [line for line in result.stderr.splitlines() if unit in line]
            report.equal(mine, [], "%s: verified" % unit)
            result = run("systemd-analyze", "security", "--offline=yes", "--threshold=%d" % (MAX_EXPOSURE * 10), path, check=False)
            exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
            report.check(result.returncode == 0 and exposure and float(exposure[1]) <= MAX_EXPOSURE,
                         "%s: exposure %s" % (unit, exposure and exposure[1]), result.stdout + result.stderr)


def install(report, node, _containers):
    """Installing puts files in place, enables nothing and starts nothing."""
    before = node.ruleset()
    with tempfile.TemporaryDirectory() as directory:
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", directory, timeout=120)
        found = [os.path.relpath(os.path.join(top, name), directory) for top, _, names in os.walk(directory) for name in names]
        links = [path for path in found if os.path.islink(os.path.join(directory, path))]
        wanted = ("sbin/microsegd", "bin/microseg", "man8/microsegd.8", "man1/microseg.1", "completions/microseg",
                  "system/microsegd.service", "system/microseg-fence.service", "sysusers.d/microseg.conf")
        for name in wanted:
            report.check(any(path.endswith(name) for path in found), "%s is there" % name, found)
        report.equal(links, [], "no unit is enabled")
        report.check(not [path for path in found if path.startswith(("etc", "var", "run")) or "modules-load" in path],
                     "nothing in /etc, nothing that loads a module at boot", found)
        unit = next(path for path in found if path.endswith("microsegd.service"))
        with open(os.path.join(directory, unit)) as file:
            program = re.search(r"^ExecStart=(\S+)", file.read(), re.MULTILINE)[1]
        report.check(os.path.exists(directory + program), "the unit starts what is installed", program)
    report.equal(node.ruleset(), before, "and the kernel's rules are as before")


def under_flood(report, node, containers, what, change):
    """Runs change() while refused and allowed datagrams are sent: none of the former arrives, no held connection breaks."""
    web, api, stranger = containers
    held = web.agent.do("hold", dst=api.addr[4], port=8080, key=what)
    report.equal(held["result"], "ok", "%s: a connection opens" % what)
    time.sleep(0.3)
    api.agent.do("forget")
    stranger.agent.do("spray", dst=api.addr[4], udp=9000, tcp=8080, period=0.0002)
    change()
    time.sleep(0.3)
    sent = stranger.agent.do("sprayed", stop=True)["sent"]
    leaks = [entry for entry in api.agent.do("sniffed")["seen"] if entry[0] in stranger.addr.values()]
    report.check(sent > 100 and not leaks, "%s: nothing of %d datagrams arrived" % (what, sent), leaks)
    report.equal(web.agent.do("talk", key=what)["result"], "ok", "%s: the open connection lives on" % what)


def foreign_tables(report, node, containers):
    """Tables with chains, sets and rules that this version would not make are taken over in one transaction."""
    node.stop(signal.SIGKILL)
    node.lab.host.run("nft", "-f", "-", stdin="""
add set inet microseg future { typeof ip saddr . tcp dport; size 1000; counter; }
add element inet microseg future { 192.0.2.99 . 443 }
add chain inet microseg later
add rule inet microseg later ip saddr . tcp dport @future counter comment "of another version"
insert rule inet microseg forward jump later
add map bridge microseg verdicts { type ifname : verdict; size 16; }
""")
    since = len(node.log_text())
    under_flood(report, node, containers, "another version's tables", node.start)
    report.check("are replaced" in node.log_text()[since:], "it says that it replaced them", node.log_text()[since:])
    report.check("future" not in node.ruleset() and "later" not in node.ruleset(), "nothing of them is left")
    matrix(report, node, pairs(containers), "after another version's tables")


def upgrade(report, node, containers):
    """What an older build armed is taken over, and it takes over what we left of it, for a downgrade."""
    commit = os.environ.get("MS_UPGRADE_FROM")
    if not commit:
        report.note("skipped: MS_UPGRADE_FROM names no commit")
        return
    with tempfile.TemporaryDirectory() as source:
        run("sh", "-c", "git -C %s archive %s | tar x -C %s" % (ROOT, commit, source))
        run("meson", "setup", os.path.join(source, "build"), source)
        run("ninja", "-C", os.path.join(source, "build"), "src/daemon/microsegd", timeout=600)
        older = os.path.join(source, "build", "src", "daemon", "microsegd")
        node.cli("off")
        node.stop()
        node = Node(node.lab, name="upgraded")  # a state directory that the older one has written

        def swap(program, *args):
            node.kill()
            since = len(node.log_text())
            with open(node.log, "a") as log:
                node.process = subprocess.Popen([program if word == MICROSEGD else word for word in node.command(*args)],
                                                stdin=subprocess.DEVNULL, stderr=log)
            # Its own words: the command of this version may not understand the status of that one.
            wait_for(lambda: "enforcing, generation" in node.log_text()[since:], "%s to enforce" % program, 20)

        swap(older, "-p", POLICY)
        for what, program in (("upgrade", MICROSEGD), ("downgrade", older), ("upgrade again", MICROSEGD)):
            under_flood(report, node, containers, "%s, %s" % (what, commit), lambda program=program: swap(program))
        node.wait_endpoints(containers)
        matrix(report, node, pairs(containers), "after the upgrade")


def main():
    report = Report("microsegd as a service")
    lab, parties = build(CONTAINERS)
    with lab:
        containers = [parties[row[0]] for row in CONTAINERS]
        node = Node(lab)
        node.start(policy=POLICY)
        node.wait_endpoints(containers)
        for part in (watchdog, rights, one_instance, metrics, units, install, foreign_tables, upgrade):
            report.section(part, report, node, containers)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
