"""The planner on plain trees: what it would change, what stays, and what speaks against it. Nothing is touched."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest
import yaml
from support.checkouts import Checkout
from support.sample import Link, Program, Tree

from gitdeploy.checkout.changes import TreePlan
from gitdeploy.checkout.keep import KeepPaths, keep_line

TEXT = "".join(f"line {number}\n" for number in range(12))


@dataclass(frozen=True)
class Case:
    """From `live` with `local` written over it (None: deleted) to `then`; what the plan says."""

    name: str
    live: Tree
    then: Tree
    local: Tree = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    policy: str = "refuse"
    keep: tuple[str, ...] = ()
    keep_dropped: bool = True
    changes: dict[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    kept_data: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()


CASES = [
    Case("nothing differs", {"a": "1"}, {"a": "1"}),
    Case("added, changed, deleted", {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d/e": "1"},
         changes={"b": "changed", "c": "deleted", "d/e": "added"}),
    Case("only the executable bit", {"run": "1"}, {"run": Program("1")}, changes={"run": "changed"}),
    Case("a file becomes a link and a link a file", {"a": "1", "b": Link("a")}, {"a": Link("x"), "b": "1"},
         changes={"a": "changed", "b": "changed"}),
    Case("a file becomes a folder", {"a": "1"}, {"a/b": "1"}, changes={"a": "deleted", "a/b": "added"}),
    Case("a folder becomes a file", {"a/b": "1"}, {"a": "1"}, changes={"a": "added", "a/b": "deleted"}),
    Case("an edit, refused", {"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"a": "mine", "b": "mine"},
         says=("2 tracked files changed locally: a, b.",)),
    Case("an edit, discarded", {"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"a": "mine", "b": "mine"}, policy="discard",
         changes={"a": "changed", "b": "changed"}, saved=("a", "b")),
    Case("an edit of what the release leaves alone, merged", {"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"b": "mine"},
         policy="merge", changes={"a": "changed"}),
    Case("edits at both ends of a file, merged", {"a": TEXT}, {"a": TEXT + "theirs\n"}, {"a": "mine\n" + TEXT},
         policy="merge", changes={"a": "changed"}, saved=("a",), merged=("a",)),
    Case("edits of one line, merged", {"a": "1\n"}, {"a": "theirs\n"}, {"a": "mine\n"}, policy="merge",
         says=("Local changes conflict with the release's in a.",)),
    Case("an edit that the release has too, merged", {"a": "1"}, {"a": "2"}, {"a": "2"}, policy="merge"),
    Case("an executable edit of a deleted file, merged", {"a": "1"}, {}, {"a": Program("mine")}, policy="merge",
         says=("conflict",)),
    Case("deleted here, changed there, merged", {"a": "1"}, {"a": "2"}, gone=("a",), policy="merge", says=("conflict",)),
    Case("deleted on both sides, merged", {"a": "1"}, {}, gone=("a",), policy="merge"),
    Case("deleted here, discarded", {"a": "1", "b": "1"}, {"a": "2", "b": "1"}, gone=("a", "b"), policy="discard",
         changes={"a": "added", "b": "added"}, saved=("a", "b")),
    Case("deleted here, refused", {"a": "1"}, {"a": "1"}, gone=("a",), says=("1 tracked file changed locally: a.",)),
    Case("untracked in its way", {}, {"a": "1"}, {"a": "mine"},
         says=("1 untracked or ignored file of yours, which the release would overwrite: a.",)),
    Case("ignored in its way", {".gitignore": "a\n"}, {".gitignore": "a\n", "a": "1"}, {"a": "mine"},
         says=("which the release would overwrite: a.",)),
    Case("untracked in its way, merge can't", {}, {"a": "1"}, {"a": "mine"}, policy="merge",
         says=("which the release would overwrite: a.",)),
    Case("untracked in its way, discarded", {}, {"a": "1"}, {"a": "mine"}, policy="discard", changes={"a": "changed"},
         saved=("a",)),
    Case("untracked, and the very same", {}, {"a": "1"}, {"a": "1"}),
    Case("a keep path that the release changes", {"a": "1"}, {"a": "2"}, keep=("a",), kept=("a",)),
    Case("a keep path that was edited and is deleted", {"a": "1"}, {}, {"a": "mine"}, keep=("a",), kept=("a",)),
    Case("a keep path that only the release has", {}, {"a": "1"}, keep=("a",), changes={"a": "added"}),
    Case("a folder and a glob that are kept", {"a/b": "1", "c.ini": "1", "d": "1"}, {"a/b": "2", "c.ini": "2", "d": "2"},
         {"a/b": "mine"}, keep=("a/", "*.ini"), changes={"d": "changed"}, kept=("a/b", "c.ini")),
    Case("no longer tracked but ignored", {"a.db": "1", "b": "1"}, {".gitignore": "*.db\n"},
         changes={".gitignore": "added", "b": "deleted"}, kept_data=("a.db",)),
    Case("on the way back, ignored and unedited", {"a.db": "1"}, {".gitignore": "*.db\n"}, keep_dropped=False,
         changes={".gitignore": "added", "a.db": "deleted"}),
    Case("on the way back, ignored and edited", {"a.db": "1"}, {".gitignore": "*.db\n"}, {"a.db": "mine"},
         keep_dropped=False, policy="discard", changes={".gitignore": "added"}, kept_data=("a.db",)),
    Case("ignored by a rule in its own folder", {"d/a": "1"}, {"d/.gitignore": "a\n"}, changes={"d/.gitignore": "added"},
         kept_data=("d/a",)),
    Case("what belongs to the server", {}, {".gitdeploy/x": "1", "venv/x": "1", "venv2": "1"},
         changes={".gitdeploy/x": "added", "venv/x": "added", "venv2": "added"},
         says=("`.gitdeploy/x`, which belongs to this server", "`venv/x`, which belongs to this server")),
    Case("a folder that becomes a link out of the checkout", {"up/a": "1"}, {"up": Link("../../etc")},
         changes={"up": "added", "up/a": "deleted"}, says=("a link to ../../etc, outside the checkout",)),
    Case("a folder that becomes a link within", {"up/a": "1", "b/c": "1"}, {"up": Link("b"), "b/c": "1"},
         changes={"up": "added", "up/a": "deleted"}),
    Case("a link of the user's where the release has a folder", {}, {"a/b": "1"}, {"a": Link("/tmp")},
         changes={"a/b": "added"}, says=("A symbolic link stands where the release has a folder: a.",)),
    Case("a file of the user's where the release has a folder", {}, {"a/b": "1"}, {"a": "mine"}, changes={"a/b": "added"},
         says=("1 path of yours stand where the release has a file or folder: a.",)),
    Case("a folder of the user's where the release has a file", {}, {"a": "1"}, {"a/mine": "1"}, changes={"a": "added"},
         says=("stand where the release has a file or folder: a/mine.",)),
    Case("an untracked file beside those of a folder that becomes a file", {"a/b": "1"}, {"a": "1"}, {"a/mine": "1"},
         changes={"a": "added", "a/b": "deleted"}, says=("a/mine",)),
    Case("bytecode beside a deleted module", {"a/b.py": "1"}, {}, {"a/__pycache__/b.pyc": "1"},
         changes={"a/b.py": "deleted"}),
    Case("a link of the user's in place of a tracked file, discarded", {"a": "1"}, {"a": "2"}, {"a": Link("/etc/passwd")},
         policy="discard", changes={"a": "changed"}, saved=("a",)),
    Case("a link of the user's in place of a tracked file, merged", {"a": "1"}, {"a": "2"}, {"a": Link("/etc/passwd")},
         policy="merge", says=("conflict",)),
]  # fmt: skip


def shown(plan: TreePlan) -> dict[str, str]:
    return {os.fsdecode(change.path): change.kind for change in plan.changes}


def names(paths: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(os.fsdecode(path) for path in paths)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_says_what_would_change_and_what_stays(checkout: Checkout, case: Case) -> None:
    live, then = checkout.commit(case.live), checkout.commit(case.then)
    checkout.go(live)
    checkout.write(case.local)
    for name in case.gone:
        (checkout.root / name).unlink()
    before = checkout.files()
    plan = checkout.plan(then, case.policy, case.keep, keep_dropped=case.keep_dropped)  # type: ignore[arg-type]
    said = [problem.message for problem in plan.problems]
    assert len(said) == len(case.says), said
    assert all(any(words in message for message in said) for words in case.says), said
    if not case.says or case.changes:
        assert shown(plan) == case.changes
    assert names(plan.saved) == case.saved
    assert names(plan.kept) == case.kept
    assert names(plan.kept_data) == case.kept_data
    assert names(plan.merged) == case.merged
    assert checkout.files() == before, "nothing is touched by looking"


def test_a_merge_has_both_edits_and_the_mode_of_the_release(checkout: Checkout) -> None:
    live, then = checkout.commit({"a": TEXT}), checkout.commit({"a": Program(TEXT + "theirs\n")})
    checkout.go(live)
    checkout.write({"a": "mine\n" + TEXT})
    (change,) = checkout.plan(then, "merge").changes
    assert change.content == f"mine\n{TEXT}theirs\n".encode()
    assert change.mode == 0o100755


def test_an_edit_that_git_was_told_to_overlook_is_seen(checkout: Checkout) -> None:
    live, then = checkout.commit({"a": "1", "b": "1"}), checkout.commit({"a": "2", "b": "2"})
    checkout.go(live)
    checkout.git("update-index", "--assume-unchanged", "a")
    checkout.git("update-index", "--skip-worktree", "b")
    checkout.write({"a": "mine", "b": "mine"})
    (problem,) = checkout.plan(then).problems
    assert "2 tracked files changed locally: a, b." in problem.message
    assert problem.ways == ("merge", "discard")


def test_an_edit_that_the_cached_file_times_hide_is_seen(checkout: Checkout) -> None:
    live, then = checkout.commit({"a": "old!"}), checkout.commit({"a": "then"})
    checkout.go(live)
    place = checkout.root / "a"
    times = place.stat()
    checkout.git("update-index", "--refresh")
    index = checkout.root / ".git/index"
    place.write_text("mine")
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    later = times.st_mtime_ns + 10**10  # git looks again at what is as young as its index
    os.utime(index, ns=(later, later))
    checkout.git("config", "core.checkStat", "minimal")
    checkout.git("config", "core.trustctime", "false")
    assert checkout.git("status", "--porcelain") == ""
    assert "changed locally: a." in checkout.plan(then).problems[0].message


def test_line_ends_that_git_converts_are_no_edit(checkout: Checkout) -> None:
    rules = {".gitattributes": "*.txt text eol=crlf\n"}
    live, then = checkout.commit({**rules, "a.txt": "1\n"}), checkout.commit({**rules, "a.txt": "2\n"})
    checkout.go(live)
    assert (checkout.root / "a.txt").read_bytes() == b"1\r\n"
    plan = checkout.plan(then)
    assert plan.problems == ()
    assert shown(plan) == {"a.txt": "changed"}


def test_names_that_are_hard_to_say(checkout: Checkout) -> None:
    odd: dict[str | bytes, str] = {b"\xff": "1", "new\nline": "1", "-option": "1", ' "quoted"': "1", "文/件": "1"}
    live, then = checkout.commit(dict(odd)), checkout.commit(dict.fromkeys(odd, "2"))
    checkout.go(live)
    assert len(checkout.plan(then).changes) == len(odd)
    checkout.write(dict.fromkeys(odd, "mine"))
    (problem,) = checkout.plan(then).problems
    assert problem.message.startswith("5 tracked files changed locally: ")
    assert "\n" not in problem.message


def test_a_file_that_was_staged_and_is_unknown_to_the_release_stays_on_disk(checkout: Checkout) -> None:
    live = checkout.commit({"a": "1"})
    checkout.go(live)
    checkout.write({"new": "mine"})
    checkout.git("add", "new")
    assert "changed locally: new." in checkout.plan(live).problems[0].message
    plan = checkout.plan(live, "discard")
    assert shown(plan) == {}
    assert names(plan.saved) == ("new",)


def test_the_line_that_it_proposes_keeps_what_was_kept_before(checkout: Checkout) -> None:
    live, then = checkout.commit({"a b": "1", ".env": "1"}), checkout.commit({"a b": "2", ".env": "2"})
    checkout.go(live)
    checkout.write({"a b": "mine"})
    (problem,) = checkout.plan(then, keep=(".env",)).problems
    assert 'git: {keep: [.env, "a b"]}' in problem.hint


def test_the_line_keeps_files_of_every_name_and_no_other_ones() -> None:
    odd = [b"2024", b"yes", b"-n", b"a[1].txt", b'say "it"', b"a,b", b"\xff.txt", "数据".encode(), b"plain/file.py"]
    kept = KeepPaths(tuple(yaml.safe_load(keep_line((), odd))["git"]["keep"]))
    assert [path for path in odd if not kept.match(path)] == []
    assert not kept.match(b"a1.txt")
