"""`gitdeploy rehearse`: a release on a copy of the app and of its SQLite file, with nothing live touched and nothing left."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import needs
from support.sample import Files, Program, Sample, differences

from gitdeploy.app import App
from gitdeploy.site.second_half import note_waiting

SERVE = """\
import http.server, sqlite3, sys
print("WARNING: the cache is cold", file=sys.stderr, flush=True)
db = sqlite3.connect("instance/app.db")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            db.execute({query!r}).fetchall()
            code, body = 200, self.headers["Host"].encode()
        except sqlite3.Error as error:
            code, body = 500, str(error).encode()
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
{dies}
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
# Says what it sees, and tries what a rehearsal must not be able to do.
MIGRATE = """\
#!/usr/bin/python3
import os, pathlib, socket, sqlite3
print("sees", {{name: os.environ.get(name) for name in ("GITDEPLOY_REHEARSAL", "MAIL", "SECRET_KEY", "STRIPE_API_KEY")}})
print("emptied", [line[:-1] for line in pathlib.Path(".env").read_text().split() if line.endswith("=")])
try:
    socket.create_connection(("127.0.0.1", int(os.environ["OUTSIDE"])), 2)
    print("reached the world")
except OSError as error:
    print("no network")
try:
    socket.socket(socket.AF_UNIX).connect(os.environ.get("SOCKET", "/nothing"))
    print("reached a socket")
except OSError as error:
    print("no socket")
for name in ("instance/written", "instance/disk/written"):
    try:
        pathlib.Path(bytes.fromhex(os.environ["LIVE"]).decode(), name).write_text("by a rehearsal")
        print("wrote to the live files")
    except OSError as error:
        print("no writing")
try:
    sqlite3.connect("instance/app.db").executescript({statements!r})
except sqlite3.Error as error:
    raise SystemExit(str(error))
"""
CONFIG = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
git: {keep: [.env, instance]}
hooks: {dir: hooks}
backup: {databases: ["sqlite:///instance/app.db"]}
health: {url: "http://shop.example:8000/health", successes: 1, timeout: 6, interval: 0.1}
rehearse: {command: "exec python3 serve.py {port}", env: {MAIL: "off"}}
check: {upgrade: all, rehearse: true}
"""
OLD = "SELECT name FROM person"


def tree(version: str, query: str = OLD, migrate: str = "", dies: str = "") -> Files:
    found: Files = {
        "deploy.yaml": CONFIG,
        ".gitignore": "/.env\n/instance\n",
        "VERSION": version,
        "serve.py": SERVE.format(query=query, dies=dies),
    }
    if migrate:
        found["hooks/migrate"] = Program(MIGRATE.format(statements=migrate))
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = Sample(tmp_path_factory.mktemp("shop"), venv=False)
    made.release("v1.0.0", tree("1.0.0"))
    more = "ALTER TABLE person ADD COLUMN mail TEXT; INSERT INTO person (name) VALUES ('new')"
    made.release("v1.1.0", tree("1.1.0", migrate=more))
    made.release("v1.2.0", tree("1.2.0", "SELECT first FROM person", "ALTER TABLE person RENAME COLUMN name TO first"))
    made.release("v1.3.0", tree("1.3.0", "SELECT name FROM people", "ALTER TABLE person RENAME TO people"))
    made.release("v1.4.0", tree("1.4.0", migrate="ALTER TABLE nobody ADD COLUMN mail TEXT"))
    made.release("v1.5.0", tree("1.5.0", dies="raise SystemExit('no such setting: COLOUR')"))
    halves = tree("1.5.1", "SELECT count(*) FROM person", "ALTER TABLE person ADD COLUMN mail TEXT")
    second = "import sqlite3; sqlite3.connect('instance/app.db').execute('ALTER TABLE person DROP COLUMN name')"
    halves["deploy.yaml"] = CONFIG.replace(
        "dir: hooks", f"dir: hooks, migrate-after: ['touch {made.app}/instance/its']"
    )
    made.release("v1.4.1", {**halves, "hooks/migrate-after": Program(f"#!/usr/bin/python3\n{second}\n")})
    made.release("v1.4.1.1", tree("1.4.1.1", migrate="ALTER TABLE person ADD COLUMN name TEXT"))
    unlucky = "#!/bin/sh\necho 'redis.exceptions.ConnectionError: Connection refused' >&2; exit 1\n"
    made.release("v1.4.2", {**tree("1.4.2"), "hooks/migrate": Program(unlucky)})
    large = "#!/bin/sh\nuntil ! cat /dev/zero >>instance/log; do :; done; exit 1\n"
    made.release("v1.4.3", {**tree("1.4.3"), "hooks/migrate": Program(large)})
    made.install("v1.0.0", branch="main")
    (made.app / ".env").write_text("STRIPE_API_KEY=sk_live_1234567890\nSECRET_KEY=own\n")
    (made.app / "instance").mkdir()
    with closing(sqlite3.connect(made.app / "instance/app.db")) as db:
        db.executescript("CREATE TABLE person (name TEXT); INSERT INTO person VALUES ('Zoë')")
    made.keep(remote=True)
    return made


@pytest.fixture
def app(shop: Sample) -> Sample:
    shop.reset()
    return shop


@contextmanager
def untouched(app: Sample) -> Iterator[None]:
    """Nothing live is otherwise afterwards, and nothing of a rehearsal is left."""
    before = app.state()
    yield
    assert differences(before, app.state()) == []
    assert list((app.app / ".gitdeploy/rehearsals").glob("*")) == []
    assert at_work(app) == []


def at_work(app: Sample) -> list[str]:
    """Processes that have the app's folder in their command line or as their own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != os.getpid() and os.readlink(entry / "cwd").startswith(f"{app.app}/.gitdeploy"):
                found.append((entry / "cmdline").read_text())
        except OSError:
            pass
    return found


