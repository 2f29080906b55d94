"""The copy of the checkout in which the new code is tried: like it will be, and nothing live can be written through it."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gitdeploy.checkout.manifest import Item
from gitdeploy.config import RehearseConfig
from gitdeploy.databases.scratch import scratch_of
from gitdeploy.databases.sqlite import SQLite
from gitdeploy.deployment.prepare.beside import (
    Whole,
    can_share,
    copy_beside,
    moved,
    put_back,
    put_forward,
    unshared_size,
)
from gitdeploy.deployment.rehearse.environment import Surroundings, change_env_file
from gitdeploy.errors import DeploymentFailed


def item(root: Path, kind: str, name: str, staged: Path | None = None) -> Item:
    return Item(kind, os.fsencode(root / name), os.fsencode(staged or root), b"", b"")  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    for folder in ("code", "instance", "media", ".git", ".gitdeploy", "code/__pycache__", "new-file"):
        (root / folder).mkdir(parents=True)
    for name in ("code/main.py", "code/gone.py", "instance/settings.py", "new-file/inner", "run.sh", ".env"):
        (root / name).write_text(name)
    (root / "run.sh").chmod(0o755)
    for number in range(600):
        (root / f"media/{number}").touch()
    (root / "large.bin").write_bytes(b"x" * (2 << 20))
    (root / "app.log").write_text("said before")
    (root / "app.pid").write_text("1")
    (root / "inside").symlink_to("code/main.py")
    (root / "code/up").symlink_to("../instance")
    (root / "absolute").symlink_to(root / "code")
    (root / "outside").symlink_to("../elsewhere")
    with closing(sqlite3.connect(root / "instance/app.db")) as live:
        live.executescript("PRAGMA journal_mode=WAL; CREATE TABLE orders (x); INSERT INTO orders VALUES (1)")
    return root


def test_the_copy_is_the_checkout_after_the_switch(root: Path, tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    staged.write_text("staged")
    items = [
        item(root, "changed", "code/main.py", staged),
        item(root, "added", "code/deep/new.py", staged),
        item(root, "added", "new-file", staged),
        item(root, "deleted", "code/gone.py"),
    ]
    icons = [b"icons/%d.svg" % number for number in range(600)]
    (root / "icons").mkdir()
    copy = tmp_path / "copy"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "sock"))
    copy_beside(root, copy, [b"code/main.py", b"code/gone.py", b"run.sh", *icons], items)
    listener.close()
    assert [(copy / name).read_text() for name in ("code/main.py", "code/deep/new.py", "new-file")] == ["staged"] * 3
    assert not (copy / "code/gone.py").exists()
    assert not any((copy / name).exists() for name in (".git", ".gitdeploy", "code/__pycache__", "app.pid"))
    assert (copy / "app.log").read_text() == ""
    assert os.access(copy / "run.sh", os.X_OK)
    assert (copy / ".env").read_text() == ".env"
    assert (copy / "inside").read_text() == "staged"
    assert (copy / "code/up/settings.py").read_text() == "instance/settings.py"
    assert (copy / "absolute").resolve() == copy / "code"
    assert os.readlink(copy / "outside") == str(tmp_path / "elsewhere")
    assert [os.path.islink(copy / name) for name in ("large.bin", "media", "sock", "instance")] == [
        True,
        True,
        True,
        False,
    ]


def test_what_is_written_in_the_copy_stays_there(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_beside(root, copy, [b"code/main.py"], [])
    with closing(sqlite3.connect(copy / "instance/app.db")) as tried:
        assert tried.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        tried.executescript("DROP TABLE orders")
    (copy / "code/main.py").write_text("spoiled")
    (copy / "instance/made").touch()
    with closing(sqlite3.connect(root / "instance/app.db")) as live:
        assert live.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    assert (root / "code/main.py").read_text() == "code/main.py"
    assert not (root / "instance/made").exists()


@pytest.mark.parametrize("whole", [False, True])
def test_a_link_by_another_name_of_the_checkout_leads_to_the_copy(root: Path, tmp_path: Path, whole: bool) -> None:
    """`/srv` is a link to `/data`, and what is kept is a link to `/srv/app/...`."""
    (tmp_path / "alias").symlink_to(tmp_path)
    links = {
        "straight": f"{tmp_path}/alias/app/instance",
        "code/relative": "../../alias/app/instance",
        "round": "../app/instance",
        "later": f"{tmp_path}/alias/app/nothing/yet",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    copy = root / ".gitdeploy/rehearsals"
    copy_beside(root, copy, [b"code/main.py"], [], Whole([], [], shared=True) if whole else None)
    for name in links:
        assert str((copy / name).resolve()).startswith(f"{copy}/"), (name, os.readlink(copy / name))
    assert (copy / "straight/settings.py").read_text() == "instance/settings.py"


def test_a_folder_that_becomes_a_link_and_is_one_again(root: Path, tmp_path: Path) -> None:
    """The release brings a link by a full path in place of a folder: nothing is written through it."""
    staged, copy = tmp_path / "staged", root / ".gitdeploy/copy"
    staged.symlink_to(root / "instance")
    items = [item(root, "added", "code", staged), item(root, "deleted", "code/main.py")]
    copy_beside(root, copy, [b"code/main.py"], [], Whole([], [], shared=True))
    put_forward(root, copy, items)
    assert (copy / "code").resolve() == copy / "instance"
    put_back(root, copy, items)
    assert (copy / "code/main.py").read_text() == "code/main.py"
    assert not (copy / "code").is_symlink()


def test_nothing_is_written_where_a_link_leads_out_of_the_copy(root: Path, tmp_path: Path) -> None:
    """Whatever made the link: neither the live database nor the live `.env` is the copy's."""
    copy = root / ".gitdeploy/rehearsals/1/app"
    copy.mkdir(parents=True)
    (copy / "instance").symlink_to(root / "instance")
    scratch = scratch_of(SQLite(root / "instance/app.db", "app.db"), "r1", copy.parent, root, copy)
    (root / "instance/.env").write_text(f"DB={root}/instance/app.db")
    around = Surroundings(root, copy, [scratch], RehearseConfig(), "shop", None, 1)
    for write in (scratch.drop, lambda: change_env_file(around, copy / "instance/.env")):
        with pytest.raises(DeploymentFailed, match="which is no copy: nothing is written there"):
            write()
    assert (root / "instance/app.db").exists()
    assert (root / "instance/.env").read_text() == f"DB={root}/instance/app.db"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/app", "/C"),
        ("/srv/app/x.py", "/C/x.py"),
        ("PYTHONPATH=/srv/app:/srv/app/lib", "PYTHONPATH=/C:/C/lib"),
        ("cd /srv/app && exec '/srv/app'/run \"/srv/app\"", "cd /C && exec '/C'/run \"/C\""),
        ("sqlite:////srv/app/x.db?mode=ro", "sqlite:////C/x.db?mode=ro"),
        ("cc -I/srv/app/include --root=/srv/app", "cc -I/C/include --root=/C"),
        ("/srv/app/.gitdeploy/venvs/1 /srv/app/.gitdeploy", "/srv/app/.gitdeploy/venvs/1 /srv/app/.gitdeploy"),
        ("/srv/app/.gitdeploy.txt", "/C/.gitdeploy.txt"),
        (
            "/srv/app2/x /srv/app-old /srv/app.bak /mnt/srv/app/x",
            "/srv/app2/x /srv/app-old /srv/app.bak /mnt/srv/app/x",
        ),
    ],
)
def test_a_text_that_names_the_checkout(text: str, told: str) -> None:
    assert moved(text, Path("/srv/app"), Path("/C")) == told


def test_a_file_that_can_share_nothing_needs_room(root: Path, tmp_path: Path) -> None:
    """Sharing was found to work on the copy's disk; a file of another one is copied all the same."""
    assert (8 << 10) < unshared_size(root) < (1 << 20)
    if can_share(tmp_path):
        return
    room = os.statvfs(tmp_path)
    os.truncate(root / "large.bin", room.f_bavail * room.f_frsize + (1 << 30))
    with pytest.raises(DeploymentFailed, match="too little room"):
        copy_beside(root, tmp_path / "copy", [], [], Whole([], [], shared=True))
