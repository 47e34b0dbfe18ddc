#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The units under a real systemd, from the installation that the README describes to the third boot.

tests/lab/machine.py is the machine. What the first boot shows: installing starts nothing, READY, the rights that are left,
the socket's group, metrics by a process of its own, events in the journal, a stopped process restarted by the watchdog,
reload, stop, start and an upgrade under load. The second: the fence stands before there is a network, an engine, or the
daemon. The third: what is off stays off.
"""
import os
import re
import signal
import sys
import time

from scenario import POLICY, build, reason_of

from lab import ROOT, wait_for
from machine import Machine, MachineNode, missing
from node import BUILD
from probes import control, flows, matrix, send_all
from tap import Report

CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api", "br-one", "prod", "orders-api"),
    ("dev-web", "br-two", "dev", "web"),
)
UNIT, FENCE = "microsegd.service", "microseg-fence.service"
TWO_CAPABILITIES = 1 << 12 | 1 << 11  # CAP_NET_ADMIN, CAP_NET_BROADCAST
POLICY_DIR = "/etc/microseg/policy.d"
CONFIG = "node: machine\nmetrics: {listen: 127.0.0.1:9464}\n"
# The unit's own thirty seconds are too long for a test.
WATCHDOG = "[Service]\nWatchdogSec=%s\n" % os.environ.get("MS_WATCHDOG", "2s")
# Stands between the fence and the daemon at boot, and writes down what it sees.
LOOKOUT = """[Unit]
DefaultDependencies=no
After=%s
Before=%s network-pre.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'nft list tables >/var/lookout; ls -A /run/microseg >>/var/lookout 2>&1; true'
[Install]
WantedBy=multi-user.target
""" % (FENCE, UNIT)
# An engine, as far as ordering goes: the name is what the units know.
ENGINE = "[Unit]\nAfter=network.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
NOT_FROM_INSIDE = ("/etc/x", "/usr/x", "/root/x", "/var/x", "/dev/x")


def pairs(containers):
    return [flow for src in containers for dst in containers if src is not dst
            for port in ("tcp/8080", "udp/9000", "ping") for flow in flows(src, dst, port, reason_of(src, dst, port))]


def tables(lab):
    return re.findall(r"^table (\w+ microseg)$", lab.host.run("nft", "list", "tables").stdout, re.MULTILINE)


def wait_state(node, state):
    wait_for(lambda: node.status().get("state") == state, "state %s; status says %s" % (state, node.status()), 15, 0.1)


def under_load(report, machine, containers, what, change):
    """Runs change() while refused and allowed traffic is sent: nothing of the former arrives, no held connection breaks."""
    web, api, stranger = containers
    report.equal(web.agent.do("hold", dst=api.addr[4], port=8080, key=what)["result"], "ok", "%s: a connection opens" % what)
    api.agent.do("forget")
    stranger.agent.do("spray", dst=api.addr[4], udp=9000, tcp=8080, period=0.001)
    pace = web.agent.send("pace", dst=api.addr[4], port=9000, period=0.005, seconds=3, timeout=1)
    change()
    pace = web.agent.wait(pace)
    sent = stranger.agent.do("sprayed", stop=True)["sent"]
    leaks = [entry for entry in api.agent.do("sniffed")["seen"] if entry[0] in stranger.addr.values()]
    report.check(sent > 100 and not leaks, "%s: nothing of %d refused datagrams arrived" % (what, sent), leaks)
    report.check(pace["sent"] == pace["back"] > 50, "%s: none of %d allowed datagrams is lost" % (what, pace["sent"]), pace)
    report.equal(web.agent.do("talk", key=what)["result"], "ok", "%s: the open connection lives on" % what)


# ---- the first boot ------------------------------------------------------------------------------------------------


def installed(report, machine, _node, containers):
    """`ninja -C build install`, as the README says: units that systemd likes, and nothing that runs."""
    control(report, pairs(containers), "nothing installed")
    machine.do("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", timeout=120)
    for unit in (UNIT, FENCE):
        report.equal(machine.show(unit, "LoadState", "ActiveState", "UnitFileState"),
                     {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "disabled"}, "%s does not run" % unit)
    report.equal(tables(machine.lab), [], "no table of ours")
    control(report, pairs(containers), "installed")


def started(report, machine, node, containers):
    """`systemctl start` returns when the daemon is ready; the first policy is applied by hand."""
    machine.do("systemctl", "start", UNIT)
    result = node.cli("status")
    report.check(result.returncode == 0 and result.stdout.startswith("observing"), "started is ready: it observes", result.stdout + result.stderr)
    shown = machine.show(UNIT, "Type", "ActiveState", "NRestarts", "StatusErrno")
    report.equal((shown["Type"], shown["ActiveState"], shown["NRestarts"]), ("notify", "active", "0"), "by notification")
    result = node.cli("apply", "--yes")
    report.equal(result.returncode, 0, "apply", result.stdout + result.stderr)
    node.wait_endpoints(containers)
    matrix(report, node, pairs(containers), "applied")


def rights(report, machine, _node, _containers):
    """What the process has in fact: two capabilities, filters, a file system that it cannot write to."""
    pid = machine.main_pid(UNIT)
    with open("/proc/%d/status" % pid) as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    for name in ("CapEff", "CapPrm"):
        report.equal(int(status[name], 16), TWO_CAPABILITIES, name)
    report.equal((int(status["CapInh"], 16), int(status["CapAmb"], 16), status["NoNewPrivs"], status["Seccomp"]), (0, 0, "1", "2"),
                 "nothing inherited, no new privileges, filtered")
    filters = int(status["Seccomp_filters"])
    report.check(filters > 2, "the unit's filters and its own: %d" % filters)
    inside = ["nsenter", "-t", str(pid), "-m", "-r", "--"]
    for path in NOT_FROM_INSIDE:
        report.equal(machine.do("touch", path, check=False).returncode, 0, "positive control: the machine can write %s" % path)
        machine.do("rm", path)
        refused = machine.lab.host.run(*inside, "touch", path, check=False)
        report.check("Read-only" in refused.stderr, "the unit's view of it cannot", refused.stderr)
    for directory in ("/var/lib/microseg", "/run/microseg", "/var/log/microseg"):
        written = machine.lab.host.run(*inside, "sh", "-c", "touch %s/x && rm %s/x" % (directory, directory), check=False)
        report.equal(written.returncode, 0, "%s is its own to write" % directory, written.stderr)
    listed = machine.lab.host.run(*inside, "ls", "/dev", check=False).stdout.split()
    report.check("null" in listed and "vda" not in listed, "no devices", listed)
    machine.sh("touch /tmp/of-others")
    report.equal(machine.lab.host.run(*inside, "ls", "-A", "/tmp", check=False).stdout.split(), [], "a /tmp of its own")


def socket_group(report, machine, node, _containers):
    """The group microseg is there after systemd-sysusers, and may read."""
    machine.do("systemd-sysusers")
    machine.do("systemctl", "restart", UNIT)
    shown = machine.do("stat", "-c", "%A %U %G", "/run/microseg/control.sock").stdout.strip()
    report.equal(shown, "srw-rw---- root microseg", "the control socket")
    member = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--groups", "microseg", "microseg"]
    report.equal(machine.do(*member, "status", check=False).returncode, 0, "a member of the group asks for the status")
    refused = machine.do(*member, "off", check=False)
    report.check(refused.returncode == 2 and node.status()["state"] == "enforcing", "and may not switch it off", refused.stderr)


def metrics(report, machine, node, _containers):
    """The process that serves metrics on TCP is nobody's, with no right at all."""
    text = machine.sh("curl -s http://127.0.0.1:9464/metrics").stdout
    report.check("microseg_endpoints{state=\"identified\"} 3" in text, "metrics on TCP", text[:500])
    pid = machine.main_pid(UNIT)
    for who in ("the keeper", "who serves"):
        with open("/proc/%d/task/%d/children" % (pid, pid)) as children:
            pid = int(children.read().split()[0])
        with open("/proc/%d/status" % pid) as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        report.equal((status["Uid"].split(), int(status["CapEff"], 16)), (["65534"] * 4, 0), "%s is nobody, without capabilities" % who)
    report.equal(node.status()["problems"], [], "status knows of no problem")


