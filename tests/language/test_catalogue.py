"""Every sentence that people read is in every catalogue: translated, with the same gaps, and compiled."""

from __future__ import annotations

import ast
import re

import pytest

from gitdeploy.messages import LOCALES
from language import catalogue
from language.catalogue import PROJECT, as_mo, as_po, missing, po_file, read, sentences, updated

GAP = re.compile(r"\{\w+\}")
CHINESE = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
EVERY = list(LOCALES.values())
ERRORS = re.compile(
    r"(Error|Failed|Found|Refused|Release|Unreachable|Locked|Damaged|Problem|Finding|Forbidden|BadRequest)$"
)

OF_PROGRAMMERS = ("AttributeError", "CommandError", "ValueError", "NotOurs")  # whom a user never meets

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("locale", EVERY)
def test_the_catalogue_has_what_the_sources_say_and_nothing_else(locale: str) -> None:
    assert as_po(updated(locale)) == po_file(locale).read_bytes(), "run: make messages"


@pytest.mark.parametrize("locale", EVERY)
def test_what_is_compiled_is_what_is_translated(locale: str) -> None:
    assert as_mo(read(locale)) == po_file(locale).with_suffix(".mo").read_bytes(), "run: make messages"


@pytest.mark.parametrize("locale", EVERY)
def test_no_sentence_is_without_a_translation(locale: str) -> None:
    assert missing(read(locale)) == []


@pytest.mark.parametrize("locale", EVERY)
def test_no_translation_is_a_guess(locale: str) -> None:
    assert [each.id for each in read(locale) if each.id and each.fuzzy] == []


@pytest.mark.parametrize("locale", EVERY)
def test_a_translation_has_the_gaps_of_its_sentence(locale: str) -> None:
    wrong = []
    for each in read(locale):
        if each.id:
            ids = [each.id] if isinstance(each.id, str) else list(each.id)
            strings = [each.string] if isinstance(each.string, str) else list(each.string or ())
            wrong += [ids[-1] for string in strings if string and set(GAP.findall(string)) != set(GAP.findall(ids[-1]))]
    assert wrong == []


@pytest.mark.parametrize("locale", EVERY)
def test_a_translation_keeps_the_lines_and_what_is_typed(locale: str) -> None:
    """The ends of lines at both ends, the marks of a command's help, and each command and option between backticks."""
    wrong = []
    for each in read(locale):
        if isinstance(each.id, str) and isinstance(each.string, str) and each.id and each.string:
            typed = re.findall(r"`(\w[^`{}]*)`", each.id)
            ends = [(text.startswith("\n"), text.endswith("\n"), text.count("\b")) for text in (each.id, each.string)]
            if ends[0] != ends[1] or any(words not in each.string for words in typed):
                wrong.append(each.id)
    assert wrong == []


def test_the_gaps_are_named_after_what_fills_them() -> None:
    """Scripts read them as `params`: no function's name, no numbered one."""
    odd = re.compile(r"\{(\w*(?:__|\d)\w*|max|min|map|len|getattr|listing|joined)\}")
    assert [each.template for each in sentences() if odd.search(each.template)] == []


def test_no_sentence_in_english_has_chinese_in_it() -> None:
    """But for the name of a right, as Codeup's page shows it to those who look for it there."""
    said = [each.template for each in sentences() if CHINESE.search(each.template)]
    assert [template for template in said if "代码管理 / 标签 / 只读" not in template] == []


def test_no_error_is_given_a_text_that_cannot_be_translated() -> None:
    """An f-string that is handed to an error is English for good."""
    wrong = []
    for path in sorted((PROJECT / "gitdeploy").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = catalogue.called(node) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and ERRORS.search(name) and name not in OF_PROGRAMMERS:
                texts = [argument for argument in node.args if isinstance(argument, ast.JoinedStr)]
                wrong += [f"{path.name}:{text.lineno}" for text in texts if catalogue.words_of(text)]
    assert wrong == []
