"""The releases between what is live and one that is gone to, and what each says about the way: read from git, not installed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from packaging.version import Version

from gitdeploy.checkout import remote as remotes
from gitdeploy.checkout.lineage import made_of
from gitdeploy.config.document import LARGEST
from gitdeploy.config.on_the_way import ANY, OnTheWay, read_on_the_way
from gitdeploy.errors import GitDeployError, SourceError
from gitdeploy.messages import tr
from gitdeploy.site.remotes import fetch_places
from gitdeploy.text import count, listing
from gitdeploy.versions import CodeState, admitted, matches, order, read_version, valid_tag

if TYPE_CHECKING:
    from gitdeploy.site.site import Site
    from gitdeploy.state import Database

MOST = 1000  # releases between two; of more, which may be skipped is not looked at
_LISTED = (
    "tags_between"  # in the database: tag -> commit of those that the last listing had, for when nobody can be asked
)
_FILE = "deploy.yaml"


class Release(Struct, frozen=True):
    """A release as git has it, and what its deploy.yaml says about the way to it."""

    tag: str
    commit: str
    version: Version
    says: OnTheWay


class Between(Struct, frozen=True):
    """`live`: the version that is live, or the highest release that HEAD is made of; None where neither is known.
    `releases`: those above it and below the target, oldest first. `whole`: False where there may be more, or others.
    `warnings`: sentences about what could not be told."""

    live: Version | None
    target: Release | None
    releases: tuple[Release, ...] = ()
    whole: bool = True
    warnings: tuple[str, ...] = ()


def read_between(site: Site, database: Database | None, origin: CodeState, target: CodeState, *, ask: bool) -> Between:
    """The releases between ORIGIN and TARGET, whose objects are here. ASK: the remote for its tags; else, and where it can't
    be asked, what is known here counts. Raises nothing for what a release's file holds."""
    prefix = site.config.source.tag_prefix
    high = read_version(target.tag or "", prefix)
    live = read_version(origin.tag or "", prefix) or read_version(origin.version or "")
    if high is None or (live is not None and live >= high):
        return Between(live, None)
    tags, warnings = _listed(site, database, ask=ask)
    found = {tag: (version, commit) for tag, version, commit in _admitted(site, tags) if version < high}
    if live is None:
        live = _made_of(site, origin.commit, found)
    found = {tag: pair for tag, pair in found.items() if live is None or pair[0] > live}
    if database is not None and not warnings:
        _remember(database, {tag: commit for tag, (_, commit) in found.items()})
    if len(found) > MOST:
        return Between(live, _read(site, target.tag or "", high, target.commit), whole=False, warnings=warnings)
    here, missing = _with_objects(site, {tag: commit for tag, (_, commit) in found.items()})
    if missing:
        warnings = (
            *warnings,
            tr(
                "Whether {tags} may be skipped can't be told: the remote could not be asked for {what}.",
                tags=listing(missing, 3),
                what=tr("it") if len(missing) == 1 else tr("them"),
            ),
        )
    says = _said(site, [*here.values(), target.commit])
    releases = [Release(tag, commit, found[tag][0], says[commit]) for tag, commit in here.items()]
    releases.sort(key=lambda release: order(release.tag, prefix))
    return Between(
        live,
        Release(target.tag or "", target.commit, high, says[target.commit]),
        tuple(releases),
        warnings=(*warnings, *_unreadable(releases)),
    )


def _listed(site: Site, database: Database | None, *, ask: bool) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """(tag -> commit, what is to be said of it)."""
    failure: GitDeployError | None = None
    for remote, credentials in fetch_places(site) if ask else ():
        try:
            found = remotes.ls_remote_tags(site.repository, remote, credentials)
        except SourceError as error:
            failure = failure or error
            continue
        return {tag: each.commit for tag, each in found.items()}, ()
    text = database.meta_get(_LISTED) if database is not None else None
    known: dict[str, str] = {**(json.loads(text) if text else {}), **site.repository.tag_commits()}
    said = tr("Releases that may not be skipped are looked for among those known here.")
    return known, (tr("{message} {said}", message=failure.message, said=said),) if failure is not None else ()


def _admitted(site: Site, tags: Mapping[str, str]) -> Iterable[tuple[str, Version, str]]:
    """(tag, version, commit) of those of TAGS that the channel admits by their names."""
    source = site.config.source
    for tag, commit in tags.items():
        if valid_tag(tag) is None and matches(tag, source.tags):
            version = read_version(tag, source.tag_prefix)
            if version is not None and admitted(version, source.channel):
                yield tag, version, commit


def _made_of(site: Site, head: str, found: Mapping[str, tuple[Version, str]]) -> Version | None:
    """The highest of FOUND that HEAD, which is no release itself, is made of."""
    contained = made_of(site.repository, head, [commit for _, commit in found.values()])
    return max((version for version, commit in found.values() if commit in contained), default=None)


def _remember(database: Database, found: Mapping[str, str]) -> None:
    text = json.dumps(dict(sorted(found.items())[:MOST]))
    if database.meta_get(_LISTED) != text:
        database.meta_put(_LISTED, text)


def _with_objects(site: Site, found: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """(those of FOUND whose commits are here, the tags of the others): those on branches of their own are fetched first."""

    def missing() -> list[str]:
        facts = site.repository.facts(list(found.values()))
        return [tag for tag, fact in zip(found, facts, strict=True) if fact is None]

    absent = missing()
    for remote, credentials in fetch_places(site) if absent else ():
        try:
            remotes.fetch_unnamed(site.repository, remote, absent, credentials)
        except GitDeployError:
            continue
        absent = missing()
        break
    return {tag: commit for tag, commit in found.items() if tag not in absent}, absent


def _read(site: Site, tag: str, version: Version, commit: str) -> Release:
    return Release(tag, commit, version, _said(site, [commit])[commit])


def _said(site: Site, commits: Sequence[str]) -> dict[str, OnTheWay]:
    """Commit -> what its deploy.yaml says. The same file, which most releases have, is read once."""
    file = site.config.file
    inside = file is not None and file.is_relative_to(site.root)
    path = os.path.relpath(file, site.root) if file is not None and inside else _FILE
    files = site.repository.files_at(commits, path)
    small = dict.fromkeys(facts.oid for facts in files.values() if facts.size <= LARGEST)
    texts = {oid: found[1] for oid, found in zip(small, site.repository.contents(list(small)), strict=True) if found}
    read = {oid: read_on_the_way(text) for oid, text in texts.items()}
    too_large = OnTheWay(problem=tr("it is larger than {largest} bytes", largest=LARGEST))
    return {commit: read.get(files[commit].oid, too_large) if commit in files else ANY for commit in commits}


def _unreadable(releases: Sequence[Release]) -> list[str]:
    wrong = [release for release in releases if release.says.problem]
    if not wrong:
        return []
    first = wrong[-1]
    more = tr(" (and of {number} more)", number=count(len(wrong) - 1, "release")) if len(wrong) > 1 else ""
    return [
        tr(
            "deploy.yaml of {tag}{more} can't be read, so it can't be installed and counts as one that may be skipped: "
            "{problem}",
            tag=first.tag,
            more=more,
            problem=first.says.problem,
        )
    ]
