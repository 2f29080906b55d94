"""What the live part of a deployment works with, and the record from which a later process rebuilds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from gitdeploy import config as configuration
from gitdeploy.backups.store import REFS
from gitdeploy.checkout.manifest import Manifest, moved
from gitdeploy.config import Config
from gitdeploy.databases import Database as AppDatabase
from gitdeploy.databases import open_databases
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.hooks.running import HookContext
from gitdeploy.services import Service, open_services
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.site import Site
from gitdeploy.venvs.flip import Flip
from gitdeploy.venvs.live import Installed
from gitdeploy.versions import CodeState

CHANGED_FILES = "changed-files"  # in the stage: NUL-separated, for hooks


class LiveRecord(Struct, frozen=True):
    """Everything that undoing and finishing need, as the journal keeps it; no secrets."""

    action: str
    stage: str
    backup: str | None
    origin: CodeState
    target: CodeState
    before: str | None
    after: str | None
    flip: Mapping[str, Any] | None
    built: str | None  # the generation that this deployment made
    kept_data: Sequence[str] = ()
    data_from: str | None = None  # restore --with-data: the backup that data come from
    restart: bool = True
    hooks: bool = True
    migrate: bool = True  # False: another host dumps and migrates the databases that both share
    half: bool = False  # the second half of the migrations waits, whatever deploy.yaml says
    automatic: bool = False
    performer: str = ""
    unhealthy: str | None = None  # why what was live was not healthy before anything began
    reserve: bool = False
    accepted: Sequence[str] = ()  # pinned settings that the release may change
    halves: bool = False  # its migrations are in two halves
    signed: int = 0  # when its signed tag was made, seconds since 1970; 0: no signature was wanted
    build_first: bool = False  # build hooks run before the service is stopped

    def as_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "stage": self.stage,
            "backup": self.backup,
            "origin": self.origin.as_dict(),
            "target": self.target.as_dict(),
            "before": self.before,
            "after": self.after,
            "flip": dict(self.flip) if self.flip is not None else None,
            "built": self.built,
            "kept_data": list(self.kept_data),
            "data_from": self.data_from,
            "restart": self.restart,
            "hooks": self.hooks,
            "migrate": self.migrate,
            "half": self.half,
            "automatic": self.automatic,
            "performer": self.performer,
            "unhealthy": self.unhealthy,
            "accepted": list(self.accepted),
            "halves": self.halves,
            "signed": self.signed,
            "build_first": self.build_first,
        }

    def configuration(self, site: Site) -> Config:
        """That of the release (or backup) that goes live: today's where nothing says another."""
        return parsed_config(site, self.after, self.accepted)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LiveRecord:
        values = dict(data)
        values["origin"] = CodeState.from_dict(values["origin"])
        values["target"] = CodeState.from_dict(values["target"])
        return cls(**values)


class Live(Struct):
    """The live part of one deployment: what its steps share."""

    site: Site
    journal: Journal
    record: LiveRecord
    manifest: Manifest
    flip: Flip | None
    before: Config
    after: Config
    services: tuple[Service, ...]
    switched_at: float | None = None
    said: list[str] = field(default_factory=list)
    packages: Mapping[str, Installed] | None = None  # in the live venv, as the new one was made from it

    @classmethod
    def rebuild(cls, site: Site, journal: Journal, record: LiveRecord) -> Live | None:
        """The same, in a process that has only the journal and the stage. None where the stage is gone."""
        manifest = Manifest.read(site.state.stage / record.stage)
        if manifest is None:
            return None
        before, after = parsed_config(site, record.before), record.configuration(site)
        return cls(
            site,
            journal,
            record,
            moved(manifest, site.root),
            Flip.from_dict(record.flip).moved(manifest.root, site.root) if record.flip is not None else None,
            before,
            after,
            open_services(before.service, site.root) if record.restart else (),
        )

    @property
    def stage(self) -> Path:
        return self.manifest.stage

    @property
    def backup_folder(self) -> Path | None:
        return self.site.state.backups / self.record.backup if self.record.backup else None

    def databases(self, config: Config) -> tuple[AppDatabase, ...]:
        """The databases that are dumped with a backup."""
        return open_databases(config.backup.databases, self.site.root, app_environment(self.site))

    def hook_context(self, *, status: str | None = None, error: str | None = None) -> HookContext:
        """The environment of a hook, as docs/hooks.md describes it."""
        record = self.record
        link = self.site.venv_link
        files = self.stage / CHANGED_FILES
        return HookContext(
            action=record.action,
            app=self.site.name,
            root=self.site.root,
            deployment=self.journal.deployment,
            from_version=record.origin.version,
            from_tag=record.origin.tag,
            from_commit=record.origin.commit,
            to_version=record.target.version,
            to_tag=record.target.tag,
            to_commit=record.target.commit,
            backup=record.backup,
            backup_ref=REFS + record.backup if record.backup else None,
            backup_dir=self.backup_folder,
            venv=link if link is not None and link.exists() else None,
            changed_files=files if files.exists() else None,
            performer=record.performer,
            contract_migrations=" ".join(self.after.hooks.contract_migrations),
            status=status,
            error=error,
        )


def parsed_config(site: Site, text: str | None, accept: Sequence[str] = ()) -> Config:
    """The configuration that a `LiveRecord` holds as TEXT, with what is pinned here but for what was ACCEPTed; today's where
    it holds none."""
    if text is None:
        return site.config
    return configuration.parse(text.encode("utf-8", "surrogateescape"), root=site.root, accept=accept)
