"""A plan, as a person reads it."""

from __future__ import annotations

from gitdeploy.app import App
from gitdeploy.cli.notes import releases_text
from gitdeploy.cli.screen import Screen, row
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.plan.migrations import plan_lines
from gitdeploy.deployment.plan.venv import VenvPlan
from gitdeploy.messages import joined, render, tr
from gitdeploy.site.dependencies import what_installs
from gitdeploy.text import count, duration_text, listing, path_text, redact, size_text

_LONG = {
    "backup": tr("copies"),
    "build": tr("venv"),
    "dump": tr("dump"),
    "build-hooks": tr("build hooks"),
    "migrate": tr("migrate hooks"),
}
_WORDS = {"added": tr(" (new)"), "changed": tr(" (changed)")}


def nothing_text(app: App) -> str:
    """Why there is no plan of the newest release: as the source said just now."""
    found = app.last_check()
    return tr("There is nothing to upgrade to.") if found is None else tr("{why}.", why=found.nothing(app.live().name))


def plan_text(screen: Screen, plan: Plan) -> str:
    """The whole plan in lines."""
    lines = [plan.headline(), ""]
    if plan.hops:
        lines.append(row(tr("on the way"), listing([hop.reason for hop in plan.hops], 12)))
    for kind, word in (("added", tr("files new")), ("changed", tr("files changed")), ("deleted", tr("files deleted"))):
        names = [tr("{n} (only APP_VERSION)", n=n) if n == plan.version_file else n for n in plan.files(kind)]
        if names:
            lines.append(row(word, tr("{number}: {names}", number=len(names), names=listing(names, 8))))
    if plan.venv is not None:
        if plan.venv.unchanged:
            nothing = plan.venv.requirements.nothing
            unchanged = tr(
                "unchanged; no file says what is to be installed (venv.requirements)" if nothing else "unchanged"
            )
            lines.append(row(tr("venv"), unchanged))
        else:
            lines.append(row(tr("venv"), _packages(plan.venv)))
        if plan.venv.reuse is None and plan.venv.requirements.unpinned:
            lines.append(row(tr("not pinned"), _unpinned(plan.venv)))
    if plan.kept:
        lines.append(row(tr("kept"), listing(plan.kept, 8)))
    for label, paths in (
        (tr("left in place"), plan.tree.kept_data),
        (tr("merged"), plan.tree.merged),
        (tr("to the backup"), plan.tree.saved),
    ):
        if paths:
            lines.append(row(label, listing([path_text(path) for path in paths], 8)))
    lines += _import_test(plan)
    changes = plan.hook_changes
    for stage, hooks in plan.hooks.items():
        names = [hook.name + _WORDS.get(changes.get(hook.name, ""), "") for hook in hooks]
        lines.append(row(stage, listing(names, 6)))
    lines += _halves(plan)
    deleted = [name for name, kind in changes.items() if kind == "deleted"]
    if deleted:
        lines.append(row(tr("hooks deleted"), listing(deleted, 6)))
    migrations = plan_lines(plan.migrations, plan.after.hooks.contract_migrations)
    for number, line in enumerate(migrations[:12]):
        lines.append(row(tr("migrations") if number == 0 else "", line))
    if len(migrations) > 12:
        lines.append(row("", tr("… and {number} more", number=len(migrations) - 12)))
    for number, move in enumerate(plan.data):
        lines.append(row(tr("data replaced") if number == 0 else "", move.text))
    lines += _afterwards(plan)
    if plan.rehearsal is not None:
        lines.append(row(tr("rehearsal"), plan.rehearsal.sentence()))
    lines += [row(tr("disk"), tr("up to {size}", size=size_text(plan.disk_needed))), *_last_time(plan)]
    lines += _brought(screen, plan)
    lines += [tr("  Note: {warning}", warning=warning) for warning in (*plan.remembered, *plan.warnings)]
    if plan.problems:
        lines += ["", tr("{count}:", count=count(len(plan.problems), "problem"))]
        for problem in plan.problems:
            lines.append(tr("  ✗ {message}", message=problem.message))
            lines += [f"    {line}" for line in render(problem.hint).splitlines()]
        if place := screen.elsewhere(joined("\n", (problem.hint for problem in plan.problems))):
            lines.append(f"  {render(place)}")
    return joined("\n", lines)


