"""A machine with a real systemd as PID 1, for tests: booted in a second by systemd-nspawn, from a root made once.

    base = base_root()                        # None of it without root, mmdebstrap and systemd-nspawn: see `missing`
    with Machine(base, folder) as machine:    # booted; FOLDER is a temporary folder of the test
        machine.put("/etc/systemd/system/app.service", "[Service]\\n...")
        machine.inside("systemctl", "start", "app")
        machine.inside("curl", "-sf", "http://127.0.0.1:8000/")
        machine.in_unit("gitdeploy", "-C", "/srv/app", "status")

`machine.root` is its file system, seen and writable from outside. `gitdeploy` and `gitdeploy-python` are programs inside:
this project, by the interpreter that runs the tests, readable for every user there. `inside` is quick, but what it runs
is in no unit; `in_unit` runs it in a unit of its own. `reboot`, `power_cut` and `boot` do what they say.

Packages: mmdebstrap systemd-container. The root is kept below GITDEPLOY_TEST_CACHE (default: the temporary folder), and
is made on first use, or ahead of the tests by `.venv/bin/python tests/systemd_root.py`.
"""

from __future__ import annotations

import compileall
import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from support import needs, roots
from support.waiting import wait_until

PACKAGES = (
    "systemd systemd-sysv dbus dbus-user-session libpam-systemd polkitd sudo python3 git ca-certificates iproute2 procps "
    "curl nginx-light gunicorn supervisor postgresql python3-alembic python3-django python3-psycopg2 "
    "uwsgi-core uwsgi-plugin-python3"
).split()
PROJECT = Path(__file__).resolve().parents[1]
_NOT_STARTED = ("nginx", "postgresql", "ssh", "supervisor")  # servers of the base that a test starts itself
_REBOOT = 133  # how systemd-nspawn ends when the machine in it reboots


def missing() -> str | None:
    """Why there can be no such machine here, naming the package; None where there can."""
    for why in (needs.lacks_program("mmdebstrap"), needs.lacks_program("systemd-nspawn"), needs.lacks_mounts()):
        if why:
            return why
    return None if roots.sources() else "needs apt sources of Debian or Ubuntu"


def base_root() -> Path:
    """The folder of the usual root, made on first use (half a minute)."""
    return roots.made("machine", PACKAGES, finish=_without_servers)


def _without_servers(root: Path) -> None:
    (root / "etc/machine-id").write_text("")  # each machine gets its own when it boots
    for unit in _NOT_STARTED:
        (root / f"etc/systemd/system/multi-user.target.wants/{unit}.service").unlink(missing_ok=True)


def _packages() -> str:
    """Where the packages of the venv that runs the tests are inside."""
    return f"/opt/gitdeploy/venv/{Path(sysconfig.get_path('purelib')).relative_to(sys.prefix)}"


def _interpreter(base: Path) -> tuple[str, list[str]]:
    """(How Python is called inside, the folders that must be visible there as SOURCE:TARGET): the base's own where it is
    of the same version, else the one that runs the tests; one in a private home is shown elsewhere."""
    binds = [f"{PROJECT}:/opt/gitdeploy/project", f"{sys.prefix}:/opt/gitdeploy/venv"]
    prefix = sys.base_prefix
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if (base / "usr/bin" / name).exists():
        return f"/usr/bin/{name}", binds
    place = "/opt/gitdeploy/python" if prefix.startswith(("/root/", "/home/")) else prefix
    return f"LD_LIBRARY_PATH={place}/lib {place}/bin/{name}", [*binds, f"{prefix}:{place}"]


