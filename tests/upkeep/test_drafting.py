"""`init` drafts what the checkout and the machine show: each line with its reason, what isn't sure as a question."""

from __future__ import annotations

import http.server
import shlex
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.noted_venv import noted_venv
from support.sample import Tree, write_tree

from gitdeploy import config as configuration
from gitdeploy.services import supervisor as supervisors
from gitdeploy.site.site import Site
from gitdeploy.upkeep.drafting import Draft, draft
from gitdeploy.upkeep.drafting.composed import composed
from gitdeploy.upkeep.drafting.lines import Line, flow, written
from gitdeploy.upkeep.drafting.rehearsing import command_at_port
from gitdeploy.upkeep.drafting.seen import look

MANAGE = """\
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SQLITE = "SQLite format 3\0"
DJANGO_SETTINGS = """\
import os
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "data" / "shop.sqlite3"}}
STATIC_ROOT = os.path.join(BASE_DIR, "static")
MEDIA_ROOT = BASE_DIR / "media"
raise SystemExit("settings are read, never executed")
"""
POSTGRES = """\
import os
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("DB_NAME", "shop"),
        "USER": "shop",
        "PASSWORD": "secret-of-the-shop",
        "HOST": "127.0.0.1",
        "PORT": 1,
    }
}
"""
BASE_AND_PRODUCTION = {
    "manage.py": MANAGE.replace("shop.settings", "shop.settings.production"),
    "shop/settings/__init__.py": "",
    "shop/settings/base.py": DJANGO_SETTINGS.replace("parent.parent", "parents[2]"),
    "shop/settings/production.py": "from .base import *\nSTATIC_ROOT = None\n",
    "shop/settings/local.py": "from .base import *\nDATABASES = {}\n",
}
FLASK = {"app.py": 'app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"\n', "migrations/env.py": ""}
CONDITIONAL = """\
import os
if os.getenv("DB") == "sqlite":
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "chosen.db"}}
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "other.db"}}
"""


COMPOSE = """\
x-common: &common
  restart: always
services:
  db: {image: postgres, ports: ["5432:5432"]}
  worker: {<<: *common, build: {context: ./app}}
  web:
    <<: *common
    build: .
    ports: ["${WEB_PORT:-11}:8000"]
