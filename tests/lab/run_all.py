#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs every test there is, as root: unit tests of both builds, then all that works on a real kernel.

One line for each program, in full what failed, and "N passed, N failed" at the end. Full output is kept in
build/test-logs/. A program that ends without a count is a failure. One on a real kernel that fails is shown in full and run
once more at the end, alone: what holds within milliseconds may fail while the machine does something else, and what fails
twice fails. The last lines name those that did not pass at once.
"""
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOGS = os.path.join(ROOT, "build", "test-logs")
# Directory, what it is, and what of meson's tests runs in it.
BUILDS = (("build", "gcc", []), ("build-clang", "clang with address and undefined sanitizers", ["--suite", "unit"]))
# The rig first: if it does not hold, nothing that stands on it says anything.
PROGRAMS = [os.path.relpath(path, ROOT) for room in ("lab", "netns", "engine")
            for path in sorted(glob.glob(os.path.join(ROOT, "tests", room, "test_*.py")))]
# These wait more than they work: they run beside the others.
CALM = ["tests/engine/test_beside.py", *("tests/netns/test_%s.py" % name for name in (
    "arming", "clocks", "control", "fence", "kernel61", "operator", "soak", "systemd", "wayback"))]
PROGRAM_LIMIT = 600  # seconds


def show(good, what, passed, failed, seconds):
    print("%-6s %-60s %4d passed, %d failed  (%.0f s)" % ("ok" if good else "FAILED", what, passed, failed, seconds),
          flush=True)


def cmocka_counts(output):
    """(passed, failed) of a cmocka program, or None when it is no such program."""
    passed = [int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", output)]
    failed = [int(n) for n in re.findall(r"\[  FAILED  \] (\d+) test", output)]
    return (sum(passed), sum(failed)) if passed or failed else None


def run_meson(directory, label, options):
    """meson test in one build. Returns (passed, failed)."""
    started = time.monotonic()
    path = os.path.join(ROOT, directory)
    subprocess.run(["meson", "test", "-C", path, "--no-rebuild", *options], stdin=subprocess.DEVNULL, capture_output=True)
    total = [0, 0]
    with open(os.path.join(path, "meson-logs", "testlog.json")) as log:
        tests = [json.loads(line) for line in log]
    for test in tests:
        output = test.get("stdout", "") + test.get("stderr", "")
        good = test["result"] == "OK"
        passed, failed = cmocka_counts(output) or (int(good), int(not good))
        if not good:
            failed = max(failed, 1)  # a sanitizer or a crash: no case says so
            print("----- %s: %s\n%s" % (test["name"], test["result"], output.strip()))
        total[0] += passed
        total[1] += failed
    if not tests:
        total[1] += 1
    show(not total[1], "%d programs of meson (%s)" % (len(tests), label), *total, time.monotonic() - started)
    return total


def run_program(program):
    """A program of our own, which says what it counted in its last line. Returns (passed, failed)."""
    started = time.monotonic()
    log = os.path.join(LOGS, os.path.basename(program) + ".log")
    with open(log, "w+") as output:
        process = subprocess.Popen(["/usr/bin/python3", os.path.join(ROOT, program)], stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT)
        try:
            code = process.wait(PROGRAM_LIMIT)
        except subprocess.TimeoutExpired:
            process.terminate()  # it still removes its lab
            code = "%s, too late" % process.wait(60)
        output.seek(0)
        text = output.read()
    counts = re.search(r"^(\d+) passed, (\d+) failed\n\Z", text, re.MULTILINE)
    passed, failed = (int(counts[1]), int(counts[2])) if counts else (0, 1)
    if code != 0:
        failed = max(failed, 1)
    if failed:
        lines = re.findall(r"^not ok.*\n(?:#     .*\n)*", text, re.MULTILINE)
        print("----- %s: exit code %s, log in %s\n%s" % (program, code, os.path.relpath(log, ROOT),
                                                          "".join(lines) or text[-3000:]))
    show(not failed, program, passed, failed, time.monotonic() - started)
    return passed, failed


def run_lane(programs):
    """{program: (passed, failed)}"""
    return {program: run_program(program) for program in programs}


def run_programs():
    """(passed, failed) of all, and the programs that did not pass at once: those are run once more, alone."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        calm = pool.submit(run_lane, CALM)
        counts = run_lane(program for program in PROGRAMS if program not in CALM)
        counts.update(calm.result())
    unstable = [program for program, (_, failed) in counts.items() if failed]
    counts.update(run_lane(unstable))
    return list(counts.values()), unstable


def main():
    os.makedirs(LOGS, exist_ok=True)
    results = [run_meson(*build) for build in BUILDS]
    counts, unstable = run_programs()
    for program in unstable:
        print("did not pass at once: %s" % program)
    passed, failed = (sum(column) for column in zip(*results, *counts))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
