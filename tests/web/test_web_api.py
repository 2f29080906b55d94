"""What scripts and today's page call, each answer held against openapi.json."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from support.waiting import free_port, wait_until
from web.conftest import Shop, Web, json_of

from gitdeploy.web import blueprint
from gitdeploy.web.api import start
from gitdeploy.web.api.addresses import tag_in, tag_of
from gitdeploy.web.serving.blueprint import ROUTES, document


def wait_for(web: Web, deployment: int, seconds: float = 60) -> dict[str, Any]:
    """How DEPLOYMENT ended."""

    def state() -> dict[str, Any]:
        found: dict[str, Any] = web.get(f"/api/upgrade-log?deployment={deployment}").json
        return found

    return wait_until(lambda: now if (now := state())["status"] != "running" else {}, state, seconds=seconds, every=0.1)


def live_version(shop: Shop) -> str:
    return (shop.app / "main.py").read_text()


# ---- today's page, call by call, as the table of its fields has them ----


def test_todays_page_goes_on_working(shop: Shop, tmp_path: Path) -> None:
    """It knows no login (the app's own guards it), no CSRF token, no tag: addresses and paths only."""
    app = Flask("otrs")
    app.register_blueprint(blueprint(shop.app, authorize=lambda: True, auto_check=False))
    page = app.test_client()
    page.environ_base["HTTP_ORIGIN"] = "http://localhost"

    config = json_of(page.get("/upgrade/api/config"))
    assert config["success"] is True
    assert config["data"]["update_source"] == "git"
    assert config["data"]["auto_check_enabled"] is True
    assert config["data"]["check_interval_hours"] == 24

    check = json_of(page.get("/upgrade/api/check-update?force=true"))
    found = check["data"]
    assert "error" not in check
    assert found["update_available"] is True
    assert (found["current_version"], found["latest_version"]) == ("1.0.0", "1.2.0")
    assert found["release_name"] == "v1.2.0"
    assert found["tarball_url"]

    history = json_of(page.get("/upgrade/api/version-history?limit=10"))["data"]
    assert [release["version"] for release in history] == ["1.2.0", "1.1.0", "1.0.0"]
    assert {"name", "published_at", "body", "html_url"} <= history[0].keys()
    assert page.get("/upgrade/api/version-history?limit=ten").status_code == 400

    backups = json_of(page.get("/upgrade/api/backup-list"))["data"]
    assert len(backups) == 1
    assert backups[0]["path"] == f"refs/gitdeploy/backups/{backups[0]['name']}"

    failed = page.post("/upgrade/api/start-upgrade", json={"download_url": found["tarball_url"], "is_tarball": True})
    assert failed.status_code == 200, "an upgrade that was rolled back is an answer, not an error"
    assert json_of(failed)["success"] is False
    assert "shop runs v1.0.0 again" in json_of(failed)["message"]
    assert "this hook fails" in json_of(failed)["message"] + "\n".join(json_of(failed)["log"])
    assert live_version(shop) == "VERSION = '1.0.0'\n"

    good = page.post("/upgrade/api/start-upgrade", json={"download_url": "gitdeploy:v1.1.0", "is_tarball": True})
    assert json_of(good)["success"] is True, json_of(good)
    assert "shop is on v1.1.0" in json_of(good)["message"]
    assert any("backup" in line for line in json_of(good)["log"])
    assert live_version(shop) == "VERSION = '1.1.0'\n"

    backups = json_of(page.get("/upgrade/api/backup-list"))["data"]
    oldest = backups[-1]
    restored = page.post("/upgrade/api/restore-backup", json={"backup_path": oldest["path"]})
    assert json_of(restored)["success"] is True, json_of(restored)
    assert json_of(restored)["message"]
    assert live_version(shop) == "VERSION = '1.0.0'\n"


def test_a_source_that_cannot_be_reached_is_an_answer(web: Web) -> None:
    web.shop.git("remote", "set-url", "origin", "file:///nowhere/at/all")
    answer = web.get("/api/check-update?force=true")
    assert answer.status_code == 200
    assert answer.json["success"] is True
    data = answer.json["data"]
    assert (data["update_available"], data["latest_version"], data["current_version"]) == (False, None, "1.0.0")
    assert data["error"]
    assert answer.json["error"] == data["error"]


@pytest.mark.parametrize(
    ("address", "tag"),
    [
        ("https://github.com/scaleflower/otrs-web/tarball/v1.2.9.1", "v1.2.9.1"),
        ("https://api.github.com/repos/scaleflower/otrs-web/tarball/v1.2.9.1", "v1.2.9.1"),
        ("https://api.github.com/repos/Scaleflower/OTRS-web/zipball/refs/tags/v1.2.9.1", "v1.2.9.1"),
        ("https://github.com/scaleflower/otrs-web/archive/refs/tags/v1.2.9.1.tar.gz", "v1.2.9.1"),
        ("https://github.com/scaleflower/otrs-web/archive/refs/tags/v1.2.9.1.zip", "v1.2.9.1"),
        ("https://github.com/scaleflower/otrs-web/releases/tag/v1.2.9.1", "v1.2.9.1"),
        ("https://github.com/scaleflower/otrs-web/releases/tag/release/v1", "release/v1"),
        ("https://github.com/scaleflower/otrs-web-evil/tarball/v1.2.9.1", None),
        ("https://github.com/evil/otrs-web/tarball/v1.2.9.1", None),
        ("https://evil.example/scaleflower/otrs-web/tarball/v1.2.9.1", None),
        ("https://github.com.evil.example/scaleflower/otrs-web/tarball/v1", None),
        ("https://github.com@evil.example/scaleflower/otrs-web/tarball/v1", None),
        ("https://github.com/scaleflower/otrs-web/../../evil/x/tarball/v1", None),
        ("https://github.com/scaleflower/otrs-web/tarball/--upload-pack=x", None),
        ("https://github.com/scaleflower/otrs-web/tarball/v1?x=y", None),
        ("file:///scaleflower/otrs-web/tarball/v1", None),
        ("ftp://github.com/scaleflower/otrs-web/tarball/v1", None),
        ("https://[::1/scaleflower/otrs-web/tarball/v1", None),
        ("", None),
    ],
)
def test_the_tag_in_an_address(address: str, tag: str | None) -> None:
    places = [("github.com", "scaleflower/otrs-web"), ("api.github.com", "repos/scaleflower/otrs-web")]
    assert tag_in(address, places) == tag


def test_the_addresses_of_the_configured_repository(web: Web) -> None:
    settings = web.shop.app / "deploy.yaml"
    text = settings.read_text()
    for source, address in (
        ("{type: github, repo: li/shop}", "https://api.github.com/repos/li/shop/tarball/v9"),
        ("{type: gitee, repo: li/shop}", "https://gitee.com/li/shop/archive/refs/tags/v9.zip"),
        ("{type: gitlab, repo: li/shop, url: https://git.example.com/api/v4}",
         "https://git.example.com/li/shop/-/archive/v9/shop-v9.tar.gz"),
        ("{type: gitea, repo: li/shop, url: https://git.example.com/api/v1}",
         "https://git.example.com/li/shop/archive/v9.tar.gz"),
    ):  # fmt: skip
        settings.write_text(text.replace("{type: git}", source))
        assert tag_of(web.panel.app(), address) == "v9", source
        assert tag_of(web.panel.app(), address.replace("li/", "wang/")) is None
    other = web.post("/api/start-upgrade", {"download_url": "https://evil.example/li/shop/tarball/v9"})
    assert other.status_code == 400
    assert "configured repository" in other.json["error"]


def test_a_file_system_path_is_no_backup(web: Web) -> None:
    name = web.get("/api/backup-list").json["data"][0]["name"]
    before = web.shop.state()
    for path, status in (
        ("/etc", 400),
        (f"{web.shop.app}/.gitdeploy/backups/{name}", 400),
        (f"../backups/{name}", 400),
        (f"refs/heads/{name}", 400),
        (f"./{name}", 400),
        (name[:-1], 404),
        (f"{name}\n", 404),
        ("latest", 404),
        ("20200101-000000-v0", 404),
    ):
        answer = web.post("/api/restore-backup", {"backup_path": path})
        assert answer.status_code == status, (path, answer.text)
        assert web.post("/api/delete-backup", {"backup": path}).status_code == status
    assert web.shop.state() == before


# ---- starting, following ----


def test_an_upgrade_is_followed_to_its_end(web: Web) -> None:
    begun = web.post("/api/start-upgrade", {"tag": "v1.1.0", "wait": False})
    assert begun.status_code == 202, begun.text
    number = begun.json["deployment"]
    again = web.post("/api/start-upgrade", {"tag": "v1.1.0"})
    assert again.status_code == 409 or again.json["status"] == "nothing_to_do"
    seen: list[str] = []
    state: dict[str, Any] = {"since": 0}

    def ended() -> bool:
        state.update(web.get(f"/api/upgrade-log?deployment={number}&since={state['since']}").json)
        seen.extend(state["log"])
        return bool(state["status"] != "running")

    wait_until(ended, every=0)
    steps = state["steps"]
    assert state["status"] == "succeeded"
    assert seen == web.get(f"/api/upgrade-log?deployment={number}").json["log"], "nothing missed, nothing twice"
    assert [step["name"] for step in steps][:5] == ["fetch", "preflight", "backup", "build", "stage"]
    assert {step["status"] for step in steps} <= {"done", "skipped"}
    assert state["performer"] == "li (web, from 127.0.0.1)"
    rows = web.get("/api/deployments").json["data"]
    assert rows[0]["performer"] == "li (web, from 127.0.0.1)"
    assert "li (web, from 127.0.0.1)" in web.shop.gitdeploy("log").out


def test_one_after_the_other(web: Web) -> None:
    """An ended deployment's process still tidies up and holds the lock: the next one waits for it, and isn't refused."""
    with (web.shop.app / "deploy.yaml").open("a") as out:
        out.write("notify: ['json://127.0.0.1:9/']\ngit: {local_changes: merge}\n")
    for tag, more in (("v1.1.0", {}), ("v1.0.0", {"allow_downgrade": True}), ("v1.1.0", {})):
        number = web.post("/api/start-upgrade", {"tag": tag, "wait": False, **more}).json["deployment"]
        assert wait_for(web, number)["status"] == "succeeded"


def test_a_running_step_is_seen(web: Web) -> None:
    database = web.panel.app().site.open_database()
    with database:
        number = database.begin_deployment("upgrade", "li", {"commit": "1" * 40}, {"commit": "2" * 40})
        database.step(number, {"name": "fetch", "status": "running", "duration": 0.0, "summary": ""})
        database.step(number, {"name": "fetch", "status": "done", "duration": 0.1, "summary": "v1"})
        database.step(number, {"name": "build", "status": "running", "duration": 0.0, "summary": ""})
        with closing(sqlite3.connect(web.shop.app / ".gitdeploy/state.db")) as beside:
            rows = beside.execute("SELECT count(*) FROM line").fetchone()
        assert rows[0] >= 3, "told at once, not with the next line"
    answer = web.client().get(f"/upgrade/api/upgrade-log?deployment={number}", headers=web.headers("", {}))
    client_side = json_of(answer)
    assert [(step["name"], step["status"]) for step in client_side["steps"]] == [
        ("fetch", "done"),
        ("build", "running"),
    ]
    assert client_side["status"] == "interrupted", "nobody holds the lock"
    assert client_side["log"] == []


def test_the_same_key_starts_once(web: Web) -> None:
    key = {"Idempotency-Key": "order-17"}
    first = web.post("/api/start-upgrade", {"tag": "v1.1.0", "wait": False}, headers=key)
    second = web.post("/api/start-upgrade", {"tag": "v1.1.0", "wait": False}, headers=key)
    assert first.status_code == second.status_code == 202, second.text
    assert first.json["deployment"] == second.json["deployment"]
    wait_for(web, first.json["deployment"])
    third = web.post("/api/start-upgrade", {"tag": "v1.1.0"}, headers=key)
    assert third.json["deployment"] == first.json["deployment"]
    assert third.json["status"] == "succeeded"
    other = web.post("/api/start-upgrade", {"tag": "v1.2.0"}, headers=key)
    assert other.status_code == 422
    upgrades = [row for row in web.get("/api/deployments").json["data"] if row["action"] == "upgrade"]
    assert len(upgrades) == 1
    assert web.post("/api/backup", {}, headers={"Idempotency-Key": "é"}).status_code == 400


def test_a_key_whose_web_process_died_before_it_began_can_be_used_again(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.panel.store.claim("k", "0" * 32, json.dumps(["upgrade", "v1.1.0"]))
    monkeypatch.setattr(start, "BEGIN", 0.3)
    key = {"Idempotency-Key": "k"}
    first = web.post("/api/start-upgrade", {"tag": "v1.1.0"}, headers=key)
    assert first.status_code == 503
    assert "Send it again" in first.json["hint"]
    monkeypatch.setattr(start, "BEGIN", 60.0)
    again = web.post("/api/start-upgrade", {"tag": "v1.1.0"}, headers={"Idempotency-Key": "k"})
    assert again.json["success"] is True, again.json


def test_what_never_began_is_told_and_may_be_tried_again(web: Web) -> None:
    key = {"Idempotency-Key": "k"}
    refused = web.post("/api/start-upgrade", {"tag": "v1.0.0-nowhere"}, headers=key)
    assert refused.json["success"] is False
    web.post("/api/lock", {"message": "month-end"})
    held = web.post("/api/start-upgrade", {"tag": "v1.1.0"}, headers={"Idempotency-Key": "h"})
    assert held.status_code == 409
    assert "month-end" in held.json["error"]
    assert "li (web" in held.json["error"]
    assert web.post("/api/backup", {"label": "x"}).json["success"] is True, "a backup may be made while held"
    assert web.post("/api/unlock").json["data"]["was_held"] is True
    assert web.post("/api/start-upgrade", {"tag": "v1.1.0"}, headers={"Idempotency-Key": "h"}).json["success"] is True


def test_a_release_is_skipped_and_not_any_more(web: Web) -> None:
    made = web.post("/api/skip", {"tag": "v1.1.0", "reason": "slow <b>imports</b>"}).json["data"]
    assert made["tag"] == "v1.1.0"
    assert made["by"].startswith("li (web")
    assert web.get("/api/status").json["data"]["skipped"] == [made]
    history = {row["tag"]: row["skipped"] for row in web.get("/api/version-history").json["data"]}
    assert history["v1.1.0"] == made
    assert history["v1.0.0"] is None
    shown = web.get("/part/releases").text
    assert "v1.1.0 is skipped: it won't be installed automatically." in shown
    assert "slow &lt;b&gt;imports&lt;/b&gt;" in shown
    assert web.post("/api/unskip", {"tag": "v1.1.0"}).json["data"] == {"tag": "v1.1.0", "was_skipped": True}
    assert "is skipped" not in web.get("/part/releases").text
    assert web.post("/api/skip", {"tag": "-x"}).status_code == 400


def test_backups_are_labelled_and_deleted(web: Web) -> None:
    made = web.post("/api/backup", {"label": "before the fair"})
    assert made.json["success"] is True
    rows = web.get("/api/backup-list").json["data"]
    assert rows[0]["label"] == "before the fair"
    assert rows[0]["size"] > 0
    assert web.post("/api/label-backup", {"backup": rows[0]["path"], "label": "a\x1b[31m<b>"}).status_code == 200
    assert web.get("/api/backup-list").json["data"][0]["label"] == "a<b>"
    assert web.post("/api/delete-backup", {"backup": rows[0]["id"]}).status_code == 200
    assert [row["id"] for row in web.get("/api/backup-list").json["data"]] == [row["id"] for row in rows[1:]]
    assert rows[0]["ref"] not in web.shop.git("for-each-ref", "refs/gitdeploy")


def test_a_killed_deployment_is_recovered_from_the_page(web: Web) -> None:
    hook = web.shop.app / "hooks/pre-deploy"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nsleep 30\n")
    hook.chmod(0o755)
    excluded = web.shop.app / ".git/info/exclude"
    excluded.write_text(excluded.read_text() + "/hooks/\n")
    before = web.shop.state()
    number = web.post("/api/start-upgrade", {"tag": "v1.1.0", "wait": False}).json["deployment"]

    def state() -> Any:
        return web.get(f"/api/upgrade-log?deployment={number}").json

    wait_until(lambda: any(step["name"] == "pre-deploy" for step in state()["steps"]))
    holder = wait_until(lambda: web.get("/api/status").json["data"]["locked_by"])
    os.kill(holder["pid"], signal.SIGKILL)
    wait_until(lambda: state()["status"] == "interrupted", state, seconds=30)
    assert web.get("/api/status").json["data"]["interrupted"] is True
    answer = web.post("/api/recover")
    assert answer.json["deployment"] == number
    assert answer.json["status"] in ("interrupted", "rolled_back")
    assert "runs v1.0.0" in answer.json["message"] + " ".join(answer.json["log"])
    assert web.post("/api/recover").json["message"].startswith("Nothing to recover")
    after = web.shop.state()
    assert after["files"] == before["files"]
    assert after["HEAD"] == before["HEAD"]


def test_a_rollback(web: Web) -> None:
    assert web.post("/api/start-upgrade", {"tag": "v1.1.0"}).json["success"] is True
    answer = web.post("/api/rollback")
    assert answer.json["success"] is True, answer.json
    assert live_version(web.shop) == "VERSION = '1.0.0'\n"
    assert web.post("/api/rollback", {"version": "9.9"}).status_code in (400, 404)


def test_data_are_replaced_only_for_who_agrees(web: Web) -> None:
    settings = web.shop.app / ".env"
    settings.write_text("A=1\n")
    assert web.post("/api/start-upgrade", {"tag": "v1.1.0"}).json["success"] is True
    settings.write_text("A=2\n")
    newest = web.get("/api/backup-list").json["data"][0]["id"]
    for path, body in (("/api/restore-backup", {"backup_path": newest}), ("/api/rollback", {})):
        refused = web.post(path, {**body, "with_data": True})
        assert refused.status_code == 409
        assert ".env" in refused.json["error"]
        assert refused.json["hint"] == 'To agree to it: "yes": true'
    assert (settings.read_text(), live_version(web.shop)) == ("A=2\n", "VERSION = '1.1.0'\n")
    assert web.post("/api/rollback", {"with_data": True, "yes": True}).json["success"] is True
    assert (settings.read_text(), live_version(web.shop)) == ("A=1\n", "VERSION = '1.0.0'\n")


def test_a_plan_for_each_choice_of_what_becomes_of_local_changes(web: Web) -> None:
    with (web.shop.app / "main.py").open("a") as file:
        file.write("# mine\n")
    assert "main.py" in web.get("/api/plan?tag=v1.1.0").json["data"]["problems"][0]["message"]
    assert web.get("/api/plan?tag=v1.1.0&local_changes=discard").json["data"]["problems"] == []
    assert web.get("/api/plan?tag=v1.1.0&local_changes=stash").status_code == 400


def test_a_plan_changes_nothing(web: Web) -> None:
    before = web.shop.state()
    plan = web.get("/api/plan?tag=v1.1.0").json["data"]
    assert plan["to"]["tag"] == "v1.1.0"
    assert plan["requirements"]["changed"] == {"greeting": ["1.0", "2.0"]}
    assert web.get("/api/plan").json["data"]["to"]["tag"] == "v1.2.0"
    assert web.get("/api/plan?tag=--upload-pack=x").status_code == 400
    assert web.get("/api/plan?tag=v9.9.9").status_code in (404, 502, 400)
    assert web.shop.state() == before


def test_release_notes_cannot_do_harm(web: Web) -> None:
    web.get("/api/check-update?force=true")
    web.post("/api/start-upgrade", {"tag": "v1.1.0"})  # the notes of a plain git remote come with the tag's objects
    notes = next(r for r in web.get("/api/version-history").json["data"] if r["tag"] == "v1.1.0")
    assert "<script>" in notes["body"]
    assert "<script" not in notes["body_html"]
    assert (
        "javascript:" not in notes["body_html"].replace("javascript:alert(1)", "") or "href" not in notes["body_html"]
    )
    assert 'href="https://example.com/x"' in notes["body_html"]


def test_hostile_tag_names_do_no_harm(web: Web) -> None:
    """Git allows all of these; none may become markup, an option, or a line of the log."""
    names = [
        "v9.9.9<script>alert(1)</script>",
        "v9.9.9'onload='x",
        "v9.9.9\u202e",
        "--upload-pack=x",
        "v9.9.9\u00a0",
        "v9%0a",
    ]
    commit = web.shop.git("rev-parse", "v1.1.0^{commit}", cwd=web.shop.remote)
    packed = web.shop.remote / ".git/packed-refs"
    try:
        packed.write_text("".join(f"{commit} refs/tags/{name}\n" for name in names))
        check = web.get("/api/check-update?force=true")
        assert check.json["data"]["latest_tag"] == "v1.2.0"
        for path in ("/", "/api/version-history?limit=100", "/api/check-update", "/api/deployments"):
            text = web.client().get(f"/upgrade{path}", headers=web.headers("", {})).text
            assert "<script>alert" not in text, path
            assert "upload-pack" not in text, path
            assert "\u202e" not in text, path
        before = web.shop.state()
        for name in names:
            answer = web.post("/api/start-upgrade", {"tag": name})
            assert answer.status_code == 400, name
            assert "\u202e" not in answer.text
            assert web.get(f"/api/plan?tag={name.replace('%', '%25')}").status_code == 400, name
        assert web.shop.state() == before
    finally:
        packed.unlink()


def test_secrets_are_in_no_answer(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    (web.shop.app / ".env").write_text(
        "APP_UPDATE_GITHUB_TOKEN=ghp_verysecret123\nGITDEPLOY_WEBHOOK_SECRET=hooksecret99\n"
    )
    with (web.shop.app / "deploy.yaml").open("a") as out:
        out.write("notify: ['json://user:hunter22@127.0.0.1:9/x']\n")
    for route in ROUTES:
        if route.method == "GET" and route.path.startswith("/api/") and "events" not in route.path:
            text = web.get(route.path).text
            assert "ghp_verysecret123" not in text, route.path
            assert "hooksecret99" not in text, route.path
            assert "hunter22" not in text, route.path


def test_a_broken_configuration_is_said(web: Web) -> None:
    web.get("/api/status")
    (web.shop.app / "deploy.yaml").write_text("app: {name: shop}\nnonsense: 1\n")
    answer = web.get("/api/status")
    assert answer.status_code == 503
    assert "nonsense" in answer.json["error"]
    assert "line 2" in answer.json["error"]


# ---- streams ----


def test_a_stream_tells_the_whole_log_and_ends(web: Web) -> None:
    number = web.post("/api/start-upgrade", {"tag": "v1.1.0", "wait": False}).json["deployment"]
    answer = web.client().get(f"/upgrade/api/events?deployment={number}", headers=web.headers("", {}))
    text = answer.get_data(as_text=True)
    answer.close()
    assert answer.mimetype == "text/event-stream"
    assert text.rstrip().endswith("event: end\ndata: {}")
    states = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {") and line != "data: {}"]
    assert states[-1]["status"] == "succeeded"
    lines = [line for state in states for line in state["log"]]
    assert lines == web.get(f"/api/upgrade-log?deployment={number}").json["log"]
    last = text.rsplit("id: ", 1)[1].splitlines()[0]
    rest = web.client().get(
        f"/upgrade/api/events?deployment={number}", headers={**web.headers("", {}), "Last-Event-ID": last}
    )
    assert '"log": []' in rest.get_data(as_text=True), "a client that comes again misses nothing and sees nothing twice"
    rest.close()


def test_streams_have_their_places(web: Web) -> None:
    follower = web.panel.follower
    follower._most = 2
    open_ones = [web.client().get("/upgrade/api/events", headers=web.headers("", {})) for _ in range(2)]
    for answer in open_ones:
        next(iter(answer.response))
    third = web.get("/api/events")
    assert third.status_code == 503
    assert third.headers["Retry-After"] == "30"
    assert "upgrade-log" in third.json["hint"]
    open_ones.pop().close()
    fourth = web.client().get("/upgrade/api/events", headers=web.headers("", {}))
    assert fourth.status_code == 200
    fourth.close()
    open_ones.pop().close()
    assert follower._listeners == 0
    assert web.get("/api/events?deployment=999").status_code == 404
    assert follower._listeners == 0


# ---- the document ----


def test_every_address_is_in_openapi(web: Web) -> None:
    made = web.get("/api/openapi.json").json
    assert made == json.loads(json.dumps(document()))
    for route in ROUTES:
        entry = made["paths"][route.path.replace("<", "{").replace(">", "}")][route.method.lower()]
        assert entry["summary"], route.path
        assert bool(entry["security"]) == (route.needs != "nothing")
        if route.method == "POST":
            assert {"413", "415"} <= entry["responses"].keys(), route.path


# ---- the web process dies ----


def serve(shop: Shop, port: int) -> subprocess.Popen[bytes]:
    return shop.start("web", "--port", str(port), stdout=subprocess.DEVNULL)


def ask(port: int, path: str, token: str, body: Any = None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/upgrade{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
    return found


def until_up(port: int) -> None:
    def up() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/upgrade/healthz", timeout=5):
            return True

    wait_until(up, "the page is served", seconds=30, errors=OSError)


KILLS = int(os.environ.get("WEB_KILLS", "3"))


@pytest.mark.parametrize("number", range(KILLS))
def test_killing_the_web_process_changes_nothing(web: Web, number: int) -> None:
    """At moments spread over the time that an upgrade takes: three of them, or as many as WEB_KILLS says (CONTRIBUTING.md)."""
    port = free_port()
    server = serve(web.shop, port)
    try:
        until_up(port)
        begun = ask(port, "/api/start-upgrade", web.token, {"tag": "v1.1.0", "wait": False})["deployment"]
        time.sleep(2.0 * number / KILLS)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        again = serve(web.shop, port)
        try:
            until_up(port)

            def state() -> dict[str, Any]:
                return ask(port, f"/api/upgrade-log?deployment={begun}", web.token)

            ended = wait_until(lambda: now if (now := state())["status"] != "running" else {}, state)
        finally:
            os.killpg(again.pid, signal.SIGTERM)
            again.wait(10)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert ended["status"] == "succeeded", ended["log"]
    assert live_version(web.shop) == "VERSION = '1.1.0'\n"


def nice_of_threads(pid: int) -> list[int]:
    """How nice each thread of the process is, as proc(5) has it."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found.append(int((thread / "stat").read_text().rpartition(")")[2].split()[16]))
    return found


def test_the_page_gives_way_to_the_app_and_a_deployment_does_not(web: Web) -> None:
    """However many look at it: its threads and, where it is a service, its session come after the others."""
    said = web.shop.folder / "nice"
    hook = web.shop.app / "hooks" / "pre-deploy"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nnice >{said}\n")
    hook.chmod(0o755)
    usual = os.nice(0)
    port = free_port()
    server = serve(web.shop, port)
    try:
        until_up(port)
        threads = nice_of_threads(server.pid)
        assert threads.count(min(19, usual + 10)) > 200
        others = [each for each in threads if each != min(19, usual + 10)]
        assert set(others) == {usual}
        assert len(others) < 5, "who starts deployments, and who waits for each that was started"
        with suppress(FileNotFoundError):  # a kernel that knows no sessions
            assert Path(f"/proc/{server.pid}/autogroup").read_text().endswith(" nice 10\n")
        assert ask(port, "/api/start-upgrade", web.token, {"tag": "v1.1.0"})["success"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
    assert int(said.read_text()) in (usual, 0)  # 0: in a unit of its own
