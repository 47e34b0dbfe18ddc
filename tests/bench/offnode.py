#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bench of the commands that need no node: check, preview and matrix for 1,000 services, 10,000 endpoints, 20,000 grants.

    tests/bench/offnode.py [--services 1000] [--endpoints 10000] [--grants 20000] [--rounds 7] [--check] [--slack 1] [-o text|json]

Three things are asked, each as a ratio of two programs or two sizes that run in turn, so that a busy or slow machine
changes both sides:

    loading     check against a program that only runs libyaml's parser over the same files
    growth      each command with a tenth of everything against all of it
    linear      what a byte of preview's output costs, with a tenth against all

And how many rules a service takes: one for each grant and family as long as there are few, three for any number of them.

Times are processor time of the whole process, user and system: start, reading, work, output (to /dev/null). Every program
is warmed up with two runs that do not count. A ratio is the median of those of the single rounds, so that a slow minute
harms no one's figure; its spread is the smallest and the largest of them. --check exits 1 when a bar, times --slack, does
not hold.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from fleet import write_crowd, write_inventory, write_policy

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("MS_BUILD", os.path.join(ROOT, "build"))
MICROSEG = os.path.join(BUILD, "tools", "microseg")
SCAN = os.path.join(BUILD, "tests", "bench", "bench-scan")

WARM_UP = 2
LOADING_BAR = 3.0  # check against the scan
GROWTH_BAR = 12.0  # ten times the input
LINEAR_BAR = 1.3  # what a byte of output costs, all against a tenth
CROWDS = {32: 65, 33: 3, 500: 3, 5000: 3}  # grants of one service to services that run: the rules of its chain


class Run:
    """One finished process."""

    def __init__(self, command, output):
        with open(output, "wb") as out:
            child = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE)
            errors = child.stderr.read()
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit {child.returncode}\n{errors.decode()[:2000]}")
        self.seconds = usage.ru_utime + usage.ru_stime
        self.peak_mb = usage.ru_maxrss / 1024
        child.stderr.close()


class Contest:
    """Commands that run in turn, and what each took."""

    def __init__(self, commands, rounds):
        self.runs = {name: [] for name in commands}
        for number in range(WARM_UP + rounds):
            for name, command in commands.items():
                run = Run(command, os.devnull)
                if number >= WARM_UP:
                    self.runs[name].append(run)

    def seconds(self, name):
        return statistics.median(run.seconds for run in self.runs[name])

    def peak_mb(self, name):
        return max(run.peak_mb for run in self.runs[name])

    def ratio(self, name, peer):
        """The median of the rounds, then the smallest and the largest."""
        pairs = [a.seconds / b.seconds for a, b in zip(self.runs[name], self.runs[peer])]
        return statistics.median(pairs), min(pairs), max(pairs)


class Fleet:
    """One size of everything, written into @folder."""

    def __init__(self, folder, services, endpoints, grants):
        self.folder = os.path.join(folder, f"policy-{services}")
        self.inventory = os.path.join(folder, f"inventory-{services}.yaml")
        self.files = write_policy(self.folder, services, grants)
        write_inventory(self.inventory, endpoints, services)
        self.text = f"{services:,} services, {endpoints:,} endpoints, {grants:,} grants"
        self.output = os.path.join(folder, "output")
        Run(self.command("preview"), self.output)
        self.preview_bytes = os.path.getsize(self.output)
        if self.preview_bytes < 1000 * services:
            sys.exit(f"preview of {self.text} has only {self.preview_bytes} bytes: the bench measures nothing")

    def command(self, name):
        inventory = [] if name == "check" else ["-i", self.inventory]
        return [MICROSEG, name, "-p", self.folder, *inventory]

    def scan(self):
        return [SCAN, *self.files]


COMMANDS = ("check", "preview", "matrix")


