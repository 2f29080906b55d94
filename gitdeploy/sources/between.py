"""The releases between what is live and the one that is gone to, with their notes: what an upgrade brings, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from gitdeploy.errors import SourceError
from gitdeploy.sources.base import GitRemote, Release, ReleaseNotes, Source
from gitdeploy.sources.changelog import unsigned
from gitdeploy.sources.judging import Rules
from gitdeploy.sources.memory import Memory
from gitdeploy.sources.notes import with_local_notes
from gitdeploy.text import clean
from gitdeploy.versions import CodeState, read_version

MOST = 20  # releases whose notes are shown; the newest
LONGEST = 16 * 1024  # characters kept of one release's notes
BETWEEN = "between"  # in state.db: those of the last check


_Any = TypeVar("_Any", Release, "_Kept")


class _Kept(Struct, frozen=True):
    """A release as it is remembered; `asked`: its notes were asked for, so that none means that there are none."""

    tag: str
    version: str | None
    name: str
    published_at: str | None
    notes: str
    commit: str | None = None
    object_id: str | None = None
    asked: bool = False


class Between:
    """Remembers the releases that the last check found above what is live."""

    def __init__(self, rules: Rules, memory: Memory, git: GitRemote) -> None:
        self.rules, self.memory, self.git = rules, memory, git

    def note(self, current: CodeState, found: Sequence[Release], top: Release) -> None:
        """Remember those of FOUND (all that a source listed) from CURRENT, exclusive, to TOP, without asking anybody."""
        contained = self.git.contained() if len(found) > 1 else frozenset()
        admitted = [r for r in found if self.rules.is_admitted(r) and r.tag != top.tag]
        above = [r for r in self._within(admitted, current, top.tag) if not {r.commit, r.object_id} & contained]
        known = {(kept.tag, kept.commit): kept for kept in self._known()}
        made = []
        for release in [top, *sorted(above, key=self.rules.order, reverse=True)[: MOST - 1]]:
            before = known.get((release.tag, release.commit))
            kept = _kept(release, asked=bool(release.notes))
            made.append(kept if kept.asked or before is None else before)
        self._remember(made)

    def fill(self, current: CodeState, tag: str, source: Source, remote: str, now: float) -> None:
        """Ask SOURCE, or the git REMOTE where that knows tags only, for the notes that were never asked for."""
        missing = [kept for kept in self._within(self._known(), current, tag) if not kept.asked]
        if not missing:
            return
        made: dict[str, Release] = {}
        with suppress(SourceError):  # notes are not worth a failed check
            whole = source.details([_release(kept) for kept in missing])
            made = {r.tag: with_local_notes(self.git, r) for r in whole if self.rules.held_back(r, now) is None}
        wordless = [name for name, release in made.items() if not release.notes]
        if source.tags_only and wordless:
            made |= _with_texts(made, self.git.tag_texts(remote, wordless, whole=False))
        self._replace({kept.tag: made.get(kept.tag) for kept in missing}, tag)

    def fill_here(self, current: CodeState, tag: str, remote: str) -> None:
        """The same once the objects of TAG were fetched: messages and changelogs of the releases before it are here, or
        cost next to nothing."""
        empty = [kept for kept in self._within(self._known(), current, tag) if not kept.notes]
        if not empty:
            return
        made = {kept.tag: with_local_notes(self.git, _release(kept)) for kept in empty}
        wordless = [name for name, release in made.items() if not release.notes]
        if wordless:
            made |= _with_texts(made, self.git.tag_texts(remote, wordless, whole=True))
        self._replace(dict(made), tag)

    def _replace(self, made: Mapping[str, Release | None], top: str) -> None:
        """Put what was found in the place of what was known; a None goes, since its host withholds it, but for TOP."""
        kept = []
        for each in self._known():
            found = made.get(each.tag)
            if found is not None:
                kept.append(_kept(found, asked=True))
            elif each.tag not in made or each.tag == top:
                kept.append(each)
        self._remember(kept)

    def known(self, current: CodeState, tag: str | None) -> tuple[ReleaseNotes, ...]:
        """What is remembered from CURRENT, exclusive, to TAG, newest first. Asks nobody."""
        return tuple(
            ReleaseNotes(kept.tag, kept.version, kept.name, kept.published_at, kept.notes)
            for kept in self._within(self._known(), current, tag)
        )

    def _within(self, releases: Sequence[_Any], current: CodeState, tag: str | None) -> list[_Any]:
        prefix = self.rules.config.tag_prefix
        here = read_version(current.tag or "", prefix) or read_version(current.version or "")
        top = read_version(tag or "", prefix)
        if top is None:
            return []
        found = []
        for release in releases:
            version = read_version(release.tag, prefix)
            if release.tag == tag or (version is not None and here is not None and here < version < top):
                found.append(release)
        return found

    def _known(self) -> list[_Kept]:
        try:
            data = json.loads(self.memory.store.meta_get(BETWEEN) or "null")
            if not isinstance(data, dict) or data.get("source") != self.memory.identity():
                return []
            return [_Kept(**each) for each in data["releases"]]
        except (ValueError, KeyError, TypeError):
            return []

    def _remember(self, releases: Sequence[_Kept]) -> None:
        document = {"source": self.memory.identity(), "releases": [asdict(each) for each in releases]}
        self.memory.store.meta_put(BETWEEN, json.dumps(document))


def _with_texts(made: Mapping[str, Release], texts: Mapping[str, str]) -> dict[str, Release]:
    """Those of MADE that have a text of their tag's, with it."""
    return {
        name: replace(made[name], notes=unsigned(text.rstrip("\n")).strip())
        for name, text in texts.items()
        if name in made
    }


def _kept(release: Release, *, asked: bool) -> _Kept:
    return _Kept(
        release.tag,
        release.version,
        release.name,
        release.published_at,
        clean(release.notes, lines=True, limit=LONGEST),
        release.commit,
        release.object_id,
        asked,
    )


def _release(kept: _Kept) -> Release:
    return Release(
        kept.tag, kept.version, kept.name, "", "", kept.published_at, kept.commit, False, object_id=kept.object_id
    )
