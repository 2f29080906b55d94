"""Submodules: switched with the checkout, file for file, each from its own repository.

Where their objects come from is decided by this server, never widened by a release: the URL that `git submodule init`
has put into the checkout's own configuration, or, for a submodule that a release brings, a URL on the same host as the
checkout's remote.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from gitdeploy.checkout.changes import FileChange, Policy, Problem, Target, TreePlan, list_tree, look, plan_tree
from gitdeploy.checkout.git import Repository, initialise
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.local import git_mode, read_local
from gitdeploy.checkout.remote import fetch_commit, remote_url
from gitdeploy.errors import GitDeployError
from gitdeploy.regex import regex
from gitdeploy.text import path_text, redact

_NAME = regex(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
Planned = tuple[bytes, Repository, Target, TreePlan, str, bool, bool]


def plan_submodules(
    repository: Repository,
    entries: Sequence[tuple[bytes, str, str]],
    tree: str,
    policy: Policy,
    recorded: Mapping[bytes, Target],
) -> tuple[list[Planned], list[Problem]]:
    """What happens to each submodule of ENTRIES (path, commit now, commit then; "" for none).

    TREE is the superproject's target, RECORDED the exact states of a backup. A missing commit is fetched. Returns
    (path, repository, goal, files, present HEAD file, newly created, whether index and HEAD are switched) for each.
    """
    planned: list[Planned] = []
    problems: list[Problem] = []
    for path, old, new in entries:
        try:
            part = _plan_one(repository, path, old, new, tree, policy, recorded.get(path))
        except GitDeployError as error:
            problems.append(Problem(f"Submodule {path_text(path)}: {error.message}", error.hint))
            continue
        if part is not None:
            planned.append(part)
            problems += [
                Problem(f"In submodule {path_text(path)}: {p.message}", p.hint, p.refused) for p in part[3].problems
            ]
            if part[3].submodules:
                problems.append(
                    Problem(f"Submodule {path_text(path)} has submodules of its own, which gitdeploy doesn't switch.")
                )
    return planned, problems


def _plan_one(
    repository: Repository, path: bytes, old: str, new: str, tree: str, policy: Policy, recorded: Target | None
) -> Planned | None:
    place = repository.root / os.fsdecode(path)
    initialised = os.path.lexists(place / ".git")
    if not initialised:
        if old or not new:
            return None  # never initialised here: an empty folder before and after, as git leaves it
        return _bring(repository, path, new, tree)
    inner = Repository.open(place, repository.lfs)
    head = (inner.git_dir / "HEAD").read_text()
    if not new:
        return _take_away(inner, path, head, policy)
    if inner.resolve(new) is None:
        _fetch(repository, inner, path, new, tree)
    goal = recorded or Target(new, inner.tree_of(new), inner.tree_of(new))
    local = read_local(inner)
    plan = plan_tree(inner, local, goal, keep=KeepPaths(()), policy=policy)
    if not plan.changes and not plan.problems and local.head == goal.commit:
        return None
    return (path, inner, goal, plan, head, False, True)


def _take_away(inner: Repository, path: bytes, head: str, policy: Policy) -> Planned:
    """The release has it no more: its tracked files and its `.git` file go, its repository stays below .git/modules."""
    local = read_local(inner)
    empty = inner.output("hash-object", "-w", "-t", "tree", "--stdin", stdin=b"").decode().strip()
    goal = Target(local.head, empty, empty)
    plan = plan_tree(inner, local, goal, keep=KeepPaths(()), policy=policy, keep_dropped=False)
    gitfile = os.fsencode(inner.root) + b"/.git"
    if git_mode(gitfile) == 0o40000:
        raise GitDeployError(
            "the release removes it, but its repository is inside it.",
            f"Move it below .git/modules first: git submodule absorbgitdirs {path_text(path)}",
        )
    changes = (*plan.changes, FileChange(b".git", "deleted", seen=look(gitfile)))
    return (path, inner, goal, _with_changes(plan, changes), head, False, False)


def _bring(repository: Repository, path: bytes, commit: str, tree: str) -> Planned:
    """A submodule that isn't here yet: its repository is made below .git/modules, its files are all added."""
    name, url = _declared(repository, path, tree)
    source = repository.common_dir / "modules" / name
    place = repository.root / os.fsdecode(path)
    if not source.is_dir():
        source.parent.mkdir(parents=True, exist_ok=True)
        initialise(source, sha256=len(commit) == 64)
        work_tree = os.path.relpath(place, source)
        for setting, value in (("core.bare", "false"), ("core.worktree", work_tree), ("remote.origin.url", url)):
            repository.output("config", "--file", str(source / "config"), setting, value, tied=True)
        repository.output("config", f"submodule.{name}.url", url, tied=True)
    bare = Repository(source, source, source, repository.lfs)
    if bare.resolve(commit) is None:
        fetch_commit(bare, url, commit)
    goal = Target(commit, bare.tree_of(commit), bare.tree_of(commit))
    changes = [
        FileChange(inner_path, "added", mode, oid)
        for inner_path, (mode, oid) in sorted(list_tree(bare, goal.tree).items())
        if mode != 0o160000
    ]
    gitfile = f"gitdir: {os.path.relpath(source, place)}\n".encode()
    changes.append(FileChange(b".git", "added", 0o100644, content=gitfile))
    in_way = [c.path for c in changes if git_mode(os.fsencode(place) + b"/" + c.path) not in (0, 0o40000)]
    problems = (
        (Problem(f"{path_text(in_way[0])} of yours is in its way.", "Move it away first.", refused=True),)
        if in_way
        else ()
    )
    plan = TreePlan(tuple(changes), problems, (), (), (), (), ())
    return (path, bare, goal, plan, "", True, True)


