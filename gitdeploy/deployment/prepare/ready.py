"""Everything above the line: fetch, preflight, backup, the new venv, the stage. Nothing live is touched here."""

from __future__ import annotations

import os

from msgspec.structs import replace

from gitdeploy.config import Config
from gitdeploy.deployment.live.live import Live, LiveRecord
from gitdeploy.deployment.live.steps import builds_first, run_stage
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.errors import DeploymentFailed, PolicyError
from gitdeploy.hooks.running import find_hooks
from gitdeploy.messages import tr
from gitdeploy.site.policy import before_the_switch
from gitdeploy.system import interruption

# ---- policy ----


def refuse_problems(plan: Plan) -> None:
    """Raise all problems of a plan at once: by policy (exit 7) where one is, else exit 1."""
    if not plan.problems:
        return
    first, *rest = plan.problems
    kind = PolicyError if plan.exit_code == PolicyError.exit_code else DeploymentFailed
    details = [text for p in rest for text in (p.message, *([tr("  {p_hint}", p_hint=p.hint)] if p.hint else []))]
    error = kind(first.message, first.hint, details=tuple(details))
    error.refusal = True
    raise error


# ---- the steps ----


def into_live(preparation: Preparation, *, data_from: str | None = None) -> Live:
    """Everything is ready: the record for a later process, and what the live steps share."""
    plan, work = preparation.plan, preparation.work
    assert preparation.manifest is not None
    record = LiveRecord(
        action=plan.action,
        stage=preparation.stage,
        backup=preparation.backup.id if preparation.backup else None,
        origin=plan.origin,
        target=plan.target,
        before=_text(plan.before),
        after=_text(plan.after),
        flip=preparation.flip.as_dict() if preparation.flip is not None else None,
        built=preparation.built,
        kept_data=[os.fsdecode(path) for path in plan.tree.kept_data],
        data_from=data_from,
        restart=plan.options.restart,
        hooks=plan.options.hooks,
        migrate=plan.options.migrate,
        half=plan.options.half,
        automatic=work.session.caller.automatic,
        performer=work.session.caller.performer,
        unhealthy=plan.unhealthy,
        accepted=plan.options.accept_config,
        halves=plan.halves,
        signed=plan.signed,
    )
    before_the_switch(work.site, plan.after, plan.brought)
    live = Live(
        work.site,
        work.journal,
        record,
        preparation.manifest,
        preparation.flip,
        plan.before,
        plan.after,
        plan.services,
        packages=plan.venv.found if plan.venv is not None and preparation.built is not None else None,
    )
    live.record = replace(record, build_first=builds_first(live))
    work.journal.write("plan", "", live.record.as_dict())
    return live


def _text(config: Config) -> str:
    return (config.text or b"").decode("utf-8", "surrogateescape")


def run_early_hooks(live: Live, stage: str) -> None:
    """Hooks that run while the old code is still live; a failure stops the deployment with nothing touched."""
    if not live.record.hooks:
        return
    if not find_hooks(live.site.root, live.before.hooks, stage):
        return
    with live.journal.step(stage) as shown:
        interruption.check()
        shown.summary = run_stage(live, live.before, stage)
