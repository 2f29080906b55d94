"""A real Django app: hooks and checks have the environment that the service has, and a migration that went elsewhere fails."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.sample import Program, Sample, Tree

pytest.importorskip("django")

MANAGE = """\
import os
import sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
APP_SETTINGS = """\
import os
SECRET_KEY = "x"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("SHOP_DB", "fresh.sqlite3")}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
FIRST = """\
from django.db import migrations, models
class Migration(migrations.Migration):
    initial = True
    operations = [migrations.CreateModel("Order", [("id", models.BigAutoField(primary_key=True))])]
"""
SECOND = """\
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.AddField("order", "paid", models.BooleanField(default=False))]
"""
TOOL = """\
from django.db import migrations
class Migration(migrations.Migration):
    operations = []
"""
DEPLOY = """\
app: {{name: shop}}
source: {{type: git}}
venv: {{path: null}}
hooks: {{dir: hooks, timeout: 60, migrate: ["{migrate}"]}}
backup: {{databases: [{{env: DATABASE_URL}}]}}
notify: ["json://${{CHAT_TOKEN}}@127.0.0.1:9/"]
{more}
"""
PYTHON = sys.executable


def tree(version: str, migrate: str, more: str = "", **files: str) -> Tree:
    return {
        "deploy.yaml": DEPLOY.format(migrate=migrate, more=more),
        "VERSION": version,
        ".gitignore": "*.sqlite3*\n.env\n__pycache__/\nrun/\n",
        "manage.py": MANAGE,
        "settings.py": APP_SETTINGS,
        "shop/__init__.py": "",
        "shop/migrations/__init__.py": "",
        "shop/migrations/0001_initial.py": FIRST,
        **files,
    }


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return Sample(tmp_path / "sample", venv=False)


def installed(sample: Sample, migrate: str, more: str = "", **files: str) -> Path:
    """The app on v1.0.0 with its database migrated, outside the checkout; v2.0.0 brings a migration."""
    sample.release("v1.0.0", tree("1", migrate, more))
    sample.release("v2.0.0", tree("2", migrate, more, **{"shop/migrations/0002_paid.py": SECOND, **files}))
    sample.install("v1.0.0", branch="main")
    real = sample.folder / "real.sqlite3"
    env = {**os.environ, "SHOP_DB": str(real)}
    subprocess.run([PYTHON, "manage.py", "migrate", "-v0"], cwd=sample.app, env=env, check=True)
    return real


def migrations(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT name FROM django_migrations WHERE app = 'shop' ORDER BY 1")]


MIGRATE = f"{shlex.quote(PYTHON)} manage.py migrate --noinput"


def test_the_env_file_that_the_service_has_reaches_the_migration(sample: Sample) -> None:
    real = installed(sample, MIGRATE)
    (sample.app / ".env").write_text(f"SHOP_DB={real}\nDATABASE_URL=sqlite:///{real}\nCHAT_TOKEN=chat-token-1\n")
    sample.gitdeploy("upgrade", "v2.0.0")
    assert migrations(real) == ["0001_initial", "0002_paid"]
    assert not (sample.app / "fresh.sqlite3").exists()


def test_a_migration_that_went_to_another_database_fails_the_step_and_names_where_it_was_looked_for(
    sample: Sample,
) -> None:
    real = installed(sample, f"env -u SHOP_DB {MIGRATE}")
    (sample.app / ".env").write_text(f"SHOP_DB={real}\nDATABASE_URL=sqlite:///{real}\n")
    said = sample.gitdeploy("upgrade", "v2.0.0", code=3).text
    assert "failed at migrate" in said
    assert f"shop.0002_paid is not recorded in {real}" in said
    assert (sample.app / "VERSION").read_text() == "1"
    assert migrations(real) == ["0001_initial"]


def test_migrations_of_an_app_that_is_not_installed_fail_nothing(sample: Sample) -> None:
    files = {"tools/migrations/__init__.py": "", "tools/migrations/0001_initial.py": TOOL}
    real = installed(sample, MIGRATE, **files)
    (sample.app / ".env").write_text(f"SHOP_DB={real}\nDATABASE_URL=sqlite:///{real}\n")
    said = sample.gitdeploy("upgrade", "v2.0.0").text
    assert f"Not recorded in {real}: tools.0001_initial." in said


@contextmanager
def service(sample: Sample, environment: dict[str, str]) -> Iterator[None]:
    """The app's process, which has ENVIRONMENT and wrote its pid to a file."""
    (sample.app / "run").mkdir(exist_ok=True)
    program = "import signal, time\nsignal.signal(signal.SIGHUP, lambda *_: None)\nwhile True: time.sleep(0.1)\n"
    process = subprocess.Popen(
        [PYTHON, "-c", program], cwd=sample.app, env={**os.environ, **environment}, start_new_session=True
    )
    (sample.app / "run/shop.pid").write_text(f"{process.pid}\n")
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_what_only_the_running_service_has_reaches_hooks_and_checks_and_no_secret_of_ours_does(sample: Sample) -> None:
    show = '#!/bin/sh\nset -u\necho "db: $SHOP_DB"\nenv >run/hook-env\n'
    check = "health: {command: 'env >run/health-env; test -n \"$SHOP_DB\"', successes: 1, interval: 0.1}\n"
    more = "service: {pidfile: run/shop.pid, signal: HUP}\n" + check
    files = {"hooks/post-deploy": Program(show)}
    real = installed(sample, MIGRATE, more, **files)  # type: ignore[arg-type]
    secret = "not-for-hooks-9"
    (sample.app / ".env").write_text(
        f"CHAT_TOKEN={secret}\nAPP_UPDATE_GITHUB_TOKEN={secret}1\nGITDEPLOY_WEB_TOKEN={secret}2\n"
    )
    own = {"SHOP_DB": str(real), "DATABASE_URL": f"sqlite:///{real}", "CHAT_TOKEN": secret, "COPY_OF_IT": secret}
    with service(sample, own):
        sample.gitdeploy("upgrade", "v2.0.0", env={"DATABASE_URL": "sqlite:///of-the-caller.sqlite3"})
    assert migrations(real) == ["0001_initial", "0002_paid"]
    for name in ("hook-env", "health-env"):
        text = (sample.app / "run" / name).read_text()
        assert f"SHOP_DB={real}\n" in text
        assert secret not in text, name
    assert f"DATABASE_URL=sqlite:///{real}\n" in (sample.app / "run/hook-env").read_text()
