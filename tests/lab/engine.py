# SPDX-License-Identifier: GPL-2.0-or-later
"""Engine: a real dockerd or Podman in the host namespace of a lab, with a data root and a socket of its own.

Its image is a busybox and nothing else. Containers are probed from inside their own network namespace by agent.py, or by
busybox itself where what matters is that the container's own command does it.
"""
import contextlib
import io
import json
import os
import signal
import subprocess
import tarfile

from lab import LEASH, Bridge, LabError, Party, run, wait_for

BUSYBOX = "/bin/busybox"  # package busybox-static
API_VERSION = "1.41"  # what Debian 12's daemon speaks, whatever client is installed
IMAGE = "lab"


def busybox_tar():
    """A root file system with busybox under all its names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "etc", "tmp", "www"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(BUSYBOX, "bin/busybox")
        for applet in run(BUSYBOX, "--list").stdout.split():
            entry = tarfile.TarInfo("bin/" + applet)
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(entry)
    return buffer.getvalue()


class Engine:
    """One dockerd. Its containers outlive it (live-restore), so that it can be restarted under load."""

    kind = "docker"
    program = "dockerd"
    removal = ("rm", "-f")
    endings = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, lab):
        self.lab = lab
        self.dir = os.path.join(lab.dir, self.kind)
        os.mkdir(self.dir)
        self.socket = os.path.join(lab.dir, self.kind + ".sock")
        self.url = "unix://" + self.socket
        self.log = os.path.join(lab.dir, self.program + ".log")
        self.process = None
        self.containers = []
        self.bridges = {}
        lab.closers.append(self.close)

    def start(self):
        self.launch()
        self.cli("import", "-", IMAGE, stdin=busybox_tar())

    def daemon(self):
        """The words that start it."""
        return ["dockerd", "--data-root", self.dir + "/data", "--exec-root", self.dir + "/exec", "-H", self.url,
                "--pidfile", self.dir + "/pid", "--storage-driver", "vfs", "--log-level", "warn", "--live-restore"]

    def launch(self):
        """Starts its process, first or again."""
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([*LEASH, *self.lab.host.command(*self.daemon())], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True, env=self.environment())
        wait_for(self.answers, self.program, 60, 0.1)

    def halt(self, number=signal.SIGTERM):
        """Ends its process; the containers live on."""
        self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # A killed dockerd takes its containerd along, and takes that for alive where nobody reaps the dead.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.dir + "/exec/containerd/containerd.pid")

    def answers(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise LabError("%s ended:\n%s" % (self.program, log.read()[-2000:]))
        return self.cli("version", check=False).returncode == 0

    def environment(self):
        return dict(os.environ, DOCKER_API_VERSION=API_VERSION, DOCKER_CONFIG=self.dir)

    def client(self, *args):
        """The words of its command line client."""
        return ["docker", "-H", self.url, *args]

    def cli(self, *args, stdin=None, check=True):
        result = subprocess.run(self.client(*args), input=stdin, capture_output=True, timeout=60, env=self.environment())
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
        if check and result.returncode:
            raise LabError("%s %s: %s" % (self.kind, " ".join(args), result.stderr.strip()))
        return result

    def network_options(self, bridge):
        return ["--gateway", bridge.gateway[6], "-o", "com.docker.network.bridge.name=" + bridge.name]

    def network(self, name, net4, net6):
        bridge = Bridge("br-" + name, net4, net6)
        self.cli("network", "create", "--subnet", str(bridge.net4), "--gateway", bridge.gateway[4], "--ipv6",
                 "--subnet", str(bridge.net6), *self.network_options(bridge), name)
        self.bridges[name] = bridge

    def start_container(self, name, network, words, command):
        """Makes and starts a container; the caller takes it from there."""
        first, *more = network.split(",")
        self.cli("create", "--name", name, "--network", first, *words, IMAGE, *command)
        for other in more:
            self.cli("network", "connect", other, name)
        self.cli("start", name)

    def run(self, name, network, env=None, service=None, command=("sleep", "1000000"), options=()):
        """Starts a container on one or more networks ("a" or "a,b"). It is a Party; remove() or close() ends it."""
        labels = {"io.microseg.env": env, "io.microseg.service": service}
        words = [word for key, value in labels.items() if value for word in ("--label", "%s=%s" % (key, value))]
        self.start_container(name, network, [*words, *options], command)
        container = EngineContainer(self, name, env, service)
        self.containers.append(container)
        return container

    def remove(self, container):
        container.close()
        self.containers.remove(container)
        self.cli(*self.removal, container.name)

    def close(self):
        """Ends all containers and the daemon, and unmounts what it mounted."""
        if self.process is None:
            return
        for container in self.containers:
            container.close()
        if self.process.poll() is not None:
            self.launch()  # who else would end the containers?
        names = self.cli("ps", "-aq", check=False).stdout.split()
        if names:
            self.cli(*self.removal, *names, check=False)
        self.halt()
        self.process = None
        for line in reversed(open("/proc/self/mounts").read().splitlines()):
            if self.dir + "/" in line:
                run("umount", "-l", line.split()[1], check=False)


class Podman(Engine):
    """Podman, whose socket a service process serves. Its containers need no daemon.

    runc, because crun refuses cgroups of two versions side by side, with limits that any machine can give. The networks
    are CNI's, whose bridges are called cni-podmanN.
    """

    kind = "podman"
    program = "podman-service"
    removal = ("rm", "-f", "-t", "0")
    endings = (signal.SIGKILL,)

    CONFIG = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "cni"
network_config_dir = "%s/net"
"""

    def __init__(self, lab):
        super().__init__(lab)
        with open(self.dir + "/containers.conf", "w") as config:
            config.write(self.CONFIG % self.dir)

    def environment(self):
        return dict(os.environ, CONTAINERS_CONF=self.dir + "/containers.conf", XDG_RUNTIME_DIR=self.dir)

    def client(self, *args):
        """It works on its own, in the host namespace."""
        return self.lab.host.command("podman", "--root", self.dir + "/root", "--runroot", self.dir + "/run", "--tmpdir",
                                     self.dir + "/tmp", "--storage-driver", "vfs", *args)

    def daemon(self):
        return self.client("system", "service", "-t", "0", self.url)[len(self.lab.host.command()):]

    def answers(self):
        return super().answers() and os.path.exists(self.socket)

    def network_options(self, bridge):
        return ["--gateway", bridge.gateway[6]]

    def network(self, name, net4, net6):
        super().network(name, net4, net6)
        details = json.loads(self.cli("network", "inspect", name).stdout)[0]
        self.bridges[name].name = details["network_interface"]

    def start_container(self, name, network, words, command):
        self.cli("run", "-d", "--name", name, "--network", network, *words, IMAGE, *command)


