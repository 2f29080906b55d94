"""The whole configuration of one app, and where each value of it came from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import field

from gitdeploy.config import checks
from gitdeploy.config.envfile import EnvFile
from gitdeploy.config.hosts import TOKEN_VARIABLES
from gitdeploy.config.kinds import Flag, Group, Json, ListOf, Section, Setting, Text, setting, settings_of, table_schema
from gitdeploy.config.pins import WHO_DECIDES, Change, Pins
from gitdeploy.config.sections import (
    AppConfig,
    BackupConfig,
    CheckConfig,
    GitConfig,
    HealthConfig,
    HooksConfig,
    LogConfig,
    MaintenanceConfig,
    NotifyConfig,
    ServiceConfig,
    SourceConfig,
    WebConfig,
    has_url,
)
from gitdeploy.config.sections_rehearse import RehearseConfig
from gitdeploy.config.sections_venv import VenvConfig
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.text import clean, redact, register_secret

SECTIONS: Mapping[str, type[Any]] = {
    "app": AppConfig,
    "source": SourceConfig,
    "git": GitConfig,
    "venv": VenvConfig,
    "backup": BackupConfig,
    "hooks": HooksConfig,
    "service": ServiceConfig,
    "maintenance": MaintenanceConfig,
    "health": HealthConfig,
    "rehearse": RehearseConfig,
    "check": CheckConfig,
    "log": LogConfig,
    "web": WebConfig,
}


class Config(Section, frozen=True):
    """Everything that can be set, defaults filled in. Paths in it are as written: relative to `root` or absolute.

    `file` is the deploy.yaml that was read (None: there is none), `text` its bytes, `env` the `.env` file (empty where
    there is none), `where` says for each key (`health.timeout`) where its value came from. `pins` is what is pinned here
    (None: nothing yet), `changes` what the files say otherwise.
    """

    root: Path
    file: Path | None = None
    app: AppConfig = field(default_factory=AppConfig)
    requires: str | None = setting(
        Text("a version range", checks.version_range),
        None,
        'The versions from which this release may be gone to, such as ">=2.5": one of them must have run before it. '
        "Default: any.",
    )
    stop: bool = setting(
        Flag(), False, "true: this release may not be skipped on the way to a later one; see `upgrade --through`."
    )
    source: SourceConfig = field(default_factory=SourceConfig)
    git: GitConfig = field(default_factory=GitConfig)
    venv: VenvConfig = field(default_factory=VenvConfig)
    env_file: str | None = setting(
        Text("a path inside the checkout", checks.inside),
        ".env",
        "The app's file of settings; APP_VERSION in it follows the live version. Nothing: the app has none.",
        empty_is_none=True,
    )
    backup: BackupConfig = field(default_factory=BackupConfig)
    hooks: HooksConfig = field(default_factory=HooksConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)
    maintenance: MaintenanceConfig = field(default_factory=MaintenanceConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    rehearse: RehearseConfig = field(default_factory=RehearseConfig)
    check: CheckConfig = field(default_factory=CheckConfig)
    log: LogConfig = field(default_factory=LogConfig)
    notify: tuple[NotifyConfig, ...] = setting(
        ListOf(Group(lambda: NotifyConfig, short="url", check=has_url)),
        (),
        "Who is told: apprise URLs, or mappings with url, events and template.",
    )
    web: WebConfig = field(default_factory=WebConfig)
    where: Mapping[str, str] = field(default_factory=dict)
    text: bytes | None = None
    env: EnvFile = field(default_factory=EnvFile)
    pins: Pins | None = None
    changes: tuple[Change, ...] = ()

    @property
    def overruled(self) -> tuple[Change, ...]:
        """Pinned settings that a release's file says otherwise: the pinned values are in force."""
        return tuple(change for change in self.changes if change.overruled)

    @property
    def secret_names(self) -> list[str]:
        """Names of variables that hold gitdeploy's own secrets: tokens, and what `notify` refers to."""
        sources = (self.source, *self.source.fallback)
        names = [*(source.token_env for source in sources), self.git.token_env]
        notified = [name for entry in self.notify for name in re.findall(r"\$\{([^}]*)\}", entry.url)]
        return [name for name in (*names, *notified) if name]

    def variable(self, name: str) -> str | None:
        """The value of NAME in the environment, else in `.env`; None where it is nowhere or empty."""
        return os.environ.get(name) or self.env.get(name) or None

    def secret(self, variable: str | None) -> str | None:
        """The secret that VARIABLE holds, from now on redacted everywhere; None where VARIABLE is None or not set.

        Raises ConfigError for a value that can't stand in an HTTP header: white space inside, other than ASCII.
        """
        value = self.variable(variable) if variable else None
        if value is None:
            return None
        register_secret(value)
        if not (value := value.strip()):
            return None
        if not re.fullmatch(r"[\x21-\x7e]+", value):
            raise ConfigError(
                tr(
                    "The value of {variable} holds white space or characters other than ASCII, which no token has.",
                    variable=variable,
                ),
                tr(
                    "Set {variable} again; a line break or a typographic quote may have been copied with it.",
                    variable=variable,
                ),
            )
        return value

    def token(self, source: SourceConfig, kind: str | None = None) -> str | None:
        """The token for SOURCE: of `token_env`, else of the variable that is usual for its type (or for KIND, the type
        that was found out)."""
        return self.secret(source.token_env or TOKEN_VARIABLES.get(source.type or kind or ""))

    def expand(self, text: str) -> str:
        """TEXT with each `${NAME}` replaced, the result redacted from now on. Raises ConfigError for one not set."""

        def value(found: re.Match[str]) -> str:
            if (content := self.variable(found[1])) is None:
                raise ConfigError(
                    tr(
                        "{found}, which `notify` in deploy.yaml refers to, is set neither in the environment nor "
                        "in {env_file}.",
                        found=found[1],
                        env_file=self.env_file or ".env",
                    ),
                    tr("Set {found}, or remove that entry of `notify`.", found=found[1]),
                )
            register_secret(content)
            return content

        expanded = re.sub(r"\$\{([^}]*)\}", value, text)
        register_secret(expanded)
        return expanded

    def effective(self) -> list[tuple[str, Any, str]]:
        """Every setting as (key, value as in the file with secrets masked, where it came from). One that is pinned says so,
        and what a file says otherwise."""
        rows = []
        for key, each, value in self._values():
            shown = each.kind.show(value) if value is not None else None
            if isinstance(shown, str):
                shown = redact(clean(shown, lines=True))
            rows.append((key, shown, self._origin(key)))
        return rows

    def _origin(self, key: str) -> str:
        origin = self.where.get(key, "default")
        origin = tr("default") if origin == "default" else origin
        other = next((change for change in self.overruled if change.key == key), None)
        if other is not None:
            return tr("{origin}; {file} says {said}", origin=origin, file=other.file, said=other.said)
        pinned = self.pins is not None and WHO_DECIDES.get(key, "release") != "release"
        return tr("{origin}, pinned", origin=origin) if pinned and not origin.startswith("environment ") else origin

    def _values(self) -> list[tuple[str, Setting, Any]]:
        values = []
        for name in self.__struct_fields__:
            if name in SECTIONS:
                section = getattr(self, name)
                for key, each in settings_of(SECTIONS[name]).items():
                    values.append((f"{name}.{key}", each, getattr(section, each.attribute)))
            elif name in (top := settings_of(Config)):
                values.append((name, top[name], getattr(self, name)))
        return values


def schema() -> Json:
    """JSON Schema (draft 2020-12) of deploy.yaml, made from the same declarations that the reader checks against."""
    top = table_schema(settings_of(Config))
    for name, section in SECTIONS.items():
        table = table_schema(settings_of(section))
        top["properties"][name] = {**table, "type": ["object", "null"]}
    order = [name for name in Config.__struct_fields__ if name in top["properties"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": tr("deploy.yaml of gitdeploy"),
        **top,
        "properties": {name: top["properties"][name] for name in order},
    }
