"""The environment that the app runs with: what hooks, checks and `{env: NAME}` of `backup.databases` are told, so that a
migration, a dump and the app itself mean the same database."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gitdeploy.config import TOKEN_VARIABLES, Config, ServiceConfig
from gitdeploy.config.pins import read_pins
from gitdeploy.errors import GitDeployError
from gitdeploy.services import open_services
from gitdeploy.services.environment import Told, environment_of, of_the_app

if TYPE_CHECKING:
    from gitdeploy.site.site import Site

_FRESH = 20.0  # seconds that what a service manager said is good for


def app_environment(site: Site) -> dict[str, str]:
    """The service's variables over the caller's over those of the env file: the service is the app."""
    return {**_env_file(site), **os.environ, **service_environment(site).values}


def service_environment(site: Site) -> Told:
    """What the configured service has. Never raises."""
    service = site.config.service
    if not service.kinds or (service.kinds == ("command",) and not service.pid):
        return Told()
    return _asked(service, site.root, int(time.monotonic() / _FRESH))


@lru_cache(maxsize=8)
def _asked(service: ServiceConfig, root: Path, _when: int) -> Told:
    try:
        return environment_of(open_services(service, root))
    except (GitDeployError, OSError):
        return Told()


def hook_caller(site: Site) -> dict[str, str]:
    """The environment that hooks are started from: `hook_environment` takes gitdeploy's own secrets out of it."""
    return {**of_the_app(_env_file(site)), **os.environ, **service_environment(site).values}


def check_environment(site: Site, config: Config) -> dict[str, str]:
    """What `health.command` gets beside a clean environment: the app's variables, without gitdeploy's own secrets."""
    names = withheld(site, config)
    values = {**of_the_app(_env_file(site)), **service_environment(site).values}
    hidden = {value for name in names if (value := config.variable(name)) is not None and len(value) >= 8}
    return {
        name: value
        for name, value in values.items()
        if name not in names and value not in hidden and not name.startswith(("GITDEPLOY_", "APP_UPDATE_"))
    }


def withheld(site: Site, *configs: Config) -> frozenset[str]:
    """Names of the variables that no hook and no check gets: those of CONFIGS, of what is live, and of every configuration
    that was ever in force here, so that a release gets no token by no longer naming it."""
    pins = read_pins(site.root)
    named = [name for config in (site.config, *configs) for name in config.secret_names]
    return frozenset((*named, *TOKEN_VARIABLES.values(), *(pins.secrets if pins is not None else ())))


def _env_file(site: Site) -> Mapping[str, str]:
    """A value with an expansion is left to whoever reads the file: each does it in its own way."""
    env = site.env_file()
    return {b.name: b.value or "" for b in env.bindings if "${" not in (b.value or "")} if env else {}
