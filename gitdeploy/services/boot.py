"""The unit that finishes or undoes an interrupted deployment at boot, before the app starts.

`gitdeploy-recover@.service` is one template for all apps of a server; its instance is named after the checkout (see
systemd-escape(1)). What differs between apps, owner and order, stands in a drop-in of the instance.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from gitdeploy.errors import DeploymentFailed, UsageError
from gitdeploy.messages import tr
from gitdeploy.services import privileged
from gitdeploy.services.systemd import NO_SYSTEMD, booted, unit_name
from gitdeploy.system import environment, ourselves, process
from gitdeploy.system.environment import which
from gitdeploy.text import path_text

FOLDER = Path("/etc/systemd/system")
TEMPLATE = "gitdeploy-recover@.service"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.")
_TEMPLATE_TEXT = """\
# Written by `gitdeploy recover --install-unit`. At boot, before the app starts: a deployment that the power or a kill cut
# off is finished or undone, so that the app comes up on one entire release.
[Unit]
Description=Finish or undo an interrupted deployment of %f
ConditionPathIsDirectory=%f/.gitdeploy
RequiresMountsFor=%f
After=local-fs.target postgresql.service mariadb.service mysql.service

[Service]
Type=oneshot
ExecStart={command} -C %f recover --boot
TimeoutStartSec=15min

[Install]
WantedBy=multi-user.target
"""
_DROP_IN_TEXT = """\
# Written by `gitdeploy recover --install-unit` in {root}.
[Unit]
{before}[Service]
User={user}
"""


class BootUnit(Struct, frozen=True):
    """The unit of one checkout. `before`: the units that wait for it, `command`: how gitdeploy is called."""

    root: Path
    owner: int
    before: tuple[str, ...]
    command: str

    @property
    def instance(self) -> str:
        """`gitdeploy-recover@srv-otrs\\x2dweb.service`."""
        return TEMPLATE.replace("@", f"@{escape_path(str(self.root))}")

    def files(self) -> list[tuple[Path, str]]:
        """Path and text of everything that is installed."""
        before = f"Before={' '.join(self.before)}\n\n" if self.before else "\n"
        drop_in = _DROP_IN_TEXT.format(
            root=path_text(str(self.root)), before=before, user=ourselves.user_word(self.owner)
        )
        return [
            (FOLDER / TEMPLATE, _TEMPLATE_TEXT.format(command=self.command)),
            (FOLDER / f"{self.instance}.d" / "app.conf", drop_in),
        ]

    @property
    def enable(self) -> tuple[str, ...]:
        """The words after `systemctl` that make it run at the next boot."""
        return ("enable", self.instance)

    def text(self) -> str:
        """All of it, as a person would put it there by hand."""
        parts = [f"# {path}\n{text}" for path, text in self.files()]
        return "\n".join([*parts, f"# then: systemctl daemon-reload; systemctl enable '{self.instance}'"])

    def install(self) -> list[Path]:
        """Write the files and enable the unit; the files written. Raises `UsageError`, `DeploymentFailed`, where root
        became the owner of the checkout also `ServiceFailed` for units that are not the owner's."""
        if privileged.available():
            return [Path(path) for path in privileged.install_boot_unit(self.before)]
        if os.geteuid() != 0:
            raise UsageError(
                tr("Only root can install a unit for boot."),
                tr(
                    "As root: {again}\nSee what it would write: gitdeploy recover --print-unit",
                    again=ourselves.again("recover", "--install-unit", uid=0),
                ),
            )
        if not booted():
            raise DeploymentFailed(
                NO_SYSTEMD, tr("Make your init run `gitdeploy recover --boot` before the app starts.")
            )
        written = []
        for path, text in self.files():
            try:
                path.parent.mkdir(mode=0o755, exist_ok=True)
                beside = path.with_name(f".{path.name}.new")
                beside.write_text(text)
                beside.chmod(0o644)
                os.rename(beside, path)
            except OSError as error:
                raise DeploymentFailed(
                    tr("{path} can't be written: {strerror}.", path=path_text(str(path)), strerror=error.strerror)
                ) from error
            written.append(path)
        for words in (("daemon-reload",), self.enable):
            argv = [which("systemctl") or "/usr/bin/systemctl", *words]
            done = process.run(argv, cwd="/", env=environment.clean_environment(), timeout=60)
            done.check(
                f"systemctl {words[0]}",
                tr("The files are written; systemctl says what it does not like."),
            )
        return written


def boot_unit(root: Path, units: Sequence[str], *, owner: int | None = None, supervised: bool = False) -> BootUnit:
    """The unit for the checkout ROOT whose app runs in UNITS (or is started by supervisor). OWNER: whose it was when that was
    fixed; else who owns it now."""
    before = tuple(unit_name(unit) for unit in units) or (("supervisor.service",) if supervised else ())
    return BootUnit(root, root.stat().st_uid if owner is None else owner, before, _command())


def _command() -> str:
    """How this gitdeploy is called, absolute and as a unit file wants it: as typed, else the script beside this
    interpreter or in PATH, else the module."""
    return " ".join(_quoted(word) for word in ourselves.program())


def _quoted(word: str) -> str:
    word = word.replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if " " in word else word


def escape_path(path: str) -> str:
    """A path as the instance of a unit's name (systemd.unit(5)): `/srv/otrs-web` is `srv-otrs\\x2dweb`."""
    trimmed = "/".join(part for part in path.split("/") if part)
    if not trimmed:
        return "-"
    escaped = []
    for number, byte in enumerate(os.fsencode(trimmed)):
        letter = chr(byte)
        if letter == "/":
            escaped.append("-")
        elif letter in _PLAIN and not (letter == "." and number == 0):
            escaped.append(letter)
        else:
            escaped.append(f"\\x{byte:02x}")
    return "".join(escaped)
