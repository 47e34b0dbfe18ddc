# SPDX-License-Identifier: GPL-2.0-or-later
"""Firewalld: the real one, in the host namespace of a lab, with a system bus and a configuration of its own."""
import os
import shutil
import subprocess

from lab import LEASH, LabError, run, wait_for

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/>
    <allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
    <allow receive_type="signal"/><allow send_type="signal"/>
  </policy>
</busconfig>
"""


class Firewalld:
    """start() runs it; its default zone lets everything pass, so that what is refused is refused by us."""

    def __init__(self, lab):
        self.lab = lab
        self.dir = os.path.join(lab.dir, "firewalld")
        shutil.copytree("/etc/firewalld", self.dir)
        path = os.path.join(self.dir, "firewalld.conf")
        with open(path) as config:
            text = config.read().replace("DefaultZone=public", "DefaultZone=trusted")
        with open(path, "w") as config:
            config.write(text)
        self.socket = os.path.join(lab.dir, "bus")
        self.environment = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS="unix:path=" + self.socket)
        self.processes = []
        lab.closers.append(self.stop)

    def _run(self, *words):
        with open(os.path.join(self.lab.dir, "firewalld.log"), "a") as log:
            self.processes.append(subprocess.Popen(
                [*LEASH, *self.lab.host.command(*words)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment, start_new_session=True))

    def start(self):
        config = os.path.join(self.lab.dir, "bus.conf")
        with open(config, "w") as file:
            file.write(BUS % self.socket)
        self._run("dbus-daemon", "--nofork", "--config-file=" + config)
        wait_for(lambda: os.path.exists(self.socket), "the bus")
        self._run("firewalld", "--nofork", "--nopid", "--system-config", self.dir, "--log-file", self.dir + "/log")
        wait_for(lambda: self.command("--state", check=False).stdout.strip() == "running", "firewalld", 20, 0.2)

    def command(self, *words, check=True):
        result = run(*self.lab.host.command("firewall-cmd", *words), check=False, env=self.environment)
        if check and result.returncode:
            raise LabError("firewall-cmd %s: %s%s" % (" ".join(words), result.stdout, result.stderr))
        return result

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
