"""Units of the page and of watch put where systemd finds them, and started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gitdeploy.cli.screen import Screen
from gitdeploy.errors import DeploymentFailed, UsageError
from gitdeploy.messages import joined, tr
from gitdeploy.services import privileged
from gitdeploy.services.systemd import NO_SYSTEMD, booted
from gitdeploy.system import environment, ourselves, process
from gitdeploy.system.durable import write_durably
from gitdeploy.text import path_text

FOLDER = Path("/etc/systemd/system")


def install_units(screen: Screen, units: Mapping[str, str], *words: str) -> None:
    """Write UNITS (file name -> text), and enable and start the last of them. WORDS: the command that prints them. Raises
    `UsageError` for anybody but root, `DeploymentFailed`."""
    starts = list(units)[-1]
    if os.geteuid() != 0 or privileged.available():
        # Root that became the owner lets nobody but itself say what it writes: the text is this process's, so a person passes it.
        printed = [
            ourselves.again(*words, "--print-unit", *([name.rpartition(".")[2]] if len(units) > 1 else []))
            + f" > {FOLDER / name}"
            for name in units
        ]
        raise UsageError(
            tr("Only root can install a unit, and only for a checkout of its own."),
            joined(
                "\n",
                [tr("As root, in a shell:"), *printed, f"systemctl daemon-reload && systemctl enable --now {starts}"],
            ),
        )
    if not booted():
        raise DeploymentFailed(NO_SYSTEMD, tr("Print it instead: --print-unit"))
    written = []
    for name, text in units.items():
        try:
            write_durably(FOLDER / name, text.encode(), mode=0o644)
        except OSError as error:
            raise DeploymentFailed(
                tr("{path} can't be written: {why}.", path=path_text(str(FOLDER / name)), why=error.strerror)
            ) from error
        written.append(FOLDER / name)
    for argv in (["daemon-reload"], ["enable", "--now", starts]):
        program = environment.which("systemctl") or "/usr/bin/systemctl"
        done = process.run([program, *argv], cwd="/", env=environment.clean_environment(), timeout=60)
        done.check(f"systemctl {argv[0]}", tr("The files are written; systemctl says what it does not like."))
    lines = [*(tr("Written: {path}", path=path) for path in written), tr("Enabled and started: {unit}", unit=starts)]
    screen.result({"units": dict(units), "installed": True, "enabled": starts}, joined("\n", lines))
