# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT: the translation rules that a Docker engine makes for its networks, in the host namespace of a lab.

Written as the engine writes them, chain by chain: published ports by DNAT in a chain of its own, masquerading of what
leaves, and the rule for a container that calls itself through its published port. `proxy` is the engine's userland proxy:
with it the engine leaves a container's calls to its own network's published ports to that process; without it they are
translated too, those to 127.0.0.1 among them, and the bridge ports turn frames back.
"""
import subprocess

from lab import LEASH, LabError

DOCKER_PROXY = "/usr/sbin/docker-proxy"  # package docker.io
RESTORE = {4: "iptables-restore", 6: "ip6tables-restore"}
LOOPBACK = {4: "127.0.0.0/8", 6: "::1/128"}


class Nat:
    """The engine's rules. publish() adds a port, load() puts all of them into the kernel."""

    def __init__(self, lab, proxy):
        self.lab = lab
        self.proxy = proxy
        self.ports = []  # (container, proto, port of the host, port of the container, host's address or None)

    def publish(self, container, proto, host_port, port, addr=None):
        self.ports.append((container, proto, host_port, port, addr))

    def _published(self, family):
        lines = []
        for container, proto, host_port, port, addr in self.ports:
            if addr and (":" in addr) != (family == 6):
                continue
            own = "! -i %s " % container.bridge.name if self.proxy else ""
            at = "-d %s " % addr if addr else ""
            lines.append("-A DOCKER %s%s-p %s -m %s --dport %d -j DNAT --to-destination %s" % (
                at, own, proto, proto, host_port,
                ("[%s]:%d" if family == 6 else "%s:%d") % (container.addr[family], port)))
            lines.append("-A POSTROUTING -s {0} -d {0} -p {1} -m {1} --dport {2} -j MASQUERADE".format(
                container.addr[family], proto, port))
        return lines

    def rules(self, family):
        bridges = self.lab.bridges.values()
        net = {bridge: bridge.net4 if family == 4 else bridge.net6 for bridge in bridges}
        beyond = "" if not self.proxy else "! -d %s " % LOOPBACK[family]
        lines = ["*nat", ":DOCKER -", "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
                 "-A OUTPUT %s-m addrtype --dst-type LOCAL -j DOCKER" % beyond]
        for bridge in bridges:
            lines.append("-A POSTROUTING -s %s ! -o %s -j MASQUERADE" % (net[bridge], bridge.name))
            if self.proxy:
                lines.append("-A DOCKER -i %s -j RETURN" % bridge.name)
            else:
                lines.append("-A POSTROUTING -o %s -m addrtype --src-type LOCAL -j MASQUERADE" % bridge.name)
        return "\n".join(lines + self._published(family) + ["COMMIT", ""])

    def load(self):
        for family in (4, 6):
            self.lab.host.run(RESTORE[family], stdin=self.rules(family))
        if not self.proxy:
            self.lab.host.sysctl({"net.ipv4.conf.%s.route_localnet" % bridge: 1 for bridge in self.lab.bridges})
            for container in {port[0] for port in self.ports}:
                self.lab.host.ip("link set %s type bridge_slave hairpin on" % container.port)

    def start_proxies(self, ports=None):
        """The engine's userland proxies, for all published TCP ports of IPv4 containers or for these."""
        for container, proto, host_port, port, addr in self.ports if ports is None else ports:
            if proto != "tcp":
                continue
            for host_ip in [addr] if addr else ["0.0.0.0", "::"]:
                self._proxy(host_ip, host_port, container.addr[4], port)

    def _proxy(self, host_ip, host_port, container_ip, port):
        words = self.lab.host.command("sh", "-c", 'exec "$@" 3>&1', "sh", DOCKER_PROXY, "-proto", "tcp", "-host-ip", host_ip,
                                      "-host-port", str(host_port), "-container-ip", container_ip, "-container-port", str(port))
        process = subprocess.Popen([*LEASH, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, start_new_session=True)

        def end():
            process.kill()
            process.wait()

        self.lab.closers.append(end)
        if process.stdout.read(1) != b"0":  # it reports to its third descriptor that it listens
            raise LabError("docker-proxy does not listen on %s port %d" % (host_ip, host_port))
