"""Which commands belong to a deployment: migrations, static files; and where hooks may lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gitdeploy.hooks.running import FOLDER, stage_of
from gitdeploy.messages import tr
from gitdeploy.site import unnamed_hooks
from gitdeploy.text import listing, path_text
from gitdeploy.upkeep.drafting.lines import Line
from gitdeploy.upkeep.drafting.seen import Seen, settings_module

_FOR_DEVELOPERS = ("local", "dev", "development", "test", "testing")


def hook_lines(seen: Seen) -> Iterator[Line]:
    """The hooks' folder, and what changes the database and builds static files. The venv's bin is first on PATH."""
    folder, why = _hook_folder(seen.root)
    yield Line("hooks.dir", folder, why)
    if seen.manage is not None:
        yield from _django(seen, seen.manage)
    elif line := _flask(seen) or _alembic(seen):
        yield line
    else:
        yield Line(
            "hooks.migrate", ["alembic upgrade head"],
            question=tr("nothing was found that migrates a database: does the app need something? See: gitdeploy hooks library"),
        )  # fmt: skip


def _django(seen: Seen, manage: str) -> Iterator[Line]:
    asks = (
        ""
        if "django" in seen.packages
        else tr("{manage} is Django's, but the venv has no Django: is it the right venv?", manage=manage)
    )
    module = settings_module(seen.root, manage, {})
    if module and module.rpartition(".")[2] in _FOR_DEVELOPERS and not seen.environment.get("DJANGO_SETTINGS_MODULE"):
        asks = tr(
            "{manage} takes {module}, a developer's by its name: where does the server's DJANGO_SETTINGS_MODULE stand?",
            manage=manage,
            module=module,
        )
    yield Line(
        "hooks.migrate",
        [f"python {manage} migrate --noinput"],
        tr("because of {manage}, Django's", manage=manage),
        asks,
    )
    if seen.settings.text("STATIC_ROOT"):
        said = tr("because of STATIC_ROOT in {told_in}", told_in=seen.settings.told_in["STATIC_ROOT"])
        yield Line("hooks.build", [f"python {manage} collectstatic --noinput"], said, asks)


def _flask(seen: Seen) -> Line | None:
    """Flask-Migrate, where the venv has it."""
    found = sorted(name.removesuffix("/env.py") for name in seen.names if name.endswith("migrations/env.py"))
    if not found:
        return None
    folder = found[0]
    where = "" if folder == "migrations" else f" --directory {folder}"
    asks = ""
    if not seen.has_program("flask") or "flask-migrate" not in seen.packages:
        asks = tr(
            "because of {folder}/env.py; but flask and Flask-Migrate aren't in the venv: what migrates it?",
            folder=folder,
        )
    elif "FLASK_APP" not in seen.environment and not any(
        map(seen.has, ("wsgi.py", "app.py", ".flaskenv", "wsgi", "app"))
    ):
        asks = tr(
            "because of {folder}/env.py; but which app is it? flask --app NAME, or FLASK_APP in .env", folder=folder
        )
    return Line("hooks.migrate", [f"flask db upgrade{where}"], tr("because of {folder}/env.py", folder=folder), asks)


def _alembic(seen: Seen) -> Line | None:
    found = sorted(
        (name for name in seen.names if os.path.basename(name) == "alembic.ini"), key=lambda name: name.count("/")
    )
    if not found:
        return None
    option = "" if found[0] == "alembic.ini" else f" -c {found[0]}"
    asks = (
        ""
        if seen.has_program("alembic")
        else tr("because of {found}; but alembic isn't in the venv: what migrates it?", found=found[0])
    )
    return Line("hooks.migrate", [f"alembic{option} upgrade head"], tr("because of {found}", found=found[0]), asks)


def _hook_folder(root: Path) -> tuple[str, str]:
    """A folder for hooks that isn't the app's own for something else, and a word on it."""
    found = unnamed_hooks.named_like_hooks(root)
    ours = [name for name in found if _is_ours(root / name, stage_of(FOLDER, name) or "")]
    if ours:
        return FOLDER, tr("because of {ours}", ours=listing([path_text(name) for name in ours], 3))
    proposed = unnamed_hooks.PROPOSED
    free = next((name for name in proposed if not os.path.lexists(root / name)), proposed[-1])
    if free == FOLDER:
        return free, tr("executables {free}/migrate, {free}/post-deploy.d/*: docs/hooks.md", free=free)
    return free, tr(
        "executables {free}/migrate; what is in {folder}/ looks like the app's own and isn't run",
        free=free,
        folder=FOLDER,
    )


def _is_ours(path: Path, stage: str) -> bool:
    """Whether a file named like a hook is one of gitdeploy's: `build` alone is Docker Hub's word too."""
    if stage != "build" or path.parent.name == "build.d":
        return True
    try:
        return "GITDEPLOY_" in path.read_text("utf-8", "replace")
    except OSError:
        return False
