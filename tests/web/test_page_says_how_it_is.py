"""What the page and the API say of a deployment: its lines, how it ended, that it has ended, what went back with it."""

from __future__ import annotations

import re
import socket
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from support.receivers import http_receiver
from support.waiting import free_port, wait_until
from web.conftest import Shop, Web
from web.test_web_command import Served

from gitdeploy.deployment.record.replaced import Kept
from gitdeploy.state import DeploymentLock, DeploymentRow
from gitdeploy.web.page.facts import ending, time_zone
from gitdeploy.web.words.texts import Words

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \[(DEBUG|INFO|WARNING|ERROR)\] .*")


def configure(shop: Shop, more: str) -> None:
    path = shop.app / "deploy.yaml"
    path.write_text(path.read_text() + more + "git: {local_changes: merge}\n")


def test_lines_have_time_and_level_and_the_message_is_how_it_ended(web: Web) -> None:
    configure(web.shop, "backup: {keep: 1}\n")
    web.shop.gitdeploy("backup")
    answer = web.post("/api/start-upgrade", {"tag": "v1.1.0"}).json
    assert all(LINE.fullmatch(line) for line in answer["log"]), answer["log"]
    assert answer["message"].startswith("shop is on v1.1.0.  Undo: gitdeploy rollback")
    state = web.get(f"/api/upgrade-log?deployment={answer['deployment']}").json
    assert state["message"] == answer["message"]
    assert any("Dropped" in line for line in state["log"]), "said after the end, and not as the end"
    at, text = state["lines"][0]["at"], state["lines"][0]["text"]
    local = datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert state["log"][0] == f"[{local}] [{state['lines'][0]['level'].upper()}] {text}"


def test_it_has_ended_while_its_process_still_tells_people(web: Web) -> None:
    with http_receiver() as receiver:
        receiver.wait = 20
        configure(web.shop, f"notify: [{{url: '{receiver.url}', events: [succeeded]}}]\n")
        number = web.post("/api/start-upgrade", {"tag": "v1.1.0", "wait": False}).json["deployment"]
        wait_until(lambda: web.get(f"/api/upgrade-log?deployment={number}").json["status"] == "succeeded")
        assert web.panel.app().is_running(), "it still tells somebody slow"
        page = web.get("/part/now").text
        receiver.closing.set()
    assert "data-busy" not in page
    assert "started by" not in page
    assert "v1.1.0 is live" in page
    wait_until(lambda: not web.panel.app().is_running())
    with DeploymentLock(web.shop.app / ".gitdeploy/lock").acquire(who="wang", command="gitdeploy prune"):
        page = web.get("/part/now").text
    assert "data-busy" in page, "the script asks again until that has ended"
    assert "gitdeploy prune runs, started by wang" in page


def test_backups_say_why_they_were_made_and_facts_the_servers_zone(web: Web) -> None:
    web.post("/api/start-upgrade", {"tag": "v1.1.0"})
    page = web.get("/part/backups").text
    assert "before the upgrade to v1.1.0" in page
    assert "made by hand" in page
    assert time_zone(datetime.now().astimezone()) in web.get("/part/now").text


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        (timezone(timedelta(0), "UTC"), "UTC"),
        (timezone(timedelta(hours=1), "CET"), "CET (UTC+01:00)"),
        (timezone(timedelta(hours=-3, minutes=-30), "NST"), "NST (UTC-03:30)"),
        (timezone(timedelta(hours=7)), "UTC+07:00"),
        (timezone(timedelta(hours=7), "+07"), "UTC+07:00"),
    ],
)
def test_a_time_zone_is_named(zone: timezone, shown: str) -> None:
    assert time_zone(datetime(2026, 12, 1, tzinfo=zone)) == shown


def row(message: str) -> DeploymentRow:
    at, state = "2026-12-01T04:00:00.000+00:00", {"version": None, "tag": "v1", "commit": "1" * 40}
    error = {"kind": "rolled_back", "message": message, "hint": "", "exit_code": 3}
    steps: tuple[dict[str, Any], ...] = ({"name": "health", "status": "failed", "summary": "500", "duration": 1.0},)
    return DeploymentRow(7, "upgrade", "rolled_back", "li", at, at, 1.0, state, state, None, error, steps)


def test_nothing_was_lost_is_said_only_where_the_deployment_says_it() -> None:
    kept = Kept("shop.db", "database", "x", 1, since="2026-12-01T03:00:00+00:00", rows={"orders": 3}, told=True)
    lossless = ending(row("shop runs v1 again; nothing was lost."), Words("en"))
    replaced = ending(row("shop runs v1 again; what was written meanwhile is kept."), Words("en"), [kept])
    assert (lossless.nothing_lost, replaced.nothing_lost) == (True, False)
    assert replaced.data == [kept]


def test_the_apps_own_port_and_one_in_use_are_left_alone(shop: Shop) -> None:
    """The usual port gives way, with the block for nginx; a port that was chosen is refused, with one that is free."""
    settings = (shop.app / "deploy.yaml").read_text()
    taken = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", taken))
        other.listen()
        (shop.app / "deploy.yaml").write_text(settings.replace("web: {", f"web: {{port: {taken}, "))
        refused = shop.gitdeploy("web", code=2).err
    assert f"The page can't be served at 127.0.0.1:{taken}: the port is in use." in refused
    way = re.search(r"A free one: gitdeploy web --port (\d+)", refused)
    assert way is not None
    assert int(way[1]) > taken
    own = "health: {url: 'http://127.0.0.1:15001/health'}\n"
    (shop.app / "deploy.yaml").write_text(settings + own)
    assert "is the app's own" in shop.gitdeploy("web", "--port", "15001", code=2).err
    block = shop.gitdeploy("web", "--print-proxy").out
    assert "proxy_pass http://127.0.0.1:15002;" in block
    assert "shop.example.com" in block
    with Served(shop, usual_port=True) as page:
        page.hear("client_max_body_size")
        found = re.search(r"Port 15001 is the app's own \(health\), so the page is at port (\d+)\.", page.said)
        assert found is not None, page.said
        assert f"To keep that: web: {{port: {found[1]}}} in deploy.yaml." in page.said
        assert f"proxy_pass http://127.0.0.1:{found[1]};" in page.said
        page.hear(f"http://127.0.0.1:{found[1]}/upgrade/")
