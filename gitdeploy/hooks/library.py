"""The hook library: ready scripts, listed and copied into an app's hooks folder.

A script's header says where it belongs: its second line what it does, each line `# Stage: migrate 50` a stage and the
number that it gets there. The scripts are shipped in the wheel as `gitdeploy/_hooks`; in a source tree (an editable
installation) they are the folder `hooks` beside the package.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gitdeploy.errors import GitDeployError, UsageError
from gitdeploy.messages import joined, tr
from gitdeploy.text import clean, listing, nearest, path_text

_STAGE = re.compile(r"# Stage:\s+([a-z-]+) (\d\d)")
_HEADER_LINES = 40
_MODE = 0o755


class ReadyHook(Struct, frozen=True):
    """A script of the library. `stages` are (stage, number) where it belongs, `about` a sentence."""

    name: str
    about: str
    stages: tuple[tuple[str, str], ...]
    path: Path


def library() -> tuple[ReadyHook, ...]:
    """Every ready hook, by name. Raises `GitDeployError` where the installation lacks them."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_hooks", package.parent / "hooks"):
        if (folder / "README.md").is_file():
            return tuple(
                _described(path)
                for path in sorted(folder.iterdir())
                if path.is_file() and re.fullmatch(r"[a-z-]+", path.name)
            )
    raise GitDeployError(
        tr("This installation of gitdeploy has no hook library."),
        tr("Install it anew, from where `gitdeploy self` says it came."),
    )


def _described(path: Path) -> ReadyHook:
    lines = path.read_text(encoding="utf-8").splitlines()[:_HEADER_LINES]
    stages = tuple((found[1], found[2]) for line in lines if (found := _STAGE.fullmatch(line)))
    return ReadyHook(path.name, lines[1].removeprefix("# "), stages, path)


def find(name: str) -> ReadyHook:
    """The ready hook NAME. Raises `UsageError` with the nearest names."""
    hooks = {hook.name: hook for hook in library()}
    if name in hooks:
        return hooks[name]
    near = nearest(name, hooks, 2)
    raise UsageError(
        tr("The hook library has no `{name}`.", name=clean(name, limit=60)),
        tr("Did you mean {near}?", near=joined(" or ", near))
        if near
        else tr("See what there is: gitdeploy hooks library"),
    )


def install(root: Path, folder: str, hook: ReadyHook, *, stage: str | None = None, force: bool = False) -> list[str]:
    """Copy HOOK to FOLDER/<stage>.d/NN-name below the checkout ROOT, for STAGE or each stage where it belongs.

    Mode 0755; owned by the checkout's owner where root does it. Returns the paths relative to ROOT. Nothing is written
    where one of them is there already, unless FORCE. No symbolic link on the way is followed.
    Raises `UsageError` for a file that is there, `GitDeployError` where it can't be written.
    """
    numbers = dict(hook.stages)
    stages = [stage] if stage is not None else list(numbers)
    places = [(f"{folder}/{name}.d", f"{numbers.get(name, '50')}-{hook.name}") for name in stages]
    there = [f"{parent}/{name}" for parent, name in places if os.path.lexists(root / parent / name)]
    if there and not force:
        raise UsageError(
            tr(
                "{there} is there already; nothing was written."
                if len(there) == 1
                else "{there} are there already; nothing was written.",
                there=listing([path_text(path) for path in there]),
            ),
            tr("To replace what is there, changes of yours included: --force"),
        )
    content = hook.path.read_bytes()
    for parent, name in places:
        try:
            with _folder(root, parent) as descriptor:
                _write(descriptor, name, content, root.stat())
        except OSError as error:
            raise GitDeployError(
                tr(
                    "{parent}/{name} can't be written: {strerror}.",
                    parent=path_text(parent),
                    name=name,
                    strerror=error.strerror,
                ),
                tr(
                    "{folder} and what is in it must be folders of the checkout's owner, not links.",
                    folder=path_text(folder),
                ),
            ) from error
    return [f"{parent}/{name}" for parent, name in places]


@contextmanager
def _folder(root: Path, relative: str) -> Iterator[int]:
    """A descriptor of a folder below ROOT; what is missing of it is made, links are refused (ELOOP, ENOTDIR)."""
    owner = root.stat()
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in Path(relative).parts:
            try:
                os.mkdir(part, 0o755, dir_fd=descriptor)
                made = True
            except FileExistsError:
                made = False
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            if made and os.geteuid() == 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        yield descriptor
    finally:
        os.close(descriptor)


def _write(folder: int, name: str, content: bytes, owner: os.stat_result) -> None:
    temporary = f".{name}.{secrets.token_hex(4)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(file.fileno(), _MODE)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
