"""Which release it is, and its objects: chosen, fetched, compared with everything that is known of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy import upkeep
from gitdeploy.checkout import remote as remotes
from gitdeploy.checkout import remote_names
from gitdeploy.checkout.fetched import fetching
from gitdeploy.checkout.git import INCOMING_REFS
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.record.work import Work
from gitdeploy.errors import GitDeployError, NotFound, PolicyError, SourceError, UsageError
from gitdeploy.messages import tr
from gitdeploy.site.backwards import ahead, direction, lower
from gitdeploy.site.missing import missing_tag
from gitdeploy.site.remotes import fetch_places
from gitdeploy.site.signatures import require_signature
from gitdeploy.site.site import Site
from gitdeploy.site.skipping import Skips, refusal
from gitdeploy.site.tags import check_tag
from gitdeploy.state import Database
from gitdeploy.state.prepared import prepared_stages
from gitdeploy.upkeep.again import next_try
from gitdeploy.versions import CodeState, version_text

_RECEIVED = re.compile(r"Receiving objects: +100% .*?, ([0-9.]+ (?:bytes|[KMG]iB))")


class Chosen(Struct, frozen=True):
    """A release to go to: its tag and, once fetched, the commit; `said` is what the source called its commit."""

    target: CodeState
    said: str | None = None
    automatic: bool = False
    signed: int = 0  # when its signed tag was made, seconds since 1970; 0: no signature was wanted


class Nothing(Struct, frozen=True):
    """There is nothing to upgrade to, and why."""

    sentence: str


def choose(work: Work, tag: str | None, options: Options) -> Chosen | Nothing:
    """The release TAG, or the newest that the channel admits, where that neither failed here nor is skipped. Raises `UsageError`,
    `PolicyError`, `SourceError`."""
    site = work.site
    if tag is not None:
        check_tag(tag)
        chosen = Chosen(CodeState(_version(site, tag), tag, ""), automatic=work.session.caller.automatic)
        refusal = lower(work.origin, chosen.target, site)
        if refusal is not None and not options.allow_downgrade:
            raise refusal
        return chosen
    found = newest(site, work.database, work.origin, options)
    if isinstance(found, Nothing):
        return found
    check_tag(found.tag or "")
    _refuse_unwanted(work, found)
    if not work.session.caller.attended:
        _refuse_too_soon(work, found)
    return Chosen(replace(found, commit=""), said=found.commit or None, automatic=True)


def newest(site: Site, database: Database, live: CodeState, options: Options) -> CodeState | Nothing:
    """The newest release that the channel admits, asked for now, where it is newer than what is LIVE.

    Raises `SourceError` where it can't be told, `NotFound` where the source has no release at all, `PolicyError` where HEAD
    is made of the newest and more.
    """

    result = upkeep.updates.ask(site, database, live)
    if result.latest_tag is None and result.reason and not result.held_back:
        raise NotFound(tr("{reason}.", reason=result.reason), result.way or "")
    release = CodeState(result.latest_version, result.latest_tag, result.commit or "")
    if result.commits_ahead and result.latest_tag and not result.is_same:
        if options.allow_downgrade:
            return release
        raise ahead(site, release, result.commits_ahead)
    if not result.update_available or not result.latest_tag:
        if result.is_same:
            return Nothing(tr("{site} runs {live}, the newest release", site=site.name, live=live.name))
        return Nothing(result.nothing(live.name))
    return release


def fetch(work: Work, chosen: Chosen, options: Options) -> Chosen:
    """Fetch the tag's objects and compare its commit: what the source said, what the remote serves, what was seen first.

    Uses what is here already where it was prepared, or where the remote can't be reached and the tag is known.
    """
    tag = chosen.target.tag
    assert tag is not None
    site, repository = work.site, work.site.repository
    with work.journal.step("fetch") as shown:
        local = repository.resolve(f"refs/tags/{tag}")
        if local is not None and prepared_commit(site, tag) == local:
            shown.status, shown.summary = "skipped", tr("prepared before")
            commit = local
        else:
            work.journal.write("fetch", "", {"tag": tag})  # on disk before a ref that recovery has to know of
            commit, shown.summary = _from_remotes(work, tag, local)
        try:
            signed = _check(work, chosen, options, commit, local, prepared=shown.status == "skipped")
            if local != commit:
                remotes.take_incoming(repository, tag)
        except GitDeployError:
            remotes.drop_incoming(repository, tag)
            raise
        if local == commit and shown.status != "skipped":
            remotes.drop_incoming(repository, tag)
        work.database.remember_tag(tag, commit, replace=options.accept_moved_tag)
    target = CodeState(_version(site, tag), tag, commit)
    if chosen.automatic:
        _refuse_unwanted(work, target)  # again: only now is the commit known where the source didn't tell it
    work.aim(target)
    return replace(chosen, target=target, signed=signed)


def _check(work: Work, chosen: Chosen, options: Options, commit: str, local: str | None, *, prepared: bool) -> int:
    """Whether COMMIT may be what the tag is: compared with what is LOCAL, what was seen first and what the source says,
    and signed where that is wanted; when that signed tag was made. Raises `PolicyError`, `SourceError`, `UsageError`."""
    tag = chosen.target.tag
    assert tag is not None
    known_as = [(local, tr("here")), (work.database.first_seen(tag), tr("when it was first seen"))]
    if not prepared:
        known_as.append(_said(work, chosen, tag, commit))
    moved = moved_tag(tag, commit, known_as)
    if moved is not None and not options.accept_moved_tag:
        raise moved
    way = direction(work.site, work.origin, CodeState(None, tag, commit))
    if way.refusal is not None and not options.allow_downgrade:
        raise way.refusal
    if way.doubt is not None and chosen.automatic:
        raise way.doubt
    if way.said:
        work.journal.line(way.said, "warning")
    return require_signature(
        work.site, work.origin, CodeState(_version(work.site, tag), tag, commit), older=options.allow_downgrade
    )


def moved_tag(tag: str, commit: str, known_as: Sequence[tuple[str | None, str]]) -> PolicyError | None:
    """The refusal of TAG, which is COMMIT now, where it is KNOWN AS another (commit, where); None where it is not."""
    for known, where in known_as:
        if known is not None and known != commit:
            return PolicyError(
                tr(
                    "Tag {tag} was moved: its commit is {commit} now, {where} it is {known}.",
                    tag=tag,
                    commit=commit[:12],
                    where=where,
                    known=known[:12],
                ),
                tr("A release must not change after it was made. Ask its author; if it is right: --accept-moved-tag"),
            )
    return None


def _refuse_too_soon(work: Work, target: CodeState) -> None:
    """What fails again and again for a fault of this server is tried later each time where cron asks, as `watch` does it.
    Raises `PolicyError`."""
    assert target.tag is not None
    again = next_try(work.site, work.database, target.tag, interval=0)  # how often it is asked for is cron's matter
    if again is not None and datetime.now(UTC) < again.at:
        work.aim(target)
        raise PolicyError(again.sentence(target.tag))


def _refuse_unwanted(work: Work, target: CodeState) -> None:
    """A release that failed here before, or is skipped, is not chosen by itself. Raises `PolicyError`."""
    if target.commit and (bad := work.database.bad_release(target.commit)):
        work.aim(target)  # the log names what was refused
        raise PolicyError(
            tr(
                "{full} failed here before, so it won't be retried automatically: {reason}",
                full=target.full,
                reason=bad.reason,
            ),
            tr("To try it all the same: gitdeploy upgrade {target_tag}", target_tag=target.tag),
        )
    found = Skips.read(work.database, work.site.config.source.tag_prefix).against(target.tag)
    if found is not None and target.tag is not None:
        work.aim(target)
        raise refusal(found, target.tag)


def _said(work: Work, chosen: Chosen, tag: str, commit: str) -> tuple[str | None, str]:
    """(the commit of TAG by the source's own word, where that stands). COMMIT is what the remote served.

    None where nobody but the remote could say it. Raises `SourceError` where the source has no such tag, or doesn't
    answer and `source.agree` wants its word; `PolicyError` where two sources disagree.
    """

    releases = upkeep.updates.catalogue(work.site, work.database)
    if not releases.has_other_word():
        return chosen.said, tr("at the source")
    where = tr("at the source")
    try:
        release, name = releases.said(tag)
        where = tr("at {name}", name=name)
        if release is None:
            raise UsageError(
                tr("{name} has no tag {tag}, though the git remote has it.", name=name, tag=tag),
                tr("`gitdeploy releases --all` lists its tags."),
            )
    except SourceError as error:
        if work.site.config.source.agree:
            raise
        release = releases.remembered(tag)
        known = tr("as it said before") if release else tr("by what git alone knows")
        work.journal.line(
            tr("{message} Going by {tag} {known}.", message=error.message, tag=tag, known=known), "warning"
        )
    if release is None:
        return chosen.said, where
    if release.commit is None and release.object_id is not None:
        repository = work.site.repository
        name = INCOMING_REFS if repository.refs(f"{INCOMING_REFS}{tag}") else "refs/tags/"
        served = repository.output("rev-parse", "--verify", f"{name}{tag}").decode().strip()
        return (commit if served == release.object_id else release.object_id), where
    return release.commit, where


def _from_remotes(work: Work, tag: str, local: str | None) -> tuple[str, str]:
    """(commit, summary) of TAG from the first remote that can be reached; as known here where none can."""
    failure: SourceError | NotFound | None = None
    size = ""

    def progress(text: str) -> None:
        nonlocal size
        if found := _RECEIVED.search(text):
            size = tr("{found} of ", found=found[1])
        if not hear(text):
            work.journal.progress("fetch", text)

    def warn(text: str) -> None:
        work.journal.line(text, "warning")

    for name, credentials in fetch_places(work.site):
        try:
            with fetching(tr("fetch of {tag}", tag=tag)) as hear:
                got = remotes.fetch_tag(work.site.repository, name, tag, credentials, progress, warn)
        except (SourceError, NotFound) as error:
            failure = failure or missing_tag(work.site, name, credentials, tag, error)
            if len(fetch_places(work.site)) > 1:
                work.journal.line(tr("{message} Trying the next.", message=error.message), "warning")
            continue
        return got.commit, tr(
            "{size}{tag} from {shown_remote}", size=size, tag=tag, shown_remote=remote_names.shown_remote(name)
        )
    assert failure is not None
    if local is not None and work.database.first_seen(tag) == local and isinstance(failure, SourceError):
        work.journal.line(
            tr("{message} Going by {tag} as it was fetched before.", message=failure.message, tag=tag), "warning"
        )
        return local, tr("as fetched before; the remote can't be reached")
    raise failure


def prepared_commit(site: Site, tag: str) -> str | None:
    """The commit of TAG that was prepared here; None where it wasn't."""
    for data in prepared_stages(site.state.stage).values():
        if data["tag"] == tag:
            return str(data["commit"])
    return None


def is_prepared(site: Site, target: CodeState) -> bool:
    """Whether TARGET was prepared here, so that going to it needs no network."""
    return target.tag is not None and prepared_commit(site, target.tag) == target.commit


def _version(site: Site, tag: str) -> str | None:
    return version_text(tag, site.config.source.tag_prefix)
