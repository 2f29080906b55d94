"""Migrations read from a release's files say the same as Django and Alembic do, which run them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from gitdeploy.migrations import applied_by, compare, is_migration, left_behind

HEAD = "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"


def django_migration(operations: str, after: str = "") -> str:
    needs = f'[("shop", "{after}")]' if after else "[]"
    return f"{HEAD}    dependencies = {needs}\n    operations = [{operations}]\n"


MODEL = 'migrations.CreateModel("Customer", [("id", models.AutoField(primary_key=True)), ("name", models.TextField())])'
FIRST = django_migration(MODEL)
DJANGO = {
    "0002_plain": 'migrations.AddField("customer", "mood", models.TextField(default=""))',
    "0003_python": "migrations.RunPython(lambda apps, editor: None)",
    "0004_both_ways": "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)",
    "0005_sql": 'migrations.RunSQL("UPDATE shop_customer SET name = name")',
    "0006_sql_back": 'migrations.RunSQL("SELECT 1", reverse_sql="SELECT 1")',
    "0007_split": 'migrations.SeparateDatabaseAndState([migrations.RunSQL("SELECT 1")], [])',
    "0008_none": "migrations.RunPython(lambda apps, editor: None, reverse_code=None)",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Django project with an app `shop`."""
    (tmp_path / "shop/migrations").mkdir(parents=True)
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/migrations/__init__.py").touch()
    (tmp_path / "settings.py").write_text(
        "INSTALLED_APPS = ['shop']\nSECRET_KEY = 'x'\nUSE_TZ = True\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n"
    )
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    found = [path for path in root.rglob("*.py") if "site-packages" not in path.parts]
    names = {str(path.relative_to(root)): path.read_bytes() for path in found}
    return {name: content for name, content in names.items() if is_migration(name)}


def django(project: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "django", *words, "--settings", "settings", "--pythonpath", "."],
        cwd=project, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_django_says_the_same_about_each_migration(project: Path) -> None:
    folder = project / "shop/migrations"
    (folder / "0001_initial.py").write_text(FIRST)
    before, after = files(project), "0001_initial"
    for name, operations in DJANGO.items():
        (folder / f"{name}.py").write_text(django_migration(operations, after))
        after = name
    (change,) = compare(before, files(project))
    assert (change.framework, change.folder, change.gone) == ("django", "shop/migrations", ())
    assert (change.heads_before, change.heads_after) == (("0001_initial",), ("0008_none",))
    assert change.reverse == "python manage.py migrate shop 0001_initial"
    django(project, "migrate", "--verbosity", "0")
    shown = django(project, "migrate", "shop", "zero", "--plan")
    theirs = {}
    for line in shown.splitlines():
        if line.startswith("shop."):
            current = line
            theirs[current] = True
        elif "IRREVERSIBLE" in line:
            theirs[current] = False
    del theirs["shop.0001_initial"]
    theirs["shop.0007_split"] = False  # Django finds that out only when it comes to it
    assert {migration.name: migration.reversible for migration in change.new} == theirs
    assert {m.name.partition(".")[2]: m.why for m in change.irreversible} == {
        "0003_python": "RunPython without reverse_code",
        "0005_sql": "RunSQL without reverse_sql",
        "0007_split": "RunSQL without reverse_sql",
        "0008_none": "RunPython without reverse_code",
    }


ONE_TO_FIVE = ("0001_first", "0002_a", "0003_b", "0004_c", "0005_d")
SQUASHED = "0001_squashed_0005"


def chain(names: tuple[str, ...], *, replaces: bool | None = None) -> dict[str, str]:
    """The files of NAMES of the five, and (REPLACES is not None) of one that holds all five, with its `replaces` or without."""
    made = {}
    for number, name in enumerate(ONE_TO_FIVE):
        field = f'migrations.AddField("customer", "f{number}", models.TextField(default=""))'
        if name in names:
            made[name] = django_migration(MODEL if number == 0 else field, ONE_TO_FIVE[number - 1] if number else "")
    if replaces is not None:
        named = f"    replaces = {[('shop', name) for name in ONE_TO_FIVE]}\n" if replaces else ""
        fields = "".join(f', ("f{number}", models.TextField(default=""))' for number in range(1, 5))
        made[SQUASHED] = HEAD + named + django_migration(MODEL.replace("())])", f"()){fields}])")).removeprefix(HEAD)
    return made


# the files that the database was migrated with, one after the other; those of the release; what it left behind
LEFT_BEHIND = {
    "nothing is deleted": ([chain(ONE_TO_FIVE[:3])], chain(ONE_TO_FIVE), ""),
    "squashed, the old ones are there": ([chain(ONE_TO_FIVE[:3])], chain(ONE_TO_FIVE, replaces=True), ""),
    "squashed, the old ones are deleted": ([chain(ONE_TO_FIVE)], chain((), replaces=True), ""),
    "squashed and deleted too early": (
        [chain(ONE_TO_FIVE[:3])], chain((), replaces=True), "shop.0004_c, shop.0005_d (replaced by shop.0001_squashed_0005)",
    ),
    "squashed, deleted, and no longer said to replace them": (
        [chain(ONE_TO_FIVE), chain(ONE_TO_FIVE, replaces=True)], chain((), replaces=False), "",
    ),
    "the same, too early": (
        [chain(ONE_TO_FIVE)], chain((), replaces=False), "what leads from shop.0005_d to shop.0001_squashed_0005",
    ),
    "nothing was ever migrated": ([], chain((), replaces=True), ""),
}  # fmt: skip


