"""gitdeploy: upgrade a Python web app that lives in a git checkout, and go back by itself when anything fails."""

import gitdeploy.called  # noqa: F401  # before all else, even `from __future__`, which is an import too

from typing import TYPE_CHECKING, Any  # isort: skip

__version__ = "0.1.0"
__all__ = ["App", "__version__"]

if TYPE_CHECKING:
    from gitdeploy.app import App


def __getattr__(name: str) -> Any:
    # App is loaded when asked for: `gitdeploy --version` and the console script must not pay for it.
    if name == "App":
        from gitdeploy.app import App

        return App
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
