"""A release that would lead backwards: older by its number, or by history, whatever its number says."""

from __future__ import annotations

from msgspec import Struct

from gitdeploy.checkout.lineage import Lineage, lineage, pushed_commits
from gitdeploy.errors import PolicyError
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
    return PolicyError(f"{target.tag} is older than {origin.name}, which is live.", _ways(site, target))


def direction(site: Site, origin: CodeState, target: CodeState) -> Direction:
    """Where the way from ORIGIN to TARGET, whose objects are here, leads by history. Raises `CommandFailed`."""
    found = lineage(site.repository, origin.commit, target.commit)
    if found.is_behind:
        return Direction(refusal=_behind(site, origin, target, found))
    if found.lacks == 0:
        return Direction()
    if not found.related and not found.cut:
        sentence = f"{target.name} has no history in common with {origin.tag if _is_release(site, origin) else 'HEAD'}"
        return Direction(doubt=_by_itself(sentence, target), said=f"{sentence}.")
    if _is_release(site, origin):
        return Direction()  # releases are made on branches of their own: there the number decides
    pushed = pushed_commits(site.repository, origin.commit, target.commit)
    if pushed == 0:
        return Direction()  # made on this server: preflight names them, and the ways out
    sentence = f"HEAD has {count(pushed, 'commit')} that {target.name} lacks"
    return Direction(doubt=_by_itself(sentence, target), said=f"{sentence}.")


def ahead(site: Site, target: CodeState, commits: int) -> PolicyError:
    """The refusal where the newest release is what HEAD is made of, COMMITS ago."""
    return PolicyError(
        f"HEAD is {count(commits, 'commit')} after {target.tag}, the newest release: installing it would be a downgrade.",
        _ways(site, target),
    )


def _behind(site: Site, origin: CodeState, target: CodeState, found: Lineage) -> PolicyError:
    live = _live(site, origin)
    message = (
        f"{target.name} was made before {live}, and this shallow clone tells no more: installing it would be a downgrade."
        if found.cut
        else f"{live} is {count(found.lacks, 'commit')} after {target.name}: installing it would be a downgrade."
    )
    return PolicyError(message, _ways(site, target))


def _by_itself(sentence: str, target: CodeState) -> PolicyError:
    return PolicyError(
        f"{sentence}, so it is not chosen automatically.", f"To install it: gitdeploy upgrade {target.tag}"
    )


def _live(site: Site, origin: CodeState) -> str:
    return f"{origin.tag}, which is live," if _is_release(site, origin) else "HEAD"


def _is_release(site: Site, origin: CodeState) -> bool:
    return read_version(origin.tag or "", site.config.source.tag_prefix) is not None


def _ways(site: Site, target: CodeState) -> str:
    again = f"To install the old release all the same: gitdeploy upgrade {target.tag} --allow-downgrade"
    if all(target.tag != backup.tag for backup in site.backups()):
        return again
    return f"To go back to the backup: gitdeploy rollback {target.tag}." + f" {again}"
