"""What the last check found, and the highest release ever seen: small texts in state.db, each bound to what was asked.

An answer counts only for the settings and the remotes' URLs that it was asked with.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from gitdeploy.config import SourceConfig
from gitdeploy.messages import heard, said, tr
from gitdeploy.sources.base import GitRemote, HttpStore, Release
from gitdeploy.versions import order

LAST_CHECK = "last_check"
HIGHEST_SEEN = "highest_seen"


class Newest(Struct, frozen=True):
    """What a source answered: the newest release that the channel admits (None: there is none, `reason` says why,
    `way` what changes that; `held_back`: there are others), who said so, and sentences that the user must see.

    `ahead`: how many commits HEAD (`head`) is after it. `passed`: tags of a higher number that HEAD is made of.
    """

    release: Release | None
    source: str
    warnings: tuple[str, ...] = ()
    reason: str | None = None
    way: str | None = None
    head: str | None = None
    ahead: int | None = None
    passed: tuple[str, ...] = ()
    held_back: bool = False


class Memory:
    """Remembers answers of the sources of one configuration."""

    def __init__(self, config: SourceConfig, store: HttpStore, git: GitRemote) -> None:
        self.config, self.store, self.git = config, store, git
        self._identity: list[object] | None = None

    def identity(self) -> list[object]:
        """What is asked, and where."""
        if self._identity is None:
            config = self.config
            places = [
                [s.type, s.repo, s.url, s.remote, self.git.fingerprint(s.remote)] for s in (config, *config.fallback)
            ]
            self._identity = [places, config.tags, config.tag_prefix, config.channel, config.agree]
        return self._identity

    def last(self) -> tuple[float, Newest] | None:
        """When the last check was, and what it found; None where it asked something else."""
        data = self._stored(LAST_CHECK)
        if data is None or data.get("source") != self.identity():
            return None
        try:
            release = Release(**data["release"]) if data["release"] else None
            newest = Newest(
                release,
                str(data["asked"]),
                tuple(map(_heard, data["warnings"])),
                reason=_heard(data["reason"]),
                way=_heard(data["way"]),
                head=data["head"],
                ahead=data["ahead"],
                held_back=data["held_back"],
            )
            return float(data["at"]), newest
        except (ValueError, KeyError, TypeError):
            return None

    def remember(self, at: float, newest: Newest) -> None:
        document = {
            "at": at,
            "source": self.identity(),
            "asked": newest.source,
            "warnings": [said(warning) for warning in newest.warnings],
            "reason": said(newest.reason) if newest.reason is not None else None,
            "way": said(newest.way) if newest.way is not None else None,
            "head": newest.head,
            "ahead": newest.ahead,
            "held_back": newest.held_back,
            "release": asdict(newest.release) if newest.release else None,
        }
        self.store.meta_put(LAST_CHECK, json.dumps(document))

    def compared_with_highest(self, newest: Newest) -> Newest:
        """A warning where the newest is lower than one seen before: a frozen or rolled-back mirror shows old releases
        as if there were no newer ones."""
        known = self._stored(HIGHEST_SEEN) or {}
        tag = known.get("tag") if known.get("source") == self.identity() else None
        here = newest.release.tag if newest.release else None
        prefix = self.config.tag_prefix
        if isinstance(tag, str) and tag not in newest.passed and order(here, prefix) < order(tag, prefix):
            sentence = tr(
                "The newest release is {here} now and was {tag} before: {source} may be an old mirror, "
                "or that release was withdrawn.",
                here=here or tr("none"),
                tag=tag,
                source=newest.source,
            )
            return replace(newest, warnings=(*newest.warnings, sentence))
        if here is not None:
            self.store.meta_put(HIGHEST_SEEN, json.dumps({"source": self.identity(), "tag": here}))
        return newest

    def _stored(self, name: str) -> dict[str, Any] | None:
        try:
            data = json.loads(self.store.meta_get(name) or "null")
        except ValueError:
            return None
        return data if isinstance(data, dict) else None


def _heard(stored: Any) -> Any:
    """A sentence as it was stored; a text of an older gitdeploy, or none, as it is."""
    return heard(stored) if isinstance(stored, dict) else stored
