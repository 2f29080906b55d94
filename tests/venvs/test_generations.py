"""Generations on disk: which there are, whether one fits as it is, what their seals say, and what deleting them frees."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitdeploy.errors import GitDeployError
from gitdeploy.venvs.generations import Usage, disk_usage, matching, remove, sweep, unfinished
from gitdeploy.venvs.live import Installed, LiveVenv, canonical, installed, live_venv, packages, python_version
from gitdeploy.venvs.meanwhile import changed_packages
from gitdeploy.venvs.requirements import Requirements
from gitdeploy.venvs.seal import Facts, differences, partial_path, read_facts, seal, seal_path, sealed_files

SITE = "lib/python3.11/site-packages"


def made(venvs: Path, name: str, *, made_at: float | None = None, key: str = "") -> Path:
    """A folder as a generation is, sealed where it has a time."""
    venv = venvs / name
    (venv / SITE).mkdir(parents=True)
    (venv / SITE / "module.py").write_text("VERSION = 1\n")
    (venv / "bin").mkdir()
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.11.7.final.0\n")
    if made_at is not None:
        seal(venv, Facts(key, "uv", made_at, {"module": "1"}))
    return venv


def test_one_whose_build_was_cut_off_is_told_apart(tmp_path: Path) -> None:
    assert unfinished(tmp_path / "none") == []
    made(tmp_path, "old", made_at=1.0)
    partial_path(made(tmp_path, "half")).touch()
    (tmp_path / ".deleted-x").mkdir()
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "file").touch()
    assert unfinished(tmp_path) == ["half"]


def test_only_the_live_one_of_the_very_same_requirements_is_reused(tmp_path: Path) -> None:
    venv = made(tmp_path / "venvs", "g1", made_at=1.0, key="same")
    link = tmp_path / "venv"
    link.symlink_to("venvs/g1")
    (venv / "bin/python").symlink_to("/usr/bin/env")
    live = live_venv(link, tmp_path / "venvs")
    assert live is not None
    live = LiveVenv(link, venv, live.generation, "3.11.7", None, live.target)
    wanted = Requirements({}, "same", {}, False, (), False, ())
    other = Requirements({}, "other", {}, False, (), False, ())
    assert live.generation == "g1"
    assert matching(wanted, live) == "g1"
    assert matching(other, live) is None
    assert matching(wanted, None) is None
    assert matching(wanted, LiveVenv(link, venv, None, None, None)) is None, "a plain venv is sealed by nobody"
    assert matching(wanted, LiveVenv(link, venv, "g1", None, "Its interpreter is gone.")) is None
    seal_path(venv).unlink()
    assert matching(wanted, live) is None


# ---- seals ----


def test_a_seal_says_what_was_written_since(tmp_path: Path) -> None:
    venv = made(tmp_path, "g")
    assert differences(venv) == [], "never sealed"
    (venv / SITE / "odd\udcff\nname").write_text("x")
    (venv / SITE / "link").symlink_to("module.py")
    seal(venv, Facts("key", "pip", 5.0, {"a": "1"}))
    assert differences(venv) == []
    assert read_facts(venv) == Facts("key", "pip", 5.0, {"a": "1"})
    (venv / SITE / "__pycache__").mkdir()
    (venv / SITE / "__pycache__/module.pyc").write_text("bytecode")
    (venv / SITE / "new.py").write_text("a new file is nobody's edit")
    assert differences(venv) == []
    (venv / SITE / "module.py").write_text("VERSION = 2  # edited\n")
    (venv / SITE / "odd\udcff\nname").unlink()
    (venv / SITE / "link").unlink()
    assert differences(venv) == [f"{SITE}/link", f"{SITE}/module.py", f"{SITE}/odd\udcff\nname"]
    seal(venv)
    assert differences(venv) == []
    assert read_facts(venv) == Facts("key", "pip", 5.0, {"a": "1"}), "facts stay when it is sealed again"


def test_a_copy_of_a_generation_is_as_it_was(tmp_path: Path) -> None:
    """The number of an inode is not an identity."""
    venv = made(tmp_path, "g", made_at=1.0)
    file = venv / SITE / "module.py"
    found, data = file.stat(), file.read_bytes()
    (venv / "keeps-the-inode").hardlink_to(file)
    file.unlink()
    file.write_bytes(data)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert file.stat().st_ino != found.st_ino
    assert differences(venv) == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"{}\nno zlib", b"\xff\xff\n"])
def test_a_damaged_seal_is_never_taken_for_a_whole_one(tmp_path: Path, damage: bytes) -> None:
    venv = made(tmp_path, "g", made_at=1.0)
    seal_path(venv).write_bytes(damage)
    assert read_facts(venv) in (None, Facts())
    if damage in (b"", b"{}"):  # cut off before its list
        with pytest.raises(GitDeployError, match="is damaged"):
            sealed_files(venv)
    else:
        with pytest.raises(GitDeployError, match=r"The seal .* is damaged"):
            differences(venv)


# ---- deleting ----


def test_what_is_removed_is_gone_with_its_seal_and_what_was_cut_off_is_finished(tmp_path: Path) -> None:
    venv = made(tmp_path, "g", made_at=1.0)
    (venv / SITE).chmod(0o500)
    kept = made(tmp_path, "kept", made_at=1.0)
    remove(venv)
    assert sorted(os.listdir(tmp_path)) == ["kept", "kept.seal"]
    made(tmp_path, ".deleted-g-1")
    made(tmp_path, ".source-2")
    (tmp_path / "gone.seal").touch()
    (tmp_path / ".kept.seal.new").touch()
    assert sweep(tmp_path) == [".deleted-g-1", ".kept.seal.new", ".source-2", "gone.seal"]
    assert differences(kept) == []
    assert sweep(tmp_path / "none") == []
    remove(tmp_path / "none")


def test_only_what_no_other_generation_has_is_freed(tmp_path: Path) -> None:
    one, two = made(tmp_path, "one"), made(tmp_path, "two")
    shared = one / "shared"
    shared.write_bytes(b"x" * 400_000)
    (two / "shared").hardlink_to(shared)
    (one / "own").write_bytes(b"x" * 200_000)
    alone = disk_usage([one]).freed
    assert 200_000 <= alone < 300_000
    assert disk_usage([one]).whole >= alone + 400_000
    both = disk_usage([one, two])
    assert both.freed == both.whole >= alone + 400_000
    assert disk_usage([tmp_path / "none"]) == Usage(0, 0)


# ---- what a venv is ----


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ("version = 3.12.1\n", "3.12.1"),
        ("version_info = 3.11.7.final.0\n", "3.11.7"),
        ("VERSION=3.9\n", "3.9"),
        ("home = /usr\n", "3.11"),
        ("version = whatever\n", "3.11"),
    ],
)
def test_the_python_that_it_was_made_for(tmp_path: Path, settings: str, version: str) -> None:
    venv = made(tmp_path, "g")
    (venv / "pyvenv.cfg").write_text(settings)
    assert python_version(venv) == version


def test_what_is_wrong_with_it_is_a_sentence(tmp_path: Path) -> None:
    venvs, link = tmp_path / "venvs", tmp_path / "venv"
    assert live_venv(link, venvs) is None
    venv = made(venvs, "g")
    gone = live_venv(link, venvs)
    assert gone is not None
    assert gone.problem == f"The venv {link} is gone."
    link.symlink_to("venvs/g")

    def relinked(to: str | None) -> None:
        link.unlink()
        link.touch() if to is None else link.symlink_to(to)

    changes: list[tuple[Callable[[], object], str]] = [
        (lambda: None, "has no bin/python."),
        (lambda: (venv / "bin/python").symlink_to("/usr/bin/python9"), "needs the interpreter /usr/bin/python9, which is gone."),
        ((venv / "pyvenv.cfg").unlink, "has no pyvenv.cfg, so an installer would write into the base Python."),
        (lambda: relinked("nowhere"), "points to nowhere, which is not a folder."),
        (lambda: relinked(None), "is not a folder."),
    ]  # fmt: skip
    for act, words in changes:
        act()
        found = live_venv(link, venvs)
        assert found is not None
        assert found.problem is not None
        assert words in found.problem


def test_packages_are_read_from_the_names_of_their_metadata(tmp_path: Path) -> None:
    venv = made(tmp_path, "g")
    for name in (
        "Flask_Login-1.0.dist-info",
        "a.b-2.0-py3.11.egg-info",
        "~broken-1.dist-info",
        "x-1.txt",
        "no.dist-info",
    ):
        (venv / SITE / name).mkdir()
    assert packages(venv) == {"a-b": "2.0", "flask-login": "1.0"}
    assert set(installed(venv)) == {"a-b", "flask-login"}
    assert canonical("Flask__Log.in") == "flask-log-in"


def test_what_somebody_installed_meanwhile_is_said() -> None:
    before = {"a": Installed("1", 1), "b": Installed("1", 1), "c": Installed("1", 1), "d": Installed("1", 1)}
    now = {"a": Installed("1", 1), "b": Installed("2", 2), "c": Installed("1", 2), "e": Installed("1", 2)}
    assert changed_packages(before, now) == [
        "b is 2 instead of 1", "c 1 was installed again", "d 1 is gone", "e 1 is new",
    ]  # fmt: skip
    assert changed_packages(before, before) == []
