"""One run of gitdeploy that somebody else started and follows: who it is, and in the end how it ended.

`.gitdeploy/requests/REQUEST.json` is written by the run itself, beside and renamed: absent while it starts, then its process,
then its exit code and the document that `--json` would have printed.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from gitdeploy.system.proc import Identity

KEPT = 24 * 3600.0  # seconds that the file of an ended run is left for whoever asks
_REQUEST = re.compile(r"[0-9a-f]{32}")
_LIMIT = 64 * 1024 * 1024  # bytes of a run's file that are read: a long log is part of the document


class RunFacts(Struct, frozen=True):
    """`exit_code` and `document` are None until it has ended."""

    process: Identity
    exit_code: int | None = None
    document: Mapping[str, Any] | None = None


class RunFile(Struct, frozen=True):
    """The file of one run. REQUEST: 32 hexadecimal digits, chosen by who starts the run."""

    folder: Path
    request: str

    def __post_init__(self) -> None:
        if not _REQUEST.fullmatch(self.request):
            raise ValueError("a request is 32 hexadecimal digits")

    @property
    def path(self) -> Path:
        return self.folder / f"{self.request}.json"

    @property
    def output(self) -> Path:
        """What a run that was started as a plain process printed: empty unless it could not even begin."""
        return self.folder / f"{self.request}.log"

    def begin(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(RunFacts(Identity.own()))

    def end(self, exit_code: int, document: Mapping[str, Any] | None) -> None:
        self._write(RunFacts(Identity.own(), exit_code, document))

    def _write(self, facts: RunFacts) -> None:
        beside = self.path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as out:
            json.dump(to_builtins(facts, enc_hook=str), out)  # a sentence is a str of its own kind
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, self.path)

    def read(self) -> RunFacts | None:
        """None while it has not begun, or where the file says nothing that can be understood."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, encoding="utf-8") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_size > _LIMIT:
                    return None
                data = json.load(file)
            return RunFacts(Identity(**data["process"]), data["exit_code"], data["document"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self) -> None:
        for path in (self.path, self.output):
            with suppress(OSError):
                path.unlink()


def remove_old_runs(folder: Path) -> None:
    """Files of runs that ended long ago, and that nobody took away."""
    oldest = time.time() - KEPT
    for file in folder.glob("*"):
        with suppress(OSError):
            if file.lstat().st_mtime < oldest:
                file.unlink()
