"""The smallest app of a fleet: several checkouts of one release, one SQLite database that all of them share.

v1.1.0 brings a migration in two halves; its hooks wait while a file says so; v1.2.0 fails on the host that a file names.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from support.sample import Program, Sample, Tree

DEPLOY = """\
app: {{name: shop}}
source: {{type: git}}
venv: {{path: null}}
hooks: {{dir: hooks, migrate: ["{python} migrate.py"]}}
backup: {{databases: ["sqlite:///{database}"]}}
service: {{command: "true"}}
"""
MIGRATE = """\
import pathlib, socket, sqlite3
made = sorted(path.stem for path in pathlib.Path("shop/migrations").glob("0*.py"))
with sqlite3.connect({database!r}) as db:
    for name in made:
        db.execute("INSERT INTO django_migrations(app, name) SELECT 'shop', ? WHERE NOT EXISTS "
                   "(SELECT 1 FROM django_migrations WHERE name=?)", (name, name))
    db.execute("INSERT INTO ran VALUES (?)", (pathlib.Path.cwd().name + "@" + socket.gethostname(),))
"""
MIGRATION = "from django.db import migrations\n\nclass Migration(migrations.Migration):\n    operations = []\n"
# A host is known by its name, or, where several are on one machine, by its checkout's.
WAITS = """\
#!/bin/sh
touch {place}/reached-$(hostname)-$(basename $PWD)
n=0; while [ -e {place}/hold-$(hostname)-$(basename $PWD) ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done
"""
AFTER = "#!/bin/sh\necho $(hostname) $(cat VERSION) >> {place}/after\n"
BREAKS = "#!/bin/sh\n[ ! -e {place}/breaks-$(hostname)-$(basename $PWD) ]\n"


def make_database(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE django_migrations(id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied TEXT)")
        db.execute("CREATE TABLE ran(place TEXT)")
        db.execute("INSERT INTO django_migrations(app, name) VALUES ('shop', '0001_initial')")


def migrated(database: Path) -> tuple[list[str], list[str]]:
    """The migrations that are recorded, and where migrate hooks ran."""
    with closing(sqlite3.connect(database)) as db:
        return (
            [name for (name,) in db.execute("SELECT name FROM django_migrations ORDER BY name")],
            [place for (place,) in db.execute("SELECT place FROM ran")],
        )


def make_releases(sample: Sample, *, database: str, place: str, python: str) -> None:
    """The releases, and a checkout of v1.0.0. DATABASE and PLACE are paths as the hosts have them."""

    def tree(version: str, *migrations: str, **more: str | Program) -> Tree:
        return {
            "deploy.yaml": DEPLOY.format(python=python, database=database),
            "VERSION": version,
            ".gitignore": "__pycache__/\n",
            "migrate.py": MIGRATE.format(database=database),
            "shop/migrations/__init__.py": "",
            **{f"shop/migrations/{name}.py": MIGRATION for name in ("0001_initial", *migrations)},
            **more,
        }

    hook = "hooks/post-deploy"
    after = Program(AFTER.format(place=place))
    sample.release("v1.0.0", tree("1.0.0"))
    sample.release(
        "v1.1.0", tree("1.1.0", "0002_mood", **{hook: Program(WAITS.format(place=place)), "hooks/migrate-after": after})
    )
    sample.release("v1.2.0", tree("1.2.0", "0002_mood", "0003_gone", **{hook: Program(BREAKS.format(place=place))}))
    sample.install("v1.0.0")
