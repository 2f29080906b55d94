"""Which generation is live: put a symlink in the venv's place, take it away again.

Every act is one rename (or one exchange of two names), so at whatever instant the process dies the venv is the old one
or the new one; only where the kernel has no exchange is a plain folder gone for some microseconds. `apply` and `undo`
look at what is there, so they may be called after a half-done try, twice, and in a new process.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import asdict

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints
from gitdeploy.text import path_text, shell_word
from gitdeploy.venvs import durable
from gitdeploy.venvs.live import LiveVenv

_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


class Flip(Struct, frozen=True):
    """One change of the live venv.

    link: absolute path; new: the symlink's new text; old: its text before, None where there was a plain folder or nothing;
    adopt_as: absolute path of the generation that the plain folder becomes, None where there is nothing to adopt.
    """

    link: str
    new: str
    old: str | None
    adopt_as: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Flip:
        return Flip(values["link"], values["new"], values["old"], values["adopt_as"])

    def moved(self, origin: Path, root: Path) -> Flip:
        """The same flip in a checkout that was at ORIGIN when it was planned and is at ROOT now."""

        def now(path: str | None) -> str | None:
            inside = path is not None and path.startswith(f"{origin}/")
            return f"{root}{path[len(str(origin)) :]}" if path is not None and inside else path

        return Flip(now(self.link) or self.link, now(self.new) or self.new, now(self.old), now(self.adopt_as))


def link_text(link: Path, generation: Path) -> str:
    """What the symlink at LINK must say: relative inside the checkout (which may then be moved), else absolute."""
    parent, target = os.path.realpath(link.parent), os.path.realpath(generation)
    root = os.path.realpath(generation.parent.parent.parent)
    if parent == root or parent.startswith(root + "/"):
        return os.path.relpath(target, parent)
    return target


def plan_flip(
    live: LiveVenv | None, generation: str, venvs: Path, *, adopted: str, link: Path | None = None
) -> Flip | None:
    """The flip that makes GENERATION live; None where it is already. ADOPTED: the generation that a plain venv becomes by
    it. LINK says where, if there is no venv yet."""
    if live is not None:
        link = live.link
    if link is None:
        raise ValueError("a first venv needs the place of its link")
    if live is not None and live.generation == generation:
        return None
    adopt_as = None
    if live is not None and live.target is None and os.path.lexists(live.link):
        adopt_as = os.path.join(os.path.realpath(venvs), adopted)
    return Flip(
        os.path.abspath(link), link_text(link, venvs / generation), live.target if live is not None else None, adopt_as
    )


def state(flip: Flip) -> Literal["old", "new", "foreign"]:
    """What is live now. "new" also while the plain folder has left its place and the symlink isn't there yet (undo it).

    "foreign": the link was deleted, or something else stands there, by somebody's hand.
    """
    try:
        found = os.lstat(flip.link)
    except FileNotFoundError:
        if flip.adopt_as and _is_folder(flip.adopt_as):
            return "new"
        return "old" if flip.old is None and flip.adopt_as is None else "foreign"
    if stat.S_ISLNK(found.st_mode):
        text = os.readlink(flip.link)
        if text == flip.new:
            return "new"
        return "old" if text == flip.old else "foreign"
    return "old" if flip.adopt_as and stat.S_ISDIR(found.st_mode) and not _is_folder(flip.adopt_as) else "foreign"


def apply(flip: Flip) -> float:
    """Make the new generation live; the monotonic time at which it was, before that was durable too.

    Raises `DeploymentFailed` where the venv is no longer what the plan was made for.
    """
    if not os.path.isdir(os.path.join(os.path.dirname(flip.link), flip.new)):
        raise DeploymentFailed(tr("The venv generation {new} is gone, so it can't go live.", new=path_text(flip.new)))
    if state(flip) == "foreign":
        raise DeploymentFailed(
            tr("{link} was changed by somebody since this deployment looked at it.", link=path_text(flip.link)),
            tr("Nothing was changed there. Run the upgrade again."),
        )
    if flip.adopt_as:
        _adopt(flip, flip.adopt_as)
    elif not _says(flip.link, flip.new):
        _put_link(flip.link, flip.new)
    live_at = time.monotonic()
    _clear(flip)
    _sync(flip)
    return live_at


def undo(flip: Flip) -> tuple[str, ...]:
    """Make live what was before. What somebody else put in the place meanwhile is moved aside and named in the answer."""
    notes = _move_aside(flip) if state(flip) == "foreign" else ()
    if flip.adopt_as:
        _give_back(flip, flip.adopt_as)
    elif flip.old is not None:
        if not _says(flip.link, flip.old):
            _put_link(flip.link, flip.old)
    elif _says(flip.link, flip.new):
        faultpoints.point("venv link about to be removed")
        os.unlink(flip.link)
    _clear(flip)
    _sync(flip)
    return notes


def _adopt(flip: Flip, adopt_as: str) -> None:
    """The plain folder becomes the generation ADOPT_AS and the symlink stands in its place, by one exchange."""
    if _is_folder(flip.link):
        if not _says(adopt_as, flip.new):
            with suppress(FileNotFoundError):
                os.unlink(adopt_as)
            os.symlink(flip.new, adopt_as)
        faultpoints.point("venv about to be exchanged")
        try:
            durable.exchange(flip.link, adopt_as)
        except OSError as error:
            if error.errno not in _NO_EXCHANGE:
                raise
            os.unlink(adopt_as)
            os.rename(flip.link, adopt_as)
            faultpoints.point("venv folder moved away")
    if not _says(flip.link, flip.new):
        _put_link(flip.link, flip.new)
    faultpoints.point("venv exchanged")


def _give_back(flip: Flip, adopt_as: str) -> None:
    """The adopted folder stands in its old place again, by the same exchange."""
    if _is_folder(adopt_as):
        faultpoints.point("venv about to be given back")
        if os.path.lexists(flip.link):
            try:
                durable.exchange(flip.link, adopt_as)
            except OSError as error:
                if error.errno not in _NO_EXCHANGE:
                    raise
                os.unlink(flip.link)
        if _is_folder(adopt_as):
            os.rename(adopt_as, flip.link)
    if os.path.islink(adopt_as):
        os.unlink(adopt_as)
    faultpoints.point("venv given back")


def _put_link(link: str, text: str) -> None:
    beside = _beside(link)
    with suppress(FileNotFoundError):
        os.unlink(beside)
    os.symlink(text, beside)
    faultpoints.point("venv link about to be renamed")
    os.rename(beside, link)
    faultpoints.point("venv link renamed")


def _move_aside(flip: Flip) -> tuple[str, ...]:
    """What stands at the link and is neither the old nor the new venv gets a name of its own beside it."""
    if not os.path.lexists(flip.link):
        return (tr("{link} had been deleted meanwhile; it is back.", link=path_text(flip.link)),)
    number = 1
    while os.path.lexists(aside := f"{flip.link}.found-{number}"):
        number += 1
    os.rename(flip.link, aside)
    faultpoints.point("venv moved aside")
    return (
        tr(
            "Something else had been put at {link}; it is now {aside}.",
            link=path_text(flip.link),
            aside=path_text(aside),
        ),
    )


def _clear(flip: Flip) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_beside(flip.link))


def _sync(flip: Flip) -> None:
    durable.sync_folder(os.path.dirname(flip.link))
    if flip.adopt_as:
        durable.sync_folder(os.path.dirname(flip.adopt_as))


def _beside(link: str) -> str:
    folder, name = os.path.split(link)
    return os.path.join(folder, f".{name}.gitdeploy-new")


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _says(path: str, text: str) -> bool:
    try:
        return os.readlink(path) == text
    except OSError:
        return False


def problems(flip: Flip) -> list[tuple[str, str]]:
    """Whether the flip is possible here: (message, hint) for each thing in the way. The venv isn't touched.

    A plain folder is renamed onto a folder that isn't empty: rename(2) refuses that always, but tells first where the
    folder can't be moved at all (a mount point: EBUSY; another mount, or an image's layer: EXDEV; permissions).
    """
    found: list[tuple[str, str]] = []
    parent = os.path.dirname(flip.link)
    if not os.access(parent, os.W_OK | os.X_OK):
        found.append(
            (
                tr(
                    "{parent} can't be written by this user, so the venv in it can't be switched.",
                    parent=path_text(parent),
                ),
                tr("Run gitdeploy as the owner of that folder, or give it the right to write there."),
            )
        )
    if flip.adopt_as and _is_folder(flip.link) and (number := _movable(flip.link, flip.adopt_as)):
        name = path_text(flip.link)
        if number in (errno.EBUSY, errno.EXDEV):
            why = (
                tr("is a mount point")
                if number == errno.EBUSY
                else tr("is on another mount, or part of a container's image")
            )
            message = tr(
                "The venv {name} {why}, so it can't be replaced by a link to a generation.", name=name, why=why
            )
            old, first = shell_word(flip.link), shell_word(f"{flip.link}.first")
            away = f"umount {old} && rmdir {old}" if number == errno.EBUSY else f"rm -rf {old}"
            hint = tr(
                "Make it a link once, while the app is stopped: cp -a {old} {first} && {away} && ln -s "
                "{basename} {old}",
                old=old,
                first=first,
                away=away,
                basename=shell_word(os.path.basename(flip.link) + ".first"),
            )
        else:
            message = tr("The venv {name} can't be moved: {strerror}.", name=name, strerror=os.strerror(number))
            hint = tr("Run gitdeploy as the owner of the venv and of the folder that it is in.")
        found.append((message, hint))
    found += _relative_links(flip)
    return found


def _movable(folder: str, adopt_as: str) -> int:
    """0, or the error number that moving FOLDER to ADOPT_AS would meet."""
    probe = adopt_as + ".probe"
    os.makedirs(os.path.join(probe, "full"), exist_ok=True)
    try:
        os.rename(folder, probe)
    except OSError as error:
        return 0 if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else error.errno or errno.EIO
    finally:
        with suppress(OSError):
            os.rmdir(os.path.join(probe, "full"))
            os.rmdir(probe)
    raise AssertionError("a folder was renamed onto a full one")


def _relative_links(flip: Flip) -> list[tuple[str, str]]:
    """An interpreter reached by a relative link that leaves the venv would not be found from a generation's place."""
    if not flip.adopt_as or not _is_folder(flip.link):
        return []
    found = []
    folder = os.path.join(flip.link, "bin")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if name.startswith("python") and os.path.islink(path):
            text = os.readlink(path)
            if not text.startswith("/") and not os.path.normpath(os.path.join(folder, text)).startswith(
                flip.link + "/"
            ):
                found.append(
                    (
                        tr(
                            "{path} is a relative link out of the venv ({text}), which would break when the venv "
                            "gets its place among the generations.",
                            path=path_text(path),
                            text=path_text(text),
                        ),
                        tr(
                            "Make it absolute: ln -sfn {realpath} {path}",
                            realpath=shell_word(os.path.realpath(path)),
                            path=shell_word(path),
                        ),
                    )
                )
    return found
