# SPDX-License-Identifier: GPL-2.0-or-later
"""Engine: a real dockerd in the host namespace of a lab, with a data root and a socket of its own.

Its image is a busybox and nothing else. Containers are probed from inside their own network namespace by agent.py, or by
busybox itself where what matters is that the container's own command does it.
"""
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
    """One dockerd."""

    def __init__(self, lab):
        self.lab = lab
        self.dir = os.path.join(lab.dir, "docker")
        os.mkdir(self.dir)
        self.socket = os.path.join(lab.dir, "docker.sock")
        self.url = "unix://" + self.socket
        self.log = os.path.join(lab.dir, "dockerd.log")
        self.process = None
        self.containers = []
        self.bridges = {}
        lab.closers.append(self.close)

    def start(self):
        words = self.lab.host.command(
            "dockerd", "--data-root", self.dir + "/data", "--exec-root", self.dir + "/exec", "-H", self.url,
            "--pidfile", self.dir + "/pid", "--storage-driver", "vfs", "--log-level", "warn")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*LEASH, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        wait_for(self.answers, "dockerd", 60, 0.1)
        self.docker("import", "-", IMAGE, stdin=busybox_tar())

    def answers(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise LabError("dockerd ended:\n" + log.read()[-2000:])
        return self.docker("version", check=False).returncode == 0

    def docker(self, *args, stdin=None, check=True):
        environment = dict(os.environ, DOCKER_API_VERSION=API_VERSION, DOCKER_CONFIG=self.dir)
        result = subprocess.run(["docker", "-H", self.url, *args], input=stdin, capture_output=True, timeout=60,
                                env=environment)
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
        if check and result.returncode:
            raise LabError("docker %s: %s" % (" ".join(args), result.stderr.strip()))
        return result

    def network(self, name, net4, net6):
        bridge = Bridge("br-" + name, net4, net6)
        self.docker("network", "create", "--subnet", str(bridge.net4), "--gateway", bridge.gateway[4], "--ipv6",
                    "--subnet", str(bridge.net6), "--gateway", bridge.gateway[6],
                    "-o", "com.docker.network.bridge.name=" + bridge.name, name)
        self.bridges[name] = bridge

    def run(self, name, network, env=None, service=None, command=("sleep", "1000000"), options=()):
        """Starts a container on one or more networks ("a" or "a,b"). It is a Party; remove() or close() ends it."""
        first, *more = network.split(",")
        labels = {"io.microseg.env": env, "io.microseg.service": service}
        words = [word for key, value in labels.items() if value for word in ("--label", "%s=%s" % (key, value))]
        self.docker("create", "--name", name, "--network", first, *words, *options, IMAGE, *command)
        for other in more:
            self.docker("network", "connect", other, name)
        self.docker("start", name)
        container = DockerContainer(self, name, env, service)
        self.containers.append(container)
        return container

    def remove(self, container):
        container.close()
        self.containers.remove(container)
        self.docker("rm", "-f", container.name)

    def close(self):
        """Ends all containers and the daemon, and unmounts what it mounted."""
        if self.process is None:
            return
        for container in self.containers:
            container.close()
        names = self.docker("ps", "-aq", check=False).stdout.split()
        if names:
            self.docker("rm", "-f", *names, check=False)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        for line in reversed(open("/proc/self/mounts").read().splitlines()):
            if self.dir + "/" in line:
                run("umount", "-l", line.split()[1], check=False)


class DockerContainer(Party):
    def __init__(self, engine, name, env, service):
        self.engine = engine
        self.name = name
        if env and service:
            self.identity = "%s/%s" % (env, service)
        self.refresh()
        self.path = "/proc/%d/ns/net" % self.pid

    def refresh(self):
        """Asks the engine for its process and addresses."""
        details = json.loads(self.engine.docker("inspect", self.name).stdout)[0]
        attached = details["NetworkSettings"]["Networks"]
        first = details["HostConfig"]["NetworkMode"]
        self.pid = details["State"]["Pid"]
        self.networks = {network: {4: facts["IPAddress"], 6: facts["GlobalIPv6Address"]} for network, facts in attached.items()}
        self.addr = self.networks[first]
        self.bridge = self.engine.bridges[first]

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
        return self.engine.docker("exec", self.name, *words, check=False)
