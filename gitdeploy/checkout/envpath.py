"""APP_VERSION in the env file follows the live version, in whatever content is planned for that file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.checkout.changes import FileChange, look
from gitdeploy.config.envfile import EnvFile
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.text import path_text

NAME = "APP_VERSION"


def lines_without_version(content: bytes) -> list[bytes]:
    """The lines that gitdeploy never writes itself: APP_VERSION follows the live version."""
    return [line for line in content.splitlines() if NAME.encode() not in line]


class EnvPath(Struct, frozen=True):
    """The env file: its path in the checkout, the version that APP_VERSION becomes (None: it stays as it is)."""

    path: bytes
    version: str | None
    warnings: list[str] = field(default_factory=list)

    def as_in(self, content: bytes, other: bytes) -> bytes:
        """CONTENT with the version that OTHER has, so that the two differ in nothing that gitdeploy wrote."""
        try:
            then = EnvFile.parse(other).get(NAME)
            return content if then is None else EnvFile.parse(content).with_value(NAME, then)
        except GitDeployError:
            return content

    def follow(
        self, root: bytes, changes: dict[bytes, FileChange], planned: Callable[[FileChange], bytes]
    ) -> bytes | None:
        """Put the version into what CHANGES plan for the file, else into what stands there. Returns its path where that
        is all that changes of it."""
        change = changes.get(self.path)
        full = root + b"/" + self.path
        if self.version is None or (
            change is not None and (change.kind == "deleted" or change.mode & 0o170000 != 0o100000)
        ):
            return None
        if change is None and (os.path.islink(full) or not os.path.isfile(full)):
            if os.path.islink(full) and _says(full) not in (None, self.version):
                self.warnings.append(
                    tr("{path} is a symbolic link: APP_VERSION in it is not changed.", path=path_text(self.path))
                )
            return None
        before = planned(change) if change is not None else Path(os.fsdecode(full)).read_bytes()
        try:
            env = EnvFile.parse(before)
            if env.get(NAME) in (None, self.version):
                return None
            content = env.with_value(NAME, self.version)
        except GitDeployError as error:
            if change is None:
                self.warnings.append(error.message)
            return None
        if change is not None:
            changes[self.path] = replace(change, content=content, oid="", exact=False)
            return None
        mode = 0o100755 if os.stat(full).st_mode & 0o100 else 0o100644
        changes[self.path] = FileChange(self.path, "changed", mode, content=content, seen=look(full))
        return self.path


def _says(full: bytes) -> str | None:
    try:
        return EnvFile.parse(Path(os.fsdecode(full)).read_bytes()).get(NAME)
    except (GitDeployError, OSError):
        return None
