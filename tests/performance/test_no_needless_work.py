"""What gitdeploy doesn't do: processes, requests and imports are counted here, never seconds."""

from __future__ import annotations

import json
import marshal
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.sample import Sample, Tree

# Runs gitdeploy in this very process and writes down what it started, whom it connected to and what it imported.
_WATCHED = """
import json, sys
started, connected = [], []
def note(event, arguments):
    if event == 'subprocess.Popen':
        started.append([str(word) for word in arguments[1]])
    elif event in ('os.system', 'os.fork', 'os.forkpty', 'os.posix_spawn', 'os.exec'):
        started.append([event])
    elif event in ('socket.connect', 'socket.getaddrinfo'):
        connected.append(str(arguments[1]))
sys.addaudithook(note)
report, sys.argv = sys.argv[1], ['gitdeploy', *sys.argv[2:]]
from gitdeploy.__main__ import main
code = main()
with open(report, 'w') as out:
    json.dump({'started': started, 'connected': connected, 'imported': sorted(sys.modules)}, out)
sys.exit(code)
"""
HEAVY = {"git", "rich", "requests", "pydantic", "flask", "click", "yaml", "sqlite3", "packaging"}


@dataclass(frozen=True)
class Work:
    """What one command did."""

    started: list[list[str]]
    connected: list[str]
    imported: set[str]

    def git(self) -> Counter[str]:
        """Git's subcommands and how often each was started."""
        options = {"-c", "-C"}
        found: Counter[str] = Counter()
        for words in self.started:
            if words[0].endswith("/git"):
                rest = iter(words[1:])
                for word in rest:
                    if word in options:
                        next(rest)
                    elif not word.startswith("-"):
                        found[word] += 1
                        break
        return found


def tree(version: str, files: int, greeting: str = "1.0") -> Tree:
    return {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git}\n",
        ".gitignore": "/venv\n",
        "requirements.txt": f"greeting=={greeting}\n",
        **{f"code/file{number}.py": f"{version!r}\n" for number in range(files)},
    }


class Shop(Sample):
    def work(self, *words: str) -> Work:
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", _WATCHED, report, *words], cwd=self.app, env=self.environment, capture_output=True, text=True
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(report.read_text())
        return Work(found["started"], found["connected"], set(found["imported"]))


SAME = "def same():\n    return 'same in both'\n"


