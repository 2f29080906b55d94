"""The checkout's files for what reads a release's: requirements, as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gitdeploy.venvs.linked import Linked


class Checkout:
    """The checkout's files as they are, for whoever reads requirements."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where there is no such file. Raises `Linked`."""
        file = self.root / path
        if file.is_symlink():
            raise Linked(path)
        return file.read_bytes() if file.is_file() else None

    def export(self, folder: Path, paths: Sequence[str] | None) -> None:
        """Nothing is installed from here."""
        raise NotImplementedError
