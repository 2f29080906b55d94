"""`plan` names the migrations and the hooks that a release brings; going back offers the migrations' own way back."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.sample import Program, Sample, Tree

pytestmark = pytest.mark.xdist_group("plan-migrations")

SETTINGS = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
hooks: {dir: hooks}
service: {stop: "true", start: "true", stop_for_switch: true}  # build hooks run before it is stopped
"""
HEAD = "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n    operations = "
FIRST = HEAD + "[migrations.CreateModel('Customer', [])]\n"
SECOND = HEAD + "[migrations.AddField('customer', 'mood', models.TextField())]\n"
THIRD = HEAD + "[migrations.RunPython(print)]\n"


def tree(version: str, **files: Any) -> Tree:
    return {
        "deploy.yaml": SETTINGS,
        "VERSION": version,
        "shop/migrations/__init__.py": "",
        "shop/migrations/0001_initial.py": FIRST,
        **files,
    }


@pytest.fixture
def app(tmp_path: Path) -> Sample:
    app = Sample(tmp_path / "sample", venv=False)
    hook, other = Program("#!/bin/sh\necho one\n"), Program("#!/bin/sh\necho two\n")
    app.release("v1.0.0", tree("1.0.0", **{"hooks/build": hook, "hooks/post-deploy": hook}))
    second = {"shop/migrations/0002_mood.py": SECOND, "hooks/build": other, "hooks/migrate.d/50-django": hook}
    app.release("v2.0.0", tree("2.0.0", **second))
    app.release("v2.1.0", tree("2.1.0", **second, **{"shop/migrations/0003_fill.py": THIRD, "hooks/post-deploy": Program("#!/bin/sh\nexit 1\n")}))  # fmt: skip
    app.release("v2.2.0", tree("2.2.0", **second, **{"hooks/post-deploy": Program("#!/bin/sh\nexit 1\n")}))
    app.install("v1.0.0", branch="main")
    return app


def test_what_a_release_brings_is_shown_and_the_way_back_is_offered(app: Sample) -> None:
    shown = app.gitdeploy("plan", "v2.1.0").out
    assert "migrations      shop.0002_mood\n" in shown
    assert "shop.0003_fill  can't be reversed: RunPython without reverse_code" in shown
    assert "hooks/build (changed)" in shown
    assert "hooks/migrate.d/50-django (new)" in shown
    plan = json.loads(app.gitdeploy("plan", "v2.0.0", "--json").out)
    (change,) = plan["migrations"]
    assert change["heads_before"] == ["0001_initial"]
    assert change["heads_after"] == ["0002_mood"]
    assert change["new"] == [
        {"name": "shop.0002_mood", "file": "shop/migrations/0002_mood.py", "reversible": True, "why": ""}
    ]
    assert plan["hook_changes"] == {
        "hooks/build": "changed",
        "hooks/migrate.d/50-django": "added",
        "hooks/post-deploy": "deleted",
    }

    # An automatic roll-back without a known database: what wasn't done is said, and how the migrations undo it.
    said = app.gitdeploy("upgrade", "v2.2.0", code=3).text
    assert "gitdeploy knows no database (backup.databases): what it changed there was NOT put back." in said
    beside = f"{app.app}/.gitdeploy/reverse-v2.2.0"
    assert f"cd {app.app} && git worktree add --detach {beside} v2.2.0 && (cd {beside} && " in said
    assert "python manage.py migrate shop 0001_initial" in said
    said = app.gitdeploy("upgrade", "v2.1.0", code=3).text
    assert "Its migrations can't simply be reversed: shop.0003_fill (RunPython without reverse_code)." in said

    # By hand: while the files are still there.
    app.gitdeploy("upgrade", "v2.0.0")
    shown = app.gitdeploy("restore", "latest", "--dry-run").out
    assert (
        "can be reversed by hand first, while they are in the checkout: python manage.py migrate shop 0001_in" in shown
    )
    assert "shop.0002_mood  is not in the target: the database stays on it" in shown


