"""The one plan over all paths, on plain values: one owner and one content for each; URLs and settings of submodules."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdeploy.checkout.changes import FileChange, Target
from gitdeploy.checkout.envpath import EnvPath
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.gitmodules import Described, Settings, admitted, resolved
from gitdeploy.checkout.paths import Owner, Paths, owner_of, settled
from gitdeploy.errors import DeploymentFailed

HERE = Path("/app")
GOAL = Target("c" * 40, "t" * 40, "t" * 40, exact=frozenset({b"x"}))


def owner(prefix: bytes, target: Target | None = GOAL) -> Owner:
    place = HERE / prefix.decode()
    return Owner(prefix, Repository(place, place / ".git", place / ".git"), place, target)


APP, LIB = owner(b""), owner(b"lib")


def test_a_path_is_claimed_by_one_owner_on_each_side() -> None:
    paths = Paths()
    paths.was(LIB, b"code.py", 0o100644, "1" * 40)
    paths.will_be(APP, b"lib/code.py", 0o100644, "2" * 40)
    paths.was(LIB, b"same.py", 0o100644, "3" * 40)
    paths.will_be(APP, b"lib/same.py", 0o100644, "3" * 40)
    paths.will_be(LIB, b"x", 0o100755, "4" * 40)
    found = paths.entries()
    assert {path for path, entry in found.items() if entry.changes} == {b"lib/code.py", b"lib/x"}
    assert not found[b"lib/same.py"].changes, "what has the same blob on both sides is not a change, whoever has it"
    entry = found[b"lib/code.py"]
    assert entry.old is not None
    assert entry.new is not None
    assert (entry.old.owner, entry.new.owner) == (LIB, APP)
    assert found[b"lib/x"].new is not None
    assert found[b"lib/x"].new.exact
    with pytest.raises(
        DeploymentFailed, match=r"lib/code\.py has two owners in this plan: the checkout and submodule lib"
    ):
        paths.will_be(LIB, b"code.py", 0o100644, "5" * 40)
    with pytest.raises(DeploymentFailed, match="two owners"):
        paths.was(APP, b"lib/same.py", 0o100644, "3" * 40)


@pytest.mark.parametrize(
    "changes",
    [
        [FileChange(b"a", "added", 0o100644), FileChange(b"a", "deleted")],
        [FileChange(b"a", "added", 0o100644), FileChange(b"a/b", "added", 0o100644, owner=b"a")],
        [FileChange(b"a", "changed", 0o120000), FileChange(b"a/b/c", "added", 0o100644)],
    ],
)
def test_two_plans_for_one_path_are_an_error(changes: list[FileChange]) -> None:
    with pytest.raises(DeploymentFailed, match="two owners in this plan"):
        settled(changes)


def test_a_file_that_goes_makes_room_for_a_folder() -> None:
    changes = [FileChange(b"a/b", "added", 0o100644), FileChange(b"a", "deleted")]
    assert [change.path for change in settled(changes)] == [b"a", b"a/b"]


def test_whose_a_path_is() -> None:
    owners = {one.prefix: one for one in (APP, LIB, owner(b"lib/in ner"))}
    assert owner_of(owners, b"lib/in ner/deep/x").prefix == b"lib/in ner"
    assert owner_of(owners, b"lib/x") == LIB
    assert owner_of(owners, b"library/x") == owner_of(owners, b"lib") == APP


# ---- the env file ----


@pytest.mark.parametrize(
    ("planned", "content"),
    [
        (b"APP_VERSION=1\nNEW=1\n", b"APP_VERSION=2.0\nNEW=1\n"),
        (b"NEW=1\n", None),  # the release's own has no such line: it gets none
        (b"APP_VERSION=2.0\n", None),
    ],
)
def test_the_version_goes_into_what_is_planned(tmp_path: Path, planned: bytes, content: bytes | None) -> None:
    (tmp_path / ".env").write_bytes(b"APP_VERSION=1\nOLD=1\n")
    change = FileChange(b".env", "changed", 0o100755, "1" * 40)
    changes = {b".env": change}
    assert EnvPath(b".env", "2.0").follow(bytes(tmp_path), changes, lambda _: planned) is None
    assert changes[b".env"].content == content
    assert changes[b".env"].mode == 0o100755
    changes = {b".env": FileChange(b".env", "deleted")}
    assert EnvPath(b".env", "2.0").follow(bytes(tmp_path), changes, lambda _: b"") is None
    assert changes == {b".env": FileChange(b".env", "deleted")}


def test_the_version_alone_changes_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"APP_VERSION=1\nOLD=1\n")
    changes: dict[bytes, FileChange] = {}
    assert EnvPath(b".env", "2.0").follow(bytes(tmp_path), changes, lambda _: b"") == b".env"
    assert changes[b".env"].content == b"APP_VERSION=2.0\nOLD=1\n"


# ---- where submodules come from ----


@pytest.mark.parametrize(
    ("base", "url", "found"),
    [
        ("https://host/a/b.git", "../c.git", "https://host/a/c.git"),
        ("https://host/a/b.git", "./c", "https://host/a/b.git/c"),
        ("https://host/a/b.git/", "../c", "https://host/a/c"),
        ("https://host/a/b.git", "../../../other/x", "https://other/x"),
        ("git@host:a/b.git", "../c.git", "git@host:a/c.git"),
        ("git@host:b.git", "../c.git", "git@host:c.git"),
        ("ssh://git@host:22/a/b", "../../../other/x", "ssh://other/x"),
        ("file:///srv/a.git", "../c", "file:///srv/c"),
        ("/srv/a.git", "../c/", "/srv/c"),
        ("https://host/a", "https://other/b", "https://other/b"),
    ],
)
def test_a_relative_url_is_resolved_as_git_does(base: str, url: str, found: str) -> None:
    assert resolved(base, url) == found


@pytest.mark.parametrize(
    ("url", "app", "well"),
    [
        ("https://host/x", "https://host/a", True),
        ("https://other/x", "https://host/a", False),
        ("https://host/x", "git@host:a/b.git", True),
        ("git@host:x.git", "https://host/a", True),
        ("http://host/x", "https://host/a", False),
        ("http://host/x", "http://host/a", True),
        ("https://host:8443/x", "https://host/a", False),
        ("https://host@evil/x", "https://host/a", False),
        ("https://hosted/x", "https://host/a", False),
        ("/srv/x", "https://host/a", False),
        ("file:///srv/x", "https://host/a", False),
        ("file:///srv/x", "file:///srv/a", True),
        ("ext::sh -c true", "https://host/a", False),
        ("-c", "/srv/a", False),
        ("", "https://host/a", False),
    ],
)
def test_a_release_takes_submodules_from_the_hosts_that_are_trusted(url: str, app: str, well: bool) -> None:
    assert admitted(url, [app]) == well


@pytest.mark.parametrize(
    ("values", "active", "update", "alone"),
    [
        ({}, (), "", False),
        ({}, (), "none", True),
        ({"lib.update": "checkout"}, (), "none", False),
        ({"lib.update": "none"}, (), "", True),
        ({"lib.active": "false"}, (), "", True),
        ({"lib.active": "true"}, ("other",), "", False),
        ({}, (".",), "", False),
        ({}, ("other", "vendor"), "", False),
        ({}, ("other",), "", True),
        ({}, (".", ":(exclude)vendor/lib"), "", True),
        ({}, ("vendor/*",), "", False),
    ],
)
def test_what_git_is_told_not_to_check_out_is_left_alone(
    values: dict[str, str], active: tuple[str, ...], update: str, alone: bool
) -> None:
    assert Settings(values, active).left_alone(Described("lib", b"vendor/lib", "../lib", update)) == alone


@pytest.mark.parametrize(
    ("name", "well"),
    [("lib", True), ("vendor/my lib", True), ("../x", False), ("a/../b", False), ("a//b", False), ("-c", False),
     ("a\\..\\b", False), ("x/.git", False), ("", False), ("名字", True)],
)  # fmt: skip
def test_names_that_become_folders(name: str, well: bool) -> None:
    assert Described(name, b"p", "u").acceptable == well
