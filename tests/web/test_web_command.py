"""`gitdeploy web`, as an operator types it."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from support.waiting import free_port, wait_until
from web.conftest import Shop, Web, json_of

from gitdeploy.web import blueprint
from gitdeploy.web.api import events


class Served:
    """A page that is served, and what it said so far."""

    def __init__(self, shop: Shop, *words: str, env: dict[str, str] | None = None, usual_port: bool = False) -> None:
        self.port = free_port()
        port = () if usual_port else ("--port", str(self.port))
        self.process = shop.start("web", *port, *words, env=env)
        self.said = ""

    def __enter__(self) -> Served:
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.hear("the page is at")
        return self

    def hear(self, text: str) -> None:
        def heard() -> bool:
            ended = self.process.poll() is not None  # what it said last is read once more
            with suppress(BlockingIOError):
                self.said += os.read(self.process.stdout.fileno(), 65536).decode()  # type: ignore[union-attr]
            return text in self.said or ended

        wait_until(heard, lambda: self.said)
        assert text in self.said, self.said

    def __exit__(self, *_: object) -> None:
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.said
        self.hear("The page is no longer served. A running deployment goes on.")
        self.process.stdout.close()


def status_with(port: int, token: str) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/upgrade/api/status", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return int(error.code)


def log_in(port: int, code: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    words = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/upgrade/login", body=f"token={code}", headers=words)
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_first_start_shows_a_link_that_works_once(shop: Shop) -> None:
    with Served(shop) as page:
        page.hear("A token that lasts: gitdeploy web token add NAME")
        assert "(this link works once, within 15 minutes)" in page.said
        token = page.said.split("login#")[1].split()[0]
        assert f"http://127.0.0.1:{page.port}/upgrade/login#once_" in page.said
        with socket.socket() as other:
            with pytest.raises(OSError):
                other.bind(("127.0.0.1", page.port))
        taken = shop.gitdeploy("web", "--port", str(page.port), code=2)
        assert "can't be served" in taken.err
        assert "--port" in taken.err
    kept = [
        path for path in (shop.app / ".gitdeploy").rglob("*") if path.is_file() and token.encode() in path.read_bytes()
    ]
    assert kept == [], "only its hash is kept"
    assert (shop.app / ".gitdeploy/web.db").stat().st_mode & 0o777 == 0o600
    with Served(shop) as again:
        again.hear("A token that lasts")
        second = again.said.split("login#")[1].split()[0]
        assert log_in(again.port, token) == 401, "another start, another link"
        assert status_with(again.port, second) == 401, "it opens a session, and is not a token"
        assert [log_in(again.port, second) for _ in range(2)] == [303, 401]
    assert shop.gitdeploy("web", "token", "list").out.splitlines()[1].startswith("administrator  change")
    with Served(shop) as third:
        third.hear("Log in with a token.  Another one: gitdeploy web token add NAME")
        assert "login#" not in third.said
    shop.gitdeploy("web", "token", "revoke", "administrator")
    with Served(shop) as last:
        last.hear("Log in with a token.  Make one: gitdeploy web token add NAME")
        assert "login#" not in last.said, "whoever reads the journal finds one link, that of the first login"


def test_the_environments_token_is_the_only_one(shop: Shop) -> None:
    with Served(shop, env={"GITDEPLOY_WEB_TOKEN": "from-a-secret-store"}) as page:
        page.hear("Log in with the token in GITDEPLOY_WEB_TOKEN.")
        assert "login#" not in page.said
        assert status_with(page.port, "from-a-secret-store") == 200
    refused = shop.gitdeploy("web", code=2, env={"GITDEPLOY_WEB_TOKEN": "short"})
    assert "could be guessed" in refused.err
    assert "short" not in refused.err.replace("shorter", "")


def test_not_on_loopback_there_is_a_warning(shop: Shop) -> None:
    with Served(shop, "--host", "0.0.0.0") as page:
        assert "Warning" not in page.said, "a proxy is declared, and the names that people type"
    settings = shop.app / "deploy.yaml"
    settings.write_text(settings.read_text().partition("web:")[0])
    with Served(shop, "--host", "0.0.0.0") as page:
        assert "Warning: The page is served at 0.0.0.0, not only to this machine, without TLS" in page.said
        assert "web.hosts" in page.said
    with Served(shop) as page:
        assert "Warning" not in page.said, "only this machine can reach it"


def test_tokens_are_made_listed_and_revoked(shop: Shop) -> None:
    made = shop.gitdeploy("web", "token", "add", "deploy-bot").out.strip()
    assert made.startswith("gd_")
    assert "already" in shop.gitdeploy("web", "token", "add", "deploy-bot", code=2).err
    reader = json.loads(shop.gitdeploy("--json", "web", "token", "add", "dashboard", "--read-only").out)
    assert reader["read_only"] is True
    listed = shop.gitdeploy("web", "token", "list").out
    assert "deploy-bot" in listed
    assert "never" in listed
    assert made not in listed
    shop.gitdeploy("web", "token", "revoke", "deploy-bot")
    assert "no token" in shop.gitdeploy("web", "token", "revoke", "deploy-bot", code=2).err
    lasting = json.loads(shop.gitdeploy("--json", "web", "token", "add", "guest", "--expires", "90d").out)
    assert lasting["expires_in"] == 90 * 86400
    rows = json.loads(shop.gitdeploy("web", "token", "list", "--json").out)
    made_at, ends = (datetime.fromisoformat(rows[-1][key]) for key in ("created_at", "expires_at"))
    assert ends - made_at == timedelta(days=90)
    assert "ENDS" in shop.gitdeploy("web", "token", "list").out
    for wrong in ("90", "1s", "99999d", "soon", "-5d", "٣d"):
        assert "--expires 90d" in shop.gitdeploy("web", "token", "add", "x", "--expires", wrong, code=2).err
    shop.gitdeploy("web", "token", "revoke", "guest")
    assert [row["name"] for row in json.loads(shop.gitdeploy("web", "token", "list", "--json").out)] == ["dashboard"]


def test_a_page_of_another_user_says_which_right_is_missing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask("shop")
    app.register_blueprint(blueprint(shop.app, authorize=lambda: "wang", auto_check=False))
    owner = pwd.getpwuid(os.geteuid()).pw_name
    way = "Run it as its owner: sudo " + ("" if owner == "root" else f"-u {owner} ")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    answer = app.test_client().get("/upgrade/")
    assert f"belongs to {owner}, and you are user 12345" in answer.text
    assert way in answer.text
    api = app.test_client().get("/upgrade/api/check-update")
    assert api.status_code == 503
    assert way in json_of(api)["hint"]


def test_a_stream_ends_with_its_token(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BEAT", 0.2)
    answers: list[Any] = []
    for headers in (web.headers("", {}), None):
        client = web.log_in() if headers is None else web.client()
        answers.append(client.get("/upgrade/api/events", headers=headers))
    heard = [iter(answer.response) for answer in answers]
    for stream in heard:
        next(stream)
        next(stream)
        assert "still here" in str(next(stream))
    web.panel.store.revoke_token("li")
    for stream in heard:
        assert "log" not in "".join(str(piece) for piece in stream), "it has ended"
    for answer in answers:
        answer.close()
    assert web.panel.follower._listeners == 0


def test_without_its_extra_it_says_what_to_install(shop: Shop) -> None:
    program = "import sys; sys.modules['flask'] = None\nfrom gitdeploy.cli import run\nsys.exit(run(['web']))\n"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=shop.app, env=shop.environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "The page needs flask, which isn't installed." in done.stderr
    assert "Install what it needs: " in done.stderr
    assert "'flask>=3.1' 'markdown-it-py>=3.0'" in done.stderr.replace("\n", " ")
