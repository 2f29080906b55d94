"""Staging, switching and undoing plain trees: whatever was, is again; and the manifest that a later process goes by."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.checkouts import Checkout
from support.sample import Link, Program, Tree, folder_files

from gitdeploy.checkout import switch, switch_back
from gitdeploy.checkout.manifest import Control, Directory, Item, Manifest, moved
from gitdeploy.checkout.stage import stage_switch
from gitdeploy.checkout.stage_parts import Part
from gitdeploy.checkout.staged import discard_stage, relink
from gitdeploy.errors import DeploymentFailed
from gitdeploy.system import faultpoints

OLD: Tree = {
    "same": "1",
    "changed": "1",
    "deleted/deep/er": "1",
    "becomes-folder": "1",
    "becomes-file/a": "1",
    "becomes-file/b/c": "1",
    "run": "1",
    "link": Link("same"),
    b"odd\xff": "1",
}
NEW: Tree = {
    "same": "1",
    "changed": "2",
    "new/deep/er": "1",
    "becomes-folder/x/y": "1",
    "becomes-file": "1",
    "run": Program("1"),
    "link": "1",
    b"odd\xff": "2",
}


def staged(checkout: Checkout, old: Tree, new: Tree) -> Manifest:
    """OLD is live, NEW is staged and nothing live was touched."""
    before, then = checkout.commit(old), checkout.commit(new)
    checkout.go(before)
    return stage(checkout, then)


def stage(checkout: Checkout, then: str, identity: str = "7") -> Manifest:
    plan = checkout.plan(then)
    assert plan.problems == ()
    repository = checkout.repository
    head = (checkout.root / ".git/HEAD").read_text()
    part = Part(repository, plan.changes, checkout.target(then), head)
    folder = checkout.root / ".gitdeploy"
    return stage_switch(identity, checkout.root, folder / "stage" / identity, folder / "saved", [part])


def facts(checkout: Checkout) -> dict[str, object]:
    return {
        "files": checkout.files(),
        "HEAD": (checkout.root / ".git/HEAD").read_text(),
        "status": checkout.git("status", "--porcelain=v1", "--untracked-files=no"),
        "index": checkout.git("ls-files", "-s"),
    }


def nothing() -> None:
    """No venv here."""


def test_a_switch_and_its_undo(checkout: Checkout) -> None:
    manifest = staged(checkout, OLD, NEW)
    old = facts(checkout)
    assert switch.position(manifest) == "old"
    switch.get_ready(manifest)
    assert facts(checkout) | {"status": ""} == old | {"status": ""}
    switch.apply(manifest, nothing)
    assert switch.position(manifest) == "new"
    new = facts(checkout)
    assert new["status"] == ""
    assert new["HEAD"] != old["HEAD"]
    assert checkout.git("diff", "HEAD", "--stat") == ""
    assert os.access(checkout.root / "run", os.X_OK)
    assert not (checkout.root / "deleted").exists()
    assert switch_back.undo(manifest, nothing) == []
    assert switch.position(manifest) == "old"
    assert facts(checkout) == old
    assert switch_back.undo(manifest, nothing) == [], "once more changes nothing"
    assert facts(checkout) == old
    switch.clean_up(manifest)
    assert not manifest.stage.exists()
    assert sorted(p.name for p in (checkout.root / ".git").glob("gitdeploy.*")) == []
    assert facts(checkout) == old


def test_what_was_switched_stays_after_the_stage_is_gone(checkout: Checkout) -> None:
    manifest = staged(checkout, OLD, NEW)
    switch.get_ready(manifest)
    switch.apply(manifest, nothing)
    new = facts(checkout)
    switch.clean_up(manifest)
    assert facts(checkout) == new
    assert not list((checkout.root / ".git").glob("*.lock"))


class Died(BaseException):
    """The process ends here."""


def dies_at(number: int) -> Callable[[str], None]:
    left = [number]

    def point(name: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Died(name)

    return point


def test_wherever_it_stops_another_process_puts_the_old_state_back(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the manifest alone, read anew from the stage."""
    manifest = staged(checkout, OLD, NEW)
    then = manifest.controls[0].head.strip()
    old, positions = facts(checkout), set()
    for number in range(1, 200):
        monkeypatch.setattr(faultpoints, "point", dies_at(number))
        try:
            switch.get_ready(manifest)
            switch.apply(manifest, nothing)
            break
        except Died:
            pass
        finally:
            monkeypatch.setattr(faultpoints, "point", lambda name: None)
        later = Manifest.read(manifest.stage)
        assert later == manifest
        positions.add(switch.position(later))
        assert switch_back.undo(later, nothing) == []
        assert facts(checkout) == old, number
        switch.clean_up(later)
        manifest = stage(checkout, then, str(number + 7))
    assert number > 15, "each step of the switch was the last one once"
    assert positions >= {"between", "new"}


def test_what_somebody_writes_between_is_kept_and_told(checkout: Checkout) -> None:
    manifest = staged(checkout, {"a": "1", "b": "1"}, {"a": "2", "b": "2", "c": "2"})
    switch.get_ready(manifest)
    switch.apply(manifest, nothing)
    (checkout.root / "a").unlink()
    (checkout.root / "a").write_text("somebody's")  # another file
    with (checkout.root / "c").open("a") as out:
        out.write("somebody's too")  # the release's own, written in place
    said = switch_back.undo(manifest, nothing)
    assert [line.partition(":")[0].rpartition(";")[0].split(" ")[0] for line in said] == ["c", "a"]
    assert {path.name: path.read_text() for path in manifest.saved.iterdir()} == {
        "a": "somebody's",
        "c": "2somebody's too",
    }
    assert (checkout.root / "a").read_text() == "1"
    assert not (checkout.root / "c").exists()


