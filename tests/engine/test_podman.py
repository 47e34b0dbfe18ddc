#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real Podman containers: everything that can happen to one, and what becomes of its identity."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from engine import Podman  # noqa: E402
from lab import Lab  # noqa: E402
from lives import POLICY, STEPS, Stage  # noqa: E402
from node import Node  # noqa: E402
from tap import Report  # noqa: E402


def main():
    report = Report("a real Podman")
    with Lab() as lab:
        engine = Podman(lab)
        engine.start()
        node = Node(lab, engines=[engine.url])
        node.start(policy=POLICY)
        stage = Stage(report, node, engine, 75)
        node.wait_endpoints([stage.db])
        runtimes = {workload["runtime"] for workload in stage.row(stage.db)["workloads"]}
        report.check("podman" in runtimes, "the containers are Podman's", runtimes)
        report.equal(stage.row(stage.db)["name"], stage.db.name, "an endpoint bears the container's name, not its namespace's")
        for step in STEPS:
            report.section(step, stage)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
