"""The catalogue: which releases there are, which is newest, remembered between runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from msgspec.structs import replace
from packaging.version import Version

from gitdeploy.config import Config
from gitdeploy.errors import PolicyError, SourceError, Unreachable, UsageError
from gitdeploy.messages import joined, tr
from gitdeploy.sources.base import CheckResult, GitRemote, HttpStore, Release, ReleaseNotes, Source
from gitdeploy.sources.between import Between
from gitdeploy.sources.choosing import Chooser, Chosen, Place
from gitdeploy.sources.judging import NoRelease, Rules, is_future, why_none
from gitdeploy.sources.listing import listed
from gitdeploy.sources.memory import Memory, Newest
from gitdeploy.sources.notes import with_local_dates, with_local_notes, with_notes
from gitdeploy.sources.verdicts import Verdicts
from gitdeploy.text import clean, duration_text, listing
from gitdeploy.versions import CodeState, literal_start, read_version

T = TypeVar("T")


class Catalogue:
    """The one object that the app asks about releases. Makes its sources only when one must be asked."""

    def __init__(
        self, config: Config, store: HttpStore, git: GitRemote, clock: Callable[[], float] = time.time
    ) -> None:
        self.config, self.store, self.git, self.clock = config, store, git, clock
        self.rules = Rules(config.source)
        self.memory = Memory(config.source, store, git)
        self.between = Between(self.rules, self.memory, git)
        self._made: dict[bool, list[Place]] = {}

    # ---- asking ----

    def check(self, current: CodeState, *, force: bool) -> CheckResult:
        """The newest release beside what is live, to be shown. From the last answer within `check.interval`, unless FORCE;
        also, with a warning, where the source can't be asked. Raises `SourceError` where there is no answer at all."""
        known = self.memory.last()
        if known is not None and not force and 0 <= self.clock() - known[0] < self.config.check.interval:
            return self._result(current, known[1], known[0], from_cache=True)
        try:
            found = self._asked(current, acting=False)
            return replace(found, releases=self.explained(current, found.latest_tag)) if found.is_newer else found
        except SourceError as error:
            if known is None:
                raise
            cached = self._result(current, known[1], known[0], from_cache=True)
            texts = [
                error.message,
                *error.details,
                tr("This is the answer of {age} ago.", age=self._age(known[0])),
                error.hint,
            ]
            return replace(cached, warning=joined(" ", filter(None, texts)))

    def newest(self, current: CodeState) -> CheckResult:
        """The same to act upon: the source is asked now. Raises `SourceError` where those who know can't be asked."""
        try:
            return self._asked(current, acting=True)
        except SourceError as error:
            known = self.memory.last()
            before = self._result(current, known[1], known[0], from_cache=True) if known else None
            if known is None or before is None or not before.update_available:
                raise
            tag = clean(before.latest_tag or "")
            raise SourceError(
                error.message,
                error.hint,
                details=(
                    *error.details,
                    tr(
                        "{tag} was the newest release {age} ago; to install that: gitdeploy upgrade {tag}",
                        tag=tag,
                        age=self._age(known[0]),
                    ),
                ),
            ) from error

    def newer(self, current: CodeState, most: int = 100) -> list[Release]:
        """Up to MOST releases that may be chosen over what is live, newest first, asked for now. Raises `SourceError`."""
        chosen, _ = self._choice(current, most, acting=True)
        return [with_local_notes(self.git, release) for release in chosen.newer]

    def explained(self, current: CodeState, tag: str | None, *, here: bool = False) -> tuple[ReleaseNotes, ...]:
        """The releases from CURRENT, exclusive, to TAG as the last check found them, newest first, their notes asked for
        where they aren't known. HERE: the objects of TAG were fetched. Raises nothing where notes can't be had."""
        if tag is not None and self.between.known(current, tag):
            source, remote = self._places()[0].source, self.config.source.remote
            self.between.fill(current, tag, source, remote, self.clock())
            if here and source.tags_only:
                self.between.fill_here(current, tag, remote)
        return self.between.known(current, tag)

    def last(self, current: CodeState) -> CheckResult | None:
        """The last answer, however old, beside CURRENT; None where there is none. Asks nobody."""
        known = self.memory.last()
        return self._result(current, known[1], known[0], from_cache=True) if known is not None else None

    def releases(self, *, limit: int | None, all: bool) -> tuple[list[Release], tuple[str, ...]]:  # noqa: A002  # the option's own name
        """Releases, newest version first, and sentences for the user; ALL adds tags that are no versions, behind them.

        Details (notes, dates) are asked for LIMIT of them at most, or for the first hundred.
        """
        warnings: list[str] = []

        def look(source: Source) -> list[Release]:
            found, sentence = listed(source, self._rank, enough=limit or 100, everything=all)
            warnings.extend(filter(None, (sentence,)))
            versions = sorted((r for r in found if self.rules.is_release(r)), key=self.rules.order, reverse=True)
            top = versions[: limit or 100]
            detailed = {r.tag: with_local_notes(self.git, r) for r in source.details(top)}
            shown = [detailed[r.tag] for r in top if r.tag in detailed and not is_future(detailed[r.tag], self.clock())]
            shown = with_local_dates(self.git, shown)
            if not shown:
                none = self._why_none(source, found)
                warnings.append(tr("{reason}. {way}", reason=none.reason, way=none.way))
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
            return with_notes(self.git, source, whole) if whole else None

        found, _, _ = self._first(look)
        if found is None:
            raise UsageError(
                tr("The source has no release {tag}.", tag=clean(tag, limit=80)),
                tr("`gitdeploy releases --all` lists them."),
            )
        return with_local_dates(self.git, [found])[0]

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
        known = self.memory.last()
        return known[1].release if known and known[1].release and known[1].release.tag == tag else None

    def has_other_word(self) -> bool:
        """Whether anybody but the git remote itself says which commit a tag is: a host's API, or a second source."""
        source = self.config.source
        return bool(source.fallback) or (source.type != "git" and self._places()[0].source.kind != "git")

    # ---- the sources ----

    def _places(self, *, everything: bool = False) -> list[Place]:
        """The configured source and its fallbacks, in order; behind a guessed one the plain git remote."""
        from gitdeploy.sources.finding import as_git, find, make_source

        if everything not in self._made:
            made: list[Place] = []
            for source in (self.config.source, *self.config.source.fallback):
                found = find(source, self.git)
                places = [(source, found, False)]
                if found.guessed and found.kind != "git":
                    plain = as_git(source)
                    places.append((plain, find(plain, self.git), True))
                for place, what, guessed in places:
                    one = make_source(
                        self.config, place, what, self.store, self.git, everything=everything, clock=self.clock
                    )
                    made.append(Place(one, guessed))
            self._made[everything] = made
        return self._made[everything]

    def _first(self, ask: Callable[[Source], T], *, everything: bool = False) -> tuple[T, Source, tuple[str, ...]]:
        """What the first source that can be asked answers, which one that is, and why the ones before it didn't."""
        failures: list[SourceError] = []
        for place in self._places(everything=everything):
            try:
                answer = ask(place.source)
            except SourceError as error:
                failures.append(error)
                continue
            return answer, place.source, _instead(place.source, failures)
        raise _all_failed(failures)

    def _choice(self, current: CodeState, most: int = 1, *, acting: bool) -> tuple[Chosen, tuple[str, ...]]:
        """What may be chosen, by the first source that can be asked, and why the ones before it couldn't.

        A list of tags stands in for a host that knows drafts and prereleases only in what that host cleared before: always
        where nobody configured the list; where it is a fallback, only to act, and only where the host did answer and refuses
        (a limit ends, a missing right is given). Where the host can't be reached at all, the fallback decides.
        """
        places = self._places()
        verdicts = Verdicts(self.store, self.memory.identity())
        chooser = Chooser(self.config.source, current, self.git, verdicts, self.clock)
        failures: list[SourceError] = []
        for place in places:
            knows_less = bool(failures) and place.source.tags_only and not places[0].source.tags_only
            refused = any(not isinstance(error, Unreachable) for error in failures)
            only_cleared = knows_less and (place.guessed or (acting and refused))
            try:
                chosen = chooser.choose(place.source, most=most, only_cleared=only_cleared, first=not failures)
            except SourceError as error:
                failures.append(error)
                continue
            if chosen.unclear and not chosen.newer:
                raise self._not_cleared(places[0].source, chosen, failures)
            troubles = _instead(place.source, failures)
            if chosen.unclear:
                troubles += (
                    tr(
                        "{tags} wait: {source} could not be asked about them.",
                        tags=_tags(chosen.unclear),
                        source=places[0].source.name,
                    ),
                )
            return chosen, troubles
        raise _all_failed(failures)

    @staticmethod
    def _not_cleared(host: Source, chosen: Chosen, failures: list[SourceError]) -> SourceError:
        error = failures[0]
        where = tr("The git remote") if chosen.source.kind == "git" else chosen.source.name
        tag = clean(chosen.unclear[0].tag)
        return type(error)(
            error.message,
            error.hint,
            details=(
                *error.details,
                *(other.message for other in failures[1:]),
                tr(
                    "{where} has {tags}; only {host} knows whether they are drafts or prereleases, so none is chosen.",
                    where=where,
                    tags=_tags(chosen.unclear),
                    host=host.name,
                ),
                tr(
                    "To install it all the same: gitdeploy upgrade {tag}. To go by tags alone: source.type: git",
                    tag=tag,
                ),
            ),
        )

    def _asked(self, current: CodeState, *, acting: bool) -> CheckResult:
        """The answer of this moment, which is remembered. ACTING: something is done upon it."""
        chosen, troubles = self._choice(current, acting=acting)
        newest = self._newest_of(chosen, current)
        if newest.release is not None and self.config.source.agree:
            newest = replace(newest, release=self._agreed(newest.release, chosen.source))
        newest = self.memory.compared_with_highest(replace(newest, warnings=(*troubles, *newest.warnings)))
        now = self.clock()
        self.memory.remember(now, newest)
        if newest.release is not None and chosen.newer:
            self.between.note(current, chosen.found, newest.release)
        return self._result(current, newest, now, from_cache=False)

    def _newest_of(self, chosen: Chosen, current: CodeState) -> Newest:
        source, warnings = chosen.source, list(chosen.warnings)
        passed = tuple(release.tag for release in chosen.passed)
        live = read_version(current.tag or "", self.config.source.tag_prefix)
        if chosen.newer:
            top: Release | None = chosen.newer[0]
        elif live is not None or not chosen.passed:
            top = chosen.standing
        else:  # HEAD is not a release itself: the highest that it is made of
            top = next(iter(source.details(chosen.passed[:1])), chosen.standing)
        if live is not None and chosen.passed:
            warnings.append(
                tr(
                    "{tags} {passed} than {current_tag}, but {current_tag} was made after: passed over. "
                    "Leave them out: source.tags",
                    tags=_tags(chosen.passed),
                    passed=tr("counts as a newer version") if len(passed) == 1 else tr("count as newer versions"),
                    current_tag=clean(current.tag or ""),
                )
            )
        if top is None:
            held_back = any(self.rules.is_release(release) for release in chosen.found)
            none = NoRelease(joined("; ", (*chosen.dated, *chosen.held)[:3]), "")
            if not none.reason:
                none = self._why_none(source, chosen.found)
            return Newest(
                None, source.name, tuple(warnings), none.reason, none.way or None, passed=passed, held_back=held_back
            )
        warnings += [tr("{why}.", why=why) for why in chosen.dated[:3]]
        return Newest(
            with_notes(self.git, source, top),
            source.name,
            tuple(warnings),
            head=current.commit,
            ahead=self._ahead(top) if live is None and not chosen.newer else None,
            passed=passed,
        )

    def _why_none(self, source: Source, found: Sequence[Release]) -> NoRelease:
        config = self.config.source
        tags = list(found)
        if not tags and literal_start(config.tags, config.tag_prefix):
            # The host was asked for tags that begin so, and for no others.
            places = [place.source for place in self._places()]
            whole = self._places(everything=True)[places.index(source)].source if source in places else source
            tags = list(listed(whole, self._rank, everything=True)[0])
        elsewhere = self.git.remotes_with_tags(config.remote if source.kind == "git" else "") if not tags else {}
        return why_none(tags, self.rules, source, elsewhere, config.remote)

    def _agreed(self, release: Release, source: Source) -> Release:
        """RELEASE with its commit, after another source named the same. Raises `PolicyError` where it names another,
        `SourceError` where none can say."""
        here = release if release.commit else source.release(release.tag) or release
        missing: list[str] = []
        for other in (place.source for place in self._places()):
            if other is source or (other.kind == "git" and source.kind == "git"):
                continue
            try:
                there = other.release(release.tag)
            except SourceError as error:
                missing.append(error.message)
                continue
            if there is None:
                missing.append(tr("{other} doesn't have {release_tag}.", other=other.name, release_tag=release.tag))
                continue
            pair = _comparable(here, there)
            if pair is None:
                missing.append(
                    tr("{other} doesn't say which commit {release_tag} is.", other=other.name, release_tag=release.tag)
                )
            elif pair[0] != pair[1]:
                raise PolicyError(
                    tr(
                        "{source} and {other} disagree about {release_tag}: {one} and {another}.",
                        source=source.name,
                        other=other.name,
                        release_tag=release.tag,
                        one=pair[0][:12],
                        another=pair[1][:12],
                    ),
                    tr("One of them was changed, or is a mirror that is behind. Find out which before you upgrade."),
                )
            else:
                return replace(release, commit=here.commit or there.commit)
        raise SourceError(
            tr(
                "Nobody but {source} says which commit {release_tag} is, and source.agree wants two that agree.",
                source=source.name,
                release_tag=release.tag,
            ),
            tr("Make the other source reachable, or set source.agree: false."),
            details=tuple(missing),
        )

    # ---- answering ----

    def _rank(self, release: Release) -> tuple[Version, str] | None:
        return self.rules.order(release) if self.rules.is_admitted(release) else None

    def _ahead(self, release: Release) -> int | None:
        return (self.git.commits_after(release.commit) or None) if release.commit else None

    def _age(self, at: float) -> str:
        return duration_text(max(0.0, self.clock() - at))

    def _result(self, current: CodeState, newest: Newest, at: float, *, from_cache: bool) -> CheckResult:
        prefix = self.config.source.tag_prefix
        release = newest.release
        here = read_version(current.tag or "", prefix) or read_version(current.version or "")
        there = read_version(release.tag, prefix) if release else None
        same = release is not None and (release.tag == current.tag or release.commit == current.commit)
        ahead = newest.ahead
        if newest.head != current.commit:  # what is live has changed since
            is_release = read_version(current.tag or "", prefix) is not None
            ahead = None if is_release or release is None else self._ahead(release)
        newer = there is not None and not same and not ahead and (here is None or there > here)
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
            warning=joined(" ", newest.warnings) or None,
            commits_ahead=ahead,
            reason=newest.reason,
            way=newest.way,
            held_back=newest.held_back,
            releases=self.between.known(current, release.tag) if newer and release is not None else (),
        )


def _tags(releases: list[Release]) -> str:
    return listing([clean(release.tag, limit=60) for release in releases], 3)


def _instead(source: Source, failures: list[SourceError]) -> tuple[str, ...]:
    """That SOURCE answered instead of the first, and why."""
    if not failures:
        return ()
    instead = tr(
        "This is the answer of {source} instead.", source=tr("the git remote") if source.kind == "git" else source.name
    )
    return (joined(" ", filter(None, (failures[0].message, instead, failures[0].hint))),)


def _all_failed(failures: list[SourceError]) -> SourceError:
    first, *others = failures
    return type(first)(first.message, first.hint, details=(*first.details, *(error.message for error in others)))


def _comparable(one: Release, other: Release) -> tuple[str, str] | None:
    """The ids by which two sources' words can be compared: commits, else the tags' own objects."""
    if one.commit and other.commit:
        return one.commit, other.commit
    return (one.object_id, other.object_id) if one.object_id and other.object_id else None
