"""The hook library: what is in it, how it is installed, and each script at its work."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import needs
from support.waiting import free_port, wait_until

from gitdeploy.cli import cli
from gitdeploy.cli.screen import Screen
from gitdeploy.config import HooksConfig
from gitdeploy.errors import GitDeployError, UsageError
from gitdeploy.hooks import library
from gitdeploy.hooks.running import STAGES, HookContext, HookFailed, find_hooks, run_hooks
from gitdeploy.hooks.saying import sentence_in
from gitdeploy.messages import Message, heard, render, said, speaking, tr
from gitdeploy.migrations import compare, is_migration, second_half

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    root.mkdir()
    return root


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A venv that sees the packages of the tests: its `python` is this one."""
    (tmp_path / "venv/bin").mkdir(parents=True)
    python = tmp_path / "venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    return tmp_path / "venv"


def run(app: Path, name: str, stage: str | None = None, **context: Any) -> list[str]:
    """Install NAME and run it as a deployment would; what it said."""
    hook = library.find(name)
    stage = stage or hook.stages[0][0]
    library.install(app, "hooks", hook, stage=stage, force=True)
    lines: list[str] = []
    found = find_hooks(app, HooksConfig(dir="hooks"), stage)
    assert [each.problem for each in found] == [None]
    told = HookContext("upgrade", "otrs-web", app, 17, "1.2.9", "v1.2.9", "a" * 40, "1.3", "v1.3", "b" * 40, **context)
    run_hooks(found, told, stage=stage, timeout=60, on_line=lines.append)
    return lines


# ---- the library itself ----


def test_every_script_says_what_it_does_when_it_runs_and_can_be_installed_there(app: Path) -> None:
    found = library.library()
    names = {path.name for path in (PROJECT / "hooks").iterdir()} - {"README.md"}
    assert {hook.name for hook in found} == names
    for hook in found:
        text = hook.path.read_text()
        assert text.startswith(("#!/bin/sh\n", "#!/usr/bin/env python3\n")), hook.name
        assert hook.about.endswith("."), hook.name
        assert hook.stages, hook.name
        assert {stage for stage, _ in hook.stages} <= set(STAGES), hook.name
        assert "\n# Runs: " in text, hook.name
        assert "\nset -eu\n" in text or text.startswith("#!/usr/bin/env python3"), hook.name
        assert f"`{hook.name}`" in (PROJECT / "hooks/README.md").read_text(), hook.name
        library.install(app, "hooks", hook)
    for stage in STAGES:
        for ready in find_hooks(app, HooksConfig(dir="hooks"), stage):
            assert ready.problem is None
            assert ready.mode == "rwxr-xr-x"


def test_shellcheck_has_nothing_to_say() -> None:
    needs.program("shellcheck")
    scripts = [str(h.path) for h in library.library() if h.path.read_text().startswith("#!/bin/sh")]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_hook_goes_to_each_stage_where_it_belongs_or_to_the_one_that_is_named(app: Path) -> None:
    off = library.find("maintenance-off")
    assert library.install(app, "hooks", off) == [
        "hooks/post-deploy.d/10-maintenance-off",
        "hooks/post-restore.d/10-maintenance-off",
        "hooks/on-failure.d/10-maintenance-off",
    ]
    assert library.install(app, "deploy/hooks", off, stage="build") == ["deploy/hooks/build.d/50-maintenance-off"]


def test_what_is_there_is_replaced_only_by_force(app: Path) -> None:
    hook = library.find("django-migrate")
    (path,) = library.install(app, "hooks", hook)
    (app / path).write_text("#!/bin/sh\n# changed by hand\n")
    with pytest.raises(UsageError, match="50-django-migrate is there already; nothing was written"):
        library.install(app, "hooks", hook)
    assert "changed by hand" in (app / path).read_text()
    library.install(app, "hooks", hook, force=True)
    assert (app / path).read_bytes() == hook.path.read_bytes()
    assert os.listdir(app / "hooks/migrate.d") == ["50-django-migrate"]


