"""The console script: `gitdeploy`, also `python -m gitdeploy`."""

from __future__ import annotations

import gc
import io
import os
import sys

TYPE_CHECKING = False  # loading `typing` itself would cost `--version` milliseconds
if TYPE_CHECKING:
    from typing import Any

_COLLECT_AFTER = (
    50_000  # new objects; by Python's own 700 a tenth of the time that loading takes goes into finding nothing
)


def main() -> int:
    """Run the command line. Returns the exit code."""
    _read_names_as_utf8()
    _open_standard_descriptors()
    _write_without_fail()
    if sys.argv[1:] in (["--version"], ["-V"]):
        # Without importing what nothing else needs: this answer is asked for by scripts, often.
        from gitdeploy import __version__

        sys.stdout.write(f"gitdeploy {__version__}\n")
        return 0
    gc.set_threshold(_COLLECT_AFTER)
    from gitdeploy.cli import run
    from gitdeploy.system import interruption

    code = run(sys.argv[1:])
    interruption.end()
    gc.freeze()  # the process ends: a search through all that it holds would take 40 ms and give nothing back
    return code


def _read_names_as_utf8() -> None:
    """Git's names, deploy.yaml's and ours are UTF-8. Where the locale's encoding is another one (GB18030), Python would
    read and write the names of files in that: start anew in its UTF-8 mode; what is shown stays in the locale's."""
    if sys.getfilesystemencoding() == "utf-8":
        return
    if sys.stdout is not None:
        os.environ["PYTHONIOENCODING"] = sys.stdout.encoding
    os.execv(  # noqa: S606  # the very same interpreter
        sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    )


def _open_standard_descriptors() -> None:
    """With one of them closed, the next file opened would become it, and children would write into that file."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # for the life of the process


class _Output(io.FileIO):
    """Standard output or error. Whatever became of it (a full disk, a reader that left, a terminal that vanished), no
    write raises: Python itself flushes both at its exit, and would make of a failure there exit code 120."""

    def write(self, data: Any, /) -> int:
        try:
            while (written := super().write(data)) is None:  # whoever shares it made it non-blocking, and it is full
                import select

                select.select([], [self], [])
            return written
        except OSError:
            return len(data)


def _write_without_fail() -> None:
    """Let all that this process prints, by whichever library, go through `_Output`; a letter that the encoding lacks is
    escaped."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)  # None where it was closed
        stream = io.TextIOWrapper(
            io.BufferedWriter(_Output(descriptor, "w", closefd=False)),
            encoding=before.encoding if before is not None else "utf-8",
            errors="backslashreplace",
            line_buffering=before is not None and before.line_buffering,
        )
        setattr(sys, name, stream)


if __name__ == "__main__":
    sys.exit(main())
