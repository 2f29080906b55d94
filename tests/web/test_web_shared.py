"""What many who look at once share, and when it is read again."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from web.conftest import Shop, Web

from gitdeploy.app import App
from gitdeploy.web.shared import shared
from gitdeploy.web.shared.shared import SharedApp


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was really looked at; nothing grows old."""
    found: list[str] = []
    monkeypatch.setattr(shared, "monotonic", lambda: 1000.0)
    for name in ("checkout", "backup_sizes"):
        real = getattr(App, name)

        def looked(*words: Any, real: Any = real, name: str = name) -> Any:
            if name == "checkout" or words[1]:
                found.append(name)
            return real(*words)

        monkeypatch.setattr(App, name, looked)
    return found


def test_many_who_ask_at_once_cost_one_look(shop: Shop, looks: list[str]) -> None:
    app = SharedApp.open(shop.app)
    said: list[str | None] = []
    asking = [threading.Thread(target=lambda: said.append(app.status().live.tag)) for _ in range(20)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert said == ["v1.0.0"] * 20
    assert looks == ["checkout"]
    rows = [app.backups() for _ in range(5)]
    assert rows[0][0].size > 0
    assert all(row == rows[0] for row in rows)
    assert looks == ["checkout", "backup_sizes"]


def test_a_deployment_and_a_new_backup_show_at_once(web: Web, looks: list[str]) -> None:
    assert web.get("/api/status").json["data"]["tag"] == "v1.0.0"
    assert web.post("/api/start-upgrade", {"tag": "v1.1.0"}).json["success"] is True
    assert web.get("/api/status").json["data"]["tag"] == "v1.1.0"
    before = len(web.get("/api/backup-list").json["data"])
    web.post("/api/backup", {"label": "x"})
    rows = web.get("/api/backup-list").json["data"]
    assert len(rows) == before + 1
    assert all(row["size"] > 0 for row in rows)
    web.post("/api/label-backup", {"backup": rows[0]["id"], "label": "before the fair"})
    assert web.get("/api/backup-list").json["data"][0]["label"] == "before the fair"


def test_an_edited_file_shows_after_two_seconds(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(shared, "monotonic", lambda: clock[0])
    app = SharedApp.open(shop.app)
    assert list(app.status().local_changes) == []
    (shop.app / "main.py").write_text("mine\n")
    clock[0] += shared.EDITED
    assert list(app.status().local_changes) == ["main.py"]
