"""A snapshot holds what is on disk, byte for byte, and says the way back to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.checkouts import Checkout
from support.sample import Link, Program

from gitdeploy.checkout.local import operation_under_way, read_local
from gitdeploy.checkout.snapshot import Snapshot, take_snapshot
from gitdeploy.errors import DeploymentFailed

RULES = {".gitattributes": "*.txt text eol=crlf\n", "a.txt": "1\n", "run": "1", "gone": "1"}


def snapshot(checkout: Checkout, *also: bytes) -> Snapshot:
    repository = checkout.repository
    return take_snapshot(repository, read_local(repository), also, "A backup\n")


def test_where_nothing_differs_it_is_heads_own_commit(checkout: Checkout) -> None:
    live = checkout.commit(RULES)
    checkout.go(live)
    found = snapshot(checkout)
    assert found.commit == found.head == live
    assert found.target() == checkout.target(live)


def test_it_has_the_bytes_modes_and_links_that_are_on_disk(checkout: Checkout) -> None:
    live = checkout.commit({**RULES, "link": Link("a"), "sub/was": "1"})
    checkout.go(live)
    (checkout.root / "a.txt").write_bytes(b"mixed\r\nline\nends\r")
    (checkout.root / "run").chmod(0o755)
    (checkout.root / "gone").unlink()
    checkout.write({"link": "a file now", "new\nline": "u", "own": "untracked", "other": "untracked"})
    index = (checkout.root / ".git/index").read_bytes()
    found = snapshot(checkout, b"own", b"new\nline", b"nowhere")
    show = {name: checkout.repository.read_blob(found.commit, name) for name in ("a.txt", "link", "own")}
    assert show == {"a.txt": b"mixed\r\nline\nends\r", "link": b"a file now", "own": b"untracked"}
    assert checkout.git("cat-file", "blob", f"{found.commit}:new\nline") == "u"
    listed = checkout.git("ls-tree", "-r", "-z", found.commit).split("\0")
    modes = {line.partition("\t")[2]: line.split(" ")[0] for line in listed if line}
    assert modes["run"] == "100755"
    assert "gone" not in modes
    assert "other" not in modes
    assert found.untracked == (b"own", b"new\nline")
    assert set(found.exact) == {b"a.txt", b"link", b"new\nline", b"own", b"run"}
    assert (checkout.root / ".git/index").read_bytes() == index, "the live index is not written"
    assert checkout.git("log", "-1", "--format=%P %s", found.commit) == f"{live} A backup"


def test_what_was_staged_is_kept_apart_from_what_is_on_disk(checkout: Checkout) -> None:
    live = checkout.commit({"a": "1"})
    checkout.go(live)
    checkout.write({"a": "staged"})
    checkout.git("add", "a")
    checkout.write({"a": "on disk"})
    found = snapshot(checkout)
    assert checkout.repository.read_blob(found.tree, "a") == b"on disk"
    assert checkout.repository.read_blob(found.index_tree, "a") == b"staged"
    assert len(checkout.git("log", "-1", "--format=%P", found.commit).split()) == 2


def test_a_file_hidden_from_git_is_in_it_and_stays_hidden(checkout: Checkout) -> None:
    checkout.go(checkout.commit({"a": "1", "b": "1"}))
    checkout.git("update-index", "--skip-worktree", "a")
    checkout.git("update-index", "--assume-unchanged", "b")
    checkout.write({"a": "mine"})
    found = snapshot(checkout)
    assert found.hidden == (b"a", b"b")
    assert checkout.repository.read_blob(found.tree, "a") == b"mine"
    assert found.target().hidden == (b"a", b"b")


def test_the_branch_is_remembered(checkout: Checkout) -> None:
    checkout.go(checkout.commit({"a": "1"}))
    assert snapshot(checkout).branch is None
    checkout.git("checkout", "-q", "-b", "feature/名")
    assert snapshot(checkout).branch == "refs/heads/feature/名"


# ---- what the checkout looks like ----


def test_a_local_change_says_what_head_the_index_and_the_disk_have(checkout: Checkout) -> None:
    checkout.go(checkout.commit({"edited": "1", "mode": "1", "removed": "1", "typed": "1"}))
    checkout.write({"edited": "2", "mode": Program("1"), "typed": Link("x"), "added": "1"})
    checkout.git("rm", "-q", "--cached", "removed")
    checkout.git("add", "added")
    found = {name.decode(): change for name, change in read_local(checkout.repository).changed().items()}
    modes = {name: (oct(c.head_mode), oct(c.index_mode), oct(c.disk_mode)) for name, c in found.items()}
    assert modes == {
        "edited": ("0o100644", "0o100644", "0o100644"),
        "mode": ("0o100644", "0o100644", "0o100755"),
        "removed": ("0o100644", "0o0", "0o0"),
        "typed": ("0o100644", "0o100644", "0o120000"),
        "added": ("0o0", "0o100644", "0o100644"),
    }
    assert {name for name, change in found.items() if change.staged} == {"removed", "added"}


def _merge(checkout: Checkout) -> None:
    (checkout.root / ".git/MERGE_HEAD").write_text("x")


def _rebase(checkout: Checkout) -> None:
    (checkout.root / ".git/rebase-merge").mkdir()


def _bisect(checkout: Checkout) -> None:
    (checkout.root / ".git/BISECT_LOG").write_text("x")


@pytest.mark.parametrize(
    ("begin", "word"), [(_merge, "merge"), (_rebase, "rebase"), (_bisect, "bisect"), (lambda checkout: None, None)]
)
def test_what_git_is_in_the_middle_of(checkout: Checkout, begin: Callable[[Checkout], None], word: str | None) -> None:
    begin(checkout)
    assert operation_under_way(checkout.repository) == word


def test_conflicts_and_a_checkout_without_a_commit_are_errors_in_words(checkout: Checkout) -> None:
    with pytest.raises(DeploymentFailed, match="has no commit yet"):
        read_local(checkout.repository)
    one, two = checkout.commit({"a": "1"}), checkout.commit({"a": "2"})
    checkout.go(one)
    checkout.git("read-tree", "-m", checkout.git("mktree", stdin=b""), one, two)
    with pytest.raises(DeploymentFailed, match="A merge is not finished: a has conflicts"):
        read_local(checkout.repository)
