"""How the database's own programs are run: as the owner of the checkout, the password in a file of mode 0600 that has
no name anywhere, so that nothing can leave it behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.errors import CommandFailed, DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import environment, owner, process, progress
from gitdeploy.system.completed import Completed

DUMP_LIMIT = 12 * 3600.0  # seconds; a server that is lost is noticed much sooner, by its own time limits
QUESTION_LIMIT = 120.0
HANDED = "gitdeploy-handed"
_PROGRAM_ERROR = re.compile(r"^(?:psql|pg_\w+|\S*/\S+|mariadb|mysql)(?::\S*:\d+)?: (?:error: |(?=ERROR))")
_REDIRECTED = 'in=$1 out=$2; shift 2; exec "$@" <"$in" >"$out"'


class Client(Struct, frozen=True):
    """Runs programs in ROOT as UID, whose home their own settings (`~/.pgpass`, `~/.my.cnf`) are read from."""

    root: Path
    uid: int
    handed: list[int] = field(default_factory=list)  # what programs inherit just now

    @classmethod
    def of(cls, root: Path) -> Client:
        """Of the checkout ROOT: as its owner, where that is another user than the one who runs this."""
        return cls(root, root.stat().st_uid)

    def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        stdin: bytes | None = None,
        into: Path | None = None,
        out_of: Path | None = None,
        writes: bool = False,
        timeout: float = QUESTION_LIMIT,
        on_line: Callable[[str], object] | None = None,
    ) -> Completed:
        """Run a program to its end, its output INTO a file or its input OUT_OF one where they are given.

        env: beside a clean one. writes: it changes the database, so recovery must find what a killed run left of it.
        timeout: seconds.
        """
        words = owner.command_as(argv, self.uid)
        # The shell opens the file before the program becomes another user, who may not reach it.
        if into is not None or out_of is not None:
            files = (str(out_of or os.devnull), str(into or "/dev/stdout"))
            words = ["/bin/sh", "-c", _REDIRECTED, "sh", *files, *words]
        with progress.of_files(out_of, into):
            return process.run(
                words,
                cwd=self.root,
                env=environment.clean_environment({**owner.variables(self.uid), **env}),
                timeout=timeout,
                stdin=stdin,
                on_line=on_line,
                keep=4 << 20,
                tied=True,
                marked=writes,
                umask=0o077,
                descriptors=self.handed,
            )

    @contextmanager
    def handed_file(self, content: str) -> Iterator[Path]:
        """A file of mode 0600 with CONTENT (a password, a list) for the programs that are run within the block.

        It is in memory (memfd_create(2)), without a name in any folder, and ends with the processes that have it open:
        a kill leaves nothing.
        """
        descriptor = os.memfd_create(HANDED, os.MFD_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o600)
            if owner.must_drop(self.uid):
                os.fchown(descriptor, self.uid, -1)
            os.write(descriptor, content.encode("utf-8", "surrogateescape"))
            self.handed.append(descriptor)
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            if descriptor in self.handed:
                self.handed.remove(descriptor)
            os.close(descriptor)


def require(program: str | None, names: str, package: str) -> str:
    """PROGRAM, or `DeploymentFailed` that says what to install."""
    if program is None:
        raise DeploymentFailed(
            tr("{names} is not installed.", names=names),
            tr("On Debian and Ubuntu: apt-get install {package}", package=package),
        )
    return program


def failure(done: Completed, what: str, hint: str = "") -> CommandFailed:
    """What a program's end means: "WHAT: its first error"."""
    lines = [line.strip() for line in done.error_text.splitlines() if line.strip()]
    if done.timed_out or not lines:
        return CommandFailed(tr("{what} ({ending}).", what=what, ending=done.ending), hint)
    at = next((number for number, line in enumerate(lines) if "error" in line.lower()), len(lines) - 1)
    said = _PROGRAM_ERROR.sub("", lines[at])
    return CommandFailed(tr("{what}: {said}", what=what, said=said), hint, details=tuple(lines[at + 1 : at + 6]))


def private_file(path: Path) -> Path:
    """An empty file of mode 0600 in place of whatever is at PATH."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    return path


def make_durable(path: Path) -> None:
    """The file PATH and its name are on disk when this returns."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
