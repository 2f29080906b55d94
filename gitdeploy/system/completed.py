"""How a child process ended."""

from __future__ import annotations

import re
import signal

from msgspec import Struct

from gitdeploy.errors import CommandFailed
from gitdeploy.messages import tr
from gitdeploy.text import clean, redact

_PROGRESS = re.compile(
    r"hint: |(?:remote: )?(?:(?:Enumerating|Counting|Compressing|Receiving|Unpacking|Updating|Filtering|Writing) \w+"
    r"|Resolving deltas|Total \d+ \(delta)\b.*|Using (?:C?Python|PyPy) \S+ environment at: .*"
)


class Completed(Struct, frozen=True):
    """How a child ended. `returncode` is negative for a signal (-9: SIGKILL); `duration` in seconds."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes
    duration: float
    timed_out: bool = False
    cut: int = 0  # bytes of standard output that are missing at its beginning: it was more than is kept

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out

    @property
    def text(self) -> str:
        """Standard output, decoded without ever failing, white space at the end removed."""
        return self.stdout.decode("utf-8", "replace").rstrip()

    @property
    def error_text(self) -> str:
        """The last lines of standard error (else of output), cleaned and redacted: fit to show. Git's progress and its
        advice are left out, and uv's word on which venv it works in."""
        raw = (self.stderr.strip() or self.stdout.strip())[-16000:].decode("utf-8", "replace")
        lines = [line for line in raw.splitlines() if line.strip() and not _PROGRESS.match(line)]
        return redact(clean("\n".join(lines[-12:])[-4000:], lines=True))

    @property
    def ending(self) -> str:
        """In words: `exit code 3`, `killed by SIGKILL (out of memory?)`, `took longer than its limit`."""
        if self.timed_out:
            return tr("still running after {duration} s, ended", duration=f"{self.duration:.0f}")
        if self.returncode >= 0:
            return tr("exit code {returncode}", returncode=self.returncode)
        try:
            name = signal.Signals(-self.returncode).name
        except ValueError:
            name = tr("signal {returncode}", returncode=-self.returncode)
        return tr("killed by {name}", name=name) + (tr(" (out of memory?)") if name == "SIGKILL" else "")

    def check(self, what: str, hint: str = "") -> Completed:
        """Return self, or raise `CommandFailed`: "WHAT failed (exit code 1): last lines"."""
        if self.ok:
            return self
        said = self.error_text
        raise CommandFailed(
            tr("{what} failed ({ending})", what=what, ending=self.ending)
            + (tr(": {said}", said=said) if said else tr(".")),
            hint,
        )
