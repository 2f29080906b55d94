"""How much a tree that comes from a remote may hold, counted over its tree objects: a few of them that name each other often
stand for billions of paths, which nothing may list before it is known how many they are."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from gitdeploy.checkout.git import Repository
from gitdeploy.errors import PolicyError
from gitdeploy.messages import tr
from gitdeploy.text import count, size_text

MOST_ENTRIES = 2_000_000  # files and folders: Chromium has half a million
MOST_BYTES = 256 << 20  # of their whole paths
MOST_TREES = 500_000  # tree objects that differ from the live ones
_AT_ONCE = 2000
_FOLDER = 0o040000

Pair = tuple[str, str]  # the ids of a tree and of the live one at its place, "" where there is none


class _Read(Struct, frozen=True):
    """Of one tree: how many entries it has that aren't the live one's, the bytes of their names, and its folders among them
    (bytes of the name, which trees)."""

    entries: int
    size: int
    folders: tuple[tuple[int, Pair], ...]


@lru_cache(maxsize=64)
def refuse_too_many(repository: Repository, tree: str, live: str = "") -> None:
    """Raise `PolicyError` where TREE has more than can be meant beside what LIVE, a tree that is known, has."""
    read: dict[Pair, _Read] = {}
    waiting = {(tree, live)} if tree != live else set()
    while waiting:
        pairs = sorted(waiting)
        waiting = set()
        for start in range(0, len(pairs), _AT_ONCE):
            some = pairs[start : start + _AT_ONCE]
            contents = _contents(repository, some)
            for pair in some:
                read[pair] = _compared(contents[pair[0]], contents.get(pair[1], {}))
        waiting = {pair for each in pairs for _, pair in read[each].folders if pair not in read}
        if len(read) + len(waiting) > MOST_TREES or sum(read[each].entries for each in pairs) > MOST_ENTRIES:
            raise _too_many(MOST_ENTRIES, exact=False)
    if (tree, live) in read:
        entries, size = _whole(read, (tree, live))
        if entries > MOST_ENTRIES or size > MOST_BYTES:
            raise _too_many(entries, size)


def _contents(repository: Repository, pairs: list[Pair]) -> dict[str, dict[bytes, tuple[int, str]]]:
    ids = sorted({oid for pair in pairs for oid in pair if oid})
    found = zip(ids, repository.contents(ids), strict=True)
    return {oid: _entries(each[1], len(oid) // 2) if each is not None else {} for oid, each in found}


def _entries(raw: bytes, width: int) -> dict[bytes, tuple[int, str]]:
    """Name -> (mode, id) of a tree object."""
    found = {}
    place = 0
    while place < len(raw):
        end = raw.index(b"\0", place)
        mode, _, name = raw[place:end].partition(b" ")
        place = end + 1 + width
        found[name] = (int(mode, 8), raw[end + 1 : place].hex())
    return found


def _compared(new: dict[bytes, tuple[int, str]], old: dict[bytes, tuple[int, str]]) -> _Read:
    other = {name: entry for name, entry in new.items() if old.get(name) != entry}
    folders = []
    for name, (mode, oid) in other.items():
        if mode == _FOLDER:
            before = old.get(name, (0, ""))
            folders.append((len(name), (oid, before[1] if before[0] == _FOLDER else "")))
    return _Read(len(other), sum(map(len, other)), tuple(folders))


def _whole(read: dict[Pair, _Read], top: Pair) -> tuple[int, int]:
    """(entries, bytes of their whole paths) below TOP; each tree is counted once and added as often as it is named."""
    totals: dict[Pair, tuple[int, int]] = {}
    stack = [top]
    while stack:
        pair = stack[-1]
        missing = [inner for _, inner in read[pair].folders if inner not in totals]
        if missing:
            stack += missing
            continue
        stack.pop()
        entries, size = read[pair].entries, read[pair].size
        for length, inner in read[pair].folders:
            more, bytes_of_more = totals[inner]
            entries += more
            size += bytes_of_more + more * (length + 1)
        totals[pair] = (entries, size)
    return totals[top]


def _too_many(entries: int, size: int = 0, *, exact: bool = True) -> PolicyError:
    many = (
        tr("{entries} files and folders", entries=f"{entries:,}")
        if exact
        else tr("more than {count} and folders", count=count(entries, "file"))
    )
    paths = tr(", whose paths take {size}", size=size_text(size)) if size > MOST_BYTES else ""
    return PolicyError(
        tr(
            "The release has {many} that the live one hasn't{paths}; gitdeploy lists up to {most_entries}.",
            many=many,
            paths=paths,
            most_entries=f"{MOST_ENTRIES:,}",
        ),
        tr("Such a release can't be installed. Ask its author."),
    )