@pytest.mark.parametrize("act", ["edit", "replace", "delete", "commit", "lock"])
def test_what_changed_since_it_was_staged_stops_it_before_anything_is_touched(
    checkout: Checkout, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "LOCK_WAIT", 0.05)
    manifest = staged(checkout, {"a": "1"}, {"a": "2"})
    place = checkout.root / "a"
    if act == "edit":
        place.write_text("mine")
    elif act == "replace":
        beside = place.with_name("beside")
        beside.write_text("1")
        beside.rename(place)
    elif act == "delete":
        place.unlink()
    elif act == "commit":
        checkout.git("-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x")
    else:
        (checkout.root / ".git/index.lock").touch()
    before = checkout.files()
    with pytest.raises(DeploymentFailed):
        switch.get_ready(manifest)
    assert checkout.files() == before
    assert [lock.name for lock in (checkout.root / ".git").glob("*.lock")] == (["index.lock"] if act == "lock" else [])


def test_a_file_gets_the_mode_of_the_one_that_it_replaces(checkout: Checkout) -> None:
    before, then = checkout.commit({"a": "1", "b": "1"}), checkout.commit({"a": "2", "b": Program("2"), "c": "2"})
    checkout.go(before)
    (checkout.root / "a").chmod(0o640)
    (checkout.root / "b").chmod(0o640)
    manifest = stage(checkout, then)
    switch.get_ready(manifest)
    switch.apply(manifest, nothing)
    modes = {name: oct(stat.S_IMODE((checkout.root / name).stat().st_mode)) for name in "abc"}
    assert modes == {"a": "0o640", "b": "0o750", "c": "0o644"}
    switch_back.undo(manifest, nothing)
    assert {oct(stat.S_IMODE((checkout.root / name).stat().st_mode)) for name in "ab"} == {"0o640"}


def test_a_stage_that_was_copied_with_the_app_is_linked_again_or_refused(checkout: Checkout, tmp_path: Path) -> None:
    staged(checkout, OLD, NEW)
    other = tmp_path / "copy"
    subprocess.run(["cp", "-a", "--no-preserve=links", str(checkout.root), str(other)], check=True)
    there = Manifest.read(other / ".gitdeploy/stage/7")
    assert there is not None
    there = moved(there, other)
    assert relink(there)
    assert switch.position(there) == "old"
    (other / "changed").unlink()
    (other / "changed").write_text("mine")
    assert not relink(there)


def test_a_stage_that_is_thrown_away_leaves_nothing(checkout: Checkout) -> None:
    manifest = staged(checkout, OLD, NEW)
    old = facts(checkout)
    switch.get_ready(manifest)
    switch.release_locks(manifest)
    discard_stage(manifest.stage, [checkout.root / ".git"])
    assert facts(checkout) == old
    assert folder_files(checkout.root / ".gitdeploy") == {b"stage": ("folder",)}
    assert Manifest.read(manifest.stage) is None
    assert not list((checkout.root / ".git").glob("gitdeploy.*"))


# ---- any two trees ----

NAMES = ("a", "b", "a/a", "a/b", "b/a", "a/a/a", "b/b/b", "c")
CONTENTS = st.sampled_from(["1", "2", Program("1"), Link("c"), Link("nowhere")])


@st.composite
def trees(draw: st.DrawFn) -> dict[str, object]:
    """A tree in which nothing is a file and a folder at once."""
    found = draw(st.dictionaries(st.sampled_from(NAMES), CONTENTS, max_size=5))
    return {name: found[name] for name in found if not any(other.startswith(f"{name}/") for other in found)}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=trees(), new=trees())
def test_from_any_tree_to_any_other_and_back(checkout: Checkout, old: Tree, new: Tree) -> None:
    manifest = staged(checkout, old, new)
    before = facts(checkout)
    switch.get_ready(manifest)
    switch.apply(manifest, nothing)
    assert checkout.git("status", "--porcelain", "--untracked-files=all", "--", ":!.gitdeploy") == ""
    assert set(checkout.git("ls-files").split()) == set(new)
    switch_back.undo(manifest, nothing)
    assert facts(checkout) == before
    switch.clean_up(manifest)


# ---- the manifest alone ----


def test_a_manifest_is_read_as_it_was_written_and_follows_a_moved_checkout(tmp_path: Path) -> None:
    root = tmp_path / "app"
    folder = root / ".gitdeploy/stage/9"
    folder.mkdir(parents=True)
    at = os.fsencode(root)
    item = Item(
        "changed", at + b"/\xff", at + b"/.gitdeploy/stage/9/new/\xff", b"/elsewhere/old", at + b"/k", (1, 2), None
    )
    control = Control(root / ".git", root / ".git", root, "t" * 40, "x\n", "y\n", (b"\xfe",), "index-0", (1, 2, 3))
    directory = Directory(at + b"/d", 0o2775, 3, 4, (("user.x", b"\0\xff"),))
    manifest = Manifest("9", root, folder, root / "saved", (item,), (at + b"/new",), (directory,), (control,))
    manifest.write()
    assert Manifest.read(folder) == manifest
    there = moved(manifest, tmp_path / "moved")
    assert there.items[0].live == os.fsencode(tmp_path / "moved") + b"/\xff"
    assert there.items[0].old == b"/elsewhere/old"
    assert there.controls[0].source == tmp_path / "moved/.git"
    assert there.stage == tmp_path / "moved/.gitdeploy/stage/9"
    assert moved(there, root) == manifest
    (folder / "switch.json").write_text("{")
    with pytest.raises(DeploymentFailed, match="can't be read"):
        Manifest.read(folder)
