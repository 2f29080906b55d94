"""The APP_UPDATE_* variables that today's users have in `.env`: they win over deploy.yaml, the environment over both."""

from __future__ import annotations

import os
import re

from msgspec.structs import replace

from gitdeploy.config import checks
from gitdeploy.config.hosts import PUBLIC_GIT_HOSTS, SOURCE_TYPES
from gitdeploy.config.model import Config
from gitdeploy.config.sections import SourceConfig
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
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
            raise _wrong("APP_UPDATE_AUTO_CHECK", origin, tr("true or false"), value)
        check = replace(check, auto=auto)
        where["check.auto"] = origin
    if (hours := _take(config, "APP_UPDATE_CHECK_INTERVAL")) is not None:
        value, origin = hours
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value) or not 60 <= float(value) * 3600 <= 366 * 86400:
            raise _wrong("APP_UPDATE_CHECK_INTERVAL", origin, tr("a number of hours such as 24"), value)
        check = replace(check, interval=float(value) * 3600)
        where["check.interval"] = origin
    return replace(config, source=source, check=check)


def _source(config: Config, where: dict[str, str]) -> SourceConfig:
    source = config.source
    kind = _take(config, "APP_UPDATE_SOURCE")
    if kind is not None:
        value, origin = kind
        word = {"yunxiao": "codeup", "both": "github"}.get(value.lower(), value.lower())
        if word not in SOURCE_TYPES:
            raise _wrong("APP_UPDATE_SOURCE", origin, tr("github, yunxiao or both"), value)
        before = source
        source = _moved(source, word, where)
        where["source.type"] = origin
        source = _with_repo(config, source, where)
        if before.type not in (None, word) and "source.remote" not in where:
            where["source.remote"] = origin
            source = replace(source, remote=_public_address(source) or source.remote)
        if value.lower() == "both":
            source = _with_codeup_behind(config, source, before, origin)
            where["source.fallback"] = origin
        return source
    return _with_repo(config, source, where)


def _moved(source: SourceConfig, word: str, where: dict[str, str]) -> SourceConfig:
    """SOURCE at a host of the kind WORD. What deploy.yaml says of another host, its git remote included, is not true of this
    one; what a fallback says of this kind is."""
    if source.type in (None, word):
        return replace(source, type=word)
    same = next((each for each in source.fallback if each.type == word), SourceConfig(remote=source.remote))
    named = same.remote != source.remote  # a fallback that names none has the main source's
    for key in ("repo", "url", "token_env", "remote"):
        where.pop(f"source.{key}", None)
    if named:
        where["source.remote"] = where.get("source.fallback", "deploy.yaml")
    return replace(
        source,
        type=word,
        repo=same.repo,
        url=same.url,
        token_env=same.token_env,
        remote=same.remote if named else SourceConfig().remote,
        fallback=tuple(each for each in source.fallback if each is not same),
    )


def _with_repo(config: Config, source: SourceConfig, where: dict[str, str]) -> SourceConfig:
    """SOURCE with the repository that the variable of its kind names."""
    name = "APP_UPDATE_YUNXIAO_REPO" if source.type == "codeup" else "APP_UPDATE_REPO"
    if source.type is None and _take(config, name) is None:
        name = "APP_UPDATE_YUNXIAO_REPO"
    if (repo := _repository(config, name)) is not None:
        value, origin = repo
        source = replace(source, repo=value)
        where["source.repo"] = origin
        if source.type is None:
            source = replace(source, type="codeup" if name == "APP_UPDATE_YUNXIAO_REPO" else "github")
            where["source.type"] = tr("from {name}", name=name)
    return source


def _with_codeup_behind(config: Config, source: SourceConfig, before: SourceConfig, origin: str) -> SourceConfig:
    """GitHub's SOURCE with Codeup as its first fallback: as deploy.yaml has it (BEFORE), and the variable names it."""
    told = (before, *before.fallback)
    behind = next((each for each in told if each.type == "codeup"), SourceConfig(type="codeup", remote=source.remote))
    behind = replace(behind, tags="*", tag_prefix="", channel="stable", fallback=(), agree=False)
    if (repo := _repository(config, "APP_UPDATE_YUNXIAO_REPO")) is not None:
        behind = replace(behind, repo=repo[0])
    if behind.repo is None:
        place = tr("the environment") if origin.startswith("environment") else origin
        raise ConfigError(
            tr(
                "APP_UPDATE_SOURCE in {place} is both, GitHub and Codeup, and no repository at Codeup is named.",
                place=place,
            ),
            tr(
                "Set APP_UPDATE_YUNXIAO_REPO, such as 68720966aa7bbf6cb884753e/group/name, or APP_UPDATE_SOURCE=github."
            ),
        )
    return replace(source, fallback=(behind, *(each for each in source.fallback if each.type != "codeup")))


def _public_address(source: SourceConfig) -> str | None:
    """Where git finds SOURCE's repository over HTTPS, at the host that everybody knows by its kind."""
    host = PUBLIC_GIT_HOSTS.get(source.type or "")
    return f"{host}/{source.repo}.git" if host and source.repo and source.url is None else None


def _repository(config: Config, name: str) -> tuple[str, str] | None:
    """The repository that the variable NAME holds, and where it stands. Raises ConfigError for what can be none."""
    repo = _take(config, name)
    if repo is not None and checks.repository(repo[0]):
        raise _wrong(name, repo[1], tr("a repository such as scaleflower/otrs-web"), repo[0])
    return repo


def _take(config: Config, name: str) -> tuple[str, str] | None:
    """The value of NAME and where it stands; None where it is nowhere or empty."""
    if value := os.environ.get(name, "").strip():
        return value, tr("environment {name}", name=name)
    if value := (config.env.get(name) or "").strip():
        return value, tr("{env} line {line_of}", env=config.env.name, line_of=config.env.line_of(name))
    return None


def _wrong(name: str, origin: str, expected: str, value: str) -> ConfigError:
    place = tr("the environment") if origin.startswith("environment") else origin
    return ConfigError(
        tr(
            "{name} in {place} must be {expected}; found `{value}`.",
            name=name,
            place=place,
            expected=expected,
            value=clean(value, limit=60),
        ),
        tr("Set {name} right or remove it.", name=name),
    )
