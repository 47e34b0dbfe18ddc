# SPDX-License-Identifier: GPL-2.0-or-later
"""Fleet: a policy and an inventory of any size, out of a seed, for the benches."""
import os
import random

PER_FILE = 10  # services in one file
ENVIRONMENTS = ("prod", "dev")

HEAD = """apiVersion: microseg/v1
kind: Environments
identity:
  env: [io.microseg.env]
  service: [io.microseg.service]
unidentified: {mode: enforce}
environments:
  prod: {mode: enforce, resolvers: [10.255.0.53, "fd00:ffff::53"]}
  dev: {mode: enforce, resolvers: [gateway]}
nets: {office: [192.0.2.0/24], partners: [198.51.100.0/25, "2001:db8::/32"]}
crossings:
  - {from: prod/s0, to: dev/*, ports: [tcp/9100], reason: OPS-1}
"""


def service(number, n_services, n_grants, rng):
    """A document of service @number; callers are services of its environment."""
    lines = ["---", "apiVersion: microseg/v1", "kind: Service", f"service: s{number}",
             f"env: {ENVIRONMENTS[number % 2]}",
             "ports: {api: tcp/8080, metrics: tcp/9100}", "allow:"]
    for grant in range(n_grants - 1):
        caller = rng.randrange(n_services // 2) * 2 + number % 2
        ports = ("[api]", "[metrics]", "[tcp/5432]", f"[tcp/{7000 + grant}]", "[udp/6000-6010]")[rng.randrange(5)]
        lines.append(f"  - {{from: s{caller}, ports: {ports}, reason: TEAM-{rng.randrange(10000)}}}")
    lines += ["needs:", "  - {to: {net: partners}, ports: [tcp/443]}"]
    return lines


def write_policy(folder, n_services, n_grants, seed=1):
    """Writes files of PER_FILE services each. Returns their paths. @n_grants: of all services together."""
    rng = random.Random(seed)
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, "environments.yaml")]
    with open(paths[0], "w", encoding="utf-8") as file:
        file.write(HEAD)
    for first in range(0, n_services, PER_FILE):
        path = os.path.join(folder, f"services-{first:06}.yaml")
        lines = []
        for number in range(first, min(first + PER_FILE, n_services)):
            lines += service(number, n_services, n_grants // n_services, rng)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines[1:]) + "\n")
        paths.append(path)
    return paths


def write_crowd(path, n_grants):
    """One service, s0, that grants a port to each of as many others, s2 and so on, of its environment."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEAD + "---\napiVersion: microseg/v1\nkind: Service\nservice: s0\nenv: prod\nallow:\n")
        file.writelines(f"  - {{from: s{2 * number + 2}, ports: [tcp/5432]}}\n" for number in range(n_grants))


def write_inventory(path, n_endpoints, n_services, step=1):
    """Every service, or only each one of @step, has endpoints, with one address of each family."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("apiVersion: microseg/v1\nkind: Inventory\nnode: node-a\nhosts: [10.255.0.1]\nendpoints:\n")
        for number in range(n_endpoints):
            owner = number * step % n_services
            file.write(f"  - name: c{number}\n    interface: veth{number}\n"
                       f"    mac: \"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}\"\n"
                       f"    addresses: [10.{number >> 16}.{number >> 8 & 255}.{number & 255}, \"fd00::1:{number:x}\"]\n"
                       f"    labels: {{io.microseg.env: {ENVIRONMENTS[owner % 2]}, io.microseg.service: s{owner}}}\n")
