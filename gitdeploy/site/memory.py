"""Releases that failed here, remembered by their commit: they are not installed again by themselves. And the settings that a
deployment failed with."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gitdeploy.checkout.envpath import lines_without_version
from gitdeploy.config import FILE_NAME
from gitdeploy.errors import GitDeployError, Interrupted
from gitdeploy.messages import first_line, heard, tr
from gitdeploy.site.blame import absolved, fault_of
from gitdeploy.site.site import Site
from gitdeploy.state import BadRelease, Database
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from gitdeploy.deployment.record.work import Work


def remember_bad(
    work: Work,
    action: str,
    step: str,
    cause: GitDeployError,
    reason: str,
    *,
    of_release: bool,
    before: str | None = None,
) -> bool:
    """Remember the release of this deployment, if it is its fault that CAUSE failed STEP; whether it was. OF_RELEASE: as for
    `fault_of`; BEFORE: why the app was unhealthy before anything began."""
    if action != "upgrade" or fault_of(step, cause, of_release=of_release) != "release":
        return False
    records = work.database.records(work.id)
    began = [record.step for record in records if record.kind == "begin"]
    later = [(record.step, heard(record.data, "error")) for record in records if record.kind == "unsettled"]
    if absolved(step, cause.message, began, later, before):
        return False
    work.database.mark_bad(work.target.commit, work.target.tag or "", reason)
    work.journal.note(bad_sentence(work.target))
    return True


@contextmanager
def failure_remembered(work: Work, step: str) -> Iterator[None]:
    """Requirements that nobody could install, and code that can't be loaded, are the release's fault, though nothing live was
    touched by them. STEP as for `fault_of`: `requirements`, `check`."""
    try:
        yield
    except GitDeployError as error:
        reason = tr(
            "Wanted {target}, {cause_sentence}",
            target=work.target.name,
            cause_sentence=cause_sentence("build" if step == "requirements" else step, error),
        )
        remember_bad(work, work.action, step, error, reason, of_release=True)
        raise


def bad_sentence(target: CodeState) -> str:
    return tr("{full} won't be retried automatically.", full=target.full)


def cause_sentence(step: str, cause: GitDeployError) -> str:
    """`failed at health: …`, `interrupted at switch by SIGTERM.`"""
    if isinstance(cause, Interrupted):
        killed = cause.signal_number == signal.SIGKILL  # found out afterwards, in words
        return tr("interrupted at {step}", step=step) + (
            tr(": {cause_message}", cause_message=cause.message)
            if killed
            else tr(" by {signal_name}.", signal_name=cause.signal_name)
        )
    first = first_line(cause.message) or tr("unknown")
    return tr("failed at {step}: ", step=step) + (
        first if first.endswith((".", "!", "?")) else tr("{first}.", first=first)
    )


_FAILED_WITH = (
    "settings_of_failure"  # in the database: the last deployment that failed, and a hash of the settings then
)


def remember_settings(site: Site, database: Database, deployment: int) -> None:
    """DEPLOYMENT failed, with the settings that are there now."""
    database.meta_put(_FAILED_WITH, f"{deployment} {_settings_hash(site)}")


def settings_changed(site: Site, database: Database, deployment: int) -> bool:
    """Whether somebody has changed deploy.yaml or the env file since DEPLOYMENT failed, the last that did."""
    number, _, before = (database.meta_get(_FAILED_WITH) or "").partition(" ")
    return number == str(deployment) and before != _settings_hash(site)


def _settings_hash(site: Site) -> str:
    """By content: a rollback puts the same files there with new times."""
    made = hashlib.sha256()
    for place in (site.config.file or site.root / FILE_NAME, site.config.env_file and site.root / site.config.env_file):
        with suppress(OSError):
            made.update(b"\n".join(lines_without_version(place.read_bytes())) if place else b"")
        made.update(b"\0")
    return made.hexdigest()


class FailedHere:
    """Finds a release again, by its commit; where its source tells no more than the object of an annotated tag, by that.

    A source that tells neither is believed by the tag's name: a tag that was moved is refused in any case.
    """

    def __init__(self, site: Site, known: Mapping[str, BadRelease]) -> None:
        self._site, self._known = site, known
        self._tags = {bad.tag: bad for bad in known.values()}
        self._objects: dict[str, str] = {}

    @classmethod
    def read(cls, site: Site, database: Database) -> FailedHere:
        return cls(site, database.bad_releases())

    def find(self, tag: str | None, commit: str | None, object_id: str | None = None) -> BadRelease | None:
        """The release, where it failed here; None where it didn't. Starts a process only for a tag that did."""
        if commit:
            return self._known.get(commit)
        bad = self._tags.get(tag or "")
        if bad is None or object_id in (None, bad.commit):
            return bad
        return bad if self._object_of(bad.tag) in (None, object_id) else None

    def _object_of(self, tag: str) -> str | None:
        """The id of the tag's own object, as it was fetched when the release failed."""
        if tag not in self._objects:
            (found,) = self._site.repository.facts([f"refs/tags/{tag}"])
            self._objects[tag] = found.oid if found is not None else ""
        return self._objects[tag] or None