class Machine:
    """One machine above BASE: nothing is copied, what it writes is kept in memory and gone at the end."""

    def __init__(self, base: Path, folder: Path, *, binds: Sequence[str] = (), shared_network: bool = False) -> None:
        """binds: further SOURCE:TARGET, read-only inside. shared_network: this machine's own network (default: only a
        loopback of its own)."""
        self.name = f"gd{uuid.uuid4().hex[:10]}"
        self.folder = folder / self.name
        self.root = self.folder / "root"
        self.base, self.binds, self.shared_network = base, list(binds), shared_network
        self.packages = _packages()
        self.python, own = _interpreter(base)
        self.binds += own
        self._nspawn: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Machine:
        upper = self.folder / "memory"
        for place in (self.root, upper):
            place.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(upper))
        try:
            (upper / "up").mkdir()
            (upper / "work").mkdir()
            options = f"lowerdir={self.base},upperdir={upper}/up,workdir={upper}/work"
            _run("mount", "-t", "overlay", "-o", options, "overlay", str(self.root))
            self._install_ourselves()
            self.put("/usr/local/bin/gitdeploy", '#!/bin/sh\nexec gitdeploy-python -m gitdeploy "$@"\n', 0o755)
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _install_ourselves(self) -> None:
        """A venv of its own that finds the project and what it needs: no PYTHONPATH, which an app's hooks would get too."""
        compileall.compile_dir(PROJECT / "gitdeploy", quiet=2)  # inside, where it is read-only, each start would do it
        *variables, program = self.python.split()
        venv = "/usr/local/lib/gitdeploy"
        self.put(f"{venv}/pyvenv.cfg", f"home = {os.path.dirname(program)}\ninclude-system-site-packages = false\n")
        packages = f"{venv}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        self.put(f"{packages}/gitdeploy.pth", f"/opt/gitdeploy/project\n{self.packages}\n")
        (self.root / venv.lstrip("/") / "bin").mkdir()
        (self.root / venv.lstrip("/") / "bin/python").symlink_to(program)
        words = " ".join(["env", "PYTHONDONTWRITEBYTECODE=1", *variables, f"{venv}/bin/python"])
        self.put("/usr/local/bin/gitdeploy-python", f'#!/bin/sh\nexec {words} "$@"\n', 0o755)

    def __exit__(self, *_: object) -> None:
        self.power_cut()
        for place in (self.root, self.folder / "memory"):
            for argv in (["umount", str(place)], ["umount", "-l", str(place)]):
                if os.path.ismount(place):
                    subprocess.run(argv, capture_output=True, check=False)
        for top in _control_group_tops():
            _remove_control_group(top / self.name)

    # ---- power ----

    def boot(self) -> None:
        """Start it and wait until it is up."""
        groups = [top / self.name for top in _control_group_tops()]
        for group in groups:  # a control group of its own: two machines would share one else
            group.mkdir(exist_ok=True)

        def enter() -> None:
            for group in groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        argv = ["systemd-nspawn", "-q", "-D", str(self.root), "-M", self.name, "--register=no", "--keep-unit", "--boot"]
        argv += ["--resolv-conf=off", "--console=read-only", "--kill-signal=SIGRTMIN+3"]
        argv += [] if self.shared_network else ["--private-network"]
        argv += [f"--bind-ro={bind}" for bind in self.binds]
        with open(self.folder / "console", "ab") as console:
            self._nspawn = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                preexec_fn=enter,  # noqa: PLW1509  # a file written before exec
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
        self._wait_up()

    def _wait_up(self) -> None:
        def console() -> str:
            return (self.folder / "console").read_text(errors="replace")[-2000:]

        def up() -> bool:
            assert self._nspawn is not None
            if self._nspawn.poll() is not None:
                raise RuntimeError(f"the machine ended: {console()}")
            if self._init() is None:
                return False
            state = self.inside("systemctl", "is-system-running", check=False).stdout.strip()
            return state in ("running", "degraded")

        try:
            wait_until(up, console, every=0.05)
        except AssertionError as error:
            raise RuntimeError(f"the machine did not come up: {error}") from error

    def reboot(self) -> None:
        """An orderly reboot; returns when it is up again."""
        assert self._nspawn is not None
        self.inside("systemctl", "reboot", check=False)
        if (code := self._nspawn.wait(60)) != _REBOOT:
            raise RuntimeError(f"systemd-nspawn ended with {code} instead of a reboot")
        self.boot()

    def power_cut(self) -> None:
        """Every process in it dies at once; `boot` starts it again. (What was not synced is still there.)"""
        if self._nspawn is None:
            return
        if (init := self._init()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)
        try:
            self._nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait(20)
        self._nspawn = None

    def _init(self) -> int | None:
        """The machine's PID 1 as it is called outside."""
        if self._nspawn is None:
            return None
        for pid in _children(self._nspawn.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return pid
        return None

    # ---- inside ----

    def inside(
        self,
        *argv: str,
        check: bool = True,
        user: str | None = None,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as USER (default: root); it is in no unit there. Raises AssertionError with what it said
        when it fails, unless CHECK is false."""
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            **(env or {}),
        }
        words = ["env", "-i", f"--chdir={cwd}", *(f"{name}={value}" for name, value in variables.items())]
        if user is not None:
            words = ["runuser", "-u", user, "--", *words[:2], f"--chdir={cwd}"]
            own = {"HOME": f"/home/{user}", "USER": user, "LOGNAME": user}
            words += [f"{name}={value}" for name, value in {**variables, **own, **(env or {})}.items()]
        done = subprocess.run(
            ["nsenter", "-t", str(self._init()), "-a", "--", *words, *argv],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def in_unit(
        self, *argv: str, check: bool = True, user: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """The same in a transient unit of its own, as a login shell or a timer would be."""
        words = ["systemd-run", "-q", "--wait", "--pipe", "--collect", *([f"--uid={user}"] if user else [])]
        return self.inside(*words, "--", *argv, check=check, timeout=timeout)

    def add_user(self, name: str) -> int:
        """Make a user with a home; returns the uid."""
        self.inside("useradd", "-m", "-s", "/bin/sh", name)
        return int(self.inside("id", "-u", name).stdout)

    def put(self, path: str, content: str | bytes, mode: int = 0o644, owner: int = 0) -> Path:
        """Write a file into it; PATH as seen inside. Folders are made, OWNER's too. Returns where it is outside."""
        place = self.root / path.lstrip("/")
        for folder in reversed(place.parents):
            if folder.is_relative_to(self.root) and not folder.exists():
                folder.mkdir()
                os.chown(folder, owner, owner)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        place.chmod(mode)
        os.chown(place, owner, owner)
        return place

    def unit(self, name: str, text: str, *, start: bool = False) -> None:
        """Write a unit file and make systemd read it."""
        self.put(f"/etc/systemd/system/{name}", text)
        self.inside("systemctl", "daemon-reload")
        if start:
            self.inside("systemctl", "start", name)

    def wait_for(self, *argv: str, seconds: float = 15) -> str:
        """Repeat a command in it until it succeeds; returns its output."""
        done = wait_until(
            lambda: done if (done := self.inside(*argv, check=False)).returncode == 0 else None,
            lambda: self.inside(*argv, check=False),
            seconds=seconds,
            every=0.05,
        )
        assert done is not None
        return done.stdout


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return found


def _control_group_tops() -> list[Path]:
    mixed = [Path("/sys/fs/cgroup") / name for name in ("unified", "systemd")]
    found = [top for top in mixed if top.is_dir()]
    return found if mixed[0].is_dir() else [Path("/sys/fs/cgroup"), *found]


def _remove_control_group(top: Path) -> None:
    for _ in range(20):
        for here, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(here)
        if not top.exists():
            return
        time.sleep(0.1)


def base_or_skip() -> Path:
    """The usual base; the test skips where none can be made."""
    if why := missing():
        pytest.skip(why)
    try:
        return base_root()
    except RuntimeError as error:
        pytest.skip(f"no root for a machine could be made: {error}")


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A booted machine above the usual base; the test skips where none comes up."""
    made = Machine(base_or_skip(), folder)
    try:
        made.__enter__()
    except (RuntimeError, OSError) as error:
        pytest.skip(f"no machine with its own systemd could be started: {error}")
    try:
        yield made
    finally:
        made.__exit__()


if __name__ == "__main__":
    if reason := missing():
        sys.exit(reason)
    print(base_root())
