"""Hosts for Ansible: each an sshd with a network, mounts, processes, a host name and a file tree of its own.

The machine's own root is the lower layer of each, so a host has its programs; what it writes stays in its own layer.
Their checkout is at /srv/app, their common folder at /srv/shared, both seen from here too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import needs
from support.waiting import wait_until

_NET = f"10.231.{os.getpid() % 250}"  # one of its own for each run on a machine
_INSIDE = """\
set -e
cd "$1"
mount --make-rprivate /
mount -t proc proc proc
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
mkdir -p run/sshd
mount --rbind /dev dev
hostname "$2"
exec chroot . "$3" -D -e -f /etc/ssh/gd_sshd
"""
_SSHD = """\
HostKey /etc/ssh/gd_key
PidFile none
UsePAM no
PasswordAuthentication no
StrictModes no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""


def probe() -> None:
    """What such hosts need; the test skips where it is missing."""
    needs.mounts()
    needs.namespace("--net")
    needs.program("ip")
    needs.program("sshd")
    needs.program("ssh-keygen")


def run(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(word) for word in words], check=check, capture_output=True, timeout=60)


class Host:
    """One host. `files` is its file tree as it is seen from here."""

    def __init__(self, fleet: Hosts, number: int) -> None:
        self.name, self.address = f"web{number}", f"{_NET}.{number}"
        self.fleet, self.number = fleet, number
        self.space, self.link = f"{fleet.id}-{number}", f"{fleet.id}v{number}"
        self.place = fleet.folder / self.name
        self.files = self.place / "fs"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def app(self) -> Path:
        return self.files / "srv/app"

    def make(self) -> None:
        run("ip", "netns", "add", self.space)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        run("ip", "link", "set", self.link, "master", self.fleet.id, "up")
        run("ip", "-n", self.space, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.space, "link", "set", "lo", "up")
        self.connect()
        for name in ("up", "work", "fs"):
            (self.place / name).mkdir(parents=True)
        layers = f"lowerdir=/,upperdir={self.place}/up,workdir={self.place}/work"
        run("mount", "-t", "overlay", "-o", layers, "overlay", self.files)
        for folder, inside in self.fleet.shared.items():
            (self.files / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
            run("mount", "--bind", folder, self.files / inside.lstrip("/"))
        home = Path(os.path.expanduser("~root")).relative_to("/")
        ssh = self.files / home / ".ssh"
        ssh.mkdir(mode=0o700, parents=True, exist_ok=True)
        (ssh / "authorized_keys").write_bytes((self.fleet.folder / "id.pub").read_bytes())
        shutil.copy(self.fleet.folder / "host_key", self.files / "etc/ssh/gd_key")
        (self.files / "etc/ssh/gd_key").chmod(0o600)
        (self.files / "etc/ssh/gd_sshd").write_text(_SSHD)
        self.start()

    def start(self) -> None:
        words = [
            "ip",
            "netns",
            "exec",
            self.space,
            "unshare",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
        ]
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*words, "sh", "-c", _INSIDE, "sh", str(self.files), self.name, needs.program("sshd")],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def up(self) -> bool:
        return run("ssh-keyscan", "-T1", self.address, check=False).stdout != b""

    def die(self) -> None:
        """All of its processes end at once, as with its power."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def disconnect(self) -> None:
        run("ip", "-n", self.space, "link", "set", "eth0", "down")

    def connect(self) -> None:
        run("ip", "-n", self.space, "link", "set", "eth0", "up")

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.die()
        run("ip", "netns", "del", self.space, check=False)
        run("ip", "link", "del", self.link, check=False)  # a dead connection can keep a deleted namespace
        for _, inside in reversed(self.fleet.shared.items()):
            run("umount", "-l", self.files / inside.lstrip("/"), check=False)
        run("umount", "-l", self.files, check=False)


class Hosts:
    """Some hosts on one bridge, below FOLDER."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.id = folder, f"gf{os.getpid() % 100000}"
        (folder / "shared").mkdir(parents=True)
        self.shared = {str(folder / "shared"): "/srv/shared"}
        root = os.stat("/").st_dev
        for needed in (str(needs.PROJECT), sys.prefix, sys.base_prefix):
            if os.stat(needed).st_dev != root:
                self.shared[needed] = needed
        self.hosts = [Host(self, each + 1) for each in range(number)]

    def __getitem__(self, number: int) -> Host:
        return self.hosts[number - 1]

    def inventory(self, *more: str) -> str:
        """Text of an inventory; MORE are variables of all hosts."""
        ssh = (
            f"-F none -o UserKnownHostsFile={self.folder}/known -o StrictHostKeyChecking=yes -o ConnectTimeout=2 "
            "-o ServerAliveInterval=1 -o ServerAliveCountMax=2"
        )
        return "\n".join(
            [
                *(f"{host.name} ansible_host={host.address}" for host in self.hosts),
                "[all:vars]",
                "ansible_user=root",
                "ansible_python_interpreter=/usr/bin/python3",
                f"ansible_ssh_private_key_file={self.folder}/id",
                f"ansible_ssh_common_args='{ssh}'",
                "gitdeploy_dir=/srv/app",
                f"gitdeploy_executable={sys.prefix}/bin/gitdeploy",
                *more,
                "",
            ]
        )

    def make(self) -> None:
        run("ip", "link", "add", self.id, "type", "bridge")
        run("ip", "addr", "add", f"{_NET}.254/24", "dev", self.id)
        run("ip", "link", "set", self.id, "up")
        for name in ("id", "host_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name)
        key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        (self.folder / "known").write_text("".join(f"{host.address} {key}\n" for host in self.hosts))
        for host in self.hosts:
            host.make()
        for host in self.hosts:
            wait_until(host.up, "sshd of a host", seconds=30)

    def remove(self) -> None:
        for host in self.hosts:
            host.remove()
        run("ip", "link", "del", self.id, check=False)
        time.sleep(0.1)


@contextmanager
def hosts(folder: Path, number: int) -> Iterator[Hosts]:
    """NUMBER hosts, gone afterwards."""
    made = Hosts(folder, number)
    try:
        made.make()
        yield made
    finally:
        made.remove()
