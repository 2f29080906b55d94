"""Starting a command of gitdeploy in a process of its own, which outlives whoever asked for it (the page)."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitdeploy import process
from gitdeploy.deployment.site import Site
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.text import path_text

_NOT_INHERITED = ("GITDEPLOY_WEB_TOKEN",)


@dataclass(slots=True)
class Launched:
    """A command on its way; `output` holds the JSON document that it ends with."""

    output: Path
    exit_code: int | None = None

    def ended(self) -> GitDeployError | None:
        """The error that it ended with; None while it runs, or where it did what it should."""
        if self.exit_code is None:
            return None
        document: Any = None
        with suppress(OSError, ValueError):
            document = json.loads(self.output.read_bytes())
        with suppress(OSError):
            self.output.unlink()
        error = document.get("error") if isinstance(document, dict) else None
        if isinstance(error, dict):
            return _Ended(error)
        if self.exit_code == 0:
            return None
        return DeploymentFailed(
            f"The process that was to do it ended with exit code {self.exit_code} and said nothing.",
            "Run the same on the server, in a terminal.",
        )


class _Ended(GitDeployError):
    """An error that another process ended with, as its JSON says it."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message", "")), str(error.get("hint", "")))
        self.kind = str(error.get("kind", "failed"))  # type: ignore[misc]
        self.exit_code = int(error.get("exit_code", 1))


def launch(site: Site, words: Sequence[str], *, performer: str, request: str) -> Launched:
    """Start `gitdeploy WORDS` for PERFORMER; its deployment is found in the journal by REQUEST (32 hex digits).

    Raises `DeploymentFailed` where it can't be started.
    """
    site.require_owner()
    site.make_state()
    folder = site.state.path / "requests"
    output = folder / f"{request}.json"
    interpreter = os.path.join(os.path.realpath(os.path.dirname(sys.executable)), os.path.basename(sys.executable))
    argv = [interpreter, "-I", "-m", "gitdeploy", "-C", str(site.root)]
    if site.config.file is not None and site.config.file != site.root / "deploy.yaml":
        argv += ["--config", str(site.config.file)]
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    environment |= {"GITDEPLOY_PERFORMER": performer, "GITDEPLOY_REQUEST": request}
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        child = process.start_apart([*argv, "--json", *words], cwd="/", env=environment, output=output)
    except OSError as error:
        raise DeploymentFailed(
            f"The deployment can't be started: {path_text(str(error.filename or output))}: {error.strerror}."
        ) from error
    launched = Launched(output)

    def wait() -> None:
        launched.exit_code = child.wait()

    threading.Thread(target=wait, name="gitdeploy-launched", daemon=True).start()
    return launched
