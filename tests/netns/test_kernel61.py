#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian 12's own kernel, 6.1, in a virtual machine: no owner and persist, and br_netfilter a module that may be absent.

The machine has our binaries, what they link with, and the kernel's modules in memory, and three containers on one bridge.

It is also where a clock can be set without anybody else's being set: what has an end, under a daemon that runs, and at the
start of one that did not.
"""
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import scenario  # noqa: F401, for the path of the lab

from lab import run
from node import MICROSEG, MICROSEGD
from tap import Report

BOOT_SECONDS = 240  # far more than it takes, without acceleration on a busy machine
NEEDED = ("qemu-system-x86_64", "cpio", "depmod", "busybox", "nft", "ip")
MODULES = ("kernel/net", "kernel/lib", "kernel/crypto", "kernel/arch/x86/crypto", "kernel/drivers/net/veth.ko")
POLICY = """
apiVersion: microseg/v1
kind: Environments
identity: {env: [io.microseg.env], service: [io.microseg.service]}
unidentified: {mode: enforce}
environments: {prod: {mode: enforce, resolvers: [gateway]}, dev: {mode: enforce, resolvers: [gateway]}}
---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow: [{from: web, ports: [tcp/8080]}]
"""
# An exception that ends in ten minutes, with a connection that it alone allows, and a relax. The clock is set by seconds.
CLOCKS = """
ip netns exec api nc -ll -p 8081 -e cat & ip netns exec api nc -ll -p 8082 -e cat &
step() { date -s @$(($(date +%s) + $1)) >/dev/null; }
ask() { [ "$(echo hello | ip netns exec web nc -w 2 10.1.0.11 $2 2>/dev/null)" = hello ] && say $1 passes || say $1 refused; }
say() { echo "RESULT $1 web api $2"; }
lend() { microseg grant prod/web prod/api tcp/8081 --for 10m --reason clock -c /etc/config >/dev/null || say lend failed; }
hold() { mkfifo /hold; ip netns exec web nc 10.1.0.11 8081 </hold >/held 2>/dev/null & exec 9>/hold; sleep 0.5; held $1; }
held() { echo $1 >&9; sleep 0.5; grep -q "^$1$" /held && say $1 passes || say $1 refused; }
ask no-exception 8081
lend; ask exception 8081; hold held
step -3600; sleep 1; ask back 8081; held held-back
step 4100; sleep 1; ask back-and-not-over 8081; held held-and-not-over
step 200; sleep 1; ask over 8081; held held-over
step -3600; sleep 1; ask over-and-back 8081; step 3600; sleep 1; ask over-again 8081
microseg relax prod/api --for 10m --reason clock -c /etc/config >/dev/null; ask relaxed 8082
step 610; sleep 1; ask relaxed-over 8082
lend; killall -9 microsegd; step 610; sleep 1; ask dead 8081; start; ask dead-over 8081
"""
INIT = """#!/bin/sh
export PATH=/bin:/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
ip() { /bin/ip "$@"; } # not the shell's own
ip link set lo up
ip link add br-one type bridge; ip addr add 10.1.0.1/24 dev br-one; ip -6 addr add fd01::1/64 dev br-one nodad; ip link set br-one up
make() {
	ip netns add $1; ip link add veth$2 type veth peer name eth0 netns $1
	ip link set dev veth$2 alias "io.microseg.env=$3 io.microseg.service=$4"
	ip link set veth$2 master br-one up
	ip -n $1 link set lo up; ip -n $1 addr add 10.1.0.$2/24 dev eth0; ip -n $1 addr add fd01::$2/64 dev eth0 nodad
	ip -n $1 link set eth0 up
}
make web 10 prod web; make api 11 prod api; make dev 12 dev web
ip netns exec api nc -ll -p 8080 -e cat &
call() { [ "$(echo hello | ip netns exec $1 nc -w 2 $2 8080 2>/dev/null)" = hello ] && echo passes || echo refused; }
calls() { for who in web dev; do for to in 10.1.0.11 fd01::11; do echo "RESULT $1 $who $to $(call $who $to)"; done; done; }
start() {
	microsegd -c /etc/config $1 $2 >>/log 2>&1 &
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		microseg status -c /etc/config 2>/dev/null | grep -q '^enforcing' && break; sleep 0.5
	done
}
sleep 3
calls before
start -p /etc/policy
echo "STATUS absent"; microseg status -c /etc/config; echo "END"
calls absent
modprobe br_netfilter
sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
sleep 3
echo "STATUS appeared"; microseg status -c /etc/config; echo "END"
calls appeared
killall microsegd; sleep 1
start
sleep 1
echo "STATUS loaded"; microseg status -c /etc/config; echo "END"
calls loaded
nft flush ruleset; sleep 1
calls flushed
echo "STATUS drops"; microseg drops -c /etc/config -o json; echo "END"
nft list ruleset >/listed && unshare -n nft -f /listed && echo "RESULT listing all all reloads"
CLOCKS
killall -9 microsegd; sleep 0.5
calls killed
echo "STATUS log"; cat /log; echo "END"
echo "RESULT all all all done"
poweroff -f
"""


def unpack_kernel(folder):
    """Downloads and unpacks the kernel's package. Returns the reason why that cannot be had, or None."""
    depends = run("apt-cache", "depends", "linux-image-cloud-amd64", check=False).stdout
    found = re.search(r"Depends: (linux-image-6\.1\.\S+)", depends)
    if not found:
        return "apt knows no kernel 6.1"
    got = run("apt-get", "-o", "APT::Sandbox::User=root", "download", found[1], check=False, cwd=folder, timeout=120)
    if got.returncode:
        return "apt-get download %s: %s" % (found[1], got.stderr.strip().splitlines()[-1:])
    package = [name for name in os.listdir(folder) if name.endswith(".deb")][0]
    run("dpkg-deb", "-x", os.path.join(folder, package), os.path.join(folder, "kernel"))
    return None


