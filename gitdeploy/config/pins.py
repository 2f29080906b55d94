"""Who decides about a setting, and the settings that are pinned on this server.

A tracked deploy.yaml comes with each release. What decides about *later* releases (where they come from, who must have signed
them, what is kept and backed up, who is told) is therefore pinned in `.gitdeploy/policy.json` at first use: a release that
changes it is refused until somebody on the server accepts the change.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from msgspec import MsgspecError, Struct, field, json

from gitdeploy.config.document import Node
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.system.durable import write_durably
from gitdeploy.text import path_text

Who = Literal["server", "floor", "release"]
PLACE = Path(".gitdeploy", "policy.json")
_LARGEST = 4 << 20  # bytes
_MOST_BROUGHT = 200  # files of releases that are remembered by their hash

# server: pinned, a release changes it only with --accept-config; floor: a release may ask for more than what is pinned, never
# for less; release: the release's own.
WHO_DECIDES: Mapping[str, Who] = MappingProxyType(
    {
        # What they say of a release can only make a way longer: nothing that is judged here is judged by them.
        **dict.fromkeys(("app.name", "requires", "stop"), "release"),
        **dict.fromkeys(
            (
                "source.type", "source.repo", "source.url", "source.token_env", "source.tags", "source.tag_prefix",
                "source.channel", "source.remote", "source.fallback", "source.agree",
                "git.local_changes", "git.keep", "git.username", "git.token_env", "git.verify", "git.allowed_signers",
                "git.fingerprints",
            ),
            "server",
        ),
        **dict.fromkeys(("git.submodules", "git.lfs", "backup.ask_above"), "release"),
        **dict.fromkeys(
            (
                "venv.path", "venv.python", "venv.requirements", "venv.groups", "venv.extras", "venv.self",
                "venv.constraints", "venv.installer", "venv.link_mode", "venv.exact",
            ),
            "release",
        ),
        **dict.fromkeys(
            ("venv.allow_index_options", "venv.allow_sources", "venv.python_downloads", "venv.pass_env", "venv.extra_args", "venv.env", "venv.path_dirs", "env_file"), "server"
        ),
        **dict.fromkeys(("backup.keep", "backup.keep_replaced", "log.keep", "backup.include", "backup.databases"), "floor"),
        **dict.fromkeys(("backup.restore_data", "backup.encrypt", "backup.identity"), "server"),
        # Hooks and health checks are the release's code: they run as the app's user, as the app itself does.
        **dict.fromkeys(
            (
                "hooks.dir", "hooks.timeout", "hooks.check", "hooks.pre-deploy", "hooks.build", "hooks.migrate", "hooks.post-deploy",
                "hooks.migrate-after", "hooks.contract", "hooks.contract_migrations",
                "hooks.pre-restore", "hooks.post-restore", "hooks.on-failure",
                "health.url", "health.command", "health.tcp", "health.expect", "health.expect_body", "health.headers",
                "health.version", "health.start_period", "health.timeout", "health.interval", "health.successes",
                "health.soak",
            ),
            "release",
        ),
        **dict.fromkeys(
            (
                "service.systemd", "service.supervisor", "service.compose", "service.pidfile", "service.signal",
                "service.command", "service.stop", "service.start", "service.pid", "service.log", "service.import_test", "service.stop_for_switch", "service.timeout",
                "maintenance.file",
                "check.auto", "check.interval", "check.upgrade", "check.window", "check.min_age", "check.rehearse",
                "rehearse.command", "rehearse.env", "rehearse.pass_env",
                "notify",
                "web.host", "web.port", "web.hosts", "web.trusted_proxies", "web.metrics",
            ),
            "server",
        ),
    }
)  # fmt: skip
# Variables of the env file that say where releases come from: pinned as well, where the env file is tracked.
POLICY_VARIABLES = ("APP_UPDATE_SOURCE", "APP_UPDATE_REPO", "APP_UPDATE_YUNXIAO_REPO")
# Taken together: once signatures are wanted, they are until somebody here says otherwise with `gitdeploy config accept`.
SIGNATURES = ("git.verify", "git.allowed_signers", "git.fingerprints")


class Pins(Struct, frozen=True):
    """What is pinned here.

    `keys`: of deploy.yaml, as they stood there (one that isn't there has its default); `env`: the policy's variables of the
    env file; `signers`: the text of git.allowed_signers, where that file is in the checkout; `agrees`: hash of a deploy.yaml
    whose policy is the pinned one; `brought`: hashes of files that releases brought; `accepted`: what somebody agreed to
    in advance, until a release goes live with it (None: its absence); `secrets`: names of variables that any configuration
    here ever took secrets from; `newest`: when the newest signed tag that was live here was made (seconds since 1970).
    """

    keys: Mapping[str, Node] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    signers: str | None = None
    agrees: str = ""
    brought: tuple[str, ...] = ()
    accepted: Mapping[str, Node | None] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    newest: int = 0

    def with_brought(self, *files: bytes) -> tuple[str, ...]:
        """`brought` with FILES."""
        return tuple(dict.fromkeys((*self.brought, *(fingerprint(each) for each in files))))[-_MOST_BROUGHT:]


class Change(Struct, frozen=True):
    """One pinned setting that a file says otherwise: both values fit to show. `file`: where; `overruled`: the pinned one is in
    force; else whoever runs this server changed it, and it is pinned anew."""

    key: str
    pinned: str
    said: str
    file: str
    overruled: bool = True


def fingerprint(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def read_pins(root: Path) -> Pins | None:
    """What is pinned for the checkout ROOT; None where nothing is yet, and for another user, who may not read it and starts
    nothing here. Raises `ConfigError` for what can't be read."""
    path = root / PLACE
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if isinstance(error, PermissionError) and os.geteuid() != root.stat().st_uid:
            return None
        raise _unreadable(path, error.strerror or tr("it can't be opened")) from error
    with os.fdopen(descriptor, "rb") as file:
        try:
            return json.decode(file.read(_LARGEST), type=Pins)
        except (OSError, MsgspecError, RecursionError) as error:
            raise _unreadable(path, tr("it is damaged")) from error


def write_pins(root: Path, pins: Pins) -> None:
    """Pin what PINS says. Raises OSError."""
    write_durably(root / PLACE, json.encode(pins), 0o600)


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        tr(
            "{path}, which holds the settings that are pinned on this server, can't be read: {why}.",
            path=path_text(str(path)),
            why=why,
        ),
        tr(
            "See who owns it and its mode (ls -l). Where it is damaged, delete it: what deploy.yaml says now is pinned anew then."
        ),
    )