"""


class Checkout:
    """A checkout with what a row of a table says."""

    def __init__(self, root: Path, tracked: Tree, untracked: Mapping[str, str], packages: Mapping[str, str]) -> None:
        self.root = root
        subprocess.run(["git", "init", "-q", "-b", "main", root], check=True)
        write_tree(root, {".gitignore": "venv\n.env\n", **tracked})
        git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.com"]
        for words in (["add", "-A"], ["commit", "-q", "-m", "x"], ["tag", "v1.0.0"]):
            subprocess.run([*git, *words], check=True)
        subprocess.run([*git, "remote", "add", "origin", "https://git.example.com/shop.git"], check=True)
        write_tree(root, untracked)
        if packages:
            noted_venv(root / "venv", packages)

    def draft(self) -> Draft:
        made = draft(Site.open(self.root))
        configuration.parse(made.text.encode(), root=self.root)  # whatever it says, it can be read
        return made


def sure(made: Draft) -> dict[str, Any]:
    return {line.key: line.value for line in made.lines if line.sure}


def asked(made: Draft) -> dict[str, str]:
    return {line.key: line.question for line in made.lines if not line.sure}


DJANGO = {"django": "5.2"}
ROWS: dict[str, tuple[Tree, Mapping[str, str], Mapping[str, str], Mapping[str, Any], Mapping[str, str]]] = {
    # what is tracked, what lies there besides, what the venv holds; lines that are sure, questions
    "a Django app": (
        {"manage.py": MANAGE, "shop/settings.py": DJANGO_SETTINGS},
        {"data/shop.sqlite3": SQLITE, "media/x": "y"},
        DJANGO,
        {
            "hooks.migrate": ["python manage.py migrate --noinput"],
            "hooks.build": ["python manage.py collectstatic --noinput"],
            "backup.databases": ["sqlite:///data/shop.sqlite3"],
            "git.keep": [".env"],
        },
        {"backup.include": "uploads (MEDIA_ROOT in shop/settings.py)"},
    ),
    "a Django app in a folder": (
        {"src/manage.py": MANAGE, "src/shop/settings.py": DJANGO_SETTINGS},
        {"src/data/shop.sqlite3": SQLITE},
        DJANGO,
        {"hooks.migrate": ["python src/manage.py migrate --noinput"], "backup.databases": ["sqlite:///src/data/shop.sqlite3"]},
        {},
    ),
    "settings in several files": (
        BASE_AND_PRODUCTION,
        {"data/shop.sqlite3": SQLITE},
        DJANGO,
        {"backup.databases": ["sqlite:///data/shop.sqlite3"], "hooks.build": None},
        {},
    ),
    "settings for developers": (
        {**BASE_AND_PRODUCTION, "manage.py": MANAGE.replace("shop.settings", "shop.settings.local")},
        {},
        DJANGO,
        {"hooks.migrate": None},
        {"hooks.migrate": "a developer's by its name"},
    ),
    "what .env says decides": (
        {"manage.py": MANAGE, "shop/settings.py": CONDITIONAL},
        {".env": "DB=sqlite\n", "chosen.db": SQLITE, "other.db": SQLITE},
        DJANGO,
        {"backup.databases": ["sqlite:///chosen.db"]},
        {},
    ),
    "a server that can't be asked, and a password that isn't shown": (
        {"manage.py": MANAGE, "shop/settings.py": POSTGRES},
        {},
        DJANGO,
        {"backup.databases": None},
        {"backup.databases": "DATABASES in shop/settings.py, but: "},
    ),
    "one database under a name of the app's own, whose driver says what it is": (
        {"manage.py": MANAGE, "shop/settings.py": POSTGRES.replace('"ENGINE": "django.db.backends.postgresql",', "")
         .replace('"default": {', "").replace("    }\n}", "}").replace("DATABASES", "DATABASE") + "DATABASES = made_of(DATABASE)\n"},
        {},
        {**DJANGO, "psycopg": "3"},
        {"backup.databases": None},
        {"backup.databases": "DATABASE in shop/settings.py, but: "},
    ),
    "a URL in a variable": (
        {"app.py": 'import os\nDATABASE_URL = os.environ["DATABASE_URL"]\n'},
        {".env": "DATABASE_URL=sqlite:///shop.db\n", "shop.db": SQLITE},
        {"flask": "3"},
        {"backup.databases": [{"env": "DATABASE_URL"}]},
        {},
    ),
    "a URL that is written otherwise, or else a file": (
        {"config.py": "import os\nclass Config:\n    SQLALCHEMY_DATABASE_URI = os.environ.get('DB_URL', '').replace('postgres://', "
         "'postgresql://') or 'sqlite:///' + os.path.join(os.path.abspath(os.path.dirname(__file__)), 'app.db')\n"},
        {"app.db": SQLITE},
        {"flask": "3"},
        {"backup.databases": ["sqlite:///app.db"]},
        {},
    ),
    "a manage.py that isn't Django's": (
        {**FLASK, "manage.py": "from flask_script import Manager\n"},
        {"instance/shop.db": SQLITE},
        {"flask": "3", "flask_migrate": "4", "bin/flask": ""},
        {"hooks.migrate": ["flask db upgrade"], "backup.databases": ["sqlite:///shop.db"]},
        {},
    ),
    "Flask's migrations without Flask": (
        FLASK,
        {},
        {"bottle": "0.13"},
        {"hooks.migrate": None},
        {"hooks.migrate": "flask and Flask-Migrate aren't in the venv"},
    ),
    "alembic": (
        {"alembic.ini": ""},
        {},
        {"alembic": "1", "bin/alembic": ""},
        {"hooks.migrate": ["alembic upgrade head"]},
        {},
    ),
    "what the server changed is kept, what it only might is asked": (
        {"config.ini": "x", "search.db": "shipped"},
        {"config.ini": "of this server"},
        {},
        {"git.keep": [".env", "config.ini"]},
        {"git.keep": "search.db"},
    ),
    "a tracked file that a person changed": (
        {"shop.py": "x"},
        {"shop.py": "mended here"},
        {},
        {"git.keep": [".env"]},
        {"git.keep": "changed here though tracked: shop.py"},
    ),
    "the requirements that the venv was made from": (
        {"requirements/base.txt": "a==1\n", "requirements/prod.txt": "-r base.txt\nb==2\n", "requirements/dev.txt": "-r prod.txt\nc==3\n"},
        {},
        {"a": "1", "b": "2"},
        {"venv.requirements": ["requirements/prod.txt"]},
        {},
    ),
    "requirements of which the venv lacks some": (
        {"requirements/base.txt": "a==1\nz==1\n"},
        {},
        {"a": "1"},
        {"venv.requirements": None},
        {"venv.requirements": "1 package of requirements/base.txt not in the venv"},
    ),
    "optional requirements, partly": (
        {"requirements.txt": "a==1\n", "optional-requirements.txt": "b\nz\n"},
        {},
        {"a": "1", "b": "2"},
        {"venv.requirements": ["requirements.txt"]},
        {"venv.requirements": "optional-requirements.txt (1 of 2 in the venv)"},
    ),
    "extras and groups of a project": (
        {
            "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["a"]\n[project.optional-dependencies]\npg = ["b"]\n'
            'mail = ["z"]\n[dependency-groups]\ntest = ["c"]\n'
        },
        {},
        {"a": "1", "b": "2", "c": "3"},
        {"venv.requirements": ["pyproject.toml"], "venv.extras": ["pg"], "venv.groups": None},
        {"venv.requirements": ""},
    ),
    "a lock that nothing has installed yet": (
        {"pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["a"]\n',
         "Pipfile.lock": '{"_meta": {}, "default": {"a": {"version": "==2"}}}'},
        {},
        {"a": "1"},
        {"venv.requirements": ["Pipfile.lock"]},
        {},
    ),
    "nothing installs a setup.py": (
        {"setup.py": "from setuptools import setup\nsetup()\n"},
        {},
        {"a": "1"},
        {"venv.requirements": None, "venv.self": None},
        {"venv.self": "nothing installs what the app needs"},
    ),
    "gunicorn's file, which nobody answers at": (
        {"gunicorn.conf.py": 'import os\nbind = "127.0.0.1:" + os.environ.get("PORT", "11")\nraise SystemExit\n', "routes.py": '@app.get("/healthz")\n'},
        {},
        {},
        {"health.url": None},
        {"health.url": "bind in gunicorn.conf.py, but it doesn't answer now"},
    ),
    "a compose file": (
        {"docker-compose.yml": COMPOSE, "routes.py": '@app.get("/healthz")\n'},
        {},
        {},
        {"service.compose": None, "service.systemd": None, "health.url": None},
        {"service.compose": "docker-compose.yml makes this service from the checkout, but it doesn't run now",
         "health.url": "docker-compose.yml publishes it, but it doesn't answer now"},
    ),
    "a compose file of others' images alone": (
        {"compose.yaml": "services: {db: {image: postgres, ports: ['5432:5432']}}\n"},
        {},
        {},
        {"service.compose": None},
        {"service.systemd": "what restarts it?"},
    ),
    "a compose file that is none": (
        {"compose.yaml": "services: [&a [*a]]\n", "docker-compose.yml": COMPOSE},
        {},
        {},
        {"service.compose": None},
        {"service.systemd": "what restarts it?"},
    ),
    **{f"a compose file that holds {text!r}": (
        {"compose.yaml": text}, {}, {}, {"service.compose": None}, {"service.systemd": "what restarts it?"},
    ) for text in ("", "- web\n", "web\n")},
    "a socket": (
        {"gunicorn.conf.py": 'bind = "unix:/run/shop.sock"\n'},
        {},
        {},
        {"health.url": None},
        {"health.url": "it listens at /run/shop.sock"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_is_found(tmp_path: Path, row: tuple[Tree, Any, Any, Mapping[str, Any], Mapping[str, str]]) -> None:
    tracked, untracked, packages, lines, questions = row
    made = Checkout(tmp_path / "shop", tracked, untracked, packages).draft()
    found, asks = sure(made), asked(made)
    assert {key: found.get(key) for key in lines} == lines, made.text
    for key, words in questions.items():
        assert words in asks.get(key, ""), made.text
    assert "secret-of-the-shop" not in made.text


@pytest.mark.parametrize(
    ("groups", "name", "question"),
    [
        ("", "web", "jobs from here keeps its old code: a [group:shop]"),
        ("[group:all]\nprograms = web, jobs\n", "all", None),
        ("[group:all]\nprograms=web,jobs,other\n", "all:web", "all:jobs from here keeps its old code"),
    ],
)
def test_all_programs_of_supervisor_that_run_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, name: str, question: str | None
) -> None:
    root, conf = tmp_path / "shop", tmp_path / "supervisord.conf"
    started = {
        "jobs": f"{root}/venv/bin/python jobs.py",
        "web": f"{root}/venv/bin/gunicorn shop:app",
        "other": "/bin/other",
    }
    conf.write_text("".join(f"[program:{key}]\ncommand={words}\n" for key, words in started.items()) + groups)
    monkeypatch.setattr(supervisors, "_CONFIGS", (str(conf),))
    made = Checkout(root, {"x": ""}, {}, {}).draft()
    assert sure(made)["service.supervisor"] == name, made.text
    assert (question or "") in asked(made).get("service.supervisor", ""), made.text
    assert ("service.supervisor" in asked(made)) == (question is not None), made.text


@pytest.mark.parametrize(
    ("service", "ports"),
    [
        ("{build: ., ports: ['8000:80']}", ("127.0.0.1:8000",)),
        ("{build: ., ports: ['0.0.0.0:8000:80/tcp', '192.0.2.1:81:80']}", ("127.0.0.1:8000", "192.0.2.1:81")),
        ("{build: ., ports: [{published: 8000, target: 80}, {published: '81', host_ip: 192.0.2.1}]}", ("127.0.0.1:8000", "192.0.2.1:81")),
        ("{build: ., ports: ['${P:-8000}:80', '80', '8000-8010:80', '53:53/udp', 99999, '${P}:80']}", ("127.0.0.1:8000",)),
        ("{build: {dockerfile: x}}", ()),
        ("{image: mine, volumes: ['.:/srv', 'data:/data']}", ()),
        ("{image: mine, volumes: [{type: bind, source: ., target: /srv}]}", ()),
        ("{image: mine}", None), ("{build: ../other}", None), ("{build: 'https://example.com/x.git'}", None), ("7", None),
    ],
)  # fmt: skip
def test_what_a_compose_file_says_of_the_app(tmp_path: Path, service: str, ports: tuple[str, ...] | None) -> None:
    (tmp_path / "compose.yaml").write_text(f"services:\n  web: {service}\n")
    found = composed(tmp_path)
    assert [(each.name, each.ports) for each in found] == ([] if ports is None else [("web", ports)])


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ours = self.headers["Host"].startswith("shop.example.com")
        good = self.path == "/healthz" and ours
        self.send_response(200 if good else 404 if ours else 400)
        self.end_headers()
        self.wfile.write(b'{"version": "1.0.0"}' if good else b"")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("tracked", [True, False])
def test_an_address_that_answers_is_taken(tmp_path: Path, port: int, tracked: bool) -> None:
    routes = {"routes.py": 'path("healthz", x)\n'} if tracked else {}
    settings = 'import os\nif hosts := os.getenv("HOSTS"):\n    ALLOWED_HOSTS = hosts.split(",")\n'
    files = {
        "manage.py": MANAGE,
        "shop/settings.py": settings,
        "gunicorn.conf.py": f'bind = ["127.0.0.1:{port}"]\n',
        **routes,
    }
    found = sure(Checkout(tmp_path / "shop", files, {".env": "HOSTS=localhost,.shop.example.com\n"}, DJANGO).draft())
    if tracked:
        assert found["health.url"] == f"http://127.0.0.1:{port}/healthz"
        assert found["health.headers"] == {"Host": "shop.example.com"}
        assert found["health.version"] == {"json": "version"}
    else:
        assert (found.get("health.url"), found["health.tcp"]) == (None, f"127.0.0.1:{port}")


def test_extras_of_an_install_are_told_by_what_is_there(tmp_path: Path) -> None:
    checkout = Checkout(
        tmp_path / "shop", {"pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n'}, {}, {"a": "1"}
    )
    (site,) = checkout.root.glob("venv/lib/*/site-packages")
    for name, version in (("b", "2"), ("base", "1"), ("old", "1")):
        (site / f"{name}-{version}.dist-info").mkdir()
        (site / f"{name}-{version}.dist-info/METADATA").write_text(f"Name: {name}\n")
    info = site / "shop-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Name: shop\nProvides-Extra: pg\nProvides-Extra: mail\nProvides-Extra: same\nProvides-Extra: newer\nProvides-Extra: never\n"
        'Requires-Dist: base\nRequires-Dist: b>=2; extra == "pg"\nRequires-Dist: z; extra == "mail"\nRequires-Dist: base; extra == "same"\n'
        'Requires-Dist: old>=2; extra == "newer"\nRequires-Dist: b; python_version < "3" and extra == "never"\n\nRequires-Dist: a; extra == "pg"\n'
    )
    (info / "direct_url.json").write_text(f'{{"url": "file://{checkout.root}", "dir_info": {{"editable": true}}}}')
    made = checkout.draft()
    assert sure(made)["venv.self"] == "auto"
    assert [line.value for line in made.lines if line.key == "venv.extras"] == [["pg"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("v1.0/x", "v1.0/x"), ("true", '"true"'), ("1.0", '"1.0"'), ("v*", '"v*"'), ("./x.sh", "./x.sh"), (".env", ".env"), (".", '"."'),
        ("中文", '"\\u4e2d\\u6587"'), (["a", 1], "[a, 1]"), ({"env": "A"}, "{env: A}"), (None, ""), ("a: b", '"a: b"'), ("~", '"~"'),
    ],
)  # fmt: skip
def test_values_come_back_as_they_were_written(value: object, text: str) -> None:
    assert flow(value) == text
    assert yaml.safe_load(f"[{text or 'null'}]") == [value]


def test_a_reason_never_ends_the_comment(tmp_path: Path) -> None:
    text = written(
        [Line("app.name", "x", "a\nb: c", ""), Line("git.keep", [".env"], "", "long " * 60 + "\n- x")], {"": ["y\nz"]}
    )
    assert configuration.parse(text.encode(), root=tmp_path).app.name == "x"


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (
            "/srv/shop/venv/bin/gunicorn --workers 4 --bind unix:/run/shop.sock --pid run/pid shop.wsgi:application",
            "venv/bin/gunicorn -b 127.0.0.1:{port} -w 1 shop.wsgi:application",
        ),
        (
            "/srv/shop/venv/bin/python /srv/shop/venv/bin/gunicorn -c conf.py --bind=0.0.0.0:8000 -D app:app",
            "venv/bin/gunicorn -b 127.0.0.1:{port} -w 1 -c conf.py app:app",
        ),
        ("uvicorn api:app --host 0.0.0.0 --port 80 --reload", "uvicorn --host 127.0.0.1 --port {port} api:app"),
        ("waitress-serve --listen=*:8080 --call app:make", "waitress-serve --listen=127.0.0.1:{port} --call app:make"),
        ("flask --app 'my shop' run -h 0.0.0.0", "flask --app 'my shop' run --host 127.0.0.1 --port {port}"),
        ("python manage.py runserver 0.0.0.0:8000", "python manage.py runserver --noreload 127.0.0.1:{port}"),
        ("celery -A shop worker", None),
    ],
)
def test_how_it_is_started_for_a_rehearsal(tmp_path: Path, words: str, command: str | None) -> None:
    row = Checkout(tmp_path / "app", {"app.py": ""}, {"venv/bin/gunicorn": "", "venv/pyvenv.cfg": ""}, {})
    assert command_at_port(look(Site.open(row.root)), shlex.split(words)) == command
