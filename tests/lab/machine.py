# SPDX-License-Identifier: GPL-2.0-or-later
"""Machine: a real systemd as process 1, in the host namespace of a lab, on a copy of this machine's own file system.

The copy is an overlay: what the machine writes is kept in memory, over all its boots, and nothing of it reaches the real
file system. It has process ids, mounts, control groups and a boot id of its own; the network is the lab's, so that a boot
in a new lab finds a kernel without tables, as a real one does.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid

from lab import LEASH, LabError, run, wait_for
from node import Node

NEEDED = ("/lib/systemd/systemd", "/usr/bin/systemctl", "/usr/bin/journalctl", "/usr/bin/dbus-daemon")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# What Debian starts by itself is of no use here, and slow. The temporary directory may hold the source tree.
MASKED = ("systemd-timesyncd.service", "systemd-logind.service", "getty@tty1.service", "console-getty.service", "apt-daily.timer",
          "apt-daily-upgrade.timer", "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-binfmt.service",
          "systemd-modules-load.service", "systemd-sysctl.service", "systemd-remount-fs.service", "e2scrub_reap.service",
          "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount",
          "modprobe@configfs.service", "modprobe@dm_mod.service", "modprobe@fuse.service", "modprobe@loop.service",
          "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-user-sessions.service")
BOOT = """
set -e
mount --make-rprivate /
root=%(dir)s/root
mount -t overlay overlay -o lowerdir=/,upperdir=%(dir)s/upper,workdir=%(dir)s/work $root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $root/run
mount -t tmpfs -o mode=755 tmpfs $root/dev
for device in %(devices)s; do touch $root/dev/$device; mount --bind /dev/$device $root/dev/$device; done
mkdir $root/dev/pts $root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs $root/dev/shm
mount --bind %(dir)s/boot_id $root/proc/sys/kernel/random/boot_id
mkdir -p $root/.old
cd $root
pivot_root . .old
umount -l /.old
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target --show-status=0 --log-target=journal
"""


class Machine:
    """boot() in a lab, halt(), and boot() again in another. do() is what somebody types there."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="microseg-machine-")
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", self.dir)
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.dir, name))
        self.process = self.pid = self.lab = None
        self._settle()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def path(self, path):
        """Where a file of the machine's is written to, while it does not run."""
        return os.path.join(self.dir, "upper", path.lstrip("/"))

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w") as file:
            file.write(text)

    def _settle(self):
        """Leaves out what this machine's own administrator enabled, and what is of no use."""
        for folder in ("/etc/systemd/system", "/etc/tmpfiles.d"):
            os.makedirs(self.path(folder))
        for name in os.listdir("/etc/systemd/system"):
            if name.endswith((".wants", ".requires")):
                os.makedirs(self.path("/etc/systemd/system/" + name))
                os.setxattr(self.path("/etc/systemd/system/" + name), "trusted.overlay.opaque", b"y")
        for unit in MASKED:
            os.symlink("/dev/null", self.path("/etc/systemd/system/" + unit))
        os.symlink("/dev/null", self.path("/etc/tmpfiles.d/tmp.conf"))
        self.write("/etc/machine-id", uuid.uuid4().hex + "\n")
        self.write("/etc/systemd/journald.conf.d/lab.conf", "[Journal]\nStorage=persistent\nRateLimitBurst=0\n")
        os.makedirs(self.path("/var/log/journal"))

    def boot(self, lab, wait=True):
        """Starts process 1 in the lab's host namespace."""
        self.lab = lab
        with open(os.path.join(self.dir, "boot_id"), "w") as file:
            file.write("%s\n" % uuid.uuid4())
        script = BOOT % {"dir": self.dir, "devices": " ".join(DEVICES)}
        self.console = open(os.path.join(self.dir, "console"), "a")
        self.process = subprocess.Popen(
            [*LEASH, *lab.host.command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup",
                                       "sh", "-c", script)],
            stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console, start_new_session=True)
        lab.closers.append(self.kill)
        self.pid = wait_for(self._first, "the machine's process 1", 20, 0.05)
        if wait:
            wait_for(self.is_up, "systemd; it says %s" % self.is_up(False), 60, 0.1)

    def _first(self):
        """The process id, as this machine sees it, of the other one's systemd."""
        if self.process.poll() is not None:
            raise LabError("the machine does not boot: %s" % open(os.path.join(self.dir, "console")).read()[-2000:])
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as children:
            for pid in map(int, children.read().split()):
                with open("/proc/%d/comm" % pid) as comm:
                    if comm.read().strip() == "systemd":
                        return pid
        return None

    def is_up(self, strict=True):
        said = self.do("systemctl", "is-system-running", check=False).stdout.strip()
        return said in ("running", "degraded") if strict else said

    def command(self, *words):
        return ["nsenter", "-t", str(self.pid), "-a", "--", *words]

    def do(self, *words, **options):
        return run(*self.command(*words), **options)

    def sh(self, line, **options):
        return self.do("sh", "-c", line, **options)

    def show(self, unit, *names):
        """What systemd knows of a unit: {name: text}."""
        shown = self.do("systemctl", "show", unit, *("--property=" + name for name in names)).stdout
        return dict(line.split("=", 1) for line in shown.splitlines())

    def main_pid(self, unit):
        """The unit's process, as this machine sees it."""
        inner = self.show(unit, "MainPID")["MainPID"]
        if inner == "0":
            return None
        listed = run("pgrep", "--ns", str(self.pid), "--nslist", "pid", ".").stdout.split()
        for pid in listed:
            with open("/proc/%s/status" % pid) as status:
                if re.search(r"^NSpid:.*\s%s$" % inner, status.read(), re.MULTILINE):
                    return int(pid)
        raise LabError("%s has no process %s" % (unit, inner))

    def halt(self):
        """Powers it off, as its administrator would."""
        self.do("systemctl", "--no-block", "poweroff", check=False)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise LabError("the machine does not halt: %s" % self.sh("systemctl list-jobs", check=False).stdout) from None
        finally:
            self.kill()

    def kill(self):
        """As a power failure."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.kill(self.pid or self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.console.close()
        self.process = self.pid = None

    def close(self):
        self.kill()
        run("umount", "-l", self.dir, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def missing():
    """Why there can be no machine here, or None."""
    lacking = [path for path in NEEDED if not os.path.exists(path)]
    if lacking:
        return "no %s" % ", ".join(lacking)
    with open("/proc/filesystems") as known:
        if not re.search(r"^nodev\toverlay$", known.read(), re.MULTILINE) and run("modprobe", "overlay", check=False).returncode:
            return "no overlay file system"
    return None


class MachineNode(Node):
    """microseg as it is installed on a machine, by its units and its own configuration."""

    def __init__(self, machine):
        self.machine = machine

    @property
    def lab(self):
        return self.machine.lab

    def cli(self, command, *args, **options):
        return self.machine.do("microseg", command, *args, check=False, **options)

    def log_text(self):
        return self.machine.do("journalctl", "-u", "microsegd", "-o", "cat", check=False).stdout
