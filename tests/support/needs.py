"""What a test needs of the machine and may lack there: a program, a right, another user. Each is found out by doing it,
and the test that asks skips, with the Debian package or the right that is missing.

    openssl = needs.program("openssl")       # its path; in a test or in a fixture
    needs.mounts()
    @needs.another_user                      # before a test that acts for one

In CI nothing may skip where everything is installed: NO_SKIPS=1 (tests/conftest.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
NOBODY = 65534
PACKAGES = {
    "age": "age", "chattr": "e2fsprogs", "chromium": "chromium", "curl": "curl", "dockerd": "docker.io", "faketime": "faketime",
    "getfacl": "acl", "git-lfs": "git-lfs", "gpg": "gnupg", "ip": "iproute2",
    "localedef": "libc-bin", "mariadbd": "mariadb-server", "mkfs.btrfs": "btrfs-progs", "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs", "mmdebstrap": "mmdebstrap", "nginx": "nginx-light", "openssl": "openssl", "setfacl": "acl",
    "setpriv": "util-linux", "shellcheck": "shellcheck", "ssh-keygen": "openssh-client",
    "sshd": "openssh-server", "strace": "strace",
    "systemd-analyze": "systemd", "systemd-nspawn": "systemd-container", "sudo": "sudo", "unshare": "util-linux", "visudo": "sudo",
}  # fmt: skip


def lacks_program(name: str) -> str:
    """Why there is no program NAME, with its package; empty where there is one."""
    return "" if found(name) else f"needs {name} (Debian package {PACKAGES[name]})"


def found(name: str) -> str | None:
    """Where the program NAME is: also where a plain user's PATH doesn't lead."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))


def program(name: str) -> str:
    """The path of a program; the test skips where there is none."""
    path = found(name)
    if path is None:
        pytest.skip(lacks_program(name))
    return path


def _works(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


@cache
def lacks_mounts() -> str:
    """Why nothing can be mounted here; empty where it can."""
    with tempfile.TemporaryDirectory(prefix="gitdeploy-tests-mount-") as folder:
        if not _works("mount", "-t", "tmpfs", "none", folder):
            return "needs to mount a file system (root, in a container that may)"
        return "" if _works("umount", folder) else "needs to unmount what it mounts"


def mounts() -> None:
    """To mount and to unmount."""
    if why := lacks_mounts():
        pytest.skip(why)


@cache
def _namespace(kind: str) -> bool:
    return _works(program("unshare"), kind, "true")


def namespace(kind: str) -> list[str]:
    """The words that start a command in a namespace of its own: `--net`, `--mount`."""
    if not _namespace(kind):
        pytest.skip(f"needs `unshare {kind}` (root, in a container that may)")
    return ["unshare", kind]


@cache
def lacks_another_user() -> str:
    """Why this process can't act for another user and make files of that one's; empty where it can."""
    if os.geteuid() != 0:
        return "needs root, which acts for another user"
    with tempfile.TemporaryDirectory(prefix="gitdeploy-tests-user-") as folder:
        try:
            os.chown(folder, NOBODY, NOBODY)
        except OSError:
            return "needs a root who may give files to another user"
        if not _works("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "true"):
            return "needs a root who may become another user"
    return ""


another_user = pytest.mark.skipif(bool(lacks_another_user()), reason=lacks_another_user())


def this_python(environment: dict[str, str]) -> None:
    """An interpreter of the tests that starts in ENVIRONMENT: before 3.13 it reads in the locale's encoding where this clone is."""
    done = subprocess.run([sys.executable, "-c", ""], env=environment, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        pytest.skip("needs a clone whose path this Python can read in the test's locale (3.13 or newer can)")


@cache
def _others_run_us() -> bool:
    words = (
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        sys.executable,
        "-c",
        "import gitdeploy",
    )
    return _works("env", f"PYTHONPATH={PROJECT}", *words)


def gitdeploy_for_others() -> None:
    """This clone and its .venv, readable for every user."""
    if not _others_run_us():
        pytest.skip("needs a clone and a Python that other users may read (this one lies below a folder of mode 0700)")


def let_others_in(folder: Path) -> None:
    """Whoever it is may go to FOLDER: pytest's own folders are closed."""
    for place in (folder, *folder.parents):
        found = place.stat()
        if found.st_uid == os.geteuid() and found.st_mode & 0o055 != 0o055:
            place.chmod(0o755)


def python_for_others() -> tuple[str, dict[str, str]]:
    """An interpreter whose own path every user may go, as root wants of one with which it becomes somebody else; and what
    its environment needs to find the packages of the tests' own."""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        way = Path(python).resolve()
        if way.is_file() and all(place.stat().st_mode & 0o001 for place in (way, *way.parents)):
            found = {} if python == sys.executable else {"PYTHONPATH": f"{PROJECT}:{sysconfig.get_path('purelib')}"}
            return python, found
    pytest.skip("not here: a Python of the tests' version that other users may start")


@cache
def others_may_read_the_clone() -> bool:
    """Whether another user reads the package of this clone."""
    words = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return _works(*words, "cat", str(PROJECT / "gitdeploy/__init__.py"))


def immutable(file: Path) -> None:
    """Make FILE one that nobody may change; the caller gives it back with `chattr -i`."""
    if not _works(program("chattr"), "+i", str(file)):
        pytest.skip("needs files that can be made immutable (root, and a file system that knows `chattr +i`)")


def tracing() -> str:
    """The path of strace, where processes may be traced."""
    path = program("strace")
    if not _works(path, "-f", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK", "true"):
        pytest.skip("needs processes that may be traced (strace)")
    return path
