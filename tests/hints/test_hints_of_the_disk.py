"""Hints of a full disk, followed on a small one of the app's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import needs
from support.sample import Program

from hints.conftest import tree
from hints.following import SETTINGS, App, command_in, hint_of, matches

KILLS = Program("#!/bin/sh\nkill -9 $PPID\n")


@contextmanager
def small_disk(app: App, options: str = "size=24m") -> Iterator[None]:
    """The checkout on a tmpfs of its own."""
    needs.mounts()
    app.type("rm -rf ../away && mkdir ../away && mv * .[!.]* ../away", None)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(app.app)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{app.folder}/pristine/.", str(app.app)], check=True)
        yield
    finally:
        while app.app.is_mount():
            subprocess.run(["umount", "-l", str(app.app)], check=True)


def fill(app: App, left: int = 0) -> Path:
    """All but LEFT bytes of the disk."""
    room = os.statvfs(app.app)
    file = app.app / "fill"
    with (app.app / ".git/info/exclude").open("a") as exclude:
        exclude.write("/fill\n")
    with file.open("wb", buffering=0) as out, suppress(OSError):
        out.write(b"x" * max(0, room.f_bavail * room.f_frsize - left))
        while not left:
            out.write(b"x" * 512)
    return file


def interrupted(app: App) -> None:
    app.write_settings(SETTINGS + "hooks: {dir: hooks}\n")
    app.release("v3.0.0", {**tree("3.0.0"), "hooks/post-deploy": KILLS})
    app.gitdeploy("upgrade", "v3.0.0", code=-9)


def test_backups_make_room(app: App) -> None:
    with small_disk(app):
        app.write_settings(SETTINGS + "backup: {include: [run]}\n")
        (app.app / "run").mkdir()
        for tag in ("v2.0.0", "v1.0.0", "v2.0.0", "v1.0.0"):
            (app.app / "run/data").write_bytes(os.urandom(2 << 20))
            app.gitdeploy("upgrade", tag, "--allow-downgrade")
        fill(app, 1 << 20)
        done = app.gitdeploy("upgrade", "v2.0.0", code=1)
        assert matches("Make room. To drop old backups: gitdeploy prune --keep 1", hint_of(done)), done.text
        app.type(command_in(hint_of(done), "gitdeploy prune"))
        app.gitdeploy("upgrade", "v2.0.0")


@pytest.mark.parametrize("words", ["upgrade v2.0.0", "backup", "prepare v2.0.0", "recover", "rollback --yes"])
@pytest.mark.parametrize("killed", [False, True], ids=["as it was", "after a kill"])
def test_with_room_again_the_same_command_goes_on(app: App, words: str, killed: bool) -> None:
    """Not a byte is left, and what was held back for that is used up: what it says, done, is enough."""
    with small_disk(app):
        if killed:
            interrupted(app)
        else:
            app.gitdeploy(*("upgrade v2.0.0" if words.startswith("rollback") else "status").split())
        app.type("rm -rf .gitdeploy/reserve")
        file = fill(app)
        done = app.gitdeploy(*words.split(), code=None)
        if done.code:
            assert "oom" in hint_of(done) or "disk" in hint_of(done), done.text
        file.unlink()
        hint = hint_of(done) if done.code else ""
        if "gitdeploy recover" in hint:
            app.type(command_in(hint, "gitdeploy recover"))
        app.gitdeploy(*words.split())


def test_inodes(app: App) -> None:
    with small_disk(app, "size=60m,nr_inodes=1500"):
        folder = app.app / "run"
        folder.mkdir()
        for number in range(os.statvfs(app.app).f_favail - 20):
            (folder / str(number)).touch()
        done = app.gitdeploy("upgrade", "v2.0.0", code=1)
        assert matches("Delete small files you don't need (old sessions, caches).", hint_of(done)), done.text
        app.type("rm -rf run")
        app.gitdeploy("upgrade", "v2.0.0")


def test_doctor_says_what_could_go(app: App) -> None:
    """Under 500 MB free is little: so is the whole of a small disk."""
    with small_disk(app):
        (hint,) = [each for _, each in app.said("doctor") if matches("To see which old backups could go: {}", each)]
        app.gitdeploy("upgrade", "v2.0.0")
        app.gitdeploy("rollback", "--yes")
        shown = app.type(command_in(hint, "gitdeploy prune"))
        assert "1 backup" in shown.text


FILLS = Program(
    "#!/bin/sh\nrm -rf .gitdeploy/reserve\ndd if=/dev/zero of=fill bs=64k status=none\n"
    "dd if=/dev/zero of=fill.2 bs=512 status=none\nexit 1\n"
)


def test_with_room_again_an_undoing_goes_on(app: App) -> None:
    """The disk is full when something fails below the line, and the journal can't take it down."""
    with small_disk(app):
        app.write_settings(SETTINGS + "hooks: {dir: hooks}\n")
        app.release("v3.0.0", {**tree("3.0.0"), "hooks/post-deploy": FILLS})
        done = app.gitdeploy("upgrade", "v3.0.0", code=4)
        assert matches("Make room on the disk, then run: gitdeploy recover", hint_of(done)), done.text
        app.type("rm -f fill fill.2")
        app.type(command_in(hint_of(done), "gitdeploy recover"))
        assert (app.app / "VERSION").read_text() == "1.0.0"
        app.gitdeploy("upgrade", "v2.0.0")
