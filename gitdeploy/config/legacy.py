"""The APP_UPDATE_* variables that today's users have in `.env`: they win over deploy.yaml, the environment over both."""

from __future__ import annotations

import os
import re

from msgspec.structs import replace

from gitdeploy.config import checks
from gitdeploy.config.model import Config
from gitdeploy.config.sections import SOURCE_TYPES, SourceConfig
from gitdeploy.errors import ConfigError
from gitdeploy.text import clean

_WORDS = {
    word: value for value, words in ((True, "true 1 yes on"), (False, "false 0 no off")) for word in words.split()
}


def with_variables(config: Config, where: dict[str, str]) -> Config:
    """CONFIG with what the variables say; `where` is told. Raises ConfigError for a value that can't be taken."""
    source = _source(config, where)
    check = config.check
    if (flag := _take(config, "APP_UPDATE_AUTO_CHECK")) is not None:
        value, origin = flag
        if (auto := _WORDS.get(value.lower())) is None:
            raise _wrong("APP_UPDATE_AUTO_CHECK", origin, "true or false", value)
        check = replace(check, auto=auto)
        where["check.auto"] = origin
    if (hours := _take(config, "APP_UPDATE_CHECK_INTERVAL")) is not None:
        value, origin = hours
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value) or not 60 <= float(value) * 3600 <= 366 * 86400:
            raise _wrong("APP_UPDATE_CHECK_INTERVAL", origin, "a number of hours such as 24", value)
        check = replace(check, interval=float(value) * 3600)
        where["check.interval"] = origin
    return replace(config, source=source, check=check)


def _source(config: Config, where: dict[str, str]) -> SourceConfig:
    source = config.source
    if (kind := _take(config, "APP_UPDATE_SOURCE")) is not None:
        value, origin = kind
        word = {"yunxiao": "codeup"}.get(value.lower(), value.lower())
        if word not in SOURCE_TYPES:
            raise _wrong("APP_UPDATE_SOURCE", origin, "github or yunxiao", value)
        if source.type is not None and source.type != word:
            # What deploy.yaml says of another host is not true of this one.
            same = next((each for each in source.fallback if each.type == word), SourceConfig())
            source = replace(source, repo=same.repo, url=same.url, token_env=same.token_env)
            for key in ("repo", "url", "token_env"):
                where.pop(f"source.{key}", None)
        source = replace(source, type=word)
        where["source.type"] = origin
    names = {"codeup": "APP_UPDATE_YUNXIAO_REPO"}
    name = names.get(source.type or "", "APP_UPDATE_REPO")
    if source.type is None and _take(config, name) is None:
        name = "APP_UPDATE_YUNXIAO_REPO"
    if (repo := _take(config, name)) is not None:
        value, origin = repo
        if checks.repository(value):
            raise _wrong(name, origin, "a repository such as scaleflower/otrs-web", value)
        source = replace(source, repo=value)
        where["source.repo"] = origin
        if source.type is None:
            source = replace(source, type="codeup" if name == "APP_UPDATE_YUNXIAO_REPO" else "github")
            where["source.type"] = f"from {name}"
    return source


def _take(config: Config, name: str) -> tuple[str, str] | None:
    """The value of NAME and where it stands; None where it is nowhere or empty."""
    if value := os.environ.get(name, "").strip():
        return value, f"environment {name}"
    if value := (config.env.get(name) or "").strip():
        return value, f"{config.env.name} line {config.env.line_of(name)}"
    return None


def _wrong(name: str, origin: str, expected: str, value: str) -> ConfigError:
    place = "the environment" if origin.startswith("environment") else origin
    return ConfigError(
        f"{name} in {place} must be {expected}; found `{clean(value, limit=60)}`.", f"Set {name} right or remove it."
    )