def install(root, source, to):
    """A binary, and what it links with."""
    target = os.path.join(root, to)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)
    for library in re.findall(r"(/\S+) \(0x", run("ldd", source, check=False).stdout):
        os.makedirs(os.path.join(root, os.path.dirname(library)[1:]), exist_ok=True)
        shutil.copy(library, os.path.join(root, library[1:]))


def write(root, path, text, mode=0o644):
    os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
    with open(os.path.join(root, path), "w") as file:
        file.write(text)
    os.chmod(os.path.join(root, path), mode)


def make_root(folder):
    """The file system of the machine, packed. Returns (kernel, packed)."""
    root = os.path.join(folder, "root")
    for name in ("bin", "sbin", "proc", "sys", "dev", "run", "etc", "var/lib", "tmp"):
        os.makedirs(os.path.join(root, name))
    install(root, shutil.which("busybox"), "bin/busybox")
    for applet in run("busybox", "--list").stdout.split():
        if applet not in ("busybox", "ip", "init"):
            os.symlink("/bin/busybox", os.path.join(root, "bin" if applet != "modprobe" else "sbin", applet))
    for name, source in (("ip", shutil.which("ip")), ("nft", shutil.which("nft")), ("microseg", MICROSEG), ("microsegd", MICROSEGD)):
        install(root, source, "bin/" + name)
    write(root, "init", INIT.replace("CLOCKS\n", CLOCKS), 0o755)
    write(root, "etc/policy/policy.yaml", POLICY)
    write(root, "etc/config", "node: vm\nengines: [none]\nstate: /var/lib/microseg\ncontrol: {socket: /run/microseg.sock}\n")
    unpacked = os.path.join(folder, "kernel")
    version = os.listdir(os.path.join(unpacked, "lib/modules"))[0]
    modules = os.path.join("lib/modules", version)
    for path in MODULES:
        source, target = os.path.join(unpacked, modules, path), os.path.join(root, modules, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target)
        elif os.path.exists(source):
            shutil.copy(source, target)
    for name in ("modules.builtin", "modules.order"):
        shutil.copy(os.path.join(unpacked, modules, name), os.path.join(root, modules))
    run("depmod", "-b", root, version)
    packed = os.path.join(folder, "root.cpio.gz")
    subprocess.run("find . | cpio -o -H newc --quiet | gzip -1 >%s" % packed, shell=True, check=True, cwd=root)
    return os.path.join(unpacked, "boot", "vmlinuz-" + version), packed


