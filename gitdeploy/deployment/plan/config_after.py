"""The configuration that holds once a target is live."""

from __future__ import annotations

import os

from msgspec.structs import replace

from gitdeploy import config as configuration
from gitdeploy import venvs
from gitdeploy.checkout.changes import LINK, TreePlan
from gitdeploy.config import Config
from gitdeploy.deployment.plan.target_files import TargetFiles
from gitdeploy.errors import PolicyError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site


def config_after(site: Site, tree: TreePlan, reader: TargetFiles, accept: tuple[str, ...]) -> Config:
    """The configuration that holds once the target is live: its own deploy.yaml where the release brings one, and what is
    pinned here. ACCEPT: what of that it may change."""
    file = site.config.file
    if file is not None and not file.is_relative_to(site.root):
        return _with_new_requirements(site.config, tree)
    name = str(file.relative_to(site.root)) if file is not None else "deploy.yaml"
    env_file = site.config.env_file
    changed = {change.path: change for change in tree.changes}
    change = changed.get(os.fsencode(name))
    env = None
    if env_file and os.fsencode(env_file) in changed and tree.version_file != os.fsencode(env_file):
        env = reader.read(env_file) or b""
    if change is None and env is None:
        return _with_new_requirements(site.config, tree)
    if change is not None and change.mode & 0o170000 == LINK:
        raise PolicyError(
            tr("The release makes {name} a symbolic link, which is not followed.", name=name),
            tr("Such a release can't be installed. Ask its author."),
        )
    content = site.config.text if change is None else b"" if change.kind == "deleted" else reader.read(name) or b""
    brings = change is not None and change.kind != "deleted"
    where = tr("{name} of the release", name=name) if brings else name
    path = site.root / name if brings or change is None else None
    config = configuration.parse(content or b"", root=site.root, name=where, file=path, env=env, accept=accept)
    return _with_new_requirements(config, tree)


def _with_new_requirements(config: Config, tree: TreePlan) -> Config:
    """Where nothing names requirements files, requirements.txt is one; the target may be the first to bring it."""
    brings = any((change.path, change.kind) == (b"requirements.txt", "added") for change in tree.changes)
    if config.venv.requirements or not brings or config.where.get("venv.requirements", "default") != "default":
        return config
    return replace(config, venv=replace(config.venv, requirements=venvs.DEFAULT_FILES))
