"""Where `python -m gitdeploy` was called: imported first of all, and imports nothing but what is part of the interpreter.

Python puts that folder before the standard library: a module there called `typing`, or `__future__`, would be imported
instead of its own. So it is taken off again. One module is out of reach: runpy imports `warnings` before any of ours, so as
root the folder must be root's own, and `gitdeploy.system.ourselves` refuses any other.
"""

import sys

_NAMES = ("gitdeploy", "gitdeploy.__main__")
_BY_NAME = sys.argv[:1] == ["-m"] and any(
    option.startswith("-") and ((option.endswith("m") and name in _NAMES) or option.partition("m")[2] in _NAMES)
    for option, name in zip(sys.orig_argv, [*sys.orig_argv[1:], ""], strict=True)
)
CALLED_IN: str | None = sys.path.pop(0) if _BY_NAME and not sys.flags.safe_path else None
"""The folder from which Python could import before we were asked; None where there is none, as with the program."""