def journal(report, machine, node, containers):
    """Events are in the journal, as `drops -o json` has them."""
    send_all(list(flows(containers[2], containers[1], "tcp/8080", "fence", families=[4])))

    def found():
        lines = node.log_text().splitlines()
        # Of those just sent: one of before may be of a daemon that is no more, with its drops.
        return [line for line in lines if line.startswith("{") and '"fence"' in line and '"dport":8080' in line]

    lines = wait_for(found, "an event in the journal", 5, 0.1)
    said = node.cli("drops", "-o", "json").stdout.splitlines()
    report.check(lines[-1] in said, "the journal has the events, as drops has them", lines[-1])
    levels = machine.do("journalctl", "-u", UNIT, "-p", "err", "-o", "cat").stdout
    report.check("microsegd:" not in levels, "and no error of the daemon's", levels)


def metrics_again(report, machine, node, _containers):
    """Under the unit too, metrics come back when who serves them is killed."""
    pid = machine.main_pid(UNIT)
    for _ in range(2):
        with open("/proc/%d/task/%d/children" % (pid, pid)) as children:
            pid = int(children.read().split()[0])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "microseg_endpoints" in machine.sh("curl -s http://127.0.0.1:9464/metrics", check=False).stdout, "metrics after a kill")
    wait_for(lambda: node.status()["problems"] == [], "no problem in status")
    report.check("metrics are served on TCP again" in node.log_text(), "the log says so")


