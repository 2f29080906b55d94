"""Notifications: who is told what, in which words, and what a receiver that fails, hangs or is wrong does to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.receivers import Receiver, http_receiver, smtp_receiver

from gitdeploy.config import load
from gitdeploy.config.sections import NotifyConfig
from gitdeploy.messages import render, tr
from gitdeploy.notify import Message, place_of, send
from gitdeploy.text import register_secret

pytestmark = pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated:DeprecationWarning"
)  # by apprise, in its plugins
MESSAGE = Message("rolled_back", "shop", "shop: rolled back", "Wanted v2.\nRuns v1 again.", "v1", "v2", "health", "7")


@pytest.fixture
def web() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


def tell(*entries: NotifyConfig, message: Message = MESSAGE, timeout: float = 10) -> list[str]:
    return send(entries, message, lambda text: text, timeout=timeout)


def test_a_web_hook_gets_title_words_and_kind(web: Receiver) -> None:
    assert tell(NotifyConfig(web.url)) == []
    (got,) = web.got
    assert (got["title"], got["message"], got["type"]) == (
        "shop: rolled back",
        "Wanted v2.\nRuns v1 again.",
        "warning",
    )


def test_a_mail_is_sent() -> None:
    with smtp_receiver() as mail:
        assert tell(NotifyConfig(mail.mail_url)) == []
        (got,) = mail.got
    assert "Subject: shop: rolled back" in got
    assert "To: ops@example.org" in got
    assert "Runs v1 again." in got


def test_each_receiver_is_told_only_what_it_asked_for(web: Receiver) -> None:
    assert tell(NotifyConfig(web.url, events=("failed", "update_available"))) == []
    assert web.got == []
    assert "started" not in NotifyConfig("json://x").events


def test_a_template_says_it_in_ones_own_words(web: Receiver) -> None:
    template = "{app} {event}: {from} -> {to} ({error}, #{id}) {unknown} {0} {app.x}"
    assert tell(NotifyConfig(web.url, template=template)) == []
    assert web.got[0]["message"] == "shop rolled_back: v1 -> v2 (health, #7) {unknown} {0} {app.x}"


def test_each_receiver_reads_it_in_its_own_language() -> None:
    sentence = tr("{full} failed here before, so it won't be retried automatically: {reason}", full="v2", reason="x")
    with http_receiver() as chinese, http_receiver() as english:
        entries = NotifyConfig(chinese.url, lang="zh"), NotifyConfig(english.url)
        assert (
            tell(
                *entries,
                message=replace(
                    MESSAGE, title=tr("{site}: {titles}", site="shop", titles=tr("rolled back")), body=sentence
                ),
            )
            == []
        )
    assert chinese.got[0]["message"] == render(sentence, "zh") != sentence
    assert chinese.got[0]["title"] == "shop：已回滚"
    assert english.got[0]["message"] == sentence


def test_a_receiver_that_refuses_one_that_hangs_and_one_that_is_gone_keep_nobody_else_from_being_told(
    web: Receiver,
) -> None:
    register_secret("s3cret-token")
    with http_receiver() as slow, http_receiver() as refusing:
        slow.wait, refusing.status = 20, 403
        problems = tell(
            NotifyConfig(slow.url),
            NotifyConfig(refusing.url),
            NotifyConfig("json://127.0.0.1:9/s3cret-token"),
            NotifyConfig("nothing-known://x"),
            NotifyConfig("file:///etc/passwd"),
            NotifyConfig(web.url),
            timeout=4,
        )
    assert len(web.got) == 1
    assert len(problems) == 5
    assert problems[0] == "Notification 1 took longer than 4 s and was given up."
    assert problems[1].startswith("Notification 2 (json) could not be sent")
    assert problems[2].startswith("Notification 3 (json) could not be sent")
    assert problems[3] == "Notification 4: apprise doesn't know its address."
    assert problems[4] == "Notification 5: this kind of address is not used."
    assert "s3cret-token" not in str(problems)


def test_why_it_could_not_be_sent_is_said_and_no_token_with_it(web: Receiver) -> None:
    """The reason stands only in what apprise tells developers, beside the whole address."""
    web.status = 403
    with http_receiver() as gone:
        closed = f"json://127.0.0.1:{gone.port}/unregistered-token-4711"
    problems = tell(NotifyConfig(closed), NotifyConfig(web.url))
    assert problems[0].endswith(": Connection refused")
    assert "403" in problems[1]
    assert "unregistered" not in str(problems)


def test_the_servers_name_and_a_link_stand_below_the_text(web: Receiver) -> None:
    there = {"server": "web1", "link": "https://shop.example.com/upgrade/?deployment=7#opened"}
    assert tell(NotifyConfig(web.url), message=replace(MESSAGE, **there)) == []
    assert web.got[0]["message"] == f"Wanted v2.\nRuns v1 again.\n[web1]\n{there['link']}"
    assert tell(NotifyConfig(web.url, template="{server}: {link}"), message=replace(MESSAGE, **there)) == []
    assert web.got[1]["message"] == f"web1: {there['link']}"


@pytest.mark.parametrize(
    ("web_settings", "link"),
    [
        ("", ""),
        ("web: {hosts: [shop.example.com]}", "http://shop.example.com:15001/upgrade/?deployment=7#opened"),
        (
            "web: {hosts: [shop.example.com], trusted_proxies: [127.0.0.1]}",
            "https://shop.example.com/upgrade/?deployment=7#opened",
        ),
    ],
)
def test_the_page_is_linked_to_where_others_reach_it(tmp_path: Path, web_settings: str, link: str) -> None:
    (tmp_path / "deploy.yaml").write_text(web_settings)
    assert place_of(load(tmp_path), 7) == (os.uname().nodename, link)
