"""What is encrypted in a backup's folder, and what is deleted of it then: nothing that isn't in the part, nothing elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support import needs

from gitdeploy.backups import archive, encrypted
from gitdeploy.backups.store import Backup
from gitdeploy.errors import DeploymentFailed
from gitdeploy.site.site import Site
from gitdeploy.state import Database
from gitdeploy.system import interruption
from gitdeploy.upkeep.encrypting import encrypt_backups

ID = "20260101-000000-v1"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs.program("age")
    file = tmp_path_factory.mktemp("age") / "key"
    subprocess.run(["age-keygen", "-o", str(file)], capture_output=True, check=True)
    return file


@pytest.fixture(scope="module")
def wanted(key: Path) -> list[str]:
    return [subprocess.run(["age-keygen", "-y", str(key)], capture_output=True, text=True, check=True).stdout.strip()]


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


def test_sockets_and_pipes_make_no_parts(folder: Path, wanted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "kept/deep/pipe")
    with socket.socket(socket.AF_UNIX) as made, monkeypatch.context() as there:
        there.chdir(folder / "kept")  # a path of 108 bytes at the most
        made.bind("socket")
    assert encrypted.encrypt(folder, ID, wanted)
    assert not encrypted.encrypt(folder, ID, wanted)
    assert (parts(folder), encrypted.plain(folder)) == (["encrypted-1.age"], [])


@pytest.mark.parametrize("content", ["another ", "less", "a secret, and more"])
def test_what_changes_while_it_is_read_stays_as_it_is(
    folder: Path, wanted: list[str], content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part with other bytes than its list says could not be decrypted, and what it holds would be deleted."""
    write = archive.write

    def meanwhile(*words: Any, **more: Any) -> None:
        file = folder / "kept/deep/file"
        before = file.stat()
        file.write_text(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        write(*words, **more)

    monkeypatch.setattr(archive, "write", meanwhile)
    if content.startswith("a secret"):
        encrypted.encrypt(folder, ID, wanted)  # what is in the part is what its list says, and the rest is kept
        assert (folder / "kept/deep/file").read_text() == content
        return
    with pytest.raises(DeploymentFailed, match="kept/deep/file was changed while it was read"):
        encrypted.encrypt(folder, ID, wanted)
    assert (parts(folder), (folder / "kept/deep/file").read_text()) == ([], content)


def test_what_was_put_into_an_imported_backup_here_comes_out_of_it(folder: Path, wanted: list[str], key: Path) -> None:
    """The folder of a group of its own, and what was live when the backup's data took its place."""
    (folder / "kept/deep").chmod(0o2750)
    (folder / "replaced/.git").mkdir(parents=True)
    (folder / "replaced/link").symlink_to("/elsewhere")
    (folder / "kept/outside").symlink_to("/srv/media")
    encrypted.encrypt(folder, ID, wanted)
    said = encrypted.decrypt(folder, cast("Backup", SimpleNamespace(id=ID, imported=True)), key)
    assert "lead outside of the backup: outside. Make" in said, "another server's place"
    assert not os.path.lexists(folder / "kept/outside")
    assert (folder / "kept/deep/file").read_text() == "a secret"
    assert (folder / "kept/deep").stat().st_mode & 0o777 == 0o750
    assert (folder / "replaced/link").readlink() == Path("/elsewhere")


def test_a_list_is_read_once_however_many_files_are_asked_for(
    folder: Path, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (folder / f"kept/{number}").write_text("x" * number)
    encrypted.encrypt(folder, ID, wanted)
    reads: list[bytes] = []
    loads = json.loads

    def counted(text: bytes) -> object:
        reads.append(text)
        return loads(text)

    monkeypatch.setattr(json, "loads", counted)
    sizes = [encrypted.content_size(folder, f"kept/{number}") for number in range(20)]
    assert (sizes, encrypted.content_size(folder, "kept")) == (list(range(20)), sum(range(20)) + len("a secret"))
    assert len(reads) <= 1
    (folder / "kept").mkdir()
    (folder / "kept/3").write_text("longer by now")
    encrypted.encrypt(folder, ID, wanted)
    assert encrypted.content_size(folder, "kept/3") == len("longer by now")


def test_a_signal_ends_it_for_all_of_them(
    folder: Path, wanted: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(folder, folder.with_name("20260102-000000-v1"))
    config = SimpleNamespace(backup=SimpleNamespace(encrypt=wanted))
    site = cast("Site", SimpleNamespace(config=config, state=SimpleNamespace(backups=folder.parent)))
    warned: list[str] = []
    told: list[str] = []
    with Database.open(tmp_path / "state.db") as database:
        monkeypatch.setattr(interruption, "_received", signal.SIGINT)
        encrypt_backups(site, database, warned.append, told.append)
    assert (len(warned), told, parts(folder)) == (1, [f"Encrypting backup {ID}."], [])


def test_nothing_that_encrypting_meets_takes_the_place_of_how_a_command_ended(folder: Path, wanted: list[str]) -> None:
    config = SimpleNamespace(backup=SimpleNamespace(encrypt=wanted))
    site = cast("Site", SimpleNamespace(config=config, state=SimpleNamespace(backups=folder.parent)))
    said: list[str] = []
    with Database.open(folder / "state.db") as database:
        (folder / "state.db").unlink()
        database._connection.execute("DROP TABLE deployment")
        encrypt_backups(site, database, said.append)
    assert (said, parts(folder)) == ([], []), "which backups are needed plain is not known"

    def warn(text: str) -> None:
        raise DeploymentFailed("the log can't be written")

    with Database.open(folder.parent / "state.db") as database:
        (folder / "encrypted-1.age").mkdir()
        (folder / "encrypted-1.age.new").mkdir()
        encrypt_backups(site, database, warn)
