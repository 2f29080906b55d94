"""Why a release can't be rehearsed here: asked before anything is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitdeploy.config import Config
from gitdeploy.databases import Database
from gitdeploy.databases.scratch import Scratch
from gitdeploy.deployment.prepare.check import STAGE as CHECK
from gitdeploy.deployment.rehearse.environment import Surroundings, changed_environment
from gitdeploy.deployment.rehearse.grounds import Ground
from gitdeploy.deployment.rehearse.reach import live_name
from gitdeploy.deployment.rehearse.ways import require_ways
from gitdeploy.errors import PolicyError
from gitdeploy.hooks.running import MIGRATE_AFTER, find_hooks
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import hook_caller

Pair = tuple[Database, Scratch]


def is_file(scratch: Scratch) -> bool:
    """Whether it is a file, and no database at a server."""
    return scratch.database.kind == "sqlite"


def require_possible(ground: Ground, pairs: Sequence[Pair], around: Surroundings) -> None:
    """Raises `PolicyError` where the app's role may make no scratch database, its server can't be reached in a rehearsal, or
    nothing of the app's environment leads to one: a migration would then reach the live data."""
    for _, scratch in pairs:
        if (problem := scratch.problem()) is not None:
            raise PolicyError(*problem)
    changed = changed_environment(around, hook_caller(ground.site), None)
    names = {each.bare for each in changed.reached}
    env, values = ground.site.env_file(), dict[str, str]()
    for binding in env.bindings if env is not None else ():
        values[binding.name], leads = around.told(binding.name, binding.value or "")
        names.update(each.bare for each in leads)
    require_ways(pairs, [*changed.values.items(), *{**values, **around.given()}.items()])
    for database, scratch in pairs:
        inside = is_file(scratch) and Path(scratch.bare).is_relative_to(ground.copy)
        if scratch.bare not in names and not inside:
            raise PolicyError(
                tr(
                    "No variable of the app's environment leads to the database {name}, so its migration would reach the "
                    "live data in a rehearsal too.",
                    name=database.name,
                ),
                tr(
                    "Let the app read the database's name or URL from a variable. Where it does so from one that gitdeploy "
                    "doesn't see, name it in deploy.yaml: rehearse: {{env: {{DB_NAME: '{{database}}'}}}}"
                ),
            )


def refuse_live_names(ground: Ground, pairs: Sequence[Pair], before: Config, after: Config) -> None:
    """Where nothing but the environment keeps the release from the live databases: raises `PolicyError` for what runs in the
    rehearsal and names one. BEFORE, AFTER: the settings of the old release and of the new one."""
    for name, text in _texts(ground, before, after):
        for live, scratch in pairs:
            said = re.escape(live_name(live))
            alone, schema = rf"(?<![\w.-]){said}(?![\w.-])", rf"(?i:from|join|into|update|table)\s+{said}\s*\.\s*[\w`]"
            if not is_file(scratch) and re.search(f"{alone}|{schema}", text):
                raise PolicyError(
                    tr("{hook} names the live database {name} itself.", hook=name, name=live.name),
                    tr("Let it read the name from a variable of the app's environment."),
                )


def _texts(ground: Ground, before: Config, after: Config) -> Iterator[tuple[str, str]]:
    """The name and the text of what runs in a rehearsal."""
    site = ground.site
    for root, config, stages in (
        (ground.copy, after, (CHECK, "build", "migrate", MIGRATE_AFTER)),
        (site.root, before, ("build",)),
    ):
        for stage in stages:
            for hook in find_hooks(root, config.hooks, stage):
                if hook.path is None:
                    yield hook.name, hook.argv[-1]
                elif hook.problem is None:
                    yield hook.name, hook.path.read_text("utf-8", "replace")
    if site.config.rehearse.command is not None:
        yield "rehearse.command", site.config.rehearse.command
