"""`gitdeploy web --all`: one page and one login before the pages of several apps, each in a process of its own."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support import needs
from support.sample import PROJECT
from support.waiting import free_port, wait_until
from web.conftest import json_of

from gitdeploy.several.listed import read_list
from gitdeploy.web.access import guard
from gitdeploy.web.access.store import Store
from gitdeploy.web.page.document import FOLDER
from gitdeploy.web.serving.together import make_front
from gitdeploy.web.shared import front
from gitdeploy.web.shared.behind import Caller

pytestmark = pytest.mark.xdist_group(__name__)  # one page for all of them

ROOT = os.geteuid() == 0
OWNERS = (needs.NOBODY, 4321) if ROOT else (os.geteuid(), os.geteuid())
PAGE_USER = "games"  # any user that owns nothing of this; it is there on every Debian

MAKE = """set -e
git init -q -b main remote; cd remote
printf 'app: {name: app}\\nsource: {type: git}\\nhooks: {dir: hooks}\\nhealth: {command: "test -e ../slow && sleep 60; test ! -e ../ill"}\\n' > deploy.yaml
echo "venv" > .gitignore; mkdir hooks; printf '#!/bin/sh\\nid -u > ../migrated-by\\n' > hooks/migrate; chmod +x hooks/migrate
git add -A; git commit -qm one; git tag -a -m one v1.0.0
echo 2 > VERSION; git add -A; git commit -qm two; git tag -a -m two v2.0.0
cd ..; git clone -q remote app; cd app; git checkout -q v1.0.0
"""


class Together:
    """The page of two apps of two owners (of one, where the tests are no root's)."""

    def __init__(self, top: Path) -> None:
        self.top, self.list, self.port = top, top / "apps.yaml", free_port()
        if ROOT:
            self.python, more = needs.python_for_others()
        else:
            self.python, more = sys.executable, {}
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(PROJECT),
            "GITDEPLOY_APPS": str(self.list),
            **more,
        }
        for name, owner in zip(("shop", "wiki"), OWNERS, strict=True):
            self.make(name, owner)
        self.process: subprocess.Popen[str] | None = None
        self.token = self.reader = ""

    def make(self, name: str, owner: int) -> None:
        folder = self.top / name
        folder.mkdir()
        os.chown(folder, owner, owner if ROOT else -1)
        identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        words = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups"] if ROOT else []
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **identity}
        subprocess.run([*words, "sh", "-c", MAKE], cwd=folder, env=environment, check=True, timeout=60)
        self.type("apps", "add", str(folder / "app"), "--name", name)

    def type(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [self.python, "-P", "-m", "gitdeploy", *words],
            cwd="/", env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self) -> None:
        log = self.top / "log"
        words = ("web", "--all", "--user", PAGE_USER, "--port", str(self.port))
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [self.python, "-P", "-m", "gitdeploy", *words],
                cwd="/", env=self.environment, stdout=out, stderr=out, text=True, start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: "Log in" in log.read_text(), log.read_text)
        if not self.token:
            self.token = self.type("web", "--all", "--user", PAGE_USER, "token", "add", "li").strip()
            self.reader = self.type(
                "web", "--all", "--user", PAGE_USER, "token", "add", "reader", "--read-only"
            ).strip()
        wait_until(lambda: all(row["error"] is None for row in self.rows()), self.rows)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0

    def members(self) -> dict[int, int]:
        """pid -> uid of all processes of the page."""
        assert self.process is not None
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                if entry.name.isdigit() and f"--port\0{self.port}\0".encode() in (entry / "cmdline").read_bytes():
                    found[int(entry.name)] = entry.stat().st_uid if not ROOT else _uid(entry)
        return found

    def ask(self, path: str, body: Any = None, *, token: str | None = "", **headers: str) -> tuple[int, Any, Any]:
        """(status, body, headers)."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/upgrade{path}",
            data=json.dumps(body).encode() if body is not None else None,
            headers={**sent, **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text, status, answered = answer.read().decode(), answer.status, answer.headers
        except urllib.error.HTTPError as error:
            with error:
                text, status, answered = error.read().decode(), error.code, error.headers
        return status, json.loads(text) if "json" in answered.get("Content-Type", "") else text, answered

    def rows(self) -> list[Any]:
        status, said, _ = self.ask("/api/apps")
        assert status == 200, said
        found: list[Any] = said["data"]
        return found


def _uid(entry: Path) -> int:
    line = next(line for line in (entry / "status").read_text().splitlines() if line.startswith("Uid:"))
    return int(line.split()[2])


@pytest.fixture(scope="module")
def together() -> Iterator[Together]:
    if ROOT:
        needs.gitdeploy_for_others()
    with TemporaryDirectory(prefix="gitdeploy-together-") as temporary:
        Path(temporary).chmod(0o755)
        made = Together(Path(temporary))
        made.start()
        try:
            yield made
        finally:
            if made.process is not None and made.process.poll() is None:
                made.stop()
                assert made.members() == {}, "none of its processes is left"


def test_each_process_is_of_whom_it_should_be(together: Together) -> None:
    if not ROOT:
        pytest.skip("needs root, which serves apps of several users")
    uids = sorted(together.members().values())
    page = pwd.getpwnam(PAGE_USER).pw_uid
    # One that starts the others, and for each app the small one that root leaves beside it.
    assert uids == sorted([0, 0, 0, page, *OWNERS])
    assert together.list.parent.joinpath("gitdeploy-page").stat().st_uid == page


def test_one_page_shows_all_apps_and_leads_to_each(together: Together) -> None:
    status, page, headers = together.ask("/")
    assert status == 200
    assert 'href="/upgrade/shop/"' in page
    assert 'href="/upgrade/wiki/"' in page
    assert page.count("<strong>v") == 2
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    status, own, headers = together.ask("/wiki/")
    assert status == 200
    assert 'data-base="/upgrade/wiki"' in own
    assert '<a class="all-apps" href="/upgrade/">' in own
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    for name in ("page.js", "page.css", "icon.svg"):
        assert together.ask(f"/wiki/static/{name}", token=None)[0] == 200
    status, part, _ = together.ask("/part/apps", **{"Accept-Language": "zh"})
    assert status == 200
    assert re.search("[\u4e00-\u9fff]", part), "in the language of the reader"


def test_the_api_of_each_app_is_behind_its_name(together: Together) -> None:
    assert [(row["name"], row["running"], row["error"]) for row in together.rows()] == [
        ("shop", False, None),
        ("wiki", False, None),
    ]
    for name in ("shop", "wiki"):
        _, said, _ = together.ask(f"/{name}/api/status")
        assert said["data"]["path"] == str(together.top / name / "app")
        assert together.ask(f"/{name}/api/openapi.json")[1]["servers"] == [{"url": f"/upgrade/{name}"}]
    assert together.ask("/nothing/api/status")[0] == 404
    assert together.ask("/shop/api/nothing")[0] == 404
    assert together.ask("/shop/api/status", {})[0] == 405
    status, said, _ = together.ask("/api/apps", token=None)
    assert (status, said["kind"]) == (401, "unauthorized")
    assert "`gitdeploy web --all token add NAME`" in said["hint"]
    assert "apps.yaml" in together.ask("/api/apps", Host="evil.example")[1]["hint"]


def test_who_may_not_at_the_page_may_not_at_any_app(together: Together) -> None:
    body = {"message": "no"}
    asked = [
        (together.ask("/shop/api/status", token=None), 401),
        (together.ask("/shop/api/plan", token="gd_wrong"), 401),
        (together.ask("/shop/api/lock", body, token=together.reader), 403),
        (together.ask("/shop/api/lock", body, token=None, Origin=f"http://127.0.0.1:{together.port}"), 401),
        (together.ask("/shop/api/lock", body, Origin="http://evil.example"), 403),
        (together.ask("/shop/api/status", Host="evil.example"), 403),
        (together.ask("/shop/api/lock", body, **{"Content-Type": "text/plain"}), 415),
        (together.ask("/shop/hooks/github", body, token=None), 401),
        # Nobody says for himself who he is.
        (together.ask("/shop/api/status", token=None, **{"Gitdeploy-Caller": "eyJhY2Nlc3MiOiBbIngiLCBmYWxzZV19"}), 401),
    ]
    assert [answer[0] for answer, _ in asked] == [status for _, status in asked]
    assert together.ask("/shop/api/status", token=together.reader)[0] == 200
    assert together.ask("/shop/api/status")[1]["data"]["held"] is None


def test_a_deployment_is_the_apps_owners_and_the_others_know_nothing_of_it(together: Together) -> None:
    status, said, _ = together.ask("/wiki/api/start-upgrade", {"tag": "v2.0.0"})
    assert (status, said["success"]) == (200, True), said
    assert (together.top / "wiki/migrated-by").read_text().strip() == str(OWNERS[1])
    assert not (together.top / "shop/migrated-by").exists()
    status, log, _ = together.ask(f"/wiki/api/upgrade-log?deployment={said['deployment']}")
    assert log["performer"] == "li (web, from 127.0.0.1)"
    assert (
        together.ask(f"/wiki/api/events?deployment={said['deployment']}")[1].rstrip().endswith("event: end\ndata: {}")
    )
    wait_until(lambda: [row["version"] for row in together.rows()] == ["1.0.0", "2.0.0"], together.rows)
    last = together.rows()[1]["last_deployment"]
    assert (last["status"], last["to"]["tag"]) == ("succeeded", "v2.0.0")
    typed = json.loads(together.type("apps", "--json"))
    assert [(row["name"], row["version"]) for row in typed] == [("shop", "1.0.0"), ("wiki", "2.0.0")]
    assert "v2.0.0" in together.type("-A", "wiki", "status")


def test_metrics_are_of_all_apps_with_their_names(together: Together) -> None:
    assert together.ask("/metrics", token=None)[0] == 401
    status, text, _ = together.ask("/metrics", token=together.reader)
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {sample.labels["app"] for sample in families["gitdeploy_live"].samples} == {"shop", "wiki"}
    assert {sample.labels["app"] for sample in families["gitdeploy_update_available"].samples} <= {"shop", "wiki"}


def test_an_unhealthy_app_is_shown_and_holds_up_no_other(together: Together) -> None:
    (together.top / "shop/ill").touch()
    try:
        wait_until(lambda: together.rows()[0]["health"]["state"] == "unhealthy", together.rows, seconds=40)
        assert together.rows()[1]["health"]["state"] == "healthy"
        assert "shop" in together.type("apps")
    finally:
        (together.top / "shop/ill").unlink()


LOOK = """
import json
from gitdeploy.several.listed import read_list
from gitdeploy.several.looking import look_at_each
print(json.dumps([row.as_dict() for row in look_at_each(read_list().apps, 5)]))
"""


def test_an_app_that_hangs_is_not_waited_for(together: Together) -> None:
    (together.top / "wiki/slow").touch()
    try:
        done = subprocess.run(
            [together.python, "-P", "-c", LOOK],
            cwd="/", env=together.environment, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    finally:
        (together.top / "wiki/slow").unlink()
    shop, wiki = json.loads(done.stdout)
    assert (shop["error"], shop["health"]["state"]) == (None, "healthy")
    assert wiki["error"]["message"] == "It did not answer within 5 s."
    assert wiki["error"]["hint"] == "Look at it alone: gitdeploy -A wiki status"
    assert str(together.top / "wiki") in together.type("-A", "wiki", "status")


def test_the_list_may_change_while_it_serves(together: Together) -> None:
    together.make("third", OWNERS[0])
    wait_until(lambda: [row["version"] for row in together.rows()][2:] == ["1.0.0"], together.rows)
    assert together.ask("/third/api/status")[0] == 200
    together.type("apps", "remove", "third")
    wait_until(lambda: len(together.rows()) == 2, together.rows)
    assert together.ask("/third/api/status")[0] == 404
    good = together.list.read_text()
    together.list.write_text("apps: [")
    assert len(together.rows()) == 2, "while somebody edits it, it is what it was"
    together.list.write_text(f"{good}web: {{hosts: [apps.example.com]}}\n")
    wait_until(lambda: together.ask("/healthz", Host="apps.example.com")[0] == 200, together.rows)
    if ROOT:  # the page alone is of this user
        (page,) = [pid for pid, uid in together.members().items() if uid == pwd.getpwnam(PAGE_USER).pw_uid]
        os.kill(page, signal.SIGKILL)
        wait_until(lambda: _answers(together), together.members)
        assert together.ask("/healthz", Host="apps.example.com")[0] == 200, "one that is started again knows it too"
    together.list.write_text(good)


def _answers(together: Together) -> bool:
    with suppress(OSError):
        return together.ask("/healthz")[0] == 200
    return False


def test_a_process_that_is_killed_comes_again(together: Together) -> None:
    victims = [pid for pid, uid in together.members().items() if pid != together.process.pid and uid == OWNERS[0]]  # type: ignore[union-attr]
    for pid in victims if ROOT else victims[:1]:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: together.ask("/shop/api/status")[0] == 200 and together.ask("/wiki/api/status")[0] == 200,
        (together.top / "log").read_text,
        seconds=40,
    )
    assert "ended and is started again" in (together.top / "log").read_text()


def test_an_app_that_cannot_be_opened_says_why_and_comes_back(together: Together) -> None:
    folder, away = together.top / "shop", together.top / "shop-away"
    folder.rename(away)
    (victim,) = [pid for pid, uid in together.members().items() if uid == OWNERS[0] and _serves(pid)][:1]
    os.kill(victim, signal.SIGKILL)
    try:
        wait_until(
            lambda: "is not a folder" in ((together.rows()[0]["error"] or {}).get("message") or ""),
            together.rows,
            seconds=40,
        )
        status, page, _ = together.ask("/")
        assert status == 200
        assert "is not a folder" in page
        assert together.ask("/wiki/api/status")[0] == 200
    finally:
        away.rename(folder)
    wait_until(lambda: together.rows()[0]["error"] is None, together.rows, seconds=60)


def _serves(pid: int) -> bool:
    """A process with threads: one that serves."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())) > 5


