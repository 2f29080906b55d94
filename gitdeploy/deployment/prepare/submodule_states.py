"""Submodules in backups: the state of each that has files here, exactly, with the local edits in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from gitdeploy.backups.store import REFS, Backup, SubmoduleState
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.local import Local
from gitdeploy.checkout.modules import Recorded, local_state, populated
from gitdeploy.checkout.plan import CheckoutPlan
from gitdeploy.checkout.snapshot import keep_alive, take_snapshot


def record_states(
    repository: Repository, local: Local, checkout: CheckoutPlan, also: Sequence[bytes], identity: str
) -> dict[str, SubmoduleState]:
    """Path -> the recorded state of every submodule with files here; a ref in each keeps it. ALSO: untracked files that
    only the backup will hold."""
    changed = {change.path for change in local.changes}
    known = {part.held.prefix: part.local for part in checkout.submodules if part.held is not None}
    dirty: set[bytes] = set()
    found: dict[str, SubmoduleState] = {}
    everything = list(populated(repository))
    owners = {one.path: one for one in everything}
    mine: dict[bytes, list[bytes]] = {}
    for path in also:
        if (place := _innermost(owners, path)) is not None:
            mine.setdefault(place, []).append(path[len(place) + 1 :])
    for one in everything:
        above = _innermost(owners, one.path)
        if one.path in changed or (above is not None and above in dirty):
            dirty.add(one.path)  # git's status of the checkout looks into those inside it too
        state = known.get(one.path) or local_state(one.repository, one.commit, clean=one.path not in dirty)
        inside = mine.get(one.path, [])
        snapshot = take_snapshot(
            one.repository, state, [p for p in inside if p not in state.changed()], _message(identity)
        )
        one.repository.update_ref(REFS + identity, keep_alive(one.repository, snapshot, _message(identity)))
        source = os.path.relpath(one.repository.git_dir, repository.git_dir)
        found[os.fsdecode(one.path)] = SubmoduleState(snapshot, source if source.startswith("modules/") else "")
    return found


def outside_submodules(repository: Repository, paths: Sequence[bytes]) -> list[bytes]:
    """Those of PATHS that lie in no submodule with files here."""
    owners = {one.path: one for one in populated(repository)} if paths else {}
    return [path for path in paths if _innermost(owners, path) is None]


def recorded_states(backup: Backup) -> dict[bytes, Recorded]:
    """Path -> state, as a backup has them."""
    return {os.fsencode(path): Recorded(one.snapshot.target(), one.source) for path, one in backup.submodules.items()}


def _innermost(places: Mapping[bytes, object], path: bytes) -> bytes | None:
    folder = os.path.dirname(path)
    while folder:
        if folder in places:
            return folder
        folder = os.path.dirname(folder)
    return None


def _message(identity: str) -> str:
    return f"gitdeploy backup {identity}\n"
