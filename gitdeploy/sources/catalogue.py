"""The catalogue: which releases there are, which is newest, remembered between runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace
from packaging.version import Version

from gitdeploy.config import Config
from gitdeploy.errors import PolicyError, SourceError, UsageError
from gitdeploy.sources.base import CheckResult, Current, GitRemote, HttpStore, Release, Source
from gitdeploy.sources.changelog import CHANGELOGS, section
from gitdeploy.sources.listing import listed
from gitdeploy.text import clean, duration_text
from gitdeploy.versions import admitted, matches, order, read_version, valid_tag

LAST_CHECK = "last_check"
HIGHEST_SEEN = "highest_seen"
MOST_CANDIDATES = 10  # newest tags whose details are asked for before giving up (drafts, prereleases, future ones)
T = TypeVar("T")
EARLY = 300.0  # seconds that a host's clock may be ahead of ours


class Newest(Struct, frozen=True):
    """What a source answered: the newest release that the channel admits (None: there is none), who said so, and
    sentences that the user must see."""

    release: Release | None
    source: str
    warnings: tuple[str, ...] = ()


class Catalogue:
    """The one object that the app asks about releases. Makes its sources only when one must be asked."""

    def __init__(
        self, config: Config, store: HttpStore, git: GitRemote, clock: Callable[[], float] = time.time
    ) -> None:
        self.config, self.store, self.git, self.clock = config, store, git, clock
        self._made: dict[bool, list[Source]] = {}

    # ---- asking ----

    def check(self, current: Current, *, force: bool) -> CheckResult:
        """The newest release beside what is live. From the last answer within `check.interval`, unless FORCE; also, with
        a warning, where the source can't be reached. Raises `SourceError` where there is no answer at all."""
        known = self._last()
        if known is not None and not force and 0 <= self.clock() - known[0] < self.config.check.interval:
            return self._result(current, known[1], known[0], from_cache=True)
        try:
            newest = self._ask()
        except SourceError as error:
            if known is None:
                raise
            age = duration_text(max(0.0, self.clock() - known[0]))
            cached = self._result(current, known[1], known[0], from_cache=True)
            texts = [error.message, *error.details, f"This is the answer of {age} ago.", error.hint]
            return replace(cached, warning=" ".join(filter(None, texts)))
        now = self.clock()
        newest = self._compared_with_highest(newest)
        self._remember(now, newest)
        return self._result(current, newest, now, from_cache=False)

    def last(self, current: Current) -> CheckResult | None:
        """The last answer, however old, beside CURRENT; None where there is none. Asks nobody."""
        known = self._last()
        return self._result(current, known[1], known[0], from_cache=True) if known is not None else None

    def releases(self, *, limit: int | None, all: bool) -> tuple[list[Release], tuple[str, ...]]:  # noqa: A002  # the option's own name
        """Releases, newest version first, and sentences for the user; ALL adds tags that are no versions, behind them.

        Details (notes, dates) are asked for LIMIT of them at most, or for the first hundred.
        """
        warnings: list[str] = []

        def look(source: Source) -> list[Release]:
            found, sentence = listed(source, self._rank, enough=limit or 100, everything=all)
            warnings.extend(filter(None, (sentence,)))
            versions = sorted((r for r in found if self._is_release(r)), key=self._order, reverse=True)
            top = versions[: limit or 100]
            detailed = {r.tag: self._with_local_notes(r) for r in source.details(top)}
            shown = [detailed[r.tag] for r in top if r.tag in detailed and not self._is_future(detailed[r.tag])]
            shown = self._with_local_dates(shown)
            if not all:
                return shown
            chosen = {r.tag for r in versions}
            others = sorted((r for r in found if r.tag not in chosen), key=lambda release: release.tag)
            return shown + versions[len(top) :] + others

        found, _, troubles = self._first(look, everything=all)
        return found, (*troubles, *warnings)

    def release(self, tag: str) -> Release:
        """One release, whole. Raises `UsageError` where the source doesn't have it."""

        def look(source: Source) -> Release | None:
            found = source.release(tag)
            whole = next(iter(source.details([found])), None) if found else None
            return self._with_notes(source, whole) if whole else None

        found, _, _ = self._first(look)
        if found is None:
            raise UsageError(
                f"The source has no release {clean(tag, limit=80)}.", "`gitdeploy releases --all` lists them."
            )
        return self._with_local_dates([found])[0]

    def said(self, tag: str) -> tuple[Release | None, str]:
        """(what the first source that answers says of TAG, its name); the release is None where it has no such tag.

        With `source.agree` a second source must name the same commit. Raises `SourceError`, `PolicyError`.
        """
        found, source, _ = self._first(lambda source: source.release(tag))
        if found is not None and self.config.source.agree:
            self._agreed(found, source)
        return found, source.name

    def remembered(self, tag: str) -> Release | None:
        """TAG as the last check found it; None where it was another, or there was none."""
        known = self._last()
        return known[1].release if known and known[1].release and known[1].release.tag == tag else None

    def has_other_word(self) -> bool:
        """Whether anybody but the git remote itself says which commit a tag is: a host's API, or a second source."""
        source = self.config.source
        return bool(source.fallback) or (source.type != "git" and self._sources()[0].kind != "git")

    # ---- the sources ----

    def _sources(self, *, everything: bool = False) -> list[Source]:
        """The configured source and its fallbacks, in order; behind a guessed one the plain git remote."""
        from gitdeploy.sources.finding import as_git, find, make_source

        if everything not in self._made:
            made: list[Source] = []
            for source in (self.config.source, *self.config.source.fallback):
                found = find(source, self.git)
                places = [(source, found)]
                if found.guessed and found.kind != "git":
                    plain = as_git(source)
                    places.append((plain, find(plain, self.git)))
                for place, what in places:
                    made.append(
                        make_source(
                            self.config, place, what, self.store, self.git, everything=everything, clock=self.clock
                        )
                    )
            self._made[everything] = made
        return self._made[everything]

    def _first(self, ask: Callable[[Source], T], *, everything: bool = False) -> tuple[T, Source, tuple[str, ...]]:
        """What the first source that can be reached answers, which one that is, and why the ones before it didn't."""
        failures: list[SourceError] = []
        for source in self._sources(everything=everything):
            try:
                answer = ask(source)
            except SourceError as error:
                failures.append(error)
                continue
            if not failures:
                return answer, source, ()
            instead = f"This is the answer of {'the git remote' if source.kind == 'git' else source.name} instead."
            return answer, source, (f"{failures[0].message} {instead} {failures[0].hint}".strip(),)
        first, *others = failures
        raise SourceError(first.message, first.hint, details=(*first.details, *(error.message for error in others)))

    def _ask(self) -> Newest:
        newest, source, troubles = self._first(self._newest_of)
        if newest.release is not None and self.config.source.agree:
            newest = replace(newest, release=self._agreed(newest.release, source))
        return replace(newest, warnings=(*troubles, *newest.warnings))

    def _newest_of(self, source: Source) -> Newest:
        found, sentence = listed(source, self._rank)
        warnings = [sentence] if sentence else []
        candidates = sorted((r for r in found if self._is_admitted(r)), key=self._order, reverse=True)
        for candidate in candidates[:MOST_CANDIDATES]:
            whole = next(iter(source.details([candidate])), None)
            if whole is None or self._is_future(whole):
                continue
            if whole.prerelease and self.config.source.channel == "stable":
                continue
            equal = [r.tag for r in candidates if r.tag != whole.tag and self._order(r)[0] == self._order(whole)[0]]
            if equal:
                warnings.append(f"{whole.tag} and {', '.join(equal[:3])} name the same version; {whole.tag} counts.")
            return Newest(self._with_notes(source, whole), source.name, tuple(warnings))
        return Newest(None, source.name, tuple(warnings))

    def _agreed(self, release: Release, source: Source) -> Release:
        """RELEASE with its commit, after another source named the same. Raises `PolicyError` where it names another,
        `SourceError` where none can say."""
        here = release if release.commit else source.release(release.tag) or release
        missing: list[str] = []
        for other in self._sources():
            if other is source or (other.kind == "git" and source.kind == "git"):
                continue
            try:
                there = other.release(release.tag)
            except SourceError as error:
                missing.append(error.message)
                continue
            if there is None:
                missing.append(f"{other.name} doesn't have {release.tag}.")
                continue
            pair = _comparable(here, there)
            if pair is None:
                missing.append(f"{other.name} doesn't say which commit {release.tag} is.")
            elif pair[0] != pair[1]:
                raise PolicyError(
                    f"{source.name} and {other.name} disagree about {release.tag}: {pair[0][:12]} and {pair[1][:12]}.",
                    "One of them was changed, or is a mirror that is behind. Find out which before you upgrade.",
                )
            else:
                return replace(release, commit=here.commit or there.commit)
        raise SourceError(
            f"Nobody but {source.name} says which commit {release.tag} is, and source.agree wants two that agree.",
            "Make the other source reachable, or set source.agree: false.",
            details=tuple(missing),
        )

    # ---- judging ----

    def _order(self, release: Release) -> tuple[Version, str]:
        return order(release.tag, self.config.source.tag_prefix)

    def _rank(self, release: Release) -> tuple[Version, str] | None:
        """What the highest is found by; None for what can't be the newest."""
        return self._order(release) if self._is_admitted(release) else None

    def _is_release(self, release: Release) -> bool:
        config = self.config.source
        return (
            valid_tag(release.tag) is None
            and matches(release.tag, config.tags)
            and read_version(release.tag, config.tag_prefix) is not None
        )

    def _is_admitted(self, release: Release) -> bool:
        config = self.config.source
        version = read_version(release.tag, config.tag_prefix)
        return version is not None and self._is_release(release) and admitted(version, config.channel)

    def _is_future(self, release: Release) -> bool:
        try:
            at = datetime.fromisoformat(release.published_at or "")
        except ValueError:
            return False
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() > self.clock() + EARLY

    def _compared_with_highest(self, newest: Newest) -> Newest:
        """A warning where the newest is lower than one seen before: a frozen or rolled-back mirror shows old releases
        as if there were no newer ones."""
        known = self._stored(HIGHEST_SEEN) or {}
        tag = known.get("tag") if known.get("source") == self._identity() else None
        here = newest.release.tag if newest.release else None
        prefix = self.config.source.tag_prefix
        if isinstance(tag, str) and order(here, prefix) < order(tag, prefix):
            sentence = (
                f"The newest release is {here or 'none'} now and was {tag} before: {newest.source} may be an old mirror, "
                "or that release was withdrawn."
            )
            return replace(newest, warnings=(*newest.warnings, sentence))
        if here is not None:
            self.store.meta_put(HIGHEST_SEEN, json.dumps({"source": self._identity(), "tag": here}))
        return newest

    # ---- notes ----

    def _with_local_notes(self, release: Release) -> Release:
        """Notes of what is here already: the annotated tag's message, the changelog of the fetched commit."""
        if _has_notes(release):
            return release
        notes = release.notes or self.git.tag_message(release.tag) or ""
        if release.commit and release.version and len(notes.strip().splitlines()) <= 1:
            for name in CHANGELOGS:
                text = self.git.file_at(release.commit, name)
                if found := section(text.decode("utf-8", "replace"), release.version) if text else "":
                    notes = found
                    break
        return replace(release, notes=_fit(notes))

    def _with_local_dates(self, releases: list[Release]) -> list[Release]:
        """For looking at only: a date that the source doesn't tell is that of the tag which was fetched, and a person's
        word, so nothing is decided by it."""
        dates = self.git.tag_dates([release.tag for release in releases if release.published_at is None])
        return [replace(r, published_at=r.published_at or dates.get(r.tag)) for r in releases]

    def _with_notes(self, source: Source, release: Release) -> Release:
        """The same, and where that is no more than a line, the section of the changelog that the host has at the tag."""
        made = self._with_local_notes(release)
        if _has_notes(made) or made.version is None:
            return made
        try:
            text = source.file(release.tag, CHANGELOGS[0])
        except SourceError:
            return made  # notes are not worth a failed check
        return replace(made, notes=_fit(section(text, made.version)) or made.notes) if text else made

    # ---- memory ----

    def _last(self) -> tuple[float, Newest] | None:
        data = self._stored(LAST_CHECK)
        if data is None or data.get("source") != self._identity():
            return None
        try:
            release = Release(**data["release"]) if data["release"] else None
            return float(data["at"]), Newest(release, str(data["asked"]), tuple(map(str, data["warnings"])))
        except (ValueError, KeyError, TypeError):
            return None

    def _stored(self, name: str) -> dict[str, Any] | None:
        try:
            data = json.loads(self.store.meta_get(name) or "null")
        except ValueError:
            return None
        return data if isinstance(data, dict) else None

    def _remember(self, at: float, newest: Newest) -> None:
        document = {
            "at": at,
            "source": self._identity(),
            "asked": newest.source,
            "warnings": list(newest.warnings),
            "latest_version": newest.release.version if newest.release else None,
            "release": asdict(newest.release) if newest.release else None,
        }
        self.store.meta_put(LAST_CHECK, json.dumps(document))

    def _identity(self) -> list[object]:
        source = self.config.source
        places = [[s.type, s.repo, s.url, s.remote] for s in (source, *source.fallback)]
        return [places, source.tags, source.tag_prefix, source.channel, source.agree]

    def _result(self, current: Current, newest: Newest, at: float, *, from_cache: bool) -> CheckResult:
        prefix = self.config.source.tag_prefix
        release = newest.release
        here = read_version(current.tag or "", prefix) or read_version(current.version or "")
        there = read_version(release.tag, prefix) if release else None
        same = release is not None and (release.tag == current.tag or release.commit == current.commit)
        newer = there is not None and not same and (here is None or there > here)
        return CheckResult(
            update_available=newer,
            current_version=current.version,
            latest_version=release.version if release else None,
            latest_tag=release.tag if release else None,
            release_name=release.name if release else None,
            release_notes=release.notes or None if release else None,
            published_at=release.published_at if release else None,
            download_url=release.url if release else None,
            tarball_url=release.tarball_url or None if release else None,
            zipball_url=release.zipball_url or None if release else None,
            source=newest.source,
            is_newer=newer,
            is_same=same,
            is_older=there is not None and not same and not newer,
            checked_at=datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
            from_cache=from_cache,
            commit=release.commit if release else None,
            warning=" ".join(newest.warnings) or None,
        )


def _comparable(one: Release, other: Release) -> tuple[str, str] | None:
    """The ids by which two sources' words can be compared: commits, else the tags' own objects."""
    if one.commit and other.commit:
        return one.commit, other.commit
    return (one.object_id, other.object_id) if one.object_id and other.object_id else None


def _has_notes(release: Release) -> bool:
    """A release's own notes, or a tag's message of more than the line that every tag has."""
    return bool(release.notes) and (release.announced or len(release.notes.splitlines()) > 1)


def _fit(notes: str) -> str:
    return clean(notes[: 64 * 1024], lines=True).strip()
