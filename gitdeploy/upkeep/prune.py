"""Dropping what is too old: backups beyond `backup.keep`, generations that nothing holds. Last of all, always."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from gitdeploy import venvs
from gitdeploy.backups import store as backups
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.site.submodule_refs import drop_refs
from gitdeploy.state import Database
from gitdeploy.state.prepared import prepared_stages
from gitdeploy.text import count, listing, size_text
from gitdeploy.venvs import downloaded


class Pruned(Struct, frozen=True):
    """What was (or would be) dropped; `freed` in bytes on disk."""

    backups: tuple[str, ...]
    generations: tuple[str, ...]
    freed: int
    in_use: tuple[str, ...]
    pythons: tuple[str, ...] = ()  # interpreters that were downloaded for this app


def held_generations(site: Site, dropped: set[str] | None = None) -> set[str]:
    """Generations that must stay: the live one, those of backups (DROPPED left out), those of prepared stages."""
    held = {backup.generation for backup in site.backups() if backup.id not in (dropped or ())}
    held |= {data.get("generation") for data in prepared_stages(site.state.stage).values()}
    live = site.live_venv()
    if live is not None:
        held.add(live.generation)
        held.add(live.real.name)
    identities = {backup.venv for backup in site.backups() if backup.generation is None and backup.venv}
    if identities:
        held |= {path.name for path in _generations(site) if str(path.stat().st_ino) in identities}
    return {name for name in held if name}


def _generations(site: Site) -> list[Path]:
    folder = site.state.venvs
    if not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.is_dir() and not path.is_symlink()
    ]


def prune(site: Site, *, keep: int, line: Callable[[str], object], dry_run: bool = False) -> Pruned:
    """Drop old backups and generations. The live state and the newest good backup always stay, and copies of replaced
    data for `backup.keep_replaced`; a generation that a process still runs from waits for the next time."""
    going = backups.to_prune(site.state.backups, keep, site.config.backup.keep_replaced)
    names = {backup.id for backup in going}
    held = held_generations(site, names)
    loose = [path for path in _generations(site) if path.name not in held]
    used = [path for path in loose if venvs.in_use(path)]
    free = [path for path in loose if path not in used]
    # Only what goes is looked through: to measure all that is kept would cost every deployment a walk over all of it.
    pythons = _unused_pythons(site, free)
    size = venvs.disk_usage([*(site.state.backups / name for name in sorted(names)), *free, *pythons]).freed
    pruned = Pruned(
        tuple(sorted(names)),
        tuple(path.name for path in free),
        size,
        tuple(path.name for path in used),
        tuple(path.name for path in pythons),
    )
    if dry_run:
        return pruned
    for backup in going:
        drop_refs(site.repository, backup.id)
        backups.remove(site.state.backups, backup.id, site.repository)
    for path in free:
        try:
            venvs.remove(path)
        except GitDeployError as error:  # files of another user's in it; the deployment is whole all the same
            line(tr("{message} {hint}", message=error.message, hint=error.hint))
    downloaded.sweep(site.state.pythons)
    for path in pythons:
        downloaded.remove(path)
    if pythons:
        line(tr("Dropped {pythons}, which no venv uses any more.", pythons=listing([path.name for path in pythons], 3)))
    if going or free:
        line(
            tr(
                "Dropped {backups} and {generations}",
                backups=count(len(going), "old backup"),
                generations=count(len(free), "venv generation"),
            )
            + (tr(", {size}", size=size_text(size)) if size else "")
            + "."
        )
    return pruned


def _unused_pythons(site: Site, going: list[Path]) -> list[Path]:
    """Interpreters that gitdeploy had downloaded, and no venv that stays is made with."""
    places = [path for path in _generations(site) if path not in going]
    live = site.live_venv()
    return downloaded.unused(site.state.pythons, [*places, *([live.real] if live is not None else [])])


def forget_old(site: Site, database: Database) -> int:
    """Deployments older than `log.keep` go out of state.db, but for those whose backup is still there; how many."""
    before = datetime.now(UTC) - timedelta(seconds=site.config.log.keep)
    return database.forget(before.isoformat(timespec="milliseconds"), {backup.id for backup in site.backups()})
