"""What stays root beside another user's deployment: a few acts, by what was fixed when it split, and no more."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support import needs

from gitdeploy.deployment.outside import launch
from gitdeploy.services import boot, root_side, supervisor_logs
from gitdeploy.services.base import ServiceFailed
from gitdeploy.services.logfile import LogFile
from gitdeploy.services.pidfile import PidFile

pytestmark = [needs.another_user, pytest.mark.e2e]
USER, OTHER = needs.NOBODY, 4321


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="gitdeploy-roots-process-") as temporary:
        place = Path(temporary)
        place.chmod(0o755)
        yield place


def test_the_unit_for_boot_is_written_for_whom_it_was_at_the_split_and_only_where_root_typed_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "FOLDER", folder / "etc")
    monkeypatch.setattr(boot, "booted", lambda: True)
    monkeypatch.setattr(boot, "which", lambda _: "/bin/true")  # there may be no systemd here
    (folder / "etc").mkdir()
    app, others = folder / "app", folder / "others"
    for place, uid in ((app, USER), (others, OTHER)):
        place.mkdir()
        os.chown(place, uid, uid)
    app.rename(folder / "mine")
    app.symlink_to(others)
    asked = {"verb": "install_boot_unit", "units": []}
    with pytest.raises(ServiceFailed, match="only where root types that"):
        root_side._do(asked, app, USER, _no_launch, print)
    assert list((folder / "etc").iterdir()) == []
    root_side._do(asked, app, USER, _no_launch, print, boot_unit=True)
    (drop_in,) = (folder / "etc").rglob("app.conf")
    assert drop_in.read_text().endswith("User=nobody\n")


def _no_launch(*_: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize(
    ("words", "started"),
    [
        (["upgrade", "v2.0.0", "--yes"], True),
        (["rollback", "--yes"], True),
        (["contract"], True),
        (["recover"], True),
        (["rehearse", "v2.0.0"], True),
        (["backup", "--label", "x"], True),
        (["watch", "--once"], True),
        (["recover", "--install-unit"], False),
        (["watch"], False),
        (["watch", "--once", "--print-unit"], False),
        (["web"], False),
        (["hooks", "run", "build"], False),
        (["--config", "/etc/x", "upgrade"], False),
        ([], False),
    ],
)
def test_which_commands_root_starts_for_whoever_asks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], started: bool
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(launch, "_start_unit", lambda argv, *_: ran.append(argv))
    start = launch.root_launcher(folder, USER, None)
    if started:
        assert start(words, "ab" * 16, "x", False)[1] is None
        assert ran[0][-len(words) :] == words
    else:
        with pytest.raises(ValueError, match="no command that is started"):
            start(words, "ab" * 16, "x", True)
        assert ran == []


@pytest.mark.parametrize("whose", [OTHER, 0], ids=["of another user's", "of root's"])
def test_what_root_starts_for_an_owner_works_in_no_other_checkout(
    folder: Path, monkeypatch: pytest.MonkeyPatch, whose: int
) -> None:
    """Behind the command too one may say where it works: so whatever is asked for, root's process fixed that."""
    needs.gitdeploy_for_others()
    for name, uid in (("mine", USER), ("others", whose)):
        subprocess.run(["git", "init", "-q", folder / name], check=True)
        subprocess.run(["chown", "-R", f"{uid}:{uid}", folder / name], check=True)
    (folder / "apps.yaml").write_text(f"apps:\n  others: {folder / 'others'}\n")
    ran: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(launch, "_start_unit", lambda argv, _, environment: ran.append((argv, environment)))
    monkeypatch.setenv("GITDEPLOY_APPS", str(folder / "apps.yaml"))
    for more in (["-A", "others"], ["-C", str(folder / "others")], ["-qC", str(folder / "others"), "--config", "/x"]):
        launch.root_launcher(folder / "mine", USER, None)(["backup", *more], "ab" * 16, "x", False)
        argv, environment = ran.pop()
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd="/")
        assert "was started for the checkout" in done.stdout, done.stdout + done.stderr
        assert str(folder / "others") in done.stdout
        assert not (folder / "others/.git/gitdeploy").exists()
    (folder / "mine").rename(folder / "moved")
    (folder / "mine").symlink_to(folder / "others")
    done = subprocess.run(
        [*argv[: argv.index("backup")], "backup"], env=environment,
        capture_output=True, text=True, timeout=60, check=False, cwd="/",
    )  # fmt: skip
    assert "was started for the checkout" in done.stdout, done.stdout


# Becomes the owner as a command of root's does, and then starts each kind of child: what do they hold?
_SPLIT = """
import json, os, sys, time
from pathlib import Path
from gitdeploy.deployment.outside import as_owner
from gitdeploy.services import privileged
from gitdeploy.system import background, process
os.chdir("/")
folder = Path(sys.argv[1])
as_owner.become_owner(folder)
assert privileged.available() and os.geteuid() != 0
look = ["sh", "-c", "ls -l /proc/self/fd; env"]
said = process.run(look, cwd="/", env=dict(os.environ), timeout=10).text
background.detach(look, cwd="/", env=dict(os.environ), output=folder / "said")
time.sleep(1)
where, begun = privileged.launch_as_root(["watch", "--once"], "ab" * 16, "x", plain=True)
while begun is not None and begun.alive():
    time.sleep(0.1)
print(json.dumps([said, (folder / "said").read_text(), where]))
"""


