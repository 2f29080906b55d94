"""When a release whose upgrade failed here for no fault of its own is tried again by itself: later each time that it fails in
the same way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.site.blame import same_failure
from gitdeploy.site.memory import settings_changed
from gitdeploy.site.site import Site
from gitdeploy.state import Database
from gitdeploy.text import clean, moment_text

_SHORTEST = 900.0  # seconds until the first further try, where releases are looked for more often
_LONGEST = 7 * 86400.0  # seconds between two tries at the most
_LOOKED_AT = 50  # deployments


class Again(Struct, frozen=True):
    """`tries`: so many in a row failed with the same `why`; `at`: when the next one may begin."""

    tries: int
    why: str
    at: datetime

    def sentence(self, tag: str) -> str:
        times = (
            tr("failed here") if self.tries == 1 else tr("failed here {tries} times in the same way", tries=self.tries)
        )
        return tr(
            "{tag} {times}, so it is tried again at {moment}: {why} Sooner: gitdeploy upgrade {tag}",
            tag=tag,
            times=times,
            moment=moment_text(self.at.isoformat()),
            why=self.why,
        )


def next_try(site: Site, database: Database, tag: str, interval: float) -> Again | None:
    """None where nothing speaks against trying TAG now: neither its last upgrade here nor its rehearsal failed, or somebody has
    changed the app's settings since and may have mended what failed. INTERVAL: seconds between two looks."""
    causes: list[str] = []
    ended = ""
    # A refusal, such as for a try too soon, tells nothing of whether it would fail again.
    upgrades = database.tries(_LOOKED_AT)
    for row in upgrades:
        if row.status not in ("failed", "rolled_back") or row.target.get("tag") != tag:
            break
        cause = str((row.error or {}).get("message", "")).partition("\n")[0]
        if causes and not same_failure(causes[0], cause):
            break
        ended = ended or str(row.ended_at)
        causes.append(cause)
    if not causes or settings_changed(site, database, upgrades[0].id):
        return None
    wait = min(max(interval, _SHORTEST) * 2.0 ** (len(causes) - 1), _LONGEST)
    moment = datetime.fromisoformat(ended)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        return None  # the clock was ahead when it failed: what it would be waited for may be years away
    return Again(len(causes), clean(causes[0], limit=300), moment + timedelta(seconds=wait))
