"""The catalogue: which releases there are, which is newest, remembered between runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from gitdeploy.config import Config
from gitdeploy.errors import SourceError, UsageError
from gitdeploy.sources.base import CheckResult, Current, GitRemote, HttpStore, Release
from gitdeploy.sources.git import GitSource
from gitdeploy.text import clean, duration_text
from gitdeploy.versions import admitted, matches, order, read_version

LAST_CHECK = "last_check"


class Catalogue:
    """The one object that the app asks about releases."""

    def __init__(
        self, config: Config, store: HttpStore, git: GitRemote, clock: Callable[[], float] = time.time
    ) -> None:
        self.config = config
        self.store = store
        self.source = GitSource(config.source, git)
        self.clock = clock

    def check(self, current: Current, *, force: bool) -> CheckResult:
        """The newest release beside what is live. From the last answer within `check.interval`, unless FORCE; also, with
        a warning, where the source can't be reached. Raises `SourceError` where there is no answer at all."""
        known = self._last()
        if known is not None and not force and 0 <= self.clock() - known[0] < self.config.check.interval:
            return self._result(current, known[1], known[0], from_cache=True)
        try:
            newest = self._newest()
        except SourceError as error:
            if known is None:
                raise
            age = duration_text(max(0.0, self.clock() - known[0]))
            cached = self._result(current, known[1], known[0], from_cache=True)
            return replace(cached, warning=f"{error.message} This is the answer of {age} ago.")
        now = self.clock()
        warning = None
        if known is not None and known[1] is not None and newest is not None:
            prefix = self.config.source.tag_prefix
            if order(newest.tag, prefix) < order(known[1].tag, prefix):
                warning = f"The newest release is {newest.tag} now and was {known[1].tag} before: the source may be an old mirror."
        self._remember(now, newest)
        return replace(self._result(current, newest, now, from_cache=False), warning=warning)

    def releases(self, *, limit: int | None, all: bool) -> list[Release]:  # noqa: A002  # the option's own name
        """Releases, newest version first; ALL adds tags that are no versions, behind them."""
        config = self.config.source
        found = list(self.source.releases())
        versions = [r for r in found if self._is_release(r)]
        versions.sort(key=lambda release: order(release.tag, config.tag_prefix), reverse=True)
        if all:
            others = [r for r in found if not self._is_release(r)]
            return versions + sorted(others, key=lambda release: release.tag)
        return [self.source.with_notes(release) for release in versions[:limit]]

    def release(self, tag: str) -> Release:
        """One release. Raises `UsageError` where the source doesn't have it."""
        found = self.source.release(tag)
        if found is None:
            raise UsageError(
                f"The source has no release {clean(tag, limit=80)}.", "`gitdeploy releases --all` lists them."
            )
        return self.source.with_notes(found)

    def _is_release(self, release: Release) -> bool:
        config = self.config.source
        return matches(release.tag, config.tags) and read_version(release.tag, config.tag_prefix) is not None

    def _newest(self) -> Release | None:
        config = self.config.source
        candidates = [
            release
            for release in self.source.releases()
            if self._is_release(release)
            and (version := read_version(release.tag, config.tag_prefix)) is not None
            and admitted(version, config.channel)
        ]
        newest = max(candidates, key=lambda release: order(release.tag, config.tag_prefix), default=None)
        return self.source.with_notes(newest) if newest is not None else None

    def _last(self) -> tuple[float, Release | None] | None:
        text = self.store.meta_get(LAST_CHECK)
        if not text:
            return None
        try:
            data = json.loads(text)
            if data["source"] != self._identity():
                return None
            return float(data["at"]), Release(**data["release"]) if data["release"] else None
        except (ValueError, KeyError, TypeError):
            return None

    def _remember(self, at: float, newest: Release | None) -> None:
        from dataclasses import asdict

        document = {
            "at": at,
            "source": self._identity(),
            "latest_version": newest.version if newest else None,
            "release": asdict(newest) if newest else None,
        }
        self.store.meta_put(LAST_CHECK, json.dumps(document))

    def _identity(self) -> list[str | None]:
        config = self.config.source
        return [config.type, config.repo, config.url, config.remote, config.tags, config.tag_prefix, config.channel]

    def _result(self, current: Current, newest: Release | None, at: float, *, from_cache: bool) -> CheckResult:
        prefix = self.config.source.tag_prefix
        here = read_version(current.tag or "", prefix) or read_version(current.version or "")
        there = read_version(newest.tag, prefix) if newest else None
        same = newest is not None and (newest.tag == current.tag or newest.commit == current.commit)
        newer = there is not None and not same and (here is None or there > here)
        return CheckResult(
            update_available=newer,
            current_version=current.version,
            latest_version=newest.version if newest else None,
            latest_tag=newest.tag if newest else None,
            release_name=newest.name if newest else None,
            release_notes=newest.notes or None if newest else None,
            published_at=newest.published_at if newest else None,
            download_url=newest.url if newest else None,
            tarball_url=newest.tarball_url or None if newest else None,
            zipball_url=newest.zipball_url or None if newest else None,
            source=self.source.name,
            is_newer=newer,
            is_same=same,
            is_older=there is not None and not same and not newer,
            checked_at=datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
            from_cache=from_cache,
            commit=newest.commit if newest else None,
        )
