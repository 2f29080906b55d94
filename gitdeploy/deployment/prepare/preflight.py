"""What is asked of the app before anything begins: whether it is healthy now, and whether its hooks' programs are there.

A check that fails already would fail after the switch too, and once more on the way back, where nothing helps any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy import health
from gitdeploy.checkout.changes import Problem
from gitdeploy.deployment.plan.make import RESTORE_STAGES, UPGRADE_STAGES, Plan
from gitdeploy.errors import GitDeployError, Interrupted
from gitdeploy.hooks.programs import program_of
from gitdeploy.messages import tr
from gitdeploy.services import Service
from gitdeploy.services.base import await_settled
from gitdeploy.site.app_environment import check_environment
from gitdeploy.site.site import Site
from gitdeploy.system import environment as environment_
from gitdeploy.system import interruption
from gitdeploy.text import clean, shell_word
from gitdeploy.versions import CodeState

PATIENCE = 3.0  # seconds
_AGAIN = 0.5  # seconds between two questions
_SETTLING = 30.0  # seconds at most that a service which is just starting or stopping is waited for


def why_unhealthy(site: Site, services: Sequence[Service], live: CodeState, patience: float = PATIENCE) -> str | None:
    """Why what is live is not healthy: a service that is not up, a check that fails. None where it is, or nothing is
    configured by which it could be told. PATIENCE: seconds in which one bad answer may be a hiccup."""
    config = site.config.health
    for service in services:
        try:
            await_settled(service, min(_SETTLING, site.config.service.timeout))
        except Interrupted:
            raise
        except GitDeployError:
            break  # asked once more below
    end = time.monotonic() + patience
    while True:
        bad = _ask(site, services, live)
        if bad is None or time.monotonic() > end:
            return bad
        interruption.sleep(min(_AGAIN, config.interval))


def _ask(site: Site, services: Sequence[Service], live: CodeState) -> str | None:
    try:
        for service in services:
            if bad := service.is_up():
                return bad
    except Interrupted:
        raise
    except GitDeployError as error:
        return error.message
    config = site.config
    environment = check_environment(site, config) if config.health.command else None
    return health.check_once(config.health, expected_version=live.version, root=site.root, environment=environment)


def checked(site: Site, plan: Plan, patience: float = PATIENCE) -> Plan:
    """PLAN with what the app itself says against it.

    An upgrade of what is unhealthy is a problem, unless it is asked for all the same; what is brought back from a backup
    may be the cure, so that it is only said there.
    """
    if plan.nothing_to_do:
        return plan
    problems = list(hook_problems(site, plan)) if plan.options.hooks else []
    unhealthy = why_unhealthy(site, plan.services, plan.origin, patience) if plan.options.restart else None
    warnings = plan.warnings
    if unhealthy is not None and (plan.options.unhealthy or plan.action != "upgrade"):
        warnings = (*warnings, tr("The app is unhealthy before anything begins: {unhealthy}", unhealthy=unhealthy))
    elif unhealthy is not None:
        problems.append(health_problem(unhealthy))
    return replace(plan, problems=(*plan.problems, *problems), warnings=warnings, unhealthy=unhealthy)


def health_problem(bad: str) -> Problem:
    """The problem that an upgrade of an unhealthy app has."""
    return Problem(
        tr("The app is unhealthy already, before anything begins: {bad}", bad=bad),
        tr(
            "Fix it, or the check (health in deploy.yaml). Where the release is to repair it, or it is down on purpose: "
            "--unhealthy"
        ),
    )


# ---- hooks ----


def hook_problems(site: Site, plan: Plan) -> list[Problem]:
    """Commands of deploy.yaml whose program isn't there: those of the release that comes, and those that the live one runs
    before the switch and on the way back."""
    look = _Programs(site, plan)
    found: dict[str, Problem] = {}
    for stage in UPGRADE_STAGES if plan.action == "upgrade" else RESTORE_STAGES:
        now, then = plan.before.hooks.commands(stage), plan.after.hooks.commands(stage)
        missing = [] if stage.startswith("pre-") else look.missing_then(then)
        if stage.startswith("pre-") or stage == "build":
            missing += look.missing_now(now)
        for why in missing:
            found.setdefault(
                why,
                Problem(
                    tr("hooks.{stage}: {why}", stage=stage, why=why),
                    tr("Correct it in deploy.yaml, or run no hooks: --no-hooks"),
                ),
            )
    return list(found.values())


class _Programs(Struct):
    """Where programs are now, and will be once the target is live. `made`: commands that run before may have made some."""

    site: Site
    plan: Plan
    made: bool = False

    def missing_now(self, commands: Sequence[str]) -> list[str]:
        return [why for command in commands if (why := self._missing(command, coming=False)) is not None]

    def missing_then(self, commands: Sequence[str]) -> list[str]:
        found = []
        for command in commands:
            if (why := self._missing(command, coming=True)) is not None:
                found.append(why)
            self.made = True
        return found

    def _missing(self, command: str, *, coming: bool) -> str | None:
        """Why the program of COMMAND can't be run; None where it can, or only a shell could tell."""
        word = program_of(command)
        if word is None:
            return None
        return self._missing_path(os.path.normpath(word), coming) if "/" in word else self._missing_name(word, coming)

    def _missing_name(self, name: str, coming: bool) -> str | None:
        link = self.site.venv_link
        folders = [str(link / "bin")] if link is not None else []
        path = ":".join([*folders, os.environ.get("PATH", ""), environment_.STANDARD_PATH])
        if environment_.which(name, path) or (coming and self._other_packages()):
            return None
        return tr("there is no program {name}.", name=clean(name, limit=80))

    def _missing_path(self, path: str, coming: bool) -> str | None:
        shown = clean(path, limit=80)
        full = self.site.root / path
        if coming:
            change = next((c for c in self.plan.tree.changes if os.fsdecode(c.path) == path), None)
            if change is not None and change.kind == "deleted":
                return tr("{shown} is not in {target}.", shown=shown, target=self.plan.target.name)
            if change is not None:
                return (
                    None
                    if change.mode & 0o111
                    else tr("{shown} is not executable in {target}.", shown=shown, target=self.plan.target.name)
                )
            in_venv = self.site.venv_link is not None and full.is_relative_to(self.site.venv_link)
            if (in_venv and self._other_packages()) or (self.made and not full.exists() and self._ignored(path)):
                return None
        if not full.exists():
            return tr("{shown} does not exist.", shown=shown)
        return (
            None
            if full.is_file() and os.access(full, os.X_OK)
            else tr("{shown} is not executable: chmod +x {path}", shown=shown, path=shell_word(path))
        )

    def _other_packages(self) -> bool:
        """Whether the new venv may have programs that the live one hasn't, or the other way round."""
        venv = self.plan.venv
        if venv is None or venv.unchanged:
            return False
        other = venv.added or venv.changed or venv.removed or venv.requirements.unpinned
        return bool(other) or venv.from_nothing or self.plan.action != "upgrade"

    def _ignored(self, path: str) -> bool:
        return self.site.repository.run("check-ignore", "-q", "--", path).ok