@pytest.mark.parametrize(("before", "release", "wanted"), LEFT_BEHIND.values(), ids=LEFT_BEHIND)
def test_what_a_release_left_behind_is_what_django_fails_on_or_leaves_out(
    project: Path, before: list[dict[str, str]], release: dict[str, str], wanted: str
) -> None:
    def put(made: dict[str, str]) -> None:
        for path in (project / "shop/migrations").glob("0*.py"):
            path.unlink()
        for name, text in made.items():
            (project / f"shop/migrations/{name}.py").write_text(text)

    applied: frozenset[str] = frozenset()
    for made in before:
        put(made)
        django(project, "migrate", "-v", "0")
        applied |= applied_by(files(project))
    if before:
        with closing(sqlite3.connect(project / "db.sqlite3")) as database:
            recorded = {f"{app}.{name}" for app, name in database.execute("SELECT app, name FROM django_migrations")}
        assert recorded == applied
    put(release)
    assert left_behind(files(project), applied) == ((wanted,) if wanted else ())
    done = subprocess.run(
        [sys.executable, "-m", "django", "migrate", "-v", "0", "--settings", "settings", "--pythonpath", "."],
        cwd=project, capture_output=True, text=True,
    )  # fmt: skip
    with closing(sqlite3.connect(project / "db.sqlite3")) as database:
        columns = {row[1] for row in database.execute("PRAGMA table_info(shop_customer)")}
    whole = (
        done.returncode == 0 and {"f1", "f2", "f3", "f4"} <= columns
    )  # what is squashed too early it leaves out silently
    assert whole != bool(wanted), done.stderr[-500:]


def test_an_operation_of_ones_own_can_not_be_judged() -> None:
    text = django_migration("MoveEverything()").encode()
    (change,) = compare({}, {"a/shop/migrations/0001_x.py": text})
    assert [(m.reversible, m.why) for m in change.new] == [(None, "MoveEverything is an operation of its own")]
    assert change.reverse == "python manage.py migrate shop zero"


REVISION = '"""{about}\n\nRevision ID: {revision}\n"""\nrevision = "{revision}"\ndown_revision = {below!r}\n\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    {back}\n'


def revision(name: str, below: object, back: str = "op.drop_column('a', 'b')") -> bytes:
    return REVISION.format(revision=name, below=below, about=f"add {name}", back=back).encode()


def test_alembic_knows_the_same_heads(tmp_path: Path) -> None:
    first = {"db/env.py": b"", "db/versions/one.py": revision("a1", None)}
    then = {
        **first,
        "db/versions/zz.py": revision("b2", "a1"),
        "db/versions/aa.py": revision("c3", "b2", back="pass"),
        "db/versions/other.py": revision("d4", "b2", back="raise NotImplementedError"),
    }
    for name, content in then.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (change,) = compare(first, then)
    script = ScriptDirectory(str(tmp_path / "db"))
    assert sorted(change.heads_after) == sorted(script.get_heads())
    order = [each.revision for each in reversed(list(script.walk_revisions()))]
    ours = [migration.name.partition(" ")[0] for migration in change.new]
    assert ours[0] == order[1] == "b2"
    assert sorted(ours) == sorted(order[1:])
    assert {m.name: (m.reversible, m.why) for m in change.new} == {
        "b2 add b2": (True, ""),
        "c3 add c3": (False, "its downgrade() does nothing"),
        "d4 add d4": (False, "its downgrade() refuses"),
    }
    assert change.reverse == "python -m alembic downgrade a1"
    assert "2 heads (c3, d4)" in change.warnings[0]
    merged = {**then, "db/versions/merge.py": revision("e5", ("c3", "d4"))}
    assert compare(then, merged)[0].heads_after == ("e5",)
    flask = {**first, "db/env.py": b"from flask import current_app\n"}
    assert compare({}, flask)[0].framework == "flask-migrate"


def test_going_back_names_what_the_target_does_not_have() -> None:
    old = {"shop/migrations/0001_initial.py": FIRST.encode()}
    new = {**old, "shop/migrations/0002_x.py": django_migration(DJANGO["0002_plain"], "0001_initial").encode()}
    (change,) = compare(new, old)
    assert (change.new, change.reverse) == ((), "")
    assert [m.name for m in change.gone] == ["shop.0002_x"]


@given(st.dictionaries(st.sampled_from(["a/env.py", "a/versions/x.py", "b/migrations/0001_x.py"]), st.binary()))
def test_no_file_of_a_release_breaks_the_reader(hostile: dict[str, bytes]) -> None:
    compare({}, hostile)


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("text", [b"(" * 100_000, b"-" * 100_000 + b"1", b"\x00", b"\xff\xfe", b"x = " + b"9" * 10_000])
def test_files_made_to_break_a_parser(text: bytes) -> None:
    assert compare({}, {"a/versions/x.py": text, "a/env.py": text, "b/migrations/0001_x.py": text}) == ()
