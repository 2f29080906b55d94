"""Looking for releases by itself: tell once about a new one, and say which may be installed without a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from packaging.version import Version

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.site.memory import FailedHere
from gitdeploy.site.pause import PAUSED, paused_sentence
from gitdeploy.site.site import Site
from gitdeploy.site.skipping import Skips
from gitdeploy.site.tags import check_tag
from gitdeploy.state import BadRelease, Database
from gitdeploy.text import clean, duration_text
from gitdeploy.upkeep import updates
from gitdeploy.upkeep.again import next_try
from gitdeploy.versions import CodeState, order, read_version

if TYPE_CHECKING:
    from gitdeploy.sources import CheckResult, Release

SAID_BAD = "said_bad"  # in the database: the release that failed here, of which was said that it is not tried again
TOLD = "told_update"  # in the database: the release that people were told about
NOTICED = "noticed"  # in the database: tag and commit -> when that was first noticed here
_MOST_NOTICED = 1000


class Look(Struct, frozen=True):
    """What one look came to: `tag` may be installed now by itself; `reason` says why nothing is, or why the newest release
    isn't; `again` is when that changes, where it is known; `told`: people were told about a new release. `bad`: the newest
    release failed here before, so it is neither offered nor told; `bad_known`: an earlier look said so; `waits`: what of
    `reason` is about the release that comes in its place."""

    check: CheckResult
    tag: str | None
    reason: str
    again: datetime | None = None
    told: bool = False
    problems: tuple[str, ...] = ()
    bad: BadRelease | None = None
    bad_known: bool = False
    waits: str = ""


class Decision(Struct, frozen=True):
    """`wanted`: the release that may be installed automatically, now where `reason` is empty; else that says what it waits for,
    and `again` until when, where it is known."""

    wanted: str | None
    reason: str = ""
    again: datetime | None = None


def look(site: Site, database: Database, live: CodeState, *, moment: datetime | None = None) -> Look:
    """Ask the source, tell people once about a new release, decide. Raises `SourceError` where it can't be asked."""
    now = moment or datetime.now(UTC)
    result = updates.ask(site, database, live)
    bad = database.bad_release(result.commit) if result.update_available and result.commit else None
    unwanted = (
        bad is not None or Skips.read(database, site.config.source.tag_prefix).against(result.latest_tag) is not None
    )
    told, problems = (False, ()) if unwanted else _tell_once(site, database, result)
    if result.warning:
        problems = (*problems, result.warning)
    if not result.update_available:
        return Look(result, None, tr("{nothing}.", nothing=result.nothing(live.name)), None, told, problems)
    decision = decide(site, database, live, now)
    tag = decision.wanted if not decision.reason else None
    if bad is None:
        return Look(result, tag, decision.reason, decision.again, told, problems)
    waits = decision.reason if decision.wanted is not None else ""
    reason = f"{failed_before(bad)} {waits}".rstrip()
    return Look(result, tag, reason, decision.again, told, problems, bad, _known(database, bad), waits)


def skipped(skips: Skips, tag: str) -> str:
    """Why the skipped release TAG is not installed; empty where it isn't skipped."""
    found = skips.against(tag)
    return tr("{sentence} To allow it: {way}", sentence=found.sentence, way=found.way) if found is not None else ""


def failed_before(bad: BadRelease) -> str:
    return tr(
        "{bad_tag} failed here before, so it won't be retried automatically: {reason}",
        bad_tag=clean(bad.tag),
        reason=clean(bad.reason),
    )


def _known(database: Database, bad: BadRelease) -> bool:
    """Whether an earlier look said that BAD failed here; from now on one has."""
    name = tr("{commit} {at}", commit=bad.commit, at=bad.at)
    if database.meta_get(SAID_BAD) == name:
        return True
    database.meta_put(SAID_BAD, name)
    return False


def decide(site: Site, database: Database, live: CodeState, now: datetime) -> Decision:
    """The newest release that `check` of deploy.yaml admits that didn't fail here and isn't skipped, and whether its time has come."""
    settings = site.config.check
    if settings.upgrade == "never":
        return Decision(None, tr("Releases are installed by hand (check.upgrade: never)."))
    if _live_version(site, live) is None and settings.upgrade != "all":
        return Decision(
            None,
            tr(
                "HEAD is not a release, so what is a `check.upgrade: {upgrade}` can't be told. By hand: gitdeploy upgrade",
                upgrade=settings.upgrade,
            ),
        )
    found = candidates(updates.newer(site, database, live), live, site)
    if not found:
        return Decision(
            None,
            tr(
                "Nothing newer than {live} that `check.upgrade: {upgrade}` admits.",
                live=live.name,
                upgrade=settings.upgrade,
            ),
        )
    failed = FailedHere.read(site, database)
    found_bad = {r.tag: bad for r in found if (bad := failed.find(r.tag, r.commit, r.object_id)) is not None}
    skips = Skips.read(database, site.config.source.tag_prefix)
    good = [release for release in found if release.tag not in found_bad and skips.against(release.tag) is None]
    if not good:
        bad = found_bad.get(found[0].tag)
        return Decision(None, failed_before(bad) if bad is not None else skipped(skips, found[0].tag))
    since = _since(database, found, now)
    old = [release for release in good if now - since[release.tag] >= timedelta(seconds=settings.min_age)]
    if not old:
        ripe = min(since[release.tag] for release in good) + timedelta(seconds=settings.min_age)
        wait = duration_text((ripe - now).total_seconds())
        reason = tr("{tag} is younger than check.min_age admits; {wait} are left.", tag=good[0].tag, wait=wait)
        return Decision(good[0].tag, reason, ripe)
    wanted = old[0].tag
    if (paused := database.meta_get(PAUSED)) is not None:
        return Decision(wanted, paused_sentence(paused))
    again = next_try(site, database, wanted, settings.interval)
    if again is not None and now < again.at:
        return Decision(wanted, again.sentence(wanted), again.at)
    if settings.window is not None and not settings.window.contains(now):
        return Decision(
            wanted,
            tr("{wanted} waits for the window {window}.", wanted=wanted, window=settings.window),
            settings.window.opens(now),
        )
    return Decision(wanted)


