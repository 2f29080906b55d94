"""systemd units, ready to copy: for the page, for watching, with what this app needs filled in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from gitdeploy.cli.sandbox import sandbox
from gitdeploy.config.window import Window
from gitdeploy.several.listed import USUAL, VARIABLE, list_file
from gitdeploy.site.site import Site
from gitdeploy.system.owner import user_name
from gitdeploy.text import path_text

_FOLDER = "/etc/systemd/system"
_BY_NAME = {"\\": "\\\\", '"': '\\"', "$": "$$", "%": "%%"}
_NEEDS_QUOTES = re.compile(r"[ ';]")


def web_unit(site: Site, config_file: Path | None) -> str:
    """The unit of `gitdeploy web`."""
    name = unit_name(site)
    return f"""\
# {_FOLDER}/{name}-page.service        then: systemctl daemon-reload && systemctl enable --now {name}-page
# The page and the API of {name}. Deployments that it starts run outside this unit: restarting it disturbs none of them.
[Unit]
Description=gitdeploy page of {name}
After=network.target

[Service]
{_service(site)}
{sandbox(site)}
ExecStart={_command(site, config_file)} web
# The administrator's token, where it isn't to be made at the first start: GITDEPLOY_WEB_TOKEN=... (mode 0600, root's)
EnvironmentFile=-/etc/gitdeploy/{name}.env
Restart=on-failure
# Only the server itself is ended with this unit, never a deployment that it started.
KillMode=process

[Install]
WantedBy=multi-user.target
"""


def all_unit(user: str) -> str:
    """The unit of `gitdeploy web --all`."""
    words = [*_program(), "web", "--all", *(["--user", user] if user != "gitdeploy" else [])]
    listed = list_file()
    variable = _quoted(f"{VARIABLE}={listed}").replace("$$", "$")  # no variable is read there
    elsewhere = f"Environment={variable}\n" if listed != USUAL else ""
    return f"""\
# {_FOLDER}/gitdeploy-page.service        then: systemctl daemon-reload && systemctl enable --now gitdeploy-page
# One page for all apps of the list. It begins as root: the page is then served as {user}, and each app's
# process becomes that app's owner. Deployments that it starts run outside this unit: restarting it disturbs none of them.
[Unit]
Description=gitdeploy page of all apps
After=network.target

[Service]
UMask=0022
{elsewhere}RuntimeDirectory=gitdeploy
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
LockPersonality=yes
RestrictRealtime=yes
ExecStart={" ".join(_quoted(word) for word in words)}
Restart=on-failure
# Only the server itself is ended with this unit (it ends its own processes), never a deployment that it started.
KillMode=process

[Install]
WantedBy=multi-user.target
"""


def watch_units(site: Site, *, once: bool) -> Mapping[str, str]:
    """File name -> text: a service that watches on, or (ONCE) a service and the timer that starts it."""
    name = unit_name(site)
    command = _command(site, None)
    if not once:
        text = f"""\
# {_FOLDER}/{name}-watch.service        then: systemctl daemon-reload && systemctl enable --now {name}-watch
[Unit]
Description=gitdeploy looks for releases of {name}
After=network-online.target
Wants=network-online.target

[Service]
{_service(site)}
{sandbox(site)}
ExecStart={command} watch
EnvironmentFile=-/etc/gitdeploy/{name}.env
Restart=on-failure
RestartSec=60

[Install]
WantedBy=multi-user.target
"""
        return {f"{name}-watch.service": text}
    service = f"""\
# {_FOLDER}/{name}-watch.service
[Unit]
Description=gitdeploy looks once for releases of {name}
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
{_service(site)}
{sandbox(site)}
ExecStart={command} watch --once
EnvironmentFile=-/etc/gitdeploy/{name}.env
TimeoutStartSec=infinity
"""
    timer = f"""\
# {_FOLDER}/{name}-watch.timer        then: systemctl daemon-reload && systemctl enable --now {name}-watch.timer
[Unit]
Description=gitdeploy looks for releases of {name}

[Timer]
{_when(site)}

[Install]
WantedBy=timers.target
"""
    return {f"{name}-watch.service": service, f"{name}-watch.timer": timer}


def _when(site: Site) -> str:
    check = site.config.check
    interval = max(60, round(check.interval))
    lines = ["OnBootSec=2min", f"OnUnitActiveSec={interval}s", f"RandomizedDelaySec={max(1, interval // 10)}s"]
    window = check.window
    if window is not None and check.upgrade != "never":
        # Once in the window too, or an interval longer than it might never meet it.
        lines += [f"OnCalendar={_opening(window)}", "Persistent=false"]
        lines[2] = f"RandomizedDelaySec={max(1, min(interval // 10, _length(window) * 60 // 2))}s"
    return "\n".join(lines)


def _opening(window: Window) -> str:
    zone = f" {window.zone}" if window.zone else ""
    return f"*-*-* {window.start // 60:02}:{window.start % 60:02}:00{zone}"


def _length(window: Window) -> int:
    """Minutes."""
    return (window.end - window.start) % (24 * 60)


def _service(site: Site) -> str:
    owner = user_name(site.root.stat().st_uid)
    return f"User={owner}\nWorkingDirectory={_escaped(str(site.root))}"


def _command(site: Site, config_file: Path | None) -> str:
    """The absolute command line; of a gitdeploy inside the app's own venv through the venv's link, which stays."""
    words = [*_program(), "-C", str(site.root)]
    if config_file is not None:
        words += ["--config", str(config_file.absolute())]
    return " ".join(_quoted(word) for word in words)


def _program() -> list[str]:
    """How this very gitdeploy is started."""
    for candidate in (sys.argv[0], os.path.join(os.path.dirname(sys.executable), "gitdeploy")):
        path = os.path.abspath(candidate)
        if os.path.basename(path) == "gitdeploy" and os.access(path, os.X_OK) and os.path.isfile(path):
            return [path]
    return [os.path.abspath(sys.executable), "-m", "gitdeploy"]


def unit_name(site: Site) -> str:
    """The app's name as a unit's name may be."""
    text = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in site.name).strip("-.")
    return text or "app"


def _quoted(word: str) -> str:
    """A word of ExecStart (systemd.service(5), COMMAND LINES). What is not a plain character stands there by its bytes: a line
    feed in a folder's name would begin a line of the unit, which root installs."""
    text = "".join(_BY_NAME.get(c) or (c if c.isprintable() else _by_bytes(c)) for c in word)
    return text if text == word and word and not _NEEDS_QUOTES.search(word) else f'"{text}"'


def _by_bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def _escaped(path: str) -> str:
    return path_text(path).replace("%", "%%")