def measure(small, large, rounds):
    commands = {"scan": large.scan()}
    for size, fleet in (("small", small), ("large", large)):
        commands |= {f"{name} {size}": fleet.command(name) for name in COMMANDS}
    contest = Contest(commands, rounds)
    figures = {"cores": os.cpu_count(), "small": small.text, "large": large.text, "rounds": rounds, "commands": {}}
    for name in COMMANDS:
        growth, low, high = contest.ratio(f"{name} large", f"{name} small")
        figures["commands"][name] = {
            "seconds": contest.seconds(f"{name} large"), "small_seconds": contest.seconds(f"{name} small"),
            "peak_mb": contest.peak_mb(f"{name} large"), "growth": growth, "growth_spread": [low, high]}
    loading, low, high = contest.ratio("check large", "scan")
    figures |= {"scan_seconds": contest.seconds("scan"), "loading": loading, "loading_spread": [low, high],
                "preview_bytes": large.preview_bytes,
                "linear": figures["commands"]["preview"]["growth"] * small.preview_bytes / large.preview_bytes}
    return figures


def count_rules(folder, n_grants):
    """What preview reports of one service with so many grants."""
    policy, inventory, output = (os.path.join(folder, name) for name in ("crowd.yaml", "crowd-inventory.yaml", "output"))
    write_crowd(policy, n_grants)
    write_inventory(inventory, n_grants + 1, 2 * n_grants + 2, step=2)
    run = Run([MICROSEG, "preview", "-p", policy, "-i", inventory, "--service", "prod/s0", "--stats"], output)
    with open(output, encoding="utf-8") as file:
        _, endpoints, grants, rules, elements = file.read().split("\n")[1].split()
    if (int(endpoints), int(grants)) != (1, n_grants):
        sys.exit(f"the crowd of {n_grants} is not what was written")
    return {"grants": n_grants, "rules": int(rules), "elements": int(elements), "seconds": run.seconds}


def broken_bars(figures, slack):
    bars = [("loading", figures["loading"], LOADING_BAR), ("a byte of output", figures["linear"], LINEAR_BAR)]
    bars += [(f"growth of {name}", command["growth"], GROWTH_BAR) for name, command in figures["commands"].items()]
    broken = [f"{name}: {value:.2f}, the bar is {bar}" for name, value, bar in bars if value > bar * slack]
    return broken + [f"{crowd['grants']} grants of one service: {crowd['rules']} rules, expected {CROWDS[crowd['grants']]}"
                     for crowd in figures["crowds"] if crowd["rules"] != CROWDS[crowd["grants"]]]


def show(figures):
    print(f"{figures['large']}; {figures['cores']} cores, {figures['rounds']} rounds, processor time")
    for name, command in figures["commands"].items():
        low, high = command["growth_spread"]
        print(f"  {name:8} {command['seconds']:7.3f} s, peak {command['peak_mb']:6.1f} MB;"
              f" 10 times the input costs {command['growth']:5.2f} times ({low:.2f} to {high:.2f}), bar {GROWTH_BAR:.0f}")
    low, high = figures["loading_spread"]
    print(f"  loading  {figures['loading']:.2f} times ({low:.2f} to {high:.2f}) what libyaml alone takes for these files"
          f" ({figures['scan_seconds']:.3f} s), bar {LOADING_BAR:.0f}")
    print(f"  compile  a byte of preview costs {figures['linear']:.2f} times what it costs at a tenth"
          f" ({figures['preview_bytes'] / 1e6:.1f} MB of output), bar {LINEAR_BAR}")
    for crowd in figures["crowds"]:
        print(f"  {crowd['grants']:5,} grants on one service are {crowd['rules']} rules and {crowd['elements']:,} elements;"
              f" preview {crowd['seconds']:.3f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10000)
    parser.add_argument("--grants", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar does not hold")
    parser.add_argument("--slack", type=float, default=1.0, help="how many times the bars may be passed")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="microseg-bench-") as folder:
        small, large = (Fleet(folder, arguments.services // part, arguments.endpoints // part,
                              arguments.grants // part) for part in (10, 1))
        figures = measure(small, large, arguments.rounds)
        figures["crowds"] = [count_rules(folder, n_grants) for n_grants in CROWDS]
    if arguments.output == "json":
        print(json.dumps(figures, indent=1))
    else:
        show(figures)
    broken = broken_bars(figures, arguments.slack)
    for bar in broken:
        print(f"bar does not hold: {bar}", file=sys.stderr)
    return 1 if arguments.check and broken else 0


if __name__ == "__main__":
    sys.exit(main())