def rehearse(app: Sample, tag: str, code: int = 0, **variables: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(app.gitdeploy("rehearse", tag, "--json", code=code, env=variables).out)
    return found


def test_what_runs_in_it_sees_the_copy_alone(app: Sample) -> None:
    needs.namespace("--net")
    needs.mounts()
    disk, by = app.app / "instance/disk", str(app.folder / "s")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(disk)], check=True)
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as listening,
            socket.socket(socket.AF_UNIX) as local,
            untouched(app),
        ):
            local.bind(by)
            local.listen()
            where = {"OUTSIDE": str(listening.getsockname()[1]), "SOCKET": by, "LIVE": str(app.app).encode().hex()}
            found = rehearse(app, "v1.1.0", 0, **where)
            assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
        os.unlink(by)
    log = "\n".join(found["log"])
    seen = "sees {'GITDEPLOY_REHEARSAL': '1', 'MAIL': 'off', 'SECRET_KEY': '***', 'STRIPE_API_KEY': None}"
    for line in (seen, "emptied ['STRIPE_API_KEY']", "no network", "no socket", "no writing"):
        assert line in log
    assert "wrote to the live files" not in log
    told = found["rehearsal"]
    assert (told["passed"], told["back"], told["apart"], told["withheld"]) == (True, "works", True, ["STRIPE_API_KEY"])
    assert told["warnings"] == ["WARNING: the cache is cold"]
    assert (told["databases"][0]["rows_before"], told["databases"][0]["rows_after"]) == ({"person": 1}, {"person": 2})
    # It is prepared, and goes live from there.
    said = app.gitdeploy("upgrade", "v1.1.0", "--unhealthy", "--json", code=3, env={"OUTSIDE": "9", "LIVE": ""}).out
    assert "stage" not in [step["name"] for step in json.loads(said)["steps"]]


@pytest.mark.parametrize(
    ("tag", "code", "back", "told"),
    [
        ("v1.2.0", 0, "fails", r"the old release fails on the new schema: .*no such column: name"),
        ("v1.3.0", 0, "fails", r"the old release fails on the new schema: .*no such table: person"),
        ("v1.4.0", 1, "not_tried", r"failed at migrate: hooks/migrate failed .*no such table: nobody"),
        (
            "v1.5.0",
            1,
            "not_tried",
            r"failed at health: the rehearsed app ended with exit code 1: no such setting: COLOUR",
        ),
    ],
)
def test_what_it_came_to_is_kept_and_shown_with_the_plan(
    app: Sample, tag: str, code: int, back: str, told: str
) -> None:
    with untouched(app):
        found = rehearse(app, tag, code, OUTSIDE="9", LIVE=str(app.app).encode().hex())["rehearsal"]
    assert (found["passed"], found["back"]) == (code == 0, back)
    shown = app.gitdeploy("plan", tag, "--unhealthy").out
    assert re.search(rf"rehearsed \d.* ago: .*{told}", shown), shown
    if code == 0:
        app.git("commit", "-q", "--allow-empty", "-m", "another commit")
        assert "another commit is live since" in app.gitdeploy("plan", tag, "--unhealthy", code=None).out
    with (app.app / "deploy.yaml").open("a") as file:
        file.write("maintenance: {file: run/closed}\n")
    app.git("commit", "-qam", "other settings")
    assert "deploy.yaml was changed since" in app.gitdeploy("plan", tag, "--unhealthy", code=None).out


