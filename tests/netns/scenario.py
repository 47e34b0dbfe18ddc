# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenario: the containers that the tests of this directory probe, and what policy/ should make of each flow.

GRANTS repeats policy/services.yaml by hand, and reason_of() SPEC section 3 as far as these tests go. They share no code with
the program: it is judged by another reading of the contract.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from lab import Lab, OutsideAddress  # noqa: E402
from probes import flows  # noqa: E402

POLICY = os.path.join(HERE, "policy")
ALL_PORTS = "tcp/8080 tcp/5432 tcp/9187 tcp/6379 udp/9000 udp/8080 ping"
TCP = [8080, 5432, 9187, 6379, 443, 53, 22]
UDP = [9000, 8080, 123, 53]

GRANTS = {
    ("web", "orders-api"): {"tcp/8080", "udp/9000", "ping"},
    ("orders-api", "orders-api"): {"udp/9000"},
    ("orders-api", "orders-db"): {"tcp/5432"},
    ("metrics", "orders-db"): {"tcp/9187", "ping"},
    ("web", "cache"): {"tcp/6379"},
    ("orders-api", "cache"): {"tcp/6379"},
}

# name, bridge, env, service. Two bridges hold some of each.
CONTAINERS = (
    ("prod-web", "br-one", "prod", "web"),
    ("prod-api-1", "br-one", "prod", "orders-api"),
    ("prod-api-2", "br-two", "prod", "orders-api"),
    ("prod-db", "br-one", "prod", "orders-db"),
    ("prod-cache", "br-two", "prod", "cache"),
    ("prod-metrics", "br-two", "prod", "metrics"),
    ("dev-web", "br-one", "dev", "web"),
    ("dev-api", "br-two", "dev", "orders-api"),
    ("nobody-1", "br-one", None, None),
    ("nobody-2", "br-two", None, None),
)


def split(identity):
    env, _, service = identity.partition("/")
    return env, service


def reason_of(src, dst, port):
    """Why this flow between two containers is refused, or None."""
    if "unidentified" in (src.identity, dst.identity):
        return "unidentified"
    (src_env, src_service), (dst_env, dst_service) = split(src.identity), split(dst.identity)
    if src_env != dst_env:
        return "fence"
    return None if port in GRANTS.get((src_service, dst_service), ()) else "no-grant"


def build(containers=CONTAINERS):
    """A lab with these containers. Returns it and {name: party}, host, outside and office among them."""
    lab = Lab()
    lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
    lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
    parties = {name: lab.container(name, bridge, env, service) for name, bridge, env, service in containers}
    parties.update(host=lab.host, outside=lab.outside)
    for party in parties.values():
        party.listen(tcp=TCP, udp=UDP)
    parties["office"] = OutsideAddress(lab.outside, "office", {4: "10.20.0.2", 6: "2001:db8:20::2"})
    lab.settle()
    return lab, parties


def east_west(parties):
    """Every container to every other one, on every port that means something to anybody."""
    table = []
    containers = [party for party in parties.values() if hasattr(party, "port")]
    for src in containers:
        for dst in containers:
            if src is not dst:
                for port in ALL_PORTS.split():
                    table += flows(src, dst, port, reason_of(src, dst, port))
    return table
