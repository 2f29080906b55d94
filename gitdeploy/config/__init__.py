"""deploy.yaml, `.env` and the environment as one typed, frozen `Config`.

`load(root)` reads it, `parse(raw, root=...)` does the same with the bytes of a deploy.yaml, `schema()` describes the
file. `sections` is the one declaration that all three are made from. PyYAML is imported only where there is a file.
"""

from gitdeploy.config.hosts import SOURCE_GROUP, SOURCE_TYPES, TOKEN_VARIABLES
from gitdeploy.config.model import Config, schema
from gitdeploy.config.reading import FILE_NAME, Judging, load, parse, remember
from gitdeploy.config.sections import (
    NOTIFY_EVENTS,
    SERVICE_KINDS,
    AppConfig,
    BackupConfig,
    CheckConfig,
    DatabaseConfig,
    GitConfig,
    HealthConfig,
    HealthVersion,
    HooksConfig,
    MaintenanceConfig,
    NotifyConfig,
    ServiceConfig,
    SourceConfig,
    WebConfig,
)
from gitdeploy.config.sections_rehearse import RehearseConfig
from gitdeploy.config.sections_venv import VenvConfig
from gitdeploy.config.window import Window

__all__ = [
    "FILE_NAME",
    "NOTIFY_EVENTS",
    "SERVICE_KINDS",
    "SOURCE_GROUP",
    "SOURCE_TYPES",
    "TOKEN_VARIABLES",
    "AppConfig",
    "BackupConfig",
    "CheckConfig",
    "Config",
    "DatabaseConfig",
    "GitConfig",
    "HealthConfig",
    "HealthVersion",
    "HooksConfig",
    "Judging",
    "MaintenanceConfig",
    "NotifyConfig",
    "RehearseConfig",
    "ServiceConfig",
    "SourceConfig",
    "VenvConfig",
    "WebConfig",
    "Window",
    "load",
    "parse",
    "remember",
    "schema",
]
