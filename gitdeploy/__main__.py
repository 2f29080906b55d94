"""The console script: `gitdeploy`, also `python -m gitdeploy`."""

from __future__ import annotations

import gc
import os
import sys

_COLLECT_AFTER = (
    50_000  # new objects; by Python's own 700 a tenth of the time that loading takes goes into finding nothing
)


def main() -> int:
    """Run the command line. Returns the exit code."""
    _open_standard_descriptors()
    if sys.argv[1:] in (["--version"], ["-V"]):
        # Without importing what nothing else needs: this answer is asked for by scripts, often.
        from gitdeploy import __version__

        sys.stdout.write(f"gitdeploy {__version__}\n")
        return 0
    gc.set_threshold(_COLLECT_AFTER)
    from gitdeploy import interruption
    from gitdeploy.cli import run

    code = run(sys.argv[1:])
    interruption.end()
    gc.freeze()  # the process ends: a search through all that it holds would take 40 ms and give nothing back
    return code


def _open_standard_descriptors() -> None:
    """With one of them closed, the next file opened would become it, and children would write into that file."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for the life of the process


if __name__ == "__main__":
    sys.exit(main())