class EngineContainer(Party):
    def __init__(self, engine, name, env, service):
        self.engine = engine
        self.name = name
        if env and service:
            self.identity = "%s/%s" % (env, service)
        self.refresh()

    def refresh(self):
        """Asks the engine for its process and addresses."""
        details = json.loads(self.engine.cli("inspect", self.name).stdout)[0]
        attached = details["NetworkSettings"].get("Networks") or {}
        first = details["HostConfig"]["NetworkMode"]
        self.id = details["Id"]
        self.pid = details["State"]["Pid"]
        self.path = "/proc/%d/ns/net" % self.pid
        self.networks = {network: {4: facts["IPAddress"], 6: facts["GlobalIPv6Address"]} for network, facts in attached.items()}
        if first not in self.networks:  # Podman says "bridge" whatever the network is called
            first = next(iter(self.networks), None)
        self.addr = self.networks.get(first)
        self.bridge = self.engine.bridges.get(first)

    def renew(self):
        """Its process is another than before, and its helper is gone with the old one."""
        self.close()
        self.refresh()

    @property
    def addrs(self):
        return list(self.networks.values())

    def address_for(self, other, family):
        """On the network both are on; else on the first."""
        shared = [network for network in self.networks if network in getattr(other, "networks", ())]
        return self.networks[shared[0]][family] if shared else self.addr[family]

    def command(self, *words):
        """The output of a command of this machine, run in the container's network namespace."""
        return run("nsenter", "--net=" + self.path, *words).stdout

    def exec(self, *words):
        return self.engine.cli("exec", self.name, *words, check=False)
