"""What a service's command loads of the app."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from gitdeploy.services.loads import loads_of
from gitdeploy.services.starts import loaded_by
from gitdeploy.services.systemd import SystemdUnit

# command -> (kind, words, folder below the root): what is loaded
LOADED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "{venv}/gunicorn -w 4 -b 127.0.0.1:8000 app:app": ("gunicorn", ("-w", "4", "-b", "127.0.0.1:8000", "app:app"), ""),
    "{venv}/python -m gunicorn -b unix:/run/app.sock shop.wsgi": ("gunicorn", ("-b", "unix:/run/app.sock", "shop.wsgi"), ""),
    "{venv}/python3.11 {venv}/gunicorn app:app": ("gunicorn", ("app:app",), ""),
    "{venv}/python /usr/lib/python3/dist-packages/gunicorn/__main__.py --pid run/pid app": ("gunicorn", ("--pid", "run/pid", "app"), ""),
    "gunicorn: master [app:app]": ("object", ("app:app", ""), ""),
    "env PORT=1 gunicorn -c gunicorn.conf.py": ("gunicorn", ("-c", "gunicorn.conf.py"), ""),
    "{venv}/gunicorn app:create_app()": ("gunicorn", ("app:create_app()",), ""),
    "{venv}/uvicorn --host 0.0.0.0 api.main:app --port 80": ("object", ("api.main:app", ""), ""),
    "{venv}/uvicorn --app-dir code --factory api:make": ("object", ("api:make", "call"), "code"),
    "{venv}/waitress-serve --listen=*:8080 --call shop:create": ("object", ("shop:create", "call"), ""),
    "{venv}/daphne -b 0.0.0.0 proj.asgi:application": ("object", ("proj.asgi:application", ""), ""),
    "uwsgi --http :80 --module wsgi --callable app": ("object", ("wsgi:app", ""), ""),
    "/usr/bin/uwsgi --ini uwsgi.ini": ("object", ("site.wsgi:application", ""), "code"),
    "{venv}/flask --app shop run -p 80": ("flask", ("--app", "shop", "routes"), ""),
    "{venv}/python -u manage.py runserver 0:80": ("django", ("manage.py", "check", "--deploy"), ""),
    "{venv}/celery -A proj.celery:app worker -l info": ("celery", ("proj.celery",), ""),
    "{venv}/python -u worker.py --fast": ("script", ("worker.py",), ""),
    "{venv}/python -m shop.worker": ("module", ("shop.worker",), ""),
    "/bin/sh -c exec {venv}/gunicorn app:app": ("gunicorn", ("app:app",), ""),
}  # fmt: skip
NOTHING = [
    "",
    "/usr/bin/gunicorn app:app",  # another Python's
    "/usr/bin/python3 app.py",
    "{venv}/python -c print(1)",
    "/bin/sh -c gunicorn app:app | tee log",
    "{venv}/python /usr/lib/tools/work.py",
    "node server.js",
    "./start.sh",
    "{venv}/celery worker",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("app")
    (root / "venv/bin").mkdir(parents=True)
    (root / "venv/bin/gunicorn").touch()
    (root / "code").mkdir()
    (root / "manage.py").write_text(
        "#!/usr/bin/env python\nfrom django.core.management import execute_from_command_line\n"
    )
    (root / "uwsgi.ini").write_text("[uwsgi]\nmodule = site.wsgi\nchdir = code\nprocesses = 4\n")
    return root


def split(command: str, root: Path) -> list[str]:
    if command.startswith("gunicorn: "):
        return [command]
    return command.format(venv=root / "venv/bin").split()


@pytest.mark.parametrize("command", LOADED)
def test_what_a_command_loads(command: str, root: Path) -> None:
    kind, words, folder = LOADED[command]
    first = loads_of(split(command, root), root, root, root / "venv")[0]
    assert (first.kind, first.words, first.folder) == (kind, words, str(Path(root, folder)))


@pytest.mark.parametrize("command", NOTHING)
def test_what_can_not_be_told(command: str, root: Path) -> None:
    assert loads_of(split(command, root), root, root, root / "venv") == []


def test_djangos_own_check_comes_with_its_server(root: Path) -> None:
    found = loads_of(split("{venv}/gunicorn proj.wsgi", root), root, root, root / "venv")
    assert [load.shown for load in found] == ["gunicorn proj.wsgi", "manage.py check --deploy"]
    assert loads_of(split("{venv}/gunicorn proj.wsgi", root), Path("/srv"), root, root / "venv") == []


@pytest.mark.parametrize(("user", "tested"), [(pwd.getpwuid(os.getuid()).pw_name, True), ("nobody", False)])
def test_a_service_of_another_user_is_left_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, user: str, tested: bool
) -> None:
    """What the app makes at its start, a log file, would be the wrong user's."""
    command = f"{{ path=x ; argv[]={root}/venv/bin/gunicorn app:app ; ignore_errors=no ; start_time=[n/a] }}"
    facts = {"ExecStart": command, "WorkingDirectory": str(root / "code"), "User": user}
    monkeypatch.setattr(SystemdUnit, "facts", lambda _: facts)
    unit = SystemdUnit("app", root, os.getuid(), user=False)
    found = [(load.shown, load.folder) for load in loaded_by([unit], root, root / "venv")]
    assert found == ([("gunicorn app:app", str(root / "code"))] if tested else [])
