"""The way from what is live to a release: through those that may not be skipped, and those that others require.

What a release says can only make the way longer. `stop` and `requires` of its deploy.yaml decide nothing else, and a person
may go past them: `--skip-stops`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from packaging.version import Version

from gitdeploy.checkout.changes import Problem
from gitdeploy.deployment.plan.options import Options
from gitdeploy.errors import UsageError
from gitdeploy.messages import tr
from gitdeploy.site.between import MOST, Between, Release
from gitdeploy.text import listing, shell_word
from gitdeploy.versions import CodeState, satisfies

MOST_HOPS = 50
_MOST_LOOKS = 20_000  # comparisons of a version with a range, so that no set of releases takes longer


class Hop(Struct, frozen=True):
    """One deployment on the way. `why`: `stop` (it may not be skipped), `requires` (of the release `of`), `migrations` (the
    database needs migrations that the release `of` has no more), or empty: it is where the way leads."""

    tag: str
    commit: str
    why: str = ""
    of: str = ""

    @property
    def reason(self) -> str:
        """`v2.5 (may not be skipped)`."""
        words = {
            "stop": tr("{tag} (may not be skipped)", tag=self.tag),
            "requires": tr("{tag} ({of} requires it)", tag=self.tag, of=self.of),
            "migrations": tr("{tag} (has migrations that {of} has no more)", tag=self.tag, of=self.of),
        }
        return words.get(self.why, self.tag)

    def as_dict(self) -> dict[str, Any]:
        """The shape of an entry of `hops` in `plan --json`."""
        return {"tag": self.tag, "commit": self.commit, "why": self.why or None, "of": self.of or None}


class Way(Struct, frozen=True):
    """`hops`: the deployments that lead to a release, itself the last; empty where one is enough, and where there is no way:
    then `none` says why. `needs`: migrations that the database still needs and that the release has no more, in words."""

    hops: tuple[Hop, ...] = ()
    none: str = ""
    needs: tuple[str, ...] = ()


DIRECT = Way()


def find_way(between: Between, origin: CodeState) -> Way:
    """The way through BETWEEN. Asks nobody."""
    target = between.target
    if target is None:
        return DIRECT
    if not between.whole:
        return Way(
            none=tr(
                "There are more than {most} releases between {origin} and {target}; which of them may be skipped is not "
                "looked at.",
                most=MOST,
                origin=origin.name,
                target=target.tag,
            )
        )
    search = _Search(between.releases)
    here, hops = between.live, []
    for release in (*(each for each in between.releases if each.says.stop), target):
        before = search.leading_to(release, here)
        if before is None:
            return Way(none=_no_way(release, origin))
        hops += [Hop(each.tag, each.commit, "requires", release.tag) for each in before]
        hops.append(Hop(release.tag, release.commit, "stop" if release is not target else ""))
        here = release.version
    if len(hops) > MOST_HOPS:
        return Way(none=tr("The way to {target} would take {hops} deployments.", target=target.tag, hops=len(hops)))
    return Way(tuple(hops)) if len(hops) > 1 else DIRECT


def require_whole_steps(options: Options) -> None:
    """Where several releases are gone through, each of them has to run. Raises `UsageError`."""
    left_out = {
        "--no-hooks": not options.hooks,
        "--no-restart": not options.restart,
        "--skip-stops": options.skip_stops,
        "--migrate never": not options.migrate,
        "--migrate first": options.half,
    }
    for word in [word for word, given in left_out.items() if given]:
        raise UsageError(
            tr("--through and {left_out} exclude each other.", left_out=word),
            tr("With --through each release on the way is installed, migrated and started."),
        )


def problems_of(way: Way, origin: CodeState, target: CodeState) -> Iterator[Problem]:
    """Why an upgrade from ORIGIN to TARGET in one step is refused, and the ways out."""
    tag = shell_word(target.tag or "")
    skip = tr("To skip them all the same: gitdeploy upgrade {tag} --skip-stops", tag=tag)
    if way.none:
        yield Problem(way.none, tr("To install it all the same: gitdeploy upgrade {tag} --skip-stops", tag=tag), True)
    elif way.hops:
        before = listing([hop.reason for hop in way.hops[:-1]], 10)
        needs = tr(" The database still needs {needs}.", needs=listing(list(way.needs), 5)) if way.needs else ""
        yield Problem(
            tr(
                "{target} can't be installed over {origin} directly. First comes {before}.{needs}",
                target=target.name,
                origin=origin.name,
                before=before,
                needs=needs,
            ),
            tr(
                "To go there step by step, each a whole deployment: gitdeploy upgrade --through {tag}\n"
                "The first alone: gitdeploy upgrade {first}\n{skip}",
                tag=tag,
                first=shell_word(way.hops[0].tag),
                skip=skip,
            ),
            refused=True,
        )


def _no_way(release: Release, origin: CodeState) -> str:
    return tr(
        "{tag} requires {requires}; {origin} is live, and no release between them is one of those.",
        tag=release.tag,
        requires=release.says.requires,
        origin=origin.name,
    )


class _Search:
    """Finds what must run before a release that requires something, newest first."""

    def __init__(self, releases: Sequence[Release]) -> None:
        self._releases = releases
        self._looks = 0

    def leading_to(self, release: Release, here: Version | None, depth: int = 0) -> list[Release] | None:
        """The releases to go through from HERE before RELEASE; None where there is no such way."""
        if self._fits(here, release):
            return []
        if depth > MOST_HOPS:
            return None
        for each in reversed(self._releases):
            if each.version < release.version and (here is None or each.version > here):
                if not self._fits(each.version, release):
                    continue
                before = self.leading_to(each, here, depth + 1)
                if before is not None:
                    return [*before, each]
        return None

    def _fits(self, version: Version | None, release: Release) -> bool:
        if not release.says.requires:
            return True
        self._looks += 1
        return version is not None and self._looks <= _MOST_LOOKS and satisfies(str(version), release.says.requires)
