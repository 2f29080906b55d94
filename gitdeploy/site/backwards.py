"""A release that would lead backwards: older by its number, or by history, whatever its number says."""

from __future__ import annotations

from msgspec import Struct

from gitdeploy.checkout.lineage import Lineage, lineage, pushed_commits
from gitdeploy.errors import PolicyError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.text import count
from gitdeploy.versions import CodeState, read_version


class Direction(Struct, frozen=True):
    """Where an upgrade leads: `refusal` of one that leads backwards, `doubt` about one that nobody chose by name, and what
    is to be `said` of one that somebody did."""

    refusal: PolicyError | None = None
    doubt: PolicyError | None = None
    said: str = ""


def lower(origin: CodeState, target: CodeState, site: Site) -> PolicyError | None:
    """The refusal of a target whose number is lower than that of what is live; None where it isn't. Asks nobody."""
    prefix = site.config.source.tag_prefix
    now = read_version(origin.tag or origin.version or "", prefix) or read_version(origin.version or "")
    then = read_version(target.tag or "", prefix)
    if now is None or then is None or then >= now:
        return None
    return PolicyError(
        tr("{target_tag} is older than {origin}, which is live.", target_tag=target.tag, origin=origin.name),
        _ways(site, target),
    )


def direction(site: Site, origin: CodeState, target: CodeState) -> Direction:
    """Where the way from ORIGIN to TARGET, whose objects are here, leads by history. Raises `CommandFailed`."""
    found = lineage(site.repository, origin.commit, target.commit)
    if found.is_behind:
        return Direction(refusal=_behind(site, origin, target, found))
    if found.lacks == 0:
        return Direction()
    if not found.related and not found.cut:
        sentence = tr(
            "{target} has no history in common with {origin_tag}",
            target=target.name,
            origin_tag=origin.tag if _is_release(site, origin) else "HEAD",
        )
        return Direction(doubt=_by_itself(sentence, target), said=tr("{sentence}.", sentence=sentence))
    if _is_release(site, origin):
        return Direction()  # releases are made on branches of their own: there the number decides
    pushed = pushed_commits(site.repository, origin.commit, target.commit)
    if pushed == 0:
        return Direction()  # made on this server: preflight names them, and the ways out
    sentence = tr("HEAD has {count} that {target} lacks", count=count(pushed, "commit"), target=target.name)
    return Direction(doubt=_by_itself(sentence, target), said=tr("{sentence}.", sentence=sentence))


def ahead(site: Site, target: CodeState, commits: int) -> PolicyError:
    """The refusal where the newest release is what HEAD is made of, COMMITS ago."""
    return PolicyError(
        tr(
            "HEAD is {count} after {target_tag}, the newest release: installing it would be a downgrade.",
            count=count(commits, "commit"),
            target_tag=target.tag,
        ),
        _ways(site, target),
    )


def _behind(site: Site, origin: CodeState, target: CodeState, found: Lineage) -> PolicyError:
    live = _live(site, origin)
    message = (
        tr(
            "{target} was made before {live}, and this shallow clone tells no more: installing it "
            "would be a downgrade.",
            target=target.name,
            live=live,
        )
        if found.cut
        else tr(
            "{live} is {count} after {target}: installing it would be a downgrade.",
            live=live,
            count=count(found.lacks, "commit"),
            target=target.name,
        )
    )
    return PolicyError(message, _ways(site, target))


def _by_itself(sentence: str, target: CodeState) -> PolicyError:
    return PolicyError(
        tr("{sentence}, so it is not chosen automatically.", sentence=sentence),
        tr("To install it: gitdeploy upgrade {target_tag}", target_tag=target.tag),
    )


def _live(site: Site, origin: CodeState) -> str:
    return tr("{origin_tag}, which is live,", origin_tag=origin.tag) if _is_release(site, origin) else "HEAD"


def _is_release(site: Site, origin: CodeState) -> bool:
    return read_version(origin.tag or "", site.config.source.tag_prefix) is not None


def _ways(site: Site, target: CodeState) -> str:
    again = tr(
        "To install the old release all the same: gitdeploy upgrade {target_tag} --allow-downgrade",
        target_tag=target.tag,
    )
    if all(target.tag != backup.tag for backup in site.backups()):
        return again
    return tr("To go back to the backup: gitdeploy rollback {target_tag}.", target_tag=target.tag) + f" {again}"
