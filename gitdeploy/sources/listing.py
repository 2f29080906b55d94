"""How far a source's list is read: to its end where the highest version may stand anywhere, else no further than needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from packaging.version import Version

from gitdeploy.messages import tr
from gitdeploy.sources.base import Page, Release, Source

MOST_PAGES = 50  # of one list, before it is left at that
PAGES_BY_DATE = 2  # where the newest come first: the second must bring nothing higher


def listed(
    source: Source,
    rank: Callable[[Release], tuple[Version, str] | None],
    *,
    enough: int = 1,
    everything: bool = False,
) -> tuple[Sequence[Release], str | None]:
    """What a source lists, and a sentence where that was not all of it.

    A host that orders by version is asked no further than to the page with ENOUGH that RANK takes; one that orders by
    date until a page (the second at the earliest) brings nothing higher; others to their end. Never more than
    `MOST_PAGES`, and no further than to a page that repeats what was listed. everything: as far as that, whatever the
    order.
    """
    found: list[Release] = []
    seen: set[str] = set()
    page = Page(())
    best: tuple[Version, str] | None = None
    ranked = 0
    for number, page in enumerate(source.pages(), 1):
        new = [release for release in page.releases if release.tag not in seen]
        found += new
        seen.update(release.tag for release in new)
        ranks = [each for each in map(rank, page.releases) if each is not None]
        ranked += len(ranks)
        highest = max(ranks, default=None)
        higher = highest is not None and (best is None or highest > best)
        best = highest if higher else best
        if source.order == "version" and ranked >= enough and not everything:
            return found, None
        left = source.order == "date" and number >= PAGES_BY_DATE and not higher and not everything
        repeats = bool(page.releases) and not new
        if left or repeats or number >= MOST_PAGES or not page.more:
            break
    if not page.more and not (page.total is not None and len(found) < page.total):
        return found, None
    of = tr(" of {total}", total=page.total) if page.total else ""
    which = tr("newest by date") if source.order == "date" else tr("first that it lists")
    return found, (
        tr(
            "{source} has more tags than were looked at: the {found}{of} {which}. source.tags can narrow them.",
            source=source.name,
            found=len(found),
            of=of,
            which=which,
        )
    )
