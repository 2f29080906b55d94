"""A web app with customers in PostgreSQL, once with SQLAlchemy and Alembic, once with Django: the same pages, the same
tables, and releases that differ in the columns that their code reads and the migrations that they bring.

`/` writes a visit and `/health` reads; both answer with the version and read every column in `columns`, so that code
which doesn't fit the schema answers 500.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from support.sample import Content, Program

HOOKS = Path(__file__).resolve().parents[2] / "hooks"
DATABASE = "postgresql:///otrs"


class Framework(Protocol):
    """How a release is written in it."""

    name: str
    first: str
    """The shell line that makes the tables of the first release."""

    def files(
        self, version: str, columns: Sequence[str], migrations: Sequence[str], body: str = ""
    ) -> dict[str, Content]:
        """The files of a release. MIGRATIONS: names that both have; BODY: more of `wsgi.py`."""

    def reverse(self, migration: str) -> str:
        """The command that goes back to MIGRATION, as it is offered."""


def _ready_hook(name: str) -> dict[str, Content]:
    """One of the hooks that gitdeploy has ready, as `hooks install` puts it."""
    return {f"hooks/migrate.d/50-{name}": Program((HOOKS / name).read_text())}


# ---- SQLAlchemy and Alembic ----

ALCHEMY = """\
import json, os, signal, threading
from sqlalchemy import create_engine, text
import greeting

engine = create_engine("{database}")

def application(environ, start):
    with engine.begin() as connection:
        if environ["PATH_INFO"] == "/":
            connection.execute(text("INSERT INTO visit (release) VALUES ('{version}')"))
        rows = connection.execute(text("SELECT {columns} FROM customer ORDER BY id")).fetchall()
    start("200 OK", [("Content-Type", "application/json")])
    said = {{"version": "{version}", "greeting": greeting.VERSION, "customers": [list(row) for row in rows]}}
    return [json.dumps(said).encode()]

{body}
"""
# Each migration commits by itself, so one that fails leaves those before it in place.
ENV = """\
from alembic import context
from sqlalchemy import create_engine

with create_engine("{database}").connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
_ALEMBIC = {
    "first": (
        "CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL); "
        "CREATE TABLE visit (id serial PRIMARY KEY, release text NOT NULL); "
        "INSERT INTO customer (name) VALUES ('Zoë'), ('Grace')",
        "DROP TABLE customer, visit",
    ),
    "mood": ("ALTER TABLE customer ADD COLUMN mood text NOT NULL DEFAULT 'glad'", "ALTER TABLE customer DROP COLUMN mood"),
    "rank": ("ALTER TABLE customer ADD COLUMN rank integer", "ALTER TABLE customer DROP COLUMN rank"),
    "no mood": (
        "ALTER TABLE customer DROP COLUMN mood; DELETE FROM customer WHERE name = 'Zoë'; "
        "INSERT INTO customer (name) VALUES ('made meanwhile')",
        "ALTER TABLE customer ADD COLUMN mood text",
    ),
    "broken": ("ALTER TABLE customer ADD COLUMN name text", "SELECT 1"),
}  # fmt: skip


class Alembic:
    name = "alembic"
    first = "venv/bin/python -m alembic upgrade head"

    def files(
        self, version: str, columns: Sequence[str], migrations: Sequence[str], body: str = ""
    ) -> dict[str, Content]:
        made: dict[str, Content] = {
            "wsgi.py": ALCHEMY.format(database=DATABASE, version=version, columns=", ".join(columns), body=body),
            "alembic.ini": "[alembic]\nscript_location = migrations\n",
            "migrations/env.py": ENV.format(database=DATABASE),
            "migrations/script.py.mako": "",
            **_ready_hook("alembic-migrate"),
        }
        below = None
        for name in migrations:
            up, down = _ALEMBIC[name]
            revision = self._revision(name)
            made[f"migrations/versions/{revision}.py"] = (
                f"from alembic import op\nrevision = {revision!r}\ndown_revision = {below!r}\n"
                f"def upgrade(): op.execute({up!r})\ndef downgrade(): op.execute({down!r})\n"
            )
            below = revision
        return made

    @staticmethod
    def _revision(name: str) -> str:
        return f"r_{name.replace(' ', '_')}"

    def reverse(self, migration: str) -> str:
        return f"venv/bin/python -m alembic downgrade {self._revision(migration)}"


# ---- Django ----

SETTINGS = """\
SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "otrs"}}
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["console"]}},
}
"""
MANAGE = """\
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
WSGI = """\
import os, signal, threading
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
URLS = """\
from django.http import JsonResponse
from django.urls import path
import greeting
from shop.models import Customer, Visit

def page(request):
    if request.path == "/":
        Visit.objects.create(release="{version}")
    rows = [list(row) for row in Customer.objects.order_by("id").values_list({names})]
    return JsonResponse({{"version": "{version}", "greeting": greeting.VERSION, "customers": rows}})

urlpatterns = [path("", page), path("health", page)]
"""
MODELS = """\
from django.db import models

class Customer(models.Model):
    class Meta:
        db_table = "customer"
{fields}

class Visit(models.Model):
    class Meta:
        db_table = "visit"
    release = models.TextField()
"""
_DJANGO = {
    "first": """
    migrations.CreateModel("Customer", [("id", models.AutoField(primary_key=True)), ("name", models.TextField())],
                           {"db_table": "customer"}),
    migrations.CreateModel("Visit", [("id", models.AutoField(primary_key=True)), ("release", models.TextField())],
                           {"db_table": "visit"}),
    migrations.RunSQL("INSERT INTO customer (name) VALUES ('Zoë'), ('Grace')", ""),
""",
    "mood": 'migrations.AddField("customer", "mood", models.TextField(default="glad")),',
    "rank": 'migrations.AddField("customer", "rank", models.IntegerField(null=True)),',
    "no mood": """
    migrations.RemoveField("customer", "mood"),
    migrations.RunSQL("DELETE FROM customer WHERE name = 'Zoë'; INSERT INTO customer (name) VALUES ('made meanwhile')"),
""",
    "broken": 'migrations.AddField("customer", "name", models.TextField(null=True)),',
}


class Django:
    name = "django"
    first = "venv/bin/python manage.py migrate --noinput"

    def files(
        self, version: str, columns: Sequence[str], migrations: Sequence[str], body: str = ""
    ) -> dict[str, Content]:
        made: dict[str, Content] = {
            "wsgi.py": WSGI + body,
            "manage.py": MANAGE,
            "shop/__init__.py": "",
            "shop/settings.py": SETTINGS,
            "shop/models.py": MODELS.format(
                fields="\n".join(f"    {name} = models.TextField()" for name in columns if name != "id")
            ),
            "shop/urls.py": URLS.format(version=version, names=", ".join(map(repr, columns))),
            "shop/migrations/__init__.py": "",
            **_ready_hook("django-migrate"),
        }
        below = ""
        for name in migrations:
            this = self._name(name)
            depends = f'("shop", "{below}")' if below else ""
            made[f"shop/migrations/{this}.py"] = (
                "from django.db import migrations, models\n\nclass Migration(migrations.Migration):\n"
                f"    dependencies = [{depends}]\n    operations = [{_DJANGO[name]}]\n"
            )
            below = this
        return made

    @staticmethod
    def _name(migration: str) -> str:
        return f"{[*_DJANGO].index(migration) + 1:04d}_{migration.replace(' ', '_')}"

    def reverse(self, migration: str) -> str:
        return f"venv/bin/python manage.py migrate shop {self._name(migration)}"
