"""Ways to a database server that a rehearsal can't lead to its scratch database: refused before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitdeploy.databases import Database
from gitdeploy.databases.address import Address
from gitdeploy.databases.scratch import Scratch
from gitdeploy.deployment.rehearse.reach import is_read_along
from gitdeploy.errors import GitDeployError, PolicyError
from gitdeploy.messages import tr
from gitdeploy.text import clean

# What an option of a URL says that leaves no way but TLS, as libpq, the clients of MySQL and the drivers of both spell it.
_MODES = ("sslmode", "ssl_mode")
_SWITCHES = ("ssl", "tls", "usessl", "requiressl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert")
_NAME_CHECKS = ("ssl_check_hostname", "ssl_verify_identity")
_STRICT = ("require", "required", "verify-ca", "verify_ca")
_STRICT_OF_NAME = ("verify-full", "verify_identity")
_OFF = ("", "0", "false", "off", "no", "disable", "disabled", "allow", "prefer", "preferred")


def require_ways(pairs: Sequence[tuple[Database, Scratch]], values: Iterable[tuple[str, str]]) -> None:
    """Raises `PolicyError` for several servers, and where VALUES, the variables in the rehearsal, want TLS that can't be had there:
    of what goes through gitdeploy it reads along, and a server elsewhere is reached by another name."""
    said = list(values)
    for live, scratch in pairs:
        server = scratch.server
        if server is None:
            continue
        if "," in server.host:
            raise PolicyError(
                tr("{name} names several servers; a rehearsal reaches one.", name=live.name),
                tr("Name the primary alone in backup.databases."),
            )
        for variable, value in said:
            wanted = _wanted(variable, value, scratch)
            if wanted:
                raise PolicyError(
                    tr("{name} wants TLS ({wanted}), which a rehearsal can't offer.", name=live.name, wanted=wanted),
                    tr(
                        "Name a way without it in deploy.yaml: rehearse: {{env: {{{variable}: ...}}}}",
                        variable=clean(variable),
                    ),
                )


def _wanted(variable: str, value: str, scratch: Scratch) -> str:
    """The option by which VALUE of VARIABLE wants TLS on the way to SCRATCH; empty where it doesn't."""
    options: Mapping[str, str] = {}
    if variable == "PGSSLMODE" and scratch.database.kind == "postgresql":
        options = {"sslmode": value}
    elif "://" in value:
        try:
            address = Address.parse(value)
        except GitDeployError:
            return ""
        options = address.options if address.database == scratch.bare else {}
    near = is_read_along(scratch)
    return next(
        (f"{key}={clean(said)}" for key, said in options.items() if _is_strict(key, said.lower(), near=near)), ""
    )


def _is_strict(key: str, said: str, *, near: bool) -> bool:
    plain = key.lower().replace("-", "_")
    if plain in _MODES:
        return said in _STRICT_OF_NAME or (near and said in _STRICT)
    if plain in _NAME_CHECKS:
        return said not in _OFF
    return near and plain in _SWITCHES and said not in _OFF
