"""What the units of the page and of watching may not do: as much as leaves a deployment in them what it needs.

Deployments run inside these units too (watch's own, and those of a page without a user manager), with the release's hooks.
So nothing is taken away that hooks use as a rule, and what sudo and setgid folders need stays where they are used:
`RestrictSUIDSGID=` would forbid to make a folder setgid again, and each setting below `NoNewPrivileges=` implies that one.
`ProtectKernelTunables=` and `ProtectControlGroups=` show a unit in a container another boot id than the rest sees, so that a
deployment outside of it would look dead.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from gitdeploy.site.site import Site
from gitdeploy.system import process
from gitdeploy.system.environment import which

_READ_ONLY = ("/usr", "/boot", "/efi", "/etc")  # by ProtectSystem=full (systemd.exec(5))
_GAINING = re.compile(r"\b(?:sudo|doas|pkexec|runuser|su -)\b|\bsu\b -")
_NO_GAIN = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"""
_WITH_SUDO = """\
# sudo is used here, so privileges may be gained. Restart by polkit instead (docs/services.md), and these can be set:
# NoNewPrivileges=yes, and what `gitdeploy web --print-unit` then adds."""


def sandbox(site: Site) -> str:
    """Lines of a unit's [Service]."""
    owner = site.root.stat().st_uid
    lines = [
        "# A sandbox for the page, the deployments in this unit and their hooks. A hook that must write to /etc or /usr:",
        "# ReadWritePaths=/etc/nginx (or whatever it is) in a drop-in, systemctl edit.",
        "UMask=0022",
    ]
    if not any(site.root.is_relative_to(folder) for folder in _READ_ONLY):
        lines.append("ProtectSystem=full")
    if _uses_tmp(site):
        lines.append("# Not PrivateTmp=yes: the settings name something in /tmp, which must be the same for all.")
    else:
        lines.append("PrivateTmp=yes")
    if _uses_sudo(site, owner):
        lines.append(_WITH_SUDO)
    else:
        lines.append(_NO_GAIN.replace("CapabilityBoundingSet=\n", "") if owner == 0 else _NO_GAIN)
    return "\n".join(lines)


def _uses_tmp(site: Site) -> bool:
    """Whether a socket or file in /tmp is shared with others: supervisor's own is there by default."""
    named = (_settings(site), site.config.env.text)
    return site.config.service.supervisor is not None or any("/tmp" in text for text in named)  # noqa: S108


def _uses_sudo(site: Site, owner: int) -> bool:
    """Whether a hook, a command of deploy.yaml or the restart of a unit of root's gains rights."""
    texts = [_settings(site)]
    if site.config.hooks.dir is not None:
        texts += map(_text, (site.root / site.config.hooks.dir).rglob("*"))
    if any(_GAINING.search(text) for text in texts):
        return True
    sudo = which("sudo")
    if owner == 0 or sudo is None:
        return False
    listed = process.run([sudo, "-n", "-l"], cwd=site.root, env=dict(os.environ), timeout=10)
    return listed.ok and "systemctl" in listed.text


def _settings(site: Site) -> str:
    return (site.config.text or b"").decode("utf-8", "replace")


def _text(path: Path) -> str:
    with suppress(OSError):
        if path.is_file() and path.stat().st_size < 1 << 20:
            return path.read_text("utf-8", "replace")
    return ""
