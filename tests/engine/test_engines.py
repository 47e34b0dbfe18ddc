#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Docker and Podman at once on one node: everything that can happen to a Docker container, next to Podman's."""
import contextlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from engine import Engine, Podman  # noqa: E402
from lab import Lab  # noqa: E402
from lives import POLICY, STEPS, Stage, nameless_namespace  # noqa: E402
from node import Node  # noqa: E402
from probes import control, flows, matrix  # noqa: E402
from tap import Report  # noqa: E402


def side_by_side(report, node, docker, podman):
    """Containers of two engines talk as two containers of one engine do."""
    names = ("web", "orders-db")
    with contextlib.ExitStack() as stack:
        ours, theirs = ([stack.enter_context(stage.container(name, name)) for name in names] for stage in (docker, podman))
        dev = stack.enter_context(podman.container("dev", env="dev"))
        for party in (ours[1], theirs[1]):
            party.listen(tcp=[5432, 8080])
        node.wait_endpoints([*ours, *theirs, dev])
        table = [*flows(ours[0], theirs[1], "tcp/5432"), *flows(theirs[0], ours[1], "tcp/5432"),
                 *flows(ours[0], theirs[1], "tcp/8080", "no-grant"), *flows(theirs[0], ours[1], "tcp/8080", "no-grant"),
                 *flows(dev, ours[1], "tcp/5432", "fence")]
        matrix(report, node, table, "side by side")


def across(docker, podman):
    """What must be refused later. In IPv4, which both engines masquerade: these have two networks, and answer by either."""
    return [*flows(docker.db, podman.db, "tcp/8080", families=[4]), *flows(podman.db, docker.db, "tcp/8080", families=[4])]


def let_engines_forward(host):
    """Each engine's own rules keep what comes from the other's networks out of its own. Here it is microseg that is asked."""
    for command in ("iptables", "ip6tables"):
        host.run(command, "-I", "DOCKER-USER", "-j", "ACCEPT", check=False)
        host.run(command, "-P", "FORWARD", "ACCEPT")


def main():
    report = Report("Docker and Podman on one node")
    with Lab() as lab:
        engines = [Engine(lab), Podman(lab)]
        for engine in engines:
            engine.start()
        node = Node(lab, engines=[engine.url for engine in engines])
        stages = [Stage(report, node, engine, number) for engine, number in zip(engines, (75, 85))]
        let_engines_forward(lab.host)
        report.section(control, report, across(*stages), "no microseg")
        node.start(policy=POLICY)
        node.wait_endpoints([stage.db for stage in stages])
        report.section(side_by_side, report, node, *stages)
        report.section(nameless_namespace, report, node, stages[0])
        for step in STEPS:
            report.section(step, stages[0])
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
