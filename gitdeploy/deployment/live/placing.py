"""Files and folders of a backup put in the place of what is live, by one exchange of two names.

At whatever instant the process dies, a path is wholly what it was or wholly what it is to be, and whatever stood there
is still in one piece, beside it; a second call finds and finishes what the first one left.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.backups import copying
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints, progress
from gitdeploy.system.durable import sync_directory, sync_file_system
from gitdeploy.text import path_text
from gitdeploy.venvs.durable import exchange

_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


class Aside(Struct, frozen=True):
    """Where what is displaced goes: below FOLDER under its own path, a number behind it where that is taken. What is
    the same as the copy of it below `known` (of a backup) is not kept a second time."""

    folder: Path
    known: tuple[Path, ...] = ()
    left: frozenset[Path] = field(default_factory=frozenset)  # live files that are no part of it: databases' own

    def kept(self, path: str) -> list[Path]:
        """What has gone aside of PATH until now."""
        return [place for place in self._names(path) if os.path.lexists(place)]

    def put(self, path: str, thing: Path, live: Path) -> None:
        """Move THING, which had been at LIVE, aside."""
        for file in self._left_in(live):
            with suppress(OSError):
                os.unlink(thing / file)
        if any(os.path.lexists(k / path) and not differs(k / path, thing) for k in self.known):
            remove(thing)
            return
        place = next(place for place in self._names(path) if not os.path.lexists(place))
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.rename(thing, place)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            beside = place.with_name(f".{place.name}.gitdeploy-new")
            remove(beside)
            copying.copy_tree(thing, beside)
            sync_file_system(beside.parent)
            os.rename(beside, place)
            remove(thing)
        sync_directory(place.parent)

    def _names(self, path: str) -> Iterator[Path]:
        yield self.folder / path
        for number in range(2, 1000):
            yield self.folder / f"{path}.{number}"

    def _left_in(self, live: Path) -> list[Path]:
        return sorted(file.relative_to(live) for file in self.left if file.is_relative_to(live) and file != live)

    def belongs_to_database(self, live: Path) -> bool:
        """Whether LIVE is a file of a database, or a folder that holds one."""
        return live in self.left or bool(self._left_in(live))

    def differs(self, copy: Path, live: Path) -> bool:
        """Whether what is at LIVE is another than the COPY of it, databases' own files left out."""
        return self.differs_from(copy, live, live)

    def differs_from(self, copy: Path, thing: Path, live: Path) -> bool:
        """The same of a THING that stands beside LIVE, or stood there."""
        return differs(copy, thing, frozenset(str(file) for file in self._left_in(live)))

    def carry(self, live: Path, fresh: Path) -> list[Path]:
        """The left files of a folder are in the fresh one too: the very same files, by a second name. Those that are."""
        carried = []
        for file in self._left_in(live):
            if (live / file).is_file() and fresh.is_dir():
                (fresh / file).parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    os.unlink(fresh / file)
                try:
                    os.link(live / file, fresh / file)
                except OSError:
                    shutil.copy2(live / file, fresh / file)
                carried.append(file)
        return carried

    def carry_again(self, live: Path, fresh: Path, carried: Collection[Path]) -> None:
        """Of left files that came, went or were made anew since those that are CARRIED were (the write-ahead log of an app that
        goes on running), FRESH has what LIVE has now. By second names alone: a copy would not be on disk yet."""
        for file in self._left_in(live):
            now, then = live / file, fresh / file
            with suppress(OSError):
                if not os.path.lexists(now):
                    if file in carried:
                        then.unlink(missing_ok=True)
                elif not os.path.lexists(then) or not os.path.samefile(now, then):
                    beside = then.with_name(f".{then.name}.gitdeploy-carried")
                    beside.unlink(missing_ok=True)
                    os.link(now, beside)
                    os.replace(beside, then)


def put_in_place(root: Path, copies: Path, path: str, aside: Aside) -> bool:
    """Make PATH below ROOT what it is below COPIES; whether that changed anything. Raises `OSError`."""
    source, live = copies / path, root / path
    fresh, swap, old = (live.with_name(f".{live.name}.gitdeploy-{word}") for word in ("new", "swap", "old"))
    _finish(path, source, live, (fresh, swap, old), aside)
    if not os.path.lexists(source) or live in aside.left or not aside.differs(source, live):
        return False
    live.parent.mkdir(parents=True, exist_ok=True)
    what = tr("putting back {path}", path=path_text(path))
    with progress.of(what, "bytes", lambda: copying.content_size(copies, [path])):
        copying.copy_tree(source, fresh)
    carried = aside.carry(live, fresh)
    sync_file_system(live.parent)
    faultpoints.point("data beside")
    aside.carry_again(live, fresh, carried)
    os.rename(fresh, swap)
    if not os.path.lexists(live):
        os.rename(swap, live)
    else:
        _exchange(swap, live, old)
    faultpoints.point("data placed")
    sync_directory(live.parent)
    for displaced in (swap, old):
        if os.path.lexists(displaced):
            aside.put(path, displaced, live)
    faultpoints.point("data aside")
    return True


def take_away(root: Path, path: str, aside: Aside) -> None:
    """PATH below ROOT goes aside: it was not there before."""
    live = root / path
    swap = live.with_name(f".{live.name}.gitdeploy-swap")
    if os.path.lexists(swap):  # an earlier run had got so far
        aside.put(path, swap, live)
    if os.path.lexists(live) and not aside.belongs_to_database(live):
        os.rename(live, swap)
        faultpoints.point("data taken away")
        aside.put(path, swap, live)


def _exchange(swap: Path, live: Path, old: Path) -> None:
    try:
        exchange(str(swap), str(live))
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        os.rename(live, old)
        faultpoints.point("data moved away")
        os.rename(swap, live)


def _finish(path: str, source: Path, live: Path, names: tuple[Path, Path, Path], aside: Aside) -> None:
    """What a killed run left: a half-made copy goes; what had been displaced already goes aside."""
    fresh, swap, old = names
    remove(fresh)
    if os.path.lexists(old) and not os.path.lexists(live):
        os.rename(old, live)
    if os.path.lexists(swap) and not aside.differs_from(source, swap, live):
        remove(swap)
    for displaced in (swap, old):
        if os.path.lexists(displaced):
            aside.put(path, displaced, live)


def remove(path: Path) -> None:
    """Delete a file, a link or a whole folder; nothing where there is none."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def differs(one: Path, other: Path, leave: Collection[str] = frozenset(), inner: str = "") -> bool:
    """Whether two files, links or folders differ in kind or content; paths in LEAVE (relative) are not looked at."""
    if one.is_symlink() or other.is_symlink():
        return not (one.is_symlink() and other.is_symlink() and os.readlink(one) == os.readlink(other))
    if one.is_dir():
        if not other.is_dir():
            return True
        names = {
            name for folder in (one, other) for name in os.listdir(folder) if os.path.join(inner, name) not in leave
        }
        return any(differs(one / name, other / name, leave, os.path.join(inner, name)) for name in names)
    if not other.is_file() or not one.is_file():
        return one.exists() or other.exists()
    first, second = one.stat(), other.stat()
    if (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns):
        return False
    return first.st_size != second.st_size or copying.differ_in_content(one, other)
