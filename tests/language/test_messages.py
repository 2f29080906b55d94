"""A sentence is its English text, and can be said in another language as often as it was put together, stored and sent."""

from __future__ import annotations

import json
import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdeploy.messages import (
    Message,
    capital,
    counted,
    first_line,
    heard,
    joined,
    render,
    said,
    sentence_of,
    speaking,
    spoken,
    tr,
    without_stop,
)
from gitdeploy.text import clean, count, duration_text, listing, padded, redact, register_secret, width_of, wrapped

pytestmark = pytest.mark.quick

NO_BACKUP = tr("There is no backup `{identity}`.", identity="x")
NO_BACKUP_ZH = "没有备份 `x`。"


@pytest.mark.parametrize(
    ("message", "english", "chinese"),
    [
        (NO_BACKUP, "There is no backup `x`.", NO_BACKUP_ZH),
        (joined(" ", [NO_BACKUP, NO_BACKUP]), "There is no backup `x`. There is no backup `x`.", NO_BACKUP_ZH * 2),
        (NO_BACKUP + "\n" + NO_BACKUP, f"{NO_BACKUP}\n{NO_BACKUP}", f"{NO_BACKUP_ZH}\n{NO_BACKUP_ZH}"),
        (tr("{path}: {why}", path="a.py", why=NO_BACKUP), f"a.py: {NO_BACKUP}", f"a.py：{NO_BACKUP_ZH}"),
        (tr("{why}.", why=without_stop(NO_BACKUP)), NO_BACKUP, NO_BACKUP_ZH),
        (capital(tr("it is empty.")), "It is empty.", render(tr("it is empty."), "zh")),
        (first_line(NO_BACKUP + "\nmore"), "There is no backup `x`.", NO_BACKUP_ZH),
        (redact(NO_BACKUP), NO_BACKUP, NO_BACKUP_ZH),
        (clean(NO_BACKUP, limit=100), NO_BACKUP, NO_BACKUP_ZH),
        (tr("{error}", error=ValueError(NO_BACKUP)), NO_BACKUP, NO_BACKUP_ZH),
        (count(1, "commit"), "1 commit", "1 个提交"),
        (count(3, "commit"), "3 commits", "3 个提交"),
        (listing(["a", "b", "c"], 2), "a, b and 1 more", "a、b 以及另外 1 个"),
        (listing(["a", "b"]), "a, b", "a、b"),
        (duration_text(42), "42 s", "42 秒"),
        ("a name: no sentence of ours", "a name: no sentence of ours", "a name: no sentence of ours"),
    ],
)  # fmt: skip
def test_in_both_languages(message: str, english: str, chinese: str) -> None:
    assert message == english
    assert render(message, "en") == english
    assert render(message, "zh") == chinese
    again = heard(json.loads(json.dumps(said(message))))
    assert (again, render(again, "zh")) == (english, chinese), "and out of a journal"
    assert render(pickle.loads(pickle.dumps(message)), "zh") == chinese


def test_what_no_catalogue_has_is_said_in_english() -> None:
    assert (
        render(tr("A sentence that no catalogue has: {name}.", name="x"), "zh")
        == "A sentence that no catalogue has: x."
    )


def test_the_language_that_is_spoken() -> None:
    assert spoken() == "en"
    with speaking("zh"):
        assert render(NO_BACKUP) == NO_BACKUP_ZH
        assert f"{NO_BACKUP}" == "There is no backup `x`.", "only an edge translates"
    assert render(NO_BACKUP) == NO_BACKUP


def test_a_secret_in_a_value_is_hidden_in_every_language() -> None:
    register_secret("hunter2-hunter2")
    message = redact(tr("There is no backup `{identity}`.", identity="hunter2-hunter2"))
    assert (message, render(message, "zh")) == ("There is no backup `***`.", "没有备份 `***`。")


@given(st.text(string.printable + "{}中文", max_size=40), st.dictionaries(st.sampled_from("abc"), st.text(max_size=8)))
def test_whatever_a_journal_holds_can_be_shown(template: str, values: dict[str, str]) -> None:
    stored = {"message": "text", "code": template, "params": values}
    assert isinstance(render(heard(stored), "zh"), str)
    assert heard(stored) == "text"


@pytest.mark.parametrize("hostile", ["{a.__class__}", "{a[0]}", "{a!r:>999999999}", "{0}", "{", "}", "{}", "{{a}}"])
def test_a_template_of_a_journal_looks_up_names_only(hostile: str) -> None:
    shown = render(heard({"message": "text", "code": hostile, "params": {"a": "value"}}), "zh")
    assert shown == hostile.replace("{{", "{").replace("}}", "}")


def test_a_document_without_end_is_cut() -> None:
    document: dict[str, object] = {"message": "text", "code": "{a}", "params": {}}
    for _ in range(200):
        document = {"message": "text", "code": "{a}", "params": {"a": document}}
    assert render(heard(document), "zh") == "text"


@given(st.text("ab {}", max_size=20))
def test_a_text_without_gaps_is_a_sentence_as_it_is(text: str) -> None:
    message = sentence_of(text)
    assert isinstance(message, Message)
    assert message == text
    assert render(message, "zh") == text or text == ""


def test_plural_forms() -> None:
    assert counted(2, "{number} child", "{number} children") == "2 children"


@given(st.text("ab 中文，。", max_size=60), st.integers(4, 30))
def test_lines_are_as_wide_as_they_look(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        words = line.rstrip("，。").split(" ")
        assert width_of(line.rstrip("，。")) <= width or len(words) == 1
    assert all(width_of(padded(line, 70)) >= 70 for line in lines)