def _brought(screen: Screen, plan: Plan) -> list[str]:
    """The commits, and what the releases say that come with it."""
    lines = []
    if plan.commit_count:
        lines += ["", tr("  {count}:", count=count(plan.commit_count, "commit"))]
        lines += [f"    {commit.id[:7]} {commit.subject}" for commit in plan.commits[:12]]
        if plan.commit_count > 12:
            lines.append(f"    {render(tr('… and {number} more', number=plan.commit_count - 12))}")
    if notes := releases_text(screen, plan.releases):
        lines += ["", tr("  release notes:"), *(f"    {line}".rstrip() for line in notes.splitlines())]
    return lines


def _halves(plan: Plan) -> list[str]:
    """What a rollback needs where the release marks its migrations in two halves."""
    if not plan.halves:
        return []
    when = plan.half_waits or tr("at the end of the upgrade")
    return [
        row(tr("rollback"), tr("needs no data until the second half of the migrations has run ({when})", when=when))
    ]


def _import_test(plan: Plan) -> list[str]:
    """What of the release is loaded beside the live app before it goes live."""
    shown = listing([load.shown for load in plan.loads], 4)
    where = tr("{shown}: beside the live app, before the switch", shown=shown)
    return [row(tr("import test"), where)] if shown else []


def _afterwards(plan: Plan) -> list[str]:
    """What is restarted and asked after the switch; where nothing is, which setting changes that."""
    restart = listing([service.name for service in plan.services])
    nothing = (
        tr("no service is configured (service: in deploy.yaml)")
        if plan.options.restart
        else tr("--no-restart is given")
    )
    health = plan.after.health
    asked = listing([redact(each) for each in (*health.url, *health.tcp, *filter(None, [health.command]))], 3)
    if not asked and restart:
        asked = tr("only that it stays up: no health check is configured (health: in deploy.yaml)")
    return [
        row(tr("restart"), restart or tr("nothing: {nothing}", nothing=nothing)),
        row(tr("health"), asked or tr("not checked: no health check is configured (health: in deploy.yaml)")),
    ]


def _last_time(plan: Plan) -> list[str]:
    """How long its long steps took the last time that each was done here."""
    took = [
        tr(
            "{step} {time} (deployment {deployment})",
            step=_LONG.get(each.step, each.step),
            time=duration_text(each.seconds),
            deployment=each.deployment,
        )
        for each in plan.took
    ]
    return [row(tr("last time"), listing(took))] if took else []


def _packages(venv: VenvPlan) -> str:
    parts = [f"{name} {old} -> {new}" for name, (old, new) in venv.changed.items()]
    parts += [f"{name} {version}".rstrip() + tr(" (new)") for name, version in venv.added.items()]
    parts += [tr("{name} {version} (removed)", name=name, version=version) for name, version in venv.removed.items()]
    if venv.requirements.itself:
        extras = venv.requirements.extras
        parts.append(
            tr("the app itself{extras}", extras=tr(" with {extras}", extras=listing(extras, 5)) if extras else "")
        )
    if venv.from_nothing:
        fetched = tr(", downloaded by uv") if venv.downloaded else ""
        python = (
            tr(
                " with Python {python}{fetched} (the live one has {live})",
                python=venv.python,
                fetched=fetched,
                live=venv.live.python,
            )
            if venv.python is not None
            else ""
        )
        without = (
            tr("; without {missing}, which nothing asks for", missing=listing(venv.missing, 5)) if venv.missing else ""
        )
        return tr(
            "built from nothing{python}: {parts}{without}" if parts else "built from nothing{python}{without}",
            python=python,
            parts=listing(parts, 8),
            without=without,
        )
    return listing(parts, 8) or what_installs(venv.requirements)


def _unpinned(venv: VenvPlan) -> str:
    """Packages whose version the installer decides."""
    names = [f"{name} {wanted}".rstrip() for name, wanted in venv.requirements.unpinned.items()]
    what = tr("all of them may change") if venv.from_nothing else tr("what is there stays where it fits")
    return tr("{names}: {what}", names=listing(names, 8), what=what)
