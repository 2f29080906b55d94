"""A plan, as a person reads it."""

from __future__ import annotations

from gitdeploy.deployment.plan import Plan
from gitdeploy.deployment.plan_migrations import plan_lines
from gitdeploy.text import count, listing, path_text, size_text

_WORDS = {"added": " (new)", "changed": " (changed)"}


def plan_text(plan: Plan) -> str:
    """The whole plan in lines."""
    lines = [plan.headline(), ""]
    for kind, word in (("added", "new"), ("changed", "changed"), ("deleted", "deleted")):
        names = plan.files(kind)
        if names:
            lines.append(f"  files {word:<9} {len(names)}: {listing(names, 8)}")
    if plan.venv is not None:
        if plan.venv.unchanged:
            lines.append("  venv            unchanged")
        else:
            lines.append(f"  venv            {_packages(plan)}")
    for label, paths in (
        ("kept", plan.tree.kept),
        ("left in place", plan.tree.kept_data),
        ("merged", plan.tree.merged),
        ("to the backup", plan.tree.saved),
    ):
        if paths:
            lines.append(f"  {label:<15} {listing([path_text(path) for path in paths], 8)}")
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
    if plan.services:
        lines.append(f"  restart         {listing([service.name for service in plan.services])}")
    lines.append(f"  disk            {size_text(plan.disk_needed)} at the most")
    if plan.commits:
        lines += ["", f"  {count(plan.commit_count, 'commit')}:"]
        lines += [f"    {commit.id[:7]} {commit.subject}" for commit in plan.commits[:12]]
        if plan.commit_count > 12:
            lines.append(f"    … and {plan.commit_count - 12} more")
    lines += [f"  Note: {warning}" for warning in plan.warnings]
    if plan.problems:
        lines += ["", f"{count(len(plan.problems), 'problem')}:"]
        for problem in plan.problems:
            lines.append(f"  ✗ {problem.message}")
            if problem.hint:
                lines.append(f"    {problem.hint}")
    return "\n".join(lines)


def _packages(plan: Plan) -> str:
    assert plan.venv is not None
    parts = [f"{name} {old} -> {new}" for name, (old, new) in plan.venv.changed.items()]
    parts += [f"{name} {version} (new)" for name, version in plan.venv.added.items()]
    parts += [f"{name} {version} (removed)" for name, version in plan.venv.removed.items()]
    return listing(parts, 8) if parts else "built anew"
