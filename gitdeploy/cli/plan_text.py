"""A plan, as a person reads it."""

from __future__ import annotations

from gitdeploy.app import App
from gitdeploy.cli.notes import releases_text
from gitdeploy.cli.screen import Screen
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.plan.migrations import plan_lines
from gitdeploy.deployment.plan.venv import VenvPlan
from gitdeploy.site.dependencies import what_installs
from gitdeploy.text import count, listing, path_text, redact, size_text

_WORDS = {"added": " (new)", "changed": " (changed)"}


def nothing_text(app: App) -> str:
    """Why there is no plan of the newest release: as the source said just now."""
    found = app.last_check()
    return "There is nothing to upgrade to." if found is None else f"{found.nothing(app.live().name)}."


def plan_text(screen: Screen, plan: Plan) -> str:
    """The whole plan in lines."""
    lines = [plan.headline(), ""]
    for kind, word in (("added", "new"), ("changed", "changed"), ("deleted", "deleted")):
        names = [f"{n} (only APP_VERSION)" if n == plan.version_file else n for n in plan.files(kind)]
        if names:
            lines.append(f"  files {word:<9} {len(names)}: {listing(names, 8)}")
    if plan.venv is not None:
        if plan.venv.unchanged:
            nothing = "; no file says what is to be installed (venv.requirements)"
            lines.append(f"  venv            unchanged{nothing if plan.venv.requirements.nothing else ''}")
        else:
            lines.append(f"  venv            {_packages(plan.venv)}")
        if plan.venv.reuse is None and plan.venv.requirements.unpinned:
            lines.append(f"  not pinned      {_unpinned(plan.venv)}")
    if plan.kept:
        lines.append(f"  kept            {listing(plan.kept, 8)}")
    for label, paths in (
        ("left in place", plan.tree.kept_data),
        ("merged", plan.tree.merged),
        ("to the backup", plan.tree.saved),
    ):
        if paths:
            lines.append(f"  {label:<15} {listing([path_text(path) for path in paths], 8)}")
    lines += _import_test(plan)
    changes = plan.hook_changes
    for stage, hooks in plan.hooks.items():
        names = [hook.name + _WORDS.get(changes.get(hook.name, ""), "") for hook in hooks]
        lines.append(f"  {stage:<15} {listing(names, 6)}")
    deleted = [name for name, kind in changes.items() if kind == "deleted"]
    if deleted:
        lines.append(f"  hooks deleted   {listing(deleted, 6)}")
    migrations = plan_lines(plan.migrations)
    for number, line in enumerate(migrations[:12]):
        lines.append(f"  {'migrations' if number == 0 else '':<15} {line}")
    if len(migrations) > 12:
        lines.append(f"  {'':<15} … and {len(migrations) - 12} more")
    for number, move in enumerate(plan.data):
        lines.append(f"  {'data replaced' if number == 0 else '':<15} {move.text}")
    lines += _afterwards(plan)
    lines.append(f"  disk            {size_text(plan.disk_needed)} at the most")
    lines += _brought(screen, plan)
    lines += [f"  Note: {warning}" for warning in (*plan.remembered, *plan.warnings)]
    if plan.problems:
        lines += ["", f"{count(len(plan.problems), 'problem')}:"]
        for problem in plan.problems:
            lines.append(f"  ✗ {problem.message}")
            lines += [f"    {line}" for line in problem.hint.splitlines()]
        if place := screen.elsewhere("\n".join(problem.hint for problem in plan.problems)):
            lines.append(f"  {place}")
    return "\n".join(lines)


def _brought(screen: Screen, plan: Plan) -> list[str]:
    """The commits, and what the releases say that come with it."""
    lines = []
    if plan.commit_count:
        lines += ["", f"  {count(plan.commit_count, 'commit')}:"]
        lines += [f"    {commit.id[:7]} {commit.subject}" for commit in plan.commits[:12]]
        if plan.commit_count > 12:
            lines.append(f"    … and {plan.commit_count - 12} more")
    if notes := releases_text(screen, plan.releases):
        lines += ["", "  release notes:", *(f"    {line}".rstrip() for line in notes.splitlines())]
    return lines


def _import_test(plan: Plan) -> list[str]:
    """What of the release is loaded beside the live app before it goes live."""
    shown = listing([load.shown for load in plan.loads], 4)
    return [f"  import test     {shown}: beside the live app, before the switch"] if shown else []


def _afterwards(plan: Plan) -> list[str]:
    """What is restarted and asked after the switch; where nothing is, which setting changes that."""
    restart = listing([service.name for service in plan.services])
    nothing = "no service is configured (service: in deploy.yaml)" if plan.options.restart else "--no-restart is given"
    health = plan.after.health
    asked = listing([redact(each) for each in (*health.url, *health.tcp, *filter(None, [health.command]))], 3)
    if not asked and restart:
        asked = "only that it stays up: no health check is configured (health: in deploy.yaml)"
    return [
        f"  restart         {restart or f'nothing: {nothing}'}",
        f"  health          {asked or 'not checked: no health check is configured (health: in deploy.yaml)'}",
    ]


def _packages(venv: VenvPlan) -> str:
    parts = [f"{name} {old} -> {new}" for name, (old, new) in venv.changed.items()]
    parts += [f"{name} {version}".rstrip() + " (new)" for name, version in venv.added.items()]
    parts += [f"{name} {version} (removed)" for name, version in venv.removed.items()]
    if venv.requirements.itself:
        extras = venv.requirements.extras
        parts.append(f"the app itself{f' with {listing(extras, 5)}' if extras else ''}")
    if venv.from_nothing:
        fetched = ", downloaded by uv" if venv.downloaded else ""
        python = (
            f" with Python {venv.python}{fetched} (the live one has {venv.live.python})"
            if venv.python is not None
            else ""
        )
        without = f"; without {listing(venv.missing, 5)}, which nothing asks for" if venv.missing else ""
        return f"built from nothing{python}{': ' if parts else ''}{listing(parts, 8)}{without}"
    return listing(parts, 8) or what_installs(venv.requirements)


def _unpinned(venv: VenvPlan) -> str:
    """Packages whose version the installer decides."""
    names = [f"{name} {wanted}".rstrip() for name, wanted in venv.requirements.unpinned.items()]
    what = "all of them may change" if venv.from_nothing else "what is there stays where it fits"
    return f"{listing(names, 8)}: {what}"
