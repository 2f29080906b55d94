"""The copy of the checkout in which the new code is tried: like it will be, and nothing live can be written through it."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gitdeploy.checkout.manifest import Item
from gitdeploy.deployment.prepare.beside import copy_beside


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
