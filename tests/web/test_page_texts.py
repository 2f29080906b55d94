"""Every word of the page is there in every language that it speaks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from markupsafe import Markup

from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.live.steps import live_steps
from gitdeploy.web.words.texts import Words, preferred, texts

WEB = Path(__file__).resolve().parents[2] / "gitdeploy" / "web"
FILLED = re.compile(r"\{(\w+)\}")


def test_each_text_has_words_and_its_singular_no_gap_of_its_own() -> None:
    assert len(texts()) > 200
    for key, text in texts().items():
        assert text.english.strip(), key
        assert set(FILLED.findall(text.one)) <= set(FILLED.findall(text.english)), key


def test_no_text_is_missing_and_none_is_left_over() -> None:
    """What templates and code ask for by its whole name is there, and everything that is there is asked for."""
    sources = [*WEB.rglob("*.html"), *WEB.rglob("*.py"), WEB / "page/static/page.js"]
    said = "\n".join(file.read_text() for file in sources)
    sections = {key.split(".")[0] for key in texts()}
    asked = set(re.findall(rf"[\"'`]((?:{'|'.join(sections)})\.[a-z_-]+)[\"'`]", said))
    asked = {name for name in asked if not name.endswith((".html", ".js", ".css", ".toml", ".py", "-"))}
    assert asked - set(texts()) == set()
    built = tuple(re.findall(rf"[\"'`]((?:{'|'.join(sections)})\.(?:[a-z_]+-)?)(?:[\"'`] ~|\$?\{{|[\"'`]\))", said))
    left_over = {key for key in texts() if key not in asked and not key.startswith(built)}
    assert left_over == set()


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-Hant-TW", "zh"),
        ("en-GB,zh;q=0.5", "en"),
        ("fr, zh;q=0.3, en;q=0.2", "zh"),
        ("de", "en"),
        ("zh;q=0", "en"),
        ("*;q=1, ;;;, zh;q=x", "en"),
    ],
)
def test_the_language_that_a_browser_prefers(header: str, language: str) -> None:
    assert preferred(header) == language


def test_numbers_and_times_as_a_person_says_them() -> None:
    now = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
    english, chinese = Words("en"), Words("zh")
    assert [english.count("plan.commits", n) for n in (0, 1, 14)] == ["0 commits", "1 commit", "14 commits"]
    assert chinese.count("plan.commits", 1) == "1 个提交"
    ages = [
        english.age((now - timedelta(seconds=s)).isoformat(), now) for s in (5, 61, 7000, 90000, 400000, 10_000_000)
    ]
    assert ages == ["just now", "a minute ago", "an hour ago", "yesterday", "4 days ago", "2026-08-02"]
    assert chinese.age((now - timedelta(minutes=5)).isoformat(), now) == "5 分钟前"
    assert english.age("nonsense") == ""
    assert [english.duration(s) for s in (0.84, 42, 185, 7800)] == ["0.8 s", "42 s", "3 min 5 s", "2 h 10 min"]


def test_what_is_filled_in_is_escaped() -> None:
    assert Words("en")("update.available", version="<b>v1</b>") == "&lt;b&gt;v1&lt;/b&gt; is available"
    moment = Markup('<time datetime="x">now</time>')
    assert moment in Words("en")("update.bad", version="v1", when=moment), "but for what is HTML of our own"


def test_each_step_of_a_deployment_has_its_word() -> None:
    steps = {
        step.name
        for action in ("upgrade", "restore")
        for step in live_steps(cast("Live", SimpleNamespace(record=SimpleNamespace(action=action, build_first=False))))
    }
    assert {f"step.{name}" for name in steps - {"build"}} <= set(texts())
    assert "step.build-hooks" in texts()