def held_back(site: Site, database: Database, live: CodeState, tag: str, now: datetime) -> str:
    """Why TAG, a release on the way to one that may be installed automatically, may not be now; empty where it may. Raises
    `SourceError`."""
    settings = site.config.check
    found = [release for release in updates.newer(site, database, live) if release.tag == tag]
    if not found:
        return tr("{tag} is on the way and is no release that the source offers.", tag=clean(tag))
    if not candidates(found, live, site):
        return tr(
            "{tag} is on the way, and `check.upgrade: {upgrade}` does not admit it.",
            tag=clean(tag),
            upgrade=settings.upgrade,
        )
    release = found[0]
    bad = FailedHere.read(site, database).find(tag, release.commit, release.object_id)
    if bad is not None:
        return failed_before(bad)
    if why := skipped(Skips.read(database, site.config.source.tag_prefix), tag):
        return why
    again = next_try(site, database, tag, settings.interval)
    if again is not None and now < again.at:
        return again.sentence(tag)
    ripe = _since(database, found, now)[tag] + timedelta(seconds=settings.min_age)
    if now < ripe:
        wait = duration_text((ripe - now).total_seconds())
        return tr("{tag} is younger than check.min_age admits; {wait} are left.", tag=tag, wait=wait)
    if settings.window is not None and not settings.window.contains(now):
        return tr("{wanted} waits for the window {window}.", wanted=tag, window=settings.window)
    return ""


def candidates(releases: Sequence[Release], live: CodeState, site: Site) -> list[Release]:
    """Those of RELEASES, newer than what is live, that `check.upgrade` admits, newest first."""
    prefix = site.config.source.tag_prefix
    here = _live_version(site, live)
    found = [
        release
        for release in releases
        if (version := read_version(release.tag, prefix)) is not None
        and (here is None or within(here, version, site.config.check.upgrade))
        and _installable(release.tag)
    ]
    return sorted(found, key=lambda release: order(release.tag, prefix), reverse=True)


def _live_version(site: Site, live: CodeState) -> Version | None:
    return read_version(live.tag or "", site.config.source.tag_prefix) or read_version(live.version or "")


def within(here: Version, there: Version, policy: str) -> bool:
    """Whether the step from HERE to THERE is a `patch` (same first two numbers), a `minor` (same first) or any."""
    if policy == "all":
        return True
    numbers = {"patch": 2, "minor": 1}.get(policy)
    if numbers is None:
        return False
    padded = [(*version.release, 0, 0)[:numbers] for version in (here, there)]
    return here.epoch == there.epoch and padded[0] == padded[1]


def _installable(tag: str) -> bool:
    try:
        check_tag(tag)
    except GitDeployError:
        return False
    return True


def _since(database: Database, releases: Sequence[Release], now: datetime) -> dict[str, datetime]:
    """Since when each release is out: the later of what its source says, which its author can set, and of when it was
    first noticed here, as this commit."""
    noticed: dict[str, str] = json.loads(database.meta_get(NOTICED) or "{}")
    keys = {release.tag: f"{release.tag} {release.commit or release.object_id or ''}".strip() for release in releases}
    new = {key: now.isoformat() for key in keys.values() if _moment(noticed.get(key), now) is None}
    if new:
        noticed = dict(list({**noticed, **new}.items())[-_MOST_NOTICED:])
        database.meta_put(NOTICED, json.dumps(noticed))
    found = {}
    for release in releases:
        here = _moment(noticed.get(keys[release.tag]), now) or now
        found[release.tag] = max(here, _moment(release.published_at, now) or here)
    return found


def _moment(text: str | None, now: datetime) -> datetime | None:
    """TEXT as a time; None for what is none, or is to come: a wrong clock, or an author who plans ahead."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return moment if moment <= now else None


def _tell_once(site: Site, database: Database, result: CheckResult) -> tuple[bool, tuple[str, ...]]:
    """Tell whoever `notify` names about a new release, once. Returns (told, problems as sentences)."""
    if not result.update_available or not site.config.notify:
        return False, ()
    name = f"{result.latest_tag} {result.commit or ''}".strip()
    if database.meta_get(TOLD) == name:
        return False, ()
    database.meta_put(TOLD, name)  # before sending: a crash in between must not make it a message a day
    from gitdeploy import notify as sending

    sentence = tr(
        "{latest_tag} is available; {current_version} is live.",
        latest_tag=result.latest_tag,
        current_version=result.current_version or tr("an unknown version"),
    )
    notes = clean(result.release_notes or "", lines=True, limit=2000)
    message = sending.Message(
        "update_available",
        site.name,
        tr("{site}: update available", site=site.name),
        f"{sentence}\n\n{notes}".strip(),
        clean(result.current_version or ""),
        clean(result.latest_tag or ""),
        "",
        "",
        *sending.place_of(site.config),
    )
    try:
        return True, tuple(sending.send(site.config.notify, message, site.config.expand))
    except GitDeployError as error:
        return True, (error.message,)