def test_all_end_with_the_one_that_started_them(together: Together) -> None:
    process = together.process
    assert process is not None
    process.kill()
    process.wait()
    wait_until(lambda: together.members() == {}, together.members)
    together.start()  # and everything is there again
    assert len(together.rows()) == 2
    assert "Log in with a token." in (together.top / "log").read_text()
    sockets = list(Path("/run" if ROOT else gettempdir()).glob(f"gitdeploy-page-{process.pid}-*"))
    assert sockets == [], "what the killed one left is gone"


# ---- an app whose owner means ill ----

HOSTILE = {
    "/upgrade/evil/": (
        [
            ("Content-Type", "text/html"),
            ("Content-Security-Policy", "default-src *"),
            ("X-Frame-Options", "ALLOWALL"),
            ("Set-Cookie", "gitdeploy_session=mine; Path=/upgrade"),
            ("Set-Cookie", "gitdeploy_language=zh; Path=/upgrade/evil"),
            ("Access-Control-Allow-Origin", "*"),
            ("Clear-Site-Data", '"cookies"'),
        ],
        b"<script>alert(1)</script>",
    ),
    "/upgrade/evil/api/lock": ([("Content-Type", "application/json")], b"{}"),
    "/upgrade/evil/part/now": ([("Content-Type", "text/javascript")], b"alert(1)"),
    "/upgrade/evil/part/update": (
        [
            ("Content-Type", "text/html;x=y, text/javascript"),
            ("Content-Length", "5"),
            ("Cache-Control", "public, max-age=99999"),
            ("Retry-After", "7\tx"),
            ("Location", "/upgrade/evil/part/update/../../shop/"),
        ],
        b"alert(1)",
    ),
    "/upgrade/evil/api/overview": ([("Content-Type", "application/json")], b'{"data": {"name": 7, "path": []}}'),
    "/upgrade/evil/metrics": (
        [("Content-Type", "application/openmetrics-text")],
        b'# TYPE gitdeploy_backups gauge\ngitdeploy_backups{app="shop"} 7\n# TYPE up gauge\nup 0\n# EOF\n',
    ),
}
TRICKLING: dict[str, bytes] = {}  # what comes again and again, without end


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[FlaskClient]:
    """The page of all, without a server between, before a process that answers what it likes."""
    (tmp_path / "apps.yaml").write_text("apps: {evil: /nowhere}\nweb: {metrics: public}\n")
    store = Store(tmp_path / "web.db", lambda: None)
    heard: list[str] = []
    told: list[dict[str, str]] = []
    gone = threading.Event()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(str(self.headers))
            told.append(dict(self.headers))
            if self.path in TRICKLING:
                with suppress(OSError):
                    while not gone.wait(0.02):
                        self.wfile.write(TRICKLING[self.path])
                self.close_connection = True
                return
            headers, body = HOSTILE[self.path.partition("?")[0]]
            self.send_response_only(next((int(value) for key, value in headers if key == "Status"), 200))
            for key, value in headers:
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):
                self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))  # what is closed unread takes the answer with it
            self.do_GET()

        def address_string(self) -> str:
            return "somebody"

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingUnixStreamServer(str(tmp_path / "evil.sock"), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        app = make_front(read_list(tmp_path / "apps.yaml"), store, tmp_path)
        app.config["heard"] = told
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = "Bearer " + store.add_token("li", read_only=False)
        client.environ_base["HTTP_COOKIE"] = "gitdeploy_session=secret; gitdeploy_theme=dark; other=x"
        try:
            yield client
            assert "Bearer" not in "".join(heard), "nobody's credentials go to the owner of an app"
            assert "secret" not in "".join(heard)
        finally:
            gone.set()
            server.shutdown()
            thread.join()


def test_an_app_whose_owner_means_ill_reaches_no_other(evil: FlaskClient) -> None:
    page = evil.get("/upgrade/evil/?lang=zh")
    assert page.status_code == 200
    for name, value in guard.HEADERS.items():
        assert page.headers.getlist(name) == [value], name
    (cookie,) = page.headers.getlist("Set-Cookie")
    assert cookie.startswith("gitdeploy_language=zh; ")
    assert cookie.endswith("; Path=/upgrade/evil; SameSite=Lax"), "the page's own words"
    assert "Access-Control-Allow-Origin" not in page.headers
    assert "Clear-Site-Data" not in page.headers
    assert evil.get("/upgrade/evil/part/now").status_code == 404, "no script comes from an app's process"
    part = evil.get("/upgrade/evil/part/update")
    assert (part.data, part.headers.getlist("Content-Length")) == (b"alert", ["5"])
    assert part.headers.getlist("Content-Type") == ["text/html; charset=utf-8"], "nor what a browser could take for one"
    assert part.headers.getlist("Cache-Control") == ["no-store"]
    assert {"Location", "Retry-After", "Set-Cookie"}.isdisjoint(part.headers.keys())
    with evil.get("/upgrade/evil/static/page.js") as script:
        assert script.data == (FOLDER / "static/page.js").read_bytes(), "but from the page itself"
    (row,) = json_of(evil.get("/upgrade/api/apps"))["data"]
    assert (row["name"], row["path"]) == ("evil", "/nowhere")
    assert row["error"]["message"] == "Its process answered what gitdeploy does not answer."
    assert evil.get("/upgrade/").status_code == 200
    figures = evil.get("/upgrade/metrics").text
    assert 'gitdeploy_backups{app="evil"} 7.0' in figures, "under its own name only"
    assert "shop" not in figures
    assert "up 0" not in figures


_JSON = ("Content-Type", "application/json")
_ROW = '{"data": {"name": "x", "path": "/x", %s}}'
_LAST = '"last_deployment": {"id": 1, "action": "x", "status": "y", "performer": "z", "started_at": "%s", "ended_at": null, "duration": %s, "backup": null, "from": {}, "to": {}}'


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("200", _ROW % '"commit": null'),
        ("200", "[" * 100_000),
        ("200", _ROW % '"version": "\\ud800"'),
        ("200", '["data"]'),
        ("200", _ROW % (_LAST % ("0001-01-01T00:00:00+23:59", "1"))),
        ("200", _ROW % (_LAST % ("9999-12-31T23:59:59-23:59", "1e999"))),
        ("200", _ROW % ('"limited": {"message": "x", "code": "{a.__class__}", "params": {"b": %s}}' % ('{"a":' * 300 + "1" + "}" * 300))),
        ("200", _ROW % '"health": {"state": "unhealthy", "message": "x", "code": "{a.__class__} {0}", "params": {"a": 1}}'),
        ("500", "[]"),
        ("500", '{"error": {"a": 1}}'),
        ("500", '{"error": "x", "hint": 7, "code": "{", "params": []}'),
        ("500", '{"error": "x", "code": "{number} {a[0]}", "params": {"number": "9", "a": {"message": "y", "code": 7}}}'),
        ("700", '{"error": "x"}'),
    ],
)  # fmt: skip
def test_whatever_one_app_answers_the_list_is_there(
    evil: FlaskClient, monkeypatch: pytest.MonkeyPatch, status: str, said: str
) -> None:
    monkeypatch.setitem(HOSTILE, "/upgrade/evil/api/overview", ([_JSON, ("Status", status)], said.encode()))
    (row,) = json_of(evil.get("/upgrade/api/apps"))["data"]
    assert (row["name"], row["path"]) == ("evil", "/nowhere")
    for language in ("en", "zh"):
        page = evil.get("/upgrade/", headers={"Accept-Language": language})
        assert (page.status_code, "evil" in page.text) == (200, True)


