"""Backups are encrypted once nothing needs them plain any more: when the deployments that made and use them have ended.

Until then the dump of minutes ago is what an automatic rollback puts back, with nobody there to give a key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from gitdeploy import backups
from gitdeploy.errors import ConfigError, GitDeployError, Interrupted
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.state import Database
from gitdeploy.text import path_text


def encrypt_backups(
    site: Site, database: Database, warn: Callable[[str], object], tell: Callable[[str], object] = lambda _: None
) -> None:
    """Encrypt what stands plain in backups, where `backup.encrypt` says for whom, and delete what was decrypted for a
    restore. Backups that an unfinished deployment needs are left as they are. Never raises: what could not be encrypted is
    WARNed of, and is tried again by the next command that changes something; so is what a signal ends. TELL: what begins."""
    wanted = site.config.backup.encrypt
    with suppress(GitDeployError, OSError):  # state.db can't be read, or the folder: whatever needs them says so
        needed = _needed(database)
        for folder in folders(site):
            if folder.name in needed:
                continue
            try:
                if wanted:
                    if backups.encrypted.plain(folder):
                        tell(tr("Encrypting backup {backup}.", backup=folder.name))
                    backups.encrypted.encrypt(folder, folder.name, wanted)
                elif backups.encrypted.parts(folder):
                    backups.encrypted.tidy(folder)
            except (GitDeployError, OSError) as error:
                warn(_warning(folder.name, error))
                if isinstance(error, ConfigError | Interrupted):
                    return  # so it would be with each of them


def _warning(backup: str, error: GitDeployError | OSError) -> str:
    if isinstance(error, GitDeployError):
        why = error.message
    else:
        where = tr("{filename}: ", filename=path_text(error.filename)) if isinstance(error.filename, str) else ""
        why = tr("{where}{strerror}.", where=where, strerror=error.strerror or error)
    return tr("Backup {backup} is not encrypted: {why} The next command tries again.", backup=backup, why=why)


def folders(site: Site) -> Iterator[Path]:
    """Those of the backups that are whole."""
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(site.state.backups)):
            if backups.store.ID.fullmatch(name) and (site.state.backups / name / backups.store.MANIFEST).exists():
                yield site.state.backups / name


def _needed(database: Database) -> set[str]:
    """Backups that deployments without an end need plain: their own, and the one whose data they bring."""
    found: set[str] = set()
    for row in database.unfinished():
        for record in database.records(row.id):
            if record.kind == "backup":
                found.add(str(record.data.get("id")))
            elif record.kind == "plan":
                found |= {str(record.data.get(name)) for name in ("backup", "data_from")}
    return found


def not_encrypted(site: Site) -> list[str]:
    """Backups in which something stands plain."""
    return [folder.name for folder in folders(site) if backups.encrypted.plain(folder)]


def identity_of(site: Site, named: Path | None = None) -> Path | None:
    """The file of the identity: the one that was NAMED for this command, else that of deploy.yaml."""
    if named is not None:
        return named
    setting = site.config.backup.identity
    return site.root / setting if setting else None


def cannot_open(site: Site, backup: str, named: Path | None = None) -> tuple[str, str] | None:
    """What is missing to decrypt the files of BACKUP, and what to do; None where it isn't encrypted, or can be tried."""
    identity = identity_of(site, named)
    found = (
        backups.encryption.cannot_decrypt(part, identity)
        for part in backups.encrypted.parts(site.state.backups / backup)
    )
    why = next((each for each in found if each is not None), None)
    return (tr("Backup {backup} can't be decrypted. {why}", backup=backup, why=why[0]), why[1]) if why else None