def watchdog(report, machine, node, containers):
    """A daemon that is stopped (SIGSTOP) is ended by the watchdog and started again; nothing opens or breaks meanwhile."""
    before = machine.main_pid(UNIT)

    def stopped():
        os.kill(before, signal.SIGSTOP)
        wait_for(lambda: machine.show(UNIT, "NRestarts")["NRestarts"] != "0" and machine.show(UNIT, "ActiveState")["ActiveState"] == "active",
                 "the watchdog", 60, 0.2)

    started = time.monotonic()
    under_load(report, machine, containers, "the watchdog", stopped)
    report.note("stopped, ended and ready again in %.1f s" % (time.monotonic() - started))
    report.check(machine.main_pid(UNIT) not in (None, before), "another process runs")
    said = machine.do("journalctl", "-u", UNIT, "-o", "cat").stdout
    report.check("Watchdog timeout" in said, "the journal says why", said[-1500:])
    node.wait_endpoints(containers)
    matrix(report, node, pairs(containers), "after the watchdog")


def reload(report, machine, node, containers):
    """`systemctl reload` is apply; files that are wrong change nothing."""
    generation = node.status()["applied"]["generation"]
    machine.sh("sed -i 's,http: tcp/8080,http: tcp/8081,' %s/services.yaml" % POLICY_DIR)
    machine.do("systemctl", "reload", UNIT)
    wait_for(lambda: node.status()["applied"]["generation"] > generation, "the reload to be applied", 10, 0.1)
    web, api, _ = containers
    matrix(report, node, list(flows(web, api, "tcp/8080", "no-grant")), "reloaded")
    machine.sh("echo 'kind: Nonsense' >%s/wrong.yaml" % POLICY_DIR)
    machine.do("systemctl", "reload", UNIT)
    wait_for(lambda: node.status()["policy"]["refused"], "the refusal", 10, 0.1)
    matrix(report, node, list(flows(web, api, "tcp/8080", "no-grant")), "a wrong file")
    machine.sh("rm %s/wrong.yaml; sed -i 's,http: tcp/8081,http: tcp/8080,' %s/services.yaml" % (POLICY_DIR, POLICY_DIR))
    machine.do("systemctl", "reload", UNIT)
    wait_for(lambda: not node.status()["policy"]["refused"], "the good files", 10, 0.1)
    matrix(report, node, pairs(containers), "reloaded again")


def stopped(report, machine, node, containers):
    """A service that is stopped leaves its tables; a start takes them over; so does an upgrade."""
    def stop():
        machine.do("systemctl", "stop", UNIT)
        time.sleep(0.3)

    under_load(report, machine, containers, "systemctl stop", stop)
    report.equal((machine.show(UNIT, "ActiveState", "Result"), sorted(tables(machine.lab))),
                 ({"ActiveState": "inactive", "Result": "success"}, ["bridge microseg", "inet microseg"]), "stopped, and the tables stay")
    wrong = ["%s: %s" % (flow, result) for flow, result in send_all(pairs(containers)).items() if (result == "ok") != (flow.reason is None)]
    report.equal(wrong, [], "verdicts hold without it")
    under_load(report, machine, containers, "systemctl start", lambda: machine.do("systemctl", "start", UNIT))

    def upgrade():
        machine.do("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", timeout=120)
        machine.do("systemctl", "daemon-reload")
        machine.do("systemctl", "restart", UNIT)

    under_load(report, machine, containers, "an upgrade", upgrade)
    node.wait_endpoints(containers)
    matrix(report, node, pairs(containers), "upgraded")