_LIVE = '# TYPE gitdeploy_live info\ngitdeploy_live_info{app="x",commit="c",tag="t",version="v"} 1\n'


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ('# TYPE gitdeploy_backups gauge\n# HELP gitdeploy_backups Free\\nmoney\ngitdeploy_backups{app="x"} 7 12 # {a="b"} 1\n', 0),
        ('# TYPE gitdeploy_backups gauge\n# UNIT gitdeploy_backups backups\ngitdeploy_backups{app="x"} 7 12\n', 1),
        ('# TYPE gitdeploy_backups gauge\ngitdeploy_backups{app="x"} 7\ngitdeploy_backups{app="y"} 8\n', 1),
        ('# TYPE gitdeploy_backups histogram\ngitdeploy_backups_bucket{app="x",le="+Inf"} 7\n', 0),
        ('# TYPE gitdeploy_other gauge\ngitdeploy_other{app="x"} 7\n', 0),
        ('# TYPE gitdeploy_backups gauge\ngitdeploy_backups{app="x",more="y"} 7\n', 0),
        (_LIVE, 1),
        ('# TYPE gitdeploy_backups gauge\ngitdeploy_backups 1e\n', 0),
        ("\x00{}{{\n", 0),
    ],
)  # fmt: skip
def test_of_an_apps_metrics_only_ours_are_taken_over_in_our_words(
    evil: FlaskClient, monkeypatch: pytest.MonkeyPatch, said: str, lines: int
) -> None:
    kind = ("Content-Type", "application/openmetrics-text")
    monkeypatch.setitem(HOSTILE, "/upgrade/evil/metrics", ([kind], f"{said}# EOF\n".encode()))
    answer = evil.get("/upgrade/metrics")
    assert answer.status_code == 200
    assert answer.text.count('app="evil"') == lines, answer.text
    assert "money" not in answer.text
    for family in text_string_to_metric_families(answer.text):  # a scrape would refuse the whole of it
        for sample in family.samples:
            assert sample.timestamp is None


