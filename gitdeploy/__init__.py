"""gitdeploy: upgrade a Python web app that lives in a git checkout, and roll back automatically when anything fails.

What scripts use stands here and in `gitdeploy.errors` (docs/python.md); everything else may change.
"""

import gitdeploy.called  # noqa: F401  # before all else, even `from __future__`, which is an import too

TYPE_CHECKING = False  # of `typing`, which `--version` would wait for
if TYPE_CHECKING:
    from gitdeploy import errors
    from gitdeploy.app import App
    from gitdeploy.backups.store import Backup
    from gitdeploy.deployment.plan.make import Plan
    from gitdeploy.deployment.plan.options import Options
    from gitdeploy.deployment.record.work import Result
    from gitdeploy.sources import Release

__version__ = "0.1.0"
__all__ = ["App", "Backup", "Options", "Plan", "Release", "Result", "__version__", "errors"]

_HOMES = {
    "App": "app",
    "Backup": "backups.store",
    "Options": "deployment.plan.options",
    "Plan": "deployment.plan.make",
    "Release": "sources",
    "Result": "deployment.record.work",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Loaded when asked for, and so is what does that: `--version` and the console script must not pay for it.
        from gitdeploy.lazy import face

        return face(__name__, _HOMES)(name)
