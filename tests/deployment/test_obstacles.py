"""What speaks against a deployment, on a small checkout: each in a sentence, all before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from support.checkouts import Checkout

from gitdeploy.checkout.changes import Problem
from gitdeploy.checkout.local import read_local
from gitdeploy.deployment.plan import obstacles
from gitdeploy.deployment.plan.copies import copies_ahead
from gitdeploy.deployment.plan.target_files import TargetFiles
from gitdeploy.site.site import Site

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"


def site_of(checkout: Checkout, **tree: str) -> Site:
    checkout.go(checkout.commit({"deploy.yaml": SETTINGS, "a": "1", ".gitignore": "/.env\n", **tree}))
    return Site.open(checkout.root)


def said(problems: list[Problem]) -> list[str]:
    return [problem.message for problem in problems]


def nothing(checkout: Checkout) -> None:
    """As it is."""


def put(name: str) -> Callable[[Checkout], None]:
    def act(checkout: Checkout) -> None:
        (checkout.root / ".git" / name).write_text("x\n")

    return act


def held(name: str) -> Callable[[Checkout], None]:
    """A lock that a process has open."""

    def act(checkout: Checkout) -> None:
        os.open(checkout.root / ".git" / name, os.O_CREAT | os.O_WRONLY)  # until the process ends

    return act


def setting(*words: str) -> Callable[[Checkout], None]:
    def act(checkout: Checkout) -> None:
        checkout.git("config", *words)

    return act


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (nothing, None),
        (put("MERGE_HEAD"), "git is in the middle of a merge."),
        (put("CHERRY_PICK_HEAD"), "git is in the middle of a cherry-pick."),
        (held("index.lock"), "Another git is at work: ROOT/.git/index.lock is there."),
        (held("HEAD.lock"), "Another git is at work: ROOT/.git/HEAD.lock is there."),
        (put("index.lock"), None),  # a killed git's, which whatever acts removes
        (put("config.lock"), None),
        (setting("core.sparseCheckout", "true"), None),
        (setting("core.splitIndex", "yes"), None),
        (setting("core.bare", "false"), None),
    ],
)
def test_gits_own_state(checkout: Checkout, act: Callable[[Checkout], None], message: str | None) -> None:
    site = site_of(checkout)
    act(checkout)
    found = said(obstacles.repository_problems(site))
    assert found == ([] if message is None else [message.replace("ROOT", str(checkout.root))])


def test_commits_made_on_the_server_are_named_and_may_be_discarded(checkout: Checkout) -> None:
    first = checkout.commit({"a": "1"}, tag="v1")
    release = checkout.commit({"a": "2"}, after=first, tag="v2")
    checkout.go(first)
    repository = checkout.repository
    assert obstacles.local_commit_problems(repository, read_local(repository), checkout.target(release)) == []
    own = checkout.commit({"a": "mine"}, after=first)
    checkout.go(own)
    (problem,) = obstacles.local_commit_problems(repository, read_local(repository), checkout.target(release))
    assert problem.message == f"1 commit made on this server, which the release doesn't have: {own[:7]} x."
    assert (problem.refused, problem.ways) == (True, ("discard",))
    checkout.git("tag", "kept", own)
    assert obstacles.local_commit_problems(repository, read_local(repository), checkout.target(release)) == []


def test_the_disk_has_room_or_a_sentence_says_how_much_is_missing(checkout: Checkout) -> None:
    site = site_of(checkout)
    assert obstacles.disk_problems(site, 1000, 10) == []
    (full,) = said(obstacles.disk_problems(site, 1 << 60, 10))
    assert full.startswith(f"Too little space on the disk of {checkout.root}")
    assert " free, " in full
    many = said(obstacles.disk_problems(site, 1000, 1 << 50))
    inodes = os.statvfs(checkout.root).f_files  # btrfs has no number of them
    assert [words.startswith("Too few inodes") for words in many] == ([True] if inodes else [])


def test_what_is_kept_and_what_the_release_brings_need_room(checkout: Checkout) -> None:
    site = site_of(checkout, **{"deploy.yaml": SETTINGS + "git: {keep: [own]}\nbackup: {include: [uploads]}\n"})
    then = checkout.commit({"deploy.yaml": SETTINGS, "new": "x" * 50_000})
    empty = obstacles.disk_needed(checkout.whole_plan(then), copies_ahead(site))
    assert 50_000 <= empty < 51_000
    (checkout.root / "own").write_bytes(b"x" * 7_000)
    (checkout.root / "uploads").mkdir()
    (checkout.root / "uploads/a").write_bytes(b"x" * 900)
    assert obstacles.disk_needed(checkout.whole_plan(then), copies_ahead(site)) == empty + 7_900


@pytest.mark.parametrize(
    ("brought", "message"),
    [
        ("APP_VERSION=1\n", None),
        ('A="unclosed\n', "The release brings .env, which can't be read: "),
    ],
)
def test_an_env_file_of_the_release_that_nobody_could_read(
    checkout: Checkout, brought: str, message: str | None
) -> None:
    checkout.go(checkout.commit({"deploy.yaml": SETTINGS}))
    site = Site.open(checkout.root)
    then = checkout.commit({"deploy.yaml": SETTINGS, ".env": brought})
    whole = checkout.whole_plan(then)
    reader = TargetFiles(checkout.repository, checkout.root, checkout.target(then), whole)
    found = said(obstacles.env_problems(site, whole, reader))
    assert len(found) == (message is not None)
    assert all(words.startswith(message or "") for words in found)


def test_a_folder_that_can_not_be_written_to_is_named(checkout: Checkout) -> None:
    site = site_of(checkout, **{"sub/a": "1"})
    whole = checkout.whole_plan(checkout.commit({"sub/a": "2"}))
    assert obstacles.ownership_problems(site, whole) == []
    (checkout.root / "sub").chmod(0o555)
    found = said(obstacles.ownership_problems(site, whole))
    (checkout.root / "sub").chmod(0o755)
    assert len(found) == (0 if os.geteuid() == 0 else 1)
    assert all("sub" in words for words in found)
