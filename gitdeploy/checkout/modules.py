"""The repositories of submodules as they are here: where their git folders lie, which have files, what a backup records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from gitdeploy.checkout.changes import SUBMODULE, Target
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.local import Local, read_local
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.messages import tr


class Recorded(Struct, frozen=True):
    """A submodule's state in a backup. `source`: its git folder, relative to the checkout's own ("" where that lies
    elsewhere, or isn't known)."""

    target: Target
    source: str = ""


class Populated(Struct, frozen=True):
    """A submodule that has files here: its place in the checkout, its repository, and the commit that the index above
    has of it."""

    path: bytes
    repository: Repository
    commit: str


def populated(repository: Repository, prefix: bytes = b"") -> Iterator[Populated]:
    """Every submodule with files, outer ones first. One git process for each repository that has any, none where there
    are no submodules."""
    if not (repository.root / ".gitmodules").is_file() and not (repository.git_dir / "modules").is_dir():
        return
    for entry in repository.output("ls-files", "-s", "-z").split(b"\0"):
        if not entry.startswith(b"%o " % SUBMODULE):
            continue
        facts, _, path = entry.partition(b"\t")
        place = repository.root / os.fsdecode(path)
        if not os.path.lexists(place / ".git"):
            continue
        with suppress(GitDeployError):
            inner = Repository.open(place, repository.lfs)
            whole = prefix + b"/" + path if prefix else path
            yield Populated(whole, inner, facts.split(b" ")[1].decode())
            yield from populated(inner, whole)


def local_state(inner: Repository, commit: str, *, clean: bool) -> Local:
    """What is in it. CLEAN: git's status of the checkout saw nothing, so it is at COMMIT without a change."""
    if not clean:
        return read_local(inner)
    return Local(commit, branch_of(inner.git_dir), (), ())


def branch_of(git_dir: Path) -> str | None:
    """The full ref of the branch that HEAD is on; None where it is detached."""
    text = (git_dir / "HEAD").read_text().strip()
    return text[5:] if text.startswith("ref: ") else None


def default_url(repository: Repository, branch: str | None) -> str:
    """The URL, as configured, of the remote that git would ask: the branch's, else origin, else the only one."""
    found = repository.config(r"^(branch\..*\.remote|remote\..*\.url)$")
    urls = {name[7:-4]: values[-1] for name, values in found.items() if name.startswith("remote.")}
    short = (branch or "").removeprefix("refs/heads/")
    name = found.get(f"branch.{short}.remote", ["origin"])[-1]
    return urls.get(name) or (next(iter(urls.values())) if len(urls) == 1 else "")


def configured_url(repository: Repository, remote: str) -> str:
    """The URL of REMOTE as configured, before any `insteadOf`; REMOTE itself where it is one."""
    found = repository.config(r"^remote\..*\.url$")
    return found.get(f"remote.{remote}.url", [remote])[-1]


def refuse_place(source: Path, created: Sequence[Path]) -> None:
    """Raise `DeploymentFailed` where a git folder at SOURCE would lie among the files of another's, or around one: `a/b`
    inside `a`. CREATED: those that come too."""
    inside = [
        other
        for one, other in (*((source, other) for other in created), *((other, source) for other in created))
        if other in one.parents and one.relative_to(other).parts[0] != "modules"
    ]
    above = next((path for path in source.parents if (path / "HEAD").is_file()), None)
    among = above is not None and source.relative_to(above).parts[0] != "modules"
    if inside or among or (source.is_dir() and not (source / "HEAD").is_file()):
        raise DeploymentFailed(
            tr("its repository would lie inside another submodule's: their names are in each other's way."),
            tr("Ask the release's author to rename one of them in .gitmodules."),
        )


def module_folders(repository: Repository) -> list[Path]:
    """Git folders of the submodules that are below .git/modules, at any depth."""
    found: list[Path] = []
    waiting = [folder / "modules" for folder in {repository.git_dir, repository.common_dir}]
    while waiting:
        folder = waiting.pop()
        with suppress(OSError):
            for entry in os.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    path = Path(entry.path)
                    own = (path / "HEAD").is_file() and (path / "config").is_file()
                    found += [path] if own else []
                    waiting.append(path / "modules" if own else path)
    return found