@pytest.mark.parametrize("piece", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_app_that_never_ends_an_answer_is_asked_once_and_left(
    evil: FlaskClient, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr(front, "PATIENCE", 0.4)
    monkeypatch.setitem(TRICKLING, "/upgrade/evil/api/overview", piece)
    monkeypatch.setitem(TRICKLING, "/upgrade/evil/metrics", piece)
    begun = time.monotonic()
    for _ in range(4):  # all that look now are shown what was just found
        (row,) = json_of(evil.get("/upgrade/api/apps"))["data"]
        assert row["error"] is not None
    assert evil.get("/upgrade/metrics").status_code == 200
    assert time.monotonic() - begun < 1.5


def test_an_app_that_hangs_leaves_the_others_their_threads(evil: FlaskClient) -> None:
    behind = evil.application.extensions["gitdeploy"]["gitdeploy"].behind
    behind._most = 2
    open_ones = [evil.get("/upgrade/evil/") for _ in range(2)]
    third = evil.get("/upgrade/evil/")
    assert (third.status_code, json_of(third)["kind"], third.headers["Retry-After"]) == (503, "busy", "30")
    assert evil.get("/upgrade/").status_code == 200
    for each in open_ones:
        each.close()
    for _ in range(3):
        with evil.get("/upgrade/evil/") as again:
            assert again.status_code == 200
    evil.get("/upgrade/evil/part/now")  # one that is refused leaves room too
    assert +behind._inside == {}


def test_what_an_app_is_told_of_a_session_counts_for_itself_alone(evil: FlaskClient) -> None:
    """Its page may hold any form and use the page's own script: with the proof that it knows, it changes itself only."""
    apps = evil.application.extensions["gitdeploy"]["gitdeploy"]
    token = apps.store.add_token("kim", read_only=False)
    del evil.environ_base["HTTP_AUTHORIZATION"], evil.environ_base["HTTP_COOKIE"]
    origin = {"Origin": "http://localhost"}
    assert evil.post("/upgrade/login", data={"token": token + "x"}, headers=origin).status_code == 401
    came_in = evil.post("/upgrade/login", data={"token": token}, headers=origin)
    assert (came_in.status_code, came_in.headers["Location"]) == (303, "/upgrade/")
    told: list[Caller] = []
    for path in ("/upgrade/evil/", "/upgrade/evil/api/overview"):
        with evil.get(path):
            found = Caller.read(evil.application.config["heard"][-1]["Gitdeploy-Caller"])
            assert found is not None
            told.append(found)
    own = evil.get("/upgrade/").text
    (proof,) = {each.access.csrf for each in told if each.access is not None}
    assert proof
    assert proof not in own
    for path, given, status in (
        ("/upgrade/evil/api/lock", proof, 200),
        ("/upgrade/evil/api/lock", "", 403),
        ("/upgrade/shop/api/lock", proof, 403),
        ("/upgrade/logout", proof, 403),
    ):
        body = {"data": {"csrf": given}} if path.endswith("logout") else {"json": {}}
        answer = evil.post(path, headers={**origin, "X-CSRF-Token": given}, **body)
        assert answer.status_code == status, (path, answer.text)
    (of_all,) = re.findall('name="csrf" value="([^"]+)"', own)
    assert evil.post("/upgrade/shop/api/lock", json={}, headers={**origin, "X-CSRF-Token": of_all}).status_code == 403
    assert evil.post("/upgrade/logout", data={"csrf": of_all}, headers=origin).status_code == 303
    assert evil.get("/upgrade/api/apps").status_code == 401


def test_a_process_that_does_not_answer_is_waited_for_no_longer(evil: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "evil.sock").unlink()
    answer = evil.get("/upgrade/evil/api/status")
    assert (answer.status_code, json_of(answer)["kind"]) == (503, "away")


def test_what_is_asked_of_root_in_vain(together: Together) -> None:
    if not ROOT:
        pytest.skip("needs root")
    said = together.type("web", "--all", "--user", "nobody-of-this-name", code=2)
    assert "useradd --system --shell /usr/sbin/nologin nobody-of-this-name" in said
    assert "is not served as root" in together.type("web", "--all", "--user", "root", code=2)
    said = together.type("web", "--all", "--user", "nobody", "--port", str(free_port()), code=2)
    assert "is not served as nobody, who owns shop." in said
    said = together.type("web", "--all", "--user", "daemon", "--port", str(free_port()), code=2)
    assert f"is {PAGE_USER}'s, as whom the page was served before." in said
    for user in ("daemon", "nobody-of-this-name"):
        assert "reader" in together.type("web", "--all", "--user", user, "token", "list")
    state = together.top / "gitdeploy-page"
    assert {each.stat().st_uid for each in (state, *state.iterdir())} == {pwd.getpwnam(PAGE_USER).pw_uid}
    said = together.type("web", "--all", "--user", PAGE_USER, "--port", str(together.port), code=2)
    assert "is in use" in said
    assert "A free one: gitdeploy web --all --port " in said
    damaged = together.top / "damaged/gitdeploy-page"
    damaged.mkdir(parents=True)
    (damaged / "web.db").write_text("no database" * 1000)
    for each in (damaged, damaged / "web.db"):
        os.chown(each, pwd.getpwnam(PAGE_USER).pw_uid, -1)
    (together.top / "damaged/apps.yaml").write_text("apps: {}\n")
    whole, together.environment["GITDEPLOY_APPS"] = together.list, str(together.top / "damaged/apps.yaml")
    said = together.type("web", "--all", "--user", "daemon", "--port", str(free_port()), code=2)
    hint = said[said.index("chown -R") :].splitlines()[0]
    subprocess.run(hint.split(), check=True)
    said = together.type("web", "--all", "--user", "daemon", "--port", str(free_port()), code=1)
    together.environment["GITDEPLOY_APPS"] = str(whole)
    assert "which keeps the page's tokens and sessions, can't be used" in said
    unit = together.type("web", "--all", "--print-unit")
    assert "ExecStart=" in unit
    assert f"Environment=GITDEPLOY_APPS={together.list}\n" in unit
    said = together.type("web", "--all", "--user", PAGE_USER, "token", "add", "li", code=2)
    assert "Revoke it first: gitdeploy web --all token revoke li" in said
    assert "User=" not in unit
    assert "trusted_proxies" in together.type("web", "--all", "--print-proxy")