def boot(kernel, packed):
    """Runs the machine to its end. Returns what it said."""
    machine = run("qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-smp", "1", "-nographic", "-no-reboot", "-nic", "none",
                  "-kernel", kernel, "-initrd", packed, "-append", "console=ttyS0 quiet loglevel=1 panic=-1", check=False, timeout=BOOT_SECONDS)
    return machine.stdout.replace("\r", "") + machine.stderr


def part(said, name):
    found = re.search(r"^STATUS %s\n(.*?)^END$" % name, said, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def judge(report, said):
    results = {(when, who, to): result for when, who, to, result in re.findall(r"RESULT (\S+) (\S+) (\S+) (\w+)", said)}
    if not report.check(("all", "all", "all") in results, "the machine ran to its end", said[-3000:]):
        return
    wanted = {"before": ("passes", "passes"), "absent": ("refused", "refused"), "appeared": ("passes", "refused"),
              "loaded": ("passes", "refused"), "flushed": ("passes", "refused"), "killed": ("passes", "refused")}
    what = {"before": "without microseg (the control)", "absent": "without br_netfilter", "appeared": "br_netfilter loaded under the daemon",
            "loaded": "with br_netfilter, started anew", "flushed": "after nft flush ruleset", "killed": "after kill -9"}
    for when, verdicts in wanted.items():
        for who, verdict in zip(("web", "dev"), verdicts):
            got = [results.get((when, who, to)) for to in ("10.1.0.11", "fd01::11")]
            report.equal(got, [verdict, verdict], "%s: %s -> api" % (what[when], who), part(said, "log"))
    report.check("br_netfilter is not loaded: nothing passes" in part(said, "absent"), "status says that br_netfilter is missing, and what that means",
                 part(said, "absent"))
    report.check(part(said, "appeared") and "br_netfilter" not in part(said, "appeared"), "when it is loaded, status no longer says so",
                 part(said, "appeared"))
    report.check("br_netfilter" not in part(said, "loaded") and "without owner and persist" in part(said, "loaded"),
                 "later it only says that there is no owner and persist", part(said, "loaded"))
    report.check('"reason":"fence"' in part(said, "drops"), "refusals have their events", part(said, "drops")[-1000:])
    report.equal(results.get(("listing", "all", "all")), "reloads", "what nft lists loads again")


def judge_clocks(report, said):
    """An end is a moment of the wall clock, wherever that is set to."""
    wanted = (("no-exception", "refused", "without an exception (the control)"), ("exception", "passes", "with one"),
              ("held", "passes", "a connection that it alone allows"),
              ("back", "passes", "the clock is set back by an hour"), ("held-back", "passes", "and its connection lives on"),
              ("back-and-not-over", "passes", "set on to 100 seconds before the end"), ("held-and-not-over", "passes", "and its connection lives on"),
              ("over", "refused", "set on past the end"), ("held-over", "refused", "and its connection is cut"),
              ("over-and-back", "passes", "set back before the end: it is not over"), ("over-again", "refused", "and set on again"),
              ("relaxed", "passes", "a relax"), ("relaxed-over", "refused", "set on past the relax's end"),
              ("dead", "passes", "set on past the end of an exception without a daemon: nothing moves"),
              ("dead-over", "refused", "and when one starts it is over"))
    results = {when: result for when, result in re.findall(r"RESULT (\S+) web api (\w+)", said)}
    for when, verdict, what in wanted:
        report.equal(results.get(when), verdict, "a clock: %s" % what, part(said, "log"))


def main():
    report = Report("kernel 6.1")
    missing = [name for name in NEEDED if not shutil.which(name)]
    why = "no %s" % ", ".join(missing) if missing else "not on this architecture" if platform.machine() != "x86_64" else None
    with tempfile.TemporaryDirectory(prefix="microseg-vm-") as folder:
        why = why or unpack_kernel(folder)
        if why:
            report.check(True, "skipped: %s" % why)
        else:
            said = boot(*make_root(folder))
            judge(report, said)
            judge_clocks(report, said)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
