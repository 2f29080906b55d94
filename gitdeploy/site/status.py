"""What an app is like now: shapes of `status`, `backups`, `releases` and `log`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gitdeploy.messages import joined, tr
from gitdeploy.state import DeploymentRow, Holder
from gitdeploy.versions import CodeState, read_version, valid_tag

if TYPE_CHECKING:
    from gitdeploy.backups.store import Backup
    from gitdeploy.checkout.local import Local
    from gitdeploy.site.interrupted import Interruption
    from gitdeploy.site.journey import Journey
    from gitdeploy.site.second_half import Waiting
    from gitdeploy.site.skipping import Skip
    from gitdeploy.sources import Release
    from gitdeploy.venvs import LiveVenv


_TOLD_TO_ALL = ("app", "path", "commit", "branch", "limited")


class Status(Struct, frozen=True):
    """What is live, and what is going on: the shape of `status --json`."""

    app: str
    path: str
    live: CodeState
    branch: str | None
    local_changes: Sequence[str]
    venv: dict[str, Any] | None
    update_available: bool | None
    latest_version: str | None
    last_deployment: DeploymentRow | None
    interrupted: bool
    holder: Holder | None
    held: dict[str, Any] | None
    checked_at: str | None = None  # when the source was asked for `update_available`
    interruption: Interruption | None = None
    skipped: Sequence[Skip] = ()  # releases that are not installed by themselves, newest first
    journey: Journey | None = None  # an upgrade through several releases that has not come to its end
    waiting: Waiting | None = None  # the second half of the live release's migrations
    limited: tuple[str, str] | None = None  # why only the app, its path and HEAD are told, and who may see the rest

    def as_dict(self) -> dict[str, Any]:
        told = self._as_dict()
        if self.limited is None:
            return told
        return {name: value if name in _TOLD_TO_ALL else None for name, value in told.items()}

    def _as_dict(self) -> dict[str, Any]:
        return {
            "app": self.app,
            "path": self.path,
            "version": self.live.version,
            "tag": self.live.tag,
            "commit": self.live.commit,
            "branch": self.branch.removeprefix("refs/heads/") if self.branch else None,
            "local_changes": list(self.local_changes),
            "venv": self.venv,
            "update_available": self.update_available,
            "latest_version": self.latest_version,
            "checked_at": self.checked_at,
            "last_deployment": row_as_dict(self.last_deployment) if self.last_deployment else None,
            "interrupted": self.interrupted,
            "interruption": self.interruption.as_dict() if self.interruption is not None else None,
            "locked_by": _holder_as_dict(self.holder),
            "held": self.held,
            "through": self.journey.as_dict(self.live.tag) if self.journey is not None else None,
            "second_half": self.waiting.as_dict() if self.waiting is not None else None,
            "skipped": [skip.as_dict() for skip in self.skipped],
            "limited": joined(" ", self.limited) if self.limited is not None else None,
        }


class Checkout(Struct, frozen=True):
    """What stands on disk: the files beside HEAD, the release that HEAD is, the venv."""

    local: Local
    live: CodeState
    venv: LiveVenv | None


class BackupRow(Struct, frozen=True):
    """A backup as it is listed: `size` in bytes is what deleting it would free, `whole` counts what other backups hold,
    too."""

    backup: Backup
    size: int
    outcome: str
    whole: int
    encrypted: bool = False

    def as_dict(self) -> dict[str, Any]:
        backup = self.backup
        return {
            "id": backup.id,
            "ref": backup.ref,
            "version": backup.version,
            "tag": backup.tag,
            "commit": backup.commit,
            "branch": backup.branch.removeprefix("refs/heads/") if backup.branch else None,
            "created_at": backup.created_at,
            "size": self.size,
            "size_whole": self.whole,
            "label": backup.label,
            "reason": backup.reason,
            "outcome": self.outcome,
            "holds": backup.holds,
            "encrypted": self.encrypted,
            "data_release": dict(backup.data_release) if backup.data_release else None,
        }


class GoingOn(Struct, frozen=True):
    """What stands in a deployment's way now: who holds the lock, and the sentence of a pause."""

    holder: Holder | None
    paused: str | None


def release_state(release: Release, live: CodeState, prefix: str, contained: frozenset[str] = frozenset()) -> str:
    """live, newer, older or prerelease (of a newer one); `no version` for a tag that is none, `refused` for a name that
    no release may have. CONTAINED: ids of the tags that HEAD is made of, which are older whatever their number."""
    if valid_tag(release.tag) is not None:
        return "refused"
    if release.tag == live.tag or (release.commit and release.commit == live.commit and live.tag is None):
        return "live"
    version = read_version(release.tag, prefix)
    if version is None:
        return tr("no version")
    current = read_version(live.tag or live.version or "", prefix) or read_version(live.version or "")
    if current is not None and version <= current:
        return "older"
    if release.commit in contained or release.object_id in contained:
        return "older"
    return "prerelease" if release.prerelease or version.is_prerelease else "newer"


def row_as_dict(row: DeploymentRow) -> dict[str, Any]:
    """A deployment as `log --json` shows it."""
    return {
        "id": row.id,
        "action": row.action,
        "status": row.status,
        "performer": row.performer,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "duration": row.duration,
        "from": dict(row.origin),
        "to": dict(row.target),
        "backup": row.backup,
        "error": dict(row.error) if row.error else None,
        "steps": [dict(step) for step in row.steps],
    }


def _holder_as_dict(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None:
        return None
    return {
        "who": holder.who,
        "pid": holder.pid,
        "host": holder.host,
        "command": holder.command,
        "since": holder.since,
    }
