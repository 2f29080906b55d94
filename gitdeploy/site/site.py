"""Everything that belongs to one app, opened once: configuration, checkout, state directory, venv."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy import backups
from gitdeploy import config as configuration
from gitdeploy.checkout.facts import Access
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.history import live_release
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.remote_access import network_access
from gitdeploy.config import Config
from gitdeploy.config.envfile import EnvFile
from gitdeploy.errors import ConfigError, DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.site.policy import judging, keep_policy
from gitdeploy.site.remotes import fetch_places
from gitdeploy.site.roots_own import narrow_umask, refuse_unsafe, refuse_unsafe_parts, refuse_unsafe_venv
from gitdeploy.site.whose import close_to_others
from gitdeploy.state import NAME, Database, StateDirectory
from gitdeploy.system.durable import sync_directory
from gitdeploy.system.environment import refuse_gone_folder
from gitdeploy.system.owner import must_drop
from gitdeploy.text import path_text
from gitdeploy.venvs.live import LiveVenv, live_venv
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from gitdeploy.backups.store import Backup


KEPT_DATA = "kept_data"  # in the database: files that a release stopped tracking, left where they are
_EXCLUDES = "info/exclude"


class Site(Struct, frozen=True):
    """One app on this server."""

    root: Path
    config: Config
    state: StateDirectory
    repository: Repository
    refusal: tuple[str, str] | None = None  # why this process's user may start nothing here, and who may

    @classmethod
    def open(cls, folder: Path, config_file: Path | None = None, *, recovering: bool = False) -> Site:
        """The app whose checkout FOLDER is in. Raises `ConfigError`, `DeploymentFailed`. Starts no process, and where the
        checkout is another user's, sees to it that none is started.

        recovering: where deploy.yaml can't be read, an interrupted deployment is known by what it was at its beginning.
        """
        root = find_root(folder)
        if must_drop(uid := root.stat().st_uid):
            raise DeploymentFailed(
                tr(
                    "Root does not work in {root}, which is {user}'s: what is there may be hostile.",
                    root=path_text(str(root)),
                    user=_user(uid),
                ),
                tr("Do it as {user}, or with the command gitdeploy, which becomes {user} by itself.", user=_user(uid)),
            )
        if os.geteuid() == 0:
            refuse_unsafe(root, config_file)
            narrow_umask()
        repository = Repository.open(root)
        refusal = close_to_others(repository)  # before anything is read that could start a child
        try:
            config = configuration.load(root, config_file, judging(repository))
        except ConfigError:
            recorded = _recorded_config(root, config_file) if recovering else None
            if recorded is None:
                raise
            config = recorded
        if os.geteuid() == 0:
            refuse_unsafe_parts(root, config)
        site = cls(root, config, StateDirectory(root), replace(repository, lfs=config.git.lfs))
        site = replace(site, refusal=refusal and close_to_others(repository, site.venv_link))
        return replace(site, repository=replace(site.repository, lazy=cache(lambda: _lazy_access(site))))

    @property
    def name(self) -> str:
        return self.config.app.name

    @property
    def named_config(self) -> Path | None:
        """The file that the configuration comes from, where somebody named one: else it is looked for in the checkout."""
        return self.config.file if self.config.file != self.root / configuration.FILE_NAME else None

    def read_again(self) -> Site:
        """The same app with deploy.yaml as it is now. Raises `ConfigError`."""
        config = configuration.load(self.root, self.named_config, judging(self.repository))
        return replace(self, config=config, repository=replace(self.repository, lfs=config.git.lfs))

    # ---- who ----

    def require_owner(self) -> None:
        """Only the checkout's owner changes it, or starts anything in it. Raises `DeploymentFailed` in a sentence."""
        if self.refusal is not None:
            raise DeploymentFailed(*self.refusal)

    # ---- state ----

    def make_state(self) -> None:
        """Make what is missing of the state directory. Raises `DeploymentFailed`."""
        whole = self.state.exists() and self.state.has_reserve()
        if not whole:
            self._exclude()  # durable before there is a state directory that git could see
        self.state.ensure()
        if not whole:
            with suppress(OSError):
                self.state.keep_reserve()
            configuration.remember(self.config)

    def open_database(self) -> Database:
        """The database for writing; the state directory is made where it is missing."""
        self.make_state()
        database = Database.open(self.state.database, self.state.release_reserve)
        keep_policy(self, database)
        return database

    def read_database(self) -> Database | None:
        """The database for looking only; None where there is none. Raises `DeploymentFailed` for somebody who may not read it."""
        self.require_reader()
        return Database.read(self.state.database) if self.state.exists() else None

    def require_safe_venv(self) -> None:
        """As root: a venv of which nobody else can change a file. Raises `DeploymentFailed`."""
        if os.geteuid() == 0:
            refuse_unsafe_venv(self.root, self.config)

    def require_reader(self) -> None:
        """Somebody who may read the state directory. Raises `DeploymentFailed` in the sentence of `require_owner`."""
        if (
            self.refusal is not None
            and os.path.lexists(self.state.path)
            and not os.access(self.state.path, os.R_OK | os.X_OK)
        ):
            self.require_owner()

    def _exclude(self) -> None:
        """`.gitdeploy` and the venv's link out of `git status`, without touching the app's .gitignore (whose `venv/`
        doesn't match a link)."""
        file = self.repository.common_dir / _EXCLUDES
        try:
            text = file.read_text() if file.exists() else ""
            lines = text.splitlines()
            wanted = [f"/{NAME}/"]
            if (venv := self.venv_path) is not None:
                wanted.append(f"/{venv}")
            missing = [line for line in wanted if line not in lines]
            if missing:
                file.parent.mkdir(exist_ok=True)
                with file.open("a") as out:
                    out.write(("" if not text or text.endswith("\n") else "\n") + "\n".join(missing) + "\n")
                    out.flush()
                    os.fsync(out.fileno())
                sync_directory(file.parent)
        except OSError as error:
            raise DeploymentFailed(
                tr("{file} can't be written: {strerror}.", file=path_text(str(file)), strerror=error.strerror),
                tr("Run gitdeploy as the checkout's owner."),
            ) from error

    # ---- the venv ----

    @property
    def venv_link(self) -> Path | None:
        """Where the app sees its venv; None where it has none."""
        path = self.config.venv.path
        return None if path is None else self.root / path

    @property
    def venv_path(self) -> str | None:
        """The venv's path inside the checkout; None where there is none or it is outside."""
        link = self.venv_link
        if link is None or not link.is_relative_to(self.root):
            return None
        return str(link.relative_to(self.root))

    def live_venv(self) -> LiveVenv | None:
        link = self.venv_link
        return None if link is None else live_venv(link, self.state.venvs)

    def forbidden(self) -> list[bytes]:
        """Paths that no release may track."""
        venv = self.venv_path
        return [NAME.encode(), *([os.fsencode(venv)] if venv else [])]

    # ---- what is live ----

    def keep(self, kept_data: Sequence[str], databases: Sequence[str] = ()) -> KeepPaths:
        """Paths that no release touches: those of `git.keep`, KEPT_DATA, and files of the app's databases (those of
        `backup.databases`, and DATABASES)."""
        if self.config.backup.databases:
            from gitdeploy.site.keeping import database_paths

            databases = (*databases, *database_paths(self, self.config))
        return KeepPaths((*self.config.git.keep, *kept_data), frozenset(map(os.fsencode, databases)))

    def told_version(self) -> str | None:
        """APP_VERSION of the env file."""
        env = self.env_file()
        return env.get("APP_VERSION") if env else None

    def env_file(self) -> EnvFile | None:
        if not self.config.env_file:
            return None
        try:
            return EnvFile.parse((self.root / self.config.env_file).read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(
                tr(
                    "{env_file} can't be read: {strerror}.",
                    env_file=path_text(self.config.env_file),
                    strerror=error.strerror,
                )
            ) from error

    def release_at(self, commit: str) -> CodeState:
        return live_release(
            self.repository,
            commit,
            glob=self.config.source.tags,
            prefix=self.config.source.tag_prefix,
            told=self.told_version(),
        )

    def backups(self) -> list[Backup]:
        self.require_reader()
        return backups.store.read_all(self.state.backups)[0]


def _recorded_config(root: Path, file: Path | None) -> Config | None:
    """The deploy.yaml that an interrupted deployment began with, from its journal; None where there is none. Raises
    `ConfigError`."""
    state = StateDirectory(root)
    database = Database.read(state.database) if state.exists() else None
    if database is None:
        return None
    with database:
        for row in reversed(database.unfinished()):
            for record in database.records(row.id):
                if record.kind == "plan" and (text := record.data.get("before")) is not None:
                    raw = text.encode("utf-8", "surrogateescape")
                    return configuration.parse(raw, root=root, file=file or root / configuration.FILE_NAME)
    return None


def _lazy_access(site: Site) -> Access:
    """What the remote that objects come from is asked with by a git that needs one which a partial clone has left out."""
    remote, credentials = fetch_places(site)[0]
    return network_access(site.repository, credentials, remote)


def find_root(folder: Path) -> Path:
    """The nearest folder at or above FOLDER with a `.git`; FOLDER itself where there is none (the error names it)."""
    if not folder.is_absolute():
        refuse_gone_folder()
    start = Path(os.path.abspath(folder))
    if not start.is_dir():
        raise ConfigError(
            tr("{start} is not a folder.", start=path_text(str(start))), "gitdeploy -C DIR takes the app's checkout."
        )
    for candidate in (start, *start.parents):
        if os.path.lexists(candidate / ".git"):
            return candidate
    raise ConfigError(
        tr("{start} is in no git checkout.", start=path_text(str(start))),
        tr("Go to the folder of your app's checkout, or name it: gitdeploy -C DIR"),
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def kept_data(database: Database | None) -> list[str]:
    """Files that an earlier release stopped tracking and that were left where they are."""
    text = database.meta_get(KEPT_DATA) if database is not None else None
    return list(json.loads(text)) if text else []


def head_of(site: Site) -> str:
    """HEAD's commit. Raises `GitDeployError` where there is none."""
    head = site.repository.resolve("HEAD")
    if head is None:
        raise GitDeployError(
            tr("The checkout's HEAD leads to no commit."),
            tr("To see why, and what to type: gitdeploy doctor"),
        )
    return head
