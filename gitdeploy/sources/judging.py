"""Which tags of a list are releases, which of them may be chosen by itself, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from packaging.version import Version

from gitdeploy.config import SourceConfig
from gitdeploy.messages import tr
from gitdeploy.sources.base import Release, Source
from gitdeploy.text import clean, count, listing
from gitdeploy.versions import admitted, matches, order, read_version, scheme_prefix, valid_tag

EARLY = 300.0  # seconds that a host's clock may be ahead of ours


class Rules:
    """What `source` of deploy.yaml says of tags."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config

    def version(self, release: Release) -> Version | None:
        return read_version(release.tag, self.config.tag_prefix)

    def order(self, release: Release) -> tuple[Version, str]:
        return order(release.tag, self.config.tag_prefix)

    def is_release(self, release: Release) -> bool:
        return (
            valid_tag(release.tag) is None
            and matches(release.tag, self.config.tags)
            and self.version(release) is not None
        )

    def is_admitted(self, release: Release) -> bool:
        """Whether the channel takes it by itself, as far as its name tells."""
        version = self.version(release)
        return version is not None and self.is_release(release) and admitted(version, self.config.channel)

    def held_back(self, release: Release, now: float) -> str | None:
        """Why the host's own word keeps RELEASE (with its details) from being chosen; None where it doesn't."""
        if release.prerelease and self.config.channel == "stable":
            return tr(
                "{release_tag} is a prerelease, which source.channel: stable leaves out", release_tag=clean(release.tag)
            )
        if is_future(release, now):
            date = clean(release.published_at or "")[:16].replace("T", " ")
            return tr(
                "{release_tag} is dated {date}, which is yet to come; check this server's clock",
                release_tag=clean(release.tag),
                date=date,
            )
        return None


def is_future(release: Release, now: float) -> bool:
    try:
        at = datetime.fromisoformat(release.published_at or "")
    except ValueError:
        return False
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() > now + EARLY


class NoRelease(Struct, frozen=True):
    """Why a source has no release to upgrade to, and what changes that."""

    reason: str
    way: str


def why_none(
    found: Sequence[Release], rules: Rules, source: Source, elsewhere: Mapping[str, Sequence[str]], remote: str
) -> NoRelease:
    """Why none of the tags FOUND at SOURCE is a release to upgrade to. ELSEWHERE: tags of the other remotes, by their names."""
    config = rules.config
    where = clean(remote if source.kind == "git" else source.name, limit=100)
    shown = tr("{where} shows no release", where=where)
    if not found:
        return _no_tags(
            tr("{shown}: it has no tags, and branches aren't followed", shown=shown), config, source, elsewhere
        )
    within = [release.tag for release in found if matches(release.tag, config.tags)]
    if not within:
        names = _named([release.tag for release in found])
        return NoRelease(
            tr(
                "{shown}: none of its {count} matches source.tags, {tags} ({names})",
                shown=shown,
                count=count(len(found), "tag"),
                tags=clean(config.tags),
                names=names,
            ),
            tr("Change source.tags in deploy.yaml, or remove it: then all tags that name a version count."),
        )
    versions = [release for release in found if rules.is_release(release)]
    if not versions:
        return _no_versions(shown, within, config)
    names = _named([release.tag for release in sorted(versions, key=rules.order, reverse=True)])
    if all(version.is_prerelease for version in map(rules.version, versions) if version is not None):
        return NoRelease(
            tr("{where} shows only prereleases ({names})", where=where, names=names),
            tr("source.channel: prerelease in deploy.yaml takes them."),
        )
    return NoRelease(
        tr("{where} shows no release that is chosen automatically ({names})", where=where, names=names),
        tr("One of them by name: gitdeploy upgrade TAG"),
    )


def _no_tags(reason: str, config: SourceConfig, source: Source, elsewhere: Mapping[str, Sequence[str]]) -> NoRelease:
    for name, tags in elsewhere.items():
        if any(read_version(tag, config.tag_prefix) for tag in tags):
            way = tr(
                "Take the releases from there: set source.remote: {name} in deploy.yaml (with source.type: git).",
                name=clean(name),
            )
            if source.kind != "git":
                way = tr("Check source.repo. {way}", way=way)
            return NoRelease(
                tr(
                    "{reason}. The remote {name} has {count}",
                    reason=reason,
                    name=clean(name),
                    count=count(len(tags), "tag"),
                ),
                way,
            )
    return NoRelease(reason, tr("A release is a tag that names a version: git tag v1.0.0, and push it."))


def _no_versions(shown: str, tags: Sequence[str], config: SourceConfig) -> NoRelease:
    if config.tag_prefix and not any(tag.startswith(config.tag_prefix) for tag in tags):
        return NoRelease(
            tr(
                "{shown}: none of its tags begins with source.tag_prefix, {tag_prefix} ({named})",
                shown=shown,
                tag_prefix=clean(config.tag_prefix),
                named=_named(tags),
            ),
            tr("Change source.tag_prefix in deploy.yaml, or remove it."),
        )
    reason = tr("{shown}: none of its tags names a version ({named})", shown=shown, named=_named(tags))
    prefix = None if config.tag_prefix else scheme_prefix(tags)
    if prefix is not None:
        return NoRelease(reason, tr("Set source.tag_prefix: {prefix} in deploy.yaml.", prefix=prefix))
    return NoRelease(
        reason,
        tr("A release is a tag that names a version, such as v1.2.3; source.tag_prefix says what stands before."),
    )


def _named(tags: Sequence[str]) -> str:
    return listing([clean(tag, limit=60) for tag in tags[:4]] + list(tags[4:]), 3)
