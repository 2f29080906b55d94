"""A checkout of root's own, looked at before root follows anything in it: only root may be able to change what root runs.

Every folder that leads there, the repository with its settings and hooks, deploy.yaml, the env file, hooks, the state
directory, the venv with its interpreter. Of a venv the top is looked at each time, the rest before a deployment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from gitdeploy.checkout.git import Repository
from gitdeploy.config import Config
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.state import NAME
from gitdeploy.system.ourselves import user_word
from gitdeploy.system.trusted import Weak, weak, weak_below
from gitdeploy.text import path_text, shell_word

_WHOLE = 40  # folders deep


def refuse_unsafe(root: Path, named: Path | None = None) -> None:
    """Raise `DeploymentFailed` where others than root can change what of the checkout ROOT counts before its configuration
    (NAMED, or its deploy.yaml) is read."""
    _refuse(root, weak(root))
    repository = Repository.open(root)
    for folder in _repositories(repository):
        _refuse(root, weak_below(folder))
        for name in ("info", "hooks", "refs"):
            _refuse(root, weak_below(folder / name))
        for name in ("objects/info", "objects/pack"):
            _refuse(root, weak(folder / name))
        for file in _included(folder):
            _refuse(root, weak(file))
    for place in (root / "deploy.yaml", *([named] if named else [])):
        _refuse(root, weak(place))
    _refuse(root, weak_below(root / NAME))


def narrow_umask() -> None:
    """What root makes from now on only root may write to, whatever umask it came with: else it could be refused next time."""
    os.umask(os.umask(0o022) | 0o022)


def refuse_unsafe_parts(root: Path, config: Config) -> None:
    """The same of what the configuration names: the env file, hooks, the venv."""
    if config.env_file:
        _refuse(root, weak(root / config.env_file), secret=True)
    if config.hooks.dir is not None:
        _refuse(root, weak_below(root / config.hooks.dir, depth=_WHOLE))
    if config.venv.path is not None:
        for bad in _weak_in_venv(root / config.venv.path):
            _refuse(root, bad)


def refuse_unsafe_venv(root: Path, config: Config) -> None:
    """The same of every program and library in the venv: any package's code may run as root in a deployment."""
    if config.venv.path is not None:
        for name in ("bin", "lib", "lib64"):
            _refuse(root, weak_below(root / config.venv.path / name, depth=_WHOLE))


def _repositories(repository: Repository) -> Iterator[Path]:
    """The folders of git's own files: of the checkout, and of its submodules."""
    yield from {repository.git_dir, repository.common_dir}
    waiting = [repository.common_dir / "modules"]
    while waiting:
        folder = waiting.pop()
        if not folder.is_dir():
            continue
        if (folder / "HEAD").exists():
            yield folder
            waiting.append(folder / "modules")
        else:
            waiting += [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]


def _included(folder: Path) -> Iterator[Path]:
    """The files that git's settings in FOLDER include, on any condition."""
    for name in ("config", "config.worktree"):
        try:
            text = (folder / name).read_text("utf-8", "surrogateescape")
        except OSError:
            continue
        for section in re.findall(r"^[ \t]*\[include(?:if[^\]]*)?\]([^\[]*)", text, re.IGNORECASE | re.MULTILINE):
            for path in re.findall(
                r"^[ \t]*path[ \t]*=[ \t]*\"?([^\"\n]+?)\"?[ \t]*$", section, re.IGNORECASE | re.MULTILINE
            ):
                yield folder / os.path.expanduser(path)


def _weak_in_venv(venv: Path) -> Iterator[Weak | None]:
    yield weak(venv / "pyvenv.cfg")
    yield weak_below(venv / "bin")
    for name in ("lib", "lib64"):
        if (venv / name).is_symlink() or not (venv / name).is_dir():
            continue
        yield weak_below(venv / name)
        for library in (venv / name).iterdir():
            yield weak_below(library)
            yield weak_below(library / "site-packages")


def _refuse(root: Path, found: Weak | None, *, secret: bool = False) -> None:
    if found is None:
        return
    shown = path_text(str(root))
    inside = os.path.relpath(found.path, os.path.realpath(root))
    outside = inside.split("/")[0] == ".."
    if inside == ".":
        what = "it"
    elif outside:
        what = path_text(found.path)
    else:
        what = tr("its {inside}", inside=path_text(inside))
    by = tr("is {who}'s", who=found.who) if found.uid != 0 else tr("can be written to by {who}", who=found.who)
    raise DeploymentFailed(
        tr(
            "The checkout {shown} is root's, but {what} {by} (mode {mode}): root follows nothing "
            "that others can change.",
            shown=shown,
            what=what,
            by=by,
            mode=f"{found.mode:04o}",
        ),
        _hint(root, found, "" if outside else inside, secret=secret),
    )


def _hint(root: Path, found: Weak, inside: str, *, secret: bool) -> str:
    """INSIDE: its path in the checkout; empty where it is outside."""
    place = shell_word(found.path)
    tree = inside not in ("", ".") and os.path.isdir(found.path)
    if found.uid == 0:
        if found.gid == 0 and not found.mode & 0o002:
            return tr("Take away its access control list: setfacl -b {place} && chmod go-w {place}", place=place)
        return tr("Look at what is there, then: chmod {tree}go-w {place}", tree="-R " if tree else "", place=place)
    everything = tr(
        "Give all of it to one of them: chown -R {user_word} {root}",
        user_word=user_word(found.uid),
        root=shell_word(str(root)),
    )
    if not inside:
        return everything
    if secret:
        return tr(
            "{everything}\nOr give it to root: chown root:{gid} {place} && chmod u=rw,g=r,o= {place}",
            everything=everything,
            gid=found.gid,
            place=place,
        )
    recursive = "-R " if tree else ""
    return tr(
        "{everything}\nOr look at what is there, then give it to root: chown -h {recursive}root "
        "{place} && chmod {recursive}go-w {place}",
        everything=everything,
        recursive=recursive,
        place=place,
    )
