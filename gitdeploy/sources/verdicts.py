"""What a host once said of its releases: cleared, or held back (a draft, a prerelease, a date ahead).

A plain list of tags doesn't know. Where it must stand in for a host that can't be asked, nothing is chosen but what the
host itself cleared before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gitdeploy.sources.base import HttpStore, Release

VERDICTS = "verdicts"
_MOST = 200  # tags that are remembered


class Verdicts:
    """The memory of one source's word. IDENTITY: what it was asked with; another's word doesn't count."""

    def __init__(self, store: HttpStore, identity: list[object]) -> None:
        self.store, self.identity = store, identity

    def remember(self, cleared: Sequence[Release], held: Sequence[Release], withdrawn: Sequence[Release] = ()) -> None:
        """The host itself said so just now. WITHDRAWN: it no longer shows them as releases (drafts)."""
        known = before = self._known()
        for releases, ok in ((held, False), (withdrawn, False), (cleared, True)):
            for release in releases:
                known = {tag: value for tag, value in known.items() if tag != release.tag}
                known[release.tag] = [ok, release.commit, release.object_id]
        if known != before:
            kept = dict(list(known.items())[-_MOST:])
            self.store.meta_put(VERDICTS, json.dumps({"source": self.identity, "tags": kept}))

    def of(self, release: Release) -> bool | None:
        """True: cleared, False: held back, None: nothing is known of it, or it names another commit now."""
        known = self._known().get(release.tag)
        if known is None:
            return None
        ok, commit, object_id = known
        if not ok:
            return False
        same = (commit is not None and commit == release.commit) or (
            object_id is not None and object_id == release.object_id
        )
        return True if same else None

    def _known(self) -> dict[str, Any]:
        try:
            data = json.loads(self.store.meta_get(VERDICTS) or "null")
        except ValueError:
            return {}
        if not isinstance(data, dict) or data.get("source") != self.identity or not isinstance(data.get("tags"), dict):
            return {}
        return {tag: value for tag, value in data["tags"].items() if isinstance(value, list) and len(value) == 3}
