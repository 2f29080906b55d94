"""Where gitdeploy keeps things: `.gitdeploy/` in the checkout, mode 0700, owned by the checkout's owner."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from gitdeploy.errors import ConfigError, DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints
from gitdeploy.text import path_text

NAME = ".gitdeploy"
RESERVE_SIZE = 1 << 20  # given up when the disk is full, so that the journal can always tell the end
SPARE_FILES = 24  # empty files given up when inodes are used up: SQLite's -wal and -shm, temporary links

_README = "gitdeploy keeps its state here: the deployment journal (state.db), venv generations, backups.\nBackups are also git refs (refs/gitdeploy/backups/*). Don't delete or edit anything by hand:\n`gitdeploy prune` makes room, `gitdeploy backups` shows what is held.\n"


class StateDirectory(Struct, frozen=True):
    """The folders below `.gitdeploy/` of the checkout ROOT."""

    root: Path

    @property
    def path(self) -> Path:
        return self.root / NAME

    @property
    def database(self) -> Path:
        return self.path / "state.db"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def venvs(self) -> Path:
        return self.path / "venvs"

    @property
    def stage(self) -> Path:
        return self.path / "stage"

    @property
    def rehearsals(self) -> Path:
        """Copies of the app that releases are tried on: a folder a rehearsal, as long as it runs."""
        return self.path / "rehearsals"

    @property
    def backups(self) -> Path:
        return self.path / "backups"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    @property
    def pythons(self) -> Path:
        """Interpreters that uv downloaded (`venv.python_downloads`)."""
        return self.path / "pythons"

    @property
    def requests(self) -> Path:
        return self.path / "requests"

    @property
    def reserve(self) -> Path:
        return self.path / "reserve"

    @property
    def newest(self) -> Path:
        """See `gitdeploy.checkout.times`."""
        return self.path / "newest"

    def exists(self) -> bool:
        """Whether it is there. Raises `ConfigError` where something else stands in its place."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DeploymentFailed(
                tr("{path} can't be read: {strerror}.", path=path_text(str(self.path)), strerror=error.strerror)
            ) from error
        if not stat.S_ISDIR(found.st_mode):
            raise ConfigError(
                tr("{path} is not a directory, and gitdeploy keeps its state there.", path=path_text(str(self.path))),
                tr("Move it away and run the command again."),
            )
        if os.geteuid() == 0 and found.st_uid not in (0, self.root.stat().st_uid):
            raise ConfigError(
                tr("{path} belongs to neither root nor the owner of the checkout.", path=path_text(str(self.path)))
            )
        return True

    def ensure(self) -> None:
        """Make what is missing of it. Raises `DeploymentFailed` where it can't be written."""
        try:
            if not self.exists():
                self.path.mkdir(mode=0o700)
            for folder in (self.venvs, self.stage, self.backups, self.cache):
                if not folder.is_dir() or folder.is_symlink():
                    folder.mkdir(mode=0o700)
            readme = self.path / "README"
            if not readme.exists():
                readme.write_text(_README)
        except OSError as error:
            raise DeploymentFailed(
                tr("{path} can't be written: {strerror}.", path=path_text(str(self.path)), strerror=error.strerror),
                tr("Run gitdeploy as the owner of the checkout, and see that its disk is neither full nor read-only."),
            ) from error

    def has_reserve(self) -> bool:
        return (self.reserve / "block").exists()

    def keep_reserve(self) -> None:
        """Hold 1 MB and a few empty files back for the day that the disk is full (see `release_reserve`); not on a disk
        that has not much more."""
        found = os.statvfs(self.path)
        if found.f_bavail * found.f_frsize < 4 * RESERVE_SIZE:
            return
        self.reserve.mkdir(mode=0o700, exist_ok=True)
        block = self.reserve / "block"
        if not block.exists() or block.stat().st_size < RESERVE_SIZE:
            with block.open("wb") as out:
                out.write(b"\0" * RESERVE_SIZE)
                out.flush()
                os.fsync(out.fileno())
        for number in range(SPARE_FILES):
            (self.reserve / f"spare-{number:02}").touch()

    def release_reserve(self) -> None:
        """Give the held-back room to whoever must now finish an undo on a full disk."""
        faultpoints.point("release reserve")
        with suppress(OSError):
            for name in os.listdir(self.reserve):
                with suppress(OSError):
                    os.unlink(self.reserve / name)
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def orphans(self, known_stages: set[str]) -> list[Path]:
        """Stages on disk that the database knows nothing of."""
        try:
            names = os.listdir(self.stage)
        except OSError:
            return []
        return [self.stage / name for name in sorted(names) if name not in known_stages]
