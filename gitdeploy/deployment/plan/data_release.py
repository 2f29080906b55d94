"""Which release the app's data belong to: the one whose migrations made their schema, which need not be the live one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitdeploy.backups import store
from gitdeploy.backups.store import Backup
from gitdeploy.deployment.plan.migrations import migrations_between
from gitdeploy.errors import GitDeployError, PolicyError
from gitdeploy.messages import tr
from gitdeploy.site.second_half import bring_waiting
from gitdeploy.site.site import Site
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from gitdeploy.deployment.live.live import LiveRecord
    from gitdeploy.state import Database

_KEY = "data_release"  # in the database


def data_release(database: Database, live: CodeState) -> dict[str, Any]:
    """The release that the data belong to now; of LIVE where nothing else is known."""
    text = database.meta_get(_KEY)
    if text:
        try:
            return CodeState.from_dict(json.loads(text)).as_dict()
        except (ValueError, KeyError, AttributeError):
            pass
    return live.as_dict()


def note_data_release(site: Site, database: Database, record: LiveRecord) -> None:
    """After RECORD's deployment: an upgrade's migrations fit the data to its release, a restore with data brings those of
    another; anything else leaves them as they are."""
    now = data_release(database, record.origin)
    if record.data_from is not None:
        backup = store.read(site.state.backups, record.data_from)
        if isinstance(backup, Backup) and backup.dumps:
            now = dict(backup.data_release or record.target.as_dict())
            if backup.second_halves is not None:
                bring_waiting(database, backup.second_halves)
    elif record.action == "upgrade" and record.hooks and not _goes_down(site, record):
        now = record.target.as_dict()
    database.meta_put(_KEY, json.dumps(now))


def _goes_down(site: Site, record: LiveRecord) -> bool:
    """Whether the target lacks migrations that the origin had: then the data stay the origin's."""
    try:
        trees = [site.repository.tree_of(release.commit) for release in (record.origin, record.target)]
    except GitDeployError:
        return False
    return any(change.gone for change in migrations_between(site.repository, *trees))


def own_data(backup: Backup) -> bool:
    """Whether nothing speaks for the data in BACKUP being another release's than its code."""
    return not backup.dumps or backup.data_release is None or backup.data_release.get("commit") == backup.commit


def fits(backup: Backup, others: Sequence[Backup]) -> bool:
    """Whether the data in BACKUP are of the release whose code it holds; so too where another backup whose data are has
    the same schema."""
    if own_data(backup):
        return True
    prints = _prints(backup)
    return any(
        other.commit == backup.commit
        and other.data_release is not None
        and other.data_release.get("commit") == other.commit
        and _prints(other) == prints
        for other in others
    )


def _prints(backup: Backup) -> Mapping[str, str]:
    return {str(dump["name"]): str(dump["fingerprint"]) for dump in backup.dumps}


def data_name(backup: Backup) -> str:
    """`v2.0.0`: the release that its data belong to."""
    return (
        CodeState.from_dict(backup.data_release).name
        if backup.data_release
        else CodeState(backup.version, backup.tag, backup.commit).name
    )


def require_fitting(wanted: Backup, found: Sequence[Backup]) -> Backup:
    """WANTED, or the newest of FOUND with the same code whose data are that release's. Raises `PolicyError`, which names
    the choices."""
    if fits(wanted, found):
        return wanted
    name = CodeState(wanted.version, wanted.tag, wanted.commit).name
    same = [backup for backup in found if backup.commit == wanted.commit and backup.dumps and fits(backup, found)]
    if same:
        return same[0]
    raise PolicyError(
        tr(
            "Backup {wanted} holds the code of {name} with data of {data_name}, and no backup holds "
            "{name} with data of its own.",
            wanted=wanted.id,
            name=name,
            data_name=data_name(wanted),
        ),
        tr(
            "The code alone: gitdeploy restore {wanted}   With those data all the same: gitdeploy "
            "restore {wanted} --with-data",
            wanted=wanted.id,
        ),
    )
