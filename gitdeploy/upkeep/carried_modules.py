"""Submodules in an exported backup: a bundle of each, and where it belongs on the server that takes it in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gitdeploy.backups import archive
from gitdeploy.backups.archive import Module, is_inside, refused
from gitdeploy.backups.store import Backup
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.program import LONG
from gitdeploy.errors import DeploymentFailed, GitDeployError, PolicyError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.text import clean, path_text, shell_word

_NEW = "git submodule update --init --recursive"


def bundles(site: Site, backup: Backup, place: Path) -> dict[Module, Path]:
    """A bundle in the folder PLACE of each submodule that BACKUP has the state of. Raises `DeploymentFailed`."""
    found: dict[Module, Path] = {}
    for number, (path, state) in enumerate(sorted(backup.submodules.items())):
        inner = _repository(site, state.source)
        if inner is None:
            raise DeploymentFailed(
                tr("The repository of the submodule {path} is not below .git/modules.", path=path_text(path)),
                tr("Move it there: git submodule absorbgitdirs {path}", path=shell_word(path)),
            )
        if (inner.git_dir / "shallow").exists():
            raise DeploymentFailed(
                tr("The submodule {path} is a shallow clone, so its history can't be exported.", path=path_text(path)),
                tr("Fetch the rest: git -C {path} fetch --unshallow", path=shell_word(path)),
            )
        commit = inner.resolve(backup.ref)
        if commit is None:
            raise DeploymentFailed(
                tr(
                    "What backup {backup} holds of the submodule {path} is gone from its repository.",
                    backup=backup.id,
                    path=path_text(path),
                )
            )
        bundle = place / f"module-{number}.bundle"
        inner.output("bundle", "create", "--quiet", str(bundle), backup.ref, what=tr("git bundle"), timeout=LONG)
        found[Module(path, state.source, archive.module_member(number), commit)] = bundle
    return found


def check(modules: Sequence[Module], backup: Backup) -> None:
    """MODULES, as a file from elsewhere has them, are those of BACKUP's manifest. Raises `DeploymentFailed`."""
    listed = {each.path: each for each in modules}
    if listed.keys() != backup.submodules.keys() or len(listed) != len(modules):
        raise refused(tr("its submodules are not those of its manifest"))
    for path, state in backup.submodules.items():
        each, snapshot = listed[path], state.snapshot
        branch = snapshot.branch is None or snapshot.branch.startswith("refs/heads/")
        if each.source != state.source or not _is_source(each.source) or not is_inside(path) or not branch:
            raise refused(tr("its submodule {path} leads outside of it", path=path_text(path[:200])))


def take_in(site: Site, modules: Sequence[Module], backup: Backup, place: Path) -> None:
    """The objects of MODULES, whose bundles are below PLACE, into the submodules' repositories here. Raises
    `DeploymentFailed`, `PolicyError` for a commit that nobody vouches for."""
    repositories = {each: _repository(site, each.source) for each in modules}
    if missing := [each.path for each, inner in repositories.items() if inner is None]:
        raise DeploymentFailed(
            tr("The backup holds the submodule {path}, which has no repository here.", path=path_text(missing[0])),
            tr("Get the submodules first: {command}", command=_NEW),
        )
    for each, inner in repositories.items():
        assert inner is not None
        snapshot = backup.submodules[each.path].snapshot
        known = inner.resolve(snapshot.head) is not None
        words = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=")
        done = inner.run(*words, str(place / each.file), f"+{backup.ref}:{backup.ref}", timeout=LONG, tied=True)
        if not done.ok:
            raise refused(tr("git refuses its objects: {said}", said=clean(done.error_text, limit=300)))
        whole = False
        with suppress(GitDeployError):
            whole = (
                inner.resolve(backup.ref) == each.commit
                and inner.is_ancestor(snapshot.commit, each.commit)
                and inner.tree_of(snapshot.commit) == snapshot.tree
                and inner.resolve(snapshot.head) == snapshot.head
                and (snapshot.commit == snapshot.head or inner.is_ancestor(snapshot.head, snapshot.commit))
                and inner.facts([snapshot.index_tree])[0] is not None
            )
        if not whole:
            raise refused(
                tr("the git objects of its submodule {path} are not those of its manifest", path=path_text(each.path))
            )
        if not known and site.config.git.verify != "none":
            raise PolicyError(
                tr(
                    "The commit of its submodule {path}, {commit}, is none that this checkout has.",
                    path=path_text(each.path),
                    commit=snapshot.head[:12],
                ),
                tr("Signatures are wanted (git.verify). Fetch its release first: gitdeploy prepare TAG"),
            )


def _is_source(source: str) -> bool:
    return source.startswith("modules/") and is_inside(source)


def _repository(site: Site, source: str) -> Repository | None:
    """The git folder SOURCE, below the checkout's own."""
    if not _is_source(source):
        return None
    place = site.repository.git_dir / source
    links = any(each.is_symlink() for each in (place, *place.parents) if each.is_relative_to(site.repository.git_dir))
    return Repository(place, place, place) if (place / "HEAD").is_file() and not links else None
