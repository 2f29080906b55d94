"""No hint without its test: each that the source holds is followed by a case, by another test, or is no act on this machine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from hints import collected
from hints.elsewhere import FOLLOWED_ELSEWHERE, NOT_COMMANDS
from hints.following import matches
from hints.table import CASES

TESTS = Path(__file__).parents[1]
HINTS = {hint.template: hint.place for hint in collected.hints()}
NOT = [text for texts in NOT_COMMANDS.values() for text in texts]


def is_of(entry: str, template: str) -> bool:
    """Whether ENTRY, what a case or a list has, is the source's TEMPLATE: its beginning, or with its gaps elsewhere."""
    return template.startswith(entry) or (matches(entry, template) and len(entry) > len(template) // 2)


def test_every_hint_is_followed_or_says_why_not() -> None:
    known = [*(case.hint for case in CASES.values()), *FOLLOWED_ELSEWHERE, *NOT]
    left = [f"{place}  {text}" for text, place in HINTS.items() if not any(is_of(entry, text) for entry in known)]
    assert not left, "follow each in a case of tests/hints:\n" + "\n".join(left)


@pytest.mark.parametrize("entry", [*FOLLOWED_ELSEWHERE, *NOT])
def test_no_list_names_what_no_source_has(entry: str) -> None:
    assert any(is_of(entry, template) for template in HINTS)


@pytest.mark.parametrize("test", sorted({*FOLLOWED_ELSEWHERE.values()}))
def test_the_tests_that_are_named_are_there(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((TESTS / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
