"""Webhooks of each host: only who knows the secret is heard, and all that they cause is a look at the source."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.waiting import wait_until
from web.conftest import Web

from gitdeploy.app import App
from gitdeploy.errors import DeploymentFailed
from gitdeploy.web.shared.looking import Looking

SECRET = "a-secret-of-the-webhook"
BODY = json.dumps({"ref": "refs/tags/v9.9.9", "ref_type": "tag"}).encode()


def signature(body: bytes = BODY) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def gitee() -> dict[str, str]:
    stamp = str(int(time.time() * 1000))
    digest = hmac.new(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), hashlib.sha256).digest()
    return {"X-Gitee-Timestamp": stamp, "X-Gitee-Token": base64.b64encode(digest).decode()}


RIGHT: dict[str, Callable[[], dict[str, str]]] = {
    "github": lambda: {"X-GitHub-Event": "create", "X-Hub-Signature-256": f"sha256={signature()}"},
    "gitlab": lambda: {"X-Gitlab-Event": "Tag Push Hook", "X-Gitlab-Token": SECRET},
    "gitee": gitee,
    "gitea": lambda: {"X-Gitea-Event": "create", "X-Gitea-Signature": signature()},
    "codeup": lambda: {"Codeup-Event": "Tag Push Hook", "X-Codeup-Token": SECRET},
}


@pytest.fixture
def asked(web: Web, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """By whom a look at the source was asked for."""
    for kind in RIGHT:
        monkeypatch.setenv(f"GITDEPLOY_WEBHOOK_SECRET_{kind.upper()}", SECRET)
    found: list[str] = []
    monkeypatch.setattr(web.panel.looking, "soon", found.append)
    return found


def send(web: Web, source: str, headers: dict[str, str], body: bytes = BODY) -> Any:
    return web.client().post(f"/upgrade/hooks/{source}", data=body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("source", RIGHT)
def test_each_host_is_heard(web: Web, asked: list[str], source: str) -> None:
    answer = send(web, source, RIGHT[source]())
    assert answer.status_code == 202, answer.text
    assert asked == [f"webhook of {source}, from 127.0.0.1"]


@pytest.mark.parametrize("source", RIGHT)
def test_who_does_not_know_the_secret_is_not(web: Web, asked: list[str], source: str) -> None:
    right = RIGHT[source]()
    for headers in ({}, dict.fromkeys(right, "é"), dict.fromkeys(right, ""), {**dict.fromkeys(right, "wrong")}):
        try:
            answer = send(web, source, headers)
        except UnicodeEncodeError:
            continue  # this client can't send it; `Bearer é` in the guard's tests is
        assert answer.status_code == 401, (headers, answer.text)
    if "X-Hub-Signature-256" in right or "X-Gitea-Signature" in right:
        assert send(web, source, right, BODY + b" ").status_code == 401, "another body"
    assert asked == []


def test_without_a_secret_nobody_is_heard(web: Web, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITDEPLOY_WEBHOOK_SECRET_GITHUB")
    monkeypatch.delenv("GITDEPLOY_WEBHOOK_SECRET_GITLAB")
    empty = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    assert send(web, "github", {"X-Hub-Signature-256": f"sha256={empty}"}).status_code == 401
    assert send(web, "gitlab", {"X-Gitlab-Token": ""}).status_code == 401
    assert asked == []


OTHER = json.dumps({"ref": "refs/tags/v9.9.10", "ref_type": "tag"}).encode()
REPLAYS: dict[str, tuple[str, dict[str, str], bytes, bool]] = {
    "another number": ("github", {"X-GitHub-Delivery": "72d3162e-0000-11e3-81ab-4c9367dc0958"}, BODY, False),
    "no number": ("github", {"X-GitHub-Delivery": ""}, BODY, False),
    "the same in other letters": ("github", {"X-Hub-Signature-256": f"SHA256={signature()}"}, BODY, False),
    "a signature over no body, with another body": ("gitee", {}, OTHER, False),
    "another body, signed": ("github", {"X-Hub-Signature-256": f"sha256={signature(OTHER)}"}, OTHER, True),
    "who has the secret sends another number": ("gitlab", {"X-Gitlab-Event-UUID": "2"}, BODY, True),
    "who has the secret repeats it": ("gitlab", {}, BODY, False),
}


@pytest.mark.parametrize(("source", "headers", "body", "new"), REPLAYS.values(), ids=REPLAYS)
def test_a_delivery_counts_once(
    web: Web, asked: list[str], source: str, headers: dict[str, str], body: bytes, new: bool
) -> None:
    first = {**RIGHT[source](), "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
    assert send(web, source, first).status_code == 202
    again = send(web, source, {**first, **headers}, body)
    if again.status_code != 401:
        assert again.status_code == 202
        assert (again.json["message"] == "This delivery came before.") is not new
    assert len(asked) == 1 + new


SECRETS: dict[str, tuple[str, str, str, int]] = {
    "the first source's": ("source: {type: gitlab, repo: a/b}", "", "gitlab", 202),
    "not another kind's": ("source: {type: gitlab, repo: a/b}", "", "codeup", 401),
    "not its fallback's": (
        "source: {type: gitlab, repo: a/b, fallback: [{type: codeup, repo: a/b/c}]}", "", "codeup", 401,
    ),
    "one's own": ("source: {type: gitlab, repo: a/b}", "_CODEUP", "codeup", 202),
    "own one instead of all": ("source: {type: gitlab, repo: a/b}", "_GITLAB", "gitlab", 202),
    "whose remote tells no host": ("source: {type: git}", "", "gitlab", 401),
    "whose remote tells its host": ("source: {remote: https://gitlab.com/a/b.git}", "", "gitlab", 202),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "ending", "kind", "status"), SECRETS.values(), ids=SECRETS)
def test_a_secret_opens_one_source(
    web: Web, monkeypatch: pytest.MonkeyPatch, settings: str, ending: str, kind: str, status: int
) -> None:
    deploy = web.shop.app / "deploy.yaml"
    deploy.write_text(deploy.read_text().replace("source: {type: git}", settings))
    monkeypatch.setenv(f"GITDEPLOY_WEBHOOK_SECRET{ending}", SECRET)
    monkeypatch.setattr(web.panel.looking, "soon", lambda performer: None)
    answer = send(web, kind, RIGHT[kind]())
    assert answer.status_code == status, answer.text


def test_what_is_refused(web: Web, asked: list[str]) -> None:
    assert send(web, "nohost", {}).status_code == 404
    assert send(web, "git", {}).status_code == 404
    assert send(web, "gitlab", RIGHT["gitlab"](), b"no json").status_code == 400
    assert send(web, "gitlab", RIGHT["gitlab"](), b"x" * 300_000).status_code == 413
    assert web.client().get("/upgrade/hooks/github").status_code in (401, 405)
    for _ in range(30):
        last = send(web, "gitlab", {"X-Gitlab-Token": "guess"})
    assert last.status_code == 429
    assert asked == []
    assert send(web, "gitlab", RIGHT["gitlab"]()).status_code == 202, "who has the secret is never kept out"


def test_a_webhook_upgrades_only_what_policy_admits(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """End to end: it says v9.9.9; the source has v1.2.0, whose hook fails, and that is what is tried."""
    monkeypatch.setenv("GITDEPLOY_WEBHOOK_SECRET_GITLAB", SECRET)
    with (web.shop.app / "deploy.yaml").open("a") as out:
        out.write("check: {upgrade: minor}\ngit: {local_changes: merge}\n")
    assert send(web, "gitlab", RIGHT["gitlab"]()).status_code == 202

    def upgrades() -> list[dict[str, Any]]:
        return [
            row for row in web.get("/api/deployments").json["data"] if row["action"] == "upgrade" and row["ended_at"]
        ]

    (row,) = wait_until(upgrades, seconds=90, every=0.2)
    assert row["to"]["tag"] == "v1.2.0"
    assert row["status"] == "rolled_back"
    assert row["performer"] == "webhook of gitlab, from 127.0.0.1"


def test_where_no_process_may_be_started_it_still_looks(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the app's own service, without a way out of it: looking and telling need none."""

    def refuse(*_: object, **__: object) -> None:
        raise DeploymentFailed("There is no way out of the app's service.", "loginctl enable-linger")

    monkeypatch.setattr(App, "launch", refuse)
    assert web.panel.app().last_check() is None
    web.panel.looking._start("test")
    found = web.panel.app().last_check()
    assert found is not None
    assert found.latest_tag == "v1.2.0"