@pytest.mark.parametrize("link", ["hooks", "hooks/migrate.d"])
def test_a_link_in_place_of_a_folder_is_not_followed(app: Path, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (app / link).parent.mkdir(exist_ok=True)
    (app / link).symlink_to(outside)
    with pytest.raises(GitDeployError, match="can't be written"):
        library.install(app, "hooks", library.find("django-migrate"))
    assert os.listdir(outside) == []


@needs.another_user
def test_what_root_installs_belongs_to_the_owner_of_the_checkout(app: Path) -> None:
    os.chown(app, 65534, 65534)
    (path,) = library.install(app, "hooks", library.find("django-migrate"))
    for place in (app / "hooks", app / "hooks/migrate.d", app / path):
        assert (place.stat().st_uid, place.stat().st_gid) == (65534, 65534)


def test_a_wrong_name_gets_the_nearest_one() -> None:
    with pytest.raises(UsageError) as caught:
        library.find("django-migrations")
    assert caught.value.hint == "Did you mean django-migrate?"


def test_the_command_line_lists_installs_and_shows_what_will_run(app: Path) -> None:
    subprocess.run(["git", "init", "-q", "-b", "main", str(app)], check=True)
    subprocess.run(["git", "-C", str(app), "commit", "-q", "--allow-empty", "-m", "first"], check=True)

    def gitdeploy(*words: str) -> Any:
        return CliRunner().invoke(cli, ["-C", str(app), *words], obj=Screen(), catch_exceptions=False)

    assert "smoke-test" in gitdeploy("hooks", "library").output
    names = [each["name"] for each in json.loads(gitdeploy("hooks", "library", "--json").stdout)]
    assert names == sorted(names)
    with pytest.raises(UsageError) as refused:
        gitdeploy("hooks", "install", "smoke-test")
    (app / "deploy.yaml").write_text(refused.value.hint.partition("deploy.yaml:  ")[2] + "\n")
    assert "hooks/post-deploy.d/20-smoke-test" in gitdeploy("hooks", "install", "smoke-test").stdout
    listed = gitdeploy("hooks").stdout
    assert "post-deploy  hooks/post-deploy.d/20-smoke-test" in listed
    assert "rwxr-xr-x" in listed


def test_the_wheel_brings_the_library(tmp_path: Path) -> None:
    """As it is shipped: the folder `hooks` becomes `gitdeploy/_hooks`, wherever the package is."""
    site = tmp_path / "site-packages"
    shutil.copytree(PROJECT / "gitdeploy", site / "gitdeploy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "hooks", site / "gitdeploy/_hooks")
    code = "from gitdeploy.hooks import library; print(library.find('warm-up').path)"
    done = subprocess.run([sys.executable, "-c", code], cwd=site, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(site / "gitdeploy/_hooks/warm-up")
    settings = (PROJECT / "pyproject.toml").read_text()
    assert '"hooks" = "gitdeploy/_hooks"' in settings


# ---- migrations ----


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))


DJANGO = {
    "manage.py": """\
        import os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        from django.core.management import execute_from_command_line
        execute_from_command_line(sys.argv)
        """,
    "settings.py": """\
        SECRET_KEY = "x"
        USE_TZ = True
        INSTALLED_APPS = ["django.contrib.staticfiles", "shop"]
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "app.db"}}
        CACHES = {"default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "cache"}}
        STATIC_URL = "/static/"
        STATIC_ROOT = "collected"
        STATICFILES_DIRS = ["assets"]
        """,
    "assets/app.css": "body { color: green }",
    "shop/__init__.py": "",
    "shop/models.py": "",
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": """\
        from django.db import migrations, models
        class Migration(migrations.Migration):
            operations = [migrations.CreateModel("Order", [("id", models.AutoField(primary_key=True))])]
        """,
}


def test_django_migrates_collects_and_clears(app: Path, venv: Path) -> None:
    pytest.importorskip("django")
    write(app, DJANGO)
    lines = run(app, "django-migrate", venv=venv)
    assert any("Create model Order" in line for line in lines), lines
    with closing(sqlite3.connect(app / "app.db")) as database:
        assert database.execute("SELECT name FROM django_migrations").fetchall() == [("0001_initial",)]
    run(app, "collectstatic", venv=venv)
    assert (app / "collected/app.css").exists()
    (app / "cache").mkdir(exist_ok=True)
    (app / "cache/stale.djcache").write_bytes(b"old")
    os.environ["DJANGO_MANAGE"] = "manage.py"
    try:
        shutil.rmtree(app / "hooks")
        assert "Django's caches: cleared" in run(app, "cache-clear", venv=venv)
    finally:
        del os.environ["DJANGO_MANAGE"]
    assert not (app / "cache/stale.djcache").exists()


SECOND = """\
    from django.db import migrations, models
    class Migration(migrations.Migration):
        {mark}
        dependencies = {needs}
        operations = {operations}
    """
HALVES = {
    "shop/migrations/0002_mood.py": ("", [("shop", "0001_initial")], "[migrations.AddField('order', 'mood', models.TextField(default=''))]"),
    "shop/migrations/0003_drop.py": ("contract = True", [("shop", "0002_mood")], "[migrations.RemoveField('order', 'mood')]"),
    "shop/migrations/0004_needs_it.py": ("", [("shop", "0003_drop")], "[]"),
    "sales/migrations/0001_initial.py": ("", [("shop", "0002_mood")], "[migrations.CreateModel('Sale', [('id', models.AutoField(primary_key=True))])]"),
    "sales/migrations/0002_needs_it.py": ("", [("sales", "0001_initial"), ("shop", "0004_needs_it")], "[]"),
    "reports/migrations/0001_initial.py": ("", [], "[]"),
    "stock/migrations/0001_initial.py": ("", [], "[]"),
    "stock/migrations/0002_listed.py": ("", [("stock", "0001_initial")], "[]"),
}  # fmt: skip
"""Path -> mark, dependencies, operations."""
LISTED = "reports stock.0002_listed"


def recorded(app: Path, table: str = "django_migrations", names: str = "app || '.' || name") -> set[str]:
    with closing(sqlite3.connect(app / "app.db")) as database:
        return {row[0] for row in database.execute(f"SELECT {names} FROM {table}")}


def sources(app: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(app)): path.read_bytes() for path in app.rglob("*.py")}
    return {name: text for name, text in found.items() if is_migration(name)}


def test_django_migrates_in_two_halves_and_the_plan_knows_which(app: Path, venv: Path) -> None:
    pytest.importorskip("django")
    apps = ("shop", "sales", "reports", "stock")
    write(app, {**DJANGO, "settings.py": DJANGO["settings.py"] + f"INSTALLED_APPS = {[*apps]}\n"})
    for name in apps[1:]:
        write(app, {f"{name}/__init__.py": "", f"{name}/models.py": "", f"{name}/migrations/__init__.py": ""})
    run(app, "django-two-halves", venv=venv)
    assert recorded(app) == {"shop.0001_initial"}, "nothing is of the second half, so all of it ran"
    before = sources(app)
    write(app, {
        path: SECOND.format(mark=mark, needs=needs, operations=operations)
        for path, (mark, needs, operations) in HALVES.items()
    })  # fmt: skip
    lines = run(app, "django-two-halves", venv=venv, contract_migrations=LISTED)
    first = {"shop.0001_initial", "shop.0002_mood", "sales.0001_initial", "stock.0001_initial"}
    assert recorded(app) == first
    held = {line.partition(": ")[2] for line in lines if line.startswith("second half: ")}
    changes = compare(before, sources(app))
    assert held == second_half(changes, LISTED.split())
    run(app, "django-two-halves", "migrate-after", venv=venv, contract_migrations=LISTED)
    assert recorded(app) == first | held


ALEMBIC = {
    "alembic.ini": "[alembic]\nscript_location = migrations\nsqlalchemy.url = sqlite:///app.db\n",
    "migrations/script.py.mako": "",
    "migrations/env.py": """\
        from alembic import context
        from sqlalchemy import create_engine
        engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
        with engine.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "migrations/versions/a1.py": """\
        from alembic import op
        revision, down_revision = "a1", None
        def upgrade(): op.execute("CREATE TABLE orders (id INTEGER)")
        def downgrade(): op.execute("DROP TABLE orders")
        """,
}


def test_alembic_migrates(app: Path, venv: Path) -> None:
    pytest.importorskip("alembic")
    write(app, ALEMBIC)
    run(app, "alembic-migrate", venv=venv)
    with closing(sqlite3.connect(app / "app.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("a1",)]
    write(
        app, {"migrations/versions/a2.py": 'revision, down_revision = "a2", "a1"\ndef upgrade(): raise ValueError(1)\n'}
    )
    with pytest.raises(HookFailed, match="50-alembic-migrate failed"):
        run(app, "alembic-migrate", venv=venv)


def test_alembic_migrates_in_two_halves_and_the_plan_knows_which(app: Path, venv: Path) -> None:
    pytest.importorskip("alembic")
    revision = "revision = {!r}\ndown_revision = {!r}\nbranch_labels = {!r}\ndepends_on = {!r}\ndef upgrade(): pass\n"
    write(app, {path: text for path, text in ALEMBIC.items() if "versions" not in path})
    write(app, {
        "migrations/versions/a1.py": revision.format("a1", None, None, None),
        "migrations/versions/e1.py": revision.format("e1", "a1", ("expand",), None),
        "migrations/versions/c1.py": revision.format("c1", "a1", ("contract",), "e1"),
    })  # fmt: skip
    run(app, "alembic-migrate", venv=venv)
    shutil.rmtree(app / "hooks")
    before = sources(app)
    write(app, {
        "migrations/versions/e2.py": revision.format("e2", "e1", None, None),
        "migrations/versions/c2.py": revision.format("c2", "c1", None, "e2"),
    })  # fmt: skip
    (change,) = compare(before, sources(app))
    assert set(change.recorded) == {"e2", "c2"}
    assert second_half([change]) == {"c2"}
    run(app, "alembic-two-halves", venv=venv)
    assert recorded(app, "alembic_version", "version_num") == {"e2", "c1"}
    run(app, "alembic-two-halves", "migrate-after", venv=venv)
    assert recorded(app, "alembic_version", "version_num") == {"c2"}


def test_flask_migrates(app: Path, venv: Path) -> None:
    pytest.importorskip("flask_migrate")
    write(
        app,
        {
            **ALEMBIC,
            "migrations/alembic.ini": "[alembic]\n",
            "migrations/env.py": ALEMBIC["migrations/env.py"].replace(
                'context.config.get_main_option("sqlalchemy.url")', '"sqlite:///app.db"'
            ),
            "app.py": """\
                from flask import Flask
                from flask_migrate import Migrate
                from flask_sqlalchemy import SQLAlchemy
                app = Flask(__name__)
                app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///app.db"
                Migrate(app, SQLAlchemy(app))
                """,
        },
    )
    run(app, "flask-migrate", venv=venv)
    with closing(sqlite3.connect(app / "app.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("a1",)]


# ---- files ----


def test_an_sqlite_database_is_copied_while_it_is_written_to(app: Path, tmp_path: Path) -> None:
    (app / "instance").mkdir()
    (tmp_path / "backup").mkdir()
    with closing(sqlite3.connect(app / "instance/app.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (i)")
        database.execute("INSERT INTO t VALUES (7)")
        database.commit()
        run(app, "sqlite-dump", backup_dir=tmp_path / "backup")
    copy = tmp_path / "backup/by-hand/instance_app.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("SELECT i FROM t").fetchall() == [(7,)]


def test_a_missing_sqlite_database_stops_the_deployment(app: Path, tmp_path: Path) -> None:
    with pytest.raises(HookFailed, match=r"instance/app\.db does not exist"):
        run(app, "sqlite-dump", backup_dir=tmp_path)


def test_cache_folders_are_emptied_and_nothing_outside_is(app: Path, tmp_path: Path, monkeypatch: Any) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (app / "var/cache/deep").mkdir(parents=True)
    (app / "var/cache/deep/old").touch()
    (app / "var/cache/out").symlink_to(outside)
    (app / "linked").symlink_to(outside)
    monkeypatch.setenv("CACHE_DIRS", "var/cache linked missing")
    run(app, "cache-clear")
    assert os.listdir(app / "var/cache") == []
    monkeypatch.setenv("CACHE_DIRS", "../outside")
    with pytest.raises(HookFailed, match="must name folders below the checkout"):
        run(app, "cache-clear")
    assert (outside / "precious").exists()


# ---- the web ----


class Receiver(ThreadingHTTPServer):
    """Answers by path; remembers what was posted."""

    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.got.append((self.path, dict(self.headers), body))
        status, answer = self.server.answers.get(self.path.partition("?")[0], (404, b"not here"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_smoke_test_passes_names_a_wrong_status_and_a_missing_text(
    app: Path, web: Receiver, monkeypatch: Any
) -> None:
    needs.program("curl")
    web.answers = {"/": (200, b"<h1>Orders</h1>"), "/admin": (403, b"no")}
    monkeypatch.setenv("SMOKE_URL", web.url)
    monkeypatch.setenv("SMOKE_PAGES", "/=200 /admin=403")
    monkeypatch.setenv("SMOKE_CONTAINS", "Orders")
    assert run(app, "smoke-test") == ["/: 200", "/admin: 403"]
    monkeypatch.setenv("SMOKE_CONTAINS", "Invoices")
    with pytest.raises(HookFailed, match="/ does not contain: Invoices"):
        run(app, "smoke-test")
    web.answers["/admin"] = (500, b"boom")
    monkeypatch.setenv("SMOKE_CONTAINS", "")
    with pytest.raises(HookFailed, match="exit code 1") as caught:
        run(app, "smoke-test")
    assert "/admin answered 500 instead of 403." in "\n".join((caught.value.message, *caught.value.details))


def test_a_smoke_test_of_an_app_that_is_down_fails(app: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SMOKE_URL", "http://127.0.0.1:9")
    with pytest.raises(HookFailed):
        run(app, "smoke-test")


def test_warming_up_asks_for_every_page_and_never_fails(app: Path, web: Receiver, monkeypatch: Any) -> None:
    needs.program("curl")
    web.answers = {"/": (200, b"")}
    monkeypatch.setenv("WARM_UP_URL", web.url)
    monkeypatch.setenv("WARM_UP_PAGES", "/ /slow")
    monkeypatch.setenv("WARM_UP_ROUNDS", "2")
    lines = run(app, "warm-up")
    assert [path for path, _, _ in web.got] == ["/", "/slow"] * 2
    assert lines[0].startswith("/: 200 in ")
    monkeypatch.setenv("WARM_UP_URL", "http://127.0.0.1:9")
    assert "/: no answer" in run(app, "warm-up")


def post(web: Receiver) -> tuple[str, Any]:
    path, _, body = web.got.pop()
    return path, json.loads(body)


def test_dingtalk_gets_a_signed_text(app: Path, web: Receiver) -> None:
    web.answers = {"/robot/send": (200, b'{"errcode":0,"errmsg":"ok"}')}
    (app / ".env").write_text(f'DINGTALK_WEBHOOK="{web.url}/robot/send?access_token=tok"\nDINGTALK_SECRET=SECabc\n')
    assert run(app, "notify-dingtalk", performer="alice") == ["DingTalk was notified."]
    path, body = post(web)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
    digest = hmac.new(b"SECabc", f"{query['timestamp']}\nSECabc".encode(), hashlib.sha256).digest()
    assert query["access_token"] == "tok"
    assert query["sign"] == base64.b64encode(digest).decode()
    assert body == {"msgtype": "text", "text": {"content": "otrs-web: upgrade from 1.2.9 to v1.3, by alice"}}


def test_feishu_gets_a_signed_text_and_a_failure_in_its_words(app: Path, web: Receiver, monkeypatch: Any) -> None:
    web.answers = {"/hook": (200, b'{"code":0,"msg":"success"}')}
    monkeypatch.setenv("FEISHU_WEBHOOK", web.url + "/hook")
    monkeypatch.setenv("FEISHU_SECRET", "feishu-secret")
    error = "Wanted v1.3, failed at health: 库存 500."
    assert run(app, "notify-feishu", "on-failure", status="rolled_back", error=error) == ["Feishu was notified."]
    _, body = post(web)
    digest = hmac.new(f"{body['timestamp']}\nfeishu-secret".encode(), b"", hashlib.sha256).digest()
    assert body["sign"] == base64.b64encode(digest).decode()
    assert body["content"]["text"] == f"otrs-web: rolled back. {error}"


def test_wecom_and_slack_get_a_text(app: Path, web: Receiver, monkeypatch: Any) -> None:
    web.answers = {"/wecom": (200, b'{"errcode":0}'), "/slack": (200, b"ok")}
    monkeypatch.setenv("WECOM_WEBHOOK", web.url + "/wecom?key=k")
    monkeypatch.setenv("SLACK_WEBHOOK", web.url + "/slack")
    run(app, "notify-wecom")
    assert post(web)[1]["text"]["content"].startswith("otrs-web: upgrade from")
    shutil.rmtree(app / "hooks")
    run(app, "notify-slack", "on-failure", status="failed", error="a < b & <!channel>")
    assert post(web)[1] == {"text": "otrs-web: failed. a &lt; b &amp; &lt;!channel&gt;"}


@pytest.mark.parametrize("name", ["dingtalk", "feishu", "slack", "wecom"])
def test_a_chat_that_does_not_answer_never_fails_a_deployment_and_no_token_is_said(
    app: Path, web: Receiver, monkeypatch: Any, name: str
) -> None:
    assert "is not set" in run(app, f"notify-{name}")[0]
    for address in ("http://127.0.0.1:9/?token=hunter22", f"{web.url}/x?token=hunter22", "hunter22://x"):
        monkeypatch.setenv(f"{name.upper()}_WEBHOOK", address)
        (line,) = run(app, f"notify-{name}")
        assert "could not be notified" in line
        assert "hunter22" not in line


def test_a_cdn_is_asked_to_forget_the_changed_static_files_only(app: Path, web: Receiver, tmp_path: Path) -> None:
    web.answers = {"/purge": (200, b"{}")}
    (tmp_path / "changed").write_bytes(b"app.py\0static/a b.css\0static/js/app.js\0")
    (app / ".env").write_text(
        f"CDN_PURGE_URL={web.url}/purge\nCDN_PURGE_TOKEN=cdn-token\nCDN_BASE_URL=https://static.example.com/\n"
    )
    assert run(app, "cdn-purge", changed_files=tmp_path / "changed") == ["Files purged: 2"]
    _, headers, body = web.got.pop()
    assert json.loads(body) == {
        "files": ["https://static.example.com/a%20b.css", "https://static.example.com/js/app.js"]
    }
    assert headers["Authorization"] == "Bearer cdn-token"
    web.answers = {}
    assert run(app, "cdn-purge", changed_files=tmp_path / "changed") == ["The CDN could not be asked: 404"]


# ---- other services ----


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: Any) -> Path:
    """Stand-ins for what only root may do: each notes how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sudo", "systemctl", "nginx"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\ntest ! -e {tmp_path}/refuse\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path


def calls(folder: Path) -> list[str]:
    words = [line.removeprefix("sudo -n ") for line in (folder / "calls").read_text().splitlines()]
    (folder / "calls").unlink()
    return words


def test_nginx_is_checked_before_it_is_reloaded(app: Path, bin_folder: Path) -> None:
    assert run(app, "nginx-reload") == ["nginx reloaded."]
    assert calls(bin_folder) == ["nginx -t", "systemctl reload nginx.service"]
    (bin_folder / "refuse").touch()
    with pytest.raises(HookFailed):
        run(app, "nginx-reload")
    assert calls(bin_folder) == ["nginx -t"]


def test_workers_are_restarted(app: Path, bin_folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("WORKER_UNITS", "celery.service beat.service")
    assert run(app, "celery-restart") == ["celery.service restarted.", "beat.service restarted."]
    assert calls(bin_folder) == ["systemctl restart celery.service", "systemctl restart beat.service"]


NGINX = """\
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      if (-f {app}/maintenance.flag) {{ return 503; }}
      proxy_pass {upstream};
    }}
    error_page 503 /maintenance.html;
    location = /maintenance.html {{ root {app}/static; internal; }}
  }}
}}
"""


def test_nginx_shows_the_maintenance_page_between_on_and_off(app: Path, web: Receiver, tmp_path: Path) -> None:
    nginx = needs.program("nginx")
    if nginx is None:
        pytest.skip("needs the Debian package nginx-light")
    needs.let_others_in(tmp_path)  # nginx's worker is another user
    web.answers = {"/": (200, b"the app")}
    write(app, {"static/maintenance.html": "back soon"})
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, app=app, port=port, upstream=web.url))

    def page() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    with subprocess.Popen([nginx, "-c", f"{tmp_path}/nginx.conf"], stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: page() == (200, "the app"), errors=OSError)
            run(app, "maintenance-on")
            assert page() == (503, "back soon")
            run(app, "maintenance-off")
            assert page() == (200, "the app")
        finally:
            server.terminate()


def test_a_backup_is_handed_to_restic_or_rclone_whole_or_not_at_all(
    app: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in {
        "restic": 'echo "$@" >"$OUT/words"; cat >"$OUT/restic"',
        "rclone": 'echo "$@" >"$OUT/words"; cat >"$OUT/rclone"',
        "gitdeploy": '[ "${6-}" != gone ] || exit 1\nfor file; do :; done\necho "$@" >"$file"',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("OUT", str(tmp_path))
    assert "says nowhere" in run(app, "backup-elsewhere")[0]
    monkeypatch.setenv("BACKUP_TO", "restic:")
    assert run(app, "backup-elsewhere", backup="20261201-000000-v1") == [
        "otrs-web-20261201-000000-v1.backup is kept elsewhere (restic:)."
    ]
    assert "--stdin-filename otrs-web-20261201-000000-v1.backup" in (tmp_path / "words").read_text()
    assert "backups export 20261201-000000-v1" in (tmp_path / "restic").read_text()
    (app / ".env").write_text("BACKUP_TO='rclone:crypt:shop'\n")
    monkeypatch.delenv("BACKUP_TO")
    assert "is kept elsewhere" in run(app, "backup-elsewhere", backup="20261201-000000-v1")[0]
    assert "rcat crypt:shop/otrs-web-20261201-000000-v1.backup" in (tmp_path / "words").read_text()
    (tmp_path / "rclone").unlink()
    assert "could NOT be copied" in run(app, "backup-elsewhere", backup="gone")[-1]
    assert not (tmp_path / "rclone").exists(), "nothing of an export that failed is handed on"


# ---- in the reader's language ----


def test_what_a_ready_hook_says_is_read_in_each_language(app: Path, web: Receiver, monkeypatch: Any) -> None:
    (on,) = run(app, "maintenance-on")
    assert (str(on), render(on, "zh")) == ("Maintenance page on.", "维护页面已开启。")
    needs.program("curl")
    web.answers = {"/admin": (500, b"boom")}
    monkeypatch.setenv("SMOKE_URL", web.url)
    monkeypatch.setenv("SMOKE_PAGES", "/admin=403")
    with pytest.raises(HookFailed) as caught:
        run(app, "smoke-test")
    said = "\n".join(render(each, "zh") for each in (caught.value.message, *caught.value.details))
    assert "/admin 返回" in said
    assert "而不是 403。" in said


def test_a_chat_is_told_in_the_language_of_the_server(app: Path, web: Receiver, monkeypatch: Any) -> None:
    monkeypatch.setenv("WECOM_WEBHOOK", f"{web.url}/wecom")
    web.answers = {"/wecom": (200, b'{"errcode": 0}')}
    with speaking("zh"):
        run(app, "notify-wecom", performer="li")
        run(app, "notify-wecom", "on-failure", status="rolled_back", error=tr("Another deployment is running."))
    texts = [json.loads(body)["text"]["content"] for _, _, body in web.got]
    assert texts == ["otrs-web：升级，从 1.2.9 到 v1.3，执行者 li", "otrs-web：已回滚。另一个部署正在进行。"]


SAID = [
    ("plain text", "plain text", {}),
    ("gitdeploy-say nginx reloaded.", "nginx reloaded.", {}),
    ("gitdeploy-say {a}: {b} | a=1 | b=x=y", "1: x=y", {"a": "1", "b": "x=y"}),
    ("gitdeploy-say {a} | a=this | that | b=2", "this | that", {"a": "this | that", "b": "2"}),
    ("gitdeploy-say {a} {unknown} {a.__class__} {0} | a=1", "1 {unknown} {a.__class__} {0}", {"a": "1"}),
    ("gitdeploy-say {a} | A=1 | =2", "{a}", {}),
    ("gitdeploy-say ", "", {}),
    ("say {a}", "say {a}", {}),
]


@pytest.mark.parametrize(("line", "text", "values"), SAID)
def test_a_line_with_a_template_becomes_its_sentence(line: str, text: str, values: dict[str, str]) -> None:
    found = sentence_in(line)
    assert str(found) == text
    assert (dict(found.values) if isinstance(found, Message) else {}) == values
    assert str(heard(json.loads(json.dumps(said(found))))) == text, "as the journal keeps it"


def test_no_ready_hook_says_anything_in_english_alone() -> None:
    shown = re.compile(
        r"""(?:echo|print\(|sys\.exit\()\s*f?["'](?!gitdeploy-say )([^"']*(?<![$\w])[A-Za-z]{3,}[^"']*)["']"""
    )
    assert {hook.name: found for hook in library.library() if (found := shown.findall(hook.path.read_text()))} == {}
