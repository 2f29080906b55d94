"""What dies at import never goes live: the release is loaded beside the live app, which goes on serving."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from support.sample import Program, Tree, differences
from support.served import Served
from support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("check-before-the-switch")

APP = """\
import json, os, sqlite3
{more}
def app(environ, start):
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({{"version": open("VERSION").read(), "pid": os.getppid()}}).encode()]
"""
START = "#!/bin/sh\nmkdir -p run\n{before}exec venv/bin/gunicorn -b 127.0.0.1:{port} --pid run/pid --daemon --log-file run/log app:app\n"
RESTART = "#!/bin/sh\nkill $(cat run/pid); while [ -e run/pid ]; do sleep 0.05; done; ./start\n"
MISSING = "import no_such_module\n"
TOLD = "would not start: ModuleNotFoundError: No module named 'no_such_module' (gunicorn app:app)."


class Site(Served):
    """A gunicorn with a pid file."""

    def tree(self, version: str, more: str = "", *, service: str = "pidfile: run/pid", **files: Any) -> Tree:
        settings = (
            f"app: {{name: shop}}\nsource: {{type: git}}\nhooks: {{dir: hooks}}\nservice: {{{service}, timeout: 10}}\n"
            f"health: {{url: 'http://127.0.0.1:{self.port}/', version: {{json: version}}, successes: 1, interval: 0.1, timeout: 5}}\n"
        )
        return {
            "deploy.yaml": settings,
            ".gitignore": "/venv\n/run/\n/instance/\n__pycache__/\n",
            "requirements.txt": "gunicorn\ngreeting==1.0\n",
            "VERSION": version,
            "app.py": APP.format(more=more),
            "start": Program(START.format(port=self.port, before="")),
            "restart.sh": Program(RESTART),
            **{name.replace("__", "/"): content for name, content in files.items()},
        }

    def have(self, tag: str, tree: Tree) -> None:
        """TREE is TAG, and what is in the checkout."""
        self.release(tag, tree)
        self.git("fetch", "-q", "origin", "tag", tag)
        self.git("checkout", "-q", tag)

    def serve(self) -> None:
        self._run("./start")
        wait_until(lambda: self.version() != "", self.log)


@pytest.fixture(scope="module")
def site_once(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("check"))
    site.accepts = ("service.pidfile", "service.command", "service.import_test")
    site.real_wheels("gunicorn")
    for version in ("1.0", "2.0"):
        site.wheel("greeting", version)
    site.release("v1.0.0", site.tree("1.0.0"))
    site.install("v1.0.0")
    site.keep(remote=True)
    return site


@pytest.fixture
def site(site_once: Site) -> Iterator[Site]:
    site_once.reset()
    yield site_once
    site_once.stop()


def state(site: Site) -> dict[str, Any]:
    """Without what the running server writes."""
    found = site.state()
    return {**found, "files": {path: facts for path, facts in found["files"].items() if not path.startswith(b"run")}}


def pid(site: Site) -> str:
    return (site.app / "run/pid").read_text()


@pytest.mark.parametrize("service", ["pidfile: run/pid", "command: ./restart.sh"])
def test_a_release_that_dies_at_import_never_goes_live(site: Site, service: str) -> None:
    site.have("v1.0.1", site.tree("1.0.1", service=service))
    site.serve()
    before, served = state(site), pid(site)
    site.release("v2.0.0", site.tree("2.0.0", MISSING, service=service))
    assert "import test     gunicorn app:app" in site.gitdeploy("plan", "v2.0.0").out
    done = site.gitdeploy("upgrade", "v2.0.0", code=1)
    assert TOLD in done.err
    assert (site.version(), pid(site)) == ("1.0.1", served)
    assert differences(before, state(site)) == []
    assert not list((site.app / ".gitdeploy/stage").iterdir())
    assert "failed here before" in site.gitdeploy("upgrade", "--yes", code=7).err
    site.gitdeploy("prepare", "v2.0.0", code=1)
    assert differences(before, state(site)) == []


def test_it_can_be_turned_off(site: Site) -> None:
    service = "command: ./restart.sh, import_test: false"
    site.have("v1.0.1", site.tree("1.0.1", service=service))
    site.serve()
    site.release("v2.0.0", site.tree("2.0.0", MISSING, service=service))
    done = site.gitdeploy("upgrade", "v2.0.0", code=3)
    assert "would not start" not in done.err


NEEDS = """\
import greeting
SECRET = os.environ["SHOP_SECRET"]
assert (open("conf/new").read(), open("instance/kept").read(), greeting.VERSION) == ("2", "kept", "2.0")
sqlite3.connect("instance/app.db").execute("INSERT INTO orders VALUES (2)").connection.commit()
sqlite3.connect(os.environ["SHOP_DB"]).execute("CREATE TABLE IF NOT EXISTS more (x)")
"""


def test_what_an_app_needs_at_import_is_there_and_live_data_are_left_alone(site: Site) -> None:
    """Its env file, files by its working directory, untracked ones too, new packages, its database by path and by address."""
    database = site.app / "instance/app.db"
    database.parent.mkdir()
    (site.app / "instance/kept").write_text("kept")
    with closing(sqlite3.connect(database)) as live:
        live.executescript("CREATE TABLE orders (x); INSERT INTO orders VALUES (1)")
    (site.app / ".env").write_text(f"SHOP_SECRET=something\nSHOP_DB={database}\n")
    site.have("v1.0.1", site.tree("1.0.1", start=Program(START.format(port=site.port, before="set -a; . ./.env\n"))))
    site.serve()
    kept = database.read_bytes()
    files = {"conf/new": "2", "requirements.txt": "gunicorn\ngreeting==2.0\n"}
    site.release("v2.0.0", site.tree("2.0.0", NEEDS + MISSING, **files))
    assert TOLD in site.gitdeploy("upgrade", "v2.0.0", code=1).err, "all before it was there"
    assert database.read_bytes() == kept
    site.release("v2.0.1", site.tree("2.0.1", NEEDS, **files))
    site.gitdeploy("upgrade", "v2.0.1")
    assert site.version() == "2.0.1"


def test_what_fails_for_the_live_release_too_blocks_nothing(site: Site) -> None:
    """Its server gives it what nothing else can see."""
    only_there = "assert os.environ['ONLY_THERE']\n"
    start = Program(START.format(port=site.port, before="export ONLY_THERE=1\n"))
    service = "command: ./restart.sh"
    site.have("v1.1.0", site.tree("1.1.0", only_there, service=service, start=start))
    site.release("v1.2.0", site.tree("1.2.0", only_there, service=service, start=start))
    site.serve()
    done = site.gitdeploy("upgrade", "v1.2.0")
    assert "what is live can't be loaded so, either" in done.err
    assert site.version() == "1.2.0"


CHECK = """\
#!/bin/sh
set -eu
[ "$GITDEPLOY_ROOT" = "$PWD" ]; [ "$GITDEPLOY_STAGE" = check ]
echo "$(cat VERSION) $(python -c 'import greeting; print(greeting.VERSION)')" >> {told}
touch made-here
[ ! -e {fails} ]
"""


def test_check_hooks_run_the_new_code_in_the_new_venv(site: Site) -> None:
    site.serve()
    told, fails = site.folder / "told", site.folder / "fails"
    for file in (told, fails):
        with suppress(FileNotFoundError):
            file.unlink()
    hook = Program(CHECK.format(told=told, fails=fails))
    files: dict[str, Any] = {"hooks/check": hook, "requirements.txt": "gunicorn\ngreeting==2.0\n"}
    site.release("v2.0.0", site.tree("2.0.0", **files))
    fails.touch()
    before, served = state(site), pid(site)
    assert json.loads(site.gitdeploy("plan", "v2.0.0", "--json").out)["hooks"]["check"] == ["hooks/check"]
    assert "hooks/check failed (exit code 1)" in site.gitdeploy("upgrade", "v2.0.0", code=1).err
    assert told.read_text() == "2.0.0 2.0\n"
    assert (pid(site), differences(before, state(site))) == (served, [])
    fails.unlink()
    site.gitdeploy("upgrade", "v2.0.0")
    assert not (site.app / "made-here").exists()
    assert not list((site.app / ".gitdeploy/stage").iterdir())


def test_killed_there_nothing_live_was_touched(site: Site) -> None:
    site.serve()
    before, served = state(site), pid(site)
    hook = Program("#!/bin/sh\nkill -9 $PPID; sleep 30\n")
    site.release("v2.1.0", site.tree("2.1.0", hooks__check=hook))
    site.gitdeploy("upgrade", "v2.1.0", code=-9)
    assert (site.version(), pid(site)) == ("1.0.0", served)
    site.gitdeploy("recover")
    assert (pid(site), differences(before, state(site))) == (served, [])
    assert not list((site.app / ".gitdeploy/stage").iterdir())