def test_it_looks_once_in_each_interval_whatever_the_number_of_workers(web: Web) -> None:
    panel = web.panel
    with (web.shop.app / "deploy.yaml").open("a") as out:
        out.write("check: {interval: 12h, upgrade: patch, window: '02:00-03:00 UTC'}\n")
    workers = [Looking(panel.app, panel.store, panel.root, by_itself=True) for _ in range(3)]
    begun = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
    looks = [
        moment
        for moment in (begun + timedelta(minutes=minute) for minute in range(0, 3 * 24 * 60, 10))
        for worker in workers
        if worker.due(moment)
    ]
    by_interval = [moment for moment in looks if moment.hour != 2]
    in_window = {moment.date() for moment in looks if moment.hour == 2}
    assert 5 <= len(by_interval) + len(in_window) <= 11, looks
    assert len(in_window) == 3, "once in each window, though the interval is longer"
    (web.shop.app / ".env").write_text("APP_UPDATE_AUTO_CHECK=false\n")
    assert not any(worker.due(begun + timedelta(days=30)) for worker in workers)
    (web.shop.app / ".env").write_text("APP_UPDATE_AUTO_CHECK=true\nAPP_UPDATE_CHECK_INTERVAL=1\n")
    assert panel.app().site.config.check.interval == 3600
    assert any(worker.due(begun + timedelta(days=30)) for worker in workers)