def test_a_failure_of_what_is_around_it_is_no_verdict_on_the_release(app: Sample) -> None:
    with untouched(app):
        found = rehearse(app, "v1.4.2", 1)
    told = "The rehearsal of v1.4.2 stopped at migrate, which tells nothing about the release: hooks/migrate failed"
    assert found["error"]["message"].startswith(told)
    assert "rehearsed" not in app.gitdeploy("plan", "v1.4.2", "--unhealthy").out


@pytest.mark.parametrize(
    "point",
    [
        "rehearsal begun", "scratch put down", "database dumped", "database restored", "child serving",
        "rehearsal's folder removed",
    ],
)  # fmt: skip
def test_killed_at_a_point_the_next_command_removes_what_it_left(app: Sample, point: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.write_text(f"gitdeploy fault plan: this process is meant to be killed\nkill-at {point}\n")
    with untouched(app):
        done = app.gitdeploy("rehearse", "v1.1.0", code=None, env={"GITDEPLOY_FAULT_PLAN": str(plan), "OUTSIDE": "9", "LIVE": str(app.app).encode().hex()})  # fmt: skip
        assert done.code == -signal.SIGKILL, done.text
        if point == "scratch put down":  # what the system refuses stops no command
            next(app.app.glob(".gitdeploy/rehearsals/*/app/instance")).joinpath("app.db").mkdir()
            assert "instance/app.db could not be removed: Is a directory." in app.gitdeploy("recover").err
        app.gitdeploy("recover")


def test_left_running_to_be_looked_at(app: Sample) -> None:
    with untouched(app):
        running = app.start(
            "rehearse",
            "v1.1.0",
            "--keep",
            env={"OUTSIDE": "9", "LIVE": str(app.app).encode().hex()},
            stderr=subprocess.PIPE,
        )
        assert running.stdout is not None
        address = running.stdout.readline().decode().strip()
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.read() == address.removeprefix("http://").rstrip("/").encode()
        app.gitdeploy("backup")  # deployments are not held up meanwhile, and leave it alone
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.status == 200
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
        assert running.returncode == 0, said
        assert re.search(rb"ssh -N -L \d+:127.0.0.1:\d+ \S+@\S+", said)


def test_what_speaks_against_it_is_said_before_anything_is_made(app: Sample, tmp_path: Path) -> None:
    """A database that no variable leads to: a migration would reach the live one. One outside the checkout is read-only."""
    outside = tmp_path / "instance/written"
    outside.parent.mkdir()
    with closing(sqlite3.connect(outside)) as db:
        db.execute("CREATE TABLE person (name TEXT)")
    told = (app.app / "deploy.yaml").read_text()
    (app.app / "deploy.yaml").write_text(told.replace("sqlite:///instance/app.db", f"sqlite:///{outside}"))
    app.git("commit", "-qam", "another database")
    words = ("rehearse", "v1.1.0", "--discard-local-changes")
    variables = {"OUTSIDE": "9", "LIVE": ""}
    with untouched(app):
        said = app.gitdeploy(*words, code=7, env=variables).err
        assert f"No variable of the app's environment leads to the database {outside}" in said
    hint = re.search(r"rehearse: \{env: \{(DB_NAME: .*)\}\}", said)
    assert hint
    told = (app.app / "deploy.yaml").read_text()
    told = told.replace('env: {MAIL: "off"}', f"env: {{{hint[1]}}}")
    told = told.replace("exec", f"touch {app.app}/instance/its && exec")  # in the copy: what is live is read-only
    (app.app / "deploy.yaml").write_text(told)
    needs.mounts()
    data = outside.read_bytes()
    with untouched(app):
        log = app.gitdeploy(*words, "--json", env={**variables, "LIVE": str(tmp_path).encode().hex()}).out
    assert "no writing" in log
    assert outside.read_bytes() == data
    (app.app / "deploy.yaml").write_text(told.partition("rehearse:")[0])  # and without `check`
    said = app.gitdeploy(*words, "--keep", code=2).err
    assert "Set it in deploy.yaml: rehearse: {command: ...}" in said


def test_migrations_in_two_halves(app: Sample) -> None:
    """The old release is tried between them, as a rollback would come; the second half after that."""
    with untouched(app):
        found = rehearse(app, "v1.4.1", OUTSIDE="9", LIVE="")
    assert [step["name"] for step in found["steps"]][-4:] == ["migrate", "health", "old-release", "migrate-after"]
    assert (found["rehearsal"]["passed"], found["rehearsal"]["back"]) == (True, "works")
    assert re.search(r"migration [\d.]+ s, its second half [\d.]+ s, healthy", found["message"])

    app.git("fetch", "-q", "origin", "refs/tags/v1.4.1:refs/tags/v1.4.1")
    app.git("checkout", "-q", "--detach", "v1.4.1")
    with closing(sqlite3.connect(app.app / "instance/app.db")) as db:
        db.execute("ALTER TABLE person ADD COLUMN mail TEXT")
    with App.open(app.app).site.open_database() as database:
        note_waiting(database, App.open(app.app).live(), 1, "later")
    with untouched(app):
        found = rehearse(app, "v1.4.1.1", OUTSIDE="9", LIVE="")
    names = [step["name"] for step in found["steps"]]
    assert names.index("scratch") < names.index("contract") < names.index("migrate"), "as the upgrade will"


def test_watch_upgrades_only_after_a_rehearsal_has_passed(app: Sample) -> None:
    """A failed one is a failure that is told, and is not made again by itself."""
    with untouched(app):
        said = app.gitdeploy("watch", "--once", code=1).err
        assert "no such setting: COLOUR" in said
        assert "tried again at" in app.gitdeploy("watch", "--once").out
    app.release("v1.6.0", tree("1.6.0"))
    app.gitdeploy("watch", "--once", code=1)  # what is live is unhealthy, so that the upgrade itself is refused
    deployments = [(each["action"], each["status"]) for each in json.loads(app.gitdeploy("log", "--json").out)]
    assert deployments == [("upgrade", "refused"), ("rehearse", "succeeded"), ("rehearse", "failed")]


@contextmanager
def small_disk(app: Sample) -> Iterator[None]:
    """The checkout on a disk of its own of 100 MB."""
    needs.mounts()
    kept = app.folder / "kept"
    app.app.rename(kept)
    app.app.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", str(app.app)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", str(app.app)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(app.app)], check=True)
        app.app.rmdir()
        kept.rename(app.app)


