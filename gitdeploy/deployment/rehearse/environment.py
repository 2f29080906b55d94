"""The app's environment as it is in a rehearsal: it leads to scratch databases, and says nothing that opens other services."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from gitdeploy.config import RehearseConfig
from gitdeploy.config.envfile import EnvFile
from gitdeploy.databases.scratch import Scratch
from gitdeploy.deployment.prepare.beside import moved
from gitdeploy.errors import ConfigError
from gitdeploy.system.inside import require_inside

# By these a process reaches whatever a login session, or its service's manager, may do.
_SESSION = frozenset(
    "SSH_AUTH_SOCK SSH_AGENT_PID DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR NOTIFY_SOCKET LISTEN_FDS LISTEN_PID".split()
)
_CREDENTIAL = re.compile(
    r"(?i).*(?:TOKEN|SECRET|PASSW(?:OR)?D|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL|WEBHOOK).*|.*_(?:PASS|PWD|DSN|PAT)|DSN"
)
# What an app signs its own cookies with, and what opens its own database.
_OWN = re.compile(
    r"(?i)(?:(?:DJANGO|FLASK|FASTAPI|APP|SESSION|JWT|CSRF|COOKIE|SECURITY|WTF)_)*(?:SECRET(?:_KEY)?(?:_BASE|_FALLBACKS?)?|PASSWORD_SALT)"
    r"|(?:.*_)?(?:DB|DATABASE|PG|POSTGRES(?:QL)?|MYSQL|MARIADB|SQL)_?(?:USER_?)?PASS(?:W(?:OR)?D)?|PGPASSWORD|MYSQL_PWD"
)
_WITH_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@\s]*:[^/@\s]+@")
LOOPBACK = "127.0.0.1"


class Surroundings(Struct, frozen=True):
    """How variables are changed. `host`: where servers of databases are reached instead (None: where they are); `port`: the one
    that the app is started at; `version`: the release's."""

    root: Path
    copy: Path
    scratches: Sequence[Scratch]
    config: RehearseConfig
    app: str
    host: str | None
    port: int

    def told(self, name: str, value: str) -> tuple[str, list[Scratch]]:
        """VALUE of NAME, changed, and the scratch databases that it leads to now."""
        for scratch in self.scratches:
            changed = scratch.told(name, value, self._host_for(scratch))
            if changed is not None:
                return changed, [scratch]
        if self.host is not None and "HOST" in name.upper() and value in self._hosts():
            return self.host, []
        return moved(value, self.root, self.copy), []

    def _host_for(self, scratch: Scratch) -> str | None:
        return self.host if scratch.server is not None else None

    def _hosts(self) -> set[str]:
        """Other machines that servers of databases are on."""
        found = {each.server.host for each in self.scratches if each.server is not None}
        return found - {"localhost", LOOPBACK, "::1"}

    def is_withheld(self, name: str, value: str) -> bool:
        """Whether NAME looks like what opens a service of somebody else's."""
        if name in _SESSION:
            return True
        if name in self.config.pass_env or name in self.config.env or _OWN.fullmatch(name):
            return False
        own = re.sub(r"\W", "_", self.app).upper()
        if name.upper().startswith(f"{own}_") and _OWN.fullmatch(name[len(own) + 1 :]):
            return False
        return bool(value) and (_CREDENTIAL.fullmatch(name) is not None or _WITH_PASSWORD.match(value) is not None)

    def given(self) -> dict[str, str]:
        """`rehearse.env`, filled in."""
        names = {"port": str(self.port)}
        for number, scratch in enumerate(self.scratches, 1):
            names["database" if number == 1 else f"database{number}"] = scratch.bare
        return {
            name: re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), moved(value, self.root, self.copy))
            for name, value in self.config.env.items()
        }

    def given_scratches(self) -> list[Scratch]:
        """Those that `rehearse.env` leads to."""
        found = []
        for number, scratch in enumerate(self.scratches, 1):
            word = "{database}" if number == 1 else f"{{database{number}}}"
            if any(word in value for value in self.config.env.values()):
                found.append(scratch)
        return found


class Changed(Struct, frozen=True):
    """An environment, changed: `values`; `withheld`: names that are not in it; `reached`: the scratch databases that some of it
    leads to."""

    values: Mapping[str, str]
    withheld: tuple[str, ...]
    reached: tuple[Scratch, ...]


def changed_environment(around: Surroundings, caller: Mapping[str, str], version: str | None) -> Changed:
    """The environment CALLER of the live app as the copy's is. VERSION: the one that is tried."""
    values: dict[str, str] = {}
    withheld: list[str] = []
    reached = around.given_scratches()
    for name, value in caller.items():
        told, leads = around.told(name, value)
        if leads:
            values[name] = told
            reached += leads
        elif around.is_withheld(name, value):
            withheld.append(name)
        else:
            values[name] = told
    if version is not None and "APP_VERSION" in values:
        values["APP_VERSION"] = version
    values.update(around.given())
    return Changed(values, tuple(sorted(withheld)), tuple(reached))


def change_env_file(around: Surroundings, path: Path) -> list[Scratch]:
    """Change the copy's env file PATH in the same way, since the app may read it by itself; what can't be written there is
    emptied. The scratch databases that it leads to. Raises `GitDeployError`, OSError."""
    try:
        require_inside(path, around.copy)
        env = EnvFile.parse(path.read_bytes())
    except FileNotFoundError:
        return []
    given = around.given()
    reached: list[Scratch] = []
    raw = env.text.encode("utf-8", "surrogateescape")
    for name in dict.fromkeys(each.name for each in env.bindings):
        value = env.get(name)
        if value is None:
            continue
        told, leads = around.told(name, value)
        reached += leads
        if name in given:
            told = given[name]
        elif not leads and around.is_withheld(name, value):
            told = ""
        if told != value:
            raw = _with_value(EnvFile.parse(raw), name, told)
    path.unlink()
    path.write_bytes(raw)
    path.chmod(0o600)
    return reached


def _with_value(env: EnvFile, name: str, value: str) -> bytes:
    try:
        return env.with_value(name, value)
    except ConfigError:
        return env.with_value(name, "")
