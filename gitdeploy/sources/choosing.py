"""The choice of one source's list: which releases are newer than what is live, by number and by history."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace
from packaging.version import Version

from gitdeploy.config import SourceConfig
from gitdeploy.messages import tr
from gitdeploy.sources.base import GitRemote, Release, Source
from gitdeploy.sources.judging import Rules, is_future
from gitdeploy.sources.listing import listed
from gitdeploy.sources.verdicts import Verdicts
from gitdeploy.text import clean
from gitdeploy.versions import CodeState, read_version

MOST_ASKED = (
    10  # newest tags whose details are asked for one by one before giving up (drafts, prereleases, future ones)
)


class Place(Struct, frozen=True):
    """One source in the order in which they are asked. `guessed`: it only stands behind a source that nobody configured."""

    source: Source
    guessed: bool = False


class Chosen(Struct):
    """What a source's list comes to beside what is live.

    `newer`: releases to upgrade to, newest first. `standing`: the newest of those that are no update. `passed`: higher by
    number, and HEAD is made of them. `unclear`: newer, and the host that knows could not be asked about them. `held`: why
    the host holds some above back, `dated`: which of those are of a time to come. `found`: everything that was listed.
    """

    source: Source
    newer: list[Release] = field(default_factory=list)
    standing: Release | None = None
    passed: list[Release] = field(default_factory=list)
    unclear: list[Release] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    dated: list[str] = field(default_factory=list)
    found: Sequence[Release] = ()
    warnings: list[str] = field(default_factory=list)


class Chooser:
    """Looks through lists for CURRENT."""

    def __init__(
        self, config: SourceConfig, current: CodeState, git: GitRemote, verdicts: Verdicts, clock: Callable[[], float]
    ) -> None:
        self.rules, self.current, self.git, self.verdicts, self.clock = Rules(config), current, git, verdicts, clock
        prefix = config.tag_prefix
        self.here = read_version(current.tag or "", prefix) or read_version(current.version or "")
        self._contained: frozenset[str] | None = None
        self._asked: dict[str, bool] = {}

    def choose(self, source: Source, *, most: int = 1, only_cleared: bool, first: bool) -> Chosen:
        """Up to MOST newer releases of SOURCE. ONLY_CLEARED: it stands in for a host that knows more. FIRST: its word is
        the host's own, and is remembered. Raises `SourceError`."""
        chosen = Chosen(source)
        chosen.found, sentence = listed(source, self._rank, enough=most)
        chosen.warnings += [sentence] if sentence else []
        candidates = sorted(filter(self.rules.is_admitted, chosen.found), key=self.rules.order, reverse=True)
        newer = [release for release in candidates if self._may_be_newer(release)]
        chosen.passed = [release for release in newer if self.is_contained(release)]
        passed = {release.tag for release in chosen.passed}
        newer = [release for release in newer if release.tag not in passed]
        if only_cleared:
            self._cleared(chosen, newer[:200], most)
        else:
            self._judged(chosen, newer, most, first=first)
        if not chosen.newer:
            self._standing(chosen, [release for release in candidates if not self._may_be_newer(release)])
        top = chosen.newer[0] if chosen.newer else chosen.standing
        if top is not None:
            equal = [
                r.tag for r in candidates if r.tag != top.tag and self.rules.order(r)[0] == self.rules.order(top)[0]
            ]
            if equal:
                chosen.warnings.append(
                    tr(
                        "{top_tag} and {equal} name the same version; {top_tag} counts.",
                        top_tag=top.tag,
                        equal=", ".join(equal[:3]),
                    )
                )
        return chosen

    def _rank(self, release: Release) -> tuple[Version, str] | None:
        """What the highest is found by; None for what can't be the newest."""
        if not self.rules.is_admitted(release) or (self._may_be_newer(release) and self._is_known_contained(release)):
            return None
        return self.rules.order(release)

    def _may_be_newer(self, release: Release) -> bool:
        """Whether its number is higher than that of what is live, or that can't be told."""
        if release.tag == self.current.tag or (release.commit and release.commit == self.current.commit):
            return False
        version = self.rules.version(release)
        return version is not None and (self.here is None or version > self.here)

    # ---- history ----

    def _is_known_contained(self, release: Release) -> bool:
        if self._contained is None:
            self._contained = self.git.contained()
        return release.commit in self._contained or release.object_id in self._contained

    def is_contained(self, release: Release) -> bool:
        """Whether HEAD is made of RELEASE, whatever its number, as far as its objects are here."""
        if self._is_known_contained(release):
            return True
        commit = release.commit
        if commit is None:
            return False
        if commit not in self._asked and len(self._asked) < MOST_ASKED:
            self._asked[commit] = self.git.commits_after(commit) is not None
        return self._asked.get(commit, False)

    # ---- the host's word ----

    def _cleared(self, chosen: Chosen, newer: Sequence[Release], most: int) -> None:
        for release in newer:
            verdict = self.verdicts.of(release)
            if verdict is None and not chosen.newer:
                chosen.unclear.append(release)
            elif verdict and len(chosen.newer) < most:
                chosen.newer.append(release)

    def _judged(self, chosen: Chosen, newer: Sequence[Release], most: int, *, first: bool) -> None:
        """Ask the host what it says of the NEWER ones: one by one until one will do, many at once."""
        groups = [[release] for release in newer[:MOST_ASKED]] if most == 1 else [list(newer[:most])]
        for group in groups:
            if not group or len(chosen.newer) >= most:
                break
            if not first:
                group = [release for release in group if self.verdicts.of(release) is not False]
            whole = {release.tag: release for release in chosen.source.details(group)} if group else {}
            cleared, held = [], []
            for release in filter(None, (whole.get(release.tag) for release in group)):
                why = self.rules.held_back(release, self.clock())
                if why is None:
                    cleared.append(self.with_commit(release))
                else:
                    held.append(release)
                    (chosen.dated if is_future(release, self.clock()) else chosen.held).append(why)
            if first and not chosen.source.tags_only:
                self.verdicts.remember(cleared, held, [release for release in group if release.tag not in whole])
            chosen.newer += cleared
        if most == 1 and not chosen.newer and len(newer) > MOST_ASKED:
            chosen.warnings.append(
                tr(
                    "{source} holds the {most_asked} highest releases back, from {tag} on; lower ones were "
                    "not looked at. source.tags can leave them out.",
                    source=chosen.source.name,
                    most_asked=MOST_ASKED,
                    tag=clean(newer[0].tag),
                )
            )

    def _standing(self, chosen: Chosen, others: Sequence[Release]) -> None:
        """The newest that is not an update, with what the host tells of it where it can be asked."""
        for release in others[:MOST_ASKED]:
            is_live = release.tag == self.current.tag or release.commit == self.current.commit
            whole = next(iter(chosen.source.details([release])), None)
            if whole is not None and (is_live or self.rules.held_back(whole, self.clock()) is None):
                chosen.standing = self.with_commit(whole)
                return

    def with_commit(self, release: Release) -> Release:
        """RELEASE with its commit where the host named only the tag's own object, and that is here."""
        if release.commit is not None or release.object_id is None:
            return release
        return replace(release, commit=self.git.commit_of(release.object_id))