def test_a_release_whose_new_hook_is_not_executable_is_refused_before_anything_happens(app: Sample) -> None:
    app.release("v3.0.0", tree("3.0.0", **{"hooks/migrate": "#!/bin/sh\n"}))
    error = app.gitdeploy("upgrade", "v3.0.0", code=1).err
    assert "hooks/migrate is not executable: chmod +x hooks/migrate" in error
    assert (app.app / "VERSION").read_text() == "1.0.0"


def squashing(version: str, *names: str, squashed: str = "") -> Tree:
    """A release with migrations NAMES of three, and (SQUASHED) one in the place of all: `all` names them, `new` does not."""
    made = {}
    for number, name in enumerate(("0001_initial", "0002_mood", "0003_size"), 1):
        needs = (
            f"    dependencies = [('shop', '{['', '0001_initial', '0002_mood'][number - 1]}')]\n" if number > 1 else ""
        )
        if name in names:
            made[f"shop/migrations/{name}.py"] = (FIRST if number == 1 else SECOND).replace(
                "    operations", f"{needs}    operations"
            )
    replaces = "    replaces = [('shop', '0001_initial'), ('shop', '0002_mood'), ('shop', '0003_size')]\n"
    if squashed:
        text = FIRST.replace("    operations", (replaces if squashed == "all" else "") + "    operations")
        made["shop/migrations/0001_squashed_0003.py"] = text
    base = {path: content for path, content in tree(version).items() if not str(path).endswith("0001_initial.py")}
    databases = 'backup: {databases: ["sqlite:///run/app.db"]}\n'
    return {**base, "deploy.yaml": SETTINGS + databases, ".gitignore": "/run/\n", **made}


def test_migrations_that_were_squashed_and_deleted_are_named_with_the_release_that_has_them(tmp_path: Path) -> None:
    app = Sample(tmp_path / "sample", venv=False)
    every = ("0001_initial", "0002_mood", "0003_size")
    app.release("v1.0.0", squashing("1", "0001_initial"))
    app.release("v2.0.0", squashing("2", *every))
    app.release("v3.0.0", squashing("3", *every, squashed="all"))
    app.release("v4.0.0", squashing("4", squashed="all"))
    app.release("v5.0.0", squashing("5", squashed="new"))
    app.install("v1.0.0", branch="main")
    (app.app / "run").mkdir()

    def record(*names: str) -> None:
        with closing(sqlite3.connect(app.app / "run/app.db")) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS django_migrations (id INTEGER PRIMARY KEY, app, name, applied)"
            )
            database.executemany("INSERT INTO django_migrations (app, name) VALUES ('shop', ?)", [[n] for n in names])

    def plan(tag: str, code: int) -> Any:
        return json.loads(app.gitdeploy("plan", tag, "--json", code=code).out)

    # Without a database to ask, the live release's own files tell.
    assert [hop["tag"] for hop in plan("v4.0.0", 7)["hops"]] == ["v3.0.0", "v4.0.0"]
    record("0001_initial")
    found = plan("v4.0.0", 7)
    assert [(hop["tag"], hop["why"]) for hop in found["hops"]] == [("v3.0.0", "migrations"), ("v4.0.0", None)]
    (problem,) = found["problems"]
    assert problem["message"] == (
        "v4.0.0 can't be installed over v1.0.0 directly. First comes v3.0.0 (has migrations that v4.0.0 has no more). "
        "The database still needs shop.0002_mood, shop.0003_size (replaced by shop.0001_squashed_0003)."
    )
    found = plan("v5.0.0", 7)
    assert [hop["tag"] for hop in found["hops"]] == ["v3.0.0", "v5.0.0"]
    assert "what leads from shop.0001_initial to shop.0001_squashed_0003" in found["problems"][0]["message"]
    assert plan("v3.0.0", 0)["hops"] == []
    assert plan("v5.0.0", 7)["hops"], "the live release's files would say the same"
    record("0002_mood", "0003_size")
    assert plan("v4.0.0", 0)["hops"] == [], "the database has them all, whatever the live release's files are"

    app.git("tag", "-d", "v2.0.0", "v3.0.0", "v4.0.0", cwd=app.remote)
    (found,) = plan("v5.0.0", 7)["problems"]
    assert found["message"].startswith(
        "v5.0.0 has migrations no more that the live database still needs, and no release"
    )
    assert plan("v5.0.0", 7)["hops"] == []