@pytest.fixture(scope="module")
def shop_once(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    for version in ("1.0", "2.0"):
        shop.wheel("greeting", version, {"greeting/__init__.py": f"VERSION = {version!r}\n", "greeting/same.py": SAME})
    shop.release("v1.0.0", tree("1.0.0", 5))
    shop.release("v1.1.0", tree("1.1.0", 5, "2.0"))
    shop.release("v1.2.0", tree("1.2.0", 400, "2.0"))
    shop.install("v1.0.0", branch="main")
    shop.gitdeploy("check")
    shop.keep()
    return shop


@pytest.fixture
def shop(shop_once: Shop) -> Shop:
    shop_once.reset()
    return shop_once


def test_asking_for_the_version_starts_nothing_and_loads_next_to_nothing(shop: Shop) -> None:
    work = shop.work("--version")
    assert work.started == []
    assert not {name.partition(".")[0] for name in work.imported} & HEAVY
    assert {name for name in work.imported if name.startswith("gitdeploy.")} == {
        "gitdeploy.__main__",
        "gitdeploy.called",
    }


def test_a_check_from_the_cache_starts_nothing_and_asks_nobody(shop: Shop) -> None:
    shop.work("check")  # remembers what is live
    work = shop.work("check")
    assert (work.started, work.connected) == ([], [])
    assert not work.imported & {"requests", "git", "flask", "rich", "yaml"}


def test_status_asks_git_as_often_with_many_tags_and_files_as_with_few(shop: Shop) -> None:
    few = shop.work("status")
    for number in range(300):
        shop.git("tag", f"v0.0.{number}")
    for number in range(300):
        (shop.app / "code" / f"file{number}.py").write_text("edited\n")
    many = shop.work("status")
    assert many.git() == few.git()
    assert few.git().total() <= 4
    assert few.connected == []
    assert not few.imported & {"gitdeploy.venvs.build", "gitdeploy.deployment.plan.make", "gitdeploy.services.systemd"}


def test_an_upgrade_asks_git_as_often_for_four_hundred_files_as_for_five(shop: Shop) -> None:
    few = shop.work("upgrade", "v1.1.0").git()
    many = shop.work("upgrade", "v1.2.0").git()
    assert many.total() <= few.total() <= 21, (few, many)
    assert shop.work("rollback", "--yes").git().total() <= 14


@pytest.mark.parametrize(
    "words",
    [
        ["status"], ["check"], ["check", "--force"], ["log"], ["releases"], ["backups"], ["doctor"],
        ["upgrade", "v1.1.0", "--yes"], ["prepare", "v1.1.0"], ["backup"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_gitpython_is_not_loaded_for_what_shows_no_history(shop: Shop, words: list[str]) -> None:
    assert "git" not in shop.work(*words).imported


def test_the_plan_loads_gitpython_and_asks_two_gits_for_its_history(shop: Shop) -> None:
    work = shop.work("plan", "v1.1.0")
    assert "git" in work.imported
    assert work.git()["rev-list"] == 2  # which way it goes, and what lies between
    assert work.git()["log"] == 0


_POLLED = """
import sys
from gitdeploy.web.serving.server import make_app
app = make_app(sys.argv[1], auto_check=False)
client = app.test_client()
token = app.extensions['gitdeploy']['gitdeploy'].store.add_token('li', read_only=False)
headers = {'Authorization': f'Bearer {token}'}
for path in ('/', '/api/status', '/api/check-update', '/api/deployments', '/api/backup-list', '/metrics', '/api/plan'):
    print(path, client.get(f'/upgrade{path}', headers=headers).status_code, 'git' in sys.modules)
"""


def test_the_page_is_polled_without_gitpython(shop: Shop) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _POLLED, str(shop.app)], env=shop.environment, capture_output=True, text=True
    )
    assert done.stderr == ""
    *polled, plan = (line.split() for line in done.stdout.splitlines())
    assert {tuple(said) for _, *said in polled} == {("200", "False")}, done.stdout
    assert plan == ["/api/plan", "200", "True"]


def test_one_read_tree_makes_the_index_that_goes_live(shop: Shop) -> None:
    assert shop.work("upgrade", "v1.1.0").git()["read-tree"] == 1
    assert shop.git("status", "--porcelain") == ""


def test_a_bumped_package_keeps_the_bytecode_of_its_unchanged_modules(shop: Shop) -> None:
    live = next((shop.app / "venv").glob("lib/python*/site-packages"))
    for name in ("__init__", "same"):
        subprocess.run(
            [shop.app / "venv/bin/python", "-m", "compileall", "-q", live / "greeting" / f"{name}.py"], check=True
        )
    before = _code(live / "greeting", "same")
    work = shop.work("upgrade", "v1.1.0")
    packages = next((shop.app / "venv").resolve().glob("lib/python*/site-packages")) / "greeting"
    assert _code(packages, "same") == before
    for name in ("__init__", "same"):
        source = packages / f"{name}.py"
        header = _bytecode(packages, name).read_bytes()[:16]
        assert int.from_bytes(header[8:12], "little") == int(source.stat().st_mtime), name
        assert int.from_bytes(header[12:16], "little") == source.stat().st_size, name
    compiling = [words for words in work.started if "SourceFileLoader" in " ".join(words)]
    assert len(compiling) == 1
    said = subprocess.run(
        [shop.app / "venv/bin/python", "-c", "import greeting; print(greeting.VERSION)"], capture_output=True
    )
    assert said.stdout == b"2.0\n"


def test_the_old_venv_is_not_touched_by_keeping_its_bytecode(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v1.1.0")
    state = shop.venv_state()
    shop.gitdeploy("rollback", "--yes")
    said = subprocess.run(
        [shop.app / "venv/bin/python", "-c", "import greeting; print(greeting.VERSION)"], capture_output=True
    )
    assert said.stdout == b"1.0\n"
    assert shop.venv_state() != state


def _bytecode(folder: Path, name: str) -> Path:
    return next((folder / "__pycache__").glob(f"{name}.*.pyc"))


def _code(folder: Path, name: str) -> bytes:
    data = _bytecode(folder, name).read_bytes()[16:]
    assert marshal.loads(data)
    return data


# ---- what was prepared is used ----


def test_what_was_prepared_is_used_whole(shop: Shop) -> None:
    shop.gitdeploy("prepare", "v1.1.0")
    work = shop.work("upgrade", "v1.1.0")
    assert not work.git().keys() & {"fetch", "checkout-index"}
    assert not [words for words in work.started if "pip" in words]
    assert "greeting==2.0" in shop.packages()


def test_what_was_prepared_is_used_in_an_app_that_was_copied_since(shop: Shop) -> None:
    shop.gitdeploy("prepare", "v1.1.0")
    copy = shop.folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(shop.app, copy, symlinks=True)  # every link of the stage is a file of its own now
    shutil.rmtree(shop.app)
    copy.rename(shop.app)
    work = shop.work("upgrade", "v1.1.0")
    assert "checkout-index" not in work.git()
    shop.gitdeploy("rollback", "--yes")
    assert (shop.app / "code/file0.py").read_text() == "'1.0.0'\n"


def test_a_file_that_changed_since_costs_the_prepared_files_but_not_the_prepared_venv(shop: Shop) -> None:
    shop.gitdeploy("prepare", "v1.1.0")
    file = shop.app / "code/file0.py"
    file.write_text("'1.0.0'\n")  # the same bytes at another time
    work = shop.work("upgrade", "v1.1.0")
    assert "checkout-index" in work.git()
    assert not [words for words in work.started if "pip" in words]
    assert file.read_text() == "'1.1.0'\n"
    assert "greeting==2.0" in shop.packages()


def test_a_prepared_file_that_was_damaged_since_is_staged_anew(shop: Shop) -> None:
    shop.gitdeploy("prepare", "v1.1.0")
    (staged,) = (shop.app / ".gitdeploy/stage").glob("*/new/code/file1.py")
    staged.unlink()
    staged.write_text("'9.9.9'\n")
    shop.gitdeploy("upgrade", "v1.1.0")
    assert (shop.app / "code/file1.py").read_text() == "'1.1.0'\n"


def test_the_log_says_how_long_both_releases_could_be_met(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v1.1.0")
    log = shop.gitdeploy("-v", "log", "1").text
    assert "ms from the first rename to the venv" in log
