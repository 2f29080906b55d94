"""Metrics and the units that run the page."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support import needs
from web.conftest import Web


def figures(answer: Any) -> dict[str, float]:
    assert answer.status_code == 200, answer.text
    assert answer.content_type.startswith("application/openmetrics-text")
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if "step" not in sample.name
    }


def test_metrics_tell_what_is_live_and_how_it_went(web: Web) -> None:
    found = figures(web.get("/metrics", token=web.reader))
    assert found["gitdeploy_live_info"] == 1
    assert found["gitdeploy_backups"] == 1
    assert found["gitdeploy_backups_size_bytes"] > 0
    assert found["gitdeploy_deployment_running"] == 0
    assert "gitdeploy_update_available" not in found
    web.get("/api/check-update?force=true")
    web.post("/api/start-upgrade", {"tag": "v1.2.0"})
    answer = web.get("/metrics")
    found = figures(answer)
    assert found["gitdeploy_update_available"] == 1
    assert found["gitdeploy_last_check_age_seconds"] < 600
    assert found["gitdeploy_last_deployment_succeeded"] == 0
    assert found["gitdeploy_last_deployment_duration_seconds"] > 0
    assert 'version="1.0.0"' in answer.text
    assert 'gitdeploy_deployments_total{action="upgrade",app="shop",status="rolled_back"} 1.0' in answer.text
    assert 'step="switch"' in answer.text


def test_who_may_read_metrics(web: Web) -> None:
    assert web.get("/metrics", token=None).status_code == 401
    settings = web.shop.app / "deploy.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("web: {", "web: {metrics: public, "))
    assert web.get("/metrics", token=None).status_code == 200
    settings.write_text(text.replace("web: {", "web: {metrics: 'off', "))
    assert web.get("/metrics").status_code == 404


@pytest.mark.parametrize("words", [("web",), ("watch",), ("watch", "--once")])
def test_the_printed_units_are_right(web: Web, tmp_path: Path, words: tuple[str, ...]) -> None:
    with (web.shop.app / "deploy.yaml").open("a") as out:
        out.write("check: {upgrade: patch, window: '22:00-04:00 Asia/Shanghai', interval: 12h}\n")
    text = web.shop.gitdeploy(*words, "--print-unit").out
    assert str(web.shop.app) in text
    assert f"User={pwd.getpwuid(os.geteuid()).pw_name}" in text
    names = []
    for unit in text.split("# /etc/systemd/system/")[1:]:
        name = unit.split()[0]
        (tmp_path / name).write_text(f"# {unit}")
        names.append(str(tmp_path / name))
    assert len(names) == (2 if "--once" in words else 1)
    if "--once" in words:
        assert "OnCalendar=*-*-* 22:00:00 Asia/Shanghai" in text
    needs.program("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    about_ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line and "not executable" not in line]
    assert about_ours == [], done.stderr
