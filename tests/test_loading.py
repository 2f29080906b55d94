"""The program that loads a part of an app, as the app's own server would: what works there, and what fails in which words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gitdeploy.deployment.prepare.check import failure
from gitdeploy.services import loading
from gitdeploy.services.loading import CAN_NOT_TELL
from gitdeploy.services.loads import Load
from gitdeploy.system.completed import Completed

FLASK = "from flask import Flask\napp = Flask(__name__)\n@app.route('/health')\ndef health(): return 'ok'\n"
MANAGE = """\
import os, sys
import django.core.management
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.core.management.execute_from_command_line(sys.argv)
"""
SETTINGS = """\
SECRET_KEY = "short"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "app.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
"""
MODEL = "from django.db import models\nclass Order(models.Model):\n    name = models.CharField({})\n"
SCRIPT = """\
import sys
sys.path.insert(0, "lib")
from inside import VALUE
try:
    import no_such_accelerator
except ImportError:
    no_such_accelerator = None
raise SystemExit("its work was begun")
"""

# kind, words, files: ends with 0, or with what is said
CASES: dict[str, tuple[str, list[str], dict[str, str], str]] = {
    "gunicorn": ("gunicorn", ["-b", "127.0.0.1:1", "app:app"], {"app.py": FLASK}, ""),
    "gunicorn, a factory": ("gunicorn", ["app:make()"], {"app.py": FLASK + "def make(): return app\n"}, ""),
    "gunicorn, another folder": ("gunicorn", ["--chdir", "code", "app:app"], {"code/app.py": FLASK}, ""),
    "gunicorn dies": ("gunicorn", ["app:app"], {"app.py": "import no_such"}, "ModuleNotFoundError: No module named 'no_such'"),
    "gunicorn, no app": ("gunicorn", ["app:other"], {"app.py": FLASK}, "Failed to find attribute 'other' in 'app'"),
    "object": ("object", ["pkg.asgi:app.routes", ""], {"pkg/asgi.py": "class app: routes = 1\n"}, ""),
    "object, called": ("object", ["app:make", "call"], {"app.py": "def make(): return 1 / 0\n"}, "ZeroDivisionError"),
    "object is missing": ("object", ["app:app", ""], {"app.py": ""}, "AttributeError: module 'app' has no attribute 'app'"),
    "object ends itself": ("object", ["app:app", ""], {"app.py": "raise SystemExit('no licence')\n"}, "no licence"),
    "flask": ("flask", ["--app", "app", "routes"], {"app.py": FLASK}, ""),
    "flask dies": ("flask", ["--app", "app", "routes"], {"app.py": FLASK + "app.undefined\n"}, "AttributeError"),
    "django, warnings only": ("django", ["manage.py", "check", "--deploy"], {"shop/models.py": MODEL.format("max_length=9")}, ""),
    "django, an error": ("django", ["manage.py", "check", "--deploy"], {"shop/models.py": MODEL.format("max_length=0")}, "fields.E121"),
    "celery": ("celery", ["pkg.tasks"], {"pkg/__init__.py": "", "pkg/tasks.py": ""}, ""),
    "celery, an object": ("celery", ["pkg.app"], {"pkg/__init__.py": "app = 1\n"}, ""),
    "script": ("script", ["work.py"], {"work.py": SCRIPT, "lib/inside.py": "VALUE = 1\n"}, ""),
    "script dies": ("script", ["work.py"], {"work.py": SCRIPT, "lib/inside.py": ""}, "ImportError: cannot import name 'VALUE'"),
    "module": ("module", ["pkg"], {"pkg/__init__.py": "", "pkg/__main__.py": "from . import a\nraise SystemExit('begun')\n", "pkg/a.py": ""}, ""),
    "module dies": ("module", ["pkg.work"], {"pkg/__init__.py": "", "pkg/work.py": "import no_such\n"}, "No module named 'no_such'"),
}  # fmt: skip


def load(folder: Path, kind: str, words: list[str], root: str = "/nowhere") -> subprocess.CompletedProcess[str]:
    what = json.dumps({"kind": kind, "words": words, "root": root, "copy": str(folder)})
    source = Path(loading.__file__).read_text()
    return subprocess.run([sys.executable, "-c", source, what], cwd=folder, capture_output=True, text=True, timeout=60)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("case", CASES)
def test_what_is_loaded_and_what_is_said(tmp_path: Path, case: str) -> None:
    kind, words, files, says = CASES[case]
    if kind == "django":
        files = {"manage.py": MANAGE, "settings.py": SETTINGS, "shop/__init__.py": "", **files}
    write(tmp_path, files)
    done = load(tmp_path, kind, words)
    assert done.returncode == (1 if says else 0), done.stderr
    assert says in done.stderr
    assert not (tmp_path / "app.db").exists()


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (
            "django, an error",
            "v2.0.0 does not pass `it`: shop.Order.name: (fields.E121) 'max_length' must be a positive integer.",
        ),
        ("gunicorn dies", "v2.0.0 would not start: ModuleNotFoundError: No module named 'no_such' (it)."),
        ("object ends itself", "v2.0.0 would not start: no licence (it)."),
    ],
)
def test_the_headline_names_what_is_wrong(tmp_path: Path, case: str, says: str) -> None:
    kind, words, files, _ = CASES[case]
    write(tmp_path, {"manage.py": MANAGE, "settings.py": SETTINGS, "shop/__init__.py": "", **files})
    done = load(tmp_path, kind, words)
    ended = Completed(("python",), done.returncode, done.stdout.encode(), done.stderr.encode(), 1.0)
    error = failure(Load(kind, tuple(words), str(tmp_path), "it"), ended, "v2.0.0", tmp_path)  # type: ignore[arg-type]
    assert error.message == says
    assert not any("<frozen" in line or str(tmp_path) in line for line in error.details)


def test_threads_and_a_module_of_uwsgi_alone(tmp_path: Path) -> None:
    forever = "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\napp = 1\n"
    write(tmp_path, {"app.py": forever, "web.py": "import uwsgi\n"})
    assert load(tmp_path, "object", ["app:app", ""]).returncode == 0
    assert load(tmp_path, "object", ["web:app", ""]).returncode == CAN_NOT_TELL


def test_an_app_that_is_installed_with_e_is_imported_from_the_copy(tmp_path: Path) -> None:
    """Its folder in the checkout is on sys.path by a .pth file."""
    write(tmp_path, {"live/src/shop.py": "app = 1\n", "live/.gitdeploy/copy/src/shop.py": "import no_such\n"})
    copy = tmp_path / "live/.gitdeploy/copy"
    what = json.dumps({"kind": "object", "words": ["shop:app", ""], "root": str(tmp_path / "live"), "copy": str(copy)})
    source = f"import sys; sys.path.append({str(tmp_path / 'live/src')!r})\n" + Path(
        loading.__file__
    ).read_text().replace("from __future__ import annotations\n", "")
    done = subprocess.run([sys.executable, "-c", source, what], cwd=copy, capture_output=True, text=True, timeout=60)
    assert "No module named 'no_such'" in done.stderr
