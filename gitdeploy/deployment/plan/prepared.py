"""Whether the venv that a plan needs was prepared earlier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitdeploy import venvs
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.venv import VenvPlan
from gitdeploy.site.site import Site
from gitdeploy.state.prepared import prepared_stages


def venv_facts(venv: VenvPlan | None, options: Options) -> list[Any] | None:
    """What must be the same for a prepared generation to be used, also where the files have to be staged anew."""
    if venv is None:
        return None
    found = [[name, package.version, package.written] for name, package in sorted(venv.found.items())]
    return [venv.requirements.key, str(venv.live.real), options.rebuild_venv, found]


def is_built(site: Site, venv: VenvPlan, options: Options) -> bool:
    """Whether the venv that VENV plans was prepared, so that it needs no more room on the disk."""
    return any(venv_fits(site, data, venv, options) for data in prepared_stages(site.state.stage).values())


def venv_fits(site: Site, data: Mapping[str, Any], venv: VenvPlan | None, options: Options) -> bool:
    return data.get("venv") == venv_facts(venv, options) and _generation_there(site, data)


def _generation_there(site: Site, data: Mapping[str, Any]) -> bool:
    name = data["generation"]
    return name is None or ((site.state.venvs / name).is_dir() and name not in venvs.unfinished(site.state.venvs))