# ---- later boots -----------------------------------------------------------------------------------------------------


def moment(machine, unit, what="ActiveEnterTimestampMonotonic"):
    return int(machine.show(unit, what)[what])


def fenced_boot(report, machine, node, containers):
    """On an armed node the fence stands before the network, the engine and the daemon."""
    with open(machine.path("/var/lookout")) as file:
        seen = file.read()
    report.check("table inet microseg" in seen and "table bridge microseg" in seen, "the tables stand before the daemon runs", seen)
    report.check("control.sock" not in seen, "it did not run yet", seen)
    fence, daemon = moment(machine, FENCE), moment(machine, UNIT)
    report.check(0 < fence <= moment(machine, "network-pre.target") and daemon <= moment(machine, "network-pre.target"),
                 "fence and daemon before network-pre.target")
    engine = moment(machine, "docker.service", "ExecMainStartTimestampMonotonic")
    report.check(0 < daemon < engine, "and before the engine starts: %s" % [fence, daemon, engine])
    report.equal(machine.show(FENCE, "Result", "ActiveState"), {"Result": "success", "ActiveState": "active"}, "the fence's unit")
    wait_state(node, "enforcing")
    node.wait_endpoints(containers)
    matrix(report, node, pairs(containers), "second boot")


def switched_off(report, machine, node, containers):
    """`off` takes everything away under the unit's sandbox, too."""
    report.equal(node.cli("off").returncode, 0, "off")
    report.equal(tables(machine.lab), [], "no table is left")
    control(report, pairs(containers), "off")


def still_off(report, machine, node, containers):
    """Off survives the boot; on, and all is back."""
    report.check(node.status()["state"] == "off" and tables(machine.lab) == [], "third boot: still off", node.status())
    control(report, pairs(containers), "third boot")
    report.equal(node.cli("on").returncode, 0, "on")
    wait_state(node, "enforcing")
    node.wait_endpoints(containers)
    matrix(report, node, pairs(containers), "on again")


def removed(report, machine, node, _containers):
    """As the README says, to the end."""
    node.cli("off")
    machine.do("systemctl", "disable", "--now", UNIT, FENCE)
    machine.do("ninja", "-C", BUILD, "uninstall")
    machine.do("systemctl", "daemon-reload")
    left = machine.sh("command -v microseg microsegd; ls /lib/systemd/system /usr/lib/sysusers.d | grep microseg", check=False).stdout
    report.equal(left, "", "nothing of it is left installed")
    report.equal(tables(machine.lab), [], "nor in the kernel")


# ----------------------------------------------------------------------------------------------------------------------


def prepare(machine):
    for name in os.listdir(POLICY):
        with open(os.path.join(POLICY, name)) as file:
            machine.write("%s/%s" % (POLICY_DIR, name), file.read())
    machine.write("/etc/microseg/conf.d/lab.yaml", CONFIG)
    machine.write("/etc/systemd/system/%s.d/lab.conf" % UNIT, WATCHDOG)
    machine.write("/etc/systemd/system/lookout.service", LOOKOUT)
    machine.write("/etc/systemd/system/docker.service", ENGINE)


def one_boot(report, machine, parts, enable=()):
    """Boots in a lab of its own, and goes through the parts."""
    lab, parties = build(CONTAINERS)
    with lab:
        started = time.monotonic()
        machine.boot(lab)
        report.note("up after %.1f s" % (time.monotonic() - started))
        node = MachineNode(machine)
        failed = report.failed
        for part in parts:
            report.section(part, report, machine, node, [parties[row[0]] for row in CONTAINERS])
        if report.failed > failed:
            report.note("the journal says:\n" + machine.do("journalctl", "-b", "-o", "short-monotonic", check=False).stdout[-8000:])
        for unit in enable:
            machine.do("systemctl", "enable", unit)
        machine.halt()


def main():
    report = Report("units under a real systemd")
    why = missing()
    if why:
        report.check(True, "skipped: %s" % why)
        return report.finish()
    with Machine() as machine:
        prepare(machine)
        one_boot(report, machine, (installed, started, rights, socket_group, metrics, journal, metrics_again, watchdog, reload, stopped),
                 enable=(UNIT, FENCE, "lookout.service", "docker.service"))
        one_boot(report, machine, (fenced_boot, switched_off))
        one_boot(report, machine, (still_off, removed))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