def test_a_disk_with_too_little_room(app: Sample) -> None:
    """Refused before anything is made; what the disk has is the live app's."""
    with small_disk(app):
        fill, room = app.app / ".git/fill", os.statvfs(app.app)
        for left in (4 << 20, 60 << 20):
            fill.write_bytes(b"x" * (room.f_bavail * room.f_frsize - left))
            with untouched(app):
                said = app.gitdeploy("rehearse", "v1.1.0", code=1).err
                told = r"too little room for a rehearsal on the disk of \S+: .* free, .* needed\."
                assert re.search(told, said), said
        fill.unlink()
        with untouched(app):
            app.gitdeploy("rehearse", "v1.1.0", env={"OUTSIDE": "9", "LIVE": ""})


def test_a_disk_that_fills_in_the_middle(app: Sample, tmp_path: Path) -> None:
    """By others, at a point of it, or by what runs in it: it is no verdict on the release, and nothing is left."""
    plan = tmp_path / "plan"
    variables = {"OUTSIDE": "9", "LIVE": "", "GITDEPLOY_FAULT_PLAN": str(plan)}
    full = r"[Nn]o space left on device|disk is full|before it is full"
    with small_disk(app):
        fill = app.app / ".git/fill"
        for point, told in (
            ("journalled prepare", r"Error: The disk is full\.\n  Make room"),
            ("scratch put down", rf"The database instance/app\.db can't be restored: ({full})|before it is full"),
            ("database restored", rf"stopped at migrate, which tells nothing about the release: .*({full})"),
            ("child serving", rf"stopped at health, which tells nothing about the release: .*({full})"),
        ):
            plan.write_text(f"gitdeploy fault plan: this process is meant to be killed\nfill-at {fill} {point}\n")
            with untouched(app):
                said = app.gitdeploy("rehearse", "v1.1.0", code=1, env=variables).err
                assert re.search(told, said), said
                assert "shop runs v1.0.0 as before; nothing live was touched." in said
                fill.unlink()
        plan.unlink()
        with untouched(app):
            said = app.gitdeploy("rehearse", "v1.4.3", code=1, env=variables).err
        assert re.search(rf"stopped at migrate, which tells nothing about the release: .*({full})", said), said
        assert json.loads(app.gitdeploy("log", "--json").out)[0]["status"] == "failed"
        assert "rehearsed" not in app.gitdeploy("plan", "v1.4.3", "--unhealthy").out
