"""What is encrypted in a backup's folder, and what is deleted of it then: nothing that isn't in the part, nothing elsewhere."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from support import needs

from gitdeploy.backups import archive, encrypted

ID = "20260101-000000-v1"


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    needs.program("age")
    file = tmp_path_factory.mktemp("age") / "key"
    made = subprocess.run(["age-keygen", "-o", str(file)], capture_output=True, text=True, check=True)
    return [made.stderr.split()[-1]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A backup's, with a file in a folder."""
    made = tmp_path / "backups" / ID
    (made / "kept/deep").mkdir(parents=True)
    (made / "manifest.json").write_text("{}")
    (made / "kept/deep/file").write_text("a secret")
    return made


def parts(folder: Path) -> list[str]:
    return [part.name for part in encrypted.parts(folder)]


def test_nothing_outside_is_deleted_whatever_a_list_names(folder: Path, wanted: list[str]) -> None:
    """A list that came with an import names files that are reached by links, as they stand outside."""
    outside = folder.parent.parent / "outside"
    (outside / "empty").mkdir(parents=True)
    (outside / "file").write_text("not the backup's")
    (outside / "link").symlink_to("file")
    (folder / "kept/way").symlink_to(outside)
    (folder / "kept/up").symlink_to("../../..")
    facts = (outside / "file").stat()
    named = []
    for way in ("kept/way", "kept/up/outside", "kept/../../../outside", str(outside)):
        named += [
            archive.Entry(f"files/{way}/file", 0o644, facts.st_size, mtime=facts.st_mtime_ns),
            archive.Entry(f"files/{way}/link", 0o777, link="file"),
            archive.Entry(f"files/{way}/empty", 0o755, folder=True),
        ]
    (folder / "encrypted-1.age").touch()
    entries = [{name: getattr(each, name) for name in each.__struct_fields__} for each in named]
    (folder / "encrypted-1.json").write_text(json.dumps({"recipients": wanted, "entries": entries}))
    encrypted.encrypt(folder, ID, wanted)
    assert sorted(os.listdir(outside)) == ["empty", "file", "link"]
    assert (parts(folder), encrypted.plain(folder)) == (["encrypted-1.age", "encrypted-2.age"], [])


@pytest.fixture
def undeletable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that nobody can delete, as with chattr +i; its name is the last in its folder."""
    file = folder / "kept/deep/zzz"
    file.write_text("stays")
    unlink = os.unlink

    def refusing(name: str, *, dir_fd: int | None = None) -> None:
        if Path(name).name == "zzz":
            raise PermissionError(1, "Operation not permitted", name)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)
    return file


def test_past_a_file_that_can_not_be_deleted_the_others_go_and_no_part_is_made_twice(
    folder: Path, wanted: list[str], undeletable: Path
) -> None:
    for _ in range(2):
        with pytest.raises(OSError, match="kept/deep/zzz"):
            encrypted.encrypt(folder, ID, wanted)
        assert parts(folder) == ["encrypted-1.age"]
        assert os.listdir(folder / "kept/deep") == ["zzz"]
    (folder / "later").write_text("a secret")
    with pytest.raises(OSError, match="kept/deep/zzz"):
        encrypted.encrypt(folder, ID, wanted)
    assert not (folder / "later").exists(), "what came later is encrypted all the same"


def test_sockets_and_pipes_make_no_parts(folder: Path, wanted: list[str]) -> None:
    os.mkfifo(folder / "kept/deep/pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "kept/socket"))
    assert encrypted.encrypt(folder, ID, wanted)
    assert not encrypted.encrypt(folder, ID, wanted)
    assert (parts(folder), encrypted.plain(folder)) == (["encrypted-1.age"], [])