def test_nothing_that_is_started_inherits_the_socket_to_root(folder: Path) -> None:
    needs.gitdeploy_for_others()
    python, environment = needs.python_for_others()
    app = folder / "app"
    app.mkdir()
    subprocess.run(["git", "init", "-q", app], check=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", app], check=True)
    done = subprocess.run(
        [python, "-P", "-c", _SPLIT, app], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=60, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *children, where = json.loads(done.stdout)
    for said in children:
        assert "socket:" not in said
        assert "GITDEPLOY_CONTROL" not in said
    assert where.startswith(("process ", "the unit "))


def test_a_log_that_its_owner_can_exchange_is_read_as_the_owner(folder: Path) -> None:
    """supervisord opens it by its name, as root."""
    (folder / "theirs").mkdir()
    (folder / "roots").mkdir()
    os.chown(folder / "theirs", USER, USER)
    secret = folder / "secret"
    secret.write_text("root's\n")
    secret.chmod(0o600)
    for name in ("theirs/out.log", "roots/out.log"):
        (folder / name).write_text("hello\n")
    settings = folder / "supervisord.conf"

    def program(*lines: str) -> None:
        settings.write_text("\n".join([f"[supervisord]\nchildlogdir={folder}/roots", "[program:app]", *lines]))

    files = [str(settings)]
    theirs = f"{folder}/theirs/out.log"
    for lines, roots, owners in (
        ([f"stdout_logfile={theirs}"], ["stderr"], [theirs]),
        ([f"stdout_logfile={folder}/theirs/%(program_name)s.log"], ["stderr"], [f"{folder}/theirs/app.log"]),
        ([f"stdout_logfile={theirs}", "redirect_stderr=true"], [], [theirs]),
        ([f"stdout_logfile={folder}/roots/out.log"], ["stdout", "stderr"], []),
        ([f"stdout_logfile={folder}/%(host_node_name)s.log", "stderr_logfile=NONE"], [], []),
        ([], ["stdout", "stderr"], []),
    ):
        program(*lines)
        assert sorted(supervisor_logs.roots_streams("app", files)) == sorted(roots), lines
        assert supervisor_logs.owners_logs("app", files) == owners, lines
    assert supervisor_logs.roots_streams("other", files) == []
    os.chown(settings, USER, USER)
    assert supervisor_logs.roots_streams("app", files) == []
    Path(theirs).unlink()
    Path(theirs).symlink_to(secret)
    os.chown(theirs, USER, USER, follow_symlinks=False)
    assert "root's" not in "".join(LogFile(theirs, folder, 0).last_lines(5, None))


@pytest.mark.parametrize(
    ("file", "place", "mode", "process", "signalled"),
    [
        (0, 0, 0o755, 0, True),
        (0, 0, 0o755, USER, True),
        (USER, 0, 0o755, USER, True),
        (0, USER, 0o755, USER, True),
        (USER, USER, 0o755, 0, False),
        (USER, 0, 0o755, 0, False),
        (0, USER, 0o755, 0, False),
        (USER, USER, 0o755, OTHER, False),
        (0, 0, 0o777, 0, False),
        (0, 0, 0o775, 0, True),  # the group root
        (USER, USER, 0o777, USER, False),
    ],
)
def test_root_signals_only_processes_of_whoever_can_write_the_pid_file(
    folder: Path, file: int, place: int, mode: int, process: int, signalled: bool
) -> None:
    """Else the app's user has root end a shell of root's that works in the checkout."""
    root = folder / "app"
    (root / "run").mkdir(parents=True)
    become = ["setpriv", f"--reuid={process}", f"--regid={process}", "--clear-groups"] if process else []
    child = subprocess.Popen([*become, "sleep", "60"], cwd=root)
    try:
        time.sleep(0.1)
        pid = root / "run/pid"
        pid.write_text(f"{child.pid}\n")
        os.chown(pid, file, file)
        os.chown(root / "run", place, place)
        (root / "run").chmod(mode)
        service = PidFile("run/pid", root, 0, signal="TERM")
        if signalled:
            assert service.main().pid == child.pid
            return
        with pytest.raises(
            ServiceFailed, match="so the number: root signals only processes of whoever can write it"
        ) as raised:
            service.restart()
        assert child.poll() is None
        for _ in range(2):  # the folder first, then the file in it
            hint = raised.value.hint
            subprocess.run(["sh", "-c", hint.partition(": ")[2]], check=True)
            assert shlex.quote(str(root / "run")) in hint
            try:
                assert service.main().pid == child.pid
                break
            except ServiceFailed as error:
                raised.value.hint = error.hint
        assert service.main().pid == child.pid
    finally:
        child.kill()
        child.wait()