def _with_changes(plan: TreePlan, changes: tuple[FileChange, ...]) -> TreePlan:
    return TreePlan(changes, plan.problems, plan.saved, plan.kept, plan.kept_data, plan.merged, plan.submodules)


def _fetch(repository: Repository, inner: Repository, path: bytes, commit: str, tree: str) -> None:
    url = remote_url(inner, "origin")
    if url is None:
        _, url = _declared(repository, path, tree)
    fetch_commit(inner, url, commit)


def _declared(repository: Repository, path: bytes, tree: str) -> tuple[str, str]:
    """Name and URL of the submodule at PATH: this server's configuration first, then the release's .gitmodules."""
    text = repository.read_many(tree, [".gitmodules"]).get(".gitmodules", b"")
    done = repository.run("config", "-z", "--file", "-", "--get-regexp", r"^submodule\.", stdin=text)
    facts: dict[str, dict[str, str]] = {}
    for entry in done.stdout.decode("utf-8", "replace").split("\0"):
        key, _, value = entry.partition("\n")
        name, _, what = key.removeprefix("submodule.").rpartition(".")
        facts.setdefault(name, {})[what] = value
    for name, values in facts.items():
        if values.get("path") == os.fsdecode(path):
            if not _NAME.fullmatch(name) or ".." in name:
                raise GitDeployError(f"its name `{path_text(name)}` is not one that gitdeploy accepts.")
            own = repository.config(rf"^submodule\.{re.escape(name)}\.url$")
            if own:
                return name, next(iter(own.values()))[-1]
            return name, _admitted(repository, values.get("url", ""), name)
    raise GitDeployError(".gitmodules of the release doesn't describe it.")


def _admitted(repository: Repository, url: str, name: str) -> str:
    """A URL that a release brings: relative to the remote, or on the remote's own host."""
    origin = remote_url(repository, "origin") or ""
    if url.startswith(("./", "../")):
        scheme, separator, rest = origin.partition("://")
        return (
            f"{scheme}{separator}{os.path.normpath(os.path.join(rest or scheme, url))}"
            if separator
            else os.path.normpath(os.path.join(origin, url))
        )
    here, there = urlsplit(origin), urlsplit(url)
    if there.scheme in ("https", "http", "ssh", "git") and there.hostname and there.hostname == here.hostname:
        return url
    raise GitDeployError(
        f"the release wants it from {redact(path_text(url))}, which is not where this app comes from.",
        f"If you trust it: git config submodule.{path_text(name)}.url {redact(path_text(url))}",
    )


def module_folders(repository: Repository) -> list[Path]:
    """Git folders of the submodules that are below .git/modules."""
    base = repository.common_dir / "modules"
    return [Path(folder) for folder, _, files in os.walk(base) if "HEAD" in files and "config" in files]
